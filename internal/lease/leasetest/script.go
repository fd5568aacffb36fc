// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasetest

import (
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func resource(r lease.Resource) lease.Record {
	return lease.Record{Kind: lease.KindResource, Key: r.Name, Resource: &r}
}

func gone(kind lease.Kind, key string) lease.Record {
	return lease.Record{Kind: kind, Key: key, Gone: true}
}

func lazy(r lease.Record) lease.Record {
	r.Lazy = true
	return r
}

// script is a short life of a pool, as commits: every kind of object comes, changes and goes, alone and with others.
func script() [][]lease.Record {
	held, data := full()
	back := held
	back.State, back.Owner, back.Lease, back.Failures, back.Updated = "dirty", "", nil, 3, noon().Add(time.Hour+time.Nanosecond)
	back.Last = &lease.Ended{
		Lease: "id-1", Epoch: 7, Resource: held.Name, Type: held.Type, Owner: held.Owner, Holder: held.Lease.Holder,
		Since: noon(), Until: back.Updated, Held: "busy", Left: "dirty", Why: lease.Released, Note: "“quoted” <note> \u2028",
	}
	sick := lease.Resource{Name: "project-2", Type: "project", State: lease.Quarantined, Sick: &lease.Sick{Reason: "a quota", By: "dora", At: noon()}, Updated: noon()}
	alive := held
	alive.Updated = noon().Add(30 * time.Second)
	moved := sick
	moved.Type, moved.Sick, moved.State, moved.Leaving = "account", nil, "free", true
	return [][]lease.Record{
		{ // the first configuration
			dynamic(lease.Dynamic{Type: "cluster", State: "dirty", Min: 1, Max: 3, Lifespan: 24 * time.Hour, Config: lease.Build{Type: "eks", Content: "a: 1\n"}, Needs: map[string]int{"project": 2}}),
			resource(lease.Resource{Name: "0b1f8a4e-0000-4000-8000-000000000001", Type: "cluster", State: "dirty", Updated: noon(), Expires: noon().Add(24 * time.Hour)}),
			resource(lease.Resource{Name: "project-1", Type: "project", State: "free"}),
			resource(lease.Resource{Name: "project-2", Type: "project", State: "free"}),
		},
		{resource(held)}, // one lease
		{lazy(waiter("r1", 1)), lazy(waiter("r2", 2)), lazy(share("sig-a", 3600.125)), lazy(resource(alive))},
		{resource(data), resource(back), lazy(gone(lease.KindWaiter, "free/project/r1"))},
		{resource(sick)},
		{reservation("res-1", 2), resource(moved)},
		{lazy(gone(lease.KindWaiter, "free/project/r2")), lazy(gone(lease.KindShare, "project/sig-a")), lazy(gone(lease.KindWaiter, "free/project/r3"))},
		{
			gone(lease.KindReservation, "res-1"), gone(lease.KindReservation, "res-2"), gone(lease.KindResource, "project-2"),
			gone(lease.KindResource, "never-was"), gone(lease.KindDynamic, "cluster"), gone(lease.KindDynamic, "never-was"),
		},
	}
}

// full returns a resource with all its fields set, and one with much data.
func full() (held, data lease.Resource) {
	held = lease.Resource{
		Name: "project-1", Type: "project", State: "busy", Owner: "job-kubetest2 <x>", Updated: noon().Add(123456789),
		Epoch: 7, UserData: map[string]string{"access-key-id": "AKIA", "empty": "", "line\nbreak": "ü\u2028 \"'<>&"},
		Lease: &lease.Lease{
			ID: "id-1", Holder: lease.Holder{Account: "sig-a", Job: "ci-e2e", Build: "17", Pod: "uid-1"}, Since: noon(),
			Until: noon().Add(time.Hour), TTL: 5 * time.Minute, From: "free", Reservation: "res-1", Charged: 3600.5,
		},
	}
	data = lease.Resource{
		Name: "0b1f8a4e-0000-4000-8000-000000000001", Type: "cluster", State: "leased", Owner: "mason", Updated: noon(),
		Expires: noon().Add(time.Hour), UserData: map[string]string{"leasedResources": strings.Repeat("- project-1\n", 2000)},
	}
	return held, data
}

func dynamic(d lease.Dynamic) lease.Record {
	return lease.Record{Kind: lease.KindDynamic, Key: d.Type, Dynamic: &d}
}

func waiter(request string, seq uint64) lease.Record {
	w := lease.Waiter{
		Request: request, Owner: "o", Holder: lease.Holder{Account: "sig-a"}, Class: "release",
		Wants: []lease.Want{{Type: "project", Count: 1}}, From: "free", To: "busy", TTL: time.Minute, Seq: seq, Arrived: noon(), Seen: noon(),
	}
	return lease.Record{Kind: lease.KindWaiter, Key: "free/project/" + request, Waiter: &w}
}

func share(account string, spent float64) lease.Record {
	s := lease.Share{Type: "project", Account: account, Spent: spent}
	return lease.Record{Kind: lease.KindShare, Key: "project/" + account, Share: &s}
}

func reservation(id string, count int) lease.Record {
	r := lease.Reservation{
		ID: id, Type: "project", Count: count, Account: "sig-a", From: noon(), Until: noon().Add(time.Hour), By: "dora", Reason: "a release",
	}
	return lease.Record{Kind: lease.KindReservation, Key: id, Reservation: &r}
}
