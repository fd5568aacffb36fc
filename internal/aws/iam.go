// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"sigs.k8s.io/steward/internal/sweep"
)

func identityRows() []row {
	return []row{
		{name: "iam.users", global: true, list: listUsers, remove: deleteUser},
		{name: "iam.groups", global: true, after: names("iam.users"), list: listGroups, remove: deleteGroup},
		{
			name: "iam.instance-profiles", global: true, after: names("ec2.instances ec2.launch-templates autoscaling.launch-configurations"),
			list: listProfiles, remove: deleteProfile,
		},
		{
			name: "iam.roles", global: true, list: listRoles, remove: deleteRole,
			after: names("iam.instance-profiles eks.clusters ecs.clusters lambda.functions autoscaling.groups rds.instances rds.clusters"),
		},
		{name: "iam.policies", global: true, after: names("iam.users iam.groups iam.roles"), list: listPolicies, remove: deletePolicy},
		{name: "iam.oidc-providers", global: true, after: names("eks.clusters"), list: listProviders, remove: deleteProvider},
	}
}

func (r *region) iam() *iam.Client { return iam.NewFromConfig(r.sdk("iam")) }

// stays says which identities nobody may take away: those of AWS, those by which the organization gets in, and the caller's
// own, without which the sweep would end in the middle.
type stays struct{ user, role string }

func (c *Client) stays(ctx context.Context) (stays, error) {
	_, arn, err := c.Account(ctx)
	if err != nil {
		return stays{}, err
	}
	// arn:aws:iam::1:user/path/name, arn:aws:sts::1:assumed-role/name/session
	parts := strings.Split(arn[strings.LastIndex(arn, ":")+1:], "/")
	switch {
	case parts[0] == "user" && len(parts) > 1:
		return stays{user: parts[len(parts)-1]}, nil
	case parts[0] == "assumed-role" && len(parts) > 1:
		return stays{role: parts[1]}, nil
	}
	return stays{}, nil
}

func (s stays) forUser(name string) string {
	if name == s.user {
		return "it is who sweeps"
	}
	return ""
}

func (s stays) forRole(name, path string) string {
	if name == s.role {
		return "it is who sweeps"
	}
	for _, reserved := range []string{"/aws-service-role/", "/aws-reserved/"} {
		if strings.HasPrefix(path, reserved) {
			return "AWS made it, under " + reserved
		}
	}
	if slices.Contains([]string{"OrganizationAccountAccessRole", "AWSControlTowerExecution"}, name) {
		return "the organization gets in by it"
	}
	for _, prefix := range []string{"AWSServiceRole", "AWSReserved", "DatadogIntegration", "stacksets-exec-", "aws-controltower-"} {
		if strings.HasPrefix(name, prefix) {
			return "names that begin with " + prefix + " are not a test's"
		}
	}
	return ""
}

// marked reads pages as IAM has them: a marker, and a flag that it counts.
func marked(ask func(marker *string) (more bool, next *string, err error)) error {
	return paged(func(token string) (string, error) {
		var marker *string
		if token != "" {
			marker = &token
		}
		more, next, err := ask(marker)
		if err != nil || !more {
			return "", bareAPI(err)
		}
		if awssdk.ToString(next) == "" {
			return "", errors.New("list: it is cut short and has no marker")
		}
		return *next, nil
	})
}

func iamTags(tags []types.Tag) map[string]string {
	found := map[string]string{}
	for _, t := range tags {
		found[awssdk.ToString(t.Key)] = awssdk.ToString(t.Value)
	}
	return found
}

func listUsers(ctx context.Context, r *region) ([]item, error) {
	own, err := r.stays(ctx)
	if err != nil {
		return nil, err
	}
	api := r.iam()
	var items []item
	err = marked(func(m *string) (bool, *string, error) {
		out, err := api.ListUsers(ctx, &iam.ListUsersInput{Marker: m})
		if err != nil {
			return false, nil, err
		}
		for _, u := range out.Users {
			name := awssdk.ToString(u.UserName)
			items = append(items, item{
				name: name, arn: awssdk.ToString(u.Arn), keep: own.forUser(name),
				created: latest(awssdk.ToTime(u.CreateDate), awssdk.ToTime(u.PasswordLastUsed)),
			})
		}
		return out.IsTruncated, out.Marker, nil
	})
	if err != nil {
		return nil, err
	}
	return items, fill(items, func(one *item) error {
		out, err := api.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: &one.name})
		if err == nil {
			one.tags = iamTags(out.Tags) // a user has 50 at the most: one page
		}
		return bareAPI(err)
	})
}

// dismantle asks for a list and deletes each of it.
func dismantle[T any](list func() ([]T, error), remove func(T) error) error {
	parts, err := list()
	if err != nil {
		return ungone(bareAPI(err))
	}
	for _, part := range parts {
		if err := remove(part); ungone(err) != nil {
			return bareAPI(err)
		}
	}
	return nil
}

// deleteUser takes everything from a user that IAM counts as a part of it. Each list fits a page: IAM's limits for one
// user are below a hundred.
func deleteUser(ctx context.Context, r *region, o sweep.Object) error {
	api, name := r.iam(), &o.Name
	if _, err := api.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: name}); ungone(err) != nil {
		return bareAPI(err)
	}
	if err := errors.Join(deleteUserKeys(ctx, api, name), leaveUserRights(ctx, api, name)); err != nil {
		return err
	}
	_, err := api.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
	return bareAPI(err)
}

func deleteUserKeys(ctx context.Context, api *iam.Client, name *string) error {
	return errors.Join(
		dismantle(func() ([]types.AccessKeyMetadata, error) {
			out, err := api.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: name})
			return value(out, err).AccessKeyMetadata, err
		}, func(k types.AccessKeyMetadata) error {
			_, err := api.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: name, AccessKeyId: k.AccessKeyId})
			return err
		}),
		dismantle(func() ([]types.SigningCertificate, error) {
			out, err := api.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{UserName: name})
			return value(out, err).Certificates, err
		}, func(c types.SigningCertificate) error {
			_, err := api.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{UserName: name, CertificateId: c.CertificateId})
			return err
		}),
		dismantle(func() ([]types.SSHPublicKeyMetadata, error) {
			out, err := api.ListSSHPublicKeys(ctx, &iam.ListSSHPublicKeysInput{UserName: name})
			return value(out, err).SSHPublicKeys, err
		}, func(k types.SSHPublicKeyMetadata) error {
			_, err := api.DeleteSSHPublicKey(ctx, &iam.DeleteSSHPublicKeyInput{UserName: name, SSHPublicKeyId: k.SSHPublicKeyId})
			return err
		}),
		dismantle(func() ([]types.ServiceSpecificCredentialMetadata, error) {
			out, err := api.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: name})
			return value(out, err).ServiceSpecificCredentials, err
		}, func(c types.ServiceSpecificCredentialMetadata) error {
			_, err := api.DeleteServiceSpecificCredential(ctx, &iam.DeleteServiceSpecificCredentialInput{
				UserName: name, ServiceSpecificCredentialId: c.ServiceSpecificCredentialId})
			return err
		}),
		dismantle(func() ([]types.MFADevice, error) {
			out, err := api.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: name})
			return value(out, err).MFADevices, err
		}, func(d types.MFADevice) error { return deleteMFA(ctx, api, name, d.SerialNumber) }),
	)
}

func deleteMFA(ctx context.Context, api *iam.Client, user, serial *string) error {
	if _, err := api.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: user, SerialNumber: serial}); ungone(err) != nil {
		return err
	}
	if !strings.HasPrefix(awssdk.ToString(serial), "arn:") {
		return nil // a piece of hardware
	}
	_, err := api.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial})
	return err
}

func leaveUserRights(ctx context.Context, api *iam.Client, name *string) error {
	return errors.Join(
		dismantle(func() ([]types.Group, error) {
			out, err := api.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: name})
			return value(out, err).Groups, err
		}, func(g types.Group) error {
			_, err := api.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: name, GroupName: g.GroupName})
			return err
		}),
		dismantle(func() ([]string, error) {
			out, err := api.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: name})
			return value(out, err).PolicyNames, err
		}, func(p string) error {
			_, err := api.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: name, PolicyName: &p})
			return err
		}),
		dismantle(func() ([]types.AttachedPolicy, error) {
			out, err := api.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: name})
			return value(out, err).AttachedPolicies, err
		}, func(p types.AttachedPolicy) error {
			_, err := api.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: p.PolicyArn})
			return err
		}),
	)
}

// value is an answer, or an empty one where there is an error instead.
func value[T any](out *T, err error) *T {
	if err != nil || out == nil {
		return new(T)
	}
	return out
}

// ownGroups are those the caller is in: its rights may come from them.
func ownGroups(ctx context.Context, api *iam.Client, own stays) (map[string]bool, error) {
	groups := map[string]bool{}
	if own.user == "" {
		return groups, nil
	}
	out, err := api.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: &own.user})
	for _, g := range value(out, err).Groups {
		groups[awssdk.ToString(g.GroupName)] = true
	}
	return groups, ungone(bareAPI(err))
}

func listGroups(ctx context.Context, r *region) ([]item, error) {
	own, err := r.stays(ctx)
	if err != nil {
		return nil, err
	}
	api := r.iam()
	var items []item
	err = marked(func(m *string) (bool, *string, error) {
		out, err := api.ListGroups(ctx, &iam.ListGroupsInput{Marker: m})
		if err != nil {
			return false, nil, err
		}
		for _, g := range out.Groups {
			items = append(items, item{name: awssdk.ToString(g.GroupName), arn: awssdk.ToString(g.Arn), created: awssdk.ToTime(g.CreateDate)})
		}
		return out.IsTruncated, out.Marker, nil
	})
	if err != nil || len(items) == 0 {
		return nil, err
	}
	mine, err := ownGroups(ctx, api, own)
	for i := range items {
		if mine[items[i].name] {
			items[i].keep = "who sweeps is in it"
		}
	}
	return items, err
}

func deleteGroup(ctx context.Context, r *region, o sweep.Object) error {
	api, name := r.iam(), &o.Name
	err := errors.Join(
		dismantle(func() ([]types.User, error) {
			out, err := api.GetGroup(ctx, &iam.GetGroupInput{GroupName: name})
			return value(out, err).Users, err
		}, func(u types.User) error {
			_, err := api.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: name, UserName: u.UserName})
			return err
		}),
		dismantle(func() ([]string, error) {
			out, err := api.ListGroupPolicies(ctx, &iam.ListGroupPoliciesInput{GroupName: name})
			return value(out, err).PolicyNames, err
		}, func(p string) error {
			_, err := api.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: name, PolicyName: &p})
			return err
		}),
		dismantle(func() ([]types.AttachedPolicy, error) {
			out, err := api.ListAttachedGroupPolicies(ctx, &iam.ListAttachedGroupPoliciesInput{GroupName: name})
			return value(out, err).AttachedPolicies, err
		}, func(p types.AttachedPolicy) error {
			_, err := api.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: name, PolicyArn: p.PolicyArn})
			return err
		}),
	)
	if err != nil {
		return err
	}
	_, err = api.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: name})
	return bareAPI(err)
}

func listRoles(ctx context.Context, r *region) ([]item, error) {
	own, err := r.stays(ctx)
	if err != nil {
		return nil, err
	}
	api := r.iam()
	var items []item
	err = marked(func(m *string) (bool, *string, error) {
		out, err := api.ListRoles(ctx, &iam.ListRolesInput{Marker: m})
		if err != nil {
			return false, nil, err
		}
		for _, one := range out.Roles {
			name := awssdk.ToString(one.RoleName)
			items = append(items, item{
				name: name, arn: awssdk.ToString(one.Arn), created: awssdk.ToTime(one.CreateDate),
				keep: own.forRole(name, awssdk.ToString(one.Path)),
			})
		}
		return out.IsTruncated, out.Marker, nil
	})
	if err != nil {
		return nil, err
	}
	// Tags and the last use are told for one role at a time. What was used lately is as young as that.
	return items, fill(items, func(one *item) error {
		if one.keep != "" {
			return nil
		}
		out, err := api.GetRole(ctx, &iam.GetRoleInput{RoleName: &one.name})
		if err != nil || out.Role == nil {
			return bareAPI(err)
		}
		one.tags = iamTags(out.Role.Tags)
		if used := out.Role.RoleLastUsed; used != nil {
			one.created = latest(one.created, awssdk.ToTime(used.LastUsedDate))
		}
		return nil
	})
}

func deleteRole(ctx context.Context, r *region, o sweep.Object) error {
	api, name := r.iam(), &o.Name
	err := errors.Join(
		dismantle(func() ([]types.InstanceProfile, error) {
			out, err := api.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: name})
			return value(out, err).InstanceProfiles, err
		}, func(p types.InstanceProfile) error {
			given := &iam.RemoveRoleFromInstanceProfileInput{RoleName: name, InstanceProfileName: p.InstanceProfileName}
			_, err := api.RemoveRoleFromInstanceProfile(ctx, given)
			return err
		}),
		dismantle(func() ([]string, error) {
			out, err := api.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name})
			return value(out, err).PolicyNames, err
		}, func(p string) error {
			_, err := api.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: &p})
			return err
		}),
		dismantle(func() ([]types.AttachedPolicy, error) {
			out, err := api.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})
			return value(out, err).AttachedPolicies, err
		}, func(p types.AttachedPolicy) error {
			_, err := api.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: p.PolicyArn})
			return err
		}),
	)
	if err != nil {
		return err
	}
	_, err = api.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	return bareAPI(err)
}

func listProfiles(ctx context.Context, r *region) ([]item, error) {
	own, err := r.stays(ctx)
	if err != nil {
		return nil, err
	}
	api := r.iam()
	var items []item
	err = marked(func(m *string) (bool, *string, error) {
		out, err := api.ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{Marker: m})
		if err != nil {
			return false, nil, err
		}
		for _, p := range out.InstanceProfiles {
			one := item{name: awssdk.ToString(p.InstanceProfileName), arn: awssdk.ToString(p.Arn), created: awssdk.ToTime(p.CreateDate)}
			for _, role := range p.Roles {
				if own.forRole(awssdk.ToString(role.RoleName), awssdk.ToString(role.Path)) != "" {
					one.keep = "it is for role " + awssdk.ToString(role.RoleName) + ", which stays"
				}
			}
			items = append(items, one)
		}
		return out.IsTruncated, out.Marker, nil
	})
	if err != nil {
		return nil, err
	}
	return items, fill(items, func(one *item) error {
		out, err := api.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: &one.name})
		if err == nil && out.InstanceProfile != nil {
			one.tags = iamTags(out.InstanceProfile.Tags)
		}
		return bareAPI(err)
	})
}

func deleteProfile(ctx context.Context, r *region, o sweep.Object) error {
	api, name := r.iam(), &o.Name
	err := dismantle(func() ([]types.Role, error) {
		out, err := api.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name})
		if err != nil || out.InstanceProfile == nil {
			return nil, err
		}
		return out.InstanceProfile.Roles, nil
	}, func(role types.Role) error {
		given := &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: role.RoleName}
		_, err := api.RemoveRoleFromInstanceProfile(ctx, given)
		return err
	})
	if err != nil {
		return err
	}
	_, err = api.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name})
	return bareAPI(err)
}

func listPolicies(ctx context.Context, r *region) ([]item, error) {
	own, err := r.stays(ctx)
	if err != nil {
		return nil, err
	}
	api := r.iam()
	var items []item
	used := map[string]bool{}
	err = marked(func(m *string) (bool, *string, error) {
		out, err := api.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, Marker: m})
		if err != nil {
			return false, nil, err
		}
		for _, p := range out.Policies {
			one := item{name: awssdk.ToString(p.PolicyName), arn: awssdk.ToString(p.Arn), created: awssdk.ToTime(p.CreateDate)}
			used[one.arn] = awssdk.ToInt32(p.AttachmentCount)+awssdk.ToInt32(p.PermissionsBoundaryUsageCount) > 0
			items = append(items, one)
		}
		return out.IsTruncated, out.Marker, nil
	})
	if err != nil || len(items) == 0 {
		return nil, err
	}
	groups, err := ownGroups(ctx, api, own)
	if err != nil {
		return nil, err
	}
	return items, fill(items, func(one *item) error {
		out, err := api.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: &one.arn})
		one.tags = iamTags(value(out, err).Tags)
		if err != nil || !used[one.arn] {
			return bareAPI(err)
		}
		one.keep, err = heldBy(ctx, api, one.arn, own, groups)
		return err
	})
}

// heldBy says that a policy stays because somebody who stays has it: it is never taken from anybody.
func heldBy(ctx context.Context, api *iam.Client, arn string, own stays, groups map[string]bool) (string, error) {
	keep := ""
	err := marked(func(m *string) (bool, *string, error) {
		out, err := api.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: &arn, Marker: m})
		if err != nil {
			return false, nil, err
		}
		for _, role := range out.PolicyRoles {
			if name := awssdk.ToString(role.RoleName); own.forRole(name, "") != "" {
				keep = fmt.Sprintf("role %s has it, which stays", name)
			}
		}
		for _, user := range out.PolicyUsers {
			if own.forUser(awssdk.ToString(user.UserName)) != "" {
				keep = "who sweeps has it"
			}
		}
		for _, group := range out.PolicyGroups {
			if groups[awssdk.ToString(group.GroupName)] {
				keep = "who sweeps has it by a group"
			}
		}
		return out.IsTruncated, out.Marker, nil
	})
	return keep, err
}

func deletePolicy(ctx context.Context, r *region, o sweep.Object) error {
	api := r.iam()
	err := dismantle(func() ([]types.PolicyVersion, error) {
		out, err := api.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: &o.ID})
		return value(out, err).Versions, err
	}, func(v types.PolicyVersion) error {
		if v.IsDefaultVersion {
			return nil
		}
		_, err := api.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &o.ID, VersionId: v.VersionId})
		return err
	})
	if err != nil {
		return err
	}
	_, err = api.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &o.ID})
	return bareAPI(err)
}

// listProviders keeps identity providers without the tag of a cluster: the account's own way in may be one.
func listProviders(ctx context.Context, r *region) ([]item, error) {
	api := r.iam()
	out, err := api.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
	if err != nil {
		return nil, bareAPI(err)
	}
	items := make([]item, len(out.OpenIDConnectProviderList))
	for i, p := range out.OpenIDConnectProviderList {
		arn := awssdk.ToString(p.Arn)
		_, name, _ := strings.Cut(arn, "/")
		items[i] = item{name: name, arn: arn, keep: "it has no tag of a cluster"}
	}
	return items, fill(items, func(one *item) error {
		out, err := api.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &one.arn})
		if err != nil {
			return bareAPI(err)
		}
		one.created, one.tags = awssdk.ToTime(out.CreateDate), iamTags(out.Tags)
		for key := range one.tags {
			if key == "KubernetesCluster" || strings.HasPrefix(key, "kubernetes.io/cluster/") || strings.HasPrefix(key, "alpha.eksctl.io/cluster-name") {
				one.keep = ""
			}
		}
		return nil
	})
}

func deleteProvider(ctx context.Context, r *region, o sweep.Object) error {
	_, err := r.iam().DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &o.ID})
	return bareAPI(err)
}
