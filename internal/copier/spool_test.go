// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// CP-3: a blob that is proven after its last reader has left makes room for others.
func TestRoomOfABlobThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, gate := newStock(), make(chan struct{})
		a, b := from.keep("x.test/p/a", "0123456789"), from.keep("x.test/p/a", "9876543210")
		from.before = func(_ context.Context, request string) error {
			if request == "blob x.test/p/a@"+a.Digest {
				<-gate
			}
			return nil
		}
		s := newSpool(t.Context(), from, t.TempDir(), Options{GiveUp: 5, Spool: 10, Memory: 10, Downloads: 2})
		blobs := s.need([]descriptor{a, b}, 1)
		first := s.open(t.Context(), "x.test/p/a", blobs[0])
		synctest.Wait() // it has the room
		first.Close()
		second := s.open(t.Context(), "x.test/p/a", blobs[1])
		defer second.Close()
		synctest.Wait()
		close(gate)
		if got, err := io.ReadAll(second); err != nil || string(got) != "9876543210" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// CP-3: the spool is bounded in blobs too, because each is known of; those that nobody needs go first.
func TestManyTinyBlobs(t *testing.T) {
	from, all := newStock(), []descriptor(nil)
	for n := range maxSpooled + 10 {
		all = append(all, from.keep("x.test/p/a", fmt.Sprint(n)))
	}
	s := newSpool(t.Context(), from, t.TempDir(), Options{GiveUp: 5, Spool: 1 << 30, Memory: 1 << 20, Downloads: 1})
	blobs := s.need(all, 1)
	for n, b := range blobs {
		r := s.open(t.Context(), "x.test/p/a", b)
		if got, err := io.ReadAll(r); err != nil || string(got) != fmt.Sprint(n) {
			t.Fatalf("%d: %q, %v", n, got, err)
		}
		r.Close()
		if n == 100 {
			s.done(blobs[20:30], 1)
		}
	}
	for n, b := range blobs[:40] {
		if gone := n >= 20 && n < 30; gone != (b.fill == nil) {
			t.Errorf("blob %d: %v", n, b.fill)
		}
	}
	if len(s.order) > maxSpooled {
		t.Errorf("%d blobs", len(s.order))
	}
}

// CP-19: a blob that failed takes no room and no memory, and is as if it had never been when nobody needs it any more.
func TestAFailureIsForgotten(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 100, "in a file": 1} {
		t.Run(name, func(t *testing.T) {
			from := newStock()
			d := descriptorOf("0123456789")
			s := newSpool(t.Context(), from, t.TempDir(), Options{GiveUp: 5, Spool: 10, Memory: memory, Downloads: 1})
			blobs := s.need([]descriptor{d}, 2)
			for range 2 {
				r := s.open(t.Context(), "x.test/p/a", blobs[0])
				if _, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "is lost") {
					t.Error(err)
				}
				r.Close()
				s.done(blobs, 1)
			}
			s.filling.Wait()
			if n := from.asked["blob x.test/p/a@"+d.Digest]; n != 1 {
				t.Errorf("the source was asked %d times", n)
			}
			if s.used+s.usedMemory > 0 || len(s.order) > 0 || blobs[0].fill != nil || len(s.blobs) > 0 {
				t.Errorf("%d bytes, %d in memory, %v in order, %v in the spool, %d remembered", s.used, s.usedMemory, s.order, blobs[0].fill, len(s.blobs))
			}
			from.keep("x.test/p/a", "0123456789")
			r := s.open(t.Context(), "x.test/p/a", s.need([]descriptor{d}, 1)[0])
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || string(got) != "0123456789" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// CP-19: what one image says of a blob, or its source has lost, is no matter of another image with the same blob.
func TestABlobOfTwoImages(t *testing.T) {
	const layer = "a layer of both"
	d := descriptorOf(layer)
	for name, spoil := range map[string]func(*stock) string{
		"says another size": func(s *stock) string {
			config := s.keep("x.test/bad/a", "{}")
			s.keep("x.test/bad/a", layer)
			return s.put("x.test/bad/a", "built", anImage(part(config.Digest, 2, ""), part(d.Digest, len(layer)+1, "")))
		},
		"has lost it": func(s *stock) string {
			digest := s.build("x.test/bad/a", 0, layer)
			delete(s.blobs, "x.test/bad/a@"+d.Digest)
			return digest
		},
		"has other bytes": func(s *stock) string {
			digest := s.build("x.test/bad/a", 0, layer)
			s.blobs["x.test/bad/a@"+d.Digest] = strings.ToUpper(layer)
			return digest
		},
	} {
		for _, when := range []string{"before", "at once"} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStock()
					bad, good := spoil(s), s.build("x.test/good/b", 0, layer)
					asked, opened, failed := make(chan struct{}), make(chan struct{}), make(chan struct{})
					follows := sync.OnceFunc(func() { close(opened) })
					s.before = func(_ context.Context, request string) error {
						switch {
						case request == "blob x.test/bad/a@"+d.Digest && when == "at once":
							close(asked)
							if name != "says another size" {
								<-opened // by both: the other image follows this one's blob
							}
						case request == "upload two.test/b@"+d.Digest && when == "at once":
							<-asked
						case request == "upload two.test/b@"+d.Digest:
							<-failed
						case request == "opened two.test/b@"+d.Digest:
							follows()
						}
						return nil
					}
					outcomes := New(s, s, Options{Dir: t.TempDir()}).Copy(t.Context(), []Job{
						{"x.test/bad/a", bad, []Target{{Repository: "one.test/a", Tags: []string{"v1"}}}},
						{"x.test/good/b", good, []Target{{Repository: "two.test/b", Tags: []string{"v1"}}}},
					}, func(e Event) {
						if e.Job == 0 {
							close(failed)
						}
					})
					if err := outcomes[0].Err; !OfSource(err) || s.tags["one.test/a:v1"] != "" {
						t.Errorf("the bad one: %v, %q", err, s.tags["one.test/a:v1"])
					}
					if err := outcomes[1].Err; err != nil || s.tags["two.test/b:v1"] != good || s.blobs["two.test/b@"+d.Digest] != layer {
						t.Errorf("the good one: %v", err)
					}
				})
			})
		}
	}
}

// CP-19: each source of a blob is tried once, however many follow it, and then all fail.
func TestABlobThatAllSourcesHaveLost(t *testing.T) {
	s := newStock()
	var jobs []Job
	d := descriptorOf("lost")
	for _, source := range []string{"x.test/p/a", "x.test/p/b", "y.test/q/c"} {
		digest := s.build(source, 0, "lost")
		delete(s.blobs, source+"@"+d.Digest)
		jobs = append(jobs, Job{Source: source, Digest: digest})
		for _, host := range []string{"one.test", "two.test", "three.test"} {
			jobs[len(jobs)-1].Targets = append(jobs[len(jobs)-1].Targets, Target{Repository: host + "/" + source})
		}
	}
	for _, o := range New(s, s, Options{Dir: t.TempDir()}).Copy(t.Context(), jobs, nil) {
		var source errSource
		if !errors.As(o.Err, &source) {
			t.Errorf("job %d, target %d: %v", o.Job, o.Target, o.Err)
		}
	}
	for _, job := range jobs {
		if n := s.asked["blob "+job.Source+"@"+d.Digest]; n > 1 {
			t.Errorf("%s was asked %d times", job.Source, n)
		}
	}
}
