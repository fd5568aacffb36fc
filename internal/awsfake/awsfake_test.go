// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package awsfake

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/fault"
)

// ask sends a form to EC2 and returns the status and the body.
func ask(t *testing.T, s *Server, key, action string, form url.Values) (int, string) {
	t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set("Action", action)
	req := httptest.NewRequest(http.MethodPost, "http://x/", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if key != "" {
		req.Header.Set("X-Amz-Date", "20260101T000000Z")
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, "+
			"Signature="+strings.Repeat("0", 64))
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestWhoAsksIsChecked(t *testing.T) {
	s := New(Options{})
	for key, want := range map[string]int{"": 403, "AKIDWRONG": 403, "AKIDEXAMPLE": 200} {
		if code, body := ask(t, s, key, "DescribeVpcs", nil); code != want {
			t.Errorf("key %q: %d %s", key, code, body)
		}
	}
}

func TestUnknownActionIs501ByName(t *testing.T) {
	s := New(Options{})
	code, body := ask(t, s, "AKIDEXAMPLE", "RunInstances", nil)
	if code != http.StatusNotImplemented || !strings.Contains(body, "ec2 RunInstances") || !slices.Contains(s.Unknown(), "ec2 RunInstances") {
		t.Errorf("%d %s; unknown %v", code, body, s.Unknown())
	}
}

func TestWhatIsHeldCannotGo(t *testing.T) {
	s := New(Options{})
	if err := s.Add(Object{Kind: "ec2 vpc", Region: "us-east-1", ID: "vpc-1"},
		Object{Kind: "ec2 nat-gateway", Region: "us-east-1", ID: "nat-1", Holds: []string{"vpc-1"}}); err != nil {
		t.Fatal(err)
	}
	remove := func(action, field, id string) string {
		code, body := ask(t, s, "AKIDEXAMPLE", action, url.Values{field: {id}})
		if code == 200 {
			return "done"
		}
		return body
	}
	if got := remove("DeleteVpc", "VpcId", "vpc-1"); !strings.Contains(got, "DependencyViolation") {
		t.Errorf("a VPC that is held: %s", got)
	}
	if got := remove("DeleteNatGateway", "NatGatewayId", "nat-1"); got != "done" {
		t.Error(got)
	}
	// It holds as long as it is on its way, and shows itself as deleted for ever.
	if got := remove("DeleteVpc", "VpcId", "vpc-1"); got == "done" {
		t.Error("a gateway that is going does not hold")
	}
	for _, want := range []string{"deleting", "deleted", "deleted"} {
		if _, body := ask(t, s, "AKIDEXAMPLE", "DescribeNatGateways", nil); !strings.Contains(body, "<state>"+want+"</state>") {
			t.Errorf("want %s in %s", want, body)
		}
	}
	if got := remove("DeleteVpc", "VpcId", "vpc-1"); got != "done" {
		t.Error(got)
	}
	if got := remove("DeleteVpc", "VpcId", "vpc-1"); !strings.Contains(got, "InvalidVpcID.NotFound") {
		t.Errorf("a VPC that is gone: %s", got)
	}
	if left := s.Left(); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestFaultsAnswerInTheProtocolOfTheService(t *testing.T) {
	s := New(Options{})
	if err := s.Faults.Inject(fault.Rule{Path: "^/ec2/us-east-1/DescribeVpcs$", Action: "status", Status: 503, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if code, body := ask(t, s, "AKIDEXAMPLE", "DescribeVpcs", nil); code != 503 || !strings.Contains(body, "<Code>RequestLimitExceeded</Code>") {
		t.Errorf("%d %s", code, body)
	}
}

func TestEveryListBelongsToOneKind(t *testing.T) {
	seen := map[string]string{}
	for _, k := range kinds() {
		service, _, _ := strings.Cut(k.name, " ")
		for _, action := range []string{service + " " + k.list, service + " " + k.remove} {
			if other := seen[action]; other != "" {
				t.Errorf("%s is of %s and of %s", action, other, k.name)
			}
			if _, special := specials()[action]; special {
				t.Errorf("%s of %s is special, too", action, k.name)
			}
			seen[action] = k.name
		}
		if k.missing == "" || k.at == "" || k.param == "" || k.page == "" {
			t.Errorf("the row of %s is not whole", k.name)
		}
	}
}

func TestAddRefusesWhatNoRowHas(t *testing.T) {
	s := New(Options{})
	o := Object{Kind: "ec2 vpc", Region: "us-east-1", ID: "vpc-1"}
	if err := s.Add(o); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Object{{Kind: "ec2 teapot", ID: "x"}, o} {
		if err := s.Add(bad); err == nil {
			t.Errorf("%s %s was added", bad.Kind, bad.ID)
		}
	}
}
