// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/manifest"
)

// OCI is container registries, one for each host name. One port serves them all: the
// request's Host says which is meant, and where that is none of them, the first segment
// of the repository, as in 127.0.0.1:PORT/us-docker.pkg.dev/prod/images/pause.
//
// A world may come from promoter manifests. Nothing can be made whose digest is a given
// one, so the digests of such a world are in lists and answer HEAD, and a GET of one gets
// bytes that do not have it, as from a registry that lies. What is put (Put) is real.
type OCI struct {
	server *Server

	mu    sync.Mutex
	hosts map[string]*registryHost
	any   bool               // any name is a registry, made by the first push
	blobs map[string]*blob   // of all hosts, by digest
	open  map[string]*upload // by id
	kept  int64              // bytes of both
	meter *meter
}

// registryHost is one registry.
type registryHost struct {
	RegistryStyle
	repos  map[string]*repository // by path; shared between hosts until changed
	tokens map[string]issued
}

// issued is what a token is good for, and whose it is.
type issued struct{ scope, who string }

// RegistryStyle is how a registry behaves.
type RegistryStyle struct {
	// Google lists digests and children, has no catalog and gives no pages.
	Google bool `yaml:"google" json:"google"`
	// Catalog offers /v2/_catalog, where Google is false.
	Catalog bool `yaml:"catalog" json:"catalog"`
	// Auth is token (anonymous clients get one too), private (tokens for the password
	// only), basic (no tokens, the password) or none.
	Auth string `yaml:"auth" json:"auth"`
	// Scoped tokens are good for the repository they were asked for.
	Scoped bool `yaml:"scoped" json:"scoped"`
	// Password of the user _token or oauth2accesstoken, for private and basic.
	Password string `yaml:"password" json:"password"`
}

type repository struct {
	tags      map[string]string
	manifests map[string]stored
	blobs     map[string]bool
	mode      string // how it lies, see Change.Mode
	shared    bool
}

// stored is a manifest; body is nil where only the digest is known.
type stored struct {
	mediaType string
	body      []byte
	at        time.Time
}

func newRepository() *repository {
	return &repository{tags: map[string]string{}, manifests: map[string]stored{}, blobs: map[string]bool{}}
}

func newOCI(s *Server) *OCI {
	o := &OCI{server: s}
	o.empty()
	return o
}

func (o *OCI) empty() {
	o.hosts, o.blobs, o.open, o.kept, o.any = map[string]*registryHost{}, map[string]*blob{}, map[string]*upload{}, 0, false
	o.meter = newMeter()
}

func (o *OCI) name() string { return "oci" }

// ociSettings is the value of oci in cloud.yaml.
type ociSettings struct {
	// Dir is a repository on disk whose manifests make the world; "" takes them from the
	// files of the scenario, oci/MANIFESTS/...
	Dir string `yaml:"dir"`
	// Manifests is the tree in it; registry.k8s.io.
	Manifests string `yaml:"manifests"`
	// Hosts says how hosts behave, those with manifests and others. The default is like
	// Google's for *.pkg.dev and gcr.io, and a plain registry with a catalog elsewhere.
	Hosts   map[string]yaml.Node `yaml:"hosts"`
	Changes []Change             `yaml:"changes"`
	// Any makes every name a registry, without tokens, when something is pushed there. Of those that are like Google's every
	// path is there, if empty, as it is below a repository of Artifact Registry: the promoter depends on that.
	Any bool `yaml:"any"`
	// Quota is how often one credential may ask, of all registries together.
	Quota struct {
		Requests int           `yaml:"requests"`
		Per      time.Duration `yaml:"per"`
	} `yaml:"quota"`
}

func (o *OCI) load(settings yaml.Node, files fs.FS) error {
	in := ociSettings{Manifests: "registry.k8s.io"}
	if err := decode(settings, &in); err != nil {
		return err
	}
	if in.Dir != "" {
		files = os.DirFS(in.Dir)
	}
	o.mu.Lock()
	o.empty()
	o.any = in.Any
	o.meter.quota = quota{in.Quota.Requests, cmp.Or(in.Quota.Per, time.Minute)}
	o.mu.Unlock()
	for name, node := range in.Hosts {
		style := styleOf(name)
		if err := errors.Join(decode(node, &style), o.Host(name, style)); err != nil {
			return fmt.Errorf("host %s: %w", name, err)
		}
	}
	if files == nil {
		files = fstest.MapFS{}
	}
	if _, err := fs.Stat(files, in.Manifests); in.Dir != "" || err == nil {
		set, _, err := manifest.Load(files, in.Manifests)
		if err != nil {
			return err
		}
		o.Declare(set)
	}
	return o.Change(in.Changes...)
}

// styleOf is how a host behaves of which nobody said how.
func styleOf(name string) RegistryStyle {
	google := name == "gcr.io" || strings.HasSuffix(name, ".gcr.io") || strings.HasSuffix(name, ".pkg.dev")
	return RegistryStyle{Google: google, Catalog: !google, Auth: "token"}
}

// Host adds a registry, or changes how one behaves.
func (o *OCI) Host(name string, style RegistryStyle) error {
	style.Auth = cmp.Or(style.Auth, "token")
	if !slices.Contains([]string{"token", "private", "basic", "none"}, style.Auth) {
		return fmt.Errorf("auth %q is not token, private, basic or none", style.Auth)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.host(name).RegistryStyle = style
	return nil
}

// host returns a registry, made as its name says if there is none.
func (o *OCI) host(name string) *registryHost {
	h := o.hosts[name]
	if h == nil {
		h = &registryHost{RegistryStyle: styleOf(name), repos: map[string]*repository{}, tokens: map[string]issued{}}
		o.hosts[name] = h
	}
	return h
}

// Hosts lists the registries, for clients that have to be told where each is.
func (o *OCI) Hosts() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.hosts))
}

// Declare fills every mirror of a set with what is declared there.
func (o *OCI) Declare(set *manifest.Set) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := o.server.clock()
	for _, image := range set.Images {
		var last *repository
		for n, mirror := range image.On() {
			// Images of several manifests may differ from mirror to mirror.
			if n == 0 || len(image.Parts) > 1 {
				last = repositoryOf(image.At(mirror), at)
			}
			if len(last.manifests) == 0 {
				continue
			}
			last.shared = true
			host, path, _ := strings.Cut(set.Mirrors[mirror]+"/"+image.Path, "/")
			o.host(host).repos[path] = last
		}
	}
}

func repositoryOf(c manifest.Contents, at time.Time) *repository {
	r := newRepository()
	for digest := range c.Digests {
		r.manifests[digest] = stored{mediaType: "application/vnd.docker.distribution.manifest.v2+json", at: at}
	}
	for tag, claim := range c.Tags {
		r.tags[tag] = claim.Digests[0]
	}
	return r
}

// Change is one thing that happens to a repository, HOST/PATH: exactly one of the verbs.
type Change struct {
	Tag    string `yaml:"tag,omitempty" json:"tag,omitempty"`       // REPOSITORY:TAG is put on Digest; both are made
	Untag  string `yaml:"untag,omitempty" json:"untag,omitempty"`   // REPOSITORY:TAG
	Remove string `yaml:"remove,omitempty" json:"remove,omitempty"` // REPOSITORY@DIGEST, and its tags
	Drop   string `yaml:"drop,omitempty" json:"drop,omitempty"`     // REPOSITORY
	Put    string `yaml:"put,omitempty" json:"put,omitempty"`       // REPOSITORY gets Body, under Tags
	Lie    string `yaml:"lie,omitempty" json:"lie,omitempty"`       // REPOSITORY answers as Mode says
	Down   string `yaml:"down,omitempty" json:"down,omitempty"`     // HOST fails: Mode all (503), write (503 for writes), deny (403), ""
	// Cut breaks the connection in the middle of a blob, after so many bytes, Times times (1): of REPOSITORY@DIGEST when it is read, of
	// REPOSITORY when one is sent.
	Cut   string `yaml:"cut,omitempty" json:"cut,omitempty"`
	After int64  `yaml:"after,omitempty" json:"after,omitempty"`
	Times int    `yaml:"times,omitempty" json:"times,omitempty"`

	Digest    string   `yaml:"digest,omitempty" json:"digest,omitempty"`
	MediaType string   `yaml:"mediaType,omitempty" json:"mediaType,omitempty"`
	Body      string   `yaml:"body,omitempty" json:"body,omitempty"`
	Tags      []string `yaml:"tags,omitempty" json:"tags,omitempty"`
	// Mode is how a repository lies:
	//   endless  a list of tags that goes on with new ones for ever
	//   loop     a list of tags whose next page is itself
	//   away     a list of tags whose next page is another host's
	//   giant    answers of 100 MB
	//   deep     a list of tags that is nested twenty thousand times
	//   half     a list that leaves out every other digest and tag, without a word
	//   type     text/html, whatever is in the answer
	//   digest   manifests whose bytes have another digest
	//   names    tags and digests that are none
	//   ""       not any more
	Mode string `yaml:"mode,omitempty" json:"mode,omitempty"`
}

// Change lets things happen. It stops at the first that cannot.
func (o *OCI) Change(changes ...Change) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range changes {
		if err := o.change(c); err != nil {
			return err
		}
	}
	return nil
}

func (o *OCI) change(c Change) error {
	switch {
	case c.Tag != "":
		return o.edit(c.Tag, ":", func(r *repository, tag string) error {
			if !manifest.IsTag(tag) || !manifest.IsDigest(c.Digest) {
				return fmt.Errorf("tag %s: no tag, or no digest %q", c.Tag, c.Digest)
			}
			if _, known := r.manifests[c.Digest]; !known {
				r.manifests[c.Digest] = stored{mediaType: "application/vnd.oci.image.manifest.v1+json", at: o.server.clock()}
			}
			r.tags[tag] = c.Digest
			return nil
		})
	case c.Untag != "":
		return o.edit(c.Untag, ":", func(r *repository, tag string) error { delete(r.tags, tag); return nil })
	case c.Remove != "":
		return o.edit(c.Remove, "@", func(r *repository, digest string) error {
			delete(r.manifests, digest)
			maps.DeleteFunc(r.tags, func(_, d string) bool { return d == digest })
			return nil
		})
	case c.Drop != "":
		host, path, _ := strings.Cut(c.Drop, "/")
		delete(o.host(host).repos, path)
		return nil
	case c.Put != "":
		return o.edit(c.Put, "", func(r *repository, _ string) error {
			digest := manifest.DigestOf([]byte(c.Body))
			r.manifests[digest] = stored{mediaType: c.MediaType, body: []byte(c.Body), at: o.server.clock()}
			for _, tag := range c.Tags {
				r.tags[tag] = digest
			}
			return nil
		})
	case c.Lie != "":
		return o.edit(c.Lie, "", func(r *repository, _ string) error { r.mode = c.Mode; return nil })
	case c.Down != "":
		return o.meter.fail(c.Down, c.Mode)
	case c.Cut != "":
		return o.meter.cut(c.Cut, c.After, c.Times)
	}
	return errors.New("change: want one of tag, untag, remove, drop, put, lie, down, cut")
}

// edit calls do with a repository, made if there is none, that only one host has.
func (o *OCI) edit(reference, separator string, do func(r *repository, rest string) error) error {
	name, rest := reference, ""
	if separator != "" {
		i := strings.LastIndex(reference, separator)
		if separator == "@" {
			i = strings.Index(reference, separator)
		}
		if i < 0 {
			return fmt.Errorf("%s: no %s in it", reference, separator)
		}
		name, rest = reference[:i], reference[i+1:]
	}
	host, path, ok := strings.Cut(name, "/")
	if !ok || !manifest.IsRegistry(host) || !manifest.IsPath(path) {
		return fmt.Errorf("%s: want HOST/PATH", reference)
	}
	h := o.host(host)
	r := h.repos[path]
	switch {
	case r == nil:
		r = newRepository()
	case r.shared:
		r = &repository{tags: maps.Clone(r.tags), manifests: maps.Clone(r.manifests), blobs: maps.Clone(r.blobs), mode: r.mode}
	}
	h.repos[path] = r
	return do(r, rest)
}

func (o *OCI) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{"/v2/": o.serve}
}

func (o *OCI) controls() map[string]command {
	return map[string]command{
		// A list of changes.
		"POST change": func(_ *http.Request, body []byte) (any, error) {
			var changes []Change
			if err := strictJSON(body, &changes); err != nil {
				return nil, err
			}
			return map[string]int{"changes": len(changes)}, o.Change(changes...)
		},
		// {"host": {style}}, where what is not said is as the name of the host has it.
		"POST host": func(_ *http.Request, body []byte) (any, error) {
			var hosts map[string]json.RawMessage
			err := strictJSON(body, &hosts)
			for name, raw := range hosts {
				style := styleOf(name)
				err = errors.Join(err, strictJSON(raw, &style), o.Host(name, style))
			}
			return struct{}{}, err
		},
		"GET hosts":     func(*http.Request, []byte) (any, error) { return o.Hosts(), nil },
		"GET tags":      func(*http.Request, []byte) (any, error) { return o.Tags(), nil },
		"GET counts":    func(*http.Request, []byte) (any, error) { return o.Counts(), nil },
		"DELETE counts": func(*http.Request, []byte) (any, error) { o.Clear(); return struct{}{}, nil },
	}
}
