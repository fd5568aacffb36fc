// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import "sync"

// Cache keeps parsed files by blob id and compiled directories by tree id and
// path, so that Load reads only what a commit changed. It may be shared between
// trees, repositories and options, and used concurrently.
//
// It holds two generations: when the young one is full it becomes the old one
// and the old one is dropped; a hit moves an object to the young one. So it
// keeps between max and 2·max of the objects used last, at the cost of a map.
type Cache struct {
	mu    sync.Mutex
	max   int
	young map[cacheKey]any
	old   map[cacheKey]any
	hits  uint64
	miss  uint64
}

type cacheKey struct {
	id   string // git object id
	path string // of a directory; a file's meaning does not depend on its path
	opts string
	kind byte
}

const (
	kindDir     byte = 'd'
	kindOwners  byte = 'o'
	kindHead    byte = 'h'
	kindAliases byte = 'a'
)

// NewCache makes a cache of about max objects; 0 means 65536, enough for ten
// repositories of the size of kubernetes/kubernetes.
func NewCache(max int) *Cache {
	if max <= 0 {
		max = 1 << 16
	}
	return &Cache{max: max, young: map[cacheKey]any{}}
}

// Stats returns hits, misses and the number of objects held.
func (c *Cache) Stats() (hits, misses uint64, held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.miss, len(c.young) + len(c.old)
}

func (c *Cache) get(k cacheKey) (any, bool) {
	if c == nil || k.id == "" {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[k]
	if !ok {
		if v, ok = c.old[k]; ok {
			delete(c.old, k)
			c.put(k, v)
		}
	}
	if ok {
		c.hits++
	} else {
		c.miss++
	}
	return v, ok
}

func (c *Cache) set(k cacheKey, v any) {
	if c == nil || k.id == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(k, v)
}

func (c *Cache) put(k cacheKey, v any) {
	if len(c.young) >= c.max {
		c.old, c.young = c.young, make(map[cacheKey]any, c.max/4)
	}
	c.young[k] = v
}
