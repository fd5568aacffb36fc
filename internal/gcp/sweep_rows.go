// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"net/url"
	"slices"
	"strings"
)

// rows is every kind of object that a sweep knows of, by service. The order in which they go follows from after.
func rows() []row {
	return slices.Concat(machines(), balancers(), networks(), clusters(), stores(), services(), identities())
}

// find is the row of a name; the zero row where there is none, which no table passes (TestRows).
func find(name string) row {
	all := append(rows(), keyInventory())
	if i := slices.IndexFunc(all, func(r row) bool { return r.name == name }); i >= 0 {
		return all[i]
	}
	return row{}
}

// compute is a row of Compute Engine; path is aggregated/X or global/X.
func compute(path string, after ...string) row {
	name := path[strings.LastIndex(path, "/")+1:]
	after = slices.Clone(after) // some rows share a list
	for i, a := range after {
		if !strings.Contains(a, ".") {
			after[i] = "compute." + a
		}
	}
	return row{
		name: "compute." + name, api: "compute.googleapis.com", base: "compute/v1", list: path,
		items: itemsOf(path, name), after: after, query: url.Values{"maxResults": {"500"}},
	}
}

func itemsOf(path, name string) string {
	if strings.HasPrefix(path, "aggregated/") {
		return name
	}
	return "items"
}

// in says without which kinds there can be none.
func (r row) in(names ...string) row {
	for _, name := range names {
		r.within = append(r.within, "compute."+name)
	}
	return r
}

func (r row) keeping(keep func(p *project, i item) string) row {
	r.keep = keep
	return r
}

// machines are instances and what they are made of. Groups go first: they would make their instances anew.
func machines() []row {
	instances := compute("aggregated/instances", "instanceGroupManagers", "targetInstances", "container.clusters", "tpu.nodes")
	instances.unlock = unprotectInstance
	groups := compute("aggregated/instanceGroups", "instanceGroupManagers", "backendServices", "targetPools")
	return []row{
		compute("aggregated/autoscalers", "container.clusters").in("instanceGroupManagers"),
		compute("aggregated/instanceGroupManagers", "autoscalers", "container.clusters", "backendServices").in("instanceTemplates"),
		groups,
		compute("aggregated/instanceTemplates", "instanceGroupManagers"),
		instances,
		compute("aggregated/targetInstances", "forwardingRules").in("instances"),
		compute("aggregated/reservations", "instances"),
		compute("aggregated/nodeGroups", "instances").in("nodeTemplates"),
		compute("aggregated/nodeTemplates", "nodeGroups"),
		compute("aggregated/instantSnapshots", "instances").in("disks"),
		compute("aggregated/disks", "instances", "instantSnapshots"),
		compute("global/snapshots"),
		compute("global/images"),
		compute("global/machineImages"),
		compute("aggregated/resourcePolicies", "instances", "disks", "reservations", "nodeGroups", "instanceTemplates"),
	}
}

// balancers are load balancers, from what faces the world inwards.
func balancers() []row {
	proxies := []string{"targetHttpProxies", "targetHttpsProxies", "targetGrpcProxies", "targetSslProxies", "targetTcpProxies"}
	rules := compute("aggregated/forwardingRules", "serviceAttachments", "packetMirrorings", "container.clusters")
	return []row{
		rules,
		compute("aggregated/serviceAttachments").in("forwardingRules"),
		compute("aggregated/packetMirrorings").in("forwardingRules"),
		compute("aggregated/targetHttpProxies", "forwardingRules").in("urlMaps"),
		compute("aggregated/targetHttpsProxies", "forwardingRules").in("urlMaps"),
		compute("global/targetGrpcProxies", "forwardingRules").in("urlMaps"),
		compute("global/targetSslProxies", "forwardingRules").in("backendServices"),
		compute("aggregated/targetTcpProxies", "forwardingRules").in("backendServices"),
		compute("aggregated/targetPools", "forwardingRules"),
		compute("aggregated/urlMaps", proxies...),
		compute("aggregated/sslCertificates", proxies...),
		compute("aggregated/sslPolicies", proxies...),
		compute("aggregated/backendServices", append(slices.Clone(proxies), "forwardingRules", "urlMaps")...),
		compute("global/backendBuckets", "urlMaps"),
		compute("aggregated/securityPolicies", "backendServices", "backendBuckets"),
		compute("aggregated/healthChecks", "backendServices", "targetPools", "instanceGroupManagers"),
		compute("global/httpHealthChecks", "backendServices", "targetPools", "instanceGroupManagers"),
		compute("global/httpsHealthChecks", "backendServices", "targetPools", "instanceGroupManagers"),
		compute("aggregated/networkEndpointGroups", "backendServices", "container.clusters"),
	}
}

// networks are networks and what hangs on them. The default network stays, as tests expect it to be there.
func networks() []row {
	policies := compute("aggregated/firewallPolicies", "container.clusters")
	policies.first = releaseFirewallPolicy
	links := row{
		name: "compute.peerings", api: "compute.googleapis.com", base: "compute/v1", parent: "compute.networks", split: peerings,
		after: []string{"container.clusters", "sqladmin.instances"}, within: []string{"compute.networks"},
		remove: removePeering,
	}
	networks := compute("global/networks", "subnetworks", "firewalls", "routes", "routers", "peerings", "vpnGateways", "targetVpnGateways",
		"networkEndpointGroups", "instanceTemplates", "addresses", "firewallPolicies", "dns.managedZones", "dns.policies",
		"dns.responsePolicies", "networkconnectivity.internalRanges", "networkconnectivity.spokes", "vpcaccess.connectors").keeping(keepNetwork)
	networks.shared = true
	ranges := row{
		name: "compute.secondaryIpRanges", api: "compute.googleapis.com", base: "compute/v1", parent: "compute.subnetworks", split: secondaryRanges,
		after: []string{"container.clusters", "compute.instances"}, within: []string{"compute.subnetworks"}, remove: removeRange,
	}
	subnetworks := compute("aggregated/subnetworks", "instances", "forwardingRules", "serviceAttachments", "packetMirrorings",
		"networkAttachments", "routers", "addresses", "networkEndpointGroups", "vpcaccess.connectors",
		"networkconnectivity.serviceConnectionPolicies", "container.clusters").in("networks").keeping(keepSubnetwork)
	subnetworks.shared = true
	return []row{
		policies, links, networks, ranges, subnetworks,
		compute("aggregated/addresses", "forwardingRules", "instances", "routers", "vpnGateways", "targetVpnGateways", "sqladmin.instances"),
		compute("global/routes", "container.clusters", "forwardingRules").in("networks").keeping(keepRoute),
		compute("global/firewalls", "container.clusters", "forwardingRules").in("networks").keeping(keepFirewall),
		compute("aggregated/vpnTunnels", "routes").in("vpnGateways", "targetVpnGateways"),
		compute("aggregated/vpnGateways", "vpnTunnels"),
		compute("aggregated/targetVpnGateways", "vpnTunnels", "forwardingRules"),
		compute("global/externalVpnGateways", "vpnTunnels"),
		compute("aggregated/interconnectAttachments").in("routers"),
		compute("global/interconnects", "interconnectAttachments"),
		compute("aggregated/routers", "vpnTunnels", "interconnectAttachments", "instances", "container.clusters", "networkconnectivity.spokes"),
		compute("aggregated/networkAttachments", "instances").in("subnetworks"),
	}
}

// api is a row of an API in Google's newer style: objects are named projects/P/locations/L/COLLECTION/NAME.
func api(service, base, list, items string, after ...string) row {
	prefix := strings.TrimSuffix(service, ".googleapis.com")
	return row{
		name: prefix + "." + list[strings.LastIndex(list, "/")+1:], api: service, base: base, list: list, items: items, after: after,
	}
}

func clusters() []row {
	kube := api("container.googleapis.com", "v1", "locations/-/clusters", "clusters", "gkebackup.backups", "gkebackup.restores")
	hub := api("gkehub.googleapis.com", "v1", "locations/-/memberships", "resources")
	hub.purge = url.Values{"force": {"true"}}
	backups := api("gkebackup.googleapis.com", "v1", "locations/-/backupPlans/-/backups", "backups")
	backups.within = []string{"gkebackup.backupPlans"}
	backups.purge = url.Values{"force": {"true"}}
	restores := api("gkebackup.googleapis.com", "v1", "locations/-/restorePlans/-/restores", "restores")
	restores.within = []string{"gkebackup.restorePlans"}
	restores.purge = url.Values{"force": {"true"}}
	return []row{
		kube, hub, backups, restores,
		api("gkebackup.googleapis.com", "v1", "locations/-/backupPlans", "backupPlans", "gkebackup.backups", "gkebackup.restorePlans"),
		api("gkebackup.googleapis.com", "v1", "locations/-/restorePlans", "restorePlans", "gkebackup.restores"),
		api("tpu.googleapis.com", "v2", "locations/-/nodes", "nodes"),
		api("vpcaccess.googleapis.com", "v1", "locations/{location}/connectors", "connectors", "run.services", "cloudfunctions.functions"),
		api("networkconnectivity.googleapis.com", "v1", "locations/-/internalRanges", "internalRanges", "compute.subnetworks"),
		api("networkconnectivity.googleapis.com", "v1", "locations/-/serviceConnectionPolicies", "serviceConnectionPolicies"),
		api("networkconnectivity.googleapis.com", "v1", "locations/-/spokes", "spokes"),
		api("networkconnectivity.googleapis.com", "v1", "locations/global/hubs", "hubs", "networkconnectivity.spokes"),
		api("certificatemanager.googleapis.com", "v1", "locations/-/certificates", "certificates", "certificatemanager.certificateMaps", "compute.targetHttpsProxies"),
		api("certificatemanager.googleapis.com", "v1", "locations/-/certificateMaps", "certificateMaps", "compute.targetHttpsProxies", "compute.targetSslProxies"),
	}
}

// stores are what holds data.
func stores() []row {
	file := api("file.googleapis.com", "v1", "locations/-/instances", "instances")
	file.purge = url.Values{"force": {"true"}}
	buckets := row{
		name: "storage.buckets", api: "storage.googleapis.com", base: "storage/v1", list: "/b", items: "items", created: "timeCreated",
		query: url.Values{"project": {"{project}"}, "maxResults": {"1000"}},
		id:    func(_ *project, i item) string { return "b/" + i.text("name") },
		whole: func(p *project, i item) bool { return i.text("projectNumber") == p.account.Number },
		first: emptyBucket,
	}
	datasets := row{
		name: "bigquery.datasets", api: "bigquery.googleapis.com", base: "bigquery/v2", list: "datasets", items: "datasets",
		query: url.Values{"all": {"true"}, "maxResults": {"1000"}}, purge: url.Values{"deleteContents": {"true"}}, id: datasetID,
	}
	sql := row{
		name: "sqladmin.instances", api: "sqladmin.googleapis.com", base: "v1", list: "instances", items: "items",
		id:     func(p *project, i item) string { return "projects/" + p.account.ID + "/instances/" + i.text("name") },
		whole:  func(p *project, i item) bool { return i.text("project") == p.account.ID },
		unlock: unprotectDatabase,
	}
	return []row{
		file, buckets, datasets, sql,
		api("file.googleapis.com", "v1", "locations/-/backups", "backups", "file.instances"),
		api("parallelstore.googleapis.com", "v1", "locations/-/instances", "instances"),
		api("lustre.googleapis.com", "v1", "locations/-/instances", "instances"),
		api("redis.googleapis.com", "v1", "locations/-/instances", "instances"),
		api("artifactregistry.googleapis.com", "v1", "locations/-/repositories", "repositories"),
	}
}

// services are the rest.
func services() []row {
	const dns = "dns.googleapis.com"
	zones := api(dns, "dns/v1", "managedZones", "managedZones")
	zones.created, zones.first = "creationTime", emptyZone
	policies := api(dns, "dns/v1", "policies", "policies")
	policies.first = releasePolicy
	responses := api(dns, "dns/v1", "responsePolicies", "responsePolicies")
	responses.first, responses.id = emptyResponsePolicy, responsePolicyID
	sinks := api("logging.googleapis.com", "v2", "sinks", "sinks").keeping(keepLogging)
	logs := api("logging.googleapis.com", "v2", "locations/-/buckets", "buckets", "logging.sinks").keeping(keepLogging)
	logs.skip = func(i item) bool { return i.text("lifecycleState") == "DELETE_REQUESTED" }
	topics := api("pubsub.googleapis.com", "v1", "topics", "topics", "pubsub.subscriptions", "pubsub.snapshots").keeping(keepTopic)
	return []row{
		zones, policies, responses, sinks, logs, topics,
		api("pubsub.googleapis.com", "v1", "subscriptions", "subscriptions"),
		api("pubsub.googleapis.com", "v1", "snapshots", "snapshots", "pubsub.subscriptions"),
		api("pubsub.googleapis.com", "v1", "schemas", "schemas", "pubsub.topics"),
		api("cloudfunctions.googleapis.com", "v2", "locations/-/functions", "functions"),
		api("run.googleapis.com", "v2", "locations/{location}/services", "services", "cloudfunctions.functions"),
		api("run.googleapis.com", "v2", "locations/{location}/jobs", "jobs"),
		api("run.googleapis.com", "v2", "locations/{location}/workerPools", "workerPools"),
	}
}

// keyInventory is the one call that knows a project's keys in all locations; the service belongs to the credential's own
// project, so that it need not be enabled in each.
func keyInventory() row { return api("kmsinventory.googleapis.com", "v1", "cryptoKeys", "cryptoKeys") }

// identities are who may do what, and the secrets of it.
func identities() []row {
	accounts := api("iam.googleapis.com", "v1", "serviceAccounts", "accounts", "iam.keys", "iam.bindings").keeping(keepServiceAccount)
	keys := api("iam.googleapis.com", "v1", "serviceAccounts/keys", "keys").keeping(keepKey)
	accounts.shared = true
	keys.list, keys.parent = "/{parent}/keys", "iam.serviceAccounts"
	keys.query, keys.created, keys.within = url.Values{"keyTypes": {"USER_MANAGED"}}, "validAfterTime", []string{"iam.serviceAccounts"}
	versions := row{
		name: "cloudkms.cryptoKeyVersions", api: "cloudkms.googleapis.com", base: "v1", list: "/{parent}/cryptoKeyVersions",
		parent: "kmsinventory.cryptoKeys", items: "cryptoKeyVersions", query: url.Values{"filter": {"state=ENABLED OR state=DISABLED"}},
		remove: destroyKeyVersion,
	}
	secrets := api("secretmanager.googleapis.com", "v1", "secrets", "secrets")
	return []row{
		accounts, keys, bindings(), versions, secrets,
		api("apikeys.googleapis.com", "v2", "locations/global/keys", "keys"),
	}
}
