// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
)

// personal is what the verbs share that change what somebody else may hold.
type personal struct {
	flags   *poolFlags
	reason  string
	confirm bool
}

func (p *personal) register(cmd *cobra.Command, reason string) {
	cmd.Flags().BoolVar(&p.confirm, "confirm", false, "do it; without it this only says what would be done")
	if reason != "" {
		cmd.Flags().StringVar(&p.reason, "reason", "", reason)
	}
}

// order shows each resource and, with --confirm, has the verb done to it.
func (p *personal) order(cmd *cobra.Command, verb string, names []string, o leasehttp.Order) error {
	return p.flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
		return each("pool "+cmd.Name(), names, printable, func(name string) error {
			now, err := c.Resource(ctx, name)
			if err != nil {
				return err
			}
			if !p.confirm {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "would %s %s, which is %s%s; nothing was done: give --confirm\n",
					cmd.Name(), printable(name), printable(now.State), holder(now))
				return err
			}
			if now.Lease != nil {
				o.Epoch = now.Lease.Epoch // of what was just looked at
			}
			then, err := c.Order(ctx, verb, name, o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s%s\n", printable(name), printable(then.State), holder(then))
			return err
		})
	})
}

func holder(r leasehttp.Resource) string {
	text := ""
	if r.Owner != "" {
		text = ", held by " + printable(r.Owner)
	}
	if r.Lease != nil && r.Lease.Until != nil {
		text += " until " + instant(r.Lease.Until)
	}
	if why := condition(r); why != "" {
		text += ": " + printable(why)
	}
	return text
}

func poolForce(flags *poolFlags) *cobra.Command {
	p := &personal{flags: flags}
	var to string
	cmd := &cobra.Command{
		Use:   "force NAME... --reason REASON",
		Short: "End leases of others, by the names of resources",
		Long: `End leases of others, by the names of resources. Whoever holds one is told when it gives
its next sign of life; what it does until then, it does to a resource that is being cleaned.`,
		Example: `  steward pool force k8s-infra-e2e-boskos-001 --reason "its job hangs" --confirm`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if p.reason == "" {
				return errors.New("flag --reason: whoever held it finds it in the history")
			}
			return p.order(cmd, leasehttp.ForceRelease, names, leasehttp.Order{To: to, Reason: p.reason})
		},
		ValidArgsFunction: flags.completions(resourceNames, false),
	}
	cmd.Flags().StringVar(&to, "to", lease.Dirty, "state after it")
	p.register(cmd, "why, for the history")
	return cmd
}

func poolExtend(flags *poolFlags) *cobra.Command {
	p := &personal{flags: flags}
	cmd := &cobra.Command{
		Use:     "extend NAME DURATION",
		Short:   "Let a lease of somebody go on for at least so long from now",
		Example: "  steward pool extend k8s-infra-e2e-boskos-001 2h --confirm",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			by, err := time.ParseDuration(args[1])
			if err != nil {
				return fmt.Errorf("%q is not a duration such as 2h", args[1])
			}
			return p.order(cmd, leasehttp.Extend, args[:1], leasehttp.Order{By: leasehttp.Duration(by)})
		},
		ValidArgsFunction: flags.completions(resourceNames, true),
	}
	p.register(cmd, "")
	return cmd
}

func poolQuarantine(flags *poolFlags) *cobra.Command {
	p := &personal{flags: flags}
	cmd := &cobra.Command{
		Use:     "quarantine NAME... --reason REASON",
		Short:   "Take resources out of use: now, or when their leases end",
		Example: `  steward pool quarantine k8s-infra-e2e-boskos-001 --reason "billing is off" --confirm`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if p.reason == "" {
				return errors.New("flag --reason: whoever wants to heal it has to know")
			}
			return p.order(cmd, leasehttp.Quarantine, names, leasehttp.Order{Reason: p.reason})
		},
		ValidArgsFunction: flags.completions(resourceNames, false),
	}
	p.register(cmd, "what is wrong with them")
	return cmd
}

func poolHeal(flags *poolFlags) *cobra.Command {
	p := &personal{flags: flags}
	var to string
	cmd := &cobra.Command{
		Use:     "heal NAME...",
		Short:   "Take resources out of quarantine",
		Example: "  steward pool heal k8s-infra-e2e-boskos-001 --confirm",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return p.order(cmd, leasehttp.Heal, names, leasehttp.Order{To: to})
		},
		ValidArgsFunction: flags.completions(resourceNames, false),
	}
	cmd.Flags().StringVar(&to, "to", lease.Dirty, "state after it")
	p.register(cmd, "")
	return cmd
}

func poolReserve(flags *poolFlags) *cobra.Command {
	p := &personal{flags: flags}
	var account string
	cmd := &cobra.Command{
		Use:   "reserve TYPE COUNT FROM..UNTIL --account ACCOUNT --reason REASON",
		Short: "Keep resources free for an account in a window of time",
		Long: `Keep resources free for an account in a window of time. Nobody is driven out: what is given
back from the beginning of the window on is kept, until the account has what was reserved.

Each side of the window is a day in UTC or a time; a window until a day ends with it.`,
		Example: `  steward pool reserve scalability-project 2 2026-12-01..2026-12-03 --account scale-tests --reason "release 1.40" --confirm
  steward pool reserve gce-project 5 2026-12-01T08:00Z..2026-12-01T12:00Z --account upgrade --reason rehearsal --confirm`,
		Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			count, err := strconv.Atoi(args[1])
			if err != nil || count < 1 {
				return fmt.Errorf("%q is not how many", args[1])
			}
			from, until, err := lease.ParseWindow(args[2])
			if err != nil {
				return err
			}
			if account == "" || p.reason == "" {
				return errors.New("flags --account and --reason: say for whom, and why")
			}
			return p.reserve(cmd, leasehttp.Reservation{Type: args[0], Count: count, Account: account, From: from, Until: until, Reason: p.reason})
		},
		ValidArgsFunction: flags.completions(typeNames, true),
	}
	cmd.Flags().StringVar(&account, "account", "", "for whom, as in the rules of the pool's settings")
	p.register(cmd, "why, for those who wait meanwhile")
	return cmd
}

func (p *personal) reserve(cmd *cobra.Command, r leasehttp.Reservation) error {
	what := fmt.Sprintf("%d of %s for %s from %s until %s", r.Count, printable(r.Type), printable(r.Account), instant(&r.From), instant(&r.Until))
	if !p.confirm {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "would reserve %s; nothing was done: give --confirm\n", what)
		return err
	}
	return p.flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
		got, err := c.Reserve(ctx, r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "reserved %s: %s\n", what, printable(got.ID))
		return err
	})
}

func poolUnreserve(flags *poolFlags) *cobra.Command {
	p := &personal{flags: flags}
	cmd := &cobra.Command{
		Use:     "unreserve ID...",
		Short:   "End reservations; leases that were taken under them go on",
		Example: "  steward pool unreserve 5hoio72zfbxpcdywjztwsbo7u2 --confirm",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if !p.confirm {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "would end %d; nothing was done: give --confirm\n", len(ids))
				return err
			}
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				return each("pool unreserve", ids, printable, func(id string) error { return c.Cancel(ctx, id) })
			})
		},
	}
	p.register(cmd, "")
	return cmd
}
