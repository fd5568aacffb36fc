// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package finding

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestSeverityRoundTrip(t *testing.T) {
	for _, name := range SeverityNames() {
		s, err := ParseSeverity(name)
		if err != nil || s.String() != name {
			t.Errorf("ParseSeverity(%q) = %v, %v", name, s, err)
		}
	}
	var s Severity
	if err := json.Unmarshal([]byte(`"fatal"`), &s); err == nil {
		t.Error("an unknown severity was accepted")
	}
	if Severity(9).String() != "severity(9)" {
		t.Errorf("out of table: %s", Severity(9))
	}
}

func TestFingerprintIgnoresPositionAndWording(t *testing.T) {
	a := Finding{Rule: "OWNERS-F6", Object: "dns", File: "dns/OWNERS", Line: 3, Message: "x"}
	b := Finding{Rule: "OWNERS-F6", Object: "dns", File: "dns/OWNERS", Line: 9, Message: "y"}
	if a.Fingerprint() != b.Fingerprint() {
		t.Error("moving a line changed the fingerprint")
	}
	if b.Object = "dns2"; a.Fingerprint() == b.Fingerprint() {
		t.Error("another object has the same fingerprint")
	}
}

func TestNewKeepsOnlyWhatGotWorse(t *testing.T) {
	old := Finding{Rule: "R1", Object: "a", Line: 1}
	moved := Finding{Rule: "R1", Object: "a", Line: 7}
	second := Finding{Rule: "R1", Object: "a", Line: 8}
	other := Finding{Rule: "R2", Object: "a"}
	got := New([]Finding{old}, []Finding{moved, second, other})
	if want := []Finding{second, other}; !reflect.DeepEqual(got, want) {
		t.Errorf("New = %v, want %v", got, want)
	}
}

func TestSortAndPosition(t *testing.T) {
	all := []Finding{
		{Rule: "B", Object: "o", File: "b", Line: 2},
		{Rule: "A", Object: "o", File: "b", Line: 2},
		{Rule: "Z", Object: "bucket"},
		{Rule: "C", Object: "o", File: "a"},
	}
	Sort(all)
	var got []string
	for _, f := range all {
		got = append(got, f.Position()+" "+f.Rule)
	}
	want := []string{"bucket Z", "a C", "b:2 A", "b:2 B"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	all[0].Severity = Critical
	if AtLeast(all, Error) != 1 {
		t.Error("AtLeast")
	}
}
