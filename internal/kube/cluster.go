// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"net/http"
)

// Cluster is the way to pods and tokens. It is safe for concurrent use.
type Cluster struct {
	api
	stream api // the same without a limit of time, for what goes on
}

// ErrNoCluster says that neither a kubeconfig nor an account of a pod is there.
var ErrNoCluster = errors.New("no cluster: this process has no kubeconfig and no account of a pod")

// Open connects to the cluster that the options name, or that the process runs in. It
// makes no request.
func Open(opts Options) (*Cluster, error) {
	config, _, err := configOf(opts)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, ErrNoCluster
	}
	to, err := dial(config, opts.Timeout)
	if err != nil {
		return nil, err
	}
	return newCluster(to), nil
}

func newCluster(to api) *Cluster {
	endless := &http.Client{Transport: to.http.Transport, CheckRedirect: to.http.CheckRedirect}
	return &Cluster{api: to, stream: api{endless, to.host}}
}
