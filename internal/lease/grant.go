// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"errors"
	"fmt"
	"time"
)

// Grant says which account's short-lived credentials the holder of a resource may have. {resource} in it is the resource's
// name, {id} what IDs has for it. User data are not used: every holder may write them.
type Grant struct {
	ServiceAccount string            `yaml:"google-service-account"` // e2e@{resource}.iam.gserviceaccount.com
	Scopes         []string          `yaml:"scopes"`                 // of Google; empty: cloud-platform
	Role           string            `yaml:"aws-role"`               // arn:aws:iam::{id}:role/e2e
	IDs            map[string]string `yaml:"ids"`                    // by resource, such as the number of an AWS account
	For            time.Duration     `yaml:"lifetime"`               // 15m to 1h; 1h
}

// Lifetime is how long a credential lasts.
func (g Grant) Lifetime() time.Duration {
	if g.For == 0 {
		return time.Hour
	}
	return g.For
}

// Check finds faults of a grant.
func (g Grant) Check() error {
	if (g.ServiceAccount == "") == (g.Role == "") {
		return errors.New("one of google-service-account and aws-role is needed")
	}
	if d := g.Lifetime(); d < 15*time.Minute || d > time.Hour {
		return fmt.Errorf("lifetime %v is not between 15m and 1h", d)
	}
	return nil
}
