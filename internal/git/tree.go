// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/gitfs"
)

// maxTrees bounds the cache of parsed trees.
const maxTrees = 20_000

// knownModes are those git writes, or wrote (100664).
var knownModes = [...]string{"40000", "100644", "100755", "120000", "160000", "040000", "100664"}

// parseTree reads a raw tree object: mode, space, name, NUL, id of width bytes.
// Names that a tree must not hold are an error: a crafted ".." must not become a
// path. The result is sorted by name, which is not git's order for directories.
func parseTree(b []byte, width int) ([]gitfs.Entry, error) {
	var entries []gitfs.Entry
	for len(b) > 0 {
		head, rest, ok := bytes.Cut(b, []byte{0})
		mode, name, spaced := strings.Cut(string(head), " ")
		if !ok || !spaced || len(rest) < width {
			return nil, errors.New("malformed tree")
		}
		if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
			return nil, fmt.Errorf("malformed tree: entry %q", name)
		}
		if !slices.Contains(knownModes[:], mode) {
			return nil, fmt.Errorf("malformed tree: mode %q", mode[:min(len(mode), 10)])
		}
		entries = append(entries, gitfs.Entry{Name: name, Mode: gitfs.ParseMode(mode), ID: hex.EncodeToString(rest[:width])})
		b = rest[width:]
	}
	slices.SortFunc(entries, func(a, b gitfs.Entry) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(entries); i++ {
		if entries[i].Name == entries[i-1].Name {
			return nil, fmt.Errorf("malformed tree: entry %q twice", entries[i].Name)
		}
	}
	return entries, nil
}

// treeCache keeps the trees used last, in two generations: a full young one
// becomes old, and the old one goes. Entries are never changed.
type treeCache struct {
	mu    sync.Mutex
	max   int
	young map[string][]gitfs.Entry
	old   map[string][]gitfs.Entry
}

func newTreeCache(max int) *treeCache {
	return &treeCache{max: max, young: map[string][]gitfs.Entry{}}
}

func (c *treeCache) get(id string) ([]gitfs.Entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entries, ok := c.young[id]; ok {
		return entries, true
	}
	entries, ok := c.old[id]
	if ok {
		c.store(id, entries)
	}
	return entries, ok
}

func (c *treeCache) put(id string, entries []gitfs.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store(id, entries)
}

func (c *treeCache) store(id string, entries []gitfs.Entry) {
	if len(c.young) >= c.max {
		c.old, c.young = c.young, map[string][]gitfs.Entry{}
	}
	c.young[id] = entries
}
