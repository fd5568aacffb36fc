// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // git's object ids are SHA-1
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// objects holds every git object of every repository, as one fork network:
// memory is the truth, ids are git's own, and the object directory on disk is
// written only when a git program is about to look (disk.go).
type objects struct {
	byID    map[string]object
	trees   memo[string, []entry] // parsed trees
	commits memo[string, *commit] // parsed commits
	bases   memo[[2]string, string]
	pending []string // not on disk yet, in order of creation
}

type object struct {
	kind string // blob, tree, commit or tag
	data []byte
}

func newObjects() *objects {
	return &objects{byID: map[string]object{}}
}

// put stores an object and returns its id.
func (o *objects) put(kind string, data []byte) string {
	h := sha1.New() //nolint:gosec // see above
	fmt.Fprintf(h, "%s %d\x00", kind, len(data))
	h.Write(data)
	id := hex.EncodeToString(h.Sum(nil))
	if _, ok := o.byID[id]; !ok {
		o.byID[id] = object{kind, data}
		o.pending = append(o.pending, id)
	}
	return id
}

// get returns the object if it exists and is of the kind.
func (o *objects) get(kind, id string) ([]byte, bool) {
	obj, ok := o.byID[id]
	return obj.data, ok && obj.kind == kind
}

// entry is one line of a tree.
type entry struct {
	Mode, Name, ID string
}

func (e entry) kind() string {
	switch e.Mode {
	case "40000":
		return "tree"
	case "160000":
		return "commit"
	}
	return "blob"
}

// tree parses a tree object: mode, space, name, NUL, twenty bytes of id.
func (o *objects) tree(id string) []entry {
	data, ok := o.get("tree", id)
	if !ok {
		return nil
	}
	return o.trees.get(id, func() []entry { return parseTree(data) })
}

func parseTree(data []byte) (out []entry) {
	for len(data) > 0 {
		head, rest, found := bytes.Cut(data, []byte{0})
		if !found || len(rest) < sha1.Size {
			break
		}
		mode, name, _ := strings.Cut(string(head), " ")
		out = append(out, entry{mode, name, hex.EncodeToString(rest[:sha1.Size])})
		data = rest[sha1.Size:]
	}
	return out
}

// putTree sorts as git does (directories as if they ended in a slash).
func (o *objects) putTree(entries []entry) string {
	key := func(e entry) string {
		if e.kind() == "tree" {
			return e.Name + "/"
		}
		return e.Name
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(key(a), key(b)) })
	var b bytes.Buffer
	for _, e := range entries {
		raw, _ := hex.DecodeString(e.ID)
		fmt.Fprintf(&b, "%s %s\x00", e.Mode, e.Name)
		b.Write(raw)
	}
	return o.put("tree", b.Bytes())
}

// commit is what we read of a commit object.
type commit struct {
	Tree      string
	Parents   []string
	Author    signature
	Committer signature
	Message   string
}

type signature struct {
	Name, Email string
	Date        time.Time
}

func (s signature) line() string {
	return fmt.Sprintf("%s <%s> %d +0000", s.Name, s.Email, s.Date.Unix())
}

func (o *objects) putCommit(c commit) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "tree %s\n", c.Tree)
	for _, p := range c.Parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author %s\ncommitter %s\n\n%s\n", c.Author.line(), c.Committer.line(), strings.TrimRight(c.Message, "\n"))
	return o.put("commit", b.Bytes())
}

// commit parses a commit object; ok is false if there is none of that id.
func (o *objects) commit(id string) (c commit, ok bool) {
	data, ok := o.get("commit", id)
	if !ok {
		return c, false
	}
	return *o.commits.get(id, func() *commit { return parseCommit(data) }), true
}

func parseCommit(data []byte) *commit {
	var c commit
	head, message, _ := strings.Cut(string(data), "\n\n")
	c.Message = strings.TrimSuffix(message, "\n")
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "tree":
			c.Tree = value
		case "parent":
			c.Parents = append(c.Parents, value)
		case "author":
			c.Author = parseSignature(value)
		case "committer":
			c.Committer = parseSignature(value)
		}
	}
	return &c
}

func parseSignature(s string) (sig signature) {
	name, rest, _ := strings.Cut(s, " <")
	email, when, _ := strings.Cut(rest, "> ")
	var unix int64
	fmt.Sscanf(when, "%d", &unix) //nolint:errcheck // a broken date reads as 1970
	return signature{name, email, time.Unix(unix, 0).UTC()}
}

// treeOf is the tree of a commit, or the id itself if it is a tree.
func (o *objects) treeOf(id string) string {
	if c, ok := o.commit(id); ok {
		return c.Tree
	}
	if _, ok := o.get("tree", id); ok {
		return id
	}
	return ""
}

// find walks a slash-separated path from a tree; the empty path is the tree.
func (o *objects) find(tree, path string) (entry, bool) {
	at := entry{Mode: "40000", ID: tree}
	if path = strings.Trim(path, "/"); path == "" {
		return at, tree != ""
	}
	for name := range strings.SplitSeq(path, "/") {
		n := slices.IndexFunc(o.tree(at.ID), func(e entry) bool { return e.Name == name })
		if n < 0 {
			return entry{}, false
		}
		at = o.tree(at.ID)[n]
	}
	return at, true
}

// walk lists everything below a tree, directories before their contents, in
// git's order, with full paths as names.
func (o *objects) walk(tree, prefix string, yield func(entry) bool) bool {
	for _, e := range o.tree(tree) {
		full := entry{e.Mode, prefix + e.Name, e.ID}
		if !yield(full) {
			return false
		}
		if e.kind() == "tree" && !o.walk(e.ID, full.Name+"/", yield) {
			return false
		}
	}
	return true
}

// edit applies changes to a tree and returns the new one: paths map to the
// wanted entry, an entry without id deletes. Emptied directories vanish.
func (o *objects) edit(tree string, changes map[string]entry) string {
	here := map[string]entry{}
	for _, e := range o.tree(tree) {
		here[e.Name] = e
	}
	below := map[string]map[string]entry{}
	for path, e := range changes {
		dir, rest, deep := strings.Cut(path, "/")
		switch {
		case deep && below[dir] == nil:
			below[dir] = map[string]entry{rest: e}
		case deep:
			below[dir][rest] = e
		case e.ID == "":
			delete(here, path)
		default:
			here[path] = entry{e.Mode, path, e.ID}
		}
	}
	for dir, sub := range below {
		id := o.edit(here[dir].ID, sub)
		if len(o.tree(id)) == 0 {
			delete(here, dir)
			continue
		}
		here[dir] = entry{"40000", dir, id}
	}
	return o.putTree(sorted(here))
}

// reaches tells whether ancestor is head or one of its ancestors.
func (o *objects) reaches(head, ancestor string) bool {
	return o.ancestors(head, func(id string) bool { return id == ancestor }) != ""
}

// mergeBase is the first ancestor of head that base reaches too: exact for the
// histories a fake holds (no criss-cross merges).
func (o *objects) mergeBase(base, head string) string {
	return o.bases.get([2]string{base, head}, func() string {
		if o.reaches(head, base) {
			return base
		}
		seen := o.reachable(base)
		return o.ancestors(head, func(id string) bool { return seen[id] })
	})
}

// reachable is a commit and all its ancestors.
func (o *objects) reachable(id string) map[string]bool {
	seen := map[string]bool{}
	o.ancestors(id, func(id string) bool { seen[id] = true; return false })
	return seen
}

// ancestors walks breadth-first from id, itself included, until stop says so.
func (o *objects) ancestors(id string, stop func(string) bool) string {
	queue, seen := []string{id}, map[string]bool{id: true}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at == "" {
			continue
		}
		if stop(at) {
			return at
		}
		c, _ := o.commit(at)
		for _, p := range c.Parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return ""
}
