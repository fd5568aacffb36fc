// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cloudfake is a small cloud for tests, the demo and benchmarks.
//
// One process speaks the protocols that audits read: Google's REST APIs over an
// exported audit tree (gcp.go) and over projects to be swept (gce.go), an OCI registry (oci.go) and an authoritative name
// server (dns.go). They are parts of one Server and share its fault engine, its record
// of requests, its scenario and its controls below /_fake/. What no part answers is 501
// with its name, is remembered, and fails the test that was started with Start.
//
// A world comes from one txtar file and needs no Go; docs/cloudfake.md has the format
// and the rules. Each section belongs to the part its name begins with:
//
//	cloud.yaml               settings: one key for each part, and latency for all
//	gcp/audit/projects/...   files of the part gcp: an export tree
//	dns/..., oci/...         files of the other parts
package cloudfake
