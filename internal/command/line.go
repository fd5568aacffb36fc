// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

// Line is one command line as it was typed.
type Line struct {
	Raw   string   // the whole line, trimmed; clipped when Fault is set
	Verb  string   // canonical: the word after /infra, or what a short alias stands for; lower case
	Args  []string // split at white space, without a pair of backticks around a word
	Fault string   // why the line is not run although it is a command: too long, one too many
}
