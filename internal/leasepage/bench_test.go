// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"fmt"
	"io"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// BenchmarkOverview is what a look at a pool costs its keeper, and then the reader.
func BenchmarkOverview(b *testing.B) {
	for _, size := range []int{240, 100_000} {
		g := lease.Group{Type: "project", State: lease.Free}
		for i := range size {
			g.Names, g.Lines = append(g.Names, fmt.Sprintf("project-%06d", i)), append(g.Lines, i)
		}
		id := func() string { return "id" }
		pool, err := lease.NewPool(lease.Options{IDs: id, Names: id}, nil, noon())
		if err != nil {
			b.Fatal(err)
		}
		pool.Sync(noon(), lease.Config{Static: []lease.Group{g}})
		b.Run(fmt.Sprint("look-", size), func(b *testing.B) {
			for b.Loop() {
				Look(pool, noon())
			}
		})
		look := Look(pool, noon()).Arrange()
		u := NewUsage(noon())
		for i := range 40_000 {
			u.Ended(&lease.Ended{Type: "project", Owner: fmt.Sprint(i % 500), Since: ago(time.Duration(i) * 15 * time.Second), Until: ago(0)})
		}
		b.Run(fmt.Sprint("write-", size), func(b *testing.B) {
			for b.Loop() {
				if err := Overview(io.Discard, look, u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
