// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package zone reads what a community declares of its DNS, and says how name servers
// differ from it.
//
// Declared are octoDNS zone files as kubernetes/k8s.io writes them: several files that
// make one document, some of them links, where a later key wins (files.go, parse.go).
// Every record keeps the file and line that declare it. Records from files and from the
// wire have one canonical form (rdata.go), so that they compare by equality. Whatever is
// wrong with the files is reported at once: ZONE-1 … in docs/zones.md. Compare (DNS-1 …
// in docs/audit-dns.md) is a pure function of a zone and what its servers showed.
package zone

import (
	"cmp"
	"slices"
	"strings"
)

// RRset is all records of one name and type, in canonical form: two are the same if
// and only if their fields are equal.
type RRset struct {
	Name   string   `json:"name"` // lower case, ASCII, with the final dot
	Type   string   `json:"type"` // upper case
	TTL    uint32   `json:"ttl"`
	Values []string `json:"values"` // record data as text, sorted, each once
}

// Key names an RRset.
type Key struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// String is how findings call it.
func (k Key) String() string { return k.Name + " " + k.Type }

// Key returns its name.
func (r RRset) Key() Key { return Key{r.Name, r.Type} }

func compareKeys(a, b Key) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type))
}

// Record is a declared RRset and where it is declared.
type Record struct {
	RRset
	File string // relative to the root that Load was given; the target where a link led to it
	Line int
}

// Zone is a declared zone.
type Zone struct {
	Name    string   // with the final dot
	File    string   // its first part, where a record that nobody declares would be
	Line    int      // of its entry in the configuration
	Targets []string // ids of the providers that serve it
	Records []Record // sorted by name and type, one for each pair

	// Unclear are names that are declared in a way that cannot be read, so that nothing
	// can be said about them. Faulty is this for the whole zone.
	Unclear []string
	Faulty  bool
	// Ignored are record sets that the files leave to somebody else (octodns.ignored).
	Ignored []Key

	parts []string // the files, after links
}

// Config is a declared DNS.
type Config struct {
	File      string // the configuration
	Providers []Provider
	Zones     []*Zone // sorted by name
}

// Zone returns the zone of a name with its final dot, or nil.
func (c *Config) Zone(name string) *Zone {
	i, ok := slices.BinarySearchFunc(c.Zones, name, func(z *Zone, name string) int { return strings.Compare(z.Name, name) })
	if !ok {
		return nil
	}
	return c.Zones[i]
}

// Record returns what the zone declares for a key, or nil.
func (z *Zone) Record(key Key) *Record {
	i, ok := slices.BinarySearchFunc(z.Records, key, func(r Record, key Key) int { return compareKeys(r.Key(), key) })
	if !ok {
		return nil
	}
	return &z.Records[i]
}

// under tells whether a name is in or below a domain; both end with a dot.
func under(name, domain string) bool {
	return name == domain || domain == "." || strings.HasSuffix(name, "."+domain)
}

// parent is the name without its first label; "." above the top. Names here never
// hold an escaped dot.
func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	if rest == "" {
		return "."
	}
	return rest
}
