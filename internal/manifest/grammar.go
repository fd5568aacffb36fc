// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The lengths that registries agree on.
const (
	digestPrefix = "sha256:"
	digestLength = len(digestPrefix) + 64
	tagLength    = 128
	pathLength   = 255
)

// IsDigest tells sha256: with 64 lower-case hexadecimal digits.
func IsDigest(s string) bool {
	return len(s) == digestLength && strings.HasPrefix(s, digestPrefix) && isHex(s[len(digestPrefix):])
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// DigestOf is the digest of a manifest's or a blob's bytes.
func DigestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return digestPrefix + hex.EncodeToString(sum[:])
}

// DigestTag is sha256-HEX, the tag under which what is attached to a digest is listed where a
// registry does not do it itself; with .sig and the like it is that of the attached thing.
func DigestTag(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// IsAttachedTag tells such a tag, whatever follows the digest. Nobody may declare one: signing writes them.
func IsAttachedTag(s string) bool {
	rest, ok := strings.CutPrefix(s, "sha256-")
	return ok && len(rest) >= 64 && isHex(rest[:64])
}

// visible tells a text of characters that everybody sees as they are.
func visible(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// HostOf is the registry of a repository, HOST/PATH.
func HostOf(repository string) string {
	host, _, _ := strings.Cut(repository, "/")
	return host
}

// IsTag tells what the distribution specification allows as a tag.
func IsTag(s string) bool {
	if s == "" || len(s) > tagLength {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !word(c) && (i == 0 || c != '.' && c != '-') {
			return false
		}
	}
	return true
}

func word(c byte) bool { return alnum(c) || c >= 'A' && c <= 'Z' || c == '_' }

func alnum(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' }

// IsPath tells names of repositories without a host, as the distribution
// specification has them: components of lower-case letters and digits, which one dot,
// one or two underscores, or dashes may part.
func IsPath(s string) bool {
	if len(s) > pathLength {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if !isComponent(part) {
			return false
		}
	}
	return true
}

func isComponent(s string) bool {
	if s == "" || !alnum(s[0]) || !alnum(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && !alnum(s[i]) {
			i++
		}
		switch gap := s[from:i]; {
		case gap == "", gap == ".", gap == "_", gap == "__", strings.Trim(gap, "-") == "":
		default:
			return false
		}
		for i < len(s) && alnum(s[i]) {
			i++
		}
	}
	return true
}

// IsRegistry tells HOST or HOST/PATH. A host has a dot or a port, or is localhost, so
// that a path is never taken for one.
func IsRegistry(s string) bool {
	host, rest, below := strings.Cut(s, "/")
	name, port, ported := strings.Cut(host, ":")
	if name != "localhost" && !ported && !strings.Contains(name, ".") {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	if ported && (port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return false
	}
	return !below || IsPath(rest)
}
