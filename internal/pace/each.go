// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pace

import "sync"

// Each calls do with every element of a list and its index, at most so many at once, and returns when all calls have. They begin in
// the order of the list.
func Each[T any](list []T, atOnce int, do func(i int, one T)) {
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, one := range list {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			do(i, one)
		})
	}
	all.Wait()
}
