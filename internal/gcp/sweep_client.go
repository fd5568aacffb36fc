// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/sweep"
)

// SweepOptions of a Sweeper. The zero value asks Google with the credentials of the environment.
type SweepOptions struct {
	// Endpoint asks all APIs at one address, each below its own host's name, as a fake has them:
	// http://127.0.0.1:8080/compute.googleapis.com/compute/v1/…; "" is https://HOST.
	Endpoint string
	// Token returns an access token. Without it Google's default credentials are used for https, and none for http,
	// which has to be loopback. Credential is a file with others.
	Token      func(context.Context) (secret.String, error)
	Credential string
	// Self is the service account whose token it is; with Credential, and Google's default ones in a file, it is known. It is
	// not swept, nor are its keys and grants.
	Self string
	HTTP httpread.Options
	Rate float64       // requests a second to one API for one project; 20, to Cloud Storage 400
	Poll time.Duration // before an operation is looked at again, growing; 1s
	// Endpoints are further hosts of a service, at which a project may have objects that production does not list:
	// {"container": ["test-container.sandbox.googleapis.com"]}.
	Endpoints map[string][]string
	// Parents are folders and organisations that are enough for an answer: above one of them nobody is asked.
	Parents []string
}

const (
	// sweepRate is below the 1,500 reads a minute that a project has of Compute Engine's quota.
	sweepRate = 20
	// storageRate is below the 1,000 writes a second that a bucket takes from the start. Objects are deleted one by one, and a
	// test may leave a million.
	storageRate = 400
	defaultPoll = time.Second
	maxPoll     = 10 * time.Second
	// writeScope lets a credential do what its roles say.
	writeScope = "https://www.googleapis.com/auth/cloud-platform"

	maxListPages = 2000
	maxItems     = 500_000
	rateAttempts = 5 // at what Google refuses for the rate with a 403
)

func (o SweepOptions) rate(api string) float64 {
	switch {
	case o.Rate > 0:
		return o.Rate
	case api == "storage.googleapis.com":
		return storageRate
	}
	return sweepRate
}

var endpointForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+googleapis\.com$`)

// Sweeper makes the kinds of a project's objects. It is safe for concurrent use.
type Sweeper struct {
	opts    SweepOptions
	base    *url.URL // nil: every API at its own host
	token   func(context.Context) (secret.String, error)
	scanner *secret.Scanner
}

// NewSweeper checks the options and finds the credentials.
func NewSweeper(ctx context.Context, opts SweepOptions) (*Sweeper, error) {
	if opts.Poll <= 0 {
		opts.Poll = defaultPoll
	}
	for service, hosts := range opts.Endpoints {
		for _, host := range hosts {
			if !endpointForm.MatchString(host) { // it gets the credential
				return nil, fmt.Errorf("endpoints: %s: %.100q is no host of googleapis.com", service, host)
			}
		}
	}
	s := &Sweeper{opts: opts, token: opts.Token, scanner: secret.NewScanner()}
	if opts.Endpoint != "" {
		base, err := url.Parse(opts.Endpoint)
		if err != nil || base.Host == "" || base.User != nil || base.Scheme != "http" || !loopback(base.Hostname()) {
			return nil, errors.New("endpoint: want http://LOOPBACK:PORT")
		}
		s.base = base
		return s, nil
	}
	if s.token == nil {
		var err error
		s.token, s.opts.Self, err = sweepCredentials(ctx, opts.Credential)
		return s, err
	}
	return s, nil
}

// sweepCredentials may do what their roles say, so that a project's own grant is the bound. self is whose they are, where a file
// says so.
func sweepCredentials(ctx context.Context, file string) (token func(context.Context) (secret.String, error), self string, err error) {
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Timeout: 30 * time.Second})
	var found *google.Credentials
	if file == "" {
		found, err = google.FindDefaultCredentials(ctx, writeScope)
	} else {
		var raw []byte
		if raw, err = os.ReadFile(file); err == nil {
			found, err = fromFile(ctx, raw)
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("find Google credentials: %w", err)
	}
	return func(context.Context) (secret.String, error) {
		token, err := found.TokenSource.Token()
		if err != nil {
			return secret.String{}, err
		}
		return secret.New(token.AccessToken), nil
	}, selfOf(found.JSON), nil
}

var impersonated = regexp.MustCompile(`/serviceAccounts/([^/:]+):generateAccessToken$`)

// selfOf is the service account of a credential file; "" if it is of none, or the machine's.
func selfOf(raw []byte) string {
	var f struct {
		Email string `json:"client_email"`
		URL   string `json:"service_account_impersonation_url"`
	}
	if json.Unmarshal(raw, &f) != nil { // there is no file
		return ""
	}
	if m := impersonated.FindStringSubmatch(f.URL); m != nil {
		return m[1]
	}
	return f.Email
}

// fromFile reads a credential of the kinds that an operator keeps in a file. Which of them it is, is the operator's to choose.
func fromFile(ctx context.Context, raw []byte) (*google.Credentials, error) {
	var head struct{ Type google.CredentialsType }
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, errors.New("the file is not JSON") // the cause may repeat it
	}
	switch head.Type {
	case google.ServiceAccount, google.AuthorizedUser, google.ExternalAccount, google.ImpersonatedServiceAccount:
		return google.CredentialsFromJSONWithType(ctx, raw, head.Type, writeScope)
	}
	return nil, fmt.Errorf("the file holds a credential of type %.40q, which is none that is used here", head.Type)
}

// item is one object as an API has it.
type item map[string]any

func (i item) text(key string) string {
	text, _ := i[key].(string)
	return text
}

// below is a nested object.
func (i item) below(key string) item {
	inner, _ := i[key].(map[string]any)
	return inner
}

// labels are what Google calls tags of a resource.
func (i item) labels() map[string]string {
	var out map[string]string
	for key, v := range i.below("labels") {
		if text, ok := v.(string); ok {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = text
		}
	}
	return out
}

// project is one project that is swept: its proof, its services and a client for each API.
type project struct {
	*Sweeper
	account sweep.Account
	asked   string

	mu      sync.Mutex
	writing sync.Mutex // of the IAM policy
	batch   batch
	clients map[string]*http.Client
	paces   map[string]*pace.Limiter
	enabled map[string]bool   // nil: not known
	kept    map[string][]item // a list that another kind is made of, until it is used
}

// client is that of one API, with a pace of its own.
func (p *project) client(api string) (*http.Client, *pace.Limiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clients[api]; c != nil {
		return c, p.paces[api]
	}
	opts := p.opts.HTTP
	opts.Pace = pace.New(pace.Options{Rate: p.opts.rate(api)})
	c := &http.Client{
		Transport:     httpread.NewTransport(opts),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.clients[api], p.paces[api] = c, opts.Pace
	return c, opts.Pace
}

// refused is what an API says about a request that it did not fulfil.
type refused struct {
	code     int
	reasons  []string // of all the forms in which Google says them
	consumer string   // whose service is disabled
	message  string
}

func (r *refused) Error() string { return r.message }

func (r *refused) has(reasons ...string) bool {
	return slices.ContainsFunc(r.reasons, func(have string) bool {
		return slices.ContainsFunc(reasons, func(want string) bool { return strings.EqualFold(have, want) })
	})
}

// request is one call. As is whose quota it costs: "" is the credential's own project.
type request struct {
	method, api, path string
	query             url.Values
	body              any
	reads             bool   // a POST that changes nothing, and may be repeated
	batched           string // the row whose first page may come with those of others
}

// do asks, and asks again where the refusal is about the rate. The answer to a 404 and the like is *refused.
func (p *project) do(ctx context.Context, r request) (item, error) {
	for attempt := 1; ; attempt++ {
		answer, err := p.once(ctx, r)
		var no *refused
		rate := errors.As(err, &no) && no.code == http.StatusForbidden &&
			no.has("rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED")
		switch {
		case attempt == rateAttempts || !rate && !(r.reads && passing(err)):
			return answer, err
		case rate:
			_, limit := p.client(r.api)
			limit.PushedBack(time.Second << attempt)
		default:
			if err := pace.Sleep(ctx, time.Duration(attempt)*p.opts.Poll); err != nil {
				return nil, err
			}
		}
	}
}

func (p *project) once(ctx context.Context, r request) (item, error) {
	req, err := p.prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	client, _ := p.client(r.api)
	resp, raw, err := exchange(client, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, p.refusal(resp, raw)
	}
	var answer item
	if len(bytes.TrimSpace(raw)) == 0 {
		return answer, nil // 204
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, audit.Fail(finding.Malformed, "%s answers what is no JSON object", r.api)
	}
	return answer, nil
}

func (p *project) prepare(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", r.api, err)
		}
		body = bytes.NewReader(raw)
	}
	address := "https://" + r.api + r.path
	if p.base != nil {
		address = strings.TrimSuffix(p.base.String(), "/") + "/" + r.api + r.path
	}
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", r.api, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !slices.Contains(ownQuota(), r.api) {
		// The project's own quota, and its own list of services: what is disabled there is what counts.
		req.Header.Set("X-Goog-User-Project", p.asked)
	}
	if p.token == nil {
		return req, nil
	}
	token, err := p.token(ctx)
	if err != nil {
		text, _ := p.scanner.Redact(err.Error())
		return nil, audit.Fail(finding.Denied, "get an access token: %s", text)
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	return req, nil
}

// ownQuota are the APIs that need not be enabled in the project, but in that of the credential.
func ownQuota() []string {
	return []string{"cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com", "kmsinventory.googleapis.com"}
}

func (p *project) refusal(resp *http.Response, raw []byte) error {
	var said struct {
		Error struct {
			Message, Status string
			Errors          []struct{ Reason string }
			Details         []struct {
				Reason   string
				Metadata struct{ Consumer string }
			}
		}
	}
	_ = json.Unmarshal(raw, &said) // without words the status has to do
	no := &refused{code: resp.StatusCode, reasons: []string{said.Error.Status}}
	for _, e := range said.Error.Errors {
		no.reasons = append(no.reasons, e.Reason)
	}
	for _, d := range said.Error.Details {
		no.reasons = append(no.reasons, d.Reason)
		if d.Metadata.Consumer != "" {
			no.consumer = d.Metadata.Consumer
		}
	}
	message, found := p.scanner.Redact(said.Error.Message)
	if no.message = fmt.Sprintf("%s: %.300s", resp.Status, message); message == "" || len(found) > 0 {
		no.message = resp.Status
	}
	return no
}

// unread says in the words of coverage why a list could not be read.
func unread(err error) error {
	var no *refused
	if !errors.As(err, &no) {
		return err
	}
	reason := finding.Malformed
	switch no.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		reason = finding.Denied
	case http.StatusNotFound, http.StatusGone:
		reason = finding.NotFound
	}
	return &audit.Unread{Reason: reason, Err: no}
}

// disabled tells that it is this project, and no other, in which a service is switched off.
func (p *project) disabled(err error) bool {
	var no *refused
	return errors.As(err, &no) && no.code == http.StatusForbidden && no.has("SERVICE_DISABLED") &&
		(no.consumer == "projects/"+p.account.Number || no.consumer == "projects/"+p.account.ID)
}

// pages calls each with every page of a list, and does not believe one that does not end.
func (p *project) pages(ctx context.Context, r request, each func(item) error) error {
	query := url.Values{}
	for key, v := range r.query {
		query[key] = v
	}
	r.query = query
	seen := map[string]bool{}
	first := p.first(ctx, r)
	for range maxListPages {
		page, err := first, error(nil)
		if first = nil; page == nil {
			page, err = p.do(ctx, r)
		}
		if err == nil {
			err = partial(page)
		}
		if err == nil {
			err = each(page)
		}
		if err != nil {
			return err
		}
		token := page.text("nextPageToken")
		switch {
		case token == "":
			return nil
		case seen[token] || len(token) > maxToken:
			return audit.Fail(finding.Malformed, "the list does not end: a page token came back")
		}
		seen[token] = true
		query.Set("pageToken", token)
	}
	return audit.Fail(finding.TooLarge, "the list has more than %d pages", maxListPages)
}

// first is the first page of a list that is asked together with others, or nil.
func (p *project) first(ctx context.Context, r request) item {
	if r.batched == "" {
		return nil
	}
	return p.together(ctx, r.batched)
}

// partial finds what an API says of places that it could not look at: such a list is not whole.
func partial(page item) error {
	for _, key := range []string{"unreachable", "unreachables", "missingZones"} {
		if places, _ := page[key].([]any); len(places) > 0 {
			return audit.Fail(finding.Unavailable, "the list is without %.200s", fmt.Sprint(places...))
		}
	}
	if code := page.below("warning").text("code"); code != "" && code != "NO_RESULTS_ON_PAGE" {
		return audit.Fail(finding.Unavailable, "the list has the warning %.100s", code)
	}
	if warnings, _ := page["warnings"].([]any); len(warnings) > 0 {
		return audit.Fail(finding.Unavailable, "the list has warnings: %.200s", fmt.Sprint(warnings...))
	}
	return nil
}

// array takes the objects of a page: an array, or one for each location (Compute Engine's aggregated lists).
func array(page item, key string) ([]item, error) {
	if scopes, ok := page["items"].(map[string]any); ok {
		var all []item
		for _, scope := range scopes {
			inner, _ := scope.(map[string]any)
			if err := partial(inner); err != nil {
				return nil, err
			}
			some, err := elements(inner[key])
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	}
	return elements(page[key])
}

func elements(v any) ([]item, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, audit.Fail(finding.Malformed, "a list is none")
	}
	var all []item
	for _, one := range list {
		object, ok := one.(map[string]any)
		if !ok {
			return nil, audit.Fail(finding.Malformed, "a list has what is no object")
		}
		all = append(all, object)
	}
	return all, nil
}

// wait follows an operation to its end. One that is forgotten has ended: what became of it, the next listing says.
func (p *project) wait(ctx context.Context, api, base string, op item) error {
	for delay := p.opts.Poll; ; delay = min(delay*3/2, maxPoll) {
		link := operation(op)
		if link == "" || op["done"] == true || op.text("status") == "DONE" {
			return failure(op)
		}
		if err := pace.Sleep(ctx, delay); err != nil {
			return err
		}
		next, err := p.do(ctx, request{method: http.MethodGet, api: api, path: "/" + base + "/" + escaped(link)})
		var no *refused
		if errors.As(err, &no) && no.code == http.StatusNotFound {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for %s: %w", link, unread(err))
		}
		op = next
	}
}

// operation is where an operation is found, or "" where an answer is none.
func operation(op item) string {
	for _, key := range []string{"selfLink", "name"} {
		link := op.text(key)
		if i := strings.Index(link, "projects/"); i >= 0 {
			link = link[i:]
		}
		if strings.HasPrefix(link, "operations/") || strings.Contains(link, "/operations/") {
			return link
		}
	}
	return ""
}

// failure reads both forms of the error of an operation.
func failure(op item) error {
	wrong := op.below("error")
	if len(wrong) == 0 {
		return nil
	}
	no := &refused{message: wrong.text("message"), reasons: []string{wrong.text("status")}}
	if code, ok := wrong["code"].(float64); ok {
		no.reasons = append(no.reasons, rpcCodes()[int(code)])
	}
	all, err := elements(wrong["errors"])
	if err != nil {
		return err
	}
	for _, e := range all {
		no.reasons = append(no.reasons, e.text("code"))
		no.message = strings.TrimSpace(no.message + " " + e.text("message"))
	}
	if no.message = fmt.Sprintf("the operation failed: %.300s", no.message); no.has("NOT_FOUND", "RESOURCE_NOT_FOUND") {
		no.code = http.StatusNotFound
	}
	return no
}

// rpcCodes are those of google.rpc.Code that decide something here.
func rpcCodes() map[int]string {
	return map[int]string{5: "NOT_FOUND", 9: "FAILED_PRECONDITION", 10: "ABORTED"}
}

// deleted turns the end of a delete into what a sweep wants to know.
func deleted(err error) error {
	var no *refused
	if !errors.As(err, &no) {
		return err
	}
	switch {
	case no.code == http.StatusNotFound || no.code == http.StatusGone:
		return nil
	case no.code == http.StatusConflict,
		no.has("FAILED_PRECONDITION", "ABORTED", "resourceInUseByAnotherResource", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
			"resourceNotReady", "RESOURCE_NOT_READY", "resourceInUse", "RESOURCE_IN_USE", "operationInProgress"):
		return fmt.Errorf("%w: %w", sweep.ErrInUse, no)
	}
	return no
}

// escaped is an id as a path: it came from the cloud, and must not lead elsewhere.
func escaped(id string) string {
	parts := strings.Split(id, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}
