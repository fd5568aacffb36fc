// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package demo shows steward at work on a machine of its own: a fake GitHub with
// the repository of a small community, a fake cloud with its buckets, mirrors, name
// servers and projects, the real steward-hook, steward-pool and jobs beside them, all
// on loopback, and a conversation between people, the bot and the jobs, printed as it
// happens and shown on a page.
//
// The conversation is a table (script.go). Every step says what must be in the
// answer, so that the demo is a test as well: with --once it fails where an
// expectation fails.
package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/config"
	"sigs.k8s.io/steward/internal/ghfake"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/wire"
)

const (
	repo   = "example-org/example-infra"
	bot    = "steward[bot]"
	token  = "demo-token"
	secret = "demo-secret"
)

// Command is `steward demo`.
func Command() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a conversation between a small community and steward, on this machine only",
		Long: `demo starts a fake GitHub with the repository of a small community, a fake cloud
with its buckets, mirrors, name servers and projects, and the real steward-hook and
steward-pool beside them, on loopback ports, and plays a conversation. A page shows
it, and the drift by owner. Then you can take part. Nothing outside this machine is
read or written.`,
		Example: "  steward demo\n  steward demo --once",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "play the conversation and end; exit code 1 where an answer is not as expected")
	return cmd
}

// Run plays the script. Without once it then reads commands from in, until its
// end or that of ctx.
func Run(ctx context.Context, in io.Reader, out io.Writer, once bool) (err error) {
	dir, err := os.MkdirTemp("", "steward-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &stage{out: out, dir: dir}
	if err := s.open(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	// Yesterday's run of the periodic job: everything is as declared.
	if _, _, err := s.audit(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := s.openPool(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.say("The page, for your browser:  %s", s.address)
	s.say("GitHub, the fake one:        %s", s.url)
	s.say("The cloud, a fake too:       %s", s.cloud.at.URL)
	s.say("steward-hook:                http://%s", s.hook.addresses.Webhook)
	s.say("steward-pool, and its page:  %s/pool", s.poolURL())
	if err := s.play(ctx, script()); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if once {
		return nil
	}
	return s.talk(ctx, in)
}

// stage is the fakes, the server and the page of one run.
type stage struct {
	out     io.Writer
	dir     string
	fake    *ghfake.Server
	url     string
	end     func() error
	hook    *server
	cloud   *cloud
	pool    *compute
	report  *report.Report // of the last audit
	page    page
	address string // of the page
	endPage func() error
}

// server is a running steward-hook.
type server struct {
	addresses wire.HookAddresses
	cancel    context.CancelFunc
	ended     chan error
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// open fills the fakes with the example community, and begins to serve the page.
func (s *stage) open() error {
	files, err := exampleFiles()
	if err != nil {
		return err
	}
	community, err := fs.Sub(config.Example, "example")
	if err != nil {
		return err
	}
	if s.cloud, err = openCloud(community); err != nil {
		return err
	}
	// A folder that lost its approvers: whoever may approve everything has to.
	files["apps/gallery/OWNERS"] = "reviewers:\n- tom\n"
	files[poolConfig], files["steward.yaml"] = poolFile, janitorSettings
	maps.Copy(files, siteFiles())
	if s.address, s.endPage, err = s.page.serve(); err != nil {
		return err
	}
	people := map[string]ghfake.UserSpec{bot: {}}
	members, collaborators := map[string]string{}, map[string]string{bot: "write"}
	for _, login := range []string{"alice", "bob", "dora", "gina", "pat", "rey", "ruth", "sven", "tom"} {
		people[login] = ghfake.UserSpec{}
		members[login] = "member"
		collaborators[login] = "read"
	}
	people["mallory"] = ghfake.UserSpec{} // not a member
	s.fake = ghfake.New(ghfake.Options{Dir: filepath.Join(s.dir, "git")})
	if err := s.fake.Load(&ghfake.Scenario{
		World: ghfake.World{
			Users: people, Tokens: map[string]string{token: bot},
			Orgs:  map[string]ghfake.OrgSpec{"example-org": {Members: members}},
			Repos: map[string]ghfake.RepoSpec{repo: {Collaborators: collaborators}},
		},
		Files: map[string]map[string]string{repo: files},
	}); err != nil {
		return err
	}
	s.url, s.end, err = s.fake.Listen("127.0.0.1:0")
	return err
}

func exampleFiles() (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(config.Example, "example", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(config.Example, path)
		files[strings.TrimPrefix(path, "example/")] = string(raw)
		return err
	})
	return files, err
}

func (s *stage) settings() string {
	return `pool: {config: [` + poolConfig + `]}
promotion: {sources: ["*.pkg.dev"], retention: 2160h}
repos:
  ` + repo + `:
    plugins: [owners, freeze, drift, promote, pool]
    aliases: {why: why, drift: drift}
    scopes: {dns: [dns/], promotion: [registry.k8s.io/]}
    promote: {job: periodic-steward-promote, interval: 24h}
    drift: {report: "file://` + s.published() + `/latest.json", job: periodic-steward-audit}
`
}

// start runs steward-hook as it would run beside Prow, and points the webhooks
// of the repository at it.
func (s *stage) start(ctx context.Context) error {
	for name, content := range map[string]string{"steward.yaml": s.settings(), "hmac": secret, "token": token} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(ctx)
	hook := &server{cancel: cancel, ended: make(chan error, 1)}
	started := make(chan wire.HookAddresses, 1)
	go func() {
		hook.ended <- wire.RunHook(ctx, wire.HookOptions{
			Config: filepath.Join(s.dir, "steward.yaml"), HMACSecretFile: filepath.Join(s.dir, "hmac"),
			TokenPath: filepath.Join(s.dir, "token"), DataDir: s.dir, PoolServer: s.poolURL(), Registries: map[string]string{"*": s.cloud.address()},
			GitHubEndpoints: []string{s.url}, GitHubGraphQL: s.url + "/graphql",
			BindAddress: "127.0.0.1", Grace: 10 * time.Second, ReconcileWindow: time.Hour,
			Log:     logrus.NewEntry(quiet),
			Started: func(a wire.HookAddresses) { started <- a },
		})
	}()
	select {
	case hook.addresses = <-started:
	case err := <-hook.ended:
		cancel()
		return err
	}
	s.hook = hook
	s.fake.DropHooks()
	owner, name, _ := strings.Cut(repo, "/")
	body, err := json.Marshal(map[string]string{"owner": owner, "repo": name, "url": "http://" + hook.addresses.Webhook + "/", "secret": secret})
	if err != nil {
		return err
	}
	return post(ctx, s.url+"/_fake/hooks", body)
}

// stop ends steward-hook as SIGTERM does.
func (s *stage) stop() error {
	if s.hook == nil {
		return nil
	}
	hook := s.hook
	s.hook = nil
	s.fake.DropHooks()
	hook.cancel()
	return <-hook.ended
}

func (s *stage) close() error {
	return errors.Join(s.closePool(), s.stop(), s.end(), s.cloud.end(), s.endPage())
}

// post sends JSON; get reads GitHub's API into out.
func post(ctx context.Context, url string, body []byte) error {
	_, err := request(ctx, http.MethodPost, url, body)
	return err
}

func (s *stage) get(ctx context.Context, path string, out any) error {
	raw, err := request(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

func request(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, resp.Status, raw)
	}
	return raw, err
}

// settle waits until every delivery is handled and no write follows.
func (s *stage) settle(ctx context.Context) error {
	for before := -1; ; {
		if err := s.fake.Idle(ctx); err != nil {
			return err
		}
		if s.hook != nil {
			if _, err := request(ctx, http.MethodGet, "http://"+s.hook.addresses.Debug+"/queue?idle", nil); err != nil {
				return err
			}
		}
		now := len(s.fake.Deliveries())
		if now == before {
			return nil
		}
		before = now
	}
}

// talk lets a person take part: WHO NUMBER TEXT.
func (s *stage) talk(ctx context.Context, in io.Reader) error {
	var examples strings.Builder
	for _, t := range tries() {
		fmt.Fprintf(&examples, "\n  %-75s %s", t.Line, t.Why)
	}
	s.say(next, examples.String()+"\n", s.address)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		fmt.Fprint(s.out, "> ")
		select {
		case <-ctx.Done():
			s.say("")
			return nil
		case line, more := <-lines:
			if !more {
				s.say("")
				return nil
			}
			if err := s.line(ctx, line); err != nil {
				s.say("  %v", err)
			}
		}
	}
}

func (s *stage) line(ctx context.Context, line string) error {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	s.page.begin("You: " + strings.TrimSpace(line))
	if strings.TrimSpace(line) == "audit" {
		_, _, err := s.audit(ctx)
		s.say("  done: look at %sreport", s.address)
		return err
	}
	parts := strings.SplitN(strings.TrimSpace(line), " ", 3)
	if len(parts) < 3 {
		return errors.New("write WHO NUMBER TEXT, for example: alice 1 /infra why")
	}
	number, err := strconv.Atoi(strings.TrimPrefix(parts[1], "#"))
	if err != nil {
		return fmt.Errorf("%q is not the number of a pull request", parts[1])
	}
	return s.perform(ctx, step{act: ghfake.Act{As: parts[0], Do: "comment", Number: number, Body: parts[2]}})
}
