// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

// choice is what is wanted of a project.
type choice struct {
	named []string                              // these images; none: those that image takes
	image func(name string, declared bool) bool // nil: those that are declared
	all   bool                                  // look for images that are not declared
	tag   func(string) bool
}

// What one run takes from one project.
const (
	maxSources = 1000 // repositories that are looked for
	maxAdded   = 200  // tags; the rest is found again when these are declared
)

// proposal is what one project's list lacks.
type proposal struct {
	manifest  *manifest.Manifest
	additions []manifest.Addition // by image, then in the order of their first tags
	moved     []movedTag
	more      int             // tags beyond maxAdded
	met       map[string]bool // wanted tags that staging has
}

// movedTag is one that was promoted and stands for something else in staging now.
type movedTag struct{ name, declared, observed string }

// adding looks into the sources of projects.
type adding struct {
	*reader
	declared
	choose func(project string) (*choice, error)
}

// all returns a proposal for each project that something is wanted of, in the order of the set.
func (a *adding) all(ctx context.Context) ([]*proposal, error) {
	type work struct {
		*proposal
		choice *choice
		err    error
	}
	var projects []*work
	for _, m := range a.set.Manifests {
		if a.scope != nil && a.scope.Projects != nil && !a.scope.Projects[m.Name] {
			continue
		}
		c, err := a.choose(m.Name)
		if err != nil {
			return nil, err
		}
		if c == nil || m.Source == "" || !m.Whole {
			continue
		}
		projects = append(projects, &work{proposal: &proposal{manifest: m, met: map[string]bool{}}, choice: c})
	}
	err := each(ctx, a.reader, "staging", projects, func(w *work) error {
		asked, err := a.ask(manifest.HostOf(w.manifest.Source), func() error { return a.look(ctx, w.proposal, w.choice) })
		if w.err = err; !asked {
			w.err = errSkipped
		}
		return nil
	})
	var all []*proposal
	for _, w := range projects {
		if w.err != nil {
			a.gap(w.manifest.Source, w.err)
			continue
		}
		all = append(all, w.proposal)
	}
	return all, err
}

// look lists the wanted repositories of a project.
func (a *adding) look(ctx context.Context, p *proposal, c *choice) error {
	images, err := a.images(ctx, p.manifest, c)
	if err != nil {
		return err
	}
	for _, image := range images {
		l, err := a.registry.List(ctx, p.manifest.Source+"/"+image)
		switch {
		case errors.Is(err, manifest.ErrNoRepository):
			continue
		case err != nil:
			return err
		}
		p.take(image, l, c.tag)
	}
	return nil
}

// images names those of a project that are looked at, sorted.
func (a *adding) images(ctx context.Context, m *manifest.Manifest, c *choice) ([]string, error) {
	if len(c.named) > 0 {
		return slices.Sorted(slices.Values(c.named)), nil
	}
	wanted := map[string]bool{}
	for _, e := range m.Entries {
		if c.image == nil || c.image(e.Name, true) {
			wanted[e.Name] = true
		}
	}
	if c.all {
		found, err := a.discover(ctx, m.Source)
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			if manifest.IsPath(name) && c.image(name, wanted[name]) {
				wanted[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(wanted)), nil
}

// discover returns the repositories below a registry, relative to it: from lists that name what is below, or a catalog.
func (a *adding) discover(ctx context.Context, source string) ([]string, error) {
	var found []string
	for queue := []string{""}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		l, err := a.registry.List(ctx, strings.TrimSuffix(source+"/"+at, "/"))
		switch {
		case at == "" && (errors.Is(err, manifest.ErrNoRepository) || err == nil && !l.Full):
			found, err := a.registry.Catalog(ctx, source)
			if errors.Is(err, manifest.ErrNotOffered) {
				err = audit.Fail(finding.Malformed, "the registry does not tell which images it has: name them with --image, or leave images out of the rule")
			}
			return found, err
		case errors.Is(err, manifest.ErrNoRepository):
			continue // it went meanwhile
		case err != nil:
			return nil, err
		}
		for _, child := range l.Children {
			name := strings.TrimPrefix(at+"/"+child, "/")
			found, queue = append(found, name), append(queue, name)
		}
		if len(found) > maxSources {
			return nil, audit.Fail(finding.TooLarge, "it has more than %d repositories", maxSources)
		}
	}
	return found, nil
}

// take adds what a list has and the manifest has not.
func (p *proposal) take(image string, l manifest.Listing, wanted func(string) bool) {
	declared := map[string]string{}
	for _, e := range p.manifest.Entries {
		if e.Name == image {
			declared = tagsOf(e)
		}
	}
	tags := map[string][]string{} // by digest
	for _, tag := range slices.Sorted(maps.Keys(l.Tags)) {
		digest := l.Tags[tag]
		was, known := declared[tag]
		if tag == latest || manifest.IsAttachedTag(tag) || !wanted(tag) || !manifest.IsTag(tag) || !manifest.IsDigest(digest) {
			continue
		}
		p.met[tag] = true
		switch {
		case known && was != digest:
			p.moved = append(p.moved, movedTag{image + ":" + tag, was, digest})
		case known:
		case p.size() >= maxAdded:
			p.more++
		default:
			if tags[digest] == nil {
				p.additions = append(p.additions, manifest.Addition{Image: image, Digest: digest})
			}
			tags[digest] = append(tags[digest], tag)
			i := slices.IndexFunc(p.additions, func(a manifest.Addition) bool { return a.Image == image && a.Digest == digest })
			p.additions[i].Tags = tags[digest]
		}
	}
}

func tagsOf(e *manifest.Entry) map[string]string {
	all := map[string]string{}
	for _, d := range slices.Concat(e.Digests, e.Lost) {
		for _, t := range d.Tags {
			all[t.Name] = d.Digest
		}
	}
	return all
}

// size counts the tags that are added.
func (p *proposal) size() int {
	n := 0
	for _, a := range p.additions {
		n += len(a.Tags)
	}
	return n
}

// edit returns the list with the additions in it.
func (p *proposal) edit(files fs.FS) ([]byte, error) {
	raw, err := fs.ReadFile(files, p.manifest.Images)
	if err != nil {
		return nil, err
	}
	return manifest.Add(raw, p.additions)
}

// show lists the additions, and what is left alone.
func (p *proposal) show(w io.Writer) {
	if len(p.additions)+len(p.moved) > 0 {
		fmt.Fprintln(w, p.manifest.Images)
	}
	for _, a := range p.additions {
		fmt.Fprintf(w, "  + %s:%s %s\n", a.Image, strings.Join(a.Tags, ","), a.Digest)
	}
	if p.more > 0 {
		fmt.Fprintf(w, "    and %s more, when these are declared\n", report.Number(p.more, "tag"))
	}
	for _, m := range p.moved {
		fmt.Fprintf(w, "    %s is declared for %s and stands for %s in staging: left alone\n", m.name, m.declared, m.observed)
	}
}

// prefix begins the branches of a project's pull requests.
func (p *proposal) prefix() string { return thread.BranchPrefix + "promote/add-" + p.slug() + "-" }

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slug is the project's name as a branch takes it; a digest tells apart what it makes equal.
func (p *proposal) slug() string {
	sum := sha256.Sum256([]byte(p.manifest.Name))
	name := strings.Trim(notSlug.ReplaceAllString(strings.ToLower(p.manifest.Name), "-"), "-")
	return name[:min(len(name), 50)] + "-" + hex.EncodeToString(sum[:3])
}

// pull is the pull request that declares the additions: one for the same additions, whatever became of it.
func (p *proposal) pull(base, commit string, content []byte) thread.Pull {
	key := sha256.New()
	var text strings.Builder
	fmt.Fprintf(&text, "New in %s, and not declared yet:\n\n| image | tags | digest |\n|---|---|---|\n", markdown.Code(p.manifest.Source))
	for _, a := range p.additions {
		fmt.Fprintf(key, "%s@%s %v\n", a.Image, a.Digest, a.Tags)
		fmt.Fprintf(&text, "| %s | %s | %s |\n", markdown.Cell(a.Image), markdown.Cell(strings.Join(a.Tags, " ")), markdown.Cell(a.Digest))
	}
	if p.more > 0 {
		fmt.Fprintf(&text, "\n%s more will be proposed when these are declared.\n", report.Number(p.more, "tag"))
	}
	for _, m := range p.moved {
		fmt.Fprintf(&text, "\n%s is declared for %s and stands for %s in staging. It is left alone.\n", markdown.Code(m.name), markdown.Code(m.declared), markdown.Code(m.observed))
	}
	text.WriteString("\nMerging promotes them. Nothing but these lines changes in the list. To have none of them proposed again, close this; " +
		"which tags are proposed stands in `promotion.add` of steward.yaml.\n")
	return thread.Pull{
		Branch: p.prefix() + hex.EncodeToString(key.Sum(nil)[:6]), Base: base, Commit: commit,
		Title: fmt.Sprintf("Promote %s of %s", report.Number(p.size(), "new tag"), p.manifest.Name), Text: text.String(),
		Files: []thread.Content{{Path: p.manifest.Images, Data: string(content)}},
	}
}
