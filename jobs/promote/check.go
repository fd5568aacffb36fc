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
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/state"
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

--config names steward.yaml. Where it says how production is signed, the signature and the
record of each image on the canonical mirror are verified, some seven requests an image, but
of those that --state knows to be signed none; where it names buckets of blobs, what they
lack is reported.

Exit code 0: nothing at or above --fail-on; 2: something; 3: not everything could be
read, or a brake holds; 1: an error.`,
		Example: `  steward promote check --dir ~/k8s.io
  steward promote check --dir ~/k8s.io --project k8s-staging-coredns -o markdown
  steward promote check --dir ~/k8s.io --config ~/k8s.io/config/steward.yaml \
      --state gs://example-steward --trust-root trusted_root.json`,
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
	artifacts string
	state     string // read only
	publicKey string
	password  string
	trustRoot string
}

func (f *checkFlags) register(cmd *cobra.Command) {
	f.tree.register(cmd, "")
	f.connection.register(cmd)
	f.out.Register(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.release, "release", nil, "the hash that a brake printed, so that what is missing is reported one by one")
	flags.StringVar(&f.state, "state", "", "that of \"promote run\", which knows the images whose signatures were verified before; it is only read")
	flags.StringVar(&f.publicKey, "public-key", "", "file with the public key of what signs, so that the key itself is not needed")
	flags.StringVar(&f.password, "sign-password-file", "", "file with the password of the private key, where the settings name one and there is no --public-key")
	flags.StringVar(&f.trustRoot, "trust-root", "", "trusted_root.json of Sigstore, for keyless signatures; nobody is asked")
	flags.StringVar(&f.artifacts, "artifacts", os.Getenv("ARTIFACTS"), "directory for junit_promote_check.xml, report.json and report.html; default $ARTIFACTS")
	_ = cmd.MarkFlagDirname("artifacts") // fails for an unknown flag only
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
	registry, err := f.connect(deps)
	if err != nil {
		return err
	}
	p := d.promotion()
	b, closed, err := openBuckets(cmd.Context(), deps, p.Blobs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed()) }()
	t := &tagged{Registry: registry, listed: map[string]manifest.Listing{}}
	if t.seals, err = f.seals(cmd.Context(), deps, d); err != nil {
		return err
	}
	if t.seals != nil || b != nil {
		t.mirror = canonicalMirror(p, d.set)
	}
	return f.compare(cmd, d, t, b)
}

// seals is who has to have signed production, and what is known of that; nil where nobody has to.
func (f *checkFlags) seals(ctx context.Context, deps Deps, d declared) (*seals, error) {
	p := d.promotion()
	if p.Signing.Key == "" {
		return nil, nil
	}
	v, err := f.verifier(ctx, deps, p.Signing)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	var store state.Store
	if f.state != "" {
		if store, err = deps.OpenState(ctx, f.state); err != nil {
			return nil, fmt.Errorf("flag --state: %w", err)
		}
	}
	s := &seals{seal: sealOf(p, d.set, v)}
	if err := nowhere(s.canonical, d.set); err != nil {
		return nil, err
	}
	s.proven, err = openProven(ctx, store, s.by())
	return s, err
}

// verifier proves what production is signed with. A public key does for every key; what signs is opened only without one.
func (f *checkFlags) verifier(ctx context.Context, deps Deps, s settings.Signing) (Verifier, error) {
	switch {
	case f.publicKey != "":
		return deps.OpenVerifier(Believe{KeyFile: f.publicKey})
	case s.Key == settings.Keyless:
		return deps.OpenVerifier(Believe{Identity: s.Identity, Root: f.trustRoot})
	}
	signer, err := deps.OpenSigner(ctx, SignWith{Key: s.Key, PasswordFile: f.password})
	if err != nil {
		return nil, err
	}
	return signer.Verifier(), nil
}

// seals is a seal with what is known of images that have it.
type seals struct {
	seal
	proven *proven
}

// tagged remembers what the canonical mirror lists.
type tagged struct {
	Registry
	mirror string // "" where nobody wants to know
	seals  *seals // nil: nobody has to have signed

	mu     sync.Mutex
	listed map[string]manifest.Listing // by path
}

// List implements imageaudit.Registry.
func (t *tagged) List(ctx context.Context, repository string) (manifest.Listing, error) {
	l, err := t.Registry.List(ctx, repository)
	path, ours := strings.CutPrefix(repository, t.mirror+"/")
	if err != nil || t.mirror == "" || !ours {
		return l, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listed[path] = l
	return l, nil
}

// promoted calls do for every declared image that is on the canonical mirror.
func (t *tagged) promoted(set *manifest.Set, do func(m *manifest.Manifest, path string, d manifest.Digest)) {
	for _, image := range set.Images {
		for _, part := range image.Parts {
			for _, d := range part.Entry.Digests {
				if _, there := t.listed[image.Path].Digests[d.Digest]; there {
					do(part.Manifest, image.Path, d)
				}
			}
		}
	}
}

// unsigned verifies the signatures of images that are on the canonical mirror, and reports those that have none of ours, and
// for each project how many have no record.
func (t *tagged) unsigned(ctx context.Context, set *manifest.Set, parallel int, tell func(part string, done, total int)) (finding.Coverage, []finding.Finding) {
	declared := map[string]finding.Finding{} // by image
	var open []sealed
	r := newReader(t.Registry, parallel, tell)
	t.promoted(set, func(m *manifest.Manifest, path string, d manifest.Digest) {
		l := t.listed[path]
		s := sealed{path, d.Digest, l.Tags[attest.SignatureTag(d.Digest)]}
		if _, twice := declared[s.key()]; twice {
			return
		}
		declared[s.key()] = finding.Finding{Rule: promotion.RuleUnsigned, Object: m.Name, File: m.Images, Line: d.Line}
		if l.Full && t.seals.proven.has(s.key(), s.tagged) {
			r.cover.Units, r.cover.Read = r.cover.Units+1, r.cover.Read+1
			return
		}
		open = append(open, s)
	})
	r.repairs = repairs{canonical: t.mirror, seal: &t.seals.seal, proven: t.seals.proven}
	var found []finding.Finding
	bare := map[string]int{}                                        // images without a record, by project
	_ = r.verify(ctx, open, func(s sealed, signed, recorded bool) { // what was not asked when ctx ended is a gap
		f := declared[s.key()]
		if !recorded {
			bare[f.Object]++
		}
		if !signed {
			f.Severity, f.Object = finding.Error, s.key()
			f.Message, f.Fix = "there is no signature of ours of it on the canonical mirror", "steward promote run --repair signs it"
			found = append(found, f)
		}
	})
	for _, m := range set.Manifests {
		if n := bare[m.Name]; n > 0 {
			found = append(found, finding.Finding{
				Rule: promotion.RuleUnsigned, Severity: finding.Info, Object: m.Name, File: m.Images,
				Message: fmt.Sprintf("%s of those that were looked at without a record of ours of the promotion: something else brought them there", report.Number(n, "image")),
				Fix:     "steward promote run --repair records those that staging still holds",
			})
		}
	}
	if ctx.Err() != nil {
		r.gap(t.mirror, ctx.Err())
	}
	return r.covered("signatures"), found
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
	if registry.seals != nil {
		signed, lacking := registry.unsigned(cmd.Context(), d.set, f.parallel, progress.read)
		progress.end()
		cover, found = append(cover, signed), append(found, lacking...)
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
