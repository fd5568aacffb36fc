// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

func TestShippedFileParsesAndNamesEverySetting(t *testing.T) {
	raw, err := os.ReadFile("../../config/steward.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	name, r := s.Find(thread.Repo{Org: "Example-Org", Name: "example-INFRA"})
	if name.String() != "example-org/example-infra" {
		t.Errorf("spelling %s: a GitHub App is looked up by that of the settings", name)
	}
	if r == nil || r.Aliases["why"] != "why" || len(r.Plugins) == 0 || len(r.Scopes) == 0 {
		t.Errorf("repo %+v", r)
	}
	for _, key := range []string{"links", "reconcile", "repos", "plugins", "aliases", "scopes", "file", "aliases_file", "md_front_matter", "dir_denylist",
		"unreviewed", "drift", "report", "page", "job", "interval", "promote", "sources", "retention", "add", "files", "stores", "blobs", "signing", "canonical", "reference", "legacy", "signed-by", "key-file", "unsigned"} {
		if !strings.Contains(string(raw), key+":") {
			t.Errorf("config/steward.yaml does not explain %q", key)
		}
	}
}

func TestDefaults(t *testing.T) {
	s, err := Parse([]byte("repos: {b/b: , a/a: {}}"))
	if err != nil || s.Links != defaultLinks || time.Duration(s.Reconcile) != defaultReconcile {
		t.Errorf("%+v, %v", s, err)
	}
	if s.For(thread.Repo{Org: "b", Name: "b"}) == nil || s.For(thread.Repo{Org: "b", Name: "c"}) != nil || s.List()[0].String() != "a/a" {
		t.Errorf("repositories %v", s.List())
	}
}

func TestReportAddresses(t *testing.T) {
	for _, good := range []string{"https://storage.googleapis.com/b/latest.json?x=1", "file:///var/r.json", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:8/x"} {
		s, err := Parse([]byte("repos: {a/b: {plugins: [drift], drift: {report: '" + good + "', interval: 4h}}}"))
		if err != nil || s.Repos["a/b"].Drift.Report != good || time.Duration(s.Repos["a/b"].Drift.Interval) != 4*time.Hour {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestProblemsComeAtOnceWithTheirPlace(t *testing.T) {
	tests := map[string][]string{
		"repos: {a/b: {owners: {file: ../OWNERS, aliases_file: x/y}}}": {`"../OWNERS"`, `"x/y"`},
		"repo: {}":                        {"line 1", "repo"},
		"reconcile: soon":                 {"line 1", "soon"},
		"reconcile: 1s":                   {"1s is less than 10s"},
		"links: ftp://x":                  {"ftp://x"},
		"repos: {a/b: {}, A/B: {}}":       {"the same to GitHub"},
		"repos: {a/b: {}, a/b: {}}":       {"line 1", "already"},
		"repos: {a/b: {plugins: [pool]}}": {"pool: config is missing"},
		"repos: {a/b: {plugins: [pool]}, c/d: {plugins: [pool]}}\npool: {config: [x]}": {"works in one repository", "a/b and c/d"},
		"repos: {nope: {}}":                                {"ORG/NAME"},
		"links: http://x\n---\nx: 1":                       {"second YAML document"},
		"repos: {a/b: {plugins: {}}}":                      {"line 1"},
		"repos: {a/b: {plugins: [drift]}}":                 {"a/b: drift: report is missing"},
		"promotion: {mirrors: [a.io/x, b.io/x, a.io/x/y]}": {"a.io/x/y lies below another mirror"},
		"unreviewed: [a b]":                                {"a b"},
		"promotion: {signing: {key: keyless, canonical: x, identity: a, identity-regexp: '('}}": {"signing: \"x\" is not HOST/PATH", "name an identity and an issuer", "missing closing )"},
		"promotion: {blobs: [s3://b, ftp://b, s3://b/], stores: [gs://c]}":                      {"blobs: \"ftp://b\" is not gs://BUCKET", "blobs: s3://b/ stands twice"},
		"promotion: {mirrors: [a.io/x], signing: {canonical: b.io/x}}":                          {"canonical: b.io/x is none of the mirrors"},
		"promotion: {signed-by: [{project: '*', key-file: k, identity: a, unsigned: no}, {project: p}]}": {
			"signed-by: *: name a key or an identity, not both", `unsigned: "no" is none of allow, warn, deny`, "signed-by: p: name an identity and an issuer",
		},
		"promotion: {add: [{project: '[', images: ['[', ''], tags: '('}, {}]}": {
			"add: [: project is not", `"[" is no pattern`, `"" is no pattern`, "tags: error parsing regexp", "add: : project", "tags: say which",
		},
		"repos: {a/b: {drift: {report: http://example.org/x, page: javascript:x, job: a b, interval: -1s}}}": {
			`"http://example.org/x" must be`, `"javascript:x"`, `"a b"`, "-1s",
		},
		"repos: {a/b: {drift: {report: https://u:p@example.org/x}}}": {"without a password"},
		"repos: {a/b: {drift: {report: file://host/x}}}":             {"file://host/x"},
		"repos: {a/b: {drift: {report: latest.json}}}":               {"latest.json"},
		"repos: {a/b: {drift: {report: https:///x}}}":                {"https:///x"},
		"repos: {a/b: {drift: {report: gs://b/x}}}":                  {"gs://b/x"},
		"repos: {a/b: {scopes: {All: [x/], all: [x/], dns: [], e: [/x/, ../x/, x, x//y/]}, owners: {dir_denylist: ['(']}}}": {
			`"All"`, `"all"`, "dns has no folders", `"/x/"`, `"../x/"`, `"x"`, `"x//y/"`, "dir_denylist",
		},
	}
	for in, wants := range tests {
		_, err := Parse([]byte(in))
		if err == nil {
			t.Errorf("%s: no error", in)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", in, err, want)
			}
		}
	}
	if _, err := Parse(make([]byte, maxFile+1)); err == nil {
		t.Error("a huge file was read")
	}
}
