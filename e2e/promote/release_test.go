// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/registry"
)

// What this binary is when the variable says so: the registries, or our own client, so that each is a process of its own.
const role = "STEWARD_PROMOTE_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "registries":
		err = serveRegistries(os.Getenv("STEWARD_PROMOTE_RELEASE"), os.Stdout)
	case "copier":
		err = copyRelease(os.Getenv("STEWARD_PROMOTE_WORLD"))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// world is a release and where it is to go.
type world struct {
	Release release
	Source  string // host
	Mirrors []string
	Images  []image
}

// serveRegistries prints the world as JSON when it listens, and serves until it is killed.
func serveRegistries(text string, out io.Writer) error {
	var w world
	if err := json.Unmarshal([]byte(text), &w.Release); err != nil {
		return err
	}
	fake := cloudfake.New(cloudfake.Options{})
	fake.OCI.Any()
	for n := range w.Release.Mirrors + 1 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		if n == 0 {
			w.Source = l.Addr().String()
		} else {
			w.Mirrors = append(w.Mirrors, l.Addr().String())
		}
		if err := fake.OCI.Host(l.Addr().String(), cloudfake.RegistryStyle{Auth: "none"}); err != nil {
			return err
		}
		go func() { _ = http.Serve(l, fake.Handler()) }() //nolint:gosec // loopback, until it is killed
	}
	var err error
	if w.Images, err = fill(fake.OCI, w.Source, w.Release); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(w); err != nil {
		return err
	}
	select {}
}

// prefixes are the repositories of an image at each mirror.
func (w world) targets(name string) []string {
	var all []string
	for _, m := range w.Mirrors {
		for p := range w.Release.Prefixes {
			all = append(all, m+strings.Repeat("/kubernetes", p)+"/images/"+name)
		}
	}
	return all
}

// copyRelease is our own client: it lists what is there, as a plan does, and copies.
func copyRelease(text string) error {
	var w world
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return err
	}
	r, err := registry.New(registry.Options{Pace: pace.Options{Rate: 1e6}, HTTP: httpread.Options{Timeout: 5 * time.Minute}})
	if err != nil {
		return err
	}
	ctx := context.Background()
	var jobs []copier.Job
	for _, img := range w.Images {
		job := copier.Job{Source: w.Source + "/staging/" + img.Name, Digest: img.Digest}
		for _, t := range w.targets(img.Name) {
			job.Targets = append(job.Targets, copier.Target{Repository: t, Tags: []string{"v1.0.0"}})
		}
		jobs = append(jobs, job)
	}
	if err := look(ctx, r, jobs); err != nil {
		return err
	}
	var failed error
	for _, o := range copier.New(r, r, copier.Options{}).Copy(ctx, jobs, nil) {
		failed = errors.Join(failed, o.Err)
	}
	return failed
}

// look lists every destination.
func look(ctx context.Context, r *registry.Registry, jobs []copier.Job) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	places := make(chan struct{}, 64)
	for _, job := range jobs {
		for i := range job.Targets {
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				t := &job.Targets[i]
				l, _, err := r.Glance(ctx, t.Repository)
				if errors.Is(err, manifest.ErrNoRepository) {
					t.Known.New = true
					return
				}
				t.Known.Tags, t.Known.Digests = l.Tags, l.Digests
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
			})
		}
	}
	all.Wait()
	return failed
}

// start runs the registries.
func start(t testing.TB, r release) (w world) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(role, "registries")
	t.Setenv("STEWARD_PROMOTE_RELEASE", string(text))
	var ready sync.WaitGroup
	ready.Add(1)
	child.Start(t, filepath.Join(t.TempDir(), "log"), func(line []byte) bool {
		err = json.Unmarshal(line, &w)
		ready.Done()
		return false
	}, os.Args[0])
	t.Setenv(role, "")
	ready.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// control uses one of the fake's controls (docs/cloudfake.md); in and out may be nil.
func (w world) control(t testing.TB, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.Source+"/_fake/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
	if out == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
}

// empty takes everything away from the mirrors and begins to count anew.
func (w world) empty(t testing.TB, latency time.Duration) {
	t.Helper()
	var drops []cloudfake.Change
	for _, img := range w.Images {
		for _, target := range w.targets(img.Name) {
			drops = append(drops, cloudfake.Change{Drop: target})
		}
	}
	w.control(t, http.MethodPost, "oci/change", drops, nil)
	w.control(t, http.MethodPost, "latency", map[string]string{"latency": latency.String()}, nil)
	w.control(t, http.MethodDelete, "faults", nil, nil) // and the record of requests
	w.control(t, http.MethodDelete, "oci/counts", nil, nil)
}

// cost is what one client took.
type cost struct {
	cloudfake.OCICounts
	wall, cpu time.Duration
	rss       int64 // bytes of the largest process
}

// measure runs commands, as many at once as said, and sees that the release is everywhere after them.
func (w world) measure(t testing.TB, latency time.Duration, atOnce int, commands [][]string, env ...string) (c cost) {
	t.Helper()
	w.empty(t, latency)
	began := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, args := range commands {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), env...)
			child.DieWithParent(cmd)
			out, err := cmd.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("%s: %v: %s", filepath.Base(args[0]), err, out[max(0, len(out)-2000):])
				return
			}
			c.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
				c.rss = max(c.rss, usage.Maxrss<<10)
			}
		})
	}
	all.Wait()
	c.wall = time.Since(began)
	w.control(t, http.MethodGet, "oci/counts", nil, &c.OCICounts)
	var tags map[string]string
	w.control(t, http.MethodGet, "oci/tags", nil, &tags)
	for _, img := range w.Images {
		for _, target := range w.targets(img.Name) {
			if got := tags[target+":v1.0.0"]; got != img.Digest {
				t.Fatalf("%s:v1.0.0 is %q, want %s", target, got, img.Digest)
			}
		}
	}
	return c
}

func (c cost) requests() (n int) {
	for _, m := range c.Requests {
		n += m
	}
	return n
}

// rivals are how each tool is told to copy a release, as concurrently as ours does.
func (w world) rivals(t testing.TB) map[string][][]string {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin, _, err := toolbin.Build(t.Context(), root, "rivals")
	if err != nil {
		t.Fatal(err)
	}
	var crane, skopeo [][]string
	sync := strings.Builder{}
	sync.WriteString("version: 1\ndefaults: {parallel: 16}\ncreds:\n")
	for _, host := range append([]string{w.Source}, w.Mirrors...) {
		fmt.Fprintf(&sync, "- {registry: '%s', tls: disabled, reqConcurrent: 16}\n", host)
	}
	sync.WriteString("sync:\n")
	for _, img := range w.Images {
		from := w.Source + "/staging/" + img.Name
		for _, to := range w.targets(img.Name) {
			crane = append(crane, []string{filepath.Join(bin, "crane"), "copy", "--insecure", from + "@" + img.Digest, to + ":v1.0.0"})
			skopeo = append(skopeo, []string{"skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", "-q",
				"docker://" + from + "@" + img.Digest, "docker://" + to + ":v1.0.0"})
			fmt.Fprintf(&sync, "- {source: '%s:v1.0.0', target: '%s:v1.0.0', type: image}\n", from, to)
		}
	}
	config := filepath.Join(t.TempDir(), "regsync.yaml")
	if err := os.WriteFile(config, []byte(sync.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string][][]string{"crane": crane, "skopeo": skopeo, "regsync": {{filepath.Join(bin, "regsync"), "once", "-c", config, "-v", "warn"}}}
}

// ours is the same by our copier.
func (w world) ours(t testing.TB, latency time.Duration) cost {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return w.measure(t, latency, 1, [][]string{{os.Args[0]}}, role+"=copier", "STEWARD_PROMOTE_WORLD="+string(text))
}

// TestRelease copies a small release with every tool: all bring the same, ours reads each byte once and asks least.
func TestRelease(t *testing.T) {
	r := release{Images: 2, Platforms: 3, Layers: 2, LayerSize: 100_000, Mirrors: 3, Prefixes: 2}
	w := start(t, r)
	ours := w.ours(t, 0)
	configs := ours.Given - r.bytes()
	if configs < 0 || configs > int64(r.Images*r.Platforms*1000) {
		t.Errorf("%d bytes were read of %d", ours.Given, r.bytes())
	}
	for name, commands := range w.rivals(t) {
		c := w.measure(t, 0, 4, commands)
		t.Logf("%s: %d requests, %d bytes read; ours: %d, %d", name, c.requests(), c.Given, ours.requests(), ours.Given)
		if c.requests() <= ours.requests() || c.Given <= ours.Given {
			t.Errorf("%s asks %v, ours %v", name, c.Requests, ours.Requests)
		}
	}
}

// TestLargeLayers has layers of 2 GiB: memory does not grow with them.
func TestLargeLayers(t *testing.T) {
	w := start(t, release{Images: 1, Platforms: 1, Layers: 2, LayerSize: 2 << 30, Mirrors: 2, Prefixes: 2})
	c := w.ours(t, 0)
	t.Logf("%d MiB resident, %d MiB read, %d MiB sent, %v", c.rss>>20, c.Given>>20, c.Taken>>20, c.wall)
	if c.rss > 200<<20 || c.Given > 4<<30+1000 {
		t.Errorf("%d bytes resident, %d read", c.rss, c.Given)
	}
}

// BenchmarkRelease is 30 images for five platforms, four layers of 1 MiB each, to 22 mirrors with two prefixes. Crane and
// skopeo copy one image to one repository; sixteen of them run at once. STEWARD_RELEASE_IMAGES makes it smaller.
func BenchmarkRelease(b *testing.B) {
	images := 30
	if n, err := strconv.Atoi(os.Getenv("STEWARD_RELEASE_IMAGES")); err == nil {
		images = n
	}
	w := start(b, release{Images: images, Platforms: 5, Layers: 4, LayerSize: 1 << 20, Mirrors: 22, Prefixes: 2})
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		for _, who := range []string{"crane", "skopeo", "regsync", "steward"} {
			b.Run(fmt.Sprintf("%s/%v", who, latency), func(b *testing.B) {
				var c cost
				for range b.N {
					if who == "steward" {
						c = w.ours(b, latency)
					} else {
						c = w.measure(b, latency, 16, w.rivals(b)[who])
					}
				}
				b.ReportMetric(float64(c.requests()), "requests")
				b.ReportMetric(float64(c.Given>>20), "MiB-read")
				b.ReportMetric(float64(c.Taken>>20), "MiB-sent")
				b.ReportMetric(float64(c.rss>>20), "MiB-rss")
				b.ReportMetric(c.cpu.Seconds(), "cpu-s")
			})
		}
	}
}
