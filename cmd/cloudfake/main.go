// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cloudfake runs the fake cloud of internal/cloudfake in its own process, for
// tests that kill their subject and for people who try an audit.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"sigs.k8s.io/steward/internal/cloudfake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cloudfake:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. The first line of out is the base URL; each further one is
// the name and the address of a part that has sockets of its own.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("cloudfake", flag.ContinueOnError)
	scenario := flags.String("scenario", "", "txtar file that describes the world (docs/cloudfake.md)")
	export := flags.String("export", "", "checkout whose audit/ is served as Google Cloud, instead of the scenario's")
	addr := flags.String("addr", "127.0.0.1:0", "address to listen on; the first line of standard output is the URL")
	latency := flags.Duration("latency", 0, "how long every HTTP answer takes, unless the scenario says so")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := world(*scenario, *export, *latency)
	if err != nil {
		return err
	}
	at, end, err := s.Listen(*addr)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, at.URL)
	for _, name := range slices.Sorted(maps.Keys(at.Parts)) {
		fmt.Fprintln(out, name, at.Parts[name])
	}
	<-ctx.Done()
	return end()
}

func world(scenario, export string, latency time.Duration) (*cloudfake.Server, error) {
	s := cloudfake.New(cloudfake.Options{Latency: latency})
	if scenario != "" {
		sc, err := cloudfake.ReadScenario(scenario)
		if err != nil {
			return nil, err
		}
		if err := s.Load(sc); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", scenario, err)
		}
	}
	if export != "" {
		if _, err := os.Stat(export); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		if err := s.GCP.States(os.DirFS(export)); err != nil {
			return nil, fmt.Errorf("export %s: %w", export, err)
		}
	}
	return s, nil
}
