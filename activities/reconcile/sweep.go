package reconcile

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// SweepInput asks for one block of pages of everybody.
type SweepInput struct {
	session.RunInput
	Cursor string `json:"cursor,omitempty"`
	Block  int    `json:"block"` // numbers the blocks of a run
	Pages  int    `json:"pages"` // pages in a block
}

// Sweep reads a block of pages of people, decides each page and stores the plan's lines in the ledger. A retry resumes
// at the last page that a heartbeat recorded; a page done twice replaces itself.
func (a *Activities) Sweep(ctx context.Context, in SweepInput) (session.SweepResult, error) {
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return session.SweepResult{}, err
	}
	bound, err := s.BoundOf(ctx, in.Run)
	if err != nil {
		return session.SweepResult{}, err
	}
	run, there, err := s.recorded(ctx, in.RunInput)
	if err != nil {
		return session.SweepResult{}, err
	}
	return s.Session.Sweep(ctx, session.SweepBlock{Cursor: in.Cursor, Block: in.Block, Pages: in.Pages,
		Expand: s.Expand()}, func(key string, users []organization.User) error {
		people, err := s.People(ctx, users)
		if err != nil {
			return err
		}
		shown := make([]string, len(users))
		for i, u := range users {
			shown[i] = u.AccountID
		}
		if err := s.decide(ctx, bound, in.RunInput, ledger.Page{Key: key, People: people, Shown: shown},
			true); err != nil || in.Preview {
			return err
		}
		return groups.Members(ctx, s.Session.Session, there, people, run.Started)
	})
}

// recorded returns the record of a run over everybody, and which groups its outline has: their members are recorded.
func (s *task) recorded(ctx context.Context, in session.RunInput) (run ledger.Run, there map[string]bool, err error) {
	if in.Preview {
		return run, nil, nil
	}
	if run, err = s.Ledger.Run(ctx, s.Org, in.Run); err != nil {
		return run, nil, err
	}
	o, err := s.OutlineOf(ctx, in.Run)
	return run, groups.There(o.Outline), err
}

// decide decides one page of people and records it. With count, it adds the source groups seen to the run's evidence.
func (s *task) decide(ctx context.Context, b *policy.Bound, in session.RunInput, page ledger.Page, count bool) error {
	page.Observe, page.Due = in.Preview, map[string]time.Time{}
	if count {
		page.Seen, page.Notes, page.Differences = map[string]int{}, ledger.Notes{}, []ledger.GroupDifference{}
	}
	d := &pageDecision{task: s, bound: b, in: in, count: count, page: page}
	if err := d.gather(ctx); err != nil {
		return err
	}
	for _, p := range page.People {
		if err := d.person(ctx, p); err != nil {
			return err
		}
	}
	if err := s.withoutDoubted(ctx, b, &d.page, d.absences); err != nil {
		return err
	}
	for id, at := range d.page.Due {
		d.page.Due[id] = together(at, s.Now())
	}
	return s.Ledger.SavePage(ctx, s.Org, in.Run, d.page, d.now)
}

// pageDecision is one page of people being decided.
type pageDecision struct {
	*task
	bound  *policy.Bound
	in     session.RunInput
	count  bool
	now    time.Time
	states map[string]ledger.PersonState
	fresh  map[string]bool // keys of enforced rules that nobody has approved yet

	page     ledger.Page
	absences []plan.Absence // what additions depend on
	accepted []acceptedPair
}

// gather gathers the input of the decisions on the page's people.
func (d *pageDecision) gather(ctx context.Context) (err error) {
	people := d.page.People
	notLinked, err := d.Link(ctx, d.bound, people, !d.in.Preview)
	if err != nil {
		return err
	}
	if d.page.Notes != nil {
		for _, f := range notLinked {
			d.page.Notes.Add(noteNotLinked, f.Rule)
		}
	}
	if !d.in.Preview {
		if err := d.ResolveDoubtful(ctx, d.bound, people...); err != nil {
			return err
		}
	}
	d.now = d.Now()
	if d.states, err = d.Ledger.States(ctx, d.Org, session.IDsOf(people),
		d.now.Add(-session.RecentWrites)); err != nil {
		return err
	}
	if err := d.LearnUse(ctx, d.bound, people, d.states); err != nil {
		return err
	}
	if d.fresh, err = d.FreshRules(ctx, d.bound); err != nil {
		return err
	}
	if d.count {
		if d.accepted, err = d.acceptedPairs(ctx, d.bound, session.IDsOf(people)); err != nil {
			return err
		}
	}
	return d.ReadAppRoles(ctx, d.bound, people, d.states)
}

// person decides one person.
func (d *pageDecision) person(ctx context.Context, p access.Person) error {
	known := session.PlanState(d.states[p.ID])
	known.Fresh = d.fresh
	decision := plan.Decide(d.bound, p, known, d.in.Run, d.now)
	if one, hangs := plan.DependsOnAbsence(d.bound, p, known, decision.Changes, d.now); hangs {
		d.absences = append(d.absences, one)
	}
	enter(&d.page, p, decision)
	d.page.Due[p.ID] = d.bound.NextChange(p, policy.Known{Grants: known.Grants, Held: known.Holdings, Now: d.now})
	if d.bound.HasObservingRules() {
		known.Would = true
		d.page.Changes = append(d.page.Changes,
			plan.ObservedChanges(decision, plan.Decide(d.bound, p, known, d.in.Run, d.now))...)
	}
	if d.count {
		d.countPerson(p, known, decision)
		return nil
	}
	return d.remember(ctx, p, known, decision)
}

// countPerson adds a person to what a run over everybody counts.
func (d *pageDecision) countPerson(p access.Person, known plan.State, decision plan.Decision) {
	for _, g := range p.GroupIDs {
		if d.bound.Source(g) {
			d.page.Seen[g]++
		}
	}
	for _, id := range d.states[p.ID].Unproven {
		d.page.Notes.Add(noteUnproven, id)
	}
	d.page.Unseen = append(d.page.Unseen, decision.Unseen...)
	d.comparePairs(p, decision)
	d.compareAccepted(p)
	note(d.page.Notes, d.bound, p, known, decision)
}

// remember keeps what a partial run noticed, for the rest of its activity.
func (d *pageDecision) remember(ctx context.Context, p access.Person, known plan.State, decision plan.Decision) error {
	d.unseen = append(d.unseen, decision.Unseen...)
	for _, h := range decision.Restored {
		d.outOfBand = append(d.outOfBand, apply.Restored(d.Org, p, h, known.Grants)...)
	}
	some, err := d.outOfBandGrants(ctx, d.bound, p, decision.Open)
	if err != nil {
		return err
	}
	d.outOfBand = append(d.outOfBand, some...)
	return nil
}

// enter adds a person's decision to a page.
func enter(page *ledger.Page, p access.Person, d plan.Decision) {
	page.Changes = append(page.Changes, d.Changes...)
	page.Open = append(page.Open, d.Open...)
	page.Close = append(page.Close, d.Close...)
	page.Ended = append(page.Ended, d.Ended...)
	page.Lift = append(page.Lift, d.Lift...)
	page.Foreign += d.Foreign
	page.Suppressed += d.Suppressed
	page.Mark = append(page.Mark, d.Mark...)
	for _, rule := range d.Unmark {
		page.Unmark = append(page.Unmark, access.RuleMatch{Person: p.ID, Rule: rule})
	}
	if d.Unsuspend {
		page.Unsuspend = append(page.Unsuspend, p.ID)
	}
}
