// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"strings"
)

// Under is a store within a store: its keys stand there behind a prefix, which ends in a slash.
func Under(s Store, prefix string) Store { return under{s, prefix} }

type under struct {
	store  Store
	prefix string
}

func (u under) Get(ctx context.Context, key string) ([]byte, Version, error) {
	return u.store.Get(ctx, u.prefix+key)
}

func (u under) Put(ctx context.Context, key string, content []byte, v Version) (Version, error) {
	return u.store.Put(ctx, u.prefix+key, content, v)
}

func (u under) Delete(ctx context.Context, key string, v Version) error {
	return u.store.Delete(ctx, u.prefix+key, v)
}

func (u under) List(ctx context.Context, prefix string) ([]string, error) {
	keys, err := u.store.List(ctx, u.prefix+prefix)
	for i, key := range keys {
		keys[i] = strings.TrimPrefix(key, u.prefix)
	}
	return keys, err
}
