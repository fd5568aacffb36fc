// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// The time of a watch. It is short: a connection that nobody closed is then noticed
// within a minute, with or without bookmarks.
const (
	watchFor = 40 * time.Second
	silence  = 50 * time.Second
	// maxPause bounds how long the server is left alone after failures.
	maxPause = 15 * time.Second
	maxEvent = 8 << 20
)

// Check tells whether the account may follow the pods, by beginning to. Where the server
// cannot be reached the error is not IsForbidden: Follow will try again.
func (p *Pods) Check(ctx context.Context) error {
	for _, s := range p.scopes {
		err := p.check(ctx, s)
		if IsForbidden(err) {
			return fmt.Errorf("follow pods: the account needs list and watch on pods in namespace %s: %w", s.namespace, err)
		}
		if err != nil {
			return fmt.Errorf("follow pods: namespace %s: %w", s.namespace, err)
		}
	}
	return nil
}

func (p *Pods) check(ctx context.Context, s *scope) error {
	first, err := p.page(ctx, s, url.Values{"limit": {"1"}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	stream, err := p.open(ctx, s, first.Metadata.Version)
	if err == nil {
		err = stream.Close()
	}
	return err
}

func (p *Pods) follow(ctx context.Context, s *scope) {
	for ctx.Err() == nil {
		err := p.step(ctx, s)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			p.tell(s, nil)
		case hasStatus(err, http.StatusGone): // the server has forgotten what we know: that is no trouble
			s.version = ""
			s.expired++
			pause(ctx, s.expired)
		default:
			p.tell(s, err)
			s.failures++
			pause(ctx, s.failures)
		}
	}
}

// tell passes trouble on, once for each cause.
func (p *Pods) tell(s *scope, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != s.trouble {
		s.trouble = text
		p.opts.Trouble(s.namespace, err)
	}
}

// pause waits 1, 2, 4 … seconds, up to a quarter less, so that not all come at once.
func pause(ctx context.Context, failures int) {
	d := min(time.Second<<min(failures-1, 10), maxPause)
	t := time.NewTimer(d - rand.N(d/4)) //nolint:gosec // no secret
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// step reads a list where there is nothing to go on from, else watches once.
func (p *Pods) step(ctx context.Context, s *scope) error {
	if s.version == "" || time.Since(s.begun) > relistEvery {
		return p.list(ctx, s)
	}
	return p.watch(ctx, s)
}

// object is what is read of a pod. The rest, its secrets included, is passed over.
type object struct {
	Metadata struct {
		UID     string `json:"uid"`
		Version string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		HostNetwork bool `json:"hostNetwork"`
	} `json:"spec"`
	Status struct {
		Phase  string `json:"phase"`
		HostIP string `json:"hostIP"`
		PodIP  string `json:"podIP"`
		PodIPs []struct {
			IP string `json:"ip"`
		} `json:"podIPs"`
	} `json:"status"`
}

func (o *object) ended() bool { return o.Status.Phase == "Succeeded" || o.Status.Phase == "Failed" }

func (o *object) pod() pod {
	out := pod{running: o.Status.Phase == "Running", shared: o.Spec.HostNetwork}
	texts := []string{o.Status.PodIP}
	for _, more := range o.Status.PodIPs[:min(len(o.Status.PodIPs), 8)] {
		if more.IP != o.Status.PodIP {
			texts = append(texts, more.IP)
		}
	}
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil { // a pod has none at first
			out.addresses = append(out.addresses, a.Unmap())
			out.shared = out.shared || text == o.Status.HostIP
		}
	}
	return out
}

type podList struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Version  string `json:"resourceVersion"`
		Continue string `json:"continue"`
	} `json:"metadata"`
	Items []object `json:"items"`
}

func (s *scope) request(query url.Values) request {
	return request{method: http.MethodGet, what: "pods", path: "/api/v1/namespaces/" + s.namespace + "/pods", query: query}
}

// page reads a part of a list. What is not one is an error: it must not pass for an
// empty namespace.
func (p *Pods) page(ctx context.Context, s *scope, query url.Values) (podList, error) {
	var page podList
	if err := p.cluster.do(ctx, s.request(query), nil, &page); err != nil {
		return page, err
	}
	if page.Kind != "PodList" || page.Metadata.Version == "" {
		return page, errors.New("GET pods: the answer is no list of pods")
	}
	for _, o := range page.Items {
		if o.Metadata.UID == "" {
			return page, errors.New("GET pods: a pod has no uid")
		}
	}
	return page, nil
}

// list reads all pods of a namespace as they are now, not as a cache of the server has
// them, and only then believes that others are gone.
func (p *Pods) list(ctx context.Context, s *scope) error {
	begun := time.Now()
	live := map[string]pod{}
	query := url.Values{"limit": {strconv.Itoa(podsPage)}}
	for range podPages {
		page, err := p.page(ctx, s, query)
		if err != nil {
			return err
		}
		for _, o := range page.Items {
			if !o.ended() {
				live[o.Metadata.UID] = o.pod()
			}
		}
		if len(live) > maxPods {
			return tooMany(s.namespace)
		}
		if page.Metadata.Continue == "" {
			s.version = page.Metadata.Version
			p.replace(s, live, begun)
			return nil
		}
		query.Set("continue", page.Metadata.Continue)
	}
	return fmt.Errorf("GET pods: a list of more than %d pages", podPages)
}

func (p *Pods) open(ctx context.Context, s *scope, version string) (io.ReadCloser, error) {
	resp, err := p.cluster.stream.send(ctx, s.request(url.Values{
		"watch": {"1"}, "resourceVersion": {version}, "allowWatchBookmarks": {"true"},
		"timeoutSeconds": {strconv.Itoa(int(watchFor.Seconds()))},
	}), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// errShort keeps a server that ends every watch at once from being asked all the time.
var errShort = errors.New("watch pods: it ended at once")

// watch follows the changes since the version until the server ends it, which is no
// error.
func (p *Pods) watch(ctx context.Context, s *scope) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	quiet := time.AfterFunc(silence, func() { stop(errors.New("the server is silent")) })
	defer quiet.Stop()
	begun := time.Now()
	stream, err := p.open(ctx, s, s.version)
	if err != nil {
		return err
	}
	defer stream.Close()
	body := &bounded{from: stream}
	events := json.NewDecoder(body)
	for {
		body.left = maxEvent
		var e event
		switch err := events.Decode(&e); {
		case errors.Is(err, io.EOF) && time.Since(begun) < time.Second:
			return errShort
		case errors.Is(err, io.EOF):
			p.well(s)
			return nil
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("watch pods: %w", context.Cause(ctx))
		case err != nil:
			return fmt.Errorf("watch pods: %w", err)
		}
		quiet.Reset(silence)
		if err := p.apply(s, e); err != nil {
			return err
		}
	}
}

type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// apply takes one event. An error leaves the version as it was; where the event itself
// is at fault a list is needed.
func (p *Pods) apply(s *scope, e event) error {
	if e.Type == "ERROR" {
		var status struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(e.Object, &status); err != nil {
			return fmt.Errorf("watch pods: decode an error: %w", err)
		}
		return &StatusError{"watch", "pods", status.Code, status.Message}
	}
	var o object
	if err := json.Unmarshal(e.Object, &o); err != nil {
		return s.lost(fmt.Errorf("watch pods: decode an event: %w", err))
	}
	uid, is := o.Metadata.UID, e.Type == "ADDED" || e.Type == "MODIFIED"
	switch {
	case o.Metadata.Version == "" || uid == "" && e.Type != "BOOKMARK":
		return s.lost(errors.New("watch pods: an event has no uid or version"))
	case e.Type == "BOOKMARK":
	case e.Type == "DELETED", is && o.ended():
		p.end(s, uid)
	case is:
		if err := p.put(s, uid, o.pod()); err != nil {
			return s.lost(err)
		}
	default:
		return s.lost(fmt.Errorf("watch pods: an event of the unknown type %.40q", e.Type))
	}
	s.version = o.Metadata.Version
	p.well(s)
	return nil
}

// well notes that the server said something that makes sense.
func (p *Pods) well(s *scope) {
	s.failures, s.expired = 0, 0
	p.hear(s)
	p.tell(s, nil)
}

// lost says that what comes next does not follow from what is known.
func (s *scope) lost(err error) error {
	s.version = ""
	return err
}

// bounded reads so much at most until more is allowed.
type bounded struct {
	from io.Reader
	left int
}

func (b *bounded) Read(into []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an event is longer than %d bytes", maxEvent)
	}
	n, err := b.from.Read(into[:min(len(into), b.left)])
	b.left -= n
	return n, err
}
