// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli puts the steward command line together: jobs, what they read with, and
// clients of the servers. It is apart from package wire because a server must not link
// what can reach a cloud.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/git"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/providers"
	"sigs.k8s.io/steward/internal/queue"
	"sigs.k8s.io/steward/jobs"
	"sigs.k8s.io/steward/plugins"
)

// Command is steward: every job, check and client, as NOUN VERB.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "steward",
		Short: "Run a community's infrastructure from its repository and its OWNERS files",
		Long: `steward runs the jobs and checks of a community's own infrastructure. Every verb
reads the community's repository as it stands; --dir names a checkout.

Exit codes: 0 done or clean; 1 error, usage included; 2 a check found something
(or "why" says no); 3 incomplete.`,
		Example: `  steward owners lint
  steward owners why alice dns/zone-configs/k8s.io.yaml
  steward verify --base origin/main
  steward pool status
  steward hook replay`,
	}
	deps := jobs.Deps{
		OpenCommit: git.At, Plugins: allPlugins, OpenState: providers.OpenState, OpenPublic: providers.OpenPublic,
		Readers: providers.Readers(), Accounts: providers.Accounts(), OpenPool: openPool,
		Ancestor: git.Ancestor, Promote: providers.Promote(), OpenGitHub: providers.OpenGitHub,
	}
	cmd.AddCommand(jobs.All(deps)...)
	pool := poolClient()
	pool.AddCommand(jobs.PoolLint(deps))
	cmd.AddCommand(hookClient(), pool)
	return cmd
}

// allPlugins describes what steward-hook runs; nothing is asked of the plugins, so
// that they need nothing.
func allPlugins() (*plugin.Set, error) { return plugin.NewSet(plugins.All(plugins.Deps{})) }

func hookClient() *cobra.Command {
	cmd := job.Group(&cobra.Command{Use: "hook", Short: "Look after a running steward-hook"})
	cmd.AddCommand(replayCommand())
	return cmd
}

// clientTimeout is for one request to a server on this machine.
const clientTimeout = 30 * time.Second

func replayCommand() *cobra.Command {
	var server string
	var all bool
	cmd := &cobra.Command{
		Use:   "replay [--all | THREAD...]",
		Short: "List threads that steward-hook gave up, or have them looked at again",
		Long: `A thread that failed ten times is a dead letter. Without arguments they are
listed; with --all or their names they are put back into the queue.

The server listens for this on loopback only; from elsewhere use
kubectl port-forward.`,
		Example: `  steward hook replay
  steward hook replay kubernetes/k8s.io#1234
  kubectl port-forward statefulset/steward-hook 6060 & steward hook replay --all`,
		RunE: func(cmd *cobra.Command, keys []string) error {
			if !all && len(keys) == 0 {
				return listLetters(cmd, server)
			}
			if all && len(keys) > 0 {
				return errors.New("give either --all or threads")
			}
			var replayed []string
			if err := ask(http.MethodPost, server+"/dead-letters/replay?"+url.Values{"key": keys}.Encode(), &replayed); err != nil {
				return err
			}
			if len(replayed) == 0 && all {
				fmt.Fprintln(cmd.OutOrStdout(), "no dead letters")
			}
			for _, key := range replayed {
				fmt.Fprintln(cmd.OutOrStdout(), "replayed", key)
			}
			if len(replayed) < len(keys) {
				return fmt.Errorf("%d of %d threads are not dead letters", len(keys)-len(replayed), len(keys))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:6060", "the server's debug port")
	cmd.Flags().BoolVar(&all, "all", false, "put all of them back")
	return cmd
}

func listLetters(cmd *cobra.Command, server string) error {
	var letters []queue.Letter
	if err := ask(http.MethodGet, server+"/dead-letters", &letters); err != nil {
		return err
	}
	if len(letters) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "no dead letters")
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "THREAD\tATTEMPTS\tSINCE\tERROR")
	for _, l := range letters {
		fmt.Fprintf(w, "%s\t%d\t%s\t%q\n", l.Key, l.Attempts, l.At.UTC().Format(time.RFC3339), l.Error)
	}
	return w.Flush()
}

func ask(method, address string, out any) error {
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		return fmt.Errorf("ask steward-hook: %w", err)
	}
	client := http.Client{Timeout: clientTimeout}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask steward-hook (is it running, and --server its debug port?): %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("ask steward-hook: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask steward-hook: %s: %.300s", resp.Status, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("ask steward-hook: %w", err)
	}
	return nil
}
