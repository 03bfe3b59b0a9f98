package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/provision"
)

// syncedNames returns the names, folded, of the organization's groups that come, or came, of SCIM groups of the
// policy's.
func (s *Session) syncedNames(ctx context.Context, b *policy.Bound, o access.Outline) (map[string]bool, error) {
	names := b.SyncedNames(o.Groups)
	if len(s.Policy.Provision) == 0 {
		return names, nil
	}
	bound, err := s.Ledger.SyncedGroups(ctx, s.Org, "")
	for _, g := range bound {
		names[access.Fold(g.Name)] = true
		if g.Former != "" {
			names[access.Fold(g.FormerName)] = true
		}
	}
	return names, err
}

// Groups are the groups of a provision's directory, with what was decided about each.
type Groups struct {
	*identity.GroupSet
	Counts map[identity.GroupID]int // how many members each has
	apps   map[string][]string      // that groups of the organization open, as app/site, by folded name
	byID   map[string][]string      // likewise, by the id of the organization's group
}

// Groups decides what becomes of the groups of the provision's directory, as the ledger's replicas have them and the
// sources' now. It is nil if the policy has none.
func (p *Provisioner) Groups(ctx context.Context) (*Groups, error) {
	bound, err := p.Ledger.SyncedGroups(ctx, p.Org, p.Spec.Name)
	if err != nil || len(bound) == 0 && !p.hasGroups() {
		return nil, err
	}
	facts := identity.GroupFacts{Directory: map[identity.GroupID]string{}}
	g := &Groups{Counts: map[identity.GroupID]int{}, apps: map[string][]string{}, byID: map[string][]string{}}
	there, err := p.Ledger.DirectoryGroups(ctx, p.Org, p.Spec.Directory.ID)
	if err != nil {
		return nil, err
	}
	for _, one := range there {
		facts.Directory[identity.GroupID(one.ID)] = one.Name
		g.Counts[identity.GroupID(one.ID)] = one.Count
	}
	if facts.Adopted, err = p.Adopted(ctx); err != nil {
		return nil, err
	}
	if err := p.groupsWanted(ctx, &facts, bound); err != nil {
		return nil, err
	}
	if err := p.groupsShown(ctx, &facts, g); err != nil {
		return nil, err
	}
	g.GroupSet = identity.NewGroupSet(p.Decide.ResolveGroups(facts))
	return g, nil
}

// hasGroups reports whether the policy wants groups in the provision's directory.
func (p *Provisioner) hasGroups() bool {
	return slices.ContainsFunc(p.Policy.Groups, func(g provision.GroupSync) bool {
		return g.As == provision.Synced && g.Provision == p.Spec.Name
	})
}

// HasGroups reports whether the policy wants groups in the provision's directory, or some are there from when it did.
func (p *Provisioner) HasGroups(ctx context.Context) (bool, error) {
	bound, err := p.Ledger.SyncedGroups(ctx, p.Org, p.Spec.Name)
	return len(bound) > 0 || p.hasGroups(), err
}

// GroupCounts counts the groups of a provision's directory that follow groups of sources, and who is in them; nil if
// there are none.
func (a *Env) GroupCounts(ctx context.Context, org, hash, name string) (*messages.GroupCounts, error) {
	bound, err := a.Ledger.SyncedGroups(ctx, org, name)
	if err != nil || len(bound) == 0 {
		return nil, err
	}
	p, err := a.WrittenPolicy(ctx, org, hash)
	if err != nil {
		return nil, err
	}
	counts := &messages.GroupCounts{}
	for _, one := range p.Provision {
		if one.Name != name {
			continue
		}
		groups, err := a.Ledger.DirectoryGroups(ctx, org, one.Directory.ID)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			if slices.ContainsFunc(bound, func(b ledger.SyncedGroup) bool { return b.Group == g.ID }) {
				counts.Groups++
				counts.Memberships += g.Count
			}
		}
	}
	return counts, nil
}

// EachDirectoryGroup visits the groups of the directory, some at a time. Where they are too large for one answer, it
// asks for fewer.
func (p *Provisioner) EachDirectoryGroup(ctx context.Context, visit func([]scim.Group) error) error {
	for start, count := 1, scim.MaxPage; start > 0; {
		page, err := p.SCIM.Groups(ctx, scim.GroupQuery{Start: start, Count: count})
		if errors.Is(err, scim.ErrMalformed) && count > 1 {
			count /= 2
			continue
		}
		if err != nil {
			return err
		}
		if err := visit(page.Items); err != nil {
			return err
		}
		start = page.Next
	}
	return nil
}

// groupsWanted adds which groups the policy wants, and which follow one already.
func (p *Provisioner) groupsWanted(ctx context.Context, facts *identity.GroupFacts, bound []ledger.SyncedGroup) error {
	sources, err := p.WithSourceGroups(ctx, nil)
	if err != nil {
		return err
	}
	doubted := func(source string) bool {
		return slices.ContainsFunc(p.Doubted, func(d plan.DoubtedSource) bool { return d.Name == source })
	}
	names, former := map[string]string{}, map[string]string{}
	for _, one := range sources {
		names[one.ID] = one.Name
	}
	for _, b := range bound {
		id := access.SourceGroupID(b.Source, b.Key)
		former[id] = b.SourceName
		_, inSource := names[id]
		facts.Bound = append(facts.Bound, identity.GroupBinding{Ref: identity.Ref(b.Ref()), SourceName: b.SourceName,
			Group: identity.GroupID(b.Group), Name: b.Name, Since: b.Since, Former: identity.GroupID(b.Former),
			FormerName: b.FormerName, InSource: inSource, Doubted: doubted(b.Source), Unexplained: b.Unexplained})
	}
	for _, w := range p.bound.SyncedGroups(p.Spec.Name, sources, former) {
		ref := identity.Ref(sourceGroupRef(w.Source))
		facts.Wanted = append(facts.Wanted, identity.WantedGroup{Ref: ref, SourceName: names[w.Source], Name: w.Name,
			Entry: w.Entry, Create: w.Create, Former: w.Former, Doubted: doubted(ref.Source)})
	}
	return nil
}

// sourceGroupRef reads the id of a source's group, as access.SourceGroupID makes it.
func sourceGroupRef(id string) ledger.Ref {
	_, ref, _ := strings.Cut(id, ":")
	return ledger.ReadRef(ref)
}

// groupsShown adds what the organization shows of groups, as of the latest outline.
func (p *Provisioner) groupsShown(ctx context.Context, facts *identity.GroupFacts, g *Groups) error {
	_, body, at, err := p.Ledger.LatestOutline(ctx, p.Org, p.Policy.Hash())
	if err != nil {
		return err
	}
	var o RunOutline
	if err := json.Unmarshal(body, &o); err != nil {
		return err
	}
	facts.Read = at
	shown := map[string]identity.OrganizationGroup{}
	names := map[string]string{}
	for _, one := range o.Groups {
		if one.Source == "" {
			names[one.ID] = access.Fold(one.Name)
			shown[names[one.ID]] = identity.OrganizationGroup{Synced: one.Synced, Users: one.Users}
			g.byID[one.ID] = p.bound.AppsOpenedBy(one.ID)
			g.apps[names[one.ID]] = g.byID[one.ID]
		}
	}
	sites := map[string]access.Site{}
	for _, s := range o.Sites {
		sites[s.Resource] = s
	}
	roles, err := p.rolesOfTaken(ctx, facts, o)
	if err != nil {
		return err
	}
	for _, r := range append(roles, o.Roles...) {
		name, known := names[r.GroupID]
		if s, is := sites[r.Resource]; is && known && r.Default {
			one := shown[name]
			one.Default = append(one.Default, access.Entitlement(string(access.KindDefault)+":"+s.App+"/"+s.Site+"/"+
				strings.TrimPrefix(r.Role, "atlassian/")))
			shown[name] = one
		}
	}
	facts.Organization = func(name string) (identity.OrganizationGroup, bool) {
		one, known := shown[access.Fold(name)]
		return one, known
	}
	return nil
}

// rolesOfTaken reads the roles of groups of the organization's own that have the name of a group that is to be made,
// unless the outline has them: a default group can never be synced.
//
// Calls: one or more for each such group.
func (p *Provisioner) rolesOfTaken(ctx context.Context, facts *identity.GroupFacts, o RunOutline) (
	[]access.RoleAssignment, error) {
	wanted := map[string]bool{}
	for _, w := range facts.Wanted {
		wanted[access.Fold(w.Name)] = true
	}
	for _, b := range facts.Bound {
		delete(wanted, access.Fold(b.Name))
	}
	var ids []string
	for _, g := range o.Groups {
		known := slices.ContainsFunc(o.Roles, func(r access.RoleAssignment) bool { return r.GroupID == g.ID })
		if g.Source == "" && !g.Synced && wanted[access.Fold(g.Name)] && !known {
			ids = append(ids, g.ID)
		}
	}
	return p.GroupRoles(ctx, ids)
}

// Opens lists the app/site that a group of the directory opens, by its name.
func (g *Groups) Opens(name string) []string { return g.apps[access.Fold(name)] }

// Loses lists the app/site to which somebody has no other access that is known, of those that a group opens: neither by
// another group of the directory that they stay in, nor by what they hold by Castellan otherwise.
func (g *Groups) Loses(name string, stays []identity.GroupID, held []access.Holding) (lost []string) {
	var others []string
	for _, id := range stays {
		for _, d := range g.All {
			if d.Group == id && !access.SameName(d.Name, name) {
				others = append(others, g.Opens(d.Name)...)
			}
		}
	}
	for _, h := range held {
		others = append(others, g.byID[h.GroupID]...)
	}
	for _, app := range g.Opens(name) {
		if !slices.Contains(others, app) {
			lost = append(lost, app)
		}
	}
	return lost
}

// MembershipLine is the change by which somebody joins or leaves a group of the directory.
func (p *Provisioner) MembershipLine(c Candidate, d identity.Decision, m identity.Membership,
	action access.Action) access.Change {
	line := access.Change{Target: access.SCIMGroupTarget(p.Spec.Name, m.Name), Action: action, State: access.Planned,
		Sources: []string{c.Lead.String(), access.SourceGroupID(m.Source, m.Key)},
		Reasons: p.groupReasons(m.GroupDecision)}
	line.Person, line.Email = c.name(d)
	line.HeldBy = HeldBy(m.Holds)
	return line
}

// GroupLine is the change of a group of the directory as a whole; ok is false if there is none.
func (p *Provisioner) GroupLine(d *identity.GroupDecision) (line access.Change, ok bool) {
	id := access.SourceGroupID(d.Source, d.Key)
	line = access.Change{Person: id, Target: access.SCIMGroupExists(p.Spec.Name, d.Name), GroupID: string(d.Group),
		State: access.Planned, Sources: []string{id}, Reasons: p.groupReasons(d), HeldBy: HeldBy(d.Holds)}
	switch d.Action {
	case identity.CreateGroup:
		line.Action = access.Add
	case identity.TakeGroup:
		line.Action = access.Adopt
	case identity.DeleteGroup:
		line.Action = access.Remove
	default:
		return line, false
	}
	return line, true
}

// OwnSince is how long a removal counts that no read has shown.
const OwnSince = 24 * time.Hour

// OwnMembership reports whether Castellan put somebody into a group of the directory, or found a reason for their being
// there; or took them out lately, and no read has shown that. states are of the person, since OwnSince; held is the
// record of it, if there is one.
func OwnMembership(target access.Entitlement, states ...ledger.PersonState) (held access.Holding, own bool) {
	for _, s := range states {
		for _, h := range s.Holdings {
			if h.Target == target && h.Owned {
				return h, true
			}
		}
		for _, c := range s.Recent {
			if c.Target == target && c.Action == access.Remove && c.State == access.Done {
				held.Reasons, own = c.Reasons, !c.Verified
			}
		}
	}
	return held, own
}

// WithGroup marks the change by which somebody leaves a group because it is deleted.
func WithGroup(line access.Change, group identity.GroupID) access.Change {
	line.Edits = []access.Edit{{Attribute: access.GroupAttribute, From: string(group)}}
	return line
}

func (p *Provisioner) groupReasons(d *identity.GroupDecision) []access.Reason {
	if d.Entry == "" {
		return []access.Reason{{Kind: access.ReasonIdentity, Name: p.Spec.Name, Source: d.SourceName}}
	}
	return []access.Reason{{Kind: access.ReasonMapping, Name: d.Entry, Source: d.SourceName}}
}

// RecordSource names a record as the source of a line that is about nobody of the identity sources.
func RecordSource(record string) string { return recordSource + record }

// RecordOfSource returns the record that a source of a line names; "" if it names none.
func RecordOfSource(source string) string {
	record, is := strings.CutPrefix(source, recordSource)
	if !is {
		return ""
	}
	return record
}

const recordSource = "#" // no identity source's name begins so

// HeldBy returns the rules that hold a line, sorted.
func HeldBy(holds []identity.Hold) []string {
	var rules []string
	for _, h := range holds {
		rules = append(rules, string(h))
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// DirectoryGroupOf returns a group of the SCIM directory as the ledger keeps it, with the digest that a later read is
// compared by.
func DirectoryGroupOf(g scim.Group) ledger.DirectoryGroup {
	members := slices.Clone(g.MemberIDs)
	slices.Sort(members)
	row := ledger.DirectoryGroup{ID: g.ID, Name: g.DisplayName, Members: slices.Compact(members)}
	text, _ := json.Marshal(row) // plain data always encodes
	sum := sha256.Sum256(text)
	row.Digest = hex.EncodeToString(sum[:16])
	return row
}

// KeepGroup stores a group of the SCIM directory as Atlassian shows it now.
func (p *Provisioner) KeepGroup(ctx context.Context, g scim.Group) error {
	return p.Ledger.SaveDirectoryGroups(ctx, p.Org, p.Spec.Directory.ID, []ledger.DirectoryGroup{DirectoryGroupOf(g)},
		p.Now())
}

// BindGroup records that a group of the directory follows one of a source, in place of former, if that is named.
func (p *Provisioner) BindGroup(ctx context.Context, d *identity.GroupDecision, group, former, formerName, by string,
	at time.Time) error {
	return p.Ledger.BindGroup(ctx, p.Org, ledger.SyncedGroup{Provision: p.Spec.Name, Source: d.Source, Key: d.Key,
		SourceName: d.SourceName, Group: group, Name: d.Name, Former: former, FormerName: formerName, By: by}, at)
}

// LacksRoles returns what one of the organization's groups gives and another does not, as the organization shows them
// now; "" if there is nothing.
//
// Calls: one, and one or more for each of the two.
func (p *Provisioner) LacksRoles(ctx context.Context, former, next string) (string, error) {
	groups, err := p.ReadGroups(ctx, organization.GroupQuery{Names: []string{former, next}, Limit: PageSize})
	if err != nil {
		return "", err
	}
	roles := map[string][]access.RoleAssignment{}
	shown := false
	for _, g := range groups {
		given, err := p.GroupRoles(ctx, []string{g.ID})
		if err != nil {
			return "", err
		}
		roles[access.Fold(g.Name)] = given
		shown = shown || g.Synced && access.SameName(g.Name, next)
	}
	if !shown {
		return "Atlassian does not show " + next + " yet", nil
	}
	for _, r := range roles[access.Fold(former)] {
		if !slices.ContainsFunc(roles[access.Fold(next)], func(o access.RoleAssignment) bool {
			return o.Resource == r.Resource && o.Role == r.Role
		}) {
			return next + " does not give " + r.Role + " of " + r.Resource + ", as " + former + " does", nil
		}
	}
	return "", nil
}
