// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go/encoding/httpbinding"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/sweep"
)

// rows is the whole table. Stacks go first, because they take apart what they made in an order that only they know.
func rows() []row {
	all := slices.Concat(balancerRows(), clusterRows(), machineRows(), networkRows(), databaseRows(), queueRows(), storeRows(),
		bucketRows(), identityRows(), zoneRows())
	for i := range all {
		all[i].after = append(all[i].after, "cloudformation.stacks")
	}
	return append([]row{stackRow()}, all...)
}

// escape makes a name one part of a path. Services sign what was escaped, so it has to be as strict as they are.
func escape(name string) string { return httpbinding.EscapePath(name, true) }

// stackRow deletes a stack, and one that could not be deleted before by force: what it leaves is found by the other kinds.
func stackRow() row {
	return row{
		name: "cloudformation.stacks",
		list: shape{
			call: call{"cloudformation", "DescribeStacks", nil, "NextToken", "NextToken"},
			at:   "Stacks.member", name: "StackName", arn: "StackId", created: "CreationTime", tags: "Tags.member",
			over: func(t tree) bool { return t.text("StackStatus") == "DELETE_COMPLETE" },
			keep: func(t tree) string {
				if t.text("ParentId") != "" {
					return "it goes with the stack that made it"
				}
				return ""
			},
		}.list,
		remove: deleteStack,
	}
}

func deleteStack(ctx context.Context, r *region, o sweep.Object) error {
	state := func(ctx context.Context) (tree, error) {
		return r.call(ctx, "cloudformation", "DescribeStacks", in{"StackName": o.ID})
	}
	t, err := state(ctx)
	if err != nil {
		return err
	}
	if t.text("Stacks.member.EnableTerminationProtection") == "true" {
		off := in{"StackName": o.ID, "EnableTerminationProtection": "false"}
		if _, err := r.call(ctx, "cloudformation", "UpdateTerminationProtection", off); err != nil {
			return err
		}
	}
	given := in{"StackName": o.ID}
	if t.text("Stacks.member.StackStatus") == "DELETE_FAILED" {
		given["DeletionMode"] = "FORCE_DELETE_STACK"
	}
	if _, err := r.call(ctx, "cloudformation", "DeleteStack", given); err != nil {
		return err
	}
	return r.until(ctx, func(ctx context.Context) (bool, error) {
		t, err := state(ctx)
		switch {
		case gone(err):
			return true, nil
		case err != nil:
			return false, err
		case t.text("Stacks.member.StackStatus") == "DELETE_FAILED":
			return false, fmt.Errorf("%w: %s", sweep.ErrInUse, t.text("Stacks.member.StackStatusReason"))
		}
		return t.text("Stacks.member.StackStatus") == "DELETE_COMPLETE", nil
	})
}

func balancerRows() []row {
	return []row{
		{
			name: "elb.load-balancers", list: listClassicBalancers,
			remove: byName("elb", "DeleteLoadBalancer", "LoadBalancerName", nil),
		},
		{
			name: "elbv2.load-balancers", after: names("autoscaling.groups"),
			list: balancers("DescribeLoadBalancers", "LoadBalancers.member", "LoadBalancerName", "LoadBalancerArn", "CreatedTime"),
			remove: func(ctx context.Context, r *region, o sweep.Object) error {
				return refusedWith("OperationNotPermitted", func() error {
					return byARN("elasticloadbalancing", "DeleteLoadBalancer", "LoadBalancerArn")(ctx, r, o)
				}, func() error {
					_, err := r.call(ctx, "elasticloadbalancing", "ModifyLoadBalancerAttributes", in{"LoadBalancerArn": o.ID,
						"Attributes": []in{{"Key": "deletion_protection.enabled", "Value": "false"}}})
					return err
				})
			},
		},
		{
			name: "elbv2.target-groups", after: names("elbv2.load-balancers autoscaling.groups"),
			list:   balancers("DescribeTargetGroups", "TargetGroups.member", "TargetGroupName", "TargetGroupArn", ""),
			remove: byARN("elasticloadbalancing", "DeleteTargetGroup", "TargetGroupArn"),
		},
		{
			name: "autoscaling.groups",
			list: shape{
				call: call{"autoscaling", "DescribeAutoScalingGroups", nil, "NextToken", "NextToken"},
				at:   "AutoScalingGroups.member", name: "AutoScalingGroupName", arn: "AutoScalingGroupARN", created: "CreatedTime",
				tags: "Tags.member",
			}.list,
			remove: sight{service: "autoscaling", action: "DescribeAutoScalingGroups", field: "AutoScalingGroupNames.",
				at: "AutoScalingGroups.member"}.then(
				byName("autoscaling", "DeleteAutoScalingGroup", "AutoScalingGroupName", in{"ForceDelete": "true"})),
		},
		{
			name: "autoscaling.launch-configurations", after: names("autoscaling.groups"),
			list: shape{
				call: call{"autoscaling", "DescribeLaunchConfigurations", nil, "NextToken", "NextToken"},
				at:   "LaunchConfigurations.member", name: "LaunchConfigurationName", arn: "LaunchConfigurationARN", created: "CreatedTime",
			}.list,
			remove: byName("autoscaling", "DeleteLaunchConfiguration", "LaunchConfigurationName", nil),
		},
	}
}

// tagged asks for the tags of a list twenty at a time, as load balancers want it.
func tagged(ctx context.Context, r *region, service, field string, items []item, key func(item) string) error {
	for some := range slices.Chunk(items, 20) {
		asked := make([]string, len(some))
		for i := range some {
			asked[i] = key(some[i])
		}
		t, err := r.call(ctx, service, "DescribeTags", in{field + "s": asked})
		if err != nil { // also where one of them has just gone: without its tags nobody knows whether another may go
			return fmt.Errorf("tags: %w", err)
		}
		for _, one := range t.all("TagDescriptions.member") {
			for i := range some {
				if key(some[i]) == one.text(field) {
					some[i].tags = one.tags("Tags.member")
				}
			}
		}
	}
	return nil
}

func listClassicBalancers(ctx context.Context, r *region) ([]item, error) {
	items, err := shape{
		call: call{"elb", "DescribeLoadBalancers", nil, "Marker", "NextMarker"},
		at:   "LoadBalancerDescriptions.member", name: "LoadBalancerName", kind: "loadbalancer/", created: "CreatedTime",
	}.list(ctx, r)
	if err != nil {
		return nil, err
	}
	return items, tagged(ctx, r, "elb", "LoadBalancerName", items, func(i item) string { return i.name })
}

func balancers(action, at, name, arn, created string) func(context.Context, *region) ([]item, error) {
	return func(ctx context.Context, r *region) ([]item, error) {
		items, err := shape{
			call: call{"elasticloadbalancing", action, nil, "Marker", "NextMarker"}, at: at, name: name, arn: arn, created: created,
		}.list(ctx, r)
		if err != nil {
			return nil, err
		}
		return items, tagged(ctx, r, "elasticloadbalancing", "ResourceArn", items, func(i item) string { return i.arn })
	}
}

func clusterRows() []row {
	return []row{
		{name: "eks.clusters", list: listEKS, remove: deleteEKS},
		{name: "ecs.clusters", after: names("autoscaling.groups"), list: listECS, remove: deleteECS},
		{
			name: "lambda.functions",
			list: shape{
				call: call{"lambda", "GET /2015-03-31/functions/", nil, "Marker", "NextMarker"},
				at:   "Functions", name: "FunctionName", arn: "FunctionArn", created: "LastModified",
				tagsOf: func(ctx context.Context, r *region, one item) (map[string]string, error) {
					t, err := r.call(ctx, "lambda", "GET /2017-03-31/tags/"+escape(one.arn), nil)
					return t.tags("Tags"), err
				},
			}.list,
			remove: func(ctx context.Context, r *region, o sweep.Object) error {
				_, err := r.call(ctx, "lambda", "DELETE /2015-03-31/functions/"+escape(o.Name), nil)
				return err
			},
		},
	}
}

// strings reads all pages of a list of names.
func (r *region) strings(ctx context.Context, c call, at string) ([]string, error) {
	var found []string
	err := r.pages(ctx, c, func(t tree) error {
		found = append(found, t.texts(at)...)
		return nil
	})
	return found, err
}

func listEKS(ctx context.Context, r *region) ([]item, error) {
	clusters, err := r.strings(ctx, call{"eks", "GET /clusters", nil, "nextToken", "nextToken"}, "clusters")
	if err != nil {
		return nil, err
	}
	items := make([]item, len(clusters))
	for i, name := range clusters {
		items[i] = item{name: name, arn: r.arn("eks", "cluster/"+name)}
	}
	return items, fill(items, func(one *item) error {
		t, err := r.call(ctx, "eks", "GET /clusters/"+escape(one.name), nil)
		one.created, one.tags = t.time("cluster.createdAt"), t.tags("cluster.tags")
		return err
	})
}

// deleteEKS takes the nodes first, one kind after the other, since EKS refuses otherwise.
func deleteEKS(ctx context.Context, r *region, o sweep.Object) error {
	cluster := "/clusters/" + escape(o.Name)
	for _, part := range []struct{ path, at string }{{"/node-groups", "nodegroups"}, {"/fargate-profiles", "fargateProfileNames"}} {
		if err := r.deleteEKSParts(ctx, cluster+part.path, part.at); err != nil {
			return err
		}
	}
	if _, err := r.call(ctx, "eks", "DELETE "+cluster, nil); err != nil {
		return err
	}
	return r.vanishes(ctx, sight{service: "eks", action: "GET /clusters/{}", at: "cluster"}, o.Name)
}

// deleteEKSParts deletes all of one kind. Fargate takes one at a time and refuses others meanwhile.
func (r *region) deleteEKSParts(ctx context.Context, path, at string) error {
	return r.until(ctx, func(ctx context.Context) (bool, error) {
		parts, err := r.strings(ctx, call{"eks", "GET " + path, nil, "nextToken", "nextToken"}, at)
		if err != nil || len(parts) == 0 {
			return gone(err) || err == nil, ungone(err)
		}
		for _, name := range parts {
			if _, err := r.call(ctx, "eks", "DELETE "+path+"/"+escape(name), nil); err != nil && !gone(err) && !inUse(err) {
				return false, err
			}
		}
		return false, nil
	})
}

func ungone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

func listECS(ctx context.Context, r *region) ([]item, error) {
	arns, err := r.strings(ctx, call{"ecs", "ListClusters", nil, "nextToken", "nextToken"}, "clusterArns")
	if err != nil {
		return nil, err
	}
	var items []item
	for some := range slices.Chunk(arns, 100) {
		t, err := r.call(ctx, "ecs", "DescribeClusters", in{"clusters": some, "include": []string{"TAGS"}})
		if err != nil {
			return nil, err
		}
		for _, one := range t.all("clusters") {
			if one.text("status") != "INACTIVE" {
				items = append(items, item{name: one.text("clusterName"), arn: one.text("clusterArn"), tags: one.tags("tags")})
			}
		}
	}
	return items, nil
}

// deleteECS stops what the cluster runs first.
func deleteECS(ctx context.Context, r *region, o sweep.Object) error {
	for _, part := range []struct {
		list, at, remove, field string
		more                    in
	}{
		{"ListServices", "serviceArns", "DeleteService", "service", in{"force": true}},
		{"ListTasks", "taskArns", "StopTask", "task", nil},
		{"ListContainerInstances", "containerInstanceArns", "DeregisterContainerInstance", "containerInstance", in{"force": true}},
	} {
		found, err := r.strings(ctx, call{"ecs", part.list, in{"cluster": o.ID}, "nextToken", "nextToken"}, part.at)
		if err != nil {
			return err
		}
		for _, one := range found {
			given := in{"cluster": o.ID, part.field: one}
			for name, value := range part.more {
				given[name] = value
			}
			if _, err := r.call(ctx, "ecs", part.remove, given); err != nil && !gone(err) {
				return err
			}
		}
	}
	// Tasks take a while to stop.
	return r.until(ctx, func(ctx context.Context) (bool, error) {
		_, err := r.call(ctx, "ecs", "DeleteCluster", in{"cluster": o.ID})
		if inUse(err) {
			return false, nil
		}
		return err == nil, err
	})
}

func queueRows() []row {
	return []row{
		{name: "sqs.queues", after: names("events.rules"), list: listQueues, remove: func(ctx context.Context, r *region, o sweep.Object) error {
			t, err := r.call(ctx, "sqs", "GetQueueUrl", in{"QueueName": o.Name})
			if err != nil {
				return err
			}
			_, err = r.call(ctx, "sqs", "DeleteQueue", in{"QueueUrl": t.text("QueueUrl")})
			return err
		}},
		{
			name: "events.rules",
			list: shape{
				call: call{"events", "ListRules", nil, "NextToken", "NextToken"}, at: "Rules", name: "Name", arn: "Arn",
				keep: func(t tree) string {
					if by := t.text("ManagedBy"); by != "" {
						return by + " manages it"
					}
					return ""
				},
				tagsOf: tagsByARN("events", "ResourceARN", "Tags"),
			}.list,
			remove: deleteRule,
		},
		{
			name: "logs.log-groups", after: names("lambda.functions eks.clusters ecs.clusters rds.instances rds.clusters"),
			list: shape{
				call: call{"logs", "DescribeLogGroups", nil, "nextToken", "nextToken"},
				at:   "logGroups", name: "logGroupName", kind: "log-group:", created: "creationTime", tagsOf: tagsByARN("logs", "resourceArn", "tags"),
			}.list,
			remove: byName("logs", "DeleteLogGroup", "logGroupName", nil),
		},
	}
}

// tagsByARN asks for the tags of one object, as most JSON services and RDS have it.
func tagsByARN(service, field, at string) func(context.Context, *region, item) (map[string]string, error) {
	return func(ctx context.Context, r *region, one item) (map[string]string, error) {
		t, err := r.call(ctx, service, "ListTagsForResource", in{field: one.arn})
		return t.tags(at), err
	}
}

func listQueues(ctx context.Context, r *region) ([]item, error) {
	urls, err := r.strings(ctx, call{"sqs", "ListQueues", in{"MaxResults": 1000}, "NextToken", "NextToken"}, "QueueUrls")
	if err != nil {
		return nil, err
	}
	items := make([]item, len(urls))
	for i, address := range urls {
		items[i].name = address[strings.LastIndex(address, "/")+1:]
		items[i].arn = r.arn("sqs", items[i].name)
	}
	errs := make([]error, len(urls))
	pace.Each(urls, atOnce, func(i int, address string) {
		t, err := r.call(ctx, "sqs", "GetQueueAttributes", in{"QueueUrl": address, "AttributeNames": []string{"CreatedTimestamp"}})
		if err == nil {
			items[i].created = t.time("Attributes.CreatedTimestamp")
			t, err = r.call(ctx, "sqs", "ListQueueTags", in{"QueueUrl": address})
			items[i].tags = t.tags("Tags")
		}
		errs[i] = ungone(err)
	})
	return items, errors.Join(errs...)
}

func deleteRule(ctx context.Context, r *region, o sweep.Object) error {
	ids, err := r.strings(ctx, call{"events", "ListTargetsByRule", in{"Rule": o.Name}, "NextToken", "NextToken"}, "Targets.Id")
	if err != nil {
		return err
	}
	for some := range slices.Chunk(ids, 100) {
		t, err := r.call(ctx, "events", "RemoveTargets", in{"Rule": o.Name, "Ids": some})
		if err == nil {
			err = failures(t, "FailedEntries", "ErrorCode", "ErrorMessage")
		}
		if err != nil {
			return err
		}
	}
	_, err = r.call(ctx, "events", "DeleteRule", in{"Name": o.Name})
	return err
}
