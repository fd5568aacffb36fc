// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/thread"
)

// typed is a comment of a random conversation.
type typed struct {
	thread int
	second int64
	author string
	body   string
}

// conversation is random commands of several people on three threads, in the
// order of GitHub's time.
func conversation(rng *rand.Rand) []typed {
	bodies := []string{
		"/infra freeze dns reason %d", "/infra unfreeze dns", "/infra freeze all reason %d", "/infra unfreeze all done",
		"/infra freeze dns reason %d\n\n/infra unfreeze dns", "/infra freeze promotion %d", "/infra frozen", "/why", "/infra whi",
		"/infra freeze dns\n/infra why @bob dns/", "no command %d", "/drift", "/drift rerun",
		"/infra drift accept b70c31ebee0f68d3 until 2026-03-01 reason %d", "/drift accept 221d7f900a61b2ef until 2026-02-01 %d\n\n/drift gcs",
		"```\n/infra freeze all %d\n```",
	}
	authors := []string{"alice", "dora", "bob", "mallory"}
	var all []typed
	for second := range int64(14) {
		body := bodies[rng.IntN(len(bodies))]
		if strings.Contains(body, "%d") {
			body = fmt.Sprintf(body, second)
		}
		all = append(all, typed{1 + rng.IntN(3), second + 1, authors[rng.IntN(len(authors))], body})
	}
	return all
}

func newConversation(t *testing.T) *world {
	w := newWorld(t)
	w.pull(1)
	w.pull(2).Files = []thread.File{{Path: "OWNERS.md"}, {Path: "moved", Previous: "registry.k8s.io/x", Status: "renamed"}}
	w.issue(3)
	return w
}

// state is all that must not depend on the order of events: what the records and
// statuses say, and which comments were answered under which topics.
func (w *world) state() string {
	var b strings.Builder
	for _, scope := range []string{"all", "dns", "promotion"} {
		first, _ := (&thread.Snapshot{Records: slices.Collect(maps.Values(w.records))}).Record(freeze.Key(scope))
		fmt.Fprintf(&b, "%s: %s open=%t %d %s\n", scope, first.Title, first.Open, first.Stamp.Comment, first.Data)
	}
	for _, branch := range slices.Sorted(maps.Keys(w.pulls)) {
		fmt.Fprintf(&b, "%+v\n", w.pulls[branch].Pull)
	}
	for _, key := range slices.Sorted(maps.Keys(w.jobs)) {
		fmt.Fprintf(&b, "%+v\n", w.jobs[key])
	}
	for number := 1; number <= 3; number++ {
		s := w.threads[number]
		for _, c := range []string{"steward/owners", "steward/freeze", "steward/drift"} {
			fmt.Fprintf(&b, "%d %s %s\n", number, c, w.status(number, c))
		}
		stickies := map[string]int{}
		for _, c := range s.Comments {
			if topic := thread.StickyTopic(c.Body); topic != "" {
				stickies[topic]++
			}
		}
		fmt.Fprintf(&b, "%d %v\n", number, stickies)
		for _, c := range s.Comments {
			for _, topic := range []string{"infra", "owners", "freeze", "drift"} {
				if !c.Bot && s.Answered(topic)[c.ID] {
					fmt.Fprintf(&b, "%d %d %s\n", number, c.ID, topic)
				}
			}
		}
	}
	return b.String()
}

// C-6: comments that arrive late, passes that see a part of them, reads that
// fail, processes that die between two writes and processes that race all end in
// the same state.
func TestOrderOfEventsDoesNotMatter(t *testing.T) {
	rounds := uint64(150)
	if testing.Short() {
		rounds = 20
	}
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(seed, 7))
		all := conversation(rng)
		straight := newConversation(t)
		for _, c := range all {
			straight.say(c.thread, c.second, c.author, c.body)
			straight.settle()
		}
		w := newConversation(t)
		for _, i := range rng.Perm(len(all)) {
			c := all[i]
			w.say(c.thread, c.second, c.author, c.body)
			w.disturb(rng)
		}
		w.settle()
		if got, want := w.state(), straight.state(); got != want {
			t.Fatalf("seed %d: %v\nends in\n%s\nwant\n%s", seed, all, got, want)
		}
	}
}

// disturb looks at random threads as a server in trouble would.
func (w *world) disturb(rng *rand.Rand) {
	w.broken = []string{"", "", "owners", "file", "member", "job"}[rng.IntN(6)]
	number, other := 1+rng.IntN(3), 1+rng.IntN(3)
	switch rng.IntN(4) {
	case 0: // a process dies after some of its writes
		writes := w.writes(number)
		for _, write := range writes[:rng.IntN(len(writes)+1)] {
			w.perform(number, write)
		}
	case 1: // two processes see the same state
		mine, theirs := w.writes(number), w.writes(other)
		for _, write := range mine {
			w.perform(number, write)
		}
		for _, write := range theirs {
			if w.stillThere(other, write) {
				w.perform(other, write)
			}
		}
	default:
		_, _ = w.look(number) // fails where a read is broken
	}
	w.broken = ""
}

func (w *world) writes(number int) []thread.Write {
	s := w.snapshot(number)
	actions, _ := w.set.Decide(w.t.Context(), s, w.options(), w.now)
	return thread.Diff(s, actions)
}

// stillThere is false for writes that GitHub would refuse or ignore.
func (w *world) stillThere(number int, write thread.Write) bool {
	var id int64
	switch write := write.(type) {
	case thread.EditComment:
		id = write.ID
	case thread.DeleteComment:
		id = write.ID
	case thread.EditIssue:
		// A process that acts on old knowledge may undo a newer record. The
		// executor reads a record again before it writes; so does this.
		return !w.records[write.Number].Stamp.After(write.Stamp)
	default:
		return true
	}
	return slices.ContainsFunc(w.threads[number].Comments, func(c thread.Comment) bool { return c.ID == id })
}

// Whole threads are equal, texts included, when the comments arrive in order:
// how many of them one pass sees makes no difference.
func TestPartitionDoesNotMatter(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 9))
		all := conversation(rng)
		for i := range all {
			all[i].thread = 1
		}
		ends := map[string]bool{}
		for range 4 {
			w := newWorld(t)
			w.pull(1)
			for _, c := range all {
				w.say(c.thread, c.second, c.author, c.body)
				for range rng.IntN(3) {
					if _, err := w.look(1); err != nil {
						t.Fatal(err)
					}
				}
			}
			w.settle()
			ends[w.sticky(1, "infra")+w.sticky(1, "owners")+w.sticky(1, "freeze")+w.sticky(1, "drift")+w.record("freeze/dns")+w.record("freeze/all")] = true
		}
		if len(ends) != 1 {
			t.Fatalf("seed %d: %v ends in %d ways:\n%s", seed, all, len(ends), strings.Join(slices.Sorted(maps.Keys(ends)), "\n====\n"))
		}
	}
}

func TestDecidingAgainChangesNothing(t *testing.T) {
	for seed := range uint64(30) {
		w := newConversation(t)
		for _, c := range conversation(rand.New(rand.NewPCG(seed, 3))) {
			w.say(c.thread, c.second, c.author, c.body)
		}
		w.settle()
		for number := range w.threads {
			if writes := w.writes(number); len(writes) != 0 {
				t.Fatalf("seed %d: thread %d lacks %v", seed, number, writes)
			}
		}
	}
}
