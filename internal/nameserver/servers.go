// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/zone"
)

// Finder knows where name servers are: from its tables, and of what they do not name,
// from a resolver. It is safe for concurrent use while its tables do not change.
type Finder struct {
	// Zones are the servers of a zone (with its final dot), each as HOST, ADDRESS,
	// ADDRESS:PORT, or HOST=ADDRESS[:PORT].
	Zones map[string][]string
	// Hosts are the addresses of a name server (with its final dot).
	Hosts map[string][]string
	// Resolver is asked for all others; nil asks nobody, and what is in no table is not known.
	Resolver *net.Resolver
	// IPv6 adds the servers' IPv6 addresses. It is off by default because a machine
	// without IPv6 could not read them, and no run would be complete.
	IPv6 bool
}

// Reader finds name servers and asks them.
type Reader struct {
	*Client
	*Finder
}

// maxServers bounds what one lookup may bring.
const maxServers = 64

// Servers lists the authoritative servers of a zone, sorted. None without an error
// means that they are not known.
func (f *Finder) Servers(ctx context.Context, zoneName string) ([]zone.Server, error) {
	if table, ok := f.Zones[zoneName]; ok {
		return f.fromTable(ctx, table)
	}
	if f.Resolver == nil {
		return nil, nil
	}
	records, err := f.Resolver.LookupNS(ctx, zoneName)
	if err != nil {
		return nil, lookupError("name servers of "+zoneName, err)
	}
	var hosts []string
	for _, ns := range records {
		hosts = append(hosts, strings.ToLower(ns.Host))
	}
	return f.addresses(ctx, hosts)
}

// Addresses lists where a name server is, as Servers does. A host that does not exist
// is a NotFound error.
func (f *Finder) Addresses(ctx context.Context, host string) ([]zone.Server, error) {
	if table, ok := f.Hosts[host]; ok {
		var all []zone.Server
		for _, addr := range table {
			all = append(all, zone.Server{Name: host, Addr: withPort(addr)})
		}
		return sorted(all), nil
	}
	if f.Resolver == nil {
		return nil, nil
	}
	network := "ip4"
	if f.IPv6 {
		network = "ip"
	}
	ips, err := f.Resolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return nil, lookupError("address of "+host, err)
	}
	var all []zone.Server
	for _, ip := range ips {
		all = append(all, zone.Server{Name: host, Addr: net.JoinHostPort(ip.Unmap().String(), "53")})
	}
	return sorted(all), nil
}

func (f *Finder) fromTable(ctx context.Context, table []string) ([]zone.Server, error) {
	var all []zone.Server
	var hosts []string
	for _, entry := range table {
		name, addr, named := strings.Cut(entry, "=")
		switch {
		case named:
			all = append(all, zone.Server{Name: fqdn(name), Addr: withPort(addr)})
		case isAddress(entry):
			all = append(all, zone.Server{Addr: withPort(entry)})
		default:
			hosts = append(hosts, fqdn(entry))
		}
	}
	found, err := f.addresses(ctx, hosts)
	return sorted(append(all, found...)), err
}

// addresses finds all hosts. One that is not found fails the whole: a zone of which
// only some servers are known would be thought complete.
func (f *Finder) addresses(ctx context.Context, hosts []string) ([]zone.Server, error) {
	var all []zone.Server
	for _, host := range hosts {
		found, err := f.Addresses(ctx, host)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, audit.Fail(finding.NotFound, "the address of name server %s is not known", host)
		}
		if all = append(all, found...); len(all) > maxServers {
			return nil, audit.Fail(finding.TooLarge, "more than %d name servers", maxServers)
		}
	}
	return sorted(all), nil
}

func sorted(all []zone.Server) []zone.Server {
	slices.SortFunc(all, func(a, b zone.Server) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Addr, b.Addr))
	})
	return slices.Compact(all)
}

// fqdn gives a host its final dot.
func fqdn(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") + "." }

// isAddress tells an IP address, with or without a port, from the name of a host.
func isAddress(entry string) bool {
	host, _, err := net.SplitHostPort(entry)
	if err != nil {
		host = entry
	}
	return net.ParseIP(host) != nil
}

// withPort adds the port of DNS.
func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(addr, "53")
}

// lookupError tells a name that does not exist from a resolver that does not answer.
func lookupError(what string, err error) error {
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return audit.Fail(finding.NotFound, "%s: no such host", what)
	case errors.As(err, &lookup) && lookup.IsTimeout:
		return audit.Fail(finding.TimedOut, "%s: %w", what, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	}
	return audit.Fail(finding.Unavailable, "%s: %w", what, err)
}
