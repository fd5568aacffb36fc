// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"fmt"
	"io"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/job"
)

// progress shows how far a run is: one line that changes on a terminal, and in a log a line
// every half minute, so that a job that hangs can be told from one that works.
type progress struct {
	out      io.Writer
	terminal bool

	mu      sync.Mutex
	started time.Time
	shown   time.Time
	width   int
}

const (
	lineEvery = 30 * time.Second
	drawEvery = 100 * time.Millisecond
)

func newProgress(out io.Writer) *progress {
	now := time.Now()
	return &progress{out: out, terminal: job.Terminal(out), started: now, shown: now}
}

// read tells how many repositories were listed.
func (p *progress) read(part string, done, total int) {
	p.tell(func() string { return fmt.Sprintf("%s: %d of %d repositories read", part, done, total) })
}

// restart begins what the remaining time is guessed from.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = time.Now()
}

// tell shows a line, if it is time for one.
func (p *progress) tell(line func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := lineEvery
	if p.terminal {
		every = drawEvery
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	text := "promote: " + line()
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	fmt.Fprintf(p.out, "\r%-*s", p.width, text)
	p.width = len(text)
}

// end leaves the line on a terminal.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		fmt.Fprintf(p.out, "\r%-*s\r", p.width, "")
		p.width = 0
	}
}

// remaining guesses how long the rest takes; 0 where nothing can be said yet.
func (p *progress) remaining(done, total int) time.Duration {
	if done == 0 || done >= total {
		return 0
	}
	perTarget := time.Since(p.started) / time.Duration(done)
	return (perTarget * time.Duration(total-done)).Round(time.Second)
}

// size is a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/unit, "KMGTPE"
	for value >= unit && len(units) > 1 {
		value, units = value/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}
