// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jobs holds the ProwJobs of config/prow/jobs to what reads them: Prow's checkconfig, the code that turns a job
// into a pod, TestGrid's configurator, and the rules of kubernetes/test-infra.
//
// Each reader also gets broken copies of what we ship. One that takes those would show nothing.
package jobs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/prow/pkg/config"

	"sigs.k8s.io/steward/e2e/prowhook"
	"sigs.k8s.io/steward/e2e/toolbin"
)

// completion is what the stanzas of config.yaml rely on in the Prow they are meant for, and any Prow has.
const completion = `
prowjob_namespace: prow
pod_namespace: test-pods
plank:
  default_decoration_config_entries:
    - config:
        timeout: 2h
        grace_period: 15s
        default_service_account_name: uploader
        gcs_configuration:
          bucket: example-prow-logs
          path_strategy: explicit
        utility_images:
          clonerefs: registry.example.org/prow/clonerefs:v1
          entrypoint: registry.example.org/prow/entrypoint:v1
          initupload: registry.example.org/prow/initupload:v1
          sidecar: registry.example.org/prow/sidecar:v1
`

// prow is a copy of config/prow, completed, that a test may break.
type prow struct {
	t   *testing.T
	dir string
}

// Names of the files in the copy.
const (
	configFile  = "config.yaml"
	pluginsFile = "plugins.yaml"
	gridFile    = "testgrid.yaml"
	presubmits  = "jobs/steward-presubmits.yaml"
	periodics   = "jobs/trusted/steward-periodics.yaml"
)

func copyConfig(t *testing.T) prow {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	p := prow{t, t.TempDir()}
	from := os.DirFS(filepath.Join(root, "config", "prow"))
	err = fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		if name == configFile {
			content = append(content, completion...)
		}
		p.write(name, string(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p prow) path(name string) string { return filepath.Join(p.dir, name) }

func (p prow) write(name, content string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p prow) read(name string) string {
	p.t.Helper()
	content, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(content)
}

// edit is one way to break a file. Its old text has to be there once, so that a case cannot silently test what we ship.
type edit struct{ file, old, replacement string }

func (p prow) apply(e edit) {
	p.t.Helper()
	content := p.read(e.file)
	if n := strings.Count(content, e.old); n != 1 {
		p.t.Fatalf("%s: %q occurs %d times", e.file, e.old, n)
	}
	p.write(e.file, strings.Replace(content, e.old, e.replacement, 1))
}

// load reads the copy as Prow does.
func (p prow) load() *config.Config {
	p.t.Helper()
	c, err := config.LoadStrict(p.path(configFile), p.path("jobs"), nil, "")
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// checkconfig runs Prow's program with every warning that works offline, each as an error.
func (p prow) checkconfig() (string, error) {
	return prowhook.Checkconfig(p.t,
		"--config-path="+p.path(configFile), "--plugin-config="+p.path(pluginsFile), "--job-config-path="+p.path("jobs"),
		"--include-default-warnings", "--warnings=unknown-fields-all", "--warnings=valid-decoration-config",
		"--required-job-annotations=description", "--required-job-annotations=testgrid-dashboards", "--required-job-annotations=testgrid-tab-name")
}

func TestCheckconfig(t *testing.T) {
	if out, err := copyConfig(t).checkconfig(); err != nil {
		t.Errorf("config/prow: %v\n%s", err, out)
	}
	for _, c := range []struct {
		name string
		edit edit
		want string
	}{
		{"a misspelt field", edit{periodics, "max_concurrency: 1", "max_concurency: 1"}, "max_concurency"},
		{"no decoration", edit{presubmits, "      decorate: true\n", ""}, "decorat"},
		{"no trigger", edit{pluginsFile, "      - trigger\n", ""}, "trigger"},
		{"no description", edit{presubmits, "        description:", "        note:"}, "description"},
		{"no such interval", edit{periodics, "interval: 4h", "interval: often"}, "often"},
		{"a long name", edit{periodics, "name: periodic-steward-audit", "name: periodic-" + strings.Repeat("steward-", 8)}, "63"},
		{"its repository twice", edit{presubmits, "      decorate: true\n", "      decorate: true\n      extra_refs: [{org: example-org, repo: example-infra, base_ref: main}]\n"}, "example-infra"},
		{"no container", edit{presubmits, "        containers:", "        initContainers:"}, "container"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := copyConfig(t)
			p.apply(c.edit)
			out, err := p.checkconfig()
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v, want %q in\n%s", err, c.want, out)
			}
		})
	}
}
