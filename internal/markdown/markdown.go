// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package markdown writes untrusted text into comments that GitHub renders.
//
// File names, logins, commands and error texts come from whoever opened a pull
// request. Shown raw they could mention a thousand people, close issues, forge a
// hidden marker or draw a table of lies. Everything a person typed goes through
// Code or Text before it stands in a comment.
package markdown

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is the number of characters GitHub accepts in a comment body.
const Limit = 65536

// Code is s as an inline code span: no mention, link, HTML or marker in it has
// an effect. The fence is longer than any run of backticks inside (CommonMark
// 6.1); control characters become visible, so that a name cannot hide its end.
func Code(s string) string {
	s = visible(s)
	if s == "" {
		return "(empty)"
	}
	fence := strings.Repeat("`", longestRun(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") ||
		strings.HasPrefix(s, " ") && strings.HasSuffix(s, " ") {
		s = " " + s + " "
	}
	// A code span does not protect from GitHub's comment stripping when the
	// body is read back by programs that look for markers.
	s = strings.ReplaceAll(s, "<!--", "<!‐-")
	return fence + s + fence
}

// Cell is Code for use inside a table, where a pipe ends the cell even in a span.
func Cell(s string) string { return strings.ReplaceAll(Code(s), "|", `\|`) }

// Text is s as plain prose: every ASCII punctuation character that CommonMark or
// GitHub gives a meaning is escaped, and mentions and issue references are broken.
func Text(s string) string {
	var b strings.Builder
	for _, r := range visible(s) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '@' || r == '#':
			// A word joiner after the sign keeps GitHub from linking it.
			b.WriteRune(r)
			b.WriteRune('\u2060')
		case strings.ContainsRune("\\`*_[]!|~$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return noLinks(b.String())
}

// noLinks breaks the addresses that GitHub links without any markup.
func noLinks(s string) string {
	return strings.NewReplacer("://", "&#58;//", "www.", "www&#46;", "WWW.", "WWW&#46;", "GH-", "GH&#45;", "gh-", "gh&#45;").Replace(s)
}

// Login shows a login without mentioning it: a bot that answers in one comment
// edited in place has no business notifying the people it lists.
func Login(login string) string { return Code(login) }

// Logins is a list of logins, at most most of them, the rest counted.
func Logins(all []string, most int) string {
	shown := all
	if len(all) > most {
		shown = all[:most]
	}
	parts := make([]string, len(shown))
	for i, l := range shown {
		parts[i] = Login(l)
	}
	text := strings.Join(parts, ", ")
	if rest := len(all) - len(shown); rest > 0 {
		text += " and " + strconv.Itoa(rest) + " more"
	}
	return text
}

// Clip cuts s to at most limit characters (runes, as GitHub counts) at a line
// end where there is one, and appends note when it cut. The note is inside the limit.
func Clip(s string, limit int, note string) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	keep := limit - utf8.RuneCountInString(note)
	runes := 0
	for i := range s {
		if runes == keep {
			s = s[:i]
			break
		}
		runes++
	}
	if i := strings.LastIndexByte(s, '\n'); i > len(s)/2 {
		s = s[:i+1]
	}
	return s + note
}

// visible replaces control, bidirectional and invalid characters by U+FFFD and
// folds line breaks to a space: the text must stay on the line it was put on.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return utf8.RuneError
		}
		return r
	}, s)
}

func longestRun(s string, c byte) int {
	longest, run := 0, 0
	for i := range len(s) {
		if s[i] != c {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
