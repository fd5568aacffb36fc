// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Janitor says which accounts may be swept. What may never be is not a setting: it follows from the repository.
type Janitor struct {
	Pool   []string          `yaml:"pool"`   // Boskos's configuration files, relative to the repository
	Types  map[string]string `yaml:"types"`  // resource type -> what it is: project, account, or none
	Within []string          `yaml:"within"` // folders/N, organizations/N, ou-…: an account has to lie in one
	Labels map[string]string `yaml:"labels"` // or has to have one of these
	Deny   []string          `yaml:"deny"`   // never swept, beyond what the repository says
	Lent   []string          `yaml:"lent"`   // folders whose Terraform is about lent accounts: numbers in it deny nothing
	Keep   []string          `yaml:"keep"`   // objects that stay: "KIND GLOB", such as "iam.serviceAccounts prow-*"
	Brake  int               `yaml:"brake"`  // more objects than this are not deleted on first sight; 0 is the default
	AWS    JanitorAWS        `yaml:"aws"`
	// Endpoints are where tests of Google's own releases leave objects, beside production.
	Endpoints Endpoints `yaml:"endpoints"`
}

// Endpoints are further hosts of a service of Google Cloud: container, gkehub or lustre. The janitor's credential is sent there.
type Endpoints map[string][]string

// UnmarshalYAML takes hosts of Google's that are the service's, and names every other one with its line.
func (e *Endpoints) UnmarshalYAML(n *yaml.Node) error {
	var nodes map[string][]yaml.Node
	if err := n.Decode(&nodes); err != nil {
		return err
	}
	*e = Endpoints{}
	var faults []string
	for _, service := range slices.Sorted(maps.Keys(nodes)) {
		if !slices.Contains([]string{"container", "gkehub", "lustre"}, service) {
			faults = append(faults, fmt.Sprintf("line %d: endpoints: %q has no endpoints beside production; container, gkehub and lustre do", n.Line, service))
			continue
		}
		form := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*-` + service + `(\.sandbox)?\.googleapis\.com$`)
		for _, host := range nodes[service] {
			switch {
			case !form.MatchString(host.Value):
				faults = append(faults, fmt.Sprintf("line %d: endpoints: %s: %.100q is not NAME-%s.sandbox.googleapis.com or NAME-%s.googleapis.com",
					host.Line, service, host.Value, service, service))
			case slices.Contains((*e)[service], host.Value):
				faults = append(faults, fmt.Sprintf("line %d: endpoints: %s: %s stands there twice", host.Line, service, host.Value))
			}
			(*e)[service] = append((*e)[service], host.Value)
		}
	}
	if len(faults) > 0 {
		return &yaml.TypeError{Errors: faults}
	}
	return nil
}

// JanitorAWS says how accounts of AWS are reached. The janitor's own credential assumes a role in each: keys in a pool's user
// data would be what its holders write there.
type JanitorAWS struct {
	IDs        map[string]string `yaml:"ids"`         // resource -> number of the account, twelve digits
	Role       string            `yaml:"role"`        // arn:aws:iam::{id}:role/NAME
	ExternalID string            `yaml:"external-id"` // what the role's trust policy asks for
	Without    []string          `yaml:"without"`     // regions that a policy shuts
	KeepZones  []string          `yaml:"keep-zones"`  // hosted zones that stay, with the final dot
}

// The kinds of accounts.
const (
	AccountProject = "project" // of Google Cloud
	AccountAWS     = "account"
	AccountNone    = "none" // somebody else cleans it
)

const maxBrake = 100_000

var (
	withinForm = regexp.MustCompile(`^((folders|organizations)/[0-9]{1,20}|(ou|r|o)-[a-z0-9-]{4,80})$`)
	numberForm = regexp.MustCompile(`^[0-9]{12}$`)
	keepForm   = regexp.MustCompile(`^[a-z0-9]+\.[A-Za-z0-9]+ \S{1,200}$`)
)

func (j Janitor) problems() []error {
	var all []error
	fault := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	for _, file := range j.Pool {
		if !fs.ValidPath(file) || file == "." {
			fault("pool: %q is not a file of the repository", file)
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(j.Types)) {
		if !slices.Contains([]string{AccountProject, AccountAWS, AccountNone}, j.Types[typ]) {
			fault("types: %s is %q, not project, account or none", typ, j.Types[typ])
		}
	}
	for _, within := range j.Within {
		if !withinForm.MatchString(within) {
			fault("within: %q is not folders/NUMBER, organizations/NUMBER or an id of AWS Organizations", within)
		}
	}
	for key, value := range j.Labels {
		if key == "" || value == "" {
			fault("labels: %q: %q needs both", key, value)
		}
	}
	for _, id := range j.Deny {
		if strings.TrimSpace(id) != id || id == "" {
			fault("deny: %q is no account", id)
		}
	}
	for _, folder := range j.Lent {
		if !fs.ValidPath(folder) || folder == "." {
			fault("lent: %q is no folder of the repository, such as infra/aws/terraform/boskos", folder)
		}
	}
	for _, keep := range j.Keep {
		_, glob, _ := strings.Cut(keep, " ")
		if _, err := path.Match(glob, ""); err != nil || !keepForm.MatchString(keep) {
			fault("keep: %q is not KIND GLOB, such as iam.serviceAccounts prow-*", keep)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.AWS.IDs)) {
		if !numberForm.MatchString(j.AWS.IDs[name]) {
			fault("aws: ids: %s: %q is not the number of an account, twelve digits in quotes", name, j.AWS.IDs[name])
		}
	}
	if j.AWS.Role != "" && !strings.Contains(j.AWS.Role, "{id}") {
		fault("aws: role: %q has no {id}, so it would be the same account every time", j.AWS.Role)
	}
	if j.Brake < 0 || j.Brake > maxBrake {
		fault("brake: %d is not between 0 and %d", j.Brake, maxBrake)
	}
	if len(j.Pool) > 0 && len(j.Within) == 0 && len(j.Labels) == 0 {
		all = append(all, errors.New("within or labels: one is needed, or no account may be swept"))
	}
	return all
}
