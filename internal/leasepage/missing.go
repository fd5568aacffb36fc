// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/web"
)

// The bounds of looking for near names.
const (
	maxWord  = 64
	maxNames = 20_000
	maxNear  = 5
)

// MissingType writes the page for a type that is not there, with near names (PG-5).
func MissingType(out io.Writer, p *Pool, name string) error {
	names := make([]string, len(p.Types))
	for i, t := range p.Types {
		names[i] = t.Name
	}
	links := linksTo(near(name, names), typePath)
	if p.Resource(name) != nil {
		links = append([]web.Link{{Text: name + " (a resource)", Href: resourcePath(name)}}, links...)
	}
	return p.missing(out, "type", name, links)
}

// MissingResource writes the page for a resource that is not there.
func MissingResource(out io.Writer, p *Pool, name string) error {
	var names []string
	for _, t := range p.Types {
		for _, r := range t.Resources[:min(len(t.Resources), maxNames-len(names))] {
			names = append(names, r.Name)
		}
	}
	links := linksTo(near(name, names), resourcePath)
	if p.Type(name) != nil {
		links = append([]web.Link{{Text: name + " (a type)", Href: typePath(name)}}, links...)
	}
	return p.missing(out, "resource", name, links)
}

// MissingPage writes the page for a path that means nothing.
func MissingPage(out io.Writer, p *Pool, path string) error { return p.missing(out, "page", path, nil) }

func (p *Pool) missing(out io.Writer, what, name string, links []web.Link) error {
	w := &writer{p.Now}
	for i := range links {
		links[i].Text = w.name(links[i].Text)
	}
	return w.page(out, "There is no such "+what, []web.Fact{{Name: "All types", Value: "Pool", Href: Root}}, nil,
		w.block("missing", struct {
			What, Name, Root string
			Links            []web.Link
		}{what, w.name(name), Root, links}))
}

func linksTo(names []string, path func(string) string) []web.Link {
	links := make([]web.Link, len(names))
	for i, name := range names {
		links[i] = web.Link{Text: name, Href: path(name)}
	}
	return links
}

// near returns what somebody probably meant: names that hold the word, and names that differ in few letters.
func near(word string, names []string) []string {
	if word == "" || len(word) > maxWord {
		return nil
	}
	type candidate struct {
		name     string
		distance int
	}
	limit := min(3, len(word)/3+1)
	var all []candidate
	for _, name := range names {
		switch apart := len(name) - len(word); {
		case len(word) >= 3 && strings.Contains(name, strings.ToLower(word)):
			all = append(all, candidate{name, 0})
		case apart > limit || -apart > limit:
		default:
			if d := spell.Distance(strings.ToLower(word), name); d <= limit {
				all = append(all, candidate{name, d})
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	var best []string
	for _, c := range all[:min(len(all), maxNear)] {
		best = append(best, c.name)
	}
	return best
}
