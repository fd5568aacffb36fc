// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"

	"sigs.k8s.io/steward/internal/manifest"
)

// Signing says how production is signed. Without a key nothing is.
type Signing struct {
	// Key is keyless, gcpkms://…, or a file with a private key.
	Key       string `yaml:"key"`
	Canonical string `yaml:"canonical"` // mirror that has the signatures; the first one, of the settings or else of the manifests
	Reference string `yaml:"reference"` // what stands in a signature in place of the canonical mirror; that mirror
	Legacy    *bool  `yaml:"legacy"`    // sign under the tag sha256-HEX.sig as well; true
	// Identity is whom keyless signatures name.
	Identity `yaml:",inline"`
}

// Old tells whether images are signed in the old layout, too.
func (s Signing) Old() bool { return s.Legacy == nil || *s.Legacy }

// Identity is whom a certificate names, and who vouches for it.
type Identity struct {
	Identity       string `yaml:"identity"`
	IdentityRegexp string `yaml:"identity-regexp"`
	Issuer         string `yaml:"issuer"`
	IssuerRegexp   string `yaml:"issuer-regexp"`
}

// given tells that anybody is named.
func (i Identity) given() bool { return i != Identity{} }

func (i Identity) problems() []error {
	var all []error
	if (i.Identity == "") == (i.IdentityRegexp == "") || (i.Issuer == "") == (i.IssuerRegexp == "") {
		all = append(all, errors.New("name an identity and an issuer, each as it is or as an expression"))
	}
	for _, expression := range []string{i.IdentityRegexp, i.IssuerRegexp} {
		if _, err := regexp.Compile(expression); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// What becomes of a staging image that nobody signed whom a rule names.
const (
	UnsignedAllow = "allow" // it is promoted
	UnsignedWarn  = "warn"  // it is promoted, and reported
	UnsignedDeny  = "deny"  // it waits
)

// SignedBy says whose signature staging images of some projects carry. A signature of somebody
// else is refused, whatever becomes of unsigned ones.
type SignedBy struct {
	Project  string `yaml:"project"`  // glob of the manifest's name
	KeyFile  string `yaml:"key-file"` // public key in PEM
	Identity `yaml:",inline"`
	Unsigned string `yaml:"unsigned"` // allow, warn, deny; warn
}

// For tells whether the rule is about a project.
func (r SignedBy) For(project string) bool {
	ok, err := path.Match(r.Project, project)
	return ok && err == nil
}

// Missing is what becomes of an image without a signature.
func (r SignedBy) Missing() string { return cmp.Or(r.Unsigned, UnsignedWarn) }

func (r SignedBy) problems() []error {
	var all []error
	bad := func(err error) { all = append(all, fmt.Errorf("signed-by: %s: %w", r.Project, err)) }
	if _, err := path.Match(r.Project, ""); err != nil || r.Project == "" {
		bad(errors.New("project is not the name of a folder, or a pattern such as k8s-staging-*"))
	}
	switch {
	case r.KeyFile != "" && r.given():
		bad(errors.New("name a key or an identity, not both"))
	case r.KeyFile == "":
		for _, err := range r.Identity.problems() {
			bad(err)
		}
	}
	if !slices.Contains([]string{UnsignedAllow, UnsignedWarn, UnsignedDeny}, r.Missing()) {
		bad(fmt.Errorf("unsigned: %q is none of allow, warn, deny", r.Unsigned))
	}
	return all
}

func (s Signing) problems(mirrors []string) []error {
	var all []error
	bad := func(err error) { all = append(all, fmt.Errorf("signing: %w", err)) }
	for _, name := range []string{s.Canonical, s.Reference} {
		if name != "" && !manifest.IsRegistry(name) {
			bad(fmt.Errorf("%q is not HOST/PATH", name))
		}
	}
	if s.Canonical != "" && len(mirrors) > 0 && !slices.Contains(mirrors, s.Canonical) {
		bad(fmt.Errorf("canonical: %s is none of the mirrors", s.Canonical))
	}
	if s.Key == Keyless || s.given() {
		for _, err := range s.Identity.problems() {
			bad(err)
		}
	}
	return all
}

// Keyless is the key of those who sign with an identity.
const Keyless = "keyless"
