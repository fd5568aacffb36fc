// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// childEnv makes the test binary play a process that is going to be killed; its
// value is the directory of the log.
const childEnv = "STEWARD_WAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir, os.Args[1]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const (
	childWriters = 16
	childKeeps   = 600 // records the child does not drop
)

// child appends without end. It prints "ack FIRST ROUND WRITER BATCH RECORDS" for
// every batch when Append has returned, and "drop SEQ" before it drops.
func child(dir, round string) error {
	l, err := Open(dir, Options{SegmentBytes: 32 << 10})
	if err != nil {
		return err
	}
	fmt.Println("open")
	var acks atomic.Int64
	failed := make(chan error)
	for w := range childWriters {
		go func() {
			for b := 0; ; b++ {
				n := 1 + (w+b)%4
				last, err := l.Append(childBatch(round, w, b, n)...)
				if err != nil {
					failed <- err
					return
				}
				os.Stdout.WriteString(fmt.Sprintf("ack %d %s %d %d %d\n", last-Seq(n)+1, round, w, b, n))
				if acks.Add(1)%200 == 0 && last > childKeeps {
					os.Stdout.WriteString(fmt.Sprintf("drop %d\n", last-childKeeps))
					if err := l.DropBefore(last - childKeeps); err != nil {
						failed <- err
						return
					}
				}
			}
		}()
	}
	return <-failed
}

// childBatch makes records that name their batch and their place in it.
func childBatch(round string, writer, number, records int) [][]byte {
	b := make([][]byte, records)
	for i := range b {
		text := fmt.Sprintf("%s %d %d %d %d ", round, writer, number, records, i)
		b[i] = []byte(text + strings.Repeat("#", (writer*37+number*11)%400))
	}
	return b
}

// startChild runs the test binary as a child on dir.
func startChild(t *testing.T, dir, round string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, round)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewReader(out)
}

// ledger is what the children were told is safe.
type ledger struct {
	acked   map[Seq]string // "ROUND WRITER BATCH RECORDS" by first sequence
	dropped Seq            // no record from here on may be missing
}

// kill lets a child run for some lines of output, kills it and enters all it
// has said into the ledger.
func (g *ledger) kill(t *testing.T, dir, round string, lines int) {
	t.Helper()
	cmd, out := startChild(t, dir, round)
	for n := 0; ; n++ {
		if n == lines {
			cmd.Process.Kill()
		}
		line, err := out.ReadString('\n')
		if err == io.EOF {
			break // what precedes the end of file without a newline was never said
		}
		if err != nil {
			t.Fatal(err)
		}
		g.enter(t, strings.Fields(line))
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("child of round %s ended by itself: %v", round, err)
	}
}

func (g *ledger) enter(t *testing.T, words []string) {
	t.Helper()
	if words[0] == "open" {
		return
	}
	seq, err := strconv.ParseUint(words[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if words[0] == "drop" {
		g.dropped = max(g.dropped, Seq(seq))
		return
	}
	batch := strings.Join(words[2:], " ")
	if old, ok := g.acked[Seq(seq)]; ok {
		t.Fatalf("sequence %d was given to %q and to %q", seq, old, batch)
	}
	g.acked[Seq(seq)] = batch
}

// verify reads the log and finds every acknowledged batch in its place, and every
// batch that is there at all whole and behind its writer's earlier ones.
func (g *ledger) verify(t *testing.T, dir string) (records int) {
	t.Helper()
	l := mustOpen(t, dir, Options{})
	defer mustClose(t, l)
	if first := l.First(); first > max(g.dropped, 1) {
		t.Fatalf("the log begins with %d, only %d and below was dropped", first, g.dropped)
	}
	found, want := map[Seq]string{}, l.First()
	latest := map[string]int{} // by "ROUND WRITER"
	place, size := 0, 0        // of the next record in its batch
	err := l.Replay(0, func(seq Seq, record []byte) error {
		w := strings.Fields(string(record))
		number, _ := strconv.Atoi(w[2])
		if place == 0 {
			found[seq] = strings.Join(w[:4], " ")
			size, _ = strconv.Atoi(w[3])
		}
		writer := w[0] + " " + w[1]
		if before, ok := latest[writer]; ok && place == 0 && number != before+1 {
			return fmt.Errorf("record %d: batch %d of %s follows %d", seq, number, writer, before)
		}
		latest[writer] = number
		wr, _ := strconv.Atoi(w[1])
		if seq != want || string(record) != string(childBatch(w[0], wr, number, size)[place]) {
			return fmt.Errorf("record %d, want %d, is %q at place %d", seq, want, record, place)
		}
		want, place, records = want+1, (place+1)%size, records+1
		return nil
	})
	if err != nil || place != 0 {
		t.Fatalf("replay: %v, %d records of the last batch", err, place)
	}
	for seq, batch := range g.acked {
		if seq >= max(l.First(), g.dropped) && found[seq] != batch {
			t.Fatalf("acknowledged batch %q at %d: found %q", batch, seq, found[seq])
		}
	}
	return records
}

// A process killed at any moment, again and again over the same log, loses nothing
// that it was told is safe.
func TestKill(t *testing.T) { // W-1, W-2, W-6, W-11
	dir := t.TempDir()
	g := &ledger{acked: map[Seq]string{}}
	rng := rand.New(rand.NewPCG(1, 3))
	for round := range 25 {
		before := len(g.acked)
		g.kill(t, dir, strconv.Itoa(round), rng.IntN(1200))
		records := g.verify(t, dir)
		t.Logf("round %d: %d batches acknowledged, %d records kept", round, len(g.acked)-before, records)
	}
	if g.dropped == 0 || len(g.acked) < 5000 {
		t.Fatalf("%d batches, dropped before %d: too little for a test", len(g.acked), g.dropped)
	}
}

func TestLock(t *testing.T) { // W-12
	dir := t.TempDir()
	cmd, out := startChild(t, dir, "0")
	if line, err := out.ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("child said %q (%v)", line, err)
	}
	go io.Copy(io.Discard, out) // or the child would block and hold its appends
	_, err := Open(dir, lazy)
	if want := fmt.Sprintf("open wal %s: log is in use by pid %d", dir, cmd.Process.Pid); !errors.Is(err, ErrLocked) || err.Error() != want {
		t.Fatalf("got %v, want %q", err, want)
	}
	cmd.Process.Kill()
	cmd.Wait()

	l := mustOpen(t, dir, lazy)
	if _, err := Open(dir, lazy); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("by pid %d", os.Getpid())) {
		t.Fatalf("second Open in one process: got %v", err)
	}
	mustClose(t, l)
	mustClose(t, mustOpen(t, dir, lazy))
}
