// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Observed is a bucket as Cloud Storage answers it, in the form that is kept. Policy is
// empty where it could not be read.
type Observed struct {
	Bucket json.RawMessage `json:"bucket"`
	Policy json.RawMessage `json:"policy,omitempty"`
	Leaks  []Leak          `json:"leaks,omitempty"`
}

// Clean returns o in canonical form, without the credentials that stand in it, and
// with Leaks saying where they stood.
func (p *Parser) Clean(o Observed) (Observed, error) {
	out := Observed{Leaks: o.Leaks}
	for _, part := range []struct {
		from json.RawMessage
		into *json.RawMessage
		path string
	}{{o.Bucket, &out.Bucket, ""}, {o.Policy, &out.Policy, "iam"}} {
		if len(part.from) == 0 {
			continue
		}
		v, err := decodeJSON(part.from)
		if err != nil {
			return Observed{}, fmt.Errorf("clean an answer: %w", err)
		}
		*part.into = json.RawMessage(canonical(p.redact(v, part.path, &out.Leaks)))
	}
	return out, nil
}

// redact walks through a value of JSON.
func (p *Parser) redact(v any, path string, leaks *[]Leak) any {
	switch v := v.(type) {
	case string:
		clean, found := p.scanner.Redact(v)
		for _, m := range found {
			*leaks = append(*leaks, Leak{Field: path, Kind: m.Kind, Mark: m.Mark})
		}
		return clean
	case []any:
		for i := range v {
			v[i] = p.redact(v[i], path, leaks)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			clean, found := p.scanner.Redact(key)
			below := strings.TrimPrefix(path+"."+clean, ".")
			for _, m := range found {
				*leaks = append(*leaks, Leak{Field: below, Kind: m.Kind, Mark: m.Mark})
			}
			out[clean] = p.redact(v[key], below, leaks)
		}
		return out
	}
	return v
}

// Problem is a part of an answer that is not what the API's reference says. The field
// is not told.
type Problem struct {
	Field string
	Text  string
}

// validName is what Cloud Storage allows; a path in a repository may be made of it.
func validName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		inside := c == '-' || c == '_' || c == '.' && name[i-min(i, 1)] != '.'
		if !letter && (!inside || i == 0 || i == len(name)-1) {
			return false
		}
	}
	return len(name) >= 3 && len(name) <= 222
}

// BucketName reads the name of an answered bucket. One that Cloud Storage does not
// allow is an error: names become paths.
func BucketName(raw json.RawMessage) (string, error) {
	var b struct{ Kind, Name string }
	if err := json.Unmarshal(raw, &b); err != nil {
		return "", fmt.Errorf("read a bucket: %w", err)
	}
	if b.Kind != "storage#bucket" {
		return "", fmt.Errorf("read a bucket: its kind is %.100q", b.Kind)
	}
	if !validName(b.Name) {
		return "", fmt.Errorf("read a bucket: its name is %.300q", b.Name)
	}
	return b.Name, nil
}

// Bucket reads an answer into the tree of what is observed.
func (p *Parser) Bucket(t *Tree, project string, o Observed) (*Bucket, []Problem, error) {
	name, err := BucketName(o.Bucket)
	if err != nil {
		return nil, nil, err
	}
	w := p.writer(project, name, t.File(project, name))
	v, err := w.decode(o.Bucket, "", w.bucket.File)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", Object(name), err)
	}
	resource, ok := v.(map[string]any)
	if !ok {
		return nil, nil, fmt.Errorf("read %s: it is no object", Object(name))
	}
	for _, l := range o.Leaks {
		l.File = w.bucket.File
		w.bucket.Leaks = append(w.bucket.Leaks, l)
	}
	problems := w.resource(resource)
	if len(o.Policy) > 0 {
		if err := w.observedPolicy(o.Policy); err != nil {
			problems = append(problems, Problem{"iam", err.Error()})
		}
	}
	w.finish()
	return w.bucket, problems, nil
}

// resource tells the fields of a bucket, and keeps what no row knows.
func (w writer) resource(resource map[string]any) []Problem {
	var problems []Problem
	file := w.bucket.File
	for i := range w.table.rows {
		r := &w.table.rows[i]
		if r.json == "" {
			continue
		}
		raw, has := find(resource, r.json)
		switch {
		case !has && r.elements != nil:
			w.set(r.path, file, 0, nil, nil)
		case !has:
			w.scalar(r.path, r.usual, file, 0)
		case r.elements != nil:
			elements, ok := r.elements(raw)
			if !ok {
				problems = append(problems, Problem{r.path, "is not what the API answers"})
				continue
			}
			w.set(r.path, file, 0, elements, nowhere)
		default:
			value, ok := r.value(raw)
			if !ok {
				problems = append(problems, Problem{r.path, "is not what the API answers"})
				continue
			}
			w.scalar(r.path, value, file, 0)
		}
	}
	w.strange(resource, "")
	return append(problems, w.hiddenACL(resource)...)
}

// hiddenACL: a bucket whose access is not uniform has an access control list. An answer
// without one is one whose reader may not see it.
func (w writer) hiddenACL(resource map[string]any) []Problem {
	if w.bucket.Fields["uniformAccess"].Value == "true" || resource["acl"] != nil {
		return nil
	}
	delete(w.bucket.Fields, "acl")
	if resource["defaultObjectAcl"] == nil {
		delete(w.bucket.Fields, "defaultObjectAcl")
	}
	return []Problem{{"acl", "is not in the answer"}}
}

func nowhere(element) int { return 0 }

// find goes down a path of names. null is absence.
func find(v any, path string) (any, bool) {
	for name := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			// A place that should be an object and is none is not understood.
			return v, v != nil
		}
		if v = object[name]; v == nil {
			return nil, false
		}
	}
	return v, true
}

// strange keeps what the table does not know, at the highest place it does not know.
func (w writer) strange(object map[string]any, above string) {
	for name, v := range object {
		path := strings.TrimPrefix(above+"."+name, ".")
		inner, isObject := v.(map[string]any)
		switch {
		case v == nil || w.table.known[path]:
		case w.table.inner[path] && isObject:
			w.strange(inner, path)
		case !w.table.inner[path]:
			w.unknown(path, canonical(v), w.bucket.File, 0)
		}
	}
}

func (w writer) observedPolicy(raw json.RawMessage) error {
	file := strings.TrimSuffix(w.bucket.File, "metadata.txt") + "iam.json"
	v, err := w.decode(raw, "iam", file)
	if err != nil {
		return err
	}
	policy, ok := v.(map[string]any)
	if !ok {
		return errors.New("is no object")
	}
	_, err = w.policy(policy, file, nowhere)
	return err
}

// policy tells an IAM policy of either side. No binding at all is a policy.
func (w writer) policy(policy map[string]any, file string, lineOf func(element) int) ([]element, error) {
	var all []element
	if raw, has := policy["bindings"]; has {
		var ok bool
		if all, ok = bindings(raw); !ok {
			return nil, errors.New("is not a list of bindings")
		}
	}
	for name, v := range policy {
		switch name {
		case "bindings", "kind", "resourceId", "version", "etag":
		default:
			w.unknown("iam."+name, canonical(v), file, 0)
		}
	}
	w.set("iam", file, 0, all, lineOf)
	return all, nil
}
