// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// identified is what the Sys() of a git entry implements: the id of the blob or
// tree, from which the content follows.
type identified interface{ ObjectID() string }

// Load reads the OWNERS files below the root of fsys, which holds the tree of
// commit. It fails only when the file system does, when the denylist does not
// compile or when the tree exceeds all bounds; a malformed file is a Problem of
// the tree and denies (O-3).
//
// When the Sys() value of the root's FileInfo implements
// interface{ ObjectID() string }, so must those below it: then objects known to
// Options.Cache are not opened, and a commit that touches no OWNERS file costs
// the listings of the directories it changed. fsys must allow concurrent use.
func Load(fsys fs.FS, commit string, opts Options) (*Tree, error) {
	c, err := opts.compile()
	if err != nil {
		return nil, fmt.Errorf("load owners: %w", err)
	}
	info, err := fs.Stat(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("load owners: %w", err)
	}
	id := objectID(info)
	l := loader{fsys: fsys, opts: c, identified: id != "", helpers: make(chan struct{}, maxHelpers)}
	root, err := l.dir("", id, 0)
	if err != nil {
		return nil, fmt.Errorf("load owners: %w", err)
	}
	t := &Tree{commit: commit, opts: c, root: root, aliases: root.aliases}
	if t.aliases == nil {
		t.aliases = newAliasFile()
	}
	return t, nil
}

func objectID(info fs.FileInfo) string {
	if o, ok := info.Sys().(identified); ok {
		return o.ObjectID()
	}
	return ""
}

// maxHelpers are the directories walked beside the caller's. They wait for
// listings, so more of them than processors pay.
const maxHelpers = 7

type loader struct {
	fsys       fs.FS
	opts       compiled
	identified bool
	helpers    chan struct{} // one slot for each directory walked beside the caller's
	files      atomic.Int64
}

// entryID asks an entry for its id; outside git that would be a stat for nothing.
func (l *loader) entryID(d fs.DirEntry) (string, error) {
	if !l.identified {
		return "", nil
	}
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	return objectID(info), nil
}

// dir compiles one directory with all below it; dirPath is "" for the root.
func (l *loader) dir(dirPath, id string, depth int) (*node, error) {
	n := &node{path: dirPath}
	if l.denied(dirPath) {
		return n, nil
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("directory %s: deeper than %d", dirPath, maxDepth)
	}
	key := cacheKey{id: id, path: dirPath, opts: l.opts.key, kind: kindDir}
	if known, ok := l.opts.Cache.get(key); ok {
		return known.(*node), nil
	}
	entries, err := fs.ReadDir(l.fsys, orDot(dirPath))
	if err != nil {
		return nil, err
	}
	var dirs, ids []string
	for _, d := range entries {
		if !d.IsDir() {
			err = l.entry(n, d)
		} else if _, refused := CheckPath(path.Join(dirPath, d.Name())); refused == nil {
			// A refused name is one that no query can contain (O-4).
			var childID string
			childID, err = l.entryID(d)
			dirs, ids = append(dirs, d.Name()), append(ids, childID)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := l.children(n, dirs, ids, depth+1); err != nil {
		return nil, err
	}
	l.opts.Cache.set(key, n)
	return n, nil
}

// children compiles the sub-directories, side by side as far as helpers are free:
// the time goes into waiting for listings.
func (l *loader) children(n *node, names, ids []string, depth int) error {
	nodes, errs := make([]*node, len(names)), make([]error, len(names))
	var running sync.WaitGroup
	for i := range names {
		child := func() {
			// A panic on another goroutine would end the whole process.
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("read %s: panic: %v", path.Join(n.path, names[i]), p)
				}
			}()
			nodes[i], errs[i] = l.dir(path.Join(n.path, names[i]), ids[i], depth)
		}
		select {
		case l.helpers <- struct{}{}:
			running.Go(func() {
				defer func() { <-l.helpers }()
				child()
			})
		default:
			child()
		}
	}
	running.Wait()
	for i, child := range nodes {
		if errs[i] != nil {
			return errs[i]
		}
		if !child.empty() {
			n.adopt(names[i], child)
		}
	}
	return nil
}

func (n *node) adopt(name string, child *node) {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	n.children[name] = child
}

func orDot(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

func (l *loader) denied(dir string) bool {
	for _, re := range l.opts.denied {
		if re.MatchString(orDot(dir)) {
			return true
		}
	}
	return false
}

// entry adds what is not a directory to its directory.
func (l *loader) entry(n *node, d fs.DirEntry) error {
	name, names := d.Name(), l.opts.Filenames
	if l.opts.ListFiles {
		n.files = append(n.files, name)
	}
	markdown := l.opts.MarkdownFrontMatter && strings.HasSuffix(name, ".md")
	switch {
	case markdown:
		return l.markdown(n, d)
	case name == names.Owners:
		return l.owners(n, d)
	case name == names.Aliases && n.path == "":
		return l.aliases(n, d)
	case name == names.Aliases:
		n.stray = true
	}
	return nil
}

func (l *loader) owners(n *node, d fs.DirEntry) error {
	if l.files.Add(1) > maxFiles {
		return fmt.Errorf("more than %d %s files", maxFiles, l.opts.Filenames.Owners)
	}
	if !d.Type().IsRegular() {
		n.owners = l.irregular()
		return nil
	}
	known, err := l.read(n, d, kindOwners, maxFileBytes, l.parseOwners)
	if err == nil {
		n.owners = known.(*ownersFile)
	}
	return err
}

// irregular stands for a symbolic link, a submodule or a device. Prow ignores
// them, so a restriction kept in one would not hold there.
func (l *loader) irregular() *ownersFile {
	if l.opts.Mode == Compat {
		return nil
	}
	f := &ownersFile{}
	f.malformed(0, "it is not a regular file")
	return f
}

func (l *loader) parseOwners(b []byte, tooLarge bool) any {
	switch {
	case l.opts.Mode == Compat && tooLarge:
		return &ownersFile{}
	case l.opts.Mode == Compat:
		return compatOwners(b)
	case tooLarge:
		f := &ownersFile{}
		f.malformed(0, fmt.Sprintf("the file is larger than %d bytes", maxFileBytes))
		return f
	}
	return parseOwners(b)
}

func (l *loader) markdown(n *node, d fs.DirEntry) error {
	if !d.Type().IsRegular() {
		return nil
	}
	known, err := l.read(n, d, kindHead, maxMarkdownHead, func(b []byte, _ bool) any {
		if l.opts.Mode == Compat {
			return compatFrontMatter(b)
		}
		return parseFrontMatter(b)
	})
	if err != nil {
		return err
	}
	if f := known.(*ownersFile); f != nil {
		if n.markdown == nil {
			n.markdown = map[string]*ownersFile{}
		}
		n.markdown[d.Name()] = f
	}
	return nil
}

func (l *loader) aliases(n *node, d fs.DirEntry) error {
	if !d.Type().IsRegular() {
		if l.opts.Mode == Strict {
			n.aliases = brokenAliases(nil, 0, "it is not a regular file")
		}
		return nil
	}
	known, err := l.read(n, d, kindAliases, maxFileBytes, l.parseAliases)
	if err == nil {
		n.aliases = known.(*aliasFile)
	}
	return err
}

func (l *loader) parseAliases(b []byte, tooLarge bool) any {
	switch {
	case l.opts.Mode == Compat:
		return compatAliases(b)
	case tooLarge:
		return brokenAliases(b, 0, fmt.Sprintf("the file is larger than %d bytes", maxFileBytes))
	}
	return parseAliases(b)
}

// read parses one file, or takes it from the cache by its blob id.
func (l *loader) read(n *node, d fs.DirEntry, kind byte, limit int64, parse func(b []byte, tooLarge bool) any) (any, error) {
	id, err := l.entryID(d)
	if err != nil {
		return nil, err
	}
	key := cacheKey{id: id, opts: l.opts.key, kind: kind}
	if known, ok := l.opts.Cache.get(key); ok {
		return known, nil
	}
	b, err := readBounded(l.fsys, path.Join(n.path, d.Name()), limit)
	tooLarge := errors.Is(err, errTooLarge)
	if err != nil && !tooLarge {
		return nil, err
	}
	parsed := parse(b, tooLarge)
	l.opts.Cache.set(key, parsed)
	return parsed, nil
}
