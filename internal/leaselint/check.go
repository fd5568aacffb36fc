// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leaselint finds what is wrong with a pool before anybody asks it for something: faults of its file of resources,
// types that nobody cleans, and numbers that Prow has copied and that are true no more. docs/pool-lint.md numbers the rules.
//
// It is a check of files: what a pool has in it now is on the pool's own pages.
package leaselint

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/policy"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/spell"
)

// The rules, as docs/pool-lint.md numbers them.
const (
	fault        = "PC-1" // steward-pool and Boskos would refuse the file
	twice        = "PC-2" // two pools lend the same thing
	uncleaned    = "PC-3" // nobody is known to clean a type
	unknownType  = "PC-4" // the pool has no such type
	capacity     = "PC-5" // a queue is not as large as what it stands for
	unknownQueue = "PC-6" // Prow has no such queue
	unread       = "PC-7" // Prow's file is not there
	noJanitor    = "PC-8" // a file starts no janitor
)

// Check finds faults. They are sorted. The error is for files that cannot be understood at all.
func Check(f *Files) ([]finding.Finding, error) {
	c := &check{files: f, sizes: map[string]int{}, types: map[string]typ{}, names: map[string]string{}}
	for _, pool := range f.pools {
		c.pool(pool)
	}
	if !c.broken { // of half a pool nothing more can be said
		if err := c.cleaners(); err != nil {
			return nil, err
		}
		c.references()
		c.queues()
	}
	finding.Sort(c.found)
	return c.found, nil
}

// check is one run.
type check struct {
	files  *Files
	found  []finding.Finding
	broken bool
	types  map[string]typ
	sizes  map[string]int
	names  map[string]string // resource → where it is listed
}

// typ is a type where it is listed first.
type typ struct {
	file, state string
	line        int
}

func (c *check) add(rule string, s finding.Severity, object, file string, line int, message, fix string) {
	c.found = append(c.found, finding.Finding{
		Rule: rule, Severity: s, Object: object, File: file, Line: line, Message: message, Fix: fix,
	})
}

// pool takes one file of resources.
func (c *check) pool(f file) {
	config, err := lease.ParseConfig(f.name, f.content)
	var faults lease.ConfigError
	if errors.As(err, &faults) {
		c.faults(faults)
		return
	}
	for _, g := range config.Static {
		c.known(g.Type, typ{f.name, g.State, g.Line}, len(g.Names))
		for i, name := range g.Names {
			where := fmt.Sprintf("%s:%d", f.name, g.Lines[i])
			if first, listed := c.names[name]; listed {
				c.add(twice, finding.Error, name, f.name, g.Lines[i],
					fmt.Sprintf("%s stands in %s too: two pools would lend it at once", name, first), "list it in one of the files only")
				continue
			}
			c.names[name] = where
		}
	}
	for _, d := range config.Dynamic {
		c.known(d.Type, typ{f.name, d.State, lineOf(f.content, d.Type)}, d.Max)
	}
}

func (c *check) known(name string, t typ, size int) {
	if _, seen := c.types[name]; !seen {
		c.types[name] = t
	}
	c.sizes[name] += size
}

// lines are what moves in the text of a fault, while the fault stays the same.
const lines = `\bline [0-9]+`

func (c *check) faults(all lease.ConfigError) {
	c.broken = true
	moving := regexp.MustCompile(lines)
	for _, p := range all {
		c.add(fault, finding.Error, p.File+": "+moving.ReplaceAllString(p.Text, "a line"), p.File, p.Line, p.Text,
			"mend it: a pool that runs goes on with what it has, one that starts refuses the file")
	}
}

// lineOf finds the entry of a type, plain or in a ConfigMap. 0 is the whole file.
func lineOf(content []byte, name string) int {
	n := 0
	for line := range strings.Lines(string(content)) {
		n++
		_, after, found := strings.Cut(line, "type:")
		if found && strings.Trim(strings.TrimSpace(after), `"'`) == name {
			return n
		}
	}
	return 0
}

// cleaners finds types that nobody is known to clean.
func (c *check) cleaners() error {
	cleaned := map[string]bool{}
	for name := range c.files.settings.Pool.CleanedBy {
		cleaned[name] = true
	}
	for _, name := range c.files.settings.Pool.Janitor {
		cleaned[name.Text] = true
	}
	for name, kind := range c.files.settings.Janitor.Types {
		cleaned[name] = cleaned[name] || kind != settings.AccountNone
	}
	for _, f := range c.files.cleaners {
		types, err := f.janitors()
		if err != nil {
			return err
		}
		if len(types) == 0 {
			c.add(noJanitor, finding.Warning, f.name, f.name, 0, f.name+" starts no janitor that names its types",
				"name the file in pool.cleaners that does: a container with --resource-type=… or --type=…")
		}
		for name, line := range types {
			cleaned[name] = true
			c.refer(name, f.name, line, "a janitor")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		if !cleaned[name] {
			c.uncleaned(name)
		}
	}
	return nil
}

func (c *check) uncleaned(name string) {
	t, severity := c.types[name], finding.Warning
	message := fmt.Sprintf("nobody is known to clean %s (%d): what one test leaves behind the next one finds", name, c.sizes[name])
	if t.state != lease.Free {
		severity = finding.Error
		message = fmt.Sprintf("nobody is known to clean %s (%d): they begin %s, and nothing makes them free", name, c.sizes[name], t.state)
	}
	c.add(uncleaned, severity, name, t.file, t.line, message,
		fmt.Sprintf("say who does in %s (pool.cleaned-by: {%s: WHO}), or let a janitor take the type", c.files.settingsName, name))
}

// references finds types that the settings name and the pool does not have.
func (c *check) references() {
	s := c.files.settings
	for name, who := range s.Pool.CleanedBy {
		c.refer(name, c.files.settingsName, who.Line, "pool.cleaned-by")
	}
	for _, name := range s.Pool.Janitor {
		c.refer(name.Text, c.files.settingsName, name.Line, "pool.janitor")
	}
	for _, name := range s.Pool.Queues {
		c.refer(name.Text, c.files.settingsName, name.Line, "pool.queues")
	}
	for name := range s.Janitor.Types {
		c.refer(name, c.files.settingsName, 0, "janitor.types")
	}
	for name := range s.Pool.Credentials {
		c.refer(name, c.files.settingsName, 0, "pool.credentials")
	}
	for account, a := range s.Pool.Accounts {
		for name := range a.Quota {
			c.refer(name, c.files.settingsName, 0, "the quota of account "+account)
		}
	}
}

func (c *check) refer(name, file string, line int, by string) {
	if _, ok := c.types[name]; ok {
		return
	}
	fix := "take it away, or list the type in the pool's file"
	if near := spell.Nearest(name, slices.Sorted(maps.Keys(c.types))); near != "" {
		fix = "write " + near + ", if that is meant"
	}
	c.add(unknownType, finding.Warning, name+" in "+by, file, line, fmt.Sprintf("the pool has no type %s, which %s names", name, by), fix)
}

// queues compares what Prow has copied.
func (c *check) queues() {
	mapped := c.files.settings.Pool.Queues
	if c.files.unread {
		c.add(unread, finding.Info, c.files.prow, c.files.settingsName, 0,
			fmt.Sprintf("%s is not there: the sizes of %d queues were not compared", c.files.prow, len(mapped)),
			"name Prow's file with --prow-config")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(mapped)) {
		of := mapped[name]
		i := slices.IndexFunc(c.files.queues, func(q policy.Queue) bool { return q.Name == name })
		size, ok := c.sizes[of.Text]
		switch {
		case i < 0:
			c.add(unknownQueue, finding.Warning, name, c.files.settingsName, of.Line,
				fmt.Sprintf("%s has no job queue %s, which pool.queues names", c.files.prow, name),
				"add it to plank.job_queue_capacities, or take it out of pool.queues; --capacities prints the list")
		case ok && c.files.queues[i].Capacity != size:
			c.differs(c.files.queues[i], of.Text, size)
		}
	}
}

func (c *check) differs(q policy.Queue, of string, size int) {
	what := "the others are never used by these jobs"
	switch {
	case q.Capacity < 0:
		what = "below zero is no limit"
	case q.Capacity == 0:
		what = "0 stops the queue"
	case q.Capacity > size:
		what = "jobs start that can only wait"
	}
	c.add(capacity, finding.Warning, q.Name, c.files.prow, q.Line,
		fmt.Sprintf("job queue %s lets %d jobs run, and the pool has %d of %s: %s", q.Name, q.Capacity, size, of, what),
		fmt.Sprintf("set it to %d; steward verify pool --capacities prints the list", size))
}

// Capacities is the list as it should be in Prow's config.yaml: what is there, in its order, with the sizes of the pool.
func Capacities(f *Files) (string, error) {
	if f.unread {
		return "", fmt.Errorf("%s is not there: name Prow's file with --prow-config", f.prow)
	}
	c := &check{files: f, sizes: map[string]int{}, types: map[string]typ{}, names: map[string]string{}}
	for _, pool := range f.pools {
		if c.pool(pool); c.broken {
			return "", fmt.Errorf("%s cannot be read: steward verify pool says why", pool.name)
		}
	}
	list := &yaml.Node{Kind: yaml.MappingNode}
	put := func(name string, n int, of string) {
		number := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(n), LineComment: of}
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, number)
	}
	mapped := maps.Clone(f.settings.Pool.Queues)
	for _, q := range f.queues {
		of, ok := mapped[q.Name]
		delete(mapped, q.Name)
		if _, known := c.types[of.Text]; ok && known {
			put(q.Name, c.sizes[of.Text], "all of "+of.Text)
		} else {
			put(q.Name, q.Capacity, "")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(mapped)) {
		if of := mapped[name].Text; c.sizes[of] > 0 {
			put(name, c.sizes[of], "all of "+of)
		}
	}
	var out strings.Builder
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	err := enc.Encode(map[string]any{"plank": map[string]any{"job_queue_capacities": list}})
	return out.String(), errors.Join(err, enc.Close())
}
