// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"io"
	"runtime"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
)

// BenchmarkReport renders 100,000 findings (RP-40).
func BenchmarkReport(b *testing.B) {
	all, opts := community(100_000), audited(false)
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			writeAll(b, all, opts)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapSys)/(1<<20), "heap-MiB")
	})
	for _, format := range Formats() {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Write(io.Discard, format, all, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// writeAll is what a job does that writes all its artifacts.
func writeAll(tb testing.TB, all []finding.Finding, opts Options) {
	s, err := Prepare(all, opts)
	if err != nil {
		tb.Fatal(err)
	}
	for _, format := range Formats() {
		if err := s.Write(io.Discard, format); err != nil {
			tb.Fatal(err)
		}
	}
}
