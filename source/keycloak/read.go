package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// Read shows everybody, then the groups. If people come or go meanwhile, they are listed a second time.
func (r *Reader) Read(ctx context.Context, page func(source.Page) error) (source.Proof, error) {
	shown := reading.New(page)
	declared, err := r.people(ctx, shown)
	if errors.Is(err, errShifted) {
		declared, err = r.people(ctx, shown)
	}
	if err != nil {
		return source.Proof{}, err
	}
	if shown.People() == 0 {
		return source.Proof{}, rest.Nobody("keycloak", "the client's service account has the role view-users")
	}
	if err := r.groups(ctx, shown); err != nil {
		return source.Proof{}, err
	}
	as := []string{"keycloak", r.client.Host(), r.options.URL, r.options.Realm, r.options.ClientRealm,
		r.options.ClientID, strconv.FormatBool(r.options.Nested)}
	return shown.Finish(reading.As(append(as, r.options.Groups...)...), "", &declared)
}

// people shows everybody who was not shown yet, and returns how many Keycloak counts afterwards.
func (r *Reader) people(ctx context.Context, shown *reading.Reading) (declared int, err error) {
	listed := 0
	err = list(ctx, r, rest.Request{Operation: "list users", Path: "/users",
		Query: url.Values{"briefRepresentation": {"false"}}}, r.options.PageSize, user.key, func(u user) error {
		listed++
		if shown.Seen(u.ID) {
			return nil
		}
		p, err := u.identity()
		if err != nil {
			return err
		}
		return shown.Person(p)
	})
	if err != nil {
		return 0, err
	}
	if _, err = r.client.Do(ctx, rest.Request{Operation: "count users", Path: "/users/count"}, &declared); err != nil {
		return 0, err
	}
	if declared != listed {
		return 0, fmt.Errorf("keycloak: count users: %w: it counts %d people and listed %d: %w", source.ErrIncomplete,
			declared, listed, errShifted)
	}
	return declared, nil
}

// list calls use with each entry of a list. Offsets shift if entries come or go: each page begins with the last entry
// of the page before it, so that this is noticed.
func list[T any](ctx context.Context, r *Reader, request rest.Request, size int, key func(T) string,
	use func(T) error) error {
	if request.Query == nil {
		request.Query = url.Values{}
	}
	request.Query.Set("max", strconv.Itoa(size))
	name := "keycloak: " + request.Operation
	asked := 0
	fetch := func(ctx context.Context, _ string) ([]jsontext.Value, string, error) {
		request.Query.Set("first", strconv.Itoa(max(asked-1, 0)))
		var entries []jsontext.Value
		if _, err := r.client.Do(ctx, request, &entries); err != nil {
			return nil, "", err
		}
		if entries == nil {
			return nil, "", fmt.Errorf("%s: %w: the answer is not a list", name, source.ErrMalformed)
		}
		next := ""
		asked = max(asked-1, 0) + len(entries)
		if len(entries) >= size {
			next = strconv.Itoa(asked)
		}
		return entries, next, nil
	}
	var listed rest.Unique
	return rest.PagesAhead(ctx, name, fetch, func(entries []jsontext.Value) error {
		last := ""
		if seen := len(listed.Keys); seen > 0 {
			last = listed.Keys[seen-1]
		}
		if last != "" && len(entries) == 0 {
			return fmt.Errorf("%s: %w: %w: read again", name, source.ErrIncomplete, errShifted)
		}
		return rest.Each(name, entries, func(entry T) error {
			if last != "" {
				again := key(entry) == last
				if last = ""; !again {
					return fmt.Errorf("%s: %w: %w: read again", name, source.ErrIncomplete, errShifted)
				}
				return nil
			}
			if err := listed.Add(key(entry)); err != nil {
				return fmt.Errorf("%s: %w: %w", name, err, errShifted)
			}
			return use(entry)
		})
	})
}

// group is a group in the tree. Before version 23, Keycloak put the groups below into it and did not count them.
type group struct {
	ID     string  `json:"id"`
	Path   string  `json:"path"`
	Below  []group `json:"subGroups"`
	Count  int     `json:"subGroupCount"`
	parent string
	hidden bool // not in scope itself, but below a group that is
}

func (g group) key() string { return g.ID }

func (g group) name() string { return strings.TrimPrefix(g.Path, "/") }

// groups shows the groups in scope. With Nested, groups come after those below them, whose members they then have too.
func (r *Reader) groups(ctx context.Context, shown *reading.Reading) error {
	all, err := r.tree(ctx)
	if err != nil {
		return err
	}
	groups, inScope := []group{}, map[string]bool{}
	for _, g := range all { // parents before children
		matches := r.names.Match(g.name())
		g.hidden = !matches
		inScope[g.ID] = matches || r.options.Nested && inScope[g.parent]
		if inScope[g.ID] {
			groups = append(groups, g)
		}
	}
	if len(groups) > source.MaxGroups {
		return fmt.Errorf("keycloak: %w: more than %d groups: narrow their names", source.ErrMalformed,
			source.MaxGroups)
	}
	if r.options.Nested {
		slices.SortFunc(groups, func(a, b group) int { return strings.Compare(b.Path, a.Path) })
	}
	below := map[string][]string{} // members of the groups below one that was not shown yet
	return rest.InOrder(ctx, groups, r.options.InFlight, r.members, func(g group, members []string) error {
		if r.options.Nested {
			members = append(members, below[g.ID]...)
			delete(below, g.ID)
			slices.Sort(members)
			members = slices.Compact(members)
			if inScope[g.parent] {
				below[g.parent] = append(below[g.parent], members...)
			}
		}
		if g.hidden {
			return nil
		}
		return shown.Group(source.Group{Key: g.ID, Name: g.name(), Members: slices.Clone(members)})
	})
}

// maxDepth bounds the tree of groups.
const maxDepth = 50

// tree lists all groups, level by level.
func (r *Reader) tree(ctx context.Context) ([]group, error) {
	level, err := r.children(ctx, group{})
	var all []group
	for depth := 0; err == nil && len(level) > 0; depth++ {
		if depth == maxDepth || len(all)+len(level) > source.MaxGroups {
			return nil, fmt.Errorf("keycloak: %w: groups are nested more than %d deep, or there are more than %d",
				source.ErrMalformed, maxDepth, source.MaxGroups)
		}
		all = append(all, level...)
		var parents, below []group
		for _, g := range level {
			if len(g.Below) > 0 || g.Count > 0 {
				parents = append(parents, g)
			}
		}
		err = rest.InOrder(ctx, parents, r.options.InFlight, r.children, func(_ group, children []group) error {
			below = append(below, children...)
			return nil
		})
		level = below
	}
	return all, err
}

// children lists the groups below a group; those at the top if it has no key.
func (r *Reader) children(ctx context.Context, parent group) ([]group, error) {
	request := rest.Request{Operation: "list groups", Path: "/groups",
		Query: url.Values{"briefRepresentation": {"true"}}}
	if parent.ID != "" {
		segment, err := rest.Segment(parent.ID)
		if err != nil {
			return nil, fmt.Errorf("keycloak: %w: a group has no key", source.ErrMalformed)
		}
		request.Path = "/groups/" + segment + "/children"
		request.NotFound = source.ErrIncomplete
	}
	children := parent.Below
	if len(children) == 0 {
		if err := list(ctx, r, request, mostPeople, group.key, func(g group) error {
			children = append(children, g)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	for i, child := range children {
		if child.ID == "" || !strings.HasPrefix(child.Path, parent.Path+"/") {
			return nil, fmt.Errorf("keycloak: list groups: %w: a group has no key, or a path that is not below %.100q",
				source.ErrMalformed, parent.Path)
		}
		children[i].parent = parent.ID
	}
	if parent.Count > len(children) {
		return nil, fmt.Errorf("keycloak: list groups: %w: %.100q has %d groups and showed %d: read again",
			source.ErrIncomplete, parent.Path, parent.Count, len(children))
	}
	return children, nil
}

// members lists the keys of a group's own members. A group that is deleted meanwhile makes the read incomplete.
func (r *Reader) members(ctx context.Context, g group) ([]string, error) {
	segment, err := rest.Segment(g.ID)
	if err != nil {
		return nil, fmt.Errorf("keycloak: %w: a group has no key", source.ErrMalformed)
	}
	type member struct {
		ID string `json:"id"`
	}
	var keys []string
	err = list(ctx, r, rest.Request{Operation: "list members", Path: "/groups/" + segment + "/members",
		Query: url.Values{"briefRepresentation": {"true"}}, NotFound: source.ErrIncomplete}, mostPeople,
		func(m member) string { return m.ID }, func(m member) error { keys = append(keys, m.ID); return nil })
	return keys, err
}
