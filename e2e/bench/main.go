// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench runs the benchmarks of both modules several times and writes their medians to docs/benchmarks.md.
//
// A benchmark whose cases have the form "who/what" compares: the ratio column says how each case stands to the
// first one of its benchmark. What the page says above the marker line is written by hand and kept.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// marker is the last line of the page that is written by hand.
const marker = "<!-- Below this line the page is written by make bench. -->\n"

// compared are the benchmarks of the page: what the hook, its log and the access rules cost, beside Prow's where it has
// the like, what the audit costs, the pool beside Boskos, and what it costs to prove an empty account empty. Others are for whoever changes the code they measure.
const compared = "^Benchmark(Receive|ReceivePaced|Irrelevant|Answer|Reconcile|RepoOwners|RepoOwnersQuery|Append|LoadReal|LoadIncremental|Explain|" +
	"TreeDiff|Crawl|Report|LoadRealTree|LoadRealZones|DNSRealZones|Lease|LeaseAlone|HandOff|PoolStart|EmptyProject|EmptyAccount)$"

func main() {
	count := flag.Int("count", 3, "how often each benchmark runs; the median is reported")
	pattern := flag.String("bench", compared, "which benchmarks run, as for go test -bench; the page is written for the default only")
	in := flag.String("in", "", "packages whose tables are written anew, such as e2e/pool,internal/gcp; all others stay")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *count, *pattern, *in); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, count int, pattern, in string) error {
	root, err := toolbin.Root()
	if err != nil {
		return err
	}
	var output bytes.Buffer
	for _, one := range patterns(in) {
		if err := measure(ctx, filepath.Join(root, one.module), one.packages, count, pattern, io.MultiWriter(os.Stdout, &output)); err != nil {
			return fmt.Errorf("measure module %s: %w", one.module, err)
		}
	}
	results, err := parse(&output)
	if err != nil {
		return err
	}
	if pattern != compared {
		return nil
	}
	return writePage(filepath.Join(root, "docs", "benchmarks.md"), func(old string) (string, error) {
		if in == "" {
			return render(results, count), nil
		}
		return merge(old, render(results, count))
	})
}

// selection is packages of one module, as patterns of the go command.
type selection struct {
	module   string
	packages []string
}

// patterns are all packages, or those of a list.
func patterns(in string) []selection {
	if in == "" {
		return []selection{{".", []string{"./..."}}, {"e2e", []string{"./..."}}}
	}
	var root, heavy []string
	for name := range strings.SplitSeq(in, ",") {
		if rest, ok := strings.CutPrefix(name, "e2e/"); ok {
			heavy = append(heavy, "./"+rest)
		} else {
			root = append(root, "./"+name)
		}
	}
	all := []selection{{".", root}, {"e2e", heavy}}
	return slices.DeleteFunc(all, func(s selection) bool { return len(s.packages) == 0 })
}

// measure runs one package at a time: two at once would take each other's cores.
func measure(ctx context.Context, dir string, packages []string, count int, pattern string, out io.Writer) error {
	args := []string{"test", "-p", "1", "-run", "^$", "-bench", pattern, "-benchmem", "-count", fmt.Sprint(count), "-timeout", "60m"}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, os.Stderr
	return cmd.Run()
}

// writePage keeps what stands above the marker and makes the rest of what it was.
func writePage(file string, results func(old string) (string, error)) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	prose, old, found := strings.Cut(string(page), marker)
	if !found {
		return fmt.Errorf("write results: %s has no marker line %q", file, strings.TrimSpace(marker))
	}
	tables, err := results(old)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(file, []byte(prose+marker+tables), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// machine says where the numbers come from, without naming the machine.
func machine(cpu string, count int) string {
	return fmt.Sprintf("Medians of %d runs with %s on %s/%s, %d CPUs (%s).\n",
		count, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu)
}
