// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/job"
)

// progress shows how far each part is: one line that changes on a terminal, and in a
// log a line every half minute, so that a job that hangs can be told from one that works.
type progress struct {
	out      io.Writer
	terminal bool
	parts    []string

	mu    sync.Mutex
	at    map[string]audit.Progress
	shown time.Time
	width int
}

const (
	lineEvery = 30 * time.Second
	drawEvery = 100 * time.Millisecond
)

func newProgress(out io.Writer, chosen []part) *progress {
	p := &progress{out: out, terminal: job.Terminal(out), at: map[string]audit.Progress{}, shown: time.Now()}
	for _, c := range chosen {
		p.parts = append(p.parts, c.name)
	}
	return p
}

func (p *progress) tell(now audit.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[now.Part] = now
	every := lineEvery
	if p.terminal {
		every = drawEvery
	}
	if time.Since(p.shown) >= every {
		p.show()
	}
}

func (p *progress) show() {
	p.shown = time.Now()
	line := "audit: " + p.line()
	if !p.terminal {
		fmt.Fprintln(p.out, line)
		return
	}
	fmt.Fprintf(p.out, "\r%-*s", p.width, line)
	p.width = len(line)
}

// line is "gcs 120 of 327, 3 gaps; dns 28 of 28".
func (p *progress) line() string {
	var parts []string
	for _, name := range p.parts {
		at, ok := p.at[name]
		if !ok {
			continue
		}
		text := fmt.Sprintf("%s %d of %d", name, at.Done, at.Units)
		if at.Known > 0 {
			text += fmt.Sprintf(" (%d from the interrupted run)", at.Known)
		}
		if at.Gaps > 0 {
			text += fmt.Sprintf(", %d gaps", at.Gaps)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// end leaves the last state standing.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && len(p.at) > 0 {
		p.show()
		fmt.Fprintln(p.out)
	}
}
