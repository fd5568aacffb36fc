// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package git reads commits of a local repository through the git program.
//
// A Repo keeps one `git cat-file --batch` process and hands out a commit as a
// read-only fs.FS (package gitfs) whose entries know their object ids, so that a
// reader with a cache opens only what it has not seen. Nothing is checked out, fetched or
// written, no configuration of the user is read, and no hook can run.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Repo is an open repository. All methods may be called concurrently; requests
// to git take turns. Close it to end its process.
type Repo struct {
	dir   string // the absolute git directory
	batch *batch
	trees *treeCache
}

// Open opens the clone whose top directory, or the bare repository which, is
// dir. It does not look in the parents of dir.
func Open(ctx context.Context, dir string) (*Repo, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	out, err := run(ctx, abs, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	gitDir := strings.TrimSuffix(out, "\n")
	return &Repo{dir: gitDir, batch: newBatch(gitDir), trees: newTreeCache(maxTrees)}, nil
}

// Close ends the process. Files that are open stay readable.
func (r *Repo) Close() error { return r.batch.close() }

// RefError refuses a revision that could be more than the name of one commit.
type RefError struct {
	Ref     string
	Problem string
}

func (e *RefError) Error() string { return fmt.Sprintf("revision %q %s", e.Ref, e.Problem) }

// checkRef accepts names, abbreviated ids, HEAD~2 and the like. Ranges, paths,
// searches and options are refused before git sees them.
func checkRef(ref string) error {
	switch {
	case ref == "":
		return &RefError{ref, "is empty"}
	case len(ref) > 255:
		return &RefError{ref[:64] + "…", "is too long"}
	case ref[0] == '-':
		return &RefError{ref, "begins with a hyphen"}
	case strings.Contains(ref, ".."):
		return &RefError{ref, "is a range"}
	}
	for _, c := range []byte(ref) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`:?*[]\'"$;&|<>()!#,`, c) >= 0 {
			return &RefError{ref, fmt.Sprintf("contains %q", rune(c))}
		}
	}
	return nil
}

// Resolve returns the full id of the commit that ref names now. Tags are
// followed. A ref that is not there is an error that names it.
func (r *Repo) Resolve(ctx context.Context, ref string) (string, error) {
	if err := checkRef(ref); err != nil {
		return "", fmt.Errorf("resolve: %w", err)
	}
	out, err := run(ctx, r.dir, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		if f := (*failure)(nil); errors.As(err, &f) && f.code == 1 {
			return "", fmt.Errorf("resolve: %w", &RefError{ref, "names no commit here" + r.shallow()})
		}
		return "", fmt.Errorf("resolve %q: %w", ref, err)
	}
	id := strings.TrimSuffix(out, "\n")
	if !isID(id) {
		return "", fmt.Errorf("resolve %q: git answered %q", ref, id)
	}
	return id, nil
}

// shallow is a hint where history is cut off: what is meant may lie behind.
func (r *Repo) shallow() string {
	if _, err := os.Stat(filepath.Join(r.dir, "shallow")); err != nil {
		return ""
	}
	return "; the clone is shallow, and git fetch --unshallow brings the rest"
}

// isID reports whether s is a full SHA-1 or SHA-256 object id.
func isID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// command prepares git in dir: without the environment or configuration of the
// user, for a repository that somebody else may own, with no way to the network
// (a partial clone would fetch) and with replacement objects ignored, so that an
// id always means the object of that id.
func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	fixed := []string{
		"--no-replace-objects", "-c", "safe.directory=*", "-c", "protocol.allow=never",
		"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", dir,
	}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...)
	cmd.Env = environment(os.Environ(), dir)
	return cmd
}

// environment drops every GIT_ variable and sets those that isolate.
func environment(base []string, dir string) []string {
	var env []string
	for _, kv := range base {
		if !strings.HasPrefix(kv, "GIT_") {
			env = append(env, kv)
		}
	}
	return append(env,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir),
		"GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C",
	)
}

func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := command(ctx, dir, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case cmd.ProcessState != nil && err != nil:
		return "", &failure{args[0], cmd.ProcessState.ExitCode(), firstLine(stderr.String())}
	case err != nil:
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return string(out), nil
}

// failure is git ending badly. It hides *exec.ExitError, whose ExitCode a
// program could take for its own.
type failure struct {
	verb   string
	code   int
	stderr string
}

func (f *failure) Error() string {
	return fmt.Sprintf("git %s ended with %d%s", f.verb, f.code, f.stderr)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return ""
	}
	return ": " + line
}
