// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/steward/config"
)

// patience bounds the life of every program. It is no assertion: what takes longer hangs.
const patience = time.Minute

// runs is what is tried with the program of each image.
func runs() map[string]func(*testing.T, string) {
	return map[string]func(*testing.T, string){
		"steward":      runSteward,
		"steward-hook": runHook,
		"steward-pool": runPool,
		"steward-git":  runWithGit,
	}
}

// inside prepares a program in an unpacked image as a runtime would start it: nothing but the image in sight, and as
// the account of the image. Who is not root gets the program alone, with the paths of this machine.
func inside(t *testing.T, dir, program string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/usr/local/bin/"+program, args...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/nonroot"}
	null := filepath.Join(dir, "dev/null") // a runtime brings the devices; files will do for one run
	put(t, null, nil, 0o666)
	put(t, filepath.Join(dir, "dev/urandom"), []byte(rand.Text()), 0o444)
	if err := os.Chmod(null, 0o666); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		cmd.Dir = "/"
		return cmd
	}
	cmd.Path, cmd.Dir = filepath.Join(dir, cmd.Path), dir
	for i, arg := range args {
		cmd.Args[i+1] = strings.ReplaceAll(arg, "=/", "="+dir+"/")
	}
	return cmd
}

// try runs a program to its end and returns what it prints.
func try(t *testing.T, code int, cmd *exec.Cmd) string {
	t.Helper()
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Errorf("%s: %v, want exit code %d\n%s", cmd.Args, cmd.ProcessState, code, out)
	}
	return string(out)
}

// expect fails where a program does not print a text.
func expect(t *testing.T, out, want string) {
	t.Helper()
	if !strings.Contains(out, want) {
		t.Errorf("no %q in:\n%s", want, out)
	}
}

// addExample puts the example community into an image, as a volume would be.
func addExample(t *testing.T, dir string) {
	t.Helper()
	err := fs.WalkDir(config.Example, "example", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := config.Example.ReadFile(name)
		if err == nil {
			put(t, filepath.Join(dir, name), content, 0o644)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The checks of a working tree need no git; those of a revision say that it is missing.
func runSteward(t *testing.T, dir string) {
	addExample(t, dir)
	expect(t, try(t, 0, inside(t, dir, "steward", "--version")), version)
	expect(t, try(t, 0, inside(t, dir, "steward", "--help")), "Usage:")
	played := try(t, 0, inside(t, dir, "steward", "demo", "--once"))
	try(t, 0, inside(t, dir, "steward", "owners", "lint", "--dir=/example"))
	try(t, 0, inside(t, dir, "steward", "verify", "--dir=/example"))
	if os.Geteuid() == 0 { // a machine has git where an image has not
		expect(t, played, "steward promote run is left out")
		expect(t, try(t, 1, inside(t, dir, "steward", "verify", "--dir=/example", "--base=HEAD~1")), `exec: "git": executable file not found`)
	}
}

// The image for presubmits compares a change with its base: a fault of the base is not reported, one of the change is.
// It plays the whole demo.
func runWithGit(t *testing.T, dir string) {
	if played := try(t, 0, inside(t, dir, "steward", "demo", "--once")); strings.Contains(played, "left out") {
		t.Errorf("a part of the demo is left out:\n%s", played)
	}
	addExample(t, dir)
	repo := filepath.Join(dir, "example")
	git := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo, "-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args, err, out)
		}
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "base")
	try(t, 0, inside(t, dir, "steward", "verify", "--dir=/example", "--base=HEAD"))
	put(t, filepath.Join(repo, "dns", "OWNERS"), []byte("aprovers: [alice]\n"), 0o644)
	expect(t, try(t, 2, inside(t, dir, "steward", "verify", "--dir=/example", "--base=HEAD")), "dns/OWNERS")
}

// pushBase makes an image with this machine's git, as a base that somebody else maintains.
func pushBase(t *testing.T, reference string) {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ldd", program).Output()
	if err != nil {
		t.Fatalf("libraries of git: %v", err)
	}
	files := []entry{{path: "/tmp", mode: 0o1777}, fileEntry(t, program, "/usr/bin/git")}
	for field := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(field, "/") {
			files = append(files, fileEntry(t, field, field))
		}
	}
	layer, err := layerOf(types.OCILayer, time.Unix(0, 0), files...)
	if err != nil {
		t.Fatal(err)
	}
	scratch := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(scratch, layer)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

func fileEntry(t *testing.T, file, target string) entry {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return entry{path: target, mode: 0o755, content: content}
}

func runHook(t *testing.T, dir string) {
	expect(t, try(t, 0, inside(t, dir, "steward-hook", "--help")), "--hmac-secret-file")
	put(t, filepath.Join(dir, "etc/webhook/hmac"), []byte("secret"), 0o644)
	put(t, filepath.Join(dir, "etc/steward/steward.yaml"), []byte("repos: {example-org/example-infra: {plugins: [owners]}}\n"), 0o644)
	runServer(t, dir, inside(t, dir, "steward-hook", "--config=/etc/steward/steward.yaml", "--hmac-secret-file=/etc/webhook/hmac", "--data-dir=/var/lib/steward",
		"--github-endpoint=http://127.0.0.1:1", "--github-graphql-endpoint=http://127.0.0.1:1/graphql",
		"--bind-address=127.0.0.1", "--port=0", "--health-port=0", "--metrics-port=0", "--pprof-port=0"))
}

func runPool(t *testing.T, dir string) {
	expect(t, try(t, 0, inside(t, dir, "steward-pool", "--help")), "--basic-auth-file")
	put(t, filepath.Join(dir, "etc/steward/resources.yaml"), []byte("resources: [{type: project, names: [p1]}]\n"), 0o644)
	runServer(t, dir, inside(t, dir, "steward-pool", "--config=/etc/steward/resources.yaml", "--data-dir=/var/lib/steward",
		"--bind-address=127.0.0.1", "--port=0", "--health-port=0", "--metrics-port=0", "--pprof-port=0"))
}

// runServer starts a server as an unprivileged account that can write nothing but its data directory, and ends it.
func runServer(t *testing.T, dir string, cmd *exec.Cmd) {
	t.Helper()
	data := filepath.Join(dir, "var/lib/steward")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(data, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	health, rest := serving(t, log)
	client := http.Client{Timeout: patience}
	resp, err := client.Get("http://" + health + "/healthz/ready")
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("readiness: %s", resp.Status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	tail := <-rest
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, tail)
	}
}

// serving reads the log until the server serves and returns the address of its health port. What comes after is sent
// when the log ends.
func serving(t *testing.T, log io.Reader) (health string, rest <-chan []byte) {
	t.Helper()
	var seen bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(log, &seen))
	for lines.Scan() {
		var entry struct{ Msg, Health string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "Serving" {
			tail := make(chan []byte, 1)
			go func() {
				out, _ := io.ReadAll(log)
				tail <- out
			}()
			return entry.Health, tail
		}
	}
	t.Fatalf("it does not serve:\n%s", seen.String())
	return "", nil
}
