// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sigs.k8s.io/steward/internal/lease"
)

// operated is a pool with an operator, and a client that is one.
func operated(t *testing.T, size int) *Client {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, password := filepath.Join(dir, "users"), filepath.Join(dir, "password")
	for path, text := range map[string]string{file: "oncall:" + string(hash) + "\n", password: "secret\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	users, err := OpenUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	gate := &Gate{Basic: users, Rules: func() []lease.Rule { return nil }, Operators: func() []string { return []string{"oncall"} }}
	authorize, err := Credentials("", "oncall", password, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	return &Client{Server: serve(t, lease.Policy{}, gate, size).URL, Authorize: authorize}
}

func taken(t *testing.T, c *Client, owner string) Lease {
	t.Helper()
	got, _, err := c.Acquire(t.Context(), AcquireRequest{Owner: owner, Wants: []lease.Want{{Type: "project", Count: 1}}, TTL: Duration(time.Minute)})
	if err != nil || len(got.Leases) != 1 {
		t.Fatal(got, err)
	}
	return got.Leases[0]
}

// An order that names a lease does nothing to the one that came after it.
func TestOrdersMeanALease(t *testing.T) {
	c := operated(t, 1)
	first := taken(t, c, "one")
	if err := c.Release(t.Context(), first.ID, lease.Free, ""); err != nil {
		t.Fatal(err)
	}
	second := taken(t, c, "two")
	for _, verb := range []string{ForceRelease, Extend} {
		_, err := c.Order(t.Context(), verb, first.Resource, Order{Epoch: first.Epoch, By: Duration(time.Hour), Reason: "r"})
		if !Ended(err) {
			t.Errorf("%s of a lease that has ended: %v", verb, err)
		}
	}
	now, err := c.Resource(t.Context(), second.Resource)
	if err != nil || now.Owner != "two" || !now.Lease.Until.Equal(*second.Until) {
		t.Fatalf("%+v, %v", now, err)
	}
	then, err := c.Order(t.Context(), ForceRelease, second.Resource, Order{Epoch: second.Epoch, Reason: "it hangs", For: "alice (a/b#1, comment 2)"})
	if err != nil || then.State != lease.Dirty || then.Last.Note != "by alice (a/b#1, comment 2) through oncall: it hangs" || then.Last.Why != lease.Forced {
		t.Errorf("%+v, %v", then, err)
	}
}

func TestReservationsAreRepeatable(t *testing.T) {
	c := operated(t, 3)
	from := time.Now().Add(time.Hour).Truncate(time.Second)
	r := Reservation{Type: "project", Count: 1, Account: "a", From: from, Until: from.Add(time.Hour), Reason: "r", For: "alice"}
	first, err1 := c.Reserve(t.Context(), r)
	r.From = r.From.In(time.FixedZone("x", 3600)) // the same time
	again, err2 := c.Reserve(t.Context(), r)
	r.Reason = "another"
	other, err3 := c.Reserve(t.Context(), r)
	if err := errors.Join(err1, err2, err3); err != nil || first.ID != again.ID || other.ID == first.ID {
		t.Fatalf("%v %+v %+v %+v", err, first, again, other)
	}
	if err := c.Cancel(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	all, err := c.Reservations(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != other.ID || !IsMissing(c.Cancel(t.Context(), first.ID)) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestClientWatches(t *testing.T) {
	c := operated(t, 2)
	ctx, stop := context.WithCancel(t.Context())
	var states []string
	err := c.Watch(ctx, "project", func(change Change) error {
		switch {
		case change.Synced:
			taken(t, c, "one")
		case change.Resource != nil:
			states = append(states, change.Resource.State)
		}
		if len(states) == 3 {
			stop()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || strings.Join(states, " ") != "free free busy" {
		t.Errorf("%v, %v", states, err)
	}
	failed := errors.New("enough")
	if err := c.Watch(t.Context(), "", func(Change) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
}

func TestCredentials(t *testing.T) {
	files := map[string]string{"t": " abc\n", "p": "pw\n", "e": "\n"}
	read := func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, os.ErrNotExist
		}
		return []byte(text), nil
	}
	for _, tt := range []struct{ token, user, password, want string }{
		{"", "", "", ""}, {"t", "", "", "Bearer abc"}, {"", "u", "p", "Basic dTpwdw=="}, {"t", "u", "p", "exclude"},
		{"", "u", "", "belong together"}, {"", "", "p", "belong together"}, {"e", "", "", "e is empty"}, {"x", "", "", "not exist"}, {"", "u", "x", "not exist"},
	} {
		authorize, err := Credentials(tt.token, tt.user, tt.password, read)
		r := &http.Request{Header: http.Header{}}
		if err == nil && authorize != nil {
			err = authorize(r)
		}
		got := r.Header.Get("Authorization")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
