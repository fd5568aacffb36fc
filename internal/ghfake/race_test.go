// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"fmt"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

// TestConcurrentUse finds data races (go test -race): readers by both
// interfaces, writers, a git client and lagging reads at once. GraphQL resolves
// the aliases of one query concurrently.
func TestConcurrentUse(t *testing.T) {
	gh := ghfake.Start(t, acme)
	ok(t, gh.Inject(ghfake.Fault{Action: "eventual", Path: "comments", Reads: 1, Lists: true}))
	query := ""
	for n := range 6 {
		query += fmt.Sprintf(`a%d:pullRequest(number:%d){mergeable changedFiles files(first:9){nodes{path additions}} comments(first:99){nodes{body}} commits(first:9){nodes{commit{tree{entries{name object{oid}}}}}}} `, n, 2+n%2)
	}
	work := []func(n int){
		func(int) { as(t, gh, "bot-token").ask(query) },
		func(int) { as(t, gh, "bot-token").get("/repos/acme/infra/pulls/2").want(200) },
		func(int) { as(t, gh, "bot-token").get("/repos/acme/infra/pulls/3/files").want(200) },
		func(n int) {
			must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Number: 2 + n%2, Files: map[string]string{"f": fmt.Sprint(n)}}))(t)
		},
		func(n int) {
			must(gh.Act(ghfake.Act{As: "bob", Do: "comment", Repo: "acme/infra", Number: 2, Body: fmt.Sprint(n)}))(t)
		},
		func(n int) {
			if n%10 == 0 {
				git(t, "", "ls-remote", gh.URL+"/acme/infra")
			}
		},
		func(int) { gh.Requests(); gh.Audit(ghfake.Audit{}); gh.Counters(); gh.Deliveries() },
	}
	var wg sync.WaitGroup
	for _, f := range work {
		wg.Go(func() {
			for n := range 30 {
				f(n)
			}
		})
	}
	wg.Wait()
	equal(t, "comments", len(gh.Audit(ghfake.Audit{Kind: "comment.create"})), 30)
}
