// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/asset"
)

// gcpState is what the cloud is at one time.
type gcpState struct{ projects map[string]*gcpProject }

type gcpProject struct {
	id, number string
	buckets    map[string]*gcpBucket
}

// gcpBucket is a bucket as the API has it, access control lists included.
type gcpBucket struct {
	project  *gcpProject
	resource map[string]any
	policy   map[string]any
}

func (s *gcpState) project(id string) *gcpProject {
	p := s.projects[id]
	if p == nil {
		p = &gcpProject{id: id, number: inventedNumber(id), buckets: map[string]*gcpBucket{}}
		s.projects[id] = p
	}
	return p
}

// find looks for a bucket in all projects: names are global.
func (s *gcpState) find(bucket string) *gcpBucket {
	for _, p := range s.projects {
		if b := p.buckets[bucket]; b != nil {
			return b
		}
	}
	return nil
}

func (p *gcpProject) names() []string { return slices.Sorted(maps.Keys(p.buckets)) }

// inventedNumber is for projects of which nothing says a number.
func inventedNumber(id string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return strconv.FormatUint(100_000_000_000+h.Sum64()%900_000_000_000, 10)
}

// readGCPState reads an export tree. A tree without projects is an empty cloud.
func readGCPState(files fs.FS) (*gcpState, error) {
	s := &gcpState{projects: map[string]*gcpProject{}}
	const root = "audit/projects"
	projects, err := fs.ReadDir(files, root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var problems []error
	for _, entry := range projects {
		if !entry.IsDir() {
			continue
		}
		dir := path.Join(root, entry.Name())
		p := s.project(entry.Name())
		var description struct{ ProjectNumber string }
		if err := readJSON(files, dir+"/description.json", &description); err != nil {
			problems = append(problems, err)
		}
		if description.ProjectNumber != "" {
			p.number = description.ProjectNumber
		}
		buckets, err := fs.ReadDir(files, dir+"/buckets")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, b := range buckets {
			if p.buckets[b.Name()], err = readBucket(files, p, dir+"/buckets/"+b.Name()); err != nil {
				problems = append(problems, err)
			}
		}
	}
	return s, errors.Join(problems...)
}

// readJSON reads a file that may be missing.
func readJSON(files fs.FS, name string, into any) error {
	data, err := fs.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// newBucket is a bucket as Cloud Storage makes it today.
func newBucket(p *gcpProject, name string, now time.Time) *gcpBucket {
	b := &gcpBucket{project: p, policy: map[string]any{"bindings": []any{
		binding("roles/storage.legacyBucketOwner", "projectEditor:"+p.id, "projectOwner:"+p.id),
		binding("roles/storage.legacyBucketReader", "projectViewer:"+p.id),
	}}}
	b.resource = map[string]any{
		"kind": "storage#bucket", "id": name, "name": name, "projectNumber": p.number,
		"selfLink":     "https://www.googleapis.com/storage/v1/b/" + name,
		"storageClass": "STANDARD", "location": "US", "locationType": "multi-region", "rpo": "DEFAULT",
		"timeCreated": apiTime(now), "updated": apiTime(now), "metageneration": "1",
	}
	b.access(true, "inherited")
	b.tag()
	return b
}

func binding(role string, members ...any) map[string]any {
	return map[string]any{"role": role, "members": members}
}

// apiTime has milliseconds, which exports have not.
func apiTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// access sets who decides about access: the policy alone, or lists as well.
func (b *gcpBucket) access(uniform bool, prevention string) {
	setting := map[string]any{"enabled": uniform}
	if uniform {
		setting["lockedTime"] = "2030-01-01T00:00:00.000Z"
	}
	b.resource["iamConfiguration"] = map[string]any{
		"bucketPolicyOnly": setting, "uniformBucketLevelAccess": setting, "publicAccessPrevention": prevention,
	}
}

// tag makes etags of the metageneration, as the API does.
func (b *gcpBucket) tag() {
	etag := base64.StdEncoding.EncodeToString([]byte(fmt.Sprint("m", b.resource["metageneration"])))
	b.resource["etag"], b.policy["etag"] = etag, etag
}

// change merges a mutation.
func (b *gcpBucket) change(m Mutation, now time.Time) error {
	if len(m.Patch) > 0 {
		var patch map[string]any
		if err := json.Unmarshal(m.Patch, &patch); err != nil {
			return fmt.Errorf("mutate %s: %w", m.Bucket, err)
		}
		b.resource = merge(b.resource, patch)
	}
	if len(m.Policy) > 0 {
		var policy map[string]any
		if err := json.Unmarshal(m.Policy, &policy); err != nil {
			return fmt.Errorf("mutate the policy of %s: %w", m.Bucket, err)
		}
		b.policy = policy
	}
	generation, _ := strconv.Atoi(fmt.Sprint(b.resource["metageneration"]))
	b.resource["metageneration"] = strconv.Itoa(generation + 1)
	b.resource["updated"] = apiTime(now)
	b.tag()
	return nil
}

// merge is RFC 7396 on a copy.
func merge(into, patch map[string]any) map[string]any {
	out := maps.Clone(into)
	if out == nil {
		out = map[string]any{}
	}
	for key, v := range patch {
		inner, isObject := v.(map[string]any)
		switch {
		case v == nil:
			delete(out, key)
		case isObject:
			below, _ := out[key].(map[string]any)
			out[key] = merge(below, inner)
		default:
			out[key] = v
		}
	}
	return out
}

// readBucket turns the files of an exported bucket back into what they were made of.
// api.json, which no export has, is merged last: for fields the export does not hold.
func readBucket(files fs.FS, p *gcpProject, dir string) (*gcpBucket, error) {
	name := path.Base(dir)
	b := &gcpBucket{project: p, policy: map[string]any{}, resource: map[string]any{
		"kind": "storage#bucket", "id": name, "name": name, "projectNumber": p.number,
		"selfLink": "https://www.googleapis.com/storage/v1/b/" + name,
	}}
	data, err := fs.ReadFile(files, dir+"/metadata.txt")
	if err != nil {
		return nil, err
	}
	lines, err := asset.Lines(string(data), name)
	if err != nil {
		return nil, fmt.Errorf("%s/metadata.txt: %w", dir, err)
	}
	said := func(label string) string { return lines[label].Value }
	if err := errors.Join(
		b.settings(said), b.lists(name, said), b.times(said),
		b.configurations(files, dir, said), readJSON(files, dir+"/iam.json", &b.policy),
	); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	var more map[string]any
	if err := readJSON(files, dir+"/api.json", &more); err != nil {
		return nil, err
	}
	b.resource = merge(b.resource, more)
	b.tag()
	return b, nil
}

// settings are the lines of one word.
func (b *gcpBucket) settings(said func(string) string) error {
	r := b.resource
	r["storageClass"], r["location"] = said("Storage class"), said("Location constraint")
	for label, key := range map[string]string{"Location type": "locationType", "RPO": "rpo"} {
		if v := said(label); v != "" {
			r[key] = v
		}
	}
	b.access(said("Bucket Policy Only enabled") == "True", said("Public access prevention"))
	if v := said("Versioning enabled"); v != "None" {
		r["versioning"] = map[string]any{"enabled": v == "True"}
	}
	if v := said("Requester Pays enabled"); v != "None" {
		r["billing"] = map[string]any{"requesterPays": v == "True"}
	}
	if v := said("Default KMS key"); v != "None" {
		r["encryption"] = map[string]any{"defaultKmsKeyName": v}
	}
	if said("Website configuration") == "Present" {
		r["website"] = map[string]any{"mainPageSuffix": "index.html"}
	}
	if said("CORS configuration") == "Present" {
		r["cors"] = []any{map[string]any{"origin": []any{"https://example.org"}, "method": []any{"GET"}}}
	}
	if said("Default Event-Based Hold") == "True" {
		r["defaultEventBasedHold"] = true
	}
	if said("Autoclass") != "" {
		r["autoclass"] = map[string]any{"enabled": true}
	}
	return nil
}

// lists are labels and access control lists.
func (b *gcpBucket) lists(name string, said func(string) string) error {
	if text := said("Labels"); text != "None" && text != "" {
		var labels map[string]any
		if err := json.Unmarshal([]byte(text), &labels); err != nil {
			return fmt.Errorf("labels: %w", err)
		}
		b.resource["labels"] = labels
	}
	for _, list := range []struct{ label, key, kind string }{
		{"ACL", "acl", "storage#bucketAccessControl"}, {"Default ACL", "defaultObjectAcl", "storage#objectAccessControl"},
	} {
		var entries []map[string]any
		if text := said(list.label); text != "" {
			if err := json.Unmarshal([]byte(text), &entries); err != nil {
				return fmt.Errorf("%s: %w", list.label, err)
			}
		}
		var all []any
		for _, e := range entries {
			e["kind"], e["etag"] = list.kind, "CAE="
			if list.key == "acl" {
				e["bucket"], e["id"] = name, fmt.Sprintf("%s/%s", name, e["entity"])
			}
			all = append(all, e)
		}
		if all != nil {
			b.resource[list.key] = all
			b.resource["owner"] = map[string]any{"entity": "project-owners-" + b.project.number}
		}
	}
	return nil
}

func (b *gcpBucket) times(said func(string) string) error {
	b.resource["metageneration"] = said("Metageneration")
	for label, key := range map[string]string{"Time created": "timeCreated", "Time updated": "updated"} {
		t, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", said(label))
		if err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
		b.resource[key] = apiTime(t.Add(123 * time.Millisecond))
	}
	return nil
}

// configurations have files of their own.
func (b *gcpBucket) configurations(files fs.FS, dir string, said func(string) string) error {
	for _, c := range []struct{ label, file, key string }{
		{"Lifecycle configuration", "lifecycle.json", "lifecycle"}, {"Logging configuration", "logging.json", "logging"},
	} {
		var v map[string]any
		if err := readJSON(files, dir+"/"+c.file, &v); err != nil {
			return err
		}
		if said(c.label) == "Present" && v != nil {
			b.resource[c.key] = v
		}
	}
	if said("Retention Policy") != "Present" {
		return nil
	}
	text, err := fs.ReadFile(files, dir+"/retention.txt")
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`Retention Policy \((UN)?LOCKED\):\s+Duration: (.*)\s+Effective Time: (.*)`).FindStringSubmatch(string(text))
	if found == nil {
		return fmt.Errorf("retention.txt: %q", text)
	}
	period, err := asset.GsutilDuration(strings.TrimSpace(found[2]))
	if err != nil {
		return err
	}
	since, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", strings.TrimSpace(found[3]))
	if err != nil {
		return err
	}
	policy := map[string]any{"retentionPeriod": period, "effectiveTime": apiTime(since)}
	if found[1] == "" {
		policy["isLocked"] = true
	}
	b.resource["retentionPolicy"] = policy
	return nil
}
