// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestArmRefusesRulesThatMeanNothing(t *testing.T) {
	for _, r := range []Rule{{}, {Action: "explode"}, {Action: "status"}, {Action: "status", Status: 42}, {Action: "reset", Path: "("}} {
		if _, err := r.Arm(); err == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
}

func TestMeets(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		want string // one letter a request: x is hit
	}{
		"all":            {Rule{}, "xxxx"},
		"the second":     {Rule{Nth: 2}, ".x.."},
		"from the third": {Rule{Nth: 3, Times: 9}, "..xx"},
		"the first two":  {Rule{Times: 2}, "xx.."},
		"other method":   {Rule{Method: "POST"}, "...."},
		"other path":     {Rule{Path: "^/b"}, "...."},
		"never by dice":  {Rule{Probability: 1e-12}, "...."},
	} {
		c.rule.Action = "reset"
		armed, err := c.rule.Arm()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for range 4 {
			if armed.Meets("GET", "/a") {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func wrong(code int, message string) (string, []byte) {
	raw, _ := json.Marshal(map[string]any{"code": code, "message": message})
	return "application/json", raw
}

// ask sends one request and describes what came back.
func ask(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "cut"
	}
	return resp.Status[:3] + " " + string(body) + resp.Header.Get("Retry-After")
}

func TestHandlerActs(t *testing.T) {
	did := 0
	var e Engine
	srv := httptest.NewServer(e.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		did++
		_, _ = io.WriteString(w, "done")
	}), wrong))
	defer srv.Close()
	for name, c := range map[string]struct {
		rule Rule
		want string
		did  int
	}{
		"status":       {Rule{Action: "status", Status: 403}, `403 {"code":403,"message":"Forbidden"}`, 0},
		"status after": {Rule{Action: "status", Status: 500, Body: "x", After: true}, "500 x", 1},
		"throttled":    {Rule{Action: "status", Status: 429, Body: "x", Seconds: 3}, "429 x3", 0},
		"secondary":    {Rule{Action: "secondary", Body: "x", Seconds: 9}, "403 x9", 0},
		"reset":        {Rule{Action: "reset"}, "no answer", 0},
		"truncate":     {Rule{Action: "truncate"}, "cut", 1},
		"delay":        {Rule{Action: "delay", Millis: 1}, "200 done", 1},
	} {
		e.Heal()
		did = 0
		if err := e.Inject(c.rule); err != nil {
			t.Fatal(err)
		}
		// A connection that is reset before its answer may be tried again by the client.
		if got := ask(t, srv.URL+"/a"); got != c.want || did != c.did {
			t.Errorf("%s: %q with %d effects, want %q with %d", name, got, did, c.want, c.did)
		}
		if all := e.Requests(); len(all) == 0 || all[0].Path != "/a" || !strings.HasPrefix(all[0].Fault, c.rule.Action) {
			t.Errorf("%s: recorded %v", name, all)
		}
	}
	e.Heal()
	if got := ask(t, srv.URL+"/b"); got != "200 done" || e.Requests()[0].Fault != "" {
		t.Errorf("healed: %q, %v", got, e.Requests())
	}
}
