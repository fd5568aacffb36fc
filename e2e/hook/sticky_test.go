// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"regexp"
	"strconv"
	"strings"
)

// answers is what one sticky says was answered.
type answers struct {
	stickies int
	ids      map[int64]bool
	body     string
}

// Written here once more and not taken from internal/thread, because the marks are what later versions have to read.
var (
	headMark   = regexp.MustCompile(`^<!-- steward:([a-z0-9-]+) v1 dropped=([\d,]*) -->\n`)
	answerMark = regexp.MustCompile(`(?m)^<!-- steward:answer (\d+) -->$`)
)

func (a answers) has(id int64) bool { return a.ids[id] }

// answered reads the stickies of a topic on a thread.
func (g *github) answered(name string, number int, topic string) answers {
	g.t.Helper()
	a := answers{ids: map[int64]bool{}}
	for _, c := range g.comments(name, number) {
		head := headMark.FindStringSubmatch(c.Body)
		if head == nil || head[1] != topic || !strings.HasPrefix(c.User.Login, "steward") {
			continue
		}
		a.stickies, a.body = a.stickies+1, c.Body
		for text := range strings.SplitSeq(head[2], ",") {
			id, _ := strconv.ParseInt(text, 10, 64)
			a.ids[id] = true
		}
		for _, m := range answerMark.FindAllStringSubmatch(c.Body, -1) {
			id, _ := strconv.ParseInt(m[1], 10, 64)
			a.ids[id] = true
		}
	}
	return a
}
