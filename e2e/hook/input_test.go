// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

// padded is a valid event of exactly size bytes that is about nothing.
func padded(size int) []byte {
	head, tail := `{"repository":{"full_name":"`+repo+`"},"issue":{"number":1},"pad":"`, `"}`
	return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
}

// H-2, H-4, H-6: what is wrong is refused with Prow's words, what is right is taken, and in the end the server still
// does its work.
func TestBadWebhooks(t *testing.T) {
	g := startGitHub(t, small)
	s := startSteward(t, g, settings)
	s.reconcile()
	id := g.comment("alice", 1, "/infra why @bob dns/zone.yaml")
	good := commented("good", repo, 1, id, 0)
	deep := []byte(`{"repository":{"full_name":"` + repo + `"},"issue":` + strings.Repeat(`{"a":[`, 200_000) + "1")
	signed := func(kind, guid string, body []byte) event { return event{kind, guid, body, sign(body)} }
	with := func(header, value string) func(*http.Request) {
		return func(r *http.Request) {
			if r.Header.Del(header); value != "" {
				r.Header.Set(header, value)
			}
		}
	}
	for _, c := range []struct {
		name   string
		event  event
		edit   func(*http.Request)
		status int
		answer string
	}{
		{"wrong signature", good, with("X-Hub-Signature-256", sign([]byte("other"))), 403, "403 Forbidden: Invalid X-Hub-Signature-256"},
		{"no signature", good, with("X-Hub-Signature-256", ""), 403, "403 Forbidden: Missing X-Hub-Signature-256"},
		{"not a signature", good, with("X-Hub-Signature-256", "sha256=zz"), 403, "403 Forbidden: Invalid X-Hub-Signature-256 - invalid signature"},
		{"good SHA-1 beside a wrong SHA-256", good, with("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64)), 403, "403 Forbidden: Invalid"},
		{"no event", good, with("X-GitHub-Event", ""), 400, "400 Bad Request: Missing X-GitHub-Event Header"},
		{"no GUID", good, with("X-GitHub-Delivery", ""), 400, "400 Bad Request: Missing X-GitHub-Delivery Header"},
		{"long GUID", good, with("X-GitHub-Delivery", strings.Repeat("g", 4000)), 400, "too long"},
		{"a form", good, with("Content-Type", "application/x-www-form-urlencoded"), 400, "400 Bad Request: Hook only accepts content-type: application/json"},
		{"GET", good, func(r *http.Request) { r.Method = http.MethodGet }, 405, "405 Method not allowed"},
		{"30 MiB", signed("issue_comment", "big", padded(30<<20)), nil, 413, "413 Request Entity Too Large: GitHub sends at most 25 MiB"},
		{"deep JSON", signed("issue_comment", "deep", deep), nil, 403, "invalid payload"},
		{"no JSON", signed("issue_comment", "text", []byte("payload=%7B")), nil, 403, "invalid payload"},
		{"a repository with ..", signed("issue_comment", "dots", []byte(`{"repository":{"full_name":"../.."},"issue":{"number":1}}`)), nil, 400, "400 Bad Request"},
		{"a negative number", signed("issue_comment", "minus", []byte(`{"repository":{"full_name":"`+repo+`"},"issue":{"number":-1}}`)), nil, 400, "400 Bad Request"},
		{"another repository", signed("issue_comment", "foreign", []byte(`{"repository":{"full_name":"acme/other"},"issue":{"number":1}}`)), nil, 200, ""},
		{"25 MiB", signed("issue_comment", "large", padded(25<<20)), nil, 200, ""},
		{"good", good, nil, 200, "Event received. Have a nice day."},
		{"replayed", good, nil, 200, "Event received. Have a nice day."},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := c.event.request("http://" + s.Webhook + "/owners")
			if err != nil {
				t.Fatal(err)
			}
			if c.edit != nil {
				c.edit(req)
			}
			status, answer, err := do(req)
			if err != nil || status != c.status || !strings.Contains(answer, c.answer) {
				t.Errorf("status %d, want %d, answer %q, want %q, error %v", status, c.status, answer, c.answer, err)
			}
		})
	}
	if stats := s.idle(); stats.Duplicates != 1 {
		t.Errorf("%d duplicates", stats.Duplicates)
	}
	s.noDeadLetters()
	if a := g.answered(repo, 1, "owners"); a.stickies != 1 || !a.ids[id] {
		t.Errorf("%d stickies: %s", a.stickies, a.body)
	}
	if n := len(g.writes("comment.create")); n != 1 {
		t.Errorf("%d comments were made", n)
	}
}

// bombs are OWNERS files that a parser without bounds would choke on.
func bombs() map[string]string {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [alice, alice, alice, alice, alice, alice, alice, alice, alice]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	laughs.WriteString("approvers: *a9\n")
	return map[string]string{
		"aliases":     laughs.String(),
		"depth":       "approvers: " + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + "\n",
		"indentation": strings.Repeat("- ", 50_000) + "alice\n",
		"size":        "approvers: [alice]\n# " + strings.Repeat("x", 3<<20) + "\n",
		"regexp":      "filters:\n  '" + strings.Repeat("(a{0,200}", 5) + strings.Repeat("){0,200}", 5) + "':\n    approvers: [alice]\n",
		"binary":      "approvers: [\x00\xff\xfe]\n",
		"merge":       "approvers: &x\n  <<: *x\n",
		"logins":      "approvers: [" + strings.Repeat("alice, ", 200_000) + "alice]\n",
	}
}

// F1 and the bounds on input: a bomb in a pull request makes its status fail with a reason, one on the base denies
// what it governs, and everything else goes on.
func TestBadOwners(t *testing.T) {
	g := startGitHub(t, small)
	s := startSteward(t, g, settings)
	g.hook("http://"+s.Webhook+"/", repo)
	heads := map[string]int{}
	for name, text := range bombs() {
		heads[name] = g.act(ghfake.Act{As: "alice", Do: "open-pull", Title: name, Files: map[string]string{"apps/" + name + "/OWNERS": text}}).Number
	}
	settle(g, s)
	for name, number := range heads {
		got := g.contexts(repo, number)["steward/owners"]
		if !strings.HasPrefix(got, "failure: ") || len(got) < 20 {
			t.Errorf("%s in the head: %q", name, got)
		}
	}
	for name, text := range bombs() {
		g.act(ghfake.Act{As: "alice", Do: "push", Files: map[string]string{"base/" + name + "/OWNERS": text}})
	}
	asked := map[string]int64{}
	for name := range bombs() {
		asked[name] = g.comment("alice", 1, "/infra why @alice base/"+name+"/file.yaml")
	}
	healthy := g.comment("alice", 1, "/infra why @alice apps/web.yaml")
	settle(g, s)
	a := g.answered(repo, 1, "owners")
	for name, id := range asked {
		_, answer, _ := strings.Cut(a.body, fmt.Sprintf("<!-- steward:answer %d -->", id))
		answer, _, _ = strings.Cut(answer, "<!-- steward:answer ")
		if !strings.Contains(answer, "may not") || !strings.Contains(answer, "base/"+name+"/OWNERS") {
			t.Errorf("%s on the base: %q", name, answer)
		}
	}
	if !a.ids[healthy] || !strings.Contains(a.body, "`alice` may approve `apps/web.yaml`") {
		t.Errorf("a healthy folder beside the bombs:\n%s", a.body)
	}
	s.noDeadLetters()
	s.stop()
}

// What people name their files and write in commands is shown as text: it mentions nobody, closes no markup, and is
// never taken for one of our own marks.
func TestInjection(t *testing.T) {
	g := startGitHub(t, small)
	s := startSteward(t, g, settings)
	g.hook("http://"+s.Webhook+"/", repo)
	const forged = 999999999
	names := []string{
		"dns/@alice please.yaml",
		"dns/`@bob` and ``@dora``.yaml",
		"dns/<!-- steward:answer 999999999 -->.yaml",
		"dns/\n<!-- steward:answer 999999999 -->\nx.yaml",
		"dns/<!-- steward:end -->.yaml",
		"dns/--> <img src=x onerror=alert(1)> <!--.yaml",
		"dns/[text](https://evil.example)|**bold**.yaml",
		"dns/#1 https:/evil.example GH-1.yaml",
		"dns/\u202etxt.\u200bzone",
	}
	files := map[string]string{}
	for _, name := range names {
		files[name] = "a: 1\n"
	}
	number := g.act(ghfake.Act{As: "alice", Do: "open-pull", Title: "@dora <!-- steward:end -->", Files: files}).Number
	var said []int64
	for _, body := range []string{
		"/infra why",
		"/infra why @dora ../../etc/passwd dns/../../OWNERS /etc/shadow dns/./zone.yaml",
		"/infra why @dora dns/`@bob`.yaml <!--steward:answer",
		"/infra why @<b>dora</b> dns/zone.yaml",
		"/infra freeze @dora <!-- steward:end --> @bob",
		"/infra `@dora`<script>",
	} {
		said = append(said, g.comment("bob", number, body))
	}
	said = append(said, g.comment("dora", number, "/infra freeze dns <!-- steward:answer 999999999 --> @bob **now** <!--"))
	settle(g, s)
	all := ""
	for topic, ids := range map[string][]int64{"owners": said[:4], "freeze": {said[4], said[6]}, "infra": said[5:6]} {
		a := g.answered(repo, number, topic)
		for _, id := range ids {
			if !a.ids[id] {
				t.Errorf("comment %d is not answered under %s:\n%s", id, topic, a.body)
			}
		}
		if a.stickies != 1 || a.ids[forged] {
			t.Errorf("%s: %d stickies, forged answer %v", topic, a.stickies, a.ids[forged])
		}
		all += a.body
	}
	for _, path := range []string{"../../etc/passwd", "dns/../../OWNERS"} {
		if strings.Contains(all, "may approve `"+path) {
			t.Errorf("%s is approved", path)
		}
	}
	for _, r := range g.records()["freeze/dns"] {
		all += r.Body
	}
	plain := withoutCode(all)
	for _, raw := range []string{"@alice", "@bob", "@dora", "<img", "<script", "<b>", "](https://evil", "**now**", "**bold**", "\u202e", "https:/evil"} {
		if strings.Contains(plain, raw) {
			t.Errorf("%q is not escaped in\n%s", raw, plain)
		}
	}
	s.noDeadLetters()
}

// withoutCode cuts what stands in code spans, where GitHub renders nothing.
func withoutCode(text string) string {
	var b bytes.Buffer
	for text != "" {
		before, rest, found := strings.Cut(text, "`")
		b.WriteString(before)
		if !found {
			break
		}
		fence := "`" + rest[:len(rest)-len(strings.TrimLeft(rest, "`"))]
		rest = rest[len(fence)-1:]
		_, after, closed := strings.Cut(rest, fence)
		if !closed {
			after = rest
		}
		text = after
	}
	return b.String()
}
