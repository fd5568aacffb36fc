// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sigs.k8s.io/steward/internal/queue"
)

// hookMetrics are what steward-hook counts. config/prow/alerts.yaml alerts on them.
type hookMetrics struct {
	deliveries *prometheus.CounterVec
	requests   *prometheus.HistogramVec
	writes     *prometheus.CounterVec
	looks      prometheus.Histogram
	reconciled prometheus.Gauge
	settings   prometheus.Gauge

	reportFetched, reportMade *prometheus.GaugeVec
}

func newHookMetrics(r *prometheus.Registry) *hookMetrics {
	m := &hookMetrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "steward_webhook_deliveries_total", Help: "Webhooks answered, by event and status.",
		}, []string{"event", "status"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "steward_github_request_duration_seconds", Help: "Requests to GitHub, by method, route and status (0: no answer).",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "status"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "steward_writes_total", Help: "Writes to GitHub and Prow, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		looks: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "steward_look_duration_seconds", Help: "From picking a thread to its last write.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}),
		reconciled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "steward_reconcile_last_success_timestamp_seconds", Help: "When the last complete pass over all repositories ended.",
		}),
		settings: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "steward_settings_valid", Help: "1 when steward.yaml as it is on disk is in force.",
		}),
		reportFetched: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "steward_drift_report_fetched_timestamp_seconds", Help: "When the audit's report was last fetched or seen to be the newest.",
		}, []string{"repo"}),
		reportMade: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "steward_drift_report_made_timestamp_seconds", Help: "When the audit that made the newest report ended.",
		}, []string{"repo"}),
	}
	m.settings.Set(1) // start-up fails on settings that do not hold
	r.MustRegister(m.deliveries, m.requests, m.writes, m.looks, m.reconciled, m.settings, m.reportFetched, m.reportMade,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// knownEvents bounds the label: anyone can send any event name.
var knownEvents = map[string]bool{
	"issue_comment": true, "issues": true, "pull_request": true, "pull_request_review": true,
	"pull_request_review_comment": true, "push": true, "status": true, "check_run": true, "check_suite": true, "workflow_run": true,
}

func (m *hookMetrics) delivery(event string, status int) {
	if !knownEvents[event] {
		event = "other"
	}
	m.deliveries.WithLabelValues(event, strconv.Itoa(status)).Inc()
}

func (m *hookMetrics) request(method, route string, status int, d time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(d.Seconds())
}

// watch exports the queue's own counts when they are scraped.
func (m *hookMetrics) watch(r *prometheus.Registry, q *queue.Queue) {
	gauge := func(name, help string, value func(queue.Stats) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(q.Stats()) }))
	}
	counter := func(name, help string, value func(queue.Stats) uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value(q.Stats())) }))
	}
	gauge("steward_queue_items", "Journaled items that are not settled.", func(s queue.Stats) float64 { return float64(s.Waiting) })
	gauge("steward_queue_threads", "Threads with something to do.", func(s queue.Stats) float64 { return float64(s.Keys) })
	gauge("steward_queue_dead_letters", "Threads that were given up; see steward hook replay.", func(s queue.Stats) float64 { return float64(s.Letters) })
	gauge("steward_queue_oldest_seconds", "Age of the oldest item that is not settled.", func(s queue.Stats) float64 {
		if s.Oldest.IsZero() {
			return 0
		}
		return time.Since(s.Oldest).Seconds()
	})
	gauge("steward_queue_paused_seconds", "How long GitHub's rate limit still holds the queue.", func(s queue.Stats) float64 {
		return max(0, time.Until(s.PausedUntil).Seconds())
	})
	counter("steward_queue_handled_total", "Looks that ended well.", func(s queue.Stats) uint64 { return s.Handled })
	counter("steward_queue_retries_total", "Looks that are tried again.", func(s queue.Stats) uint64 { return s.Retries })
	counter("steward_queue_duplicates_total", "Deliveries whose GUID was known.", func(s queue.Stats) uint64 { return s.Duplicates })
}
