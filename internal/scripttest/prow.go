// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package scripttest

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/kubefake"
)

// cluster starts a cluster with Prow's namespace and writes a kubeconfig for it. A line
// of the file is NAME JOB STARTED, and "running" where it has not ended.
func (w *world) cluster(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 || w.prow != nil {
		return errors.New("usage: cluster FILE, once")
	}
	w.prow = kubefake.New("prow", token)
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		words := strings.Fields(line)
		if len(words) < 3 {
			return fmt.Errorf("%s: want NAME JOB STARTED [running], not %q", args[0], line)
		}
		started, err := time.Parse(time.RFC3339, words[2])
		if err != nil {
			return err
		}
		w.prow.Put(kubefake.Run{Name: words[0], Job: words[1], Started: started, Done: len(words) == 3})
	}
	server := httptest.NewTLSServer(w.prow.Handler()) // client-go sends a token over TLS only
	ts.Defer(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return os.WriteFile(ts.MkAbs("kubeconfig"), w.prow.Kubeconfig(server.URL, ca, "token: "+token), 0o600)
}

// prowjobs prints the runs by name: JOB STATE and what steward says about it.
func (w *world) prowjobs(ts *testscript.TestScript, _ []string) error {
	if w.prow == nil {
		return errors.New("there is no cluster")
	}
	objects := w.prow.Objects()
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		o := objects[name]
		fmt.Fprintf(ts.Stdout(), "%s %s %s\n", o.Text("spec", "job"), o.Text("status", "state"), o.Text("metadata", "annotations", "steward.sigs.k8s.io/why"))
	}
	return nil
}

// clusterDenies lets the cluster refuse a method from now on; without one it heals.
func (w *world) clusterDenies(_ *testscript.TestScript, args []string) error {
	if w.prow == nil || len(args) > 1 {
		return errors.New("usage: clusterdenies [METHOD], while there is a cluster")
	}
	w.prow.Heal()
	if len(args) == 0 {
		return nil
	}
	return w.prow.Inject(fault.Rule{Action: "status", Status: http.StatusForbidden, Method: args[0]})
}

// expand puts the script's variables into a file.
func expand(ts *testscript.TestScript, args []string) error {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		if err := os.WriteFile(ts.MkAbs(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// content prints a file of a repository at a branch.
func (w *world) content(ts *testscript.TestScript, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: content REPO BRANCH PATH")
	}
	var file struct{ Content string }
	if err := w.get("/repos/"+args[0]+"/contents/"+args[2]+"?ref="+args[1], &file); err != nil {
		return err
	}
	text, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(file.Content, "\n", ""))
	fmt.Fprint(ts.Stdout(), string(text))
	return err
}

// pulls prints the pull requests of a repository: NUMBER STATE BRANCH TITLE.
func (w *world) pulls(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: pulls REPO")
	}
	var all []struct {
		Number       int
		State, Title string
		Head         struct{ Ref string }
	}
	if err := w.get("/repos/"+args[0]+"/pulls?state=all&per_page=100&direction=asc", &all); err != nil {
		return err
	}
	for _, p := range all {
		fmt.Fprintf(ts.Stdout(), "%d %s %s %s\n", p.Number, p.State, p.Head.Ref, p.Title)
	}
	return nil
}
