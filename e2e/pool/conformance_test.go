// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/enclave"
)

// The answers of Boskos are recorded anew by "go test ./pool -run Conformance -record", to be read before they are
// committed.
var record = flag.Bool("record", false, "write what Boskos answers into testdata/conformance")

// script is one file of testdata/conformance: requests, and what Boskos answered. Its one file is the configuration, its
// comment has these lines:
//
//	# text                       for the reader
//	flags --request-ttl=1s       of both servers
//	wait 1.1s                    until a time has passed
//	POST /acquire?type=t `body`  a request; the body is optional, and may be a Go string in double quotes
//	< 200 text/plain `{}`        what Boskos answers
//	> 404 text/plain `no`        what steward-pool answers where it differs, the line before says why
//
// A name that a server made up is NAME-1, NAME-2 … in the order of appearance, in requests too.
type script struct {
	file   string
	steps  []step
	flags  []string
	config string
}

// step is one line of a script. Of a request, want is Boskos's answer and differs steward-pool's where it has another.
type step struct {
	text          string
	wait          time.Duration
	request       request
	want, differs string
}

func readScript(file string) (script, error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return script{}, err
	}
	if len(archive.Files) != 1 {
		return script{}, fmt.Errorf("%s holds %d files, not one", file, len(archive.Files))
	}
	s := script{file: file, config: string(archive.Files[0].Data)}
	for i, line := range strings.Split(strings.TrimRight(string(archive.Comment), "\n"), "\n") {
		if err := s.read(line); err != nil {
			return script{}, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	return s, nil
}

func (s *script) read(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	last := &step{}
	if len(s.steps) > 0 {
		last = &s.steps[len(s.steps)-1]
	}
	switch word {
	case "<":
		last.want = rest
		return nil
	case ">":
		last.differs = rest
		return nil
	}
	next := step{text: line}
	var err error
	switch word {
	case "", "#":
	case "flags":
		s.flags = strings.Fields(rest)
	case "wait":
		next.wait, err = time.ParseDuration(rest)
	default:
		next.request, err = readRequest(word, rest)
	}
	s.steps = append(s.steps, next)
	return err
}

func readRequest(method, rest string) (request, error) {
	target, body, quoted := strings.Cut(rest, " ")
	r := request{method: method, target: target}
	if !quoted {
		return r, nil
	}
	var err error
	r.body, err = strconv.Unquote(body)
	return r, err
}

// write puts the script back with the answers that it now has.
func (s script) write() error {
	var b strings.Builder
	for _, step := range s.steps {
		b.WriteString(step.text + "\n")
		if step.want != "" {
			b.WriteString("< " + step.want + "\n")
		}
		if step.differs != "" {
			b.WriteString("> " + step.differs + "\n")
		}
	}
	archive := txtar.Archive{Comment: []byte(b.String()), Files: []txtar.File{{Name: "boskos-resources.yaml", Data: []byte(s.config)}}}
	return os.WriteFile(s.file, txtar.Format(&archive), 0o644)
}

// player runs a script on one server. ours says that it is steward-pool, patient that it answers from a cache that runs
// after its own writes.
type player struct {
	address
	ours, patient bool
	names         map[string]string
}

// play compares all answers, or takes them over.
func (p *player) play(t *testing.T, s script, take bool) {
	t.Helper()
	p.names = map[string]string{}
	for i := range s.steps {
		step := &s.steps[i]
		switch {
		case step.wait > 0:
			<-time.After(step.wait)
		case step.request.method == "":
		case take:
			step.want = p.answer(t, step.request).String()
		default:
			p.compare(t, *step)
		}
	}
}

func (p *player) compare(t *testing.T, s step) {
	t.Helper()
	want := s.want
	if p.ours && s.differs != "" {
		want = s.differs
	}
	if p.patient {
		<-time.After(50 * time.Millisecond)
	}
	got := p.answer(t, s.request)
	for late := time.Now().Add(2 * time.Second); p.patient && harmless(s.request, got) && got.String() != want && time.Now().Before(late); {
		<-time.After(20 * time.Millisecond)
		got = p.answer(t, s.request)
	}
	if got.String() != want {
		t.Errorf("%s\n got %s\nwant %s", s.text, got, want)
	}
}

// answer asks with the server's own names and returns the answer without them.
func (p *player) answer(t *testing.T, r request) answer {
	t.Helper()
	for name, symbol := range p.names {
		r.target = strings.ReplaceAll(r.target, symbol, name)
	}
	return p.must(t, r).plain(p.names)
}

// harmless says that a request changed nothing and can be made again.
func harmless(r request, a answer) bool {
	return a.status >= http.StatusBadRequest || r.method == http.MethodGet
}

func TestConformance(t *testing.T) {
	files, err := filepath.Glob("testdata/conformance/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	c := apiserver.Start(t, enclave.CRDs())
	for _, file := range files {
		s, err := readScript(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel() // most of the time they wait
			if *record {
				(&player{address: startBoskos(t, s.config, s.flags...).address}).play(t, s, true)
				if err := s.write(); err != nil {
					t.Fatal(err)
				}
			}
			t.Run("boskos in memory", func(t *testing.T) {
				(&player{address: startBoskos(t, s.config, s.flags...).address}).play(t, s, false)
			})
			t.Run("boskos on custom resources", func(t *testing.T) {
				(&player{address: startBoskosOn(t, c, s.config, s.flags...).address, patient: true}).play(t, s, false)
			})
			t.Run("steward", func(t *testing.T) {
				(&player{address: startSteward(t, s.config, append(s.flags, compat)...).address, ours: true}).play(t, s, false)
			})
			t.Run("steward as it comes", func(t *testing.T) {
				// But for the time that a request with an id is held, which changes no answer here and takes long.
				(&player{address: startSteward(t, s.config, append(s.flags, "--hold=0")...).address, ours: true}).play(t, s, false)
			})
		})
	}
}
