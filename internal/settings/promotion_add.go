// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"path"
	"regexp"
)

// AddRule says which tags of a staging registry `steward promote add` proposes by itself.
type AddRule struct {
	Project string   `yaml:"project"` // glob of the manifest's name
	Images  []string `yaml:"images"`  // globs of their names; none: those that are declared already
	Tags    string   `yaml:"tags"`    // regular expression of the whole tag
}

// Image tells whether the rule is about an image; declared is one that its list has.
func (r AddRule) Image(name string, declared bool) bool {
	for _, g := range r.Images {
		if ok, err := path.Match(g, name); ok && err == nil { // patterns were checked when they were read
			return true
		}
	}
	return len(r.Images) == 0 && declared
}

// For tells whether the rule is about a project.
func (r AddRule) For(project string) bool {
	ok, err := path.Match(r.Project, project)
	return ok && err == nil
}

// Tag tells whether the rule is about a tag.
func (r AddRule) Tag() (func(string) bool, error) {
	whole, err := regexp.Compile(`^(?:` + r.Tags + `)$`)
	if err != nil {
		return nil, err
	}
	return whole.MatchString, nil
}

func (r AddRule) problems() []error {
	var all []error
	bad := func(err error) { all = append(all, fmt.Errorf("add: %s: %w", r.Project, err)) }
	if _, err := path.Match(r.Project, ""); err != nil || r.Project == "" {
		bad(errors.New("project is not the name of a folder, or a pattern such as k8s-staging-*"))
	}
	for _, g := range r.Images {
		if _, err := path.Match(g, ""); err != nil || g == "" {
			bad(fmt.Errorf("images: %q is no pattern", g))
		}
	}
	if r.Tags == "" {
		bad(errors.New(`tags: say which, such as v\d+\.\d+\.\d+`))
	}
	if _, err := r.Tag(); err != nil {
		bad(fmt.Errorf("tags: %w", err))
	}
	return all
}
