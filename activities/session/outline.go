package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// Limits of the lists in groups/search, and how many role-assignment calls run at once.
const (
	mostResources = 20
	mostRoles     = 10
	MostGroupIDs  = 10
	outlineAtOnce = 4
)

// RunInput identifies a run of an organization under a policy.
type RunInput struct {
	Org     string `json:"org"`
	Run     string `json:"run"`
	Policy  string `json:"policy"`
	Preview bool   `json:"preview,omitempty"` // decide and record, but do not update the ledger's state of the organization
	// Execution is that of the run's workflow as it began; "" if another workflow calls. See CurrentRuns.
	Execution string `json:"execution,omitempty"`
}

// KeepOutline stores the outline that a run is bound to.
func (s *Session) KeepOutline(ctx context.Context, in RunInput, o RunOutline) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	s.saved = s.Now().Truncate(time.Microsecond) // with the ledger's precision
	return s.Ledger.SaveOutline(ctx, in.Org, in.Run, in.Policy, body, s.saved)
}

// OutlineOf returns the outline that a run was bound to.
func (s *Session) OutlineOf(ctx context.Context, run string) (o RunOutline, err error) {
	body, err := s.Ledger.Outline(ctx, s.Org, run)
	if err != nil {
		return o, fmt.Errorf("outline of run %s of organization %s: %w", run, s.Org, err)
	}
	return o, json.Unmarshal(body, &o)
}

// LatestOutline returns the newest outline read under the session's policy; ok is false if there is none.
func (s *Session) LatestOutline(ctx context.Context) (o RunOutline, ok bool, err error) {
	_, body, _, err := s.Ledger.LatestOutline(ctx, s.Org, s.Policy.Hash())
	if errors.Is(err, ledger.ErrNotFound) {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	if err := json.Unmarshal(body, &o); err != nil {
		return o, false, err
	}
	o.Coming = false                       // of that run only
	o.Last.Groups, err = s.groupLinks(ctx) // others may have been linked since
	return o, true, err
}

// Bind binds the policy to an outline, for the run.
func (s *Session) Bind(run string, o RunOutline) *policy.Bound {
	b := s.Bound(o)
	s.KeepBound(run, b)
	return b
}

// Bound binds the policy to an outline.
func (s *Session) Bound(o RunOutline) *policy.Bound {
	bind := policy.BindSince
	if o.Coming {
		bind = policy.BindWithPlannedGroups
	}
	b, _ := bind(s.Policy, o.Outline, o.Last)
	acting := map[string]bool{}
	for _, key := range o.Acting {
		acting[key] = true
	}
	return b.WithActing(acting).WithSources(s.sources)
}

// ConsentedRules returns the keys of the enforced rules whose changes somebody approved.
func (s *Session) ConsentedRules(ctx context.Context, b *policy.Bound) ([]string, error) {
	enforced := b.EnforcedRuleKeys()
	if len(enforced) == 0 {
		return nil, nil
	}
	known, err := s.Ledger.Rules(ctx, s.Org)
	return slices.DeleteFunc(enforced, func(key string) bool { return known[key].Released.IsZero() }), err
}

// Adopted reports whether the first plan was approved; before that nothing at all is written.
func (s *Session) Adopted(ctx context.Context) (bool, error) {
	known, err := s.Ledger.Organization(ctx, s.Org)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	return !known.AdoptedAt.IsZero(), err
}

// LastGood returns the basis of the last good run: source groups that are gone since then still decide whose removals
// wait, and groups that are no longer default still lose the members that Castellan added.
func (s *Session) LastGood(ctx context.Context) (policy.Last, error) {
	counts, err := s.Ledger.SourceCounts(ctx, s.Org)
	if err != nil {
		return policy.Last{}, err
	}
	var last policy.Last
	for _, c := range counts {
		last.Sources = append(last.Sources, c.Name)
	}
	slices.Sort(last.Sources)
	if last.Granted, err = s.Ledger.GrantedTargets(ctx, s.Org); err != nil {
		return policy.Last{}, err
	}
	if last.Domains, err = s.Ledger.Domains(ctx, s.Org); err != nil {
		return policy.Last{}, err
	}
	if last.Groups, err = s.groupLinks(ctx); err != nil {
		return policy.Last{}, err
	}
	last.Defaults, err = s.Ledger.KnownDefaults(ctx, s.Org)
	return last, err
}

// groupLinks returns the groups that follow groups of identity sources.
func (s *Session) groupLinks(ctx context.Context) ([]policy.GroupLink, error) {
	if len(s.Policy.Groups) == 0 {
		return nil, nil
	}
	known, err := s.Ledger.GroupLinks(ctx, s.Org)
	links := make([]policy.GroupLink, len(known))
	for i, g := range known {
		links[i] = policy.GroupLink{Source: access.SourceGroupID(g.Source, g.Key), Name: g.Name, Group: g.GroupID}
	}
	return links, err
}

// UnfollowedGroups returns the groups of sources that were linked and that nothing follows any more, since their source
// no longer shows them, or the policy does not want it.
func UnfollowedGroups(b *policy.Bound, last policy.Last) (gone []ledger.Ref) {
	for _, l := range last.Groups {
		if !slices.ContainsFunc(b.Pairs(), func(p policy.GroupPair) bool { return p.Linked && p.Source == l.Source }) {
			source, key := access.SourceGroupRef(l.Source)
			gone = append(gone, ledger.Ref{Source: source, Key: key})
		}
	}
	return gone
}

// RunOutline is the outline that a run was bound to, stored so that every activity of the run binds the same.
type RunOutline struct {
	access.Outline
	Last policy.Last `json:"last"`
	// Acting are the keys of the rules whose changes the run makes: in a full run all that are enforced, since changes
	// that nobody has approved are held there; in others those that somebody approved.
	Acting []string `json:"acting,omitempty"`
	// Coming treats groups that mappings will create as existing: in runs whose plan is only shown, or waits for the
	// first approval, before they are created.
	Coming bool `json:"coming,omitempty"`
}

// ReadOutline reads groups, sites, domains and roles, as far as the policy needs them.
func (s *Session) ReadOutline(ctx context.Context, last policy.Last) (access.Outline, error) {
	o := access.Outline{Directory: s.Directory}
	opensNothing := map[string]bool{}
	err := s.eachGroup(ctx, organization.GroupQuery{Limit: PageSize,
		Expand: []string{"counts.users", "counts.resources"}}, func(g organization.Group) {
		o.Groups = append(o.Groups, groupOf(g))
		opensNothing[g.ID] = g.Resources == 0 // it is -1 if the response does not tell
	})
	if err != nil {
		return o, err
	}
	if o.Groups, err = s.WithSourceGroups(ctx, o.Groups); err != nil {
		return o, err
	}
	if err := s.lookForLinked(ctx, &o, last.Groups); err != nil {
		return o, err
	}
	named := slices.Concat(s.Policy.Entitlements(), last.Granted)
	if needsSites(named) || s.Policy.NeedsActivity() || len(s.Policy.Groups) > 0 {
		if o.Sites, err = s.ReadSites(ctx); err != nil {
			return o, err
		}
	}
	if s.Policy.NeedsDomains() {
		if o.Domains, err = s.readDomains(ctx); err != nil {
			return o, err
		}
	}
	candidates, err := s.candidates(ctx, o, last, named, opensNothing)
	if err != nil {
		return o, err
	}
	o.Roles, err = s.GroupRoles(ctx, candidates)
	return o, err
}

// lookForLinked adds to an outline the groups that follow those of sources and that the search left out: another is
// made in place of one only if there is none. Nothing is made for a group that its source no longer has.
//
// Calls: one for each group that the search does not show.
func (s *Session) lookForLinked(ctx context.Context, o *access.Outline, links []policy.GroupLink) error {
	shown := map[string]bool{}
	for _, g := range o.Groups {
		shown[g.ID] = true
	}
	for _, l := range links {
		if shown[l.Group] || !shown[l.Source] {
			continue
		}
		shown[l.Group] = true
		g, err := s.API.Group(ctx, s.Directory, l.Group)
		activity.RecordHeartbeat(ctx)
		switch {
		case errors.Is(err, organization.ErrNotFound):
		case err != nil:
			return WrapAPIError("look for the group that follows "+l.Name+", which the search does not show", err)
		default:
			o.Groups = append(o.Groups, groupOf(g))
		}
	}
	return nil
}

// ReadGroups returns all results of a group search.
func (s *Session) ReadGroups(ctx context.Context, q organization.GroupQuery) ([]access.Group, error) {
	var groups []access.Group
	err := s.eachGroup(ctx, q, func(g organization.Group) { groups = append(groups, groupOf(g)) })
	return groups, err
}

// OpeningGroups returns the names of those groups that give a role on some app, as far as the group search tells.
//
// Calls: one for ten groups.
func (s *Session) OpeningGroups(ctx context.Context, ids []string) (names []string, err error) {
	for _, some := range Chunks(ids, MostGroupIDs) {
		q := organization.GroupQuery{GroupIDs: some, Limit: PageSize, Expand: []string{"counts.resources"}}
		if err := s.eachGroup(ctx, q, func(g organization.Group) {
			if g.Resources > 0 {
				names = append(names, g.Name)
			}
		}); err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

// eachGroup visits all results of a group search.
func (s *Session) eachGroup(ctx context.Context, q organization.GroupQuery, visit func(organization.Group)) error {
	what := "read the groups of organization " + s.Org
	return EveryPage(ctx, what, boundGroups, func(cursor string) (organization.Page[organization.Group], error) {
		q.Cursor = cursor
		page, err := s.API.SearchGroups(ctx, s.Directory, q)
		return page, WrapAPIError(what, err)
	}, func(groups []organization.Group) (bool, error) {
		for _, g := range groups {
			visit(g)
		}
		return true, nil
	})
}

func groupOf(g organization.Group) access.Group {
	return access.Group{
		ID: g.ID, Name: g.Name, Synced: g.ExternalSynced || g.ManagedBy == "external",
		Modifiable: g.Modifiable, Users: g.Users, Resources: g.Resources,
	}
}

// ReadSites reads the apps on sites.
func (s *Session) ReadSites(ctx context.Context) ([]access.Site, error) {
	var sites []access.Site
	what := "read the sites of organization " + s.Org
	err := EveryPage(ctx, what, boundSites, func(cursor string) (organization.Page[organization.Workspace], error) {
		page, err := s.API.Workspaces(ctx, cursor)
		return page, WrapAPIError(what, err)
	}, func(workspaces []organization.Workspace) (bool, error) {
		for _, w := range workspaces {
			if site, ok := siteOf(w); ok {
				sites = append(sites, site)
			}
		}
		return true, nil
	})
	return sites, err
}

// FreshRules returns the keys of the enforced rules whose changes nobody has approved yet.
func (s *Session) FreshRules(ctx context.Context, b *policy.Bound) (map[string]bool, error) {
	enforced := b.EnforcedRuleKeys()
	if len(enforced) == 0 {
		return nil, nil
	}
	known, err := s.Ledger.Rules(ctx, s.Org)
	fresh := map[string]bool{}
	for _, key := range enforced {
		fresh[key] = known[key].Released.IsZero()
	}
	return fresh, err
}

// readDomains reads the organization's verified domains. An unverified one proves nothing about its people.
func (s *Session) readDomains(ctx context.Context) ([]string, error) {
	domains := []string{}
	err := s.EachDomain(ctx, func(d organization.Domain) {
		if d.Verified() {
			domains = append(domains, access.FoldDomain(d.Name))
		}
	})
	slices.Sort(domains)
	return domains, err
}

// EachDomain visits the domains that the organization has claimed.
func (s *Session) EachDomain(ctx context.Context, visit func(organization.Domain)) error {
	what := "read the domains of organization " + s.Org
	return EveryPage(ctx, what, boundDomains, func(cursor string) (organization.Page[organization.Domain], error) {
		page, err := s.API.Domains(ctx, cursor)
		return page, WrapAPIError(what, err)
	}, func(domains []organization.Domain) (bool, error) {
		for _, d := range domains {
			visit(d)
		}
		return true, nil
	})
}

func needsSites(named []access.Entitlement) bool {
	return slices.ContainsFunc(named, func(e access.Entitlement) bool { _, _, _, ok := e.AppSiteRole(); return ok })
}

// candidates returns the groups whose roles matter: those that give a role named by the policy, found by one search
// over all resources and roles, and the policy's own target groups, whose apps the guard has to know, except those that
// open nothing according to the directory.
func (s *Session) candidates(ctx context.Context, o access.Outline, last policy.Last, named []access.Entitlement,
	opensNothing map[string]bool) ([]string, error) {
	resources, roles := map[string]bool{}, map[string]bool{}
	for _, e := range named {
		app, site, role, ok := e.AppSiteRole()
		if !ok {
			continue
		}
		for _, known := range o.Sites {
			if known.App == app && known.Site == site {
				resources[known.Resource] = true
				roles["atlassian/"+role] = true
			}
		}
	}
	ids := map[string]bool{}
	for _, some := range Chunks(SortedKeys(resources), mostResources) {
		for _, give := range Chunks(SortedKeys(roles), mostRoles) {
			groups, err := s.ReadGroups(ctx, organization.GroupQuery{Limit: PageSize, ResourceIDs: some, RoleIDs: give})
			if err != nil {
				return nil, err
			}
			for _, g := range groups {
				ids[g.ID] = true
			}
		}
	}
	bound, _ := policy.BindSince(s.Policy, o, last)
	for _, t := range bound.Targets {
		if t.GroupID != "" && !opensNothing[t.GroupID] {
			ids[t.GroupID] = true
		}
	}
	for _, p := range bound.Pairs() { // whoever decides on a conflict has to know what the group opens
		if p.Entry != "" && !opensNothing[p.Group] {
			ids[p.Group] = true
		}
	}
	synced, err := s.syncedNames(ctx, bound, o)
	for _, g := range o.Groups {
		if synced[access.Fold(g.Name)] && g.Source == "" && !opensNothing[g.ID] {
			ids[g.ID] = true
		}
	}
	return SortedKeys(ids), err
}

// GroupRoles reads the roles that groups give.
//
// Calls: one for each group that gives roles on up to a hundred resources.
func (s *Session) GroupRoles(ctx context.Context, groups []string) ([]access.RoleAssignment, error) {
	found := make([][]access.RoleAssignment, len(groups))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(outlineAtOnce)
	for i, group := range groups {
		work.Go(func() error {
			what := "read the roles of group " + group + " of organization " + s.Org
			return EveryPage(ctx, what, BoundRoles,
				func(cursor string) (organization.Page[organization.RoleAssignment], error) {
					page, err := s.API.GroupRoleAssignments(ctx, s.Directory, group, cursor)
					return page, WrapAPIError(what, err)
				}, func(assigned []organization.RoleAssignment) (bool, error) {
					for _, r := range assigned {
						for _, role := range r.Roles {
							found[i] = append(found[i], access.RoleAssignment{
								GroupID: group, Resource: r.ResourceID, Role: role, Default: r.DefaultRole == role,
							})
						}
					}
					return true, nil
				})
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// SortedKeys returns the keys of a map in order.
func SortedKeys[V any](set map[string]V) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Governed binds the policy to the last outline, with the sites and domains if no rule needed those there.
//
// Calls: up to two.
func (s *Session) Governed(ctx context.Context) (*policy.Bound, error) {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, NonRetryable(ErrUnknown,
			fmt.Errorf("organization %s was not verified under its policy yet; ask again after the first full verification", s.Org))
	}
	enforced, _ := policy.BindSince(s.Policy, outline.Outline, outline.Last)
	if outline.Acting, err = s.ConsentedRules(ctx, enforced); err != nil {
		return nil, err
	}
	if outline.Sites == nil {
		if outline.Sites, err = s.ReadSites(ctx); err != nil {
			return nil, err
		}
	}
	if outline.Domains == nil {
		if outline.Domains, err = s.readDomains(ctx); err != nil {
			var app *temporal.ApplicationError
			if !errors.As(err, &app) || app.Type() != ErrForbidden {
				return nil, err
			}
			outline.Domains = nil // without them it is unknown who is external
		}
	}
	return s.Bound(outline), nil
}

// LiveTarget returns the group that a target of the policy (default:…) means in the last outline.
func (a *Env) LiveTarget(ctx context.Context, org string, written access.Entitlement) (access.Entitlement, error) {
	e, err := access.ParseEntitlement(string(written))
	if err != nil {
		return "", NonRetryable(ErrUnknown, err)
	}
	version, err := a.Ledger.Policy(ctx, org, "")
	if err != nil {
		return e, nil //nolint:nilerr // without a policy the written form is the only one
	}
	s, err := a.Open(ctx, org, version.Hash)
	if err != nil {
		return e, nil
	}
	if b, _, err := s.Watched(ctx); err == nil && b != nil {
		if i, ok := b.Target(e); ok {
			return b.Targets[i].Entitlement, nil
		}
	}
	return e, nil
}

// Watched returns the bound policy of the last outline and all its groups by ID. Both are nil before the first outline.
func (s *Session) Watched(ctx context.Context) (*policy.Bound, map[string]access.Group, error) {
	o, ok, err := s.LatestOutline(ctx)
	if err != nil || !ok {
		return nil, nil, err
	}
	groups := make(map[string]access.Group, len(o.Groups))
	for _, g := range o.Groups {
		if !access.IsSourceGroup(g.ID) { // the watch compares with Atlassian's
			groups[g.ID] = g
		}
	}
	b, _ := policy.BindSince(s.Policy, o.Outline, o.Last)
	return b, groups, nil
}

// siteOf returns the app on a site that a workspace is. The app's key is the service part of the resource identifier
// (ari:cloud:<key>::site/<id>), which is more stable than the workspace's type fields. ok is false for any other
// workspace.
func siteOf(w organization.Workspace) (site access.Site, ok bool) {
	app := access.AppOf(w.ID)
	return access.Site{App: app, Site: w.Site(), Resource: w.ID}, app != "" && w.Site() != ""
}
