// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package awsfake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// specials are the actions that are neither a list nor a deletion, by "service action".
func specials() map[string]func(*Server, *request) (any, *failure) {
	all := map[string]func(*Server, *request) (any, *failure){
		"sts GetCallerIdentity":         (*Server).caller,
		"sts AssumeRole":                (*Server).assume,
		"organizations DescribeAccount": (*Server).describeAccount,
		"organizations ListParents":     (*Server).listParents,

		"ec2 DescribeRegions":                       (*Server).describeRegions,
		"ec2 DescribeAccountAttributes":             nothing,
		"ec2 DetachInternetGateway":                 detach("ec2 internet-gateway", "InternetGatewayId", "attachmentSet"),
		"ec2 DetachVpnGateway":                      detach("ec2 vpn-gateway", "VpnGatewayId", "attachments"),
		"ec2 RevokeSecurityGroupIngress":            revoke("ipPermissions"),
		"ec2 RevokeSecurityGroupEgress":             revoke("ipPermissionsEgress"),
		"ec2 DeleteTransitGatewayPeeringAttachment": (*Server).deletePeering,

		"ec2 ModifyInstanceAttribute":                       unprotect("ec2 instance", "InstanceId"),
		"rds ModifyDBInstance":                              unprotect("rds instance", "DBInstanceIdentifier"),
		"rds ModifyDBCluster":                               unprotect("rds cluster", "DBClusterIdentifier"),
		"elasticloadbalancing ModifyLoadBalancerAttributes": unprotect("elasticloadbalancing balancer", "LoadBalancerArn"),
		"cloudformation UpdateTerminationProtection":        unprotect("cloudformation stack", "StackName"),

		"elb DescribeTags":                  balancerTags("LoadBalancerName"),
		"elasticloadbalancing DescribeTags": balancerTags("ResourceArn"),
		"sqs GetQueueUrl":                   (*Server).queueURL,
		"sqs GetQueueAttributes":            (*Server).queueAttributes,
		"sqs ListQueueTags":                 tagsOf("sqs", "QueueUrl", "Tags", false),
		"ecs DescribeClusters":              (*Server).describeClusters,
		"kms DescribeKey":                   (*Server).describeKey,
		"kms ListResourceTags":              (*Server).keyTags,
		"secretsmanager DescribeSecret":     (*Server).describeSecret,
		"eks GET /clusters/{name}":          (*Server).describeEKS,
		"lambda GET /2017-03-31/tags/{arn}": tagsOf("lambda", "arn", "Tags", false),
		"ecr ListTagsForResource":           tagsOf("ecr", "resourceArn", "tags", true),
		"events ListTagsForResource":        tagsOf("events", "ResourceARN", "Tags", true),
		"logs ListTagsForResource":          tagsOf("logs", "resourceArn", "tags", false),
		"rds ListTagsForResource":           tagsOf("rds", "ResourceName", "TagList.Tag", true),
		"elasticache ListTagsForResource":   tagsOf("elasticache", "ResourceName", "TagList.Tag", true),
		"organizations ListTagsForResource": func(*Server, *request) (any, *failure) {
			return map[string]any{"Tags": pairs(map[string]string{"pool": "aws-account"}, false)}, nil
		},
	}
	for name, special := range iamSpecials() {
		all[name] = special
	}
	return all
}

func nothing(*Server, *request) (any, *failure) { return map[string]any{}, nil }

func (s *Server) caller(*request) (any, *failure) {
	return map[string]any{"Account": s.opts.Account, "Arn": s.opts.Caller, "UserId": "AIDAEXAMPLE"}, nil
}

func (s *Server) assume(r *request) (any, *failure) {
	if r.get("RoleArn") == "" || r.get("RoleSessionName") == "" {
		return nil, &failure{http.StatusBadRequest, "ValidationError", "which role?"}
	}
	return map[string]any{"Credentials": map[string]any{
		"AccessKeyId": s.opts.AccessKey, "SecretAccessKey": "assumed", "SessionToken": "session", "Expiration": "2100-01-01T00:00:00Z",
	}}, nil
}

// The account stands in two units below the root.
func (s *Server) describeAccount(r *request) (any, *failure) {
	if r.get("AccountId") != s.opts.Account {
		return nil, &failure{http.StatusBadRequest, "AccountNotFoundException", "You specified an account that doesn't exist."}
	}
	return map[string]any{"Account": map[string]any{"Id": s.opts.Account, "Name": "test", "Status": "ACTIVE"}}, nil
}

func (s *Server) listParents(r *request) (any, *failure) {
	parent := map[string]string{s.opts.Account: "ou-root-tests", "ou-root-tests": "ou-root-all", "ou-root-all": "r-root"}[r.get("ChildId")]
	if parent == "" {
		return nil, &failure{http.StatusBadRequest, "ChildNotFoundException", "no such child"}
	}
	return map[string]any{"Parents": []any{map[string]any{"Id": parent, "Type": "ORGANIZATIONAL_UNIT"}}}, nil
}

func (s *Server) describeRegions(*request) (any, *failure) {
	list := []any{}
	for _, name := range s.opts.Regions {
		list = append(list, map[string]any{"regionName": name, "optInStatus": "opt-in-not-required"})
	}
	return map[string]any{"regionInfo": map[string]any{"item": list}}, nil
}

// detach takes the hold of a gateway on a VPC away.
func detach(name, param, field string) func(*Server, *request) (any, *failure) {
	return func(s *Server, r *request) (any, *failure) {
		k, _ := kindNamed(name)
		o := s.find(k, r.at(), "", r.get(param))
		if o == nil {
			return nil, missing(k, r.get(param))
		}
		vpc := r.get("VpcId")
		if !slices.Contains(o.Holds, vpc) {
			return nil, &failure{http.StatusBadRequest, "Gateway.NotAttached", o.ID + " is not attached to " + vpc}
		}
		o.Holds = slices.DeleteFunc(o.Holds, func(id string) bool { return id == vpc })
		delete(o.Fields, field)
		return map[string]any{"return": true}, nil
	}
}

// revoke takes a rule out of a group, and its hold on the group that it names.
func revoke(field string) func(*Server, *request) (any, *failure) {
	return func(s *Server, r *request) (any, *failure) {
		k, _ := kindNamed("ec2 security-group")
		o := s.find(k, r.at(), "", r.get("GroupId"))
		if o == nil {
			return nil, missing(k, r.get("GroupId"))
		}
		group := r.get("IpPermissions.1.Groups.1.GroupId")
		if r.get("IpPermissions.1.IpProtocol") == "" || len(named(o, field, group)) == 0 {
			return nil, &failure{http.StatusBadRequest, "InvalidPermission.NotFound", "The specified rule does not exist in this security group."}
		}
		delete(o.Fields, field)
		o.Holds = slices.DeleteFunc(o.Holds, func(id string) bool { return id == group })
		return map[string]any{"return": true}, nil
	}
}

func (s *Server) deletePeering(r *request) (any, *failure) {
	k, _ := kindNamed("ec2 attachment")
	return s.removeKind(r, k)
}

// unprotect turns the protection of an object off.
func unprotect(name, param string) func(*Server, *request) (any, *failure) {
	return func(s *Server, r *request) (any, *failure) {
		k, _ := kindNamed(name)
		o := s.find(k, r.at(), "", r.get(param))
		if o == nil {
			return nil, missing(k, r.get(param))
		}
		delete(o.Fields, "protected")
		delete(o.Fields, "EnableTerminationProtection")
		return map[string]any{}, nil
	}
}

func balancerTags(field string) func(*Server, *request) (any, *failure) {
	return func(s *Server, r *request) (any, *failure) {
		asked := r.all(field + "s")
		if len(asked) > 20 {
			return nil, &failure{http.StatusBadRequest, "ValidationError", "more than 20"}
		}
		list := []any{}
		for _, id := range asked {
			o := s.named(r.service, r.at(), id)
			if o == nil {
				return nil, &failure{http.StatusBadRequest, "LoadBalancerNotFound", id + " does not exist"}
			}
			list = append(list, map[string]any{field: id, "Tags": map[string]any{"member": pairs(o.Tags, false)}})
		}
		return map[string]any{"TagDescriptions": map[string]any{"member": list}}, nil
	}
}

// named finds an object of a service by its id or an ARN that ends in it.
func (s *Server) named(service, region, name string) *Object {
	for _, o := range s.objects {
		whose, _, _ := strings.Cut(o.Kind, " ")
		if whose == service && o.Region == region && (o.ID == name || strings.HasSuffix(name, "/"+o.ID) || strings.HasSuffix(name, ":"+o.ID)) {
			return o
		}
	}
	return nil
}

// tagsOf answers the tags of what a field names: a list of pairs, or an object.
func tagsOf(service, field, at string, list bool) func(*Server, *request) (any, *failure) {
	return func(s *Server, r *request) (any, *failure) {
		o := s.named(service, r.at(), r.get(field))
		if o == nil {
			return nil, &failure{http.StatusBadRequest, "ResourceNotFoundException", r.get(field) + " does not exist"}
		}
		answer := map[string]any{}
		if list {
			put(answer, at, pairs(o.Tags, false))
			return answer, nil
		}
		tags := map[string]any{}
		for key, value := range o.Tags {
			tags[key] = value
		}
		put(answer, at, tags)
		return answer, nil
	}
}

func (s *Server) queueURL(r *request) (any, *failure) {
	o := s.named("sqs", r.at(), "/"+r.get("QueueName"))
	for _, q := range s.objects {
		if q.Kind == "sqs queue" && q.Region == r.at() && strings.HasSuffix(q.ID, "/"+r.get("QueueName")) {
			o = q
		}
	}
	if o == nil {
		return nil, &failure{http.StatusBadRequest, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist."}
	}
	return map[string]any{"QueueUrl": o.ID}, nil
}

func (s *Server) queueAttributes(r *request) (any, *failure) {
	o := s.named("sqs", r.at(), r.get("QueueUrl"))
	if o == nil {
		return nil, &failure{http.StatusBadRequest, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist."}
	}
	return map[string]any{"Attributes": map[string]any{"CreatedTimestamp": fmt.Sprint(o.Fields["CreatedTimestamp"])}}, nil
}

func (s *Server) describeClusters(r *request) (any, *failure) {
	list := []any{}
	for _, id := range r.all("clusters") {
		if o := s.named("ecs", r.at(), id); o != nil {
			list = append(list, map[string]any{"clusterArn": id, "clusterName": id[strings.LastIndex(id, "/")+1:], "status": "ACTIVE",
				"tags": pairs(o.Tags, true)})
		}
	}
	return map[string]any{"clusters": list}, nil
}

func (s *Server) describeKey(r *request) (any, *failure) {
	k, _ := kindNamed("kms key")
	o := s.find(k, r.at(), "", r.get("KeyId"))
	if o == nil {
		return nil, missing(k, r.get("KeyId"))
	}
	meta := o.show()
	if meta["KeyManager"] == nil {
		meta["KeyManager"] = "CUSTOMER"
	}
	return map[string]any{"KeyMetadata": meta}, nil
}

func (s *Server) keyTags(r *request) (any, *failure) {
	o := s.named("kms", r.at(), r.get("KeyId"))
	list := []any{}
	for key, value := range o.Tags {
		list = append(list, map[string]any{"TagKey": key, "TagValue": value})
	}
	return map[string]any{"Tags": list, "Truncated": false}, nil
}

func (s *Server) describeSecret(r *request) (any, *failure) {
	k, _ := kindNamed("secretsmanager secret")
	o := s.find(k, r.at(), "", r.get("SecretId"))
	if o == nil {
		return nil, missing(k, r.get("SecretId"))
	}
	return o.show(), nil
}

func (s *Server) describeEKS(r *request) (any, *failure) {
	k, _ := kindNamed("eks cluster")
	o := s.find(k, r.at(), "", r.get("name"))
	if o != nil {
		s.look(k, o)
	}
	if o = s.find(k, r.at(), "", r.get("name")); o == nil {
		return nil, missing(k, r.get("name"))
	}
	cluster := o.show()
	tags := map[string]any{}
	for key, value := range o.Tags {
		tags[key] = value
	}
	cluster["name"], cluster["tags"] = o.ID, tags
	return map[string]any{"cluster": cluster}, nil
}

// iamSpecials look at one identity.
func iamSpecials() map[string]func(*Server, *request) (any, *failure) {
	return map[string]func(*Server, *request) (any, *failure){
		"iam DeleteLoginProfile": func(*Server, *request) (any, *failure) {
			return nil, &failure{http.StatusNotFound, "NoSuchEntity", "Login Profile for User cannot be found."}
		},
		"iam ListUserTags":             identityTags("iam user", "UserName"),
		"iam ListPolicyTags":           identityTags("iam policy", "PolicyArn"),
		"iam GetRole":                  identity("iam role", "RoleName", "Role"),
		"iam GetGroup":                 identity("iam group", "GroupName", "Group"),
		"iam GetInstanceProfile":       identity("iam profile", "InstanceProfileName", "InstanceProfile"),
		"iam GetOpenIDConnectProvider": identity("iam provider", "OpenIDConnectProviderArn", ""),
		"iam ListEntitiesForPolicy":    (*Server).entities,
		"iam DeleteVirtualMFADevice":   nothing,
	}
}

func identityTags(name, param string) func(*Server, *request) (any, *failure) {
	return func(s *Server, r *request) (any, *failure) {
		k, _ := kindNamed(name)
		o := s.find(k, "", "", r.get(param))
		if o == nil {
			return nil, missing(k, r.get(param))
		}
		return map[string]any{"Tags": map[string]any{"member": pairs(o.Tags, false)}, "IsTruncated": false}, nil
	}
}

func identity(name, param, at string) func(*Server, *request) (any, *failure) {
	return func(s *Server, r *request) (any, *failure) {
		k, _ := kindNamed(name)
		o := s.find(k, "", "", r.get(param))
		if o == nil {
			return nil, missing(k, r.get(param))
		}
		fields := o.show()
		fields["Tags"] = map[string]any{"member": pairs(o.Tags, false)}
		if at == "" {
			return fields, nil
		}
		answer := map[string]any{at: fields, "IsTruncated": false}
		if name == "iam profile" {
			fields["Roles"] = map[string]any{"member": s.rolesOf(o.ID)}
		}
		return answer, nil
	}
}

// rolesOf are the roles in an instance profile.
func (s *Server) rolesOf(profile string) []any {
	list := []any{}
	for _, o := range s.objects {
		if o.Kind == "iam profile-role" && o.ID == profile {
			list = append(list, map[string]any{"RoleName": o.Parent, "Path": "/"})
		}
	}
	return list
}

// entities are who has a policy.
func (s *Server) entities(r *request) (any, *failure) {
	answer := map[string]any{"IsTruncated": false}
	for kind, at := range map[string][2]string{
		"iam user-attached": {"PolicyUsers", "UserName"}, "iam role-attached": {"PolicyRoles", "RoleName"},
		"iam group-attached": {"PolicyGroups", "GroupName"},
	} {
		list := []any{}
		for _, o := range s.objects {
			if o.Kind == kind && o.ID == r.get("PolicyArn") {
				list = append(list, map[string]any{at[1]: o.Parent})
			}
		}
		answer[at[0]] = map[string]any{"member": list}
	}
	return answer, nil
}
