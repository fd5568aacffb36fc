// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/spell"
)

const (
	defaultTTL    = 3600 // of octoDNS
	maxTTL        = 1<<31 - 1
	maxZones      = 10_000
	yamlClass     = "octodns.provider.yaml.YamlProvider"
	googleClass   = "octodns_googlecloud.GoogleCloudProvider"
	oldGoogleName = "octodns.provider.googlecloud.GoogleCloudProvider" // before octoDNS 1.0
)

// Provider is where zones come from or go to.
type Provider struct {
	ID    string
	Class string // Google's in its new spelling
	// Of a YamlProvider.
	Directory  string
	DefaultTTL uint32
	Unescaped  bool // escaped_semicolons: false
	// Of a GoogleCloudProvider.
	Project string

	line   int
	faulty bool
}

// loader reads one configuration.
type loader struct {
	*problems
	scalars
	fsys      fs.FS
	config    *Config
	folders   map[string]*folder
	documents map[string]*document
	sources   map[*Zone][]string
	values    int // records and values so far
}

// Load reads an octoDNS configuration and all files of its zones from a tree; names in
// what it returns are relative to the tree's root. Problems of the files are findings,
// all at once. The error is for a tree that cannot be read, or has no such
// configuration: then nothing is known.
func Load(fsys fs.FS, configPath string) (*Config, []finding.Finding, error) {
	l := &loader{
		problems: newProblems(), scalars: scalars{pythons()}, fsys: fsys, config: &Config{File: configPath},
		folders: map[string]*folder{}, documents: map[string]*document{}, sources: map[*Zone][]string{},
	}
	real, err := resolve(fsys, configPath)
	if err != nil {
		return nil, nil, fmt.Errorf("load DNS configuration: %w", err)
	}
	content, err := read(fsys, real)
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", configPath, maxFile)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("load DNS configuration: %w", err)
	}
	l.readConfig(l.parse(configPath, content))
	for _, z := range l.config.Zones {
		if err := l.zone(z); err != nil {
			return nil, nil, fmt.Errorf("load zone %s: %w", z.Name, err)
		}
	}
	l.between()
	l.strays()
	return l.config, l.list(configPath), nil
}

// at is a place in the configuration.
func (l *loader) at(n *yaml.Node, object string) place { return place{l.config.File, n.Line, object} }

func (l *loader) readConfig(d *document) {
	top := place{l.config.File, 0, ""}
	if d.faulty {
		return
	}
	if d.root == nil || d.root.Kind != yaml.MappingNode {
		l.errorf(ruleConfig, top, "the configuration has no providers and no zones")
		return
	}
	zones := 0
	for _, e := range l.entries(l.config.File, l.config.File, d.root) {
		value := follow(e.value)
		switch e.key.Value {
		case "providers":
			l.readProviders(value)
		case "zones":
			zones = len(value.Content)
			l.readZones(value)
		case "manager":
			l.readManager(value)
		case "processors", "validators", "secret_handlers", "plan_outputs":
		default:
			l.add(ruleConfig, finding.Warning, l.at(e.key, ""), l.meant(e.key.Value, "providers", "zones", "manager", "processors"),
				"octoDNS does not know the key %s", l.shown(e.key.Value))
		}
	}
	if zones == 0 {
		l.errorf(ruleConfig, top, "the configuration has no zones")
	}
}

// meant is the fix of a misspelt word.
func (l *loader) meant(word string, known ...string) string {
	if near := spell.Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// readManager looks for what would change records on their way.
func (l *loader) readManager(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, e := range l.entries(l.config.File, l.config.File, n) {
		l.processors(e, "every zone")
	}
}

// processors reports a list of processors: what they do to records is not known here.
func (l *loader) processors(e entry, whose string) {
	if e.key.Value == "processors" && len(follow(e.value).Content) > 0 {
		l.add(ruleConfig, finding.Warning, l.at(e.key, ""), "",
			"processors may change the records of %s; steward compares them as the files have them", whose)
	}
}

func (l *loader) readProviders(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		l.errorf(ruleConfig, l.at(n, ""), "providers have to be a mapping of names")
		return
	}
	for _, e := range l.entries(l.config.File, l.config.File, n) {
		p := Provider{ID: e.key.Value, DefaultTTL: defaultTTL, line: e.key.Line}
		if body := follow(e.value); body.Kind == yaml.MappingNode {
			l.readProvider(&p, body)
		}
		if p.Class == "" {
			p.faulty = true
			l.errorf(ruleConfig, l.at(e.key, ""), "provider %s has no class", l.shown(p.ID))
		}
		l.config.Providers = append(l.config.Providers, p)
	}
}

// readProvider reads what concerns the declared records, and refuses options that would
// give files another meaning.
func (l *loader) readProvider(p *Provider, body *yaml.Node) {
	for _, e := range l.entries(l.config.File, l.config.File+" "+l.named(p.ID), body) {
		value := follow(e.value)
		wrong := func(format string, args ...any) {
			p.faulty = true
			l.errorf(ruleConfig, l.at(e.key, ""), "provider "+l.shown(p.ID)+": "+format, args...)
		}
		switch e.key.Value {
		case "class":
			p.Class = value.Value
			if p.Class == oldGoogleName {
				p.Class = googleClass
			}
		case "directory":
			p.Directory = value.Value
		case "project":
			p.Project = value.Value
		case "default_ttl":
			ttl, err := strconv.ParseUint(value.Value, 10, 31)
			if err != nil {
				wrong("default_ttl %s is no number of seconds", l.shown(value.Value))
			}
			p.DefaultTTL = uint32(ttl) //nolint:gosec // 31 bits
		case "escaped_semicolons":
			p.Unescaped = value.Value == "false"
		case "split_extension", "split_catchall", "shared_filename", "populate_should_replace":
			if value.Value != "false" && !null(value) {
				wrong("%s gives zone files another meaning, which steward does not read", e.key.Value)
			}
		}
	}
}

func (l *loader) readZones(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		l.errorf(ruleConfig, l.at(n, ""), "zones have to be a mapping of names")
		return
	}
	for _, e := range l.entries(l.config.File, l.config.File, n) {
		if len(l.config.Zones) == maxZones {
			l.errorf(ruleConfig, l.at(e.key, ""), "more than %d zones", maxZones)
			break
		}
		l.readZone(e)
	}
	slices.SortStableFunc(l.config.Zones, func(a, b *Zone) int { return strings.Compare(a.Name, b.Name) })
	kept := l.config.Zones[:0]
	for _, z := range l.config.Zones {
		if len(kept) > 0 && kept[len(kept)-1].Name == z.Name {
			l.errorf(ruleConfig, place{l.config.File, z.Line, l.config.File + " " + z.Name},
				"zone %s is configured twice: in other letters at line %d", z.Name, kept[len(kept)-1].Line)
			continue
		}
		kept = append(kept, z)
	}
	l.config.Zones = kept
}

func (l *loader) readZone(e entry) {
	object := l.config.File + " " + l.named(e.key.Value)
	at := l.at(e.key, object)
	if strings.Contains(e.key.Value, "*") {
		l.errorf(ruleConfig, at, "zones by pattern take their names from a provider, which steward does not ask: list them")
		return
	}
	if !strings.HasSuffix(e.key.Value, ".") {
		l.add(ruleConfig, finding.Error, at, "write "+l.shown(e.key.Value+"."), "zone name %s lacks the final dot", l.shown(e.key.Value))
		return
	}
	name, err := absolute(e.key.Value)
	if err != nil {
		l.errorf(ruleConfig, at, "zone name %s: %v", l.shown(e.key.Value), err)
		return
	}
	z := &Zone{Name: name, Line: e.key.Line}
	body := follow(e.value)
	if body.Kind == yaml.MappingNode {
		for _, e := range l.entries(l.config.File, object, body) {
			l.processors(e, "this zone")
			switch e.key.Value {
			case "sources":
				l.sources[z] = l.names(e)
			case "targets":
				z.Targets = l.names(e)
			case "alias":
				z.Faulty = true
				l.errorf(ruleConfig, l.at(e.key, object), "alias zones are not supported: link the zone's file instead")
			}
		}
	}
	if len(l.sources[z]) == 0 && !z.Faulty {
		z.Faulty = true
		l.errorf(ruleConfig, at, "zone %s has no sources", z.Name)
	}
	l.config.Zones = append(l.config.Zones, z)
}

// names reads a list of provider ids.
func (l *loader) names(e entry) []string {
	list := follow(e.value)
	if list.Kind != yaml.SequenceNode {
		l.errorf(ruleConfig, l.at(e.key, ""), "%s has to be a list", e.key.Value)
		return nil
	}
	var names []string
	for _, n := range list.Content {
		names = append(names, follow(n).Value)
	}
	return names
}

// source finds the provider of a zone's records; nil where it cannot be read, which is
// reported.
func (l *loader) source(z *Zone, id string) *Provider {
	at := place{l.config.File, z.Line, l.config.File + " " + z.Name}
	i := slices.IndexFunc(l.config.Providers, func(p Provider) bool { return p.ID == id })
	if i < 0 {
		l.errorf(ruleConfig, at, "zone %s: there is no provider %s", z.Name, l.shown(id))
		return nil
	}
	p := &l.config.Providers[i]
	switch {
	case p.faulty:
		return nil
	case p.Class != yamlClass:
		l.errorf(ruleConfig, at, "zone %s: source %s is no %s, and steward reads no other", z.Name, l.shown(id), yamlClass)
		return nil
	case p.Directory == "" || strings.HasPrefix(p.Directory, "env/"):
		l.errorf(ruleConfig, place{l.config.File, p.line, ""}, "provider %s: the directory has to stand in the configuration", l.shown(id))
		return nil
	}
	return p
}

// zone reads the files of one zone.
func (l *loader) zone(z *Zone) error {
	b := newBuilder(l, z)
	for _, id := range l.sources[z] {
		p := l.source(z, id)
		if p == nil {
			z.Faulty = true
			continue
		}
		at := place{l.config.File, p.line, ""}
		directory := path.Join(path.Dir(l.config.File), p.Directory)
		if path.IsAbs(p.Directory) || !fs.ValidPath(directory) {
			z.Faulty = true
			l.errorf(ruleConfig, at, "directory %s is outside the repository", l.shown(p.Directory))
			continue
		}
		f, err := l.folder(directory, at)
		if err != nil {
			return err
		}
		if f == nil {
			z.Faulty = true
			continue
		}
		if err := l.populate(b, p, f); err != nil {
			return err
		}
	}
	b.finish()
	return nil
}

// populate reads the files that one provider has of a zone.
func (l *loader) populate(b *builder, p *Provider, f *folder) error {
	var docs []*document
	names := f.parts(b.zone.Name)
	if len(names) > maxParts {
		return errors.New("more than " + strconv.Itoa(maxParts) + " files")
	}
	bytes := 0
	for _, name := range names {
		d, err := l.part(f, name)
		if err != nil {
			return err
		}
		if d == nil || d.faulty {
			b.zone.Faulty = true
			continue
		}
		bytes += len(d.content)
		docs = append(docs, d)
	}
	if bytes == 0 && !b.zone.Faulty {
		b.zone.Faulty = true
		l.add(ruleNoFile, finding.Error, place{l.config.File, b.zone.Line, l.config.File + " " + b.zone.Name},
			"write "+path.Join(f.name, b.zone.Name+"yaml")+"; a comment in it is enough for a zone without records",
			"zone %s has no file, or only empty ones", b.zone.Name)
	}
	for _, d := range docs {
		if !slices.Contains(b.zone.parts, d.file) {
			b.zone.parts = append(b.zone.parts, d.file)
		}
	}
	b.read(p, docs)
	return nil
}
