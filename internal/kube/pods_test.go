// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/kubefake"
)

// heard is what followers were told.
type heard struct {
	mu      sync.Mutex
	ended   []string
	synced  int
	trouble string
}

func (h *heard) take() (ended []string, synced int, trouble string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended, synced, trouble = h.ended, h.synced, h.trouble
	h.ended, h.synced = nil, 0
	slices.Sort(ended)
	return ended, synced, trouble
}

// follow follows pods until the test ends.
func follow(t *testing.T, cluster *Cluster, namespaces ...string) (*Pods, *heard, func()) {
	t.Helper()
	h := &heard{}
	lock := func(f func()) {
		h.mu.Lock()
		defer h.mu.Unlock()
		f()
	}
	p, err := NewPods(cluster, PodOptions{
		Namespaces: namespaces,
		Ended:      func(uid string) { lock(func() { h.ended = append(h.ended, uid) }) },
		Synced:     func(string) { lock(func() { h.synced++ }) },
		Trouble: func(_ string, err error) {
			lock(func() {
				if h.trouble = ""; err != nil {
					h.trouble = err.Error()
				}
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Follow(ctx)
	}()
	synctest.Wait()
	return p, h, func() {
		cancel()
		<-done
	}
}

func testPod(n int, phase string) kubefake.Pod {
	return kubefake.Pod{
		Namespace: "test-pods", Name: fmt.Sprintf("p%d", n), UID: fmt.Sprintf("uid-%d", n), Phase: phase,
		IP: fmt.Sprintf("10.0.%d.%d", n/250, n%250+1), HostIP: "192.168.0.1",
	}
}

func expect(t *testing.T, h *heard, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	if ended, _, _ := h.take(); !slices.Equal(ended, want) {
		t.Errorf("%s: ended %v, want %v", when, ended, want)
	}
}

// TestFollow (PD-6): a pod ends by its phase or its deletion, is told once, and at once.
func TestFollow(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		for n := range 4 {
			fake.PutPod(testPod(n, "Running"))
		}
		fake.PutPod(testPod(4, "Succeeded"))
		other := testPod(1, "Running")
		other.Namespace, other.UID = "other", "uid-other"
		fake.PutPod(other)
		p, h, stop := follow(t, cluster, "test-pods")
		defer stop()
		if _, synced, _ := h.take(); synced != 1 {
			t.Fatalf("%d lists", synced)
		}
		begun := time.Now()
		fake.PutPod(testPod(0, "Succeeded"))
		expect(t, h, "succeeded", "uid-0")
		fake.PutPod(testPod(0, "Succeeded"))
		fake.DeletePod("test-pods", "p0")
		fake.DeletePod("test-pods", "p4")
		expect(t, h, "deleted later", "uid-4")
		fake.PutPod(testPod(1, "Failed"))
		fake.DeletePod("test-pods", "p2")
		fake.DeletePod("other", "p1")
		fake.PutPod(testPod(3, "Unknown"))
		expect(t, h, "failed and deleted", "uid-1", "uid-2")
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
		for uid, want := range map[string]bool{"uid-0": false, "uid-1": false, "uid-3": true, "uid-other": false} {
			if namespace, ok := p.Find(uid); ok != want || ok && namespace != "test-pods" {
				t.Errorf("find %s: %q, %v", uid, namespace, ok)
			}
		}
		fake.PutPod(testPod(5, "Pending"))
		time.Sleep(10 * time.Minute) // many watches
		fake.DeletePod("test-pods", "p5")
		fake.DeletePod("test-pods", "p3")
		expect(t, h, "after ten minutes", "uid-3", "uid-5")
		if _, synced, trouble := h.take(); synced != 0 || trouble != "" {
			t.Errorf("%d more lists, %s", synced, trouble)
		}
		time.Sleep(relistEvery)
		if _, synced, _ := h.take(); synced != 1 {
			t.Errorf("%d lists in half an hour", synced)
		}
	})
}

// TestGone (PD-8): what is not in a list has ended only if it was there before the list began.
func TestGone(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		fake.PutPod(testPod(1, "Running"))
		fake.PutPod(testPod(2, "Failed"))
		long := time.Now().Add(-time.Hour)
		inject(t, fake, fault.Rule{Action: "status", Status: 503})
		p, _, stop := follow(t, cluster, "test-pods")
		defer stop()
		if p.Gone("test-pods", "uid-9", long) {
			t.Error("a pod is gone of a namespace that was not read")
		}
		if _, ok := p.Age(); ok {
			t.Error("it has an age and was not read")
		}
		fake.Heal()
		time.Sleep(time.Minute)
		for _, c := range []struct {
			namespace, uid string
			since          time.Time
			want           bool
		}{
			{"test-pods", "uid-1", long, false},
			{"test-pods", "uid-2", long, true},
			{"test-pods", "uid-9", long, true},
			{"test-pods", "uid-9", time.Now(), false},
			{"other", "uid-9", long, false},
			{"", "uid-9", long, false},
		} {
			if got := p.Gone(c.namespace, c.uid, c.since); got != c.want {
				t.Errorf("%+v: %v", c, got)
			}
		}
		fake.DeletePod("test-pods", "p1")
		synctest.Wait()
		if !p.Gone("test-pods", "uid-1", time.Now()) {
			t.Error("a pod that was seen to end is not gone")
		}
	})
}

// TestOutage (PD-7): ten minutes without an API free nothing; what ended meanwhile is found within seconds after them.
func TestOutage(t *testing.T) {
	for name, rule := range map[string]fault.Rule{
		"unreachable": {Action: "reset"}, "refused": {Action: "status", Status: 503}, "forbidden": {Action: "status", Status: 403},
		"no JSON": {Action: "status", Status: 200, Body: "<html>"}, "no list": {Action: "status", Status: 200, Body: "{}"},
		"empty": {Action: "status", Status: 200, Body: `{"kind":"PodList","items":[]}`}, "silent": {Action: "hang"}, "cut": {Action: "truncate"},
	} {
		for _, compacted := range []bool{false, true} {
			t.Run(fmt.Sprint(name, compacted), func(t *testing.T) {
				inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
					outage(t, fake, cluster, rule, compacted)
				})
			})
		}
	}
}

func outage(t *testing.T, fake *kubefake.Server, cluster *Cluster, rule fault.Rule, compacted bool) {
	fake.PutPod(testPod(1, "Running"))
	fake.PutPod(testPod(2, "Running"))
	p, h, stop := follow(t, cluster, "test-pods")
	defer stop()
	address := netip.MustParseAddr("10.0.0.2")
	if uid, ok := p.ByAddress(address); !ok || uid != "uid-1" {
		t.Fatalf("by address: %s, %v", uid, ok)
	}
	before := time.Now()
	time.Sleep(time.Second)
	inject(t, fake, rule)
	fake.Cut()
	fake.DeletePod("test-pods", "p2")
	if compacted {
		fake.Compact()
	}
	time.Sleep(10 * time.Minute)
	expect(t, h, "during the outage")
	if p.Gone("test-pods", "uid-1", before) || p.Gone("test-pods", "uid-2", before) {
		t.Error("a pod is gone by an outage")
	}
	if uid, ok := p.ByAddress(address); ok {
		t.Errorf("an old view says that %s has the address", uid)
	}
	if n := len(fake.Requests()); n > 60 {
		t.Errorf("%d requests in ten minutes", n)
	}
	if _, _, trouble := h.take(); trouble == "" {
		t.Error("nobody was told")
	}
	fake.Heal()
	wait := maxPause + 2*time.Second
	if rule.Action == "hang" || rule.Action == "truncate" {
		wait += silence // the watch under way is lost
	}
	time.Sleep(wait)
	expect(t, h, "after the outage", "uid-2")
	if uid, ok := p.ByAddress(address); !ok || uid != "uid-1" {
		t.Errorf("after the outage %s has the address, %v", uid, ok)
	}
	if _, _, trouble := h.take(); trouble != "" {
		t.Error("trouble stays:", trouble)
	}
}

// TestBookmarks: what happens elsewhere moves the version on, so that no list is needed.
func TestBookmarks(t *testing.T) {
	for _, marked := range []bool{true, false} {
		inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
			fake.PutPod(testPod(1, "Running"))
			_, h, stop := follow(t, cluster, "test-pods")
			defer stop()
			h.take()
			other := testPod(2, "Running")
			other.Namespace = "other"
			fake.PutPod(other)
			if marked {
				fake.Bookmark("test-pods")
				synctest.Wait()
			}
			fake.Compact()
			time.Sleep(2 * time.Second)
			fake.Cut()
			time.Sleep(3 * time.Second)
			if _, synced, trouble := h.take(); synced == 0 != marked || trouble != "" {
				t.Errorf("with bookmarks %v: %d lists, %s", marked, synced, trouble)
			}
			fake.DeletePod("test-pods", "p1")
			expect(t, h, "after it", "uid-1")
		})
	}
}

func TestManyPods(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		const n = 2*podsPage + 50
		for i := range n {
			fake.PutPod(testPod(i, "Running"))
		}
		inject(t, fake, fault.Rule{Action: "status", Status: 410, Nth: 2})
		p, h, stop := follow(t, cluster, "test-pods")
		defer stop()
		if p.Gone("test-pods", "uid-9999", time.Now().Add(-time.Hour)) {
			t.Error("a part of a list counts as a list")
		}
		time.Sleep(2 * time.Second)
		if _, synced, _ := h.take(); synced != 1 || len(p.scopes[0].live) != n {
			t.Errorf("%d lists, %d of %d pods", synced, len(p.scopes[0].live), n)
		}
	})
}

// TestByAddress (PD-4).
func TestByAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		put := func(n int, change func(p *kubefake.Pod)) {
			p := testPod(n, "")
			change(&p)
			fake.PutPod(p)
		}
		put(1, func(*kubefake.Pod) {})
		put(2, func(p *kubefake.Pod) { p.IP, p.HostNetwork = p.HostIP, true })
		put(3, func(p *kubefake.Pod) { p.IP, p.HostIP = "192.168.0.3", "192.168.0.3" })
		put(4, func(p *kubefake.Pod) { p.Phase = "Pending" })
		put(5, func(p *kubefake.Pod) { p.IP = "10.9.9.9" })
		put(6, func(p *kubefake.Pod) { p.IP, p.Phase = "10.9.9.9", "Pending" })
		put(7, func(p *kubefake.Pod) { p.IP, p.Phase = "10.8.8.8", "Failed" })
		put(8, func(p *kubefake.Pod) { p.IP = "10.8.8.8" })
		put(9, func(p *kubefake.Pod) { p.IP = "fd00::9" })
		put(10, func(p *kubefake.Pod) { p.IP = "nonsense" })
		put(11, func(p *kubefake.Pod) { p.IP, p.Namespace = "10.7.7.7", "other" })
		put(12, func(p *kubefake.Pod) { p.IP = "10.7.7.7" })
		p, _, stop := follow(t, cluster, "test-pods", "other")
		defer stop()
		for address, want := range map[string]string{
			"10.0.0.2": "uid-1", "::ffff:10.0.0.2": "uid-1", "192.168.0.1": "", "192.168.0.3": "", "10.0.0.5": "", "10.9.9.9": "",
			"10.8.8.8": "uid-8", "fd00::9": "uid-9", "10.7.7.7": "", "10.1.1.1": "",
		} {
			if uid, ok := p.ByAddress(netip.MustParseAddr(address)); uid != want || ok != (want != "") {
				if ok || want != "" {
					t.Errorf("%s: %q, %v; want %q", address, uid, ok, want)
				}
			}
		}
		fake.DeletePod("test-pods", "p5")
		put(6, func(p *kubefake.Pod) { p.IP = "10.9.9.9" })
		put(1, func(p *kubefake.Pod) { p.IP = "10.0.0.200" })
		synctest.Wait()
		for address, want := range map[string]string{"10.9.9.9": "uid-6", "10.0.0.2": "", "10.0.0.200": "uid-1"} {
			if uid, ok := p.ByAddress(netip.MustParseAddr(address)); ok != (want != "") || ok && uid != want {
				t.Errorf("later %s: %q, %v; want %q", address, uid, ok, want)
			}
		}
	})
}

// TestBadEvents: an event that makes no sense frees nothing and costs one list.
func TestBadEvents(t *testing.T) {
	for _, body := range []string{
		`{"type":"DELETED","object":{"metadata":{"resourceVersion":"200"}}}`, `{"type":"DELETED","object":{"metadata":{"uid":"uid-1"}}}`,
		`{"type":"DROPPED","object":{"metadata":{"uid":"uid-1","resourceVersion":"200"},"status":{"phase":"Failed"}}}`,
		`{"type":"DELETED","object":[]}`, `{"type":"ERROR","object":{"code":500}}`, `{"type":`, `[]`,
		`{"type":"ADDED","object":{"metadata":{"uid":"uid-7","resourceVersion":"200"},"other":"` + strings.Repeat("x", maxEvent) + `"}}`,
	} {
		inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
			fake.PutPod(testPod(1, "Running"))
			inject(t, fake, fault.Rule{Action: "status", Status: 200, Body: body, Nth: 2, Times: 3})
			_, h, stop := follow(t, cluster, "test-pods")
			defer stop()
			expect(t, h, body[:min(len(body), 60)])
			if _, _, trouble := h.take(); trouble == "" || len(body) > maxEvent && !strings.Contains(trouble, "longer than") {
				t.Errorf("%.60s: told of %q", body, trouble)
			}
			time.Sleep(time.Minute)
			expect(t, h, "a minute later")
			if _, _, trouble := h.take(); trouble != "" {
				t.Errorf("%.60s: trouble stays: %s", body, trouble)
			}
			fake.DeletePod("test-pods", "p1")
			expect(t, h, "in the end", "uid-1")
		})
	}
}

// TestCheckPods (PD-10).
func TestCheckPods(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		p, err := NewPods(cluster, PodOptions{Namespaces: []string{"test-pods", "test-pods"}})
		if err != nil || len(p.scopes) != 1 {
			t.Fatal(err, p)
		}
		if err := p.Check(t.Context()); err != nil {
			t.Error(err)
		}
		for _, right := range []string{"list pods", "watch pods"} {
			fake.Deny(right)
			err := p.Check(t.Context())
			if !IsForbidden(err) || !strings.Contains(err.Error(), "needs list and watch on pods in namespace test-pods") {
				t.Errorf("without %s: %v", right, err)
			}
			fake.Allow(right)
		}
		inject(t, fake, fault.Rule{Action: "reset"})
		if err := p.Check(t.Context()); err == nil || IsForbidden(err) {
			t.Error(err)
		}
		if _, err := NewPods(cluster, PodOptions{Namespaces: []string{"../x"}}); err == nil {
			t.Error("a path is a namespace")
		}
	})
}

func TestRing(t *testing.T) {
	r := newRing(2)
	for _, text := range []string{"a", "b", "b", "c"} {
		r.add(text)
	}
	if r.has("a") || !r.has("b") || !r.has("c") || len(r.in) != 2 {
		t.Errorf("%+v", r)
	}
}
