// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package awsfake

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// request is one call, whatever its protocol.
type request struct {
	*http.Request
	service, region, action string
	form                    url.Values     // of form protocols, with the parts of a path and its query
	object                  map[string]any // of JSON
	raw                     []byte
}

// failure is an error as AWS answers it.
type failure struct {
	status        int
	code, message string
}

const maxBody = 8 << 20

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r, fail := s.parse(hr)
	if fail != nil {
		send(w, r, fail)
		return
	}
	rule := s.Faults.Meet(hr.Method, "/"+r.service+"/"+r.region+"/"+r.action)
	wrong := func(code int, message string) (string, []byte) {
		return r.encodeFailure(&failure{code, codeFor(code), message})
	}
	if rule.Before(w, hr, wrong) {
		return
	}
	if s.opts.Latency > 0 {
		t := time.NewTimer(s.opts.Latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-hr.Context().Done():
			return
		}
	}
	answer, fail := s.answer(r)
	code, kind, body := http.StatusOK, "", []byte(nil)
	if fail != nil {
		code = fail.status
		kind, body = r.encodeFailure(fail)
	} else {
		kind, body = r.encode(answer)
	}
	if rule.Instead(w, fault.Answer{Code: code, ContentType: kind, Body: body}, wrong) {
		return
	}
	write(w, code, kind, body)
}

// codeFor is how AWS calls a fault that has only a status.
func codeFor(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "ThrottlingException"
	case http.StatusForbidden:
		return "AccessDenied"
	case http.StatusTooManyRequests:
		return "TooManyRequestsException"
	case http.StatusServiceUnavailable:
		return "RequestLimitExceeded"
	}
	return "InternalError"
}

func send(w http.ResponseWriter, r *request, f *failure) {
	kind, body := r.encodeFailure(f)
	write(w, f.status, kind, body)
}

func write(w http.ResponseWriter, code int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-0000-0000-000000000000")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client is gone
}

// signed matches what SigV4 puts into a request.
func signed() *regexp.Regexp {
	return regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([A-Z0-9]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ` +
		`SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, Signature=[0-9a-f]{64}$`)
}

// parse finds out who asks which service for what, and refuses whoever is not the account.
func (s *Server) parse(hr *http.Request) (*request, *failure) {
	r := &request{Request: hr, form: hr.URL.Query(), object: map[string]any{}}
	m := signed().FindStringSubmatch(hr.Header.Get("Authorization"))
	if m == nil || hr.Header.Get("X-Amz-Date") == "" {
		return r, &failure{http.StatusForbidden, "MissingAuthenticationToken", "the request is not signed"}
	}
	r.region, r.service = m[3], m[4]
	if m[1] != s.opts.AccessKey {
		return r, &failure{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	}
	raw, err := io.ReadAll(io.LimitReader(hr.Body, maxBody))
	if err != nil {
		return r, &failure{http.StatusBadRequest, "IncompleteBody", err.Error()}
	}
	r.raw = raw
	if fail := r.name(); fail != nil {
		return r, fail
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut[r.region] && r.service != "sts" {
		code := "AccessDeniedException"
		if r.service == "ec2" {
			code = "UnauthorizedOperation"
		}
		return r, &failure{http.StatusForbidden, code, s.opts.Caller + " is not authorized to perform: " + r.service + ":" + r.action +
			" with an explicit deny in a service control policy"}
	}
	return r, nil
}

// name finds the action, and the fields of the call.
func (r *request) name() *failure {
	kind := r.Header.Get("Content-Type")
	switch target := r.Header.Get("X-Amz-Target"); {
	case target != "":
		r.action = target[strings.LastIndex(target, ".")+1:]
		return r.decode()
	case strings.HasPrefix(kind, "application/x-www-form-urlencoded"):
		form, err := url.ParseQuery(string(r.raw))
		if err != nil {
			return &failure{http.StatusBadRequest, "MalformedQueryString", err.Error()}
		}
		r.form, r.action = form, form.Get("Action")
		if r.service == "elasticloadbalancing" && form.Get("Version") == "2012-06-01" {
			r.service = "elb"
		}
		return nil
	case r.service == "s3" || r.service == "route53":
		r.action = r.Method + " " + r.URL.Path
		return nil
	}
	r.action = r.Method + " " + r.URL.EscapedPath()
	for _, pattern := range paths() {
		if vars, ok := match(pattern, r.Method, r.URL.EscapedPath()); ok {
			r.action = pattern
			for name, value := range vars {
				r.form.Set(name, value)
			}
		}
	}
	if len(r.raw) > 0 {
		return r.decode()
	}
	return nil
}

func (r *request) decode() *failure {
	if err := json.Unmarshal(r.raw, &r.object); err != nil {
		return &failure{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	return nil
}

// paths are all patterns of the services with plain paths.
func paths() []string {
	var all []string
	for _, k := range restKinds() {
		all = append(all, k.list, k.remove)
	}
	for name := range specials() {
		if _, action, _ := strings.Cut(name, " "); strings.Contains(action, " /") {
			all = append(all, action)
		}
	}
	return all
}

// match compares a path with a pattern, part by part.
func match(pattern, method, path string) (map[string]string, bool) {
	wantMethod, want, _ := strings.Cut(pattern, " ")
	wanted, got := strings.Split(want, "/"), strings.Split(path, "/")
	if method != wantMethod || len(wanted) != len(got) {
		return nil, false
	}
	vars := map[string]string{}
	for i, part := range wanted {
		if name, ok := strings.CutPrefix(part, "{"); ok && got[i] != "" {
			value, err := url.PathUnescape(got[i])
			if err != nil {
				return nil, false
			}
			vars[strings.TrimSuffix(name, "}")] = value
		} else if part != got[i] {
			return nil, false
		}
	}
	return vars, true
}

// all returns the values of a field: Name, Name.1, Name.member.1, or what a JSON object has.
func (r *request) all(name string) []string {
	if name == "" {
		return nil
	}
	switch v := r.object[name].(type) {
	case string:
		return []string{v}
	case []any:
		var found []string
		for _, each := range v {
			if text, ok := each.(string); ok {
				found = append(found, text)
			}
		}
		return found
	}
	if v, ok := r.form[name]; ok {
		return v
	}
	var found []string
	for _, between := range []string{".", ".member."} {
		for i := 1; r.form.Has(name + between + strconv.Itoa(i)); i++ {
			found = append(found, r.form.Get(name+between+strconv.Itoa(i)))
		}
	}
	return found
}

func (r *request) get(name string) string {
	if all := r.all(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// form tells services whose answers are XML.
func (r *request) xml() bool {
	return slices.Contains([]string{"ec2", "autoscaling", "cloudformation", "elb", "elasticloadbalancing", "rds", "elasticache", "iam", "sts",
		"s3", "route53"}, r.service)
}

// encode writes an answer in the service's notation.
func (r *request) encode(answer any) (string, []byte) {
	if raw, ok := answer.([]byte); ok {
		return "text/xml", raw
	}
	fields, _ := answer.(map[string]any)
	if !r.xml() {
		body, err := json.Marshal(fields)
		if err != nil {
			return "text/plain", []byte(err.Error())
		}
		return "application/json", body
	}
	var b strings.Builder
	b.WriteString(xml.Header)
	if r.service == "ec2" {
		element(&b, r.action+"Response", fields)
	} else {
		element(&b, r.action+"Response", map[string]any{r.action + "Result": fields})
	}
	return "text/xml", []byte(b.String())
}

// element writes a value as XML; a list is the element again and again.
func element(b *strings.Builder, name string, value any) {
	if list, ok := value.([]any); ok {
		for _, each := range list {
			element(b, name, each)
		}
		return
	}
	b.WriteString("<" + name + ">")
	switch v := value.(type) {
	case map[string]any:
		for _, field := range sorted(v) {
			element(b, field, v[field])
		}
	default:
		_ = xml.EscapeText(b, []byte(fmt.Sprint(v))) // a Builder does not fail
	}
	b.WriteString("</" + name + ">")
}

func sorted(fields map[string]any) []string {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// encodeFailure writes an error in the service's notation.
func (r *request) encodeFailure(f *failure) (string, []byte) {
	text := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s))
		return b.String()
	}
	one := "<Error><Code>" + text(f.code) + "</Code><Message>" + text(f.message) + "</Message></Error>"
	switch {
	case r.service == "ec2":
		return "text/xml", []byte("<Response><Errors>" + one + "</Errors><RequestID>0</RequestID></Response>")
	case r.service == "s3":
		return "application/xml", []byte(one)
	case r.xml():
		return "text/xml", []byte("<ErrorResponse>" + one + "<RequestId>0</RequestId></ErrorResponse>")
	}
	body, err := json.Marshal(map[string]string{"__type": f.code, "message": f.message})
	if err != nil {
		return "text/plain", []byte(err.Error())
	}
	return "application/json", body
}
