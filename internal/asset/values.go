// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxDepth bounds how deep JSON may be nested. Policies and buckets have five levels.
const maxDepth = 32

// decodeJSON reads one JSON text. Numbers keep their digits.
func decodeJSON(data []byte) (any, error) {
	if depth(data) > maxDepth {
		return nil, fmt.Errorf("is nested deeper than %d levels", maxDepth)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something after its end")
	}
	return v, nil
}

// depth is how deep brackets are nested, those within strings left out.
func depth(data []byte) int {
	deep, at, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			at++
			deep = max(deep, at)
		case !quoted && (c == '}' || c == ']'):
			at--
		}
	}
	return deep
}

// canonical is the one text of a value: keys in order, no space. Only what decodeJSON
// returns is given to it, which can be marshalled.
func canonical(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprintf("%q", err) // no value of JSON does this
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Canonical forms of the API's values. Each says false where the API does not answer so.

func text(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok
}

// asText applies a form of metadata.txt to the API's string.
func asText(form func(string) (string, bool)) func(any) (string, bool) {
	return func(v any) (string, bool) {
		s, ok := v.(string)
		if !ok {
			return "", false
		}
		return form(s)
	}
}

func boolean(v any) (string, bool) {
	b, ok := v.(bool)
	return strconv.FormatBool(b), ok
}

// timestamp drops fractions of a second: gsutil does not show them.
func timestamp(v any) (string, bool) {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC().Format(time.DateTime) + " UTC", err == nil
}

// seconds are an int64, which JSON has as a string.
func seconds(v any) (string, bool) {
	n, err := strconv.ParseUint(fmt.Sprint(v), 10, 63)
	return strconv.FormatUint(n, 10), err == nil
}

// list is a set of strings.
func list(v any) (string, bool) {
	all, ok := v.([]any)
	if !ok {
		return "", false
	}
	words := make([]string, len(all))
	for i, one := range all {
		if words[i], ok = one.(string); !ok {
			return "", false
		}
	}
	slices.Sort(words)
	return strings.Join(words, listSeparator), true
}

// configuration is a part that is compared whole; an empty one is none.
func configuration(v any) (string, bool) {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return "", true
		}
	case map[string]any:
		if len(v) == 0 {
			return "", true
		}
	default:
		return "", false
	}
	return canonical(v), true
}

// Canonical forms of the words of metadata.txt.

func word(s string) (string, bool) {
	if s == "None" {
		s = ""
	}
	return s, true
}

func upper(s string) (string, bool) { return word(strings.ToUpper(s)) }

func gsutilBool(s string) (string, bool) {
	switch s {
	case "None", "False":
		return "false", true
	case "True":
		return "true", true
	}
	return "", false
}

// prevention: unspecified is what inherited was called first.
func prevention(s string) (string, bool) {
	if s == "unspecified" {
		s = "inherited"
	}
	return s, s != ""
}

// present is a configuration of which only the presence is known.
const present = "present"

func presence(s string) (string, bool) {
	switch s {
	case "None":
		return "", true
	case "Present":
		return present, true
	}
	return "", false
}

// samePresence lets a presence stand for any configuration.
func samePresence(a, b string) bool {
	return a == b || a != "" && b != "" && (a == present || b == present)
}

// enabled understands "Enabled on Fri, 29 Jul 2022".
func enabled(s string) (string, bool) { return "true", strings.HasPrefix(s, "Enabled") }

func gsutilTime(s string) (string, bool) {
	t, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", s)
	return t.UTC().Format(time.DateTime) + " UTC", err == nil
}

// pythonList understands how gsutil prints a list: ['US-EAST1', 'US-EAST4'].
func pythonList(s string) (string, bool) {
	s, open := strings.CutPrefix(s, "[")
	s, closed := strings.CutSuffix(s, "]")
	var words []string
	for one := range strings.SplitSeq(s, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "u") // Python 2
		words = append(words, strings.Trim(one, `'"`))
	}
	slices.Sort(words)
	return strings.Join(words, listSeparator), open && closed
}

// GsutilDuration turns "10 Year(s)" into seconds. gsutil's year has 365.25 days and its
// month 31; a period that is none of these is shown in seconds.
func GsutilDuration(s string) (string, error) {
	count, unit, _ := strings.Cut(s, " ")
	n, err := strconv.ParseUint(count, 10, 32)
	if err != nil {
		return "", fmt.Errorf("%.100q is no duration", s)
	}
	unit, _, _ = strings.Cut(unit, " ") // Seconds (~3 Day(s))
	const day = 24 * 60 * 60
	size, ok := map[string]uint64{
		"Year(s)": 365*day + day/4, "Month(s)": 31 * day, "Day(s)": day, "Second(s)": 1, "Seconds": 1,
	}[unit]
	if !ok {
		return "", fmt.Errorf("%.100q is no duration", s)
	}
	return strconv.FormatUint(n*size, 10), nil
}

// digest keeps texts apart that are too long to be shown.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}
