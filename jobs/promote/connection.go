// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
)

// connection is how registries are asked.
type connection struct {
	parallel   int
	registries []string
	reach      Reach
}

func (c *connection) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&c.parallel, "parallel", 64, "what is read at once, at the most")
	flags.Float64Var(&c.reach.Rate, "rate", 0, "requests a second to one registry, at the most; 0 for what its quota leaves room for")
	flags.StringArrayVar(&c.registries, "registry", nil, "HOST=ADDRESS asks ADDRESS for the registry HOST; repeat, * is every host")
}

// check turns flags into values before any work is done.
func (c *connection) check() error {
	var errs []error
	if c.parallel < 1 || c.parallel > 1000 {
		errs = append(errs, fmt.Errorf("flag --parallel: %d is not between 1 and 1000", c.parallel))
	}
	if c.reach.Rate < 0 {
		errs = append(errs, errors.New("flag --rate: must not be negative"))
	}
	var err error
	if c.reach.Registries, err = job.Pairs("registry", c.registries); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for host, address := range c.reach.Registries {
		if _, _, err := net.SplitHostPort(address); err != nil {
			errs = append(errs, fmt.Errorf("flag --registry: the address of %s is %q, not ADDRESS:PORT", host, address))
		}
	}
	return errors.Join(errs...)
}

func (c *connection) connect(deps Deps) (Registry, error) {
	registry, err := deps.Registry(c.reach)
	if err != nil {
		return nil, fmt.Errorf("registries: %w", err)
	}
	return registry, nil
}
