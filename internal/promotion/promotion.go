// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promotion finds out what is missing in production of the images that promoter
// manifests declare.
//
// A Comparison is told what repositories hold, by lists that somebody read or by an
// inventory file, in any order, and keeps of each only the difference. From that it makes
// a plan for every project. A fault stops what it concerns and nothing else: a tag that
// stands for another digest is held, its neighbours are promoted. Reading registries,
// copying, and telling people are for others. docs/promote.md numbers the rules.
package promotion

import (
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/plan"
)

// The rules, as docs/promote.md has them.
const (
	RuleMoved  = "PROMOTE-1" // a tag stands for another digest in production
	RuleLost   = "PROMOTE-2" // a digest is neither in the source nor on any mirror
	RuleBroken = "PROMOTE-3" // a manifest that could not be understood whole
	RuleUsed   = "PROMOTE-4" // a tag that is also declared for a digest that is none
	RuleFailed = "PROMOTE-5" // a mirror that did not get what it was to get
	RuleFrozen = "PROMOTE-6" // a project that must not change at present
	RulePhase  = "PROMOTE-7" // what follows the copy and could not be done

	RulePlatforms = "PROMOTE-8"  // an image without a platform that its forerunner has
	RuleSigner    = "PROMOTE-9"  // a staging image that is not signed as it has to be
	RuleUnsigned  = "PROMOTE-10" // an image in production without a signature
	RuleBlobs     = "PROMOTE-11" // images in production that a bucket of blobs lacks
	RuleEnded     = "PROMOTE-12" // a run that ended before it was done
)

// Copy is one image of one project that is missing on some mirrors, in the same way on
// all of them.
type Copy struct {
	Path string `json:"path"` // below the root of a mirror
	// Source is HOST/PATH of a repository that holds the image: the project's, or one of a
	// mirror where the project's does not have it any more.
	Source  string   `json:"source"`
	Digest  string   `json:"digest"`
	Tags    []string `json:"tags,omitempty"` // that are missing; none: it is promoted without one
	Mirrors []int    `json:"mirrors"`        // indices of Set.Mirrors, ascending; shared, do not change
	// Stored are those of Mirrors that hold the digest, so that only tags are missing.
	Stored []int `json:"stored,omitempty"`
	// New are those of Mirrors that have no such repository yet.
	New  []int `json:"new,omitempty"`
	Line int   `json:"line"` // of the digest in the manifest's list of images
}

// Project is what is to be done for one manifest, and what cannot be.
type Project struct {
	Manifest *manifest.Manifest
	Plan     plan.Plan[Copy]
	// Faults are findings about what is declared and will not be promoted.
	Faults []finding.Finding
}

// Count is the size of a plan.
type Count struct {
	Images  int `json:"images"`  // digests at a path
	Tags    int `json:"tags"`    // of them
	Targets int `json:"targets"` // repositories times images
	Mirrors int `json:"mirrors"` // that get any of it
}

// Count tells how much is to be done.
func (p *Project) Count() Count {
	var n Count
	images, tags, mirrors := map[string]bool{}, map[string]bool{}, map[int]bool{}
	for _, s := range p.Plan.Steps {
		c := s.Change
		images[c.Path+"@"+c.Digest] = true
		for _, t := range c.Tags {
			tags[c.Path+":"+t] = true
		}
		n.Targets += len(c.Mirrors)
		for _, m := range c.Mirrors {
			mirrors[m] = true
		}
	}
	n.Images, n.Tags, n.Mirrors = len(images), len(tags), len(mirrors)
	return n
}
