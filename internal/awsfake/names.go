// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package awsfake

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Zone is a hosted zone of Route 53. It is an Object of the kind "route53 zone" to Left and Deleted.
type Zone struct {
	ID, Name string
	Tags     map[string]string
	Records  []Record // beside its own SOA and NS
}

// Record is a record set with one value.
type Record struct{ Name, Type, Value string }

const zoneKind = "route53 zone"

// AddZone puts a zone into the account.
func (s *Server) AddZone(z Zone) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z.Records = append([]Record{{z.Name, "NS", "ns.example.org."}, {z.Name, "SOA", "ns.example.org. a. 1 2 3 4 5"}}, z.Records...)
	slices.SortFunc(z.Records, func(a, b Record) int { return strings.Compare(a.Name+"\x00"+a.Type, b.Name+"\x00"+b.Type) })
	s.objects = append(s.objects, &Object{Kind: zoneKind, ID: z.ID, Tags: z.Tags, Fields: map[string]any{"zone": &z}})
}

// Records are the record sets of a zone, "NAME TYPE".
func (s *Server) Records(zone string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	if _, z := s.zone(zone); z != nil {
		for _, r := range z.Records {
			names = append(names, r.Name+" "+r.Type)
		}
	}
	return names
}

func (s *Server) zone(id string) (*Object, *Zone) {
	for _, o := range s.objects {
		if o.Kind == zoneKind && o.ID == id {
			z, _ := o.Fields["zone"].(*Zone)
			return o, z
		}
	}
	return nil, nil
}

func (z *Zone) show() map[string]any {
	return map[string]any{"Id": "/hostedzone/" + z.ID, "Name": z.Name, "CallerReference": "x"}
}

// names answers Route 53.
func (s *Server) names(r *request) (any, *failure) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/2013-04-01/"), "/")
	if path == "hostedzone" {
		return s.listZones(r)
	}
	if path == "tags/hostedzone" {
		return s.zoneTags(r)
	}
	parts := strings.Split(path, "/")
	if parts[0] != "hostedzone" || len(parts) < 2 {
		s.unknown = append(s.unknown, "route53 "+r.action)
		return nil, &failure{http.StatusNotImplemented, "NotImplemented", "awsfake does not know " + r.action}
	}
	o, z := s.zone(parts[1])
	switch {
	case z == nil:
		return nil, &failure{http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: " + parts[1]}
	case len(parts) == 3 && r.Method == http.MethodGet:
		return s.listRecords(r, z), nil
	case len(parts) == 3:
		return s.changeRecords(r, z)
	case r.Method == http.MethodGet:
		return xmlAnswer("GetHostedZoneResponse", map[string]any{"HostedZone": z.show()}), nil
	case len(z.Records) > 2:
		return nil, &failure{http.StatusBadRequest, "HostedZoneNotEmpty", "The specified hosted zone contains non-required resource record sets"}
	}
	s.deleted = append(s.deleted, zoneKind+"  "+z.ID)
	s.drop(o)
	return xmlAnswer("DeleteHostedZoneResponse", map[string]any{"ChangeInfo": changed()}), nil
}

func changed() map[string]any {
	return map[string]any{"Id": "/change/C1", "Status": "PENDING", "SubmittedAt": "2026-01-01T00:00:00Z"}
}

func (s *Server) listZones(r *request) (any, *failure) {
	var all []any
	for _, o := range s.objects {
		if o.Kind == zoneKind {
			_, z := s.zone(o.ID)
			all = append(all, z.show())
		}
	}
	first, err := strconv.Atoi(r.form.Get("marker"))
	if err != nil {
		first = 0
	}
	rest := all[min(first, len(all)):]
	answer := map[string]any{"IsTruncated": len(rest) > s.opts.Page, "MaxItems": s.opts.Page}
	if len(rest) > s.opts.Page {
		rest, answer["NextMarker"] = rest[:s.opts.Page], strconv.Itoa(first+s.opts.Page)
	}
	answer["HostedZones"] = map[string]any{"HostedZone": rest}
	return xmlAnswer("ListHostedZonesResponse", answer), nil
}

func (s *Server) zoneTags(r *request) (any, *failure) {
	var asked struct {
		ResourceIds struct{ ResourceId []string } //nolint:revive,staticcheck // the names in the protocol
	}
	if err := xml.Unmarshal(r.raw, &asked); err != nil {
		return nil, &failure{http.StatusBadRequest, "InvalidInput", err.Error()}
	}
	if n := len(asked.ResourceIds.ResourceId); n == 0 || n > 10 {
		return nil, &failure{http.StatusBadRequest, "InvalidInput", strconv.Itoa(n) + " zones"}
	}
	sets := []any{}
	for _, id := range asked.ResourceIds.ResourceId {
		if o, _ := s.zone(id); o != nil {
			sets = append(sets, map[string]any{"ResourceType": "hostedzone", "ResourceId": id,
				"Tags": map[string]any{"Tag": pairs(o.Tags, false)}})
		}
	}
	return xmlAnswer("ListTagsForResourcesResponse", map[string]any{"ResourceTagSets": map[string]any{"ResourceTagSet": sets}}), nil
}

// listRecords answers from a name and a type on; the zone is in order.
func (s *Server) listRecords(r *request, z *Zone) any {
	size, err := strconv.Atoi(r.form.Get("maxitems"))
	if err != nil {
		size = s.opts.Page
	}
	from := r.form.Get("name") + "\x00" + r.form.Get("type")
	var shown []Record
	for _, one := range z.Records {
		if one.Name+"\x00"+one.Type >= from || r.form.Get("name") == "" {
			shown = append(shown, one)
		}
	}
	answer := map[string]any{"IsTruncated": len(shown) > size, "MaxItems": size}
	if len(shown) > size {
		answer["NextRecordName"], answer["NextRecordType"] = shown[size].Name, shown[size].Type
		shown = shown[:size]
	}
	sets := []any{}
	for _, one := range shown {
		sets = append(sets, map[string]any{"Name": one.Name, "Type": one.Type, "TTL": 60,
			"ResourceRecords": map[string]any{"ResourceRecord": []any{map[string]any{"Value": one.Value}}}})
	}
	answer["ResourceRecordSets"] = map[string]any{"ResourceRecordSet": sets}
	return xmlAnswer("ListResourceRecordSetsResponse", answer)
}

// changeRecords deletes; a record has to be given as it is.
func (s *Server) changeRecords(r *request, z *Zone) (any, *failure) {
	var asked struct {
		Changes []struct {
			Action string
			Name   string `xml:"ResourceRecordSet>Name"`
			Type   string `xml:"ResourceRecordSet>Type"`
			Value  string `xml:"ResourceRecordSet>ResourceRecords>ResourceRecord>Value"`
		} `xml:"ChangeBatch>Changes>Change"`
	}
	if err := xml.Unmarshal(r.raw, &asked); err != nil {
		return nil, &failure{http.StatusBadRequest, "InvalidInput", err.Error()}
	}
	for _, c := range asked.Changes {
		i := slices.Index(z.Records, Record{c.Name, c.Type, c.Value})
		if c.Action != "DELETE" || i < 0 || c.Name == z.Name && (c.Type == "SOA" || c.Type == "NS") {
			return nil, &failure{http.StatusBadRequest, "InvalidChangeBatch", c.Action + " " + c.Name + " " + c.Type + " cannot be done"}
		}
		z.Records = slices.Delete(z.Records, i, i+1)
		s.deleted = append(s.deleted, "route53 record  "+c.Name+" "+c.Type)
	}
	return xmlAnswer("ChangeResourceRecordSetsResponse", map[string]any{"ChangeInfo": changed()}), nil
}
