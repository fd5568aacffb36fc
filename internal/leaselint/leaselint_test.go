// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leaselint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/finding"
)

const head = "repos: {o/r: {plugins: [owners]}}\n"

// lint checks a repository of these files. What is found is "RULE severity file:line object".
func lint(t testing.TB, files map[string]string) ([]string, error) {
	t.Helper()
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	f, err := Read("steward.yaml", []byte(head+files["steward.yaml"]), "prow.yaml", true, func(name string) ([]byte, error) { return fs.ReadFile(tree, name) })
	if err != nil {
		return nil, err
	}
	found, err := Check(f)
	var all []string
	for _, f := range found {
		all = append(all, fmt.Sprintf("%s %s %s %s", f.Rule, f.Severity, f.Position(), f.Object))
		if f.Fix == "" || f.Message == "" {
			t.Errorf("%s says too little: %+v", f.Rule, f)
		}
	}
	return all, err
}

const project = "resources:\n- type: project\n  state: dirty\n  names: [p1, p2]\n"

// Every rule, alone.
func TestRules(t *testing.T) {
	const clean = "pool: {config: [pool.yaml], janitor: [project]}\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"clean", map[string]string{"steward.yaml": clean, "pool.yaml": project}, nil},
		{"PC-1 in a ConfigMap", map[string]string{
			"steward.yaml": clean,
			"pool.yaml":    "kind: ConfigMap\ndata:\n  config: |\n    resources:\n    - type: project\n      names: [a, a]\n",
		}, []string{"PC-1 error pool.yaml:6 pool.yaml: name a stands in a line already"}},
		{"PC-1 is all that is said of half a pool", map[string]string{
			"steward.yaml": "pool: {config: [pool.yaml, other.yaml]}\n", "pool.yaml": project, "other.yaml": "resources: []\n",
		}, []string{"PC-1 error other.yaml:1 other.yaml: resources has to be a list with at least one entry"}},
		{"PC-2", map[string]string{
			"steward.yaml": "pool: {config: [pool.yaml, other.yaml], janitor: [project]}\n", "pool.yaml": project,
			"other.yaml": "resources:\n- type: project\n  names:\n  - p3\n  - p2\n",
		}, []string{"PC-2 error other.yaml:5 p2"}},
		{"PC-3, whose resources begin dirty", map[string]string{"steward.yaml": "pool: {config: [pool.yaml]}\n", "pool.yaml": project},
			[]string{"PC-3 error pool.yaml:2 project"}},
		{"PC-3, whose resources begin free", map[string]string{
			"steward.yaml": "pool: {config: [pool.yaml]}\n", "pool.yaml": "resources:\n- {type: quota, names: [a]}\n",
		}, []string{"PC-3 warning pool.yaml:2 quota"}},
		{"PC-3, although steward's janitor has its name", map[string]string{
			"steward.yaml": "janitor: {pool: [pool.yaml], within: [folders/1], types: {project: none}}\n", "pool.yaml": project,
		}, []string{"PC-3 error pool.yaml:2 project"}},
		{"cleaned by steward", map[string]string{
			"steward.yaml": "janitor: {pool: [pool.yaml], within: [folders/1], types: {project: project}}\n", "pool.yaml": project,
		}, nil},
		{"cleaned by somebody", map[string]string{
			"steward.yaml": "pool: {config: [pool.yaml], cleaned-by: {project: the team}}\n", "pool.yaml": project,
		}, nil},
		{"cleaned by a job of Prow", map[string]string{
			"steward.yaml": "pool: {config: [pool.yaml], cleaners: [jobs.yaml]}\n", "pool.yaml": project,
			"jobs.yaml": "periodics:\n- spec: {containers: [{command: [steward, janitor], args: [--type=project]}]}\n",
		}, nil},
		{"PC-4", map[string]string{
			"steward.yaml": "janitor: {types: {projekt: project}}\npool:\n  config: [pool.yaml]\n  janitor:\n  - project\n  - projcet\n" +
				"  cleaned-by:\n    vsphere: them\n  accounts: {a: {quota: {gpu: 1}}}\n",
			"pool.yaml": project,
		}, []string{
			"PC-4 warning steward.yaml gpu in the quota of account a", "PC-4 warning steward.yaml projekt in janitor.types",
			"PC-4 warning steward.yaml:7 projcet in pool.janitor", "PC-4 warning steward.yaml:9 vsphere in pool.cleaned-by",
		}},
		{"PC-5", map[string]string{
			"steward.yaml": clean[:len(clean)-2] + ", queues: {a: project, b: project, c: project, d: project}}\n", "pool.yaml": project,
			"prow.yaml": "plank:\n  job_queue_capacities:\n    a: 1\n    b: 2\n    c: 3\n    d: -1\n",
		}, []string{"PC-5 warning prow.yaml:3 a", "PC-5 warning prow.yaml:5 c", "PC-5 warning prow.yaml:6 d"}},
		{"PC-6", map[string]string{
			"steward.yaml": clean[:len(clean)-2] + ", queues: {a: project}}\n", "pool.yaml": project, "prow.yaml": "tide: {}\n",
		}, []string{"PC-6 warning steward.yaml:2 a"}},
		{"PC-8", map[string]string{
			"steward.yaml": clean[:len(clean)-2] + ", cleaners: [jobs.yaml]}\n", "pool.yaml": project,
			"jobs.yaml": "periodics:\n- spec: {containers: [{command: [steward, audit], args: [--type=project]}]}\n",
		}, []string{"PC-8 warning jobs.yaml jobs.yaml"}},
	} {
		got, err := lint(t, c.files)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// What cannot be read is an error, and all of it at once.
func TestUnreadable(t *testing.T) {
	_, err := lint(t, map[string]string{"steward.yaml": "pool: {config: [a.yaml], cleaners: [b.yaml], queues: {q: t}}\n"})
	for _, want := range []string{"a.yaml", "b.yaml", "prow.yaml"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is passed over: %v", want, err)
		}
	}
	if _, err := lint(t, map[string]string{"steward.yaml": ""}); !errors.Is(err, ErrNoPool) {
		t.Error(err)
	}
	for _, broken := range []string{"a: [", "plank: {job_queue_capacities: [1]}", "plank: {job_queue_capacities: {a: many}}"} {
		_, err := lint(t, map[string]string{
			"steward.yaml": "pool: {config: [pool.yaml], janitor: [project], queues: {a: project}}\n", "pool.yaml": project, "prow.yaml": broken,
		})
		if err == nil || !strings.Contains(err.Error(), "prow.yaml") {
			t.Errorf("%s: %v", broken, err)
		}
	}
	_, err = lint(t, map[string]string{
		"steward.yaml": "pool: {config: [pool.yaml], cleaners: [jobs.yaml]}\n", "pool.yaml": project, "jobs.yaml": "a: [",
	})
	if err == nil || !strings.Contains(err.Error(), "jobs.yaml: line 1") {
		t.Error(err)
	}
}

// Flags of janitors, as Deployments, CronJobs and ProwJobs have them.
func TestJanitors(t *testing.T) {
	for content, want := range map[string][]string{
		`{containers: [{name: boskos-janitor, args: ["--resource-type=a,b", --pool-size=20, --, --hours=0]}]}`: {"a", "b"},
		`{containers: [{image: "x/janitor:v1", args: [--resource-type, " a , ", -type=c]}]}`:                   {"a", "c"},
		`{a: {b: [{command: [sh, -c, "echo janitor"], args: [--type]}]}}`:                                      nil,
		`{containers: [{name: reaper, args: ["--resource-type=a"]}]}`:                                          nil,
		`{containers: [{name: janitor, args: "--resource-type=a"}]}`:                                           nil,
		"a: &a\n- {name: janitor, args: [--type=x]}\nb: *a\n---\nc: {name: janitor, args: [type=y, --type=z]}": {"x", "z"},
		"": nil,
	} {
		got, err := file{"f", []byte(content)}.janitors()
		if sorted := slices.Sorted(maps.Keys(got)); err != nil || !slices.Equal(sorted, want) {
			t.Errorf("%s: %v %v", content, sorted, err)
		}
	}
	if _, err := (file{"f", make([]byte, maxCleaners+1)}).janitors(); err == nil {
		t.Error("a file has no bound")
	}
}

// community is the real pool, its Prow and settings as the deployment of 2026 would have them.
func community(t *testing.T, extra string) *Files {
	t.Helper()
	data := filepath.Join("..", "..", "..", "shared", "data")
	names := map[string]string{
		"pool.yaml": filepath.Join(data, "boskos", "gke-prow-build.boskos-resources-configmap.yaml"),
		"prow.yaml": filepath.Join(data, "test-infra", "config", "prow", "config.yaml"),
	}
	for _, path := range names {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("the community's files are not here: %v", err)
		}
	}
	// The janitor is deployed with these types, and nothing else cleans the pool.
	janitor := `{containers: [{name: boskos-janitor, args: ["--resource-type=gce-project,gpu-project,scalability-project,scalability-scale-project"]}]}`
	settings := head + "pool:\n  config: [pool.yaml]\n  cleaners: [janitor.yaml]\n" + extra
	f, err := Read("steward.yaml", []byte(settings), "prow.yaml", true, func(name string) ([]byte, error) {
		if name == "janitor.yaml" {
			return []byte(janitor), nil
		}
		return os.ReadFile(names[name])
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Of the real pool one type has no janitor, and Prow's copies of the sizes are compared.
func TestCommunity(t *testing.T) {
	f := community(t, "  queues: {gce-gpu-test: gpu-project, 5k-gce-scale-test: scalability-scale-project}\n")
	found, err := Check(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Rule != uncleaned || found[0].Object != "gcve-vsphere-project" || found[0].Severity != finding.Error ||
		found[1].Rule != capacity || found[1].Object != "5k-gce-scale-test" {
		t.Errorf("%+v", found)
	}
	list, err := Capacities(f)
	if err != nil || !strings.Contains(list, "gce-gpu-test: 10 # all of gpu-project") || !strings.Contains(list, "5k-gce-scale-test: 1 #") ||
		!strings.Contains(list, "k8sio-image-promo: 1\n") {
		t.Errorf("%v\n%s", err, list)
	}
	found, err = Check(community(t, "  cleaned-by: {gcve-vsphere-project: the jobs of image-builder}\n"))
	if err != nil || len(found) != 0 {
		t.Errorf("%v %+v", err, found)
	}
}

// No file makes the check fail in another way than by an error or a finding.
func FuzzCheck(f *testing.F) {
	f.Add(project, "plank: {job_queue_capacities: {a: 1}}", "{name: janitor, args: [--type=project]}")
	f.Add("kind: ConfigMap\ndata: {c: 'resources: [{type: t, names: [n]}]'}", "a: [", "---\n---\n- &a [*a]")
	f.Fuzz(func(t *testing.T, pool, prow, jobs string) {
		_, err := lint(t, map[string]string{
			"steward.yaml": "pool: {config: [pool.yaml], cleaners: [jobs.yaml], queues: {a: project}}\n",
			"pool.yaml":    pool, "prow.yaml": prow, "jobs.yaml": jobs,
		})
		if err != nil && len(err.Error()) > 1<<20 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}
