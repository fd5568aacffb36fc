// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	_ "embed" // for the templates
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/web"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

// page is what the browser shows: the conversation, and what the last audit found.
// Handlers read it while the conversation goes on.
type page struct {
	mu     sync.Mutex
	scenes []scene
	report *report.Report // nil before the first audit
	html   []byte         // the published report
}

// scene is one step as it went.
type scene struct {
	Title string
	Lines []line
}

// line is something that somebody said or did, or a status.
type line struct {
	Who, Kind, Text string        // Kind: person, steward, run, or the state of a status
	HTML            template.HTML // instead of Text
}

// rendered is a comment of the bot as GitHub would show it. What people typed was made
// harmless when the comment was written, and the page's policy lets nothing run.
func rendered(markdown string) template.HTML {
	var b strings.Builder
	// The policy of the page lets no style attribute pass, by which tables are aligned otherwise.
	aligned := extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))
	renderer := goldmark.New(goldmark.WithExtensions(aligned, extension.Strikethrough, extension.Linkify, extension.TaskList), goldmark.WithRendererOptions(html.WithUnsafe()))
	if err := renderer.Convert([]byte(markdown), &b); err != nil {
		return template.HTML("<pre>" + template.HTMLEscapeString(markdown) + "</pre>") //nolint:gosec // escaped
	}
	return template.HTML(b.String()) //nolint:gosec // see above
}

func (p *page) begin(title string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scenes = append(p.scenes, scene{Title: title})
}

func (p *page) add(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.scenes) == 0 {
		p.scenes = append(p.scenes, scene{Title: "And then"})
	}
	last := &p.scenes[len(p.scenes)-1]
	last.Lines = append(last.Lines, l)
}

func (p *page) audited(r *report.Report, html []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report, p.html = r, html
}

// serve listens on loopback until the returned function is called.
func (p *page) serve() (address string, end func() error, err error) {
	templates, err := template.New("demo").Parse(pageSource)
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { p.show(w, templates) })
	mux.HandleFunc("GET /report", p.showReport)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return "http://" + listener.Addr().String() + "/", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := server.Shutdown(ctx)
		if serving := <-ended; !errors.Is(serving, http.ErrServerClosed) {
			err = errors.Join(err, serving)
		}
		return err
	}, nil
}

func (p *page) showReport(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	html := p.html
	p.mu.Unlock()
	if html == nil {
		http.Error(w, "there was no audit yet", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(html) // the browser is gone
}

func (p *page) show(w http.ResponseWriter, templates *template.Template) {
	p.mu.Lock()
	scenes, r := slices.Clone(p.scenes), p.report
	p.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	drift := web.Section("drift", "Drift, by owner", web.Prose("No audit has run yet."))
	if r != nil {
		drift = web.Section("drift", "Drift, by owner", driftTable(r), web.Template(templates, "more", nil))
	}
	_ = web.Page{ // the browser is gone
		Title: repo,
		Facts: []web.Fact{{Name: "What this is", Value: "a small community with steward, all on this machine"}, {Name: "Steps", Value: fmt.Sprint(len(scenes))}},
		Nav:   []web.Link{{Text: "Drift by owner", Href: "#drift"}, {Text: "The conversation", Href: "#conversation"}, {Text: "What to try next", Href: "#next"}},
		Style: template.CSS(pageStyle), Footer: "Served by steward demo on loopback. Nothing outside this machine is read or written.",
	}.Write(w, drift,
		web.Section("conversation", "The conversation", web.Template(templates, "scenes", scenes)),
		web.Section("next", "What to try next", web.Template(templates, "next", tries())))
}

// driftTable counts what concerns whom.
func driftTable(r *report.Report) web.Block {
	type row struct {
		open, known, private int
		worst                finding.Severity
		oldest               time.Time
	}
	rows := map[string]*row{}
	for _, f := range r.Findings() {
		owners := cmp.Or(strings.Join(f.Owners, ", "), "nobody")
		if rows[owners] == nil {
			rows[owners] = &row{}
		}
		at := rows[owners]
		switch {
		case f.Acknowledged != nil:
			at.known++
			continue
		case f.Visibility == finding.Private:
			at.private++
		}
		at.open++
		at.worst = max(at.worst, f.Severity)
		if at.oldest.IsZero() || f.FirstSeen.Before(at.oldest) {
			at.oldest = f.FirstSeen
		}
	}
	var cells [][]web.Cell
	for _, owners := range slices.SortedFunc(maps.Keys(rows), func(a, b string) int {
		return cmp.Or(cmp.Compare(rows[b].worst, rows[a].worst), cmp.Compare(rows[b].open, rows[a].open), strings.Compare(a, b))
	}) {
		at := rows[owners]
		worst, since := at.worst.String(), at.oldest.UTC().Format("2006-01-02 15:04 UTC")
		if at.open == 0 {
			worst, since = "–", "–"
		}
		cells = append(cells, []web.Cell{{Text: owners, Code: true}, {Text: fmt.Sprint(at.open)}, {Text: worst}, {Text: since},
			{Text: fmt.Sprint(at.private)}, {Text: fmt.Sprint(at.known)}})
	}
	complete := "everything was read"
	if !r.Complete() {
		complete = "not everything could be read"
	}
	return web.Table(fmt.Sprintf("The audit of %s: %s.", r.Ended.UTC().Format("2006-01-02 15:04:05 UTC"), complete),
		[]string{"Owners", "Open", "Worst", "Since", "Private", "Acknowledged"}, cells)
}
