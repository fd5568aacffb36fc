// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/sweep"
)

// row is one kind of object of a project. What is not said follows from Google's own habits: an object is named by its
// self link or its full name, is deleted there, and says when it was made.
type row struct {
	name string // service.collection
	api  string // the service, which is its host too
	base string // version of the API, as a path
	// list is below projects/PROJECT/, or a whole path behind "/". With {location} it is asked for every location that
	// the API has; with {parent} for every object of the row parent. split makes the items of those of parent instead.
	list   string
	parent string
	split  func(p *project, i item) []item
	query  url.Values // of the list
	items  string
	shared bool // another row is made of its items
	aside  bool // at an endpoint beside the one of production, which is no service that can be enabled
	// read lists what is no list of an API.
	read func(ctx context.Context, p *project) ([]item, error)
	// after and within are as in sweep.Kind.
	after, within []string
	created       string // field; "creationTimestamp", "createTime"
	// id of an item; "" for one that is no object of its own.
	id func(p *project, i item) string
	// keep says why an item stays, and skip leaves out what has been deleted already and only shows for a while.
	keep func(p *project, i item) string
	// with is as in sweep.Object.
	with func(p *project, i item) string
	skip func(i item) bool
	// purge is the query of the delete, first is done before it, unlock behind a refusal, and remove in its place.
	purge                 url.Values
	first, unlock, remove func(ctx context.Context, p *project, id string) error
	whole                 func(p *project, i item) bool // the item belongs to the project, where its id does not say so
}

// Account asks who a project is and makes its kinds: sweep's proof that the credential sees the project that was meant.
func (s *Sweeper) Account(ctx context.Context, id string) ([]sweep.Kind, sweep.Account, error) {
	p := &project{Sweeper: s, asked: id, clients: map[string]*http.Client{}, paces: map[string]*pace.Limiter{}, kept: map[string][]item{}}
	if err := p.identify(ctx); err != nil {
		return nil, sweep.Account{}, fmt.Errorf("ask who project %.100q is: %w", id, unread(err))
	}
	if err := p.services(ctx); err != nil {
		// Not knowing what is enabled costs calls and no truth: each API says it itself.
		p.enabled = nil
	}
	var kinds []sweep.Kind
	for _, r := range rows() {
		kinds = append(kinds, p.kind(r))
	}
	return kinds, p.account, nil
}

// identify reads the project, and the folders around it as far as they are needed.
func (p *project) identify(ctx context.Context) error {
	answer, err := p.do(ctx, request{method: http.MethodGet, api: resourceManager, path: "/v3/projects/" + url.PathEscape(p.asked)})
	if err != nil {
		return err
	}
	number, ok := strings.CutPrefix(answer.text("name"), "projects/")
	if !ok || number == "" || strings.Trim(number, "0123456789") != "" {
		return audit.Fail(finding.Malformed, "the project's name is %.100q, not projects/NUMBER", answer.text("name"))
	}
	if state := answer.text("state"); state != "ACTIVE" {
		return audit.Fail(finding.Malformed, "the project is %.50q, not ACTIVE", state)
	}
	p.account = sweep.Account{ID: answer.text("projectId"), Number: number, Labels: answer.labels()}
	parent := answer.text("parent")
	for range 12 { // folders are ten deep at the most
		if parent == "" {
			return nil
		}
		p.account.Within = append(p.account.Within, parent)
		if slices.Contains(p.opts.Parents, parent) || !strings.HasPrefix(parent, "folders/") {
			return nil
		}
		answer, err := p.do(ctx, request{method: http.MethodGet, api: resourceManager, path: "/v3/" + escaped(parent)})
		if err != nil {
			return fmt.Errorf("%s: %w", parent, err)
		}
		parent = answer.text("parent")
	}
	return audit.Fail(finding.Malformed, "the folders around the project do not end")
}

// services reads which APIs are enabled, once.
func (p *project) services(ctx context.Context) error {
	enabled := map[string]bool{}
	err := p.pages(ctx, request{
		method: http.MethodGet, api: "serviceusage.googleapis.com", path: "/v1/projects/" + p.account.Number + "/services",
		query: url.Values{"filter": {"state:ENABLED"}, "pageSize": {"200"}},
	}, func(page item) error {
		all, err := elements(page["services"])
		for _, s := range all {
			name := s.text("name")
			enabled[name[strings.LastIndex(name, "/")+1:]] = s.text("state") == "ENABLED"
		}
		return err
	})
	if err == nil && len(enabled) > 0 { // every project has some; none is no answer to rely on
		p.enabled = enabled
	}
	return err
}

func (p *project) kind(r row) sweep.Kind {
	return sweep.Kind{
		Name: r.name, After: r.after, Within: r.within,
		List:   func(ctx context.Context) ([]sweep.Object, error) { return p.objects(ctx, r) },
		Delete: func(ctx context.Context, o sweep.Object) error { return p.delete(ctx, r, o) },
	}
}

// hosts are where a row is asked: in production, and at the endpoints beside it that the options name.
func (p *project) hosts(r row) []string {
	return append([]string{r.api}, p.opts.Endpoints[strings.TrimSuffix(r.api, ".googleapis.com")]...)
}

// at is the row at one of its hosts.
func (r row) at(host string) row {
	r.aside = host != r.api
	r.api = host
	return r
}

// objects lists a row at all its hosts. What lies beside production has the host in front of its id.
func (p *project) objects(ctx context.Context, r row) ([]sweep.Object, error) {
	p.keep(r.name, nil)
	var all []sweep.Object
	hosts := p.hosts(r)
	for _, host := range hosts {
		some, err := p.listed(ctx, r.at(host))
		if err != nil && (len(hosts) == 1 || !errors.Is(err, sweep.ErrDisabled)) {
			return nil, err
		}
		for i := range some {
			if host != r.api {
				some[i].ID = host + "/" + some[i].ID
			}
		}
		all = append(all, some...)
	}
	return all, nil
}

// placed is the row and the id in it that an object has where it lies.
func (p *project) placed(r row, id string) (row, string) {
	host, rest, ok := strings.Cut(id, "/")
	if ok && slices.Contains(p.hosts(r)[1:], host) {
		return r.at(host), rest
	}
	return r, id
}

// listed lists a row at one host.
func (p *project) listed(ctx context.Context, r row) ([]sweep.Object, error) {
	if p.enabled != nil && r.service() != "" && !p.enabled[r.service()] {
		return nil, fmt.Errorf("%s: %w", r.api, sweep.ErrDisabled)
	}
	items, err := p.list(ctx, r)
	if p.disabled(err) {
		return nil, fmt.Errorf("%s: %w", r.api, sweep.ErrDisabled)
	}
	if err != nil {
		return nil, fmt.Errorf("list %s at %s: %w", r.name, r.api, unread(err))
	}
	if r.shared {
		p.keep(r.name, items)
	}
	var all []sweep.Object
	for _, i := range items {
		if r.skip != nil && r.skip(i) {
			continue
		}
		o, err := p.object(r, i)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", r.name, err)
		}
		if o.ID != "" {
			all = append(all, o)
		}
	}
	return all, nil
}

// service is what has to be enabled for the row; "" where there may be objects whatever is enabled.
func (r row) service() string {
	if r.aside || r.api == "storage.googleapis.com" || r.api == resourceManager {
		return ""
	}
	return r.api
}

// list reads the items of a row, everywhere.
func (p *project) list(ctx context.Context, r row) ([]item, error) {
	if r.read != nil {
		return r.read(ctx, p)
	}
	if r.split != nil {
		var all []item
		parents, err := p.parents(ctx, r.parent)
		for _, i := range parents {
			all = append(all, r.split(p, i)...)
		}
		return all, err
	}
	paths, err := p.paths(ctx, r)
	if err != nil {
		return nil, err
	}
	ask := request{method: http.MethodGet, api: r.api, query: p.fill(r.query)}
	if r.batched() {
		ask.batched = r.name
	}
	var all []item
	for _, ask.path = range paths {
		err := p.pages(ctx, ask, func(page item) error {
			some, err := array(page, r.items)
			if all = append(all, some...); len(all) > maxItems {
				err = audit.Fail(finding.TooLarge, "the list has more than %d items", maxItems)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parents are the items of a row from which another one is made. Where that row has just been listed, they are at hand;
// they are used once, so that the next listing reads again.
func (p *project) parents(ctx context.Context, name string) ([]item, error) {
	p.mu.Lock()
	items, ok := p.kept[name]
	delete(p.kept, name)
	p.mu.Unlock()
	if ok {
		return items, nil
	}
	return p.list(ctx, find(name))
}

func (p *project) keep(name string, items []item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.kept, name); items != nil {
		p.kept[name] = items
	}
}

// paths are where a row is listed: one, or one for each location or parent.
func (p *project) paths(ctx context.Context, r row) ([]string, error) {
	path := "/" + r.base + "/projects/" + p.account.ID + "/" + r.list
	if strings.HasPrefix(r.list, "/") {
		path = "/" + r.base + r.list
	}
	var marker string
	var of row
	var items []item
	var err error
	switch {
	case strings.Contains(path, "{location}"):
		marker = "{location}"
		of = row{
			name: r.api + " locations", api: r.api, base: r.base, list: "locations", items: "locations",
			id: func(_ *project, i item) string { return i.text("locationId") },
		}
		items, err = p.list(ctx, of)
	case strings.Contains(path, "{parent}"):
		marker, of = "{parent}", find(r.parent)
		items, err = p.parents(ctx, r.parent)
	default:
		return []string{path}, nil
	}
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, i := range items {
		id, err := p.checked(of, i)
		if err != nil {
			return nil, err
		}
		if id != "" {
			paths = append(paths, strings.ReplaceAll(path, marker, escaped(id)))
		}
	}
	return paths, nil
}

// fill puts the project into a query.
func (p *project) fill(query url.Values) url.Values {
	out := url.Values{}
	for key, values := range query {
		for _, v := range values {
			out.Add(key, strings.ReplaceAll(v, "{project}", p.account.ID))
		}
	}
	return out
}

// object is an item as the sweep sees it.
func (p *project) object(r row, i item) (sweep.Object, error) {
	id, err := p.checked(r, i)
	if err != nil || id == "" {
		return sweep.Object{}, err
	}
	o := sweep.Object{ID: id, Name: id[strings.LastIndex(id, "/")+1:], Location: location(id), Tags: i.labels()}
	fields := []string{"creationTimestamp", "createTime"}
	if r.created != "" {
		fields = []string{r.created}
	}
	for _, field := range fields {
		if text := i.text(field); text != "" {
			if o.Created, err = time.Parse(time.RFC3339, text); err != nil {
				return o, audit.Fail(finding.Malformed, "%.200s was made at %.50q, which is no time", id, text)
			}
		}
	}
	if r.keep != nil {
		o.Protected = r.keep(p, i)
	}
	if r.with != nil {
		o.With = r.with(p, i)
	}
	return o, nil
}

// checked is the id of an item. It has to be one of this project, or nothing of the list is believed: what it names is
// going to be deleted.
func (p *project) checked(r row, i item) (string, error) {
	id := r.identify(p, i)
	parts := strings.Split(id, "/")
	switch {
	case id == "":
		return "", nil
	case len(id) > 2000 || slices.ContainsFunc(parts, func(s string) bool { return s == "" || strings.Trim(s, ".") == "" }):
		return "", audit.Fail(finding.Malformed, "an object is called %.200q", id)
	case r.items == "locations":
		return id, nil
	case r.whole != nil:
		if !r.whole(p, i) {
			return "", audit.Fail(finding.Malformed, "the list of project %s has %.200q of another one", p.account.ID, id)
		}
		return id, nil
	case len(parts) < 4 || parts[0] != "projects" || parts[1] != p.account.ID && parts[1] != p.account.Number:
		return "", audit.Fail(finding.Malformed, "the list of project %s has %.200q of another one", p.account.ID, id)
	}
	return id, nil
}

func (r row) identify(p *project, i item) string {
	if r.id != nil {
		return r.id(p, i)
	}
	if link := i.text("selfLink"); link != "" {
		return link[max(strings.Index(link, "projects/"), 0):]
	}
	name := i.text("name")
	if strings.HasPrefix(name, "projects/") || name == "" {
		return name
	}
	return "projects/" + p.account.ID + "/" + r.list[strings.LastIndex(r.list, "/")+1:] + "/" + name
}

// location is where an id says that its object is.
func location(id string) string {
	parts := strings.Split(id, "/")
	for n, part := range parts[:len(parts)-1] {
		switch part {
		case "zones", "regions", "locations":
			return parts[n+1]
		}
	}
	return ""
}

// delete takes an object away. What is not there any more is done.
func (p *project) delete(ctx context.Context, r row, o sweep.Object) error {
	if o.Protected != "" {
		return fmt.Errorf("delete %s: it is protected", o.ID)
	}
	p.batch.clear()
	var err error
	r, id := p.placed(r, o.ID)
	if r.first != nil {
		err = r.first(ctx, p, id)
	}
	if err == nil {
		err = p.remove(ctx, r, id)
	}
	var no *refused
	if r.unlock != nil && errors.As(err, &no) && no.code != http.StatusNotFound {
		if err = r.unlock(ctx, p, id); err == nil {
			err = p.remove(ctx, r, id)
		}
	}
	if err = deleted(err); err != nil {
		return fmt.Errorf("delete %s: %w", o.ID, err)
	}
	return nil
}

func (p *project) remove(ctx context.Context, r row, id string) error {
	if r.remove != nil {
		return r.remove(ctx, p, id)
	}
	return p.change(ctx, r, request{method: http.MethodDelete, path: "/" + r.base + "/" + escaped(id), query: r.purge})
}

// change sends a request and waits for its operation.
func (p *project) change(ctx context.Context, r row, req request) error {
	req.api = r.api
	op, err := p.do(ctx, req)
	if err != nil {
		return err
	}
	return p.wait(ctx, r.api, r.base, op)
}
