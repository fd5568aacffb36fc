// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is Boskos's configuration file: what is in the pool.
type Config struct {
	Static  []Group
	Dynamic []Dynamic
}

// Group is one static type. Line is where its entry begins, Lines where each name stands.
type Group struct {
	Type  string
	State string
	Names []string
	Line  int
	Lines []int
}

func (c Config) static() map[string]Static {
	all := map[string]Static{}
	for _, g := range c.Static {
		for _, name := range g.Names {
			all[name] = Static{g.Type, g.State}
		}
	}
	return all
}

// listed are the types with resources that have names.
func (c Config) listed() map[string]bool {
	all := map[string]bool{}
	for _, g := range c.Static {
		all[g.Type] = true
	}
	return all
}

// made are the types whose resources the pool makes.
func (c Config) made() map[string]bool {
	all := map[string]bool{}
	for _, d := range c.Dynamic {
		all[d.Type] = true
	}
	return all
}

// Types returns the types in the order of the file.
func (c Config) Types() []string {
	var types []string
	for _, g := range c.Static {
		types = append(types, g.Type)
	}
	for _, d := range c.Dynamic {
		types = append(types, d.Type)
	}
	return types
}

// Problem is one fault of a file.
type Problem struct {
	File string
	Line int
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// ConfigError is everything that is wrong with a configuration, in the order of its lines.
type ConfigError []Problem

func (e ConfigError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// The bounds of a configuration file.
const (
	MaxConfig    = 16 << 20
	MaxResources = 250_000
)

// ParseConfig reads a configuration, plain or inside a ConfigMap, of which the first key counts that holds one. Keys that
// Boskos does not know are faults, as most of them are typing errors; file is the name that faults carry. The error is a
// ConfigError.
func ParseConfig(file string, content []byte) (Config, error) {
	if len(content) > MaxConfig {
		return Config{}, ConfigError{{file, 1, fmt.Sprintf("the file is larger than %d MiB", MaxConfig>>20)}}
	}
	r := &configReader{file: file, names: map[string]int{}, types: map[string]int{}, legal: regexp.MustCompile(subdomain)}
	r.document(content, 0, true)
	r.needs()
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		return Config{}, ConfigError(r.problems)
	}
	return r.config, nil
}

// configReader reads one file and gathers its faults.
type configReader struct {
	file     string
	legal    *regexp.Regexp
	offset   int // of lines, inside a ConfigMap
	config   Config
	names    map[string]int // name → line
	types    map[string]int // type → line
	wanted   []needed
	problems []Problem
}

type needed struct {
	typ   string
	count int
	line  int
}

func (r *configReader) fault(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, Problem{r.file, n.Line + r.offset, fmt.Sprintf(format, args...)})
}

func (r *configReader) document(content []byte, offset int, mayBeMap bool) {
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		r.problems = append(r.problems, Problem{r.file, offset + yamlLine(err), "not YAML: " + err.Error()})
		return
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		r.problems = append(r.problems, Problem{r.file, offset + 1, "a mapping with the key resources is expected"})
		return
	}
	root := doc.Content[0]
	if data := value(root, "data"); mayBeMap && data != nil && data.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(data.Content); i += 2 {
			if n := data.Content[i+1]; strings.Contains(n.Value, "resources:") {
				r.document([]byte(n.Value), n.Line, false)
				return
			}
		}
		r.fault(data, "no key of this ConfigMap holds resources")
		return
	}
	r.offset = offset
	r.entries(root)
}

// yamlLine finds the line in an error of the parser, which has it as text only.
func yamlLine(err error) int {
	_, rest, ok := strings.Cut(err.Error(), "line ")
	if !ok {
		return 1
	}
	digits, _, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1
	}
	return n
}

func value(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func (r *configReader) entries(root *yaml.Node) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key := root.Content[i]; key.Value != "resources" {
			r.fault(key, "unknown key %q: only resources is known", key.Value)
		}
	}
	list := value(root, "resources")
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		r.fault(root, "resources has to be a list with at least one entry")
		return
	}
	for _, n := range list.Content {
		r.entry(n)
	}
}

// rawEntry is one entry, with the nodes for the lines.
type rawEntry struct {
	Type     string         `yaml:"type"`
	State    string         `yaml:"state"`
	Names    []yaml.Node    `yaml:"names"`
	Max      int            `yaml:"max-count"`
	Min      int            `yaml:"min-count"`
	Lifespan yaml.Node      `yaml:"lifespan"`
	Config   Build          `yaml:"config"`
	Needs    map[string]int `yaml:"needs"`
}

func (r *configReader) entry(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, "an entry has to be a mapping with a type")
		return
	}
	known := []string{"type", "state", "names", "max-count", "min-count", "lifespan", "config", "needs"}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; !slices.Contains(known, key.Value) {
			r.fault(key, "unknown key %q: known are %s", key.Value, strings.Join(known, ", "))
		}
	}
	var e rawEntry
	if err := n.Decode(&e); err != nil {
		r.fault(n, "cannot be read: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	switch line, twice := r.types[e.Type]; {
	case e.Type == "":
		r.fault(n, "the type is missing")
	case twice:
		r.fault(n, "type %s has an entry in line %d already", e.Type, line)
	}
	r.types[e.Type] = n.Line + r.offset
	e.State = cmp.Or(e.State, Free)
	if len(e.Names) > 0 {
		r.staticEntry(n, e)
	} else {
		r.dynamicEntry(n, e)
	}
}

func (r *configReader) staticEntry(n *yaml.Node, e rawEntry) {
	for _, key := range []string{"min-count", "max-count"} {
		if v := value(n, key); v != nil && v.Value != "0" {
			r.fault(v, "%s has no meaning beside names", key)
		}
	}
	g := Group{Type: e.Type, State: e.State, Line: n.Line + r.offset}
	for i := range e.Names {
		name := &e.Names[i]
		if why := r.badName(name.Value); why != "" {
			r.fault(name, "name %q: %s", name.Value, why)
		}
		if line, twice := r.names[name.Value]; twice {
			r.fault(name, "name %s stands in line %d already", name.Value, line)
			continue
		}
		r.names[name.Value] = name.Line + r.offset
		g.Names = append(g.Names, name.Value)
		g.Lines = append(g.Lines, name.Line+r.offset)
	}
	if len(r.names) > MaxResources {
		r.fault(n, "more than %d resources", MaxResources)
	}
	r.config.Static = append(r.config.Static, g)
}

func (r *configReader) dynamicEntry(n *yaml.Node, e rawEntry) {
	switch {
	case e.Max <= 0:
		r.fault(n, "type %s has neither names nor a max-count above 0", e.Type)
	case e.Max > MaxResources:
		r.fault(n, "max-count is above %d", MaxResources)
	case e.Min < 0 || e.Min > e.Max:
		r.fault(n, "min-count %d is not between 0 and max-count %d", e.Min, e.Max)
	}
	for typ, count := range e.Needs {
		r.wanted = append(r.wanted, needed{typ, count * e.Max, n.Line + r.offset})
	}
	r.config.Dynamic = append(r.config.Dynamic, Dynamic{
		Type: e.Type, State: e.State, Min: e.Min, Max: e.Max, Lifespan: r.lifespan(&e.Lifespan),
		Config: e.Config, Needs: e.Needs,
	})
}

// lifespan reads a duration, or a whole number of nanoseconds.
func (r *configReader) lifespan(n *yaml.Node) time.Duration {
	if n.IsZero() || n.Tag == "!!null" {
		return 0
	}
	if ns, err := strconv.ParseInt(n.Value, 10, 64); err == nil && ns >= 0 {
		return time.Duration(ns)
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 0 {
		r.fault(n, "lifespan %q is not a time such as 24h", n.Value)
	}
	return d
}

// needs checks that what dynamic types are built from exists in sufficient number.
func (r *configReader) needs() {
	have, want := map[string]int{}, map[string]int{}
	for _, g := range r.config.Static {
		have[g.Type] += len(g.Names)
	}
	for _, d := range r.config.Dynamic {
		have[d.Type] += d.Max
	}
	for _, n := range r.wanted {
		want[n.typ] += n.count
		if _, ok := have[n.typ]; !ok {
			r.problems = append(r.problems, Problem{r.file, n.line, "needs " + n.typ + ", which does not exist"})
		} else if want[n.typ] > have[n.typ] {
			text := fmt.Sprintf("needs up to %d of %s, and there are %d", want[n.typ], n.typ, have[n.typ])
			r.problems = append(r.problems, Problem{r.file, n.line, text})
		}
	}
}

// subdomain is what the name of a Kubernetes object looks like (RFC 1123).
const subdomain = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`

// badName says why a name cannot be that of a Kubernetes object, or "".
func (r *configReader) badName(name string) string {
	switch {
	case name == "" || len(name) > 253:
		return "has to have 1 to 253 characters"
	case !r.legal.MatchString(name):
		return "has to consist of lower-case letters, digits, '-' and '.', and to begin and end with a letter or digit"
	}
	return ""
}
