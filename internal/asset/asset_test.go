// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
)

// sample is a bucket as this test thinks of it. It renders it as gsutil and as the API
// do, by no code of the package.
type sample struct {
	uniform, versioning, locked, pays, hold bool
	class, location, placeType, rpo, pap    string
	kms, logBucket, logPrefix               string
	retention                               int // days; 0 is none
	labels                                  map[string]string
	acl, defaultACL                         map[string]string // entity to role
	iam                                     []grantOf
	lifecycle                               []string // rules as JSON
}

type grantOf struct{ role, member, condition string }

// plainSample is production without anything special.
func plainSample() sample {
	return sample{
		uniform: true, class: "STANDARD", location: "US", placeType: "multi-region", rpo: "DEFAULT", pap: "inherited",
		iam: []grantOf{{"roles/storage.legacyBucketOwner", "projectOwner:p", ""}, {"roles/storage.objectAdmin", "group:a@example.org", ""}},
	}
}

// fullSample has something of everything.
func fullSample() sample {
	s := plainSample()
	s.versioning, s.locked, s.hold = true, true, true
	s.pap, s.kms, s.logBucket, s.logPrefix, s.retention = "enforced", "projects/p/key", "logs", "prefix", 30
	s.labels = map[string]string{"team": "a", "empty": ""}
	s.iam = append(s.iam, grantOf{"roles/storage.objectViewer", "group:b@example.org", `{"expression":"x","title":"t"}`})
	s.lifecycle = []string{`{"action":{"type":"Delete"},"condition":{"age":90}}`, `{"action":{"type":"SetStorageClass","storageClass":"NEARLINE"},"condition":{"age":30,"matchesStorageClass":["B","A"]}}`}
	return s
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "None"
}

func present1(has bool) string {
	if has {
		return "Present"
	}
	return "None"
}

// indented is a value of several lines, as gsutil prints it.
func indented(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return "\n\t  " + strings.ReplaceAll(string(raw), "\n", "\n\t  ")
}

func aclEntries(list map[string]string) []map[string]any {
	var out []map[string]any
	for _, entity := range slices.Sorted(maps.Keys(list)) {
		out = append(out, map[string]any{"entity": entity, "role": list[entity]})
	}
	return out
}

func (s sample) metadata(t testing.TB, name string) string {
	var b strings.Builder
	line := func(label, value string) { fmt.Fprintf(&b, "\t%s:\t\t%s\n", label, value) }
	acl := func(list map[string]string) string {
		if len(list) == 0 {
			return "[]"
		}
		return indented(t, aclEntries(list))
	}
	fmt.Fprintf(&b, "gs://%s/ :\n", name)
	line("Storage class", s.class)
	line("Location type", s.placeType)
	line("Location constraint", s.location)
	line("Versioning enabled", pythonBool(s.versioning))
	line("Logging configuration", present1(s.logBucket != ""))
	line("Website configuration", "None")
	line("CORS configuration", "None")
	line("Lifecycle configuration", present1(len(s.lifecycle) > 0))
	line("Requester Pays enabled", pythonBool(s.pays))
	if s.retention > 0 {
		line("Retention Policy", "Present")
	}
	if s.hold {
		line("Default Event-Based Hold", "True")
	}
	if len(s.labels) > 0 {
		line("Labels", indented(t, s.labels))
	} else {
		line("Labels", "None")
	}
	line("Default KMS key", cmpOr(s.kms, "None"))
	line("Time created", "Fri, 29 Jul 2022 17:20:38 GMT")
	line("Time updated", "Fri, 29 Jul 2022 17:21:36 GMT")
	line("Metageneration", "2")
	line("Bucket Policy Only enabled", map[bool]string{true: "True", false: "False"}[s.uniform])
	line("Public access prevention", s.pap)
	line("RPO", s.rpo)
	line("ACL", acl(s.acl))
	line("Default ACL", acl(s.defaultACL))
	return b.String()
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func (s sample) policy() map[string]any {
	var all []any
	for _, g := range s.iam {
		b := map[string]any{"role": g.role, "members": []any{g.member}}
		if g.condition != "" {
			b["condition"] = json.RawMessage(g.condition)
		}
		all = append(all, b)
	}
	return map[string]any{"bindings": all}
}

// export adds the files of a bucket to a tree.
func (s sample) export(t testing.TB, files fstest.MapFS, project, name string) fstest.MapFS {
	t.Helper()
	dir := "audit/projects/" + project + "/buckets/" + name + "/"
	put := func(file, text string) { files[dir+file] = &fstest.MapFile{Data: []byte(text)} }
	put("metadata.txt", s.metadata(t, name))
	policy, err := json.MarshalIndent(s.policy(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	put("iam.json", string(policy))
	if s.logBucket != "" {
		put("logging.json", fmt.Sprintf(`{"logBucket": %q, "logObjectPrefix": %q}`, s.logBucket, s.logPrefix))
	}
	if len(s.lifecycle) > 0 {
		put("lifecycle.json", `{"rule": [`+strings.Join(s.lifecycle, ", ")+`]}`)
	}
	if s.retention > 0 {
		put("retention.txt", fmt.Sprintf("  Retention Policy (%sLOCKED):\n    Duration: %d Day(s)\n    Effective Time: Fri, 01 Nov 2019 18:31:26 GMT\n",
			map[bool]string{true: "", false: "UN"}[s.locked], s.retention))
	}
	return files
}

// api is the bucket as Cloud Storage answers it.
func (s sample) api(name string) map[string]any {
	r := map[string]any{
		"kind": "storage#bucket", "name": name, "id": name, "projectNumber": "42", "selfLink": "https://example.org/" + name,
		"etag": "CAE=", "metageneration": "17", "timeCreated": "2022-07-29T17:20:38.987Z", "updated": "2026-01-01T00:00:00.000Z",
		"storageClass": s.class, "location": s.location, "locationType": s.placeType, "rpo": s.rpo,
		"iamConfiguration": map[string]any{
			"publicAccessPrevention":   s.pap,
			"bucketPolicyOnly":         map[string]any{"enabled": s.uniform},
			"uniformBucketLevelAccess": map[string]any{"enabled": s.uniform, "lockedTime": "2026-02-02T00:00:00Z"},
		},
	}
	set := func(has bool, key string, v any) {
		if has {
			r[key] = v
		}
	}
	set(s.versioning, "versioning", map[string]any{"enabled": true})
	set(s.pays, "billing", map[string]any{"requesterPays": true})
	set(s.hold, "defaultEventBasedHold", true)
	set(s.kms != "", "encryption", map[string]any{"defaultKmsKeyName": s.kms})
	set(s.logBucket != "", "logging", map[string]any{"logBucket": s.logBucket, "logObjectPrefix": s.logPrefix})
	set(len(s.labels) > 0, "labels", s.labels)
	set(len(s.lifecycle) > 0, "lifecycle", json.RawMessage(`{"rule":[`+strings.Join(s.lifecycle, ",")+`]}`))
	if s.retention > 0 {
		policy := map[string]any{"retentionPeriod": strconv.Itoa(s.retention * 86400), "effectiveTime": "2019-11-01T18:31:26.5Z"}
		if s.locked {
			policy["isLocked"] = true
		}
		r["retentionPolicy"] = policy
	}
	if !s.uniform {
		r["acl"], r["owner"] = aclEntries(s.acl), map[string]any{"entity": "project-owners-42"}
		set(len(s.defaultACL) > 0, "defaultObjectAcl", aclEntries(s.defaultACL))
	}
	return r
}

// observe reads a bucket as the API answers it.
func observe(t testing.TB, declared *Tree, project string, resource, policy any) (*Tree, []Problem) {
	t.Helper()
	p := parser()
	var o Observed
	for _, part := range []struct {
		v    any
		into *json.RawMessage
	}{{resource, &o.Bucket}, {policy, &o.Policy}} {
		if part.v == nil {
			continue
		}
		raw, err := json.Marshal(part.v)
		if err != nil {
			t.Fatal(err)
		}
		*part.into = raw
	}
	clean, err := p.Clean(o)
	if err != nil {
		t.Fatal(err)
	}
	seen := declared.Observe()
	b, problems, err := p.Bucket(seen, project, clean)
	if err != nil {
		t.Fatal(err)
	}
	seen.Add(b)
	return seen, problems
}

func load(t testing.TB, files fstest.MapFS) *Tree {
	t.Helper()
	tree, err := parser().Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// parser is one for all tests: its expressions are compiled once.
var parser = sync.OnceValue(NewParser)

// brief is a finding in a line.
func brief(f finding.Finding) string {
	return fmt.Sprintf("%s %s %s: %s -> %s", f.Rule, f.Severity, f.Field, f.Declared, f.Observed)
}

func briefs(all []finding.Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, brief(f))
	}
	return out
}

// compare declares one sample and observes another.
func compare(t testing.TB, project string, declared, seen sample) audit.Comparison {
	t.Helper()
	tree := load(t, declared.export(t, fstest.MapFS{}, project, "bucket"))
	if len(tree.Problems) > 0 {
		t.Fatalf("problems: %v", briefs(tree.Problems))
	}
	observed, problems := observe(t, tree, project, seen.api("bucket"), seen.policy())
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return parser().Diff(tree, observed)
}

// TestEveryField (AB-2, AB-5): a change of one field is one finding, as bad as the rules
// say, in production and in staging.
func TestEveryField(t *testing.T) {
	type change struct {
		name       string
		edit       func(*sample)
		prod       string
		staging    string // "": as in production
		fromListed bool   // the declared side has lists instead of uniform access
	}
	for _, c := range []change{
		{name: "class", edit: func(s *sample) { s.class = "NEARLINE" }, prod: "GCS-7 error storageClass: STANDARD -> NEARLINE"},
		{name: "location", edit: func(s *sample) { s.location = "EU" }, prod: "GCS-7 error location: US -> EU"},
		{name: "location in lower case", edit: func(s *sample) { s.location = "us" }},
		{name: "location type", edit: func(s *sample) { s.placeType = "region" }, prod: "GCS-7 error locationType: multi-region -> region"},
		{name: "rpo", edit: func(s *sample) { s.rpo = "ASYNC_TURBO" }, prod: "GCS-7 warning rpo: DEFAULT -> ASYNC_TURBO"},
		{name: "rpo unsaid", edit: func(s *sample) { s.rpo = "DEFAULT" }},
		{name: "prevention off", edit: func(s *sample) { s.pap = "inherited" }, prod: "GCS-4 error publicAccessPrevention: enforced -> inherited"},
		{name: "versioning off", edit: func(s *sample) { s.versioning = false }, prod: "GCS-5 critical versioning: true -> false", staging: "GCS-5 error versioning: true -> false"},
		{name: "hold off", edit: func(s *sample) { s.hold = false }, prod: "GCS-5 error eventBasedHold: true -> false"},
		{name: "retention shorter", edit: func(s *sample) { s.retention = 29 }, prod: "GCS-5 critical retention.period: 2592000 -> 2505600"},
		{name: "retention longer", edit: func(s *sample) { s.retention = 31 }, prod: "GCS-5 warning retention.period: 2592000 -> 2678400"},
		{name: "retention gone", edit: func(s *sample) { s.retention = 0 }, prod: "GCS-5 critical retention.period: 2592000 -> none"},
		{name: "retention unlocked", edit: func(s *sample) { s.locked = false }, prod: "GCS-5 critical retention.locked: true -> false"},
		{name: "delete sooner", edit: func(s *sample) { s.lifecycle[0] = `{"action":{"type":"Delete"},"condition":{"age":30}}` }, prod: `GCS-5 critical lifecycle/Delete: {"age":90} -> {"age":30}`, staging: `GCS-5 error lifecycle/Delete: {"age":90} -> {"age":30}`},
		{name: "delete later", edit: func(s *sample) { s.lifecycle[0] = `{"action":{"type":"Delete"},"condition":{"age":91}}` }, prod: `GCS-5 warning lifecycle/Delete: {"age":90} -> {"age":91}`},
		{name: "delete less", edit: func(s *sample) { s.lifecycle[0] = `{"action":{"type":"Delete"},"condition":{"age":90,"isLive":false}}` }, prod: `GCS-5 warning lifecycle/Delete: {"age":90} -> {"age":90,"isLive":false}`},
		{name: "delete all", edit: func(s *sample) { s.lifecycle[0] = `{"action":{"type":"Delete"},"condition":{}}` }, prod: `GCS-5 critical lifecycle/Delete: {"age":90} -> {}`, staging: `GCS-5 error lifecycle/Delete: {"age":90} -> {}`},
		{name: "delete another rule", edit: func(s *sample) {
			s.lifecycle = append(s.lifecycle, `{"action":{"type":"Delete"},"condition":{"numNewerVersions":3}}`)
		}, prod: `GCS-5 critical lifecycle/Delete: {"age":90} -> {"age":90}; {"numNewerVersions":3}`, staging: `GCS-5 error lifecycle/Delete: {"age":90} -> {"age":90}; {"numNewerVersions":3}`},
		{name: "delete never", edit: func(s *sample) { s.lifecycle = s.lifecycle[1:] }, prod: `GCS-5 warning lifecycle/Delete: {"age":90} -> none`},
		{name: "rules in another order", edit: func(s *sample) { slices.Reverse(s.lifecycle) }},
		{name: "classes in another order", edit: func(s *sample) { s.lifecycle[1] = strings.Replace(s.lifecycle[1], `"B","A"`, `"A","B"`, 1) }},
		{name: "class rule", edit: func(s *sample) { s.lifecycle = s.lifecycle[:1] }, prod: `GCS-5 warning lifecycle/SetStorageClass NEARLINE: {"age":30,"matchesStorageClass":["A","B"]} -> none`},
		{name: "logging off", edit: func(s *sample) { s.logBucket = "" }, prod: "GCS-6 error logging.bucket: logs -> none"},
		{name: "log prefix", edit: func(s *sample) { s.logPrefix = "other" }, prod: "GCS-6 warning logging.prefix: prefix -> other"},
		{name: "requester pays", edit: func(s *sample) { s.pays = true }, prod: "GCS-8 error requesterPays: false -> true"},
		{name: "kms key", edit: func(s *sample) { s.kms = "" }, prod: "GCS-9 error kmsKey: projects/p/key -> none"},
		{name: "label", edit: func(s *sample) { s.labels = map[string]string{"team": "b", "empty": ""} }, prod: `GCS-9 warning labels/team: "a" -> "b"`},
		{name: "empty label gone", edit: func(s *sample) { s.labels = map[string]string{"team": "a"} }, prod: `GCS-9 warning labels/empty: "" -> none`},
		{name: "uniform access off", edit: func(s *sample) { s.uniform, s.acl = false, map[string]string{"project-owners-42": "OWNER"} }, prod: "GCS-4 critical uniformAccess: true -> false", staging: "GCS-4 error uniformAccess: true -> false"},

		{name: "public", edit: func(s *sample) { s.iam = append(s.iam, grantOf{"roles/storage.objectViewer", "allUsers", ""}) }, prod: "GCS-4 critical iam/roles/storage.objectViewer/allUsers: none -> granted"},
		{name: "reader", edit: func(s *sample) {
			s.iam = append(s.iam, grantOf{"roles/storage.objectViewer", "group:z@example.org", ""})
		}, prod: "GCS-4 warning iam/roles/storage.objectViewer/group:z@example.org: none -> granted"},
		{name: "writer", edit: func(s *sample) {
			s.iam = append(s.iam, grantOf{"roles/storage.objectCreator", "group:z@example.org", ""})
		}, prod: "GCS-4 error iam/roles/storage.objectCreator/group:z@example.org: none -> granted"},
		{name: "person", edit: func(s *sample) {
			s.iam = append(s.iam, grantOf{"roles/storage.objectViewer", "user:z@example.org", ""})
		}, prod: "GCS-4 error iam/roles/storage.objectViewer/user:z@example.org: none -> granted"},
		{name: "stranger", edit: func(s *sample) {
			s.iam = append(s.iam, grantOf{"roles/storage.objectViewer", "group:z@elsewhere.example", ""})
		}, prod: "GCS-4 error iam/roles/storage.objectViewer/group:z@elsewhere.example: none -> granted"},
		{name: "deleted member", edit: func(s *sample) {
			s.iam = append(s.iam, grantOf{"roles/storage.admin", "deleted:user:z@example.org?uid=1", ""})
		}, prod: "GCS-4 warning iam/roles/storage.admin/deleted:user:z@example.org?uid=1: none -> granted"},
		{name: "lost", edit: func(s *sample) { s.iam = slices.Delete(slices.Clone(s.iam), 1, 2) }, prod: "GCS-4 warning iam/roles/storage.objectAdmin/group:a@example.org: granted -> none"},
		{name: "another condition", edit: func(s *sample) { s.iam[2].condition = `{"expression":"y","title":"t"}` }, prod: `GCS-4 error iam/roles/storage.objectViewer/group:b@example.org: granted if {"expression":"x","title":"t"} -> granted if {"expression":"y","title":"t"}`},
		{name: "no condition", edit: func(s *sample) { s.iam[2].condition = "" }, prod: `GCS-4 error iam/roles/storage.objectViewer/group:b@example.org: granted if {"expression":"x","title":"t"} -> granted`},
		{name: "new condition", edit: func(s *sample) { s.iam[1].condition = `{"expression":"y"}` }, prod: `GCS-4 warning iam/roles/storage.objectAdmin/group:a@example.org: granted -> granted if {"expression":"y"}`},
		{name: "bindings in another order", edit: func(s *sample) { slices.Reverse(s.iam) }},
		{name: "a binding twice", edit: func(s *sample) { s.iam = append(s.iam, s.iam[0]) }},

		{name: "list entry", fromListed: true, edit: func(s *sample) { s.acl["group-z@example.org"] = "READER" }, prod: "GCS-4 warning acl/group-z@example.org: none -> READER"},
		{name: "list writer", fromListed: true, edit: func(s *sample) { s.acl["group-z@example.org"] = "OWNER" }, prod: "GCS-4 error acl/group-z@example.org: none -> OWNER"},
		{name: "public list", fromListed: true, edit: func(s *sample) { s.acl["allUsers"] = "READER" }, prod: "GCS-4 critical acl/allUsers: none -> READER"},
		{name: "public objects", fromListed: true, edit: func(s *sample) { s.defaultACL["allAuthenticatedUsers"] = "READER" }, prod: "GCS-4 critical defaultObjectAcl/allAuthenticatedUsers: none -> READER"},
		{name: "more by list", fromListed: true, edit: func(s *sample) { s.acl["project-viewers-42"] = "OWNER" }, prod: "GCS-4 error acl/project-viewers-42: READER -> OWNER"},
		{name: "uniform access on", fromListed: true, edit: func(s *sample) { s.uniform = true }, prod: "GCS-4 warning uniformAccess: false -> true"},
	} {
		for _, project := range []string{"prod", "k8s-staging-x"} {
			fresh := func() sample {
				s := fullSample()
				if c.fromListed {
					s.uniform = false
					s.acl = map[string]string{"project-owners-42": "OWNER", "project-viewers-42": "READER"}
					s.defaultACL = map[string]string{"project-owners-42": "OWNER"}
				}
				return s
			}
			seen := fresh()
			c.edit(&seen)
			want := c.prod
			if project != "prod" && c.staging != "" {
				want = c.staging
			}
			got := strings.Join(briefs(compare(t, project, fresh(), seen).Found), "\n")
			if got != want {
				t.Errorf("%s in %s:\n%s\nwant\n%s", c.name, project, got, want)
			}
		}
	}
}

// TestPublicAccessLost (AB-5): what everybody could read is an outage in production.
func TestPublicAccessLost(t *testing.T) {
	declared := plainSample()
	declared.iam = append(declared.iam, grantOf{"roles/storage.objectViewer", "allUsers", ""})
	for project, want := range map[string]string{"prod": "error", "k8s-staging-x": "warning", "k8s-infra-e2e-1": "warning"} {
		got := briefs(compare(t, project, declared, plainSample()).Found)
		if len(got) != 1 || got[0] != "GCS-4 "+want+" iam/roles/storage.objectViewer/allUsers: granted -> none" {
			t.Errorf("%s: %v", project, got)
		}
	}
}

// TestNothingFromNothing (AB-4, AB-6): two forms of one bucket do not differ, whatever is
// volatile or left out because it is as usual.
func TestNothingFromNothing(t *testing.T) {
	for _, s := range []sample{plainSample(), fullSample()} {
		if got := compare(t, "p", s, s).Found; len(got) > 0 {
			t.Errorf("%v", briefs(got))
		}
		tree := load(t, s.export(t, fstest.MapFS{}, "p", "bucket"))
		resource := s.api("bucket")
		for _, key := range []string{"etag", "metageneration", "updated", "selfLink", "id", "rpo"} {
			delete(resource, key)
		}
		resource["generation"], resource["autoclass"] = "1", map[string]any{"enabled": false}
		resource["satisfiesPZS"], resource["cors"], resource["website"] = false, []any{}, map[string]any{}
		if _, has := resource["versioning"]; !has {
			resource["versioning"] = map[string]any{"enabled": false}
		}
		seen, problems := observe(t, tree, "p", resource, s.policy())
		if got := parser().Diff(tree, seen).Found; len(got) > 0 || len(problems) > 0 {
			t.Errorf("%v %v", briefs(got), problems)
		}
	}
}

// random makes a sample by chance.
func random(r *rand.Rand) sample {
	coin := func() bool { return r.IntN(2) == 0 }
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	s := fullSample()
	s.uniform, s.versioning, s.locked, s.pays, s.hold = coin(), coin(), coin(), coin(), coin()
	s.class, s.location, s.rpo = pick("STANDARD", "NEARLINE"), pick("US", "EU"), pick("DEFAULT", "ASYNC_TURBO")
	s.pap, s.kms, s.logBucket = pick("inherited", "enforced"), pick("", "key"), pick("", "logs")
	s.retention = r.IntN(3) * 10
	if coin() {
		s.labels = nil
	}
	for i := range r.IntN(4) {
		s.iam = append(s.iam, grantOf{pick("roles/storage.admin", "projects/p/roles/x"), fmt.Sprintf("serviceAccount:s%d@p.iam.gserviceaccount.com", i), pick("", `{"expression":"e"}`)})
	}
	if !s.uniform {
		s.acl, s.defaultACL = map[string]string{"project-owners-42": "OWNER"}, map[string]string{}
		for i := range r.IntN(3) {
			s.acl[fmt.Sprintf("group-g%d@example.org", i)] = pick("READER", "WRITER")
			s.defaultACL[fmt.Sprintf("group-g%d@example.org", i)] = "READER"
		}
	}
	s.lifecycle = s.lifecycle[:r.IntN(3)]
	return s
}

// mutations change one field each, and name it.
func mutations() map[string]func(resource, policy map[string]any) {
	set := func(key string, v any) func(map[string]any, map[string]any) {
		return func(r, _ map[string]any) { r[key] = v }
	}
	configure := func(key string, v any) func(map[string]any, map[string]any) {
		return func(r, _ map[string]any) { r["iamConfiguration"].(map[string]any)[key] = v }
	}
	return map[string]func(map[string]any, map[string]any){
		"created":                set("timeCreated", "2023-01-01T00:00:00Z"),
		"publicAccessPrevention": configure("publicAccessPrevention", "something"),
		"storageClass":           set("storageClass", "ARCHIVE"),
		"location":               set("location", "ASIA"),
		"locationType":           set("locationType", "dual-region"),
		"placement":              set("customPlacementConfig", map[string]any{"dataLocations": []any{"US-EAST1"}}),
		"rpo":                    set("rpo", "OTHER"),
		"autoclass":              set("autoclass", map[string]any{"enabled": true}),
		"cors":                   set("cors", []any{map[string]any{"origin": []any{"*"}}}),
		"website":                set("website", map[string]any{"mainPageSuffix": "x"}),
		"satisfiesPZS":           set("satisfiesPZS", true),
		"kmsKey":                 set("encryption", map[string]any{"defaultKmsKeyName": "another"}),
		"logging.bucket":         set("logging", map[string]any{"logBucket": "another", "logObjectPrefix": "prefix"}),
		"lifecycle/AbortIncompleteMultipartUpload": set("lifecycle", nil), // filled below
		"labels/fresh": func(r, _ map[string]any) {
			all := map[string]string{"fresh": "x"}
			if had, ok := r["labels"].(map[string]string); ok {
				maps.Copy(all, had)
			}
			r["labels"] = all
		},
		"iam/roles/storage.fresh/user:f@example.org": func(_, p map[string]any) {
			all, _ := p["bindings"].([]any)
			p["bindings"] = append(all, map[string]any{"role": "roles/storage.fresh", "members": []any{"user:f@example.org"}})
		},
		"acl/group-fresh@example.org": func(r, _ map[string]any) {
			if all, has := r["acl"].([]map[string]any); has {
				r["acl"] = append(all, map[string]any{"entity": "group-fresh@example.org", "role": "READER"})
			}
		},
		"versioning":     func(r, _ map[string]any) { r["versioning"] = map[string]any{"enabled": r["versioning"] == nil} },
		"requesterPays":  func(r, _ map[string]any) { r["billing"] = map[string]any{"requesterPays": r["billing"] == nil} },
		"eventBasedHold": func(r, _ map[string]any) { r["defaultEventBasedHold"] = r["defaultEventBasedHold"] == nil },
		"retention.period": func(r, _ map[string]any) {
			if policy, has := r["retentionPolicy"].(map[string]any); has {
				policy["retentionPeriod"] = "1"
				return
			}
			r["retentionPolicy"] = map[string]any{"retentionPeriod": "1", "effectiveTime": "2026-01-01T00:00:00Z"}
		},
	}
}

// TestOneChangeIsOneFinding is the property behind the table: for buckets by chance and
// every kind of change.
func TestOneChangeIsOneFinding(t *testing.T) {
	for seed := range uint64(60) {
		s := random(rand.New(rand.NewPCG(seed, 1)))
		tree := load(t, s.export(t, fstest.MapFS{}, "p", "bucket"))
		for field, mutate := range mutations() {
			resource, policy := s.api("bucket"), s.policy()
			want := field
			if strings.HasPrefix(field, "lifecycle/") {
				rules := append(slices.Clone(s.lifecycle), `{"action":{"type":"AbortIncompleteMultipartUpload"},"condition":{"age":1}}`)
				resource["lifecycle"] = json.RawMessage(`{"rule":[` + strings.Join(rules, ",") + `]}`)
			} else {
				mutate(resource, policy)
			}
			if strings.HasPrefix(field, "acl/") && s.uniform {
				want = "" // there is no list to be changed
			}
			seen, problems := observe(t, tree, "p", resource, policy)
			got := parser().Diff(tree, seen)
			switch {
			case len(problems) > 0:
				t.Errorf("seed %d, %s: %v", seed, field, problems)
			case want == "" && len(got.Found) == 0:
			case len(got.Found) != 1 || got.Found[0].Field != want || len(got.Absent) > 0:
				t.Errorf("seed %d, %s: %v", seed, field, briefs(got.Found))
			}
		}
		seen, _ := observe(t, tree, "p", s.api("bucket"), s.policy())
		if got := parser().Diff(tree, seen); len(got.Found)+len(got.Absent) > 0 {
			t.Errorf("seed %d: %v", seed, briefs(got.Found))
		}
		if got := parser().Diff(tree, tree); len(got.Found)+len(got.Absent) > 0 {
			t.Errorf("seed %d, itself: %v", seed, briefs(got.Found))
		}
	}
}

// TestEveryRowIsChanged keeps the table above complete.
func TestEveryRowIsChanged(t *testing.T) {
	covered := map[string]bool{
		"defaultObjectAcl": true, "uniformAccess": true, "retention.locked": true, "retention.effective": true, // in TestEveryField
		"logging.prefix": true,
	}
	for field := range mutations() {
		set, _, _ := strings.Cut(field, "/")
		covered[set] = true
	}
	for _, r := range fields() {
		if !covered[r.path] {
			t.Errorf("no test changes %s", r.path)
		}
	}
}
