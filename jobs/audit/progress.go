// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/job"
)

// progress shows how far each part is.
type progress struct {
	parts []string

	mu   sync.Mutex
	line *job.Line
	at   map[string]audit.Progress
}

func newProgress(out io.Writer, chosen []part) *progress {
	p := &progress{line: job.NewLine(out), at: map[string]audit.Progress{}}
	for _, c := range chosen {
		p.parts = append(p.parts, c.name)
	}
	return p
}

func (p *progress) tell(now audit.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[now.Part] = now
	p.line.Tell(p.text)
}

// text is "audit: gcs 120 of 327, 3 gaps; dns 28 of 28".
func (p *progress) text() string {
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
	return "audit: " + strings.Join(parts, "; ")
}

// end leaves the last state standing.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.at) > 0 {
		p.line.Draw(p.text())
		p.line.Keep()
	}
}
