// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// api answers lists and creates of ProwJobs as a Kubernetes API server does, over TLS, to one token.
type api struct {
	mu       sync.Mutex
	objects  map[string]map[string]any
	fails    []func(*http.Request) (int, string) // one request each, first to last; 0: answer as usual
	requests []string
	token    string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r.Method+" "+r.URL.RequestURI())
	if len(a.fails) > 0 {
		fail := a.fails[0]
		a.fails = a.fails[1:]
		if code, message := fail(r); code != 0 {
			refuse(w, code, message)
			return
		}
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+a.token:
		refuse(w, 401, "Unauthorized")
	case r.URL.Path != "/apis/prow.k8s.io/v1/namespaces/prow/prowjobs":
		refuse(w, 403, `prowjobs.prow.k8s.io is forbidden: User "system:serviceaccount:prow:steward-hook" cannot do that`)
	case r.Method == "GET":
		a.list(w, r)
	case r.Method == "POST":
		a.create(w, r)
	default:
		refuse(w, 405, "the server does not allow this method on the requested resource")
	}
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"code":%d}`, message, code)
}

func labelsOf(object map[string]any) map[string]any {
	labels, _ := object["metadata"].(map[string]any)["labels"].(map[string]any)
	return labels
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	var items []any
	next := ""
	for _, name := range slices.Sorted(maps.Keys(a.objects)) {
		object := a.objects[name]
		matches := name > q.Get("continue")
		for selector := range strings.SplitSeq(q.Get("labelSelector"), ",") {
			key, value, _ := strings.Cut(selector, "=")
			matches = matches && labelsOf(object)[key] == value
		}
		if matches && len(items) == limit {
			next = items[limit-1].(map[string]any)["metadata"].(map[string]any)["name"].(string)
			break
		}
		if matches {
			items = append(items, object)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ProwJobList", "metadata": map[string]any{"continue": next}, "items": items})
}

func (a *api) create(w http.ResponseWriter, r *http.Request) {
	var object map[string]any
	dec := json.NewDecoder(r.Body)
	dec.UseNumber() // as the API server: large integers stay what they are
	if err := dec.Decode(&object); err != nil {
		refuse(w, 400, err.Error())
		return
	}
	meta := object["metadata"].(map[string]any)
	name := meta["name"].(string)
	switch {
	case object["apiVersion"] != "prow.k8s.io/v1" || object["kind"] != "ProwJob" || meta["namespace"] != "prow" || r.Header.Get("Content-Type") != "application/json":
		refuse(w, 400, "the object does not fit the URL")
		return
	case a.objects[name] != nil:
		refuse(w, 409, fmt.Sprintf("prowjobs.prow.k8s.io %q already exists", name))
		return
	case object["status"].(map[string]any)["state"] == nil:
		refuse(w, 422, "status.state: Required value")
		return
	}
	for key, value := range labelsOf(object) {
		if len(value.(string)) > 63 {
			refuse(w, 422, "metadata.labels: Invalid value: "+key)
			return
		}
	}
	a.objects[name] = object
	w.WriteHeader(201)
	_ = json.NewEncoder(w).Encode(object)
}

const job = "ci-audit"

// run is a ProwJob as Prow makes them.
func run(name, job, kind string, started time.Time, done bool) map[string]any {
	status := map[string]any{"state": "triggered", "startTime": started.Format(time.RFC3339), "url": "https://prow.example.org/view/" + name, "build_id": "17"}
	if done {
		status["completionTime"] = started.Add(time.Minute).Format(time.RFC3339)
	}
	return map[string]any{
		"apiVersion": "prow.k8s.io/v1", "kind": "ProwJob",
		"metadata": map[string]any{
			"name": name, "namespace": "prow", "uid": "u-" + name, "resourceVersion": "5", "managedFields": []any{map[string]any{}},
			"labels": map[string]any{
				"created-by-prow": "true", "prow.k8s.io/job": labelValue(job), "prow.k8s.io/type": kind, "prow.k8s.io/context": "",
				"prow.k8s.io/build-id": "17", "prow.k8s.io/refs.org": "acme", "team": "infra",
			},
			"annotations": map[string]any{"prow.k8s.io/job": job, "prow.k8s.io/context": "", "testgrid-dashboards": "infra"},
		},
		"spec": map[string]any{
			"type": kind, "job": job, "cluster": "trusted", "pod_spec": map[string]any{"containers": []any{map[string]any{"args": []any{"from " + name}}}},
			"a_field_we_do_not_know": map[string]any{"n": 9007199254740993},
		},
		"status": status,
	}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// start serves an API and returns a client that reads a kubeconfig.
func start(t *testing.T, objects ...map[string]any) (*api, *Client) {
	t.Helper()
	a := &api{objects: map[string]map[string]any{}, token: "t0ken"}
	for _, o := range objects {
		a.objects[o["metadata"].(map[string]any)["name"].(string)] = o
	}
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	c, err := Find(Options{Kubeconfig: kubeconfig(t, server, "token: t0ken"), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func kubeconfig(t *testing.T, server *httptest.Server, user string) string {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me, namespace: prow}}]
clusters: [{name: here, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: me, user: {%s}}]
`, server.URL, base64.StdEncoding.EncodeToString(ca), user)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestStartCopiesTheNewestRun(t *testing.T) {
	a, c := start(t,
		run("a-newest", job, "periodic", noon, true), run("b-older", job, "periodic", noon.Add(-time.Hour), true),
		run("c-other", "ci-other", "periodic", noon.Add(time.Hour), true), run("d-presubmit", job, "presubmit", noon.Add(time.Hour), true))
	last, err := c.Last(t.Context(), job)
	if err != nil || last != (Run{Started: noon, Done: true, URL: "https://prow.example.org/view/a-newest"}) {
		t.Fatalf("%+v, %v", last, err)
	}
	before := time.Now().Add(-time.Second)
	for range 2 { // AlreadyExists is done
		if err := c.Start(t.Context(), job, "drift/rerun-7", "dora asked for it"); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.objects) != 5 {
		t.Fatalf("%d objects", len(a.objects))
	}
	made := a.objects[Name("drift/rerun-7")]
	meta, status := made["metadata"].(map[string]any), made["status"].(map[string]any)
	text, _ := json.Marshal(made["spec"])
	if want, _ := json.Marshal(run("a-newest", job, "periodic", noon, true)["spec"]); string(text) != string(want) {
		t.Errorf("spec %s\nwant %s", text, want)
	}
	if got, want := fmt.Sprint(meta["labels"]), "map[created-by-prow:true prow.k8s.io/context: prow.k8s.io/job:ci-audit prow.k8s.io/refs.org:acme prow.k8s.io/type:periodic team:infra]"; got != want {
		t.Errorf("labels %s\nwant %s", got, want)
	}
	if got, want := fmt.Sprint(meta["annotations"]), "map[prow.k8s.io/context: prow.k8s.io/job:ci-audit steward.sigs.k8s.io/key:drift/rerun-7 steward.sigs.k8s.io/why:dora asked for it testgrid-dashboards:infra]"; got != want {
		t.Errorf("annotations %s\nwant %s", got, want)
	}
	if len(meta) != 4 { // name, namespace, labels, annotations: nothing of the old object's own
		t.Errorf("metadata %v", meta)
	}
	started, err := time.Parse(time.RFC3339, status["startTime"].(string))
	if err != nil || started.Before(before) || status["state"] != "triggered" || status["completionTime"] != nil || status["build_id"] != nil {
		t.Errorf("status %v", status)
	}
	if last, err := c.Last(t.Context(), job); err != nil || last.Done || !last.Started.Equal(started) {
		t.Errorf("the new run is not the last one: %+v, %v", last, err)
	}
}

func TestNames(t *testing.T) {
	if Name("a") == Name("b") || len(Name("a")) > 63 || !legalNamespace.MatchString(Name("a")) {
		t.Error(Name("a"))
	}
	long := strings.Repeat("x", 62) + "-" + strings.Repeat("y", 40)
	a, c := start(t, run("a", long, "periodic", noon, true), run("b", long+"-other", "periodic", noon.Add(time.Hour), true))
	if last, err := c.Last(t.Context(), long); err != nil || !last.Started.Equal(noon) {
		t.Errorf("jobs whose labels are the same: %+v, %v", last, err)
	}
	if err := c.Start(t.Context(), long, "k", ""); err != nil {
		t.Error(err)
	}
	if got := labelsOf(a.objects[Name("k")])["prow.k8s.io/job"]; got != strings.Repeat("x", 62) {
		t.Error(got)
	}
}

func TestNoRunIsKnown(t *testing.T) {
	a, c := start(t, run("a", "ci-other", "periodic", noon, true), run("b", job, "presubmit", noon, true))
	_, err := c.Last(t.Context(), job)
	if !errors.Is(err, ErrNoRun) || !errors.Is(c.Start(t.Context(), job, "k", ""), ErrNoRun) || len(a.objects) != 2 {
		t.Errorf("%v, %d objects", err, len(a.objects))
	}
}

func TestAllPagesAreRead(t *testing.T) {
	var objects []map[string]any
	for i := range 250 {
		objects = append(objects, run(fmt.Sprintf("r%03d", i), job, "periodic", noon.Add(time.Duration(i*7%250)*time.Minute), true))
	}
	a, c := start(t, objects...)
	newest := noon.Add(249 * time.Minute)
	if last, err := c.Last(t.Context(), job); err != nil || !last.Started.Equal(newest) || len(a.requests) != 3 {
		t.Errorf("%+v, %v after %d requests", last, err, len(a.requests))
	}
	answer := func(code int) func(*http.Request) (int, string) {
		return func(*http.Request) (int, string) { return code, "The provided continue parameter is too old" }
	}
	a.fails = []func(*http.Request) (int, string){answer(0), answer(410)}
	if last, err := c.Last(t.Context(), job); err != nil || !last.Started.Equal(newest) {
		t.Errorf("after 410: %+v, %v", last, err)
	}
	a.fails = []func(*http.Request) (int, string){answer(0), answer(410), answer(0), answer(410)}
	if _, err := c.Last(t.Context(), job); err == nil || IsForbidden(err) || !strings.Contains(err.Error(), "410") {
		t.Errorf("after 410 twice: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for code, forbidden := range map[int]bool{401: true, 403: true, 404: true, 429: false, 500: false, 503: false, 302: false} {
		a, c := start(t, run("a", job, "periodic", noon, true))
		a.fails = []func(*http.Request) (int, string){func(*http.Request) (int, string) { return code, "no\u202e " + strings.Repeat("x", 1000) }}
		err := c.Start(t.Context(), job, "k", "")
		if err == nil || IsForbidden(err) != forbidden || len(err.Error()) > 450 || len(a.objects) != 1 {
			t.Errorf("%d: %v", code, err)
		}
	}
	a, c := start(t, run("a", job, "periodic", noon, true))
	a.fails = []func(*http.Request) (int, string){
		func(*http.Request) (int, string) { return 0, "" },
		func(*http.Request) (int, string) { return 403, "may list, may not create" },
	}
	if err := c.Start(t.Context(), job, "k", ""); !IsForbidden(err) || !strings.Contains(err.Error(), "may not create") {
		t.Errorf("%v", err)
	}
}

func TestASlowServerIsGivenUp(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	c, err := Find(Options{Kubeconfig: kubeconfig(t, server, "token: x"), Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Last(t.Context(), job); err == nil || strings.Contains(err.Error(), "labelSelector") {
		t.Errorf("%v", err)
	}
}

func TestConfiguration(t *testing.T) {
	if c, err := Find(Options{}); c != nil || err != nil { // this test runs in no pod
		t.Errorf("%v, %v", c, err)
	}
	if _, err := Find(Options{Kubeconfig: "missing"}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("%v", err)
	}
	a, _ := start(t, run("a", job, "periodic", noon, true))
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	file := kubeconfig(t, server, "tokenFile: "+writeToken(t, "t0ken"))
	c, err := Find(Options{Kubeconfig: file})
	if err != nil || c.Namespace() != "prow" {
		t.Fatal(err, c)
	}
	if _, err := c.Last(t.Context(), job); err != nil {
		t.Errorf("with a token file: %v", err)
	}
	wrong, err := Find(Options{Kubeconfig: kubeconfig(t, server, "token: secret-of-mine")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Last(t.Context(), job); !IsForbidden(err) || strings.Contains(err.Error(), "secret-of-mine") {
		t.Errorf("%v", err)
	}
	elsewhere, err := Find(Options{Kubeconfig: file, Namespace: "test-pods"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Last(t.Context(), job); !IsForbidden(err) || !strings.Contains(err.Error(), "cannot do that") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"../x", "a/b", "A", "-", "a b"} {
		if _, err := Find(Options{Kubeconfig: file, Namespace: bad}); err == nil {
			t.Errorf("namespace %q is taken", bad)
		}
	}
}

func writeToken(t *testing.T, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
