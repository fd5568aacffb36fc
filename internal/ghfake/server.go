// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// Options configure a server; the zero value works.
type Options struct {
	// Clock is the source of time, default time.Now. The server rounds it to
	// seconds and never lets it go back.
	Clock func() time.Time
	// Dir is where the bare git repositories go when a git program asks for
	// them; default a temporary directory that Close removes.
	Dir string
	// RateLimit is the number of requests per hour and login; default 5,000,000,
	// because most tests are not about it (GitHub's is 5,000).
	RateLimit int
	// TreeLimit is how many entries a recursive tree answers before it is
	// truncated; default 100,000, as on GitHub.
	TreeLimit int
	// FirstID is the first id handed out; default 1,000,000. Above 2^31
	// GraphQL's databaseId is null, as on GitHub.
	FirstID int64
	// Workers is how many webhook deliveries run at once per hook; default 1,
	// which keeps their order (GitHub promises none).
	Workers int
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.RateLimit = or(o.RateLimit, 5_000_000)
	o.TreeLimit = or(o.TreeLimit, 100_000)
	o.FirstID = or(o.FirstID, 1_000_000)
	o.Workers = or(o.Workers, 1)
	return o
}

func or[T int | int64](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

// Server is one GitHub. All methods may be called from several goroutines.
type Server struct {
	opts Options
	api  router
	gql  graph
	git  sync.Mutex // held by one git client at a time: its refs are files

	mu       sync.Mutex // guards everything below
	st       *store
	odb      *objects
	clock    clock
	lastID   int64
	host     string // as the last request named us, for clone_url
	log      log
	faults   []*fault.Armed
	lag      lag
	limits   map[string]*limit
	diffs    memo[[2]string, []change]
	queues   map[int64]*queue
	disk     disk
	failure  error // first error of the disk or git programs, for /_fake/state
	shutdown context.Context
	stop     context.CancelFunc
	workers  sync.WaitGroup
}

// New returns a server with an empty world; Load or Bulk fill it. Close ends it.
func New(opts Options) *Server {
	s := &Server{opts: opts.withDefaults(), st: newStore(), odb: newObjects(), log: newLog()}
	s.clock.source = s.opts.Clock
	s.lastID = s.opts.FirstID - 1
	s.limits = map[string]*limit{}
	s.queues = map[int64]*queue{}
	s.disk.dir = s.opts.Dir
	s.shutdown, s.stop = context.WithCancel(context.Background())
	s.gql = newGraph(s)
	for _, table := range tables() {
		for _, rt := range table {
			s.api.add(rt.method, rt.pattern, s.serve(rt))
		}
	}
	return s
}

// tables lists every route of the API, one table per topic.
func tables() [][]route {
	return [][]route{
		userRoutes(), orgRoutes(), repoRoutes(), collaboratorRoutes(), hookRoutes(),
		issueRoutes(), commentRoutes(), labelRoutes(), searchRoutes(),
		pullRoutes(), reviewRoutes(), statusRoutes(),
		contentRoutes(), gitRoutes(), graphRoutes(),
	}
}

// Close stops webhook deliveries and removes the repositories' directory.
func (s *Server) Close() error {
	s.mu.Lock()
	s.stop() // under the lock: nobody starts a worker afterwards
	s.mu.Unlock()
	s.workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disk.remove()
}

// route is one row of a table: who may call it and what it does.
type route struct {
	method, pattern string
	need            level
	handle          handler
}

// handler runs with the server's mutex held. It returns what to send as JSON
// with status 200, a reply for anything else, or an apiError.
type handler func(c *call) (any, error)

// call is one request on its way through.
type call struct {
	srv    *Server
	req    *http.Request
	body   []byte
	login  string // acting login, "" when anonymous
	route  string
	header http.Header // of the answer
}

// maxBody bounds request bodies: a 65,536 character comment is far below,
// a pushed pack may be large.
const maxBody = 256 << 20

// Handler serves the API at the root, GraphQL at /graphql, git at /OWNER/REPO
// and the controls of the fake below /_fake/.
func (s *Server) Handler() http.Handler {
	control := s.control()
	git := s.serve(route{pattern: "git"})
	missing := s.serve(route{pattern: "unknown", handle: unknown})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve := s.api.find(r)
		switch {
		case strings.HasPrefix(r.URL.Path, "/_fake/"):
			serve = control
		case isGit(r):
			serve = git
		case serve == nil:
			serve = missing
		}
		serve(w, r)
	})
}

// serve wraps a route: record, fault, authenticate, act under the lock, answer.
func (s *Server) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "request body: "+err.Error(), http.StatusBadRequest)
			return
		}
		c := &call{srv: s, req: r, body: body, route: strings.TrimSpace(r.Method + " " + rt.pattern), header: http.Header{}}
		seq, f := s.enter(c)
		if rule(f).Before(w, r, wrong) {
			s.leave(seq, c, 0)
			return
		}
		if rt.pattern == "git" {
			s.leave(seq, c, s.serveGit(w, c))
			return
		}
		out := s.run(c, rt)
		s.leave(seq, c, out.code)
		if rule(f).Instead(w, fault.Answer{Code: out.code, ContentType: out.kind, Body: out.body}, wrong) {
			return
		}
		out.send(w, c.header)
	}
}

// enter records the request and finds the fault it will meet.
func (s *Server) enter(c *call) (seq int, f *fault.Armed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = c.req.Host
	f = s.fault(c.req)
	return s.log.request(s.clock.now(), c, f), f
}

func (s *Server) leave(seq int, c *call, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.answer(seq, c, code)
}

// run performs the call and shapes the answer, all under the lock.
func (s *Server) run(c *call, rt route) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.perform(c, rt)
	a := encode(v, err)
	s.conditional(c, &a)
	s.charge(c, &a)
	return a
}

func (s *Server) perform(c *call, rt route) (any, error) {
	login, err := s.st.login(c.req)
	if err != nil {
		return nil, err
	}
	c.login = login
	if err := s.exhausted(c); err != nil {
		return nil, err
	}
	if c.req.Method == http.MethodGet && s.lag.misses(c.req.URL.Path) {
		return nil, errNotFound()
	}
	if err := c.allow(rt.need); err != nil {
		return nil, err
	}
	return rt.handle(c)
}

// unknown answers routes no table has, so that a test sees what is missing.
func unknown(c *call) (any, error) {
	name := c.req.Method + " " + c.req.URL.Path
	c.srv.log.unknown = append(c.srv.log.unknown, name)
	return nil, fail(http.StatusNotImplemented, "ghfake has no route for "+name)
}

// Unknown lists the requests that no route answered.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log.unknown...)
}

// id returns the next id; ids are unique over all kinds and grow with time.
func (s *Server) id() int64 {
	s.lastID++
	return s.lastID
}

// apiError is an answer other than success, in GitHub's shape.
type apiError struct {
	code    int
	Message string     `json:"message"`
	Errors  []subError `json:"errors,omitempty"`
	Docs    string     `json:"documentation_url,omitempty"`
}

type subError struct {
	Resource string `json:"resource"`
	Field    string `json:"field"`
	Code     string `json:"code"`
	Message  string `json:"message,omitempty"`
}

func (e *apiError) Error() string { return e.Message }

func fail(code int, message string) *apiError { return &apiError{code: code, Message: message} }

func errNotFound() *apiError { return fail(http.StatusNotFound, "Not Found") }

// invalid is GitHub's 422 for one field.
func invalid(resource, field, message string) *apiError {
	e := fail(http.StatusUnprocessableEntity, "Validation Failed")
	e.Errors = []subError{{resource, field, "custom", message}}
	return e
}

// decode reads the JSON body; like GitHub it ignores unknown fields.
func (c *call) decode(into any) error {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return fail(http.StatusBadRequest, "Problems parsing JSON: "+err.Error())
	}
	return nil
}

// asError finds the apiError in err, or makes a 500 of it.
func asError(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		return e
	}
	return fail(http.StatusInternalServerError, "ghfake: "+err.Error())
}
