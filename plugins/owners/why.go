// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/thread"
)

// The most that one answer lists.
const (
	pathsShown  = 10
	groupsShown = 10
	filesShown  = 3
	stepsShown  = 8
	peopleShown = 5
)

// why answers `/infra why [@user] [path…]`.
func (o owners) why(s *thread.Snapshot, c command.Call, _ time.Time) command.Reply {
	user, paths := c.Comment.Author, c.Args
	if len(paths) > 0 && strings.HasPrefix(paths[0], "@") {
		user, paths = strings.TrimPrefix(paths[0], "@"), paths[1:]
	}
	switch {
	case len(paths) > 0:
		return command.Reply{Text: o.whyPaths(s, user, paths)}
	case !s.IsPull():
		return command.Reply{Text: fmt.Sprintf("Which path? An issue changes no files: `%s why [@user] PATH…`.", command.Prefix)}
	case len(s.Files) == 0:
		return command.Reply{Text: "This pull request changes no files."}
	}
	return command.Reply{Text: o.whyFiles(s, user)}
}

// whyPaths explains each path by itself.
func (o owners) whyPaths(s *thread.Snapshot, user string, paths []string) string {
	var b strings.Builder
	for i, p := range paths {
		if i == pathsShown {
			fmt.Fprintf(&b, "And %d more: ask for them in another comment.\n\n", len(paths)-i)
			break
		}
		o.explain(&b, s, s.Owners.Explain(user, fromRoot(p)))
	}
	return b.String() + o.footer(s)
}

// fromRoot takes a path as people write it: with a slash or ./ before it. What
// could leave the repository stays as it is, and is refused.
func fromRoot(p string) string {
	p = strings.TrimLeft(strings.TrimPrefix(p, "./"), "/")
	if p == "" {
		return "."
	}
	return p
}

func (o owners) footer(s *thread.Snapshot) string {
	return fmt.Sprintf("By OWNERS of %s at %s.", markdown.Code(s.Base), markdown.Code(command.Short(s.BaseCommit)))
}

// explain says yes or no and why, then the way from the path to the root.
func (o owners) explain(b *strings.Builder, s *thread.Snapshot, e acl.Explanation) {
	verb := "may"
	if !e.Allowed {
		verb = "may not"
	}
	fmt.Fprintf(b, "%s %s approve %s: %s.", markdown.Login(e.User), verb, shownPath(e.Path), markdown.Text(e.Reason))
	if !e.Allowed && e.Code != acl.CodePath {
		b.WriteString(" " + command.Advice(e))
	}
	if e.Allowed {
		b.WriteString(alias(e) + others(s.Owners, e))
	}
	b.WriteString("\n\n")
	for i, step := range e.Steps {
		if i == stepsShown {
			fmt.Fprintf(b, "- and %d more up to the root\n", len(e.Steps)-i)
			break
		}
		fmt.Fprintf(b, "- %s: %s%s\n", o.ownersFile(s, step.File, step.Line), markdown.Text(step.Note), matched(step))
	}
	if len(e.Steps) > 0 {
		b.WriteString("\n")
	}
}

func shownPath(p string) string {
	if p == "." {
		return "the root of the repository"
	}
	return markdown.Code(p)
}

func (o owners) ownersFile(s *thread.Snapshot, file string, line int) string {
	text := file
	if line > 0 {
		text = fmt.Sprintf("%s:%d", file, line)
	}
	return fmt.Sprintf("[%s](%s)", markdown.Code(text), o.blob(s.Repo, s.Owners.Commit(), file, line))
}

// alias points to the line of the aliases file through which the user is listed.
func alias(e acl.Explanation) string {
	if e.Alias == "" || e.AliasLine == 0 {
		return ""
	}
	return fmt.Sprintf(" %s has the user in line %d of the aliases.", markdown.Code(e.Alias), e.AliasLine)
}

// others names who else may approve the path.
func others(t *acl.Tree, e acl.Explanation) string {
	layers, err := t.Approvers(e.Path)
	if err != nil {
		return ""
	}
	rest := approvers(layers, e.User)
	if len(rest) == 0 {
		return " Nobody else may."
	}
	return fmt.Sprintf(" So may %s.", markdown.Logins(rest, peopleShown))
}

// approvers lists the layers nearest first, each sorted, without one login.
func approvers(layers acl.Layers, without string) []string {
	var all []string
	for _, layer := range layers {
		for _, login := range slices.Sorted(maps.Keys(layer)) {
			if login != without {
				all = append(all, login)
			}
		}
	}
	return all
}

func matched(step acl.Step) string {
	if len(step.Filters) == 0 {
		return ""
	}
	shown := make([]string, len(step.Filters))
	for i, f := range step.Filters {
		shown[i] = markdown.Code(f)
	}
	return " (matching filters: " + strings.Join(shown, ", ") + ")"
}

// group is changed files about which the same is to be said.
type group struct {
	e     acl.Explanation // of the first file
	files []string
}

// whyFiles groups the changed files of a pull request by who may approve them.
func (o owners) whyFiles(s *thread.Snapshot, user string) string {
	groups, allowed, total := groupFiles(s, user)
	var b strings.Builder
	fmt.Fprintf(&b, "%s may approve %d of %d changed paths.\n\n", markdown.Login(acl.NormLogin(user)), allowed, total)
	for i, g := range groups {
		if i == groupsShown {
			fmt.Fprintf(&b, "- and %d more groups of files: ask for their paths\n", len(groups)-i)
			break
		}
		b.WriteString(groupLine(s, g))
	}
	if s.FilesLost > 0 {
		fmt.Fprintf(&b, "- %d more files are not listed by GitHub, and nothing can be said about them\n", s.FilesLost)
	}
	return b.String() + "\n" + o.footer(s)
}

// groupFiles explains both ends of every rename. Groups come in the order of
// their first file, denied ones first.
func groupFiles(s *thread.Snapshot, user string) (groups []*group, allowed, total int) {
	byKey := map[string]*group{}
	for _, p := range s.Changed() {
		e := s.Owners.Explain(user, p)
		total++
		if e.Allowed {
			allowed++
		}
		key := fmt.Sprintf("%t|%q|%d|%q|%q|%v", e.Allowed, e.File, e.Line, e.Alias, e.Filter, e.Grants)
		if byKey[key] == nil {
			byKey[key] = &group{e: e}
			groups = append(groups, byKey[key])
		}
		byKey[key].files = append(byKey[key].files, p)
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		switch {
		case a.e.Allowed == b.e.Allowed:
			return 0
		case a.e.Allowed:
			return 1
		}
		return -1
	})
	return groups, allowed, total
}

func groupLine(s *thread.Snapshot, g *group) string {
	verdict, who := "may not", command.Advice(g.e)
	if g.e.Allowed {
		verdict, who = "may", strings.TrimSpace(others(s.Owners, g.e))
	}
	return fmt.Sprintf("- **%s** approve %s: %s. %s\n", verdict, sample(g.files), markdown.Text(g.e.Reason), who)
}

// sample names a few files and counts the rest, by their common folder.
func sample(files []string) string {
	shown := files[:min(len(files), filesShown)]
	codes := make([]string, len(shown))
	for i, f := range shown {
		codes[i] = markdown.Code(f)
	}
	text := strings.Join(codes, ", ")
	if rest := len(files) - len(shown); rest > 0 {
		text += fmt.Sprintf(" and %d more in %s", rest, shownPath(commonFolder(files)))
	}
	return text
}

func commonFolder(files []string) string {
	folder := path.Dir(files[0])
	for _, f := range files[1:] {
		for folder != "." && !strings.HasPrefix(f, folder+"/") {
			folder = path.Dir(folder)
		}
	}
	return folder
}
