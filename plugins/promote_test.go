// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/thread"
)

// The lists of the example community.
const (
	toolImages   = "registry.k8s.io/images/staging-tools/images.yaml"
	toolManifest = "registry.k8s.io/manifests/staging-tools/promoter-manifest.yaml"
)

// list is an images.yaml; a digest is written as one letter.
func list(text string) string {
	for c := 'a'; c <= 'f'; c++ {
		text = strings.ReplaceAll(text, "@"+string(c), `"sha256:`+strings.Repeat(string(c), 64)+`"`)
	}
	return text
}

const toolsNow = "- name: tool\n  dmap:\n    @a: [v1.0.0]\n    @b: [v1.1.0, v1.1]\n- name: runner\n  dmap:\n    @c: [v0.3.0]\n"

func TestPromoteGate(t *testing.T) {
	tests := []struct {
		name    string
		head    map[string]string
		files   []thread.File
		mirrors []string
		status  string
		sticky  string // a part of it; "" wants none
	}{
		{name: "no manifest", files: modified("dns/x.yaml", "registry.k8s.io/README.md", "registry.k8s.io/images/staging-tools/OWNERS"),
			status: "success: Not applicable: no promoter manifest changes"},
		{name: "a new digest", head: map[string]string{toolImages: list(toolsNow + "- name: tool\n  dmap:\n    @d: [v1.2.0, v1.2]\n")}, files: modified(toolImages),
			status: "success: Promotes 1 image with 2 tags to 2 mirrors, of 1 project",
			sticky: "| `tools/tool` | `v1.2.0` `v1.2` | `sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd` | not asked | 2 |"},
		{name: "who may approve", head: map[string]string{toolImages: list(toolsNow + "- name: x\n  dmap:\n    @d: []\n")}, files: modified(toolImages),
			status: "success: Promotes 1 image with 0 tags", sticky: "May approve `registry.k8s.io/images/staging-tools`: `tom`."},
		{name: "order and quotes", head: map[string]string{toolImages: list("- {name: runner, dmap: {@c: [\"v0.3.0\"]}}\n- {name: tool, dmap: {@b: [v1.1, v1.1.0], @a: [v1.0.0]}}\n")},
			files: modified(toolImages), status: "success: Nothing new is declared", sticky: "Nothing new is declared"},
		{name: "a moved tag", head: map[string]string{toolImages: list(strings.Replace(toolsNow, "@c", "@d", 1))}, files: modified(toolImages),
			status: "failure: In promoter manifests: 1 error, 1 warning", sticky: "a tag that was promoted is never moved"},
		{name: "something goes", head: map[string]string{toolImages: list("- name: tool\n  dmap:\n    @a: [v1.0.0]\n    @b: [v1.1.0, v1.1]\n")}, files: modified(toolImages),
			status: "success: Nothing new is declared", sticky: "MANIFEST-11"},
		{name: "no digest", head: map[string]string{toolImages: list(toolsNow + "- name: x\n  dmap: {\"sha256:12\": [v1]}\n")}, files: modified(toolImages),
			status: "failure: In promoter manifests: 1 error", sticky: "2 digits instead of 64"},
		{name: "no YAML", head: map[string]string{toolImages: "- {"}, files: modified(toolImages), status: "failure: In promoter manifests: 1 error", sticky: "MANIFEST-2"},
		{name: "a new mirror", files: modified(toolManifest),
			head:   map[string]string{toolManifest: "registries:\n- {name: us-central1-docker.pkg.dev/example-staging/tools, src: true}\n- {name: us-central1-docker.pkg.dev/example-prod/images/tools}\n- {name: europe-west1-docker.pkg.dev/example-prod/images/tools}\n- {name: asia-east1-docker.pkg.dev/example-prod/images/tools}\n"},
			status: "success: Promotes 3 images with 4 tags to 1 mirror, of 1 project", sticky: "| `tools/runner` | `v0.3.0` |"},
		{name: "a mirror that is not ours", files: modified(toolManifest), mirrors: []string{"us-central1-docker.pkg.dev/example-prod/images", "europe-west1-docker.pkg.dev/example-prod/images"},
			head:   map[string]string{toolManifest: "registries:\n- {name: us-central1-docker.pkg.dev/example-staging/tools, src: true}\n- {name: us-central1-docker.pkg.dev/example-prod/images/tools}\n- {name: europe-west1-docker.pkg.dev/example-prod/images/tools}\n- {name: quay.io/mine/tools}\n"},
			status: "failure: In promoter manifests: 1 error", sticky: "MANIFEST-12"},
		{name: "a new project", files: modified("registry.k8s.io/images/new/images.yaml", "registry.k8s.io/manifests/new/promoter-manifest.yaml"),
			head: map[string]string{"registry.k8s.io/images/new/images.yaml": list("- name: x\n  dmap:\n    @d: [v1]\n"),
				"registry.k8s.io/manifests/new/promoter-manifest.yaml": "registries: [{name: gcr.io/new, src: true}, {name: us-docker.pkg.dev/example-prod/images/new}]\n"},
			status: "success: Promotes 1 image with 1 tag to 1 mirror", sticky: "| `new/x` | `v1` |"},
		{name: "a list that nobody reads", head: map[string]string{"registry.k8s.io/images/new/images.yaml": list("- name: x\n  dmap:\n    @d: [v1]\n")},
			files: modified("registry.k8s.io/images/new/images.yaml"), status: "success: Nothing new is declared", sticky: "Nothing new"},
		{name: "a project goes", head: map[string]string{toolImages: "", toolManifest: ""},
			files: []thread.File{{Path: toolImages, Status: "removed"}, {Path: toolManifest, Status: "removed"}}, status: "success: Nothing new is declared", sticky: "Nothing new"},
		{name: "names are no Markdown", head: map[string]string{toolImages: list(toolsNow + "- name: \"x](http://e) @zoe | <b>\"\n  dmap:\n    \"|`@x<b>\": [\"`|<i>\"]\n")},
			files: modified(toolImages), status: "failure: In promoter manifests: ", sticky: "MANIFEST-5"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.mirrors = tt.mirrors
		w.commit("head", tt.head)
		w.pull(1).Files = tt.files
		w.settle()
		got, sticky := w.status(1, "steward/promote"), w.sticky(1, "promote")
		if !strings.HasPrefix(got, tt.status) || !strings.Contains(sticky, tt.sticky) || tt.sticky == "" && sticky != "" {
			t.Errorf("%s: %s\nwant %s\n%s", tt.name, got, tt.status, sticky)
		}
		if bad := active(strings.ReplaceAll(sticky, "<br>", "")); bad != "" {
			t.Errorf("%s: active %s in\n%s", tt.name, bad, sticky)
		}
	}
}

// What cannot be read, or is too much, never passes.
func TestPromoteGateFailsClosed(t *testing.T) {
	w := newWorld(t)
	w.commit("head", map[string]string{toolImages: list(toolsNow)})
	s := w.pull(1)
	s.Files = modified(toolImages)
	w.broken = "file"
	if _, err := w.look(1); err == nil || w.status(1, "steward/promote") != ": " {
		t.Errorf("%v, %s", err, w.status(1, "steward/promote"))
	}
	w.broken = ""
	s.Files, s.FilesLost = modified("x"), 17
	w.settle()
	if got := w.status(1, "steward/promote"); !strings.HasPrefix(got, "failure: GitHub does not list 17") {
		t.Error(got)
	}
	s.FilesLost, s.Files = 0, nil
	for n := range 26 {
		s.Files = append(s.Files, modified(fmt.Sprintf("registry.k8s.io/images/p%d/images.yaml", n))...)
	}
	w.settle()
	if got := w.status(1, "steward/promote"); got != "failure: The manifests of 26 projects change, more than 25: split the pull request" {
		t.Error(got)
	}
}

func TestPromotePlan(t *testing.T) {
	w := newWorld(t)
	text := toolsNow
	for n := range 30 {
		text += fmt.Sprintf("- name: new%02d\n  dmap:\n    @d: [v1]\n", n)
	}
	w.commit("head", map[string]string{toolImages: list(text)})
	w.pull(1).Files = modified(toolImages)
	w.say(1, 7, "alice", "/infra promote plan")
	w.settle()
	sticky := w.sticky(1, "promote")
	if !strings.Contains(sticky, "And 10 more: `/infra promote plan` lists them.") || strings.Count(sticky, "`tools/new29`") != 1 || strings.Count(sticky, "`tools/new05`") != 2 {
		t.Error(sticky)
	}
}

// TestPromoteStaging (PP-8): what staging holds is shown beside what its forerunner was, and an image that it does not hold
// is held.
func TestPromoteStaging(t *testing.T) {
	at := func(c string) string {
		return "us-central1-docker.pkg.dev/example-staging/tools/tool@sha256:" + strings.Repeat(c, 64)
	}
	both := []string{"linux/amd64", "linux/arm64"}
	tests := []struct {
		name    string
		more    string // of the image tool
		staging map[string]manifest.Facts
		broken  string
		status  string
		sticky  string
	}{
		{name: "all is well", more: "@d: [v1.2.0]", staging: map[string]manifest.Facts{
			at("b"): {Platforms: both}, at("d"): {Platforms: both, Size: 3 << 20, Uploaded: noon.AddDate(0, 0, -10), Signers: []string{"ci@example.org"}},
		}, status: "success: Promotes 1 image", sticky: "`linux/amd64` `linux/arm64`; 3.0 MiB; of 2025-12-23, goes at about 2026-03-23; signature of `ci@example.org` | 2 |"},
		{name: "a platform less", more: "@d: [v1.10.0]\n    @e: [v1.9.9]", staging: map[string]manifest.Facts{
			at("b"): {Platforms: both}, at("e"): {Platforms: both}, at("d"): {Platforms: both[:1]},
		}, status: "success: Promotes 2 images", sticky: "v1.1.0 has linux/arm64 and this image has not"},
		{name: "missing", more: "@d: [v1.2.0]", staging: map[string]manifest.Facts{at("b"): {}}, status: "failure: In promoter manifests: 1 error", sticky: "| **missing** | 2 |"},
		{name: "old", more: "@d: [v1.2.0]", staging: map[string]manifest.Facts{at("d"): {Uploaded: noon.AddDate(0, -4, 0)}}, status: "success", sticky: "of 2025-09-02, may go at any time; no signature"},
		{name: "a new tag of what went from staging long ago", more: "@a: [v1.0]", staging: map[string]manifest.Facts{}, status: "success: Promotes 1 image", sticky: "| **missing** | 2 |"},
		{name: "staging is down", more: "@d: [v1.2.0]", broken: "staging", status: "success: Promotes 1 image", sticky: "| not known now | 2 |"},
		{name: "words of a server are no Markdown", more: "@d: [v1.2.0]", staging: map[string]manifest.Facts{at("d"): {Signers: []string{"x](http://e) @zoe | <b>"}}}, status: "success", sticky: "signature of"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.staging, w.broken = tt.staging, tt.broken
		w.commit("head", map[string]string{toolImages: list(toolsNow + "- name: tool\n  dmap:\n    " + tt.more + "\n")})
		w.pull(1).Files = modified(toolImages)
		w.settle()
		got, sticky := w.status(1, "steward/promote"), w.sticky(1, "promote")
		if !strings.HasPrefix(got, tt.status) || !strings.Contains(sticky, tt.sticky) {
			t.Errorf("%s: %s\nwant %s\n%s", tt.name, got, tt.status, sticky)
		}
		if bad := active(strings.ReplaceAll(sticky, "<br>", "")); bad != "" {
			t.Errorf("%s: active %s in\n%s", tt.name, bad, sticky)
		}
	}
}

// TestPromoteRetry (PP-10).
func TestPromoteRetry(t *testing.T) {
	tests := []struct {
		name, login, line string
		change            func(*world)
		want              string
		starts            bool
	}{
		{"the project's people", "tom", "/infra promote retry", nil, "`periodic-steward-audit` is started", true},
		{"one project", "tom", "/infra promote retry staging-tools", nil, "is started", true},
		{"another project", "tom", "/infra promote retry staging-tool", nil, "Did you mean `staging-tools`?", false},
		{"somebody else", "dora", "/infra promote retry", nil, "Denied", false},
		{"nothing was promoted", "alice", "/infra promote retry", func(w *world) { w.threads[1].Files = modified("dns/x") }, "Nothing was promoted by this", false},
		{"no job", "tom", "/infra promote retry", func(w *world) { w.job = thread.PeriodicJob{} }, "name no job", false},
		{"it runs", "tom", "/infra promote retry", func(w *world) { w.job.Running = noon }, "runs since 2026-01-02 12:00 UTC", false},
		{"a hurdle", "tom", "/infra promote retry", func(w *world) { w.job.Hurdle = "there are no rights" }, "Not started: there are no rights. `periodic-steward-audit` does what is left by itself, every 4 h.", false},
	}
	for _, tt := range tests {
		w := newWorld(t)
		s := w.pull(1)
		s.Files, s.Where = modified(toolImages), thread.MergedPull
		if tt.change != nil {
			tt.change(w)
		}
		w.say(1, 7, tt.login, tt.line)
		w.settle()
		if got := w.sticky(1, "promote"); !strings.Contains(got, tt.want) || len(w.jobs) > 0 != tt.starts {
			t.Errorf("%s: %d jobs, want %q in\n%s", tt.name, len(w.jobs), tt.want, got)
		}
	}
}
