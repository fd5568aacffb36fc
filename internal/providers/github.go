// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"errors"
	"strings"

	"sigs.k8s.io/steward/internal/hub"
	"sigs.k8s.io/steward/jobs"
)

// OpenGitHub connects with the token of a file, which is read again when it changes.
func OpenGitHub(g jobs.GitHub) (jobs.Pulls, error) {
	if g.TokenPath == "" {
		return nil, errors.New("name the file with the token")
	}
	token := hub.FileToken(g.TokenPath)
	if _, err := token(""); err != nil {
		return nil, err
	}
	return hub.New(hub.Options{
		Endpoints: []string{g.Endpoint}, GraphQL: strings.TrimSuffix(g.Endpoint, "/") + "/graphql", Token: token,
		Unreviewed: func() []string { return g.Unreviewed },
	})
}
