// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package awsfake

import "strings"

// kind is how one sort of object is spoken of. Names are those of the wire.
type kind struct {
	name    string // "ec2 subnet": the service by which requests are signed, and a word
	list    string // the action that lists it
	at      string // where in the answer: "subnetSet.item"
	id      string // the field that is its id; "" where the list is one of names
	by      string // the field of the list that chooses by id, "" for none
	remove  string // the action that deletes it
	param   string // the field that says which
	missing string // the code where there is none
	held    string // the code where something still holds it
	parent  string // the field that says whose it is, for what is listed as a part
	page    string // "send>got": the fields of the token
	// state is the field that tells how it is: alive, going, and gone; with gone "" it vanishes, without state at once.
	state, alive, going, gone string
}

func splitPath(path string) []string { return strings.Split(path, ".") }

func kindNamed(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

func kinds() []kind {
	var all []kind
	for _, some := range [][]kind{ec2Kinds(), formKinds(), jsonKinds(), restKinds(), iamKinds()} {
		all = append(all, some...)
	}
	return all
}

const held = "DependencyViolation"

// ec2 completes a row of EC2.
func ec2(word, list, at, id, remove, missing string) kind {
	param := strings.ToUpper(id[:1]) + id[1:]
	return kind{
		name: "ec2 " + word, list: list, at: at + ".item", id: id, by: param, remove: remove, param: param,
		missing: missing, held: held, page: "NextToken>nextToken",
	}
}

func (k kind) lives(state, alive, going, gone string) kind {
	k.state, k.alive, k.going, k.gone = state, alive, going, gone
	return k
}

func ec2Kinds() []kind {
	instance := ec2("instance", "DescribeInstances", "reservationSet.item.instancesSet", "instanceId", "TerminateInstances", "InvalidInstanceID.NotFound")
	attachment := ec2("attachment", "DescribeTransitGatewayAttachments", "transitGatewayAttachments", "transitGatewayAttachmentId",
		"DeleteTransitGatewayVpcAttachment", "InvalidTransitGatewayAttachmentID.NotFound").lives("state", "available", "deleting", "deleted")
	attachment.by = "TransitGatewayAttachmentIds"
	tgw := ec2("transit-gateway", "DescribeTransitGateways", "transitGatewaySet", "transitGatewayId", "DeleteTransitGateway",
		"InvalidTransitGatewayID.NotFound").lives("state", "available", "deleting", "deleted")
	tgw.by, tgw.held = "TransitGatewayIds", "IncorrectState"
	volume := ec2("volume", "DescribeVolumes", "volumeSet", "volumeId", "DeleteVolume", "InvalidVolume.NotFound")
	volume.held = "VolumeInUse"
	interfaces := ec2("interface", "DescribeNetworkInterfaces", "networkInterfaceSet", "networkInterfaceId", "DeleteNetworkInterface",
		"InvalidNetworkInterfaceID.NotFound")
	interfaces.held = "InvalidParameterValue"
	address := ec2("address", "DescribeAddresses", "addressesSet", "allocationId", "ReleaseAddress", "InvalidAllocationID.NotFound")
	address.held = "InvalidIPAddress.InUse"
	snapshot := ec2("snapshot", "DescribeSnapshots", "snapshotSet", "snapshotId", "DeleteSnapshot", "InvalidSnapshot.NotFound")
	snapshot.held = "InvalidSnapshot.InUse"
	return []kind{
		instance.lives("instanceState.name", "running", "shutting-down", "terminated"),
		attachment, tgw, volume, interfaces, address, snapshot,
		ec2("spot-request", "DescribeSpotInstanceRequests", "spotInstanceRequestSet", "spotInstanceRequestId", "CancelSpotInstanceRequests",
			"InvalidSpotInstanceRequestID.NotFound").lives("state", "active", "cancelled", "cancelled"),
		ec2("launch-template", "DescribeLaunchTemplates", "launchTemplates", "launchTemplateId", "DeleteLaunchTemplate",
			"InvalidLaunchTemplateId.NotFound"),
		ec2("image", "DescribeImages", "imagesSet", "imageId", "DeregisterImage", "InvalidAMIID.NotFound"),
		ec2("key-pair", "DescribeKeyPairs", "keySet", "keyName", "DeleteKeyPair", "InvalidKeyPair.NotFound"),
		ec2("placement-group", "DescribePlacementGroups", "placementGroupSet", "groupName", "DeletePlacementGroup", "InvalidPlacementGroup.Unknown"),
		ec2("endpoint", "DescribeVpcEndpoints", "vpcEndpointSet", "vpcEndpointId", "DeleteVpcEndpoints", "InvalidVpcEndpointId.NotFound").
			lives("state", "available", "deleting", ""),
		ec2("nat-gateway", "DescribeNatGateways", "natGatewaySet", "natGatewayId", "DeleteNatGateway", "NatGatewayNotFound").
			lives("state", "available", "deleting", "deleted"),
		ec2("subnet", "DescribeSubnets", "subnetSet", "subnetId", "DeleteSubnet", "InvalidSubnetID.NotFound"),
		ec2("security-group", "DescribeSecurityGroups", "securityGroupInfo", "groupId", "DeleteSecurityGroup", "InvalidGroup.NotFound"),
		ec2("internet-gateway", "DescribeInternetGateways", "internetGatewaySet", "internetGatewayId", "DeleteInternetGateway",
			"InvalidInternetGatewayID.NotFound"),
		ec2("egress-gateway", "DescribeEgressOnlyInternetGateways", "egressOnlyInternetGatewaySet", "egressOnlyInternetGatewayId",
			"DeleteEgressOnlyInternetGateway", "InvalidGatewayID.NotFound"),
		ec2("route-table", "DescribeRouteTables", "routeTableSet", "routeTableId", "DeleteRouteTable", "InvalidRouteTableID.NotFound"),
		ec2("acl", "DescribeNetworkAcls", "networkAclSet", "networkAclId", "DeleteNetworkAcl", "InvalidNetworkAclID.NotFound"),
		ec2("peering", "DescribeVpcPeeringConnections", "vpcPeeringConnectionSet", "vpcPeeringConnectionId", "DeleteVpcPeeringConnection",
			"InvalidVpcPeeringConnectionID.NotFound").lives("status.code", "active", "deleting", "deleted"),
		ec2("vpn-connection", "DescribeVpnConnections", "vpnConnectionSet", "vpnConnectionId", "DeleteVpnConnection",
			"InvalidVpnConnectionID.NotFound").lives("state", "available", "deleting", "deleted"),
		ec2("vpn-gateway", "DescribeVpnGateways", "vpnGatewaySet", "vpnGatewayId", "DeleteVpnGateway", "InvalidVpnGatewayID.NotFound"),
		ec2("customer-gateway", "DescribeCustomerGateways", "customerGatewaySet", "customerGatewayId", "DeleteCustomerGateway",
			"InvalidCustomerGatewayID.NotFound"),
		ec2("vpc", "DescribeVpcs", "vpcSet", "vpcId", "DeleteVpc", "InvalidVpcID.NotFound"),
		ec2("dhcp-options", "DescribeDhcpOptions", "dhcpOptionsSet", "dhcpOptionsId", "DeleteDhcpOptions", "InvalidDhcpOptionID.NotFound"),
	}
}

// formKinds are those of the other services that take a form and answer XML.
func formKinds() []kind {
	marker := "Marker>NextMarker"
	rds := func(word, things, thing, missing string) kind {
		id := thing + "Identifier"
		return kind{
			name: "rds " + word, list: "Describe" + things, at: things + "." + thing, id: id, by: id, remove: "Delete" + thing, param: id,
			missing: missing, held: "InvalidDBInstanceState", page: "Marker>Marker",
		}
	}
	subnets := rds("subnet-group", "DBSubnetGroups", "DBSubnetGroup", "DBSubnetGroupNotFoundFault")
	subnets.id, subnets.by, subnets.param, subnets.held = "DBSubnetGroupName", "DBSubnetGroupName", "DBSubnetGroupName",
		"InvalidDBSubnetGroupStateFault"
	cache := func(word, things, thing, id, missing string) kind {
		return kind{
			name: "elasticache " + word, list: "Describe" + things, at: things + "." + thing, id: id, by: id, remove: "Delete" + thing,
			param: id, missing: missing, held: "CacheSubnetGroupInUse", page: "Marker>Marker",
		}
	}
	return []kind{
		kind{
			name: "cloudformation stack", list: "DescribeStacks", at: "Stacks.member", id: "StackId", by: "StackName", remove: "DeleteStack",
			param: "StackName", missing: "ValidationError", held: "ValidationError", page: "NextToken>NextToken",
		}.lives("StackStatus", "CREATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"),
		// The two generations of load balancers sign alike; the version in the form tells them apart (see request).
		{
			name: "elb balancer", list: "DescribeLoadBalancers", at: "LoadBalancerDescriptions.member", id: "LoadBalancerName",
			by: "LoadBalancerNames", remove: "DeleteLoadBalancer", param: "LoadBalancerName", missing: "LoadBalancerNotFound", page: marker,
		},
		{
			name: "elasticloadbalancing balancer", list: "DescribeLoadBalancers", at: "LoadBalancers.member", id: "LoadBalancerArn",
			by: "LoadBalancerArns", remove: "DeleteLoadBalancer", param: "LoadBalancerArn", missing: "LoadBalancerNotFound", held: "ResourceInUse",
			page: marker,
		},
		{
			name: "elasticloadbalancing target-group", list: "DescribeTargetGroups", at: "TargetGroups.member", id: "TargetGroupArn",
			by: "TargetGroupArns", remove: "DeleteTargetGroup", param: "TargetGroupArn", missing: "TargetGroupNotFound", held: "ResourceInUse",
			page: marker,
		},
		kind{
			name: "autoscaling group", list: "DescribeAutoScalingGroups", at: "AutoScalingGroups.member", id: "AutoScalingGroupName",
			by: "AutoScalingGroupNames", remove: "DeleteAutoScalingGroup", param: "AutoScalingGroupName", missing: "ValidationError",
			held: "ResourceInUse", page: "NextToken>NextToken",
		}.lives("Status", "", "Delete in progress", ""),
		{
			name: "autoscaling launch-configuration", list: "DescribeLaunchConfigurations", at: "LaunchConfigurations.member",
			id: "LaunchConfigurationName", by: "LaunchConfigurationNames", remove: "DeleteLaunchConfiguration", param: "LaunchConfigurationName",
			missing: "ValidationError", held: "ResourceInUse", page: "NextToken>NextToken",
		},
		rds("instance", "DBInstances", "DBInstance", "DBInstanceNotFound").lives("DBInstanceStatus", "available", "deleting", ""),
		rds("cluster", "DBClusters", "DBCluster", "DBClusterNotFoundFault").lives("Status", "available", "deleting", ""),
		rds("snapshot", "DBSnapshots", "DBSnapshot", "DBSnapshotNotFound"),
		rds("cluster-snapshot", "DBClusterSnapshots", "DBClusterSnapshot", "DBClusterSnapshotNotFoundFault"),
		subnets,
		cache("replication-group", "ReplicationGroups", "ReplicationGroup", "ReplicationGroupId", "ReplicationGroupNotFoundFault").
			lives("Status", "available", "deleting", ""),
		cache("cluster", "CacheClusters", "CacheCluster", "CacheClusterId", "CacheClusterNotFound").
			lives("CacheClusterStatus", "available", "deleting", ""),
		cache("subnet-group", "CacheSubnetGroups", "CacheSubnetGroup", "CacheSubnetGroupName", "CacheSubnetGroupNotFoundFault"),
	}
}

func jsonKinds() []kind {
	lower, upper, marker := "nextToken>nextToken", "NextToken>NextToken", "Marker>NextMarker"
	return []kind{
		{
			name: "sqs queue", list: "ListQueues", at: "QueueUrls", remove: "DeleteQueue", param: "QueueUrl",
			missing: "com.amazonaws.sqs#QueueDoesNotExist", page: upper,
		},
		{
			name: "events rule", list: "ListRules", at: "Rules", id: "Name", remove: "DeleteRule", param: "Name",
			missing: "ResourceNotFoundException", held: "ValidationException", page: upper,
		},
		{
			name: "events target", list: "ListTargetsByRule", at: "Targets", id: "Id", remove: "RemoveTargets", param: "Ids",
			missing: "ResourceNotFoundException", parent: "Rule", page: upper,
		},
		{
			name: "ecr repository", list: "DescribeRepositories", at: "repositories", id: "repositoryName", remove: "DeleteRepository",
			param: "repositoryName", missing: "RepositoryNotFoundException", held: "RepositoryNotEmptyException", page: lower,
		},
		{
			name: "ecs cluster", list: "ListClusters", at: "clusterArns", remove: "DeleteCluster", param: "cluster",
			missing: "ClusterNotFoundException", held: "ClusterContainsServicesException", page: lower,
		},
		{
			name: "ecs service", list: "ListServices", at: "serviceArns", remove: "DeleteService", param: "service",
			missing: "ServiceNotFoundException", parent: "cluster", page: lower,
		},
		{
			name: "ecs task", list: "ListTasks", at: "taskArns", remove: "StopTask", param: "task", missing: "InvalidParameterException",
			parent: "cluster", page: lower,
		},
		{
			name: "ecs machine", list: "ListContainerInstances", at: "containerInstanceArns", remove: "DeregisterContainerInstance",
			param: "containerInstance", missing: "InvalidParameterException", parent: "cluster", page: lower,
		},
		{
			name: "logs group", list: "DescribeLogGroups", at: "logGroups", id: "logGroupName", remove: "DeleteLogGroup", param: "logGroupName",
			missing: "ResourceNotFoundException", page: lower,
		},
		kind{
			name: "kms key", list: "ListKeys", at: "Keys", id: "KeyId", remove: "ScheduleKeyDeletion", param: "KeyId",
			missing: "NotFoundException", held: "KMSInvalidStateException", page: marker,
		}.lives("KeyState", "Enabled", "PendingDeletion", "PendingDeletion"),
		{
			name: "kms alias", list: "ListAliases", at: "Aliases", id: "AliasName", remove: "DeleteAlias", param: "AliasName",
			missing: "NotFoundException", parent: "KeyId", page: marker,
		},
		{
			name: "secretsmanager secret", list: "ListSecrets", at: "SecretList", id: "ARN", remove: "DeleteSecret", param: "SecretId",
			missing: "ResourceNotFoundException", held: "InvalidRequestException", page: upper,
		},
	}
}

// restKinds have plain paths; {x} in a path is a field like any other.
func restKinds() []kind {
	eks, marker := "nextToken>nextToken", "Marker>NextMarker"
	return []kind{
		kind{
			name: "eks cluster", list: "GET /clusters", at: "clusters", remove: "DELETE /clusters/{name}", param: "name",
			missing: "ResourceNotFoundException", held: "ResourceInUseException", page: eks,
		}.lives("status", "ACTIVE", "DELETING", ""),
		kind{
			name: "eks nodegroup", list: "GET /clusters/{name}/node-groups", at: "nodegroups", parent: "name", page: eks,
			remove: "DELETE /clusters/{name}/node-groups/{group}", param: "group", missing: "ResourceNotFoundException",
		}.lives("status", "ACTIVE", "DELETING", ""),
		{
			name: "eks profile", list: "GET /clusters/{name}/fargate-profiles", at: "fargateProfileNames", parent: "name", page: eks,
			remove: "DELETE /clusters/{name}/fargate-profiles/{profile}", param: "profile", missing: "ResourceNotFoundException",
		},
		kind{
			name: "elasticfilesystem file-system", list: "GET /2015-02-01/file-systems", at: "FileSystems", id: "FileSystemId", by: "FileSystemId",
			remove: "DELETE /2015-02-01/file-systems/{id}", param: "id", missing: "FileSystemNotFound", held: "FileSystemInUse", page: marker,
		}.lives("LifeCycleState", "available", "deleting", ""),
		{
			name: "elasticfilesystem mount-target", list: "GET /2015-02-01/mount-targets", at: "MountTargets", id: "MountTargetId",
			parent: "FileSystemId", remove: "DELETE /2015-02-01/mount-targets/{id}", param: "id", missing: "MountTargetNotFound", page: marker,
		},
		{
			name: "lambda function", list: "GET /2015-03-31/functions/", at: "Functions", id: "FunctionName",
			remove: "DELETE /2015-03-31/functions/{name}", param: "name", missing: "ResourceNotFoundException", page: marker,
		},
	}
}

func iamKinds() []kind {
	whole := func(word, list, at, id, remove, param string) kind {
		return kind{
			name: "iam " + word, list: list, at: at + ".member", id: id, remove: remove, param: param,
			missing: "NoSuchEntity", held: "DeleteConflict", page: "Marker>Marker",
		}
	}
	part := func(word, list, at, id, remove, param, parent string) kind {
		k := whole(word, list, at, id, remove, param)
		k.parent = parent
		return k
	}
	return []kind{
		whole("user", "ListUsers", "Users", "UserName", "DeleteUser", "UserName"),
		whole("group", "ListGroups", "Groups", "GroupName", "DeleteGroup", "GroupName"),
		whole("role", "ListRoles", "Roles", "RoleName", "DeleteRole", "RoleName"),
		whole("policy", "ListPolicies", "Policies", "Arn", "DeletePolicy", "PolicyArn"),
		whole("profile", "ListInstanceProfiles", "InstanceProfiles", "InstanceProfileName", "DeleteInstanceProfile", "InstanceProfileName"),
		whole("provider", "ListOpenIDConnectProviders", "OpenIDConnectProviderList", "Arn", "DeleteOpenIDConnectProvider",
			"OpenIDConnectProviderArn"),
		part("access-key", "ListAccessKeys", "AccessKeyMetadata", "AccessKeyId", "DeleteAccessKey", "AccessKeyId", "UserName"),
		part("certificate", "ListSigningCertificates", "Certificates", "CertificateId", "DeleteSigningCertificate", "CertificateId", "UserName"),
		part("ssh-key", "ListSSHPublicKeys", "SSHPublicKeys", "SSHPublicKeyId", "DeleteSSHPublicKey", "SSHPublicKeyId", "UserName"),
		part("credential", "ListServiceSpecificCredentials", "ServiceSpecificCredentials", "ServiceSpecificCredentialId",
			"DeleteServiceSpecificCredential", "ServiceSpecificCredentialId", "UserName"),
		part("mfa", "ListMFADevices", "MFADevices", "SerialNumber", "DeactivateMFADevice", "SerialNumber", "UserName"),
		part("membership", "ListGroupsForUser", "Groups", "GroupName", "RemoveUserFromGroup", "GroupName", "UserName"),
		part("user-inline", "ListUserPolicies", "PolicyNames", "", "DeleteUserPolicy", "PolicyName", "UserName"),
		part("user-attached", "ListAttachedUserPolicies", "AttachedPolicies", "PolicyArn", "DetachUserPolicy", "PolicyArn", "UserName"),
		part("group-inline", "ListGroupPolicies", "PolicyNames", "", "DeleteGroupPolicy", "PolicyName", "GroupName"),
		part("group-attached", "ListAttachedGroupPolicies", "AttachedPolicies", "PolicyArn", "DetachGroupPolicy", "PolicyArn", "GroupName"),
		part("role-inline", "ListRolePolicies", "PolicyNames", "", "DeleteRolePolicy", "PolicyName", "RoleName"),
		part("role-attached", "ListAttachedRolePolicies", "AttachedPolicies", "PolicyArn", "DetachRolePolicy", "PolicyArn", "RoleName"),
		part("profile-role", "ListInstanceProfilesForRole", "InstanceProfiles", "InstanceProfileName", "RemoveRoleFromInstanceProfile",
			"InstanceProfileName", "RoleName"),
		part("version", "ListPolicyVersions", "Versions", "VersionId", "DeletePolicyVersion", "VersionId", "PolicyArn"),
	}
}
