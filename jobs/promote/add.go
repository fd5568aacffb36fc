// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/thread"
)

func addCommand(deps Deps) *cobra.Command {
	var flags addFlags
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Put new tags of staging registries into lists of images, here or as pull requests",
		Long: `Look into staging registries for tags that no list of images has, and add them with
their digests: those of --tag, or those that the rules of steward.yaml (promotion.add)
choose. Lines are added and no other is changed; comments stay.

Without --confirm nothing is written; with it the lists in --dir are, or with
--pull-request a pull request is opened for each project. A project of which one is open
waits for it, and what people closed is not proposed again. "latest" is never added, and a tag that is declared for
another digest is reported and left alone.

Exit code 0: done, or nothing to do; 3: a registry could not be read; 1: an error, or
a tag of --tag that staging does not have.`,
		Example: `  steward promote add --dir ~/k8s.io --project k8s-staging-coredns --tag v1.12.0 --confirm
  steward promote add --dir ~/k8s.io --config steward.yaml
  steward promote add --dir ~/k8s.io --config steward.yaml --rev HEAD --confirm \
      --pull-request kubernetes/k8s.io --github-token-path /etc/github/oauth`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd, deps) },
	}
	flags.register(cmd)
	return cmd
}

// addFlags are those of `steward promote add`.
type addFlags struct {
	tree
	connection
	images, tags []string
	confirm      bool
	pull         string
	base         string
	github       GitHub
}

func (f *addFlags) register(cmd *cobra.Command) {
	f.tree.register(cmd, "")
	f.connection.register(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.tags, "tag", nil, "only these tags, instead of the rules; goes with --project")
	flags.StringSliceVar(&f.images, "image", nil, "only these images of the staging registry; with --tag, default those that the list has")
	flags.BoolVar(&f.confirm, "confirm", false, "write; without it, show what would be added")
	flags.StringVar(&f.pull, "pull-request", "", "ORG/NAME: open a pull request there for each project, instead of writing into --dir; goes with --rev and --config")
	flags.StringVar(&f.base, "base", "main", "branch that pull requests are for")
	flags.StringVar(&f.github.Endpoint, "github-endpoint", "https://api.github.com", "GitHub's REST API")
	flags.StringVar(&f.github.TokenPath, "github-token-path", "", "file with the token that opens pull requests")
}

func (f *addFlags) check() error {
	errs := []error{f.tree.check(), f.connection.check()}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case len(f.tags) > 0 && len(f.projects) == 0:
		bad("flag --tag: goes with --project")
	case len(f.tags) == 0 && f.config == "":
		bad("flag --tag: say which tags, or give --config with rules")
	}
	for _, tag := range f.tags {
		switch {
		case tag == latest:
			bad("flag --tag: %q moves, and what moves is not promoted", latest)
		case manifest.IsAttachedTag(tag):
			bad("flag --tag: %s is where signatures are kept, which come along by themselves", tag)
		case !manifest.IsTag(tag):
			bad("flag --tag: %q is not a tag; for a pattern write a rule (promotion.add in --config)", tag)
		}
	}
	if f.pull == "" {
		if f.confirm && f.rev != "" {
			bad("flag --rev: lists are written into the working tree, so leave it out; or give --pull-request")
		}
		return errors.Join(errs...)
	}
	if _, err := thread.ParseRepo(f.pull); err != nil {
		bad("flag --pull-request: %w", err)
	}
	if f.rev == "" || f.config == "" {
		bad("flag --pull-request: goes with --rev, a commit that GitHub has, and with --config, which says whose pull requests nobody reviews")
	}
	if f.confirm && f.github.TokenPath == "" {
		bad("flag --github-token-path: is needed to open pull requests")
	}
	return errors.Join(errs...)
}

// latest is the tag that means something else every day.
const latest = "latest"

func (f *addFlags) run(cmd *cobra.Command, deps Deps) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	d, done, err := f.tree.open(cmd.Context(), deps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	registry, err := f.connect(deps)
	if err != nil {
		return err
	}
	progress := newProgress(cmd.ErrOrStderr())
	a := &adding{reader: newReader(registry, f.parallel, progress.read), declared: d, choose: f.chooser(d.promotion().Add)}
	proposals, err := a.all(cmd.Context())
	progress.end()
	if err != nil {
		return err
	}
	if err := f.write(cmd, deps, d, proposals); err != nil {
		return err
	}
	for _, g := range a.cover.Gaps {
		fmt.Fprintf(cmd.ErrOrStderr(), "promote: %s: %s %s\n", g.Scope, g.Reason, g.Detail)
	}
	if !a.cover.Complete() {
		return &job.Exit{Code: job.Incomplete, Message: "promote add: not everything could be read"}
	}
	return f.unmet(proposals)
}

// unmet is an error for tags that were asked for by name and are not in staging.
func (f *addFlags) unmet(proposals []*proposal) error {
	where := "the images that are declared: --image looks in others"
	if len(f.images) > 0 {
		where = strings.Join(f.images, ", ")
	}
	var errs []error
	for _, tag := range f.tags {
		if !slices.ContainsFunc(proposals, func(p *proposal) bool { return p.met[tag] }) {
			errs = append(errs, fmt.Errorf("flag --tag: staging has no tag %s in %s", tag, where))
		}
	}
	return errors.Join(errs...)
}

// chooser says what is wanted of a project; nil where nothing is.
func (f *addFlags) chooser(rules []settings.AddRule) func(project string) (*choice, error) {
	return func(project string) (*choice, error) {
		if len(f.tags) > 0 {
			return &choice{named: f.images, tag: func(t string) bool { return slices.Contains(f.tags, t) }}, nil
		}
		for _, r := range rules {
			if r.For(project) {
				tag, err := r.Tag()
				return &choice{named: f.images, image: r.Image, all: len(r.Images) > 0 && len(f.images) == 0, tag: tag}, err
			}
		}
		return nil, nil
	}
}

// write shows what was found, and does it where that is confirmed.
func (f *addFlags) write(cmd *cobra.Command, deps Deps, d declared, proposals []*proposal) error {
	out := cmd.OutOrStdout()
	var pulls Pulls
	if f.confirm && f.pull != "" {
		github := f.github
		github.Unreviewed = d.config.Unreviewed
		var err error
		if pulls, err = deps.OpenGitHub(github); err != nil {
			return fmt.Errorf("flag --github-token-path: %w", err)
		}
	}
	open, errs := 0, []error(nil)
	for _, p := range proposals {
		p.show(out)
		if len(p.additions) == 0 {
			continue
		}
		open++
		content, err := p.edit(d.files)
		switch {
		case err != nil:
		case !f.confirm:
		case f.pull != "":
			err = f.propose(cmd, pulls, d.commit, p, content)
		default:
			err = replaceFile(filepath.Join(f.dir, p.manifest.Images), content, 0o644)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.manifest.Images, err))
		}
	}
	switch {
	case open == 0:
		fmt.Fprintln(out, "promote add: no list lacks anything")
	case !f.confirm:
		note(cmd, "nothing was written; --confirm does it")
	}
	return errors.Join(errs...)
}

// propose opens the pull request of a project.
func (f *addFlags) propose(cmd *cobra.Command, pulls Pulls, commit string, p *proposal, content []byte) error {
	repo, err := thread.ParseRepo(f.pull)
	if err != nil {
		return err
	}
	address, opened, err := pulls.Propose(cmd.Context(), repo, p.pull(f.base, commit, content), p.prefix())
	switch {
	case err != nil:
		return err
	case opened:
		fmt.Fprintf(cmd.OutOrStdout(), "  opened %s\n", address)
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "  proposed already: %s\n", address)
	}
	return nil
}
