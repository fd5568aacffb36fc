// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrNoRun says that no run of a periodic job of that name is known: Prow has not
// started it yet, or its runs are in another namespace, or their traces were removed.
var ErrNoRun = errors.New("no run of the job is known")

// Run is one run of a periodic job.
type Run struct {
	Started time.Time
	Done    bool
	URL     string // of its log; may be empty
}

// prowJob is what we read and write of one. The spec is copied as it is.
type prowJob struct {
	APIVersion string          `json:"apiVersion,omitempty"`
	Kind       string          `json:"kind,omitempty"`
	Metadata   metadata        `json:"metadata"`
	Spec       json.RawMessage `json:"spec"`
	Status     status          `json:"status"`
}

type metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type status struct {
	State       string     `json:"state"`
	StartTime   time.Time  `json:"startTime"`
	Completed   *time.Time `json:"completionTime,omitempty"`
	Description string     `json:"description,omitempty"`
	URL         string     `json:"url,omitempty"`
}

// identity is the part of a spec that has to be known.
type identity struct {
	Type    string `json:"type"`
	Job     string `json:"job"`
	Context string `json:"context"`
}

// The labels and annotations that Prow gives to every ProwJob.
const (
	labelJob     = "prow.k8s.io/job"
	labelType    = "prow.k8s.io/type"
	labelContext = "prow.k8s.io/context"
	labelCreated = "created-by-prow"

	annotationKey = "steward.sigs.k8s.io/key"
	annotationWhy = "steward.sigs.k8s.io/why"

	periodic = "periodic"
)

// ofOneRun are what Prow's components put on one run and not on a job.
var ofOneRun = []string{
	"prow.k8s.io/id", "prow.k8s.io/build-id", "prow.k8s.io/plank-version", "prow.k8s.io/retest", "prow.k8s.io/re-run",
	"event-GUID", "kubectl.kubernetes.io/last-applied-configuration", annotationKey, annotationWhy,
}

// Last is the newest run of a periodic job, or ErrNoRun.
func (c *Client) Last(ctx context.Context, job string) (Run, error) {
	newest, err := c.newest(ctx, job)
	if err != nil {
		return Run{}, fmt.Errorf("look for runs of %s: %w", job, err)
	}
	return Run{Started: newest.Status.StartTime, Done: newest.Status.Completed != nil, URL: newest.Status.URL}, nil
}

// Start creates one run of a periodic job for a key. A second one for the same key is
// not made, by whatever process: the name of the run follows from the key.
func (c *Client) Start(ctx context.Context, job, key, why string) error {
	newest, err := c.newest(ctx, job)
	if err != nil {
		return fmt.Errorf("start %s: %w", job, err)
	}
	run, err := c.again(newest, key, why, time.Now())
	if err != nil {
		return fmt.Errorf("start %s: %w", job, err)
	}
	var made prowJob
	if err := c.call(ctx, http.MethodPost, nil, run, &made); err != nil && !hasStatus(err, http.StatusConflict) {
		return fmt.Errorf("start %s: %w", job, err)
	}
	return nil
}

// Name is the name of the ProwJob of a key.
func Name(key string) string {
	return fmt.Sprintf("steward-%x", sha256.Sum256([]byte(key)))[:40]
}

// again is a new run with the spec of an older one.
func (c *Client) again(old prowJob, key, why string, now time.Time) (prowJob, error) {
	var spec identity
	if err := json.Unmarshal(old.Spec, &spec); err != nil {
		return prowJob{}, fmt.Errorf("read the spec of %s: %w", old.Metadata.Name, err)
	}
	labels, annotations := copyOf(old.Metadata.Labels), copyOf(old.Metadata.Annotations)
	labels[labelCreated], labels[labelType] = "true", periodic
	for key, value := range map[string]string{labelJob: spec.Job, labelContext: spec.Context} {
		labels[key], annotations[key] = labelValue(value), value
	}
	annotations[annotationKey], annotations[annotationWhy] = key, why
	return prowJob{
		APIVersion: "prow.k8s.io/v1", Kind: "ProwJob",
		Metadata: metadata{Name: Name(key), Namespace: c.namespace, Labels: labels, Annotations: annotations},
		Spec:     old.Spec,
		Status:   status{State: "triggered", StartTime: now.UTC().Truncate(time.Second), Description: "Started by steward."},
	}, nil
}

func copyOf(m map[string]string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	for _, key := range ofOneRun {
		delete(out, key)
	}
	return out
}

// labelValue cuts a name as Prow does: the annotation of the same key has all of it.
func labelValue(name string) string {
	const most = 63
	if len(name) <= most {
		return name
	}
	return strings.TrimRight(name[:most], "._-")
}

// The bounds of a listing.
const (
	perPage  = 100
	maxPages = 100
)

// newest finds the run of a periodic job that started last. The API server pages in
// the order of names, so that all pages have to be read; one whose place in the list
// was forgotten meanwhile (410) begins anew, once.
func (c *Client) newest(ctx context.Context, job string) (prowJob, error) {
	found, err := c.newestOf(ctx, job)
	if hasStatus(err, http.StatusGone) {
		found, err = c.newestOf(ctx, job)
	}
	if err == nil && found.Metadata.Name == "" {
		err = ErrNoRun
	}
	return found, err
}

func (c *Client) newestOf(ctx context.Context, job string) (prowJob, error) {
	var best prowJob
	query := url.Values{
		"labelSelector": {labelJob + "=" + labelValue(job) + "," + labelType + "=" + periodic},
		"limit":         {strconv.Itoa(perPage)},
	}
	for range maxPages {
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []prowJob `json:"items"`
		}
		if err := c.call(ctx, http.MethodGet, query, nil, &page); err != nil {
			return prowJob{}, err
		}
		for _, item := range page.Items {
			if isRunOf(item, job) && item.Status.StartTime.After(best.Status.StartTime) {
				best = item
			}
		}
		if page.Metadata.Continue == "" {
			return best, nil
		}
		query.Set("continue", page.Metadata.Continue)
	}
	return prowJob{}, fmt.Errorf("there are more than %d runs", maxPages*perPage)
}

// isRunOf looks into the spec: labels are cut, and anybody's to set.
func isRunOf(item prowJob, job string) bool {
	var spec identity
	return json.Unmarshal(item.Spec, &spec) == nil && spec.Job == job && spec.Type == periodic && item.Metadata.Name != ""
}
