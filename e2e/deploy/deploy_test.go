// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/wire"
)

// container is the one container of the pod.
func (m *manifests) container(t *testing.T) corev1.Container {
	t.Helper()
	spec := m.set.Spec.Template.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 {
		t.Fatalf("the pod has %d containers and %d init containers", len(spec.Containers), len(spec.InitContainers))
	}
	return spec.Containers[0]
}

// parse gives steward-hook its arguments, as Kubernetes would expand them.
func parse(t *testing.T, c corev1.Container) *cobra.Command {
	t.Helper()
	cmd := wire.HookCommand()
	var args []string
	for _, arg := range c.Args {
		for _, e := range c.Env {
			arg = strings.ReplaceAll(arg, "$("+e.Name+")", "12345")
		}
		args = append(args, arg)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Errorf("args: %v", err)
	}
	if rest := cmd.Flags().Args(); len(rest) > 0 || strings.Contains(strings.Join(args, " "), "$(") {
		t.Errorf("args %q leave %q", args, rest)
	}
	return cmd
}

func value(t *testing.T, cmd *cobra.Command, flag string) string {
	t.Helper()
	f := cmd.Flags().Lookup(flag)
	if f == nil {
		t.Fatalf("steward-hook has no --%s", flag)
	}
	return f.Value.String()
}

// What is mounted is read by a flag, and what a flag names is mounted; the data directory is the one that is written.
func TestMounts(t *testing.T) {
	for _, c := range []struct {
		components []string
		mounts     map[string]string // by flag: the volume
	}{
		{nil, map[string]string{
			"config": "configmap steward", "hmac-secret-file": "secret hmac-token", "github-token-path": "secret oauth-token", "data-dir": "claim data",
		}},
		{components(), map[string]string{
			"config": "configmap steward", "hmac-secret-file": "secret hmac-token", "github-app-private-key-path": "secret github-token", "data-dir": "claim data",
			"pool-token-file": "token for steward-pool",
		}},
	} {
		m := render(t, c.components...)
		container := m.container(t)
		cmd := parse(t, container)
		unused := map[string]bool{}
		for _, mount := range container.VolumeMounts {
			unused[mount.MountPath] = true
		}
		for flag, want := range c.mounts {
			file := value(t, cmd, flag)
			i := slices.IndexFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return file == m.MountPath || filepath.Dir(file) == m.MountPath })
			if i < 0 {
				t.Errorf("--%s=%s: nothing is mounted there", flag, file)
				continue
			}
			mount := container.VolumeMounts[i]
			delete(unused, mount.MountPath)
			if got := m.volume(mount.Name); got != want {
				t.Errorf("--%s=%s: in %s, want %s", flag, file, got, want)
			}
			if mount.ReadOnly == (flag == "data-dir") {
				t.Errorf("%s: read only %t", mount.MountPath, mount.ReadOnly)
			}
		}
		for mount := range unused {
			t.Errorf("no flag reads %s", mount)
		}
	}
}

// volume says what is behind the name of a volume.
func (m *manifests) volume(name string) string {
	for _, v := range m.set.Spec.Template.Spec.Volumes {
		switch {
		case v.Name != name:
		case v.Secret != nil:
			return "secret " + v.Secret.SecretName
		case v.ConfigMap != nil:
			return "configmap " + v.ConfigMap.Name
		case v.Projected != nil && len(v.Projected.Sources) == 1 && v.Projected.Sources[0].ServiceAccountToken != nil:
			return "token for " + v.Projected.Sources[0].ServiceAccountToken.Audience
		}
	}
	for _, claim := range m.set.Spec.VolumeClaimTemplates {
		if claim.Name == name {
			return "claim " + name
		}
	}
	return "nothing"
}

// A file of the settings exists by the name that --config has.
func TestSettings(t *testing.T) {
	m := render(t)
	name := filepath.Base(value(t, parse(t, m.container(t)), "config"))
	parsed, err := settings.Parse([]byte(m.settings.Data[name]))
	if err != nil {
		t.Fatal(err)
	}
	explained, err := os.ReadFile(filepath.Join(root(t), "config", "steward.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := settings.Parse(explained)
	if err != nil {
		t.Fatal(err)
	}
	for _, repo := range want.List() {
		if r := parsed.For(repo); r == nil || !slices.Equal(r.Plugins, want.For(repo).Plugins) {
			t.Errorf("%s is not as in config/steward.yaml", repo)
		}
	}
}

// ports reads the table of docs/hook.md: the port of each flag.
func ports(t *testing.T) map[string]int {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "hook.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]*port)` ([0-9]+) \\|").FindAllStringSubmatch(string(page), -1) {
		n, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatal(err)
		}
		all[row[1]] = n
	}
	return all
}

// The ports of the pod are those that docs/hook.md names and the program listens on. The debug port is on loopback and
// is none of the pod's.
func TestPorts(t *testing.T) {
	documented := ports(t)
	if len(documented) != 4 {
		t.Fatalf("docs/hook.md: %v", documented)
	}
	m := render(t, components()...)
	container := m.container(t)
	cmd := parse(t, container)
	for flag, port := range documented {
		if got := value(t, cmd, flag); got != strconv.Itoa(port) {
			t.Errorf("--%s is %s, docs/hook.md says %d", flag, got, port)
		}
	}
	byName := map[string]int32{}
	for _, p := range container.Ports {
		byName[p.Name] = p.ContainerPort
	}
	want := map[string]int32{"http": int32(documented["port"]), "health": int32(documented["health-port"]), "metrics": int32(documented["metrics-port"])}
	if !maps.Equal(byName, want) {
		t.Errorf("ports %v, want %v", byName, want)
	}
	for name, probe := range map[string]*corev1.Probe{"/healthz": container.LivenessProbe, "/healthz/ready": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != name || probe.HTTPGet.Port.StrVal != "health" {
			t.Errorf("probe %s: %v", name, probe)
		}
	}
	if s := m.service.Spec.Ports; len(s) != 1 || s[0].Port != 80 || s[0].TargetPort.StrVal != "http" {
		t.Errorf("service ports %v", s)
	}
	for _, e := range m.monitors[0].Spec.PodMetricsEndpoints {
		if byName[e.Port] == 0 {
			t.Errorf("the monitor asks for port %q", e.Port)
		}
	}
}

// Prow's plugins.yaml posts to the Service by its name, on the port that http means.
func TestPluginsReachTheService(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root(t), "config", "prow", "plugins.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var plugins struct {
		External map[string][]struct{ Endpoint string } `json:"external_plugins"`
	}
	if err := yaml.Unmarshal(content, &plugins); err != nil {
		t.Fatal(err)
	}
	service, found := render(t).service.Name, 0
	for _, entries := range plugins.External {
		for _, e := range entries {
			found++
			if u, err := url.Parse(e.Endpoint); err != nil || u.Scheme != "http" || u.Host != service {
				t.Errorf("endpoint %s, the Service is %s", e.Endpoint, service)
			}
		}
	}
	if found == 0 {
		t.Error("config/prow/plugins.yaml has no endpoint")
	}
}

// Every selector finds the pod.
func TestSelectors(t *testing.T) {
	m := render(t, components()...)
	pod := labels.Set(m.set.Spec.Template.Labels)
	selectors := map[string]map[string]string{
		"StatefulSet": m.set.Spec.Selector.MatchLabels, "Service": m.service.Spec.Selector, "PodMonitor": m.monitors[0].Spec.Selector.MatchLabels,
	}
	for _, p := range m.policies {
		selectors["NetworkPolicy "+p.Name] = p.Spec.PodSelector.MatchLabels
	}
	for who, selector := range selectors {
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(pod) {
			t.Errorf("%s selects %v, the pod is %v", who, selector, pod)
		}
	}
	spec := m.set.Spec
	if spec.Template.Spec.ServiceAccountName != m.account.Name || spec.ServiceName != m.service.Name {
		t.Errorf("account %q, service %q", spec.Template.Spec.ServiceAccountName, spec.ServiceName)
	}
}

// The pod holds no more than it needs.
func TestPodIsConfined(t *testing.T) {
	spec := render(t, components()...).set.Spec
	pod, c := spec.Template.Spec, spec.Template.Spec.Containers[0]
	for what, holds := range map[string]bool{
		"one replica":          spec.Replicas != nil && *spec.Replicas == 1,
		"pod not root":         pod.SecurityContext != nil && *pod.SecurityContext.RunAsNonRoot && *pod.SecurityContext.RunAsUser == 65532 && *pod.SecurityContext.FSGroup == 65532,
		"seccomp":              pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"read only":            *c.SecurityContext.ReadOnlyRootFilesystem,
		"no escalation":        !*c.SecurityContext.AllowPrivilegeEscalation && c.SecurityContext.Privileged == nil,
		"no capabilities":      slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(c.SecurityContext.Capabilities.Add) == 0,
		"nothing of the node":  !pod.HostNetwork && !pod.HostPID && !pod.HostIPC && !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil }),
		"no service variables": !*pod.EnableServiceLinks,
		"resources":            !c.Resources.Requests.Cpu().IsZero() && !c.Resources.Requests.Memory().IsZero() && !c.Resources.Limits.Memory().IsZero(),
		"Prow's grace period":  *pod.TerminationGracePeriodSeconds == 180,
		"volume outlives all":  spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted == "Retain" && spec.PersistentVolumeClaimRetentionPolicy.WhenScaled == "Retain",
		"not latest":           strings.Contains(c.Image, ":") && !strings.HasSuffix(c.Image, ":latest"),
		"dry run until told":   slices.Contains(c.Args, "--dry-run=true"),
		"secrets not for all": !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
			return v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode&0o007 != 0)
		}),
		"no secret in the env": len(c.EnvFrom) == 0 && !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
			return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Key != "appid"
		}),
		"the drain fits in":     graceful(t, render(t)),
		"not part of a file":    !slices.ContainsFunc(c.VolumeMounts, func(v corev1.VolumeMount) bool { return v.SubPath != "" }),
		"mended without a hand": spec.PodManagementPolicy == "Parallel",
	} {
		if !holds {
			t.Errorf("not so: %s", what)
		}
	}
}

// graceful says whether running work may end before the pod is killed.
func graceful(t *testing.T, m *manifests) bool {
	t.Helper()
	grace, err := parse(t, m.container(t)).Flags().GetDuration("grace-period")
	if err != nil {
		t.Fatal(err)
	}
	return grace.Seconds() < float64(*m.set.Spec.Template.Spec.TerminationGracePeriodSeconds)
}

// Without the component there is no right and no token; with it there is exactly one.
func TestRights(t *testing.T) {
	without, with := render(t, "github-app", "monitoring"), render(t, components()...)
	token := func(m *manifests) bool { return *m.set.Spec.Template.Spec.AutomountServiceAccountToken }
	if token(without) || *without.account.AutomountServiceAccountToken || len(without.roles)+len(without.bindings) > 0 {
		t.Error("it has a token or a right without being asked to start jobs")
	}
	if !token(with) || *with.account.AutomountServiceAccountToken {
		t.Error("the token belongs to the one pod that starts jobs")
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{"prow.k8s.io"}, Resources: []string{"prowjobs"}, Verbs: []string{"get", "list", "create"}}}
	role, binding := with.roles[0], with.bindings[0]
	if got, want := fmt.Sprint(role.Rules), fmt.Sprint(want); got != want {
		t.Errorf("rules %s, want %s", got, want)
	}
	if binding.RoleRef != (rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: role.Name}) {
		t.Errorf("bound to %v", binding.RoleRef)
	}
	subject := rbacv1.Subject{Kind: "ServiceAccount", Name: with.account.Name, Namespace: namespace}
	if !slices.Equal(binding.Subjects, []rbacv1.Subject{subject}) {
		t.Errorf("bound for %v", binding.Subjects)
	}
}

// Who may speak to the pod, and to whom it may speak, is exactly this.
func TestNetwork(t *testing.T) {
	base := []string{
		"from pods app=hook: TCP 8888",
		"from namespaces kubernetes.io/metadata.name=prow-monitoring: TCP 9090",
		"to all namespaces: UDP 53, TCP 53",
		"to pods app=ghproxy: TCP 8888",
		"to anywhere: TCP 443",
	}
	if got := rules(t, render(t)); !slices.Equal(got, base) {
		t.Errorf("rules:\n%s", strings.Join(got, "\n"))
	}
	if got, want := rules(t, render(t, components()...)), append(base, "to pods app=steward-pool of all namespaces: TCP 8080", "to anywhere: TCP 6443"); !slices.Equal(got, want) {
		t.Errorf("rules of all components:\n%s", strings.Join(got, "\n"))
	}
}

func rules(t *testing.T, m *manifests) []string {
	t.Helper()
	var all []string
	for _, p := range m.policies {
		types := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		if len(p.Spec.Ingress) == 0 {
			types = types[1:]
		}
		if !slices.Equal(p.Spec.PolicyTypes, types) {
			t.Errorf("%s is about %v, want %v", p.Name, p.Spec.PolicyTypes, types)
		}
		for _, r := range p.Spec.Ingress {
			all = append(all, "from "+peers(r.From)+": "+protocols(r.Ports))
		}
		for _, r := range p.Spec.Egress {
			all = append(all, "to "+peers(r.To)+": "+protocols(r.Ports))
		}
	}
	return all
}

func peers(all []networkingv1.NetworkPolicyPeer) string {
	if len(all) == 0 {
		return "anywhere"
	}
	var names []string
	for _, p := range all {
		switch {
		case p.IPBlock != nil || p.PodSelector != nil && p.NamespaceSelector != nil && len(p.NamespaceSelector.MatchLabels) > 0:
			names = append(names, p.String())
		case p.PodSelector != nil && p.NamespaceSelector != nil:
			names = append(names, "pods "+metav1.FormatLabelSelector(p.PodSelector)+" of all namespaces")
		case p.PodSelector != nil:
			names = append(names, "pods "+metav1.FormatLabelSelector(p.PodSelector))
		case len(p.NamespaceSelector.MatchLabels) == 0:
			names = append(names, "all namespaces")
		default:
			names = append(names, "namespaces "+metav1.FormatLabelSelector(p.NamespaceSelector))
		}
	}
	return strings.Join(names, " or ")
}

func protocols(all []networkingv1.NetworkPolicyPort) string {
	var names []string
	for _, p := range all {
		names = append(names, fmt.Sprintf("%s %s", *p.Protocol, p.Port))
	}
	return strings.Join(names, ", ")
}
