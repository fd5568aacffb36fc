// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"strings"

	"sigs.k8s.io/steward/internal/sweep"
)

// kmsWindow is how many days a key stays restorable, the shortest that AWS allows.
const kmsWindow = 7

// storeRows keep data and secrets.
func storeRows() []row {
	return []row{
		{
			name: "efs.file-systems",
			list: shape{
				call: call{"elasticfilesystem", "GET /2015-02-01/file-systems", nil, "Marker", "NextMarker"},
				at:   "FileSystems", name: "FileSystemId", arn: "FileSystemArn", created: "CreationTime", tags: "Tags",
				over: func(t tree) bool { return t.text("LifeCycleState") == "deleted" },
			}.list,
			remove: deleteFileSystem,
		},
		{
			name: "ecr.repositories",
			list: shape{
				call: call{"ecr", "DescribeRepositories", nil, "nextToken", "nextToken"},
				at:   "repositories", name: "repositoryName", arn: "repositoryArn", created: "createdAt", tagsOf: tagsByARN("ecr", "resourceArn", "tags"),
			}.list,
			remove: byName("ecr", "DeleteRepository", "repositoryName", in{"force": true}),
		},
		{name: "kms.keys", list: listKeys, remove: deleteKey},
		{
			name: "secretsmanager.secrets", after: names("rds.instances rds.clusters"),
			list: shape{
				call: call{"secretsmanager", "ListSecrets", nil, "NextToken", "NextToken"},
				at:   "SecretList", name: "Name", arn: "ARN", created: "CreatedDate", tags: "Tags", keep: keepSecret,
			}.list,
			remove: deleteSecret,
		},
	}
}

func deleteFileSystem(ctx context.Context, r *region, o sweep.Object) error {
	targets := call{"elasticfilesystem", "GET /2015-02-01/mount-targets", in{"FileSystemId": o.Name}, "Marker", "NextMarker"}
	asked := map[string]bool{}
	err := r.until(ctx, func(ctx context.Context) (bool, error) {
		left, err := r.strings(ctx, targets, "MountTargets.MountTargetId")
		if err != nil {
			return false, err
		}
		for _, id := range left {
			if asked[id] {
				continue
			}
			if _, err := r.call(ctx, "elasticfilesystem", "DELETE /2015-02-01/mount-targets/"+escape(id), nil); ungone(err) != nil {
				return false, err
			}
			asked[id] = true
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return err
	}
	if _, err := r.call(ctx, "elasticfilesystem", "DELETE /2015-02-01/file-systems/"+escape(o.Name), nil); err != nil {
		return err
	}
	return r.vanishes(ctx, sight{service: "elasticfilesystem", action: "GET /2015-02-01/file-systems", field: "FileSystemId",
		at: "FileSystems", state: "LifeCycleState", ends: names("deleted")}, o.Name)
}

// listKeys leaves out what is scheduled to go: a key cannot be deleted at once by anybody.
func listKeys(ctx context.Context, r *region) ([]item, error) {
	ids, err := r.strings(ctx, call{"kms", "ListKeys", nil, "Marker", "NextMarker"}, "Keys.KeyId")
	if err != nil {
		return nil, err
	}
	items := make([]item, len(ids))
	for i, id := range ids {
		items[i] = item{name: id, arn: r.arn("kms", "key/"+id)}
	}
	err = fill(items, func(one *item) error { return describeKey(ctx, r, one) })
	var live []item
	for _, one := range items {
		if one.keep != "scheduled" {
			live = append(live, one)
		}
	}
	return live, err
}

func describeKey(ctx context.Context, r *region, one *item) error {
	t, err := r.call(ctx, "kms", "DescribeKey", in{"KeyId": one.name})
	if err != nil {
		return err
	}
	one.created = t.time("KeyMetadata.CreationDate")
	switch state := t.text("KeyMetadata.KeyState"); {
	case t.text("KeyMetadata.KeyManager") != "CUSTOMER":
		one.keep = "AWS manages it"
		return nil
	case state == "PendingDeletion" || state == "PendingReplicaDeletion":
		one.keep = "scheduled"
		return nil
	}
	return r.pages(ctx, call{"kms", "ListResourceTags", in{"KeyId": one.name}, "Marker", "NextMarker"}, func(t tree) error {
		if one.tags == nil {
			one.tags = map[string]string{}
		}
		for key, value := range t.tags("Tags") {
			one.tags[key] = value
		}
		return nil
	})
}

// deleteKey frees the key's aliases, so that a next test can have the names, and schedules the key itself.
func deleteKey(ctx context.Context, r *region, o sweep.Object) error {
	aliases, err := r.strings(ctx, call{"kms", "ListAliases", in{"KeyId": o.Name}, "Marker", "NextMarker"}, "Aliases.AliasName")
	if err != nil {
		return err
	}
	for _, alias := range aliases {
		if _, err := r.call(ctx, "kms", "DeleteAlias", in{"AliasName": alias}); ungone(err) != nil {
			return err
		}
	}
	_, err = r.call(ctx, "kms", "ScheduleKeyDeletion", in{"KeyId": o.Name, "PendingWindowInDays": kmsWindow})
	return err
}

func keepSecret(t tree) string {
	if by := t.text("OwningService"); by != "" {
		return by + " manages it"
	}
	// arn:aws:secretsmanager:REGION:…
	if from, at := t.text("PrimaryRegion"), strings.Split(t.text("ARN")+":::", ":")[3]; from != "" && from != at {
		return "it is a replica, and goes with the secret in " + from
	}
	return ""
}

func deleteSecret(ctx context.Context, r *region, o sweep.Object) error {
	t, err := r.call(ctx, "secretsmanager", "DescribeSecret", in{"SecretId": o.ID})
	if err != nil {
		return err
	}
	if replicas := t.texts("ReplicationStatus.Region"); len(replicas) > 0 {
		given := in{"SecretId": o.ID, "RemoveReplicaRegions": replicas}
		if _, err := r.call(ctx, "secretsmanager", "RemoveRegionsFromReplication", given); err != nil {
			return err
		}
	}
	_, err = r.call(ctx, "secretsmanager", "DeleteSecret", in{"SecretId": o.ID, "ForceDeleteWithoutRecovery": true})
	return err
}

// database is a kind of RDS or ElastiCache: Describe<Things> lists <Things><Thing>.
func database(service, things, thing, name, arn, created string) shape {
	return shape{
		call: call{service, "Describe" + things, nil, "Marker", "Marker"}, at: things + "." + thing,
		name: name, arn: arn, created: created, tags: "TagList.Tag",
	}
}

func databaseRows() []row {
	groupTags := func(service string) func(context.Context, *region, item) (map[string]string, error) {
		return tagsByARN(service, "ResourceName", "TagList.Tag")
	}
	manual := in{"SnapshotType": "manual"}
	rdsGroups := database("rds", "DBSubnetGroups", "DBSubnetGroup", "DBSubnetGroupName", "DBSubnetGroupArn", "")
	rdsGroups.tagsOf, rdsGroups.keep = groupTags("rds"), keepIf("DBSubnetGroupName", "default", "it is the default group")
	return append([]row{
		{
			name:   "rds.instances",
			list:   database("rds", "DBInstances", "DBInstance", "DBInstanceIdentifier", "DBInstanceArn", "InstanceCreateTime").list,
			remove: deleteDatabase("DBInstance", in{"SkipFinalSnapshot": "true", "DeleteAutomatedBackups": "true"}),
		},
		{
			name: "rds.clusters", after: names("rds.instances"),
			list:   database("rds", "DBClusters", "DBCluster", "DBClusterIdentifier", "DBClusterArn", "ClusterCreateTime").list,
			remove: deleteDatabase("DBCluster", in{"SkipFinalSnapshot": "true"}),
		},
		{
			name: "rds.snapshots", after: names("rds.instances"),
			list: database("rds", "DBSnapshots", "DBSnapshot", "DBSnapshotIdentifier", "DBSnapshotArn", "SnapshotCreateTime").
				asked(manual).list,
			remove: byName("rds", "DeleteDBSnapshot", "DBSnapshotIdentifier", nil),
		},
		{
			name: "rds.cluster-snapshots", after: names("rds.clusters"),
			list: database("rds", "DBClusterSnapshots", "DBClusterSnapshot", "DBClusterSnapshotIdentifier", "DBClusterSnapshotArn",
				"SnapshotCreateTime").asked(manual).list,
			remove: byName("rds", "DeleteDBClusterSnapshot", "DBClusterSnapshotIdentifier", nil),
		},
		{
			name: "rds.subnet-groups", after: names("rds.instances rds.clusters"), list: rdsGroups.list,
			remove: byName("rds", "DeleteDBSubnetGroup", "DBSubnetGroupName", nil),
		},
	}, cacheRows(groupTags("elasticache"))...)
}

// deleteDatabase deletes without a last snapshot, and turns protection off where it is on.
func deleteDatabase(thing string, more in) func(context.Context, *region, sweep.Object) error {
	id := thing + "Identifier"
	remove := func(ctx context.Context, r *region, o sweep.Object) error {
		return refusedWith("InvalidParameterCombination", func() error {
			return byName("rds", "Delete"+thing, id, more)(ctx, r, o)
		}, func() error {
			return byName("rds", "Modify"+thing, id, in{"DeletionProtection": "false", "ApplyImmediately": "true"})(ctx, r, o)
		})
	}
	return sight{service: "rds", action: "Describe" + thing + "s", field: id, at: thing + "s." + thing}.then(remove)
}

func cacheRows(tagsOf func(context.Context, *region, item) (map[string]string, error)) []row {
	groups := database("elasticache", "ReplicationGroups", "ReplicationGroup", "ReplicationGroupId", "ARN", "ReplicationGroupCreateTime")
	clusters := database("elasticache", "CacheClusters", "CacheCluster", "CacheClusterId", "ARN", "CacheClusterCreateTime")
	subnets := database("elasticache", "CacheSubnetGroups", "CacheSubnetGroup", "CacheSubnetGroupName", "ARN", "")
	groups.tagsOf, clusters.tagsOf, subnets.tagsOf = tagsOf, tagsOf, tagsOf
	clusters.keep = func(t tree) string {
		if group := t.text("ReplicationGroupId"); group != "" {
			return "it goes with replication group " + group
		}
		return ""
	}
	subnets.keep = keepIf("CacheSubnetGroupName", "default", "it is the default group")
	return []row{
		{
			name: "elasticache.replication-groups", list: groups.list,
			remove: sight{service: "elasticache", action: "DescribeReplicationGroups", field: "ReplicationGroupId",
				at: "ReplicationGroups.ReplicationGroup"}.then(byName("elasticache", "DeleteReplicationGroup", "ReplicationGroupId", nil)),
		},
		{
			name: "elasticache.clusters", after: names("elasticache.replication-groups"), list: clusters.list,
			remove: sight{service: "elasticache", action: "DescribeCacheClusters", field: "CacheClusterId",
				at: "CacheClusters.CacheCluster"}.then(byName("elasticache", "DeleteCacheCluster", "CacheClusterId", nil)),
		},
		{
			name: "elasticache.subnet-groups", after: names("elasticache.replication-groups elasticache.clusters"), list: subnets.list,
			remove: byName("elasticache", "DeleteCacheSubnetGroup", "CacheSubnetGroupName", nil),
		},
	}
}
