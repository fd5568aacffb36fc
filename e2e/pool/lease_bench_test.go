// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/crowd"
	"sigs.k8s.io/steward/e2e/enclave"
)

// connections are the clients of a busy server.
const connections = 64

// BenchmarkLease is one lease, taken and given back, by 64 clients at once that share two cores with the server. Boskos
// keeps everything in memory; steward-pool answers when it is on disk. What was answered with an error is counted: Boskos
// answers 500 where two wanted the same resource too often. With "-cr" both keep the same objects in Kubernetes, whose API server
// is on the same cores; Boskos sends it no more than 100 requests a second.
func BenchmarkLease(b *testing.B) {
	for _, n := range []int{240, 2400} {
		b.Run(fmt.Sprintf("boskos/%d", n), func(b *testing.B) { cycles(b, startBoskos(b, crowd.Config(n)).address, connections) })
		b.Run(fmt.Sprintf("boskos-cr/%d", n), func(b *testing.B) {
			cycles(b, startBoskosOn(b, apiserver.Start(b, enclave.CRDs()), crowd.Config(n)).address, connections)
		})
		b.Run(fmt.Sprintf("steward-cr/%d", n), func(b *testing.B) {
			c := apiserver.Start(b, enclave.CRDs(), stewardCRDs)
			cycles(b, startStewardOn(b, c, crowd.Config(n)).address, connections)
		})
		b.Run(fmt.Sprintf("steward/%d", n), func(b *testing.B) { cycles(b, startSteward(b, crowd.Config(n)).address, connections) })
	}
	b.Run("steward/100000", func(b *testing.B) { cycles(b, startSteward(b, crowd.Config(100_000)).address, connections) })
}

// BenchmarkLeaseAlone is the same by one client: what the size of the pool costs.
func BenchmarkLeaseAlone(b *testing.B) {
	for _, n := range []int{240, 2400} {
		b.Run(fmt.Sprintf("boskos/%d", n), func(b *testing.B) { cycles(b, startBoskos(b, crowd.Config(n)).address, 1) })
	}
	for _, n := range []int{240, 2400, 100_000} {
		b.Run(fmt.Sprintf("steward/%d", n), func(b *testing.B) { cycles(b, startSteward(b, crowd.Config(n)).address, 1) })
	}
}

// tally is what happened in a run.
type tally struct {
	took           []time.Duration // of a lease from the request to the answer to its release
	failed, broken int             // requests answered 4xx and 5xx
}

// cycles tries to take and give back b.N leases over so many connections.
func cycles(b *testing.B, a address, clients int) {
	wires := make([]*wire, clients)
	for i := range wires {
		wires[i] = dial(b, a)
	}
	spin(b, wires, min(b.N, 100*clients)) // connections and heaps reach their size
	b.ResetTimer()
	all := spin(b, wires, b.N)
	b.StopTimer()
	slices.Sort(all.took)
	percentiles(b, all.took)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(len(all.took), 1)), "ns/op") // of those that were lent
	b.ReportMetric(float64(len(all.took))/b.Elapsed().Seconds(), "leases/s")
	b.ReportMetric(100*float64(all.broken)/float64(2*b.N), "%5xx")
	b.ReportMetric(100*float64(all.failed)/float64(2*b.N), "%4xx")
}

func spin(b *testing.B, wires []*wire, n int) tally {
	var left atomic.Int64
	left.Store(int64(n))
	all := make([]tally, len(wires))
	var clients sync.WaitGroup
	for i, w := range wires {
		clients.Go(func() {
			owner := fmt.Sprint("client-", i)
			for left.Add(-1) >= 0 {
				if err := w.cycle(owner, &all[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	var sum tally
	for _, t := range all {
		sum.took = append(sum.took, t.took...)
		sum.failed += t.failed
		sum.broken += t.broken
	}
	return sum
}

// cycle takes one lease and gives it back.
func (w *wire) cycle(owner string, t *tally) error {
	begun := time.Now()
	status, body, err := w.post("/acquire?type=t&state=free&dest=busy&owner=" + owner)
	if err != nil {
		return err
	}
	t.count(status)
	if status != http.StatusOK {
		return nil
	}
	name := nameIn(body)
	if status, _, err = w.post("/release?name=" + name + "&dest=free&owner=" + owner); err != nil {
		return err
	}
	t.count(status)
	t.took = append(t.took, time.Since(begun))
	return nil
}

func (t *tally) count(status int) {
	switch {
	case status >= http.StatusInternalServerError:
		t.broken++
	case status >= http.StatusBadRequest:
		t.failed++
	}
}

func nameIn(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`"name":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(name)
}

// wire is a connection without the costs of Go's client, which would be most of what is measured.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	host string
	out  bytes.Buffer
}

func dial(b *testing.B, a address) *wire {
	b.Helper()
	conn, err := net.Dial("tcp", string(a))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return &wire{conn: conn, in: bufio.NewReader(conn), host: string(a)}
}

// post sends a request without a body and returns the answer, whose body has a known length.
func (w *wire) post(target string) (status int, body []byte, err error) {
	w.out.Reset()
	fmt.Fprintf(&w.out, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", target, w.host)
	if _, err := w.conn.Write(w.out.Bytes()); err != nil {
		return 0, nil, err
	}
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if fields := bytes.Fields(line); len(fields) > 1 {
		status, err = strconv.Atoi(string(fields[1]))
	}
	length := 0
	for err == nil {
		if line, err = w.in.ReadSlice('\n'); err != nil || len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, length)
	_, err = io.ReadFull(w.in, body)
	return status, body, err
}

// percentiles adds those of sorted times.
func percentiles(b *testing.B, sorted []time.Duration) {
	if len(sorted) == 0 {
		return
	}
	at := func(percent int) float64 {
		return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
	}
	b.ReportMetric(at(50), "p50-ms")
	b.ReportMetric(at(99), "p99-ms")
}

// BenchmarkHandOff is from the moment at which one client gives the only resource back to that at which another, who waits,
// has it. Boskos's clients ask every three seconds; steward-pool holds the request of a client that has a request_id.
func BenchmarkHandOff(b *testing.B) {
	b.Run("boskos", func(b *testing.B) {
		const enough = 4 // of three seconds at most
		handOff(b, startBoskos(b, crowd.Config(1)).address, min(b.N, enough), 3*time.Second)
	})
	b.Run("steward", func(b *testing.B) { handOff(b, startSteward(b, crowd.Config(1)).address, max(b.N, 1000), 0) })
}

// handOff passes the resource to and fro n times. Who waits asks again so long after it was refused.
func handOff(b *testing.B, a address, n int, pause time.Duration) {
	giver, taker := dial(b, a), dial(b, a)
	rng := rand.New(rand.NewPCG(1, 2))
	status, body, err := giver.post("/acquire?type=t&state=free&dest=busy&owner=giver")
	if err != nil || status != http.StatusOK {
		b.Fatal(status, err)
	}
	name, owner := nameIn(body), "giver"
	took := make([]time.Duration, n)
	b.ResetTimer()
	for i := range n {
		next := fmt.Sprint("owner-", i)
		got := make(chan error, 1)
		go func() { got <- taker.await(next, pause) }()
		// Until it waits, and then at any time of its pause.
		<-time.After(3*time.Millisecond + time.Duration(rng.Int64N(int64(pause)+1)))
		begun := time.Now()
		if status, _, err := giver.post("/release?name=" + name + "&dest=free&owner=" + owner); err != nil || status != http.StatusOK {
			b.Fatal(status, err)
		}
		if err := <-got; err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(begun)
		owner = next
	}
	b.StopTimer()
	total := time.Duration(0)
	for _, d := range took {
		total += d
	}
	slices.Sort(took)
	percentiles(b, took)
	b.ReportMetric(float64(total.Nanoseconds())/float64(n), "ns/op")
}

// await asks until there is a lease.
func (w *wire) await(owner string, pause time.Duration) error {
	for {
		status, _, err := w.post("/acquire?type=t&state=free&dest=busy&owner=" + owner + "&request_id=" + owner)
		if err != nil || status == http.StatusOK {
			return err
		}
		<-time.After(pause)
	}
}

// BenchmarkPoolStart is from the start of the program on a large configuration to its first answer, and what memory a
// resource then takes, beyond that of a server with few.
func BenchmarkPoolStart(b *testing.B) {
	const few = 240
	b.Run("boskos/10000", func(b *testing.B) {
		base := resident(b, startBoskos(b, crowd.Config(few)).proc)
		started(b, base, few, 10_000, func(config string) (*child.Process, address) {
			s := startBoskos(b, config)
			return s.proc, s.address
		})
	})
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("steward/%d", n), func(b *testing.B) {
			base := resident(b, startSteward(b, crowd.Config(few)).proc)
			started(b, base, few, n, func(config string) (*child.Process, address) {
				s := startSteward(b, config)
				return s.proc, s.address
			})
		})
	}
}

func started(b *testing.B, base, few, n int, start func(config string) (*child.Process, address)) {
	config := crowd.Config(n)
	var total, each float64
	b.ResetTimer()
	for range b.N {
		begun := time.Now()
		p, a := start(config)
		if _, _, err := dial(b, a).post("/acquire?type=t&state=free&dest=busy&owner=first"); err != nil {
			b.Fatal(err)
		}
		total += float64(time.Since(begun).Nanoseconds())
		each += float64(resident(b, p)-base) / float64(n-few)
		p.End(b, os.Kill)
	}
	b.ReportMetric(total/float64(b.N), "ns/op")
	b.ReportMetric(each/float64(b.N), "B/resource")
}

// resident is the memory of a process.
func resident(b *testing.B, p *child.Process) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kilobytes int
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		b.Fatal(err)
	}
	return kilobytes << 10
}
