// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	killProjects = 3
	killImages   = 6 // of a project
)

var killMirrors = []string{"us-docker.pkg.dev/prod/images", "europe-docker.pkg.dev/prod/images"}

// community writes a repository with several projects whose images are in their staging
// registries, and returns its directory and the references that production is to have.
func community(t *testing.T, r *registries) (dir string, want map[string]string) {
	t.Helper()
	dir, want = t.TempDir(), map[string]string{}
	for p := range killProjects {
		project := fmt.Sprintf("p%d", p)
		var images, manifest strings.Builder
		fmt.Fprintf(&manifest, "registries:\n- {name: us-docker.pkg.dev/staging/%s, src: true}\n", project)
		for _, m := range killMirrors {
			fmt.Fprintf(&manifest, "- name: %s\n", m)
		}
		for i := range killImages {
			name := fmt.Sprintf("%s-%d", project, i)
			digest, err := r.push("us-docker.pkg.dev/staging/"+project+"/"+name, int64(100+p*killImages+i))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&images, "- name: %s\n  dmap:\n    %q: [v1]\n", name, digest)
			for _, m := range killMirrors {
				want[m+"/"+name+":v1"] = digest
			}
		}
		for path, content := range map[string]string{
			"registry.k8s.io/manifests/" + project + "/promoter-manifest.yaml": manifest.String(),
			"registry.k8s.io/images/" + project + "/images.yaml":               images.String(),
		} {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, path, content)
		}
	}
	for _, line := range []string{"init -q -b main", "add -A", "-c user.name=t -c user.email=t@example.com commit -q -m all"} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, strings.Fields(line)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir, want
}

// program is one run of the real command, on a disk of its own.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command("steward", append([]string{"promote", "run", "--confirm", "--lock-for=3s", "--rate=10000", "-o", "json"}, args...)...)}
	disk := t.TempDir()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = disk, &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), "TMPDIR="+disk)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// finish waits for a complete end, and returns how many targets the run copied.
func (p *program) finish(t *testing.T) (copied int) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s\n%s", err, &p.stdout, &p.stderr)
	}
	var result struct {
		Complete bool
		Projects []struct{ Done, Left int }
	}
	if err := json.Unmarshal(p.stdout.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	for _, project := range result.Projects {
		copied += project.Done
		if project.Left != 0 {
			t.Errorf("%d images are left", project.Left)
		}
	}
	if !result.Complete {
		t.Error("the run is not complete")
	}
	return copied
}

// missing lists what production does not have. What it has must be whole, at any moment.
func missing(t *testing.T, r *registries, want map[string]string) (n int) {
	t.Helper()
	for ref, digest := range want {
		switch got := r.digest(ref); {
		case got == "":
			n++
		case got != digest:
			t.Errorf("%s stands for %s, want %s", ref, got, digest)
		default:
			if err := r.whole(ref); err != nil {
				t.Errorf("%s is there without all it needs: %v", ref, err)
			}
		}
	}
	return n
}

// TestKill (PR-20): a run that is killed with SIGKILL, again and again, leaves no tag
// without all it stands for, and the next one, from another disk, copies what is missing
// and nothing else.
func TestKill(t *testing.T) {
	undisturbed := newRegistries()
	defer undisturbed.server.Close()
	dir, want := community(t, undisturbed)
	undisturbed.heal()
	if n := start(t, "--dir="+dir, "--registry=*="+undisturbed.address(), "--state=file://"+t.TempDir()).finish(t); n != len(want) {
		t.Fatalf("%d copied, want %d", n, len(want))
	}
	whole := undisturbed.count("", "")
	for _, kills := range [][]int{{1}, {whole / 3}, {whole * 2 / 3}, {whole - 3}, {whole / 4, whole / 4, whole / 4}} {
		t.Run(fmt.Sprint(kills), func(t *testing.T) { killAt(t, kills, whole) })
	}
}

// TestKillAnywhere is the same with fifty kills at random.
func TestKillAnywhere(t *testing.T) {
	for seed := range uint64(5) {
		dice := rand.New(rand.NewPCG(seed, 0))
		kills := make([]int, 10)
		for i := range kills {
			kills[i] = 1 + dice.IntN(120)
		}
		t.Run(fmt.Sprint(kills), func(t *testing.T) {
			t.Parallel() // each run waits for the lock of the one before
			killAt(t, kills, 0)
		})
	}
}

// killAt kills runs at a request each, and then lets one end. whole is the number of requests of a run that nothing
// disturbs, so that there is something left after a first kill before half of it; 0 is not known.
func killAt(t *testing.T, kills []int, whole int) {
	r := newRegistries()
	defer r.server.Close()
	dir, want := community(t, r)
	args := []string{"--dir=" + dir, "--registry=*=" + r.address(), "--state=file://" + t.TempDir()}
	for _, n := range kills {
		r.heal()
		reached := r.waitFor(t.Context(), n)
		p := start(t, args...)
		ended := make(chan error, 1)
		go func() { ended <- p.cmd.Wait() }()
		select {
		case <-reached:
		case err := <-ended: // nothing is left, or it was faster than we
			if err != nil {
				t.Fatalf("ended after %d requests: %v\n%s", r.count("", ""), err, &p.stderr)
			}
			ended <- nil
		}
		_ = p.cmd.Process.Kill()
		<-ended
		missing(t, r, want)
	}
	left := missing(t, r, want)
	if left == 0 && kills[0] < whole/2 {
		t.Error("nothing was left")
	}
	r.heal()
	if copied := start(t, args...).finish(t); copied != left {
		t.Errorf("%d copied, %d were missing", copied, left)
	}
	if n := missing(t, r, want); n != 0 {
		t.Errorf("%d are missing in the end", n)
	}
}

// TestInterrupt (PR-21): SIGTERM ends a run within moments, with its report and its journal.
func TestInterrupt(t *testing.T) {
	r := newRegistries()
	defer r.server.Close()
	dir, want := community(t, r)
	r.heal()
	state, artifacts := t.TempDir(), t.TempDir()
	reached := r.waitFor(t.Context(), 10)
	p := start(t, "--dir="+dir, "--registry=*="+r.address(), "--state=file://"+state)
	<-reached
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _ = p.cmd.Wait(); p.cmd.ProcessState.ExitCode() != 3 || !strings.Contains(p.stderr.String(), "interrupted before anything was written") {
		t.Errorf("while it reads: %v\n%s", p.cmd.ProcessState, &p.stderr)
	}
	r.heal()
	reached = r.waitFor(t.Context(), 150)
	p = start(t, "--dir="+dir, "--registry=*="+r.address(), "--state=file://"+state, "--artifacts="+artifacts)
	<-reached
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("ended with %v:\n%s\n%s", err, &p.stdout, &p.stderr)
	}
	raw, err := os.ReadFile(filepath.Join(artifacts, "promote.json"))
	if err != nil || !strings.Contains(string(raw), `"interrupted": true`) {
		t.Errorf("the report: %v\n%s", err, raw)
	}
	if _, err := os.Stat(filepath.Join(state, "promote/lock.json")); err == nil {
		t.Error("the lock was not given back")
	}
	left := missing(t, r, want)
	if copied := start(t, "--dir="+dir, "--registry=*="+r.address(), "--state=file://"+state).finish(t); copied != left || left == 0 {
		t.Errorf("%d copied, %d were missing", copied, left)
	}
}

// TestInterruptedRunKeepsWhatItVerified (SIGN-7): what was verified before a SIGTERM is not verified again.
func TestInterruptedRunKeepsWhatItVerified(t *testing.T) {
	r := newRegistries()
	defer r.server.Close()
	dir, _ := community(t, r)
	keys, state := t.TempDir(), t.TempDir()
	if err := keyPair(filepath.Join(keys, "prod")); err != nil {
		t.Fatal(err)
	}
	args := []string{"--dir=" + dir, "--registry=*=" + r.address(), "--sign-key=" + filepath.Join(keys, "prod.key")}
	start(t, append(args, "--state=file://"+t.TempDir())...).finish(t)
	r.heal()
	args = append(args, "--repair", "--state=file://"+state)
	start(t, args...).finish(t)
	whole, signed := r.count("", ""), filepath.Join(state, "promote/signed.json")
	if err := os.Remove(signed); err != nil {
		t.Fatal(err)
	}
	r.heal()
	reached := r.waitFor(t.Context(), whole*9/10)
	p := start(t, args...)
	<-reached
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // with whatever code: it may have been done
	if _, err := os.Stat(signed); err != nil {
		t.Errorf("nothing is kept: %v", err)
	}
}
