// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/registry"
)

// methods counts the requests of a server.
func methods(s *server, path string) map[string]int {
	n := map[string]int{}
	for _, q := range s.Requests() {
		if strings.Contains(q.Path, path) {
			n[q.Method]++
		}
	}
	return n
}

// CP-4: a new repository is not asked for anything before it is filled, and for its tag before that is put; each blob and
// manifest is put once.
func TestRequestsOfANewRepository(t *testing.T) {
	w := newWorld(t)
	targets := w.jobs[0].Targets[:1]
	targets[0].Known.New = true
	w.jobs[0].Targets = targets
	clean(t, w.copy(t, time.Minute))
	if n := methods(w.one, "/blobs/"); n["HEAD"] > 0 || n["POST"] != 4 || n["PUT"] > 0 {
		t.Errorf("blobs: %v", n)
	}
	if n := methods(w.one, "/manifests/"); n["PUT"] != 3 || n["HEAD"] != 2 || n["GET"] != 1 { // a 404 is read, and the tag asked for in the end
		t.Errorf("manifests: %v", n)
	}
}

// CP-8: a tag that stands for something else is left alone, known or asked.
func TestTagMove(t *testing.T) {
	for _, name := range []string{"asked", "known", "new when it was listed"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			target := &w.jobs[0].Targets[0]
			other, _ := index(t, target.Repository, 1, 1, 100)
			target.Tags = []string{"v1", "built"}
			switch name {
			case "known":
				target.Known = copier.Known{Tags: map[string]string{"built": other}, Digests: map[string]string{other: ""}}
			case "new when it was listed":
				target.Known = copier.Known{New: true}
			}
			w.heal()
			for i, o := range w.copy(t, time.Minute) {
				switch {
				case i > 0 && o.Err != nil:
					t.Errorf("target %d: %v", i, o.Err)
				case i == 0 && (!errors.Is(o.Err, copier.ErrTagMove) || !strings.Contains(o.Err.Error(), other) || !strings.Contains(o.Err.Error(), w.digest)):
					t.Errorf("the moved tag: %v", o.Err)
				}
			}
			whole(t, target.Repository+":built", other)
		})
	}
}

// CP-8: two images of one copy that are to get one tag.
func TestTwoImagesForOneTag(t *testing.T) {
	w := newWorld(t)
	other, _ := index(t, w.from.at+"/staging/other", 1, 1, 100)
	w.jobs = append(w.jobs, copier.Job{Source: w.from.at + "/staging/other", Digest: other, Targets: w.jobs[0].Targets[:1]})
	outcomes := w.copy(t, time.Minute)
	if a, b := outcomes[0].Err, outcomes[4].Err; errors.Is(a, copier.ErrTagMove) == errors.Is(b, copier.ErrTagMove) {
		t.Errorf("%v, %v", a, b)
	}
}

// CP-5: what a list knows is not sent again; an image that is there gets its tag, even where
// the source has lost it.
func TestTagOfAKnownImage(t *testing.T) {
	w := newWorld(t)
	clean(t, w.copy(t, time.Minute))
	w.heal()
	w.jobs[0].Targets = w.jobs[0].Targets[:1]
	target := &w.jobs[0].Targets[0]
	target.Tags = []string{"v1", "v2"}
	target.Known = copier.Known{Tags: map[string]string{"v1": w.digest}, Digests: map[string]string{w.digest: ""}}
	clean(t, w.copy(t, time.Minute))
	if n := methods(w.one, "/"); n["PUT"] != 1 || n["POST"] > 0 || n["HEAD"] != 3 { // v2 before it is put, and both in the end
		t.Errorf("%v", n)
	}
	w.heal()
	w.jobs[0].Source = w.from.at + "/staging/none"
	target.Tags = []string{"v3"}
	clean(t, w.copy(t, time.Minute))
	whole(t, target.Repository+":v3", w.digest)
	target.Known, target.Repository = copier.Known{New: true}, w.one.at+"/prod/new"
	if o := w.copy(t, time.Minute)[0]; o.Err == nil {
		t.Error("an image that is nowhere was copied")
	}
}

// attach puts a referrer and a signature under a tag beside an image.
func attach(t *testing.T, repository, digest string) (referrer, signature string) {
	t.Helper()
	repo, err := name.NewRepository(repository)
	must(t, err)
	subject, err := remote.Get(repo.Digest(digest))
	must(t, err)
	make := func() v1.Image {
		img, err := random.Image(500, 1)
		must(t, err)
		return img
	}
	ref := mutate.Subject(make(), subject.Descriptor).(v1.Image) //nolint:forcetypeassert // as it is made
	of := func(i v1.Image) string {
		h, err := i.Digest()
		must(t, err)
		return h.String()
	}
	must(t, remote.Write(repo.Digest(of(ref)), ref))
	sig := make()
	must(t, remote.Write(repo.Tag(strings.Replace(digest, ":", "-", 1)+".sig"), sig))
	return of(ref), of(sig)
}

// CP-10: referrers and digest tags come along, those of what they are attached to included,
// to a registry with a list of referrers and to one without.
func TestAttached(t *testing.T) {
	w := newWorld(t)
	source := w.jobs[0].Source
	referrer, signature := attach(t, source, w.digest)
	attestation, _ := attach(t, source, signature)
	plain := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer plain.Close()
	none := strings.TrimPrefix(plain.URL, "http://") + "/prod/pause"
	w.jobs[0].Targets = append(w.jobs[0].Targets[:1], copier.Target{Repository: none, Tags: []string{"v1"}})
	for range 2 {
		clean(t, w.copy(t, time.Minute))
	}
	r := client(t, nil)
	for _, target := range w.jobs[0].Targets {
		for subject, want := range map[string]string{w.digest: referrer, signature: attestation} {
			got, err := r.Referrers(t.Context(), target.Repository, subject)
			if err != nil || !slices.Equal(got, []string{want}) {
				t.Errorf("%s: referrers %v, %v", target.Repository, got, err)
			}
		}
		tag := strings.Replace(w.digest, ":", "-", 1) + ".sig"
		if got, err := r.Resolve(t.Context(), target.Repository, tag); err != nil || got != signature {
			t.Errorf("%s: signature %v, %v", target.Repository, got, err)
		}
	}
}

// CP-10: what is attached is there before the tag is: a copy that stops leaves nothing for
// the next to overlook.
func TestAttachedBeforeTheTag(t *testing.T) {
	w := newWorld(t)
	_, signature := attach(t, w.jobs[0].Source, w.digest)
	w.jobs[0].Targets = w.jobs[0].Targets[:1]
	must(t, w.one.Inject(fault.Rule{Method: "PUT", Path: `\.sig$`, Action: "status", Status: 403}))
	if o := w.copy(t, time.Minute)[0]; o.Err == nil {
		t.Error("copied without its signature")
	}
	r := client(t, nil)
	if got, err := r.Resolve(t.Context(), w.jobs[0].Targets[0].Repository, "v1"); err == nil {
		t.Errorf("the tag stands for %s, whose signature %s is missing", got, signature)
	}
}

// CP-11: a host that fails is given up; the others are finished.
func TestGivenUp(t *testing.T) {
	w := newWorld(t)
	must(t, w.two.Inject(fault.Rule{Method: "PUT", Action: "status", Status: 503}, fault.Rule{Method: "POST", Action: "status", Status: 503}))
	job := w.jobs[0]
	for range 10 {
		w.jobs = append(w.jobs, copier.Job{Source: job.Source, Digest: job.Digest, Targets: job.Targets[2:]})
	}
	given := 0
	for _, o := range w.copy(t, time.Minute) {
		host := w.jobs[o.Job].Targets[o.Target].Repository
		switch {
		case strings.HasPrefix(host, w.one.at):
			if o.Err != nil {
				t.Error(o.Err)
			}
		case o.Err == nil:
			t.Errorf("%s was written", host)
		case errors.Is(o.Err, copier.ErrGivenUp):
			given++
			if !strings.Contains(o.Err.Error(), "503") {
				t.Errorf("it does not say why: %v", o.Err)
			}
		}
	}
	if given < 8 {
		t.Errorf("given up for %d of 22 targets", given)
	}
}

// CP-11: a host that never answers holds up no other.
func TestSlowHost(t *testing.T) {
	w := newWorld(t)
	must(t, w.two.Inject(fault.Rule{Method: "POST", Action: "hang"}))
	for range 20 { // more than are on their way to one host at once
		w.jobs = append(w.jobs, w.jobs[0])
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := 2 * len(w.jobs)
	r := client(t, func(o *registry.Options) { o.HTTP.Timeout = time.Hour })
	outcomes := copier.New(r, r, copier.Options{Dir: t.TempDir()}).Copy(ctx, w.jobs, func(copier.Event) {
		if left--; left == 0 {
			cancel()
		}
	})
	for _, o := range outcomes {
		fast := strings.HasPrefix(w.jobs[o.Job].Targets[o.Target].Repository, w.one.at)
		if fast && o.Err != nil || !fast && !errors.Is(o.Err, context.Canceled) {
			t.Errorf("job %d target %d: %v", o.Job, o.Target, o.Err)
		}
	}
}

// CP-3: the spool keeps to its room, and what does not fit is said.
func TestSpool(t *testing.T) {
	from := serve(t)
	digest, _ := index(t, from.at+"/s/a", 6, 3, 300_000)
	r := client(t, nil)
	job := func() ([]copier.Job, string) {
		at := serve(t).at + "/p/a"
		return []copier.Job{{Source: from.at + "/s/a", Digest: digest, Targets: []copier.Target{{Repository: at, Tags: []string{"v1"}}}}}, at
	}
	for name, opts := range map[string]copier.Options{
		"files":  {Spool: 400_000, Memory: 1},
		"memory": {Spool: 400_000},
		"one":    {Spool: 400_000, Memory: 1, PerHost: 1, Downloads: 1},
	} {
		opts.Dir = t.TempDir()
		jobs, at := job()
		for _, o := range copier.New(r, r, opts).Copy(t.Context(), jobs, nil) {
			if o.Err != nil || o.Uploaded != 24 {
				t.Errorf("%s: %+v", name, o)
			}
		}
		whole(t, at+":v1", digest)
		if left, err := os.ReadDir(opts.Dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	jobs, _ := job()
	if o := copier.New(r, r, copier.Options{Dir: t.TempDir(), Spool: 200_000}).Copy(t.Context(), jobs, nil)[0]; o.Err == nil || !strings.Contains(o.Err.Error(), "larger than the spool") {
		t.Errorf("%v", o.Err)
	}
	if o := copier.New(r, r, copier.Options{Dir: "/dev/null"}).Copy(t.Context(), jobs, nil)[0]; o.Err == nil || !strings.Contains(o.Err.Error(), "spool") {
		t.Errorf("%v", o.Err)
	}
}

// lying changes the bytes of every blob that a server gives away.
type lying struct {
	http.ResponseWriter
	do func([]byte) []byte
}

func (l lying) Write(p []byte) (int, error) {
	if _, err := l.ResponseWriter.Write(l.do(bytes.Clone(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CP-6: bytes that are not what they should be end in no blob and no tag.
func TestLyingSource(t *testing.T) {
	for name, do := range map[string]func([]byte) []byte{
		"other": func(p []byte) []byte { p[len(p)-1]++; return p },
		"less":  func(p []byte) []byte { return p[:len(p)-1] },
		"more":  func(p []byte) []byte { return append(p, 'x') },
	} {
		t.Run(name, func(t *testing.T) {
			from := serve(t)
			digest, _ := index(t, from.at+"/s/a", 2, 1, 3<<20)
			liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/blobs/") {
					w = lying{lengthless{w}, do}
				}
				from.Config.Handler.ServeHTTP(w, r)
			}))
			defer liar.Close()
			// This one checks nothing: it stores what it gets when it gets all of it.
			stored := 0
			to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost && r.URL.Query().Get("digest") == "":
					w.Header().Set("Location", r.URL.Path+"1")
					w.WriteHeader(http.StatusAccepted)
				case r.Method == http.MethodPost || r.Method == http.MethodPut:
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						stored++
					}
					w.WriteHeader(http.StatusCreated)
				case r.URL.Path != "/v2/":
					w.WriteHeader(http.StatusNotFound)
				}
			}))
			defer to.Close()
			r := client(t, nil)
			o := copier.New(r, r, copier.Options{Dir: t.TempDir()}).Copy(t.Context(), []copier.Job{{
				Source: strings.TrimPrefix(liar.URL, "http://") + "/s/a", Digest: digest,
				Targets: []copier.Target{{Repository: strings.TrimPrefix(to.URL, "http://") + "/p/a", Tags: []string{"v1"}, Known: copier.Known{New: true}}},
			}}, nil)[0]
			if o.Err == nil || stored > 0 {
				t.Errorf("%d things were stored, %v", stored, o.Err)
			}
			to.Close()
		})
	}
}

// lengthless lets the length be what is written.
type lengthless struct{ http.ResponseWriter }

func (l lengthless) WriteHeader(code int) {
	l.Header().Del("Content-Length")
	l.ResponseWriter.WriteHeader(code)
}
