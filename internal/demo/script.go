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

// step is one thing a person does, and what must be seen of it.
type step struct {
	title   string // explains what comes, before it happens
	restart bool   // steward-hook is down while it happens
	act     ghfake.Act
	answer  []string          // must be in what the bot answers
	context map[string]string // commit statuses of the pull request: name -> state
}

const zone = "dns/zone-configs/example.org._0_base.yaml"

func comment(who string, number int, text string) ghfake.Act {
	return ghfake.Act{As: who, Do: "comment", Number: number, Body: text}
}

// script is the conversation.
func script() []step {
	return []step{
		{
			title: "A pull request gets every required context at once; without them Tide merges nothing.",
			act: ghfake.Act{As: "rey", Do: "open-pull", Title: "Point www to the new web server",
				Files: map[string]string{zone: "www:\n  type: A\n  value: 192.0.2.20\n"}},
			context: map[string]string{"steward/owners": "success", "steward/freeze": "success"},
		},
		{
			title:  "Who may approve this? The answer names the file that decides, and why.",
			act:    comment("rey", 1, "/infra why @bob"),
			answer: []string{"bob", "dns/OWNERS", "dora"},
		},
		{
			title:  "A command that is refused says which OWNERS file would grant it, and who stands there.",
			act:    comment("bob", 1, "/infra freeze dns the registrar moves us tonight"),
			answer: []string{"Denied", "dns/OWNERS"},
		},
		{
			title:   "An approver of the folder freezes it. The pull request has to wait.",
			act:     comment("dora", 1, "/infra freeze dns the registrar moves us tonight"),
			answer:  []string{"dns"},
			context: map[string]string{"steward/owners": "success", "steward/freeze": "pending"},
		},
		{
			title:   "steward-hook is down. What is said meanwhile is found when it is back, and a typo is met with the nearest command.",
			restart: true,
			act:     comment("dora", 1, "/infra unfrezze dns"),
			answer:  []string{"unfreeze"},
		},
		{
			title:   "Several commands in one comment get one answer. Commands in code, quotes or edited comments do nothing.",
			act:     comment("dora", 1, "All done.\n\n```\n/infra freeze all\n```\n\n/infra unfreeze dns\n/infra frozen"),
			answer:  []string{"unfreeze dns", "frozen"},
			context: map[string]string{"steward/owners": "success", "steward/freeze": "success"},
		},
		{
			title: "Moving a file out of a restricted folder needs an approver of that folder. Prow does not look at this.",
			act: ghfake.Act{As: "mallory", Do: "open-pull", Title: "Tidy up",
				Renames: map[string]string{zone: "apps/perfdash/zone.yaml"}},
			context: map[string]string{"steward/owners": "failure", "steward/freeze": "success"},
		},
		{
			title:   "The folder's approver agrees to the move, in Prow's own words.",
			act:     comment("dora", 3, "/approve"),
			context: map[string]string{"steward/owners": "success", "steward/freeze": "success"},
		},
		{
			title: "A change of OWNERS is checked before it can lock people out, or let them in.",
			act: ghfake.Act{As: "rey", Do: "open-pull", Title: "More DNS people",
				Files: map[string]string{"dns/OWNERS": "options:\n  no_parent_owner: true\napprovers:\n- dns-admin\n"}},
			context: map[string]string{"steward/owners": "failure", "steward/freeze": "success"},
		},
	}
}

const next = `
Take part: write WHO NUMBER TEXT, as anyone of alice, bob (root approvers), dora
(dns), gina, pat, rey, ruth, sven, tom (members) or mallory (nobody). For example:

  alice 1 /infra help
  alice 1 /infra why @tom registry.k8s.io/images/staging-tools/images.yaml
  bob 1 /infra freeze all taking a look around
  pat 4 /infra why @dora dns/OWNERS

Ctrl-D or Ctrl-C ends it.`

func (s *stage) play(ctx context.Context, steps []step) error {
	var failed []error
	for i, st := range steps {
		s.say("\n%d. %s\n", i+1, st.title)
		if err := s.perform(ctx, st); err != nil {
			failed = append(failed, fmt.Errorf("step %d: %w", i+1, err))
		}
	}
	return errors.Join(failed...)
}

// perform lets somebody act, waits until steward has nothing more to do, and
// shows what it said.
func (s *stage) perform(ctx context.Context, st step) error {
	if st.restart {
		if err := s.stop(); err != nil {
			return err
		}
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
	switch a.Do {
	case "open-pull":
		s.say("   %s opens pull request %d, %q:", a.As, r.Number, a.Title)
		for old, now := range a.Renames {
			s.say("     renames %s to %s", old, now)
		}
		for path := range a.Files {
			s.say("     changes %s", path)
		}
	default:
		s.say("   %s on %d:", a.As, a.Number)
		s.block("     ", a.Body)
	}
}

// check shows the answer and the contexts, and compares them with what the step
// says must be there.
func (s *stage) check(ctx context.Context, st step, r ghfake.Result) error {
	number, comment := st.act.Number, r.ID
	if st.act.Do == "open-pull" {
		number, comment = r.Number, 0 // what stands there, instead of an answer
	}
	said, err := s.said(ctx, number, comment)
	if err != nil {
		return err
	}
	if said != "" {
		s.say("   steward:")
		s.block("     ", said)
	} else if st.context == nil {
		s.say("   (no answer: it is no command, or one that does not work there)")
	}
	var problems []error
	for _, want := range st.answer {
		if !strings.Contains(said, want) {
			problems = append(problems, fmt.Errorf("the answer does not say %q", want))
		}
	}
	if st.context == nil {
		return errors.Join(problems...)
	}
	have, err := s.contexts(ctx, number)
	if err != nil {
		return err
	}
	for _, c := range have {
		s.say("   %s %s: %s", symbols[c.State], c.Context, c.Description)
		if want := st.context[c.Context]; want != c.State {
			problems = append(problems, fmt.Errorf("%s is %s, want %s", c.Context, c.State, want))
		}
	}
	if len(have) < len(st.context) {
		problems = append(problems, fmt.Errorf("%d of %d contexts are missing", len(st.context)-len(have), len(st.context)))
	}
	return errors.Join(problems...)
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
// there is none, as plain text.
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
			parts = append(parts, plain(answer))
		case comment == 0:
			parts = append(parts, plain(c.Body))
		}
	}
	return strings.Join(parts, "\n\n"), nil
}

var (
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
