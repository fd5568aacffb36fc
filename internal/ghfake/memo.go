// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import "sync"

// memo remembers what was computed from objects, which never change. It has a
// lock of its own: the resolvers of one GraphQL query run concurrently, all below
// the server's mutex.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]V
}

// get returns the value of a key; compute runs at most a few times, without the
// lock, because it may ask other memos or this one.
func (m *memo[K, V]) get(key K, compute func() V) V {
	m.mu.Lock()
	v, ok := m.known[key]
	m.mu.Unlock()
	if ok {
		return v
	}
	v = compute()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[K]V{}
	}
	m.known[key] = v
	return v
}
