// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/kubefake"
	"sigs.k8s.io/steward/internal/lease"
)

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 5, time.UTC) }

func resource(name, state, owner string) lease.Record {
	r := &lease.Resource{Name: name, Type: "project", State: state, Owner: owner, Updated: noon(), Epoch: 3}
	if owner != "" {
		r.Lease = &lease.Lease{ID: "id-" + name, Since: noon(), Holder: lease.Holder{Account: "sig-a"}}
	}
	return lease.Record{Kind: lease.KindResource, Key: name, Resource: r}
}

// begin serves a cluster, opens its pool and stores records.
func begin(t *testing.T, records ...lease.Record) (*kubefake.Custom, *Store, lease.Epoch) {
	t.Helper()
	fake, url := serve(t)
	s := cluster(t, &rest.Config{Host: url}).Store("me")
	_, epoch, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, epoch, records...)
	return fake, s, epoch
}

func mustCommit(t *testing.T, s *Store, epoch lease.Epoch, records ...lease.Record) {
	t.Helper()
	if err := s.Commit(t.Context(), epoch, records); err != nil {
		t.Fatal(err)
	}
}

func again(t *testing.T, s *Store) (map[string]*lease.Resource, lease.Epoch) {
	t.Helper()
	state, epoch, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*lease.Resource{}
	for _, r := range state {
		if r.Resource != nil {
			found[r.Key] = r.Resource
		}
	}
	return found, epoch
}

func get(fake *kubefake.Custom, name string) kubefake.Object {
	return fake.Get(group, namespace, "resources", name)
}

// edit changes an object as a person does with kubectl.
func edit(fake *kubefake.Custom, name string, change func(status map[string]any)) {
	o := get(fake, name)
	change(o["status"].(map[string]any))
	fake.Put(group, namespace, "resources", name, o)
}

// PS-1: what Boskos knows stands where Boskos has it.
func TestObjectsAreBoskoss(t *testing.T) {
	held := resource("p1", "busy", "job")
	held.Resource.UserData = map[string]string{"key": "value"}
	held.Resource.Expires = noon()
	fake, _, _ := begin(t, held, lease.Record{Kind: lease.KindDynamic, Key: "cluster", Dynamic: &lease.Dynamic{
		Type: "cluster", State: "dirty", Min: 1, Max: 2, Lifespan: time.Hour, Config: lease.Build{Type: "t"}, Needs: map[string]int{"project": 1},
	}})
	o := get(fake, "p1")
	want := `{"expirationDate":"2026-01-02T12:00:00.000000005Z","lastUpdate":"2026-01-02T12:00:00.000000005Z","owner":"job","state":"busy","userData":{"key":"value"}}`
	if got := text(t, o["status"]); got != want {
		t.Errorf("status is %s\nwant %s", got, want)
	}
	if got := text(t, o["spec"]); got != `{"type":"project"}` || o.Text("kind") != "ResourceObject" {
		t.Errorf("%s %s", o.Text("kind"), got)
	}
	d := fake.Get(group, namespace, "dynamicresourcelifecycles", "cluster")
	want = `{"config":{"type":"t"},"lifespan":3600000000000,"max-count":2,"min-count":1,"needs":{"project":1},"state":"dirty"}`
	if got := text(t, d["spec"]); got != want || d.Text("kind") != "DRLCObject" {
		t.Errorf("%s %s\nwant %s", d.Text("kind"), got, want)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// PS-2, PS-3: what Boskos has written is taken as it is, and what we knew of the state before counts no more.
func TestBoskosWroteMeanwhile(t *testing.T) {
	fake, s, _ := begin(t, resource("kept", "busy", "job"), resource("beaten", "busy", "job"), resource("freed", "busy", "job"))
	sick := resource("sick", lease.Quarantined, "")
	sick.Resource.Sick = &lease.Sick{Reason: "quota", By: "dora", At: noon()}
	_, epoch := again(t, s)
	mustCommit(t, s, epoch, sick)
	edit(fake, "beaten", func(status map[string]any) { status["lastUpdate"] = "2026-01-02T12:05:00Z" })
	edit(fake, "freed", func(status map[string]any) { status["state"], status["owner"] = "dirty", "" })
	edit(fake, "sick", func(status map[string]any) { status["userData"] = map[string]any{"number": 7, "text": "x"} })
	fake.Put(group, namespace, "resources", "new", kubefake.Object{
		"kind": "ResourceObject", "spec": map[string]any{"type": "project"},
		"status": map[string]any{"state": "free", "owner": "", "lastUpdate": nil, "userData": map[string]any{}},
	})
	found, _ := again(t, s)
	if r := found["kept"]; r.Lease == nil || r.Epoch != 3 {
		t.Errorf("a lease that nobody touched: %+v", r)
	}
	if r := found["beaten"]; r.Lease != nil || r.Owner != "job" || r.Epoch != 4 || !r.Updated.Equal(noon().Truncate(time.Second).Add(5*time.Minute)) {
		t.Errorf("a sign of life by way of Boskos: %+v", r)
	}
	if r := found["freed"]; r.Lease != nil || r.Owner != "" || r.State != "dirty" || r.Epoch != 4 {
		t.Errorf("released by way of Boskos: %+v", r)
	}
	if r := found["sick"]; r.Sick == nil || r.UserData["number"] != "7" || r.UserData["text"] != "x" {
		t.Errorf("other data: %+v", r)
	}
	if r := found["new"]; r == nil || r.State != "free" || !r.Updated.IsZero() {
		t.Errorf("made by Boskos: %+v", r)
	}
}

// What we do not know of an object is carried along.
func TestForeignMetadataStays(t *testing.T) {
	fake, s, _ := begin(t, resource("p1", "free", ""))
	o := get(fake, "p1")
	meta := o["metadata"].(map[string]any)
	meta["labels"], meta["finalizers"] = map[string]any{"team": "infra"}, []any{"example.com/hold"}
	meta["annotations"].(map[string]any)["note"] = "do not touch"
	meta["ownerReferences"] = []any{map[string]any{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u"}}
	fake.Put(group, namespace, "resources", "p1", o)
	_, epoch := again(t, s)
	mustCommit(t, s, epoch, resource("p1", "busy", "job"))
	got := get(fake, "p1")
	if got.Text("metadata", "labels", "team") != "infra" || got.Text("metadata", "annotations", "note") == "" ||
		!strings.Contains(text(t, got), "example.com/hold") || !strings.Contains(text(t, got), "ownerReferences") {
		t.Errorf("%s", text(t, got))
	}
}

// PS-9: a change by others is a reason to load again, and nothing of the commit is stored.
func TestForeignChange(t *testing.T) {
	for name, change := range map[string]func(fake *kubefake.Custom){
		"edited":  func(fake *kubefake.Custom) { edit(fake, "p2", func(s map[string]any) { s["state"] = "broken" }) },
		"deleted": func(fake *kubefake.Custom) { fake.Put(group, namespace, "resources", "p2", nil) },
		"made":    func(fake *kubefake.Custom) { fake.Put(group, namespace, "resources", "p4", get(fake, "p2")) },
	} {
		t.Run(name, func(t *testing.T) {
			fake, s, epoch := begin(t, resource("p1", "free", ""), resource("p2", "free", ""), resource("p3", "free", ""))
			change(fake)
			before := get(fake, "p2")
			err := s.Commit(t.Context(), epoch, []lease.Record{
				resource("p1", "busy", "job"), resource("p2", "busy", "job"), {Kind: lease.KindResource, Key: "p3", Gone: true}, resource("p4", "busy", "job"),
			})
			if !errors.Is(err, ErrChanged) || errors.Is(err, lease.ErrRefused) || errors.Is(err, lease.ErrDeposed) {
				t.Fatalf("%v", err)
			}
			if err := s.Commit(t.Context(), epoch, []lease.Record{resource("p1", "busy", "job")}); !errors.Is(err, ErrUnloaded) {
				t.Errorf("before it was loaded again: %v", err)
			}
			found, epoch := again(t, s)
			if found["p1"].State != "free" || found["p3"] == nil || name == "made" && found["p4"].State != "free" || name != "made" && found["p4"] != nil {
				t.Errorf("something was stored: %s", text(t, found))
			}
			if text(t, get(fake, "p2")) != text(t, before) && name != "made" {
				t.Errorf("the change is overwritten: %s", text(t, get(fake, "p2")))
			}
			mustCommit(t, s, epoch, resource("p1", "busy", "job"))
		})
	}
}

// PS-9: what somebody changed is not deleted.
func TestDeleteOfAForeignChange(t *testing.T) {
	fake, s, epoch := begin(t, resource("p1", "free", ""))
	edit(fake, "p1", func(status map[string]any) { status["owner"] = "somebody" })
	if err := s.Commit(t.Context(), epoch, []lease.Record{{Kind: lease.KindResource, Key: "p1", Gone: true}}); !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
	if found, _ := again(t, s); found["p1"] == nil || found["p1"].Owner != "somebody" {
		t.Errorf("%s", text(t, found))
	}
}

// PS-5, PS-9: a commit that a killed process had begun is completed, but for what somebody changed since.
func TestChangeOfHalfACommit(t *testing.T) {
	fake, url := serve(t)
	site := &site{url: url}
	s := site.Open(t).(*Store)
	_, epoch := again(t, s)
	mustCommit(t, s, epoch, resource("p1", "free", ""), resource("p2", "free", ""), resource("p3", "free", ""))
	site.Cut(2, false) // after the Pool
	err := s.Commit(t.Context(), epoch, []lease.Record{resource("p1", "busy", "job"), resource("p2", "busy", "job"), {Kind: lease.KindResource, Key: "p3", Gone: true}})
	if err == nil || get(fake, "p1").Text("status", "state") != "free" {
		t.Fatalf("nothing was to be written: %v", err)
	}
	for _, name := range []string{"p2", "p3"} {
		edit(fake, name, func(status map[string]any) { status["state"] = "broken" })
	}
	found, _ := again(t, cluster(t, &rest.Config{Host: url}).Store("new"))
	if found["p1"].Owner != "job" || found["p2"].State != "broken" || found["p3"] == nil || found["p3"].State != "broken" {
		t.Errorf("%s", text(t, found))
	}
}

// PS-8: what the server refuses for good is not stored in part, and the store goes on.
func TestRefusedInPart(t *testing.T) {
	fake, s, epoch := begin(t, resource("p1", "free", ""), resource("p2", "free", ""))
	err := s.Commit(t.Context(), epoch, []lease.Record{
		resource("p1", "busy", "job"), {Kind: lease.KindResource, Key: "p2", Gone: true}, resource("Not A Name", "free", ""),
		{Kind: lease.KindReservation, Key: "r", Reservation: &lease.Reservation{ID: "r"}},
	})
	if !errors.Is(err, lease.ErrRefused) {
		t.Fatalf("%v", err)
	}
	if get(fake, "p1").Text("status", "state") != "free" || get(fake, "p2") == nil {
		t.Error("a part was stored")
	}
	mustCommit(t, s, epoch, resource("p1", "dirty", ""))
	state, _, err := s.Load(t.Context())
	if err != nil || len(state) != 2 || state[0].Resource.State != "dirty" {
		t.Errorf("%s, %v", text(t, state), err)
	}
}

// PS-8: an object that only the server knows to be too large is refused as one that we know to be.
func TestTooLargeForEtcd(t *testing.T) {
	fake, s, epoch := begin(t, resource("p1", "free", ""), resource("p2", "free", ""))
	large := fault.Rule{Method: http.MethodPut, Path: "/resources/p2$", Action: "status", Status: 500, Body: `{"message": "etcdserver: request is too large"}`}
	if err := fake.Inject(large); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), epoch, []lease.Record{resource("p1", "busy", "job"), resource("p2", "busy", "job")}); !errors.Is(err, lease.ErrRefused) {
		t.Fatalf("%v", err)
	}
	mustCommit(t, s, epoch, resource("p1", "dirty", ""))
}

// PS-10: answers that are lost or late are no change by others.
func TestLostAnswers(t *testing.T) {
	for _, f := range []fault.Rule{
		{Action: "reset", After: true}, {Action: "reset"}, {Action: "status", Status: 503}, {Action: "status", Status: 504, After: true},
		{Action: "truncate"}, {Action: "status", Status: 429},
	} {
		for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodDelete} {
			for n := 1; n <= 3; n++ {
				f.Method, f.Nth = method, n
				t.Run(fmt.Sprint(f.Action, f.Status, f.After, method, n), func(t *testing.T) {
					fake, s, epoch := begin(t, resource("p1", "free", ""), resource("p2", "free", ""))
					if err := fake.Inject(f); err != nil {
						t.Fatal(err)
					}
					mustCommit(t, s, epoch, resource("p1", "busy", "job"), resource("p3", "free", ""), lease.Record{Kind: lease.KindResource, Key: "p2", Gone: true})
					fake.Heal()
					found, _ := again(t, s)
					if len(found) != 2 || found["p1"].Lease == nil || found["p3"] == nil {
						t.Errorf("%s", text(t, found))
					}
				})
			}
		}
	}
}

// PS-5: a leader that slept through its deposition holds back a write of a commit that it had begun: it comes too late.
func TestWriteOfADeposedLeader(t *testing.T) {
	fake, url := serve(t)
	held, release := make(chan struct{}), make(chan struct{})
	config := &rest.Config{Host: url, WrapTransport: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/resources/p1") {
				close(held)
				<-release
			}
			return next.RoundTrip(r)
		})
	}}
	old := cluster(t, config).Store("old")
	_, epoch, err := old.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, old, epoch, resource("p1", "free", ""), resource("p2", "free", ""))
	result := make(chan error, 1)
	go func() {
		result <- old.Commit(context.WithoutCancel(t.Context()), epoch, []lease.Record{resource("p1", "busy", "old"), resource("p2", "busy", "old")})
	}()
	<-held
	s := cluster(t, &rest.Config{Host: url}).Store("new")
	found, epoch := again(t, s)
	if found["p1"].Owner != "old" || found["p2"].Owner != "old" {
		t.Errorf("the commit that was begun is not done: %s", text(t, found))
	}
	mustCommit(t, s, epoch, resource("p1", "free", ""))
	before := get(fake, "p1")
	close(release)
	if err := <-result; err == nil {
		t.Error("the deposed leader believes that it stored something")
	}
	if text(t, get(fake, "p1")) != text(t, before) {
		t.Errorf("the deposed leader has written: %s", text(t, get(fake, "p1")))
	}
	mustCommit(t, s, epoch, resource("p1", "busy", "new"))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// PS-6: a commit that is too much for one object stands in several, which are gone afterwards.
func TestLargeCommit(t *testing.T) {
	var records []lease.Record
	for i := range 40 {
		r := resource(fmt.Sprintf("p%02d", i), "free", "")
		r.Resource.UserData = map[string]string{"x": strings.Repeat("x", 100_000)}
		records = append(records, r)
	}
	fake, s, _ := begin(t, records...)
	parts := slices.DeleteFunc(fake.Requests(), func(r fault.Request) bool {
		return r.Method != http.MethodPost && r.Method != http.MethodDelete || !strings.Contains(r.Path, "/poolpages")
	})
	if len(parts) != 2*5 {
		t.Errorf("%d requests about parts: %v", len(parts), parts)
	}
	if found, _ := again(t, s); len(found) != 40 {
		t.Errorf("%d resources", len(found))
	}
}

// PS-7: a queue that is too long for its pages loses its end, not its head.
func TestLongQueue(t *testing.T) {
	_, s, epoch := begin(t)
	const waiters = 40_000
	var records []lease.Record
	for i := range waiters {
		w := &lease.Waiter{Request: fmt.Sprint(i), Owner: strings.Repeat("o", 100), Wants: []lease.Want{{Type: "t", Count: 1}}, From: "free", To: "busy", Seq: uint64(i)}
		records = append(records, lease.Record{Kind: lease.KindWaiter, Key: fmt.Sprint("free/t/", i), Lazy: true, Waiter: w})
	}
	mustCommit(t, s, epoch, records...)
	state, _, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for _, r := range state {
		last = max(last, r.Waiter.Seq)
	}
	t.Logf("%d of %d waiters kept", len(state), waiters)
	if len(state) < 10_000 || len(state) == waiters || last > uint64(len(state))*11/10 {
		t.Errorf("%d of %d are kept, the last is %d", len(state), waiters, last)
	}
}

// PS-7: a page that cannot be written delays nothing and is not forgotten.
func TestPageIsTriedAgain(t *testing.T) {
	waiter := func(request string) lease.Record {
		return lease.Record{Kind: lease.KindWaiter, Key: request, Lazy: true, Waiter: &lease.Waiter{Request: request}}
	}
	fake, s, epoch := begin(t, resource("p1", "free", ""))
	if err := fake.Inject(fault.Rule{Method: http.MethodPost, Path: "/poolpages", Action: "status", Status: 403, Nth: 1}); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, epoch, resource("p1", "busy", "job"), waiter("first"))
	if name, _ := s.pageOf(waiter("first").Ref()); fake.Get(own, namespace, "poolpages", name) != nil {
		t.Fatal("the page is written")
	}
	mustCommit(t, s, epoch, resource("p1", "free", ""))
	state, _, err := s.Load(t.Context())
	if err != nil || len(state) != 2 || state[1].Waiter == nil {
		t.Errorf("%s, %v", text(t, state), err)
	}
}

// PS-11: who watches is told of what others change, and not of what we do.
func TestWatch(t *testing.T) {
	for name, change := range map[string]func(fake *kubefake.Custom){
		"p2": func(fake *kubefake.Custom) {
			edit(fake, "p2", func(status map[string]any) { status["state"] = "broken" })
		},
		"p1": func(fake *kubefake.Custom) { fake.Put(group, namespace, "resources", "p1", nil) },
		"new": func(fake *kubefake.Custom) {
			fake.Put(group, namespace, "resources", "new", kubefake.Object{"spec": map[string]any{}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake, s, _ := begin(t, resource("p1", "free", ""), resource("p2", "free", ""))
			_, epoch := again(t, s)
			result := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { result <- s.Watch(ctx) }()
			for i := range 20 {
				mustCommit(t, s, epoch, resource("p1", "busy", fmt.Sprint(i)), resource(fmt.Sprint("x", i), "free", ""))
				mustCommit(t, s, epoch, lease.Record{Kind: lease.KindResource, Key: fmt.Sprint("x", i), Gone: true})
			}
			select {
			case err := <-result:
				t.Fatalf("our own changes: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			change(fake)
			select {
			case err := <-result:
				if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), name) {
					t.Errorf("%v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("a change by others is not seen")
			}
		})
	}
}

// PS-10: a refusal for the rate after an answer that was lost says nothing of the attempt before it, which came through.
func TestDoubtOutlastsTheRate(t *testing.T) {
	fake, url := serve(t)
	c, err := Connect(Options{Config: &rest.Config{Host: url}, Namespace: namespace, Patience: 500 * time.Millisecond, Say: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Store("me")
	_, epoch, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, epoch, resource("p1", "free", ""))
	const path = "/resources/p1$"
	for _, f := range []fault.Rule{
		{Method: http.MethodPut, Path: path, Action: "reset", After: true, Nth: 1},
		{Method: http.MethodPut, Path: path, Action: "status", Status: 429},
	} {
		if err := fake.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(t.Context(), epoch, []lease.Record{resource("p1", "busy", "job")}); err == nil || errors.Is(err, lease.ErrRefused) {
		t.Errorf("got %v, want a failure of which nobody knows what it stored", err)
	}
	fake.Heal()
	if found, _ := again(t, s); found["p1"].Owner != "job" {
		t.Errorf("%s", text(t, found))
	}
}

// PS-6: the parts of a commit that was refused are not taken for those of the next one, which is done by who loads the pool.
func TestPartsOfARefusedCommit(t *testing.T) {
	large := func(owner string) []lease.Record {
		var records []lease.Record
		for i := range 20 {
			r := resource(fmt.Sprintf("p%02d", i), "busy", owner)
			r.Resource.UserData = map[string]string{"x": strings.Repeat("x", 100_000)}
			records = append(records, r)
		}
		return records
	}
	fake, s, epoch := begin(t, resource("p00", "free", ""))
	if err := fake.Inject(fault.Rule{Method: http.MethodPut, Path: "/pools/", Action: "status", Status: 422}); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), epoch, large("refused")); !errors.Is(err, lease.ErrRefused) {
		t.Fatalf("got %v, want a refusal", err)
	}
	fake.Heal()
	if err := fake.Inject(fault.Rule{Method: http.MethodPost, Path: "/resources$", Action: "status", Status: 503}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	if err := s.Commit(ctx, epoch, large("next")); err == nil || errors.Is(err, lease.ErrRefused) {
		t.Fatalf("got %v, want a commit that is begun", err)
	}
	fake.Heal()
	found, _ := again(t, s)
	for _, r := range found {
		if r.Owner != "next" {
			t.Errorf("%s belongs to %q", r.Name, r.Owner)
		}
	}
	if len(found) != 20 {
		t.Errorf("%d resources", len(found))
	}
}
