// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const killFiles = 24

// library writes a repository whose files are in a staging directory, and go to two stores. It returns the contents by name.
func library(t *testing.T) (repo string, stores []string, want map[string]string) {
	t.Helper()
	top := t.TempDir()
	repo, stores, want = filepath.Join(top, "repo"), []string{filepath.Join(top, "one"), filepath.Join(top, "two")}, map[string]string{}
	list := "files:\n"
	for i := range killFiles {
		name, content := fmt.Sprintf("v1/f%02d", i), strings.Repeat(fmt.Sprintf("%04d", i), 1+i*20_000)
		sum := sha256.Sum256([]byte(content))
		list += fmt.Sprintf("- {name: %s, sha256: %s}\n", name, hex.EncodeToString(sum[:]))
		want[name] = content
		place(t, filepath.Join(top, "staging", name), content)
	}
	place(t, filepath.Join(repo, "artifacts/manifests/p/v1.yaml"), list)
	place(t, filepath.Join(repo, "artifacts/filestores/p/filepromoter-manifest.yaml"),
		fmt.Sprintf("filestores:\n- {base: 'file://%s/staging', src: true}\n- base: file://%s\n- base: file://%s\n", top, stores[0], stores[1]))
	for _, line := range []string{"init -q -b main", "add -A", "-c user.name=t -c user.email=t@example.com commit -q -m all"} {
		if out, err := exec.Command("git", append([]string{"-C", repo}, strings.Fields(line)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return repo, stores, want
}

func place(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path, content)
}

// visible reads what a store shows.
func visible(t *testing.T, store string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == ".steward" {
				return fs.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(store, path)
		all[name] = string(content)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}

// TestFilesKill (PF-13, PF-15): whenever a run is killed, what a store shows is whole, and the next run does the rest
// and nothing else, even one that asks for later changes alone.
func TestFilesKill(t *testing.T) {
	for kill := 0; kill < 2*killFiles; kill += 6 {
		repo, stores, want := library(t)
		state := "file://" + t.TempDir()
		args := []string{"promote", "files", "--dir", repo, "--confirm", "--lock-for=3s", "-o", "json", "--state", state}
		cmd := exec.Command("steward", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var before int
		for alive := true; alive && before < max(1, kill); {
			select {
			case <-ended:
				alive = false
				ended <- nil
			default:
			}
			before = 0
			for _, s := range stores {
				found, _ := filepath.Glob(filepath.Join(s, "v1", "*"))
				before += len(found)
			}
		}
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
		<-ended
		there := 0
		for _, s := range stores {
			for name, content := range visible(t, s) {
				there++
				if want[name] != content {
					t.Errorf("killed at %d: %s has %d bytes of %s", kill, s, len(content), name)
				}
			}
		}
		out, err := exec.Command("steward", append(args, "--since", "HEAD")...).Output()
		if err != nil {
			t.Fatalf("killed at %d: %v\n%s", kill, err, out)
		}
		var result struct {
			Projects []struct{ Copied int }
		}
		if err := json.Unmarshal(out, &result); err != nil {
			t.Fatal(err)
		}
		if copied := result.Projects[0].Copied; copied != 2*killFiles-there {
			t.Errorf("killed at %d: %d were there, %d copied", kill, there, copied)
		}
		for _, s := range stores {
			if got := visible(t, s); len(got) != killFiles {
				t.Errorf("killed at %d: %s has %d files", kill, s, len(got))
			}
		}
	}
}
