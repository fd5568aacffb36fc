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

// progress shows how far a run is.
type progress struct {
	mu      sync.Mutex
	line    *job.Line
	started time.Time
}

func newProgress(out io.Writer) *progress {
	return &progress{line: job.NewLine(out), started: time.Now()}
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
	p.line.Tell(func() string { return "promote: " + line() })
}

// end takes the line off a terminal.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.Clear()
}

// remaining guesses how long the rest takes; 0 where nothing can be said yet.
func (p *progress) remaining(done, total int) time.Duration {
	if done == 0 || done >= total {
		return 0
	}
	perTarget := time.Since(p.started) / time.Duration(done)
	return (perTarget * time.Duration(total-done)).Round(time.Second)
}
