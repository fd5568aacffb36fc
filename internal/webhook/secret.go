// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Secrets are the webhook secrets of an HMAC file as Prow mounts it: either one
// raw token for everything, or a YAML map from "org/repo", "org" or "*" to a list
// of values that are valid at once (rotation). It prints as [redacted].
type Secrets struct {
	byScope map[string][][]byte
}

// Format keeps secrets out of every message, whatever verb prints them.
func (Secrets) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// maxSecretFile bounds the file; a rotation list has a few hundred bytes a repository.
const maxSecretFile = 1 << 20

// ParseSecrets reads an HMAC file. A file that is not the YAML map is one raw
// token, as in Prow. An empty secret is refused: anyone could sign with it.
func ParseSecrets(file []byte) (Secrets, error) {
	if len(file) > maxSecretFile {
		return Secrets{}, fmt.Errorf("parse HMAC file: %d bytes are more than %d", len(file), maxSecretFile)
	}
	raw := bytes.TrimSpace(file)
	if len(raw) == 0 {
		return Secrets{}, errors.New("parse HMAC file: it is empty")
	}
	var scopes map[string][]struct {
		Value string `yaml:"value"`
	}
	if err := yaml.Unmarshal(raw, &scopes); err != nil {
		if bytes.ContainsAny(raw, "\n :") { // no token has these
			return Secrets{}, errors.New("parse HMAC file: it is neither one token nor a YAML map from repositories to lists of {value}")
		}
		return Secrets{byScope: map[string][][]byte{"*": {raw}}}, nil
	}
	out := Secrets{byScope: map[string][][]byte{}}
	for scope, tokens := range scopes {
		scope = strings.ToLower(scope)
		for _, t := range tokens {
			if t.Value == "" {
				return Secrets{}, fmt.Errorf("parse HMAC file: %q has an empty value", scope)
			}
			out.byScope[scope] = append(out.byScope[scope], []byte(t.Value))
		}
	}
	return out, nil
}

// For returns the secrets of the most specific scope that has any: the
// repository, its organization, "*". Names are compared without case.
func (s Secrets) For(fullName string) [][]byte {
	fullName = strings.ToLower(fullName)
	org, _, _ := strings.Cut(fullName, "/")
	for _, scope := range []string{fullName, org, "*"} {
		if keys := s.byScope[scope]; len(keys) > 0 {
			return keys
		}
	}
	return nil
}
