// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/internal/wire/pool"
)

// compute is the steward-pool of the stage.
type compute struct {
	addresses pool.Addresses
	cancel    context.CancelFunc
	ended     chan error
}

// The operator of the demo's pool.
const (
	operator = "alice"
	password = "demo-password"
)

// poolConfig is where the community's repository says what is lent.
const poolConfig = "boskos/resources.yaml"

const poolFile = `resources:
- type: gpu-project
  names: [example-gpu-1]
- type: gce-project
  names: [example-e2e-1, example-e2e-2, example-e2e-3]
`

// openPool serves the projects of the example community.
func (s *stage) openPool(ctx context.Context) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	settings := "repos: {" + repo + ": {}}\npool: {operators: [" + operator + "]}\n"
	for name, content := range map[string]string{
		"pool.yaml": poolFile, "pool-settings.yaml": settings, "users": operator + ":" + string(hash) + "\n", "password": password,
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "pool-data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(ctx)
	s.pool = &compute{cancel: cancel, ended: make(chan error, 1)}
	started := make(chan pool.Addresses, 1)
	go func() {
		s.pool.ended <- pool.Run(ctx, pool.Options{
			Config: filepath.Join(s.dir, "pool.yaml"), Settings: filepath.Join(s.dir, "pool-settings.yaml"), DataDir: data,
			BasicAuthFile: filepath.Join(s.dir, "users"), BindAddress: "127.0.0.1", Policy: lease.Policy{SickAfter: 2},
			Reload: time.Minute, Grace: 10 * time.Second, Log: logrus.NewEntry(quiet),
			Started: func(a pool.Addresses) { started <- a },
		})
	}()
	select {
	case s.pool.addresses = <-started:
		return nil
	case err := <-s.pool.ended:
		cancel()
		s.pool = nil
		return err
	}
}

func (s *stage) closePool() error {
	if s.pool == nil {
		return nil
	}
	s.pool.cancel()
	return <-s.pool.ended
}

// poolURL is where the pool is; "" where the stage has none.
func (s *stage) poolURL() string {
	if s.pool == nil {
		return ""
	}
	return "http://" + s.pool.addresses.Pool
}

// poolArgs completes the arguments of "steward pool": where it is, and who asks where that matters.
func (s *stage) poolArgs(args []string) []string {
	args = append(args, "--server", s.poolURL())
	if strings.Contains(strings.Join(args, " "), "--confirm") {
		args = append(args, "--username", operator, "--password-file", filepath.Join(s.dir, "password"))
	}
	return args
}

// lending is about what tests borrow.
func lending() []step {
	return []step{
		{
			title:  "A test takes the one project with GPUs. It has to say every second that it is alive.",
			run:    []string{"pool", "acquire", "--type", "gpu-project", "--owner", "ci-gpu/17", "--ttl", "1s", "-o", "text"},
			answer: []string{"example-gpu-1", "busy"},
		},
		{
			title: "Another test wants it too. It has a place in the queue, under a name of its own.",
			run:   []string{"pool", "acquire", "--type", "gpu-project", "--owner", "ci-gpu/18", "--request", "build-18"},
			code:  job.Incomplete, answer: []string{"nothing became free"},
		},
		{
			title: "The first test makes what it needs and stops halfway, without a word. So its lease ends, and what it made is still there.",
			do:    testStops, answer: []string{"instances/trainer", "ci-gpu/17: expired", "example-gpu-1 is dirty"},
		},
		{
			title: "The janitor takes the project from the pool, deletes all that did not come with it (a bucket with what it holds), looks again, and gives it back free.",
			git:   true, do: janitor(gpuProject, lease.Free),
			answer: []string{
				"example-gpu-1: clean, 4 deleted", "gone from example-gpu-1:\n  compute global/networks/training\n",
				"still in example-gpu-1:\n  compute global/networks/default\nexample-gpu-1 is free",
			},
		},
		{
			title:  "The second test asks again under its name: the place was kept.",
			git:    true,
			run:    []string{"pool", "acquire", "--type", "gpu-project", "--owner", "ci-gpu/18", "--request", "build-18", "-o", "text"},
			answer: []string{"example-gpu-1", "busy"},
		},
	}
}

// mending is about a project that cannot be lent for a while.
func mending() []step {
	return []step{
		{
			title: "Another test ends as it should, but somebody has put a machine of another project into its network.",
			git:   true, do: testShares, answer: []string{"instances/builder", "gives example-e2e-1 back"},
		},
		{
			title: "The janitor cannot empty that project. After the second time it goes to quarantine, with the reason, and nobody is lent it.",
			git:   true, do: janitor(testProject, lease.Quarantined),
			answer: []string{
				"example-e2e-1: not clean, 0 deleted", "still in example-e2e-1", "compute global/networks/shared",
				"example-e2e-1 is quarantined: 2 cleanings failed", "already being used by 'projects/example-ci/zones/us-central1-a/instances/builder'",
			},
		},
		{
			title: "Who had what, for how long, and how it ended.",
			run:   []string{"pool", "history"}, answer: []string{"ci-gpu/17", "expired"},
		},
		{title: "Somebody mends it.", git: true, do: machineMoves, answer: []string{"instances/builder"}},
		{
			title: "And puts it back. What others hold, or nobody may have, is for operators of the pool.",
			git:   true,
			run:   []string{"pool", "heal", testProject, "--confirm"}, answer: []string{"example-e2e-1"},
		},
		{
			title: "What was healed is dirty first. The janitor proves it clean before anybody is lent it.",
			git:   true, do: janitor(testProject, lease.Free),
			answer: []string{"example-e2e-1: clean, 1 deleted", "gone from example-e2e-1:\n  compute global/networks/shared", "example-e2e-1 is free"},
		},
		{
			title:  "People ask in a pull request. What others hold is for approvers of the file that lists the pool.",
			act:    comment("rey", 1, "/infra pool status"),
			answer: []string{"gpu-project"},
		},
		{
			title: "The pool as it stands. Its page shows the same, with the queue, the accounts and what is sick.",
			run:   []string{"pool", "status"}, answer: []string{"gpu-project", "gce-project"},
		},
	}
}

// patience bounds waiting for what happens by itself.
const patience = 30 * time.Second

// until waits until the pool says that a resource is in a state.
func (s *stage) until(ctx context.Context, name, state string) (leasehttp.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var seen *leasehttp.Resource
	c := &leasehttp.Client{Server: s.poolURL()}
	err := c.Watch(ctx, "", func(change leasehttp.Change) error {
		if r := change.Resource; r != nil && r.Name == name && r.State == state {
			seen = r
			cancel()
		}
		return nil
	})
	if seen == nil {
		return leasehttp.Resource{}, errors.Join(fmt.Errorf("%s did not become %s", name, state), err)
	}
	return *seen, nil
}
