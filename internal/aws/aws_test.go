// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"sigs.k8s.io/steward/internal/awsfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/sweep"
)

func TestAccountSaysWhoseTheCredentialsAre(t *testing.T) { // AWS-10
	c := client(t, awsfake.New(awsfake.Options{Caller: "arn:aws:sts::111122223333:assumed-role/janitor/x"}))
	id, arn, err := c.Account(t.Context())
	if err != nil || id != account || arn != "arn:aws:sts::111122223333:assumed-role/janitor/x" {
		t.Errorf("%q, %q, %v", id, arn, err)
	}
}

func TestAccountOfNonsenseIsAnError(t *testing.T) { // AWS-10
	c := client(t, awsfake.New(awsfake.Options{Account: "12"}))
	if _, _, err := c.Account(t.Context()); err == nil {
		t.Error("an account number of two digits was believed")
	}
}

func TestPlaceHasUnitsUpToTheRoot(t *testing.T) { // AWS-10
	c := client(t, awsfake.New(awsfake.Options{}))
	p, err := c.Place(t.Context(), account)
	if err != nil || !slices.Equal(p.Parents, []string{"ou-root-tests", "ou-root-all", "r-root"}) || p.Tags["pool"] != "aws-account" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.Place(t.Context(), "999999999999"); err == nil || !strings.Contains(err.Error(), "999999999999") {
		t.Errorf("error %v", err)
	}
}

func TestAssumedRoleIsAskedFor(t *testing.T) { // AWS-10
	fake := awsfake.New(awsfake.Options{})
	c := client(t, fake, func(o *Options) { o.Role, o.ExternalID = "arn:aws:iam::111122223333:role/janitor", "x" })
	if _, _, err := c.Account(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked := fake.Faults.Requests(); len(asked) != 2 || !strings.HasSuffix(asked[0].Path, "AssumeRole") {
		t.Errorf("asked %v", asked)
	}
}

func TestCredentialsAreRefusedAndNeverShown(t *testing.T) { // AWS-11
	const key = "wJalrXUtnFEMIexample"
	fake := awsfake.New(awsfake.Options{AccessKey: "AKIDANOTHER"})
	c := client(t, fake, func(o *Options) { o.SecretAccessKey = secret.New(key) })
	_, _, err := c.Account(t.Context())
	if err == nil || !strings.Contains(err.Error(), "InvalidClientTokenId") {
		t.Fatalf("error %v", err)
	}
	for _, form := range []string{err.Error(), fmt.Sprintf("%+v", c.opts), fmt.Sprintf("%#v", c.opts)} {
		if strings.Contains(form, key) {
			t.Errorf("the secret is in %q", form)
		}
	}
	if _, err := New(t.Context(), Options{AccessKeyID: "AKIDEXAMPLE"}); err == nil {
		t.Error("half an access key was taken")
	}
}

func TestErrorsAreShortAndNameWhatFailed(t *testing.T) {
	fake := awsfake.New(awsfake.Options{Regions: []string{"us-east-1"}})
	c := client(t, fake, func(o *Options) { o.Attempts = 1 })
	kinds, err := c.Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"ec2.vpcs": "DescribeVpcs", "iam.roles": "ListRoles", "s3.buckets": "/s3/", "kms.keys": "ListKeys"} {
		fake.Faults.Heal()
		if err := fake.Faults.Inject(fault.Rule{Path: path, Action: "status", Status: 403}); err != nil {
			t.Fatal(err)
		}
		_, err := kinds[slices.IndexFunc(kinds, func(k sweep.Kind) bool { return k.Name == name })].List(t.Context())
		if err == nil || !strings.Contains(err.Error(), "list "+name+" in us-east-1: ") || !strings.Contains(err.Error(), "AccessDenied") ||
			strings.Contains(err.Error(), "http") || len(err.Error()) > 160 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRegionsWithoutOurOwnAreNotBelieved(t *testing.T) { // AWS-3
	c := client(t, awsfake.New(awsfake.Options{Regions: []string{"eu-west-1"}}))
	if _, err := c.Kinds(t.Context()); err == nil {
		t.Error("a list of regions without the one that answers was believed")
	}
}

func TestTableIsWhole(t *testing.T) { // AWS-1
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.name] || r.list == nil || r.remove == nil {
			t.Errorf("%s is there twice, or has no list or no remove", r.name)
		}
		seen[r.name] = true
	}
	for _, r := range rows() {
		for _, before := range r.after {
			if !seen[before] {
				t.Errorf("%s comes after %s, which is no kind", r.name, before)
			}
		}
	}
	// The order in which AWS refuses everything else.
	for _, pair := range [][2]string{
		{"ec2.nat-gateways", "ec2.subnets"}, {"ec2.nat-gateways", "ec2.internet-gateways"}, {"ec2.nat-gateways", "ec2.route-tables"},
		{"ec2.nat-gateways", "ec2.addresses"}, {"ec2.subnets", "ec2.vpcs"}, {"autoscaling.groups", "ec2.instances"},
		{"iam.instance-profiles", "iam.roles"}, {"cloudformation.stacks", "ec2.instances"}, {"ec2.vpcs", "ec2.dhcp-options"},
	} {
		if !before(pair[0], pair[1]) {
			t.Errorf("%s does not come before %s", pair[0], pair[1])
		}
	}
}

// before follows the table from one kind to what it waits for.
func before(first, second string) bool {
	after := map[string][]string{}
	for _, r := range rows() {
		after[r.name] = r.after
	}
	var waits func(string) bool
	waits = func(name string) bool {
		return slices.ContainsFunc(after[name], func(a string) bool { return a == first || waits(a) })
	}
	return waits(second)
}

func TestOutcome(t *testing.T) { // AWS-6
	answer := func(code, message string) error { return &refused{code: code, message: message, status: 400} }
	for _, c := range []struct {
		err         error
		gone, inUse bool
	}{
		{nil, true, false},
		{answer("InvalidSubnetID.NotFound", ""), true, false},
		{answer("NoSuchEntity", ""), true, false},
		{answer("DBInstanceNotFound", ""), true, false},
		{answer("ValidationError", "Stack with id x does not exist"), true, false},
		{answer("ValidationError", "AutoScalingGroup name not found - null"), true, false},
		{answer("ValidationError", "the name is too long"), false, false},
		{&smithy.GenericAPIError{Code: "NoSuchBucket"}, true, false},
		{answer("DependencyViolation", ""), false, true},
		{answer("DeleteConflict", ""), false, true},
		{answer("BucketNotEmpty", ""), false, true},
		{answer("InvalidSnapshot.InUse", ""), false, true},
		{answer("InvalidDBClusterStateFault", ""), false, true},
		{answer("InvalidParameterValue", "Network interface 'eni-1' is currently in use."), false, true},
		{answer("AccessDenied", "User is not authorized"), false, false},
		{answer("UnauthorizedOperation", ""), false, false},
		{errors.New("connection reset"), false, false},
	} {
		got := outcome(c.err)
		if (got == nil) != c.gone || errors.Is(got, sweep.ErrInUse) != c.inUse {
			t.Errorf("%v becomes %v", c.err, got)
		}
	}
}

func TestAPIError(t *testing.T) {
	header := http.Header{}
	for body, want := range map[string]string{
		`<Response><Errors><Error><Code>A.B</Code><Message>m</Message></Error></Errors></Response>`:           "A.B: m",
		`<ErrorResponse><Error><Type>Sender</Type><Code>C</Code><Message>m</Message></Error></ErrorResponse>`: "C: m",
		`<Error><Code>NoSuchBucket</Code><Message>m</Message></Error>`:                                        "NoSuchBucket: m",
		`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"m"}`:                                      "QueueDoesNotExist: m",
		`{"Message":"m"}`:         "HTTP 418: m",
		`<html>busy</html>`:       "HTTP 418: ",
		``:                        "HTTP 418: ",
		`{"message":`:             "HTTP 418: ",
		`<Error><Code>X</Code></`: "HTTP 418: ",
	} {
		if got := apiError(&http.Response{StatusCode: 418, Header: header}, []byte(body)); got.Error() != want {
			t.Errorf("%s is %q, want %q", body, got, want)
		}
	}
	header.Set("X-Amzn-Errortype", "ResourceNotFoundException:http://x/")
	if got := apiError(&http.Response{StatusCode: 404, Header: header}, []byte(`{"message":"m"}`)); codeOf(got) != "ResourceNotFoundException" {
		t.Errorf("the header gives %q", got)
	}
	long := apiError(&http.Response{StatusCode: 400}, []byte(`{"message":"`+strings.Repeat("é", 5000)+`"}`))
	if n := len([]rune(long.Error())); n > maxMessage+20 {
		t.Errorf("a message of %d runes", n)
	}
}

func TestTree(t *testing.T) {
	x, err := parseXML([]byte(`<R><set><item><id>1</id></item><item><id>2</id><on/></item></set><one><item><id>3</id></item></one></R>`))
	if err != nil {
		t.Fatal(err)
	}
	j, err := parseJSON([]byte(`{"set":{"item":[{"id":1},{"id":"2","on":""}]},"one":{"item":{"id":3}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, tr := range map[string]tree{"xml": x, "json": j} {
		if got := strings.Join(tr.texts("set.item.id"), " ") + tr.text("one.item.id") + tr.text("none.item.id"); got != "1 23" {
			t.Errorf("%s: %q", name, got)
		}
		if len(tr.all("set.item")) != 2 || len(tr.all("one.item")) != 1 || len(tr.all("set.item.id")) != 0 {
			t.Errorf("%s: wrong objects", name)
		}
	}
	want := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, text := range []string{"2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000+0000", "1767225600", "1767225600000", "1.7672256E9"} {
		if got := (tree{"at": text}).time("at"); !got.Equal(want) {
			t.Errorf("%s is %v", text, got)
		}
	}
	for _, text := range []string{"", "yesterday", "-1", "NaN", "1e99"} {
		if got := (tree{"at": text}).time("at"); !got.IsZero() {
			t.Errorf("%q is %v", text, got)
		}
	}
	tags, err := parseJSON([]byte(`{"a":[{"Key":"k","Value":"v"},{"TagKey":"l","TagValue":"w"},{"key":"m"}],"b":{"k":"v"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tags.tags("a"), tags.tags("b"), tags.tags("c")); got != "map[k:v l:w m:] map[k:v] map[]" {
		t.Errorf("tags %s", got)
	}
}

func TestFormsAreFlattened(t *testing.T) {
	given := in{"A": "x", "B": []string{"y", "z"}, "C": []in{{"D": 1, "E": []string{"v"}}}}
	for plain, want := range map[bool]string{
		true:  "A=x&B.1=y&B.2=z&C.1.D=1&C.1.E.1=v",
		false: "A=x&B.member.1=y&B.member.2=z&C.member.1.D=1&C.member.1.E.member.1=v",
	} {
		form := map[string][]string{}
		flatten(form, "", given, plain)
		var got []string
		for key, values := range form {
			got = append(got, key+"="+values[0])
		}
		slices.Sort(got)
		if strings.Join(got, "&") != want {
			t.Errorf("%v", got)
		}
	}
}

func FuzzParseXML(f *testing.F) {
	f.Add([]byte(`<R><RResult><a><member><b>1</b></member></a></RResult></R>`))
	f.Add([]byte(strings.Repeat("<a>", 100)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tr, err := parseXML(raw)
		if err != nil && tr != nil {
			t.Error("a tree beside an error")
		}
		_ = tr.texts("a.member.b")
		_ = tr.tags("a.member")
		_ = apiError(&http.Response{StatusCode: 400}, raw)
	})
}
