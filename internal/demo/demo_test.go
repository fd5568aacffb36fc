// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

// Every expectation of the script holds, and a person can take part afterwards.
func TestDemo(t *testing.T) {
	var out strings.Builder
	in := strings.NewReader("alice 1 /infra help why\n\nnonsense\nalice x y\nmallory 1 /infra frozen\n")
	if err := Run(t.Context(), in, &out, false); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		"Take part", "/infra why [@user] [path…]", "write WHO NUMBER TEXT", `"x" is not the number`,
		"does not list mallory as a collaborator", "gce-project  3     0     0      0         0            0      3     0",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, &out)
		}
	}
}

// Where there is no git, what reads a commit is said to be left out, and all the rest is played.
func TestDemoWithoutGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out strings.Builder
	if err := Run(t.Context(), strings.NewReader(""), &out, true); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"(steward promote run is left out", "(left out: the janitor reads a commit", "the lease of ci-gpu/17: expired"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, &out)
		}
	}
}

// The demo is a check: what is not as expected fails it.
func TestExpectationsCanFail(t *testing.T) {
	var out strings.Builder
	s := &stage{out: &out, dir: t.TempDir()}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := s.play(t.Context(), []step{{
		act:     ghfake.Act{As: "rey", Do: "open-pull", Title: "x", Files: map[string]string{"f": "x"}},
		context: map[string]string{"steward/owners": "failure", "steward/none": "success"},
	}, {
		act: comment("rey", 1, "/infra frozen"), answer: []string{"everything is frozen"},
	}})
	for _, want := range []string{"steward/owners is success, want failure", `does not say "everything is frozen"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
