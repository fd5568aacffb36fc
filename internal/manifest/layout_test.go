// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/gitfs"
)

// TestLinkedProjects (MF-5): a folder that is a link is followed by no reader of a working tree, wherever it leads, as it is not in
// a commit. It is a matter of its own project.
func TestLinkedProjects(t *testing.T) {
	outside := t.TempDir()
	for link, want := range map[string]string{
		"r/images/p -> ../lists":         "images/p/images.yaml MANIFEST-1",
		"r/images/p -> " + outside:       "images/p/images.yaml MANIFEST-1",
		"r/images/p -> nowhere":          "images/p/images.yaml MANIFEST-1",
		"r/manifests/q -> p":             "images/p/images.yaml MANIFEST-1\nmanifests/q MANIFEST-1",
		"r/manifests/q -> " + outside:    "images/p/images.yaml MANIFEST-1\nmanifests/q MANIFEST-1",
		"r/images/q -> ../lists":         "images/p/images.yaml MANIFEST-1",
		"r/manifests/p/x -> ../../lists": "images/p/images.yaml MANIFEST-1",
	} {
		dir := t.TempDir()
		for name, file := range tree("-- r/manifests/p/promoter-manifest.yaml --\nregistries: [{name: gcr.io/s, src: true}, {name: gcr.io/d}]\n-- r/lists/images.yaml --\n- {name: x, dmap: {\"@a\": [v1]}}\n-- r/images/OWNERS --\n") {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), file.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		at, target, _ := strings.Cut(link, " -> ")
		if err := os.Symlink(target, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
		checkout, err := gitfs.OpenCheckout(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer checkout.Close()
		for name, files := range map[string]fs.FS{"checkout": checkout, "folder": os.DirFS(dir)} {
			set, problems, err := Load(files, "r")
			if err != nil {
				t.Errorf("%s, %s: %v", name, link, err)
				continue
			}
			var said []string
			for _, p := range problems {
				said = append(said, strings.TrimPrefix(p.Position(), "r/")+" "+p.Rule)
			}
			if got := strings.Join(said, "\n"); got != want || len(set.Images) != 0 || len(set.Manifests) != 1 || set.Manifests[0].Whole {
				t.Errorf("%s, %s:\n%s\nwant\n%s", name, link, got, want)
			}
		}
	}
}

// TestNamesThatCannotBeSeen: a folder with such a name is nobody's project.
func TestNamesThatCannotBeSeen(t *testing.T) {
	files := tree(registries + "- {name: x, dmap: {\"@a\": [v1]}}\n")
	stores := tree("-- a/filestores/p/filepromoter-manifest.yaml --\nfilestores: [{base: 'gs://s', src: true}, {base: 's3://d'}]\n-- a/manifests/p/v1.yaml --\n")
	for _, name := range []string{"\x1b[31mred", "a\nb::error::c", "a\u202eb"} {
		for _, f := range []string{"manifests/" + name + "/promoter-manifest.yaml", "images/" + name + "/images.yaml"} {
			files["r/"+f] = &fstest.MapFile{Data: []byte("{")}
		}
		stores["a/filestores/"+name+"/"+storesFile] = &fstest.MapFile{Data: []byte("{")}
	}
	set, problems, err := Load(files, "r")
	if err != nil || len(problems) != 3 || len(set.Manifests) != 1 || !set.Manifests[0].Whole {
		t.Errorf("%v, %v", problems, err)
	}
	fileSet, problems, err := LoadFiles(stores, "a")
	if err != nil || len(problems) != 3 || len(fileSet.Projects) != 1 || !fileSet.Projects[0].Whole {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestCollisions (PF-8): of one place with two contents neither is promoted, whichever projects declare them.
func TestCollisions(t *testing.T) {
	project := func(name, base, file, sum string) string {
		return "-- a/filestores/" + name + "/filepromoter-manifest.yaml --\nfilestores: [{base: 'gs://staging/" + name + "', src: true}, {base: '" + base + "', service-account: x}]\n" +
			"-- a/manifests/" + name + "/v1.yaml --\nfiles:\n- {name: " + file + ", sha256: #" + sum + "}\n- {name: own-" + name + ", sha256: #f}\n"
	}
	const both = "manifests/p/v1.yaml:2 FILES-6 error\nmanifests/q/v1.yaml:2 FILES-6 error"
	for name, c := range map[string]struct {
		text, want string
		files      int
	}{
		"one base":           {project("p", "gs://prod/x", "n", "a") + project("q", "gs://prod/x/", "n", "b"), both, 1},
		"one below another":  {project("p", "gs://prod", "x/n", "a") + project("q", "gs://prod/x", "n", "b"), both, 1},
		"deep below another": {project("p", "gs://prod", "x/y/z/n", "a") + project("q", "gs://prod/x/y", "z/n", "b"), both, 1},
		"the same content":   {project("p", "gs://prod", "x/n", "a") + project("q", "gs://prod/x", "n", "a"), "", 2},
		"another place":      {project("p", "gs://prod", "n", "a") + project("q", "gs://prod/x", "n", "b"), "", 2},
		"another store":      {project("p", "gs://prod", "x/n", "a") + project("q", "gs://prod2/x", "n", "b"), "", 2},
	} {
		set, said := loadFiles(t, c.text)
		if said != c.want {
			t.Errorf("%s: %q, want %q", name, said, c.want)
		}
		for _, p := range set.Projects {
			if len(p.Files) != c.files {
				t.Errorf("%s: %s has %d files", name, p.Name, len(p.Files))
			}
		}
	}
}
