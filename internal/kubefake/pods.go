// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Pod is a pod as far as anybody looks.
type Pod struct {
	Namespace, Name, UID string
	Phase                string // "": Running
	IP, HostIP           string
	HostNetwork          bool
}

// pods are those of all namespaces with their history. They have a lock of their own,
// because a watch goes on while others write.
type pods struct {
	mu      sync.Mutex
	version int
	oldest  int // before it nothing is remembered
	now     []Object
	events  []podEvent
	pages   map[int][]Object // lists that are read page by page, by version
	changed chan struct{}    // closed at the next event
	cut     chan struct{}    // closed when all watches end
	open    int
}

type podEvent struct {
	version   int
	kind      string
	namespace string
	object    Object
}

func newPods() *pods {
	return &pods{version: 100, oldest: 100, pages: map[int][]Object{}, changed: make(chan struct{}), cut: make(chan struct{})}
}

// PutPod creates a pod, or changes that of the same name.
func (s *Server) PutPod(p Pod) {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	s.pods.version++
	object, kind := p.object(s.pods.version), "ADDED"
	if i := s.pods.find(p.Namespace, p.Name); i >= 0 {
		s.pods.now[i], kind = object, "MODIFIED"
	} else {
		s.pods.now = append(s.pods.now, object)
	}
	s.pods.tell(podEvent{s.pods.version, kind, p.Namespace, object})
}

// DeletePod removes a pod.
func (s *Server) DeletePod(namespace, name string) {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	i := s.pods.find(namespace, name)
	if i < 0 {
		return
	}
	s.pods.version++
	object := s.pods.now[i].at(s.pods.version)
	s.pods.now = slices.Delete(slices.Clone(s.pods.now), i, i+1)
	s.pods.tell(podEvent{s.pods.version, "DELETED", namespace, object})
}

// Bookmark tells all watches of a namespace how far they are.
func (s *Server) Bookmark(namespace string) {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	s.pods.tell(podEvent{s.pods.version, "BOOKMARK", namespace, Object{
		"kind": "Pod", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": strconv.Itoa(s.pods.version)},
	}})
}

// Compact forgets all history: whoever goes on from an older version, or within a list,
// is told 410.
func (s *Server) Compact() {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	s.pods.oldest = s.pods.version
	s.pods.events = nil
	clear(s.pods.pages)
}

// Cut ends all watches.
func (s *Server) Cut() {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	close(s.pods.cut)
	s.pods.cut = make(chan struct{})
}

// Watches counts the watches that are open.
func (s *Server) Watches() int {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	return s.pods.open
}

func (p *pods) find(namespace, name string) int {
	return slices.IndexFunc(p.now, func(o Object) bool {
		return o.Text("metadata", "namespace") == namespace && o.Text("metadata", "name") == name
	})
}

func (p *pods) tell(e podEvent) {
	p.events = append(p.events, e)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p Pod) object(version int) Object {
	if p.Phase == "" {
		p.Phase = "Running"
	}
	status := map[string]any{"phase": p.Phase, "hostIP": p.HostIP}
	if p.IP != "" {
		status["podIP"], status["podIPs"] = p.IP, []any{map[string]any{"ip": p.IP}}
	}
	return Object{
		"metadata": map[string]any{
			"name": p.Name, "namespace": p.Namespace, "uid": p.UID, "resourceVersion": strconv.Itoa(version),
			"labels": map[string]any{"created-by-prow": "true"}, "managedFields": []any{map[string]any{"manager": "kubelet"}},
		},
		"spec": map[string]any{
			"hostNetwork": p.HostNetwork,
			"containers":  []any{map[string]any{"name": "test", "env": []any{map[string]any{"name": "PASSWORD", "value": "in-the-spec"}}}},
		},
		"status": status,
	}
}

// at is an object with a version.
func (o Object) at(version int) Object {
	c := Object{}
	for key, value := range o {
		c[key] = value
	}
	meta := map[string]any{}
	for key, value := range o["metadata"].(map[string]any) {
		meta[key] = value
	}
	meta["resourceVersion"] = strconv.Itoa(version)
	c["metadata"] = meta
	return c
}

// podsOf is the namespace in the path of a collection of pods.
func podsOf(path string) (namespace string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/api/v1/namespaces/")
	namespace, what, found := strings.Cut(rest, "/")
	return namespace, ok && found && what == "pods"
}

func (s *Server) servePods(w http.ResponseWriter, r *http.Request, namespace string) {
	verb := "list"
	if r.URL.Query().Get("watch") != "" {
		verb = "watch"
	}
	switch {
	case s.denied(verb + " pods"):
		refuse(w, http.StatusForbidden, fmt.Sprintf(
			`pods is forbidden: User "system:serviceaccount:prow:steward-pool" cannot %s resource "pods" in API group "" in the namespace %q`, verb, namespace))
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "the server does not allow this method on the requested resource")
	case verb == "watch":
		s.pods.watch(w, r, namespace)
	default:
		s.pods.list(w, r, namespace)
	}
}

// list answers ?limit=N&continue=VERSION/OFFSET from the state at one version.
func (p *pods) list(w http.ResponseWriter, r *http.Request, namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	version, offset := p.version, 0
	all := p.now
	if at := q.Get("continue"); at != "" {
		var known bool
		if _, err := fmt.Sscanf(at, "%d/%d", &version, &offset); err != nil {
			refuse(w, http.StatusBadRequest, "continue key is not valid")
			return
		}
		if all, known = p.pages[version]; !known {
			refuse(w, http.StatusGone, "The provided continue parameter is too old to display a consistent list result.")
			return
		}
	}
	meta := map[string]any{"resourceVersion": strconv.Itoa(version)}
	items := []Object{}
	for ; offset < len(all); offset++ {
		if all[offset].Text("metadata", "namespace") != namespace {
			continue
		}
		if limit > 0 && len(items) == limit {
			p.pages[version] = slices.Clone(all)
			meta["continue"] = fmt.Sprintf("%d/%d", version, offset)
			break
		}
		items = append(items, all[offset])
	}
	answer(w, http.StatusOK, map[string]any{"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": items})
}

// watch sends what happened since a version, and goes on until the time is over.
func (p *pods) watch(w http.ResponseWriter, r *http.Request, namespace string) {
	q := r.URL.Query()
	from, err := strconv.Atoi(q.Get("resourceVersion"))
	seconds, err2 := strconv.Atoi(q.Get("timeoutSeconds"))
	if err != nil || err2 != nil {
		refuse(w, http.StatusBadRequest, "resourceVersion and timeoutSeconds have to be numbers")
		return
	}
	over := time.NewTimer(time.Duration(seconds) * time.Second)
	defer over.Stop()
	sent, cut := p.begin(from)
	defer p.finish()
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	for {
		events, next, changed, lost := p.since(sent)
		if lost {
			_ = out.Encode(expired(from)) // the client went away
			return
		}
		sent = next
		for _, e := range events {
			if e.namespace == namespace && (e.kind != "BOOKMARK" || q.Get("allowWatchBookmarks") == "true") {
				_ = out.Encode(map[string]any{"type": e.kind, "object": e.object}) // the client went away
			}
		}
		_ = http.NewResponseController(w).Flush() // the client went away
		select {
		case <-changed:
		case <-over.C:
			return
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// begin counts a watch and returns the index of its first event; -1 is one that is
// forgotten.
func (p *pods) begin(from int) (first int, cut chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	if from < p.oldest {
		return -1, p.cut
	}
	first = slices.IndexFunc(p.events, func(e podEvent) bool { return e.version > from })
	if first < 0 {
		first = len(p.events)
	}
	return first, p.cut
}

func (p *pods) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
}

// since returns the events from an index on. They are lost when they were forgotten.
func (p *pods) since(index int) (events []podEvent, next int, changed chan struct{}, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if index < 0 || index > len(p.events) {
		return nil, 0, nil, true
	}
	return slices.Clone(p.events[index:]), len(p.events), p.changed, false
}

func expired(from int) map[string]any {
	return map[string]any{"type": "ERROR", "object": map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": http.StatusGone,
		"message": fmt.Sprintf("too old resource version: %d", from),
	}}
}
