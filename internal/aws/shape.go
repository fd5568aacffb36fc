// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/sweep"
)

// A shape says where in the pages of a list the objects are, and where in an object what a sweep wants to know.
type shape struct {
	call
	at      string // the objects
	name    string // what the API calls one, and remove needs
	arn     string // its ARN
	kind    string // or, where the answer has none, the type in it: "subnet/", "vpn"
	created string // paths of dates, with spaces between; the latest counts
	tags    string
	// owner is the account that it belongs to, "" where all are ours. What is another's is not in this account.
	owner string
	// over says that an object is gone, though APIs show it for a while.
	over func(tree) bool
	keep func(tree) string
	// tagsOf asks for the tags of one object where the list does not have them.
	tagsOf func(ctx context.Context, r *region, one item) (map[string]string, error)
}

// list reads all pages, and then the tags.
func (s shape) list(ctx context.Context, r *region) ([]item, error) {
	var items []item
	err := r.pages(ctx, s.call, func(t tree) error {
		for _, one := range t.all(s.at) {
			if (s.over == nil || !s.over(one)) && r.ours(one.text(s.owner)) {
				items = append(items, s.item(r, one))
			}
		}
		return nil
	})
	if err != nil || s.tagsOf == nil {
		return items, err
	}
	return items, fill(items, func(one *item) (err error) {
		one.tags, err = s.tagsOf(ctx, r, *one)
		return err
	})
}

// ours tells whether an account's number, where there is one, is this account's. Account has answered before.
func (r *region) ours(owner string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return owner == "" || owner == r.account.id
}

func (s shape) item(r *region, one tree) item {
	it := item{name: one.text(s.name), arn: one.text(s.arn), tags: one.tags(s.tags)}
	if s.arn == "" && it.name != "" {
		it.arn = r.arn(s.service, s.kind+it.name)
		if s.service == "elb" {
			it.arn = r.arn("elasticloadbalancing", s.kind+it.name)
		}
	}
	for _, path := range strings.Fields(s.created) {
		it.created = latest(it.created, one.time(path))
	}
	if s.keep != nil {
		it.keep = s.keep(one)
	}
	return it
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// fill asks something more about every item, several at once. What has gone meanwhile is left as it is: the deletion will
// find out.
func fill(items []item, ask func(*item) error) error {
	errs := make([]error, len(items))
	pace.Each(items, atOnce, func(i int, _ item) {
		if err := ask(&items[i]); err != nil && !gone(err) {
			errs[i] = err
		}
	})
	return errors.Join(errs...)
}

// ec2 is the shape of what EC2 lists: its pages, ids and tags are all alike.
func ec2(action, at, name, kind string) shape {
	return shape{call: call{"ec2", action, nil, "NextToken", "nextToken"}, at: at + ".item", name: name, kind: kind, tags: "tagSet.item"}
}

// dated, ending, keeping, owned and asked finish a shape in the table.
func (s shape) dated(paths string) shape {
	s.created = paths
	return s
}

// ending leaves out what is in an end state.
func (s shape) ending(path string, states ...string) shape {
	s.over = func(t tree) bool { return slices.Contains(states, t.text(path)) }
	return s
}

func (s shape) keeping(keep func(tree) string) shape {
	s.keep = keep
	return s
}

func (s shape) owned(path string) shape {
	s.owner = path
	return s
}

func (s shape) asked(given in) shape {
	s.given = given
	return s
}

// keepIf is why an object stays whose field has a value.
func keepIf(path, value, why string) func(tree) string {
	return func(t tree) string {
		if t.text(path) == value {
			return why
		}
		return ""
	}
}

// byName deletes with one call that takes the name; more are further fields.
func byName(service, action, field string, more in) func(context.Context, *region, sweep.Object) error {
	return func(ctx context.Context, r *region, o sweep.Object) error {
		given := in{field: o.Name}
		for name, value := range more {
			given[name] = value
		}
		_, err := r.call(ctx, service, action, given)
		return err
	}
}

// byARN deletes with one call that takes the ARN.
func byARN(service, action, field string) func(context.Context, *region, sweep.Object) error {
	return func(ctx context.Context, r *region, o sweep.Object) error {
		_, err := r.call(ctx, service, action, in{field: o.ID})
		return err
	}
}

// a sight is how one object is looked at while it goes.
type sight struct {
	service, action string
	field           string // takes the name, or a list of it if it ends in "."
	at, state       string // the object in the answer and its state
	ends            []string
	more            in
}

// then deletes, and waits until the object cannot be seen any more or is in an end state.
func (s sight) then(remove func(context.Context, *region, sweep.Object) error) func(context.Context, *region, sweep.Object) error {
	return func(ctx context.Context, r *region, o sweep.Object) error {
		if err := remove(ctx, r, o); err != nil {
			return err
		}
		return r.vanishes(ctx, s, o.Name)
	}
}

func (r *region) vanishes(ctx context.Context, s sight, name string) error {
	return r.until(ctx, func(ctx context.Context) (bool, error) {
		t, err := r.see(ctx, s, name)
		if gone(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		objects := t.all(s.at)
		return !slices.ContainsFunc(objects, func(o tree) bool { return !slices.Contains(s.ends, o.text(s.state)) }), nil
	})
}

func (r *region) see(ctx context.Context, s sight, name string) (tree, error) {
	given := in{}
	for field, value := range s.more {
		given[field] = value
	}
	if list, ok := strings.CutSuffix(s.field, "."); ok {
		given[list] = []string{name}
	} else if s.field != "" {
		given[s.field] = name
	}
	return r.call(ctx, s.service, strings.ReplaceAll(s.action, "{}", escape(name)), given)
}

// failures finds what a call that succeeded as a whole did not do.
func failures(t tree, at, code, message string) error {
	for _, one := range t.all(at) {
		if c := one.text(code); c != "" {
			return &refused{code: c, message: one.text(message), status: 200}
		}
	}
	return nil
}

// refusedWith tries again after mend where an API refuses with a code: most deletion protection is a switch that its
// owner may turn.
func refusedWith(code string, try, mend func() error) error {
	err := try()
	if err == nil || codeOf(err) != code {
		return err
	}
	if mendErr := mend(); mendErr != nil {
		return fmt.Errorf("%w (and its protection cannot be turned off: %w)", err, mendErr)
	}
	return try()
}
