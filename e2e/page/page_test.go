// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page opens the pages that steward writes in Chromium: those of the demo, as
// people meet them, at the width of a desk and of a phone, in the light and in the dark.
package page

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"sigs.k8s.io/steward/internal/demo"
)

// patience bounds waiting for a browser on a busy machine.
const patience = 3 * time.Minute

// screen is the demo's output, which says where the page is and when all is played.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.more)
	s.more = make(chan struct{})
	return s.text.Write(p)
}

// find waits for a match.
func (s *screen) find(t *testing.T, pattern string) string {
	t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(patience)
	for {
		s.mu.Lock()
		found, more := re.FindString(s.text.String()), s.more
		s.mu.Unlock()
		if found != "" {
			return found
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("the demo does not print %q:\n%s", pattern, s.text.String())
		}
	}
}

// playDemo plays the demo and returns the address of its page.
func playDemo(t *testing.T) string {
	t.Helper()
	in, hold := io.Pipe()
	out := &screen{more: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- demo.Run(t.Context(), in, out, false) }()
	t.Cleanup(func() {
		hold.Close() // the end of its input ends it
		if err := <-ended; err != nil {
			t.Errorf("the demo: %v", err)
		}
	})
	address := regexp.MustCompile(`http\S+`).FindString(out.find(t, `(?m)^The page.*http\S+/$`))
	out.find(t, "Take part")
	return address
}

// browser starts Chromium without a network of its own.
func browser(t *testing.T) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("no-proxy-server", true), chromedp.UserDataDir(t.TempDir()))
	ctx, stop := context.WithTimeout(context.Background(), patience)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// look is one way to look at a page.
type look struct {
	name   string
	width  int64
	phone  bool
	scheme string
	script bool
}

func looks() []look {
	return []look{
		{"desk-light", 1280, false, "light", true},
		{"desk-dark", 1280, false, "dark", true},
		{"phone-light", 390, true, "light", true},
		{"phone-dark-noscript", 390, true, "dark", false},
	}
}

// visit opens an address in a tab of its own and fails the test for whatever the page
// complains about or asks from elsewhere.
func visit(t *testing.T, parent context.Context, l look, address string) context.Context {
	t.Helper()
	tab, stop := chromedp.NewContext(parent)
	t.Cleanup(stop)
	var errs [4]error
	origin, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	err = chromedp.Listen(tab, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, origin.Scheme+"://"+origin.Host+"/") {
				t.Errorf("%s: the page asks for %s", l.name, e.Request.URL)
			}
		case *log.EventEntryAdded:
			if !strings.Contains(e.Entry.URL, "favicon") {
				t.Errorf("%s: %s %s", l.name, e.Entry.Level, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			t.Errorf("%s: %s", l.name, e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		t.Fatalf("%s: open a tab: %v", l.name, err)
	}
	screen := chromedp.EmulateViewport(l.width, 900)
	if l.phone {
		screen = chromedp.EmulateViewport(l.width, 844, chromedp.EmulateMobile, chromedp.EmulateScale(2))
	}
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}
	_, errs[0] = chromedp.Call(tab, network.Enable, network.EnableParams{})
	_, errs[1] = chromedp.Call(tab, log.Enable, cdp.Empty{})
	_, errs[2] = chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	_, errs[3] = chromedp.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !l.script})
	if err := errors.Join(errors.Join(errs[:]...), chromedp.Do(tab, screen, chromedp.Navigate(address))); err != nil {
		t.Fatalf("%s: open %s: %v", l.name, address, err)
	}
	return tab
}

// ask evaluates an expression of a whole number in the page.
func ask(t *testing.T, tab context.Context, expression string) int {
	t.Helper()
	n, err := chromedp.Run(tab, chromedp.Evaluate[int](expression))
	if err != nil {
		t.Fatalf("evaluate %s: %v", expression, err)
	}
	return n
}

// keep stores a screenshot of the whole page where somebody may look at it.
func keep(t *testing.T, tab context.Context, name string) {
	t.Helper()
	dir := os.Getenv("ARTIFACTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("screenshot of %s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

const shownRows = `[...document.querySelectorAll("tr.f")].filter(row => row.checkVisibility()).length`

func TestPages(t *testing.T) {
	address := playDemo(t)
	chrome := browser(t)
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			tab := visit(t, chrome, l, address)
			keep(t, tab, "demo-"+l.name)
			if n := ask(t, tab, `document.documentElement.scrollWidth - window.innerWidth`); n > 0 {
				t.Errorf("the page is %d pixels wider than the screen", n)
			}
			if n := ask(t, tab, `document.querySelectorAll(".scenes > li").length`); n < 15 {
				t.Errorf("the page shows %d steps", n)
			}
			if n := ask(t, tab, `document.querySelectorAll("#drift tbody tr").length`); n == 0 {
				t.Error("the page shows no owner")
			}

			report := visit(t, chrome, l, address+"report")
			keep(t, report, "report-"+l.name)
			if n := ask(t, report, `document.documentElement.scrollWidth - window.innerWidth`); n > 0 {
				t.Errorf("the report is %d pixels wider than the screen", n)
			}
			all := ask(t, report, shownRows)
			if err := chromedp.Do(report, chromedp.Click(chromedp.CSS("label.chip:last-of-type"))); err != nil {
				t.Fatal(err)
			}
			if some := ask(t, report, shownRows); all == 0 || some == 0 || some > all {
				t.Errorf("%d rows, after a click on a filter %d", all, some)
			}
			checked := ask(t, report, `document.querySelectorAll("input[name=kind]:checked:not(#k-all)").length`)
			if checked != 1 {
				t.Error("the click on a filter chose none")
			}
		})
	}
}
