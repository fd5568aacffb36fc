// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"flag"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/thread"
)

var update = flag.Bool("update", false, "write docs/commands.md instead of comparing it")

func TestCommandsPageIsFresh(t *testing.T) {
	const file = "../docs/commands.md"
	page, err := command.Page(newWorld(t).set.Families())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || string(have) != page {
		t.Errorf("docs/commands.md is stale (%v): run make generate", err)
	}
}

// Every example of every row is typed into the example repository, by somebody
// who may, on an issue, where rows that need files explain themselves.
func TestRowExamples(t *testing.T) {
	for _, f := range newWorld(t).set.Families() {
		for _, row := range f.Rows {
			for _, e := range row.Examples {
				w := newWorld(t)
				w.issue(1)
				w.say(1, 1, "alice", e.Line)
				w.settle()
				if got := w.sticky(1, f.Name); !strings.Contains(got, e.Reply) {
					t.Errorf("%q is answered\n%s\nwant %s", e.Line, got, e.Reply)
				}
			}
		}
	}
}

func TestEveryPullHasEveryRequiredContext(t *testing.T) {
	w := newWorld(t)
	w.pull(1)
	w.settle()
	for _, c := range w.set.Contexts(w.options().Enabled) {
		if !strings.HasPrefix(w.status(1, c), "success: ") {
			t.Errorf("%s is %s", c, w.status(1, c))
		}
	}
	if n := len(w.threads[1].Comments); n != 0 {
		t.Errorf("%d comments where there is nothing to say", n)
	}
}

// unescaped is a body as one reads it: how much is escaped is not the point here.
var unescaped = strings.NewReplacer(`\`, "", "&#58;", ":", "\u2060", "")

func TestConversations(t *testing.T) {
	tests := []struct {
		name, author, body string
		topic, want        string // a part of the answer
		not                string
	}{
		{"why with a short form", "carol", "/why @dora dns/OWNERS", "owners",
			"`dora` may approve `dns/OWNERS`: listed as approver through alias dns-admins in dns/OWNERS:6. `dns-admins` has the user in line 6 of the aliases. So may `alice`.", ""},
		{"why denies, and says who could", "bob", "/infra why dns/x.yaml", "owners",
			"`bob` may not approve `dns/x.yaml`: not an approver, and dns/OWNERS:4 shuts out the files above it (no_parent_owners). It can be approved by `alice`, `dora` (`dns/OWNERS`).", ""},
		{"why links the line at the commit", "bob", "/infra why dns/x.yaml", "owners",
			"- [`dns/OWNERS:4`](https://github.com/example-org/example-infra/blob/base/dns/OWNERS#L4): no_parent_owners", ""},
		{"why shows where the walk stopped", "bob", "/infra why dns/x.yaml", "owners",
			"- [`OWNERS`](https://github.com/example-org/example-infra/blob/base/OWNERS): not considered", ""},
		{"why names filters", "carol", "/infra why @gina groups/groups.yaml", "owners",
			"`gina` may approve `groups/groups.yaml`: listed as approver by filter \"groups.yaml$\" in groups/OWNERS:7. So may `alice`, `bob`.", ""},
		{"why of the changed files", "carol", "/infra why @dora", "owners",
			"`dora` may approve 1 of 1 changed paths.\n\n- **may** approve `dns/zone-configs/example.org._0_base.yaml`", ""},
		{"why of the commenter", "carol", "/why", "owners", "`carol` may approve 0 of 1 changed paths.", ""},
		{"why of the root", "carol", "/why @alice /", "owners", "`alice` may approve the root of the repository", ""},
		{"why with slashes before", "carol", "/why @alice ./dns/ /dns", "owners", "`alice` may approve `dns/`", ""},
		{"why leaves nothing to ..", "carol", "/why @alice dns/../OWNERS", "owners", "`alice` may not approve `dns/../OWNERS`: the path is not clean", "It can be"},
		{"why knows no team", "carol", "/why @org/team dns/", "owners", "`org/team` may not approve `dns/`", ""},
		{"why knows no alias", "carol", "/why @infra-leads OWNERS", "owners", "`infra-leads` may not approve `OWNERS`", ""},
		{"why in code", "carol", "/why @alice `dns/`", "owners", "`alice` may approve `dns/`", ""},
		{"why of many paths", "carol", "/why" + strings.Repeat(" a", 12), "owners", "And 2 more: ask for them in another comment.", ""},
		{"why by a stranger", "mallory", "/why", "owners", "Denied: `/infra why [@user] [path…]` is for members", ""},
		{"freeze", "dora", "/infra freeze dns  zone   transfer @alice *now*", "freeze", "`dns` is frozen: zone transfer @alice *now*", ""},
		{"freeze denied", "bob", "/infra freeze dns now", "freeze", "Denied: `bob` may not approve what this command is about, by OWNERS at `base`.\n- `dns`:", "is frozen"},
		{"freeze of several folders", "ruth", "/infra freeze promotion now", "freeze", "- `artifacts`: not an approver", "is frozen"},
		{"freeze of all", "alice", "/infra freeze all now", "freeze", "`all` is frozen: now\n\nOpen pull requests that change anything are held", ""},
		{"freeze of all denied", "dora", "/infra freeze all now", "freeze", "the root of the repository: not an approver", "is frozen"},
		{"freeze of nothing", "carol", "/infra freeze", "freeze", "Which scope? The scopes of this repository are `all`, `dns`, `promotion`.", ""},
		{"freeze of an unknown scope", "carol", "/infra freeze dsn `x`", "freeze", "There is no scope `dsn`. Did you mean `dns`?", ""},
		{"freeze without a reason", "dora", "/infra freeze dns", "freeze", "Nothing is frozen without a reason", ""},
		{"unfreeze of an unknown scope", "alice", "/infra unfreeze x", "freeze", "There is no scope `x`.", ""},
		{"frozen", "carol", "/infra frozen", "freeze", "Nothing is frozen.", ""},
		{"frozen after freeze", "dora", "/infra freeze dns now\n/infra frozen", "freeze", "- `dns`, by `dora` since 2026-01-02 12:00 UTC: now", ""},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.pull(1)
		w.say(1, 1, tt.author, tt.body)
		w.settle()
		got := unescaped.Replace(w.sticky(1, tt.topic))
		if !strings.Contains(got, tt.want) || tt.not != "" && strings.Contains(got, tt.not) {
			t.Errorf("%s: %q by %s is answered\n%s\nwant %s", tt.name, tt.body, tt.author, got, tt.want)
		}
	}
}

// C-7: what OWNERS say later changes no answer and carries nothing out.
func TestDeniedStaysDenied(t *testing.T) {
	w := newWorld(t)
	w.pull(1)
	w.say(1, 1, "bob", "/infra freeze dns now")
	w.settle()
	w.commit("later", map[string]string{"dns/OWNERS": "approvers: [bob]\n"})
	w.base = "later"
	w.settle()
	if got := w.sticky(1, "freeze"); !strings.Contains(got, "Denied") || w.record("freeze/dns") != "" {
		t.Errorf("C-7: %s\n%s", got, w.record("freeze/dns"))
	}
	w.say(1, 2, "bob", "/infra freeze dns now")
	w.settle()
	if w.record("freeze/dns") == "" {
		t.Error("C-7: the same command said again was not carried out")
	}
}

// What others typed must not mention, link or forge anything in an answer.
func TestAnswersAreInert(t *testing.T) {
	evil := []string{
		"@org/everyone", "](http://evil)", "`@a`", "<!--steward:end-->", "<img/src=x>", "|", "#12", "*b*", "http://evil.example", "\u202e", "`",
	}
	for _, word := range evil {
		w := newWorld(t)
		s := w.pull(1)
		s.Files = []thread.File{{Path: "dns/" + word + "/x", Status: "modified"}, {Path: "b", Previous: "dns/" + word, Status: "renamed"}}
		w.say(1, 1, "alice", "/infra freeze dns "+word+"\n/infra frozen\n/infra why\n/infra why "+word+"\n/infra why @"+word+" x\n/infra "+word+"\n/infra freeze "+word+" x\n/infra help "+word)
		w.settle()
		var bodies []string
		for _, r := range w.records {
			bodies = append(bodies, r.Body)
		}
		for _, c := range w.threads[1].Comments[1:] {
			bodies = append(bodies, c.Body)
		}
		if len(bodies) < 3 { // the record and two stickies or three
			t.Errorf("%q: %d bodies", word, len(bodies))
		}
		for _, body := range bodies {
			if bad := active(body); bad != "" {
				t.Errorf("%q is active as %s in\n%s", word, bad, body)
			}
		}
	}
}
