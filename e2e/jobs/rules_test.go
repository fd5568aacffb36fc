// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package jobs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	prowapi "sigs.k8s.io/prow/pkg/apis/prowjobs/v1"
	"sigs.k8s.io/prow/pkg/config"
)

// trusted is the cluster whose jobs hold credentials, and the folder of the only jobs that may name it.
const trusted = "trusted"

// job is what the rules look at, of whatever type.
type job struct {
	config.JobBase
	kind prowapi.ProwJobType
}

func jobsOf(c *config.Config) []job {
	var all []job
	for _, jobs := range c.PresubmitsStatic {
		for _, j := range jobs {
			all = append(all, job{j.JobBase, prowapi.PresubmitJob})
		}
	}
	for _, jobs := range c.PostsubmitsStatic {
		for _, j := range jobs {
			all = append(all, job{j.JobBase, prowapi.PostsubmitJob})
		}
	}
	for _, j := range c.Periodics {
		all = append(all, job{j.JobBase, prowapi.PeriodicJob})
	}
	return all
}

// rule is one of those that the tests of kubernetes/test-infra have for jobs; check says why a job breaks it, or "".
// Those tests cannot be imported, and what breaks them cannot be merged there.
type rule struct {
	name  string
	check func(job) string
}

func rules() []rule {
	return []rule{
		{"trusted folder", trustedFolder},
		{"rerun by team", rerunByTeam},
		{"on a dashboard", onDashboard},
		{"decorated", decorated},
		{"named by type", namedByType},
		{"one at a time", oneAtATime},
		{"no presets", noPresets},
		{"fixed image", eachContainer(fixedImage)},
		{"limits are requests", eachContainer(limitsAreRequests)},
		{"no rights", eachContainer(noRights)},
		{"no secrets", noSecrets},
		{"no host", noHost},
	}
}

func trustedFolder(j job) string {
	inFolder := slices.Contains(strings.Split(filepath.ToSlash(filepath.Dir(j.SourcePath)), "/"), trusted)
	switch {
	case j.Cluster == trusted && j.kind == prowapi.PresubmitJob:
		return "a presubmit runs in the trusted cluster"
	case (j.Cluster == trusted) != inFolder:
		return "cluster " + j.Cluster + ", but it stands in " + j.SourcePath
	}
	return ""
}

func rerunByTeam(j job) string {
	auth := j.RerunAuthConfig
	switch {
	case auth == nil && j.Cluster == trusted:
		return "nobody is named who may rerun it"
	case auth == nil:
		return ""
	case auth.AllowAnyone || len(auth.GitHubTeamIDs) > 0 || len(auth.GitHubUsers) > 0 || len(auth.GitHubOrgs) > 0:
		return "somebody else than a team, by its name, may rerun it"
	}
	return ""
}

func onDashboard(j job) string {
	for _, annotation := range []string{"description", "testgrid-dashboards", "testgrid-tab-name"} {
		if j.Annotations[annotation] == "" {
			return "no " + annotation
		}
	}
	if j.kind == prowapi.PeriodicJob && (j.Annotations["testgrid-alert-email"] == "" || j.Annotations["testgrid-alert-stale-results-hours"] == "") {
		return "nobody hears when it fails, or when it no longer runs"
	}
	return ""
}

func decorated(j job) string {
	if j.Decorate == nil || !*j.Decorate {
		return "no pod utilities"
	}
	return ""
}

func namedByType(j job) string {
	prefix := map[prowapi.ProwJobType]string{prowapi.PresubmitJob: "pull-", prowapi.PostsubmitJob: "post-", prowapi.PeriodicJob: "periodic-"}[j.kind]
	if !strings.HasPrefix(j.Name, prefix) {
		return "its name does not begin with " + prefix
	}
	return ""
}

func oneAtATime(j job) string {
	if j.kind != prowapi.PresubmitJob && j.MaxConcurrency != 1 {
		return "it may run beside itself"
	}
	return ""
}

func noPresets(j job) string {
	for label := range j.Labels {
		if strings.HasPrefix(label, "preset-") {
			return "preset " + label + " is not one of ours"
		}
	}
	return ""
}

// eachContainer asks a rule about every container of a job.
func eachContainer(check func(corev1.Container) string) func(job) string {
	return func(j job) string {
		for _, c := range append(slices.Clone(j.Spec.InitContainers), j.Spec.Containers...) {
			if why := check(c); why != "" {
				return why
			}
		}
		return ""
	}
}

func fixedImage(c corev1.Container) string {
	name, digest, _ := strings.Cut(c.Image, "@")
	_, tag, tagged := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], ":")
	if digest == "" && (!tagged || tag == "latest") && c.ImagePullPolicy != corev1.PullAlways {
		return c.Image + " may be another one tomorrow"
	}
	return ""
}

func limitsAreRequests(c corev1.Container) string {
	for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
		if request.IsZero() || request.Cmp(limit) != 0 {
			return "requests " + request.String() + " " + string(resource) + ", limit " + limit.String()
		}
	}
	return ""
}

func noRights(c corev1.Container) string {
	s := c.SecurityContext
	switch {
	case s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot:
		return "it may run as root"
	case s.Privileged != nil && *s.Privileged, s.AllowPrivilegeEscalation == nil, *s.AllowPrivilegeEscalation:
		return "it may gain rights"
	case s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0:
		return "it keeps capabilities"
	}
	return ""
}

// opensPulls is the one job that needs a token of GitHub, and githubToken where it is: there is no identity of a pod that
// GitHub would believe.
const opensPulls, githubToken = "periodic-steward-promote-add", "steward-github-oauth"

func noSecrets(j job) string {
	for _, v := range j.Spec.Volumes {
		if v.Secret != nil && (j.Name != opensPulls || v.Secret.SecretName != githubToken) {
			return "mounts secret " + v.Secret.SecretName
		}
	}
	return eachContainer(func(c corev1.Container) string {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				return "reads secret " + e.ValueFrom.SecretKeyRef.Name
			}
		}
		return ""
	})(j)
}

func noHost(j job) string {
	for _, v := range j.Spec.Volumes {
		if v.HostPath != nil {
			return "mounts " + v.HostPath.Path + " of the node"
		}
	}
	if j.Spec.HostNetwork || j.Spec.HostPID || j.Spec.HostIPC {
		return "shares the node"
	}
	return ""
}

// broken lists the rules that jobs break, as "rule: job".
func broken(c *config.Config) []string {
	var all []string
	for _, j := range jobsOf(c) {
		for _, r := range rules() {
			if r.check(j) != "" {
				all = append(all, r.name+": "+j.Name)
			}
		}
	}
	return all
}

func TestRules(t *testing.T) {
	c := copyConfig(t).load()
	if n := len(jobsOf(c)); n < 2 {
		t.Fatalf("found %d jobs", n)
	}
	for _, j := range jobsOf(c) {
		for _, r := range rules() {
			if why := r.check(j); why != "" {
				t.Errorf("%s: %s: %s", j.Name, r.name, why)
			}
		}
	}
}

// Every rule can fail, and a fault breaks the rule it is about and no other.
func TestRulesCanFail(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []struct {
		rule string
		edit edit
	}{
		{"trusted folder", edit{periodics, "    cluster: trusted\n", ""}},
		{"trusted folder", edit{presubmits, "      decorate: true\n", "      decorate: true\n      cluster: trusted\n      rerun_auth_config: {}\n"}},
		{"rerun by team", edit{periodics, "      github_team_slugs:\n        - org: example-org\n          slug: infra-leads\n", "      github_team_ids: [7]\n"}},
		{"rerun by team", edit{presubmits, "      decorate: true\n", "      decorate: true\n      rerun_auth_config: {allow_anyone: true}\n"}},
		{"on a dashboard", edit{presubmits, "        testgrid-dashboards: example-infra-presubmits\n", ""}},
		{"on a dashboard", edit{periodics, "      testgrid-alert-stale-results-hours: \"12\"\n", ""}},
		{"decorated", edit{presubmits, "      decorate: true\n      decoration_config:\n        timeout: 10m\n        grace_period: 1m\n", "      decorate: false\n"}},
		{"named by type", edit{periodics, "name: periodic-steward-audit", "name: steward-audit"}},
		{"one at a time", edit{periodics, "    max_concurrency: 1\n", ""}},
		{"no presets", edit{presubmits, "      decorate: true\n", "      decorate: true\n      labels: {preset-service-account: \"true\"}\n"}},
		{"fixed image", edit{presubmits, "steward-git:v0.1.0", "steward-git"}},
		{"fixed image", edit{periodics, "/steward-git:v0.1.0", "/steward-git:latest"}},
		{"limits are requests", edit{presubmits, "              limits:\n                cpu: \"1\"\n", "              limits:\n                cpu: \"2\"\n"}},
		{"limits are requests", edit{periodics, "            requests:\n              cpu: \"1\"\n              memory: 2Gi\n", "            requests:\n              cpu: \"1\"\n"}},
		{"no rights", edit{presubmits, "              allowPrivilegeEscalation: false\n", ""}},
		{"no rights", edit{periodics, "            runAsNonRoot: true\n", "            runAsNonRoot: false\n"}},
		{"no rights", edit{presubmits, "                  - ALL\n", "                  - NET_RAW\n"}},
		{"no secrets", edit{presubmits, "        containers:\n", "        volumes: [{name: token, secret: {secretName: token}}]\n        containers:\n"}},
		{"no secrets", edit{periodics, "          command:\n", "          env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: token, key: token}}}]\n          command:\n"}},
		{"no host", edit{presubmits, "        containers:\n", "        hostNetwork: true\n        containers:\n"}},
		{"no host", edit{presubmits, "        containers:\n", "        volumes: [{name: docker, hostPath: {path: /var/run/docker.sock}}]\n        containers:\n"}},
	} {
		p := copyConfig(t)
		p.apply(c.edit)
		got := broken(p.load())
		if len(got) != 1 || !strings.HasPrefix(got[0], c.rule+": ") {
			t.Errorf("%s: %q instead of %q breaks %q", c.rule, c.edit.replacement, c.edit.old, got)
		}
		seen[c.rule] = true
	}
	for _, r := range rules() {
		if !seen[r.name] {
			t.Errorf("nothing shows that %q can fail", r.name)
		}
	}
}

// Prow reads .yml as well, but test-infra refuses it: two spellings hide a file from a search.
func TestFilesAreCalledYAML(t *testing.T) {
	p := copyConfig(t)
	err := fs.WalkDir(os.DirFS(p.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(name) != ".yaml" {
			t.Errorf("%s is not called .yaml", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
