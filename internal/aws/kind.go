// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/sweep"
)

// A row is one kind of object, as the table has it.
type row struct {
	name   string
	global bool // asked once, in the home region
	after  []string
	// list returns every object in one region.
	list func(ctx context.Context, r *region) ([]item, error)
	// remove deletes one and returns when it is gone. Its error is judged by outcome.
	remove func(ctx context.Context, r *region, o sweep.Object) error
}

// item is an object as a row lists it.
type item struct {
	// name is what the API calls it, and what remove needs; arn is unique in the account.
	name, arn string
	created   time.Time
	tags      map[string]string
	location  string // where it is not the region that was asked
	keep      string // why it stays, "" where it may go
}

// Kinds discovers the regions and returns everything that can be swept in the account. A region that a policy shuts is not
// left out in silence: a kind of its own, aws.regions, says that it could not be read, so that the account is not called
// clean.
func (c *Client) Kinds(ctx context.Context) ([]sweep.Kind, error) {
	if _, _, err := c.Account(ctx); err != nil {
		return nil, err
	}
	open, closed, err := c.regions(ctx)
	if err != nil {
		return nil, err
	}
	kinds := []sweep.Kind{unread(closed)}
	for _, r := range rows() {
		kinds = append(kinds, c.kind(r, open))
	}
	return kinds, nil
}

// unread is the kind that fails for the regions nobody could read.
func unread(closed []error) sweep.Kind {
	return sweep.Kind{
		Name: "aws.regions",
		List: func(context.Context) ([]sweep.Object, error) { return nil, errors.Join(closed...) },
		Delete: func(_ context.Context, o sweep.Object) error {
			return fmt.Errorf("delete %s: a region cannot be deleted", o.ID)
		},
	}
}

// regions returns the regions that can be asked, and an error for each one that cannot.
func (c *Client) regions(ctx context.Context) (open []*region, closed []error, err error) {
	t, err := c.home().call(ctx, "ec2", "DescribeRegions", in{})
	if err != nil {
		return nil, nil, fmt.Errorf("discover regions: %w", err)
	}
	var names []string
	for _, r := range t.all("regionInfo.item") {
		switch name := r.text("regionName"); {
		case name == "":
			return nil, nil, errors.New("discover regions: one has no name")
		case r.text("optInStatus") == "not-opted-in", slices.Contains(c.opts.Without, name):
		default:
			names = append(names, name)
		}
	}
	if !slices.Contains(names, c.opts.Home) && !slices.Contains(c.opts.Without, c.opts.Home) {
		return nil, nil, fmt.Errorf("discover regions: %d regions without %s, where they were asked for", len(names), c.opts.Home)
	}
	slices.Sort(names)
	probed := make([]error, len(names))
	pace.Each(names, atOnce, func(i int, name string) { probed[i] = (&region{c, name}).probe(ctx) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = map[string]bool{}
	for i, name := range names {
		if probed[i] != nil {
			c.closed[name] = true
			closed = append(closed, fmt.Errorf("region %s: not read: %w", name, probed[i]))
			continue
		}
		open = append(open, &region{c, name})
	}
	return open, closed, ctx.Err()
}

// probe asks for something harmless, to know a region that a policy shuts before forty kinds find out one by one. Any
// other error is left to them: it may concern one service only, or pass.
func (r *region) probe(ctx context.Context) error {
	_, err := r.call(ctx, "ec2", "DescribeAccountAttributes", in{"AttributeName": []string{"default-vpc"}})
	if shut(err) {
		return err
	}
	return nil
}

// kind makes a row one that package sweep can use.
func (c *Client) kind(r row, open []*region) sweep.Kind {
	if r.global {
		open = []*region{c.home()}
	}
	kept := &reasons{}
	return sweep.Kind{
		Name: r.name, After: r.after, Protect: kept.of,
		List: func(ctx context.Context) ([]sweep.Object, error) { return listed(ctx, r, open, kept) },
		Delete: func(ctx context.Context, o sweep.Object) error {
			at := &region{c, o.Location}
			if o.Location == "" {
				at = c.home()
			}
			if why := kept.of(o); why != "" {
				return fmt.Errorf("delete %s %s: it is protected: %s", r.name, o.ID, why)
			}
			if err := outcome(r.remove(ctx, at, o)); err != nil {
				return fmt.Errorf("delete %s %s: %w", r.name, o.ID, err)
			}
			return nil
		},
	}
}

// listed asks all regions. It returns everything or an error that names every region that failed.
func listed(ctx context.Context, r row, open []*region, kept *reasons) ([]sweep.Object, error) {
	found, failed := make([][]item, len(open)), make([]error, len(open))
	pace.Each(open, atOnce, func(i int, at *region) { found[i], failed[i] = r.list(ctx, at) })
	var objects []sweep.Object
	var errs []error
	off := 0
	for i, at := range open {
		switch err := failed[i]; {
		case disabled(err):
			off++
		case err != nil:
			errs = append(errs, fmt.Errorf("list %s in %s: %w", r.name, at.name, err))
		}
		for _, one := range found[i] {
			o, err := one.object(at, r.global)
			if err != nil {
				errs = append(errs, fmt.Errorf("list %s in %s: %w", r.name, at.name, err))
				break
			}
			kept.set(o.ID, one.keep)
			objects = append(objects, o)
		}
	}
	if off == len(open) && off > 0 {
		return nil, fmt.Errorf("list %s: %w: %w", r.name, sweep.ErrDisabled, failed[0])
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return objects, nil
}

func (one item) object(at *region, global bool) (sweep.Object, error) {
	if one.name == "" || one.arn == "" {
		return sweep.Object{}, fmt.Errorf("an object without a name in the answer (name %q, ARN %q)", one.name, one.arn)
	}
	o := sweep.Object{ID: one.arn, Name: one.name, Location: at.name, Created: one.created, Tags: one.tags}
	if global {
		o.Location = one.location
	}
	return o, nil
}

// reasons remembers why listed objects stay. What was not listed stays, too.
type reasons struct {
	mu  sync.Mutex
	why map[string]string
}

func (k *reasons) set(id, why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.why == nil {
		k.why = map[string]string{}
	}
	k.why[id] = why
}

func (k *reasons) of(o sweep.Object) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	why, listed := k.why[o.ID]
	if !listed {
		return "nobody listed it"
	}
	return why
}

// A call is a question with pages: send is the field that carries the token, got the one in the answer that has it.
type call struct {
	service, action string
	given           in
	send, got       string
}

// maxPages bounds a list; with 50 to 1000 objects on a page it is far beyond any account's limits.
const maxPages = 2000

// pages asks for one page after the other. It ends at the first error, at a token that came before, and after maxPages:
// each of them is an error, because the list is not whole.
func (r *region) pages(ctx context.Context, c call, do func(tree) error) error {
	given := in{}
	for name, value := range c.given {
		given[name] = value
	}
	return paged(func(token string) (string, error) {
		if token != "" {
			given[c.send] = token
		}
		t, err := r.call(ctx, c.service, c.action, given)
		if err != nil {
			return "", err
		}
		if err := do(t); err != nil {
			return "", err
		}
		if c.got == "" {
			return "", nil
		}
		return t.text(c.got), nil
	})
}

// paged is the rule of AWS-4 for any list. next gets a token, "" at first, and returns the one of the next page.
func paged(next func(token string) (string, error)) error {
	seen := map[string]bool{}
	for token := ""; ; {
		var err error
		if token, err = next(token); err != nil || token == "" {
			return err
		}
		if seen[token] || len(seen) >= maxPages {
			return fmt.Errorf("list: page %d has a token that came before, or is one too many", len(seen)+2)
		}
		seen[token] = true
	}
}

// until asks again and again until done says so. After Options.Wait the object counts as in use: it is on its way, and a
// later try looks again.
func (r *region) until(ctx context.Context, done func(ctx context.Context) (bool, error)) error {
	deadline := time.Now().Add(r.opts.Wait)
	for {
		if ok, err := done(ctx); err != nil || ok {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: still being deleted after %v", sweep.ErrInUse, r.opts.Wait)
		}
		if err := pace.Sleep(ctx, r.opts.Poll); err != nil {
			return err
		}
	}
}
