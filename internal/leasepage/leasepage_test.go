// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"sigs.k8s.io/steward/internal/lease"
)

func noon() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return noon().Add(-d) }

// written runs a page's writer.
func written(t testing.TB, write func(out io.Writer) error) string {
	t.Helper()
	var b strings.Builder
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// all are the pages of a pool, with the resource's of every resource.
func all(t testing.TB, p *Pool, u *Usage, ended ...*lease.Ended) map[string]string {
	t.Helper()
	pages := map[string]string{"overview": written(t, func(out io.Writer) error { return Overview(out, p, u) })}
	for i := range p.Types {
		typ := &p.Types[i]
		pages["type "+typ.Name] = written(t, func(out io.Writer) error { return TypePage(out, p, typ, u) })
		pages["missing "+typ.Name] = written(t, func(out io.Writer) error { return MissingType(out, p, typ.Name) })
		for _, r := range typ.Resources {
			past := &Past{Since: ago(Days * 24 * time.Hour)}
			for _, e := range ended {
				past.Add(e)
			}
			pages["resource "+r.Name] = written(t, func(out io.Writer) error { return ResourcePage(out, p.Now, r.Name, r, past) })
		}
	}
	return pages
}

func nodes(t testing.TB, page string) []*html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(doc.Descendants())
}

// words is what a person reads.
func words(t testing.TB, page string) string {
	var b strings.Builder
	for _, n := range nodes(t, page) {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

const (
	evil      = `"><script>alert(1)</script><img src=x onerror=alert(2)> ' {{.}} ` + "\u202e\u0000\n"
	evilAgain = `javascript:alert(3)//</style></title><base href=//evil.example>`
	leaseID   = "the-id-of-a-lease"
	podUID    = "the-uid-of-a-pod"
	userData  = "what-a-holder-keeps"
	token     = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
)

// hostile is a pool in which everything that somebody can type is typed by somebody bad.
func hostile() (*Pool, *lease.Ended) {
	holder := lease.Holder{Account: evil + "account", Job: evil + "job", Build: evilAgain, Pod: podUID}
	ended := &lease.Ended{
		Lease: leaseID, Resource: evil, Type: evil, Owner: evil + token, Holder: holder, Since: ago(3 * time.Hour), Until: ago(time.Hour),
		Held: evil, Left: evilAgain, Why: evil, Note: evil + token,
	}
	held := &lease.Resource{
		Name: evil, Type: evil, State: evil, Owner: evil + token, Updated: ago(time.Hour), UserData: map[string]string{userData: userData},
		Lease: &lease.Lease{ID: leaseID, Holder: holder, Since: ago(time.Hour)},
		Last:  ended, Failures: 3, Sick: &lease.Sick{Reason: evil + token, By: evil, At: ago(time.Hour)},
	}
	other := &lease.Resource{Name: evilAgain, Type: evil, State: evilAgain, UserData: map[string]string{"k": userData}, Failures: 1, Last: ended}
	return &Pool{
		Now: noon(),
		Types: []Type{{
			Name: evil, Resources: []*lease.Resource{held, other},
			Queues: []Queue{{From: evil, Waiting: 1, Places: []Place{{
				Account: evil, Owner: evilAgain + token, Class: evil, Arrived: ago(time.Minute), Wants: []lease.Want{{Type: evilAgain, Count: 1}},
			}}}},
		}},
		Reservations: []lease.Reservation{{
			ID: "x", Type: evil, Count: 1, Account: evil, From: ago(time.Hour), Until: noon(), By: evil, Reason: evilAgain + token,
		}},
	}, ended
}

// PG-1: what others typed is text and nothing else, and what is secret is not there.
func TestHostile(t *testing.T) {
	p, ended := hostile()
	u := NewUsage(noon())
	u.Running(p)
	u.Ended(ended)
	for name, page := range all(t, p, u, ended) {
		for _, secret := range []string{leaseID, podUID, userData, token, "\u202e"} {
			if strings.Contains(page, secret) {
				t.Errorf("%.20q shows %q", name, secret)
			}
		}
		for _, n := range nodes(t, page) {
			if n.Type == html.ElementNode && slices.Contains([]string{"script", "img", "base", "iframe", "form"}, n.Data) {
				t.Errorf("%.20q has an element %s", name, n.Data)
			}
			for _, a := range n.Attr {
				foreign := a.Key == "href" && !strings.HasPrefix(a.Val, "/pool") && !strings.HasPrefix(a.Val, "#")
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || foreign {
					t.Errorf("%.20q has %s=%q", name, a.Key, a.Val)
				}
			}
		}
		if !strings.Contains(words(t, page), "alert(1)") && !strings.HasPrefix(name, "resource javascript") {
			t.Errorf("%.20q does not show the name as text", name)
		}
	}
}

// lent is a pool as a community has it.
func lent() *Pool {
	types := []Type{{Name: "aws-account"}, {Name: "gce-project"}}
	for i := range 10 {
		r := &lease.Resource{Name: fmt.Sprintf("project-%02d", i), Type: "gce-project", State: lease.Free, Updated: ago(time.Hour)}
		switch {
		case i < 3:
			r.State, r.Owner = lease.Busy, "ci-kind"
			r.Lease = &lease.Lease{Holder: lease.Holder{Account: "sig-testing", Job: "ci-kind"}, Since: ago(time.Duration(i+1) * time.Hour)}
		case i == 3:
			r.State, r.Owner = lease.Cleaning, "Janitor"
			r.Lease = &lease.Lease{Holder: lease.Holder{Account: "Janitor"}, Since: ago(5 * time.Minute)}
		case i == 4:
			r.State, r.Failures = lease.Quarantined, 5
			r.Sick = &lease.Sick{Reason: "5 cleanings failed, the last one: quota", By: "steward", At: ago(50 * time.Hour)}
		case i == 5:
			r.State = "brokn"
		}
		types[1].Resources = append(types[1].Resources, r)
	}
	types[1].Queues = []Queue{{From: lease.Free, Waiting: 2, Places: []Place{
		{Ahead: 0, Account: "sig-node", Owner: "job-7", Class: "release", Arrived: ago(12 * time.Minute), Wants: []lease.Want{{Type: "gce-project", Count: 2}}},
		{Ahead: -1, Account: "sig-auth", Owner: "sig-auth", Arrived: ago(time.Minute), Wants: []lease.Want{{Type: "gce-project", Count: 1}, {Type: "aws-account", Count: 1}}},
	}}}
	return &Pool{Now: noon(), Types: types, Reservations: []lease.Reservation{
		{Type: "gce-project", Count: 4, Account: "sig-release", From: noon().Add(90 * time.Minute), Until: noon().Add(5 * time.Hour), By: "alice", Reason: "v1.40"},
	}}
}

// PG-2, PG-3: each page says what it is for.
func TestPages(t *testing.T) {
	p, u := lent(), NewUsage(noon())
	u.Running(p)
	pages := all(t, p, u, &lease.Ended{
		Resource: "project-00", Type: "gce-project", Owner: "ci-old", Holder: lease.Holder{Account: "sig-testing", Job: "ci-e2e", Build: "77"},
		Since: ago(5 * time.Hour), Until: ago(4 * time.Hour), Held: lease.Busy, Left: lease.Dirty, Why: lease.PodGone, Note: "evicted",
	})
	for page, wanted := range map[string][]string{
		"overview": {
			"Resources 10 Free 4 Held 4 Requests that wait 2 Sick 2", "gce-project", "10 resources;", "2 requests in the queue, the oldest for 12 min",
			"4 free", "3 busy", "1 cleaning", "1 quarantined", "1 in other states: 1 brokn (unknown)", "aws-account", "0 resources; nobody waits",
			"sig-testing 3 3 gce-project 3 h 00 min 6.0", "Janitor 1 1 gce-project 5 min 0.1",
			"project-04 gce-project quarantined 5 cleanings failed, the last one: quota by steward 5 2 days",
			"project-05 gce-project brokn the pool does not know this state",
			"gce-project 4 sig-release 2026-11-26 13:30 in 1 h 30 min 2026-11-26 17:00 v1.40 by alice",
		},
		"type gce-project": {
			"1 sig-node owner job-7 release 2 12 min", "away sig-auth 1, with 1 aws-account 1 min",
			"project-00 busy ci-kind account sig-testing 1 h 00 min", "4 sig-release",
		},
		"type aws-account": {"Nobody waits.", "There is none now."},
		"resource project-00": {
			"state busy owner ci-kind account sig-testing job ci-kind", "held since 2026-11-26 11:00 1 h 00 min ago",
			"2026-11-26 08:00 ci-old account sig-testing ci-e2e build 77 1 h 00 min busy pod gone, dirty evicted",
		},
		"resource project-04": {"In quarantine", "since 2026-11-24 10:00, 2 days", "cleanings that failed 5 in a row", "owner nobody"},
		"resource project-05": {"Look at this", "only who asks for it by name gets it"},
	} {
		text := words(t, pages[page])
		for _, want := range wanted {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", page, want, text)
			}
		}
	}
}

// Links lead to pages that are there, whatever the name.
func TestLinks(t *testing.T) {
	for name, want := range map[string]string{
		"project-1": "/pool/resources/project-1", "a/b?c#d": "/pool/resources/a%2Fb%3Fc%23d", "a b%2f": "/pool/resources/a%20b%252f",
	} {
		if got := resourcePath(name); got != want {
			t.Errorf("%q: %s, not %s", name, got, want)
		}
	}
}

// PG-5: who mistypes a name finds what is near, and an empty pool says what to do.
func TestNotThere(t *testing.T) {
	p := lent()
	for _, c := range []struct {
		kind, name string
		near       []string
	}{
		{"resource", "project-0l", []string{"project-00", "project-01"}},
		{"resource", "PROJECT-07", []string{"project-07"}},
		{"resource", "gce-project", []string{"gce-project (a type)"}},
		{"resource", strings.Repeat("x", 100_000), nil},
		{"type", "gce-projects", []string{"gce-project"}},
		{"type", "aws", []string{"aws-account"}},
		{"type", "project-03", []string{"project-03 (a resource)"}},
		{"type", "vsphere", nil},
	} {
		page := written(t, func(out io.Writer) error {
			if c.kind == "type" {
				return MissingType(out, p, c.name)
			}
			return MissingResource(out, p, c.name)
		})
		text := words(t, page)
		if !strings.Contains(text, "There is no such "+c.kind) || len(page) > 20_000 {
			t.Errorf("%.20s: %d bytes, %.300s", c.name, len(page), text)
		}
		if strings.Contains(text, "Did you mean") != (c.near != nil) {
			t.Errorf("%.20s: %s", c.name, text)
		}
		for _, want := range c.near {
			if !strings.Contains(text, want) {
				t.Errorf("%.20s lacks %s: %s", c.name, want, text)
			}
		}
	}
	if long := strings.Repeat("x", maxWord); near(long, []string{long}) == nil || near(long+"x", []string{long + "x"}) != nil {
		t.Error("the length of a word has another bound")
	}
	empty := words(t, written(t, func(out io.Writer) error { return Overview(out, &Pool{Now: noon()}, NewUsage(noon())) }))
	if !strings.Contains(empty, "its configuration lists no resource") {
		t.Error(empty)
	}
}

// PG-6: pages are bounded and say what they leave out.
func TestBounded(t *testing.T) {
	big := Type{Name: "big"}
	for i := range 5000 {
		big.Resources = append(big.Resources, &lease.Resource{
			Name: fmt.Sprintf("r-%05d", i), Type: "big", State: lease.Busy, Owner: fmt.Sprintf("%0200d", i), Failures: 1,
			Lease: &lease.Lease{Holder: lease.Holder{Account: fmt.Sprintf("%0200d", i)}, Since: ago(time.Hour)},
		})
	}
	p := &Pool{Now: noon(), Types: []Type{big}}
	for i := range 300 {
		p.Types = append(p.Types, Type{Name: fmt.Sprintf("t%d", i)})
	}
	u := NewUsage(noon())
	u.Running(p)
	overview := written(t, func(out io.Writer) error { return Overview(out, p, u) })
	for _, want := range []string{"The first 200 of 301 types", "The first 200 of 5,000 accounts", "The first 1,000 of 5,000 resources"} {
		if !strings.Contains(words(t, overview), want) {
			t.Errorf("the overview lacks %q", want)
		}
	}
	page := written(t, func(out io.Writer) error { return TypePage(out, p, &p.Types[0], u) })
	if !strings.Contains(words(t, page), "The first 1,000 of 5,000 resources") || len(page) > 2<<20 || len(overview) > 2<<20 {
		t.Errorf("%d and %d bytes", len(page), len(overview))
	}
}

// Look sees what the pool has, in the order in which it serves.
func TestLook(t *testing.T) {
	ids := 0
	id := func() string { ids++; return fmt.Sprint("id-", ids) }
	pool, err := lease.NewPool(lease.Options{IDs: id, Names: id}, nil, noon())
	if err != nil {
		t.Fatal(err)
	}
	pool.Sync(noon(), lease.Config{
		Static:  []lease.Group{{Type: "project", State: lease.Free, Names: []string{"p2", "p1"}, Lines: []int{1, 2}}},
		Dynamic: []lease.Dynamic{{Type: "cluster", State: lease.Free, Max: 7}},
	})
	for i := range 4 {
		_, err := pool.Acquire(noon().Add(time.Duration(i)*time.Second), lease.Claim{
			Request: fmt.Sprint(i), Owner: fmt.Sprint("job-", i), Holder: lease.Holder{Account: fmt.Sprint("account-", i)},
			Wants: []lease.Want{{Type: "project", Count: 1}}, From: lease.Free, To: lease.Busy,
		})
		if (err == nil) != (i < 2) {
			t.Fatal(i, err)
		}
	}
	p := Look(pool, noon().Add(time.Minute)).Arrange()
	project, cluster := p.Type("project"), p.Type("cluster")
	if project == nil || cluster == nil || cluster.Most != 7 || p.Type("none") != nil {
		t.Fatalf("%+v", p)
	}
	if r := p.Resource("p1"); r == nil || account(r) != "account-0" || p.Resource("p3") != nil {
		t.Errorf("%+v", r)
	}
	if n, first := project.waiting(); n != 2 || !first.Equal(noon().Add(2*time.Second)) || project.Queues[0].Places[0].Account != "account-2" {
		t.Errorf("%d %v %+v", n, first, project.Queues)
	}
}
