// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package prowhook runs Prow's own hook and checkconfig, as pinned in tools/prow, for tests.
//
// hook needs no cluster: its clients are lazy and the kubeconfig it gets points nowhere. It cannot start with
// --dry-run=true, so whatever GitHub it is given sees real writes.
package prowhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// patience bounds every wait for another process. A healthy hook is ready within three seconds.
const patience = 60 * time.Second

// Config is what a hook is started with. Prow's settings are YAML as in config.yaml and plugins.yaml; GitHub is
// the URL of the REST endpoint; Secret is the one HMAC secret of all repositories.
type Config struct {
	Prow    string
	Plugins string
	GitHub  string
	Secret  string
}

// Hook is a running hook. URL has no path; /hook takes deliveries and /plugin-help
// answers with the help of every plugin. Log is the file of its output.
type Hook struct {
	URL    string
	Log    string
	secret string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Bin returns the folder of the programs of tools/prow and builds them where they are missing.
func Bin(t testing.TB) string {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin, _, err := toolbin.Build(t.Context(), root, "prow")
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Start runs a hook until the test ends and returns when it is ready. A port chosen free may be taken before
// hook listens on it, so a hook that ends early is tried again on other ports.
func Start(t testing.TB, c Config) *Hook {
	t.Helper()
	bin, dir := Bin(t), t.TempDir()
	flags, err := c.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "--github-endpoint="+c.GitHub)
	var h *Hook
	for range 3 {
		if h, err = launch(t, filepath.Join(bin, "hook"), dir, slices.Clone(flags)); err != nil {
			t.Fatal(err)
		}
		if h.secret = c.Secret; h.ready(t.Context()) {
			return h
		}
		h.Stop()
	}
	t.Fatalf("hook is not ready after %v:\n%s", patience, h.Output())
	return nil
}

// write puts the files that hook reads into dir and returns the flags that name them.
func (c Config) write(dir string) ([]string, error) {
	const nowhere = `{apiVersion: v1, kind: Config, current-context: none,
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}],
users: [{name: none, user: {}}],
contexts: [{name: none, context: {cluster: none, user: none}}]}
`
	var flags []string
	for _, f := range []struct{ flag, name, content string }{
		{"--config-path", "config.yaml", c.Prow},
		{"--plugin-config", "plugins.yaml", c.Plugins},
		{"--hmac-secret-file", "hmac", c.Secret},
		{"--github-token-path", "token", "not-a-token"},
		{"--kubeconfig", "kubeconfig", nowhere},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, []byte(f.content), 0o600); err != nil {
			return nil, fmt.Errorf("configure hook: %w", err)
		}
		flags = append(flags, f.flag+"="+path)
	}
	return flags, nil
}

func launch(t testing.TB, program, dir string, flags []string) (*Hook, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, fmt.Errorf("start hook: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, "hook.log"))
	if err != nil {
		return nil, fmt.Errorf("start hook: %w", err)
	}
	defer log.Close()
	for i, name := range []string{"port", "health-port", "metrics-port", "pprof-port"} {
		flags = append(flags, "--"+name+"="+strconv.Itoa(ports[i]))
	}
	cmd := exec.Command(program, append(flags, "--dry-run=false", "--cache-dir-base="+dir)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start hook: %w", err)
	}
	h := &Hook{URL: "http://127.0.0.1:" + strconv.Itoa(ports[0]), Log: log.Name(), cmd: cmd, exited: make(chan struct{})}
	go func() {
		// How a hook ends that is killed says nothing.
		_ = cmd.Wait()
		close(h.exited)
	}()
	t.Cleanup(h.Stop)
	return h, nil
}

// freePorts returns ports of the loopback address that nothing listened on a moment ago.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// ready waits until hook answers and says whether it does; a hook that has ended never will.
func (h *Hook) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(h.URL); err == nil {
			resp.Body.Close()
			return true
		}
		select {
		case <-h.exited:
			return false
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// Stop kills the hook and waits for its end. It may be called again.
func (h *Hook) Stop() {
	// The only error is that the process has ended, which is what is wanted.
	_ = h.cmd.Process.Kill()
	<-h.exited
}

// Deliver sends an event as GitHub does, with both signatures, and returns what hook answers.
func (h *Hook) Deliver(t testing.TB, event, guid string, body []byte) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+"/hook", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "GitHub-Hookshot/e2e")
	req.Header.Set("X-GitHub-Event", event)
	req.Header.Set("X-GitHub-Delivery", guid)
	req.Header.Set("X-Hub-Signature", "sha1="+sign(sha1.New, h.secret, body))
	req.Header.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, h.secret, body))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func sign(algorithm func() hash.Hash, secret string, body []byte) string {
	mac := hmac.New(algorithm, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Output returns the last of what hook has logged, for a failed test to show.
func (h *Hook) Output() string {
	const enough = 4000
	log, err := os.ReadFile(h.Log)
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-enough):])
}

// Checkconfig runs Prow's checkconfig with every warning as an error and returns what it prints.
func Checkconfig(t testing.TB, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(Bin(t), "checkconfig"), append(args, "--strict")...).CombinedOutput()
	return string(out), err
}
