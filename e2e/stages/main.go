// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command stages runs the checks of "make e2e" one after the other and prints how long each took.
//
// Arguments name the stages to run; without any, all run. A failed stage does not stop the later ones, so that
// one run shows every fault; the exit code is 1 if any failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// stage is one row of the table. run works on the repository at root; cached says that nothing had to be done.
type stage struct {
	name string
	run  func(ctx context.Context, root string) (cached bool, err error)
}

func stages() []stage {
	return []stage{
		{"packages", installPackages},
		{"tidy", checkTidy},
		{"build lint", buildTools("lint")},
		{"lint", lint},
		{"demo", playDemo},
		{"build prow", buildTools("prow")},
		{"build boskos", buildTools("boskos")},
		{"build rivals", buildTools("rivals")},
		{"build cosign", buildTools("cosign")},
		{"build kpromo", buildTools("kpromo")},
		{"build versitygw", buildTools("versitygw")},
		{"build kube", buildTools("kube-apiserver")},
		{"test", testModule},
	}
}

// result is what became of a stage.
type result struct {
	name    string
	seconds float64
	cached  bool
	err     error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stages:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, out io.Writer) error {
	root, err := toolbin.Root()
	if err != nil {
		return err
	}
	selected, err := pick(stages(), names)
	if err != nil {
		return err
	}
	results := make([]result, 0, len(selected))
	for _, s := range selected {
		fmt.Fprintf(out, "=== %s\n", s.name)
		r := measure(ctx, s, root)
		if r.err != nil {
			fmt.Fprintf(out, "--- %s failed: %v\n", s.name, r.err)
		}
		results = append(results, r)
	}
	return table(out, results)
}

// pick returns the named stages in the order in which they run, or all.
func pick(all []stage, names []string) ([]stage, error) {
	if len(names) == 0 {
		return all, nil
	}
	var selected []stage
	for _, s := range all {
		if slices.Contains(names, s.name) {
			selected = append(selected, s)
		}
	}
	if len(selected) != len(names) {
		return nil, fmt.Errorf("pick stages: %s: not all of them exist", strings.Join(names, ", "))
	}
	return selected, nil
}

func measure(ctx context.Context, s stage, root string) result {
	start := time.Now()
	cached, err := s.run(ctx, root)
	return result{name: s.name, seconds: time.Since(start).Seconds(), cached: cached, err: err}
}

// table prints the results and fails if one of them has.
func table(out io.Writer, results []result) error {
	var failed []error
	total := 0.0
	fmt.Fprintf(out, "\n%-12s %8s  %s\n", "stage", "seconds", "cached")
	for _, r := range results {
		fmt.Fprintf(out, "%-12s %8.1f  %s\n", r.name, r.seconds, verdict(r))
		total += r.seconds
		if r.err != nil {
			failed = append(failed, errors.New(r.name+" failed"))
		}
	}
	fmt.Fprintf(out, "%-12s %8.1f\n", "all", total)
	return errors.Join(failed...)
}

func verdict(r result) string {
	switch {
	case r.err != nil:
		return "FAILED"
	case r.cached:
		return "yes"
	}
	return "no"
}
