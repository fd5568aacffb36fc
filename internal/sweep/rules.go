// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Rules choose what is deleted. The zero value chooses everything that its kind does not protect.
type Rules struct {
	// Age is how old an object has to be; 0 asks for no age.
	Age time.Duration
	// Include are tags that an object has to have, all of them; Exclude are tags of which one saves it.
	Include, Exclude []Tag
}

// Tag is KEY or KEY=VALUE.
type Tag struct {
	Key, Value string
	Any        bool // whatever the value
}

// ParseTags reads what --include-tags and --exclude-tags take.
func ParseTags(texts []string) ([]Tag, error) {
	var tags []Tag
	var faults []error
	for _, text := range texts {
		key, value, valued := strings.Cut(text, "=")
		if key == "" {
			faults = append(faults, fmt.Errorf("tag %q is not KEY or KEY=VALUE", text))
		}
		tags = append(tags, Tag{key, value, !valued})
	}
	return tags, errors.Join(faults...)
}

func (t Tag) on(o Object) bool {
	value, ok := o.Tags[t.Key]
	return ok && (t.Any || value == t.Value)
}

// String is the tag as it was written.
func (t Tag) String() string {
	if t.Any {
		return t.Key
	}
	return t.Key + "=" + t.Value
}

// spares says why an object stays, or "" (SW-3, SW-4, SW-5). created is its age's beginning.
func (r Rules) spares(o Object, created, now time.Time) string {
	for _, t := range r.Exclude {
		if t.on(o) {
			return "has the tag " + t.String()
		}
	}
	for _, t := range r.Include {
		if !t.on(o) {
			return "does not have the tag " + t.String()
		}
	}
	// A time in the future is a clock that is wrong, not an old object.
	if age := now.Sub(created); r.Age > 0 && age < r.Age {
		return "younger than " + r.Age.String()
	}
	return ""
}

// Marks hold when objects were first seen whose API does not tell when they were made. They are never changed in place.
type Marks map[string]time.Time

// maxMarks bounds what is remembered of one account.
const maxMarks = 1_000_000

func mark(kind string, o Object) string { return kind + " " + o.ID }

// ParseMarks reads what Encode wrote; nothing is no marks.
func ParseMarks(raw []byte) (Marks, error) {
	m := Marks{}
	if len(raw) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	return m, nil
}

// Encode is the marks as JSON.
func (m Marks) Encode() ([]byte, error) {
	if len(m) > maxMarks {
		return nil, fmt.Errorf("write marks: %d are more than %d", len(m), maxMarks)
	}
	return json.Marshal(m)
}

// Update adds objects that are seen for the first time and drops those that are gone. Of kinds that were not read it
// forgets nothing.
func (m Marks) Update(s Survey, now time.Time) Marks {
	out := Marks{}
	for _, k := range s.Kinds {
		if k.Err != nil {
			for key, since := range m {
				if strings.HasPrefix(key, k.Name+" ") {
					out[key] = since
				}
			}
		}
		for _, o := range k.Objects {
			if !o.Created.IsZero() {
				continue
			}
			since, known := m[mark(k.Name, o)]
			if !known || since.After(now) {
				since = now
			}
			out[mark(k.Name, o)] = since.UTC()
		}
	}
	return out
}
