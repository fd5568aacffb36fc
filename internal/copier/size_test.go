// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"fmt"
	"strings"
	"testing"
)

// CP-7: what an image says of a blob's size is compared where the blob is there already, and where it is mounted: nobody reads
// it then. It is the image that fails, not the host.
func TestASizeThatNobodyReads(t *testing.T) {
	const layer = "a layer that is there"
	d := descriptorOf(layer)
	for name, source := range map[string]string{"there": "x.test/bad/a", "mounted": "one.test/staging/a"} {
		t.Run(name, func(t *testing.T) {
			s := newStock()
			var jobs []Job
			for i := range 2 * imagesPerHost { // more than are on their way when the host would be given up
				from, to := fmt.Sprint(source, i), fmt.Sprint("one.test/p/a", i)
				s.keep(from, layer)
				if name == "there" {
					s.keep(to, layer)
				}
				config := s.keep(from, "{}")
				liar := s.put(from, "built", anImage(part(config.Digest, 2, ""), part(d.Digest, len(layer)+1, "")))
				jobs = append(jobs, Job{from, liar, []Target{{Repository: to, Tags: []string{"v1"}}}})
			}
			good := s.build(source, 0, layer)
			jobs = append(jobs, Job{source, good, []Target{{Repository: "one.test/p/b", Tags: []string{"v1"}}}})
			outcomes := New(s, s, Options{Dir: t.TempDir()}).Copy(t.Context(), jobs, nil)
			for _, o := range outcomes[:len(jobs)-1] {
				if o.Err == nil || !strings.Contains(o.Err.Error(), "the image's manifest says 22") || s.tags[jobs[o.Job].Targets[0].Repository+":v1"] != "" {
					t.Errorf("%d: %v", o.Job, o.Err)
				}
			}
			if o := outcomes[len(jobs)-1]; o.Err != nil || s.tags["one.test/p/b:v1"] != good {
				t.Errorf("the good one: %v", o.Err)
			}
			if got := s.asked["blob "+source+"@"+d.Digest]; name == "mounted" && got > 0 {
				t.Error("what the host shares was read")
			}
		})
	}
}
