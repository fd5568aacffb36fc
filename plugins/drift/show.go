// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package drift

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/thread"
)

const (
	// answerLimit leaves room for further answers in the sticky.
	answerLimit = 20_000
	// lateFetch is how old a confirmation may be before it is mentioned: the report is
	// asked for every few minutes.
	lateFetch = 15 * time.Minute
)

// show answers `/infra drift [part…]`.
func (d drift) show(s *thread.Snapshot, c command.Call, l latest, now time.Time) command.Reply {
	if l.problem != "" {
		return unreadable(l)
	}
	parts := l.parts()
	for _, word := range c.Args {
		if !slices.Contains(parts, strings.ToLower(word)) {
			return noPart(word, parts)
		}
	}
	about, wanted := "Drift", l.Findings()
	if s.IsPull() {
		about, wanted = "Drift of what this changes", l.concerning(s)
	}
	wanted = slices.DeleteFunc(wanted, func(f finding.Finding) bool { return len(c.Args) > 0 && !named(c.Args, ack.Part(f.Rule)) })
	opts := l.Options()
	opts.Title, opts.Now, opts.Limit = about, now, answerLimit
	opts.Links, opts.Full = d.repository(s.Repo), d.Page(s.Repo)
	opts.Coverage = coverageOf(opts.Coverage, c.Args)
	var b strings.Builder
	if err := report.Write(&b, "markdown", wanted, opts); err != nil { // addresses in the settings are checked
		return command.Reply{Text: "The report cannot be shown: " + markdown.Text(err.Error()) + "."}
	}
	return command.Reply{Text: b.String() + rest(s, l, wanted) + l.lateness(now)}
}

func unreadable(l latest) command.Reply {
	return command.Reply{Text: fmt.Sprintf("The drift report cannot be read: %s.", markdown.Text(l.problem))}
}

// parts are the words that the command takes: what the report says it covers, and what
// the audit can cover at all.
func (l latest) parts() []string {
	parts := []string{"gcs", "images", "dns"}
	for _, c := range l.Coverage {
		if !slices.Contains(parts, c.Part) {
			parts = append(parts, c.Part)
		}
	}
	return parts
}

func noPart(word string, parts []string) command.Reply {
	text := fmt.Sprintf("There is no part %s.", markdown.Code(word))
	verbs := append(slices.Clone(parts), "accept", "rerun")
	if near := spell.Nearest(word, verbs); near != "" {
		text += fmt.Sprintf(" Did you mean %s?", markdown.Code(near))
	}
	return command.Reply{Text: fmt.Sprintf("%s The parts of the report are %s.", text, codes(parts))}
}

func codes(all []string) string {
	shown := make([]string, len(all))
	for i, s := range all {
		shown[i] = markdown.Code(s)
	}
	return strings.Join(shown, ", ")
}

func coverageOf(all []finding.Coverage, parts []string) []finding.Coverage {
	return slices.DeleteFunc(slices.Clone(all), func(c finding.Coverage) bool { return len(parts) > 0 && !named(parts, c.Part) })
}

func named(words []string, part string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, part) })
}

// concerning returns the findings about files that the pull request changes (D-1).
func (l latest) concerning(s *thread.Snapshot) []finding.Finding {
	changed := map[string]bool{}
	for _, path := range s.Changed() {
		changed[path] = true
	}
	var all []finding.Finding
	for _, item := range l.Items {
		if changed[item.File] {
			all = append(all, item.Finding)
		}
	}
	return all
}

// rest says what a pull request does not show: findings about other files, findings
// that name no file because they are private, and files that GitHub does not list.
func rest(s *thread.Snapshot, l latest, shown []finding.Finding) string {
	if !s.IsPull() {
		return ""
	}
	private := 0
	for _, item := range l.Items {
		if item.Visibility != finding.Public {
			private++
		}
	}
	text := ""
	if others := len(l.Items) - len(shown) - private; others > 0 {
		text += fmt.Sprintf("\n%d more concern other files: the command shows all of them on an issue.\n", others)
	}
	if private > 0 {
		text += fmt.Sprintf("\nPrivate ones, of which no file is named here: %d. Their owners read them in the private report.\n", private)
	}
	if s.FilesLost > 0 {
		text += fmt.Sprintf("\nGitHub does not list %d of the changed files, so findings about them are not shown.\n", s.FilesLost)
	}
	return text
}

// lateness says that the report could not be fetched for a while (D-3).
func (l latest) lateness(now time.Time) string {
	if now.Sub(l.fetched) < lateFetch {
		return ""
	}
	return fmt.Sprintf("\nThis is the report as it was fetched at %s; it could not be fetched again since.\n", instant(l.fetched))
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
