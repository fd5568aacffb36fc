// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bar is one line of a bar plot.
type Bar struct {
	Label string
	Parts []Part // side by side
}

// Part is a piece of a bar. Kind is one of Kinds and chooses the colour; others are plain.
type Part struct {
	Kind  string
	Value int // negative values count as 0
}

// Kinds lists the colours a plot has: those of severities, and one without meaning.
func Kinds() []string { return []string{"critical", "error", "warning", "info", "plain"} }

// Bars draws bars to one scale. The numbers and their kinds stand in words beside
// them, so the colours say nothing that the text does not.
func Bars(caption string, bars []Bar) Block {
	longest := 1
	for _, b := range bars {
		longest = max(longest, b.total())
	}
	rows := make([]barRow, len(bars))
	for i, b := range bars {
		rows[i] = b.row(longest)
	}
	return named("bars", struct {
		Caption string
		Rows    []barRow
	}{caption, rows})
}

type barRow struct {
	Label, Words string
	Total        int
	Pieces       []piece
}

// piece is a rectangle, in percent of the longest bar.
type piece struct{ Kind, X, Width string }

func (b Bar) total() int {
	sum := 0
	for _, p := range b.Parts {
		sum += max(p.Value, 0)
	}
	return sum
}

func (b Bar) row(longest int) barRow {
	row := barRow{Label: b.Label, Total: b.total()}
	var words []string
	x := 0.0
	for _, p := range b.Parts {
		if p.Value <= 0 {
			continue
		}
		if !slices.Contains(Kinds(), p.Kind) {
			p.Kind = "plain"
		}
		width := 100 * float64(p.Value) / float64(longest)
		row.Pieces = append(row.Pieces, piece{p.Kind, percent(x), percent(width)})
		words = append(words, fmt.Sprintf("%d %s", p.Value, p.Kind))
		x += width
	}
	if len(b.Parts) > 1 {
		row.Words = strings.Join(words, ", ")
	}
	return row
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }

// The box of a sparkline, in the units of its drawing.
const (
	sparkWidth  = 300
	sparkHeight = 40
	sparkRim    = 3 // keeps the line's ends inside
)

// Sparkline draws the course of values, oldest first. alt tells in words what the
// line shows; it stands below the line for everybody.
func Sparkline(caption string, values []int, alt string) Block {
	return named("spark", struct{ Caption, Points, Alt string }{caption, spark(values), alt})
}

func spark(values []int) string {
	highest := 1
	for _, v := range values {
		highest = max(highest, v)
	}
	step := 0.0
	if len(values) > 1 {
		step = float64(sparkWidth-2*sparkRim) / float64(len(values)-1)
	}
	all := make([]string, len(values))
	for i, v := range values {
		y := sparkHeight - sparkRim - float64(max(v, 0))/float64(highest)*(sparkHeight-2*sparkRim)
		all[i] = short(sparkRim+float64(i)*step) + "," + short(y)
	}
	return strings.Join(all, " ")
}

func short(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
