// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := []string{"a", "b", "c", "d", "e"}
		var mu sync.Mutex
		var begun, ended []string
		next, ready := make(chan bool), make(chan bool)
		go func() {
			Each(list, 2, func(i int, one string) {
				if list[i] != one {
					t.Errorf("%d is %s", i, one)
				}
				mu.Lock()
				begun = append(begun, one)
				mu.Unlock()
				<-next
				mu.Lock()
				ended = append(ended, one)
				mu.Unlock()
			})
			close(ready)
		}()
		for done := range list {
			synctest.Wait()
			if want := min(len(list), done+2); len(begun) != want || len(ended) != done {
				t.Errorf("%d begun and %d ended after %d", len(begun), len(ended), done)
			}
			select {
			case <-ready:
				t.Error("it has returned while calls are under way")
			default:
			}
			next <- true
		}
		<-ready
		if slices.Sort(ended); !slices.Equal(ended, list) {
			t.Errorf("%q", ended)
		}
		Each(nil, 1, func(int, string) { t.Error("called for nothing") })
	})
}
