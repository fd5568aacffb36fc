// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/plan"
)

// trouble is what a loader's problems mean for a promotion.
type trouble struct {
	registries map[string]bool // files whose source or destinations are not right
	tags       map[string]bool // files with tags that are none
}

// The rules of docs/manifests.md that matter here, and that leave a manifest whole.
const (
	badRegistry = "MANIFEST-4"
	badTag      = "MANIFEST-7"
	outside     = "MANIFEST-12"
)

func troubleOf(problems []finding.Finding) trouble {
	t := trouble{map[string]bool{}, map[string]bool{}}
	for _, p := range problems {
		switch {
		case (p.Rule == badRegistry || p.Rule == outside) && p.Severity >= finding.Error:
			t.registries[p.File] = true
		case p.Rule == badTag && p.Severity >= finding.Error:
			t.tags[p.File] = true
		}
	}
	return t
}

// broken tells that not everything is known of a manifest: nothing of it is promoted.
func (t trouble) broken(m *manifest.Manifest) bool {
	return !m.Whole || m.Source == "" || t.registries[m.File]
}

// Broken tells a manifest of which nothing is promoted.
func (c *Comparison) Broken(m *manifest.Manifest) bool { return c.broken(m) }

// holds tells that an item is not to be promoted, whatever is there. One that lost its
// tags because they are none would be promoted without any.
func (t trouble) holds(i *item) bool {
	return t.broken(i.part.Manifest) || i.from == i.to && t.tags[i.part.Manifest.Images]
}

// look is a shelf while it is decided about.
type look struct {
	*shelf
	moved map[string]bool // tags that stand for another digest somewhere
	stray map[int32]*stray
	twice map[int32]bool  // claims of a tag that another digest claims on the same mirror
	used  map[string]bool // tags that are also declared for what is no digest
	taken map[string]set  // what other parts promote: tag and digest, to mirrors; nil for one part
	spare set
}

// stray is where a claim's tag stands for another digest, and for which one, the last of several.
type stray struct {
	on       set
	observed string
}

func (c *Comparison) look(s *shelf) *look {
	l := &look{shelf: s, spare: make(set, c.words)}
	if len(s.image.Parts) > 1 {
		l.taken = map[string]set{}
	}
	if len(s.wrong) > 0 {
		l.moved, l.stray = map[string]bool{}, map[int32]*stray{}
	}
	for p, digest := range s.wrong {
		l.moved[s.claims[p.claim].tag.Name] = true
		at := l.stray[p.claim]
		if at == nil {
			at = &stray{on: make(set, c.words)}
			l.stray[p.claim] = at
		}
		at.on.add(p.mirror)
		at.observed = max(at.observed, digest)
	}
	for _, p := range s.image.Parts {
		for _, d := range p.Entry.Lost {
			for _, t := range d.Tags {
				if l.used == nil {
					l.used = map[string]bool{}
				}
				l.used[t.Name] = true
			}
		}
	}
	l.contest(c.words)
	return l
}

// contest finds claims that exclude each other: on some mirror their tag is to be two digests.
func (l *look) contest(words int) {
	for _, n := range l.byTag {
		if l.claims[n].next < 0 {
			continue
		}
		first, both := map[int]string{}, make(set, words)
		l.each(n, func(_ int32, i *item) {
			for _, m := range i.part.Mirrors {
				if was, again := first[m]; again && was != i.digest.Digest {
					both.add(m)
				}
				first[m] = i.digest.Digest
			}
		})
		if both.empty() {
			continue
		}
		if l.twice == nil {
			l.twice = map[int32]bool{}
		}
		l.each(n, func(claim int32, i *item) {
			if slices.ContainsFunc(i.part.Mirrors, both.has) {
				l.twice[claim] = true
			}
		})
	}
}

// each calls do for all claims of a tag.
func (l *look) each(n int32, do func(claim int32, i *item)) {
	for ; n >= 0; n = l.claims[n].next {
		do(n, &l.items[l.claims[n].item])
	}
}

// lacks returns where a tag of an item is missing and may be put; the set is good until
// the next call.
func (l *look) lacks(claim int32) set {
	i, name := &l.items[l.claims[claim].item], l.claims[claim].tag.Name
	if l.twice[claim] || l.moved[name] || l.used[name] {
		return i.want.without(l.spare, i.want)
	}
	return l.others(name, i, i.want.without(l.spare, l.right.at(int(claim)), l.unread))
}

// others leaves out what another part of the image promotes already.
func (l *look) others(tag string, i *item, missing set) set {
	if l.taken != nil {
		return missing.without(missing, l.taken[tag+"@"+i.digest.Digest])
	}
	return missing
}

// bare returns where an item without tags is missing.
func (l *look) bare(n int) set {
	i := &l.items[n]
	return l.others("", i, i.want.without(l.spare, l.stored.at(n), l.unread))
}

// missing returns where anything of an item is missing.
func (l *look) missing(n int) set {
	i := &l.items[n]
	if i.from == i.to {
		return l.bare(n)
	}
	all := make(set, len(l.spare))
	for c := i.from; c < i.to; c++ {
		for w, bits := range l.lacks(c) {
			all[w] |= bits
		}
	}
	return all
}

// take remembers what an item promotes.
func (l *look) take(n int) {
	i := &l.items[n]
	add := func(tag string) {
		key := tag + "@" + i.digest.Digest
		if l.taken[key] == nil {
			l.taken[key] = make(set, len(l.spare))
		}
		for w := range i.want {
			l.taken[key][w] |= i.want[w]
		}
	}
	if l.taken == nil {
		return
	}
	if i.from == i.to {
		add("")
	}
	for c := i.from; c < i.to; c++ {
		add(l.claims[c].tag.Name)
	}
}

// decision makes the projects' plans.
type decision struct {
	*Comparison
	projects map[*manifest.Manifest]*Project
	steps    map[*manifest.Manifest][]plan.Step[Copy]
	sets     map[string][]int // shared lists of mirrors
}

// Projects returns what is to be done for every manifest of the scope for which there is
// something to do or to say, in the order of the set. Call it after everything was told.
func (c *Comparison) Projects(commit string) ([]*Project, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &decision{c, map[*manifest.Manifest]*Project{}, map[*manifest.Manifest][]plan.Step[Copy]{}, map[string][]int{}}
	for _, s := range c.shelves {
		d.decide(s)
	}
	var all []*Project
	for _, m := range c.set.Manifests {
		if c.scope.project(m) && c.broken(m) && (c.scope == nil || c.scope.Digests == nil || d.projects[m] != nil) {
			d.fault(m, finding.Finding{Rule: RuleBroken, Severity: finding.Error, Object: m.Name, File: m.File,
				Message: "the manifest or its list of images is not understood whole, or names a place where nothing may go, so nothing of the project is promoted",
				Fix:     "mend what the findings about both files say"})
		}
		p := d.projects[m]
		if p == nil {
			continue
		}
		var err error
		if p.Plan, err = plan.New(commit, d.steps[m]); err != nil {
			return nil, fmt.Errorf("project %s: %w", m.Name, err)
		}
		finding.Sort(p.Faults)
		all = append(all, p)
	}
	return all, nil
}

func (d *decision) project(m *manifest.Manifest) *Project {
	p := d.projects[m]
	if p == nil {
		p = &Project{Manifest: m}
		d.projects[m] = p
	}
	return p
}

func (d *decision) fault(m *manifest.Manifest, f finding.Finding) {
	p := d.project(m)
	p.Faults = append(p.Faults, f)
}

func (d *decision) decide(s *shelf) {
	l := d.look(s)
	for n := range s.items {
		i := &s.items[n]
		switch {
		case i.want.empty():
			continue
		case d.holds(i):
			d.project(i.part.Manifest) // what holds it is said of the manifest
			continue
		}
		d.tell(l, n)
		from := d.from(l, n)
		if from == "" && !l.missing(n).empty() {
			if !d.sources[sourceOf(i.part)].unread {
				d.lost(l, n)
			}
			continue
		}
		for _, g := range l.groups(n) {
			d.step(l, n, from, g)
		}
		l.take(n)
	}
}

// tell reports what is wrong with the tags of an item.
func (d *decision) tell(l *look, n int) {
	i := &l.items[n]
	for c := i.from; c < i.to; c++ {
		t := l.claims[c].tag
		object := l.image.Path + ":" + t.Name
		switch {
		case l.used[t.Name]:
			d.fault(i.part.Manifest, finding.Finding{Rule: RuleUsed, Severity: finding.Error, Object: object, File: i.part.Manifest.Images, Line: t.Line,
				Message: "the tag is also declared for something that is no digest, so nobody knows what it is to stand for",
				Fix:     "keep it at one digest"})
		case !l.twice[c] && l.moved[t.Name]:
			d.move(l, c)
		}
	}
}

// move reports a tag that stands for another digest on some mirrors. It is put nowhere:
// otherwise it would mean one thing here and another there.
func (d *decision) move(l *look, c int32) {
	i, t := &l.items[l.claims[c].item], l.claims[c].tag
	at := l.stray[c]
	if at == nil {
		return // it is another claim of the tag that is not as declared
	}
	members := at.on.members()
	d.fault(i.part.Manifest, finding.Finding{
		Rule: RuleMoved, Severity: finding.Error, Object: l.image.Path + ":" + t.Name, File: i.part.Manifest.Images, Line: t.Line,
		Declared: i.digest.Digest, Observed: at.observed,
		Message: "the tag stands for another digest " + d.where(members, len(i.part.Mirrors)) + ", and a tag is never moved",
		Fix:     "declare a new tag for the new digest",
	})
}

// where tells on which mirrors, shortly.
func (d *decision) where(members []int, of int) string {
	if len(members) == of && of > 1 {
		return fmt.Sprintf("on all %d mirrors", of)
	}
	names := make([]string, 0, 3)
	for _, m := range members[:min(3, len(members))] {
		names = append(names, d.set.Mirrors[m])
	}
	text := fmt.Sprintf("on %d of %d mirrors: %s", len(members), of, strings.Join(names, ", "))
	if len(members) > len(names) {
		text += ", …"
	}
	return text
}

// lost reports an image that is nowhere to be had.
func (d *decision) lost(l *look, n int) {
	i := &l.items[n]
	d.fault(i.part.Manifest, finding.Finding{
		Rule: RuleLost, Severity: finding.Error, Object: l.image.Path + "@" + i.digest.Digest, File: i.part.Manifest.Images, Line: i.digest.Line,
		Message: fmt.Sprintf("%s does not hold the digest, and no mirror does: it cannot be promoted", sourceOf(i.part)),
		Fix:     "push the image again and promote that, or remove the line",
	})
}

// from returns a repository that holds an item's digest; "" if none is known to. An
// inventory that does not know the source at all says nothing about it.
func (d *decision) from(l *look, n int) string {
	i := &l.items[n]
	name := sourceOf(i.part)
	s := d.sources[name]
	known := s.read || d.offline && d.covered[s.registry]
	if s.digests[i.digest.Digest] || !known && !s.unread {
		return name
	}
	for _, m := range l.stored.at(n).members() {
		return d.set.Mirrors[m] + "/" + l.image.Path
	}
	return ""
}

// group is mirrors on which the same tags of an item are missing.
type group struct {
	tags    []string
	mirrors set
}

// groups returns what is missing of an item.
func (l *look) groups(n int) []group {
	i := &l.items[n]
	if i.from == i.to {
		if missing := l.bare(n); !missing.empty() {
			return []group{{nil, slices.Clone(missing)}}
		}
		return nil
	}
	var all []group
	for c := i.from; c < i.to; c++ {
		missing := slices.Clone(l.lacks(c))
		tag := l.claims[c].tag.Name
		for g := range all {
			both := all[g].mirrors.within(make(set, len(missing)), missing)
			if both.empty() {
				continue
			}
			rest := all[g].mirrors.without(make(set, len(missing)), both)
			missing.without(missing, both)
			if !rest.empty() {
				all = append(all, group{slices.Clone(all[g].tags), rest})
			}
			all[g] = group{append(all[g].tags, tag), both}
		}
		if !missing.empty() {
			all = append(all, group{[]string{tag}, missing})
		}
	}
	return all
}

func (d *decision) step(l *look, n int, from string, g group) {
	i := &l.items[n]
	d.project(i.part.Manifest)
	c := Copy{
		Path: l.image.Path, Source: from, Digest: i.digest.Digest, Tags: g.tags, Mirrors: d.share(g.mirrors), Line: i.digest.Line,
		Stored: d.share(g.mirrors.within(make(set, d.words), l.stored.at(n))),
	}
	fresh := l.absent
	if d.offline {
		fresh = g.mirrors.without(make(set, d.words), l.seen)
	}
	c.New = d.share(g.mirrors.within(make(set, d.words), fresh))
	m := i.part.Manifest
	d.steps[m] = append(d.steps[m], plan.Step[Copy]{Key: c.key(), Verb: plan.Create, Change: c})
}

// key names a copy within its project.
func (c Copy) key() string { return c.Path + "@" + c.Digest + " " + strings.Join(c.Tags, ",") }

// share returns the members of a set, the same list for equal sets.
func (d *decision) share(s set) []int {
	if s.empty() {
		return nil
	}
	var key strings.Builder
	for _, w := range s {
		fmt.Fprintf(&key, "%x.", w)
	}
	list, known := d.sets[key.String()]
	if !known {
		list = s.members()
		d.sets[key.String()] = list
	}
	return list
}
