// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"path"
	"strings"
)

// gceAPI is how one API names, lists and deletes its objects.
type gceAPI struct {
	host, base string
	service    string            // whose endpoint the host is: "container" of test-container.sandbox.googleapis.com
	created    string            // field that says when an object was made
	items      map[string]string // key of a list by collection, where it is not the collection; "*" is every one
	operation  string            // of a delete: "status" (Compute Engine's form), "done" (google.longrunning), "" is at once
	cascades   bool              // a delete takes what is below the object with it
	anywhere   bool              // served whether the service is enabled or not
	name       func(o *gceObject) map[string]any
}

func (a gceAPI) shape(o *gceObject) map[string]any {
	if a.name != nil {
		return a.name(o)
	}
	return map[string]any{"name": o.id}
}

// gceAPIs are the APIs by the first part of their host.
func gceAPIs() map[string]gceAPI {
	apis := map[string]gceAPI{
		"compute":      {base: "compute/v1", created: "creationTimestamp", items: map[string]string{"*": "items"}, operation: "status", name: linked},
		"container":    {created: "createTime", operation: "status", name: linked},
		"sqladmin":     {created: "createTime", items: map[string]string{"*": "items"}, operation: "status", name: database},
		"dns":          {base: "dns/v1", created: "creationTime", name: short},
		"logging":      {base: "v2", name: sinkOrBucket, created: "createTime"},
		"bigquery":     {base: "bigquery/v2", cascades: true, name: dataset},
		"storage":      {base: "storage/v1", created: "timeCreated", items: map[string]string{"*": "items"}, anywhere: true, name: bucketOrObject},
		"iam":          {cascades: true, created: "validAfterTime", items: map[string]string{"serviceAccounts": "accounts"}, name: serviceAccount},
		"gkehub":       {created: "createTime", items: map[string]string{"memberships": "resources"}, operation: "done"},
		"pubsub":       {},
		"run":          {base: "v2", created: "createTime", operation: "done"},
		"tpu":          {base: "v2", created: "createTime", operation: "done"},
		"apikeys":      {base: "v2", created: "createTime", operation: "done"},
		"cloudkms":     {created: "createTime"},
		"kmsinventory": {anywhere: true},
	}
	apis["cloudfunctions"] = gceAPI{base: "v2", created: "createTime", operation: "done"}
	apis["secretmanager"] = gceAPI{created: "createTime", cascades: true}
	for _, service := range []string{
		"file", "parallelstore", "lustre", "redis", "artifactregistry", "gkebackup", "networkconnectivity", "certificatemanager", "vpcaccess",
	} {
		apis[service] = gceAPI{created: "createTime", operation: "done", cascades: service == "artifactregistry"}
	}
	for service, endpoints := range map[string][]string{
		"container": {"test-container", "staging-container", "staging2-container"},
		"gkehub":    {"staging-gkehub", "autopush-gkehub"},
		"lustre":    {"staging-lustre", "autopush-lustre"},
	} {
		for _, endpoint := range endpoints {
			a := apis[service]
			a.service = service
			apis[endpoint+".sandbox"] = a
		}
	}
	for name, a := range apis {
		a.host = name + ".googleapis.com"
		if a.base == "" {
			a.base = "v1"
		}
		if a.service == "" {
			a.service = name
		}
		apis[name] = a
	}
	return apis
}

// key is the field of a list that holds its objects.
func (a gceAPI) key(collection string) string {
	for _, name := range []string{collection, "*"} {
		if key := a.items[name]; key != "" {
			return key
		}
	}
	return collection
}

func linked(o *gceObject) map[string]any {
	return map[string]any{"name": path.Base(o.id), "selfLink": "https://" + o.path}
}

// short: record sets have their own, and response policies another word for it.
func short(o *gceObject) map[string]any {
	if strings.Contains(o.id, "/responsePolicies/") {
		return map[string]any{"responsePolicyName": path.Base(o.id)}
	}
	if name, ok := o.Fields["name"]; ok {
		return map[string]any{"name": name}
	}
	return map[string]any{"name": path.Base(o.id)}
}

func database(o *gceObject) map[string]any {
	return map[string]any{"name": path.Base(o.id), "project": o.project.id}
}

// sinkOrBucket: sinks have short names, buckets of logs long ones.
func sinkOrBucket(o *gceObject) map[string]any {
	if strings.Contains(o.id, "/locations/") {
		return map[string]any{"name": o.id}
	}
	return short(o)
}

func dataset(o *gceObject) map[string]any {
	return map[string]any{
		"name": nil, "id": o.project.id + ":" + path.Base(o.id),
		"datasetReference": map[string]any{"projectId": o.project.id, "datasetId": path.Base(o.id)},
	}
}

// bucketOrObject: the key of an object ends in #GENERATION.
func bucketOrObject(o *gceObject) map[string]any {
	if _, object, ok := strings.Cut(o.id, "/o/"); ok {
		name, generation, _ := strings.Cut(object, "#")
		return map[string]any{"name": name, "generation": generation}
	}
	return map[string]any{"name": path.Base(o.id), "projectNumber": o.project.Number}
}

func serviceAccount(o *gceObject) map[string]any {
	if strings.Contains(o.id, "/keys/") {
		return map[string]any{"name": o.id}
	}
	return map[string]any{"name": o.id, "email": path.Base(o.id), "projectId": o.project.id}
}
