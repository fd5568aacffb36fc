// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sigs.k8s.io/steward/internal/aws"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/sweep"
)

// without are the kinds that moto 5.2.1 does not know, or knows too little of to be swept.
func without() map[string]string {
	return map[string]string{
		"elasticache.clusters": "a cluster that is being deleted stays so for ever",
	}
}

const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

const allow = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`

// identities makes a user, a group, a role, a profile and a policy that hang together.
func (m *moto) identities() {
	t, ctx, api := m.t, m.t.Context(), iam.NewFromConfig(m.sdk(here))
	policy, err := api.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: awssdk.String("policy"), PolicyDocument: awssdk.String(allow)})
	must(t, err)
	name := awssdk.String("test")
	for _, do := range []func() error{
		func() error { _, err := api.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); return err },
		func() error {
			_, err := api.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
			return err
		},
		func() error {
			_, err := api.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: awssdk.String(allow)})
			return err
		},
		func() error { _, err := api.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: name}); return err },
		func() error {
			_, err := api.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: name, UserName: name})
			return err
		},
		func() error {
			_, err := api.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: awssdk.String(trust)})
			return err
		},
		func() error {
			_, err := api.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: policy.Policy.Arn})
			return err
		},
		func() error {
			_, err := api.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name})
			return err
		},
		func() error {
			_, err := api.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
			return err
		},
		func() error {
			_, err := api.CreateRole(ctx, &iam.CreateRoleInput{RoleName: awssdk.String("OrganizationAccountAccessRole"),
				AssumeRolePolicyDocument: awssdk.String(trust)})
			return err
		},
	} {
		must(t, do())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// buckets makes one with versions and delete markers, more than a page of them, and one that nobody tagged.
func (m *moto) buckets() {
	t, ctx := m.t, m.t.Context()
	api := s3.NewFromConfig(m.sdk(there), func(o *s3.Options) { o.UsePathStyle = true })
	for _, name := range []string{"versions-of-a-test", "untagged-of-a-test"} {
		_, err := api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{
			LocationConstraint: there}})
		must(t, err)
	}
	bucket := awssdk.String("versions-of-a-test")
	_, err := api.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: bucket, VersioningConfiguration: &s3types.VersioningConfiguration{
		Status: s3types.BucketVersioningStatusEnabled}})
	must(t, err)
	for i := range 1050 {
		key := awssdk.String(fmt.Sprintf("k%d", i%700))
		_, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")})
		must(t, err)
	}
	_, err = api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: awssdk.String("k1")})
	must(t, err)
	_, err = api.PutObject(ctx, &s3.PutObjectInput{Bucket: awssdk.String("untagged-of-a-test"), Key: bucket, Body: strings.NewReader("x")})
	must(t, err)
}

func (m *moto) zone(name string) string {
	t, ctx, api := m.t, m.t.Context(), route53.NewFromConfig(m.sdk(here))
	zone, err := api.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: &name, CallerReference: &name})
	must(t, err)
	batch := &r53types.ChangeBatch{}
	for _, record := range []string{"api.e2e-1." + name, "www." + name} {
		batch.Changes = append(batch.Changes, r53types.Change{Action: r53types.ChangeActionCreate, ResourceRecordSet: &r53types.ResourceRecordSet{
			Name: &record, Type: r53types.RRTypeA, TTL: awssdk.Int64(60), ResourceRecords: []r53types.ResourceRecord{{Value: awssdk.String("192.0.2.1")}}}})
	}
	_, err = api.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone.HostedZone.Id, ChangeBatch: batch})
	must(t, err)
	return awssdk.ToString(zone.HostedZone.Id)
}

// table is what moto can be asked for.
func (m *moto) table() *sweep.Table {
	t := m.t
	c, err := aws.New(t.Context(), aws.Options{
		AccessKeyID: accessKey, SecretAccessKey: secret.New("example"), Endpoint: m.url, Without: m.others(), KeepZones: []string{"shared.example.org."},
		Rate: 1e6, Poll: 10 * time.Millisecond, Backoff: time.Millisecond, Wait: 20 * time.Second,
	})
	must(t, err)
	kinds, err := c.Kinds(t.Context())
	must(t, err)
	unknown := without()
	kinds = slices.DeleteFunc(kinds, func(k sweep.Kind) bool { return unknown[k.Name] != "" })
	for i := range kinds {
		kinds[i].After = slices.DeleteFunc(kinds[i].After, func(name string) bool { return unknown[name] != "" })
	}
	table, err := sweep.NewTable(kinds)
	must(t, err)
	return table
}

func TestFullAccountIsCleanInOneSweep(t *testing.T) { // AWS-1, AWS-6, AWS-8
	m := start(t)
	for _, region := range []string{here, there} {
		m.network(region)
		m.stores(region)
	}
	m.identities()
	m.buckets()
	m.zone("gone.example.org.")
	shared := m.zone("shared.example.org.")

	s := &sweep.Sweep{Table: m.table(), Pause: 10 * time.Millisecond}
	v, err := s.Look(t.Context())
	must(t, err)
	seen := map[string]int{}
	for _, step := range v.Plan.Steps {
		seen[step.Change.Kind]++
	}
	t.Logf("%d objects of %d kinds to delete: %v", len(v.Plan.Steps), len(seen), seen)
	if len(seen) < 40 {
		t.Errorf("only %d kinds have an object: the seed or a list does not work", len(seen))
	}
	out, err := s.Clean(t.Context(), v)
	must(t, err)
	if !out.Clean() {
		t.Errorf("not clean after %d rounds: %s", out.Rounds, out.Reason())
	}
	for key, err := range out.Failed {
		t.Errorf("%s: %v", key, err)
	}
	for _, u := range out.Unread {
		t.Errorf("%s was not read: %v", u.Kind, u.Err)
	}
	m.stayed(shared)
}

// stayed checks what has to be there still, with the SDK's own eyes.
func (m *moto) stayed(shared string) {
	t, ctx := m.t, m.t.Context()
	if _, err := iam.NewFromConfig(m.sdk(here)).GetRole(ctx, &iam.GetRoleInput{RoleName: awssdk.String("OrganizationAccountAccessRole")}); err != nil {
		t.Errorf("the organization's role: %v", err)
	}
	sets, err := route53.NewFromConfig(m.sdk(here)).ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &shared})
	must(t, err)
	var names []string
	for _, set := range sets.ResourceRecordSets {
		names = append(names, awssdk.ToString(set.Name)+" "+string(set.Type))
	}
	if !slices.Contains(names, "www.shared.example.org. A") || slices.Contains(names, "api.e2e-1.shared.example.org. A") {
		t.Errorf("the zone that stays has %v", names)
	}
	for _, region := range []string{here, there} {
		m.ec2(region, "DescribeVpcs", "Filter.1.Name=is-default&Filter.1.Value.1=true", "vpcId")
	}
}

func TestAccountAsItComesIsClean(t *testing.T) { // AWS-7, AWS-9
	s := &sweep.Sweep{Table: start(t).table()}
	v, err := s.Look(t.Context())
	must(t, err)
	if len(v.Unread) > 0 || !v.Plan.Empty() {
		t.Errorf("not clean: %s", v.Reason())
	}
}
