// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"sigs.k8s.io/steward/internal/lease"
)

// Options connect to a namespace.
type Options struct {
	Kubeconfig string // "": the token of the pod
	Namespace  string // "": that of the pod
	// Name is that of the Pool and of the Lease: "steward-pool".
	Name string
	// Timeout is of one request: 10 seconds. Patience is how long one is repeated that got no answer: 20 seconds.
	Timeout, Patience time.Duration
	Say               *logrus.Entry

	// Config replaces Kubeconfig, for tests.
	Config *rest.Config
}

// Cluster is a namespace of a cluster. It is safe for concurrent use.
type Cluster struct {
	http            *http.Client
	base            string
	namespace, name string
	patience        time.Duration
	say             *logrus.Entry
}

// serviceAccount is where Kubernetes mounts what a pod may know about itself.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// Connect finds the cluster. It makes no request.
func Connect(opts Options) (*Cluster, error) {
	config, namespace, err := opts.find()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	opts.Namespace = cmp.Or(opts.Namespace, namespace)
	opts.Name = cmp.Or(opts.Name, "steward-pool")
	for what, name := range map[string]string{"namespace": opts.Namespace, "pool": opts.Name} {
		// A DNS label: it becomes a part of paths, names and a label.
		if !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`).MatchString(name) {
			return nil, fmt.Errorf("%s %q: not the name of one", what, name)
		}
	}
	return connect(config, opts)
}

// find returns the cluster that the options name, or that the pod is in, and the namespace there.
func (o Options) find() (config *rest.Config, namespace string, err error) {
	switch {
	case o.Config != nil:
		return o.Config, "", nil
	case o.Kubeconfig == "":
		if config, err = rest.InClusterConfig(); err != nil || o.Namespace != "" {
			return config, "", err
		}
		raw, err := os.ReadFile(serviceAccount + "/namespace")
		return config, strings.TrimSpace(string(raw)), err
	}
	file, err := clientcmd.LoadFromFile(o.Kubeconfig)
	if err != nil {
		return nil, "", err
	}
	from := clientcmd.NewDefaultClientConfig(*file, &clientcmd.ConfigOverrides{})
	if config, err = from.ClientConfig(); err != nil {
		return nil, "", err
	}
	namespace, _, err = from.Namespace()
	return config, namespace, err
}

func connect(config *rest.Config, opts Options) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "steward-pool"
	config.Timeout = cmp.Or(opts.Timeout, 10*time.Second)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	if opts.Say == nil {
		opts.Say = logrus.NewEntry(logrus.StandardLogger())
	}
	return &Cluster{
		http: client, base: strings.TrimSuffix(host.String(), "/"), namespace: opts.Namespace, name: opts.Name,
		patience: cmp.Or(opts.Patience, 20*time.Second), say: opts.Say,
	}, nil
}

func (c *Cluster) under(groupVersion, plural string) string {
	return "/apis/" + groupVersion + "/namespaces/" + c.namespace + "/" + plural
}

func (c *Cluster) collection(kind lease.Kind) string {
	if kind == lease.KindDynamic {
		return c.under(group, "dynamicresourcelifecycles")
	}
	return c.under(group, "resources")
}

func (c *Cluster) object(kind lease.Kind, name string) string {
	return c.collection(kind) + "/" + url.PathEscape(name)
}

func (c *Cluster) pools() string           { return c.under(own, "pools") }
func (c *Cluster) pool() string            { return c.pools() + "/" + c.name }
func (c *Cluster) pageList() string        { return c.under(own, "poolpages") }
func (c *Cluster) page(name string) string { return c.pageList() + "/" + url.PathEscape(name) }

// StatusError is an answer that is not a success.
type StatusError struct {
	Method, Path string
	Status       int
	Message      string

	after time.Duration // when to try again
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %.300s", e.Method, e.Path, e.Status, e.Message)
}

// definite tells that the server did not do it and will not. An object that is too large for etcd is that, too, although the
// server takes it for a fault of its own: with what it notes of an object's fields, it is larger than we know.
func (e *StatusError) definite() bool {
	large := strings.Contains(e.Message, "request is too large") || strings.Contains(e.Message, "message larger than max")
	return e.Status >= 300 && e.Status < 500 && e.Status != http.StatusRequestTimeout || e.Status == http.StatusInternalServerError && large
}

func isStatus(err error, status int) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Status == status
}

func (c *Cluster) get(ctx context.Context, path string, into any) error {
	return c.try(ctx, http.MethodGet, path, nil, into)
}

// create and replace learn the metadata that the object has afterwards.
func (c *Cluster) create(ctx context.Context, path string, object any, into *meta) error {
	return c.write(ctx, http.MethodPost, path, object, into)
}

func (c *Cluster) replace(ctx context.Context, path string, object any, into *meta) error {
	return c.write(ctx, http.MethodPut, path, object, into)
}

func (c *Cluster) write(ctx context.Context, method, path string, object any, into *meta) error {
	var now struct {
		Meta meta `json:"metadata"`
	}
	if err := c.try(ctx, method, path, object, &now); err != nil {
		return err
	}
	*into = now.Meta
	return nil
}

// remove deletes an object if it has a version, or whatever it has where version is "".
func (c *Cluster) remove(ctx context.Context, path, version string) error {
	options := map[string]any{"kind": "DeleteOptions", "apiVersion": "v1"}
	if version != "" {
		options["preconditions"] = map[string]string{"resourceVersion": version}
	}
	return c.try(ctx, http.MethodDelete, path, options, &struct{}{})
}

// perPage is how many objects one answer of a list holds, of maxAnswer bytes at most.
const (
	perPage   = 500
	maxAnswer = 256 << 20
)

// list hands every object of a collection to each and returns the version of the list. All of it is of that version.
func list[T any](ctx context.Context, c *Cluster, path, selector string, each func(T)) (version string, err error) {
	query := url.Values{"limit": {strconv.Itoa(perPage)}}
	if selector != "" {
		query.Set("labelSelector", selector)
	}
	for count := 0; ; {
		var answer struct {
			Meta struct {
				ResourceVersion string `json:"resourceVersion"`
				Continue        string `json:"continue"`
			} `json:"metadata"`
			Items []T `json:"items"`
		}
		if err := c.get(ctx, path+"?"+query.Encode(), &answer); err != nil {
			return "", err
		}
		if count += len(answer.Items); count > lease.MaxResources {
			return "", fmt.Errorf("list %s: more than %d objects", path, lease.MaxResources)
		}
		for _, item := range answer.Items {
			each(item)
		}
		if answer.Meta.Continue == "" {
			return answer.Meta.ResourceVersion, nil
		}
		query.Set("continue", answer.Meta.Continue)
	}
}

// try performs a request, again where the server is busy or nobody knows what came of it. A write that came through although
// its answer was lost meets its own version then: the caller looks. A StatusError that is definite says that it was not done,
// in whichever of the attempts.
func (c *Cluster) try(ctx context.Context, method, path string, body, into any) error {
	late := time.Now().Add(c.patience)
	doubt := false
	for wait := 50 * time.Millisecond; ; wait *= 4 {
		err := c.call(ctx, method, path, body, into)
		var status *StatusError
		known := errors.As(err, &status) && status.definite()
		switch {
		case err == nil:
			return nil
		case known && status.Status != http.StatusTooManyRequests:
			if doubt && method != http.MethodGet && status.Status != http.StatusConflict && status.Status != http.StatusNotFound {
				return fmt.Errorf("after an attempt without an answer: %s", err) //nolint:errorlint // it is not definite
			}
			return err
		}
		doubt = doubt || !known
		rest := wait
		if status != nil && status.after > 0 {
			rest = status.after
		}
		if time.Now().Add(rest).After(late) || !pause(ctx, rest) {
			if doubt && known && method != http.MethodGet {
				return fmt.Errorf("after an attempt without an answer: %s", err) //nolint:errorlint // an earlier attempt may have come through
			}
			return err
		}
	}
}

func (c *Cluster) call(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, cause(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	case len(answer) > maxAnswer:
		return fmt.Errorf("%s %s: the answer is longer than %d bytes", method, path, maxAnswer)
	case resp.StatusCode < 200 || resp.StatusCode >= 300:
		return refusal(method, path, resp, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s %s: decode the answer: %w", method, path, err)
	}
	return nil
}

// maxPause bounds how long a server may tell us to wait.
const maxPause = 5 * time.Second

func refusal(method, path string, resp *http.Response, answer []byte) *StatusError {
	var status struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &status) // a proxy may have answered in its own words
	e := &StatusError{Method: method, Path: path, Status: resp.StatusCode, Message: status.Message}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.after = min(time.Duration(seconds)*time.Second, maxPause)
	}
	return e
}

// cause leaves the address out, which says nothing more.
func cause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
