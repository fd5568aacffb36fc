// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"sigs.k8s.io/steward/internal/kube"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
)

// PodOptions say which pods leases end with (docs/pool-pods.md).
type PodOptions struct {
	Namespaces  []string
	Bind        bool // leases of Boskos's interface, by the peer's address
	TokenReview bool
	Audience    string
}

func (o *PodOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.Namespaces, "pods-namespace", nil, "namespace whose pods are followed, so that leases end with them; may be repeated")
	f.BoolVar(&o.Bind, "bind-pods", false, "bind leases of Boskos's interface to the pod that has the caller's address")
	f.BoolVar(&o.TokenReview, "token-review", false, "ask the cluster whose a bearer token is")
	f.StringVar(&o.Audience, "token-audience", "steward-pool", "audience that such a token has to be for")
}

// podCluster is what is asked about pods and tokens.
type podCluster struct {
	api *kube.Cluster
	now atomic.Pointer[kube.Pods] // those of the present term
}

// askCluster prepares what flags want of the cluster. What the account may not do is an error now; a cluster that does not
// answer is asked again later.
func (s *server) askCluster(ctx context.Context) error {
	o := s.opts.Pods
	if o.Bind && len(o.Namespaces) == 0 {
		return errors.New("--bind-pods: --pods-namespace has to say where the pods are")
	}
	if len(o.Namespaces) == 0 && !o.TokenReview {
		return nil
	}
	if o.TokenReview && o.Audience == "" {
		return errors.New("--token-audience: needed with --token-review, or a token for the cluster itself would do")
	}
	api, err := kube.Open(kube.Options{Kubeconfig: s.opts.Kubeconfig})
	if err != nil {
		return fmt.Errorf("--pods-namespace, --token-review: %w", err)
	}
	s.pods.api = api
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "steward_pool_pods_age_seconds", Help: "How old what is known of pods is; NaN while nothing is or nobody asks.",
	}, s.pods.age))
	return s.mayAsk(ctx)
}

// mayAsk tries the rights of the account.
func (s *server) mayAsk(ctx context.Context) error {
	var pods *kube.Pods
	var err error
	if len(s.opts.Pods.Namespaces) > 0 {
		if pods, err = kube.NewPods(s.pods.api, kube.PodOptions{Namespaces: s.opts.Pods.Namespaces}); err != nil {
			return fmt.Errorf("--pods-namespace: %w", err)
		}
		err = pods.Check(ctx)
	}
	if s.opts.Pods.TokenReview {
		err = errors.Join(err, kube.NewTokens(s.pods.api, s.opts.Pods.Audience).Check(ctx))
	}
	if kube.IsForbidden(err) {
		return err
	}
	if err != nil {
		s.log.WithError(err).Warn("the cluster was not reached")
	}
	return nil
}

func (c *podCluster) age() float64 {
	if p := c.now.Load(); p != nil {
		if age, ok := p.Age(); ok {
			return age.Seconds()
		}
	}
	return math.NaN()
}

// tokens is the checker that asks the cluster.
type tokens struct{ *kube.Tokens }

// Identify names the service account and the pod. What nobody could say of a token is no refusal of it.
func (t tokens) Identify(ctx context.Context, token string) (lease.Identity, error) {
	a, err := t.Review(ctx, token)
	var unknown *kube.UnauthenticatedError
	switch {
	case errors.As(err, &unknown):
		return lease.Identity{}, fmt.Errorf("%w: %w", leasehttp.ErrNotMine, err)
	case err != nil:
		return lease.Identity{}, &leasehttp.Unavailable{Err: err}
	case a.Name == "":
		return lease.Identity{User: a.Username}, nil
	}
	return lease.Identity{ServiceAccount: a.Namespace + "/" + a.Name, Namespace: a.Namespace, Pod: a.Pod}, nil
}

// ends follows the pods for one term and ends their leases. A nil one does nothing.
type ends struct {
	pods   *kube.Pods
	keeper *lease.Keeper
	log    *logrus.Entry
	bind   bool
	synced chan struct{}
	known  chan struct{} // closed when every namespace has been read once
	once   sync.Once
}

// sweepEvery is how often it is looked for leases whose pod ended, besides the news of it: a lease may begin in the moment in
// which its pod ends, and a store may refuse what it was told.
const sweepEvery = 15 * time.Second

// listFor is how long a term waits for the first lists before it lends: a lease is bound to known pods only.
const listFor = 3 * time.Second

// followPods follows the pods until the term ends. Its lists begin in the term, so that leases of earlier ones are older. It
// returns when the pods are known, or soon in any case: the pool is there to lend.
func (s *server) followPods(ctx context.Context, k *lease.Keeper) *ends {
	if len(s.opts.Pods.Namespaces) == 0 {
		return nil
	}
	e := &ends{keeper: k, log: s.log.WithField("part", "pods"), bind: s.opts.Pods.Bind, synced: make(chan struct{}, 1), known: make(chan struct{})}
	var err error
	e.pods, err = kube.NewPods(s.pods.api, kube.PodOptions{
		Namespaces: s.opts.Pods.Namespaces,
		Ended:      func(uid string) { e.ended(ctx, uid) },
		Synced:     func(string) { e.read() },
		Trouble:    e.trouble,
	})
	if err != nil { // the same names were right at the start
		e.log.WithError(err).Error("pods are not followed")
		return nil
	}
	s.pods.now.Store(e.pods)
	go func() {
		defer s.pods.now.CompareAndSwap(e.pods, nil)
		e.pods.Follow(ctx)
	}()
	go e.sweep(ctx)
	late := time.NewTimer(listFor)
	defer late.Stop()
	select {
	case <-e.known:
	case <-late.C:
	case <-ctx.Done():
	}
	return e
}

// read is told that a namespace was read whole.
func (e *ends) read() {
	if _, all := e.pods.Age(); all {
		e.once.Do(func() { close(e.known) })
	}
	select {
	case e.synced <- struct{}{}:
	default: // it will look anyway
	}
}

func (e *ends) trouble(namespace string, err error) {
	log := e.log.WithField("namespace", namespace)
	if err != nil {
		log.WithError(err).Warn("pods are not followed; no lease ends for that")
		return
	}
	log.Info("Pods are followed again")
}

// ended ends the leases of a pod at once.
func (e *ends) ended(ctx context.Context, uid string) {
	e.end(ctx, func(*lease.Pool) []string { return []string{uid} })
}

// sweep ends the leases of pods that ended while nobody looked.
func (e *ends) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.synced:
		case <-tick.C:
		}
		e.end(ctx, func(p *lease.Pool) []string {
			var gone []string
			for _, l := range p.PodLeases() {
				if e.pods.Gone(l.Namespace, l.Pod, l.Since) {
					gone = append(gone, l.Pod)
				}
			}
			return gone
		})
	}
}

func (e *ends) end(ctx context.Context, whose func(p *lease.Pool) []string) {
	var ended []*lease.Resource
	err := e.keeper.Do(ctx, func(p *lease.Pool, now time.Time) {
		for _, uid := range whose(p) {
			ended = append(ended, p.PodGone(now, uid)...)
		}
	})
	if err != nil {
		if ctx.Err() == nil {
			e.log.WithError(err).Error("leases of pods that ended are tried again")
		}
		return
	}
	for _, r := range ended {
		e.log.WithFields(logrus.Fields{"resource": r.Name, "owner": r.Owner, "pod": r.Lease.Pod}).Info("Lease ended with its pod")
	}
}

// boskos binds leases of Boskos's interface, newer those of the other one.
func (e *ends) boskos(next leasehttp.Access) leasehttp.Access {
	if e == nil {
		return next
	}
	return binding{next, e.pods, e.bind}
}

func (e *ends) newer(next leasehttp.Access) leasehttp.Access {
	if e == nil {
		return next
	}
	return binding{next, e.pods, false}
}

// binding says which pod a caller is.
type binding struct {
	next      leasehttp.Access
	pods      *kube.Pods
	byAddress bool
}

// Holder takes the pod of a token, else that of the address, and only one that is known to live: of another nobody would ever
// know that it ended, or believe it too early.
func (b binding) Holder(r *http.Request, owner, typ string) (leasehttp.Caller, error) {
	caller, err := b.next.Holder(r, owner, typ)
	if err != nil {
		return caller, err
	}
	uid := caller.Pod
	if uid == "" && b.byAddress {
		if peer, ok := peerOf(r); ok {
			uid, _ = b.pods.ByAddress(peer)
		}
	}
	caller.Pod, caller.PodNamespace = "", ""
	if namespace, ok := b.pods.Find(uid); ok {
		caller.Pod, caller.PodNamespace = uid, namespace
	}
	return caller, nil
}

// peerOf is the address that a request came from. Behind a proxy it is not the caller's, except where another process of this
// pool passed it on and says whose it was: who lies about that only shortens a lease of its own.
func peerOf(r *http.Request) (netip.Addr, bool) {
	from := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	switch {
	case r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != "" || r.Header.Get("X-Real-Ip") != "":
		return netip.Addr{}, false
	case r.Header.Get(passedOn) != "":
		a, err := netip.ParseAddr(from) // more than one is none
		return a, err == nil
	case from != "":
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr(), err == nil
}
