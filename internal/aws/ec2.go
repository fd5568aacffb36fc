// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/steward/internal/sweep"
)

// machineRows are what runs and what it is started from.
func machineRows() []row {
	return []row{
		{
			name: "ec2.spot-requests", after: names("autoscaling.groups"),
			list: ec2("DescribeSpotInstanceRequests", "spotInstanceRequestSet", "spotInstanceRequestId", "spot-instances-request/").
				dated("createTime").ending("state", "closed", "cancelled", "failed").list,
			remove: oneOf("CancelSpotInstanceRequests", "SpotInstanceRequestId"),
		},
		{
			name: "ec2.instances", after: names("autoscaling.groups eks.clusters ecs.clusters ec2.spot-requests"),
			list: ec2("DescribeInstances", "reservationSet.item.instancesSet", "instanceId", "instance/").
				dated("launchTime").ending("instanceState.name", "terminated").list,
			remove: sight{"ec2", "DescribeInstances", "InstanceId.", "reservationSet.item.instancesSet.item", "instanceState.name",
				names("terminated"), nil}.then(terminate),
		},
		{
			name: "ec2.launch-templates", after: names("autoscaling.groups eks.clusters"),
			list: ec2("DescribeLaunchTemplates", "launchTemplates", "launchTemplateId", "launch-template/").dated("createTime").
				keeping(keepIf("operator.managed", "true", "a service of AWS manages it")).list,
			remove: byName("ec2", "DeleteLaunchTemplate", "LaunchTemplateId", nil),
		},
		{
			name: "ec2.images", list: ec2("DescribeImages", "imagesSet", "imageId", "image/").dated("creationDate").
				asked(in{"Owner": []string{"self"}}).owned("imageOwnerId").ending("imageState", "deregistered").list,
			remove: byName("ec2", "DeregisterImage", "ImageId", nil),
		},
		{
			name: "ec2.snapshots", after: names("ec2.images"),
			list: ec2("DescribeSnapshots", "snapshotSet", "snapshotId", "snapshot/").dated("startTime").
				asked(in{"Owner": []string{"self"}}).owned("ownerId").list,
			remove: byName("ec2", "DeleteSnapshot", "SnapshotId", nil),
		},
		{
			name: "ec2.volumes", after: names("ec2.instances"),
			list: ec2("DescribeVolumes", "volumeSet", "volumeId", "volume/").dated("createTime attachmentSet.item.attachTime").
				ending("status", "deleted").list,
			remove: sight{"ec2", "DescribeVolumes", "VolumeId.", "volumeSet.item", "status", names("deleted"), nil}.
				then(byName("ec2", "DeleteVolume", "VolumeId", nil)),
		},
		{
			name: "ec2.key-pairs", list: ec2("DescribeKeyPairs", "keySet", "keyName", "key-pair/").dated("createTime").list,
			remove: byName("ec2", "DeleteKeyPair", "KeyName", nil),
		},
		{
			name: "ec2.placement-groups", after: names("ec2.instances"),
			list:   ec2("DescribePlacementGroups", "placementGroupSet", "groupName", "placement-group/").ending("state", "deleted").list,
			remove: byName("ec2", "DeletePlacementGroup", "GroupName", nil),
		},
	}
}

// networkRows are in the order of what has to be gone before what: whoever stands in a subnet, gateways, subnets, VPCs.
func networkRows() []row {
	return append(gatewayRows(),
		row{
			name:  "ec2.subnets",
			after: names(inSubnets + " ec2.network-interfaces ec2.nat-gateways ec2.vpc-endpoints ec2.transit-gateway-attachments"),
			list: ec2("DescribeSubnets", "subnetSet", "subnetId", "subnet/").
				keeping(keepIf("defaultForAz", "true", "it is the default subnet of its zone")).list,
			remove: byName("ec2", "DeleteSubnet", "SubnetId", nil),
		},
		row{
			name: "ec2.security-groups", after: names(inSubnets + " ec2.network-interfaces ec2.vpc-endpoints"),
			list: ec2("DescribeSecurityGroups", "securityGroupInfo", "groupId", "security-group/").
				keeping(keepIf("groupName", "default", "it is the default group of its VPC")).list,
			remove: deleteSecurityGroup,
		},
		row{
			name: "ec2.route-tables", after: names("ec2.subnets ec2.internet-gateways"),
			list: ec2("DescribeRouteTables", "routeTableSet", "routeTableId", "route-table/").
				keeping(func(t tree) string {
					if strings.Contains(strings.Join(t.texts("associationSet.item.main"), " "), "true") {
						return "it is the main table of its VPC and goes with it"
					}
					return ""
				}).list,
			remove: byName("ec2", "DeleteRouteTable", "RouteTableId", nil),
		},
		row{
			name: "ec2.network-acls", after: names("ec2.subnets"),
			list: ec2("DescribeNetworkAcls", "networkAclSet", "networkAclId", "network-acl/").
				keeping(keepIf("default", "true", "it is the default list of its VPC and goes with it")).list,
			remove: byName("ec2", "DeleteNetworkAcl", "NetworkAclId", nil),
		},
		row{
			name: "ec2.vpcs",
			after: names("ec2.subnets ec2.security-groups ec2.route-tables ec2.network-acls ec2.internet-gateways ec2.vpc-endpoints " +
				"ec2.egress-only-internet-gateways ec2.vpc-peering-connections ec2.vpn-gateways ec2.transit-gateway-attachments"),
			list: ec2("DescribeVpcs", "vpcSet", "vpcId", "vpc/").
				keeping(keepIf("isDefault", "true", "it is the default VPC")).list,
			remove: byName("ec2", "DeleteVpc", "VpcId", nil),
		},
		row{
			name: "ec2.dhcp-options", after: names("ec2.vpcs"), list: listDHCPOptions,
			remove: byName("ec2", "DeleteDhcpOptions", "DhcpOptionsId", nil),
		},
	)
}

// inSubnets are the kinds whose objects stand in subnets and hold security groups.
const inSubnets = "ec2.instances elb.load-balancers elbv2.load-balancers eks.clusters ecs.clusters efs.file-systems rds.instances " +
	"rds.clusters elasticache.replication-groups elasticache.clusters lambda.functions"

func gatewayRows() []row {
	return append([]row{
		{
			name: "ec2.vpc-endpoints",
			list: ec2("DescribeVpcEndpoints", "vpcEndpointSet", "vpcEndpointId", "vpc-endpoint/").dated("creationTimestamp").
				ending("state", "deleted", "Deleted").
				keeping(keepIf("requesterManaged", "true", "the service that made it manages it")).list,
			remove: sight{"ec2", "DescribeVpcEndpoints", "VpcEndpointId.", "vpcEndpointSet.item", "state", names("deleted Deleted"), nil}.
				then(oneOf("DeleteVpcEndpoints", "VpcEndpointId")),
		},
		{
			// Before the subnets, the internet gateway and the addresses that they hold.
			name: "ec2.nat-gateways",
			list: ec2("DescribeNatGateways", "natGatewaySet", "natGatewayId", "natgateway/").dated("createTime").ending("state", "deleted").list,
			remove: sight{"ec2", "DescribeNatGateways", "NatGatewayId.", "natGatewaySet.item", "state", names("deleted"), nil}.
				then(byName("ec2", "DeleteNatGateway", "NatGatewayId", nil)),
		},
		{
			name: "ec2.network-interfaces", after: names(inSubnets + " ec2.nat-gateways ec2.vpc-endpoints"),
			// An interface is never detached: what is attached belongs to a machine, and is as young as its attachment.
			list: ec2("DescribeNetworkInterfaces", "networkInterfaceSet", "networkInterfaceId", "network-interface/").
				dated("attachment.attachTime").
				keeping(keepIf("requesterManaged", "true", "the service that made it manages it")).list,
			remove: byName("ec2", "DeleteNetworkInterface", "NetworkInterfaceId", nil),
		},
		{
			name: "ec2.addresses", after: names("ec2.instances ec2.network-interfaces ec2.nat-gateways elbv2.load-balancers"),
			list: ec2("DescribeAddresses", "addressesSet", "allocationId", "elastic-ip/").
				keeping(func(t tree) string {
					if by := t.text("serviceManaged"); by != "" && by != "none" {
						return "a service of AWS manages it"
					}
					return ""
				}).list,
			remove: byName("ec2", "ReleaseAddress", "AllocationId", nil),
		},
		{
			name: "ec2.internet-gateways", after: names("ec2.nat-gateways ec2.addresses ec2.network-interfaces"),
			list: listInternetGateways, remove: deleteInternetGateway,
		},
		{
			name: "ec2.egress-only-internet-gateways",
			list: ec2("DescribeEgressOnlyInternetGateways", "egressOnlyInternetGatewaySet", "egressOnlyInternetGatewayId",
				"egress-only-internet-gateway/").list,
			remove: byName("ec2", "DeleteEgressOnlyInternetGateway", "EgressOnlyInternetGatewayId", nil),
		},
	}, tunnelRows()...)
}

// tunnelRows lead to other networks.
func tunnelRows() []row {
	attachment := sight{"ec2", "DescribeTransitGatewayAttachments", "TransitGatewayAttachmentIds.", "transitGatewayAttachments.item",
		"state", names("deleted rejected failed"), nil}
	return []row{
		{
			name: "ec2.vpc-peering-connections",
			list: ec2("DescribeVpcPeeringConnections", "vpcPeeringConnectionSet", "vpcPeeringConnectionId", "vpc-peering-connection/").
				ending("status.code", "deleted", "rejected", "failed", "expired").list,
			remove: sight{"ec2", "DescribeVpcPeeringConnections", "VpcPeeringConnectionId.", "vpcPeeringConnectionSet.item", "status.code",
				names("deleted rejected failed expired"), nil}.
				then(byName("ec2", "DeleteVpcPeeringConnection", "VpcPeeringConnectionId", nil)),
		},
		{
			name: "ec2.transit-gateway-attachments", after: names("ec2.vpn-connections"),
			list: ec2("DescribeTransitGatewayAttachments", "transitGatewayAttachments", "transitGatewayAttachmentId",
				"transit-gateway-attachment/").dated("creationTime").ending("state", "deleted", "rejected", "failed").
				keeping(keepIf("resourceType", "vpn", "it goes with its VPN connection")).list,
			remove: attachment.then(func(ctx context.Context, r *region, o sweep.Object) error {
				return deleteAttachment(ctx, r, attachment, o)
			}),
		},
		{
			name: "ec2.transit-gateways", after: names("ec2.transit-gateway-attachments ec2.vpn-connections"),
			list: ec2("DescribeTransitGateways", "transitGatewaySet", "transitGatewayId", "transit-gateway/").dated("creationTime").
				ending("state", "deleted").owned("ownerId").list,
			remove: sight{"ec2", "DescribeTransitGateways", "TransitGatewayIds.", "transitGatewaySet.item", "state", names("deleted"), nil}.
				then(byName("ec2", "DeleteTransitGateway", "TransitGatewayId", nil)),
		},
		{
			name: "ec2.vpn-connections",
			list: ec2("DescribeVpnConnections", "vpnConnectionSet", "vpnConnectionId", "vpn-connection/").ending("state", "deleted").list,
			remove: sight{"ec2", "DescribeVpnConnections", "VpnConnectionId.", "vpnConnectionSet.item", "state", names("deleted"), nil}.
				then(byName("ec2", "DeleteVpnConnection", "VpnConnectionId", nil)),
		},
		{
			name: "ec2.vpn-gateways", after: names("ec2.vpn-connections"),
			list:   ec2("DescribeVpnGateways", "vpnGatewaySet", "vpnGatewayId", "vpn-gateway/").ending("state", "deleted").list,
			remove: deleteVPNGateway,
		},
		{
			name: "ec2.customer-gateways", after: names("ec2.vpn-connections"),
			list:   ec2("DescribeCustomerGateways", "customerGatewaySet", "customerGatewayId", "customer-gateway/").ending("state", "deleted").list,
			remove: byName("ec2", "DeleteCustomerGateway", "CustomerGatewayId", nil),
		},
	}
}

// names splits a list in the table.
func names(list string) []string { return strings.Fields(list) }

// oneOf deletes with a call that takes a list and answers for each of it.
func oneOf(action, field string) func(context.Context, *region, sweep.Object) error {
	return func(ctx context.Context, r *region, o sweep.Object) error {
		t, err := r.call(ctx, "ec2", action, in{field: []string{o.Name}})
		if err != nil {
			return err
		}
		return failures(t, "unsuccessful.item", "error.code", "error.message")
	}
}

// terminate ends an instance in any state, and turns its protection off where that is on.
func terminate(ctx context.Context, r *region, o sweep.Object) error {
	return refusedWith("OperationNotPermitted", func() error {
		_, err := r.call(ctx, "ec2", "TerminateInstances", in{"InstanceId": []string{o.Name}})
		return err
	}, func() error {
		_, err := r.call(ctx, "ec2", "ModifyInstanceAttribute",
			in{"InstanceId": o.Name, "DisableApiTermination": in{"Value": "false"}})
		return err
	})
}

func filter(name, value string) []in { return []in{{"Name": name, "Value": []string{value}}} }

// deleteSecurityGroup first revokes what others say about the group: two that name each other could never go otherwise.
// Where an interface still has the group nothing is revoked, since somebody may be working behind it.
func deleteSecurityGroup(ctx context.Context, r *region, o sweep.Object) error {
	t, err := r.call(ctx, "ec2", "DescribeNetworkInterfaces", in{"Filter": filter("group-id", o.Name)})
	if err != nil {
		return err
	}
	if held := t.text("networkInterfaceSet.item.networkInterfaceId"); held != "" {
		return fmt.Errorf("%w: interface %s has it", sweep.ErrInUse, held)
	}
	for _, side := range []struct{ filter, permissions, revoke string }{
		{"ip-permission.group-id", "ipPermissions", "RevokeSecurityGroupIngress"},
		{"egress.ip-permission.group-id", "ipPermissionsEgress", "RevokeSecurityGroupEgress"},
	} {
		groups := ec2("DescribeSecurityGroups", "", "", "").asked(in{"Filter": filter(side.filter, o.Name)}).call
		err := r.pages(ctx, groups, func(t tree) error {
			for _, group := range t.all("securityGroupInfo.item") {
				if err := r.revoke(ctx, group, side.permissions, side.revoke, o.Name); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	_, err = r.call(ctx, "ec2", "DeleteSecurityGroup", in{"GroupId": o.Name})
	return err
}

// revoke takes out of one group exactly the rules that name another.
func (r *region) revoke(ctx context.Context, group tree, permissions, action, named string) error {
	for _, rule := range group.all(permissions + ".item") {
		for _, pair := range rule.all("groups.item") {
			if pair.text("groupId") != named {
				continue
			}
			permission := in{"IpProtocol": rule.text("ipProtocol"), "Groups": []in{{"GroupId": named}}}
			if owner := pair.text("userId"); owner != "" {
				permission["Groups"] = []in{{"GroupId": named, "UserId": owner}}
			}
			for field, path := range map[string]string{"FromPort": "fromPort", "ToPort": "toPort"} {
				if port := rule.text(path); port != "" {
					permission[field] = port
				}
			}
			_, err := r.call(ctx, "ec2", action, in{"GroupId": group.text("groupId"), "IpPermissions": []in{permission}})
			if err != nil && !gone(err) {
				return err
			}
		}
	}
	return nil
}

func listInternetGateways(ctx context.Context, r *region) ([]item, error) {
	vpcs, err := r.call(ctx, "ec2", "DescribeVpcs", in{"Filter": filter("is-default", "true")})
	if err != nil {
		return nil, err
	}
	usual := vpcs.text("vpcSet.item.vpcId")
	return ec2("DescribeInternetGateways", "internetGatewaySet", "internetGatewayId", "internet-gateway/").keeping(func(t tree) string {
		if usual != "" && t.text("attachmentSet.item.vpcId") == usual {
			return "it is that of the default VPC"
		}
		return ""
	}).list(ctx, r)
}

func deleteInternetGateway(ctx context.Context, r *region, o sweep.Object) error {
	t, err := r.call(ctx, "ec2", "DescribeInternetGateways", in{"InternetGatewayId": []string{o.Name}})
	if err != nil {
		return err
	}
	for _, vpc := range t.texts("internetGatewaySet.item.attachmentSet.item.vpcId") {
		given := in{"InternetGatewayId": o.Name, "VpcId": vpc}
		if _, err := r.call(ctx, "ec2", "DetachInternetGateway", given); err != nil && codeOf(err) != "Gateway.NotAttached" {
			return err
		}
	}
	_, err = r.call(ctx, "ec2", "DeleteInternetGateway", in{"InternetGatewayId": o.Name})
	return err
}

// deleteAttachment has a call for each type of what is attached.
func deleteAttachment(ctx context.Context, r *region, s sight, o sweep.Object) error {
	t, err := r.see(ctx, s, o.Name)
	if err != nil {
		return err
	}
	action := "DeleteTransitGatewayVpcAttachment"
	if t.text(s.at+".resourceType") == "peering" {
		action = "DeleteTransitGatewayPeeringAttachment"
	}
	_, err = r.call(ctx, "ec2", action, in{"TransitGatewayAttachmentId": o.Name})
	return err
}

func deleteVPNGateway(ctx context.Context, r *region, o sweep.Object) error {
	s := sight{"ec2", "DescribeVpnGateways", "VpnGatewayId.", "vpnGatewaySet.item.attachments.item", "state", names("detached"), nil}
	t, err := r.see(ctx, s, o.Name)
	if err != nil {
		return err
	}
	for _, at := range t.all(s.at) {
		if at.text("state") == "detached" {
			continue
		}
		if _, err := r.call(ctx, "ec2", "DetachVpnGateway", in{"VpnGatewayId": o.Name, "VpcId": at.text("vpcId")}); err != nil {
			return err
		}
	}
	if err := r.vanishes(ctx, s, o.Name); err != nil {
		return err
	}
	_, err = r.call(ctx, "ec2", "DeleteVpnGateway", in{"VpnGatewayId": o.Name})
	return err
}

// listDHCPOptions keeps the set that AWS made for the default VPC. It has no mark of its own, only its looks.
func listDHCPOptions(ctx context.Context, r *region) ([]item, error) {
	domain := r.name + ".compute.internal"
	if r.name == "us-east-1" {
		domain = "ec2.internal"
	}
	return ec2("DescribeDhcpOptions", "dhcpOptionsSet", "dhcpOptionsId", "dhcp-options/").keeping(func(t tree) string {
		values := map[string]string{}
		for _, option := range t.all("dhcpConfigurationSet.item") {
			values[option.text("key")] = strings.Join(option.texts("valueSet.item.value"), " ")
		}
		if len(values) == 2 && values["domain-name"] == domain && values["domain-name-servers"] == "AmazonProvidedDNS" && len(t.tags("tagSet.item")) == 0 {
			return "it looks like the default set of options"
		}
		return ""
	}).list(ctx, r)
}
