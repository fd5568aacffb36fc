// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

// realTree is the public repository as data; its tests are skipped where it is not.
const realTree = "../../../shared/data/k8s.io"

const config = "dns/octodns-config.yaml"

// configOf is a configuration as k8s.io has it, for some zones.
func configOf(zones ...string) string {
	text := "providers:\n  config:\n    class: octodns.provider.yaml.YamlProvider\n    directory: ./zone-configs\n    enforce_order: false\n" +
		"  gcp:\n    class: octodns.provider.googlecloud.GoogleCloudProvider\n    project: p\nzones:\n"
	for _, z := range zones {
		text += "  " + z + ":\n    sources:\n    - config\n    targets:\n    - gcp\n"
	}
	return text
}

// tree makes a repository of name, content, name, content, …; a content that begins with
// "-> " is a link.
func tree(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		name, content := files[i], files[i+1]
		if !strings.Contains(name, "/") {
			name = "dns/zone-configs/" + name
		}
		file := &fstest.MapFile{Data: []byte(content), Mode: 0o644}
		if target, link := strings.CutPrefix(content, "-> "); link {
			file = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
		}
		fsys[name] = file
	}
	return fsys
}

// one is a repository with the zone a.io. in one file.
func one(content string) fstest.MapFS {
	return tree(config, configOf("a.io."), "a.io._0_base.yaml", content)
}

func load(t *testing.T, fsys fs.FS) (*Config, []string) {
	t.Helper()
	c, found, err := Load(fsys, config)
	if err != nil {
		t.Fatal(err)
	}
	var short []string
	for _, f := range found {
		short = append(short, fmt.Sprintf("%s %s:%d", f.Rule, filepath.Base(f.File), f.Line))
		if f.Object == "" || f.Message == "" || f.File == "" {
			t.Errorf("incomplete: %+v", f)
		}
	}
	return c, short
}

func shown(z *Zone) []string {
	var all []string
	for _, r := range z.Records {
		all = append(all, fmt.Sprintf("%s %d %s %s @%s:%d", r.Name, r.TTL, r.Type, strings.Join(r.Values, " | "), filepath.Base(r.File), r.Line))
	}
	return all
}

// Every type of the table, in every way in which octoDNS lets it be written.
func TestRecords(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"A":                   {"{type: A, value: 192.0.2.1}", "A 192.0.2.1"},
		"sorted, each once":   {"{type: A, values: [192.0.2.9, 192.0.2.1, 192.0.2.9]}", "A 192.0.2.1 | 192.0.2.9"},
		"values with one":     {"{type: A, values: 192.0.2.1}", "A 192.0.2.1"},
		"value with a list":   {"{type: A, value: [192.0.2.1]}", "A 192.0.2.1"},
		"AAAA is compressed":  {`{type: AAAA, value: "2001:DB8:0:0:0:0:0:1"}`, "AAAA 2001:db8::1"},
		"AAAA without quotes": {`{type: AAAA, value: 2001:4860:4802:32::15}`, "AAAA 2001:4860:4802:32::15"},
		"CNAME in capitals":   {"{type: CNAME, value: WWW.Example.ORG.}", "CNAME www.example.org."},
		"international":       {"{type: CNAME, value: bücher.example.}", "CNAME xn--bcher-kva.example."},
		"DNAME":               {"{type: DNAME, value: b.io.}", "DNAME b.io."},
		"NS":                  {"{type: NS, values: [ns2.b.io., ns1.b.io.]}", "NS ns1.b.io. | ns2.b.io."},
		"PTR":                 {"{type: PTR, value: b.io.}", "PTR b.io."},
		"MX":                  {"{type: MX, values: [{preference: 10, exchange: B.io.}, {priority: 1, value: a.io.}]}", "MX 1 a.io. | 10 b.io."},
		"MX for nobody":       {"{type: MX, value: {preference: 0, exchange: .}}", "MX 0 ."},
		"CAA":                 {"{type: CAA, value: {tag: Issue, value: pki.goog}}", `CAA 0 issue "pki.goog"`},
		"CAA with quotes":     {`{type: CAA, value: {flags: 128, tag: iodef, value: 'a"b\c'}}`, `CAA 128 iodef "a\"b\\c"`},
		"DS":                  {"{type: DS, value: {key_tag: 1, algorithm: 8, digest_type: 2, digest: AB12}}", "DS 1 8 2 ab12"},
		"SSHFP":               {"{type: SSHFP, value: {algorithm: 1, fingerprint_type: 2, fingerprint: AB}}", "SSHFP 1 2 ab"},
		"TLSA": {"{type: TLSA, value: {certificate_usage: 3, selector: 1, matching_type: 1, certificate_association_data: AB}}",
			"TLSA 3 1 1 ab"},
		"NAPTR": {`{type: NAPTR, value: {order: 1, preference: 2, flags: S, service: "", regexp: "!x!y!", replacement: .}}`,
			`NAPTR 1 2 "S" "" "!x!y!" .`},
		"TXT":                     {"{type: TXT, value: v=spf1 include:_spf.google.com ~all}", "TXT v=spf1 include:_spf.google.com ~all"},
		"TXT escaped semicolon":   {`{type: TXT, value: 'v=DMARC1\; p=none\;'}`, "TXT v=DMARC1; p=none;"},
		"TXT in quotes of its":    {`{type: TXT, value: '"one " "two"'}`, "TXT one two"},
		"TXT with a backslash":    {`{type: TXT, value: 'a\\b\065'}`, `TXT a\\bA`},
		"TXT of hex digits":       {"{type: TXT, value: 5201e8d7d2}", "TXT 5201e8d7d2"},
		"TXT like Go's number":    {"{type: TXT, value: 5201e8}", "TXT 5201e8"},
		"TXT that begins with -":  {"{type: TXT, value: -4bYksesL3_5}", "TXT -4bYksesL3_5"},
		"TXT like a number, text": {`{type: TXT, value: "0777"}`, "TXT 0777"},
		"TXT tagged":              {`{type: TXT, value: !!str 0777}`, "TXT 0777"},
		"SPF":                     {"{type: SPF, value: v=spf1 -all}", "SPF v=spf1 -all"},
		"a list of one":           {"\n- type: A\n  value: 192.0.2.1", "A 192.0.2.1"},
		"a comment behind":        {"\n  type: A\n  value: 192.0.2.1 # the front\n  ttl: 300 # low", "A 192.0.2.1"},
		"an alias":                {"\n- &x {type: A, value: 192.0.2.1}", "A 192.0.2.1"},
		"ttl as a text":           {`{type: A, ttl: "300", value: 192.0.2.1}`, "A 192.0.2.1"},
		"for our target":          {"{type: A, value: 192.0.2.1, octodns: {included: [gcp], lenient: true}}", "A 192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			z, problems := load(t, one("x:  "+c.in+"\n"))
			if len(problems) > 0 || len(z.Zones[0].Records) != 1 {
				t.Fatalf("problems %v, records %v", problems, z.Zones[0].Records)
			}
			if r := z.Zones[0].Records[0]; r.Type+" "+strings.Join(r.Values, " | ") != c.want {
				t.Errorf("%s %q, want %s", r.Type, r.Values, c.want)
			}
		})
	}
	z, problems := load(t, one("'': {type: ALIAS, value: b.io.}\n_sip._tcp: {type: SRV, value: {priority: 1, weight: 2, port: 5060, target: b.io.}}\n"))
	want := []string{"_sip._tcp.a.io. 3600 SRV 1 2 5060 b.io. @a.io._0_base.yaml:2", "a.io. 3600 ALIAS b.io. @a.io._0_base.yaml:1"}
	if got := shown(z.Zones[0]); problems != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, problems)
	}
}

// What is wrong with a zone file, and where.
func TestProblems(t *testing.T) {
	const a = "{type: A, value: 192.0.2.1}"
	for name, c := range map[string]struct{ in, want string }{
		"fine":                    {"x: " + a, ""},
		"nothing":                 {"# only a comment", ""},
		"a start":                 {"---\nx: " + a, ""},
		"no YAML":                 {"x: [", "ZONE-4 a.io._0_base.yaml:1"},
		"two documents":           {"x: " + a + "\n---\ny: " + a, "ZONE-4 a.io._0_base.yaml:0"},
		"a list":                  {"- x", "ZONE-4 a.io._0_base.yaml:1"},
		"a text":                  {"x y", "ZONE-4 a.io._0_base.yaml:1"},
		"key twice":               {"x: " + a + "\ny: " + a + "\nx: {type: A, value: 192.0.2.2}", "ZONE-5 a.io._0_base.yaml:3"},
		"record key twice":        {"x:\n  type: A\n  value: 192.0.2.1\n  value: 192.0.2.2", "ZONE-5 a.io._0_base.yaml:4"},
		"@":                       {"'@': " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"final dot":               {"x.: " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"empty label":             {"x..y: " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"space":                   {"x y: " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"star inside":             {"a.*.b: " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"label of 64":             {strings.Repeat("x", 64) + ": " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"name of 254":             {strings.Repeat("xxxxxxx.", 31) + "x: " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"no international name":   {"ⓧ\u0301\u200d: " + a, "ZONE-7 a.io._0_base.yaml:1"},
		"no records":              {"x:", "ZONE-8 a.io._0_base.yaml:1"},
		"empty list":              {"x: []", "ZONE-8 a.io._0_base.yaml:1"},
		"text for a record":       {"x: y", "ZONE-8 a.io._0_base.yaml:1"},
		"no type":                 {"x: {value: 192.0.2.1}", "ZONE-8 a.io._0_base.yaml:1"},
		"type of later":           {"x: {type: LOC, value: 1}", "ZONE-8 a.io._0_base.yaml:1"},
		"no value":                {"x: {type: A}", "ZONE-8 a.io._0_base.yaml:1"},
		"empty value":             {"x:\n  type: A\n  values:\n  - 192.0.2.1\n  -", "ZONE-8 a.io._0_base.yaml:5"},
		"value and values":        {"x: {type: A, value: 192.0.2.1, values: [192.0.2.2]}", "ZONE-8 a.io._0_base.yaml:1"},
		"misspelt key":            {"x: {type: A, value: 192.0.2.1, tll: 3}", "ZONE-8 a.io._0_base.yaml:1"},
		"ttl below 0":             {"x: {type: A, value: 192.0.2.1, ttl: -1}", "ZONE-8 a.io._0_base.yaml:1"},
		"ttl of a day":            {"x: {type: A, value: 192.0.2.1, ttl: 1d}", "ZONE-8 a.io._0_base.yaml:1"},
		"ttl of 31 bits and more": {"x: {type: A, value: 192.0.2.1, ttl: 2147483648}", "ZONE-8 a.io._0_base.yaml:1"},
		"octal ttl":               {"x: {type: A, value: 192.0.2.1, ttl: 0300}", "ZONE-8 a.io._0_base.yaml:1"},
		"dynamic":                 {"x: {type: A, value: 192.0.2.1, dynamic: {}}", "ZONE-8 a.io._0_base.yaml:1"},
		"no address":              {"x: {type: A, value: 192.0.2.256}", "ZONE-8 a.io._0_base.yaml:1"},
		"IPv6 in A":               {`x: {type: A, value: "::1"}`, "ZONE-8 a.io._0_base.yaml:1"},
		"IPv6 with a zone":        {`x: {type: AAAA, value: "fe80::1%eth0"}`, "ZONE-8 a.io._0_base.yaml:1"},
		"two CNAMEs":              {"x: {type: CNAME, values: [a.io., b.io.]}", "ZONE-8 a.io._0_base.yaml:1"},
		"CNAME without the dot":   {"x: {type: CNAME, value: b.io}", "ZONE-8 a.io._0_base.yaml:1"},
		"MX without preference":   {"x: {type: MX, value: {exchange: b.io.}}", "ZONE-8 a.io._0_base.yaml:1"},
		"MX beyond 16 bits":       {"x: {type: MX, value: {preference: 65536, exchange: b.io.}}", "ZONE-8 a.io._0_base.yaml:1"},
		"MX of a text":            {"x: {type: MX, value: b.io.}", "ZONE-8 a.io._0_base.yaml:1"},
		"MX with a strange key":   {"x: {type: MX, value: {preference: 1, exchange: b.io., ttl: 1}}", "ZONE-8 a.io._0_base.yaml:1"},
		"CAA tag":                 {"x: {type: CAA, value: {tag: is-sue, value: b}}", "ZONE-8 a.io._0_base.yaml:1"},
		"odd digits":              {"x: {type: SSHFP, value: {algorithm: 1, fingerprint_type: 2, fingerprint: abc}}", "ZONE-8 a.io._0_base.yaml:1"},
		"unescaped ;":             {"x: {type: TXT, value: 'v=DMARC1; p'}", "ZONE-8 a.io._0_base.yaml:1"},
		"double escaped ;":        {`x: {type: TXT, value: 'v=DMARC1\\; p'}`, "ZONE-8 a.io._0_base.yaml:1"},
		"TXT beyond ASCII":        {"x: {type: TXT, value: ü}", "ZONE-8 a.io._0_base.yaml:1"},
		"TXT ends in a backslash": {`x: {type: TXT, value: 'a\'}`, "ZONE-8 a.io._0_base.yaml:1"},
		"a tag":                   {"x: {type: TXT, value: !!binary aGk=}", "ZONE-8 a.io._0_base.yaml:1"},
		"TXT is a number":         {"x: {type: TXT, value: 0777}", "ZONE-9 a.io._0_base.yaml:1"},
		"TXT is a time":           {"x: {type: TXT, value: 1:30}", "ZONE-9 a.io._0_base.yaml:1"},
		"TXT is a boolean":        {"x: {type: TXT, value: yes}", "ZONE-9 a.io._0_base.yaml:1"},
		"TXT is a date":           {"x: {type: TXT, value: 2024-06-06}", "ZONE-9 a.io._0_base.yaml:1"},
		"name is a boolean":       {"on: " + a, "ZONE-9 a.io._0_base.yaml:1"},
		"name is octal":           {"0777: " + a, "ZONE-9 a.io._0_base.yaml:1"},
		"name is a number":        {"777: " + a, ""},
		"CNAME at the top":        {"'': {type: CNAME, value: b.io.}", "ZONE-10 a.io._0_base.yaml:1"},
		"CNAME beside A":          {"x:\n- " + a + "\n- {type: CNAME, value: b.io.}", "ZONE-10 a.io._0_base.yaml:3"},
		"CNAME beside TXT":        {"x:\n- {type: CNAME, value: b.io.}\n- {type: TXT, value: b}", "ZONE-10 a.io._0_base.yaml:2"},
		"type twice":              {"x:\n- " + a + "\n- {type: A, value: 192.0.2.2}", "ZONE-10 a.io._0_base.yaml:3"},
		"name in other letters":   {"x: " + a + "\nX: " + a, "ZONE-10 a.io._0_base.yaml:2"},
		"ALIAS below the top":     {"x: {type: ALIAS, value: b.io.}", "ZONE-10 a.io._0_base.yaml:1"},
		"SRV of no service":       {"sip: {type: SRV, value: {priority: 1, weight: 1, port: 1, target: b.io.}}", "ZONE-10 a.io._0_base.yaml:1"},
		"circle of merges":        {"x: &a {<<: *a, type: A, value: 192.0.2.1}", "ZONE-4 a.io._0_base.yaml:1"},
		"merge of a text":         {"x: {<<: y, type: A, value: 192.0.2.1}", "ZONE-4 a.io._0_base.yaml:1"},
		"a list as a key":         {"[x]: " + a, "ZONE-4 a.io._0_base.yaml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := load(t, one(c.in+"\n"))
			if got := strings.Join(problems, ", "); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// What cannot be read is unclear, and nothing else is.
func TestUnclear(t *testing.T) {
	c, _ := load(t, one("x: {type: A, value: nonsense}\ny: {type: A, value: 192.0.2.1}\nz: [{type: A, value: 192.0.2.1}, {type: LOC}]\n"))
	z := c.Zones[0]
	if !slices.Equal(z.Unclear, []string{"x.a.io.", "z.a.io."}) || len(z.Records) != 1 || z.Faulty {
		t.Errorf("unclear %v, faulty %v, records %v", z.Unclear, z.Faulty, shown(z))
	}
	c, _ = load(t, one("x: [\n"))
	if !c.Zones[0].Faulty {
		t.Error("a zone of which a file cannot be read is taken as read")
	}
	c, _ = load(t, one("x: {type: A, value: 192.0.2.1, octodns: {ignored: true}}\ny: {type: A, value: 192.0.2.1, octodns: {excluded: [gcp]}}\n"))
	if z := c.Zones[0]; len(z.Records) != 0 || !slices.Equal(z.Ignored, []Key{{"x.a.io.", "A"}, {"y.a.io.", "A"}}) {
		t.Errorf("ignored %v, records %v", z.Ignored, shown(z))
	}
}

// The files of a zone are joined as push.sh joins them; a later key replaces the whole
// name and keeps its own position.
func TestParts(t *testing.T) {
	c, problems := load(t, tree(config, configOf("a.io."),
		"a.io.yaml", "w: {type: A, value: 192.0.2.1}\nx: {type: A, value: 192.0.2.1}\n",
		"a.io._0_base.yaml", "# above\nx:\n- {type: TXT, value: b}\ny: {type: A, value: 192.0.2.2}\n",
		"a.io._1_late.yaml", "y: {type: A, ttl: 60, value: 192.0.2.3}\n",
		"a.io.other.yaml", "z: {type: A, value: 192.0.2.9}\n"))
	want := []string{
		"w.a.io. 3600 A 192.0.2.1 @a.io.yaml:1", "x.a.io. 3600 TXT b @a.io._0_base.yaml:3", "y.a.io. 60 A 192.0.2.3 @a.io._1_late.yaml:1",
	}
	if got := shown(c.Zones[0]); !slices.Equal(got, want) {
		t.Errorf("records %q", got)
	}
	if !slices.Equal(problems, []string{"ZONE-12 a.io.other.yaml:0"}) {
		t.Errorf("problems %v", problems)
	}
	if c.Zones[0].File != "dns/zone-configs/a.io.yaml" {
		t.Errorf("base %s", c.Zones[0].File)
	}
}

// What is fine alone and is not when cat joins it.
func TestJoin(t *testing.T) {
	const a = "x: {type: A, value: 192.0.2.1}\n"
	for name, c := range map[string]struct{ first, second, want string }{
		"fine":                {"---\n" + a, "y: {type: A, value: 192.0.2.1}", ""},
		"first without break": {strings.TrimSuffix(a, "\n"), "y: {type: A, value: 192.0.2.1}\n", "ZONE-6 a.io._0_base.yaml:0"},
		"second start":        {a, "# comment\n---\ny: {type: A, value: 192.0.2.1}\n", "ZONE-6 a.io._1_more.yaml:2"},
		"end in the first":    {a + "...\n", "y: {type: A, value: 192.0.2.1}\n", "ZONE-6 a.io._0_base.yaml:2"},
		"indented":            {a, "  y: {type: A, value: 192.0.2.1}\n", "ZONE-6 a.io._1_more.yaml:1"},
		"in braces":           {a, "{y: {type: A, value: 192.0.2.1}}\n", "ZONE-6 a.io._1_more.yaml:1"},
	} {
		_, problems := load(t, tree(config, configOf("a.io."), "a.io._0_base.yaml", c.first, "a.io._1_more.yaml", c.second))
		if got := strings.Join(problems, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLinks(t *testing.T) {
	const a = "x: {type: A, value: 192.0.2.1}\n"
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"to the base":       {[]string{"canary.a.io.yaml", "-> a.io._0_base.yaml"}, ""},
		"up and down":       {[]string{"canary.a.io.yaml", "-> ../zone-configs/./a.io._0_base.yaml"}, ""},
		"over a link":       {[]string{"canary.a.io.yaml", "-> b", "b", "-> a.io._0_base.yaml"}, ""},
		"as git writes it":  {[]string{"canary.a.io.yaml", "a.io._0_base.yaml"}, ""},
		"the same":          {[]string{"canary.a.io.yaml", "a.io._0_base.yaml\n"}, ""},
		"nowhere":           {[]string{"canary.a.io.yaml", "-> gone.yaml"}, "ZONE-3 canary.a.io.yaml:0"},
		"file to nowhere":   {[]string{"canary.a.io.yaml", "gone.yaml"}, "ZONE-3 gone.yaml:0"},
		"through a file":    {[]string{"canary.a.io.yaml", "-> a.io._0_base.yaml/x"}, "ZONE-3 canary.a.io.yaml:0"},
		"to a directory":    {[]string{"canary.a.io.yaml", "-> ."}, "ZONE-3 canary.a.io.yaml:0"},
		"around":            {[]string{"canary.a.io.yaml", "-> b", "b", "-> canary.a.io.yaml"}, "ZONE-3 canary.a.io.yaml:0"},
		"out":               {[]string{"canary.a.io.yaml", "-> ../../../x.yaml"}, "ZONE-3 canary.a.io.yaml:0"},
		"out by root":       {[]string{"canary.a.io.yaml", "-> /etc/passwd"}, "ZONE-3 canary.a.io.yaml:0"},
		"out, and in again": {[]string{"canary.a.io.yaml", "-> ../../../dns/zone-configs/a.io._0_base.yaml"}, "ZONE-3 canary.a.io.yaml:0"},
		"by root, inside":   {[]string{"canary.a.io.yaml", "-> /etc/x.yaml", "dns/zone-configs/etc/x.yaml", a}, "ZONE-3 canary.a.io.yaml:0"},
		"directory":         {[]string{"dns/real/canary.a.io.yaml", a, "dns/real/a.io.yaml", a, "dns/zone-configs", "-> real"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := append([]string{config, configOf("a.io.", "canary.a.io.")}, c.files...)
			if name != "directory" {
				files = append(files, "a.io._0_base.yaml", a)
			}
			cfg, problems := load(t, tree(files...))
			if got := strings.Join(problems, ", "); got != c.want {
				t.Fatalf("problems %q, want %q", got, c.want)
			}
			if z := cfg.Zone("canary.a.io."); z.Faulty != (c.want != "") || c.want == "" && len(z.Records) != 1 {
				t.Errorf("faulty %v, records %v", z.Faulty, shown(z))
			}
		})
	}
}

// The same on a disk, where a link could lead anywhere.
func TestLinksOnDisk(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret.yaml")
	configs := filepath.Join(dir, "dns", "zone-configs")
	err := errors.Join(
		os.MkdirAll(configs, 0o755),
		os.WriteFile(secret, []byte("s: {type: TXT, value: stolen}\n"), 0o600),
		os.WriteFile(filepath.Join(dir, config), []byte(configOf("a.io.", "b.io.")), 0o600),
		os.WriteFile(filepath.Join(configs, "a.io._0_base.yaml"), []byte("x: {type: A, value: 192.0.2.1}\n"), 0o600),
		os.Symlink("a.io._0_base.yaml", filepath.Join(configs, "b.io.yaml")),
		os.Symlink(secret, filepath.Join(configs, "b.io._1_out.yaml")),
	)
	if err != nil {
		t.Fatal(err)
	}
	c, problems := load(t, os.DirFS(dir))
	if !slices.Equal(problems, []string{"ZONE-3 b.io._1_out.yaml:0"}) {
		t.Errorf("problems %v", problems)
	}
	if got := shown(c.Zone("b.io.")); !slices.Equal(got, []string{"x.b.io. 3600 A 192.0.2.1 @a.io._0_base.yaml:1"}) || !c.Zone("b.io.").Faulty {
		t.Errorf("records %v", got)
	}
}

func TestBetweenZones(t *testing.T) {
	const ns = "{type: NS, values: [ns1.b.io., ns2.b.io.]}\n"
	for name, c := range map[string]struct {
		base, extra, want string
	}{
		"delegation apart":   {"x: {type: A, value: 192.0.2.1}\n", "canary: " + ns, ""},
		"delegation in base": {"y: " + ns, "canary: " + ns, "ZONE-11 a.io._0_base.yaml:1"},
		"at the sub-zone":    {"# nothing\n", "canary: {type: A, value: 192.0.2.1}\n", "ZONE-10 a.io._1_more.yaml:1"},
		"below the sub-zone": {"# nothing\n", "x.canary: {type: A, value: 192.0.2.1}\n", "ZONE-10 a.io._1_more.yaml:1"},
		"beside it":          {"# nothing\n", "xcanary: {type: A, value: 192.0.2.1}\n", ""},
	} {
		_, problems := load(t, tree(config, configOf("a.io.", "canary.a.io."), "a.io._0_base.yaml", c.base, "a.io._1_more.yaml", c.extra,
			"canary.a.io.yaml", "-> a.io._0_base.yaml"))
		if got := strings.Join(problems, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	good := configOf("a.io.")
	for name, c := range map[string]struct{ config, want string }{
		"as k8s.io has it":    {good, ""},
		"new class":           {strings.Replace(good, "octodns.provider.googlecloud.", "octodns_googlecloud.", 1), ""},
		"another target":      {strings.Replace(good, "octodns.provider.googlecloud.Google", "octodns_powerdns.Power", 1), ""},
		"default ttl":         {strings.Replace(good, "enforce_order", "default_ttl: 300\n    enforce_order", 1), ""},
		"empty":               {"# nothing", "ZONE-1 octodns-config.yaml:0"},
		"no YAML":             {"a: [", "ZONE-4 octodns-config.yaml:1"},
		"no zones":            {"providers: {}", "ZONE-1 octodns-config.yaml:0"},
		"misspelt":            {good + "provider: {}\n", "ZONE-1 octodns-config.yaml:15"},
		"no such provider":    {strings.Replace(good, "- config", "- conf", 1), "ZONE-1 octodns-config.yaml:10"},
		"source is a target":  {strings.Replace(good, "- config", "- gcp", 1), "ZONE-1 octodns-config.yaml:10"},
		"no class":            {strings.Replace(good, "class: octodns.provider.yaml.YamlProvider", "class:", 1), "ZONE-1 octodns-config.yaml:2"},
		"no directory":        {strings.Replace(good, "directory: ./zone-configs", "directory:", 1), "ZONE-1 octodns-config.yaml:2"},
		"by the environment":  {strings.Replace(good, "./zone-configs", "env/DIR", 1), "ZONE-1 octodns-config.yaml:2"},
		"outside":             {strings.Replace(good, "./zone-configs", "../../x", 1), "ZONE-1 octodns-config.yaml:2"},
		"not there":           {strings.Replace(good, "./zone-configs", "./zones", 1), "ZONE-1 octodns-config.yaml:2"},
		"another meaning":     {strings.Replace(good, "enforce_order", "split_extension: .d\n    enforce_order", 1), "ZONE-1 octodns-config.yaml:5"},
		"ttl":                 {strings.Replace(good, "enforce_order", "default_ttl: 1h\n    enforce_order", 1), "ZONE-1 octodns-config.yaml:5"},
		"processors":          {strings.Replace(good, "    sources:", "    processors: [x]\n    sources:", 1), "ZONE-1 octodns-config.yaml:11"},
		"manager processors":  {good + "manager: {processors: [x]}\n", "ZONE-1 octodns-config.yaml:15"},
		"no final dot":        {strings.Replace(good, "a.io.:", "a.io:", 1), "ZONE-1 octodns-config.yaml:10"},
		"no name":             {strings.Replace(good, "a.io.:", "'a b.':", 1), "ZONE-1 octodns-config.yaml:10"},
		"pattern":             {strings.Replace(good, "a.io.:", "'*':", 1), "ZONE-1 octodns-config.yaml:10"},
		"no sources":          {strings.Replace(good, "    sources:\n    - config\n", "", 1), "ZONE-1 octodns-config.yaml:10"},
		"sources of a text":   {strings.Replace(good, "\n    - config", " config", 1), "ZONE-1 octodns-config.yaml:10, ZONE-1 octodns-config.yaml:11"},
		"alias":               {good + "  b.io.:\n    alias: a.io.\n", "ZONE-1 octodns-config.yaml:16"},
		"twice":               {good + "  A.io.: {sources: [config]}\n", "ZONE-1 octodns-config.yaml:15"},
		"twice in one letter": {good + "  a.io.: {sources: [config]}\n", "ZONE-5 octodns-config.yaml:15"},
		"no file":             {good + "  b.io.: {sources: [config]}\n", "ZONE-2 octodns-config.yaml:15"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, problems := load(t, tree(config, c.config, "a.io._0_base.yaml", "x: {type: A, value: 192.0.2.1}\n"))
			if got := strings.Join(problems, ", "); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if name == "default ttl" && cfg.Zones[0].Records[0].TTL != 300 {
				t.Error("the default ttl is not that of the provider")
			}
		})
	}
	if _, _, err := Load(fstest.MapFS{}, config); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no configuration: %v", err)
	}
}

// An error of reading is no fault of the files: nothing is said then.
func TestUnreadable(t *testing.T) {
	fsys := one("x: {type: A, value: 192.0.2.1}\n")
	for _, name := range []string{config, "dns/zone-configs", "dns/zone-configs/a.io._0_base.yaml"} {
		if _, _, err := Load(broken{fsys, name}, config); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var errBroken = errors.New("broken disk")

type broken struct {
	fstest.MapFS
	name string
}

func (b broken) Open(name string) (fs.File, error) {
	if name == b.name {
		return nil, errBroken
	}
	return b.MapFS.Open(name)
}

func (b broken) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == b.name {
		return nil, errBroken
	}
	return b.MapFS.ReadDir(name)
}

// A credential in a file is not repeated by what is said about the file.
func TestProblemsHoldNoSecret(t *testing.T) {
	token := "ghp_" + strings.Repeat("x1", 18)
	_, found, err := Load(one("x: {type: A, value: "+token+"}\n"+token+"!: {type: A}\ny: {type: "+token+"}\nz: [\n"+token+": x\n"), config)
	if err != nil || len(found) == 0 {
		t.Fatalf("%v %v", found, err)
	}
	_, more, err := Load(one("x: {type: A, value: "+token+"}\n"+token+"!: {type: A}\ny: {type: "+token+"}\n"), config)
	if err != nil || len(more) != 3 {
		t.Fatalf("%v %v", more, err)
	}
	for _, f := range append(found, more...) {
		if strings.Contains(fmt.Sprint(f), token) {
			t.Errorf("shown: %s", f.Message)
		}
	}
}

// A hostile tree costs little and is cut.
func TestBounds(t *testing.T) {
	alias := "a: &a {type: NS, values: [b.io." + strings.Repeat(",b.io.", 9999) + "]}\n"
	for i := range 60 {
		alias += fmt.Sprintf("n%d: *a\n", i)
	}
	c, problems := load(t, one(alias))
	if len(problems) == 0 || len(problems) > maxProblems+1 || !c.Zones[0].Faulty {
		t.Errorf("%d problems, faulty %v", len(problems), c.Zones[0].Faulty)
	}
	merges := "a: &a {x: 1, y: 2}\n"
	before := "a"
	for _, name := range []string{"b", "c", "d", "e", "f", "g"} {
		merges += name + ": &" + name + " {<<: [" + strings.TrimSuffix(strings.Repeat("*"+before+",", 50), ",") + "]}\n"
		before = name
	}
	if _, problems = load(t, one(merges)); len(problems) == 0 {
		t.Error("merge keys that multiply are not reported")
	}
	c, problems = load(t, one(strings.Repeat("#", maxFile+1)))
	if !slices.Equal(problems, []string{"ZONE-4 a.io._0_base.yaml:0"}) || !c.Zones[0].Faulty {
		t.Errorf("huge: %v", problems)
	}
}

func TestMisread(t *testing.T) {
	s := scalars{pythons()}
	for text, want := range map[string]string{
		"yes": "a boolean", "Off": "a boolean", "y": "", "NO": "a boolean", "nO": "", "~": "nothing", "null": "nothing", "": "nothing",
		"1:30": "a number", "190:20:30.15": "a number", "1:99": "", "0777": "a number", "1_000": "a number", "0x1F": "a number", "0b1": "a number",
		"08": "", "1.5": "a number", "1.0e+5": "a number", "1e5": "", "5201e8": "", "12e34": "", "8d02d39186": "", ".5": "a number", ".inf": "a number",
		"2024-01-01": "a date", "2024-1-1": "", "2001-12-14t21:59:43.10-05:00": "a date", "=": "a default value", "<<": "a merge key",
		"192.0.2.1": "", "-4bY": "", "2001:4860:4802:32::15": "", "v=spf1": "", "7ujw4gp3z2cq": "",
	} {
		if got := s.misread(&yaml.Node{Kind: yaml.ScalarNode, Value: text}); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := s.misread(&yaml.Node{Kind: yaml.ScalarNode, Value: "yes", Style: yaml.SingleQuotedStyle}); got != "" {
		t.Errorf("a quoted text is %s", got)
	}
}

// The real zones load; the one fault in them is a delegation that the canary inherits.
func TestRealTree(t *testing.T) {
	if _, err := os.Stat(realTree); err != nil {
		t.Skip("real data is not here: " + realTree)
	}
	c, problems := load(t, os.DirFS(realTree))
	if !slices.Equal(problems, []string{"ZONE-11 k8s.io._0_base.yaml:423"}) {
		t.Errorf("problems %v", problems)
	}
	counts := map[string]int{}
	for _, z := range c.Zones {
		counts[z.Name] = len(z.Records)
		if z.Faulty || len(z.Unclear) > 0 {
			t.Errorf("%s is not read whole", z.Name)
		}
	}
	if len(counts) != 14 || counts["k8s.io."] != 140 || counts["canary.k8s.io."] != 136 || counts["k8s-e2e.com."] != 1 || counts["canary.k8s-e2e.com."] != 0 {
		t.Errorf("records: %v", counts)
	}
	r := c.Zone("k8s.io.").Record(Key{"artifacts.k8s.io.", "A"})
	if r == nil || r.TTL != 300 || r.File != "dns/zone-configs/k8s.io._0_base.yaml" {
		t.Errorf("artifacts: %+v", r)
	}
	if r := c.Zone("k8s.io.").Record(Key{"canary.k8s.io.", "NS"}); r == nil || r.File != "dns/zone-configs/k8s.io._1_canary.yaml" || r.Line != 2 || len(r.Values) != 4 {
		t.Errorf("canary: %+v", r)
	}
	if r := c.Zone("canary.k8s.io.").Record(Key{"*.docs.canary.k8s.io.", "CNAME"}); r == nil || r.File != "dns/zone-configs/k8s.io._0_base.yaml" {
		t.Errorf("the linked canary: %+v", r)
	}
}

// The manual lists every rule, in order.
func TestRulesAreDocumented(t *testing.T) {
	for page, rules := range map[string][]string{
		"zones.md": {ruleConfig, ruleNoFile, ruleLink, ruleFile, ruleTwice, ruleJoin, ruleName, ruleRecord, ruleQuote, ruleState, ruleInherited, ruleStray},
		"audit-dns.md": {ruleMissing, ruleUndeclared, ruleValue, ruleTTL, ruleDisagree, ruleSerial, ruleLame, ruleApex, ruleChild,
			ruleTakeover, ruleDangling, ruleSecret},
	} {
		raw, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		rest := string(raw)
		for _, rule := range rules {
			_, after, found := strings.Cut(rest, "- **"+rule+"**")
			if !found {
				t.Fatalf("docs/%s lacks %s, or its order is another", page, rule)
			}
			rest = after
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(configOf("a.io.", "canary.a.io."), "x: &a {type: A, value: 192.0.2.1}\ny: *a\n", "a.io._0_base.yaml")
	f.Add(configOf("a.io."), "'': [{type: TXT, values: ['a\\;b', 1:30]}, {type: MX, value: {preference: 1, exchange: .}}]\n", "y: {<<: {type: A}, value: 1}")
	f.Add(configOf("a.io."), "x: &a {<<: *a, type: CAA, values: [{tag: issue, value: ';'}]}\n", "---\nx: {type: NS, values: [a.]}")
	f.Fuzz(func(t *testing.T, text, base, more string) {
		c, found, err := Load(tree(config, text, "a.io._0_base.yaml", base, "a.io._1_more.yaml", more, "canary.a.io.yaml", "-> a.io._0_base.yaml"), config)
		if err != nil {
			return
		}
		for _, p := range found {
			if p.File == "" || p.Line < 0 || p.Rule == "" || p.Severity < finding.Warning {
				t.Errorf("%+v", p)
			}
		}
		for _, z := range c.Zones {
			for i, r := range z.Records {
				if i > 0 && compareKeys(z.Records[i-1].Key(), r.Key()) >= 0 {
					t.Errorf("not sorted: %s", r.Key())
				}
				roundTrip(t, r.RRset)
			}
			z.Questions()
		}
	})
}

func BenchmarkLoadRealZones(b *testing.B) {
	if _, err := os.Stat(realTree); err != nil {
		b.Skip("real data is not here: " + realTree)
	}
	b.ReportAllocs()
	for b.Loop() {
		if c, _, err := Load(os.DirFS(realTree), config); err != nil || len(c.Zones) != 14 {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad100kRecords(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "n%06d:\n  type: A\n  value: 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	fsys := one(text.String())
	b.ReportAllocs()
	for b.Loop() {
		if c, _, err := Load(fsys, config); err != nil || len(c.Zones[0].Records) != 100_000 {
			b.Fatal(err)
		}
	}
}
