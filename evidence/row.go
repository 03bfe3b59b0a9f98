package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// row is an item as the page shows it.
type row struct {
	N                    int
	Who, About           string // e-mail address or account id, and what else is known of the person
	Target, Opens        string
	Held, Why            string
	Used, Peers          string
	Risk                 int
	Advice               string
	Verdict              access.Verdict
	Silent, Exception    bool
	Said                 []access.Said
	Word, Answer, Traces string // of the outcome
}

func rowOf(i access.Item) row {
	r := row{
		N: i.N, Who: who(i), About: aboutPerson(i),
		Target: string(i.Target), Opens: strings.Join(i.Opens, ", "),
		Held: "since when is unknown", Why: "nothing in the policy explains it",
		Used: "use unknown", Peers: "no peers",
		Risk: i.Risk, Advice: advice(i),
		Verdict: i.Verdict, Silent: i.Silent, Exception: i.Outcome.Exception(), Said: i.Said,
		Word: outcomes[i.Outcome].Word, Answer: i.Why, Traces: traces(i),
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

func who(i access.Item) string { return access.Person{ID: i.Person, Email: i.Email}.Label() }

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

// traces are where more can be read of an outcome.
func traces(i access.Item) string {
	var all []string
	if !i.Until.IsZero() {
		all = append(all, "until "+day(i.Until))
	}
	if i.Plan != "" {
		all = append(all, "plan "+i.Plan)
	}
	if i.Run != "" {
		all = append(all, "run "+i.Run)
	}
	return strings.Join(all, ", ")
}

// exception is all items of one outcome that is not what was decided.
type exception struct {
	outcome
	Rows []row
}

func exceptions(items []access.Item) []exception {
	rows := make(map[access.Outcome][]row)
	for _, i := range items {
		if i.Outcome.Exception() {
			rows[i.Outcome] = append(rows[i.Outcome], rowOf(i))
		}
	}
	var all []exception
	for _, o := range outcomeOrder {
		if len(rows[o]) > 0 {
			all = append(all, exception{outcomes[o], rows[o]})
		}
	}
	return all
}

// paceRow is one reviewer's pace as the page shows it.
type paceRow struct {
	Reviewer, Decisions, Kept, Median, Fast, Run, Bulk string
	Flags                                              []string
}

// paceRule is what Paces remarks on, in words.
var paceRule = fmt.Sprintf("Remarked on are a median under %s per decision over %d or more, %d or more items decided at once, %d or more decisions all of which were to keep, and %d or more keeps in a row.",
	lasting(QuickMedian), QuickOver, ManyAtOnce, AllKept, ManyKeeps)

func paceRows(paces []Pace) []paceRow {
	slices.SortStableFunc(paces, func(a, b Pace) int {
		return cmp.Or(cmp.Compare(len(b.Flags), len(a.Flags)), cmp.Compare(b.Decisions, a.Decisions))
	})
	var rows []paceRow
	for _, p := range paces {
		r := paceRow{
			Reviewer: p.Reviewer, Decisions: grouped(p.Decisions), Kept: percent(p.Kept, p.Decisions),
			Median: unknown, Fast: unknown, Run: grouped(p.Run), Bulk: grouped(p.Bulk), Flags: p.Flags,
		}
		if p.Timed > 0 {
			r.Median, r.Fast = lasting(p.Median), lasting(p.Fast)
		}
		rows = append(rows, r)
	}
	return rows
}
