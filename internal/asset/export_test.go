// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/finding"
)

// TestWhere (AB-1): each field has the file and line that says it.
func TestWhere(t *testing.T) {
	s := fullSample()
	s.uniform, s.acl = false, map[string]string{"allUsers": "READER", "group-a@example.org": "OWNER"}
	files := s.export(t, fstest.MapFS{}, "p", "bucket")
	tree := load(t, files)
	b := tree.Projects["p"].Buckets["bucket"]
	for field, want := range map[string]string{
		"storageClass": "metadata.txt Storage class", "versioning": "metadata.txt Versioning", "labels/team": `metadata.txt "team"`,
		"acl/group-a@example.org": `metadata.txt "group-a@example.org"`, "acl/allUsers": `metadata.txt "allUsers"`,
		"iam/roles/storage.objectAdmin/group:a@example.org":  `iam.json "group:a@example.org"`,
		"iam/roles/storage.objectViewer/group:b@example.org": `iam.json "group:b@example.org"`,
		"retention.period": "retention.txt Duration", "retention.locked": "retention.txt Retention Policy", "retention.effective": "retention.txt Effective",
		"lifecycle/Delete": "lifecycle.json Delete", "logging.bucket": "logging.json logBucket",
	} {
		file, text, _ := strings.Cut(want, " ")
		f := b.Fields[field]
		if !strings.HasSuffix(f.File, "/"+file) {
			t.Errorf("%s is in %s", field, f.File)
			continue
		}
		lines := strings.Split(string(files[f.File].Data), "\n")
		if f.Line < 1 || f.Line > len(lines) || !strings.Contains(lines[f.Line-1], text) {
			t.Errorf("%s is said to be in line %d of %s", field, f.Line, f.File)
		}
	}
}

// TestLayoutOf2020 (AB-3): the files of the old layout say less, and what they do not
// say is unknown.
func TestLayoutOf2020(t *testing.T) {
	const dir = "audit/projects/p/buckets/bucket/"
	for name, c := range map[string]struct {
		files  map[string]string
		fields map[string]string
	}{
		"all off": {map[string]string{
			"bucketpolicyonly.txt": "Bucket Policy Only setting for gs://bucket:\n  Enabled: False\n\n",
			"cors.txt":             "gs://bucket/ has no CORS configuration.\n", "logging.txt": "gs://bucket/ has no logging configuration.\n",
		}, map[string]string{"uniformAccess": "false", "cors": "", "logging.bucket": ""}},
		"all on": {map[string]string{
			"bucketpolicyonly.txt": "Bucket Policy Only setting for gs://bucket:\n  Enabled: True\n  LockedTime: 2020-11-30 21:00:00+00:00\n",
			"cors.txt":             `[{"maxAgeSeconds": 3600, "method": ["GET"], "origin": ["*"], "responseHeader": ["Content-Type"]}]`,
			"logging.txt":          `{"logBucket": "logs", "logObjectPrefix": "bucket"}`,
		}, map[string]string{
			"uniformAccess": "true", "logging.bucket": "logs", "logging.prefix": "bucket",
			"cors": `[{"maxAgeSeconds":3600,"method":["GET"],"origin":["*"],"responseHeader":["Content-Type"]}]`,
		}},
	} {
		files := fstest.MapFS{dir + "iam.json": {Data: []byte(`{"bindings":[]}`)}}
		for file, text := range c.files {
			files[dir+file] = &fstest.MapFile{Data: []byte(text)}
		}
		tree := load(t, files)
		if len(tree.Problems) > 0 {
			t.Errorf("%s: %v", name, tree.Problems)
		}
		fields := tree.Projects["p"].Buckets["bucket"].Fields
		for field, want := range c.fields {
			if got, told := fields[field]; !told || got.Value != want {
				t.Errorf("%s: %s is %q (%v), want %q", name, field, got.Value, told, want)
			}
		}
		for field := range fields {
			if _, wanted := c.fields[field]; !wanted && field != "iam" {
				t.Errorf("%s: %s is told", name, field)
			}
		}
	}
}

// TestNewBesideTheLayoutOf2020 (AB-6): what the old layout does not hold is counted by
// bucket, whatever its size; what everybody may do by a policy it has not, is reported.
func TestNewBesideTheLayoutOf2020(t *testing.T) {
	tree := load(t, fstest.MapFS{"audit/projects/p/buckets/bucket/iam.json": {Data: []byte(`{"bindings":[]}`)}})
	s := fullSample()
	s.iam, s.lifecycle = nil, nil
	seen, _ := observe(t, tree, "p", s.api("bucket"), s.policy())
	var got []string
	for _, f := range parser().Diff(tree, seen).Found {
		text, _, _ := strings.Cut(f.Message, ",")
		got = append(got, f.Rule+" "+text)
	}
	want := `GCS-10 new field eventBasedHold on 1 buckets
GCS-10 new field kmsKey on 1 buckets
GCS-10 new field labels on 1 buckets
GCS-10 new field location on 1 buckets
GCS-10 new field locationType on 1 buckets
GCS-10 new field logging.bucket on 1 buckets
GCS-10 new field publicAccessPrevention on 1 buckets
GCS-10 new field retention.period on 1 buckets
GCS-10 new field uniformAccess on 1 buckets
GCS-10 new field versioning on 1 buckets`
	if strings.Join(got, "\n") != want {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	blind := load(t, fstest.MapFS{"audit/projects/p/buckets/bucket/metadata.txt": {Data: []byte(plainSample().metadata(t, "bucket"))}})
	public := plainSample()
	public.iam = append(public.iam, grantOf{"roles/storage.objectViewer", "allUsers", ""})
	seen, _ = observe(t, blind, "p", public.api("bucket"), public.policy())
	if got := briefs(parser().Diff(blind, seen).Found); len(got) != 2 || !strings.HasPrefix(got[1], "GCS-4 error iam/roles/storage.objectViewer/allUsers") {
		t.Error(got)
	}
}

func TestAnAuditFolderAlone(t *testing.T) {
	files := fstest.MapFS{}
	for name, f := range plainSample().export(t, fstest.MapFS{}, "p", "bucket") {
		files[strings.TrimPrefix(name, "audit/")] = f
	}
	tree := load(t, files)
	if b := tree.Projects["p"].Buckets["bucket"]; b == nil || b.File != "projects/p/buckets/bucket/metadata.txt" {
		t.Errorf("%+v", b)
	}
	if _, err := Load(fstest.MapFS{"README": {}}); err == nil {
		t.Error("a tree without projects is taken for an empty one")
	}
}

// TestBrokenFiles (AB-8): what is no export is a finding with its line, and its fields
// are unknown.
func TestBrokenFiles(t *testing.T) {
	const dir = "audit/projects/p/buckets/bucket/"
	for name, c := range map[string]struct {
		file    string
		edit    func(string) string
		want    string // position and field of the problem
		untold  string
		isThere string
	}{
		"another bucket": {"metadata.txt", func(s string) string { return strings.Replace(s, "gs://bucket/", "gs://other/", 1) }, "metadata.txt:1 metadata.txt", "", "storageClass"},
		"no line":        {"metadata.txt", func(s string) string { return s + "nonsense\n" }, "metadata.txt", "", "storageClass"},
		"twice":          {"metadata.txt", func(s string) string { return s + "\tRPO:\tDEFAULT\n" }, "metadata.txt", "", "rpo"},
		"a word":         {"metadata.txt", func(s string) string { return strings.Replace(s, "enabled:\t\tTrue", "enabled:\t\tMaybe", 1) }, "metadata.txt:5 metadata.txt/Versioning enabled", "versioning", "rpo"},
		"a time":         {"metadata.txt", func(s string) string { return strings.Replace(s, "Fri, 29 Jul 2022 17:20", "Xday", 1) }, "metadata.txt", "created", "rpo"},
		"labels":         {"metadata.txt", func(s string) string { return strings.Replace(s, `"team": "a"`, `"team": 1`, 1) }, "metadata.txt", "labels", "rpo"},
		"policy":         {"iam.json", func(string) string { return `{"bindings":{}}` }, "iam.json iam.json", "iam", "rpo"},
		"half a policy":  {"iam.json", func(s string) string { return s[:len(s)/2] }, "iam.json iam.json", "iam", "rpo"},
		"two policies":   {"iam.json", func(s string) string { return s + s }, "iam.json iam.json", "iam", "rpo"},
		"a deep policy":  {"iam.json", func(string) string { return strings.Repeat("[", 100) + strings.Repeat("]", 100) }, "iam.json iam.json", "iam", "rpo"},
		"a member":       {"iam.json", func(string) string { return `{"bindings":[{"role":"r","members":[1]}]}` }, "iam.json iam.json", "iam", "rpo"},
		"no role":        {"iam.json", func(string) string { return `{"bindings":[{"members":["a"]}]}` }, "iam.json iam.json", "iam", "rpo"},
		"a rule":         {"lifecycle.json", func(string) string { return `{"rule":[{"action":"Delete"}]}` }, "lifecycle.json lifecycle.json", "lifecycle", "rpo"},
		"a duration":     {"retention.txt", func(s string) string { return strings.Replace(s, "30 Day(s)", "30 Fortnight(s)", 1) }, "retention.txt:2 retention.txt", "retention.period", "rpo"},
		"a log bucket":   {"logging.json", func(string) string { return `{"logBucket":1}` }, "logging.json logging.json", "logging.bucket", "rpo"},
	} {
		files := fullSample().export(t, fstest.MapFS{}, "p", "bucket")
		edited := c.edit(string(files[dir+c.file].Data))
		if edited == string(files[dir+c.file].Data) {
			t.Fatalf("%s: nothing was edited", name)
		}
		files[dir+c.file].Data = []byte(edited)
		tree := load(t, files)
		if len(tree.Problems) != 1 {
			t.Errorf("%s: %v", name, briefs(tree.Problems))
			continue
		}
		f := tree.Problems[0]
		got := strings.TrimPrefix(f.Position(), dir) + " " + f.Field
		if f.Rule != "GCS-11" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s (%s)", name, got, c.want, f.Message)
		}
		fields := tree.Projects["p"].Buckets["bucket"].Fields
		if _, told := fields[c.untold]; told {
			t.Errorf("%s: %s is told", name, c.untold)
		}
		if _, told := fields[c.isThere]; !told {
			t.Errorf("%s: %s is not told", name, c.isThere)
		}
		// Unknown is never a difference.
		s := fullSample()
		seen, _ := observe(t, tree, "p", s.api("bucket"), s.policy())
		for _, f := range parser().Diff(tree, seen).Found {
			if f.Rule != "GCS-11" && f.Rule != "GCS-10" {
				t.Errorf("%s: %s", name, brief(f))
			}
		}
	}
}

func TestMissingFiles(t *testing.T) {
	const dir = "audit/projects/p/buckets/bucket/"
	for file, untold := range map[string]string{
		"iam.json": "iam", "lifecycle.json": "lifecycle", "logging.json": "logging.bucket", "retention.txt": "retention.period",
	} {
		files := fullSample().export(t, fstest.MapFS{}, "p", "bucket")
		delete(files, dir+file)
		tree := load(t, files)
		if _, told := tree.Projects["p"].Buckets["bucket"].Fields[untold]; told || len(tree.Problems) != 1 {
			t.Errorf("without %s: told %v, %v", file, told, briefs(tree.Problems))
		}
	}
}

// failing cannot read one file.
type failing struct {
	fstest.MapFS
	name string
}

func (f failing) Open(name string) (fs.File, error) {
	if name == f.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("the disk is broken")}
	}
	return f.MapFS.Open(name)
}

// TestBrokenDisk: an I/O error is never turned into a bucket that declares less.
func TestBrokenDisk(t *testing.T) {
	files := fullSample().export(t, fstest.MapFS{"audit/projects/p/description.json": {Data: []byte("{}")}, inventory: {Data: []byte("infra: {}")}}, "p", "bucket")
	for name := range files {
		if _, err := Load(failing{files, name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLargeFilesAreRefused(t *testing.T) {
	files := plainSample().export(t, fstest.MapFS{}, "p", "bucket")
	files["audit/projects/p/buckets/bucket/iam.json"].Data = make([]byte, maxFile+1)
	if _, err := Load(files); err == nil || !strings.Contains(err.Error(), "iam.json: it has more than") {
		t.Error(err)
	}
}

// TestGsutilDurations: gsutil's years and months are not a calendar's.
func TestGsutilDurations(t *testing.T) {
	for text, want := range map[string]string{
		"10 Year(s)": "315576000", "2 Month(s)": "5356800", "30 Day(s)": "2592000", "59 Second(s)": "59",
		"100000 Seconds (~1 Day(s))": "100000", "": "", "x Day(s)": "", "3": "", "3 Weeks": "", "99999999999 Day(s)": "",
	} {
		got, err := GsutilDuration(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestWordsOfGsutil(t *testing.T) {
	files := plainSample().export(t, fstest.MapFS{}, "p", "bucket")
	const name = "audit/projects/p/buckets/bucket/metadata.txt"
	files[name].Data = []byte(string(files[name].Data) + "\tAutoclass:\t\t\tEnabled on Fri, 29 Jul 2022\n" +
		"\tPlacement locations:\t\t['US-WEST1', u'US-EAST1']\n\tSatisfies PZS:\t\t\tTrue\n\tBrand New:\tvalue\n")
	tree := load(t, files)
	b := tree.Projects["p"].Buckets["bucket"]
	got := fmt.Sprintf("%q %q %q %q", b.Fields["autoclass"].Value, b.Fields["placement"].Value, b.Fields["satisfiesPZS"].Value, b.Unknown["metadata.txt/Brand New"].Value)
	if got != `"true" "US-EAST1\nUS-WEST1" "true" "value"` || len(tree.Problems) > 0 {
		t.Errorf("%s, %v", got, tree.Problems)
	}
}

// TestInventory (AB-5): infra.yaml says what is production, and else the name does.
func TestInventory(t *testing.T) {
	files := plainSample().export(t, fstest.MapFS{}, "p", "bucket")
	files[inventory] = &fstest.MapFile{Data: []byte("infra:\n  staging:\n    projects: {plain: , k8s-staging-a: }\n  prod:\n    managed_by: x\n    projects:\n      k8s-staging-really-prod:\n")}
	tree := load(t, files)
	for project, want := range map[string]bool{
		"plain": false, "k8s-staging-a": false, "k8s-staging-really-prod": true,
		"k8s-staging-b": false, "k8s-infra-e2e-boskos-001": false, "k8s-infra-ii-sandbox": false, "kubernetes-public": true,
	} {
		if tree.production(project) != want {
			t.Errorf("%s: production is %v", project, !want)
		}
	}
	files[inventory].Data = []byte("infra: [")
	if tree := load(t, files); len(tree.Problems) != 1 || tree.Problems[0].File != inventory {
		t.Error(tree.Problems)
	}
}

// TestDeclaredSecrets (AB-7): a credential in the export is found, with its line, and
// stands in no field.
func TestDeclaredSecrets(t *testing.T) {
	token := "ghp_" + strings.Repeat("a1", 18)
	key := "AKIA" + "ABCDEFGHIJKLMNOP"
	s := fullSample()
	s.labels = map[string]string{"note": token}
	s.iam = append(s.iam, grantOf{"roles/storage.admin", "group:" + key + "@example.org", ""})
	files := s.export(t, fstest.MapFS{}, "p", "bucket")
	const name = "audit/projects/p/buckets/bucket/metadata.txt"
	files[name].Data = []byte(strings.Replace(string(files[name].Data), "ghp_", `gh\u0070_`, 1)) // JSON says the same
	tree := load(t, files)
	seen, _ := observe(t, tree, "p", s.api("bucket"), s.policy())
	found := parser().Diff(tree, seen).Found
	var fields []string
	for _, f := range found {
		fields = append(fields, f.Field)
		if f.Rule != "GCS-SECRET" || f.Visibility != finding.Private || f.Severity != finding.Critical {
			t.Errorf("%+v", f)
		}
	}
	if fmt.Sprint(fields) != "[iam.bindings.members labels.note]" {
		t.Error(fields)
	}
	if all := fmt.Sprintf("%+v %+v", found, tree.Projects["p"].Buckets["bucket"]); strings.Contains(all, token) || strings.Contains(all, key) {
		t.Error("a credential is shown")
	}
}

// FuzzLines: any text is split into lines that are its own.
func FuzzLines(f *testing.F) {
	f.Add(fullSample().metadata(f, "bucket"))
	for _, s := range []string{"", "gs://bucket/ :", "gs://bucket/ :\n\tA:\tb\n\t  c\n", "x\n\t:\n\t \n\tA:B:C\r\n", "gs://bucket/ :\n\n\n\tACL:\t\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, _ := Lines(text, "bucket")
		all := strings.Split(text, "\n")
		for label, l := range lines {
			if !strings.Contains(text, l.Value) || l.Number < 2 || l.Number > len(all) {
				t.Fatalf("%q: %+v is none of its lines", label, l)
			}
			if !strings.Contains(all[l.Number-1], label) {
				t.Fatalf("%q is not in line %d", label, l.Number)
			}
		}
		for _, file := range []string{"metadata.txt", "iam.json", "retention.txt", "logging.txt", "cors.txt", "lifecycle.json", "bucketpolicyonly.txt"} {
			b, problems := parser().parseExport("p", "bucket", "d", map[string][]byte{file: []byte(text)}, nil, memo{})
			checkFields(t, b)
			for _, p := range problems {
				if len(p.Message) > 5*maxShown {
					t.Fatalf("a message of %d bytes", len(p.Message))
				}
			}
		}
	})
}

// checkFields: every field belongs to a row, and holds no credential.
func checkFields(t *testing.T, b *Bucket) {
	t.Helper()
	table, scanner := parser().table, parser().scanner
	for path, f := range b.Fields {
		r, element := table.rowOf(path)
		if r == nil || element != "" && r.elements == nil {
			t.Fatalf("%q is no field", path)
		}
		for _, text := range []string{path, f.Value} {
			if _, found := scanner.Redact(text); len(found) > 0 && !slices.Contains([]string{"cors", "website", "lifecycle", "iam"}, r.path) {
				t.Fatalf("%q holds a credential", path)
			}
		}
	}
}
