// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package thread

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/markdown"
)

// A sticky is one comment per topic, edited in place:
//
//	<!-- steward:owners v1 dropped= -->
//	standing part
//
//	<!-- steward:answer 1002 -->
//	newest answer
//	<!-- steward:answer 1001 -->
//	older answer
//	<!-- steward:end -->
//
// All but the newest answers are folded away.
//
// The body is its own record: which comments were answered is read back from
// it, so that nothing else needs to be kept anywhere. Answers that no longer fit
// are dropped, oldest first, and their ids are kept.
type sticky struct {
	topic    string
	dropped  map[int64]bool
	standing string
	answers  map[int64]string // by id of the comment that was answered
}

const (
	answersShown = 50 // answers that a sticky keeps
	answersOpen  = 5  // of them, not folded
)

const (
	foldStart = "\n<details><summary>Earlier answers</summary>\n\n"
	foldEnd   = "\n</details>\n"
)

const droppedNote = "_Older answers were dropped._"

const clippedNote = "\n\n_Cut: a comment holds 65,536 characters._\n"

var headMarker = regexp.MustCompile(`^<!-- steward:([a-z0-9-]{1,40}) v1 dropped=([0-9,]*) -->\n`)

const (
	answerMarker = "<!-- steward:answer " // followed by the id
	endMarker    = "<!-- steward:end -->"
)

// parseSticky reads a comment body; ok is false when it is not a sticky.
func parseSticky(body string) (st sticky, ok bool) {
	body = strings.ReplaceAll(body, "\r\n", "\n")
	head := headMarker.FindStringSubmatch(body)
	if head == nil {
		return sticky{}, false
	}
	st = sticky{topic: head[1], dropped: map[int64]bool{}, answers: map[int64]string{}}
	for id := range strings.SplitSeq(head[2], ",") {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil && len(st.dropped) < droppedKept {
			st.dropped[n] = true
		}
	}
	rest, _, _ := strings.Cut(body[len(head[0]):], endMarker)
	rest = strings.TrimSuffix(strings.TrimSpace(rest), droppedNote)
	if before, folded, ok := strings.Cut(rest, foldStart); ok {
		rest = before + strings.TrimSuffix(strings.TrimSpace(folded), strings.TrimSpace(foldEnd))
	}
	parts := strings.Split("\n"+rest, "\n"+answerMarker)
	st.standing = strings.TrimSpace(parts[0])
	for _, part := range parts[1:] {
		number, text, closed := strings.Cut(part, " -->")
		if id, err := strconv.ParseInt(number, 10, 64); closed && err == nil && id > 0 {
			st.answers[id] = strings.TrimSpace(text)
		}
	}
	return st, true
}

// What a sticky spends its 65,536 characters on: half at the most for the
// standing part, half for a single answer, and some for markers.
const (
	partLimit   = markdown.Limit/2 - 4000
	markerSpace = 60
	frameSpace  = 8000 // ids of dropped answers, most of all
)

// droppedKept is more than the comments with commands that a thread may have.
const droppedKept = 400

// render is the inverse of parseSticky. It drops the oldest answers that do not
// fit and cuts the standing part as a last resort.
func (st sticky) render() string {
	standing := markdown.Clip(st.standing, partLimit, clippedNote)
	kept := st.fit(markdown.Limit - frameSpace - utf8.RuneCountInString(standing))
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- steward:%s v1 dropped=%s -->\n%s\n\n", st.topic, st.droppedIDs(), standing)
	for i, id := range kept {
		if i == answersOpen {
			b.WriteString(foldStart)
		}
		fmt.Fprintf(&b, "%s%d -->\n%s\n", answerMarker, id, st.answers[id])
	}
	if len(kept) > answersOpen {
		b.WriteString(foldEnd)
	}
	if len(st.dropped) > 0 {
		b.WriteString("\n" + droppedNote + "\n")
	}
	b.WriteString(endMarker + "\n")
	return b.String()
}

// fit cuts long answers and returns the ids of the newest ones that fit into room
// characters, newest first. The others are dropped.
func (st *sticky) fit(room int) []int64 {
	ids := slices.Sorted(maps.Keys(st.answers))
	slices.Reverse(ids)
	for i, id := range ids {
		st.answers[id] = markdown.Clip(st.answers[id], partLimit, clippedNote)
		room -= utf8.RuneCountInString(st.answers[id]) + markerSpace
		if i >= answersShown || room < 0 {
			for _, id := range ids[i:] {
				st.dropped[id] = true
			}
			return ids[:i]
		}
	}
	return ids
}

func (st *sticky) droppedIDs() string {
	ids := slices.Sorted(maps.Keys(st.dropped))
	if len(ids) > droppedKept {
		ids = ids[len(ids)-droppedKept:]
	}
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(text, ",")
}

// ownStickies returns the thread's stickies of a topic, lowest id first: where
// two processes raced, the first one stays.
func ownStickies(s *Snapshot, topic string) (ids []int64, parsed []sticky, bodies []string) {
	comments := slices.Clone(s.Comments)
	slices.SortFunc(comments, func(a, b Comment) int { return cmp.Compare(a.ID, b.ID) })
	for _, c := range comments {
		if !s.own(c) {
			continue
		}
		if st, ok := parseSticky(c.Body); ok && st.topic == topic {
			ids, parsed, bodies = append(ids, c.ID), append(parsed, st), append(bodies, c.Body)
		}
	}
	return ids, parsed, bodies
}

// own tells whether this process's account wrote c, by name and kind.
func (s *Snapshot) own(c Comment) bool {
	name, app := strings.CutSuffix(s.Bot, "[bot]")
	return strings.EqualFold(c.Author, name) && c.Bot == app
}

// Answered returns the ids of the comments whose commands were carried out under
// topic. It reads the stickies anew: ask once for many comments.
func (s *Snapshot) Answered(topic string) map[int64]bool {
	ids := map[int64]bool{}
	_, all, _ := ownStickies(s, topic)
	for _, st := range all {
		maps.Copy(ids, st.dropped)
		for id := range st.answers {
			ids[id] = true
		}
	}
	return ids
}

// doubled lists the topics with more than one own sticky. Two processes raced; the
// plugin need not have anything to say any more.
func (s *Snapshot) doubled() []string {
	count := map[string]int{}
	for _, c := range s.Comments {
		if topic := StickyTopic(c.Body); topic != "" && s.own(c) {
			count[topic]++
		}
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n < 2 })
	return slices.Sorted(maps.Keys(count))
}

// change is what the actions of one topic ask for.
type change struct {
	standing *string // nil: leave it
	answers  map[int64]string
}

func diffTopic(s *Snapshot, topic string, want *change) []Write {
	ids, have, bodies := ownStickies(s, topic)
	next := sticky{topic: topic, dropped: map[int64]bool{}, answers: map[int64]string{}}
	for i, st := range have {
		if i == 0 {
			next.standing = st.standing
		}
		maps.Copy(next.dropped, st.dropped)
		maps.Copy(next.answers, st.answers)
	}
	for id, text := range want.answers {
		if _, told := next.answers[id]; !told && !next.dropped[id] {
			next.answers[id] = strings.TrimSpace(text)
		}
	}
	if want.standing != nil {
		next.standing = strings.TrimSpace(*want.standing)
	}
	return writeTopic(next, ids, bodies)
}

func writeTopic(next sticky, ids []int64, bodies []string) []Write {
	var writes []Write
	empty := next.standing == "" && len(next.answers) == 0 && len(next.dropped) == 0
	switch body := next.render(); {
	case len(ids) == 0 && empty:
		return nil
	case len(ids) == 0:
		return []Write{PostComment{Topic: next.topic, Body: body}}
	case empty:
		writes = append(writes, DeleteComment{ID: ids[0]})
	case body != strings.ReplaceAll(bodies[0], "\r\n", "\n"):
		writes = append(writes, EditComment{ID: ids[0], Body: body})
	}
	for _, id := range ids[1:] {
		writes = append(writes, DeleteComment{ID: id})
	}
	return writes
}

// StickyTopic is the topic of a comment body, "" when it is not a sticky.
func StickyTopic(body string) string {
	st, _ := parseSticky(body)
	return st.topic
}
