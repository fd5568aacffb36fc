// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"sigs.k8s.io/steward/internal/wire/pool"
)

// deployed is what config/kubernetes/pool deploys, strictly decoded.
type deployed struct {
	set     appsv1.StatefulSet
	service corev1.Service
	account corev1.ServiceAccount
	role    rbacv1.Role
	binding rbacv1.RoleBinding
	policy  networkingv1.NetworkPolicy
}

func render(t testing.TB) deployed {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../config/kubernetes/pool")
	if err != nil {
		t.Fatal(err)
	}
	var d deployed
	into := map[string]any{
		"StatefulSet": &d.set, "Service": &d.service, "ServiceAccount": &d.account, "Role": &d.role, "RoleBinding": &d.binding, "NetworkPolicy": &d.policy,
	}
	definitions := 0
	for _, r := range all.Resources() {
		if r.GetKind() == "CustomResourceDefinition" {
			definitions++
			continue
		}
		content, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetNamespace() != "test-pods" || into[r.GetKind()] == nil {
			t.Errorf("%s %s in %q", r.GetKind(), r.GetName(), r.GetNamespace())
			continue
		}
		if err := yaml.UnmarshalStrict(content, into[r.GetKind()]); err != nil {
			t.Errorf("%s: %v", r.GetKind(), err)
		}
	}
	if definitions != 2 {
		t.Errorf("%d definitions", definitions)
	}
	return d
}

// What is deployed fits together, and steward-pool understands its arguments.
func TestDeployment(t *testing.T) {
	d := render(t)
	pod := d.set.Spec.Template
	for what, selector := range map[string]map[string]string{
		"the set": d.set.Spec.Selector.MatchLabels, "the service": d.service.Spec.Selector, "the policy": d.policy.Spec.PodSelector.MatchLabels,
	} {
		for key, value := range selector {
			if pod.Labels[key] != value {
				t.Errorf("%s selects %s=%s", what, key, value)
			}
		}
	}
	subject := d.binding.Subjects[0]
	if d.binding.RoleRef.Name != d.role.Name || subject.Name != d.account.Name || subject.Namespace != "test-pods" || pod.Spec.ServiceAccountName != d.account.Name {
		t.Errorf("%+v of %s for %+v", d.binding.RoleRef, d.role.Name, subject)
	}
	c := pod.Spec.Containers[0]
	var args []string
	for _, arg := range c.Args {
		for _, e := range c.Env {
			arg = strings.ReplaceAll(arg, "$("+e.Name+")", "value-of-"+strings.ToLower(e.Name))
		}
		args = append(args, arg)
	}
	cmd := pool.Command()
	if err := cmd.ParseFlags(args); err != nil || strings.Contains(strings.Join(args, " "), "$(") {
		t.Fatalf("%q: %v", args, err)
	}
	mounts := map[string]bool{}
	for _, m := range c.VolumeMounts {
		mounts[m.MountPath] = true
	}
	if !mounts["/etc/config"] || !mounts[cmd.Flag("data-dir").Value.String()] || cmd.Flag("config").Value.String() != "/etc/config/config" {
		t.Errorf("mounted are %v, the arguments are %q", mounts, args)
	}
	for name, port := range map[string]string{"http": "port", "health": "health-port", "metrics": "metrics-port"} {
		found := false
		for _, p := range c.Ports {
			found = found || p.Name == name && cmd.Flag(port).Value.String() == strings.TrimSpace(strings.Split(encode(t, p.ContainerPort), ".")[0])
		}
		if !found {
			t.Errorf("port %s is not that of --%s", name, port)
		}
	}
	if p := d.service.Spec.Ports[0]; p.Port != 80 || p.TargetPort.StrVal != "http" {
		t.Errorf("%+v", p)
	}
}
