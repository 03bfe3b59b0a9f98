package reviews

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/review"
)

// ReviewSweepInput asks for the items of one block of pages of everybody.
type ReviewSweepInput struct {
	ReviewInput
	Cursor string `json:"cursor,omitempty"`
	Block  int    `json:"block"`
	Pages  int    `json:"pages"`
}

// ReviewSweep reads a block of pages of people and collects the items that the campaign asks about. Nothing at
// Atlassian changes. A retry resumes at the last page that a heartbeat recorded, and a page done twice replaces itself.
//
// Calls: people/100, and three for groups, sites and domains at most.
func (a *Activities) ReviewSweep(ctx context.Context, in ReviewSweepInput) (session.SweepResult, error) {
	r, err := a.openCampaign(ctx, in.ReviewInput)
	if err != nil {
		return session.SweepResult{}, err
	}
	b, err := r.Governed(ctx)
	if err != nil {
		return session.SweepResult{}, err
	}
	block := session.SweepBlock{Cursor: in.Cursor, Block: in.Block, Pages: in.Pages, Expand: session.ExpandGoverned()}
	return r.Sweep(ctx, block, func(key string, users []organization.User) error {
		people, err := r.People(ctx, users)
		if err != nil {
			return err
		}
		return r.takePage(ctx, b, key, people)
	})
}

// What the pages of a review count.
const (
	noteMembers = "members" // people in a source group
	notePeers   = "peers"   // of those, by target, who hold it too
	noteHolders = "holders" // people who hold a target, whether reviewed or not
	noteSkipped = "skipped"
	noteUnclear = "unclear" // people of whom the scope's condition cannot be answered: they are reviewed
	noteUnread  = "unread"  // people of whom the read does not say whether they hold a target
)

// takePage collects the items of one page of people.
func (r *campaignSession) takePage(ctx context.Context, b *policy.Bound, page string, ps []access.Person) error {
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	now := r.Now()
	states, err := r.Ledger.States(ctx, r.Org, ids, now.Add(-session.RecentWrites))
	if err != nil {
		return err
	}
	kept, err := r.Ledger.Use(ctx, r.Org, ids, now.Add(-session.UseKept))
	if err != nil {
		return err
	}
	before, err := r.Ledger.LastDecisions(ctx, r.Org, r.review.Campaign, ids)
	if err != nil {
		return err
	}
	t := collector{campaignSession: r, bound: b, now: now, scope: b.ReviewTargets(r.campaign), before: before,
		notes: ledger.Notes{}}
	for _, p := range ps {
		if use, known := kept[p.ID]; known && !use.Silent {
			p.Activity = session.MergeActivity(p.Activity, use.Apps)
		}
		if !p.IsApp() {
			t.person(p, states[p.ID])
		}
	}
	if err := t.sponsors(ctx); err != nil {
		return err
	}
	return r.Ledger.SaveItems(ctx, r.Org, r.review.ID, page, t.items, t.notes)
}

// collector takes items of people one by one.
type collector struct {
	*campaignSession
	bound  *policy.Bound
	now    time.Time
	scope  []int
	before map[ledger.Key]ledger.LastDecision
	items  []access.Item
	notes  ledger.Notes
}

func (t *collector) person(p access.Person, state ledger.PersonState) {
	known := policy.Known{Grants: access.InForce(state.Grants, t.now), Marks: state.Marks,
		Held: state.Holdings, Now: t.now}
	facts := t.bound.Facts(p, known)
	var held []int
	for _, target := range t.scope {
		name := string(t.bound.Targets[target].Entitlement)
		switch is, known := t.bound.Holds(p, target); {
		case !known:
			t.notes.Add(noteUnread, name)
		case is:
			held = append(held, target)
			t.notes.Add(noteHolders, name)
		}
	}
	for _, g := range facts.Sources {
		t.notes.Add(noteMembers, g)
		for _, target := range held {
			t.notes.Add(notePeers, g, string(t.bound.Targets[target].Entitlement))
		}
	}
	if len(held) == 0 {
		return
	}
	switch asked, err := t.campaign.Covers(facts, t.now); {
	case err != nil:
		t.notes.Add(noteUnclear)
	case !asked:
		return
	}
	wants := t.bound.Resolve(p, known).Wants
	for _, target := range held {
		item := t.item(p, facts, state, target)
		if at := slices.IndexFunc(wants, func(w policy.Want) bool { return w.Target == target }); at >= 0 {
			item.Reasons = wants[at].Reasons
		}
		last, decided := t.before[ledger.Key{Person: p.ID, Target: item.Target}]
		if decided {
			item.Before = &last.PastDecision
		}
		if t.campaign.Scope.Only == policy.ReviewChanged && decided &&
			review.Unchanged(item, last.PastDecision, last.Owned, last.Reasons) {
			t.notes.Add(noteSkipped)
			continue
		}
		t.items = append(t.items, item)
	}
}

// mostSources is how many of a person's source groups an item includes.
const mostSources = 20

// item returns the item about one person's hold on one target.
func (t *collector) item(p access.Person, facts condition.Facts, state ledger.PersonState, target int) access.Item {
	is := &t.bound.Targets[target]
	i := access.Item{
		Person: p.ID, Email: p.Email, Name: p.Name, Status: p.MembershipStatus, External: facts.External,
		Target: is.Entitlement, GroupID: is.GroupID, Opens: is.Apps, Uses: usesOf(facts, is),
	}
	i.Sources = slices.Sorted(slices.Values(facts.Sources))
	i.Sources = i.Sources[:min(len(i.Sources), mostSources)]
	for _, h := range state.Holdings {
		if h.Target.Same(is.Entitlement) {
			i.Owned, i.Since = h.Owned, h.From
		}
	}
	for _, g := range facts.Granted {
		if g.Target == access.Directory {
			i.Sponsor = g.By
		}
	}
	if is.Protected != nil {
		i.Risks = []string{riskProtected}
	}
	return i
}

// usesOf returns when the person used what the target opens: all apps if it is about presence or the whole
// organization.
func usesOf(f condition.Facts, t *policy.Target) []access.Use {
	var uses []access.Use
	whole := t.Entitlement.Presence() || t.Entitlement == access.OrgAdmin
	for _, u := range f.Apps {
		if app := u.App + "/" + u.Site; whole || slices.Contains(t.Apps, app) {
			uses = append(uses, access.Use{App: app, Last: u.Last, Never: u.Never})
		}
	}
	for _, app := range t.Apps {
		if !slices.ContainsFunc(uses, func(u access.Use) bool { return u.App == app }) {
			uses = append(uses, access.Use{App: app}) // unknown
		}
	}
	return uses
}

// ReviewRankResult is how many items a review has.
type ReviewRankResult struct {
	Items   int           `json:"items"`
	Skipped int           `json:"skipped,omitempty"`
	Review  access.Review `json:"review"`
}

// rankAtOnce is how many items are in memory while they are ranked.
const rankAtOnce = 500

// ReviewRank completes the items once all are collected: what peers hold, the recommendation and its reason, and the
// risk; and numbers them, the riskiest first. A repeat has the same result.
func (a *Activities) ReviewRank(ctx context.Context, in ReviewInput) (ReviewRankResult, error) {
	defer session.AutoHeartbeat(ctx)()
	r, campaign, err := a.campaignOf(ctx, in)
	if err != nil {
		return ReviewRankResult{}, err
	}
	if r.State != access.ReviewOpening {
		return ReviewRankResult{Items: r.Items, Skipped: r.Skipped, Review: r}, nil
	}
	notes, err := a.env.Ledger.ReviewNotes(ctx, in.Org, in.Review)
	if err != nil {
		return ReviewRankResult{}, err
	}
	if err := a.rankItems(ctx, in, notes, r.Opened); err != nil {
		return ReviewRankResult{}, err
	}
	count, err := a.env.Ledger.NumberItems(ctx, in.Org, in.Review)
	if err != nil {
		return ReviewRankResult{}, err
	}
	r, err = a.env.Ledger.ChangeReview(ctx, in.Org, in.Review, func(is *access.Review) bool {
		if is.Holders != nil || is.Items > 0 {
			return false // the notes are deleted by now
		}
		is.Items, is.Skipped, is.Holders = count, notes.Of(noteSkipped), map[access.Entitlement]int{}
		for _, note := range notes.Sorted() {
			n, target := notes[note], note.About[0]
			if note.Kind == noteHolders {
				is.Holders[access.Entitlement(target)] = n
			}
			if note.Kind == noteUnread && len(is.Findings) < mostFindings {
				is.Findings = append(is.Findings,
					fmt.Sprintf("it is not known whether %s hold %s: they are left out",
						session.CountPeople(n), target))
			}
		}
		if n := notes.Of(noteUnclear); n > 0 {
			is.Findings = append(is.Findings,
				fmt.Sprintf("it is not known whether %s are in scope (%s): they are reviewed",
					session.CountPeople(n), campaign.Scope.People))
		}
		return true
	})
	return ReviewRankResult{Items: r.Items, Skipped: r.Skipped, Review: r}, err
}

// rankItems ranks the items that are not ranked yet, a page of them at a time.
func (a *Activities) rankItems(ctx context.Context, in ReviewInput, notes ledger.Notes, opened time.Time) error {
	filter := ledger.ItemFilter{Unranked: true, Limit: rankAtOnce}
	for {
		page, err := a.env.Ledger.Items(ctx, in.Org, in.Review, filter)
		if err != nil || len(page) == 0 {
			return err
		}
		for n := range page {
			rank(&page[n], notes, opened)
		}
		if err := a.env.Ledger.RankItems(ctx, in.Org, in.Review, page); err != nil {
			return err
		}
		if len(page) < rankAtOnce {
			return nil
		}
		last := page[len(page)-1]
		filter.AfterKey = ledger.Key{Person: last.Person, Target: last.Target}
	}
}
