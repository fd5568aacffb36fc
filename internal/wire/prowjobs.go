// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/steward/internal/hub"
	"sigs.k8s.io/steward/internal/kube"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/thread"
	"sigs.k8s.io/steward/plugins"
)

// prowJobs starts the jobs that the settings name, and no others. Without a cluster it
// starts none.
type prowJobs struct {
	kube     *kube.Client // nil: no rights in a cluster
	settings func(thread.Repo) settings.Drift
}

// Job tells about the job that makes a repository's report. That it cannot be started
// from here is a hurdle to name; that the cluster does not answer now is an error.
func (p *prowJobs) Job(ctx context.Context, repo thread.Repo) (plugins.DriftJob, error) {
	conf := p.settings(repo)
	job := plugins.DriftJob{Name: conf.Job, Interval: time.Duration(conf.Interval)}
	if job.Name == "" {
		return job, nil
	}
	if p.kube == nil {
		job.Hurdle = "steward-hook has no rights in a cluster"
		return job, nil
	}
	last, err := p.kube.Last(ctx, job.Name)
	switch {
	case errors.Is(err, kube.ErrNoRun):
		job.Hurdle = fmt.Sprintf("no run of it is known in the namespace %s, so its form is not known", p.kube.Namespace())
	case kube.IsForbidden(err):
		job.Hurdle = "steward-hook may not look for ProwJobs in the namespace " + p.kube.Namespace()
	case err != nil:
		return job, err
	case !last.Done:
		job.Running = last.Started
	}
	return job, nil
}

// start creates the run. Whatever a plugin wants, the job has to be the one that the
// repository's settings name.
func (p *prowJobs) start(ctx context.Context, repo thread.Repo, w thread.CreateJob) error {
	if conf := p.settings(repo); conf.Job == "" || w.Job != conf.Job {
		return fmt.Errorf("start job %q: the settings of %s do not name it", w.Job, repo)
	}
	if p.kube == nil {
		return fmt.Errorf("start job %s: there are no rights in a cluster", w.Job)
	}
	return p.kube.Start(ctx, w.Job, repo.String()+"/"+w.Key, w.Why)
}

// performer sends each write to where it belongs: runs of jobs to Prow's cluster, what
// the pool is to do to the pool, everything else to GitHub.
type performer struct {
	hub  *hub.Client
	jobs *prowJobs
	pool *poolCalls
}

func (p *performer) Execute(ctx context.Context, s *thread.Snapshot, w thread.Write) error {
	switch w := w.(type) {
	case thread.CreateJob:
		return p.jobs.start(ctx, s.Repo, w)
	case thread.CallPool:
		return p.pool.call(ctx, s.Repo, w)
	}
	return p.hub.Execute(ctx, s, w)
}
