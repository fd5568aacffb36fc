// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"sigs.k8s.io/steward/internal/asset"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/pace"
)

// Buckets reads what exists in Cloud Storage. Answers are the API's own JSON. What
// cannot be read is an *audit.Unread error; a list is whole or an error. Both methods
// may be called concurrently.
type Buckets interface {
	Buckets(ctx context.Context, project string) ([]json.RawMessage, error)
	Policy(ctx context.Context, bucket string) (json.RawMessage, error)
}

// openGCS makes the collector of buckets.
func openGCS(deps Deps, reach Reach, files fs.FS) (audit.Collector, []finding.Finding, error) {
	reader, err := deps.Buckets(reach)
	if err != nil {
		return nil, nil, err
	}
	c, err := newGCS(files, reader)
	return c, nil, err
}

// gcs audits the buckets of the projects that the export tree has. A unit is a project:
// its list says which buckets there are, and each of them has a policy to be read.
type gcs struct {
	parser   *asset.Parser
	declared *asset.Tree
	reader   Buckets
}

// policiesAtOnce bounds what one project asks for; the pace bounds all of them.
const policiesAtOnce = 32

func newGCS(files fs.FS, reader Buckets) (*gcs, error) {
	parser := asset.NewParser()
	declared, err := parser.Load(files)
	if err != nil {
		return nil, err
	}
	return &gcs{parser, declared, reader}, nil
}

// Name is the part's.
func (g *gcs) Name() string { return "gcs" }

// Units are all projects, also those in which no bucket is declared: there could be one.
func (g *gcs) Units(context.Context) ([]string, error) {
	var units []string
	for _, id := range g.declared.ProjectIDs() {
		units = append(units, projectUnit+id)
	}
	return units, nil
}

const projectUnit = "projects/"

// gcsReading is what is kept of a project.
type gcsReading struct {
	Buckets []asset.Observed `json:"buckets"`
}

// Read lists the buckets of a project and reads their policies. A bucket whose policy
// cannot be read is read but for that.
func (g *gcs) Read(ctx context.Context, unit string) (audit.Reading, error) {
	project := strings.TrimPrefix(unit, projectUnit)
	raw, err := g.reader.Buckets(ctx, project)
	if err != nil {
		return audit.Reading{}, err
	}
	observed, gaps, err := g.each(ctx, project, raw)
	if err != nil {
		return audit.Reading{}, err
	}
	data, err := json.Marshal(gcsReading{observed})
	if err != nil {
		return audit.Reading{}, fmt.Errorf("keep what was read: %w", err)
	}
	return audit.Reading{Data: data, Objects: len(observed), Gaps: gaps}, nil
}

// each reads the policies and cleans all answers, in the order of the list.
func (g *gcs) each(ctx context.Context, project string, raw []json.RawMessage) ([]asset.Observed, []finding.Gap, error) {
	observed := make([]asset.Observed, len(raw))
	gaps := make([][]finding.Gap, len(raw))
	failed := make([]error, len(raw))
	pace.Each(raw, policiesAtOnce, func(i int, bucket json.RawMessage) {
		observed[i], gaps[i], failed[i] = g.one(ctx, project, bucket)
	})
	if err := ctx.Err(); err != nil {
		return nil, nil, err // policies that were not read are no gaps: the run has ended
	}
	var missing []finding.Gap
	for i := range raw {
		if failed[i] != nil {
			return nil, nil, failed[i]
		}
		missing = append(missing, gaps[i]...)
	}
	return observed, missing, nil
}

// one reads the policy of a bucket. An answer that is no bucket of this project makes
// the whole list worthless.
func (g *gcs) one(ctx context.Context, project string, raw json.RawMessage) (asset.Observed, []finding.Gap, error) {
	name, err := asset.BucketName(raw)
	if err != nil {
		return asset.Observed{}, nil, &audit.Unread{Reason: finding.Malformed, Err: err}
	}
	var gaps []finding.Gap
	policy, err := g.reader.Policy(ctx, name)
	if err != nil {
		gaps = append(gaps, audit.GapOf(asset.Object(name)+" iam", err))
		policy = nil
	}
	clean, err := g.parser.Clean(asset.Observed{Bucket: raw, Policy: policy})
	if err != nil {
		return asset.Observed{}, nil, audit.Fail(finding.Malformed, "%s: %w", asset.Object(name), err)
	}
	if err := g.mine(project, clean.Bucket); err != nil {
		return asset.Observed{}, nil, err
	}
	_, problems, err := g.parser.Bucket(g.declared, project, clean)
	if err != nil {
		return asset.Observed{}, nil, &audit.Unread{Reason: finding.Malformed, Err: err}
	}
	for _, p := range problems {
		gaps = append(gaps, finding.Gap{Scope: asset.Object(name) + " " + p.Field, Reason: finding.Malformed, Detail: p.Text})
	}
	return clean, gaps, nil
}

// mine refuses a bucket of another project: numbers of projects never change.
func (g *gcs) mine(project string, raw json.RawMessage) error {
	var of struct{ ProjectNumber json.Number }
	if err := json.Unmarshal(raw, &of); err != nil {
		return audit.Fail(finding.Malformed, "a bucket of %s: %w", project, err)
	}
	want := g.declared.Projects[project].Number
	if want != "" && of.ProjectNumber != "" && of.ProjectNumber.String() != want {
		return audit.Fail(finding.Malformed, "the list of %s, which is project %s, has a bucket of project %.40s", project, want, of.ProjectNumber)
	}
	return nil
}

// Compare brings the readings into the form of the declared tree.
func (g *gcs) Compare(readings map[string]audit.Reading) (audit.Comparison, error) {
	seen := g.declared.Observe()
	for unit, r := range readings {
		project := strings.TrimPrefix(unit, projectUnit)
		seen.AddProject(project)
		var kept gcsReading
		if err := json.Unmarshal(r.Data, &kept); err != nil {
			return audit.Comparison{}, fmt.Errorf("%s: what was kept: %w", unit, err)
		}
		for _, o := range kept.Buckets {
			// Problems are gaps of the reading already.
			b, _, err := g.parser.Bucket(seen, project, o)
			if err != nil {
				return audit.Comparison{}, fmt.Errorf("%s: what was kept: %w", unit, err)
			}
			seen.Add(b)
		}
	}
	return g.parser.Diff(g.declared, seen), nil
}
