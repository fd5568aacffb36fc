// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/internal/thread"
)

// recorder is a pool that answers everything alike.
type recorder struct {
	status int
	answer string
	asked  []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.asked = append(r.asked, req.Method+" "+req.URL.Path+" "+string(body))
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.answer)
}

func pooled(t *testing.T) (*poolCalls, *recorder) {
	t.Helper()
	r := &recorder{200, "{}", nil}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	log := logrus.New()
	log.SetOutput(io.Discard)
	return &poolCalls{
		client: &leasehttp.Client{Server: server.URL}, shows: true, log: logrus.NewEntry(log),
		lends: func(repo thread.Repo) bool { return repo == acme },
	}, r
}

func TestPoolIsToldWhatWasDecided(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for want, c := range map[string]thread.PoolCall{
		`POST /v1/resources/p1/release {"reason":"r","for":"alice","epoch":7}`: {Verb: thread.PoolRelease, Resource: "p1", Epoch: 7, Reason: "r", For: "alice"},
		`POST /v1/resources/p1/quarantine {"reason":"r","for":"alice"}`:        {Verb: thread.PoolQuarantine, Resource: "p1", Reason: "r", For: "alice"},
		`POST /v1/resources/p1/heal {"for":"alice"}`:                           {Verb: thread.PoolHeal, Resource: "p1", For: "alice"},
		`POST /v1/resources/p1/extend {"by":"59m59`:                            {Verb: thread.PoolExtend, Resource: "p1", Until: time.Now().Add(time.Hour)},
		"": {Verb: thread.PoolExtend, Resource: "p1", Until: time.Now().Add(-time.Hour)}, // over already
		`POST /v1/reservations {"type":"t","count":2,"account":"a","from":"2026-01-02T00:00:00Z","until":"2026-01-03T00:00:00Z","reason":"r","for":"alice"}`: {
			Verb: thread.PoolReserve, Type: "t", Count: 2, Account: "a", From: day, Until: day.AddDate(0, 0, 1), Reason: "r", For: "alice"},
		"DELETE /v1/reservations/r1 ": {Verb: thread.PoolUnreserve, Resource: "r1"},
	} {
		p, r := pooled(t)
		if err := p.call(t.Context(), acme, thread.CallPool{PoolCall: c}); err != nil {
			t.Error(err)
		}
		if got := strings.Join(r.asked, "\n"); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: the pool was asked\n%s\nwant\n%s", c.Verb, got, want)
		}
	}
}

// Whatever a plugin wants, another repository moves nothing, nor does a verb that there is not.
func TestPoolObeysOneRepository(t *testing.T) {
	p, r := pooled(t)
	other := thread.Repo{Org: acme.Org, Name: "other"}
	for verb, repo := range map[thread.PoolVerb]thread.Repo{thread.PoolHeal: other, "drop": acme} {
		if err := p.call(t.Context(), repo, thread.CallPool{PoolCall: thread.PoolCall{Verb: verb, Resource: "p1"}}); err == nil {
			t.Errorf("%s in %s was obeyed", verb, repo)
		}
	}
	if len(r.asked) > 0 {
		t.Errorf("%v", r.asked)
	}
}

// A refusal is believed for a while; then it is worth another try. Other failures are no refusal.
func TestRefusalIsAHurdle(t *testing.T) {
	p, r := pooled(t)
	heal := thread.CallPool{PoolCall: thread.PoolCall{Verb: thread.PoolHeal, Resource: "p1"}}
	for _, answer := range []recorder{{500, "", nil}, {400, `{"error":{"code":"invalid","message":"p1 is not in quarantine"}}`, nil}} {
		r.status, r.answer = answer.status, answer.answer
		if err := p.call(t.Context(), acme, heal); err == nil || p.hurdle(true) != "" {
			t.Errorf("%d: %v, hurdle %q", answer.status, err, p.hurdle(true))
		}
	}
	r.status, r.answer = 403, `{"error":{"code":"forbidden","message":"steward is no operator"}}`
	if err := p.call(t.Context(), acme, heal); err == nil || p.hurdle(true) != "the pool refuses steward-hook: steward is no operator" || p.hurdle(false) != "" {
		t.Errorf("%v, hurdle %q", err, p.hurdle(true))
	}
	asked := len(r.asked)
	if err := p.call(t.Context(), acme, heal); err == nil || len(r.asked) != asked {
		t.Error("it was asked again at once")
	}
	p.since = p.since.Add(-deniedFor)
	if p.hurdle(true) != "" {
		t.Error("it is never asked again")
	}
}

func TestPoolReads(t *testing.T) {
	p, r := pooled(t)
	r.answer = `{"name":"p1","type":"t","state":"busy","owner":"o","lease":{"epoch":3,"account":"a","since":"2026-01-02T00:00:00Z","until":"2026-01-03T00:00:00Z"},
		"last":{"owner":"before","why":"forced","note":"n"}}`
	got, err := p.Resource(t.Context(), "p1")
	if err != nil || got.Epoch != 3 || got.Account != "a" || got.Until.Day() != 3 || got.Last.Note != "n" || got.Last.Owner != "before" {
		t.Errorf("%+v, %v", got, err)
	}
	r.status, r.answer = 404, `{"error":{"code":"not_found","message":"there is no resource"}}`
	if _, err := p.Resource(t.Context(), "p1"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	r.status, r.answer = 500, ""
	for i, read := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := p.Types(ctx); return err },
		func(ctx context.Context) error { _, err := p.Resources(ctx, ""); return err },
		func(ctx context.Context) error { _, err := p.Reservations(ctx); return err },
		func(ctx context.Context) error { _, err := p.Resource(ctx, "p1"); return err },
	} {
		if err := read(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if !slices.Contains(r.asked, "GET /v1/types ") {
		t.Errorf("%q", r.asked)
	}
}
