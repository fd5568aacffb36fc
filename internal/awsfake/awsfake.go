// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package awsfake is a small AWS account for tests: what is in it, and the wire protocols by which it is asked.
//
// An Object has fields as its API shows them, and holds others: while it is there they cannot be deleted, as in AWS. A
// kind is a row of tables.go: by which action it is listed and deleted, where in the answer it stands, and how it looks
// while it goes. The few actions that do something else are functions. What is not in the table answers 501 with its name
// and fails the test that was started with Start.
package awsfake

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// Object is one thing in the account.
type Object struct {
	Kind   string         // a row of tables.go: "ec2 subnet"
	Region string         // "" for what is global
	ID     string         // what the actions call it
	Parent string         // what it is a part of, where it is listed by that
	Fields map[string]any // as the API shows it; the id is filled in
	Holds  []string       // ids that cannot go while this is there
	Tags   map[string]string

	looks int // how often it still shows itself while it goes; 0 is not going
	going bool
}

// Options configure an account; zero values mean the defaults.
type Options struct {
	Account   string   // 111122223333
	AccessKey string   // the only one that is taken; AKIDEXAMPLE
	Caller    string   // ARN of who has it; a user called janitor
	Regions   []string // us-east-1 and eu-west-1
	Page      int      // objects on a page; 100
	Looks     int      // how often a thing is seen on its way out; 1
	Latency   time.Duration
}

// Server is the account. All methods may be called concurrently.
type Server struct {
	// Faults is what goes wrong, and the record of what was asked: the path is /SERVICE/REGION/ACTION.
	Faults fault.Engine

	opts Options

	mu      sync.Mutex
	objects []*Object
	shut    map[string]bool
	same    map[string]bool
	unknown []string
	deleted []string
}

// New returns an empty account.
func New(opts Options) *Server {
	set := func(s *string, to string) {
		if *s == "" {
			*s = to
		}
	}
	set(&opts.Account, "111122223333")
	set(&opts.AccessKey, "AKIDEXAMPLE")
	set(&opts.Caller, "arn:aws:iam::"+opts.Account+":user/janitor")
	if len(opts.Regions) == 0 {
		opts.Regions = []string{"us-east-1", "eu-west-1"}
	}
	if opts.Page <= 0 {
		opts.Page = 100
	}
	if opts.Looks <= 0 {
		opts.Looks = 1
	}
	return &Server{opts: opts, shut: map[string]bool{}, same: map[string]bool{}}
}

// T is what Start needs of a *testing.T.
type T interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
}

// Start serves an account on loopback until the test ends, and returns its address. An action that the fake does not know
// fails the test.
func Start(t T, s *Server) string {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		for _, name := range s.Unknown() {
			t.Errorf("awsfake does not know %s", name)
		}
	})
	return srv.URL
}

// Add puts objects into the account. A kind that no row has, and an id that is there, are errors.
func (s *Server) Add(objects ...Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		row, ok := kindNamed(o.Kind)
		if !ok {
			return fmt.Errorf("add %s %s: no such kind", o.Kind, o.ID)
		}
		if s.find(row, o.Region, o.Parent, o.ID) != nil {
			return fmt.Errorf("add %s %s: it is there", o.Kind, o.ID)
		}
		fields := map[string]any{row.id: o.ID}
		if row.state != "" {
			put(fields, row.state, row.alive)
		}
		maps.Copy(fields, o.Fields)
		o.Fields = fields
		s.objects = append(s.objects, &o)
	}
	return nil
}

// Left names what is in the account: "kind region id", in order. What only shows itself as deleted is not.
func (s *Server) Left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, o := range s.objects {
		if !o.going {
			names = append(names, o.Kind+" "+o.Region+" "+o.ID)
		}
	}
	slices.Sort(names)
	return names
}

// Deleted names what was deleted, in the order in which it was.
func (s *Server) Deleted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.deleted)
}

// Shut lets a policy of the organization deny everything in a region.
func (s *Server) Shut(region string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut[region] = true
}

// Loop makes every page of an action end with the same token.
func (s *Server) Loop(action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.same[action] = true
}

// Unknown names the actions that were asked for and are not in the table.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// find looks an object up. The lock is held.
func (s *Server) find(k kind, region, parent, id string) *Object {
	for _, o := range s.objects {
		if o.Kind == k.name && o.Region == region && o.ID == id && (k.parent == "" || o.Parent == parent) {
			return o
		}
	}
	return nil
}

// holder is who keeps an object from being deleted, or nil. The lock is held.
func (s *Server) holder(id, region string) *Object {
	for _, o := range s.objects {
		if slices.Contains(o.Holds, id) && (o.Region == region || o.Region == "" || region == "") && !o.over() {
			return o
		}
	}
	return nil
}

// over tells that an object only shows itself any more.
func (o *Object) over() bool { return o.going && o.looks < 0 }

// remove deletes an object, or lets it begin to go. The lock is held.
func (s *Server) remove(k kind, o *Object) *failure {
	// A part is never held: it has the name of what it binds.
	if held := s.holder(o.ID, o.Region); held != nil && k.parent == "" {
		return &failure{http.StatusBadRequest, k.held, fmt.Sprintf("%s has dependencies: %s", o.ID, held.ID)}
	}
	if o.going {
		return nil
	}
	s.deleted = append(s.deleted, o.Kind+" "+o.Region+" "+o.ID)
	if k.state == "" {
		s.drop(o)
		return nil
	}
	o.going, o.looks = true, s.opts.Looks
	put(o.Fields, k.state, k.going)
	return nil
}

// look lets time pass for what is going: it shows itself a few times, and then is gone, or looks so. The lock is held.
func (s *Server) look(k kind, o *Object) {
	if !o.going {
		return
	}
	if o.looks--; o.looks >= 0 {
		return
	}
	if k.gone == "" {
		s.drop(o)
		return
	}
	put(o.Fields, k.state, k.gone)
}

// drop takes an object and its parts away. The lock is held.
func (s *Server) drop(o *Object) {
	s.objects = slices.DeleteFunc(s.objects, func(p *Object) bool { return p == o })
}

// put sets a field by its path.
func put(fields map[string]any, path string, value any) {
	names := splitPath(path)
	for _, name := range names[:len(names)-1] {
		next, ok := fields[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			fields[name] = next
		}
		fields = next
	}
	fields[names[len(names)-1]] = value
}
