// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy says whether Prow keeps closed what steward.yaml calls a gate: docs/policy.md numbers the rules.
//
// It reads the few stanzas of Prow's two files with a parser of its own, because Prow's would bring half of Kubernetes
// into our programs. It ignores what it does not know, and where in doubt it says that a gate is open. e2e/policy holds
// it against Prow's own code.
package policy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/thread"
)

// The rules, as docs/policy.md numbers them.
const (
	notRequired  = "POLICY-1" // Tide merges without the context
	optional     = "POLICY-2" // Tide merges although the context is red
	buttonOpen   = "POLICY-3" // branch protection lets the button merge without the context
	unprotected  = "POLICY-4" // Prow does not protect the branch at all
	notForwarded = "POLICY-5" // no entry forwards events to the plugin
	wrongPath    = "POLICY-6" // the entry's endpoint is not a path of steward-hook
	lacksEvents  = "POLICY-7" // the entry leaves out events
)

// Check finds the gates of steward.yaml that a Prow does not keep closed. contexts names the commit statuses that a
// list of plugins sets; every plugin must exist. The findings are sorted.
func Check(s *settings.Settings, prow *Prow, contexts func(plugins []string) []string) []finding.Finding {
	var all []finding.Finding
	for _, repo := range s.List() {
		for _, plugin := range s.For(repo).Plugins {
			all = append(all, prow.forwards(repo, plugin)...)
			for _, context := range contexts([]string{plugin}) {
				for _, branch := range prow.branches(repo) {
					all = append(all, prow.gate(place{repo, branch}, context)...)
				}
			}
		}
	}
	finding.Sort(all)
	return all
}

// gate asks all rules about one context at one place.
func (p *Prow) gate(at place, context string) []finding.Finding {
	opts, prot := p.tide.merged(at), p.protection.merged(at)
	why := notRequiredBecause(opts, prot, context)
	var all []finding.Finding
	found := func(rule string, s finding.Severity, line int, message, fix string) {
		all = append(all, finding.Finding{
			Rule: rule, Severity: s, Object: at.String() + " " + context,
			File: p.config.file, Line: line, Message: message, Fix: fix,
		})
	}
	tideAt, protAt := at.at("tide", "context_options"), at.at("branch-protection")
	if why != "" {
		found(notRequired, finding.Error, p.config.line(tideAt...),
			fmt.Sprintf("Tide merges pull requests to %s without %s: %s", at, context, why),
			fmt.Sprintf("add %s to %s.required-contexts", context, strings.Join(tideAt, ".")))
	}
	if by := opts.optional(context, why == ""); by != "" {
		found(optional, finding.Error, p.optionalLine(at, by),
			fmt.Sprintf("Tide merges pull requests to %s while %s is red: %s makes it optional", at, context, by),
			fmt.Sprintf("mend %s so that it leaves %s alone", by, context))
	}
	switch {
	case is(prot.Unmanaged):
		// Somebody else protects the branch; Prow's file does not know how.
	case !is(prot.Protect):
		found(unprotected, finding.Info, p.config.line(protAt...),
			fmt.Sprintf("Prow does not protect %s, so GitHub's merge button goes round %s unless somebody else protects it", at, context),
			fmt.Sprintf("set protect: true in %s", strings.Join(protAt, ".")))
	case !slices.Contains(prot.Checks.Contexts, context):
		found(buttonOpen, finding.Warning, p.config.line(protAt...),
			fmt.Sprintf("the branch protection of %s does not require %s: GitHub's merge button goes round Tide", at, context),
			fmt.Sprintf("add %s to %s.required_status_checks.contexts", context, strings.Join(protAt, ".")))
	}
	return all
}

// notRequiredBecause is "" for a context that Tide waits for (pkg/config/tide.go, GetTideContextPolicy). Contexts of
// jobs are left aside: no job sets ours.
func notRequiredBecause(o options, p branchPolicy, context string) string {
	switch {
	case slices.Contains(o.Required, context):
		return ""
	case !is(o.FromBranchProtection):
		return "no required-contexts names it, and from-branch-protection is off"
	case !is(p.Protect):
		return "no required-contexts names it, and Tide takes contexts from protected branches only"
	case !slices.Contains(p.Checks.Contexts, context):
		return "neither required-contexts nor the contexts of branch protection name it"
	}
	return ""
}

// optionalLine finds the innermost level that has the setting.
func (p *Prow) optionalLine(at place, setting string) int {
	path := at.at("tide", "context_options")
	for ; len(path) >= 2; path = path[:len(path)-2] {
		if line, whole := p.config.find(append(slices.Clone(path), setting)); whole {
			return line
		}
	}
	return p.config.line("tide", "context_options")
}

// events are what steward-hook reads (docs/hook.md H-7).
func events() []string {
	return []string{"issue_comment", "issues", "pull_request", "pull_request_review", "pull_request_review_comment"}
}

// forwards asks whether the repository's events reach a plugin by one of its entries.
func (p *Prow) forwards(repo thread.Repo, plugin string) []finding.Finding {
	f := finding.Finding{Object: repo.String() + " plugin " + plugin, File: p.plugins.file}
	ours := slices.DeleteFunc(p.entries(repo), func(e external) bool { return !e.serves(plugin) })
	if len(ours) == 0 {
		f.Rule, f.Severity, f.Line = notForwarded, finding.Error, p.plugins.line("external_plugins", repo.String())
		f.Message = fmt.Sprintf("no external plugin of %s forwards events to steward's %s: its contexts and answers come minutes late", repo, plugin)
		f.Fix = fmt.Sprintf("add to external_plugins.%s: {name: steward-%s, endpoint: http://steward-hook/%s}", repo, plugin, plugin)
		return []finding.Finding{f}
	}
	var all []finding.Finding
	for _, e := range ours {
		f.Line = e.line
		all = append(all, e.faults(f, plugin)...)
	}
	return all
}

// path is where an entry posts to; without an endpoint Prow posts to the host of its name.
func (e external) path() string {
	u, err := url.Parse(e.Endpoint)
	if err != nil {
		return e.Endpoint
	}
	return u.Path
}

// serves says whether the entry is meant for the plugin: by its path, or by its name.
func (e external) serves(plugin string) bool {
	return e.Name == "steward-"+plugin || strings.HasSuffix(e.path(), "/"+plugin) ||
		(e.Name == "steward" || e.Name == "steward-hook") && e.root()
}

// root is the path that is served for all plugins.
func (e external) root() bool { return e.path() == "" || e.path() == "/" }

func (e external) faults(f finding.Finding, plugin string) []finding.Finding {
	var all []finding.Finding
	if !e.root() && !strings.HasSuffix(e.path(), "/"+plugin) {
		f.Rule, f.Severity = wrongPath, finding.Error
		f.Message = fmt.Sprintf("external plugin %s posts to %q, where steward-hook has no %s", e.Name, e.path(), plugin)
		f.Fix = fmt.Sprintf("let the endpoint's path be /%s", plugin)
		all = append(all, f)
	}
	missing := slices.DeleteFunc(events(), func(event string) bool { return slices.Contains(e.Events, event) })
	if len(e.Events) > 0 && len(missing) > 0 {
		f.Rule, f.Severity = lacksEvents, finding.Warning
		f.Message = fmt.Sprintf("external plugin %s is not sent %s: what they say is seen minutes late", e.Name, strings.Join(missing, ", "))
		f.Fix = "add them to events, or drop the list: without one everything is sent"
		all = append(all, f)
	}
	return all
}
