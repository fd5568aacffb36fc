// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// maxObject is the largest object kept in memory; of a larger one the rest is
// read and dropped, so that the process stays in step.
const maxObject = 8 << 20

// object is one answer of cat-file.
type object struct {
	id   string
	kind string // commit, tree, blob, tag
	size int64
	data []byte // cut at maxObject
}

func (o object) cut() bool { return int64(len(o.data)) < o.size }

// batch owns the cat-file process. The process starts with the first request
// and again after one that failed, because after a failure its output is out of
// step with the requests.
type batch struct {
	dir string

	mu     sync.Mutex
	closed bool
	proc   *process
}

type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

func newBatch(dir string) *batch { return &batch{dir: dir} }

// get reads the object of a full id. An id that is not in the repository is an
// error, never fs.ErrNotExist: something names it, so the repository is damaged.
func (b *batch) get(ctx context.Context, id string) (object, error) {
	if !isID(id) {
		return object{}, fmt.Errorf("object id %q is not a full id", id)
	}
	if err := ctx.Err(); err != nil {
		return object{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return object{}, fs.ErrClosed
	}
	if b.proc == nil {
		p, err := start(b.dir)
		if err != nil {
			return object{}, err
		}
		b.proc = p
	}
	return b.ask(ctx, id)
}

// ask exchanges one request while ctx lasts. errMissing alone leaves the process
// in step.
func (b *batch) ask(ctx context.Context, id string) (object, error) {
	stop := context.AfterFunc(ctx, b.proc.kill)
	o, err := b.proc.exchange(id)
	if !stop() || err != nil && !errors.Is(err, errMissing) {
		b.proc.end()
		b.proc = nil
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return object{}, fmt.Errorf("read object %s: %w", id, err)
	}
	return o, nil
}

func (b *batch) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.proc != nil {
		b.proc.end()
		b.proc = nil
	}
	return nil
}

// start runs cat-file beyond the life of any one request: kill and end stop it.
func start(dir string) (*process, error) {
	cmd := command(context.Background(), dir, "cat-file", "--batch")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	return &process{cmd: cmd, stdin: stdin, out: bufio.NewReaderSize(stdout, 64<<10)}, nil
}

// kill makes every pending read and write fail.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// end stops the process and reaps it. Its exit status says nothing: it is
// killed, or it ends because its input does.
func (p *process) end() {
	_ = p.stdin.Close()
	p.kill()
	_ = p.cmd.Wait()
}

var errMissing = errors.New("not in the repository")

func (p *process) exchange(id string) (object, error) {
	if _, err := io.WriteString(p.stdin, id+"\n"); err != nil {
		return object{}, err
	}
	header, err := p.out.ReadString('\n')
	if err != nil {
		return object{}, err
	}
	o, err := parseHeader(header)
	if err != nil {
		return object{}, err
	}
	o.data = make([]byte, min(o.size, maxObject))
	if _, err := io.ReadFull(p.out, o.data); err != nil {
		return object{}, err
	}
	// The rest and the newline that ends each answer.
	if _, err := io.CopyN(io.Discard, p.out, o.size-int64(len(o.data))+1); err != nil {
		return object{}, err
	}
	return o, nil
}

func parseHeader(header string) (object, error) {
	fields := strings.Fields(header)
	if len(fields) == 2 && fields[1] == "missing" {
		return object{}, errMissing
	}
	if len(fields) != 3 {
		return object{}, fmt.Errorf("git answered %q", header)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 {
		return object{}, fmt.Errorf("git answered %q", header)
	}
	return object{id: fields[0], kind: fields[1], size: size}, nil
}
