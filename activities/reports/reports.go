package reports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// Limits of an answer, which goes through a workflow's history.
const (
	usualRows = 200
	mostRows  = 2000
)

// questionsOfLedger returns the questions that are answered here, by the kind of report.
func (a *Activities) questionsOfLedger() map[string]session.Question {
	return map[string]session.Question{
		messages.ReportWhy:      a.why,
		messages.ReportRuns:     a.runs,
		messages.ReportPlan:     a.planPage,
		messages.ReportPreview:  a.planPage,
		messages.ReportForeign:  a.foreign,
		messages.ReportGrants:   a.grants,
		messages.ReportHours:    a.hours,
		messages.ReportFindings: a.findings,
		messages.ReportLedger:   a.checkLedger,

		messages.ReportIdentities: a.identities,
		messages.ReportLinks:      a.links,
		messages.ReportConflicts:  a.conflicts,
		messages.ReportGroups:     a.groups,
	}
}

// answer returns the answer to a question, whatever its size.
func (a *Activities) answer(ctx context.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	// A preview of a first policy has a run, but its organization no policy in force yet.
	if _, err := a.env.Ledger.Organization(ctx, in.Org); errors.Is(err, ledger.ErrNotFound) && in.Run == "" &&
		!a.chained(ctx, in) {
		return messages.ReportAnswer{},
			session.NonRetryable(session.ErrUnknown,
				fmt.Errorf("no organization %q is known here; start it with `starter apply FILE`", in.Org))
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) &&
		!(errors.Is(err, ledger.ErrChainCut) && in.Kind == messages.ReportLedger) {
		return messages.ReportAnswer{}, err
	}
	answer := messages.ReportAnswer{Org: in.Org, Kind: in.Kind}
	ask, known := a.questions[in.Kind]
	if !known {
		return answer, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("unknown kind of report %q; the kinds are preview, explain, governance, %s", in.Kind,
				strings.Join(session.SortedKeys(a.questions), ", ")))
	}
	err := ask(ctx, in, &answer)
	return answer, err
}

func (a *Activities) why(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	p, err := a.env.LookUpAccount(ctx, in.Org, in.Person)
	if err != nil {
		return err
	}
	p.GroupIDs, p.PlatformRoles = nil, nil
	at := in.At
	if at.IsZero() {
		at = a.env.Now()
	}
	target := in.Target
	if target != "" {
		if target, err = a.env.LiveTarget(ctx, in.Org, target); err != nil {
			return err
		}
	}
	holdings, err := a.env.Ledger.HoldingsAt(ctx, in.Org, p.ID, target, at)
	if err != nil {
		return err
	}
	holdings, answer.Next = pageOf(holdings, in, func(h access.Holding) string { return string(h.Target) })
	var entries []ledger.Entry
	if in.After == "" { // the history comes with the first page
		if entries, err = a.env.Ledger.History(ctx, in.Org, p.ID, target, min(historyShown, in.Limit)); err != nil {
			return err
		}
	}
	answer.Why = &messages.Why{Person: p, At: at, Holdings: holdings}
	if in.At.IsZero() {
		if answer.Why.Missing, err = a.env.Ledger.MissingSince(ctx, in.Org, p.ID); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if !e.At.After(at) {
			answer.Why.History = append(answer.Why.History, messages.LedgerEntry{
				Seq: e.Seq, At: e.At, Kind: e.Kind, Run: e.Run, Person: e.Person, Target: e.Target, Body: e.Body,
				Hash: e.Hash,
			})
		}
	}
	answer.Message = whyInWords(p, in.Target, holdings)
	if !answer.Why.Missing.IsZero() {
		answer.Message = display.Sprintf("no read has shown %s since %s: what stands here is what they held then\n",
			p.Label(), session.Timestamp(answer.Why.Missing)) + answer.Message
	}
	return nil
}

// historyShown is how many entries of the ledger an answer includes.
const historyShown = 50

// pageOf returns the requested page of rows, in the order of their keys, and the key of the last row if more follow.
func pageOf[R any](all []R, in messages.ReportInput, key func(R) string) (page []R, next string) {
	slices.SortStableFunc(all, func(a, b R) int { return strings.Compare(key(a), key(b)) })
	for _, row := range all {
		switch {
		case in.After != "" && key(row) <= in.After:
		case len(page) == in.Limit:
			return page, key(page[len(page)-1])
		default:
			page = append(page, row)
		}
	}
	return page, ""
}

func whyInWords(p access.Person, target access.Entitlement, holdings []access.Holding) string {
	if len(holdings) == 0 {
		if target != "" {
			return display.Sprintf("%s does not hold %s", p.Label(), target)
		}
		return display.Terminal(p.Label()) + " holds no target of the policy"
	}
	var words []string
	for _, h := range holdings {
		how := "foreign: made by somebody else, and nothing in the policy explains it"
		if len(h.Reasons) > 0 {
			how = access.ReasonsInWords(h.Reasons)
			if !h.Owned {
				how += " (the membership itself was made by somebody else)"
			}
		} else if h.Owned {
			how = "made or adopted by Castellan; its reasons ended"
		}
		words = append(words, display.Sprintf("%s holds %s since %s: %s", p.Label(), h.Target,
			h.From.Format("2006-01-02 15:04:05Z07:00"), how))
	}
	return strings.Join(words, "\n")
}

func (a *Activities) runs(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	runs, err := a.env.Ledger.Runs(ctx, in.Org, in.Limit, in.After)
	if err != nil {
		return err
	}
	for _, r := range runs {
		answer.Runs = append(answer.Runs, session.RunMessage(r))
	}
	if len(runs) == in.Limit {
		answer.Next = runs[len(runs)-1].ID
	}
	answer.Message = fmt.Sprintf("%d runs", len(runs))
	return nil
}

func (a *Activities) planPage(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	held := ""
	if in.Run == "" {
		hold, err := a.openHold(ctx, in)
		if errors.Is(err, ledger.ErrNotFound) {
			answer.Message = "nothing is held; name a run to see its plan (starter runs lists them)"
			return nil
		}
		if err != nil {
			return err
		}
		in.Run, in.States, held = hold.Run, []string{string(access.Held)}, hold.Plan
	}
	run, err := a.env.Ledger.Run(ctx, in.Org, in.Run)
	if errors.Is(err, ledger.ErrNotFound) {
		return session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s has no run %q; starter runs lists them", in.Org, in.Run))
	}
	if err != nil {
		return err
	}
	filter := ledger.Filter{Limit: in.Limit}
	for _, s := range in.States {
		filter.States = append(filter.States, access.ChangeState(s))
	}
	if filter.After, err = session.ReadKey(in.After); err != nil {
		return session.NonRetryable(session.ErrUnknown, err)
	}
	lines, err := a.env.Ledger.Lines(ctx, in.Org, in.Run, filter)
	if err != nil {
		return err
	}
	answer.Plan = &messages.PlanPage{Run: session.RunMessage(run), Held: held, Lines: lines}
	if in.After == "" { // the first page includes the findings
		answer.Plan.Findings = run.Findings[:min(len(run.Findings), mostFound, in.Limit)]
		answer.Plan.Noticed = access.Summarize(run.Findings, min(mostFound, in.Limit))
	}
	if len(lines) == in.Limit {
		answer.Next = session.WriteKey(lines[len(lines)-1])
	}
	answer.Message = fmt.Sprintf("run %s: %d lines shown", in.Run, len(lines))
	return nil
}

// openHold returns the hold of the lane that is asked for: that of access, or else that of records, if none is named.
func (a *Activities) openHold(ctx context.Context, in messages.ReportInput) (ledger.Hold, error) {
	if in.Lane != messages.LaneIdentity {
		hold, err := a.env.Ledger.CurrentHold(ctx, in.Org)
		if !errors.Is(err, ledger.ErrNotFound) {
			return hold, err
		}
	}
	return a.env.Ledger.CurrentHoldIn(ctx, in.Org, ledger.LaneIdentity)
}

// mostFound is how many findings of a run a page includes, and how many lines about them.
const mostFound = 100

func (a *Activities) foreign(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	target := in.Target
	var err error
	if target != "" {
		if target, err = a.env.LiveTarget(ctx, in.Org, target); err != nil {
			return err
		}
	}
	after, err := session.ReadKey(in.After)
	if err != nil {
		return session.NonRetryable(session.ErrUnknown, err)
	}
	if answer.Foreign, err = a.env.Ledger.Foreign(ctx, in.Org, target, in.Limit, after); err != nil {
		return err
	}
	if n := len(answer.Foreign); n == in.Limit {
		last := answer.Foreign[n-1]
		answer.Next = session.WriteKey(access.Change{Person: last.Person, Target: last.Target})
	}
	answer.Message = fmt.Sprintf("%d memberships that nothing in the policy explains and that Castellan did not make",
		len(answer.Foreign))
	return nil
}
