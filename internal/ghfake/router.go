// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"net/http"
	"net/url"
	"strings"
)

// router finds the route of a request. http.ServeMux cannot: GitHub has both
// issues/{number}/events and issues/comments/{id}, which it calls a conflict.
// Here a literal segment beats {name}, and {name} beats {name...}, left to right.
type router struct {
	literal map[string]*router
	any     *router
	anyName string
	rest    *router // takes all remaining segments
	restAs  string
	serve   http.HandlerFunc
}

// add registers "/a/{b}/{c...}" below method.
func (n *router) add(method, pattern string, serve http.HandlerFunc) {
	for seg := range strings.SplitSeq(method+pattern, "/") {
		n = n.child(seg)
	}
	n.serve = serve
}

// child finds or makes the next node. A node has one wildcard, whose name the
// last route wins; the tables use the same names at the same places.
func (n *router) child(seg string) *router {
	name, wild := strings.CutPrefix(seg, "{")
	name = strings.TrimSuffix(name, "}")
	name, rest := strings.CutSuffix(name, "...")
	at := &n.any
	switch {
	case !wild:
		if n.literal == nil {
			n.literal = map[string]*router{}
		}
		if n.literal[seg] == nil {
			n.literal[seg] = &router{}
		}
		return n.literal[seg]
	case rest:
		at, n.restAs = &n.rest, name
	default:
		n.anyName = name
	}
	if *at == nil {
		*at = &router{}
	}
	return *at
}

// find returns the route's handler and sets the request's path values, or nil.
func (n *router) find(r *http.Request) http.HandlerFunc {
	segs := strings.Split(r.Method+strings.TrimSuffix(r.URL.EscapedPath(), "/"), "/")
	for i, seg := range segs {
		if plain, err := url.PathUnescape(seg); err == nil {
			segs[i] = plain
		}
	}
	return n.walk(r, segs)
}

func (n *router) walk(r *http.Request, segs []string) http.HandlerFunc {
	if len(segs) == 0 {
		return n.serve
	}
	if next := n.literal[segs[0]]; next != nil {
		if h := next.walk(r, segs[1:]); h != nil {
			return h
		}
	}
	if n.any != nil {
		if h := n.any.walk(r, segs[1:]); h != nil {
			r.SetPathValue(n.anyName, segs[0])
			return h
		}
	}
	if n.rest != nil {
		r.SetPathValue(n.restAs, strings.Join(segs, "/"))
		return n.rest.serve
	}
	return nil
}
