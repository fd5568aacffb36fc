// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package imageaudit

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/steward/internal/audit"
)

// Mirror is how one mirror stands beside what is declared for it.
type Mirror struct {
	Name         string `json:"name"`
	Repositories int    `json:"repositories"` // that are declared
	Unread       int    `json:"unread"`       // of them
	Missing      int    `json:"missing"`      // declared digests and tags; all of a repository that is gone
	Moved        int    `json:"moved"`        // declared tags that stand for something else
	Undeclared   int    `json:"undeclared"`   // tags, digests and repositories
}

// Tally counts per mirror what Compare reports per image, in the order of the set's mirrors.
func (c *Collector) Tally(readings map[string]audit.Reading) ([]Mirror, error) {
	all := make([]Mirror, len(c.set.Mirrors))
	for i, name := range c.set.Mirrors {
		all[i].Name = name
	}
	for _, u := range c.units {
		if u.broken != nil {
			continue
		}
		reading, read := readings[u.name]
		if err := all[u.mirror].count(u, reading.Data, read); err != nil {
			return nil, fmt.Errorf("reading of %s: %w", u.name, err)
		}
	}
	return all, nil
}

func (m *Mirror) count(u unit, data json.RawMessage, read bool) error {
	if u.image == nil {
		var f folderList
		if read {
			if err := json.Unmarshal(data, &f); err != nil {
				return err
			}
		}
		m.Undeclared += len(f.Repositories)
		return nil
	}
	m.Repositories++
	if !read {
		m.Unread++
		return nil
	}
	var d difference
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	m.Missing += len(d.Missing) + len(d.Untagged)
	if d.Gone {
		for _, p := range u.image.Parts {
			m.Missing += len(p.Entry.Digests)
		}
	}
	m.Moved += len(d.Moved)
	m.Undeclared += len(d.Tags) + len(d.Digests) + len(d.Below)
	return nil
}
