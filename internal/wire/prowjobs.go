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
)

// prowJobs starts the jobs that the settings name, and no others. Without a cluster it
// starts none.
type prowJobs struct {
	kube     *kube.Client // nil: no rights in a cluster
	settings func(thread.Repo) settings.Repo
}

// about tells about one of these jobs. That it cannot be started from here is a hurdle to
// name; that the cluster does not answer now is an error.
func (p *prowJobs) about(ctx context.Context, name string, interval settings.Duration) (thread.PeriodicJob, error) {
	job := thread.PeriodicJob{Name: name, Interval: time.Duration(interval)}
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

// reportJobs is the job that makes a repository's report.
type reportJobs struct{ *prowJobs }

// Job implements drift.Jobs.
func (j reportJobs) Job(ctx context.Context, repo thread.Repo) (thread.PeriodicJob, error) {
	conf := j.settings(repo).Drift
	return j.about(ctx, conf.Job, conf.Interval)
}

// promoteJobs is the job that promotes what a repository declares.
type promoteJobs struct{ *prowJobs }

// Job implements promote.Jobs.
func (j promoteJobs) Job(ctx context.Context, repo thread.Repo) (thread.PeriodicJob, error) {
	conf := j.settings(repo).Promote
	return j.about(ctx, conf.Job, conf.Interval)
}

// start creates the run. Whatever a plugin wants, the job has to be one that the
// repository's settings name.
func (p *prowJobs) start(ctx context.Context, repo thread.Repo, w thread.CreateJob) error {
	if conf := p.settings(repo); w.Job == "" || w.Job != conf.Drift.Job && w.Job != conf.Promote.Job {
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
