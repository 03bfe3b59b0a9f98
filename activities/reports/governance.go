package reports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// GovernInput asks for one block of pages of everybody, to find what no rule acts on.
type GovernInput struct {
	Org    string `json:"org"`
	Policy string `json:"policy"`
	Report string `json:"report"` // its id
	Cursor string `json:"cursor,omitempty"`
	Block  int    `json:"block"`
	Pages  int    `json:"pages"`
}

// GovernStart is what an examination of the whole organization begins with.
type GovernStart struct {
	Policy string `json:"policy"`
	Pages  int    `json:"pages"`
}

// GovernBegin returns under which policy the organization is examined as a whole. It changes nothing.
func (a *Activities) GovernBegin(ctx context.Context, org string) (GovernStart, error) {
	version, err := a.env.Ledger.Policy(ctx, org, "")
	if errors.Is(err, ledger.ErrNotFound) {
		return GovernStart{}, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("no organization %q is known here; start it with `starter apply FILE`", org))
	}
	if err != nil {
		return GovernStart{}, err
	}
	p, err := a.env.PolicyOf(ctx, org, version.Hash)
	if err != nil {
		return GovernStart{}, err
	}
	return GovernStart{Policy: version.Hash, Pages: p.Sync.Pages}, nil
}

// Govern reads a block of pages of people and stores what somebody should look at. Nothing at Atlassian changes. A
// retry resumes at the last page that a heartbeat recorded; a finding made twice replaces itself.
//
// Calls: people/100.
func (a *Activities) Govern(ctx context.Context, in GovernInput) (session.SweepResult, error) {
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return session.SweepResult{}, err
	}
	b, err := s.Governed(ctx)
	if err != nil {
		return session.SweepResult{}, err
	}
	block := session.SweepBlock{Cursor: in.Cursor, Block: in.Block, Pages: in.Pages, Expand: session.ExpandGoverned()}
	return s.Sweep(ctx, block, func(key string, users []organization.User) error {
		people, err := s.People(ctx, users)
		if err != nil {
			return err
		}
		return s.governPage(ctx, b, in.Report, key, people)
	})
}

// governPage stores what one page of people shows.
func (s *task) governPage(ctx context.Context, b *policy.Bound, report, page string, ps []access.Person) error {
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	now := s.Now()
	states, err := s.Ledger.States(ctx, s.Org, ids, now.Add(-session.RecentWrites))
	if err != nil {
		return err
	}
	g := governor{task: s, bound: b, now: now, inactive: s.inactiveAfter(), counts: ledger.Notes{}}
	for _, p := range ps {
		if !p.IsApp() {
			g.look(ctx, p, session.PlanState(states[p.ID]))
		}
	}
	g.rows = append(g.rows, ledger.ReportRow{Section: sectionCounts, Identity: page, Counts: g.counts})
	return s.Ledger.SaveReportRows(ctx, s.Org, report, g.rows)
}

func (s *task) inactiveAfter() time.Duration {
	if s.Policy.Governance != nil {
		return s.Policy.Governance.Inactive.Std()
	}
	return policy.DefaultInactive.Std()
}

// governor looks at people one by one.
type governor struct {
	*task
	bound    *policy.Bound
	now      time.Time
	inactive time.Duration
	rows     []ledger.ReportRow
	counts   ledger.Notes
}

func (g *governor) row(section string, identity string, cells ...string) {
	g.rows = append(g.rows, ledger.ReportRow{Section: section, Identity: identity, Cells: cells})
}

// look finds what somebody should look at about one person.
func (g *governor) look(ctx context.Context, p access.Person, known plan.State) {
	known.Grants = access.InForce(known.Grants, g.now)
	facts := g.bound.Facts(p, policy.Known{Grants: known.Grants, Marks: known.Marks, Held: known.Holdings, Now: g.now})
	g.counts.Add(countPeople)
	active := p.CanReceive()
	if active {
		g.counts.Add(countActive)
		g.counts.Add(countDomain, domainOf(p))
	}
	if p.MembershipStatus == "suspended" {
		g.counts.Add(countSuspended)
	}
	last, used := session.LastUse(facts, g.now.Add(-g.inactive))
	admin := g.protected(p, known, last, used)
	if admin > 1 {
		g.row(sectionBroad, "several "+p.ID, p.Label(), fmt.Sprintf("holds %d protected targets at once", admin), last)
	}
	switch {
	case facts.External != nil && *facts.External && active:
		g.counts.Add(countExternal)
		g.external(ctx, p, facts, known, last)
	case facts.External == nil && active:
		g.row(sectionUnclear, p.ID, p.Label(), "it is not known whether the person is external", p.ClaimStatus)
	case p.ClaimStatus == "unmanaged" && active:
		g.row(sectionUnmanaged, p.ID, p.Label(), domainOf(p), session.Date(p.Added))
	}
	if active && p.ClaimStatus == "managed" && p.ManagementSource != "synced" {
		g.row(sectionUnlinked, p.ID, p.Label(), p.ManagementSource, fmt.Sprint(len(facts.Sources)),
			session.Date(p.Added))
	}
	if active && p.ClaimStatus == "managed" && len(facts.Sources) == 0 {
		g.row(sectionLeft, p.ID, p.Label(), p.ManagementSource, last, session.Date(p.Added))
	}
	if active && len(facts.Apps) > 0 && used == session.UseNone {
		g.row(sectionInactive, p.ID, p.Label(), appsOf(facts), last, session.Date(p.Added))
	}
	if active && len(facts.Apps) > 0 && used == session.UseUnknown {
		g.counts.Add(countUseUnknown)
	}
	if known.Suspension != nil {
		g.row(sectionSuspended, p.ID, p.Label(), session.Date(known.Suspension.Since),
			session.ReasonsInWords(known.Suspension.Reasons))
	}
}

// protected lists and counts the protected targets that somebody holds, with the reasons.
func (g *governor) protected(p access.Person, known plan.State, last, used string) (held int) {
	for _, t := range g.bound.TargetsHeld(p) {
		target := g.bound.Targets[t]
		if target.Protected == nil {
			continue
		}
		held++
		g.counts.Add(countHolders, string(target.Entitlement))
		why, since := "made by somebody else; nothing in the policy gives it", ""
		for _, h := range known.Holdings {
			if h.Target != target.Entitlement {
				continue
			}
			since = session.Date(h.From)
			if len(h.Reasons) > 0 {
				why = session.ReasonsInWords(h.Reasons)
			} else if h.Owned {
				why = "made or adopted by Castellan; its reasons ended"
			} else {
				g.row(sectionByHand, string(target.Entitlement)+" "+p.ID, p.Label(), string(target.Entitlement),
					since, last)
			}
		}
		g.row(sectionProtected, string(target.Entitlement)+" "+p.ID, string(target.Entitlement), p.Label(), since, why,
			last, p.MembershipStatus)
		if used == session.UseNone {
			g.row(sectionStale, string(target.Entitlement)+" "+p.ID, p.Label(), string(target.Entitlement), last)
		}
	}
	return held
}

// external lists an external person, with who answers for them and until when.
func (g *governor) external(ctx context.Context, p access.Person, f condition.Facts, known plan.State, last string) {
	sponsor, until := "nobody", "never"
	for _, grant := range known.Grants {
		if grant.Target == access.Directory {
			sponsor, until = g.AccountLabel(ctx, g.Org, grant.By), session.Date(grant.Until)
		}
	}
	origin := p.ManagementSource
	if len(f.Sources) == 0 {
		origin += ", in no source group"
	}
	g.row(sectionExternal, p.ID, p.Label(), domainOf(p), origin, sponsor, until, appsOf(f), last)
}
