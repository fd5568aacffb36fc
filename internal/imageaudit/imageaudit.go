// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package imageaudit tells what container registries hold otherwise than promoter manifests declare.
//
// It is a collector of package audit: one repository of one mirror is read and compared at a
// time, and what is otherwise on many mirrors is one finding. Nothing is missing because a
// list left it out, and nothing is undeclared that belongs to something declared.
// docs/audit-images.md numbers the rules.
package imageaudit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/secret"
)

// Registry reads container registries. A repository is HOST/PATH. What does not exist
// is one of the errors of package manifest, and only by the registry's own word. It is
// asked concurrently, and keeps its own pace.
type Registry interface {
	List(ctx context.Context, repository string) (manifest.Listing, error)
	// Resolve returns the digest of a tag, or of a digest that is there.
	Resolve(ctx context.Context, repository, reference string) (string, error)
	// Content returns what a manifest says, whose bytes have the digest.
	Content(ctx context.Context, repository, digest string) (manifest.Content, error)
	// Catalog lists the repositories below a root, relative to it.
	Catalog(ctx context.Context, root string) ([]string, error)
}

// Collector compares every mirror with the promoter manifests. A unit is a repository of a
// mirror, or the list of a mirror's repositories, or a manifest that could not be
// understood, which cannot be read either.
type Collector struct {
	set      *manifest.Set
	registry Registry
	secrets  *secret.Scanner
	units    []unit
	byName   map[string]int
	// folders are the paths above images, by mirror; some are images too.
	folders []map[string]bool
	// blind are paths below which more may be declared than is known.
	blind []string

	contents memo[manifest.Content] // by digest: the same on every mirror
	catalogs memo[[]string]         // by root
}

// unit is something to read: a repository (image), a catalog (image is nil), or a
// manifest that is broken (broken is set).
type unit struct {
	name   string
	mirror int
	image  *manifest.Image
	broken *manifest.Manifest
}

// New makes the collector. only are names of manifests; with nil, everything is looked at, and
// what lies beside all that is declared too.
func New(set *manifest.Set, registry Registry, only map[string]bool) *Collector {
	c := &Collector{set: set, registry: registry, secrets: secret.NewScanner(), byName: map[string]int{}}
	c.catalogs.once = true // one mirror, asked with all patience: asking again for each repository would take for ever
	for i, root := range set.Mirrors {
		if only == nil {
			c.units = append(c.units, unit{name: root + " catalog", mirror: i})
		}
		c.folders = append(c.folders, map[string]bool{"": true})
	}
	// Image by image over all mirrors, not mirror by mirror: each host has its own pace.
	for _, image := range set.Images {
		asked := only == nil || slices.ContainsFunc(image.Parts, func(p manifest.Part) bool { return only[p.Manifest.Name] })
		for _, m := range image.On() {
			if asked {
				c.units = append(c.units, unit{name: set.Mirrors[m] + "/" + image.Path, mirror: m, image: image})
			}
			for p := path.Dir(image.Path); p != "."; p = path.Dir(p) {
				c.folders[m][p] = true
			}
		}
	}
	for _, m := range set.Manifests {
		if !m.Whole {
			if only == nil || only[m.Name] {
				c.units = append(c.units, unit{name: m.File, broken: m})
			}
			c.blind = append(c.blind, placesOf(m)...)
		}
	}
	for i, u := range c.units {
		c.byName[u.name] = i
	}
	return c
}

// placesOf lists the paths that a manifest's images are below; everywhere, if it has
// no destination that is known.
func placesOf(m *manifest.Manifest) []string {
	var all []string
	for _, d := range m.Destinations {
		all = append(all, d.Below)
	}
	if len(all) == 0 {
		return []string{""}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Name implements audit.Collector.
func (c *Collector) Name() string { return "images" }

// Units implements audit.Collector.
func (c *Collector) Units(context.Context) ([]string, error) {
	names := make([]string, len(c.units))
	for i, u := range c.units {
		names[i] = u.name
	}
	return names, nil
}

// Read implements audit.Collector.
func (c *Collector) Read(ctx context.Context, name string) (audit.Reading, error) {
	i, known := c.byName[name]
	if !known {
		return audit.Reading{}, fmt.Errorf("unit %s is none of this audit", name)
	}
	switch u := c.units[i]; {
	case u.broken != nil:
		return audit.Reading{}, audit.Fail(finding.Malformed, "the manifest or its list of images is broken, so what it declares is not known whole")
	case u.image == nil:
		return c.readCatalog(ctx, u.mirror)
	default:
		return c.readRepository(ctx, u)
	}
}

// gap names something of a unit that could not be read. A tag is somebody's word: one
// that holds a credential is not named, since a gap is public.
func (c *Collector) gap(unit, what string, err error) finding.Gap {
	g := audit.GapOf(unit+what, err)
	if c.clean(what) != what {
		g.Scope, g.Detail = unit+" tag", "the name of the tag looks like a credential"
	}
	g.Detail = c.clean(g.Detail)
	return g
}

func (c *Collector) clean(text string) string {
	text, _ = c.secrets.Redact(text)
	return text
}

// memo remembers what is the same wherever it is asked. Concurrent callers ask once;
// a failure is not remembered.
type memo[T any] struct {
	once  bool // a failure is remembered as well
	mu    sync.Mutex
	calls map[string]*call[T]
}

type call[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func (m *memo[T]) get(ctx context.Context, key string, ask func() (T, error)) (T, error) {
	for {
		c, mine := m.enter(key)
		if mine {
			c.value, c.err = ask()
			if c.err != nil && !m.once {
				m.forget(key)
			}
			close(c.done)
			return c.value, c.err
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return c.value, ctx.Err()
		}
		if c.err == nil || m.once {
			return c.value, c.err
		}
		// Somebody else's failure, perhaps of another mirror: ask for oneself.
	}
}

func (m *memo[T]) enter(key string) (c *call[T], mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c = m.calls[key]; c != nil {
		return c, false
	}
	if m.calls == nil {
		m.calls = map[string]*call[T]{}
	}
	c = &call[T]{done: make(chan struct{})}
	m.calls[key] = c
	return c, true
}

func (m *memo[T]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.calls, key)
}

// stateOf identifies what is declared in one repository: a reading is a difference to
// it, and means nothing beside another.
func stateOf(c manifest.Contents) string {
	h := sha256.New()
	write := func(h hash.Hash, parts ...string) {
		for _, p := range parts {
			h.Write([]byte(p))
			h.Write([]byte{0})
		}
	}
	for _, d := range slices.Sorted(maps.Keys(c.Digests)) {
		write(h, d)
	}
	for _, t := range slices.Sorted(maps.Keys(c.Tags)) {
		write(h, "tag", t)
		write(h, c.Tags[t].Digests...)
	}
	for _, t := range slices.Sorted(maps.Keys(c.Lost)) {
		write(h, "lost", t)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// difference is the Data of a repository: what is there otherwise than declared. Of a
// repository that is as declared it holds nothing but Of, so that a journal of ten
// thousand repositories stays small.
type difference struct {
	Of       string            `json:"of"`                 // stateOf what it was compared with
	Gone     bool              `json:"gone,omitempty"`     // the whole repository
	Missing  []string          `json:"missing,omitempty"`  // declared digests
	Untagged []string          `json:"untagged,omitempty"` // declared tags of digests that are there
	Moved    map[string]string `json:"moved,omitempty"`    // declared tags on other digests
	Tags     map[string]string `json:"tags,omitempty"`     // undeclared ones, on "" where that could not be read
	Digests  []string          `json:"digests,omitempty"`  // undeclared, and of no tag above
	Below    []string          `json:"below,omitempty"`    // undeclared repositories, as paths of the mirror
}

// folderList is the Data of a catalog.
type folderList struct {
	Repositories []string `json:"repositories,omitempty"` // undeclared, as paths of the mirror
}

func packed(v any, objects int, gaps []finding.Gap) (audit.Reading, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return audit.Reading{}, fmt.Errorf("keep a reading: %w", err)
	}
	slices.SortFunc(gaps, func(a, b finding.Gap) int { return cmp.Compare(a.Scope, b.Scope) })
	return audit.Reading{Data: raw, Objects: objects, Gaps: gaps}, nil
}

// declares tells whether a mirror holds an image at a path.
func (c *Collector) declares(mirror int, at string) bool {
	image := c.set.Image(at)
	return image != nil && slices.Contains(image.On(), mirror)
}

// strangers are the names below a path that are neither an image nor a folder of one.
func (c *Collector) strangers(mirror int, at string, names []string) []string {
	var all []string
	for _, n := range names {
		if p := path.Join(at, n); !c.declares(mirror, p) && !c.folders[mirror][p] {
			all = append(all, c.clean(p))
		}
	}
	return all
}

// undeclared are the repositories that are no images.
func (c *Collector) undeclared(mirror int, names []string) []string {
	var all []string
	for _, n := range names {
		if !c.declares(mirror, n) {
			all = append(all, c.clean(n))
		}
	}
	return all
}

// readCatalog looks for repositories that nobody declared, outside of those that are:
// these tell about their own children.
func (c *Collector) readCatalog(ctx context.Context, mirror int) (audit.Reading, error) {
	root := c.set.Mirrors[mirror]
	top, err := c.list(ctx, root)
	if errors.Is(err, manifest.ErrNoRepository) || err == nil && !top.Full {
		names, err := c.catalog(ctx, root)
		if err != nil {
			return audit.Reading{}, err
		}
		return c.packedList(root, folderList{c.undeclared(mirror, names)}, len(names), nil)
	}
	if err != nil {
		return audit.Reading{}, err
	}
	return c.readFolders(ctx, mirror, top)
}

// readFolders asks every folder for its children. A folder that says it does not exist
// is believed if the one above does not list it: then what is declared below is missing,
// which is found where it is read.
func (c *Collector) readFolders(ctx context.Context, mirror int, top manifest.Listing) (audit.Reading, error) {
	root := c.set.Mirrors[mirror]
	lists := map[string][]string{"": top.Children} // by folder
	var found folderList
	var gaps []finding.Gap
	objects := 0
	for _, folder := range slices.Sorted(maps.Keys(c.folders[mirror])) {
		listing, err := top, error(nil)
		if folder != "" {
			listing, err = c.list(ctx, root+"/"+folder)
		}
		above, known := lists[parentOf(folder)]
		switch {
		case errors.Is(err, manifest.ErrNoRepository) && known && !slices.Contains(above, path.Base(folder)):
			lists[folder] = nil
			continue
		case errors.Is(err, manifest.ErrNoRepository):
			err = contradiction()
			fallthrough
		case err != nil:
			gaps = append(gaps, c.gap(root+"/"+folder, " children", err))
			continue
		}
		lists[folder] = listing.Children
		objects += len(listing.Children)
		found.Repositories = append(found.Repositories, c.strangers(mirror, folder, listing.Children)...)
		if len(listing.Tags)+len(listing.Digests) > 0 && !c.declares(mirror, folder) {
			found.Repositories = append(found.Repositories, cmp.Or(folder, "."))
		}
	}
	return c.packedList(root, found, objects, gaps)
}

func (c *Collector) packedList(root string, f folderList, objects int, gaps []finding.Gap) (audit.Reading, error) {
	if n := len(f.Repositories); n > maxStrange {
		f.Repositories = f.Repositories[:maxStrange]
		gaps = append(gaps, c.gap(root, " catalog", audit.Fail(finding.TooLarge, "%d more undeclared repositories are not listed", n-maxStrange)))
	}
	return packed(f, objects, gaps)
}

func parentOf(folder string) string {
	if p := path.Dir(folder); p != "." {
		return p
	}
	return ""
}

// list reads a repository or folder; a root without a path is neither.
func (c *Collector) list(ctx context.Context, name string) (manifest.Listing, error) {
	if !strings.Contains(name, "/") {
		return manifest.Listing{}, manifest.ErrNoRepository
	}
	return c.registry.List(ctx, name)
}

func (c *Collector) catalog(ctx context.Context, root string) ([]string, error) {
	return c.catalogs.get(ctx, root, func() ([]string, error) { return c.registry.Catalog(ctx, root) })
}
