// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// Comparison is what a set declares, beside what is told of repositories. Its methods may
// be called concurrently, but for those that say otherwise.
type Comparison struct {
	set   *manifest.Set
	scope *Scope
	words int // of a set of mirrors
	trouble

	mu      sync.Mutex
	shelves []*shelf // in the order of Set.Images, those in the scope
	byPath  map[string]*shelf
	sources map[string]*source // by HOST/PATH
	covered map[string]bool    // source registries that an inventory knows of
	offline bool               // an inventory was read: what it does not have is not there
	visits  int32
}

// shelf is all that is declared at one path of the mirrors, and what is there.
type shelf struct {
	image  *manifest.Image
	items  []item
	claims []claim
	byName map[string]int32 // digest to the first of its items
	byTag  map[string]int32 // tag to the first of its claims

	stored column // of items: the mirror holds the digest
	right  column // of claims: the tag stands for the digest there
	wrong  map[misplaced]string
	seen   set // mirrors whose repository was read
	absent set // of those: there is no such repository
	unread set // mirrors that could not be asked
}

// item is a digest of one part of an image.
type item struct {
	part     *manifest.Part
	digest   *manifest.Digest
	want     set   // mirrors where it is to be, within the scope
	from, to int32 // its claims
	next     int32 // item of another part with the same digest, or -1
	visit    int32 // that met it last
}

// claim is a tag of an item.
type claim struct {
	tag   *manifest.Tag
	item  int32
	next  int32 // another claim of the same tag, or -1
	visit int32
}

// misplaced is a claim whose tag stands for another digest on a mirror.
type misplaced struct {
	claim  int32
	mirror int
}

// source is a repository that images come from.
type source struct {
	registry string // of the manifest
	read     bool
	unread   bool
	digests  map[string]bool // declared ones, and whether it holds them
}

// Compare begins a comparison with a set, or with the part of it that is in a scope.
// problems are those that the loader of the set found.
func Compare(declared *manifest.Set, problems []finding.Finding, scope *Scope) *Comparison {
	c := &Comparison{
		set: declared, scope: scope, words: wordsFor(len(declared.Mirrors)), trouble: troubleOf(problems),
		byPath: map[string]*shelf{}, sources: map[string]*source{}, covered: map[string]bool{},
	}
	for _, image := range declared.Images {
		if !scope.path(image.Path) {
			continue
		}
		if s := c.shelve(image); s != nil {
			c.shelves = append(c.shelves, s)
			c.byPath[image.Path] = s
		}
	}
	return c
}

// shelve lays out an image; nil if nothing of it is in the scope.
func (c *Comparison) shelve(image *manifest.Image) *shelf {
	s := &shelf{image: image, byName: map[string]int32{}, byTag: map[string]int32{}, wrong: map[misplaced]string{}}
	wanted := false
	for i := range image.Parts {
		p := &image.Parts[i]
		all, none := setOf(c.words, p.Mirrors), make(set, c.words)
		for d := range p.Entry.Digests {
			want := none
			if mirrors, in := c.scope.digest(image.Path, p.Entry.Digests[d].Digest); in && c.scope.project(p.Manifest) {
				want = all
				if mirrors != nil {
					want = all.within(make(set, c.words), setOf(c.words, mirrors))
				}
			}
			wanted = wanted || !want.empty()
			s.add(p, &p.Entry.Digests[d], want)
		}
		c.addSource(p)
	}
	if !wanted {
		return nil
	}
	s.stored, s.right = newColumn(c.words, len(s.items)), newColumn(c.words, len(s.claims))
	s.seen, s.absent, s.unread = make(set, c.words), make(set, c.words), make(set, c.words)
	return s
}

func (s *shelf) add(p *manifest.Part, d *manifest.Digest, want set) {
	n := int32(len(s.items))
	i := item{part: p, digest: d, want: want, from: int32(len(s.claims)), next: -1}
	if first, again := s.byName[d.Digest]; again {
		i.next = first
	}
	s.byName[d.Digest] = n
	for t := range d.Tags {
		c := claim{tag: &d.Tags[t], item: n, next: -1}
		if first, again := s.byTag[c.tag.Name]; again {
			c.next = first
		}
		s.byTag[c.tag.Name] = int32(len(s.claims))
		s.claims = append(s.claims, c)
	}
	i.to = int32(len(s.claims))
	s.items = append(s.items, i)
}

func sourceOf(p *manifest.Part) string { return p.Manifest.Source + "/" + p.Entry.Name }

func (c *Comparison) addSource(p *manifest.Part) {
	name := sourceOf(p)
	s := c.sources[name]
	if s == nil {
		s = &source{registry: p.Manifest.Source, digests: make(map[string]bool, len(p.Entry.Digests))}
		c.sources[name] = s
	}
	for _, d := range p.Entry.Digests {
		s.digests[d.Digest] = false
	}
}

// Repository is one repository of a mirror that is to be compared.
type Repository struct {
	Name   string // HOST/PATH
	Mirror int
	// Digests and Tags are what is declared there, within the scope. Untagged are those of
	// the digests that are declared without a tag.
	Digests, Tags, Untagged []string
}

// Repositories calls yield for all repositories that are to be read, image by image over
// all mirrors, because every host has its own pace. What only manifests name of which nothing is
// promoted is left alone: nobody is asked because of a line that is wrong.
func (c *Comparison) Repositories(yield func(Repository) bool) {
	for _, s := range c.shelves {
		wanted := make(set, c.words)
		for _, i := range s.items {
			if c.broken(i.part.Manifest) {
				continue
			}
			for w := range wanted {
				wanted[w] |= i.want[w]
			}
		}
		for _, m := range wanted.members() {
			if !yield(c.repository(s, m)) {
				return
			}
		}
	}
}

func (c *Comparison) repository(s *shelf, mirror int) Repository {
	r := Repository{Name: c.set.Mirrors[mirror] + "/" + s.image.Path, Mirror: mirror}
	for n := range s.items {
		i := &s.items[n]
		if !i.want.has(mirror) {
			continue
		}
		r.Digests = append(r.Digests, i.digest.Digest)
		if i.from == i.to {
			r.Untagged = append(r.Untagged, i.digest.Digest)
		}
		for _, cl := range s.claims[i.from:i.to] {
			r.Tags = append(r.Tags, cl.tag.Name)
		}
	}
	return r
}

// Holds tells what a repository of a mirror holds.
func (c *Comparison) Holds(r Repository, l manifest.Listing) error {
	return c.told(r.Name, func(v *visit) error {
		for digest := range l.Digests {
			if _, err := v.digest([]byte(digest)); err != nil {
				return err
			}
		}
		for tag, digest := range l.Tags {
			if _, err := v.tag([]byte(tag), []byte(digest)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Absent tells that there is no such repository.
func (c *Comparison) Absent(r Repository) error {
	return c.told(r.Name, func(v *visit) error {
		v.shelf.absent.add(v.mirror)
		return nil
	})
}

// Unread tells that a repository of a mirror could not be asked. Nothing is planned there.
func (c *Comparison) Unread(r Repository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.byPath[strings.TrimPrefix(r.Name, c.set.Mirrors[r.Mirror]+"/")]; s != nil {
		s.unread.add(r.Mirror)
	}
}

// Unknown tells that not every mirror that is to hold the image could be asked.
func (c *Comparison) Unknown(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byPath[path]
	return s == nil || !s.unread.empty()
}

func (c *Comparison) told(name string, tell func(*visit) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.enter([]byte(name))
	if err != nil {
		return err
	}
	if v.shelf == nil {
		return fmt.Errorf("repository %s is none of this comparison", name)
	}
	return tell(v)
}

// visit is one repository while its contents are told.
type visit struct {
	number int32
	shelf  *shelf // nil: no repository of a mirror
	mirror int
	source *source // nil: no images come from it
}

// enter finds what a repository is. One that is told twice is an error.
func (c *Comparison) enter(name []byte) (*visit, error) {
	c.visits++
	v := &visit{number: c.visits}
	for m, root := range c.set.Mirrors {
		if len(name) <= len(root) || name[len(root)] != '/' || string(name[:len(root)]) != root {
			continue
		}
		if s := c.byPath[string(name[len(root)+1:])]; s != nil {
			if s.seen.has(m) {
				return nil, fmt.Errorf("repository %s stands twice", name)
			}
			s.seen.add(m)
			v.shelf, v.mirror = s, m
		}
	}
	if src := c.sources[string(name)]; src != nil {
		if src.read {
			return nil, fmt.Errorf("repository %s stands twice", name)
		}
		src.read, c.covered[src.registry] = true, true
		v.source = src
	}
	return v, nil
}

// digest tells that the repository holds one. It answers whether that is declared here.
func (v *visit) digest(name []byte) (known bool, err error) {
	if v.source != nil {
		if _, known = v.source.digests[string(name)]; known {
			v.source.digests[string(name)] = true
		}
	}
	if v.shelf == nil {
		return known, nil
	}
	n, ok := v.shelf.byName[string(name)]
	if !ok {
		return known, nil
	}
	if v.shelf.items[n].visit == v.number {
		return true, fmt.Errorf("digest %s stands twice", name)
	}
	v.shelf.items[n].visit = v.number
	for ; n >= 0; n = v.shelf.items[n].next {
		v.shelf.stored.at(int(n)).add(v.mirror)
	}
	return true, nil
}

// tag tells that one stands for a digest. It answers whether the tag is declared here.
func (v *visit) tag(name, digest []byte) (known bool, err error) {
	if v.shelf == nil {
		return false, nil
	}
	n, ok := v.shelf.byTag[string(name)]
	if !ok {
		return false, nil
	}
	if v.shelf.claims[n].visit == v.number {
		return true, fmt.Errorf("tag %s stands twice", name)
	}
	v.shelf.claims[n].visit = v.number
	for ; n >= 0; n = v.shelf.claims[n].next {
		i := &v.shelf.items[v.shelf.claims[n].item]
		switch _, declared := slices.BinarySearch(i.part.Mirrors, v.mirror); {
		case !declared:
		case i.digest.Digest == string(digest):
			v.shelf.right.at(int(n)).add(v.mirror)
		default:
			v.shelf.wrong[misplaced{n, v.mirror}] = string(digest)
		}
	}
	return true, nil
}

// Need is a source repository that has to be asked, and for what.
type Need struct {
	Name    string   // HOST/PATH
	Digests []string // that are missing somewhere
}

// Sources lists the repositories that missing images come from, sorted. Call it after all
// repositories of mirrors were told; those told by an inventory are not asked again.
func (c *Comparison) Sources() []Need {
	c.mu.Lock()
	defer c.mu.Unlock()
	needs := map[string]map[string]bool{}
	for _, s := range c.shelves {
		l := c.look(s)
		for n := range s.items {
			i := &s.items[n]
			name := sourceOf(i.part)
			if !c.sources[name].read && !c.offline && !c.holds(i) && !l.missing(n).empty() {
				if needs[name] == nil {
					needs[name] = map[string]bool{}
				}
				needs[name][i.digest.Digest] = true
			}
		}
	}
	var all []Need
	for name, digests := range needs {
		need := Need{Name: name}
		for d := range digests {
			need.Digests = append(need.Digests, d)
		}
		slices.Sort(need.Digests)
		all = append(all, need)
	}
	slices.SortFunc(all, func(a, b Need) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// SourceHolds tells which of the digests that were asked for a source repository holds.
func (c *Comparison) SourceHolds(name string, digests []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sources[name]
	s.read = true
	for _, d := range digests {
		s.digests[d] = true
	}
}

// SourceUnread tells that a source repository could not be asked.
func (c *Comparison) SourceUnread(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources[name].unread = true
}
