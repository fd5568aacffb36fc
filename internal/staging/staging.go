// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package staging looks at single images in public registries, as anybody may.
//
// It is for a server that holds no credential: it shows none to anybody, asks hosts that
// were allowed beforehand and no others, because the names come out of pull requests, and
// reads a few small documents of an image, all of them bounded. Package registry, which
// reads whole registries and fills them, is not linked with it.
package staging

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

// Options of a Client.
type Options struct {
	HTTP httpread.Options
	// Hosts are patterns of the registries that may be asked, such as *.pkg.dev.
	Hosts func() []string
	// Endpoints says which hosts are served by a program on this machine, as HOST:PORT of
	// plain HTTP; * is every host that is not named.
	Endpoints map[string]string
	Now       func() time.Time // nil: time.Now
}

// The bounds of one image, and of what is remembered.
const (
	maxAnswer   = 16 << 20 // a list of Google's tells all digests of a repository
	maxDocument = 4 << 20
	maxChildren = 40
	maxFacts    = 5000
	listFor     = 5 * time.Minute
)

// Client is safe for concurrent use.
type Client struct {
	opts   Options
	client *http.Client

	mu     sync.Mutex
	facts  map[string]manifest.Facts // by repository and digest, which says it for ever
	lists  map[string]list           // by repository
	tokens map[string]string         // by repository; they hold nothing but what anybody may
}

type list struct {
	read     time.Time
	uploaded map[string]time.Time // by digest
}

// New returns a client; it makes no request.
func New(opts Options) (*Client, error) {
	for from, to := range opts.Endpoints {
		at, _, err := net.SplitHostPort(to)
		if ip := net.ParseIP(at); err != nil || at != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("endpoint of %s: %s is not ADDRESS:PORT on this machine", from, to)
		}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.HTTP.MaxBody = cmp.Or(opts.HTTP.MaxBody, maxAnswer)
	opts.HTTP.Pace = pace.New(pace.Options{})
	c := &Client{opts: opts, facts: map[string]manifest.Facts{}, lists: map[string]list{}, tokens: map[string]string{}}
	c.client = &http.Client{Transport: httpread.NewTransport(opts.HTTP), CheckRedirect: c.redirect}
	return c, nil
}

// redirect lets a registry send for a blob to where Google keeps them, and nowhere else.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	host := req.URL.Hostname()
	switch {
	case len(via) > 3:
		return errors.New("too many redirects")
	case req.URL.Host == via[0].URL.Host:
		return nil
	case req.URL.Scheme == "https" && strings.HasSuffix(host, ".googleapis.com"):
		req.Header.Del("Authorization")
		return nil
	}
	return errors.New("redirect to another host")
}

// Image tells about an image. manifest.ErrNoManifest and ErrNoRepository are the registry's own word;
// manifest.ErrNotOffered says that this host is not asked. Anything else is not known now.
func (c *Client) Image(ctx context.Context, repository, digest string) (manifest.Facts, error) {
	host, _, _ := strings.Cut(repository, "/")
	if !manifest.IsDigest(digest) || !manifest.IsRegistry(repository) || !c.allowed(host) {
		return manifest.Facts{}, manifest.ErrNotOffered
	}
	key := repository + "@" + digest
	c.mu.Lock()
	facts, known := c.facts[key]
	c.mu.Unlock()
	if !known {
		var err error
		if facts, err = c.read(ctx, repository, digest); err != nil {
			return facts, fmt.Errorf("look at %s: %w", key, err)
		}
		c.keep(key, facts)
	}
	facts.Uploaded = c.uploaded(ctx, repository)[digest]
	facts.Signers = c.signers(ctx, repository, digest)
	return facts, nil
}

func (c *Client) allowed(host string) bool {
	return slices.ContainsFunc(c.opts.Hosts(), func(pattern string) bool {
		ok, err := path.Match(pattern, host)
		return ok && err == nil
	})
}

func (c *Client) keep(key string, facts manifest.Facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.facts) >= maxFacts {
		clear(c.facts)
	}
	c.facts[key] = facts
}

// document is the part of manifests, indexes and configurations that is looked at.
type document struct {
	SchemaVersion int          `json:"schemaVersion"`
	Manifests     []descriptor `json:"manifests"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`

	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

type descriptor struct {
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Platform    struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

// read puts together what an image says about itself.
func (c *Client) read(ctx context.Context, repository, digest string) (facts manifest.Facts, err error) {
	top, err := c.document(ctx, repository, "manifests/"+digest, digest)
	if err != nil {
		return facts, err
	}
	layers := map[string]int64{}
	if len(top.Manifests) == 0 {
		err := c.single(ctx, repository, top, &facts, layers)
		facts.Size = sum(layers)
		return facts, err
	}
	if len(top.Manifests) > maxChildren {
		return facts, audit.Fail(finding.TooLarge, "an index of more than %d manifests", maxChildren)
	}
	for _, m := range top.Manifests {
		if p := platform(m.Platform.OS, m.Platform.Architecture, m.Platform.Variant); p != "" {
			facts.Platforms = append(facts.Platforms, p)
		}
		if !manifest.IsDigest(m.Digest) {
			return facts, audit.Fail(finding.Malformed, "an index names something that is no digest")
		}
		child, err := c.document(ctx, repository, "manifests/"+m.Digest, m.Digest)
		if err != nil {
			return facts, err
		}
		weigh(child, layers)
	}
	facts.Platforms = slices.Compact(slices.Sorted(slices.Values(facts.Platforms)))
	facts.Size = sum(layers)
	return facts, nil
}

// single reads an image that is no index: its platform stands in its configuration.
func (c *Client) single(ctx context.Context, repository string, d document, facts *manifest.Facts, layers map[string]int64) error {
	weigh(d, layers)
	if !manifest.IsDigest(d.Config.Digest) {
		return nil // of a kind that has none
	}
	config, err := c.document(ctx, repository, "blobs/"+d.Config.Digest, d.Config.Digest)
	if err != nil {
		return err
	}
	if p := platform(config.OS, config.Architecture, config.Variant); p != "" {
		facts.Platforms = []string{p}
	}
	return nil
}

func weigh(d document, layers map[string]int64) {
	for _, l := range d.Layers {
		layers[l.Digest] = max(0, l.Size)
	}
}

func sum(layers map[string]int64) int64 {
	var n int64
	for _, size := range layers {
		if n += size; n < 0 {
			return 0 // sizes that lie until they overflow tell nothing
		}
	}
	return n
}

// word is what a platform is made of; what else a server writes is nothing to show.
func platform(parts ...string) string {
	var all []string
	for _, p := range parts {
		switch {
		case p == "":
		case p == "unknown" || len(p) > 30 || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "":
			return "" // attestations stand in an index as unknown/unknown
		default:
			all = append(all, p)
		}
	}
	return strings.Join(all, "/")
}

// document gets a small JSON document by its digest.
func (c *Client) document(ctx context.Context, repository, what, digest string) (d document, err error) {
	body, err := c.get(ctx, repository, what)
	switch {
	case err != nil:
		return d, err
	case len(body) > maxDocument:
		return d, audit.Fail(finding.TooLarge, "%s has more than %d bytes", what, maxDocument)
	case digest != "" && manifest.DigestOf(body) != digest:
		return d, audit.Fail(finding.Malformed, "%s: the bytes have another digest", what)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, audit.Fail(finding.Malformed, "%s is not understood", what)
	}
	return d, nil
}

// uploaded tells when the digests of a repository came there, where its list says so.
func (c *Client) uploaded(ctx context.Context, repository string) map[string]time.Time {
	c.mu.Lock()
	l := c.lists[repository]
	c.mu.Unlock()
	if now := c.opts.Now(); now.Sub(l.read) > listFor {
		l = list{read: now, uploaded: c.list(ctx, repository)}
		c.mu.Lock()
		if len(c.lists) > maxFacts {
			clear(c.lists)
		}
		c.lists[repository] = l
		c.mu.Unlock()
	}
	return l.uploaded
}

// list reads Google's list of a repository; nil where it is not to be had, which only leaves ages out.
func (c *Client) list(ctx context.Context, repository string) map[string]time.Time {
	body, err := c.get(ctx, repository, "tags/list")
	var answer struct {
		Manifest map[string]struct {
			Uploaded int64 `json:"timeUploadedMs,string"`
		} `json:"manifest"`
	}
	if err != nil || json.Unmarshal(body, &answer) != nil {
		return nil
	}
	all := map[string]time.Time{}
	for digest, m := range answer.Manifest {
		if m.Uploaded > 0 {
			all[digest] = time.UnixMilli(m.Uploaded)
		}
	}
	return all
}

// base is where a host's API is.
func (c *Client) base(host string) *url.URL {
	if at, ok := c.opts.Endpoints[host]; ok {
		return &url.URL{Scheme: "http", Host: at}
	}
	if at, ok := c.opts.Endpoints["*"]; ok {
		return &url.URL{Scheme: "http", Host: at}
	}
	return &url.URL{Scheme: "https", Host: host}
}
