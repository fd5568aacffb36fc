// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"regexp/syntax"
)

// Bounds on untrusted input. What exceeds one is malformed, never cut short.
const (
	maxFileBytes    = 256 << 10 // largest real OWNERS_ALIASES known: 25 KB
	maxMarkdownHead = 64 << 10  // only the front matter is read
	maxEntries      = 5000      // names and labels in one file
	maxFilters      = 256       // filters in one file
	maxPattern      = 512       // bytes of one regular expression
	maxProgram      = 10_000    // estimated instructions of one regular expression
	maxFaults       = 50        // reported for one file
	maxNesting      = 64        // of flow collections in one file
	maxDepth        = 200       // of directories
	maxFiles        = 50_000    // OWNERS files in one tree
)

var errTooLarge = errors.New("file is too large")

// oversized is implemented by errors of file systems that refuse a file for its
// size alone: that is a fault of the file, not of the reading.
type oversized interface{ TooLarge() bool }

// readBounded reads a file of at most limit bytes; a larger one is errTooLarge.
func readBounded(fsys fs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if large := oversized(nil); errors.As(err, &large) && large.TooLarge() {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return b[:limit], errTooLarge
	}
	return b, nil
}

// compilePattern compiles a filter. ".*" is nil, which matches everything
// without work. Go's engine is linear in the path, so only the size of the
// program has to be bounded: (x{100}){10} nested makes millions of instructions.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if pattern == ".*" {
		return nil, nil
	}
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("pattern is longer than %d bytes", maxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if programSize(parsed) > maxProgram {
		return nil, fmt.Errorf("pattern needs more than %d instructions", maxProgram)
	}
	return regexp.Compile(pattern)
}

// programSize estimates the instructions of re, with repetitions unrolled as
// the compiler does. It saturates just above maxProgram.
func programSize(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)/2
	for _, sub := range re.Sub {
		size += programSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxProgram+1)
}

// flowNesting is the greatest number of open brackets in b, counted without
// regard to quotes: an upper bound that needs no parser.
func flowNesting(b []byte) int {
	depth, deepest := 0, 0
	for _, c := range b {
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return deepest
}
