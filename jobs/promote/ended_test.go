// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/job"
)

// TestEndedEarly (PR-21): a run whose journal cannot be written any more has nothing to show that looks like the end.
func TestEndedEarly(t *testing.T) {
	u, state, artifacts := produce(t), t.TempDir(), t.TempDir()
	pending := filepath.Join(state, "promote", "pending")
	full := sync.OnceFunc(func() { // a file where the folder was: what follows cannot be kept
		if err := os.Rename(pending, filepath.Join(state, "kept")); err != nil {
			t.Error(err)
		}
		write(t, pending, "")
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			full()
		}
		u.fake.Handler().ServeHTTP(w, r)
	}))
	defer s.Close()
	metrics := filepath.Join(artifacts, "metrics")
	u.args = slices.DeleteFunc(u.args, func(a string) bool { return strings.HasPrefix(a, "--registry=") })
	u.args = append(u.args, "--state=file://"+state, "--registry=*="+s.Listener.Addr().String(), "--artifacts="+artifacts, "--metrics="+metrics)
	code, out := u.run(t.Context(), t)
	if code != job.Failed || !strings.Contains(out, "PROMOTE-12") || strings.Contains(out, "no findings") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	content := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(artifacts, name))
		if err != nil {
			t.Error(err)
		}
		return string(raw)
	}
	var said struct {
		Complete bool
		Findings []struct{ Rule string }
	}
	if err := json.Unmarshal([]byte(content("promote.json")), &said); err != nil || said.Complete || len(said.Findings) != 1 || said.Findings[0].Rule != "PROMOTE-12" {
		t.Errorf("%+v, %v", said, err)
	}
	if junit := content("junit_promote.xml"); !strings.Contains(junit, "PROMOTE-12") || !strings.Contains(junit, `failures="1"`) {
		t.Errorf("JUnit says %s", junit)
	}
	if m := content("metrics"); !strings.Contains(m, "steward_promote_complete 0") {
		t.Errorf("the metrics are %s", m)
	}
	// What was kept before is done by the next.
	if err := os.Remove(pending); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(state, "kept"), pending); err != nil {
		t.Fatal(err)
	}
	if code, out := u.run(t.Context(), t); code != 0 || strings.Join(u.signatures(t), ", ") != wantSignatures {
		t.Errorf("exit code %d, %v:\n%s", code, u.signatures(t), out)
	}
}
