// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/enclave"
	"sigs.k8s.io/steward/internal/leasekube"
)

// cluster has the definitions of Boskos and of Steward.
type cluster struct{ *apiserver.Cluster }

func startCluster(t testing.TB) *cluster {
	t.Helper()
	return &cluster{apiserver.Start(t, enclave.CRDs(), "../../config/kubernetes/pool/crds.yaml")}
}

// pool connects to a namespace, with the rights that config/kubernetes/pool gives. wrap may be nil.
func (c *cluster) pool(t testing.TB, namespace string, wait time.Duration, wrap func(http.RoundTripper) http.RoundTripper) *leasekube.Cluster {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.BearerToken, config.WrapTransport = c.account(t, namespace, "steward-pool"), wrap
	p, err := leasekube.Connect(leasekube.Options{Config: config, Namespace: namespace, Patience: wait, Say: silent()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// account returns a token of the account that config/kubernetes/pool ships, which has its role in a namespace.
func (c *cluster) account(t testing.TB, namespace, name string) string {
	t.Helper()
	client, d := c.Client(t), render(t)
	d.binding.Subjects[0].Namespace = namespace
	for _, o := range []metav1.Object{&d.account, &d.role, &d.binding} {
		o.SetNamespace(namespace)
	}
	_, err := client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &d.account, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err): // by another process of the test, with its rights
	case err != nil:
		t.Fatal(err)
	default:
		_, roleErr := client.RbacV1().Roles(namespace).Create(t.Context(), &d.role, metav1.CreateOptions{})
		_, bindingErr := client.RbacV1().RoleBindings(namespace).Create(t.Context(), &d.binding, metav1.CreateOptions{})
		if err := errors.Join(roleErr, bindingErr); err != nil {
			t.Fatal(err)
		}
		c.until(t, namespace, name, "get", "steward.k8s.io", "pools")
	}
	return c.token(t, namespace, name)
}

// until waits for a right: the API server takes a moment to know of a binding.
func (c *cluster) until(t testing.TB, namespace, account, verb, group, resource string) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + namespace + ":" + account,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource},
	}}
	client := c.Client(t)
	child.Within(t, account+" may "+verb+" "+resource, func() bool {
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed
	})
}

// token asks for one of a service account, for the API server or for audiences.
func (c *cluster) token(t testing.TB, namespace, account string, audiences ...string) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	made, err := c.Client(t).CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

// resources are the objects of a namespace.
func (c *cluster) resources(t testing.TB, namespace string) dynamic.ResourceInterface {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(schema.GroupVersionResource{Group: "boskos.k8s.io", Version: "v1", Resource: "resources"}).Namespace(namespace)
}

func silent() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}
