// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pool puts steward-pool together: a pool, the store that keeps it, and the HTTP interfaces that speak for it. It
// decides nothing. The binary and the demo call the same Run.
package pool

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/credential"
	"sigs.k8s.io/steward/internal/kube"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/internal/leasekube"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/wire/serve"
)

// Options are the flags of steward-pool.
type Options struct {
	Config   string // Boskos's resources
	Settings string // steward.yaml; "" for the defaults
	DataDir  string

	// Store is "disk" or "kubernetes", where the pool is the objects of a namespace and several processes stand by.
	Store                 string
	Kubeconfig, Namespace string
	Name                  string // of this process among them
	Advertise             string // host:port where the others reach it

	// History is where leases that ended are kept: file:// or gs://, which several processes may share; "" is in DataDir.
	History string

	BasicAuthFile            string // of htpasswd
	OIDCIssuer, OIDCAudience string
	RequireAuth              bool
	Pods                     PodOptions

	BindAddress                              string
	Port, HealthPort, MetricsPort, PprofPort int

	// Policy is what flags say; settings fill what they leave open.
	Policy lease.Policy
	Hold   time.Duration // of /acquire with a request_id
	Grace  time.Duration
	// Reload is how often the configuration is looked at for a change.
	Reload time.Duration
	Log    *logrus.Entry

	// Started, when set, learns the addresses that port 0 got: when the pool is served, and before where others may serve it.
	Started func(Addresses)
}

// Addresses are host:port of the listeners.
type Addresses struct{ Pool, Health, Metrics, Debug string }

// server is steward-pool put together. It serves one term after the other: as long as this process may write to the store.
type server struct {
	opts      Options
	log       *logrus.Entry
	registry  *prometheus.Registry
	metrics   *leasehttp.Metrics
	history   history
	config    config
	settings  settings.Pool
	gate      *leasehttp.Gate
	pods      podCluster
	broker    *credential.Broker  // nil where no type has credentials
	cluster   *leasekube.Cluster  // nil where the store is this machine's
	election  *leasekube.Election // the same
	addresses Addresses
	term      atomic.Pointer[term]
}

// term is the time during which this process serves the pool.
type term struct {
	keeper  *lease.Keeper
	handler http.Handler
}

// Run serves until ctx ends or the store fails, then drains.
func Run(ctx context.Context, opts Options) (err error) {
	if opts.Log == nil {
		opts.Log = logrus.NewEntry(logrus.StandardLogger())
	}
	s := &server{opts: opts, log: opts.Log, registry: prometheus.NewRegistry(), config: config{path: opts.Config}}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if s.history, err = s.openHistory(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.history.Close()) }()
	s.metrics = leasehttp.NewMetrics(s.registry, s.keeper)
	servers, err := s.listen()
	if err != nil {
		return err
	}
	defer servers.Close()
	if opts.Store == storeKubernetes {
		if err := s.campaign(); err != nil {
			return err
		}
	}
	return s.serve(ctx, servers)
}

// keeper is that of the present term, or nil.
func (s *server) keeper() *lease.Keeper {
	if t := s.term.Load(); t != nil {
		return t.keeper
	}
	return nil
}

// prepare reads what has to be right before anything is served.
func (s *server) prepare(ctx context.Context) error {
	_, _, err := s.config.read()
	if err != nil {
		return err
	}
	if s.opts.Settings != "" {
		content, err := os.ReadFile(s.opts.Settings)
		if err != nil {
			return fmt.Errorf("--settings: %w", err)
		}
		parsed, err := settings.Parse(content)
		if err != nil {
			return fmt.Errorf("--settings: %w", err)
		}
		s.settings = parsed.Pool
	}
	if len(s.settings.Credentials) > 0 {
		if s.broker, err = credential.New(ctx, s.settings.Credentials, credential.Options{}); err != nil {
			return err
		}
	}
	if err := s.askCluster(ctx); err != nil {
		return err
	}
	s.gate, err = s.newGate(ctx)
	return err
}

// policy is that of the flags, and of the settings where flags say nothing.
func (s *server) policy() lease.Policy {
	p, set := s.opts.Policy, s.settings.Policy()
	p.FIFO = p.FIFO || set.FIFO
	p.Aging = cmp.Or(p.Aging, set.Aging)
	p.Classes, p.Accounts = set.Classes, set.Accounts
	return p
}

func (s *server) newGate(ctx context.Context) (*leasehttp.Gate, error) {
	g := &leasehttp.Gate{
		Required:  s.opts.RequireAuth,
		Rules:     func() []lease.Rule { return s.settings.Rules },
		Operators: func() []string { return s.settings.Operators },
	}
	if s.opts.BasicAuthFile != "" {
		users, err := leasehttp.OpenUsers(s.opts.BasicAuthFile)
		if err != nil {
			return nil, fmt.Errorf("--basic-auth-file: %w", err)
		}
		g.Basic = users
	}
	if s.opts.OIDCIssuer != "" {
		if s.opts.OIDCAudience == "" {
			return nil, errors.New("--oidc-audience: needed with --oidc-issuer, or a token for somebody else would do")
		}
		issuer, err := leasehttp.NewOIDC(ctx, s.opts.OIDCIssuer, s.opts.OIDCAudience)
		if err != nil {
			return nil, fmt.Errorf("--oidc-issuer: %w", err)
		}
		g.Tokens = append(g.Tokens, issuer)
	}
	if s.opts.Pods.TokenReview {
		g.Tokens = append(g.Tokens, tokens{kube.NewTokens(s.pods.api, s.opts.Pods.Audience)})
	}
	if g.Required && g.Basic == nil && len(g.Tokens) == 0 {
		return nil, errors.New("--require-auth: nobody could ever enter; give --basic-auth-file, --oidc-issuer or --token-review too")
	}
	return g, nil
}

func (s *server) serve(ctx context.Context, servers *serve.Servers) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	servers.Start(stop)
	go s.forget(ctx)
	drained := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(drained)
		servers.Drain(s.opts.Grace)
	})
	// The pool outlives the listeners, so that running requests are answered.
	keeping, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	go func() {
		<-drained
		end()
	}()
	err := s.keep(keeping)
	stop(err)
	<-drained
	s.log.Info("Drained")
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(err, cause) {
		err = errors.Join(err, cause)
	}
	return err
}

// watched is a store that others may change. Watch returns when they did.
type watched interface {
	Watch(ctx context.Context) error
}

// serveTerm serves the pool from a store until the context ends, the store fails, or somebody else changes it.
func (s *server) serveTerm(ctx context.Context, store lease.Store, lazyEvery time.Duration) error {
	ctx, stop := context.WithCancelCause(ctx)
	var following sync.WaitGroup // the next term reads the configuration
	defer func() {
		stop(nil)
		following.Wait()
	}()
	c, fault, err := s.config.read()
	if err != nil {
		return err
	}
	if fault != nil {
		s.log.WithError(fault).Error("configuration not applied, the one before stays")
	}
	k := lease.NewKeeper(lease.KeeperOptions{
		Store: store, Pool: lease.Options{Policy: s.policy(), IDs: newID, Names: newName}, LazyEvery: lazyEvery,
		Ended: s.ended, Resumed: s.history.Resume, Panicked: s.panicked,
		Refused: func(err error) { s.log.WithError(err).Error("the store refused a change, which never was") },
	})
	defer s.term.Store(nil)
	err = k.Run(ctx, c, func(refused error) {
		if refused != nil {
			s.log.WithError(refused).Error("configuration not applied whole, it is tried again")
			s.config.again()
		}
		s.term.Store(&term{k, s.handler(k, s.followPods(ctx, k))})
		s.told("Serving")
		following.Go(func() { s.follow(ctx, k) })
		if w, ok := store.(watched); ok {
			go func() { stop(w.Watch(ctx)) }()
		}
	})
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// panicked says what went wrong in an operation that was undone.
func (s *server) panicked(value any, stack []byte) {
	s.metrics.Panicked()
	s.log.WithField("stack", string(stack)).Errorf("an operation of the pool panicked, and was undone: %v", value)
}

// ended counts leases and keeps them.
func (s *server) ended(ended []*lease.Ended) {
	s.metrics.Ended(ended)
	s.history.Append(ended)
}

// told says that something is so, and where.
func (s *server) told(what string) {
	s.log.WithFields(logrus.Fields{
		"address": s.addresses.Pool, "health": s.addresses.Health, "metrics": s.addresses.Metrics, "debug": s.addresses.Debug,
	}).Info(what)
	if s.opts.Started != nil {
		s.opts.Started(s.addresses)
	}
}

// forget drops history that is older than the settings want, once a day.
func (s *server) forget(ctx context.Context) {
	keep := cmp.Or(time.Duration(s.settings.History), settings.DefaultHistory)
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if err := s.history.Prune(time.Now().Add(-keep)); err != nil {
			s.log.WithError(err).Error("old history not removed")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// follow applies the configuration whenever its content changed. One that is wrong changes nothing and is named once.
func (s *server) follow(ctx context.Context, k *lease.Keeper) {
	tick := time.NewTicker(s.opts.Reload)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c, changed, err := s.config.changed()
		if err == nil && changed {
			if err = k.Sync(ctx, c); err == nil {
				s.log.Info("Configuration applied")
				s.config.applied(c)
			} else {
				s.config.again() // a part may be stored, so that the file before is news, too
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.WithError(err).Error("configuration not applied")
		}
	}
}

func (s *server) listen() (*serve.Servers, error) {
	bind := s.opts.BindAddress
	return serve.Listen([]serve.Port{
		{Flag: "port", Bind: bind, Port: s.opts.Port, Handler: s.api(), Address: &s.addresses.Pool},
		{Flag: "health-port", Bind: bind, Port: s.opts.HealthPort, Handler: s.health(), Address: &s.addresses.Health},
		{
			Flag: "metrics-port", Bind: bind, Port: s.opts.MetricsPort, Address: &s.addresses.Metrics,
			Handler: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}),
		},
		{Flag: "pprof-port", Bind: "127.0.0.1", Port: s.opts.PprofPort, Handler: debug(), Address: &s.addresses.Debug},
	})
}

// api answers as long as this process serves the pool. Else it passes on to whoever does, or asks to come again.
func (s *server) api() http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t := s.term.Load(); t != nil {
			t.handler.ServeHTTP(w, r)
			return
		}
		s.pass(w, r)
	})
	return s.metrics.Wrap(s.gate.Require(h), "/acquire", "/acquirebystate", "/release", "/reset", "/update", "/metric", "/v1/leases")
}

func (s *server) handler(k *lease.Keeper, pods *ends) http.Handler {
	boskos := &leasehttp.Boskos{Pool: k, Hold: s.opts.Hold, Access: pods.boskos(s.gate), People: s.gate, Metrics: s.metrics}
	v1 := &leasehttp.V1{Pool: k, Access: pods.newer(s.gate), People: s.gate, History: s.history}
	if s.broker != nil {
		v1.Issue = s.issue
	}
	mux := http.NewServeMux()
	pages := (&leasehttp.Pages{Pool: k, History: s.history, Log: s.log.WithField("part", "pages")}).Handler()
	mux.Handle("/v1/", v1.Handler())
	mux.Handle("GET /pool", pages)
	mux.Handle("GET /pool/", pages)
	mux.Handle("/", boskos.Handler())
	return mux
}

// issue makes a credential. What the cloud says of a refusal is for the log: it names accounts that are none of the caller's.
func (s *server) issue(ctx context.Context, r *lease.Resource) (any, error) {
	issued, err := s.broker.Issue(ctx, r)
	var invalid *lease.Invalid
	if err != nil && !errors.As(err, &invalid) && ctx.Err() == nil {
		s.log.WithError(err).WithField("resource", r.Name).Error("no credential issued")
	}
	return issued, err
}

func (s *server) health() http.Handler {
	mux := http.NewServeMux()
	serve.Health(mux, func() error {
		if _, ok := s.leader(); s.term.Load() == nil && !ok {
			return errors.New("the pool is not served")
		}
		return nil
	})
	return mux
}

func debug() http.Handler {
	mux := http.NewServeMux()
	serve.Profiles(mux)
	return mux
}

// config is the file of resources, which is read again when it changes.
type config struct {
	path  string
	last  string        // its content when it was applied
	fault string        // its content when a fault in it was told
	next  string        // its content when it was read last
	good  *lease.Config // of next or last; nil before the first
}

// read returns the configuration for a new term. One with a fault is told, and the last good one stays (P-19).
func (c *config) read() (good lease.Config, fault, err error) {
	content, err := os.ReadFile(c.path)
	if err != nil {
		err = fmt.Errorf("--config: %w", err)
	}
	if err == nil {
		good, err = lease.ParseConfig(c.path, content)
	}
	switch {
	case err == nil:
		c.last, c.fault, c.good = string(content), "", &good
		return good, nil, nil
	case c.good != nil:
		c.fault = string(content)
		return *c.good, err, nil
	}
	return good, nil, err
}

// changed returns the configuration if its content is new. A fault is returned once for each content.
func (c *config) changed() (lease.Config, bool, error) {
	content, err := os.ReadFile(c.path)
	if err != nil {
		return lease.Config{}, false, fmt.Errorf("--config: %w", err)
	}
	if string(content) == c.last || string(content) == c.fault {
		return lease.Config{}, false, nil
	}
	parsed, err := lease.ParseConfig(c.path, content)
	if err != nil {
		c.fault = string(content)
		return lease.Config{}, false, err
	}
	c.next = string(content)
	return parsed, true, nil
}

// again has the configuration applied again: the store did not take all of it.
func (c *config) again() { c.last = "" }

func (c *config) applied(applied lease.Config) { c.last, c.fault, c.good = c.next, "", &applied }

// newID makes the id of a lease: 130 bits that nobody guesses.
func newID() string {
	return strings.ToLower(rand.Text())
}

// newName makes the name of a dynamic resource: a version 4 UUID, as Boskos's are.
func newName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
