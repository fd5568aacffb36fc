// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/manifest"
)

// aside is where a folder keeps what is not a file of its own: the lock, files that are being written, and the
// sha256 of those that were.
const aside = ".steward"

// Folder is a filestore.Store in a directory. A file becomes visible by a rename, after it was synced and read
// back. What its writer proved stands in .steward/NAME.json, with the size and the time of the file: a file that
// somebody changed since has no sha256. Links do not lead out of the directory.
type Folder struct {
	dir string

	mu   sync.Mutex
	root *os.Root // nil until it is there
}

// OpenFolder names a directory. It is made by the first write.
func OpenFolder(dir string) *Folder { return &Folder{dir: dir} }

// Dir is the directory.
func (f *Folder) Dir() string { return f.dir }

// Close ends its use.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root == nil {
		return nil
	}
	return f.root.Close()
}

// open returns the directory; the error is fs.ErrNotExist where there is none.
func (f *Folder) open() (*os.Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root != nil {
		return f.root, nil
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, fmt.Errorf("open filestore: %w", err)
	}
	f.root = root
	return root, nil
}

func checkName(name string) error {
	if !manifest.IsFileName(name) || name == aside || strings.HasPrefix(name, aside+"/") {
		return fmt.Errorf("%q is not the name of a file in a store", name)
	}
	return nil
}

// proof is what a writer knew of a file.
type proof struct {
	SHA256  string `json:"sha256"`
	Version string `json:"version"`
}

func proofOf(name string) string { return path.Join(aside, "sums", name+".json") }

// version tells writes apart: a rename brings another inode.
func version(info fs.FileInfo) string {
	inode := uint64(0)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	return fmt.Sprintf("%d-%d-%d", info.ModTime().UnixNano(), info.Size(), inode)
}

func object(root *os.Root, name string, info fs.FileInfo) filestore.Object {
	o := filestore.Object{Name: name, Size: info.Size(), Version: version(info)}
	raw, err := root.ReadFile(proofOf(name))
	var p proof
	if err == nil && json.Unmarshal(raw, &p) == nil && p.Version == o.Version {
		o.SHA256 = p.SHA256
	}
	return o
}

// explain turns the absence of a file into the store's own error.
func explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return filestore.ErrNotFound
	}
	return err
}

// Stat implements filestore.Store.
func (f *Folder) Stat(_ context.Context, name string) (filestore.Object, error) {
	if err := checkName(name); err != nil {
		return filestore.Object{}, err
	}
	root, err := f.open()
	if err != nil {
		return filestore.Object{}, explain(err)
	}
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", name)
	}
	if err != nil {
		return filestore.Object{}, explain(err)
	}
	return object(root, name, info), nil
}

// List implements filestore.Store.
func (f *Folder) List(ctx context.Context, prefix string) iter.Seq2[filestore.Object, error] {
	return func(yield func(filestore.Object, error) bool) {
		root, err := f.open()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return
		case err != nil:
			yield(filestore.Object{}, err)
			return
		}
		err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case name == aside:
				return fs.SkipDir
			case entry.IsDir() && name != "." && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/"):
				return fs.SkipDir
			case !entry.Type().IsRegular() || !strings.HasPrefix(name, prefix):
				return nil
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it went meanwhile
			}
			if err == nil && !yield(object(root, name, info), nil) {
				return fs.SkipAll
			}
			return err
		})
		if err != nil {
			yield(filestore.Object{}, fmt.Errorf("list %s: %w", f.dir, err))
		}
	}
}

// Open implements filestore.Store.
func (f *Folder) Open(_ context.Context, name string) (io.ReadCloser, filestore.Object, error) {
	if err := checkName(name); err != nil {
		return nil, filestore.Object{}, err
	}
	root, err := f.open()
	if err != nil {
		return nil, filestore.Object{}, explain(err)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, filestore.Object{}, explain(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", name)
	}
	if err != nil {
		return nil, filestore.Object{}, errors.Join(err, file.Close())
	}
	return file, object(root, name, info), nil
}

// Create implements filestore.Store.
func (f *Folder) Create(ctx context.Context, name, version string, c filestore.Content) (filestore.Sink, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	if err := root.MkdirAll(path.Join(aside, "new"), 0o755); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Join(f.dir, aside, "new"), "*")
	if err != nil {
		return nil, err
	}
	return &folderSink{
		folder: f, root: root, ctx: ctx, name: name, version: version, content: c, file: file, hash: sha256.New(),
		temp: path.Join(aside, "new", filepath.Base(file.Name())),
	}, nil
}

// Keep implements filestore.Store: what is kept is another name of the same content.
func (f *Folder) Keep(ctx context.Context, name, version, to string) error {
	if err := errors.Join(checkName(name), checkName(to)); err != nil {
		return err
	}
	root, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		return filestore.ErrChanged
	}
	if err != nil {
		return err
	}
	return f.locked(root, func() error {
		o, err := f.Stat(ctx, name)
		if errors.Is(err, filestore.ErrNotFound) || err == nil && o.Version != version {
			return filestore.ErrChanged
		}
		if err != nil {
			return err
		}
		if err := root.MkdirAll(path.Dir(to), 0o755); err != nil {
			return err
		}
		if err := root.Link(name, to); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if o.SHA256 == "" {
			return nil
		}
		return prove(root, to, o.SHA256)
	})
}

// prove writes down what a file's content is.
func prove(root *os.Root, name, sum string) error {
	info, err := root.Stat(name)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(proof{sum, version(info)})
	if err != nil {
		return err
	}
	at := proofOf(name)
	if err := root.MkdirAll(path.Dir(at), 0o755); err != nil {
		return err
	}
	return root.WriteFile(at, raw, 0o644)
}

// locked runs do while no other process or goroutine finishes a file.
func (f *Folder) locked(root *os.Root, do func() error) error {
	if err := root.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	lock, err := root.OpenFile(path.Join(aside, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", f.dir, err)
	}
	return do()
}

// folderSink is a file that is being written.
type folderSink struct {
	folder        *Folder
	root          *os.Root
	ctx           context.Context //nolint:containedctx // lives as long as one write
	name, version string
	content       filestore.Content
	file          *os.File
	temp          string
	hash          hash.Hash
}

// Write implements filestore.Sink.
func (s *folderSink) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	s.hash.Write(p)
	return s.file.Write(p)
}

// Abort implements filestore.Sink.
func (s *folderSink) Abort() {
	_ = s.file.Close() // nothing of it is wanted
	_ = s.root.Remove(s.temp)
}

// Commit implements filestore.Sink.
func (s *folderSink) Commit() (err error) {
	defer func() {
		if err != nil {
			s.Abort()
		}
	}()
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if sum := hex.EncodeToString(s.hash.Sum(nil)); sum != s.content.SHA256 {
		return fmt.Errorf("%s: written with sha256 %s: %w", s.name, sum, filestore.ErrContent)
	}
	if err := errors.Join(s.file.Chmod(0o644), s.file.Sync(), s.file.Close()); err != nil {
		return err
	}
	if err := s.readBack(); err != nil {
		return err
	}
	return s.folder.locked(s.root, s.place)
}

// readBack proves that the disk has what was written.
func (s *folderSink) readBack() error {
	file, err := s.root.Open(s.temp)
	if err != nil {
		return err
	}
	defer file.Close() // it is only read
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != s.content.SHA256 {
		return fmt.Errorf("%s: read back with sha256 %s: %w", s.name, got, filestore.ErrContent)
	}
	return nil
}

// place gives the file its name, under the lock.
func (s *folderSink) place() error {
	root := s.root
	now, err := s.folder.Stat(s.ctx, s.name)
	switch {
	case errors.Is(err, filestore.ErrNotFound) && s.version == "":
	case err == nil && now.Version == s.version:
	case err == nil, errors.Is(err, filestore.ErrNotFound):
		return filestore.ErrChanged
	default:
		return err
	}
	if err := root.MkdirAll(path.Dir(s.name), 0o755); err != nil {
		return err
	}
	if err := root.Rename(s.temp, s.name); err != nil {
		return err
	}
	if err := syncDir(filepath.Join(s.folder.dir, filepath.FromSlash(path.Dir(s.name)))); err != nil {
		return err
	}
	return prove(root, s.name, s.content.SHA256)
}
