// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command ghfake runs the fake GitHub of internal/ghfake in its own process, for
// tests that kill their subject and for the demo.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"sigs.k8s.io/steward/internal/ghfake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ghfake:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. The first line of out is the base URL.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ghfake", flag.ContinueOnError)
	scenario := flags.String("scenario", "", "txtar file that describes the world (docs/ghfake.md)")
	addr := flags.String("addr", "127.0.0.1:0", "address to listen on; the first line of standard output is the URL")
	rate := flags.Int("rate-limit", 0, "requests per hour and login (default: more than a test makes)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := ghfake.New(ghfake.Options{RateLimit: *rate})
	if *scenario != "" {
		sc, err := ghfake.ReadScenario(*scenario)
		if err != nil {
			return err
		}
		if err := s.Load(sc); err != nil {
			return fmt.Errorf("scenario %s: %w", *scenario, err)
		}
	}
	url, end, err := s.Listen(*addr)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, url)
	<-ctx.Done()
	return end()
}
