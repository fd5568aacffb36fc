// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config carries the example community's repository, for the demo and
// for tests.
package config

import "embed"

// Example is the tree below config/example.
//
//go:embed all:example
var Example embed.FS
