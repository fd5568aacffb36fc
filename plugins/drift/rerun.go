// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package drift

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/thread"
)

// rerunFacts is the job beside the report that it made last.
type rerunFacts struct {
	job thread.PeriodicJob
	latest
}

func (d drift) loadRerun(ctx context.Context, s *thread.Snapshot, _ command.Call) (rerunFacts, error) {
	job, err := d.Jobs.Job(ctx, s.Repo)
	if err != nil {
		return rerunFacts{}, err
	}
	l, err := d.latest(ctx, s.Repo)
	return rerunFacts{job, l}, err
}

// rerun starts the job, unless a run is under way or nobody may start one from here.
// Then it says which job makes the next report, and when.
func (d drift) rerun(s *thread.Snapshot, c command.Call, f rerunFacts, now time.Time) command.Reply {
	name := markdown.Code(f.job.Name)
	switch {
	case f.job.Name == "":
		return command.Reply{Text: "The settings of this repository name no job that makes its report: ask whoever runs the audit."}
	case !f.job.Running.IsZero():
		return command.Reply{Text: fmt.Sprintf("%s runs since %s, so it was not started again.", name, instant(f.job.Running))}
	case f.job.Hurdle != "":
		return command.Reply{Text: fmt.Sprintf("Not started: %s. %s makes the next report by itself%s.", markdown.Text(f.job.Hurdle), name, f.due(now))}
	}
	start := thread.StartJob{
		Job: f.job.Name, Key: fmt.Sprintf("%s/rerun-%d", Name, c.Comment.ID),
		Why: fmt.Sprintf("%s asked for it in %s, comment %d, as approver by OWNERS at %s", c.Comment.Author, s.Key, c.Comment.ID, s.BaseCommit),
	}
	text := fmt.Sprintf("%s is started. `%s drift` shows its report when it is done.", name, command.Prefix)
	return command.Reply{Text: text, Actions: []thread.Action{start}}
}

// due is when the next run should start, as far as that is known.
func (f rerunFacts) due(now time.Time) string {
	every := f.job.Every()
	if every == "" {
		return ""
	}
	if f.Report == nil || f.Started.IsZero() {
		return every
	}
	next := f.Started.Add(f.job.Interval)
	if next.Before(now) {
		return every + fmt.Sprintf("; it started last at %s and is late", instant(f.Started))
	}
	return every + fmt.Sprintf(", next at about %s", instant(next))
}
