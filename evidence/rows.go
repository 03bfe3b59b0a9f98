package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

// row is an item on the page.
type row struct {
	N                         int
	Who, About                string // e-mail address or account id; other facts about the person
	Target, Opens             string
	Held, Why                 string
	Used, Peers               string
	Risk                      int
	Advice                    string
	Verdict                   access.Verdict
	Silent, Exception         bool
	Said                      []access.ItemDecision
	Label, Answer, References string // of the outcome
}

func newRow(i access.Item) row {
	r := row{
		N: i.N, Who: personLabel(i), About: aboutPerson(i),
		Target: string(i.Target), Opens: strings.Join(i.Opens, ", "),
		Held: "since when is unknown", Why: "nothing in the policy explains it",
		Used: "use unknown", Peers: "no peers",
		Risk: i.Risk, Advice: advice(i),
		Verdict: i.Verdict, Silent: i.Silent, Exception: i.Outcome.Exception(), Said: i.Said,
		Label: outcomeTexts[i.Outcome].Label, Answer: i.Why, References: references(i),
	}
	if !i.Since.IsZero() {
		r.Held = "since " + since(i)
	}
	if !i.Owned {
		r.Held += ", made by somebody else"
	}
	if len(i.Reasons) > 0 {
		r.Why = reasons(i)
	}
	if len(i.Uses) > 0 {
		r.Used = uses(i)
	}
	if i.Peers != nil {
		r.Peers = "held by " + peers(i)
	}
	return r
}

func personLabel(i access.Item) string { return access.Person{ID: i.Person, Email: i.Email}.Label() }

func aboutPerson(i access.Item) string {
	var all []string
	if i.Name != "" {
		all = append(all, i.Name)
	}
	if i.Status != "" && i.Status != "active" {
		all = append(all, i.Status)
	}
	if i.External != nil && *i.External {
		all = append(all, "external")
	}
	if i.Sponsor != "" {
		all = append(all, "sponsor "+cmp.Or(i.SponsorEmail, i.Sponsor))
	}
	return strings.Join(all, ", ")
}

func advice(i access.Item) string {
	var all []string
	if i.Recommend != "" {
		all = append(all, string(i.Recommend))
	}
	if i.Because != "" {
		all = append(all, i.Because)
	}
	advice := strings.Join(all, ": ")
	if i.Before != nil {
		advice += "; last time " + cmp.Or(string(i.Before.Verdict), "undecided")
	}
	return strings.TrimPrefix(advice, "; ")
}

// references lists where to read more about an outcome.
func references(i access.Item) string {
	var all []string
	if !i.Until.IsZero() {
		all = append(all, "until "+formatDay(i.Until))
	}
	if i.Plan != "" {
		all = append(all, "plan "+i.Plan)
	}
	if i.Run != "" {
		all = append(all, "run "+i.Run)
	}
	return strings.Join(all, ", ")
}

// exception is all items of one exceptional outcome.
type exception struct {
	outcomeText
	Rows []row
}

func exceptions(items []access.Item) []exception {
	rows := make(map[access.Outcome][]row)
	for _, i := range items {
		if i.Outcome.Exception() {
			rows[i.Outcome] = append(rows[i.Outcome], newRow(i))
		}
	}
	var all []exception
	for _, o := range outcomeOrder {
		if len(rows[o]) > 0 {
			all = append(all, exception{outcomeTexts[o], rows[o]})
		}
	}
	return all
}

// paceRow is one reviewer's pace on the page.
type paceRow struct {
	Reviewer, Decisions, Kept, Median, Fast, Run, Bulk string
	Flags                                              []string
}

// paceRule explains the remarks of Paces.
var paceRule = fmt.Sprintf("Remarked on are a median under %s per decision over %d or more, %d or more items decided at once, %d or more decisions all of which were to keep, and %d or more keeps in a row.",
	formatDuration(QuickMedian), QuickOver, ManyAtOnce, AllKept, ManyKeeps)

func paceRows(paces []Pace) []paceRow {
	slices.SortStableFunc(paces, func(a, b Pace) int {
		return cmp.Or(cmp.Compare(len(b.Flags), len(a.Flags)), cmp.Compare(b.Decisions, a.Decisions))
	})
	var rows []paceRow
	for _, p := range paces {
		r := paceRow{
			Reviewer: p.Reviewer, Decisions: display.Number(p.Decisions), Kept: percent(p.Kept, p.Decisions),
			Median: unknown, Fast: unknown, Run: display.Number(p.Run), Bulk: display.Number(p.Bulk), Flags: p.Flags,
		}
		if p.Timed > 0 {
			r.Median, r.Fast = formatDuration(p.Median), formatDuration(p.Fast)
		}
		rows = append(rows, r)
	}
	return rows
}
