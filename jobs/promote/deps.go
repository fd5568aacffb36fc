// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"io/fs"
	"time"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/imageaudit"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/internal/thread"
)

// Deps is what the verbs need from outside.
type Deps struct {
	// OpenCommit returns the files of a revision of the repository whose top directory
	// is dir, and the full id of the commit. The files are used until done is called.
	OpenCommit func(ctx context.Context, dir, rev string) (files fs.FS, commit string, done func() error, err error)
	// Ancestor tells whether a commit of that repository is another one or comes before it.
	// Both are full ids; one that is not there is an error.
	Ancestor func(ctx context.Context, dir, older, newer string) (bool, error)
	// OpenState opens a store by its URL: file:// or gs://.
	OpenState func(ctx context.Context, address string) (state.Store, error)
	// OpenGitHub connects with what opens pull requests.
	OpenGitHub func(GitHub) (Pulls, error)
	Now        func() time.Time // nil: time.Now
	Adapters
}

// GitHub says where pull requests are opened, and by whom.
type GitHub struct {
	Endpoint, TokenPath string
	Unreviewed          []string // logins whose pull requests are merged without review; whoever is one opens none
}

// Pulls opens pull requests.
type Pulls interface {
	// Propose opens one, unless its branch has one in any state, or an open one has a branch that begins with beside.
	// It returns the address of the one that is there.
	Propose(ctx context.Context, repo thread.Repo, p thread.Pull, beside string) (address string, opened bool, err error)
}

// Adapters are what reaches the world outside, one field for each part. They connect when
// they are used first.
type Adapters struct {
	Registry func(Reach) (Registry, error)
	// Files opens a store by its base: gs://BUCKET/PREFIX/, s3://BUCKET/PREFIX/ or file:///DIR/. It is used until done is
	// called.
	Files func(ctx context.Context, base string) (s filestore.Store, done func() error, err error)
	// OpenSigner and OpenVerifier make what signs, and what believes signatures.
	OpenSigner   func(context.Context, SignWith) (Signer, error)
	OpenVerifier func(Believe) (Verifier, error)
}

// A Signer and a Verifier make and prove signatures; see package attest.
type (
	Signer   = attest.Signer
	Verifier = attest.Verifier
)

// Reach says where adapters find what they reach; the zero value is the real places.
type Reach struct {
	Registries map[string]string // host of a registry -> host:port to ask instead; * is every host
	Rate       float64           // requests a second to one host; 0: what its quota leaves room for
}

// Registry reads and fills container registries. A repository is HOST/PATH. What does not
// exist is one of the errors of package manifest, and only by the registry's own word. It
// is asked concurrently, and keeps its own pace.
type Registry interface {
	// Glance tells what a repository holds as far as its list tells; open are tags whose
	// digest it does not.
	Glance(ctx context.Context, repository string) (l manifest.Listing, open []string, err error)
	copier.Registry     // its Resolve answers for the open ones
	imageaudit.Registry // reads all that a repository holds
}

func (d Deps) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}
