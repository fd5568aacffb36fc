// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	graphql "github.com/graph-gophers/graphql-go"
)

//go:embed schema.graphql
var schemaText string

func graphRoutes() []route {
	return []route{{"POST", "/graphql", signedIn, postGraph}}
}

// graph answers queries over schema.graphql. Resolvers run with the server's
// mutex held by the request, so they read the store without locking.
type graph struct {
	schema *graphql.Schema
}

func newGraph(s *Server) graph {
	// A schema that does not fit its resolvers is a mistake in this package.
	return graph{graphql.MustParseSchema(schemaText, &query{s}, graphql.UseFieldResolvers(), graphql.MaxDepth(25), graphql.DisableFieldSelections())}
}

type graphInput struct {
	Query         string
	OperationName string
	Variables     map[string]any
}

// viewerKey carries the acting login to resolvers.
type viewerKey struct{}

func postGraph(c *call) (any, error) {
	var in graphInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ctx := context.WithValue(context.Background(), viewerKey{}, c)
	out := c.srv.gql.schema.Exec(ctx, in.Query, in.OperationName, in.Variables)
	if len(out.Errors) == 0 {
		return out, nil
	}
	return graphReply(out)
}

// graphReply adds GitHub's error type, which clients look at.
func graphReply(out *graphql.Response) (any, error) {
	var errs []map[string]any
	for _, e := range out.Errors {
		v := map[string]any{"message": e.Message, "path": e.Path, "locations": e.Locations}
		var missing notFoundError
		if errors.As(e.ResolverError, &missing) {
			v["type"] = "NOT_FOUND"
		}
		errs = append(errs, v)
	}
	data := out.Data
	if data == nil {
		data = json.RawMessage("null")
	}
	return map[string]any{"data": data, "errors": errs}, nil
}

// notFoundError is GitHub's answer for a missing object.
type notFoundError string

func (e notFoundError) Error() string { return string(e) }

// The scalars.

type dateTime struct{ time.Time }

func (dateTime) ImplementsGraphQLType(name string) bool { return name == "DateTime" }

func (d *dateTime) UnmarshalGraphQL(in any) error {
	text, _ := in.(string)
	t, err := time.Parse(time.RFC3339, text)
	d.Time = t
	return err
}

type text string // GitObjectID, URI and BigInt travel as strings

func (text) ImplementsGraphQLType(name string) bool {
	return name == "GitObjectID" || name == "URI" || name == "BigInt"
}

func (t *text) UnmarshalGraphQL(in any) error {
	s, ok := in.(string)
	if !ok {
		return fmt.Errorf("want a string, got %T", in)
	}
	*t = text(s)
	return nil
}

func maybeTime(t time.Time) *dateTime {
	if t.IsZero() {
		return nil
	}
	return &dateTime{t}
}

// small is databaseId: null where it does not fit 32 bits, as on GitHub.
func small(id int64) *int32 {
	if id > 1<<31-1 {
		return nil
	}
	n := int32(id) //nolint:gosec // checked above
	return &n
}

func big(id int64) *text {
	t := text(digits(id))
	return &t
}

// query is the root.
type query struct{ s *Server }

func caller(ctx context.Context) *call {
	c, _ := ctx.Value(viewerKey{}).(*call)
	return c
}

func (q *query) Repository(ctx context.Context, in struct {
	Owner, Name   string
	FollowRenames bool
}) (*repository, error) {
	r := q.s.st.repo(in.Owner, in.Name)
	if r == nil || q.s.st.levelOf(caller(ctx).login, r) == none {
		return nil, notFoundError(fmt.Sprintf("Could not resolve to a Repository with the name '%s/%s'.", in.Owner, in.Name))
	}
	return &repository{q.s, r}, nil
}

// Viewer is who asks. Unlike authors, an App sees itself with its [bot] suffix.
func (q *query) Viewer(ctx context.Context) *viewer {
	return &viewer{account{q.s.userView(caller(ctx).login)}}
}

type rateLimit struct {
	Cost, Limit, Remaining, Used, NodeCount int32
	ResetAt                                 dateTime
}

func (q *query) RateLimit(ctx context.Context, _ struct{ DryRun bool }) *rateLimit {
	l := q.s.budget(caller(ctx).login, "graphql")
	return &rateLimit{1, int32(l.Limit), int32(l.Left), int32(l.Used), 1, dateTime{time.Unix(l.Reset, 0).UTC()}} //nolint:gosec // limits are small
}

// Actors. GraphQL names bots without the [bot] of REST; the deleted are null.

type userActor interface {
	Login() string
	URL() text
}

type account struct{ v userView }

type viewer struct{ account }

func (v *viewer) Login() string { return v.v.Login }

func (a *account) Login() string      { return strings.TrimSuffix(a.v.Login, "[bot]") }
func (a *account) URL() text          { return text(a.v.HTMLURL) }
func (a *account) DatabaseID() *int32 { return small(a.v.ID) }
func (a *account) Name() *string {
	if a.v.Name == "" {
		return nil
	}
	return &a.v.Name
}

// actorNode is User or Bot behind the Actor interface.
type actorNode struct{ userActor }

func (a actorNode) ToUser() (*account, bool) {
	u, ok := a.userActor.(*account)
	return u, ok && u.v.Type != "Bot"
}

func (a actorNode) ToBot() (*account, bool) {
	u, ok := a.userActor.(*account)
	return u, ok && u.v.Type == "Bot"
}

func (s *Server) actorNode(login string) *actorNode {
	if s.st.user(login) == nil {
		return nil
	}
	return &actorNode{&account{s.userView(login)}}
}

// Connections.

// window is the paging arguments every connection takes.
type window struct {
	First, Last   *int32
	After, Before *string
}

type pageInfo struct {
	HasNextPage, HasPreviousPage bool
	EndCursor, StartCursor       *string
}

type connection[T any] struct {
	TotalCount int32
	PageInfo   pageInfo
	Nodes      *[]T
}

// connect cuts a window out of items. A cursor holds the item's identity and,
// for when the item has gone, its position.
func connect[I, T any](items []I, w window, identity func(I) string, show func(I) T) (*connection[T], error) {
	if w.First == nil && w.Last == nil {
		//lint:ignore ST1005 GitHub's words
		return nil, errors.New("You must provide a `first` or `last` value to properly paginate")
	}
	from, to := 0, len(items)
	if w.After != nil {
		from = min(locate(items, *w.After, identity)+1, len(items))
	}
	if w.Before != nil {
		to = max(locate(items, *w.Before, identity), from)
	}
	if w.First != nil {
		to = min(to, from+int(*w.First))
	}
	if w.Last != nil {
		from = max(from, to-int(*w.Last))
	}
	nodes := each(items[from:to], show)
	out := &connection[T]{TotalCount: int32(len(items)), Nodes: &nodes} //nolint:gosec // bounded by memory
	out.PageInfo = pageInfo{HasNextPage: to < len(items), HasPreviousPage: from > 0}
	if to > from {
		start, end := cursor(from, identity(items[from])), cursor(to-1, identity(items[to-1]))
		out.PageInfo.StartCursor, out.PageInfo.EndCursor = &start, &end
	}
	return out, nil
}

func cursor(at int, identity string) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "cursor:v2:%d:%s", at, identity))
}

func locate[I any](items []I, cur string, identity func(I) string) int {
	raw, _ := base64.StdEncoding.DecodeString(cur)
	place, id, _ := strings.Cut(strings.TrimPrefix(string(raw), "cursor:v2:"), ":")
	at, err := strconv.Atoi(place)
	if err != nil || at < 0 {
		return -1
	}
	if at < len(items) && identity(items[at]) == id {
		return at
	}
	for n := range items {
		if identity(items[n]) == id {
			return n
		}
	}
	return min(at, len(items)) - 1
}
