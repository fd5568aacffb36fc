// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wal is a write-ahead log: numbered records that are on disk before
// Append returns, and that come back in order after any crash.
//
// It knows nothing of what the records mean. Callers append batches from as many
// goroutines as they like, one committer writes what has gathered and syncs once
// for all of it, and a batch is either wholly there after a crash or wholly
// absent. The numbered rules (W-1 and on) are in docs/wal.md.
//
// # Files
//
// A log is a directory of segment files and a file LOCK, which carries the flock
// and the pid of the process that has the log open. A segment is named
// by the sequence of its first record, 20 decimal digits and ".wal". All integers
// are little-endian, all checksums CRC32C (Castagnoli, RFC 3720 appendix B.4).
//
// A segment begins with a header of 28 bytes:
//
//	 0  4  magic "SWAL"
//	 4  4  version, 1
//	 8  8  sequence of the first record, equal to the file's name
//	16  8  salt, random for every segment
//	24  4  checksum of bytes 0 to 23
//
// Frames follow back to back until the end of the file. A frame is what one write
// and one sync made durable, that is one or more whole batches. It has a header of
// 28 bytes and a payload:
//
//	 0  4  magic F7 "WF1"
//	 4  4  n, the length of the payload in bytes
//	 8  8  sequence of the frame's first record
//	16  4  number of records, at least 1
//	20  4  checksum of the salt and bytes 0 to 19
//	24  4  checksum of the salt, bytes 0 to 23 and the payload
//	28  n  payload: for every record its length in 4 bytes, then its bytes
//
// # A torn tail is not corruption
//
// A frame is written only after the frame before it was synced. When the machine
// stops in the middle of a write, any part of the last frame may be missing or
// wrong, in any order, while every frame before it is whole; and nothing can stand
// behind it. So a bad frame in the last segment with no header of a later frame
// anywhere behind it is a torn tail: nobody was told that it was stored, and Open
// cuts it. A bad frame with a later frame's header behind it was
// acknowledged once and has been damaged since; so has a bad frame in any segment
// but the last, and a bad segment header, because a segment gets its name only
// after its header is on disk. Those are a *CorruptError, and no byte is changed.
//
// Damage to the very last frame of a log cannot be told from a torn write by
// looking at the file, and is cut.
//
// The search for a later header looks at every byte offset, thus also at bytes
// that a stranger chose. The salt, which never leaves the directory, goes into
// every checksum so that a payload cannot pose as a frame.
//
// # Why a failed log stays failed
//
// After a failed sync the kernel may mark the lost pages clean, so that a second
// sync succeeds without writing them. Hence no write and no sync is tried twice:
// the first failure ends the log's life and the process opens it anew. Open in turn
// trusts no page that may have been read from the cache only: it writes the last
// frame again, the only one whose sync can have failed, and syncs before it returns.
package wal
