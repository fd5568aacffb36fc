// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package owners holds internal/acl against Prow's own reading of OWNERS files.
//
// In Compat mode every query has to give what Prow's repoowners gives, on thousands of random repositories and
// on a real one. Where they differ, the tree is made as small as it gets before it is shown.
package owners

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/prow/pkg/config"
	"sigs.k8s.io/prow/pkg/git/v2"
	"sigs.k8s.io/prow/pkg/github"
	"sigs.k8s.io/prow/pkg/layeredsets"
	"sigs.k8s.io/prow/pkg/plugins/ownersconfig"
	"sigs.k8s.io/prow/pkg/repoowners"
)

func TestMain(m *testing.M) {
	// repoowners logs to the global logger, several lines for each file it cannot read.
	logrus.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// checkout is a git client factory whose clone is a folder that is already there. Of git, repoowners needs a
// working tree of the base branch and nothing else; cloning one for each of thousands of trees would test git.
// TestCheckoutIsHonest compares it with a real clone.
type checkout struct {
	git.ClientFactory
	git.RepoClient
	dir string
}

func (c checkout) ClientFor(string, string) (git.RepoClient, error) { return c, nil }
func (c checkout) Checkout(string) error                            { return nil }
func (c checkout) Directory() string                                { return c.dir }
func (c checkout) Clean() error                                     { return nil }

// everyone answers the one question that repoowners has for GitHub once the commit is known.
type everyone struct {
	github.Client
	logins []string
}

func (e everyone) ListCollaborators(string, string) ([]github.User, error) {
	users := make([]github.User, len(e.logins))
	for i, login := range e.logins {
		users[i].Login = login
	}
	return users, nil
}

// prowLoad reads a repository as hook does. Without collaborators the filter for them is off.
func prowLoad(factory git.ClientFactory, repo string, s settings, collaborators []string) (repoowners.RepoOwner, error) {
	client := repoowners.NewClient(factory, everyone{logins: collaborators},
		func(string, string) bool { return s.markdown },
		func(string, string) bool { return collaborators == nil },
		func() *config.OwnersDirDenylist { return &config.OwnersDirDenylist{Default: s.denylist} },
		func(string, string) ownersconfig.Filenames {
			return ownersconfig.Filenames{Owners: s.filenames[0], OwnersAliases: s.filenames[1]}
		})
	return client.LoadRepoOwnersSha("org", repo, "main", "0123456789abcdef", true)
}

// answers maps "query path" to a canonical text of the result.
type answers map[string]string

// add notes the sets of one query, a layer after the other.
func (a answers) add(query, path string, layers ...[]string) {
	texts := make([]string, len(layers))
	for i, layer := range layers {
		texts[i] = strings.Join(layer, " ")
	}
	a[query+" "+path] = strings.TrimRight(strings.Join(texts, " | "), " |")
}

func prowAnswers(o repoowners.RepoOwner, paths []string) answers {
	a := answers{}
	a.add("TopLevelApprovers", "", sets.List(o.TopLevelApprovers()))
	a.add("AllApprovers", "", sets.List(o.AllApprovers()))
	a.add("AllReviewers", "", sets.List(o.AllReviewers()))
	a.add("AllOwners", "", sets.List(o.AllOwners()))
	for _, p := range paths {
		a.add("Approvers", p, layersOf(o.Approvers(p))...)
		a.add("Reviewers", p, layersOf(o.Reviewers(p))...)
		a.add("LeafApprovers", p, sets.List(o.LeafApprovers(p)))
		a.add("LeafReviewers", p, sets.List(o.LeafReviewers(p)))
		a.add("RequiredReviewers", p, sets.List(o.RequiredReviewers(p)))
		a.add("FindLabelsForFile", p, sets.List(o.FindLabelsForFile(p)))
		a.add("FindApproverOwnersForFile", p, []string{o.FindApproverOwnersForFile(p)})
		a.add("FindReviewersOwnersForFile", p, []string{o.FindReviewersOwnersForFile(p)})
		a.add("IsNoParentOwners", p, []string{yesNo(o.IsNoParentOwners(optionsDir(p)))})
		a.add("IsAutoApproveUnownedSubfolders", p, []string{yesNo(o.IsAutoApproveUnownedSubfolders(optionsDir(p)))})
	}
	return a
}

// optionsDir is how Prow's code asks for the options of a folder: the root is "" there, and "." everywhere else.
func optionsDir(p string) string {
	if p == "." {
		return ""
	}
	return p
}

func layersOf(s layeredsets.String) [][]string {
	layers := make([][]string, len(s))
	for i, layer := range s {
		layers[i] = sets.List(layer)
	}
	return layers
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// write puts a tree into an empty folder.
func (t tree) write(dir string) error {
	for name, content := range t {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
