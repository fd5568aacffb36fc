// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/kubefake"
	"sigs.k8s.io/steward/internal/lease"
)

// rig is a pool beside a cluster.
type rig struct {
	t       *testing.T
	fake    *kubefake.Server
	dir     string
	opts    Options
	log     safeBuffer
	stop    func()
	address string // of the callers

	url, metricsURL string
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const resources = `resources:
- type: project
  state: free
  names: [p1, p2, p3, p4, p5, p6]
`

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, fake: kubefake.New("prow", "t0ken"), dir: t.TempDir(), address: "10.0.0.1"}
	api := httptest.NewTLSServer(r.fake.Handler())
	t.Cleanup(api.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	r.write("kubeconfig", string(r.fake.Kubeconfig(api.URL, ca, "token: t0ken")))
	r.write("resources.yaml", resources)
	if err := os.Mkdir(filepath.Join(r.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(&r.log)
	r.opts = Options{
		Config: filepath.Join(r.dir, "resources.yaml"), DataDir: filepath.Join(r.dir, "data"), Kubeconfig: filepath.Join(r.dir, "kubeconfig"),
		Store: storeDisk, BindAddress: "127.0.0.1", Policy: lease.Policy{Idle: lease.Never}, Reload: time.Hour, Grace: time.Second,
		Log:  logrus.NewEntry(log),
		Pods: PodOptions{Namespaces: []string{"test-pods"}, Bind: true, TokenReview: true, Audience: "steward-pool"},
	}
	t.Cleanup(func() {
		r.halt()
		api.CloseClientConnections()
	})
	return r
}

func (r *rig) write(name, content string) {
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// begin starts the pool, and waits until it follows the pods if they can be.
func (r *rig) begin(follows bool) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served, ended := make(chan Addresses, 1), make(chan error, 1)
	r.opts.Started = func(a Addresses) { served <- a }
	go func() { ended <- Run(ctx, r.opts) }()
	select {
	case a := <-served:
		r.url, r.metricsURL = "http://"+a.Pool, "http://"+a.Metrics+"/metrics"
	case err := <-ended:
		r.t.Fatal(err)
	}
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	}
	if follows {
		r.until("it watches", func() bool { return r.fake.Watches() > 0 })
	}
}

func (r *rig) halt() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// until waits for something that has to come soon.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		if is() {
			return
		}
		<-tick.C
	}
	r.t.Fatalf("never: %s\n%s", what, r.log.String())
}

// ask sends a request as if from the callers' address, which another process passed on.
func (r *rig) ask(method, path, body string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set(passedOn, "other")
	req.Header.Set("X-Forwarded-For", r.address)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

func (r *rig) acquire(address, owner string, header ...string) (name string) {
	r.t.Helper()
	r.address = address
	code, body := r.ask("POST", "/acquire?type=project&state=free&dest=busy&owner="+owner, "", header...)
	var got struct{ Name string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
		r.t.Fatalf("acquire for %s: %d %s", owner, code, body)
	}
	return got.Name
}

func (r *rig) states() (busy, dirty int) {
	r.t.Helper()
	_, body := r.ask("GET", "/metric?type=project", "")
	var got struct{ Current map[string]int }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		r.t.Fatal(err, body)
	}
	return got.Current["busy"], got.Current["dirty"]
}

// state is that of one resource.
func (r *rig) state(name string) string {
	r.t.Helper()
	_, body := r.ask("GET", "/v1/resources/"+name, "")
	var got struct{ State string }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		r.t.Fatal(err, body)
	}
	return got.State
}

func runningPod(n int) kubefake.Pod {
	return kubefake.Pod{
		Namespace: "test-pods", Name: fmt.Sprintf("pod-%d", n), UID: fmt.Sprintf("uid-%d", n), IP: fmt.Sprintf("10.0.0.%d", n), HostIP: "192.168.0.1",
	}
}

// TestPodEnds (PD-5, PD-6): the lease of a pod that ended is dirty at once; one of the same owner in another pod stays.
func TestPodEnds(t *testing.T) {
	r := newRig(t)
	r.fake.PutPod(runningPod(1))
	r.fake.PutPod(runningPod(2))
	r.begin(true)
	mine := r.acquire("10.0.0.1", "same")
	other := r.acquire("10.0.0.2", "same")
	unbound := r.acquire("10.0.0.3", "same")
	proxied := r.acquire("10.0.0.1", "same", "Via", "1.1 ingress")
	long := r.acquire("10.0.0.1, 10.0.0.2", "same")
	end := runningPod(1)
	end.Phase = "Succeeded"
	begun := time.Now()
	r.fake.PutPod(end)
	r.until("the lease ends", func() bool { return r.state(mine) == lease.Dirty })
	t.Logf("dirty after %v", time.Since(begun))
	for _, name := range []string{other, unbound, proxied, long} {
		if got := r.state(name); got != lease.Busy {
			t.Errorf("%s is %s", name, got)
		}
	}
	r.fake.DeletePod("test-pods", "pod-2")
	r.until("the other ends", func() bool { return r.state(other) == lease.Dirty })
	if busy, dirty := r.states(); busy != 3 || dirty != 2 {
		t.Errorf("%d busy, %d dirty", busy, dirty)
	}
	if log := r.log.String(); !strings.Contains(log, "Lease ended with its pod") {
		t.Error(log)
	}
}

// TestLateLease (PD-9): a lease that is granted to a request of a pod that has ended ends too.
func TestLateLease(t *testing.T) {
	r := newRig(t)
	r.opts.Hold = time.Minute
	r.write("resources.yaml", strings.Replace(resources, "[p1, p2, p3, p4, p5, p6]", "[p1]\n- {type: other, state: free, names: [o1]}", 1))
	r.fake.PutPod(runningPod(1))
	r.fake.PutPod(runningPod(2))
	r.begin(true)
	name := r.acquire("10.9.9.9", "first")
	r.address = "10.0.0.2"
	if code, body := r.ask("POST", "/acquire?type=other&state=free&dest=busy&owner=second", ""); code != http.StatusOK {
		t.Fatal(code, body)
	}
	waits := make(chan string)
	go func() {
		defer close(waits)
		req, err := http.NewRequest(http.MethodPost, r.url+"/acquire?type=project&state=free&dest=busy&owner=late&request_id=1", nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set(passedOn, "other")
		req.Header.Set("X-Forwarded-For", "10.0.0.1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		waits <- resp.Status
	}()
	r.until("it waits", func() bool {
		_, body := r.ask("GET", "/v1/queue?type=project", "")
		return strings.Contains(body, "late")
	})
	r.fake.DeletePod("test-pods", "pod-1")
	r.fake.DeletePod("test-pods", "pod-2")
	r.until("the end of both is known", func() bool { return r.state("o1") == lease.Dirty })
	if code, body := r.ask("POST", "/release?name="+name+"&owner=first&dest=free", ""); code != http.StatusOK {
		t.Fatal(code, body)
	}
	if got := <-waits; !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	r.fake.PutPod(kubefake.Pod{Namespace: "elsewhere", Name: "x", UID: "uid-x"})
	r.fake.Compact()
	r.fake.Cut() // a new list makes the pool look sooner
	r.until("the late lease ends", func() bool { return r.state(name) == lease.Dirty })
}

// TestTransfer (PD-5): what is given away does not end with the pod of who gave it.
func TestTransfer(t *testing.T) {
	r := newRig(t)
	r.fake.PutPod(runningPod(1))
	r.fake.PutToken("of-pod-1", kubefake.Token{Username: "system:serviceaccount:test-pods:builder", Audiences: []string{"steward-pool"}, Pod: "uid-1"})
	r.begin(true)
	auth := []string{"Authorization", "Bearer of-pod-1"}
	_, body := r.ask("POST", "/v1/leases", `{"owner":"first","wants":[{"type":"project","count":2}]}`, auth...)
	var got struct {
		Leases []struct{ ID, Resource string }
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Leases) != 2 {
		t.Fatal(err, body)
	}
	if code, body := r.ask("POST", "/v1/leases/"+got.Leases[0].ID+"/transfer", `{"owner":"second"}`, auth...); code != http.StatusOK {
		t.Fatal(code, body)
	}
	r.fake.DeletePod("test-pods", "pod-1")
	r.until("the other ends", func() bool { return r.state(got.Leases[1].Resource) == lease.Dirty })
	if state := r.state(got.Leases[0].Resource); state != lease.Busy {
		t.Errorf("what was given away is %s", state)
	}
}

// TestPeer: an address counts only where nothing stands between.
func TestPeer(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, "10.0.0.7"},
		{[]string{"X-Forwarded-For", "10.0.0.1"}, ""},
		{[]string{"Via", "x"}, ""},
		{[]string{"Forwarded", "for=10.0.0.1"}, ""},
		{[]string{"X-Real-Ip", "10.0.0.1"}, ""},
		{[]string{passedOn, "p", "X-Forwarded-For", "10.0.0.1"}, "10.0.0.1"},
		{[]string{passedOn, "p", "X-Forwarded-For", "10.0.0.1, 10.0.0.2"}, ""},
		{[]string{passedOn, "p"}, ""},
		{[]string{passedOn, "p", "X-Forwarded-For", "10.0.0.1", "X-Real-Ip", "10.0.0.1"}, ""},
	} {
		req := httptest.NewRequest(http.MethodPost, "/acquire", nil)
		req.RemoteAddr = "10.0.0.7:1234"
		for i := 0; i < len(c.header); i += 2 {
			req.Header.Set(c.header[i], c.header[i+1])
		}
		a, ok := peerOf(req)
		if ok != (c.want != "") || ok && a.String() != c.want {
			t.Errorf("%v: %v, %v; want %q", c.header, a, ok, c.want)
		}
	}
}

// TestRestart (PD-8): a pod that ended while nobody looked is found by the first list, whatever the owner, and no other.
func TestRestart(t *testing.T) {
	r := newRig(t)
	r.fake.PutPod(runningPod(1))
	r.fake.PutPod(runningPod(2))
	r.begin(true)
	mine, other := r.acquire("10.0.0.1", "same"), r.acquire("10.0.0.2", "same")
	r.halt()
	r.fake.DeletePod("test-pods", "pod-1")
	if err := r.fake.Inject(fault.Rule{Path: "pods", Action: "status", Status: 503}); err != nil {
		t.Fatal(err)
	}
	r.begin(false) // a cluster that does not answer is no reason not to lend
	r.until("it was tried", func() bool { return len(r.fake.Requests()) > 2 })
	if busy, _ := r.states(); busy != 2 {
		t.Errorf("%d busy: an outage freed something", busy)
	}
	r.fake.Heal()
	r.until("the lease ends", func() bool { return r.state(mine) == lease.Dirty })
	if got := r.state(other); got != lease.Busy {
		t.Errorf("the other is %s", got)
	}
	r.halt()
	// Another namespace says nothing about pods of this one.
	r.fake.DeletePod("test-pods", "pod-2")
	r.opts.Pods.Namespaces = []string{"elsewhere"}
	r.begin(true)
	r.until("it was read", func() bool { return !strings.Contains(r.metrics(), "age_seconds NaN") })
	if got := r.state(other); got != lease.Busy {
		t.Errorf("after a list of another namespace the other is %s", got)
	}
}

func (r *rig) metrics() string {
	r.t.Helper()
	resp, err := http.Get(r.metricsURL)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(content), "steward_pool_pods_age_seconds") {
		r.t.Fatalf("%v: %s", err, content)
	}
	return string(content)
}

// TestTokens (PD-1 to PD-3): a token names account and pod; one that cannot be checked is not refused but put off.
func TestTokens(t *testing.T) {
	r := newRig(t)
	r.opts.RequireAuth = true
	r.fake.PutPod(runningPod(1))
	r.fake.PutToken("of-pod-1", kubefake.Token{Username: "system:serviceaccount:test-pods:builder", Audiences: []string{"steward-pool"}, Pod: "uid-1"})
	r.fake.PutToken("elsewhere", kubefake.Token{Username: "system:serviceaccount:other:builder", Audiences: []string{"steward-pool"}, Pod: "uid-9"})
	r.fake.PutToken("another", kubefake.Token{Username: "system:serviceaccount:test-pods:builder", Audiences: []string{"steward-pool"}, Pod: "uid-1"})
	r.begin(true)
	mine := r.acquire("10.9.9.9", "same", "Authorization", "Bearer of-pod-1")
	other := r.acquire("10.0.0.1", "same", "Authorization", "Bearer elsewhere")
	code, body := r.ask("POST", "/v1/leases", `{"owner":"same","wants":[{"type":"project","count":1}]}`, "Authorization", "Bearer of-pod-1")
	if code >= 300 {
		t.Fatalf("newer interface: %d %s", code, body)
	}
	for token, want := range map[string]int{"": 401, "wrong": 401} {
		if code, body := r.ask("POST", "/acquire?type=project&state=free&dest=busy&owner=x", "", "Authorization", "Bearer "+token); code != want {
			t.Errorf("%q: %d %s", token, code, body)
		}
	}
	if err := r.fake.Inject(fault.Rule{Path: "tokenreviews", Action: "status", Status: 500}); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		"/acquire?type=project&state=free&dest=busy&owner=x": "", "/v1/leases": `{"owner":"x","wants":[{"type":"project","count":1}]}`,
	} {
		if code, body := r.ask("POST", path, body, "Authorization", "Bearer another"); code != http.StatusServiceUnavailable || strings.Contains(body, "another") {
			t.Errorf("%s while tokens cannot be checked: %d %s", path, code, body)
		}
	}
	r.fake.Heal()
	r.fake.DeletePod("test-pods", "pod-1")
	auth := []string{"Authorization", "Bearer elsewhere"}
	ended := func() (busy, dirty int) {
		_, body := r.ask("GET", "/metric?type=project", "", auth...)
		var got struct{ Current map[string]int }
		_ = json.Unmarshal([]byte(body), &got)
		return got.Current["busy"], got.Current["dirty"]
	}
	r.until("both end", func() bool { _, dirty := ended(); return dirty == 2 })
	if busy, _ := ended(); busy != 1 {
		t.Errorf("%d busy, of %s and %s", busy, mine, other)
	}
	for _, secret := range []string{"of-pod-1", "elsewhere", "another"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// TestRights (PD-10): what the account may not do is said at the start, with what it takes.
func TestRights(t *testing.T) {
	for _, c := range []struct {
		right, want string
		change      func(o *PodOptions)
	}{
		{"list pods", "needs list and watch on pods in namespace test-pods", nil},
		{"watch pods", "needs list and watch on pods in namespace test-pods", nil},
		{"create tokenreviews", "needs create on tokenreviews", nil},
		{"", "--pods-namespace has to say", func(o *PodOptions) { o.Namespaces = nil }},
		{"", "--token-audience", func(o *PodOptions) { o.Audience = "" }},
		{"", "not the name of one", func(o *PodOptions) { o.Namespaces = []string{"../kube-system"} }},
	} {
		r := newRig(t)
		if c.right != "" {
			r.fake.Deny(c.right)
		}
		if c.change != nil {
			c.change(&r.opts.Pods)
		}
		if err := Run(t.Context(), r.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("without %q: %v, want %q", c.right, err, c.want)
		}
	}
}
