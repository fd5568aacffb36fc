// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// silent is a registry that does not answer any more.
type silent struct {
	Registry
	asked int
}

func (s *silent) Referrers(context.Context, string, string) ([]string, error) {
	s.asked++
	return nil, audit.Fail(finding.Unavailable, "503")
}

type nobody struct{}

func (nobody) Signature([]byte, attest.Signature) (string, error) { return "", attest.ErrSigner }
func (nobody) Bundle([]byte, string) ([]byte, string, error)      { return nil, "", attest.ErrSigner }
func (nobody) Whom() string                                       { return "nobody" }

// TestCheckGivesUp: where the canonical mirror falls silent after its list, it is not asked for each image (PR-10).
func TestCheckGivesUp(t *testing.T) {
	const mirror = "a.pkg.dev/k/i"
	list, l := "", manifest.Listing{Full: true, Digests: map[string]string{}}
	for i := range 200 {
		digest := fmt.Sprintf("sha256:%064d", i)
		list += fmt.Sprintf("    %q: [v%d]\n", digest, i)
		l.Digests[digest] = ""
	}
	set, _, err := manifest.Load(fstest.MapFS{
		"r/manifests/p/promoter-manifest.yaml": {Data: []byte("registries:\n- {name: src.io/p, src: true}\n- name: " + mirror + "\n")},
		"r/images/p/images.yaml":               {Data: []byte("- name: x\n  dmap:\n" + list)},
	}, "r")
	if err != nil {
		t.Fatal(err)
	}
	seal := seal{nobody{}, mirror, "r", true}
	proven, err := openProven(t.Context(), nil, seal.by())
	if err != nil {
		t.Fatal(err)
	}
	registry := &silent{}
	checked := &tagged{Registry: registry, mirror: mirror, seals: &seals{seal, proven}, listed: map[string]manifest.Listing{"x": l}}
	cover, found := checked.unsigned(t.Context(), set, 1, func(string, int, int) {})
	if registry.asked != giveUp || cover.Units != 200 || cover.Read != 0 || len(cover.Gaps) != giveUp+1 || len(found) > 0 {
		t.Errorf("asked %d times, %+v, %v", registry.asked, cover, found)
	}
}
