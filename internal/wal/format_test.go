// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The bytes of a log are an interface: a log of today is opened by tomorrow's code.
func TestFormat(t *testing.T) { // W-15
	dir := t.TempDir()
	l := mustOpen(t, dir, lazy)
	mustAppend(t, l, "ab", "")
	got, err := os.ReadFile(filepath.Join(dir, "00000000000000000001.wal"))
	if err != nil {
		t.Fatal(err)
	}
	salt := string(got[16:24])
	head := "SWAL" + "\x01\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + salt
	frameHead := "\xf7WF1" + "\x0a\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x00\x00"
	frameHead += castagnoliOf(salt + frameHead)
	payload := "\x02\x00\x00\x00ab" + "\x00\x00\x00\x00"
	want := head + castagnoliOf(head) + frameHead + castagnoliOf(salt+frameHead+payload) + payload
	if string(got) != want {
		t.Fatalf("segment is\n%q, want\n%q", got, want)
	}

	other := mustOpen(t, t.TempDir(), lazy)
	if bytes.Equal(other.active.salt[:], []byte(salt)) {
		t.Fatal("two segments share a salt")
	}
}

// castagnoliOf computes CRC32C bit by bit, so that the test does not share the
// code it checks.
func castagnoliOf(s string) string {
	crc := ^uint32(0)
	for _, b := range []byte(s) {
		crc ^= uint32(b)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78*(crc&1)
		}
	}
	return string(order.AppendUint32(nil, ^crc))
}

// nameWatch notes at every sync whether the segment has its name yet.
type nameWatch struct {
	*os.File
	path  string
	named *[]bool
}

func (s nameWatch) Sync() error {
	_, err := os.Stat(s.path)
	*s.named = append(*s.named, err == nil)
	return nil
}

// A bad segment header may count as damage only because no crash leaves one: the
// header is synced under another name.
func TestHeaderIsSyncedBeforeItsName(t *testing.T) { // W-8
	dir := t.TempDir()
	var named []bool
	l := mustOpen(t, dir, Options{Sink: func(f *os.File) Sink {
		return nameWatch{f, segmentPath(dir, 1), &named}
	}})
	mustAppend(t, l, "x")
	if !slices.Equal(named, []bool{false, true}) {
		t.Fatalf("named at the sync of header and frame: %v", named)
	}
}
