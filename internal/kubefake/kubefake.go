// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubefake is the part of a Kubernetes API server that starts jobs of Prow:
// it lists and creates ProwJobs of one namespace, for one token.
//
// It selects by labels, pages, refuses a second object of a name and what the ProwJob
// CRD refuses, keeps fields that it does not know, and answers errors as a Status.
// Faults come from package fault. Custom beside it is the API of any custom resource,
// with versions and watches (objects.go).
package kubefake

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// Server is a cluster. It is safe for concurrent use.
type Server struct {
	fault.Engine
	namespace, token string

	mu      sync.Mutex
	objects map[string]Object
	tokens  map[string]Token
	without map[string]bool // rights that the account has not

	pods *pods
}

// New returns a cluster whose one token may get, list and create ProwJobs in one
// namespace, follow the pods of all and review tokens.
func New(namespace, token string) *Server {
	return &Server{
		namespace: namespace, token: token, objects: map[string]Object{}, tokens: map[string]Token{}, without: map[string]bool{},
		pods: newPods(),
	}
}

// Object is a ProwJob as its JSON has it.
type Object map[string]any

// Text is a field by its path, "" where there is none: Text("status", "state").
func (o Object) Text(path ...string) string {
	var at any = map[string]any(o)
	for _, key := range path {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	text, _ := at.(string)
	return text
}

// Run is a ProwJob as Prow makes one.
type Run struct {
	Name, Job string
	Type      string // "": periodic
	Started   time.Time
	Done      bool
}

// Put stores a run as if Prow had started it.
func (s *Server) Put(r Run) {
	if r.Type == "" {
		r.Type = "periodic"
	}
	status := map[string]any{
		"state": "triggered", "startTime": r.Started.UTC().Format(time.RFC3339), "url": "https://prow.example.org/view/" + r.Name, "build_id": "17",
	}
	if r.Done {
		status["state"], status["completionTime"] = "success", r.Started.Add(time.Minute).UTC().Format(time.RFC3339)
	}
	label := r.Job
	if len(label) > maxLabel {
		label = strings.TrimRight(label[:maxLabel], "._-")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[r.Name] = Object{
		"apiVersion": "prow.k8s.io/v1", "kind": "ProwJob",
		"metadata": map[string]any{
			"name": r.Name, "namespace": s.namespace, "uid": "u-" + r.Name, "resourceVersion": "5", "managedFields": []any{map[string]any{}},
			"labels": map[string]any{
				"created-by-prow": "true", "prow.k8s.io/job": label, "prow.k8s.io/type": r.Type, "prow.k8s.io/context": "",
				"prow.k8s.io/build-id": "17", "prow.k8s.io/refs.org": "acme", "team": "infra",
			},
			"annotations": map[string]any{"prow.k8s.io/job": r.Job, "prow.k8s.io/context": "", "testgrid-dashboards": "infra"},
		},
		"spec": map[string]any{
			"type": r.Type, "job": r.Job, "cluster": "trusted", "a_field_of_tomorrow": map[string]any{"n": json.Number("9007199254740993")},
			"pod_spec": map[string]any{"containers": []any{map[string]any{"args": []any{"from " + r.Name}}}},
		},
		"status": status,
	}
}

// Objects returns the ProwJobs by name.
func (s *Server) Objects() map[string]Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

// Kubeconfig is a file that leads to the server at a URL; ca is its certificate in PEM,
// and user the fields of the user, such as "token: x".
func (s *Server) Kubeconfig(url string, ca []byte, user string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me, namespace: %s}}]
clusters: [{name: here, cluster: {server: %q, certificate-authority-data: %q}}]
users: [{name: me, user: {%s}}]
`, s.namespace, url, base64.StdEncoding.EncodeToString(ca), user)
}

// Handler is the API.
func (s *Server) Handler() http.Handler { return s.Engine.Handler(http.HandlerFunc(s.serve), refusal) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	namespace, ofPods := podsOf(r.URL.Path)
	switch {
	case r.Header.Get("Authorization") != "Bearer "+s.token:
		refuse(w, http.StatusUnauthorized, "Unauthorized")
	case ofPods:
		s.servePods(w, r, namespace)
	case r.URL.Path == "/apis/authentication.k8s.io/v1/tokenreviews":
		s.review(w, r)
	default:
		s.serveProwJobs(w, r)
	}
}

func (s *Server) serveProwJobs(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Path != "/apis/prow.k8s.io/v1/namespaces/"+s.namespace+"/prowjobs":
		refuse(w, http.StatusForbidden, `prowjobs.prow.k8s.io is forbidden: User "system:serviceaccount:prow:steward-hook" cannot do that`)
	case r.Method == http.MethodGet:
		s.list(w, r)
	case r.Method == http.MethodPost:
		s.create(w, r)
	default:
		refuse(w, http.StatusMethodNotAllowed, "the server does not allow this method on the requested resource")
	}
}

func refusal(code int, message string) (contentType string, body []byte) {
	return "application/json", fmt.Appendf(nil, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"code":%d}`, message, code)
}

func refuse(w http.ResponseWriter, code int, message string) {
	kind, body := refusal(code, message)
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client went away
}

// list answers ?labelSelector=a=b,c=d&limit=N&continue=NAME in the order of names.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	items, next := []Object{}, ""
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		object := s.objects[name]
		if name <= q.Get("continue") || !object.selected(q.Get("labelSelector")) {
			continue
		}
		if limit > 0 && len(items) == limit {
			next = items[limit-1].Text("metadata", "name")
			break
		}
		items = append(items, object)
	}
	answer(w, http.StatusOK, map[string]any{"kind": "ProwJobList", "apiVersion": "prow.k8s.io/v1", "metadata": map[string]any{"continue": next}, "items": items})
}

func (o Object) selected(selector string) bool {
	for term := range strings.SplitSeq(selector, ",") {
		if key, value, ok := strings.Cut(term, "="); ok && o.Text("metadata", "labels", key) != value {
			return false
		}
	}
	return true
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client went away
}

// maxLabel is the longest value of a label.
const maxLabel = 63

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(http.MaxBytesReader(w, r.Body, 3<<20)); err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	var object Object
	dec := json.NewDecoder(&raw)
	dec.UseNumber() // large integers stay what they are
	if err := dec.Decode(&object); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	name := object.Text("metadata", "name")
	switch {
	case object.Text("apiVersion") != "prow.k8s.io/v1" || object.Text("kind") != "ProwJob" || object.Text("metadata", "namespace") != s.namespace || name == "":
		refuse(w, http.StatusBadRequest, "the object does not fit the URL")
	case r.Header.Get("Content-Type") != "application/json":
		refuse(w, http.StatusUnsupportedMediaType, "the body is not JSON by its header")
	case s.objects[name] != nil:
		refuse(w, http.StatusConflict, fmt.Sprintf("prowjobs.prow.k8s.io %q already exists", name))
	case !object.valid():
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("ProwJob.prow.k8s.io %q is invalid", name))
	default:
		s.objects[name] = object
		answer(w, http.StatusCreated, object)
	}
}

// valid checks what the CRD and the API machinery check of what we write.
func (o Object) valid() bool {
	meta, _ := o["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	for key := range labels {
		if len(o.Text("metadata", "labels", key)) > maxLabel {
			return false
		}
	}
	states := []string{"scheduling", "triggered", "pending", "success", "failure", "aborted", "error"}
	_, err := time.Parse(time.RFC3339, o.Text("status", "startTime"))
	return err == nil && slices.Contains(states, o.Text("status", "state")) && o.Text("spec", "job") != "" && o.Text("spec", "type") != ""
}
