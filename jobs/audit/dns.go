// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/zone"
)

// NameServers finds authoritative name servers and asks them. Its methods may be called
// concurrently; errors that know why are *audit.Unread, and NotFound of Addresses says
// that there is no such host.
type NameServers interface {
	// Servers lists the servers of a zone, Addresses where one host is. None without an
	// error means that they are not known.
	Servers(ctx context.Context, zoneName string) ([]zone.Server, error)
	Addresses(ctx context.Context, host string) ([]zone.Server, error)
	// Transfer reads a zone whole. Denied means that the server gives none.
	Transfer(ctx context.Context, s zone.Server, zoneName string) (serial uint32, sets []zone.RRset, err error)
	// Query asks a server of a zone about a name and a type.
	Query(ctx context.Context, s zone.Server, zoneName, name, kind string) (zone.Answer, error)
}

// dnsConfig is where k8s.io has its octoDNS configuration.
const dnsConfig = "dns/octodns-config.yaml"

func openDNS(deps Deps, reach Reach, files fs.FS) (audit.Collector, []finding.Finding, error) {
	config, problems, err := zone.Load(files, dnsConfig)
	if err != nil {
		return nil, nil, err
	}
	if deps.NameServers == nil {
		return nil, nil, errors.New("there is nothing to ask name servers with")
	}
	reader, err := deps.NameServers(reach)
	if err != nil {
		return nil, nil, fmt.Errorf("name servers: %w", err)
	}
	return newDNS(config, reader), problems, nil
}

// dns is the collector of DNS. Its units are a zone at one of its servers, and each
// declared delegation; the rules are DNS-1 … in docs/audit-dns.md.
type dns struct {
	config  *zone.Config
	reader  NameServers
	secrets *secret.Scanner
	label   func() string // a name that nobody has

	units map[string]dnsUnit // set by Units
	names []string           // in order
}

// dnsUnit is what a unit reads: a zone at a server, or a delegation.
type dnsUnit struct {
	zone       *zone.Zone
	server     zone.Server
	delegation *zone.Record
	err        error // why it cannot be read
}

func newDNS(config *zone.Config, reader NameServers) *dns {
	return &dns{config: config, reader: reader, secrets: secret.NewScanner(), label: randomLabel}
}

// randomLabel is a name that exists only where all do.
func randomLabel() string { return fmt.Sprintf("steward-audit-%016x", rand.Uint64()) } //nolint:gosec // no secret

// Name is the word on the command line.
func (c *dns) Name() string { return "dns" }

// Units finds the servers of every zone. A zone whose files or servers cannot be known
// is a unit that fails.
func (c *dns) Units(ctx context.Context) ([]string, error) {
	c.units, c.names = map[string]dnsUnit{}, nil
	for _, z := range c.config.Zones {
		if err := c.zoneUnits(ctx, z); err != nil {
			return nil, err
		}
	}
	return slices.Clone(c.names), nil
}

func (c *dns) add(name string, u dnsUnit) {
	c.units[name] = u
	c.names = append(c.names, name)
}

func (c *dns) zoneUnits(ctx context.Context, z *zone.Zone) error {
	servers, err := c.reader.Servers(ctx, z.Name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case z.Faulty:
		err = audit.Fail(finding.Malformed, "the declared zone cannot be read: see the findings ZONE-… on its files")
	case err == nil && len(servers) == 0:
		err = audit.Fail(finding.NotFound, "no name server of the zone is known")
	}
	if err != nil {
		c.add(z.Name, dnsUnit{zone: z, err: err})
		return nil
	}
	for _, s := range servers {
		c.add(z.Name+"@"+s.String(), dnsUnit{zone: z, server: s})
	}
	for _, r := range z.Delegations() {
		c.add("delegation "+r.Name, dnsUnit{zone: z, delegation: &r})
	}
	return nil
}

// Read reads a unit.
func (c *dns) Read(ctx context.Context, unit string) (audit.Reading, error) {
	u, ok := c.units[unit]
	switch {
	case !ok:
		return audit.Reading{}, fmt.Errorf("there is no unit %q", unit)
	case u.err != nil:
		return audit.Reading{}, u.err
	case u.delegation != nil:
		return c.readDelegation(ctx, unit, *u.delegation)
	}
	return c.readZone(ctx, unit, u)
}

// readZone reads a zone from a server: whole, or where the server does not give it, by
// asking for everything that can be asked for. A transfer that fails in another way is a
// gap beside, because more could have been seen.
func (c *dns) readZone(ctx context.Context, unit string, u dnsUnit) (audit.Reading, error) {
	r := &zoneReader{dns: c, unit: unit, zone: u.zone, server: u.server}
	if len(u.zone.Unclear) > 0 {
		r.gap("declared names", audit.Fail(finding.Malformed, "%d names are declared unclearly: see the findings ZONE-… on %s",
			len(u.zone.Unclear), strings.Join(u.zone.Unclear[:min(3, len(u.zone.Unclear))], ", ")))
	}
	serial, sets, err := c.reader.Transfer(ctx, u.server, u.zone.Name)
	switch {
	case ctx.Err() != nil:
		return audit.Reading{}, ctx.Err()
	case err == nil:
		r.view = zone.View{Whole: true, Serial: serial, Sets: sets}
	default:
		if reasonOf(err) != finding.Denied {
			r.gap("transfer", err)
		}
		if err := r.ask(ctx); err != nil {
			return audit.Reading{}, err
		}
	}
	r.view.Redact(c.secrets)
	return reading(r.view, len(r.view.Sets), r.gaps)
}

func reasonOf(err error) finding.Reason { return audit.GapOf("", err).Reason }

func reading(data any, objects int, gaps []finding.Gap) (audit.Reading, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return audit.Reading{}, fmt.Errorf("keep the reading: %w", err)
	}
	return audit.Reading{Data: raw, Objects: objects, Gaps: gaps}, nil
}

// readDelegation asks the servers of a delegation whether they serve the child. Those
// whose address is not known are left out.
func (c *dns) readDelegation(ctx context.Context, unit string, r zone.Record) (audit.Reading, error) {
	var d zone.Delegation
	var gaps []finding.Gap
	for _, host := range r.Values {
		h, known, err := c.readHost(ctx, r.Name, host)
		if ctx.Err() != nil {
			return audit.Reading{}, ctx.Err()
		}
		if err != nil {
			gaps = append(gaps, audit.GapOf(unit+" at "+host, err))
		}
		if known {
			d.Hosts = append(d.Hosts, h)
		}
	}
	return reading(d, len(d.Hosts), gaps)
}

// readHost asks one name server about the child, at its addresses until one answers.
func (c *dns) readHost(ctx context.Context, child, name string) (h zone.Host, known bool, err error) {
	h.Name = name
	servers, err := c.reader.Addresses(ctx, name)
	if err != nil && reasonOf(err) == finding.NotFound {
		h.Fault = "there is no such host"
		return h, true, nil
	}
	if err != nil || len(servers) == 0 {
		h.Unread = true
		return h, err != nil, err
	}
	for _, s := range servers {
		var answer zone.Answer
		answer, err = c.reader.Query(ctx, s, child, child, "SOA")
		switch {
		case err == nil && answer.Kind == zone.Data:
			h.NS, err = c.childNS(ctx, s, child)
			return h, true, err
		case err == nil:
			h.Fault = "it does not answer for the zone"
			return h, true, nil
		case reasonOf(err) == finding.Denied:
			h.Fault = "it refuses to answer for the zone"
			return h, true, nil
		}
	}
	h.Unread = true
	return h, true, err
}

func (c *dns) childNS(ctx context.Context, s zone.Server, child string) ([]string, error) {
	answer, err := c.reader.Query(ctx, s, child, child, "NS")
	if err != nil || answer.Kind != zone.Data {
		return nil, err
	}
	return answer.Set.Values, nil
}

// Compare compares every zone with what its servers showed.
func (c *dns) Compare(readings map[string]audit.Reading) (audit.Comparison, error) {
	var out audit.Comparison
	observed := map[*zone.Zone][]zone.Observed{}
	for _, name := range c.names {
		u := c.units[name]
		r, read := readings[name]
		switch {
		case u.err != nil:
		case u.delegation != nil:
			if !read {
				continue
			}
			var d zone.Delegation
			if err := json.Unmarshal(r.Data, &d); err != nil {
				return out, fmt.Errorf("reading of %s: %w", name, err)
			}
			out.Found = append(out.Found, zone.CompareDelegation(*u.delegation, d)...)
		default:
			o := zone.Observed{Server: u.server}
			if read {
				o.View = new(zone.View)
				if err := json.Unmarshal(r.Data, o.View); err != nil {
					return out, fmt.Errorf("reading of %s: %w", name, err)
				}
			}
			observed[u.zone] = append(observed[u.zone], o)
		}
	}
	var closed []string
	for _, z := range c.config.Zones {
		compared := zone.Compare(z, observed[z], c.secrets)
		// A child that differs may be seen twice: at the zone's server and at its own.
		out.Found = append(out.Found, finding.New(out.Found, compared.Found)...)
		out.Absent = append(out.Absent, compared.Absent...)
		out.Declared += compared.Declared
		if byQueries(observed[z]) {
			closed = append(closed, strings.TrimSuffix(z.Name, "."))
		}
	}
	if len(closed) > 0 {
		out.Notes = append(out.Notes, "no server gives a transfer of "+strings.Join(closed, ", ")+": records at names that nobody declares are not seen there")
	}
	return out, nil
}

// byQueries tells a zone that was read, and by no transfer.
func byQueries(all []zone.Observed) bool {
	queried := false
	for _, o := range all {
		if o.View == nil || o.View.Lame {
			continue
		}
		if o.View.Whole {
			return false
		}
		queried = true
	}
	return queried
}

var errNotServed = errors.New("the server does not serve the zone")
