// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// The rules under which differences are reported; docs/audit-buckets.md explains them.
const (
	ruleMissing   = "GCS-1"
	ruleUnmanaged = "GCS-2"
	ruleRecreated = "GCS-3"
	ruleAccess    = "GCS-4"
	ruleData      = "GCS-5"
	ruleLogging   = "GCS-6"
	rulePlace     = "GCS-7"
	ruleWeb       = "GCS-8"
	ruleOther     = "GCS-9"
	ruleNewField  = "GCS-10"
	ruleExport    = "GCS-11"
	ruleSecret    = "GCS-SECRET" //nolint:gosec // the name of a rule
)

// row is one setting of a bucket, on both sides.
type row struct {
	path string
	rule string
	// label is its line in metadata.txt and said understands the text there. Without
	// a label another file of the export tells it (export.go).
	label string
	said  func(string) (string, bool)
	// json is its place in the API's bucket and value its canonical form there; a set
	// has elements instead. Without a place it is no part of the bucket: iam.
	json     string
	value    func(any) (string, bool)
	elements func(any) ([]element, bool)
	// usual is what it is where the API, or a metadata.txt of which presumed holds,
	// does not mention it.
	usual    string
	presumed bool   // gsutil leaves the line out where the setting is usual
	partOf   string // is not told where that field is empty: a prefix of no log
	same     func(declared, observed string) bool
	severity func(change) finding.Severity
}

// element is one member of a set. needle is what to look for to find its line.
type element struct{ key, value, needle string }

// fields is everything that is compared. A new setting is a new row.
func fields() []row {
	return []row{
		{path: "created", rule: ruleRecreated, label: "Time created", said: gsutilTime, json: "timeCreated", value: timestamp, severity: always(finding.Error)},

		{path: "iam", rule: ruleAccess, elements: bindings, severity: grant},
		{path: "acl", rule: ruleAccess, label: "ACL", json: "acl", elements: entries, severity: grant},
		{path: "defaultObjectAcl", rule: ruleAccess, label: "Default ACL", json: "defaultObjectAcl", elements: entries, severity: grant},
		{path: "publicAccessPrevention", rule: ruleAccess, label: "Public access prevention", said: prevention, json: "iamConfiguration.publicAccessPrevention", value: asText(prevention), usual: "inherited", severity: from("enforced", finding.Error)},
		{path: "uniformAccess", rule: ruleAccess, label: "Bucket Policy Only enabled", said: gsutilBool, json: "iamConfiguration.uniformBucketLevelAccess.enabled", value: boolean, usual: "false", severity: fromOnProd("true")},

		{path: "retention.period", rule: ruleData, json: "retentionPolicy.retentionPeriod", value: seconds, severity: shorter},
		{path: "retention.locked", rule: ruleData, json: "retentionPolicy.isLocked", value: boolean, usual: "false", partOf: "retention.period", severity: unlocked},
		{path: "retention.effective", rule: ruleData, json: "retentionPolicy.effectiveTime", value: timestamp, partOf: "retention.period", severity: always(finding.Warning)},
		{path: "lifecycle", rule: ruleData, json: "lifecycle.rule", elements: lifecycleRules, severity: deletesMore},
		{path: "versioning", rule: ruleData, label: "Versioning enabled", said: gsutilBool, json: "versioning.enabled", value: boolean, usual: "false", severity: fromOnProd("true")},
		{path: "eventBasedHold", rule: ruleData, label: "Default Event-Based Hold", said: gsutilBool, json: "defaultEventBasedHold", value: boolean, usual: "false", presumed: true, severity: from("true", finding.Error)},

		{path: "logging.bucket", rule: ruleLogging, json: "logging.logBucket", value: text, severity: fromAny(finding.Error)},
		{path: "logging.prefix", rule: ruleLogging, json: "logging.logObjectPrefix", value: text, partOf: "logging.bucket", severity: always(finding.Warning)},

		{path: "storageClass", rule: rulePlace, label: "Storage class", said: word, json: "storageClass", value: text, usual: "STANDARD", severity: always(finding.Error)},
		{path: "location", rule: rulePlace, label: "Location constraint", said: upper, json: "location", value: asText(upper), severity: always(finding.Error)},
		{path: "locationType", rule: rulePlace, label: "Location type", said: word, json: "locationType", value: text, severity: always(finding.Error)},
		{path: "placement", rule: rulePlace, label: "Placement locations", said: pythonList, json: "customPlacementConfig.dataLocations", value: list, presumed: true, severity: always(finding.Error)},
		{path: "rpo", rule: rulePlace, label: "RPO", said: word, json: "rpo", value: text, usual: "DEFAULT", severity: always(finding.Warning)},
		{path: "autoclass", rule: rulePlace, label: "Autoclass", said: enabled, json: "autoclass.enabled", value: boolean, usual: "false", presumed: true, severity: always(finding.Warning)},

		{path: "cors", rule: ruleWeb, label: "CORS configuration", said: presence, json: "cors", value: configuration, same: samePresence, severity: anyOrigin},
		{path: "website", rule: ruleWeb, label: "Website configuration", said: presence, json: "website", value: configuration, same: samePresence, severity: always(finding.Warning)},
		{path: "requesterPays", rule: ruleWeb, label: "Requester Pays enabled", said: gsutilBool, json: "billing.requesterPays", value: boolean, usual: "false", severity: from("false", finding.Error)},

		{path: "labels", rule: ruleOther, label: "Labels", json: "labels", elements: labels, severity: always(finding.Warning)},
		{path: "kmsKey", rule: ruleOther, label: "Default KMS key", said: word, json: "encryption.defaultKmsKeyName", value: text, severity: fromAny(finding.Error)},
		{path: "satisfiesPZS", rule: ruleOther, label: "Satisfies PZS", said: gsutilBool, json: "satisfiesPZS", value: boolean, usual: "false", presumed: true, severity: always(finding.Info)},
	}
}

// volatile are places of the API's bucket that change by themselves, repeat something,
// or name the bucket. They are never a finding (AB-4).
func volatile() []string {
	return []string{
		"kind", "id", "name", "selfLink", "projectNumber", "owner", "etag", "generation", "metageneration", "updated",
		"iamConfiguration.bucketPolicyOnly",                    // the old name of uniformBucketLevelAccess
		"iamConfiguration.uniformBucketLevelAccess.lockedTime", // moves with every change of enabled
		"autoclass.toggleTime", "autoclass.terminalStorageClass", "autoclass.terminalStorageClassUpdateTime",
		"timeStorageClassUpdated",
	}
}

// ignoredLabels are lines of metadata.txt of the same kind, and those that only say
// that another file of the export has more.
func ignoredLabels() []string {
	return []string{"Time updated", "Metageneration", "Logging configuration", "Lifecycle configuration", "Retention Policy"}
}

// table is the rows with their indexes.
type table struct {
	rows    []row
	byPath  map[string]*row
	byLabel map[string]*row
	skipped map[string]bool // labels that are no row
	known   map[string]bool // places in the API's bucket
	inner   map[string]bool // what is above a known place
}

func newTable() *table {
	t := &table{
		rows: fields(), byPath: map[string]*row{}, byLabel: map[string]*row{},
		skipped: map[string]bool{}, known: map[string]bool{}, inner: map[string]bool{},
	}
	places := volatile()
	for i := range t.rows {
		r := &t.rows[i]
		t.byPath[r.path] = r
		if r.label != "" {
			t.byLabel[r.label] = r
		}
		if r.json != "" {
			places = append(places, r.json)
		}
	}
	for _, label := range ignoredLabels() {
		t.skipped[label] = true
	}
	for _, place := range places {
		t.known[place] = true
		for i := strings.LastIndexByte(place, '.'); i > 0; i = strings.LastIndexByte(place[:i], '.') {
			t.inner[place[:i]] = true
		}
	}
	return t
}

// rowOf finds the row of a field: iam/ROLE/MEMBER belongs to iam.
func (t *table) rowOf(path string) (r *row, element string) {
	path, element, _ = strings.Cut(path, "/")
	return t.byPath[path], element
}
