// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/plan"
)

// Survey is what one listing of all kinds found.
type Survey struct {
	Kinds []Found // in the order of the table
}

// Found is what is known of one kind: its objects, or why they are not known.
type Found struct {
	Name    string
	Objects []Object
	// Disabled: the service is not in use. Implied: without the kinds it stands within there is none, so nobody asked.
	Disabled, Implied bool
	Err               error
}

// Target is an object that is to go.
type Target struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Name     string `json:"name"`
	Location string `json:"location,omitempty"`
}

// String names a target for people.
func (t Target) String() string {
	if t.Location == "" {
		return t.Kind + " " + t.Name
	}
	return t.Kind + " " + t.Location + "/" + t.Name
}

// Kept is an object that stays, and why. Protected is one that stays however old it is.
type Kept struct {
	Target
	Why       string
	Protected bool
}

// Unread is a kind of which nothing is known.
type Unread struct {
	Kind string
	Err  error
}

// Verdict is what is to be done about a survey.
type Verdict struct {
	Plan   plan.Plan[Target] // what is to go, in an order in which it can
	Kept   []Kept
	Unread []Unread
	// Objects counts what was found, Asked the kinds whose List was called.
	Objects, Asked int

	objects map[string]Object // by key of the plan
}

// Decide is the sweep's only judgement, and pure: protection, tags and age, in this order (SW-2 to SW-5).
func (t *Table) Decide(s Survey, r Rules, m Marks, now time.Time) (Verdict, error) {
	v := Verdict{objects: map[string]Object{}}
	var steps []plan.Step[Target]
	hosts := t.hosts(s, func(kind Kind, o Object) Kept { return judge(kind, o, r, m, now) })
	for i, found := range s.Kinds {
		kind := t.kinds[i]
		if found.Err != nil {
			v.Unread = append(v.Unread, Unread{kind.Name, found.Err})
			continue
		}
		if !found.Implied {
			v.Asked++
		}
		v.Objects += len(found.Objects)
		for _, o := range found.Objects {
			target := Target{kind.Name, o.ID, o.Name, o.Location}
			kept := judge(kind, o, r, m, now)
			if kept.Why == "" && o.With != "" {
				kept = hosts(o.With)
			}
			if kept.Why != "" {
				kept.Target = target
				v.Kept = append(v.Kept, kept)
				continue
			}
			key := mark(kind.Name, o)
			steps = append(steps, plan.Step[Target]{Key: key, Verb: plan.Delete, Change: target})
			v.objects[key] = o
		}
	}
	p, err := plan.New("", steps)
	v.Plan = p
	return v, err
}

// hosts tells why what belongs to another object stays with it, or nothing.
func (t *Table) hosts(s Survey, judge func(Kind, Object) Kept) func(with string) Kept {
	return func(with string) Kept {
		name, id, _ := strings.Cut(with, " ")
		i, ok := t.index[name]
		if !ok || s.Kinds[i].Err != nil || s.Kinds[i].Disabled || s.Kinds[i].Implied {
			return Kept{Why: "whether " + with + " is there is not known"}
		}
		at := slices.IndexFunc(s.Kinds[i].Objects, func(o Object) bool { return o.ID == id })
		if at < 0 {
			return Kept{}
		}
		o := s.Kinds[i].Objects[at]
		kept := judge(t.kinds[i], o)
		if kept.Why != "" {
			kept.Why = "stays with " + name + " " + o.Name
		}
		return kept
	}
}

func judge(kind Kind, o Object, r Rules, m Marks, now time.Time) Kept {
	if o.Protected != "" {
		return Kept{Why: o.Protected, Protected: true}
	}
	if kind.Protect != nil {
		if why := kind.Protect(o); why != "" {
			return Kept{Why: why, Protected: true}
		}
	}
	created := o.Created
	if created.IsZero() {
		created = now
		if since, known := m[mark(kind.Name, o)]; known {
			created = since
		}
	}
	return Kept{Why: r.spares(o, created, now)}
}

// Reason says in one line why an account is not clean; "" where nothing is left to do.
func (v Verdict) Reason() string {
	var parts []string
	if len(v.Unread) > 0 {
		var names []string
		for _, u := range v.Unread {
			names = append(names, u.Kind)
		}
		parts = append(parts, fmt.Sprintf("not read: %s: %s", some(names), oneLine(v.Unread[0].Err)))
	}
	if !v.Plan.Empty() {
		var names []string
		for _, s := range v.Plan.Steps {
			names = append(names, s.Change.String())
		}
		parts = append(parts, "left: "+some(names))
	}
	return strings.Join(parts, "; ")
}

// some is a list of which the end may be left out.
func some(names []string) string {
	const most = 5
	names = slices.Clone(names)
	if n := len(names); n > most {
		names = append(names[:most], fmt.Sprintf("%d more", n-most))
	}
	return strings.Join(names, ", ")
}

// oneLine bounds an error for a place that has one line.
func oneLine(err error) string {
	const most = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}
