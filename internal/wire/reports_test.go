// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/thread"
)

var acme = thread.Repo{Org: "acme", Name: "infra"}

// bucket serves one object with an ETag, as object stores do.
type bucket struct {
	mu      sync.Mutex
	content []byte
	status  int
	asked   atomic.Int32
	full    atomic.Int32
}

func (b *bucket) put(content []byte, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.content, b.status = content, status
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.asked.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	etag := fmt.Sprintf("%q", fmt.Sprint(len(b.content)))
	w.Header().Set("ETag", etag)
	switch {
	case b.status != 0:
		http.Error(w, "an answer of a proxy", b.status)
	case r.Header.Get("If-None-Match") == etag:
		w.WriteHeader(http.StatusNotModified)
	default:
		b.full.Add(1)
		_, _ = w.Write(b.content)
	}
}

// stored is a report with n findings.
func storedReport(t *testing.T, n int, ended time.Time) []byte {
	t.Helper()
	var all []finding.Finding
	for i := range n {
		all = append(all, finding.Finding{Rule: "GCS-1", Object: fmt.Sprintf("gs://b%d", i), Message: "x", Severity: finding.Error})
	}
	var out bytes.Buffer
	if err := report.Write(&out, "json", all, report.Options{Title: "audit", Started: ended, Ended: ended}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fetcher reads the report at an address that may change; later lets the minute pass.
func fetcher(address *string) (r *reports, later func()) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	r = newReports(func(thread.Repo) settings.Drift { return settings.Drift{Report: *address} }, newHookMetrics(prometheus.NewRegistry()), logrus.NewEntry(log))
	return r, func() { r.of(acme).tried = time.Time{} }
}

func findings(r *reports, ctx context.Context) string {
	got, fetched, err := r.Report(ctx, acme)
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%d findings, confirmed %t", len(got.Items), time.Since(fetched) < time.Minute)
}

func TestReportIsFetchedOnceAMinute(t *testing.T) {
	b := &bucket{content: storedReport(t, 2, time.Unix(1, 0))}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	r, later := fetcher(&server.URL)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got := findings(r, t.Context()); got != "2 findings, confirmed true" {
				t.Error(got)
			}
		})
	}
	group.Wait()
	if n := b.asked.Load(); n != 1 {
		t.Errorf("%d requests of 20 threads", n)
	}
	later()
	first := r.digest(t.Context(), acme)
	if n, full := b.asked.Load(), b.full.Load(); n != 2 || full != 1 {
		t.Errorf("%d requests, %d whole answers: an unchanged report is sent once", n, full)
	}
	b.put(append(storedReport(t, 2, time.Unix(2, 0)), '\n'), 0)
	later()
	if got := findings(r, t.Context()); got != "2 findings, confirmed true" || b.full.Load() != 2 || r.digest(t.Context(), acme) != first {
		t.Errorf("%s, %d whole answers: a report that says the same has the same digest", got, b.full.Load())
	}
	b.put(storedReport(t, 3, time.Unix(3, 0)), 0)
	later()
	if got := findings(r, t.Context()); got != "3 findings, confirmed true" || r.digest(t.Context(), acme) == first {
		t.Error(got)
	}
}

// What was read stays when the bucket fails, with the time when it was the newest.
func TestReportThatCannotBeFetchedAgain(t *testing.T) {
	b := &bucket{status: http.StatusNotFound}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	r, later := fetcher(&server.URL)
	if got := findings(r, t.Context()); got != "error: the server answers with status 404" || r.digest(t.Context(), acme) != "none" {
		t.Error(got)
	}
	b.put(storedReport(t, 2, time.Time{}), 0)
	if got := findings(r, t.Context()); !strings.Contains(got, "404") || b.asked.Load() != 1 {
		t.Errorf("%s: a failure is not asked for again within the minute either", got)
	}
	later()
	if got := findings(r, t.Context()); got != "2 findings, confirmed true" {
		t.Error(got)
	}
	digest := r.digest(t.Context(), acme)
	for _, bad := range []func(){
		func() { b.put(nil, http.StatusServiceUnavailable) },
		func() { b.put([]byte(`{"schema":1,"title":"audit","findings":[`), 0) },
		func() { b.put([]byte("<html>"), 0) },
		func() { b.put(bytes.Repeat([]byte(" "), report.MaxBytes+2), 0) },
		server.CloseClientConnections, server.Close,
	} {
		bad()
		later()
		r.of(acme).fetched = time.Now().Add(-time.Hour)
		if got := findings(r, t.Context()); got != "2 findings, confirmed false" || r.digest(t.Context(), acme) != digest {
			t.Error(got)
		}
	}
}

// A download that broke off says nothing of the version: the next one is read.
func TestReportThatBrokeOff(t *testing.T) {
	content := storedReport(t, 2, time.Time{})
	cut := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		if cut {
			_, _ = w.Write(content[:len(content)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	r, later := fetcher(&server.URL)
	if got := findings(r, t.Context()); got != "error: its download broke off" {
		t.Error(got)
	}
	cut = false
	later()
	if got := findings(r, t.Context()); got != "2 findings, confirmed true" {
		t.Error(got)
	}
}

// A server that hangs costs one thread its time, and no other one.
func TestASlowReportHoldsOneThread(t *testing.T) {
	hang, asked := make(chan struct{}), make(chan struct{}, 1)
	content, slow := storedReport(t, 2, time.Time{}), false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if slow {
			asked <- struct{}{}
			<-hang
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	r, later := fetcher(&server.URL)
	if got := findings(r, t.Context()); got != "2 findings, confirmed true" {
		t.Fatal(got)
	}
	slow = true
	later()
	done := make(chan string)
	go func() { done <- findings(r, t.Context()) }()
	<-asked
	if got := findings(r, t.Context()); got != "2 findings, confirmed true" {
		t.Error(got)
	}
	close(hang)
	if got := <-done; got != "2 findings, confirmed true" {
		t.Error(got)
	}
}

func TestReportRefusals(t *testing.T) {
	private := bytes.Replace(storedReport(t, 0, time.Time{}), []byte(`"title"`), []byte(`"private": true, "title"`), 1)
	for name, serve := range map[string]http.HandlerFunc{
		"it is the private report": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(private) },
		"the server does not answer": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound)
		},
		"status 304":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"status 401":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"parse report": func(http.ResponseWriter, *http.Request) {},
	} {
		server := httptest.NewServer(serve)
		address := server.URL + "/secret-path"
		r, _ := fetcher(&address)
		if got := findings(r, t.Context()); !strings.Contains(got, name) || strings.Contains(got, "secret-path") || strings.Contains(got, "127.0.0.1") {
			t.Errorf("%s: %s", name, got)
		}
		server.Close()
	}
	none := ""
	r, _ := fetcher(&none)
	if got := findings(r, t.Context()); !strings.Contains(got, "do not say where it is") {
		t.Error(got)
	}
}

// A caller that gives up is no failure of the report: the next one asks again.
func TestReportOfACallerThatLeaves(t *testing.T) {
	b := &bucket{content: storedReport(t, 1, time.Time{})}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	r, _ := fetcher(&server.URL)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Report(ctx, acme); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := findings(r, t.Context()); got != "1 findings, confirmed true" {
		t.Error(got)
	}
}

func TestReportInAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latest.json")
	address := "file://" + path
	r, _ := fetcher(&address)
	if got := findings(r, t.Context()); got != "error: there is none yet" {
		t.Error(got)
	}
	write := func(content []byte) {
		t.Helper()
		next := path + ".next"
		if err := errors.Join(os.WriteFile(next, content, 0o600), os.Rename(next, path)); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("{"))
	for range 2 {
		if got := findings(r, t.Context()); !strings.Contains(got, "parse report") {
			t.Error(got)
		}
	}
	write(storedReport(t, 4, time.Time{}))
	if got := findings(r, t.Context()); got != "4 findings, confirmed true" {
		t.Errorf("a file is looked at every time: %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := findings(r, t.Context()); got != "4 findings, confirmed true" {
		t.Error(got)
	}
	address = "file://" + t.TempDir()
	if got := findings(r, t.Context()); got != "error: its file is not one" {
		t.Errorf("a folder, and what was at another address is forgotten: %s", got)
	}
}

// Whatever asks for it, only the job of the settings is started.
func TestOnlyTheJobOfTheSettingsIsStarted(t *testing.T) {
	jobs := &prowJobs{settings: func(r thread.Repo) settings.Repo {
		if r == acme {
			return settings.Repo{Drift: settings.Drift{Job: "ci-audit"}, Promote: settings.Job{Job: "ci-promote"}}
		}
		return settings.Repo{}
	}}
	for _, tt := range []struct {
		repo thread.Repo
		job  string
		want string
	}{
		{acme, "ci-deploy", "do not name it"},
		{acme, "", "do not name it"},
		{thread.Repo{Org: "acme", Name: "other"}, "ci-audit", "do not name it"},
		{thread.Repo{Org: "acme", Name: "other"}, "", "do not name it"},
		{acme, "ci-audit", "no rights in a cluster"},
		{acme, "ci-promote", "no rights in a cluster"},
	} {
		err := jobs.start(t.Context(), tt.repo, thread.CreateJob{StartJob: thread.StartJob{Job: tt.job, Key: "drift/1"}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s in %s: %v", tt.job, tt.repo, err)
		}
	}
	if job, err := (promoteJobs{jobs}).Job(t.Context(), acme); err != nil || job.Name != "ci-promote" {
		t.Errorf("%+v, %v", job, err)
	}
	if job, err := (reportJobs{jobs}).Job(t.Context(), acme); err != nil || job.Name != "ci-audit" || job.Hurdle != "steward-hook has no rights in a cluster" {
		t.Errorf("%+v, %v", job, err)
	}
}
