// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/state"
)

// seal is how production is signed: where, under which name, and by whom. It signs nothing.
type seal struct {
	verifier             attest.Verifier
	canonical, reference string
	old                  bool // under the tag sha256-HEX.sig as well
}

// signed tells whether a digest has a signature of ours in the old layout.
func (s seal) signed(ctx context.Context, reg copier.Source, repository string, p attest.Payload) (bool, error) {
	there, err := attest.Signatures(ctx, reg, repository, p.Digest)
	return slices.ContainsFunc(there, func(t attest.Signed) bool {
		if is, err := attest.ParsePayload(t.Payload); err != nil || is != p {
			return false
		}
		_, err := s.verifier.Signature(t.Payload, t.Signature)
		return err == nil
	}), err
}

// bundled returns the types of the statements of ours that are attached to a digest.
func (s seal) bundled(ctx context.Context, reg copier.Source, repository, digest string) (kinds []string, err error) {
	there, err := attest.Bundles(ctx, reg, repository, digest)
	for _, raw := range there {
		said, _, err := s.verifier.Bundle(raw, digest)
		if err != nil {
			continue
		}
		if kind, err := attest.KindOf(said, digest); err == nil {
			kinds = append(kinds, kind)
		}
	}
	return kinds, err
}

// look tells whether an image of the canonical mirror is signed by us, and its promotion recorded. What stands under the tag
// for signatures may have come from staging, so it is verified. Where that layout is made, it is what counts: others signed
// production in it alone.
func (s seal) look(ctx context.Context, reg copier.Source, path, digest string) (signed, recorded bool, err error) {
	repository := s.canonical + "/" + path
	kinds, err := s.bundled(ctx, reg, repository, digest)
	if err != nil {
		return false, false, err
	}
	signed, recorded = slices.Contains(kinds, attest.SignatureType), slices.Contains(kinds, attest.PromotionType)
	if s.old {
		signed, err = s.signed(ctx, reg, repository, attest.Payload{Reference: s.reference + "/" + path, Digest: digest})
	}
	return signed, recorded, err
}

// by tells seals apart: what was verified of one means nothing for another.
func (s seal) by() string {
	return fmt.Sprintf("%s for %s on %s", s.verifier.Whom(), s.reference, s.canonical)
}

// provenKey is where it stands which images were found to be signed.
const provenKey = "promote/signed.json"

// proven remembers which images were found to be signed in the layout of the tag sha256-HEX.sig, so that each is looked at
// once. What the tag stands for tells whether it still holds; nothing tells that of bundles, which are looked at each time.
// It is safe for concurrent use.
type proven struct {
	by string // whose signatures, under which name

	mu      sync.Mutex
	images  map[string]string // PATH@DIGEST to the manifest that its tag for signatures stood for
	changed bool
}

// provenFile is its form in the store.
type provenFile struct {
	Version int               `json:"version"`
	By      string            `json:"by"`
	Images  map[string]string `json:"images"`
}

// openProven reads what was found to be signed by somebody; store may be nil. What is not understood, or was about
// somebody else, is forgotten: it is found again.
func openProven(ctx context.Context, store state.Store, by string) (*proven, error) {
	p := &proven{by: by, images: map[string]string{}}
	if store == nil {
		return p, nil
	}
	raw, _, err := store.Get(ctx, provenKey)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", provenKey, err)
	}
	var f provenFile
	if json.Unmarshal(raw, &f) == nil && f.Version == journalVersion && f.By == by && f.Images != nil {
		p.images = f.Images
	}
	return p, nil
}

// has tells whether an image was found to be signed, by what stands under its tag for signatures.
func (p *proven) has(image, tagged string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, known := p.images[image]
	return known && tagged != "" && was == tagged
}

func (p *proven) add(image, tagged string) {
	if tagged == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.images[image], p.changed = tagged, true
}

// save writes what was found.
func (p *proven) save(ctx context.Context, store state.Store) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.changed {
		return nil
	}
	raw, err := json.Marshal(provenFile{journalVersion, p.by, p.images})
	if err == nil {
		err = state.Replace(ctx, store, provenKey, raw)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", provenKey, err)
	}
	p.changed = false
	return nil
}
