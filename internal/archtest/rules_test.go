// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"strings"
	"testing"
	"testing/fstest"
)

// source is a made-up module "m": file name to Go source.
type source map[string]string

func (s source) load(t *testing.T) *Tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, src := range s {
		fsys[name] = &fstest.MapFile{Data: []byte(src)}
	}
	tree, err := Load(fsys, "m")
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// expect compares problems with wanted substrings, one each, in order.
func expect(t *testing.T, got []Problem, want ...string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = strings.Contains(got[i].String(), want[i])
	}
	if !ok {
		t.Errorf("got %d problems %q, want %q", len(got), got, want)
	}
}

func TestImports(t *testing.T) {
	rules := Steward()
	rules.exceptions = []exception{{"jobs/owners", "internal/git", "test"}}
	gone := "jobs/owners does not import internal/git"
	for _, c := range []struct {
		name, file, imported string
		want                 []string
	}{
		{"domain uses domain", "internal/acl/a.go", "m/internal/finding", nil},
		{"domain has no network", "internal/acl/a.go", "net/http/httptest", []string{"internal/acl/a.go:2: imports net/http/httptest: a domain"}},
		{"domain logs nothing", "internal/acl/a.go", "log/slog", []string{"imports log/slog"}},
		{"domain takes a parser", "internal/acl/a.go", "github.com/yuin/goldmark/ast", nil},
		{"domain takes no library", "internal/acl/a.go", "github.com/sirupsen/logrus", []string{"is not on the list"}},
		{"domain has no adapter", "internal/acl/a.go", "m/internal/git", []string{"may import domain, not adapter"}},
		{"domain in a subfolder", "internal/acl/deep/a.go", "m/internal/git", []string{"not adapter"}},
		{"tests are free", "internal/acl/a_test.go", "net/http", nil},
		{"adapter uses its SDK", "internal/hub/a.go", "sigs.k8s.io/prow/pkg/github", nil},
		{"Prow stops at the wire", "internal/kube/a.go", "sigs.k8s.io/prow/pkg/github", []string{"only internal/hub, internal/webhook may"}},
		{"client-go has one place", "cmd/steward/a.go", "k8s.io/client-go/rest", []string{"only internal/kube, internal/leasekube may"}},
		{"storage has one place", "internal/gcp/a.go", "cloud.google.com/go/storage", []string{"only internal/gcs may"}},
		{"adapters are apart", "internal/hub/a.go", "m/internal/git", []string{"may import domain, not adapter"}},
		{"few places run programs", "internal/hub/a.go", "os/exec", []string{"imports os/exec: only internal/git"}},
		{"plugin uses domain", "plugins/owners/a.go", "m/internal/acl", nil},
		{"plugin has no adapter", "plugins/owners/a.go", "m/internal/hub", []string{"a plugin package may import domain, not adapter"}},
		{"plugins are apart", "plugins/owners/a.go", "m/plugins/drift", []string{"not plugin"}},
		{"plugin has no library", "plugins/owners/a.go", "github.com/spf13/cobra", []string{"is not on the list"}},
		{"plugin list sees plugins", "plugins/plugins.go", "m/plugins/owners", nil},
		{"job has its command line", "jobs/audit/a.go", "github.com/spf13/cobra", nil},
		{"job has no adapter", "jobs/audit/a.go", "m/internal/git", []string{"not adapter"}},
		{"exception for one folder", "jobs/owners/a.go", "m/internal/git", nil},
		{"wiring sees the lists", "internal/wire/a.go", "m/plugins", nil},
		{"wiring passes by no list", "cmd/steward/a.go", "m/plugins/owners", []string{"not plugin"}},
		{"a folder has a layer", "internal/stuff/a.go", "fmt", []string{"internal/stuff: belongs to no layer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if !strings.HasPrefix(c.file, "jobs/owners/") {
				want = append(want, gone[len("jobs/owners "):])
			}
			expect(t, rules.Imports(source{c.file: "package x\nimport _ \"" + c.imported + "\"\n"}.load(t)), want...)
		})
	}
}

func TestSource(t *testing.T) {
	header := licence + "// Package x is documented.\npackage x\n"
	for _, c := range []struct {
		name  string
		check func(*Tree) []Problem
		file  string
		src   string
		want  []string
	}{
		{"licence", Licence, "x/a.go", "package x", []string{"x/a.go: does not start with the two licence lines"}},
		{"licence there", Licence, "x/a.go", header, nil},
		{"comment", Documented, "x/a.go", licence + "package x", []string{"x: has no package comment"}},
		{"comment there", Documented, "x/a.go", header, nil},
		{"licence is no comment", Documented, "x/a.go", strings.TrimSpace(licence) + "\npackage x", []string{"has no package comment"}},
		{"grab bag", Named, "internal/utils/a.go", header, []string{"internal/utils: is a grab bag"}},
		{"long", Short, "x/a.go", header + "func f() {" + strings.Repeat("\n", 60) + "}", []string{"f has 61 lines"}},
		{"just short", Short, "x/a.go", header + "func f() {" + strings.Repeat("\n", 59) + "}", nil},
		{"long test", Short, "x/a_test.go", header + "func f() {" + strings.Repeat("\n", 60) + "}", nil},
		{"init", NoInit, "x/a.go", header + "func init() {}", []string{"x/a.go:6: func init"}},
		{"method called init", NoInit, "x/a.go", header + "type s struct{}\nfunc (s) init() {}", nil},
		{"panic", NoExit, "x/a.go", header + "func f() { panic(1) }", []string{"ends the process"}},
		{"exit", NoExit, "x/a.go", header + "func f() { os.Exit(1) }", []string{"ends the process"}},
		{"fatal", NoExit, "x/a.go", header + "func f() { log.WithError(err).Fatalf(``) }", []string{"ends the process"}},
		{"fatal of a test", NoExit, "x/a.go", header + "func f(t testing.TB) { t.Fatal(1) }", nil},
		{"aborted handler", NoExit, "x/a.go", header + "func f() { panic(http.ErrAbortHandler) }", nil},
		{"main exits", NoExit, "x/a.go", "package main\nfunc main() { os.Exit(1) }", nil},
		{"sleep", NoSleep, "x/a_test.go", header + "func f() { time.Sleep(1) }", []string{"time.Sleep in a test"}},
		{"sleep by a clock of its own", NoSleep, "x/a_test.go", header + "import \"testing/synctest\"\nfunc f() { time.Sleep(1) }", nil},
		{"sleep in code", NoSleep, "x/a.go", header + "func f() { time.Sleep(1) }", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, c.check(source{c.file: c.src}.load(t)), c.want...)
		})
	}
}

func TestConstant(t *testing.T) {
	const declare = "package x\nimport \"y\"\nvar v, w = y.New()\n"
	for _, c := range []struct{ name, body, want string }{
		{"assign", "func f() { v = 1 }", "v is assigned"},
		{"assign a field", "func f() { v.a.b = 1 }", "v is assigned"},
		{"assign an element", "func f() { v[1] = 1 }", "v is assigned"},
		{"assign through", "func f() { *v = 1 }", "v is assigned"},
		{"assign one of two", "func f() { a, v := 1, 2; a, w = 3, v }", "w is assigned"},
		{"count", "func f() { v++ }", "v is counted"},
		{"range", "func f() { for _, v = range w {} }", "v is assigned"},
		{"delete", "func f() { delete(v, 1) }", "v is changed"},
		{"address", "func f() { g(&v) }", "v is addressed"},
		{"lock", "var mu sync.Mutex", "mu exists to change"},
		{"counter", "var n atomic.Int64", "n exists to change"},
		{"read", "func f() any { return v[1].x }", ""},
		{"shadow", "func f() { v := 1; v = 2; { var w int; w++ } }", ""},
		{"parameter", "func f(v int) { v++ }", ""},
		{"method of the same name", "func f(a struct{ v int }) { a.v = 1 }", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			expect(t, Constant(source{"x/a.go": declare, "x/b.go": "package x\n" + c.body}.load(t)), want...)
		})
	}
}

func TestLoad(t *testing.T) {
	tree := source{
		"a.go": "package a", "testdata/a.go": "package broken(", ".cache/a.go": "package broken(",
		"sub/go.mod": "module sub", "sub/a.go": "package broken(", "b/a.go": "package b",
	}.load(t)
	var dirs []string
	for _, p := range tree.Packages {
		dirs = append(dirs, p.Dir)
	}
	if got := strings.Join(dirs, " "); got != ". b" {
		t.Errorf("packages: %s", got)
	}
	if _, err := Load(fstest.MapFS{"a.go": {Data: []byte("package (")}}, "m"); err == nil {
		t.Error("a file that does not parse is no error")
	}
}

func TestPins(t *testing.T) {
	prow := "sigs.k8s.io/prow"
	root := Module{File: "go.mod", Require: map[string]string{prow: "v1", "k8s.io/api": "v2", "a": "v1"}}
	for _, c := range []struct {
		name    string
		require map[string]string
		want    []string
	}{
		{"same", map[string]string{prow: "v1", "k8s.io/api": "v2", "b": "v9"}, nil},
		{"two differ", map[string]string{prow: "v0", "k8s.io/api": "v3"}, []string{
			"e2e/go.mod: k8s.io/api v3, but go.mod has v2: go mod edit -require=k8s.io/api@v2", "sigs.k8s.io/prow v0",
		}},
		{"light module", map[string]string{"a": "v2"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, Pins([]Module{root, {File: "e2e/go.mod", Require: c.require}}), c.want...)
			expect(t, Pins([]Module{root, {File: "tools/boskos/go.mod", Require: c.require}}))
		})
	}
}

func TestReplacements(t *testing.T) {
	steward := "sigs.k8s.io/steward"
	expect(t, Replacements([]Module{
		{File: "e2e/go.mod", Replace: map[string]string{steward: "../"}},
		{File: "tools/kube-apiserver/go.mod", Replace: map[string]string{"k8s.io/api": "k8s.io/api"}},
	}))
	expect(t, Replacements([]Module{
		{File: "go.mod", Replace: map[string]string{"k8s.io/api": "k8s.io/api"}},
		{File: "tools/prow/go.mod", Replace: map[string]string{steward: "../../"}},
		{File: "e2e/go.mod", Replace: map[string]string{"sigs.k8s.io/prow": "../../prow"}},
	}), "go.mod: replaces k8s.io/api", "tools/prow/go.mod: replaces", "e2e/go.mod: replaces")
}

func TestLinks(t *testing.T) {
	g := Graph{
		"m/cmd":              {"m/hub", "fmt"},
		"m/hub":              {"github.com/aws/sdk"},
		"github.com/aws/sdk": {"github.com/aws/core"},
	}
	expect(t, Links(g, []string{"github.com/aws/..."}, "no clouds"), "m/hub: imports github.com/aws/sdk: no clouds")
	expect(t, Links(g, []string{"github.com/aws/core"}, "no core"), "github.com/aws/sdk: imports github.com/aws/core")
	expect(t, Links(g, []string{"github.com/aws", "github.com/a/..."}, ""))
}

func TestMentions(t *testing.T) {
	fsys := fstest.MapFS{
		"doc.md":   {Data: []byte("fine\nsee /srv/ci/x\n")},
		"tool":     {Data: []byte("\x00/srv/ci/")},
		"other.go": {Data: []byte("fine")},
	}
	problems, err := Mentions(fsys, []string{"doc.md", "tool", "other.go", "deleted.go"}, []string{"/srv/ci/"})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, problems, "doc.md:2: mentions /srv/ci/")
}
