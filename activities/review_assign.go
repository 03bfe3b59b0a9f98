package activities

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// ReviewStageInput lets a stage begin.
type ReviewStageInput struct {
	ReviewInput
	Stage int       `json:"stage"`
	Due   time.Time `json:"due"`
}

// ReviewStageBegun is what a stage began with.
type ReviewStageBegun struct {
	Items int           `json:"items"` // that came to it
	Tasks int           `json:"tasks"`
	Of    access.Review `json:"of"`
}

// ReviewStage decides which items come to a stage and gives them out to its reviewers. A repeat finds it begun.
//
// Calls: reviewers/100, and members/100 of each group that is named as a reviewer.
func (a *Activities) ReviewStage(ctx context.Context, in ReviewStageInput) (ReviewStageBegun, error) {
	defer beating(ctx)()
	r, err := a.reviewing(ctx, in.ReviewInput)
	if err != nil {
		return ReviewStageBegun{}, err
	}
	if r.review.Stage >= in.Stage {
		c, err := r.ledger.CountReview(ctx, in.Org, in.Review)
		return ReviewStageBegun{Items: c.Asked, Of: r.review}, err
	}
	coming, err := r.coming(ctx, in.Stage)
	if err != nil {
		return ReviewStageBegun{}, err
	}
	g, err := r.giving(ctx, in.Stage, nil)
	if err != nil {
		return ReviewStageBegun{}, err
	}
	var numbers []int
	for _, i := range coming {
		numbers = append(numbers, i.N)
		g.give(i)
	}
	if len(coming) > 0 {
		if err := r.ledger.BeginStage(ctx, in.Org, in.Review, in.Stage, in.Due, numbers, g.tasks, r.now()); err != nil {
			return ReviewStageBegun{}, err
		}
	}
	if err := r.find(ctx, g.findings()...); err != nil {
		return ReviewStageBegun{}, err
	}
	is, err := r.ledger.Review(ctx, in.Org, in.Review)
	return ReviewStageBegun{Items: len(numbers), Tasks: len(g.tasks), Of: is}, err
}

// coming are the items that go on to a stage.
func (r *reviewing) coming(ctx context.Context, stage int) ([]ledger.ItemBrief, error) {
	var coming []ledger.ItemBrief
	err := r.ledger.ItemBriefs(ctx, r.org, r.review.ID, func(i ledger.ItemBrief) error {
		if stage == 1 {
			coming = append(coming, i)
			return nil
		}
		said := i.Verdict
		if i.Spoke < stage-1 {
			said = ""
		}
		if i.Stage == stage-1 && r.campaign.Stages[stage-2].Next.Goes(said) {
			coming = append(coming, i)
		}
		return nil
	})
	return coming, err
}

// giving gives items out to reviewers.
type giving struct {
	*reviewing
	bound    *policy.Bound
	is       policy.ReviewStage
	people   map[string]access.Person // who was found, by every name in lower case
	gone     map[string]bool          // names that nobody active goes by, in lower case
	members  map[string][]string      // of groups, by name in lower case
	owners   map[int][]string         // of targets
	load     map[string]int           // items by reviewer
	tasks    []access.Task
	crowded  bool // somebody has more than the campaign's most
	nobody   int  // items for which there is nobody
	fellBack int  // items whose reviewers are all gone, or the person themselves
	at       time.Time
}

// giving looks up all reviewers that a stage may need, and whoever else is named.
func (r *reviewing) giving(ctx context.Context, stage int, others []string) (*giving, error) {
	b, err := r.governed(ctx)
	if err != nil {
		return nil, err
	}
	g := &giving{
		reviewing: r, bound: b, is: r.campaign.Stages[stage-1], people: map[string]access.Person{}, gone: map[string]bool{},
		members: map[string][]string{}, owners: map[int][]string{}, load: map[string]int{}, at: r.now(),
	}
	for _, t := range b.Reviewed(r.campaign) {
		g.owners[t] = r.campaign.OwnersOf(b, t)
	}
	names := map[string]bool{r.campaign.Owner: true}
	for _, name := range others {
		names[name] = true
	}
	var groups []string
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
			if err := r.ledger.ItemBriefs(ctx, r.org, r.review.ID, func(i ledger.ItemBrief) error {
				if i.Sponsor != "" {
					names[i.Sponsor] = true
				}
				return nil
			}); err != nil {
				return nil, err
			}
		case word != policy.ReviewerPerson:
			names[word] = true
		}
	}
	all := slices.Sorted(maps.Keys(names))
	found, err := r.readPeople(ctx, all)
	if err != nil {
		return nil, err
	}
	g.know(found)
	for _, name := range all {
		if p, known := g.people[strings.ToLower(name)]; !known || !p.CanReceive() {
			g.gone[strings.ToLower(name)] = true
		}
	}
	inGroups, err := r.approvers(ctx, groups)
	if err != nil {
		return nil, err
	}
	for group, members := range inGroups {
		g.know(members)
		for _, p := range members {
			if p.CanReceive() {
				g.members[strings.ToLower(group)] = append(g.members[strings.ToLower(group)], nameOf(p))
			}
		}
		slices.Sort(g.members[strings.ToLower(group)])
	}
	return g, nil
}

func (g *giving) know(ps []access.Person) {
	for _, p := range ps {
		for _, name := range []string{p.ID, p.Email} {
			if name != "" {
				g.people[strings.ToLower(name)] = p
			}
		}
	}
}

// nameOf is what a reviewer goes by in tasks: the address in lower case, or the account id where none is known.
func nameOf(p access.Person) string { return cmp.Or(strings.ToLower(p.Email), p.ID) }

// candidates are the active people whom words stand for, about one item. Nobody reviews what they hold themselves, unless the
// campaign asks the person.
func (g *giving) candidates(words []string, i ledger.ItemBrief) []string {
	var names []string
	add := func(name string, self bool) {
		if p, known := g.people[strings.ToLower(name)]; known {
			if !p.CanReceive() || p.ID == i.Person && !self {
				return
			}
			name = nameOf(p)
		} else if !self {
			return
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, word := range words {
		switch group, is := policy.ReviewerGroup(word); {
		case is:
			for _, name := range g.members[strings.ToLower(group)] {
				add(name, false)
			}
		case word == policy.ReviewerPerson:
			add(cmp.Or(i.Email, i.Person), true)
		case word == policy.ReviewerSponsor:
			add(i.Sponsor, false)
		case word == policy.ReviewerOwner:
			owners := []string{g.campaign.Owner}
			if t, known := g.bound.Target(i.Target); known && len(g.owners[t]) > 0 {
				owners = g.owners[t]
			}
			for _, name := range owners {
				add(name, false)
			}
		default:
			add(word, false)
		}
	}
	return names
}

// give gives one item out: to the reviewers, to the fallback where all of them are gone or full, and to the campaign's owner where
// these are gone too.
func (g *giving) give(i ledger.ItemBrief) {
	first := g.candidates(g.is.Reviewers, i)
	if g.is.Assign == policy.AssignAll && len(first) > 0 {
		for _, name := range first {
			g.task(i, name, access.TaskReviewer)
		}
		return
	}
	name, full := g.least(first)
	if name != "" && !full {
		g.task(i, name, access.TaskReviewer)
		return
	}
	if g.giveFallback(i, name != "") {
		return
	}
	if name != "" { // there is nobody else
		g.task(i, name, access.TaskReviewer)
		return
	}
	g.fellBack++
	if !g.giveOwner(i) {
		g.nobody++
	}
}

// giveFallback gives an item to the fallback with the fewest items. With room, only as long as that one has room.
func (g *giving) giveFallback(i ledger.ItemBrief, room bool) bool {
	name, full := g.least(g.candidates(g.is.Fallback, i))
	if name == "" || room && full {
		return false
	}
	if !room {
		g.fellBack++
	}
	g.task(i, name, access.TaskFallback)
	return true
}

// giveOwner gives an item to the campaign's owner.
func (g *giving) giveOwner(i ledger.ItemBrief) bool {
	names := g.candidates([]string{g.campaign.Owner}, i)
	if len(names) > 0 {
		g.task(i, names[0], access.TaskOwner)
	}
	return len(names) > 0
}

// least is whoever of these has the fewest items; full says that even they have as many as the campaign allows.
func (g *giving) least(names []string) (name string, full bool) {
	for _, one := range names {
		if name == "" || g.load[one] < g.load[name] {
			name = one
		}
	}
	return name, g.load[name] >= g.campaign.Most
}

func (g *giving) task(i ledger.ItemBrief, name string, role access.TaskRole) {
	g.load[name]++
	g.crowded = g.crowded || g.load[name] > g.campaign.Most
	g.tasks = append(g.tasks, access.Task{N: i.N, Reviewer: name, Role: role, Since: g.at})
}

// findings say what is wrong with how the stage is staffed.
func (g *giving) findings() []string {
	var found []string
	if names := slices.Sorted(maps.Keys(g.gone)); len(names) > 0 {
		found = append(found, "not active in the directory, and so not asked: "+strings.Join(names[:min(len(names), mostNames)], ", ")+more(len(names)-mostNames))
	}
	if g.fellBack > 0 {
		found = append(found, fmt.Sprintf("%s went to somebody else: none of the reviewers could be asked, or only the person themselves", ofItems(g.fellBack)))
	}
	if g.nobody > 0 {
		found = append(found, fmt.Sprintf("of %s nobody can be asked: silence decides", ofItems(g.nobody)))
	}
	if g.crowded {
		most, who := 0, ""
		for _, name := range slices.Sorted(maps.Keys(g.load)) {
			if g.load[name] > most {
				most, who = g.load[name], name
			}
		}
		found = append(found, fmt.Sprintf("more items than reviewers can take at %d each: %s has %d; name more reviewers, or narrow the scope", g.campaign.Most, who, most))
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

// ReviewAttendInput asks for what the clock wants of a stage.
type ReviewAttendInput struct {
	ReviewInput
	Stage    int  `json:"stage"`
	Fallback bool `json:"fallback,omitempty"` // reviewers were silent for long enough: the fallback is asked too
	Escalate bool `json:"escalate,omitempty"` // the stage is about to end: the campaign's owner is asked too
}

// ReviewAttended says whom it was necessary to ask.
type ReviewAttended struct {
	Gone  []string `json:"gone,omitempty"`  // reviewers who are not active any more
	Asked int      `json:"asked,omitempty"` // items that somebody else is asked about now
}

// ReviewAttend looks whether the reviewers who have something left are still there, and asks others where they are not, or where
// the clock says so. Who left is asked no more. A repeat asks nobody twice.
//
// Calls: reviewers/100, and members/100 of each group that is named as a reviewer.
func (a *Activities) ReviewAttend(ctx context.Context, in ReviewAttendInput) (ReviewAttended, error) {
	defer beating(ctx)()
	var answer ReviewAttended
	r, err := a.reviewing(ctx, in.ReviewInput)
	if err != nil || r.review.Stage != in.Stage || r.review.State != access.ReviewOpen {
		return answer, err
	}
	open, err := r.ledger.OpenTasks(ctx, in.Org, in.Review, in.Stage, "")
	if err != nil {
		return answer, err
	}
	reviewers := map[string]bool{}
	for _, t := range open {
		reviewers[t.Reviewer] = true
	}
	g, err := r.giving(ctx, in.Stage, slices.Sorted(maps.Keys(reviewers)))
	if err != nil {
		return answer, err
	}
	asked := map[int][]string{} // who of those asked about an item is there
	for _, t := range open {
		if !g.gone[t.Reviewer] {
			asked[t.N] = append(asked[t.N], t.Reviewer)
			g.load[t.Reviewer]++
		} else if !slices.Contains(answer.Gone, t.Reviewer) {
			answer.Gone = append(answer.Gone, t.Reviewer)
		}
	}
	items, err := r.undecided(ctx, in.Stage)
	if err != nil {
		return answer, err
	}
	for _, i := range items {
		before := len(g.tasks)
		switch who := asked[i.N]; {
		case len(who) == 0:
			if !g.giveFallback(i, false) {
				g.giveOwner(i)
			}
		case in.Fallback && !g.any(who, g.candidates(g.is.Fallback, i)):
			g.giveFallback(i, false)
		}
		if in.Escalate {
			g.giveOwner(i)
		}
		if len(g.tasks) > before {
			answer.Asked++
		}
	}
	var leave []string
	for _, name := range answer.Gone {
		if _, shown := g.people[name]; shown { // whom the directory does not show at all may only be hidden from one read
			leave = append(leave, name)
		}
	}
	kind, text := access.EventFallback, "others are asked about what nobody decided"
	if in.Escalate {
		kind, text = access.EventEscalated, "the campaign's owner is asked about what nobody decided"
	}
	if len(answer.Gone) > 0 {
		text += "; not active any more: " + strings.Join(answer.Gone[:min(len(answer.Gone), mostNames)], ", ") + more(len(answer.Gone)-mostNames)
	}
	_, err = r.ledger.GiveTasks(ctx, in.Org, in.Review, in.Stage, g.tasks, leave, access.ReviewEvent{At: r.now(), Kind: kind, Stage: in.Stage, Text: text})
	return answer, err
}

// any says that one of these is among those.
func (g *giving) any(these, those []string) bool {
	return slices.ContainsFunc(these, func(name string) bool { return slices.Contains(those, name) })
}

// undecided are the items of a stage of which nobody has said anything in it.
func (r *reviewing) undecided(ctx context.Context, stage int) ([]ledger.ItemBrief, error) {
	var all []ledger.ItemBrief
	err := r.ledger.ItemBriefs(ctx, r.org, r.review.ID, func(i ledger.ItemBrief) error {
		if i.Stage == stage && i.Spoke < stage {
			all = append(all, i)
		}
		return nil
	})
	return all, err
}
