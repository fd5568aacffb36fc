// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package thread

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/markdown"
)

func TestKeyRoundTrip(t *testing.T) {
	k, err := ParseKey("kubernetes/k8s.io#12")
	if err != nil || k.String() != "kubernetes/k8s.io#12" {
		t.Fatalf("%v, %v", k, err)
	}
	for _, bad := range []string{"", "a#1", "a/b", "a/b#0", "a/b#x", "a/../b#1", "a/..#1", "./b#1", "a b/c#1", "a/b#-1"} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("ParseKey(%q) succeeded", bad)
		}
	}
}

func TestStampOrder(t *testing.T) {
	early, late := Stamp{1, 9}, Stamp{2, 1}
	if !late.After(early) || early.After(late) || early.After(early) || !(Stamp{1, 10}).After(early) {
		t.Error("stamps are ordered by time, then id")
	}
}

// github applies writes to a snapshot as GitHub would.
type github struct {
	next int64
	Snapshot
}

func (g *github) apply(writes []Write) {
	for _, w := range writes {
		switch w := w.(type) {
		case PostComment:
			g.next++
			g.Comments = append(g.Comments, Comment{ID: g.next, Author: "steward", Bot: true, Body: w.Body})
		case EditComment:
			for i := range g.Comments {
				if g.Comments[i].ID == w.ID {
					g.Comments[i].Body = w.Body
				}
			}
		case DeleteComment:
			kept := g.Comments[:0:0]
			for _, c := range g.Comments {
				if c.ID != w.ID {
					kept = append(kept, c)
				}
			}
			g.Comments = kept
		case PostStatus:
			g.Statuses[w.Context] = w.Status
		}
	}
}

func newGitHub() *github {
	return &github{next: 1000, Snapshot: Snapshot{
		Key: Key{Repo{"org", "repo"}, 1}, Where: OpenPull, Bot: "steward[bot]",
		Head: "c0ffee", Statuses: map[string]Status{}, Updated: time.Unix(1, 0),
	}}
}

func TestDiffOfWhatHoldsIsEmpty(t *testing.T) {
	g := newGitHub()
	actions := []Action{
		Status{Context: "steward/owners", State: Success, Description: strings.Repeat("ä", 200)},
		Sticky{Topic: "owners", Body: "standing\n\ntext"},
		Answer{Topic: "owners", Comment: 7, Body: "answer"},
	}
	first := Diff(&g.Snapshot, actions)
	if len(first) != 2 {
		t.Fatalf("writes %v", first)
	}
	if _, ok := first[1].(PostComment); !ok {
		t.Errorf("the answer is not written last: %v", first)
	}
	g.apply(first)
	if again := Diff(&g.Snapshot, actions); len(again) != 0 {
		t.Errorf("second diff: %v", again)
	}
	if n := utf8.RuneCountInString(g.Statuses["steward/owners"].Description); n != descriptionLimit {
		t.Errorf("description has %d characters", n)
	}
	if !g.Answered("owners")[7] || g.Answered("owners")[8] || g.Answered("drift")[7] {
		t.Error("Answered")
	}
}

// L-3: what a command asks of the world outside its thread is done before the answer says so, and once per key.
func TestPullsAndJobsComeBeforeTheAnswer(t *testing.T) {
	g := newGitHub()
	pull := func(branch, title string) Pull { return Pull{Branch: "steward/drift/" + branch, Title: title} }
	var got []string
	for _, w := range Diff(&g.Snapshot, []Action{
		Answer{"drift", 7, "done"}, StartJob{Job: "audit", Key: "drift/7", Why: "one\ntwo\u202e"},
		pull("a", "old"), pull("b", strings.Repeat("x", 300)), pull("a", " a\x00 title\n"),
		Status{Context: "c", State: Success}, Issue{Key: "drift/x"}, StartJob{Job: "audit", Key: "drift/7", Why: "again"},
		PoolCall{Key: "pool/7", Verb: PoolHeal, Reason: "old"}, PoolCall{Key: "pool/7", Verb: PoolHeal, Reason: "a\n\u202eb", For: strings.Repeat("x", 5000)},
	}) {
		text := fmt.Sprintf("%T", w)
		switch w := w.(type) {
		case CreatePull:
			text += " " + w.Branch + " " + w.Title[:min(len(w.Title), 10)]
		case CreateJob:
			text += " " + w.Key + " " + w.Why
		case CallPool:
			text += fmt.Sprintf(" %s %s %d", w.Key, w.Reason, utf8.RuneCountInString(w.For))
		}
		got = append(got, strings.TrimPrefix(text, "thread."))
	}
	want := []string{
		"CreateIssue", "PostStatus", "CreateJob drift/7 again", "CreatePull steward/drift/a a title", "CreatePull steward/drift/b xxxxxxxxxx", "CallPool pool/7 a b 250", "PostComment",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestLegalBranch(t *testing.T) {
	for name, want := range map[string]bool{
		"steward/drift/accept-0123456789abcdef-12": true,
		"": false, "main": false, "steward/drift": false, "steward/drift/": false, "steward/drift/a..b": false, "steward/drift/a/b": false,
		"steward/drift/A": false, "refs/heads/steward/drift/a": false, "steward/drift/a.lock": false, "steward/drift/a b": false, "steward/drift/a\n": false,
	} {
		if LegalBranch(name) != want {
			t.Errorf("LegalBranch(%q) = %t", name, !want)
		}
	}
}

func TestFillLinks(t *testing.T) {
	find := func(branch string) (string, bool) { return "[pull request 5](x)", branch == "steward/drift/a" }
	a, b := PullLink("steward/drift/a"), PullLink("steward/drift/b")
	for in, want := range map[string]string{
		"":                                  "",
		"none":                              "none",
		a:                                   "[pull request 5](x)",
		"a " + a + " b":                     "a [pull request 5](x) b",
		a + b + a:                           "[pull request 5](x)" + b + "[pull request 5](x)",
		"<!-- steward:pull steward/drift/a": "<!-- steward:pull steward/drift/a",
		markdown.Text(a) + markdown.Code(a): markdown.Text(a) + markdown.Code(a),
		sticky{topic: "drift", answers: map[int64]string{1: a}}.render(): sticky{topic: "drift", answers: map[int64]string{1: "[pull request 5](x)"}}.render(),
	} {
		if got := FillLinks(in, find); got != want {
			t.Errorf("FillLinks(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAnAnswerIsNeverRewritten(t *testing.T) {
	g := newGitHub()
	g.apply(Diff(&g.Snapshot, []Action{Answer{"owners", 7, "denied"}}))
	if w := Diff(&g.Snapshot, []Action{Answer{"owners", 7, "allowed"}}); len(w) != 0 {
		t.Errorf("writes %v", w)
	}
}

func TestTwoStickiesMergeIntoTheFirst(t *testing.T) {
	g := newGitHub()
	one := sticky{topic: "owners", answers: map[int64]string{1: "one"}}
	two := sticky{topic: "owners", answers: map[int64]string{2: "two"}, dropped: map[int64]bool{9: true}}
	g.Comments = []Comment{
		{ID: 50, Author: "steward", Bot: true, Body: two.render()},
		{ID: 40, Author: "Steward", Bot: true, Body: strings.ReplaceAll(one.render(), "\n", "\r\n")},
		{ID: 30, Author: "mallory", Body: two.render()},
		{ID: 20, Author: "steward", Body: two.render()}, // a user with the App's name
	}
	g.apply(Diff(&g.Snapshot, []Action{Answer{"owners", 3, "three"}}))
	var left []int64
	for _, c := range g.Comments {
		left = append(left, c.ID)
	}
	if !reflect.DeepEqual(left, []int64{40, 30, 20}) {
		t.Fatalf("comments left: %v", left)
	}
	for id := int64(1); id <= 4; id++ {
		if g.Answered("owners")[id] != (id <= 3) {
			t.Errorf("answered %d = %v", id, g.Answered("owners")[id])
		}
	}
}

// Two stickies become one even where nobody has anything to add.
func TestTwoStickiesMergeByThemselves(t *testing.T) {
	g := newGitHub()
	for id := range int64(2) {
		st := sticky{topic: "owners", answers: map[int64]string{id + 1: "x"}}
		g.Comments = append(g.Comments, Comment{ID: 10 + id, Author: "steward", Bot: true, Body: st.render()})
	}
	g.apply(Diff(&g.Snapshot, nil))
	if answered := g.Answered("owners"); len(g.Comments) != 1 || !answered[1] || !answered[2] {
		t.Errorf("comments %+v", g.Comments)
	}
}

// One record is made of several commands about it, and the newest counts.
func TestNewestIssueActionCounts(t *testing.T) {
	g := newGitHub()
	issue := func(unix int64, title string) Issue {
		return Issue{Key: "freeze/dns", Title: title, Stamp: Stamp{Unix: unix}}
	}
	writes := Diff(&g.Snapshot, []Action{issue(2, "new"), issue(3, "newest"), issue(1, "old"), issue(3, "newest")})
	if len(writes) != 1 || writes[0].(CreateIssue).Title != "newest" {
		t.Errorf("writes %v", writes)
	}
}

func TestEmptyStickyIsRemovedButNeverItsRecord(t *testing.T) {
	g := newGitHub()
	g.apply(Diff(&g.Snapshot, []Action{Sticky{"owners", "fault"}}))
	g.apply(Diff(&g.Snapshot, []Action{Sticky{"owners", ""}}))
	if len(g.Comments) != 0 {
		t.Errorf("comments %v", g.Comments)
	}
	g.apply(Diff(&g.Snapshot, []Action{Sticky{"owners", "fault"}, Answer{"owners", 5, "x"}}))
	g.apply(Diff(&g.Snapshot, []Action{Sticky{"owners", ""}}))
	if !g.Answered("owners")[5] {
		t.Error("the record of an answer went with the standing part")
	}
}

// An answer that no longer fits is dropped, and still counts as given.
func TestStickyStaysBelowTheLimit(t *testing.T) {
	g := newGitHub()
	for id := int64(1); id <= 200; id++ {
		body := strings.Repeat("wörter und mehr\n", 1+int(id*37%600))
		g.apply(Diff(&g.Snapshot, []Action{Sticky{"owners", strings.Repeat("x\n", int(id)*200)}, Answer{"owners", id, body}}))
		answered := g.Answered("owners")
		for _, old := range []int64{1, id / 2, id - 50, id - 49, id} {
			if old < 1 {
				continue
			}
			if !answered[old] {
				t.Fatalf("after %d, %d counts as unanswered", id, old)
			}
		}
		if n := utf8.RuneCountInString(g.Comments[0].Body); n > markdown.Limit {
			t.Fatalf("after %d the body has %d characters", id, n)
		}
	}
	if len(g.Comments) != 1 {
		t.Errorf("%d comments", len(g.Comments))
	}
}

// Any order and repetition of the same actions ends in the same thread.
func TestOrderOfActionsDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var want string
	for round := range 200 {
		g := newGitHub()
		ids := rng.Perm(15)
		for _, id := range append(ids, ids[:5]...) {
			a := Answer{"owners", int64(id + 1), fmt.Sprintf("answer %d", id)}
			g.apply(Diff(&g.Snapshot, []Action{a, Status{Context: "c", State: Success}}))
		}
		if round == 0 {
			want = g.Comments[0].Body
		}
		if len(g.Comments) != 1 || g.Comments[0].Body != want {
			t.Fatalf("round %d:\n%s\nwant\n%s", round, g.Comments[0].Body, want)
		}
	}
}

func FuzzSticky(f *testing.F) {
	f.Add(sticky{topic: "owners", standing: "a", answers: map[int64]string{1: "x"}}.render())
	f.Add("<!-- steward:owners v1 dropped= -->\n<!-- steward:answer 1 -->\n")
	f.Fuzz(func(t *testing.T, body string) {
		st, ok := parseSticky(body)
		if !ok {
			return
		}
		again, ok := parseSticky(st.render())
		if !ok || again.topic != st.topic {
			t.Fatalf("render of %q does not parse", body)
		}
		for id := range st.answers {
			if _, kept := again.answers[id]; !kept && !again.dropped[id] {
				t.Errorf("answer %d was lost", id)
			}
		}
	})
}

func TestOwn(t *testing.T) {
	for _, tt := range []struct {
		bot, author string
		kind, want  bool
	}{
		{"steward[bot]", "Steward", true, true},
		{"steward[bot]", "steward", false, false}, // a user with the App's name
		{"robot", "robot", false, true},
		{"robot", "robot", true, false},
		{"robot", "mallory", false, false},
	} {
		if s := (&Snapshot{Bot: tt.bot, Author: tt.author, AuthorBot: tt.kind}); s.Own() != tt.want {
			t.Errorf("%+v", tt)
		}
	}
}
