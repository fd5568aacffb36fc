// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Table is the kinds of one account in an order in which they can be deleted.
type Table struct {
	kinds []Kind
	index map[string]int
}

// NewTable checks the kinds and orders them. Every fault of the table is reported at once (SW-1).
func NewTable(kinds []Kind) (*Table, error) {
	t := &Table{index: map[string]int{}}
	var faults []error
	for i, k := range kinds {
		if _, twice := t.index[k.Name]; twice || k.Name == "" {
			faults = append(faults, fmt.Errorf("kind %q has no name or stands twice", k.Name))
		}
		t.index[k.Name] = i
		if k.List == nil || k.Delete == nil {
			faults = append(faults, fmt.Errorf("kind %s cannot be listed or not deleted", k.Name))
		}
	}
	for _, k := range kinds {
		for _, name := range slices.Concat(k.After, k.Within) {
			if _, ok := t.index[name]; !ok {
				faults = append(faults, fmt.Errorf("kind %s depends on %q, which is none", k.Name, name))
			}
		}
	}
	if len(faults) == 0 {
		var orders [2][]int
		for i, before := range []func(Kind) []string{after, within} {
			order, err := t.order(kinds, before)
			orders[i], faults = order, appendError(faults, err)
		}
		t.sort(kinds, orders[0])
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("table of kinds: %w", err)
	}
	return t, nil
}

func after(k Kind) []string  { return k.After }
func within(k Kind) []string { return k.Within }

func appendError(all []error, err error) []error {
	if err == nil {
		return all
	}
	return append(all, err)
}

// sort puts the kinds in an order and finds their places anew.
func (t *Table) sort(kinds []Kind, order []int) {
	t.index = map[string]int{}
	for _, i := range order {
		t.index[kinds[i].Name] = len(t.kinds)
		t.kinds = append(t.kinds, kinds[i])
	}
}

// order is a depth-first search: who is found twice on one way round waits for itself.
func (t *Table) order(kinds []Kind, before func(Kind) []string) ([]int, error) {
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(kinds))
	var order []int
	var way []string
	var visit func(int) error
	visit = func(i int) error {
		if state[i] == done {
			return nil
		}
		way = append(way, kinds[i].Name)
		if state[i] == open {
			return fmt.Errorf("kinds wait for each other: %s", strings.Join(way[slices.Index(way, kinds[i].Name):], " after "))
		}
		state[i] = open
		for _, name := range before(kinds[i]) {
			if err := visit(t.index[name]); err != nil {
				return err
			}
		}
		state[i], way = done, way[:len(way)-1]
		order = append(order, i)
		return nil
	}
	for i := range kinds {
		if state[i] == fresh {
			if err := visit(i); err != nil {
				return nil, err
			}
		}
	}
	return order, nil
}

// Names lists the kinds in the order of the table.
func (t *Table) Names() []string {
	var names []string
	for _, k := range t.kinds {
		names = append(names, k.Name)
	}
	return names
}

// walk calls do for every kind, each as soon as do has returned for all kinds that stand before it, and waits for all.
func (t *Table) walk(before func(Kind) []string, do func(kind int)) {
	done := make([]chan struct{}, len(t.kinds))
	for i := range done {
		done[i] = make(chan struct{})
	}
	var all sync.WaitGroup
	for i, k := range t.kinds {
		all.Go(func() {
			defer close(done[i])
			for _, name := range before(k) {
				<-done[t.index[name]]
			}
			do(i)
		})
	}
	all.Wait()
}

// compare orders objects within a kind.
func compare(a, b Object) int {
	return cmp.Or(strings.Compare(a.Location, b.Location), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
}
