// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/acl"
)

// objects is a file system whose entries know ids made from their content, like
// git's, and which records what is opened. broken paths fail.
type objects struct {
	fstest.MapFS
	broken map[string]error
	mu     sync.Mutex
	opened []string
}

func (o *objects) note(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opened = append(o.opened, name)
	if err := o.broken[name]; err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return nil
}

func (o *objects) Open(name string) (fs.File, error) {
	if err := o.note(name); err != nil {
		return nil, err
	}
	return o.MapFS.Open(name)
}

func (o *objects) Stat(name string) (fs.FileInfo, error) {
	info, err := o.MapFS.Stat(name)
	return identified{info, o.id(name)}, err
}

func (o *objects) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := o.note(name + "/"); err != nil {
		return nil, err
	}
	entries, err := o.MapFS.ReadDir(name)
	for i, d := range entries {
		info, _ := d.Info()
		entries[i] = fs.FileInfoToDirEntry(identified{info, o.id(path.Join(name, d.Name()))})
	}
	return entries, err
}

func (o *objects) id(name string) string {
	h := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(o.MapFS)) {
		if rel, below := strings.CutPrefix(file, name+"/"); below || name == "." || file == name {
			if file == name {
				rel = ""
			}
			h.Write([]byte(rel + "\x00" + string(o.MapFS[file].Data) + "\x00"))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

type identified struct {
	fs.FileInfo
	id string
}

func (i identified) Sys() any         { return i }
func (i identified) ObjectID() string { return i.id }

const cachedTree = rootApprovers + `
-- OWNERS_ALIASES --
aliases: {team-a: [bob]}
-- a/OWNERS --
approvers: [team-a]
-- a/b/f --
x
-- c/d/OWNERS --
approvers: [carol]
-- c/d/e/f --
x
`

// O-15, F9: with object ids a load reads what changed and nothing else.
func TestLoadReadsWhatChanged(t *testing.T) {
	cache := acl.NewCache(0)
	files := &objects{MapFS: tree(cachedTree)}
	read := func(change func(fstest.MapFS)) (*acl.Tree, string) {
		files.MapFS, files.opened = maps.Clone(files.MapFS), nil
		change(files.MapFS)
		loaded := load(t, files, acl.Options{Cache: cache})
		slices.Sort(files.opened)
		return loaded, strings.Join(files.opened, " ")
	}
	put := func(name, data string) func(fstest.MapFS) {
		return func(m fstest.MapFS) { m[name] = &fstest.MapFile{Data: []byte(data)} }
	}
	for _, c := range []struct {
		name   string
		change func(fstest.MapFS)
		want   string
	}{
		{"cold", func(fstest.MapFS) {}, "./ OWNERS OWNERS_ALIASES a/ a/OWNERS a/b/ c/ c/d/ c/d/OWNERS c/d/e/"},
		{"the same tree", func(fstest.MapFS) {}, ""},
		{"a file that is no OWNERS", put("a/b/f", "y"), "./ a/ a/b/"},
		{"one OWNERS file", put("c/d/OWNERS", "approvers: [dave]\n"), "./ c/ c/d/ c/d/OWNERS"},
		{"the aliases", put("OWNERS_ALIASES", "aliases: {team-a: [eve]}\n"), "./ OWNERS_ALIASES"},
		{"a revert", put("OWNERS_ALIASES", "aliases: {team-a: [bob]}\n"), ""},
		{"a copy of a known file", put("new/OWNERS", "approvers: [team-a]\n"), "./ new/"},
	} {
		if _, opened := read(c.change); opened != c.want {
			t.Errorf("%s: opened %q, want %q", c.name, opened, c.want)
		}
	}
	loaded, _ := read(put("OWNERS_ALIASES", "aliases: {team-a: [eve]}\n"))
	if got, _ := loaded.LeafApprovers("a/b/f"); names(got) != "eve" {
		t.Errorf("a cached directory keeps old aliases: %v", got)
	}
}

// A cache changes no answer, for other options neither, and stays bounded.
func TestCacheIsInvisible(t *testing.T) {
	cache := acl.NewCache(10)
	for seed := range uint64(300) {
		files := &objects{MapFS: randomTree(rand.New(rand.NewPCG(seed%150, 3)))}
		opts := acl.Options{Mode: acl.Mode(seed % 2), Cache: cache, ListFiles: seed%3 == 0}
		cached := load(t, files, opts)
		opts.Cache = nil
		plain := load(t, files.MapFS, opts)
		for _, p := range targets {
			want, _ := plain.Approvers(p)
			if got, _ := cached.Approvers(p); names(got.Set()) != names(want.Set()) {
				t.Fatalf("seed %d, %s: %v, without cache %v\n%s", seed, p, got, want, describe(files.MapFS))
			}
		}
	}
	if hits, misses, held := cache.Stats(); held > 20 || hits == 0 || misses == 0 {
		t.Errorf("%d hits, %d misses, %d held", hits, misses, held)
	}
}

func TestCacheIsShared(t *testing.T) {
	cache := acl.NewCache(50)
	var all sync.WaitGroup
	for worker := range uint64(4) {
		all.Go(func() {
			for seed := range uint64(50) {
				files := &objects{MapFS: randomTree(rand.New(rand.NewPCG(seed+worker, 4)))}
				loaded, err := acl.Load(files, "", acl.Options{Cache: cache})
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = loaded.Approvers("a/b/c/x.go")
			}
		})
	}
	all.Wait()
}

// O-3: what cannot be read is an error of Load and not an absent file, at every
// single step of the walk.
func TestEveryReadErrorFailsTheLoad(t *testing.T) {
	clean := &objects{MapFS: tree(cachedTree)}
	load(t, clean, acl.Options{})
	if len(clean.opened) < 8 {
		t.Fatalf("opened %q", clean.opened)
	}
	for _, name := range clean.opened {
		for _, cause := range []error{errors.New("input/output error"), fs.ErrPermission, fs.ErrNotExist} {
			files := &objects{MapFS: clean.MapFS, broken: map[string]error{name: cause}}
			cache := acl.NewCache(0)
			if _, err := acl.Load(files, "", acl.Options{Cache: cache}); !errors.Is(err, cause) || !strings.Contains(err.Error(), strings.TrimSuffix(name, "/")) {
				t.Errorf("%s fails with %v: Load says %v", name, cause, err)
			}
			files.broken = nil
			healed := load(t, files, acl.Options{Cache: cache})
			if got, _ := healed.Approvers("c/d/e/f"); names(got.Set()) != "alice carol" {
				t.Errorf("%s: the failure stayed in the cache: %v", name, got)
			}
		}
	}
}

// tooLarge is the answer of file systems that refuse a file for its size.
type tooLarge struct{ error }

func (tooLarge) TooLarge() bool { return true }

func TestRefusedSizeIsAFaultOfTheFile(t *testing.T) {
	files := &objects{MapFS: tree(cachedTree), broken: map[string]error{"a/OWNERS": tooLarge{errors.New("9 GB")}}}
	loaded := load(t, files, acl.Options{})
	if e := loaded.Explain("alice", "a/b/f"); e.Code != acl.CodeMalformed {
		t.Errorf("%+v", e)
	}
	if ok, _ := loaded.Allowed("carol", "c/d/e/f"); !ok {
		t.Error("other directories suffer")
	}
}

// Names that no query can contain are not walked into, and harm nobody.
func TestUnspeakableDirectories(t *testing.T) {
	files := tree(rootApprovers)
	for _, dir := range []string{"a\\b", "a\nb"} {
		files[dir+"/OWNERS"] = &fstest.MapFile{Data: []byte("approvers: [eve]\n")}
	}
	if got := names(load(t, files, acl.Options{}).AllApprovers()); got != "alice" {
		t.Errorf("approvers %q", got)
	}
}

func TestDepthIsBounded(t *testing.T) {
	files := fstest.MapFS{strings.Repeat("d/", 300) + "OWNERS": &fstest.MapFile{Data: []byte("approvers: [a]\n")}}
	if _, err := acl.Load(files, "", acl.Options{}); err == nil {
		t.Error("a tree of 300 levels was read")
	}
}
