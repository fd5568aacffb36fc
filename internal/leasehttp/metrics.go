// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sigs.k8s.io/steward/internal/lease"
)

// Metrics are Boskos's, by their names, and Steward's own.
type Metrics struct {
	acquire  *prometheus.HistogramVec
	duration *prometheus.HistogramVec
	size     *prometheus.HistogramVec

	held   *prometheus.CounterVec
	ended  *prometheus.CounterVec
	panics prometheus.Counter

	mu       sync.Mutex
	agents   []string
	accounts []string
	states   []string
}

// maxAgents bounds the values of the label user_agent, maxAccounts those of account, maxStates those of state and dest: clients
// choose them.
const (
	maxAgents   = 50
	maxAccounts = 200
	maxStates   = 50
)

// NewMetrics registers the metrics of a pool. pool returns nil while another process serves it, which is whom to ask.
func NewMetrics(registry prometheus.Registerer, pool func() *lease.Keeper) *Metrics {
	labels := []string{"path", "method", "status", "user_agent"}
	m := &Metrics{
		acquire: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "boskos_acquire_duration_seconds",
			Help:    "How long a client waited for a resource.",
			Buckets: []float64{1, 10, 100, 500, 1000, 1500, 2000},
		}, []string{"type", "state", "dest", "has_request_id"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "boskos_http_request_duration_seconds",
			Help:    "How long requests took.",
			Buckets: slices.Concat([]float64{0.005}, prometheus.ExponentialBuckets(1./128, 2, 18), []float64{1200}),
		}, labels),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "boskos_http_response_size_bytes",
			Help:    "How large answers were.",
			Buckets: prometheus.ExponentialBuckets(128, 2, 10),
		}, labels),
	}
	m.held = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "steward_pool_lease_seconds_total", Help: "How long leases lasted that ended.",
	}, []string{"type", "account"})
	m.ended = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "steward_pool_leases_ended_total", Help: "How many leases ended, and how.",
	}, []string{"type", "account", "why"})
	m.panics = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "steward_pool_panics_total", Help: "How many operations of the pool panicked and were undone.",
	})
	registry.MustRegister(m.acquire, m.duration, m.size, m.held, m.ended, m.panics, &collector{pool})
	return m
}

func (m *Metrics) acquired(typ, state, dest string, named bool, waited time.Duration) {
	if m != nil {
		m.acquire.WithLabelValues(typ, m.few(&m.states, maxStates, state), m.few(&m.states, maxStates, dest), strconv.FormatBool(named)).Observe(waited.Seconds())
	}
}

// Ended counts leases that ended.
func (m *Metrics) Ended(ended []*lease.Ended) {
	for _, e := range ended {
		account := m.few(&m.accounts, maxAccounts, e.Account)
		m.held.WithLabelValues(e.Type, account).Add(max(e.Until.Sub(e.Since).Seconds(), 0))
		m.ended.WithLabelValues(e.Type, account, e.Why).Inc()
	}
}

// Panicked counts an operation that panicked.
func (m *Metrics) Panicked() { m.panics.Inc() }

// Wrap measures what a handler does. Paths that are none of known are counted as one.
func (m *Metrics) Wrap(h http.Handler, known ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		seen := &seen{ResponseWriter: w, code: http.StatusOK}
		h.ServeHTTP(seen, r)
		path := "unmatched"
		if slices.Contains(known, r.URL.Path) {
			path = r.URL.Path
		}
		labels := []string{path, method(r.Method), strconv.Itoa(seen.code), m.agent(r.UserAgent())}
		m.duration.WithLabelValues(labels...).Observe(time.Since(begun).Seconds())
		m.size.WithLabelValues(labels...).Observe(float64(seen.bytes))
	})
}

func method(m string) string {
	if slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead}, m) {
		return m
	}
	return "other"
}

// agent is the product of a user agent, as long as there are few.
func (m *Metrics) agent(full string) string {
	product, _, _ := strings.Cut(full, " ")
	if len(product) > 64 {
		product = product[:64]
	}
	return m.few(&m.agents, maxAgents, strings.ToValidUTF8(product, "?"))
}

// few is a value of a label as long as there are few of them.
func (m *Metrics) few(known *[]string, most int, value string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(*known, value) {
		return value
	}
	if len(*known) == most {
		return "other"
	}
	*known = append(*known, value)
	return value
}

// seen notes what was answered.
type seen struct {
	http.ResponseWriter
	code  int
	bytes int
}

func (s *seen) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *seen) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController find what the answer can.
func (s *seen) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// collector counts resources when it is asked.
type collector struct{ pool func() *lease.Keeper }

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- resourcesDesc()
	out <- waitersDesc()
	out <- sickDesc()
}

// Collect sends boskos_resources, in which states that mean nothing to Boskos are "other", and Steward's own counts.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	pool := c.pool()
	if pool == nil {
		return
	}
	type key struct{ typ, state string }
	counts, waiting, sick := map[key]int{}, map[key]int{}, map[string]int{}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := pool.Do(ctx, func(p *lease.Pool, now time.Time) {
		for _, typ := range p.Types() {
			states, _, err := p.Metric(typ)
			if err != nil {
				continue // a dynamic type without a resource
			}
			for _, state := range boskosStates() {
				counts[key{typ, state}] = 0 // an alert on none that is free needs the zero
			}
			for state, n := range states {
				counts[key{typ, normal(state)}] += n
			}
			sick[typ] = states[lease.Quarantined]
			for _, state := range p.WaitsFor(typ) {
				waiting[key{typ, normal(state)}] += len(p.Queue(now, typ, state))
			}
		}
	})
	if err != nil {
		out <- prometheus.NewInvalidMetric(resourcesDesc(), err)
		return
	}
	for k, n := range counts {
		out <- prometheus.MustNewConstMetric(resourcesDesc(), prometheus.GaugeValue, float64(n), k.typ, k.state)
	}
	for k, n := range waiting {
		out <- prometheus.MustNewConstMetric(waitersDesc(), prometheus.GaugeValue, float64(n), k.typ, k.state)
	}
	for typ, n := range sick {
		out <- prometheus.MustNewConstMetric(sickDesc(), prometheus.GaugeValue, float64(n), typ)
	}
}

func resourcesDesc() *prometheus.Desc {
	return prometheus.NewDesc("boskos_resources", "How many resources there are.", []string{"type", "state"}, nil)
}

func waitersDesc() *prometheus.Desc {
	return prometheus.NewDesc("steward_pool_waiters", "How many requests wait.", []string{"type", "state"}, nil)
}

func sickDesc() *prometheus.Desc {
	return prometheus.NewDesc("steward_pool_quarantined", "How many resources are in quarantine.", []string{"type"}, nil)
}

// boskosStates are those that Boskos's metrics name.
func boskosStates() []string {
	return []string{lease.Busy, lease.Cleaning, lease.Dirty, lease.Free, lease.LeasedState, lease.ToBeDeleted, lease.Tombstone}
}

// normal is a state as Boskos's metrics name it.
func normal(state string) string {
	if slices.Contains(boskosStates(), state) {
		return state
	}
	return "other"
}
