// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package jobs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	prowapi "sigs.k8s.io/prow/pkg/apis/prowjobs/v1"
	"sigs.k8s.io/prow/pkg/config"
	"sigs.k8s.io/prow/pkg/pjutil"
	"sigs.k8s.io/prow/pkg/pod-utils/decorate"

	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/wire/cli"
)

const baseSHA = "0123456789abcdef0123456789abcdef01234567"

// refs is a pull request that a presubmit runs for, and a postsubmit behind it.
func refs() prowapi.Refs {
	return prowapi.Refs{
		Org: "example-org", Repo: "example-infra", BaseRef: "main", BaseSHA: baseSHA,
		Pulls: []prowapi.Pull{{Number: 7, Author: "alice", SHA: "89abcdef0123456789abcdef0123456789abcdef"}},
	}
}

// pods makes the pod that Prow starts for each job.
func pods(t *testing.T, c *config.Config) map[string]*corev1.Pod {
	t.Helper()
	all := map[string]*corev1.Pod{}
	add := func(spec prowapi.ProwJobSpec) {
		pod, err := decorate.ProwJobToPod(pjutil.NewProwJob(spec, nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		all[spec.Job] = pod
	}
	for _, jobs := range c.PresubmitsStatic {
		for _, j := range jobs {
			add(pjutil.PresubmitSpec(j, refs()))
		}
	}
	for _, jobs := range c.PostsubmitsStatic {
		for _, j := range jobs {
			add(pjutil.PostsubmitSpec(j, refs()))
		}
	}
	for _, j := range c.Periodics {
		add(pjutil.PeriodicSpec(j))
	}
	return all
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// environment is what the kubelet gives a container: a variable may name those before it, and none after.
func environment(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, v := range c.Env {
		env[v.Name] = reference.ReplaceAllStringFunc(v.Value, func(name string) string {
			if value, ok := env[name[2:len(name)-1]]; ok {
				return value
			}
			return name
		})
	}
	return env
}

// commandLine is what Prow's entrypoint is told to run: it hides in a variable.
func commandLine(t *testing.T, pod *corev1.Pod) []string {
	t.Helper()
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == "test" })
	if i < 0 {
		t.Fatalf("no test container in %v", pod.Spec.Containers)
	}
	var options struct {
		Args []string `json:"args"`
	}
	if err := json.Unmarshal([]byte(environment(pod.Spec.Containers[i])["ENTRYPOINT_OPTIONS"]), &options); err != nil {
		t.Fatal(err)
	}
	return options.Args
}

// What a job calls exists in this checkout, with the flags it is given.
func TestJobsCallWhatExists(t *testing.T) {
	for name, pod := range pods(t, copyConfig(t).load()) {
		args := commandLine(t, pod)
		if len(args) < 2 || args[0] != "steward" {
			t.Errorf("%s runs %q", name, args)
			continue
		}
		cmd, rest, err := cli.Command().Find(args[1:])
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil || cmd.HasSubCommands() && cmd.Name() != "verify" {
			t.Errorf("%s runs %q: %v", name, args, err)
		}
	}
}

// The presubmit compares with the base of its pull request, though no shell puts the variable in.
func TestPresubmitNamesItsBase(t *testing.T) {
	args := commandLine(t, pods(t, copyConfig(t).load())["pull-steward-verify"])
	if !slices.Contains(args, "--base="+baseSHA) {
		t.Errorf("runs %q", args)
	}
	p := copyConfig(t)
	p.apply(edit{presubmits, "$(PULL_BASE_SHA)", "$(PULL_BASE)"})
	if args := commandLine(t, pods(t, p.load())["pull-steward-verify"]); !slices.Contains(args, "--base=$(PULL_BASE)") {
		t.Errorf("a variable that is not there becomes %q", args)
	}
}

// A presubmit holds nothing that a pull request could take: no token, no secret, no account.
func TestPresubmitsHoldNothing(t *testing.T) {
	c := copyConfig(t).load()
	for _, jobs := range c.PresubmitsStatic {
		for _, j := range jobs {
			pod := pods(t, c)[j.Name]
			if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
				t.Errorf("%s has the token of its account", j.Name)
			}
			for _, volume := range pod.Spec.Volumes {
				if volume.Secret != nil || volume.Projected != nil || volume.HostPath != nil {
					t.Errorf("%s mounts %s", j.Name, volume.Name)
				}
			}
		}
	}
}

// The jobs start in the checkout and keep it apart from what they write.
func TestJobsRunInTheCheckout(t *testing.T) {
	for name, pod := range pods(t, copyConfig(t).load()) {
		for _, container := range pod.Spec.Containers {
			if container.Name == "test" && !strings.HasSuffix(container.WorkingDir, "/example-org/example-infra") {
				t.Errorf("%s starts in %q", name, container.WorkingDir)
			}
		}
		clones := slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == "clonerefs" })
		if !clones {
			t.Errorf("%s clones nothing", name)
		}
	}
}

// What config/steward.yaml says of the audit is what its job does: its name, its interval, and where it publishes.
func TestSettingsNameTheAudit(t *testing.T) {
	p := copyConfig(t)
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"config/steward.yaml", "config/kubernetes/steward.yaml"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		s, err := settings.Parse(content)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c := p.load()
		for _, repo := range s.List() {
			drift := s.For(repo).Drift
			i := slices.IndexFunc(c.Periodics, func(j config.Periodic) bool { return j.Name == drift.Job })
			if i < 0 {
				t.Errorf("%s: no periodic is called %q", file, drift.Job)
				continue
			}
			if every := c.Periodics[i].GetInterval(); every != time.Duration(drift.Interval) {
				t.Errorf("%s: every %v, the job runs every %v", file, time.Duration(drift.Interval), every)
			}
			published := "--publish=gs://" + strings.TrimSuffix(strings.TrimPrefix(drift.Report, "https://storage.googleapis.com/"), "/latest.json")
			if args := commandLine(t, pods(t, c)[drift.Job]); !slices.Contains(args, published) {
				t.Errorf("%s: the report is at %s, the job runs %q", file, drift.Report, args)
			}
		}
	}
}
