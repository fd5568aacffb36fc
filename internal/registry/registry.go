// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package registry reads and fills container registries.
//
// Any registry of the OCI distribution specification will do. Google's tell everything
// about a repository in one answer, untagged digests and repositories below it included;
// elsewhere each tag is asked for. A registry is believed to lack something only if it
// says so in its own words (NAME_UNKNOWN, MANIFEST_UNKNOWN), to somebody it let in.
// What a manifest says is believed if its bytes have the digest they were asked for by.
// Blobs pass through as they come; whoever copies them proves them.
//
// Every host has its own pace, one ping, and as few tokens as it allows. Nothing that a
// server wrote gets into an error, but for the codes of the specification.
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

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/secret"
)

// Options of a Registry. The zero value asks anonymously.
type Options struct {
	HTTP httpread.Options // but for Pace: every host has its own
	Pace pace.Options     // of one host
	// Quota bounds the requests a second to all of Google's hosts together, which count
	// them by user; 0 is no bound. GoogleQuota is a safe one.
	Quota float64
	// Google returns an access token for Google's registries; nil is anonymous. It is
	// shown to no other host.
	Google func(context.Context) (secret.String, error)
	// Keys has the credentials of other hosts, such as authn.DefaultKeychain; nil is
	// anonymous. Each is shown to its own host, and to a token server of the same site.
	Keys authn.Keychain
	// Endpoints says which hosts are served by a program on this machine, as HOST:PORT
	// of plain HTTP: a test, the demo, a proxy. "*" is every host that is not named.
	Endpoints map[string]string
}

// GoogleQuota is a rate below the 5000 requests a minute that Artifact Registry lets one
// user make in a project, over all regions.
const GoogleQuota = 80

// Registry is safe for concurrent use.
type Registry struct {
	opts    Options
	client  *http.Client      // follows redirects within a host
	strict  *http.Client      // follows none
	streams *http.Client      // follows none; bodies are not in memory
	near    http.RoundTripper // to endpoints
	quota   *pace.Limiter     // nil where there is none
	away    *httpread.Stream  // to where hosts keep their blobs

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
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.client = &http.Client{Transport: router{r, false}}
	r.strict = &http.Client{Transport: router{r, false}, CheckRedirect: stay}
	r.streams = &http.Client{Transport: router{r, true}, CheckRedirect: stay}
	r.near = &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second}
	if opts.Quota > 0 {
		r.quota = pace.New(pace.Options{Rate: opts.Quota, Parallel: quotaParallel})
	}
	away := opts.HTTP
	away.Pace = pace.New(opts.Pace)
	if len(opts.Endpoints) > 0 {
		away.Base = elsewhere{r}
	}
	r.away = httpread.NewStream(away)
	return r, nil
}

// quotaParallel leaves it to the hosts how many requests run at once.
const quotaParallel = 1 << 12

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
	opts, google := r.opts.HTTP, isGoogle(reg.RegistryStr())
	opts.Pace = pace.New(r.opts.Pace)
	if google {
		opts.Shared = r.quota
	}
	if to, ok := r.endpoint(reg.RegistryStr()); ok {
		opts.Base = local{to, cmp.Or(opts.Base, r.near)}
	}
	h := &host{reg: reg, stream: httpread.NewStream(opts), turn: make(chan struct{}, 1), tokens: map[string]token{}, last: map[string]token{}}
	if google {
		h.google = r.opts.Google
	} else {
		h.keys = r.opts.Keys
	}
	return h
}

// endpoint is the program on this machine that serves a host, if one does.
func (r *Registry) endpoint(host string) (string, bool) {
	to, ok := r.opts.Endpoints[host]
	if !ok {
		to, ok = r.opts.Endpoints["*"]
	}
	return to, ok
}

// isGoogle tells the hosts of Artifact Registry and Container Registry.
func isGoogle(host string) bool {
	return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, ".pkg.dev")
}

// router sends each request with the pace of its host; token servers are hosts too.
type router struct {
	r       *Registry
	streams bool
}

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
	stream := t.r.host(reg).stream
	if t.streams {
		return stream.RoundTrip(req)
	}
	return stream.Transport().RoundTrip(req)
}

// elsewhere finds the endpoints of the hosts that keep blobs for others.
type elsewhere struct{ r *Registry }

// RoundTrip implements http.RoundTripper.
func (e elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	to, ok := e.r.endpoint(req.URL.Host)
	if !ok {
		return nil, errors.New("not one of the endpoints")
	}
	return local{to, cmp.Or(e.r.opts.HTTP.Base, e.r.near)}.RoundTrip(req)
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
