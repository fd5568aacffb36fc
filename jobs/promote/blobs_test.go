// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/manifest"
)

// layout counts what a bucket has, and holds every file of it to its name.
func layout(ts *testscript.TestScript, dir string) {
	count := func(folder string) int {
		files, err := os.ReadDir(filepath.Join(ts.MkAbs(dir), folder))
		ts.Check(err)
		for _, f := range files {
			content, err := os.ReadFile(filepath.Join(ts.MkAbs(dir), folder, f.Name()))
			ts.Check(err)
			if got := manifest.DigestOf(content); got != f.Name() {
				ts.Fatalf("%s/%s has the digest %s", folder, f.Name(), got)
			}
		}
		return len(files)
	}
	fmt.Fprintf(ts.Stdout(), "%d blobs, %d records\n", count("containers/images"), count("geranos/uploaded-images"))
}
