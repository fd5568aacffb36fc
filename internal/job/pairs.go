// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"errors"
	"fmt"
	"strings"
)

// Pairs takes values of a flag apart, each NAME=ADDRESS with a name of its own. The map holds
// what could be understood.
func Pairs(flag string, all []string) (map[string]string, error) {
	out := map[string]string{}
	var errs []error
	for _, p := range all {
		from, to, ok := strings.Cut(p, "=")
		if _, twice := out[from]; !ok || from == "" || to == "" || twice {
			errs = append(errs, fmt.Errorf("flag --%s: %q is not NAME=ADDRESS, or its name stands twice", flag, p))
		}
		out[from] = to
	}
	return out, errors.Join(errs...)
}
