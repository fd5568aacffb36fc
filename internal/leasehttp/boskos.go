// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leasehttp speaks for a pool over HTTP: Boskos's interface, so that every client of Boskos works unchanged, and a
// newer one beside it.
//
// Boskos's interface is kept to the letter: paths, codes, bodies and the words that clients look for. Where it is better not
// to be equal, docs/switch-boskos.md says how and which switch makes it equal.
package leasehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/lease"
)

// Boskos answers on the paths of Boskos.
type Boskos struct {
	Pool *lease.Keeper
	// Hold is how long /acquire with a request_id waits before it says that nothing is free. Boskos does not wait.
	Hold time.Duration
	// Access says who asks. nil believes the owner, as Boskos does.
	Access Access
	// People says who may reset what others hold. nil lets everybody, as Boskos does.
	People People
	// Metrics may be nil.
	Metrics *Metrics
}

// Access tells for whom a request speaks, or why it may not. typ is "" where a request is about a lease that exists.
type Access interface {
	Holder(r *http.Request, owner, typ string) (Caller, error)
}

// Caller is who asks.
type Caller struct {
	lease.Holder
	Class string
	// Name is who the credentials are of; "" where there are none.
	Name string
	// Bound is set where rules say whose a lease is: then it is not enough to say the owner's name.
	Bound bool
}

// Denied is the answer of an Access to those who may not.
type Denied struct {
	// Unknown is set where better credentials would help.
	Unknown bool
	Why     string
}

func (d *Denied) Error() string { return d.Why }

// The bounds of a request. Boskos has none.
const (
	maxUserData = 1 << 20 // a Kubernetes object holds no more
	maxParam    = 1024
)

// Handler serves Boskos's paths. Every other path answers 200 with nothing, as Boskos does.
func (b *Boskos) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, row := range []struct {
		path, method string
		serve        func(*request) error
	}{
		{"/acquire", http.MethodPost, b.acquire},
		{"/acquirebystate", http.MethodPost, b.acquireByState},
		{"/release", http.MethodPost, b.release},
		{"/reset", http.MethodPost, b.reset},
		{"/update", http.MethodPost, b.update},
		{"/metric", http.MethodGet, b.metric},
	} {
		mux.HandleFunc(row.path, func(w http.ResponseWriter, r *http.Request) {
			req := &request{ResponseWriter: w, Request: r, query: r.URL.Query()}
			if r.Method != row.method {
				text := fmt.Sprintf("Method %s, %s only accepts %s.", r.Method, row.path, row.method)
				switch row.path {
				case "/acquirebystate":
					text = fmt.Sprintf("Method %s, /acquire only accepts POST.", r.Method)
				case "/metric":
					text = "/metric only accepts GET"
				}
				http.Error(w, text, http.StatusMethodNotAllowed)
				return
			}
			if err := req.bounded(); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if err := row.serve(req); err != nil {
				req.fail(err)
			}
		})
	}
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// request is one call with its parameters, which Boskos reads from the query alone.
type request struct {
	http.ResponseWriter
	*http.Request
	query  url.Values
	prefix string // of an error
}

func (r *request) get(key string) string { return r.query.Get(key) }

func (r *request) bounded() error {
	for key, values := range r.query {
		for _, v := range values {
			if key != "names" && len(v) > maxParam {
				return fmt.Errorf("parameter %s is longer than %d bytes", key, maxParam)
			}
			if !utf8.ValidString(v) {
				return fmt.Errorf("parameter %s is not UTF-8", key)
			}
		}
	}
	return nil
}

// bad is a request that lacks something.
type bad string

func (b bad) Error() string { return string(b) }

// fail answers with an error in Boskos's form.
func (r *request) fail(err error) {
	text := told(status(err), err)
	if r.prefix != "" {
		text = r.prefix + ": " + text
	}
	http.Error(r.ResponseWriter, text, status(err))
}

// told is what a caller is told of an error. What went wrong inside is for the log of the server.
func told(code int, err error) string {
	if code == http.StatusInternalServerError {
		return "the pool could not do it; its log says why"
	}
	return err.Error()
}

// status is the code that Boskos has for an error.
func status(err error) int {
	var (
		unknown *lease.UnknownType
		none    *lease.NoneFree
		owner   *lease.NotOwner
		stale   *lease.Stale
		needs   *lease.NeedsLease
		big     *lease.TooLarge
		state   *lease.WrongState
		invalid *lease.Invalid
		quota   *lease.OverQuota
		full    *lease.Full
		denied  *Denied
		down    *Unavailable
		wrong   bad
		large   *http.MaxBytesError
	)
	switch {
	case errors.As(err, &owner), errors.As(err, &stale), errors.As(err, &needs):
		return http.StatusUnauthorized
	case errors.As(err, &denied) && denied.Unknown:
		return http.StatusUnauthorized
	case errors.As(err, &denied):
		return http.StatusForbidden
	case errors.As(err, &unknown), errors.As(err, &none), errors.As(err, &quota):
		return http.StatusNotFound
	case errors.As(err, &state):
		return http.StatusConflict
	case errors.As(err, &wrong), errors.As(err, &invalid):
		return http.StatusBadRequest
	case errors.As(err, &large), errors.As(err, &big):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &full), errors.As(err, &down), errors.Is(err, lease.ErrStopped), errors.Is(err, lease.ErrDeposed), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func (b *Boskos) who(r *request, owner, typ string) (Caller, error) {
	return who(b.Access, r.Request, owner, typ)
}

// whose says who asks for a resource that is held, by name.
func (b *Boskos) whose(r *request, owner, name string) (lease.Grip, error) {
	caller, err := b.who(r, owner, "")
	if err != nil || !caller.Bound {
		return lease.Grip{Resource: name, Owner: owner, Lease: r.get("lease")}, err
	}
	types, err := b.types(r, []string{name})
	if err != nil {
		return lease.Grip{}, err
	}
	for typ := range types { // the rules may know other accounts for other types
		if caller, err = b.who(r, owner, typ); err != nil {
			return lease.Grip{}, err
		}
	}
	return lease.Grip{Resource: name, Owner: owner, Lease: r.get("lease"), Account: caller.Account, Bound: true}, nil
}

// types returns the types of resources that are there.
func (b *Boskos) types(r *request, names []string) (map[string]bool, error) {
	types := map[string]bool{}
	err := b.do(r, func(p *lease.Pool, _ time.Time) error {
		for _, name := range names {
			if one := p.Get(name); one != nil {
				types[one.Type] = true
			}
		}
		return nil
	})
	return types, err
}

func (b *Boskos) acquire(r *request) error {
	typ, state, dest, owner, id := r.get("type"), r.get("state"), r.get("dest"), r.get("owner"), r.get("request_id")
	if typ == "" || state == "" || dest == "" || owner == "" {
		r.prefix = "Bad request"
		return bad(fmt.Sprintf("Type: %v, state: %v, dest: %v, owner: %v, all of them must be set in the request.", typ, state, dest, owner))
	}
	r.prefix = "Acquire failed"
	caller, err := b.who(r, owner, typ)
	if err != nil {
		return err
	}
	begun := time.Now()
	got, err := b.Pool.Acquire(r.Context(), lease.Claim{
		Request: id, Owner: owner, Holder: caller.Holder, Class: caller.Class,
		Wants: []lease.Want{{Type: typ, Count: 1}}, From: state, To: dest,
	}, b.Hold)
	if err != nil {
		return err
	}
	b.Metrics.acquired(typ, state, dest, id != "", time.Since(begun))
	r.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if l := got[0].Lease; l != nil {
		r.Header().Set("X-Pool-Lease", l.ID)
	}
	return r.write(boskosOf(got[0]), "")
}

// Header is that of the answer.
func (r *request) Header() http.Header { return r.ResponseWriter.Header() }

func (r *request) write(v any, end string) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, _ = io.WriteString(r.ResponseWriter, string(content)+end) // a client that has gone hears nothing
	return nil
}

// boskosOf is a resource in Boskos's JSON.
func boskosOf(r *lease.Resource) boskosResource {
	out := boskosResource{Type: r.Type, Name: r.Name, State: r.State, Owner: r.Owner, Updated: r.Updated, UserData: r.UserData}
	if out.UserData == nil {
		out.UserData = map[string]string{}
	}
	if !r.Expires.IsZero() {
		out.Expires = &r.Expires
	}
	return out
}

type boskosResource struct {
	Type     string            `json:"type"`
	Name     string            `json:"name"`
	State    string            `json:"state"`
	Owner    string            `json:"owner"`
	Updated  time.Time         `json:"lastupdate"`
	UserData map[string]string `json:"userdata"`
	Expires  *time.Time        `json:"expiration-date,omitempty"`
}

func (b *Boskos) acquireByState(r *request) error {
	state, dest, owner, names := r.get("state"), r.get("dest"), r.get("owner"), r.get("names")
	if state == "" || dest == "" || owner == "" || names == "" {
		return bad(fmt.Sprintf("state: %v, dest: %v, owner: %v, names: %v - all of them must be set in the request.", state, dest, owner, names))
	}
	r.prefix = "AcquireByState"
	caller, err := b.who(r, owner, "")
	if err != nil {
		return err
	}
	all := strings.Split(names, ",")
	if caller.Bound {
		types, err := b.types(r, all)
		if err != nil {
			return err
		}
		if len(types) == 0 {
			return &lease.NoneFree{What: state}
		}
		if caller, err = oneCaller(b.Access, r.Request, owner, slices.Sorted(maps.Keys(types))); err != nil {
			return err
		}
	}
	var got []*lease.Resource
	var refused error
	claim := lease.Claim{Owner: owner, Holder: caller.Holder, Class: caller.Class, From: state, To: dest}
	err = b.Pool.Do(r.Context(), func(p *lease.Pool, now time.Time) {
		got, refused = p.AcquireByName(now, claim, all)
	})
	if err = errors.Join(err, refused); err != nil {
		return err
	}
	out := make([]boskosResource, len(got))
	for i, one := range got {
		out[i] = boskosOf(one)
	}
	r.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return r.write(out, "\n")
}

func (b *Boskos) do(r *request, op func(p *lease.Pool, now time.Time) error) error {
	return do(r.Context(), b.Pool, op)
}

func (b *Boskos) release(r *request) error {
	name, dest, owner := r.get("name"), r.get("dest"), r.get("owner")
	if name == "" || dest == "" || owner == "" {
		return bad(fmt.Sprintf("Name: %v, dest: %v, owner: %v, all of them must be set in the request.", name, dest, owner))
	}
	r.prefix = fmt.Sprintf("Done failed: %v - %v (from %v)", name, dest, owner)
	grip, err := b.whose(r, owner, name)
	if err != nil {
		return err
	}
	return b.do(r, func(p *lease.Pool, now time.Time) error { return p.Release(now, grip, dest, r.get("reason")) })
}

func (b *Boskos) reset(r *request) error {
	typ, state, expire, dest := r.get("type"), r.get("state"), r.get("expire"), r.get("dest")
	if typ == "" || state == "" || expire == "" || dest == "" {
		return bad(fmt.Sprintf("Type: %v, state: %v, expire: %v, dest: %v, all of them must be set in the request.", typ, state, expire, dest))
	}
	after, err := time.ParseDuration(expire)
	if err != nil {
		return bad(err.Error())
	}
	if after < 0 { // Boskos takes resources away from everybody then, however alive
		return bad(fmt.Sprintf("expire: %v is negative; 0s resets all that is in the state", after))
	}
	r.prefix = "could not reset states"
	if b.People != nil {
		if _, err := b.People.May(r.Request, verbReset, typ); err != nil {
			return err
		}
	}
	var reset map[string]string
	err = b.do(r, func(p *lease.Pool, now time.Time) error {
		reset = p.Reset(now, typ, state, after, dest)
		return nil
	})
	if err != nil {
		return err
	}
	r.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return r.write(reset, "")
}

func (b *Boskos) update(r *request) error {
	name, owner, state := r.get("name"), r.get("owner"), r.get("state")
	if name == "" || owner == "" || state == "" {
		return bad(fmt.Sprintf("Name: %v, owner: %v, state : %v, all of them must be set in the request.", name, owner, state))
	}
	data, err := userData(http.MaxBytesReader(r.ResponseWriter, r.Body, maxUserData))
	if err != nil {
		return err
	}
	r.prefix = fmt.Sprintf("Update failed: %v - %v (%v)", name, state, owner)
	grip, err := b.whose(r, owner, name)
	if err != nil {
		return err
	}
	return b.do(r, func(p *lease.Pool, now time.Time) error { return p.Update(now, grip, state, data) })
}

// userData reads the body of an update: one value, whatever comes behind it, or nothing.
func userData(body io.Reader) (map[string]string, error) {
	var data map[string]string
	err := json.NewDecoder(body).Decode(&data)
	var large *http.MaxBytesError
	var shape *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case errors.As(err, &shape) && shape.Type.Kind() == reflect.Map:
		return nil, bad("json: cannot unmarshal " + shape.Value + " into Go value of type common.UserDataMap") // Boskos's type
	case errors.As(err, &large):
		return nil, fmt.Errorf("user data: %w", err)
	case err != nil:
		return nil, bad(err.Error())
	}
	return data, nil
}

func (b *Boskos) metric(r *request) error {
	typ := r.get("type")
	if typ == "" {
		return bad("Type must be set in the request.")
	}
	out := struct {
		Type    string         `json:"type"`
		Current map[string]int `json:"current"`
		Owner   map[string]int `json:"owner"`
	}{Type: typ}
	err := b.do(r, func(p *lease.Pool, _ time.Time) (err error) {
		out.Current, out.Owner, err = p.Metric(typ)
		return err
	})
	if err != nil {
		return err
	}
	r.Header().Set("Content-Type", "application/json")
	return r.write(out, "")
}
