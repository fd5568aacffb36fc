// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxNesting bounds how deep the JSON of a manifest goes.
const maxNesting = 32

// object is a kind of object in a manifest.
type object int

const (
	anyObject object = iota
	aManifest
	aPart
	aPlatform
)

// keys are those that registries and clients go by.
func (o object) keys() []string {
	switch o {
	case aManifest:
		return []string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "blobs", "manifests", "subject", "annotations"}
	case aPart:
		return []string{"mediaType", "artifactType", "digest", "size", "urls", "data", "platform", "annotations"}
	case aPlatform:
		return []string{"architecture", "os", "os.version", "os.features", "variant", "features"}
	}
	return nil
}

// at is what an object has under a key, be it one or a list of them.
func (o object) at(key string) object {
	switch {
	case o == aManifest && slices.Contains([]string{"config", "layers", "blobs", "manifests", "subject"}, key):
		return aPart
	case o == aPart && key == "platform":
		return aPlatform
	}
	return anyObject
}

// unambiguous refuses JSON that is read in different ways: of a key that comes twice some take the first and some the last,
// and some take it in any case. What was proven would not be what is run.
func unambiguous(body []byte) error {
	w := walk{json.NewDecoder(bytes.NewReader(body))}
	w.UseNumber()
	return w.value(aManifest, 0)
}

// walk goes through a manifest.
type walk struct{ *json.Decoder }

func (w walk) value(what object, depth int) error {
	token, err := w.Token()
	switch {
	case err != nil:
		return errors.New("is no JSON")
	case depth > maxNesting:
		return fmt.Errorf("is nested more than %d deep", maxNesting)
	case token == json.Delim('{'):
		return w.object(what, depth)
	case token == json.Delim('['):
		for w.More() {
			if err := w.value(what, depth+1); err != nil {
				return err
			}
		}
		_, err = w.Token() // the end
	}
	return err
}

func (w walk) object(what object, depth int) error {
	seen := map[string]bool{}
	for w.More() {
		token, err := w.Token()
		if err != nil {
			return errors.New("is no JSON")
		}
		key := fmt.Sprint(token)
		if err := what.check(key, seen[key]); err != nil {
			return err
		}
		seen[key] = true
		if err := w.value(what.at(key), depth+1); err != nil {
			return err
		}
	}
	_, err := w.Token() // the end
	return err
}

// check names no key that is not well known: it is the server's text.
func (o object) check(key string, again bool) error {
	known := slices.IndexFunc(o.keys(), func(k string) bool { return strings.EqualFold(k, key) })
	switch {
	case known < 0 && again:
		return errors.New("says something twice")
	case known < 0:
		return nil
	case o.keys()[known] != key:
		return fmt.Errorf("says %q in another case", o.keys()[known])
	case again:
		return fmt.Errorf("says %q twice", key)
	}
	return nil
}
