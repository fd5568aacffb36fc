// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver is as much of Kubernetes as a pool needs: the API server of custom resources and its etcd, both in the
// process of the test.
package apiserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apiextensions-apiserver/test/integration/fixtures"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"

	"sigs.k8s.io/steward/e2e/child"
)

// Cluster is an API server of custom resources with its etcd.
type Cluster struct {
	Config     *rest.Config
	Kubeconfig string // file, for other processes
	namespaces atomic.Int32
}

// Start runs both in this process until the test ends, with the definitions of some files. No test that does so may be parallel.
func Start(t testing.TB, files ...string) *Cluster {
	t.Helper()
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	t.Setenv("KUBE_INTEGRATION_ETCD_URL", startEtcd(t))
	stop, config, _, err := fixtures.StartDefaultServer(quiet{t})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	config.QPS = -1
	c := &Cluster{Config: config, Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := clientcmd.WriteToFile(access(discoverable(t, config)), c.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		c.apply(t, file)
	}
	return c
}

// Namespace returns the name of one that nothing has used. There is no admission that would want it created.
func (c *Cluster) Namespace() string { return fmt.Sprint("pool-", c.namespaces.Add(1)) }

func startEtcd(t testing.TB) string {
	t.Helper()
	config := embed.NewConfig()
	config.Dir, config.LogLevel = t.TempDir(), "panic"
	ports := child.FreePorts(t, 2)
	client, peer := neturl.URL{Scheme: "http", Host: child.Loopback(ports[0])}, neturl.URL{Scheme: "http", Host: child.Loopback(ports[1])}
	config.ListenClientUrls, config.AdvertiseClientUrls = []neturl.URL{client}, []neturl.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []neturl.URL{peer}, []neturl.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		t.Fatal(err)
	case <-time.After(child.Patience):
		t.Fatal("etcd is not ready")
	}
	return client.String()
}

// discoverable puts a server in front that knows the groups: in a real cluster another one does that, and Boskos asks for
// them before anything else.
func discoverable(t testing.TB, config *rest.Config) (url string) {
	t.Helper()
	target, err := neturl.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // a watch that ends with the test
	if proxy.Transport, err = rest.TransportFor(config); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind": "APIVersions", "versions": []}`)
	})
	mux.HandleFunc("GET /apis", func(w http.ResponseWriter, _ *http.Request) {
		const version = `{"groupVersion": "boskos.k8s.io/v1", "version": "v1"}`
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [
			{"name": "boskos.k8s.io", "versions": [%s], "preferredVersion": %[1]s}]}`, version)
	})
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	t.Cleanup(front.CloseClientConnections)
	return front.URL
}

func access(url string) clientcmdapi.Config {
	return clientcmdapi.Config{
		CurrentContext: "test",
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: url}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"test": {}},
	}
}

// apply creates the definitions of a file and waits until they are served.
func (c *Cluster) apply(t testing.TB, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientset.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	definitions := client.ApiextensionsV1().CustomResourceDefinitions()
	for dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		var crd apiextensions.CustomResourceDefinition
		if err := dec.Decode(&crd); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := definitions.Create(t.Context(), &crd, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		child.Within(t, "definition "+crd.Name+" is served", func() bool {
			got, err := definitions.Get(t.Context(), crd.Name, metav1.GetOptions{})
			return err == nil && established(got) && c.served(t, got)
		})
	}
}

// served tells whether objects of a definition can be listed: shortly after it is established they cannot be yet.
func (c *Cluster) served(t testing.TB, crd *apiextensions.CustomResourceDefinition) bool {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	kind := schema.GroupVersionResource{Group: crd.Spec.Group, Version: crd.Spec.Versions[0].Name, Resource: crd.Spec.Names.Plural}
	_, err = client.Resource(kind).Namespace("default").List(t.Context(), metav1.ListOptions{})
	return err == nil
}

func established(crd *apiextensions.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensions.Established && c.Status == apiextensions.ConditionTrue {
			return true
		}
	}
	return false
}

// quiet keeps the news of the API server out of a test's log.
type quiet struct{ testing.TB }

func (quiet) Logf(string, ...any) {}
