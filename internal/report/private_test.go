// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
)

const canary = "canary-c4a1"

// planted is a private finding whose every text that must not be public holds n.
func planted(n string) finding.Finding {
	return finding.Finding{
		Rule: "DNS-TAKEOVER", Severity: finding.Critical, Visibility: finding.Private, Owners: []string{"alice"},
		Object: n + ".k8s.io.", Field: "CNAME " + n, File: "dns/" + n + ".yaml", Line: len(n) * 7, Message: n + " can be taken",
		Declared: "to " + n, Observed: "NXDOMAIN " + n, Fix: "drop " + n,
		FirstSeen: morning.AddDate(0, 0, -len(n)), LastSeen: morning,
		Acknowledged: &finding.Acknowledgement{By: n, Reason: n, Expires: n},
	}
}

func sinks() map[string]Options {
	keyed := audited(false)
	keyed.Key = Key("a secret of the installation")
	colored := Options{Title: "audit run", Color: true}
	return map[string]Options{"audit": audited(false), "keyed": keyed, "plain": colored}
}

// RP-2, RP-3: nothing of a private finding is in a public output, also not as a hash.
func TestPrivateFindingsShowNothing(t *testing.T) {
	open := planted(canary + "2")
	open.Acknowledged = nil
	open.Visibility = "of a later version" // not known is not public
	all := append(community(30), planted(canary), open)
	for name, opts := range sinks() {
		for _, format := range Formats() {
			got := render(t, format, all, opts)
			for _, secret := range []string{canary, planted(canary).Fingerprint(), open.Fingerprint(), planted(canary).State(), open.State()} {
				if strings.Contains(got, secret) {
					t.Errorf("%s, %s shows %q", name, format, secret)
				}
			}
			if !strings.Contains(got, "alice") || !strings.Contains(got, "private:") {
				t.Errorf("%s, %s does not say that there is something, and whose", name, format)
			}
		}
	}
}

// RP-2, RP-3: two states of the world that differ only in what is private have the
// same public report, byte for byte. This also covers order, counts, ids and times.
func TestPrivateDetailsChangeNothing(t *testing.T) {
	for name, opts := range sinks() {
		if len(opts.Key) > 0 {
			continue // its ids follow the finding, by a secret
		}
		for _, format := range Formats() {
			first := render(t, format, append(community(30), planted("a"), planted("zzzz")), opts)
			second := render(t, format, append([]finding.Finding{planted("dd"), planted("bbbbbbbb")}, community(30)...), opts)
			if first != second {
				t.Errorf("%s, %s differs", name, format)
			}
		}
	}
}

// RP-3
func TestPublicIDs(t *testing.T) {
	id := func(opts Options, all ...finding.Finding) string {
		return regexp.MustCompile(`private:[0-9a-f]+`).FindString(render(t, "text", all, opts))
	}
	key, other := Options{Key: Key("one")}, Options{Key: Key("two")}
	a, b := planted("a"), planted("b")
	if id(key, a) != id(key, a, sample[0]) || len(id(key, a)) != len("private:")+16 {
		t.Errorf("with a key the id is not stable: %s", id(key, a))
	}
	if id(key, a) == id(key, b) || id(key, a) == id(other, a) {
		t.Error("ids do not depend on the finding or the key")
	}
	if id(Options{}, a) != "private:1" || id(Options{}, b) != "private:1" {
		t.Error("without a key the id says something")
	}
}

// RP-3: what was read from a public report is written with the ids it had.
func TestReducingTwiceChangesNothing(t *testing.T) {
	for name, opts := range sinks() {
		first := render(t, "json", append(community(30), planted(canary)), opts)
		r, err := Parse(strings.NewReader(first))
		if err != nil {
			t.Fatal(name, err)
		}
		if again := render(t, "json", r.Findings(), r.Options()); again != first {
			t.Errorf("%s: got\n%s\nwant\n%s", name, again, first)
		}
		var hidden bytes.Buffer
		if err := WritePrivate(&hidden, "text", r.Findings(), r.Options()); err != nil || !strings.Contains(hidden.String(), "no findings") {
			t.Errorf("%s: %s, %v", name, hidden.String(), err)
		}
	}
}

// RP-4
func TestWritePrivate(t *testing.T) {
	all := append(community(3), planted(canary))
	for _, format := range []string{"html", "json", "markdown", "text"} {
		var b strings.Builder
		if err := WritePrivate(&b, format, all, audited(false)); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		for _, want := range []string{canary + ".k8s.io.", "drop " + canary, "NXDOMAIN " + canary} {
			if format == "markdown" && strings.HasPrefix(want, "drop") {
				continue // what is acknowledged needs no fix there
			}
			if format == "text" {
				want = canary // an acknowledged finding is one line
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s has no %q", format, want)
			}
		}
		if strings.Contains(got, "GCS-IAM") {
			t.Errorf("%s repeats what is public", format)
		}
		if format != "json" && !strings.Contains(got, privateWarning) {
			t.Errorf("%s does not say that it is private", format)
		}
	}
	for _, format := range []string{"junit", "sarif", "yaml"} {
		var b strings.Builder
		if err := WritePrivate(&b, format, all, audited(false)); err == nil || b.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", format, err, b.Len())
		}
	}
}

// RP-4: the two reports of a run speak of the same finding by the same id.
func TestPrivateReportNamesThePublicID(t *testing.T) {
	all := append(community(60), planted(canary))
	for name, opts := range sinks() {
		public, err := Parse(strings.NewReader(render(t, "json", all, opts)))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := WritePrivate(&b, "json", all, opts); err != nil {
			t.Fatal(err)
		}
		hidden, err := Parse(strings.NewReader(b.String()))
		if err != nil || !hidden.Private || public.Private {
			t.Fatal(name, err)
		}
		severities := map[string]string{}
		for _, i := range public.Items {
			if i.Visibility == finding.Private {
				severities[i.ID] = strings.Join(i.Owners, " ")
			}
		}
		if len(hidden.Items) != len(severities) || len(severities) < 2 {
			t.Errorf("%s: %d private findings, %d of them public", name, len(hidden.Items), len(severities))
		}
		for _, i := range hidden.Items {
			if owners, ok := severities[i.PublicID]; !ok || owners != strings.Join(i.Owners, " ") {
				t.Errorf("%s: %s is %q in the public report, which has owners %q for it", name, i.Object, i.PublicID, owners)
			}
			if i.Finding.Fingerprint() != i.ID {
				t.Errorf("%s: id %s", name, i.ID)
			}
		}
	}
}
