// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/awsfake"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/sweep"
)

const (
	account = "111122223333"
	old     = "2026-01-01T00:00:00Z"
)

func now() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) }

type fields = map[string]any

func thing(kind, id string, holds ...string) awsfake.Object {
	return awsfake.Object{Kind: kind, ID: id, Holds: holds}
}

func (w *world) with(o awsfake.Object, f fields) awsfake.Object {
	o.Fields = f
	return o
}

// world builds the account that a test leaves behind.
type world struct {
	t      *testing.T
	fake   *awsfake.Server
	region string
}

func (w *world) add(objects ...awsfake.Object) {
	w.t.Helper()
	for i := range objects {
		objects[i].Region = w.region
	}
	if err := w.fake.Add(objects...); err != nil {
		w.t.Fatal(err)
	}
}

// usual is what AWS itself puts into a region, and what nobody may delete.
func (w *world) usual() {
	domain := w.region + ".compute.internal"
	if w.region == "us-east-1" {
		domain = "ec2.internal"
	}
	option := func(key, value string) fields {
		return fields{"key": key, "valueSet": fields{"item": []any{fields{"value": value}}}}
	}
	w.add(
		w.with(thing("ec2 vpc", "vpc-default", "dopt-default"), fields{"isDefault": true}),
		w.with(thing("ec2 subnet", "subnet-default", "vpc-default"), fields{"defaultForAz": true}),
		w.with(thing("ec2 security-group", "sg-default", "vpc-default"), fields{"groupName": "default"}),
		w.with(thing("ec2 internet-gateway", "igw-default", "vpc-default"), fields{"attachmentSet": fields{"item": []any{fields{"vpcId": "vpc-default"}}}}),
		w.with(thing("ec2 route-table", "rtb-default"), fields{"associationSet": fields{"item": []any{fields{"main": true}}}}),
		w.with(thing("ec2 acl", "acl-default"), fields{"default": true}),
		w.with(thing("ec2 dhcp-options", "dopt-default"), fields{"dhcpConfigurationSet": fields{"item": []any{
			option("domain-name", domain), option("domain-name-servers", "AmazonProvidedDNS")}}}),
		w.with(thing("kms key", "key-aws"), fields{"KeyManager": "AWS"}),
		w.with(thing("elasticache subnet-group", "default"), fields{"ARN": w.arn("elasticache", "subnetgroup:default")}),
		w.with(thing("ec2 snapshot", "snap-shared"), fields{"ownerId": "999999999999"}),
		w.with(thing("events rule", "managed"), fields{"Arn": w.arn("events", "rule/managed"), "ManagedBy": "eks.amazonaws.com"}),
	)
}

func (w *world) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + w.region + ":" + account + ":" + resource
}

// cluster is a network with everything in it.
func (w *world) cluster() {
	w.add(
		thing("ec2 vpc", "vpc-1", "dopt-1"), thing("ec2 dhcp-options", "dopt-1"),
		thing("ec2 subnet", "subnet-1", "vpc-1"), thing("ec2 acl", "acl-1", "vpc-1"),
		thing("ec2 route-table", "rtb-1", "vpc-1"),
		w.with(thing("ec2 security-group", "sg-1", "vpc-1", "sg-2"), fields{"ipPermissions": awsfake.Permission("sg-2")}),
		w.with(thing("ec2 security-group", "sg-2", "vpc-1", "sg-1"), fields{"ipPermissionsEgress": awsfake.Permission("sg-1")}),
		w.with(thing("ec2 internet-gateway", "igw-1", "vpc-1"), fields{"attachmentSet": fields{"item": []any{fields{"vpcId": "vpc-1"}}}}),
		thing("ec2 egress-gateway", "eigw-1", "vpc-1"), thing("ec2 endpoint", "vpce-1", "vpc-1", "subnet-1", "sg-1"),
		w.with(thing("ec2 nat-gateway", "nat-1", "subnet-1", "eipalloc-1", "vpc-1"), fields{"createTime": old}),
		thing("ec2 address", "eipalloc-1", "igw-1"),
		w.with(thing("ec2 interface", "eni-1", "subnet-1", "sg-1"), fields{"attachment": fields{"attachTime": old}}),
		thing("ec2 peering", "pcx-1", "vpc-1"), thing("ec2 attachment", "tgw-attach-1", "tgw-1", "vpc-1", "subnet-1"),
		w.with(thing("ec2 transit-gateway", "tgw-1"), fields{"ownerId": account}),
		thing("ec2 vpn-connection", "vpn-1", "vgw-1", "cgw-1"), thing("ec2 customer-gateway", "cgw-1"),
		w.with(thing("ec2 vpn-gateway", "vgw-1", "vpc-1"), fields{"attachments": fields{"item": []any{fields{"vpcId": "vpc-1", "state": "attached"}}}}),
		w.with(thing("ec2 instance", "i-1", "subnet-1", "sg-1", "vol-1", "eni-1", "pg-1"), fields{"launchTime": old, "protected": true}),
		w.with(thing("ec2 instance", "i-stopped", "subnet-1", "sg-2"), fields{"launchTime": old, "instanceState": fields{"name": "stopped"}}),
		thing("ec2 spot-request", "sir-1"), thing("ec2 placement-group", "pg-1"),
		w.with(thing("ec2 volume", "vol-1"), fields{"createTime": old}), thing("ec2 image", "ami-1", "snap-1"),
		thing("ec2 snapshot", "snap-1"), thing("ec2 key-pair", "key-1"), thing("ec2 launch-template", "lt-1"),
		w.with(thing("autoscaling group", "asg-1", "lc-1", "lt-1", "subnet-1"), fields{"AutoScalingGroupARN": w.arn("autoscaling", "group/asg-1")}),
		w.with(thing("autoscaling launch-configuration", "lc-1"), fields{"LaunchConfigurationARN": w.arn("autoscaling", "lc/lc-1")}),
		thing("elb balancer", "classic", "subnet-1", "sg-1"),
		w.with(thing("elasticloadbalancing balancer", w.arn("elasticloadbalancing", "loadbalancer/net/one/1"), "subnet-1",
			w.arn("elasticloadbalancing", "targetgroup/one/1")), fields{"LoadBalancerName": "one", "CreatedTime": old, "protected": true}),
		w.with(thing("elasticloadbalancing target-group", w.arn("elasticloadbalancing", "targetgroup/one/1"), "vpc-1"), fields{"TargetGroupName": "one"}),
		thing("eks cluster", "k8s", "subnet-1", "sg-1"),
		awsfake.Object{Kind: "eks nodegroup", ID: "nodes", Parent: "k8s", Holds: []string{"k8s", "subnet-1"}},
		awsfake.Object{Kind: "eks profile", ID: "fargate", Parent: "k8s", Holds: []string{"k8s"}},
		w.with(thing("cloudformation stack", w.arn("cloudformation", "stack/s/1")), fields{"StackName": "s", "CreationTime": old,
			"EnableTerminationProtection": true, "protected": true}),
	)
}

// stores is what needs no network, and what has one of its own.
func (w *world) stores() {
	ecs := w.arn("ecs", "cluster/c")
	w.add(
		thing("sqs queue", "https://sqs."+w.region+".amazonaws.com/"+account+"/jobs"),
		w.with(thing("events rule", "rule"), fields{"Arn": w.arn("events", "rule/rule")}),
		awsfake.Object{Kind: "events target", ID: "t", Parent: "rule", Holds: []string{"rule"}},
		w.with(thing("ecr repository", "images"), fields{"repositoryArn": w.arn("ecr", "repository/images"), "createdAt": 1767225600}),
		thing("ecs cluster", ecs), awsfake.Object{Kind: "ecs service", ID: "svc", Parent: ecs, Holds: []string{ecs}},
		awsfake.Object{Kind: "ecs task", ID: "task", Parent: ecs, Holds: []string{ecs}},
		awsfake.Object{Kind: "ecs machine", ID: "m", Parent: ecs, Holds: []string{ecs}},
		w.with(thing("logs group", "/aws/lambda/f"), fields{"creationTime": 1767225600000}),
		w.with(thing("kms key", "key-1"), fields{"CreationDate": 1767225600}), awsfake.Object{Kind: "kms alias", ID: "alias/a", Parent: "key-1"},
		w.with(thing("secretsmanager secret", w.arn("secretsmanager", "secret:s-1")), fields{"Name": "s"}),
		w.with(thing("lambda function", "f"), fields{"FunctionArn": w.arn("lambda", "function:f"), "LastModified": "2026-01-01T00:00:00.000+0000"}),
		w.with(thing("elasticfilesystem file-system", "fs-1"), fields{"FileSystemArn": w.arn("elasticfilesystem", "file-system/fs-1")}),
		awsfake.Object{Kind: "elasticfilesystem mount-target", ID: "fsmt-1", Parent: "fs-1", Holds: []string{"fs-1"}},
		w.with(thing("rds cluster", "dbc", "dbg"), fields{"DBClusterArn": w.arn("rds", "cluster:dbc"), "protected": true}),
		w.with(thing("rds instance", "db", "dbg", "dbc"), fields{"DBInstanceArn": w.arn("rds", "db:db"), "protected": true}),
		w.with(thing("rds snapshot", "dbs"), fields{"DBSnapshotArn": w.arn("rds", "snapshot:dbs")}),
		w.with(thing("rds cluster-snapshot", "dbcs"), fields{"DBClusterSnapshotArn": w.arn("rds", "cluster-snapshot:dbcs")}),
		w.with(thing("rds subnet-group", "dbg"), fields{"DBSubnetGroupArn": w.arn("rds", "subgrp:dbg")}),
		w.with(thing("elasticache replication-group", "rg", "cg"), fields{"ARN": w.arn("elasticache", "replicationgroup:rg")}),
		w.with(thing("elasticache cluster", "cc", "cg"), fields{"ARN": w.arn("elasticache", "cluster:cc")}),
		w.with(thing("elasticache subnet-group", "cg"), fields{"ARN": w.arn("elasticache", "subnetgroup:cg")}),
	)
}

func identityARN(kind, name string) string {
	return "arn:aws:iam::" + account + ":" + kind + "/" + name
}

func (w *world) identity(kind, word, field, name, path string, holds ...string) awsfake.Object {
	return awsfake.Object{Kind: "iam " + kind, ID: name, Holds: holds, Fields: fields{"Arn": identityARN(word, name), field: name,
		"Path": path, "CreateDate": old}}
}

// identities are a user, a group, a role and a policy of a test, beside those that stay.
func (w *world) identities() {
	w.region = ""
	user, role, policy := "test-user", "test-role", identityARN("policy", "test-policy")
	mine := identityARN("policy", "janitor-policy")
	part := func(kind, id, parent string, holds ...string) awsfake.Object {
		return awsfake.Object{Kind: "iam " + kind, ID: id, Parent: parent, Holds: append(holds, parent)}
	}
	w.add(
		w.identity("user", "user", "UserName", "janitor", "/"), w.identity("user", "user", "UserName", user, "/"),
		w.identity("group", "group", "GroupName", "test-group", "/"),
		w.identity("role", "role", "RoleName", role, "/"),
		w.identity("role", "role", "RoleName", "AWSServiceRoleForEC2Spot", "/aws-service-role/spot.amazonaws.com/"),
		w.identity("role", "role", "RoleName", "OrganizationAccountAccessRole", "/"),
		awsfake.Object{Kind: "iam policy", ID: policy, Fields: fields{"PolicyName": "test-policy", "AttachmentCount": 2, "CreateDate": old}},
		awsfake.Object{Kind: "iam policy", ID: mine, Fields: fields{"PolicyName": "janitor-policy", "AttachmentCount": 1, "CreateDate": old}},
		part("access-key", "AKIATEST", user), part("certificate", "cert", user), part("ssh-key", "ssh", user), part("credential", "git", user),
		part("mfa", identityARN("mfa", "m"), user), part("membership", "test-group", user), part("user-inline", "inline", user),
		part("user-attached", policy, user, policy), part("user-attached", mine, "janitor", mine),
		part("group-inline", "inline", "test-group"), part("role-inline", "inline", role), part("role-attached", policy, role, policy),
		awsfake.Object{Kind: "iam version", ID: "v1", Parent: policy, Fields: fields{"IsDefaultVersion": false}, Holds: []string{policy}},
		w.identity("profile", "instance-profile", "InstanceProfileName", "test-profile", "/"),
		awsfake.Object{Kind: "iam profile-role", ID: "test-profile", Parent: role, Holds: []string{role, "test-profile"}},
		awsfake.Object{Kind: "iam provider", ID: identityARN("oidc-provider", "oidc.example.org"), Tags: map[string]string{"kubernetes.io/cluster/x": "owned"}},
		awsfake.Object{Kind: "iam provider", ID: identityARN("oidc-provider", "way.in.example.org")},
	)
	record := func(name, kind, value string) awsfake.Record {
		return awsfake.Record{Name: name, Type: kind, Value: value}
	}
	w.fake.AddZone(awsfake.Zone{ID: "Z1", Name: "e2e.example.org.", Records: []awsfake.Record{
		record("a.e2e.example.org.", "A", "192.0.2.1"), record("e2e.example.org.", "TXT", `"x"`)}})
	w.fake.AddZone(awsfake.Zone{ID: "Z2", Name: "shared.example.org.", Records: []awsfake.Record{
		record("api.e2e-1.shared.example.org.", "A", "192.0.2.1"), record("www.shared.example.org.", "A", "192.0.2.2"),
		record("api.e2e-1.shared.example.org.", "TXT", `"x"`)}})
	w.bucket("plain", "us-east-1", 3)
	w.bucket("versions", "eu-west-1", 2500)
	w.fake.AddBucket(awsfake.Bucket{Name: "empty", Region: "eu-west-1", Created: old, Tags: map[string]string{"a": "b"}})
}

func (w *world) bucket(name, region string, versions int) {
	b := awsfake.Bucket{Name: name, Region: region, Created: old}
	for i := range versions {
		b.Versions = append(b.Versions, awsfake.Version{Key: fmt.Sprintf("k%05d", i/3), ID: fmt.Sprint(i), Marker: i%3 == 2})
	}
	w.fake.AddBucket(b)
}

// full is an account with everything in every region.
func full(t *testing.T, opts awsfake.Options) *awsfake.Server {
	t.Helper()
	fake := awsfake.New(opts)
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		w := &world{t, fake, region}
		w.usual()
		w.cluster()
		w.stores()
	}
	(&world{t: t, fake: fake}).identities()
	return fake
}

// remains is what has to be left of a full account.
func remains() []string {
	var left []string
	for _, region := range []string{"eu-west-1", "us-east-1"} {
		for _, o := range []string{"ec2 acl %s acl-default", "ec2 dhcp-options %s dopt-default", "ec2 internet-gateway %s igw-default",
			"ec2 route-table %s rtb-default", "ec2 snapshot %s snap-shared", "ec2 security-group %s sg-default", "ec2 subnet %s subnet-default", "ec2 vpc %s vpc-default",
			"elasticache subnet-group %s default", "events rule %s managed", "kms key %s key-aws"} {
			left = append(left, fmt.Sprintf(o, region))
		}
	}
	return append(left, "iam policy  "+identityARN("policy", "janitor-policy"), "iam provider  "+identityARN("oidc-provider", "way.in.example.org"),
		"iam role  AWSServiceRoleForEC2Spot", "iam role  OrganizationAccountAccessRole", "iam user  janitor",
		"iam user-attached  "+identityARN("policy", "janitor-policy"), "route53 zone  Z2")
}

func client(t *testing.T, fake *awsfake.Server, change ...func(*Options)) *Client {
	t.Helper()
	opts := Options{
		AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret.New("example"), Endpoint: awsfake.Start(t, fake), Rate: 1e6,
		Backoff: time.Millisecond, Poll: time.Millisecond, KeepZones: []string{"shared.example.org."},
	}
	for _, c := range change {
		c(&opts)
	}
	c, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// clean sweeps an account as the janitor does, without a person's brakes.
func clean(ctx context.Context, t *testing.T, c *Client, rules sweep.Rules) sweep.Outcome {
	t.Helper()
	kinds, err := c.Kinds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	table, err := sweep.NewTable(kinds)
	if err != nil {
		t.Fatal(err)
	}
	s := &sweep.Sweep{Table: table, Rules: rules, Now: now, Pause: time.Millisecond}
	v, err := s.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Clean(ctx, v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
