// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"fmt"
	"net/http"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// What people do to what others hold. Who may is People's to say.
const (
	verbRelease    = "release"
	verbQuarantine = "quarantine"
	verbReserve    = "reserve"
	verbReset      = "reset" // on Boskos's interface
)

// change is what a person wants of a resource.
type personal struct {
	To     string   `json:"to"`
	Reason string   `json:"reason"`
	By     Duration `json:"by"` // for extend
	// For is the person in whose name a trusted caller asks.
	For string `json:"for"`
	// Epoch, where it is set, is that of the lease that is meant: another one stays as it is.
	Epoch uint64 `json:"epoch"`
}

// meant tells whether a resource is as it was when the person looked at it.
func (b personal) meant(p *lease.Pool, name string) error {
	if found := p.Get(name); b.Epoch != 0 && found != nil && found.Epoch != b.Epoch {
		return &lease.Stale{Resource: name}
	}
	return nil
}

// person reads the body and asks whether the caller may.
func (v *V1) person(r *http.Request, verb string) (body personal, name, by string, err error) {
	if err := read(r, &body); err != nil {
		return body, "", "", err
	}
	if len(body.To) > maxText || len(body.Reason) > maxText || len(body.For) > maxText {
		return body, "", "", bad(fmt.Sprintf("to, reason and for have at most %d bytes", maxText))
	}
	name = r.PathValue("name")
	var typ string
	err = v.do(r, func(p *lease.Pool, _ time.Time) error {
		found := p.Get(name)
		if found == nil {
			return &missing{notFound("resource", name, nil)}
		}
		typ = found.Type
		return nil
	})
	if err != nil {
		return body, "", "", err
	}
	by, err = v.may(r, verb, typ)
	if err == nil && body.For != "" {
		by = body.For + " through " + by
	}
	return body, name, by, err
}

func (v *V1) may(r *http.Request, verb, typ string) (string, error) {
	if v.People == nil {
		return "", &Denied{Why: "nobody may do this here: the pool's settings name no operators"}
	}
	return v.People.May(r, verb, typ)
}

// changed runs an operation on a resource and answers with it.
func (v *V1) changed(w http.ResponseWriter, r *http.Request, name string, op func(p *lease.Pool, now time.Time) error) error {
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		if err := op(p, now); err != nil {
			return nil, err
		}
		if found := p.Get(name); found != nil {
			return resourceOf(found), nil
		}
		return Resource{}, nil // it was leaving, and has left
	})
}

func (v *V1) force(w http.ResponseWriter, r *http.Request) error {
	body, name, by, err := v.person(r, verbRelease)
	if err != nil {
		return err
	}
	to := body.To
	if to == "" {
		to = lease.Dirty
	}
	if body.Reason != "" {
		by += ": " + body.Reason
	}
	return v.changed(w, r, name, func(p *lease.Pool, now time.Time) error {
		if err := body.meant(p, name); err != nil {
			return err
		}
		return p.Force(now, name, to, by)
	})
}

func (v *V1) extend(w http.ResponseWriter, r *http.Request) error {
	body, name, _, err := v.person(r, verbRelease)
	if err != nil {
		return err
	}
	if body.By <= 0 || body.By > Duration(maxTTL) {
		return bad(fmt.Sprintf("by %v is not between 1s and %v", time.Duration(body.By), maxTTL))
	}
	return v.changed(w, r, name, func(p *lease.Pool, now time.Time) error {
		if err := body.meant(p, name); err != nil {
			return err
		}
		return p.Extend(now, name, time.Duration(body.By))
	})
}

func (v *V1) quarantine(w http.ResponseWriter, r *http.Request) error {
	body, name, by, err := v.person(r, verbQuarantine)
	if err != nil {
		return err
	}
	return v.changed(w, r, name, func(p *lease.Pool, now time.Time) error {
		_, err := p.Quarantine(now, name, body.Reason, by)
		return err
	})
}

func (v *V1) heal(w http.ResponseWriter, r *http.Request) error {
	body, name, _, err := v.person(r, verbQuarantine)
	if err != nil {
		return err
	}
	to := body.To
	if to == "" {
		to = lease.Dirty
	}
	return v.changed(w, r, name, func(p *lease.Pool, now time.Time) error {
		_, err := p.Heal(now, name, to)
		return err
	})
}

func (v *V1) reserve(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Type    string    `json:"type"`
		Count   int       `json:"count"`
		Account string    `json:"account"`
		From    time.Time `json:"from"`
		Until   time.Time `json:"until"`
		Reason  string    `json:"reason"`
		For     string    `json:"for"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	for _, text := range []string{body.Type, body.Account, body.Reason, body.For} {
		if len(text) > maxText {
			return bad(fmt.Sprintf("no text may have more than %d bytes", maxText))
		}
	}
	by, err := v.may(r, verbReserve, body.Type)
	if err != nil {
		return err
	}
	if body.For != "" {
		by = body.For + " through " + by
	}
	wanted := lease.Reservation{
		Type: body.Type, Count: body.Count, Account: body.Account, From: body.From.UTC(), Until: body.Until.UTC(), By: by, Reason: body.Reason,
	}
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		if made := same(p, wanted); made != nil {
			return made, nil
		}
		return p.Reserve(now, wanted)
	})
}

// same finds a reservation that is word for word what is wanted: who repeats a call whose answer was lost gets it.
func same(p *lease.Pool, wanted lease.Reservation) *lease.Reservation {
	for _, one := range p.Reservations() {
		there := *one
		there.ID, there.From, there.Until = "", wanted.From, wanted.Until
		if there == wanted && one.From.Equal(wanted.From) && one.Until.Equal(wanted.Until) {
			return one
		}
	}
	return nil
}

func (v *V1) cancel(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	var typ string
	err := v.do(r, func(p *lease.Pool, _ time.Time) error {
		for _, one := range p.Reservations() {
			if one.ID == id {
				typ = one.Type
				return nil
			}
		}
		return &missing{"there is no reservation " + id}
	})
	if err != nil {
		return err
	}
	if _, err := v.may(r, verbReserve, typ); err != nil {
		return err
	}
	if err := v.do(r, func(p *lease.Pool, now time.Time) error { return p.Cancel(now, id) }); err != nil {
		return err
	}
	answer(w, http.StatusOK, struct{}{})
	return nil
}
