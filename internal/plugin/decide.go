// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/thread"
)

// Decide asks every plugin of the repository what should hold on the thread and
// carries out its commands (docs/commands.md). The result depends on nothing but
// the arguments and the facts the plugins read; deciding again changes nothing.
//
// An error does not invalidate the actions: it tells which parts are missing from
// them because a fact could not be read, and the caller decides again later.
func (t *Set) Decide(ctx context.Context, s *thread.Snapshot, opts Options, now time.Time) ([]thread.Action, error) {
	d := &decision{set: t, opts: opts, now: now, view: s, members: map[string]membership{}, topics: map[string]map[int64]bool{}}
	// Commands first: what they change is what the watchers look at, so that one
	// pass ends where a second one would.
	d.commands(ctx, s)
	for _, p := range t.enabled(opts.Enabled) {
		if p.Watch != nil && opts.here(p.Name) {
			d.watch(ctx, p)
		}
	}
	return sharedHead(s, newestRecords(d.actions)), errors.Join(d.errs...)
}

// sharedHead keeps two pull requests from answering for each other: statuses
// belong to the commit, and its other pull request may have a base that asks for
// less. The text is the same whichever of them is looked at.
func sharedHead(s *thread.Snapshot, actions []thread.Action) []thread.Action {
	if len(s.Twins) == 0 {
		return actions
	}
	numbers := append([]int{s.Number}, s.Twins...)
	slices.Sort(numbers)
	text := "One commit is the head of several pull requests:"
	for _, n := range numbers {
		text += fmt.Sprintf(" #%d", n)
	}
	text += ". Close all but one, or push a commit."
	for i, a := range actions {
		if status, ok := a.(thread.Status); ok {
			actions[i] = thread.Status{Context: status.Context, State: thread.Pending, Description: text}
		}
	}
	return actions
}

// decision is the state of one Decide.
type decision struct {
	set     *Set
	opts    Options
	now     time.Time
	view    *thread.Snapshot // with the records that earlier commands changed
	members map[string]membership
	topics  map[string]map[int64]bool // see answered
	actions []thread.Action
	errs    []error
}

func (d *decision) watch(ctx context.Context, p Plugin) {
	actions, err := guard(p.Name, d.view.Key, func() ([]thread.Action, error) {
		return p.Watch(ctx, d.view, d.now)
	})
	if err == nil {
		err = onlyOwn(p, actions)
	}
	if err != nil {
		d.errs = append(d.errs, fmt.Errorf("watch %s for %s: %w", d.view.Key, p.Name, err))
		return
	}
	d.actions = append(d.actions, actions...)
}

// onlyOwn keeps a plugin from speaking for another one.
func onlyOwn(p Plugin, actions []thread.Action) error {
	for _, a := range actions {
		own := false
		switch a := a.(type) {
		case thread.Sticky:
			own = a.Topic == p.Name
		case thread.Status:
			own = slices.Contains(p.Contexts, a.Context)
		case thread.Issue:
			own = strings.HasPrefix(a.Key, p.Name+"/")
		case thread.Pull:
			own = strings.HasPrefix(a.Branch, thread.BranchPrefix+p.Name+"/") && thread.LegalBranch(a.Branch)
		case thread.StartJob:
			own = strings.HasPrefix(a.Key, p.Name+"/")
		case thread.PoolCall:
			own = strings.HasPrefix(a.Key, p.Name+"/")
		}
		if !own {
			return fmt.Errorf("action %T is not the plugin's to take: %.200v", a, a)
		}
	}
	return nil
}

// commands carries out what the comments ask for, in their order.
func (d *decision) commands(ctx context.Context, s *thread.Snapshot) {
	answered, by := 0, map[string]int{}
	for _, c := range s.Comments {
		if c.Bot || c.Edited || c.Author == "" || strings.EqualFold(c.Author, s.Bot) {
			continue // rule C-5
		}
		lines := command.Parse(c.Body, d.opts.Aliases)
		if len(lines) == 0 {
			continue
		}
		// Counting the comments, not the answers, gives the same number whatever
		// was answered before. One person cannot use up what others need.
		author := acl.NormLogin(c.Author)
		if by[author]++; by[author] > command.MaxByOne {
			if by[author] == command.MaxByOne+1 {
				d.exhausted(c, command.MaxByOne, "All further ones of yours")
			}
			continue
		}
		if answered++; answered > command.MaxComments {
			d.exhausted(c, command.MaxComments, "All further ones")
			return
		}
		for _, b := range d.batches(lines) {
			d.carryOut(ctx, c, b)
		}
	}
}

// exhausted tells the author of the first comment beyond the limit (rule C-13).
func (d *decision) exhausted(c thread.Comment, limit int, which string) {
	if d.opts.first() && !d.answered(command.Topic)[c.ID] && d.view.Where&openThread != 0 {
		text := fmt.Sprintf("%d comments with commands were answered on this thread. This one is not. %s are ignored: use another thread.", limit, which)
		d.actions = append(d.actions, thread.Answer{Topic: command.Topic, Comment: c.ID, Body: text})
	}
}

const openThread = thread.OpenPull | thread.OpenIssue

// batch is the commands of one comment that share a topic, hence an answer.
type batch struct {
	topic  string
	plugin Plugin // zero for command.Topic
	lines  []command.Line
}

// batches groups lines by the plugin that has the verb, in order of appearance.
func (d *decision) batches(lines []command.Line) []batch {
	var all []batch
	for _, l := range lines {
		l = l.Split(func(verb string) bool { return d.owner(verb).Name != "" })
		p := d.owner(l.Verb)
		topic := p.Name
		if topic == "" {
			topic = command.Topic
		}
		i := slices.IndexFunc(all, func(b batch) bool { return b.topic == topic })
		if i < 0 {
			i, all = len(all), append(all, batch{topic: topic, plugin: p})
		}
		all[i].lines = append(all[i].lines, l)
	}
	return all
}

// owner is the enabled plugin that has the verb, or none.
func (d *decision) owner(verb string) Plugin {
	e, known := d.set.verbs[verb]
	if known && slices.Contains(d.opts.Enabled, e.plugin) {
		i := slices.IndexFunc(d.set.plugins, func(p Plugin) bool { return p.Name == e.plugin })
		return d.set.plugins[i]
	}
	return Plugin{}
}

// runs tells whether the batch is this process's to answer.
func (d *decision) runs(b batch) bool {
	if b.topic == command.Topic {
		return d.opts.first()
	}
	return d.opts.here(b.topic)
}

// answered is what was answered under a topic when the snapshot was taken.
func (d *decision) answered(topic string) map[int64]bool {
	if d.topics[topic] == nil {
		d.topics[topic] = d.view.Answered(topic)
	}
	return d.topics[topic]
}

// carryOut answers one batch, all of it or nothing: where one fact is missing the
// whole comment waits, because its commands have an order.
func (d *decision) carryOut(ctx context.Context, c thread.Comment, b batch) {
	if !d.runs(b) || d.answered(b.topic)[c.ID] {
		return
	}
	var sections []string
	var actions []thread.Action
	view := d.view
	for _, line := range b.lines {
		call := command.Call{Line: line, Args: line.Args, Comment: c}
		reply, err := guard(b.topic, view.Key, func() (command.Reply, error) { return d.call(ctx, view, b, call) })
		if err == nil {
			err = onlyOwn(b.plugin, reply.Actions)
		}
		if err != nil {
			d.errs = append(d.errs, fmt.Errorf("answer comment %d of %s for %s: %w", c.ID, view.Key, b.topic, err))
			return
		}
		if reply.Text != "" {
			sections = append(sections, heading(c, line)+"\n\n"+strings.TrimSpace(reply.Text))
		}
		actions = append(actions, reply.Actions...)
		view = withRecords(view, reply.Actions)
	}
	if len(sections) == 0 {
		return
	}
	d.view = view
	d.actions = append(append(d.actions, actions...), thread.Answer{
		Topic: b.topic, Comment: c.ID, Body: strings.Join(sections, "\n\n"),
	})
}

// membership is the outcome of one question to GitHub.
type membership struct {
	yes bool
	err error
}

// member asks once per login and Decide.
func (d *decision) member(ctx context.Context, login string) (bool, error) {
	key := acl.NormLogin(login)
	m, asked := d.members[key]
	if !asked {
		m.yes, m.err = d.opts.Members.Member(ctx, d.view.Repo, login)
		d.members[key] = m
	}
	return m.yes, m.err
}
