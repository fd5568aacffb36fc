// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	oldrand "math/rand"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/cloudfake"
)

// switchStage is a machine with both programs, and registries.
type switchStage struct {
	t       *testing.T
	dir     string
	address string // of the registries
}

func newSwitchStage(t *testing.T) *switchStage {
	t.Helper()
	fake := cloudfake.New(cloudfake.Options{})
	fake.OCI.Any()
	server := httptest.NewServer(fake.Handler())
	t.Cleanup(server.Close)
	s := &switchStage{t: t, dir: t.TempDir(), address: server.Listener.Addr().String()}
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	promoter, _, err := toolbin.Build(t.Context(), root, "kpromo")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(s.dir, "bin")
	if out, err := exec.Command("go", "build", "-C", root, "-o", filepath.Join(bin, "real-steward"), "./cmd/steward").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.write("bin/steward", "#!/bin/sh\nexec real-steward \"$@\" --registry '*="+s.address+"'\n")
	s.write("bin/kpromo", "#!/bin/sh\nKPROMO_REGISTRIES="+s.address+" exec "+filepath.Join(promoter, "offline")+" \"$@\"\n")
	return s
}

// tools declares a project of three images that nobody has promoted.
func (s *switchStage) tools() {
	s.t.Helper()
	images := ""
	for i := range 3 {
		digest := s.push("us-docker.pkg.dev/staging/tools/tool", fmt.Sprint("v", i))
		images += fmt.Sprintf("    %q: [v%d]\n", digest, i)
	}
	s.write("k8s.io/registry.k8s.io/images/tools/images.yaml", "- name: tool\n  dmap:\n"+images)
	s.write("k8s.io/registry.k8s.io/manifests/tools/promoter-manifest.yaml",
		"registries:\n- {name: us-docker.pkg.dev/staging/tools, src: true}\n- name: us-docker.pkg.dev/prod/images\n- name: europe-docker.pkg.dev/prod/images\n")
	s.commit()
}

func (s *switchStage) commit() {
	s.t.Helper()
	s.sh("cd k8s.io && git init -q -b main && git add -A && git -c user.name=t -c user.email=t@example.com commit -q -m all")
}

func (s *switchStage) push(repository, tag string) string {
	s.t.Helper()
	image, err := random.Image(200, 2)
	if err != nil {
		s.t.Fatal(err)
	}
	ref, err := name.NewTag(s.address + "/" + repository + ":" + tag)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		s.t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.String()
}

func (s *switchStage) write(path, content string) {
	s.t.Helper()
	path = filepath.Join(s.dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o755)); err != nil {
		s.t.Fatal(err)
	}
}

// sh runs commands as somebody types them; each has to end with 0.
func (s *switchStage) sh(commands string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-e", "-c", commands)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"), "ARTIFACTS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return string(out)
}

// section are the commands of a section of the page, in their order.
func section(t *testing.T, page, heading string) []string {
	t.Helper()
	_, text, ok := strings.Cut(page, heading+"\n")
	if !ok {
		t.Fatalf("the page has no %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var all []string
	for i, part := range strings.Split(text, "```") {
		if i%2 == 1 {
			all = append(all, strings.ReplaceAll(part, "gs://example-steward", "file://$PWD/state"))
		}
	}
	return all
}

// TestSwitchPage runs the commands of docs/switch-kpromo.md as they stand there: beside the promoter, in its place, and back.
// The promoter is the real one, without what it asks Sigstore's servers (tools/kpromo).
func TestSwitchPage(t *testing.T) {
	raw, err := os.ReadFile("../../docs/switch-kpromo.md")
	if err != nil {
		t.Fatal(err)
	}
	page, s := string(raw), newSwitchStage(t)
	s.tools()

	beside := section(t, page, "## Run beside it")
	if len(beside) != 3 {
		t.Fatalf("%d blocks of commands", len(beside))
	}
	s.sh(beside[0])
	var shadow struct{ Total struct{ Targets, Tags int } }
	text, err := os.ReadFile(filepath.Join(s.dir, "shadow.json"))
	if err == nil {
		err = json.Unmarshal(text, &shadow)
	}
	if err != nil || shadow.Total.Targets != 6 || shadow.Total.Tags != 3 {
		t.Fatalf("%+v, %v", shadow, err)
	}
	if out := s.sh(beside[1]); !strings.Contains(out, "edges to promote: 6") {
		t.Errorf("the promoter: %s", out)
	}
	if out := s.sh(beside[2]); !strings.Contains(out, "nothing is to be copied") || !strings.Contains(out, "promote check: no findings") {
		t.Errorf("compared: %s", out)
	}

	// Something is declared while nobody promotes; then the first run is ours, and we sign.
	s.write("k8s.io/config/steward.yaml", "repos: {example-org/k8s.io: {}}\npromotion:\n"+
		"  mirrors: [us-docker.pkg.dev/prod/images, europe-docker.pkg.dev/prod/images]\n  signing: {key: key.pem, reference: registry.example.org}\n")
	s.write("key.pem", privateKey(t))
	digest := s.push("us-docker.pkg.dev/staging/tools/tool", "v3")
	s.sh(fmt.Sprintf(`cd k8s.io && printf '    "%s": [v3]\n' >> registry.k8s.io/images/tools/images.yaml && git -c user.name=t -c user.email=t@example.com commit -q -a -m more`, digest))
	out := s.sh(strings.Join(section(t, page, "## Take over"), "\n"))
	for _, want := range []string{"tools    2        2       0", "attest 4 of 4, sign 4 of 4", "nothing is to be copied", "signatures 4 units", "promote check: no findings"} {
		if !strings.Contains(out, want) {
			t.Errorf("taken over: %q is missing in\n%s", want, out)
		}
	}
	if out := s.sh(strings.Join(section(t, page, "## Hand it back"), "\n")); !strings.Contains(out, "edges to promote: 0") || !strings.Contains(out, "nothing is to be copied") {
		t.Errorf("handed back: %s", out)
	}
}

// privateKey makes a key in PEM.
func privateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestSameProduction lets the promoter and us promote the same made-up trees, with a part in production already, and compares
// what the mirrors hold then. What is wrong in a tree is no part of it: docs/switch-kpromo.md says how they differ there.
func TestSameProduction(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel() // the promoter waits for itself most of the time
			theirs, ours := newSwitchStage(t), newSwitchStage(t)
			theirs.madeUp(rand.New(rand.NewPCG(seed, 0)))
			ours.madeUp(rand.New(rand.NewPCG(seed, 0)))
			before := ours.production()
			if got := theirs.production(); got != before {
				t.Fatalf("they begin with\n%s\nwe with\n%s", got, before)
			}
			theirs.sh("kpromo cip --thin-manifest-dir k8s.io/registry.k8s.io --confirm")
			ours.sh("steward promote run --dir k8s.io --state file://$PWD/state --confirm --rate 10000")
			want, got := theirs.production(), ours.production()
			if got != want {
				t.Errorf("the promoter has\n%s\nwe have\n%s", want, got)
			}
			if got == before {
				t.Error("nothing was to be done")
			}
		})
	}
}

// madeUp declares projects with images that are promoted nowhere, or in part. Images are of the seed as well.
func (s *switchStage) madeUp(dice *rand.Rand) {
	s.t.Helper()
	mirrors := []string{"us-docker.pkg.dev/prod/images", "europe-docker.pkg.dev/prod/images", "asia-docker.pkg.dev/prod/images"}
	for p := range 2 {
		source, prefix := fmt.Sprintf("us-docker.pkg.dev/staging/p%d", p), []string{"", "/below"}[dice.IntN(2)]
		registries, list := fmt.Sprintf("registries:\n- {name: %s, src: true}\n", source), ""
		for _, m := range mirrors {
			registries += fmt.Sprintf("- name: %s%s\n", m, prefix)
		}
		// The second list of a name adds to the first.
		for i, name := range []string{"a", "sub/b", "a"} {
			list += fmt.Sprintf("- name: p%d/%s\n  dmap:\n", p, name)
			for d := range 1 + dice.IntN(3) {
				digest := s.pushMade(fmt.Sprintf("%s/p%d/%s", source, p, name), fmt.Sprintf("build-%d-%d", i, d), dice.Int64())
				var tags []string
				for n := range dice.IntN(3) {
					tags = append(tags, fmt.Sprintf("%q", fmt.Sprintf("v%d.%d.%d", i, d, n)))
				}
				list += fmt.Sprintf("    %q: [%s]\n", digest, strings.Join(tags, ", "))
				for _, m := range mirrors {
					if len(tags) > 0 && dice.IntN(3) == 0 {
						s.copy(fmt.Sprintf("%s/p%d/%s@%s", source, p, name, digest), fmt.Sprintf("%s%s/p%d/%s:%s", m, prefix, p, name, strings.Trim(tags[0], `"`)))
					}
				}
			}
		}
		s.write(fmt.Sprintf("k8s.io/registry.k8s.io/images/p%d/images.yaml", p), list)
		s.write(fmt.Sprintf("k8s.io/registry.k8s.io/manifests/p%d/promoter-manifest.yaml", p), registries)
	}
	s.commit()
}

// pushMade pushes an index of two platforms that a seed makes, and returns its digest.
func (s *switchStage) pushMade(repository, tag string, seed int64) string {
	s.t.Helper()
	index := v1.ImageIndex(empty.Index)
	for arch := range int64(2) {
		img, err := random.Image(200, 1, random.WithSource(oldrand.NewSource(seed+arch)))
		if err != nil {
			s.t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img})
	}
	ref, err := name.NewTag(s.address + "/" + repository + ":" + tag)
	if err == nil {
		err = remote.WriteIndex(ref, index)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.String()
}

func (s *switchStage) copy(from, to string) {
	s.t.Helper()
	source, err := name.ParseReference(s.address + "/" + from)
	if err != nil {
		s.t.Fatal(err)
	}
	target, err := name.NewTag(s.address + "/" + to)
	if err != nil {
		s.t.Fatal(err)
	}
	index, err := remote.Index(source)
	if err == nil {
		err = remote.WriteIndex(target, index)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// production is what the mirrors hold: every manifest, and its tags.
func (s *switchStage) production() string {
	return s.sh("steward promote snapshot --dir k8s.io 2>/dev/null")
}
