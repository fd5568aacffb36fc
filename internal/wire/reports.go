// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/thread"
)

// reports fetches the reports of the audit, each once a minute at the most, however
// many threads want it. A report that was read once stays until there is a newer one:
// a bucket that is down for a moment must not change what is said on every pull
// request. When it was last seen to be the newest is told with it.
type reports struct {
	settings func(thread.Repo) settings.Drift
	client   *http.Client
	metrics  *hookMetrics
	log      *logrus.Entry

	mu    sync.Mutex
	known map[string]*stored // by repository
}

// stored is the report at one address.
type stored struct {
	address string

	turn sync.Mutex // held by the one who fetches; guards mark and bad
	mark string     // what the server or the file system calls this version
	bad  unread     // the version that is none

	mu sync.Mutex // guards what follows; only who has the turn changes it
	held
	tried   time.Time
	problem error // of the last try
}

// state is what is known, and whether it is time to ask again.
func (s *stored) state() (known held, problem error, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, s.problem, s.local() || time.Since(s.tried) >= fetchEvery
}

// settle keeps what came of a try. A failed one changes nothing about the report.
func (s *stored) settle(next held, err error) held {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.held = next
	}
	s.tried, s.problem = time.Now(), err
	return s.held
}

// local tells that asking costs nothing: whether a file is another one is seen at once.
func (s *stored) local() bool { return strings.HasPrefix(s.address, "file://") }

// unread is a version that does not parse, and why: it is not tried again.
type unread struct {
	mark string
	err  error
}

// held is a report that was read.
type held struct {
	report  *report.Report
	fetched time.Time // when it was last seen to be the newest
	digest  string
}

const (
	fetchEvery   = time.Minute
	fetchTimeout = 30 * time.Second
)

func newReports(conf func(thread.Repo) settings.Drift, metrics *hookMetrics, log *logrus.Entry) *reports {
	return &reports{
		settings: conf, metrics: metrics, log: log.WithField("part", "reports"), known: map[string]*stored{},
		client: &http.Client{Timeout: fetchTimeout, CheckRedirect: secureRedirect},
	}
}

// secureRedirect follows a few redirects, none of them to where anybody can listen.
func secureRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Scheme != "https" {
		return errors.New("it redirects too often, or to an address that is not https")
	}
	return nil
}

// Report returns the newest report that could be read. The error is for people, and
// names no address.
func (r *reports) Report(ctx context.Context, repo thread.Repo) (*report.Report, time.Time, error) {
	h, err := r.current(ctx, repo)
	return h.report, h.fetched, err
}

// digest identifies what a report says, not when it was made: a run that finds the
// same changes nothing on any pull request.
func (r *reports) digest(ctx context.Context, repo thread.Repo) string {
	h, err := r.current(ctx, repo)
	if err != nil {
		return "none"
	}
	return h.digest
}

// current is what is known, fetched again where it is time. While one thread fetches,
// the others are content with what is there.
func (r *reports) current(ctx context.Context, repo thread.Repo) (held, error) {
	s := r.of(repo)
	if s.address == "" {
		return held{}, errors.New("the settings of the repository do not say where it is")
	}
	known, problem, due := s.state()
	switch {
	case !due && known.report == nil:
		return held{}, problem
	case !due:
		return known, nil
	case known.report == nil:
		s.turn.Lock()
	case !s.turn.TryLock():
		return known, nil
	}
	defer s.turn.Unlock()
	if known, problem, due = s.state(); due { // or another one was faster
		next, err := r.fetch(ctx, s)
		if ctx.Err() != nil {
			return held{}, ctx.Err() // it was we who gave up
		}
		r.tell(repo, next, problem, err)
		known, problem = s.settle(next, err), err
	}
	if known.report == nil {
		return held{}, problem
	}
	return known, nil
}

func (r *reports) of(repo thread.Repo) *stored {
	address := r.settings(repo).Report
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.known[repo.String()]
	if s == nil || s.address != address {
		s = &stored{address: address}
		r.known[repo.String()] = s
	}
	return s
}

// tell counts what is fetched, and logs a problem once.
func (r *reports) tell(repo thread.Repo, next held, before, err error) {
	log := r.log.WithField("repo", repo.String())
	switch {
	case err == nil:
		r.metrics.reportFetched.WithLabelValues(repo.String()).Set(float64(next.fetched.Unix()))
		if made := next.report.Ended; !made.IsZero() {
			r.metrics.reportMade.WithLabelValues(repo.String()).Set(float64(made.Unix()))
		}
		if before != nil {
			log.Info("Report read again")
		}
	case before == nil || before.Error() != err.Error():
		log.WithError(err).WithField("cause", fmt.Sprint(errors.Unwrap(err))).Warning("Report not read")
	}
}

// fetch asks for the report. It is for who has the turn.
func (r *reports) fetch(ctx context.Context, s *stored) (held, error) {
	body, mark, err := r.open(ctx, s)
	if err != nil {
		return held{}, err
	}
	if body == nil {
		return held{s.report, time.Now(), s.digest}, nil
	}
	defer body.Close()
	if mark != "" && mark == s.bad.mark {
		return held{}, s.bad.err
	}
	whole, err := io.ReadAll(io.LimitReader(body, report.MaxBytes+1))
	if err != nil {
		return held{}, &plainError{"its download broke off", err} // which says nothing of this version
	}
	read, err := report.Parse(bytes.NewReader(whole))
	if err == nil && read.Private {
		err = errors.New("it is the private report, which does not belong there")
	}
	if err != nil {
		s.bad = unread{mark, err}
		return held{}, err
	}
	s.mark = mark
	return held{read, time.Now(), digestOf(read)}, nil
}

// open returns the report's text, or nothing where the version is the one that is known.
func (r *reports) open(ctx context.Context, s *stored) (body io.ReadCloser, mark string, err error) {
	if u, err := url.Parse(s.address); err == nil && s.local() { // settings are checked
		return openFile(u.Path, s)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address, nil)
	if err != nil {
		return nil, "", &plainError{"its address cannot be used", err}
	}
	req.Header.Set("User-Agent", "steward")
	req.Header.Set("Accept", "application/json")
	if s.mark != "" {
		req.Header.Set("If-None-Match", s.mark)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, "", &plainError{"the server does not answer", err}
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, resp.Header.Get("ETag"), nil
	}
	_ = resp.Body.Close() // the status says it all
	if resp.StatusCode == http.StatusNotModified && s.report != nil {
		return nil, s.mark, nil
	}
	return nil, "", fmt.Errorf("the server answers with status %d", resp.StatusCode)
}

func openFile(path string, s *stored) (io.ReadCloser, string, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", &plainError{"there is none yet", err}
	}
	if err != nil {
		return nil, "", &plainError{"its file cannot be opened", err}
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, "", errors.Join(&plainError{"its file is not one", err}, file.Close())
	}
	mark := fmt.Sprintf("%d %d", info.ModTime().UnixNano(), info.Size())
	if mark == s.mark && s.report != nil {
		return nil, mark, file.Close()
	}
	return file, mark, nil
}

// plainError says to people what happened, and to the log, which unwraps it, also where.
type plainError struct {
	text  string
	cause error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.cause }

// digestOf covers what is decided and shown by: which findings there are, in which
// state, where, whether somebody knows of them, and whether the report is complete.
func digestOf(r *report.Report) string {
	digest := sha256.New()
	for _, item := range r.Items {
		known := item.Acknowledged != nil
		fmt.Fprintf(digest, "%s %s %d %q %t %t %t\n", item.ID, item.State, item.Severity, item.File, known, item.Altered, item.Visibility == finding.Public)
	}
	return fmt.Sprintf("%x %t", digest.Sum(nil), r.Complete())
}
