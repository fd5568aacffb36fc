// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kpromo is the image promoter that Steward is compared with, without what it asks Sigstore's servers:
//
//	kpromo cip --thin-manifest-dir DIR [--confirm]
//
// Planning and copying are the promoter's own. $KPROMO_REGISTRIES is HOST:PORT where every registry is, without TLS. The
// module's path lies below the promoter's, because what is replaced is internal there.
package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"

	"github.com/sirupsen/logrus"

	reg "sigs.k8s.io/promo-tools/v3/internal/legacy/dockerregistry"
	impl "sigs.k8s.io/promo-tools/v3/internal/promoter/image"
	promoter "sigs.k8s.io/promo-tools/v3/promoter/image"
	options "sigs.k8s.io/promo-tools/v3/promoter/image/options"
)

// offline asks nobody but registries.
type offline struct {
	*impl.DefaultPromoterImplementation
}

// ActivateServiceAccounts leaves out gcloud.
func (offline) ActivateServiceAccounts(*options.Options) error { return nil }

// PrewarmTUFCache would fetch Sigstore's roots of trust.
func (offline) PrewarmTUFCache() error { return nil }

// ValidateStagingSignatures would verify by them.
func (offline) ValidateStagingSignatures(edges map[reg.PromotionEdge]interface{}) (map[reg.PromotionEdge]interface{}, error) {
	return edges, nil
}

// PromoteImages tells how much is promoted, and promotes.
func (o offline) PromoteImages(sc *reg.SyncContext, edges map[reg.PromotionEdge]interface{}) error {
	logrus.Infof("edges to promote: %d", len(edges))
	return o.DefaultPromoterImplementation.PromoteImages(sc, edges)
}

func main() {
	if err := run(); err != nil {
		logrus.Fatal(err)
	}
}

func run() error {
	if len(os.Args) < 2 || os.Args[1] != "cip" {
		return errors.New("usage: kpromo cip --thin-manifest-dir DIR [--confirm]")
	}
	opts := *options.DefaultOptions
	opts.SignImages = false
	flags := flag.NewFlagSet("kpromo cip", flag.ExitOnError)
	flags.StringVar(&opts.ThinManifestDir, "thin-manifest-dir", "", "tree of thin manifests")
	flags.BoolVar(&opts.Confirm, "confirm", false, "promote")
	_ = flags.Parse(os.Args[2:]) // it exits
	near := os.Getenv("KPROMO_REGISTRIES")
	if near == "" {
		return errors.New("$KPROMO_REGISTRIES is not set")
	}
	// Every client of the promoter has this transport, and takes the connection for one with TLS.
	http.DefaultTransport.(*http.Transport).DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, near)
	}
	p := promoter.New()
	p.SetImplementation(offline{impl.NewDefaultPromoterImplementation()})
	return p.PromoteImages(&opts)
}
