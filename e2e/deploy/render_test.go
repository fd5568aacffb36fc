// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package deploy holds config/kubernetes and docs/deploy.md to what they are about: the API types of Kubernetes, the
// flags and ports of steward-hook, and each other.
//
// The manifests are looked at as kustomize renders them, with each set of components that people may choose.
package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// namespace is that of the overlay.
const namespace = "prow-test"

// podMonitor has the fields of the Prometheus operator's type that we use; its module would cost more than it says.
type podMonitor struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		PodMetricsEndpoints []struct {
			Port string `json:"port"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// manifests is what an overlay deploys, strictly decoded.
type manifests struct {
	account  corev1.ServiceAccount
	settings corev1.ConfigMap
	service  corev1.Service
	set      appsv1.StatefulSet
	policies []networkingv1.NetworkPolicy
	roles    []rbacv1.Role
	bindings []rbacv1.RoleBinding
	monitors []podMonitor
}

// decode refuses a kind that the tests do not look at and a field that the API does not have.
func decode(rendered []byte) (*manifests, error) {
	m := &manifests{}
	for document := range bytes.SplitSeq(rendered, []byte("\n---\n")) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(document, &head); err != nil {
			return nil, err
		}
		if err := m.add(head.APIVersion+" "+head.Kind, document); err != nil {
			return nil, fmt.Errorf("%s: %w", head.Kind, err)
		}
	}
	return m, nil
}

func (m *manifests) add(kind string, document []byte) error {
	switch kind {
	case "v1 ServiceAccount":
		return strict(document, &m.account)
	case "v1 ConfigMap":
		return strict(document, &m.settings)
	case "v1 Service":
		return strict(document, &m.service)
	case "apps/v1 StatefulSet":
		return strict(document, &m.set)
	case "networking.k8s.io/v1 NetworkPolicy":
		return more(&m.policies, document)
	case "rbac.authorization.k8s.io/v1 Role":
		return more(&m.roles, document)
	case "rbac.authorization.k8s.io/v1 RoleBinding":
		return more(&m.bindings, document)
	case "monitoring.coreos.com/v1 PodMonitor":
		return more(&m.monitors, document)
	}
	return fmt.Errorf("%s is not one of the expected kinds", kind)
}

// strict decodes as the API server does with --validate=strict, which minds the case of letters.
func strict(document []byte, into any) error {
	content, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	unknown, err := json.UnmarshalStrict(content, into)
	return errors.Join(append(unknown, err)...)
}

func more[T any](all *[]T, document []byte) error {
	var one T
	err := strict(document, &one)
	*all = append(*all, one)
	return err
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// overlay copies the manifests beside a kustomization of its own, as docs/deploy.md says, and returns its folder.
func overlay(t *testing.T, components ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "kubernetes"), os.DirFS(filepath.Join(root(t), "config", "kubernetes"))); err != nil {
		t.Fatal(err)
	}
	content := "namespace: " + namespace + "\nresources: [kubernetes]\ncomponents:\n"
	for _, c := range components {
		content += "  - kubernetes/components/" + c + "\n"
	}
	write(t, filepath.Join(dir, "kustomization.yaml"), content)
	return dir
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// kustomize renders a folder as kubectl apply -k does.
func kustomize(dir string) ([]byte, error) {
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	return rendered.AsYaml()
}

func render(t *testing.T, components ...string) *manifests {
	t.Helper()
	rendered, err := kustomize(overlay(t, components...))
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(rendered)
	if err != nil {
		t.Fatalf("%v in\n%s", err, rendered)
	}
	return m
}

func components() []string { return []string{"ask-pool", "github-app", "monitoring", "start-jobs"} }

// Every set of components renders, and no file lies beside those that are rendered.
func TestRenders(t *testing.T) {
	all := components()
	for chosen := range 1 << len(all) {
		var set []string
		for i, c := range all {
			if chosen&(1<<i) != 0 {
				set = append(set, c)
			}
		}
		m := render(t, set...)
		if has := slices.Contains(set, "monitoring"); (len(m.monitors) == 1) != has {
			t.Errorf("%q: %d monitors", set, len(m.monitors))
		}
		if has := slices.Contains(set, "start-jobs"); (len(m.roles) == 1) != has || (len(m.bindings) == 1) != has {
			t.Errorf("%q: %d roles, %d bindings", set, len(m.roles), len(m.bindings))
		}
	}
	used := map[string]bool{}
	files := os.DirFS(filepath.Join(root(t), "config", "kubernetes"))
	dirs := []string{".", "pool", "pool/token-review"}
	for _, c := range all {
		dirs = append(dirs, path.Join("components", c))
	}
	used["pool/boskos-crds.yaml"] = true // by hand, where Boskos never was: an overlay must not own what is Boskos's
	for _, dir := range dirs {
		for _, name := range named(t, files, dir) {
			used[path.Join(dir, name)] = true
		}
	}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !used[name] {
			t.Errorf("no kustomization names %s", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// named lists the files that a kustomization reads, itself included.
func named(t *testing.T, files fs.FS, dir string) []string {
	t.Helper()
	content, err := fs.ReadFile(files, path.Join(dir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var k struct {
		Resources          []string
		ConfigMapGenerator []struct{ Files []string }
	}
	if err := yaml.Unmarshal(content, &k); err != nil {
		t.Fatal(err)
	}
	all := append(k.Resources, "kustomization.yaml")
	for _, g := range k.ConfigMapGenerator {
		all = append(all, g.Files...)
	}
	return all
}

// Nothing names a namespace, so that one command deploys into any; an overlay's reaches every object.
func TestNamespace(t *testing.T) {
	rendered, err := kustomize(filepath.Join(root(t), "config", "kubernetes"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(rendered, []byte("\n  namespace:")) {
		t.Errorf("a namespace in\n%s", rendered)
	}
	m := render(t, components()...)
	got := []string{m.account.Namespace, m.settings.Namespace, m.service.Namespace, m.set.Namespace}
	for _, p := range m.policies {
		got = append(got, p.Namespace)
	}
	for i := range m.roles {
		got = append(got, m.roles[i].Namespace, m.bindings[i].Namespace, m.bindings[i].Subjects[0].Namespace, m.monitors[i].Metadata.Namespace)
	}
	for i, n := range got {
		if n != namespace {
			t.Errorf("object %d is in %q", i, n)
		}
	}
}

// A misspelt field, a kind that nobody expects and a patch of a line that has moved do not pass unseen.
func TestMistakesShow(t *testing.T) {
	for _, c := range []struct{ file, old, replacement, want string }{
		{"statefulset.yaml", "readOnlyRootFilesystem", "readonlyRootFilesystem", "readonlyRootFilesystem"},
		{"statefulset.yaml", "replicas: 1", "replicas: one", "replicas"},
		{"networkpolicy.yaml", "podSelector:\n    matchLabels:\n      app: steward-hook", "podselector: {}", "podselector"},
		{"serviceaccount.yaml", "kind: ServiceAccount", "kind: ClusterRole", "ClusterRole"},
		{"statefulset.yaml", "            - --config=/etc/steward/steward.yaml\n", "", "test"},
		{"statefulset.yaml", "secretName: oauth-token", "secretName: other", "test"},
		{"kustomization.yaml", "  - service.yaml", "  - services.yaml", "services.yaml"},
	} {
		dir := overlay(t, components()...)
		file := filepath.Join(dir, "kubernetes", c.file)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(content), c.old) != 1 {
			t.Fatalf("%s: %q is not there once", c.file, c.old)
		}
		write(t, file, strings.Replace(string(content), c.old, c.replacement, 1))
		rendered, err := kustomize(dir)
		if err == nil {
			_, err = decode(rendered)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: %v, want %q", c.file, c.replacement, err, c.want)
		}
	}
}
