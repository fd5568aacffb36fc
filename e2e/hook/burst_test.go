// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

const (
	burstEvents      = 1000
	burstConnections = 64
)

// H-3, Q-1, Q-3: a thousand events at once, each about a pull request of its own. With passes switched off nothing but
// the event itself can bring its effect.
func TestBurst(t *testing.T) {
	g := startGitHub(t, small)
	first, _ := g.bulk(ghfake.Bulk{Repo: repo, Pulls: burstEvents, Author: "alice", Comment: "/infra why @bob apps/web.yaml"})
	g.fault(noPasses())
	s := startSteward(t, g, settings)
	events := make(chan event, burstEvents)
	for i := range burstEvents {
		id := g.comments(repo, first+i)[0].ID
		events <- commented(fmt.Sprintf("burst-%d", i), repo, first+i, id, 12<<10)
	}
	close(events)
	var senders sync.WaitGroup
	for range burstConnections {
		senders.Go(func() {
			for e := range events {
				if status, answer, err := e.post("http://" + s.Webhook + "/owners"); err != nil || status != http.StatusOK {
					t.Errorf("%s: %d %s %v", e.guid, status, answer, err)
				}
			}
		})
	}
	senders.Wait()
	if stats := s.idle(); stats.Handled < burstEvents {
		t.Errorf("%d of %d threads were looked at", stats.Handled, burstEvents)
	}
	s.noDeadLetters()
	for i := range burstEvents {
		if a := g.answered(repo, first+i, "owners"); a.stickies != 1 || len(a.ids) != 1 {
			t.Errorf("#%d: %d stickies with %d answers", first+i, a.stickies, len(a.ids))
		}
	}
}

// noPasses makes the first request of every reconcile pass fail, so that nothing but the journal remembers.
func noPasses() ghfake.Fault {
	return ghfake.Fault{Method: http.MethodGet, Path: "^/repos/[^/]+/[^/]+/issues$", Action: "status", Status: http.StatusBadGateway}
}
