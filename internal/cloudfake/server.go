// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/fault"
)

// A new protocol is added in three places, all in this file:
//
//  1. a field of Server for its exported type, through which tests in Go reach it;
//  2. its construction in New;
//  3. its line in parts.
//
// Everything else (scenario sections, routes, faults, latency, controls, the record of
// requests, shutdown) follows from the methods of part. HTTP protocols share one port:
// who needs several hosts looks at the request's Host. What is not HTTP opens its own
// sockets (listener) and asks Server.Faults.Meet about each request itself, with a
// method such as UDP or AXFR and the path /zone/name/type. A handler that does not know
// an address calls Server.unrouted.

// part is one protocol. Its methods are called by the server only; load before serving
// and, to replace the world, while serving.
type part interface {
	// name is its key in cloud.yaml, the first segment of its files in a scenario, and
	// the folder of its controls.
	name() string
	// load takes its value in cloud.yaml (a zero node where there is none; see decode)
	// and its files.
	load(settings yaml.Node, files fs.FS) error
	// routes are patterns of http.ServeMux on the shared port.
	routes() map[string]http.HandlerFunc
	// wrong shapes an error as the API that is faked does.
	wrong(code int, message string) (contentType string, body []byte)
	// controls are served at /_fake/NAME/...: "POST step" is POST /_fake/NAME/step.
	controls() map[string]command
}

// listener is a part with sockets of its own.
type listener interface {
	// listen opens them on a host such as 127.0.0.1, any free port, and says the address.
	listen(host string) (address string, err error)
	close() error
}

// Options configure a server; the zero value works.
type Options struct {
	Clock   func() time.Time // default time.Now
	Latency time.Duration    // of every HTTP answer but those of controls
}

// Server is one cloud. All methods may be called from several goroutines.
type Server struct {
	// Faults is what goes wrong, and the record of what was asked.
	Faults fault.Engine
	GCP    *GCP
	GCE    *GCE
	OCI    *OCI
	DNS    *DNS

	clock func() time.Time

	mu      sync.Mutex
	latency time.Duration
	unknown []string
}

// New returns a server with an empty world.
func New(opts Options) *Server {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	s := &Server{clock: opts.Clock, latency: opts.Latency}
	s.GCP = newGCP(s)
	s.GCE = newGCE(s)
	s.OCI = newOCI(s)
	s.DNS = newDNS(s)
	return s
}

// parts lists the protocols.
func (s *Server) parts() []part {
	return []part{s.GCP, s.GCE, s.OCI, s.DNS}
}

// Handler serves all parts that speak HTTP, and the controls.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.unrouted)
	mux.Handle("/_fake/", s.control())
	for _, p := range s.parts() {
		for pattern, serve := range p.routes() {
			mux.Handle(pattern, s.Faults.Handler(s.slow(serve), p.wrong))
		}
	}
	return mux
}

// slow lets an answer take as long as the latency says.
func (s *Server) slow(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		d := s.latency
		s.mu.Unlock()
		if d > 0 {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
			case <-r.Context().Done():
				return
			}
		}
		next(w, r)
	}
}

// SetLatency changes how long HTTP answers take.
func (s *Server) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = d
}

// unrouted answers what no part serves, and remembers it.
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	name := r.Method + " " + r.URL.Path
	s.mu.Lock()
	if len(s.unknown) < 1000 {
		s.unknown = append(s.unknown, name)
	}
	s.mu.Unlock()
	http.Error(w, "cloudfake has no route for "+name, http.StatusNotImplemented)
}

// Unknown lists the requests that no part answers.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// Addresses are where a server listens.
type Addresses struct {
	URL   string            `json:"url"`             // http://127.0.0.1:PORT, for all HTTP parts
	Parts map[string]string `json:"parts,omitempty"` // host:port of parts with their own sockets
}

// Listen serves on addr and on the sockets of the parts until Close.
func (s *Server) Listen(addr string) (Addresses, func() error, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return Addresses{}, nil, fmt.Errorf("listen: %w", err)
	}
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return Addresses{}, nil, errors.Join(err, l.Close())
	}
	at := Addresses{URL: "http://" + l.Addr().String(), Parts: map[string]string{}}
	var open []listener
	for _, p := range s.parts() {
		if own, ok := p.(listener); ok {
			if at.Parts[p.name()], err = own.listen(host); err != nil {
				return Addresses{}, nil, errors.Join(fmt.Errorf("%s: %w", p.name(), err), l.Close(), closeAll(open))
			}
			open = append(open, own)
		}
	}
	// Hanging requests end with the server, not with their clients.
	base, cancel := context.WithCancel(context.Background())
	srv := &http.Server{Handler: s.Handler(), BaseContext: func(net.Listener) context.Context { return base }} //nolint:gosec // loopback, and faults need slow answers
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	return at, sync.OnceValue(func() error {
		cancel()
		err := errors.Join(srv.Close(), closeAll(open))
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}), nil
}

func closeAll(open []listener) error {
	var all []error
	for _, l := range open {
		all = append(all, l.close())
	}
	return errors.Join(all...)
}
