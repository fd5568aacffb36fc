// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

func (g *GCE) routes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"GET /cloudresourcemanager.googleapis.com/v3/{kind}/{id}":      g.serve(g.resource),
		"POST /cloudresourcemanager.googleapis.com/v3/projects/{call}": g.serve(g.policyCall),
		"POST /compute.googleapis.com/batch/compute/v1":                g.batch,
		"GET /serviceusage.googleapis.com/v1/projects/{id}/services":   g.serve(g.services),
	}
	for _, api := range gceAPIs() {
		routes["/"+api.host+"/"] = g.serve(func(r *http.Request) (map[string]any, *gceRefusal) { return g.object(api, r) })
	}
	return routes
}

// gceRefusal is an error as Google's APIs say it, in both their forms at once.
type gceRefusal struct {
	code                     int
	reason, status, consumer string
	message                  string
	unknown                  bool // nothing of Google's is meant: the fake has no such path
}

func gceRefuse(code int, reason, format string, args ...any) *gceRefusal {
	return &gceRefusal{code: code, reason: reason, message: fmt.Sprintf(format, args...)}
}

func (g *GCE) serve(do func(*http.Request) (map[string]any, *gceRefusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, no := g.locked(do, r)
		switch {
		case no != nil && no.unknown:
			g.server.unrouted(w, r)
		case no != nil:
			writeJSON(w, no.code, no.body())
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, v)
		}
	}
}

func (g *GCE) locked(do func(*http.Request) (map[string]any, *gceRefusal), r *http.Request) (map[string]any, *gceRefusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if no := g.admitted(r); no != nil {
		return nil, no
	}
	return do(r)
}

func (g *GCE) admitted(r *http.Request) *gceRefusal {
	if g.settings.Token != "" && r.Header.Get("Authorization") != "Bearer "+g.settings.Token {
		return gceRefuse(http.StatusUnauthorized, "authError", "Invalid Credentials")
	}
	return nil
}

func (no *gceRefusal) body() map[string]any {
	e := map[string]any{"code": no.code, "message": no.message, "errors": []any{map[string]any{"reason": no.reason, "message": no.message}}}
	if no.status != "" {
		e["status"] = no.status
	}
	if no.consumer != "" {
		e["details"] = []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": no.reason, "metadata": map[string]any{"consumer": no.consumer},
		}}
	}
	return map[string]any{"error": e}
}

// resource is what Resource Manager says of a project or a folder.
func (g *GCE) resource(r *http.Request) (map[string]any, *gceRefusal) {
	kind, id := r.PathValue("kind"), r.PathValue("id")
	if parent, ok := g.settings.Folders["folders/"+id]; ok && kind == "folders" {
		return map[string]any{"name": "folders/" + id, "parent": parent, "state": "ACTIVE"}, nil
	}
	p := g.projects[id]
	if kind != "projects" || p == nil {
		return nil, gceRefuse(http.StatusForbidden, "forbidden", "The caller does not have permission on %s/%s, or it does not exist.", kind, id)
	}
	seen := p.id
	if p.Seen != "" {
		seen = p.Seen
	}
	return map[string]any{"name": "projects/" + p.Number, "projectId": seen, "parent": p.Parent, "state": p.State, "labels": p.Labels}, nil
}

func (g *GCE) services(r *http.Request) (map[string]any, *gceRefusal) {
	p := g.byNumber(r.PathValue("id"))
	if p == nil {
		return nil, gceRefuse(http.StatusNotFound, "notFound", "There is no project %s.", r.PathValue("id"))
	}
	var all []any
	for _, api := range gceAPIs() {
		if p.enabled(api) && !api.anywhere && api.host == api.service+".googleapis.com" {
			all = append(all, map[string]any{"name": "projects/" + p.Number + "/services/" + api.host, "state": "ENABLED"})
		}
	}
	return map[string]any{"services": all}, nil
}

func (g *GCE) byNumber(id string) *gceProject {
	for _, p := range g.projects {
		if p.Number == id || p.id == id {
			return p
		}
	}
	return nil
}

func (p *gceProject) enabled(api gceAPI) bool {
	return api.anywhere || len(p.Services) == 0 || slices.Contains(p.Services, api.service+".googleapis.com")
}

// object answers all that is below the host of an API.
func (g *GCE) object(api gceAPI, r *http.Request) (map[string]any, *gceRefusal) {
	key, verb := strings.TrimPrefix(r.URL.Path, "/"), ""
	if head, last := path.Split(key); strings.Contains(last, ":") && r.Method == http.MethodPost {
		last, verb, _ = strings.Cut(last, ":")
		key = head + last
	}
	id, ok := strings.CutPrefix(key, api.host+"/"+api.base+"/")
	if !ok {
		return nil, &gceRefusal{unknown: true}
	}
	p := g.owner(id, r)
	if p == nil {
		return nil, gceRefuse(http.StatusNotFound, "notFound", "The resource %s was not found", id)
	}
	if !p.enabled(api) {
		no := gceRefuse(http.StatusForbidden, "SERVICE_DISABLED", "%s has not been used in project %s before or it is disabled.", api.host, p.Number)
		no.consumer, no.status = "projects/"+p.Number, "PERMISSION_DENIED"
		return nil, no
	}
	if op := g.pending[key]; op != nil && r.Method == http.MethodGet {
		return g.poll(op)
	}
	if id, ok := strings.CutPrefix(id, "projects/"+p.Number+"/"); ok { // numbers work wherever ids do
		key = api.host + "/" + api.base + "/projects/" + p.id + "/" + id
	}
	return g.act(api, p, key, verb, r)
}

// owner is the project that a path or its query is about.
func (g *GCE) owner(id string, r *http.Request) *gceProject {
	parts := strings.Split(id, "/")
	if parts[0] == "projects" && len(parts) > 1 {
		return g.byNumber(parts[1])
	}
	if parts[0] == "b" && len(parts) == 1 {
		return g.byNumber(r.URL.Query().Get("project"))
	}
	for _, o := range g.objects {
		if len(parts) > 1 && o.id == "b/"+parts[1] {
			return o.project
		}
	}
	return nil
}

func (g *GCE) act(api gceAPI, p *gceProject, key, verb string, r *http.Request) (map[string]any, *gceRefusal) {
	if generation := r.URL.Query().Get("generation"); generation != "" {
		key += "#" + generation
	}
	o := g.objects[key]
	switch {
	case r.Method == http.MethodGet && o != nil:
		return o.shown(), nil
	case r.Method == http.MethodGet:
		return g.list(api, p, key, r.URL.Query())
	case r.Method == http.MethodDelete && o != nil:
		return g.remove(api, o)
	case r.Method == http.MethodDelete:
		return nil, gceRefuse(http.StatusNotFound, "notFound", "The resource %s was not found", key)
	}
	return g.change(o, key, verb, r)
}

// remove begins a delete, or refuses it.
func (g *GCE) remove(api gceAPI, o *gceObject) (map[string]any, *gceRefusal) {
	if o.Fields["deletionProtection"] == true {
		return nil, gceRefuse(http.StatusBadRequest, "invalid", "Resource cannot be deleted if it's protected against deletion.")
	}
	if by := g.holder(o); by != nil {
		if api.operation == "status" {
			return nil, gceRefuse(http.StatusBadRequest, "resourceInUseByAnotherResource", "The resource '%s' is already being used by '%s'", o.id, by.id)
		}
		no := gceRefuse(http.StatusBadRequest, "failedPrecondition", "%s is still used by %s", o.id, by.id)
		if no.status = "FAILED_PRECONDITION"; api.base == "storage/v1" {
			no = gceRefuse(http.StatusConflict, "conflict", "The bucket you tried to delete is not empty.")
		}
		return nil, no
	}
	if api.operation == "" {
		return g.ended(o)
	}
	g.serial++
	op := &gceOperation{polls: 1, object: o, api: api, id: fmt.Sprintf("%s/operations/op-%d", place(o.id), g.serial)}
	if g.settings.Polls != nil {
		op.polls = *g.settings.Polls
	}
	g.pending[api.host+"/"+api.base+"/"+op.id] = op
	return op.shown(false), nil
}

// place is the project and location of an id: where operations are.
func place(id string) string {
	parts := strings.Split(id, "/")
	switch {
	case len(parts) > 4 && slices.Contains([]string{"zones", "regions", "locations"}, parts[2]):
		return strings.Join(parts[:4], "/")
	case len(parts) > 3 && parts[2] == "global":
		return strings.Join(parts[:3], "/")
	}
	return strings.Join(parts[:2], "/")
}

func (g *GCE) ended(o *gceObject) (map[string]any, *gceRefusal) {
	if err := g.gone(o); err != nil {
		return nil, gceRefuse(http.StatusInternalServerError, "internalError", "%v", err)
	}
	if o.api.base == "storage/v1" {
		return nil, nil
	}
	return map[string]any{}, nil
}

func (op *gceOperation) shown(done bool) map[string]any {
	if op.api.operation == "done" {
		return map[string]any{"name": op.id, "done": done}
	}
	status := "RUNNING"
	if done {
		status = "DONE"
	}
	return map[string]any{"name": path.Base(op.id), "status": status, "selfLink": "https://" + op.api.host + "/" + op.api.base + "/" + op.id}
}

func (g *GCE) poll(op *gceOperation) (map[string]any, *gceRefusal) {
	if op.polls--; op.polls > 0 {
		return op.shown(false), nil
	}
	if op.object != nil && g.objects[op.object.path] == op.object { // or another delete was faster
		if err := g.gone(op.object); err != nil {
			return nil, gceRefuse(http.StatusInternalServerError, "internalError", "%v", err)
		}
	}
	op.object = nil
	return op.shown(true), nil
}

// change is every other write.
func (g *GCE) change(o *gceObject, key, verb string, r *http.Request) (map[string]any, *gceRefusal) {
	head, last := path.Split(key)
	parent := g.objects[strings.TrimSuffix(head, "/")]
	switch {
	case r.Method == http.MethodPost && verb == "destroy" && o != nil:
		return g.ended(o)
	case r.Method == http.MethodPost && last == "setDeletionProtection" && parent != nil:
		parent.Fields["deletionProtection"] = false
	case r.Method == http.MethodPost && last == "removePeering" && parent != nil:
		var in struct{ Name string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, gceRefuse(http.StatusBadRequest, "invalid", "%v", err)
		}
		without(parent.Fields, "peerings", in.Name)
	case r.Method == http.MethodPost && last == "removeAssociation" && parent != nil:
		without(parent.Fields, "associations", r.URL.Query().Get("name"))
	case r.Method == http.MethodPatch && o != nil:
		var patch map[string]any
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
			return nil, gceRefuse(http.StatusBadRequest, "invalid", "%v", err)
		}
		o.Fields = merge(o.Fields, patch)
	default:
		return nil, &gceRefusal{unknown: true}
	}
	return map[string]any{}, nil
}

// without takes the element of a name out of a list.
func without(fields map[string]any, key, name string) {
	list, _ := fields[key].([]any)
	fields[key] = slices.DeleteFunc(list, func(one any) bool {
		element, _ := one.(map[string]any)
		return element["name"] == name
	})
}

// list answers a page of what a path means, "-" being any one segment.
func (g *GCE) list(api gceAPI, p *gceProject, key string, query url.Values) (map[string]any, *gceRefusal) {
	collection := path.Base(key)
	if collection == "locations" {
		return map[string]any{"locations": []any{map[string]any{"locationId": "us-central1"}, map[string]any{"locationId": "europe-west4"}}}, nil
	}
	aggregated := strings.Contains(key, "/aggregated/")
	var found []*gceObject
	for _, o := range g.sorted() {
		if o.api.host == api.host && o.project == p && matches(o, key, aggregated) {
			found = append(found, o)
		}
	}
	start, err := strconv.Atoi(query.Get("pageToken"))
	if query.Get("pageToken") != "" && (err != nil || start < 0 || start > len(found)) {
		return nil, gceRefuse(http.StatusBadRequest, "invalid", "Invalid value for pageToken")
	}
	out := map[string]any{}
	end := min(start+max(g.settings.Page, 1), len(found))
	if end < len(found) {
		out["nextPageToken"] = strconv.Itoa(end)
	}
	if aggregated {
		out["items"] = g.scopes(found[start:end], collection)
		return out, nil
	}
	var items []any
	for _, o := range found[start:end] {
		items = append(items, o.shown())
	}
	if items != nil {
		out[api.key(collection)] = items
	}
	if len(g.settings.Unreachable) > 0 && strings.Contains(key, "/locations/-/") {
		out["unreachable"] = g.settings.Unreachable
	}
	return out, nil
}

// scopes are the objects of an aggregated list by where they are, each place with a word of its own where it has none.
func (g *GCE) scopes(found []*gceObject, collection string) map[string]any {
	out := map[string]any{}
	for _, scope := range []string{"global", "regions/us-central1", "zones/us-central1-a"} {
		out[scope] = map[string]any{"warning": map[string]any{"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope '" + scope + "' on this page."}}
	}
	for _, o := range found {
		parts := strings.Split(o.id, "/")
		scope := parts[2]
		if scope != "global" {
			scope += "/" + parts[3]
		}
		here, _ := out[scope].(map[string]any)
		list, _ := here[collection].([]any)
		out[scope] = map[string]any{collection: append(list, o.shown())}
	}
	for _, where := range g.settings.Unreachable {
		out["zones/"+where] = map[string]any{"warning": map[string]any{"code": "UNREACHABLE", "message": "The zone is not reachable."}}
	}
	return out
}

// matches tells that an object is in the list of a path.
func matches(o *gceObject, key string, aggregated bool) bool {
	parent := path.Dir(o.path)
	if aggregated {
		return path.Base(parent) == path.Base(key)
	}
	if o.api.base == "storage/v1" {
		return strings.HasPrefix(o.path, key+"/") && strings.Contains(o.id, "/o/") == strings.HasSuffix(key, "/o")
	}
	switch {
	case o.api.host == "kmsinventory.googleapis.com":
		return true // one list of all keys
	case strings.HasSuffix(key, "/rrsets"):
		return strings.HasPrefix(o.path, key+"/") // NAME/TYPE
	case o.api.service == "container":
		parent = strings.Replace(parent, "/zones/", "/locations/", 1) // two names of one place
	}
	want, have := strings.Split(key, "/"), strings.Split(parent, "/")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && want[i] != "-" {
			return false
		}
	}
	return true
}
