// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

// The rules of what is served; docs/audit-dns.md says what each means.
const (
	ruleMissing    = "DNS-1" // a declared set that is not served
	ruleUndeclared = "DNS-2" // a set that nobody declares
	ruleValue      = "DNS-3" // other values
	ruleTTL        = "DNS-4" // another TTL
	ruleDisagree   = "DNS-5" // servers that answer differently
	ruleSerial     = "DNS-6" // servers that have different versions of the zone
	ruleLame       = "DNS-7" // a server that does not serve the zone
	ruleApex       = "DNS-8" // name servers that are not those of the delegation
	ruleChild      = "DNS-9" // a delegation that is not what the child says of itself

	ruleTakeover = "DNS-TAKEOVER" // a record that hands a name to whoever claims it
	ruleDangling = "DNS-DANGLING" // a delegation to servers that do not serve the child
	ruleSecret   = "DNS-SECRET"   // a record that holds a credential
)

// Observed is a server of a zone and what it showed; View is nil where it could not be
// read.
type Observed struct {
	Server Server
	View   *View
}

// Comparison is how a zone differs from what is declared.
type Comparison struct {
	Found []finding.Finding // all but Absent
	// Absent are declared sets that every server of the zone, without exception, says do
	// not exist.
	Absent   []finding.Finding
	Declared int // sets that could be compared
}

// comparer compares one zone.
type comparer struct {
	zone    *Zone
	secrets *secret.Scanner
	servers []server
	records map[Key]*Record
	asked   map[string][]string
	// children are delegations of which servers show the child's own, other NS.
	children map[Key][]string
	hidden   map[Key][]Credential // sets with a credential in them, on either side
	out      Comparison
}

// server is an Observed with indexes.
type server struct {
	name    string
	view    *View
	sets    map[Key]RRset
	unknown map[Key]bool
}

// Compare says how the servers of a zone differ from what it declares. It is pure; of a
// zone whose files could not be read, nothing is said.
func Compare(z *Zone, all []Observed, secrets *secret.Scanner) Comparison {
	if z.Faulty {
		return Comparison{}
	}
	c := &comparer{
		zone: z, secrets: secrets, records: make(map[Key]*Record, len(z.Records)), asked: map[string][]string{},
		children: map[Key][]string{}, hidden: map[Key][]Credential{},
	}
	for i := range z.Records {
		c.records[z.Records[i].Key()] = &z.Records[i]
	}
	if slices.ContainsFunc(all, func(o Observed) bool { return o.View != nil && !o.View.Whole }) {
		for _, q := range z.Questions() {
			c.asked[q.Name] = q.Types
		}
	}
	for _, o := range all {
		c.servers = append(c.servers, c.index(o))
	}
	c.credentials()
	for _, key := range c.keys() {
		c.set(key)
	}
	for _, r := range z.Delegations() {
		if sides := c.children[r.Key()]; len(sides) > 0 {
			c.out.Found = append(c.out.Found, childDiffers(r, some(sides)))
		}
	}
	c.zoneItself()
	c.nameServers(all)
	return c.out
}

// index prepares a server. One that does not serve the zone shows nothing of it.
func (c *comparer) index(o Observed) server {
	s := server{name: o.Server.String(), view: o.View}
	if o.View == nil || o.View.Lame {
		return s
	}
	s.sets, s.unknown = make(map[Key]RRset, len(o.View.Sets)), map[Key]bool{}
	for _, set := range o.View.Sets {
		if set.Type == "NS" && slices.Contains(o.View.Child, set.Name) {
			c.ofChild(&s, set)
		} else if o.View.Whole || !c.synthesised(set) {
			s.sets[set.Key()] = set
		}
	}
	for _, key := range o.View.Unknown {
		s.unknown[key] = true
	}
	return s
}

// ofChild takes the NS that a server gave from the child zone in place of those of a
// delegation. Equal ones say that the delegation is right; others say what the child
// calls itself, and nothing of what the zone has.
func (c *comparer) ofChild(s *server, set RRset) {
	r := c.records[set.Key()]
	switch {
	case r == nil:
		s.sets[set.Key()] = set
	case slices.Equal(r.Values, set.Values):
		set.TTL = r.TTL // that of the child says nothing
		s.sets[set.Key()] = set
	default:
		s.unknown[set.Key()] = true
		c.children[set.Key()] = append(c.children[set.Key()], s.name+": "+strings.Join(set.Values, ", "))
	}
}

// synthesised tells an answer that a declared wildcard gives for a name which has no
// such set itself.
func (c *comparer) synthesised(set RRset) bool {
	if c.records[set.Key()] != nil || strings.HasPrefix(set.Name, "*.") {
		return false
	}
	for above := parent(set.Name); under(above, c.zone.Name); above = parent(above) {
		if r := c.records[Key{"*." + above, set.Type}]; r != nil {
			return r.TTL == set.TTL && slices.Equal(r.Values, set.Values)
		}
	}
	return false
}

// knows tells whether a server said something about a set, and what.
func (c *comparer) knows(s server, key Key) (set *RRset, known bool) {
	if s.sets == nil {
		return nil, false
	}
	if set, ok := s.sets[key]; ok {
		return &set, true
	}
	if s.view.Whole {
		return nil, true
	}
	if s.unknown[key] || s.unknown[Key{Name: key.Name}] {
		return nil, false
	}
	return nil, slices.Contains(c.asked[key.Name], key.Type)
}

// credentials notes every set that holds one, and reports it.
func (c *comparer) credentials() {
	note := func(found []Credential) {
		for _, f := range found {
			if !slices.Contains(c.hidden[f.Key], f) {
				c.hidden[f.Key] = append(c.hidden[f.Key], f)
			}
		}
	}
	for _, r := range c.zone.Records {
		_, found := redact(c.secrets, r.RRset)
		note(found)
	}
	for _, s := range c.servers {
		if s.view != nil {
			note(s.view.Secrets)
		}
	}
	var keys []Key
	for key := range c.hidden {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareKeys)
	for _, key := range keys {
		for _, h := range c.hidden[key] {
			f := c.about(key, ruleSecret, finding.Critical, "the record is public and holds what looks like a "+h.Kind+" ("+h.Mark+")")
			f.Visibility, f.Field, f.Fix = finding.Private, h.Mark, "revoke the credential, then remove the record"
			c.out.Found = append(c.out.Found, f)
		}
	}
}

// keys lists what is declared and what is served and can be compared, sorted.
func (c *comparer) keys() []Key {
	var all []Key
	for _, r := range c.zone.Records {
		all = append(all, r.Key())
	}
	for _, s := range c.servers {
		for key := range s.sets {
			all = append(all, key)
		}
	}
	slices.SortFunc(all, compareKeys)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, c.skip)
}

// skip leaves out what the zone's files do not speak of: what servers make themselves,
// the name servers of the zone unless they are declared, what is unclear or somebody
// else's, and what an ALIAS, which no server shows, turns into.
func (c *comparer) skip(key Key) bool {
	z := c.zone
	switch key.Type {
	case "SOA", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "ZONEMD", "TYPE65534", "ALIAS":
		return true
	case "NS":
		if key.Name == z.Name && c.records[key] == nil {
			return true
		}
	case "A", "AAAA":
		if c.records[Key{key.Name, "ALIAS"}] != nil {
			return true
		}
	}
	return !under(key.Name, z.Name) || z.isUnclear(key.Name) || slices.Contains(z.Ignored, key)
}

// state is what some servers have in common.
type state struct {
	set     *RRset // nil where there is none
	servers []string
}

// group puts servers together that show the same of a set; silent are those of which
// nothing is known.
func (c *comparer) group(key Key) (states []state, silent []string) {
	for _, s := range c.servers {
		set, known := c.knows(s, key)
		if !known {
			silent = append(silent, s.name)
			continue
		}
		i := slices.IndexFunc(states, func(st state) bool { return same(st.set, set) })
		if i < 0 {
			i = len(states)
			states = append(states, state{set: set})
		}
		states[i].servers = append(states[i].servers, s.name)
	}
	return states, silent
}

// set compares one set over all servers. Whatever is wrong with it is one finding.
func (c *comparer) set(key Key) {
	states, silent := c.group(key)
	if len(states) == 0 {
		return
	}
	var declared *RRset
	if r := c.records[key]; r != nil {
		c.out.Declared++
		set := r.RRset
		if len(c.hidden[key]) > 0 {
			set.Values, _ = redact(c.secrets, set)
		}
		declared = &set
	}
	if len(states) > 1 || !same(declared, states[0].set) {
		c.judge(key, declared, states, silent)
	}
}

func same(a, b *RRset) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.TTL == b.TTL && slices.Equal(a.Values, b.Values)
}

// judge makes the finding of a set that is not everywhere as it is declared.
func (c *comparer) judge(key Key, declared *RRset, states []state, silent []string) {
	if c.takeover(key, declared, states) {
		return
	}
	severity, by := severity(c.zone, key), by(states[0].servers, silent)
	var f finding.Finding
	switch served := states[0].set; {
	case len(states) > 1:
		if onlyTTL(states) {
			severity = finding.Warning
		}
		f = c.about(key, ruleDisagree, severity, "the servers of the zone answer differently")
	case served == nil:
		f = c.about(key, ruleMissing, severity, "declared and not served "+by)
		c.out.Absent = append(c.out.Absent, differ(f, declared, states))
		return
	case declared == nil:
		f = c.about(key, ruleUndeclared, severity, "declared nowhere and served "+by)
		f.Fix = "declare it in " + c.zone.File + ", or delete it"
	case slices.Equal(declared.Values, served.Values):
		f = c.about(key, ruleTTL, finding.Warning, "another TTL than declared is served "+by)
	default:
		f = c.about(key, ruleValue, severity, "other values than declared are served "+by)
	}
	c.out.Found = append(c.out.Found, differ(f, declared, states))
}

// by names servers.
func by(servers, silent []string) string {
	text := "by " + some(servers)
	if len(silent) > 0 {
		text += "; unknown of " + some(silent)
	}
	return text
}

// onlyTTL tells whether all states exist and have the same values.
func onlyTTL(states []state) bool {
	for _, s := range states {
		if s.set == nil || !slices.Equal(s.set.Values, states[0].set.Values) {
			return false
		}
	}
	return true
}

// severity is how bad it is that a set is another one: what decides about the whole
// zone, where mail goes, who else answers and who may issue certificates is worst.
func severity(z *Zone, key Key) finding.Severity {
	if key.Name == z.Name {
		return finding.Critical
	}
	switch key.Type {
	case "MX", "NS", "CAA", "DS":
		return finding.Critical
	}
	return finding.Error
}

// takeover finds served values that nobody declares and anybody can claim.
func (c *comparer) takeover(key Key, declared *RRset, states []state) bool {
	for _, s := range states {
		if s.set == nil {
			continue
		}
		for _, value := range s.set.Values {
			who := claim(key.Type, value)
			if who == "" || declared != nil && slices.Contains(declared.Values, value) {
				continue
			}
			f := c.about(key, ruleTakeover, finding.Critical, "declared nowhere, served, and points at "+who+", where anybody can claim names")
			f.Visibility, f.Fix = finding.Private, "delete the record, or declare it and make sure that the target is yours"
			c.out.Found = append(c.out.Found, differ(f, declared, states))
			return true
		}
	}
	return false
}

// about begins a finding on a set of the zone.
func (c *comparer) about(key Key, rule string, severity finding.Severity, message string) finding.Finding {
	f := finding.Finding{Rule: rule, Severity: severity, Object: key.String(), File: c.zone.File, Message: message}
	if r := c.records[key]; r != nil {
		f.File, f.Line = r.File, r.Line
	}
	if len(c.hidden[key]) > 0 {
		f.Visibility = finding.Private // also another difference would tell where the credential is
	}
	return f
}

// differ adds both sides.
func differ(f finding.Finding, declared *RRset, states []state) finding.Finding {
	f.Declared = show(declared)
	if f.Observed = show(states[0].set); len(states) > 1 {
		f.Observed = sides(states)
	}
	return f
}

// sides is what each group of servers shows.
func sides(states []state) string {
	var all []string
	for _, s := range states {
		all = append(all, some(s.servers)+": "+orNothing(show(s.set)))
	}
	return strings.Join(all, "; ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// Bounds of what a finding shows of a set.
const (
	maxShownValues = 16
	maxShownValue  = 300
	maxShownNames  = 8
)

// show is a set as a person reads it; "" where there is none.
func show(set *RRset) string {
	if set == nil {
		return ""
	}
	var values []string
	cut := false
	for i, v := range set.Values {
		if i == maxShownValues {
			values, cut = append(values, fmt.Sprintf("… %d more", len(set.Values)-i)), true
			break
		}
		if len(v) > maxShownValue {
			v, cut = fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(v[:maxShownValue], ""), len(v)), true
		}
		values = append(values, v)
	}
	if cut { // what is not shown still tells one state from another
		sum := sha256.Sum256([]byte(strings.Join(set.Values, "\x00")))
		values = append(values, fmt.Sprintf("in all sha256:%x", sum[:8]))
	}
	return fmt.Sprintf("TTL %d: %s", set.TTL, strings.Join(values, ", "))
}

// some is a short list of names.
func some(names []string) string {
	if len(names) <= maxShownNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxShownNames], ", "), len(names)-maxShownNames)
}

// zoneItself compares the servers with each other: serials, and whether they serve it.
func (c *comparer) zoneItself() {
	bySerial := map[uint32][]string{}
	var serials []uint32
	for _, s := range c.servers {
		switch {
		case s.view == nil:
		case s.view.Lame:
			f := c.about(Key{c.zone.Name, "SOA"}, ruleLame, finding.Critical, s.name+" is a name server of the zone and does not serve it")
			f.Field, f.Observed = s.name, "no authoritative answer"
			c.out.Found = append(c.out.Found, f)
		default:
			if bySerial[s.view.Serial] == nil {
				serials = append(serials, s.view.Serial)
			}
			bySerial[s.view.Serial] = append(bySerial[s.view.Serial], s.name)
		}
	}
	if len(serials) < 2 {
		return
	}
	slices.Sort(serials)
	var sides []string
	for _, serial := range serials {
		sides = append(sides, fmt.Sprintf("%s: %d", some(bySerial[serial]), serial))
	}
	f := c.about(Key{c.zone.Name, "SOA"}, ruleSerial, finding.Warning, "the servers have different versions of the zone")
	f.Observed = strings.Join(sides, "; ")
	c.out.Found = append(c.out.Found, f)
}

// nameServers compares the name servers that the zone names with those by which it was
// found; where these have no names, with each other. octoDNS leaves them alone.
func (c *comparer) nameServers(all []Observed) {
	key := Key{c.zone.Name, "NS"}
	if c.records[key] != nil || c.zone.isUnclear(key.Name) {
		return // compared as any set
	}
	var expected []string
	for _, o := range all {
		if o.Server.Name != "" {
			expected = append(expected, o.Server.Name)
		}
	}
	slices.Sort(expected)
	expected = slices.Compact(expected)
	states, _ := c.group(key)
	if len(expected) > 0 {
		states = slices.DeleteFunc(states, func(s state) bool { return s.set != nil && slices.Equal(s.set.Values, expected) })
	} else if len(states) < 2 {
		return
	}
	if len(states) == 0 {
		return
	}
	f := c.about(key, ruleApex, finding.Critical, "the zone names other name servers than those by which it is found")
	f.Declared, f.Observed = strings.Join(expected, ", "), sides(states)
	c.out.Found = append(c.out.Found, f)
}
