// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

// T is what Start needs of a *testing.T.
type T interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Running is a server on loopback.
type Running struct {
	*Server
	Addresses
}

// Start serves a scenario (a txtar text, not a file name) on loopback until the test
// ends. A request that no part answers fails the test.
func Start(t T, opts Options, scenario string) *Running {
	t.Helper()
	sc, err := ParseScenario([]byte(scenario))
	if err != nil {
		t.Fatalf("cloudfake: %v", err)
	}
	s := New(opts)
	if err := s.Load(sc); err != nil {
		t.Fatalf("cloudfake: %v", err)
	}
	at, stop, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("cloudfake: %v", err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("cloudfake: %v", err)
		}
		for _, name := range s.Unknown() {
			t.Errorf("cloudfake has no route for %s", name)
		}
	})
	return &Running{s, at}
}
