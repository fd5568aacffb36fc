// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/promotion"
)

func snapshotCommand(deps Deps) *cobra.Command {
	var flags snapshotFlags
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Write down what the mirrors hold, for plan --inventory",
		Long: `List every repository of every mirror that promoter manifests declare, and print an
inventory: what plan --inventory reads, and what two days or two tools can be compared by.

It is whole or it is not printed: what could not be read would look as if it were not
there.

Exit code 0: it was printed; 3: something could not be read; 1: an error.`,
		Example: `  steward promote snapshot --dir ~/k8s.io > inventory.json
  steward promote plan --dir ~/k8s.io --inventory inventory.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd, deps) },
	}
	flags.tree.register(cmd, "")
	flags.tree.narrow(cmd)
	flags.connection.register(cmd)
	_ = cmd.MarkFlagDirname("dir") // fails for unknown flags only
	return cmd
}

type snapshotFlags struct {
	tree
	connection
}

func (f *snapshotFlags) run(cmd *cobra.Command, deps Deps) (err error) {
	if err := errors.Join(f.tree.check(), f.connection.check()); err != nil {
		return err
	}
	d, done, err := f.tree.open(cmd.Context(), deps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	registry, err := f.connect(deps)
	if err != nil {
		return err
	}
	c := promotion.Compare(d.set, d.problems, d.scope)
	r := newReader(registry, f.parallel, newProgress(cmd.ErrOrStderr()).read)
	held, err := r.snapshot(cmd.Context(), slices.Collect(c.Repositories))
	if err != nil {
		return err
	}
	for _, g := range r.cover.Gaps {
		fmt.Fprintf(cmd.ErrOrStderr(), "promote: %s: %s %s\n", g.Scope, g.Reason, g.Detail)
	}
	if n := len(r.cover.Gaps); n > 0 {
		return &job.Exit{Code: job.Incomplete, Message: fmt.Sprintf("promote snapshot: %d of %d repositories could not be read, so nothing is printed", n, r.cover.Units)}
	}
	return writeInventory(cmd.OutOrStdout(), held)
}

// inventory is what repositories hold: HOST/REPOSITORY -> digest -> tags.
type inventory map[string]map[string][]string

// snapshot lists repositories. Those that do not exist are left out, those that could not be read are gaps.
func (r *reader) snapshot(ctx context.Context, repositories []promotion.Repository) (inventory, error) {
	var mu sync.Mutex
	held := inventory{}
	err := each(ctx, r, "mirrors", repositories, func(repo promotion.Repository) error {
		var listing manifest.Listing
		asked, err := r.ask(manifest.HostOf(repo.Name), func() (err error) {
			listing, err = r.list(ctx, repo)
			return err
		})
		switch {
		case errors.Is(err, manifest.ErrNoRepository):
			return nil
		case err != nil:
			r.gap(repo.Name, err)
			return nil
		case !asked:
			r.gap(repo.Name, errSkipped)
			return nil
		}
		digests := map[string][]string{}
		for digest := range listing.Digests {
			digests[digest] = []string{}
		}
		for tag, digest := range listing.Tags {
			digests[digest] = append(digests[digest], tag)
		}
		mu.Lock()
		defer mu.Unlock()
		held[repo.Name] = digests
		return nil
	})
	slices.SortFunc(r.cover.Gaps, byScope)
	return held, err
}

// writeInventory prints a repository a line, so that two inventories can be compared by lines.
func writeInventory(out io.Writer, held inventory) error {
	w := bufio.NewWriter(out)
	separator := "{\n"
	for _, name := range slices.Sorted(maps.Keys(held)) {
		for _, tags := range held[name] {
			slices.Sort(tags)
		}
		key, err := json.Marshal(name)
		if err != nil {
			return fmt.Errorf("write inventory: %w", err)
		}
		value, err := json.Marshal(held[name])
		if err != nil {
			return fmt.Errorf("write inventory: %w", err)
		}
		fmt.Fprintf(w, "%s%s: %s", separator, key, value)
		separator = ",\n"
	}
	if len(held) == 0 {
		fmt.Fprint(w, "{")
	}
	fmt.Fprint(w, "\n}\n")
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}
