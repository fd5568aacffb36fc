// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/steward/internal/aws"
	"sigs.k8s.io/steward/internal/gcp"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/sweep"
	"sigs.k8s.io/steward/jobs"
)

// Accounts are what the janitor can sweep.
func Accounts() map[string]jobs.OpenAccount {
	return map[string]jobs.OpenAccount{settings.AccountProject: project, settings.AccountAWS: account}
}

// account opens one of AWS through a role in it. Where it lies is asked with the janitor's own credential, which has to be
// that of the organization's management account or of a delegated administrator.
func account(ctx context.Context, r jobs.JanitorReach, name string) ([]sweep.Kind, sweep.Account, error) {
	if r.Credential != "" {
		return nil, sweep.Account{}, fmt.Errorf("flag --credential: %s is of AWS, which is entered by janitor.aws.role with the credentials of the environment", name)
	}
	own, err := aws.New(ctx, aws.Options{Endpoint: r.Endpoint, Rate: r.Rate, Poll: r.Poll})
	if err != nil {
		return nil, sweep.Account{}, err
	}
	c := own
	if r.AWS.Role != "" {
		c, err = aws.New(ctx, aws.Options{
			Role: strings.ReplaceAll(r.AWS.Role, "{id}", r.Number), ExternalID: r.AWS.ExternalID, Without: r.AWS.Without,
			KeepZones: r.AWS.KeepZones, Endpoint: r.Endpoint, Rate: r.Rate, Poll: r.Poll,
		})
		if err != nil {
			return nil, sweep.Account{}, err
		}
	}
	seen, arn, err := c.Account(ctx)
	if err != nil {
		return nil, sweep.Account{}, err
	}
	if seen != r.Number {
		return nil, sweep.Account{ID: arn, Number: seen}, nil // the third proof fails
	}
	place, err := own.Place(ctx, seen)
	if err != nil {
		return nil, sweep.Account{}, err
	}
	kinds, err := c.Kinds(ctx)
	return kinds, sweep.Account{ID: name, Number: seen, Within: place.Parents, Labels: place.Tags}, err
}

// project opens one of Google Cloud.
func project(ctx context.Context, r jobs.JanitorReach, name string) ([]sweep.Kind, sweep.Account, error) {
	s, err := gcp.NewSweeper(ctx, gcp.SweepOptions{
		Endpoint: r.Endpoint, Credential: r.Credential, Rate: r.Rate, Poll: r.Poll, Parents: r.Parents, Endpoints: r.Endpoints,
	})
	if err != nil {
		return nil, sweep.Account{}, err
	}
	return s.Account(ctx, name)
}
