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
// it was due. At full speed a time says little: 64 connections wait for each other.
func BenchmarkReceivePaced(b *testing.B) {
	b.Run("prow/comment", func(b *testing.B) { flood(b, hookAlone(b), comments(), paced) })
	b.Run("steward/comment", func(b *testing.B) { flood(b, hanging(b), comments(), paced) })
	b.Run("steward-looking/comment", func(b *testing.B) { flood(b, looking(b), comments(), paced) })
}

// The time between two events.
const (
	full  = 0
	paced = time.Second / 3000
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

func comments() []event {
	all := make([]event, threads)
	for i := range all {
		all[i] = commented("", repo, 4+i, 0, eventSize)
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
func flood(b *testing.B, address string, events []event, every time.Duration) {
	host, path, _ := strings.Cut(strings.TrimPrefix(address, "http://"), "/")
	all := make([]raw, len(events))
	for i, e := range events {
		all[i] = e.raw(host, "/"+path)
	}
	f := flooding{b: b, host: host, all: all, every: every}
	took := make([][]time.Duration, connections)
	var senders sync.WaitGroup
	b.ResetTimer()
	f.start = time.Now()
	for c := range connections {
		senders.Go(func() {
			var err error
			if took[c], err = f.pump(); err != nil {
				b.Error(err)
			}
		})
	}
	senders.Wait()
	b.StopTimer()
	sorted := slices.Concat(took...)
	slices.Sort(sorted)
	report(b, sorted)
	b.ReportMetric(float64(len(sorted))/b.Elapsed().Seconds(), "events/s")
}

type flooding struct {
	b     *testing.B
	host  string
	all   []raw
	every time.Duration
	start time.Time
	next  atomic.Int64
}

// pump sends over one connection until b.N events are taken.
func (f *flooding) pump() (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", f.host)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	var buffer bytes.Buffer
	for {
		i := f.next.Add(1)
		if i > int64(f.b.N) {
			return took, nil
		}
		e := f.all[int(i)%len(f.all)]
		buffer.Reset()
		buffer.Write(e.head)
		fmt.Fprintf(&buffer, "%036d", i)
		buffer.Write(e.tail)
		due := time.Now()
		if f.every > 0 {
			due = f.start.Add(time.Duration(i) * f.every)
			<-time.After(time.Until(due))
		}
		if _, err = conn.Write(buffer.Bytes()); err != nil {
			return took, err
		}
		if err = readOK(answers); err != nil {
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
