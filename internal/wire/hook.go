// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire puts servers together from adapters and plugins; it decides
// nothing. The binaries and the demo call the same Run functions.
package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/hub"
	"sigs.k8s.io/steward/internal/kube"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/queue"
	"sigs.k8s.io/steward/internal/staging"
	"sigs.k8s.io/steward/internal/thread"
	"sigs.k8s.io/steward/internal/wal"
	"sigs.k8s.io/steward/internal/webhook"
	"sigs.k8s.io/steward/internal/wire/serve"
	"sigs.k8s.io/steward/plugins"
)

// HookOptions are the flags of steward-hook.
type HookOptions struct {
	Config         string // steward.yaml
	HMACSecretFile string
	DataDir        string // the journal; a volume that survives the pod

	GitHubEndpoints []string
	GitHubGraphQL   string
	TokenPath       string // "" and no App: it starts in dry-run, and GitHub answers nothing
	AppID           string
	AppKeyPath      string

	Kubeconfig       string // "": the account of the pod, if it has one
	ProwJobNamespace string // "": that of the kubeconfig or of the pod

	Registries    map[string]string // host of a registry -> ADDRESS:PORT on this machine to ask instead; * is every host
	PoolServer    string            // steward-pool; "": commands about it say that there is none
	PoolTokenFile string            // "": nothing is shown, and only what everybody may see is told

	BindAddress                              string
	Port, HealthPort, MetricsPort, PprofPort int

	Plugins         []string // a subset; empty: all
	DryRun          bool
	RefuseSHA1      bool
	Workers         int
	MaxAttempts     int // looks at a failing thread before it is a dead letter
	Grace           time.Duration
	ReconcileWindow time.Duration // how far back the first pass looks for commands
	Log             *logrus.Entry

	// Started, when set, learns the addresses that port 0 got.
	Started func(HookAddresses)
}

// HookAddresses are host:port of the listeners.
type HookAddresses struct{ Webhook, Health, Metrics, Debug string }

// executor performs writes. A dry run has one that only tells.
type executor interface {
	Execute(context.Context, *thread.Snapshot, thread.Write) error
}

// hookServer is steward-hook put together.
type hookServer struct {
	opts      HookOptions
	log       *logrus.Entry
	hub       *hub.Client
	executor  executor
	owners    *ownersLoader
	reports   *reports
	staging   *staging.Client
	jobs      *prowJobs
	pool      *poolCalls
	all       []plugin.Plugin
	config    atomic.Pointer[hookConfig]
	queue     *queue.Queue
	metrics   *hookMetrics
	registry  *prometheus.Registry
	addresses HookAddresses
	self      atomic.Pointer[string] // our login, once a snapshot has told it
	ready     atomic.Bool
	passes    *reconciler
	stop      context.CancelCauseFunc // ends the server; set before anything is served
}

// RunHook serves until ctx ends, then drains: no new deliveries, running looks
// finish, the journal is closed.
func RunHook(ctx context.Context, opts HookOptions) (err error) {
	s, err := newHookServer(opts)
	if err != nil {
		return err
	}
	log, err := wal.Open(filepath.Join(opts.DataDir, "journal"), wal.Options{})
	if err != nil {
		return fmt.Errorf("open the journal in --data-dir: %w", err)
	}
	s.queue, err = queue.Open(log, queue.Options{Workers: opts.Workers, MaxAttempts: opts.MaxAttempts, Grace: opts.Grace, Log: s.log.WithField("part", "queue")})
	if err != nil {
		return errors.Join(fmt.Errorf("open the journal: %w", err), log.Close())
	}
	defer func() { err = errors.Join(err, s.queue.Close()) }()
	s.metrics.watch(s.registry, s.queue)

	servers, err := s.listen()
	if err != nil {
		return err
	}
	defer servers.Close()
	return s.serve(ctx, servers)
}

// check refuses what could only fail later.
func (o HookOptions) check() error {
	var problems []error
	for _, address := range append([]string{o.GitHubGraphQL}, o.GitHubEndpoints...) {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			problems = append(problems, fmt.Errorf("GitHub endpoint %q is not an http address", address))
		}
	}
	if o.Workers < 0 || o.MaxAttempts < 0 || o.Grace < 0 || o.ReconcileWindow < 0 {
		problems = append(problems, errors.New("--workers, --max-attempts, --grace-period and --reconcile-window must not be negative"))
	}
	if o.TokenPath != "" {
		_, err := hub.FileToken(o.TokenPath)("")
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func newHookServer(opts HookOptions) (*hookServer, error) {
	if opts.Log == nil {
		opts.Log = logrus.NewEntry(logrus.StandardLogger())
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := &hookServer{opts: opts, log: opts.Log, registry: prometheus.NewRegistry()}
	s.metrics = newHookMetrics(s.registry)
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	if s.hub, err = hub.New(hub.Options{
		Endpoints: slices.Clone(opts.GitHubEndpoints), GraphQL: opts.GitHubGraphQL, Token: token,
		Transport: transport(), Observe: s.metrics.request, Unreviewed: s.unreviewed,
	}); err != nil {
		return nil, err
	}
	if s.jobs, err = s.cluster(); err != nil {
		return nil, err
	}
	if s.pool, err = s.poolCalls(); err != nil {
		return nil, err
	}
	if s.staging, err = staging.New(staging.Options{Hosts: s.stagingHosts, Endpoints: opts.Registries, HTTP: httpread.Options{Attempts: 2, Timeout: 10 * time.Second}}); err != nil {
		return nil, fmt.Errorf("--registry: %w", err)
	}
	s.executor = &performer{s.hub, s.jobs, s.pool}
	if opts.DryRun {
		s.executor = &teller{log: s.log, told: map[string]bool{}}
	}
	s.owners = newOwnersLoader(s.hub, s.repoOwners)
	s.reports = newReports(s.drift, s.metrics, s.log)
	s.all = plugins.All(plugins.Deps{
		Owners: s.owners, Members: s.hub, Files: s.owners, Scopes: s.scopes, Links: s.links,
		Reports: s.reports, Jobs: reportJobs{s.jobs}, ReportPage: s.reportPage, Unreviewed: s.unreviewed,
		Pool: s.pool, PoolHurdle: s.pool.hurdle, PoolFiles: s.poolFiles,
		Promotion: s.promotion, PromoteJobs: promoteJobs{s.jobs}, Staging: s.staging,
	})
	if err := s.checkPlugins(); err != nil {
		return nil, err
	}
	s.passes = newReconciler(s)
	if _, err := s.secrets()(); err != nil {
		return nil, err // every webhook would be refused
	}
	return s, s.reload()
}

// transport keeps as many connections as there are workers.
func transport() http.RoundTripper {
	t, _ := http.DefaultTransport.(*http.Transport)
	t = t.Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}

func (s *hookServer) token() (func(string) (string, error), error) {
	switch o := s.opts; {
	case o.AppID != "" && o.TokenPath != "":
		return nil, errors.New("--github-token-path and --github-app-id exclude each other")
	case o.AppID != "":
		return hub.AppToken(o.AppID, o.AppKeyPath, o.GitHubGraphQL, o.GitHubEndpoints)
	case o.TokenPath != "":
		return hub.FileToken(o.TokenPath), nil
	case !o.DryRun:
		return nil, errors.New("writing needs --github-token-path or --github-app-id (or leave --dry-run on)")
	}
	return nil, nil
}

// cluster finds the cluster in which jobs may be started. There may be none: then
// commands say which job will act, and when.
func (s *hookServer) cluster() (*prowJobs, error) {
	found, err := kube.Find(kube.Options{Kubeconfig: s.opts.Kubeconfig, Namespace: s.opts.ProwJobNamespace})
	if err == nil && found == nil && s.opts.ProwJobNamespace != "" {
		err = errors.New("it is of no use without --kubeconfig, outside a pod with an account")
	}
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig, --prowjob-namespace: %w", err)
	}
	if found != nil {
		s.log.WithField("namespace", found.Namespace()).Info("Jobs can be started")
	}
	return &prowJobs{found, s.repo}, nil
}

// checkPlugins refuses names in --plugins that do not exist.
func (s *hookServer) checkPlugins() error {
	names := pluginNames(s.all)
	for _, name := range s.opts.Plugins {
		if !slices.Contains(names, name) {
			return fmt.Errorf("--plugins: there is no plugin %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

func pluginNames(all []plugin.Plugin) []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	return names
}

// serve runs everything until ctx ends or one part fails.
func (s *hookServer) serve(ctx context.Context, servers *serve.Servers) error {
	ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	servers.Start(s.stop)
	s.ready.Store(true)
	s.log.WithFields(logrus.Fields{
		"address": s.addresses.Webhook, "health": s.addresses.Health, "metrics": s.addresses.Metrics,
		"debug": s.addresses.Debug, "plugins": strings.Join(pluginNames(s.all), ","), "dry-run": s.opts.DryRun,
	}).Info("Serving")
	if s.opts.Started != nil {
		s.opts.Started(s.addresses)
	}
	passes := make(chan struct{})
	go func() { defer close(passes); s.passes.run(ctx) }()
	context.AfterFunc(ctx, func() {
		s.ready.Store(false)
		servers.Drain(s.opts.Grace)
	})
	err := s.queue.Run(ctx, s.look)
	s.stop(err)
	<-passes
	servers.Drain(s.opts.Grace)
	s.log.Info("Drained")
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return err
}

// Deliver journals a delivery; the thread it names is looked at as a whole.
func (s *hookServer) Deliver(ctx context.Context, d webhook.Delivery) error {
	if s.config.Load().repo(d.Thread.Repo) == nil {
		return nil
	}
	item, err := itemOf(d)
	if err != nil {
		return err
	}
	fresh, err := s.queue.Put(ctx, item)
	if errors.Is(err, wal.ErrFailed) {
		s.stop(err) // only a restart, on a disk that works, can journal again
	}
	if err == nil {
		s.log.WithFields(logrus.Fields{
			"event-type": d.Event, "event-GUID": d.GUID, "key": item.Key, "plugin": d.Plugin, "fresh": fresh,
		}).Info("Delivered")
	}
	return err
}
