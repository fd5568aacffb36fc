// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Load adds a scenario to the world, silently: no webhook, no audit entry. All
// problems are reported at once.
func (s *Server) Load(sc *Scenario) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &builder{s: s}
	if !sc.World.Now.IsZero() {
		s.clock.begin(sc.World.Now)
	}
	b.accounts(sc.World)
	for _, name := range slices.Sorted(maps.Keys(sc.World.Repos)) {
		b.repo(name, sc.World.Repos[name], sc.Files[name])
	}
	for _, name := range slices.Sorted(maps.Keys(sc.Files)) {
		if _, ok := sc.World.Repos[name]; !ok {
			b.repo(name, RepoSpec{}, sc.Files[name])
		}
	}
	b.teams(sc.World)
	b.threads(sc.Issues, false)
	b.threads(sc.Pulls, true)
	return errors.Join(b.problems...)
}

// builder turns a scenario into state and collects what is wrong with it.
type builder struct {
	s        *Server
	problems []error
}

func (b *builder) problem(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

// ensureUser finds or adds an account; the ghost stays without one.
func (s *Server) ensureUser(login string) *user {
	if u := s.st.user(login); u != nil || login == "" || login == ghost {
		return u
	}
	u := &user{ID: s.id(), Login: login, Kind: "User"}
	if isBot(login) {
		u.Kind = "Bot"
	}
	s.st.users[fold(login)] = u
	return u
}

func (b *builder) accounts(w World) {
	for _, login := range slices.Sorted(maps.Keys(w.Users)) {
		spec, u := w.Users[login], b.s.ensureUser(login)
		u.Name, u.Email = spec.Name, spec.Email
		u.Kind, u.ID = cmp.Or(spec.Type, u.Kind), cmp.Or(spec.ID, u.ID)
	}
	for token, login := range w.Tokens {
		b.s.ensureUser(login)
		b.s.st.tokens[token] = login
	}
	for _, login := range slices.Sorted(maps.Keys(w.Orgs)) {
		o := &org{ID: b.s.id(), Login: login, Members: b.members(w.Orgs[login].Members)}
		b.s.st.orgs[fold(login)] = o
		b.hooks(login, "", w.Orgs[login].Hooks)
	}
}

func (b *builder) members(spec map[string]string) map[string]member {
	out := map[string]member{}
	for login, role := range spec {
		b.s.ensureUser(login)
		out[fold(login)] = member{login, cmp.Or(role, "member")}
	}
	return out
}

func (b *builder) hooks(owner, name string, specs []HookSpec) {
	for _, h := range specs {
		b.s.addHook(hook{Owner: owner, Repo: name, URL: os.ExpandEnv(h.URL), Secret: os.ExpandEnv(h.Secret), Events: h.Events})
	}
}

// teams come after repositories, which they name.
func (b *builder) teams(w World) {
	for _, login := range slices.Sorted(maps.Keys(w.Orgs)) {
		o := b.s.st.orgs[fold(login)]
		for _, name := range slices.Sorted(maps.Keys(w.Orgs[login].Teams)) {
			spec := w.Orgs[login].Teams[name]
			t := &team{ID: b.s.id(), Name: name, Slug: slug(name), Description: spec.Description, Members: b.members(spec.Members), Repos: map[string]level{}}
			for target, word := range spec.Repos {
				l, ok := parseLevel(word)
				if !ok {
					b.problem("orgs.%s.teams.%s.repos.%s: unknown level %q", login, name, target, word)
				}
				if !strings.Contains(target, "/") {
					target = login + "/" + target
				}
				t.Repos[fold(target)] = l
			}
			o.Teams = append(o.Teams, t)
		}
	}
}

func slug(name string) string { return strings.ReplaceAll(fold(name), " ", "-") }

func (b *builder) repo(full string, spec RepoSpec, files map[string]string) {
	owner, name, ok := strings.Cut(full, "/")
	if !ok {
		b.problem("repos.%s: want OWNER/NAME", full)
		return
	}
	if b.s.st.orgs[fold(owner)] == nil {
		b.s.ensureUser(owner)
	}
	r := b.s.newRepo(owner, name)
	r.Description, r.Private, r.DefaultBranch = spec.Description, spec.Private, cmp.Or(spec.DefaultBranch, "main")
	for login, word := range spec.Collaborators {
		l, ok := parseLevel(word)
		if !ok {
			b.problem("repos.%s.collaborators.%s: unknown level %q", full, login, word)
		}
		b.s.ensureUser(login)
		r.Collaborators[fold(login)] = grant{login, l}
	}
	for _, l := range spec.Labels {
		b.s.ensureLabel(r, l)
	}
	b.hooks(owner, name, spec.Hooks)
	b.firstCommit(r, spec, files)
}

// firstCommit is made by the owner from Dir and the repo/ sections.
func (b *builder) firstCommit(r *repo, spec RepoSpec, files map[string]string) {
	edits := map[string]entry{}
	if spec.Dir != "" {
		if err := b.s.odb.readDir(spec.Dir, edits); err != nil {
			b.problem("repos.%s.dir: %w", r.full(), err)
		}
	}
	for path, text := range files {
		edits[path] = entry{Mode: "100644", ID: b.s.odb.put("blob", []byte(text))}
	}
	sig := b.s.signature(r.Owner)
	id := b.s.odb.putCommit(commit{Tree: b.s.odb.edit("", edits), Author: sig, Committer: sig, Message: "first commit"})
	for _, branch := range append(spec.Branches, r.DefaultBranch) {
		r.Refs["refs/heads/"+branch] = id
	}
	r.stale = true
}

// readDir takes every regular file and link below dir but .git.
func (o *objects) readDir(dir string, edits map[string]entry) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e, err := o.readEntry(path, d)
		if e.ID != "" {
			edits[filepath.ToSlash(rel)] = e
		}
		return err
	})
}

func (o *objects) readEntry(path string, d fs.DirEntry) (entry, error) {
	if d.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		return entry{Mode: "120000", ID: o.put("blob", []byte(target))}, err
	}
	if !d.Type().IsRegular() {
		return entry{}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return entry{}, err
	}
	mode := "100644"
	if info, err := d.Info(); err == nil && info.Mode()&0o111 != 0 {
		mode = "100755"
	}
	return entry{Mode: mode, ID: o.put("blob", data)}, nil
}

// threads adds issues or pull requests in the order of their numbers.
func (b *builder) threads(all map[Place]Thread, pulls bool) {
	places := slices.SortedFunc(maps.Keys(all), func(x, y Place) int {
		return cmp.Or(cmp.Compare(x.Repo, y.Repo), cmp.Compare(x.Number, y.Number))
	})
	for _, at := range places {
		owner, name, _ := strings.Cut(at.Repo, "/")
		r := b.s.st.repo(owner, name)
		switch {
		case r == nil:
			b.problem("%s#%d: no such repository", at.Repo, at.Number)
		case r.Issues[at.Number] != nil:
			b.problem("%s#%d: the number is given twice", at.Repo, at.Number)
		case all[at].Author == "" || all[at].Title == "":
			b.problem("%s#%d: author and title are required", at.Repo, at.Number)
		case pulls:
			b.pull(r, at.Number, all[at])
		default:
			b.thread(r, b.s.newIssue(r, at.Number, all[at].Author, all[at].Title, all[at].Body), all[at])
		}
	}
}

func (b *builder) pull(r *repo, number int, t Thread) {
	b.s.ensureUser(t.Author)
	base := cmp.Or(t.Base, r.DefaultBranch)
	if r.branch(base) == "" {
		b.problem("%s#%d: no base branch %q", r.full(), number, base)
		return
	}
	id, err := b.s.commitContent(t.Author, r.branch(base), t.Title, content{t.Files, t.Deletes, t.Renames})
	if err != nil {
		b.problem("%s#%d: %w", r.full(), number, err)
		return
	}
	from, ref := r, t.Head
	if ref == "" {
		from, ref = b.s.fork(r, t.Author), fmt.Sprintf("patch-%d", number)
	}
	from.Refs["refs/heads/"+ref], from.stale = id, true
	in := pullInput{Title: t.Title, Body: t.Body, Base: base, Draft: t.Draft}
	i := b.s.newPull(r, number, t.Author, in, pull{HeadRepo: from.full(), HeadRef: ref, HeadSHA: id})
	b.thread(r, i, t)
	for _, x := range t.Statuses {
		r.Statuses[id] = append(r.Statuses[id], &status{ID: b.s.id(), State: x.State, Context: x.Context, Description: x.Description, Created: i.Created})
	}
	for _, x := range t.Reviews {
		b.s.ensureUser(x.Author)
		i.Pull.Reviews = append(i.Pull.Reviews, &review{ID: b.s.id(), Author: x.Author, State: cmp.Or(x.State, "APPROVED"), Body: x.Body, Commit: id, Submitted: i.Created})
	}
}

// thread fills what issues and pull requests share.
func (b *builder) thread(r *repo, i *issue, t Thread) {
	b.s.ensureUser(t.Author)
	if !t.Created.IsZero() {
		i.Created, i.Updated = t.Created.UTC(), t.Created.UTC()
	}
	for _, l := range t.Labels {
		i.Labels = append(i.Labels, b.s.ensureLabel(r, l))
	}
	i.Assignees = t.Assignees
	for _, x := range t.Comments {
		b.s.ensureUser(x.Author)
		b.s.storeComment(r, i, x.Author, x.Body)
	}
	switch t.State {
	case "", "open":
	case "closed":
		i.State, i.Closed = "closed", i.Updated
	case "merged":
		if err := b.mergeQuietly(r, i); err != nil {
			b.problem("%s#%d: state merged: %w", r.full(), i.Number, err)
		}
	default:
		b.problem("%s#%d: unknown state %q", r.full(), i.Number, t.State)
	}
}

// mergeQuietly merges as the owner, without hooks and audit entries.
func (b *builder) mergeQuietly(r *repo, i *issue) error {
	if i.Pull == nil {
		return errors.New("only pull requests merge")
	}
	hooks, audit := b.s.st.hooks, b.s.log.audit
	b.s.st.hooks = nil
	err := b.s.merge(actor{login: r.Owner}, r, i, mergeInput{})
	b.s.st.hooks, b.s.log.audit = hooks, audit
	return err
}
