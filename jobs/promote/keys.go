// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import "github.com/spf13/cobra"

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
