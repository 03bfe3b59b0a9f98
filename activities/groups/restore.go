package groups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// RestoreRunInput identifies the restore of a group, whose lines belong to a run.
type RestoreRunInput struct {
	session.RunInput
	Group string `json:"group"` // the id that the lost group had
}

// BeginRestoreInput begins a restore.
type BeginRestoreInput struct {
	RestoreRunInput           // without a policy: that in force
	Name            string    `json:"name,omitempty"` // of the group that is made; "": the name of the lost one
	By              string    `json:"by"`
	Note            string    `json:"note,omitempty"`
	Started         time.Time `json:"started"`
}

// BeginRestoreResult is what a restore begins with.
type BeginRestoreResult struct {
	Policy string             `json:"policy"` // hash of the one in force
	Lost   messages.RestoreOf `json:"lost"`
	// ReadOnly is why nothing of the restore could be written; "": it can.
	ReadOnly string   `json:"readOnly,omitempty"`
	ByHand   []string `json:"byHand,omitempty"`
}

// BeginRestore begins a restore: it compares the group with its record, and stores the lines about the group itself: to
// make it, and the roles that it lacks. It refuses a record that the chain does not explain, and a name that a synced
// group has. A repeat keeps the lines that it finds: what has changed since is met at the moment of writing.
//
// Calls: one or two, and one or two for the names of sites.
func (a *Activities) BeginRestore(ctx context.Context, in BeginRestoreInput) (BeginRestoreResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.OpenInForce(ctx, in.Org)
	if errors.Is(err, ledger.ErrNotFound) {
		err = session.NotFoundf("no organization %q is known here; start it with `starter apply FILE`", in.Org)
	}
	if err != nil {
		return BeginRestoreResult{}, err
	}
	record, err := recordOf(ctx, s, in.Group)
	if err != nil {
		return BeginRestoreResult{}, err
	}
	if err := checkName(in.Name); err != nil {
		return BeginRestoreResult{}, err
	}
	r := &restore{Session: s, in: in, record: record, name: in.Name}
	if r.name == "" {
		r.name = record.Name
	}
	if err := r.find(ctx); err != nil {
		return BeginRestoreResult{}, err
	}
	if err := s.Ledger.BeginRun(ctx, ledger.Run{Org: in.Org, ID: in.Run,
		Trigger: strings.TrimSpace("restore of group " + record.Name + " " + in.Note), Scope: messages.ScopeRestore,
		Policy: s.Current, By: in.By, State: messages.RunReading, Started: in.Started}); err != nil {
		return BeginRestoreResult{}, err
	}
	return r.begin(ctx)
}

// recordOf returns the record of a group that can be restored.
func recordOf(ctx context.Context, s *session.Session, id string) (ledger.GroupRecord, error) {
	g, err := s.Ledger.GroupRecord(ctx, s.Org, id)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		named, err := s.Ledger.GroupRecords(ctx, s.Org, ledger.GroupQuery{Name: id, Limit: 2})
		if err == nil && len(named) == 1 {
			return g, session.NotFoundf("a restore is named by the group's id: start workflow %s",
				messages.RestoreID(s.Org, named[0].ID))
		}
		return g, session.NotFoundf("there is no record of a group with id %s; `starter groups %s --lost` lists those that are lost",
			id, s.Org)
	case err != nil:
		return g, err
	case g.Unexplained:
		return g, session.NonRetryable(session.ErrRefused, fmt.Errorf("the ledger's chain does not explain the record of group %s, or who was in it: it was not written by Castellan, so nothing is restored from it; see `starter verify-ledger %s`", id, s.Org))
	}
	return g, nil
}

// checkName refuses a name that no group may have. None is given: the group has the name that it had.
func checkName(name string) error {
	if name != strings.TrimSpace(name) || strings.ContainsFunc(name, unicode.IsControl) || len([]rune(name)) > 255 {
		return session.NonRetryable(session.ErrRefused,
			fmt.Errorf("%q cannot be the name of a group: it is one line of at most 255 characters, without a space at its ends", name))
	}
	return nil
}

// restore is a restore being begun.
type restore struct {
	*session.Session
	in     BeginRestoreInput
	record ledger.GroupRecord
	name   string
	live   *access.Group // the group that has the name now; nil: none
	sites  []access.Site
}

// find looks for a group that exists already: the one of the record, if it is not lost, or another of the name.
func (r *restore) find(ctx context.Context) error {
	q := organization.GroupQuery{Names: []string{r.name}, Limit: session.PageSize}
	if r.record.Lost.IsZero() && r.in.Name == "" {
		q = organization.GroupQuery{GroupIDs: []string{r.record.ID}, Limit: session.PageSize}
	}
	found, err := r.ReadGroups(ctx, q)
	if err != nil {
		return err
	}
	for _, g := range found {
		if g.ID == r.record.ID && r.record.Lost.IsZero() || access.SameName(g.Name, r.name) {
			r.live, r.name = &g, g.Name
		}
	}
	if r.live != nil && (r.live.Synced || !r.live.Modifiable) {
		return session.NonRetryable(session.ErrRefused, fmt.Errorf("an identity provider owns group %s (id %s), so its members are that provider's to give, and Atlassian refuses to add any here: put them into the group there, or restore under another name (`starter restore %s %s --name NAME`)", r.name, r.live.ID, r.Org, r.record.ID))
	}
	if r.live == nil && r.record.Lost.IsZero() && r.in.Name == "" {
		return session.NonRetryable(session.ErrRefused, fmt.Errorf("the group search does not show group %s, and no verification has found it lost yet: start the restore after the next full verification (update sync-now)", r.name))
	}
	if r.sites, err = r.ReadSites(ctx); err != nil {
		return err
	}
	return nil
}

// begin stores the lines about the group itself.
func (r *restore) begin(ctx context.Context) (BeginRestoreResult, error) {
	result := BeginRestoreResult{Policy: r.Current, Lost: messages.RestoreOf{Name: r.name, Synced: r.record.Synced,
		Exists: r.live != nil, Roles: RolesInWords(r.record.Roles, r.sites), Refreshed: r.record.Refreshed}}
	if r.name != r.record.Name {
		result.Lost.Was = r.record.Name
	}
	if r.Policy.DryRun {
		result.ReadOnly = "the policy says dryRun: true"
	}
	var err error
	if result.Lost.Members, err = r.Ledger.CountGroupMembers(ctx, r.Org, r.record); err != nil {
		return result, err
	}
	lines, err := r.lines(ctx)
	if err != nil {
		return result, err
	}
	if r.live == nil || r.live.ID != r.record.ID { // else it is the group that all of them name
		result.ByHand = r.byHand()
	}
	return result, r.Ledger.SavePage(ctx, r.Org, r.in.Run,
		ledger.Page{Key: "group", Changes: lines, Observe: true}, r.Now())
}

// byHand says what people have to do for a group with another id.
func (r *restore) byHand() (all []string) {
	for _, role := range DefaultsInWords(r.record.Roles, r.sites) {
		all = append(all, "an organization admin makes it a default group for "+role+
			" again, in admin.atlassian.com (Apps, the app's access settings): no API can")
	}
	return append(all, "administrators of the sites name it again where it was named: "+
		messages.NotInRecords+". They see the group by its new id as another group")
}

// lines returns what is to be written of the group itself.
func (r *restore) lines(ctx context.Context) (lines []access.Change, err error) {
	var has []access.RoleAssignment
	if r.live == nil {
		lines = append(lines, r.line(r.record.ID, access.RestoreTarget(r.name)))
	} else if has, err = r.GroupRoles(ctx, []string{r.live.ID}); err != nil {
		return nil, err
	}
	for _, role := range r.record.Roles {
		line := r.line(r.record.ID, access.GroupRoleTarget(role.Role, role.Resource))
		if slices.ContainsFunc(has, func(h access.RoleAssignment) bool {
			return h.Role == role.Role && h.Resource == role.Resource
		}) {
			line.State, line.HeldBy, line.Answer = access.Already, nil, "the group gives the role already"
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func (r *restore) line(person string, target access.Entitlement) access.Change {
	c := restoreLine(r.record, person, target)
	if r.live != nil {
		c.GroupID = r.live.ID
	}
	return c
}

func restoreLine(g ledger.GroupRecord, person string, target access.Entitlement) access.Change {
	return access.Change{Person: person, Target: target, Action: access.Add, Sources: []string{g.ID},
		State: access.Held, HeldBy: []string{plan.RuleGroupRestore},
		Reasons: []access.Reason{{Kind: access.ReasonRestore, Name: g.Name}}}
}

// membersAtOnce is how many members are previewed in one piece.
const membersAtOnce = 500

// PreviewRestoreInput asks for the next piece of a restore's preview.
type PreviewRestoreInput struct {
	RestoreRunInput
	Lost  messages.RestoreOf `json:"lost"`
	After string             `json:"after,omitempty"` // the last account of the piece before
}

// PreviewRestoreResult is where a piece ended.
type PreviewRestoreResult struct {
	Next string `json:"next,omitempty"` // for the next piece; empty: this was the last
}

// PreviewRestore decides a piece of a lost group's members: who is added again, and who is left out and why. A repeat
// replaces what it stored.
//
// Calls: one for a hundred people.
func (a *Activities) PreviewRestore(ctx context.Context, in PreviewRestoreInput) (PreviewRestoreResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return PreviewRestoreResult{}, err
	}
	record, err := recordOf(ctx, s, in.Group)
	if err != nil {
		return PreviewRestoreResult{}, err
	}
	live, err := liveID(ctx, s, in.RestoreRunInput, in.Lost)
	if err != nil {
		return PreviewRestoreResult{}, err
	}
	members, err := s.Ledger.GroupMembers(ctx, in.Org, record, in.After, membersAtOnce)
	if err != nil {
		return PreviewRestoreResult{}, err
	}
	for _, some := range session.Chunks(members, session.PageSize) {
		if err := previewMembers(ctx, s, in, record, live, some); err != nil {
			return PreviewRestoreResult{}, err
		}
		activity.RecordHeartbeat(ctx)
	}
	var result PreviewRestoreResult
	if len(members) == membersAtOnce {
		result.Next = members[len(members)-1].Account
	}
	return result, nil
}

// liveID returns the id of the group that is there already; "" if it is to be made.
func liveID(ctx context.Context, s *session.Session, in RestoreRunInput, lost messages.RestoreOf) (string, error) {
	if !lost.Exists {
		return "", nil
	}
	found, err := s.ReadGroups(ctx, organization.GroupQuery{Names: []string{lost.Name}, Limit: session.PageSize})
	if err == nil && len(found) == 0 {
		err = session.NonRetryable(session.ErrRefused, fmt.Errorf("group %s, which was there when the preview began, is there no more: start the restore again", lost.Name))
	}
	if err != nil {
		return "", err
	}
	return found[0].ID, nil
}

func previewMembers(ctx context.Context, s *session.Session, in PreviewRestoreInput, record ledger.GroupRecord,
	live string, members []ledger.GroupMember) error {
	ids := make([]string, len(members))
	for n, m := range members {
		ids[n] = m.Account
	}
	read, err := s.ReadPeople(ctx, ids)
	if err != nil {
		return err
	}
	people := map[string]access.Person{}
	for _, p := range read {
		people[p.ID] = p
	}
	deciding, err := NewReadmissions(ctx, s, in.Lost.Name, read)
	if err != nil {
		return err
	}
	page := ledger.Page{Key: "members after " + in.After + " " + members[0].Account, People: read, Observe: true}
	for _, m := range members {
		p := people[m.Account]
		line := restoreLine(record, m.Account, access.RestoreTarget(in.Lost.Name))
		line.Email, line.GroupID = p.Email, live
		if p.Email == "" {
			line.Email = m.Email
		}
		if live != "" && p.InGroup(live) {
			line.State, line.HeldBy, line.Answer = access.Already, nil, "a member already"
		} else if why := deciding.Of(p).Refuse(); why != "" {
			line.State, line.HeldBy, line.Answer = access.Recorded, nil, "left out: "+why
		}
		page.Changes = append(page.Changes, line)
	}
	return s.Ledger.SavePage(ctx, in.Org, in.Run, page, s.Now())
}

// Readmissions decides about people who were in a lost group.
type Readmissions struct {
	group  string
	at     time.Time
	states map[string]ledger.PersonState
	one    plan.Readmission
}

// NewReadmissions gathers what is known of some people, as read. The outline is the last one; it may not have the group
// yet.
func NewReadmissions(ctx context.Context, s *session.Session, group string, people []access.Person) (*Readmissions,
	error) {
	o, _, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(o.Groups, func(g access.Group) bool { return access.SameName(g.Name, group) }) {
		o.Groups = append(slices.Clone(o.Groups), access.Group{ID: "group being restored", Name: group, Modifiable: true})
	}
	r := &Readmissions{group: group, at: s.Now()}
	r.one = plan.Readmission{Bound: s.Bound(o), Group: group}
	if r.states, err = s.Ledger.States(ctx, s.Org, session.IDsOf(people), r.at); err != nil {
		return nil, err
	}
	return r, s.LearnUse(ctx, r.one.Bound, people, r.states)
}

// Of returns the decision about one person.
func (r *Readmissions) Of(p access.Person) plan.Readmission {
	one := r.one
	one.Person, one.Known = p, plan.KnownOf(session.PlanState(r.states[p.ID]), r.at)
	return one
}
