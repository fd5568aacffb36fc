// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"
)

// Declared is the scenario of a cloud in which everything is as a community's
// repository declares it: buckets by audit/, images by registry.k8s.io/, zones by dns/.
// Settings are a cloud.yaml; a part whose folder the repository does not have is empty.
func Declared(repository fs.FS, settings string) (*Scenario, error) {
	sc, err := ParseScenario([]byte("-- cloud.yaml --\n" + settings + "\n"))
	if err != nil {
		return nil, err
	}
	for _, from := range []struct{ folder, part, below string }{
		{"audit", "gcp", "audit/"}, {"registry.k8s.io", "oci", "registry.k8s.io/"}, {"dns", "dns", ""},
	} {
		files := fstest.MapFS{}
		err := fs.WalkDir(repository, from.folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := fs.ReadFile(repository, path)
			files[from.below+strings.TrimPrefix(path, from.folder+"/")] = &fstest.MapFile{Data: raw, Mode: 0o644}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("scenario of %s: %w", from.folder, err)
		}
		sc.files[from.part] = files
	}
	return sc, nil
}
