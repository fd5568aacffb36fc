// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

// GCE is projects with what tests leave behind in them, over the REST paths of Google's APIs: lists, aggregated lists,
// deletes and their operations. Every API is served below its host's name: /compute.googleapis.com/compute/v1/…. Its
// rules are CF-E1 … in docs/cloudfake.md.
type GCE struct {
	server *Server

	mu       sync.Mutex // guards everything below
	settings gceSettings
	projects map[string]*gceProject
	objects  map[string]*gceObject // by key: HOST/BASE/ID
	pending  map[string]*gceOperation
	serial   int
	batched  int // requests within others
}

// gceSettings are the value of gce in cloud.yaml.
type gceSettings struct {
	// Page is the most objects a page has; 500.
	Page int
	// Polls is how often an operation says that it is running; 1.
	Polls *int
	// Unreachable are locations of which lists say that they could not be asked.
	Unreachable []string
	// Folders are what a folder lies in: {folders/1: organizations/9}.
	Folders map[string]string
	// Token is the only bearer token that is taken; "" takes all and none.
	Token string
}

// gceProject is a file gce/ID.yaml.
type gceProject struct {
	id       string
	Number   string
	Parent   string
	Labels   map[string]string
	State    string   // ACTIVE
	Services []string // enabled; without any, all that the fake knows
	Objects  []gceObject
	Policy   gcePolicy
	// Seen is another id that the API answers with: a credential that sees something else than was asked for.
	Seen string

	changes int // of the policy
}

// gceObject is one thing in a project. Who names it in a field holds it, and so does what lies below it.
type gceObject struct {
	// Key is "SERVICE REST": compute zones/us-central1-a/instances/vm, storage b/bucket, pubsub topics/t.
	Key     string
	Created time.Time
	Fields  map[string]any
	// Owns are objects that go with it and that it makes anew while it is there: instances of a group. They are keys.
	Owns []string

	project *gceProject
	api     gceAPI
	id      string // projects/P/…, or b/BUCKET
	path    string // HOST/BASE/ID
}

// gceOperation is a delete that takes its time.
type gceOperation struct {
	polls  int
	object *gceObject
	api    gceAPI
	id     string
}

func newGCE(s *Server) *GCE {
	return &GCE{server: s, projects: map[string]*gceProject{}, objects: map[string]*gceObject{}, pending: map[string]*gceOperation{}}
}

func (g *GCE) name() string { return "gce" }

func (g *GCE) load(node yaml.Node, files fs.FS) error {
	var settings gceSettings
	if err := decode(node, &settings); err != nil {
		return err
	}
	if settings.Page <= 0 {
		settings.Page = 500
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settings = settings
	clear(g.projects)
	clear(g.objects)
	clear(g.pending)
	if files == nil {
		return nil
	}
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		raw, err := fs.ReadFile(files, name)
		p := &gceProject{id: strings.TrimSuffix(path.Base(name), ".yaml"), State: "ACTIVE"}
		if err == nil {
			err = strictYAML(raw, p)
		}
		if err == nil {
			err = g.add(p)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(problems...)
}

func (g *GCE) add(p *gceProject) error {
	g.projects[p.id] = p
	for i := range p.Objects {
		if err := g.put(p, &p.Objects[i]); err != nil {
			return err
		}
	}
	return nil
}

// put places an object under the path that its key means.
func (g *GCE) put(p *gceProject, o *gceObject) error {
	api, id, err := p.resolve(o.Key)
	if err != nil {
		return err
	}
	o.project, o.api, o.id = p, api, id
	o.path = api.host + "/" + api.base + "/" + id
	g.objects[o.path] = o
	return nil
}

// resolve turns "SERVICE REST" into an API and an id.
func (p *gceProject) resolve(key string) (gceAPI, string, error) {
	service, rest, ok := strings.Cut(key, " ")
	api, known := gceAPIs()[service]
	if !ok || !known {
		return api, "", fmt.Errorf("object %q is not SERVICE PATH, or its service is not known", key)
	}
	if service == "storage" {
		return api, rest, nil
	}
	return api, "projects/" + p.id + "/" + rest, nil
}

// Objects lists what a project holds: "SERVICE REST", sorted.
func (g *GCE) Objects(project string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, o := range g.objects {
		if o.project.id == project {
			all = append(all, o.Key)
		}
	}
	slices.Sort(all)
	return all
}

// Put makes an object in a project, or replaces it.
func (g *GCE) Put(project, key string, fields map[string]any) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.projects[project]
	if p == nil {
		return fmt.Errorf("put %s: there is no project %s", key, project)
	}
	return g.put(p, &gceObject{Key: key, Created: g.server.clock(), Fields: fields})
}

func (g *GCE) controls() map[string]command {
	return map[string]command{
		"GET objects": func(r *http.Request, _ []byte) (any, error) {
			return append([]string{}, g.Objects(r.URL.Query().Get("project"))...), nil
		},
		"GET policy": func(r *http.Request, _ []byte) (any, error) { return g.Policy(r.URL.Query().Get("project")), nil },
		"POST put": func(_ *http.Request, body []byte) (any, error) {
			var in struct {
				Project, Key string
				Fields       map[string]any
			}
			if err := strictJSON(body, &in); err != nil {
				return nil, err
			}
			return struct{}{}, g.Put(in.Project, in.Key, in.Fields)
		},
	}
}

func (g *GCE) wrong(code int, message string) (string, []byte) {
	return g.server.GCP.wrong(code, message)
}

// holder finds who does not let an object go: what lies below it, and who names it.
func (g *GCE) holder(o *gceObject) *gceObject {
	for _, other := range g.sorted() {
		own := other.Fields["type"] == "SOA" || other.Fields["type"] == "NS" // a zone is never without
		below := strings.HasPrefix(other.path, o.path+"/") && !o.api.cascades && !own
		if other != o && (below || names(other.Fields, o.id)) {
			return other
		}
	}
	return nil
}

// sorted are all objects in the order of their paths.
func (g *GCE) sorted() []*gceObject {
	all := slices.Collect(maps.Values(g.objects))
	slices.SortFunc(all, func(a, b *gceObject) int { return strings.Compare(a.path, b.path) })
	return all
}

// names tells that a value has a text that ends in an id, as links do.
func names(v any, id string) bool {
	switch v := v.(type) {
	case string:
		return v == id || strings.HasSuffix(v, "/"+id)
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return names(one, id) })
	case map[string]any:
		for _, one := range v {
			if names(one, id) {
				return true
			}
		}
	}
	return false
}

// gone takes an object away, with what is below it and what it owns. What an owner that stays has lost, it makes anew.
func (g *GCE) gone(o *gceObject) error {
	delete(g.objects, o.path)
	if email, ok := strings.CutPrefix(o.Key, "iam serviceAccounts/"); ok && !strings.Contains(email, "/") {
		o.project.orphan(email)
	}
	for _, other := range g.sorted() {
		if strings.HasPrefix(other.path, o.path+"/") {
			delete(g.objects, other.path)
		}
	}
	for _, key := range o.Owns {
		if api, id, err := o.project.resolve(key); err == nil {
			delete(g.objects, api.host+"/"+api.base+"/"+id)
		}
	}
	for _, owner := range g.sorted() {
		if owner.project == o.project && slices.Contains(owner.Owns, o.Key) {
			again := *o
			again.Created = g.server.clock()
			if err := g.put(o.project, &again); err != nil {
				return err
			}
		}
	}
	return nil
}

// shown is an object as its API answers it.
func (o *gceObject) shown() map[string]any {
	out := map[string]any{}
	if raw, err := json.Marshal(o.Fields); err == nil && o.Fields != nil {
		_ = json.Unmarshal(raw, &out) // a copy of what was just written
	}
	last := path.Base(o.id)
	for key, v := range o.api.shape(o) {
		out[key] = v
	}
	if out["name"] == nil {
		out["name"] = last
	}
	if !o.Created.IsZero() && o.api.created != "" {
		out[o.api.created] = o.Created.UTC().Format(time.RFC3339)
	}
	return out
}
