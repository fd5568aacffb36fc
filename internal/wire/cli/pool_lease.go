// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
)

// What scripts find in the environment: acquire prints it, the other verbs read it.
const leaseVariable = "STEWARD_LEASE"

func poolAcquire(flags *poolFlags) *cobra.Command {
	var out poolOutput
	var types []string
	var wait, ttl time.Duration
	req := leasehttp.AcquireRequest{Job: os.Getenv("JOB_NAME"), Build: os.Getenv("BUILD_ID")}
	cmd := &cobra.Command{
		Use:   "acquire --type TYPE[=N]...",
		Short: "Take resources, all or nothing, and wait for them if told to",
		Long: `Take resources, all of them or none, and print the leases. A lease ends after --ttl unless
it is renewed: see "steward pool renew --every".

With --wait the call keeps its place in the queue, also while the server restarts. Exit code
3: what was wanted did not become free in time; the place in the queue is given up then,
unless --request names one to come back to.

Under Prow the owner is the job and its build, and both are in the history.`,
		Example: `  steward pool acquire --type gce-project --wait 10m
  steward pool acquire --type gce-project=2 --type gpu-project --owner me --ttl 1h
  eval "$(steward pool acquire --type gce-project --wait 10m -o export)"
  echo "$STEWARD_RESOURCE"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			if req.Wants, err = parseWants(types); err != nil {
				return err
			}
			if req.Owner == "" {
				return errors.New("flag --owner: say who asks; it is the job and its build where $JOB_NAME and $BUILD_ID are set")
			}
			req.TTL = leasehttp.Duration(ttl)
			a := acquisition{client: c, req: req, keep: req.Request != "", deadline: time.Now().Add(wait), waits: wait > 0, log: cmd.ErrOrStderr()}
			got, err := a.run(cmd.Context())
			if err != nil {
				return hinted(err)
			}
			return writeLeases(cmd.OutOrStdout(), got, out)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&types, "type", nil, "type and, if more than one, how many; may be repeated")
	f.StringVar(&req.Owner, "owner", prowOwner(), "who asks; under Prow $JOB_NAME/$BUILD_ID")
	f.DurationVar(&wait, "wait", 0, "how long to wait")
	f.DurationVar(&ttl, "ttl", 5*time.Minute, "how long a lease lasts without renewal, 1s to 24h")
	f.StringVar(&req.Request, "request", "", "a name of your own for this call: asked again with it, it has its place, or what it was given")
	f.StringVar(&req.From, "state", lease.Free, "state to take from")
	f.StringVar(&req.To, "target-state", lease.Busy, "state while it is held")
	completeFlag(cmd, "type", flags.completions(typeNames, false))
	out.register(cmd, "json", "export", "text")
	return cmd
}

// prowOwner names a run of a job of Prow.
func prowOwner() string {
	name, build := os.Getenv("JOB_NAME"), os.Getenv("BUILD_ID")
	if name == "" || build == "" {
		return name
	}
	return name + "/" + build
}

func parseWants(types []string) ([]lease.Want, error) {
	if len(types) == 0 {
		return nil, errors.New("flag --type: say what is wanted, such as --type gce-project")
	}
	var all []lease.Want
	for _, text := range types {
		typ, number, counted := strings.Cut(text, "=")
		n, err := strconv.Atoi(number)
		if !counted {
			n, err = 1, nil
		}
		if err != nil || n < 1 || typ == "" {
			return nil, fmt.Errorf("flag --type: %q is not TYPE or TYPE=N", text)
		}
		if slices.ContainsFunc(all, func(w lease.Want) bool { return w.Type == typ }) {
			return nil, fmt.Errorf("flag --type: %s is named twice: say %s=N", typ, typ)
		}
		all = append(all, lease.Want{Type: typ, Count: n})
	}
	return all, nil
}

// acquisition is one call of acquire, over as many requests as it takes.
type acquisition struct {
	client   *leasehttp.Client
	req      leasehttp.AcquireRequest
	keep     bool // its place in the queue, when it waited in vain
	waits    bool
	deadline time.Time
	log      io.Writer
}

const (
	// oneWait is how long one request is held at most: what is between may end longer ones.
	oneWait = 50 * time.Second
	// acquirePause is the pause after a failure.
	acquirePause = time.Second
)

func (a *acquisition) run(ctx context.Context) ([]leasehttp.Lease, error) {
	if a.waits && a.req.Request == "" {
		a.req.Request = strings.ToLower(rand.Text())
	}
	for {
		left := max(time.Until(a.deadline), 0)
		got, err := a.once(ctx, min(left, oneWait))
		switch {
		case len(got) > 0:
			return got, nil
		case ctx.Err() != nil:
			return nil, errors.Join(errors.New("interrupted"), a.abandon(ctx))
		case err != nil && !(a.waits && passing(err)):
			return nil, vain(err)
		case left == 0:
			return a.last(ctx, err)
		case err != nil:
			fmt.Fprintf(a.log, "the pool does not answer, it is asked again: %v\n", err)
			pause(ctx, min(acquirePause, left))
		}
	}
}

func (a *acquisition) once(ctx context.Context, wait time.Duration) ([]leasehttp.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+clientTimeout)
	defer cancel()
	req := a.req
	req.Wait = leasehttp.Duration(wait)
	got, _, err := a.client.Acquire(ctx, req)
	return got.Leases, err
}

// passing tells failures that may be over at the next try from those that will stay.
func passing(err error) bool {
	var answer *leasehttp.Error
	if errors.As(err, &answer) {
		return answer.Status >= 500
	}
	var transport *url.Error
	return errors.As(err, &transport)
}

// vain gives "nothing is free" its exit code.
func vain(err error) error {
	var answer *leasehttp.Error
	if errors.As(err, &answer) && (answer.Code == "none_free" || answer.Code == "over_quota") {
		return &job.Exit{Code: job.Incomplete, Message: "pool acquire: " + answer.Message}
	}
	return err
}

// last gives the place in the queue up when the time is over. What was granted at the last moment is taken.
func (a *acquisition) last(ctx context.Context, failed error) ([]leasehttp.Lease, error) {
	if !a.keep {
		if got, err := a.withdraw(ctx); err != nil || len(got) > 0 {
			return got, err
		}
	}
	message := fmt.Sprintf("pool acquire: nothing became free in time for %s", wants(a.req.Wants))
	if failed != nil {
		message += ": " + failed.Error()
	}
	return nil, &job.Exit{Code: job.Incomplete, Message: message}
}

// withdraw takes the request out of the queue, or returns what it was granted meanwhile.
func (a *acquisition) withdraw(ctx context.Context) ([]leasehttp.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	err := a.client.Withdraw(ctx, a.req.Request, a.req.Owner)
	if !leasehttp.IsMissing(err) {
		return nil, err
	}
	got, err := a.once(ctx, 0)
	if err == nil && len(got) == 0 { // it waited no more, and does again
		err = a.client.Withdraw(ctx, a.req.Request, a.req.Owner)
	}
	return got, err
}

// abandon leaves nothing behind when the caller was told to end.
func (a *acquisition) abandon(ctx context.Context) error {
	if a.req.Request == "" || a.keep {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	got, err := a.withdraw(ctx)
	for _, l := range got {
		err = errors.Join(err, a.client.Release(ctx, l.ID, a.req.From, "nobody waited any more"))
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func writeLeases(w io.Writer, all []leasehttp.Lease, out poolOutput) error {
	if out.format == "export" {
		_, err := io.WriteString(w, exports(all))
		return err
	}
	return out.show(w, leasehttp.Leases{Leases: all}, func(t *table) {
		t.row("RESOURCE", "TYPE", "STATE", "UNTIL", "LEASE")
		for _, l := range all {
			t.row(l.Resource, l.Type, l.State, instant(l.Until), l.ID)
		}
	})
}

// exports are lines for a shell to evaluate: everything at once, and what there is by type.
func exports(all []leasehttp.Lease) string {
	var ids, names []string
	byType := map[string][]string{}
	var types []string
	for _, l := range all {
		ids, names = append(ids, l.ID), append(names, l.Resource)
		if byType[l.Type] == nil {
			types = append(types, l.Type)
		}
		byType[l.Type] = append(byType[l.Type], l.Resource)
	}
	var b strings.Builder
	line := func(name string, words []string) {
		fmt.Fprintf(&b, "export %s=%s\n", name, quoted(strings.Join(words, " ")))
	}
	line(leaseVariable, ids)
	line("STEWARD_RESOURCE", names)
	for _, typ := range types {
		line("STEWARD_RESOURCE_"+variable(typ), byType[typ])
	}
	return b.String()
}

// variable is a text as a part of a shell variable's name.
func variable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, text)
}

// quoted is a text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// leaseIDs are the arguments, or what acquire exported.
func leaseIDs(args []string) ([]string, error) {
	if len(args) == 1 { // "$STEWARD_LEASE" of several leases, in quotes
		args = strings.Fields(args[0])
	}
	if len(args) == 0 {
		args = strings.Fields(os.Getenv(leaseVariable))
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("say which lease, or set $%s", leaseVariable)
	}
	return args, nil
}

func poolRelease(flags *poolFlags) *cobra.Command {
	var to, reason string
	cmd := &cobra.Command{
		Use:   "release [LEASE...]",
		Short: "Give leases back",
		Long: `Give leases back, by the ids that acquire printed; without arguments those in $STEWARD_LEASE.
It may be repeated. Exit code 3: some of them could not be given back.`,
		Example: `  steward pool release
  steward pool release --to free nt3k6yqfdyqjcn4pgr7ns2fjwm`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := leaseIDs(args)
			if err != nil {
				return err
			}
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				return each("pool release", ids, clipped, func(id string) error { return c.Release(ctx, id, to, reason) })
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", lease.Dirty, "state after it")
	cmd.Flags().StringVar(&reason, "reason", "", "for the history")
	return cmd
}

// each does something to all of them, and tells those that it failed for.
func each(what string, all []string, shown func(string) string, do func(string) error) error {
	var failed []error
	for _, one := range all {
		if err := do(one); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", shown(one), err))
		}
	}
	if len(failed) == 0 || len(failed) == len(all) {
		return errors.Join(failed...)
	}
	return &job.Exit{Code: job.Incomplete, Message: fmt.Sprintf("%s: %d of %d failed: %v", what, len(failed), len(all), errors.Join(failed...))}
}

// clipped names a lease without telling it: who knows the whole id may use it.
func clipped(id string) string { return id[:min(len(id), 6)] + "…" }

func poolRenew(flags *poolFlags) *cobra.Command {
	var ttl, every time.Duration
	var release string
	cmd := &cobra.Command{
		Use:   "renew [LEASE...]",
		Short: "Give signs of life for leases, once or until it is interrupted",
		Long: `Give signs of life for leases; without arguments for those in $STEWARD_LEASE.

With --every it goes on in the background of a script until SIGTERM or SIGINT, and survives
restarts of the server; then it gives the leases back where --release says as what. It ends
with exit code 1 as soon as a lease is lost: what the script does to the resource then, it
does to somebody else's.`,
		Example: `  steward pool renew
  steward pool renew --every 1m --release dirty & renewer=$!
  ./test.sh; kill $renewer; wait $renewer`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := leaseIDs(args)
			if err != nil {
				return err
			}
			c, err := flags.client()
			if err != nil {
				return err
			}
			r := renewal{client: c, ids: ids, ttl: ttl, release: release, log: cmd.ErrOrStderr()}
			switch {
			case every == 0 && release != "":
				return errors.New("flag --release belongs to --every: use release")
			case every == 0:
				return hinted(each("pool renew", ids, clipped, func(id string) error { return r.one(cmd.Context(), id) }))
			case every < time.Second:
				return fmt.Errorf("flag --every: %v is less than 1s", every)
			}
			return hinted(r.keep(cmd.Context(), every))
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long it lasts from now; 0 is as it was taken")
	cmd.Flags().DurationVar(&every, "every", 0, "go on until it is interrupted; a third of the lease's --ttl is good")
	cmd.Flags().StringVar(&release, "release", "", "state in which leases are given back when it is interrupted; empty: they are kept")
	return cmd
}

// renewal keeps leases alive.
type renewal struct {
	client  *leasehttp.Client
	ids     []string
	ttl     time.Duration
	release string
	log     io.Writer
}

func (r renewal) one(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	_, err := r.client.Renew(ctx, id, r.ttl)
	return err
}

func (r renewal) keep(ctx context.Context, every time.Duration) error {
	for {
		next := every
		for _, id := range r.ids {
			err := r.one(ctx, id)
			switch {
			case ctx.Err() != nil:
			case err != nil && !passing(err):
				return fmt.Errorf("%s is lost: %w", clipped(id), err)
			case err != nil:
				fmt.Fprintf(r.log, "not renewed, it is tried again: %v\n", err)
				next = min(every, acquirePause)
			}
		}
		pause(ctx, next)
		if ctx.Err() != nil {
			return r.give(context.WithoutCancel(ctx))
		}
	}
}

// give gives the leases back, also where the server restarts just then.
func (r renewal) give(ctx context.Context) error {
	if r.release == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	return each("pool renew", r.ids, clipped, func(id string) error {
		for {
			err := r.client.Release(ctx, id, r.release, "")
			if err == nil || !passing(err) {
				return err
			}
			if pause(ctx, acquirePause); ctx.Err() != nil {
				return err
			}
		}
	})
}

func poolTransfer(flags *poolFlags) *cobra.Command {
	var out poolOutput
	var owner, jobName, build string
	cmd := &cobra.Command{
		Use:   "transfer [LEASE] --owner OWNER",
		Short: "Hand a lease on to another owner",
		Long: `Hand a lease on to another owner, such as from the job that sets a cluster up to the one
that tests it. The lease that was ends, and the new one, with an id of its own, is printed.`,
		Example: `  steward pool transfer --owner test-job/7 -o export`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := leaseIDs(args)
			if err != nil {
				return err
			}
			if len(ids) > 1 || owner == "" {
				return errors.New("say one lease, and --owner")
			}
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				got, err := c.Transfer(ctx, ids[0], owner, cmp.Or(jobName, os.Getenv("JOB_NAME")), cmp.Or(build, os.Getenv("BUILD_ID")))
				if err != nil {
					return err
				}
				return writeLeases(cmd.OutOrStdout(), []leasehttp.Lease{got}, out)
			})
		},
	}
	cmd.Flags().StringVar(&owner, "owner", "", "who has it from now on")
	cmd.Flags().StringVar(&jobName, "job", "", "for the history; $JOB_NAME where it is empty")
	cmd.Flags().StringVar(&build, "build", "", "for the history; $BUILD_ID where it is empty")
	out.register(cmd, "json", "export", "text")
	return cmd
}

func poolCredential(flags *poolFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "credential [LEASE]",
		Short: "Print a short-lived credential for what a lease holds, where the pool's settings give one",
		Long: `Print a short-lived credential for what a lease holds, as JSON. It goes to the standard
output and nowhere else: keep it out of logs. Which types have one is a setting of the pool.`,
		Example: `  steward pool credential > credential.json`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := leaseIDs(args)
			if err != nil {
				return err
			}
			if len(ids) > 1 {
				return errors.New("say one lease")
			}
			return flags.ask(cmd, func(ctx context.Context, c *leasehttp.Client) error {
				var content []byte
				if err := c.Do(ctx, http.MethodPost, "/v1/leases/"+url.PathEscape(ids[0])+"/credential", struct{}{}, &content); err != nil {
					return err
				}
				_, err := cmd.OutOrStdout().Write(content)
				return err
			})
		},
	}
}
