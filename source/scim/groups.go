package scim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// group is one as the service shows it.
type group struct {
	key, name string
	shows     bool     // its members, even if it has none
	people    []string // keys
	groups    []string // keys of groups in it
	unsure    []string // keys of people or groups
}

// groups shows the groups. Their members are held until all are known.
func (r *Reader) groups(ctx context.Context, shown *reading.Reading, direct memberships) error {
	listed, err := r.listGroups(ctx)
	if err != nil {
		return err
	}
	if err = r.fetchMembers(ctx, listed); err != nil {
		return err
	}
	byKey := make(map[string]*group, len(listed))
	for _, g := range listed {
		byKey[g.key] = g
	}
	for _, g := range listed {
		g.decide(byKey, shown)
		if direct[g.key] > len(g.people) {
			return fmt.Errorf("scim: %w: the group %.100q shows %d members, and %d people say that they are in it: it "+
				"shows only some of them, or people joined or left meanwhile: read again", source.ErrIncomplete, g.key,
				len(g.people), direct[g.key])
		}
	}
	for _, g := range listed {
		members := slices.Clone(g.people)
		if r.options.Nested {
			if members, err = r.withNested(ctx, g, byKey, shown); err != nil {
				return err
			}
		}
		if err = shown.Group(source.Group{Key: g.key, Name: g.name, Members: members}); err != nil {
			return fmt.Errorf("scim: %w", err)
		}
	}
	if r.options.Nested {
		nested(byKey, shown)
	}
	return nil
}

// nested takes which groups are in which, those that the filter left out included, once all were followed.
func nested(byKey map[string]*group, shown *reading.Reading) {
	keys := slices.Sorted(maps.Keys(byKey))
	index := make(map[string]int32, len(keys))
	for i, key := range keys {
		index[key] = int32(i)
	}
	inner := make([][]int32, len(keys))
	for i, key := range keys {
		for _, id := range byKey[key].groups {
			inner[i] = append(inner[i], index[id])
		}
	}
	shown.Nested(len(keys), func(g int32) string { return byKey[keys[g]].name },
		func(g int32) []int32 { return inner[g] })
}

func (r *Reader) listGroups(ctx context.Context) (listed []*group, err error) {
	err = twice("groups", func() error {
		listed = nil
		seen := map[string]bool{}
		_, err = r.list(ctx, "groups", "/Groups", r.options.GroupFilter, func(resource map[string]any) error {
			g, err := parseGroup(resource)
			if err != nil {
				return err
			}
			if seen[g.key] {
				return unsteadyf("%.100q was shown twice, so that others may be missing", g.key)
			}
			if len(seen) == source.MaxGroups {
				return fmt.Errorf("scim: %w: more than %d groups: limit them by a filter", source.ErrMalformed,
					source.MaxGroups)
			}
			seen[g.key] = true
			listed = append(listed, g)
			return nil
		})
		return err
	})
	return listed, err
}

func parseGroup(resource map[string]any) (*group, error) {
	malformed := func(err error) error { return fmt.Errorf("scim: %w: a group: %w", source.ErrMalformed, err) }
	if err := distinct(resource); err != nil {
		return nil, malformed(err)
	}
	all := folded(resource)
	g := &group{}
	var err error
	if g.key, err = key(all["id"]); err != nil {
		return nil, malformed(fmt.Errorf("its id: %w", err))
	}
	if g.name, _ = all["displayname"].(string); g.name == "" {
		g.name = g.key
	}
	members, shows := all["members"]
	if !shows {
		return g, nil
	}
	list, is := members.([]any)
	if !is {
		return nil, malformed(fmt.Errorf("the members of %.100q are not a list", g.key))
	}
	g.shows = true
	for _, one := range list {
		if err = g.addMember(one); err != nil {
			return nil, malformed(fmt.Errorf("a member of %.100q: %w", g.key, err))
		}
	}
	return g, nil
}

func (g *group) addMember(one any) error {
	entry, is := one.(map[string]any)
	if !is {
		return errors.New("not an object")
	}
	entry = folded(entry)
	id, err := key(entry["value"])
	if err != nil {
		return fmt.Errorf("its value: %w", err)
	}
	kind, _ := entry["type"].(string)
	ref, _ := entry["$ref"].(string)
	if kind == "" && strings.Contains(strings.ToLower(ref), "/groups/") {
		kind = "Group"
	}
	if kind == "" && strings.Contains(strings.ToLower(ref), "/users/") {
		kind = "User"
	}
	switch {
	case strings.EqualFold(kind, "Group"):
		g.groups = append(g.groups, id)
	case strings.EqualFold(kind, "User"):
		g.people = append(g.people, id)
	case kind == "":
		g.unsure = append(g.unsure, id)
	}
	return nil // a device or the like is no member
}

// decide sorts out members of whom the service does not say what they are.
func (g *group) decide(byKey map[string]*group, shown *reading.Reading) {
	for _, id := range g.unsure {
		if _, is := byKey[id]; is && !shown.Seen(id) {
			g.groups = append(g.groups, id)
		} else {
			g.people = append(g.people, id)
		}
	}
	g.unsure = nil
	slices.Sort(g.people)
	g.people = slices.Compact(g.people)
}

// fetchMembers asks for each group whose members the list did not show. Services leave an attribute out if it is empty,
// if it was not asked for, or if the account may not see it; it is empty only if others are shown.
func (r *Reader) fetchMembers(ctx context.Context, listed []*group) error {
	for _, query := range []url.Values{nil, {"attributes": {"displayName,members"}}} {
		missing := []*group{}
		for _, g := range listed {
			if !g.shows {
				missing = append(missing, g)
			}
		}
		if query != nil && len(missing) < len(listed) {
			return nil
		}
		err := rest.InOrder(ctx, missing, r.options.InFlight, func(ctx context.Context, g *group) (*group, error) {
			return r.getGroup(ctx, g.key, query)
		}, func(g, got *group) error {
			g.shows, g.people, g.groups, g.unsure = got.shows, got.people, got.groups, got.unsure
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(listed) > 0 && !slices.ContainsFunc(listed, func(g *group) bool { return g.shows }) {
		return fmt.Errorf("scim: %w: none of the %d groups shows members: let this account read them. If all groups "+
			"are empty, do not read groups yet", source.ErrIncomplete, len(listed))
	}
	return nil
}

// getGroup reads one group. One that is deleted meanwhile makes the read incomplete.
func (r *Reader) getGroup(ctx context.Context, id string, query url.Values) (*group, error) {
	segment, err := rest.Segment(id)
	if err != nil {
		return nil, err
	}
	request := r.request("read a group", "/Groups/"+segment)
	request.Query = query
	var answer reading.Attributes
	_, err = r.client.Do(ctx, request, &answer)
	var failure *rest.Error
	if errors.As(err, &failure) && failure.Status == http.StatusNotFound {
		return nil, fmt.Errorf("scim: %w: the group %.100q disappeared while it was read: %w", source.ErrIncomplete, id,
			err)
	}
	if err != nil {
		return nil, err
	}
	g, err := parseGroup(answer)
	if err == nil && g.key != id {
		err = fmt.Errorf("scim: %w: asked for the group %.100q, it answered with %.100q", source.ErrMalformed, id,
			g.key)
	}
	return g, err
}

// withNested returns the members of a group and of all groups in it. Groups that the filter left out are asked for.
func (r *Reader) withNested(ctx context.Context, g *group, byKey map[string]*group, shown *reading.Reading) ([]string,
	error) {
	var members []string
	entered := map[string]bool{g.key: true}
	for waiting := []*group{g}; len(waiting) > 0; {
		next := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		members = append(members, next.people...)
		for _, id := range next.groups {
			if entered[id] {
				continue
			}
			entered[id] = true
			inner := byKey[id]
			if inner == nil {
				var err error
				if inner, err = r.getGroup(ctx, id, nil); err != nil {
					return nil, err
				}
				inner.decide(byKey, shown)
				byKey[id] = inner
			}
			waiting = append(waiting, inner)
		}
	}
	return members, nil
}
