// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/disk"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/state"
)

func kept() error { return nil }

// TestLostLock (PR-15): who lost the lock writes nothing.
func TestLostLock(t *testing.T) {
	s := openStore(t)
	j, err := openJournal(t.Context(), s, func() error { return state.ErrLost })
	if err != nil {
		t.Fatal(err)
	}
	j.put("p", pending{Path: "x", Digest: "sha256:1", Phases: []string{"copy"}})
	if err := j.save(t.Context(), "p"); !errors.Is(err, state.ErrLost) {
		t.Errorf("got %v", err)
	}
	if keys, err := s.List(t.Context(), ""); err != nil || len(keys) != 0 {
		t.Errorf("keys %v, %v", keys, err)
	}
}

func openStore(t *testing.T) state.Store {
	t.Helper()
	s, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJournal(t *testing.T) {
	s := openStore(t)
	j, err := openJournal(t.Context(), s, kept)
	if err != nil {
		t.Fatal(err)
	}
	for _, project := range []string{"p", "Odd Name"} {
		j.put(project, pending{Path: "x", Digest: "sha256:1", Phases: []string{"copy", "sign"}})
		j.put(project, pending{Path: "y", Digest: "sha256:2", Phases: []string{"sign"}})
		if err := j.save(t.Context(), project); err != nil {
			t.Fatal(err)
		}
	}
	if j, err = openJournal(t.Context(), s, kept); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(j.of("Odd Name")); got != "[{x sha256:1  [] [copy sign]  false []} {y sha256:2  [] [sign]  false []}]" {
		t.Errorf("left: %s", got)
	}
	for _, p := range j.of("p") {
		j.put("p", p.done("sign"))
	}
	if got := fmt.Sprint(j.of("p")); got != "[{x sha256:1  [] [copy]  false []}]" {
		t.Errorf("left: %s", got)
	}
	j.put("p", j.of("p")[0].done("copy"))
	if err := j.save(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.List(t.Context(), pendingKey); err != nil || len(keys) != 1 {
		t.Errorf("keys %v, %v", keys, err)
	}
	for _, broken := range []string{"", "{}", `{"version": 2, "project": "p"}`} {
		if err := state.Replace(t.Context(), s, pendingKey+"p.json", []byte(broken)); err != nil {
			t.Fatal(err)
		}
		if _, err := openJournal(t.Context(), s, kept); err == nil || !strings.Contains(err.Error(), "is not one of this program") {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

func TestLastCommit(t *testing.T) {
	s := openStore(t)
	j, err := openJournal(t.Context(), s, kept)
	if err != nil {
		t.Fatal(err)
	}
	ancestors := map[string]bool{"old new": true}
	deps := Deps{Ancestor: func(_ context.Context, _, older, newer string) (bool, error) {
		if newer == "gone" {
			return false, errors.New("not here")
		}
		return ancestors[older+" "+newer], nil
	}}
	var f runFlags
	lastOf := func(j *journal) string {
		last, err := j.last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return last.Commit
	}
	if err := f.refuseOlder(t.Context(), deps, lastOf(j), "new"); err != nil {
		t.Errorf("the first run: %v", err)
	}
	if err := j.begin(t.Context(), applied{Commit: "old"}); err != nil {
		t.Fatal(err)
	}
	for commit, want := range map[string]string{"old": "", "new": "", "aside": "does not contain old", "gone": "not here"} {
		err := f.refuseOlder(t.Context(), deps, lastOf(j), commit)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", commit, err)
		}
	}
	if err := state.Replace(t.Context(), s, appliedKey, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.last(t.Context()); err == nil {
		t.Error("a broken record was taken for none")
	}
}

// TestPhases: what is left of a phase is done once, whatever the copy was; an image
// that no mirror has, or that is not declared any more, is not touched.
func TestPhases(t *testing.T) {
	digest := func(n int) string { return fmt.Sprintf("sha256:%064d", n) }
	files := fstest.MapFS{
		"r/manifests/p/promoter-manifest.yaml": {Data: []byte("registries:\n- {name: src.io/p, src: true}\n- name: a.pkg.dev/k/i\n")},
		"r/images/p/images.yaml":               {Data: []byte("- name: x\n  dmap:\n    " + digest(1) + ": [v1]\n    " + digest(2) + ": [v2]\n    " + digest(3) + ": [v3]\n")},
	}
	set, problems, err := manifest.Load(files, "r")
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t)
	j, err := openJournal(t.Context(), s, kept)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"copy", "sign", "attest"}
	for n := 1; n <= 4; n++ {
		j.put("p", pending{Path: "x", Digest: digest(n), Phases: all})
	}
	run := func(inventory string, fails map[string]bool) (signed []string, r *runner) {
		c := promotion.Compare(set, problems, nil)
		if err := c.ReadInventory(strings.NewReader(inventory)); err != nil {
			t.Fatal(err)
		}
		projects, err := c.Projects("")
		if err != nil {
			t.Fatal(err)
		}
		sign := phase{"sign", func(_ context.Context, w work, images []pending) []error {
			var errs []error
			for _, p := range images {
				signed = append(signed, w.project.Name+" "+p.Digest[len(p.Digest)-1:])
				errs = append(errs, nil)
				if fails[p.Digest] {
					errs[len(errs)-1] = errors.New("no token")
				}
			}
			return errs
		}}
		open := func(context.Context, string, string) (fs.FS, string, func() error, error) {
			return files, "", func() error { return nil }, nil
		}
		r = &runner{
			planned: planned{declared: declared{set: set}, compared: c, projects: projects}, journal: j, phases: []phase{sign}, all: all,
			results: map[string]*projectResult{}, progress: newProgress(io.Discard), brake: brake{deps: Deps{OpenCommit: open}},
		}
		if err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if j, err = openJournal(t.Context(), s, kept); err != nil {
			t.Fatal(err)
		}
		return signed, r
	}

	// 1 and 2 arrived and the run was killed; 3 did not arrive; 4 is not declared.
	there := `{"a.pkg.dev/k/i/x": {"` + digest(1) + `": ["v1"], "` + digest(2) + `": ["v2"]}}`
	signed, r := run(there, map[string]bool{digest(2): true})
	if got := fmt.Sprint(signed); got != "[p 1 p 2]" {
		t.Errorf("signed %s", got)
	}
	if len(r.found) != 1 || r.found[0].Rule != promotion.RulePhase || !strings.Contains(r.found[0].Message, "sign is left of 1 of 2 images") {
		t.Errorf("found %+v", r.found)
	}
	left := func() string {
		var all []string
		for _, p := range j.of("p") {
			all = append(all, p.Digest[len(p.Digest)-1:]+fmt.Sprint(p.Phases))
		}
		return strings.Join(all, " ")
	}
	if got := left(); got != "1[attest] 2[sign attest] 3[copy sign attest]" {
		t.Errorf("left %s", got)
	}
	if signed, _ := run(there, nil); fmt.Sprint(signed) != "[p 2]" || left() != "1[attest] 2[attest] 3[copy sign attest]" {
		t.Errorf("signed %v, left %s", signed, left())
	}
	files["freeze.yaml"] = &fstest.MapFile{Data: []byte("- {scope: all, reason: fire}\n")}
	there = `{"a.pkg.dev/k/i/x": {"` + digest(1) + `": ["v1"], "` + digest(2) + `": ["v2"], "` + digest(3) + `": ["v3"]}}`
	if signed, r := run(there, nil); len(signed) > 0 || left() != "1[attest] 2[attest] 3[sign attest]" || len(r.found) != 1 {
		t.Errorf("signed %v while frozen, left %s, found %v", signed, left(), r.found)
	}
}
