// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a file of Prow. The largest known config.yaml has 1 MiB.
const maxFile = 16 << 20

// document is a YAML file that tells where something stands after it was decoded.
type document struct {
	file string
	root *yaml.Node
}

// decode reads the first YAML document of a file, which is all that Prow reads, into a struct. Keys that the struct
// does not name are ignored. The error lists everything of a wrong type with its line.
func decode(file string, content []byte, into any) (document, error) {
	if len(content) > maxFile {
		return document{}, fmt.Errorf("%s: %d bytes are more than %d", file, len(content), maxFile)
	}
	root := &yaml.Node{}
	err := yaml.NewDecoder(strings.NewReader(string(content))).Decode(root)
	if errors.Is(err, io.EOF) {
		return document{file, root}, nil
	}
	if err == nil {
		fold(root)
		err = root.Decode(into)
	}
	if err != nil {
		return document{}, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return document{file, root}, nil
}

// keys are those that this package decodes.
func keys() []string {
	return []string{
		"tide", "context_options", "branch-protection", "orgs", "repos", "branches",
		"skip-unknown-contexts", "from-branch-protection", "required-contexts",
		"required-if-present-contexts", "optional-contexts", "optional-regex-contexts",
		"protect", "unmanaged", "required_status_checks", "contexts",
		"external_plugins", "name", "endpoint", "events",
		"plank", "job_queue_capacities",
	}
}

// fold writes keys as this package spells them, because Prow reads them in any case: an "Optional-Contexts" that went
// unread would be a gate that is thought closed.
func fold(n *yaml.Node) {
	for i, child := range n.Content {
		fold(child)
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			continue
		}
		for _, key := range keys() {
			if strings.EqualFold(child.Value, key) {
				child.Value = key
			}
		}
	}
}

// line follows keys of mappings and items of lists as far as they exist, and returns the line of the last; 0 where
// nothing of the path exists.
func (d document) line(path ...string) int {
	line, _ := d.find(path)
	return line
}

// find is line, and whether the whole path exists.
func (d document) find(path []string) (line int, whole bool) {
	n := d.root
	if n.Kind == yaml.DocumentNode {
		n = n.Content[0]
	}
	for _, key := range path {
		at, next := entry(n, key)
		if at == nil {
			return line, false
		}
		n, line = next, at.Line
	}
	return line, true
}

// entry finds a key of a mapping with its value, or an item of a list.
func entry(n *yaml.Node, key string) (at, value *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i, child := range n.Content {
		switch {
		case child.Value != key:
		case n.Kind == yaml.SequenceNode:
			return child, child
		case n.Kind == yaml.MappingNode && i%2 == 0:
			return child, n.Content[i+1]
		}
	}
	return nil, nil
}
