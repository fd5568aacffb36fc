// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"sigs.k8s.io/steward/internal/sweep"
)

func zoneRows() []row {
	return []row{
		{name: "route53.zones", global: true, list: listZones, remove: deleteZone},
		{name: "route53.records", global: true, list: listRecords, remove: deleteRecord},
	}
}

func (r *region) route53() *route53.Client { return route53.NewFromConfig(r.sdk("route53")) }

func (r *region) zones(ctx context.Context) ([]types.HostedZone, error) {
	var zones []types.HostedZone
	err := marked(func(m *string) (bool, *string, error) {
		out, err := r.route53().ListHostedZones(ctx, &route53.ListHostedZonesInput{Marker: m})
		if err != nil {
			return false, nil, err
		}
		zones = append(zones, out.HostedZones...)
		return out.IsTruncated, out.NextMarker, nil
	})
	return zones, err
}

// zoneID takes "/hostedzone/" away, which some answers have and no question wants.
func zoneID(z types.HostedZone) string {
	return strings.TrimPrefix(awssdk.ToString(z.Id), "/hostedzone/")
}

func zoneARN(id string) string { return "arn:aws:route53:::hostedzone/" + id }

func listZones(ctx context.Context, r *region) ([]item, error) {
	zones, err := r.zones(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]item, len(zones))
	for i, z := range zones {
		items[i] = item{name: zoneID(z), arn: zoneARN(zoneID(z))}
		if slices.Contains(r.opts.KeepZones, awssdk.ToString(z.Name)) {
			items[i].keep = "zone " + awssdk.ToString(z.Name) + " is configured to stay"
		}
		if z.LinkedService != nil && awssdk.ToString(z.LinkedService.ServicePrincipal) != "" {
			items[i].keep = awssdk.ToString(z.LinkedService.ServicePrincipal) + " manages it"
		}
	}
	for some := range slices.Chunk(items, 10) {
		if err := r.zoneTags(ctx, some); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (r *region) zoneTags(ctx context.Context, some []item) error {
	ids := make([]string, len(some))
	for i := range some {
		ids[i] = some[i].name
	}
	out, err := r.route53().ListTagsForResources(ctx, &route53.ListTagsForResourcesInput{
		ResourceType: types.TagResourceTypeHostedzone, ResourceIds: ids})
	if err != nil {
		return bareAPI(err)
	}
	for _, set := range out.ResourceTagSets {
		i := slices.Index(ids, awssdk.ToString(set.ResourceId))
		if i < 0 {
			continue
		}
		some[i].tags = map[string]string{}
		for _, t := range set.Tags {
			some[i].tags[awssdk.ToString(t.Key)] = awssdk.ToString(t.Value)
		}
	}
	return nil
}

// start is where a list of records goes on.
type start struct{ name, kind, set string }

func (r *region) records(ctx context.Context, zone string, do func([]types.ResourceRecordSet) error) error {
	return paged(func(token string) (string, error) {
		given := &route53.ListResourceRecordSetsInput{HostedZoneId: &zone}
		if part := strings.Split(token, "\x00"); len(part) == 3 {
			given.StartRecordName, given.StartRecordType = &part[0], types.RRType(part[1])
			if part[2] != "" {
				given.StartRecordIdentifier = &part[2]
			}
		}
		out, err := r.route53().ListResourceRecordSets(ctx, given)
		if err != nil {
			return "", bareAPI(err)
		}
		if err := do(out.ResourceRecordSets); err != nil || !out.IsTruncated {
			return "", err
		}
		next := start{awssdk.ToString(out.NextRecordName), string(out.NextRecordType), awssdk.ToString(out.NextRecordIdentifier)}
		return next.name + "\x00" + next.kind + "\x00" + next.set, nil
	})
}

// perChange is how many records one change has. The limit is 1000, and 32,000 characters of values.
const perChange = 100

// deleteZone empties a zone but for what it has by itself, and deletes it.
func deleteZone(ctx context.Context, r *region, o sweep.Object) error {
	zone, err := r.route53().GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &o.Name})
	if err != nil || zone.HostedZone == nil {
		return bareAPI(err)
	}
	apex := awssdk.ToString(zone.HostedZone.Name)
	var doomed []types.ResourceRecordSet
	err = r.records(ctx, o.Name, func(sets []types.ResourceRecordSet) error {
		for _, set := range sets {
			own := awssdk.ToString(set.Name) == apex && (set.Type == types.RRTypeSoa || set.Type == types.RRTypeNs)
			if !own {
				doomed = append(doomed, set)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(doomed, perChange) {
		if err := r.unset(ctx, o.Name, some); err != nil {
			return err
		}
	}
	_, err = r.route53().DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: &o.Name})
	return bareAPI(err)
}

func (r *region) unset(ctx context.Context, zone string, sets []types.ResourceRecordSet) error {
	batch := &types.ChangeBatch{}
	for i := range sets {
		batch.Changes = append(batch.Changes, types.Change{Action: types.ChangeActionDelete, ResourceRecordSet: &sets[i]})
	}
	_, err := r.route53().ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: batch})
	return bareAPI(err)
}

// ofTests matches what cluster tests write into a zone that they share: the addresses of a cluster called e2e-….
func ofTests() *regexp.Regexp {
	return regexp.MustCompile(`^(api|api\.internal|main\.etcd|events\.etcd|kops-controller\.internal)\.e2e-`)
}

// listRecords lists the records of tests in the zones that stay. Everything else in them is not even looked at.
func listRecords(ctx context.Context, r *region) ([]item, error) {
	if len(r.opts.KeepZones) == 0 {
		return nil, nil
	}
	zones, err := r.zones(ctx)
	if err != nil {
		return nil, err
	}
	tests := ofTests()
	var items []item
	for _, z := range zones {
		if !slices.Contains(r.opts.KeepZones, awssdk.ToString(z.Name)) {
			continue
		}
		err := r.records(ctx, zoneID(z), func(sets []types.ResourceRecordSet) error {
			for _, set := range sets {
				if (set.Type == types.RRTypeA || set.Type == types.RRTypeAaaa) && tests.MatchString(awssdk.ToString(set.Name)) {
					name := recordName(zoneID(z), set)
					items = append(items, item{name: name, arn: zoneARN(strings.ReplaceAll(name, " ", "/"))})
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

// recordName is "ZONE NAME TYPE SET". Names in answers have their spaces escaped.
func recordName(zone string, set types.ResourceRecordSet) string {
	return strings.Join([]string{zone, awssdk.ToString(set.Name), string(set.Type), awssdk.ToString(set.SetIdentifier)}, " ")
}

// deleteRecord looks the record up again, because a deletion has to repeat it whole.
func deleteRecord(ctx context.Context, r *region, o sweep.Object) error {
	part := strings.SplitN(o.Name, " ", 4)
	if len(part) != 4 {
		return fmt.Errorf("%q names no record", o.Name)
	}
	given := &route53.ListResourceRecordSetsInput{
		HostedZoneId: &part[0], StartRecordName: &part[1], StartRecordType: types.RRType(part[2]), MaxItems: awssdk.Int32(1)}
	if part[3] != "" {
		given.StartRecordIdentifier = &part[3]
	}
	out, err := r.route53().ListResourceRecordSets(ctx, given)
	if err != nil {
		return bareAPI(err)
	}
	if len(out.ResourceRecordSets) == 0 || recordName(part[0], out.ResourceRecordSets[0]) != o.Name {
		return nil // gone
	}
	return r.unset(ctx, part[0], out.ResourceRecordSets[:1])
}
