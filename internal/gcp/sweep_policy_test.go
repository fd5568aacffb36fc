// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/sweep"
)

// table is that of the project lent.
func table(t *testing.T, s *Sweeper) *sweep.Table {
	t.Helper()
	kinds, _, err := s.Account(t.Context(), "lent")
	if err != nil {
		t.Fatal(err)
	}
	made, err := sweep.NewTable(kinds)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

const account = "- key: iam serviceAccounts/e2e@lent.iam.gserviceaccount.com\n  created: 2026-01-01T00:00:00Z\n"

func TestPolicy(t *testing.T) { // GS-10
	set := "/v3/projects/lent:setIamPolicy$"
	get := "/v3/projects/lent:getIamPolicy$"
	for name, c := range map[string]struct {
		fault *fault.Rule
		clean bool
	}{
		"as it should be":             {nil, true},
		"somebody was faster":         {&fault.Rule{Path: set, Action: "status", Status: 409, Nth: 1}, true},
		"the answer is lost":          {&fault.Rule{Path: set, Action: "status", Status: 500, After: true, Nth: 1}, true},
		"somebody is always faster":   {&fault.Rule{Path: set, Action: "status", Status: 409}, false},
		"it may not be written":       {&fault.Rule{Path: set, Action: "status", Status: 403}, false},
		"it may not be read":          {&fault.Rule{Path: get, Action: "status", Status: 403}, false},
		"a read that breaks off once": {&fault.Rule{Path: get, Action: "status", Status: 503, Nth: 1}, true},
		"without an etag": {&fault.Rule{Path: get, Action: "status", Status: 200,
			Body: `{"bindings": [{"role": "roles/viewer", "members": ["deleted:serviceAccount:a@lent.iam.gserviceaccount.com?uid=1"]}]}`}, false},
		"no bindings but text": {&fault.Rule{Path: get, Action: "status", Status: 200, Body: `{"etag": "a", "bindings": ["x"]}`}, false},
		"no members":           {&fault.Rule{Path: get, Action: "status", Status: 200, Body: `{"etag": "a", "bindings": [{"role": "roles/viewer"}]}`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, granted(world(account, enabled)))
			before := s.GCE.Policy("lent")
			if c.fault != nil {
				if err := s.Faults.Inject(*c.fault); err != nil {
					t.Fatal(err)
				}
			}
			o := cleaned(t, s.URL)
			if o.Clean() != c.clean {
				t.Errorf("clean %v: %s", o.Clean(), o.Reason())
			}
			after := s.GCE.Policy("lent")
			for _, grant := range before {
				goes := strings.Contains(grant, "@lent.iam.") || strings.Contains(grant, "@lent-2.iam.")
				if !slices.Contains(after, grant) && !goes {
					t.Errorf("%s is gone", grant)
				}
			}
			if c.clean && len(after) != len(before)-6 {
				t.Errorf("left %q", after)
			}
		})
	}
}

// What another one grants between the reading and the writing is kept.
func TestPolicyOfTwoWriters(t *testing.T) { // GS-10
	s := cloudfake.Start(t, cloudfake.Options{}, granted(world(account, enabled)))
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(target)
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ":setIamPolicy") && writes.Add(1) == 1 {
			if err := s.GCE.Grant("lent", "roles/viewer", "user:new@example.org"); err != nil {
				t.Error(err)
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	defer between.Close()
	o := cleaned(t, between.URL)
	got := s.GCE.Policy("lent")
	if !o.Clean() || !slices.Contains(got, "roles/viewer user:new@example.org") || slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, "e2e@lent") }) {
		t.Errorf("clean %v, %q", o.Clean(), got)
	}
}

// A grant stays as long as its account does, whatever it is that keeps the account.
func TestGrantsOfAccountsThatStay(t *testing.T) { // GS-10
	for name, c := range map[string]struct {
		objects string
		rules   sweep.Rules
		fault   *fault.Rule
		keep    bool
		stays   bool
	}{
		"nothing keeps it":          {objects: account, stays: false},
		"too young":                 {objects: account, rules: sweep.Rules{Age: 240 * time.Hour}, stays: true},
		"kept by the settings":      {objects: account, keep: true, stays: true},
		"the account is not there":  {stays: false},
		"accounts were not read":    {objects: account, fault: &fault.Rule{Path: "/serviceAccounts$", Action: "status", Status: 403}, stays: true},
		"accounts are switched off": {objects: account, fault: &fault.Rule{Path: "/serviceAccounts$", Action: "status", Status: 403, Body: `{"error": {"details": [{"reason": "SERVICE_DISABLED", "metadata": {"consumer": "projects/42"}}]}}`}, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, granted(world(c.objects, enabled)))
			if c.fault != nil {
				if err := s.Faults.Inject(*c.fault); err != nil {
					t.Fatal(err)
				}
			}
			kinds, _, err := sweeper(t, s.URL).Account(t.Context(), "lent")
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range kinds {
				if c.keep && k.Name == "iam.serviceAccounts" {
					kinds[i].Protect = func(sweep.Object) string { return "kept" }
				}
			}
			made, err := sweep.NewTable(kinds)
			if err != nil {
				t.Fatal(err)
			}
			year := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
			run := &sweep.Sweep{Table: made, Rules: c.rules, Pause: time.Millisecond, Now: func() time.Time { return year }, Marks: sweep.Marks{}}
			for _, id := range s.GCE.Policy("lent") { // the grants have been there for long
				_, member, _ := strings.Cut(id, " ")
				run.Marks["iam.bindings projects/lent/bindings/roles/storage.admin/"+url.PathEscape(member)] = year.AddDate(-1, 0, 0)
			}
			v, err := run.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := run.Clean(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			if got := slices.Contains(s.GCE.Policy("lent"), "roles/storage.admin serviceAccount:e2e@lent.iam.gserviceaccount.com"); got != c.stays {
				t.Errorf("stays: %v; kept %v", got, v.Kept)
			}
		})
	}
}

// Who sweeps stays, with its keys.
func TestSelf(t *testing.T) {
	for raw, want := range map[string]string{
		`{"type": "service_account", "client_email": "a@b.iam.gserviceaccount.com"}`:                                                                                       "a@b.iam.gserviceaccount.com",
		`{"type": "external_account", "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/c@d:generateAccessToken"}`: "c@d",
		`{"type": "authorized_user"}`: "", ``: "",
	} {
		if got := selfOf([]byte(raw)); got != want {
			t.Errorf("%s: %q", raw, got)
		}
	}
	p := &project{Sweeper: &Sweeper{opts: SweepOptions{Self: "a@p"}}, account: sweep.Account{ID: "p", Number: "42"}}
	for i, kept := range map[string]bool{"a@p": true, "b@p": false} {
		if keepServiceAccount(p, item{"email": i}) != "" != kept || keepKey(p, item{"name": "projects/p/serviceAccounts/" + i + "/keys/1"}) != "" != kept {
			t.Errorf("%s: kept is not %v", i, kept)
		}
	}
}

func TestWhoseGrants(t *testing.T) { // GS-10
	who := &Sweeper{opts: SweepOptions{Self: "janitor@lent.iam.gserviceaccount.com"}}
	lent := &project{Sweeper: who, account: sweep.Account{ID: "lent", Number: "42"}}
	scoped := &project{Sweeper: who, account: sweep.Account{ID: "example.org:lent", Number: "42"}}
	for member, want := range map[string]struct {
		p    *project
		goes bool
		with string
	}{
		"serviceAccount:a@lent.iam.gserviceaccount.com":                                           {lent, true, "iam.serviceAccounts projects/lent/serviceAccounts/a@lent.iam.gserviceaccount.com"},
		"serviceAccount:a@lent.example.org.iam.gserviceaccount.com":                               {scoped, true, "iam.serviceAccounts projects/example.org:lent/serviceAccounts/a@lent.example.org.iam.gserviceaccount.com"},
		"serviceAccount:janitor@lent.iam.gserviceaccount.com":                                     {lent, false, ""},
		"serviceAccount:b@lent.iam.gserviceaccount.com":                                           {scoped, false, ""},
		"serviceAccount:a@notlent.iam.gserviceaccount.com":                                        {lent, false, ""},
		"serviceAccount:a@lent.iam.gserviceaccount.com.example.org":                               {lent, false, ""},
		"serviceAccount:42-compute@developer.gserviceaccount.com":                                 {lent, false, ""},
		"serviceAccount:lent@appspot.gserviceaccount.com":                                         {lent, false, ""},
		"serviceAccount:service-42@container-engine-robot.iam.gserviceaccount.com":                {lent, false, ""},
		"deleted:serviceAccount:a@lent.iam.gserviceaccount.com?uid=1":                             {lent, true, ""},
		"deleted:serviceAccount:service-42@gcp-sa-pubsub.iam.gserviceaccount.com?uid=1":           {lent, false, ""},
		"deleted:serviceAccount:lent@appspot.gserviceaccount.com?uid=1":                           {lent, false, ""},
		"deleted:user:a@lent.iam.gserviceaccount.com?uid=1":                                       {lent, false, ""},
		"user:a@lent.iam.gserviceaccount.com":                                                     {lent, false, ""},
		"group:a@example.org":                                                                     {lent, false, ""},
		"domain:example.org":                                                                      {lent, false, ""},
		"projectOwner:lent":                                                                       {lent, false, ""},
		"allUsers":                                                                                {lent, false, ""},
		"principal://iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/p/a/b": {lent, false, ""},
	} {
		i := item{"member": member}
		if goes := keepBinding(want.p, i) == ""; goes != want.goes || goes && accountOf(want.p, i) != want.with {
			t.Errorf("%s: goes %v with %q", member, goes, accountOf(want.p, i))
		}
	}
}

// Lists that come together are no less than lists that come alone.
func TestBatch(t *testing.T) { // GS-9
	const objects = "- key: compute global/images/i\n- key: compute global/snapshots/s\n"
	for name, c := range map[string]struct {
		rule  *fault.Rule
		clean bool
	}{
		"as it should be":              {nil, true},
		"the request is refused":       {&fault.Rule{Path: batchPath, Action: "status", Status: 404}, true},
		"the answer is cut":            {&fault.Rule{Path: batchPath, Action: "truncate"}, true},
		"the answer is something else": {&fault.Rule{Path: batchPath, Action: "status", Status: 200, Body: `{"items": []}`}, true},
		"one list is refused once":     {&fault.Rule{Path: "/global/images$", Action: "status", Status: 429, Nth: 1}, true},
		"one list is refused for good": {&fault.Rule{Path: "/global/images$", Action: "status", Status: 403}, false},
		"one list is no JSON once":     {&fault.Rule{Path: "/global/images$", Action: "status", Status: 200, Body: "{", Nth: 1}, true},
		"one list is partial":          {&fault.Rule{Path: "/global/images$", Action: "status", Status: 200, Body: `{"warning": {"code": "UNREACHABLE"}}`, Nth: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, world(objects, enabled))
			if c.rule != nil {
				if err := s.Faults.Inject(*c.rule); err != nil {
					t.Fatal(err)
				}
			}
			run := &sweep.Sweep{Table: table(t, sweeper(t, s.URL)), Pause: time.Millisecond}
			v, err := run.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if name == "one list is partial" {
				if len(v.Unread) != 1 || v.Unread[0].Kind != "compute.images" {
					t.Errorf("not read: %v", v.Unread)
				}
				return
			}
			o, err := run.Clean(t.Context(), v)
			if err != nil || o.Clean() != c.clean || slices.Contains(s.GCE.Objects("lent"), "compute global/snapshots/s") {
				t.Errorf("clean %v: %s, %v", o.Clean(), o.Reason(), err)
			}
		})
	}
}

// A listing never sees what another one has read: neither after a delete nor without one.
func TestBatchIsReadAgain(t *testing.T) { // SW-7
	s := cloudfake.Start(t, cloudfake.Options{}, world("", enabled))
	run := &sweep.Sweep{Table: table(t, sweeper(t, s.URL))}
	for n, image := range []string{"a", "b", "c"} {
		if err := s.GCE.Put("lent", "compute global/images/"+image, nil); err != nil {
			t.Fatal(err)
		}
		if v, err := run.Look(t.Context()); err != nil || len(v.Plan.Steps) != n+1 {
			t.Errorf("listing %d: %d objects, %v", n+1, len(v.Plan.Steps), err)
		}
	}
	if s.GCE.Batched() != 24 {
		t.Errorf("%d lists came together", s.GCE.Batched())
	}
}

const sandbox = `
- key: container zones/us-central1-a/clusters/e2e
- key: test-container.sandbox zones/us-central1-a/clusters/e2e
- key: staging-container.sandbox zones/us-central1-a/clusters/other
- key: staging-gkehub.sandbox locations/global/memberships/m
- key: autopush-lustre.sandbox locations/us-central1-a/instances/l
`

func TestSweepEndpoints(t *testing.T) { // GS-11
	hosts := map[string][]string{
		"container": {"test-container.sandbox.googleapis.com", "staging-container.sandbox.googleapis.com"},
		"gkehub":    {"staging-gkehub.sandbox.googleapis.com"}, "lustre": {"autopush-lustre.sandbox.googleapis.com"},
	}
	for name, c := range map[string]struct {
		hosts map[string][]string
		rule  *fault.Rule
		clean bool
		left  int
	}{
		"none are named":        {nil, nil, true, 4},
		"all":                   {hosts, nil, true, 0},
		"one cannot be read":    {hosts, &fault.Rule{Path: "^/staging-container", Action: "status", Status: 403}, false, 3},
		"one has no such thing": {hosts, &fault.Rule{Path: "^/staging-gkehub", Action: "status", Status: 404}, false, 1},
		"one is switched off": {hosts, &fault.Rule{Path: "^/staging-container", Action: "status", Status: 403,
			Body: `{"error": {"details": [{"reason": "SERVICE_DISABLED", "metadata": {"consumer": "projects/42"}}]}}`}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, world(strings.TrimPrefix(sandbox, "\n"), enabled+", gkehub.googleapis.com, lustre.googleapis.com"))
			if c.rule != nil {
				if err := s.Faults.Inject(*c.rule); err != nil {
					t.Fatal(err)
				}
			}
			all := sweeper(t, s.URL)
			all.opts.Endpoints = c.hosts
			run := &sweep.Sweep{Table: table(t, all), Pause: time.Millisecond}
			v, err := run.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			o, err := run.Clean(t.Context(), v)
			if err != nil || o.Clean() != c.clean {
				t.Errorf("clean %v: %s, %v", o.Clean(), o.Reason(), err)
			}
			// A kind of which one place was not read is not deleted at the others either: its list is not whole.
			left := slices.DeleteFunc(s.GCE.Objects("lent"), func(o string) bool { return !strings.Contains(sandbox, "key: "+o+"\n") })
			if len(left) != c.left {
				t.Errorf("left %q", left)
			}
		})
	}
	for _, host := range []string{"example.org", "googleapis.com.example.org", "test-container.sandbox.googleapis.com/x", "a@googleapis.com", ".googleapis.com", "a..googleapis.com"} {
		if _, err := NewSweeper(t.Context(), SweepOptions{Endpoint: "http://127.0.0.1:1", Endpoints: map[string][]string{"container": {host}}}); err == nil {
			t.Errorf("%s would get the credential", host)
		}
	}
}
