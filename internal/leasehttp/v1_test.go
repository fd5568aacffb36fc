// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sigs.k8s.io/steward/internal/lease"
)

// memory keeps a pool for a test.
type memory struct{}

func (memory) Load(context.Context) (lease.State, lease.Epoch, error)    { return nil, 1, nil }
func (memory) Commit(context.Context, lease.Epoch, []lease.Record) error { return nil }

// past is a history in memory.
type past struct {
	mu    sync.Mutex
	ended []*lease.Ended
}

func (p *past) append(ended []*lease.Ended) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, ended...)
}

func (p *past) Each(q lease.Query, visit func(*lease.Ended) bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.ended {
		if q.Matches(e) && !visit(e) {
			return nil
		}
	}
	return nil
}

// server is a pool with both interfaces.
type server struct {
	*testing.T
	*httptest.Server
	user, password string
}

func serve(t *testing.T, policy lease.Policy, gate *Gate, size int) *server {
	t.Helper()
	n, h := 0, &past{}
	names := func() string { n++; return fmt.Sprint("lease-", n) }
	k := lease.NewKeeper(lease.KeeperOptions{Store: memory{}, Pool: lease.Options{Policy: policy, IDs: names, Names: names}, Ended: h.append})
	g := lease.Group{Type: "project", State: lease.Free}
	for i := range size {
		g.Names = append(g.Names, fmt.Sprint("p", i))
	}
	ctx, stop := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- k.Run(ctx, lease.Config{Static: []lease.Group{g}}, func(error) { close(ready) }) }()
	<-ready
	v1, boskos := &V1{Pool: k, History: h}, &Boskos{Pool: k}
	if gate != nil {
		v1.Access, v1.People, boskos.Access, boskos.People = gate, gate, gate, gate
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", v1.Handler())
	mux.Handle("/", boskos.Handler())
	s := &server{T: t, Server: httptest.NewServer(mux)}
	t.Cleanup(func() {
		s.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request and returns code and body.
func (s *server) ask(method, path, body string) (int, string) {
	s.Helper()
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if s.user != "" {
		req.SetBasicAuth(s.user, s.password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

// want asks and checks the code and that the body holds a text.
func (s *server) want(code int, text, method, path, body string) string {
	s.Helper()
	got, content := s.ask(method, path, body)
	if got != code || !strings.Contains(content, text) {
		s.Fatalf("%s %s %s\n%d %s\nwant %d with %q", method, path, body, got, content, code, text)
	}
	return content
}

func TestLeaseOfItsOwn(t *testing.T) {
	s := serve(t, lease.Policy{}, nil, 2)
	one := `{"owner":"job-1","request":"r1","job":"ci","build":"7","wants":[{"type":"project","count":1}]}`
	first := s.want(200, `"resource":"p0","type":"project","state":"busy","owner":"job-1","account":"job-1","job":"ci","build":"7"`, "POST", "/v1/leases", one)
	if again := s.want(200, "lease-1", "POST", "/v1/leases", one); again != first {
		t.Errorf("the same request twice: %s, want the same lease: %s", again, first)
	}
	s.want(200, `"userData":{"k":"v"}`, "POST", "/v1/leases/lease-1/renew", `{"ttl":"10m","userData":{"k":"v"}}`)
	if list := s.want(200, "p0", "GET", "/v1/leases", ""); strings.Contains(list, "lease-1") || strings.Contains(list, "userData") {
		t.Errorf("a list tells what is the holder's alone: %s", list)
	}
	if r := s.want(200, `"state":"busy"`, "GET", "/v1/resources/p0", ""); strings.Contains(r, "lease-1") || strings.Contains(r, `"k"`) {
		t.Errorf("a resource tells what is the holder's alone: %s", r)
	}
	s.want(410, "lease_ended", "POST", "/v1/leases/lease-1/renew", `{"epoch":7}`)
	s.want(200, `"id":"lease-2",`, "POST", "/v1/leases/lease-1/transfer", `{"owner":"job-2"}`)
	s.want(410, "lease_ended", "POST", "/v1/leases/lease-1/renew", ``)
	s.want(200, ``, "POST", "/v1/leases/lease-2/release", `{"to":"dirty","reason":"done"}`)
	s.want(200, ``, "POST", "/v1/leases/lease-2/release", `{"to":"dirty"}`)
	s.want(200, `"why":"transferred"`, "GET", "/v1/history?owner=job-1", "")
	s.want(200, "resource,type,owner,account,job,build,since", "GET", "/v1/history?format=csv", "")
	s.want(200, `"account":"job-2","type":"project","leases":1`, "GET", "/v1/usage", "")
}

func TestWaiting(t *testing.T) {
	s := serve(t, lease.Policy{}, nil, 1)
	s.want(200, "lease-1", "POST", "/v1/leases", `{"owner":"a","wants":[{"type":"project","count":1}]}`)
	s.want(202, `"request":"r","ahead":0`, "POST", "/v1/leases", `{"owner":"b","request":"r","wants":[{"type":"project","count":1}],"wait":"1ms"}`)
	s.want(202, `"ahead":1`, "POST", "/v1/leases", `{"owner":"c","request":"r2","wants":[{"type":"project","count":1}]}`)
	if all := s.want(200, `"owner":"b"`, "GET", "/v1/queue?type=project", ""); strings.Contains(all, `"r2"`) {
		t.Errorf("the queue tells names by which others could take a place: %s", all)
	}
	s.want(200, `"request":"r2","owner":"c"`, "GET", "/v1/queue?request=r2", "")
	s.want(200, `"waiting":2`, "GET", "/v1/types", "")
	s.want(404, "not_found", "DELETE", "/v1/queue/r?owner=a", "")
	s.want(200, "", "DELETE", "/v1/queue/r?owner=b", "")
	got := make(chan string)
	go func() {
		_, body := s.ask("POST", "/v1/leases", `{"owner":"c","request":"r2","wants":[{"type":"project","count":1}],"wait":"1m"}`)
		got <- body
	}()
	s.want(200, "", "POST", "/v1/leases/lease-1/release", `{"to":"free"}`)
	if body := <-got; !strings.Contains(body, `"owner":"c"`) {
		t.Errorf("the waiter got %s", body)
	}
}

// TestBadInput: a wrong request gets a clear answer and changes nothing.
func TestBadInput(t *testing.T) {
	s := serve(t, lease.Policy{}, nil, 1)
	before := s.want(200, "", "GET", "/v1/resources", "")
	long := strings.Repeat("x", 2000)
	for _, test := range []struct {
		method, path, body string
		code               int
		text               string
	}{
		{"POST", "/v1/leases", `{"owner":"a","wants":[{"type":"project","count":1}],"ttl":"-1s"}`, 400, "ttl -1s is not between"},
		{"POST", "/v1/leases", `{"owner":"a","wants":[{"type":"project","count":1}],"ttl":"1000h"}`, 400, "ttl 1000h0m0s is not between"},
		{"POST", "/v1/leases", `{"owner":"a","wants":[{"type":"projcet","count":1}]}`, 404, "unknown_type"},
		{"POST", "/v1/leases", `{"owner":"a","wants":[{"type":"project","count":-1}]}`, 400, "at least one"},
		{"POST", "/v1/leases", `{"owner":"a","wants":[{"type":"project","count":1},{"type":"project","count":1}]}`, 400, "named twice"},
		{"POST", "/v1/leases", `{"owner":"a","wants":[]}`, 400, "nothing is wanted"},
		{"POST", "/v1/leases", `{"owner":"a","wait":"1s","wants":[{"type":"project","count":1}]}`, 400, "a request needs a name"},
		{"POST", "/v1/leases", `{"owner":"` + long + `","wants":[{"type":"project","count":1}]}`, 400, "owner is longer"},
		{"POST", "/v1/leases", `{"owner":"a","want":[]}`, 400, `unknown field`},
		{"POST", "/v1/leases", `{"owner":"a"`, 400, "cannot be read"},
		{"POST", "/v1/leases", `{"owner":"` + strings.Repeat("x", 100_000) + `"}`, 413, "too_large"},
		{"POST", "/v1/leases/none/renew", ``, 410, "lease_ended"},
		{"POST", "/v1/leases/none/release", ``, 410, "lease_ended"},
		{"GET", "/v1/resources/..%2f..%2fetc%2fpasswd", ``, 404, "not_found"},
		{"GET", "/v1/resources?type=projct", ``, 404, "did you mean project?"},
		{"GET", "/v1/nothing", ``, 404, "openapi.json lists"},
		{"GET", "/v1/history?since=tomorrow", ``, 400, "neither a time such as"},
		{"GET", "/v1/history?limit=0", ``, 400, "limit"},
		{"POST", "/v1/resources/p0/quarantine", `{"reason":"x"}`, 403, "forbidden"},
		{"POST", "/v1/reservations", `{}`, 403, "forbidden"},
		{"POST", "/acquire?type=project&state=free&dest=busy&owner=" + long, ``, 400, "longer than 1024"},
		{"POST", "/release?name=p0&dest=free&owner=nobody", ``, 401, "owner mismatch"},
		{"POST", "/update?name=p0&state=free&owner=nobody", `{"a":1}`, 400, "cannot unmarshal number"},
		{"POST", "/update?name=p0&state=free&owner=nobody", `{"a":"` + strings.Repeat("x", 10<<20) + `"}`, 413, "user data"},
		{"POST", "/reset?type=project&state=busy&dest=dirty&expire=-1m", ``, 400, `expire: -1m0s is negative`},
		{"POST", "/reset?type=project&state=busy&dest=dirty&expire=bad", ``, 400, `time: invalid duration "bad"`},
	} {
		s.T = t
		s.want(test.code, test.text, test.method, test.path, test.body)
	}
	if after := s.want(200, "", "GET", "/v1/resources", ""); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

func TestPeople(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	var lines string
	for _, user := range []string{"alice", "bob"} {
		hash, err := bcrypt.GenerateFromPassword([]byte(user+"-secret"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		lines += user + ":" + string(hash) + "\n"
	}
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := OpenUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	gate := &Gate{
		Basic: users, Operators: func() []string { return []string{"alice"} },
		Rules: func() []lease.Rule {
			return []lease.Rule{{User: "alice"}, {Owner: "ci-*", Account: "sig-ci", Types: []string{"proj*"}}}
		},
	}
	s := serve(t, lease.Policy{}, gate, 2)
	s.want(200, `"account":"sig-ci"`, "POST", "/v1/leases", `{"owner":"ci-1","wants":[{"type":"project","count":1}]}`)
	s.want(403, "no rule lets ci-1 have gpu", "POST", "/v1/leases", `{"owner":"ci-1","wants":[{"type":"gpu","count":1}]}`)
	s.want(403, "no rule of the pool's settings is for stranger", "POST", "/v1/leases", `{"owner":"stranger","wants":[{"type":"project","count":1}]}`)
	s.want(403, "no rule", "POST", "/acquire?type=project&state=free&dest=busy&owner=stranger", "")
	s.want(401, "takes credentials", "POST", "/v1/resources/p0/release", `{}`)
	s.user, s.password = "bob", "bob-secret"
	s.want(403, "bob is not among the operators", "POST", "/v1/resources/p0/release", `{}`)
	s.user, s.password = "alice", "wrong"
	s.want(401, "user or password is wrong", "POST", "/v1/resources/p0/release", `{}`)
	s.user, s.password = "alice", "alice-secret"
	s.want(200, `"state":"dirty"`, "POST", "/v1/resources/p0/release", `{"for":"carol"}`)
	s.want(200, `"why":"forced","note":"by carol through alice"`, "GET", "/v1/history", "")
	s.want(200, `"state":"quarantined"`, "POST", "/v1/resources/p1/quarantine", `{"reason":"no quota"}`)
	s.want(200, `"reason":"no quota"`, "GET", "/v1/resources/p1", "")
	s.want(200, `"state":"free"`, "POST", "/v1/resources/p1/heal", `{"to":"free"}`)
	from, until := time.Now().UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"type":"project","count":1,"account":"scale","from":%q,"until":%q,"reason":"5k test"}`, from, until)
	s.want(200, `"by":"alice"`, "POST", "/v1/reservations", body)
	s.want(409, "none_free", "POST", "/v1/leases", `{"owner":"alice","wants":[{"type":"project","count":1}]}`)
}

func TestWatch(t *testing.T) {
	s := serve(t, lease.Policy{}, nil, 1)
	resp, err := http.Get(s.URL + "/v1/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(resp.Body)
	read := func() (c change) {
		t.Helper()
		if err := lines.Decode(&c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := read(); c.Resource == nil || c.Resource.State != lease.Free {
		t.Errorf("first line %+v", c)
	}
	if c := read(); !c.Synced {
		t.Errorf("second line %+v", c)
	}
	s.want(200, "", "POST", "/v1/leases", `{"owner":"a","wants":[{"type":"project","count":1}]}`)
	if c := read(); c.Resource == nil || c.Resource.Owner != "a" || c.Resource.Lease.ID != "" {
		t.Errorf("change %+v", c)
	}
}

// TestOpenAPI: the document lists the routes that there are, and no others.
func TestOpenAPI(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(openAPIDocument, &doc); err != nil {
		t.Fatal(err)
	}
	var documented []string
	for path, methods := range doc.Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	var served []string
	for route := range (&V1{}).routes() {
		served = append(served, route)
	}
	slices.Sort(documented)
	slices.Sort(served)
	if !slices.Equal(documented, served) {
		t.Errorf("documented %v\nserved %v", documented, served)
	}
}

// TestRulesHoldOnBoskosInterface: with rules, an owner's name that everybody may read is no right to what it holds, and no
// path leads around quotas.
func TestRulesHoldOnBoskosInterface(t *testing.T) {
	rules := []lease.Rule{{Owner: "alice-*", Account: "a", Types: []string{"project"}}, {Owner: "bob-*", Account: "b"}}
	gate := &Gate{Rules: func() []lease.Rule { return rules }, Operators: func() []string { return nil }}
	policy := lease.Policy{Accounts: map[string]lease.Account{"a": {Quota: map[string]int{"project": 1}}}}
	s := serve(t, policy, gate, 3)
	s.want(200, `"name":"p0"`, "POST", "/acquire?type=project&state=free&dest=busy&owner=bob-1", "")
	s.want(404, "account a holds all that it may", "POST", "/acquirebystate?state=free&dest=busy&owner=alice-1&names=p1,p2", "")
	s.want(200, `"name":"p1"`, "POST", "/acquirebystate?state=free&dest=busy&owner=alice-1&names=p1", "")
	s.want(401, "takes credentials", "POST", "/reset?type=project&state=busy&dest=free&expire=0s", "")
	rules = append(rules[:1:1], lease.Rule{Owner: "bob-*", Account: "other"})
	s.want(401, "owner mismatch", "POST", "/release?name=p0&dest=free&owner=bob-1", "")
	s.want(401, "owner mismatch", "POST", "/update?name=p0&state=busy&owner=bob-1", "")
	s.want(400, "not UTF-8", "POST", "/acquire?type=project&state=free&dest=%ff&owner=bob-1", "")
	s.want(200, `"id":"lease-3"`, "POST", "/v1/leases", `{"owner":"bob-2","wants":[{"type":"project","count":1}]}`)
	s.want(401, "say which lease is meant", "POST", "/release?name=p2&dest=free&owner=bob-2", "")
	s.want(200, "", "POST", "/release?name=p2&dest=free&owner=bob-2&lease=lease-3", "")
}

func TestRequired(t *testing.T) {
	s := serve(t, lease.Policy{}, nil, 1)
	gate := &Gate{Required: true, Rules: func() []lease.Rule { return nil }, Operators: func() []string { return nil }}
	wrapped := httptest.NewServer(gate.Require(s.Config.Handler))
	defer wrapped.Close()
	for _, path := range []string{"/v1/leases", "/v1/resources", "/v1/history", "/metric?type=project", "/pool", "/"} {
		resp, err := http.Get(wrapped.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without credentials: %s", path, resp.Status)
		}
	}
}
