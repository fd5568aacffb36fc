// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/report"
)

// runVersion is raised when a field of the JSON form changes its meaning or goes.
const runVersion = 1

// runResult is the JSON form of what a run did.
type runResult struct {
	Version     int                `json:"version"`
	Commit      string             `json:"commit"`
	Since       string             `json:"since,omitempty"`
	Started     time.Time          `json:"started"`
	Ended       time.Time          `json:"ended"`
	Complete    bool               `json:"complete"`
	Interrupted bool               `json:"interrupted,omitempty"`
	Projects    []*projectResult   `json:"projects"`
	Mirrors     []mirrorResult     `json:"mirrors"`
	Findings    []finding.Finding  `json:"findings"`
	Coverage    []finding.Coverage `json:"coverage"`
}

// projectResult is what became of one project's plan. Targets are images times mirrors.
type projectResult struct {
	Name    string                 `json:"name"`
	Targets int                    `json:"targets"`
	Done    int                    `json:"done"`
	Failed  int                    `json:"failed"`
	Bytes   int64                  `json:"bytes"` // of layers that were sent
	Left    int                    `json:"left"`  // images of which something is left to do
	Frozen  string                 `json:"frozen,omitempty"`
	Phases  map[string]phaseResult `json:"phases,omitempty"`
	Copies  []promotion.Copy       `json:"copies"` // that were to be made; their mirrors are indices of the run's

	file           string          // that lists the images
	copied, failed map[string]bool // images that arrived, or did not, somewhere
	failures       map[int][]failure
}

type phaseResult struct {
	Done   int `json:"done"`
	Failed int `json:"failed"`
}

type mirrorResult struct {
	Name   string `json:"name"`
	Done   int    `json:"done"`
	Failed int    `json:"failed"`
	Bytes  int64  `json:"bytes"`

	told int
}

// result puts together what a run did. failed is why it ended early, if it did.
func (r *runner) result(started, ended time.Time, interrupted bool, failed error) runResult {
	out := runResult{
		Version: runVersion, Commit: r.commit, Since: r.since, Started: started.UTC(), Ended: ended.UTC(), Interrupted: interrupted,
		Projects: []*projectResult{}, Mirrors: r.mirrors, Coverage: r.coverage,
		Findings: append(append([]finding.Finding{}, r.findings...), r.found...),
	}
	for _, p := range r.projects {
		if n := p.Count().Targets; n > 0 {
			r.of(p.Manifest).Targets = n
		}
		for _, s := range p.Plan.Steps {
			result := r.of(p.Manifest)
			result.Copies = append(result.Copies, s.Change)
		}
	}
	left := 0
	for _, name := range slices.Sorted(maps.Keys(r.results)) {
		p := r.results[name]
		p.Left = len(r.journal.of(name))
		out.Projects = append(out.Projects, p)
		out.Findings = append(out.Findings, r.failures(p)...)
		left += p.Failed + p.Targets - p.Done + r.waiting(name)
	}
	out.Findings = append(out.Findings, endedEarly(promotion.RuleEnded, interrupted, failed)...)
	finding.Sort(out.Findings)
	waits := slices.ContainsFunc(out.Findings, func(f finding.Finding) bool { return f.Rule == promotion.RuleFrozen })
	out.Complete = left == 0 && !waits && finding.Complete(out.Coverage) && finding.AtLeast(out.Findings, finding.Error) == 0
	return out
}

// waiting counts the images of a project of which a phase that was chosen is left.
func (r *runner) waiting(project string) (n int) {
	for _, left := range r.journal.of(project) {
		if r.copying && left.left(copyPhase) || slices.ContainsFunc(r.phases, func(p phase) bool { return left.left(p.name) }) {
			n++
		}
	}
	return n
}

// endedEarly is a finding of a run that did, so that no report looks like that of one that is done.
func endedEarly(rule string, interrupted bool, failed error) []finding.Finding {
	f := finding.Finding{Rule: rule, Severity: finding.Error, Object: "run"}
	switch {
	case interrupted:
		f.Message, f.Fix = "the run was interrupted before it was done", "run again: only what is left is done"
	case failed != nil:
		f.Message, f.Fix = "the run ended before it was done: "+reason(failed), "mend that and run again: only what is left is done"
	default:
		return nil
	}
	return []finding.Finding{f}
}

// failures is a finding for each mirror that a project could not be copied to.
func (r *runner) failures(p *projectResult) []finding.Finding {
	var all []finding.Finding
	for _, m := range slices.Sorted(maps.Keys(p.failures)) {
		list := p.failures[m]
		first := list[0]
		all = append(all, finding.Finding{
			Rule: promotion.RuleFailed, Severity: finding.Error, Object: r.set.Mirrors[m], Field: p.Name,
			File: p.file, Line: first.copy.Line,
			Message: fmt.Sprintf("%s of %s did not arrive; %s@%s: %s", report.Number(len(list), "image"), p.Name, first.copy.Path, first.copy.Digest, reason(first.err)),
			Fix:     remedy(first.err),
		})
	}
	return all
}

// remedy says whose matter a failure is.
func remedy(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "run again: only what is left is copied"
	case copier.OfSource(err):
		return "look at the image in staging, and push it again if it is broken; then run again: only what is left is copied"
	}
	return "run again when the mirror works: only what is left is copied"
}

// conclude shows and keeps the result, and says how the run ended: 1 beats 3.
func (f *runFlags) conclude(cmd *cobra.Command, r runResult, failed error) error {
	if err := errors.Join(failed, outlets{f.output, f.artifacts, f.metrics}.put(cmd, r)); err != nil {
		return err
	}
	if !r.Complete {
		return &job.Exit{Code: job.Incomplete, Message: "promote run: something is left to do"}
	}
	return nil
}

func (r runResult) options() report.Options {
	return report.Options{Title: "promote run", Commit: r.Commit, Coverage: r.Coverage, Started: r.Started, Ended: r.Ended}
}

func (r runResult) report(w io.Writer, format string) error {
	return report.Write(w, format, r.Findings, r.options())
}

func (r runResult) json(w io.Writer) error { return encode(w, r) }

func (p *projectResult) state() string {
	var parts []string
	if p.Frozen != "" {
		parts = append(parts, "frozen")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Phases)) {
		parts = append(parts, fmt.Sprintf("%s %d of %d", name, p.Phases[name].Done, p.Phases[name].Done+p.Phases[name].Failed))
	}
	return strings.Join(parts, ", ")
}

func (r runResult) text(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Projects) > 0 {
		fmt.Fprintln(table, "PROJECT\tTARGETS\tCOPIED\tFAILED\tLEFT\tSENT\t")
	}
	for _, p := range r.Projects {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t%s\n", report.Shown(p.Name, 100), p.Targets, p.Done, p.Failed, p.Left, report.Size(p.Bytes), p.state())
	}
	fmt.Fprintln(table, "\nMIRROR\tCOPIED\tFAILED\tSENT")
	for _, m := range r.Mirrors {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", m.Name, m.Done, m.Failed, report.Size(m.Bytes))
	}
	_ = table.Flush() // the writer below keeps its error
	fmt.Fprintln(w)
}

func (r runResult) markdown(w io.Writer) {
	if len(r.Projects) > 0 {
		fmt.Fprintln(w, "| project | targets | copied | failed | left | sent | |\n|---|--:|--:|--:|--:|--:|---|")
	}
	for _, p := range r.Projects {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %s | %s |\n", markdown.Cell(p.Name), p.Targets, p.Done, p.Failed, p.Left, report.Size(p.Bytes), p.state())
	}
	fmt.Fprintln(w, "\n| mirror | copied | failed | sent |\n|---|--:|--:|--:|")
	for _, m := range r.Mirrors {
		fmt.Fprintf(w, "| %s | %d | %d | %s |\n", markdown.Cell(m.Name), m.Done, m.Failed, report.Size(m.Bytes))
	}
	fmt.Fprintln(w)
}

// save writes the files that Prow's pages and other jobs read.
func (r runResult) save(dir string) error {
	err := saveReport(dir, "junit_promote.xml", r.Findings, r.options())
	return errors.Join(err, writeFile(filepath.Join(dir, "promote.json"), r.json))
}

// metrics writes the run's numbers in Prometheus' text format.
func (r runResult) metrics(w io.Writer) {
	gauges(w, "steward_promote", r.Complete, r.Started, r.Ended)
	fmt.Fprintln(w, "# TYPE steward_promote_targets gauge")
	for _, m := range r.Mirrors {
		fmt.Fprintf(w, "steward_promote_targets{mirror=%q,result=\"copied\"} %d\n", m.Name, m.Done)
		fmt.Fprintf(w, "steward_promote_targets{mirror=%q,result=\"failed\"} %d\n", m.Name, m.Failed)
	}
	fmt.Fprintln(w, "# TYPE steward_promote_sent_bytes gauge")
	for _, m := range r.Mirrors {
		fmt.Fprintf(w, "steward_promote_sent_bytes{mirror=%q} %d\n", m.Name, m.Bytes)
	}
}
