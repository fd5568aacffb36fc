// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// do runs an operation whose only result is an error.
func do(ctx context.Context, pool *lease.Keeper, op func(p *lease.Pool, now time.Time) error) error {
	var refused error
	err := pool.Do(ctx, func(p *lease.Pool, now time.Time) { refused = op(p, now) })
	return errors.Join(err, refused)
}

// who believes the owner where there is no Access.
func who(a Access, r *http.Request, owner, typ string) (Caller, error) {
	if a == nil {
		return Caller{Holder: lease.Holder{Account: owner}}, nil
	}
	return a.Holder(r, owner, typ)
}

// oneCaller asks the rules for every type, of which there is one at least. All that is taken together is of one account.
func oneCaller(a Access, r *http.Request, owner string, types []string) (found Caller, err error) {
	for i, typ := range types {
		caller, err := who(a, r, owner, typ)
		if err != nil {
			return Caller{}, err
		}
		if i > 0 && (found.Account != caller.Account || found.Class != caller.Class) {
			return Caller{}, bad("the rules have other accounts for other types: ask for one type at a time")
		}
		found = caller
	}
	return found, nil
}
