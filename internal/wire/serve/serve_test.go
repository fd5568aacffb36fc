// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a listener with one connection.
type pipe chan net.Conn

func (p pipe) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipe) Close() error   { return nil }
func (p pipe) Addr() net.Addr { return &net.TCPAddr{} }

// A body that does not come ends its request. One that came does not end the wait for the answer.
func TestBodyInTime(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"not there": {"12345", os.ErrDeadlineExceeded},
		"there":     {"1234567890", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := net.Pipe()
				listener := pipe(make(chan net.Conn, 1))
				listener <- conn
				ended := make(chan error, 1)
				server := newServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, err := io.ReadAll(r.Body)
					if err == nil {
						select {
						case <-time.After(time.Hour):
						case <-r.Context().Done():
							err = r.Context().Err()
						}
					}
					ended <- err
				}))
				go func() { _ = server.Serve(listener) }()
				go func() {
					_, _ = fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n%s", c.body)
					_, _ = http.ReadResponse(bufio.NewReader(client), nil)
				}()
				if err := <-ended; !errors.Is(err, c.want) {
					t.Errorf("it ended with %v, want %v", err, c.want)
				}
				close(listener)
				_ = server.Close()
				_ = client.Close()
			})
		})
	}
}
