// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package imageaudit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/registry"
)

// d is a made-up digest.
func d(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// The declared images: two mirrors of each kind of registry. @1 to @9 are digests.
const imagesDeclared = `
-- registry.k8s.io/manifests/app/promoter-manifest.yaml --
registries:
- {name: gcr.io/staging, src: true}
- {name: us-docker.pkg.dev/prod/images/app}
- {name: eu-docker.pkg.dev/prod/images/app}
- {name: one.example.org/images/app}
- {name: two.example.org/images/app}
-- registry.k8s.io/images/app/images.yaml --
- name: web
  dmap:
    "@1": ["1.10"]
    "@2": ["1.11", "stable"]
- name: sub/db
  dmap: {"@3": ["1"]}
- name: planned
  dmap: {}
-- registry.k8s.io/manifests/base/promoter-manifest.yaml --
registries:
- {name: gcr.io/staging, src: true}
- {name: us-docker.pkg.dev/prod/images}
- {name: eu-docker.pkg.dev/prod/images}
- {name: one.example.org/images}
- {name: two.example.org/images}
-- registry.k8s.io/images/base/images.yaml --
- name: pause
  dmap: {"@4": ["3.9"]}
`

func treeOf(text string) fstest.MapFS {
	files := fstest.MapFS{}
	for n := 1; n < 10; n++ {
		text = strings.ReplaceAll(text, fmt.Sprintf("@%d", n), d(n))
	}
	for _, f := range txtar.Parse([]byte(text)).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return files
}

func setOf(t testing.TB, text string) *manifest.Set {
	t.Helper()
	set, _, err := manifest.Load(treeOf(text), "registry.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// world is a set of manifests, registries that hold what it declares, and an audit.
type world struct {
	*cloudfake.Running
	set  *manifest.Set
	reg  Registry
	base http.RoundTripper // shared by all clients
}

func imageWorld(t testing.TB, set *manifest.Set, changes ...cloudfake.Change) *world {
	t.Helper()
	s := cloudfake.Start(t, cloudfake.Options{}, "")
	s.OCI.Declare(set)
	if err := s.OCI.Change(changes...); err != nil {
		t.Fatal(err)
	}
	endpoints := map[string]string{}
	for _, host := range s.OCI.Hosts() {
		endpoints[host] = strings.TrimPrefix(s.URL, "http://")
	}
	base := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(base.CloseIdleConnections)
	r, err := registry.New(registry.Options{
		HTTP:      httpread.Options{Base: base, Attempts: 2, Timeout: time.Minute, MaxBody: 4 << 20, Backoff: time.Microsecond},
		Pace:      pace.Options{Rate: 1e6},
		Endpoints: endpoints,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &world{s, set, r, base}
}

func (w *world) audit(t testing.TB) audit.Outcome {
	t.Helper()
	out, err := audit.Run(t.Context(), New(w.set, w.reg, nil), audit.Options{Parallel: 8})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// said is the rules and objects of findings, one a line.
func said(all []finding.Finding) string {
	var lines []string
	for _, f := range all {
		lines = append(lines, f.Rule+" "+f.Object)
	}
	slices.Sort(lines)
	return strings.ReplaceAll(strings.Join(lines, "\n"), "sha256:"+strings.Repeat("0", 63), "@")
}

func everywhere(set *manifest.Set, change func(root string) cloudfake.Change) []cloudfake.Change {
	var all []cloudfake.Change
	for _, root := range set.Mirrors {
		all = append(all, change(root))
	}
	return all
}

// TestImageRules has what can happen to one image on every mirror, and what is said of
// it: one finding, however many mirrors.
func TestImageRules(t *testing.T) {
	for name, c := range map[string]struct {
		change func(root string) []cloudfake.Change
		want   string
	}{
		"nothing": {func(string) []cloudfake.Change { return nil }, ""},
		"IMG-1 a digest and its tags are gone": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Remove: root + "/app/web@" + d(2)}}
		}, "IMG-1 app/web@@2"},
		"IMG-2 a tag is gone": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Untag: root + "/app/web:stable"}}
		}, "IMG-2 app/web:stable"},
		"IMG-3 a tag moved to what is declared": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/app/web:stable", Digest: d(1)}}
		}, "IMG-3 app/web:stable"},
		"IMG-3 a tag moved to a stranger, which is not said twice": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/app/web:stable", Digest: d(9)}}
		}, "IMG-3 app/web:stable"},
		"IMG-1 and IMG-3 a digest was replaced": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/app/sub/db:1", Digest: d(9)}, {Remove: root + "/app/sub/db@" + d(3)}}
		}, "IMG-1 app/sub/db@@3\nIMG-3 app/sub/db:1"},
		"IMG-4 a tag more": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/pause:latest", Digest: d(4)}}
		}, "IMG-4 pause:latest"},
		"IMG-4 an image more": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/pause:evil", Digest: d(9)}}
		}, "IMG-4 pause:evil"},
		"IMG-4 what is only planned": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/app/planned:1", Digest: d(9)}}
		}, "IMG-4 app/planned:1"},
		"IMG-6 a repository beside": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/app/evil:1", Digest: d(9)}}
		}, "IMG-6 app/evil"},
		"IMG-6 a repository below": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/pause/evil:1", Digest: d(9)}}
		}, "IMG-6 pause/evil"},
		"IMG-6 a folder with images of its own": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Tag: root + "/app/sub:1", Digest: d(9)}}
		}, "IMG-6 app/sub"},
		"IMG-7 a repository is gone": {func(root string) []cloudfake.Change {
			return []cloudfake.Change{{Drop: root + "/app/web"}}
		}, "IMG-7 app/web"},
	} {
		set := setOf(t, imagesDeclared)
		for what, on := range map[string][]string{"everywhere": set.Mirrors, "Google": set.Mirrors[:1], "plain": set.Mirrors[1:2]} {
			w := imageWorld(t, set)
			for _, root := range on {
				if err := w.OCI.Change(c.change(root)...); err != nil {
					t.Fatal(err)
				}
			}
			// Five absences of eight objects are no brake's business here.
			out := w.audit(t)
			if got := said(out.Findings); got != c.want || !out.Coverage.Complete() {
				t.Errorf("%s, %s:\n%s\nwant\n%s\n%+v", name, what, got, c.want, out.Coverage.Gaps)
			}
			if len(out.Findings) > 0 && what != "everywhere" && !strings.Contains(out.Findings[0].Message, "on 1 of 4 mirrors: "+strings.Split(on[0], "/")[0]) {
				t.Errorf("%s, %s: %s", name, what, out.Findings[0].Message)
			}
		}
	}
}

// TestMirrorThatIsGone: every repository is reported; the list of a mirror that does
// not exist is none.
func TestMirrorThatIsGone(t *testing.T) {
	set := setOf(t, imagesDeclared)
	for _, root := range set.Mirrors {
		w := imageWorld(t, set, cloudfake.Change{Drop: root + "/app/web"}, cloudfake.Change{Drop: root + "/app/sub/db"}, cloudfake.Change{Drop: root + "/pause"})
		out := w.audit(t)
		gaps := 0
		if strings.HasSuffix(root, "prod/images") {
			gaps = 1
		}
		if want := "IMG-7 app/sub/db\nIMG-7 app/web\nIMG-7 pause"; said(out.Findings) != want || len(out.Coverage.Gaps) != gaps {
			t.Errorf("%s\nwant\n%s\n%+v", said(out.Findings), want, out.Coverage.Gaps)
		}
	}
}

// TestImageFindings looks at findings whole.
func TestImageFindings(t *testing.T) {
	set := setOf(t, imagesDeclared)
	us, eu := set.Mirrors[3], set.Mirrors[0]
	w := imageWorld(t, set,
		cloudfake.Change{Remove: us + "/app/web@" + d(2)},
		cloudfake.Change{Tag: us + "/pause:3.9", Digest: d(8)},
		cloudfake.Change{Tag: eu + "/pause:3.9", Digest: d(9)},
		cloudfake.Change{Tag: eu + "/app/new:1", Digest: d(9)},
		cloudfake.Change{Tag: eu + "/new:1", Digest: d(9)},
	)
	out := w.audit(t)
	const app, base = "registry.k8s.io/images/app/images.yaml", "registry.k8s.io/images/base/images.yaml"
	want := []finding.Finding{
		{
			Rule: "IMG-1", Severity: finding.Error, Object: "app/web@" + d(2), File: app, Line: 4,
			Message:  "a declared digest is missing: on 1 of 4 mirrors: us-docker.pkg.dev",
			Declared: "tagged 1.11, stable", Observed: "absent on us-docker.pkg.dev",
		},
		{
			Rule: "IMG-3", Severity: finding.Critical, Object: "pause:3.9", File: base, Line: 2,
			Message:  "a declared tag stands for another digest: on 2 of 4 mirrors: eu-docker.pkg.dev, us-docker.pkg.dev",
			Declared: d(4), Observed: d(8) + " on us-docker.pkg.dev; " + d(9) + " on eu-docker.pkg.dev",
		},
		{
			Rule: "IMG-6", Severity: finding.Error, Object: "app/new", File: "registry.k8s.io/manifests/app/promoter-manifest.yaml", Line: 3,
			Message: "a repository that nobody declared: on 1 of 4 mirrors: eu-docker.pkg.dev", Observed: "present on eu-docker.pkg.dev",
		},
		{
			Rule: "IMG-6", Severity: finding.Error, Object: "new", File: "registry.k8s.io/manifests/base/promoter-manifest.yaml", Line: 3,
			Message: "a repository that nobody declared: on 1 of 4 mirrors: eu-docker.pkg.dev", Observed: "present on eu-docker.pkg.dev",
		},
	}
	if len(out.Findings) != len(want) {
		t.Fatalf("%s", said(out.Findings))
	}
	for i, f := range out.Findings {
		if f.Fix == "" {
			t.Errorf("%s has no fix", f.Rule)
		}
		if f.Fix = ""; fmt.Sprintf("%+v", f) != fmt.Sprintf("%+v", want[i]) {
			t.Errorf("%+v\nwant\n%+v", f, want[i])
		}
	}
	if held := out.Held; held != nil {
		t.Errorf("held: %+v", held)
	}
}

// TestStateDoesNotDependOnWhatWasUnread: an acknowledgement of a fault on all mirrors
// holds while one of them cannot be read.
func TestStateDoesNotDependOnWhatWasUnread(t *testing.T) {
	set := setOf(t, imagesDeclared)
	w := imageWorld(t, set, everywhere(set, func(root string) cloudfake.Change {
		return cloudfake.Change{Tag: root + "/pause:latest", Digest: d(4)}
	})...)
	whole := w.audit(t).Findings
	if err := w.OCI.Change(cloudfake.Change{Lie: set.Mirrors[0] + "/pause", Mode: "type"}); err != nil {
		t.Fatal(err)
	}
	out := w.audit(t)
	if out.Coverage.Complete() || len(out.Findings) != 1 || out.Findings[0].State() != whole[0].State() || out.Findings[0].Fingerprint() != whole[0].Fingerprint() {
		t.Errorf("%+v\n%+v\n%+v", whole, out.Findings, out.Coverage.Gaps)
	}
	if !strings.Contains(out.Findings[0].Message, "on all 3 mirrors that were read") {
		t.Error(out.Findings[0].Message)
	}
}

func inject(t *testing.T, w *world, rules ...fault.Rule) {
	t.Helper()
	w.Faults.Heal()
	if err := w.Faults.Inject(rules...); err != nil {
		t.Fatal(err)
	}
}

const (
	imageType = "application/vnd.oci.image.manifest.v1+json"
	indexType = "application/vnd.oci.image.index.v1+json"
)

// pushes makes manifests with content: an index of two, things attached to them.
type pushes struct {
	repo    string
	changes []cloudfake.Change
}

func (a *pushes) put(mediaType, body string, tags ...string) string {
	a.changes = append(a.changes, cloudfake.Change{Put: a.repo, MediaType: mediaType, Body: body, Tags: tags})
	return manifest.DigestOf([]byte(body))
}

func (a *pushes) image(name string, tags ...string) string {
	return a.put(imageType, fmt.Sprintf(`{"schemaVersion":2,"name":%q}`, name), tags...)
}

func (a *pushes) attached(name, subject string) string {
	return a.put(imageType, fmt.Sprintf(`{"schemaVersion":2,"name":%q,"subject":{"digest":%q}}`, name, subject))
}

func (a *pushes) signatures(name string, tags ...string) string {
	return a.put(imageType, fmt.Sprintf(`{"schemaVersion":2,"name":%q,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":9,"annotations":{"dev.cosignproject.cosign/signature":"c2ln"}}]}`, name), tags...)
}

func (a *pushes) index(name string, manifests []string, tags ...string) string {
	var list []string
	for _, m := range manifests {
		list = append(list, fmt.Sprintf(`{"digest":%q}`, m))
	}
	return a.put(indexType, fmt.Sprintf(`{"schemaVersion":2,"name":%q,"manifests":[%s]}`, name, strings.Join(list, ",")), tags...)
}

func tagFor(digest, ending string) string {
	return "sha256-" + strings.TrimPrefix(digest, "sha256:") + ending
}

// TestReasons has things that are there for something that is declared, and things
// that are not. Digests in want are written as the names they were made with.
func TestReasons(t *testing.T) {
	for name, c := range map[string]struct {
		make func(a *pushes, index string, children []string) map[string]string
		want string
		// elsewhere is what a registry says that lists no digests.
		elsewhere string
	}{
		"manifests of the index": {func(*pushes, string, []string) map[string]string { return nil }, "", ""},
		"signatures": {func(a *pushes, index string, children []string) map[string]string {
			sig := a.image("sig", tagFor(index, ".sig"))
			a.image("att", tagFor(index, ".att"))
			a.image("child", tagFor(children[0], ".sig"))
			a.image("again", tagFor(sig, ".sig"))
			return nil
		}, "", ""},
		"signature of nothing": {func(a *pushes, _ string, _ []string) map[string]string {
			a.image("sig", tagFor(d(9), ".sig"))
			return nil
		}, "IMG-4 web:" + tagFor(d(9), ".sig"), "IMG-4 web:" + tagFor(d(9), ".sig")},
		"referrers": {func(a *pushes, index string, children []string) map[string]string {
			attached := a.attached("one", index)
			a.attached("two", attached)
			a.attached("three", children[1])
			return nil
		}, "", ""},
		"fallback tag of referrers": {func(a *pushes, index string, _ []string) map[string]string {
			a.index("list", []string{a.attached("one", index), a.image("without subject")}, tagFor(index, ""))
			return nil
		}, "", ""},
		"nested index": {func(a *pushes, _ string, _ []string) map[string]string {
			leaf := a.image("leaf")
			inner := a.index("inner", []string{leaf})
			a.index("declared", []string{inner})
			return nil
		}, "", ""},
		"an image of no tag": {func(a *pushes, _ string, _ []string) map[string]string {
			return map[string]string{a.image("stranger"): "stranger"}
		}, "IMG-5 web@stranger", ""},
		"signatures, and those that were there before one was added": {func(a *pushes, index string, _ []string) map[string]string {
			a.signatures("two", tagFor(index, ".sig"))
			a.signatures("one")
			return nil
		}, "", ""},
		"layers that only look like signatures": {func(a *pushes, _ string, _ []string) map[string]string {
			const media = `"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json"`
			return map[string]string{
				a.put(imageType, `{"schemaVersion":2,"layers":[{`+media+`}]}`):                                                                               "bare",
				a.put(imageType, `{"schemaVersion":2,"layers":[{`+media+`,"size":2000000000,"annotations":{"dev.cosignproject.cosign/signature":"c2ln"}}]}`): "large",
			}
		}, "IMG-5 web@bare\nIMG-5 web@large", ""},
		"layers that are not all signatures": {func(a *pushes, _ string, _ []string) map[string]string {
			body := `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":9,"annotations":{"dev.cosignproject.cosign/signature":"c2ln"}},{"mediaType":"application/vnd.oci.image.layer.v1.tar"}]}`
			return map[string]string{a.put(imageType, body): "both"}
		}, "IMG-5 web@both", ""},
		"an index of no tag, said once": {func(a *pushes, _ string, _ []string) map[string]string {
			one := a.image("one")
			index := a.index("strange", []string{one, a.image("two")})
			a.attached("three", index)
			return map[string]string{index: "index"}
		}, "IMG-5 web@index", ""},
		"attached to nothing": {func(a *pushes, _ string, _ []string) map[string]string {
			return map[string]string{a.attached("x", d(9)): "x"}
		}, "IMG-5 web@x", ""},
		"an undeclared tag on an index, said once": {func(a *pushes, _ string, _ []string) map[string]string {
			index := a.index("evil", []string{a.image("one"), a.image("two")}, "evil")
			a.image("sig", tagFor(index, ".sig"))
			a.attached("three", index)
			return nil
		}, "IMG-4 web:evil", "IMG-4 web:evil"},
		"a moved tag, said once": {func(a *pushes, _ string, _ []string) map[string]string {
			a.index("evil", []string{a.image("one"), a.image("two")}, "v1")
			return nil
		}, "IMG-3 web:v1", "IMG-3 web:v1"},
	} {
		for _, host := range []string{"us-docker.pkg.dev/prod/images", "one.example.org/images"} {
			a := &pushes{repo: host + "/web"}
			children := []string{a.image("amd64"), a.image("arm64")}
			declared := a.index("declared", children, "v1")
			names := c.make(a, declared, children)
			if name == "nested index" {
				declared = manifest.DigestOf([]byte(a.changes[len(a.changes)-1].Body))
				a.changes = append(a.changes[3:], cloudfake.Change{Tag: host + "/web:v1", Digest: declared})
			}
			set := setOf(t, `
-- registry.k8s.io/manifests/p/promoter-manifest.yaml --
registries: [{name: gcr.io/staging, src: true}, {name: `+host+`}]
-- registry.k8s.io/images/p/images.yaml --
- name: web
  dmap: {"`+declared+`": ["v1"]}
`)
			w := imageWorld(t, &manifest.Set{}, a.changes...)
			w.set = set
			out := w.audit(t)
			got := said(out.Findings)
			for digest, n := range names {
				got = strings.ReplaceAll(got, digest, n)
			}
			want := strings.ReplaceAll(c.want, "sha256:"+strings.Repeat("0", 63), "@")
			if host == "one.example.org/images" {
				want = c.elsewhere
			}
			if got != want || !out.Coverage.Complete() {
				t.Errorf("%s, %s:\n%s\nwant\n%s\n%+v", name, host, got, want, out.Coverage.Gaps)
			}
		}
	}
}

// TestReasonsThatCannotBeRead: what an unread index could explain is not reported.
func TestReasonsThatCannotBeRead(t *testing.T) {
	const host = "us-docker.pkg.dev/prod/images"
	a := &pushes{repo: host + "/web"}
	index := a.index("declared", []string{a.image("amd64")}, "v1")
	a.image("stranger")
	a.image("sig", tagFor(d(9), ".sig"))
	a.image("evil", "evil")
	set := setOf(t, `
-- registry.k8s.io/manifests/p/promoter-manifest.yaml --
registries: [{name: gcr.io/staging, src: true}, {name: `+host+`}]
-- registry.k8s.io/images/p/images.yaml --
- name: web
  dmap: {"`+index+`": ["v1"]}
`)
	for name, lie := range map[string][]cloudfake.Change{
		"refused": nil,
		"lying":   {{Lie: host + "/web", Mode: "digest"}},
	} {
		w := imageWorld(t, &manifest.Set{}, append(a.changes, lie...)...)
		w.set = set
		if lie == nil {
			inject(t, w, fault.Rule{Path: "/manifests/" + index, Action: "status", Status: 403})
		}
		out := w.audit(t)
		if said(out.Findings) != "IMG-4 web:evil" || len(out.Coverage.Gaps) != 1 || !strings.Contains(out.Coverage.Gaps[0].Scope, index) {
			t.Errorf("%s: %s\n%+v", name, said(out.Findings), out.Coverage.Gaps)
		}
	}
}

// TestContentIsReadOnceForAllMirrors counts requests for an index on four mirrors.
func TestContentIsReadOnceForAllMirrors(t *testing.T) {
	var changes []cloudfake.Change
	index := ""
	roots := []string{"us-docker.pkg.dev/p/i", "eu-docker.pkg.dev/p/i", "asia-docker.pkg.dev/p/i", "me-docker.pkg.dev/p/i"}
	for _, root := range roots {
		a := &pushes{repo: root + "/web"}
		index = a.index("declared", []string{a.image("amd64")}, "v1")
		changes = append(changes, a.changes...)
	}
	w := imageWorld(t, &manifest.Set{}, changes...)
	w.set = setOf(t, `
-- registry.k8s.io/manifests/p/promoter-manifest.yaml --
registries: [{name: gcr.io/staging, src: true}, {name: `+strings.Join(roots, "}, {name: ")+`}]
-- registry.k8s.io/images/p/images.yaml --
- name: web
  dmap: {"`+index+`": ["v1"]}
`)
	if out := w.audit(t); len(out.Findings) > 0 || !out.Coverage.Complete() {
		t.Errorf("%+v", out)
	}
	read := 0
	for _, q := range w.Faults.Requests() {
		if strings.HasSuffix(q.Path, index) {
			read++
		}
	}
	if read != 1 {
		t.Errorf("read %d times", read)
	}
}

// TestImageFaults replays a run once for each request and each fault, over registries
// that are as declared and over some that are not. Nothing is ever reported that a run
// without faults does not report, and the coverage says what was not read.
func TestImageFaults(t *testing.T) {
	set := setOf(t, strings.NewReplacer("- {name: eu-docker.pkg.dev", "#", "- {name: two.example.org", "#").Replace(imagesDeclared))
	us, one := set.Mirrors[1], set.Mirrors[0]
	swept := map[fault.Request]bool{}
	for _, changes := range [][]cloudfake.Change{nil, {
		{Remove: us + "/app/web@" + d(2)}, {Remove: one + "/app/web@" + d(2)}, {Untag: us + "/pause:3.9"}, {Untag: one + "/pause:3.9"},
		{Drop: us + "/app/sub/db"}, {Drop: one + "/app/sub/db"},
	}} {
		w := imageWorld(t, set, changes...)
		w.reg = quick(t, w, time.Minute)
		clean := w.audit(t)
		if !clean.Coverage.Complete() {
			t.Fatalf("a clean run: %+v", clean)
		}
		asked := map[fault.Request]bool{}
		for _, q := range w.Faults.Requests() {
			asked[q] = !swept[q]
			swept[q] = true
		}
		maps.DeleteFunc(asked, func(_ fault.Request, fresh bool) bool { return !fresh })
		runs := 0
		for q := range asked {
			for _, rule := range sweptFaults() {
				rule.Method, rule.Path = q.Method, "^"+q.Path+"$"
				w.sweep(t, q, rule, clean.Findings)
				runs++
			}
		}
		t.Logf("%d requests, %d runs, %d findings", len(asked), runs, len(clean.Findings))
	}
}

// sweptFaults happen once, and for ever.
func sweptFaults() []fault.Rule {
	var all []fault.Rule
	for _, rule := range []fault.Rule{
		{Action: "status", Status: 403}, {Action: "status", Status: 404}, {Action: "status", Status: 404, Body: "404 page not found"},
		{Action: "status", Status: 404, Body: `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`},
		{Action: "status", Status: 401}, {Action: "status", Status: 429}, {Action: "status", Status: 500},
		{Action: "status", Status: 200, Body: "{}"}, {Action: "status", Status: 200, Body: `{"tags":[],"manifest":{},"child":[],"repositories":[]}`},
		{Action: "reset"}, {Action: "truncate"}, {Action: "hang"},
	} {
		once := rule
		once.Nth, once.Times = 1, 1
		all = append(all, once, rule)
	}
	return all
}

func (w *world) sweep(t *testing.T, q fault.Request, rule fault.Rule, clean []finding.Finding) {
	t.Helper()
	inject(t, w, rule)
	timeout := time.Minute
	if rule.Action == "hang" {
		timeout = 20 * time.Millisecond
	}
	w.reg = quick(t, w, timeout)
	out := w.audit(t)
	for _, f := range out.Findings {
		if !slices.ContainsFunc(clean, func(c finding.Finding) bool { return c.Fingerprint() == f.Fingerprint() }) {
			t.Errorf("%+v: %s %s", rule, f.Rule, f.Object)
		}
	}
	// A fault that was overcome is none; one that was not is named.
	if rule.Times == 0 && out.Coverage.Complete() && !harmless(q, rule) {
		t.Errorf("%+v: complete", rule)
	}
	if out.Coverage.Complete() && len(out.Findings) != len(clean) {
		t.Errorf("%+v: complete, and %s", rule, said(out.Findings))
	}
	for _, gap := range out.Coverage.Gaps {
		if !strings.Contains(gap.Scope, "/") {
			t.Errorf("a gap of %q", gap.Scope)
		}
	}
}

// harmless are answers that a registry may well give: a ping that asks for no token
// before repositories do, an empty list that is then not believed, and the truth about
// what is not there, for which a HEAD is not asked alone.
func harmless(q fault.Request, rule fault.Rule) bool {
	suffix := func(ends ...string) bool {
		return slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(q.Path, end) })
	}
	noRepository := rule.Status == 404 && rule.Body == "" &&
		suffix("/planned/tags/list", "/app/sub/db/tags/list", "/v2/images/tags/list", "/v2/images/app/tags/list", "/v2/images/app/sub/tags/list")
	gone := suffix("/manifests/"+d(2), "/manifests/3.9")
	noManifest := gone && (q.Method == "HEAD" && (rule.Action == "status" || rule.Action == "truncate") || strings.Contains(rule.Body, "MANIFEST_UNKNOWN"))
	return rule.Status == 200 || q.Path == "/v2/" && rule.Status == 401 || noRepository || noManifest
}

// quick is a client that has no patience.
func quick(t *testing.T, w *world, timeout time.Duration) Registry {
	t.Helper()
	endpoints := map[string]string{}
	for _, host := range w.OCI.Hosts() {
		endpoints[host] = strings.TrimPrefix(w.URL, "http://")
	}
	r, err := registry.New(registry.Options{
		HTTP: httpread.Options{Base: w.base, Attempts: 2, Timeout: timeout, Backoff: time.Microsecond},
		Pace: pace.Options{Rate: 1e6}, Endpoints: endpoints,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestListsThatLeaveOutProveNothing has registries that lie about one repository.
func TestListsThatLeaveOutProveNothing(t *testing.T) {
	set := setOf(t, imagesDeclared)
	for _, mode := range []string{"half", "endless", "loop", "away", "giant", "deep", "type", "names"} {
		w := imageWorld(t, set, everywhere(set, func(root string) cloudfake.Change {
			return cloudfake.Change{Lie: root + "/app/web", Mode: mode}
		})...)
		out := w.audit(t)
		if len(out.Findings) > 0 || len(out.Coverage.Gaps) < 4 {
			t.Errorf("%s: %s\n%+v", mode, said(out.Findings), out.Coverage.Gaps)
		}
	}
}

// TestManyAbsencesAreSampled: a list that is complete for twenty is believed.
func TestManyAbsencesAreSampled(t *testing.T) {
	text := "-- registry.k8s.io/manifests/p/promoter-manifest.yaml --\nregistries: [{name: gcr.io/s, src: true}, {name: us-docker.pkg.dev/p/i}]\n-- registry.k8s.io/images/p/images.yaml --\n- name: web\n  dmap:\n"
	for n := range 200 {
		text += fmt.Sprintf("    %q: [t%d]\n", d(n+1000), n)
	}
	set := setOf(t, text)
	w := imageWorld(t, set)
	for n := range 190 {
		if err := w.OCI.Change(cloudfake.Change{Remove: "us-docker.pkg.dev/p/i/web@" + d(n+1000)}); err != nil {
			t.Fatal(err)
		}
	}
	c := New(set, w.reg, nil)
	reading, err := c.Read(t.Context(), "us-docker.pkg.dev/p/i/web")
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Compare(map[string]audit.Reading{"us-docker.pkg.dev/p/i/web": reading})
	if err != nil || len(out.Absent) != 190 || out.Declared != 400 || len(reading.Gaps) > 0 {
		t.Errorf("%d absent of %d, %v", len(out.Absent), out.Declared, err)
	}
	if n := len(w.Faults.Requests()); n > 3+2*confirmed {
		t.Errorf("%d requests", n)
	}
}

// TestHostileAbundance has a registry that grew a thousand things of each kind.
func TestHostileAbundance(t *testing.T) {
	set := setOf(t, imagesDeclared)
	w := imageWorld(t, set)
	us, one := set.Mirrors[3], set.Mirrors[1]
	for n := range 1000 {
		if err := w.OCI.Change(
			cloudfake.Change{Tag: fmt.Sprintf("%s/pause:t%d", us, n), Digest: d(4)},
			cloudfake.Change{Put: us + "/app/web", MediaType: imageType, Body: fmt.Sprintf(`{"schemaVersion":2,"n":%d}`, n)},
			cloudfake.Change{Tag: fmt.Sprintf("%s/r%d:1", us, n), Digest: d(9)},
			cloudfake.Change{Tag: fmt.Sprintf("%s/r%d:1", one, n), Digest: d(9)},
			cloudfake.Change{Tag: fmt.Sprintf("%s/app/sub/db:t%d", one, n), Digest: d(9)},
		); err != nil {
			t.Fatal(err)
		}
	}
	inject(t, w, fault.Rule{Method: "HEAD", Path: "/sub/db/manifests/t", Action: "status", Status: 403}, fault.Rule{Path: "/sub/db/manifests/t", Action: "status", Status: 403})
	out := w.audit(t)
	count := map[string]int{}
	for _, f := range out.Findings {
		count[f.Rule]++
	}
	if want := map[string]int{"IMG-4": 2 * maxStrange, "IMG-6": maxStrange}; !maps.Equal(count, want) {
		t.Errorf("%v, want %v", count, want)
	}
	// Tags of pause; manifests of web; repositories twice; tags of db, most of them unread.
	if n := len(out.Coverage.Gaps); n != 1+1+2+maxGaps+1 {
		t.Errorf("%d gaps: %+v", n, out.Coverage.Gaps)
	}
	for _, q := range w.Faults.Requests() {
		if strings.Contains(q.Path, "/prod/images/app/web/manifests/") {
			t.Errorf("asked %s", q.Path)
			break
		}
	}
}

// TestEmptyRepository: a registry that keeps the name of what is gone.
func TestEmptyRepository(t *testing.T) {
	set := setOf(t, imagesDeclared)
	var changes []cloudfake.Change
	for _, root := range set.Mirrors {
		changes = append(changes, cloudfake.Change{Remove: root + "/app/web@" + d(1)}, cloudfake.Change{Remove: root + "/app/web@" + d(2)})
	}
	if out := imageWorld(t, set, changes...).audit(t); said(out.Findings) != "IMG-7 app/web" || !out.Coverage.Complete() {
		t.Errorf("%s\n%+v", said(out.Findings), out.Coverage.Gaps)
	}
}

// TestCatalogThatIsNotOffered is a gap, and absences are reported all the same.
func TestCatalogThatIsNotOffered(t *testing.T) {
	set := setOf(t, imagesDeclared)
	w := imageWorld(t, set, cloudfake.Change{Drop: "one.example.org/images/pause"})
	for _, host := range []string{"one.example.org", "two.example.org"} {
		if err := w.OCI.Host(host, cloudfake.RegistryStyle{}); err != nil {
			t.Fatal(err)
		}
	}
	out := w.audit(t)
	if said(out.Findings) != "IMG-7 pause" || len(out.Coverage.Gaps) != 2 {
		t.Errorf("%s\n%+v", said(out.Findings), out.Coverage.Gaps)
	}
	for _, gap := range out.Coverage.Gaps {
		if !strings.HasSuffix(gap.Scope, " catalog") || !strings.Contains(gap.Detail, "catalog not offered") {
			t.Errorf("%+v", gap)
		}
	}
}

// TestManifestsThatAreNotUnderstood: nothing can be called undeclared where one of
// them may declare it.
func TestManifestsThatAreNotUnderstood(t *testing.T) {
	broken := strings.Replace(imagesDeclared, "- name: planned\n", "- nme: planned\n", 1)
	set := setOf(t, broken)
	w := imageWorld(t, set)
	for _, root := range set.Mirrors[:1] {
		if err := w.OCI.Change(
			cloudfake.Change{Tag: root + "/app/web:new", Digest: d(9)},
			cloudfake.Change{Tag: root + "/app/new:1", Digest: d(9)},
			cloudfake.Change{Tag: root + "/pause:new", Digest: d(9)},
			cloudfake.Change{Tag: root + "/other:1", Digest: d(9)},
			cloudfake.Change{Remove: root + "/app/web@" + d(1)},
		); err != nil {
			t.Fatal(err)
		}
	}
	out := w.audit(t)
	if want := "IMG-1 app/web@@1\nIMG-4 pause:new\nIMG-6 other"; said(out.Findings) != want {
		t.Errorf("%s\nwant\n%s", said(out.Findings), want)
	}
	if len(out.Coverage.Gaps) != 1 || out.Coverage.Gaps[0].Scope != "registry.k8s.io/manifests/app/promoter-manifest.yaml" || out.Coverage.Gaps[0].Reason != finding.Malformed {
		t.Errorf("%+v", out.Coverage.Gaps)
	}
}

// TestLostTags: a tag whose digest is none is declared, and nobody knows as what.
func TestLostTags(t *testing.T) {
	set := setOf(t, strings.Replace(imagesDeclared, `"@4": ["3.9"]`, `"@4": ["3.9"], "sha256:4444": ["4.0"]`, 1))
	w := imageWorld(t, set)
	if got := said(w.audit(t).Findings); got != "" {
		t.Errorf("absent: %s", got)
	}
	if err := w.OCI.Change(cloudfake.Change{Tag: set.Mirrors[0] + "/pause:4.0", Digest: d(9)}); err != nil {
		t.Fatal(err)
	}
	if got := said(w.audit(t).Findings); got != "" {
		t.Errorf("there: %s", got)
	}
}

// TestSecretsInAnswers plants one in everything that a registry can name.
func TestSecretsInAnswers(t *testing.T) {
	planted := "ghp_" + strings.Repeat("a1", 18)
	set := setOf(t, imagesDeclared)
	w := imageWorld(t, set)
	for _, root := range set.Mirrors {
		if err := w.OCI.Change(
			cloudfake.Change{Tag: root + "/pause:" + planted, Digest: d(4)},
			cloudfake.Change{Tag: root + "/" + planted + ":1", Digest: d(9)},
			cloudfake.Change{Tag: root + "/pause/" + planted + ":1", Digest: d(9)},
		); err != nil {
			t.Fatal(err)
		}
	}
	inject(t, w, fault.Rule{Method: "HEAD", Path: planted, Action: "status", Status: 500})
	kept := map[string]audit.Reading{}
	c := New(set, w.reg, nil)
	units, err := c.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		if kept[u], err = c.Read(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	out, err := c.Compare(kept)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal([]any{kept, out})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), planted) || strings.Count(string(raw), "[redacted GitHub token") < 8 {
		t.Errorf("shown: %s", raw)
	}
	// What is public does not even say where.
	gaps := 0
	for _, reading := range kept {
		gaps += len(reading.Gaps)
		if raw, err := json.Marshal(reading.Gaps); err != nil || strings.Contains(string(raw), "redacted") {
			t.Errorf("%s, %v", raw, err)
		}
	}
	if gaps != 2 || len(out.Found) != 3 {
		t.Errorf("%d gaps, %s", gaps, said(out.Found))
	}
	for _, f := range out.Found {
		if f.Visibility != finding.Private || f.Severity != finding.Critical {
			t.Errorf("%+v", f)
		}
	}
}

// TestReadingsBelongToTheirManifests: a journal of another state is refused.
func TestReadingsBelongToTheirManifests(t *testing.T) {
	set := setOf(t, imagesDeclared)
	w := imageWorld(t, set)
	c := New(set, w.reg, nil)
	const unit = "us-docker.pkg.dev/prod/images/pause"
	reading, err := c.Read(t.Context(), unit)
	if err != nil || len(reading.Data) > 40 {
		t.Errorf("%s, %v", reading.Data, err)
	}
	later := New(setOf(t, strings.Replace(imagesDeclared, `["3.9"]`, `["3.9", "3.10"]`, 1)), w.reg, nil)
	if _, err := later.Compare(map[string]audit.Reading{unit: reading}); err == nil {
		t.Error("it was compared")
	}
	if _, err := c.Compare(map[string]audit.Reading{unit: {Data: json.RawMessage(`[]`)}}); err == nil {
		t.Error("a broken reading was compared")
	}
	if _, err := c.Read(t.Context(), "us-docker.pkg.dev/other"); err == nil {
		t.Error("another unit was read")
	}
}

func TestMemo(t *testing.T) {
	var m memo[int]
	asked := 0
	fail := errors.New("no")
	if _, err := m.get(t.Context(), "a", func() (int, error) { asked++; return 0, fail }); !errors.Is(err, fail) {
		t.Error(err)
	}
	for range 3 {
		if v, err := m.get(t.Context(), "a", func() (int, error) { asked++; return 7, nil }); v != 7 || err != nil {
			t.Error(v, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	// Whoever waits for another's failure asks for itself; whoever is cancelled stops waiting.
	begun, end := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = m.get(context.Background(), "b", func() (int, error) { close(begun); <-end; return 0, fail })
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.get(ctx, "b", func() (int, error) { return 1, nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	got := make(chan int)
	go func() {
		v, err := m.get(context.Background(), "b", func() (int, error) { return 9, nil })
		if err != nil {
			v = -1
		}
		got <- v
	}()
	close(end)
	if v := <-got; v != 9 {
		t.Errorf("got %d", v)
	}
}

func TestSubjectOf(t *testing.T) {
	hex := strings.Repeat("a", 64)
	for tag, want := range map[string]bool{
		"sha256-" + hex: true, "sha256-" + hex + ".sig": true, "sha256-" + hex + ".att": true, "sha256-" + hex + ".sbom": true,
		"sha256-" + hex + ".x": false, "sha256-" + hex[1:]: false, hex: false, "v1": false,
	} {
		if got, ok := subjectOf(tag); ok != want || ok && got != "sha256:"+hex {
			t.Errorf("%s: %s, %v", tag, got, ok)
		}
	}
}
