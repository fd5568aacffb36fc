// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/imageaudit"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/report"
)

func checkCommand(deps Deps) *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare production with the manifests: missing, moved, unexpected, on each mirror",
		Long: `Read every mirror and report what is otherwise than promoter manifests declare: digests
and tags that are missing, tags that stand for something else, and what nobody declared.
What belongs to a declared image, such as its signatures, is expected. Nothing is changed.

It reports what "steward audit run images" does, for some projects if they are named, and
counts it for each mirror. What the manifests declare and nobody has promoted yet is
missing as well: "steward promote run" brings it there.

Exit code 0: nothing at or above --fail-on; 2: something; 3: not everything could be
read, or a brake holds; 1: an error.`,
		Example: `  steward promote check --dir ~/k8s.io
  steward promote check --dir ~/k8s.io --project k8s-staging-coredns -o markdown`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd, deps) },
	}
	flags.register(cmd)
	return cmd
}

// checkFlags are those of `steward promote check`.
type checkFlags struct {
	tree
	connection
	out       job.Output
	release   []string
	config    string
	artifacts string
}

func (f *checkFlags) register(cmd *cobra.Command) {
	f.tree.register(cmd, "")
	f.connection.register(cmd)
	f.out.Register(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.release, "release", nil, "the hash that a brake printed, so that what is missing is reported one by one")
	flags.StringVar(&f.config, "config", "", "steward.yaml; where it says that production is signed, images without a signature are reported, and what its buckets of blobs lack")
	flags.StringVar(&f.artifacts, "artifacts", os.Getenv("ARTIFACTS"), "directory for junit_promote_check.xml, report.json and report.html; default $ARTIFACTS")
	_ = cmd.MarkFlagDirname("dir") // these fail for unknown flags only
	_ = cmd.MarkFlagDirname("artifacts")
}

func (f *checkFlags) run(cmd *cobra.Command, deps Deps) (err error) {
	if err := errors.Join(f.tree.check(), f.connection.check(), f.out.Check()); err != nil {
		return err
	}
	d, done, err := f.tree.open(cmd.Context(), deps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	config, err := settingsOf(f.config)
	if err != nil {
		return err
	}
	registry, err := f.connect(deps)
	if err != nil {
		return err
	}
	t := &tagged{Registry: registry, tags: map[string]map[string]bool{}}
	if config == nil {
		return f.compare(cmd, d, t, nil)
	}
	b, closed, err := openBuckets(cmd.Context(), deps, config.Promotion.Blobs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed()) }()
	if t.signed = config.Promotion.Signing.Key != ""; t.signed || b != nil {
		t.mirror = canonicalMirror(config.Promotion, d.set)
	}
	return f.compare(cmd, d, t, b)
}

// tagged remembers the tags of the canonical mirror, as they are listed.
type tagged struct {
	Registry
	mirror string // "" where nobody wants to know
	signed bool   // production is to be

	mu   sync.Mutex
	tags map[string]map[string]bool // by path
}

// List implements imageaudit.Registry.
func (t *tagged) List(ctx context.Context, repository string) (manifest.Listing, error) {
	l, err := t.Registry.List(ctx, repository)
	path, ours := strings.CutPrefix(repository, t.mirror+"/")
	if err != nil || t.mirror == "" || !ours {
		return l, err
	}
	tags := map[string]bool{}
	for tag, digest := range l.Tags {
		tags[tag], tags[digest] = true, true
	}
	for digest := range l.Digests {
		tags[digest] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tags[path] = tags
	return l, nil
}

// promoted calls do for every declared image that is on the canonical mirror.
func (t *tagged) promoted(set *manifest.Set, do func(m *manifest.Manifest, path string, d manifest.Digest)) {
	for _, image := range set.Images {
		for _, part := range image.Parts {
			for _, d := range part.Entry.Digests {
				if t.tags[image.Path][d.Digest] {
					do(part.Manifest, image.Path, d)
				}
			}
		}
	}
}

// unsigned reports images that are on the canonical mirror and have nothing under the tag for signatures.
func (t *tagged) unsigned(set *manifest.Set) (found []finding.Finding) {
	t.promoted(set, func(m *manifest.Manifest, path string, d manifest.Digest) {
		if !t.tags[path][attest.SignatureTag(d.Digest)] {
			found = append(found, finding.Finding{
				Rule: promotion.RuleUnsigned, Severity: finding.Error, Object: path + "@" + d.Digest, File: m.Images, Line: d.Line,
				Message: "there is no signature of it on the canonical mirror", Fix: "steward promote run --repair signs it",
			})
		}
	})
	return found
}

func (f *checkFlags) compare(cmd *cobra.Command, d declared, registry *tagged, b *buckets) error {
	var only map[string]bool
	if d.scope != nil {
		only = d.scope.Projects
	}
	c := &tallied{Collector: imageaudit.New(d.set, registry, only)}
	progress := newProgress(cmd.ErrOrStderr())
	out, err := audit.Run(cmd.Context(), c, audit.Options{Parallel: f.parallel, Release: f.release, Progress: func(p audit.Progress) {
		progress.read("mirrors", p.Done, p.Units)
	}})
	progress.end()
	if err != nil {
		return err
	}
	found, cover := slices.Concat(d.said(), out.Findings), []finding.Coverage{out.Coverage}
	if registry.signed {
		found = append(found, registry.unsigned(d.set)...)
	}
	if b != nil {
		cover = append(cover, b.read(cmd.Context()))
		found = append(found, b.gather(registry, d.set)...)
	}
	finding.Sort(found)
	opts := report.Options{Title: "promote check", Commit: d.commit, Coverage: cover}
	if f.out.Text() {
		c.table(cmd)
	}
	if f.artifacts != "" {
		if err := saveReport(f.artifacts, "junit_promote_check.xml", found, opts); err != nil {
			return err
		}
	}
	verdict := f.out.Write(cmd, found, opts)
	var exit *job.Exit
	switch {
	case verdict != nil && !errors.As(verdict, &exit):
		return verdict
	case out.Held != nil:
		return &job.Exit{Code: job.Incomplete, Message: fmt.Sprintf("promote check: %d of %d declared digests and tags seem to be gone; --release %s reports them one by one", out.Held.Absent, out.Held.Declared, out.Held.Hash)}
	case !finding.Complete(cover):
		return &job.Exit{Code: job.Incomplete, Message: "promote check: not everything could be read"}
	}
	return verdict
}

// tallied keeps what the collector counts for each mirror.
type tallied struct {
	*imageaudit.Collector
	mirrors []imageaudit.Mirror
}

// Compare implements audit.Collector.
func (t *tallied) Compare(readings map[string]audit.Reading) (audit.Comparison, error) {
	var err error
	if t.mirrors, err = t.Tally(readings); err != nil {
		return audit.Comparison{}, err
	}
	return t.Collector.Compare(readings)
}

func (t *tallied) table(cmd *cobra.Command) {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIRROR\tREPOSITORIES\tUNREAD\tMISSING\tMOVED\tUNDECLARED")
	for _, m := range t.mirrors {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", m.Name, m.Repositories, m.Unread, m.Missing, m.Moved, m.Undeclared)
	}
	fmt.Fprintln(w)
	_ = w.Flush() // the report behind it keeps the error of a pipe that broke
}
