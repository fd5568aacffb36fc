// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1" //nolint:gosec // git's pack checksum
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// disk is what git programs see: one object directory for all repositories and
// a bare repository each with its refs. It follows memory only when asked
// (export), and memory follows it after a push (importObjects, readRefs).
type disk struct {
	dir   string // "" until first needed
	owned bool   // made by us, so removed by us
}

func (d *disk) remove() error {
	if !d.owned {
		return nil
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove repositories: %w", err)
	}
	return nil
}

func (d *disk) objects() string { return filepath.Join(d.dir, "objects") }

func (d *disk) repo(r *repo) string { return filepath.Join(d.dir, r.Owner, r.Name+".git") }

// ErrNoGit is in the error of what needs a git program where this machine has none.
var ErrNoGit = exec.ErrNotFound

// Export writes all repositories to the disk as they are now and returns the directory of one, which is there, for git
// programs of this machine to read. Nothing of it changes memory.
func (s *Server) Export(owner, name string) (dir string, err error) {
	s.git.Lock()
	defer s.git.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.st.repo(owner, name)
	if r == nil {
		return "", fmt.Errorf("export: there is no repository %s/%s", owner, name)
	}
	return s.disk.repo(r), s.export()
}

// git runs a git program on the shared objects, deaf to the user's settings.
func (d *disk) git(in io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(context.Background(), "git", args...)
	cmd.Dir, cmd.Stdin, cmd.Env = d.dir, in, d.env()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

func (d *disk) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_OBJECT_DIRECTORY=" + d.objects(),
	}
}

// export writes what memory has and the disk has not: new objects as one pack,
// every repository's refs as a packed-refs file.
func (s *Server) export() error {
	if err := s.makeDir(); err != nil {
		return err
	}
	if err := s.exportObjects(); err != nil {
		return fmt.Errorf("export objects: %w", err)
	}
	for _, r := range s.st.repos {
		if !r.stale {
			continue
		}
		if err := s.exportRefs(r); err != nil {
			return fmt.Errorf("export refs of %s: %w", r.full(), err)
		}
		r.stale = false
	}
	return nil
}

func (s *Server) makeDir() error {
	d := &s.disk
	if d.dir == "" {
		dir, err := os.MkdirTemp("", "ghfake-")
		if err != nil {
			return err
		}
		d.dir, d.owned = dir, true
	}
	for _, sub := range []string{"objects/pack", "refs"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(d.dir, "HEAD"), "ref: refs/heads/main\n")
}

// exportObjects writes a pack in git's format (gitformat-pack(5)), whole
// objects without deltas, and lets git index it.
func (s *Server) exportObjects() error {
	if len(s.odb.pending) == 0 {
		return nil
	}
	if _, err := s.disk.git(bytes.NewReader(s.odb.pack(s.odb.pending)), "index-pack", "--stdin"); err != nil {
		return err
	}
	s.odb.pending = nil
	return nil
}

func (o *objects) pack(ids []string) []byte {
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.NoCompression) // the disk is for minutes
	b.WriteString("PACK\x00\x00\x00\x02")
	_ = binary.Write(&b, binary.BigEndian, uint32(len(ids))) //nolint:gosec // far below 2^32
	kinds := map[string]byte{"commit": 1, "tree": 2, "blob": 3, "tag": 4}
	for _, id := range ids {
		obj := o.byID[id]
		size := len(obj.data)
		head := kinds[obj.kind]<<4 | byte(size&15)
		for size >>= 4; size > 0; size >>= 7 {
			b.WriteByte(head | 0x80)
			head = byte(size & 0x7f)
		}
		b.WriteByte(head)
		z.Reset(&b)
		_, _ = z.Write(obj.data)
		_ = z.Close()
	}
	sum := sha1.Sum(b.Bytes()) //nolint:gosec // see import
	b.Write(sum[:])
	return b.Bytes()
}

// exportRefs replaces all refs of a repository.
func (s *Server) exportRefs(r *repo) error {
	dir := s.disk.repo(r)
	if err := os.RemoveAll(filepath.Join(dir, "refs")); err != nil {
		return err
	}
	for _, sub := range []string{"refs/heads", "objects/info"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	var packed strings.Builder
	packed.WriteString("# pack-refs with: sorted \n")
	for _, line := range r.refLines() {
		packed.WriteString(line + "\n")
	}
	config := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[http]\n\treceivepack = true\n" +
		"[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n[receive]\n\tautogc = false\n[gc]\n\tauto = 0\n"
	return errors.Join(
		writeFile(filepath.Join(dir, "packed-refs"), packed.String()),
		writeFile(filepath.Join(dir, "HEAD"), "ref: refs/heads/"+r.DefaultBranch+"\n"),
		writeFile(filepath.Join(dir, "config"), config),
		writeFile(filepath.Join(dir, "objects", "info", "alternates"), s.disk.objects()+"\n"),
	)
}

// refLines are the refs in packed-refs order.
func (r *repo) refLines() []string {
	lines := map[string]string{}
	for ref, id := range r.Refs {
		lines[ref] = id + " " + ref
	}
	return sorted(lines)
}

// writeFile replaces a file at once, so that a git program never sees half.
func writeFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil { //nolint:gosec // public data
		return err
	}
	return os.Rename(path+".new", path)
}

// importObjects reads every object the disk has and memory has not.
func (s *Server) importObjects() error {
	out, err := s.disk.git(nil, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
	if err != nil {
		return err
	}
	var missing bytes.Buffer
	for id := range strings.FieldsSeq(string(out)) {
		if _, ok := s.odb.byID[id]; !ok {
			fmt.Fprintln(&missing, id)
		}
	}
	if missing.Len() == 0 {
		return nil
	}
	out, err = s.disk.git(&missing, "cat-file", "--batch")
	if err != nil {
		return err
	}
	return s.odb.readBatch(bufio.NewReader(bytes.NewReader(out)))
}

// readBatch reads the answer of git cat-file --batch: a line "id kind size",
// the data and a newline, for each object.
func (o *objects) readBatch(in *bufio.Reader) error {
	for {
		var id, kind string
		var size int
		if _, err := fmt.Fscanf(in, "%s %s %d\n", &id, &kind, &size); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("git cat-file: %w", err)
		}
		data := make([]byte, size+1)
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("git cat-file %s: %w", id, err)
		}
		o.byID[id] = object{kind, data[:size]}
	}
}

// readRefs lists the refs the disk has for a repository.
func (s *Server) readRefs(r *repo) (map[string]string, error) {
	out, err := s.disk.git(nil, "--git-dir="+s.disk.repo(r), "for-each-ref", "--format=%(objectname) %(refname)")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if id, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			refs[ref] = id
		}
	}
	return refs, nil
}
