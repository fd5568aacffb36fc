// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Grip is how a holder proves that a lease is its own: by id, or, on Boskos's interface, by the owner's name alone.
type Grip struct {
	Resource string
	Owner    string
	// Lease and Epoch are checked where they are set.
	Lease string
	Epoch uint64
	// Account, where Bound is set, has to be the lease's: the owner's name, which everybody may read, is not enough then.
	Account string
	Bound   bool
}

// find returns the resource that a grip holds.
func (p *Pool) find(g Grip) (*Resource, error) {
	r := p.resources[g.Resource]
	if r == nil {
		return nil, &NoneFree{g.Resource}
	}
	if g.Lease != "" && (r.Lease == nil || r.Lease.ID != g.Lease) || g.Epoch != 0 && r.Epoch != g.Epoch {
		return nil, &Stale{g.Resource}
	}
	switch {
	case g.Lease != "":
	case g.Owner != r.Owner || g.Owner == "":
		return nil, &NotOwner{g.Owner, r.Owner}
	case r.Lease != nil && r.Lease.TTL > 0:
		return nil, &NeedsLease{g.Resource}
	case g.Bound && g.Account != r.holder().Account:
		return nil, &NotOwner{g.Owner, r.Owner}
	}
	return r, nil
}

// Release ends a lease and puts the resource into a state. With a lease id it may be repeated: a lease that has ended so
// already is success. note says what happened, such as why it could not be cleaned.
func (p *Pool) Release(now time.Time, g Grip, to, note string) error {
	if to == "" {
		return &Invalid{"the state after the lease has to be set"}
	}
	r, err := p.find(g)
	if err != nil {
		if last := p.resources[g.Resource]; g.Lease != "" && last != nil && last.Last != nil && last.Last.Lease == g.Lease &&
			last.Last.Why == Released && last.Last.Left == to {
			return nil
		}
		return err
	}
	p.end(now, r, to, Released, note)
	return nil
}

// Renew is a sign of life: the lease lasts its time to live from now on. ttl replaces that time where it is not zero.
func (p *Pool) Renew(now time.Time, g Grip, ttl time.Duration) (*Resource, error) {
	r, err := p.find(g)
	if err != nil {
		return nil, err
	}
	if !r.Held() || ttl < 0 {
		return nil, &Stale{g.Resource}
	}
	n := r.copy()
	n.sign(now, ttl)
	p.setResource(n.Name, n, true)
	return n, nil
}

// sign notes a sign of life. What a person extended lasts at least until then.
func (r *Resource) sign(now time.Time, ttl time.Duration) {
	if r.Lease != nil && r.Lease.TTL > 0 {
		l := *r.Lease
		extended := l.Until.After(r.Updated.Add(l.TTL))
		if ttl > 0 {
			l.TTL = ttl
		}
		until := now.Add(l.TTL)
		if extended {
			until = later(l.Until, until)
		}
		l.Until, r.Lease = until, &l
	}
	r.Updated = later(r.Updated, now)
}

// Update is Boskos's sign of life, with what the holder wants to keep: an empty value removes a key. Data are no lazy change.
func (p *Pool) Update(now time.Time, g Grip, state string, data map[string]string) error {
	r, err := p.find(g)
	if err != nil {
		return err
	}
	if r.State != state {
		return &WrongState{r.State, state}
	}
	n := r.copy()
	n.sign(now, 0)
	if len(data) > 0 {
		n.UserData = merge(r.data(), data)
		if size := dataSize(n.UserData); size > MaxUserData {
			return &TooLarge{fmt.Sprintf("user data of %s would have %d bytes, more than %d", r.Name, size, MaxUserData)}
		}
	}
	p.setResource(n.Name, n, maps.Equal(n.UserData, r.UserData))
	return nil
}

// MaxUserData bounds what holders keep with a resource, as JSON: an object of Kubernetes holds it twice over.
const MaxUserData = 512 << 10

// dataSize is no less than what data have as JSON, in which some characters take six bytes.
func dataSize(data map[string]string) int {
	n := 0
	for key, value := range data {
		n += textSize(key) + textSize(value) + len(`"":"",`)
	}
	return n
}

func textSize(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case r < ' ', r == 0x7f, strings.ContainsRune("<>&\"\\\u2028\u2029\ufffd", r):
			n += len(`\u0000`)
		default:
			n += utf8.RuneLen(r)
		}
	}
	return n
}

func merge(into, data map[string]string) map[string]string {
	for key, value := range data {
		if value == "" {
			delete(into, key)
		} else {
			into[key] = value
		}
	}
	return into
}

// Transfer ends a lease and begins another for a new holder, with no moment in between.
func (p *Pool) Transfer(now time.Time, g Grip, owner string, h Holder) (*Resource, error) {
	r, err := p.find(g)
	if err != nil {
		return nil, err
	}
	if !r.Held() || owner == "" {
		return nil, &Invalid{"a lease and a new owner are needed"}
	}
	if quota, limited := p.policy.quota(h.Account, r.Type); limited && h.Account != r.holder().Account && p.share(r.Type, h.Account).Holds >= quota {
		return nil, &OverQuota{h.Account}
	}
	w := &Waiter{Owner: owner, Holder: h, To: r.State, From: r.State}
	if r.Lease != nil {
		w.From, w.TTL = r.Lease.From, r.Lease.TTL
	}
	before := r.holder().Account
	n := p.grant(now, p.closed(now, r, r.State, Transferred, "to "+owner), w)
	if _, limited := p.policy.quota(before, r.Type); limited && h.Account != before {
		p.alarm(now, alarmMatch, r.Type) // wherever the account waits
	}
	if r.Lease != nil && r.Lease.Reservation != "" && h.Account == before {
		under, l := n.copy(), *n.Lease
		l.Reservation, under.Lease = r.Lease.Reservation, &l
		p.setResource(under.Name, under, false)
		return under, nil
	}
	return n, nil
}

// Reset ends the leases of a type in a state that gave no sign of life for a time, and returns their owners by resource.
func (p *Pool) Reset(now time.Time, typ, state string, expire time.Duration, to string) map[string]string {
	reset := map[string]string{}
	var silent []*Resource
	for r := range p.All(typ) {
		if r.State == state && r.Held() && now.Sub(r.Updated) >= expire {
			silent = append(silent, r)
		}
	}
	Sort(silent)
	for _, r := range silent {
		reset[r.Name] = r.Owner
		p.end(now, r, to, Reset, "")
	}
	return reset
}

// PodGone ends the leases of a pod. Whose they are is known by the pod's UID alone (P-10).
func (p *Pool) PodGone(now time.Time, uid string) []*Resource {
	var ended []*Resource
	for _, name := range slices.Sorted(maps.Keys(p.pods[uid])) {
		r := p.resources[name]
		p.end(now, r, Dirty, PodGone, "")
		ended = append(ended, r)
	}
	return ended
}

// Force ends a lease in the name of a person.
func (p *Pool) Force(now time.Time, name, to, by string) error {
	r := p.resources[name]
	if r == nil {
		return &NoneFree{name}
	}
	if !r.Held() {
		return &Invalid{"nobody holds " + name}
	}
	p.end(now, r, to, Forced, "by "+by)
	return nil
}

// Extend lets a lease go on for a time from now, in the name of a person. One of Boskos's interface counts as renewed by then.
func (p *Pool) Extend(now time.Time, name string, by time.Duration) error {
	r := p.resources[name]
	if r == nil {
		return &NoneFree{name}
	}
	if !r.Held() {
		return &Invalid{"nobody holds " + name}
	}
	n := r.copy()
	if r.Lease == nil || r.Lease.Until.IsZero() {
		n.Updated = later(r.Updated, now.Add(by-max(p.policy.idle(), 0)))
	} else {
		l := *r.Lease
		l.Until = later(l.Until, now.Add(by))
		n.Lease = &l
	}
	p.setResource(name, n, false)
	return nil
}

// Unclaim gives back what nobody was there to take, as if it had never been lent.
func (p *Pool) Unclaim(now time.Time, id string) {
	r := p.resources[p.leases[id]]
	if r == nil || r.Lease == nil || r.Lease.ID != id {
		return
	}
	p.end(now, r, r.Lease.From, Unclaimed, "")
}

// end is the only way in which a lease ends.
func (p *Pool) end(now time.Time, r *Resource, to, why, note string) {
	n := p.closed(now, r, to, why, note)
	if _, limited := p.policy.quota(n.Last.Account, r.Type); limited {
		p.alarm(now, alarmMatch, r.Type) // wherever the account waits
	}
	n.State, n.Updated = to, now
	if why != Reset { // as in Boskos, whose lifespans begin when something is given back
		n.Expires = p.expiry(now, r)
	}
	p.judge(now, r, n, why, note)
	if n.Leaving {
		p.leave(now, n)
		return
	}
	p.setResource(n.Name, n, false)
	p.freed(now, n)
}

// closed returns a resource without its lease, which it notes in the history. The caller puts it into the pool.
func (p *Pool) closed(now time.Time, r *Resource, to, why, note string) *Resource {
	l := r.Lease
	if l == nil {
		l = &Lease{Holder: r.holder(), Since: r.Updated}
	} else {
		p.settle(r.Type, l, now.Sub(l.Since), why)
	}
	n := r.copy()
	n.Owner, n.Lease = "", nil
	n.Last = &Ended{
		Lease: l.ID, Epoch: r.Epoch, Resource: r.Name, Type: r.Type, Owner: r.Owner, Holder: l.Holder,
		Since: l.Since, Until: now, Held: r.State, Left: to, Why: why, Note: note,
	}
	p.ended = append(p.ended, n.Last)
	return n
}

// freed lets those who wait have what was given back.
func (p *Pool) freed(now time.Time, r *Resource) {
	p.tended(now, r)
	p.watch(p.resources[r.Name], now)
	p.match(now, place{r.Type, r.State})
}
