// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// roundTrip sends a set over the wire.
func roundTrip(t *testing.T, set RRset) {
	t.Helper()
	if set.Type == "ALIAS" {
		return
	}
	rrs, err := set.Wire()
	if err != nil {
		t.Errorf("%+v has no form on the wire: %v", set, err)
		return
	}
	m := &dns.Msg{Answer: rrs, Compress: true}
	raw, err := m.Pack()
	if err != nil {
		if len(set.Values) > 20 || len(strings.Join(set.Values, "")) > 20_000 {
			return // too large for one message
		}
		t.Errorf("%+v: %v", set, err)
		return
	}
	back := new(dns.Msg)
	if err := back.Unpack(raw); err != nil {
		t.Errorf("%+v: %v", set, err)
		return
	}
	sets, err := FromWire(back.Answer)
	if err != nil || len(sets) != 1 || !reflect.DeepEqual(sets[0], set) {
		t.Errorf("%+v came back as %+v, %v", set, sets, err)
	}
}

func TestWire(t *testing.T) {
	for kind, values := range map[string][]string{
		"A":     {"192.0.2.1", "192.0.2.10"},
		"AAAA":  {"2001:db8::1", "::ffff:192.0.2.1"},
		"CNAME": {"b.io."},
		"DNAME": {"b.io."},
		"NS":    {"ns1.b.io.", "ns2.b.io."},
		"PTR":   {"b.io."},
		"MX":    {"0 .", "10 b.io."},
		"SRV":   {"1 2 5060 b.io."},
		"CAA":   {`0 issue "pki.goog"`, `0 issue ";"`, `128 iodef "a\"b\\c\000 d"`},
		"TXT":   {"", "v=DMARC1; p=none", `a "quoted" \\ back\195\188`, strings.Repeat("x", 254) + `\001yz`, strings.Repeat("0123456789", 120)},
		"SPF":   {"v=spf1 -all"},
		"DS":    {"1 8 2 ab12"},
		"SSHFP": {"1 2 ab"},
		"TLSA":  {"3 1 1 ab"},
		"NAPTR": {`1 2 "S" "" "!^.*$!sip:a@b\\c!" .`},
	} {
		slices.Sort(values)
		roundTrip(t, RRset{"x.a.io.", kind, 300, values})
	}
	if _, err := (RRset{"a.io.", "ALIAS", 1, []string{"b.io."}}).Wire(); err == nil {
		t.Error("an ALIAS has no form on the wire")
	}
}

// Records as servers send them: in any letters, in any order, with what is no data.
func TestFromWire(t *testing.T) {
	var rrs []dns.RR
	for _, line := range []string{
		`WWW.A.io. 300 IN CNAME B.IO.`, `a.io. 60 IN MX 10 B.io.`, `a.io. 30 IN MX 1 A.io.`, `a.io. 60 IN MX 10 b.io.`,
		`a.io. 1 CH TXT "x"`, `t.a.io. 1 IN TXT "one " "two;" "\"q\""`, `u.a.io. 1 IN TYPE65280 \# 2 0102`, `a.io. 5 IN DS 1 8 2 AB12`,
	} {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	opt := new(dns.OPT)
	opt.Hdr = dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}
	got, err := FromWire(append(rrs, opt))
	want := []RRset{
		{"a.io.", "DS", 5, []string{"1 8 2 ab12"}},
		{"a.io.", "MX", 30, []string{"1 a.io.", "10 b.io."}},
		{"t.a.io.", "TXT", 1, []string{`one two;"q"`}},
		{"u.a.io.", "TYPE65280", 1, []string{`\# 2 0102`}},
		{"www.a.io.", "CNAME", 300, []string{"b.io."}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := FromWire([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "a.io.", Rrtype: dns.TypeA, Class: dns.ClassINET}}}); err == nil {
		t.Error("an A without an address has a value")
	}
}

func TestEscape(t *testing.T) {
	for _, raw := range []string{"", "plain", `back\slash`, `"`, "\x00\x7f\xff", `\065`, strings.Repeat("ü", 9)} {
		for _, quotes := range []bool{false, true} {
			shown := escape(raw, quotes)
			if back, err := unescape(shown); err != nil || back != raw {
				t.Errorf("%q became %q and %q, %v", raw, shown, back, err)
			}
			if strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q is shown as %q", raw, shown)
			}
		}
	}
	if _, err := unescape(`x\`); err == nil {
		t.Error("a backslash at the end escapes nothing")
	}
}

// Whatever the library reads from text, goes over the wire and back into the same
// canonical form, and that form is one line of ASCII.
func FuzzCanonical(f *testing.F) {
	for _, line := range []string{
		`x.a.io. 300 IN TXT "a\"b" "c\\d" "\200"`, `a.io. 1 IN CAA 0 issue "a;b\"c"`, `a.io. 1 IN NAPTR 1 2 "s" "" "!\\1!" b.`,
		`A.io. 1 IN MX 1 B\.c.io.`, `a.io. 1 IN SVCB 1 b. alpn=h2 port=1`, `a.io. 1 IN TLSA 1 2 3 ab`, `a.io. 1 IN HINFO "a" "b"`, `a.io. 1 IN LOC 1 N 1 E 1m`, "8 CAA 0 0\x18\"",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		rr, err := dns.NewRR(line)
		if err != nil || rr == nil {
			return
		}
		raw, err := (&dns.Msg{Answer: []dns.RR{rr}}).Pack()
		if err != nil {
			return
		}
		m := new(dns.Msg)
		if m.Unpack(raw) != nil {
			return
		}
		sets, err := FromWire(m.Answer)
		if err != nil || len(sets) == 0 {
			return
		}
		set := sets[0]
		for _, text := range append(set.Values, set.Name) {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q is shown as %q", line, text)
			}
		}
		if _, known := shapes()[set.Type]; known {
			roundTrip(t, set)
		}
	})
}

func FuzzFromWire(f *testing.F) {
	good, err := (&dns.Msg{Answer: []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: "a.io.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"x"}}}}).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(dns.Msg)
		if m.Unpack(raw) != nil {
			return
		}
		sets, err := FromWire(m.Answer)
		if err != nil {
			return
		}
		for _, set := range sets {
			for _, text := range append(set.Values, set.Name) {
				if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("shown: %q", text)
				}
			}
		}
	})
}
