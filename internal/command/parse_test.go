// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"strings"
	"testing"
)

var testAliases = map[string]string{"why": "why", "thaw": "unfreeze"}

// show is a line as `verb arg arg`, with the fault behind a bang.
func show(lines []Line) string {
	var out []string
	for _, l := range lines {
		s := strings.Join(append([]string{l.Verb}, l.Args...), " ")
		if l.Fault != "" {
			s += " !" + l.Fault
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestParse(t *testing.T) {
	tests := []struct{ rule, body, want string }{
		{"C-1", "/infra why @bob dns/", "why @bob dns/"},
		{"C-1", "/why @bob", "why @bob"},
		{"C-1", "/thaw dns", "unfreeze dns"},
		{"C-1", "/infra", "help"},
		{"C-1", "  /infra why  ", "why"},
		{"C-1", "   /infra why", "why"},
		{"C-1", "/INFRA Why Dns/File", "why Dns/File"},
		{"C-1", "/Why", "why"},
		{"C-1", "/infra\twhy\tdns", "why dns"},
		{"C-1", "text first\n/infra why\nmore text\n/infra help", "why; help"},
		{"C-1", "one\n\n/infra why a\n\ntwo\n\n/infra why b", "why a; why b"},
		{"C-1", "/infra why\r\n/infra help\r\n", "why; help"},
		{"C-1", "text\r/infra why\rtext", "why"},
		{"C-1", "/infra why `dns/` a`b`", "why dns/ a`b`"},
		{"C-1", "/infra freeze dns *urgent* reason_s <b>", "freeze dns *urgent* reason_s <b>"},
		{"C-1", "hello /infra why", ""},
		{"C-1", "infra why", ""},
		{"C-1", "/infrastructure why", ""},
		{"C-1", "/infra:why", ""},
		{"C-1", "//infra why", ""},
		{"C-1", "/ infra why", ""},
		{"C-1", `\/infra why`, ""},
		{"C-1", "&#47;infra why", ""},
		{"C-1", "/", ""},
		{"C-1", "/test all\n/hold", ""},

		{"C-2", "```\n/infra why\n```", ""},
		{"C-2", "~~~ sh\n/infra why\n~~~", ""},
		{"C-2", "```\n/infra why", ""},
		{"C-2", "````\n```\n/infra why\n```\n````\n/infra help", "help"},
		{"C-2", "    /infra why", ""},
		{"C-2", "\t/infra why", ""},
		{"C-2", "text\n    /infra why", ""},
		{"C-2", "text\n\t/infra why", ""},
		{"C-2", "`/infra why`", ""},
		{"C-2", "`text\n/infra why\nend`", ""},
		{"C-2", "/infra freeze dns `a\n/infra why\nb`", "freeze dns `a"},
		{"C-2", "> /infra why", ""},
		{"C-2", "> quoted\n/infra why", ""},
		{"C-2", "> quoted\n\n/infra why", "why"},
		{"C-2", "- /infra why", ""},
		{"C-2", "- item\n/infra why", ""},
		{"C-2", "- item\n\n  /infra why", ""},
		{"C-2", "1. /infra why", ""},
		{"C-2", "# /infra why", ""},
		{"C-2", "/infra why\n===", ""},
		{"C-2", "/infra why\n---", ""},
		{"C-2", "<!--\n/infra why\n-->", ""},
		{"C-2", "<!--\n\n/infra why\n\n-->\n/infra help", "help"},
		{"C-2", "text <!--\n/infra why\n--> text", ""},
		{"C-2", "<div>\n/infra why\n</div>", ""},
		{"C-2", "<pre>\n\n/infra why\n\n</pre>", ""},
		{"C-2", "<details>\n\n/infra why\n\n</details>\n\n/infra help", "help"},
		{"C-2", "<details><summary>x</summary>\n\n/infra why\n\n</details>", ""},
		{"C-2", "<DETAILS open>\n\n/infra why", ""},
		{"C-2", "<details>\n<!-- </details> -->\n\n/infra why", ""},
		{"C-2", "<details>\n\n<a title=\"</details>\">\n\n/infra why", ""},
		{"C-2", "<details\n\n/infra why\n\n>", ""},
		{"C-2", "<details title=\"\n\n/infra why\n\n\">", ""},
		{"C-2", "see <details> here\n/infra why\n</details>\n/infra help", ""},
		{"C-2", "see <details> here\n/infra why\n</details>\n\n/infra help", "help"},
		{"C-2", "*see <details> here*\n/infra why", ""},
		{"C-2", "<details>\n\n> </details>\n\n/infra why", ""},
		{"C-2", "a <br> b <img src=x> <unknown>\n/infra why", "why"},
		{"C-2", "<p align=center>x\n\n/infra why", "why"},
		{"C-2", "</details>\n\n/infra why", "why"},
		{"C-2", "| a |\n|---|\n| /infra why |", ""},
		{"C-2", "| a |\n|---|\n/infra why", ""},
		{"C-2", "/infra why\n|---|\n/infra why", ""},
		{"C-2", "/infra why a\nx\n:-:\n/infra why b", "why a"},
		{"C-2", "| a |\n|---|\n| b |\n\n/infra why", "why"},
		{"C-2", "**bold\n/infra why\nbold**", ""},
		{"C-2", "~~gone\n/infra why\ngone~~", ""},
		{"C-2", "[text\n/infra why\n](http://example.com)", ""},
		{"C-2", "[text](http://example.com \"title\n/infra why\n\")", ""},
		{"C-2", "[ref]: http://example.com \"title\n/infra why\n\"", ""},
		{"C-2", "x[^1]\n\n[^1]: note\n/infra why", ""},
		{"C-2", "[^1]: note\n/infra why", ""},
		{"C-2", "<a href=\"\n/infra why\n\">", ""},
		{"C-2", "***\n/infra why", "why"},
		{"C-2", "text\n/infra why\n```\ncode\n```", "why"},

		{"C-3", "/infra\u00a0why", ""},                   // no-break space: another first word
		{"C-3", "/infra why\u00a0dns", "why\u00a0dns"},   // an unknown verb
		{"C-3", "/infra why dns\u200b", "why dns\u200b"}, // zero width: another path
		{"C-3", "\u200b/infra why", ""},                  //
		{"C-3", "\ufeff/infra why", ""},                  //
		{"C-3", "/infra wh\u0443", "wh\u0443"},           // Cyrillic: an unknown verb
		{"C-3", "/\u0456nfra why", ""},                   // Cyrillic
		{"C-3", "/infra \u212aey", "\u212aey"},           // the Kelvin sign is no k
		{"C-3", "\uff0finfra why", ""},                   // full-width slash
		{"C-3", "text\u2028/infra why", ""},              // ends no line in CommonMark
		{"C-3", "text\u0085/infra why\v/infra help", ""}, //
		{"C-3", "/infra why a\x00b", "why a\x00b"},       //
		{"C-3", "/infra why \xff\xfe", "why \xff\xfe"},   //
		{"C-3", "/infra why\f@bob", "why\f@bob"},         //
		{"C-3", "/infra freeze dns 🙂", "freeze dns 🙂"},   //
	}
	for _, tt := range tests {
		if got := show(Parse(tt.body, testAliases)); got != tt.want {
			t.Errorf("%s: Parse(%q) = %q, want %q", tt.rule, tt.body, got, tt.want)
		}
	}
}

func TestParseBounds(t *testing.T) {
	long := "/infra freeze dns " + strings.Repeat("x", MaxLine)
	got := Parse(long+"\n/infra why", nil)
	if len(got) != 2 || !strings.Contains(got[0].Fault, "at most 512") || len(got[0].Raw) > 100 || got[0].Args != nil {
		t.Errorf("C-4: a long line gives %+v", got)
	}
	if got := Parse("/infra why "+strings.Repeat("x", MaxLine-len("/infra why ")), nil); got[0].Fault != "" {
		t.Errorf("C-4: a line of 512 bytes gives %+v", got)
	}
	got = Parse(strings.Repeat("/infra why\n", 30), nil)
	if len(got) != MaxLines+1 || got[MaxLines-1].Fault != "" || !strings.Contains(got[MaxLines].Fault, "first 20") {
		t.Errorf("C-4: 30 lines give %d", len(got))
	}
	body := "/infra why\n\n" + strings.Repeat("x", MaxBody)
	if got := Parse(body[:MaxBody], nil); len(got) != 1 {
		t.Errorf("C-4: 64 KiB give %v", got)
	}
	if got := Parse(body[:MaxBody+1], nil); got != nil {
		t.Errorf("C-4: more than 64 KiB give %v", got)
	}
}

// The first word is what decides; aliases come from the repository.
func TestAliasesAreOptional(t *testing.T) {
	if got := Parse("/why @bob", nil); got != nil {
		t.Errorf("an alias that is not configured fired: %v", got)
	}
}

// hostile bodies are as long as a comment may be and must not take long.
func hostile() map[string]string {
	fill := func(piece, end string) string {
		n := (MaxBody - 40 - len(end)) / len(piece)
		for body := strings.Repeat(piece, n); excessive(body + end); body = strings.Repeat(piece, n) {
			n = n * 9 / 10
		}
		return strings.Repeat(piece, n) + end + "\n\n/infra why"
	}
	return map[string]string{
		"quotes":    fill(">", "a"),
		"brackets":  fill("[", "a"),
		"links":     fill("[a](", ""),
		"lists":     fill("- ", "a"),
		"stars":     fill("*a _b ", ""),
		"backticks": fill("`` ` ", ""),
		"tags":      fill("<a x='", ""),
		"comments":  fill("<!-", ""),
		"tables":    strings.Repeat("|a", 9000) + "\n" + strings.Repeat("|-", 9000) + strings.Repeat("\n|", 1900) + "\n\n/infra why",
		"footnotes": fill("[^1]: a\n\n", ""),
		"commands":  fill("/infra why\n", ""),
		"details":   fill("<details>\n\n", ""),
		"refs":      fill("[a]: b\n", ""),
		"nested":    fill("> - ", "a"),
		"lazy":      strings.Repeat(">", 50) + strings.Repeat("\na", 1900) + "\n\n/infra why",
	}
}

func TestHostileBodiesParse(t *testing.T) {
	for name, body := range hostile() {
		if got := len(Parse(body, testAliases)); got > MaxLines+1 {
			t.Errorf("C-4: %s: %d lines", name, got)
		}
	}
}

func TestExcessiveCommentsHoldNoCommands(t *testing.T) {
	command := "\n\n/infra why"
	tests := []struct {
		name, body string
		want       int
	}{
		{"50 quotes", strings.Repeat(">", 50) + "a" + command, 1},
		{"51 quotes", strings.Repeat(">", 51) + "a" + command, 0},
		{"51 lists", strings.Repeat("- ", 51) + "a" + command, 0},
		{"51 of both", strings.Repeat("1) > ", 26) + "a" + command, 0},
		{"a rule", strings.Repeat("-", 100) + command, 1},
		{"1000 brackets", strings.Repeat("[", 1000) + command, 1},
		{"1001 brackets", strings.Repeat("[", 1001) + command, 0},
		{"2000 lines", strings.Repeat("a\n", 1998) + command, 1},
		{"2001 lines", strings.Repeat("a\r", 1999) + command, 0},
	}
	for _, tt := range tests {
		if got := len(Parse(tt.body, nil)); got != tt.want {
			t.Errorf("C-4: %s: %d commands, want %d", tt.name, got, tt.want)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	bodies := hostile()
	bodies["usual"] = "Thanks, looks good.\n\n> what do you think?\n\n/infra why @alice dns/zone-configs/k8s.io._0_base.yaml\n"
	bodies["none"] = strings.Repeat("Just a review comment with `code` and [links](http://x).\n", 20)
	for name, body := range bodies {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				Parse(body, testAliases)
			}
		})
	}
}

// outside is a naive reading: the lines that begin with the prefix and stand
// outside of fences, as a person scanning the source would see them. It knows
// less than CommonMark, so Parse may return fewer lines, never others.
func outside(body string) []string {
	var lines []string
	fence := ""
	body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n")
	for line := range strings.SplitSeq(body, "\n") {
		line = strings.Trim(line, " \t")
		switch {
		case fence == "" && (strings.HasPrefix(line, "```") || strings.HasPrefix(line, "~~~")):
			fence = line[:3]
		case fence != "" && strings.HasPrefix(line, fence) && strings.Trim(line, fence[:1]) == "":
			fence = ""
		case fence == "" && (hasWord(line, "/infra") || hasWord(line, "/why") || hasWord(line, "/thaw")):
			lines = append(lines, line)
		}
	}
	return lines
}

func hasWord(line, word string) bool {
	first, _, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	return strings.EqualFold(first, word)
}

func FuzzParse(f *testing.F) {
	for _, body := range []string{
		"/infra why @bob dns/", "```\n/infra why\n```", "> /infra why", "<details>\n\n/infra why\n\n</details>",
		"text\r/infra why", "`a\n/infra b`", "| a |\n|---|\n/infra why", "/WHY\u00a0x", "[a]: b '\n/infra why\n'",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		lines := Parse(body, testAliases)
		if len(lines) > MaxLines+1 || len(body) > MaxBody && len(lines) > 0 {
			t.Fatalf("%d lines from %d bytes", len(lines), len(body))
		}
		for _, l := range lines {
			if l.Verb == "" || l.Fault == "" && len(l.Raw) > MaxLine || strings.ContainsAny(l.Raw, "\r\n") || l.Raw[0] != '/' {
				t.Fatalf("line %+v", l)
			}
		}
		checkPlaces(t, body, lines)
	})
}

// checkPlaces wants that what was wrapped does not fire and that the lines are
// those of the body, in its order.
func checkPlaces(t *testing.T, body string, lines []Line) {
	t.Helper()
	source := strings.Split(strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n"), "\n")
	at := 0
	for _, l := range lines {
		for at < len(source) && l.Fault == "" && strings.Trim(source[at], " \t") != l.Raw {
			at++
		}
		if at == len(source) {
			t.Fatalf("line %q is not in the body, in this order", l.Raw)
		}
		if l.Fault == "" {
			at++
		}
	}
	if len(body) > MaxBody/2 {
		return
	}
	longest := strings.Repeat("`", strings.Count(body, "`")+3)
	fenced := longest + "\n" + body + "\n" + longest
	quoted := "> " + strings.Join(source, "\n> ")
	commented := "<!--\n" + strings.ReplaceAll(body, "-->", "") + "\n-->"
	for name, wrapped := range map[string]string{"fenced": fenced, "quoted": quoted, "commented": commented} {
		if got := Parse(wrapped, testAliases); len(got) != 0 {
			t.Fatalf("a command fired although %s: %s", name, fmt.Sprint(got))
		}
	}
}

// A command never comes out of a fence: where the naive reading sees no command
// outside, Parse must not see one, for bodies made of the pieces that matter.
func TestParseNeverReachesIntoFences(t *testing.T) {
	pieces := []string{"```", "~~~", "/infra why a", "/infra why b", "", "text", "  ```", "````", "/why c"}
	total := 1
	for range 6 {
		total *= len(pieces)
	}
	for n := 0; n < total; n += 7 { // a stride coprime to 9 visits every kind of body
		var body []string
		for rest := n; len(body) < 6; rest /= len(pieces) {
			body = append(body, pieces[rest%len(pieces)])
		}
		text := strings.Join(body, "\n")
		if strings.Contains(text, "````") {
			continue // the naive reading knows three only
		}
		var got []string
		for _, l := range Parse(text, testAliases) {
			got = append(got, l.Raw)
		}
		if want := outside(text); strings.Join(got, ";") != strings.Join(want, ";") {
			t.Fatalf("%q: Parse %q, naive %q", text, got, want)
		}
	}
}
