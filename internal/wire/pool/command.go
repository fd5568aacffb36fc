// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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

What it lent is stored before the answer is sent: on the disk of one machine, or as the
objects of Boskos in a namespace, where several processes stand by and one serves.`,
		Example: `  # Serve a pool of Boskos's from a directory, on one machine
  steward-pool --config boskos-resources.yaml --data-dir /var/lib/steward-pool

  # Take over a namespace of Boskos's, with two replicas
  steward-pool --store kubernetes --config /etc/config/config --data-dir /tmp/pool

  # As Boskos, down to the order of the queue
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
			if err := opts.place(); err != nil {
				return err
			}
			if err := serve.Dir(opts.DataDir); err != nil {
				return err
			}
			return Run(cmd.Context(), opts)
		},
	}
	opts.flags(cmd.Flags())
	f := cmd.Flags()
	f.BoolVar(&fifo, "fifo", false, "serve in the order of arrival, whoever asks")
	f.BoolVar(&compat, "compat", false, "answer as Boskos: --fifo, --hold=0, no grace of its own, no expiry, no quarantine (docs/switch-boskos.md says what still differs)")
	f.StringVar(&level, "log-level", "info", "debug, info, warning or error")
	return cmd
}

// flags says where things are, and what the settings leave open.
func (o *Options) flags(f *pflag.FlagSet) {
	f.StringVar(&o.Config, "config", "boskos-resources.yaml", "file of resources, plain or a ConfigMap; applied again when it changes")
	f.StringVar(&o.Settings, "settings", "", "steward.yaml, whose section pool says who may have what; empty: everybody everything")
	f.StringVar(&o.Store, "store", storeDisk, "where the pool is kept: disk (--data-dir, one process) or kubernetes (Boskos's objects, several processes)")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "cluster of the objects, pods and tokens; empty: that of the pod")
	f.StringVar(&o.Namespace, "namespace", "", "namespace of the objects; empty: that of the kubeconfig or the pod")
	f.StringVar(&o.Name, "name", os.Getenv("POD_NAME"), "name of this process among several: the pod's ($POD_NAME), else the host's")
	f.StringVar(&o.Advertise, "advertise", "", "host:port where the others reach it; empty: $POD_IP and --port")
	f.StringVar(&o.History, "history", "", "where leases that ended are kept: file:///DIR or gs://BUCKET/PREFIX, which several processes may share; empty: in --data-dir")
	f.StringVar(&o.BasicAuthFile, "basic-auth-file", "", "users and passwords, as htpasswd -B writes them")
	f.StringVar(&o.OIDCIssuer, "oidc-issuer", "", "issuer of bearer tokens, such as that of a cluster's service accounts")
	f.StringVar(&o.OIDCAudience, "oidc-audience", "", "audience that such a token has to be for")
	f.BoolVar(&o.RequireAuth, "require-auth", false, "refuse callers without credentials; else they are believed, as by Boskos")
	o.Pods.flags(f)
	f.StringVar(&o.DataDir, "data-dir", "data", "directory of the pool, on a volume that outlives the pod")
	f.StringVar(&o.BindAddress, "bind-address", "", "address of all ports but the debug port, which is on loopback; empty for all")
	f.IntVar(&o.Port, "port", 8080, "Boskos's interface, the newer one and the pages")
	f.IntVar(&o.HealthPort, "health-port", 8081, "/healthz and /healthz/ready")
	f.IntVar(&o.MetricsPort, "metrics-port", 9090, "/metrics")
	f.IntVar(&o.PprofPort, "pprof-port", 6060, "/debug/pprof, on loopback only")
	f.DurationVar(&o.Hold, "hold", 2500*time.Millisecond, "how long /acquire with a request_id waits for a resource before it says that none is free")
	f.DurationVar(&o.Policy.RequestTTL, "request-ttl", 30*time.Second, "how long a request_id that is not asked again keeps its place")
	f.DurationVar(&o.Policy.PollGrace, "poll-grace", 5*time.Second, "how long it also keeps those behind it from what it could have had")
	f.DurationVar(&o.Policy.Idle, "expire", 30*time.Minute, "end leases of Boskos's interface without a sign of life for so long; below zero: never")
	f.DurationVar(&o.Policy.Aging, "aging", 0, "who waited longer goes first, whatever class and account; 0: as the settings say, else 30m")
	f.IntVar(&o.Policy.SickAfter, "sick-after", 5, "cleanings that fail in a row before a resource goes to quarantine; below zero: never")
	f.DurationVar(&o.Reload, "reload", reloadEvery, "how often the configuration is looked at")
	f.DurationVar(&o.Grace, "grace-period", 20*time.Second, "how long running requests may take after SIGTERM")
}

// place fills what says where this process is.
func (o *Options) place() error {
	switch o.Store {
	case storeDisk, storeKubernetes:
	default:
		return fmt.Errorf("--store: %q is neither %s nor %s", o.Store, storeDisk, storeKubernetes)
	}
	if o.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--name: %w", err)
		}
		o.Name = name
	}
	if ip := os.Getenv("POD_IP"); o.Advertise == "" && ip != "" {
		o.Advertise = net.JoinHostPort(ip, strconv.Itoa(o.Port))
	}
	return nil
}
