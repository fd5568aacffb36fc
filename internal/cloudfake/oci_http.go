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
	"time"

	"sigs.k8s.io/steward/internal/manifest"
)

// asked is one request, understood.
type asked struct {
	*OCI
	w        http.ResponseWriter
	r        *http.Request
	host     *registryHost
	hostName string
	// prefix stands before the paths of the host where the address names the host. Then
	// no token is wanted: the ping of such an address is that of no host.
	prefix string
	path   string // of the repository; "" where it is about none
	kind   string // "", token, _catalog, tags, manifests, blobs, uploads, referrers
	ref    string
}

// serve answers everything below /v2/. What has bodies of any length is answered without the lock.
func (o *OCI) serve(w http.ResponseWriter, r *http.Request) {
	a := o.understand(w, r)
	switch answered := a.answer(); {
	case answered:
	case a.kind == "uploads":
		a.uploads()
	case a.kind == "blobs":
		a.blob()
	default:
		a.putManifest()
	}
}

func (a *asked) read() bool { return a.r.Method == http.MethodGet || a.r.Method == http.MethodHead }

// answer says what can be said at once.
func (a *asked) answer() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.meter.count(a.r, a.kind)
	status := a.meter.fails(a.hostName, !a.read())
	after, within := time.Duration(0), true
	if status == 0 {
		after, within = a.meter.within(a.who(), a.server.clock())
	}
	switch {
	case a.kind == "unknown" || !a.methods():
		a.server.unrouted(a.w, a.r)
	case status != 0:
		kind, body := a.wrong(status, "down")
		a.w.Header().Set("Content-Type", kind)
		a.w.WriteHeader(status)
		_, _ = a.w.Write(body) // the client is gone
	case !within:
		a.throttle(after)
	case a.kind == "token":
		a.token()
	case !a.allowed():
		a.challenge()
	case a.kind == "":
		writeJSON(a.w, http.StatusOK, struct{}{})
	case a.kind == "_catalog":
		a.catalog()
	case a.host == nil:
		a.refuse(http.StatusNotFound, "NAME_UNKNOWN")
	case a.kind == "tags":
		a.tags()
	case a.kind == "referrers":
		a.referrers()
	case a.kind == "manifests" && a.read():
		a.manifest()
	case a.kind == "manifests" && a.r.Method == http.MethodDelete:
		a.removeManifest()
	default:
		return false
	}
	return true
}

// methods tells whether there is such a request.
func (a *asked) methods() bool {
	switch a.kind {
	case "uploads":
		return a.r.Method != http.MethodHead
	case "manifests":
		return a.read() || a.r.Method == http.MethodPut || a.r.Method == http.MethodDelete
	}
	return a.read()
}

// understand takes an address apart: HOST by header or path, repository, what of it.
func (o *OCI) understand(w http.ResponseWriter, r *http.Request) *asked {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := &asked{OCI: o, w: w, r: r, host: o.hosts[r.Host], hostName: r.Host}
	rest := strings.TrimPrefix(r.URL.Path, "/v2/")
	segments := strings.Split(rest, "/")
	switch n := len(segments); {
	case rest == "" || rest == "token" || rest == "_catalog":
		a.kind = rest
	case n > 2 && segments[n-2] == "tags" && segments[n-1] == "list":
		a.kind, a.path = "tags", strings.Join(segments[:n-2], "/")
	case n > 3 && segments[n-3] == "blobs" && segments[n-2] == "uploads":
		a.kind, a.path, a.ref = "uploads", strings.Join(segments[:n-3], "/"), segments[n-1]
	case n > 2 && slices.Contains([]string{"manifests", "blobs", "referrers"}, segments[n-2]):
		a.kind, a.path, a.ref = segments[n-2], strings.Join(segments[:n-2], "/"), segments[n-1]
	default:
		a.kind = "unknown"
	}
	first, below, _ := strings.Cut(a.path, "/")
	switch {
	case a.host != nil:
	case o.hosts[first] != nil:
		a.host, a.hostName, a.prefix, a.path = o.hosts[first], first, first+"/", below
	case o.any && (!a.read() || styleOf(first).Google) && below != "" && manifest.IsRegistry(first):
		a.host, a.hostName, a.prefix, a.path = o.host(first), first, first+"/", below
	case o.any && (!a.read() || styleOf(r.Host).Google) && manifest.IsRegistry(r.Host):
		a.host = o.host(r.Host)
		a.host.Auth = "none"
	}
	return a
}

// repo is the repository that is asked for; nil where there is none.
func (a *asked) repo() *repository {
	r := a.host.repos[a.path]
	if r == nil && a.any && a.host.Google {
		r = &repository{}
	}
	return r
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
	if a.read() {
		return "repository:" + a.path + ":pull"
	}
	return "repository:" + a.path + ":pull,push"
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
	t, known := a.host.tokens[token]
	pushing, _ := strings.CutSuffix(t.scope, ",push") // may pull, too
	return ok && known && (!style.Scoped || a.kind == "" || t.scope == a.scope() || pushing == a.scope())
}

// who is whose quota a request costs: that of a password, wherever it is used, or everybody's.
func (a *asked) who() string {
	const everybody = "everybody"
	if _, password, ok := a.r.BasicAuth(); ok {
		return cmp.Or(password, everybody)
	}
	token, ok := strings.CutPrefix(a.r.Header.Get("Authorization"), "Bearer ")
	if ok && a.host != nil {
		if t, known := a.host.tokens[token]; known {
			return t.who
		}
	}
	return cmp.Or(token, everybody)
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
	_, password, given := a.r.BasicAuth()
	if a.host.Auth == "private" && !a.password() || a.host.Auth == "token" && given && !a.password() {
		a.refuse(http.StatusForbidden, "DENIED")
		return
	}
	token := rand.Text()
	a.host.tokens[token] = issued{scope, cmp.Or(password, "everybody")}
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
	repo := a.repo()
	if anywhere := a.any && a.host.Google; repo != nil && !anywhere && len(repo.manifests) == 0 && len(repo.blobs) > 0 {
		repo = nil // blobs alone make no repository
	}
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
	repo := a.repo()
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
