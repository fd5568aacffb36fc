// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// V1 is the newer interface: JSON in and out, described by openapi.json, which it serves.
type V1 struct {
	Pool *lease.Keeper
	// Access says who asks. nil believes the owner.
	Access Access
	// People says who may change what others hold. nil lets nobody.
	People People
	// History may be nil.
	History History
	// Issue makes a credential for a resource that is held; nil where none is configured.
	Issue func(ctx context.Context, r *lease.Resource) (any, error)
}

// People tells whether a person may do something to a type that is not theirs: release, quarantine, heal, reserve.
type People interface {
	May(r *http.Request, verb, typ string) (name string, err error)
}

// The bounds of the interface.
const (
	maxBody    = 64 << 10
	maxWait    = 10 * time.Minute
	maxTTL     = 24 * time.Hour
	defaultTTL = 5 * time.Minute
	maxText    = 1024
)

// Lease is one in answers. ID is there for its holder only.
type Lease struct {
	ID       string            `json:"id,omitempty"`
	Epoch    uint64            `json:"epoch"`
	Resource string            `json:"resource"`
	Type     string            `json:"type"`
	State    string            `json:"state"`
	Owner    string            `json:"owner"`
	Account  string            `json:"account,omitempty"`
	Job      string            `json:"job,omitempty"`
	Build    string            `json:"build,omitempty"`
	Since    time.Time         `json:"since"`
	Until    *time.Time        `json:"until,omitempty"`
	UserData map[string]string `json:"userData,omitempty"` // for its holder only
}

func leaseOf(r *lease.Resource, mine bool) Lease {
	out := Lease{Epoch: r.Epoch, Resource: r.Name, Type: r.Type, State: r.State, Owner: r.Owner, Since: r.Updated}
	if l := r.Lease; l != nil {
		out.Account, out.Job, out.Build, out.Since = l.Account, l.Job, l.Build, l.Since
		if !l.Until.IsZero() {
			out.Until = &l.Until
		}
		if mine {
			out.ID = l.ID
		}
	}
	if mine {
		out.UserData = r.UserData
	}
	return out
}

// AcquireRequest asks for resources, all or nothing.
type AcquireRequest struct {
	// Request makes the call repeatable and keeps its place in the queue. It is needed to wait.
	Request string       `json:"request,omitempty"`
	Owner   string       `json:"owner"`
	Wants   []lease.Want `json:"wants"`
	// From and To are states: free and busy where they are empty.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Wait is how long to wait, TTL how long each lease lasts without renewal.
	Wait Duration `json:"wait,omitempty"`
	TTL  Duration `json:"ttl,omitempty"`

	Job   string `json:"job,omitempty"`
	Build string `json:"build,omitempty"`
}

// Duration is text such as "5m" in JSON.
type Duration time.Duration

// UnmarshalText reads Go's notation.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalText writes Go's notation.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Leases is the answer to an acquire that was served.
type Leases struct {
	Leases  []Lease `json:"leases"`
	LeftOut int     `json:"leftOut,omitempty"` // of a list that is too long
}

// Queued is the answer, with code 202, to an acquire that waits: asking again with the same request keeps its place.
type Queued struct {
	Request string `json:"request"`
	Ahead   int    `json:"ahead"`
	Message string `json:"message"`
}

// Problem is the answer to what failed. Code is one of openapi.json's.
type Problem struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Handler serves the paths under /v1.
func (v *V1) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range v.routes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			if err := serve(w, r); err != nil {
				fail(w, err)
			}
		})
	}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &missing{fmt.Sprintf("there is no %s %s; GET /v1/openapi.json lists what there is", r.Method, r.URL.Path)})
	})
	return mux
}

type handler func(w http.ResponseWriter, r *http.Request) error

func (v *V1) routes() map[string]handler {
	return map[string]handler{
		"GET /v1/openapi.json":                 openAPI,
		"POST /v1/leases":                      v.acquire,
		"GET /v1/leases":                       v.leases,
		"GET /v1/leases/{id}":                  v.lease,
		"POST /v1/leases/{id}/renew":           v.renew,
		"POST /v1/leases/{id}/release":         v.release,
		"POST /v1/leases/{id}/credential":      v.credential,
		"POST /v1/leases/{id}/transfer":        v.transfer,
		"GET /v1/types":                        v.types,
		"GET /v1/resources":                    v.resources,
		"GET /v1/resources/{name}":             v.resource,
		"POST /v1/resources/{name}/release":    v.force,
		"POST /v1/resources/{name}/extend":     v.extend,
		"POST /v1/resources/{name}/quarantine": v.quarantine,
		"POST /v1/resources/{name}/heal":       v.heal,
		"GET /v1/queue":                        v.queue,
		"DELETE /v1/queue/{request}":           v.withdraw,
		"GET /v1/reservations":                 v.reservations,
		"POST /v1/reservations":                v.reserve,
		"DELETE /v1/reservations/{id}":         v.cancel,
		"GET /v1/history":                      v.history,
		"GET /v1/usage":                        v.usage,
		"GET /v1/watch":                        v.watch,
	}
}

// missing is a path or an object that is not there.
type missing struct{ what string }

func (m *missing) Error() string { return m.what }

func fail(w http.ResponseWriter, err error) {
	var p Problem
	var code int
	code, p.Error.Code = codeOf(err)
	p.Error.Message = told(code, err)
	answer(w, code, p)
}

// codeOf is an error's place in HTTP and in the interface.
func codeOf(err error) (int, string) {
	var (
		none    *lease.NoneFree
		unknown *lease.UnknownType
		stale   *lease.Stale
		owner   *lease.NotOwner
		quota   *lease.OverQuota
		gone    *missing
	)
	switch {
	case errors.As(err, &none):
		return http.StatusConflict, "none_free"
	case errors.As(err, &unknown):
		return http.StatusNotFound, "unknown_type"
	case errors.As(err, &gone):
		return http.StatusNotFound, "not_found"
	case errors.As(err, &stale), errors.As(err, &owner):
		return http.StatusGone, "lease_ended"
	case errors.As(err, &quota):
		return http.StatusConflict, "over_quota"
	}
	code := status(err)
	return code, map[int]string{
		http.StatusBadRequest: "invalid", http.StatusUnauthorized: "unauthenticated", http.StatusForbidden: "forbidden",
		http.StatusServiceUnavailable: "unavailable", http.StatusRequestEntityTooLarge: "too_large",
		http.StatusInternalServerError: "internal",
	}[code]
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone hears nothing
}

// read takes a body of JSON, whose fields all have to be known.
func read(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &large):
		return err
	case err != nil:
		return bad("the body cannot be read: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if dec.More() {
		return bad("the body holds more than one value")
	}
	return nil
}

func (v *V1) who(r *http.Request, owner, typ string) (Caller, error) {
	return who(v.Access, r, owner, typ)
}

func (v *V1) do(r *http.Request, op func(p *lease.Pool, now time.Time) error) error {
	return do(r.Context(), v.Pool, op)
}

func (v *V1) acquire(w http.ResponseWriter, r *http.Request) error {
	req := AcquireRequest{From: lease.Free, To: lease.Busy, TTL: Duration(defaultTTL)}
	if err := read(r, &req); err != nil {
		return err
	}
	if err := req.check(); err != nil {
		return err
	}
	claim := lease.Claim{
		Request: req.Request, Owner: req.Owner, Wants: req.Wants, From: req.From, To: req.To, TTL: time.Duration(req.TTL),
	}
	types := make([]string, len(req.Wants))
	for i, want := range req.Wants {
		types[i] = want.Type
	}
	caller, err := oneCaller(v.Access, r, req.Owner, types)
	if err != nil {
		return err
	}
	claim.Holder, claim.Class = caller.Holder, caller.Class
	claim.Job, claim.Build = req.Job, req.Build
	got, err := v.Pool.Acquire(r.Context(), claim, time.Duration(req.Wait))
	var none *lease.NoneFree
	if req.Request != "" && errors.As(err, &none) {
		return v.queued(w, r, claim)
	}
	return sendLeases(w, got, err)
}

func (req *AcquireRequest) check() error {
	for name, text := range map[string]string{
		"owner": req.Owner, "request": req.Request, "from": req.From, "to": req.To, "job": req.Job, "build": req.Build,
	} {
		if len(text) > maxText {
			return bad(fmt.Sprintf("%s is longer than %d bytes", name, maxText))
		}
	}
	for _, want := range req.Wants {
		if len(want.Type) > maxText {
			return bad(fmt.Sprintf("a type is longer than %d bytes", maxText))
		}
	}
	switch {
	case req.Owner == "":
		return bad("owner is missing: say who asks, such as a job and its build")
	case req.TTL < Duration(time.Second) || req.TTL > Duration(maxTTL):
		return bad(fmt.Sprintf("ttl %v is not between 1s and %v", time.Duration(req.TTL), maxTTL))
	case req.Wait < 0 || req.Wait > Duration(maxWait):
		return bad(fmt.Sprintf("wait %v is not between 0s and %v", time.Duration(req.Wait), maxWait))
	case req.Wait > 0 && req.Request == "":
		return bad("to wait, a request needs a name: set request to a text of your own that nobody else uses")
	case len(req.Wants) == 0:
		return bad("nothing is wanted")
	}
	return nil
}

func sendLeases(w http.ResponseWriter, got []*lease.Resource, err error) error {
	if err != nil {
		return err
	}
	out := Leases{}
	for _, one := range got {
		out.Leases = append(out.Leases, leaseOf(one, true))
	}
	answer(w, http.StatusOK, out)
	return nil
}

func (v *V1) queued(w http.ResponseWriter, r *http.Request, c lease.Claim) error {
	out := Queued{Request: c.Request}
	err := v.do(r, func(p *lease.Pool, now time.Time) error {
		out.Ahead = p.Ahead(now, c)
		return nil
	})
	if err != nil {
		return err
	}
	out.Message = fmt.Sprintf("nothing is free now, and %d are ahead; ask again with the same request to keep the place", out.Ahead)
	answer(w, http.StatusAccepted, out)
	return nil
}

// reply runs an operation and answers with what it returns.
func (v *V1) reply(w http.ResponseWriter, r *http.Request, op func(p *lease.Pool, now time.Time) (any, error)) error {
	var out any
	err := v.do(r, func(p *lease.Pool, now time.Time) (err error) {
		out, err = op(p, now)
		return err
	})
	if err == nil {
		answer(w, http.StatusOK, out)
	}
	return err
}

// held returns the resource of the lease in the path.
func held(p *lease.Pool, r *http.Request) (*lease.Resource, lease.Grip, error) {
	id := r.PathValue("id")
	found := p.ByLease(id)
	if found == nil {
		return nil, lease.Grip{}, &lease.Stale{Resource: "the resource"}
	}
	return found, lease.Grip{Resource: found.Name, Lease: id}, nil
}

func (v *V1) lease(w http.ResponseWriter, r *http.Request) error {
	return v.reply(w, r, func(p *lease.Pool, _ time.Time) (any, error) {
		found, _, err := held(p, r)
		if err != nil {
			return nil, err
		}
		return leaseOf(found, true), nil
	})
}

func (v *V1) renew(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Epoch    uint64            `json:"epoch"`
		TTL      Duration          `json:"ttl"`
		UserData map[string]string `json:"userData"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	if body.TTL != 0 && body.TTL < Duration(time.Second) || body.TTL > Duration(maxTTL) {
		return bad(fmt.Sprintf("ttl %v is not between 1s and %v", time.Duration(body.TTL), maxTTL))
	}
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		found, grip, err := held(p, r)
		if err != nil {
			return nil, err
		}
		grip.Epoch = body.Epoch
		if len(body.UserData) > 0 {
			if err := p.Update(now, grip, found.State, body.UserData); err != nil {
				return nil, err
			}
		}
		n, err := p.Renew(now, grip, time.Duration(body.TTL))
		if err != nil {
			return nil, err
		}
		return leaseOf(n, true), nil
	})
}

func (v *V1) release(w http.ResponseWriter, r *http.Request) error {
	body := struct {
		Epoch  uint64 `json:"epoch"`
		To     string `json:"to"`
		Reason string `json:"reason"`
	}{To: lease.Dirty}
	if err := read(r, &body); err != nil {
		return err
	}
	if len(body.To) > maxText || len(body.Reason) > maxText {
		return bad(fmt.Sprintf("to and reason have at most %d bytes", maxText))
	}
	id := r.PathValue("id")
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		found := p.ByLease(id)
		if found == nil {
			found = p.EndedLease(id)
		}
		if found == nil {
			return nil, &lease.Stale{Resource: "the resource"}
		}
		return struct{}{}, p.Release(now, lease.Grip{Resource: found.Name, Lease: id, Epoch: body.Epoch}, body.To, body.Reason)
	})
}

// credential issues one for the holder of a lease that lasts.
func (v *V1) credential(w http.ResponseWriter, r *http.Request) error {
	if v.Issue == nil {
		return &missing{"the pool's settings name no credentials"}
	}
	var found *lease.Resource
	err := v.do(r, func(p *lease.Pool, _ time.Time) (err error) {
		found, _, err = held(p, r)
		return err
	})
	if err != nil {
		return err
	}
	issued, err := v.Issue(r.Context(), found)
	if err == nil {
		answer(w, http.StatusOK, issued)
	}
	return err
}

func (v *V1) transfer(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Epoch uint64 `json:"epoch"`
		Owner string `json:"owner"`
		Job   string `json:"job"`
		Build string `json:"build"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	if body.Owner == "" || max(len(body.Owner), len(body.Job), len(body.Build)) > maxText {
		return bad(fmt.Sprintf("owner has to have 1 to %d bytes, job and build at most that", maxText))
	}
	var typ string
	err := v.do(r, func(p *lease.Pool, _ time.Time) error {
		found, _, err := held(p, r)
		if err == nil {
			typ = found.Type
		}
		return err
	})
	if err != nil {
		return err
	}
	caller, err := v.who(r, body.Owner, typ)
	if err != nil {
		return err
	}
	caller.Job, caller.Build = body.Job, body.Build
	caller.Pod, caller.PodNamespace = "", "" // of who gives it away
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		_, grip, err := held(p, r)
		if err != nil {
			return nil, err
		}
		grip.Epoch = body.Epoch
		n, err := p.Transfer(now, grip, body.Owner, caller.Holder)
		if err != nil {
			return nil, err
		}
		return leaseOf(n, true), nil
	})
}
