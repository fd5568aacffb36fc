// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"net/http"
	"testing"
)

// A roll-out changes nothing: leases and their user data stay, and so do the places in the queue, which a Boskos forgets.
func TestRollOut(t *testing.T) {
	s := startSteward(t, "resources:\n- {type: t, state: free, names: [t1]}\n- {type: u, state: free, names: [u1]}\n", compat)
	poll := func(id string) request {
		return call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", id, "request_id", id)
	}
	heartbeat := call("/update", "name", "u1", "owner", "job", "state", "busy")
	heartbeat.body = `{"key":"value"}`
	for _, step := range []struct {
		request request
		status  int
	}{
		{call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", "job"), http.StatusOK},
		{call("/acquire", "type", "u", "state", "free", "dest", "busy", "owner", "job"), http.StatusOK},
		{heartbeat, http.StatusOK},
		{poll("first"), http.StatusNotFound},
		{poll("second"), http.StatusNotFound},
		{}, // the roll-out
		{call("/release", "name", "t1", "owner", "job", "dest", "free"), http.StatusOK},
		{poll("second"), http.StatusNotFound},
		{call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", "late"), http.StatusNotFound},
		{poll("first"), http.StatusOK},
		{call("/release", "name", "t1", "owner", "first", "dest", "free"), http.StatusOK},
		{poll("second"), http.StatusOK},
		{call("/release", "name", "u1", "owner", "job", "dest", "free"), http.StatusOK},
	} {
		if step.status == 0 {
			s.stop()
			s.start()
			continue
		}
		if got := s.must(t, step.request); got.status != step.status {
			t.Errorf("%s: %s", step.request, got)
		}
	}
	got := s.must(t, call("/acquire", "type", "u", "state", "free", "dest", "busy", "owner", "next")).plain(map[string]string{})
	if want := `{"type":"u","name":"u1","state":"busy","owner":"next","lastupdate":"TIME","userdata":{"key":"value"}}`; got.body != want {
		t.Errorf("user data after a roll-out: %s", got)
	}
}
