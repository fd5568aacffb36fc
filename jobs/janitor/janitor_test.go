// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/sweep"
)

// repository is files at a commit.
func repository(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

const plain = `
repos: {o/r: {}}
janitor:
  pool: [boskos.yaml]
  within: [folders/7]
  labels: {pool: boskos}
`

const onePool = "resources:\n- {type: gce-project, state: dirty, names: [e2e-1, e2e-2]}\n"

// cloud is an account with some objects, of which the test knows what was done.
type cloud struct {
	mu      sync.Mutex
	account sweep.Account
	objects map[string]bool
	deletes int
	opened  []string
	before  func() // each delete
}

func (c *cloud) open(_ context.Context, _ Reach, name string) ([]sweep.Kind, sweep.Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened = append(c.opened, name)
	return []sweep.Kind{{
		Name: "test.things",
		List: func(ctx context.Context) ([]sweep.Object, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			var all []sweep.Object
			for id := range c.objects {
				all = append(all, sweep.Object{ID: id, Name: id})
			}
			return all, ctx.Err()
		},
		Delete: func(ctx context.Context, o sweep.Object) error {
			if c.before != nil {
				c.before()
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.deletes++
			delete(c.objects, o.ID)
			return ctx.Err()
		},
	}}, c.account, nil
}

func things(n int) map[string]bool {
	out := map[string]bool{}
	for i := range n {
		out[fmt.Sprint("thing-", i)] = true
	}
	return out
}

func testCleaner(files fs.FS, c *cloud) *cleaner {
	return &cleaner{
		deps: Deps{
			OpenCommit: func(context.Context, string, string) (fs.FS, string, func() error, error) {
				return files, "c0ffee", func() error { return nil }, nil
			},
			Accounts: map[string]OpenAccount{settings.AccountProject: c.open},
		},
		settings: "steward.yaml", confirm: true, now: time.Now, pause: time.Millisecond,
	}
}

// Each proof alone is enough to refuse, and nothing is deleted then.
func TestProofs(t *testing.T) { // SW-14 to SW-17, SW-20
	good := sweep.Account{ID: "e2e-1", Number: "1", Within: []string{"folders/7"}}
	numbered := sweep.Account{ID: "e2e-1", Number: "210987654321", Within: []string{"folders/7"}}
	for name, c := range map[string]struct {
		files   map[string]string
		account sweep.Account
		ask     string
		want    string // rule; "" is clean
	}{
		"all hold":               {nil, good, "e2e-1", ""},
		"a label is enough":      {nil, sweep.Account{ID: "e2e-1", Number: "1", Labels: map[string]string{"pool": "boskos"}}, "e2e-1", ""},
		"not named":              {nil, sweep.Account{ID: "e2e-3", Number: "1", Within: []string{"folders/7"}}, "e2e-3", "SW-15"},
		"named by number":        {nil, good, "1", "SW-15"},
		"elsewhere":              {nil, sweep.Account{ID: "e2e-1", Number: "1", Within: []string{"folders/8"}}, "e2e-1", "SW-16"},
		"another label":          {nil, sweep.Account{ID: "e2e-1", Number: "1", Labels: map[string]string{"pool": "mine"}}, "e2e-1", "SW-16"},
		"nowhere":                {nil, sweep.Account{ID: "e2e-1", Number: "1"}, "e2e-1", "SW-16"},
		"another is seen":        {nil, sweep.Account{ID: "e2e-2", Number: "1", Within: []string{"folders/7"}}, "e2e-1", "SW-17"},
		"no number":              {nil, sweep.Account{ID: "e2e-1", Within: []string{"folders/7"}}, "e2e-1", "SW-17"},
		"made anew":              {map[string]string{"audit/projects/e2e-1/description.json": `{"projectNumber": "11"}`}, good, "e2e-1", "SW-17"},
		"the same number":        {map[string]string{"audit/projects/e2e-1/description.json": `{"projectNumber": "1"}`}, good, "e2e-1", ""},
		"a type of others":       {map[string]string{"boskos.yaml": "resources:\n- {type: gcve-vsphere-project, state: dirty, names: [e2e-1]}\n"}, good, "e2e-1", "SW-14"},
		"no client for it":       {map[string]string{"boskos.yaml": "resources:\n- {type: aws-account, state: dirty, names: [e2e-1]}\n"}, good, "e2e-1", "SW-14"},
		"denied":                 {map[string]string{"infra.yaml": "infra: {prod: {projects: {e2e-1: }}}"}, good, "e2e-1", "SW-20"},
		"denied by another row":  {map[string]string{"infra.yaml": "infra: {e2e: {projects: {e2e-1: }}, prod: {projects: {e2e-1: }}}"}, good, "e2e-1", "SW-20"},
		"lent by infra.yaml":     {map[string]string{"infra.yaml": "infra: {e2e: {projects: {e2e-1: }}}"}, good, "e2e-1", ""},
		"denied by its number":   {map[string]string{"main.tf": `principal = "arn:aws:iam::210987654321:role/ci"`}, numbered, "e2e-1", "SW-20"},
		"denied in the settings": {map[string]string{"steward.yaml": plain + "  deny: [E2E-1]\n"}, good, "e2e-1", "SW-20"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"steward.yaml": plain, "boskos.yaml": onePool}
			for file, text := range c.files {
				files[file] = text
			}
			fake := &cloud{account: c.account, objects: things(3)}
			r := testCleaner(repository(files), fake).clean(t.Context(), c.ask)
			var refused *refusal
			got := ""
			if errors.As(r.Err, &refused) {
				got = refused.rule
			}
			if got != c.want || r.Free() != (c.want == "") || (fake.deletes > 0) != (c.want == "") {
				t.Errorf("refused by %q, want %q; free %v, %d deletes, %v", got, c.want, r.Free(), fake.deletes, r.Err)
			}
			if (c.want == "SW-20" || c.want == "SW-15") && c.account.Number == "1" && len(fake.opened) > 0 {
				t.Errorf("%v was asked about", fake.opened)
			}
		})
	}
}

// What cannot be read could have said no, so nothing is swept.
func TestUnreadableBase(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no settings":      {"boskos.yaml": onePool},
		"no pool":          {"steward.yaml": plain},
		"pool not YAML":    {"steward.yaml": plain, "boskos.yaml": "["},
		"settings wrong":   {"steward.yaml": plain + "  nonsense: 1\n", "boskos.yaml": onePool},
		"no place":         {"steward.yaml": "repos: {o/r: {}}\njanitor: {pool: [boskos.yaml]}\n", "boskos.yaml": onePool},
		"no janitor":       {"steward.yaml": "repos: {o/r: {}}\n", "boskos.yaml": onePool},
		"infra not YAML":   {"steward.yaml": plain, "boskos.yaml": onePool, "x/infra.yaml": "infra: ["},
		"audit not JSON":   {"steward.yaml": plain, "boskos.yaml": onePool, "audit/projects/e2e-1/description.json": "{"},
		"a file too large": {"steward.yaml": plain, "boskos.yaml": onePool, "main.tf": strings.Repeat("x", maxDenyFile+1)},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &cloud{account: sweep.Account{ID: "e2e-1", Number: "1", Within: []string{"folders/7"}}, objects: things(3)}
			r := testCleaner(repository(files), fake).clean(t.Context(), "e2e-1")
			if r.Err == nil || r.Free() || len(fake.opened) > 0 {
				t.Errorf("swept: %v", r.Err)
			}
		})
	}
}

func TestDeny(t *testing.T) { // SW-20
	files := repository(map[string]string{
		"infra/gcp/infra.yaml": "infra:\n  e2e: {projects: {lent-one: }}\n  prod: {managed_by: x, projects: {prod-one: , prod-two: {managed_by: y}, prod-three: infra/x.sh}}\n",
		"infra/main.tf": `
locals {
  project_id   = "tf-local"
  all_projects = [
    "tf-list-one",
    "tf-list-two",
  ]
  region = "not-denied-region"
}
variable "project" {
  type    = string
  default = "tf-default"
}
resource "google_project" "p" { project_id = "tf-resource" }
provider "google" {
  project = "tf-provider"
  # project = "tf-comment"
}
`,
		"infra/aws/iam.tf": `
accounts = [111111111111,222222222222]
role = "arn:aws:iam::333333333333:role/deployer"
image = "444444444444.dkr.ecr.us-east-2.amazonaws.com/x"
digest = "5555555555555"
`,
		"infra/aws/boskos/main.tf":                           "accounts = { boskos-001 = 666666666666 }\nproject = \"tf-beside\"\n",
		"infra/aws/boskos-mgmt/main.tf":                      "account = 777777777777\n",
		"infra/prod.tfvars":                                  "gcp_project_id = \"tf-vars\"\n",
		"infra/prod.tf.json":                                 `{"provider": {"google": {"project": "tf-json", "region": "europe"}}}`,
		"registry.k8s.io/manifests/a/promoter-manifest.yaml": "registries:\n- name: gcr.io/p-source\n  src: true\n- name: us-east1-docker.pkg.dev/p-destination/images/a\n  service-account: x@p-account.iam.gserviceaccount.com\n- name: eu.gcr.io/p-older\n",
		"artifacts/filestores/a/filepromoter-manifest.yaml":  "filestores:\n- base: gs://f-source/x/\n- base: gs://f-destination\n  service-account: x@f-account.iam.gserviceaccount.com\n",
		"audit/projects/lent-one/main.tf":                    `project = "exported"`,
		"docs/readme.md":                                     `project = "only-words"`,
	})
	d, err := readDeny(files, []string{"By-Setting"}, []string{"infra/aws/boskos"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range strings.Fields(`prod-one prod-two prod-three tf-local tf-list-one tf-list-two tf-default tf-resource tf-provider tf-comment tf-vars
		111111111111 222222222222 333333333333 444444444444 777777777777 tf-beside tf-json p-source p-destination p-account p-older f-source f-destination f-account by-setting BY-SETTING`) {
		if d.Why(id) == "" {
			t.Errorf("%s is not denied", id)
		}
	}
	for _, id := range strings.Fields("lent-one not-denied-region exported only-words 555555555555 5555555555555 666666666666") {
		if why := d.Why(id); why != "" {
			t.Errorf("%s is denied by %s", id, why)
		}
	}
}

// No change of the pool's configuration, of labels, of folders, types or keeps makes the janitor ask about a denied
// account.
func TestDeniedIsNeverTouched(t *testing.T) { // SW-20
	denying := []map[string]string{
		{"infra/gcp/infra.yaml": "infra: {prod: {projects: {NAME: }}}"},
		{"infra/gcp/infra.yaml": "infra: {e2e: {projects: {NAME: }}, prod: {projects: {NAME: }}}"},
		{"x/main.tf": `project = "NAME"`},
		{"x/promoter-manifest.yaml": "registries:\n- name: us-docker.pkg.dev/NAME/images\n"},
		{"x/filepromoter-manifest.yaml": "filestores:\n- base: gs://NAME/binaries/\n"},
	}
	free := 0
	for seed := range uint64(500) {
		d := rand.New(rand.NewPCG(seed, 3))
		const name = "prod-project"
		files := map[string]string{}
		for file, text := range denying[d.IntN(len(denying))] {
			files[file] = strings.ReplaceAll(text, "NAME", name)
		}
		types := []string{"gce-project", "gpu-project", "scalability-project", "made-up"}
		typ := types[d.IntN(len(types))]
		text := "repos: {o/r: {}}\njanitor:\n  pool: [boskos.yaml]\n  within: [folders/7, organizations/9]\n  labels: {pool: boskos, any: thing}\n"
		if d.IntN(2) == 0 {
			text += "  types: {" + typ + ": project, made-up: project}\n"
		}
		if d.IntN(2) == 0 {
			text += "  brake: 100000\n"
		}
		files["steward.yaml"] = text
		files["boskos.yaml"] = "resources:\n- {type: " + typ + ", state: dirty, names: [other-one, " + name + "]}\n"
		files["more/infra.yaml"] = "infra: {e2e: {projects: {other-one: }}}"
		account := sweep.Account{ID: name, Number: "1", Within: []string{"folders/7"}, Labels: map[string]string{"pool": "boskos"}}
		fake := &cloud{account: account, objects: things(3)}
		ask := []string{name, strings.ToUpper(name), " " + name}[d.IntN(3)]
		c := testCleaner(repository(files), fake)
		r := c.clean(t.Context(), ask)
		if r.Free() || r.Err == nil || fake.deletes > 0 || len(fake.opened) > 0 {
			t.Fatalf("seed %d: %q was touched: %v", seed, ask, files)
		}
		// A credential that sees it where another one was meant does not help either.
		fake.account.Within = []string{"folders/7"}
		if r := c.clean(t.Context(), "other-one"); r.Free() || fake.deletes > 0 {
			t.Fatalf("seed %d: touched through another name", seed)
		}
		fake.account.ID = "other-one"
		if c.clean(t.Context(), "other-one").Free() {
			free++
		}
	}
	if free < 100 {
		t.Errorf("only %d of the worlds would have let anything go", free)
	}
}

// fakePool is a pool with some dirty resources.
type fakePool struct {
	mu       sync.Mutex
	dirty    []string
	renewals int
	lost     int // renewals from which on the lease is lost; 0: never
	down     int // renewals from which on the pool does not answer
	failures int // of releases
	released []string
}

func (p *fakePool) Acquire(_ context.Context, types []string) (Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.dirty) == 0 {
		return Lease{}, fmt.Errorf("%s: %w", strings.Join(types, " "), ErrNothing)
	}
	name := p.dirty[0]
	p.dirty = p.dirty[1:]
	return Lease{Name: name, Type: types[0], ID: "l", TTL: 3 * time.Minute}, nil
}

func (p *fakePool) Renew(context.Context, Lease) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewals++
	if p.lost > 0 && p.renewals >= p.lost {
		return fmt.Errorf("renew: %w", ErrLost)
	}
	if p.down > 0 && p.renewals >= p.down {
		return errors.New("no answer")
	}
	return nil
}

func (p *fakePool) Release(ctx context.Context, l Lease, to, reason string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.failures--; p.failures >= 0 {
		return errors.New("no answer")
	}
	p.released = append(p.released, strings.TrimSpace(l.Name+" "+to+" "+reason))
	return nil
}

// TestWorker runs a resident worker on a clock of its own: a delete takes a minute.
func TestWorker(t *testing.T) { // SW-10 to SW-13
	for name, c := range map[string]struct {
		pool     *fakePool
		objects  int
		stop     time.Duration // after which the program is told to end
		account  string
		released []string
		deletes  int
		renewals bool
		told     string
	}{
		"clean is free":             {&fakePool{dirty: []string{"e2e-1"}}, 1, time.Hour, "e2e-1", []string{"e2e-1 free"}, 1, false, ""},
		"long ones are renewed":     {&fakePool{dirty: []string{"e2e-1"}}, 30, 3 * time.Hour, "e2e-1", []string{"e2e-1 free"}, 30, true, ""},
		"lost stops":                {&fakePool{dirty: []string{"e2e-1"}, lost: 3}, 30, 3 * time.Hour, "e2e-1", nil, 4, true, "e2e-1: the lease was lost"},
		"no answer is lost in time": {&fakePool{dirty: []string{"e2e-1"}, down: 3}, 30, 3 * time.Hour, "e2e-1", nil, 5, true, "e2e-1: the lease was lost"},
		"refused is dirty":          {&fakePool{dirty: []string{"e2e-1"}}, 1, time.Hour, "e2e-2", []string{`e2e-1 dirty the credential sees "e2e-2" (number "1") where e2e-1 was meant (SW-17)`}, 0, false, ""},
		"told to end":               {&fakePool{dirty: []string{"e2e-1"}}, 30, 5*time.Minute + time.Second, "e2e-1", []string{"e2e-1 dirty stopped: context canceled"}, 6, true, ""},
		"release is repeated":       {&fakePool{dirty: []string{"e2e-1"}, failures: 2}, 1, time.Hour, "e2e-1", []string{"e2e-1 free"}, 1, false, ""},
		"release fails":             {&fakePool{dirty: []string{"e2e-1"}, failures: 9}, 1, time.Hour, "e2e-1", nil, 1, false, "e2e-1: release as free: no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &cloud{account: sweep.Account{ID: c.account, Number: "1", Within: []string{"folders/7"}}, objects: things(c.objects)}
				fake.before = func() { time.Sleep(time.Minute) } // on the clock of the bubble
				clean := testCleaner(repository(map[string]string{"steward.yaml": plain, "boskos.yaml": onePool}), fake)
				clean.atOnce = 1
				ctx, cancel := context.WithTimeout(t.Context(), c.stop)
				ctx, stop := context.WithCancel(ctx)
				if strings.HasPrefix(name, "told") {
					ctx, stop = context.WithCancel(t.Context())
					time.AfterFunc(c.stop, stop)
				}
				defer cancel()
				defer stop()
				var mu sync.Mutex
				var told bytes.Buffer
				w := worker{
					pool: c.pool, types: []string{"gce-project"}, parallel: 2, heartbeat: time.Minute, idle: 10 * time.Second, clean: clean.clean,
					done: func(Result) {}, tell: func(text string) { mu.Lock(); defer mu.Unlock(); fmt.Fprintln(&told, text) },
				}
				w.run(ctx)
				if !slices.Equal(c.pool.released, c.released) {
					t.Errorf("released %q, want %q", c.pool.released, c.released)
				}
				if fake.deletes > c.deletes || fake.deletes < c.deletes-2 {
					t.Errorf("%d deletes, want %d or a few less", fake.deletes, c.deletes)
				}
				if (c.pool.renewals > 1) != c.renewals || !strings.Contains(told.String(), c.told) {
					t.Errorf("%d renewals; told %q, want %q", c.pool.renewals, told.String(), c.told)
				}
			})
		})
	}
}

// The real repository: its production is denied, its pool is not, and looking takes no time to speak of.
func TestRealRepository(t *testing.T) {
	dir := "../../../shared/data"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("there is no real data here")
	}
	d, err := readDeny(os.DirFS(filepath.Join(dir, "k8s.io")), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"k8s-artifacts-prod", "kubernetes-public", "k8s-infra-prow-build-trusted", "k8s-release", "k8s-staging-kops", "k8s-conform"} {
		if d.Why(id) == "" {
			t.Errorf("%s is not denied", id)
		}
	}
	b := &base{pool: map[string]string{}, deny: d}
	if err := b.readPool(os.DirFS(filepath.Join(dir, "boskos")), "boskos-resources.yaml"); err != nil {
		t.Fatal(err)
	}
	swept := 0
	for name, typ := range b.pool {
		_, err := b.named(name)
		if want := typ != "gcve-vsphere-project"; (err == nil) != want {
			t.Errorf("%s %s: %v", typ, name, err)
		}
		if err == nil {
			swept++
		}
	}
	t.Logf("%d accounts are denied, %d of %d of the pool may be swept", d.Len(), swept, len(b.pool))
}

func FuzzTerraform(f *testing.F) {
	f.Add([]byte("project = \"abcdef\"\n"))
	f.Add([]byte("projects = [\"abcdef\", {\n"))
	f.Add([]byte("123456789012"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := Deny{why: map[string]string{}}
		if err := d.terraform("x.tf", append(raw, "\nproject_id = \"denied-here\"\nrole = \"arn:aws:iam::987654321098:role/x\"\n"...)); err != nil {
			t.Fatal(err)
		}
		if d.Why("denied-here") == "" || d.Why("987654321098") == "" {
			t.Error("what stands before a line hides it")
		}
	})
}
