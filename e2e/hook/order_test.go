// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

const (
	orderSeeds = 10
	orders     = 3 // besides the straight one
)

// C-6, H-6, R-1: whatever the order in which webhooks arrive, twice or never, GitHub ends in the same state. The
// straight delivery of each scenario is compared with delivery in random order, with duplicates, and with losses that
// a pass heals.
func TestOrder(t *testing.T) {
	for seed := range uint64(orderSeeds) {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed=%d/late=%t", seed, late), func(t *testing.T) {
				want := play(t, seed, late, (*postman).straight)
				for order := range uint64(orders) {
					rng := rand.New(rand.NewPCG(seed, order))
					got := play(t, seed, late, func(p *postman) { p.disorder(rng) })
					if got != want {
						t.Fatalf("order %d: %s", order, difference(got, want))
					}
				}
			})
		}
	}
}

// play performs a scenario in a world of its own and returns how GitHub ends. The events of a late scenario arrive
// when everything has happened; then threads are also closed and comments edited, which decide what a command that
// was not seen before still does (C-5, C-8).
func play(t *testing.T, seed uint64, late bool, deliver func(*postman)) string {
	g := startGitHub(t, small)
	s := startSteward(t, g, settings, debugLog)
	s.idle() // after the pass at the start: from now on it sees what it is sent
	p := newPostman(t, g, s)
	rng := rand.New(rand.NewPCG(seed, 11))
	var said []int64
	for step := range 14 {
		act := scene(rng, step, late, said)
		if done := g.act(act); act.Do == "comment" {
			said = append(said, done.ID)
		}
		if !late {
			deliver(p)
		}
	}
	for p.waiting() > 0 {
		deliver(p)
		s.idle()
		g.delivered()
	}
	s.reconcile() // heals what was dropped, the events of its own writes included
	settle(g, s)
	for p.waiting() > 0 {
		p.straight()
	}
	s.noDeadLetters()
	return g.ending(said, late)
}

// scene is what happens next.
func scene(rng *rand.Rand, step int, late bool, said []int64) ghfake.Act {
	who := []string{"alice", "bob", "dora", "mallory"}[rng.IntN(4)]
	number := 1 + rng.IntN(3)
	switch dice := rng.IntN(10); {
	case late && dice == 0 && len(said) > 0:
		return ghfake.Act{As: "alice", Do: "edit-comment", Repo: repo, ID: said[rng.IntN(len(said))], Body: "/infra why @dora ."}
	case late && dice == 1:
		return ghfake.Act{As: "alice", Do: []string{"close", "reopen"}[rng.IntN(2)], Repo: repo, Number: number}
	case dice == 2:
		files := map[string]string{[]string{"dns/zone.yaml", "apps/web.yaml", "dns/OWNERS"}[rng.IntN(3)]: fmt.Sprintf("approvers: [user%d]\n", step)}
		return ghfake.Act{As: "alice", Do: "push", Repo: repo, Number: 1 + rng.IntN(2), Files: files}
	}
	phrase := phrases()[rng.IntN(len(phrases()))].body
	return ghfake.Act{As: who, Do: "comment", Repo: repo, Number: number, Body: strings.ReplaceAll(phrase, "REASON", fmt.Sprint("reason ", step))}
}

// postman takes GitHub's webhooks and delivers them as it likes.
type postman struct {
	t  *testing.T
	g  *github
	s  *steward
	mu sync.Mutex
	in []event
}

func newPostman(t *testing.T, g *github, s *steward) *postman {
	p := &postman{t: t, g: g, s: s}
	box := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.in = append(p.in, event{r.Header.Get("X-GitHub-Event"), r.Header.Get("X-GitHub-Delivery"), body, r.Header.Get("X-Hub-Signature-256")})
	}))
	t.Cleanup(box.Close)
	g.hook(box.URL, repo)
	return p
}

func (p *postman) waiting() int {
	p.g.delivered()
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.in)
}

// take empties the bag.
func (p *postman) take() []event {
	p.waiting()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.in
	p.in = nil
	return all
}

func (p *postman) post(e event) {
	if status, answer, err := e.post("http://" + p.s.Webhook + "/"); err != nil || status != http.StatusOK {
		p.t.Errorf("%s %s: %d %s %v", e.kind, e.guid, status, answer, err)
	}
}

// straight delivers everything in order, each event when the one before has had its effect.
func (p *postman) straight() {
	for _, e := range p.take() {
		p.post(e)
		p.s.idle()
	}
}

// disorder delivers a part in any order, some events twice, some never, and some not yet.
func (p *postman) disorder(rng *rand.Rand) {
	all := p.take()
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, e := range all {
		switch rng.IntN(6) {
		case 0: // lost
		case 1:
			p.mu.Lock()
			p.in = append(p.in, e)
			p.mu.Unlock()
		case 2:
			var both sync.WaitGroup
			both.Go(func() { p.post(e) })
			both.Go(func() { p.post(e) })
			both.Wait()
		case 3:
			p.post(e)
			p.s.idle()
		default:
			p.post(e)
		}
	}
}

// ending is all of GitHub that must not depend on the order: contexts, records, and under which topics each comment
// was answered. Answers about access are compared with their text where nothing happens between deliveries; what an
// answer about a freeze says depends on what else was known at the time.
func (g *github) ending(said []int64, texts bool) string {
	var b strings.Builder
	all := g.records()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		for _, r := range all[key] {
			_, data, _ := strings.Cut(strings.SplitN(r.Body, "\n", 2)[0], " comment=")
			fmt.Fprintf(&b, "record %s %s: %s, %s\n", key, r.State, r.Title, data)
		}
	}
	for number := 1; number <= 3; number++ {
		if number < 3 {
			have := g.contexts(repo, number)
			for _, context := range slices.Sorted(maps.Keys(have)) {
				fmt.Fprintf(&b, "#%d %s %s\n", number, context, have[context])
			}
		}
		for _, topic := range []string{"owners", "freeze", "infra"} {
			a := g.answered(repo, number, topic)
			for _, id := range said {
				if a.ids[id] {
					fmt.Fprintf(&b, "#%d %d answered under %s\n", number, id, topic)
				}
			}
			if topic == "owners" && texts {
				b.WriteString(a.body)
			}
		}
	}
	return mask(b.String(), said)
}

// mask puts the ordinal of a comment for its id, which differs between worlds, as do commits and times.
func mask(text string, said []int64) string {
	text = regexp.MustCompile(`\b[0-9a-f]{40}\b|\b[0-9a-f]{12}\b`).ReplaceAllString(text, "COMMIT")
	text = regexp.MustCompile(`data=[A-Za-z0-9_-]+`).ReplaceAllString(text, "")
	return regexp.MustCompile(`\b[0-9]{7,}\b`).ReplaceAllStringFunc(text, func(id string) string {
		return fmt.Sprint("comment ", slices.IndexFunc(said, func(s int64) bool { return fmt.Sprint(s) == id }))
	})
}

// difference lists the lines that only one of two texts has.
func difference(got, want string) string {
	var b strings.Builder
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range w {
		if !slices.Contains(g, line) {
			b.WriteString("\n- " + line)
		}
	}
	for _, line := range g {
		if !slices.Contains(w, line) {
			b.WriteString("\n+ " + line)
		}
	}
	return b.String()
}
