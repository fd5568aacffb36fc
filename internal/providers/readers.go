// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"net"

	"sigs.k8s.io/steward/internal/gcp"
	"sigs.k8s.io/steward/internal/nameserver"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/registry"
	"sigs.k8s.io/steward/internal/zone"
	"sigs.k8s.io/steward/jobs"
)

// Readers are what audits read with.
func Readers() jobs.Readers {
	return jobs.Readers{Buckets: buckets, Registry: images, NameServers: nameServers}
}

// images reads registries. Google's take the credentials of the environment where there
// are some; mirrors are public, so there need not be any.
func images(r jobs.Reach) (jobs.Registry, error) {
	opts := registry.Options{Pace: pace.Options{Rate: r.Rate}, Endpoints: r.Registries}
	if len(r.Registries) == 0 {
		if token, err := gcp.DefaultCredentials(context.Background()); err == nil {
			opts.Google = token
		}
	}
	return registry.New(opts)
}

func buckets(r jobs.Reach) (jobs.Buckets, error) {
	return gcp.New(context.Background(), gcp.Options{Endpoint: r.GCS, Rate: r.Rate})
}

// nameServers asks the servers that the flags name, and nobody else for their zones.
// Where they name servers for every zone, no resolver is asked at all.
func nameServers(r jobs.Reach) (jobs.NameServers, error) {
	finder := &nameserver.Finder{Zones: map[string][]string{}}
	for name, servers := range r.NameServers {
		finder.Zones[fqdn(name)] = servers
	}
	reader := nameserver.Reader{Client: nameserver.New(nameserver.Options{Rate: r.Rate}), Finder: finder}
	if all, ok := r.NameServers["*"]; ok {
		return everyZone{reader, all}, nil
	}
	finder.Resolver = net.DefaultResolver
	return reader, nil
}

func fqdn(name string) string {
	if name == "" || name[len(name)-1] != '.' {
		return name + "."
	}
	return name
}

// everyZone asks the same servers for every zone that has none of its own.
type everyZone struct {
	nameserver.Reader
	all []string
}

// Servers lists a zone's servers.
func (e everyZone) Servers(ctx context.Context, name string) ([]zone.Server, error) {
	if _, own := e.Zones[name]; own {
		return e.Reader.Servers(ctx, name)
	}
	f := nameserver.Finder{Zones: map[string][]string{name: e.all}}
	return f.Servers(ctx, name)
}
