// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the rules that keep the code base in one shape: who may import whom, what every
// source file looks like, and which versions the modules share. docs/architecture.md numbers them (A-1 …).
//
// Every rule is a function over parsed source that returns what breaks it, so that a rule is tried on a small
// made-up tree in the same test run that applies it to this repository. Nothing here is linked into a binary.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Problem is one breach of one rule. Where is "file:line", a package path or a go.mod; Text says what is wrong
// and what to do about it.
type Problem struct {
	Where string
	Text  string
}

func (p Problem) String() string { return p.Where + ": " + p.Text }

// Tree is the parsed source of one module: its own packages without testdata and without nested modules.
type Tree struct {
	Module   string
	Fset     *token.FileSet
	Packages []*Package
}

// Package is one folder of Go files, tests included. Dir is slash-separated, relative to the module's root,
// and "." for the root itself.
type Package struct {
	Dir   string
	Files []*File
}

// File is one parsed source file; Name is relative to the module's root.
type File struct {
	Name   string
	Source []byte
	Syntax *ast.File
}

// Test says whether the file is compiled into test binaries only.
func (f *File) Test() bool { return strings.HasSuffix(f.Name, "_test.go") }

// Imports returns the import paths of the file.
func (f *File) Imports() []string {
	paths := make([]string, 0, len(f.Syntax.Imports))
	for _, spec := range f.Syntax.Imports {
		// The parser has already accepted the literal, so Unquote cannot fail.
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

// Load parses every Go file of the module rooted at fsys. A file that does not parse is an error: no rule can
// be said to hold on it.
func Load(fsys fs.FS, module string) (*Tree, error) {
	t := &Tree{Module: module, Fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(fsys, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		return t.parse(fsys, name)
	})
	if err != nil {
		return nil, fmt.Errorf("load module %s: %w", module, err)
	}
	return t, nil
}

// skipDir leaves out what the go command leaves out of a module as well.
func skipDir(fsys fs.FS, name string) error {
	if name == "." {
		return nil
	}
	base := path.Base(name)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) parse(fsys fs.FS, name string) error {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(t.Fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p := t.pkg(path.Dir(name))
	p.Files = append(p.Files, &File{Name: name, Source: src, Syntax: syntax})
	return nil
}

func (t *Tree) pkg(dir string) *Package {
	i := slices.IndexFunc(t.Packages, func(p *Package) bool { return p.Dir == dir })
	if i < 0 {
		t.Packages = append(t.Packages, &Package{Dir: dir})
		i = len(t.Packages) - 1
	}
	return t.Packages[i]
}

// at reports a problem at a place in the source.
func (t *Tree) at(pos token.Pos, format string, args ...any) Problem {
	p := t.Fset.Position(pos)
	return Problem{Where: p.Filename + ":" + strconv.Itoa(p.Line), Text: fmt.Sprintf(format, args...)}
}

// local returns the folder of an import path of this module.
func (t *Tree) local(importPath string) (dir string, ok bool) {
	if importPath == t.Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, t.Module+"/")
}
