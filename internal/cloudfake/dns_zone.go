// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"sigs.k8s.io/steward/internal/zone"
)

// served is a zone as one server has it.
type served struct {
	name   string
	serial uint32
	sets   map[zone.Key]zone.RRset
	names  map[string]bool // that exist, empty ones included
}

// apexTTL is that of SOA and NS, which octoDNS does not declare.
const apexTTL = 3600

// Load gives the server a zone as it is declared, in place of the one it had.
func (n *NameServer) Load(z *zone.Zone) {
	s := &served{name: z.Name, serial: 1, sets: map[zone.Key]zone.RRset{}}
	for _, r := range z.Records {
		s.sets[r.Key()] = r.RRset
	}
	s.index()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.zones[z.Name] = s
}

// Clear takes all zones away.
func (n *NameServer) Clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.zones = map[string]*served{}
}

// AllowTransfer says whether the server gives its zones whole.
func (n *NameServer) AllowTransfer(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.transfer = yes
}

// Hostile makes the server hostile in a way, or with "" a good one again.
func (n *NameServer) Hostile(how string) error {
	if !slices.Contains(hostilities(), how) {
		return fmt.Errorf("hostile %q is not one of %s", how, strings.Join(hostilities()[1:], ", "))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hostile = how
	return nil
}

func (n *NameServer) change(zoneName string, do func(*served) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	z := n.zones[zoneName]
	if z == nil {
		return fmt.Errorf("name server %s has no zone %q", n.name, zoneName)
	}
	if err := do(z); err != nil {
		return fmt.Errorf("name server %s: %w", n.name, err)
	}
	z.index()
	return nil
}

// Set adds a record set, or replaces the one that is there. The serial stays: that of
// some providers never changes.
func (n *NameServer) Set(zoneName string, set zone.RRset) error {
	return n.change(zoneName, func(z *served) error {
		if _, err := set.Wire(); err != nil {
			return err
		}
		set.Values = slices.Sorted(slices.Values(set.Values))
		z.sets[set.Key()] = set
		return nil
	})
}

// Remove takes a record set away.
func (n *NameServer) Remove(zoneName string, key zone.Key) error {
	return n.change(zoneName, func(z *served) error {
		if _, ok := z.sets[key]; !ok {
			return fmt.Errorf("there is no %s", key)
		}
		delete(z.sets, key)
		return nil
	})
}

// SetSerial changes the serial of a zone.
func (n *NameServer) SetSerial(zoneName string, serial uint32) error {
	return n.change(zoneName, func(z *served) error { z.serial = serial; return nil })
}

// index finds the names that exist: those with records and those above them.
func (z *served) index() {
	z.names = map[string]bool{z.name: true}
	for key := range z.sets {
		for name := key.Name; name != z.name && dns.IsSubDomain(z.name, name); name = above(name) {
			z.names[name] = true
		}
	}
}

func above(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// reply is what is said of a question.
type reply struct {
	rcode     int
	aa        bool
	answer    []dns.RR
	authority []dns.RR
}

// answer resolves a question as RFC 1034 4.3.2 says.
func (n *NameServer) answer(q dns.Question) reply {
	name := strings.ToLower(q.Name)
	z := n.zoneOf(name, q.Qtype)
	if z == nil {
		return reply{rcode: dns.RcodeRefused}
	}
	r := reply{aa: true}
	for range maxChain {
		next := n.step(z, name, q, &r)
		if next == "" {
			break
		}
		name = next
	}
	return r
}

// maxChain bounds CNAMEs that point at each other.
const maxChain = 8

// step answers for one name, and returns where a CNAME leads inside the zone.
func (n *NameServer) step(z *served, name string, q dns.Question, r *reply) (next string) {
	if cut := z.cut(name); cut != "" && (cut != name || q.Qtype != dns.TypeDS) {
		if len(r.answer) == 0 {
			r.aa, r.authority = false, records(z.sets[zone.Key{Name: cut, Type: "NS"}], cut)
		}
		return ""
	}
	at := name
	if !z.names[name] {
		if at = z.wildcard(name); at == "" {
			r.rcode, r.authority = dns.RcodeNameError, []dns.RR{n.soa(z)}
			return ""
		}
	}
	kind := dns.Type(q.Qtype).String()
	set, ok := z.sets[zone.Key{Name: at, Type: kind}]
	if !ok && kind == "NS" && at == z.name {
		set, ok = n.apexNS(z), true
	}
	cname, aliased := z.sets[zone.Key{Name: at, Type: "CNAME"}]
	switch {
	case q.Qtype == dns.TypeSOA && at == z.name:
		r.answer = append(r.answer, n.soa(z))
	case ok:
		r.answer = append(r.answer, records(set, name)...)
	case aliased:
		r.answer = append(r.answer, records(cname, name)...)
		if target := cname.Values[0]; dns.IsSubDomain(z.name, target) {
			return target
		}
	case len(r.answer) == 0:
		r.authority = []dns.RR{n.soa(z)}
	}
	return ""
}

// zoneOf is the zone with the longest name above a name; a DS is in the parent.
func (n *NameServer) zoneOf(name string, kind uint16) *served {
	if kind == dns.TypeDS && n.zones[name] != nil && name != "." {
		if z := n.zoneOf(above(name), 0); z != nil {
			return z
		}
	}
	for name != "" {
		if z := n.zones[name]; z != nil {
			return z
		}
		name = above(name)
	}
	return nil
}

// cut is the highest delegation at or above a name.
func (z *served) cut(name string) string {
	found := ""
	for ; name != z.name && dns.IsSubDomain(z.name, name); name = above(name) {
		if _, ok := z.sets[zone.Key{Name: name, Type: "NS"}]; ok {
			found = name
		}
	}
	return found
}

// wildcard is the wildcard that stands in for a name that does not exist: the one right
// below the closest name that does (RFC 4592).
func (z *served) wildcard(name string) string {
	for !z.names[name] {
		name = above(name)
	}
	if z.names["*."+name] {
		return "*." + name
	}
	return ""
}

func (n *NameServer) soa(z *served) dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: apexTTL},
		Ns:  n.name + ".fake.", Mbox: "hostmaster.fake.", Serial: z.serial, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: 300,
	}
}

// apexNS are the name servers of a zone that does not name any: those that the zone
// above delegates it to, where this server has that one, or all servers of the part.
func (n *NameServer) apexNS(z *served) zone.RRset {
	set := zone.RRset{Name: z.name, Type: "NS", TTL: apexTTL, Values: n.dns.hosts()}
	if up := n.zoneOf(above(z.name), 0); up != nil {
		if delegated, ok := up.sets[set.Key()]; ok {
			set.Values = delegated.Values
		}
	}
	return set
}

// records are a set under a name, which for a wildcard is that which was asked for. Sets
// were checked when they came in; those without a form on the wire are not served.
func records(set zone.RRset, name string) []dns.RR {
	rrs, err := set.Wire()
	if err != nil {
		return nil
	}
	for _, rr := range rrs {
		rr.Header().Name = name
	}
	return rrs
}

// whole is a zone as a transfer has it, without the SOA.
func (n *NameServer) whole(z *served) []dns.RR {
	var rrs []dns.RR
	if _, ok := z.sets[zone.Key{Name: z.name, Type: "NS"}]; !ok {
		rrs = records(n.apexNS(z), z.name)
	}
	keys := slices.SortedFunc(maps.Keys(z.sets), func(a, b zone.Key) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		rrs = append(rrs, records(z.sets[key], key.Name)...)
	}
	return rrs
}
