// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/wire/serve"
)

// reloadEvery is how often the configuration is looked at: Kubernetes takes longer to bring a changed ConfigMap.
const reloadEvery = 10 * time.Second

// Command is steward-pool. Flags that Boskos has are named as there.
func Command() *cobra.Command {
	var opts Options
	var level string
	var fifo, compat bool
	cmd := &cobra.Command{
		Use:   "steward-pool",
		Short: "Lend projects, accounts and machines to tests, as Boskos does",
		Long: `steward-pool lends what its configuration lists. Clients of Boskos work with it unchanged:
the HTTP interface, the file of resources and the names of metrics are Boskos's.

What it lent is on disk before the answer is sent. One process serves a directory.`,
		Example: `  # Serve a pool of Boskos's from a directory, on one machine
  steward-pool --config boskos-resources.yaml --data-dir /var/lib/steward-pool

  # Equal to Boskos in every answer
  steward-pool --config boskos-resources.yaml --data-dir data --compat`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := serve.Logger(level)
			if err != nil {
				return err
			}
			opts.Log = log.WithField("component", "steward-pool")
			opts.Policy.FIFO = fifo || compat
			if compat {
				opts.Hold, opts.Policy.PollGrace, opts.Policy.Idle = 0, opts.Policy.RequestTTL, lease.Never
				opts.Policy.SickAfter = -1
			}
			if err := serve.Dir(opts.DataDir); err != nil {
				return err
			}
			return Run(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Config, "config", "boskos-resources.yaml", "file of resources, plain or a ConfigMap; applied again when it changes")
	f.StringVar(&opts.Settings, "settings", "", "steward.yaml, whose section pool says who may have what; empty: everybody everything")
	f.StringVar(&opts.BasicAuthFile, "basic-auth-file", "", "users and passwords, as htpasswd -B writes them")
	f.StringVar(&opts.OIDCIssuer, "oidc-issuer", "", "issuer of bearer tokens, such as that of a cluster's service accounts")
	f.StringVar(&opts.OIDCAudience, "oidc-audience", "", "audience that such a token has to be for")
	f.BoolVar(&opts.RequireAuth, "require-auth", false, "refuse callers without credentials; else they are believed, as by Boskos")
	f.StringVar(&opts.DataDir, "data-dir", "data", "directory of the pool, on a volume that outlives the pod")
	f.StringVar(&opts.BindAddress, "bind-address", "", "address of all ports but the debug port, which is on loopback; empty for all")
	f.IntVar(&opts.Port, "port", 8080, "Boskos's interface, the newer one and the pages")
	f.IntVar(&opts.HealthPort, "health-port", 8081, "/healthz and /healthz/ready")
	f.IntVar(&opts.MetricsPort, "metrics-port", 9090, "/metrics")
	f.IntVar(&opts.PprofPort, "pprof-port", 6060, "/debug/pprof, on loopback only")
	f.DurationVar(&opts.Hold, "hold", 2500*time.Millisecond, "how long /acquire with a request_id waits for a resource before it says that none is free")
	f.DurationVar(&opts.Policy.RequestTTL, "request-ttl", 30*time.Second, "how long a request_id that is not asked again keeps its place")
	f.DurationVar(&opts.Policy.PollGrace, "poll-grace", 5*time.Second, "how long it also keeps those behind it from what it could have had")
	f.DurationVar(&opts.Policy.Idle, "expire", 30*time.Minute, "end leases of Boskos's interface without a sign of life for so long; below zero: never")
	f.DurationVar(&opts.Policy.Aging, "aging", 0, "who waited longer goes first, whatever class and account; 0: as the settings say, else 30m")
	f.IntVar(&opts.Policy.SickAfter, "sick-after", 5, "cleanings that fail in a row before a resource goes to quarantine; below zero: never")
	f.BoolVar(&fifo, "fifo", false, "serve in the order of arrival, whoever asks")
	f.BoolVar(&compat, "compat", false, "answer exactly as Boskos: --fifo, --hold=0, no grace of its own, no expiry, no quarantine")
	f.DurationVar(&opts.Reload, "reload", reloadEvery, "how often the configuration is looked at")
	f.DurationVar(&opts.Grace, "grace-period", 20*time.Second, "how long running requests may take after SIGTERM")
	f.StringVar(&level, "log-level", "info", "debug, info, warning or error")
	return cmd
}
