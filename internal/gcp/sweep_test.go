// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/sweep"
)

// lent is a project as a pool lends it: what came with it, and nothing else.
const lent = `
-- cloud.yaml --
gce: {folders: {folders/7: organizations/9}}
-- gce/lent.yaml --
number: "42"
parent: folders/7
labels: {pool: boskos}
services: [%s]
policy:
  bindings:
  - {role: roles/owner, members: ["user:admin@example.org", "group:pool@example.org", "serviceAccount:boskos@elsewhere.iam.gserviceaccount.com"]}
  - {role: roles/compute.serviceAgent, members: ["serviceAccount:service-42@compute-system.iam.gserviceaccount.com"]}
  - {role: roles/editor, members: ["serviceAccount:42-compute@developer.gserviceaccount.com", "serviceAccount:42@cloudservices.gserviceaccount.com"]}
  - {role: roles/viewer, members: ["group:pool@example.org"], condition: {title: later, expression: "request.time < timestamp('2030-01-01T00:00:00Z')"}}
objects:
- key: compute global/networks/default
- key: compute regions/us-central1/subnetworks/default
  fields: {network: "https://www.googleapis.com/compute/v1/projects/lent/global/networks/default"}
- key: compute global/firewalls/default-allow-ssh
  fields: {network: "https://www.googleapis.com/compute/v1/projects/lent/global/networks/default"}
- key: compute global/routes/default-route-1
  fields: {network: "https://www.googleapis.com/compute/v1/projects/lent/global/networks/default"}
- key: iam serviceAccounts/42-compute@developer.gserviceaccount.com
- key: logging sinks/_Default
- key: logging sinks/_Required
- key: logging locations/global/buckets/_Default
`

// enabled are the services that the audit of a real project of the pool has listed, as far as they hold anything.
const enabled = "artifactregistry.googleapis.com, bigquery.googleapis.com, cloudkms.googleapis.com, compute.googleapis.com, container.googleapis.com, " +
	"dns.googleapis.com, file.googleapis.com, gkebackup.googleapis.com, iam.googleapis.com, logging.googleapis.com, networkconnectivity.googleapis.com, pubsub.googleapis.com"

func world(objects string, services string) string {
	return fmt.Sprintf(lent, services) + objects
}

func sweeper(tb testing.TB, url string) *Sweeper {
	tb.Helper()
	s, err := NewSweeper(tb.Context(), SweepOptions{
		Endpoint: url, Rate: 1e6, Poll: time.Millisecond, Parents: []string{"folders/7"},
		HTTP: httpread.Options{Attempts: 2, Timeout: 5 * time.Second, Backoff: time.Microsecond},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// cleaned sweeps the project lent with no age.
func cleaned(t *testing.T, url string) sweep.Outcome {
	t.Helper()
	kinds, _, err := sweeper(t, url).Account(t.Context(), "lent")
	if err != nil {
		t.Fatal(err)
	}
	table, err := sweep.NewTable(kinds)
	if err != nil {
		t.Fatal(err)
	}
	s := &sweep.Sweep{Table: table, Pause: time.Millisecond}
	v, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Clean(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// An empty project is proved clean in at most 60 calls, the proof of who it is included.
func TestEmptyProject(t *testing.T) { // GS-9
	s := cloudfake.Start(t, cloudfake.Options{}, world("", enabled))
	o := cleaned(t, s.URL)
	if !o.Clean() || len(o.Deleted) > 0 {
		t.Errorf("reason %q, deleted %v", o.Reason(), o.Deleted)
	}
	n, inner := len(s.Faults.Requests()), s.GCE.Batched()
	t.Logf("%d calls, one of them with %d lists in it", n-inner, inner)
	if n -= inner; n > 60 || n < 30 || inner == 0 {
		t.Errorf("%d calls, want at most 60", n)
		for _, r := range s.Faults.Requests() {
			t.Log(r.Path)
		}
	}
}

func BenchmarkEmptyProject(b *testing.B) {
	sc, err := cloudfake.ParseScenario([]byte(world("", enabled)))
	if err != nil {
		b.Fatal(err)
	}
	fake := cloudfake.New(cloudfake.Options{Latency: 100 * time.Millisecond})
	if err := fake.Load(sc); err != nil {
		b.Fatal(err)
	}
	at, stop, err := fake.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			b.Error(err)
		}
	}()
	s, err := NewSweeper(b.Context(), SweepOptions{Endpoint: at.URL, Parents: []string{"folders/7"}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		kinds, _, err := s.Account(b.Context(), "lent")
		if err != nil {
			b.Fatal(err)
		}
		table, err := sweep.NewTable(kinds)
		if err != nil {
			b.Fatal(err)
		}
		v, err := (&sweep.Sweep{Table: table}).Look(b.Context())
		if err != nil || !v.Plan.Empty() || len(v.Unread) > 0 {
			b.Fatal(v.Reason(), err)
		}
	}
	b.ReportMetric(float64(len(fake.Faults.Requests())-fake.GCE.Batched())/float64(b.N), "calls/op")
}

const link = "https://www.googleapis.com/compute/v1/projects/lent/"

// full is a project in which a test of everything has died.
const full = `
- key: container zones/us-central1-a/clusters/e2e
  owns: [compute zones/us-central1-a/instanceGroupManagers/gke-pool, compute zones/us-central1-a/instances/gke-node]
- key: compute zones/us-central1-a/instanceGroupManagers/gke-pool
  fields: {instanceTemplate: "LINKglobal/instanceTemplates/gke"}
- key: compute global/instanceTemplates/gke
- key: compute zones/us-central1-a/instances/gke-node
- key: compute zones/us-central1-a/instanceGroupManagers/minions
  owns: [compute zones/us-central1-a/instances/minion-1, compute zones/us-central1-a/instanceGroups/minions]
  fields: {instanceTemplate: "LINKglobal/instanceTemplates/minion"}
- key: compute global/instanceTemplates/minion
- key: compute zones/us-central1-a/instanceGroups/minions
- key: compute zones/us-central1-a/autoscalers/minions
  fields: {target: "LINKzones/us-central1-a/instanceGroupManagers/minions"}
- key: compute zones/us-central1-a/instances/minion-1
  fields: {disks: [{source: "LINKzones/us-central1-a/disks/minion-1"}], networkInterfaces: [{subnetwork: "LINKregions/us-central1/subnetworks/e2e"}]}
- key: compute zones/us-central1-a/instances/locked
  fields: {deletionProtection: true}
- key: compute zones/us-central1-a/disks/minion-1
- key: compute regions/us-central1/disks/pd
- key: compute global/snapshots/s
- key: compute global/images/i
- key: compute global/machineImages/m
- key: compute zones/us-central1-a/reservations/r
- key: compute regions/us-central1/resourcePolicies/nightly
- key: compute regions/us-central1/forwardingRules/lb
  fields: {target: "LINKregions/us-central1/targetPools/tp", IPAddress: "LINKregions/us-central1/addresses/ip"}
- key: compute regions/us-central1/targetPools/tp
  fields: {healthChecks: ["LINKglobal/httpHealthChecks/old"], instances: ["LINKzones/us-central1-a/instances/gone"]}
- key: compute global/httpHealthChecks/old
- key: compute regions/us-central1/addresses/ip
- key: compute global/forwardingRules/https
  fields: {target: "LINKglobal/targetHttpsProxies/p"}
- key: compute global/targetHttpsProxies/p
  fields: {urlMap: "LINKglobal/urlMaps/u", sslCertificates: ["LINKglobal/sslCertificates/c"], sslPolicy: "LINKglobal/sslPolicies/strict"}
- key: compute global/urlMaps/u
  fields: {defaultService: "LINKglobal/backendServices/b", hostRules: ["LINKglobal/backendBuckets/static"]}
- key: compute global/backendServices/b
  fields: {healthChecks: ["LINKglobal/healthChecks/h"], securityPolicy: "LINKglobal/securityPolicies/armor", backends: [{group: "LINKzones/us-central1-a/networkEndpointGroups/neg"}]}
- key: compute global/backendBuckets/static
- key: compute global/healthChecks/h
- key: compute global/securityPolicies/armor
- key: compute zones/us-central1-a/networkEndpointGroups/neg
  fields: {network: "LINKglobal/networks/e2e"}
- key: compute global/sslCertificates/c
- key: compute global/sslPolicies/strict
- key: compute global/networks/e2e
  fields: {peerings: [{name: to-other, network: elsewhere}]}
- key: compute regions/us-central1/subnetworks/e2e
  fields: {network: "LINKglobal/networks/e2e", secondaryIpRanges: [{rangeName: pods}]}
- key: compute global/firewalls/e2e
  fields: {network: "LINKglobal/networks/e2e"}
- key: compute global/firewalls/e2e-on-default
  fields: {network: "LINKglobal/networks/default"}
- key: compute global/routes/r
  fields: {network: "LINKglobal/networks/e2e", nextHopVpnTunnel: "LINKregions/us-central1/vpnTunnels/t"}
- key: compute global/routes/local
  fields: {network: "LINKglobal/networks/default", nextHopNetwork: "LINKglobal/networks/default"}
- key: compute regions/us-central1/routers/nat
  fields: {network: "LINKglobal/networks/e2e"}
- key: compute regions/us-central1/vpnTunnels/t
  fields: {vpnGateway: "LINKregions/us-central1/vpnGateways/g", peerExternalGateway: "LINKglobal/externalVpnGateways/x", router: "LINKregions/us-central1/routers/nat"}
- key: compute regions/us-central1/vpnGateways/g
  fields: {network: "LINKglobal/networks/e2e"}
- key: compute global/externalVpnGateways/x
- key: compute global/firewallPolicies/f
  fields: {associations: [{name: a, attachmentTarget: "LINKglobal/networks/e2e"}]}
- key: compute regions/europe-west4/subnetworks/default
  fields: {network: "LINKglobal/networks/default", secondaryIpRanges: [{rangeName: gke-pods}, {rangeName: gke-services}]}
- key: networkconnectivity locations/global/internalRanges/pods
- key: storage b/lent-logs
- key: "storage b/lent-logs/o/a b/c#1"
- key: "storage b/lent-logs/o/a b/c#2"
- key: bigquery datasets/d
- key: dns managedZones/z
  fields: {dnsName: e2e.example.org.}
- key: dns managedZones/z/rrsets/e2e.example.org./SOA
  fields: {name: e2e.example.org., type: SOA}
- key: dns managedZones/z/rrsets/www.e2e.example.org./A
  fields: {name: www.e2e.example.org., type: A}
- key: file locations/us-central1-a/instances/nfs
- key: gkebackup locations/us-central1/backupPlans/p
- key: gkebackup locations/us-central1/backupPlans/p/backups/b
- key: artifactregistry locations/us/repositories/r
- key: pubsub topics/t
- key: pubsub topics/container-analysis-notes-v1
- key: pubsub subscriptions/s
  fields: {topic: projects/lent/topics/t}
- key: logging sinks/e2e
- key: iam serviceAccounts/e2e@lent.iam.gserviceaccount.com
- key: iam serviceAccounts/e2e@lent.iam.gserviceaccount.com/keys/k1
- key: iam serviceAccounts/42-compute@developer.gserviceaccount.com/keys/leaked
- key: kmsinventory locations/us/keyRings/r/cryptoKeys/k
- key: cloudkms locations/us/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1
`

// stays is what a clean project of that world has.
func stays() []string {
	return []string{
		"compute global/firewalls/default-allow-ssh", "compute global/networks/default", "compute global/routes/default-route-1",
		"compute global/routes/local", "compute regions/europe-west4/subnetworks/default", "compute regions/us-central1/subnetworks/default",
		"iam serviceAccounts/42-compute@developer.gserviceaccount.com", "kmsinventory locations/us/keyRings/r/cryptoKeys/k",
		"logging locations/global/buckets/_Default", "logging sinks/_Default", "logging sinks/_Required",
		"pubsub topics/container-analysis-notes-v1",
	}
}

func fullWorld() string {
	return granted(world(strings.ReplaceAll(strings.TrimPrefix(full, "\n"), "LINK", link), enabled))
}

// granted adds what a test has granted: to its own account, to one that is deleted, and to one beside those that stay.
func granted(world string) string {
	return strings.Replace(world, "  bindings:\n", `  bindings:
  - {role: roles/storage.admin, members: ["serviceAccount:e2e@lent.iam.gserviceaccount.com"]}
  - {role: roles/storage.admin, members: ["serviceAccount:e2e@lent.iam.gserviceaccount.com", "user:admin@example.org"], condition: {title: one, expression: "a"}}
  - {role: roles/storage.admin, members: ["serviceAccount:e2e@lent.iam.gserviceaccount.com", "user:admin@example.org"], condition: {title: two, expression: "b"}}
  - {role: projects/lent/roles/custom, members: ["deleted:serviceAccount:gone@lent.iam.gserviceaccount.com?uid=123", "serviceAccount:never@lent.iam.gserviceaccount.com"]}
  - {role: roles/viewer, members: ["deleted:serviceAccount:other@lent-2.iam.gserviceaccount.com?uid=7", "deleted:user:left@example.org?uid=8", "deleted:serviceAccount:42-compute@developer.gserviceaccount.com?uid=9"]}
`, 1)
}

// came is the policy that a project has when nobody uses it.
func came() []string {
	return []string{
		"roles/compute.serviceAgent serviceAccount:service-42@compute-system.iam.gserviceaccount.com",
		"roles/editor serviceAccount:42-compute@developer.gserviceaccount.com", "roles/editor serviceAccount:42@cloudservices.gserviceaccount.com",
		"roles/owner group:pool@example.org", "roles/owner serviceAccount:boskos@elsewhere.iam.gserviceaccount.com", "roles/owner user:admin@example.org",
		"roles/viewer group:pool@example.org if later",
	}
}

func TestFullProject(t *testing.T) { // GS-1 to GS-8
	s := cloudfake.Start(t, cloudfake.Options{}, fullWorld())
	o := cleaned(t, s.URL)
	if !o.Clean() {
		t.Errorf("not clean: %s", o.Reason())
	}
	if got := s.GCE.Objects("lent"); !slices.Equal(got, stays()) {
		t.Errorf("left %q\nwant %q", got, stays())
	}
	want := append(came(), "roles/storage.admin user:admin@example.org if one", "roles/storage.admin user:admin@example.org if two",
		"roles/viewer deleted:serviceAccount:42-compute@developer.gserviceaccount.com?uid=9", "roles/viewer deleted:user:left@example.org?uid=8")
	slices.Sort(want)
	if got := s.GCE.Policy("lent"); !slices.Equal(got, want) {
		t.Errorf("granted %q\nwant %q", got, want)
	}
	if o.Rounds != 1 {
		t.Errorf("%d rounds: the order is wrong somewhere: %v", o.Rounds, o.Failed)
	}
	for _, r := range s.Faults.Requests() {
		if strings.Contains(r.Path, "elsewhere") {
			t.Errorf("asked about another project: %s", r.Path)
		}
	}
}

// In the right order nothing is ever refused because it is in use.
func TestOrderOfFullProject(t *testing.T) {
	s := cloudfake.Start(t, cloudfake.Options{}, fullWorld())
	kinds, _, err := sweeper(t, s.URL).Account(t.Context(), "lent")
	if err != nil {
		t.Fatal(err)
	}
	table, err := sweep.NewTable(kinds)
	if err != nil {
		t.Fatal(err)
	}
	run := &sweep.Sweep{Table: table, Pause: time.Millisecond, Tell: func(e sweep.Event) {
		if e.Deleted && e.Err != nil {
			t.Errorf("%s: %v", e.Target, e.Err)
		}
	}}
	v, err := run.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Clean(t.Context(), v); err != nil {
		t.Error(err)
	}
}

// A list that fails, one at a time, is never a clean project, and everything else is swept all the same.
func TestOneBrokenList(t *testing.T) { // GS-4
	clean := cloudfake.Start(t, cloudfake.Options{}, world("", enabled))
	cleaned(t, clean.URL)
	seen := map[string]bool{}
	for _, r := range clean.Faults.Requests() {
		if seen[r.Path] || strings.HasSuffix(r.Path, "/v3/projects/lent") || strings.HasSuffix(r.Path, batchPath) {
			continue
		}
		seen[r.Path] = true
		kinds := []fault.Rule{{Action: "status", Status: 403}, {Action: "status", Status: 500}, {Action: "status", Status: 404}, {Action: "truncate"}}
		for _, f := range kinds[len(seen)%4:][:1] { // each list meets one of them
			f.Path = "^" + regexp.QuoteMeta(r.Path) + "$"
			s := cloudfake.Start(t, cloudfake.Options{}, world("- key: compute global/images/i\n", enabled))
			if err := s.Faults.Inject(f); err != nil {
				t.Fatal(err)
			}
			o := cleaned(t, s.URL)
			services := strings.HasSuffix(r.Path, "/services") // each API is asked then
			if o.Clean() != services {
				t.Errorf("%s with %s %d: clean %v, %q", r.Path, f.Action, f.Status, o.Clean(), o.Reason())
			}
			if left := s.GCE.Objects("lent"); slices.Contains(left, "compute global/images/i") != strings.HasSuffix(r.Path, "/global/images") {
				t.Errorf("%s with %s %d: left %q", r.Path, f.Action, f.Status, left)
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d lists were tried", len(seen))
	}
}

func TestServices(t *testing.T) { // GS-3
	for name, c := range map[string]struct {
		services string
		fault    *fault.Rule
		calls    int // to Compute Engine
		clean    bool
	}{
		"disabled, by the list":            {"pubsub.googleapis.com", nil, 0, true},
		"disabled, by the answer":          {"pubsub.googleapis.com", &fault.Rule{Path: "/services$", Action: "status", Status: 403}, 1, true},
		"disabled in another project":      {enabled, &fault.Rule{Path: "aggregated/instances$", Action: "status", Status: 403, Body: `{"error": {"details": [{"reason": "SERVICE_DISABLED", "metadata": {"consumer": "projects/1"}}]}}`}, 1, false},
		"a refusal that is not about that": {enabled, &fault.Rule{Path: "aggregated/instances$", Action: "status", Status: 403, Body: `{"error": {"status": "PERMISSION_DENIED"}}`}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, world("", c.services))
			if c.fault != nil {
				if err := s.Faults.Inject(*c.fault); err != nil {
					t.Fatal(err)
				}
			}
			o := cleaned(t, s.URL)
			calls := 0
			for _, r := range s.Faults.Requests() {
				if strings.HasSuffix(r.Path, "/aggregated/instances") {
					calls++
				}
			}
			if calls != c.calls || o.Clean() != c.clean {
				t.Errorf("%d calls, clean %v: %s", calls, o.Clean(), o.Reason())
			}
		})
	}
}

func TestPartialLists(t *testing.T) { // GS-4
	for name, settings := range map[string]string{
		"pages":       "{page: 3}",
		"unreachable": "{unreachable: [us-central1-a]}",
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(fullWorld(), "gce: {folders: {folders/7: organizations/9}}", "gce: "+settings)
			s := cloudfake.Start(t, cloudfake.Options{}, strings.ReplaceAll(text, "parent: folders/7", "parent: organizations/9"))
			o := cleaned(t, s.URL)
			if o.Clean() != (name == "pages") {
				t.Errorf("clean %v: %s", o.Clean(), o.Reason())
			}
		})
	}
}

// A list of this project that names an object of another is not believed, whole.
func TestForeignObject(t *testing.T) { // GS-2
	for name, c := range map[string]struct{ path, body string }{
		"another project": {"/global/images$", `{"items": [{"selfLink": "https://www.googleapis.com/compute/v1/projects/other/global/images/i"}]}`},
		"a way out":       {"/global/images$", `{"items": [{"selfLink": "https://www.googleapis.com/compute/v1/projects/lent/../other/global/images/i"}]}`},
		"the project":     {"/v1/projects/lent/topics$", `{"topics": [{"name": "projects/lent"}]}`},
		"another bucket":  {"/storage/v1/b$", `{"items": [{"name": "other", "projectNumber": "1"}]}`},
		"another dataset": {"/datasets$", `{"datasets": [{"datasetReference": {"projectId": "other", "datasetId": "d"}}]}`},
		"no list":         {"/v1/projects/lent/topics$", `{"topics": {"name": "projects/lent/topics/t"}}`},
		"no object":       {"/v1/projects/lent/topics$", `{"topics": ["projects/lent/topics/t"]}`},
		"no time":         {"/global/images$", `{"items": [{"selfLink": "https://www.googleapis.com/compute/v1/projects/lent/global/images/i", "creationTimestamp": "soon"}]}`},
		"no end":          {"/global/images$", `{"nextPageToken": "a"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, world("", enabled))
			if err := s.Faults.Inject(fault.Rule{Path: c.path, Action: "status", Status: 200, Body: c.body}); err != nil {
				t.Fatal(err)
			}
			o := cleaned(t, s.URL)
			if o.Clean() || len(o.Unread) == 0 || len(o.Deleted) > 0 {
				t.Errorf("clean %v, deleted %v", o.Clean(), o.Deleted)
			}
			for _, r := range s.Faults.Requests() {
				if r.Method != "GET" && !strings.HasSuffix(r.Path, ":getIamPolicy") && r.Path != "/compute.googleapis.com"+batchPath {
					t.Errorf("%s %s", r.Method, r.Path)
				}
			}
		})
	}
}

func TestDeletes(t *testing.T) { // GS-5, GS-6
	const image = "- key: compute global/images/i\n"
	for name, c := range map[string]struct {
		fault fault.Rule
		clean bool
	}{
		"gone already":             {fault.Rule{Method: "DELETE", Action: "status", Status: 404, After: true, Nth: 1}, true},
		"the answer is lost":       {fault.Rule{Method: "DELETE", Action: "reset", After: true, Nth: 1}, true},
		"throttled once":           {fault.Rule{Method: "DELETE", Action: "status", Status: 429, Nth: 1}, true},
		"throttled with a 403":     {fault.Rule{Method: "DELETE", Action: "status", Status: 403, Nth: 1, Body: `{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}`}, true},
		"refused for ever":         {fault.Rule{Method: "DELETE", Action: "status", Status: 403}, false},
		"broken for ever":          {fault.Rule{Method: "DELETE", Action: "status", Status: 500}, false},
		"in use for a while":       {fault.Rule{Method: "DELETE", Action: "status", Status: 400, Nth: 1, Times: 2, Body: `{"error": {"errors": [{"reason": "resourceInUseByAnotherResource"}]}}`}, true},
		"in use for ever":          {fault.Rule{Method: "DELETE", Action: "status", Status: 409}, false},
		"the operation fails":      {fault.Rule{Path: "/operations/", Action: "status", Status: 200, Body: `{"status": "DONE", "selfLink": "projects/lent/global/operations/o", "error": {"errors": [{"code": "X", "message": "no"}]}}`}, false},
		"the operation is in use":  {fault.Rule{Path: "/operations/", Action: "status", Status: 200, Nth: 1, Body: `{"status": "DONE", "selfLink": "projects/lent/global/operations/o", "error": {"errors": [{"code": "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"}]}}`}, true},
		"the operation is lost":    {fault.Rule{Path: "/operations/", Action: "status", Status: 404}, false},
		"the operation breaks off": {fault.Rule{Path: "/operations/", Action: "reset", Nth: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, world(image, enabled))
			if err := s.Faults.Inject(c.fault); err != nil {
				t.Fatal(err)
			}
			o := cleaned(t, s.URL)
			if left := s.GCE.Objects("lent"); o.Clean() != c.clean || slices.Contains(left, "compute global/images/i") == c.clean {
				t.Errorf("clean %v: %s; left %q", o.Clean(), o.Reason(), left)
			}
		})
	}
}

func TestIdentity(t *testing.T) { // GS-1
	s := cloudfake.Start(t, cloudfake.Options{}, world("", enabled))
	_, got, err := sweeper(t, s.URL).Account(t.Context(), "lent")
	if err != nil || got.ID != "lent" || got.Number != "42" || !slices.Equal(got.Within, []string{"folders/7"}) || got.Labels["pool"] != "boskos" {
		t.Errorf("%+v, %v", got, err)
	}
	all := sweeper(t, s.URL)
	all.opts.Parents = nil
	if _, got, err = all.Account(t.Context(), "lent"); err != nil || !slices.Equal(got.Within, []string{"folders/7", "organizations/9"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, body := range map[string]string{
		"deleted": `{"name": "projects/42", "projectId": "lent", "state": "DELETE_REQUESTED"}`,
		"no name": `{"projectId": "lent", "state": "ACTIVE"}`,
		"nothing": `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := cloudfake.Start(t, cloudfake.Options{}, world("", enabled))
			if err := s.Faults.Inject(fault.Rule{Path: "/v3/projects/", Action: "status", Status: 200, Body: body}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := sweeper(t, s.URL).Account(t.Context(), "lent"); err == nil {
				t.Error("believed")
			}
		})
	}
	if _, _, err := sweeper(t, s.URL).Account(t.Context(), "other"); err == nil {
		t.Error("a project that is not there was believed")
	}
	for _, endpoint := range []string{"http://example.org", "https://example.org", "http://user@127.0.0.1", "nonsense"} {
		if _, err := NewSweeper(t.Context(), SweepOptions{Endpoint: endpoint}); err == nil {
			t.Errorf("endpoint %s was taken", endpoint)
		}
	}
}

// Every row is what Google's own description of its API says: the path of the list, its parameters, its key, the time, and
// the path of the delete.
func TestRowsAgainstDiscovery(t *testing.T) { // GS-7
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Fatalf("the module google.golang.org/api, which has the descriptions, is not here: %v", err)
	}
	undescribed := []string{"lustre"} // of which the module has none
	known := map[string]discovery{}
	for _, r := range append(rows(), keyInventory()) {
		if r.split != nil {
			continue // it has no list of its own: its items stand in those of its parent
		}
		t.Run(r.name, func(t *testing.T) {
			service := strings.TrimSuffix(r.api, ".googleapis.com")
			if slices.Contains(undescribed, service) {
				if _, err := os.Stat(filepath.Join(dir, service)); err == nil {
					t.Error("the module describes it by now")
				}
				t.Skip("the module has no description of " + service)
			}
			if _, ok := known[service]; !ok {
				known[service] = described(t, dir, service, path.Base(r.base))
			}
			d := known[service]
			if r.read != nil {
				for _, verb := range []string{"getIamPolicy", "setIamPolicy"} {
					if m := d.Resources["projects"].Methods[verb]; m.HTTPMethod != "POST" || m.FlatPath != "v3/projects/{projectsId}:"+verb {
						t.Errorf("%s is %s %s", verb, m.HTTPMethod, m.FlatPath)
					}
				}
				return
			}
			if err := d.check(r); err != nil {
				t.Error(err)
			}
			if r.batched() && "/"+d.BatchPath != batchPath {
				t.Errorf("requests in a request go to %s", d.BatchPath)
			}
		})
	}
}

type discovery struct {
	ServicePath string
	BatchPath   string
	Schemas     map[string]struct {
		Properties map[string]struct {
			Type  string
			Ref   string `json:"$ref"`
			Items struct {
				Ref string `json:"$ref"`
			}
			AdditionalProperties struct {
				Ref string `json:"$ref"`
			}
		}
	}
	resource
}

type resource struct {
	Resources map[string]resource
	Methods   map[string]struct {
		HTTPMethod     string
		Path, FlatPath string
		Parameters     map[string]any
		Response       struct {
			Ref string `json:"$ref"`
		}
	}
}

func described(t *testing.T, dir, service, version string) discovery {
	t.Helper()
	raw, err := os.ReadFile(path.Join(dir, service, version, service+"-api.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d discovery
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// shape makes paths comparable: what is in braces, and a location, is any word.
func shape(p string) string {
	p = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(p, "*")
	for _, word := range []string{"/-/", "/-/", "/global/hubs", "/global/keys"} {
		p = strings.ReplaceAll(p, word, strings.NewReplacer("-", "*", "global", "*").Replace(word))
	}
	return p
}

func (d discovery) check(r row) error {
	list := r.base + "/projects/{p}/" + r.list
	if strings.HasPrefix(r.list, "/") {
		list = r.base + strings.Replace(r.list, "{parent}", map[string]string{
			"iam.serviceAccounts": "projects/{p}/serviceAccounts/{a}", "kmsinventory.cryptoKeys": "projects/{p}/locations/{l}/keyRings/{r}/cryptoKeys/{k}",
		}[r.parent], 1)
	}
	var answers, deletes bool
	var faults []error
	var walk func(resource)
	walk = func(at resource) {
		for _, m := range at.Methods {
			p := shape(d.ServicePath + m.Path)
			if m.FlatPath != "" {
				p = shape(d.ServicePath + m.FlatPath)
			}
			switch {
			case m.HTTPMethod == "GET" && p == shape(list):
				answers = true
				for parameter := range r.query {
					if m.Parameters[parameter] == nil {
						faults = append(faults, fmt.Errorf("the list takes no %s", parameter))
					}
				}
				faults = append(faults, d.items(r, m.Response.Ref))
			case m.HTTPMethod == "DELETE" && (p == shape(list)+"/*" || strings.HasPrefix(r.list, "aggregated/") && strings.HasSuffix(p, "/"+path.Base(r.list)+"/*")):
				deletes = true
				for parameter := range r.purge {
					if m.Parameters[parameter] == nil {
						faults = append(faults, fmt.Errorf("the delete takes no %s", parameter))
					}
				}
			}
		}
		for _, below := range at.Resources {
			walk(below)
		}
	}
	walk(d.resource)
	if !answers {
		faults = append(faults, fmt.Errorf("no list at %s", shape(list)))
	}
	if !deletes && r.remove == nil && r.api != "kmsinventory.googleapis.com" {
		faults = append(faults, fmt.Errorf("no delete below %s", shape(list)))
	}
	return errors.Join(faults...)
}

// items checks the key of a list and the field of the time.
func (d discovery) items(r row, ref string) error {
	answer := d.Schemas[ref]
	one := answer.Properties[r.items].Items.Ref
	if strings.HasPrefix(r.list, "aggregated/") {
		scoped := answer.Properties["items"].AdditionalProperties.Ref
		one = d.Schemas[scoped].Properties[r.items].Items.Ref
	}
	if one == "" && r.name != "bigquery.datasets" { // whose items are described in place
		return fmt.Errorf("%s has no list %s", ref, r.items)
	}
	if r.created != "" {
		if _, ok := d.Schemas[one].Properties[r.created]; !ok {
			return fmt.Errorf("%s has no %s", one, r.created)
		}
	}
	return nil
}

// Boskos's janitor cleans these kinds, or misses them; a row that goes missing would leave them in the project. Each line is a kind,
// as Boskos or gcloud names it, and the rows that sweep it.
const specified = `
secondary ranges of subnetworks        compute.secondaryIpRanges compute.subnetworks
clusters, at four endpoints            container.clusters
secrets                                secretmanager.secrets
keys of service accounts               iam.keys
network peerings                       compute.peerings
file instances                         file.instances
parallelstore instances                parallelstore.instances
lustre instances, at three endpoints   lustre.instances
instances                              compute.instances
addresses                              compute.addresses
disks                                  compute.disks
firewall-rules                         compute.firewalls
forwarding-rules                       compute.forwardingRules
target-http-proxies                    compute.targetHttpProxies
target-https-proxies                   compute.targetHttpsProxies
target-tcp-proxies                     compute.targetTcpProxies
ssl-policies                           compute.sslPolicies
ssl-certificates                       compute.sslCertificates
url-maps                               compute.urlMaps
backend-services                       compute.backendServices
target-pools                           compute.targetPools
security-policies                      compute.securityPolicies
health-checks                          compute.healthChecks
http-health-checks                     compute.httpHealthChecks
instance-groups managed, unmanaged     compute.instanceGroupManagers compute.instanceGroups
instance-templates                     compute.instanceTemplates
sole-tenancy node-groups               compute.nodeGroups
sole-tenancy node-templates            compute.nodeTemplates
network-endpoint-groups                compute.networkEndpointGroups
routes                                 compute.routes
routers                                compute.routers
subnets                                compute.subnetworks
networks                               compute.networks
internal-ranges                        networkconnectivity.internalRanges
logging sinks                          logging.sinks
pubsub subscriptions                   pubsub.subscriptions
pubsub topics                          pubsub.topics
hub memberships, at three endpoints    gkehub.memberships

images                                 compute.images
snapshots                              compute.snapshots
machine-images                         compute.machineImages
vpn-tunnels                            compute.vpnTunnels
vpn gateways, of both sorts            compute.vpnGateways compute.targetVpnGateways
external vpn gateways                  compute.externalVpnGateways
interconnects                          compute.interconnects compute.interconnectAttachments
target-ssl-proxies                     compute.targetSslProxies
target-grpc-proxies                    compute.targetGrpcProxies
target-instances                       compute.targetInstances
target-vpn-gateways                    compute.targetVpnGateways
backend-buckets                        compute.backendBuckets
https-health-checks                    compute.httpsHealthChecks
global and regional endpoint groups    compute.networkEndpointGroups
resource-policies                      compute.resourcePolicies
reservations                           compute.reservations
firewall-policies                      compute.firewallPolicies
service-attachments                    compute.serviceAttachments
private service connect                networkconnectivity.serviceConnectionPolicies compute.networkAttachments compute.forwardingRules
packet-mirroring                       compute.packetMirrorings
buckets of Cloud Storage               storage.buckets
artifact registry                      artifactregistry.repositories
cloud dns                              dns.managedZones dns.policies dns.responsePolicies
cloud sql                              sqladmin.instances
service accounts themselves            iam.serviceAccounts
iam bindings                           iam.bindings
cloud run                              run.services run.jobs run.workerPools
bigquery                               bigquery.datasets
kms                                    cloudkms.cryptoKeyVersions
`

func TestRowsCoverSpecification(t *testing.T) {
	have := map[string]bool{}
	for _, r := range rows() {
		have[r.name] = true
	}
	kinds := 0
	for line := range strings.Lines(specified) {
		kind, rows, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			continue
		}
		kinds++
		for _, row := range strings.Fields(rows) {
			if !have[row] {
				t.Errorf("%s: no row %s", kind, row)
			}
		}
	}
	if kinds != 67 {
		t.Errorf("%d kinds", kinds)
	}
	if _, err := sweep.NewTable((&project{}).all()); err != nil {
		t.Error(err)
	}
}

// Every row lists something in a project that has one object of every kind, deletes it, and asks nothing but what the fake knows.
func TestEveryRowSweeps(t *testing.T) {
	var objects, services strings.Builder
	want := map[string]bool{}
	for _, r := range rows() {
		key, fields := sample(r)
		want[r.name] = true
		if service := strings.TrimSuffix(r.api, ".googleapis.com"); !strings.Contains(services.String(), " "+r.api+",") {
			fmt.Fprintf(&services, " %s.googleapis.com,", service)
		}
		if key != "" {
			fmt.Fprintf(&objects, "- key: %q\n  fields: {%s}\n", key, strings.ReplaceAll(fields, "LINK", link))
		}
	}
	objects.WriteString("- key: kmsinventory locations/us/keyRings/r/cryptoKeys/k\n")
	text := granted(world(objects.String(), strings.TrimSuffix(services.String(), ",")))
	s := cloudfake.Start(t, cloudfake.Options{}, text)
	run := &sweep.Sweep{Table: table(t, sweeper(t, s.URL)), Pause: time.Millisecond}
	v, err := run.Look(t.Context())
	if err != nil || len(v.Unread) > 0 {
		t.Fatal(v.Reason(), err)
	}
	for _, step := range v.Plan.Steps {
		delete(want, step.Change.Kind)
	}
	if len(want) > 0 {
		t.Errorf("nothing found of %v", want)
	}
	o, err := run.Clean(t.Context(), v)
	if err != nil || !o.Clean() {
		t.Errorf("not clean: %s, %v", o.Reason(), err)
	}
}

// sample is an object of a row, as the fake takes it; "" for what the world has already.
func sample(r row) (key, fields string) {
	service := strings.TrimSuffix(r.api, ".googleapis.com")
	last := r.list[strings.LastIndex(r.list, "/")+1:]
	zonal := []string{"instances", "disks", "instanceGroups", "instanceGroupManagers", "autoscalers", "reservations", "nodeGroups", "targetInstances", "instantSnapshots", "networkEndpointGroups"}
	global := []string{"instanceTemplates", "firewallPolicies", "urlMaps", "backendServices", "healthChecks"}
	switch r.name {
	case "iam.bindings":
		return "", ""
	case "compute.peerings":
		return "compute global/networks/peered", "peerings: [{name: to-other, network: elsewhere}]"
	case "compute.secondaryIpRanges":
		return "compute regions/europe-west4/subnetworks/default", `network: "LINKglobal/networks/default", secondaryIpRanges: [{rangeName: a}]`
	case "compute.firewallPolicies":
		return "compute global/firewallPolicies/x", "associations: []"
	case "storage.buckets":
		return "storage b/lent-x", ""
	case "iam.serviceAccounts":
		return "iam serviceAccounts/e2e@lent.iam.gserviceaccount.com", ""
	case "iam.keys":
		return "iam serviceAccounts/e2e@lent.iam.gserviceaccount.com/keys/x", ""
	case "cloudkms.cryptoKeyVersions":
		return "cloudkms locations/us/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", ""
	}
	if service == "compute" {
		switch {
		case strings.HasPrefix(r.list, "global/"), slices.Contains(global, last):
			return "compute global/" + last + "/x", ""
		case slices.Contains(zonal, last):
			return "compute zones/us-central1-a/" + last + "/x", ""
		}
		return "compute regions/us-central1/" + last + "/x", ""
	}
	path := strings.NewReplacer("locations/-/backupPlans/-", "locations/us-central1/backupPlans/x", "locations/-/restorePlans/-", "locations/us-central1/restorePlans/x",
		"locations/-", "locations/us-central1", "{location}", "us-central1").Replace(r.list)
	return service + " " + path + "/x", ""
}

func (p *project) all() []sweep.Kind {
	var kinds []sweep.Kind
	for _, r := range rows() {
		kinds = append(kinds, p.kind(r))
	}
	return kinds
}
