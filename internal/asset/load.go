// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/finding"
)

// maxFile bounds a file of an export. The largest real one has 20 kB.
const maxFile = 8 << 20

// inventory is where the community lists its projects by kind.
const inventory = "infra/gcp/infra.yaml"

// Load reads the export tree of a checkout, or of an audit folder alone. A file that
// cannot be read is an error; one that is not what an export has is a problem of the
// tree.
func (p *Parser) Load(files fs.FS) (*Tree, error) {
	dir, err := projectsDir(files)
	if err != nil {
		return nil, err
	}
	t := &Tree{Projects: map[string]*Project{}, dir: dir, domains: map[string]bool{}, numbers: map[string]bool{}}
	if err := t.loadTiers(files); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	loaded := make([]loadedProject, len(entries))
	each(len(entries), func(i int) {
		if entries[i].IsDir() {
			loaded[i] = p.project(files, dir, entries[i].Name())
		}
	})
	var failed []error
	for _, l := range loaded {
		if l.project == nil {
			failed = append(failed, l.err)
			continue
		}
		t.Projects[l.project.ID] = l.project
		t.numbers[l.project.Number] = true
		t.Problems = append(t.Problems, l.problems...)
		maps.Copy(t.domains, l.domains)
	}
	delete(t.numbers, "")
	return t, errors.Join(failed...)
}

// Load is Parser.Load.
func Load(files fs.FS) (*Tree, error) { return NewParser().Load(files) }

func projectsDir(files fs.FS) (string, error) {
	for _, dir := range []string{"audit/projects", "projects"} {
		info, err := fs.Stat(files, dir)
		if err == nil && info.IsDir() {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read %s: %w", dir, err)
		}
	}
	return "", errors.New("read the declared state: there is neither audit/projects nor projects")
}

// each calls do for 0 to n-1, on a few goroutines.
func each(n int, do func(i int)) {
	next := make(chan int)
	var done sync.WaitGroup
	for range min(4*runtime.GOMAXPROCS(0), n) {
		done.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	done.Wait()
}

type loadedProject struct {
	project  *Project
	problems []finding.Finding
	domains  map[string]bool
	err      error
}

func (p *Parser) project(files fs.FS, dir, id string) loadedProject {
	l := loadedProject{domains: map[string]bool{}}
	project := &Project{ID: id, Buckets: map[string]*Bucket{}}
	dir = path.Join(dir, id)
	if project.Number, l.err = projectNumber(files, dir+"/description.json"); l.err != nil {
		return l
	}
	buckets, err := fs.ReadDir(files, dir+"/buckets")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.err = fmt.Errorf("read %s/buckets: %w", dir, err)
		return l
	}
	memo := memo{}
	for _, entry := range buckets {
		if !entry.IsDir() {
			continue
		}
		b, problems, err := p.exportedBucket(files, id, dir+"/buckets/"+entry.Name(), memo)
		if err != nil {
			l.err = err
			return l
		}
		project.Buckets[b.Name] = b
		l.problems = append(l.problems, problems...)
		b.collectDomains(l.domains)
	}
	l.project = project
	return l
}

// projectNumber reads it from the description of a project. One that is missing or no
// JSON is that of a project whose number is not known.
func projectNumber(files fs.FS, name string) (string, error) {
	data, err := readFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var description struct{ ProjectNumber json.Number }
	if json.Unmarshal(data, &description) != nil {
		return "", nil // the description is another audit's
	}
	return description.ProjectNumber.String(), nil
}

func (p *Parser) exportedBucket(files fs.FS, project, dir string, memo memo) (*Bucket, []finding.Finding, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", dir, err)
	}
	data, odd := map[string][]byte{}, map[string]bool{}
	known := exportFiles()
	for _, entry := range entries {
		if !slices.ContainsFunc(known, func(f exportFile) bool { return f.name == entry.Name() }) {
			continue
		}
		data[entry.Name()], err = readFile(files, dir+"/"+entry.Name())
		if odd[entry.Name()] = errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrNotExist); err != nil && !odd[entry.Name()] {
			return nil, nil, err
		}
	}
	b, problems := p.parseExport(project, path.Base(dir), dir, data, odd, memo)
	return b, problems, nil
}

// readFile reads a file that is not too large.
func readFile(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	var data bytes.Buffer
	data.Grow(4 << 10) // most are smaller
	_, err = data.ReadFrom(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if data.Len() > maxFile {
		return nil, fmt.Errorf("read %s: it has more than %d bytes", name, maxFile)
	}
	return data.Bytes(), nil
}

// loadTiers reads which projects are production from the community's inventory. What
// it is not, is a problem; what it does not say, production guesses by name.
func (t *Tree) loadTiers(files fs.FS) error {
	data, err := readFile(files, inventory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kinds, err := Inventory(data)
	if err != nil {
		t.Problems = append(t.Problems, finding.Finding{
			Rule: ruleExport, Severity: finding.Warning, Object: inventory, File: inventory,
			Message: clip("the inventory does not say which projects are production: " + err.Error()),
		})
		return nil
	}
	t.tiers = map[string]bool{}
	for kind, projects := range kinds {
		for _, project := range projects {
			t.tiers[project] = !slices.Contains([]string{"e2e", "staging", "sandbox", "purgatory"}, kind)
		}
	}
	return nil
}

// collectDomains notes the domains of those who have access.
func (b *Bucket) collectDomains(into map[string]bool) {
	for path := range b.Fields {
		if grant, ok := strings.CutPrefix(path, "iam/"); ok {
			if domain := domainOf(grant); domain != "" {
				into[domain] = true
			}
		}
	}
}

// domainOf is what follows the last @ of a member, without the mark of a deleted one;
// for domain:example.com, and domain-example.com of a list, it is the rest.
func domainOf(member string) string {
	member, _, _ = strings.Cut(member, "?uid=")
	if i := strings.LastIndexByte(member, '@'); i >= 0 {
		return strings.ToLower(member[i+1:])
	}
	for _, kind := range []string{"domain:", "domain-"} {
		if i := strings.Index(member, kind); i >= 0 {
			return strings.ToLower(member[i+len(kind):])
		}
	}
	return ""
}
