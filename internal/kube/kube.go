// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kube starts periodic jobs of Prow: it creates a ProwJob as Deck's rerun
// does, from the spec of the newest run.
//
// client-go says who we are, from a kubeconfig or from the token that a pod has, and
// renews it. The three requests are ours: a typed client would bring Kubernetes'
// types of everything, and a spec that is copied must not lose a field that this
// program does not know. The account needs get, list and create on prowjobs in one
// namespace, and has no other use.
package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options connect a Client.
type Options struct {
	Kubeconfig string        // "": the token of the pod, if it has one
	Namespace  string        // of ProwJobs; "": that of the kubeconfig or of the pod
	Timeout    time.Duration // of one request; 30 s when zero
}

// Client is safe for concurrent use.
type Client struct {
	http      *http.Client
	base      string // up to the collection of ProwJobs
	namespace string
}

// serviceAccount is where Kubernetes mounts what a pod may know about itself.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// legalNamespace is a DNS label: it becomes a part of a path.
var legalNamespace = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Find connects to the cluster that the options name, or that the process runs in. It
// makes no request. Without a kubeconfig and outside a pod with a token it returns
// nil: then nothing can be started, which is as it should be in most places.
func Find(opts Options) (*Client, error) {
	config, namespace, err := configOf(opts)
	if config == nil || err != nil {
		return nil, err
	}
	return connect(config, namespace, opts.Timeout)
}

func configOf(opts Options) (config *rest.Config, namespace string, err error) {
	if opts.Kubeconfig == "" {
		return inCluster(opts.Namespace)
	}
	file, err := clientcmd.LoadFromFile(opts.Kubeconfig)
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	from := clientcmd.NewDefaultClientConfig(*file, &clientcmd.ConfigOverrides{})
	if config, err = from.ClientConfig(); err != nil {
		return nil, "", fmt.Errorf("read kubeconfig %s: %w", opts.Kubeconfig, err)
	}
	if namespace = opts.Namespace; namespace == "" {
		namespace, _, err = from.Namespace()
	}
	return config, namespace, err
}

func inCluster(namespace string) (*rest.Config, string, error) {
	if _, err := os.Stat(serviceAccount + "/token"); errors.Is(err, os.ErrNotExist) {
		return nil, "", nil
	}
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the pod's account: %w", err)
	}
	if namespace != "" {
		return config, namespace, nil
	}
	raw, err := os.ReadFile(serviceAccount + "/namespace")
	if err != nil {
		return nil, "", fmt.Errorf("read the pod's namespace: %w", err)
	}
	return config, strings.TrimSpace(string(raw)), nil
}

func connect(config *rest.Config, namespace string, timeout time.Duration) (*Client, error) {
	if !legalNamespace.MatchString(namespace) {
		return nil, fmt.Errorf("namespace %q: not the name of one", namespace)
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "steward"
	if config.Timeout = timeout; timeout == 0 {
		config.Timeout = 30 * time.Second
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	base := strings.TrimSuffix(host.String(), "/") + "/apis/prow.k8s.io/v1/namespaces/" + namespace + "/prowjobs"
	return &Client{http: client, base: base, namespace: namespace}, nil
}

// Namespace is where ProwJobs are looked up and created.
func (c *Client) Namespace() string { return c.namespace }

// StatusError is an answer that is not a success.
type StatusError struct {
	Method  string
	Status  int
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s prowjobs: status %d: %.300s", e.Method, e.Status, e.Message)
}

func hasStatus(err error, status int) bool {
	var s *StatusError
	return errors.As(err, &s) && s.Status == status
}

// IsForbidden tells that the account may not do it, or that there is no such thing as
// a ProwJob in the cluster: trying again does not help.
func IsForbidden(err error) bool {
	return hasStatus(err, http.StatusForbidden) || hasStatus(err, http.StatusUnauthorized) || hasStatus(err, http.StatusNotFound)
}

// maxResponse bounds one page of ProwJobs.
const maxResponse = 64 << 20

// call performs one request. Nothing is repeated here: the queue does that, after
// looking again.
func (c *Client) call(ctx context.Context, method string, query url.Values, body, out any) error {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s prowjobs: %w", method, err)
		}
		content = bytes.NewReader(raw)
	}
	address := c.base
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return fmt.Errorf("%s prowjobs: %w", method, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s prowjobs: %w", method, cause(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s prowjobs: read the answer: %w", method, err)
	case len(answer) > maxResponse:
		return fmt.Errorf("%s prowjobs: the answer is longer than %d bytes", method, maxResponse)
	case resp.StatusCode < 200 || resp.StatusCode >= 300:
		var status struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(answer, &status) // a proxy may have answered in its own words
		return &StatusError{method, resp.StatusCode, status.Message}
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s prowjobs: decode the answer: %w", method, err)
	}
	return nil
}

// cause leaves the address out: it holds the selector, and says nothing more.
func cause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
