// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gitfs"
)

const stores = `
-- a/filestores/p/filepromoter-manifest.yaml --
filestores:
- base: gs://staging/releases
  src: true
- base: gs://prod/binaries/p/
  service-account: promoter
- base: s3://prod-eu/binaries/p
`

// sums writes #a to #f as a sha256.
func sums(text string) string {
	for c := 'a'; c <= 'f'; c++ {
		text = strings.ReplaceAll(text, "#"+string(c), strings.Repeat(string(c), 64))
	}
	return text
}

func loadFiles(t *testing.T, text string) (*FileSet, string) {
	t.Helper()
	set, problems, err := LoadFiles(tree(sums(text)), "a")
	if err != nil {
		t.Fatal(err)
	}
	return set, saidOf(t, problems)
}

// saidOf is POSITION RULE SEVERITY, one a line.
func saidOf(t *testing.T, problems []finding.Finding) string {
	t.Helper()
	var said []string
	for _, p := range problems {
		said = append(said, strings.TrimPrefix(p.Position(), "a/")+" "+p.Rule+" "+p.Severity.String())
		if p.Fix == "" || p.Object == "" || p.Message == "" {
			t.Errorf("incomplete: %+v", p)
		}
	}
	return strings.Join(said, "\n")
}

// TestLoadFiles (MF-12, MF-13).
func TestLoadFiles(t *testing.T) {
	set, said := loadFiles(t, stores+"-- a/manifests/p/v2.yaml --\nfiles:\n- {name: v2/x, sha256: #b}\n- name: v1/y\n  sha256: "+strings.Repeat("A", 63)+"\n-- a/manifests/p/v1.yml --\nfiles:\n- name: v1/x\n  sha256: #a\n-- a/manifests/p/OWNERS --\napprovers: [x]\n-- a/manifests/q/v1.yaml --\n{\n")
	if said != "manifests/p/v2.yaml:3 FILES-5 error" {
		t.Errorf("found %q", said)
	}
	p := set.Project("p")
	if p == nil || p.Source.Base != "gs://staging/releases/" || len(p.Destinations) != 2 || p.Destinations[1].Base != "s3://prod-eu/binaries/p/" || !p.Whole {
		t.Fatalf("%+v", p)
	}
	if f, ok := p.File("v2/x"); !ok || f.SHA256 != strings.Repeat("b", 64) || f.File != "a/manifests/p/v2.yaml" || f.Line != 2 || len(p.Files) != 2 {
		t.Errorf("%+v of %v", f, p.Files)
	}
}

func TestFileFindings(t *testing.T) {
	const list = "-- a/manifests/p/v1.yaml --\nfiles:\n- {name: x, sha256: #a}\n"
	tests := map[string]struct{ text, want string }{
		"no source":              {strings.Replace(stores, "src: true", "src: no", 1) + list, "filestores/p/filepromoter-manifest.yaml FILES-1 error\nfilestores/p/filepromoter-manifest.yaml:2 FILES-1 warning"},
		"two sources":            {strings.Replace(stores, "service-account: promoter", "src: true", 1) + list, "filestores/p/filepromoter-manifest.yaml:4 FILES-1 error"},
		"no destination":         {"-- a/filestores/p/filepromoter-manifest.yaml --\nfilestores: [{base: 'gs://x', src: true}]\n" + list, "filestores/p/filepromoter-manifest.yaml FILES-1 error"},
		"no account":             {strings.Replace(stores, "  service-account: promoter\n", "", 1) + list, "filestores/p/filepromoter-manifest.yaml:4 FILES-1 warning"},
		"another scheme":         {strings.Replace(stores, "s3://prod-eu", "ftp://prod-eu", 1) + list, "filestores/p/filepromoter-manifest.yaml:6 FILES-1 error"},
		"a base that climbs":     {strings.Replace(stores, "s3://prod-eu/binaries", "s3://prod-eu/../x", 1) + list, "filestores/p/filepromoter-manifest.yaml:6 FILES-1 error"},
		"a store twice":          {strings.Replace(stores, "s3://prod-eu/binaries/p", "gs://prod/binaries/p", 1) + list, "filestores/p/filepromoter-manifest.yaml:6 FILES-1 error"},
		"no base":                {strings.Replace(stores, "base: s3://prod-eu/binaries/p", "service-account: x", 1) + list, "filestores/p/filepromoter-manifest.yaml:6 FILES-1 error"},
		"an unknown key":         {strings.Replace(stores, "src:", "source:", 1) + list, "filestores/p/filepromoter-manifest.yaml FILES-1 error\nfilestores/p/filepromoter-manifest.yaml:3 FILES-3 error"},
		"files among stores":     {strings.Replace(stores, "filestores:", "files: []\nfilestores:", 1) + list, "filestores/p/filepromoter-manifest.yaml:1 FILES-3 error"},
		"stores among files":     {stores + "-- a/manifests/p/v1.yaml --\nfilestores: []\n", "manifests/p/v1.yaml:1 FILES-3 error"},
		"no list":                {stores, "filestores/p/filepromoter-manifest.yaml FILES-2 error"},
		"no manifest":            {"-- a/filestores/p/x --\n" + list, "filestores/p/filepromoter-manifest.yaml FILES-2 error"},
		"no YAML":                {stores + "-- a/manifests/p/v1.yaml --\nfiles: [\n", "manifests/p/v1.yaml:1 FILES-3 error"},
		"an empty file":          {stores + list + "-- a/manifests/p/v2.yaml --\n# none yet\n", ""},
		"a name that climbs":     {stores + "-- a/manifests/p/v1.yaml --\nfiles:\n- {name: ../x, sha256: #a}\n- {name: /x, sha256: #a}\n- {name: a//b, sha256: #a}\n- {name: 'a\\b', sha256: #a}\n- {name: a/, sha256: #a}\n- {name: '.', sha256: #a}\n", "manifests/p/v1.yaml:2 FILES-4 error\nmanifests/p/v1.yaml:3 FILES-4 error\nmanifests/p/v1.yaml:4 FILES-4 error\nmanifests/p/v1.yaml:5 FILES-4 error\nmanifests/p/v1.yaml:6 FILES-4 error\nmanifests/p/v1.yaml:7 FILES-4 error"},
		"names of our own":       {stores + "-- a/manifests/p/v1.yaml --\nfiles:\n- {name: .steward/x, sha256: #a}\n- {name: .replaced/x, sha256: #a}\n- {name: x/.steward, sha256: #a}\n", "manifests/p/v1.yaml:2 FILES-4 error\nmanifests/p/v1.yaml:3 FILES-4 error"},
		"names nobody sees":      {stores + "-- a/manifests/p/v1.yaml --\nfiles:\n- {name: 'x ', sha256: #a}\n- {name: \"a\\u202Eb\", sha256: #a}\n- {name: \"a\\x1b[1m\", sha256: #a}\n- {name: a b, sha256: #a}\n", "manifests/p/v1.yaml:2 FILES-4 error\nmanifests/p/v1.yaml:3 FILES-4 error\nmanifests/p/v1.yaml:4 FILES-4 error"},
		"no sum":                 {stores + "-- a/manifests/p/v1.yaml --\nfiles:\n- {name: x, sha256: abc}\n- {name: y}\n", "manifests/p/v1.yaml:2 FILES-5 error\nmanifests/p/v1.yaml:3 FILES-5 error"},
		"no name":                {stores + "-- a/manifests/p/v1.yaml --\nfiles:\n- {sha256: #a}\n", "manifests/p/v1.yaml:2 FILES-3 error"},
		"twice the same":         {stores + list + "- {name: x, sha256: #a}\n", "manifests/p/v1.yaml:3 FILES-6 warning"},
		"twice, in two files":    {stores + list + "-- a/manifests/p/v2.yaml --\nfiles:\n- {name: x, sha256: #b}\n", "manifests/p/v2.yaml:2 FILES-6 error"},
		"a key twice":            {stores + "-- a/manifests/p/v1.yaml --\nfiles:\n- {name: x, name: y, sha256: #a}\n", "manifests/p/v1.yaml:2 FILES-3 error"},
		"an anchor":              {stores + "-- a/manifests/p/v1.yaml --\nfiles:\n- &x {name: x, sha256: #a}\n", "manifests/p/v1.yaml:2 FILES-3 error"},
		"a directory is a store": {strings.Replace(stores, "s3://prod-eu/binaries/p", "file:///srv/mirror", 1) + list, ""},
	}
	for name, tt := range tests {
		if _, said := loadFiles(t, tt.text); said != tt.want {
			t.Errorf("%s: %q, want %q", name, said, tt.want)
		}
	}
	// Of two contents none is promoted.
	set, _ := loadFiles(t, tests["twice, in two files"].text)
	if n := len(set.Projects[0].Files); n != 0 {
		t.Errorf("%d files", n)
	}
}

// A link within the repository is another tree's list of files; one that leads out is not followed.
func TestLinkedFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range tree(sums(strings.ReplaceAll(stores, "-- a/", "-- b/c/") + "-- a/manifests/p/v1.yaml --\nfiles:\n- {name: x, sha256: #a}\n")) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "b", "c", "manifests")
	for target, want := range map[string]string{"../../a/manifests": "", "../../../a": "leads out", "/etc": "leads out", "../../a/manifests/p/v1.yaml": "no folder"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		files, err := gitfs.OpenCheckout(dir)
		if err != nil {
			t.Fatal(err)
		}
		set, problems, err := LoadFiles(files, "b/c")
		switch {
		case want == "" && (err != nil || len(problems) > 0 || len(set.Projects[0].Files) != 1):
			t.Errorf("%s: %v %v", target, err, problems)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %s", target, err, want)
		}
		if err := files.Close(); err != nil {
			t.Error(err)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChangeFiles(t *testing.T) {
	base, _ := loadFiles(t, stores+"-- a/manifests/p/v1.yaml --\nfiles:\n- {name: x, sha256: #a}\n- {name: y, sha256: #b}\n- {name: z, sha256: #c}\n")
	head, _ := loadFiles(t, stores+"-- a/manifests/p/v1.yaml --\nfiles:\n- {name: x, sha256: #d}\n- {name: y, sha256: #b}\n- {name: new, sha256: #c}\n")
	if said := saidOf(t, ChangeFiles(base, head)); said != "filestores/p/filepromoter-manifest.yaml FILES-8 warning\nmanifests/p/v1.yaml:2 FILES-7 warning" {
		t.Errorf("%q", said)
	}
	if found := ChangeFiles(head, head); len(found) > 0 {
		t.Errorf("no change: %v", found)
	}
	if said := saidOf(t, head.Allowed([]string{"gs://prod/binaries", "s3://prod"})); said != "filestores/p/filepromoter-manifest.yaml:6 FILES-9 error" {
		t.Errorf("%q", said)
	}
}

func FuzzLoadFiles(f *testing.F) {
	f.Add("filestores:\n- {base: 'gs://a', src: true}\n- base: s3://b/c\n", "files:\n- name: x\n  sha256: "+strings.Repeat("a", 64)+"\n")
	f.Add("filestores: []", "[")
	f.Fuzz(func(t *testing.T, stores, list string) {
		set, problems, err := LoadFiles(fstest.MapFS{
			"a/filestores/p/filepromoter-manifest.yaml": {Data: []byte(stores)}, "a/manifests/p/v.yaml": {Data: []byte(list)},
		}, "a")
		if err != nil {
			t.Fatal(err)
		}
		p := set.Projects[0]
		for _, file := range p.Files {
			if !fs.ValidPath(file.Name) || len(file.SHA256) != 64 {
				t.Errorf("%+v", file)
			}
		}
		if (p.Source.Base == "" || len(p.Destinations) == 0 || !p.Whole) && len(problems) == 0 {
			t.Errorf("%+v without a problem", p)
		}
	})
}

// TestRealFiles has the real tree, and what is wrong with it: files that two releases declare, and a project whose files have no
// version in their names, so that every release declares other contents for them. Its mirrors read the same lists by a link, which
// the copy of the tree has lost.
func TestRealFiles(t *testing.T) {
	real := filepath.Join("..", "..", "..", "shared", "data", "k8s.io", "artifacts")
	if _, err := os.Stat(real); err != nil {
		t.Skip("the real tree is not here: ", err)
	}
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "artifacts"), os.DirFS(real)); err != nil {
		t.Fatal(err)
	}
	for _, mirrors := range []string{"mirroring", "mirroring-staging"} {
		link := filepath.Join(root, "artifacts", mirrors, "manifests")
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../manifests", link); err != nil {
			t.Fatal(err)
		}
	}
	files, err := gitfs.OpenCheckout(root)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for dir, stores := range map[string]int{"artifacts": 3, "artifacts/mirroring": 30, "artifacts/mirroring-staging": 12} {
		set, problems, err := LoadFiles(files, dir)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, p := range set.Projects {
			got["files"] += len(p.Files)
			got["stores"] += len(p.Destinations)
		}
		for _, p := range problems {
			got[p.Rule+" "+p.Severity.String()+" "+strings.Split(p.Object, "/")[0]]++
		}
		if want := map[string]int{
			"files": 3931, "stores": stores, "FILES-6 warning k8s-staging-kops": 63, "FILES-6 error k8s-staging-provider-aws": 24,
		}; !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", dir, got, want)
		}
	}
}
