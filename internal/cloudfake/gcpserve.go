// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (g *GCP) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /storage/v1/b":              g.answer((*GCP).listBuckets),
		"GET /storage/v1/b/{bucket}":     g.answer((*GCP).getBucket),
		"GET /storage/v1/b/{bucket}/iam": g.answer((*GCP).getPolicy),
	}
}

// failure is an answer that is an error.
type failure struct {
	code    int
	message string
}

func fail(code int, format string, args ...any) *failure {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// answer checks what all requests have in common. Handlers hold the lock.
func (g *GCP) answer(do func(*GCP, *http.Request) (map[string]any, *failure)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		code, body, kind := g.serve(do, r)
		if code == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		_, _ = w.Write(body) // the client is gone
	}
}

func (g *GCP) serve(do func(*GCP, *http.Request) (map[string]any, *failure), r *http.Request) (code int, body []byte, kind string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	failed := g.admit(r)
	var v map[string]any
	if failed == nil {
		v, failed = do(g, r)
	}
	if failed == nil {
		v, failed = masked(v, r.URL.Query().Get("fields"))
	}
	if failed == nil {
		raw, err := json.Marshal(v)
		if err == nil {
			return http.StatusOK, raw, "application/json; charset=UTF-8"
		}
		failed = fail(http.StatusInternalServerError, "%v", err)
	}
	kind, body = g.wrong(failed.code, failed.message)
	return failed.code, body, kind
}

// admit counts a request, and refuses what is beyond the quota or without the token.
func (g *GCP) admit(r *http.Request) *failure {
	now := g.server.clock()
	limit := g.settings.Quota
	for len(g.recent) > 0 && now.Sub(g.recent[0]) >= limit.Per { // they are in order
		g.recent = g.recent[1:]
	}
	if limit.Requests > 0 && len(g.recent) >= limit.Requests {
		g.refused++
		return fail(http.StatusTooManyRequests, "The project exceeded the rate limit for reading and listing buckets.")
	}
	g.recent = append(g.recent, now)
	g.peak = max(g.peak, len(g.recent))
	if g.settings.Token != "" && r.Header.Get("Authorization") != "Bearer "+g.settings.Token {
		return fail(http.StatusUnauthorized, "Invalid Credentials")
	}
	if g.served++; g.settings.StepEvery > 0 && g.served%g.settings.StepEvery == 0 {
		if _, err := g.step(); err != nil {
			return fail(http.StatusInternalServerError, "%v", err)
		}
	}
	return nil
}

func (g *GCP) denied(what, permission string) *failure {
	if slices.Contains(g.settings.Deny, what) {
		return fail(http.StatusForbidden, "auditor@example.org does not have %s access to the Google Cloud %s.", permission, what)
	}
	return nil
}

// listBuckets answers a page. A page token says where the list goes on, not what it is:
// a bucket that appears behind that place is listed, one that goes away is not.
func (g *GCP) listBuckets(r *http.Request) (map[string]any, *failure) {
	q := r.URL.Query()
	id := q.Get("project")
	if id == "" {
		return nil, fail(http.StatusBadRequest, "Required parameter: project")
	}
	if failed := g.denied("projects/"+id, "storage.buckets.list"); failed != nil {
		return nil, failed
	}
	project := g.now.projects[id]
	if project == nil {
		return nil, fail(http.StatusBadRequest, "Unknown project id: %s", id)
	}
	size, failed := g.pageSize(q.Get("maxResults"))
	if failed != nil {
		return nil, failed
	}
	names := project.names()
	if token := q.Get("pageToken"); token != "" {
		last, failed := g.readToken(token, id)
		if failed != nil {
			return nil, failed
		}
		after, found := slices.BinarySearch(names, last)
		if found {
			after++
		}
		names = names[after:]
	}
	out := map[string]any{"kind": "storage#buckets"}
	if len(names) > size {
		names = names[:size]
		out["nextPageToken"] = g.token(id, names[size-1])
	}
	var items []any
	for _, name := range names {
		items = append(items, project.buckets[name].shown(q.Get("projection")))
	}
	if items != nil {
		out["items"] = items
	}
	return out, nil
}

func (g *GCP) pageSize(wanted string) (int, *failure) {
	if wanted == "" {
		return g.settings.Page, nil
	}
	n, err := strconv.Atoi(wanted)
	if err != nil || n <= 0 {
		return 0, fail(http.StatusBadRequest, "Invalid value for maxResults: %s", wanted)
	}
	return min(n, g.settings.Page), nil
}

// token names the last bucket of a page, the project and the time.
func (g *GCP) token(project, last string) string {
	plain := fmt.Sprintf("%d/%s/%s", g.server.clock().UnixNano(), project, last)
	return base64.URLEncoding.EncodeToString([]byte(plain))
}

func (g *GCP) readToken(token, project string) (last string, failed *failure) {
	plain, err := base64.URLEncoding.DecodeString(token)
	issued, rest, _ := strings.Cut(string(plain), "/")
	of, last, ok := strings.Cut(rest, "/")
	nanos, numberErr := strconv.ParseInt(issued, 10, 64)
	at := time.Unix(0, nanos)
	if err != nil || numberErr != nil || !ok || of != project ||
		!at.After(g.expired) || g.server.clock().Sub(at) > g.settings.PageLife {
		return "", fail(http.StatusBadRequest, "Invalid value for pageToken: %s", token)
	}
	return last, nil
}

// shown leaves out what a projection does not have. The lists of a bucket whose access
// is uniform mean nothing, and are not shown.
func (b *gcpBucket) shown(projection string) map[string]any {
	iam, _ := b.resource["iamConfiguration"].(map[string]any)
	uniform, _ := iam["uniformBucketLevelAccess"].(map[string]any)
	if projection == "full" && uniform["enabled"] != true {
		return b.resource
	}
	out := maps.Clone(b.resource)
	delete(out, "acl")
	delete(out, "defaultObjectAcl")
	delete(out, "owner")
	return out
}

// bucket finds the one that is asked for.
func (g *GCP) bucket(r *http.Request) (*gcpBucket, *failure) {
	name := r.PathValue("bucket")
	if failed := g.denied("gs://"+name, "storage.buckets.get"); failed != nil {
		return nil, failed
	}
	b := g.now.find(name)
	if b == nil {
		return nil, fail(http.StatusNotFound, "The specified bucket does not exist.")
	}
	return b, nil
}

func (g *GCP) getBucket(r *http.Request) (map[string]any, *failure) {
	b, failed := g.bucket(r)
	if failed != nil {
		return nil, failed
	}
	return b.shown(r.URL.Query().Get("projection")), nil
}

// getPolicy hides conditions from who does not ask for version 3: a role under one has
// another name then, so that nobody writes it back without its condition.
func (g *GCP) getPolicy(r *http.Request) (map[string]any, *failure) {
	name := r.PathValue("bucket")
	if failed := g.denied("gs://"+name+" iam", "storage.buckets.getIamPolicy"); failed != nil {
		return nil, failed
	}
	b, failed := g.bucket(r)
	if failed != nil {
		return nil, failed
	}
	version, _ := strconv.Atoi(r.URL.Query().Get("optionsRequestedPolicyVersion"))
	out := maps.Clone(b.policy)
	out["kind"], out["resourceId"], out["version"] = "storage#policy", "projects/_/buckets/"+name, 1
	all, _ := out["bindings"].([]any)
	shown := make([]any, 0, len(all))
	for _, one := range all {
		binding, _ := one.(map[string]any)
		condition, has := binding["condition"]
		switch {
		case has && version < 3:
			binding = maps.Clone(binding)
			delete(binding, "condition")
			h := fnv.New64a()
			_, _ = fmt.Fprint(h, condition) // never fails
			binding["role"] = fmt.Sprintf("%v_withcond_%x", binding["role"], h.Sum64())
		case has:
			out["version"] = 3
		}
		shown = append(shown, binding)
	}
	out["bindings"] = shown
	return out, nil
}

// masked keeps what a field mask names: kind,items(name,iamConfiguration/publicAccessPrevention).
func masked(v map[string]any, mask string) (map[string]any, *failure) {
	if mask == "" || mask == "*" {
		return v, nil
	}
	tree, rest, ok := parseMask(mask)
	if !ok || rest != "" {
		return nil, fail(http.StatusBadRequest, "Invalid field selection %s", mask)
	}
	out, _ := tree.pick(v).(map[string]any)
	return out, nil
}

// maskTree is what to keep; an empty one is everything.
type maskTree map[string]maskTree

func parseMask(s string) (tree maskTree, rest string, ok bool) {
	tree = maskTree{}
	for {
		at := tree
		for {
			end := strings.IndexAny(s, ",/()")
			if end < 0 {
				end = len(s)
			}
			name := s[:end]
			if name == "" {
				return nil, s, false
			}
			if at[name] == nil {
				at[name] = maskTree{}
			}
			s = s[end:]
			switch {
			case strings.HasPrefix(s, "/"):
				at, s = at[name], s[1:]
				continue
			case strings.HasPrefix(s, "("):
				if at[name], s, ok = parseMask(s[1:]); !ok || !strings.HasPrefix(s, ")") {
					return nil, s, false
				}
				s = s[1:]
			}
			break
		}
		if !strings.HasPrefix(s, ",") {
			return tree, s, true
		}
		s = s[1:]
	}
}

func (m maskTree) pick(v any) any {
	if len(m) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, inner := range v {
			if below, wanted := m[name]; wanted {
				out[name] = below.pick(inner)
			} else if below, all := m["*"]; all {
				out[name] = below.pick(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = m.pick(v[i])
		}
		return out
	}
	return v
}
