// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/manifest"
)

// copyPhase is the first phase; the others follow it in the order of their list.
const copyPhase = "copy"

// phase is something that is done for images after they are in production. What was not
// done, for whatever reason, is remembered at --state and done by a later run, without
// copying again.
type phase struct {
	name string // of --phases
	// do returns an error for each image, in their order; nil is done, and that it was done
	// before is no error. When ctx ends, what is left fails with its error.
	do func(ctx context.Context, w work, images []pending) []error
}

// work is what phases are told beside the images.
type work struct {
	set      *manifest.Set
	project  *manifest.Manifest
	commit   string
	registry Registry
	tell     func(done, total int) // progress, never nil
}

// laterPhases is the visible list of what follows the copy.
func laterPhases(Deps) []phase { return nil }

// phaseNames lists all phases in their order.
func phaseNames(deps Deps) []string {
	names := []string{copyPhase}
	for _, p := range laterPhases(deps) {
		names = append(names, p.name)
	}
	return names
}

// checkPhases refuses phases that do not exist.
func checkPhases(deps Deps, chosen []string) error {
	names := phaseNames(deps)
	for _, c := range chosen {
		if !slices.Contains(names, c) {
			return fmt.Errorf("flag --phases: %q is none of %s", c, strings.Join(names, ", "))
		}
	}
	return nil
}
