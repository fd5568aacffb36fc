// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"net/http"

	"sigs.k8s.io/steward/internal/fault"
)

// Fault is a rule: which requests it meets and what happens to them. Requests to
// /_fake/ meet no faults.
type Fault = fault.Rule

// Inject installs rules after those that are there.
func (s *Server) Inject(rules ...Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range rules {
		f, err := rule.Arm()
		if err != nil {
			return err
		}
		s.faults = append(s.faults, f)
	}
	return nil
}

// Heal removes all rules.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.lag.clear()
}

// fault is the first rule that a request meets, or nil.
func (s *Server) fault(r *http.Request) *fault.Armed {
	for _, f := range s.faults {
		if f.Action != "eventual" && f.Meets(r.Method, r.URL.Path) {
			return f
		}
	}
	return nil
}

// wrong is an error of a fault in GitHub's shape.
func wrong(code int, message string) (string, []byte) {
	return "application/json; charset=utf-8", marshal(fail(code, message))
}

// rule is the rule behind a fault, nil without one.
func rule(f *fault.Armed) *fault.Rule {
	if f == nil {
		return nil
	}
	return &f.Rule
}
