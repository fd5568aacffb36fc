// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/cloudfake"
)

// TestRealNoOp (PR-9): of the real tree, all of which is in production, 9,790 repositories
// are listed, and nothing else is asked but what each host wants first.
func TestRealNoOp(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand requests")
	}
	dir := filepath.Join("..", "..", "..", "shared", "data", "k8s.io")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the real k8s.io tree is not here: ", err)
	}
	scenario, err := cloudfake.Declared(os.DirFS(dir), "")
	if err != nil {
		t.Fatal(err)
	}
	fake := cloudfake.New(cloudfake.Options{})
	if err := fake.Load(scenario); err != nil {
		t.Fatal(err)
	}
	at, stop, err := fake.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	cmd := exec.Command("steward", "promote", "plan", "--dir="+dir, "--rate=100000", "--registry=*="+strings.TrimPrefix(at.URL, "http://"))
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "promote plan: nothing is to be copied\n") || !strings.Contains(string(out), "coverage: repositories 9790 units") {
		t.Errorf("%v:\n%s", err, out)
	}
	lists, all := 0, fake.Faults.Requests()
	for _, r := range all {
		if strings.Contains(r.Path, "/tags/list") {
			lists++
		}
	}
	if lists != 9790 || len(all) > lists*102/100 {
		t.Errorf("%d requests, of which %d are lists", len(all), lists)
	}
	t.Logf("%d requests, %v CPU", len(all), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
}
