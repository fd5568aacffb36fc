// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"

	"sigs.k8s.io/steward/internal/gcp"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/sweep"
	"sigs.k8s.io/steward/jobs"
)

// Accounts are what the janitor can sweep.
func Accounts() map[string]jobs.OpenAccount {
	return map[string]jobs.OpenAccount{settings.AccountProject: project}
}

// project opens one of Google Cloud.
func project(ctx context.Context, r jobs.JanitorReach, name string) ([]sweep.Kind, sweep.Account, error) {
	s, err := gcp.NewSweeper(ctx, gcp.SweepOptions{Endpoint: r.Endpoint, Credential: r.Credential, Rate: r.Rate, Poll: r.Poll, Parents: r.Parents})
	if err != nil {
		return nil, sweep.Account{}, err
	}
	return s.Account(ctx, name)
}
