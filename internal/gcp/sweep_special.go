// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/pace"
)

// What stays, because it came with the project and comes back with no test.

func keepNetwork(_ *project, i item) string {
	if i.text("name") == "default" {
		return "the default network"
	}
	return ""
}

// onDefault tells that an item belongs to the default network.
func onDefault(p *project, i item) bool {
	network := i.text("network")
	return strings.HasSuffix(network, "/projects/"+p.account.ID+"/global/networks/default")
}

func keepSubnetwork(p *project, i item) string {
	if onDefault(p, i) && i.text("name") == "default" {
		return "of the default network"
	}
	return ""
}

func keepFirewall(p *project, i item) string {
	if onDefault(p, i) && slices.Contains([]string{"default-allow-icmp", "default-allow-internal", "default-allow-rdp", "default-allow-ssh"}, i.text("name")) {
		return "of the default network"
	}
	return ""
}

// keepRoute leaves what goes with its network, subnetwork or peering and cannot go without.
func keepRoute(p *project, i item) string {
	switch {
	case i.text("nextHopNetwork") != "" || i.text("nextHopPeering") != "" || i.text("nextHopHub") != "":
		return "goes with its network"
	case onDefault(p, i) && strings.HasPrefix(i.text("name"), "default-route-"):
		return "of the default network"
	}
	return ""
}

// ownWork says why the account that sweeps, its keys and its grants stay: without them nothing more would be swept.
const ownWork = "of the account that sweeps"

func keepKey(p *project, i item) string {
	if p.opts.Self != "" && strings.Contains(i.text("name"), "/serviceAccounts/"+p.opts.Self+"/keys/") {
		return ownWork
	}
	return ""
}

func keepServiceAccount(p *project, i item) string {
	if p.opts.Self != "" && i.text("email") == p.opts.Self {
		return ownWork
	}
	switch i.text("email") {
	case p.account.Number + "-compute@developer.gserviceaccount.com", p.account.ID + "@appspot.gserviceaccount.com":
		return "the project's default account"
	}
	return ""
}

func keepLogging(_ *project, i item) string {
	name := i.text("name")
	switch name[strings.LastIndex(name, "/")+1:] {
	case "_Default", "_Required":
		return "every project has it"
	}
	return ""
}

func keepTopic(_ *project, i item) string {
	name := i.text("name")
	if strings.HasPrefix(name[strings.LastIndex(name, "/")+1:], "container-analysis-") {
		return "of Container Analysis"
	}
	return ""
}

func datasetID(p *project, i item) string {
	reference := i.below("datasetReference")
	if reference.text("projectId") != p.account.ID {
		return "projects/" + reference.text("projectId") + "/datasets/" + reference.text("datasetId") // is refused
	}
	return "projects/" + p.account.ID + "/datasets/" + reference.text("datasetId")
}

func responsePolicyID(p *project, i item) string {
	return "projects/" + p.account.ID + "/responsePolicies/" + i.text("responsePolicyName")
}

// unprotectInstance takes the lock of an instance away. The test that set it is over.
func unprotectInstance(ctx context.Context, p *project, id string) error {
	return p.change(ctx, find("compute.instances"), request{
		method: http.MethodPost, path: "/compute/v1/" + escaped(id) + "/setDeletionProtection", query: url.Values{"deletionProtection": {"false"}},
	})
}

func unprotectDatabase(ctx context.Context, p *project, id string) error {
	return p.change(ctx, find("sqladmin.instances"), request{
		method: http.MethodPatch, path: "/v1/" + escaped(id), body: map[string]any{"settings": map[string]any{"deletionProtectionEnabled": false}},
	})
}

// releaseFirewallPolicy takes a policy off its networks.
func releaseFirewallPolicy(ctx context.Context, p *project, id string) error {
	r := find("compute.firewallPolicies")
	policy, err := p.do(ctx, request{method: http.MethodGet, api: r.api, path: "/compute/v1/" + escaped(id)})
	if err != nil {
		return err
	}
	all, err := elements(policy["associations"])
	if err != nil {
		return err
	}
	for _, a := range all {
		err := p.change(ctx, r, request{
			method: http.MethodPost, path: "/compute/v1/" + escaped(id) + "/removeAssociation", query: url.Values{"name": {a.text("name")}},
		})
		if err = deleted(err); err != nil {
			return err
		}
	}
	return nil
}

// peerings are what a network says of its own.
func peerings(_ *project, network item) []item {
	list, _ := network["peerings"].([]any)
	var all []item
	for _, one := range list {
		inner, _ := one.(map[string]any)
		all = append(all, item{"selfLink": network.text("selfLink") + "/peerings/" + item(inner).text("name")})
	}
	return all
}

// removePeering takes an end of a peering off its network. Its id is NETWORK/peerings/NAME.
func removePeering(ctx context.Context, p *project, id string) error {
	network, name, _ := strings.Cut(id, "/peerings/")
	return p.change(ctx, find("compute.peerings"), request{
		method: http.MethodPost, path: "/compute/v1/" + escaped(network) + "/removePeering", body: map[string]string{"name": name},
	})
}

// secondaryRanges are those of a subnetwork that stays. With any other they go.
func secondaryRanges(p *project, subnetwork item) []item {
	if keepSubnetwork(p, subnetwork) == "" {
		return nil
	}
	list, _ := subnetwork["secondaryIpRanges"].([]any)
	var all []item
	for _, one := range list {
		inner, _ := one.(map[string]any)
		all = append(all, item{"selfLink": subnetwork.text("selfLink") + "/secondaryIpRanges/" + item(inner).text("rangeName")})
	}
	return all
}

// removeRange takes one secondary range off its subnetwork. Its id is SUBNETWORK/secondaryIpRanges/NAME.
func removeRange(ctx context.Context, p *project, id string) error {
	r := find("compute.secondaryIpRanges")
	subnetwork, name, _ := strings.Cut(id, "/secondaryIpRanges/")
	p.writing.Lock() // two at once would be refused, by the fingerprint
	defer p.writing.Unlock()
	at := request{method: http.MethodGet, api: r.api, path: "/compute/v1/" + escaped(subnetwork)}
	now, err := p.do(ctx, at)
	if err != nil {
		return err
	}
	ranges, err := elements(now["secondaryIpRanges"])
	if err != nil {
		return err
	}
	ranges = slices.DeleteFunc(ranges, func(i item) bool { return i.text("rangeName") == name })
	at.method = http.MethodPatch
	at.body = map[string]any{"fingerprint": now["fingerprint"], "secondaryIpRanges": append([]item{}, ranges...)}
	return p.change(ctx, r, at)
}

// destroyKeyVersion is all that can be done about a key: keys and key rings stay for ever, and cost nothing.
func destroyKeyVersion(ctx context.Context, p *project, id string) error {
	return p.change(ctx, find("cloudkms.cryptoKeyVersions"), request{method: http.MethodPost, path: "/v1/" + escaped(id) + ":destroy", body: struct{}{}})
}

// emptyZone deletes the record sets of a zone, but those without which there is no zone.
func emptyZone(ctx context.Context, p *project, id string) error {
	r := find("dns.managedZones")
	path := "/dns/v1/" + escaped(id)
	zone, err := p.do(ctx, request{method: http.MethodGet, api: r.api, path: path})
	if err != nil {
		return err
	}
	var sets []item
	err = p.pages(ctx, request{method: http.MethodGet, api: r.api, path: path + "/rrsets"}, func(page item) error {
		some, err := elements(page["rrsets"])
		sets = append(sets, some...)
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range sets {
		if s.text("name") == zone.text("dnsName") && (s.text("type") == "SOA" || s.text("type") == "NS") {
			continue
		}
		set := path + "/rrsets/" + url.PathEscape(s.text("name")) + "/" + url.PathEscape(s.text("type"))
		if err := deleted(p.change(ctx, r, request{method: http.MethodDelete, path: set})); err != nil {
			return err
		}
	}
	return nil
}

// releasePolicy takes a DNS policy off its networks.
func releasePolicy(ctx context.Context, p *project, id string) error {
	return p.change(ctx, find("dns.policies"), request{method: http.MethodPatch, path: "/dns/v1/" + escaped(id), body: map[string]any{"networks": []any{}}})
}

// emptyResponsePolicy deletes the rules of a response policy and takes it off its networks.
func emptyResponsePolicy(ctx context.Context, p *project, id string) error {
	r := find("dns.responsePolicies")
	path := "/dns/v1/" + escaped(id)
	if err := p.change(ctx, r, request{method: http.MethodPatch, path: path, body: map[string]any{"networks": []any{}, "gkeClusters": []any{}}}); err != nil {
		return err
	}
	var rules []item
	err := p.pages(ctx, request{method: http.MethodGet, api: r.api, path: path + "/rules"}, func(page item) error {
		some, err := elements(page["responsePolicyRules"])
		rules = append(rules, some...)
		return err
	})
	for _, rule := range rules {
		if err == nil {
			err = deleted(p.change(ctx, r, request{method: http.MethodDelete, path: path + "/rules/" + url.PathEscape(rule.text("ruleName"))}))
		}
	}
	return err
}

// emptyBucket deletes all objects of a bucket in all generations, a page at a time.
func emptyBucket(ctx context.Context, p *project, id string) error {
	r := find("storage.buckets")
	path := "/storage/v1/" + escaped(id) + "/o"
	query := url.Values{"versions": {"true"}, "maxResults": {"1000"}, "fields": {"nextPageToken,items(name,generation)"}}
	return p.pages(ctx, request{method: http.MethodGet, api: r.api, path: path, query: query}, func(page item) error {
		objects, err := elements(page["items"])
		if err != nil {
			return err
		}
		return eachOf(objects, func(o item) error {
			err := p.change(ctx, r, request{
				method: http.MethodDelete, path: path + "/" + url.PathEscape(o.text("name")), query: url.Values{"generation": {o.text("generation")}},
			})
			if err = deleted(err); err != nil {
				return fmt.Errorf("object %.200q: %w", o.text("name"), err)
			}
			return nil
		})
	})
}

// eachOf does something for many items at once.
func eachOf(items []item, do func(item) error) error {
	const parallel = 32
	errs := make([]error, len(items))
	pace.Each(items, parallel, func(n int, i item) { errs[n] = do(i) })
	return errors.Join(errs...)
}
