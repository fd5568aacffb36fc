// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasepage"
)

// Pages shows the pool to people, under /pool. Whoever looks costs those who work next to nothing: what was read for one is
// shown to all for twenty times as long as the reading took (PG-7).
type Pages struct {
	Pool    *lease.Keeper
	History History
	Log     *logrus.Entry

	look  cached[*leasepage.Pool]
	usage cached[*leasepage.Usage]
	alone sync.Mutex // one resource's history is read at a time
}

// pagePatience bounds how long a page waits for the pool.
const pagePatience = 10 * time.Second

// Handler serves /pool and what is below it, to GET and HEAD.
func (p *Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pool", p.page(p.overview))
	mux.Handle("GET /pool/{$}", http.RedirectHandler(leasepage.Root, http.StatusMovedPermanently))
	mux.HandleFunc("GET /pool/types/{name}", p.page(p.typePage))
	mux.HandleFunc("GET /pool/resources/{name}", p.page(p.resourcePage))
	mux.HandleFunc("GET /pool/", p.page(func(out io.Writer, r *http.Request, pool *leasepage.Pool) (int, error) {
		return http.StatusNotFound, leasepage.MissingPage(out, pool, r.URL.Path)
	}))
	return mux
}

// page answers with what write makes of the pool. A page is whole or not there.
func (p *Pages) page(write func(out io.Writer, r *http.Request, pool *leasepage.Pool) (int, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pagePatience)
		defer cancel()
		r = r.WithContext(ctx)
		var out bytes.Buffer
		var code int
		pool, err := p.look.get(func() (*leasepage.Pool, error) { return p.read(ctx) })
		if err == nil {
			code, err = write(&out, r, pool)
		}
		if err != nil {
			p.Log.WithError(err).WithField("path", r.URL.Path).Warning("page not shown")
			http.Error(w, "The pool cannot be shown now. Try again in a moment.", http.StatusServiceUnavailable)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "frame-ancestors 'none'") // the rest stands in the page
		w.WriteHeader(code)
		_, _ = out.WriteTo(w) // the browser is gone
	}
}

func (p *Pages) read(ctx context.Context) (look *leasepage.Pool, err error) {
	err = p.Pool.Do(ctx, func(pool *lease.Pool, now time.Time) { look = leasepage.Look(pool, now) })
	if err != nil {
		return nil, err
	}
	return look.Arrange(), nil
}

// used adds up the last days.
func (p *Pages) used(pool *leasepage.Pool) (*leasepage.Usage, error) {
	return p.usage.get(func() (*leasepage.Usage, error) {
		u := leasepage.NewUsage(pool.Now)
		u.Running(pool)
		return u, p.History.Each(lease.Query{Since: u.Start()}, u.Ended)
	})
}

func (p *Pages) overview(out io.Writer, _ *http.Request, pool *leasepage.Pool) (int, error) {
	u, err := p.used(pool)
	if err != nil {
		return 0, err
	}
	return http.StatusOK, leasepage.Overview(out, pool, u)
}

func (p *Pages) typePage(out io.Writer, r *http.Request, pool *leasepage.Pool) (int, error) {
	name := r.PathValue("name")
	t := pool.Type(name)
	if t == nil {
		return http.StatusNotFound, leasepage.MissingType(out, pool, name)
	}
	u, err := p.used(pool)
	if err != nil {
		return 0, err
	}
	return http.StatusOK, leasepage.TypePage(out, pool, t, u)
}

// resourcePage shows a resource, also one that has left the pool and was lent in the last days: a name that nobody had is
// not looked for in the whole history.
func (p *Pages) resourcePage(out io.Writer, r *http.Request, pool *leasepage.Pool) (int, error) {
	name := r.PathValue("name")
	found := pool.Resource(name)
	if found == nil {
		u, err := p.used(pool)
		if err != nil {
			return 0, err
		}
		if !u.Lent(name) {
			return http.StatusNotFound, leasepage.MissingResource(out, pool, name)
		}
	}
	p.alone.Lock()
	defer p.alone.Unlock()
	past := &leasepage.Past{Since: pool.Now.AddDate(0, 0, -leasepage.Days)}
	query := lease.Query{Resource: name, Since: past.Since}
	err := p.History.Each(query, func(e *lease.Ended) bool { return r.Context().Err() == nil && past.Add(e) })
	if err == nil {
		err = r.Context().Err()
	}
	if err != nil {
		return 0, err
	}
	return http.StatusOK, leasepage.ResourcePage(out, pool.Now, name, found, past)
}

// cached keeps a value for as long as it may be shown.
type cached[T any] struct {
	mu    sync.Mutex
	value T
	until time.Time
}

func (c *cached[T]) get(read func() (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := time.Now()
	if begun.Before(c.until) {
		return c.value, nil
	}
	value, err := read()
	if err == nil {
		done := time.Now()
		c.value, c.until = value, done.Add(20*done.Sub(begun))
	}
	return value, err
}
