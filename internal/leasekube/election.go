// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ElectionOptions tune an election. The defaults hand over within 12 seconds.
type ElectionOptions struct {
	// Name is who this process is: the pod's name. One that starts again under its name leads at once.
	Name string
	// Address is where the others reach it, as host:port.
	Address string
	// Duration is how long nobody takes over from a leader that is not heard of: 9 seconds. Renew is how long a leader leads
	// that cannot say so: 6 seconds. Retry is how often either tries: 1.5 seconds.
	Duration, Renew, Retry time.Duration
}

// Election is the campaign of one process for a pool's Lease. The Lease keeps two from working against each other; that no
// two write is for the Pool to see to.
type Election struct {
	cluster *Cluster
	opts    ElectionOptions

	mu     sync.Mutex
	leader Leader
	seen   string    // the Lease as it was last, and since when
	since  time.Time // by our own clock: that of the leader may be wrong
}

// Leader is who leads.
type Leader struct{ Name, Address string }

func (l Leader) String() string { return l.Name + "@" + l.Address }

func leaderOf(holder string) Leader {
	at := strings.LastIndexByte(holder, '@')
	if at < 0 {
		return Leader{Name: holder}
	}
	return Leader{holder[:at], holder[at+1:]}
}

// Election returns a campaign that has yet to begin.
func (c *Cluster) Election(opts ElectionOptions) *Election {
	opts.Duration = cmp.Or(opts.Duration, 9*time.Second)
	opts.Renew = cmp.Or(opts.Renew, 6*time.Second)
	opts.Retry = cmp.Or(opts.Retry, 1500*time.Millisecond)
	return &Election{cluster: c, opts: opts}
}

// Leader returns who leads as far as this process knows. It is false where nobody does or nothing was heard for a while.
func (e *Election) Leader() (Leader, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leader, e.leader.Name != "" && time.Since(e.since) <= e.opts.Duration
}

func (e *Election) me() string { return Leader{e.opts.Name, e.opts.Address}.String() }

// Run campaigns until the context ends. Whenever it is elected it calls lead, whose context ends when it leads no more. Where
// lead returns before, it stands back for a moment, and the error is returned if lead's is not nil and the context goes on.
func (e *Election) Run(ctx context.Context, lead func(ctx context.Context) error) error {
	for {
		if err := e.win(ctx); err != nil {
			return nil //nolint:nilerr // the context ended
		}
		term, end := context.WithCancel(ctx)
		lost := make(chan struct{})
		go func() {
			defer close(lost)
			e.hold(term)
			end()
		}()
		err := lead(term)
		fell := term.Err() != nil
		end()
		<-lost
		e.yield(context.WithoutCancel(ctx))
		if err != nil && !fell {
			return err
		}
		if !pause(ctx, e.opts.Retry) {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// win returns when this process leads, or the context ends.
func (e *Election) win(ctx context.Context) error {
	for !e.try(ctx, false) {
		if !pause(ctx, e.opts.Retry) {
			return ctx.Err()
		}
	}
	return nil
}

// hold keeps the lead until it is lost or the context ends.
func (e *Election) hold(ctx context.Context) {
	for last := time.Now(); time.Since(last) < e.opts.Renew; {
		if !pause(ctx, e.opts.Retry) {
			return
		}
		begun := time.Now()
		switch {
		case e.try(ctx, true):
			last = begun
		case e.taken():
			return
		}
	}
}

// taken tells that somebody else leads.
func (e *Election) taken() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leader.String() != e.me()
}

// record is a Lease of coordination.k8s.io/v1.
type record struct {
	Version string `json:"apiVersion"`
	Kind    string `json:"kind"`
	Meta    meta   `json:"metadata"`
	Spec    struct {
		Holder      string `json:"holderIdentity,omitempty"`
		Seconds     int    `json:"leaseDurationSeconds,omitempty"`
		Acquired    string `json:"acquireTime,omitempty"`
		Renewed     string `json:"renewTime,omitempty"`
		Transitions int    `json:"leaseTransitions"`
	} `json:"spec"`
}

func (c *Cluster) leases() string { return c.under("coordination.k8s.io/v1", "leases") }

func micro() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

// try takes or renews the lead and tells whether this process has it then.
func (e *Election) try(ctx context.Context, renew bool) bool {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Renew/2)
	defer cancel()
	c := e.cluster
	var r record
	err := c.call(ctx, http.MethodGet, c.leases()+"/"+c.name, nil, &r)
	fresh := isStatus(err, http.StatusNotFound)
	if err != nil && !fresh {
		e.warn(err)
		return false
	}
	mine := r.Spec.Holder == e.me()
	if !fresh && !mine && (renew || !e.stale(r)) {
		e.note(r)
		return false
	}
	r.Version, r.Kind = "coordination.k8s.io/v1", "Lease"
	r.Spec.Seconds, r.Spec.Renewed = int((e.opts.Duration+time.Second-1)/time.Second), micro()
	if !mine {
		r.Spec.Holder, r.Spec.Acquired = e.me(), r.Spec.Renewed
		if !fresh {
			r.Spec.Transitions++
		}
	}
	var now record
	if fresh {
		r.Meta = meta{Name: c.name}
		err = c.call(ctx, http.MethodPost, c.leases(), r, &now)
	} else {
		err = c.call(ctx, http.MethodPut, c.leases()+"/"+c.name, r, &now)
	}
	if err != nil {
		if !isStatus(err, http.StatusConflict) {
			e.warn(err)
		}
		return false
	}
	e.note(now)
	return true
}

func (e *Election) warn(err error) {
	if !errors.Is(err, context.Canceled) {
		e.cluster.say.WithError(err).Warn("Lease of the pool not reached")
	}
}

// note remembers the Lease as it is, and since when it has been so.
func (e *Election) note(r record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leader = leaderOf(r.Spec.Holder)
	if r.Meta.ResourceVersion != e.seen {
		e.seen, e.since = r.Meta.ResourceVersion, time.Now()
	}
}

// stale tells that nobody leads, or that the leader was not heard of for as long as it said.
func (e *Election) stale(r record) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.Spec.Holder == "" {
		return true
	}
	return r.Meta.ResourceVersion == e.seen && time.Since(e.since) > time.Duration(r.Spec.Seconds)*time.Second
}

// yield gives the lead back, if it is still ours, so that the next need not wait.
func (e *Election) yield(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Renew/2)
	defer cancel()
	c := e.cluster
	var r record
	err := c.call(ctx, http.MethodGet, c.leases()+"/"+c.name, nil, &r)
	if err == nil && r.Spec.Holder == e.me() {
		r.Version, r.Kind, r.Spec.Holder, r.Spec.Renewed = "coordination.k8s.io/v1", "Lease", "", micro()
		if err = c.call(ctx, http.MethodPut, c.leases()+"/"+c.name, r, &r); err == nil {
			e.note(r)
		}
	}
	if err != nil && !isStatus(err, http.StatusConflict) {
		e.warn(err)
	}
}
