// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Pipe serves the API to one client without a network, so that a test can own the time.
// The client has the account of the server and gives up after 30 seconds.
func (s *Server) Pipe() (client *http.Client, stop func()) {
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it says that it was closed
	}()
	transport := &http.Transport{DialContext: listener.dial}
	stop = func() {
		transport.CloseIdleConnections()
		_ = server.Close() // there is nothing that could fail
		<-served
	}
	return &http.Client{Transport: account{transport, s.token}, Timeout: 30 * time.Second}, stop
}

// account shows a token with every request.
type account struct {
	next  http.RoundTripper
	token string
}

func (a account) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.next.RoundTrip(r)
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "cluster", Net: "pipe"} }
