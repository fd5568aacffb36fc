// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

// What a hostile answer can put into a report is bounded.
const (
	maxShown    = 200 // bytes of a value
	maxElements = 200 // findings about one set of one bucket
	maxNew      = 100 // new fields
)

// Diff compares what is declared with what is observed of the same projects. A project
// that observed does not have was not read, and nothing is said of it; the buckets of
// one that it has are all there are.
func (p *Parser) Diff(declared, observed *Tree) audit.Comparison {
	d := differ{table: p.table, declared: declared, observed: observed, fresh: map[string]*newField{}}
	d.out.Found = slices.Clone(declared.Problems)
	for _, id := range observed.ProjectIDs() {
		d.project(id)
	}
	d.newFields()
	finding.Sort(d.out.Found)
	finding.Sort(d.out.Absent)
	return d.out
}

// Diff is Parser.Diff.
func Diff(declared, observed *Tree) audit.Comparison { return NewParser().Diff(declared, observed) }

// Coverage is how much of what declared speaks of a second export holds.
func Coverage(declared, observed *Tree) finding.Coverage {
	c := finding.Coverage{Part: "gcs", Units: len(declared.Projects)}
	bad := map[string]bool{}
	for _, f := range observed.Problems {
		c.Gaps = append(c.Gaps, finding.Gap{Scope: f.Object + " " + f.Field, Reason: finding.Malformed, Detail: f.Position() + " " + f.Message})
		bad[f.Object] = true
	}
	for _, id := range declared.ProjectIDs() {
		project, read := observed.Projects[id]
		if !read {
			c.Gaps = append(c.Gaps, finding.Gap{Scope: "projects/" + id, Reason: finding.NotFound, Detail: "the observed export does not have the project"})
			continue
		}
		c.Objects += len(project.Buckets)
		whole := true
		for name := range project.Buckets {
			whole = whole && !bad[Object(name)]
		}
		if whole {
			c.Read++
		}
	}
	return c
}

type differ struct {
	table              *table
	declared, observed *Tree
	fresh              map[string]*newField
	out                audit.Comparison
}

// newField is what the export does not hold, over all buckets.
type newField struct {
	buckets        int
	example, value string // of the first
	last           string // bucket that was counted
}

func (d *differ) project(id string) {
	declared := map[string]*Bucket{}
	if p := d.declared.Projects[id]; p != nil {
		declared = p.Buckets
	}
	seen := d.observed.Projects[id].Buckets
	d.out.Declared += len(declared)
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		d.secrets(declared[name], seen[name])
		if seen[name] == nil {
			d.missing(declared[name])
			continue
		}
		d.bucket(declared[name], seen[name])
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if declared[name] == nil {
			d.secrets(nil, seen[name])
			d.unmanaged(seen[name])
		}
	}
}

func (d *differ) missing(b *Bucket) {
	message := "the bucket is declared and does not exist"
	if at := d.elsewhere(b); at != "" {
		message += "; one of its name is in project " + at
	}
	d.out.Absent = append(d.out.Absent, finding.Finding{
		Rule: ruleMissing, Severity: finding.Critical, Object: Object(b.Name), File: b.File, Line: 1,
		Message: message, Declared: "a bucket in " + b.Project, Observed: "none",
		Fix: "find out who deleted it, and restore it; or remove its folder from the export",
	})
}

// elsewhere is another project that has a bucket of the same name now.
func (d *differ) elsewhere(b *Bucket) string {
	for _, id := range d.observed.ProjectIDs() {
		if id != b.Project && d.observed.Projects[id].Buckets[b.Name] != nil {
			return id
		}
	}
	return ""
}

func (d *differ) unmanaged(b *Bucket) {
	f := finding.Finding{
		Rule: ruleUnmanaged, Severity: finding.Warning, Object: Object(b.Name), File: b.File,
		Message:  "the bucket exists and nothing declares it",
		Declared: "none", Observed: "a bucket in " + b.Project,
		Fix: "delete it, or declare it by exporting it into " + strings.TrimSuffix(b.File, "/metadata.txt"),
	}
	if d.declared.production(b.Project) {
		f.Severity = finding.Error
	}
	if who, write := b.publicGrants(); len(who) > 0 {
		f.Severity = finding.Error
		f.Observed = "a public bucket in " + b.Project
		f.Message += "; everybody has " + shown(strings.Join(who, ", "))
		if write {
			f.Severity, f.Visibility = finding.Critical, finding.Private
		}
	}
	d.out.Found = append(d.out.Found, guarded(f))
}

// publicGrants lists what everybody may do, and tells whether some of it is writing.
func (b *Bucket) publicGrants() (who []string, write bool) {
	for path, field := range b.Fields {
		set, element, _ := strings.Cut(path, "/")
		if role, member := splitGrant(element); public(member) && set != "labels" {
			who = append(who, cmp.Or(role, set+" "+field.Value))
			write = write || (change{element: element, observed: field.Value}).writer()
		}
	}
	slices.Sort(who)
	return slices.Compact(who), write
}

// secrets reports the credentials that stand in a bucket, on either side.
func (d *differ) secrets(sides ...*Bucket) {
	type place struct{ field, marks string }
	at := map[string]*finding.Finding{}
	said := map[place]bool{}
	for _, b := range sides {
		if b == nil {
			continue
		}
		for _, l := range b.Leaks {
			what := fmt.Sprintf("a %s (%s)", l.Kind, l.Mark)
			if said[place{l.Field, what}] {
				continue
			}
			said[place{l.Field, what}] = true
			if f := at[l.Field]; f != nil {
				f.Message += " and " + what
				continue
			}
			at[l.Field] = &finding.Finding{
				Rule: ruleSecret, Severity: finding.Critical, Visibility: finding.Private, Object: Object(b.Name),
				Field: shown(l.Field), File: cmp.Or(l.File, b.File), Line: l.Line,
				Message: fmt.Sprintf("%s holds %s", shown(l.Field), what),
				Fix:     "revoke it where it was issued, then take it out of the bucket and of the export's history",
			}
		}
	}
	for _, field := range slices.Sorted(maps.Keys(at)) {
		f := *at[field]
		f.Message = clip(f.Message)
		d.out.Found = append(d.out.Found, f)
	}
}

// bucket compares all that both sides tell.
func (d *differ) bucket(declared, seen *Bucket) {
	var changed []string
	for path, was := range declared.Fields {
		if is, told := seen.Fields[path]; told && is.Value == was.Value {
			continue
		}
		changed = append(changed, path)
	}
	for path := range seen.Fields {
		if _, told := declared.Fields[path]; !told {
			changed = append(changed, path)
		}
	}
	slices.Sort(changed)
	perSet := map[string]int{}
	for _, path := range changed {
		r, element := d.table.rowOf(path)
		f, differs := d.field(r, path, element, declared, seen)
		if !differs {
			continue
		}
		if perSet[r.path]++; perSet[r.path] <= maxElements {
			d.out.Found = append(d.out.Found, f)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(perSet)) {
		if n := perSet[set]; n > maxElements {
			d.out.Found = append(d.out.Found, finding.Finding{
				Rule: d.table.byPath[set].rule, Severity: finding.Critical, Object: Object(declared.Name), Field: set, File: declared.File,
				Message: fmt.Sprintf("%d more elements of %s differ; only %d are listed", n-maxElements, set, maxElements),
			})
		}
	}
	d.strange(declared, seen)
}

// field compares one field that is not the same text on both sides.
func (d *differ) field(r *row, path, element string, declared, seen *Bucket) (finding.Finding, bool) {
	was, said := declared.Fields[path]
	is, told := seen.Fields[path]
	set, setSaid := declared.Fields[r.path]
	_, setTold := seen.Fields[r.path]
	switch {
	case !setTold:
		return finding.Finding{}, false // unread
	case !setSaid:
		if !d.undeclared(r, path, element, declared, seen) {
			return finding.Finding{}, false
		}
		set.File = declared.File
	case r.same != nil && r.same(was.Value, is.Value):
		return finding.Finding{}, false
	}
	place := was
	if !said {
		place = Field{File: set.File, Line: set.Line}
	}
	c := change{
		declared: was.Value, observed: is.Value, element: element,
		production: d.declared.production(declared.Project), domains: d.declared.domains, numbers: d.declared.numbers,
	}
	f := finding.Finding{
		Rule: r.rule, Severity: r.severity(c), Object: Object(declared.Name), Field: bounded(path),
		File: place.File, Line: place.Line, Declared: shown(was.Value), Observed: shown(is.Value),
		Message: message(path, was.Value, is.Value, told), Fix: fix(r, element, declared.Name, was.Value, is.Value),
	}
	if !setSaid && r.path == "iam" { // what is not known is no difference, but everybody's access is worth a look
		f.Severity, f.Declared, f.Fix = finding.Error, "", "export the bucket again, to say whether this is meant"
		f.Message = fmt.Sprintf("%s is %s, and what the files declare of access is not known", shown(path), shown(is.Value))
	}
	if r.rule == ruleAccess && c.foreignWriter() {
		f.Visibility = finding.Private
	}
	return guarded(f), true
}

// guarded keeps a finding from everybody if it tells where a credential stands.
func guarded(f finding.Finding) finding.Finding {
	if strings.Contains(f.Field+f.Message+f.Declared+f.Observed, secret.Replaced) {
		f.Visibility = finding.Private
	}
	return f
}

// undeclared is about a field that only the observed side tells. What everybody may do
// is reported all the same, where the declared side has no list because it has a policy.
// Everything else is counted as new, unless it is as usual.
func (d *differ) undeclared(r *row, path, element string, declared, seen *Bucket) bool {
	value := seen.Fields[path].Value
	switch {
	case r.elements != nil && declared.Fields["uniformAccess"].Value == "true" && r.path != "iam":
		return public(element) && r.path != "labels"
	case r.path == "iam":
		return public((change{element: element}).member())
	case r.rule == ruleRecreated || r.partOf != "" || value == "" || value == r.usual:
		return false
	}
	d.count(r.path, seen, cmp.Or(element, value))
	return false
}

func (d *differ) count(field string, seen *Bucket, value string) {
	n := d.fresh[field]
	if n == nil {
		n = &newField{example: Object(seen.Name), value: value}
		d.fresh[field] = n
	}
	if n.last != seen.Name {
		n.buckets++
		n.last = seen.Name
	}
}

// strange compares what the table does not know: two exports of one tool may both have
// it. What only the observed side has is new.
func (d *differ) strange(declared, seen *Bucket) {
	for _, path := range slices.Sorted(maps.Keys(seen.Unknown)) {
		is := seen.Unknown[path]
		was, said := declared.Unknown[path]
		switch {
		case !said:
			d.count(path, seen, is.Value)
		case was.Value != is.Value:
			d.out.Found = append(d.out.Found, guarded(finding.Finding{
				Rule: ruleOther, Severity: finding.Warning, Object: Object(declared.Name), Field: bounded(path),
				File: was.File, Line: was.Line, Declared: shown(was.Value), Observed: shown(is.Value),
				Message: message(path, was.Value, is.Value, true),
			}))
		}
	}
}

// newFields makes one finding of each field that is new, however many buckets have it.
func (d *differ) newFields() {
	names := slices.Sorted(maps.Keys(d.fresh))
	if len(names) > maxNew {
		d.out.Found = append(d.out.Found, finding.Finding{
			Rule: ruleNewField, Severity: finding.Warning, Object: "buckets", File: d.declared.dir,
			Message: fmt.Sprintf("%d more new fields are not listed", len(names)-maxNew),
		})
		names = names[:maxNew]
	}
	for _, name := range names {
		n := d.fresh[name]
		d.out.Found = append(d.out.Found, guarded(finding.Finding{
			Rule: ruleNewField, Severity: finding.Info, Object: "buckets", Field: bounded(name), File: d.declared.dir,
			Message: fmt.Sprintf("new field %s on %d buckets, which the export does not hold; for example %s: %s",
				shown(name), n.buckets, n.example, shown(n.value)),
		}))
	}
}

func message(path, was, is string, told bool) string {
	set, element, inSet := strings.Cut(path, "/")
	role, member := splitGrant(element)
	switch {
	case set == "iam" && was == "":
		return clip(fmt.Sprintf("%s has %s, and nothing declares it", shown(member), shown(role)))
	case set == "iam" && (is == "" || !told):
		return clip(fmt.Sprintf("%s does not have %s any more", shown(member), shown(role)))
	case set == "iam":
		return clip(fmt.Sprintf("%s has %s under another condition than declared", shown(member), shown(role)))
	case inSet && was == "":
		return clip(fmt.Sprintf("%s has %s, and nothing declares it", set, shown(element)))
	case inSet && is == "":
		return clip(fmt.Sprintf("%s does not have %s any more", set, shown(element)))
	}
	return clip(fmt.Sprintf("%s is %s, declared is %s", shown(path), shown(is), shown(was)))
}

// fix is the command that brings the declared state back, where one does and nothing in
// it could be read by a shell as anything but a word.
func fix(r *row, element, bucket, was, is string) string {
	if role, member := splitGrant(element); r.path == "iam" && plain(role) && plain(member) && plain(bucket) {
		verb := ""
		switch {
		case was == "" && is == unconditional:
			verb = "remove"
		case is == "" && was == unconditional:
			verb = "add"
		}
		if verb != "" {
			return fmt.Sprintf("gcloud storage buckets %s-iam-policy-binding gs://%s --member=%s --role=%s", verb, bucket, member, role)
		}
	}
	return "bring the declared state back, or declare what is there by exporting the bucket"
}

// plain tells text that a shell takes as it is.
func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("@:/._-", c)
	})
}

// shown is a value as people read it.
func shown(value string) string {
	if value == "" {
		return "none"
	}
	return bounded(strings.ReplaceAll(value, listSeparator, "; "))
}

// bounded cuts what is long, and keeps long values apart by their digest.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= maxShown {
		return s
	}
	return clipTo(s, maxShown) + fmt.Sprintf("… (%d bytes, %s)", len(s), digest(s))
}

// clip bounds a message, which may hold several values.
func clip(s string) string {
	if len(s) <= 4*maxShown {
		return s
	}
	return clipTo(s, 4*maxShown) + "…"
}

// clipTo cuts at a rune.
func clipTo(s string, n int) string {
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
