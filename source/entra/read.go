package entra

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

var errNotFound = errors.New("there is no such user")

// Read shows everybody, then the groups.
func (r *Reader) Read(ctx context.Context, page func(source.Page) error) (source.Proof, error) {
	shown := reading.New(page)
	query := url.Values{"$select": {r.selected}, "$top": {strconv.Itoa(r.options.PageSize)}}
	if r.options.Filter != "" {
		query.Set("$filter", r.options.Filter)
	}
	var listed rest.Unique
	declared, err := list(ctx, r, rest.Request{Operation: "list users", Path: "/users", Query: query},
		func(user reading.Attributes) error {
			p, err := identity(user)
			if err != nil {
				return err
			}
			if err := listed.Add(p.Key); err != nil {
				return fmt.Errorf("entra: list users: %w", err)
			}
			return shown.Person(p)
		})
	if err != nil {
		return source.Proof{}, err
	}
	if shown.People() == 0 {
		return source.Proof{}, rest.Nobody("entra", "the app may read users")
	}
	groups, err := r.groups(ctx)
	if err != nil {
		return source.Proof{}, err
	}
	err = rest.InOrder(ctx, groups, r.options.InFlight, r.members, func(g group, members []string) error {
		return shown.Group(source.Group{Key: g.ID, Name: g.Name, Members: members})
	})
	if err != nil {
		return source.Proof{}, err
	}
	as := []string{"entra", r.client.Host(), r.options.Tenant, r.options.ClientID, r.options.Filter,
		strconv.FormatBool(r.options.Nested)}
	return shown.Finish(reading.As(append(as, r.options.Groups...)...), "", &declared)
}

type group struct {
	ID         string `json:"id"`
	Name       string `json:"displayName"`
	Visibility string `json:"visibility"`
}

// groups lists the groups in scope.
func (r *Reader) groups(ctx context.Context) ([]group, error) {
	var groups []group
	var listed rest.Unique
	declared, err := list(ctx, r, rest.Request{Operation: "list groups", Path: "/groups",
		Query: url.Values{"$select": {"id,displayName,visibility"}, "$top": {strconv.Itoa(mostPeople)}}},
		func(g group) error {
			if err := listed.Add(g.ID); err != nil {
				return fmt.Errorf("entra: list groups: %w", err)
			}
			if g.ID == "" || g.Name == "" {
				return fmt.Errorf("entra: list groups: %w: a group has no key or no name", source.ErrMalformed)
			}
			if !r.names.Match(g.Name) {
				return nil
			}
			if len(groups) == source.MaxGroups {
				return fmt.Errorf("entra: %w: more than %d groups: narrow their names", source.ErrMalformed,
					source.MaxGroups)
			}
			groups = append(groups, g)
			return nil
		})
	if err == nil && declared != len(listed.Keys) {
		err = fmt.Errorf("entra: list groups: %w: Graph counts %d and shows %d: read again", source.ErrIncomplete,
			declared, len(listed.Keys))
	}
	return groups, err
}

// members lists the keys of the people in a group. A group that is deleted meanwhile makes the read incomplete.
func (r *Reader) members(ctx context.Context, g group) ([]string, error) {
	segment, err := rest.Segment(g.ID)
	if err != nil {
		return nil, fmt.Errorf("entra: %w: a group has no key", source.ErrMalformed)
	}
	path := "/groups/" + segment + "/members/microsoft.graph.user"
	if r.options.Nested {
		path = "/groups/" + segment + "/transitiveMembers/microsoft.graph.user"
	}
	type member struct {
		ID string `json:"id"`
	}
	var members rest.Unique
	declared, err := list(ctx, r, rest.Request{Operation: "list members", Path: path, NotFound: source.ErrIncomplete,
		Query: url.Values{"$select": {"id"}, "$top": {strconv.Itoa(mostPeople)}}}, func(m member) error {
		if err := members.Add(m.ID); err != nil {
			return fmt.Errorf("entra: list members of %.100q: %w", g.Name, err)
		}
		return nil
	})
	switch {
	case err != nil:
	case g.Visibility == "HiddenMembership" && len(members.Keys) == 0: // without the right to them, Graph shows none
		err = fmt.Errorf("entra: %w: the members of group %.100q are hidden: grant the app Member.Read.Hidden, or "+
			"leave the "+
			"group out of the names of groups", source.ErrForbidden, g.Name)
	case declared != len(members.Keys):
		err = fmt.Errorf("entra: list members of %.100q: %w: Graph counts %d and shows %d: read again", g.Name,
			source.ErrIncomplete, declared, len(members.Keys))
	}
	return members.Keys, err
}

// list calls use with each entry of a list, page by page, and returns how many Graph counts. The count, and lists of
// one type of members, are to be had only with the header.
func list[T any](ctx context.Context, r *Reader, request rest.Request, use func(T) error) (declared int, err error) {
	request.Header = http.Header{"Consistencylevel": {"eventual"}}
	request.Query.Set("$count", "true")
	name := "entra: " + request.Operation
	fetch := func(ctx context.Context, link string) ([]jsontext.Value, string, error) {
		request.Link = link
		var answer struct {
			Count *int              `json:"@odata.count"`
			Next  string            `json:"@odata.nextLink"`
			Value *[]jsontext.Value `json:"value"`
		}
		if _, err := r.client.Do(ctx, request, &answer); err != nil {
			return nil, "", err
		}
		switch {
		case answer.Value == nil:
			return nil, "", fmt.Errorf("%s: %w: the answer has no list", name, source.ErrMalformed)
		case link == "" && answer.Count == nil:
			return nil, "", fmt.Errorf("%s: %w: the answer has no count", name, source.ErrMalformed)
		case link == "":
			declared = *answer.Count
		}
		return *answer.Value, answer.Next, nil
	}
	err = rest.PagesAhead(ctx, name, fetch, func(entries []jsontext.Value) error {
		return rest.Each(name, entries, use)
	})
	return declared, err
}
