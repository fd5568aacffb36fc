// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/steward/e2e/toolbin"
)

const (
	version = "v9.8.7-test"
	commit  = "0123456789abcdef0123456789abcdef01234567"
)

// here is the platform whose images can be run.
func here() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// startRegistry serves an empty registry and returns its host and port.
func startRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// build runs the command and returns the references that it prints, by the names of the images.
func build(t *testing.T, args ...string) map[string]string {
	t.Helper()
	var out bytes.Buffer
	args = append([]string{"--tag", version, "--revision", commit, "--platforms", here().String()}, args...)
	if err := run(t.Context(), args, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	refs := map[string]string{}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		image, _, _ := strings.Cut(path.Base(line), ":")
		refs[image] = line
	}
	return refs
}

func pull(t *testing.T, reference string) v1.Image {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithPlatform(here()))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t *testing.T, img v1.Image) string {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// The images that a registry hands out are what the table says, and run.
func TestPushed(t *testing.T) {
	host := startRegistry(t)
	pushBase(t, host+"/base/git:1")
	saved := filepath.Join(t.TempDir(), "images.tar")
	refs := build(t, "--push", host+"/steward", "--git-base", host+"/base/git:1", "--tarball", saved)
	var names []string
	for _, row := range images() {
		names = append(names, row.name)
	}
	if got := slices.Sorted(maps.Keys(refs)); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Fatalf("pushed %q, the table has %q", got, names)
	}
	for _, row := range images() {
		t.Run(row.name, func(t *testing.T) {
			img := pull(t, refs[row.name])
			checkConfig(t, img, row)
			files := extract(t, img)
			checkFiles(t, files, row)
			checkProgram(t, files.dir, row)
			checkSaved(t, saved, refs[row.name], img)
			runs()[row.name](t, files.dir)
		})
	}
	t.Run("again", func(t *testing.T) { checkReproducible(t, host, refs) })
}

// checkConfig compares what a runtime reads.
func checkConfig(t *testing.T, img v1.Image, row image) {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	if c.User != "65532:65532" {
		t.Errorf("runs as %q", c.User)
	}
	if want := []string{"/usr/local/bin/" + path.Base(row.command)}; !slices.Equal(c.Entrypoint, want) || len(c.Cmd) > 0 {
		t.Errorf("runs %q %q, want %q", c.Entrypoint, c.Cmd, want)
	}
	if !file.Created.Equal(time.Unix(0, 0)) {
		t.Errorf("created %v", file.Created)
	}
	for label, want := range map[string]string{
		"source": "https://sigs.k8s.io/steward", "version": version, "revision": commit, "licenses": "Apache-2.0", "title": row.title,
	} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s: %q, want %q", label, got, want)
		}
	}
	if len(c.ExposedPorts) > 0 || len(c.Volumes) > 0 || c.Shell != nil {
		t.Errorf("declares %v %v %v", c.ExposedPorts, c.Volumes, c.Shell)
	}
}

// unpacked is the file system of an image on this disk.
type unpacked struct {
	dir     string
	headers map[string]*tar.Header // by the name in the image, without slashes around it
}

// extract unpacks an image, with its owners where we may give files away.
func extract(t *testing.T, img v1.Image) unpacked {
	t.Helper()
	u := unpacked{dir: t.TempDir(), headers: map[string]*tar.Header{}}
	files := mutate.Extract(img)
	defer files.Close()
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return u
		}
		if err == nil {
			err = u.add(h, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (u unpacked) add(h *tar.Header, content io.Reader) error {
	name := strings.Trim(path.Clean("/"+h.Name), "/")
	u.headers[name] = h
	target := filepath.Join(u.dir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return errors.Join(os.MkdirAll(target, 0o755), os.Chmod(target, h.FileInfo().Mode()), own(target, h))
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, h.FileInfo().Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close(), own(target, h))
}

func own(target string, h *tar.Header) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(target, h.Uid, h.Gid)
}

// checkFiles knows every file of an image from scratch, so that no shell and no git comes in unseen.
func checkFiles(t *testing.T, files unpacked, row image) {
	t.Helper()
	want := []string{
		"etc", "etc/group", "etc/passwd", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt",
		"home", "home/nonroot", "tmp", "usr", "usr/local", "usr/local/bin", "usr/local/bin/" + path.Base(row.command),
	}
	if got := slices.Sorted(maps.Keys(files.headers)); !row.git && !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	for name, h := range files.headers {
		mode := h.FileInfo().Mode()
		if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s gives rights away: %v", name, mode)
		}
		if mode.Perm()&0o022 != 0 && name != "tmp" {
			t.Errorf("%s can be written by others: %v", name, mode)
		}
		if own := h.Uid == uid; own != (name == "home/nonroot") {
			t.Errorf("%s belongs to %d", name, h.Uid)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s is of %v", name, h.ModTime)
		}
	}
}

// maxProgram is twice what a program with the libraries of a cloud has: growth beyond it is to be noticed.
const maxProgram = 90 << 20

// checkProgram looks at the file itself: it needs no library, and nothing in it is of the machine that built it.
func checkProgram(t *testing.T, dir string, row image) {
	t.Helper()
	file := filepath.Join(dir, "usr/local/bin", path.Base(row.command))
	program, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program is not static: it has %v", p.Type)
		}
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if info.Path != "sigs.k8s.io/steward/"+path.Clean(row.command) || settings["-trimpath"] != "true" || settings["CGO_ENABLED"] != "0" {
		t.Errorf("built as %s with %v", info.Path, settings)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte(root+"/")) {
		t.Errorf("the program names %s", root)
	}
	t.Logf("%s: %.1f MiB", path.Base(row.command), float64(len(content))/(1<<20))
	if len(content) > maxProgram {
		t.Errorf("the program has %d bytes", len(content))
	}
}

// checkReproducible builds again from sources at another place, without git. Nobody has to trust the machine that pushed.
func checkReproducible(t *testing.T, host string, first map[string]string) {
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	again := build(t, "--push", host+"/again", "--root", copySources(t, root))
	if len(again) != 3 { // all but the one with git
		t.Errorf("without --git-base there are %v", again)
	}
	for image, ref := range again {
		if want := strings.Replace(first[image], "/steward/", "/again/", 1); ref != want {
			t.Errorf("built again: %s, want %s", ref, want)
		}
	}
}

// copySources copies what the root module is made of, as git lists it.
func copySources(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	list, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if strings.HasPrefix(name, "e2e/") || strings.HasPrefix(name, "tools/") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, but not yet committed as deleted
		}
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), content, 0o644)
	}
	return dir
}

func put(t *testing.T, file string, content []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, mode); err != nil {
		t.Fatal(err)
	}
}

// checkSaved finds an image of the registry in the tarball, for a cluster that no registry reaches.
func checkSaved(t *testing.T, file, ref string, pushed v1.Image) {
	t.Helper()
	tag, err := name.NewTag(strings.Split(ref, "@")[0])
	if err != nil {
		t.Fatal(err)
	}
	saved, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	want, err := pushed.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := saved.ConfigName(); err != nil || got != want {
		t.Errorf("the tarball has %v, %v, the registry %v", got, err, want)
	}
}

// An index names every platform, and a client of each finds the program for it.
func TestIndex(t *testing.T) {
	host := startRegistry(t)
	base, err := mutate.Append(empty.Image)
	if err != nil {
		t.Fatal(err)
	}
	b := built{image: image{name: "two"}}
	for _, architecture := range []string{"amd64", "arm64"} {
		opts := options{tag: version, created: time.Unix(0, 0)}
		platform := v1.Platform{OS: "linux", Architecture: architecture}
		img, err := assemble(opts, b.image, platform, base)
		if err != nil {
			t.Fatal(err)
		}
		b.images, b.platforms = append(b.images, img), append(b.platforms, platform)
	}
	line, err := publish(t.Context(), options{push: host, tag: version}, b)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(line)
	if err != nil {
		t.Fatal(err)
	}
	for i, platform := range b.platforms {
		img, err := remote.Image(ref, remote.WithPlatform(platform))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := digestOf(t, img), digestOf(t, b.images[i]); got != want {
			t.Errorf("%s: %s, want %s", platform, got, want)
		}
	}
	if _, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "s390x"})); err == nil {
		t.Error("there is an image for s390x")
	}
}

// A base of Docker's kind gets a layer of Docker's kind.
func TestDockerBase(t *testing.T) {
	host := startRegistry(t)
	ref, err := name.ParseReference(host + "/base:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, empty.Image); err != nil {
		t.Fatal(err)
	}
	img, err := onBase(t.Context(), options{gitBase: ref.String(), tag: version}, image{command: "./cmd/x"}, here(), entry{path: "/x", content: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.DockerManifestSchema2 || manifest.Layers[0].MediaType != types.DockerLayer {
		t.Errorf("%s with a layer of %s", manifest.MediaType, manifest.Layers[0].MediaType)
	}
}

// What cannot work is said before anything is built.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "empty.crt"), []byte("nothing\n"), 0o644)
	for _, c := range []struct {
		args, want string
	}{
		{"--tag v1", "one of --push and --tarball is needed"},
		{"--push localhost:1/steward", "flag --tag is needed"},
		{"--push localhost:1/steward --tag v1/2", "name image steward"},
		{"--push localhost:1/Steward --tag v1", "name image steward"},
		{"--push localhost:1/steward --tag v1 --platforms windows/amd64", `"windows/amd64" is not linux/ARCHITECTURE`},
		{"--push localhost:1/steward --tag v1 --platforms linux", `"linux" is not linux/ARCHITECTURE`},
		{"--push localhost:1/steward --tag v1 --git-base A:B:C", "flag --git-base"},
		{"--push localhost:1/steward --tag v1 --ca " + dir + "/gone.crt", "no such file"},
		{"--push localhost:1/steward --tag v1 --ca " + dir + "/empty.crt", "there is no certificate in it"},
		{"--push localhost:1/steward --tag v1 steward", `unexpected argument "steward"`},
	} {
		err := run(t.Context(), strings.Fields(c.args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

// A private key that lies beside certificates would be published with every image.
func TestTrusts(t *testing.T) {
	bundle, err := certificates("")
	if err != nil {
		t.Fatal(err)
	}
	if err := trusts(bundle); err != nil {
		t.Errorf("this machine's certificates: %v", err)
	}
	key := "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"
	if err := trusts(append(slices.Clone(bundle), key...)); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("with a key: %v", err)
	}
}

// The time of everything in an image is one that the builder chooses.
func TestCreated(t *testing.T) {
	digests := map[string]bool{}
	for _, seconds := range []int64{0, 0, 1} {
		layer, err := baseLayer([]byte("certificates"), time.Unix(seconds, 0))
		if err != nil {
			t.Fatal(err)
		}
		digest, err := layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[digest.String()] = true
	}
	if len(digests) != 2 {
		t.Errorf("two times give the layers %v", digests)
	}
	for epoch, want := range map[string]int64{"": 0, "0": 0, "1700000000": 1700000000, "-1": -1, "now": -1} {
		got, err := created(epoch)
		if (err == nil) != (want >= 0) || err == nil && got.Unix() != want {
			t.Errorf("%q: %v, %v", epoch, got, err)
		}
	}
}

// The label names the commit, and says so where the files are not those of it.
func TestRevision(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if got := revision(context.Background(), dir); got != "" {
		t.Errorf("no repository: %q", got)
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "first")
	clean := revision(t.Context(), dir)
	if len(clean) != 40 {
		t.Errorf("clean: %q", clean)
	}
	put(t, filepath.Join(dir, "new"), nil, 0o644)
	if got := revision(t.Context(), dir); got != clean+"-dirty" {
		t.Errorf("changed: %q", got)
	}
}

// The commands of docs/deploy.md have flags that exist, and its table has every image.
func TestDocumented(t *testing.T) {
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	const command = "cd e2e && go run ./images "
	found := 0
	for line := range strings.Lines(string(page)) {
		if args, ok := strings.CutPrefix(strings.TrimSpace(line), command); ok {
			found++
			if _, err := parse(t.Context(), root, strings.Fields(args), t.Output()); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if found == 0 {
		t.Errorf("docs/deploy.md has no %q", command)
	}
	for _, row := range images() {
		if !strings.Contains(string(page), "\n| `"+row.name+"` |") {
			t.Errorf("docs/deploy.md does not list %s", row.name)
		}
	}
}

// Manifests and jobs name images of the table, all of one version, and what compares revisions gets the one with git.
func TestNamedImages(t *testing.T) {
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, row := range images() {
		known[row.name] = true
	}
	named := regexp.MustCompile(`image: registry\.example\.org/steward/([^:\s]+):(\S+)`)
	tags, found := map[string]bool{}, 0
	err = fs.WalkDir(os.DirFS(filepath.Join(root, "config")), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(file) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(filepath.Join(root, "config", file))
		for _, m := range named.FindAllStringSubmatch(string(content), -1) {
			found++
			tags[m[2]] = true
			if !known[m[1]] {
				t.Errorf("%s: there is no image %s", file, m[1])
			}
			if revision := regexp.MustCompile("--(base|rev)="); revision.Match(content) && m[1] != "steward-git" {
				t.Errorf("%s: %s has no git", file, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 3 || len(tags) != 1 {
		t.Errorf("found %d images of the versions %v", found, tags)
	}
}
