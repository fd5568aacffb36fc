// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/finding"
)

const realTree = "../../../shared/data/k8s.io"

// needReal skips a test by name where there is no real data.
func needReal(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(realTree); err != nil {
		t.Skipf("%s: no ../shared/data beside the repository", t.Name())
	}
}

// TestRealExport: the whole export of a real community is understood, and is like itself.
func TestRealExport(t *testing.T) {
	needReal(t)
	tree, err := parser().Load(os.DirFS(realTree))
	if err != nil {
		t.Fatal(err)
	}
	buckets, unknown := 0, 0
	for _, p := range tree.Projects {
		for _, b := range p.Buckets {
			buckets++
			unknown += len(b.Unknown) + len(b.Leaks)
			for _, path := range []string{"iam", "lifecycle", "logging.bucket", "retention.period", "versioning", "created", "cors"} {
				if _, told := b.Fields[path]; !told {
					t.Errorf("%s: %s is not told", b.File, path)
				}
			}
		}
	}
	if buckets < 3000 || unknown > 0 || len(tree.Problems) > 0 {
		t.Errorf("%d buckets, %d unknown fields, %d problems: %v", buckets, unknown, len(tree.Problems), tree.Problems)
	}
	got := parser().Diff(tree, tree)
	if len(got.Found)+len(got.Absent) > 0 || got.Declared != buckets {
		t.Errorf("%d found, %d absent, %d declared", len(got.Found), len(got.Absent), got.Declared)
	}
	if c := Coverage(tree, tree); !c.Complete() || c.Objects != buckets {
		t.Errorf("%+v", c)
	}
}

// BenchmarkTreeDiff reads two exports and compares them.
func BenchmarkTreeDiff(b *testing.B) {
	needReal(b)
	for b.Loop() {
		p := NewParser()
		declared, err := p.Load(os.DirFS(realTree))
		if err != nil {
			b.Fatal(err)
		}
		observed, err := p.Load(os.DirFS(realTree))
		if err != nil {
			b.Fatal(err)
		}
		if got := p.Diff(declared, observed); len(got.Found) > 0 {
			b.Fatal(got.Found)
		}
	}
}

// TestMissingAndUnmanaged (AB-5): what one side has and the other does not.
func TestMissingAndUnmanaged(t *testing.T) {
	files := plainSample().export(t, fstest.MapFS{}, "prod", "gone")
	plainSample().export(t, files, "prod", "stays")
	plainSample().export(t, files, "unread", "unknown")
	files["audit/projects/k8s-staging-x/description.json"] = &fstest.MapFile{Data: []byte("{}")}
	tree := load(t, files)
	seen := tree.Observe()
	add := func(project, name string, s sample) {
		one, _ := observe(t, tree, project, s.api(name), s.policy())
		seen.Add(one.Projects[project].Buckets[name])
	}
	public := plainSample()
	public.iam = append(public.iam, grantOf{"roles/storage.objectViewer", "allUsers", ""})
	writable := plainSample()
	writable.iam = append(writable.iam, grantOf{"roles/storage.objectCreator", "allUsers", ""})
	add("prod", "stays", plainSample())
	add("prod", "new", plainSample())
	add("k8s-staging-x", "new-quiet", plainSample())
	add("k8s-staging-x", "new-public", public)
	add("k8s-staging-x", "new-writable", writable)
	add("k8s-staging-x", "gone", plainSample())
	got := parser().Diff(tree, seen)
	if len(got.Absent) != 1 || got.Absent[0].Object != "gs://gone" || got.Absent[0].Severity != finding.Critical ||
		got.Absent[0].Message != "the bucket is declared and does not exist; one of its name is in project k8s-staging-x" || got.Declared != 2 {
		t.Errorf("%+v of %d", got.Absent, got.Declared)
	}
	want := map[string]string{
		"gs://new": "GCS-2 error", "gs://new-quiet": "GCS-2 warning", "gs://new-public": "GCS-2 error", "gs://new-writable": "GCS-2 critical private", "gs://gone": "GCS-2 warning",
	}
	for _, f := range got.Found {
		if s := strings.TrimSpace(f.Rule + " " + f.Severity.String() + " " + string(f.Visibility)); want[f.Object] != s {
			t.Errorf("%s: %s", f.Object, s)
		}
		if f.File == "" || !strings.HasSuffix(f.File, "/buckets/"+strings.TrimPrefix(f.Object, "gs://")+"/metadata.txt") {
			t.Errorf("%s is to be declared in %q", f.Object, f.File)
		}
	}
	if len(got.Found) != len(want) {
		t.Error(briefs(got.Found))
	}
}

// TestForeignWritersAreNotShownToAll (AB-7).
func TestForeignWritersAreNotShownToAll(t *testing.T) {
	for member, want := range map[string]finding.Visibility{
		"allUsers": finding.Private, "user:z@example.org": finding.Private, "group:z@elsewhere.example": finding.Private, "group:z@example.org": finding.Public,
	} {
		s := plainSample()
		s.iam = append(s.iam, grantOf{"roles/storage.objectCreator", member, ""})
		for _, f := range compare(t, "p", plainSample(), s).Found {
			if f.Visibility != want {
				t.Errorf("%s: %q", member, f.Visibility)
			}
		}
	}
}

// TestAgents (AB-5): only accounts by which Google serves a declared project are.
func TestAgents(t *testing.T) {
	files := plainSample().export(t, fstest.MapFS{"audit/projects/p/description.json": {Data: []byte(`{"projectNumber":"42"}`)}}, "p", "bucket")
	tree := load(t, files)
	for member, want := range map[string]finding.Severity{
		"serviceAccount:service-42@gcp-sa-pubsub.iam.gserviceaccount.com":     finding.Info,
		"serviceAccount:42@cloudservices.gserviceaccount.com":                 finding.Info,
		"serviceAccount:service-43@gcp-sa-pubsub.iam.gserviceaccount.com":     finding.Error,
		"serviceAccount:service-42@evil.iam.gserviceaccount.com":              finding.Error,
		"serviceAccount:service-42@gcp-sa-pubsub.iam.gserviceaccount.com.evl": finding.Error,
		"user:service-42@gcp-sa-pubsub.iam.gserviceaccount.com":               finding.Error,
	} {
		s := plainSample()
		s.iam = append(s.iam, grantOf{"roles/storage.admin", member, ""})
		seen, _ := observe(t, tree, "p", s.api("bucket"), s.policy())
		got := parser().Diff(tree, seen).Found
		if len(got) != 1 || got[0].Severity != want {
			t.Errorf("%s: %v", member, briefs(got))
		}
	}
}

// TestNewFieldsAreOneFinding (AB-6): however many buckets have it.
func TestNewFieldsAreOneFinding(t *testing.T) {
	files := fstest.MapFS{}
	names := []string{"aaa", "bbb", "ccc"}
	for _, name := range names {
		plainSample().export(t, files, "p", name)
	}
	tree := load(t, files)
	seen := tree.Observe()
	for _, name := range names {
		r := plainSample().api(name)
		r["softDeletePolicy"] = map[string]any{"retentionDurationSeconds": "604800", "effectiveTime": "2026-01-01T00:00:00Z"}
		r["iamConfiguration"].(map[string]any)["ipFilter"] = map[string]any{"mode": name}
		policy := plainSample().policy()
		policy["auditConfigs"] = []any{}
		one, problems := observe(t, tree, "p", r, policy)
		if len(problems) > 0 {
			t.Error(problems)
		}
		seen.Add(one.Projects["p"].Buckets[name])
	}
	var got []string
	for _, f := range parser().Diff(tree, seen).Found {
		got = append(got, fmt.Sprintf("%s %s %s %s: %s", f.Rule, f.Severity, f.File, f.Field, f.Message))
	}
	want := []string{
		"GCS-10 info audit/projects iam.auditConfigs: new field iam.auditConfigs on 3 buckets, which the export does not hold; for example gs://aaa: []",
		`GCS-10 info audit/projects iamConfiguration.ipFilter: new field iamConfiguration.ipFilter on 3 buckets, which the export does not hold; for example gs://aaa: {"mode":"aaa"}`,
		`GCS-10 info audit/projects softDeletePolicy: new field softDeletePolicy on 3 buckets, which the export does not hold; for example gs://aaa: {"effectiveTime":"2026-01-01T00:00:00Z","retentionDurationSeconds":"604800"}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestTwoExports (AB-9): what only another version of gsutil says is one finding, and
// what both say in words nobody knows is compared.
func TestTwoExports(t *testing.T) {
	const name = "audit/projects/p/buckets/bucket/metadata.txt"
	edit := func(from, to string) *Tree {
		files := plainSample().export(t, fstest.MapFS{}, "p", "bucket")
		text := strings.Replace(string(files[name].Data), from, to, 1)
		files[name].Data = []byte(text)
		return load(t, files)
	}
	plain, without := edit("", ""), edit("\tRPO:\t\tDEFAULT\n", "")
	turbo := edit("RPO:\t\tDEFAULT", "RPO:\t\tASYNC_TURBO")
	one, two := edit("\tRPO:", "\tNew Thing:\t1\n\tRPO:"), edit("\tRPO:", "\tNew Thing:\t2\n\tRPO:")
	for what, c := range map[string]struct {
		declared, observed *Tree
		want               string
	}{
		"a new line as usual":  {without, plain, ""},
		"a line gone":          {plain, without, ""},
		"a new line":           {without, turbo, "GCS-10 info rpo:  -> "},
		"a new word":           {plain, one, "GCS-10 info metadata.txt/New Thing:  -> "},
		"a word gone":          {one, plain, ""},
		"a word that changes":  {one, two, "GCS-9 warning metadata.txt/New Thing: 1 -> 2"},
		"a word that does not": {one, one, ""},
	} {
		if got := strings.Join(briefs(parser().Diff(c.declared, c.observed).Found), "\n"); got != c.want {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// TestGapsOfAnExport (AB-9): an export that lost a project says nothing of its buckets.
func TestGapsOfAnExport(t *testing.T) {
	files := plainSample().export(t, fstest.MapFS{}, "kept", "one")
	observed := load(t, files)
	plainSample().export(t, files, "lost", "two")
	declared := load(t, files)
	if got := parser().Diff(declared, observed); len(got.Absent)+len(got.Found) > 0 {
		t.Errorf("%+v", got)
	}
	c := Coverage(declared, observed)
	if c.Complete() || len(c.Gaps) != 1 || c.Gaps[0].Scope != "projects/lost" || c.Gaps[0].Reason != finding.NotFound {
		t.Errorf("%+v", c)
	}
	delete(files, "audit/projects/kept/buckets/one/iam.json")
	broken := load(t, files)
	c = Coverage(declared, broken)
	if c.Complete() || c.Read != 1 || c.Gaps[0].Scope != "gs://one iam.json" || c.Gaps[0].Reason != finding.Malformed {
		t.Errorf("%+v", c)
	}
	if got := parser().Diff(declared, broken); len(got.Absent)+len(got.Found) > 0 {
		t.Errorf("an unread policy: %v", briefs(got.Found))
	}
}

// TestAnswersThatAreNotUnderstood (AB-8): each is a problem, its field is unknown, and
// nothing is reported as gone.
func TestAnswersThatAreNotUnderstood(t *testing.T) {
	tree := load(t, fullSample().export(t, fstest.MapFS{}, "p", "bucket"))
	for key, v := range map[string]any{
		"versioning": "on", "iamConfiguration": 1, "labels": []any{"a"}, "lifecycle": map[string]any{"rule": "none"}, "timeCreated": "today",
		"retentionPolicy": map[string]any{"retentionPeriod": "-1"}, "cors": "x", "storageClass": 7, "logging": true, "defaultEventBasedHold": "true",
	} {
		s := fullSample()
		resource := s.api("bucket")
		resource[key] = v
		seen, problems := observe(t, tree, "p", resource, s.policy())
		if len(problems) == 0 {
			t.Errorf("%s: %v passes", key, v)
		}
		for _, f := range parser().Diff(tree, seen).Found {
			t.Errorf("%s: %v: %s", key, v, brief(f))
		}
	}
	s := fullSample()
	seen, problems := observe(t, tree, "p", s.api("bucket"), map[string]any{"bindings": map[string]any{}})
	if len(problems) != 1 || len(parser().Diff(tree, seen).Found) > 0 {
		t.Errorf("a policy: %v", problems)
	}
	seen, problems = observe(t, tree, "p", s.api("bucket"), nil)
	if len(problems) != 0 || len(parser().Diff(tree, seen).Found) > 0 {
		t.Errorf("no policy: %v", problems)
	}
}

// TestHiddenLists (AB-8): who may not see the lists does not get them, and that is no
// change of them.
func TestHiddenLists(t *testing.T) {
	s := plainSample()
	s.uniform, s.acl = false, map[string]string{"allUsers": "READER"}
	tree := load(t, s.export(t, fstest.MapFS{}, "p", "bucket"))
	resource := s.api("bucket")
	delete(resource, "acl")
	seen, problems := observe(t, tree, "p", resource, s.policy())
	if len(problems) != 1 || problems[0].Field != "acl" {
		t.Errorf("%v", problems)
	}
	if got := parser().Diff(tree, seen).Found; len(got) > 0 {
		t.Error(briefs(got))
	}
}

// TestPublicListsBehindUniformAccess (AB-11): who turns uniform access off lets old lists
// speak again.
func TestPublicListsBehindUniformAccess(t *testing.T) {
	s := plainSample()
	s.uniform, s.acl = false, map[string]string{"allUsers": "READER", "project-owners-42": "OWNER"}
	got := briefs(compare(t, "p", plainSample(), s).Found)
	if strings.Join(got, "\n") != "GCS-4 critical acl/allUsers: none -> READER\nGCS-4 critical uniformAccess: true -> false" {
		t.Error(got)
	}
}

// TestObservedSecrets (AB-7): wherever a credential stands in an answer, it stands in
// nothing that is kept or shown.
func TestObservedSecrets(t *testing.T) {
	token := "ghp_" + strings.Repeat("a1", 18)
	tree := load(t, plainSample().export(t, fstest.MapFS{}, "p", "bucket"))
	resource, policy := plainSample().api("bucket"), plainSample().policy()
	resource["labels"] = map[string]string{"note": "x " + token, token: "key"}
	resource["storageClass"] = token
	resource["brandNew"] = map[string]any{"deep": []any{map[string]any{token: token}}}
	resource["website"] = map[string]any{"mainPageSuffix": token}
	policy["bindings"] = append(policy["bindings"].([]any), map[string]any{
		"role": "roles/" + token, "members": []any{"user:" + token + "@example.org"}, "condition": map[string]any{"expression": token}})
	raw, err := json.Marshal(resource)
	if err != nil {
		t.Fatal(err)
	}
	escaped := strings.ReplaceAll(string(raw), "ghp_", `gh\u0070_`)
	rawPolicy, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	clean, err := parser().Clean(Observed{Bucket: json.RawMessage(escaped), Policy: rawPolicy})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(clean)
	if err != nil {
		t.Fatal(err)
	}
	seen := tree.Observe()
	b, problems, err := parser().Bucket(seen, "p", clean)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	seen.Add(b)
	got := parser().Diff(tree, seen)
	shown, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"kept": string(kept), "shown": string(shown), "printed": fmt.Sprintf("%+v", b)} {
		if strings.Contains(text, token) || strings.Contains(text, token[8:]) {
			t.Errorf("what is %s has the credential: %s", what, text)
		}
	}
	fields := map[string]bool{}
	for _, f := range got.Found {
		if f.Rule == "GCS-SECRET" {
			fields[f.Field] = true
		}
		if strings.Contains(f.Declared+f.Observed+f.Message+f.Field, "redacted") && f.Visibility != finding.Private {
			t.Errorf("everybody sees %s", brief(f))
		}
	}
	if len(fields) != 8 {
		t.Errorf("found in %v", fields)
	}
}

// TestHugeAnswersAreBounded (AB-12).
func TestHugeAnswersAreBounded(t *testing.T) {
	tree := load(t, plainSample().export(t, fstest.MapFS{}, "p", "bucket"))
	resource, policy := plainSample().api("bucket"), plainSample().policy()
	var members []any
	for i := range 5000 {
		members = append(members, fmt.Sprintf("user:%d-%s@example.org", i, strings.Repeat("x", 300)))
		resource[fmt.Sprintf("new%d", i)] = strings.Repeat("é", 1000)
	}
	policy["bindings"] = []any{map[string]any{"role": "roles/storage.admin", "members": members}}
	resource["storageClass"] = strings.Repeat("y", 1<<20)
	seen, _ := observe(t, tree, "p", resource, policy)
	got := parser().Diff(tree, seen).Found
	more := 0
	for _, f := range got {
		if n := len(f.Message) + len(f.Declared) + len(f.Observed) + len(f.Field) + len(f.Fix); n > 3000 {
			t.Errorf("a finding of %d bytes: %.200s", n, f.Message)
		}
		if strings.Contains(f.Message, " more ") {
			more++
		}
	}
	if len(got) > maxElements+maxNew+10 || more != 2 {
		t.Errorf("%d findings, %d of them say that there are more", len(got), more)
	}
	a, b := bounded(strings.Repeat("a", 500)), bounded(strings.Repeat("a", 500)+"b")
	if a == b || len(a) > maxShown+60 {
		t.Errorf("%s and %s", a, b)
	}
}

// TestFixesAreNoTrap (AB-14): a suggested command holds nothing that a shell would take apart.
func TestFixesAreNoTrap(t *testing.T) {
	for member, want := range map[string]bool{"group:z@example.org": true, "user:x;reboot@example.org": false, "user:$(id)": false, "user:a b": false, "user:é@example.org": false} {
		s := plainSample()
		s.iam = append(s.iam, grantOf{"roles/storage.objectViewer", member, ""})
		got := compare(t, "p", plainSample(), s).Found
		if len(got) != 1 || strings.HasPrefix(got[0].Fix, "gcloud ") != want {
			t.Errorf("%s: %+v", member, got)
		}
	}
	s := plainSample()
	s.iam = s.iam[:1]
	want := "gcloud storage buckets add-iam-policy-binding gs://bucket --member=group:a@example.org --role=roles/storage.objectAdmin"
	if got := compare(t, "p", plainSample(), s).Found; got[0].Fix != want {
		t.Error(got[0].Fix)
	}
}

// TestEveryFieldIsExplained: the page for people names what the table has.
func TestEveryFieldIsExplained(t *testing.T) {
	raw, err := os.ReadFile("../../docs/audit-buckets.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, r := range fields() {
		if !strings.Contains(page, "`"+r.path+"`") && !strings.Contains(page, "`"+r.path+"/") || !strings.Contains(page, "`"+r.rule+"`") {
			t.Errorf("%s (%s) is not in docs/audit-buckets.md", r.path, r.rule)
		}
	}
}

func TestBucketNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc": true, "a.b-c_d1": true, "artifacts.p.appspot.com": true, strings.Repeat("a", 222): true,
		"": false, "ab": false, "-abc": false, "abc.": false, "a..b": false, "A": false, "a/b": false, "../x": false, "a\nb": false, "aéb": false, strings.Repeat("a", 223): false,
	} {
		raw, err := json.Marshal(map[string]string{"kind": "storage#bucket", "name": name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := BucketName(raw); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzBucket: whatever an API answers is an error, or a bucket without credentials whose
// comparison ends.
func FuzzBucket(f *testing.F) {
	for _, s := range []sample{plainSample(), fullSample()} {
		resource, err := json.Marshal(s.api("bucket"))
		if err != nil {
			f.Fatal(err)
		}
		policy, err := json.Marshal(s.policy())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(resource, policy)
	}
	f.Add([]byte(`{"kind":"storage#bucket","name":"bucket","x":"ghp_`+strings.Repeat("a1", 18)+`"}`), []byte(`{"bindings":[{"role":"a/roles/b/c","members":["x"]}]}`))
	tree := load(f, fullSample().export(f, fstest.MapFS{}, "p", "bucket"))
	f.Fuzz(func(t *testing.T, resource, policy []byte) { checkAnswer(t, tree, resource, policy) })
}

// FuzzField puts any JSON at any place of a good answer.
func FuzzField(f *testing.F) {
	for _, r := range fields() {
		f.Add(cmp.Or(r.json, "policy.bindings"), []byte(`[{"role":"roles/x","members":["allUsers"],"entity":"allUsers","action":{"type":"Delete"},"condition":{"age":1}}]`))
	}
	f.Add("labels.x", []byte(`"ghp_`+strings.Repeat("a1", 18)+`"`))
	f.Add("a.b.c", []byte(`{"d":[null,true,1e400,"\u0000"]}`))
	f.Add("iamConfiguration", []byte(`{"uniformBucketLevelAccess":{"enabled":false}}`))
	tree := load(f, fullSample().export(f, fstest.MapFS{}, "p", "bucket"))
	f.Fuzz(func(t *testing.T, place string, value []byte) {
		if !json.Valid(value) {
			return
		}
		s := fullSample()
		resource, policy := s.api("bucket"), s.policy()
		at, last := map[string]any{"policy": policy}, place
		if !strings.HasPrefix(place, "policy.") {
			at = resource
		}
		for before, after, more := strings.Cut(place, "."); more; before, after, more = strings.Cut(after, ".") {
			inner, ok := at[before].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[before] = inner
			}
			at, last = inner, after
		}
		at[last] = json.RawMessage(value)
		rawResource, err := json.Marshal(resource)
		if err != nil {
			t.Skip(err)
		}
		rawPolicy, err := json.Marshal(policy)
		if err != nil {
			t.Skip(err)
		}
		checkAnswer(t, tree, rawResource, rawPolicy)
	})
}

func checkAnswer(t *testing.T, tree *Tree, resource, policy []byte) {
	t.Helper()
	clean, err := parser().Clean(Observed{Bucket: resource, Policy: policy})
	if err != nil {
		return
	}
	again, err := parser().Clean(clean)
	if err != nil || string(again.Bucket) != string(clean.Bucket) || len(again.Leaks) != len(clean.Leaks) {
		t.Fatalf("cleaning twice: %v, %s, %s", err, clean.Bucket, again.Bucket)
	}
	seen := tree.Observe()
	b, _, err := parser().Bucket(seen, "p", clean)
	if err != nil {
		return
	}
	checkFields(t, b)
	seen.Add(b)
	got := parser().Diff(tree, seen)
	if got.Declared != 1 || len(got.Absent) > 1 || b.Name == "bucket" && len(got.Absent) > 0 {
		t.Fatalf("%+v", got)
	}
	for _, f := range got.Found {
		if n := len(f.Message) + len(f.Declared) + len(f.Observed) + len(f.Field) + len(f.Fix); n > 4000 {
			t.Fatalf("a finding of %d bytes", n)
		}
	}
}
