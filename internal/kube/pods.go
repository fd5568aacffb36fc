// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Pods knows the pods of some namespaces that have not ended, as Follow has read them.
// It is safe for concurrent use.
//
// What it says of a pod's end is proof: the API server said that the pod succeeded,
// failed or was deleted, or a whole list that began later is without it. Whatever could
// not be read says nothing (docs/pool-pods.md).
type Pods struct {
	cluster *Cluster
	opts    PodOptions
	scopes  []*scope

	mu        sync.Mutex // guards what follows, and the views of scopes
	addresses map[netip.Addr][]string
	ended     ring
}

// PodOptions say whose pods are followed and who is told.
type PodOptions struct {
	Namespaces []string
	// Ended is told the UID of each pod that ended while it was followed, Synced of each
	// whole list of a namespace. They are called by as many goroutines as there are
	// namespaces, and hold up the following of theirs.
	Ended  func(uid string)
	Synced func(namespace string)
	// Trouble is told why a namespace cannot be read, and nil when it can again.
	Trouble func(namespace string, err error)
}

// scope is a namespace and what is known of it.
type scope struct {
	namespace string

	// What follows belongs to the goroutine that follows.
	version  string // to watch from; "": a list is needed
	failures int    // one after the other
	expired  int    // versions that the server has forgotten, one after the other
	trouble  string // as it was told last

	// What follows is guarded by the lock of Pods.
	live  map[string]pod // by UID
	begun time.Time      // when the list began on which live rests; zero: none was read
	heard time.Time      // when the server last said anything
}

// pod is what has to be known of one that has not ended.
type pod struct {
	addresses []netip.Addr
	running   bool
	// shared is set where the address is the node's: others use it too.
	shared bool
}

// The bounds of what is followed.
const (
	maxPods  = 100_000 // of a namespace, not counting those that ended
	maxEnded = 8192    // that are remembered
	podsPage = 200
	podPages = 5000
	// fresh is how old what was heard of all namespaces may be for an address to tell a
	// pod: behind an old view another pod may have it by now.
	fresh = 75 * time.Second
	// relistEvery bounds how long something missed could stay so.
	relistEvery = 30 * time.Minute
)

// NewPods returns what knows nothing until Follow runs.
func NewPods(cluster *Cluster, opts PodOptions) (*Pods, error) {
	p := &Pods{cluster: cluster, opts: opts, addresses: map[netip.Addr][]string{}, ended: newRing(maxEnded)}
	seen := map[string]bool{}
	for _, namespace := range opts.Namespaces {
		if !legalNamespace.MatchString(namespace) {
			return nil, fmt.Errorf("namespace %q: not the name of one", namespace)
		}
		if !seen[namespace] {
			p.scopes = append(p.scopes, &scope{namespace: namespace})
		}
		seen[namespace] = true
	}
	return p, nil
}

// Follow follows the pods until ctx ends. It runs once.
func (p *Pods) Follow(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range p.scopes {
		all.Go(func() { p.follow(ctx, s) })
	}
	all.Wait()
}

// Gone tells whether it is known that a pod of a namespace ended, of which something
// was known to be alive at a time. A namespace that is not followed, or not read since,
// gives no answer.
func (p *Pods) Gone(namespace, uid string, since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended.has(uid) {
		return true
	}
	for _, s := range p.scopes {
		if s.namespace == namespace {
			_, live := s.live[uid]
			return !live && since.Before(s.begun)
		}
	}
	return false
}

// Find returns the namespace of a pod that is followed and has not ended.
func (p *Pods) Find(uid string) (namespace string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.scopes {
		if _, live := s.live[uid]; live {
			return s.namespace, true
		}
	}
	return "", false
}

// ByAddress returns the pod that has an address: the only one, running, with an address
// of its own, by news that are not old.
func (p *Pods) ByAddress(address netip.Addr) (uid string, ok bool) {
	address = address.Unmap().WithZone("")
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.scopes {
		if now.Sub(s.heard) > fresh {
			return "", false
		}
	}
	at := p.addresses[address]
	if len(at) != 1 {
		return "", false
	}
	for _, s := range p.scopes {
		if found, live := s.live[at[0]]; live {
			return at[0], found.running && !found.shared
		}
	}
	return "", false
}

// Age is how long nothing was heard of the namespace that was silent longest. ok is
// false while one has not been read at all.
func (p *Pods) Age() (age time.Duration, ok bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.scopes {
		if s.begun.IsZero() {
			return 0, false
		}
		age = max(age, now.Sub(s.heard))
	}
	return age, true
}

// put notes a pod as it is now.
func (p *Pods) put(s *scope, uid string, found pod) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := s.live[uid]; !known && len(s.live) >= maxPods {
		return tooMany(s.namespace)
	}
	p.remove(s, uid)
	p.add(s, uid, found)
	return nil
}

func tooMany(namespace string) error {
	return fmt.Errorf("namespace %s: there are more than %d pods that have not ended", namespace, maxPods)
}

// end forgets a pod and tells that it ended, once.
func (p *Pods) end(s *scope, uid string) {
	p.mu.Lock()
	p.remove(s, uid)
	news := p.ended.add(uid)
	p.mu.Unlock()
	if news {
		p.opts.Ended(uid)
	}
}

// replace puts a whole list in the place of what was known. Who is not in it any more
// has ended.
func (p *Pods) replace(s *scope, live map[string]pod, begun time.Time) {
	var missing []string
	p.mu.Lock()
	for uid := range s.live {
		if _, ok := live[uid]; !ok {
			missing = append(missing, uid)
		}
		p.remove(s, uid)
	}
	s.live = map[string]pod{}
	for uid, found := range live {
		p.add(s, uid, found)
	}
	s.begun, s.heard = begun, time.Now()
	p.mu.Unlock()
	for _, uid := range missing {
		p.end(s, uid)
	}
	p.opts.Synced(s.namespace)
}

// hear notes that the server said something.
func (p *Pods) hear(s *scope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.heard = time.Now()
}

func (p *Pods) add(s *scope, uid string, found pod) {
	s.live[uid] = found
	for _, a := range found.addresses {
		p.addresses[a] = append(p.addresses[a], uid)
	}
}

func (p *Pods) remove(s *scope, uid string) {
	for _, a := range s.live[uid].addresses {
		rest := slices.DeleteFunc(p.addresses[a], func(u string) bool { return u == uid })
		if len(rest) == 0 {
			delete(p.addresses, a)
		} else {
			p.addresses[a] = rest
		}
	}
	delete(s.live, uid)
}

// ring remembers the last n texts.
type ring struct {
	texts []string
	next  int
	in    map[string]bool
}

func newRing(n int) ring { return ring{texts: make([]string, n), in: map[string]bool{}} }

func (r *ring) has(text string) bool { return r.in[text] }

// add tells whether the text is new.
func (r *ring) add(text string) bool {
	if r.in[text] {
		return false
	}
	delete(r.in, r.texts[r.next])
	r.texts[r.next], r.in[text] = text, true
	r.next = (r.next + 1) % len(r.texts)
	return true
}
