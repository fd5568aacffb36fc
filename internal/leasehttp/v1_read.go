// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/spell"
)

//go:embed openapi.json
var openAPIDocument []byte

func openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPIDocument)
	return nil
}

// Type is one in answers.
type Type struct {
	Type    string         `json:"type"`
	Size    int            `json:"size"`
	States  map[string]int `json:"states"`
	Waiting int            `json:"waiting"`
	// Min and Max bound a dynamic type.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
}

func (v *V1) types(w http.ResponseWriter, r *http.Request) error {
	out := struct {
		Types []Type `json:"types"`
	}{[]Type{}}
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		for _, name := range p.Types() {
			t := Type{Type: name, States: map[string]int{}}
			if states, _, err := p.Metric(name); err == nil {
				t.States = states
			}
			for _, n := range t.States {
				t.Size += n
			}
			for _, state := range p.WaitsFor(name) {
				t.Waiting += len(p.Queue(now, name, state))
			}
			if d := p.Dynamic(name); d != nil {
				t.Min, t.Max = d.Min, d.Max
			}
			out.Types = append(out.Types, t)
		}
		return out, nil
	})
}

// Resource is one in answers, without what its holders keep in it.
type Resource struct {
	Name     string       `json:"name"`
	Type     string       `json:"type"`
	State    string       `json:"state"`
	Owner    string       `json:"owner,omitempty"`
	Updated  *time.Time   `json:"updated,omitempty"`
	Expires  *time.Time   `json:"expires,omitempty"`
	Failures int          `json:"failures,omitempty"`
	Sick     *lease.Sick  `json:"sick,omitempty"`
	Leaving  bool         `json:"leaving,omitempty"`
	Unusual  bool         `json:"unusual,omitempty"` // its state means nothing to the pool, or is not one that it goes to from where it was
	Lease    *Lease       `json:"lease,omitempty"`
	Last     *HistoryLine `json:"last,omitempty"`
}

func resourceOf(r *lease.Resource) Resource {
	out := Resource{
		Name: r.Name, Type: r.Type, State: r.State, Owner: r.Owner, Failures: r.Failures, Sick: r.Sick, Leaving: r.Leaving,
		Unusual: r.Unusual() != "",
	}
	if !r.Updated.IsZero() {
		out.Updated = &r.Updated
	}
	if !r.Expires.IsZero() {
		out.Expires = &r.Expires
	}
	if r.Held() {
		l := leaseOf(r, false)
		out.Lease = &l
	}
	if r.Last != nil {
		l := lineOf(r.Last)
		out.Last = &l
	}
	return out
}

// maxList bounds an answer; what it leaves out is counted.
const maxList = 10_000

func (v *V1) resources(w http.ResponseWriter, r *http.Request) error {
	typ, state := r.URL.Query().Get("type"), r.URL.Query().Get("state")
	out := struct {
		Resources []Resource `json:"resources"`
		LeftOut   int        `json:"leftOut,omitempty"`
	}{Resources: []Resource{}}
	var all []*lease.Resource
	err := v.do(r, func(p *lease.Pool, _ time.Time) error {
		all = slices.Collect(p.All(typ))
		if typ != "" && len(all) == 0 && p.Dynamic(typ) == nil {
			return &missing{notFound("type", typ, p.Types())}
		}
		return nil
	})
	if err != nil {
		return err
	}
	lease.Sort(all)
	for _, one := range all {
		switch {
		case state != "" && one.State != state:
		case len(out.Resources) == maxList:
			out.LeftOut++
		default:
			out.Resources = append(out.Resources, resourceOf(one))
		}
	}
	answer(w, http.StatusOK, out)
	return nil
}

// notFound says what is not there and what may have been meant.
func notFound(what, name string, known []string) string {
	text := "there is no " + what + " " + strconv.Quote(name)
	if near := spell.Nearest(name, known); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

func (v *V1) resource(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	return v.reply(w, r, func(p *lease.Pool, _ time.Time) (any, error) {
		found := p.Get(name)
		if found == nil {
			return nil, &missing{notFound("resource", name, nil)}
		}
		return resourceOf(found), nil
	})
}

func (v *V1) leases(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	out := Leases{Leases: []Lease{}}
	var all []*lease.Resource
	err := v.do(r, func(p *lease.Pool, _ time.Time) error {
		all = slices.Collect(p.All(q.Get("type")))
		return nil
	})
	if err != nil {
		return err
	}
	lease.Sort(all)
	for _, one := range all {
		l := leaseOf(one, false)
		switch {
		case !one.Held() || q.Get("account") != "" && l.Account != q.Get("account"):
		case len(out.Leases) == maxList:
			out.LeftOut++
		default:
			out.Leases = append(out.Leases, l)
		}
	}
	answer(w, http.StatusOK, out)
	return nil
}

// Waiting is a request in the queue.
type Waiting struct {
	// Request is there for those who know it: whoever does may take its place.
	Request string       `json:"request,omitempty"`
	Owner   string       `json:"owner"`
	Account string       `json:"account,omitempty"`
	Class   string       `json:"class,omitempty"`
	Wants   []lease.Want `json:"wants"`
	State   string       `json:"state"`
	Since   time.Time    `json:"since"`
	// Ahead counts those who are to be served before; -1 is one that has been away for too long to be served.
	Ahead int `json:"ahead"`
}

func (v *V1) queue(w http.ResponseWriter, r *http.Request) error {
	typ, state, request := r.URL.Query().Get("type"), r.URL.Query().Get("state"), r.URL.Query().Get("request")
	out := struct {
		Queue []Waiting `json:"queue"`
	}{[]Waiting{}}
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		types := []string{typ}
		if typ == "" {
			types = p.Types()
		}
		for _, typ := range types {
			for _, waited := range p.WaitsFor(typ) {
				if state != "" && waited != state {
					continue
				}
				for _, at := range p.Queue(now, typ, waited) {
					if request == "" || at.Waiter.Request == request {
						out.Queue = append(out.Queue, waitingOf(at, request))
					}
				}
			}
		}
		return out, nil
	})
}

func waitingOf(at lease.Place, request string) Waiting {
	w := at.Waiter
	return Waiting{request, w.Owner, w.Account, w.Class, w.Wants, w.From, w.Arrived, at.Ahead}
}

func (v *V1) withdraw(w http.ResponseWriter, r *http.Request) error {
	owner, request := r.URL.Query().Get("owner"), r.PathValue("request")
	if _, err := v.who(r, owner, ""); err != nil {
		return err
	}
	return v.reply(w, r, func(p *lease.Pool, now time.Time) (any, error) {
		if p.WithdrawRequest(now, request, owner) == 0 {
			return nil, &missing{"no request " + strconv.Quote(request) + " of " + strconv.Quote(owner) + " waits"}
		}
		return struct{}{}, nil
	})
}

func (v *V1) reservations(w http.ResponseWriter, r *http.Request) error {
	out := struct {
		Reservations []*lease.Reservation `json:"reservations"`
	}{[]*lease.Reservation{}}
	return v.reply(w, r, func(p *lease.Pool, _ time.Time) (any, error) {
		out.Reservations = append(out.Reservations, p.Reservations()...)
		return out, nil
	})
}

// watch streams the resources and then every change of one, a line of JSON each.
func (v *V1) watch(w http.ResponseWriter, r *http.Request) error {
	typ := r.URL.Query().Get("type")
	var all []*lease.Resource
	changes, err := v.Pool.Watch(r.Context(), func(p *lease.Pool) { all = slices.Collect(p.All(typ)) })
	if err != nil {
		return err
	}
	defer func() { _ = v.Pool.Unwatch(r.Context(), changes) }() // a keeper that stopped has forgotten it
	lease.Sort(all)
	w.Header().Set("Content-Type", "application/jsonl")
	out, control := json.NewEncoder(w), http.NewResponseController(w)
	for _, one := range all {
		if out.Encode(change{Resource: ptr(resourceOf(one))}) != nil {
			return nil // the client has gone
		}
	}
	if out.Encode(change{Synced: true}) != nil || control.Flush() != nil {
		return nil
	}
	for {
		select {
		case <-r.Context().Done():
			return nil
		case record, ok := <-changes.Changes:
			if !ok {
				return nil // too slow: the client watches again
			}
			if err := sendChange(out, record, typ); err != nil || control.Flush() != nil {
				return nil
			}
		}
	}
}

// change is a line of a watch.
type change struct {
	Resource *Resource `json:"resource,omitempty"`
	Gone     string    `json:"gone,omitempty"`
	Synced   bool      `json:"synced,omitempty"` // all that was there has been told
}

func ptr[T any](x T) *T { return &x }

func sendChange(out *json.Encoder, r lease.Record, typ string) error {
	switch {
	case r.Gone:
		return out.Encode(change{Gone: r.Key})
	case typ == "" || r.Resource.Type == typ:
		return out.Encode(change{Resource: ptr(resourceOf(r.Resource))})
	}
	return nil
}

// HistoryLine is a lease that ended.
type HistoryLine struct {
	Resource string    `json:"resource"`
	Type     string    `json:"type"`
	Owner    string    `json:"owner"`
	Account  string    `json:"account,omitempty"`
	Job      string    `json:"job,omitempty"`
	Build    string    `json:"build,omitempty"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Held     string    `json:"held"`
	Left     string    `json:"left"`
	Why      string    `json:"why"`
	Note     string    `json:"note,omitempty"`
}

func lineOf(e *lease.Ended) HistoryLine {
	return HistoryLine{
		e.Resource, e.Type, e.Owner, e.Account, e.Job, e.Build, e.Since, e.Until, e.Held, e.Left, e.Why, e.Note,
	}
}

func (l HistoryLine) fields() []string {
	return []string{
		l.Resource, l.Type, l.Owner, l.Account, l.Job, l.Build, l.Since.Format(time.RFC3339), l.Until.Format(time.RFC3339),
		strconv.FormatFloat(l.Until.Sub(l.Since).Hours(), 'f', 4, 64), l.Held, l.Left, l.Why, l.Note,
	}
}

func historyColumns() []string {
	return []string{"resource", "type", "owner", "account", "job", "build", "since", "until", "hours", "held", "left", "why", "note"}
}

func (v *V1) history(w http.ResponseWriter, r *http.Request) error {
	query, limit, err := historyQuery(r)
	if err != nil {
		return err
	}
	lines := []HistoryLine{}
	more := false
	if v.History != nil {
		err = v.History.Each(query, func(e *lease.Ended) bool {
			if len(lines) == limit {
				more = true
				return false
			}
			lines = append(lines, lineOf(e))
			return true
		})
	}
	if err != nil {
		return err
	}
	if r.URL.Query().Get("format") == "csv" {
		return sendCSV(w, historyColumns(), lines)
	}
	answer(w, http.StatusOK, struct {
		History []HistoryLine `json:"history"`
		More    bool          `json:"more,omitempty"`
	}{lines, more})
	return nil
}

func sendCSV[T interface{ fields() []string }](w http.ResponseWriter, columns []string, rows []T) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	out := csv.NewWriter(w)
	_ = out.Write(columns) // an error stays with the writer
	for _, row := range rows {
		_ = out.Write(row.fields())
	}
	out.Flush()
	return nil
}
