// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"time"

	"sigs.k8s.io/steward/internal/web"
)

// table is a list for people: at the width of a phone every row becomes a card whose fields carry their names.
type table struct {
	Caption string
	Columns []string
	Rows    [][]field
	More    string // what is not there
}

// field is one cell. Text is safe to be escaped; the rest chooses its form.
type field struct {
	Text, Href, Note string
	Code             bool
	State            string // the colour of a state
	At               string // the time behind an age, for programs and as a hint
	Class            string // number, short (never broken) or wide (never narrow)
}

func (w *writer) table(t table) web.Block { return w.block("rows", t) }

func plain(s string) field { return field{Text: s} }

func number(s string) field { return field{Text: s, Class: "number"} }

func short(s string) field { return field{Text: s, Class: "short"} }

// since is an age, with the time behind it.
func (w *writer) since(t time.Time) field {
	if t.IsZero() {
		return field{}
	}
	return field{Text: w.age(t), At: stamp(t)}
}

// at is a time.
func (w *writer) at(t time.Time) field {
	if t.IsZero() {
		return field{}
	}
	return field{Text: clock(t), At: stamp(t)}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// stateLimit keeps a column narrow: the states that mean something are short.
const stateLimit = 24

func (w *writer) state(s string) field {
	return field{Text: w.text(s, stateLimit), State: colour(s), Class: "short"}
}

func (w *writer) resource(name string) field {
	return field{Text: w.name(name), Href: resourcePath(name), Code: true, Class: "wide"}
}

func (w *writer) typ(name string) field {
	return field{Text: w.name(name), Href: typePath(name), Code: true}
}

// who is an owner, and the account that pays where it is another.
func (w *writer) who(owner, account string) field {
	f := field{Text: w.name(owner), Class: "wide"}
	if account != owner && account != "" {
		f.Note = "account " + w.name(account)
	}
	return f
}

// run names a test run.
func (w *writer) run(job, build string) field {
	f := field{Text: w.name(job), Class: "wide"}
	if build != "" {
		f.Note = "build " + w.name(build)
	}
	return f
}
