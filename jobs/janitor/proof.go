// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/sweep"
)

// Target is an account that is to be swept: a resource of the pool.
type Target struct {
	Type, Name string
	Kind       string // settings.AccountProject, settings.AccountAWS
}

// base is what one commit says: which accounts are lent, and which are never touched.
type base struct {
	commit   string
	settings settings.Janitor
	pool     map[string]string // name -> type
	deny     Deny
	numbers  map[string]string // account -> number, as the last audit saw it
	frozen   []freeze.Freeze   // of the whole repository
}

// refusal is why an account is not touched. Rule is the number in docs/janitor.md.
type refusal struct{ rule, text string }

func (r *refusal) Error() string { return r.text + " (" + r.rule + ")" }

func refuse(rule, format string, args ...any) error {
	return &refusal{rule, fmt.Sprintf(format, args...)}
}

// readBase reads all that decides from one commit.
func readBase(files fs.FS, commit, settingsFile string) (*base, error) {
	raw, err := read(files, settingsFile)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	all, err := settings.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settingsFile, err)
	}
	b := &base{commit: commit, settings: all.Janitor, pool: map[string]string{}, numbers: map[string]string{}}
	if len(b.settings.Pool) == 0 {
		return nil, fmt.Errorf("%s: janitor.pool names no configuration of a pool, so nothing may be swept", settingsFile)
	}
	for _, file := range b.settings.Pool {
		if err := b.readPool(files, file); err != nil {
			return nil, err
		}
	}
	if b.deny, err = readDeny(files, b.settings.Deny, b.settings.Lent); err != nil {
		return nil, err
	}
	return b, errors.Join(b.readNumbers(files), b.readFreezes(files, all))
}

// readFreezes takes what freeze.yaml says of everything. One that cannot be understood freezes.
func (b *base) readFreezes(files fs.FS, all *settings.Settings) error {
	raw, err := read(files, freeze.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", freeze.File, err)
	}
	scopes := freeze.Scopes{}
	for _, repo := range all.Repos {
		maps.Copy(scopes, repo.Scopes)
	}
	set, _ := freeze.Load(nil, raw, scopes, time.Now()) // what is wrong with it is in the set, as a freeze
	for _, f := range set.All() {
		if f.Scope == freeze.All {
			b.frozen = append(b.frozen, f)
		}
	}
	return nil
}

// read reads a file that has to be there.
func read(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxDenyFile+1))
	if err = errors.Join(err, f.Close()); err == nil && len(raw) > maxDenyFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxDenyFile)
	}
	return raw, err
}

func (b *base) readPool(files fs.FS, file string) error {
	raw, err := read(files, file)
	if err != nil {
		return fmt.Errorf("read the pool's configuration: %w", err)
	}
	config, err := lease.ParseConfig(file, raw)
	if err != nil {
		return fmt.Errorf("read the pool's configuration: %w", err)
	}
	for _, group := range config.Static {
		for _, name := range group.Names {
			if other, twice := b.pool[name]; twice && other != group.Type {
				return fmt.Errorf("%s: %s is %s here and %s elsewhere", file, name, group.Type, other)
			}
			b.pool[name] = group.Type
		}
	}
	return nil
}

// readNumbers takes the numbers of lent projects from the audit's export, where there is one.
func (b *base) readNumbers(files fs.FS) error {
	for name := range b.pool {
		file := path.Join("audit/projects", name, "description.json")
		if !fs.ValidPath(file) {
			continue
		}
		raw, err := read(files, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var description struct{ ProjectNumber string }
		if err == nil {
			err = json.Unmarshal(raw, &description)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		b.numbers[name] = description.ProjectNumber
	}
	return nil
}

// usual are the types that pools have had so far. A type that is not here, nor in the settings, is nobody's business.
var usual = []struct{ prefix, suffix, kind string }{
	{"gce-", "project", settings.AccountProject},
	{"gke-", "project", settings.AccountProject},
	{"gpu-", "project", settings.AccountProject},
	{"ingress-", "project", settings.AccountProject},
	{"node-e2e-", "project", settings.AccountProject},
	{"scalability-", "project", settings.AccountProject},
	{"aws-", "account", settings.AccountAWS},
}

// kindOf says what an account of a type is, or settings.AccountNone (SW-14).
func (b *base) kindOf(typ string) string {
	if kind, ok := b.settings.Types[typ]; ok {
		return kind
	}
	for _, u := range usual {
		if strings.HasPrefix(typ, u.prefix) && strings.HasSuffix(typ, u.suffix) {
			return u.kind
		}
	}
	return settings.AccountNone
}

// named is the first proof: the resource stands in the pool's configuration at the commit (SW-15). Denied accounts are
// refused before anything else is looked at.
func (b *base) named(name string) (Target, error) {
	if why := b.deny.Why(name); why != "" {
		return Target{Name: name}, refuse("SW-20", "%s is never swept: %s says what it is", name, why)
	}
	typ, ok := b.pool[name]
	if !ok {
		return Target{Name: name}, refuse("SW-15", "%s is not in the pool's configuration at %.12s", name, b.commit)
	}
	t := Target{Type: typ, Name: name, Kind: b.kindOf(typ)}
	if t.Kind == settings.AccountNone {
		return t, refuse("SW-14", "type %s of %s is cleaned by somebody else, or unknown: janitor.types says what it is", typ, name)
	}
	return t, nil
}

// placed is the second proof: the cloud says that the account lies where lent accounts are (SW-16).
func (b *base) placed(t Target, a sweep.Account) error {
	for _, within := range b.settings.Within {
		if slices.Contains(a.Within, within) {
			return nil
		}
	}
	for key, value := range b.settings.Labels {
		if a.Labels[key] == value {
			return nil
		}
	}
	return refuse("SW-16", "%s lies in %s, which is none of janitor.within, and has none of janitor.labels", t.Name, orNothing(a.Within))
}

func orNothing(all []string) string {
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, " in ")
}

// same is the third proof: what the credential sees is the account that was meant (SW-17).
func (b *base) same(t Target, a sweep.Account) error {
	switch want := b.numbers[t.Name]; {
	case a.ID != t.Name || a.Number == "":
		return refuse("SW-17", "the credential sees %.100q (number %.40q) where %s was meant", a.ID, a.Number, t.Name)
	case want != "" && a.Number != want:
		return refuse("SW-17", "%s has the number %.40s, and the last audit saw %s: it was made anew", t.Name, a.Number, want)
	}
	for _, id := range []string{a.ID, a.Number} {
		if why := b.deny.Why(id); why != "" {
			return refuse("SW-20", "%s (%s) is never swept: %s says what it is", t.Name, id, why)
		}
	}
	return nil
}

// keeps wraps the kinds so that what the settings keep is protected.
func (b *base) keeps(kinds []sweep.Kind) []sweep.Kind {
	kinds = slices.Clone(kinds)
	for i, k := range kinds {
		var globs []string
		for _, keep := range b.settings.Keep {
			if kind, glob, _ := strings.Cut(keep, " "); kind == k.Name {
				globs = append(globs, glob)
			}
		}
		if len(globs) == 0 {
			continue
		}
		kinds[i].Protect = func(o sweep.Object) string {
			for _, glob := range globs {
				if ok, err := path.Match(glob, o.Name); ok || err != nil { // a bad one was refused with the settings
					return "kept by " + glob
				}
			}
			if k.Protect == nil {
				return ""
			}
			return k.Protect(o)
		}
	}
	return kinds
}
