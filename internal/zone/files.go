// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

// Bounds of the files.
const (
	maxFile    = 16 << 20 // bytes; 100,000 record sets are 6 MB
	maxEntries = 20_000   // of a directory
	maxParts   = 64       // of a zone
	maxLinks   = 32       // on the way to one file
)

// errLink is a link that leads to no file of the tree.
var errLink = errors.New("link")

// resolve follows every link on the way to a name, inside the tree. It walks itself
// because os.DirFS follows links out of its root and a git tree follows none. An error
// that is errLink or fs.ErrNotExist is a fault of the tree; others are of reading it.
func resolve(fsys fs.FS, name string) (string, error) {
	rest, at, links := strings.Split(name, "/"), ".", 0
	for len(rest) > 0 {
		head := rest[0]
		rest = rest[1:]
		switch head {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", fmt.Errorf("%w leads out of the tree", errLink)
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, head)
		info, err := fs.Lstat(fsys, next)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			if len(rest) > 0 && !info.IsDir() {
				return "", fmt.Errorf("%s is no directory: %w", next, fs.ErrNotExist)
			}
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%w leads in circles", errLink)
		}
		target, err := fs.ReadLink(fsys, next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			return "", fmt.Errorf("%w leads out of the tree", errLink)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// read returns the bounded content of a regular file without links on the way.
func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", errLink, name)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}

// folder is a directory of zone files.
type folder struct {
	name  string
	files []string        // names that end in .yaml, sorted by byte as a shell does in the C locale
	used  map[string]bool // by some zone
}

// folder lists a directory once; nil where it cannot be one, which is reported.
func (l *loader) folder(name string, at place) (*folder, error) {
	if f, ok := l.folders[name]; ok {
		return f, nil
	}
	real, err := resolve(l.fsys, name)
	var entries []fs.DirEntry
	if err == nil {
		entries, err = fs.ReadDir(l.fsys, real)
	}
	switch {
	case errors.Is(err, errLink), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		l.errorf(ruleConfig, at, "directory %s is not to be found", l.shown(name))
		l.folders[name] = nil
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list %s: %w", name, err)
	case len(entries) > maxEntries:
		return nil, fmt.Errorf("list %s: %d entries are more than %d", name, len(entries), maxEntries)
	}
	f := &folder{name: real, used: map[string]bool{}}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".yaml") && !e.IsDir() {
			f.files = append(f.files, e.Name())
		}
	}
	slices.Sort(f.files)
	l.folders[name] = f
	return f, nil
}

// parts names the files of a zone in the order in which k8s.io joins them:
// ${Z}yaml, then ${Z}_*.yaml, where Z ends with a dot.
func (f *folder) parts(zone string) []string {
	var names []string
	whole, prefix := zone+"yaml", zone+"_"
	if slices.Contains(f.files, whole) {
		names = append(names, whole)
	}
	for _, name := range f.files {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		f.used[name] = true
	}
	return names
}

// strays reports zone files that no zone reads: a misspelt name loses its records.
func (l *loader) strays() {
	for _, f := range l.folders {
		if f == nil {
			continue
		}
		for _, name := range f.files {
			stem, _, _ := strings.Cut(strings.TrimSuffix(name, ".yaml"), "._")
			if !f.used[name] && strings.Contains(stem, ".") {
				l.add(ruleStray, finding.Warning, place{path.Join(f.name, name), 0, ""}, "add the zone to "+l.config.File+", or remove the file",
					"the file belongs to no zone of the configuration, so nothing in it takes effect")
			}
		}
	}
}

// part reads one file of a zone. nil with a nil error means that the zone has a fault
// there, which is reported.
func (l *loader) part(f *folder, name string) (*document, error) {
	return l.document(path.Join(f.name, name), 1)
}

// document reads and parses a file once, whichever link leads to it.
func (l *loader) document(name string, placeholders int) (*document, error) {
	real, err := resolve(l.fsys, name)
	if errors.Is(err, errLink) || errors.Is(err, fs.ErrNotExist) {
		l.errorf(ruleLink, place{name, 0, ""}, "the link leads to no file of the repository: what it should hold is silently lost")
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	d, ok := l.documents[real]
	if !ok {
		content, err := read(l.fsys, real)
		switch {
		case errors.Is(err, errLink):
			l.errorf(ruleLink, place{name, 0, ""}, "it is no regular file")
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", name, err)
		case len(content) > maxFile:
			l.errorf(ruleFile, place{real, 0, ""}, "the file is larger than %d bytes", maxFile)
			return nil, nil
		}
		d = l.parse(real, content)
		l.documents[real] = d
	}
	if target, ok := d.placeholder(); ok && placeholders > 0 {
		return l.document(path.Join(path.Dir(real), target), placeholders-1)
	}
	return d, nil
}

// placeholder is the target of a link that git wrote as a file, as it does where the
// file system has no links: the file holds the target and nothing else.
func (d *document) placeholder() (string, bool) {
	if d.root == nil || d.root.Kind != yaml.ScalarNode || !plain(d.root) || d.root.Value != string(bytes.TrimSuffix(d.content, []byte("\n"))) {
		return "", false
	}
	target := d.root.Value
	return target, strings.HasSuffix(target, ".yaml") && !path.IsAbs(target) && !strings.ContainsAny(target, " \\\n")
}
