// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package jobs

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	testgrid "github.com/GoogleCloudPlatform/testgrid/config"
	pb "github.com/GoogleCloudPlatform/testgrid/pb/config"
	"google.golang.org/protobuf/proto"
	"k8s.io/test-infra/testgrid/pkg/configurator/configurator"
	"k8s.io/test-infra/testgrid/pkg/configurator/options"
)

// defaults is the file that every TestGrid has beside its dashboards.
const defaults = `
default_test_group:
  days_of_results: 15
  tests_name_policy: 2
  num_columns_recent: 10
  use_kubernetes_client: true
  is_external: true
  num_failures_to_alert: 3
  num_passes_to_disable_alert: 1
  column_header:
    - configuration_value: Commit
default_dashboard_tab:
  num_columns_recent: 10
  open_test_template:
    url: https://prow.example.org/view/gs/<gcs_prefix>/<changelist>
`

// asConfigurator makes this test binary TestGrid's configurator. That watches its files for ever, and ends the process
// where it cannot read Prow's: it is better off in one of its own.
const asConfigurator = "STEWARD_TEST_CONFIGURATOR"

func TestMain(m *testing.M) {
	if os.Getenv(asConfigurator) == "" {
		os.Exit(m.Run())
	}
	opts := options.Options{}
	err := opts.GatherOptions(flag.CommandLine, os.Args[1:])
	if err == nil {
		err = configurator.RealMain(&opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// configurator runs TestGrid's configurator over the copy, as its own job does, and returns what it writes.
func (p prow) configurator() (*pb.Configuration, error) {
	p.t.Helper()
	p.write("defaults.yaml", defaults)
	cmd := exec.CommandContext(p.t.Context(), os.Args[0],
		"--yaml="+p.path(gridFile), "--default="+p.path("defaults.yaml"), "--strict-unmarshal", "--oneshot",
		"--prow-config="+p.path(configFile), "--prow-job-config="+p.path("jobs"), "--output="+p.path("testgrid.pb"))
	cmd.Env = append(os.Environ(), asConfigurator+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	content, err := os.ReadFile(p.path("testgrid.pb"))
	if err != nil {
		p.t.Fatal(err)
	}
	c := &pb.Configuration{}
	if err := proto.Unmarshal(content, c); err != nil {
		p.t.Fatal(err)
	}
	return c, testgrid.Validate(c)
}

// Every job has a tab on a dashboard of its kind, and the audit tells somebody when it fails twice or stops running.
func TestTestGrid(t *testing.T) {
	c, err := copyConfig(t).configurator()
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ tab, job, results string }
	for dashboard, want := range map[string][]row{
		"example-infra-periodics": {
			{"steward-audit", "periodic-steward-audit", "example-prow-logs/logs/periodic-steward-audit"},
			{"steward-janitor", "periodic-steward-janitor", "example-prow-logs/logs/periodic-steward-janitor"},
			{"steward-promote", "periodic-steward-promote", "example-prow-logs/logs/periodic-steward-promote"},
			{"steward-promote-add", "periodic-steward-promote-add", "example-prow-logs/logs/periodic-steward-promote-add"},
			{"steward-promote-check", "periodic-steward-promote-check", "example-prow-logs/logs/periodic-steward-promote-check"},
			{"steward-promote-files", "periodic-steward-promote-files", "example-prow-logs/logs/periodic-steward-promote-files"},
			{"steward-promote-merged", "post-steward-promote", "example-prow-logs/logs/post-steward-promote"},
			{"steward-promote-files-merged", "post-steward-promote-files", "example-prow-logs/logs/post-steward-promote-files"},
		},
		"example-infra-presubmits": {{"steward-verify", "pull-steward-verify", "example-prow-logs/pr-logs/directory/pull-steward-verify"}},
	} {
		d := testgrid.FindDashboard(dashboard, c)
		if d == nil || len(d.GetDashboardTab()) != len(want) {
			t.Fatalf("%s: %v", dashboard, d)
		}
		for i, tab := range d.GetDashboardTab() {
			group := testgrid.FindTestGroup(tab.GetTestGroupName(), c)
			got := row{tab.GetName(), group.GetName(), group.GetGcsPrefix()}
			if got != want[i] || tab.GetDescription() == "" {
				t.Errorf("%s: tab %v of %v", dashboard, tab, group)
			}
		}
	}
	alerts := testgrid.FindDashboard("example-infra-periodics", c).GetDashboardTab()[0].GetAlertOptions()
	if alerts.GetNumFailuresToAlert() != 2 || alerts.GetAlertStaleResultsHours() != 12 || alerts.GetAlertMailToAddresses() != "infra-alerts@example.org" {
		t.Errorf("the audit alerts %v", alerts)
	}
}

func TestTestGridRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		edit edit
		want string
	}{
		{"no such dashboard", edit{periodics, "testgrid-dashboards: example-infra-periodics", "testgrid-dashboards: example-infra-periodic"}, `couldn't find dashboard "example-infra-periodic"`},
		{"a word for a number", edit{periodics, `testgrid-num-failures-to-alert: "2"`, "testgrid-num-failures-to-alert: two"}, `"two"`},
		{"a tab without a group", edit{presubmits, "        testgrid-dashboards: example-infra-presubmits\n", ""}, "no testgroup exists"},
		{"a dashboard without tabs", edit{gridFile, "  - name: example-infra-presubmits\n", "  - name: example-infra-presubmits\n  - name: example-infra-spare\n"}, "example-infra-spare"},
		{"a group of what is not there", edit{gridFile, "      - example-infra-presubmits\n", "      - example-infra-presubmit\n"}, "example-infra-presubmit"},
		{"a misspelt key", edit{gridFile, "dashboard_names:", "dashboards_names:"}, "dashboards_names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := copyConfig(t)
			p.apply(c.edit)
			if _, err := p.configurator(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
