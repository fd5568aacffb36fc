// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/thread"
)

// lender is a pool in memory. It does what it is told every time that it is told.
type lender struct {
	resources    []PoolResource
	reservations []lease.Reservation
	files        []string
	barred       string
	err          error
	calls        []thread.PoolCall
}

func newLender() *lender {
	before := noon.Add(-time.Hour)
	return &lender{
		files: []string{"boskos/resources.yaml"},
		resources: []PoolResource{
			{Name: "gpu-1", Type: "gpu-project", State: lease.Busy, Owner: "ci-gpu/7", Account: "gpu-team", Since: before, Until: noon.Add(time.Minute), Epoch: 7},
			{Name: "gpu-2", Type: "gpu-project", State: lease.Free},
			{Name: "gpu-3", Type: "gpu-project", State: lease.Quarantined, Sick: &lease.Sick{Reason: "5 cleanings failed", By: "steward", At: before}},
			{Name: "web-1", Type: "web|project", State: "odd"},
		},
		reservations: []lease.Reservation{{
			ID: "r1", Type: "web|project", Count: 1, Account: "release", From: noon, Until: noon.AddDate(0, 0, 1), By: "alice", Reason: "@all *now*",
		}},
	}
}

func (l *lender) hurdle(acts bool) string {
	if acts {
		return l.barred
	}
	return ""
}

func (l *lender) Types(context.Context) ([]PoolType, error) {
	var all []PoolType
	for _, r := range l.resources {
		i := slices.IndexFunc(all, func(t PoolType) bool { return t.Name == r.Type })
		if i < 0 {
			i, all = len(all), append(all, PoolType{Name: r.Type, States: map[string]int{}, Waiting: 3})
		}
		all[i].Size++
		all[i].States[r.State]++
	}
	return all, l.err
}

func (l *lender) Resources(_ context.Context, typ string) ([]PoolResource, error) {
	return slices.DeleteFunc(slices.Clone(l.resources), func(r PoolResource) bool { return typ != "" && r.Type != typ }), l.err
}

func (l *lender) Resource(_ context.Context, name string) (PoolResource, error) {
	for _, r := range l.resources {
		if r.Name == name {
			return r, l.err
		}
	}
	return PoolResource{}, errors.Join(l.err, fmt.Errorf("%s: %w", name, fs.ErrNotExist))
}

func (l *lender) Reservations(context.Context) ([]lease.Reservation, error) {
	return l.reservations, l.err
}

func (l *lender) get(name string) *PoolResource {
	i := slices.IndexFunc(l.resources, func(r PoolResource) bool { return r.Name == name })
	return &l.resources[i]
}

func (l *lender) tell(c thread.PoolCall) {
	l.calls = append(l.calls, c)
	switch c.Verb {
	case thread.PoolRelease:
		r := l.get(c.Resource)
		if r.Epoch == c.Epoch {
			r.Last = PoolEnded{Owner: r.Owner, Why: lease.Forced, Note: "by " + c.For + " through steward: " + c.Reason}
			r.Owner, r.State = "", lease.Dirty
		}
	case thread.PoolExtend:
		if r := l.get(c.Resource); r.Epoch == c.Epoch && r.Until.Before(c.Until) {
			r.Until = c.Until
		}
	case thread.PoolQuarantine:
		l.get(c.Resource).Sick = &lease.Sick{Reason: c.Reason, By: c.For + " through steward", At: noon.Add(time.Minute)}
	case thread.PoolHeal:
		r := l.get(c.Resource)
		r.Sick, r.State = nil, lease.Dirty
	case thread.PoolReserve:
		l.reservations = append(l.reservations, lease.Reservation{ID: "r2", Type: c.Type, Count: c.Count, Account: c.Account, From: c.From, Until: c.Until, By: c.For, Reason: c.Reason})
	case thread.PoolUnreserve:
		l.reservations = slices.DeleteFunc(l.reservations, func(r lease.Reservation) bool { return r.ID == c.Resource })
	}
}

// PO-1 to PO-6: who may do what, what is said, and what the pool is told.
func TestPoolCommands(t *testing.T) {
	tests := []struct {
		name, author, body string
		change             func(*world)
		want               string
		calls              int
	}{
		{"anybody may look", "mallory", "/infra pool", nil, "| `gpu-project` | 1 | 1 | 0 | 0 | 1 | 0 | 3 | 3 |", 0},
		{"a type", "mallory", "/infra pool status gpu-project", nil, "- `gpu-1` by `ci-gpu/7` for `gpu-team` since 2026-01-02 11:00 UTC, until 2026-01-02 12:01 UTC", 0},
		{"what is sick", "mallory", "/infra pool status gpu-project", nil, "- `gpu-3` since 2026-01-02 11:00 UTC: 5 cleanings failed", 0},
		{"what is reserved", "carol", "/infra pool status web|project", nil, "- 1 of `web|project` for `release` from 2026-01-02 12:00 UTC until 2026-01-03 12:00 UTC: @all *now* (`r1`)", 0},
		{"does not answer", "carol", "/infra pool status", func(w *world) { w.pool.err = errors.New("dial 192.0.2.1") }, "There is nothing to show: the pool cannot be asked now.", 0},
		{"by a stranger", "mallory", "/infra pool release gpu-1 mine", nil, "Denied: `/infra pool release NAME REASON…` is for approvers of the files that configure the pool", 0},
		{"by a member", "dora", "/infra pool release gpu-1 mine", nil, "Denied: `dora` may not approve what this command is about, by OWNERS at `base`.\n- `boskos/resources.yaml`", 0},
		{"of several files all", "bob", "/infra pool release gpu-1 x", func(w *world) { w.pool.files = []string{"boskos/a", "dns/x"} }, "- `dns/x`: ", 0},
		{"no file", "alice", "/infra pool release gpu-1 x", func(w *world) { w.pool.files = nil }, "Not done: the settings name no file that configures the pool", 0},
		{"barred", "alice", "/infra pool release gpu-1 x", func(w *world) { w.pool.barred = "no token" }, "Not done: no token.", 0},
		{"release", "alice", "/infra pool release gpu-1 it hangs", nil, "`gpu-1` is taken from `ci-gpu/7`, and is cleaned", 1},
		{"release without a reason", "alice", "/infra pool release gpu-1", nil, "Not done: `/infra pool release NAME REASON…`.", 0},
		{"release of what is free", "alice", "/infra pool release gpu-2 x", nil, "Nothing to do: nobody holds `gpu-2`, which is `free`.", 0},
		{"release of nothing", "alice", "/infra pool release gpu-11 x", nil, "There is no resource `gpu-11`. Did you mean `gpu-1`?", 0},
		{"release of a later lease", "alice", "/infra pool release gpu-1 x", func(w *world) { w.pool.get("gpu-1").Since = noon.Add(3 * time.Second) },
			"Not done: `ci-gpu/7` has it only since 2026-01-02T12:00:03Z, after this was said.", 0},
		{"extend", "alice", "/infra pool extend gpu-1 90m", nil, "`gpu-1`, held by `ci-gpu/7`, lasts at least until 2026-01-02 13:30 UTC.", 1},
		{"extend what lasts", "alice", "/infra pool extend gpu-1 1s", nil, "lasts at least until 2026-01-02 12:00 UTC.", 0},
		{"extend by too much", "alice", "/infra pool extend gpu-1 25h", nil, "Not done: `25h` is not a duration such as 2h, at most 24h.", 0},
		{"extend by nothing", "alice", "/infra pool extend gpu-1 -1h", nil, "Not done: `-1h` is not a duration", 0},
		{"extend a later lease", "alice", "/infra pool extend gpu-1 2h", func(w *world) { w.pool.get("gpu-1").Since = noon.Add(3 * time.Second) }, "after this was said", 0},
		{"quarantine", "alice", "/infra pool quarantine gpu-2 no *billing*", nil, "`gpu-2` goes to quarantine now. `/infra pool heal gpu-2` takes it out.", 1},
		{"quarantine of what is held", "alice", "/infra pool quarantine gpu-1 no billing", nil, "`gpu-1` goes to quarantine when the lease of `ci-gpu/7` ends.", 1},
		{"quarantine twice", "alice", "/infra pool quarantine gpu-3 x", nil, "Nothing to do: it was put into quarantine at 2026-01-02 11:00 UTC: 5 cleanings failed.", 0},
		{"heal", "alice", "/infra pool heal gpu-3", nil, "`gpu-3` leaves quarantine, and is cleaned.", 1},
		{"heal what is well", "alice", "/infra pool heal gpu-2", nil, "Nothing to do: `gpu-2` is not in quarantine, it is `free`.", 0},
		{"heal what fell ill later", "alice", "/infra pool heal gpu-3", func(w *world) { w.pool.get("gpu-3").Sick.At = noon.Add(5 * time.Second) }, "after this was said: 5 cleanings failed.", 0},
		{"reserve", "alice", "/infra pool reserve gpu-project 2 for release 2026-01-05T08:00Z..2026-01-06 1.36 is due", nil,
			"2 of `gpu-project` are kept for `release` from 2026-01-05 08:00 UTC until 2026-01-07 00:00 UTC, as far as they become free.", 1},
		{"reserve too many", "alice", "/infra pool reserve gpu-project 4 for release 2026-01-05..2026-01-06 x", nil, "Not done: `4` is not a number from 1 to 3", 0},
		{"reserve the past", "alice", "/infra pool reserve gpu-project 1 for release 2026-01-01..2026-01-01 x", nil, "Not done: the window ends at 2026-01-02 00:00 UTC, which is over.", 0},
		{"reserve for a day and a half", "alice", "/infra pool reserve gpu-project 1 for release 2026-01-05 x y", nil, "is not FROM..UNTIL", 0},
		{"reserve for nobody", "alice", "/infra pool reserve gpu-project 1 release 2026-01-05..2026-01-06 x", nil, "Not done: `/infra pool reserve TYPE COUNT for ACCOUNT", 0},
		{"reserve nothing", "alice", "/infra pool reserve gpu 1 for release 2026-01-05..2026-01-06 x", nil, "There is no type `gpu`.", 0},
		{"unreserve", "alice", "/infra pool unreserve r1", nil, "The reservation `r1` is ended.", 1},
		{"unreserve what is not", "alice", "/infra pool unreserve r9", nil, "There is no reservation `r9`, or not any more.", 0},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.issue(1)
		if tt.change != nil {
			tt.change(w)
		}
		w.say(1, 1, tt.author, tt.body)
		w.settle()
		if got := unescaped.Replace(w.sticky(1, "pool")); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q by %s is answered\n%s\nwant %s", tt.name, tt.body, tt.author, got, tt.want)
		}
		if len(w.pool.calls) != tt.calls {
			t.Errorf("%s: the pool was told %v", tt.name, w.pool.calls)
		}
	}
}

// PO-4: where the answer is lost after the pool has acted, the command is decided again. It says the same, and does no harm.
func TestPoolCommandsTwice(t *testing.T) {
	for body, again := range map[string]int{
		"/infra pool release gpu-1 it hangs":                                       0,
		"/infra pool extend gpu-1 2h":                                              0,
		"/infra pool quarantine gpu-2 no billing":                                  0,
		"/infra pool reserve gpu-project 1 for a 2026-01-05..2026-01-06 it is due": 1, // the pool knows a word for word repetition
	} {
		w := newWorld(t)
		w.issue(1)
		w.say(1, 1, "alice", body)
		w.settle()
		first := w.sticky(1, "pool")
		calls := slices.Clone(w.pool.calls)
		w.pool.calls = nil
		w.threads[1].Comments = w.threads[1].Comments[:1]
		w.settle()
		if got := w.sticky(1, "pool"); got != first || first == "" {
			t.Errorf("%s: first\n%s\nthen\n%s", body, first, got)
		}
		if len(calls) != 1 || len(w.pool.calls) != again || again == 1 && w.pool.calls[0] != calls[0] {
			t.Errorf("%s: the pool was told %v, then %v", body, calls, w.pool.calls)
		}
	}
}

// PO-5: the pool learns who asked, and where, and of which lease.
func TestPoolIsToldWhoAsks(t *testing.T) {
	w := newWorld(t)
	w.issue(1)
	w.say(1, 1, "alice", "/infra pool release gpu-1 it\u202e hangs")
	w.settle()
	want := thread.PoolCall{
		Key: "pool/release-1 gpu-1 it\u202e hangs", Verb: thread.PoolRelease, Resource: "gpu-1", Epoch: 7, Reason: "it hangs",
		For: "alice (example-org/example-infra#1, comment 1)",
	}
	if len(w.pool.calls) != 1 || w.pool.calls[0] != want {
		t.Errorf("%+v", w.pool.calls)
	}
}

// What cannot be read now is read again later, and nothing is said meanwhile.
func TestPoolUnreadableWaits(t *testing.T) {
	w := newWorld(t)
	w.issue(1)
	w.pool.err = errors.New("no route")
	w.say(1, 1, "alice", "/infra pool release gpu-1 it hangs")
	if n, err := w.look(1); n != 0 || err == nil {
		t.Errorf("%d writes, %v", n, err)
	}
	w.pool.err = nil
	w.settle()
	if len(w.pool.calls) != 1 {
		t.Errorf("%v", w.pool.calls)
	}
}
