// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/cloudfake"
)

// realRepositories is on how many repositories of mirrors the manifests declare something.
const realRepositories = 7722

// realTree is a copy of the manifests of k8s.io without the largest project, which is half
// of them and would take minutes with the race detector.
func realTree(t *testing.T) string {
	t.Helper()
	from := filepath.Join("..", "..", "..", "shared", "data", "k8s.io", "registry.k8s.io")
	if _, err := os.Stat(from); err != nil {
		t.Skip("the real k8s.io tree is not here: ", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "registry.k8s.io"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"manifests", "images"} {
		if err := os.RemoveAll(filepath.Join(dir, "registry.k8s.io", part, "k8s-staging-kubernetes")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRealNoOp (PR-9): of the real tree, all of which is in production, every repository is
// listed once, and nothing else is asked but what each host wants first.
func TestRealNoOp(t *testing.T) {
	dir := realTree(t)
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
	if !strings.Contains(string(out), "promote plan: nothing is to be copied\n") || !strings.Contains(string(out), fmt.Sprintf("coverage: repositories %d units", realRepositories)) {
		t.Errorf("%v:\n%s", err, out)
	}
	lists, all := 0, fake.Faults.Requests()
	for _, r := range all {
		if strings.Contains(r.Path, "/tags/list") {
			lists++
		}
	}
	if lists != realRepositories || len(all) > lists*102/100 {
		t.Errorf("%d requests, of which %d are lists", len(all), lists)
	}
	t.Logf("%d requests, %v CPU", len(all), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
}
