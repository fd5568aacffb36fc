// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/filestore/filestoretest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/s3"
)

// A release of files: as many as a release of kops, to as many stores as Kubernetes has.
const (
	releaseFiles  = 29
	releaseStores = 11
	largestFile   = 8 // MiB; they are 1, 2 … 8, 1, 2 …
)

// meter stands before the gateway: it counts, and answers late.
type meter struct {
	address  string
	latency  time.Duration
	requests atomic.Int64
	read     atomic.Int64 // bytes of objects that came out of the source's bucket
}

func newMeter(t testing.TB, gateway string, latency time.Duration) *meter {
	t.Helper()
	m := &meter{latency: latency}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", gateway, r.In.Host // the name is signed
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && strings.HasPrefix(r.Request.URL.Path, "/staging/r/") {
				r.Body = counted{r.Body, &m.read}
			}
			return nil
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 200},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requests.Add(1)
		if pace.Sleep(r.Context(), m.latency) != nil {
			return // whoever asked has gone
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	m.address = server.Listener.Addr().String()
	return m
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// BenchmarkRelease copies a release of files to eleven stores, by steward and by one rclone for each store, all at once.
func BenchmarkRelease(b *testing.B) {
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		for _, tool := range []string{"steward", "rclone"} {
			b.Run(fmt.Sprintf("%s/%v", tool, latency), func(b *testing.B) {
				buckets := []string{"staging"}
				for i := range releaseStores {
					buckets = append(buckets, fmt.Sprintf("prod-%02d", i))
				}
				gw := gateway(b, buckets...)
				list, total := fill(b)
				m := newMeter(b, gw, latency)
				b.Setenv("AWS_ENDPOINT_URL", "http://"+m.address)
				run := map[string]func(*testing.B, *meter, string) int64{"steward": runSteward, "rclone": runRclone}[tool]
				b.ResetTimer()
				rss := run(b, m, list)
				b.StopTimer()
				b.ReportMetric(float64(m.requests.Load()), "requests")
				b.ReportMetric(float64(m.read.Load())/float64(total), "source-reads")
				b.ReportMetric(float64(rss)/(1<<20), "MiB-RSS")
				check(b, gw, total)
			})
		}
	}
}

// fill puts the release into staging, and returns the list that declares it.
func fill(b *testing.B) (list string, total int64) {
	store, err := s3.Open(b.Context(), "staging", "r")
	if err != nil {
		b.Fatal(err)
	}
	list = "files:\n"
	random := rand.NewChaCha8([32]byte{1})
	for i := range releaseFiles {
		content := make([]byte, (1+i%largestFile)<<20)
		_, _ = random.Read(content) // it never fails
		name := fmt.Sprintf("v1.30.0/file-%02d", i)
		if err := filestoretest.Put(b.Context(), store, name, "", content); err != nil {
			b.Fatal(err)
		}
		list += fmt.Sprintf("- {name: %s, sha256: %x}\n", name, sha256.Sum256(content))
		total += int64(len(content))
	}
	return list, total
}

// check counts what arrived.
func check(b *testing.B, gateway string, total int64) {
	b.Setenv("AWS_ENDPOINT_URL", "http://"+gateway)
	for i := range releaseStores {
		store, err := s3.Open(b.Context(), fmt.Sprintf("prod-%02d", i), "r")
		if err != nil {
			b.Fatal(err)
		}
		all, err := filestoretest.List(b.Context(), store, "")
		var size int64
		for _, o := range all {
			size += o.Size
		}
		if err != nil || len(all) != releaseFiles || size != total {
			b.Fatalf("store %d has %d files, %d bytes, %v", i, len(all), size, err)
		}
	}
}

func runSteward(b *testing.B, _ *meter, list string) int64 {
	root, err := toolbin.Root()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	stores := "filestores:\n- {base: 's3://staging/r', src: true}\n"
	for i := range releaseStores {
		stores += fmt.Sprintf("- base: s3://prod-%02d/r\n", i)
	}
	for path, content := range map[string]string{"artifacts/filestores/p/filepromoter-manifest.yaml": stores, "artifacts/manifests/p/v1.yaml": list} {
		path = filepath.Join(dir, "repo", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, line := range []string{"git init -q -b main repo", "git -C repo add -A", "git -C repo -c user.name=t -c user.email=t@example.com commit -q -m all", "go build -C " + root + " -o " + dir + "/steward ./cmd/steward"} {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	b.ResetTimer()
	return measured(b, filepath.Join(dir, "steward"), "promote", "files", "--dir", filepath.Join(dir, "repo"), "--confirm", "--state", "file://"+dir+"/state")
}

// runRclone starts one rclone for each store, with as many transfers as steward has files times stores in flight.
func runRclone(b *testing.B, m *meter, _ string) (rss int64) {
	// Two names for one server: it must not copy by itself, as it could not from staging of another provider.
	for name, value := range map[string]string{
		"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": "http://" + m.address, "ACCESS_KEY_ID": key, "SECRET_ACCESS_KEY": secret, "FORCE_PATH_STYLE": "true", "REGION": "us-east-1",
	} {
		b.Setenv("RCLONE_CONFIG_S_"+name, value)
		b.Setenv("RCLONE_CONFIG_D_"+name, value)
	}
	b.Setenv("AWS_CA_BUNDLE", "") // rclone ends where there is one
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range releaseStores {
		all.Go(func() {
			used := measured(b, "rclone", "copy", "--config=/dev/null", "--checksum", "--transfers=3", "s:staging/r", fmt.Sprintf("d:prod-%02d/r", i))
			mu.Lock()
			defer mu.Unlock()
			rss += used
		})
	}
	all.Wait()
	return rss
}

// measured runs a program and returns its largest memory.
func measured(b *testing.B, name string, args ...string) int64 {
	cmd := exec.CommandContext(b.Context(), name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		b.Errorf("%s: %v\n%s", name, err, &out)
		return 0
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return usage.Maxrss << 10
}
