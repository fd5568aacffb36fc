// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package thread

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// RecordLabel marks the issues that are records, so that one query finds them.
const RecordLabel = "steward/record"

// Record is an issue that steward keeps about its repository, for example that a
// scope is frozen. The issue's first line carries key, stamp and data; open or
// closed is for people and decides nothing, since anyone with triage rights, or
// Prow's /close on behalf of any member, can close an issue.
type Record struct {
	Number int
	Key    string
	Stamp  Stamp
	Data   []byte // the owning package's own encoding
	Title  string
	Body   string // as on GitHub, marker included
	Open   bool

	Labelled bool // carries RecordLabel
}

// dataLimit keeps a marker far below GitHub's limit for a body.
const dataLimit = 8192

var recordMarker = regexp.MustCompile(`^<!-- steward:record ([a-z0-9][a-z0-9/._-]{0,99}) v1 unix=([0-9]{1,18}) comment=([0-9]{1,18}) data=([A-Za-z0-9_-]*) -->`)

// ParseRecord reads the body of an issue that this process's account wrote; ok is
// false when it is not a record. The caller checks the author.
func ParseRecord(number int, title, body string, open bool) (Record, bool) {
	m := recordMarker.FindStringSubmatch(body)
	if m == nil {
		return Record{}, false
	}
	data, err := base64.RawURLEncoding.DecodeString(m[4])
	if err != nil {
		return Record{}, false
	}
	unix, _ := strconv.ParseInt(m[2], 10, 64) // 18 digits fit
	comment, _ := strconv.ParseInt(m[3], 10, 64)
	return Record{
		Number: number, Key: m[1], Stamp: Stamp{Unix: unix, Comment: comment}, Data: data,
		Title: title, Body: strings.ReplaceAll(body, "\r\n", "\n"), Open: open,
	}, true
}

// Render is the issue body of the record: the marker, then text for people.
func (i Issue) Render() string {
	data := i.Data
	if len(data) > dataLimit {
		data = nil
	}
	return fmt.Sprintf("<!-- steward:record %s v1 unix=%d comment=%d data=%s -->\n%s\n",
		i.Key, i.Stamp.Unix, i.Stamp.Comment, base64.RawURLEncoding.EncodeToString(data), strings.TrimSpace(i.Text))
}

// Record returns the snapshot's record of a key: the one with the lowest issue
// number, because where two processes raced, the first one stays.
func (s *Snapshot) Record(key string) (Record, bool) {
	var found Record
	for _, r := range s.Records {
		if r.Key == key && (found.Number == 0 || r.Number < found.Number) {
			found = r
		}
	}
	return found, found.Number != 0
}

// diffIssue creates the record or brings it up to date. A newer stamp replaces it
// and an older one does nothing. The same command seen again mends what people
// did to the issue; how the text reads does not count, because two versions of
// this program must not correct each other for ever.
func diffIssue(s *Snapshot, want Issue) []Write {
	have, ok := s.Record(want.Key)
	same := bytes.Equal(have.Data, want.Data) && have.Open == want.Open && have.Labelled
	switch {
	case !ok:
		return []Write{CreateIssue{want}}
	case have.Stamp.After(want.Stamp), have.Stamp == want.Stamp && same:
		return nil
	}
	return []Write{EditIssue{Number: have.Number, Issue: want}}
}
