package reviews

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/review"
)

// ReviewStageInput begins a stage.
type ReviewStageInput struct {
	ReviewInput
	Stage int       `json:"stage"`
	Due   time.Time `json:"due"`
}

// ReviewStageResult is what a stage began with.
type ReviewStageResult struct {
	Items int           `json:"items"` // that reached it
	Tasks int           `json:"tasks"`
	Of    access.Review `json:"of"`
}

// ReviewStage decides which items reach a stage and assigns them to its reviewers. A repeat finds it begun.
//
// Calls: reviewers/100, and members/100 of each group that is named as a reviewer.
func (a *Activities) ReviewStage(ctx context.Context, in ReviewStageInput) (ReviewStageResult, error) {
	defer session.AutoHeartbeat(ctx)()
	r, err := a.openCampaign(ctx, in.ReviewInput)
	if err != nil {
		return ReviewStageResult{}, err
	}
	if r.review.Stage >= in.Stage {
		c, err := r.Ledger.CountReview(ctx, in.Org, in.Review)
		return ReviewStageResult{Items: c.Asked, Of: r.review}, err
	}
	coming, err := r.coming(ctx, in.Stage)
	if err != nil {
		return ReviewStageResult{}, err
	}
	g, err := r.assignment(ctx, in.Stage, nil)
	if err != nil {
		return ReviewStageResult{}, err
	}
	var numbers []int
	for _, i := range coming {
		numbers = append(numbers, i.N)
		g.Assign(g.candidates(i))
	}
	if len(coming) > 0 {
		if err := r.Ledger.BeginStage(ctx, in.Org, in.Review, in.Stage, in.Due, numbers, g.Tasks, r.Now()); err != nil {
			return ReviewStageResult{}, err
		}
	}
	if err := r.find(ctx, g.findings()...); err != nil {
		return ReviewStageResult{}, err
	}
	is, err := r.Ledger.Review(ctx, in.Org, in.Review)
	return ReviewStageResult{Items: len(numbers), Tasks: len(g.Tasks), Of: is}, err
}

// coming returns the items that go on to a stage.
func (r *campaignSession) coming(ctx context.Context, stage int) ([]ledger.ItemBrief, error) {
	var coming []ledger.ItemBrief
	course := r.course()
	err := r.Ledger.ItemBriefs(ctx, r.Org, r.review.ID, func(i ledger.ItemBrief) error {
		if course.Enters(stage, i.Stage, i.Spoke, i.Verdict) {
			coming = append(coming, i)
		}
		return nil
	})
	return coming, err
}

// assignment assigns items to reviewers.
type assignment struct {
	*campaignSession
	review.Assignment
	bound *policy.Bound
	is    policy.ReviewStage
	// by the names in the campaign, of sponsors, and of old reviews
	accounts map[string]string
	people   map[string]access.Person // the people found, by account ID
	gone     []string                 // names in the campaign without an active account
	members  map[string][]string      // account IDs in groups, by name in lower case
	owners   map[int][]string         // of targets, as the campaign names them
}

// assignment looks up all reviewers that a stage may need, and others by account ID.
func (r *campaignSession) assignment(ctx context.Context, stage int, others []string) (*assignment, error) {
	b, err := r.Governed(ctx)
	if err != nil {
		return nil, err
	}
	g := &assignment{
		campaignSession: r, bound: b, is: r.campaign.Stages[stage-1], people: map[string]access.Person{},
		members: map[string][]string{}, owners: map[int][]string{},
	}
	g.Assignment = review.Assignment{All: g.is.Assign == policy.AssignAll, Most: r.campaign.Most, At: r.Now(),
		Load: map[string]int{}}
	for _, t := range b.ReviewTargets(r.campaign) {
		g.owners[t] = r.campaign.OwnersOf(b, t)
	}
	names, groups, err := g.named(ctx)
	if err != nil {
		return nil, err
	}
	if err := g.lookUp(ctx, names, others); err != nil {
		return nil, err
	}
	if err := g.lookUpMembers(ctx, groups); err != nil {
		return nil, err
	}
	for _, name := range names {
		if !g.there(g.account(name)) {
			g.gone = append(g.gone, g.label(name))
		}
	}
	return g, nil
}

// named returns the people whom the stage may ask, as the campaign, its targets and the items name them, sorted, and
// the groups.
func (g *assignment) named(ctx context.Context) (people, groups []string, err error) {
	names := map[string]bool{g.campaign.Owner: true}
	for _, word := range slices.Concat(g.is.Reviewers, g.is.Fallback) {
		switch group, is := policy.ReviewerGroup(word); {
		case is:
			groups = append(groups, group)
		case word == policy.ReviewerOwner:
			for _, owners := range g.owners {
				for _, name := range owners {
					names[name] = true
				}
			}
		case word == policy.ReviewerSponsor:
			if err := g.Ledger.ItemBriefs(ctx, g.Org, g.review.ID, func(i ledger.ItemBrief) error {
				if i.Sponsor != "" {
					names[i.Sponsor] = true
				}
				return nil
			}); err != nil {
				return nil, nil, err
			}
		case word != policy.ReviewerPerson:
			names[word] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), groups, nil
}

// lookUp looks up the accounts of names, and reads these and others by account ID.
func (g *assignment) lookUp(ctx context.Context, names, others []string) (err error) {
	if g.accounts, err = g.reviewNames(ctx, names); err != nil {
		return err
	}
	ids := slices.Clone(others)
	for _, name := range names {
		if id := g.account(name); id != "" {
			ids = append(ids, id)
		}
	}
	g.people, err = g.readAccounts(ctx, ids)
	return err
}

// lookUpMembers reads the active members of groups, in the order of their addresses.
func (g *assignment) lookUpMembers(ctx context.Context, groups []string) error {
	inGroups, err := g.Approvers(ctx, groups)
	if err != nil {
		return err
	}
	for group, members := range inGroups {
		slices.SortFunc(members, func(a, b access.Person) int {
			return cmp.Or(strings.Compare(strings.ToLower(a.Email), strings.ToLower(b.Email)),
				strings.Compare(a.ID, b.ID))
		})
		for _, p := range members {
			if g.people[p.ID] = p; p.CanReceive() {
				g.members[access.Fold(group)] = append(g.members[access.Fold(group)], p.ID)
			}
		}
	}
	return nil
}

// account returns the account of a name; "" if there is none.
func (g *assignment) account(name string) string {
	if access.IsAddress(name) {
		return g.accounts[access.FoldAddress(name)]
	}
	return name
}

// there reports whether the directory shows an account active.
func (g *assignment) there(id string) bool {
	p, known := g.people[id]
	return known && p.CanReceive()
}

// label returns a person's name for display: a name of the campaign or an account ID.
func (g *assignment) label(name string) string {
	for _, id := range []string{name, g.account(name)} {
		if p, known := g.people[id]; known {
			return p.Label()
		}
	}
	return name
}

// candidates returns who may be asked about an item.
func (g *assignment) candidates(i ledger.ItemBrief) review.Candidates {
	return review.Candidates{
		N:         i.N,
		Reviewers: func() []string { return g.active(g.is.Reviewers, i) },
		Fallback:  func() []string { return g.active(g.is.Fallback, i) },
		Owner:     func() []string { return g.active([]string{g.campaign.Owner}, i) },
	}
}

// active returns the active people of names, for one item. Nobody reviews what they hold themselves, unless the
// campaign asks the person.
func (g *assignment) active(words []string, i ledger.ItemBrief) []string {
	var ids []string
	add := func(id string, self bool) {
		p, known := g.people[id]
		if known && (!p.CanReceive() || id == i.Person && !self) || !known && !self {
			return
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, word := range words {
		switch group, is := policy.ReviewerGroup(word); {
		case is:
			for _, id := range g.members[access.Fold(group)] {
				add(id, false)
			}
		case word == policy.ReviewerPerson:
			add(i.Person, true)
		case word == policy.ReviewerSponsor:
			add(g.account(i.Sponsor), false)
		case word == policy.ReviewerOwner:
			owners := []string{g.campaign.Owner}
			if t, known := g.bound.Target(i.Target); known && len(g.owners[t]) > 0 {
				owners = g.owners[t]
			}
			for _, name := range owners {
				add(g.account(name), false)
			}
		default:
			add(g.account(word), false)
		}
	}
	return ids
}

// findings returns what is wrong with the stage's reviewers.
func (g *assignment) findings() []string {
	var found []string
	if names := session.Distinct(g.gone); len(names) > 0 {
		found = append(found, "not active in the directory, so not asked: "+
			strings.Join(names[:min(len(names), mostNames)], ", ")+more(len(names)-mostNames))
	}
	if g.FellBack > 0 {
		found = append(found, fmt.Sprintf(
			"%s went to someone else: none of the reviewers could be asked, or only the person themselves",
			ofItems(g.FellBack)))
	}
	if g.Nobody > 0 {
		found = append(found, fmt.Sprintf("nobody can be asked about %s: the rule for silence decides", ofItems(g.Nobody)))
	}
	if g.Crowded {
		most, who := 0, ""
		for _, name := range slices.Sorted(maps.Keys(g.Load)) {
			if g.Load[name] > most {
				most, who = g.Load[name], name
			}
		}
		found = append(found, fmt.Sprintf(
			"more items than reviewers can take at %d each: %s has %d; name more reviewers, or narrow the scope",
			g.campaign.Most, g.label(who), most))
	}
	return found
}

const mostNames = 10

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// ReviewAttendInput asks for what is due in a stage.
type ReviewAttendInput struct {
	ReviewInput
	Stage    int  `json:"stage"`
	Fallback bool `json:"fallback,omitempty"` // reviewers have not answered for long enough: ask the fallback too
	Escalate bool `json:"escalate,omitempty"` // the stage is about to end: ask the campaign's owner too
}

// ReviewAttendResult is whom it was necessary to ask.
type ReviewAttendResult struct {
	Gone  []string `json:"gone,omitempty"`  // account IDs of reviewers who are no longer active
	Asked int      `json:"asked,omitempty"` // items that somebody else is asked about now
}

// ReviewAttend checks whether the reviewers with undecided items are still active, and asks others if they are not, or
// if it is due. Whoever left is no longer asked. A repeat asks nobody twice.
//
// Calls: reviewers/100, and members/100 of each group that is named as a reviewer.
func (a *Activities) ReviewAttend(ctx context.Context, in ReviewAttendInput) (ReviewAttendResult, error) {
	defer session.AutoHeartbeat(ctx)()
	var answer ReviewAttendResult
	r, err := a.openCampaign(ctx, in.ReviewInput)
	if err != nil || r.review.Stage != in.Stage || r.review.State != access.ReviewOpen {
		return answer, err
	}
	open, err := r.Ledger.OpenTasks(ctx, in.Org, in.Review, in.Stage, "")
	if err != nil {
		return answer, err
	}
	reviewers := map[string]bool{}
	for _, t := range open {
		reviewers[t.Reviewer] = true
	}
	g, err := r.assignment(ctx, in.Stage, slices.Sorted(maps.Keys(reviewers)))
	if err != nil {
		return answer, err
	}
	asked, gone := g.resume(open)
	answer.Gone = gone
	items, err := r.undecided(ctx, in.Stage)
	if err != nil {
		return answer, err
	}
	for _, i := range items {
		if g.Reassign(g.candidates(i), asked[i.N], in.Fallback, in.Escalate) {
			answer.Asked++
		}
	}
	var leave []string
	for _, id := range gone {
		if _, shown := g.people[id]; shown { // anybody else may only be missing in this read
			leave = append(leave, id)
		}
	}
	_, err = r.Ledger.GiveTasks(ctx, in.Org, in.Review, in.Stage, g.Tasks, leave, g.event(in, gone))
	return answer, err
}

// resume loads the open tasks: by item, which of those asked are active, and who is not.
func (g *assignment) resume(open []access.Task) (asked map[int][]string, gone []string) {
	asked = map[int][]string{}
	for _, t := range open {
		if g.there(t.Reviewer) {
			asked[t.N] = append(asked[t.N], t.Reviewer)
			g.Load[t.Reviewer]++
		} else if !slices.Contains(gone, t.Reviewer) {
			gone = append(gone, t.Reviewer)
		}
	}
	return asked, gone
}

// event returns the entry of the review's log that others were asked, and who is gone.
func (g *assignment) event(in ReviewAttendInput, gone []string) access.ReviewEvent {
	e := access.ReviewEvent{At: g.Now(), Kind: access.EventFallback, Stage: in.Stage,
		Text: "the fallback reviewers are asked about undecided items"}
	if in.Escalate {
		e.Kind, e.Text = access.EventEscalated, "the campaign's owner is asked about undecided items"
	}
	if len(gone) > 0 {
		var names []string
		for _, id := range gone[:min(len(gone), mostNames)] {
			names = append(names, g.label(id))
		}
		e.Text += "; no longer active: " + strings.Join(names, ", ") + more(len(gone)-mostNames)
	}
	return e
}

// undecided returns the items of a stage that nobody has decided in it.
func (r *campaignSession) undecided(ctx context.Context, stage int) ([]ledger.ItemBrief, error) {
	var all []ledger.ItemBrief
	err := r.Ledger.ItemBriefs(ctx, r.Org, r.review.ID, func(i ledger.ItemBrief) error {
		if i.Stage == stage && i.Spoke < stage {
			all = append(all, i)
		}
		return nil
	})
	return all, err
}
