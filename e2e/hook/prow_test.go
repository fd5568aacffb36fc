// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/prowhook"
	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/ghfake"
)

const prowConfig = "prowjob_namespace: default\npod_namespace: test-pods\n"

// stanza is the external_plugins part of config/prow/plugins.yaml with another address and repository.
func stanza(t *testing.T, address, name string) string {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile(filepath.Join(root, "config", "prow", "plugins.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	external, _, found := strings.Cut(string(shipped), "\nplugins:")
	if !found || !strings.Contains(external, "http://steward-hook/owners") {
		t.Fatalf("config/prow/plugins.yaml has another form:\n%s", shipped)
	}
	return strings.NewReplacer("http://steward-hook", address, repo, name).Replace(external)
}

// withHook is a scenario in which Prow's account exists, too.
func withHook(scenario string) string {
	return strings.NewReplacer("users: {", "users: {k8s-ci-robot: {}, ", "tokens: {", "tokens: {not-a-token: k8s-ci-robot, ").Replace(scenario)
}

// H-1: a comment on a pull request travels from GitHub through Prow's hook to steward-hook and comes back as one
// answer about the real OWNERS files of kubernetes/k8s.io.
func TestThroughHookOnK8sIO(t *testing.T) {
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(root, "..", "shared", "data", "k8s.io")
	if _, err := os.Stat(filepath.Join(tree, "OWNERS")); err != nil {
		t.Skip("no ../shared/data/k8s.io")
	}
	const name = "kubernetes/k8s.io"
	g := startGitHub(t, withHook(`-- github.yaml --
users: {"steward[bot]": {}, ameukam: {}, outsider: {}}
tokens: {t-steward: "steward[bot]"}
orgs: {kubernetes: {members: {ameukam: member}}}
repos:
  kubernetes/k8s.io:
    dir: `+tree+`
    collaborators: {"steward[bot]": write}
-- pull/kubernetes/k8s.io/1/pull.yaml --
title: Add a record
author: outsider
-- pull/kubernetes/k8s.io/1/files/dns/zone-configs/k8s.io._0_base.yaml --
'': {type: A, value: 192.0.2.1}
`))
	s := startSteward(t, g, "reconcile: 24h\nrepos:\n  "+name+":\n    plugins: [owners, freeze]\n    scopes: {dns: [dns/]}\n")
	h := prowhook.Start(t, prowhook.Config{Prow: prowConfig, Plugins: stanza(t, "http://"+s.Webhook, name), GitHub: g.URL, Secret: secret})
	s.reconcile()
	g.hook(h.URL+"/hook", name)
	done := g.act(ghfake.Act{As: "ameukam", Do: "comment", Repo: name, Number: 1, Body: "Who may merge this?\n\n/infra why @ameukam"})
	s.awaitAnswer(g, name, 1, "owners", done.ID)
	a := g.answered(name, 1, "owners")
	if a.stickies != 1 || !strings.Contains(a.body, "`dns/zone-configs/k8s.io._0_base.yaml`") || !strings.Contains(a.body, "dns/OWNERS") {
		t.Errorf("%d stickies, the last one:\n%s", a.stickies, a.body)
	}
	for context, text := range map[string]string{"steward/owners": "success: ", "steward/freeze": "success: "} {
		if got := g.contexts(name, 1)[context]; !strings.HasPrefix(got, text) {
			t.Errorf("%s is %q", context, got)
		}
	}
	s.noDeadLetters()
}

// awaitAnswer waits for the write that answers a comment. What is under way between two programs can only be seen at
// its end.
func (s *steward) awaitAnswer(g *github, name string, number int, topic string, id int64) {
	s.t.Helper()
	query := url.Values{"login": {bot}, "repo": {name}, "number": {fmt.Sprint(number)}, "wait": {child.Patience.String()}}
	query.Set("body", fmt.Sprintf("<!-- steward:answer %d -->", id))
	var found []ghfake.Audit
	g.control(http.MethodGet, "audit?"+query.Encode(), nil, &found)
	if len(found) == 0 {
		s.t.Fatalf("no answer to comment %d under %s:\n%s", id, topic, s.proc.Tail())
	}
	s.idle()
}

// The help that Prow's deck shows comes from hook, which asks every external plugin (specs: help endpoint).
func TestHelpThroughHook(t *testing.T) {
	g := startGitHub(t, withHook(small))
	s := startSteward(t, g, allPlugins)
	h := prowhook.Start(t, prowhook.Config{Prow: prowConfig, Plugins: stanza(t, "http://"+s.Webhook, repo), GitHub: g.URL, Secret: secret})
	var help struct {
		RepoExternalPlugins map[string][]string
		ExternalPluginHelp  map[string]struct {
			Description string
			Config      map[string]string
			Events      []string
			Commands    []struct {
				Usage, Description, WhoCanUse string
				Examples                      []string
			}
		}
	}
	if err := ask(http.MethodGet, h.URL+"/plugin-help", nil, &help); err != nil {
		t.Fatal(err)
	}
	for name, verbs := range map[string][]string{"steward-owners": {"why"}, "steward-freeze": {"freeze", "unfreeze", "frozen"}, "steward-drift": {"drift", "drift rerun", "drift accept"},
		"steward-pool": {"pool status", "pool release", "pool extend", "pool reserve", "pool quarantine", "pool heal"}} {
		p := help.ExternalPluginHelp[name]
		if p.Description == "" || p.Config[repo] == "" || len(p.Events) != 5 {
			t.Errorf("help of %s is %+v", name, p)
		}
		var usages []string
		for _, c := range p.Commands {
			if usages = append(usages, c.Usage); c.Description == "" || c.WhoCanUse == "" || len(c.Examples) == 0 {
				t.Errorf("%s: help of %q is %+v", name, c.Usage, c)
			}
		}
		for _, verb := range verbs {
			if !strings.Contains(strings.Join(usages, "\n")+"\n", "/infra "+verb) {
				t.Errorf("%s: no %s among the commands %q", name, verb, usages)
			}
		}
	}
	if len(help.RepoExternalPlugins[repo]) != 5 {
		t.Errorf("plugins of the repository: %v", help.RepoExternalPlugins)
	}
}

// line is the connection from hook to steward-hook. It can be cut, and spoilt for the events of people; those of
// the bot's own writes pass and are counted.
type line struct {
	t       *testing.T
	address string // host:port, always the same
	to      *httputil.ReverseProxy
	server  *http.Server
	own     chan struct{}

	mu    sync.Mutex
	spoil func(w http.ResponseWriter, r *http.Request) (forward bool)
}

func newLine(t *testing.T, s *steward) *line {
	t.Helper()
	l := &line{t: t, address: "127.0.0.1:0", own: make(chan struct{}, 100)}
	l.to = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.Webhook})
	l.mend()
	t.Cleanup(l.cut)
	return l
}

// mend makes the line good, on the same port as before.
func (l *line) mend() {
	l.t.Helper()
	l.with(nil)
	if l.server != nil {
		return
	}
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.address = listener.Addr().String()
	l.server = &http.Server{Handler: l}
	l.server.SetKeepAlivesEnabled(false)                                  // hook loses what it sends on a connection that is just being closed
	go func(server *http.Server) { _ = server.Serve(listener) }(l.server) // ends when the line is cut
}

// cut refuses connections from now on.
func (l *line) cut() {
	if l.server != nil {
		_ = l.server.Close()
		l.server = nil
	}
}

func (l *line) with(spoil func(http.ResponseWriter, *http.Request) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoil = spoil
}

func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var event struct{ Sender struct{ Login string } }
	if err == nil && len(body) > 0 { // hook sends none at a second attempt
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		l.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	spoil := l.spoil
	l.mu.Unlock()
	switch {
	case event.Sender.Login == bot:
		l.to.ServeHTTP(w, r)
		l.own <- struct{}{}
	case spoil == nil || spoil(w, r):
		l.to.ServeHTTP(w, r)
	}
}

// Faults between hook and its plugin (specs: delivery guarantees). Hook gives an event up after three seconds of
// refused connections, and at once after anything else; a pass finds what was lost. Whatever happens, there is one
// answer and nothing is done twice.
func TestFaultsBehindHook(t *testing.T) {
	g := startGitHub(t, withHook(small))
	s := startSteward(t, g, settings)
	l := newLine(t, s)
	plugins := fmt.Sprintf("external_plugins:\n  %s:\n  - {name: steward-owners, endpoint: 'http://%s/owners', events: [issue_comment]}\n", repo, l.address)
	h := prowhook.Start(t, prowhook.Config{Prow: prowConfig, Plugins: plugins, GitHub: g.URL, Secret: secret})
	lost := lostEvents(t, h)
	s.reconcile()
	g.hook(h.URL+"/hook", repo, "issue_comment")
	said := 0
	say := func() int64 {
		said++
		id := g.comment("alice", 1, fmt.Sprintf("/infra why @user%d dns/zone.yaml", said))
		g.delivered()
		return id
	}
	answered := func(id int64) {
		t.Helper()
		s.awaitAnswer(g, repo, 1, "owners", id)
	}
	healed := func(id int64) {
		t.Helper()
		<-lost
		l.mend()
		if a := g.answered(repo, 1, "owners"); a.ids[id] {
			t.Errorf("comment %d was answered although hook lost its event", id)
		}
		s.reconcile()
		if a := g.answered(repo, 1, "owners"); !a.ids[id] {
			t.Errorf("comment %d is not answered after a pass", id)
		}
	}

	step := func(name string, do func()) {
		t.Log(name)
		do()
		<-l.own // every step ends in one write, whose event must not meet the next fault
	}
	step("well", func() { answered(say()) })
	step("down for a moment", func() {
		l.cut()
		id := say()
		l.mend()
		answered(id)
	})
	step("down for long", func() {
		l.cut()
		id := say()
		healed(id)
	})
	step("slow", func() {
		asked, enough, through := make(chan struct{}), make(chan struct{}), make(chan struct{})
		l.with(func(w http.ResponseWriter, r *http.Request) bool {
			close(asked)
			<-enough
			l.to.ServeHTTP(w, r)
			close(through)
			return false
		})
		id := say()
		<-asked
		l.with(nil)
		answered(say()) // answers both: a look is at the whole thread
		close(enough)
		<-through
		answered(id)
	})
	step("reset after the body", func() {
		l.with(func(w http.ResponseWriter, r *http.Request) bool {
			reset(t, w)
			return false
		})
		healed(say())
	})
	step("reset after the event was journaled", func() {
		l.with(func(w http.ResponseWriter, r *http.Request) bool {
			l.to.ServeHTTP(discard{http.Header{}}, r)
			reset(t, w)
			return false
		})
		id := say()
		<-lost
		l.mend()
		answered(id)
	})
	step("status 500", func() {
		l.with(func(w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "500 Internal Server Error", http.StatusInternalServerError)
			return false
		})
		healed(say())
	})
	step("well again", func() { answered(say()) })
	s.reconcile()
	s.noDeadLetters()
	if a := g.answered(repo, 1, "owners"); a.stickies != 1 || len(a.ids) != said {
		t.Errorf("%d stickies with %d of %d answers", a.stickies, len(a.ids), said)
	}
	if n := len(g.writes("comment.create")); n != 1 {
		t.Errorf("%d comments were made", n)
	}
}

// lostEvents tells when hook gives an event up, which it only logs. tail -F waits for more without polling here.
func lostEvents(t *testing.T, h *prowhook.Hook) <-chan struct{} {
	t.Helper()
	lost := make(chan struct{}, 100)
	child.Start(t, filepath.Join(t.TempDir(), "tail.log"), func(line []byte) bool {
		var entry struct{ Msg string }
		if json.Unmarshal(line, &entry) == nil && strings.Contains(entry.Msg, "Error dispatching event to external plugin") {
			lost <- struct{}{}
		}
		return true
	}, "tail", "-n", "+1", "-F", h.Log)
	return lost
}

func reset(t *testing.T, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// discard is an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
