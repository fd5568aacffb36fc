// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Elements of sets, in the order in which they stand in the file. Each function says
// false where a part is not what the API's reference says.

// What a grant looks like: without a condition, or with one behind the words.
const (
	unconditional = "granted"
	conditional   = unconditional + " if "
)

// bindings are the grants of an IAM policy: a member has a role, always or under
// conditions. Who is listed twice has it once.
func bindings(v any) ([]element, bool) {
	all, ok := v.([]any)
	var out []element
	for _, one := range all {
		binding, isObject := one.(map[string]any)
		role, hasRole := binding["role"].(string)
		members, hasMembers := binding["members"].([]any)
		if !isObject || !hasRole || role == "" || !hasMembers && binding["members"] != nil {
			return nil, false
		}
		value := unconditional
		if condition, has := binding["condition"]; has {
			value = conditional + canonical(condition)
		}
		for _, m := range members {
			member, isText := m.(string)
			if !isText || member == "" {
				return nil, false
			}
			out = append(out, element{role + "/" + member, value, member})
		}
	}
	return out, ok
}

// entries are those of an access control list: an entity has a role.
func entries(v any) ([]element, bool) {
	all, ok := v.([]any)
	out := make([]element, 0, len(all))
	for _, one := range all {
		entry, isObject := one.(map[string]any)
		entity, hasEntity := entry["entity"].(string)
		role, hasRole := entry["role"].(string)
		if !isObject || !hasEntity || !hasRole || entity == "" || role == "" {
			return nil, false
		}
		out = append(out, element{entity, role, entity})
	}
	return out, ok
}

func labels(v any) ([]element, bool) {
	all, ok := v.(map[string]any)
	var out []element
	for _, key := range slices.Sorted(maps.Keys(all)) {
		value, isText := all[key].(string)
		if !isText {
			return nil, false
		}
		out = append(out, element{key, strconv.Quote(value), key}) // quoted, because an empty one is one
	}
	return out, ok
}

// lifecycleRules are keyed by what they do; the value is under which conditions. Their
// order means nothing.
func lifecycleRules(v any) ([]element, bool) {
	all, ok := v.([]any)
	var out []element
	for _, one := range all {
		rule, isObject := one.(map[string]any)
		action, hasAction := rule["action"].(map[string]any)
		kind, hasKind := action["type"].(string)
		if !isObject || !hasAction || !hasKind || kind == "" {
			return nil, false
		}
		condition, hasCondition := rule["condition"].(map[string]any)
		if !hasCondition && rule["condition"] != nil {
			return nil, false
		}
		key := kind
		if class, has := action["storageClass"]; has {
			key += " " + strings.Trim(canonical(class), `"`)
		}
		out = append(out, element{key, canonical(orderless(condition)), kind})
	}
	return out, ok
}

// orderless sorts the lists of a condition, such as matchesStorageClass, and drops what
// is empty.
func orderless(condition map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range condition {
		all, isList := v.([]any)
		if isList {
			if len(all) == 0 {
				continue
			}
			all = slices.SortedFunc(slices.Values(all), func(a, b any) int { return strings.Compare(canonical(a), canonical(b)) })
			v = all
		}
		out[key] = v
	}
	return out
}
