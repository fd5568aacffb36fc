// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scripttest gives testscript files a GitHub and the real steward-hook.
//
// A script is a world, a conversation and what must be there afterwards, and
// reads like the manual. Scenarios are added without Go. $SOON is a day in 30 days, $LATE
// one in 300. Commands:
//
//	github FILE             start a fake GitHub with the scenario in FILE; $GITHUB is its URL
//	hook [FLAG...]          start steward-hook beside it, journaling in $WORK/data
//	[!] hookfails [FLAG...] start it and expect it to end with an error on stderr
//	sigterm | sigkill       end it; after SIGTERM the exit code has to be 0
//	act WHO DO REPO[/N] K=V...  let somebody act on GitHub; VALUE may be @FILE
//	fault K=V... | heal     inject a fault into GitHub, or end all of them
//	delivered               wait until every webhook was answered
//	settle                  wait until every delivery is handled and no write follows
//	reconcile               let steward-hook look through all repositories
//	lose                    forget $WORK/data, as a lost volume does
//	comment REPO/N TOPIC    print the sticky of a topic; fails if there is none or two
//	contexts REPO/N         print the commit statuses of the head
//	issue REPO/N            print state, title and text of an issue
//	pulls REPO              print number, state, branch and title of the pull requests
//	content REPO REF PATH   print a file of a repository
//	audit KIND              print how often GitHub performed a kind of write
//	cluster FILE            start a cluster with Prow's runs in FILE; its file is kubeconfig
//	prowjobs                print the runs: job, state, and why steward started it
//	clusterdenies [METHOD]  let the cluster refuse a method, or nothing more
//	expand FILE...          put the script's variables into files
//	replay [ARG...]         run "steward hook replay" against it
//	debug METHOD PATH       ask steward-hook's debug port
//	health PATH             ask the health port
//	log                     print what steward-hook has logged so far
//	metric NAME             print a metric's lines
//	pool [FLAG...]          start steward-pool with pool.yaml; $STEWARD_POOL is its URL, for steward pool too
//	poolends                end it with SIGTERM; the exit code has to be 0
//	issuer                  start an issuer of tokens; $ISSUER is its URL
//	token NS/ACCOUNT FILE   write a service account's token for the audience pool
//	exits N COMMAND...      want exactly that exit code
package scripttest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/ghfake"
	"sigs.k8s.io/steward/internal/kubefake"
)

// patience bounds every wait. It is not a timing assertion: what takes longer hangs.
const patience = 2 * time.Minute

// Run runs the scripts of a directory. The test binary must offer the programs that
// they use (steward-hook, steward-pool, steward) through testscript.Main.
func Run(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               Setup,
		Cmds:                GitHub(),
	})
}

// Setup makes the world of one script, for tests that have commands of their own beside GitHub's.
func Setup(env *testscript.Env) error {
	env.Values[worldKey{}] = &world{}
	env.Setenv("SOON", time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly))
	env.Setenv("LATE", time.Now().UTC().AddDate(0, 0, 300).Format(time.DateOnly))
	return nil
}

// GitHub is the commands; they need Setup.
func GitHub() map[string]func(*testscript.TestScript, bool, []string) {
	out := map[string]func(*testscript.TestScript, bool, []string){"exits": exits}
	for name, run := range map[string]func(*world, *testscript.TestScript, []string) error{
		"github": (*world).github, "hook": (*world).hook, "sigterm": (*world).sigterm, "sigkill": (*world).sigkill,
		"act": (*world).act, "fault": (*world).fault, "heal": (*world).heal, "settle": (*world).settle,
		"reconcile": (*world).reconcile, "lose": (*world).lose, "comment": (*world).comment,
		"contexts": (*world).contexts, "issue": (*world).issue, "audit": (*world).audit,
		"debug": (*world).debug, "metric": (*world).metric, "hookfails": (*world).hookFails, "replay": (*world).replay,
		"delivered": (*world).delivered, "health": (*world).health, "log": (*world).showLog,
		"pulls": (*world).pulls, "content": (*world).content, "cluster": (*world).cluster, "prowjobs": (*world).prowjobs,
		"clusterdenies": (*world).clusterDenies,
		"pool":          (*world).pool, "poolends": (*world).poolEnds, "issuer": (*world).issues, "token": (*world).token,
		"expand": func(_ *world, ts *testscript.TestScript, args []string) error { return expand(ts, args) },
	} {
		out[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			w, _ := ts.Value(worldKey{}).(*world)
			err := run(w, ts, args)
			switch {
			case neg && err == nil:
				ts.Fatalf("%s succeeded", name)
			case !neg && err != nil:
				ts.Fatalf("%s: %v", name, err)
			}
		}
	}
	return out
}

type worldKey struct{}

// world is one script's GitHub and server.
type world struct {
	fake  *ghfake.Server
	url   string
	repos []string
	prow  *kubefake.Server
	proc  *process

	lender   *process // steward-pool
	poolPort string
	issuer   *issuer
}

// process is a running steward-hook or steward-pool.
type process struct {
	cmd    *exec.Cmd
	log    *tail
	ended  chan error
	served map[string]string // fields of the Serving line
}

const (
	secret = "0123456789abcdef"
	token  = "t-steward"
	login  = "steward[bot]"
)

func (w *world) github(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: github FILE")
	}
	// A txtar file inside a txtar file is quoted with > (testscript's unquote).
	text := strings.ReplaceAll("\n"+ts.ReadFile(args[0]), "\n>", "\n")
	sc, err := ghfake.ParseScenario([]byte(text[1:]))
	if err != nil {
		return err
	}
	w.repos = slices.Collect(maps.Keys(sc.World.Repos))
	w.fake = ghfake.New(ghfake.Options{})
	if err := w.fake.Load(sc); err != nil {
		return err
	}
	var stop func() error
	if w.url, stop, err = w.fake.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	ts.Setenv("GITHUB", w.url)
	ts.Defer(func() {
		if w.proc != nil {
			_ = w.proc.cmd.Process.Kill()
			<-w.proc.ended
		}
		if err := stop(); err != nil {
			ts.Logf("stop ghfake: %v", err)
		}
	})
	for name, content := range map[string]string{"hmac": secret, "token": token} {
		if err := os.WriteFile(ts.MkAbs(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// hook starts the binary with a token, a secret and ports of its own.
func (w *world) hook(ts *testscript.TestScript, args []string) error {
	if w.proc != nil {
		return errors.New("it runs already")
	}
	proc, err := w.start(ts, args)
	if err != nil {
		return err
	}
	select {
	case w := <-proc.log.serving:
		proc.served = w
	case err := <-proc.ended:
		return fmt.Errorf("ended before it served (%v):\n%s", err, proc.log)
	case <-time.After(patience):
		return fmt.Errorf("does not serve:\n%s", proc.log)
	}
	w.proc = proc
	return w.connect(proc.served["address"])
}

func (w *world) start(ts *testscript.TestScript, args []string) (*process, error) {
	path, err := look(ts.Getenv("PATH"), "steward-hook")
	if err != nil {
		return nil, err
	}
	flags := []string{
		"--config=steward.yaml", "--hmac-secret-file=hmac", "--github-token-path=token", "--data-dir=data", "--dry-run=false",
		"--github-endpoint=" + w.url, "--github-graphql-endpoint=" + w.url + "/graphql", "--bind-address=127.0.0.1",
		"--port=0", "--health-port=0", "--metrics-port=0", "--pprof-port=0", "--log-level=debug",
	}
	proc := &process{cmd: exec.Command(path, append(flags, args...)...), ended: make(chan error, 1)}
	proc.log = &tail{serving: make(chan map[string]string, 1)}
	proc.cmd.Dir = ts.MkAbs(".")
	proc.cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"))
	proc.cmd.Stderr = proc.log
	if err := proc.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { proc.ended <- proc.cmd.Wait() }()
	return proc, nil
}

// hookFails starts the server and waits for its end; its log becomes stderr.
func (w *world) hookFails(ts *testscript.TestScript, args []string) error {
	proc, err := w.start(ts, args)
	if err != nil {
		return err
	}
	select {
	case err = <-proc.ended:
	case <-time.After(patience):
		_ = proc.cmd.Process.Kill()
		return errors.New("it did not end")
	}
	fmt.Fprint(ts.Stderr(), proc.log.String())
	if err == nil {
		return errors.New("it ended without an error")
	}
	return nil
}

func look(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH", name)
}

// connect makes GitHub post its webhooks to the server, for every repository.
func (w *world) connect(address string) error {
	var hooks []map[string]any
	for _, repo := range w.repos {
		owner, name, _ := strings.Cut(repo, "/")
		hooks = append(hooks, map[string]any{"owner": owner, "repo": name, "url": "http://" + address + "/", "secret": secret})
	}
	w.fake.DropHooks()
	body, err := json.Marshal(hooks)
	if err != nil {
		return err
	}
	_, err = ask(http.MethodPost, w.url+"/_fake/hooks", body)
	return err
}

func (w *world) sigterm(*testscript.TestScript, []string) error { return w.end(syscall.SIGTERM) }

func (w *world) sigkill(*testscript.TestScript, []string) error { return w.end(syscall.SIGKILL) }

func (w *world) end(signal syscall.Signal) error {
	if w.proc == nil {
		return errors.New("it does not run")
	}
	proc := w.proc
	w.proc = nil
	w.fake.DropHooks()
	if err := proc.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case err := <-proc.ended:
		if signal == syscall.SIGTERM && err != nil {
			return fmt.Errorf("after SIGTERM: %v\n%s", err, proc.log)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("it does not end:\n%s", proc.log)
	}
}

func (w *world) lose(ts *testscript.TestScript, _ []string) error {
	return os.RemoveAll(ts.MkAbs("data"))
}

// act reads WHO DO REPO[#N] and fields of ghfake.Act as KEY=VALUE.
func (w *world) act(ts *testscript.TestScript, args []string) error {
	if len(args) < 3 {
		return errors.New("usage: act WHO DO REPO[/NUMBER] [KEY=VALUE...]")
	}
	fields := map[string]any{"as": args[0], "do": args[1]}
	repo, number := split(args[2])
	fields["repo"] = repo
	if number != "" {
		n, err := strconv.Atoi(number)
		if err != nil {
			return err
		}
		fields["number"] = n
	}
	if err := addFields(ts, fields, args[3:]); err != nil {
		return err
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	out, err := ask(http.MethodPost, w.url+"/_fake/act", raw)
	fmt.Fprint(ts.Stdout(), string(out))
	return err
}

// addFields parses KEY=VALUE; KEY.SUB=VALUE makes a map; a value @FILE is the
// content of a file, and a value that is JSON stays what it is.
func addFields(ts *testscript.TestScript, into map[string]any, args []string) error {
	for _, arg := range args {
		key, text, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not KEY=VALUE", arg)
		}
		if file, isFile := strings.CutPrefix(text, "@"); isFile && !strings.Contains(file, " ") {
			text = ts.ReadFile(file)
		}
		var value any = text
		if n, err := strconv.Atoi(text); err == nil {
			value = n
		} else if b, err := strconv.ParseBool(text); err == nil {
			value = b
		} else if strings.HasPrefix(text, "[") {
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		outer, inner, nested := strings.Cut(key, ".")
		if !nested {
			into[key] = value
			continue
		}
		m, _ := into[outer].(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		m[inner] = text
		into[outer] = m
	}
	return nil
}

func (w *world) fault(ts *testscript.TestScript, args []string) error {
	fields := map[string]any{}
	if err := addFields(ts, fields, args); err != nil {
		return err
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = ask(http.MethodPost, w.url+"/_fake/faults", raw)
	return err
}

func (w *world) heal(*testscript.TestScript, []string) error {
	w.fake.Heal()
	return nil
}

func (w *world) delivered(*testscript.TestScript, []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.fake.Idle(ctx)
}

// settle waits until neither side has anything to do: a write makes a webhook,
// which makes a look, which may write again.
func (w *world) settle(*testscript.TestScript, []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for before := -1; ; {
		if err := w.fake.Idle(ctx); err != nil {
			return err
		}
		if w.proc != nil {
			if _, err := w.askHook(http.MethodGet, "/queue?idle"); err != nil {
				return err
			}
		}
		now := len(w.fake.Deliveries())
		if now == before {
			return nil
		}
		before = now
	}
}

func (w *world) reconcile(*testscript.TestScript, []string) error {
	_, err := w.askHook(http.MethodPost, "/reconcile")
	return err
}

func (w *world) askHook(method, path string) ([]byte, error) {
	if w.proc == nil {
		return nil, errors.New("steward-hook does not run")
	}
	return ask(method, "http://"+w.proc.served["debug"]+path, nil)
}

func (w *world) replay(ts *testscript.TestScript, args []string) error {
	if w.proc == nil {
		return errors.New("steward-hook does not run")
	}
	path, err := look(ts.Getenv("PATH"), "steward")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, append([]string{"hook", "replay", "--server", "http://" + w.proc.served["debug"]}, args...)...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	return cmd.Run()
}

func (w *world) debug(ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: debug METHOD PATH")
	}
	out, err := w.askHook(args[0], args[1])
	fmt.Fprint(ts.Stdout(), string(out))
	return err
}

func (w *world) health(ts *testscript.TestScript, args []string) error {
	if w.proc == nil || len(args) != 1 {
		return errors.New("usage: health PATH, while steward-hook runs")
	}
	out, err := ask(http.MethodGet, "http://"+w.proc.served["health"]+args[0], nil)
	fmt.Fprint(ts.Stdout(), string(out))
	return err
}

func (w *world) showLog(ts *testscript.TestScript, _ []string) error {
	if w.proc == nil {
		return errors.New("steward-hook does not run")
	}
	fmt.Fprint(ts.Stdout(), w.proc.log.String())
	return nil
}

func (w *world) metric(ts *testscript.TestScript, args []string) error {
	if w.proc == nil || len(args) != 1 {
		return errors.New("usage: metric NAME, while steward-hook runs")
	}
	out, err := ask(http.MethodGet, "http://"+w.proc.served["metrics"]+"/metrics", nil)
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, args[0]) {
			fmt.Fprint(ts.Stdout(), line)
		}
	}
	return err
}

// get asks GitHub's own API as the bot.
func (w *world) get(path string, out any) error {
	raw, err := ask(http.MethodGet, w.url+path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// split reads ORG/NAME or ORG/NAME/NUMBER; a # would begin a comment in a script.
func split(s string) (repo, number string) {
	parts := strings.SplitN(s, "/", 3)
	if len(parts) == 3 {
		number = parts[2]
	}
	return strings.Join(parts[:min(2, len(parts))], "/"), number
}

func place(args []string, n int) (repo, number string, err error) {
	if len(args) != n {
		return "", "", fmt.Errorf("want %d arguments", n)
	}
	repo, number = split(args[0])
	if number == "" {
		return "", "", fmt.Errorf("%q is not ORG/NAME/NUMBER", args[0])
	}
	return repo, number, nil
}

func (w *world) comment(ts *testscript.TestScript, args []string) error {
	repo, number, err := place(args, 2)
	if err != nil {
		return err
	}
	var comments []struct{ Body string }
	if err := w.get("/repos/"+repo+"/issues/"+number+"/comments?per_page=100", &comments); err != nil {
		return err
	}
	var found []string
	for _, c := range comments {
		if strings.HasPrefix(c.Body, "<!-- steward:"+args[1]+" ") {
			found = append(found, c.Body)
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("%d stickies of topic %s", len(found), args[1])
	}
	fmt.Fprint(ts.Stdout(), found[0])
	return nil
}

func (w *world) contexts(ts *testscript.TestScript, args []string) error {
	repo, number, err := place(args, 1)
	if err != nil {
		return err
	}
	var pull struct{ Head struct{ SHA string } }
	if err := w.get("/repos/"+repo+"/pulls/"+number, &pull); err != nil {
		return err
	}
	var combined struct {
		Statuses []struct{ Context, State, Description string }
	}
	if err := w.get("/repos/"+repo+"/commits/"+pull.Head.SHA+"/status", &combined); err != nil {
		return err
	}
	var lines []string
	for _, s := range combined.Statuses {
		lines = append(lines, fmt.Sprintf("%s %s: %s\n", s.Context, s.State, s.Description))
	}
	slices.Sort(lines)
	fmt.Fprint(ts.Stdout(), strings.Join(lines, ""))
	return nil
}

func (w *world) issue(ts *testscript.TestScript, args []string) error {
	repo, number, err := place(args, 1)
	if err != nil {
		return err
	}
	var i struct{ State, Title, Body string }
	if err := w.get("/repos/"+repo+"/issues/"+number, &i); err != nil {
		return err
	}
	fmt.Fprintf(ts.Stdout(), "%s: %s\n%s", i.State, i.Title, i.Body)
	return nil
}

func (w *world) audit(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: audit KIND")
	}
	n := 0
	for _, a := range w.fake.Audit(ghfake.Audit{Kind: args[0]}) {
		if a.Login == login {
			n++
		}
	}
	fmt.Fprintln(ts.Stdout(), n)
	return nil
}

func ask(method, url string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
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
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, raw)
	}
	return raw, err
}

// tail keeps a process's log and announces its Serving line.
type tail struct {
	mu      sync.Mutex
	text    bytes.Buffer
	read    int
	serving chan map[string]string
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	scanner := bufio.NewScanner(bytes.NewReader(l.text.Bytes()[l.read:]))
	for scanner.Scan() {
		var line map[string]any
		if json.Unmarshal(scanner.Bytes(), &line) != nil {
			break // half a line: more comes
		}
		l.read += len(scanner.Bytes()) + 1
		if line["msg"] == "Serving" {
			fields := map[string]string{}
			for k, v := range line {
				fields[k] = fmt.Sprint(v)
			}
			l.serving <- fields
		}
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
