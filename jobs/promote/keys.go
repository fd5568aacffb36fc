// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/settings"
)

// keys are the flags that say what signs, and what is believed.
type keys struct {
	signKey, signPassword string
	signingConfig         string
	trustRoot             string
	identityToken         string
}

func (k *keys) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&k.signKey, "sign-key", "", "what signs, in place of promotion.signing.key: a file with a private key, gcpkms://…, or keyless")
	flags.StringVar(&k.signPassword, "sign-password-file", "", "file with the password of the private key")
	flags.StringVar(&k.signingConfig, "signing-config", "", "signing_config.json of Sigstore, which says where authority and log are; keyless only")
	flags.StringVar(&k.trustRoot, "trust-root", "", "trusted_root.json of Sigstore, for what identities have signed; nobody is asked")
	flags.StringVar(&k.identityToken, "identity-token-file", "", "file with an identity token for the audience sigstore; keyless only; default the machine's own identity")
}

// check tells which of the files cannot be read, before anything is done. Those of Sigstore are read where they are needed: a job
// that is the same for all communities names them.
func (k *keys) check() error {
	var errs []error
	for _, f := range []struct{ flag, file string }{
		{"sign-key", k.signKey}, {"sign-password-file", k.signPassword}, {"identity-token-file", k.identityToken},
	} {
		if f.file == "" || f.flag == "sign-key" && (f.file == settings.Keyless || strings.Contains(f.file, "://")) {
			continue
		}
		file, err := os.Open(f.file)
		if err != nil {
			errs = append(errs, fmt.Errorf("flag --%s: %w", f.flag, err))
			continue
		}
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}
