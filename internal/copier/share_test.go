// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// CP-20: a project whose source hangs holds up no other, whatever of it hangs, and however much of it comes first.
func TestASourceThatHangs(t *testing.T) {
	for what, hosts := range map[string][]string{"blob": {"one.test", "two.test"}, "manifest": {"one.test"}} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStock()
				s.before = func(ctx context.Context, request string) error {
					if !strings.HasPrefix(request, what+" x.test/slow/") {
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				}
				var jobs []Job
				for _, group := range []string{"slow", "fast"} {
					for n := range 20 {
						source := fmt.Sprintf("x.test/%s/i%d", group, n)
						job := Job{Source: source, Digest: s.build(source, 0, many(source, 24)...)}
						for _, host := range hosts {
							job.Targets = append(job.Targets, Target{Repository: host + "/" + source, Tags: []string{"v1"}})
						}
						jobs = append(jobs, job)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				left := 20 * len(jobs[0].Targets)
				for _, o := range New(s, s, Options{Dir: t.TempDir()}).Copy(ctx, jobs, func(e Event) {
					if left--; left == 0 {
						cancel()
					}
				}) {
					if fast := o.Job >= 20; fast != (o.Err == nil) {
						t.Errorf("%s: %v", jobs[o.Job].Source, o.Err)
					}
				}
			})
		})
	}
}
