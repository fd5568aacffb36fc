// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/toolbin"
)

const (
	prowNamespace = "prow-test"
	elsewhere     = "elsewhere"
	theReport     = `{"schema": 1, "title": "audit", "commit": "0123456789abcdef0123456789abcdef01234567",
 "started": "2026-06-06T10:00:00Z", "ended": "2026-06-06T10:05:00Z", "complete": true, "counts": {},
 "coverage": [{"part": "dns", "units": 1, "read": 1, "objects": 4}], "findings": []}`
	reportJob = "periodic-steward-audit"
)

// prowCluster is an API server that knows ProwJobs as the pinned Prow defines them, with what config/kubernetes deploys of
// steward-hook's rights: its account, the Role and the binding.
type prowCluster struct {
	*apiserver.Cluster
	token string // of steward-hook's account
}

func startProwCluster(t *testing.T) *prowCluster {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	programs, _, err := toolbin.Build(t.Context(), root, "kube-apiserver")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", programs+string(filepath.ListSeparator)+os.Getenv("PATH"))
	c := &prowCluster{Cluster: apiserver.Start(t, prowJobDefinition(t, root))}
	client := c.Client(t)
	for _, name := range []string{prowNamespace, elsewhere} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.deploy(t, root, client)
	child.Within(t, "steward-hook's account may create ProwJobs", func() bool { return c.may(t, prowNamespace, "create", "prowjobs") })
	request, err := client.CoreV1().ServiceAccounts(prowNamespace).CreateToken(t.Context(), "steward-hook", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.token = request.Status.Token
	return c
}

// prowJobDefinition is the file of the pinned Prow that an administrator applies.
func prowJobDefinition(t *testing.T, root string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "sigs.k8s.io/prow")
	cmd.Dir, cmd.Stderr = filepath.Join(root, "tools", "prow"), &stderr
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		t.Fatalf("find Prow's source: %v: %s", err, stderr.Bytes())
	}
	return filepath.Join(module.Dir, "config", "prow", "cluster", "prowjob-crd", "prowjob_customresourcedefinition.yaml")
}

// deploy applies the rights that are shipped, as an overlay renders them, and nothing else.
func (c *prowCluster) deploy(t *testing.T, root string, client *kubernetes.Clientset) {
	t.Helper()
	dir := t.TempDir()
	err := os.CopyFS(filepath.Join(dir, "kubernetes"), os.DirFS(filepath.Join(root, "config", "kubernetes")))
	overlay := "namespace: " + prowNamespace + "\nresources: [kubernetes]\ncomponents: [kubernetes/components/start-jobs]\n"
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var account corev1.ServiceAccount
	var role rbacv1.Role
	var binding rbacv1.RoleBinding
	into := map[string]any{"ServiceAccount": &account, "Role": &role, "RoleBinding": &binding}
	for _, r := range all.Resources() {
		if into[r.GetKind()] == nil {
			continue
		}
		content, err := r.AsYAML()
		if err == nil {
			err = yaml.UnmarshalStrict(content, into[r.GetKind()])
		}
		if err != nil || r.GetNamespace() != prowNamespace {
			t.Fatalf("%s in %q: %v", r.GetKind(), r.GetNamespace(), err)
		}
		delete(into, r.GetKind())
	}
	if len(into) > 0 {
		t.Fatalf("not deployed: %v", into)
	}
	_, accountErr := client.CoreV1().ServiceAccounts(prowNamespace).Create(t.Context(), &account, metav1.CreateOptions{})
	_, roleErr := client.RbacV1().Roles(prowNamespace).Create(t.Context(), &role, metav1.CreateOptions{})
	_, bindingErr := client.RbacV1().RoleBindings(prowNamespace).Create(t.Context(), &binding, metav1.CreateOptions{})
	if err := errors.Join(accountErr, roleErr, bindingErr); err != nil {
		t.Fatal(err)
	}
}

// may asks the API server for a right of steward-hook's account.
func (c *prowCluster) may(t *testing.T, namespace, verb, resource string) bool {
	t.Helper()
	group := ""
	if resource == "prowjobs" {
		group = "prow.k8s.io"
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + prowNamespace + ":steward-hook",
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + prowNamespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource},
	}}
	answer, err := c.Client(t).AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Allowed
}

// jobs are the ProwJobs of a namespace, for who has a token; "" is the administrator.
func (c *prowCluster) jobs(t *testing.T, namespace, token string) dynamic.ResourceInterface {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	if token != "" {
		config.BearerToken = token
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(schema.GroupVersionResource{Group: "prow.k8s.io", Version: "v1", Resource: "prowjobs"}).Namespace(namespace)
}

// prowJob is a run of a periodic job as Prow's horologium makes it.
func prowJob(name, job, started string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "prow.k8s.io/v1", "kind": "ProwJob",
		"metadata": map[string]any{
			"name": name, "labels": map[string]any{
				"created-by-prow": "true", "prow.k8s.io/job": job, "prow.k8s.io/type": "periodic", "prow.k8s.io/id": name,
			},
			"annotations": map[string]any{"prow.k8s.io/job": job},
		},
		"spec": map[string]any{
			"type": "periodic", "agent": "kubernetes", "cluster": "default", "namespace": "test-pods", "job": job, "report": true,
			"decoration_config": map[string]any{"timeout": "2h0m0s", "gcs_credentials_secret": "service-account"},
			"extra_refs":        []any{map[string]any{"org": "kubernetes", "repo": "k8s.io", "base_ref": "main"}},
			"pod_spec":          map[string]any{"containers": []any{map[string]any{"name": "test", "image": "registry.example.org/steward", "args": []any{"audit"}}}},
		},
		"status": map[string]any{"state": "success", "startTime": started, "completionTime": started, "build_id": "1"},
	}}
}

// started runs a steward-hook that speaks to the cluster, lets somebody ask for the job, and returns the answer.
func (c *prowCluster) started(t *testing.T, g *github, namespace string, number int) string {
	t.Helper()
	dir := t.TempDir()
	report := filepath.Join(dir, "latest.json")
	if err := os.WriteFile(report, []byte(theReport), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	c.WriteKubeconfig(t, kubeconfig, namespace, c.token)
	s := startSteward(t, g, fmt.Sprintf("reconcile: 24h\nrepos:\n  %s:\n    plugins: [drift]\n    drift: {report: 'file://%s', job: %s, interval: 4h}\n", repo, report, reportJob),
		"--kubeconfig="+kubeconfig)
	s.reconcile()
	g.comment("alice", number, "/infra drift rerun")
	s.reconcile()
	s.noDeadLetters()
	s.stop()
	var said []string
	for _, one := range g.comments(repo, number) {
		if one.User.Login == bot {
			said = append(said, one.Body)
		}
	}
	return strings.Join(said, "\n")
}

// TestProwJobUnderTheShippedRole: what config/kubernetes lets steward-hook do is enough to start a job, on the API server of
// Kubernetes with Prow's own definition, and for nothing else.
func TestProwJobUnderTheShippedRole(t *testing.T) {
	c := startProwCluster(t)
	jobs := c.jobs(t, prowNamespace, "")
	for _, one := range []*unstructured.Unstructured{
		prowJob("older", reportJob, "2026-06-06T06:00:00Z"), prowJob("newest", reportJob, "2026-06-06T10:00:00Z"), prowJob("other", "periodic-other", "2026-06-06T11:00:00Z"),
	} {
		if _, err := jobs.Create(t.Context(), one, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g := startGitHub(t, small)
	if said := c.started(t, g, prowNamespace, 1); !strings.Contains(said, "`"+reportJob+"` is started") {
		t.Errorf("said %q", said)
	}
	made := c.made(t, jobs)
	if len(made) != 1 {
		t.Fatalf("%d runs were made", len(made))
	}
	old, err := jobs.Get(t.Context(), "newest", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encoded(t, made[0].Object["spec"]), encoded(t, old.Object["spec"]); got != want {
		t.Errorf("spec %s\nwant %s", got, want)
	}
	state, _, _ := unstructured.NestedString(made[0].Object, "status", "state")
	if labels := made[0].GetLabels(); state != "triggered" || labels["prow.k8s.io/job"] != reportJob || labels["prow.k8s.io/id"] != "" || labels["created-by-prow"] != "true" {
		t.Errorf("state %q, labels %v", state, labels)
	}
	if why := made[0].GetAnnotations()["steward.sigs.k8s.io/why"]; !strings.HasPrefix(why, "alice asked for it in "+repo+"#1") {
		t.Errorf("made because %q", why)
	}
	t.Run("a run is not started twice", func(t *testing.T) {
		said := c.started(t, g, prowNamespace, 1)
		if !strings.Contains(said, "was not started again") || len(c.made(t, jobs)) != 1 {
			t.Errorf("%d runs, said %q", len(c.made(t, jobs)), said)
		}
	})
	t.Run("elsewhere it is refused", func(t *testing.T) {
		if _, err := c.jobs(t, elsewhere, "").Create(t.Context(), prowJob("newest", reportJob, "2026-06-06T10:00:00Z"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		said := c.started(t, g, elsewhere, 2)
		if !strings.Contains(said, "Not started: steward-hook may not look for ProwJobs in the namespace "+elsewhere) {
			t.Errorf("said %q", said)
		}
		if n := len(c.made(t, c.jobs(t, elsewhere, ""))); n != 0 {
			t.Errorf("%d runs were made", n)
		}
	})
	t.Run("anything else is refused", func(t *testing.T) { c.refuses(t) })
}

// made are the runs that steward-hook created.
func (c *prowCluster) made(t *testing.T, jobs dynamic.ResourceInterface) []unstructured.Unstructured {
	t.Helper()
	all, err := jobs.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all.Items, func(o unstructured.Unstructured) bool { return !strings.HasPrefix(o.GetName(), "steward-") })
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// refuses tries with the token what the account may not do.
func (c *prowCluster) refuses(t *testing.T) {
	own, other := c.jobs(t, prowNamespace, c.token), c.jobs(t, elsewhere, c.token)
	patch := []byte(`{"status": {"state": "aborted"}}`)
	for name, try := range map[string]func(context.Context) error{
		"create elsewhere": func(ctx context.Context) error {
			_, err := other.Create(ctx, prowJob("steward-x", reportJob, "2026-06-06T12:00:00Z"), metav1.CreateOptions{})
			return err
		},
		"list elsewhere": func(ctx context.Context) error { _, err := other.List(ctx, metav1.ListOptions{}); return err },
		"delete":         func(ctx context.Context) error { return own.Delete(ctx, "newest", metav1.DeleteOptions{}) },
		"patch": func(ctx context.Context) error {
			_, err := own.Patch(ctx, "newest", types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		},
		"update": func(ctx context.Context) error {
			old, err := own.Get(ctx, "newest", metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("it may not even be read: %w", err)
			}
			_, err = own.Update(ctx, old, metav1.UpdateOptions{})
			return err
		},
		"watch": func(ctx context.Context) error { _, err := own.Watch(ctx, metav1.ListOptions{}); return err },
	} {
		if err := try(t.Context()); !apierrors.IsForbidden(err) || strings.Contains(err.Error(), "it may not even") {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	for _, resource := range []string{"secrets", "pods", "configmaps", "serviceaccounts"} {
		for _, verb := range []string{"get", "list", "create"} {
			if c.may(t, prowNamespace, verb, resource) {
				t.Errorf("steward-hook may %s %s", verb, resource)
			}
		}
	}
}
