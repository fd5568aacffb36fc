// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/steward/internal/ghfake"
)

func (s *stage) play(ctx context.Context, steps []step) error {
	var failed []error
	for i, st := range steps {
		s.say("\n%d. %s\n", i+1, st.title)
		s.page.begin(st.title)
		if err := s.perform(ctx, st); err != nil {
			failed = append(failed, fmt.Errorf("step %d: %w", i+1, err))
		}
	}
	return errors.Join(failed...)
}

// perform lets a step happen and compares what is seen with what must be.
func (s *stage) perform(ctx context.Context, st step) error {
	if st.git {
		if _, err := s.export(); errors.Is(err, ghfake.ErrNoGit) {
			s.say("   (left out: the janitor reads a commit, and there is no git here)")
			return nil
		}
	}
	switch {
	case len(st.changes) > 0:
		return s.change(ctx, st.changes)
	case len(st.run) > 0:
		return s.job(ctx, st)
	case st.do != nil:
		text, err := st.do(ctx, s)
		if err != nil {
			return err
		}
		s.block("   ", text)
		s.page.add(line{Who: "outside", Kind: "person", Text: text})
		return errors.Join(missing(text, st.answer)...)
	}
	return s.talkStep(ctx, st)
}

// change lets something happen to the cloud.
func (s *stage) change(ctx context.Context, changes []change) error {
	for _, c := range changes {
		if err := post(ctx, s.cloud.at.URL+"/_fake/"+c.path, []byte(c.body)); err != nil {
			return err
		}
		if c.told != "" {
			s.say("   %s", c.told)
			s.page.add(line{Who: "outside", Kind: "person", Text: c.told})
		}
	}
	return nil
}

// job runs steward as a periodic job does.
func (s *stage) job(ctx context.Context, st step) error {
	shown := "steward " + strings.Join(st.run, " ")
	run := func() (string, int, error) { return s.steward(ctx, st.run...) }
	if st.run[0] == "pool" {
		run = func() (string, int, error) { return execute(ctx, s.poolArgs(st.run)...) }
	}
	if st.run[0] == "promote" {
		run = func() (string, int, error) {
			args, err := s.promoteArgs(st.run)
			if err != nil {
				return "", 0, err
			}
			return execute(ctx, args...)
		}
	}
	if st.run[0] == "audit" {
		shown, run = "steward audit run", func() (string, int, error) { return s.audit(ctx) }
	}
	out, code, err := run()
	if errors.Is(err, ghfake.ErrNoGit) {
		s.say("   (%s is left out: it reads a commit, and there is no git here)", shown)
		return nil
	}
	if err != nil {
		return err
	}
	out = strings.TrimSpace(out)
	s.say("   $ %s", shown)
	s.block("     ", out)
	s.say("   exit code %d", code)
	s.page.add(line{Who: "periodic job", Kind: "run", Text: fmt.Sprintf("$ %s\n%s\nexit code %d", shown, out, code)})
	problems := missing(out, st.answer)
	if code != st.code {
		problems = append(problems, fmt.Errorf("%s ends with %d, want %d", shown, code, st.code))
	}
	return errors.Join(problems...)
}

// talkStep lets somebody act on GitHub and waits until steward has nothing more to do.
func (s *stage) talkStep(ctx context.Context, st step) (err error) {
	if st.restart {
		if err := s.stop(); err != nil {
			return err
		}
	}
	if st.act.Body, err = s.fill(st.act.Body); err != nil {
		return err
	}
	st.act.Repo = repo
	result, err := s.fake.Act(st.act)
	if err != nil {
		return err
	}
	s.showAct(st.act, result)
	if st.restart {
		s.say("   (steward-hook starts again)")
		if err := s.start(ctx); err != nil {
			return err
		}
		if err := post(ctx, "http://"+s.hook.addresses.Debug+"/reconcile", []byte{}); err != nil {
			return err
		}
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	return s.check(ctx, st, result)
}

func (s *stage) showAct(a ghfake.Act, r ghfake.Result) {
	var told []string
	switch a.Do {
	case "open-pull":
		told = append(told, fmt.Sprintf("opens pull request %d, %q:", r.Number, a.Title))
		for old, now := range a.Renames {
			told = append(told, fmt.Sprintf("  renames %s to %s", old, now))
		}
		for path := range a.Files {
			told = append(told, "  changes "+path)
		}
	case "merge":
		told = append(told, fmt.Sprintf("merges pull request %d", a.Number))
	default:
		told = append(told, fmt.Sprintf("on %d:", a.Number))
		for text := range strings.Lines(a.Body) {
			told = append(told, "  "+strings.TrimRight(text, "\n"))
		}
	}
	s.say("   %s %s", a.As, told[0])
	s.block("   ", strings.Join(told[1:], "\n"))
	s.page.add(line{Who: a.As, Kind: "person", Text: strings.Join(told, "\n")})
}

// check shows the answer and the contexts, and compares them with what the step
// says must be there.
func (s *stage) check(ctx context.Context, st step, r ghfake.Result) error {
	number, comment := st.act.Number, r.ID
	if st.act.Do == "open-pull" {
		number, comment = r.Number, 0 // what stands there, instead of an answer
	}
	if st.act.Do == "merge" {
		return nil
	}
	source, err := s.said(ctx, number, comment)
	if err != nil {
		return err
	}
	said := plain(source)
	if said != "" {
		s.say("   steward:")
		s.block("     ", said)
		s.page.add(line{Who: "steward", Kind: "steward", HTML: rendered(source)})
	} else if st.context == nil {
		s.say("   (no answer: it is no command, or one that does not work there)")
	}
	problems := missing(said, st.answer)
	if st.context == nil {
		return errors.Join(problems...)
	}
	have, err := s.contexts(ctx, number)
	if err != nil {
		return err
	}
	for _, c := range have {
		text := fmt.Sprintf("%s %s: %s", symbols[c.State], c.Context, c.Description)
		s.say("   %s", text)
		s.page.add(line{Kind: c.State, Text: text})
		if want := st.context[c.Context]; want != c.State {
			problems = append(problems, fmt.Errorf("%s is %s, want %s", c.Context, c.State, want))
		}
	}
	if len(have) < len(st.context) {
		problems = append(problems, fmt.Errorf("%d of %d contexts are missing", len(st.context)-len(have), len(st.context)))
	}
	return errors.Join(problems...)
}

func missing(said string, want []string) []error {
	var problems []error
	for _, w := range want {
		if !strings.Contains(said, w) {
			problems = append(problems, fmt.Errorf("the answer does not say %q", w))
		}
	}
	return problems
}

var symbols = map[string]string{"success": "✔", "failure": "✘", "pending": "…", "error": "✘"}

func (s *stage) block(indent, text string) {
	for line := range strings.Lines(text) {
		s.say("%s", strings.TrimRight(indent+strings.TrimRight(line, "\n"), " "))
	}
}

type status struct{ Context, State, Description string }

func (s *stage) contexts(ctx context.Context, number int) ([]status, error) {
	var pull struct{ Head struct{ SHA string } }
	if err := s.get(ctx, fmt.Sprintf("/repos/%s/pulls/%d", repo, number), &pull); err != nil {
		return nil, err
	}
	var combined struct{ Statuses []status }
	err := s.get(ctx, "/repos/"+repo+"/commits/"+pull.Head.SHA+"/status", &combined)
	return combined.Statuses, err
}

// said is what the stickies of a thread say about a comment, or as a whole where
// there is none, as Markdown.
func (s *stage) said(ctx context.Context, number int, comment int64) (string, error) {
	var comments []struct{ Body string }
	if err := s.get(ctx, fmt.Sprintf("/repos/%s/issues/%d/comments?per_page=100", repo, number), &comments); err != nil {
		return "", err
	}
	var parts []string
	for _, c := range comments {
		if !strings.HasPrefix(c.Body, "<!-- steward:") {
			continue
		}
		_, answer, found := strings.Cut(c.Body, fmt.Sprintf("<!-- steward:answer %d -->\n", comment))
		switch {
		case found:
			answer, _, _ = strings.Cut(answer, "<!-- steward:")
			parts = append(parts, answer)
		case comment == 0:
			parts = append(parts, c.Body)
		}
	}
	return strings.Join(parts, "\n\n"), nil
}

var (
	placeholder = regexp.MustCompile(`\{(id \S+ \S+|in \d+ days)\}`)

	hidden = regexp.MustCompile(`<!--.*?-->\n?`)
	links  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	escape = regexp.MustCompile("\\\\([\\\\_*\\[\\]!|~$`])")
)

// plain is Markdown as a person sees it, roughly.
func plain(markdown string) string {
	text := hidden.ReplaceAllString(markdown, "")
	text = links.ReplaceAllString(text, "$1")
	text = escape.ReplaceAllString(text, "$1")
	text = strings.NewReplacer("&#58;", ":", "&lt;", "<", "&gt;", ">", "&amp;", "&", "`", "", "<br>", "\n       ", "\u2060", "").Replace(text)
	return strings.TrimSpace(text)
}
