// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

const (
	maxName  = 253 // without the final dot
	maxLabel = 63
)

// relative makes a name of a key below a zone.
func relative(key, zone string) (string, error) {
	if key == "@" {
		return "", errors.New(`use '' instead`)
	}
	if strings.HasSuffix(key, ".") {
		return "", errors.New("names are relative to the zone and have no final dot")
	}
	return labels(key, zone, true)
}

// absolute checks a name that ends with a dot.
func absolute(name string) (string, error) {
	if !strings.HasSuffix(name, ".") {
		return "", errors.New("a final dot is missing: without it the name would be meant below the zone")
	}
	return labels(strings.TrimSuffix(name, "."), "", false)
}

// labels brings the labels of a name into ASCII and lower case, and puts the zone
// behind them.
func labels(name, zone string, wildcard bool) (string, error) {
	parts := strings.Split(name, ".")
	for i, label := range parts {
		switch {
		case label == "":
			return "", errors.New("a label is empty")
		case label == "*" && i == 0 && wildcard:
			continue
		}
		ascii, err := toASCII(label)
		if err != nil {
			return "", err
		}
		if len(ascii) > maxLabel {
			return "", fmt.Errorf("label %.20s… is too long at %d characters, at most %d", ascii, len(ascii), maxLabel)
		}
		parts[i] = ascii
	}
	full := strings.Join(parts, ".") + "."
	if zone != "" && zone != "." {
		full += zone
	}
	if len(full)-1 > maxName {
		return "", fmt.Errorf("it is too long at %d characters, at most %d", len(full)-1, maxName)
	}
	return full, nil
}

// toASCII encodes a label. Besides letters, digits and hyphens it lets pass the
// underscore of services and the slash of RFC 2317.
func toASCII(label string) (string, error) {
	for i := 0; i < len(label); i++ {
		c := label[i]
		switch {
		case c >= 0x80:
			ascii, err := idna.Lookup.ToASCII(label)
			if err != nil {
				return "", errors.New("it is no valid international name")
			}
			return ascii, nil
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '/':
		default:
			return "", fmt.Errorf("%q cannot be in a name", rune(c))
		}
	}
	return strings.ToLower(label), nil
}
