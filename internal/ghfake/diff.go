// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// change is one file of a pull request, as GitHub lists it.
type change struct {
	Path, Previous string // Previous is set for renames
	Status         string // added, modified, removed or renamed
	ID             string // blob at head; at base for removed files
	old            string // blob at base
}

// similar is the share of common lines from which GitHub, like git, calls an
// addition beside a removal a rename.
const similar = 0.5

// renameLimit bounds the search for similar files: beyond its square of pairs
// only equal blobs are renames, as with git's diff.renameLimit.
const renameLimit = 200

// changes compares two trees; the result is sorted by path.
func (o *objects) changes(from, to string) []change {
	var out []change
	o.compare(from, to, "", &out)
	out = o.renames(out)
	slices.SortFunc(out, func(a, b change) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// compare skips equal subtrees, so its work grows with what differs.
func (o *objects) compare(from, to, prefix string, out *[]change) {
	if from == to {
		return
	}
	old := map[string]entry{}
	for _, e := range o.tree(from) {
		old[e.Name] = e
	}
	for _, e := range o.tree(to) {
		was, existed := old[e.Name]
		delete(old, e.Name)
		if existed && was.kind() != e.kind() {
			o.compareOne(was, entry{Name: e.Name}, prefix, out)
			was = entry{Name: e.Name}
		}
		o.compareOne(was, e, prefix, out)
	}
	for _, e := range sorted(old) {
		o.compareOne(e, entry{Name: e.Name}, prefix, out)
	}
}

func (o *objects) compareOne(was, is entry, prefix string, out *[]change) {
	name := prefix + is.Name
	if was.Mode == "40000" || is.Mode == "40000" {
		o.compare(was.ID, is.ID, name+"/", out)
		return
	}
	switch {
	case was.ID == "":
		*out = append(*out, change{Path: name, Status: "added", ID: is.ID})
	case is.ID == "":
		*out = append(*out, change{Path: name, Status: "removed", ID: was.ID, old: was.ID})
	case was.ID != is.ID || was.Mode != is.Mode:
		*out = append(*out, change{Path: name, Status: "modified", ID: is.ID, old: was.ID})
	}
}

// renames joins removals and additions, the best pairs first.
func (o *objects) renames(in []change) []change {
	var removed, added, out []change
	for _, c := range in {
		switch c.Status {
		case "removed":
			removed = append(removed, c)
		case "added":
			added = append(added, c)
		default:
			out = append(out, c)
		}
	}
	from, to := map[int]bool{}, map[int]bool{}
	for _, p := range o.pairs(removed, added) {
		if from[p.from] || to[p.to] {
			continue
		}
		from[p.from], to[p.to] = true, true
		was, is := removed[p.from], added[p.to]
		out = append(out, change{Path: is.Path, Previous: was.Path, Status: "renamed", ID: is.ID, old: was.ID})
	}
	return slices.Concat(out, without(removed, from), without(added, to))
}

func without(all []change, used map[int]bool) (out []change) {
	for n, c := range all {
		if !used[n] {
			out = append(out, c)
		}
	}
	return out
}

// pair is a possible rename: indexes of a removal and an addition.
type pair struct {
	from, to int
	score    float64
}

// pairs lists possible renames by falling score. Equal blobs score above all
// similar ones, and among them a kept base name wins.
func (o *objects) pairs(removed, added []change) (out []pair) {
	few := len(removed)*len(added) <= renameLimit*renameLimit
	for i, was := range removed {
		for j, is := range added {
			score := 0.0
			switch {
			case was.ID == is.ID && path.Base(was.Path) == path.Base(is.Path):
				score = 3
			case was.ID == is.ID:
				score = 2
			case few:
				score = o.similarity(was.ID, is.ID)
			}
			if score >= similar {
				out = append(out, pair{i, j, score})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b pair) int { return cmp.Compare(b.score, a.score) })
	return out
}

// similarity is the share of bytes in lines that both blobs have.
func (o *objects) similarity(a, b string) float64 {
	x, y := o.byID[a].data, o.byID[b].data
	if len(x) == 0 || len(y) == 0 || len(x) > 2*len(y) || len(y) > 2*len(x) {
		return 0
	}
	count := map[string]int{}
	for line := range bytes.Lines(x) {
		count[string(line)]++
	}
	common := 0
	for line := range bytes.Lines(y) {
		if count[string(line)] > 0 {
			count[string(line)]--
			common += len(line)
		}
	}
	return float64(common) / float64(max(len(x), len(y)))
}

// patch is the hunks of a change without the file header, with the counts of
// added and deleted lines. Binary files and files over 1 MB have none, as on GitHub.
func (o *objects) patch(c change) (text string, added, deleted int) {
	before, after := o.byID[c.old].data, o.byID[c.ID].data
	if c.Status == "removed" {
		after = nil
	}
	if isBinary(before) || isBinary(after) || len(before)+len(after) > 1<<20 {
		return "", 0, 0
	}
	text = hunks(diff.Diff("a", before, "b", after))
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(line, "+"):
			added++
		case strings.HasPrefix(line, "-"):
			deleted++
		}
	}
	return text, added, deleted
}

// hunks drops the lines before the first @@ and the last newline.
func hunks(unified []byte) string {
	n := bytes.Index(unified, []byte("\n@@ "))
	if n < 0 {
		return ""
	}
	return strings.TrimSuffix(string(unified[n+1:]), "\n")
}

// isBinary is git's test: a NUL among the first 8000 bytes.
func isBinary(data []byte) bool {
	return bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0
}
