// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is one YAML file.
type document struct {
	file    string
	content []byte
	root    *yaml.Node // nil where there is nothing in it
	faulty  bool       // it cannot be read; the problem is reported
}

// syntaxError is what the YAML library says, with its line taken out.
func syntaxError(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits
		text = text[len(m[0]):]
	}
	return line, text
}

// parse reads the one YAML document of a file.
func (p *problems) parse(file string, content []byte) *document {
	d := &document{file: file, content: content}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var root yaml.Node
	err := decoder.Decode(&root)
	if errors.Is(err, io.EOF) {
		return d
	}
	if err == nil {
		if err = decoder.Decode(new(yaml.Node)); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			err = errors.New("a second document begins in the file")
		}
	}
	if err != nil {
		line, text := syntaxError(err)
		d.faulty = true
		p.errorf(ruleFile, place{file, line, ""}, "not one YAML document: %s", p.shown(text))
		return d
	}
	if top := root.Content[0]; !null(top) {
		d.root = top
	}
	return d
}

// entry is a key of a mapping with its value.
type entry struct{ key, value *yaml.Node }

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// Bounds of what aliases and merge keys may multiply.
const (
	maxMerges = 8       // nested merge keys; they may lead in circles
	maxMerged = 100_000 // pairs that merge keys bring, of all files
	maxValues = 500_000 // records and values, of all zones
)

// entries lists the pairs of a mapping as PyYAML sees them: merged mappings first, and
// of two equal keys the later. A key twice in the mapping itself is reported.
func (p *problems) entries(file, object string, n *yaml.Node) []entry {
	return last(p.merge(file, object, n, maxMerges))
}

func (p *problems) merge(file, object string, n *yaml.Node, depth int) []entry {
	var merged, own []entry
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := follow(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			p.errorf(ruleFile, place{file, key.Line, object}, "a key has to be a text")
			continue
		}
		if plain(key) && key.Value == "<<" {
			merged = append(merged, p.merged(file, object, value, depth)...)
			continue
		}
		if first, twice := lines[key.Value]; twice {
			p.errorf(ruleTwice, place{file, key.Line, object + " " + p.named(key.Value)},
				"%s is a key twice: what line %d says of it is lost", p.shown(key.Value), first)
		}
		lines[key.Value] = key.Line
		own = append(own, entry{key, value})
	}
	return append(merged, own...)
}

// merged are the pairs of a merge key's value, a mapping or a list of them.
func (p *problems) merged(file, object string, n *yaml.Node, depth int) []entry {
	n = follow(n)
	at := place{file, n.Line, object}
	switch {
	case depth == 0:
		p.errorf(ruleFile, at, "merge keys are nested deeper than %d, or lead in circles", maxMerges)
	case n.Kind == yaml.MappingNode:
		if p.pairs += len(n.Content) / 2; p.pairs > maxMerged {
			p.errorf(ruleFile, at, "merge keys bring more than %d pairs", maxMerged)
			return nil
		}
		return p.merge(file, object, n, depth-1)
	case n.Kind == yaml.SequenceNode:
		var all []entry
		for i := len(n.Content) - 1; i >= 0 && p.pairs <= maxMerged; i-- { // the first of the list wins
			p.pairs++
			all = append(all, p.merged(file, object, n.Content[i], depth-1)...)
		}
		return all
	default:
		p.errorf(ruleFile, at, "a merge key needs a mapping")
	}
	return nil
}

// last keeps of equal keys the last value, in order.
func last(all []entry) []entry {
	at := make(map[string]int, len(all))
	kept := all[:0:0]
	for _, e := range all {
		if i, ok := at[e.key.Value]; ok {
			kept[i] = e
			continue
		}
		at[e.key.Value] = len(kept)
		kept = append(kept, e)
	}
	return kept
}
