// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/internal/thread"
	"sigs.k8s.io/steward/plugins"
)

// poolCalls asks steward-pool, and tells it what commands want, as an operator of it. Who gave the command goes with it.
type poolCalls struct {
	client *leasehttp.Client      // nil: no pool is known
	lends  func(thread.Repo) bool // whether a repository may
	shows  bool                   // there is a token to show
	log    *logrus.Entry

	mu     sync.Mutex
	denied string // what the pool said when it refused us last
	since  time.Time
}

const (
	poolTimeout = 30 * time.Second
	// deniedFor is how long a refusal is believed. It is told to people instead of being asked for again and again.
	deniedFor = time.Minute
)

func (s *hookServer) poolCalls() (*poolCalls, error) {
	p := &poolCalls{lends: s.lends, log: s.log.WithField("part", "pool"), shows: s.opts.PoolTokenFile != ""}
	if s.opts.PoolServer == "" {
		if p.shows {
			return nil, errors.New("--pool-token-file is of no use without --pool-server")
		}
		return p, nil
	}
	if u, err := url.Parse(s.opts.PoolServer); err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--pool-server %q is not an http address", s.opts.PoolServer)
	}
	authorize, err := leasehttp.Credentials(s.opts.PoolTokenFile, "", "", os.ReadFile)
	if err == nil && p.shows {
		_, err = os.Stat(s.opts.PoolTokenFile)
	}
	if err != nil {
		return nil, fmt.Errorf("--pool-token-file: %w", err)
	}
	p.client = &leasehttp.Client{
		Server: s.opts.PoolServer, Authorize: authorize,
		HTTP: &http.Client{Timeout: poolTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the pool redirects") }},
	}
	return p, nil
}

// hurdle says why the pool cannot be asked, or told to do something.
func (p *poolCalls) hurdle(acts bool) string {
	switch {
	case p.client == nil:
		return "steward-hook was started without --pool-server"
	case !acts:
		return ""
	case !p.shows:
		return "steward-hook was started without --pool-token-file, the token of an operator of the pool"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.denied != "" && time.Since(p.since) < deniedFor {
		return "the pool refuses steward-hook: " + p.denied
	}
	return ""
}

// asked logs what failed: what people are told names no address.
func (p *poolCalls) asked(what string, err error) error {
	if err != nil && !leasehttp.IsMissing(err) {
		p.log.WithError(err).Warn(what + " not read")
	}
	return err
}

func (p *poolCalls) Types(ctx context.Context) ([]plugins.PoolType, error) {
	all, err := p.client.Types(ctx)
	out := make([]plugins.PoolType, len(all))
	for i, t := range all {
		out[i] = plugins.PoolType{Name: t.Type, Size: t.Size, Max: t.Max, States: t.States, Waiting: t.Waiting}
	}
	return out, p.asked("types", err)
}

func (p *poolCalls) Resources(ctx context.Context, typ string) ([]plugins.PoolResource, error) {
	all, _, err := p.client.Resources(ctx, typ, "") // what is left out of ten thousand is counted by its type
	out := make([]plugins.PoolResource, len(all))
	for i, r := range all {
		out[i] = poolResource(r)
	}
	return out, p.asked("resources", err)
}

func (p *poolCalls) Resource(ctx context.Context, name string) (plugins.PoolResource, error) {
	r, err := p.client.Resource(ctx, name)
	if leasehttp.IsMissing(err) {
		return plugins.PoolResource{}, fmt.Errorf("resource %q: %w", name, fs.ErrNotExist)
	}
	return poolResource(r), p.asked("resource", err)
}

func (p *poolCalls) Reservations(ctx context.Context) ([]lease.Reservation, error) {
	all, err := p.client.Reservations(ctx)
	return all, p.asked("reservations", err)
}

func poolResource(r leasehttp.Resource) plugins.PoolResource {
	out := plugins.PoolResource{Name: r.Name, Type: r.Type, State: r.State, Owner: r.Owner, Sick: r.Sick}
	if l := r.Lease; l != nil {
		out.Account, out.Since, out.Epoch = l.Account, l.Since, l.Epoch
		if l.Until != nil {
			out.Until = *l.Until
		}
	}
	if l := r.Last; l != nil {
		out.Last = plugins.PoolEnded{Owner: l.Owner, Why: l.Why, Note: l.Note}
	}
	return out
}

// call has the pool do what a command wants. Whatever a plugin wants, the repository has to be the one whose OWNERS decide.
func (p *poolCalls) call(ctx context.Context, repo thread.Repo, w thread.CallPool) error {
	if !p.lends(repo) {
		return fmt.Errorf("tell the pool to %s: the settings do not let %s", w.Verb, repo)
	}
	if hurdle := p.hurdle(true); hurdle != "" {
		return fmt.Errorf("tell the pool to %s: %s", w.Verb, hurdle)
	}
	err := p.tell(ctx, w.PoolCall)
	var answer *leasehttp.Error
	if leasehttp.IsDenied(err) && errors.As(err, &answer) {
		p.mu.Lock()
		p.denied, p.since = answer.Message, time.Now()
		p.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("tell the pool to %s %s: %w", w.Verb, w.Resource, err)
	}
	p.log.WithFields(logrus.Fields{"verb": string(w.Verb), "resource": w.Resource, "type": w.Type, "for": w.For}).Info("Told the pool")
	return nil
}

func (p *poolCalls) tell(ctx context.Context, c thread.PoolCall) (err error) {
	order := leasehttp.Order{Reason: c.Reason, For: c.For, Epoch: c.Epoch}
	switch c.Verb {
	case thread.PoolRelease:
		_, err = p.client.Order(ctx, leasehttp.ForceRelease, c.Resource, order)
	case thread.PoolExtend:
		if order.By = leasehttp.Duration(time.Until(c.Until)); order.By <= 0 {
			return nil // it is over already
		}
		_, err = p.client.Order(ctx, leasehttp.Extend, c.Resource, order)
	case thread.PoolQuarantine:
		_, err = p.client.Order(ctx, leasehttp.Quarantine, c.Resource, order)
	case thread.PoolHeal:
		_, err = p.client.Order(ctx, leasehttp.Heal, c.Resource, order)
	case thread.PoolUnreserve:
		if err = p.client.Cancel(ctx, c.Resource); leasehttp.IsMissing(err) {
			return nil // it is ended already
		}
	case thread.PoolReserve:
		_, err = p.client.Reserve(ctx, leasehttp.Reservation{
			Type: c.Type, Count: c.Count, Account: c.Account, From: c.From, Until: c.Until, Reason: c.Reason, For: c.For,
		})
	default:
		return fmt.Errorf("there is no verb %q", c.Verb)
	}
	return err
}
