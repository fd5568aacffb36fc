// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// octoDNS reads YAML 1.1 with PyYAML, this package YAML 1.2 with another library. Both
// agree on the text of a scalar and on nothing else: 1:30 is 90 in Python, 1e5 a number
// in Go, yes a boolean in Python. So the text counts here, and where Python would not
// see a string, rule ZONE-9 asks for quotes.

// python tells as what PyYAML 6 reads a plain scalar.
type python struct {
	name    string
	pattern *regexp.Regexp
}

// pythons are the implicit resolvers of PyYAML's SafeLoader (resolver.py) that look at
// more than a word; all begin with a digit, a sign or a dot.
func pythons() []python {
	compile := func(name, pattern string) python { return python{name, regexp.MustCompile(`^(?:` + pattern + `)$`)} }
	return []python{
		compile("a number", `[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?`+
			`|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)`),
		compile("a number", `[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+`),
		compile("a date", `[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]|[0-9][0-9][0-9][0-9]-[0-9][0-9]?-[0-9][0-9]?`+
			`(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9][0-9]:[0-9][0-9](?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9][0-9])?))?`),
	}
}

// pythonWord is the same for resolvers of single words.
func pythonWord(text string) string {
	switch text {
	case "yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE",
		"on", "On", "ON", "off", "Off", "OFF":
		return "a boolean"
	case "", "~", "null", "Null", "NULL":
		return "nothing"
	case "<<":
		return "a merge key"
	case "=":
		return "a default value"
	}
	return ""
}

// scalars reads scalars; it holds the compiled patterns.
type scalars struct{ pythons []python }

// plain tells whether a scalar is written without quotes and without a tag.
func plain(n *yaml.Node) bool {
	return n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
}

// misread says as what PyYAML reads a scalar that is meant as text, or "".
func (s scalars) misread(n *yaml.Node) string {
	if !plain(n) {
		return ""
	}
	if n.Value == "" || strings.IndexByte("-+.0123456789", n.Value[0]) < 0 {
		return pythonWord(n.Value)
	}
	for _, p := range s.pythons {
		if p.pattern.MatchString(n.Value) {
			return p.name
		}
	}
	return ""
}

// null tells a scalar that holds nothing.
func null(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && plain(n) && pythonWord(n.Value) == "nothing"
}
