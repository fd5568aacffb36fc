// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ghfake is a stateful GitHub for tests, the demo and benchmarks.
//
// It keeps a whole world in memory (store.go), serves it over the parts of
// GitHub's REST and GraphQL interfaces that Prow's client and this project use,
// over git's smart HTTP, and sends the webhooks GitHub would send. What it does
// is a list of numbered rules in docs/ghfake.md; tests cite them. Routes are
// tables at the top of the file of their topic; what no table has answers 501
// with its name, and fails the test that was started with Start.
//
// A world comes from one txtar file and needs no Go. Its sections:
//
//	github.yaml                        accounts, tokens, organizations, repositories (World)
//	repo/OWNER/NAME/PATH               a file of the first commit
//	issue/OWNER/NAME/N/issue.yaml      an issue (Thread)
//	pull/OWNER/NAME/N/pull.yaml        a pull request (Thread)
//	pull/OWNER/NAME/N/files/PATH       a file at its head
//
// The types World and Thread are the reference of the two YAML formats; keys are
// the field names in lower case. testdata/acme.txtar shows all of them in use.
//
// While the world runs, people in it act through POST /_fake/act or Server.Act,
// and everything else below /_fake/ observes and disturbs: recorded requests,
// counters, the audit log of writes, webhook deliveries, faults, the clock.
package ghfake
