// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Addition is a digest of an image with tags that a list does not have yet.
type Addition struct {
	Image, Digest string
	Tags          []string // none: the digest alone
}

// Add writes additions into an images.yaml. Lines are put in and none is written anew, but for the one whose tags
// become more, so that a reviewer sees the additions and nothing else. In an ordered list they stand where Format
// would put them, else behind what is there. What is declared already is left alone. The result is read again, and
// it is an error if it says anything but the old list and the additions.
func Add(raw []byte, additions []Addition) ([]byte, error) {
	for _, a := range additions {
		var err error
		if raw, err = add(raw, a); err != nil {
			return nil, fmt.Errorf("add %s@%s: %w", a.Image, a.Digest, err)
		}
	}
	return raw, nil
}

func add(raw []byte, a Addition) ([]byte, error) {
	switch {
	case !IsPath(a.Image):
		return nil, errors.New("not a name of an image")
	case !IsDigest(a.Digest):
		return nil, errors.New("not a digest")
	case !every(a.Tags, IsTag):
		return nil, errors.New("not a tag")
	}
	e, err := newEditor(raw)
	if err != nil {
		return nil, err
	}
	before := declares(raw)
	want, err := e.put(a)
	if err != nil || len(want) == 0 {
		return raw, err
	}
	out := []byte(strings.Join(e.lines, ""))
	want = append(want, before...)
	slices.Sort(want)
	if !slices.Equal(want, declares(out)) {
		return nil, errors.New("the list is written in an unusual way: add it by hand")
	}
	return out, nil
}

func every(all []string, is func(string) bool) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return !is(s) })
}

// editor is a list of images as lines and as nodes, which know their lines.
type editor struct {
	lines []string // each with its newline
	root  *yaml.Node
}

func newEditor(raw []byte) (*editor, error) {
	if len(raw) > maxFile {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	if bytes.ContainsRune(raw, '\r') {
		return nil, errors.New("lines end with a carriage return")
	}
	if _, err := ordered(raw); err != nil { // it is a list of images, plainly written
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	e := &editor{lines: slices.Collect(strings.Lines(string(raw)))}
	if n := len(e.lines); n > 0 && !strings.HasSuffix(e.lines[n-1], "\n") {
		e.lines[n-1] += "\n"
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return e, nil
	}
	e.root = doc.Content[0]
	if e.root.Style&yaml.FlowStyle != 0 && len(e.root.Content) > 0 {
		return nil, errors.New("the images stand in one line: add it by hand")
	}
	return e, nil
}

// put changes lines, and returns what the list says then that it did not, as declares does.
func (e *editor) put(a Addition) ([]string, error) {
	tags := slices.Compact(slices.Sorted(slices.Values(a.Tags)))
	said := []string{}
	for _, t := range tags {
		said = append(said, "/dmap/"+a.Digest+" "+t)
	}
	digest := "/dmap/ " + a.Digest
	var last *yaml.Node // dmap of the last image of that name
	for _, image := range e.images() {
		name, dmap := parts(image)
		if name != a.Image {
			continue
		}
		if last = dmap; dmap == nil {
			return nil, errors.New("an image of that name has no dmap")
		}
		if key, value := find(dmap, a.Digest); key != nil {
			return e.more(key, value, tags)
		}
	}
	said = append(said, digest)
	if last == nil {
		e.newImage(a, tags)
		return append(said, "/ name", "/name "+a.Image, "/ dmap"), nil
	}
	return said, e.newDigest(last, a.Digest, tags)
}

func (e *editor) images() []*yaml.Node {
	if e.root == nil {
		return nil
	}
	return e.root.Content
}

// parts are the name and the digests of an image.
func parts(image *yaml.Node) (name string, dmap *yaml.Node) {
	if _, n := find(image, "name"); n != nil {
		name = n.Value
	}
	_, dmap = find(image, "dmap")
	return name, dmap
}

// find looks a key up.
func find(mapping *yaml.Node, key string) (k, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// tagList is ["v1", "v1.0"].
func tagList(tags []string) string {
	quoted := make([]string, len(tags))
	for i, t := range tags {
		quoted[i] = `"` + t + `"`
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// more adds tags to a digest that is there, in its line.
func (e *editor) more(key, value *yaml.Node, tags []string) ([]string, error) {
	old := map[string]bool{}
	all := slices.Clone(tags)
	var said []string
	for _, n := range value.Content {
		if !old[n.Value] {
			old[n.Value] = true
			all = append(all, n.Value)
		}
	}
	for _, t := range tags {
		if !old[t] {
			said = append(said, "/dmap/"+key.Value+" "+t)
		}
	}
	if len(said) == 0 {
		return nil, nil
	}
	slices.Sort(all)
	line := e.lines[key.Line-1]
	begin := strings.Index(line, "[")
	end := strings.LastIndex(line, "]")
	if isNull(value) || value.Kind != yaml.SequenceNode || begin < 0 || end < begin || value.Line != key.Line {
		return nil, errors.New("its tags do not stand in one line: add them by hand")
	}
	e.lines[key.Line-1] = line[:begin] + tagList(slices.Compact(all)) + line[end+1:]
	return said, nil
}

// newDigest puts a digest into an image that is there.
func (e *editor) newDigest(dmap *yaml.Node, digest string, tags []string) error {
	text := fmt.Sprintf("%q: %s\n", digest, tagList(tags))
	if len(dmap.Content) == 0 { // dmap: {}, or nothing behind it
		line := strings.TrimRight(e.lines[dmap.Line-1], " \n")
		indent := len(line) - len(strings.TrimLeft(line, " -"))
		line = strings.TrimRight(strings.TrimSuffix(line, "{}"), " ")
		if !strings.HasSuffix(line, "dmap:") {
			return errors.New("its digests stand in an unusual place: add it by hand")
		}
		e.lines[dmap.Line-1] = line + "\n" + strings.Repeat(" ", indent+2) + text
		return nil
	}
	if dmap.Style&yaml.FlowStyle != 0 {
		return errors.New("its digests stand in one line: add it by hand")
	}
	at := e.end(dmap) + 1
	if first := first(tags) + " " + digest; sortedKeys(dmap) {
		for i := 0; i+1 < len(dmap.Content); i += 2 {
			if key := dmap.Content[i]; first < smallest(dmap.Content[i+1])+" "+key.Value {
				at = e.above(key.Line)
				break
			}
		}
	}
	e.insert(at, strings.Repeat(" ", dmap.Content[0].Column-1)+text)
	return nil
}

// newImage puts an image into the list.
func (e *editor) newImage(a Addition, tags []string) {
	at, indent := len(e.lines)+1, ""
	images := e.images()
	if len(images) > 0 {
		// Column is that of what follows the dash.
		indent = strings.Repeat(" ", max(0, images[0].Column-3))
		at = e.end(e.root) + 1
		names := make([]string, len(images))
		for i, image := range images {
			names[i], _ = parts(image)
		}
		if i, _ := slices.BinarySearch(names, a.Image); slices.IsSorted(names) && i < len(names) {
			at = e.above(images[i].Line)
		}
	} else if e.root != nil { // []
		e.lines[e.root.Line-1] = strings.Replace(e.lines[e.root.Line-1], "[]", "", 1)
	}
	e.insert(at, fmt.Sprintf("%s- name: %s\n%s  dmap:\n%s    %q: %s\n", indent, a.Image, indent, indent, a.Digest, tagList(tags)))
}

// insert puts text in front of a line; lines count from 1.
func (e *editor) insert(line int, text string) { e.lines = slices.Insert(e.lines, line-1, text) }

// above is the first of the comments that stand directly above a line, or the line.
func (e *editor) above(line int) int {
	for line > 1 && strings.HasPrefix(strings.TrimLeft(e.lines[line-2], " "), "#") {
		line--
	}
	return line
}

// end is the last line of a node.
func (e *editor) end(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, e.end(c))
	}
	// The bracket that closes a list may have a line of its own.
	if n.Style&yaml.FlowStyle != 0 {
		for last < len(e.lines) && strings.Trim(e.lines[last], " ]}\n") == "" && strings.TrimSpace(e.lines[last]) != "" {
			last++
		}
	}
	return last
}

// first is the smallest of some tags; "" where there is none.
func first(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	return slices.Min(tags)
}

// smallest is the first of the tags in a node; "" where there is none.
func smallest(tags *yaml.Node) string {
	if len(tags.Content) == 0 {
		return ""
	}
	return slices.MinFunc(tags.Content, func(a, b *yaml.Node) int { return cmp.Compare(a.Value, b.Value) }).Value
}

// sortedKeys tells a dmap whose digests are in canonical order.
func sortedKeys(dmap *yaml.Node) bool {
	last := ""
	for i := 0; i+1 < len(dmap.Content); i += 2 {
		now := smallest(dmap.Content[i+1]) + " " + dmap.Content[i].Value
		if now < last {
			return false
		}
		last = now
	}
	return true
}
