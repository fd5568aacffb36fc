// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/asset"
)

// Deny is the accounts that are never swept, and where that is said. It is built from what a commit says of production,
// and nothing else in the repository can take an account off it (SW-20).
type Deny struct {
	why  map[string]string
	lent []string // folders whose Terraform is about lent accounts
}

// Why says where an account is denied; "" is not denied.
func (d Deny) Why(id string) string { return d.why[canonical(id)] }

// Len counts the accounts.
func (d Deny) Len() int { return len(d.why) }

func canonical(id string) string { return strings.ToLower(strings.TrimSpace(id)) }

func (d Deny) add(id, where string) {
	if id = canonical(id); id != "" && d.why[id] == "" {
		d.why[id] = where
	}
}

const (
	maxDenyFile  = 16 << 20
	maxDenyFiles = 100_000
)

// lent is the one section of infra.yaml whose projects are there to be lent.
const lent = "e2e"

// readDeny looks through all files of a commit. What cannot be read could deny something, so it is an error.
func readDeny(files fs.FS, more, lentFolders []string) (Deny, error) {
	d := Deny{map[string]string{}, lentFolders}
	for _, id := range more {
		d.add(id, "deny in the settings")
	}
	n := 0
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "audit" || name == ".git"): // exports of what exists declare nothing
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		if n++; n > maxDenyFiles {
			return fmt.Errorf("there are more than %d files", maxDenyFiles)
		}
		if read := reader(name); read != nil {
			return d.file(files, name, read)
		}
		return nil
	})
	if err != nil {
		return Deny{}, fmt.Errorf("build the list of accounts that are never swept: %w", err)
	}
	return d, nil
}

// reader is how a file is read for accounts, by its name; nil for files that deny nothing.
func reader(name string) func(Deny, string, []byte) error {
	base := path.Base(name)
	switch {
	case base == "infra.yaml":
		return Deny.infra
	case base == "promoter-manifest.yaml", base == "filepromoter-manifest.yaml":
		return Deny.promotion
	case strings.HasSuffix(base, ".tf"), strings.HasSuffix(base, ".tfvars"), strings.HasSuffix(base, ".tf.json"), strings.HasSuffix(base, ".tfvars.json"):
		return Deny.terraform
	}
	return nil
}

func (d Deny) file(files fs.FS, name string, read func(Deny, string, []byte) error) error {
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxDenyFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if len(raw) > maxDenyFile {
		return fmt.Errorf("%s has more than %d bytes", name, maxDenyFile)
	}
	if err := read(d, name, raw); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// infra reads the list of projects by what they are for. All but the lent ones are denied.
func (d Deny) infra(name string, raw []byte) error {
	kinds, err := asset.Inventory(raw)
	if err != nil {
		return err
	}
	for kind, projects := range kinds {
		for _, id := range projects {
			if kind != lent {
				d.add(id, name+" under "+kind)
			}
		}
	}
	return nil
}

// An account in a manifest is a source or a destination of what is promoted; it is looked for in the text, so that a
// manifest that is half broken denies too.
var promoted = regexp.MustCompile(`(?:(?:[a-z0-9-]+\.)?gcr\.io/|[a-z0-9-]+\.pkg\.dev/|gs://|@)([a-z][a-z0-9-]{4,28}[a-z0-9])(?:[^a-z0-9-]|$)`)

func (d Deny) promotion(name string, raw []byte) error {
	for _, hit := range promoted.FindAllSubmatch(raw, -1) {
		d.add(string(hit[1]), name)
	}
	return nil
}

// Terraform's projects stand behind a name with "project" in it: an argument, a local, a list, the default of a variable.
var (
	tfName   = regexp.MustCompile(`(?i)[a-z0-9_-]*project[a-z0-9_-]*"?\s*[=:]\s*`)
	tfBlock  = regexp.MustCompile(`(?i)\b(?:variable|module|locals)\s*"?[a-z0-9_-]*project[a-z0-9_-]*"?\s*`)
	tfString = regexp.MustCompile(`"([a-z][a-z0-9-]{4,28}[a-z0-9])"`)
	// The number of an AWS account stands alone, or in an ARN or the name of a registry; wherever it stands, it is production's.
	// The number of a Google project looks the same.
	tfNumber = regexp.MustCompile(`(?:^|[^0-9])([0-9]{12})(?:[^0-9]|$)`)
)

func (d Deny) terraform(name string, raw []byte) error {
	for _, start := range slices.Concat(tfName.FindAllIndex(raw, -1), tfBlock.FindAllIndex(raw, -1)) {
		for _, hit := range tfString.FindAllSubmatch(value(raw[start[1]:]), -1) {
			d.add(string(hit[1]), name)
		}
	}
	if slices.ContainsFunc(d.lent, func(folder string) bool { return strings.HasPrefix(name, folder+"/") }) {
		return nil
	}
	for rest := raw; ; {
		hit := tfNumber.FindSubmatchIndex(rest)
		if hit == nil {
			return nil
		}
		d.add(string(rest[hit[2]:hit[3]]), name)
		rest = rest[hit[3]:] // what ends one number may begin the next
	}
}

// value is what stands behind a name: to the end of the line, or of the bracket that opens there.
func value(rest []byte) []byte {
	depth := 0
	for i, c := range rest {
		switch c {
		case '[', '{', '(':
			depth++
		case ']', '}', ')':
			if depth--; depth <= 0 {
				return rest[:i]
			}
		case '\n':
			if depth == 0 {
				return rest[:i]
			}
		}
	}
	return rest
}
