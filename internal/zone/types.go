// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

// shape is how octoDNS writes the values of a type.
type shape struct {
	single bool // one value only
	read   reader
}

// reader turns one value into canonical record data.
type reader func(v *valueReader, n *yaml.Node) (string, error)

// shapes is the table of all supported types.
func shapes() map[string]shape {
	return map[string]shape{
		"A":     {read: address(netip.Addr.Is4, "IPv4")},
		"AAAA":  {read: address(netip.Addr.Is6, "IPv6")},
		"ALIAS": {single: true, read: target(false)},
		"CAA": {read: fields(field{key: "flags", read: number(255), missing: "0"}, field{key: "tag", read: word},
			field{key: "value", read: quoted})},
		"CNAME": {single: true, read: target(false)},
		"DNAME": {single: true, read: target(false)},
		"DS": {read: fields(field{key: "key_tag", read: number(65535)}, field{key: "algorithm", read: number(255)},
			field{key: "digest_type", read: number(255)}, field{key: "digest", read: hexadecimal})},
		"MX": {read: fields(field{key: "preference", alias: "priority", read: number(65535)},
			field{key: "exchange", alias: "value", read: target(true)})},
		"NAPTR": {read: fields(field{key: "order", read: number(65535)}, field{key: "preference", read: number(65535)},
			field{key: "flags", read: quoted}, field{key: "service", read: quoted}, field{key: "regexp", read: quoted},
			field{key: "replacement", read: target(true)})},
		"NS":  {read: target(false)},
		"PTR": {read: target(false)},
		"SPF": {read: text},
		"SRV": {read: fields(field{key: "priority", read: number(65535)}, field{key: "weight", read: number(65535)},
			field{key: "port", read: number(65535)}, field{key: "target", read: target(true)})},
		"SSHFP": {read: fields(field{key: "algorithm", read: number(255)}, field{key: "fingerprint_type", read: number(255)},
			field{key: "fingerprint", read: hexadecimal})},
		"TLSA": {read: fields(field{key: "certificate_usage", read: number(255)}, field{key: "selector", read: number(255)},
			field{key: "matching_type", read: number(255)}, field{key: "certificate_association_data", read: hexadecimal})},
		"TXT": {read: text},
	}
}

func typeNames(all map[string]shape) []string { return slices.Sorted(maps.Keys(all)) }

// valueReader reads scalars of one record.
type valueReader struct {
	b  *builder
	p  *Provider
	at place
}

// scalar returns the text of a value as the file has it, and reports where octoDNS
// would see something else.
func (v *valueReader) scalar(n *yaml.Node) (string, error) {
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", errors.New("a text is needed here, not a list or a mapping")
	case null(n) || n.Value == "":
		return "", errors.New("empty value")
	case n.Style&yaml.TaggedStyle != 0 && n.Tag != "!!str":
		return "", fmt.Errorf("tag %s is not supported", v.b.shown(n.Tag))
	}
	return n.Value, nil
}

// words is scalar for what has to be a text in Python.
func (v *valueReader) words(n *yaml.Node) (string, error) {
	text, err := v.scalar(n)
	if err != nil {
		return "", err
	}
	if kind := v.b.misread(n); kind != "" {
		v.b.add(ruleQuote, finding.Error, place{v.at.file, n.Line, v.at.object}, "quote this value",
			"%s is %s in YAML 1.1, which octoDNS reads", v.b.shown(text), kind)
	}
	return text, nil
}

func address(is func(netip.Addr) bool, family string) reader {
	return func(v *valueReader, n *yaml.Node) (string, error) {
		text, err := v.words(n)
		if err != nil {
			return "", err
		}
		addr, err := netip.ParseAddr(text)
		if err != nil || !is(addr) || addr.Zone() != "" {
			return "", fmt.Errorf("invalid %s address %s", family, v.b.shown(text))
		}
		return addr.String(), nil
	}
}

// target reads the name of a host. Some types have the root for "none".
func target(root bool) reader {
	return func(v *valueReader, n *yaml.Node) (string, error) {
		text, err := v.words(n)
		if err != nil {
			return "", err
		}
		if root && text == "." {
			return text, nil
		}
		name, err := absolute(text)
		if err == nil && strings.Contains(name, "/") {
			err = errors.New("'/' cannot be in the name of a host")
		}
		if err != nil {
			return "", fmt.Errorf("%s is not a valid FQDN: %w", v.b.shown(text), err)
		}
		return name, nil
	}
}

func number(limit uint64) reader {
	return func(v *valueReader, n *yaml.Node) (string, error) {
		text, err := v.scalar(n)
		if err != nil {
			return "", err
		}
		if value, err := strconv.ParseUint(text, 10, 64); err != nil || value > limit || !decimal(text) {
			return "", fmt.Errorf("invalid number %s: 0 to %d", v.b.shown(text), limit)
		}
		return text, nil
	}
}

// word reads the tag of a CAA record.
func word(v *valueReader, n *yaml.Node) (string, error) {
	text, err := v.words(n)
	if err == nil && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		err = fmt.Errorf("invalid tag %s: letters and digits", v.b.shown(text))
	}
	return strings.ToLower(text), err
}

// quoted reads a text that is shown in quotes.
func quoted(v *valueReader, n *yaml.Node) (string, error) {
	if n.Kind == yaml.ScalarNode && n.Value == "" && !plain(n) {
		return `""`, nil
	}
	text, err := v.words(n)
	if len(text) > 255 {
		err = errors.New("a text of more than 255 bytes")
	}
	return quote(text), err
}

func hexadecimal(v *valueReader, n *yaml.Node) (string, error) {
	text, err := v.words(n)
	if err != nil {
		return "", err
	}
	text = strings.ToLower(strings.ReplaceAll(text, " ", ""))
	if _, err := hex.DecodeString(text); err != nil || text == "" {
		return "", fmt.Errorf("%s is no hexadecimal number of whole bytes", v.b.shown(text))
	}
	return text, nil
}

// field is one key of a value that is a mapping.
type field struct {
	key, alias string
	missing    string // the value where the key is missing; "" where it may not be
	read       reader
}

// fields reads mappings; the record data are the fields in the order of the wire.
func fields(all ...field) reader {
	return func(v *valueReader, n *yaml.Node) (string, error) {
		if n.Kind != yaml.MappingNode {
			return "", fmt.Errorf("a mapping with %s is needed", all[0].key)
		}
		given := map[string]*yaml.Node{}
		for _, e := range v.b.entries(v.at.file, v.at.object, n) {
			f := slices.IndexFunc(all, func(f field) bool { return f.key == e.key.Value || f.alias == e.key.Value && f.alias != "" })
			if f < 0 {
				return "", fmt.Errorf("unknown key %s", v.b.shown(e.key.Value))
			}
			if key := all[f].key; given[key] == nil || e.key.Value == key {
				given[key] = follow(e.value)
			}
		}
		parts := make([]string, len(all))
		for i, f := range all {
			if given[f.key] == nil {
				if f.missing == "" {
					return "", fmt.Errorf("missing %s", f.key)
				}
				parts[i] = f.missing
				continue
			}
			part, err := f.read(v, given[f.key])
			if err != nil {
				return "", fmt.Errorf("%s: %w", f.key, err)
			}
			parts[i] = part
		}
		return strings.Join(parts, " "), nil
	}
}

// text reads TXT as octoDNS does: quotes around it and between chunks go, and a
// backslash escapes. Its checks only report, because what is meant is clear.
func text(v *valueReader, n *yaml.Node) (string, error) {
	raw, err := v.words(n)
	if err != nil {
		return "", err
	}
	at := place{v.at.file, n.Line, v.at.object}
	if !v.p.Unescaped {
		if unescaped(raw) {
			v.b.add(ruleRecord, finding.Error, at, `write \; for ;`, "unescaped ; in %s", v.b.shown(raw))
		}
		if strings.Contains(raw, `\\;`) {
			v.b.add(ruleRecord, finding.Error, at, `write \; for ;`, "double escaped ; in %s", v.b.shown(raw))
		}
	}
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(r rune) bool { return r > 0x7e }) {
		v.b.errorf(ruleRecord, at, "non ASCII character in %s", v.b.shown(raw))
	}
	if raw[0] == '"' && len(raw) > 1 {
		raw = raw[1 : len(raw)-1]
	}
	content, err := unescape(strings.ReplaceAll(raw, `" "`, ""))
	if err != nil {
		return "", err
	}
	if len(content) > maxText {
		return "", fmt.Errorf("a text of %d bytes, more than %d", len(content), maxText)
	}
	return escape(content, false), nil
}

// unescaped finds a semicolon behind a letter, digit or underscore.
func unescaped(s string) bool {
	for i := 1; i < len(s); i++ {
		c := s[i-1]
		if s[i] == ';' && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return true
		}
	}
	return false
}
