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

// The phases of a run, in their order. Signing is there where a key is, blobs where buckets are.
const (
	copyPhase   = "copy"
	signPhase   = "sign"
	attestPhase = "attest"
	blobsPhase  = "blobs"
)

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

// allPhases is the visible list of names.
func allPhases() []string { return []string{copyPhase, signPhase, attestPhase, blobsPhase} }

// laterPhases are those behind the copy that can be done; b is nil where there are no buckets. Blobs are the last: what was
// signed goes with them.
func laterPhases(s *signing, b *buckets) (all []phase) {
	if s.signer != nil {
		all = append(all, phase{signPhase, s.sign}, phase{attestPhase, s.attest})
	}
	if b != nil {
		all = append(all, phase{blobsPhase, b.bring})
	}
	return all
}

// choosePhases returns the phases of a run: those of the flag, or all that can be done.
func choosePhases(chosen []string, later []phase) ([]string, error) {
	can := []string{copyPhase}
	for _, p := range later {
		can = append(can, p.name)
	}
	if len(chosen) == 0 {
		return can, nil
	}
	for _, c := range chosen {
		switch {
		case slices.Contains(can, c):
		case c == blobsPhase:
			return nil, fmt.Errorf("flag --phases: there is no bucket for %s: name one in --config (promotion.blobs)", c)
		default:
			return nil, fmt.Errorf("flag --phases: there is no key for %s: name one by --sign-key, or in --config (promotion.signing)", c)
		}
	}
	return chosen, nil
}

// knownPhases refuses phases that do not exist.
func knownPhases(chosen []string) error {
	for _, c := range chosen {
		if !slices.Contains(allPhases(), c) {
			return fmt.Errorf("flag --phases: %q is none of %s", c, strings.Join(allPhases(), ", "))
		}
	}
	return nil
}
