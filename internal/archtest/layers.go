// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"slices"
	"strings"
)

// layer is a group of folders with the same rights to import. A folder pattern ends in "/*" for every child.
type layer struct {
	name    string
	folders []string
	// imports names the layers of this module whose packages may be imported, besides those in one's own folder.
	imports []string
	// without lists the standard library packages that are out of bounds, their subpackages included.
	without []string
	// outside lists what may be imported from other modules; "*" is everything that no owner row reserves.
	outside []string
}

// layers is the whole of "who may import whom". A new folder under internal/ has to be entered here first: that
// is the moment to ask what kind of thing it is.
func layers() []layer {
	effects := []string{"net/http", "os/exec", "log"}
	parsers := []string{
		"go.yaml.in/yaml/v3", "sigs.k8s.io/yaml", "github.com/yuin/goldmark", "github.com/google/cel-go",
		"github.com/hashicorp/hcl/v2", "golang.org/x/net/idna", "github.com/miekg/dns",
	}
	return []layer{
		{
			name: "domain",
			folders: in("internal", "finding", "plan", "report", "command", "acl", "asset", "manifest", "lease",
				"zone", "risk", "staffing", "ticket", "rota", "settings", "freeze", "gitfs", "markdown", "plugin", "policy", "spell",
				"thread", "audit", "ack", "pace", "secret", "state", "web", "sweep", "leasepage", "leaselint", "copier", "blobs", "promotion", "imageaudit", "filestore", "filestore/*", "attest"),
			imports: []string{"domain"}, without: effects, outside: parsers,
		},
		// The example community is files and nothing else.
		{name: "files", folders: []string{"config"}},
		{
			name: "command line", folders: in("internal", "job"),
			imports: []string{"domain"}, without: effects, outside: []string{"github.com/spf13/cobra"},
		},
		{
			name: "adapter",
			folders: in("internal", "git", "hub", "webhook", "wal", "queue", "gcs", "s3", "registry", "clouddns",
				"staging", "route53", "rfc2136", "powerdns", "gcp", "aws", "kube", "leasehttp", "leaselog", "leasekube", "signing", "credential", "disk", "httpread", "nameserver"),
			imports: []string{"domain"}, outside: []string{"*"},
		},
		{name: "plugin", folders: in("plugins", "*"), imports: []string{"domain"}, without: effects},
		{name: "plugin list", folders: []string{"plugins"}, imports: []string{"domain", "plugin"}, without: effects},
		{
			name: "job", folders: in("jobs", "*"),
			imports: []string{"domain", "command line"}, without: effects, outside: []string{"github.com/spf13/cobra"},
		},
		{
			name: "job list", folders: []string{"jobs"},
			imports: []string{"domain", "job"}, without: effects, outside: []string{"github.com/spf13/cobra"},
		},
		{
			name:    "wiring",
			folders: append(in("internal", "providers", "wire", "demo"), "cmd/*"),
			imports: []string{"domain", "adapter", "plugin list", "job list", "command line", "wiring", "fake", "files"}, outside: []string{"*"},
		},
		{
			name:    "fake",
			folders: in("internal", "ghfake", "cloudfake", "awsfake", "kubefake", "fault", "scripttest", "archtest"),
			imports: []string{"domain", "fake", "files"}, outside: []string{"*"},
		},
	}
}

// owner reserves a prefix of import paths for a few folders. Tests are free of it.
type owner struct {
	prefix  string
	folders []string
	why     string
}

func owners() []owner {
	return []owner{
		{"sigs.k8s.io/prow", in("internal", "hub", "webhook"), "Prow's types stop at the two ends of the wire"},
		{"k8s.io/test-infra", in("internal", "hub"), "one place opens and updates pull requests"},
		{"k8s.io/client-go", in("internal", "kube", "leasekube"), "one place talks to Kubernetes, one keeps the pool there"},
		{"cloud.google.com/go/storage", in("internal", "gcs"), "one place talks to Cloud Storage"},
		{"github.com/sigstore", in("internal", "signing"), "one place makes and proves signatures"},
		{"os/exec", append(in("internal", "git", "ghfake", "scripttest", "archtest"), "cmd/*"),
			"no code of a pull request is ever run, so few places run anything"},
	}
}

// exception lets one folder import one other against the layers, for a reason.
type exception struct{ from, to, why string }

func exceptions() []exception {
	return []exception{
		{"internal/queue", "internal/wal", "the queue is what survives in the log, not a user of some storage"},
		{"internal/leaselog", "internal/wal", "the store is what survives in the log, not a user of some storage"},
		{"internal/registry", "internal/httpread", "all that asks an API over HTTP asks with one care"},
		{"internal/staging", "internal/httpread", "every reader of an HTTP API asks with the same care"},
		{"internal/gcp", "internal/httpread", "every reader of an HTTP API asks with the same care"},
	}
}

func in(parent string, names ...string) []string {
	folders := make([]string, len(names))
	for i, n := range names {
		folders[i] = parent + "/" + n
	}
	return folders
}

// Rulebook is a set of import rules; the zero value forbids every folder.
type Rulebook struct {
	layers     []layer
	owners     []owner
	exceptions []exception
}

// Steward returns the rules of this repository.
func Steward() Rulebook {
	return Rulebook{layers: layers(), owners: owners(), exceptions: exceptions()}
}

// Imports checks the imports of every non-test file. Tests may import what they like: they are the place where
// a fake, Prow's own client and the code under test meet.
func (r Rulebook) Imports(t *Tree) []Problem {
	var problems []Problem
	for _, p := range t.Packages {
		l, ok := r.layerOf(p.Dir)
		if !ok {
			problems = append(problems, Problem{p.Dir, "belongs to no layer: enter the folder in internal/archtest/layers.go"})
			continue
		}
		for _, f := range p.Files {
			if !f.Test() {
				problems = append(problems, r.file(t, p.Dir, l, f)...)
			}
		}
	}
	return append(problems, r.stale(t)...)
}

func (r Rulebook) file(t *Tree, dir string, l layer, f *File) []Problem {
	var problems []Problem
	for i, imported := range f.Imports() {
		if why := r.refuse(t, dir, l, imported); why != "" {
			problems = append(problems, t.at(f.Syntax.Imports[i].Pos(), "imports %s: %s", imported, why))
		}
	}
	return problems
}

// refuse says why a folder may not import a path, or "".
func (r Rulebook) refuse(t *Tree, dir string, l layer, imported string) string {
	for _, o := range r.owners {
		if under(imported, o.prefix) && !slices.ContainsFunc(o.folders, matches(dir)) {
			return "only " + strings.Join(o.folders, ", ") + " may: " + o.why
		}
	}
	switch to, local := t.local(imported); {
	case local:
		return r.refuseLocal(dir, l, to)
	case standard(imported):
		if slices.ContainsFunc(l.without, func(s string) bool { return under(imported, s) }) {
			return "a " + l.name + " package has no effects: take an interface instead"
		}
	case !slices.ContainsFunc(l.outside, func(s string) bool { return s == "*" || under(imported, s) }):
		return "is not on the list of what a " + l.name + " package may use"
	}
	return ""
}

func (r Rulebook) refuseLocal(dir string, l layer, to string) string {
	if under(to, dir) || slices.ContainsFunc(r.exceptions, func(e exception) bool { return e.from == dir && e.to == to }) {
		return ""
	}
	target, ok := r.layerOf(to)
	if ok && slices.Contains(l.imports, target.name) {
		return ""
	}
	return "a " + l.name + " package may import " + strings.Join(l.imports, ", ") + ", not " + target.name
}

// stale finds exceptions that nothing needs any more.
func (r Rulebook) stale(t *Tree) []Problem {
	var problems []Problem
	for _, e := range r.exceptions {
		if !t.imports(e.from, e.to) {
			problems = append(problems, Problem{e.from, "does not import " + e.to + " any more: drop the exception"})
		}
	}
	return problems
}

func (t *Tree) imports(from, to string) bool {
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if p.Dir == from && !f.Test() && slices.Contains(f.Imports(), t.Module+"/"+to) {
				return true
			}
		}
	}
	return false
}

func (r Rulebook) layerOf(dir string) (layer, bool) {
	i := slices.IndexFunc(r.layers, func(l layer) bool { return slices.ContainsFunc(l.folders, matches(dir)) })
	if i < 0 {
		return layer{name: "unlisted"}, false
	}
	return r.layers[i], true
}

// matches compares folder patterns with one folder; a folder's own subfolders belong to it.
func matches(dir string) func(pattern string) bool {
	return func(pattern string) bool {
		parent, wild := strings.CutSuffix(pattern, "/*")
		if wild {
			return strings.HasPrefix(dir, parent+"/")
		}
		return dir == pattern || (strings.Contains(pattern, "/") && under(dir, pattern))
	}
}

// under says whether a path is prefix itself or below it.
func under(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

// standard tells the standard library from modules by the dot of a host name, as the go command does.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}
