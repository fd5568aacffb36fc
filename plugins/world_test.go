// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// world is one repository in memory: its commits, threads and records.
type world struct {
	t       *testing.T
	set     *plugin.Set
	commits map[string]fs.FS
	trees   map[string]*acl.Tree
	base    string // commit
	threads map[int]*thread.Snapshot
	records map[int]thread.Record
	members string
	next    int
	now     time.Time
	broken  string // an error of every read of this kind: owners, file, member, job, report

	report     *report.Report
	fetched    time.Time
	reads      int
	served     func(read int) *report.Report // instead of report
	job        thread.PeriodicJob
	unreviewed []string
	pulls      map[string]opened          // by branch
	jobs       map[string]thread.StartJob // by key
	pool       *lender
	mirrors    []string                  // where images may go
	staging    map[string]manifest.Facts // by HOST/PATH@DIGEST; nil: it is not asked
}

// opened is a pull request that steward has opened.
type opened struct {
	number int
	thread.Pull
}

// newWorld has the example repository at commit base.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, commits: map[string]fs.FS{"base": os.DirFS("../config/example")}, base: "base",
		trees: map[string]*acl.Tree{}, threads: map[int]*thread.Snapshot{}, records: map[int]thread.Record{}, next: 5000, now: noon,
		members: "alice bob dora ruth sven rey pat tom gina carol",
		fetched: noon, pulls: map[string]opened{}, jobs: map[string]thread.StartJob{}, pool: newLender(),
		job: thread.PeriodicJob{Name: "periodic-steward-audit", Interval: 4 * time.Hour},
	}
	found, opts := exampleReport()
	w.report = parsed(t, found, opts)
	set, err := plugin.NewSet(All(Deps{
		Owners: w, Members: w, Files: w, Links: func() string { return "https://github.com" },
		Scopes: func(thread.Repo) map[string][]string {
			return map[string][]string{"dns": {"dns/"}, "promotion": {"registry.k8s.io/", "artifacts/"}}
		},
		Reports: w, Jobs: w, Unreviewed: func() []string { return w.unreviewed },
		ReportPage: func(thread.Repo) string { return "https://github.com/example-org/report.html" },
		Pool:       w.pool, PoolHurdle: w.pool.hurdle, PoolFiles: func() []string { return w.pool.files },
		Promotion: func(thread.Repo) PromoteSettings {
			return PromoteSettings{Tree: "registry.k8s.io", Mirrors: w.mirrors, Retention: 90 * 24 * time.Hour}
		},
		PromoteJobs: w, Staging: w,
	}))
	if err != nil {
		t.Fatal(err)
	}
	w.set = set
	return w
}

func (w *world) fail(kind string) error {
	if w.broken == kind {
		return errors.New(kind + " cannot be read")
	}
	return nil
}

func (w *world) Owners(_ context.Context, _ thread.Repo, commit string) (*acl.Tree, error) {
	if err := w.fail("owners"); err != nil {
		return nil, err
	}
	return w.tree(commit), nil
}

func (w *world) tree(commit string) *acl.Tree {
	w.t.Helper()
	if w.trees[commit] == nil {
		tree, err := acl.Load(w.commits[commit], commit, acl.Options{})
		if err != nil {
			w.t.Fatal(err)
		}
		w.trees[commit] = tree
	}
	return w.trees[commit]
}

func (w *world) File(_ context.Context, _ thread.Repo, commit, path string) ([]byte, error) {
	if err := w.fail("file"); err != nil {
		return nil, err
	}
	if w.broken == "no file" && path == ack.File {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	if w.commits[commit] == nil {
		commit = "base" // a head that changes nothing that is read
	}
	return fs.ReadFile(w.commits[commit], path)
}

func (w *world) Member(_ context.Context, _ thread.Repo, login string) (bool, error) {
	return slices.Contains(strings.Fields(w.members), strings.ToLower(login)), w.fail("member")
}

func (w *world) Report(context.Context, thread.Repo) (*report.Report, time.Time, error) {
	if err := w.fail("report"); err != nil {
		return nil, time.Time{}, err
	}
	if w.reads++; w.served != nil {
		return w.served(w.reads), w.fetched, nil
	}
	return w.report, w.fetched, nil
}

func (w *world) Job(context.Context, thread.Repo) (thread.PeriodicJob, error) {
	return w.job, w.fail("job")
}

// exampleReport is what the audit found in the example repository.
func exampleReport() ([]finding.Finding, report.Options) {
	seen := noon.Add(-time.Hour)
	found := []finding.Finding{
		{
			Rule: "DNS-1", Severity: finding.Error, Object: "www.example.org. A", File: zone, Line: 12,
			Message: "all servers answer otherwise", Declared: "192.0.2.10", Observed: "192.0.2.66", Fix: "steward dns apply",
			Owners: []string{"alice", "dora"}, FirstSeen: seen.AddDate(0, 0, -3), LastSeen: seen,
		},
		{
			Rule: "GCS-3", Severity: finding.Critical, Object: "gs://example-web-site", Field: "iam/roles/storage.objectAdmin/allUsers",
			File: "audit/projects/example-web/buckets/example-web-site/iam.json", Message: "a grant that is not declared", Observed: "allUsers",
			Owners: []string{"alice", "bob"}, FirstSeen: seen, LastSeen: seen,
		},
		{
			Rule: "IMG-2", Severity: finding.Warning, Object: "registry.example.org/tool:v1.0.0", File: "registry.k8s.io/images/staging-tools/images.yaml", Line: 3,
			Message: "the tag is missing on one mirror", Owners: []string{"tom"}, FirstSeen: seen, LastSeen: seen,
			Acknowledged: &finding.Acknowledgement{By: "tom", Reason: "the mirror is being rebuilt", Expires: "2026-02-01"},
		},
		{Rule: "GCS-9", Severity: finding.Critical, Visibility: finding.Private, Object: "gs://example-secrets", Message: "a key that works", Owners: []string{"alice"}},
	}
	return found, report.Options{
		Title: "audit", Commit: "0123456789abcdef0123456789abcdef01234567", Started: seen, Ended: seen.Add(10 * time.Minute), Key: report.Key("k"),
		Coverage: []finding.Coverage{
			{Part: "gcs", Units: 3, Read: 3, Objects: 5}, {Part: "images", Units: 2, Read: 2, Objects: 9},
			{Part: "dns", Units: 2, Read: 1, Objects: 40, Gaps: []finding.Gap{{Scope: "example.net.", Reason: finding.Denied, Detail: "REFUSED"}}},
		},
	}
}

// zone is a file of the example repository, which pull changes.
const zone = "dns/zone-configs/example.org._0_base.yaml"

// parsed sends findings through the form in which they are stored.
func parsed(t *testing.T, found []finding.Finding, opts report.Options) *report.Report {
	t.Helper()
	var stored bytes.Buffer
	if err := report.Write(&stored, "json", found, opts); err != nil {
		t.Fatal(err)
	}
	r, err := report.Parse(&stored)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// commit adds a commit that differs from base in the given files; "" deletes.
func (w *world) commit(name string, files map[string]string) {
	w.t.Helper()
	all := fstest.MapFS{}
	err := fs.WalkDir(w.commits["base"], ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(w.commits["base"], p)
		all[p] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for p, text := range files {
		if all[p] = (&fstest.MapFile{Data: []byte(text)}); text == "" {
			delete(all, p)
		}
	}
	w.commits[name] = all
}

// pull opens a pull request by carol that changes files of dns/.
func (w *world) pull(number int) *thread.Snapshot {
	s := w.issue(number)
	s.Where, s.Head, s.Author, s.Statuses = thread.OpenPull, "head", "carol", map[string]thread.Status{}
	s.Files = []thread.File{{Path: zone, Status: "modified"}}
	return s
}

func (w *world) issue(number int) *thread.Snapshot {
	s := &thread.Snapshot{
		Key: thread.Key{Repo: thread.Repo{Org: "example-org", Name: "example-infra"}, Number: number}, Where: thread.OpenIssue,
		Author: "carol", Bot: "steward[bot]", Base: "main", Default: "main",
	}
	w.threads[number] = s
	return s
}

// say adds a comment at a second after noon, which is also its id.
func (w *world) say(number int, second int64, author, body string) {
	s := w.threads[number]
	s.Comments = append(slices.Clone(s.Comments), thread.Comment{
		ID: second, Author: author, Body: body, Created: noon.Add(time.Duration(second) * time.Second),
	})
	thread.SortComments(s.Comments)
}

func (w *world) snapshot(number int) *thread.Snapshot {
	w.t.Helper()
	s := *w.threads[number]
	s.BaseCommit = w.base
	s.Owners = w.tree(w.base)
	for _, r := range w.records {
		s.Records = append(s.Records, r)
	}
	return &s
}

// look decides about a thread once and writes what is missing; it returns how
// much that was.
func (w *world) look(number int) (int, error) {
	s := w.snapshot(number)
	actions, err := w.set.Decide(w.t.Context(), s, w.options(), w.now)
	writes := thread.Diff(s, actions)
	for _, write := range writes {
		w.perform(number, write)
	}
	return len(writes), err
}

func (w *world) options() plugin.Options {
	return plugin.Options{Enabled: []string{"owners", "freeze", "drift", "promote", "pool"}, Aliases: map[string]string{"why": "why", "drift": "drift"}, Members: w}
}

func (w *world) perform(number int, write thread.Write) {
	s := w.threads[number]
	switch write := write.(type) {
	case thread.PostComment:
		w.next++
		s.Comments = append(slices.Clone(s.Comments), thread.Comment{
			ID: int64(w.next), Author: "steward", Bot: true, Body: w.filled(write.Body), Created: noon.Add(time.Hour),
		})
	case thread.EditComment:
		s.Comments = slices.Clone(s.Comments)
		s.Comments[slices.IndexFunc(s.Comments, func(c thread.Comment) bool { return c.ID == write.ID })].Body = w.filled(write.Body)
	case thread.DeleteComment:
		s.Comments = slices.DeleteFunc(slices.Clone(s.Comments), func(c thread.Comment) bool { return c.ID == write.ID })
	case thread.PostStatus:
		s.Statuses[write.Context] = write.Status
	case thread.CreateIssue:
		w.next++
		w.write(w.next, write.Issue)
	case thread.EditIssue:
		w.write(write.Number, write.Issue)
	case thread.CreatePull:
		if _, there := w.pulls[write.Branch]; !there {
			number := 9000 + int(crc32.ChecksumIEEE([]byte(write.Branch))%1000) // not by the order of things
			w.pulls[write.Branch] = opened{number, write.Pull}
		}
	case thread.CreateJob:
		w.jobs[write.Key] = write.StartJob
	case thread.CallPool:
		w.pool.tell(write.PoolCall)
	default:
		w.t.Fatalf("unknown write %T", write)
	}
}

// filled is a body with the links that the executor puts in.
func (w *world) filled(body string) string {
	return thread.FillLinks(body, func(branch string) (string, bool) {
		p, ok := w.pulls[branch]
		return fmt.Sprintf("[pull request %d](https://github.com/example-org/example-infra/pull/%d)", p.number, p.number), ok
	})
}

func (w *world) write(number int, issue thread.Issue) {
	r, ok := thread.ParseRecord(number, issue.Title, issue.Render(), issue.Open)
	r.Labelled = true
	if !ok {
		w.t.Fatalf("the record does not parse: %s", issue.Render())
	}
	w.records[number] = r
}

// settle looks at every thread until nothing is missing anywhere.
func (w *world) settle() {
	w.t.Helper()
	for range 5 {
		total := 0
		for number := range w.threads {
			n, err := w.look(number)
			if err != nil {
				w.t.Fatal(err)
			}
			total += n
		}
		if total == 0 {
			return
		}
	}
	w.t.Fatal("five passes did not settle")
}

// sticky is the body of the topic's comment on a thread.
func (w *world) sticky(number int, topic string) string {
	var found []string
	for _, c := range w.threads[number].Comments {
		if c.Bot && strings.HasPrefix(c.Body, "<!-- steward:"+topic+" ") {
			found = append(found, c.Body)
		}
	}
	if len(found) > 1 {
		w.t.Errorf("%d stickies of %s", len(found), topic)
	}
	return strings.Join(found, "")
}

func (w *world) record(key string) string {
	for _, r := range w.records {
		if r.Key == key {
			return fmt.Sprintf("%s open=%t stamp=%d %s", r.Title, r.Open, r.Stamp.Comment, r.Data)
		}
	}
	return ""
}

func (w *world) status(number int, context string) string {
	s := w.threads[number].Statuses[context]
	return fmt.Sprintf("%s: %s", s.State, s.Description)
}

// Image is what staging says about an image: what the test put there, or that it is not asked.
func (w *world) Image(_ context.Context, repository, digest string) (manifest.Facts, error) {
	if err := w.fail("staging"); err != nil {
		return manifest.Facts{}, err
	}
	if w.staging == nil {
		return manifest.Facts{}, manifest.ErrNotOffered
	}
	facts, ok := w.staging[repository+"@"+digest]
	if !ok {
		return manifest.Facts{}, manifest.ErrNoManifest
	}
	return facts, nil
}
