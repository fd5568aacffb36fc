// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// countingSink counts the syncs of a log.
type countingSink struct {
	Sink
	syncs *atomic.Int64
}

func (s countingSink) Sync() error {
	s.syncs.Add(1)
	return s.Sink.Sync()
}

// BenchmarkAppend measures durable appends of one record each. Besides ns/op it
// reports batches per sync and the 99th percentile of one Append in ms.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 12 << 10} {
		for _, callers := range []int{1, 8, 64, 256} {
			b.Run(fmt.Sprintf("bytes=%d/callers=%d", size, callers), func(b *testing.B) {
				benchmarkAppend(b, size, callers)
			})
		}
	}
}

func benchmarkAppend(b *testing.B, size, callers int) {
	var syncs atomic.Int64
	l, err := Open(b.TempDir(), Options{Sink: func(f *os.File) Sink {
		return countingSink{diskSink{f}, &syncs}
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	record := make([]byte, size)
	took := make([]time.Duration, b.N)
	var ticket atomic.Int64
	var wg sync.WaitGroup
	syncs.Store(0)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for i := ticket.Add(1) - 1; i < int64(b.N); i = ticket.Add(1) - 1 {
				start := time.Now()
				if _, err := l.Append(record); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/float64(syncs.Load()), "batches/sync")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkReplay measures reading back records of 12 KB.
func BenchmarkReplay(b *testing.B) {
	const records, size = 4096, 12 << 10
	l, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = make([]byte, size)
	}
	for range records / len(batch) {
		if _, err := l.Append(batch...); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(records * size)
	for b.Loop() {
		if err := l.Replay(0, func(Seq, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
