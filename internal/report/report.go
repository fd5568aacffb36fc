// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report shows findings: the only code that does, so that every command,
// comment and job artifact says the same thing in the same words.
//
// Private findings are reduced before any format sees them: a public output
// carries their rule, severity, owners and an id that tells nothing, never object,
// file or message. WritePrivate is the other half, for a sink that only the
// owners read. The rules are RP-1 … in docs/report.md.
package report

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

// SchemaVersion is raised when a field of the JSON form changes its meaning or goes.
const SchemaVersion = 1

// Options are the facts a report states beside its findings.
type Options struct {
	Title  string // for example "owners lint"
	Commit string // what was read; empty for a working tree
	Color  bool   // ANSI colours, in text only

	// Coverage says what was read; none where a report is about files alone.
	Coverage       []finding.Coverage
	Started, Ended time.Time // of the run; zero: not shown
	Now            time.Time // for ages; zero: Ended, and without that no ages
	Links          string    // the repository, https://github.com/kubernetes/k8s.io; with Commit, files are links
	Full           string    // where the whole report is, for formats that cut
	Limit          int       // characters of markdown; 0: markdown.Limit
	// Key keeps the ids of private findings the same over runs. Without it they are
	// numbers of this report.
	Key Key
}

// Key is a secret of the installation.
type Key []byte

// Format keeps the key out of every text, whatever the verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[redacted]") } // a State does not fail

// MarshalText keeps it out of JSON.
func (Key) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

func (o Options) check() error {
	for name, address := range map[string]string{"links": o.Links, "full report": o.Full} {
		u, err := url.Parse(address)
		if address != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(address) > maxAddress) {
			return fmt.Errorf("write report: %s %.100q is no http address of at most %d bytes", name, address, maxAddress)
		}
	}
	return nil
}

// maxAddress leaves room for an address in every note that holds one.
const maxAddress = 500

// A format writes a sheet. The writer keeps its first error, and write looks at it.
type format func(*bufio.Writer, *sheet) error

// formats is the visible list; Formats names its keys for help and completion.
var formats = map[string]format{
	"text":     writeText,
	"json":     writeJSON,
	"markdown": writeMarkdown,
	"junit":    writeJUnit,
	"sarif":    writeSARIF,
	"html":     writeHTML,
}

// privateFormats leaves out what continuous integration publishes by itself.
var privateFormats = map[string]format{
	"text":     writeText,
	"json":     writeJSON,
	"markdown": writeMarkdown,
	"html":     writeHTML,
}

// Formats lists what Write accepts, sorted.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Known refuses a format that Write refuses.
func Known(format string) error { return known(format, formats) }

func known(name string, among map[string]format) error {
	if _, ok := among[name]; !ok {
		return fmt.Errorf("format %q is not one of %s", name, strings.Join(slices.Sorted(maps.Keys(among)), ", "))
	}
	return nil
}

// Write renders all in the named format, sorted, without changing the argument.
// It fails on an unknown format and on malformed options, before anything is
// written, and on what w returns.
func Write(w io.Writer, format string, all []finding.Finding, opts Options) error {
	if err := Known(format); err != nil {
		return err
	}
	s, err := Prepare(all, opts)
	if err != nil {
		return err
	}
	return s.Write(w, format)
}

// Sheet is a report before it has a format: private findings are reduced, and all
// are sorted.
type Sheet struct{ sheet *sheet }

// Prepare makes the sheet of a report that is written in several formats.
func Prepare(all []finding.Finding, opts Options) (*Sheet, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	return &Sheet{public(all, opts)}, nil
}

// Write renders the sheet. It may be called again, also concurrently.
func (s *Sheet) Write(w io.Writer, format string) error {
	if err := Known(format); err != nil {
		return err
	}
	return write(w, formats[format], s.sheet)
}

// WritePrivate renders the private findings of all, and only these, with everything
// they hold. What it writes must go where only owners can read it. The ids by which
// the public report names them are those of Write with the same findings and Key.
func WritePrivate(w io.Writer, format string, all []finding.Finding, opts Options) error {
	if err := known(format, privateFormats); err != nil {
		return fmt.Errorf("private report: %w", err)
	}
	if err := opts.check(); err != nil {
		return err
	}
	return write(w, privateFormats[format], private(all, opts))
}

func write(w io.Writer, f format, s *sheet) error {
	out := bufio.NewWriterSize(w, 64<<10)
	if err := f(out, s); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
