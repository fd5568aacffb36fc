// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Label names contain slashes and clients do not all escape them, so the last
// segment of these routes takes the rest of the path.
func labelRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/labels", none, listLabels},
		{"POST", "/repos/{owner}/{repo}/labels", write, postLabel},
		{"GET", "/repos/{owner}/{repo}/labels/{name...}", none, getLabel},
		{"PATCH", "/repos/{owner}/{repo}/labels/{name...}", write, patchLabel},
		{"DELETE", "/repos/{owner}/{repo}/labels/{name...}", write, deleteLabel},
		{"GET", "/repos/{owner}/{repo}/issues/{number}/labels", none, listIssueLabels},
		{"POST", "/repos/{owner}/{repo}/issues/{number}/labels", triage, addIssueLabels},
		{"PUT", "/repos/{owner}/{repo}/issues/{number}/labels", triage, setIssueLabels},
		{"DELETE", "/repos/{owner}/{repo}/issues/{number}/labels/{name...}", triage, removeIssueLabel},
	}
}

type labelView struct {
	ID          int64  `json:"id"`
	NodeID      string `json:"node_id"`
	URL         string `json:"url"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Color       string `json:"color"`
}

func labelShown(l *label) labelView {
	return labelView{l.ID, nodeID("LA", l.ID), "https://api.github.com/labels/" + l.Name, l.Name, l.Description, l.Color}
}

// ensureLabel finds a label or makes it in GitHub's default grey, as GitHub does
// when an issue is given an unknown one by somebody with push access.
func (s *Server) ensureLabel(r *repo, name string) *label {
	if l := r.label(name); l != nil {
		return l
	}
	l := &label{ID: s.id(), Name: name, Color: "ededed"}
	r.Labels = append(r.Labels, l)
	return l
}

func listLabels(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	return list(c, r.Labels, labelShown), nil
}

// namedLabel is the label the path names.
func (c *call) namedLabel() (*repo, *label, error) {
	r, err := c.repo()
	if err != nil {
		return nil, nil, err
	}
	l := r.label(c.req.PathValue("name"))
	if l == nil {
		return nil, nil, errNotFound()
	}
	return r, l, nil
}

func getLabel(c *call) (any, error) {
	_, l, err := c.namedLabel()
	if err != nil {
		return nil, err
	}
	return labelShown(l), nil
}

type labelEdit struct {
	Name, Description, Color *string
	NewName                  *string `json:"new_name"`
}

func (l *label) apply(in labelEdit) {
	set := func(at, to *string) {
		if to != nil {
			*at = *to
		}
	}
	set(&l.Name, in.Name)
	set(&l.Name, in.NewName)
	set(&l.Description, in.Description)
	set(&l.Color, in.Color)
}

func postLabel(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in labelEdit
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Name == nil || *in.Name == "" || r.label(*in.Name) != nil {
		e := invalid("Label", "name", "missing or taken")
		e.Errors[0].Code = "already_exists"
		return nil, e
	}
	l := &label{ID: c.srv.id(), Color: "ededed"}
	l.apply(in)
	r.Labels = append(r.Labels, l)
	c.srv.wrote(c.actor(), "label.create", r, 0, l.ID, l.Name)
	return created(labelShown(l)), nil
}

func patchLabel(c *call) (any, error) {
	r, l, err := c.namedLabel()
	if err != nil {
		return nil, err
	}
	var in labelEdit
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	l.apply(in)
	c.srv.wrote(c.actor(), "label.edit", r, 0, l.ID, l.Name)
	return labelShown(l), nil
}

func deleteLabel(c *call) (any, error) {
	r, l, err := c.namedLabel()
	if err != nil {
		return nil, err
	}
	is := func(x *label) bool { return x == l }
	r.Labels = slices.DeleteFunc(r.Labels, is)
	for _, i := range r.Issues {
		i.Labels = slices.DeleteFunc(i.Labels, is)
	}
	c.srv.wrote(c.actor(), "label.delete", r, 0, l.ID, l.Name)
	return noContent(), nil
}

func listIssueLabels(c *call) (any, error) {
	_, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	return list(c, i.Labels, labelShown), nil
}

// names accepts GitHub's three forms: ["a"], {"labels": ["a"]} and
// {"labels": [{"name": "a"}]}.
func names(body []byte) ([]string, error) {
	var wrapped struct{ Labels json.RawMessage }
	if json.Unmarshal(body, &wrapped) == nil && wrapped.Labels != nil {
		body = wrapped.Labels
	}
	var plain []string
	if err := json.Unmarshal(body, &plain); err == nil {
		return plain, nil
	}
	var objects []struct{ Name string }
	if err := json.Unmarshal(body, &objects); err != nil {
		return nil, fail(http.StatusUnprocessableEntity, "Invalid request: labels: "+err.Error())
	}
	return each(objects, func(o struct{ Name string }) string { return o.Name }), nil
}

func addIssueLabels(c *call) (any, error) {
	return c.relabel(c.srv.addLabels)
}

func setIssueLabels(c *call) (any, error) {
	return c.relabel(c.srv.setLabels)
}

func (c *call) relabel(apply func(actor, *repo, *issue, []string)) (any, error) {
	r, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	wanted, err := names(c.body)
	if err != nil {
		return nil, err
	}
	apply(c.actor(), r, i, wanted)
	return each(i.Labels, labelShown), nil
}

func (s *Server) addLabels(by actor, r *repo, i *issue, wanted []string) {
	for _, name := range wanted {
		if i.label(name) >= 0 {
			s.wrote(by, "label.add", r, i.Number, i.ID, name).Noop = true
			continue
		}
		l := s.ensureLabel(r, name)
		i.Labels = append(i.Labels, l)
		s.labelled(by, r, i, l, "add", "labeled")
	}
}

func (s *Server) setLabels(by actor, r *repo, i *issue, wanted []string) {
	for _, l := range slices.Clone(i.Labels) {
		if !slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, l.Name) }) {
			s.removeLabel(by, r, i, l.Name)
		}
	}
	s.addLabels(by, r, i, wanted)
}

// removeLabel tells whether the label was there.
func (s *Server) removeLabel(by actor, r *repo, i *issue, name string) bool {
	n := i.label(name)
	if n < 0 {
		return false
	}
	l := i.Labels[n]
	i.Labels = slices.Delete(slices.Clone(i.Labels), n, n+1)
	s.labelled(by, r, i, l, "remove", "unlabeled")
	return true
}

func (s *Server) labelled(by actor, r *repo, i *issue, l *label, verb, action string) {
	s.touch(i)
	s.event(by, i, action, l)
	s.wrote(by, "label."+verb, r, i.Number, i.ID, l.Name)
	s.emitIssue(by, action, r, i, map[string]any{"label": labelShown(l)})
}

func removeIssueLabel(c *call) (any, error) {
	r, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	if !c.srv.removeLabel(c.actor(), r, i, c.req.PathValue("name")) {
		return nil, fail(http.StatusNotFound, "Label does not exist")
	}
	return each(i.Labels, labelShown), nil
}
