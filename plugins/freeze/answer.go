// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/thread"
)

// paths is what the author of a freeze or unfreeze has to be an approver of. A
// scope that was taken out of the settings while frozen is the root's to lift;
// any other unknown scope is about nothing.
func (f freezer) paths(s *thread.Snapshot, c command.Call) []string {
	if len(c.Args) == 0 {
		return nil
	}
	folders, ok := f.scopes(s).Folders(c.Args[0])
	if _, recorded := freeze.Newest(s.Records, c.Args[0]); !ok && recorded && c.Line.Verb == "unfreeze" {
		return []string{"."}
	}
	return folders
}

func (f freezer) freeze(s *thread.Snapshot, c command.Call, _ time.Time) command.Reply {
	switch {
	case len(f.paths(s, c)) == 0:
		return f.whichScope(s, c)
	case len(c.Args) < 2:
		return command.Reply{Text: "Nothing is frozen without a reason: `" + command.Prefix + " freeze SCOPE REASON…`."}
	}
	return f.decide(s, c, true, fmt.Sprintf("%s is frozen: %s\n\n%s", markdown.Code(c.Args[0]), markdown.Text(reason(c)), f.effect(s, c.Args[0])))
}

func (f freezer) unfreeze(s *thread.Snapshot, c command.Call, _ time.Time) command.Reply {
	if len(f.paths(s, c)) == 0 {
		return f.whichScope(s, c)
	}
	return f.decide(s, c, false, fmt.Sprintf("%s is not frozen by command any more. `%s frozen` lists what still is.", markdown.Code(c.Args[0]), command.Prefix))
}

func reason(c command.Call) string { return strings.Join(c.Args[1:], " ") }

// decide leaves the record of the command. It does so even where the scope is in
// the wanted state already, because an older command may still be under way on
// another thread: the answer must not depend on which of them came first.
func (f freezer) decide(s *thread.Snapshot, c command.Call, frozen bool, text string) command.Reply {
	stamp := thread.StampOf(c.Comment)
	if later, ok := freeze.Newest(s.Records, c.Args[0]); ok && later.Stamp.After(stamp) {
		return command.Reply{Text: f.overtaken(later)}
	}
	state := freeze.State{
		Scope: c.Args[0], By: c.Comment.Author, Reason: reason(c),
		OwnersCommit: s.BaseCommit, At: c.Comment.Created.UTC(), Frozen: frozen,
	}
	return command.Reply{Text: text, Actions: []thread.Action{f.record(s, state, stamp)}}
}

func (f freezer) overtaken(later thread.Record) string {
	state, err := freeze.Decode(later)
	if err != nil {
		return "Nothing changed: there is a later record about the scope."
	}
	word := "unfroze"
	if state.Frozen {
		word = "froze"
	}
	return fmt.Sprintf("Nothing changed: %s %s %s later, at %s.",
		markdown.Login(state.By), word, markdown.Code(state.Scope), instant(state.At))
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func (f freezer) whichScope(s *thread.Snapshot, c command.Call) command.Reply {
	names := f.scopes(s).Names()
	text := "Which scope?"
	if len(c.Args) > 0 {
		text = fmt.Sprintf("There is no scope %s.", markdown.Code(c.Args[0]))
		if near := spell.Nearest(c.Args[0], names); near != "" {
			text += fmt.Sprintf(" Did you mean %s?", markdown.Code(near))
		}
	}
	return command.Reply{Text: fmt.Sprintf("%s The scopes of this repository are %s.", text, codes(names))}
}

func codes(all []string) string {
	shown := make([]string, len(all))
	for i, s := range all {
		shown[i] = markdown.Code(s)
	}
	return strings.Join(shown, ", ")
}

// effect tells what a freeze of the scope does and how it ends.
func (f freezer) effect(s *thread.Snapshot, scope string) string {
	return fmt.Sprintf("Open pull requests that change %s are held by the status `%s`, and nothing there is applied. "+
		"An approver of all of it lifts the freeze with `%s unfreeze %s`.", f.where(s, scope), Context, command.Prefix, scope)
}

// where names the folders of a scope.
func (f freezer) where(s *thread.Snapshot, scope string) string {
	folders, ok := f.scopes(s).Folders(scope)
	switch {
	case !ok:
		return "anything (the scope is not in the settings any more)"
	case scope == freeze.All:
		return "anything"
	}
	return "files in " + codes(folders)
}

// record is the issue of a state. Nothing but the state and the settings decides
// how it reads, so that it can be written again at any time.
func (f freezer) record(s *thread.Snapshot, state freeze.State, stamp thread.Stamp) thread.Issue {
	issue := thread.Issue{
		Key: freeze.Key(state.Scope), Title: "Not frozen: " + state.Scope, Open: state.Frozen, Stamp: stamp,
	}
	who := fmt.Sprintf("by %s at %s (OWNERS at %s)", markdown.Login(state.By), instant(state.At), markdown.Code(command.Short(state.OwnersCommit)))
	why := ""
	if state.Reason != "" {
		why = ": " + markdown.Text(state.Reason)
	}
	issue.Text = fmt.Sprintf("%s was unfrozen %s%s", markdown.Code(state.Scope), who, why)
	if state.Frozen {
		issue.Title = "Frozen: " + state.Scope
		issue.Text = fmt.Sprintf("%s was frozen %s%s\n\n%s Closing this issue changes nothing.", markdown.Code(state.Scope), who, why, f.effect(s, state.Scope))
	}
	// A state of strings, a time and a bool always encodes; without data the
	// record could not be read, which freezes everything.
	issue.Data, _ = state.Encode()
	return issue
}

// frozen lists everything that is.
func (f freezer) frozen(s *thread.Snapshot, _ command.Call, file []byte, now time.Time) command.Reply {
	set, _ := freeze.Load(s.Records, file, f.scopes(s), now) // what the error says is in the set
	if len(set.All()) == 0 {
		return command.Reply{Text: "Nothing is frozen."}
	}
	var b strings.Builder
	for _, z := range set.All() {
		fmt.Fprintf(&b, "- %s, %s: %s\n", markdown.Code(z.Scope), origin(z), markdown.Text(z.Reason))
	}
	return command.Reply{Text: strings.TrimSpace(b.String())}
}

func origin(z freeze.Freeze) string {
	switch {
	case z.Fault:
		return "because of what cannot be read"
	case z.By != "":
		return fmt.Sprintf("by %s since %s", markdown.Login(z.By), instant(z.At))
	case z.Until.IsZero():
		return fmt.Sprintf("by `%s` line %d", freeze.File, z.Line)
	}
	return fmt.Sprintf("by `%s` line %d until %s", freeze.File, z.Line, instant(z.Until))
}
