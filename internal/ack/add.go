// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ack

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

const header = `# Findings of the audit that their owners know of.
#
# An entry holds for one fault as it was when it was acknowledged, until the day
# under expires, at most 180 days ahead. It is shown by every report and fails
# nothing. Write entries with "/infra drift accept ID until DATE REASON" on a pull
# request or issue. What an entry needs is in docs/drift.md of steward.
`

// Add returns the file with an entry more. Comments, order and the form of all other
// entries stay; an entry of the same id is replaced where it stands. Nil content is
// an absent file, which begins with an explanation.
//
// An error means that the file cannot be added to as it is, and says why.
func Add(content []byte, e Entry) ([]byte, error) {
	list, problem := document(content)
	if problem != nil {
		return nil, fmt.Errorf("%s: %s", problem.Position(), problem.Message)
	}
	text, err := e.render(column(list))
	if err != nil {
		return nil, err
	}
	var added []byte
	switch i := place(list, e.ID); {
	case list == nil && len(bytes.TrimSpace(content)) == 0:
		added = []byte(header + "\n" + text)
	case list != nil && len(list.Content) == 0 && list.Style&yaml.FlowStyle != 0:
		added = fill(content, list, text)
	case list != nil && list.Style&yaml.FlowStyle != 0:
		return nil, fmt.Errorf("%s:%d: the list is in brackets; write one entry after another, each beginning with a dash", File, list.Line)
	case i >= 0:
		added = replace(content, list, i, text)
	default:
		added = append(ended(content), text...)
	}
	return added, verify(content, added, e)
}

// column is how far the entries are indented.
func column(list *yaml.Node) int {
	if list == nil || len(list.Content) == 0 || list.Style&yaml.FlowStyle != 0 {
		return 0
	}
	return list.Column - 1
}

// place is the index of the entry with an id, or -1.
func place(list *yaml.Node, id string) int {
	if list == nil {
		return -1
	}
	return slices.IndexFunc(list.Content, func(node *yaml.Node) bool {
		e, _ := parseEntry(node)
		return e.ID == id
	})
}

// render is the entry as YAML.
func (e Entry) render(indent int) (string, error) {
	values := map[string]string{
		"id": e.ID, "state": e.State, "rule": e.Rule, "object": e.Object, "reason": oneLine(e.Reason),
		"approvedBy": e.ApprovedBy, "expires": e.Expires.Format(Day), "issue": e.Issue,
	}
	var b strings.Builder
	lead := "- "
	for _, key := range keys {
		if key == "issue" && e.Issue == "" {
			continue
		}
		scalar, err := quote(key, values[key])
		if err != nil {
			return "", fmt.Errorf("write %s: %w", key, err)
		}
		fmt.Fprintf(&b, "%s%s%s: %s\n", strings.Repeat(" ", indent), lead, key, scalar)
		lead = "  "
	}
	return b.String(), nil
}

// quote writes a value such that every YAML parser reads a text; dates stay bare, as
// people write them.
func quote(key, value string) (string, error) {
	if key == "expires" {
		return value, nil
	}
	out, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: value})
	return strings.TrimSuffix(string(out), "\n"), err
}

// ended is a copy of content that ends with a line break.
func ended(content []byte) []byte {
	content = slices.Clone(content)
	if len(content) > 0 && content[len(content)-1] != '\n' {
		content = append(content, '\n')
	}
	return content
}

// fill puts the first entry in the place of an empty pair of brackets.
func fill(content []byte, list *yaml.Node, text string) []byte {
	lines := bytes.SplitAfter(content, []byte("\n"))
	line := lines[list.Line-1]
	at := max(bytes.IndexByte(line, '['), 0)
	after := bytes.IndexByte(line[at:], ']')
	if after < 0 {
		return content // the brackets stand on two lines: verify refuses
	}
	rest := bytes.TrimLeft(line[at+after+1:], " \t\r\n")
	lines[list.Line-1] = slices.Concat(line[:at], []byte(text), rest)
	return bytes.Join(lines, nil)
}

// replace puts text in the place of the entry i, without the comments after it, which
// belong to the next one.
func replace(content []byte, list *yaml.Node, i int, text string) []byte {
	lines := bytes.SplitAfter(ended(content), []byte("\n"))
	start := dash(lines, list, i)
	end := len(lines)
	if i+1 < len(list.Content) {
		end = dash(lines, list, i+1)
	}
	for end > start+1 && blank(lines[end-1]) {
		end--
	}
	return bytes.Join(slices.Concat(lines[:start], [][]byte{[]byte(text)}, lines[end:]), nil)
}

// dash is the index of the line with the dash of an entry, at its first key or above.
func dash(lines [][]byte, list *yaml.Node, i int) int {
	at := list.Content[i].Line - 1
	for at > 0 && !bytes.HasPrefix(bytes.TrimLeft(lines[at], " "), []byte("-")) {
		at--
	}
	return at
}

func blank(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// verify reads both versions: the new one must have the entry, all others unchanged,
// and nothing new that is wrong.
func verify(before, after []byte, want Entry) error {
	// What holds when does not matter here; on its last day nothing is too long.
	old, now := Parse(before, want.Expires), Parse(after, want.Expires)
	kept := slices.DeleteFunc(slices.Clone(old.Entries), func(e Entry) bool { return e.ID == want.ID })
	others := slices.DeleteFunc(slices.Clone(now.Entries), func(e Entry) bool { return e.ID == want.ID })
	if fresh := finding.New(old.Problems, now.Problems); finding.AtLeast(fresh, finding.Error) > 0 {
		return fmt.Errorf("%s: the entry cannot be added: %s", fresh[0].Position(), fresh[0].Message)
	}
	got, ok := now.Find(want.ID)
	want.Reason = oneLine(want.Reason)
	if !ok || !got.equal(want) || !slices.EqualFunc(kept, others, Entry.equal) {
		return errors.New(File + ": the entry cannot be added without changing another one: write it by hand")
	}
	return nil
}

// equal compares all but the line.
func (e Entry) equal(other Entry) bool {
	e.Line, other.Line = 0, 0
	e.Expires, other.Expires = e.Expires.Truncate(24*time.Hour), other.Expires.Truncate(24*time.Hour)
	return e == other
}
