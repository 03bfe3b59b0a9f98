package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// Array bounds of groups/search and how many role-assignment calls run at once.
const (
	mostResources = 20
	mostRoles     = 10
	mostGroupIDs  = 10
	outlineAtOnce = 4
)

// RunInput names a run of an organization under a policy.
type RunInput struct {
	Org     string `json:"org"`
	Run     string `json:"run"`
	Policy  string `json:"policy"`
	Preview bool   `json:"preview,omitempty"` // decide and record, but leave what the ledger knows of the world alone
}

// OutlineInput begins a full run.
type OutlineInput struct {
	RunInput
	Trigger string    `json:"trigger"`
	By      string    `json:"by,omitempty"`
	DryRun  bool      `json:"dryRun,omitempty"`
	Started time.Time `json:"started"`
}

func (in OutlineInput) record() ledger.Run {
	return ledger.Run{
		Org: in.Org, ID: in.Run, Trigger: in.Trigger, Scope: messages.ScopeFull, Policy: in.Policy, By: in.By,
		DryRun: in.DryRun, Preview: in.Preview, State: messages.RunReading, Started: in.Started,
	}
}

// OutlineResult is what an outline showed.
type OutlineResult struct {
	Groups  int `json:"groups"`
	Targets int `json:"targets"`
	Calls   int `json:"calls"`
}

// Outline reads the organization's groups, sites and default roles, and binds the policy to them. It creates the groups
// that the policy asks to create, unless it is a preview. A repeat reads again and replaces.
//
// Calls: groups/100, one or two for sites, one for domains where a rule asks who is from outside, one per group that gives a role the policy names.
func (a *Activities) Outline(ctx context.Context, in OutlineInput) (OutlineResult, error) {
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return OutlineResult{}, err
	}
	last, err := s.lastGood(ctx)
	if err != nil {
		return OutlineResult{}, err
	}
	if err := s.ledger.BeginRun(ctx, in.record()); err != nil { // its outline stays while it runs
		return OutlineResult{}, err
	}
	outline, err := s.readOutline(ctx, last)
	if err != nil {
		return OutlineResult{}, err
	}
	bound, _ := policy.BindSince(s.policy, outline, last)
	adopted, err := s.adopted(ctx)
	if err != nil {
		return OutlineResult{}, err
	}
	if len(bound.Create) > 0 && adopted && !in.Preview && !s.policy.DryRun {
		if outline, err = s.createGroups(ctx, in.Run, outline, bound.Create); err != nil {
			return OutlineResult{}, err
		}
		bound, _ = policy.BindSince(s.policy, outline, last)
	}
	if err := s.keepOutline(ctx, in.RunInput, runOutline{outline, last, bound.Rules()}); err != nil {
		return OutlineResult{}, err
	}
	s.keepBound(in.Run, bound)
	return OutlineResult{
		Groups: len(outline.Groups), Targets: len(bound.Targets), Calls: s.made(),
	}, nil
}

func (s *session) keepOutline(ctx context.Context, in RunInput, o runOutline) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.ledger.SaveOutline(ctx, in.Org, in.Run, in.Policy, body, s.now())
}

func (s *session) outlineOf(ctx context.Context, run string) (o runOutline, err error) {
	body, err := s.ledger.Outline(ctx, s.org, run)
	if err != nil {
		return o, fmt.Errorf("outline of run %s of organization %s: %w", run, s.org, err)
	}
	return o, json.Unmarshal(body, &o)
}

// latestOutline is the newest outline read under the session's policy; ok is false when there is none.
func (s *session) latestOutline(ctx context.Context) (o runOutline, ok bool, err error) {
	_, body, _, err := s.ledger.LatestOutline(ctx, s.org, s.policy.Hash())
	if errors.Is(err, ledger.ErrNotFound) {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	return o, true, json.Unmarshal(body, &o)
}

func (s *session) bind(run string, o runOutline) *policy.Bound {
	b := s.bound(o)
	s.keepBound(run, b)
	return b
}

// bound joins the policy with an outline.
func (s *session) bound(o runOutline) *policy.Bound {
	b, _ := policy.BindSince(s.policy, o.Outline, o.Last)
	acting := map[string]bool{}
	for _, key := range o.Acting {
		acting[key] = true
	}
	return b.Acting(acting)
}

// consented are the keys of the enforced rules whose changes somebody consented to.
func (s *session) consented(ctx context.Context, b *policy.Bound) ([]string, error) {
	enforced := b.Rules()
	if len(enforced) == 0 {
		return nil, nil
	}
	known, err := s.ledger.Rules(ctx, s.org)
	return slices.DeleteFunc(enforced, func(key string) bool { return known[key].Released.IsZero() }), err
}

// adopted says that the first run was consented to; before that nothing at all is written.
func (s *session) adopted(ctx context.Context) (bool, error) {
	known, err := s.ledger.Organization(ctx, s.org)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	return !known.AdoptedAt.IsZero(), err
}

// lastGood is what the last good run stood on: source groups that are gone since still say whose removals wait, and groups
// that are no longer default are still emptied of what Castellan put there.
func (s *session) lastGood(ctx context.Context) (policy.Last, error) {
	counts, err := s.ledger.SourceCounts(ctx, s.org)
	if err != nil {
		return policy.Last{}, err
	}
	var last policy.Last
	for _, c := range counts {
		last.Sources = append(last.Sources, c.Name)
	}
	slices.Sort(last.Sources)
	if last.Granted, err = s.ledger.GrantedTargets(ctx, s.org); err != nil {
		return policy.Last{}, err
	}
	if last.Domains, err = s.ledger.Domains(ctx, s.org); err != nil {
		return policy.Last{}, err
	}
	last.Defaults, err = s.ledger.KnownDefaults(ctx, s.org)
	return last, err
}

// runOutline is what a run was bound to, kept so that every activity of the run binds the same.
type runOutline struct {
	access.Outline
	Last policy.Last `json:"last"`
	// Acting are the keys of the rules whose changes the run makes: in a full run all that are enforced, since what nobody has
	// consented to is held there; in others those that somebody consented to.
	Acting []string `json:"acting,omitempty"`
}

func (s *session) readOutline(ctx context.Context, last policy.Last) (access.Outline, error) {
	o := access.Outline{Directory: s.directory}
	groups, err := s.readGroups(ctx, organization.GroupQuery{Limit: pageSize, Expand: []string{"counts.users"}})
	if err != nil {
		return o, err
	}
	o.Groups = groups
	named := slices.Concat(s.policy.Entitlements(), last.Granted)
	if needsSites(named) || s.policy.NeedsActivity() {
		if o.Sites, err = s.readSites(ctx); err != nil {
			return o, err
		}
	}
	if s.policy.NeedsDomains() {
		if o.Domains, err = s.readDomains(ctx); err != nil {
			return o, err
		}
	}
	candidates, err := s.candidates(ctx, o, last, named)
	if err != nil {
		return o, err
	}
	o.Roles, err = s.readRoles(ctx, candidates)
	return o, err
}

func (s *session) readGroups(ctx context.Context, q organization.GroupQuery) ([]access.Group, error) {
	var groups []access.Group
	for {
		page, err := s.api.SearchGroups(ctx, s.directory, q)
		if err != nil {
			return nil, explain("read the groups of organization "+s.org, err)
		}
		activity.RecordHeartbeat(ctx)
		for _, g := range page.Items {
			groups = append(groups, access.Group{
				ID: g.ID, Name: g.Name, Synced: g.ExternalSynced || g.ManagedBy == "external",
				Modifiable: g.Modifiable, Users: g.Users,
			})
		}
		if page.Next == "" {
			return groups, nil
		}
		q.Cursor = page.Next
	}
}

func (s *session) readSites(ctx context.Context) ([]access.Site, error) {
	var sites []access.Site
	cursor := ""
	for {
		page, err := s.api.Workspaces(ctx, cursor)
		if err != nil {
			return nil, explain("read the sites of organization "+s.org, err)
		}
		for _, w := range page.Items {
			if site, ok := siteOf(w); ok {
				sites = append(sites, site)
			}
		}
		if cursor = page.Next; cursor == "" {
			return sites, nil
		}
	}
}

// fresh are the keys of the enforced rules whose changes nobody has consented to.
func (s *session) fresh(ctx context.Context, b *policy.Bound) (map[string]bool, error) {
	enforced := b.Rules()
	if len(enforced) == 0 {
		return nil, nil
	}
	known, err := s.ledger.Rules(ctx, s.org)
	fresh := map[string]bool{}
	for _, key := range enforced {
		fresh[key] = known[key].Released.IsZero()
	}
	return fresh, err
}

// readDomains reads the domains that the organization has verified. One that it has not says nothing of whose people are.
func (s *session) readDomains(ctx context.Context) ([]string, error) {
	domains := []string{}
	cursor := ""
	for {
		page, err := s.api.Domains(ctx, cursor)
		if err != nil {
			return nil, explain("read the domains of organization "+s.org, err)
		}
		for _, d := range page.Items {
			if d.Verified() {
				domains = append(domains, strings.ToLower(d.Name))
			}
		}
		if cursor = page.Next; cursor == "" {
			slices.Sort(domains)
			return domains, nil
		}
	}
}

func needsSites(named []access.Entitlement) bool {
	return slices.ContainsFunc(named, func(e access.Entitlement) bool { _, _, _, ok := e.AppSiteRole(); return ok })
}

// candidates are the groups whose roles matter: those that give a role which the policy names, found by one search over
// all resources and roles at once, and the policy's own target groups, whose apps the guard has to know.
func (s *session) candidates(ctx context.Context, o access.Outline, last policy.Last, named []access.Entitlement) ([]string, error) {
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
	for _, some := range chunks(sorted(resources), mostResources) {
		for _, give := range chunks(sorted(roles), mostRoles) {
			groups, err := s.readGroups(ctx, organization.GroupQuery{Limit: pageSize, ResourceIDs: some, RoleIDs: give})
			if err != nil {
				return nil, err
			}
			for _, g := range groups {
				ids[g.ID] = true
			}
		}
	}
	bound, _ := policy.BindSince(s.policy, o, last)
	for _, t := range bound.Targets {
		if t.GroupID != "" {
			ids[t.GroupID] = true
		}
	}
	return sorted(ids), nil
}

func (s *session) readRoles(ctx context.Context, groups []string) ([]access.RoleAssignment, error) {
	found := make([][]access.RoleAssignment, len(groups))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(outlineAtOnce)
	for i, group := range groups {
		work.Go(func() error {
			cursor := ""
			for {
				page, err := s.api.GroupRoleAssignments(ctx, s.directory, group, cursor)
				if err != nil {
					return explain("read the roles of group "+group+" of organization "+s.org, err)
				}
				activity.RecordHeartbeat(ctx)
				for _, r := range page.Items {
					for _, role := range r.Roles {
						found[i] = append(found[i], access.RoleAssignment{
							GroupID: group, Resource: r.ResourceID, Role: role, Default: r.DefaultRole == role,
						})
					}
				}
				if cursor = page.Next; cursor == "" {
					return nil
				}
			}
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// createGroups makes the groups that mappings with `create: true` miss. The answer to a create carries no id and the
// name is not searchable for a second or two, so the ids are looked up, patiently.
func (s *session) createGroups(ctx context.Context, run string, o access.Outline, names []string) (access.Outline, error) {
	for _, name := range names {
		err := s.api.CreateGroup(ctx, s.directory, name, "Kept by Castellan for organization "+s.org)
		if err != nil && !errors.Is(err, organization.ErrNameTaken) {
			return o, explain("create group "+name+" in organization "+s.org, err)
		}
		body, _ := json.Marshal(map[string]string{"group": name})
		if _, err := s.ledger.Append(ctx, ledger.Entry{Org: s.org, At: s.now(), Kind: "group-created", Run: run, Body: body}); err != nil {
			return o, err
		}
	}
	var made []access.Group
	for _, some := range chunks(names, mostEmails) {
		groups, err := s.readGroups(ctx, organization.GroupQuery{Names: some, Limit: pageSize, Expand: []string{"counts.users"}})
		if err != nil {
			return o, err
		}
		made = append(made, groups...)
	}
	if len(made) < len(names) {
		return o, expected(2*time.Second, fmt.Errorf("organization %s: %d of %d groups just created are not visible yet; looking again", s.org, len(names)-len(made), len(names)))
	}
	o.Groups = append(o.Groups, made...)
	return o, nil
}

func sorted[V any](set map[string]V) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
