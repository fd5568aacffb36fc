// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/child"
)

// server is a running program that speaks Boskos's interface.
type server struct {
	t      testing.TB
	name   string
	url    string
	cmd    *exec.Cmd
	log    string // file
	exited chan struct{}
}

// startBoskos runs the real Boskos on the objects of a namespace.
func startBoskos(t testing.TB, c *cluster, namespace, config string) *server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "boskos-resources.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := child.FreePorts(t, 4)
	args := []string{"--config=" + file, "--kubeconfig=" + c.Kubeconfig, "--namespace=" + namespace, "--log-level=error"}
	for i, name := range []string{"port", "metrics-port", "health-port", "pprof-port"} {
		args = append(args, fmt.Sprintf("--%s=%d", name, ports[i]))
	}
	return launch(t, dir, "http://"+child.Loopback(ports[0]), "boskos", args...)
}

// launch starts a program that ends with the test, and waits until it answers.
func launch(t testing.TB, dir, url, program string, args ...string) *server {
	t.Helper()
	b := &server{t: t, url: url, name: program, log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	out, err := os.Create(b.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b.cmd = exec.Command(program, args...)
	b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr = dir, out, out
	child.DieWithParent(b.cmd)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait() // it is killed in the end
		close(b.exited)
	}()
	t.Cleanup(b.stop)
	child.Within(t, program+" answers", func() bool {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	return b
}

// stop kills it.
func (b *server) stop() {
	b.t.Helper()
	_ = b.cmd.Process.Kill() // fails only for a process that has ended
	select {
	case <-b.exited:
	case <-time.After(child.Patience):
		b.t.Errorf("%s does not end", b.name)
	}
}

// ask makes a request and returns the status and the body.
func (b *server) ask(method, path, body string, pairs ...string) (int, string) {
	b.t.Helper()
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	status, answer, err := send(http.DefaultClient, method, b.url+path+"?"+query.Encode(), body)
	if err != nil {
		b.t.Fatal(err)
	}
	return status, answer
}

// send is ask for who can do without an answer.
func send(client *http.Client, method, url, body string) (int, string, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(bytes.TrimSpace(answer)), err
}

// must is ask for what has to succeed. Boskos reads from a cache that runs behind its own writes, so that a request may have
// to be repeated.
func (b *server) must(method, path, body string, pairs ...string) string {
	b.t.Helper()
	var answer string
	child.Within(b.t, method+" "+path+" "+strings.Join(pairs, " "), func() bool {
		var status int
		status, answer = b.ask(method, path, body, pairs...)
		return status == http.StatusOK
	})
	return answer
}

// acquire takes a resource by way of Boskos.
func (b *server) acquire(typ, owner string) (name string) {
	b.t.Helper()
	var got struct{ Name string }
	answer := b.must("POST", "/acquire", "", "type", typ, "state", "free", "dest", "busy", "owner", owner)
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		b.t.Fatal(err)
	}
	return got.Name
}

// metric is what Boskos says of a type.
func (b *server) metric(typ string) string {
	b.t.Helper()
	return b.must("GET", "/metric", "", "type", typ)
}
