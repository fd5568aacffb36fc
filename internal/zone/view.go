// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"maps"
	"net"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/secret"
)

// Server is a server that is meant to be authoritative for a zone.
type Server struct {
	Name string `json:"name,omitempty"` // of the host, with the final dot; "" where only the address is known
	Addr string `json:"addr"`           // host:port
}

// String is how findings and units call it, the same in every run.
func (s Server) String() string {
	addr := s.Addr
	if host, port, err := net.SplitHostPort(addr); err == nil && port == "53" {
		addr = host
	}
	if s.Name == "" {
		return addr
	}
	return strings.TrimSuffix(s.Name, ".") + "/" + addr
}

// Kind is what sort of answer a server gave.
type Kind int

// The kinds. All but Lame and Referral are authoritative.
const (
	Data     Kind = iota // the set asked for, or the CNAME at the name
	NoData               // the name exists and has no such records
	NoName               // the name does not exist
	Referral             // the name is delegated; the set is that of the delegation
	Lame                 // the server does not serve the zone
)

// Answer is what a server says about a name and a type.
type Answer struct {
	Kind   Kind
	Set    RRset  // of Data and Referral
	Serial uint32 // where an SOA was asked for
}

// View is what one server showed of a zone. It is plain data, and holds no secret once
// Redact was called.
type View struct {
	Whole  bool   `json:"whole,omitempty"` // by a transfer: what is not in Sets does not exist
	Lame   bool   `json:"lame,omitempty"`
	Serial uint32 `json:"serial,omitempty"`
	// Sets is sorted by name and type.
	Sets []RRset `json:"sets,omitempty"`
	// Unknown is what was asked and not answered; of a Key without a type, all types.
	Unknown []Key `json:"unknown,omitempty"`
	// Child are delegated names for which the server answered from the child zone, which
	// it serves as well: the TTL is that of the child.
	Child   []string     `json:"child,omitempty"`
	Secrets []Credential `json:"secrets,omitempty"`
}

// Credential is a secret that was found and replaced.
type Credential struct {
	Key
	Kind string `json:"kind"`
	Mark string `json:"mark"`
}

// Redact replaces credentials in all names and values and notes where they were.
func (v *View) Redact(s *secret.Scanner) {
	for i, set := range v.Sets {
		name, inName := s.Redact(set.Name)
		set.Name, v.Sets[i].Name = name, name
		for _, m := range inName {
			v.Secrets = append(v.Secrets, Credential{set.Key(), m.Kind, m.Mark})
		}
		values, found := redact(s, set)
		v.Sets[i].Values = values
		v.Secrets = append(v.Secrets, found...)
	}
}

// redact returns values without credentials. The mark stays, so that two values with
// the same credential are still the same.
func redact(s *secret.Scanner, set RRset) ([]string, []Credential) {
	var found []Credential
	values := set.Values
	for i, value := range set.Values {
		text, matches := s.Redact(value)
		if len(matches) == 0 {
			continue
		}
		if len(found) == 0 {
			values = slices.Clone(set.Values)
		}
		values[i] = text
		for _, m := range matches {
			found = append(found, Credential{set.Key(), m.Kind, m.Mark})
		}
	}
	if len(found) > 0 {
		slices.Sort(values)
		values = slices.Compact(values)
	}
	return values, found
}

// Question is what to ask of a server that gives no transfer about one name.
type Question struct {
	Name  string
	Types []string
}

// AskedTypes are asked at every name. CNAME is first: a name that has one has nothing
// else, and no server follows it when it is what was asked for.
func AskedTypes() []string {
	return []string{
		"CNAME", "A", "AAAA", "NS", "MX", "TXT", "CAA", "SRV", "PTR", "DS", "DNAME", "HTTPS", "NAPTR", "SPF", "SSHFP", "SVCB", "TLSA",
	}
}

// Questions lists what queries can find out: every type at every name that the zone
// declares or implies, delegations as such. What is at other names only a transfer
// tells. Names below a delegation and unclear names are left out.
func (z *Zone) Questions() []Question {
	types, cut := AskedTypes(), []string{"NS", "DS"}
	names := map[string]bool{z.Name: true}
	for _, r := range z.Records {
		for name := r.Name; name != z.Name && under(name, z.Name) && !names[name]; name = parent(name) {
			names[name] = true
		}
	}
	var all []Question
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch at := z.cut(name); {
		case z.isUnclear(name), at != "" && at != name:
		case at == name:
			all = append(all, Question{name, cut})
		case name == z.Name: // a CNAME cannot be there, and the DS is in the parent
			all = append(all, Question{name, slices.DeleteFunc(AskedTypes(), func(t string) bool { return t == "CNAME" || t == "DS" })})
		default:
			all = append(all, Question{name, types})
		}
	}
	return all
}

// cut is the declared delegation at or above a name, or "".
func (z *Zone) cut(name string) string {
	found := ""
	for ; name != z.Name && under(name, z.Name); name = parent(name) {
		if z.Record(Key{name, "NS"}) != nil {
			found = name
		}
	}
	return found
}

// Delegations lists the declared delegations.
func (z *Zone) Delegations() []Record {
	var all []Record
	for _, r := range z.Records {
		if r.Type == "NS" && r.Name != z.Name {
			all = append(all, r)
		}
	}
	return all
}

// Wildcard tells whether the zone declares a record for all names right below it.
func (z *Zone) Wildcard() bool {
	return slices.ContainsFunc(z.Records, func(r Record) bool { return r.Name == "*."+z.Name })
}

func (z *Zone) isUnclear(name string) bool {
	_, found := slices.BinarySearch(z.Unclear, name)
	return found
}
