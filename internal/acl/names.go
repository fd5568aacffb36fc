// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"
)

// MaxPathBytes bounds a queried path; git itself allows 4096.
const MaxPathBytes = 4096

// PathError refuses a path that is not clean (F12). Its text begins with the code.
type PathError struct {
	Path    string
	Problem string
}

// Error quotes the path, so that control characters are visible.
func (e *PathError) Error() string {
	return fmt.Sprintf("%s: path %q %s", CodePath, e.Path, e.Problem)
}

// CheckPath returns path without one trailing slash, or a *PathError. A path is
// relative to the root of the repository, slash-separated, clean, valid UTF-8
// and free of backslashes and control characters; "." is the root itself.
func CheckPath(path string) (string, error) {
	refuse := func(problem string) (string, error) {
		return "", &PathError{Path: clip(path, 200), Problem: problem}
	}
	switch {
	case path == "":
		return refuse("is empty")
	case len(path) > MaxPathBytes:
		return refuse("is too long")
	case path[0] == '/':
		return refuse("is absolute")
	}
	for _, r := range path {
		if r == '\\' || unicode.IsControl(r) {
			return refuse("contains a backslash or control character")
		}
	}
	clean := strings.TrimSuffix(path, "/")
	if !fs.ValidPath(clean) {
		return refuse("is not clean, or not valid UTF-8")
	}
	return clean, nil
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// NormLogin is the form in which logins and alias names are compared: lower
// case, without one leading @ (as Prow's github.NormLogin).
func NormLogin(name string) string {
	return strings.TrimPrefix(strings.ToLower(name), "@")
}

// legalLogin accepts what GitHub has ever given out: letters, digits and
// hyphens, at most 39, not beginning with a hyphen; apps carry "[bot]". Old
// accounts may end in a hyphen or have two in a row. name is normalised.
func legalLogin(name string) bool {
	name = strings.TrimSuffix(name, "[bot]")
	if name == "" || len(name) > 39 || name[0] == '-' {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// The shapes communities give to aliases. A login of such a shape can be
// registered by anyone, so a name like this is an alias or nothing (F7).
var (
	aliasPrefixes = [...]string{"sig-", "wg-", "ug-", "committee-", "team-"}
	aliasSuffixes = [...]string{
		"-leads", "-approvers", "-reviewers", "-maintainers", "-owners",
		"-admins", "-team", "-oncall", "-emeritus",
	}
)

// plausible reports whether the name alone lets it be a login.
func plausible(name string) bool { return legalLogin(name) && !aliasShaped(name) }

func aliasShaped(name string) bool {
	for _, p := range aliasPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	for _, s := range aliasSuffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}
