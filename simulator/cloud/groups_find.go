package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// groupQuery is the body of groups/search.
type groupQuery struct {
	Cursor         string   `json:"cursor,omitempty"`
	Limit          *int     `json:"limit,omitempty"`
	SortBy         []sortBy `json:"sortBy,omitempty"`
	AccountIDs     []string `json:"accountIds,omitempty"`
	DirectoryIDs   []string `json:"directoryIds,omitempty"`
	GroupIDs       []string `json:"groupIds,omitempty"`
	GroupNames     []string `json:"groupNames,omitempty"`
	SearchTerm     string   `json:"searchTerm,omitempty"`
	RoleIDs        []string `json:"roleIds,omitempty"`
	ResourceIDs    []string `json:"resourceIds,omitempty"`
	ResourceOwners []string `json:"resourceOwners,omitempty"`
	Expand         []string `json:"expand,omitempty"`
}

func (q *groupQuery) check() error {
	if q.GroupIDs != nil && q.GroupNames != nil {
		return fmt.Errorf("groupIds and groupNames exclude each other")
	}
	if q.GroupNames != nil && q.SearchTerm != "" {
		return fmt.Errorf("groupNames and searchTerm exclude each other")
	}
	return firstError(
		limits(q.Limit, maxLimit),
		checkSort(q.SortBy, "name"),
		bounds("accountIds", q.AccountIDs, 10, true),
		bounds("directoryIds", q.DirectoryIDs, 10, true),
		bounds("groupIds", q.GroupIDs, 10, true),
		bounds("groupNames", q.GroupNames, 100, true),
		bounds("roleIds", q.RoleIDs, 10, true),
		bounds("resourceIds", q.ResourceIDs, 20, true),
		bounds("resourceOwners", q.ResourceOwners, 10, true),
		bounds("expand", q.Expand, 2, true),
		oneOf("expand", q.Expand, "counts.resources", "counts.users"),
	)
}

// findGroups returns up to limit groups after a sort key; next is empty at the end.
func (c *Cloud) findGroups(q *groupQuery, v view, after string, limit int) (found []*group, next string) {
	candidates, desc := c.groupCandidates(q, v), descending(q.SortBy)
	at := 0
	if desc {
		candidates = slices.Clone(candidates)
		slices.Reverse(candidates)
	}
	if after != "" {
		at, _ = slices.BinarySearchFunc(candidates, after, func(g *group, key string) int {
			order := strings.Compare(g.sortKey(), key)
			if desc {
				order = -order
			}
			if order <= 0 { // the key itself was on the page before
				return -1
			}
			return 1
		})
	}
	for _, g := range candidates[at:] {
		if !c.groupMatches(g, q, v) {
			continue
		}
		if len(found) == limit {
			return found, found[limit-1].sortKey()
		}
		found = append(found, g)
	}
	return found, ""
}

// groupCandidates returns a small list that has all matches, ordered by name. It may include deleted groups, which a
// view of the past still shows.
func (c *Cloud) groupCandidates(q *groupQuery, v view) []*group {
	var some []*group
	switch {
	case q.GroupIDs != nil:
		for _, id := range q.GroupIDs {
			if g := c.groupByID[strings.TrimPrefix(id, groupARI)]; g != nil {
				some = append(some, g)
			}
		}
	case q.AccountIDs != nil:
		for _, id := range q.AccountIDs {
			if u := c.userByID[id]; u != nil {
				some = append(some, v.groupsOf(u)...)
			}
		}
	default:
		return c.groups
	}
	slices.SortFunc(some, func(a, b *group) int { return strings.Compare(a.sortKey(), b.sortKey()) })
	return slices.Compact(some)
}

func (c *Cloud) groupMatches(g *group, q *groupQuery, v view) bool {
	switch {
	case !v.shows(g):
		return false
	case q.GroupNames != nil && !slices.ContainsFunc(q.GroupNames,
		func(name string) bool { return strings.EqualFold(name, g.name) }):
		return false
	case q.SearchTerm != "" && !strings.Contains(g.key, strings.ToLower(q.SearchTerm)):
		return false
	case q.DirectoryIDs != nil && !slices.Contains(q.DirectoryIDs, c.info.DirectoryID):
		return false
	case q.AccountIDs != nil && !slices.ContainsFunc(q.AccountIDs, func(id string) bool {
		u := c.userByID[id]
		return u != nil && slices.Contains(v.groupsOf(u), g)
	}):
		return false
	case q.RoleIDs == nil && q.ResourceIDs == nil && q.ResourceOwners == nil:
		return true
	}
	return slices.ContainsFunc(g.grants, func(grant roleGrant) bool {
		return (q.RoleIDs == nil || slices.Contains(q.RoleIDs, grant.role)) &&
			(q.ResourceIDs == nil || slices.Contains(q.ResourceIDs, grant.resource.ari)) &&
			(q.ResourceOwners == nil || slices.Contains(q.ResourceOwners, grant.resource.owner))
	})
}
