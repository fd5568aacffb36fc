// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
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

// CP-20: a project whose source gives no answer is given up, so that not even two of them hold up a third for long.
func TestASourceThatIsGivenUp(t *testing.T) {
	const patience = 3 * time.Minute
	for what, hosts := range map[string][]string{"blob": {"one.test", "two.test"}, "manifest": {"one.test"}} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, began := newStock(), time.Now()
				s.before = func(ctx context.Context, request string) error {
					silent := strings.HasPrefix(request, what+" x.test/one/") || strings.HasPrefix(request, what+" x.test/two/")
					if !silent {
						return nil
					}
					time.Sleep(patience)
					return audit.Fail(finding.TimedOut, "nothing came")
				}
				var jobs []Job
				for _, group := range []string{"one", "two", "fast"} {
					for n := range 40 {
						source := fmt.Sprintf("x.test/%s/i%d", group, n)
						job := Job{Source: source, Digest: s.build(source, 0, "layer of "+source)}
						for _, host := range hosts {
							job.Targets = append(job.Targets, Target{Repository: host + "/" + source, Tags: []string{"v1"}})
						}
						jobs = append(jobs, job)
					}
				}
				for _, o := range New(s, s, Options{Dir: t.TempDir()}).Copy(t.Context(), jobs, nil) {
					var lost errSource
					if fast := o.Job >= 80; fast != (o.Err == nil) || !fast && !errors.As(o.Err, &lost) {
						t.Errorf("%s: %v", jobs[o.Job].Source, o.Err)
					}
				}
				if took := time.Since(began); took > 5*patience {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestOutages: only failures in a row count, of one project, and only those that are no answer.
func TestOutages(t *testing.T) {
	late, lost, busy := audit.Fail(finding.TimedOut, "late"), audit.Fail(finding.NotFound, "lost"), audit.Fail(finding.Throttled, "busy")
	for name, tt := range map[string]struct {
		answers []error
		over    bool
	}{
		"late":                    {[]error{late, late, late}, true},
		"late, but not always":    {[]error{late, late, nil, late, late}, false},
		"throttled":               {[]error{busy, busy, busy}, false},
		"lost":                    {[]error{lost, lost, lost, lost}, false},
		"late, lost, late":        {[]error{late, late, lost, late}, false},
		"ours":                    {[]error{late, late, errors.New("no space left"), late}, false},
		"as late as it is let be": {[]error{nil, late, late, late, nil}, true},
	} {
		o := newOutages(3)
		for _, answer := range tt.answers {
			_ = o.ask("x.test/a", func() error { return answer })
		}
		asked := false
		err := o.ask("x.test/a", func() error { asked = true; return nil })
		if tt.over != errors.Is(err, ErrGivenUp) || asked == tt.over {
			t.Errorf("%s: %v", name, err)
		}
		if tt.over && !strings.Contains(err.Error(), "x.test/a: given up after 3 failures in a row, the last: timed-out: late") {
			t.Errorf("%s: it says %v", name, err)
		}
		if err := o.ask("x.test/b", func() error { return nil }); err != nil {
			t.Errorf("%s: another project: %v", name, err)
		}
	}
}
