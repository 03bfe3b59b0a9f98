package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// WakeGrant makes the workflow of a grant read the ledger, and starts it if it does not run. If one of a former key
// runs, it is woken instead: it hands over the grant, with its state.
func (a *Env) WakeGrant(ctx context.Context, org string, g access.Grant) error {
	if g.FormerKey != "" {
		woken, err := a.wakeFirst(ctx, append(messages.FormerGrantIDs(org, g.Target, g.FormerKey),
			messages.GrantID(org, g.Target, g.FormerKey))...)
		if woken || err != nil {
			return err
		}
		if err := a.WakeGrantWorkflow(ctx, org, g, nil); err != nil {
			return err
		}
		return a.Ledger.RecordHandOver(ctx, org, []string{g.ID})
	}
	return a.WakeGrantWorkflow(ctx, org, g, nil)
}

// wakeFirst wakes the first of these workflows that runs, and reports whether one does.
func (a *Env) wakeFirst(ctx context.Context, ids ...string) (bool, error) {
	for _, id := range Distinct(ids) {
		if messages.CheckID(id) != nil {
			continue
		}
		err := a.Temporal.SignalWorkflow(ctx, id, "", messages.Look, nil)
		var missing *serviceerror.NotFound
		if !errors.As(err, &missing) {
			return err == nil, err
		}
	}
	return false, nil
}

// WakeGrantWorkflow starts the workflow of a grant, or makes the running one read the ledger. sent are the notices that
// the former workflow has sent.
func (a *Env) WakeGrantWorkflow(ctx context.Context, org string, g access.Grant, sent []messages.SentNotice) error {
	id, former := messages.GrantID(org, g.Target, g.Key), messages.FormerGrantIDs(org, g.Target, g.Key)
	if !slices.Contains(former, id) {
		if woken, err := a.wakeFirst(ctx, former...); woken || err != nil {
			return err
		}
	}
	_, err := a.Temporal.SignalWithStartWorkflow(ctx, id, messages.Look, nil, client.StartWorkflowOptions{
		ID: id, TaskQueue: messages.QueueWorkflows,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowTaskTimeout:   messages.TaskTimeout,
		StaticSummary:         display.Summary(fmt.Sprintf("%s: %s of %s, for a while", PersonOf(g), g.Target, org)),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			messages.AttributeOrg.ValueSet(org), messages.AttributeTarget.ValueSet(messages.Keyword(string(g.Target))),
			messages.AttributePerson.ValueSet(messages.Keyword(PersonOf(g))),
			messages.AttributeState.ValueSet(messages.GrantStarting),
		),
	}, messages.TemporaryGrant, messages.TemporaryGrantInput{Org: org, Target: g.Target, Key: g.Key, Email: g.Email,
		Sent: sent})
	if err != nil {
		return fmt.Errorf("start the grant's workflow %s: %w", id, err)
	}
	return nil
}

// WithNames adds today's addresses for the account IDs in grants, for people.
func (a *Env) WithNames(ctx context.Context, org string, grants ...access.Grant) ([]access.Grant, error) {
	var ids []string
	for _, g := range grants {
		ids = append(ids, g.Accounts()...)
	}
	known, err := a.Ledger.KnownEmails(ctx, org, Distinct(ids))
	if err != nil {
		return nil, err
	}
	for i := range grants {
		g := &grants[i]
		g.Email = cmp.Or(known[g.Person], g.Email)
		g.Names = map[string]string{}
		for _, id := range g.Accounts() {
			if known[id] != "" {
				g.Names[id] = known[id]
			}
		}
	}
	return grants, nil
}

// GrantsUnder returns the grants of a target that the workflow of a key knows, or has to hand over.
func (a *Env) GrantsUnder(ctx context.Context, org, key string, target access.Entitlement) ([]access.Grant, error) {
	open, err := a.Ledger.GrantsOf(ctx, org, key, target)
	if err != nil || len(open) > 0 {
		return open, err
	}
	return a.Ledger.GrantsFormerly(ctx, org, key, target)
}

// AccountLabel returns the address that the ledger saw last for an account, or else its ID.
func (a *Env) AccountLabel(ctx context.Context, org, account string) string {
	known, _ := a.Ledger.KnownEmails(ctx, org, []string{account}) // without addresses, IDs do
	return cmp.Or(known[account], account)
}

// PersonOf returns the person whom a grant is for.
func PersonOf(g access.Grant) string { return cmp.Or(g.Email, g.Person) }

// OutOfBandGrant is access that somebody gave by hand and that a grant gives, or gave, too: mostly after the person's
// grant had ended.
type OutOfBandGrant struct {
	Grant    string `json:"grant"`
	Workflow string `json:"workflow"`
	Text     string `json:"text"`
	Kind     string `json:"kind,omitempty"` // of the notice; NoticeForeign if empty
	Told     bool   `json:"told,omitempty"` // the grant's workflow sends the notice
}

// MostRenewals is how many grants of a chain of extensions are read: as many as a policy can allow.
const MostRenewals = 100

// FactsOf adds the names of the person's groups, as far as the last outline has them.
func (s *Session) FactsOf(ctx context.Context, p access.Person) (condition.Facts, error) {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return condition.Facts{}, err
	}
	if !known {
		return condition.Facts{}, RetryAfter(ErrUnavailable, 0,
			fmt.Errorf("organization %s was not verified under this policy yet; trying again", s.Org))
	}
	states, err := s.Ledger.States(ctx, s.Org, []string{p.ID}, s.Now())
	if err != nil {
		return condition.Facts{}, err
	}
	return s.Bound(outline).Facts(p, policy.Known{Grants: access.InForce(states[p.ID].Grants, s.Now()),
		Held: states[p.ID].Holdings,
		Now:  s.Now()}), nil
}

// Approvers reads the members of the groups whose members may approve or review, by the groups' names.
func (s *Session) Approvers(ctx context.Context, groups []string) (map[string][]access.Person, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	outline, _, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, err
	}
	members := map[string][]access.Person{}
	for _, name := range groups {
		if s.Policy.SourceOf(name) != "" {
			if members[name], err = s.sourceMembers(ctx, name); err != nil {
				return nil, err
			}
			continue
		}
		i := slices.IndexFunc(outline.Groups, func(g access.Group) bool {
			return access.SameName(g.Name, name) && !access.IsSourceGroup(g.ID)
		})
		if i < 0 {
			continue
		}
		if members[name], err = s.Search(ctx,
			organization.UserQuery{GroupIDs: []string{outline.Groups[i].ID}, Limit: PageSize,
				Expand: ExpandPeople}); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// sourceMembers reads the accounts that are members of the groups of an identity source that go by a name. Whoever is
// disabled there, or outside its scope, is none. Who is in a group of a source that was not read for long is not known,
// and nobody decides anything by that.
func (s *Session) sourceMembers(ctx context.Context, name string) ([]access.Person, error) {
	doubted, err := s.DoubtedSources(ctx)
	if err != nil || slices.ContainsFunc(doubted,
		func(d plan.DoubtedSource) bool { return d.Stale && d.Name == s.Policy.SourceOf(name) }) {
		return nil, err
	}
	groups, err := s.Ledger.SourceGroupsOf(ctx, s.Org)
	if err != nil {
		return nil, err
	}
	var members []access.Person
	for _, g := range groups {
		if !access.SameName(g.Name, name) {
			continue
		}
		accounts, err := s.Ledger.MembersOf(ctx, s.Org, g.Source, g.Key)
		if err != nil {
			return nil, err
		}
		people, err := s.ReadPeople(ctx, accounts)
		if err != nil {
			return nil, err
		}
		members = append(members, slices.DeleteFunc(people,
			func(p access.Person) bool { return !p.InGroup(access.SourceGroupID(g.Source, g.Key)) })...)
	}
	return unique(members), nil
}
