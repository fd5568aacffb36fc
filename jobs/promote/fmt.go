// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/settings"
)

func fmtCommand(Deps) *cobra.Command {
	var flags fmtFlags
	cmd := &cobra.Command{
		Use:   "fmt [FILE]...",
		Short: "Write lists of images in their canonical form",
		Long: `Name the lists of images that are not in canonical form, and with --confirm write them
so: images by name, digests by their smallest tag, tags sorted, all in quotes. Comments
stay with what they stand at, and nothing that a list declares changes.

Without files, all lists of the tree.

Exit code 0: all are in that form now; 2: some are not; 1: an error.`,
		Example: `  steward promote fmt --dir ~/k8s.io
  steward promote fmt --confirm registry.k8s.io/images/k8s-staging-kops/images.yaml`,
		RunE: func(cmd *cobra.Command, files []string) error { return flags.run(cmd, files) },
	}
	cmd.Flags().StringVar(&flags.dir, "dir", ".", "checkout of the repository")
	cmd.Flags().StringVar(&flags.manifests, "manifests", "", "tree of the manifests, relative to --dir; default promotion.images of --config, or registry.k8s.io")
	cmd.Flags().StringVar(&flags.config, "config", "", "steward.yaml, whose part promotion says where the manifests are")
	cmd.Flags().BoolVar(&flags.confirm, "confirm", false, "write; without it, name the files")
	_ = cmd.MarkFlagDirname("dir") // fails for unknown flags only
	return cmd
}

type fmtFlags struct {
	dir, manifests, config string
	confirm                bool
}

func (f fmtFlags) run(cmd *cobra.Command, files []string) error {
	if len(files) == 0 {
		all, err := settingsOf(f.config)
		if err != nil {
			return err
		}
		if all == nil {
			all = &settings.Settings{}
		}
		f.manifests = cmp.Or(f.manifests, all.Promotion.Tree())
		if files, err = filepath.Glob(filepath.Join(f.dir, f.manifests, "images", "*", "images.yaml")); err != nil {
			return fmt.Errorf("flag --dir: %w", err)
		}
		if len(files) == 0 {
			return fmt.Errorf("there is no list of images below %s", filepath.Join(f.dir, f.manifests, "images"))
		}
	}
	var errs []error
	odd := 0
	for _, file := range files {
		changed, err := f.format(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("format %s: %w", report.Shown(file, 300), err))
		}
		if changed {
			odd++
			fmt.Fprintln(cmd.OutOrStdout(), report.Shown(file, 300))
		}
	}
	switch {
	case len(errs) > 0:
		return errors.Join(errs...)
	case odd > 0 && !f.confirm:
		return &job.Exit{Code: job.Found, Message: fmt.Sprintf("promote fmt: %d of %d lists are not in canonical form; --confirm writes them", odd, len(files))}
	}
	return nil
}

// format tells whether a file is not in canonical form, and writes it if that is confirmed.
func (f fmtFlags) format(file string) (changed bool, err error) {
	info, err := os.Lstat(file)
	if err != nil {
		return false, err
	}
	if folder, err := os.Lstat(filepath.Dir(file)); err != nil || !info.Mode().IsRegular() || !folder.IsDir() {
		return false, errors.Join(err, errors.New("it is no regular file, or its folder is a link: what a link leads to may belong to somebody else"))
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	out, err := manifest.Format(raw)
	if err != nil || bytes.Equal(raw, out) || !f.confirm {
		return err == nil && !bytes.Equal(raw, out), err
	}
	return true, replaceFile(file, out, info.Mode().Perm())
}

// replaceFile writes beside a file first: one that is cut off would declare less. The name is one that nobody can have
// put a link under.
func replaceFile(file string, content []byte, mode os.FileMode) (err error) {
	beside, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(beside.Name()))
		}
	}()
	_, err = beside.Write(content)
	if err = errors.Join(err, beside.Chmod(mode), beside.Close()); err != nil {
		return err
	}
	return os.Rename(beside.Name(), file)
}
