// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/scripttest"
	"sigs.k8s.io/steward/internal/wire/cli"
	"sigs.k8s.io/steward/internal/wire/serve"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"steward": func() { os.Exit(serve.Main(cli.Command())) }})
}

// The scripts are the manual of the command:
//
//	registries               start registries of all names, at $REGISTRY
//	push NAME REPO [TAG...]  put the image of a name (i1, i2, …) there; $NAME is its digest, $NAME_SIG the tag for its signatures
//	fill FILE...             put the values of variables into files
//	holds REF [NAME]         want the tag to stand for the image, with all its layers; ! holds REF: nothing
//	keypair NAME...          write NAME.key and NAME.pub
//	signs NAME REPOSITORY DIGEST REFERENCE  sign an image there with NAME.key, as others do
//	many N NAME REPOSITORY DIGEST REFERENCE  the same, so many times
//	signed NAME REPOSITORY DIGEST  print how many signatures by NAME.pub it has, as OLD BUNDLES RECORDS
//	job CODE NAME [ARG...]   run in repo what config/prow has for a ProwJob, with its bucket of state at $WORK/state, and want that exit code
//	down HOST...             these fail from now on; without any, none does, and requests are forgotten
//	wrote N TEXT             want so many manifests put since, with the text in HOST PATH
//	asked N METHOD TEXT      want so many requests since
func TestScripts(t *testing.T) {
	commands := scripttest.GitHub()
	maps.Copy(commands, scripttest.CommandLine())
	var serving sync.Map // by address: scripts run at once
	of := func(ts *testscript.TestScript) *registries {
		r, ok := serving.Load(ts.Getenv("REGISTRY"))
		if !ok {
			ts.Fatalf("there are no registries yet")
		}
		return r.(*registries)
	}
	maps.Copy(commands, map[string]func(*testscript.TestScript, bool, []string){
		"registries": func(ts *testscript.TestScript, _ bool, _ []string) {
			r := newRegistries()
			ts.Defer(r.server.Close)
			ts.Setenv("REGISTRY", r.address())
			serving.Store(r.address(), r)
		},
		"push": func(ts *testscript.TestScript, _ bool, args []string) {
			digest, err := of(ts).push(args[1], seedOf(ts, args[0]), args[2:]...)
			ts.Check(err)
			ts.Setenv(args[0], digest)
			ts.Setenv(args[0]+"_SIG", attest.SignatureTag(digest))
		},
		"fill": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, file := range args {
				ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
			}
		},
		"layout": func(ts *testscript.TestScript, _ bool, args []string) { layout(ts, args[0]) },
		"holds":  func(ts *testscript.TestScript, neg bool, args []string) { holds(ts, of(ts), neg, args) },
		"keypair": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, name := range args {
				ts.Check(keyPair(ts.MkAbs(name)))
			}
		},
		"job":    func(ts *testscript.TestScript, _ bool, args []string) { shipped(ts, commands["exits"], args) },
		"signed": func(ts *testscript.TestScript, _ bool, args []string) { signed(ts, of(ts), args) },
		"many": func(ts *testscript.TestScript, _ bool, args []string) {
			n, err := strconv.Atoi(args[0])
			ts.Check(err)
			for range n {
				signs(ts, of(ts), args[1:])
			}
		},
		"signs": func(ts *testscript.TestScript, _ bool, args []string) { signs(ts, of(ts), args) },
		"down": func(ts *testscript.TestScript, _ bool, hosts []string) {
			of(ts).heal()
			for _, h := range hosts {
				ts.Check(of(ts).fail(h))
			}
		},
		"wrote": func(ts *testscript.TestScript, _ bool, args []string) {
			if got := of(ts).count("PUT", args[1]) - of(ts).count("PUT", "/blobs/"); fmt.Sprint(got) != args[0] {
				ts.Fatalf("%d manifests were put", got)
			}
		},
		"asked": func(ts *testscript.TestScript, _ bool, args []string) {
			if got := of(ts).count(args[1], args[2]); fmt.Sprint(got) != args[0] {
				ts.Fatalf("%d requests", got)
			}
		},
	})
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: scripttest.Setup, Cmds: commands})
}

func seedOf(ts *testscript.TestScript, name string) int64 {
	seed, err := strconv.ParseInt(name[1:], 10, 64)
	ts.Check(err)
	return seed
}

func holds(ts *testscript.TestScript, r *registries, neg bool, args []string) {
	got := r.digest(args[0])
	switch {
	case neg && got != "":
		ts.Fatalf("%s stands for %s", args[0], got)
	case neg:
		return
	case got != ts.Getenv(args[1]):
		ts.Fatalf("%s stands for %q", args[0], got)
	}
	ts.Check(r.whole(args[0]))
}
