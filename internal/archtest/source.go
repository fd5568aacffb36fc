// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"
)

// maxLines is the longest a function outside tests may be, in lines from "func" to its closing brace.
const maxLines = 60

// licence is how every Go file begins.
const licence = "// Copyright The Steward Authors.\n// SPDX-License-Identifier: Apache-2.0\n\n"

// Licence finds Go files without the licence header.
func Licence(t *Tree) []Problem {
	return t.files(func(p *Package, f *File) []Problem {
		if bytes.HasPrefix(f.Source, []byte(licence)) {
			return nil
		}
		return []Problem{{f.Name, "does not start with the two licence lines and an empty line"}}
	})
}

// Documented finds packages without a package comment. "Package x" or, for a program, "Command x" opens it.
func Documented(t *Tree) []Problem {
	var problems []Problem
	for _, p := range t.Packages {
		if !slices.ContainsFunc(p.Files, documents) {
			problems = append(problems, Problem{p.Dir, "has no package comment that begins with \"Package \" or \"Command \""})
		}
	}
	return problems
}

func documents(f *File) bool {
	doc := f.Syntax.Doc.Text()
	return strings.HasPrefix(doc, "Package ") || strings.HasPrefix(doc, "Command ")
}

// Named finds package names that say nothing of what is inside.
func Named(t *Tree) []Problem {
	vague := []string{"base", "common", "helper", "helpers", "manager", "misc", "shared", "types", "util", "utils"}
	var problems []Problem
	for _, p := range t.Packages {
		if slices.Contains(vague, path.Base(p.Dir)) {
			problems = append(problems, Problem{p.Dir, "is a grab bag by name: name the package for what it provides"})
		}
	}
	return problems
}

// Short finds functions outside tests that are longer than a reader can hold.
func Short(t *Tree) []Problem {
	return t.functions(func(f *File, fn *ast.FuncDecl) []Problem {
		lines := t.Fset.Position(fn.End()).Line - t.Fset.Position(fn.Pos()).Line + 1
		if f.Test() || lines <= maxLines {
			return nil
		}
		return []Problem{t.at(fn.Pos(), "%s has %d lines, more than %d: split it", fn.Name.Name, lines, maxLines)}
	})
}

// NoInit finds init functions: what a program is made of is listed, not registered.
func NoInit(t *Tree) []Problem {
	return t.functions(func(_ *File, fn *ast.FuncDecl) []Problem {
		if fn.Name.Name != "init" || fn.Recv != nil {
			return nil
		}
		return []Problem{t.at(fn.Pos(), "func init: return the value from a function and list it where it is used")}
	})
}

// NoExit finds ways out of the process in packages that are not a program: panic, os.Exit and Fatal of a logger.
// In a fake, Fatal of a test or a script is what it is for, and net/http has one panic that is no way out.
func NoExit(t *Tree) []Problem {
	return t.files(func(_ *Package, f *File) []Problem {
		var problems []Problem
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if ok && exits(call) && !f.Test() && f.Syntax.Name.Name != "main" {
				problems = append(problems, t.at(call.Pos(), "ends the process: return an error, only main exits"))
			}
			return true
		})
		return problems
	})
}

func exits(call *ast.CallExpr) bool {
	if fn, ok := call.Fun.(*ast.Ident); ok {
		return fn.Name == "panic" && types.ExprString(call.Args[0]) != "http.ErrAbortHandler"
	}
	fn, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	recv, _ := fn.X.(*ast.Ident)
	testing := recv != nil && slices.Contains([]string{"t", "tb", "ts", "b", "f"}, recv.Name)
	return strings.HasPrefix(fn.Sel.Name, "Fatal") && !testing ||
		recv != nil && recv.Name == "os" && fn.Sel.Name == "Exit"
}

// NoSleep finds tests that wait by the clock. A test waits for what it is about, or runs with testing/synctest,
// where time passes at once.
func NoSleep(t *Tree) []Problem {
	return t.files(func(_ *Package, f *File) []Problem {
		var problems []Problem
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !f.Test() || sel.Sel.Name != "Sleep" || slices.Contains(f.Imports(), "testing/synctest") {
				return true
			}
			if recv, ok := sel.X.(*ast.Ident); ok && recv.Name == "time" {
				problems = append(problems, t.at(sel.Pos(), "time.Sleep in a test: wait for the event itself"))
			}
			return true
		})
		return problems
	})
}

// Constant finds package variables that change after their declaration: assigned, counted, deleted from,
// addressed or of a type that exists to change (a lock, an atomic, a pool).
func Constant(t *Tree) []Problem {
	var problems []Problem
	for _, p := range t.Packages {
		for _, files := range p.byName() {
			problems = append(problems, t.mutations(p, files)...)
		}
	}
	return problems
}

// byName separates a package from its external test package, which is another scope in the same folder.
func (p *Package) byName() map[string][]*ast.File {
	split := map[string][]*ast.File{}
	for _, f := range p.Files {
		split[f.Syntax.Name.Name] = append(split[f.Syntax.Name.Name], f.Syntax)
	}
	return split
}

func (t *Tree) mutations(p *Package, files []*ast.File) []Problem {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	// Imports are left unresolved: scopes alone tell a package variable from a local of the same name, and the
	// errors that come of it are expected.
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := conf.Check(p.Dir, t.Fset, files, info)
	var problems []Problem
	report := func(e ast.Expr, what string) {
		if id := rootIdent(e); id != nil && packageVar(pkg, info, id) {
			problems = append(problems, t.at(id.Pos(), "package variable %s is %s: pass a value instead", id.Name, what))
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			eachMutation(n, report)
			return true
		})
		problems = append(problems, t.changeable(f)...)
	}
	return problems
}

// eachMutation calls report for each expression that the node changes or hands out for change.
func eachMutation(n ast.Node, report func(ast.Expr, string)) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, e := range n.Lhs {
			report(e, "assigned")
		}
	case *ast.IncDecStmt:
		report(n.X, "counted")
	case *ast.RangeStmt:
		report(n.Key, "assigned")
		report(n.Value, "assigned")
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			report(n.X, "addressed")
		}
	case *ast.CallExpr:
		if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear" || fn.Name == "copy") && len(n.Args) > 0 {
			report(n.Args[0], "changed")
		}
	}
}

// rootIdent returns the variable at the root of x, x.f, x[i], x[i:j], *x and (x).
func rootIdent(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return rootIdent(e.X)
	case *ast.IndexExpr:
		return rootIdent(e.X)
	case *ast.SliceExpr:
		return rootIdent(e.X)
	case *ast.StarExpr:
		return rootIdent(e.X)
	case *ast.ParenExpr:
		return rootIdent(e.X)
	}
	return nil
}

func packageVar(pkg *types.Package, info *types.Info, id *ast.Ident) bool {
	obj := info.ObjectOf(id)
	if scope := pkg.Scope().Innermost(id.Pos()); obj == nil && scope != nil {
		// Inside a statement whose types depend on an import nothing is recorded, but scopes are.
		_, obj = scope.LookupParent(id.Name, id.Pos())
	}
	v, ok := obj.(*types.Var)
	return ok && v.Parent() == pkg.Scope()
}

// changeable finds package variables declared with a type of sync or sync/atomic.
func (t *Tree) changeable(f *ast.File) []Problem {
	var problems []Problem
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			value := spec.(*ast.ValueSpec)
			if id := rootIdent(value.Type); id != nil && (id.Name == "sync" || id.Name == "atomic") {
				problems = append(problems, t.at(value.Pos(), "package variable %s exists to change: put it in a value", value.Names[0].Name))
			}
		}
	}
	return problems
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not resolved") }

func (t *Tree) files(check func(*Package, *File) []Problem) []Problem {
	var problems []Problem
	for _, p := range t.Packages {
		for _, f := range p.Files {
			problems = append(problems, check(p, f)...)
		}
	}
	return problems
}

func (t *Tree) functions(check func(*File, *ast.FuncDecl) []Problem) []Problem {
	return t.files(func(_ *Package, f *File) []Problem {
		var problems []Problem
		for _, decl := range f.Syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				problems = append(problems, check(f, fn)...)
			}
		}
		return problems
	})
}
