// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/internal/sweep"
)

// memory is what --state knows of an account.
type memory struct {
	marks  sweep.Marks
	record *record // of the last sweep; nil: there was none
}

// record is what stays of a sweep.
type record struct {
	Version int       `json:"version"`
	Swept   time.Time `json:"swept"`
	Commit  string    `json:"commit"`
	Clean   bool      `json:"clean"`
	// Partial says that no sweep has read everything in the account yet. Deleted then counts those before as well.
	Partial bool   `json:"partial,omitempty"`
	Deleted int    `json:"deleted"`
	Left    int    `json:"left"`
	Reason  string `json:"reason,omitempty"`
}

const recordVersion = 1

// key is where an account's things are kept. Names that no key can have are kept by their hash.
func key(account, what string) string {
	k := "janitor/" + account + "/" + what
	if state.CheckKey(k) != nil {
		sum := sha256.Sum256([]byte(account))
		k = "janitor/sha256-" + hex.EncodeToString(sum[:16]) + "/" + what
	}
	return k
}

func (c *cleaner) recall(ctx context.Context, account string) (memory, error) {
	m := memory{marks: sweep.Marks{}}
	if c.store == nil {
		return m, nil
	}
	raw, err := c.get(ctx, key(account, "seen.json"))
	if err != nil {
		return m, err
	}
	if m.marks, err = sweep.ParseMarks(raw); err != nil {
		return m, fmt.Errorf("%s: %w", account, err)
	}
	if raw, err = c.get(ctx, key(account, "record.json")); err != nil || raw == nil {
		return m, err
	}
	m.record = &record{}
	if err := json.Unmarshal(raw, m.record); err != nil {
		return m, fmt.Errorf("read the record of %s: %w", account, err)
	}
	return m, nil
}

// get is nil where there is nothing.
func (c *cleaner) get(ctx context.Context, key string) ([]byte, error) {
	raw, _, err := c.store.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return raw, nil
}

// saveTimeout bounds what is written when a sweep was stopped.
const saveTimeout = 10 * time.Second

// remember keeps marks, and the record of a sweep that went through to its end.
func (c *cleaner) remember(ctx context.Context, account string, marks sweep.Marks, r *record) error {
	if c.store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	raw, err := marks.Encode()
	if err == nil {
		err = state.Replace(ctx, c.store, key(account, "seen.json"), raw)
	}
	if err != nil || r == nil {
		return err
	}
	if raw, err = json.Marshal(r); err != nil {
		return fmt.Errorf("write the record of %s: %w", account, err)
	}
	return state.Replace(ctx, c.store, key(account, "record.json"), raw)
}
