// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/state"
)

// sinks are where reports go, besides standard output.
type sinks struct {
	public    state.Store // nil: none
	private   state.Store // nil: none
	link      string      // web address of the public report, where it has one
	artifacts string      // directory; "": none
	key       report.Key  // nil: none is kept
}

// reportKey returns the secret that gives private findings the same id in every public
// report. It is made once, and lies beside what it protects.
func reportKey(ctx context.Context, s state.Store) (report.Key, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails (Go 1.24)
	for {
		raw, _, err := s.Get(ctx, idKey)
		if err == nil {
			return report.Key(raw), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %s: %w", idKey, err)
		}
		_, err = s.Put(ctx, idKey, fmt.Appendf(nil, "%x", fresh), state.Absent)
		if err != nil && !errors.Is(err, state.ErrConflict) {
			return nil, fmt.Errorf("write %s: %w", idKey, err)
		}
	}
}

// artifact is a file that Prow's pages read.
type artifact struct{ file, format string }

// artifacts are the visible list. Prow's spyglass shows report.html and *.link.txt,
// TestGrid reads junit_*.xml.
func artifacts() []artifact {
	return []artifact{
		{"junit_audit.xml", "junit"}, {"report.html", "html"}, {"report.json", "json"}, {"report.sarif", "sarif"},
	}
}

// published are the keys of the public store, each with its format.
func published() []artifact {
	return []artifact{{"latest.html", "html"}, {"latest.md", "markdown"}, {"latest.json", "json"}}
}

// save writes everywhere, and fails after the last.
func (s sinks) save(ctx context.Context, all []finding.Finding, opts report.Options) error {
	var errs []error
	if s.artifacts != "" {
		errs = append(errs, s.saveArtifacts(all, opts))
	}
	if s.public != nil {
		for _, p := range published() {
			errs = append(errs, publish(ctx, s.public, p, all, opts))
		}
	}
	if s.private != nil {
		var b bytes.Buffer
		err := report.WritePrivate(&b, "json", all, opts)
		if err == nil {
			err = state.Replace(ctx, s.private, privateKey, b.Bytes())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("save the private report: %w", err))
		}
	}
	return errors.Join(errs...)
}

func publish(ctx context.Context, s state.Store, a artifact, all []finding.Finding, opts report.Options) error {
	var b bytes.Buffer
	if err := report.Write(&b, a.format, all, opts); err != nil {
		return fmt.Errorf("publish %s: %w", a.file, err)
	}
	if err := state.Replace(ctx, s, a.file, b.Bytes()); err != nil {
		return fmt.Errorf("publish %s: %w", a.file, err)
	}
	return nil
}

func (s sinks) saveArtifacts(all []finding.Finding, opts report.Options) error {
	if err := os.MkdirAll(s.artifacts, 0o755); err != nil {
		return fmt.Errorf("save artifacts: %w", err)
	}
	var errs []error
	for _, a := range artifacts() {
		errs = append(errs, saveFile(filepath.Join(s.artifacts, a.file), a.format, all, opts))
	}
	if s.link != "" {
		errs = append(errs, os.WriteFile(filepath.Join(s.artifacts, "report.link.txt"), []byte(s.link+"\n"), 0o644))
	}
	return errors.Join(errs...)
}

func saveFile(path, format string, all []finding.Finding, opts report.Options) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("save artifact: %w", err)
	}
	if err := errors.Join(report.Write(f, format, all, opts), f.Close()); err != nil {
		return fmt.Errorf("save artifact %s: %w", path, err)
	}
	return nil
}

// webAddress is where people read what is published at a gs:// URL.
func webAddress(publish string) string {
	if rest, ok := strings.CutPrefix(publish, "gs://"); ok {
		return "https://storage.googleapis.com/" + strings.Trim(rest, "/") + "/latest.html"
	}
	return ""
}
