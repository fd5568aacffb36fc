// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
)

// Tracked lists the files that a commit of everything would hold, so that a breach shows before it is committed.
func Tracked(root string) ([]string, error) {
	// A checkout of another user, usual in CI containers, is as good to read.
	out, err := output(root, "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, fmt.Errorf("list files of %s: %w", root, err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }), nil
}

// Mentions finds texts in files that belong to the machine a file was written on, not to the project. A file
// deleted but not yet committed as deleted is passed over, and so is a binary one.
func Mentions(fsys fs.FS, files, texts []string) ([]Problem, error) {
	var problems []Problem
	for _, name := range files {
		info, err := fs.Stat(fsys, name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if bytes.IndexByte(content, 0) >= 0 {
			continue
		}
		problems = append(problems, mentions(name, string(content), texts)...)
	}
	return problems, nil
}

func mentions(name, content string, texts []string) []Problem {
	var problems []Problem
	for i, line := range strings.Split(content, "\n") {
		for _, text := range texts {
			if strings.Contains(line, text) {
				problems = append(problems, Problem{fmt.Sprintf("%s:%d", name, i+1), "mentions " + text + ": nothing of one machine goes into the repository"})
			}
		}
	}
	return problems
}
