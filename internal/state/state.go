// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package state is what a job keeps between its runs, in a place that outlives the
// machine it runs on.
//
// A Store holds small objects by key and never overwrites what its caller has not
// seen: every write names the version it replaces. That is enough for journals (keys
// that are created once), for locks and for documents of which one version counts.
// Package statetest has the suite that every store passes.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"
)

// Version names one content of a key. Versions are compared for equality only.
type Version string

// Absent is the version of a key that does not exist: Put with it only creates. Any is
// whatever is there, for Delete alone.
const (
	Absent Version = ""
	Any    Version = "*"
)

// ErrConflict says that a key does not have the version that was named. Read it again.
var ErrConflict = errors.New("another version is stored")

// Store keeps objects. Keys match LegalKey. All methods may be called concurrently, by
// several processes; a Put that returned is seen by every later Get and List.
type Store interface {
	// Get returns the content of a key. The error is fs.ErrNotExist where there is
	// none, and never that where it is not known.
	Get(ctx context.Context, key string) ([]byte, Version, error)
	// Put replaces version v of a key, or fails with ErrConflict and changes nothing.
	// After any other error the new content may or may not be stored.
	Put(ctx context.Context, key string, content []byte, v Version) (Version, error)
	// List returns all keys that begin with prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
	// Delete removes version v of a key, or Any. A key that is not there is no error.
	Delete(ctx context.Context, key string, v Version) error
}

// MaxObject bounds the content of one key.
const MaxObject = 256 << 20

var legalKey = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*(/[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*)*$`)

// CheckKey refuses keys that some store could not hold: those that are not made of
// lower-case words between slashes.
func CheckKey(key string) error {
	if len(key) > 200 || !legalKey.MatchString(key) {
		return fmt.Errorf("key %.200q is not legal", key)
	}
	return nil
}

// Update replaces a key by what change makes of it, and starts over where somebody
// else was faster. change gets nil for a key that does not exist; an error of it ends
// the update.
func Update(ctx context.Context, s Store, key string, change func(old []byte) ([]byte, error)) error {
	for {
		old, version, err := s.Get(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			old, version, err = nil, Absent, nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		content, err := change(old)
		if err != nil {
			return err
		}
		_, err = s.Put(ctx, key, content, version)
		if !errors.Is(err, ErrConflict) {
			return wrap("write", key, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Replace writes a key whatever it held.
func Replace(ctx context.Context, s Store, key string, content []byte) error {
	return Update(ctx, s, key, func([]byte) ([]byte, error) { return content, nil })
}

func wrap(operation, key string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", operation, key, err)
	}
	return nil
}

// HeldError says that somebody else has a lock.
type HeldError struct {
	Key, Holder string
	Until       time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("lock %s is held by %s until %s: wait for that run to end, or for the lock to expire", e.Key, e.Holder, e.Until.UTC().Format(time.RFC3339))
}

// Lock is an object that says who works, and until when that is believed.
type Lock struct {
	store   Store
	key     string
	holder  string
	ttl     time.Duration
	version Version
	renewed time.Time // when the last write that succeeded was sent
}

type lockContent struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// Acquire takes a lock, or that of a holder who has not renewed it in time. The error
// is *HeldError where it is somebody else's. holder is a name that nobody else has. Call
// Renew well within ttl; clocks of the machines should agree within a fraction of it.
func Acquire(ctx context.Context, s Store, key, holder string, ttl time.Duration) (*Lock, error) {
	old, version, err := s.Get(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read lock %s: %w", key, err)
	}
	if err == nil {
		var held lockContent
		// One that cannot be read is nobody's.
		if json.Unmarshal(old, &held) == nil && time.Now().Before(held.Until) {
			return nil, &HeldError{key, held.Holder, held.Until}
		}
	}
	l := &Lock{store: s, key: key, holder: holder, ttl: ttl, version: version}
	if err := l.Renew(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Renew holds the lock for another ttl. The error is ErrConflict, wrapped, where it was lost.
func (l *Lock) Renew(ctx context.Context) error {
	now := time.Now()
	raw, err := json.Marshal(lockContent{l.holder, now.Add(l.ttl).UTC()})
	if err != nil {
		return fmt.Errorf("write lock %s: %w", l.key, err)
	}
	version, err := l.store.Put(ctx, l.key, raw, l.version)
	if errors.Is(err, ErrConflict) && l.version != Absent {
		// The answer to the last write may have been lost: then what is there is ours.
		if l.version, err = l.mine(ctx); err == nil {
			version, err = l.store.Put(ctx, l.key, raw, l.version)
		}
	}
	if err != nil {
		return fmt.Errorf("write lock %s: %w", l.key, err)
	}
	l.version, l.renewed = version, now
	return nil
}

// mine returns the version that is stored, if it is this holder's; ErrConflict if not.
func (l *Lock) mine(ctx context.Context) (Version, error) {
	raw, version, err := l.store.Get(ctx, l.key)
	if errors.Is(err, fs.ErrNotExist) {
		return l.version, ErrConflict
	}
	var held lockContent
	if err == nil && (json.Unmarshal(raw, &held) != nil || held.Holder != l.holder) {
		return l.version, ErrConflict
	}
	return version, err
}

// Release gives the lock back. The error is ErrConflict, wrapped, where it is somebody else's
// by now; that one stays.
func (l *Lock) Release(ctx context.Context) error {
	err := l.store.Delete(ctx, l.key, l.version)
	if errors.Is(err, ErrConflict) {
		// As in Renew: what is there may be ours.
		if l.version, err = l.mine(ctx); err == nil {
			err = l.store.Delete(ctx, l.key, l.version)
		}
	}
	return wrap("release lock", l.key, err)
}
