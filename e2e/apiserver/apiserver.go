// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver is the API server of Kubernetes, as pinned in tools/kube-apiserver, with an etcd in the process of the test.
//
// There are no controllers and no nodes: accounts get tokens, rights are checked, pods can be made and deleted, and nothing runs.
package apiserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	neturl "net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"sigs.k8s.io/steward/e2e/child"
)

// Cluster is an API server with its etcd.
type Cluster struct {
	Config     *rest.Config // of an administrator
	Kubeconfig string       // the same as a file, for other processes
	namespaces atomic.Int32
}

// adminToken is that of the administrator, on loopback and while the test runs.
const adminToken = "administrator"

// Start runs both until the test ends, with the definitions of some files. The program is on PATH (package enclave).
func Start(t testing.TB, files ...string) *Cluster {
	t.Helper()
	dir := t.TempDir()
	address := child.Loopback(child.FreePorts(t, 1)[0])
	_, port, _ := bytes.Cut([]byte(address), []byte(":"))
	key := filepath.Join(dir, "accounts.key")
	put(t, key, accountKey(t))
	tokens := filepath.Join(dir, "tokens.csv")
	put(t, tokens, []byte(adminToken+",admin,admin,system:masters\n"))
	p := child.Start(t, filepath.Join(dir, "log"), func([]byte) bool { return false }, "kube-apiserver",
		"--etcd-servers="+startEtcd(t), "--bind-address=127.0.0.1", "--secure-port="+string(port), "--cert-dir="+dir,
		"--endpoint-reconciler-type=none", "--advertise-address=192.0.2.1", "--service-cluster-ip-range=192.0.2.0/24",
		"--authorization-mode=RBAC", "--token-auth-file="+tokens, "--disable-admission-plugins=ServiceAccount",
		"--service-account-issuer=https://kubernetes.example", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--api-audiences=https://kubernetes.example")
	c := &Cluster{Kubeconfig: filepath.Join(dir, "kubeconfig"), Config: &rest.Config{
		Host: "https://" + address, BearerToken: adminToken, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "apiserver.crt")},
	}}
	child.Within(t, "the API server is ready", func() bool {
		select {
		case <-p.Exited:
			t.Fatalf("the API server ended: %v\n%s", p.Failed, p.Tail())
		default:
		}
		return c.ready(t.Context())
	})
	c.WriteKubeconfig(t, c.Kubeconfig, "", adminToken)
	for _, file := range files {
		c.apply(t, file)
	}
	return c
}

func put(t testing.TB, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// accountKey signs the tokens of service accounts.
func accountKey(t testing.TB) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func (c *Cluster) ready(ctx context.Context) bool {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return false // its certificate is not there yet
	}
	_, err = client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err == nil
}

// Client speaks as the administrator.
func (c *Cluster) Client(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// WriteKubeconfig writes a file for who has a token.
func (c *Cluster) WriteKubeconfig(t testing.TB, file, namespace, token string) {
	t.Helper()
	config := clientcmdapi.Config{
		CurrentContext: "test",
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test", Namespace: namespace}},
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: c.Config.Host, CertificateAuthority: c.Config.CAFile}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"test": {Token: token}},
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		t.Fatal(err)
	}
}

// Namespace makes one that nothing has used, and returns its name.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	name := fmt.Sprint("pool-", c.namespaces.Add(1))
	_, err := c.Client(t).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

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
