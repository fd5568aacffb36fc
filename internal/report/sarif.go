// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

const (
	// resultsInSARIF is what GitHub takes in one run; it refuses the whole file beyond.
	resultsInSARIF = 25_000
	gapsInSARIF    = 500
)

// The types below are the part of SARIF 2.1.0 that is written.
type (
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifRule struct {
		ID         string          `json:"id"`
		Default    sarifDefault    `json:"defaultConfiguration"`
		Short      sarifMessage    `json:"shortDescription"`
		Properties sarifProperties `json:"properties"`
	}
	sarifDefault struct {
		Level string `json:"level"`
	}
	sarifProperties struct {
		Tags     []string `json:"tags,omitempty"`
		Severity string   `json:"security-severity"`
		Owners   []string `json:"owners,omitempty"`
	}
	sarifResult struct {
		RuleID       string              `json:"ruleId"`
		RuleIndex    int                 `json:"ruleIndex"`
		Level        string              `json:"level"`
		Message      sarifMessage        `json:"message"`
		Locations    []sarifLocation     `json:"locations"`
		Fingerprints map[string]string   `json:"partialFingerprints,omitempty"`
		Baseline     string              `json:"baselineState,omitempty"`
		Suppressions *[]sarifSuppression `json:"suppressions,omitempty"`
		Properties   sarifProperties     `json:"properties"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId"`
	}
	sarifRegion struct {
		Start int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Start         string              `json:"startTimeUtc,omitempty"`
		End           string              `json:"endTimeUtc,omitempty"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string       `json:"level"`
		Message sarifMessage `json:"message"`
	}
	sarifVersion struct {
		Repository string `json:"repositoryUri"`
		Revision   string `json:"revisionId,omitempty"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		URI   string      `json:"informationUri"`
		Rules []sarifRule `json:"rules"`
	}
	sarifAutomation struct {
		ID string `json:"id"`
	}
	// sarifRun is a run without its results, which follow one by one.
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Automation  sarifAutomation   `json:"automationDetails"`
		Invocations []sarifInvocation `json:"invocations"`
		Versions    []sarifVersion    `json:"versionControlProvenance,omitempty"`
		ColumnKind  string            `json:"columnKind"`
	}
)

// writeSARIF points at the declaring line, for code scanning.
func writeSARIF(w *bufio.Writer, s *sheet) error {
	items, rest := s.items, 0
	if len(items) > resultsInSARIF {
		items = slices.Clone(items)
		slices.SortStableFunc(items, worstFirst)
		items, rest = items[:resultsInSARIF], len(items)-resultsInSARIF
	}
	rules, index := sarifRules(items)
	var buf bytes.Buffer
	if err := encode(&buf, "    ", s.sarifRun(rules, rest)); err != nil {
		return err
	}
	w.WriteString("{\n  \"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\",\n  \"version\": \"2.1.0\",\n  \"runs\": [\n    ")
	w.WriteString(strings.TrimSuffix(buf.String(), "\n    }") + ",\n      \"results\": [")
	suppressed := slices.ContainsFunc(items, func(i *Item) bool { return i.Acknowledged != nil })
	for n, i := range items {
		if err := encode(&buf, "        ", s.sarifResult(i, index, suppressed)); err != nil {
			return fmt.Errorf("finding %s: %w", i.ID, err)
		}
		if n > 0 {
			w.WriteByte(',')
		}
		w.WriteString("\n        ")
		w.Write(buf.Bytes())
	}
	w.WriteString("]\n    }\n  ]\n}\n")
	return nil
}

// sarifRules lists the rules that occur, each with the level of its worst finding.
func sarifRules(items []*Item) ([]sarifRule, map[string]int) {
	worst := map[string]finding.Severity{}
	for _, i := range items {
		id := fit(i.Rule, maxName)
		worst[id] = max(worst[id], i.Severity)
	}
	rules := []sarifRule{}
	for id, severity := range worst {
		rules = append(rules, sarifRule{
			ID: id, Short: sarifMessage{id}, Default: sarifDefault{sarifLevel(severity)},
			Properties: sarifProperties{Tags: []string{"security"}, Severity: securitySeverity(severity)},
		})
	}
	slices.SortFunc(rules, func(a, b sarifRule) int { return cmp.Compare(a.ID, b.ID) })
	index := map[string]int{}
	for n, r := range rules {
		index[r.ID] = n
	}
	return rules, index
}

func sarifLevel(s finding.Severity) string {
	switch {
	case s >= finding.Error:
		return "error"
	case s == finding.Warning:
		return "warning"
	}
	return "note"
}

// securitySeverity is in the middle of what GitHub calls low, medium, high and critical.
func securitySeverity(s finding.Severity) string {
	switch {
	case s >= finding.Critical:
		return "9.5"
	case s == finding.Error:
		return "8.0"
	case s == finding.Warning:
		return "5.5"
	}
	return "2.0"
}

func (s *sheet) sarifRun(rules []sarifRule, rest int) sarifRun {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "steward", URI: "https://sigs.k8s.io/steward", Rules: rules}},
		Automation: sarifAutomation{shown(s.Title, nameLimit) + "/"},
		ColumnKind: "utf16CodeUnits",
	}
	if s.Links != "" {
		run.Versions = []sarifVersion{{s.Links, fit(s.Commit, maxName)}}
	}
	call := sarifInvocation{Successful: finding.Complete(s.Coverage), Start: sarifTime(s.Started), End: sarifTime(s.Ended)}
	note := func(level, text string) {
		call.Notifications = append(call.Notifications, sarifNotification{level, sarifMessage{shown(text, proseLimit)}})
	}
	if rest > 0 {
		note("warning", fmt.Sprintf("%d more findings are not here: these are the worst %d", rest, resultsInSARIF))
	}
	if unread := s.unread(); unread != "" {
		note("error", "incomplete: "+unread)
	}
	gaps, more := s.gaps(gapsInSARIF)
	for _, g := range gaps {
		note("error", strings.TrimSuffix(fmt.Sprintf("not read: %s %s (%s): %s", g.part, g.Scope, g.Reason, g.Detail), ": "))
	}
	if more > 0 {
		note("error", fmt.Sprintf("not read: %d more", more))
	}
	run.Invocations = []sarifInvocation{call}
	return run
}

func sarifTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (s *sheet) sarifResult(i *Item, rules map[string]int, suppressed bool) sarifResult {
	rule := fit(i.Rule, maxName)
	r := sarifResult{
		RuleID: rule, RuleIndex: rules[rule], Level: sarifLevel(i.Severity), Message: sarifMessage{sarifText(i)},
		Locations:  []sarifLocation{sarifPlace(i.Finding)},
		Properties: sarifProperties{Severity: securitySeverity(i.Severity), Owners: bound(*i).Owners},
	}
	// A number of a reduced finding is one of this report only, and must not match others.
	if i.Visibility == finding.Public || len(s.Key) > 0 {
		r.Fingerprints = map[string]string{"steward/v1": i.ID}
	}
	if !i.FirstSeen.IsZero() {
		r.Baseline = "unchanged"
		if i.FirstSeen.Equal(i.LastSeen) {
			r.Baseline = "new"
		}
	}
	if suppressed { // all results have the list, or none has
		r.Suppressions = &[]sarifSuppression{}
	}
	if i.Acknowledged != nil {
		r.Suppressions = &[]sarifSuppression{{"external", "accepted", fit(acknowledgement(i.Acknowledged), maxText)}}
	}
	return r
}

func sarifText(i *Item) string {
	text := i.Message
	if i.Field != "" {
		text = i.Field + ": " + text
	}
	if difference(i.Finding) {
		text += "\nDeclared: " + side(clip(i.Declared, valueLimit)) + "\nObserved: " + side(clip(i.Observed, valueLimit))
	}
	if i.Fix != "" {
		text += "\nFix: " + i.Fix
	}
	return fit(text, maxText)
}

// sarifPlace is the declaring line. A path that is none of the repository, and a
// private finding, have the object only.
func sarifPlace(f finding.Finding) sarifLocation {
	place := sarifLocation{Logical: []sarifLogical{{Name: fit(part(f), maxName), Kind: "resource"}}}
	if repositoryPath(f.File) {
		// A path whose first part has a colon is "./a:b" here, not a scheme.
		place.Physical = &sarifPhysical{Artifact: sarifArtifact{(&url.URL{Path: f.File}).String(), "%SRCROOT%"}}
		if f.Line > 0 {
			place.Physical.Region = &sarifRegion{f.Line}
		}
	}
	return place
}
