// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"
	"net/url"
	"strings"

	"sigs.k8s.io/steward/internal/thread"
)

// blobLink is the address of a file at a commit. Every segment is escaped: file
// names come from whoever wrote the commit, and the address stands in Markdown,
// where a parenthesis or an angle bracket would end it.
func blobLink(base string, repo thread.Repo, commit, file string, line int) string {
	segments := strings.Split(file, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	address := fmt.Sprintf("%s/%s/blob/%s/%s", base, repo, url.PathEscape(commit), strings.Join(segments, "/"))
	if line > 0 {
		address += fmt.Sprintf("#L%d", line)
	}
	return address
}
