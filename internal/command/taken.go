// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/spell"
)

// taken lists the commands of Prow, of its external plugins and of two
// communities that run it, by plugin. A name that ends in * stands for all that
// begin so. A short alias of ours must be none of them: both would answer.
var taken = []struct{ plugin, commands string }{
	{"approve", "approve remove-approve"},
	{"assign", "assign unassign cc uncc"},
	{"blunderbuss", "auto-cc"},
	{"bugzilla", "bugzilla"},
	{"buildifier", "buildify buildifier"},
	{"cat", "meow meowvie"},
	{"cherrypicker", "cherrypick cherry-pick"},
	{"cla", "check-cla"},
	{"dco", "check-dco"},
	{"dog", "woof bark this-is-fine this-is-not-fine this-is-unbearable"},
	{"easycla", "easycla"},
	{"golint", "lint"},
	{"goose", "honk"},
	{"help", "help remove-help good-first-issue remove-good-first-issue"},
	{"hold", "hold unhold remove-hold"},
	{"issue-management", "link-issue unlink-issue pin-issue unpin-issue transfer transfer-issue"},
	{"jira", "jira"},
	{"kubevirt", "rehearse phased release-blocker release-blocker-cancel test-subset referee"},
	{"label", "label remove-label area remove-area committee remove-committee kind remove-kind " +
		"language remove-language priority remove-priority sig remove-sig triage remove-triage wg remove-wg"},
	{"lgtm", "lgtm remove-lgtm"},
	{"lifecycle", "close reopen lifecycle remove-lifecycle"},
	{"milestone", "milestone"},
	{"milestonestatus", "status"},
	{"openshift", "payload* testwith pj-rehearse"},
	{"override", "override override-sticky override-cancel"},
	{"pony", "pony"},
	{"project", "project"},
	{"refresh", "refresh"},
	{"release-note", "release-note release-note-edit release-note-none release-note-action-required"},
	{"require-matching-label", "check-required-labels"},
	{"retitle", "retitle"},
	{"shrug", "shrug unshrug"},
	{"skip", "skip"},
	{"stage", "stage remove-stage"},
	{"trick-or-treat", "trick-or-treat"},
	{"trigger", "test* retest* ok-to-test"},
	{"verify-owners", "verify-owners"},
	{"yuks", "joke"},
}

// Taken names the plugin that answers a command, without its slash, or "".
func Taken(word string) (plugin string) {
	for _, row := range taken {
		for _, name := range strings.Fields(row.commands) {
			stem, all := strings.CutSuffix(name, "*")
			if word == name || all && strings.HasPrefix(word, stem) {
				return row.plugin
			}
		}
	}
	return ""
}

// legalWord is the form of aliases and of the words of a verb.
var legalWord = regexp.MustCompile(`^[a-z][a-z0-9-]{0,29}$`)

// LegalVerb tells whether a row may have the verb, of one word or two.
func LegalVerb(verb string) bool {
	first, second, two := strings.Cut(verb, " ")
	return legalWord.MatchString(first) && (!two || legalWord.MatchString(second))
}

// CheckAliases finds everything wrong with a repository's short aliases, given
// the verbs that exist. It is run when settings are read, never on a comment.
func CheckAliases(aliases map[string]string, verbs []string) error {
	var errs []error
	owner := map[string]string{}
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		verb := aliases[alias]
		if problem := aliasProblem(alias, verb, verbs); problem != "" {
			errs = append(errs, fmt.Errorf("alias /%s: %s", alias, problem))
		}
		if first := owner[verb]; first != "" {
			errs = append(errs, fmt.Errorf("alias /%s: %s %s has the alias /%s already: keep one", alias, Prefix, verb, first))
		}
		owner[verb] = alias
	}
	return errors.Join(errs...)
}

func aliasProblem(alias, verb string, verbs []string) string {
	plugin := Taken(alias)
	switch {
	case !legalWord.MatchString(alias):
		return "want a lower-case word of letters, digits and hyphens, without the slash"
	case "/"+alias == Prefix:
		return "is the canonical form itself"
	case plugin != "":
		return fmt.Sprintf("is a command of Prow's plugin %s: both would answer", plugin)
	case !slices.Contains(verbs, verb):
		return fmt.Sprintf("stands for %q, which is no command%s", verb, hint(verb, verbs))
	case alias != verb && slices.Contains(verbs, alias):
		return fmt.Sprintf("is the verb of another command, %s %s", Prefix, alias)
	}
	return ""
}

func hint(verb string, verbs []string) string {
	if near := spell.Nearest(verb, verbs); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
