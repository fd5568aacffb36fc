// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

// The bounds of the file.
const (
	maxFile    = 512 << 10 // bytes
	maxEntries = 2000
	maxReason  = 500 // bytes
	maxText    = 1024
)

var (
	idForm    = regexp.MustCompile(`^[0-9a-f]{16}$`)
	stateForm = regexp.MustCompile(`^[0-9a-f]{16}$`)
	ruleForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$`)
	loginForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
)

// KnownID tells whether a text has the form of a finding's id.
func KnownID(text string) bool { return idForm.MatchString(text) }

// keys are those of an entry, in the order in which they are written.
var keys = []string{"id", "state", "rule", "object", "reason", "approvedBy", "expires", "issue"}

// Parse reads the file; nil or empty content is an absent one. It never fails: what
// cannot be read holds for nothing and is among the problems, all of them at once.
func Parse(content []byte, now time.Time) List {
	nodes, problem := items(content)
	if problem != nil {
		return List{Problems: []finding.Finding{*problem}}
	}
	var l List
	first := map[string]int{}
	for _, node := range nodes {
		e, problems := parseEntry(node)
		if e.ID != "" && first[e.ID] != 0 {
			problems = append(problems, e.problem(duplicate, "the id %s has an entry in line %d already", e.ID, first[e.ID]))
		} else if e.ID != "" {
			first[e.ID] = e.Line
		}
		if len(problems) == 0 {
			problems = e.lifetime(now)
		}
		l.Problems = append(l.Problems, problems...)
		if finding.AtLeast(problems, finding.Error) == 0 {
			l.Entries = append(l.Entries, e)
		}
	}
	return l
}

// lifetime says what the entry's last day means today.
func (e Entry) lifetime(now time.Time) []finding.Finding {
	day := e.Expires.Format(Day)
	today := now.UTC().Truncate(24 * time.Hour)
	switch {
	case !e.Holds(now):
		return []finding.Finding{e.problem(expired, "the acknowledgement of %s of %s ended with %s", e.Rule, e.Object, day)}
	case e.Expires.After(today.AddDate(0, 0, MaxDays)):
		return []finding.Finding{e.problem(tooLong, "expires %s is more than %d days ahead", day, MaxDays)}
	case !e.Expires.After(today.AddDate(0, 0, WarnDays)):
		return []finding.Finding{e.problem(ending, "the acknowledgement of %s of %s ends with %s", e.Rule, e.Object, day)}
	}
	return nil
}

// items returns the nodes of the list.
func items(content []byte) ([]*yaml.Node, *finding.Finding) {
	list, problem := document(content)
	if list == nil || problem != nil {
		return nil, problem
	}
	if len(list.Content) > maxEntries {
		return nil, whole(list.Line, "too many", "%d entries are more than %d", len(list.Content), maxEntries)
	}
	return list.Content, nil
}

// document returns the list of the file, nil where there is none yet.
func document(content []byte) (*yaml.Node, *finding.Finding) {
	if len(content) > maxFile {
		return nil, whole(0, "too long", "%d bytes are more than %d", len(content), maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, whole(0, "syntax", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, whole(0, "syntax", "there is a second YAML document")
	}
	list := doc.Content[0]
	switch {
	case list.Kind == yaml.ScalarNode && list.Tag == "!!null":
		return nil, nil
	case list.Kind != yaml.SequenceNode || list.Anchor != "":
		return nil, whole(list.Line, "syntax", "want a list of entries")
	}
	return list, nil
}

// whole is a problem of the file as such: nothing in it holds.
func whole(line int, field, format string, args ...any) *finding.Finding {
	f := malformed.at(line, "", field, format, args...)
	f.Fix = "mend the file: as it is, it acknowledges nothing"
	return &f
}

// parseEntry reads one mapping of plain texts. There are no anchors, merges or tags:
// what an entry says must stand where it is read.
func parseEntry(node *yaml.Node) (Entry, []finding.Finding) {
	e := Entry{Line: node.Line}
	if node.Kind != yaml.MappingNode || node.Anchor != "" {
		return e, []finding.Finding{malformed.at(node.Line, "", "entry", "want a mapping with %s", strings.Join(keys, ", "))}
	}
	texts, problems := fields(node)
	for _, key := range keys {
		text, set := texts[key]
		switch {
		case !set && key != "issue":
			problems = append(problems, malformed.at(node.Line, e.ID, key, "%s is missing", key))
		case text != nil:
			if r, why := e.set(key, text.Value); why != "" {
				problems = append(problems, r.at(text.Line, e.ID, key, "%s %.80q %s", key, text.Value, why))
			}
		}
	}
	for i, p := range problems {
		if e.ID != "" && p.Object == File {
			problems[i].Object += "#" + e.ID
		}
	}
	return e, problems
}

// fields collects the scalar values of a mapping by key; nil is one that was refused.
func fields(node *yaml.Node) (map[string]*yaml.Node, []finding.Finding) {
	texts := map[string]*yaml.Node{}
	var problems []finding.Finding
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := key.Value
		_, twice := texts[name]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(keys, name):
			problems = append(problems, malformed.at(key.Line, "", fmt.Sprintf("%.40q", name), "unknown key %.40q: want %s", name, strings.Join(keys, ", ")))
		case twice:
			problems = append(problems, malformed.at(key.Line, "", name, "%s stands twice", name))
		case value.Kind != yaml.ScalarNode || value.Anchor != "" || value.Tag == "!!null" || value.Style&yaml.TaggedStyle != 0:
			problems = append(problems, malformed.at(value.Line, "", name, "%s is not a plain text", name))
			texts[name] = nil
		default:
			texts[name] = value
		}
	}
	return texts, problems
}

// set checks and keeps one value; why completes "KEY VALUE …".
func (e *Entry) set(key, text string) (broken rule, why string) {
	value := strings.TrimSpace(text)
	switch key {
	case "id":
		if idForm.MatchString(value) {
			e.ID = value
		}
		return unknownID, unless(idForm.MatchString(value), "is not an id of 16 hexadecimal digits")
	case "state":
		e.State = value
		return unknownID, unless(stateForm.MatchString(value), "is not a state of 16 hexadecimal digits")
	case "rule":
		e.Rule = value
		return malformed, unless(ruleForm.MatchString(value), "is not a rule such as GCS-3")
	case "object":
		e.Object = text // as it is: it is compared with that of the finding
		return malformed, unless(value != "" && len(text) <= maxText, "is empty or longer than %d bytes", maxText)
	case "reason":
		e.Reason = oneLine(value)
		return malformed, unless(e.Reason != "" && len(e.Reason) <= maxReason, "is empty or longer than %d bytes", maxReason)
	case "approvedBy":
		e.ApprovedBy = strings.TrimPrefix(value, "@")
		return malformed, unless(loginForm.MatchString(e.ApprovedBy), "is not a login")
	case "expires":
		var err error
		e.Expires, err = time.Parse(Day, value)
		return malformed, unless(err == nil, "is not a date such as 2026-01-31")
	default:
		e.Issue = value
		return malformed, unless(webAddress(value), "is not an https address")
	}
}

func unless(ok bool, format string, args ...any) string {
	if ok {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func webAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != "" && len(text) <= maxText
}

// oneLine folds everything that is not printed into spaces.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	return strings.Join(strings.Fields(text), " ")
}
