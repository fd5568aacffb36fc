// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sigs.k8s.io/steward/internal/fault"
)

const dnsScenario = `
-- cloud.yaml --
dns:
  servers:
    ns1: {transfer: true}
    ns2: {zones: [a.io.]}
-- dns/octodns-config.yaml --
providers: {config: {class: octodns.provider.yaml.YamlProvider, directory: .}}
zones: {a.io.: {sources: [config]}, child.a.io.: {sources: [config]}}
-- dns/a.io.yaml --
'': {type: A, value: 192.0.2.1}
www: {type: CNAME, value: x.docs.a.io.}
x.docs: {type: A, value: 192.0.2.2}
'*.docs': {type: TXT, value: wild}
child: {type: NS, values: [ns1.b.io., ns2.b.io.]}
loop: {type: CNAME, value: loop.a.io.}
big: {type: TXT, values: ["1LONG", "2LONG", "3LONG", "4LONG"]}
-- dns/child.a.io.yaml --
x: {type: A, value: 192.0.2.3}
`

func startDNS(t *testing.T) *Running {
	t.Helper()
	return Start(t, Options{}, strings.ReplaceAll(dnsScenario, "LONG", strings.Repeat("x", 200)))
}

// askDNS sends a query with the library's own client and writes the answer in a line.
func askDNS(t *testing.T, network, addr, name, kind string) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.StringToType[kind])
	in, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(m, addr)
	if err != nil {
		return "error"
	}
	text := dns.RcodeToString[in.Rcode]
	if in.Authoritative {
		text += " aa"
	}
	if in.Truncated {
		text += " tc"
	}
	show := func(rrs []dns.RR) {
		var all []string
		for _, rr := range rrs {
			all = append(all, fmt.Sprintf("%s %s", rr.Header().Name, dns.Type(rr.Header().Rrtype)))
		}
		slices.Sort(all)
		text += fmt.Sprint(" ", slices.Compact(all))
	}
	show(in.Answer)
	show(in.Ns)
	return text
}

func TestNameServers(t *testing.T) {
	s := startDNS(t)
	at := s.DNS.Addresses()
	if want := "ns1=" + at["ns1"] + ",ns2=" + at["ns2"]; s.Parts["dns"] != want {
		t.Errorf("address %q, want %q", s.Parts["dns"], want)
	}
	for question, want := range map[string]string{
		"ns1 a.io. A":          "NOERROR aa [a.io. A] []",
		"ns1 a.io. MX":         "NOERROR aa [] [a.io. SOA]",
		"ns1 a.io. NS":         "NOERROR aa [a.io. NS] []",
		"ns1 a.io. SOA":        "NOERROR aa [a.io. SOA] []",
		"ns1 www.a.io. A":      "NOERROR aa [www.a.io. CNAME x.docs.a.io. A] []",
		"ns1 www.a.io. CNAME":  "NOERROR aa [www.a.io. CNAME] []",
		"ns1 loop.a.io. A":     "NOERROR aa [loop.a.io. CNAME] []",
		"ns1 docs.a.io. A":     "NOERROR aa [] [a.io. SOA]",
		"ns1 y.docs.a.io. TXT": "NOERROR aa [y.docs.a.io. TXT] []",
		"ns1 z.x.docs.a.io. A": "NXDOMAIN aa [] [a.io. SOA]", // x.docs exists, so that the wildcard does not reach below it
		"ns1 gone.a.io. A":     "NXDOMAIN aa [] [a.io. SOA]",
		"ns2 child.a.io. NS":   "NOERROR [] [child.a.io. NS]",
		"ns2 x.child.a.io. A":  "NOERROR [] [child.a.io. NS]",
		"ns2 child.a.io. DS":   "NOERROR aa [] [a.io. SOA]",
		"ns1 child.a.io. NS":   "NOERROR aa [child.a.io. NS] []",
		"ns1 child.a.io. DS":   "NOERROR aa [] [a.io. SOA]",
		"ns1 x.child.a.io. A":  "NOERROR aa [x.child.a.io. A] []",
		"ns1 b.io. A":          "REFUSED [] []",
		"ns1 big.a.io. TXT":    "NOERROR aa tc [big.a.io. TXT] []",
		"ns2 a.io. AXFR":       "REFUSED [] []",
	} {
		words := strings.Fields(question)
		if got := askDNS(t, "udp", at[words[0]], words[1], words[2]); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
		if words[2] == "TXT" && words[1] == "big.a.io." {
			if got := askDNS(t, "tcp", at["ns1"], words[1], "TXT"); got != "NOERROR aa [big.a.io. TXT] []" {
				t.Errorf("over TCP: %s", got)
			}
		}
	}
}

// The library's own transfer reads a zone.
func TestTransferOfNameServer(t *testing.T) {
	s := startDNS(t)
	m := new(dns.Msg)
	m.SetAxfr("a.io.")
	envelopes, err := new(dns.Transfer).In(m, s.DNS.Addresses()["ns1"])
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		records += len(e.RR)
	}
	// SOA twice, two NS at the top and two below, four TXT and five others.
	if records != 2+2+2+4+5 {
		t.Errorf("%d records", records)
	}
}

func TestFaultsOfNameServers(t *testing.T) {
	s := startDNS(t)
	addr := s.DNS.Addresses()["ns1"]
	for action, want := range map[string]string{
		`{"action":"status","status":403}`: "REFUSED [] []",
		`{"action":"secondary"}`:           "REFUSED [] []",
		`{"action":"status","status":404}`: "NXDOMAIN aa [] [a.io. SOA]",
		`{"action":"status","status":400}`: "FORMERR [] []",
		`{"action":"status","status":501}`: "NOTIMP [] []",
		`{"action":"status","status":503}`: "SERVFAIL [] []",
		`{"action":"reset"}`:               "error",
		`{"action":"delay","millis":1}`:    "NOERROR aa [a.io. A] []",
	} {
		for _, network := range []string{"udp", "tcp"} {
			s.Faults.Heal()
			var rule fault.Rule
			if err := json.Unmarshal([]byte(action), &rule); err != nil {
				t.Fatal(err)
			}
			rule.Method, rule.Path = "QUERY", "^/ns1/a.io./a.io./A$"
			if err := s.Faults.Inject(rule); err != nil {
				t.Fatal(err)
			}
			if got := askDNS(t, network, addr, "a.io.", "A"); got != want {
				t.Errorf("%s over %s: %s, want %s", action, network, got, want)
			}
			if got := askDNS(t, network, addr, "www.a.io.", "CNAME"); got != "NOERROR aa [www.a.io. CNAME] []" {
				t.Errorf("%s hits another name: %s", action, got)
			}
		}
	}
	s.Faults.Heal()
	if err := s.Faults.Inject(fault.Rule{Action: "truncate"}); err != nil {
		t.Fatal(err)
	}
	if got := askDNS(t, "udp", addr, "a.io.", "A"); got != "NOERROR aa tc [] []" {
		t.Errorf("truncate over UDP: %s", got)
	}
	if got := askDNS(t, "tcp", addr, "a.io.", "A"); got != "error" {
		t.Errorf("truncate over TCP: %s", got)
	}
}

func TestControlsOfNameServers(t *testing.T) {
	s := startDNS(t)
	post := func(what, body, want string) {
		t.Helper()
		if got := talk(t, "POST", s.URL+"/_fake/dns/"+what, body); !strings.HasPrefix(got, want) {
			t.Errorf("%s %s: %s, want %s", what, body, got, want)
		}
	}
	post("set", `{"server":"ns1","zone":"a.io.","name":"n.a.io.","type":"A","ttl":60,"values":["192.0.2.9"]}`, "200")
	post("set", `{"zone":"a.io.","name":"m.a.io.","type":"A","ttl":60,"values":["192.0.2.9"]}`, "200") // at all
	post("set", `{"server":"ns9","zone":"a.io."}`, "400")
	post("set", `{"server":"ns1","zone":"a.io.","name":"n.a.io.","type":"A","values":["nonsense"]}`, "400")
	post("remove", `{"server":"ns1","zone":"a.io.","name":"www.a.io.","type":"CNAME"}`, "200")
	post("remove", `{"server":"ns1","zone":"a.io.","name":"www.a.io.","type":"CNAME"}`, "400")
	post("serial", `{"server":"ns1","zone":"b.io.","serial":7}`, "400")
	post("hostile", `{"server":"ns2","hostile":"polite"}`, "400")
	post("transfer", `{"server":"ns1","allow":false}`, "200")
	at := s.DNS.Addresses()
	for question, want := range map[string]string{
		"ns1 n.a.io. A": "NOERROR aa [n.a.io. A] []", "ns2 n.a.io. A": "NXDOMAIN aa [] [a.io. SOA]", "ns2 m.a.io. A": "NOERROR aa [m.a.io. A] []",
		"ns1 www.a.io. A": "NXDOMAIN aa [] [a.io. SOA]", "ns2 www.a.io. A": "NOERROR aa [www.a.io. CNAME x.docs.a.io. A] []",
		"ns1 a.io. AXFR": "REFUSED [] []",
	} {
		words := strings.Fields(question)
		if got := askDNS(t, "tcp", at[words[0]], words[1], words[2]); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
	if got := talk(t, "GET", s.URL+"/_fake/dns/servers", ""); !strings.Contains(got, at["ns1"]) {
		t.Error(got)
	}
}

// A scenario whose zones cannot be read is refused, whole.
func TestNameServersRefuse(t *testing.T) {
	for name, text := range map[string]string{
		"fault":   strings.Replace(dnsScenario, "192.0.2.1", "nonsense", 1),
		"hostile": strings.Replace(dnsScenario, "transfer: true", "hostile: polite", 1),
		"key":     strings.Replace(dnsScenario, "transfer: true", "transfers: true", 1),
		"config":  strings.Replace(dnsScenario, "dns/octodns-config.yaml", "dns/other.yaml", 1),
	} {
		sc, err := ParseScenario([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := New(Options{}).Load(sc); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
