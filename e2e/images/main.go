// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command images builds the container images of Steward's programs and pushes them, without a Docker daemon and
// without a shell in them.
//
// It cross-compiles the programs of this checkout, packs each with certificates and an unprivileged account, and
// speaks to the registry itself. Two runs on the same sources, certificates and Go release give the same digests.
// It lives in this module because nothing of a registry belongs into the programs it packs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// image is one row of the table: a program and what goes under it.
type image struct {
	name    string
	command string // the package of the program
	title   string
	git     bool // the program runs git, so the image lies on one that has it (--git-base)
}

func images() []image {
	return []image{
		{name: "steward", command: "./cmd/steward", title: "jobs, checks and command line of Steward"},
		{name: "steward-hook", command: "./cmd/steward-hook", title: "plugin server of Steward, behind Prow's hook"},
		{name: "steward-pool", command: "./cmd/steward-pool", title: "compute pool of Steward, in the place of Boskos"},
		{name: "steward-git", command: "./cmd/steward", title: "jobs and checks of Steward that compare revisions", git: true},
	}
}

// options are the flags.
type options struct {
	root      string
	push      string // registry and prefix
	tag       string
	tarball   string
	gitBase   string
	ca        string
	revision  string
	platforms []v1.Platform
	created   time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// run prints one line per image, NAME@DIGEST where it was pushed, on out and what it is doing on progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	root, err := toolbin.Root()
	if err != nil {
		return err
	}
	opts, err := parse(ctx, root, args, progress)
	if err != nil {
		return err
	}
	built, err := buildAll(ctx, opts, images(), progress)
	if err != nil {
		return err
	}
	if opts.tarball != "" {
		if err := save(opts, built); err != nil {
			return err
		}
	}
	for _, b := range built {
		line, err := publish(ctx, opts, b)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, line)
	}
	return nil
}

func parse(ctx context.Context, root string, args []string, errs io.Writer) (options, error) {
	opts := options{root: root}
	var platforms string
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&opts.root, "root", root, "checkout to build")
	flags.StringVar(&opts.push, "push", "", "push every image to `REGISTRY/PREFIX`/NAME")
	flags.StringVar(&opts.tag, "tag", "", "tag of the images, and the version that the programs report")
	flags.StringVar(&opts.tarball, "tarball", "", "write the images of the first platform to `FILE`, for docker load and ctr images import")
	flags.StringVar(&opts.gitBase, "git-base", "", "image with git and certificates, for those images that need git; without it they are left out")
	flags.StringVar(&opts.ca, "ca", "", "certificates to trust (default: those of this machine)")
	flags.StringVar(&opts.revision, "revision", "", "commit to name in the labels (default: what git says)")
	flags.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "platforms to build for")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for p := range strings.SplitSeq(platforms, ",") {
		platform, err := v1.ParsePlatform(p)
		if err != nil || platform.OS != "linux" || platform.Architecture == "" {
			return options{}, fmt.Errorf("flag --platforms: %q is not linux/ARCHITECTURE", p)
		}
		opts.platforms = append(opts.platforms, *platform)
	}
	return opts.complete(ctx)
}

// complete refuses what could only fail after the build, and fills in what was left to the machine.
func (o options) complete(ctx context.Context) (options, error) {
	if o.push == "" && o.tarball == "" {
		return o, errors.New("one of --push and --tarball is needed")
	}
	if o.tag == "" {
		return o, errors.New("flag --tag is needed")
	}
	if _, err := o.reference("steward"); err != nil {
		return o, err
	}
	if o.gitBase != "" {
		if _, err := name.ParseReference(o.gitBase); err != nil {
			return o, fmt.Errorf("flag --git-base: %w", err)
		}
	}
	var err error
	if o.created, err = created(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return o, err
	}
	if o.revision == "" {
		o.revision = revision(ctx, o.root)
	}
	return o, nil
}

// reference is where an image goes. A tarball needs a name too, and takes one that no registry answers to.
func (o options) reference(image string) (name.Tag, error) {
	prefix := o.push
	if prefix == "" {
		prefix = "steward.invalid"
	}
	tag, err := name.NewTag(prefix+"/"+image+":"+o.tag, name.StrictValidation)
	if err != nil {
		return tag, fmt.Errorf("name image %s: %w", image, err)
	}
	return tag, nil
}

// created is the time that everything in an image carries: SOURCE_DATE_EPOCH, or the beginning of time.
func created(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is no number of seconds", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// revision is the commit of the checkout, marked where files differ from it. Sources without git have none, and the
// images then say so by leaving the label out.
func revision(ctx context.Context, root string) string {
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*", "-C", root}, args...)...)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return ""
	}
	if changed, err := git("status", "--porcelain"); err != nil || changed != "" {
		commit += "-dirty"
	}
	return commit
}
