// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

const (
	overlapPulls = 6
	overlapTurns = 25 // for each of several people at once
)

// L-5, L-6: during a roll-out two processes with a journal each get every event at the same time. There is one
// sticky for each topic and pull request, one record issue for each scope, and every command has its one answer.
func TestOverlap(t *testing.T) {
	g := startGitHub(t, small)
	first, _ := g.bulk(ghfake.Bulk{Repo: repo, Pulls: overlapPulls, Author: "alice", Prefix: "dns/"})
	both := []*steward{startSteward(t, g, settings), startSteward(t, g, settings)}
	for _, s := range both {
		g.hook("http://"+s.Webhook+"/", repo)
	}
	said := make([]map[int64]spoken, 4)
	var people sync.WaitGroup
	for i, who := range []string{"alice", "bob", "dora", "dora"} {
		rng := rand.New(rand.NewPCG(3, uint64(i)))
		said[i] = map[int64]spoken{}
		people.Go(func() {
			for turn := range overlapTurns {
				number, phrase := first+rng.IntN(overlapPulls), phrases()[rng.IntN(len(phrases()))]
				phrase.body = strings.ReplaceAll(phrase.body, "REASON", fmt.Sprintf("reason %d of %s", turn, who))
				said[i][g.comment(who, number, phrase.body)] = spoken{number, phrase}
			}
		})
	}
	people.Wait()
	settle(g, both...)
	for _, s := range both {
		s.noDeadLetters()
	}
	checkAnswers(t, g, said)
	checkRecords(t, g)
	g.checkLatest(t, said)
	for number := first; number < first+overlapPulls; number++ {
		if c := g.contexts(repo, number); len(c) != 2 {
			t.Errorf("#%d has the contexts %v", number, c)
		}
	}
}

// phrase is a comment and the topics under which it is answered.
type phrase struct {
	body   string
	topics []string
}

func phrases() []phrase {
	return []phrase{
		{"/infra why @bob dns/zone.yaml", []string{"owners"}},
		{"/infra freeze dns REASON", []string{"freeze"}},
		{"/infra unfreeze dns", []string{"freeze"}},
		{"/infra freeze all REASON\n/infra why", []string{"freeze", "owners"}},
		{"/infra unfreeze all", []string{"freeze"}},
		{"/infra frozen", []string{"freeze"}},
		{"/infra whi", []string{"infra"}},
		{"What does /infra why do?", nil},
	}
}

// spoken is what a person said on a thread.
type spoken struct {
	number int
	phrase
}

// checkAnswers wants every comment answered under its topics and no others, each in the one sticky of its topic.
func checkAnswers(t *testing.T, g *github, said []map[int64]spoken) {
	t.Helper()
	type place struct {
		number int
		topic  string
	}
	asked, seen := map[place]map[int64]bool{}, map[place]answers{}
	for _, comments := range said {
		for id, c := range comments {
			for _, topic := range []string{"owners", "freeze", "infra"} {
				p := place{c.number, topic}
				if asked[p] == nil {
					asked[p], seen[p] = map[int64]bool{}, g.answered(repo, c.number, topic)
				}
				asked[p][id] = slices.Contains(c.topics, topic)
				if a := seen[p]; asked[p][id] != a.ids[id] {
					t.Errorf("comment %d of #%d, %q: answered %v under %s", id, c.number, c.body, a.ids[id], topic)
				}
			}
		}
	}
	for p, ids := range asked {
		want := 0
		if slices.Contains(slices.Collect(maps.Values(ids)), true) {
			want = 1
		}
		if n := seen[p].stickies; n != want {
			t.Errorf("#%d has %d stickies of %s, want %d", p.number, n, p.topic, want)
		}
	}
}

// recordIssue is an issue that carries the mark of a record.
type recordIssue struct {
	Number             int
	Title, Body, State string
	Labels             []struct{ Name string }
}

// records lists the issues that are records, by the first word after the mark.
func (g *github) records() map[string][]recordIssue {
	g.t.Helper()
	var issues []recordIssue
	g.get("/repos/"+repo+"/issues?state=all&per_page=100&labels=steward/record", &issues)
	all := map[string][]recordIssue{}
	for _, i := range issues {
		if rest, ok := strings.CutPrefix(i.Body, "<!-- steward:record "); ok {
			key, _, _ := strings.Cut(rest, " ")
			all[key] = append(all[key], i)
		}
	}
	return all
}

func checkRecords(t *testing.T, g *github) {
	t.Helper()
	all := g.records()
	for _, key := range []string{"freeze/dns", "freeze/all"} {
		if n := len(all[key]); n != 1 {
			t.Errorf("%d record issues for %s: %v", n, key, all[key])
		}
	}
}

// checkLatest wants every record in the state that the last command of somebody who may give it asked for.
func (g *github) checkLatest(t *testing.T, said []map[int64]spoken) {
	t.Helper()
	for scope, who := range map[string][]int{"dns": {2, 3}, "all": {0, 1}} {
		last, want := int64(0), ""
		for _, i := range who {
			for id, c := range said[i] {
				for _, verb := range []string{"freeze", "unfreeze"} {
					if strings.HasPrefix(c.body, "/infra "+verb+" "+scope) && id > last {
						last, want = id, map[string]string{"freeze": "Frozen: ", "unfreeze": "Not frozen: "}[verb]+scope
					}
				}
			}
		}
		for _, r := range g.records()["freeze/"+scope] {
			if want != "" && (r.Title != want || !strings.Contains(r.Body, fmt.Sprintf("comment=%d ", last))) {
				t.Errorf("after comment %d the record of %s is %q:\n%s", last, scope, r.Title, r.Body)
			}
		}
	}
}
