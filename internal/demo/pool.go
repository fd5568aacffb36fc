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
			title:  "A test takes the one project with GPUs. It stops halfway, without a word.",
			run:    []string{"pool", "acquire", "--type", "gpu-project", "--owner", "ci-gpu/17", "--ttl", "1s", "-o", "text"},
			answer: []string{"example-gpu-1", "busy"},
		},
		{
			title: "Another test wants it too. It has a place in the queue, under a name of its own.",
			run:   []string{"pool", "acquire", "--type", "gpu-project", "--owner", "ci-gpu/18", "--request", "build-18"},
			code:  job.Incomplete, answer: []string{"nothing became free"},
		},
		{
			title: "The first test gives no sign of life, so its lease ends. The janitor takes the project, cleans it and gives it back.",
			do:    janitorCleans, answer: []string{"expired", "example-gpu-1 is cleaned"},
		},
		{
			title:  "The second test asks again under its name: the place was kept.",
			run:    []string{"pool", "acquire", "--type", "gpu-project", "--owner", "ci-gpu/18", "--request", "build-18", "-o", "text"},
			answer: []string{"example-gpu-1", "busy"},
		},
		{
			title: "Another project cannot be cleaned. After the second time it goes to quarantine, with the reason, and nobody is lent it.",
			do:    janitorFails, answer: []string{"quarantined", "router r-1 is still in use"},
		},
		{
			title: "Who had what, for how long, and how it ended.",
			run:   []string{"pool", "history"}, answer: []string{"ci-gpu/17", "expired"},
		},
		{
			title: "Somebody mends it and puts it back. What others hold, or nobody may have, is for operators of the pool.",
			run:   []string{"pool", "heal", "example-e2e-1", "--confirm"}, answer: []string{"example-e2e-1"},
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

// janitorCleans waits for the lease that nobody renews, and cleans what it leaves.
func janitorCleans(ctx context.Context, s *stage) (string, error) {
	c := &leasehttp.Client{Server: s.poolURL()}
	deadline := time.Now().Add(patience)
	var got leasehttp.Leases
	for len(got.Leases) == 0 {
		var err error
		got, _, err = c.Acquire(ctx, leasehttp.AcquireRequest{
			Owner: "janitor", Request: "clean-gpu", Wants: []lease.Want{{Type: "gpu-project", Count: 1}}, From: lease.Dirty, To: lease.Cleaning,
			Wait: leasehttp.Duration(5 * time.Second), TTL: leasehttp.Duration(time.Minute),
		})
		if err != nil {
			return "", err
		}
		if time.Now().After(deadline) {
			return "", errors.New("the lease of ci-gpu/17 did not end")
		}
	}
	var r leasehttp.Resource
	if err := c.Do(ctx, "GET", "/v1/resources/"+got.Leases[0].Resource, nil, &r); err != nil {
		return "", err
	}
	text := fmt.Sprintf("the lease of %s: %s\n", r.Last.Owner, r.Last.Why)
	if err := c.Release(ctx, got.Leases[0].ID, lease.Free, ""); err != nil {
		return "", err
	}
	return text + "janitor: " + r.Name + " is cleaned and free", nil
}

// janitorFails finds a project that it cannot clean, twice.
func janitorFails(ctx context.Context, s *stage) (string, error) {
	c := &leasehttp.Client{Server: s.poolURL()}
	const reason = "router r-1 is still in use"
	var text strings.Builder
	from := lease.Free
	for range 2 {
		got, _, err := c.Acquire(ctx, leasehttp.AcquireRequest{
			Owner: "janitor", Wants: []lease.Want{{Type: "gce-project", Count: 1}}, From: from, To: lease.Cleaning,
			TTL: leasehttp.Duration(time.Minute),
		})
		if err != nil {
			return "", err
		}
		if err := c.Release(ctx, got.Leases[0].ID, lease.Dirty, reason); err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "janitor: %s is not empty: %s\n", got.Leases[0].Resource, reason)
		from = lease.Dirty
	}
	var r leasehttp.Resource
	if err := c.Do(ctx, "GET", "/v1/resources/example-e2e-1", nil, &r); err != nil {
		return "", err
	}
	fmt.Fprintf(&text, "%s is %s: %s", r.Name, r.State, r.Sick.Reason)
	return text.String(), nil
}
