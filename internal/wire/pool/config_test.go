// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"os"
	"path/filepath"
	"testing"
)

// A file that is changed is read, and so is one that is changed back. One with a fault is told once, changes nothing, and is
// nothing that a new term could not begin with (P-19).
func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resources.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const one, two, faulty = "resources: [{type: a, names: [x]}]\n", "resources: [{type: a, names: [y]}]\n", "resources: [{type: a, nmaes: [y]}]\n"
	c := &config{path: path}
	write(faulty)
	if _, _, err := c.read(); err == nil {
		t.Error("a pool begins with a fault")
	}
	write(one)
	if good, fault, err := c.read(); err != nil || fault != nil || good.Static[0].Names[0] != "x" {
		t.Fatalf("%+v, %v, %v", good, fault, err)
	}
	for i, step := range []struct {
		text           string
		changed, fault bool
	}{
		{one, false, false}, {two, true, false}, {two, false, false}, {one, true, false}, {faulty, false, true}, {faulty, false, false},
		{one, false, false}, {two, true, false},
	} {
		write(step.text)
		got, changed, err := c.changed()
		if changed != step.changed || (err != nil) != step.fault {
			t.Errorf("step %d: changed %v, %v", i, changed, err)
		}
		if changed {
			c.applied(got)
		}
	}
	write(faulty)
	if good, fault, err := c.read(); err != nil || fault == nil || good.Static[0].Names[0] != "y" {
		t.Errorf("a new term: %+v, %v, %v", good, fault, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if good, fault, err := c.read(); err != nil || fault == nil || good.Static[0].Names[0] != "y" {
		t.Errorf("without a file: %+v, %v, %v", good, fault, err)
	}
}
