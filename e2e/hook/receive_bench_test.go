// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/prowhook"
	"sigs.k8s.io/steward/internal/ghfake"
)

const (
	connections = 64
	threads     = 500 // that the events are about
	eventSize   = 12 << 10
	warmUp      = 6000 // events before the first that counts: connections, heaps and the log reach their size
)

// BenchmarkReceive is what one event costs from the first byte to the 200, over 64 keep-alive connections, with client
// and server on the same cores. prow is Prow's hook: it answers before any work and keeps nothing. steward answers
// when the event is on disk; GitHub hangs, so that looks wait and take no time. steward-looking is the same with the
// looks, and GitHub itself, on the same cores.
func BenchmarkReceive(b *testing.B) {
	b.Run("prow/comment", func(b *testing.B) { flood(b, hookAlone(b), comments(), full) })
	b.Run("steward/comment", func(b *testing.B) { flood(b, hanging(b), comments(), full) })
	b.Run("steward-looking/comment", func(b *testing.B) { flood(b, looking(b), comments(), full) })
}

// BenchmarkReceivePaced offers 3,000 events a second, whatever is answered, and measures each from the moment at which
// it was due, so that a stall counts for all who came while it lasted. At full speed a time says little: 64 connections
// wait for each other. A run has 20 seconds at the least: in one second a single stall of 10 ms is the 99th percentile.
func BenchmarkReceivePaced(b *testing.B) {
	b.Run("prow/comment", func(b *testing.B) { flood(b, hookAlone(b), comments(), paced) })
	b.Run("steward/comment", func(b *testing.B) { flood(b, hanging(b), comments(), paced) })
	b.Run("steward-looking/comment", func(b *testing.B) { flood(b, looking(b), comments(), paced) })
}

// The time between two events, and how many a paced run has at the least.
const (
	full       = 0
	paced      = time.Second / 3000
	pacedLeast = 60_000
)

// BenchmarkIrrelevant is the same for events that no plugin wants, which steward-hook answers before it reads them (H-7).
func BenchmarkIrrelevant(b *testing.B) {
	b.Run("prow/status", func(b *testing.B) { flood(b, hookAlone(b), statuses(), full) })
	b.Run("steward/status", func(b *testing.B) { flood(b, hanging(b), statuses(), full) })
}

func hookAlone(b *testing.B) string {
	g := startGitHub(b, withHook(small))
	h := prowhook.Start(b, prowhook.Config{Prow: prowConfig, Plugins: "plugins: {}\n", GitHub: g.URL, Secret: secret})
	return h.URL + "/hook"
}

func hanging(b *testing.B) string {
	g := startGitHub(b, small)
	g.fault(ghfake.Fault{Action: "delay", Millis: int(time.Hour.Milliseconds())})
	return "http://" + startSteward(b, g, settings, "--grace-period=1ms").Webhook + "/owners"
}

func looking(b *testing.B) string {
	g := startGitHub(b, small)
	g.bulk(ghfake.Bulk{Repo: repo, Pulls: threads, Author: "alice"})
	s := startSteward(b, g, settings)
	s.reconcile()
	return "http://" + s.Webhook + "/owners"
}

// comments are as GitHub sends them: most of an event is links, hundreds of short strings, which cost a reader of JSON
// more than one long text.
func comments() []event {
	var links []byte
	for i := 0; len(links) < eventSize*9/10; i++ {
		links = fmt.Appendf(links, `"link_%03d_url":"https://api.github.com/repos/%s/links{/number}",`, i, repo)
	}
	all := make([]event, threads)
	for i := range all {
		e := commented("", repo, 4+i, 0, eventSize-len(links))
		body := bytes.Replace(e.body, []byte(`"issue":{`), append([]byte(`"issue":{`), links...), 1)
		all[i] = event{e.kind, "", body, sign(body)}
	}
	return all
}

func statuses() []event {
	all := make([]event, 1)
	body := padded(eventSize)
	all[0] = event{"status", "", body, sign(body)}
	return all
}

// raw is an event as bytes for a connection; GUIDs have 36 characters and are put in when it is sent.
type raw struct{ head, tail []byte }

func (e event) raw(host, path string) raw {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-GitHub-Event: %s\r\n"+
		"X-Hub-Signature-256: %s\r\nContent-Length: %d\r\nX-GitHub-Delivery: ", path, host, e.kind, e.signature, len(e.body))
	return raw{[]byte(head), append([]byte("\r\n\r\n"), e.body...)}
}

// flood sends b.N events, one every so often but never faster than they are answered, and reports rate and latencies.
// A paced run may have more: time/op is of one event nevertheless. The memory that testing counts would be the client's.
func flood(b *testing.B, address string, events []event, every time.Duration) {
	host, path, _ := strings.Cut(strings.TrimPrefix(address, "http://"), "/")
	f := flooding{all: make([]raw, len(events)), every: every}
	for i, e := range events {
		f.all[i] = e.raw(host, "/"+path)
	}
	f.dial(b, host)
	f.send(b, warmUp)
	n := b.N
	if every > 0 {
		n = max(n, pacedLeast)
	}
	b.ResetTimer()
	took := f.send(b, n)
	b.StopTimer()
	slices.Sort(took)
	report(b, took)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/op")
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "events/s")
}

type flooding struct {
	conns []net.Conn
	all   []raw
	every time.Duration
	start time.Time
	next  atomic.Int64 // GUIDs go on from one send to the next
}

func (f *flooding) dial(b *testing.B, host string) {
	for range connections {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		f.conns = append(f.conns, conn)
	}
}

// send sends n events over all connections and returns how long each took.
func (f *flooding) send(b *testing.B, n int) []time.Duration {
	took := make([][]time.Duration, connections)
	for c := range took {
		took[c] = make([]time.Duration, 0, 2*n/connections+1)
	}
	var senders sync.WaitGroup
	first := f.next.Load() + 1
	f.start = time.Now()
	for c, conn := range f.conns {
		senders.Go(func() {
			var err error
			if took[c], err = f.pump(conn, first, n, took[c]); err != nil {
				b.Error(err)
			}
		})
	}
	senders.Wait()
	f.next.Store(first + int64(n) - 1)
	return slices.Concat(took...)
}

// pump sends over one connection until n events, counted from the first, are taken.
func (f *flooding) pump(conn net.Conn, first int64, n int, took []time.Duration) ([]time.Duration, error) {
	answers := bufio.NewReader(conn)
	var buffer bytes.Buffer
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		i := f.next.Add(1)
		if i >= first+int64(n) {
			return took, nil
		}
		e := f.all[int(i)%len(f.all)]
		buffer.Reset()
		buffer.Write(e.head)
		fmt.Fprintf(&buffer, "%036d", i)
		buffer.Write(e.tail)
		due := time.Now()
		if f.every > 0 {
			due = f.start.Add(time.Duration(i-first+1) * f.every)
			timer.Reset(time.Until(due))
			<-timer.C
		}
		if _, err := conn.Write(buffer.Bytes()); err != nil {
			return took, err
		}
		if err := readOK(answers); err != nil {
			return took, err
		}
		took = append(took, time.Since(due))
	}
}

// readOK reads one answer of known length and wants the status 200.
func readOK(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", status)
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return err
}

// report adds the percentiles of sorted times.
func report(b *testing.B, sorted []time.Duration) {
	if len(sorted) == 0 {
		return
	}
	at := func(percent int) float64 {
		return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
	}
	b.ReportMetric(at(50), "p50-ms")
	b.ReportMetric(at(99), "p99-ms")
}
