// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/thread"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

const everywhere = thread.OpenPull | thread.MergedPull | thread.ClosedPull | thread.OpenIssue | thread.ClosedIssue

// toy is a plugin of all kinds of rows.
func toy() Plugin {
	example := []command.Example{{Line: "x", Reply: "y"}}
	row := func(verb string, where thread.Where, who command.Who, run command.Handler) command.Row {
		return command.Row{Verb: verb, Args: "[word…]", Where: where, Who: who, Help: "Helps.", Examples: example, Run: run}
	}
	echo := command.Pure(func(_ *thread.Snapshot, c command.Call, _ time.Time) command.Reply {
		return command.Reply{Text: "echo " + strings.Join(c.Args, "+")}
	})
	set := command.Pure(func(_ *thread.Snapshot, c command.Call, _ time.Time) command.Reply {
		issue := thread.Issue{Key: "toy/" + c.Args[0], Title: strings.Join(c.Args, " "), Open: true, Stamp: thread.StampOf(c.Comment)}
		return command.Reply{Text: "set", Actions: []thread.Action{issue}}
	})
	get := command.Pure(func(s *thread.Snapshot, c command.Call, _ time.Time) command.Reply {
		r, _ := s.Record("toy/" + c.Args[0])
		return command.Reply{Text: "title " + r.Title}
	})
	first := func(_ *thread.Snapshot, c command.Call) []string { return c.Args }
	acting := row("act", thread.OpenPull|thread.OpenIssue, command.ApproverOf("approvers of the paths", first), set)
	acting.Acts = true
	hasty := command.ApproverOf("approvers of nothing", func(*thread.Snapshot, command.Call) []string { return nil })
	return Plugin{
		Name: "toy", Summary: "Plays.", Contexts: []string{"steward/toy"},
		Rows: []command.Row{
			row("echo", thread.OpenPull|thread.OpenIssue, command.Member(), echo),
			row("all", everywhere, command.Anyone(), echo),
			row("set", thread.OpenPull|thread.OpenIssue, command.Member(), set),
			row("get", thread.OpenPull|thread.OpenIssue, command.Member(), get),
			acting,
			row("hasty", thread.OpenPull, hasty, set),
			row("careful", thread.OpenPull, hasty, echo),
			row("boom", thread.OpenPull, command.Member(), command.Pure(func(*thread.Snapshot, command.Call, time.Time) command.Reply {
				panic("secret value of the universe")
			})),
			row("fail", thread.OpenPull, command.Member(), func(context.Context, *thread.Snapshot, command.Call, time.Time) (command.Reply, error) {
				return command.Reply{}, errors.New("read zone: timeout")
			}),
			row("steal", thread.OpenPull, command.Member(), command.Pure(func(*thread.Snapshot, command.Call, time.Time) command.Reply {
				return command.Reply{Text: "x", Actions: []thread.Action{thread.Issue{Key: "freeze/all"}}}
			})),
			row("echo twice", thread.OpenPull, command.Member(), command.Pure(func(_ *thread.Snapshot, c command.Call, _ time.Time) command.Reply {
				return command.Reply{Text: "twice " + strings.Join(append(c.Args, c.Args...), "+")}
			})),
			row("start", thread.OpenPull, command.Member(), command.Pure(func(*thread.Snapshot, command.Call, time.Time) command.Reply {
				return command.Reply{Text: "x", Actions: []thread.Action{thread.StartJob{Key: "toy/1"}}}
			})),
			row("unread", thread.OpenPull, command.ApproverOfRead("approvers of what is read", func(_ context.Context, _ *thread.Snapshot, c command.Call) ([]string, error) {
				if len(c.Args) == 0 {
					return nil, errors.New("the list is not there")
				}
				return c.Args, nil
			}), echo),
		},
		Watch: Watch(func(context.Context, *thread.Snapshot) (int, error) { return 0, nil },
			func(s *thread.Snapshot, _ int, _ time.Time) []thread.Action {
				return []thread.Action{thread.Status{Context: "steward/toy", State: thread.Success, Description: fmt.Sprint(len(s.Records))}}
			}),
	}
}

// other fails or panics in its watcher.
func other(watch Watcher) Plugin {
	return Plugin{Name: "other", Summary: "Fails.", Contexts: []string{"steward/other"}, Watch: watch}
}

// crowd knows members; logins that begin with err cannot be looked up.
type crowd struct {
	members string
	asked   []string
}

func (c *crowd) Member(_ context.Context, _ thread.Repo, login string) (bool, error) {
	c.asked = append(c.asked, login)
	if strings.HasPrefix(login, "err") {
		return false, errors.New("GitHub is unwell")
	}
	return strings.Contains(c.members, strings.ToLower(login)), nil
}

func snapshot(t *testing.T, where thread.Where, comments ...thread.Comment) *thread.Snapshot {
	t.Helper()
	tree, err := acl.Load(fstest.MapFS{
		"OWNERS":        {Data: []byte("approvers: [root, rita]\n")},
		"dns/OWNERS":    {Data: []byte("options: {no_parent_owners: true}\napprovers:\n- dora\n- gone\n")},
		"broken/OWNERS": {Data: []byte("approvers: {\n")},
	}, "0123456789abcdef", acl.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &thread.Snapshot{
		Key: thread.Key{Repo: thread.Repo{Org: "org", Name: "repo"}, Number: 1}, Where: where, Bot: "steward[bot]",
		Comments: comments, Owners: tree, BaseCommit: "0123456789abcdef", Base: "main", Default: "main", Head: "head",
		Statuses: map[string]thread.Status{},
	}
}

func comment(id int64, author, body string) thread.Comment {
	return thread.Comment{ID: id, Author: author, Body: body, Created: noon.Add(time.Duration(id) * time.Second)}
}

func options() Options {
	return Options{
		Enabled: []string{"toy"}, Aliases: map[string]string{"ecko": "echo"},
		Members: &crowd{members: "alice bob dora root rita errol"},
	}
}

func newSet(t *testing.T, plugins ...Plugin) *Set {
	t.Helper()
	set, err := NewSet(plugins)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// answers is what is said, by topic and comment.
func answers(actions []thread.Action) map[string]string {
	said := map[string]string{}
	for _, a := range actions {
		if a, ok := a.(thread.Answer); ok {
			said[fmt.Sprintf("%s %d", a.Topic, a.Comment)] = a.Body
		}
	}
	return said
}

// unescaped is a body as one reads it: how much is escaped is not the point here.
var unescaped = strings.NewReplacer(`\`, "", "&#58;", ":", "\u2060", "")

func TestCommentToAnswer(t *testing.T) {
	const link = "](#issuecomment-7)\n\n"
	tests := []struct {
		rule, author, body string
		where              thread.Where
		topic              string // "" wants silence
		want               string // all of the answer, or a part of it after …
	}{
		{"C-1", "alice", "/infra echo a b", thread.OpenPull, "toy", "`alice`: [`/infra echo a b`" + link + "echo a+b"},
		{"C-15", "alice", "/ecko a", thread.OpenPull, "toy", "`alice`: [`/ecko a`" + link + "echo a"},
		{"C-6", "alice", "/infra echo a\n/infra all b", thread.OpenPull, "toy",
			"`alice`: [`/infra echo a`" + link + "echo a\n\n`alice`: [`/infra all b`" + link + "echo b"},
		{"C-1", "alice", "/infra echo twice a", thread.OpenPull, "toy", "`alice`: [`/infra echo twice a`" + link + "twice a+a"},
		{"C-1", "alice", "/INFRA Echo TWICE a", thread.OpenPull, "toy", "…twice a+a"},
		{"C-1", "alice", "/infra echo twices a", thread.OpenPull, "toy", "…echo twices+a"},
		{"C-1", "alice", "/infra act twice", thread.OpenPull, "toy", "…Denied"},
		{"C-15", "alice", "/ecko twice a", thread.OpenPull, "toy", "…twice a+a"},
		{"C-1", "mallory", "/infra help echo twice", thread.OpenPull, "infra", "…`/infra echo twice [word…]` or `/ecko twice [word…]`: Helps."},
		{"C-1", "mallory", "/infra help echo twixe", thread.OpenPull, "infra", "…`/infra echo [word…]` or `/ecko [word…]`: Helps."},
		{"C-9", "dora", "/infra unread dns", thread.OpenPull, "toy", "…echo dns"},
		{"C-10", "alice", "/infra unread dns", thread.OpenPull, "toy", "…- `dns`: not an approver"},
		{"C-5", "", "/infra all", thread.OpenPull, "", ""},
		{"C-5", "steward[bot]", "/infra all", thread.OpenPull, "", ""},
		{"C-9", "ALICE", "/infra echo", thread.OpenPull, "toy", "…echo"},
		{"C-9", "mallory", "/infra echo", thread.OpenPull, "toy", "…Denied: `/infra echo [word…]` is for members of the organization, and GitHub does not list `mallory`"},
		{"C-9", "mallory", "/infra all", thread.OpenPull, "toy", "…echo"},
		{"C-9", "dora", "/infra act dns", thread.OpenPull, "toy", "…set"},
		{"C-9", "gone", "/infra act dns", thread.OpenPull, "toy", "…Denied: `/infra act [word…]` is for approvers of the paths, and GitHub does not list `gone`"},
		{"C-10", "root", "/infra act dns", thread.OpenPull, "toy",
			"…Denied: `root` may not approve what this command is about, by OWNERS at `0123456789ab`.\n- `dns`: not an approver, and dns/OWNERS:1 shuts out the files above it (no_parent_owners)."},
		{"C-10", "root", "/infra act dns", thread.OpenPull, "toy", "…It can be approved by `dora`, `gone` (`dns/OWNERS`)."},
		{"C-10", "root", "/infra act broken", thread.OpenPull, "toy", "…Nobody may before `broken/OWNERS` is mended; that can be approved by `rita`, `root` (`OWNERS`)."},
		{"C-10", "dora", "/infra act .", thread.OpenPull, "toy", "…the root of the repository: not an approver in any OWNERS file"},
		{"C-10", "dora", "/infra act dns x", thread.OpenPull, "toy", "…- `x`: not an approver"},
		{"C-10", "root", "/infra act ../x", thread.OpenPull, "toy", "…Denied: `root`"},
		{"C-8", "alice", "/infra boom", thread.OpenIssue, "toy", "…Not here: `/infra boom [word…]` works on open pull requests."},
		{"C-8", "alice", "/infra echo", thread.ClosedPull, "", ""},
		{"C-8", "alice", "/infra echo", thread.ClosedIssue, "", ""},
		{"C-8", "alice", "/infra echo\n/infra all x", thread.ClosedPull, "toy", "`alice`: [`/infra all x`" + link + "echo x"},
		{"C-12", "mallory", "/infra eccho x", thread.OpenPull, "infra", "…There is no command `eccho`. Did you mean `/infra echo`? `/infra help` lists the commands."},
		{"C-12", "mallory", "/infra zzzzzz", thread.OpenPull, "infra", "…There is no command `zzzzzz`. `/infra help` lists the commands."},
		{"C-12", "mallory", "/infra eccho x", thread.ClosedIssue, "", ""},
		{"C-12", "mallory", "/infra @org/everyone", thread.OpenPull, "infra", "…There is no command `@org/everyone`."},
		{"C-1", "mallory", "/infra", thread.OpenIssue, "infra", "…- `/infra echo [word…]` or `/ecko [word…]`: Helps."},
		{"C-1", "mallory", "/infra help ACT", thread.OpenIssue, "infra", "…- Who: approvers of the paths\n- Expires: 24 hours after it was posted"},
		{"C-1", "mallory", "/infra help atc", thread.OpenIssue, "infra", "…Did you mean `/infra act`?"},
		{"C-4", "alice", "/infra echo " + strings.Repeat("x", 600), thread.OpenPull, "toy", "…Not run: the line has 612 bytes, and a command has at most 512."},
		{"C-7", "alice", "/infra echo `a` ``` | <b> [x](y)", thread.OpenPull, "toy", "`alice`: [````/infra echo `a` ``` | <b> [x](y)````" + link + "echo a+```+|+<b>+[x](y)"},
	}
	for _, tt := range tests {
		s := snapshot(t, tt.where, comment(7, tt.author, tt.body))
		actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), noon)
		if err != nil {
			t.Errorf("%s: %q by %s: %v", tt.rule, tt.body, tt.author, err)
		}
		said := answers(actions)
		got := unescaped.Replace(said[tt.topic+" 7"])
		part, isPart := strings.CutPrefix(tt.want, "…")
		switch {
		case tt.topic == "" && len(said) > 0, tt.topic != "" && len(said) != 1,
			!isPart && got != tt.want, isPart && !strings.Contains(got, part):
			t.Errorf("%s: %q by %s says\n%v\nwant %s:\n%s", tt.rule, tt.body, tt.author, said, tt.topic, tt.want)
		}
	}
}

func TestBotsAndEditsAreNoCommands(t *testing.T) {
	bot, edited := comment(7, "alice", "/infra all"), comment(8, "alice", "/infra all")
	bot.Bot, edited.Edited = true, true
	s := snapshot(t, thread.OpenPull, bot, edited)
	actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), noon)
	if err != nil || len(answers(actions)) != 0 {
		t.Errorf("C-5: %v, %v", answers(actions), err)
	}
}

func TestActingCommandsExpire(t *testing.T) {
	for _, tt := range []struct {
		age  time.Duration
		verb string
		want string
	}{
		{command.Freshness, "act dns", "\n\nset"},
		{command.Freshness + time.Second, "act dns", "Expired: a command that acts is carried out within 24 hours"},
		{command.Freshness + time.Second, "echo x", "\n\necho x"},
		{-time.Hour, "act dns", "\n\nset"}, // GitHub's clock is ahead of ours
	} {
		c := comment(7, "dora", "/infra "+tt.verb)
		s := snapshot(t, thread.OpenPull, c)
		actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), c.Created.Add(tt.age))
		if got := answers(actions)["toy 7"]; err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("C-11: %s after %v: %q, %v", tt.verb, tt.age, got, err)
		}
	}
}

// A missing fact costs its own comment and topic, and nothing else.
func TestErrorsStayWhereTheyAre(t *testing.T) {
	s := snapshot(t, thread.OpenPull,
		comment(1, "alice", "/infra set a x\n/infra fail\n/infra nope"),
		comment(2, "errol", "/infra echo\n/infra help"),
		comment(3, "alice", "/infra boom"),
		comment(4, "alice", "/infra steal"),
		comment(5, "alice", "/infra echo fine"),
		comment(6, "alice", "/infra hasty a"),
		comment(7, "alice", "/infra careful a"),
		comment(8, "alice", "/infra start"),
		comment(9, "alice", "/infra unread"),
	)
	actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), noon)
	said := answers(actions)
	if len(said) != 4 || said["toy 7"] == "" || said["infra 1"] == "" || said["infra 2"] == "" || said["toy 5"] == "" {
		t.Errorf("C-14: said %v", said)
	}
	for _, a := range actions {
		if _, ok := a.(thread.Issue); ok {
			t.Errorf("C-14: an action of a comment without an answer: %v", a)
		}
	}
	for _, want := range []string{
		"answer comment 1 of org/repo#1 for toy: read zone: timeout",
		"answer comment 2 of org/repo#1 for toy: GitHub is unwell",
		"plugin toy on org/repo#1: panic: secret value",
		"answer comment 6 of org/repo#1 for toy: command hasty: it acts although nobody's approval was checked",
		"answer comment 8 of org/repo#1 for toy: command start: it acts although its row does not say so",
		"answer comment 9 of org/repo#1 for toy: the list is not there",
		"answer comment 4 of org/repo#1 for toy: action thread.Issue is not the plugin's to take",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	var p *PanicError
	if !errors.As(err, &p) || len(p.Stack) == 0 || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("the stack belongs into its own field: %v", err)
	}
}

func TestOnlyOwnActions(t *testing.T) {
	p := Plugin{Name: "toy", Contexts: []string{"steward/toy"}}
	for _, tt := range []struct {
		own    bool
		action thread.Action
	}{
		{true, thread.Pull{Branch: "steward/toy/a-1"}},
		{false, thread.Pull{Branch: "steward/toys/a-1"}},
		{false, thread.Pull{Branch: "steward/toy/../main"}},
		{false, thread.Pull{Branch: "main"}},
		{true, thread.StartJob{Key: "toy/1"}},
		{false, thread.StartJob{Key: "toys/1"}},
		{true, thread.PoolCall{Key: "toy/1"}},
		{false, thread.PoolCall{Key: "toys/1"}},
		{true, thread.Issue{Key: "toy/1"}},
		{true, thread.Status{Context: "steward/toy"}},
		{false, thread.Status{Context: "steward/toys"}},
		{false, thread.Answer{Topic: "toy"}}, // the set answers
	} {
		if err := onlyOwn(p, []thread.Action{tt.action}); (err == nil) != tt.own {
			t.Errorf("%+v: %v", tt.action, err)
		}
	}
}

func TestOneBadWatcherCostsItself(t *testing.T) {
	bad := map[string]Watcher{
		"no luck": func(context.Context, *thread.Snapshot, time.Time) ([]thread.Action, error) {
			return nil, errors.New("no luck")
		},
		"panic: assignment": func(context.Context, *thread.Snapshot, time.Time) ([]thread.Action, error) {
			panic("assignment to entry in nil map")
		},
		"not the plugin's to take": func(context.Context, *thread.Snapshot, time.Time) ([]thread.Action, error) {
			return []thread.Action{thread.Status{Context: "steward/toy", State: thread.Success}}, nil
		},
	}
	for want, watch := range bad {
		opts := options()
		opts.Enabled = []string{"other", "toy"}
		actions, err := newSet(t, other(watch), toy()).Decide(t.Context(), snapshot(t, thread.OpenPull), opts, noon)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "watch org/repo#1 for other") {
			t.Errorf("err = %v, want %s", err, want)
		}
		if len(actions) != 1 {
			t.Errorf("%s: actions %v", want, actions)
		}
	}
}

func TestMembershipIsAskedOncePerLogin(t *testing.T) {
	members := &crowd{members: "alice"}
	opts := options()
	opts.Members = members
	s := snapshot(t, thread.OpenPull,
		comment(1, "Alice", "/infra echo a\n/infra echo b"), comment(2, "alice", "/infra echo"), comment(3, "mallory", "/infra echo"))
	if _, err := newSet(t, toy()).Decide(t.Context(), s, opts, noon); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(members.asked, " "); got != "Alice mallory" {
		t.Errorf("asked for %s", got)
	}
}

// A later command sees what an earlier one did, and the watcher sees both.
func TestLaterCommandsSeeEarlierOnes(t *testing.T) {
	s := snapshot(t, thread.OpenPull,
		comment(1, "alice", "/infra set a one\n/infra get a"), comment(2, "alice", "/infra set a two"), comment(3, "alice", "/infra get a"))
	actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), noon)
	said := answers(actions)
	if err != nil || !strings.Contains(said["toy 1"], "title a one") || !strings.Contains(said["toy 3"], "title a two") {
		t.Errorf("C-6: %v, %v", said, err)
	}
	var records, statuses []string
	for _, a := range actions {
		switch a := a.(type) {
		case thread.Issue:
			records = append(records, a.Title)
		case thread.Status:
			statuses = append(statuses, a.Description)
		}
	}
	if fmt.Sprint(records, statuses) != "[a two] [1]" {
		t.Errorf("records %v, statuses %v: want the newest once", records, statuses)
	}
	if len(s.Records) != 0 {
		t.Error("the snapshot was changed")
	}
}

func TestAnOlderRecordDoesNotWin(t *testing.T) {
	newer := thread.Record{Number: 9, Key: "toy/a", Title: "newer", Stamp: thread.Stamp{Unix: noon.Unix() + 100}}
	s := snapshot(t, thread.OpenPull, comment(1, "alice", "/infra set a old\n/infra get a"))
	s.Records = []thread.Record{newer}
	actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), noon)
	if got := answers(actions)["toy 1"]; err != nil || !strings.Contains(got, "title newer") {
		t.Errorf("C-6: %q, %v", got, err)
	}
}

func TestOnlyTheEnabledPluginsThatRunHere(t *testing.T) {
	set := newSet(t, other(func(context.Context, *thread.Snapshot, time.Time) ([]thread.Action, error) {
		return []thread.Action{thread.Status{Context: "steward/other"}}, nil
	}), toy())
	tests := []struct {
		enabled, here, want string
	}{
		{"toy", "toy", "toy 1, infra 1, status steward/toy"},
		{"toy other", "toy other", "toy 1, infra 1, status steward/other, status steward/toy"},
		{"toy other", "other", "status steward/other"},
		{"toy other", "toy", "toy 1, infra 1, status steward/toy"},
		{"other toy", "toy", "toy 1, status steward/toy"},
		{"other", "other toy", "infra 1, status steward/other"},
		{"", "toy", ""},
	}
	for _, tt := range tests {
		opts := options()
		opts.Enabled = strings.Fields(tt.enabled)
		opts.Here = func(name string) bool { return strings.Contains(tt.here, name) }
		actions, err := set.Decide(t.Context(), snapshot(t, thread.OpenPull, comment(1, "alice", "/infra echo\n/infra nope")), opts, noon)
		var got []string
		for _, a := range actions {
			switch a := a.(type) {
			case thread.Answer:
				got = append(got, fmt.Sprintf("%s %d", a.Topic, a.Comment))
			case thread.Status:
				got = append(got, "status "+a.Context)
			}
		}
		if err != nil || strings.Join(got, ", ") != tt.want {
			t.Errorf("enabled %q, here %q: %v, %v", tt.enabled, tt.here, got, err)
		}
	}
}

func TestThreadLimit(t *testing.T) {
	var all []thread.Comment
	for id := int64(1); id <= command.MaxComments+50; id++ {
		author := fmt.Sprintf("a%d", id%20)
		all = append(all, comment(id*2, author, "/infra echo"), comment(id*2+1, author, "no command"))
	}
	s := snapshot(t, thread.OpenPull, all...)
	actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), noon)
	said := answers(actions)
	last := fmt.Sprintf("infra %d", (command.MaxComments+1)*2)
	if err != nil || len(said) != command.MaxComments+1 || !strings.Contains(said[last], "All further ones are ignored") {
		t.Errorf("C-13: %d answers, %v", len(said), err)
	}
	g := &github{Snapshot: *s}
	g.apply(thread.Diff(s, actions))
	again, err := newSet(t, toy()).Decide(t.Context(), &g.Snapshot, options(), noon)
	if err != nil || len(answers(again)) != 0 {
		t.Errorf("C-13: a second pass says %v, %v", answers(again), err)
	}
}

// C-13: one person cannot keep others from being heard.
func TestLimitByOne(t *testing.T) {
	var all []thread.Comment
	for id := int64(1); id <= command.MaxByOne+30; id++ {
		all = append(all, comment(id, "Mallory", "/infra echo"))
	}
	s := snapshot(t, thread.OpenPull, append(all, comment(500, "alice", "/infra echo"))...)
	actions, err := newSet(t, toy()).Decide(t.Context(), s, options(), noon)
	said := answers(actions)
	if err != nil || len(said) != command.MaxByOne+2 || !strings.Contains(said[fmt.Sprintf("infra %d", command.MaxByOne+1)], "All further ones of yours are ignored") {
		t.Errorf("%d answers, %v", len(said), err)
	}
}
