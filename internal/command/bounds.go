// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import "strings"

// The bounds of a comment (rule C-4). GitHub accepts 65,536 characters, and a
// Markdown parser can be made to take minutes over them: with nested quotes, with
// brackets that never close, with thousands of lines of one paragraph. Nobody
// types such a comment to give a command, so it holds none.
const (
	MaxBody     = 64 << 10 // bytes
	maxRows     = 2000
	maxBrackets = 1000
	maxNesting  = 50 // quotes and lists around one line
)

func excessive(body string) bool {
	if len(body) > MaxBody || strings.Count(body, "[") > maxBrackets ||
		strings.Count(body, "\n")+strings.Count(body, "\r") > maxRows {
		return true
	}
	for line := range strings.Lines(body) {
		if nesting(line) > maxNesting {
			return true
		}
	}
	return false
}

// nesting counts the marks of quotes and lists that a line begins with. It may
// count what CommonMark does not, never less.
func nesting(line string) int {
	depth := 0
	for i := range len(line) {
		switch c := line[i]; {
		case c == '>':
			depth++
		case (c == '-' || c == '+' || c == '*' || c == '.' || c == ')') && i+1 < len(line) && strings.IndexByte(" \t", line[i+1]) >= 0:
			depth++
		case strings.IndexByte(" \t-+*.)0123456789\r", c) < 0:
			return depth
		}
	}
	return depth
}
