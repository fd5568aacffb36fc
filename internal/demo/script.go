// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"slices"

	"sigs.k8s.io/steward/internal/ghfake"
	"sigs.k8s.io/steward/internal/job"
)

// step is one thing that happens, and what must be seen of it. Something happens on
// GitHub (act), outside of it (changes), somebody runs steward (run), or another
// program acts (do).
type step struct {
	title   string // explains what comes, before it happens
	restart bool   // steward-hook is down while it happens
	git     bool   // it is left out where there is no git: it tells of the janitor, which reads a commit
	act     ghfake.Act
	changes []change
	run     []string // arguments of steward; "audit" alone is the periodic job
	do      func(context.Context, *stage) (string, error)
	code    int               // of the run
	answer  []string          // must be in what the bot answers or the run prints
	context map[string]string // commit statuses of the pull request: name -> state
}

// ready are the contexts of a pull request that nothing holds.
func ready() map[string]string {
	return map[string]string{"steward/owners": "success", "steward/freeze": "success", "steward/drift": "success", "steward/promote": "success"}
}

func but(context, state string) map[string]string {
	all := ready()
	all[context] = state
	return all
}

const zone = "dns/zone-configs/example.org._0_base.yaml"

func comment(who string, number int, text string) ghfake.Act {
	return ghfake.Act{As: who, Do: "comment", Number: number, Body: text}
}

// script is the conversation.
func script() []step {
	return slices.Concat(access(), drift(), settled(), promotion(), lending(), mending())
}

// access is about who may do what.
func access() []step {
	return []step{
		{
			title: "A pull request gets every required context at once; without them Tide merges nothing.",
			act: ghfake.Act{As: "rey", Do: "open-pull", Title: "Point www to the new web server",
				Files: map[string]string{zone: "www:\n  type: A\n  value: 192.0.2.20\n"}},
			context: ready(),
		},
		{
			title:  "Who may approve this? The answer names the file that decides, and why.",
			act:    comment("rey", 1, "/infra why @bob"),
			answer: []string{"bob", "dns/OWNERS", "dora"},
		},
		{
			title:  "A command that is refused says which OWNERS file would grant it, and who stands there.",
			act:    comment("bob", 1, "/infra freeze dns the registrar moves us tonight"),
			answer: []string{"Denied", "dns/OWNERS"},
		},
		{
			title:   "An approver of the folder freezes it. The pull request has to wait.",
			act:     comment("dora", 1, "/infra freeze dns the registrar moves us tonight"),
			answer:  []string{"dns"},
			context: but("steward/freeze", "pending"),
		},
		{
			title:   "steward-hook is down. What is said meanwhile is found when it is back, and a typo is met with the nearest command.",
			restart: true,
			act:     comment("dora", 1, "/infra unfrezze dns"),
			answer:  []string{"unfreeze"},
		},
		{
			title:   "Several commands in one comment get one answer. Commands in code, quotes or edited comments do nothing.",
			act:     comment("dora", 1, "All done.\n\n```\n/infra freeze all\n```\n\n/infra unfreeze dns\n/infra frozen"),
			answer:  []string{"unfreeze dns", "frozen"},
			context: ready(),
		},
		{
			title: "Moving a file out of a restricted folder needs an approver of that folder. Prow does not look at this.",
			act: ghfake.Act{As: "mallory", Do: "open-pull", Title: "Tidy up",
				Renames: map[string]string{zone: "apps/perfdash/zone.yaml"}},
			context: but("steward/owners", "failure"),
		},
		{
			title:   "The folder's approver agrees to the move, in Prow's own words.",
			act:     comment("dora", 3, "/approve"),
			context: ready(),
		},
		{
			title: "A change of OWNERS is checked before it can lock people out, or let them in.",
			act: ghfake.Act{As: "rey", Do: "open-pull", Title: "More DNS people",
				Files: map[string]string{"dns/OWNERS": "options:\n  no_parent_owner: true\napprovers:\n- dns-admin\n"}},
			context: but("steward/owners", "failure"),
		},
	}
}

// drift is about what changes without anybody declaring it.
func drift() []step {
	return []step{
		{
			title: "Meanwhile, outside GitHub: things change that nobody declared.",
			changes: []change{
				{"dns/set", `{"server": "ns1", "zone": "example.org.", "name": "prow.example.org.", "type": "A", "ttl": 600, "values": ["198.51.100.7"]}`, ""},
				{"dns/set", `{"server": "ns2", "zone": "example.org.", "name": "prow.example.org.", "type": "A", "ttl": 600, "values": ["198.51.100.7"]}`, "somebody edits the record prow.example.org by hand"},
				{"gcp/mutate", `{"bucket": "example-logs", "policy": {"version": 1, "bindings": [` +
					`{"role": "roles/storage.legacyBucketOwner", "members": ["group:infra-leads@example.org", "projectOwner:example-web"]}, ` +
					`{"role": "roles/storage.objectViewer", "members": ["projectViewer:example-web", "allUsers"]}]}}`, "the bucket example-logs becomes public"},
				{"oci/change", `[{"tag": "europe-west1-docker.pkg.dev/example-prod/images/tools/tool:v1.1", "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]`,
					"the tag tool:v1.1 is moved on one of the two mirrors"},
			},
		},
		{
			title:  "The periodic job compares what exists with the main branch, and says whose each difference is.",
			run:    []string{"audit"},
			code:   job.Found,
			answer: []string{"prow.example.org", "198.51.100.7", "example-logs", "allUsers", "v1.1", "europe-west1"},
		},
		{
			title:  "The files themselves are checked as well: a folder whose OWNERS names nobody who approves.",
			run:    []string{"owners", "lint", "--fail-on", "info"},
			code:   job.Found,
			answer: []string{"apps/gallery/OWNERS"},
		},
		{
			title:  "In a pull request, /drift tells what concerns its files, whose it is and since when.",
			act:    comment("rey", 1, "/drift"),
			answer: []string{"prow.example.org", "198.51.100.7", "dora"},
		},
		{
			title:  "Only an approver of the file that declares the thing may accept a difference.",
			act:    comment("rey", 1, "/drift accept {id "+publicRule+" example-logs} until {in 30 days} it looks fine to me"),
			answer: []string{"Denied"},
		},
		{
			title:  "An approver accepts it for a month. That is a change of a file, so it is a pull request like any other.",
			act:    comment("alice", 1, "/drift accept {id "+publicRule+" example-logs} until {in 30 days} the logs are published until the dashboard moves"),
			answer: []string{"pull request 5"},
		},
	}
}

// settled is how it ends.
func settled() []step {
	return []step{
		{
			title: "The pull request is merged.",
			act:   ghfake.Act{As: "bob", Do: "merge", Number: 5},
		},
		{
			title: "The record and the tag are put back.",
			changes: []change{
				{"dns/set", `{"server": "ns1", "zone": "example.org.", "name": "prow.example.org.", "type": "A", "ttl": 600, "values": ["192.0.2.30"]}`, ""},
				{"dns/set", `{"server": "ns2", "zone": "example.org.", "name": "prow.example.org.", "type": "A", "ttl": 600, "values": ["192.0.2.30"]}`, "dora puts the record back"},
				{"oci/change", `[{"tag": "europe-west1-docker.pkg.dev/example-prod/images/tools/tool:v1.1", "digest": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}]`,
					"ruth puts the tag back"},
			},
		},
		{
			title:  "The next run is clean: what is acknowledged is still shown, until its day, and fails nothing.",
			run:    []string{"audit"},
			answer: []string{"example-logs", "acknowledged by alice"},
		},
		{
			title:  "And the pull request has nothing to worry about any more.",
			act:    comment("rey", 1, "/drift"),
			answer: []string{"no findings"},
		},
	}
}

// publicRule is the rule about buckets that everybody can read.
const publicRule = "GCS-4"

// try is something for people to do after the script.
type try struct{ Line, Why string }

func tries() []try {
	return []try{
		{"alice 1 /infra help", "every command, and who may use it"},
		{"alice 1 /infra why @tom registry.k8s.io/images/staging-tools/images.yaml", "who may approve what, and by which line"},
		{"pat 4 /infra why @dora dns/OWNERS", "a restricted folder"},
		{"bob 1 /infra freeze all taking a look around", "the brake"},
		{"dora 1 /drift dns", "what the last audit said of DNS"},
		{"audit", "the periodic job, once more"},
		{"rey 7 /infra promote plan", "what a pull request would bring into production"},
	}
}

const next = `
Take part: write WHO NUMBER TEXT, as anyone of alice, bob (root approvers), dora
(dns), gina, pat, rey, ruth, sven, tom (members) or mallory (nobody). For example:
%s
The page shows it as well: %s
Ctrl-D or Ctrl-C ends it.`
