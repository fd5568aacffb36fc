// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/test-infra/kubetest/boskos/client"
	"k8s.io/test-infra/kubetest/boskos/common"
)

// both runs a test on Boskos, which shows that the test is right, and on steward-pool.
func both(t *testing.T, config string, test func(t *testing.T, a address)) {
	t.Helper()
	t.Run("boskos", func(t *testing.T) { test(t, startBoskos(t, config).address) })
	t.Run("steward", func(t *testing.T) { test(t, startSteward(t, config).address) })
}

const clientConfig = `resources:
- {type: project, state: dirty, names: [p1, p2]}
- {type: account, state: free, names: [a1]}
- {type: made, state: free, min-count: 0, max-count: 1}
`

// goClient is the client that kubetest and the janitors of test-infra are built with, as they make it: with basic
// authentication, which a proxy in front may want.
func goClient(t *testing.T, a address, owner string) *client.Client {
	t.Helper()
	c, err := client.NewClientWithPasswordGetter(owner, a.url(), "user", func() []byte { return []byte("not a secret") })
	if err != nil {
		t.Fatal(err)
	}
	c.DistinguishNotFoundVsTypeNotFound = true
	return c
}

// A job takes a resource, renews it and gives it back; a janitor cleans it; a reaper takes back what is forgotten.
func TestGoClient(t *testing.T) {
	both(t, clientConfig, func(t *testing.T, a address) {
		job, janitor, reaper := goClient(t, a, "job"), goClient(t, a, "janitor"), goClient(t, a, "reaper")
		got := granted(t)(janitor.Acquire("project", common.Dirty, common.Cleaning))
		check(t, janitor.SyncAll())
		check(t, janitor.ReleaseOne(got.Name, common.Free))

		data := common.UserDataFromMap(common.UserDataMap{"access-key-id": "id"})
		p := granted(t)(job.AcquireWait(t.Context(), "project", common.Free, common.Busy))
		check(t, job.UpdateOne(p.Name, common.Busy, data))
		check(t, job.UpdateAll(common.Busy))
		metric, err := job.Metric("project")
		check(t, err)
		if metric.Current["busy"] != 1 || metric.Current["dirty"] != 1 || metric.Owners["job"] != 1 || metric.Owners[""] != 1 {
			t.Errorf("metric: %+v", metric)
		}
		check(t, job.ReleaseAll(common.Dirty))
		if job.HasResource() {
			t.Error("the job still has a resource")
		}

		all, err := janitor.AcquireByState(common.Dirty, common.Leased, []string{"p1", "p2"})
		check(t, err)
		if !slices.ContainsFunc(all, func(r common.Resource) bool { return r.Name == p.Name && r.UserData.ToMap()["access-key-id"] == "id" }) {
			t.Errorf("user data of %s: %+v", p.Name, all)
		}
		reset, err := reaper.Reset("project", common.Leased, 0, common.Dirty)
		check(t, err)
		if want := map[string]string{"p1": "janitor", "p2": "janitor"}; !maps.Equal(reset, want) {
			t.Errorf("reset: %v", reset)
		}

		for typ, want := range map[string]error{"project": client.ErrNotFound, "no-such-type": client.ErrTypeNotFound} {
			if _, err := job.Acquire(typ, common.Free, common.Busy); !errors.Is(err, want) {
				t.Errorf("acquire %s: %v", typ, err)
			}
		}
		granted(t)(job.AcquireWait(t.Context(), "account", common.Free, common.Busy))
	})
}

// Who waits gets what another gives back, and one that is made for the request.
func TestGoClientWaits(t *testing.T) {
	both(t, clientConfig, func(t *testing.T, a address) {
		first, second := goClient(t, a, "first"), goClient(t, a, "second")
		granted(t)(first.Acquire("account", common.Free, common.Busy))
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := second.AcquireWaitWithPriority(short, "account", common.Free, common.Busy, "mine"); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("wait in vain: %v", err)
		}
		returned := make(chan error)
		go func() { returned <- first.ReleaseAll(common.Free) }()
		got := granted(t)(second.AcquireWaitWithPriority(t.Context(), "account", common.Free, common.Busy, "mine"))
		check(t, <-returned)
		if got.Name != "a1" || got.Owner != "second" {
			t.Errorf("got %+v", got)
		}
	})
}

func granted(t *testing.T) func(*common.Resource, error) *common.Resource {
	return func(r *common.Resource, err error) *common.Resource {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// boskosctl as scripts use it.
func TestBoskosctl(t *testing.T) {
	both(t, clientConfig, func(t *testing.T, a address) {
		password := filepath.Join(t.TempDir(), "password")
		check(t, os.WriteFile(password, []byte("not a secret"), 0o600))
		ctl := func(want int, args ...string) string {
			t.Helper()
			global := []string{"--server-url=" + a.url(), "--owner-name=script", "--username=user", "--password-file=" + password}
			return tool(t, want, "", "boskosctl", slices.Concat(args, global)...)
		}
		acquire := []string{"acquire", "--type=account", "--state=free", "--target-state=busy"}
		resource := lastLine(ctl(0, acquire...))
		if !strings.Contains(resource, `"name":"a1","state":"busy","owner":"script"`) {
			t.Errorf("acquire: %s", resource)
		}
		if out := ctl(1, acquire...); !strings.Contains(out, "failed to acquire a resource: resources not found") {
			t.Errorf("acquire again: %s", out)
		}
		out := ctl(0, "heartbeat", "--resource="+resource, "--period=50ms", "--timeout=300ms", "--retries=0")
		if !strings.Contains(out, `heartbeat sent for resource "a1"`) || !strings.Contains(out, "reached timeout") || strings.Contains(out, "failed") {
			t.Errorf("heartbeat: %s", out)
		}
		if out := lastLine(ctl(0, "metrics", "--type=account")); out != `{"type":"account","current":{"busy":1},"owner":{"script":1}}` {
			t.Errorf("metrics: %s", out)
		}
		if out := lastLine(ctl(0, "release", "--name=a1", "--target-state=free")); out != `released resource "a1"` {
			t.Errorf("release: %s", out)
		}
		ctl(0, "acquire", "--type=made", "--state=free", "--target-state=busy", "--timeout=20s")
		ctl(0, slices.Concat(acquire, []string{"--timeout=20s"})...)
	})
}

// tool runs a program and returns all that it prints.
func tool(t *testing.T, want int, input, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("%s %q: exit code %d\n%s", name, args, got, out)
	}
	return string(out)
}

func lastLine(out string) string {
	out = strings.TrimSpace(out)
	return out[strings.LastIndexByte(out, '\n')+1:]
}

// What a shell script does that has no client.
const curlScript = `set -eu
ask() { curl --silent --show-error --fail-with-body --user user:password "$@"; }
lease=$(ask -X POST "$URL/acquire?type=account&state=free&dest=busy&owner=$JOB")
name=$(printf %s "$lease" | sed 's/.*"name":"\([^"]*\)".*/\1/')
echo "name $name"
ask -X POST "$URL/update?name=$name&owner=$JOB&state=busy"
ask -X POST -d '{"log": "gs://bucket"}' "$URL/update?name=$name&owner=$JOB&state=busy"
ask "$URL/metric?type=account"; echo
ask -X POST "$URL/acquire?type=account&state=free&dest=busy&owner=$JOB" || echo "curl says $?"
ask --data "" "$URL/release?name=$name&owner=$JOB&dest=dirty"
ask -X POST "$URL/reset?type=account&state=busy&expire=30m&dest=dirty"; echo
ask "$URL/metric?type=account"; echo
`

func TestCurl(t *testing.T) {
	const want = `name a1
{"type":"account","current":{"busy":1},"owner":{"job-1":1}}
curl: (22) The requested URL returned error: 404
Acquire failed: no available resource account, try again later.
curl says 22
{}
{"type":"account","current":{"dirty":1},"owner":{"":1}}
`
	both(t, clientConfig, func(t *testing.T, a address) {
		got := tool(t, 0, curlScript, "env", "URL="+a.url(), "JOB=job-1", "sh")
		if got != want {
			t.Errorf("got:\n%s", got)
		}
	})
}
