// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package files runs the suite of filestore.Store on servers that speak the protocols of Cloud Storage and S3, through the
// clients of their makers: an emulator, and versitygw, which checks signatures and checksums.
package files

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/fsouza/fake-gcs-server/fakestorage"
	"google.golang.org/api/option"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/filestore/filestoretest"
	"sigs.k8s.io/steward/internal/gcs"
	"sigs.k8s.io/steward/internal/s3"
)

func TestCloudStorage(t *testing.T) {
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Stop)
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "example-files"})
	server := httptest.NewServer(fake.HTTPHandler())
	t.Cleanup(server.Close)
	filestoretest.Run(t, func(t *testing.T) filestore.Store {
		f, err := gcs.OpenFiles(t.Context(), "example-files", t.Name(), option.WithEndpoint(server.URL+"/storage/v1/"), option.WithoutAuthentication())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	})
}

// The credential of the gateway.
const key, secret = "example", "example-secret"

// gateway runs versitygw with some buckets, points the environment at it, and returns its address.
func gateway(t testing.TB, buckets ...string) (address string) {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin, _, err := toolbin.Build(t.Context(), root, "versitygw")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, sub := range []string{"data", "iam"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	address = child.Loopback(child.FreePorts(t, 1)[0])
	t.Setenv("ROOT_ACCESS_KEY", key)
	t.Setenv("ROOT_SECRET_KEY", secret)
	p := child.Start(t, filepath.Join(dir, "log"), func([]byte) bool { return true }, filepath.Join(bin, "versitygw"),
		"--port", address, "--iam-dir", filepath.Join(dir, "iam"), "--health", "/health", "posix", "--sidecar", filepath.Join(dir, "iam"), filepath.Join(dir, "data"))
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": "http://" + address, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	child.Within(t, "versitygw answers", func() bool {
		select {
		case <-p.Exited:
			t.Fatalf("versitygw has ended:\n%s", p.Tail())
		default:
		}
		resp, err := http.Get("http://" + address + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	client := awss3.New(awss3.Options{
		BaseEndpoint: aws.String("http://" + address), UsePathStyle: true, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
	})
	for _, bucket := range buckets {
		if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	return address
}

func TestS3(t *testing.T) {
	gateway(t, "example-files")
	filestoretest.Run(t, func(t *testing.T) filestore.Store {
		f, err := s3.Open(t.Context(), "example-files", strings.ToLower(t.Name()))
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	// Without the right key nothing is said but that it was refused.
	f, err := s3.Open(t.Context(), "example-files", "x", config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("example", "wrong", "")))
	if err != nil {
		t.Fatal(err)
	}
	if err := filestoretest.Put(t.Context(), f, "a", "", []byte("a")); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v", err)
	}
}
