package google

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// Read shows everybody, then the groups. Google counts nobody, so that a list that is cut short is not noticed here.
func (r *Reader) Read(ctx context.Context, page func(source.Page) error) (source.Proof, error) {
	shown := reading.New(page)
	query := url.Values{"customer": {r.options.Customer}, "projection": {"full"}, "orderBy": {"email"}}
	if r.options.Query != "" {
		query.Set("query", r.options.Query)
	}
	var listed rest.Unique
	_, err := list(ctx, r, rest.Request{Operation: "list users", Path: "/users", Query: query}, "users",
		r.options.PageSize, func(user reading.Attributes) error {
			p, err := identity(user)
			if err != nil {
				return err
			}
			if err := listed.Add(p.Key); err != nil {
				return fmt.Errorf("google: list users: %w", err)
			}
			return shown.Person(p)
		})
	if err != nil {
		return source.Proof{}, err
	}
	if shown.People() == 0 {
		return source.Proof{}, rest.Nobody("google", "the subject may read users")
	}
	groups, err := r.groups(ctx)
	if err != nil {
		return source.Proof{}, err
	}
	err = rest.InOrder(ctx, groups, r.options.InFlight, r.members, func(g group, members []string) error {
		return shown.Group(source.Group{Key: g.ID, Name: g.Email, Members: members})
	})
	if err != nil {
		return source.Proof{}, err
	}
	as := []string{"google", r.client.Host(), r.options.Customer, r.options.Subject, r.options.Query,
		strconv.FormatBool(r.options.Nested)}
	return shown.Finish(reading.As(append(as, r.options.Groups...)...), "", nil)
}

// group is a group, by its address: names of groups are not unique.
type group struct {
	ID     string `json:"id"`
	Email  string `json:"email"`
	Direct string `json:"directMembersCount"`
}

// groups lists the groups in scope.
func (r *Reader) groups(ctx context.Context) ([]group, error) {
	var groups []group
	_, err := list(ctx, r, rest.Request{Operation: "list groups", Path: "/groups",
		Query: url.Values{"customer": {r.options.Customer}}}, "groups", mostOthers, func(g group) error {
		if g.ID == "" || g.Email == "" {
			return fmt.Errorf("google: list groups: %w: a group has no key or no address", source.ErrMalformed)
		}
		if !r.names.Match(g.Email) {
			return nil
		}
		if len(groups) == source.MaxGroups {
			return fmt.Errorf("google: %w: more than %d groups: narrow their names", source.ErrMalformed,
				source.MaxGroups)
		}
		groups = append(groups, g)
		return nil
	})
	return groups, err
}

// members lists the keys of the people in a group. A group that is deleted meanwhile makes the read incomplete.
func (r *Reader) members(ctx context.Context, g group) ([]string, error) {
	segment, err := rest.Segment(g.ID)
	if err != nil {
		return nil, fmt.Errorf("google: %w: a group has no key", source.ErrMalformed)
	}
	query := url.Values{}
	if r.options.Nested {
		query.Set("includeDerivedMembership", "true")
	}
	type member struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	var keys rest.Unique
	total, err := list(ctx, r, rest.Request{Operation: "list members", Path: "/groups/" + segment + "/members",
		Query: query, NotFound: source.ErrIncomplete}, "members", mostOthers, func(m member) error {
		switch m.Type {
		case "USER":
			if r.options.Nested { // whoever is in two groups of a group may be shown for each
				keys.Keys = append(keys.Keys, m.ID)
				return nil
			}
			if err := keys.Add(m.ID); err != nil {
				return fmt.Errorf("google: list members of %.100q: %w", g.Email, err)
			}
			return nil
		case "GROUP", "EXTERNAL": // nobody of this account
			return nil
		case "CUSTOMER":
			return fmt.Errorf("google: %w: everybody of the account is in group %.100q, but Google does not list "+
				"them: leave the group out of the names of groups", source.ErrIncomplete, g.Email)
		}
		return fmt.Errorf("google: %w: group %.100q has a member of the unknown type %.40q", source.ErrMalformed,
			g.Email, m.Type)
	})
	if err == nil && total == 0 && g.Direct != "" && g.Direct != "0" {
		err = fmt.Errorf("google: list members of %.100q: %w: Google counts %.20s and shows none: read again", g.Email,
			source.ErrIncomplete, g.Direct)
	}
	return keys.Keys, err
}

// list calls use with each entry of the list of that name, page by page, and returns how many there were.
func list[T any](ctx context.Context, r *Reader, request rest.Request, name string, size int,
	use func(T) error) (total int, err error) {
	request.Query.Set("maxResults", strconv.Itoa(size))
	kind := "admin#directory#" + name
	about := "google: " + request.Operation
	fetch := func(ctx context.Context, token string) ([]jsontext.Value, string, error) {
		if token != "" {
			request.Query.Set("pageToken", token)
		}
		var answer struct {
			Kind    string           `json:"kind"`
			Next    string           `json:"nextPageToken"`
			Users   []jsontext.Value `json:"users"` // the kind tells which list there is; an empty one is left out
			Groups  []jsontext.Value `json:"groups"`
			Members []jsontext.Value `json:"members"`
		}
		if _, err := r.client.Do(ctx, request, &answer); err != nil {
			return nil, "", err
		}
		if answer.Kind != kind {
			return nil, "", fmt.Errorf("%s: %w: the answer is not of the kind %s", about, source.ErrMalformed, kind)
		}
		return slices.Concat(answer.Users, answer.Groups, answer.Members), answer.Next, nil
	}
	err = rest.PagesAhead(ctx, about, fetch, func(entries []jsontext.Value) error {
		total += len(entries)
		return rest.Each(about, entries, use)
	})
	return total, err
}
