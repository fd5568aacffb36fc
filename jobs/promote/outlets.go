// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
)

func formats() []string { return []string{"text", "json", "markdown"} }

// shown is a plan, or what a run did, as people and programs read it.
type shown interface {
	json(w io.Writer) error
	text(w io.Writer)
	markdown(w io.Writer)
	// report writes what was found, below the tables that people read.
	report(w io.Writer, format string) error
}

// show writes it in one of the formats.
func show(w io.Writer, format string, r shown) error {
	out := bufio.NewWriter(w)
	var err error
	switch format {
	case "json":
		err = r.json(out)
	case "markdown":
		r.markdown(out)
		err = r.report(out, format)
	default:
		r.text(out)
		err = r.report(out, format)
	}
	if err == nil {
		err = out.Flush()
	}
	return err
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// outlets are where the result of a run goes: a format on standard output, and a directory and a file where they are named.
type outlets struct{ output, artifacts, metrics string }

// result is what a run did.
type result interface {
	shown
	// save writes the files that Prow's pages and other jobs read.
	save(dir string) error
	// metrics writes the run's numbers in Prometheus' text format.
	metrics(w io.Writer)
}

// put shows and keeps a result. One outlet that fails takes nothing from the others.
func (o outlets) put(cmd *cobra.Command, r result) error {
	var errs []error
	if err := show(cmd.OutOrStdout(), o.output, r); err != nil {
		errs = append(errs, fmt.Errorf("show result: %w", err))
	}
	if o.artifacts != "" {
		errs = append(errs, r.save(o.artifacts))
	}
	if o.metrics != "" {
		if err := writeFile(o.metrics, func(w io.Writer) error { r.metrics(w); return nil }); err != nil {
			errs = append(errs, fmt.Errorf("flag --metrics: %w", err))
		}
	}
	return errors.Join(errs...)
}

// saveReport writes findings in the forms that Prow shows.
func saveReport(dir, junit string, found []finding.Finding, opts report.Options) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save artifacts: %w", err)
	}
	var errs []error
	for file, format := range map[string]string{junit: "junit", "report.json": "json", "report.html": "html"} {
		errs = append(errs, writeFile(filepath.Join(dir, file), func(w io.Writer) error { return report.Write(w, format, found, opts) }))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("save artifacts: %w", err)
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	if err = write(out); err == nil {
		err = out.Flush()
	}
	return errors.Join(err, f.Close())
}

// gauges are what every run tells of itself.
func gauges(w io.Writer, prefix string, complete bool, started, ended time.Time) {
	value := 0
	if complete {
		value = 1
	}
	fmt.Fprintf(w, "# TYPE %[1]s_complete gauge\n%[1]s_complete %[2]d\n", prefix, value)
	fmt.Fprintf(w, "# TYPE %[1]s_ended_timestamp_seconds gauge\n%[1]s_ended_timestamp_seconds %[2]d\n", prefix, ended.Unix())
	fmt.Fprintf(w, "# TYPE %[1]s_duration_seconds gauge\n%[1]s_duration_seconds %.3[2]f\n", prefix, ended.Sub(started).Seconds())
}
