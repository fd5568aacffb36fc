// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// History is where leases that ended are found.
type History interface {
	// Each visits those that match, the latest day first, until visit returns false.
	Each(q lease.Query, visit func(*lease.Ended) bool) error
}

// The bounds of a history answer.
const (
	defaultLimit = 1000
	maxLimit     = 100_000
)

// historyQuery reads what is asked for. Times are RFC 3339, or how long ago, such as 24h.
func historyQuery(r *http.Request) (lease.Query, int, error) {
	q := r.URL.Query()
	out := lease.Query{Resource: q.Get("resource"), Type: q.Get("type"), Account: q.Get("account"), Owner: q.Get("owner")}
	var err error
	if out.Since, err = moment(q, "since"); err != nil {
		return out, 0, err
	}
	if out.Until, err = moment(q, "until"); err != nil {
		return out, 0, err
	}
	limit := defaultLimit
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			return out, 0, bad(fmt.Sprintf("limit %q is not a number from 1 to %d", text, maxLimit))
		}
	}
	return out, limit, nil
}

func moment(q url.Values, key string) (time.Time, error) {
	text := q.Get(key)
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, bad(fmt.Sprintf("%s %q is neither a time such as 2026-11-26T00:00:00Z nor how long ago, such as 24h", key, text))
	}
	return at, nil
}

// Usage is what an account had of a type: leases that ended and those that run.
type Usage struct {
	Account string  `json:"account"`
	Type    string  `json:"type"`
	Leases  int     `json:"leases"`
	Hours   float64 `json:"hours"` // of leases, within the time that was asked for
}

func (u Usage) fields() []string {
	return []string{u.Account, u.Type, strconv.Itoa(u.Leases), strconv.FormatFloat(u.Hours, 'f', 4, 64)}
}

func (v *V1) usage(w http.ResponseWriter, r *http.Request) error {
	query, _, err := historyQuery(r)
	if err != nil {
		return err
	}
	counted := map[[2]string]*Usage{}
	count := func(h lease.Holder, typ string, since, until time.Time) {
		key := [2]string{h.Account, typ}
		if counted[key] == nil {
			counted[key] = &Usage{Account: h.Account, Type: typ}
		}
		counted[key].Leases++
		counted[key].Hours += max(until.Sub(later(since, query.Since)).Hours(), 0)
	}
	if v.History != nil {
		err = v.History.Each(query, func(e *lease.Ended) bool {
			count(e.Holder, e.Type, e.Since, e.Until)
			return true
		})
	}
	if err != nil {
		return err
	}
	err = v.do(r, func(p *lease.Pool, now time.Time) error {
		for one := range p.All(query.Type) {
			if one.Lease != nil && query.Until.IsZero() && query.Matches(running(one)) {
				count(one.Lease.Holder, one.Type, one.Lease.Since, now)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	out := make([]Usage, 0, len(counted))
	for _, key := range slices.SortedFunc(maps.Keys(counted), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		out = append(out, *counted[key])
	}
	if r.URL.Query().Get("format") == "csv" {
		return sendCSV(w, []string{"account", "type", "leases", "hours"}, out)
	}
	answer(w, http.StatusOK, struct {
		Usage []Usage `json:"usage"`
	}{out})
	return nil
}

// running is a lease that has not ended, as a query sees it.
func running(r *lease.Resource) *lease.Ended {
	return &lease.Ended{Resource: r.Name, Type: r.Type, Owner: r.Owner, Holder: r.Lease.Holder, Until: time.Now()}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
