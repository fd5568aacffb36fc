// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/manifest"
)

// maxRequests is how many requests are remembered; later ones are counted only.
const maxRequests = 1_000_000

// OCICounts is what clients have asked of all registries together.
type OCICounts struct {
	Requests map[string]int `json:"requests"` // by "METHOD KIND": GET tags, PUT manifests, POST uploads
	Given    int64          `json:"given"`    // bytes of blobs that were read
	Taken    int64          `json:"taken"`    // bytes of blobs that were sent
	Peak     int            `json:"peak"`     // most requests of one credential within a period of the quota; 0 without one
	Refused  int            `json:"refused"`  // requests beyond the quota
}

// meter counts, and knows whose quota is used up.
type meter struct {
	OCICounts
	log    []string               // "METHOD HOST PATH"
	recent map[string][]time.Time // requests within the last period, by credential
	quota  quota
	cuts   map[string]*cut   // by HOST/PATH, with @DIGEST where it is a read
	down   map[string]string // how hosts fail
}

type quota struct {
	Requests int
	Per      time.Duration // a minute
}

// cut is a connection that breaks in the middle of a blob.
type cut struct {
	after int64
	times int
}

func newMeter() *meter {
	return &meter{
		OCICounts: OCICounts{Requests: map[string]int{}}, recent: map[string][]time.Time{}, cuts: map[string]*cut{}, down: map[string]string{},
	}
}

// Quota lets a credential ask so often within a period, of all registries together. 0 is no quota.
func (o *OCI) Quota(requests int, per time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.meter.quota = quota{requests, per}
	clear(o.meter.recent)
}

// Counts is what was asked since the start, or since it was last cleared.
func (o *OCI) Counts() OCICounts {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.meter.OCICounts
	c.Requests = maps.Clone(c.Requests)
	return c
}

// Asked lists requests since the start, or since they were last cleared, as "METHOD HOST PATH".
func (o *OCI) Asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.meter.log)
}

// Clear begins to count anew.
func (o *OCI) Clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.meter.OCICounts = OCICounts{Requests: map[string]int{}}
	o.meter.log = nil
}

// count notes a request.
func (m *meter) count(r *http.Request, kind string) {
	m.Requests[strings.TrimSpace(r.Method+" "+kind)]++
	if len(m.log) < maxRequests {
		m.log = append(m.log, r.Method+" "+r.Host+" "+r.URL.Path)
	}
}

// within tells whether a credential may ask once more, and else after how long.
func (m *meter) within(who string, now time.Time) (time.Duration, bool) {
	if m.quota.Requests == 0 {
		return 0, true
	}
	recent := m.recent[who]
	for len(recent) > 0 && now.Sub(recent[0]) >= m.quota.Per { // they are in order
		recent = recent[1:]
	}
	if len(recent) >= m.quota.Requests {
		m.recent[who] = recent
		m.Refused++
		return m.quota.Per - now.Sub(recent[0]), false
	}
	m.recent[who] = append(recent, now)
	m.Peak = max(m.Peak, len(recent)+1)
	return 0, true
}

// fails is the status of a host that is down; 0 for one that is not.
func (m *meter) fails(host string, write bool) int {
	switch mode := m.down[host]; {
	case mode == "all", mode == "write" && write:
		return http.StatusServiceUnavailable
	case mode == "deny":
		return http.StatusForbidden
	}
	return 0
}

// fail lets a host fail, or work again.
func (m *meter) fail(host, mode string) error {
	if !slices.Contains([]string{"all", "write", "deny", ""}, mode) || !manifest.IsRegistry(host) {
		return fmt.Errorf("down %s: no host, or %q is not all, write or deny", host, mode)
	}
	if m.down[host] = mode; mode == "" {
		delete(m.down, host)
	}
	return nil
}

// breaks is after how many bytes a blob breaks off now; -1: it does not.
func (m *meter) breaks(key string) int64 {
	c := m.cuts[key]
	if c == nil {
		return -1
	}
	if c.times--; c.times <= 0 {
		delete(m.cuts, key)
	}
	return c.after
}

func (m *meter) cut(key string, after int64, times int) error {
	if after < 0 || times < 0 {
		return errors.New("cut " + key + ": after and times are not negative")
	}
	m.cuts[key] = &cut{after, max(times, 1)}
	return nil
}

// throttle answers who is beyond the quota.
func (a *asked) throttle(after time.Duration) {
	a.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(after, time.Second).Seconds()))))
	a.refuse(http.StatusTooManyRequests, "TOOMANYREQUESTS")
}

// abandon cuts the connection, so that the client sees a reset.
func (a *asked) abandon() {
	conn, _, err := http.NewResponseController(a.w).Hijack()
	if err != nil {
		return // the answer is short all the same
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
