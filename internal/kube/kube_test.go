// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/kubefake"
)

const job = "ci-audit"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func run(name, job, kind string, started time.Time) kubefake.Run {
	return kubefake.Run{Name: name, Job: job, Type: kind, Started: started, Done: true}
}

// start serves an API and returns a client that reads a kubeconfig.
func start(t *testing.T, runs ...kubefake.Run) (*kubefake.Server, *Client) {
	t.Helper()
	fake := kubefake.New("prow", "t0ken")
	for _, r := range runs {
		fake.Put(r)
	}
	c, err := Find(Options{Kubeconfig: kubeconfig(t, fake, serve(t, fake), "token: t0ken"), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return fake, c
}

func serve(t *testing.T, fake *kubefake.Server) *httptest.Server {
	server := httptest.NewTLSServer(fake.Handler())
	t.Cleanup(server.Close)
	return server
}

func kubeconfig(t *testing.T, fake *kubefake.Server, server *httptest.Server, user string) string {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, fake.Kubeconfig(server.URL, ca, user), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func inject(t *testing.T, fake *kubefake.Server, rules ...fault.Rule) {
	t.Helper()
	fake.Heal()
	if err := fake.Inject(rules...); err != nil {
		t.Fatal(err)
	}
}

func TestStartCopiesTheNewestRun(t *testing.T) {
	fake, c := start(t,
		run("a-newest", job, "", noon), run("b-older", job, "", noon.Add(-time.Hour)),
		run("c-other", "ci-other", "", noon.Add(time.Hour)), run("d-presubmit", job, "presubmit", noon.Add(time.Hour)))
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
	objects := fake.Objects()
	if len(objects) != 5 {
		t.Fatalf("%d objects", len(objects))
	}
	made := objects[Name("drift/rerun-7")]
	if got, want := asJSON(t, made["spec"]), asJSON(t, objects["a-newest"]["spec"]); got != want {
		t.Errorf("spec %s\nwant %s", got, want)
	}
	want := `{"annotations":{"prow.k8s.io/context":"","prow.k8s.io/job":"ci-audit","steward.sigs.k8s.io/key":"drift/rerun-7","steward.sigs.k8s.io/why":"dora asked for it","testgrid-dashboards":"infra"},` +
		`"labels":{"created-by-prow":"true","prow.k8s.io/context":"","prow.k8s.io/job":"ci-audit","prow.k8s.io/refs.org":"acme","prow.k8s.io/type":"periodic","team":"infra"},` +
		`"name":"` + Name("drift/rerun-7") + `","namespace":"prow"}`
	if got := asJSON(t, made["metadata"]); got != want {
		t.Errorf("metadata %s\nwant %s", got, want)
	}
	started, err := time.Parse(time.RFC3339, made.Text("status", "startTime"))
	status := asJSON(t, made["status"])
	if err != nil || started.Before(before) || made.Text("status", "state") != "triggered" || strings.Contains(status, "build_id") || strings.Contains(status, "completion") {
		t.Errorf("status %s, %v", status, err)
	}
	if last, err := c.Last(t.Context(), job); err != nil || last.Done || !last.Started.Equal(started) {
		t.Errorf("the new run is not the last one: %+v, %v", last, err)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNames(t *testing.T) {
	if Name("a") == Name("b") || len(Name("a")) > 63 || !legalNamespace.MatchString(Name("a")) {
		t.Error(Name("a"))
	}
	long := strings.Repeat("x", 62) + "-" + strings.Repeat("y", 40)
	fake, c := start(t, run("a", long, "", noon), run("b", long+"-other", "", noon.Add(time.Hour)))
	if last, err := c.Last(t.Context(), long); err != nil || !last.Started.Equal(noon) {
		t.Errorf("jobs whose labels are the same: %+v, %v", last, err)
	}
	if err := c.Start(t.Context(), long, "k", ""); err != nil {
		t.Error(err)
	}
	if got := fake.Objects()[Name("k")].Text("metadata", "labels", "prow.k8s.io/job"); got != strings.Repeat("x", 62) {
		t.Error(got)
	}
}

func TestNoRunIsKnown(t *testing.T) {
	fake, c := start(t, run("a", "ci-other", "", noon), run("b", job, "presubmit", noon))
	_, err := c.Last(t.Context(), job)
	if !errors.Is(err, ErrNoRun) || !errors.Is(c.Start(t.Context(), job, "k", ""), ErrNoRun) || len(fake.Objects()) != 2 {
		t.Errorf("%v, %d objects", err, len(fake.Objects()))
	}
}

func TestAllPagesAreRead(t *testing.T) {
	var runs []kubefake.Run
	for i := range 250 {
		runs = append(runs, run(fmt.Sprintf("r%03d", i), job, "", noon.Add(time.Duration(i*7%250)*time.Minute)))
	}
	fake, c := start(t, runs...)
	newest := noon.Add(249 * time.Minute)
	if last, err := c.Last(t.Context(), job); err != nil || !last.Started.Equal(newest) || len(fake.Requests()) != 3 {
		t.Errorf("%+v, %v after %v", last, err, fake.Requests())
	}
	inject(t, fake, fault.Rule{Action: "status", Status: 410, Nth: 2})
	if last, err := c.Last(t.Context(), job); err != nil || !last.Started.Equal(newest) || len(fake.Requests()) != 5 {
		t.Errorf("after 410: %+v, %v after %v", last, err, fake.Requests())
	}
	inject(t, fake, fault.Rule{Action: "status", Status: 410, Nth: 2, Times: 9})
	if _, err := c.Last(t.Context(), job); err == nil || IsForbidden(err) || !strings.Contains(err.Error(), "410") {
		t.Errorf("after 410 twice: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for code, forbidden := range map[int]bool{401: true, 403: true, 404: true, 429: false, 500: false, 503: false, 302: false} {
		fake, c := start(t, run("a", job, "", noon))
		for nth := 1; nth <= 2; nth++ { // of the list, of the create
			inject(t, fake, fault.Rule{Action: "status", Status: code, Nth: nth})
			err := c.Start(t.Context(), job, "k", "")
			if err == nil || IsForbidden(err) != forbidden || len(fake.Objects()) != 1 || !strings.Contains(err.Error(), fmt.Sprint(code)) {
				t.Errorf("%d at request %d: %v", code, nth, err)
			}
		}
	}
}

// Whatever becomes of an answer, asking again ends with one run.
func TestStartHealsAnyFault(t *testing.T) {
	for nth := 1; nth <= 2; nth++ {
		for _, rule := range []fault.Rule{
			{Action: "reset"}, {Action: "reset", After: true}, {Action: "truncate"}, {Action: "status", Status: 500, After: true}, {Action: "status", Status: 200, Body: "<html>"},
		} {
			fake, c := start(t, run("a", job, "", noon))
			rule.Nth = nth
			inject(t, fake, rule)
			first := c.Start(t.Context(), job, "k", "")
			fake.Heal()
			if err := c.Start(t.Context(), job, "k", ""); err != nil || len(fake.Objects()) != 2 || fake.Objects()[Name("k")] == nil {
				t.Errorf("%+v: %v, then %v; %d objects", rule, first, err, len(fake.Objects()))
			}
		}
	}
}

func TestASlowServerIsGivenUp(t *testing.T) {
	fake := kubefake.New("prow", "x")
	inject(t, fake, fault.Rule{Action: "hang"})
	c, err := Find(Options{Kubeconfig: kubeconfig(t, fake, serve(t, fake), "token: x"), Timeout: 50 * time.Millisecond})
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
	fake := kubefake.New("prow", "t0ken")
	fake.Put(run("a", job, "", noon))
	server := serve(t, fake)
	file := kubeconfig(t, fake, server, "tokenFile: "+writeToken(t, "t0ken"))
	c, err := Find(Options{Kubeconfig: file})
	if err != nil || c.Namespace() != "prow" {
		t.Fatal(err, c)
	}
	if _, err := c.Last(t.Context(), job); err != nil {
		t.Errorf("with a token file: %v", err)
	}
	wrong, err := Find(Options{Kubeconfig: kubeconfig(t, fake, server, "token: secret-of-mine")})
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
