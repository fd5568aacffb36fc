// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/git"
	"sigs.k8s.io/steward/internal/nameserver"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/zone"
)

const dnsData = "../../../shared/data"

// dnsWorld is a declared DNS and servers that serve it.
type dnsWorld struct {
	config  *zone.Config
	cloud   *cloudfake.Server
	servers []*cloudfake.NameServer
	finder  *nameserver.Finder
	options nameserver.Options
}

// serveDNS serves a configuration from several servers; the first gives transfers.
func serveDNS(t testing.TB, config *zone.Config, servers int) *dnsWorld {
	t.Helper()
	w := &dnsWorld{
		config: config, cloud: cloudfake.New(cloudfake.Options{}),
		finder:  &nameserver.Finder{Zones: map[string][]string{}, Hosts: map[string][]string{}},
		options: nameserver.Options{Timeout: 10 * time.Second, Backoff: time.Millisecond, Rate: 1e6},
	}
	for i := range servers {
		n, err := w.cloud.DNS.Add(fmt.Sprintf("s%d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		n.AllowTransfer(i == 0)
		w.servers = append(w.servers, n)
	}
	w.serve(config)
	_, stop, err := w.cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	for _, z := range config.Zones {
		for _, n := range w.servers {
			w.finder.Zones[z.Name] = append(w.finder.Zones[z.Name], n.Addr())
		}
	}
	return w
}

// serve replaces what all servers serve.
func (w *dnsWorld) serve(config *zone.Config) {
	for _, n := range w.servers {
		n.Clear()
		for _, z := range config.Zones {
			n.Load(z)
		}
	}
}

// knowHosts gives the name servers of all delegations to configured zones an address.
func (w *dnsWorld) knowHosts() {
	for _, z := range w.config.Zones {
		for _, d := range z.Delegations() {
			if w.config.Zone(d.Name) != nil {
				for _, host := range d.Values {
					w.finder.Hosts[host] = []string{w.servers[0].Addr()}
				}
			}
		}
	}
}

func (w *dnsWorld) collector() *dns {
	c := newDNS(w.config, nameserver.Reader{Client: nameserver.New(w.options), Finder: w.finder})
	c.label = func() string { return "steward-audit-0" }
	return c
}

func (w *dnsWorld) run(t testing.TB) audit.Outcome {
	t.Helper()
	out, err := audit.Run(t.Context(), w.collector(), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// on makes a change on some servers.
func (w *dnsWorld) on(t testing.TB, do func(*cloudfake.NameServer) error, servers ...int) {
	t.Helper()
	for _, i := range servers {
		if err := do(w.servers[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func loadDNS(t testing.TB, files fs.FS) *zone.Config {
	t.Helper()
	config, _, err := zone.Load(files, dnsConfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// smallDNS is a repository with the zone a.io. and its canary.
func smallDNS(content string) fstest.MapFS {
	return fstest.MapFS{
		dnsConfig: {Data: []byte("providers: {config: {class: octodns.provider.yaml.YamlProvider, directory: zone-configs}}\n" +
			"zones: {a.io.: {sources: [config]}}\n")},
		"dns/zone-configs/a.io._0_base.yaml": {Data: []byte(content)},
	}
}

const smallZone = `
'':
- {type: A, value: 192.0.2.1}
- {type: MX, value: {preference: 1, exchange: mx.b.io.}}
www: {type: CNAME, value: a.netlify.app.}
t: {type: TXT, value: hello}
'*.docs': {type: CNAME, value: docs.netlify.app.}
x.docs: {type: A, value: 0.0.0.0}
child: {type: NS, values: [ns1.b.io., ns2.b.io.]}
`

// dnsBrief is the rule and the object of each finding, sorted.
func dnsBrief(all []finding.Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, f.Rule+" "+f.Object)
	}
	slices.Sort(out)
	return out
}

func realDNS(t testing.TB) *zone.Config {
	t.Helper()
	tree := filepath.Join(dnsData, "k8s.io")
	if _, err := os.Stat(tree); err != nil {
		t.Skip("real data is not here: " + tree)
	}
	return loadDNS(t, os.DirFS(tree))
}

// The real zones, served as they are declared: nothing to say.
func TestDNSOfRealTreeIsClean(t *testing.T) {
	w := serveDNS(t, realDNS(t), 2)
	w.knowHosts()
	out := w.run(t)
	if len(out.Findings) > 0 || !out.Coverage.Complete() || out.Held != nil {
		t.Errorf("%v\n%+v", dnsBrief(out.Findings), out.Coverage)
	}
	if len(out.Notes) > 0 {
		t.Errorf("one server gives everything, and still %q", out.Notes)
	}
}

// dnsSeeds is what the real zones are changed by: ten records for each kind of change, none
// twice, chosen by chance from a seed.
func dnsSeeds(config *zone.Config) map[string][]*zone.Record {
	var all []*zone.Record
	for _, z := range config.Zones {
		for i := range z.Records {
			// A delegation to a zone that the same servers serve is answered from there.
			if r := &z.Records[i]; r.Type != "NS" || config.Zone(r.Name) == nil {
				all = append(all, r)
			}
		}
	}
	rng := rand.New(rand.NewPCG(7, 42))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	chosen := map[string][]*zone.Record{}
	for i, kind := range []string{"missing", "undeclared", "value", "ttl", "disagreement"} {
		chosen[kind] = all[i*10 : i*10+10]
	}
	return chosen
}

// dnsOther is a set with other values of the same type.
func dnsOther(set zone.RRset) zone.RRset {
	values := map[string]string{
		"A": "192.0.2.200", "AAAA": "2001:db8::200", "CNAME": "seeded.example.net.", "TXT": "seeded", "MX": "77 seeded.example.net.",
		"CAA": `0 issue "seeded.example.net"`, "SRV": "1 1 1 seeded.example.net.", "NS": "ns1.seeded.example.net.",
	}
	set.Values = []string{values[set.Type]}
	return set
}

func dnsZoneOf(config *zone.Config, name string) string {
	found := ""
	for _, z := range config.Zones {
		if (name == z.Name || strings.HasSuffix(name, "."+z.Name)) && len(z.Name) > len(found) {
			found = z.Name
		}
	}
	return found
}

// Ten seeded changes of each kind in the real zones: each is found, by its own rule, at
// the line that declares the record, and nothing else is.
func TestDNSFindsSeededChanges(t *testing.T) {
	config := realDNS(t)
	w := serveDNS(t, config, 2)
	w.knowHosts()
	var want []string
	for kind, records := range dnsSeeds(config) {
		for i, r := range records {
			z := dnsZoneOf(config, r.Name)
			set := func(set zone.RRset) func(*cloudfake.NameServer) error {
				return func(n *cloudfake.NameServer) error { return n.Set(z, set) }
			}
			changed := r.RRset
			switch kind {
			case "missing":
				want = append(want, "DNS-1 "+r.Key().String())
				w.on(t, func(n *cloudfake.NameServer) error { return n.Remove(z, r.Key()) }, 0, 1)
			case "undeclared":
				changed = zone.RRset{Name: fmt.Sprintf("seeded-%d.%s", i, z), Type: []string{"A", "CNAME", "TXT", "NS"}[i%4], TTL: 60}
				changed = dnsOther(changed)
				want = append(want, "DNS-2 "+changed.Key().String())
				w.on(t, set(changed), 0, 1)
			case "value":
				want = append(want, "DNS-3 "+r.Key().String())
				w.on(t, set(dnsOther(changed)), 0, 1)
			case "ttl":
				changed.TTL += 7
				want = append(want, "DNS-4 "+r.Key().String())
				w.on(t, set(changed), 0, 1)
			case "disagreement":
				want = append(want, "DNS-5 "+r.Key().String())
				w.on(t, set(dnsOther(changed)), 1)
			}
		}
	}
	slices.Sort(want)
	out := w.run(t)
	if got := dnsBrief(out.Findings); !slices.Equal(got, want) {
		t.Errorf("found %d, want %d\nonly found: %q\nonly wanted: %q", len(got), len(want), dnsWithout(got, want), dnsWithout(want, got))
	}
	if !out.Coverage.Complete() {
		t.Errorf("%+v", out.Coverage)
	}
	for _, f := range out.Findings {
		name, kind, _ := strings.Cut(f.Object, " ")
		r := config.Zone(dnsZoneOf(config, name)).Record(zone.Key{Name: name, Type: kind})
		if r != nil && (f.File != r.File || f.Line != r.Line) || r == nil && f.File == "" {
			t.Errorf("%s is placed at %s", f.Object, f.Position())
		}
	}
}

func dnsWithout(all, less []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(less, s) })
}

// dnsNaive compares two configurations the slow way: every pair of records by itself, with
// no thought for servers. It shares no code with package zone's Compare.
func dnsNaive(old, served *zone.Config) map[string]string {
	text := func(r zone.Record) string { return fmt.Sprint(r.Values) }
	found := map[string]string{}
	for _, z := range old.Zones {
		var now []zone.Record
		for _, other := range served.Zones {
			if other.Name == z.Name {
				now = other.Records
			}
		}
		for _, a := range z.Records {
			kind := "missing"
			for _, b := range now {
				if a.Name != b.Name || a.Type != b.Type {
					continue
				}
				kind = ""
				switch {
				case text(a) != text(b):
					kind = "value"
				case a.TTL != b.TTL:
					kind = "ttl"
				}
			}
			if kind != "" {
				found[a.Name+" "+a.Type] = kind
			}
		}
		for _, b := range now {
			if !slices.ContainsFunc(z.Records, func(a zone.Record) bool { return a.Name == b.Name && a.Type == b.Type }) {
				found[b.Name+" "+b.Type] = "undeclared"
			}
		}
	}
	return found
}

// dnsKindOf is what a finding says, in the words of dnsNaive.
func dnsKindOf(f finding.Finding) string {
	switch f.Rule {
	case "DNS-1":
		return "missing"
	case "DNS-2":
		return "undeclared"
	case "DNS-3":
		return "value"
	case "DNS-4":
		return "ttl"
	case "DNS-TAKEOVER":
		if f.Declared == "" {
			return "undeclared"
		}
		return "value"
	}
	return f.Rule
}

// dnsHistory opens the real states of dns/, oldest first.
func dnsHistory(t testing.TB) []fs.FS {
	t.Helper()
	bundle, err := filepath.Abs(filepath.Join(dnsData, "dns-history.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bundle); err != nil {
		t.Skip("real data is not here: " + bundle)
	}
	dir := filepath.Join(t.TempDir(), "clone")
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("clone", "--quiet", "--bare", bundle, dir)
	repo, err := git.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := repo.Close(); err != nil {
			t.Error(err)
		}
	})
	var states []fs.FS
	for _, id := range strings.Fields(run("-C", dir, "rev-list", "--reverse", "HEAD")) {
		files, err := repo.FS(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, files)
	}
	return states
}

// Every change of a year of real history, as if the old state were declared and the new
// one served.
func TestDNSReplaysHistory(t *testing.T) {
	states := dnsHistory(t)
	if len(states) != 29 {
		t.Fatalf("%d states", len(states))
	}
	changes := 0
	for i := 1; i < len(states); i++ {
		old, now := loadDNS(t, states[i-1]), loadDNS(t, states[i])
		w := serveDNS(t, old, 1)
		w.serve(now)
		want := dnsNaive(old, now)
		changes += len(want)
		got := map[string]string{}
		out := w.run(t)
		for _, f := range out.Findings {
			got[f.Object] = dnsKindOf(f)
		}
		if !maps.Equal(got, want) || !out.Coverage.Complete() {
			t.Errorf("state %d: found %v, want %v", i, got, want)
		}
	}
	if changes < 40 {
		t.Errorf("only %d changes in 28 steps: what was replayed?", changes)
	}
}

// What is asked by queries only finds the same, but for names that nobody declares.
func TestDNSReplaysHistoryByQueries(t *testing.T) {
	states := dnsHistory(t)
	old, now := loadDNS(t, states[0]), loadDNS(t, states[len(states)-1])
	w := serveDNS(t, old, 2)
	w.servers[0].AllowTransfer(false)
	w.serve(now)
	want := dnsNaive(old, now)
	for object, kind := range want {
		name, _, _ := strings.Cut(object, " ")
		z := old.Zone(dnsZoneOf(old, name))
		if kind == "undeclared" && !slices.ContainsFunc(z.Questions(), func(q zone.Question) bool { return q.Name == name }) {
			delete(want, object)
		}
	}
	out := w.run(t)
	got := map[string]string{}
	for _, f := range out.Findings {
		got[f.Object] = dnsKindOf(f)
	}
	if out.Held != nil {
		delete(got, "dns") // the brake; the year's losses are many
		maps.DeleteFunc(want, func(_, kind string) bool { return kind == "missing" })
	}
	if !maps.Equal(got, want) || !out.Coverage.Complete() {
		t.Errorf("found %v\nwant %v", got, want)
	}
	if len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "k8s.io") {
		t.Errorf("notes %q", out.Notes)
	}
}

// sweptZone has one name of each kind, so that the sweep is not longer than it has to be.
const sweptZone = `
'': {type: A, value: 192.0.2.1}
www: {type: CNAME, value: a.netlify.app.}
t: {type: TXT, value: hello}
'*.docs': {type: CNAME, value: docs.netlify.app.}
child: {type: NS, values: [ns1.b.io., ns2.b.io.]}
`

// Every request of a run meets every fault. One server lying, silent or broken never
// makes anything absent, nothing is found that is not so, and what was not read is named.
func TestDNSFaultSweep(t *testing.T) {
	config := loadDNS(t, smallDNS(sweptZone))
	faults := map[string]fault.Rule{
		"REFUSED": {Action: "status", Status: 403}, "SERVFAIL": {Action: "status", Status: 500}, "lie": {Action: "status", Status: 404},
		"silence": {Action: "hang"}, "reset": {Action: "reset"}, "cut": {Action: "truncate"},
	}
	for _, lost := range []bool{false, true} {
		w := serveDNS(t, config, 2)
		w.finder.Hosts = map[string][]string{"ns1.b.io.": {w.servers[0].Addr()}}
		w.on(t, func(n *cloudfake.NameServer) error {
			n.Load(&zone.Zone{Name: "child.a.io."})
			return n.Set("child.a.io.", zone.RRset{Name: "child.a.io.", Type: "NS", TTL: 60, Values: []string{"ns1.b.io.", "ns2.b.io."}})
		}, 0)
		var truth []string
		if lost {
			truth = []string{"DNS-1 t.a.io. TXT"}
			w.on(t, func(n *cloudfake.NameServer) error { return n.Remove("a.io.", zone.Key{Name: "t.a.io.", Type: "TXT"}) }, 0, 1)
		}
		clean := w.run(t)
		if got := dnsBrief(clean.Findings); !slices.Equal(got, truth) || !clean.Coverage.Complete() {
			t.Fatalf("clean run: %v, %+v", got, clean.Coverage)
		}
		w.options = nameserver.Options{Timeout: 25 * time.Millisecond, Attempts: 2, Backoff: time.Millisecond, Rate: 1e6, TransferTimeout: time.Second}
		requests := dnsRequests(w.cloud.Faults.Requests())
		if len(requests) < 40 {
			t.Fatalf("only %d requests", len(requests))
		}
		for _, r := range requests {
			for name, rule := range faults {
				if lost && name != "lie" && r.Method == "QUERY" && !strings.Contains(r.Path, "/t.a.io./") {
					continue // the first world has told
				}
				rule.Method, rule.Path = r.Method, "^"+regexp.QuoteMeta(r.Path)+"$"
				w.cloud.Faults.Heal()
				if err := w.cloud.Faults.Inject(rule); err != nil {
					t.Fatal(err)
				}
				checkDNSFault(t, fmt.Sprintf("%s of %s %s", name, r.Method, r.Path), name, r, w.run(t), truth)
			}
		}
		w.cloud.Faults.Heal()
	}
}

func dnsRequests(all []fault.Request) []fault.Request {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(all), func(r fault.Request) bool {
		known := seen[r.Method+r.Path]
		seen[r.Method+r.Path] = true
		return known
	})
}

// checkDNSFault judges a run in which one request met a fault.
func checkDNSFault(t *testing.T, about, kind string, r fault.Request, out audit.Outcome, truth []string) {
	t.Helper()
	for _, f := range out.Findings {
		short := f.Rule + " " + f.Object
		switch {
		case slices.Contains(truth, short):
		case kind == "lie" && (f.Rule == "DNS-5" || f.Rule == "DNS-7"):
		case kind == "lie" && f.Rule == "DNS-DANGLING" && strings.HasPrefix(r.Path, "/s1/child.a.io./child.a.io./SOA"):
		case kind == "REFUSED" && f.Rule == "DNS-DANGLING" && strings.HasPrefix(r.Path, "/s1/child.a.io./child.a.io./SOA"):
			// A refusal is what a server says that does not serve the child.
		default:
			t.Errorf("%s: %s %s", about, short, f.Observed)
		}
	}
	refusedTransfer := r.Method == "AXFR" && (kind == "REFUSED" || kind == "reset") || r.Method == "AXFR" && strings.HasPrefix(r.Path, "/s2/")
	told := len(out.Findings) > len(truth) || refusedTransfer || len(out.Coverage.Gaps) > 0
	if !told && kind != "lie" && kind != "cut" {
		t.Errorf("%s: nothing says so", about)
	}
	if kind == "silence" || kind == "SERVFAIL" {
		named := strings.Contains(r.Path, "/child.a.io./child") && strings.Contains(fmt.Sprint(out.Coverage.Gaps), "delegation child.a.io.") ||
			slices.ContainsFunc(out.Coverage.Gaps, func(g finding.Gap) bool { return strings.HasPrefix(g.Scope, "a.io.@") && g.Detail != "" })
		if out.Coverage.Complete() || !named {
			t.Errorf("%s: gaps %+v", about, out.Coverage.Gaps)
		}
	}
}

// Hostile servers cost what the bounds say and make nothing absent.
func TestDNSHostileServers(t *testing.T) {
	config := loadDNS(t, smallDNS(smallZone))
	for _, how := range []string{
		cloudfake.WrongID, cloudfake.WrongQuestion, cloudfake.Loop, cloudfake.Giant, cloudfake.EndlessTransfer, cloudfake.ForeignTransfer,
	} {
		t.Run(how, func(t *testing.T) {
			w := serveDNS(t, config, 2)
			w.options = nameserver.Options{Timeout: 100 * time.Millisecond, Attempts: 2, Backoff: time.Millisecond, Rate: 1e6, MaxRecords: 2000}
			w.on(t, func(n *cloudfake.NameServer) error { n.AllowTransfer(true); return n.Hostile(how) }, 1)
			out := w.run(t)
			for _, f := range out.Findings {
				if how != cloudfake.Giant || f.Rule != "DNS-5" && f.Rule != "DNS-2" {
					t.Errorf("%s %s", f.Rule, f.Object)
				}
				if len(f.Observed) > 3000 {
					t.Errorf("%d bytes are shown", len(f.Observed))
				}
			}
			if how != cloudfake.Giant && out.Coverage.Complete() {
				t.Errorf("complete: %+v", out.Coverage)
			}
		})
	}
}

// What would help an attacker is private, and a credential is nowhere: not in what is
// stored, not in any finding, not in any public report.
func TestDNSKeepsSecrets(t *testing.T) {
	token := "ghp_" + strings.Repeat("x1", 18)
	old := "old-site.github.io."
	config := loadDNS(t, smallDNS(smallZone+"s: {type: TXT, value: fine}\n"))
	w := serveDNS(t, config, 2)
	w.finder.Hosts["ns1.b.io."], w.finder.Hosts["ns2.b.io."] = []string{w.servers[0].Addr()}, []string{w.servers[1].Addr()}
	for _, set := range []zone.RRset{
		{Name: "s.a.io.", Type: "TXT", TTL: 60, Values: []string{"token " + token}},
		{Name: "u.a.io.", Type: "TXT", TTL: 60, Values: []string{token}},
		{Name: "t.a.io.", Type: "CAA", TTL: 60, Values: []string{`0 iodef "https://x:` + "hunter22" + `@b.io/"`}},
		{Name: "old.a.io.", Type: "CNAME", TTL: 60, Values: []string{old}},
	} {
		w.on(t, func(n *cloudfake.NameServer) error { return n.Set("a.io.", set) }, 0, 1)
	}
	c := w.collector()
	units, err := c.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	readings := map[string]audit.Reading{}
	for _, u := range units {
		r, err := c.Read(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(r)
		if err != nil || bytes.Contains(raw, []byte(token)) || bytes.Contains(raw, []byte("hunter22")) {
			t.Errorf("the reading of %s holds a credential: %s, %v", u, raw, err)
		}
		readings[u] = r
	}
	compared, err := c.Compare(readings)
	if err != nil {
		t.Fatal(err)
	}
	private := map[string]int{}
	for _, f := range compared.Found {
		if f.Visibility == finding.Private {
			private[f.Rule]++
		}
		if text := fmt.Sprintf("%+v", f); strings.Contains(text, token) || strings.Contains(text, "hunter22") {
			t.Errorf("shown: %s", text)
		}
	}
	if want := map[string]int{"DNS-SECRET": 3, "DNS-TAKEOVER": 1, "DNS-DANGLING": 1, "DNS-2": 2, "DNS-3": 1}; !maps.Equal(private, want) {
		t.Errorf("private: %v, want %v", private, want)
	}
	checkDNSPublic(t, compared.Found, token, "hunter22", old, "old.a.io", "s.a.io", "u.a.io", "child.a.io")
}

// checkDNSPublic writes every public report and looks for words.
func checkDNSPublic(t *testing.T, found []finding.Finding, words ...string) {
	t.Helper()
	for _, format := range report.Formats() {
		var out bytes.Buffer
		if err := report.Write(&out, format, found, report.Options{}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		for _, word := range words {
			if strings.Contains(out.String(), word) {
				t.Errorf("the public %s report holds %q", format, word)
			}
		}
	}
}

// A wildcard that nobody declares is seen without a transfer, and so are types that
// nobody declares at names that somebody does.
func TestDNSSeesByQueries(t *testing.T) {
	for name, c := range map[string]struct {
		set  zone.RRset
		want string
	}{
		"wildcard of A":    {zone.RRset{Name: "*.a.io.", Type: "A", TTL: 60, Values: []string{"192.0.2.66"}}, "DNS-2 *.a.io. A"},
		"wildcard of MX":   {zone.RRset{Name: "*.a.io.", Type: "MX", TTL: 60, Values: []string{"1 b.io."}}, "DNS-2 *.a.io. MX"},
		"wildcard to SaaS": {zone.RRset{Name: "*.a.io.", Type: "CNAME", TTL: 60, Values: []string{"x.vercel.app."}}, "DNS-TAKEOVER *.a.io. CNAME"},
		"type":             {zone.RRset{Name: "t.a.io.", Type: "AAAA", TTL: 60, Values: []string{"2001:db8::66"}}, "DNS-2 t.a.io. AAAA"},
		"implied name":     {zone.RRset{Name: "docs.a.io.", Type: "A", TTL: 60, Values: []string{"192.0.2.66"}}, "DNS-2 docs.a.io. A"},
		"delegation":       {zone.RRset{Name: "docs.a.io.", Type: "NS", TTL: 60, Values: []string{"ns.b.io."}}, "DNS-1 *.docs.a.io. CNAME, DNS-1 x.docs.a.io. A, DNS-2 docs.a.io. NS"},
		"DS":               {zone.RRset{Name: "child.a.io.", Type: "DS", TTL: 60, Values: []string{"1 8 2 ab"}}, "DNS-2 child.a.io. DS"},
	} {
		t.Run(name, func(t *testing.T) {
			w := serveDNS(t, loadDNS(t, smallDNS(smallZone)), 1)
			w.servers[0].AllowTransfer(false)
			w.on(t, func(n *cloudfake.NameServer) error { return n.Set("a.io.", c.set) }, 0)
			out := w.run(t)
			if got := strings.Join(dnsBrief(out.Findings), ", "); got != c.want || !out.Coverage.Complete() {
				t.Errorf("%s, want %s; %+v", got, c.want, out.Coverage.Gaps)
			}
			if len(out.Notes) != 1 {
				t.Errorf("notes %q", out.Notes)
			}
		})
	}
}

// A removed name under a declared wildcard is missing, not changed into the wildcard.
func TestDNSMissingBelowWildcard(t *testing.T) {
	w := serveDNS(t, loadDNS(t, smallDNS(smallZone)), 2)
	w.on(t, func(n *cloudfake.NameServer) error {
		return n.Remove("a.io.", zone.Key{Name: "x.docs.a.io.", Type: "A"})
	}, 0, 1)
	if got := dnsBrief(w.run(t).Findings); !slices.Equal(got, []string{"DNS-1 x.docs.a.io. A"}) {
		t.Errorf("%v", got)
	}
}

// Units that cannot be read say why, and the others are read.
func TestDNSUnits(t *testing.T) {
	files := smallDNS(smallZone)
	files[dnsConfig].Data = append(bytes.TrimSuffix(files[dnsConfig].Data, []byte("}\n")), []byte(", b.io.: {sources: [config]}, c.io.: {sources: [config]}, d.io.: {sources: [config]}}\n")...)
	files["dns/zone-configs/b.io.yaml"] = &fstest.MapFile{Data: []byte("x: [\n")}
	files["dns/zone-configs/c.io.yaml"] = &fstest.MapFile{Data: []byte("x: {type: A, value: 192.0.2.1}\ny: {type: A, value: nonsense}\n")}
	files["dns/zone-configs/d.io.yaml"] = &fstest.MapFile{Data: []byte("# nothing\n")}
	config := loadDNS(t, files)
	w := serveDNS(t, config, 2)
	w.on(t, func(n *cloudfake.NameServer) error {
		return n.Set("c.io.", zone.RRset{Name: "y.c.io.", Type: "A", TTL: 1, Values: []string{"192.0.2.9"}})
	}, 0, 1)
	delete(w.finder.Zones, "d.io.")
	units, err := w.collector().Units(t.Context())
	want := []string{
		"a.io.@" + w.servers[0].Addr(), "a.io.@" + w.servers[1].Addr(), "delegation child.a.io.", "b.io.",
		"c.io.@" + w.servers[0].Addr(), "c.io.@" + w.servers[1].Addr(), "d.io.",
	}
	slices.Sort(want[0:2])
	slices.Sort(want[4:6])
	if err != nil || !slices.Equal(units, want) {
		t.Fatalf("%q, %v", units, err)
	}
	out := w.run(t)
	var gaps []string
	for _, g := range out.Coverage.Gaps {
		gaps = append(gaps, fmt.Sprintf("%s %s", strings.Split(g.Scope, "@")[0], g.Reason))
	}
	if !slices.Equal(gaps, []string{"b.io. malformed", "c.io. malformed", "c.io. malformed", "d.io. not-found"}) || len(out.Findings) > 0 {
		t.Errorf("gaps %q, findings %v", gaps, dnsBrief(out.Findings))
	}
}

// A server of the zone that does not serve it is found, and a gap.
func TestDNSLameServer(t *testing.T) {
	w := serveDNS(t, loadDNS(t, smallDNS(smallZone)), 2)
	w.servers[1].Clear()
	w.servers[1].Load(&zone.Zone{Name: "io."})
	out := w.run(t)
	if got := dnsBrief(out.Findings); !slices.Equal(got, []string{"DNS-7 a.io. SOA"}) || len(out.Coverage.Gaps) != 1 || out.Coverage.Gaps[0].Reason != finding.NotFound {
		t.Errorf("%v, %+v", got, out.Coverage)
	}
}

// The servers' serials and the name servers that they name.
func TestDNSSerialAndNames(t *testing.T) {
	w := serveDNS(t, loadDNS(t, smallDNS(smallZone)), 2)
	w.finder.Zones["a.io."] = []string{"ns1.c.io=" + w.servers[0].Addr(), "ns2.c.io=" + w.servers[1].Addr()}
	w.on(t, func(n *cloudfake.NameServer) error { return n.SetSerial("a.io.", 7) }, 1)
	if got := dnsBrief(w.run(t).Findings); !slices.Equal(got, []string{"DNS-6 a.io. SOA", "DNS-8 a.io. NS"}) {
		t.Errorf("%v", got)
	}
}

// After many failures a server is left alone; what was not asked is unknown, and named
// once.
func TestDNSGivesUp(t *testing.T) {
	content := ""
	for i := range 200 {
		content += fmt.Sprintf("n%d: {type: A, value: 192.0.2.1}\n", i)
	}
	w := serveDNS(t, loadDNS(t, smallDNS(content)), 1)
	w.servers[0].AllowTransfer(false)
	w.options.Attempts = 1
	if err := w.cloud.Faults.Inject(fault.Rule{Method: "QUERY", Path: "/n[0-9]+.a.io./", Action: "status", Status: 500}); err != nil {
		t.Fatal(err)
	}
	out := w.run(t)
	if len(out.Findings) > 0 || len(out.Coverage.Gaps) > 60 {
		t.Errorf("%v, %d gaps", dnsBrief(out.Findings), len(out.Coverage.Gaps))
	}
	if n := len(w.cloud.Faults.Requests()); n > 100 {
		t.Errorf("%d requests to a server that is down", n)
	}
	if !strings.Contains(fmt.Sprint(out.Coverage.Gaps), "names") {
		t.Errorf("%+v", out.Coverage.Gaps)
	}
}

// A run that ends reads nothing more, and is no fault of the servers.
func TestDNSInterrupted(t *testing.T) {
	w := serveDNS(t, loadDNS(t, smallDNS(smallZone)), 2)
	c := w.collector()
	units, err := c.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, u := range units {
		if _, err := c.Read(ctx, u); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", u, err)
		}
	}
	if _, err := c.Units(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("units: %v", err)
	}
}

func BenchmarkDNSRealZones(b *testing.B) {
	w := serveDNS(b, realDNS(b), 2)
	b.ReportAllocs()
	for b.Loop() {
		if out := w.run(b); len(out.Findings) > 0 || !out.Coverage.Complete() {
			b.Fatal(out)
		}
	}
}
