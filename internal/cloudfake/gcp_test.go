// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// metadata is a metadata.txt as gsutil prints it, with more lines.
func metadata(bucket string, more ...string) string {
	lines := "gs://" + bucket + "/ :\n" + `	Storage class:			STANDARD
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
`
	for _, m := range more {
		label, _, _ := strings.Cut(m, ":")
		var kept []string
		for line := range strings.SplitAfterSeq(lines, "\n") {
			if !strings.HasPrefix(line, "\t"+label+":") {
				kept = append(kept, line)
			}
		}
		lines = strings.Join(kept, "") + "\t" + m + "\n"
	}
	return lines
}

const onePolicy = `{"bindings":[{"role":"roles/storage.objectViewer","members":["allUsers"]},
{"role":"roles/storage.objectAdmin","members":["group:a@example.org"],"condition":{"title":"t","expression":"true"}}]}`

// world is two projects, one with three buckets.
func world() string {
	const dir = "gcp/audit/projects/"
	lists := "ACL:\t\n\t  [\n\t    {\n\t      \"entity\": \"allUsers\",\n\t      \"role\": \"READER\"\n\t    }\n\t  ]"
	return "-- " + dir + "p/description.json --\n{\"projectNumber\":\"42\"}\n" +
		"-- " + dir + "empty/description.json --\n{}\n" +
		"-- " + dir + "p/buckets/one/metadata.txt --\n" + metadata("one", "Versioning enabled:\tTrue", "Retention Policy:\tPresent", "Lifecycle configuration:\tPresent", "Labels:\t\n\t  {\n\t    \"a\": \"b\"\n\t  }") +
		"-- " + dir + "p/buckets/one/iam.json --\n" + onePolicy + "\n" +
		"-- " + dir + "p/buckets/one/retention.txt --\n  Retention Policy (LOCKED):\n    Duration: 30 Day(s)\n    Effective Time: Fri, 01 Nov 2019 18:31:26 GMT\n" +
		"-- " + dir + "p/buckets/one/lifecycle.json --\n{\"rule\": [{\"action\": {\"type\": \"Delete\"}, \"condition\": {\"age\": 60}}]}\n" +
		"-- " + dir + "p/buckets/three/metadata.txt --\n" + metadata("three") +
		"-- " + dir + "p/buckets/three/api.json --\n{\"softDeletePolicy\":{\"retentionDurationSeconds\":\"604800\"}}\n" +
		"-- " + dir + "p/buckets/two/metadata.txt --\n" + metadata("two", "Bucket Policy Only enabled:\tFalse", lists)
}

// ask gets a path of the API as an object.
func ask(t *testing.T, base, path string) (int, map[string]any) {
	t.Helper()
	resp, err := http.Get(base + "/storage/v1/b" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v in %s", path, err, raw)
	}
	return resp.StatusCode, v
}

func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestBucketResource (CF-G2).
func TestBucketResource(t *testing.T) {
	s := Start(t, Options{}, world())
	_, one := ask(t, s.URL, "/one?projection=full")
	for field, want := range map[string]string{
		"projectNumber": `"42"`, "timeCreated": `"2022-07-29T17:20:38.123Z"`, "metageneration": `"2"`,
		"retentionPolicy": `{"effectiveTime":"2019-11-01T18:31:26.000Z","isLocked":true,"retentionPeriod":"2592000"}`,
		"lifecycle":       `{"rule":[{"action":{"type":"Delete"},"condition":{"age":60}}]}`,
		"versioning":      `{"enabled":true}`, "labels": `{"a":"b"}`, "acl": "null",
	} {
		if got := text(t, one[field]); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
	_, two := ask(t, s.URL, "/two?projection=full")
	if got := text(t, two["acl"]); !strings.Contains(got, `"entity":"allUsers"`) {
		t.Errorf("acl is %s", got)
	}
	if _, brief := ask(t, s.URL, "/two"); brief["acl"] != nil {
		t.Error("the projection noAcl shows lists")
	}
	if _, three := ask(t, s.URL, "/three"); three["softDeletePolicy"] == nil {
		t.Error("api.json is not merged")
	}
}

// TestPages (CF-G3).
func TestPages(t *testing.T) {
	s := Start(t, Options{}, world())
	var names []string
	token := ""
	for {
		code, page := ask(t, s.URL, "?project=p&maxResults=1&pageToken="+token)
		if code != 200 {
			t.Fatal(page)
		}
		for _, item := range page["items"].([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		if token, _ = page["nextPageToken"].(string); token == "" {
			break
		}
	}
	if fmt.Sprint(names) != "[one three two]" {
		t.Error(names)
	}
	_, first := ask(t, s.URL, "?project=p&maxResults=1")
	token = first["nextPageToken"].(string)
	for why, query := range map[string]string{
		"another project": "?project=empty&pageToken=" + token, "garbage": "?project=p&pageToken=x", "size": "?project=p&maxResults=0",
		"unknown project": "?project=q", "no project": "?",
	} {
		if code, v := ask(t, s.URL, query); code != 400 {
			t.Errorf("%s: %d %v", why, code, v)
		}
	}
	s.GCP.Expire()
	if code, _ := ask(t, s.URL, "?project=p&pageToken="+token); code != 400 {
		t.Error("an expired token is taken")
	}
	if _, empty := ask(t, s.URL, "?project=empty"); text(t, empty) != `{"kind":"storage#buckets"}` {
		t.Error(empty)
	}
}

// TestFieldMasks (CF-G4).
func TestFieldMasks(t *testing.T) {
	s := Start(t, Options{}, world())
	for mask, want := range map[string]string{
		"kind": `{"kind":"storage#buckets"}`,
		"items(name,versioning/enabled),nextPageToken": `{"items":[{"name":"one","versioning":{"enabled":true}},{"name":"three"},{"name":"two"}]}`,
		"items/labels": `{"items":[{"labels":{"a":"b"}},{},{}]}`,
	} {
		if _, v := ask(t, s.URL, "?project=p&fields="+mask); text(t, v) != want {
			t.Errorf("%s: %s", mask, text(t, v))
		}
	}
	for _, mask := range []string{"items(", "a,,b", "/a", "a)"} {
		if code, _ := ask(t, s.URL, "?project=p&fields="+mask); code != 400 {
			t.Errorf("%s is taken", mask)
		}
	}
}

// TestConditionsAreForVersion3 (CF-G5).
func TestConditionsAreForVersion3(t *testing.T) {
	s := Start(t, Options{}, world())
	_, old := ask(t, s.URL, "/one/iam")
	if got := text(t, old); strings.Contains(got, "condition\"") || !strings.Contains(got, "roles/storage.objectAdmin_withcond_") {
		t.Error(got)
	}
	_, policy := ask(t, s.URL, "/one/iam?optionsRequestedPolicyVersion=3")
	if got := text(t, policy); !strings.Contains(got, `"condition":{"expression":"true","title":"t"}`) || policy["version"] != 3.0 {
		t.Error(got)
	}
}

// TestRefusals (CF-G6): the token, what is denied, the quota.
func TestRefusals(t *testing.T) {
	s := Start(t, Options{}, "-- cloud.yaml --\ngcp: {token: t0k, deny: [gs://one iam, projects/empty], quota: {requests: 5, per: 1h}}\n"+world())
	if code, _ := ask(t, s.URL, "/one"); code != 401 {
		t.Error(code)
	}
	with := func(path string) int {
		req, err := http.NewRequest(http.MethodGet, s.URL+"/storage/v1/b"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer t0k")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	var codes []int
	for _, path := range []string{"/one", "/one/iam", "?project=empty", "?project=p", "/one", "/one"} {
		codes = append(codes, with(path))
	}
	if fmt.Sprint(codes) != "[200 403 403 200 429 429]" {
		t.Error(codes)
	}
	if got := talk(t, "GET", s.URL+"/_fake/gcp/asked", ""); got != `200 {"peak":5,"refused":2}` {
		t.Error(got)
	}
}

// TestStepsAndMutations (CF-G7).
func TestStepsAndMutations(t *testing.T) {
	s := Start(t, Options{Clock: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}, world())
	for _, c := range []struct{ body, want string }{
		{`{"bucket":"one","patch":{"versioning":null,"labels":{"c":"d"}},"policy":{"bindings":[]}}`, "200 {}"},
		{`{"bucket":"new","project":"empty"}`, "200 {}"},
		{`{"bucket":"two","delete":true}`, "200 {}"},
		{`{"bucket":"none"}`, `400 {"message":"mutate: there is no bucket none"}`},
		{`{"bucket":"one","patch":[]}`, `400 {"message":"mutate one: json: cannot unmarshal array into Go value of type map[string]interface {}"}`},
	} {
		if got := talk(t, "POST", s.URL+"/_fake/gcp/mutate", c.body); got != c.want {
			t.Errorf("%s: %s", c.body, got)
		}
	}
	_, one := ask(t, s.URL, "/one")
	if got := text(t, []any{one["versioning"], one["labels"], one["metageneration"], one["updated"]}); got != `[null,{"a":"b","c":"d"},"3","2026-01-02T03:04:05.000Z"]` {
		t.Error(got)
	}
	if code, _ := ask(t, s.URL, "/two"); code != 404 {
		t.Error("a deleted bucket is there")
	}
	if code, made := ask(t, s.URL, "/new"); code != 200 || made["storageClass"] != "STANDARD" {
		t.Error(made)
	}
	later := fstest.MapFS{"audit/projects/p/buckets/later/metadata.txt": {Data: []byte(metadata("later"))}}
	if err := s.GCP.States(fstest.MapFS{}, later); err != nil {
		t.Fatal(err)
	}
	if code, _ := ask(t, s.URL, "/later"); code != 404 {
		t.Error("the second state is there before the step")
	}
	if got := talk(t, "POST", s.URL+"/_fake/gcp/step", ""); got != `200 {"stepped":true}` {
		t.Error(got)
	}
	if code, _ := ask(t, s.URL, "/later"); code != 200 {
		t.Error("the step did nothing")
	}
	if got := talk(t, "POST", s.URL+"/_fake/gcp/step", ""); got != `200 {"stepped":false}` {
		t.Error(got)
	}
}

func TestStatesOfAScenario(t *testing.T) {
	text := "-- cloud.yaml --\ngcp: {step_every: 2}\n" +
		"-- gcp/1/audit/projects/p/buckets/one/metadata.txt --\n" + metadata("one") +
		"-- gcp/2/audit/projects/p/buckets/two/metadata.txt --\n" + metadata("two")
	s := Start(t, Options{}, text)
	var codes []int
	for range 3 {
		code, _ := ask(t, s.URL, "/one")
		codes = append(codes, code)
	}
	if fmt.Sprint(codes) != "[200 404 404]" {
		t.Error(codes)
	}
}

func TestBrokenExportsAreRefused(t *testing.T) {
	for what, files := range map[string]fstest.MapFS{
		"no metadata":       {"audit/projects/p/buckets/b/iam.json": {Data: []byte("{}")}},
		"no JSON":           {"audit/projects/p/description.json": {Data: []byte("x")}},
		"another's":         {"audit/projects/p/buckets/b/metadata.txt": {Data: []byte(metadata("c"))}},
		"no retention file": {"audit/projects/p/buckets/b/metadata.txt": {Data: []byte(metadata("b", "Retention Policy:\tPresent"))}},
	} {
		if err := New(Options{}).GCP.States(files); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// TestFaultsHaveGooglesBody (CF-2).
func TestFaultsHaveGooglesBody(t *testing.T) {
	s := Start(t, Options{}, world())
	if err := s.Faults.Inject(fault.Rule{Path: "^/storage/v1/b$", Action: "status", Status: 503}); err != nil {
		t.Fatal(err)
	}
	code, v := ask(t, s.URL, "?project=p")
	if code != 503 || text(t, v) != `{"error":{"code":503,"errors":[{"domain":"global","message":"Service Unavailable","reason":"backendError"}],"message":"Service Unavailable"}}` {
		t.Errorf("%d %s", code, text(t, v))
	}
}
