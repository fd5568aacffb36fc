// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// reply is what a handler returns when the answer is not 200 with JSON.
type reply struct {
	code int
	body any    // sent as JSON unless raw is set
	raw  []byte // sent as it is
	kind string // content type of raw
}

func created(body any) reply { return reply{code: http.StatusCreated, body: body} }

func noContent() reply { return reply{code: http.StatusNoContent} }

// answer is a reply ready to send.
type answer struct {
	code int
	kind string
	body []byte
}

func encode(v any, err error) answer {
	if err != nil {
		e := asError(err)
		v = reply{code: e.code, body: e}
	}
	r, ok := v.(reply)
	if !ok {
		r = reply{code: http.StatusOK, body: v}
	}
	switch {
	case r.code == http.StatusNoContent:
		return answer{code: r.code}
	case r.kind != "":
		return answer{r.code, r.kind, r.raw}
	}
	return answer{r.code, "application/json; charset=utf-8", marshal(r.body)}
}

// marshal leaves <, > and & alone, as GitHub's bodies do.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Appendf(nil, `{"message":%q}`, "ghfake: "+err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (a answer) send(w http.ResponseWriter, header http.Header) {
	for k, v := range header {
		w.Header()[k] = v
	}
	if a.kind != "" {
		w.Header().Set("Content-Type", a.kind)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body) // a client that went away is its own problem
}

// conditional gives successful reads an ETag and turns a match into 304.
func (s *Server) conditional(c *call, a *answer) {
	if c.req.Method != http.MethodGet || a.code != http.StatusOK {
		return
	}
	h := fnv.New128a()
	h.Write(a.body)
	h.Write([]byte(a.kind))
	h.Write([]byte(c.header.Get("Link")))
	tag := fmt.Sprintf(`W/"%x"`, h.Sum(nil))
	c.header.Set("ETag", tag)
	c.header.Set("Cache-Control", "private, max-age=60, s-maxage=60")
	c.header.Set("Vary", "Accept, Authorization, Cookie, X-GitHub-OTP")
	for want := range strings.SplitSeq(c.req.Header.Get("If-None-Match"), ",") {
		if want = strings.TrimSpace(want); want == tag || "W/"+want == tag {
			*a = answer{code: http.StatusNotModified}
			return
		}
	}
}

// limit is one login's hour.
type limit struct {
	Limit int   `json:"limit"`
	Used  int   `json:"used"`
	Left  int   `json:"remaining"`
	Reset int64 `json:"reset"`
}

// budget finds a login's limit of a resource and renews it each hour.
func (s *Server) budget(login, resource string) *limit {
	key := resource + " " + fold(login)
	now := s.clock.now()
	l := s.limits[key]
	if l == nil || now.Unix() >= l.Reset {
		l = &limit{Limit: s.opts.RateLimit, Left: s.opts.RateLimit, Reset: now.Add(time.Hour).Unix()}
		s.limits[key] = l
	}
	return l
}

func (c *call) resource() string {
	switch {
	case c.req.URL.Path == "/graphql":
		return "graphql"
	case strings.HasPrefix(c.req.URL.Path, "/search/"):
		return "search"
	}
	return "core"
}

// exhausted refuses a call whose login has spent its hour.
func (s *Server) exhausted(c *call) error {
	if l := s.budget(c.login, c.resource()); l.Left <= 0 && c.req.URL.Path != "/rate_limit" {
		return fail(http.StatusForbidden, "API rate limit exceeded for user "+c.login+".")
	}
	return nil
}

// charge counts the call, but for 304s and /rate_limit, and sets the headers.
func (s *Server) charge(c *call, a *answer) {
	l := s.budget(c.login, c.resource())
	if a.code != http.StatusNotModified && c.req.URL.Path != "/rate_limit" && l.Left > 0 {
		l.Used, l.Left = l.Used+1, l.Left-1
	}
	for k, v := range map[string]int64{"Limit": int64(l.Limit), "Remaining": int64(l.Left), "Used": int64(l.Used), "Reset": l.Reset} {
		c.header.Set("X-RateLimit-"+k, strconv.FormatInt(v, 10))
	}
	c.header.Set("X-RateLimit-Resource", c.resource())
	c.header.Set("X-OAuth-Scopes", "repo, admin:org, admin:org_hook")
	c.header.Set("Date", s.clock.now().Format(http.TimeFormat))
}

// page cuts the requested page out of n items and sets the Link header: 30 per
// page by default, 100 at most.
func (c *call) page(n int) (from, to int) {
	size := min(max(c.number("per_page", 30), 1), 100)
	page := max(c.number("page", 1), 1)
	last := max((n+size-1)/size, 1)
	var links []string
	link := func(rel string, p int) {
		q := c.req.URL.Query()
		q.Set("page", strconv.Itoa(p))
		u := url.URL{Scheme: "http", Host: c.req.Host, Path: c.req.URL.Path, RawPath: c.req.URL.RawPath, RawQuery: q.Encode()}
		links = append(links, fmt.Sprintf("<%s>; rel=%q", u.String(), rel))
	}
	if page > 1 {
		link("prev", min(page-1, last))
		link("first", 1)
	}
	if page < last {
		link("next", page+1)
		link("last", last)
	}
	if len(links) > 0 {
		c.header.Set("Link", strings.Join(links, ", "))
	}
	return min((page-1)*size, n), min(page*size, n)
}

func (c *call) number(name string, fallback int) int {
	if n, err := strconv.Atoi(c.query(name)); err == nil {
		return n
	}
	return fallback
}

func (c *call) query(name string) string { return c.req.URL.Query().Get(name) }

// list pages through items and shows each with view.
func list[T, V any](c *call, items []T, view func(T) V) []V {
	from, to := c.page(len(items))
	return each(items[from:to], view)
}

func each[T, V any](items []T, view func(T) V) []V {
	out := make([]V, 0, len(items))
	for _, item := range items {
		out = append(out, view(item))
	}
	return out
}
