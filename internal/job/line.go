// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"fmt"
	"io"
	"time"
)

// Line says how far a run is: one line that changes on a terminal, and in a log a line every
// half minute, so that a job that hangs can be told from one that works. It is for one caller
// at a time.
type Line struct {
	out      io.Writer
	terminal bool
	shown    time.Time
	width    int
}

const (
	lineEvery = 30 * time.Second
	drawEvery = 100 * time.Millisecond
)

// NewLine returns a line that was shown just now: a short run says nothing.
func NewLine(out io.Writer) *Line {
	return &Line{out: out, terminal: Terminal(out), shown: time.Now()}
}

// Tell shows the line if it is time for one; text is not asked for otherwise.
func (l *Line) Tell(text func() string) {
	every := lineEvery
	if l.terminal {
		every = drawEvery
	}
	switch {
	case time.Since(l.shown) < every:
		return
	case l.terminal:
		l.Draw(text())
	default:
		fmt.Fprintln(l.out, text())
	}
	l.shown = time.Now()
}

// Draw shows the line on a terminal, whenever that is.
func (l *Line) Draw(text string) {
	if l.terminal {
		fmt.Fprintf(l.out, "\r%-*s", l.width, text)
		l.width = len(text)
	}
}

// Keep leaves the line standing.
func (l *Line) Keep() {
	if l.width > 0 {
		fmt.Fprintln(l.out)
		l.width = 0
	}
}

// Clear takes the line off a terminal.
func (l *Line) Clear() {
	if l.width > 0 {
		fmt.Fprintf(l.out, "\r%-*s\r", l.width, "")
		l.width = 0
	}
}
