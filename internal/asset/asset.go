// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package asset knows what a storage bucket is, whoever speaks of it.
//
// A bucket is declared by the files of an exported audit tree and observed as the
// JSON of Cloud Storage's API, or as another export. Both are brought into one form:
// fields with canonical values, by the table in fields.go, each with the file and line
// that says so. Diff compares two such trees. What a side does not say is unknown, and
// unknown is never a difference. The rules are AB-1 … in docs/audit-buckets.md.
package asset

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

// Tree is what one side says about the buckets of some projects.
type Tree struct {
	Projects map[string]*Project
	// Problems are what could not be understood, as findings about the files.
	Problems []finding.Finding

	dir     string          // of the projects in the repository
	tiers   map[string]bool // whether a project is production, where somebody says
	domains map[string]bool // that occur in its policies
	numbers map[string]bool // of its projects
}

// Project holds the buckets of one Google Cloud project.
type Project struct {
	ID      string
	Number  string // "" where it is not known
	Buckets map[string]*Bucket
}

// Bucket is one bucket. A field that is not in Fields is not told, and unknown.
type Bucket struct {
	Name, Project string
	File          string // that declares it, or would
	// Fields are by the path of a row of the table. A set is told by a field with the
	// row's own path; its elements are below it: iam/ROLE/MEMBER.
	Fields map[string]Field
	// Unknown is what no row of the table knows.
	Unknown map[string]Field
	Leaks   []Leak
}

// Field is a canonical value and where it stands.
type Field struct {
	Value string
	File  string
	Line  int // 0 where the whole file says it
}

// Leak is a credential that stands in a field.
type Leak struct {
	Field string `json:"field"`
	Kind  string `json:"kind"`
	Mark  string `json:"mark"` // stands for it; see secret.Match
	File  string `json:"-"`
	Line  int    `json:"-"`
}

// Object is how findings and gaps call a bucket.
func Object(bucket string) string { return "gs://" + bucket }

// ProjectIDs lists the projects in order.
func (t *Tree) ProjectIDs() []string { return slices.Sorted(maps.Keys(t.Projects)) }

// File is where a bucket is declared, or would be.
func (t *Tree) File(project, bucket string) string {
	return t.dir + "/" + project + "/buckets/" + bucket + "/metadata.txt"
}

// Observe returns an empty tree for what is seen of the projects that t declares.
func (t *Tree) Observe() *Tree {
	return &Tree{Projects: map[string]*Project{}, dir: t.dir}
}

// Add enters a bucket, and its project if need be.
func (t *Tree) Add(b *Bucket) {
	t.AddProject(b.Project).Buckets[b.Name] = b
}

// AddProject enters a project that was read whole, be it without any bucket.
func (t *Tree) AddProject(id string) *Project {
	p := t.Projects[id]
	if p == nil {
		p = &Project{ID: id, Buckets: map[string]*Bucket{}}
		t.Projects[id] = p
	}
	return p
}

// production tells whether outages of a project are outages of the community. A
// project of which nobody says anything is.
func (t *Tree) production(project string) bool {
	if prod, said := t.tiers[project]; said {
		return prod
	}
	return !strings.HasPrefix(project, "k8s-staging-") && !strings.Contains(project, "-e2e-") &&
		!strings.Contains(project, "-sandbox")
}

// Parser reads both forms. It is immutable and may be used concurrently.
type Parser struct {
	table   *table
	scanner *secret.Scanner
}

// NewParser returns a parser.
func NewParser() *Parser { return &Parser{newTable(), secret.NewScanner()} }

// writer fills a bucket. Text comes to it through clean or decode, so that no credential
// enters a field.
type writer struct {
	*Parser
	bucket *Bucket
}

func (p *Parser) writer(project, bucket, file string) writer {
	return writer{p, &Bucket{
		Name: bucket, Project: project, File: file, Fields: make(map[string]Field, 32),
	}}
}

// clean returns a line of text without credentials and notes them.
func (w writer) clean(path, text, file string, line int) string {
	text, found := w.scanner.Redact(text)
	for _, m := range found {
		w.bucket.Leaks = append(w.bucket.Leaks, Leak{path, m.Kind, m.Mark, file, line})
	}
	return text
}

// decode reads JSON without credentials and notes them. It looks at each string alone:
// their text together could look like one.
func (w writer) decode(data []byte, path, file string) (any, error) {
	v, err := decodeJSON(data)
	if err != nil {
		return nil, err
	}
	if !w.suspicious(data) {
		return v, nil
	}
	before := len(w.bucket.Leaks)
	v = w.redact(v, path, &w.bucket.Leaks)
	for i := range w.bucket.Leaks[before:] {
		w.bucket.Leaks[before+i].File = file
	}
	return v, nil
}

// suspicious looks at JSON as text. Escapes can hide anything.
func (p *Parser) suspicious(data []byte) bool {
	return bytes.IndexByte(data, '\\') >= 0 || p.scanner.Suspicious(string(data))
}

// scalar tells a field.
func (w writer) scalar(path, value, file string, line int) {
	w.bucket.Fields[path] = Field{value, file, line}
}

// unknown keeps what the table does not know.
func (w writer) unknown(path, value, file string, line int) {
	if w.bucket.Unknown == nil {
		w.bucket.Unknown = map[string]Field{}
	}
	w.bucket.Unknown[path] = Field{value, file, line}
}

// set tells a set: the field itself and its elements. Elements with one key are
// joined, because they are one thing to the reader: a member with two conditions.
func (w writer) set(path, file string, line int, elements []element, lineOf func(element) int) {
	w.bucket.Fields[path] = Field{"", file, line}
	for _, e := range elements {
		key, value, at := path+"/"+e.key, e.value, lineOf(e)
		if had, ok := w.bucket.Fields[key]; ok {
			value, at = join(had.Value, value), cmp.Or(had.Line, at)
		}
		w.bucket.Fields[key] = Field{value, file, at}
	}
}

// join merges two lists of values that are separated as lists are.
func join(a, b string) string {
	all := append(strings.Split(a, listSeparator), strings.Split(b, listSeparator)...)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), listSeparator)
}

// listSeparator cannot occur in canonical JSON, which escapes line ends, nor in a role.
const listSeparator = "\n"
