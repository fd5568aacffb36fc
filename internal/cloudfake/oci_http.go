// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// asked is one request, understood.
type asked struct {
	*OCI
	w    http.ResponseWriter
	r    *http.Request
	host *registryHost
	// prefix stands before the paths of the host where the address names the host. Then
	// no token is wanted: the ping of such an address is that of no host.
	prefix string
	path   string // of the repository; "" where it is about none
	kind   string // "", token, _catalog, tags, manifests
	ref    string
}

// serve answers everything below /v2/.
func (o *OCI) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.understand(w, r)
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead || a.kind == "unknown":
		o.server.unrouted(w, r)
	case a.kind == "token":
		a.token()
	case !a.allowed():
		a.challenge()
	case a.kind == "":
		writeJSON(w, http.StatusOK, struct{}{})
	case a.kind == "_catalog":
		a.catalog()
	case a.host == nil:
		a.refuse(http.StatusNotFound, "NAME_UNKNOWN")
	case a.kind == "tags":
		a.tags()
	default:
		a.manifest()
	}
}

// understand takes an address apart: HOST by header or path, repository, what of it.
func (o *OCI) understand(w http.ResponseWriter, r *http.Request) *asked {
	a := &asked{OCI: o, w: w, r: r, host: o.hosts[r.Host]}
	rest := strings.TrimPrefix(r.URL.Path, "/v2/")
	segments := strings.Split(rest, "/")
	switch n := len(segments); {
	case rest == "" || rest == "token" || rest == "_catalog":
		a.kind = rest
	case n > 2 && segments[n-2] == "tags" && segments[n-1] == "list":
		a.kind, a.path = "tags", strings.Join(segments[:n-2], "/")
	case n > 2 && segments[n-2] == "manifests":
		a.kind, a.path, a.ref = "manifests", strings.Join(segments[:n-2], "/"), segments[n-1]
	default:
		a.kind = "unknown"
	}
	if first, below, _ := strings.Cut(a.path, "/"); a.host == nil && o.hosts[first] != nil {
		a.host, a.prefix, a.path = o.hosts[first], first+"/", below
	}
	return a
}

// refuse answers with a code of the specification.
func (a *asked) refuse(status int, code string) {
	writeJSON(a.w, status, map[string]any{"errors": []any{map[string]string{"code": code, "message": strings.ToLower(code)}}})
}

// wrong is how faults look. A 404 is the worst there is: it says of everything that it
// does not exist, in the registry's own words.
func (o *OCI) wrong(code int, message string) (string, []byte) {
	name := map[int]string{401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 429: "TOOMANYREQUESTS"}[code]
	raw, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": cmp.Or(name, "UNKNOWN"), "message": message}}})
	if err != nil {
		return "text/plain", []byte(err.Error())
	}
	return "application/json", raw
}

// style is how the registry behaves that is asked.
func (a *asked) style() RegistryStyle {
	switch {
	case a.host == nil:
		return RegistryStyle{Auth: "none", Catalog: true}
	case a.prefix != "":
		open := a.host.RegistryStyle
		open.Auth = "none"
		return open
	}
	return a.host.RegistryStyle
}

func (a *asked) scope() string {
	switch a.kind {
	case "":
		return ""
	case "_catalog":
		return "registry:catalog:*"
	}
	return "repository:" + a.path + ":pull"
}

func (a *asked) allowed() bool {
	style := a.style()
	switch style.Auth {
	case "none":
		return true
	case "basic":
		return a.password()
	}
	token, ok := strings.CutPrefix(a.r.Header.Get("Authorization"), "Bearer ")
	scope, issued := a.host.tokens[token]
	return ok && issued && (!style.Scoped || a.kind == "" || scope == a.scope())
}

func (a *asked) password() bool {
	user, password, ok := a.r.BasicAuth()
	return ok && (user == "_token" || user == "oauth2accesstoken") && password == a.style().Password
}

// challenge says where tokens are (the distribution specification's token protocol).
func (a *asked) challenge() {
	header := `Basic realm="registry"`
	if a.style().Auth != "basic" {
		header = fmt.Sprintf(`Bearer realm="https://%s/v2/token",service="%s"`, a.r.Host, a.r.Host)
		if scope := a.scope(); scope != "" {
			header += fmt.Sprintf(`,scope="%s"`, scope)
		}
	}
	a.w.Header().Set("WWW-Authenticate", header)
	a.refuse(http.StatusUnauthorized, "UNAUTHORIZED")
}

// token exchanges what the client has for a token.
func (a *asked) token() {
	scope := a.r.URL.Query().Get("scope")
	if a.host == nil {
		a.refuse(http.StatusNotFound, "UNKNOWN")
		return
	}
	_, _, given := a.r.BasicAuth()
	if a.host.Auth == "private" && !a.password() || a.host.Auth == "token" && given && !a.password() {
		a.refuse(http.StatusForbidden, "DENIED")
		return
	}
	token := rand.Text()
	a.host.tokens[token] = scope
	writeJSON(a.w, http.StatusOK, map[string]any{"token": token, "expires_in": 300})
}

func (a *asked) catalog() {
	if !a.style().Catalog || a.style().Google {
		a.refuse(http.StatusNotFound, "UNSUPPORTED")
		return
	}
	var all []string
	for name, h := range a.hosts {
		for path := range h.repos {
			switch {
			case h == a.host:
				all = append(all, path)
			case a.host == nil:
				all = append(all, name+"/"+path)
			}
		}
	}
	slices.Sort(all)
	writeJSON(a.w, http.StatusOK, map[string]any{"repositories": append([]string{}, a.page(all)...)})
}

// page cuts a sorted list as n and last say, and sets the Link to the next page.
func (a *asked) page(all []string) []string {
	query := a.r.URL.Query()
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n <= 0 {
		n = 100
	}
	n = min(n, 1000)
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(all, last)
		if found {
			i++
		}
		all = all[i:]
	}
	if len(all) > n {
		all = all[:n]
		a.link(url.Values{"n": {strconv.Itoa(n)}, "last": {all[n-1]}})
	}
	return all
}

func (a *asked) link(query url.Values) {
	a.w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, a.r.URL.Path, query.Encode()))
}

// tags is the list of a repository; Google's has what is stored, and what is below.
func (a *asked) tags() {
	repo := a.host.repos[a.path]
	var children []string
	if a.host.Google {
		children = a.children()
	}
	if repo == nil && len(children) == 0 {
		a.refuse(http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	if repo == nil {
		repo = &repository{}
	}
	if a.liesAboutTags(repo.mode) {
		return
	}
	tags, digests := slices.Sorted(maps.Keys(repo.tags)), slices.Sorted(maps.Keys(repo.manifests))
	if repo.mode == "half" {
		digests = everyOther(digests)
		tags = slices.DeleteFunc(tags, func(t string) bool { return !slices.Contains(digests, repo.tags[t]) })
	}
	if !a.host.Google {
		writeJSON(a.w, http.StatusOK, map[string]any{"name": a.prefix + a.path, "tags": append([]string{}, a.page(tags)...)})
		return
	}
	a.google(repo, tags, digests, children)
}

func everyOther(all []string) []string {
	var some []string
	for i := 0; i < len(all); i += 2 {
		some = append(some, all[i])
	}
	return some
}

// children are the names directly below the path.
func (a *asked) children() []string {
	below := map[string]bool{}
	for path := range a.host.repos {
		if rest, ok := strings.CutPrefix(path, a.path+"/"); ok {
			child, _, _ := strings.Cut(rest, "/")
			below[child] = true
		}
	}
	return slices.Sorted(maps.Keys(below))
}

// listed is a manifest in Google's list; the numbers are texts there.
type listed struct {
	Size      string   `json:"imageSizeBytes"`
	LayerID   string   `json:"layerId"`
	MediaType string   `json:"mediaType"`
	Tags      []string `json:"tag"`
	Created   string   `json:"timeCreatedMs"`
	Uploaded  string   `json:"timeUploadedMs"`
}

func (a *asked) google(repo *repository, tags, digests, children []string) {
	all := make(map[string]listed, len(digests))
	byDigest := map[string][]string{}
	for _, tag := range tags {
		byDigest[repo.tags[tag]] = append(byDigest[repo.tags[tag]], tag)
	}
	for _, digest := range digests {
		m := repo.manifests[digest]
		at := strconv.FormatInt(m.at.UnixMilli(), 10)
		all[digest] = listed{
			Size: strconv.Itoa(len(m.body)), MediaType: m.mediaType,
			Tags: append([]string{}, byDigest[digest]...), Created: at, Uploaded: at,
		}
	}
	writeJSON(a.w, http.StatusOK, map[string]any{
		"child": append([]string{}, children...), "manifest": all, "name": a.path, "tags": append([]string{}, tags...),
	})
}

// manifest answers for a tag or a digest.
func (a *asked) manifest() {
	repo := a.host.repos[a.path]
	if repo == nil {
		a.refuse(http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	digest := a.ref
	if tagged, ok := repo.tags[a.ref]; ok {
		digest = tagged
	}
	m, ok := repo.manifests[digest]
	if !ok {
		a.refuse(http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	if m.body == nil {
		m.body = []byte(`{"schemaVersion":2,"mediaType":"` + m.mediaType + `"}`) // has another digest, see OCI
	}
	switch repo.mode {
	case "digest":
		m.body = []byte(`{"schemaVersion":2,"manifests":[]}`)
	case "type":
		m.mediaType = "text/html"
	case "giant":
		a.giant()
		return
	}
	a.w.Header().Set("Content-Type", m.mediaType)
	a.w.Header().Set("Docker-Content-Digest", digest)
	a.w.Header().Set("Content-Length", strconv.Itoa(len(m.body)))
	if a.r.Method == http.MethodGet {
		_, _ = a.w.Write(m.body) // the client is gone
	}
}

// liesAboutTags answers as a repository's mode says; false: it does not lie here.
func (a *asked) liesAboutTags(mode string) bool {
	switch mode {
	case "endless":
		n, err := strconv.Atoi(a.r.URL.Query().Get("last"))
		if err != nil {
			n = 0
		}
		a.link(url.Values{"last": {strconv.Itoa(n + 1)}})
		a.raw(fmt.Sprintf(`{"tags":["tag-%d"]}`, n))
	case "loop":
		a.w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, a.r.URL.RequestURI()))
		a.raw(`{"tags":["tag"]}`)
	case "away":
		a.w.Header().Set("Link", `<http://metadata.example/v2/x/tags/list>; rel="next"`)
		a.raw(`{"tags":["tag"]}`)
	case "giant":
		a.giant()
	case "deep":
		a.raw(strings.Repeat(`{"manifest":`, 20_000))
	case "type":
		a.w.Header().Set("Content-Type", "text/html")
		_, _ = a.w.Write([]byte("<html>sign in</html>")) // the client is gone
	case "names":
		a.raw(`{"tags":["../../etc\u0007"],"child":[".."],"manifest":{"sha256:x":{"tag":["a b"]}}}`)
	default:
		return false
	}
	return true
}

func (a *asked) raw(body string) {
	a.w.Header().Set("Content-Type", "application/json")
	_, _ = a.w.Write([]byte(body)) // the client is gone
}

// giant sends until the client has had enough, at most 100 MB.
func (a *asked) giant() {
	a.w.Header().Set("Content-Type", "application/json")
	chunk := []byte(`{"tags":[` + strings.Repeat(`"x",`, 1<<14))
	for range 100 << 20 / len(chunk) {
		if _, err := a.w.Write(chunk); err != nil {
			return
		}
	}
}
