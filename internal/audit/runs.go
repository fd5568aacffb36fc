// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/steward/internal/state"
)

// run is one journal as it is stored.
type run struct {
	dir   string
	id    RunID
	done  bool
	parts []string // keys of the readings, in order
	last  int      // number of the last of them
}

// listRuns returns the runs, oldest first. A folder without a description is what a
// kill left of the very first write, and is no run.
func listRuns(ctx context.Context, s state.Store) ([]run, error) {
	keys, err := s.List(ctx, runsPrefix)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	byDir := map[string]*run{}
	described := map[string]bool{}
	for _, key := range keys {
		dir, file := path.Split(key)
		dir = strings.TrimSuffix(dir, "/")
		r := byDir[dir]
		if r == nil {
			r = &run{dir: dir}
			byDir[dir] = r
		}
		number, err := strconv.Atoi(strings.TrimSuffix(file, ".json"))
		switch {
		case file == doneFile:
			r.done = true
		case file == runFile:
			described[dir] = true
		case err == nil:
			r.parts, r.last = append(r.parts, key), max(r.last, number)
		}
	}
	var runs []run
	for dir, r := range byDir {
		if !described[dir] {
			continue
		}
		raw, _, err := s.Get(ctx, path.Join(dir, runFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read run %s: %w", dir, err)
		}
		if err := json.Unmarshal(raw, &r.id); err != nil {
			return nil, fmt.Errorf("read run %s: %w", dir, err)
		}
		runs = append(runs, *r)
	}
	slices.SortFunc(runs, func(a, b run) int { return strings.Compare(a.dir, b.dir) })
	return runs, nil
}
