// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/report"
)

// filesVersion is raised when a field of the JSON form changes its meaning or goes.
const filesVersion = 1

// filesResult is the JSON form of what a run found and did.
type filesResult struct {
	Version     int                `json:"version"`
	Commit      string             `json:"commit,omitempty"` // none for a working tree
	Since       string             `json:"since,omitempty"`
	Confirmed   bool               `json:"confirmed"` // something may have been written
	Started     time.Time          `json:"started"`
	Ended       time.Time          `json:"ended"`
	Complete    bool               `json:"complete"`
	Interrupted bool               `json:"interrupted,omitempty"`
	Projects    []filesProject     `json:"projects"`
	Findings    []finding.Finding  `json:"findings"`
	Coverage    []finding.Coverage `json:"coverage"`
}

// filesProject is one project. Targets are files times stores that lack them.
type filesProject struct {
	Name     string             `json:"name"`
	Stores   []string           `json:"stores"` // the source, then the destinations
	Same     int                `json:"same"`   // files times stores that are as declared
	Unproven int                `json:"unproven,omitempty"`
	Targets  int                `json:"targets"`
	Copied   int                `json:"copied"`
	Failed   int                `json:"failed"`
	Bytes    int64              `json:"bytes"` // that were sent
	Frozen   string             `json:"frozen,omitempty"`
	Copies   []filestore.Change `json:"copies"` // that were planned

	byStore []int
}

// result puts together what a run did. failed is why it ended early, if it did.
func (r *fileRun) result(started, ended time.Time, interrupted bool, failed error) filesResult {
	out := filesResult{
		Version: filesVersion, Commit: r.commit, Since: r.flags.since, Confirmed: r.held != nil, Started: started.UTC(), Ended: ended.UTC(),
		Interrupted: interrupted, Projects: []filesProject{}, Findings: append([]finding.Finding{}, r.found...), Coverage: []finding.Coverage{r.coverage},
	}
	left, waits := 0, false
	for _, p := range r.projects {
		if p.Project == nil { // it was not come to
			left++
			continue
		}
		failed := 0
		for _, errs := range p.failed {
			failed += len(errs)
		}
		f := filesProject{
			Name: p.name(), Stores: p.Stores, Same: p.Same, Unproven: p.Unproven, Targets: p.targets, Copied: p.copied, Failed: failed, Bytes: p.bytes,
			Frozen: p.frozen, Copies: []filestore.Change{}, byStore: p.byStore,
		}
		for _, s := range p.Plan.Steps {
			f.Copies = append(f.Copies, s.Change)
		}
		out.Projects = append(out.Projects, f)
		out.Findings = append(out.Findings, p.Faults...)
		if r.held != nil {
			left += p.targets - p.copied
		}
		waits = waits || p.frozen != ""
	}
	out.Findings = append(out.Findings, endedEarly(filestore.RuleEnded, interrupted, failed)...)
	finding.Sort(out.Findings)
	out.Complete = left == 0 && !waits && finding.Complete(out.Coverage) && finding.AtLeast(out.Findings, finding.Error) == 0
	return out
}

// total adds up the projects.
func (r filesResult) total() (t filesProject) {
	for _, p := range r.Projects {
		t.Same += p.Same
		t.Targets += p.Targets
		t.Copied += p.Copied
		t.Failed += p.Failed
		t.Bytes += p.Bytes
	}
	return t
}

func (r filesResult) options() report.Options {
	return report.Options{Title: "promote files", Commit: r.Commit, Coverage: r.Coverage, Started: r.Started, Ended: r.Ended}
}

func (r filesResult) report(w io.Writer, format string) error {
	return report.Write(w, format, r.Findings, r.options())
}

func (r filesResult) json(w io.Writer) error { return encode(w, r) }

// planned lists what a project lacks, one line a file. Of a run that wrote it is what was overwritten: that is worth a name.
func (p filesProject) planned(confirmed bool, code func(string) string) (lines []string) {
	copies := p.Copies
	if confirmed {
		copies = slices.DeleteFunc(slices.Clone(copies), func(c filestore.Change) bool { return p.Frozen != "" || !c.Overwrites() })
	}
	for _, c := range copies[:min(len(copies), maxShown)] {
		line := fmt.Sprintf("%s %s sha256:%s to %s stores", code(c.Name), report.Size(c.Size), c.SHA256[:12], of(len(c.To), len(p.Stores)-1))
		if c.Overwrites() {
			line += ", overwriting what was declared before"
		}
		if c.From > 0 {
			line += ", from " + code(p.Stores[c.From]) + " because staging does not hold it any more"
		}
		lines = append(lines, line)
	}
	if more := len(copies) - maxShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

func (r filesResult) text(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROJECT\tAS DECLARED\tMISSING\tCOPIED\tFAILED\tSENT\t")
	for _, p := range r.Projects {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t%s\n", report.Shown(p.Name, 100), p.Same, p.Targets, p.Copied, p.Failed, report.Size(p.Bytes), p.state())
	}
	_ = table.Flush() // the writer below keeps its error
	for _, p := range r.Projects {
		if lines := p.planned(r.Confirmed, func(s string) string { return report.Shown(s, 300) }); len(lines) > 0 {
			fmt.Fprintf(w, "\n%s\n  %s\n", report.Shown(p.Name, 100), strings.Join(lines, "\n  "))
		}
	}
	fmt.Fprintln(w)
}

func (p filesProject) state() string {
	if p.Frozen != "" {
		return "frozen"
	}
	return ""
}

func (r filesResult) markdown(w io.Writer) {
	fmt.Fprintln(w, "| project | as declared | missing | copied | failed | sent | |\n|---|--:|--:|--:|--:|--:|---|")
	for _, p := range r.Projects {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %s | %s |\n", markdown.Cell(p.Name), p.Same, p.Targets, p.Copied, p.Failed, report.Size(p.Bytes), p.state())
	}
	for _, p := range r.Projects {
		if lines := p.planned(r.Confirmed, markdown.Code); len(lines) > 0 {
			fmt.Fprintf(w, "\n%s\n\n- %s\n", markdown.Code(p.Name), strings.Join(lines, "\n- "))
		}
	}
	fmt.Fprintln(w)
}

// save writes the files that Prow's pages and other jobs read.
func (r filesResult) save(dir string) error {
	err := saveReport(dir, "junit_promote_files.xml", r.Findings, r.options())
	return errors.Join(err, writeFile(filepath.Join(dir, "promote_files.json"), r.json))
}

// metrics writes the run's numbers in Prometheus' text format.
func (r filesResult) metrics(w io.Writer) {
	gauges(w, "steward_promote_files", r.Complete, r.Started, r.Ended)
	fmt.Fprintf(w, "# TYPE steward_promote_files_sent_bytes gauge\nsteward_promote_files_sent_bytes %d\n", r.total().Bytes)
	fmt.Fprintln(w, "# TYPE steward_promote_files_targets gauge")
	for _, p := range r.Projects {
		fmt.Fprintf(w, "steward_promote_files_targets{project=%q,result=\"copied\"} %d\n", p.Name, p.Copied)
		fmt.Fprintf(w, "steward_promote_files_targets{project=%q,result=\"left\"} %d\n", p.Name, p.Targets-p.Copied)
	}
}
