// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/thread"
)

// call answers one command line. A reply without text means that nothing is to
// be said: on a closed thread only the rows made for it speak (rule C-8).
func (d *decision) call(ctx context.Context, s *thread.Snapshot, b batch, c command.Call) (command.Reply, error) {
	row, known := d.row(b, c.Line.Verb)
	if row.Where&s.Where == 0 {
		return elsewhere(row, s.Where), nil
	}
	switch {
	case c.Line.Fault != "":
		return say("Not run: %s.", c.Line.Fault), nil
	case !known:
		return say("%s", command.Unknown(c.Line.Verb, d.families())), nil
	case row.Acts && s.Base != s.Default:
		return say("Not here: this command concerns the whole repository, and is judged by the OWNERS of %s only. "+
			"Say it on an issue, or on a pull request against that branch.", markdown.Code(s.Default)), nil
	case row.Acts && d.now.Sub(c.Comment.Created) > command.Freshness:
		return say("Expired: a command that acts is carried out within %d hours, and this one is older. Say it again if it is still meant.",
			int(command.Freshness.Hours())), nil
	}
	refusal, explainOnly, err := d.admit(ctx, s, row, c)
	if err != nil || refusal != "" {
		return command.Reply{Text: refusal}, err
	}
	reply, err := row.Run(ctx, s, c, d.now)
	switch {
	case err != nil:
		return command.Reply{}, err
	case reply.Text == "":
		return command.Reply{}, fmt.Errorf("command %s: the reply is empty", row.Verb)
	case explainOnly && len(reply.Actions) > 0:
		return command.Reply{}, fmt.Errorf("command %s: it acts although nobody's approval was checked", row.Verb)
	case !row.Acts && slices.ContainsFunc(reply.Actions, reachesOut):
		return command.Reply{}, fmt.Errorf("command %s: it acts although its row does not say so, so that it would never expire", row.Verb)
	}
	return reply, nil
}

// reachesOut tells actions that cannot be taken back by deciding anew.
func reachesOut(a thread.Action) bool {
	switch a.(type) {
	case thread.Pull, thread.StartJob, thread.PoolCall:
		return true
	}
	return false
}

func say(format string, args ...any) command.Reply {
	return command.Reply{Text: fmt.Sprintf(format, args...)}
}

// row finds the line's row. The help row depends on the repository, and stands
// in for unknown verbs where it says where they are answered.
func (d *decision) row(b batch, verb string) (row command.Row, known bool) {
	help := command.Help(d.families(), d.opts.Aliases)
	switch {
	case b.topic != command.Topic:
		return d.set.verbs[verb].row, true
	case verb == help.Verb:
		return help, true
	}
	return help, false
}

func (d *decision) families() []command.Family { return d.set.Families(d.opts.Enabled...) }

func elsewhere(row command.Row, where thread.Where) command.Reply {
	if where&openThread == 0 {
		return command.Reply{}
	}
	return say("Not here: %s works on %s.", markdown.Code(row.Usage()), row.Where)
}

// admit applies rule C-9. A refusal is the answer; explainOnly means that the
// call is about nothing an approver could be asked for, so that it may not act.
func (d *decision) admit(ctx context.Context, s *thread.Snapshot, row command.Row, c command.Call) (refusal string, explainOnly bool, err error) {
	author := c.Comment.Author
	if row.Who.NeedsMember() {
		yes, err := d.member(ctx, author)
		if err != nil {
			return "", false, err
		}
		if !yes {
			return fmt.Sprintf("Denied: %s is for %s, and GitHub does not list %s as a collaborator of this repository.",
				markdown.Code(row.Usage()), row.Who, markdown.Login(author)), false, nil
		}
	}
	paths, limited, err := row.Who.Paths(ctx, s, c)
	if err != nil || !limited {
		return "", false, err
	}
	if s.Owners == nil {
		return "", false, errors.New("OWNERS were not read")
	}
	var denied []acl.Explanation
	for _, p := range paths {
		if e := s.Owners.Explain(author, p); !e.Allowed {
			denied = append(denied, e)
		}
	}
	if len(denied) > 0 {
		return command.Refusal(author, denied), false, nil
	}
	return "", len(paths) == 0, nil
}

// rawShown bounds what a heading repeats of the command line, in characters.
const rawShown = 120

// heading says which command of whom the following text answers.
func heading(c thread.Comment, line command.Line) string {
	raw := line.Raw
	if utf8.RuneCountInString(raw) > rawShown {
		raw = string([]rune(raw)[:rawShown]) + "…"
	}
	return fmt.Sprintf("%s: [%s](#issuecomment-%d)", markdown.Login(c.Author), markdown.Code(strings.ToValidUTF8(raw, "\ufffd")), c.ID)
}
