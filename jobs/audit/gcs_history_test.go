// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gcp"
	"sigs.k8s.io/steward/internal/git"
)

// The reviewed history of a real community: 24 steps, each what really happened between
// two exports. The state before is declared, the state after is what a cloud serves, and
// what is found has to equal a comparison of the files that knows nothing of package
// asset: it takes texts apart by hand and has its own idea of what is volatile.

const auditHistory = "../../../shared/data/audit-history.bundle"

// bare is a bucket as its files say, taken apart without care for meaning.
type bare struct {
	settings map[string]string // by label
	lists    map[string]bool   // acl/ENTITY=ROLE
	grants   map[string]bool   // ROLE/MEMBER
	rest     map[string]string // other files, by name
}

// bareTree is projects of buckets.
type bareTree map[string]map[string]bare

func readBare(t testing.TB, files fs.FS) bareTree {
	t.Helper()
	tree := bareTree{}
	projects, err := fs.ReadDir(files, "audit/projects")
	if err != nil {
		t.Fatal(err)
	}
	for _, project := range projects {
		tree[project.Name()] = map[string]bare{}
		dir := "audit/projects/" + project.Name() + "/buckets"
		buckets, err := fs.ReadDir(files, dir)
		if err != nil && !strings.Contains(err.Error(), "not exist") {
			t.Fatal(err)
		}
		for _, b := range buckets {
			tree[project.Name()][b.Name()] = readBareBucket(t, files, path.Join(dir, b.Name()))
		}
	}
	return tree
}

func readBareBucket(t testing.TB, files fs.FS, dir string) bare {
	t.Helper()
	b := bare{map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]string{}}
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := fs.ReadFile(files, dir+"/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		switch e.Name() {
		case "iam.json":
			var policy struct {
				Bindings []struct {
					Role    string
					Members []string
				}
			}
			if err := json.Unmarshal(raw, &policy); err != nil {
				t.Fatal(err)
			}
			for _, binding := range policy.Bindings {
				for _, m := range binding.Members {
					b.grants[binding.Role+"/"+m] = true
				}
			}
		case "metadata.txt":
			b.settle(t, string(raw))
		default:
			b.rest[e.Name()] = string(raw)
		}
	}
	return b
}

// settle takes metadata.txt apart: a label, a colon, and lists as JSON below.
func (b bare) settle(t testing.TB, text string) {
	t.Helper()
	label := ""
	for _, line := range strings.Split(text, "\n")[1:] {
		if rest, ok := strings.CutPrefix(line, "\t  "); ok {
			b.settings[label] += rest
			continue
		}
		if before, after, ok := strings.Cut(line, ":"); ok {
			label = strings.TrimSpace(before)
			b.settings[label] = strings.TrimSpace(after)
		}
	}
	for label, set := range map[string]string{"ACL": "acl/", "Default ACL": "defaultObjectAcl/"} {
		var entries []struct{ Entity, Role string }
		if err := json.Unmarshal([]byte(b.settings[label]), &entries); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b.lists[set+e.Entity+"="+e.Role] = true
		}
		delete(b.settings, label)
	}
}

// fieldOf names a difference as the audit does.
func fieldOf(label string) string {
	return map[string]string{
		"Storage class": "storageClass", "Location type": "locationType", "Location constraint": "location", "Versioning enabled": "versioning",
		"Website configuration": "website", "CORS configuration": "cors", "Requester Pays enabled": "requesterPays", "Labels": "labels",
		"Default KMS key": "kmsKey", "Time created": "created", "Bucket Policy Only enabled": "uniformAccess",
		"Public access prevention": "publicAccessPrevention", "RPO": "rpo",
	}[label]
}

// expected compares a bucket before and after: field to severity.
func (b bare) expected(after bare) map[string]string {
	want := map[string]string{}
	for label, before := range b.settings {
		switch label {
		case "Time updated", "Metageneration":
			continue // move with everything
		case "Logging configuration", "Lifecycle configuration", "Retention Policy":
			continue // their files say more
		}
		if now := after.settings[label]; now != before {
			want[fieldOf(label)] = map[string]string{"created": "error", "labels": "warning"}[fieldOf(label)]
		}
	}
	for grant := range b.grants {
		if !after.grants[grant] {
			want["iam/"+grant] = "warning"
			if strings.HasSuffix(grant, "/allUsers") {
				want["iam/"+grant] = "warning or error"
			}
		}
	}
	for grant := range after.grants {
		if !b.grants[grant] {
			want["iam/"+grant] = "warning or error"
			if strings.HasSuffix(grant, "/allUsers") {
				want["iam/"+grant] = "critical"
			}
			if strings.Contains(grant, "@gcp-sa-") {
				want["iam/"+grant] = "info"
			}
		}
	}
	if b.settings["Bucket Policy Only enabled"] == after.settings["Bucket Policy Only enabled"] {
		for _, one := range []map[string]bool{b.lists, after.lists} {
			for entry := range one {
				if b.lists[entry] != after.lists[entry] {
					entity, _, _ := strings.Cut(entry, "=")
					want[entity] = ""
				}
			}
		}
	}
	for name := range after.rest {
		if b.rest[name] == "" {
			b.rest[name] = "none"
		}
	}
	for name, text := range b.rest {
		if now := cmp.Or(after.rest[name], "none"); now != text {
			want[name] = ""
		}
	}
	return want
}

// compareBare says what an audit has to find: object and field to severity, "" where this
// comparison does not know; and which projects it cannot read.
func compareBare(before, after bareTree) (found map[string]string, gone []string) {
	found = map[string]string{}
	for project, buckets := range before {
		now, there := after[project]
		if !there {
			gone = append(gone, "projects/"+project)
			continue
		}
		for name, b := range buckets {
			seen, exists := now[name]
			if !exists {
				found["gs://"+name+" missing"] = "critical"
				continue
			}
			for field, severity := range b.expected(seen) {
				found["gs://"+name+" "+field] = severity
			}
		}
		for name := range now {
			if _, declared := buckets[name]; !declared {
				found["gs://"+name+" unmanaged"] = "warning or error"
			}
		}
	}
	slices.Sort(gone)
	return found, gone
}

// changedIn lists the projects and buckets, as project/bucket, of which a step changed
// a file.
func changedIn(t testing.TB, dir, from, to string) map[string]bool {
	t.Helper()
	out, err := exec.Command("git", "-C", dir, "diff", "--name-only", "--no-renames", from, to, "--", "audit/projects/*/buckets/*", "audit/projects/*/description.json").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for name := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		parts := strings.Split(name, "/")
		all[parts[2]] = true
		if len(parts) > 4 {
			all[parts[2]+"/"+parts[4]] = true
		}
	}
	return all
}

// around shows what a step changed, and the first bucket beside it.
type around struct {
	fs.FS
	changed map[string]bool
}

func (a around) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(a.FS, name)
	parts := strings.Split(name, "/")
	switch {
	case name == "audit/projects":
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !a.changed[e.Name()] })
	case len(parts) == 4 && parts[3] == "buckets":
		beside := 0
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
			if a.changed[parts[2]+"/"+e.Name()] {
				return false
			}
			beside++
			return beside > 1
		})
	}
	return entries, err
}

// bucketHistory is the clone of the bundle.
type bucketHistory struct {
	dir     string
	repo    *git.Repo
	commits []string // oldest first
}

func openBucketHistory(t testing.TB) bucketHistory {
	t.Helper()
	if _, err := os.Stat(auditHistory); err != nil {
		t.Skipf("%s: no ../shared/data beside the repository", t.Name())
	}
	h := bucketHistory{dir: filepath.Join(t.TempDir(), "history")}
	if out, err := exec.Command("git", "clone", "-q", "--bare", auditHistory, h.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	raw, err := exec.Command("git", "-C", h.dir, "rev-list", "--reverse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	h.commits = strings.Fields(string(raw))
	if len(h.commits) != 25 {
		t.Fatalf("%d states", len(h.commits))
	}
	if h.repo, err = git.Open(t.Context(), h.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.repo.Close() })
	return h
}

func (h bucketHistory) state(t testing.TB, i int) fs.FS {
	t.Helper()
	files, err := h.repo.FS(t.Context(), h.commits[i])
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRealHistory (AB-1 to AB-5, AB-13) replays the 24 steps: of each what it changed, and some of what it
// did not.
func TestRealHistory(t *testing.T) {
	t.Parallel() // it waits for git and for HTTP more than it computes
	h := openBucketHistory(t)
	owners, err := acl.Load(h.state(t, 0), h.commits[0], acl.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := cloudfake.Start(t, cloudfake.Options{}, "")
	total, quiet := 0, 0
	for i := 1; i < len(h.commits); i++ {
		changed := changedIn(t, h.dir, h.commits[i-1], h.commits[i])
		found, silent := replayStep(t, s, around{h.state(t, i-1), changed}, around{h.state(t, i), changed}, owners, h.commits[i][:8])
		total, quiet = total+found, quiet+silent
	}
	t.Logf("24 steps: %d findings; %d buckets changed only in what is volatile", total, quiet)
	if total == 0 || quiet == 0 {
		t.Error("a history without findings, or without volatile changes, proves nothing")
	}
}

// BenchmarkHistory replays the 24 steps with all buckets there are.
func BenchmarkHistory(b *testing.B) {
	h := openBucketHistory(b)
	owners, err := acl.Load(h.state(b, 0), h.commits[0], acl.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s := cloudfake.Start(b, cloudfake.Options{}, "")
	for b.Loop() {
		for i := 1; i < len(h.commits); i++ {
			replayStep(b, s, h.state(b, i-1), h.state(b, i), owners, h.commits[i][:8])
		}
	}
}

func replayStep(t testing.TB, s *cloudfake.Running, before, after fs.FS, owners *acl.Tree, name string) (found, quiet int) {
	t.Helper()
	if err := s.GCP.States(after); err != nil {
		t.Fatal(err)
	}
	s.Faults.Heal()
	bareBefore, bareAfter := readBare(t, before), readBare(t, after)
	want, gone := compareBare(bareBefore, bareAfter)
	reader, err := gcp.New(t.Context(), gcp.Options{Endpoint: s.URL, Rate: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	journal := &kept{}
	out := auditBuckets(t, before, reader, journal, "")
	if out.Held != nil { // the filter makes few losses many
		out = auditBuckets(t, before, reader, journal, out.Held.Hash)
	}
	audit.Route(out.Findings, owners)
	checkStep(t, name, out, want, gone)
	return len(want), countQuiet(bareBefore, bareAfter)
}

// checkStep compares what was found with what had to be.
func checkStep(t testing.TB, step string, out audit.Outcome, want map[string]string, gone []string) {
	t.Helper()
	missing := maps.Clone(want)
	for _, f := range out.Findings {
		key := f.Object + " " + map[string]string{"GCS-1": "missing", "GCS-2": "unmanaged"}[f.Rule] + f.Field
		severity, expected := want[key]
		delete(missing, key)
		switch {
		case !expected:
			t.Errorf("%s: found %s, which no file says: %+v", step, key, f)
		case severity != "" && !strings.Contains(severity, f.Severity.String()):
			t.Errorf("%s: %s is %s, want %s", step, key, f.Severity, severity)
		case fmt.Sprint(f.Owners) != "[ameukam spiffxp thockin]":
			t.Errorf("%s: %s belongs to %v", step, key, f.Owners)
		}
	}
	for key := range missing {
		t.Errorf("%s: %s was not found", step, key)
	}
	var gaps []string
	for _, g := range out.Coverage.Gaps {
		if g.Reason != finding.NotFound {
			t.Errorf("%s: %+v", step, g)
		}
		gaps = append(gaps, g.Scope)
	}
	if slices.Sort(gaps); !slices.Equal(gaps, gone) {
		t.Errorf("%s: gaps %v, want %v", step, gaps, gone)
	}
}

// countQuiet counts buckets whose files changed and whose meaning did not.
func countQuiet(before, after bareTree) int {
	n := 0
	for project, buckets := range before {
		for name, b := range buckets {
			if seen, exists := after[project][name]; exists && len(b.expected(seen)) == 0 && !maps.Equal(b.settings, seen.settings) {
				n++
			}
		}
	}
	return n
}

// TestVolatileStep: a state in which every bucket changed only in what is volatile.
func TestVolatileStep(t *testing.T) {
	after := fstest.MapFS{}
	for name, f := range smallExport() {
		text := strings.NewReplacer("Metageneration:\t\t\t2", "Metageneration:\t\t\t77", "17:21:36", "23:59:59").Replace(string(f.Data))
		after[name] = &fstest.MapFile{Data: []byte(text)}
	}
	if out := auditBuckets(t, smallExport(), bucketsOf(t, startCloud(t, after).URL, 1), nil, ""); lines(out) != "" {
		t.Error(lines(out))
	}
}
