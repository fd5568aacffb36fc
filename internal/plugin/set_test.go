// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

func nothing(context.Context, *thread.Snapshot, time.Time) ([]thread.Action, error) { return nil, nil }

func TestNewSetRefuses(t *testing.T) {
	with := func(change func(*Plugin)) Plugin {
		p := toy()
		p.Rows = slices.Clone(p.Rows)
		change(&p)
		return p
	}
	tests := []struct {
		want    string
		plugins []Plugin
	}{
		{`plugin "toy": the name`, []Plugin{toy(), toy()}},
		{`plugin toy: verb "echo" is that of plugin toy`, []Plugin{toy(), toy()}},
		{`plugin "infra": the name`, []Plugin{with(func(p *Plugin) { p.Name = "infra" })}},
		{`plugin "Toy": the name`, []Plugin{with(func(p *Plugin) { p.Name = "Toy" })}},
		{`plugin "a/b": the name`, []Plugin{with(func(p *Plugin) { p.Name = "a/b" })}},
		{`verb "help" is that of plugin infra`, []Plugin{with(func(p *Plugin) { p.Rows[0].Verb = "help" })}},
		{`row "Echo" is not complete`, []Plugin{with(func(p *Plugin) { p.Rows[0].Verb = "Echo" })}},
		{`row "echo" is not complete`, []Plugin{with(func(p *Plugin) { p.Rows[0].Run = nil })}},
		{`row "echo" is not complete`, []Plugin{with(func(p *Plugin) { p.Rows[0].Where = 0 })}},
		{`row "echo" is not complete`, []Plugin{with(func(p *Plugin) { p.Rows[0].Examples = nil })}},
		{`there is no row "ecco" for the first word of "ecco twice"`, []Plugin{with(func(p *Plugin) {
			p.Rows = append(p.Rows, p.Rows[0])
			p.Rows[len(p.Rows)-1].Verb = "ecco twice"
		})}},
		{`row "echo twice thrice" is not complete`, []Plugin{with(func(p *Plugin) { p.Rows[0].Verb = "echo twice thrice" })}},
		{`no summary`, []Plugin{with(func(p *Plugin) { p.Summary = "" })}},
		{`context "toy"`, []Plugin{with(func(p *Plugin) { p.Contexts = []string{"toy"} })}},
		{`context "steward/toy"`, []Plugin{with(func(p *Plugin) { p.Watch = nil })}},
		{`context "steward/toy"`, []Plugin{toy(), {Name: "b", Summary: "B.", Contexts: []string{"steward/toy"}, Watch: nothing}}},
	}
	for _, tt := range tests {
		if _, err := NewSet(tt.plugins); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("err = %v, want %s", err, tt.want)
		}
	}
}

func TestCheckNamesEveryProblem(t *testing.T) {
	set := newSet(t, toy(), other(nothing))
	if err := set.Check(Options{Enabled: []string{"toy", "other"}, Aliases: map[string]string{"ecko": "echo", "boom": "boom"}}); err != nil {
		t.Errorf("a good configuration is refused: %v", err)
	}
	err := set.Check(Options{
		Enabled: []string{"toy", "toy", "dns"},
		Aliases: map[string]string{"retest": "echo", "x": "ehco", "infra": "all", "Up": "get", "echo": "boom", "a": "act", "b": "act"},
	})
	for _, want := range []string{
		`plugin "toy" is listed twice`,
		`there is no plugin "dns"; there are toy, other`,
		"alias /retest: is a command of Prow's plugin trigger",
		`alias /x: stands for "ehco", which is no command; did you mean "echo"?`,
		"alias /infra: is the canonical form itself",
		"alias /Up: want a lower-case word",
		"alias /echo: is the verb of another command, /infra echo",
		"alias /b: /infra act has the alias /a already",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

func TestContextsAndHelp(t *testing.T) {
	set := newSet(t, toy(), other(nothing))
	if got := set.Contexts([]string{"toy", "other"}); !reflect.DeepEqual(got, []string{"steward/other", "steward/toy"}) {
		t.Errorf("contexts %v", got)
	}
	if got := set.Contexts([]string{"toy"}); !reflect.DeepEqual(got, []string{"steward/toy"}) {
		t.Errorf("contexts %v", got)
	}
	help := set.Help(options())
	if len(help) != 1 || help[0].Plugin != "toy" || help[0].Commands[0].Usage != "/infra echo [word…] or /ecko" ||
		help[0].Commands[0].Who != "members of the organization" || help[0].Commands[0].Where != "open pull requests, open issues" {
		t.Errorf("help %+v", help)
	}
}
