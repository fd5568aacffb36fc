// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/jobs"
)

// lender is a pool as the janitor sees it, over the newer interface: its leases have ids, so that a janitor that was thought
// dead cannot give back what another one cleans.
type lender struct {
	client *leasehttp.Client
	owner  string
	turn   atomic.Uint32
}

// cleaningTTL is how long a janitor may be silent before another one cleans.
const cleaningTTL = 10 * time.Minute

// openPool connects to a pool. The credential is a token in the file that $STEWARD_POOL_TOKEN_FILE names, if it names one.
func openPool(_ context.Context, address string) (jobs.Pool, error) {
	if !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") {
		return nil, fmt.Errorf("%q is not the address of a pool, such as http://steward-pool.test-pods", address)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	c := &leasehttp.Client{Server: address}
	if file := os.Getenv("STEWARD_POOL_TOKEN_FILE"); file != "" {
		c.Authorize = func(r *http.Request) error {
			token, err := os.ReadFile(file) // the kubelet replaces it
			if err != nil {
				return fmt.Errorf("STEWARD_POOL_TOKEN_FILE: %w", err)
			}
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
			return nil
		}
	}
	return &lender{client: c, owner: "steward-janitor/" + host}, nil
}

// Acquire asks for one type after the other. Each time another one is the first, so that none waits for all of another.
func (l *lender) Acquire(ctx context.Context, types []string) (jobs.Lease, error) {
	var unknown []error
	first := int(l.turn.Add(1)) % max(len(types), 1)
	for _, typ := range slices.Concat(types[first:], types[:first]) {
		got, _, err := l.client.Acquire(ctx, leasehttp.AcquireRequest{
			Owner: l.owner, Wants: []lease.Want{{Type: typ, Count: 1}}, From: lease.Dirty, To: lease.Cleaning,
			TTL: leasehttp.Duration(cleaningTTL), Job: "janitor",
		})
		var refused *leasehttp.Error
		switch {
		case err == nil && len(got.Leases) == 1:
			one := got.Leases[0]
			return jobs.Lease{Name: one.Resource, Type: one.Type, ID: one.ID, TTL: cleaningTTL}, nil
		case errors.As(err, &refused) && (refused.Code == "none_free" || refused.Code == "unknown_type"):
		default:
			unknown = append(unknown, err)
		}
	}
	if len(unknown) > 0 {
		return jobs.Lease{}, errors.Join(unknown...) // whether something is dirty is not known
	}
	return jobs.Lease{}, jobs.ErrNothing
}

// Renew is a sign of life.
func (l *lender) Renew(ctx context.Context, held jobs.Lease) error {
	_, err := l.client.Renew(ctx, held.ID, held.TTL)
	return lost(err)
}

// Release gives a lease back.
func (l *lender) Release(ctx context.Context, held jobs.Lease, to, reason string) error {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + " …"
	}
	return lost(l.client.Release(ctx, held.ID, to, reason))
}

// maxReason is what a pool takes.
const maxReason = 1000

func lost(err error) error {
	if leasehttp.Ended(err) {
		return fmt.Errorf("%w: %w", jobs.ErrLost, err)
	}
	return err
}
