// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Inventory reads an infra.yaml: the community's projects by what they are for. A project may stand under several.
func Inventory(raw []byte) (map[string][]string, error) {
	var parsed struct {
		Infra map[string]struct{ Projects map[string]yaml.Node }
	}
	if err := yaml.Unmarshal(raw, &parsed); err != nil {
		return nil, fmt.Errorf("read the inventory of projects: %w", err)
	}
	kinds := map[string][]string{}
	for kind, group := range parsed.Infra {
		kinds[kind] = slices.Sorted(maps.Keys(group.Projects))
	}
	return kinds, nil
}
