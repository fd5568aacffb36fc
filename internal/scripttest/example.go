// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package scripttest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/config"
	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/report"
)

// Community gives scripts the example community and a cloud that is as it declares:
//
//	community            write its repository to the directory repo, and start its cloud
//	audits CODE [ARG...] run "steward audit run" on both and want exactly that exit code
//	nowhere TEXT PATH... want the text in no file of the paths, nor in their names
//	acknowledge REPORT RULE LOGIN FILE  write an entry of a JSON report's finding of a rule
//	                     into FILE, in place of what it holds, with a token in its reason
//
// It comes with cloudctl.
func Community() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"community": community, "audits": audits, "nowhere": nowhere, "acknowledge": acknowledge, "cloudctl": askCloud,
	}
}

func acknowledge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: acknowledge REPORT RULE LOGIN FILE")
	}
	read, err := report.Parse(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	i := slices.IndexFunc(read.Items, func(item report.Item) bool { return item.Rule == args[1] })
	if i < 0 {
		ts.Fatalf("the report has no finding of %s", args[1])
	}
	f := read.Items[i]
	content, err := ack.Add(nil, ack.Entry{
		ID: f.ID, State: f.State, Rule: f.Rule, Object: f.Object, ApprovedBy: args[2], Expires: time.Now().UTC().AddDate(0, 0, 30).Truncate(24 * time.Hour),
		Reason: "known, see ghp_" + strings.Repeat("c4n4ry", 6),
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), content, 0o600))
}

func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: nowhere TEXT PATH...")
	}
	looked := 0
	for _, path := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(path), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			looked++
			content, err := os.ReadFile(path)
			if err == nil && strings.Contains(path+"\n"+string(content), args[0]) {
				err = fmt.Errorf("%q stands in %s", args[0], path)
			}
			return err
		}))
	}
	if looked == 0 {
		ts.Fatalf("there is no file to look at")
	}
}

// reachFile holds the flags that let an audit read the cloud, one a line.
const reachFile = "reach"

func audits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: audits CODE [ARG...]")
	}
	command := append([]string{args[0], "steward", "audit", "run", "--dir=repo"}, strings.Split(ts.ReadFile(reachFile), "\n")...)
	exits(ts, false, append(command, args[1:]...))
}

func community(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: community")
	}
	files, err := fs.Sub(config.Example, "example")
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs("repo"), files))
	scenario, err := cloudfake.Declared(files, "dns: {servers: {ns1: {transfer: true}, ns2: {}}}")
	ts.Check(err)
	fake := cloudfake.New(cloudfake.Options{})
	ts.Check(fake.Load(scenario))
	at := serveCloud(ts, fake)
	reach := []string{"--gcs-endpoint=" + at.URL, "--registry=*=" + strings.TrimPrefix(at.URL, "http://")}
	for server := range strings.SplitSeq(at.Parts["dns"], ",") {
		_, address, _ := strings.Cut(server, "=")
		reach = append(reach, "--nameserver=*="+address)
	}
	ts.Check(os.WriteFile(ts.MkAbs(reachFile), []byte(strings.Join(reach, "\n")), 0o600))
}
