// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/steward/e2e/child"
)

// TestSwitchPage runs the commands of docs/switch-boskos.md as they stand there, with leases that are held. A stand-in for
// kubectl starts and stops the real Boskos and steward-pool, and reads the real objects; a command that it does not know fails.
func TestSwitchPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/switch-boskos.md")
	if err != nil {
		t.Fatal(err)
	}
	c := startCluster(t)
	s := &stage{t: t, c: c, namespace: c.Namespace(t)}
	s.boskos = startBoskos(t, c, s.namespace, config)
	s.service = s.boskos
	first, second := s.boskos.acquire("project", "job-a"), s.boskos.acquire("project", "job-b")
	const before = `{"type":"project","current":{"busy":2,"free":2},"owner":{"":2,"job-a":1,"job-b":1}}`
	child.Within(t, "Boskos has seen its own writes", func() bool { return s.boskos.metric("project") == before })

	out := s.run(commands(t, string(page), "## Take over a namespace"))
	for _, want := range []string{first + " project busy job-a", second + " project busy job-b"} {
		if !strings.Contains(out, want) {
			t.Errorf("taken over: %q is missing in\n%s", want, out)
		}
	}
	if got := s.service.metric("project"); got != before {
		t.Errorf("taken over as %s, want %s", got, before)
	}
	if s.service != s.pool {
		t.Error("the service does not lead to steward-pool")
	}
	s.service.must("POST", "/update", "", "name", first, "owner", "job-a", "state", "busy")
	s.service.must("POST", "/release", "", "name", second, "owner", "job-b", "dest", "dirty")
	third := s.service.acquire("project", "job-c")

	s.run(commands(t, string(page), "## Hand it back"))
	if s.service != s.boskos {
		t.Error("the service does not lead to Boskos")
	}
	want := `{"type":"project","current":{"busy":2,"dirty":1,"free":1},"owner":{"":2,"job-a":1,"job-c":1}}`
	child.Within(t, "Boskos has seen everything", func() bool { return s.service.metric("project") == want })
	s.service.must("POST", "/release", "", "name", third, "owner", "job-c", "dest", "free")
}

// commands returns the commands of a section, in their order.
func commands(t *testing.T, page, heading string) string {
	t.Helper()
	_, section, ok := strings.Cut(page, heading+"\n")
	if !ok {
		t.Fatalf("the page has no %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	for i, part := range strings.Split(section, "```") {
		if i%2 == 1 {
			all = append(all, part)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%q has no commands", heading)
	}
	return strings.Join(all, "\n")
}

// stage is the namespace with what runs in it.
type stage struct {
	t                     *testing.T
	c                     *cluster
	namespace             string
	boskos, pool, service *server
}

// call is a command of the page on its way to the stage.
type call struct {
	args   []string
	answer chan error
	out    io.Writer
}

// run runs commands. They reach the stage one by one, in the goroutine of the test.
func (s *stage) run(script string) string {
	s.t.Helper()
	calls := make(chan call)
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		answer := make(chan error)
		if err == nil {
			calls <- call{strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"), answer, w}
			err = <-answer
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	defer control.Close()
	dir := s.t.TempDir()
	for _, name := range []string{"kubectl", "steward"} {
		shim := "#!/bin/sh\nprintf '%s\\n' " + name + " \"$@\" | curl -sS --fail-with-body --data-binary @- " + control.URL + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(shim), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(s.t.Context(), "sh", "-eux", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.Dir = "../.."
	type ended struct {
		out []byte
		err error
	}
	done := make(chan ended)
	go func() {
		out, err := cmd.CombinedOutput()
		done <- ended{out, err}
	}()
	for {
		select {
		case call := <-calls:
			call.answer <- s.perform(call)
		case end := <-done:
			if end.err != nil {
				s.t.Fatalf("the commands of the page: %v\n%s", end.err, end.out)
			}
			return string(end.out)
		}
	}
}

// perform does what a command of the page says.
func (s *stage) perform(c call) error {
	args := slices.DeleteFunc(slices.Clone(c.args), func(a string) bool { return a == "-n" || a == "test-pods" })
	switch line := strings.Join(args, " "); {
	case line == "kubectl scale deployment boskos --replicas=0":
		s.boskos.stop()
	case line == "kubectl scale deployment boskos --replicas=1":
		s.boskos = startBoskos(s.t, s.c, s.namespace, config)
		s.service = s.boskos // its address is a new one
	case line == "kubectl scale statefulset steward-pool --replicas=0":
		return s.term(s.pool)
	case line == "kubectl apply -k config/kubernetes/pool":
		if _, err := os.Stat("../../config/kubernetes/pool/kustomization.yaml"); err != nil {
			return err
		}
		s.pool = startPool(s.t, s.c, s.namespace, "steward-pool-0")
	case strings.HasPrefix(line, "kubectl wait --for=delete pod -l app="):
	case strings.HasPrefix(line, "kubectl patch service boskos --patch"):
		s.service = s.boskos
		if strings.Contains(line, `"app": "steward-pool"`) {
			s.service = s.pool
		}
	case line == "kubectl get resources":
		return s.list(c.out)
	case line == "steward pool status --server http://boskos.test-pods":
		_, err := fmt.Fprintln(c.out, s.service.must("GET", "/v1/types", ""))
		return err
	default:
		return fmt.Errorf("the page has a command that is not known here: %s", line)
	}
	return nil
}

// term ends a server as Kubernetes does.
func (s *stage) term(b *server) error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.exited:
		return nil
	case <-time.After(child.Patience):
		return fmt.Errorf("%s does not end", b.name)
	}
}

// list prints the objects with the columns of Boskos's definition.
func (s *stage) list(out io.Writer) error {
	all, err := s.c.resources(s.t, s.namespace).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, o := range all.Items {
		spec, _ := o.Object["spec"].(map[string]any)
		status, _ := o.Object["status"].(map[string]any)
		fmt.Fprintln(out, o.GetName(), spec["type"], status["state"], status["owner"])
	}
	return nil
}
