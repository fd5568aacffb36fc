// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

// morning is when the audits of these tests end.
var morning = time.Date(2026, 11, 25, 6, 4, 12, 0, time.UTC)

// fault is a kind of finding as an audit of a community makes them.
type fault struct {
	rule, field, file, object string
	severity                  finding.Severity
	message                   string
	declared, observed, fix   string
	private                   bool
}

func faults() []fault {
	return []fault{
		{"GCS-IAM", "iam/roles/storage.objectViewer/allUsers", "infra/gcp/bash/ensure-staging-storage.sh", "gs://k8s-staging-%s", finding.Error,
			"allUsers may read the bucket, and nothing declares it", "", "allUsers", "remove the binding, or declare it in infra/gcp/infra.yaml", false},
		{"GCS-LIFECYCLE", "lifecycle.rule", "infra/gcp/infra.yaml", "gs://k8s-staging-%s", finding.Warning,
			"the lifecycle differs", "delete after 60 days", "no rule", "", false},
		{"IMAGE-MISSING", "sha256:3f9c", "registry.k8s.io/images/k8s-staging-%s/images.yaml", "registry.k8s.io/%s/controller", finding.Critical,
			"a promoted digest is not in the registry", "v1.14.2 sha256:3f9c2a7d5e0b41c8a6f1d9e3b7c2850f4a6e9d1c3b5f7082e4d6a8c0b2f41957", "manifest unknown", "promote it again from staging", false},
		{"IMAGE-TAG", "v1.9", "registry.k8s.io/images/k8s-staging-%s/images.yaml", "registry.k8s.io/%s/webhook", finding.Error,
			"the tag points to another digest", "sha256:88ab3cf0", "sha256:19de77a4", "", false},
		{"DNS-DIFF", "A", "dns/zone-configs/k8s.io._0_base.yaml", "%s.k8s.io.", finding.Error,
			"the name server answers something else", "34.107.204.206 ttl 3600", "34.107.204.207 ttl 300", "run steward dns apply", false},
		{"DNS-TAKEOVER", "CNAME", "dns/zone-configs/k8s.io.yaml", "%s-preview.k8s.io.", finding.Critical,
			"the target of the alias can be registered by anybody", "pages.example.net", "NXDOMAIN", "drop the record", true},
		{"GCP-API", "services", "infra/gcp/infra.yaml", "projects/k8s-infra-%s", finding.Info,
			"an API is enabled that nothing declares", "", "bigquerystorage.googleapis.com", "", false},
	}
}

// community makes n findings as they would come from a large community, the same at
// every call.
func community(n int) []finding.Finding {
	projects := []string{"kueue", "coredns", "cluster-api-aws", "ingress-nginx", "etcd", "descheduler", "kustomize", "nfd", "gateway-api", "scl-image-builder"}
	owners := [][]string{{"dora", "alice"}, {"pat"}, {"rey", "ruth", "sven"}, {"gina"}, nil}
	all := make([]finding.Finding, n)
	kinds := faults()
	for i := range all {
		k := kinds[i%len(kinds)]
		project := projects[(i*7)%len(projects)]
		if i >= 70 {
			project = fmt.Sprintf("%s-%d", project, i)
		}
		f := finding.Finding{
			Rule: k.rule, Severity: k.severity, Object: fill(k.object, project), Field: k.field, File: fill(k.file, project),
			Line: 12 + i*3%400, Message: k.message, Declared: k.declared, Observed: k.observed, Fix: k.fix, Owners: owners[i*3%len(owners)],
			FirstSeen: morning.Add(-time.Duration(i*i*5%9000) * time.Hour), LastSeen: morning,
		}
		if k.private {
			f.Visibility = finding.Private
		}
		if i%11 == 5 {
			f.Acknowledged = &finding.Acknowledgement{By: "dora", Reason: "the bucket moves to the community's account in January", Expires: "2027-01-31"}
		}
		if i%17 == 0 {
			f.FirstSeen = morning
		}
		all[i] = f
	}
	return all
}

func fill(form, project string) string { return strings.ReplaceAll(form, "%s", project) }

// audited are the options of a report about community.
func audited(complete bool) Options {
	o := Options{
		Title: "audit run", Commit: "0f9c2a7d5e0b41c8a6f1d9e3b7c2850f4a6e9d1c", Links: "https://github.com/kubernetes/k8s.io",
		Started: morning.Add(-4*time.Minute - 12*time.Second), Ended: morning, Now: morning,
		Coverage: []finding.Coverage{
			{Part: "gcs", Units: 412, Read: 412, Objects: 4211},
			{Part: "images", Units: 96, Read: 96, Objects: 38114},
			{Part: "dns", Units: 9, Read: 9, Objects: 1204},
		},
	}
	if !complete {
		o.Coverage[0].Read = 409
		o.Coverage[0].Gaps = []finding.Gap{
			{Scope: "projects/k8s-infra-sandbox", Reason: finding.Denied, Detail: "storage.buckets.list is not granted"},
			{Scope: "gs://k8s-release-dev iam", Reason: finding.Throttled, Detail: "429 over 5 attempts"},
			{Scope: "gs://k8s-conform iam", Reason: finding.TimedOut},
		}
	}
	return o
}
