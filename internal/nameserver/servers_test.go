// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"context"
	"fmt"
	"net"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/zone"
)

// resolver asks one server, whatever the system says.
func resolver(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

func TestTables(t *testing.T) {
	f := &Finder{
		Zones: map[string][]string{
			"a.io.": {"192.0.2.1", "127.0.0.1:5353", "NS1.b.io=192.0.2.2:53", "ns2.b.io"}, "b.io.": {"ns9.b.io"}, "c.io.": {},
		},
		Hosts: map[string][]string{"ns2.b.io.": {"192.0.2.3", "2001:db8::1"}},
	}
	got, err := f.Servers(t.Context(), "a.io.")
	want := "[127.0.0.1:5353 192.0.2.1 ns1.b.io/192.0.2.2 ns2.b.io/192.0.2.3 ns2.b.io/2001:db8::1]"
	if fmt.Sprint(got) != want || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := f.Servers(t.Context(), "b.io."); reasonOf(err) != finding.NotFound {
		t.Errorf("a host without an address: %v", err)
	}
	for _, zoneName := range []string{"c.io.", "x.io."} {
		if got, err := f.Servers(t.Context(), zoneName); len(got) > 0 || err != nil {
			t.Errorf("%s: %v, %v", zoneName, got, err)
		}
	}
	if got, err := f.Addresses(t.Context(), "ns7.b.io."); len(got) > 0 || err != nil {
		t.Errorf("not known: %v, %v", got, err)
	}
}

func TestResolver(t *testing.T) {
	w := start(t)
	set := func(zoneName, name, kind string, values ...string) {
		t.Helper()
		if err := w.Set(zoneName, zone.RRset{Name: name, Type: kind, TTL: 60, Values: values}); err != nil {
			t.Fatal(err)
		}
	}
	set("a.io.", "a.io.", "NS", "ns1.a.io.")
	f := &Finder{Resolver: resolver(w.Addr())}
	got, err := f.Servers(t.Context(), "a.io.")
	if fmt.Sprint(got) != "[ns1.a.io/127.0.0.1 ns1.a.io/127.0.0.2]" || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	set("a.io.", "ns1.a.io.", "AAAA", "::1")
	f.IPv6 = true
	if got, err := f.Addresses(t.Context(), "ns1.a.io."); fmt.Sprint(got) != "[ns1.a.io/127.0.0.1 ns1.a.io/127.0.0.2 ns1.a.io/::1]" || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := f.Addresses(t.Context(), "gone.a.io."); reasonOf(err) != finding.NotFound {
		t.Errorf("no such host: %v", err)
	}
	if _, err := f.Servers(t.Context(), "gone.a.io."); reasonOf(err) != finding.NotFound {
		t.Errorf("no such zone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Addresses(ctx, "ns1.a.io."); reasonOf(err) == finding.NotFound || err == nil {
		t.Errorf("cancelled: %v", err)
	}
}
