// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package registry reads container registries: what they hold, and nothing else.
//
// Any registry of the OCI distribution specification will do. Google's tell everything
// about a repository in one answer, untagged digests and repositories below it included;
// elsewhere each tag is asked for. A registry is believed to lack something only if it
// says so in its own words (NAME_UNKNOWN, MANIFEST_UNKNOWN), to somebody it let in.
// What a manifest says is believed if its bytes have the digest they were asked for by.
//
// Every host has its own pace, one ping, and as few tokens as it allows. Nothing that a
// server wrote gets into an error.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/secret"
)

// Options of a Registry. The zero value asks anonymously.
type Options struct {
	HTTP httpread.Options // but for Pace: every host has its own
	Pace pace.Options     // of one host
	// Google returns an access token for Google's registries; nil is anonymous. It is
	// shown to no other host.
	Google func(context.Context) (secret.String, error)
	// Endpoints says which hosts are served by a program on this machine, as HOST:PORT
	// of plain HTTP: a test, the demo, a proxy. "*" is every host that is not named.
	Endpoints map[string]string
}

// Registry is safe for concurrent use.
type Registry struct {
	opts   Options
	client *http.Client
	near   http.RoundTripper // to endpoints

	mu    sync.Mutex
	hosts map[string]*host
}

// New returns a reader.
func New(opts Options) (*Registry, error) {
	for from, to := range opts.Endpoints {
		at, _, err := net.SplitHostPort(to)
		if err != nil {
			return nil, fmt.Errorf("endpoint of %s: %w", from, err)
		}
		if ip := net.ParseIP(at); at != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("endpoint of %s: %s is not on this machine, and plain HTTP goes no further", from, to)
		}
	}
	r := &Registry{opts: opts, hosts: map[string]*host{}}
	r.client = &http.Client{Transport: router{r}}
	r.near = &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second}
	return r, nil
}

// host returns what is known of a host.
func (r *Registry) host(reg name.Registry) *host {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[reg.RegistryStr()]
	if h == nil {
		h = r.newHost(reg)
		r.hosts[reg.RegistryStr()] = h
	}
	return h
}

func (r *Registry) newHost(reg name.Registry) *host {
	opts := r.opts.HTTP
	opts.Pace = pace.New(r.opts.Pace)
	to, ok := r.opts.Endpoints[reg.RegistryStr()]
	if !ok {
		to, ok = r.opts.Endpoints["*"]
	}
	if ok {
		opts.Base = local{to, cmp.Or(opts.Base, r.near)}
	}
	h := &host{reg: reg, transport: httpread.NewTransport(opts), turn: make(chan struct{}, 1), tokens: map[string]token{}}
	if r.opts.Google != nil && isGoogle(reg.RegistryStr()) {
		h.google = r.opts.Google
	}
	return h
}

// isGoogle tells the hosts of Artifact Registry and Container Registry.
func isGoogle(host string) bool {
	return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, ".pkg.dev")
}

// router sends each request with the pace of its host; token servers are hosts too.
type router struct{ r *Registry }

var errPlain = errors.New("this host speaks plain HTTP")

// RoundTrip implements http.RoundTripper. Redirects are followed within a host: to
// another one they could carry questions where nobody meant to ask.
func (t router) RoundTrip(req *http.Request) (*http.Response, error) {
	if from := req.Response; from != nil {
		if was := from.Request.URL; was.Host != req.URL.Host || was.Scheme != req.URL.Scheme {
			return nil, errAway
		}
	}
	reg, err := name.NewRegistry(req.URL.Host)
	if err != nil {
		return nil, errors.New("not the name of a host")
	}
	if reg.Scheme() == "http" && req.URL.Scheme == "https" {
		return nil, errPlain // a host of this machine: do not try TLS five times first
	}
	return t.r.host(reg).transport.RoundTrip(req)
}

// local reaches a host where an endpoint says it is.
type local struct {
	at   string
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (l local) RoundTrip(req *http.Request) (*http.Response, error) {
	near := req.Clone(req.Context())
	near.Host, near.URL.Scheme, near.URL.Host = req.URL.Host, "http", l.at
	resp, err := l.base.RoundTrip(near)
	if resp != nil {
		resp.Request = req // nobody above is to know
	}
	return resp, err
}
