// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

// CP-20: who gets a place when. In a script +a is work for the group a and !a an end of some, a asks for a place, and -a gives
// one back.
func TestPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		all          int
		script, want string
	}{
		"one group may have all":          {4, "+a a a a a a", "a a a a"},
		"in order":                        {4, "+a a a a a a -a", "a a a a a"},
		"half while another has work":     {4, "+a +b a a a a b", "a a b"},
		"all when the other has none":     {4, "+a +b a a a a !b", "a a a a"},
		"the other ends before all":       {4, "+a +b a a a a b !b", "a a b a"},
		"work that comes later":           {4, "+a a a a a +b b b -a -a -a", "a a a a b b"},
		"two groups":                      {4, "+a +b a a a b b b -b -a", "a a b b b a"},
		"two that hang":                   {4, "+a +b +c a a b b c -a", "a a b b c"},
		"a group without work":            {4, "+a b b b", "b b"},
		"more work than is ended":         {2, "+a +b +b a a !b", "a"},
		"more than half of an odd number": {3, "+a +b a a a b", "a a b"},
		"one place":                       {1, "+a +b a a b -a", "a a"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlaces(c.all)
			var begun []string
			for _, step := range strings.Fields(c.script) {
				group := step[len(step)-1:]
				switch step[0] {
				case '+':
					p.expect(group, 1)
				case '!':
					p.expect(group, -1)
				case '-':
					p.give(group)
				default:
					p.ask(group, func() { begun = append(begun, group) })
				}
			}
			if got := strings.Join(begun, " "); got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
		})
	}
}

// CP-20: who waits no longer gets no place, and who comes after gets it.
func TestAPlaceThatIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, end, why := newPlaces(1), make(chan struct{}), errors.New("why")
		do := func(ctx context.Context, what func() error) chan error {
			done := make(chan error, 1)
			go func() { done <- p.do(ctx, "a", what) }()
			synctest.Wait()
			return done
		}
		first := do(t.Context(), func() error { <-end; return why })
		ctx, cancel := context.WithCancelCause(t.Context())
		second := do(ctx, func() error { t.Error("it was done"); return nil })
		third := do(t.Context(), func() error { return nil })
		cancel(why)
		if err := <-second; !errors.Is(err, why) {
			t.Error(err)
		}
		close(end)
		if err := <-first; !errors.Is(err, why) {
			t.Error(err)
		}
		if err := <-third; err != nil || p.used != 0 {
			t.Errorf("%v, %d places are taken", err, p.used)
		}
	})
}
