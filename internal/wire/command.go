// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/steward/internal/wire/serve"
)

// HookCommand is steward-hook. Flags are named as in Prow's own components.
func HookCommand() *cobra.Command {
	opts := HookOptions{}
	var level string
	cmd := &cobra.Command{
		Use:   "steward-hook",
		Short: "Answer /infra commands and set the steward/* contexts, as external plugins of Prow",
		Long: `steward-hook receives the webhooks that Prow's hook forwards to external plugins,
one path per plugin, journals them and answers 200, and then looks at the pull
request or issue they are about.

It starts in dry-run: it reads, and logs what it would write.`,
		Example: `  # See what it would do, without a token's write access and without a cluster
  steward-hook --config steward.yaml --hmac-secret-file hmac --github-token-path token

  # Beside Prow, through its GitHub proxy
  steward-hook --dry-run=false --config /etc/steward/steward.yaml --data-dir /var/lib/steward \
    --hmac-secret-file /etc/webhook/hmac --github-token-path /etc/github/oauth \
    --github-endpoint http://ghproxy --github-endpoint https://api.github.com \
    --github-graphql-endpoint http://ghproxy/graphql`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := serve.Logger(level)
			if err != nil {
				return err
			}
			opts.Log = log.WithField("component", "steward-hook")
			if err := serve.Dir(opts.DataDir); err != nil {
				return err
			}
			return RunHook(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Config, "config", "steward.yaml", "settings; read again before every reconcile pass")
	f.StringVar(&opts.HMACSecretFile, "hmac-secret-file", "/etc/webhook/hmac", "webhook secrets: one token, or Prow's YAML map of tokens")
	f.StringVar(&opts.DataDir, "data-dir", "data", "directory of the journal, on a volume that outlives the pod")
	opts.outside(f)
	f.StringVar(&opts.BindAddress, "bind-address", "", "address of all ports but the debug port, which is on loopback; empty for all")
	f.IntVar(&opts.Port, "port", 8888, "webhooks and help")
	f.IntVar(&opts.HealthPort, "health-port", 8081, "/healthz and /healthz/ready")
	f.IntVar(&opts.MetricsPort, "metrics-port", 9090, "/metrics")
	f.IntVar(&opts.PprofPort, "pprof-port", 6060, "/debug/pprof, dead letters and reconcile, on loopback only")
	f.StringSliceVar(&opts.Plugins, "plugins", nil, "run only these plugins")
	f.BoolVar(&opts.DryRun, "dry-run", true, "log writes instead of performing them")
	f.BoolVar(&opts.RefuseSHA1, "refuse-sha1", false, "refuse webhooks that are signed with SHA-1 only")
	f.IntVar(&opts.Workers, "workers", 8, "threads looked at at the same time")
	f.IntVar(&opts.MaxAttempts, "max-attempts", 10, "looks at a failing thread before it is a dead letter")
	f.DurationVar(&opts.Grace, "grace-period", time.Minute, "how long running work may take after SIGTERM")
	f.DurationVar(&opts.ReconcileWindow, "reconcile-window", 7*24*time.Hour, "how far back the first reconcile pass looks")
	f.StringVar(&level, "log-level", "info", "debug, info, warning or error")
	return cmd
}

// outside adds the flags that say what the server speaks to.
func (o *HookOptions) outside(f *pflag.FlagSet) {
	f.StringArrayVar(&o.GitHubEndpoints, "github-endpoint", []string{"https://api.github.com"}, "GitHub's REST API; repeat for fallbacks, ghproxy first")
	f.StringVar(&o.GitHubGraphQL, "github-graphql-endpoint", "https://api.github.com/graphql", "GitHub's GraphQL API")
	f.StringVar(&o.TokenPath, "github-token-path", "", "file with a token; read again when it changes")
	f.StringVar(&o.AppID, "github-app-id", "", "GitHub App, instead of a token")
	f.StringVar(&o.AppKeyPath, "github-app-private-key-path", "", "private key of the App")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "cluster in which commands may start ProwJobs; empty: that of the pod, where its account is mounted")
	f.StringVar(&o.ProwJobNamespace, "prowjob-namespace", "", "namespace of ProwJobs; empty: that of the kubeconfig or the pod")
	f.StringToStringVar(&o.Registries, "registry", nil, "HOST=ADDRESS:PORT asks a program on this machine for the registry HOST; repeat, * is every host")
	f.StringVar(&o.PoolServer, "pool-server", "", "steward-pool that /infra pool is about, such as http://steward-pool.test-pods")
	f.StringVar(&o.PoolTokenFile, "pool-token-file", "", "file with a token of an operator of the pool; read anew for every request")
}
