// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// request is what a client sends. Target is the path with its query.
type request struct {
	method, target, body string
}

func (r request) String() string {
	text := r.method + " " + r.target
	if r.body != "" {
		text += " " + quote(r.body)
	}
	return text
}

// call is a POST as clients of Boskos make it: all parameters are in the query.
func call(path string, pairs ...string) request {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return request{method: http.MethodPost, target: path + "?" + values.Encode()}
}

// answer is what a client sees of a response.
type answer struct {
	status  int
	content string // media type
	nosniff bool
	body    string
}

// String is the form that scripts hold.
func (a answer) String() string {
	text := fmt.Sprint(a.status)
	if a.content != "" {
		text += " " + a.content
	}
	if a.nosniff {
		text += " nosniff"
	}
	if a.body != "" {
		text += " " + quote(a.body)
	}
	return text
}

// quote shows a body in one line, most of them as they are.
func quote(body string) string {
	if strconv.CanBackquote(body) {
		return "`" + body + "`"
	}
	return strconv.Quote(body)
}

// ask sends a request. An error is one of the connection.
func (a address) ask(client *http.Client, r request) (answer, error) {
	req, err := http.NewRequest(r.method, a.url()+r.target, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{
		status:  resp.StatusCode,
		content: resp.Header.Get("Content-Type"),
		nosniff: resp.Header.Get("X-Content-Type-Options") == "nosniff",
		body:    string(body),
	}, nil
}

// still is a client that shows a redirect and does not follow it.
func still() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// must asks and fails the test where no answer comes.
func (a address) must(t testing.TB, r request) answer {
	t.Helper()
	got, err := a.ask(still(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// plain replaces what two servers cannot have in common: times, and the names that Boskos makes up. Those are numbered
// as they appear, by the table names, which belongs to one server.
func (a answer) plain(names map[string]string) answer {
	a.body = times().ReplaceAllString(a.body, `"$1":"TIME"`)
	a.body = madeUp().ReplaceAllStringFunc(a.body, func(name string) string {
		if names[name] == "" {
			names[name] = fmt.Sprintf("NAME-%d", len(names)+1)
		}
		return names[name]
	})
	return a
}

func times() *regexp.Regexp {
	return regexp.MustCompile(`"(lastupdate|expiration-date)":"[^"]+"`)
}

func madeUp() *regexp.Regexp {
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
}
