// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

// What is listed. Counts are of all.
const (
	shownSticky   = 20
	shownReply    = 200
	shownFindings = 50
	shownPeople   = 10
	shownTags     = 8
)

// watch sets the status, and the standing part of the sticky where manifests change.
func (p promote) watch(s *thread.Snapshot, f facts, now time.Time) []thread.Action {
	if s.Where != thread.OpenPull {
		return nil
	}
	state, told, body := thread.Success, "Not applicable: no promoter manifest changes", ""
	switch {
	case s.FilesLost > 0:
		state = thread.Failure
		told = fmt.Sprintf("GitHub does not list %d of the changed files, so they cannot be checked: split the pull request", s.FilesLost)
	case f.many:
		state = thread.Failure
		told = fmt.Sprintf("The manifests of %d projects change, more than %d: split the pull request", len(f.projects), maxProjects)
	case len(f.projects) > 0:
		told, body = f.summary(), f.table(s, shownSticky, now)
		if finding.AtLeast(f.found, finding.Error) > 0 {
			state, told = thread.Failure, "In promoter manifests: "+report.Counts(f.found)
		}
	}
	return []thread.Action{
		thread.Status{Context: Context, State: state, Description: told},
		thread.Sticky{Topic: Name, Body: body},
	}
}

// plan is the answer to the command: the same list, longer.
func (p promote) plan(s *thread.Snapshot, c command.Call, f facts, now time.Time) command.Reply {
	switch {
	case len(c.Args) > 1 || len(c.Args) == 1 && c.Args[0] != "plan":
		return command.Reply{Text: fmt.Sprintf("There is no %s, only `promote plan` and `promote retry`.", markdown.Code("promote "+strings.Join(c.Args, " ")))}
	case s.Where != thread.OpenPull:
		return command.Reply{Text: "Only an open pull request has a plan: it says what the merge is going to promote."}
	case s.FilesLost > 0 || f.many:
		return command.Reply{Text: "The pull request changes too much to be listed here: `steward promote plan --since` on a checkout lists it."}
	case len(f.projects) == 0:
		return command.Reply{Text: "No promoter manifest changes here."}
	}
	return command.Reply{Text: f.table(s, shownReply, now)}
}

// promoted is a digest at a path of the mirrors, as far as it is new.
type promoted struct {
	path, digest string
	tags         []string
	mirrors      int
	project      string
	source       string // HOST/PATH that it is promoted from
	known        bool   // the base declares the digest, with other tags or for other mirrors
	file         string
	line         int
	seen         *seen // nil: nobody looked
}

// news lists what the head declares and the base does not, by path.
func (f facts) news() []promoted {
	if f.head == nil {
		return nil
	}
	var scope promotion.Scope
	scope.Since(f.base, f.head)
	var all []promoted
	for _, image := range f.head.Images {
		for _, part := range image.Parts {
			if f.refused[part.Manifest.Name] {
				continue // said at the head of the list
			}
			for _, d := range part.Entry.Digests {
				mirrors, is := scope.Digests[image.Path][d.Digest]
				if !is {
					continue
				}
				all = append(all, promoted{
					path: image.Path, digest: d.Digest, tags: tagsOf(d), mirrors: distinct(mirrors, part.Mirrors), project: part.Manifest.Name,
					source: part.Manifest.Source + "/" + part.Entry.Name, known: f.declared(image.Path, d.Digest), file: part.Manifest.Images, line: d.Line,
				})
			}
		}
	}
	return all
}

// declared tells whether the base declares a digest at a path.
func (f facts) declared(at, digest string) bool {
	if f.base == nil || f.base.Image(at) == nil {
		return false
	}
	return slices.ContainsFunc(f.base.Image(at).Parts, func(p manifest.Part) bool {
		return slices.ContainsFunc(p.Entry.Digests, func(d manifest.Digest) bool { return d.Digest == digest })
	})
}

func tagsOf(d manifest.Digest) []string {
	var tags []string
	for _, t := range d.Tags {
		tags = append(tags, t.Name)
	}
	return tags
}

// distinct counts mirrors; none are all of the manifest's.
func distinct(some, all []int) int {
	if len(some) == 0 {
		return len(all)
	}
	return len(slices.Compact(slices.Sorted(slices.Values(some))))
}

func (f facts) summary() string {
	tags, mirrors, projects := 0, 0, map[string]bool{}
	for _, p := range f.fresh {
		tags += len(p.tags)
		mirrors = max(mirrors, p.mirrors)
		projects[p.project] = true
	}
	switch {
	case len(f.fresh) > 0:
		return fmt.Sprintf("Promotes %s with %s to %s, of %s", report.Number(len(f.fresh), "image"), report.Number(tags, "tag"), report.Number(mirrors, "mirror"), report.Number(len(projects), "project"))
	case len(f.refusals()) > 0:
		return "Nothing would be promoted"
	case len(f.routes()) > 0:
		return "Nothing new is declared, but where images come from or go to changes"
	}
	return "Nothing new is declared"
}

// refusals are the projects of which nothing would be promoted, sorted.
func (f facts) refusals() (names []string) {
	for name, is := range f.refused {
		if is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// routes says what changes of where images come from and go to, a line for each project.
func (f facts) routes() (lines []string) {
	for _, name := range f.projects {
		before, after := projectIn(f.base, name), projectIn(f.head, name)
		var parts []string
		if before.Source != after.Source {
			parts = append(parts, fmt.Sprintf("from %s instead of %s", place(after.Source), place(before.Source)))
		}
		more, less := others(after.Destinations, before.Destinations), others(before.Destinations, after.Destinations)
		if len(more) > 0 {
			parts = append(parts, "also to "+few(more))
		}
		if len(less) > 0 {
			parts = append(parts, "no more to "+few(less))
		}
		if len(parts) > 0 {
			lines = append(lines, markdown.Code(name)+" is promoted "+strings.Join(parts, ", "))
		}
	}
	return lines
}

// projectIn is a project of a set, or an empty one.
func projectIn(set *manifest.Set, name string) *manifest.Manifest {
	if set != nil {
		for _, m := range set.Manifests {
			if m.Name == name {
				return m
			}
		}
	}
	return &manifest.Manifest{}
}

func place(name string) string {
	if name == "" {
		return "nowhere"
	}
	return markdown.Code(name)
}

// others are the destinations that another list has not.
func others(list, other []manifest.Destination) (names []string) {
	has := map[string]bool{}
	for _, d := range other {
		has[d.Name] = true
	}
	for _, d := range list {
		if !has[d.Name] {
			names = append(names, markdown.Code(d.Name))
		}
	}
	return names
}

// few names some of many.
func few(names []string) string {
	text := strings.Join(names[:min(len(names), shownTags)], ", ")
	if more := len(names) - shownTags; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// table lists what is new, what is wrong, and who may approve it.
func (f facts) table(s *thread.Snapshot, most int, now time.Time) string {
	var b strings.Builder
	fresh := f.fresh
	fmt.Fprintf(&b, "**%s.**\n", f.summary())
	if refused := f.refusals(); len(refused) > 0 {
		for i, name := range refused {
			refused[i] = markdown.Code(name)
		}
		fmt.Fprintf(&b, "\nOf %s nothing would be promoted: what is wrong with the manifest, below or since before, has to be mended first.\n", few(refused))
	}
	if routes := f.routes(); len(routes) > 0 {
		fmt.Fprintf(&b, "\n- %s\n", strings.Join(routes, "\n- "))
	}
	if len(fresh) > 0 {
		b.WriteString("\n| image | tags | digest | in staging | mirrors |\n|---|---|---|---|--:|\n")
	}
	for _, p := range fresh[:min(len(fresh), most)] {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |\n", markdown.Cell(p.path), tagCell(p.tags), markdown.Cell(p.digest), p.seen.cell(f.retention, now), p.mirrors)
	}
	if more := len(fresh) - most; more > 0 {
		fmt.Fprintf(&b, "\nAnd %d more", more)
		if most < shownReply {
			fmt.Fprintf(&b, ": `%s promote plan` lists them", command.Prefix)
		}
		b.WriteString(".\n")
	}
	if found := f.shown(); len(found) > 0 {
		b.WriteString("\n")
		opts := report.Options{Title: "Promoter manifests, what this pull request makes worse", Commit: s.Head}
		// A string builder does not fail and the format exists.
		_ = report.Write(&b, "markdown", found[:min(len(found), shownFindings)], opts)
		if more := len(found) - shownFindings; more > 0 {
			fmt.Fprintf(&b, "\nAnd %d more: `steward verify promotion` lists all.\n", more)
		}
	}
	b.WriteString("\n" + f.approvers(s))
	return b.String()
}

// shown are the findings, worst first.
func (f facts) shown() []finding.Finding {
	return slices.SortedStableFunc(slices.Values(f.found), func(a, b finding.Finding) int { return cmp.Compare(b.Severity, a.Severity) })
}

func tagCell(tags []string) string {
	if len(tags) == 0 {
		return "none"
	}
	var cells []string
	for _, t := range tags[:min(len(tags), shownTags)] {
		cells = append(cells, markdown.Cell(t))
	}
	if more := len(tags) - shownTags; more > 0 {
		cells = append(cells, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(cells, " ")
}

// approvers says whose approval a merge takes, by OWNERS at the base. Projects with the same people are one line.
func (f facts) approvers(s *thread.Snapshot) string {
	people := map[string][]string{}
	for _, file := range f.changed {
		if _, is := projectOf(f.tree, file); !is {
			continue
		}
		who := "nobody: its OWNERS have to be mended"
		if leaf, err := s.Owners.LeafApprovers(file); err == nil && len(leaf) > 0 {
			who = markdown.Logins(slices.Sorted(maps.Keys(leaf)), shownPeople)
		}
		if folder := markdown.Code(path.Dir(file)); !slices.Contains(people[who], folder) {
			people[who] = append(people[who], folder)
		}
	}
	var lines []string
	for _, who := range slices.Sorted(maps.Keys(people)) {
		lines = append(lines, fmt.Sprintf("%s: %s", strings.Join(people[who], ", "), who))
	}
	return "May approve " + strings.Join(lines, "; ") + "."
}
