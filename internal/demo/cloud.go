// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/wire/cli"
)

// cloud is the buckets, mirrors and name servers of the community and the projects that
// it lends, as the fake cloud has them.
type cloud struct {
	fake *cloudfake.Server
	at   cloudfake.Addresses
	end  func() error
}

// openCloud starts a cloud in which everything is as the repository declares it.
func openCloud(repository fs.FS) (*cloud, error) {
	scenario, err := cloudfake.Declared(repository, "dns: {servers: {ns1: {transfer: true}, ns2: {}}}\noci: {any: true}")
	if err != nil {
		return nil, err
	}
	c := &cloud{fake: cloudfake.New(cloudfake.Options{})}
	if err := errors.Join(c.fake.Load(scenario), c.lend()); err != nil {
		return nil, err
	}
	c.at, c.end, err = c.fake.Listen("127.0.0.1:0")
	return c, err
}

// change asks a control of the fake cloud.
type change struct{ path, body, told string }

// reach are the flags that let the audit read this cloud instead of Google's.
func (c *cloud) reach() []string {
	args := []string{"--gcs-endpoint", c.at.URL, "--registry", "*=" + c.address()}
	for server := range strings.SplitSeq(c.at.Parts["dns"], ",") {
		name, address, _ := strings.Cut(server, "=")
		args = append(args, "--nameserver", "*="+name+".fake.="+address)
	}
	return args
}

// steward runs the real command line in this process, on a fresh checkout of the main
// branch, and returns what it prints and its exit code.
func (s *stage) steward(ctx context.Context, args ...string) (out string, code int, err error) {
	dir := filepath.Join(s.dir, "checkout")
	if err := errors.Join(os.RemoveAll(dir), s.checkout(ctx, dir)); err != nil {
		return "", 0, fmt.Errorf("check out: %w", err)
	}
	return execute(ctx, append(args, "--dir", dir)...)
}

// execute is steward in this process. What it prints on either output is returned in one.
func execute(ctx context.Context, args ...string) (out string, code int, err error) {
	var stdout, stderr bytes.Buffer
	cmd := cli.Command()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(ctx)
	if code = job.Code(err); code == job.Failed {
		return "", code, fmt.Errorf("steward %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	if err != nil {
		fmt.Fprintln(&stderr, err)
	}
	return stdout.String() + stderr.String(), code, nil
}

// audit is the periodic job. The report is published to a folder, where steward-hook
// and the page read it.
func (s *stage) audit(ctx context.Context) (out string, code int, err error) {
	args := append([]string{"audit", "run", "--artifacts=", "--state", "file://" + filepath.Join(s.dir, "state"), "--publish", "file://" + s.published(),
		"--links", "https://github.com/" + repo}, s.cloud.reach()...)
	out, code, err = s.steward(ctx, args...)
	if err != nil {
		return out, code, err
	}
	raw, err := os.ReadFile(filepath.Join(s.published(), "latest.json"))
	if err != nil {
		return out, code, err
	}
	r, err := report.Parse(bytes.NewReader(raw))
	if err != nil {
		return out, code, err
	}
	html, err := os.ReadFile(filepath.Join(s.published(), "latest.html"))
	s.page.audited(r, html)
	s.report = r
	return out, code, err
}

func (s *stage) published() string { return filepath.Join(s.dir, "reports") }

// checkout writes the main branch to a folder.
func (s *stage) checkout(ctx context.Context, dir string) error {
	var listing struct {
		Tree []struct{ Path, Type, SHA string }
	}
	if err := s.get(ctx, "/repos/"+repo+"/git/trees/main?recursive=1", &listing); err != nil {
		return err
	}
	for _, entry := range listing.Tree {
		if entry.Type != "blob" {
			continue
		}
		var blob struct{ Content string }
		if err := s.get(ctx, "/repos/"+repo+"/git/blobs/"+entry.SHA, &blob); err != nil {
			return err
		}
		content, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(blob.Content, "\n", ""))
		if err != nil {
			return err
		}
		file := filepath.Join(dir, filepath.FromSlash(path.Clean("/"+entry.Path)))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, content, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// fill replaces {id RULE OBJECT} by the id of a finding of the last audit, and
// {in N days} by a date.
func (s *stage) fill(text string) (string, error) {
	var problem error
	text = placeholder.ReplaceAllStringFunc(text, func(match string) string {
		words := strings.Fields(strings.Trim(match, "{}"))
		switch {
		case words[0] == "in":
			days := 0
			_, problem = fmt.Sscan(words[1], &days)
			return time.Now().UTC().AddDate(0, 0, days).Format("2006-01-02")
		case s.report == nil:
			problem = errors.New("there was no audit yet")
			return match
		}
		for _, item := range s.report.Items {
			if item.Rule == words[1] && strings.Contains(item.Object, words[2]) {
				return item.ID
			}
		}
		problem = fmt.Errorf("the last audit has no finding %s of %s", words[1], words[2])
		return match
	})
	return text, problem
}
