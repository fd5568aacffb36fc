// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

func TestPick(t *testing.T) {
	all := stages()
	for _, c := range []struct {
		names []string
		want  string
		ok    bool
	}{
		{nil, "packages tidy build lint lint demo build prow build boskos build rivals build cosign build kpromo build versitygw build kube test", true},
		{[]string{"test", "lint"}, "lint test", true},
		{[]string{"lint", "lnit"}, "", false},
	} {
		got, err := pick(all, c.names)
		var names []string
		for _, s := range got {
			names = append(names, s.name)
		}
		if strings.Join(names, " ") != c.want || (err == nil) != c.ok {
			t.Errorf("pick %q: %q, %v", c.names, names, err)
		}
	}
}

// A failed stage is in the table and fails the run.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	good := stage{"good", func(context.Context, string) (bool, error) { return true, nil }}
	bad := stage{"bad", func(context.Context, string) (bool, error) { return false, errors.New("broken") }}
	results := []result{measure(t.Context(), good, ""), measure(t.Context(), bad, "")}
	if err := table(&out, results[:1]); err != nil {
		t.Errorf("good stages: %v", err)
	}
	if err := table(&out, results); err == nil || err.Error() != "bad failed" {
		t.Errorf("a failed stage: %v", err)
	}
	for _, row := range []string{"stage         seconds  cached\n", "good              0.0  yes\n", "bad               0.0  FAILED\n", "all               0.0\n"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no row %q in\n%s", row, out.String())
		}
	}
}
