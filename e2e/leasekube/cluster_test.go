// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
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

	"sigs.k8s.io/steward/internal/leasekube"
)

// cluster is as much of Kubernetes as a pool needs: the API server of custom resources with its etcd, and the definitions of
// Boskos, of Steward, and of a Lease, which another server has in a real cluster.
type cluster struct {
	config     *rest.Config
	kubeconfig string // file, for other processes
	namespaces atomic.Int32
}

func startCluster(t testing.TB) *cluster {
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
	c := &cluster{config: config, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := clientcmd.WriteToFile(access(discoverable(t, config)), c.kubeconfig); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{os.Getenv(crds), "../../config/kubernetes/pool/crds.yaml", "testdata/lease.yaml"} {
		c.apply(t, file)
	}
	return c
}

// namespace returns the name of one that nothing has used. There is no admission that would want it created.
func (c *cluster) namespace() string { return fmt.Sprint("pool-", c.namespaces.Add(1)) }

// pool connects to a namespace. wrap may be nil.
func (c *cluster) pool(t testing.TB, namespace string, wait time.Duration, wrap func(http.RoundTripper) http.RoundTripper) *leasekube.Cluster {
	t.Helper()
	config := rest.CopyConfig(c.config)
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
	client, err := dynamic.NewForConfig(c.config)
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

func startEtcd(t testing.TB) string {
	t.Helper()
	config := embed.NewConfig()
	config.Dir, config.LogLevel = t.TempDir(), "panic"
	ports := freePorts(t, 2)
	client, peer := neturl.URL{Scheme: "http", Host: loopback(ports[0])}, neturl.URL{Scheme: "http", Host: loopback(ports[1])}
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
	case <-time.After(patience):
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
func (c *cluster) apply(t testing.TB, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientset.NewForConfig(c.config)
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
		within(t, "definition "+crd.Name+" is served", func() bool {
			got, err := definitions.Get(t.Context(), crd.Name, metav1.GetOptions{})
			return err == nil && established(got) && c.served(t, got)
		})
	}
}

// served tells whether objects of a definition can be listed: shortly after it is established they cannot be yet.
func (c *cluster) served(t testing.TB, crd *apiextensions.CustomResourceDefinition) bool {
	t.Helper()
	client, err := dynamic.NewForConfig(c.config)
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

// within waits for something that goes on elsewhere.
func within(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !done(); {
		select {
		case <-late:
			t.Fatalf("not after %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// freePorts returns ports that nothing listened on a moment ago.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// quiet keeps the news of the API server out of a test's log.
type quiet struct{ testing.TB }

func (quiet) Logf(string, ...any) {}
