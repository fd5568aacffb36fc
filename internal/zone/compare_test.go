// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

const declaredZone = `
'':
- {type: A, value: 192.0.2.1}
- {type: MX, value: {preference: 1, exchange: mx.b.io.}}
www: {type: CNAME, value: a.netlify.app.}
t: {type: TXT, value: hello}
'*.docs': {type: CNAME, value: docs.netlify.app.}
x.docs: {type: A, value: 0.0.0.0}
child: {type: NS, values: [ns1.b.io., ns2.b.io.]}
glue.child: {type: A, value: 192.0.2.7}
`

// served is the zone as declared, in the words of view.
const served = `
a.io. 3600 A 192.0.2.1
a.io. 3600 MX 1 mx.b.io.
www.a.io. 3600 CNAME a.netlify.app.
t.a.io. 3600 TXT hello
*.docs.a.io. 3600 CNAME docs.netlify.app.
x.docs.a.io. 3600 A 0.0.0.0
child.a.io. 3600 NS ns1.b.io. | ns2.b.io.
glue.child.a.io. 3600 A 192.0.2.7
`

// view reads lines of NAME TTL TYPE VALUE | VALUE…, "whole", "lame", "serial N",
// "unknown NAME TYPE", "child NAME"; a line that begins with - takes a set out again.
func view(t *testing.T, text string) *View {
	t.Helper()
	v := new(View)
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "whole":
			v.Whole = true
		case words[0] == "lame":
			v.Lame = true
		case words[0] == "serial":
			n, _ := strconv.ParseUint(words[1], 10, 32)
			v.Serial = uint32(n)
		case words[0] == "unknown":
			v.Unknown = append(v.Unknown, Key{words[1], strings.Join(words[2:], "")})
		case words[0] == "child":
			v.Child = append(v.Child, words[1])
		case words[0] == "-":
			v.Sets = slices.DeleteFunc(v.Sets, func(s RRset) bool { return s.Key() == Key{words[1], words[2]} })
		default:
			ttl, err := strconv.ParseUint(words[1], 10, 32)
			if err != nil {
				t.Fatalf("line %q", line)
			}
			set := RRset{words[0], words[2], uint32(ttl), strings.Split(strings.Join(words[3:], " "), " | ")}
			v.Sets = slices.DeleteFunc(v.Sets, func(s RRset) bool { return s.Key() == set.Key() })
			v.Sets = append(v.Sets, set)
		}
	}
	v.Redact(secret.NewScanner())
	return v
}

func TestCompare(t *testing.T) {
	token := "ghp_" + strings.Repeat("x1", 18)
	const whole, unread = "whole\n" + served, "unread"
	for name, c := range map[string]struct {
		views []string
		want  string // of Absent in brackets
	}{
		"as declared":            {[]string{whole, whole}, ""},
		"as declared, asked":     {[]string{served, served}, ""},
		"both ways":              {[]string{whole, served}, ""},
		"one unread":             {[]string{whole, unread}, ""},
		"none read":              {[]string{unread, unread}, ""},
		"missing everywhere":     {[]string{whole + "- t.a.io. TXT", served + "- t.a.io. TXT"}, "[DNS-1 error t.a.io. TXT]"},
		"missing, critical":      {[]string{whole + "- a.io. MX"}, "[DNS-1 critical a.io. MX]"},
		"missing, one unread":    {[]string{whole + "- t.a.io. TXT", unread}, "[DNS-1 error t.a.io. TXT]"},
		"missing, one lame":      {[]string{whole + "- t.a.io. TXT", "lame"}, "DNS-7 critical a.io. SOA s1, [DNS-1 error t.a.io. TXT]"},
		"missing, one not asked": {[]string{whole + "- t.a.io. TXT", served + "- t.a.io. TXT\nunknown t.a.io. TXT"}, "[DNS-1 error t.a.io. TXT]"},
		"name not asked":         {[]string{served + "- t.a.io. TXT\nunknown t.a.io."}, ""},
		"missing at one":         {[]string{whole + "- t.a.io. TXT", whole}, "DNS-5 error t.a.io. TXT"},
		"undeclared":             {[]string{whole + "u.a.io. 60 A 192.0.2.9", whole + "u.a.io. 60 A 192.0.2.9"}, "DNS-2 error u.a.io. A"},
		"undeclared, not asked":  {[]string{whole + "u.a.io. 60 A 192.0.2.9", served}, "DNS-2 error u.a.io. A"},
		"undeclared at one":      {[]string{whole + "u.a.io. 60 A 192.0.2.9", whole}, "DNS-5 error u.a.io. A"},
		"undeclared type":        {[]string{served + "t.a.io. 60 A 192.0.2.9"}, "DNS-2 error t.a.io. A"},
		"value":                  {[]string{whole + "t.a.io. 3600 TXT other", served + "t.a.io. 3600 TXT other"}, "DNS-3 error t.a.io. TXT"},
		"value and ttl":          {[]string{whole + "t.a.io. 60 TXT other"}, "DNS-3 error t.a.io. TXT"},
		"value at the top":       {[]string{whole + "a.io. 3600 A 192.0.2.1 | 192.0.2.2"}, "DNS-3 critical a.io. A"},
		"delegation":             {[]string{whole + "child.a.io. 3600 NS ns1.b.io. | ns3.b.io."}, "DNS-3 critical child.a.io. NS"},
		"ttl":                    {[]string{whole + "t.a.io. 60 TXT hello", whole + "t.a.io. 60 TXT hello"}, "DNS-4 warning t.a.io. TXT"},
		"ttl at one":             {[]string{whole + "t.a.io. 60 TXT hello", whole}, "DNS-5 warning t.a.io. TXT"},
		"ttl from the child":     {[]string{served + "child.a.io. 21600 NS ns1.b.io. | ns2.b.io.\nchild child.a.io.", whole}, ""},
		"child differs":          {[]string{served + "child.a.io. 21600 NS ns9.b.io.\nchild child.a.io.", served + "child.a.io. 21600 NS ns9.b.io.\nchild child.a.io.", whole}, "DNS-9 error child.a.io. NS"},
		"serials":                {[]string{whole + "serial 7", whole + "serial 8"}, "DNS-6 warning a.io. SOA"},
		"what servers add":       {[]string{whole + "a.io. 3600 NS ns.x.\na.io. 1 DNSKEY x\na.io. 1 RRSIG x\na.io. 60 SOA x\na.io. 60 TYPE65534 x"}, ""},
		"DS":                     {[]string{whole + "child.a.io. 3600 DS 1 8 2 ab"}, "DNS-2 critical child.a.io. DS"},
		"below a delegation":     {[]string{served + "- glue.child.a.io. A"}, ""},
		"glue in a transfer":     {[]string{whole + "- glue.child.a.io. A"}, "[DNS-1 error glue.child.a.io. A]"},
		"synthesised":            {[]string{served + "- x.docs.a.io. A\nx.docs.a.io. 3600 CNAME docs.netlify.app."}, "[DNS-1 error x.docs.a.io. A]"},
		"not synthesised":        {[]string{served + "x.docs.a.io. 60 CNAME docs.b.io."}, "DNS-2 error x.docs.a.io. CNAME"},
		"wildcard":               {[]string{whole + "*.a.io. 60 A 192.0.2.9"}, "DNS-2 error *.a.io. A"},
		"takeover":               {[]string{whole + "old.a.io. 60 CNAME old.github.io."}, "DNS-TAKEOVER critical private old.a.io. CNAME"},
		"takeover at one":        {[]string{whole + "old.a.io. 60 CNAME old.github.io.", whole}, "DNS-TAKEOVER critical private old.a.io. CNAME"},
		"takeover by value":      {[]string{whole + "www.a.io. 3600 CNAME evil.netlify.app."}, "DNS-TAKEOVER critical private www.a.io. CNAME"},
		"takeover by DNS":        {[]string{whole + "sub.a.io. 60 NS ns-1.awsdns-54.org."}, "DNS-TAKEOVER critical private sub.a.io. NS"},
		"takeover by HTTPS":      {[]string{whole + "h.a.io. 60 HTTPS 1 x.vercel.app. alpn=\"h2\""}, "DNS-TAKEOVER critical private h.a.io. HTTPS"},
		"declared service":       {[]string{whole + "www.a.io. 60 CNAME a.netlify.app."}, "DNS-4 warning www.a.io. CNAME"},
		"secret":                 {[]string{whole + "u.a.io. 60 TXT key=" + token}, "DNS-2 error private u.a.io. TXT, DNS-SECRET critical private u.a.io. TXT 7fc4"},
		"secret, other value":    {[]string{whole + "t.a.io. 3600 TXT " + token}, "DNS-3 error private t.a.io. TXT, DNS-SECRET critical private t.a.io. TXT 7fc4"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := load(t, one(declaredZone))
			var all []Observed
			for i, text := range c.views {
				o := Observed{Server: Server{Addr: "s" + strconv.Itoa(i)}}
				if text != unread {
					o.View = view(t, text)
				}
				all = append(all, o)
			}
			result := Compare(cfg.Zones[0], all, secret.NewScanner())
			var got []string
			for _, f := range append(slices.Clone(result.Found), result.Absent...) {
				text := fmt.Sprintf("%s %s %s%s", f.Rule, f.Severity, strings.TrimPrefix(string(f.Visibility)+" ", " "), f.Object)
				if f.Field != "" {
					text += " " + f.Field[:min(4, len(f.Field))]
				}
				if slices.ContainsFunc(result.Absent, func(a finding.Finding) bool { return a.Fingerprint() == f.Fingerprint() }) {
					text = "[" + text + "]"
				}
				got = append(got, text)
				if f.File == "" || strings.Contains(fmt.Sprint(f), token) {
					t.Errorf("finding %+v", f)
				}
			}
			slices.Sort(got)
			if strings.Join(got, ", ") != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// A finding says who shows what, and where it is declared.
func TestFindingNamesServers(t *testing.T) {
	cfg, _ := load(t, one(declaredZone))
	all := []Observed{
		{Server{"ns1.b.io.", "192.0.2.1:53"}, view(t, "whole\n"+served+"t.a.io. 60 TXT other")},
		{Server{"ns2.b.io.", "192.0.2.2:53"}, view(t, "whole\n"+served+"- t.a.io. TXT")},
		{Server{"ns3.b.io.", "192.0.2.3:5353"}, view(t, "whole\n"+served)},
	}
	for i := range all {
		all[i].View.Sets = append(all[i].View.Sets, RRset{"a.io.", "NS", 60, []string{"ns1.b.io.", "ns2.b.io.", "ns3.b.io."}})
	}
	found := Compare(cfg.Zones[0], all, secret.NewScanner()).Found
	if len(found) != 1 {
		t.Fatalf("%+v", found)
	}
	f := found[0]
	want := "ns1.b.io/192.0.2.1: TTL 60: other; ns2.b.io/192.0.2.2: nothing; ns3.b.io/192.0.2.3:5353: TTL 3600: hello"
	if f.Declared != "TTL 3600: hello" || f.Observed != want || f.Position() != "dns/zone-configs/a.io._0_base.yaml:6" {
		t.Errorf("%+v", f)
	}
}

// The name servers of the zone itself are compared with those by which it was found.
func TestNameServers(t *testing.T) {
	cfg, _ := load(t, one(declaredZone))
	ns := func(name, values string) Observed {
		return Observed{Server{name, name + "53"}, view(t, "whole\n"+served+"a.io. 60 NS "+values)}
	}
	for name, c := range map[string]struct {
		all  []Observed
		want int
	}{
		"equal":        {[]Observed{ns("ns1.b.io.", "ns1.b.io. | ns2.b.io."), ns("ns2.b.io.", "ns1.b.io. | ns2.b.io.")}, 0},
		"one more":     {[]Observed{ns("ns1.b.io.", "ns1.b.io. | ns2.b.io.")}, 1},
		"one less":     {[]Observed{ns("ns1.b.io.", "ns1.b.io."), ns("ns2.b.io.", "ns1.b.io.")}, 1},
		"no names":     {[]Observed{ns("", "ns1.b.io.")}, 0},
		"not the same": {[]Observed{ns("", "ns1.b.io."), ns("", "ns2.b.io.")}, 1},
	} {
		found := Compare(cfg.Zones[0], c.all, secret.NewScanner()).Found
		if len(found) != c.want || len(found) > 0 && found[0].Rule != ruleApex {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestCompareDelegation(t *testing.T) {
	r := Record{RRset: RRset{"child.a.io.", "NS", 60, []string{"ns-1.awsdns-5.org.", "ns1.b.io."}}, File: "f", Line: 3}
	good, bad, unread := Host{Name: "ns1.b.io.", NS: r.Values}, Host{Name: "ns-1.awsdns-5.org.", Fault: "refuses"}, Host{Name: "x.", Unread: true}
	other := Host{Name: "ns1.b.io.", NS: []string{"ns2.b.io."}}
	for name, c := range map[string]struct {
		hosts []Host
		want  string
	}{
		"good":       {[]Host{good, good}, ""},
		"unread":     {[]Host{good, unread}, ""},
		"not known":  {nil, ""},
		"all bad":    {[]Host{bad, bad}, "DNS-DANGLING critical private"},
		"bad so far": {[]Host{bad, unread}, "DNS-DANGLING error private"},
		"one bad":    {[]Host{good, bad}, "DNS-DANGLING error private"},
		"others":     {[]Host{other}, "DNS-9 error "},
	} {
		var got []string
		for _, f := range CompareDelegation(r, Delegation{c.hosts}) {
			got = append(got, fmt.Sprintf("%s %s %s", f.Rule, f.Severity, f.Visibility))
			if f.Position() != "f:3" {
				t.Errorf("%+v", f)
			}
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestClaim(t *testing.T) {
	for value, want := range map[string]string{
		"CNAME x.netlify.app.": "Netlify", "CNAME x.herokuapp.com.": "Heroku", "CNAME x.s3-website-us-east-1.amazonaws.com.": "an S3 bucket",
		"CNAME x.s3.amazonaws.com.": "an S3 bucket", "CNAME x-1.eu-west-1.elb.amazonaws.com.": "an AWS load balancer",
		"CNAME c.storage.googleapis.com.": "a Google Cloud Storage bucket", "CNAME d1.cloudfront.net.": "CloudFront",
		"CNAME notnetlify.app.": "", "CNAME netlify.app.evil.io.": "", "CNAME redirect.k8s.io.": "", "A 192.0.2.1": "",
		"NS ns-1458.awsdns-54.org.": "Route 53", "NS ns-cloud-a1.googledomains.com.": "Google Cloud DNS", "NS ns1.digitalocean.com.": "DigitalOcean",
		"NS dns1.p07.nsone.net.": "NS1", "NS ns1.k8s.io.": "", "TXT x.netlify.app.": "",
	} {
		kind, target, _ := strings.Cut(value, " ")
		if got := claim(kind, target); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestQuestions(t *testing.T) {
	cfg, _ := load(t, one(declaredZone+"'deep.er': {type: A, value: 192.0.2.1}\nbad: {type: A, value: x}\n"))
	types := map[string]int{}
	for _, q := range cfg.Zones[0].Questions() {
		types[q.Name] = len(q.Types)
	}
	all := len(AskedTypes())
	want := map[string]int{
		"a.io.": all - 2, "www.a.io.": all, "t.a.io.": all, "*.docs.a.io.": all, "x.docs.a.io.": all, "docs.a.io.": all,
		"child.a.io.": 2, "deep.er.a.io.": all, "er.a.io.": all,
	}
	if fmt.Sprint(types) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", types, want)
	}
	for kind := range shapes() {
		if kind != "ALIAS" && !slices.Contains(AskedTypes(), kind) {
			t.Errorf("%s can be declared and is not asked for", kind)
		}
	}
}

// A zone whose files could not be read says nothing of what is served.
func TestFaultyZoneSaysNothing(t *testing.T) {
	cfg, _ := load(t, one("x: [\n"))
	got := Compare(cfg.Zones[0], []Observed{{Server{Addr: "s"}, view(t, "whole\n"+served)}}, secret.NewScanner())
	if len(got.Found)+len(got.Absent)+got.Declared != 0 {
		t.Errorf("%+v", got)
	}
}

func TestIgnoredAndAlias(t *testing.T) {
	cfg, _ := load(t, one("'': {type: ALIAS, value: b.io.}\nx: {type: A, value: 192.0.2.1, octodns: {ignored: true}}\nbad: {type: A, value: x}\n"))
	got := Compare(cfg.Zones[0], []Observed{{Server{Addr: "s"}, view(t, `whole
a.io. 60 A 192.0.2.5
a.io. 60 AAAA 2001:db8::1
x.a.io. 60 A 192.0.2.9
bad.a.io. 60 A 192.0.2.9`)}}, secret.NewScanner())
	if len(got.Found)+len(got.Absent) != 0 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkCompare100k(b *testing.B) {
	z := &Zone{Name: "a.io.", File: "f"}
	v := &View{Whole: true}
	for i := range 100_000 {
		set := RRset{fmt.Sprintf("n%06d.a.io.", i), "A", 300, []string{"192.0.2.1"}}
		z.Records = append(z.Records, Record{RRset: set, File: "f", Line: i})
		v.Sets = append(v.Sets, set)
	}
	scanner := secret.NewScanner()
	b.ReportAllocs()
	for b.Loop() {
		if got := Compare(z, []Observed{{Server{Addr: "1"}, v}, {Server{Addr: "2"}, v}}, scanner); len(got.Found) > 0 || got.Declared != 100_000 {
			b.Fatal(got)
		}
	}
}
