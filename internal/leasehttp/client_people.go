// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// Order is what a person wants of a resource that somebody else may hold. Fields that a call has no use for stay empty.
type Order struct {
	To     string   `json:"to,omitempty"` // the state after it; dirty where it is empty
	Reason string   `json:"reason,omitempty"`
	By     Duration `json:"by,omitzero"`     // for Extend
	For    string   `json:"for,omitempty"`   // in whose name; who asks is known by the credentials
	Epoch  uint64   `json:"epoch,omitempty"` // of the lease that is meant; 0 is any
}

// The verbs of Order, as they stand in paths.
const (
	ForceRelease = "release"
	Extend       = "extend"
	Quarantine   = "quarantine"
	Heal         = "heal"
)

// Order has a verb done to a resource, and returns it as it is then.
func (c *Client) Order(ctx context.Context, verb, name string, o Order) (Resource, error) {
	var out Resource
	err := c.Do(ctx, http.MethodPost, "/v1/resources/"+url.PathEscape(name)+"/"+verb, o, &out)
	return out, err
}

// Reservation asks for one. For is in whose name.
type Reservation struct {
	Type    string    `json:"type"`
	Count   int       `json:"count"`
	Account string    `json:"account"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Reason  string    `json:"reason"`
	For     string    `json:"for,omitempty"`
}

// Reserve keeps resources for an account. Repeated word for word it returns the reservation that is there.
func (c *Client) Reserve(ctx context.Context, r Reservation) (lease.Reservation, error) {
	var out lease.Reservation
	err := c.Do(ctx, http.MethodPost, "/v1/reservations", r, &out)
	return out, err
}

// Cancel ends a reservation.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return c.Do(ctx, http.MethodDelete, "/v1/reservations/"+url.PathEscape(id), nil, nil)
}

// Reservations lists them.
func (c *Client) Reservations(ctx context.Context) ([]lease.Reservation, error) {
	var out struct{ Reservations []lease.Reservation }
	err := c.Do(ctx, http.MethodGet, "/v1/reservations", nil, &out)
	return out.Reservations, err
}

// Types lists what there is.
func (c *Client) Types(ctx context.Context) ([]Type, error) {
	var out struct{ Types []Type }
	err := c.Do(ctx, http.MethodGet, "/v1/types", nil, &out)
	return out.Types, err
}

// Resource returns one. IsMissing tells of the error whether there is none.
func (c *Client) Resource(ctx context.Context, name string) (Resource, error) {
	var out Resource
	err := c.Do(ctx, http.MethodGet, "/v1/resources/"+url.PathEscape(name), nil, &out)
	return out, err
}

// Resources lists those of a type and in a state; "" is every one. leftOut counts what the answer was too long for.
func (c *Client) Resources(ctx context.Context, typ, state string) (all []Resource, leftOut int, err error) {
	var out struct {
		Resources []Resource
		LeftOut   int
	}
	err = c.Do(ctx, http.MethodGet, "/v1/resources?"+query("type", typ, "state", state), nil, &out)
	return out.Resources, out.LeftOut, err
}

// Queue lists who waits for a type, or a request wherever it waits; "" is every one.
func (c *Client) Queue(ctx context.Context, typ, request string) ([]Waiting, error) {
	var out struct{ Queue []Waiting }
	err := c.Do(ctx, http.MethodGet, "/v1/queue?"+query("type", typ, "request", request), nil, &out)
	return out.Queue, err
}

// Withdraw takes a request out of the queue. IsMissing tells of the error whether it did not wait: it was served, or forgotten.
func (c *Client) Withdraw(ctx context.Context, request, owner string) error {
	return c.Do(ctx, http.MethodDelete, "/v1/queue/"+url.PathEscape(request)+"?"+query("owner", owner), nil, nil)
}

// Transfer hands a lease on to another owner. Its id changes.
func (c *Client) Transfer(ctx context.Context, id, owner, job, build string) (Lease, error) {
	var out Lease
	err := c.Do(ctx, http.MethodPost, "/v1/leases/"+url.PathEscape(id)+"/transfer", map[string]string{"owner": owner, "job": job, "build": build}, &out)
	return out, err
}

func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q.Encode()
}

// IsMissing tells whether an error says that something is not there.
func IsMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "not_found"
}

// IsDenied tells whether an error says that the caller may not, whatever it asks.
func IsDenied(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code == "unauthenticated" || e.Code == "forbidden")
}

// Change is a line of a watch: a resource as it is, or the name of one that is no more.
type Change = change

// maxLine bounds a line of a watch.
const maxLine = 1 << 20

// Watch tells the resources of a type and then every change, until ctx ends, visit fails or the server ends it. It returns nil
// only when the server ended it: who wants to go on watches again.
func (c *Client) Watch(ctx context.Context, typ string, visit func(Change) error) error {
	resp, err := c.request(ctx, http.MethodGet, "/v1/watch?"+query("type", typ), nil)
	if err != nil {
		return fmt.Errorf("ask the pool: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		content, _ := io.ReadAll(io.LimitReader(resp.Body, maxLine)) // the code says enough
		return problemOf(resp.StatusCode, content)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var one Change
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return fmt.Errorf("ask the pool: a line of the watch: %w", err)
		}
		if err := visit(one); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("ask the pool: %w", err)
	}
	return ctx.Err()
}

// Credentials puts on every request a token, or a user's password, read from a file each time: such files are renewed. Empty
// paths put nothing.
func Credentials(tokenFile, user, passwordFile string, read func(path string) ([]byte, error)) (func(*http.Request) error, error) {
	switch {
	case tokenFile != "" && (user != "" || passwordFile != ""):
		return nil, errors.New("a token and a user exclude each other")
	case (user == "") != (passwordFile == ""):
		return nil, errors.New("a user and the file with the password belong together")
	case tokenFile == "" && user == "":
		return nil, nil
	}
	secret := func(path string) (string, error) {
		content, err := read(path)
		text := strings.TrimSpace(string(content))
		if err == nil && text == "" {
			err = fmt.Errorf("%s is empty", path)
		}
		return text, err
	}
	return func(r *http.Request) error {
		if tokenFile != "" {
			token, err := secret(tokenFile)
			r.Header.Set("Authorization", "Bearer "+token)
			return err
		}
		password, err := secret(passwordFile)
		r.SetBasicAuth(user, password)
		return err
	}, nil
}
