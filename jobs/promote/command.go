// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promote is the job behind `steward promote`: it brings what promoter manifests
// declare into production, and shows beforehand what that would be.
//
// What is to be done is found out by internal/promotion, images are copied by
// internal/copier, and every verb is a file of its own here. This package reads what the
// verbs need, keeps runs apart (one at a time, never an older commit, nothing that is
// frozen), and tells people how it went. docs/promote.md numbers the rules.
package promote

import (
	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
)

// Command returns `steward promote`. A new verb is a new line.
func Command(deps Deps) *cobra.Command {
	cmd := job.Group(&cobra.Command{Use: "promote", Short: "Bring what promoter manifests declare into production"})
	for _, verb := range verbs() {
		cmd.AddCommand(verb(deps))
	}
	return cmd
}

// verbs is the visible list.
func verbs() []func(Deps) *cobra.Command {
	return []func(Deps) *cobra.Command{planCommand, runCommand, filesCommand, checkCommand, snapshotCommand, addCommand, fmtCommand}
}
