// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/settings"
)

// shippedJobs is what a community puts into its Prow.
const shippedJobs = "../../config/prow/jobs/trusted/steward-promote.yaml"

type prowJob struct {
	Name string `yaml:"name"`
	Spec struct {
		Containers []struct {
			Command []string `yaml:"command"`
			Args    []string `yaml:"args"`
		} `yaml:"containers"`
	} `yaml:"spec"`
}

func readJobs() (all []prowJob, err error) {
	raw, err := os.ReadFile(shippedJobs)
	if err != nil {
		return nil, err
	}
	var file struct {
		Postsubmits map[string][]prowJob `yaml:"postsubmits"`
		Periodics   []prowJob            `yaml:"periodics"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, err
	}
	for _, jobs := range file.Postsubmits {
		all = append(all, jobs...)
	}
	return append(all, file.Periodics...), nil
}

// shipped runs a job as Prow does: in the checkout, with the arguments that stand in its file, but for the bucket of state.
// args are the exit code that is wanted, the name of the job, and more arguments.
func shipped(ts *testscript.TestScript, exits func(*testscript.TestScript, bool, []string), args []string) {
	jobs, err := readJobs()
	ts.Check(err)
	at := slices.IndexFunc(jobs, func(j prowJob) bool { return j.Name == args[1] })
	if at < 0 {
		ts.Fatalf("%s has no job %s", shippedJobs, args[1])
	}
	c := jobs[at].Spec.Containers[0]
	line := append([]string{args[0]}, c.Command...)
	for _, a := range c.Args {
		line = append(line, strings.Replace(a, "gs://example-steward-state", "file://"+ts.Getenv("WORK")+"/state", 1))
	}
	ts.Check(ts.Chdir("repo"))
	exits(ts, false, append(line, args[2:]...))
	ts.Check(ts.Chdir(".."))
}

// TestEverySettingHasItsJobs: what steward.yaml says of promotion is read by the jobs that do it, because they name the file.
func TestEverySettingHasItsJobs(t *testing.T) {
	images := []string{"post-steward-promote", "periodic-steward-promote"}
	checked := append(images, "periodic-steward-promote-check")
	files := []string{"post-steward-promote-files", "periodic-steward-promote-files"}
	readers := map[string][]string{
		"images": append(checked, "periodic-steward-promote-add"), "mirrors": checked, "signing": checked, "blobs": checked, "signed-by": images,
		"files": files, "stores": files, "add": {"periodic-steward-promote-add"},
		"sources": nil, "retention": nil, // of steward-hook, which has its settings from its own flag
	}
	jobs, err := readJobs()
	if err != nil {
		t.Fatal(err)
	}
	with := map[string][]string{} // their arguments
	for _, j := range jobs {
		with[j.Name] = j.Spec.Containers[0].Args
	}
	for i := range reflect.TypeFor[settings.Promotion]().NumField() {
		setting := reflect.TypeFor[settings.Promotion]().Field(i).Tag.Get("yaml")
		names, known := readers[setting]
		if !known {
			t.Errorf("promotion.%s: no job is known that reads it", setting)
		}
		for _, name := range names {
			if !slices.Contains(with[name], "--config=config/steward.yaml") {
				t.Errorf("promotion.%s: %s does not read it: %q", setting, name, with[name])
			}
		}
	}
	if !slices.Contains(with["periodic-steward-promote"], "--repair") {
		t.Error("no job mends what is in production without a signature")
	}
}
