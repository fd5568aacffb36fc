// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/signing"
	"sigs.k8s.io/steward/internal/wire/cli"
)

const (
	signedMirror   = "us-docker.pkg.dev/prod/images"
	wantSignatures = "1 1 1, 1 1 0, 1 1 0" // as signatures counts them; a record is of the index
	phaseRequests  = 84                    // of a run that nothing disturbs
)

// unsignedProduction is an image of two platforms that is in production, and lacks all that the phases behind the copy make.
type unsignedProduction struct {
	*registries
	dir     string
	digests []string // the index, then its images
	bucket  string
	args    []string
}

// produce puts it into a registry whose lists tell digests.
func produce(t *testing.T) *unsignedProduction {
	t.Helper()
	u := &unsignedProduction{registries: newRegistries(), dir: t.TempDir(), bucket: t.TempDir()}
	t.Cleanup(u.server.Close)
	digest, err := u.push(signedMirror+"/tool", 1, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.push("us-docker.pkg.dev/staging/tools/tool", 1); err != nil { // so that a record can say where it is from
		t.Fatal(err)
	}
	index, err := image(1)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	u.digests = []string{digest}
	for _, m := range list.Manifests {
		u.digests = append(u.digests, m.Digest.String())
	}
	if err := keyPair(filepath.Join(u.dir, "prod")); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		"OWNERS": "approvers: [alice]\n",
		"registry.k8s.io/manifests/tools/promoter-manifest.yaml": "registries:\n- {name: us-docker.pkg.dev/staging/tools, src: true}\n- name: " + signedMirror + "\n",
		"registry.k8s.io/images/tools/images.yaml":               fmt.Sprintf("- name: tool\n  dmap:\n    %q: [v1]\n", digest),
		"steward.yaml": fmt.Sprintf("repos: {acme/infra: {}}\npromotion:\n  signing: {key: %s, reference: registry.example.org}\n  blobs: [\"file://%s\"]\n",
			filepath.Join(u.dir, "prod.key"), u.bucket),
	} {
		path = filepath.Join(u.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, content)
	}
	for _, line := range []string{"init -q -b main", "add -A", "-c user.name=t -c user.email=t@example.com commit -q -m all"} {
		if out, err := exec.Command("git", append([]string{"-C", u.dir}, strings.Fields(line)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	u.args = []string{"promote", "run", "--confirm", "--repair", "--rate=10000", "--lock-for=3s", "--artifacts=", "--dir=" + u.dir,
		"--config=" + filepath.Join(u.dir, "steward.yaml"), "--state=file://" + t.TempDir(), "--registry=*=" + u.address()}
	return u
}

// run runs the command in this process, and returns its exit code.
func (u *unsignedProduction) run(ctx context.Context, t *testing.T) (code int, out string) {
	t.Helper()
	var text bytes.Buffer
	cmd := cli.Command()
	cmd.SetArgs(u.args)
	cmd.SetOut(&text)
	cmd.SetErr(&text)
	err := cmd.ExecuteContext(ctx)
	var exit *job.Exit
	switch {
	case errors.As(err, &exit):
		return exit.Code, text.String()
	case err != nil:
		return job.Failed, text.String() + err.Error()
	}
	return 0, text.String()
}

// signatures counts, for each digest, signatures of the old layout, bundles of signatures, and records of promotion. What is
// under the tag for signatures has to be ours, and whole.
func (u *unsignedProduction) signatures(t *testing.T) (counts []string) {
	t.Helper()
	reg, err := client(u.registries)
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(u.dir, "prod.pub"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := signing.ByKey(string(public))
	if err != nil {
		t.Fatal(err)
	}
	for _, digest := range u.digests {
		old, err := attest.Signatures(t.Context(), reg, signedMirror+"/tool", digest)
		if err != nil {
			t.Errorf("signatures of %s: %v", digest, err)
		}
		for _, s := range old {
			if _, err := v.Signature(s.Payload, s.Signature); err != nil {
				t.Errorf("a signature of %s: %v", digest, err)
			}
		}
		bundles, err := attest.Bundles(t.Context(), reg, signedMirror+"/tool", digest)
		if err != nil {
			t.Errorf("bundles of %s: %v", digest, err)
		}
		kinds := map[string]int{}
		for _, raw := range bundles {
			said, _, err := v.Bundle(raw, digest)
			if err != nil {
				t.Errorf("a bundle of %s: %v", digest, err)
			}
			kind, err := attest.KindOf(said, digest)
			if err != nil {
				t.Errorf("a bundle of %s: %v", digest, err)
			}
			kinds[kind]++
		}
		counts = append(counts, fmt.Sprint(len(old), kinds[attest.SignatureType], kinds[attest.PromotionType]))
	}
	return counts
}

// whole wants every file of the bucket to be what its name says, and a record of the image if done says so.
func (u *unsignedProduction) whole(t *testing.T, done bool) {
	t.Helper()
	for _, folder := range []string{"containers/images", "geranos/uploaded-images"} {
		files, err := os.ReadDir(filepath.Join(u.bucket, folder))
		if err != nil && done {
			t.Error(err)
		}
		for _, f := range files {
			content, err := os.ReadFile(filepath.Join(u.bucket, folder, f.Name()))
			if err != nil || manifest.DigestOf(content) != f.Name() {
				t.Errorf("%s/%s is no such thing: %v", folder, f.Name(), err)
			}
		}
	}
	for _, digest := range u.digests {
		if _, err := os.Stat(filepath.Join(u.bucket, "geranos/uploaded-images", digest)); err != nil && done {
			t.Error(err)
		}
	}
}

// TestPhaseFaults (SIGN-1, SIGN-5, SIGN-6, PR-28): whichever request of a run that signs, attests and brings blobs fails, with
// or without effect, the next run does what is left, and nothing twice.
func TestPhaseFaults(t *testing.T) {
	clean := produce(t)
	clean.heal()
	if code, out := clean.run(t.Context(), t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	asked := clean.fake.Faults.Requests()
	if got := strings.Join(clean.signatures(t), ", "); got != wantSignatures {
		t.Fatalf("the clean run leaves %s", got)
	}
	clean.whole(t, true)
	if len(asked) != phaseRequests {
		t.Errorf("%d requests, not %d", len(asked), phaseRequests)
	}
	for n, request := range asked {
		rules := []fault.Rule{{Nth: n + 1, Action: "status", Status: http.StatusBadRequest}}
		if request.Method != http.MethodGet && request.Method != http.MethodHead {
			rules = append(rules, fault.Rule{Nth: n + 1, Action: "status", Status: http.StatusForbidden, After: true})
		}
		for _, rule := range rules {
			t.Run(fmt.Sprintf("%d %s after=%v", n+1, request.Method, rule.After), func(t *testing.T) {
				u := produce(t)
				u.heal()
				if err := u.fake.Faults.Inject(rule); err != nil {
					t.Fatal(err)
				}
				first, out := u.run(t.Context(), t)
				if first != 0 && first != job.Incomplete {
					t.Errorf("%s %s: exit code %d:\n%s", request.Method, request.Path, first, out)
				}
				u.heal()
				u.whole(t, false)
				if code, again := u.run(t.Context(), t); code != 0 {
					t.Errorf("%s %s: exit code %d, then %d:\n%s\n%s", request.Method, request.Path, first, code, out, again)
				}
				if got := strings.Join(u.signatures(t), ", "); got != wantSignatures {
					t.Errorf("%s %s: %s", request.Method, request.Path, got)
				}
				u.whole(t, true)
			})
		}
	}
}

// TestPhaseKill: the same where kill -9 ends a run at any of its requests.
func TestPhaseKill(t *testing.T) {
	for n := 1; n <= phaseRequests; n += 5 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			u := produce(t)
			u.heal()
			reached := u.waitFor(t.Context(), n)
			cmd := exec.Command("steward", u.args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-reached:
			case err := <-ended: // it was faster than we
				if err != nil {
					t.Fatal(err)
				}
				ended <- nil
			}
			_ = cmd.Process.Kill()
			<-ended
			u.heal()
			u.whole(t, false)
			if code, out := u.run(t.Context(), t); code != 0 {
				t.Errorf("exit code %d:\n%s", code, out)
			}
			if got := strings.Join(u.signatures(t), ", "); got != wantSignatures {
				t.Error(got)
			}
			u.whole(t, true)
		})
	}
}
