// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/settings"
)

// signAtOnce is how many repositories are signed at once. In one they are signed one after the other: the lists that stand
// in for referrers have one writer.
const signAtOnce = 8

// builder is what a record says has promoted.
const builder = "https://sigs.k8s.io/steward"

// SignWith says with what production is signed.
type SignWith struct {
	Key          string // keyless, gcpkms://…, or a file
	PasswordFile string // of a key in a file; "" for none
	Config, Root string // signing_config.json and trusted_root.json, keyless only
	TokenFile    string // identity token; "" asks the machine that this runs on
	Self         settings.Identity
}

// Believe says whose signatures are believed: a public key in a file, or an identity beside a trusted root.
type Believe struct {
	KeyFile  string
	Identity settings.Identity
	Root     string
}

// signing is how one run signs, and whom it believes.
type signing struct {
	seal
	signer attest.Signer // nil: nothing is signed
	files  fs.FS         // at the commit
	now    func() time.Time

	believed []believed
}

// believed is a rule about staging images.
type believed struct {
	settings.SignedBy
	verifier attest.Verifier
}

// signing makes what signs, of flags and settings.
func (f *runFlags) signing(ctx context.Context, deps Deps, d declared) (*signing, error) {
	s := &signing{files: d.files, now: deps.now}
	p := d.promotion()
	for _, rule := range p.SignedBy {
		v, err := deps.OpenVerifier(Believe{KeyFile: rule.KeyFile, Identity: rule.Identity, Root: f.trustRoot})
		if err != nil {
			return nil, fmt.Errorf("promotion.signed-by %s: %w", rule.Project, err)
		}
		s.believed = append(s.believed, believed{rule, v})
	}
	key := cmp.Or(f.signKey, p.Signing.Key)
	if key == "" {
		return s, nil
	}
	var err error
	s.signer, err = deps.OpenSigner(ctx, SignWith{
		Key: key, PasswordFile: f.signPassword, Config: f.signingConfig, Root: f.trustRoot, TokenFile: f.identityToken, Self: p.Signing.Identity,
	})
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	s.seal = sealOf(p, d.set, s.signer.Verifier())
	return s, nil
}

// sealOf is how production is signed by somebody.
func sealOf(p settings.Promotion, set *manifest.Set, v attest.Verifier) seal {
	canonical := canonicalMirror(p, set)
	return seal{v, canonical, cmp.Or(p.Signing.Reference, canonical), p.Signing.Old()}
}

// canonicalMirror is the one that has the signatures (SIGN-2); "" where there is no mirror at all. Settings may name a place
// above it.
func canonicalMirror(p settings.Promotion, set *manifest.Set) string {
	all := slices.Concat([]string{p.Signing.Canonical}, p.Mirrors, set.Mirrors)
	first := slices.IndexFunc(all, func(m string) bool { return m != "" })
	if first < 0 {
		return ""
	}
	for _, m := range set.Mirrors {
		if strings.HasPrefix(m+"/", all[first]+"/") {
			return m
		}
	}
	return all[first]
}

// nowhere says that nothing is promoted to the mirror that has the signatures, so that none would ever be found; nil where
// something is.
func nowhere(canonical string, set *manifest.Set) error {
	if len(set.Mirrors) == 0 || slices.Contains(set.Mirrors, canonical) {
		return nil
	}
	return fmt.Errorf("promotion.signing: no manifest promotes to %s, the mirror that is to have the signatures; they name %s", canonical, strings.Join(set.Mirrors, ", "))
}

// byPath does something for every image, repository by repository.
func byPath(ctx context.Context, w work, images []pending, do func(p pending) error) []error {
	errs, done := make([]error, len(images)), 0
	paths := map[string][]int{}
	for i, p := range images {
		paths[p.Path] = append(paths[p.Path], i)
	}
	var mu sync.Mutex
	pace.Each(slices.Sorted(maps.Keys(paths)), signAtOnce, func(_ int, path string) {
		for _, i := range paths[path] {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = do(images[i])
			}
			mu.Lock()
			done++
			w.tell(done, len(images))
			mu.Unlock()
		}
	})
	return errs
}

// at is the repository of the canonical mirror that has the signatures of a path, and what it is called in them.
func (s *signing) at(w work, path string) (repository, reference string, err error) {
	image := w.set.Image(path)
	if image == nil || !slices.ContainsFunc(image.On(), func(m int) bool { return w.set.Mirrors[m] == s.canonical }) {
		return "", "", fmt.Errorf("it is not declared on the canonical mirror %s, where signatures are", s.canonical)
	}
	return s.canonical + "/" + path, s.reference + "/" + path, nil
}

// sign signs images, and the images of all platforms that they consist of: these first, so that an image that is signed
// lacks nothing.
func (s *signing) sign(ctx context.Context, w work, images []pending) []error {
	return byPath(ctx, w, images, func(p pending) error {
		repository, reference, err := s.at(w, p.Path)
		if err != nil {
			return err
		}
		digests, err := attest.Images(ctx, w.registry, repository, p.Digest)
		for _, d := range slices.Backward(digests) {
			if err == nil {
				err = s.one(ctx, w.registry, repository, attest.Payload{Reference: reference, Digest: d})
			}
		}
		return err
	})
}

// one signs one manifest in both layouts, as far as it is not.
func (s *signing) one(ctx context.Context, reg Registry, repository string, p attest.Payload) error {
	if s.old {
		if err := s.oldLayout(ctx, reg, repository, p); err != nil {
			return err
		}
	}
	statement, err := attest.SignatureStatement(p)
	if err != nil {
		return err
	}
	return s.bundle(ctx, reg, repository, p.Digest, attest.SignatureType, func() ([]byte, error) { return statement, nil })
}

func (s *signing) oldLayout(ctx context.Context, reg Registry, repository string, p attest.Payload) error {
	if signed, err := s.signed(ctx, reg, repository, p); err != nil || signed {
		return err
	}
	payload, err := p.Encode()
	if err != nil {
		return err
	}
	signature, err := s.signer.Sign(ctx, payload)
	if err != nil {
		return err
	}
	return attest.PutSignature(ctx, reg, repository, p.Digest, attest.Signed{Payload: payload, Signature: signature})
}

// bundle attaches a statement of a kind, unless there is one of ours.
func (s *signing) bundle(ctx context.Context, reg Registry, repository, digest, kind string, statement func() ([]byte, error)) error {
	kinds, err := s.bundled(ctx, reg, repository, digest)
	if err != nil || slices.Contains(kinds, kind) {
		return err
	}
	says, err := statement()
	if err != nil {
		return err
	}
	raw, err := s.signer.Bundle(ctx, says)
	if err != nil {
		return err
	}
	return attest.PutBundle(ctx, reg, repository, digest, kind, raw)
}

// attest writes down beside images how they came into production.
func (s *signing) attest(ctx context.Context, w work, images []pending) []error {
	approvers := s.approvers(w.project.Images, w.commit)
	return byPath(ctx, w, images, func(p pending) error {
		repository, reference, err := s.at(w, p.Path)
		if err != nil {
			return err
		}
		if known, err := p.sourceKnown(ctx, w.registry); err != nil || !known {
			return err
		}
		return s.bundle(ctx, w.registry, repository, p.Digest, attest.PromotionType, func() ([]byte, error) {
			who, err := approvers()
			if err != nil {
				return nil, err
			}
			return attest.PromotionStatement(attest.Record{
				Source: p.Source + "@" + p.Digest, Destination: reference + "@" + p.Digest, Digest: p.Digest, Time: s.now().UTC().Truncate(time.Second),
				Builder: builder, Commit: cmp.Or(p.Commit, w.commit), File: w.project.Images, Line: lineOf(w, p), Approvers: who,
			}, reference)
		})
	})
}

// sourceKnown tells whether a record can say where an image came from. Of one that was found in production, and that its
// source does not hold, nobody knows, and nothing is written down.
func (p pending) sourceKnown(ctx context.Context, reg Registry) (bool, error) {
	if !p.Found {
		return true, nil
	}
	_, err := reg.Resolve(ctx, p.Source, p.Digest)
	if errors.Is(err, manifest.ErrNoManifest) || errors.Is(err, manifest.ErrNoRepository) {
		return false, nil
	}
	return err == nil, err
}

// approvers are who may approve a file by OWNERS at the commit, read once.
func (s *signing) approvers(file, commit string) func() ([]string, error) {
	return sync.OnceValues(func() ([]string, error) {
		owners, err := acl.Load(s.files, commit, acl.Options{})
		if err != nil {
			return nil, fmt.Errorf("read OWNERS: %w", err)
		}
		who, err := owners.LeafApprovers(file)
		if err != nil {
			return nil, fmt.Errorf("read OWNERS: %w", err)
		}
		return slices.Sorted(maps.Keys(who)), nil
	})
}

// lineOf is where a digest is declared; 0 where that is not known any more.
func lineOf(w work, p pending) int {
	image := w.set.Image(p.Path)
	if image == nil {
		return 0
	}
	for _, part := range image.Parts {
		for _, d := range part.Entry.Digests {
			if part.Manifest == w.project && d.Digest == p.Digest {
				return d.Line
			}
		}
	}
	return 0
}

// errUnsigned says that an image carries no signature that a rule would believe, nor one of anybody else.
var errUnsigned = errors.New("nobody has signed it")

// screen tells who signed a staging image; errUnsigned where nobody did, and attest.ErrSigner where somebody else did.
func (b believed) screen(ctx context.Context, reg Registry, repository, digest string) (by string, err error) {
	signatures, err := attest.Signatures(ctx, reg, repository, digest)
	if err != nil {
		return "", err
	}
	for _, s := range signatures {
		if by, err := b.verifier.Signature(s.Payload, s.Signature); err == nil {
			return by, nil
		}
	}
	bundles, err := attest.Bundles(ctx, reg, repository, digest)
	if err != nil {
		return "", err
	}
	for _, raw := range bundles {
		if said, by, err := b.verifier.Bundle(raw, digest); err == nil {
			if kind, err := attest.KindOf(said, digest); err == nil && kind == attest.SignatureType {
				return by, nil
			}
		}
	}
	if len(signatures) == 0 && len(bundles) == 0 {
		return "", errUnsigned
	}
	return "", attest.ErrSigner
}
