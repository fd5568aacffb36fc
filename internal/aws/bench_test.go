// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/awsfake"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/sweep"
)

// BenchmarkEmptyAccount proves an account of 17 regions clean, with what AWS itself puts into each, at 100 ms an answer and
// at the pace of real use.
func BenchmarkEmptyAccount(b *testing.B) {
	regions := []string{defaultHome}
	for i := range 16 {
		regions = append(regions, fmt.Sprintf("eu-west-%d", i+1))
	}
	fake := awsfake.New(awsfake.Options{Regions: regions, Latency: 100 * time.Millisecond})
	for _, region := range regions {
		if err := fake.Add(awsfake.Object{Kind: "ec2 vpc", Region: region, ID: "vpc-default", Fields: fields{"isDefault": true}}); err != nil {
			b.Fatal(err)
		}
	}
	address := awsfake.Start(b, fake)
	for b.Loop() {
		fake.Faults.Heal()
		c, err := New(b.Context(), Options{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret.New("example"), Endpoint: address})
		if err != nil {
			b.Fatal(err)
		}
		kinds, err := c.Kinds(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		table, err := sweep.NewTable(kinds)
		if err != nil {
			b.Fatal(err)
		}
		v, err := (&sweep.Sweep{Table: table}).Look(b.Context())
		if err != nil || len(v.Unread) > 0 || !v.Plan.Empty() {
			b.Fatalf("not clean: %s, %v", v.Reason(), err)
		}
	}
	b.ReportMetric(float64(len(fake.Faults.Requests())), "calls")
}
