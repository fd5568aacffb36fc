// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"sigs.k8s.io/steward/e2e/child"
)

// Callers are known by tokens of their service accounts, as the API server reviews them, and the lease of one that is bound to
// a pod ends with the pod. The pool has the rights that config/kubernetes/pool with its component token-review gives.
func TestTokensAndPods(t *testing.T) {
	c := startCluster(t)
	namespace := c.Namespace(t)
	c.account(t, namespace, "steward-pool")
	c.mayReview(t, namespace)
	client := c.Client(t)
	for _, name := range []string{"tester", "leaver"} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pod, err := client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "test"},
		Spec:       corev1.PodSpec{ServiceAccountName: "tester", Containers: []corev1.Container{{Name: "test", Image: "registry.example.org/test"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left := c.token(t, namespace, "leaver", "steward-pool")
	if err := client.CoreV1().ServiceAccounts(namespace).Delete(t.Context(), "leaver", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	pool := startPool(t, c, namespace, "pool-0", "--token-review", "--require-auth", "--pods-namespace="+namespace)

	for what, token := range map[string]string{
		"none": "", "no token": "nonsense", "a token for the API server": c.token(t, namespace, "tester"), "a token of who has left": left,
	} {
		if status, body := pool.lease(t, token); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	bound, status, body := c.tokenOf(t, pod), 0, ""
	child.Within(t, "the pool is served", func() bool {
		status, body = pool.lease(t, bound)
		return status != http.StatusServiceUnavailable
	})
	var got struct{ Leases []struct{ Resource string } }
	if err := json.Unmarshal([]byte(body), &got); status != http.StatusOK || err != nil || len(got.Leases) != 1 {
		t.Fatalf("a token of a pod: %d %s, %v", status, body, err)
	}
	if status, body := pool.lease(t, c.token(t, namespace, "tester", "steward-pool")); status != http.StatusOK {
		t.Errorf("a token of an account: %d %s", status, body)
	}
	now := int64(0)
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	child.Within(t, "the lease ends with the pod", func() bool {
		r, err := c.resources(t, namespace).Get(t.Context(), got.Leases[0].Resource, metav1.GetOptions{})
		state, _ := r.Object["status"].(map[string]any)
		return err == nil && state["state"] == "dirty"
	})
	list, err := c.resources(t, namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(encode(t, list), `"state":"busy"`) {
		t.Error("the lease that is bound to no pod ended too")
	}
}

// mayReview gives the pool's account what the component gives it.
func (c *cluster) mayReview(t *testing.T, namespace string) {
	t.Helper()
	dir := t.TempDir()
	base, err := filepath.Abs("../../config/kubernetes/pool")
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(dir, base)
	if err != nil {
		t.Fatal(err)
	}
	overlay := fmt.Sprintf("namespace: %s\nresources: [%s]\ncomponents: [%[2]s/token-review]\n", namespace, relative)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range all.Resources() {
		content, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetKind() == "StatefulSet" && !strings.Contains(string(content), "- --token-review") {
			t.Errorf("the component does not ask for reviews:\n%s", content)
		}
		if r.GetKind() != "ClusterRoleBinding" {
			continue
		}
		found = true
		var binding rbacv1.ClusterRoleBinding
		if err := yaml.UnmarshalStrict(content, &binding); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Client(t).RbacV1().ClusterRoleBindings().Create(t.Context(), &binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatal("the component binds nothing")
	}
	c.until(t, namespace, "steward-pool", "create", "authentication.k8s.io", "tokenreviews")
}

// tokenOf asks for a token that is bound to a pod, as its kubelet does.
func (c *cluster) tokenOf(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:      []string{"steward-pool"},
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	made, err := c.Client(t).CoreV1().ServiceAccounts(pod.Namespace).CreateToken(t.Context(), pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

// lease asks for one with a bearer token.
func (b *server) lease(t *testing.T, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/leases", strings.NewReader(`{"owner":"test","wants":[{"type":"project","count":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}
