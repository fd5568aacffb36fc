// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/enclave"
)

// The size of the comparison. A server has the plots of one round; Boskos gets slow with the number of its resources.
const (
	memoryRounds  = 4
	clusterRounds = 2
	rollOutRounds = 2 // and one with Boskos on custom resources
	plots         = 12
	length        = 150 // operations of a sequence
	seeds         = 1000
)

// The comparison invents nothing: Boskos is like Boskos.
func TestBoskosIsLikeBoskos(t *testing.T) {
	c := apiserver.Start(t, enclave.CRDs())
	arena{1, rules{cached: true, keeps: true}, func(t testing.TB, config string) (address, address) {
		return startBoskosOn(t, c, config).address, startBoskos(t, config).address
	}}.compare(t)
}

// The comparison sees what it is for, and shows it in few operations: a server that lies about one thing.
func TestComparisonCanFail(t *testing.T) {
	for _, c := range []struct {
		name string
		lie  func(w http.ResponseWriter, r *http.Request) bool
		most int // operations that it takes to show it
	}{
		{"renews and drops user data", func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/update" {
				_, _ = io.Copy(io.Discard, r.Body)
				r.Body, r.ContentLength = http.NoBody, 0
			}
			return false
		}, 4},
		{"forgets the queue", func(_ http.ResponseWriter, r *http.Request) bool {
			q := r.URL.Query()
			q.Del("request_id")
			r.URL.RawQuery = q.Encode()
			return false
		}, 4},
		{"releases for anybody", func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == "/release" && r.URL.Query().Get("owner") == "eve"
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			play := func(all []operation) string {
				return arena{1, rules{keeps: true}, func(t testing.TB, config string) (address, address) {
					return startBoskos(t, config).address, liar(t, startBoskos(t, config).address, c.lie)
				}}.once(t, all)
			}
			text := shrink(sequence(1, length), play)
			if text == "" {
				t.Fatal("no difference seen")
			}
			if n := strings.Count(text, "\n  boskos:"); n > c.most {
				t.Errorf("it takes %d operations:\n%s", n, text)
			}
		})
	}
}

// liar passes requests on but for those that lie answers itself.
func liar(t testing.TB, to address, lie func(w http.ResponseWriter, r *http.Request) bool) address {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: string(to)})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lie(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return address(strings.TrimPrefix(server.URL, "http://"))
}

// arena is what two servers are compared in. start gives a pair of a configuration.
type arena struct {
	rounds int
	rules  rules
	start  func(t testing.TB, config string) (boskos, steward address)
}

func config(n int) string {
	var b strings.Builder
	b.WriteString("resources:\n")
	for i := range n {
		b.WriteString(plot(i).config())
	}
	return b.String()
}

// Both answer random sequences the same, with Boskos in memory.
func TestSameAsBoskosInMemory(t *testing.T) {
	arena{memoryRounds, rules{keeps: true}, func(t testing.TB, config string) (address, address) {
		return startBoskos(t, config).address, startSteward(t, config, compat).address
	}}.compare(t)
}

// The same with Boskos on custom resources.
func TestSameAsBoskosOnCustomResources(t *testing.T) {
	c := apiserver.Start(t, enclave.CRDs())
	arena{clusterRounds, rules{cached: true}, func(t testing.TB, config string) (address, address) {
		return startBoskosOn(t, c, config).address, startSteward(t, config, compat).address
	}}.compare(t)
}

// The same with steward-pool on custom resources, rolled out in the middle of every sequence: what it answers from then on is
// what its objects hold.
func TestStewardOnCustomResources(t *testing.T) {
	c := apiserver.Start(t, enclave.CRDs(), stewardCRDs)
	var s *steward
	rollOut := func() {
		s.stop()
		s.start()
	}
	start := func(t testing.TB, config string) address {
		s = startStewardOn(t, c, config, compat, fmt.Sprint("--port=", child.FreePorts(t, 1)[0])) // which a roll-out keeps
		return s.address
	}
	t.Run("boskos in memory", func(t *testing.T) {
		arena{rollOutRounds, rules{keeps: true, halfway: rollOut}, func(t testing.TB, config string) (address, address) {
			return startBoskos(t, config).address, start(t, config)
		}}.compare(t)
	})
	t.Run("boskos on custom resources", func(t *testing.T) {
		arena{1, rules{cached: true, halfway: rollOut}, func(t testing.TB, config string) (address, address) {
			return startBoskosOn(t, c, config).address, start(t, config)
		}}.compare(t)
	})
}

func (a arena) compare(t *testing.T) {
	t.Helper()
	seen := map[string]int{}
	for round := range a.rounds {
		boskos, steward := a.start(t, config(plots))
		for i := range plots {
			seed := uint64(round*seeds + i)
			all := sequence(seed, length)
			d := newDuel(t, plot(i), a.rules, boskos, steward)
			text := d.play(all)
			if text != "" {
				t.Logf("seed %d: they differ; looking for fewer operations that show it", seed)
				t.Fatalf("seed %d:\n%s", seed, cmp.Or(shrink(all, func(fewer []operation) string { return a.once(t, fewer) }), text))
			}
			for what, n := range d.seen {
				seen[what] += n
			}
		}
	}
	t.Logf("seen: %v", seen)
	if !a.rules.keeps && seen[afterDeath] == 0 {
		t.Error("nothing was deleted: the test does not show that")
	}
}

// once plays on a pair of its own.
func (a arena) once(t *testing.T, all []operation) string {
	boskos, steward := a.start(t, config(1))
	return newDuel(t, plot(0), a.rules, boskos, steward).play(all)
}

// shrink returns how the servers differ after the fewest operations that it finds in a minute or two, or "" where they
// differ no more.
func shrink(all []operation, play func([]operation) string) string {
	late := time.Now().Add(time.Minute)
	least := play(all)
	for size := len(all) / 2; size > 0 && least != ""; size /= 2 {
		for from := 0; from+size <= len(all) && time.Now().Before(late); {
			fewer := append(append([]operation{}, all[:from]...), all[from+size:]...)
			if text := play(fewer); text != "" {
				all, least = fewer, text
				continue
			}
			from += size
		}
	}
	return least
}
