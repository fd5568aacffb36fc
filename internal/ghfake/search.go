// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

func searchRoutes() []route {
	return []route{{"GET", "/search/issues", none, searchIssues}}
}

// term is one part of a search: key:value, or a word if key is empty.
type term struct {
	key, value string
	not        bool
}

// terms splits a query; quotes keep spaces together.
func terms(q string) []term {
	var out []term
	for _, field := range fields(q) {
		t := term{}
		field, t.not = strings.CutPrefix(field, "-")
		key, value, ok := strings.Cut(field, ":")
		if !ok || strings.HasPrefix(field, `"`) {
			key, value = "", field
		}
		t.key, t.value = strings.ToLower(key), strings.ReplaceAll(value, `"`, "")
		out = append(out, t)
	}
	return out
}

// fields is strings.Fields with double quotes.
func fields(q string) []string {
	quoted := false
	return strings.FieldsFunc(q, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
}

// hit is an issue with its repository, as a search sees it.
type hit struct {
	s *Server
	r *repo
	i *issue
}

// qualifiers are the search words the fake knows; others are refused by name so
// that a test never passes on a filter that was not applied.
func qualifiers() map[string]func(hit, string) bool {
	same := strings.EqualFold
	pullOnly := func(f func(*pull, string) bool) func(hit, string) bool {
		return func(h hit, v string) bool { return h.i.Pull != nil && f(h.i.Pull, v) }
	}
	return map[string]func(hit, string) bool{
		"repo":  func(h hit, v string) bool { return same(v, h.r.full()) },
		"org":   func(h hit, v string) bool { return same(v, h.r.Owner) },
		"user":  func(h hit, v string) bool { return same(v, h.r.Owner) },
		"is":    hit.is,
		"type":  hit.is,
		"state": hit.is,
		"label": func(h hit, v string) bool { return h.i.label(v) >= 0 },
		"author": func(h hit, v string) bool {
			return same(v, h.i.Author) || same("app/"+strings.TrimSuffix(h.i.Author, "[bot]"), v)
		},
		"assignee": func(h hit, v string) bool { return h.i.assigned(v) >= 0 },
		"head":     pullOnly(func(p *pull, v string) bool { return strings.HasPrefix(p.HeadRef, v) }),
		"base":     pullOnly(func(p *pull, v string) bool { return p.BaseRef == v }),
		"draft":    pullOnly(func(p *pull, v string) bool { return p.Draft == (v == "true") }),
		"archived": func(_ hit, v string) bool { return v == "false" },
		"no": func(h hit, v string) bool {
			return v == "label" && len(h.i.Labels) == 0 || v == "assignee" && len(h.i.Assignees) == 0
		},
		"updated": func(h hit, v string) bool { return when(h.i.Updated, v) },
		"created": func(h hit, v string) bool { return when(h.i.Created, v) },
	}
}

func (h hit) is(v string) bool {
	switch strings.ToLower(v) {
	case "pr", "pull-request":
		return h.i.Pull != nil
	case "issue":
		return h.i.Pull == nil
	case "open", "closed":
		return h.i.State == strings.ToLower(v)
	case "merged":
		return h.i.Pull != nil && h.i.Pull.Merged
	case "unmerged":
		return h.i.Pull != nil && !h.i.Pull.Merged
	case "draft":
		return h.i.Pull != nil && h.i.Pull.Draft
	case "public":
		return !h.r.Private
	}
	return false
}

// when compares with >=, <=, > or < and a date or RFC 3339 time.
func when(t time.Time, v string) bool {
	op := v[:len(v)-len(strings.TrimLeft(v, "<>="))]
	at, err := time.Parse(time.RFC3339, v[len(op):])
	if err != nil {
		at, err = time.Parse(time.DateOnly, v[len(op):])
	}
	switch n := t.Compare(at); {
	case err != nil:
		return false
	case op == ">=":
		return n >= 0
	case op == "<=":
		return n <= 0
	case op == ">":
		return n > 0
	case op == "<":
		return n < 0
	}
	return t.Format(time.DateOnly) == at.Format(time.DateOnly)
}

type searchView struct {
	Total      int         `json:"total_count"`
	Incomplete bool        `json:"incomplete_results"`
	Items      []issueView `json:"items"`
}

// searchLimit is how many results GitHub's search gives over all pages.
const searchLimit = 1000

func searchIssues(c *call) (any, error) {
	query := terms(c.query("q"))
	if len(query) == 0 {
		return nil, invalid("Search", "q", "missing")
	}
	keep, err := matcher(query)
	if err != nil {
		return nil, err
	}
	var found []hit
	for _, r := range sorted(c.srv.st.repos) {
		if c.srv.st.levelOf(c.login, r) == none {
			continue
		}
		for _, i := range sorted(r.Issues) {
			if h := (hit{c.srv, r, i}); keep(h) {
				found = append(found, h)
			}
		}
	}
	c.orderHits(found, query)
	shown := found[:min(len(found), searchLimit)]
	return searchView{len(found), false, list(c, shown, func(h hit) issueView { return c.srv.issueView(h.r, h.i) })}, nil
}

// matcher joins all terms with and; several repo:, org: and user: are joined
// with or. Words look in title and body unless in: says where.
func matcher(query []term) (func(hit) bool, error) {
	known, where := qualifiers(), ""
	var places, rest []term
	for _, t := range query {
		switch {
		case t.key == "in":
			where += t.value
		case t.key == "sort":
		case t.key != "" && known[t.key] == nil:
			return nil, fail(http.StatusUnprocessableEntity, "ghfake does not know the search qualifier "+t.key+":")
		case !t.not && (t.key == "repo" || t.key == "org" || t.key == "user"):
			places = append(places, t)
		default:
			rest = append(rest, t)
		}
	}
	return func(h hit) bool {
		holds := func(t term) bool {
			if t.key == "" {
				return h.says(t.value, where) != t.not
			}
			return known[t.key](h, t.value) != t.not
		}
		fails := func(t term) bool { return !holds(t) }
		return (len(places) == 0 || slices.ContainsFunc(places, holds)) && !slices.ContainsFunc(rest, fails)
	}, nil
}

func (h hit) says(word, where string) bool {
	text := ""
	if where == "" || strings.Contains(where, "title") {
		text += h.i.Title + "\n"
	}
	if where == "" || strings.Contains(where, "body") {
		text += h.i.Body + "\n"
	}
	if strings.Contains(where, "comments") {
		for _, x := range h.i.Comments {
			text += x.Body + "\n"
		}
	}
	return strings.Contains(strings.ToLower(text), strings.ToLower(word))
}

// orderHits sorts by ?sort and ?order, or by sort:updated-asc in the query.
func (c *call) orderHits(found []hit, query []term) {
	by, order := c.query("sort"), c.query("order")
	for _, t := range query {
		if t.key == "sort" {
			by, order, _ = strings.Cut(t.value, "-")
		}
	}
	key := func(h hit) int64 {
		switch by {
		case "updated":
			return h.i.Updated.Unix()
		case "comments":
			return int64(len(h.i.Comments))
		}
		return h.i.Created.Unix()
	}
	slices.SortStableFunc(found, func(a, b hit) int {
		n := cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.i.ID, b.i.ID))
		if order == "asc" {
			return n
		}
		return -n
	})
}
