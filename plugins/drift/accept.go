// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package drift

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

const acceptUsage = command.Prefix + " drift accept ID until DATE REASON…"

// concerned is what the author of an accept has to be an approver of: the file that
// declares what the finding is about (D-7). A call that names no public finding of the
// report is about nothing, and is run for its explanation.
func (d drift) concerned(ctx context.Context, s *thread.Snapshot, c command.Call) ([]string, error) {
	if len(c.Args) == 0 {
		return nil, nil
	}
	l, err := d.latest(ctx, s.Repo)
	if err != nil {
		return nil, err
	}
	item, ok := l.find(strings.ToLower(c.Args[0]))
	if !ok || item.Visibility != finding.Public {
		return nil, nil
	}
	return []string{ack.Declares(item.Finding)}, nil
}

// acceptFacts is the report and the acknowledgements at the base commit.
type acceptFacts struct {
	latest
	file    []byte
	problem string // of the file, for people
}

func (d drift) loadAccept(ctx context.Context, s *thread.Snapshot, _ command.Call) (acceptFacts, error) {
	l, err := d.latest(ctx, s.Repo)
	if err != nil {
		return acceptFacts{}, err
	}
	f := acceptFacts{latest: l}
	f.file, err = d.file(ctx, s.Repo, s.BaseCommit)
	if permanent(err) {
		f.problem, err = "it is no file that can be read", nil
	}
	return f, err
}

// permanent errors stay whenever the same commit is read.
func permanent(err error) bool {
	var size interface{ TooLarge() bool }
	return errors.Is(err, fs.ErrInvalid) || errors.As(err, &size) && size.TooLarge()
}

// accept opens the pull request with the entry.
func (d drift) accept(s *thread.Snapshot, c command.Call, f acceptFacts, now time.Time) command.Reply {
	item, refusal := f.accepted(c)
	if refusal != "" {
		return command.Reply{Text: refusal}
	}
	// A newer report may have come since the author was admitted.
	if e := s.Owners.Explain(c.Comment.Author, ack.Declares(item.Finding)); !e.Allowed {
		return command.Reply{Text: command.Refusal(c.Comment.Author, []acl.Explanation{e})}
	}
	entry, refusal := d.entry(s, c, item, now)
	if refusal != "" {
		return command.Reply{Text: refusal}
	}
	if slices.ContainsFunc(d.Unreviewed(), func(login string) bool { return strings.EqualFold(login, s.Bot) }) {
		return command.Reply{Text: fmt.Sprintf("Not done: pull requests of %s are merged without review, so it opens none. Add the entry to %s by hand.",
			markdown.Login(s.Bot), markdown.Code(ack.File))}
	}
	if old, ok := ack.Parse(f.file, now).Find(entry.ID); ok && old.State == entry.State && !old.Expires.Before(entry.Expires) {
		return command.Reply{Text: fmt.Sprintf("Nothing to do: %s has acknowledged it until %s already, in line %d of %s.",
			markdown.Login(old.ApprovedBy), old.Expires.Format(ack.Day), old.Line, markdown.Code(ack.File))}
	}
	if f.problem != "" {
		return unusable(f.problem)
	}
	content, err := ack.Add(f.file, entry)
	if err != nil {
		return unusable(err.Error())
	}
	pull := d.pull(s, c, item, entry, string(content))
	text := fmt.Sprintf("Opened %s: once it is merged, %s of %s is acknowledged until %s. It needs an approver of %s: %s.",
		thread.PullLink(pull.Branch), markdown.Code(item.Rule), markdown.Code(shown(item.Object)), entry.Expires.Format(ack.Day), markdown.Code(ack.File), people(s))
	return command.Reply{Text: text, Actions: []thread.Action{pull}}
}

func unusable(problem string) command.Reply {
	return command.Reply{Text: fmt.Sprintf("Not done: %s has to be mended first: %s.", markdown.Code(ack.File), markdown.Text(problem))}
}

// accepted finds the finding that a call names, or says why it cannot be acknowledged.
func (f acceptFacts) accepted(c command.Call) (item report.Item, refusal string) {
	if f.latest.problem != "" {
		return item, unreadable(f.latest).Text
	}
	if len(c.Args) == 0 {
		return item, fmt.Sprintf("Which finding? `%s`: `%s drift` shows the ids.", acceptUsage, command.Prefix)
	}
	id := strings.ToLower(c.Args[0])
	item, ok := f.find(id)
	switch {
	case !ok:
		return item, fmt.Sprintf("There is no finding %s in the latest report%s. `%s drift` shows what there is.", markdown.Code(clip(id)), f.made(), command.Prefix)
	case item.Visibility != finding.Public:
		return item, fmt.Sprintf("The finding %s is private: it is not acknowledged in public. Its owners (%s) decide about it in private.",
			markdown.Code(clip(id)), owners(item.Owners))
	case item.Altered:
		return item, fmt.Sprintf("The finding %s is not whole in the report, because a text in it is too long: it cannot be acknowledged from here.", markdown.Code(id))
	}
	return item, ""
}

func (l latest) made() string {
	if l.Ended.IsZero() {
		return ""
	}
	return ", which was made at " + instant(l.Ended)
}

func owners(logins []string) string {
	if len(logins) == 0 {
		return "nobody in OWNERS"
	}
	return markdown.Logins(logins, peopleShown)
}

const (
	peopleShown = 5
	wordShown   = 40
)

func clip(word string) string {
	if r := []rune(word); len(r) > wordShown {
		return string(r[:wordShown]) + "…"
	}
	return word
}

// entry reads the rest of the call: "until DATE REASON…".
func (d drift) entry(s *thread.Snapshot, c command.Call, item report.Item, now time.Time) (ack.Entry, string) {
	words := c.Args[1:]
	if len(words) < 2 || !strings.EqualFold(words[0], "until") {
		return ack.Entry{}, fmt.Sprintf("Until when? `%s`.", acceptUsage)
	}
	day, err := time.Parse(ack.Day, words[1])
	today := now.UTC().Truncate(24 * time.Hour)
	switch {
	case err != nil:
		return ack.Entry{}, fmt.Sprintf("%s is not a date such as %s.", markdown.Code(clip(words[1])), today.AddDate(0, 1, 0).Format(ack.Day))
	case !day.After(today):
		return ack.Entry{}, fmt.Sprintf("%s is not in the future.", words[1])
	case day.After(today.AddDate(0, 0, ack.MaxDays)):
		return ack.Entry{}, fmt.Sprintf("%s is more than %d days ahead; the last day is %s, and it can be renewed then.",
			words[1], ack.MaxDays, today.AddDate(0, 0, ack.MaxDays).Format(ack.Day))
	case len(words) == 2:
		return ack.Entry{}, fmt.Sprintf("Nothing is acknowledged without a reason: `%s`.", acceptUsage)
	}
	return ack.Entry{
		ID: item.ID, State: item.State, Rule: item.Rule, Object: item.Object, Reason: strings.Join(words[2:], " "),
		ApprovedBy: c.Comment.Author, Expires: day, Issue: d.comment(s, c),
	}, ""
}

// comment is the address of the comment that asks. Where the web addresses are not
// https it is left out, because the file takes no other.
func (d drift) comment(s *thread.Snapshot, c command.Call) string {
	address := fmt.Sprintf("%s/issues/%d#issuecomment-%d", d.repository(s.Repo), s.Number, c.Comment.ID)
	if !strings.HasPrefix(address, "https://") {
		return ""
	}
	return address
}

// pull is the pull request with the entry. Its title is made of what steward checked
// the form of; everything else stands escaped in its text.
func (d drift) pull(s *thread.Snapshot, c command.Call, item report.Item, e ack.Entry, content string) thread.Pull {
	day := e.Expires.Format(ack.Day)
	declares := ack.Declares(item.Finding)
	var b strings.Builder
	fmt.Fprintf(&b, "%s acknowledges a finding of the audit ([comment](%s/issues/%d#issuecomment-%d)):\n\n| | |\n|---|---|\n",
		markdown.Login(e.ApprovedBy), d.repository(s.Repo), s.Number, c.Comment.ID)
	for _, row := range [][2]string{
		{"finding", markdown.Cell(e.ID)}, {"rule", markdown.Cell(e.Rule)}, {"severity", item.Severity.String()}, {"object", markdown.Cell(shown(e.Object))},
		{"field", markdown.Cell(shown(item.Field))}, {"declared", markdown.Cell(shown(item.Declared))}, {"observed", markdown.Cell(shown(item.Observed))},
		{"what", markdown.Text(shown(item.Message))}, {"until", day}, {"reason", markdown.Text(e.Reason)},
	} {
		if row[1] != markdown.Cell("") {
			fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
		}
	}
	fmt.Fprintf(&b, "\nOnce this is merged, reports show the finding and nothing fails because of it, until %s is over or the finding changes. "+
		"%s may approve changes of %s, by OWNERS at %s. Closing this changes nothing.\n",
		day, markdown.Login(e.ApprovedBy), markdown.Code(declares), markdown.Code(command.Short(s.BaseCommit)))
	return thread.Pull{
		Branch: fmt.Sprintf("%s%s/accept-%s-%d", thread.BranchPrefix, Name, e.ID, c.Comment.ID),
		Base:   s.Default, Commit: s.BaseCommit,
		Title: fmt.Sprintf("Acknowledge drift %s until %s", e.ID, day), Text: b.String(),
		Files: []thread.Content{{Path: ack.File, Data: content}},
	}
}

// shown bounds a text of the report.
func shown(text string) string { return markdown.Clip(text, 500, "…") }

// people names who can approve the pull request.
func people(s *thread.Snapshot) string {
	if who := s.Owners.Responsible(ack.File); len(who) > 0 {
		return markdown.Logins(who, peopleShown)
	}
	return "nobody in OWNERS"
}
