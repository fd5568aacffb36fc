// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/wire/pool"
)

// hostileName is what somebody may call himself.
const hostileName = `"><script>document.title="owned"</script><img src=/x onerror=alert(1)> and-a-name-that-goes-on-` +
	`without-a-single-place-at-which-a-line-could-be-broken-so-that-a-narrow-screen-has-to-find-one-by-itself`

// poolFiles writes the configuration of a pool as a community has it, and the history of ten days of it.
func poolFiles(t *testing.T, dir string, now time.Time) (config string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("resources:\n")
	for _, typ := range []struct {
		name  string
		count int
		state string
	}{{"gce-project", 60, "free"}, {"gpu-project", 10, "free"}, {"scalability-project", 8, "free"}, {"vsphere-project", 4, "dirty"}} {
		fmt.Fprintf(&b, "- type: %s\n  state: %s\n  names:\n", typ.name, typ.state)
		for i := range typ.count {
			fmt.Fprintf(&b, "  - infra-e2e-%s-%03d\n", typ.name, i+1)
		}
	}
	b.WriteString("- type: cluster\n  state: free\n  max-count: 5\n")
	config = filepath.Join(dir, "boskos-resources.yaml")
	if err := os.WriteFile(config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	writeHistory(t, filepath.Join(dir, "data", "history"), now)
	return config
}

func writeHistory(t *testing.T, dir string, now time.Time) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(4, 2))
	days := map[string][]byte{}
	for i := range 60 {
		name := fmt.Sprintf("infra-e2e-gce-project-%03d", i+1)
		for at := now.AddDate(0, 0, -10); ; {
			busy := 0.35 + 0.5*float64((at.Hour()+6)%24)/24
			at = at.Add(time.Duration(chance.ExpFloat64() * float64(time.Hour) * (1 - busy) * 2))
			held := time.Duration((20 + 160*chance.Float64()) * float64(time.Minute) * busy)
			if at.Add(held + 12*time.Minute).After(now.Add(-time.Hour)) {
				break
			}
			job := []string{"ci-kubernetes-e2e-gci-gce", "pull-kubernetes-e2e-gce", "ci-kops-aws", "ci-cluster-api-main"}[chance.IntN(4)]
			account := map[string]string{
				"ci-kubernetes-e2e-gci-gce": "sig-testing", "pull-kubernetes-e2e-gce": "sig-testing", "ci-kops-aws": "sig-cluster-lifecycle",
				"ci-cluster-api-main": "sig-cluster-lifecycle",
			}[job]
			build := fmt.Sprint(1_990_000_000_000_000_000 + chance.Int64N(1e15))
			used := lease.Ended{
				Lease: "secret-lease", Epoch: 1, Resource: name, Type: "gce-project", Owner: job + "/" + build,
				Holder: lease.Holder{Account: account, Job: job, Build: build, Pod: "secret-pod"}, Since: at, Until: at.Add(held),
				Held: lease.Busy, Left: lease.Dirty, Why: []string{lease.Released, lease.Released, lease.PodGone, lease.Expired}[chance.IntN(4)],
			}
			if used.Why == lease.Expired {
				used.Note = hostileName
			}
			cleaned := used
			cleaned.Owner, cleaned.Holder = "steward-janitor-0", lease.Holder{Account: "janitor"}
			cleaned.Since, cleaned.Until = used.Until.Add(time.Minute), used.Until.Add(12*time.Minute)
			cleaned.Held, cleaned.Left, cleaned.Why, cleaned.Note = lease.Cleaning, lease.Free, lease.Released, ""
			for _, e := range []lease.Ended{used, cleaned} {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				day := e.Until.UTC().Format(time.DateOnly)
				days[day] = append(append(days[day], line...), '\n')
			}
			at = cleaned.Until
		}
	}
	for day, lines := range days {
		if err := os.WriteFile(filepath.Join(dir, day+".jsonl"), lines, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// servePool serves a pool and returns its address.
func servePool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := poolFiles(t, dir, time.Now())
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan pool.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- pool.Run(ctx, pool.Options{
			Config: config, DataDir: filepath.Join(dir, "data"), BindAddress: "127.0.0.1", Reload: time.Hour, Grace: time.Second,
			Policy: lease.Policy{SickAfter: 2, Idle: lease.Never, RequestTTL: time.Hour, PollGrace: time.Hour}, Log: logrus.NewEntry(log),
			Started: func(a pool.Addresses) { started <- a },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the pool: %v", err)
		}
	})
	select {
	case a := <-started:
		return "http://" + a.Pool
	case err := <-ended:
		ended <- nil
		t.Fatalf("the pool does not start: %v", err)
	case <-time.After(patience):
		t.Fatal("the pool does not start")
	}
	return ""
}

// poolClient is a client of Boskos.
type poolClient struct {
	t       *testing.T
	address string
}

func (c poolClient) post(path string, query ...string) (int, lease.Resource) {
	c.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	resp, err := http.Post(c.address+path+"?"+values.Encode(), "", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var r lease.Resource
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = json.Unmarshal(body, &r) // not every answer has one
	return resp.StatusCode, r
}

// work lets clients do what they do all day, good and bad.
func (c poolClient) work() {
	c.t.Helper()
	for i := range 41 {
		owner := fmt.Sprintf("%s/%d", []string{"ci-kubernetes-e2e-gci-gce", "pull-kubernetes-e2e-gce", "ci-kops-aws"}[i%3], 1_990_000_000_000_000_000+i)
		c.post("/acquire", "type", "gce-project", "state", "free", "dest", "busy", "owner", owner)
	}
	for range 5 {
		if code, r := c.post("/acquire", "type", "gce-project", "state", "free", "dest", "busy", "owner", "ci-dirty"); code == http.StatusOK {
			c.post("/release", "name", r.Name, "dest", "dirty", "owner", "ci-dirty")
		}
	}
	for range 3 { // a project that does not become clean
		_, r := c.post("/acquire", "type", "vsphere-project", "state", "dirty", "dest", "cleaning", "owner", "janitor")
		c.post("/release", "name", r.Name, "dest", "dirty", "owner", "janitor", "reason", "delete disk pd-1: it is used by instance vm-1, which belongs to somebody else")
		c.post("/acquirebystate", "names", r.Name, "state", "dirty", "dest", "cleaning", "owner", "janitor")
		c.post("/release", "name", r.Name, "dest", "dirty", "owner", "janitor", "reason", "quota of compute.googleapis.com is used up")
	}
	c.post("/acquire", "type", "gce-project", "state", "dirty", "dest", "cleaning", "owner", "steward-janitor-0")
	for i := range 10 {
		c.post("/acquire", "type", "gpu-project", "state", "free", "dest", "busy", "owner", fmt.Sprint("gpu-", i))
	}
	for i := range 4 {
		c.post("/acquire", "type", "gpu-project", "state", "free", "dest", "busy", "owner", fmt.Sprint("ci-gpu-nightly/", i), "request_id", fmt.Sprint("gpu-", i))
	}
	c.post("/acquire", "type", "gpu-project", "state", "free", "dest", "busy", "owner", hostileName, "request_id", "bad")
	_, r := c.post("/acquire", "type", "scalability-project", "state", "free", "dest", "brokn", "owner", "typo")
	c.post("/release", "name", r.Name, "dest", "brokn", "owner", "typo")
	c.post("/acquire", "type", "scalability-project", "state", "free", "dest", "busy", "owner", hostileName)
}

const tooWide = `document.documentElement.scrollWidth - window.innerWidth`

func TestPool(t *testing.T) {
	address := servePool(t)
	poolClient{t, address}.work()
	chrome := browser(t)
	for _, l := range []look{
		{"wide-light", 1400, false, "light", true}, {"wide-dark-noscript", 1400, false, "dark", false},
		{"narrow-light", 400, true, "light", true}, {"narrow-dark", 400, true, "dark", true},
	} {
		t.Run(l.name, func(t *testing.T) {
			for _, p := range []struct {
				name, path string
				least      map[string]int // of what there is on the page
			}{
				{"pool", "/pool", map[string]int{"#types .card svg.bar": 4, "#sick tbody tr": 2, "#accounts tbody tr": 5, "polygon": 8}},
				{"type", "/pool/types/gce-project", map[string]int{"#resources tbody tr": 60, "polygon": 2}},
				{"queue", "/pool/types/gpu-project", map[string]int{"#queue tbody tr": 5}},
				{"empty", "/pool/types/cluster", map[string]int{"#resources p": 1}},
				{"resource", "/pool/resources/infra-e2e-gce-project-001", map[string]int{"#history tbody tr": 50}},
				{"sick", "/pool/resources/infra-e2e-vsphere-project-001", map[string]int{".alarm": 1}},
			} {
				tab := visit(t, chrome, l, address+p.path)
				keep(t, tab, "pool-"+p.name+"-"+l.name)
				if n := ask(t, tab, tooWide); n > 0 {
					t.Errorf("%s is %d pixels wider than the screen", p.name, n)
				}
				for what, least := range p.least {
					if n := ask(t, tab, `document.querySelectorAll("`+what+`").length`); n < least {
						t.Errorf("%s shows %d of %s", p.name, n, what)
					}
				}
				if n := ask(t, tab, `document.querySelectorAll("script, img, form, [onerror], [style]").length`); n > 0 {
					t.Errorf("%s has %d elements that nobody wrote", p.name, n)
				}
				if n := ask(t, tab, `document.title.includes("owned") || document.body.innerText.includes("secret-") ? 1 : 0`); n > 0 {
					t.Errorf("%s runs or shows what it must not", p.name)
				}
				if n := ask(t, tab, small); n > 0 {
					t.Errorf("%s has %d texts that are cut or overlap their column", p.name, n)
				}
			}
			follow(t, visit(t, chrome, l, address+"/pool"))
		})
	}
}

// small counts cells whose text runs out of them.
const small = `[...document.querySelectorAll("td, th, dd, li, p, h1, h3")].filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 2 && getComputedStyle(e).display !== "inline").length`

// follow clicks from the pool to a type and on to a resource.
func follow(t *testing.T, tab context.Context) {
	t.Helper()
	for _, selector := range []string{".card h3 a[href$=vsphere-project]", "#resources tbody a"} {
		if err := chromedp.Do(tab, chromedp.Click(chromedp.CSS(selector))); err != nil {
			t.Fatalf("click on %s: %v", selector, err)
		}
		if err := chromedp.Do(tab, chromedp.WaitVisible(chromedp.CSS("footer"))); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(patience)
	for ask(t, tab, `location.pathname.startsWith("/pool/resources/") ? 1 : 0`) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the links do not lead to a resource")
		}
	}
}

// A name that is not there is answered with names that are, and a client of Boskos is not disturbed.
func TestPoolMissing(t *testing.T) {
	address := servePool(t)
	chrome := browser(t)
	tab, stop := chromedp.NewContext(chrome)
	t.Cleanup(stop)
	if err := chromedp.Do(tab, chromedp.EmulateViewport(400, 800), chromedp.Navigate(address+"/pool/resources/infra-e2e-gce-project-061")); err != nil {
		t.Fatal(err)
	}
	keep(t, tab, "pool-missing")
	if n := ask(t, tab, `document.querySelectorAll(".missing li a").length`); n != 5 {
		t.Errorf("%d names are near", n)
	}
	for _, path := range []string{"/", "/poolside", "/anything"} {
		resp, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ContentLength > 0 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}
