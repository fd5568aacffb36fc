// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/pace"
)

// Bindings are what the project's IAM policy grants to whom: an object for each member of each binding. Only grants to service
// accounts may go: to those of this project, with the account, and to those that are deleted (GS-10).

// bindings goes before the accounts: with an account gone, its grants have another name.
func bindings() row {
	return row{
		name: "iam.bindings", api: resourceManager, base: "v3", after: []string{"container.clusters"},
		read: readBindings, keep: keepBinding, with: accountOf, remove: unbind,
	}
}

const (
	resourceManager = "cloudresourcemanager.googleapis.com"
	// policyAttempts is how often a policy that others change meanwhile is read again.
	policyAttempts = 8
)

// agent is an account of Google's own, by the part before the @: service-42, 42-compute, 42.
var agent = regexp.MustCompile(`^(service-[0-9]+|[0-9]+(-compute)?)@|@gcp-sa-`)

// policy reads the project's policy as it is, with conditions.
func (p *project) policy(ctx context.Context) (item, error) {
	return p.do(ctx, request{
		method: http.MethodPost, api: resourceManager, path: "/v3/projects/" + url.PathEscape(p.account.ID) + ":getIamPolicy",
		body: map[string]any{"options": map[string]any{"requestedPolicyVersion": 3}}, reads: true,
	})
}

func readBindings(ctx context.Context, p *project) ([]item, error) {
	policy, err := p.policy(ctx)
	if err != nil {
		return nil, err
	}
	var all []item
	err = p.grants(policy, func(_ item, member, id string) bool {
		all = append(all, item{"name": id, "member": member})
		return true
	})
	return all, err
}

// grants calls keep for every member of every binding and leaves in the policy those for which it is true.
func (p *project) grants(policy item, keep func(binding item, member, id string) bool) error {
	bindings, err := elements(policy["bindings"])
	if err != nil {
		return err
	}
	var left []any
	for _, b := range bindings {
		members, ok := b["members"].([]any)
		if !ok || b.text("role") == "" {
			return audit.Fail(finding.Malformed, "a binding of the policy has no role or no members")
		}
		var stay []any
		for _, one := range members {
			member, ok := one.(string)
			if !ok {
				return audit.Fail(finding.Malformed, "a member of the policy is no text")
			}
			if keep(b, member, p.grant(b, member)) {
				stay = append(stay, member)
			}
		}
		if b["members"] = stay; len(stay) > 0 {
			left = append(left, map[string]any(b))
		}
	}
	policy["bindings"] = left
	return nil
}

// grant names a member of a binding: by its role, its condition and itself.
func (p *project) grant(binding item, member string) string {
	role := binding.text("role")
	if condition := binding.below("condition"); condition != nil {
		raw, _ := json.Marshal(condition) // it came from JSON
		sum := sha256.Sum256(raw)
		role += "#" + hex.EncodeToString(sum[:4])
	}
	return "projects/" + p.account.ID + "/bindings/" + role + "/" + url.PathEscape(member)
}

// own is the address of a service account that was made in this project, or "".
func (p *project) own(member string) string {
	email, ok := strings.CutPrefix(member, "serviceAccount:")
	domain, name, scoped := strings.Cut(p.account.ID, ":")
	host := p.account.ID
	if scoped {
		host = name + "." + domain
	}
	if !ok || !strings.HasSuffix(email, "@"+host+".iam.gserviceaccount.com") {
		return ""
	}
	return email
}

func keepBinding(p *project, i item) string {
	member := i.text("member")
	dead, isDead := strings.CutPrefix(member, "deleted:serviceAccount:")
	email, isAccount := strings.CutPrefix(member, "serviceAccount:")
	switch {
	case isAccount && p.opts.Self != "" && email == p.opts.Self:
		return ownWork
	case !isDead && !isAccount:
		return "granted to what is no service account"
	case agent.MatchString(dead + email):
		return "granted to an account of Google's"
	case isAccount && p.own(member) == "":
		return "granted to an account of elsewhere"
	case isDead && !strings.Contains(dead, ".iam.gserviceaccount.com?uid="):
		return "granted to an account that comes with a project"
	}
	return ""
}

// accountOf is the account with which a grant goes.
func accountOf(p *project, i item) string {
	if email := p.own(i.text("member")); email != "" {
		return "iam.serviceAccounts projects/" + p.account.ID + "/serviceAccounts/" + email
	}
	return ""
}

// unbind takes one grant out of the policy. What others wrote meanwhile is kept: their change makes ours fail, and the policy is
// read again. One grant is taken out at a time, for they would only make each other fail.
func unbind(ctx context.Context, p *project, id string) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	for attempt := 1; ; attempt++ {
		policy, err := p.policy(ctx)
		if err != nil {
			return err
		}
		found := false
		err = p.grants(policy, func(_ item, _, granted string) bool {
			found = found || granted == id
			return granted != id
		})
		if err != nil || !found {
			return err
		}
		if policy.text("etag") == "" {
			return audit.Fail(finding.Malformed, "the policy has no etag, so that it could be written over somebody's change")
		}
		_, err = p.do(ctx, request{
			method: http.MethodPost, api: resourceManager, path: "/v3/projects/" + url.PathEscape(p.account.ID) + ":setIamPolicy",
			body: map[string]any{"policy": policy, "updateMask": "bindings,etag"},
		})
		if !conflict(err) || attempt == policyAttempts {
			return err
		}
		if err := pace.Sleep(ctx, time.Duration(attempt)*p.opts.Poll); err != nil {
			return err
		}
	}
}

// conflict tells that somebody else has changed the policy, or that it is not known who was first.
func conflict(err error) bool {
	var no *refused
	if errors.As(err, &no) {
		return no.code == http.StatusConflict || no.code == http.StatusPreconditionFailed || no.has("ABORTED")
	}
	return passing(err)
}

// passing tells that nobody knows what became of a request, or that it may be taken another time.
func passing(err error) bool {
	var unread *audit.Unread
	again := []finding.Reason{finding.Unavailable, finding.Throttled, finding.TimedOut}
	return errors.As(err, &unread) && slices.Contains(again, unread.Reason)
}
