// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package imageaudit

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// The rules, as docs/audit-images.md numbers them.
const (
	imgDigestMissing     = "IMG-1"
	imgTagMissing        = "IMG-2"
	imgTagMoved          = "IMG-3"
	imgTagUndeclared     = "IMG-4"
	imgDigestUndeclared  = "IMG-5"
	imgRepoUndeclared    = "IMG-6"
	imgRepositoryMissing = "IMG-7"
)

// imgRule is what a rule says.
type imgRule struct {
	severity finding.Severity
	absent   bool // it tells that something declared is not there
	message  string
	fix      string
}

func imgRules() map[string]imgRule {
	return map[string]imgRule{
		imgDigestMissing:     {finding.Error, true, "a declared digest is missing", "run the promotion again; if it was taken back on purpose, remove the line"},
		imgTagMissing:        {finding.Error, true, "a declared tag is missing, its digest is there", "run the promotion again; if it was taken back on purpose, remove the tag from the line"},
		imgTagMoved:          {finding.Critical, false, "a declared tag stands for another digest", "find out who moved it, and put it back on the declared digest; tags never move"},
		imgTagUndeclared:     {finding.Error, false, "a tag that nobody declared", "find out who pushed it; declare it in a reviewed change, or remove it"},
		imgDigestUndeclared:  {finding.Warning, false, "a manifest that nobody declared, of no tag, index or signature", "find out who pushed it; remove it, or declare it"},
		imgRepoUndeclared:    {finding.Error, false, "a repository that nobody declared", "find out who made it; declare its images, or remove it"},
		imgRepositoryMissing: {finding.Error, true, "a declared repository does not exist, or is empty", "run the promotion again; if it was taken back on purpose, remove the image"},
	}
}

// fact is one rule that one object meets, over all mirrors.
type fact struct {
	rule, object, declared string
	at                     manifest.Place
	observed               map[string][]int // what is there instead, and on which mirrors
}

// verdict collects facts.
type verdict struct {
	*Collector
	facts map[string]*fact // by rule and object
	order []string
	of    int // declared objects in what was read

	// last is the image that was looked at last, whose mirrors follow each other.
	last     *manifest.Image
	declared manifest.Contents
	state    string
}

// look sets what is declared in a repository.
func (v *verdict) look(u unit) {
	if u.image == v.last && len(u.image.Parts) == 1 {
		return // one manifest declares the same everywhere
	}
	v.last, v.declared = u.image, u.image.At(u.mirror)
	v.state = stateOf(v.declared)
}

// Compare implements audit.Collector.
func (c *Collector) Compare(readings map[string]audit.Reading) (audit.Comparison, error) {
	v := &verdict{Collector: c, facts: map[string]*fact{}}
	seen := map[string][]int{} // by path: the mirrors on which it was read
	for _, u := range c.units {
		reading, read := readings[u.name]
		if !read || u.broken != nil {
			continue
		}
		if err := v.add(u, reading.Data); err != nil {
			return audit.Comparison{}, fmt.Errorf("reading of %s: %w", u.name, err)
		}
		if u.image != nil {
			seen[u.image.Path] = append(seen[u.image.Path], u.mirror)
		}
	}
	for at, mirrors := range seen {
		v.of += declaredOn(c.set.Image(at), mirrors)
	}
	return v.comparison(seen), nil
}

// declaredOn counts digests and tags of an image, each once for all mirrors.
func declaredOn(image *manifest.Image, mirrors []int) int {
	n := 0
	for _, p := range image.Parts {
		if !slices.ContainsFunc(mirrors, func(m int) bool { return slices.Contains(p.Mirrors, m) }) {
			continue
		}
		for _, d := range p.Entry.Digests {
			n += 1 + len(d.Tags)
		}
	}
	return n
}

// add takes one reading apart.
func (v *verdict) add(u unit, data json.RawMessage) error {
	if u.image == nil {
		var f folderList
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
		v.repositories(u.mirror, f.Repositories)
		return nil
	}
	var d difference
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	v.look(u)
	if d.Of != v.state {
		return fmt.Errorf("it was compared with other manifests: run again without --resume")
	}
	v.absences(u, d)
	if !v.isBlind(u.image.Path) {
		v.extras(u, d)
	}
	v.repositories(u.mirror, d.Below)
	return nil
}

func (v *verdict) absences(u unit, d difference) {
	name, declared := u.image.Path, v.declared
	if d.Gone {
		v.fact(imgRepositoryMissing, name, placeOf(u.image), fmt.Sprintf("%d digests", len(declared.Digests)), "absent", u.mirror)
	}
	for _, digest := range d.Missing {
		v.fact(imgDigestMissing, name+"@"+digest, declared.Digests[digest], tagsOf(declared, digest), "absent", u.mirror)
	}
	for _, tag := range d.Untagged {
		claim := declared.Tags[tag]
		v.fact(imgTagMissing, name+":"+tag, claim.Place, strings.Join(claim.Digests, " or "), "absent", u.mirror)
	}
}

func (v *verdict) extras(u unit, d difference) {
	name, at := u.image.Path, placeOf(u.image)
	for tag, on := range d.Moved {
		claim := v.declared.Tags[tag]
		v.fact(imgTagMoved, name+":"+tag, claim.Place, strings.Join(claim.Digests, " or "), on, u.mirror)
	}
	for tag, on := range d.Tags {
		if on == "" {
			on = "a digest that could not be read"
		}
		v.fact(imgTagUndeclared, name+":"+tag, at, "", on, u.mirror)
	}
	for _, digest := range d.Digests {
		v.fact(imgDigestUndeclared, name+"@"+digest, at, "", "present", u.mirror)
	}
}

func (v *verdict) repositories(mirror int, paths []string) {
	for _, p := range paths {
		if !v.declares(mirror, p) && !v.isBlind(p) {
			v.fact(imgRepoUndeclared, p, v.wouldDeclare(p), "", "present", mirror)
		}
	}
}

// isBlind tells whether a manifest that could not be understood may declare something
// at a path, so that nothing there can be called undeclared.
func (v *verdict) isBlind(at string) bool {
	return slices.ContainsFunc(v.blind, func(b string) bool { return b == "" || at == b || strings.HasPrefix(at, b+"/") })
}

// placeOf is the line that declares an image first.
func placeOf(image *manifest.Image) manifest.Place {
	p := image.Parts[0]
	return manifest.Place{File: p.Manifest.Images, Line: p.Entry.Line}
}

func tagsOf(declared manifest.Contents, digest string) string {
	var tags []string
	for tag, claim := range declared.Tags {
		if slices.Contains(claim.Digests, digest) {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return "without a tag"
	}
	slices.Sort(tags)
	return "tagged " + strings.Join(tags, ", ")
}

// wouldDeclare is the manifest whose destination is nearest above a path, or the folder
// of all where several are.
func (v *verdict) wouldDeclare(at string) manifest.Place {
	best, places := -1, []manifest.Place{}
	for _, m := range v.set.Manifests {
		for _, d := range m.Destinations {
			above := d.Below == "" || at == d.Below || strings.HasPrefix(at, d.Below+"/")
			switch {
			case !above || len(d.Below) < best:
			case len(d.Below) > best:
				best, places = len(d.Below), []manifest.Place{{File: m.File, Line: d.Line}}
			case places[0].File != m.File:
				places = append(places, manifest.Place{File: m.File})
			}
		}
	}
	if len(places) != 1 {
		return manifest.Place{File: path.Join(v.set.Dir, "manifests")}
	}
	return places[0]
}

func (v *verdict) fact(rule, object string, at manifest.Place, declared, observed string, mirror int) {
	key := rule + "\x00" + object
	f := v.facts[key]
	if f == nil {
		f = &fact{rule: rule, object: object, at: at, declared: declared, observed: map[string][]int{}}
		v.facts[key], v.order = f, append(v.order, key)
	}
	f.observed[observed] = append(f.observed[observed], mirror)
}

// comparison makes one finding of each fact, however many mirrors it is of.
func (v *verdict) comparison(seen map[string][]int) audit.Comparison {
	result := audit.Comparison{Declared: v.of}
	slices.Sort(v.order)
	rules := imgRules()
	for _, key := range v.order {
		f := v.facts[key]
		rule := rules[f.rule]
		on := f.mirrors()
		all := v.everywhere(f, seen)
		made := finding.Finding{
			Rule: f.rule, Severity: rule.severity, Object: f.object, File: f.at.File, Line: f.at.Line,
			Message:  fmt.Sprintf("%s: %s", rule.message, v.count(on, all)),
			Declared: f.declared, Observed: v.observed(f, len(on) == len(all)), Fix: rule.fix,
		}
		if strings.Contains(f.object, redactedMark) {
			made.Visibility, made.Severity = finding.Private, finding.Critical
			made.Fix = "revoke the credential that somebody used as a name, then remove it"
		}
		if rule.absent {
			result.Absent = append(result.Absent, made)
		} else {
			result.Found = append(result.Found, made)
		}
	}
	return result
}

// redactedMark begins what package secret puts in the place of a credential. No name of
// an image or tag has it.
const redactedMark = "[redacted "

func (f *fact) mirrors() []int {
	var all []int
	for _, on := range f.observed {
		all = append(all, on...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// everywhere lists the mirrors on which a fact could have been seen: those where its
// image was read. An undeclared repository has no image; every mirror could have it.
func (v *verdict) everywhere(f *fact, seen map[string][]int) []int {
	at, _, _ := strings.Cut(f.object, "@")
	at, _, _ = strings.Cut(at, ":")
	if mirrors, ok := seen[at]; ok && f.rule != imgRepoUndeclared {
		return mirrors
	}
	all := make([]int, len(v.set.Mirrors))
	for i := range all {
		all[i] = i
	}
	return all
}

func (v *verdict) count(on, all []int) string {
	switch {
	case len(v.set.Mirrors) == 1:
		return "on " + v.set.Mirrors[0]
	case len(on) == len(all):
		return fmt.Sprintf("on all %d mirrors that were read", len(all))
	}
	return fmt.Sprintf("on %d of %d mirrors: %s", len(on), len(all), v.names(on))
}

// observed says what is there, and where unless it is everywhere: a mirror that was not
// read this time makes no other state of it.
func (v *verdict) observed(f *fact, everywhere bool) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(f.observed)) {
		where := "everywhere"
		if !everywhere || len(f.observed) > 1 {
			where = "on " + v.names(f.observed[what])
		}
		parts = append(parts, what+" "+where)
	}
	return strings.Join(parts, "; ")
}

// names are hosts, where those tell mirrors apart.
func (v *verdict) names(mirrors []int) string {
	hosts := map[string]int{}
	for _, root := range v.set.Mirrors {
		host, _, _ := strings.Cut(root, "/")
		hosts[host]++
	}
	var names []string
	for _, m := range mirrors {
		root := v.set.Mirrors[m]
		if host, _, _ := strings.Cut(root, "/"); hosts[host] == 1 {
			root = host
		}
		names = append(names, root)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
