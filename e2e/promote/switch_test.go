// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/manifest"
)

// promoteAsBefore is a stand-in for kpromo: it copies what thin manifests declare, edge by edge, and says how many.
func promoteAsBefore(dir, address string) error {
	set, _, err := manifest.Load(os.DirFS(dir), ".")
	if err != nil {
		return err
	}
	copied := 0
	for _, m := range set.Manifests {
		for _, d := range m.Destinations {
			for _, e := range m.Entries {
				for _, digest := range e.Digests {
					for _, tag := range digest.Tags {
						did, err := edge(address, m.Source+"/"+e.Name+"@"+digest.Digest, d.Name+"/"+e.Name+":"+tag.Name)
						if err != nil {
							return err
						}
						copied += did
					}
				}
			}
		}
	}
	fmt.Println("edges promoted:", copied)
	return nil
}

func edge(address, from, to string) (int, error) {
	// The registries take the name of one as the first part of a path.
	source, err := name.NewDigest(address + "/" + from)
	if err != nil {
		return 0, err
	}
	target, err := name.NewTag(address + "/" + to)
	if err != nil {
		return 0, err
	}
	var refused *transport.Error
	switch _, err := remote.Head(target); {
	case err == nil:
		return 0, nil
	case !errors.As(err, &refused) || refused.StatusCode != http.StatusNotFound:
		return 0, err
	}
	image, err := remote.Image(source)
	if err != nil {
		return 0, err
	}
	return 1, remote.Write(target, image)
}

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
	bin := filepath.Join(s.dir, "bin")
	if out, err := exec.Command("go", "build", "-C", root, "-o", filepath.Join(bin, "real-steward"), "./cmd/steward").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.write("bin/steward", "#!/bin/sh\nexec real-steward \"$@\" --registry '*="+s.address+"'\n")
	s.write("bin/kpromo", "#!/bin/sh\n[ \"$1 $2 $4\" = 'cip --thin-manifest-dir --confirm' ] || exit 9\nSTEWARD_PROMOTE_ROLE=kpromo exec "+self+" \"$3\" "+s.address+"\n")
	images := ""
	for i := range 3 {
		digest := s.push("us-docker.pkg.dev/staging/tools/tool", fmt.Sprint("v", i))
		images += fmt.Sprintf("    %q: [v%d]\n", digest, i)
	}
	s.write("k8s.io/registry.k8s.io/images/tools/images.yaml", "- name: tool\n  dmap:\n"+images)
	s.write("k8s.io/registry.k8s.io/manifests/tools/promoter-manifest.yaml",
		"registries:\n- {name: us-docker.pkg.dev/staging/tools, src: true}\n- name: us-docker.pkg.dev/prod/images\n- name: europe-docker.pkg.dev/prod/images\n")
	s.sh("cd k8s.io && git init -q -b main && git add -A && git -c user.name=t -c user.email=t@example.com commit -q -m all")
	return s
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
func TestSwitchPage(t *testing.T) {
	raw, err := os.ReadFile("../../docs/switch-kpromo.md")
	if err != nil {
		t.Fatal(err)
	}
	page, s := string(raw), newSwitchStage(t)

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
	if out := s.sh(beside[1]); !strings.Contains(out, "edges promoted: 6") {
		t.Errorf("the promoter: %s", out)
	}
	if out := s.sh(beside[2]); !strings.Contains(out, "nothing is to be copied") || !strings.Contains(out, "promote check: no findings") {
		t.Errorf("compared: %s", out)
	}

	// Something is declared while nobody promotes; then the first run is ours.
	digest := s.push("us-docker.pkg.dev/staging/tools/tool", "v3")
	s.sh(fmt.Sprintf(`cd k8s.io && printf '    "%s": [v3]\n' >> registry.k8s.io/images/tools/images.yaml && git -c user.name=t -c user.email=t@example.com commit -q -a -m more`, digest))
	out := s.sh(strings.Join(section(t, page, "## Take over"), "\n"))
	for _, want := range []string{"tools    2        2       0", "nothing is to be copied", "promote check: no findings"} {
		if !strings.Contains(out, want) {
			t.Errorf("taken over: %q is missing in\n%s", want, out)
		}
	}
	if out := s.sh(strings.Join(section(t, page, "## Hand it back"), "\n")); !strings.Contains(out, "edges promoted: 0") || !strings.Contains(out, "nothing is to be copied") {
		t.Errorf("handed back: %s", out)
	}
}
