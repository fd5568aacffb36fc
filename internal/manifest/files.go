// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

// The rules of file manifests, as docs/manifests.md numbers them.
const (
	ruleStores     = "FILES-1" // a filestore that does not work
	ruleFileLayout = "FILES-2" // a file that is missing, misplaced or too large
	ruleFileShape  = "FILES-3" // not YAML of the expected shape
	ruleFileName   = "FILES-4" // a name that leaves its store, or stands for no file
	ruleFileSum    = "FILES-5" // not a sha256
	ruleFileTwice  = "FILES-6" // one name twice
	ruleFileNew    = "FILES-7" // a change gives a name another content
	ruleFileGone   = "FILES-8" // something is not declared any more
	ruleFileStore  = "FILES-9" // a destination where nothing may go
)

// storesFile is the name of the file that says where files come from and go to.
const storesFile = "filepromoter-manifest.yaml"

// FileSet is what a tree of file manifests declares. It is immutable.
type FileSet struct {
	Projects []*FileProject // by name
	Dir      string         // of the tree
}

// FileProject is a filepromoter-manifest.yaml and the files of its project.
type FileProject struct {
	Name         string // of the folder
	Stores       string // path of the filepromoter-manifest.yaml
	Lists        string // folder of the lists of files, with links followed
	Source       Filestore
	Destinations []Filestore
	Files        []DeclaredFile // by name, each once
	// Whole is false if a part of a file could not be understood: then more may be declared
	// than stands here.
	Whole bool
}

// Filestore is a place that holds files below a prefix.
type Filestore struct {
	Base           string // gs://BUCKET/PREFIX/, s3://BUCKET/PREFIX/ or file:///DIR/; ends in a slash
	ServiceAccount string
	Line           int
}

// DeclaredFile is a file by its content.
type DeclaredFile struct {
	Name   string // below the base of a store
	SHA256 string // 64 hexadecimal digits, in lower case
	File   string // that declares it
	Line   int
}

// LoadFiles reads DIR/filestores/*/filepromoter-manifest.yaml and all YAML files below
// DIR/manifests/*. Findings and errors are as those of Load. DIR/manifests may be a link to
// another folder of the repository, as Kubernetes has it for its mirrors.
func LoadFiles(files fs.FS, dir string) (*FileSet, []finding.Finding, error) {
	l := &loader{files: files}
	root, err := l.linked(path.Join(dir, "manifests"))
	if err != nil {
		return nil, nil, fmt.Errorf("read file manifests: %w", err)
	}
	entries, err := fs.ReadDir(files, path.Join(dir, "filestores"))
	if err != nil {
		return nil, nil, fmt.Errorf("read file manifests: %w", err)
	}
	set := &FileSet{Dir: dir}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if !visible(e.Name()) {
			l.unseen(path.Join(dir, "filestores", e.Name()), ruleFileLayout)
			continue
		}
		p := &FileProject{Name: e.Name(), Stores: path.Join(dir, "filestores", e.Name(), storesFile), Lists: path.Join(root, e.Name())}
		if err := l.fileProject(p); err != nil {
			return nil, nil, fmt.Errorf("read file manifest %s: %w", p.Name, err)
		}
		set.Projects = append(set.Projects, p)
	}
	if len(set.Projects) == 0 {
		return nil, nil, fmt.Errorf("read file manifests: %s: no filestores found", path.Join(dir, "filestores"))
	}
	l.collisions(set)
	finding.Sort(l.problems)
	return set, l.problems, nil
}

// linked follows one link within the repository.
func (l *loader) linked(name string) (string, error) {
	info, err := fs.Lstat(l.files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return name, nil // said of each project
	case err != nil:
		return "", err
	case info.IsDir():
		return name, nil
	case info.Mode()&fs.ModeSymlink == 0:
		return "", fmt.Errorf("%s is no folder: if it should be a link, it was checked out without it", name)
	}
	target, err := fs.ReadLink(l.files, name)
	if err != nil {
		return "", err
	}
	at := path.Join(path.Dir(name), target)
	if path.IsAbs(target) || !fs.ValidPath(at) {
		return "", fmt.Errorf("%s: the link leads out of the repository", name)
	}
	if info, err = fs.Lstat(l.files, at); err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: the link leads to no folder", name)
	}
	return at, err
}

// fileDocument reads a file of a project. The manifest carries what the parts of both kinds
// of documents have in common.
type fileDocument struct {
	*document
	project *FileProject
}

func (l *loader) fileProject(p *FileProject) error {
	m := &Manifest{Name: p.Name, Whole: true}
	d, err := l.fileDocument(m, p, p.Stores)
	if err != nil {
		return err
	}
	if d != nil {
		d.stores()
	}
	lists, err := l.linked(p.Lists)
	var broken *fs.PathError
	switch {
	case errors.As(err, &broken):
		return err
	case err != nil:
		m.Whole = false
		l.found(finding.Finding{Rule: ruleFileLayout, Severity: finding.Error, Object: p.Name, File: p.Stores, Fix: "make it a folder, or a link to one"}, "%v", err)
	default:
		p.Lists = lists
		if err := l.manifestFiles(m, p, lists); err != nil {
			return err
		}
	}
	l.join(p)
	p.Whole = m.Whole
	return nil
}

// fileDocument opens a document; nil says that a finding tells why not.
func (l *loader) fileDocument(m *Manifest, p *FileProject, file string) (*fileDocument, error) {
	before := len(l.problems)
	d, err := l.open(m, file)
	for i := range l.problems[before:] { // those of a file that is missing, too large or no YAML
		f := &l.problems[before+i]
		f.Rule = map[string]string{ruleLayout: ruleFileLayout, ruleShape: ruleFileShape}[f.Rule]
	}
	if err != nil || d == nil {
		return nil, err
	}
	d.shapes, d.keys = ruleFileShape, ruleFileShape
	return &fileDocument{d, p}, nil
}

// manifestFiles reads the YAML files of a project.
func (l *loader) manifestFiles(m *Manifest, p *FileProject, dir string) error {
	seen := 0
	err := fs.WalkDir(l.files, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > maxFolders {
			return fmt.Errorf("%s: more than %d files and folders", dir, maxFolders)
		}
		if ext := path.Ext(name); entry.IsDir() || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			return nil
		}
		d, err := l.fileDocument(m, p, name)
		if d != nil {
			d.files()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) && seen == 0 {
		m.Whole = false
		l.found(finding.Finding{Rule: ruleFileLayout, Severity: finding.Error, Object: p.Name, File: p.Stores, Fix: "add a list of files, or remove the filestores"},
			"%s does not exist, so nothing is promoted", dir)
		return nil
	}
	return err
}

// stores reads a filepromoter-manifest.yaml.
func (d *fileDocument) stores() {
	if d.root == nil {
		d.shape(0, "empty", "declare filestores", "the manifest is empty")
		return
	}
	d.mapping(d.root, "the manifest", func(key, value *yaml.Node) {
		switch key.Value {
		case "filestores":
			d.list(value, "filestores", "", d.store)
		case "files":
			d.shape(key.Line, "files", "put them below manifests/"+d.project.Name, "files do not stand among filestores: the promoter refuses them")
		default:
			d.unknown(key, "the manifest", "filestores")
		}
	})
	wrong := func(message, fix string) {
		d.report(ruleStores, finding.Error, 0, d.file, message, fix, "%s", message)
	}
	switch {
	case d.project.Source.Base == "":
		wrong("no filestore is the source", "add src: true to the staging store")
	case len(d.project.Destinations) == 0:
		wrong("no filestore is a destination", "add the stores to promote to")
	}
}

// store reads one element of filestores.
func (d *fileDocument) store(n *yaml.Node) {
	s, source := Filestore{Line: n.Line}, false
	before := len(d.problems)
	d.mapping(n, "filestore", func(key, value *yaml.Node) {
		switch key.Value {
		case "base":
			s.Base, _ = d.text(value, "the base of a filestore", "")
		case "service-account":
			s.ServiceAccount, _ = d.text(value, "service-account", "")
		case "src":
			source = d.boolean(value, "src")
		default:
			d.unknown(key, "filestore", "base", "service-account", "src")
		}
	})
	wrong := func(format, fix string, args ...any) {
		d.m.Whole = false
		d.report(ruleStores, finding.Error, n.Line, d.file, clip(s.Base), fix, format, args...)
	}
	base, ok := storeBase(s.Base)
	switch {
	case len(d.problems) > before: // reported
	case !ok:
		wrong("%s is not a filestore", "write gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY", quote(s.Base))
	case source && d.project.Source.Base != "":
		wrong("a second filestore is the source", "keep one src: true")
	case source:
		s.Base = base
		d.project.Source = s
	case slices.ContainsFunc(d.project.Destinations, func(o Filestore) bool { return o.Base == base }):
		wrong("%s stands twice", "remove one", quote(s.Base))
	case len(d.project.Destinations) == maxDestinations:
		if d.m.Whole {
			wrong("there are more than %d destinations", "name fewer", maxDestinations)
		}
	default:
		s.Base = base
		d.project.Destinations = append(d.project.Destinations, s)
		if strings.HasPrefix(base, "gs://") && s.ServiceAccount == "" {
			// The promoter fails all projects for it, and not before --confirm.
			d.report(ruleStores, finding.Warning, n.Line, d.file, clip(s.Base)+" account", "add service-account, or promote with steward alone",
				"%s has no service-account: the promoter refuses to promote any project's files", quote(s.Base))
		}
	}
}

// IsStore tells what the base of a filestore may be.
func IsStore(base string) bool {
	_, ok := storeBase(base)
	return ok
}

// storeBase checks a base and adds the slash that it may lack.
func storeBase(base string) (string, bool) {
	scheme, rest, ok := strings.Cut(base, "://")
	if base = strings.TrimSuffix(base, "/") + "/"; !ok {
		return base, false
	}
	bucket, below, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
	switch scheme {
	case "gs", "s3":
		return base, bucket != "" && strings.Trim(bucket, "abcdefghijklmnopqrstuvwxyz0123456789._-") == "" && (below == "" || plainPath(below))
	case "file":
		return base, bucket == "" && plainPath(below)
	}
	return base, false
}

// files reads the list of one file.
func (d *fileDocument) files() {
	if d.root == nil {
		return
	}
	d.mapping(d.root, "the manifest", func(key, value *yaml.Node) {
		switch key.Value {
		case "files":
			d.list(value, "files", "", d.declared)
		case "filestores":
			d.shape(key.Line, "filestores", "put them into "+d.project.Stores, "filestores do not stand among files: the promoter refuses them")
		default:
			d.unknown(key, "the manifest", "files")
		}
	})
}

// declared reads one element of files.
func (d *fileDocument) declared(n *yaml.Node) {
	f := DeclaredFile{File: d.file, Line: n.Line}
	before, named, summed := len(d.problems), false, false
	d.mapping(n, "file", func(key, value *yaml.Node) {
		switch key.Value {
		case "name":
			f.Name, named = d.text(value, "the name of a file", "")
		case "sha256":
			f.SHA256, summed = d.text(value, "sha256", "")
		default:
			d.unknown(key, "file", "name", "sha256")
		}
	})
	f.SHA256 = strings.ToLower(f.SHA256)
	switch {
	case len(d.problems) > before: // reported
	case !named:
		d.shape(n.Line, "file", "name it", "a file has no name")
	case !IsFileName(f.Name):
		d.report(ruleFileName, finding.Error, n.Line, d.m.Name, clip(f.Name), "write a path below the store, without . and ..",
			"%s is not a name of a file in a store, so it is never promoted", quote(f.Name))
	case ours(f.Name):
		d.report(ruleFileName, finding.Error, n.Line, d.m.Name, clip(f.Name), "give it another name",
			"%s is where stores keep what is replaced, so it is never promoted", quote(f.Name))
	case !summed || len(f.SHA256) != 64 || !isHex(f.SHA256):
		d.report(ruleFileSum, finding.Error, n.Line, d.m.Name+"/"+f.Name, "sha256 "+clip(f.SHA256), "write the 64 digits that sha256sum prints",
			"the sha256 of %s is not one, so it is never promoted", quote(f.Name))
	default:
		d.project.Files = append(d.project.Files, f)
	}
}

// fileNameLength is what Cloud Storage and S3 take as the name of an object.
const fileNameLength = 1000

// IsFileName tells a path that stays below its store in every kind of store.
func IsFileName(s string) bool { return len(s) <= fileNameLength && plainPath(s) }

// ours tells a name under which a store keeps what is replaced (PF-12), or what it knows of its files.
func ours(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first == ".replaced" || first == ".steward"
}

// plainPath tells a relative path of visible characters that means the same to everybody.
func plainPath(s string) bool {
	return s != "." && fs.ValidPath(s) && visible(s) && !strings.ContainsAny(s, "\\\ufffd") && !strings.HasPrefix(s, " ") && !strings.HasSuffix(s, " ")
}

// join sorts the files of a project and reports names that stand twice. Of two contents none is promoted.
func (l *loader) join(p *FileProject) {
	slices.SortStableFunc(p.Files, func(a, b DeclaredFile) int { return cmp.Compare(a.Name, b.Name) })
	var all []DeclaredFile
	for i := 0; i < len(p.Files); {
		same := i + 1
		for same < len(p.Files) && p.Files[same].Name == p.Files[i].Name {
			same++
		}
		first, conflict := p.Files[i], false
		for _, again := range p.Files[i+1 : same] {
			at := finding.Finding{Rule: ruleFileTwice, Severity: finding.Warning, Object: p.Name + "/" + again.Name, File: again.File, Line: again.Line, Fix: "remove one of both"}
			if again.SHA256 == first.SHA256 {
				l.found(at, "the file is declared at %s:%d as well", first.File, first.Line)
				continue
			}
			conflict, at.Severity, at.Fix = true, finding.Error, "keep the content that is meant; until then neither is promoted"
			l.found(at, "the file has another sha256 at %s:%d", first.File, first.Line)
		}
		if !conflict {
			all = append(all, first)
		}
		i = same
	}
	p.Files = all
}

// collisions finds files of several projects that are to be at one place with two contents: the store of one lies below that of
// another. None of them is promoted.
func (l *loader) collisions(set *FileSet) {
	at := map[string][]*FileProject{} // by the base of a destination
	for _, p := range set.Projects {
		for _, d := range p.Destinations {
			at[d.Base] = append(at[d.Base], p)
		}
	}
	clash := map[*FileProject]map[string]bool{}
	note := func(p, other *FileProject, f, against DeclaredFile) {
		if clash[p][f.Name] {
			return
		}
		if clash[p] == nil {
			clash[p] = map[string]bool{}
		}
		clash[p][f.Name] = true
		l.found(finding.Finding{
			Rule: ruleFileTwice, Severity: finding.Error, Object: p.Name + "/" + f.Name, File: f.File, Line: f.Line,
			Fix: "keep the content that is meant; until then neither is promoted",
		}, "project %s declares the same place with another sha256 at %s:%d", other.Name, against.File, against.Line)
	}
	for _, lower := range set.Projects {
		for _, d := range lower.Destinations {
			for i := range d.Base {
				if d.Base[i] != '/' {
					continue
				}
				below := d.Base[i+1:]
				for _, upper := range at[d.Base[:i+1]] {
					if upper == lower {
						continue
					}
					for _, f := range lower.Files {
						if same, ok := upper.File(below + f.Name); ok && same.SHA256 != f.SHA256 {
							note(lower, upper, f, same)
							note(upper, lower, same, f)
						}
					}
				}
			}
		}
	}
	for p, names := range clash {
		p.Files = slices.DeleteFunc(p.Files, func(f DeclaredFile) bool { return names[f.Name] })
	}
}

// Project returns a project by its name, or nil.
func (s *FileSet) Project(name string) *FileProject {
	for _, p := range s.Projects {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// File returns a declared file by its name.
func (p *FileProject) File(name string) (DeclaredFile, bool) {
	i, ok := slices.BinarySearchFunc(p.Files, name, func(f DeclaredFile, name string) int { return cmp.Compare(f.Name, name) })
	if !ok {
		return DeclaredFile{}, false
	}
	return p.Files[i], true
}

// ChangeFiles is what a step from one set to the next does that a reviewer has to know: a
// name with another content is overwritten in production, and what is not declared any more
// stays there.
func ChangeFiles(base, head *FileSet) []finding.Finding {
	var found []finding.Finding
	for _, p := range head.Projects {
		old := base.Project(p.Name)
		if old == nil {
			continue
		}
		for _, f := range p.Files {
			if was, known := old.File(f.Name); known && was.SHA256 != f.SHA256 {
				found = append(found, finding.Finding{
					Rule: ruleFileNew, Severity: finding.Warning, Object: p.Name + "/" + f.Name, Field: f.SHA256, File: f.File, Line: f.Line,
					Fix:     "give the new content a new name, unless the old one must not be served any more",
					Message: fmt.Sprintf("the content changes from sha256 %s: the file in production is overwritten, and the old one kept aside", was.SHA256),
				})
			}
		}
		if !p.Whole {
			continue // nobody knows what is gone
		}
		var gone []string
		for _, f := range old.Files {
			if _, still := p.File(f.Name); !still {
				gone = append(gone, f.Name)
			}
		}
		if len(gone) > 0 {
			found = append(found, finding.Finding{
				Rule: ruleFileGone, Severity: finding.Warning, Object: p.Name, Field: strings.Join(gone, " "), File: p.Stores,
				Fix:     "keep them, or have them removed from production by hand",
				Message: "not declared any more, which removes nothing from production: " + few(gone),
			})
		}
	}
	finding.Sort(found)
	return found
}

// Allowed finds destinations that lie below none of the places that a community promotes
// files to. Without places everything is allowed.
func (s *FileSet) Allowed(places []string) []finding.Finding {
	var found []finding.Finding
	for _, p := range s.Projects {
		for _, d := range p.Destinations {
			within := func(place string) bool { return strings.HasPrefix(d.Base, strings.TrimSuffix(place, "/")+"/") }
			if len(places) > 0 && !slices.ContainsFunc(places, within) {
				found = append(found, finding.Finding{
					Rule: ruleFileStore, Severity: finding.Error, Object: d.Base, File: p.Stores, Line: d.Line,
					Fix: "promote to the places that steward.yaml lists (promotion.stores)", Message: "the destination is below no place that files may go to",
				})
			}
		}
	}
	finding.Sort(found)
	return found
}
