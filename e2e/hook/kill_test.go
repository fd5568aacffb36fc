// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

// The size of the kill test. 20 comments on each of 500 pull requests make a sticky drop none of its answers; the
// limit of answered comments on a thread is 200 (C-13).
const (
	killPulls    = 500
	killComments = 20
	killEvents   = killPulls * killComments
	killSize     = 12 << 10 // bytes of an event
	killSenders  = 16
	killsBefore  = 12 // as soon as a certain event was sent
	killsAfter   = 18 // as soon as a certain event was answered
	killsLooking = 5  // afterwards, while looks write
)

// crash is many senders and one server that dies again and again.
type crash struct {
	t      *testing.T
	g      *github
	s      *steward
	first  int // number of the first pull request
	rng    *rand.Rand
	door   door
	dies   map[int]fate  // by event
	deaths chan struct{} // each has to be followed by a birth
	ids    []int64       // comment of each event
	told   []bool        // answered 200
	cutOff []bool        // no answer
}

// fate is when the server is killed: before or after it answers an event.
type fate int

const (
	never fate = iota
	before
	after
)

// door is shut while the server is down: GitHub's events of that time are not what is tested here.
type door struct {
	mu      sync.RWMutex
	address string
	behind  *os.Process
}

func (d *door) knock() (address string, behind *os.Process) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.address, d.behind
}

// H-3, Q-1, L-5, R-1: steward-hook is killed again and again while 10,000 events arrive. Every event that was
// answered 200 has its effect after the last restart, with passes switched off. Those that were cut have theirs after
// one pass. Nothing was made twice.
func TestKill(t *testing.T) {
	g := startGitHub(t, strings.Replace(small, "users: {", "users: {carol: {}, ", 1))
	c := &crash{
		t: t, g: g, rng: rand.New(rand.NewPCG(1, 2)), dies: map[int]fate{}, deaths: make(chan struct{}, killsBefore+killsAfter),
		ids: make([]int64, killEvents), told: make([]bool, killEvents), cutOff: make([]bool, killEvents),
	}
	c.first, _ = g.bulk(ghfake.Bulk{Repo: repo, Pulls: killPulls, Author: "carol"})
	g.fault(noPasses())
	c.s = startSteward(t, g, settings)
	c.door.address, c.door.behind = c.s.Webhook, c.s.proc.Cmd.Process
	c.send()
	c.lookAndDie()

	c.s.idle()
	c.s.noDeadLetters()
	c.check("answered 200", c.told)
	c.replay()

	g.heal()
	c.s.reconcile()
	c.s.noDeadLetters()
	c.check("was cut off", c.cutOff)
	c.onlyOnce()
}

// send lets all senders send all events, and wakes the server whenever one of them has killed it.
func (c *crash) send() {
	order := c.order()
	c.doom(order)
	next := make(chan int)
	var senders sync.WaitGroup
	for range killSenders {
		senders.Go(func() {
			for i := range next {
				c.one(i)
			}
		})
	}
	go func() {
		for _, i := range order {
			next <- i
		}
		close(next)
		senders.Wait()
		close(c.deaths)
	}()
	for range c.deaths {
		c.die()
	}
}

// order shuffles the events in windows of a few pull requests, so that at any time there are some whose last event
// arrives: a lost one is not covered by a later look at the same thread.
func (c *crash) order() []int {
	all := make([]int, killEvents)
	for i := range all {
		all[i] = i
	}
	for window := range slices.Chunk(all, 10*killComments) {
		c.rng.Shuffle(len(window), func(i, j int) { window[i], window[j] = window[j], window[i] })
	}
	return all
}

// doom chooses the events that kill. Those that kill after their answer are the last ones of their threads, so that
// nothing but the journal can bring their effect.
func (c *crash) doom(order []int) {
	last := map[int]int{}
	for _, i := range order {
		last[i/killComments] = i
	}
	for len(c.dies) < killsAfter {
		c.dies[last[c.rng.IntN(killPulls)]] = after
	}
	for len(c.dies) < killsAfter+killsBefore {
		if i := c.rng.IntN(killEvents); c.dies[i] == never {
			c.dies[i] = before
		}
	}
}

// one writes a comment on GitHub, sends its event once, and kills the server where that is the event's fate.
func (c *crash) one(i int) {
	number := c.first + i/killComments
	body := fmt.Sprintf("/infra why @user%d dns/path%d.yaml", i%100, i)
	var made ghfake.Result
	act := ghfake.Act{As: []string{"alice", "bob", "dora"}[i%3], Do: "comment", Repo: repo, Number: number, Body: body}
	if err := ask(http.MethodPost, c.g.URL+"/_fake/act", act, &made); err != nil {
		c.t.Error(err)
		return
	}
	c.ids[i] = made.ID
	e := commented(fmt.Sprintf("guid-%d", i), repo, number, made.ID, killSize)
	address, server := c.door.knock()
	kill := func(when fate) {
		if c.dies[i] == when {
			_ = server.Kill() // it may have died of another event
			c.deaths <- struct{}{}
		}
	}
	kill(before)
	status, _, err := e.post("http://" + address + "/owners")
	kill(after)
	c.told[i], c.cutOff[i] = err == nil && status == http.StatusOK, err != nil
	if err == nil && status != http.StatusOK {
		c.t.Errorf("event %d: status %d", i, status)
	}
}

func (c *crash) die() {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.s.kill()
	c.s.start()
	c.door.address, c.door.behind = c.s.Webhook, c.s.proc.Cmd.Process
}

// lookAndDie kills the server after a random number of its own writes, as long as it has any to do.
func (c *crash) lookAndDie() {
	for range killsLooking {
		all := c.g.writes("")
		after := c.rng.IntN(20)
		if len(all) > 0 {
			after += all[len(all)-1].Seq
		}
		c.g.control(http.MethodGet, "audit?"+url.Values{"login": {bot}, "after": {strconv.Itoa(after)}, "wait": {"1s"}}.Encode(), nil, nil)
		c.die()
	}
}

// check looks for the answers to the chosen events.
func (c *crash) check(what string, chosen []bool) {
	c.t.Helper()
	n, lost := 0, 0
	for pull := range killPulls {
		a := c.g.answered(repo, c.first+pull, "owners")
		for i := pull * killComments; i < (pull+1)*killComments; i++ {
			if chosen[i] {
				n++
				if !a.ids[c.ids[i]] {
					lost++
				}
			}
		}
	}
	c.t.Logf("%d of %d events: %s", n, killEvents, what)
	if lost > 0 {
		c.t.Errorf("%d of %d events without effect: %s", lost, n, what)
	}
	if n == 0 {
		c.t.Errorf("no event %s: the test shows nothing", what)
	}
}

// replay sends the first events again, H-6: they are known after all the deaths.
func (c *crash) replay() {
	const again = 100
	known := uint64(0)
	before := c.s.idle().Duplicates
	for i := range again {
		if !c.told[i] {
			continue
		}
		known++
		status, answer, err := commented(fmt.Sprintf("guid-%d", i), repo, c.first+i/killComments, c.ids[i], killSize).post("http://" + c.s.Webhook + "/owners")
		if err != nil || status != http.StatusOK {
			c.t.Errorf("event %d again: %d %s %v", i, status, answer, err)
		}
	}
	if got := c.s.idle().Duplicates - before; got != known {
		c.t.Errorf("%d of %d events are known as duplicates", got, known)
	}
}

// onlyOnce counts in GitHub's log what the bot has ever made.
func (c *crash) onlyOnce() {
	pulls, statuses := map[int]int{}, map[string]int{}
	for _, w := range c.g.writes("") {
		switch w.Kind {
		case "comment.create":
			pulls[w.Number]++
		case "status.create":
			var s struct{ SHA, Context string }
			if err := json.Unmarshal([]byte(w.Body), &s); err != nil {
				c.t.Fatal(err)
			}
			statuses[fmt.Sprintf("%s of #%d %s", s.Context, w.Number, s.SHA)]++
		case "comment.edit":
		default:
			c.t.Errorf("%s on #%d", w.Kind, w.Number)
		}
	}
	for number, n := range pulls {
		if n != 1 {
			c.t.Errorf("#%d got %d comments", number, n)
		}
	}
	for name, n := range statuses {
		if n != 1 {
			c.t.Errorf("%s was set %d times", name, n)
		}
	}
	const ofTheSmallWorld = 2 // pull requests, which the pass gives their contexts too
	if len(pulls) != killPulls || len(statuses) != 2*(killPulls+ofTheSmallWorld) {
		c.t.Errorf("%d stickies and %d statuses on %d pull requests", len(pulls), len(statuses), killPulls)
	}
}
