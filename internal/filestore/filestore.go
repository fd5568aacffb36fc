// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package filestore brings files from a staging store to production stores.
//
// A plan is a pure comparison of what file manifests declare with what stores list. A
// Copier then reads each file once, sends it to all stores that lack it at the same time,
// and finishes it nowhere before its sha256 was right. What kind of store it is, Cloud
// Storage, S3 or a directory, is for adapters, which pass the suite filestoretest.
// docs/promote-files.md numbers the rules.
package filestore

import (
	"context"
	"errors"
	"io"
	"iter"
)

// Errors of stores. Others are failures, after which nothing is known.
var (
	ErrNotFound = errors.New("no such file")
	// ErrChanged says that a condition of a write did not hold: somebody else wrote.
	ErrChanged = errors.New("the file is not what it was")
)

// Object is what a store says about a file.
type Object struct {
	Name string // below the base of the store
	Size int64
	// SHA256 of the content, in hexadecimal: what its writer proved and wrote beside it. ""
	// where the store does not know.
	SHA256 string
	// MD5 of the content, in hexadecimal, as the store computed it; "" where it does not tell.
	MD5 string
	// Version tells apart what was written under the name at different times.
	Version string
}

// Content is a file as it is to be.
type Content struct {
	Size   int64
	SHA256 string // in hexadecimal
}

// PieceSize is the length of what is given to a Sink at once, but for the last piece, which
// may be shorter.
const PieceSize = 8 << 20

// Store holds files below a base. It is safe for concurrent use, repeats by itself what may
// be repeated, and its errors name neither credentials nor what a server wrote.
type Store interface {
	// List yields the files whose names begin with a prefix, in any order. It ends with the
	// first error.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Stat tells about one file.
	Stat(ctx context.Context, name string) (Object, error)
	// Open reads a file as it is at one moment. Reading is as long as its size, or an error.
	Open(ctx context.Context, name string) (io.ReadCloser, Object, error)
	// Create begins to write a file under a condition: version is that of what it replaces,
	// or "" where there must be none.
	Create(ctx context.Context, name, version string, c Content) (Sink, error)
	// Keep copies a file to another name in the store, unless that is there already. The
	// version has to be what it is now.
	Keep(ctx context.Context, name, version, to string) error
}

// Sink takes one file. It is used by one goroutine at a time, and ends with Commit or Abort.
type Sink interface {
	// Write takes a piece. What it was given may change when it returns, but for the last piece, which stays as it is until
	// Commit or Abort: so a store that takes a small file in one request needs no copy of it.
	io.Writer
	// Commit finishes the file. Until then nothing of it is to be seen under its name. The
	// store has proven afterwards that it holds the bytes it was given; ErrChanged says that
	// the condition did not hold.
	Commit() error
	// Abort takes back what was sent. It is to be called wherever Commit is not.
	Abort()
}
