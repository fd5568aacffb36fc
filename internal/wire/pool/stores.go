// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/internal/leasekube"
	"sigs.k8s.io/steward/internal/leaselog"
	"sigs.k8s.io/steward/internal/providers"
)

// The stores.
const (
	storeDisk       = "disk"
	storeKubernetes = "kubernetes"
)

// How often a sign of life is written: in a cluster each is the write of an object.
const (
	lazyOnDisk    = time.Second
	lazyInCluster = time.Minute
)

// keep serves terms until the context ends.
func (s *server) keep(ctx context.Context) error {
	if s.election == nil {
		return s.keepOnDisk(ctx)
	}
	s.told("Standing by")
	return s.election.Run(ctx, s.lead)
}

func (s *server) keepOnDisk(ctx context.Context) (err error) {
	store, err := leaselog.Open(filepath.Join(s.opts.DataDir, "pool"), leaselog.Options{Say: s.log.WithField("part", "store")})
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return s.serveTerm(ctx, store, lazyOnDisk)
}

// campaign prepares the store of a namespace.
func (s *server) campaign() error {
	cluster, err := leasekube.Connect(leasekube.Options{
		Kubeconfig: s.opts.Kubeconfig, Namespace: s.opts.Namespace, Say: s.log.WithField("part", "store"),
	})
	if err != nil {
		return fmt.Errorf("--store=%s: %w", storeKubernetes, err)
	}
	address := s.opts.Advertise
	if address == "" {
		address = s.addresses.Pool
	}
	s.cluster = cluster
	s.election = cluster.Election(leasekube.ElectionOptions{Name: s.opts.Name, Address: address})
	return nil
}

// history is where leases that ended go.
type history interface {
	leasehttp.History
	Append(ended []*lease.Ended)
	Resume(last []*lease.Ended)
	Prune(before time.Time) error
	Close() error
}

func (s *server) openHistory(ctx context.Context) (history, error) {
	log := s.log.WithField("part", "history")
	if s.opts.History == "" {
		h, err := leaselog.OpenHistory(filepath.Join(s.opts.DataDir, "history"), log)
		if err != nil {
			return nil, fmt.Errorf("--data-dir: %w", err)
		}
		return h, nil
	}
	store, err := providers.OpenState(ctx, s.opts.History)
	if err != nil {
		return nil, fmt.Errorf("--history: %w", err)
	}
	return leaselog.OpenObjects(store, strings.ToLower(s.opts.Name), log), nil
}

// retryAfter is how long a pool whose objects somebody else changed rests before it is loaded again.
const retryAfter = time.Second

// lead serves the pool while this process leads. What somebody else changed meanwhile is a reason to load it again; a process
// that was deposed stands back.
func (s *server) lead(ctx context.Context) error {
	s.log.Info("Leads")
	defer s.log.Info("Leads no more")
	store := s.cluster.Store(s.opts.Name)
	for {
		err := s.serveTerm(ctx, store, lazyInCluster)
		if ctx.Err() != nil || err == nil || errors.Is(err, lease.ErrDeposed) {
			return nil
		}
		s.log.WithError(err).Warn("the pool is loaded again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryAfter):
		}
	}
}

// leader is the process that serves the pool, if it is another one.
func (s *server) leader() (string, bool) {
	if s.election == nil {
		return "", false
	}
	l, ok := s.election.Leader()
	return l.Address, ok && l.Name != s.opts.Name && l.Address != ""
}

// passedOn marks a request that another process sent here.
const passedOn = "X-Steward-Passed-On"

// pass sends a request on to the process that serves the pool. One that was sent here already is not sent further: the
// processes do not agree yet who serves.
func (s *server) pass(w http.ResponseWriter, r *http.Request) {
	address, ok := s.leader()
	if !ok || r.Header.Get(passedOn) != "" {
		w.Header().Set("Retry-After", "1")
		http.Error(w, lease.ErrStopped.Error(), http.StatusServiceUnavailable)
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: address})
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"] // who counts on the caller's address sees all of the way
			p.SetXForwarded()
			p.Out.Header.Set(passedOn, s.opts.Name)
		},
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the pool is served by "+address+", which does not answer: "+err.Error(), http.StatusServiceUnavailable)
		},
	}
	proxy.ServeHTTP(w, r)
}
