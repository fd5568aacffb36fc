// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/internal/spell"
)

func poolStatus(flags *poolFlags) *cobra.Command {
	var out poolOutput
	cmd := &cobra.Command{
		Use:   "status [TYPE...]",
		Short: "Show how many resources there are by type and state, and how many wait",
		Example: `  steward pool status
  steward pool status gpu-project -o json`,
		RunE: func(cmd *cobra.Command, types []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				all, err := c.Types(ctx)
				if err == nil {
					all, err = chosen(all, types)
				}
				if err != nil {
					return err
				}
				return out.show(cmd.OutOrStdout(), all, func(t *table) { statusTable(t, all) })
			})
		},
		ValidArgsFunction: flags.completions(typeNames, false),
	}
	out.register(cmd, "text", "json")
	return cmd
}

// chosen are the types that are named, all of them where none is.
func chosen(all []leasehttp.Type, names []string) ([]leasehttp.Type, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, t := range all {
		known = append(known, t.Type)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			text := fmt.Sprintf("there is no type %q", name)
			if near := spell.Nearest(name, known); near != "" {
				text += "; did you mean " + printable(near) + "?"
			}
			return nil, errors.New(text)
		}
	}
	return slices.DeleteFunc(all, func(t leasehttp.Type) bool { return !slices.Contains(names, t.Type) }), nil
}

// statusStates are columns of their own; every other state is counted as other.
func statusStates() []string {
	return []string{lease.Free, lease.Busy, lease.Dirty, lease.Cleaning, lease.Quarantined}
}

func statusTable(t *table, all []leasehttp.Type) {
	t.row("TYPE", "FREE", "BUSY", "DIRTY", "CLEANING", "QUARANTINED", "OTHER", "SIZE", "WAITING")
	for _, one := range all {
		cells := []any{one.Type}
		other := one.Size
		for _, state := range statusStates() {
			cells, other = append(cells, one.States[state]), other-one.States[state]
		}
		t.row(append(cells, other, one.Size, one.Waiting)...)
	}
}

func poolList(flags *poolFlags) *cobra.Command {
	var out poolOutput
	var typ, state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List resources with their state and who holds them",
		Example: `  steward pool list --type gce-project --state busy
  steward pool list -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				all, leftOut, err := c.Resources(ctx, typ, state)
				if err != nil {
					return err
				}
				if err := out.show(cmd.OutOrStdout(), all, func(t *table) { resourceTable(t, all) }); err != nil {
					return err
				}
				if leftOut > 0 {
					return &job.Exit{Code: job.Incomplete, Message: fmt.Sprintf("pool list: %d more are not shown: give --type or --state", leftOut)}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&typ, "type", "", "only this type")
	cmd.Flags().StringVar(&state, "state", "", "only this state")
	completeFlag(cmd, "type", flags.completions(typeNames, false))
	completeFlag(cmd, "state", cobra.FixedCompletions(statusStates(), cobra.ShellCompDirectiveNoFileComp))
	out.register(cmd, "text", "json")
	return cmd
}

func resourceTable(t *table, all []leasehttp.Resource) {
	t.row("NAME", "TYPE", "STATE", "OWNER", "ACCOUNT", "SINCE", "UNTIL", "WHY")
	for _, r := range all {
		account, since, until := "", "", ""
		if l := r.Lease; l != nil {
			account, since, until = l.Account, ago(l.Since), instant(l.Until)
		} else if r.Updated != nil {
			since = ago(*r.Updated)
		}
		t.row(r.Name, r.Type, r.State, r.Owner, account, since, until, condition(r))
	}
}

// condition is what is out of the ordinary about a resource.
func condition(r leasehttp.Resource) string {
	var all []string
	if r.Sick != nil {
		all = append(all, fmt.Sprintf("%s (by %s)", r.Sick.Reason, r.Sick.By))
	}
	if r.Failures > 0 {
		all = append(all, fmt.Sprintf("%d cleanings failed", r.Failures))
	}
	if r.Leaving {
		all = append(all, "not in the configuration any more")
	}
	if r.Unusual {
		all = append(all, "unknown state")
	}
	return strings.Join(all, "; ")
}

func poolGet(flags *poolFlags) *cobra.Command {
	var out poolOutput
	cmd := &cobra.Command{
		Use:     "get NAME...",
		Short:   "Show resources by name, with the lease that ended last",
		Example: "  steward pool get k8s-infra-e2e-boskos-001",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				var all []leasehttp.Resource
				for _, name := range names {
					one, err := c.Resource(ctx, name)
					if err != nil {
						return err
					}
					all = append(all, one)
				}
				return out.show(cmd.OutOrStdout(), all, func(t *table) {
					resourceTable(t, all)
					for _, r := range all {
						if l := r.Last; l != nil {
							t.row(fmt.Sprintf("%s: %s had it until %s, %s%s", r.Name, l.Owner, l.Until.UTC().Format(time.RFC3339), l.Why, noted(l.Note)))
						}
					}
				})
			})
		},
		ValidArgsFunction: flags.completions(resourceNames, false),
	}
	out.register(cmd, "text", "json")
	return cmd
}

func noted(note string) string {
	if note == "" {
		return ""
	}
	return " (" + note + ")"
}

func poolQueue(flags *poolFlags) *cobra.Command {
	var out poolOutput
	cmd := &cobra.Command{
		Use:     "queue [TYPE]",
		Short:   "Show who waits, in the order in which they are to be served",
		Example: "  steward pool queue gce-project",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				all, err := c.Queue(ctx, strings.Join(args, ""), "")
				if err != nil {
					return err
				}
				return out.show(cmd.OutOrStdout(), all, func(t *table) {
					t.row("AHEAD", "OWNER", "ACCOUNT", "CLASS", "WANTS", "STATE", "WAITS")
					for _, w := range all {
						t.row(ahead(w), w.Owner, w.Account, w.Class, wants(w.Wants), w.State, ago(w.Since))
					}
				})
			})
		},
		ValidArgsFunction: flags.completions(typeNames, true),
	}
	out.register(cmd, "text", "json")
	return cmd
}

func ahead(w leasehttp.Waiting) string {
	if w.Ahead < 0 {
		return "away"
	}
	return fmt.Sprint(w.Ahead)
}

func wants(all []lease.Want) string {
	var words []string
	for _, w := range all {
		words = append(words, fmt.Sprintf("%s=%d", w.Type, w.Count))
	}
	return strings.Join(words, ",")
}

func poolExplain(flags *poolFlags) *cobra.Command {
	var out poolOutput
	cmd := &cobra.Command{
		Use:   "explain REQUEST",
		Short: "Say where a request stands, and behind whom",
		Long: `Say where a request stands: how many are to be served before, and who they are.
The request is what was given to acquire --request, or the request_id of a Boskos client.`,
		Example: "  steward pool explain my-job-1234",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				found, err := standings(ctx, c, args[0])
				if err != nil {
					return err
				}
				if len(found) == 0 {
					return fmt.Errorf("no request %q waits: it was served, withdrawn or not asked again in time", args[0])
				}
				return out.show(cmd.OutOrStdout(), found, func(t *table) {
					for _, s := range found {
						t.row(s.text())
					}
				})
			})
		},
	}
	out.register(cmd, "text", "json")
	return cmd
}

// standing is a request at a type for which it waits, and those before it.
type standing struct {
	leasehttp.Waiting
	Type   string              `json:"type"`
	Before []leasehttp.Waiting `json:"before"`
}

// standings finds a request wherever it waits.
func standings(ctx context.Context, c *leasehttp.Client, request string) ([]standing, error) {
	rows, err := c.Queue(ctx, "", request)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var types []string
	for _, row := range rows {
		for _, want := range row.Wants {
			if !slices.Contains(types, want.Type) {
				types = append(types, want.Type)
			}
		}
	}
	var found []standing
	for _, typ := range types {
		mine, err1 := c.Queue(ctx, typ, request)
		line, err2 := c.Queue(ctx, typ, "")
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		for _, w := range mine {
			before := slices.DeleteFunc(slices.Clone(line), func(o leasehttp.Waiting) bool {
				return o.State != w.State || o.Ahead < 0 || o.Ahead >= w.Ahead
			})
			found = append(found, standing{w, typ, before})
		}
	}
	return found, nil
}

// shownBefore keeps the line readable.
const shownBefore = 5

func (s standing) text() string {
	text := fmt.Sprintf("%s of %s waits for %s in state %s since %s: ", s.Request, s.Owner, s.Type, s.State, ago(s.Since))
	if s.Ahead < 0 {
		return text + "it has been away for too long to be served, and comes back by asking again"
	}
	if s.Ahead == 0 {
		return text + "it is next"
	}
	var owners []string
	for i, w := range s.Before {
		if i == shownBefore {
			owners = append(owners, "…")
			break
		}
		owners = append(owners, w.Owner)
	}
	return text + fmt.Sprintf("%d ahead (%s)", s.Ahead, strings.Join(owners, ", "))
}

func poolReservations(flags *poolFlags) *cobra.Command {
	var out poolOutput
	cmd := &cobra.Command{
		Use:   "reservations",
		Short: "List reservations, with the ids that unreserve takes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				all, err := c.Reservations(ctx)
				if err != nil {
					return err
				}
				return out.show(cmd.OutOrStdout(), all, func(t *table) {
					t.row("ID", "TYPE", "COUNT", "ACCOUNT", "FROM", "UNTIL", "BY", "REASON")
					for _, r := range all {
						t.row(r.ID, r.Type, r.Count, r.Account, instant(&r.From), instant(&r.Until), r.By, r.Reason)
					}
				})
			})
		},
	}
	out.register(cmd, "text", "json")
	return cmd
}

// past are the flags that choose leases that ended.
type past struct {
	resource, typ, account, owner, since, until string
	limit                                       int
	csv                                         bool
}

func (p *past) register(cmd *cobra.Command, flags *poolFlags) {
	f := cmd.Flags()
	f.StringVar(&p.typ, "type", "", "only this type")
	f.StringVar(&p.account, "account", "", "only this account")
	f.StringVar(&p.since, "since", "", "ended from then on: a time such as 2026-11-26T00:00:00Z, or how long ago, such as 24h")
	f.StringVar(&p.until, "until", "", "ended before")
	f.BoolVar(&p.csv, "csv", false, "comma-separated values with a header")
	completeFlag(cmd, "type", flags.completions(typeNames, false))
}

func (p *past) path(at string) string {
	q := url.Values{}
	for key, value := range map[string]string{
		"resource": p.resource, "type": p.typ, "account": p.account, "owner": p.owner, "since": p.since, "until": p.until,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if p.limit > 0 {
		q.Set("limit", fmt.Sprint(p.limit))
	}
	if p.csv {
		q.Set("format", "csv")
	}
	return at + "?" + q.Encode()
}

// raw copies an answer as it came.
func (p *past) raw(ctx context.Context, c *leasehttp.Client, w io.Writer, at string) error {
	var content []byte
	if err := c.Do(ctx, http.MethodGet, p.path(at), nil, &content); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func poolHistory(flags *poolFlags) *cobra.Command {
	var out poolOutput
	var chosen past
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List leases that ended: who held what, how long, for which job, and how it ended",
		Long: `List leases that ended, the latest day first. Exit code 3: there are more than --limit.
How long they are kept is a setting of the pool.`,
		Example: `  steward pool history --since 24h --type gce-project
  steward pool history --resource k8s-infra-e2e-boskos-001 -o json
  steward pool history --since 720h --csv > leases.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error { return runHistory(ctx, cmd, c, chosen, out) })
		},
	}
	chosen.register(cmd, flags)
	cmd.Flags().StringVar(&chosen.resource, "resource", "", "only this resource")
	cmd.Flags().StringVar(&chosen.owner, "owner", "", "only this owner")
	cmd.Flags().IntVar(&chosen.limit, "limit", 1000, "at most so many")
	completeFlag(cmd, "resource", flags.completions(resourceNames, false))
	out.register(cmd, "text", "json")
	return cmd
}

func runHistory(ctx context.Context, cmd *cobra.Command, c *leasehttp.Client, chosen past, out poolOutput) error {
	if chosen.csv {
		return chosen.raw(ctx, c, cmd.OutOrStdout(), "/v1/history")
	}
	var answer struct {
		History []leasehttp.HistoryLine
		More    bool
	}
	if err := c.Do(ctx, http.MethodGet, chosen.path("/v1/history"), nil, &answer); err != nil {
		return err
	}
	err := out.show(cmd.OutOrStdout(), answer.History, func(t *table) {
		t.row("RESOURCE", "TYPE", "OWNER", "ACCOUNT", "JOB", "SINCE", "FOR", "HELD", "LEFT", "WHY", "NOTE")
		for _, l := range answer.History {
			t.row(l.Resource, l.Type, l.Owner, l.Account, l.Job, instant(&l.Since), l.Until.Sub(l.Since).Truncate(time.Second), l.Held, l.Left, l.Why, l.Note)
		}
	})
	if err == nil && answer.More {
		return &job.Exit{Code: job.Incomplete, Message: fmt.Sprintf("pool history: there are more than %d: raise --limit or bound the time", len(answer.History))}
	}
	return err
}

func poolUsage(flags *poolFlags) *cobra.Command {
	var out poolOutput
	var chosen past
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Count leases and lease-hours by account and type, of what ended and what runs",
		Example: `  steward pool usage --since 168h
  steward pool usage --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z --csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				if chosen.csv {
					return chosen.raw(ctx, c, cmd.OutOrStdout(), "/v1/usage")
				}
				var answer struct{ Usage []leasehttp.Usage }
				if err := c.Do(ctx, http.MethodGet, chosen.path("/v1/usage"), nil, &answer); err != nil {
					return err
				}
				return out.show(cmd.OutOrStdout(), answer.Usage, func(t *table) {
					t.row("ACCOUNT", "TYPE", "LEASES", "HOURS")
					for _, u := range answer.Usage {
						t.row(u.Account, u.Type, u.Leases, fmt.Sprintf("%.2f", u.Hours))
					}
				})
			})
		},
	}
	chosen.register(cmd, flags)
	out.register(cmd, "text", "json")
	return cmd
}

func poolExport(flags *poolFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Print the whole state as JSON: types, resources, the queue, reservations",
		Long: `Print the whole state as JSON, for people and their scripts. Ids of leases and what
holders keep with a resource are left out. Exit code 3: there are more resources than one
answer holds.`,
		Example: `  steward pool export > pool.json
  steward pool export | jq '.resources[] | select(.sick)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error { return runExport(ctx, cmd.OutOrStdout(), c) })
		},
	}
}

func runExport(ctx context.Context, w io.Writer, c *leasehttp.Client) error {
	types, err1 := c.Types(ctx)
	resources, leftOut, err2 := c.Resources(ctx, "", "")
	queue, err3 := c.Queue(ctx, "", "")
	reservations, err4 := c.Reservations(ctx)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	err := writeJSON(w, map[string]any{
		"types": types, "resources": resources, "queue": queue, "reservations": reservations,
	})
	if err == nil && leftOut > 0 {
		return &job.Exit{Code: job.Incomplete, Message: fmt.Sprintf("pool export: %d resources are missing", leftOut)}
	}
	return err
}

func poolWatch(flags *poolFlags) *cobra.Command {
	var out poolOutput
	cmd := &cobra.Command{
		Use:   "watch [TYPE]",
		Short: "Show resources, and then every change until it is interrupted",
		Example: `  steward pool watch gce-project
  steward pool watch -o json | jq -r 'select(.resource.sick) | .resource.name'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			return runWatch(cmd, c, strings.Join(args, ""), out)
		},
		ValidArgsFunction: flags.completions(typeNames, true),
	}
	out.register(cmd, "text", "json")
	return cmd
}

// watchPause is how long to wait before a watch that the server ended is taken up again.
const watchPause = time.Second

func runWatch(cmd *cobra.Command, c *leasehttp.Client, typ string, out poolOutput) error {
	w := watched{out: json.NewEncoder(cmd.OutOrStdout()), w: cmd.OutOrStdout(), json: out.format == "json"}
	for {
		err := c.Watch(cmd.Context(), typ, w.tell)
		if cmd.Context().Err() != nil {
			return nil // it was interrupted, as it should be
		}
		if err != nil {
			return hinted(err)
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// watched shows a watch.
type watched struct {
	out  *json.Encoder
	w    io.Writer
	json bool
}

func (w watched) tell(c leasehttp.Change) error {
	switch {
	case w.json:
		return w.out.Encode(c)
	case c.Resource != nil:
		r := c.Resource
		_, err := fmt.Fprintf(w.w, "%s  %s  %s  %s  %s  %s\n", time.Now().UTC().Format(time.TimeOnly),
			printable(r.Type), printable(r.Name), printable(r.State), printable(r.Owner), printable(condition(*r)))
		return err
	case c.Gone != "":
		_, err := fmt.Fprintf(w.w, "%s  %s is gone\n", time.Now().UTC().Format(time.TimeOnly), printable(c.Gone))
		return err
	}
	return nil
}
