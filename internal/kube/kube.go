// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kube asks a Kubernetes API server the few things that Steward needs of one.
//
// A Client starts periodic jobs of Prow: it creates a ProwJob as Deck's rerun does,
// from the spec of the newest run. Its account needs get, list and create on prowjobs
// in one namespace. A Cluster is for the pool: Pods follows the pods of namespaces,
// which takes list and watch on pods there, and Tokens asks whose a token is, which
// takes create on tokenreviews (docs/pool-pods.md).
//
// client-go says who we are, from a kubeconfig or from the token that a pod has, and
// renews it. The requests are ours: a typed client would bring Kubernetes' types of
// everything, and a spec that is copied must not lose a field that this program does
// not know.
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
	api
	path      string // of the collection of ProwJobs
	namespace string
}

// api is the way to an API server, with the rights of an account.
type api struct {
	http *http.Client
	host string // without a slash at its end
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
	to, err := dial(config, timeout)
	if err != nil {
		return nil, err
	}
	return &Client{api: to, path: "/apis/prow.k8s.io/v1/namespaces/" + namespace + "/prowjobs", namespace: namespace}, nil
}

func dial(config *rest.Config, timeout time.Duration) (api, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "steward"
	if config.Timeout = timeout; timeout == 0 {
		config.Timeout = 30 * time.Second
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return api{}, fmt.Errorf("connect to the cluster: %w", err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return api{}, fmt.Errorf("connect to the cluster: %w", err)
	}
	return api{client, strings.TrimSuffix(host.String(), "/")}, nil
}

// Namespace is where ProwJobs are looked up and created.
func (c *Client) Namespace() string { return c.namespace }

// StatusError is an answer that is not a success.
type StatusError struct {
	Method  string
	What    string // the resource: prowjobs
	Status  int
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %.300s", e.Method, e.What, e.Status, e.Message)
}

func hasStatus(err error, status int) bool {
	var s *StatusError
	return errors.As(err, &s) && s.Status == status
}

// IsForbidden tells that the account may not do it, or that there is no such thing in
// the cluster: trying again does not help.
func IsForbidden(err error) bool {
	return hasStatus(err, http.StatusForbidden) || hasStatus(err, http.StatusUnauthorized) || hasStatus(err, http.StatusNotFound)
}

// maxResponse bounds one page of a list.
const maxResponse = 64 << 20

// call performs one request about ProwJobs. Nothing is repeated here: the queue does
// that, after looking again.
func (c *Client) call(ctx context.Context, method string, query url.Values, body, out any) error {
	return c.do(ctx, request{method, "prowjobs", c.path, query}, body, out)
}

// request is one call and what it is about.
type request struct {
	method, what, path string
	query              url.Values
}

// do performs one request, whose answer is a value of JSON.
func (a api) do(ctx context.Context, r request, body, out any) error {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.method, r.what, err)
		}
		content = bytes.NewReader(raw)
	}
	resp, err := a.send(ctx, r, content)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: read the answer: %w", r.method, r.what, err)
	case len(answer) > maxResponse:
		return fmt.Errorf("%s %s: the answer is longer than %d bytes", r.method, r.what, maxResponse)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: decode the answer: %w", r.method, r.what, err)
	}
	return nil
}

// maxRefusal bounds what is read of an answer that is no success.
const maxRefusal = 1 << 20

// send returns the answer to a request if it is a success; its body is the caller's to
// close.
func (a api) send(ctx context.Context, r request, content io.Reader) (*http.Response, error) {
	address := a.host + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, content)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.what, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.what, cause(err))
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", r.method, r.what, err)
	}
	var status struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &status) // a proxy may have answered in its own words
	return nil, &StatusError{r.method, r.what, resp.StatusCode, status.Message}
}

// cause leaves the address out: it holds the selector, and says nothing more.
func cause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
