// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"fmt"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

// The rules of zone files; docs/zones.md says what each means.
const (
	ruleConfig    = "ZONE-1"  // the configuration
	ruleNoFile    = "ZONE-2"  // a zone without a file
	ruleLink      = "ZONE-3"  // a link that leads nowhere, around or out
	ruleFile      = "ZONE-4"  // a file that is no mapping of names
	ruleTwice     = "ZONE-5"  // a key twice in one file
	ruleJoin      = "ZONE-6"  // files that cannot be joined
	ruleName      = "ZONE-7"  // a name
	ruleRecord    = "ZONE-8"  // a record
	ruleQuote     = "ZONE-9"  // a value that YAML 1.1 reads otherwise
	ruleState     = "ZONE-10" // records that cannot be together
	ruleInherited = "ZONE-11" // a delegation in a file of several zones
	ruleStray     = "ZONE-12" // a file that belongs to no zone
)

// maxProblems bounds what one load reports; who sees a thousand mends the cause.
const maxProblems = 1000

// problems collects findings, each once: a file that two zones share is read for both.
type problems struct {
	secrets *secret.Scanner
	seen    map[string]bool
	all     []finding.Finding
	more    bool
	pairs   int // brought by merge keys
}

func newProblems() *problems {
	return &problems{secrets: secret.NewScanner(), seen: map[string]bool{}}
}

// place is where a problem is and what it is about.
type place struct {
	file   string
	line   int
	object string // defaults to the file
}

func (p *problems) add(rule string, severity finding.Severity, at place, fix, format string, args ...any) {
	f := finding.Finding{
		Rule: rule, Severity: severity, Object: at.object, File: at.file, Line: at.line,
		Message: fmt.Sprintf(format, args...), Fix: fix,
	}
	if f.Object == "" {
		f.Object = at.file
	}
	key := fmt.Sprint(f.Rule, "\x00", f.Object, "\x00", f.Position(), "\x00", f.Message)
	if p.seen[key] {
		return
	}
	if len(p.all) == maxProblems {
		p.more = true
		return
	}
	p.seen[key] = true
	p.all = append(p.all, f)
}

// errorf reports an error without a better fix than what the message says.
func (p *problems) errorf(rule string, at place, format string, args ...any) {
	p.add(rule, finding.Error, at, "", format, args...)
}

// list returns what was found, in the order of the files.
func (p *problems) list(file string) []finding.Finding {
	finding.Sort(p.all)
	if p.more {
		p.all = append(p.all, finding.Finding{
			Rule: ruleConfig, Severity: finding.Error, Object: file, File: file,
			Message: fmt.Sprintf("more than %d problems: only the first are shown", maxProblems),
		})
	}
	return p.all
}

// shown is untrusted text as a message holds it: short, in quotes, without secrets.
func (p *problems) shown(text string) string {
	text, _ = p.secrets.Redact(text)
	return fmt.Sprintf("%.80q", text)
}

// named is a key as objects of findings hold it: as it is, where it is a name.
func (p *problems) named(key string) string {
	if key == "" {
		return "''"
	}
	if text, found := p.secrets.Redact(key); len(found) > 0 || len(key) > maxName {
		return p.shown(text)
	}
	return printable(key)
}
