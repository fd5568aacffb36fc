// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/leasehttp"
)

// poolFlags say which pool is asked, and as whom.
type poolFlags struct {
	server, tokenFile, user, passwordFile string
}

// defaultPool is where steward-pool listens on this machine.
const defaultPool = "http://127.0.0.1:8080"

// poolClient is `steward pool`: what people and scripts ask of a running steward-pool.
func poolClient() *cobra.Command {
	flags := &poolFlags{}
	cmd := job.Group(&cobra.Command{
		Use:   "pool",
		Short: "Ask a running steward-pool: what there is, leases, the queue, the history",
		Long: `Ask a running steward-pool over its own interface (docs/pool-commands.md).

Verbs that change what somebody else holds need --confirm, and credentials of an operator
of the pool's settings.`,
		Example: `  steward pool status
  eval "$(steward pool acquire --type gce-project --wait 10m -o export)"
  steward pool renew --every 1m --release dirty "$STEWARD_LEASE" &
  steward pool history --type gce-project --since 24h --csv`,
	})
	f := cmd.PersistentFlags()
	f.StringVar(&flags.server, "server", cmp.Or(os.Getenv("STEWARD_POOL"), defaultPool), "the pool; $STEWARD_POOL where it is set")
	f.StringVar(&flags.tokenFile, "token-file", "", "file with a token to show, such as that of a service account; read anew for every request")
	f.StringVar(&flags.user, "username", "", "user of basic authentication, as for boskosctl")
	f.StringVar(&flags.passwordFile, "password-file", "", "file with the password")
	cmd.AddCommand(
		poolStatus(flags), poolList(flags), poolGet(flags), poolQueue(flags), poolExplain(flags), poolReservations(flags),
		poolHistory(flags), poolUsage(flags), poolExport(flags), poolWatch(flags),
		poolAcquire(flags), poolRenew(flags), poolRelease(flags), poolTransfer(flags), poolCredential(flags),
		poolForce(flags), poolExtend(flags), poolQuarantine(flags), poolHeal(flags), poolReserve(flags), poolUnreserve(flags),
	)
	return cmd
}

// client is the pool that the flags name.
func (f *poolFlags) client() (*leasehttp.Client, error) {
	at, err := url.Parse(f.server)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || at.User != nil {
		return nil, fmt.Errorf("flag --server: %q is not an address such as %s", f.server, defaultPool)
	}
	authorize, err := leasehttp.Credentials(f.tokenFile, f.user, f.passwordFile, os.ReadFile)
	if err != nil {
		return nil, fmt.Errorf("flags --token-file, --username, --password-file: %w", err)
	}
	return &leasehttp.Client{Server: f.server, Authorize: authorize, HTTP: &http.Client{CheckRedirect: noRedirect}}, nil
}

// noRedirect keeps credentials and repeated calls at the server that was named.
func noRedirect(*http.Request, []*http.Request) error {
	return errors.New("it redirects: is --server the pool?")
}

// ask runs one question with a bound on its time.
func (f *poolFlags) ask(cmd *cobra.Command, question func(context.Context, *leasehttp.Client) error) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), clientTimeout)
	defer cancel()
	return hinted(question(ctx, client))
}

// hinted says what is probably wrong where nobody answers.
func hinted(err error) error {
	var refused *url.Error
	if errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w (is steward-pool running, and --server its --port?)", err)
	}
	return err
}

// poolOutput is how an answer is shown.
type poolOutput struct{ format string }

func (o *poolOutput) register(cmd *cobra.Command, formats ...string) {
	cmd.Flags().StringVarP(&o.format, "output", "o", formats[0], "format: "+strings.Join(formats, ", "))
	// This fails for unknown flags only.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	cmd.PreRunE = func(*cobra.Command, []string) error {
		for _, f := range formats {
			if f == o.format {
				return nil
			}
		}
		return fmt.Errorf("flag --output: format %q is not one of %s", o.format, strings.Join(formats, ", "))
	}
}

// show writes a value as JSON, or as the table that text fills.
func (o *poolOutput) show(w io.Writer, value any, text func(*table)) error {
	if o.format == "json" {
		return writeJSON(w, value)
	}
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	text(t)
	return t.w.Flush()
}

func writeJSON(w io.Writer, value any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(value)
}

// table aligns columns. What others typed cannot steer the terminal.
type table struct{ w *tabwriter.Writer }

func (t *table) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t") // the writer keeps an error for Flush
		}
		fmt.Fprint(t.w, printable(fmt.Sprint(cell)))
	}
	fmt.Fprintln(t.w)
}

// printable replaces what is not seen.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// ago is how long something lasts, as people say it.
func ago(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	d := max(time.Since(since), 0)
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// completionTimeout is short: somebody has pressed the tabulator key.
const completionTimeout = 2 * time.Second

// completions asks the pool for words; where it does not answer there are none.
func (f *poolFlags) completions(words func(context.Context, *leasehttp.Client) []string, once bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		client, err := f.client()
		if err != nil || once && len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completionTimeout)
		defer cancel()
		return words(ctx, client), cobra.ShellCompDirectiveNoFileComp
	}
}

func typeNames(ctx context.Context, c *leasehttp.Client) []string {
	var names []string
	all, _ := c.Types(ctx) // completes nothing then
	for _, t := range all {
		names = append(names, printable(t.Type))
	}
	return names
}

func resourceNames(ctx context.Context, c *leasehttp.Client) []string {
	var names []string
	all, _, _ := c.Resources(ctx, "", "") // completes nothing then
	for _, r := range all {
		names = append(names, printable(r.Name))
	}
	return names
}

// completeFlag offers words for a flag.
func completeFlag(cmd *cobra.Command, flag string, words cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, words) // fails for unknown flags only
}
