// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/awsfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/sweep"
)

func TestFullAccountIsCleanInOneSweep(t *testing.T) { // AWS-1, AWS-6, AWS-7, AWS-8
	fake := full(t, awsfake.Options{Page: 2, Looks: 2})
	out := clean(t.Context(), t, client(t, fake), sweep.Rules{})
	if !out.Clean() {
		t.Errorf("not clean after %d rounds: %s", out.Rounds, out.Reason())
	}
	for key, err := range out.Failed {
		t.Errorf("%s: %v", key, err)
	}
	want := remains()
	slices.Sort(want)
	if diff := difference(fake.Left(), want); diff != "" {
		t.Errorf("left %s", diff)
	}
	if got := strings.Join(fake.Records("Z2"), ", "); got != "api.e2e-1.shared.example.org. TXT, shared.example.org. NS, shared.example.org. SOA, www.shared.example.org. A" {
		t.Errorf("records of the zone that stays: %s", got)
	}
	if out.Rounds != 1 {
		t.Errorf("%d rounds: the order of the table is not that of the dependencies", out.Rounds)
	}
}

func TestEveryRowIsSeeded(t *testing.T) {
	fake := full(t, awsfake.Options{})
	kinds, err := client(t, fake).Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds[1:] { // aws.regions comes first
		objects, err := k.List(t.Context())
		if err != nil || len(objects) == 0 {
			t.Errorf("%s: %d objects, %v", k.Name, len(objects), err)
		}
		for _, o := range objects {
			if k.Protect(o) == "" && o.ID == o.Name {
				t.Errorf("%s %s: the id is no ARN", k.Name, o.ID)
			}
		}
	}
	if len(kinds) < 60 {
		t.Errorf("only %d kinds", len(kinds))
	}
}

func difference(got, want []string) string {
	var diff []string
	for _, g := range got {
		if !slices.Contains(want, g) {
			diff = append(diff, "+"+g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			diff = append(diff, "-"+w)
		}
	}
	return strings.Join(diff, ", ")
}

func TestUsualAccountIsCleanInCountedCalls(t *testing.T) { // AWS-9
	fake := awsfake.New(awsfake.Options{})
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		(&world{t, fake, region}).usual()
	}
	out := clean(t.Context(), t, client(t, fake), sweep.Rules{})
	if !out.Clean() || len(out.Deleted) > 0 || out.Rounds > 0 {
		t.Errorf("not clean: %s", out.Reason())
	}
	calls := map[string]int{}
	for _, r := range fake.Faults.Requests() {
		calls[strings.Split(r.Path, "/")[2]]++
	}
	regional := calls["eu-west-1"]
	t.Logf("%d calls for a region, %d in us-east-1 with the global ones", regional, calls["us-east-1"])
	if regional > 60 {
		t.Errorf("%d calls for a region that has nothing of a test", regional)
	}
}

func TestShutRegionIsNotRead(t *testing.T) { // AWS-3
	fake := full(t, awsfake.Options{})
	fake.Shut("eu-west-1")
	c := client(t, fake)
	out := clean(t.Context(), t, c, sweep.Rules{})
	if out.Clean() {
		t.Fatal("clean, with a region that nobody read")
	}
	if reason := out.Reason(); !strings.Contains(reason, "eu-west-1") || !strings.Contains(reason, "service control policy") {
		t.Errorf("reason %q", reason)
	}
	for _, left := range fake.Left() {
		if strings.Contains(left, "us-east-1") && !slices.Contains(remains(), left) {
			t.Errorf("%s was left in the region that is open", left)
		}
	}
	asked := 0
	for _, r := range fake.Faults.Requests() {
		if strings.Contains(r.Path, "/eu-west-1/") {
			asked++
		}
	}
	if asked > 1 { // requests to a shut region end before the record; buckets there are asked by S3
		t.Errorf("%d answers from the region that is shut", asked)
	}
}

func TestRegionOnTheListOfShutOnesIsNotAsked(t *testing.T) { // AWS-3
	fake := awsfake.New(awsfake.Options{})
	(&world{t, fake, "us-east-1"}).usual()
	fake.Shut("eu-west-1")
	out := clean(t.Context(), t, client(t, fake, func(o *Options) { o.Without = []string{"eu-west-1"} }), sweep.Rules{})
	if !out.Clean() {
		t.Errorf("not clean: %s", out.Reason())
	}
	fake.AddBucket(awsfake.Bucket{Name: "b", Region: "eu-west-1", Created: old})
	out = clean(t.Context(), t, client(t, fake, func(o *Options) { o.Without = []string{"eu-west-1"} }), sweep.Rules{})
	if out.Clean() || !strings.Contains(out.Reason(), "bucket b is in eu-west-1") {
		t.Errorf("with a bucket in the region without anything: %q", out.Reason())
	}
}

func TestPagesEnd(t *testing.T) { // AWS-4
	fake := full(t, awsfake.Options{Page: 2})
	for _, action := range []string{"DescribeInstances", "ListUsers", "DescribeLogGroups"} {
		fake.Loop(action)
	}
	kinds, err := client(t, fake).Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if !slices.Contains([]string{"ec2.instances", "iam.users", "logs.log-groups"}, k.Name) {
			continue
		}
		objects, err := k.List(t.Context())
		if err == nil || objects != nil || !strings.Contains(err.Error(), "token") {
			t.Errorf("%s: a token that comes again gives %d objects, %v", k.Name, len(objects), err)
		}
	}
}

// TestNoFaultMakesADirtyAccountClean lists with every list failing in turn: the kind is unread, and only it.
func TestNoFaultMakesADirtyAccountClean(t *testing.T) { // AWS-2, AWS-4
	fake := full(t, awsfake.Options{})
	c := client(t, fake, func(o *Options) { o.Attempts = 2 })
	kinds, err := c.Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fake.Faults.Heal()
	for _, k := range kinds {
		if _, err := k.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		asked := map[string]bool{}
		for _, r := range fake.Faults.Requests() {
			asked[r.Path] = true
		}
		for _, path := range slices.Sorted(maps.Keys(asked)) {
			if asked[strings.Replace(path, "/us-east-1/", "/eu-west-1/", 1)] && strings.Contains(path, "/us-east-1/") {
				continue // one of two regions is enough
			}
			for _, rule := range []fault.Rule{
				{Action: "status", Status: 403}, {Action: "status", Status: 500}, {Action: "reset"}, {Action: "truncate"},
			} {
				fake.Faults.Heal()
				rule.Path = "^" + quote(path) + "$"
				if err := fake.Faults.Inject(rule); err != nil {
					t.Fatal(err)
				}
				if objects, err := k.List(t.Context()); err == nil || objects != nil {
					t.Errorf("%s: %s at %s gives %d objects, %v", k.Name, cmp.Or(rule.Action, "?"), path, len(objects), err)
				}
			}
		}
		fake.Faults.Heal()
	}
}

func quote(path string) string {
	return strings.NewReplacer("{", `\{`, "}", `\}`, ".", `\.`).Replace(path)
}

func TestThrottledIsAskedAgainMoreSlowly(t *testing.T) { // AWS-5
	fake := awsfake.New(awsfake.Options{Regions: []string{"us-east-1"}})
	w := &world{t, fake, "us-east-1"}
	w.add(thing("ec2 vpc", "vpc-1"))
	c := client(t, fake, func(o *Options) { o.Rate = 1000 })
	kinds, err := c.Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := fake.Faults.Inject(fault.Rule{Path: "DescribeVpcs", Action: "status", Status: 503, Times: 3}); err != nil {
		t.Fatal(err)
	}
	vpcs := kinds[slices.IndexFunc(kinds, func(k sweep.Kind) bool { return k.Name == "ec2.vpcs" })]
	if objects, err := vpcs.List(t.Context()); err != nil || len(objects) != 1 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
	if rate, pushes := (&region{c, "us-east-1"}).pace("ec2").Rate(); pushes != 3 || rate >= 1000 {
		t.Errorf("the pace heard of %d refusals and is at %v", pushes, rate)
	}
	// What goes on for ever is an error after so many attempts.
	fake.Faults.Heal()
	if err := fake.Faults.Inject(fault.Rule{Path: "DescribeVpcs", Action: "status", Status: 503}); err != nil {
		t.Fatal(err)
	}
	_, err = vpcs.List(t.Context())
	if err == nil || !strings.Contains(err.Error(), "RequestLimitExceeded") || len(fake.Faults.Requests()) != defaultAttempts {
		t.Errorf("after %d requests: %v", len(fake.Faults.Requests()), err)
	}
}

func TestServiceThatWasNeverSignedUpForIsEmpty(t *testing.T) {
	fake := full(t, awsfake.Options{})
	kinds, err := client(t, fake).Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body := `{"__type":"SubscriptionRequiredException","message":"The AWS Access Key Id needs a subscription for the service"}`
	logs := kinds[slices.IndexFunc(kinds, func(k sweep.Kind) bool { return k.Name == "logs.log-groups" })]
	inject := func(path string) {
		fake.Faults.Heal()
		if err := fake.Faults.Inject(fault.Rule{Path: path, Action: "status", Status: 400, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	inject("/logs/")
	if objects, err := logs.List(t.Context()); !errors.Is(err, sweep.ErrDisabled) || objects != nil {
		t.Errorf("in all regions: %d objects, %v", len(objects), err)
	}
	inject("/logs/eu-west-1/")
	if objects, err := logs.List(t.Context()); err != nil || len(objects) != 1 {
		t.Errorf("in one region: %d objects, %v", len(objects), err)
	}
}

func TestYoungAndTaggedStay(t *testing.T) { // AWS-7
	fake := awsfake.New(awsfake.Options{Regions: []string{"us-east-1"}})
	w := &world{t, fake, "us-east-1"}
	w.add(
		w.with(thing("ec2 instance", "i-old"), fields{"launchTime": old}),
		w.with(thing("ec2 instance", "i-young"), fields{"launchTime": "2026-05-31T23:00:00Z"}),
		// An old volume that a young machine has is as young as that.
		w.with(thing("ec2 volume", "vol-1"), fields{"createTime": old, "attachmentSet": fields{"item": []any{fields{"attachTime": "2026-05-31T23:00:00Z"}}}}),
		awsfake.Object{Kind: "ec2 key-pair", ID: "key-kept", Tags: map[string]string{"preserve": ""}, Fields: fields{"createTime": old}},
		thing("ec2 vpc", "vpc-unknown"), // no date: seen for the first time
	)
	rules := sweep.Rules{Age: 24 * time.Hour, Exclude: []sweep.Tag{{Key: "preserve", Any: true}}}
	out := clean(t.Context(), t, client(t, fake), rules)
	want := []string{"ec2 instance us-east-1 i-young", "ec2 key-pair us-east-1 key-kept", "ec2 volume us-east-1 vol-1", "ec2 vpc us-east-1 vpc-unknown"}
	if diff := difference(fake.Left(), want); diff != "" || len(out.Deleted) != 1 {
		t.Errorf("left %s; deleted %v", diff, out.Deleted)
	}
}

func TestWhatIsProtectedOrUnlistedCannotBeDeleted(t *testing.T) { // AWS-7
	fake := awsfake.New(awsfake.Options{Regions: []string{"us-east-1"}})
	(&world{t, fake, "us-east-1"}).usual()
	kinds, err := client(t, fake).Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := fake.Left()
	for _, k := range kinds[1:] {
		objects, err := k.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, sweep.Object{ID: "arn:aws:x:us-east-1:1:never-listed", Name: "never-listed", Location: "us-east-1"})
		for _, o := range objects {
			if k.Protect(o) == "" {
				t.Errorf("%s %s is not protected", k.Name, o.ID)
			}
			if err := k.Delete(t.Context(), o); err == nil {
				t.Errorf("%s %s was deleted", k.Name, o.ID)
			}
		}
	}
	if diff := difference(fake.Left(), before); diff != "" {
		t.Errorf("changed: %s", diff)
	}
}

func TestGroupInUseKeepsItsRules(t *testing.T) { // AWS-8
	fake := awsfake.New(awsfake.Options{Regions: []string{"us-east-1"}})
	w := &world{t, fake, "us-east-1"}
	w.add(
		thing("ec2 security-group", "sg-1"), thing("ec2 interface", "eni-1", "sg-1"),
		w.with(thing("ec2 security-group", "sg-2", "sg-1"), fields{"ipPermissions": awsfake.Permission("sg-1")}),
	)
	kinds, err := client(t, fake).Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	groups := kinds[slices.IndexFunc(kinds, func(k sweep.Kind) bool { return k.Name == "ec2.security-groups" })]
	objects, err := groups.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fake.Faults.Heal()
	if err := groups.Delete(t.Context(), objects[0]); !errors.Is(err, sweep.ErrInUse) {
		t.Errorf("error %v", err)
	}
	for _, r := range fake.Faults.Requests() {
		if strings.Contains(r.Path, "Revoke") {
			t.Errorf("asked %s although the group is in use", r.Path)
		}
	}
}

func TestLockedVersionIsAnErrorWithItsReason(t *testing.T) {
	fake := awsfake.New(awsfake.Options{Regions: []string{"us-east-1"}})
	fake.AddBucket(awsfake.Bucket{Name: "b", Region: "us-east-1", Created: old, Versions: []awsfake.Version{{Key: "k", ID: "1", Locked: true}}})
	out := clean(t.Context(), t, client(t, fake), sweep.Rules{})
	if out.Clean() || !strings.Contains(out.Reason(), "AccessDenied: it is locked") {
		t.Errorf("reason %q", out.Reason())
	}
}

func TestDeletionThatNeverEndsCountsAsInUse(t *testing.T) { // AWS-6
	fake := awsfake.New(awsfake.Options{Regions: []string{"us-east-1"}, Looks: 1 << 30})
	w := &world{t, fake, "us-east-1"}
	w.add(thing("ec2 nat-gateway", "nat-1"))
	kinds, err := client(t, fake, func(o *Options) { o.Wait = 10 * time.Millisecond }).Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nat := kinds[slices.IndexFunc(kinds, func(k sweep.Kind) bool { return k.Name == "ec2.nat-gateways" })]
	objects, err := nat.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := nat.Delete(t.Context(), objects[0]); !errors.Is(err, sweep.ErrInUse) {
		t.Errorf("error %v", err)
	}
}

// Boskos's janitor cleans these kinds, or misses them (from the empty line on): a kind, and the rows that sweep it.
const specified = `
CloudFormation stacks     cloudformation.stacks
EKS                       eks.clusters
classic ELB               elb.load-balancers
ELBv2                     elbv2.load-balancers
target groups             elbv2.target-groups
ASG                       autoscaling.groups
launch configs            autoscaling.launch-configurations
launch templates          ec2.launch-templates
instances                 ec2.instances
VPC endpoints             ec2.vpc-endpoints
ENIs                      ec2.network-interfaces
subnets                   ec2.subnets
security groups           ec2.security-groups
IGWs                      ec2.internet-gateways
route tables              ec2.route-tables
NAT gateways              ec2.nat-gateways
VPCs                      ec2.vpcs
DHCP options              ec2.dhcp-options
snapshots                 ec2.snapshots
volumes                   ec2.volumes
EIPs                      ec2.addresses
EFS, mount targets        efs.file-systems
SQS, EventBridge rules    sqs.queues events.rules
key pairs                 ec2.key-pairs
S3 buckets                s3.buckets
ECR images                ecr.repositories
instance profiles         iam.instance-profiles
roles                     iam.roles
OIDC providers            iam.oidc-providers
Route53 records, zones    route53.records route53.zones

NACLs                     ec2.network-acls
VPN                       ec2.vpn-connections ec2.vpn-gateways ec2.customer-gateways
peering                   ec2.vpc-peering-connections
TGW                       ec2.transit-gateways ec2.transit-gateway-attachments
AMIs                      ec2.images
RDS                       rds.instances rds.clusters rds.snapshots rds.cluster-snapshots rds.subnet-groups
Lambda                    lambda.functions
log groups                logs.log-groups
customer IAM policies     iam.policies
users                     iam.users iam.groups
KMS                       kms.keys
Secrets Manager           secretsmanager.secrets
ECS                       ecs.clusters
ElastiCache               elasticache.clusters elasticache.replication-groups elasticache.subnet-groups
`

// A row that goes missing would leave its kind in the account. That each of them finds and deletes something is
// TestEveryRowIsSeeded's and TestFullAccountIsCleanInOneSweep's.
func TestRowsCoverSpecification(t *testing.T) {
	have := map[string]bool{}
	for _, r := range rows() {
		have[r.name] = true
	}
	kinds := 0
	for line := range strings.Lines(specified) {
		kind, rows, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			continue
		}
		kinds++
		for _, row := range strings.Fields(rows) {
			if !have[row] {
				t.Errorf("%s: no row %s", kind, row)
			}
		}
	}
	if kinds != 44 {
		t.Errorf("%d kinds", kinds)
	}
}
