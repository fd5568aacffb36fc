// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package child is what tests of whole programs have in common: a program that ends with the test, a wait for what it does, and
// ports for it.
package child

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for another process. It is no assertion: what takes longer hangs.
const Patience = 2 * time.Minute

// Process is a program that runs until the test ends it.
type Process struct {
	Cmd    *exec.Cmd
	Exited chan struct{} // closed when it has ended
	Failed error         // how it ended; after Exited
	log    string        // file with all its output
}

// Start runs a program and hands the lines that it prints to see, in order, until see has seen enough. All of the
// output is appended to the file log.
func Start(t testing.TB, log string, see func(line []byte) (more bool), name string, args ...string) *Process {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Cmd: exec.Command(name, args...), log: log, Exited: make(chan struct{})}
	p.Cmd.Dir, p.Cmd.Stdout, p.Cmd.Stderr = filepath.Dir(log), write, write
	DieWithParent(p.Cmd)
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	go func() {
		defer close(p.Exited)
		defer file.Close()
		defer read.Close()
		lines := bufio.NewReader(io.TeeReader(read, file))
		line, err := lines.ReadBytes('\n')
		for err == nil && see(line) {
			line, err = lines.ReadBytes('\n')
		}
		_, _ = io.Copy(io.Discard, lines) // until the program ends
		p.Failed = p.Cmd.Wait()
	}()
	t.Cleanup(func() { p.End(t, syscall.SIGKILL) })
	return p
}

// End sends a signal and waits for the end. It may be called again.
func (p *Process) End(t testing.TB, signal os.Signal) {
	t.Helper()
	_ = p.Cmd.Process.Signal(signal) // fails only for a process that has ended
	select {
	case <-p.Exited:
	case <-time.After(Patience):
		t.Errorf("%s does not end:\n%s", p.Cmd.Path, p.Tail())
	}
}

// Tail is the end of the output, for a failed test to show.
func (p *Process) Tail() string {
	const enough = 6000
	out, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(out[max(0, len(out)-enough):]))
}
