// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package awsfake

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// answer does what a call asks for. It holds the lock, so that calls come one after the other.
func (s *Server) answer(r *request) (any, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.service {
	case "s3":
		return s.storage(r)
	case "route53":
		return s.names(r)
	}
	if special, ok := specials()[r.service+" "+r.action]; ok {
		return special(s, r)
	}
	for _, k := range kinds() {
		service, _, _ := strings.Cut(k.name, " ")
		switch {
		case service != r.service:
		case k.list == r.action:
			return s.listKind(r, k)
		case k.remove == r.action:
			return s.removeKind(r, k)
		}
	}
	name := r.service + " " + r.action
	s.unknown = append(s.unknown, name)
	return nil, &failure{http.StatusNotImplemented, "NotImplemented", "awsfake does not know " + name}
}

// at is the region that a call is about: none for what is global.
func (r *request) at() string {
	if r.service == "iam" {
		return ""
	}
	return r.region
}

func missing(k kind, id string) *failure {
	return &failure{http.StatusBadRequest, k.missing, id + " does not exist"}
}

// listKind answers one page of a list.
func (s *Server) listKind(r *request, k kind) (any, *failure) {
	chosen := r.all(k.by)
	for _, id := range chosen {
		if s.find(k, r.at(), "", id) == nil {
			return nil, missing(k, id)
		}
	}
	var shown []*Object
	for _, o := range slices.Clone(s.objects) {
		if o.Kind != k.name || o.Region != r.at() || k.parent != "" && o.Parent != r.get(k.parent) {
			continue
		}
		if len(chosen) > 0 && !slices.Contains(chosen, o.ID) || !r.filtered(o) {
			continue
		}
		s.look(k, o)
		if !slices.Contains(s.objects, o) || o.over() && k.name == "cloudformation stack" && len(chosen) == 0 {
			continue
		}
		shown = append(shown, o)
	}
	if len(chosen) > 0 && len(shown) == 0 {
		return nil, missing(k, chosen[0])
	}
	return s.page(r, k, shown), nil
}

// page cuts a list. A token is the number of the first object that it leads to.
func (s *Server) page(r *request, k kind, shown []*Object) map[string]any {
	send, got, _ := strings.Cut(k.page, ">")
	first, err := strconv.Atoi(r.get(send))
	if err != nil {
		first = 0
	}
	shown = shown[min(first, len(shown)):]
	answer := map[string]any{}
	more := len(shown) > s.opts.Page
	if more {
		shown = shown[:s.opts.Page]
		answer[got] = strconv.Itoa(first + s.opts.Page)
	}
	if s.same[r.action] {
		more, answer[got] = true, "again"
	}
	if r.service == "iam" {
		answer["IsTruncated"] = more
	}
	list := []any{}
	for _, o := range shown {
		if k.id == "" {
			list = append(list, o.ID)
			continue
		}
		list = append(list, o.show())
	}
	put(answer, k.at, list)
	return answer
}

// show is an object with its tags where its API has them.
func (o *Object) show() map[string]any {
	fields := maps.Clone(o.Fields)
	service, _, _ := strings.Cut(o.Kind, " ")
	at := map[string]string{"ec2": "tagSet.item", "cloudformation": "Tags.member", "autoscaling": "Tags.member", "rds": "TagList.Tag",
		"elasticfilesystem": "Tags", "secretsmanager": "Tags"}[service]
	if at != "" && len(o.Tags) > 0 {
		put(fields, at, pairs(o.Tags, service == "ec2"))
	}
	return fields
}

func pairs(tags map[string]string, lower bool) []any {
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if lower {
			list = append(list, map[string]any{"key": key, "value": tags[key]})
		} else {
			list = append(list, map[string]any{"Key": key, "Value": tags[key]})
		}
	}
	return list
}

// filtered applies the few filters of EC2 that are in use.
func (r *request) filtered(o *Object) bool {
	want := r.get("Filter.1.Value")
	switch r.get("Filter.1.Name") {
	case "is-default":
		return fmt.Sprint(o.Fields["isDefault"]) == want
	case "group-id":
		return slices.Contains(o.Holds, want)
	case "ip-permission.group-id":
		return len(named(o, "ipPermissions", want)) > 0
	case "egress.ip-permission.group-id":
		return len(named(o, "ipPermissionsEgress", want)) > 0
	}
	return true
}

// Permission is a rule of a security group that names another, as Fields["ipPermissions"] has it.
func Permission(group string) map[string]any {
	return map[string]any{"item": []any{map[string]any{
		"ipProtocol": "tcp", "fromPort": 443, "toPort": 443,
		"groups": map[string]any{"item": []any{map[string]any{"groupId": group}}},
	}}}
}

// named are the rules of a group that name another.
func named(o *Object, permissions, group string) []any {
	set, _ := o.Fields[permissions].(map[string]any)
	list, _ := set["item"].([]any)
	var found []any
	for _, rule := range list {
		if strings.Contains(fmt.Sprint(rule), "groupId:"+group+"]") {
			found = append(found, rule)
		}
	}
	return found
}

// removeKind deletes what a call names.
func (s *Server) removeKind(r *request, k kind) (any, *failure) {
	ids := r.all(k.param)
	if len(ids) == 0 {
		return nil, &failure{http.StatusBadRequest, "MissingParameter", "which " + k.name + "?"}
	}
	for _, id := range ids {
		o := s.find(k, r.at(), r.get(k.parent), id)
		if o == nil && r.get(k.parent) == "" {
			plain := k
			plain.parent = ""
			o = s.find(plain, r.at(), "", id)
		}
		if o == nil {
			return nil, missing(k, id)
		}
		if code := protection(k); o.Fields["protected"] == true && code != "" {
			return nil, &failure{http.StatusBadRequest, code, o.ID + " is protected from deletion"}
		}
		if fail := s.remove(k, o); fail != nil {
			return nil, fail
		}
	}
	return map[string]any{}, nil
}

// protection is the code by which a protected object refuses.
func protection(k kind) string {
	return map[string]string{
		"ec2 instance": "OperationNotPermitted", "elasticloadbalancing balancer": "OperationNotPermitted",
		"rds instance": "InvalidParameterCombination", "rds cluster": "InvalidParameterCombination", "cloudformation stack": "ValidationError",
	}[k.name]
}
