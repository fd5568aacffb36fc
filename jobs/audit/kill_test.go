// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/cloudfake"
)

const killProjects = 200

// landscape writes an export tree with a bucket in each of many projects.
func landscape(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	metadata, err := os.ReadFile("../../config/example/audit/projects/example-web/buckets/example-backups/metadata.txt")
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, content string) {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("OWNERS", "approvers:\n- alice\n")
	for i := range killProjects {
		project := fmt.Sprintf("audit/projects/p%03d", i)
		bucket := fmt.Sprintf("bucket-%03d", i)
		write(project+"/description.json", fmt.Sprintf(`{"projectId": "p%03d", "projectNumber": "1%03d"}`, i, i))
		text := strings.ReplaceAll(string(metadata), "example-backups", bucket)
		write(project+"/buckets/"+bucket+"/metadata.txt", strings.Replace(text, "configuration:\t\tPresent", "configuration:\t\tNone", 1))
		write(project+"/buckets/"+bucket+"/iam.json", `{"bindings": [{"role": "roles/storage.objectViewer", "members": ["projectViewer:p"]}]}`)
	}
	return dir
}

// program is one run of the real command.
type program struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command("steward", append([]string{"audit", "run", "gcs", "--parallel=4", "--lock-for=3s", "--fail-on=info"}, args...)...)}
	p.cmd.Dir, p.cmd.Stderr = t.TempDir(), &p.stderr // a disk of its own
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// finish waits for the end, which has to be "something was found".
func (p *program) finish(t *testing.T) {
	t.Helper()
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("ended with %v:\n%s", err, &p.stderr)
	}
}

// findings are those of a published report, without what tells one run from another.
func findings(t *testing.T, public string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(public, "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report map[string]any
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	if report["complete"] != true {
		t.Errorf("the report is not complete: %v", report["coverage"])
	}
	for _, f := range report["findings"].([]any) {
		delete(f.(map[string]any), "firstSeen")
		delete(f.(map[string]any), "lastSeen")
	}
	delete(report, "started")
	delete(report, "ended")
	text, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestKill (AU-4): a run that is killed with SIGKILL, again and again, and goes on from
// another disk gives the report of one that nobody disturbed, and what it had read for
// more than a moment is not read again.
func TestKill(t *testing.T) {
	dir := landscape(t)
	scenario, err := cloudfake.Declared(os.DirFS(dir), "latency: 3ms")
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
	for i := 0; i < killProjects; i += 17 {
		if err := fake.GCP.Mutate(cloudfake.Mutation{Bucket: fmt.Sprintf("bucket-%03d", i), Patch: json.RawMessage(`{"versioning": {"enabled": true}}`)}); err != nil {
			t.Fatal(err)
		}
	}
	undisturbed := t.TempDir()
	start(t, "--dir="+dir, "--gcs-endpoint="+at.URL, "--publish=file://"+undisturbed).finish(t)
	want := findings(t, undisturbed)
	whole := len(fake.Faults.Requests())

	for _, kills := range [][]int{{1}, {whole / 2}, {whole - 3}, {whole / 4, whole / 4, whole / 4}} {
		t.Run(fmt.Sprint(kills), func(t *testing.T) {
			state, public := t.TempDir(), t.TempDir()
			args := []string{"--dir=" + dir, "--gcs-endpoint=" + at.URL, "--state=file://" + state, "--publish=file://" + public, "--resume"}
			for _, n := range kills {
				fake.Faults.Heal() // forgets the requests
				p := start(t, args...)
				if err := errors.Join(fake.Faults.Until(t.Context(), n), p.cmd.Process.Kill()); err != nil {
					t.Fatal(err)
				}
				_ = p.cmd.Wait() // it was killed
			}
			fake.Faults.Heal()
			start(t, args...).finish(t)
			if got := findings(t, public); got != want {
				t.Errorf("the report differs:\n%s\nwant\n%s", got, want)
			}
			if again := len(fake.Faults.Requests()); kills[0] > whole/3 && again > whole-whole/4 {
				t.Errorf("%d of %d requests were made again", again, whole)
			}
		})
	}
}
