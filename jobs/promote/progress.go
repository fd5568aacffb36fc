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
