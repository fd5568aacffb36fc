// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"regexp"
	"strconv"
	"strings"
)

// answers is what the stickies of a topic on a thread say was answered.
type answers struct {
	stickies int
	ids      map[int64]bool
	body     string // of the last one
}

// Written here once more and not taken from internal/thread, because the marks are what later versions have to read.
var (
	headMark   = regexp.MustCompile(`^<!-- steward:([a-z0-9-]+) v1 dropped=([0-9,]*) -->\n`)
	answerMark = regexp.MustCompile(`(?m)^<!-- steward:answer (\d+) -->$`)
)

// answered reads the stickies of a topic on a thread.
func (g *github) answered(name string, number int, topic string) answers {
	g.t.Helper()
	a := answers{ids: map[int64]bool{}}
	for _, c := range g.comments(name, number) {
		head := headMark.FindStringSubmatch(c.Body)
		if head == nil || head[1] != topic || c.User.Login != bot {
			continue
		}
		a.stickies, a.body = a.stickies+1, c.Body
		told := strings.Split(head[2], ",")
		for _, m := range answerMark.FindAllStringSubmatch(c.Body, -1) {
			told = append(told, m[1])
		}
		for _, digits := range told {
			if id, err := strconv.ParseInt(digits, 10, 64); err == nil {
				a.ids[id] = true
			}
		}
	}
	return a
}
