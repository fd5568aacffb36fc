// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package thread

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"sigs.k8s.io/steward/internal/markdown"
)

// BranchPrefix begins the name of every branch that steward makes. What follows is
// the name of the plugin, a slash, and what tells the pull requests apart.
const BranchPrefix = "steward/"

// Pull is a pull request as it should come into being, one per Branch and
// repository. One that is there is enough, in whatever state: what people made of
// it is theirs, and nobody is asked twice.
type Pull struct {
	Branch string // of the head, in the repository itself
	Base   string // branch
	Commit string // of Base; the change stands on it
	Title  string // plain text, one line
	Text   string // Markdown for people
	Files  []Content
}

// Content is a text file as it should be after a pull request.
type Content struct {
	Path string
	Data string
}

// StartJob is one run of a periodic job of Prow, one per Key. Which jobs may be
// started is a setting of the repository.
type StartJob struct {
	Job string
	Key string // begins with the name of the plugin and a slash
	Why string // plain text, for who looks at the run
}

// PeriodicJob is what is known of a periodic job of Prow.
type PeriodicJob struct {
	Name     string        // "": none is configured
	Interval time.Duration // 0: not known
	Hurdle   string        // why it cannot be started from here, as a sentence without its end; "": it can
	Running  time.Time     // since when a run is under way; zero: none is
}

// Every is ", every 4 h" for a sentence; "" where it is not known.
func (j PeriodicJob) Every() string {
	switch {
	case j.Interval <= 0:
		return ""
	case j.Interval%time.Hour == 0:
		return fmt.Sprintf(", every %d h", int(j.Interval.Hours()))
	}
	return fmt.Sprintf(", every %d min", int(j.Interval.Minutes()))
}

func (Pull) isAction()     {}
func (StartJob) isAction() {}

type (
	// CreatePull opens a pull request unless its branch has one.
	CreatePull struct{ Pull }
	// CreateJob starts a job unless its key has a run.
	CreateJob struct{ StartJob }
)

func (CreatePull) isWrite() {}
func (CreateJob) isWrite()  {}

// titleLimit keeps a title on one line of a list; GitHub takes 256 characters.
const titleLimit = 200

// legalBranch is what git and a URL take as it is.
var legalBranch = regexp.MustCompile(`^steward/[a-z][a-z0-9-]{0,29}/[a-z0-9][a-z0-9-]{0,99}$`)

// LegalBranch tells whether a branch may be made.
func LegalBranch(name string) bool { return legalBranch.MatchString(name) }

// outside collects pull requests, jobs and calls of the pool, the last action of each branch and key.
// Whether they are there is for the executor to find out: a snapshot of one thread
// does not show it.
func outside(actions []Action) []Write {
	place := map[string]int{}
	var writes []Write
	put := func(id string, w Write) {
		i, seen := place[id]
		if !seen {
			i, place[id] = len(writes), len(writes)
			writes = append(writes, nil)
		}
		writes[i] = w
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Pull:
			a.Title = clipRunes(plainLine(a.Title), titleLimit)
			a.Text = markdown.Clip(a.Text, partLimit, clippedNote)
			put("pull "+a.Branch, CreatePull{a})
		case StartJob:
			a.Why = clipRunes(plainLine(a.Why), titleLimit)
			put("job "+a.Key, CreateJob{a})
		case PoolCall:
			put("pool "+a.Key, CallPool{a.plain()})
		}
	}
	return writes
}

// plainLine folds everything that is not printed into spaces.
func plainLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return strings.Join(strings.Fields(s), " ")
}

const (
	linkStart = "<!-- steward:pull "
	linkEnd   = " -->"
)

// PullLink stands in an answer for a link to the pull request of a branch, whose
// number is known only when it was opened. Package markdown lets nobody else write
// one, and where nothing is put in its place, nothing is seen of it.
func PullLink(branch string) string { return linkStart + branch + linkEnd }

// FillLinks puts links into the places that PullLink left, of those branches that
// find knows.
func FillLinks(body string, find func(branch string) (link string, ok bool)) string {
	parts := strings.Split(body, linkStart)
	for i, part := range parts[1:] {
		branch, rest, closed := strings.Cut(part, linkEnd)
		link, known := find(branch)
		if parts[i+1] = linkStart + part; closed && known {
			parts[i+1] = link + rest
		}
	}
	return strings.Join(parts, "")
}
