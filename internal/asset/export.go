// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode"

	"sigs.k8s.io/steward/internal/finding"
)

// An exported bucket is a directory of files as gsutil prints them. files is the list
// of those that are read; metadata.txt comes first, because it says which others have
// to be there. The last three are from the layout of 2020.
func exportFiles() []exportFile {
	return []exportFile{
		{name: "metadata.txt", parse: (*exported).metadata},
		{name: "iam.json", tells: []string{"iam"}, parse: (*exported).iam},
		{name: "lifecycle.json", tells: []string{"lifecycle"}, label: "Lifecycle configuration", parse: (*exported).lifecycle},
		{name: "logging.json", tells: []string{"logging.bucket", "logging.prefix"}, label: "Logging configuration", parse: (*exported).logging},
		{name: "retention.txt", tells: []string{"retention.period", "retention.locked", "retention.effective"}, label: "Retention Policy", parse: (*exported).retention},
		{name: "bucketpolicyonly.txt", tells: []string{"uniformAccess"}, parse: (*exported).policyOnly},
		{name: "cors.txt", tells: []string{"cors"}, parse: (*exported).cors},
		{name: "logging.txt", tells: []string{"logging.bucket", "logging.prefix"}, parse: (*exported).logging},
	}
}

// exportFile is one file and the fields it tells.
type exportFile struct {
	name  string
	tells []string
	// label is the line of metadata.txt that says whether there is such a file.
	label string
	parse func(e *exported, file string, data []byte) error
}

// exported is a bucket while its files are read.
type exported struct {
	writer
	dir      string
	lines    map[string]Line // of metadata.txt, by label; nil where there is none
	memo     memo
	problems []finding.Finding
}

// memo remembers policies and access control lists by their text: those of one project
// are alike.
type memo map[string][]element

// Line is one setting of metadata.txt.
type Line struct {
	Value  string // may have several lines
	Number int    // of the label, from 1
	below  int    // lines between it and where the value begins
}

// newLine trims a value that begins behind its label.
func newLine(raw string, number int) Line {
	value := strings.TrimLeftFunc(raw, unicode.IsSpace)
	return Line{strings.TrimSpace(value), number, strings.Count(raw[:len(raw)-len(value)], "\n")}
}

// parseExport reads the files of one bucket; data is by file name, and odd are those that
// are no files: links, pipes.
func (p *Parser) parseExport(project, bucket, dir string, data map[string][]byte, odd map[string]bool, memo memo) (*Bucket, []finding.Finding) {
	e := &exported{writer: p.writer(project, bucket, dir+"/metadata.txt"), dir: dir, memo: memo}
	for _, f := range exportFiles() {
		text, has := data[f.name]
		if odd[f.name] {
			e.problem(f.name, "", 0, "is a link or something else that is no file, so what it declares is not known")
			continue
		}
		if !has {
			e.without(f, data)
			continue
		}
		if err := f.parse(e, dir+"/"+f.name, text); err != nil {
			e.problem(f.name, "", lineOf(err), "is not what an export has: %v", err)
		}
	}
	e.finish()
	return e.bucket, e.problems
}

// without tells what the absence of a file means: nothing, unless metadata.txt says
// that there is nothing to export.
func (e *exported) without(f exportFile, data map[string][]byte) {
	if f.name == "iam.json" {
		e.problem(f.name, "", 0, "is missing: who has access to the bucket is not declared")
	}
	if f.label == "" || e.lines == nil {
		return
	}
	said, has := e.lines[f.label]
	if _, old := data[strings.TrimSuffix(f.name, ".json")+".txt"]; old {
		return
	}
	if has && said.Value != "None" {
		e.problem("metadata.txt", f.label, said.Number, "says %s: %s, but there is no %s", f.label, said.Value, f.name)
		return
	}
	for _, path := range f.tells {
		value := e.table.byPath[path].usual
		e.bucket.Fields[path] = Field{value, e.dir + "/metadata.txt", said.Number}
	}
}

// problem notes what is wrong with a file, or with one of its settings.
func (e *exported) problem(file, setting string, number int, format string, args ...any) {
	message := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	e.problems = append(e.problems, finding.Finding{
		Rule: ruleExport, Severity: finding.Warning, Object: Object(e.bucket.Name),
		Field: strings.TrimSuffix(file+"/"+setting, "/"),
		File:  e.dir + "/" + file, Line: number, Message: clip(file + " " + e.clean(file, message, e.dir+"/"+file, number)),
		Fix: "export the bucket again",
	})
}

// finish takes back what means nothing by itself, and the lists of a bucket whose access
// is uniform: they are not in force.
func (w writer) finish() {
	if w.bucket.Fields["uniformAccess"].Value == "true" {
		maps.DeleteFunc(w.bucket.Fields, func(path string, _ Field) bool {
			set, _, _ := strings.Cut(path, "/")
			return set == "acl" || set == "defaultObjectAcl"
		})
	}
	for i := range w.table.rows {
		r := &w.table.rows[i]
		if whole, ok := w.bucket.Fields[r.partOf]; r.partOf != "" && (!ok || whole.Value == "") {
			delete(w.bucket.Fields, r.path)
		}
	}
}

// lineError is a problem of one line.
type lineError struct {
	line int
	error
}

func lineOf(err error) int {
	var at lineError
	if errors.As(err, &at) {
		return at.line
	}
	return 0
}

// metadata reads what gsutil ls -L -b prints. A line that is not understood leaves its
// field untold.
func (e *exported) metadata(file string, data []byte) error {
	lines, err := Lines(string(data), e.bucket.Name)
	e.lines = lines
	for label, l := range lines {
		switch r := e.table.byLabel[label]; {
		case r != nil && r.elements != nil:
			e.multiline(r, file, l)
		case r != nil:
			e.settled(r, file, l)
		case !e.table.skipped[label]:
			name := e.clean("metadata.txt", label, file, l.Number)
			e.unknown("metadata.txt/"+name, e.clean("metadata.txt/"+name, l.Value, file, l.Number), file, l.Number)
		}
	}
	for i := range e.table.rows {
		r := &e.table.rows[i]
		if _, said := lines[r.label]; r.presumed && !said && r.label != "" && lines != nil {
			e.scalar(r.path, r.usual, file, 0)
		}
	}
	return err
}

// settled tells a setting of one line.
func (e *exported) settled(r *row, file string, l Line) {
	value, ok := r.said(l.Value)
	if !ok {
		e.problem("metadata.txt", r.label, l.Number, "says %s: %s, which means nothing", r.label, l.Value)
		return
	}
	e.scalar(r.path, e.clean(r.path, value, file, l.Number), file, l.Number)
}

// multiline tells a set, which gsutil prints as indented JSON below its label.
func (e *exported) multiline(r *row, file string, l Line) {
	if l.Value == "None" || l.Value == "[]" {
		e.set(r.path, file, l.Number, nil, nil)
		return
	}
	elements, seen := e.memo[l.Value]
	if !seen || r.path == "labels" {
		raw, err := e.decode([]byte(l.Value), r.path, file)
		ok := err == nil
		if ok {
			elements, ok = r.elements(raw)
		}
		if !ok {
			e.problem("metadata.txt", r.label, l.Number, "has a value of %s that is not what an export has", r.label)
			return
		}
	}
	e.set(r.path, file, l.Number, elements, newCursor(l.Value, l.Number+l.below).line)
	if len(e.bucket.Leaks) == 0 && r.path != "labels" {
		e.memo[l.Value] = elements
	}
}

// Lines splits metadata.txt into its settings, by label. What is wrong with it is told
// beside what could be read.
func Lines(data, bucket string) (map[string]Line, error) {
	first, rest, _ := strings.Cut(data, "\n")
	var problems []error
	if name, ok := strings.CutSuffix(strings.TrimSpace(first), "/ :"); !ok || name != Object(bucket) {
		problems = append(problems, lineError{1, fmt.Errorf("is about %.100q, not about %s", first, Object(bucket))})
	}
	lines := make(map[string]Line, 24)
	label, number, start := "", 1, 0 // start of its value, which ends where the next label begins
	at := len(first) + 1
	for text := range strings.SplitAfterSeq(rest, "\n") {
		number++
		name, _, isLabel := strings.Cut(text, ":")
		name, indented := strings.CutPrefix(name, "\t")
		switch {
		case indented && isLabel && name != "" && name[0] != ' ' && name[0] != '\t':
			if label = strings.TrimSpace(name); lines[label].Number > 0 {
				problems = append(problems, lineError{number, fmt.Errorf("says %.100q twice", label)})
			}
			start = at + strings.IndexByte(text, ':') + 1
			lines[label] = newLine(data[start:at+len(text)], number)
		case label != "" && strings.HasPrefix(text, "\t "):
			lines[label] = newLine(data[start:at+len(text)], lines[label].Number)
		case strings.TrimSpace(text) != "":
			problems = append(problems, lineError{number, fmt.Errorf("has the line %.100q", text)})
		}
		at += len(text)
	}
	return lines, errors.Join(problems...)
}

func (e *exported) iam(file string, data []byte) error {
	lineOf := newCursor(string(data), 1).line
	if elements, seen := e.memo[string(data)]; seen {
		e.set("iam", file, 0, elements, lineOf)
		return nil
	}
	v, err := e.decode(data, "iam", file)
	if err != nil {
		return err
	}
	policy, ok := v.(map[string]any)
	if !ok {
		return errors.New("not an object")
	}
	elements, err := e.policy(policy, file, lineOf)
	if err == nil && len(e.bucket.Leaks)+len(e.bucket.Unknown) == 0 {
		e.memo[string(data)] = elements
	}
	return err
}

func (e *exported) lifecycle(file string, data []byte) error {
	v, err := e.decode(data, "lifecycle", file)
	if err != nil {
		return err
	}
	object, _ := v.(map[string]any)
	rules, ok := lifecycleRules(object["rule"])
	if !ok {
		return errors.New("no list of rules")
	}
	e.set("lifecycle", file, 1, rules, newCursor(string(data), 1).line)
	return nil
}

// logging reads both logging.json and, of 2020, logging.txt.
func (e *exported) logging(file string, data []byte) error {
	if bytes.Contains(data, []byte("has no logging configuration")) {
		e.scalar("logging.bucket", "", file, 1)
		return nil
	}
	v, err := e.decode(data, "logging", file)
	if err != nil {
		return err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return errors.New("not an object")
	}
	for key, path := range map[string]string{"logBucket": "logging.bucket", "logObjectPrefix": "logging.prefix"} {
		value, isText := text(object[key])
		if !isText && object[key] != nil {
			return fmt.Errorf("%s is no text", key)
		}
		e.scalar(path, value, file, 1)
	}
	return nil
}

// retention reads what gsutil retention get prints.
func (e *exported) retention(file string, data []byte) error {
	if bytes.Contains(data, []byte("has no Retention Policy")) {
		e.scalar("retention.period", "", file, 1)
		return nil
	}
	for i, text := range strings.Split(string(data), "\n") {
		switch key, value, _ := strings.Cut(strings.TrimSpace(text), ":"); {
		case key == "Retention Policy (LOCKED)" || key == "Retention Policy (UNLOCKED)":
			e.scalar("retention.locked", map[bool]string{true: "true", false: "false"}[strings.HasSuffix(key, "(LOCKED)")], file, i+1)
		case key == "Duration":
			period, err := GsutilDuration(strings.TrimSpace(value))
			if err != nil {
				return lineError{i + 1, err}
			}
			e.scalar("retention.period", period, file, i+1)
		case key == "Effective Time":
			at, ok := gsutilTime(strings.TrimSpace(value))
			if !ok {
				return lineError{i + 1, fmt.Errorf("%.100q is no time", value)}
			}
			e.scalar("retention.effective", at, file, i+1)
		case key != "":
			return lineError{i + 1, fmt.Errorf("has the line %.100q", text)}
		}
	}
	if _, ok := e.bucket.Fields["retention.period"]; !ok {
		return errors.New("no duration")
	}
	return nil
}

// policyOnly reads what gsutil bucketpolicyonly get printed.
func (e *exported) policyOnly(file string, data []byte) error {
	for i, text := range strings.Split(string(data), "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(text), "Enabled:"); ok {
			enabled, ok := gsutilBool(strings.TrimSpace(value))
			if !ok {
				return lineError{i + 1, fmt.Errorf("%.100q is neither True nor False", value)}
			}
			e.scalar("uniformAccess", enabled, file, i+1)
			return nil
		}
	}
	return errors.New("does not say Enabled")
}

// cors reads what gsutil cors get printed.
func (e *exported) cors(file string, data []byte) error {
	if bytes.Contains(data, []byte("has no CORS configuration")) {
		e.scalar("cors", "", file, 1)
		return nil
	}
	v, err := e.decode(data, "cors", file)
	if err != nil {
		return err
	}
	value, ok := configuration(v)
	if !ok {
		return errors.New("not a list")
	}
	e.scalar("cors", value, file, 1)
	return nil
}
