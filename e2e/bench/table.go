// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is all runs of one benchmark case: its values by unit, one for each run.
type result struct {
	pkg    string
	name   string
	values map[string][]float64
}

// results are in the order in which they ran; cpu is what the testing package says of the processor.
type results struct {
	cpu  string
	rows []*result
}

// parse reads what go test -bench prints.
func parse(in io.Reader) (results, error) {
	var all results
	pkg := ""
	for lines := bufio.NewScanner(in); lines.Scan(); {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = strings.TrimPrefix(name, "sigs.k8s.io/steward/")
		}
		if cpu, ok := strings.CutPrefix(line, "cpu: "); ok {
			all.cpu = cpu
		}
		if err := all.add(pkg, strings.Fields(line)); err != nil {
			return results{}, fmt.Errorf("read benchmark output: %q: %w", line, err)
		}
	}
	return all, nil
}

// add takes one line in fields: name, iterations, then pairs of value and unit.
func (r *results) add(pkg string, fields []string) error {
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return nil
	}
	row := r.row(pkg, trimProcs(strings.TrimPrefix(fields[0], "Benchmark")))
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		row.values[fields[i+1]] = append(row.values[fields[i+1]], value)
	}
	return nil
}

// trimProcs cuts the "-2" for GOMAXPROCS off a name.
func trimProcs(name string) string {
	return regexp.MustCompile(`-\d+$`).ReplaceAllString(name, "")
}

func (r *results) row(pkg, name string) *result {
	i := slices.IndexFunc(r.rows, func(row *result) bool { return row.pkg == pkg && row.name == name })
	if i < 0 {
		r.rows = append(r.rows, &result{pkg, name, map[string][]float64{}})
		i = len(r.rows) - 1
	}
	return r.rows[i]
}

// median is the middle of the values of a unit, or 0 without any; of two in the middle it is the lower.
func (r *result) median(unit string) float64 {
	values := slices.Sorted(slices.Values(r.values[unit]))
	if len(values) == 0 {
		return 0
	}
	return values[(len(values)-1)/2]
}

// benchmark is the name without its cases.
func (r *result) benchmark() string {
	name, _, _ := strings.Cut(r.name, "/")
	return r.pkg + " " + name
}

// render makes one Markdown table for each package.
func render(all results, count int) string {
	var b strings.Builder
	b.WriteString("\n" + machine(all.cpu, count))
	pkg := ""
	var first *result
	for _, r := range all.rows {
		if r.pkg != pkg {
			pkg = r.pkg
			fmt.Fprintf(&b, table+"%s\n\n| benchmark | time | ratio | memory | allocations | other |\n|---|--:|--:|--:|--:|---|\n", pkg)
		}
		if first == nil || r.benchmark() != first.benchmark() {
			first = r
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.0f | %s |\n", r.name, duration(r.median("ns/op")), ratio(r, first),
			size(r.median("B/op")), r.median("allocs/op"), r.others())
	}
	return b.String()
}

// table begins the results of a package.
const table = "\n## "

// merge puts the tables of some packages in the place of those that were there. All have to be of one machine.
func merge(old, some string) (string, error) {
	tables, fresh := strings.Split(old, table), strings.Split(some, table)
	if tables[0] != fresh[0] {
		return "", fmt.Errorf("the other tables are not of this machine, this Go or this count: %q, now %q", tables[0], fresh[0])
	}
	for _, one := range fresh[1:] {
		name, _, _ := strings.Cut(one, "\n")
		i := slices.IndexFunc(tables, func(t string) bool { return strings.HasPrefix(t, name+"\n") })
		if i < 0 {
			tables = append(tables, one)
		} else {
			tables[i] = one
		}
	}
	return strings.Join(tables, table), nil
}

// ratio is empty for the case that the others are compared with.
func ratio(r, first *result) string {
	base := first.median("ns/op")
	if r == first || base == 0 {
		return ""
	}
	return strconv.FormatFloat(r.median("ns/op")/base, 'g', 2, 64)
}

// others lists the units that a benchmark reports of its own accord.
func (r *result) others() string {
	var texts []string
	for unit := range r.values {
		if !slices.Contains([]string{"ns/op", "B/op", "allocs/op"}, unit) {
			texts = append(texts, fmt.Sprintf("%.4g %s", r.median(unit), unit))
		}
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

// duration shows three digits at most.
func duration(ns float64) string {
	d := time.Duration(ns)
	for unit := time.Duration(1); unit < time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.String()
}

// size shows bytes in the unit that fits.
func size(bytes float64) string {
	for _, u := range []struct {
		name  string
		bytes float64
	}{{"MB", 1e6}, {"kB", 1e3}} {
		if bytes >= u.bytes {
			return fmt.Sprintf("%.3g %s", bytes/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", bytes)
}
