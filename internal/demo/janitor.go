// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
)

// The projects of which the demo tells, and a machine in a third one that is in the way.
const (
	gpuProject  = "example-gpu-1"
	testProject = "example-e2e-1"
	builders    = "example-ci"
	builder     = "compute zones/us-central1-a/instances/builder"
)

// janitorSettings are the steward.yaml of the community: what may be swept is said by a commit, never by who starts the janitor.
const janitorSettings = "repos: {" + repo + ": {}}\njanitor: {pool: [" + poolConfig + "], within: [folders/70]}\n"

// lentProjects are what the pool lends, as Google Cloud has them, and a project in which the community builds.
const lentProjects = `
-- cloud.yaml --
gce: {folders: {folders/70: organizations/7}}
-- gce/example-gpu-1.yaml --
{number: "500600700811", parent: folders/70, objects: [{key: compute global/networks/default}]}
-- gce/example-e2e-1.yaml --
{number: "500600700821", parent: folders/70, objects: [{key: compute global/networks/default}]}
-- gce/example-e2e-2.yaml --
{number: "500600700822", parent: folders/70, objects: [{key: compute global/networks/default}]}
-- gce/example-e2e-3.yaml --
{number: "500600700823", parent: folders/70, objects: [{key: compute global/networks/default}]}
-- gce/example-ci.yaml --
{number: "500600700802", parent: organizations/7, objects: [{key: compute zones/us-central1-a/instances/builder}]}
`

// lend adds the projects of the pool to the cloud.
func (c *cloud) lend() error {
	scenario, err := cloudfake.ParseScenario([]byte(lentProjects))
	if err != nil {
		return err
	}
	return c.fake.Load(scenario)
}

// object is something in a project of the cloud, with what it names in its fields.
type object struct {
	key    string
	fields map[string]any
}

// link is how one object names another.
func link(project, path string) string {
	return "https://www.googleapis.com/compute/v1/projects/" + project + "/" + path
}

// attached are the fields of a machine in a network.
func attached(project, network string) map[string]any {
	return map[string]any{"networkInterfaces": []any{map[string]any{"network": link(project, "global/networks/"+network)}}}
}

// training is what the test with GPUs makes.
func training() []object {
	machine := attached(gpuProject, "training")
	machine["disks"] = []any{map[string]any{"source": link(gpuProject, "zones/us-central1-a/disks/trainer")}}
	bucket := "storage b/" + gpuProject + "-checkpoints"
	return []object{
		{"compute global/networks/training", nil},
		{"compute zones/us-central1-a/disks/trainer", nil},
		{"compute zones/us-central1-a/instances/trainer", machine},
		{bucket, nil},
		{bucket + "/o/step-100#1", nil},
		{bucket + "/o/step-200#1", nil},
	}
}

// put makes objects in a project of the cloud, or changes them.
func (c *cloud) put(project string, objects ...object) (keys []string, err error) {
	for _, o := range objects {
		if err := c.fake.GCE.Put(project, o.key, o.fields); err != nil {
			return nil, err
		}
		keys = append(keys, o.key)
	}
	return keys, nil
}

// listed is a text and what it is about, a line each.
func listed(text string, lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return text + "\n  " + strings.Join(lines, "\n  ") + "\n"
}

// testStops leaves things in a project, and waits for the end of the lease that nobody renews.
func testStops(ctx context.Context, s *stage) (string, error) {
	keys, err := s.cloud.put(gpuProject, training()...)
	if err != nil {
		return "", err
	}
	r, err := s.until(ctx, gpuProject, lease.Dirty)
	if err != nil {
		return "", err
	}
	return listed("ci-gpu/17 makes in "+gpuProject+":", keys) + fmt.Sprintf("the lease of %s: %s, and %s is %s", r.Last.Owner, r.Last.Why, r.Name, r.State), nil
}

// testShares is a test that ends as it should. A machine of somebody else is still in its network then.
func testShares(ctx context.Context, s *stage) (string, error) {
	c := &leasehttp.Client{Server: s.poolURL()}
	got, _, err := c.Acquire(ctx, leasehttp.AcquireRequest{Owner: "ci-e2e/5", Wants: []lease.Want{{Type: "gce-project", Count: 1}}})
	if err != nil {
		return "", err
	}
	made, err := s.cloud.put(testProject, object{"compute global/networks/shared", nil})
	if err != nil {
		return "", err
	}
	moved, err := s.cloud.put(builders, object{builder, attached(testProject, "shared")})
	if err != nil {
		return "", err
	}
	if err := c.Release(ctx, got.Leases[0].ID, lease.Dirty, ""); err != nil {
		return "", err
	}
	return listed("ci-e2e/5 makes in "+testProject+":", made) + listed("pat moves into that network, from "+builders+":", moved) +
		"ci-e2e/5 gives " + got.Leases[0].Resource + " back", nil
}

// machineMoves takes out of the way what kept the project from being empty.
func machineMoves(_ context.Context, s *stage) (string, error) {
	moved, err := s.cloud.put(builders, object{builder, attached(builders, "default")})
	return listed("pat moves into a network of "+builders+" itself:", moved), err
}

// janitor runs the resident worker until the pool says that a project is in a state, and tells what it said and deleted.
func janitor(project, state string) func(context.Context, *stage) (string, error) {
	return func(ctx context.Context, s *stage) (string, error) {
		before := s.cloud.fake.GCE.Objects(project)
		said, r, err := s.janitor(ctx, project, state)
		if err != nil {
			return "", err
		}
		left := s.cloud.fake.GCE.Objects(project)
		gone := slices.DeleteFunc(before, func(key string) bool { return slices.Contains(left, key) })
		text := said + listed("gone from "+project+":", gone) + listed("still in "+project+":", left) + r.Name + " is " + r.State
		if r.Sick != nil {
			text += ": " + r.Sick.Reason
		}
		return text, nil
	}
}

// janitor starts the janitor as it would run beside the pool, and ends it when the pool says what is waited for.
func (s *stage) janitor(ctx context.Context, project, state string) (said string, r leasehttp.Resource, err error) {
	dir, err := s.export()
	if err != nil {
		return "", r, err
	}
	shown := []string{"janitor", "--pool", s.poolURL(), "--confirm"}
	// This cloud has no quota and is never slow, so that nothing has to be waited for.
	args := slices.Concat(shown, []string{
		"--dir", dir, "--rev", "main", "--endpoint", s.cloud.at.URL, "--rate", "1e6", "--poll", "1ms", "--pause", "1ms", "--idle", "10ms",
	})
	ctx, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var out string
	go func() {
		defer end() // nobody waits for a janitor that could not begin
		var failed error
		out, _, failed = execute(ctx, args...)
		ended <- failed
	}()
	r, err = s.until(ctx, project, state)
	end()
	if failed := <-ended; failed != nil {
		return "", r, failed
	}
	if err != nil {
		return "", r, fmt.Errorf("%w, and the janitor said:\n%s", err, out)
	}
	return listed("$ steward "+strings.Join(shown, " "), strings.Split(strings.TrimSpace(out), "\n")), r, nil
}
