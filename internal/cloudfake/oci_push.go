// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/steward/internal/manifest"
)

// upload is a blob on its way. Who has it, as busy says, uses it without the lock.
type upload struct {
	repository string // HOST/PATH
	sum        hash.Hash
	size       int64
	body       []byte // as long as it is small
	busy       bool
}

// uploads answers POST, PATCH, PUT, GET and DELETE of blobs/uploads/.
func (a *asked) uploads() {
	query := a.r.URL.Query()
	switch {
	case a.r.Method == http.MethodPost && query.Get("mount") != "" && a.mount(query.Get("mount"), query.Get("from")):
	case a.r.Method == http.MethodPost && query.Get("digest") != "" && query.Get("mount") == "":
		a.take(&upload{repository: a.name(), sum: sha256.New(), busy: true}, query.Get("digest"))
	case a.r.Method == http.MethodPost:
		a.begin()
	default:
		a.proceed(query.Get("digest"))
	}
}

// name is the repository with its host.
func (a *asked) name() string { return a.hostName + "/" + a.path }

// mount gives a blob of another repository of the host to this one.
func (a *asked) mount(digest, from string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	from = strings.TrimPrefix(from, a.prefix)
	source := a.host.repos[from]
	if source == nil || !source.blobs[digest] {
		return false
	}
	if err := a.edit(a.name(), "", func(r *repository, _ string) error { r.blobs[digest] = true; return nil }); err != nil {
		a.refuse(http.StatusBadRequest, "NAME_INVALID")
		return true
	}
	a.stored("/v2/"+a.prefix+a.path+"/blobs/"+digest, digest)
	return true
}

func (a *asked) stored(location, digest string) {
	a.w.Header().Set("Location", location)
	a.w.Header().Set("Docker-Content-Digest", digest)
	a.w.WriteHeader(http.StatusCreated)
}

func (a *asked) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.open) >= maxUploads || !manifest.IsPath(a.path) {
		a.refuse(http.StatusBadRequest, "BLOB_UPLOAD_INVALID")
		return
	}
	id := rand.Text()
	a.open[id] = &upload{repository: a.name(), sum: sha256.New()}
	a.accepted(id, 0)
}

// accepted says where an upload goes on.
func (a *asked) accepted(id string, size int64) {
	a.w.Header().Set("Location", "/v2/"+a.prefix+a.path+"/blobs/uploads/"+id)
	a.w.Header().Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
	a.w.WriteHeader(http.StatusAccepted)
}

// proceed goes on with an upload that was begun.
func (a *asked) proceed(digest string) {
	a.mu.Lock()
	u := a.open[a.ref]
	var code string
	switch {
	case u == nil || u.repository != a.name():
		code = "BLOB_UPLOAD_UNKNOWN"
	case u.busy:
		code = "BLOB_UPLOAD_INVALID"
	case a.r.Method == http.MethodDelete:
		a.end(u)
	default:
		u.busy = true
	}
	a.mu.Unlock()
	switch start, _, ranged := strings.Cut(a.r.Header.Get("Content-Range"), "-"); {
	case code != "":
		a.refuse(http.StatusNotFound, code)
	case a.r.Method == http.MethodDelete:
		a.w.WriteHeader(http.StatusNoContent)
	case a.r.Method == http.MethodGet:
		a.rest(u)
		a.w.Header().Set("Range", fmt.Sprintf("0-%d", max(u.size-1, 0)))
		a.w.WriteHeader(http.StatusNoContent)
	case ranged && start != strconv.FormatInt(u.size, 10):
		a.rest(u)
		a.refuse(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID")
	default:
		a.take(u, digest)
	}
}

// rest lets the next request have an upload.
func (a *asked) rest(u *upload) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u.busy = false
}

// end forgets an upload.
func (a *asked) end(u *upload) {
	a.kept -= int64(len(u.body))
	u.body = nil
	delete(a.open, a.ref)
}

// take reads a part of a blob, and all that is left of it where a digest says so.
func (a *asked) take(u *upload, digest string) {
	a.mu.Lock()
	limit := a.meter.breaks(u.repository)
	a.mu.Unlock()
	body := io.Reader(a.r.Body)
	if limit >= 0 {
		body = io.LimitReader(body, limit)
	}
	part, n, err := u.read(body, a.r.ContentLength)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.meter.Taken += n
	u.busy = false
	u.size += n
	switch held := int64(len(u.body)); {
	case part == nil || a.kept+int64(len(part)) > maxBlobs:
		a.kept -= held
		u.body = nil
	default:
		u.body = append(u.body, part...)
		a.kept += int64(len(part))
	}
	switch {
	case limit >= 0:
		a.end(u)
		a.abandon()
	case err != nil:
		a.end(u)
		a.refuse(http.StatusBadRequest, "SIZE_INVALID")
	case digest == "" && a.r.Method == http.MethodPut:
		a.refuse(http.StatusBadRequest, "DIGEST_INVALID")
	case digest == "":
		a.accepted(a.ref, u.size)
	default:
		a.finish(u, digest)
	}
}

// read takes a part: its bytes as long as the blob is small, and how many there were. length is what the client says, or -1.
func (u *upload) read(from io.Reader, length int64) (part []byte, n int64, err error) {
	room := maxBlob - u.size
	if u.size > 0 && u.body == nil {
		room = -1
	}
	if length <= room {
		var buffer bytes.Buffer
		buffer.Grow(int(max(length, 0)) + bytes.MinRead)
		n, err = buffer.ReadFrom(io.LimitReader(from, room+1))
		u.sum.Write(buffer.Bytes())
		if n <= room {
			return buffer.Bytes(), n, err
		}
	}
	more, rest := io.Copy(u.sum, from)
	return nil, n + more, errors.Join(err, rest)
}

// finish stores a blob that is whole.
func (a *asked) finish(u *upload, digest string) {
	defer a.end(u)
	body := u.body
	if u.size == 0 {
		body = []byte{}
	}
	known := a.blobs[digest] != nil
	switch {
	case "sha256:"+hex.EncodeToString(u.sum.Sum(nil)) != digest:
		a.refuse(http.StatusBadRequest, "DIGEST_INVALID")
		return
	case !known && body == nil:
		a.refuse(http.StatusRequestEntityTooLarge, "SIZE_INVALID") // a real one would take it
		return
	}
	err := a.edit(u.repository, "", func(r *repository, _ string) error {
		if !a.keep(digest, &blob{body: body, size: u.size}) {
			return errors.New("no room")
		}
		r.blobs[digest] = true
		return nil
	})
	if err != nil {
		a.refuse(http.StatusRequestEntityTooLarge, "SIZE_INVALID")
		return
	}
	a.stored("/v2/"+a.prefix+a.path+"/blobs/"+digest, digest)
}

// blob answers GET and HEAD of one.
func (a *asked) blob() {
	a.mu.Lock()
	repo := a.host.repos[a.path]
	var b *blob
	if repo != nil && repo.blobs[a.ref] {
		b = a.blobs[a.ref]
	}
	limit := int64(-1)
	if b != nil && a.r.Method == http.MethodGet {
		limit = a.meter.breaks(a.name() + "@" + a.ref)
	}
	a.mu.Unlock()
	if b == nil {
		a.refuse(http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	body, size, status := b.open(), b.size, http.StatusOK
	if from, ok := strings.CutPrefix(a.r.Header.Get("Range"), "bytes="); ok {
		skip, err := strconv.ParseInt(strings.TrimSuffix(from, "-"), 10, 64)
		if err != nil || skip < 0 || skip >= size {
			a.refuse(http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID")
			return
		}
		if _, err := io.CopyN(io.Discard, body, skip); err == nil {
			a.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", skip, size-1, size))
			size, status = size-skip, http.StatusPartialContent
		}
	}
	a.w.Header().Set("Docker-Content-Digest", a.ref)
	a.w.Header().Set("Content-Type", "application/octet-stream")
	a.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	a.w.Header().Set("Accept-Ranges", "bytes")
	a.w.WriteHeader(status)
	if a.r.Method == http.MethodHead {
		return
	}
	if limit >= 0 {
		body = io.LimitReader(body, limit)
	}
	n, _ := io.Copy(a.w, body) // the client is gone
	if limit >= 0 {
		_ = http.NewResponseController(a.w).Flush()
		a.abandon()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.meter.Given += n
}

// document is what a registry reads of a manifest.
type document struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       *descriptor       `json:"config"`
	Layers       []descriptor      `json:"layers"`
	Manifests    []descriptor      `json:"manifests"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	URLs      []string `json:"urls"`
}

// putManifest takes a manifest whose parts are in the repository.
func (a *asked) putManifest() {
	body, err := io.ReadAll(io.LimitReader(a.r.Body, maxManifest+1))
	var d document
	if err != nil || len(body) > maxManifest || json.Unmarshal(body, &d) != nil {
		a.refuse(http.StatusBadRequest, "MANIFEST_INVALID")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	digest := manifest.DigestOf(body)
	isDigest := manifest.IsDigest(a.ref)
	code := ""
	err = a.edit(a.name(), "", func(r *repository, _ string) error {
		switch {
		case isDigest && a.ref != digest:
			code = "DIGEST_INVALID"
		case !isDigest && !manifest.IsTag(a.ref):
			code = "TAG_INVALID"
		case !r.holds(d):
			code = "MANIFEST_BLOB_UNKNOWN"
		default:
			mediaType := cmp.Or(a.r.Header.Get("Content-Type"), d.MediaType)
			if _, known := r.manifests[digest]; !known || r.manifests[digest].body == nil {
				r.manifests[digest] = stored{mediaType: mediaType, body: body, at: a.server.clock()}
			}
			if !isDigest {
				r.tags[a.ref] = digest
			}
		}
		return nil
	})
	switch {
	case err != nil:
		a.refuse(http.StatusBadRequest, "NAME_INVALID")
	case code != "":
		a.refuse(http.StatusBadRequest, code)
	default:
		if d.Subject != nil {
			a.w.Header().Set("OCI-Subject", d.Subject.Digest)
		}
		a.stored("/v2/"+a.prefix+a.path+"/manifests/"+digest, digest)
	}
}

// holds tells whether all parts of a manifest are there. Those that are elsewhere for everybody need not be.
func (r *repository) holds(d document) bool {
	for _, m := range d.Manifests {
		if _, ok := r.manifests[m.Digest]; !ok {
			return false
		}
	}
	parts := d.Layers
	if d.Config != nil {
		parts = append(slices.Clone(parts), *d.Config)
	}
	return !slices.ContainsFunc(parts, func(p descriptor) bool { return !r.blobs[p.Digest] && len(p.URLs) == 0 })
}

// removeManifest takes a tag away, or a manifest with its tags.
func (a *asked) removeManifest() {
	repo := a.host.repos[a.path]
	digest := a.ref
	if repo != nil && repo.tags[a.ref] != "" {
		digest = repo.tags[a.ref]
	}
	if repo == nil || repo.manifests[digest].at.IsZero() {
		a.refuse(http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	c := Change{Remove: a.name() + "@" + digest}
	if digest != a.ref {
		c = Change{Untag: a.name() + ":" + a.ref}
	}
	if err := a.change(c); err != nil {
		a.refuse(http.StatusBadRequest, "NAME_INVALID")
		return
	}
	a.w.WriteHeader(http.StatusAccepted)
}

// referrers lists the manifests that are about another one.
func (a *asked) referrers() {
	var all []any
	repo := a.host.repos[a.path]
	want := a.r.URL.Query().Get("artifactType")
	if repo != nil {
		for _, digest := range slices.Sorted(maps.Keys(repo.manifests)) {
			m := repo.manifests[digest]
			var d document
			if m.body == nil || json.Unmarshal(m.body, &d) != nil || d.Subject == nil || d.Subject.Digest != a.ref {
				continue
			}
			kind := d.ArtifactType
			if kind == "" && d.Config != nil {
				kind = d.Config.MediaType
			}
			if want == "" || want == kind {
				all = append(all, map[string]any{
					"mediaType": m.mediaType, "digest": digest, "size": len(m.body), "artifactType": kind, "annotations": d.Annotations,
				})
			}
		}
	}
	if want != "" {
		a.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	const index = "application/vnd.oci.image.index.v1+json"
	raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": index, "manifests": append([]any{}, all...)})
	if err != nil {
		a.refuse(http.StatusInternalServerError, "UNKNOWN")
		return
	}
	a.w.Header().Set("Content-Type", index)
	_, _ = a.w.Write(raw) // the client is gone
}
