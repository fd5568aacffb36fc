// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"time"
)

// The answers of a registry that are no failures. Each is a registry's own word, with
// the code that the distribution specification gives it; a 404 of anybody else is not.
var (
	ErrNoRepository = errors.New("no such repository") // NAME_UNKNOWN, to somebody who may ask
	ErrNoManifest   = errors.New("no such manifest")   // MANIFEST_UNKNOWN
	ErrNotOffered   = errors.New("not offered")        // an optional part of the protocol
)

// Listing is what a registry says about one repository.
type Listing struct {
	// Tags maps each tag to its digest.
	Tags map[string]string
	// Digests holds everything that is stored, tagged or not, with its media type, where
	// the registry tells (Full); elsewhere what the tags stand for, without types.
	Digests map[string]string
	// Children are the names directly below, where the registry tells (Full).
	Children []string
	// Full says that the registry listed digests and children, as Google's do.
	Full bool
	// Unread are tags that are there, and whose digest could not be read.
	Unread map[string]error
}

// Content is what other manifests a manifest speaks of. Its bytes were proven to have
// the digest it was asked for by.
type Content struct {
	Manifests []string // of an index
	Subject   string   // what it is attached to; "" for most
	// Signed says that it lists signatures in the layout of the tag sha256-HEX.sig, and nothing else.
	Signed bool
}

// Facts are what a registry tells about one image.
type Facts struct {
	Platforms []string  // linux/arm64/v8, sorted
	Size      int64     // bytes of its layers, each counted once
	Uploaded  time.Time // zero: not told
	Signers   []string  // whom its signatures name, unproven; nil: it has none
}
