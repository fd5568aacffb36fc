// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/report"
)

// planVersion is raised when a field of the JSON form changes its meaning or goes.
const planVersion = 1

// planFile is the JSON form of a plan.
type planFile struct {
	Version  int                `json:"version"`
	Commit   string             `json:"commit,omitempty"` // none for a working tree
	Since    string             `json:"since,omitempty"`  // as it was given
	Complete bool               `json:"complete"`
	Mirrors  []string           `json:"mirrors"` // what the numbers in copies are indices of
	Total    promotion.Count    `json:"total"`
	Projects []projectFile      `json:"projects"`
	Findings []finding.Finding  `json:"findings"`
	Coverage []finding.Coverage `json:"coverage,omitempty"`
}

type projectFile struct {
	Name   string           `json:"name"`
	File   string           `json:"file"` // that lists the images
	Count  promotion.Count  `json:"count"`
	Copies []promotion.Copy `json:"copies"`
}

func (p planned) file() planFile {
	out := planFile{
		Version: planVersion, Commit: p.commit, Since: p.since, Complete: p.complete(), Mirrors: p.set.Mirrors,
		Projects: []projectFile{}, Findings: append([]finding.Finding{}, p.findings...), Coverage: p.coverage,
	}
	mirrors := map[int]bool{}
	for _, project := range p.projects {
		if project.Plan.Empty() {
			continue
		}
		f := projectFile{Name: project.Manifest.Name, File: project.Manifest.Images, Count: project.Count()}
		for _, s := range project.Plan.Steps {
			f.Copies = append(f.Copies, s.Change)
			for _, m := range s.Change.Mirrors {
				mirrors[m] = true
			}
		}
		out.Projects = append(out.Projects, f)
		out.Total.Images += f.Count.Images
		out.Total.Tags += f.Count.Tags
		out.Total.Targets += f.Count.Targets
	}
	out.Total.Mirrors = len(mirrors)
	return out
}

// write shows a plan.
func (p planned) write(w io.Writer, format string) error {
	if err := show(w, format, p.file()); err != nil {
		return fmt.Errorf("show plan: %w", err)
	}
	return nil
}

// json writes the file copy by copy, each on a line: the whole of it in memory would be
// several times what a plan is.
func (f planFile) json(w io.Writer) error {
	projects := f.Projects
	f.Projects = nil
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	head, tail, _ := bytes.Cut(raw, []byte(`"projects":null`))
	fmt.Fprintf(w, "%s\n\"projects\":[", head)
	comma := ""
	for _, p := range projects {
		copies := p.Copies
		p.Copies = nil
		if raw, err = json.Marshal(p); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\n%s[", comma, bytes.TrimSuffix(raw, []byte("null}")))
		comma = ""
		for _, c := range copies {
			if raw, err = json.Marshal(c); err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\n%s", comma, raw)
			comma = ","
		}
		fmt.Fprint(w, "]}")
		comma = ","
	}
	_, err = fmt.Fprintf(w, "]\n%s\n", tail)
	return err
}

// report shows what is wrong, where anything is.
func (f planFile) report(w io.Writer, format string) error {
	if f.Complete && len(f.Coverage) == 0 {
		return nil
	}
	return report.Write(w, format, f.Findings, report.Options{Title: "promote plan", Commit: f.Commit, Coverage: f.Coverage})
}

// What is shown to people of one project.
const (
	maxShown = 20
	maxTags  = 20 // of one of them
)

// text is a table of projects, and below it their images.
func (f planFile) text(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(f.Projects) > 0 {
		fmt.Fprintln(table, "PROJECT\tIMAGES\tTAGS\tTARGETS\tMIRRORS")
	}
	for _, p := range f.Projects {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", report.Shown(p.Name, 100), p.Count.Images, p.Count.Tags, p.Count.Targets, of(p.Count.Mirrors, len(f.Mirrors)))
	}
	_ = table.Flush() // the writer below keeps its error
	for _, p := range f.Projects {
		fmt.Fprintf(w, "\n%s\n", report.Shown(p.File, 300))
		for _, c := range p.Copies[:min(maxShown, len(p.Copies))] {
			fmt.Fprintf(w, "  %4d  %s\n", c.Line, f.copy(c, func(s string) string { return s }))
		}
		if more := len(p.Copies) - maxShown; more > 0 {
			fmt.Fprintf(w, "        and %d more\n", more)
		}
	}
	if len(f.Projects) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, f.summary())
}

// copy is "kubernetes/pause:3.9,latest sha256:0123456789ab to all 22 mirrors".
func (f planFile) copy(c promotion.Copy, code func(string) string) string {
	name, more := c.Path, ""
	if n := min(len(c.Tags), maxTags); n > 0 {
		name += ":" + strings.Join(c.Tags[:n], ",")
	}
	if n := len(c.Tags) - maxTags; n > 0 {
		more = fmt.Sprintf(" and %d more tags", n)
	}
	text := code(name) + more + " " + code(c.Digest[:len("sha256:")+12]) + " to " + of(len(c.Mirrors), len(f.Mirrors)) + " mirrors"
	switch n := len(c.Stored); {
	case n == len(c.Mirrors):
		text += ", which hold it without the tag"
	case n > 0:
		text += fmt.Sprintf(", of which %d hold it without the tag", n)
	}
	if len(c.Mirrors) <= 2 && len(f.Mirrors) > 2 {
		var names []string
		for _, m := range c.Mirrors {
			names = append(names, code(f.Mirrors[m]))
		}
		text += " (" + strings.Join(names, ", ") + ")"
	}
	for _, root := range f.Mirrors {
		if strings.HasPrefix(c.Source, root+"/") {
			text += ", from " + code(root) + " because the source does not hold it any more"
		}
	}
	return text
}

// summary is the last line of a plan.
func (f planFile) summary() string {
	if len(f.Projects) == 0 {
		return "promote plan: nothing is to be copied"
	}
	return fmt.Sprintf("promote plan: %s, %s with %s to %s mirrors, %s; how many bytes is known when they are copied", report.Number(len(f.Projects), "project"),
		report.Number(f.Total.Images, "image"), report.Number(f.Total.Tags, "tag"), of(f.Total.Mirrors, len(f.Mirrors)), report.Number(f.Total.Targets, "target"))
}

func of(n, all int) string {
	if n == all && n > 1 {
		return fmt.Sprintf("all %d", n)
	}
	return fmt.Sprintf("%d of %d", n, all)
}

func (f planFile) markdown(w io.Writer) {
	if len(f.Projects) > 0 {
		fmt.Fprintln(w, "| project | images | tags | targets | mirrors |\n|---|--:|--:|--:|--:|")
	}
	for _, p := range f.Projects {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %s |\n", markdown.Cell(p.Name), p.Count.Images, p.Count.Tags, p.Count.Targets, of(p.Count.Mirrors, len(f.Mirrors)))
	}
	for _, p := range f.Projects {
		fmt.Fprintf(w, "\n%s\n\n", markdown.Code(p.File))
		for _, c := range p.Copies[:min(maxShown, len(p.Copies))] {
			fmt.Fprintf(w, "- %s\n", f.copy(c, markdown.Code))
		}
		if more := len(p.Copies) - maxShown; more > 0 {
			fmt.Fprintf(w, "- and %d more\n", more)
		}
	}
	if len(f.Projects) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, f.summary()+"\n")
}
