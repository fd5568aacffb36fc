// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// Item is a finding as a report shows it.
type Item struct {
	// ID is the fingerprint, and of a reduced finding an id that tells nothing.
	ID string `json:"id"`
	// PublicID is, in a private report, the ID that the public one has.
	PublicID string `json:"publicId,omitempty"`
	// State is finding.Finding.State in JSON; empty in a reduced finding.
	State string `json:"state,omitempty"`
	// Altered says that a text was too long or no UTF-8 and is not whole, so that ID
	// and State do not follow from what is shown. Nothing may be decided by it.
	Altered bool `json:"altered,omitempty"`
	finding.Finding
}

// sheet is what all formats are given. Items are sorted as finding.Sort does.
type sheet struct {
	Options
	items   []*Item
	private bool
}

const elsewhere = "details are in the private report"

const privatePrefix = "private:"

// reducedObject is the object of a finding that was reduced before.
var reducedObject = regexp.MustCompile(`^private:[0-9a-f]{1,16}$`)

// public makes a sheet in which private findings keep nothing but rule, severity,
// owners, whether they are acknowledged, and an id.
func public(all []finding.Finding, opts Options) *sheet {
	reduced := slices.Clone(all)
	for n, id := range publicIDs(all, opts.Key) {
		reduced[n] = reduce(all[n], id)
	}
	finding.Sort(reduced) // after reducing: the order tells nothing about a private finding
	s := &sheet{Options: opts, items: make([]*Item, len(reduced))}
	for i, f := range reduced {
		s.items[i] = &Item{Finding: f, ID: strings.TrimPrefix(f.Object, privatePrefix)}
		if f.Visibility == finding.Public {
			s.items[i].ID = f.Fingerprint()
		}
	}
	return s
}

// reduce names the fields that stay, so that a field that is new is left out. Also
// the times stay away: the first run that saw it points at the change that made it.
func reduce(f finding.Finding, id string) finding.Finding {
	reduced := finding.Finding{
		Rule: f.Rule, Severity: f.Severity, Visibility: finding.Private, Owners: f.Owners,
		Object: privatePrefix + id, Message: elsewhere,
	}
	if f.Acknowledged != nil {
		reduced.Acknowledged = &finding.Acknowledgement{Reason: elsewhere}
	}
	return reduced
}

// isReduced tells a finding that comes from a public report, which keeps its id.
func isReduced(f finding.Finding) bool {
	return f.Visibility != finding.Public && f.Message == elsewhere && reducedObject.MatchString(f.Object)
}

// private makes the sheet of WritePrivate.
func private(all []finding.Finding, opts Options) *sheet {
	public := map[string]string{} // by fingerprint
	var hidden []finding.Finding
	for n, id := range publicIDs(all, opts.Key) {
		if !isReduced(all[n]) { // one that is holds nothing more
			hidden = append(hidden, all[n])
			public[all[n].Fingerprint()] = id
		}
	}
	finding.Sort(hidden)
	s := &sheet{Options: opts, items: make([]*Item, len(hidden)), private: true}
	for i, f := range hidden {
		id := f.Fingerprint()
		s.items[i] = &Item{ID: id, PublicID: public[id], Finding: f}
	}
	return s
}

// publicIDs says what the public may see of the private findings of all, by index.
// A fingerprint itself would tell: who guesses rule and object, of which the
// repository lists all, confirms the guess by one hash.
func publicIDs(all []finding.Finding, key Key) map[int]string {
	ids := map[int]string{}
	var hidden []numbered
	for n, f := range all {
		switch {
		case f.Visibility == finding.Public:
		case isReduced(f): // it comes from a public report
			ids[n] = strings.TrimPrefix(f.Object, privatePrefix)
		case len(key) > 0:
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte("private finding\x00" + f.Fingerprint())) // a hash does not fail
			ids[n] = hex.EncodeToString(mac.Sum(nil)[:8])
		default:
			hidden = append(hidden, numbered{n, f.Fingerprint(), f})
		}
	}
	number(hidden, ids)
	return ids
}

type numbered struct {
	index       int
	fingerprint string
	finding.Finding
}

// number orders by what the public sees anyway, so that a number tells nothing; the
// fingerprint only decides between findings that look the same there.
func number(hidden []numbered, ids map[int]string) {
	slices.SortFunc(hidden, func(a, b numbered) int {
		return cmp.Or(
			cmp.Compare(b.Severity, a.Severity),
			strings.Compare(a.Rule, b.Rule),
			slices.Compare(a.Owners, b.Owners),
			cmp.Compare(acknowledged(a.Acknowledged), acknowledged(b.Acknowledged)),
			strings.Compare(a.fingerprint, b.fingerprint),
		)
	})
	seen := map[string]string{}
	for _, h := range hidden {
		if seen[h.fingerprint] == "" {
			seen[h.fingerprint] = strconv.Itoa(len(seen) + 1)
		}
		ids[h.index] = seen[h.fingerprint]
	}
}

func acknowledged(a *finding.Acknowledgement) int {
	if a != nil {
		return 1
	}
	return 0
}
