// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/enclave"
	"sigs.k8s.io/steward/internal/leasekube"
)

// cluster has the definitions of Boskos, of Steward, and of a Lease, which another server has in a real cluster.
type cluster struct{ *apiserver.Cluster }

func startCluster(t testing.TB) *cluster {
	t.Helper()
	return &cluster{apiserver.Start(t, enclave.CRDs(), "../../config/kubernetes/pool/crds.yaml", "testdata/lease.yaml")}
}

// pool connects to a namespace. wrap may be nil.
func (c *cluster) pool(t testing.TB, namespace string, wait time.Duration, wrap func(http.RoundTripper) http.RoundTripper) *leasekube.Cluster {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.WrapTransport = wrap
	p, err := leasekube.Connect(leasekube.Options{Config: config, Namespace: namespace, Patience: wait, Say: silent()})
	if err != nil {
		t.Fatal(err)
	}
	return p
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
