// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

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

// process is a program that runs until the test ends it.
type process struct {
	cmd    *exec.Cmd
	log    string // file with all its output
	exited chan struct{}
	failed error // how it ended; after exited
}

// start runs a program and hands the lines that it prints to see, in order, until see has seen enough. All of the
// output is appended to the file log.
func start(t testing.TB, log string, see func(line []byte) (more bool), name string, args ...string) *process {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(name, args...), log: log, exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = filepath.Dir(log), write, write
	dieWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	go func() {
		defer close(p.exited)
		defer file.Close()
		defer read.Close()
		lines := bufio.NewReader(io.TeeReader(read, file))
		line, err := lines.ReadBytes('\n')
		for err == nil && see(line) {
			line, err = lines.ReadBytes('\n')
		}
		_, _ = io.Copy(io.Discard, lines) // until the program ends
		p.failed = p.cmd.Wait()
	}()
	t.Cleanup(func() { p.end(t, syscall.SIGKILL) })
	return p
}

// end sends a signal and waits for the end. It may be called again.
func (p *process) end(t testing.TB, signal os.Signal) {
	t.Helper()
	_ = p.cmd.Process.Signal(signal) // fails only for a process that has ended
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Errorf("%s does not end:\n%s", p.cmd.Path, p.tail())
	}
}

// tail is the end of the output, for a failed test to show.
func (p *process) tail() string {
	const enough = 6000
	out, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(out[max(0, len(out)-enough):]))
}
