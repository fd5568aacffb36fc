// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/thread"
)

// Jobs tells about the job that promotes what a repository declares. An error means that it is not known now.
type Jobs interface {
	Job(ctx context.Context, repo thread.Repo) (thread.PeriodicJob, error)
}

// retried are the folders whose people may have a promotion run again: of the project that is named, or of all
// that the pull request touched. A call that is about none may not act.
func (p promote) retried(s *thread.Snapshot, c command.Call) []string {
	tree := p.Settings(s.Repo).Tree
	var folders []string
	for _, project := range projects(tree, s) {
		if len(c.Args) == 0 || len(c.Args) == 1 && c.Args[0] == project {
			folders = append(folders, path.Join(tree, "images", project))
		}
	}
	return folders
}

// projects are those whose files a pull request changes, sorted.
func projects(tree string, s *thread.Snapshot) []string {
	var all []string
	for _, file := range s.Changed() {
		if project, ok := projectOf(tree, file); ok {
			all = append(all, project)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p promote) loadRetry(ctx context.Context, s *thread.Snapshot, _ command.Call) (thread.PeriodicJob, error) {
	return p.Jobs.Job(ctx, s.Repo)
}

// retry starts the job that promotes all that is missing, unless a run is under way or nobody may start one from
// here. Then it says which job does it, and when.
func (p promote) retry(s *thread.Snapshot, c command.Call, job thread.PeriodicJob, _ time.Time) command.Reply {
	touched, name := projects(p.Settings(s.Repo).Tree, s), markdown.Code(job.Name)
	say := func(format string, args ...any) command.Reply {
		return command.Reply{Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(touched) == 0:
		return say("Nothing was promoted by this: ask on a merged pull request that changed promoter manifests.")
	case len(c.Args) > 1 || len(c.Args) == 1 && !slices.Contains(touched, c.Args[0]):
		text := fmt.Sprintf("This pull request changed nothing of %s.", markdown.Code(strings.Join(c.Args, " ")))
		if near := spell.Nearest(c.Args[0], touched); near != "" {
			text += fmt.Sprintf(" Did you mean %s?", markdown.Code(near))
		}
		return command.Reply{Text: text}
	case job.Name == "":
		return say("The settings of this repository name no job that promotes: ask whoever runs promotion.")
	case !job.Running.IsZero():
		return say("%s runs since %s, and does what is left of every project.", name, job.Running.UTC().Format("2006-01-02 15:04 MST"))
	case job.Hurdle != "":
		return say("Not started: %s. %s does what is left by itself%s.", markdown.Text(job.Hurdle), name, job.Every())
	}
	return command.Reply{
		Text: fmt.Sprintf("%s is started. It looks at all that is declared, and copies what a mirror lacks.", name),
		Actions: []thread.Action{thread.StartJob{
			Job: job.Name, Key: fmt.Sprintf("%s/retry-%d", Name, c.Comment.ID),
			Why: fmt.Sprintf("%s asked for it in %s, comment %d, as approver by OWNERS at %s", c.Comment.Author, s.Key, c.Comment.ID, s.BaseCommit),
		}},
	}
}
