// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Format writes an images.yaml in its canonical form: images by name, digests by their smallest tag and then by themselves, tags
// sorted, digests and tags in double quotes, tags of a digest on one line. Comments stay with what they stand at, every value
// keeps its text, and an image that stands several times is not joined, because its parts may have comments that say why. What
// is not an images.yaml, or would be read differently afterwards, is an error and nothing is changed.
func Format(raw []byte) ([]byte, error) {
	if len(raw) > maxFile {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	out, err := ordered(raw)
	if err != nil {
		return nil, err
	}
	said := declares(raw)
	// The library moves some comments once more when it reads what it wrote.
	for range 3 {
		again, err := ordered(out)
		if err != nil || !slices.Equal(said, declares(again)) {
			break
		}
		if bytes.Equal(out, again) {
			return out, nil
		}
		out = again
	}
	return nil, errors.New("it cannot be written in order without changing what it says: is there a comment in an unusual place?")
}

// ordered is one pass.
func ordered(raw []byte) ([]byte, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return raw, nil // nothing, or comments
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second YAML document")
	}
	root := doc.Content[0]
	if isNull(root) {
		return raw, nil
	}
	if err := canonicalList(root); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %w", n.Line, fmt.Errorf(format, args...))
}

// canonicalList sorts the list of images.
func canonicalList(root *yaml.Node) error {
	if root.Kind != yaml.SequenceNode || odd(root) {
		return at(root, "not a plain list of images")
	}
	root.Style = 0
	names := map[*yaml.Node]string{}
	for _, image := range root.Content {
		name, err := canonicalImage(image)
		if err != nil {
			return err
		}
		names[image] = name
	}
	slices.SortStableFunc(root.Content, func(a, b *yaml.Node) int { return strings.Compare(names[a], names[b]) })
	return nil
}

// canonicalImage sorts the digests of one and returns its name.
func canonicalImage(image *yaml.Node) (string, error) {
	if image.Kind != yaml.MappingNode || odd(image) {
		return "", at(image, "an image is not a plain mapping")
	}
	image.Style = 0
	name := ""
	for i := 0; i+1 < len(image.Content); i += 2 {
		key, value := image.Content[i], image.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || odd(key) || odd(value):
			return "", at(key, "a key or value is not plain")
		case key.Value == "name" && value.Kind == yaml.ScalarNode:
			name = value.Value
			if i > 0 { // the name stands first
				image.Content = slices.Concat(image.Content[i:i+2], image.Content[:i], image.Content[i+2:])
			}
		case key.Value == "dmap" && value.Kind == yaml.MappingNode:
			if err := canonicalDigests(value); err != nil {
				return "", err
			}
		case key.Value == "dmap" && isNull(value):
		default:
			return "", at(key, "%s is not the name or the digests of an image", quote(key.Value))
		}
	}
	if name == "" {
		return "", at(image, "an image has no name")
	}
	return name, nil
}

// canonicalDigests sorts a dmap.
func canonicalDigests(dmap *yaml.Node) error {
	type pair struct {
		key, value *yaml.Node
		first      string // its smallest tag
	}
	var pairs []pair
	for i := 0; i+1 < len(dmap.Content); i += 2 {
		p := pair{key: dmap.Content[i], value: dmap.Content[i+1]}
		if p.key.Kind != yaml.ScalarNode || odd(p.key) || p.value.Kind != yaml.SequenceNode && !isNull(p.value) || odd(p.value) {
			return at(p.key, "a digest or its tags are not plain")
		}
		quoted(p.key)
		for _, tag := range p.value.Content {
			if tag.Kind != yaml.ScalarNode || odd(tag) || isNull(tag) {
				return at(tag, "a tag is not a plain text")
			}
			quoted(tag)
		}
		slices.SortStableFunc(p.value.Content, func(a, b *yaml.Node) int { return strings.Compare(a.Value, b.Value) })
		if len(p.value.Content) > 0 {
			p.first = p.value.Content[0].Value
		}
		if p.value.Kind == yaml.SequenceNode && !commented(p.value.Content) {
			p.value.Style = yaml.FlowStyle
		}
		pairs = append(pairs, p)
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.first, b.first); c != 0 {
			return c
		}
		return strings.Compare(a.key.Value, b.key.Value)
	})
	if len(pairs) > 0 {
		dmap.Style = 0
	}
	dmap.Content = dmap.Content[:0]
	for _, p := range pairs {
		dmap.Content = append(dmap.Content, p.key, p.value)
	}
	return nil
}

// quoted keeps the text of a scalar, whatever it looks like.
func quoted(n *yaml.Node) { n.Style, n.Tag = yaml.DoubleQuotedStyle, "!!str" }

// commented tells whether a comment stands between tags, for which one line has no room.
func commented(tags []*yaml.Node) bool {
	return slices.ContainsFunc(tags, func(t *yaml.Node) bool { return t.HeadComment+t.LineComment+t.FootComment != "" })
}

// declares lists what a file says, sorted: NAME DIGEST TAG, and the lines of comments.
func declares(raw []byte) []string {
	var all []string
	var root yaml.Node
	if yaml.Unmarshal(raw, &root) != nil {
		return nil
	}
	if root.Kind == 0 { // the library drops the comments of a file that holds nothing else
		root.HeadComment = string(raw)
	}
	var visit func(n *yaml.Node, path string)
	visit = func(n *yaml.Node, path string) {
		for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
			for line := range strings.SplitSeq(c, "\n") {
				if line != "" {
					all = append(all, "# "+strings.TrimSpace(line))
				}
			}
		}
		switch n.Kind {
		case yaml.ScalarNode:
			all = append(all, path+" "+n.Value)
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				visit(n.Content[i], path+"/")
				visit(n.Content[i+1], path+"/"+n.Content[i].Value)
			}
		default:
			for _, c := range n.Content {
				visit(c, path)
			}
		}
	}
	visit(&root, "")
	slices.Sort(all)
	return all
}
