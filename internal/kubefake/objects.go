// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/fault"
)

// Custom is the API of custom resources: any kind in any namespace, for everybody. Versions are as in Kubernetes: who writes
// names the version that is replaced, and an object that stays the same keeps its version.
type Custom struct {
	fault.Engine

	mu      sync.Mutex
	version int
	objects map[string]Object // by path
	changes []change
	changed chan struct{} // closed at the next change
}

// change is what a watch tells.
type change struct {
	version int
	path    string
	Type    string `json:"type"`
	Object  Object `json:"object"`
}

// NewCustom returns an API without objects.
func NewCustom() *Custom {
	return &Custom{version: 100, objects: map[string]Object{}, changed: make(chan struct{})}
}

// Handler is the API.
func (c *Custom) Handler() http.Handler { return c.Engine.Handler(http.HandlerFunc(c.serve), refusal) }

// Get returns an object by group/version, namespace, plural and name; nil where there is none. It belongs to the caller.
func (c *Custom) Get(groupVersion, namespace, plural, name string) Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[path(groupVersion, namespace, plural, name)].clone()
}

// Put stores an object as somebody does who does not care for versions. A nil object removes it.
func (c *Custom) Put(groupVersion, namespace, plural, name string, o Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := path(groupVersion, namespace, plural, name)
	if o == nil {
		c.store(at, nil)
		return
	}
	o = o.clone()
	o["apiVersion"] = groupVersion
	o.meta()["name"], o.meta()["namespace"] = name, namespace
	c.store(at, o)
}

func path(groupVersion, namespace, plural, name string) string {
	return "/apis/" + groupVersion + "/namespaces/" + namespace + "/" + plural + "/" + name
}

func (o Object) clone() Object {
	if o == nil {
		return nil
	}
	content, err := json.Marshal(o)
	if err != nil {
		return nil
	}
	c, _ := decode(content)
	return c
}

func decode(content []byte) (Object, error) {
	var o Object
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.UseNumber()
	err := dec.Decode(&o)
	return o, err
}

func (o Object) meta() map[string]any {
	m, ok := o["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		o["metadata"] = m
	}
	return m
}

// store puts an object, or removes it where o is nil, with a new version.
func (c *Custom) store(at string, o Object) {
	c.version++
	kind := "MODIFIED"
	switch old := c.objects[at]; {
	case o == nil:
		kind, o = "DELETED", old.clone()
		delete(c.objects, at)
	case old == nil:
		kind = "ADDED"
		o.meta()["uid"] = fmt.Sprint("uid-", c.version)
		c.objects[at] = o
	default:
		o.meta()["uid"] = old.Text("metadata", "uid")
		c.objects[at] = o
	}
	o.meta()["resourceVersion"] = strconv.Itoa(c.version)
	c.changes = append(c.changes, change{c.version, at, kind, o})
	close(c.changed)
	c.changed = make(chan struct{})
}

const (
	// maxBody is what a server takes, maxEtcd what etcd behind it does.
	maxBody = 3 << 20
	maxEtcd = 3 << 19
)

func (c *Custom) serve(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/"), "/")
	if len(parts) < 5 || len(parts) > 6 || parts[2] != "namespaces" {
		refuse(w, http.StatusNotFound, "the server could not find the requested resource")
		return
	}
	if r.URL.Query().Get("watch") != "" {
		c.watch(w, r)
		return
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch method := r.Method; {
	case method == http.MethodGet && len(parts) == 5:
		c.list(w, r)
	case method == http.MethodPost && len(parts) == 5:
		c.create(w, r, body.Bytes())
	case method == http.MethodGet:
		c.get(w, r)
	case method == http.MethodPut:
		c.replace(w, r, body.Bytes())
	case method == http.MethodDelete:
		c.remove(w, r, body.Bytes())
	default:
		refuse(w, http.StatusMethodNotAllowed, "the server does not allow this method on the requested resource")
	}
}

func (c *Custom) get(w http.ResponseWriter, r *http.Request) {
	if o := c.objects[r.URL.Path]; o != nil {
		answer(w, http.StatusOK, o)
		return
	}
	refuse(w, http.StatusNotFound, fmt.Sprintf("%s not found", r.URL.Path))
}

// list answers ?labelSelector=a=b&limit=N&continue=NAME in the order of names.
func (c *Custom) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	items, next := []Object{}, ""
	for _, at := range slices.Sorted(maps.Keys(c.objects)) {
		o := c.objects[at]
		if !strings.HasPrefix(at, r.URL.Path+"/") || at <= q.Get("continue") || !o.selected(q.Get("labelSelector")) {
			continue
		}
		if limit > 0 && len(items) == limit {
			next = r.URL.Path + "/" + items[limit-1].Text("metadata", "name")
			break
		}
		items = append(items, o)
	}
	answer(w, http.StatusOK, map[string]any{
		"kind": "List", "metadata": map[string]any{"continue": next, "resourceVersion": strconv.Itoa(c.version)}, "items": items,
	})
}

func (c *Custom) create(w http.ResponseWriter, r *http.Request, body []byte) {
	o, err := decode(body)
	at := r.URL.Path + "/" + o.Text("metadata", "name")
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	case !validName(o.Text("metadata", "name")) || o.Text("metadata", "resourceVersion") != "":
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("%q is invalid", o.Text("metadata", "name")))
	case c.objects[at] != nil:
		refuse(w, http.StatusConflict, at+" already exists")
	case len(body) > maxEtcd:
		refuse(w, http.StatusInternalServerError, "etcdserver: request is too large")
	default:
		o.meta()["namespace"] = strings.Split(r.URL.Path, "/")[5]
		c.store(at, o)
		answer(w, http.StatusCreated, c.objects[at])
	}
}

// validName is what the name of an object may be, as far as our clients get it wrong.
func validName(name string) bool {
	return name != "" && len(name) <= 253 && strings.ToLower(name) == name && !strings.ContainsAny(name, "_ /")
}

func (c *Custom) replace(w http.ResponseWriter, r *http.Request, body []byte) {
	o, err := decode(body)
	old := c.objects[r.URL.Path]
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	case old == nil:
		refuse(w, http.StatusNotFound, r.URL.Path+" not found")
	case o.Text("metadata", "resourceVersion") == "":
		refuse(w, http.StatusUnprocessableEntity, "metadata.resourceVersion: must be specified for an update")
	case o.Text("metadata", "resourceVersion") != old.Text("metadata", "resourceVersion"):
		refuse(w, http.StatusConflict, "the object has been modified; please apply your changes to the latest version and try again")
	case cmp.Or(o.Text("metadata", "uid"), old.Text("metadata", "uid")) != old.Text("metadata", "uid"):
		refuse(w, http.StatusConflict, "Precondition failed: UID in precondition")
	case len(body) > maxEtcd:
		refuse(w, http.StatusInternalServerError, "etcdserver: request is too large")
	case same(o, old):
		answer(w, http.StatusOK, old)
	default:
		c.store(r.URL.Path, o)
		answer(w, http.StatusOK, c.objects[r.URL.Path])
	}
}

// same tells that nothing was changed.
func same(a, b Object) bool {
	x, err := json.Marshal(a)
	y, other := json.Marshal(b)
	return err == nil && other == nil && bytes.Equal(x, y)
}

func (c *Custom) remove(w http.ResponseWriter, r *http.Request, body []byte) {
	var options struct {
		Preconditions struct{ ResourceVersion string }
	}
	old := c.objects[r.URL.Path]
	switch {
	case len(body) > 0 && json.Unmarshal(body, &options) != nil:
		refuse(w, http.StatusBadRequest, "the options cannot be read")
	case old == nil:
		refuse(w, http.StatusNotFound, r.URL.Path+" not found")
	case cmp.Or(options.Preconditions.ResourceVersion, old.Text("metadata", "resourceVersion")) != old.Text("metadata", "resourceVersion"):
		refuse(w, http.StatusConflict, "Precondition failed: ResourceVersion in precondition")
	default:
		c.store(r.URL.Path, nil)
		answer(w, http.StatusOK, map[string]any{"kind": "Status", "status": "Success"})
	}
}

// watch streams the changes of a collection behind ?resourceVersion=N until the client goes.
func (c *Custom) watch(w http.ResponseWriter, r *http.Request) {
	at, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "resourceVersion: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	for out := json.NewEncoder(w); ; {
		c.mu.Lock()
		changes, more := c.changes, c.changed
		c.mu.Unlock()
		for _, ch := range changes {
			if ch.version > at && strings.HasPrefix(ch.path, r.URL.Path+"/") && out.Encode(ch) != nil {
				return
			}
		}
		if len(changes) > 0 {
			at = max(at, changes[len(changes)-1].version)
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}
