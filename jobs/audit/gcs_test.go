// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gcp"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/report"
)

// bucketFiles are the export of a bucket.
func bucketFiles(project, bucket string) map[string]string {
	dir := "audit/projects/" + project + "/buckets/" + bucket + "/"
	return map[string]string{
		dir + "metadata.txt": "gs://" + bucket + "/ :\n" + `	Storage class:			STANDARD
	Location type:			multi-region
	Location constraint:		US
	Versioning enabled:		None
	Logging configuration:		None
	Website configuration:		None
	CORS configuration: 		None
	Lifecycle configuration:	None
	Requester Pays enabled:		None
	Labels:				None
	Default KMS key:		None
	Time created:			Fri, 29 Jul 2022 17:20:38 GMT
	Time updated:			Fri, 29 Jul 2022 17:21:36 GMT
	Metageneration:			2
	Bucket Policy Only enabled:	True
	Public access prevention:	inherited
	RPO:				DEFAULT
	ACL:				[]
	Default ACL:			[]
`,
		dir + "iam.json": `{"bindings":[{"members":["projectOwner:` + project + `"],"role":"roles/storage.legacyBucketOwner"}]}`,
	}
}

// smallExport is two projects with buckets and one without.
func smallExport() fstest.MapFS {
	files := fstest.MapFS{
		"audit/OWNERS":                          {Data: []byte("approvers: [alice]\n")},
		"audit/projects/p1/description.json":    {Data: []byte(`{"projectNumber":"42"}`)},
		"audit/projects/empty/description.json": {Data: []byte(`{}`)},
	}
	for project, buckets := range map[string][]string{"p1": {"one", "two", "three"}, "p2": {"four"}} {
		for _, b := range buckets {
			for name, text := range bucketFiles(project, b) {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
	}
	return files
}

// bucketsOf asks a fake, and gives up as quickly as attempts say.
func bucketsOf(t testing.TB, url string, attempts int) Buckets {
	t.Helper()
	return hastyBuckets(t, url, attempts, time.Minute)
}

// hastyBuckets does not wait long for an answer: for a fake that may never give one.
func hastyBuckets(t testing.TB, url string, attempts int, patience time.Duration) Buckets {
	t.Helper()
	c, err := gcp.New(t.Context(), gcp.Options{Endpoint: url, HTTP: httpread.Options{
		// A connection for each request: net/http tries again on its own where an old one was reset.
		Base: &http.Transport{DisableKeepAlives: true},
		Pace: pace.New(pace.Options{Rate: 1e6}), Attempts: attempts, Timeout: patience, Backoff: time.Microsecond,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// auditBuckets compares declared files with what a reader finds; release is for a brake.
func auditBuckets(t testing.TB, declared fs.FS, reader Buckets, journal audit.Journal, release ...string) audit.Outcome {
	t.Helper()
	c, err := newGCS(declared, reader)
	if err != nil {
		t.Fatal(err)
	}
	out, err := audit.Run(t.Context(), c, audit.Options{Parallel: 16, Journal: journal, Release: release})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kept is a journal in memory.
type kept struct {
	readings map[string]audit.Reading
	all      bytes.Buffer
}

func (k *kept) Readings(string) map[string]audit.Reading { return k.readings }

func (k *kept) Record(part, unit string, r audit.Reading) {
	if k.readings == nil {
		k.readings = map[string]audit.Reading{}
	}
	k.readings[unit] = r
	_ = json.NewEncoder(&k.all).Encode(r)
}

func startCloud(t testing.TB, states ...fs.FS) *cloudfake.Running {
	t.Helper()
	s := cloudfake.Start(t, cloudfake.Options{}, "")
	if err := s.GCP.States(states...); err != nil {
		t.Fatal(err)
	}
	return s
}

func lines(out audit.Outcome) string {
	var all []string
	for _, f := range out.Findings {
		all = append(all, fmt.Sprintf("%s %s %s %s", f.Rule, f.Severity, f.Object, f.Field))
	}
	for _, g := range out.Coverage.Gaps {
		all = append(all, fmt.Sprintf("gap %s %s", g.Scope, g.Reason))
	}
	return strings.Join(all, "\n")
}

func TestBucketsAsDeclared(t *testing.T) {
	s := startCloud(t, smallExport())
	out := auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), nil, "")
	if lines(out) != "" || out.Coverage.Units != 3 || out.Coverage.Read != 3 || out.Coverage.Objects != 4 {
		t.Errorf("%s %+v", lines(out), out.Coverage)
	}
	if n := len(s.Faults.Requests()); n != 3+4 {
		t.Errorf("%d requests", n)
	}
}

func TestBucketsThatDiffer(t *testing.T) {
	s := startCloud(t, smallExport())
	for _, m := range []cloudfake.Mutation{
		{Bucket: "one", Patch: json.RawMessage(`{"labels":{"a":"b"},"softDeletePolicy":{"retentionDurationSeconds":"1"}}`)},
		{Bucket: "two", Policy: json.RawMessage(`{"bindings":[{"members":["projectOwner:p1"],"role":"roles/storage.legacyBucketOwner"},{"members":["allUsers"],"role":"roles/storage.objectViewer"}]}`)},
		{Bucket: "four", Delete: true},
		{Bucket: "five", Project: "empty"},
	} {
		if err := s.GCP.Mutate(m); err != nil {
			t.Fatal(err)
		}
	}
	want := `GCS-10 info buckets softDeletePolicy
GCS-2 error gs://five 
GCS-9 warning gs://one labels/a
GCS-4 critical gs://two iam/roles/storage.objectViewer/allUsers
GCS-1 critical gs://four `
	if got := lines(auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), nil, "")); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestBucketGaps (AB-8): what may not be read is named, and the rest is audited.
func TestBucketGaps(t *testing.T) {
	s := startCloud(t, smallExport())
	if err := s.GCP.Mutate(cloudfake.Mutation{Bucket: "one", Patch: json.RawMessage(`{"labels":{"a":"b"},"versioning":"yes"}`),
		Policy: json.RawMessage(`{"bindings":[]}`)}); err != nil {
		t.Fatal(err)
	}
	s.GCP.Deny("projects/p2", "gs://one iam")
	want := `GCS-9 warning gs://one labels/a
gap gs://one iam denied
gap gs://one versioning malformed
gap projects/p2 denied`
	if got := lines(auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), nil, "")); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestBucketFaultSweep (AB-8, AB-10): for every request of a clean run and every fault, nothing is
// reported that is not so, and what was not read is named. A fault that passes leaves
// nothing behind.
func TestBucketFaultSweep(t *testing.T) {
	s := startCloud(t, smallExport())
	auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), nil, "")
	clean := len(s.Faults.Requests())
	for _, rule := range []fault.Rule{
		{Action: "status", Status: 403}, {Action: "status", Status: 404}, {Action: "status", Status: 429}, {Action: "status", Status: 500},
		{Action: "hang"}, {Action: "reset"}, {Action: "truncate"}, {Action: "status", Status: 200, Body: "{}"}, {Action: "status", Status: 400, Body: "<html>"},
	} {
		for nth := range clean {
			rule.Nth = nth + 1
			s.Faults.Heal()
			if err := s.Faults.Inject(rule); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%s %d at request %d", rule.Action, rule.Status, rule.Nth)
			patience := time.Minute
			if rule.Action == "hang" {
				patience = 300 * time.Millisecond
			}
			out := auditBuckets(t, smallExport(), hastyBuckets(t, s.URL, 1, patience), nil, "")
			hit := ""
			for _, r := range s.Faults.Requests() {
				if r.Fault != "" {
					hit = r.Path
				}
			}
			scope := "projects/"
			if bucket, ok := strings.CutSuffix(strings.TrimPrefix(hit, "/storage/v1/b/"), "/iam"); ok {
				scope = "gs://" + bucket + " iam"
			}
			if len(out.Findings) > 0 || out.Held != nil || out.Coverage.Complete() {
				t.Errorf("%s: %s", what, lines(out))
			}
			if gaps := out.Coverage.Gaps; len(gaps) != 1 || !strings.HasPrefix(gaps[0].Scope, scope) {
				t.Errorf("%s: hit %s, gaps %+v", what, hit, gaps)
			}
			if rule.Status == 403 || rule.Status == 404 || rule.Status == 200 || rule.Status == 400 || rule.Action == "hang" {
				continue // these do not pass, or not quickly
			}
			s.Faults.Heal()
			if err := s.Faults.Inject(rule); err != nil {
				t.Fatal(err)
			}
			if out := auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 3), nil, ""); lines(out) != "" || !out.Coverage.Complete() {
				t.Errorf("%s, tried again: %s", what, lines(out))
			}
		}
	}
}

// TestCloudThatMoves: the cloud changes between any two requests. What is reported is
// never a bucket that was there all the time.
func TestCloudThatMoves(t *testing.T) {
	before, after := smallExport(), smallExport()
	for name, text := range bucketFiles("p1", "made") {
		after[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name := range bucketFiles("p1", "two") {
		delete(after, name)
	}
	for nth := 1; nth <= 8; nth++ {
		s := startCloud(t, before, after)
		reader := &moving{inner: bucketsOf(t, s.URL, 1), at: int32(nth), move: func() {
			if _, err := s.GCP.Step(); err != nil {
				t.Error(err)
			}
		}}
		out := auditBuckets(t, smallExport(), reader, nil, "")
		for _, f := range out.Findings {
			if f.Object != "gs://two" && f.Object != "gs://made" {
				t.Errorf("step before request %d: %s", nth, lines(out))
			}
		}
	}
}

// moving lets something happen before one of the calls.
type moving struct {
	inner Buckets
	at    int32
	move  func()
	asked atomic.Int32
}

func (m *moving) count() {
	if m.asked.Add(1) == m.at {
		m.move()
	}
}

func (m *moving) Buckets(ctx context.Context, project string) ([]json.RawMessage, error) {
	m.count()
	return m.inner.Buckets(ctx, project)
}

func (m *moving) Policy(ctx context.Context, bucket string) (json.RawMessage, error) {
	m.count()
	return m.inner.Policy(ctx, bucket)
}

// TestBucketsOfAnotherProject (AB-8): a list that has them is not believed.
func TestBucketsOfAnotherProject(t *testing.T) {
	s := startCloud(t, smallExport())
	if err := s.GCP.Mutate(cloudfake.Mutation{Bucket: "one", Patch: json.RawMessage(`{"projectNumber":"4711"}`)}); err != nil {
		t.Fatal(err)
	}
	if got := lines(auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), nil, "")); got != "gap projects/p1 malformed" {
		t.Error(got)
	}
}

// TestInterruptedBuckets: a run that ends while policies are read has not read the project.
func TestInterruptedBuckets(t *testing.T) {
	s := startCloud(t, smallExport())
	ctx, cancel := context.WithCancel(t.Context())
	c, err := newGCS(smallExport(), &moving{inner: bucketsOf(t, s.URL, 1), at: 3, move: cancel})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(ctx, "projects/p1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestJournaledBuckets: a resumed run says the same without asking again.
func TestJournaledBuckets(t *testing.T) {
	s := startCloud(t, smallExport())
	if err := s.GCP.Mutate(cloudfake.Mutation{Bucket: "one", Patch: json.RawMessage(`{"labels":{"a":"b"}}`)}); err != nil {
		t.Fatal(err)
	}
	j := &kept{}
	first := auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), j, "")
	s.Faults.Heal()
	second := auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), j, "")
	if lines(first) != lines(second) || lines(first) == "" || len(s.Faults.Requests()) > 0 {
		t.Errorf("%s\n%s\n%v", lines(first), lines(second), s.Faults.Requests())
	}
}

// TestPlantedSecrets (AB-7): a credential in any place of an answer is in nothing that a
// run writes, and is reported to those who may know.
func TestPlantedSecrets(t *testing.T) {
	token := "ghp_" + strings.Repeat("a1", 18)
	s := startCloud(t, smallExport())
	for _, m := range []cloudfake.Mutation{
		{Bucket: "one", Patch: json.RawMessage(`{"labels":{"note":"` + token + `"},"brandNew":{"x":["` + token + `"]}}`)},
		{Bucket: "two", Policy: json.RawMessage(`{"bindings":[{"members":["user:` + token + `@example.org"],"role":"roles/` + token + `"}]}`)},
		{Bucket: "new", Project: "empty", Patch: json.RawMessage(`{"website":{"mainPageSuffix":"` + token + `"}}`)},
	} {
		if err := s.GCP.Mutate(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Faults.Inject(fault.Rule{Path: "/four/iam$", Action: "status", Status: 403, Body: `{"error":{"message":"` + token + `"}}`}); err != nil {
		t.Fatal(err)
	}
	j := &kept{}
	out := auditBuckets(t, smallExport(), bucketsOf(t, s.URL, 1), j, "")
	written := j.all.String()
	opts := report.Options{Title: "audit", Coverage: []finding.Coverage{out.Coverage}}
	for _, format := range report.Formats() {
		var b bytes.Buffer
		if err := report.Write(&b, format, out.Findings, opts); err != nil {
			t.Fatal(err)
		}
		public := b.String()
		if strings.Contains(public, "redacted") || strings.Contains(public, "GitHub token") {
			t.Errorf("%s tells everybody of a credential", format)
		}
		written += public
	}
	var private bytes.Buffer
	if err := report.WritePrivate(&private, "json", out.Findings, opts); err != nil {
		t.Fatal(err)
	}
	if written += private.String(); strings.Contains(written, token) || strings.Contains(written, token[10:]) {
		t.Error("a credential is written")
	}
	places := map[string]int{}
	for _, f := range out.Findings {
		if f.Rule == "GCS-SECRET" {
			places[f.Object]++
		}
	}
	if places["gs://one"] != 2 || places["gs://two"] != 2 || places["gs://new"] != 1 {
		t.Errorf("%v\n%s", places, lines(out))
	}
}

// BenchmarkCrawl reads 1,300 buckets of 30 projects whose every answer takes 100 ms.
func BenchmarkCrawl(b *testing.B) {
	files := fstest.MapFS{}
	for i := range 1300 {
		for name, text := range bucketFiles(fmt.Sprintf("p%02d", i%30), fmt.Sprintf("bucket-%04d", i)) {
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	s := startCloud(b, files)
	s.SetLatency(100 * time.Millisecond)
	for b.Loop() {
		reader, err := gcp.New(b.Context(), gcp.Options{Endpoint: s.URL}) // at its default rate
		if err != nil {
			b.Fatal(err)
		}
		c, err := newGCS(files, reader)
		if err != nil {
			b.Fatal(err)
		}
		out, err := audit.Run(b.Context(), c, audit.Options{Parallel: 64})
		if err != nil || len(out.Findings) > 0 || out.Coverage.Objects != 1300 || !out.Coverage.Complete() {
			b.Fatalf("%v %+v", err, out)
		}
		s.Faults.Heal()
	}
}
