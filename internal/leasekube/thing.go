// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"encoding/json"
	"maps"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// group is Boskos's.
const group = "boskos.k8s.io/v1"

// annotation holds what Boskos does not know.
const annotation = "steward.k8s.io/lease"

// meta is what a writer has to carry along of an object's metadata; the server adds the rest.
type meta struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace,omitempty"`
	UID             string            `json:"uid,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
	Finalizers      []string          `json:"finalizers,omitempty"`
	Owners          json.RawMessage   `json:"ownerReferences,omitempty"`
}

// thing is an object of one of Boskos's kinds.
type thing struct {
	Version string  `json:"apiVersion"`
	Kind    string  `json:"kind"`
	Meta    meta    `json:"metadata"`
	Spec    spec    `json:"spec"`
	Status  *status `json:"status,omitempty"`

	record lease.Record // what it says
	commit uint64       // that wrote it last, 0 for none of ours
}

// spec is that of both kinds: a resource has the type alone.
type spec struct {
	Type string `json:"type,omitempty"`

	State    *string        `json:"state,omitempty"`
	Max      *int           `json:"max-count,omitempty"`
	Min      *int           `json:"min-count,omitempty"`
	Lifespan time.Duration  `json:"lifespan,omitempty"`
	Config   *lease.Build   `json:"config,omitempty"`
	Needs    map[string]int `json:"needs,omitempty"`
}

// status is Boskos's view of a resource. Boskos reads fractions of a second and writes whole ones.
type status struct {
	State    string    `json:"state,omitempty"`
	Owner    string    `json:"owner"`
	Updated  time.Time `json:"lastUpdate,omitzero"`
	UserData userData  `json:"userData,omitempty"`
	Expires  time.Time `json:"expirationDate,omitzero"`
}

// userData is a map of texts. Kubernetes lets a person put anything there; what is no text is taken as its JSON.
type userData map[string]string

// UnmarshalJSON reads what a server has.
func (u *userData) UnmarshalJSON(content []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(content, &raw); err != nil {
		return err
	}
	*u = make(userData, len(raw))
	for key, value := range raw {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		(*u)[key] = text
	}
	return nil
}

// extra is the annotation: what Boskos does not know, and of which state of the object it was true.
type extra struct {
	// Commit is the number of the commit that wrote it.
	Commit uint64 `json:"commit"`
	// Of is the status that the rest belongs to.
	Of       *of          `json:"of,omitempty"`
	Epoch    uint64       `json:"epoch,omitempty"`
	Lease    *lease.Lease `json:"lease,omitempty"`
	Last     *lease.Ended `json:"last,omitempty"`
	Failures int          `json:"failures,omitempty"`
	Sick     *lease.Sick  `json:"sick,omitempty"`
	Leaving  bool         `json:"leaving,omitempty"`
}

type of struct {
	State   string    `json:"state"`
	Owner   string    `json:"owner,omitempty"`
	Updated time.Time `json:"updated,omitzero"`
}

// thingOf makes an object of a record. Of what was there before it keeps all that is not ours.
func thingOf(r lease.Record, before *thing, number uint64) *thing {
	t := &thing{Version: group, Kind: "ResourceObject", Meta: meta{Name: r.Key}, record: r, commit: number}
	t.record.Lazy = false
	if before != nil {
		t.Meta = before.Meta
	}
	e := extra{Commit: number}
	if r.Dynamic != nil {
		t.Kind, t.Spec = "DRLCObject", specOf(r.Dynamic)
	} else {
		res := r.Resource
		t.Spec.Type = res.Type
		t.Status = &status{State: res.State, Owner: res.Owner, Updated: res.Updated, UserData: res.UserData, Expires: res.Expires}
		e.Of = &of{res.State, res.Owner, res.Updated}
		e.Epoch, e.Lease, e.Last, e.Failures, e.Sick, e.Leaving = res.Epoch, res.Lease, res.Last, res.Failures, res.Sick, res.Leaving
	}
	content, err := json.Marshal(e)
	if err != nil { // a number that JSON does not have: Boskos's view is whole without the rest
		content = nil
	}
	t.Meta.Annotations = maps.Clone(t.Meta.Annotations)
	if t.Meta.Annotations == nil {
		t.Meta.Annotations = map[string]string{}
	}
	t.Meta.Annotations[annotation] = string(content)
	return t
}

func specOf(d *lease.Dynamic) spec {
	return spec{State: &d.State, Max: &d.Max, Min: &d.Min, Lifespan: d.Lifespan, Config: &d.Config, Needs: d.Needs}
}

// read finds out what an object of the server says.
func (t *thing) read(kind lease.Kind) {
	var e extra
	if text := t.Meta.Annotations[annotation]; text != "" && json.Unmarshal([]byte(text), &e) != nil {
		e = extra{} // somebody wrote it by hand; Boskos's view is whole without it
	}
	t.commit = e.Commit
	t.record = lease.Record{Kind: kind, Key: t.Meta.Name}
	if kind == lease.KindDynamic {
		t.record.Dynamic = t.dynamic()
		return
	}
	t.record.Resource = t.resource(e)
}

func (t *thing) dynamic() *lease.Dynamic {
	d := &lease.Dynamic{Type: t.Meta.Name, Lifespan: t.Spec.Lifespan, Needs: t.Spec.Needs}
	if t.Spec.State != nil {
		d.State = *t.Spec.State
	}
	if t.Spec.Max != nil {
		d.Max = *t.Spec.Max
	}
	if t.Spec.Min != nil {
		d.Min = *t.Spec.Min
	}
	if t.Spec.Config != nil {
		d.Config = *t.Spec.Config
	}
	return d
}

// resource reads Boskos's view, and ours where it is of the same state.
func (t *thing) resource(e extra) *lease.Resource {
	if t.Status == nil {
		t.Status = &status{}
	}
	s := t.Status
	r := &lease.Resource{
		Name: t.Meta.Name, Type: t.Spec.Type, State: s.State, Owner: s.Owner, Updated: s.Updated.UTC(),
		Expires: s.Expires.UTC(), UserData: s.UserData, Epoch: e.Epoch, Last: e.Last,
	}
	switch {
	case e.Of == nil:
	case e.Of.State == s.State && e.Of.Owner == s.Owner && e.Of.Updated.Equal(s.Updated):
		r.Lease, r.Failures, r.Sick, r.Leaving = e.Lease, e.Failures, e.Sick, e.Leaving
	default:
		r.Epoch++ // whoever held it in that state holds it no more
		if s.State == lease.Quarantined {
			r.Sick = e.Sick
		}
	}
	return r
}
