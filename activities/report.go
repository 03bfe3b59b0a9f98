package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// Bounds of an answer: it travels through a workflow's history.
const (
	usualRows   = 200
	mostRows    = 2000
	chainAtOnce = 5000
)

// Answer looks a question up in the ledger. It changes nothing and calls nobody else.
func (a *Activities) Answer(ctx context.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	defer beating(ctx)()
	// A preview of a first policy has a run, and no organization in force yet.
	if _, err := a.ledger.Organization(ctx, in.Org); errors.Is(err, ledger.ErrNotFound) && in.Run == "" {
		return messages.ReportAnswer{}, stop(ErrUnknown, fmt.Errorf("no organization %q is known here; start it with `starter apply FILE`", in.Org))
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return messages.ReportAnswer{}, err
	}
	if in.Limit <= 0 {
		in.Limit = usualRows
	}
	in.Limit = min(in.Limit, mostRows)
	answer := messages.ReportAnswer{Org: in.Org, Kind: in.Kind}
	var err error
	switch in.Kind {
	case messages.ReportWhy:
		err = a.why(ctx, in, &answer)
	case messages.ReportRuns:
		err = a.runs(ctx, in, &answer)
	case messages.ReportPlan, messages.ReportPreview:
		err = a.planPage(ctx, in, &answer)
	case messages.ReportForeign:
		err = a.foreign(ctx, in, &answer)
	case messages.ReportGrants:
		err = a.grants(ctx, in, &answer)
	case messages.ReportHours:
		err = a.hours(ctx, in, &answer)
	case messages.ReportFindings:
		err = a.findings(ctx, in, &answer)
	case messages.ReportReviews:
		err = a.reviews(ctx, in, &answer)
	case messages.ReportReview:
		err = a.reviewItems(ctx, in, &answer)
	case messages.ReportEvidence:
		err = a.reviewEvidence(ctx, in, &answer)
	case messages.ReportLedger:
		err = a.checkLedger(ctx, in, &answer)
	default:
		err = stop(ErrUnknown, fmt.Errorf("unknown kind of report %q; the kinds are why, runs, plan, preview, explain, governance, findings, foreign, grants, grant-hours, reviews, review, evidence and verify-ledger", in.Kind))
	}
	return answer, err
}

func (a *Activities) why(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	p, err := a.ledger.FindPerson(ctx, in.Org, in.Person)
	if errors.Is(err, ledger.ErrNotFound) {
		return stop(ErrUnknown, fmt.Errorf("organization %s: no run has seen a person %q; check the e-mail address or account id", in.Org, in.Person))
	}
	if err != nil {
		return err
	}
	at := in.At
	if at.IsZero() {
		at = a.now()
	}
	target := in.Target
	if target != "" {
		if target, err = a.liveTarget(ctx, in.Org, target); err != nil {
			return err
		}
	}
	holdings, err := a.ledger.HoldingsAt(ctx, in.Org, p.ID, target, at)
	if err != nil {
		return err
	}
	entries, err := a.ledger.History(ctx, in.Org, p.ID, target, 50)
	if err != nil {
		return err
	}
	answer.Why = &messages.Why{Person: p, At: at, Holdings: holdings}
	for _, e := range entries {
		if !e.At.After(at) {
			answer.Why.History = append(answer.Why.History, messages.LedgerEntry{
				Seq: e.Seq, At: e.At, Kind: e.Kind, Run: e.Run, Person: e.Person, Target: e.Target, Body: e.Body, Hash: e.Hash,
			})
		}
	}
	answer.Message = whyInWords(p, in.Target, holdings)
	return nil
}

func whyInWords(p access.Person, target access.Entitlement, holdings []access.Holding) string {
	if len(holdings) == 0 {
		if target != "" {
			return p.Label() + " does not hold " + string(target)
		}
		return p.Label() + " holds no target of the policy"
	}
	var words []string
	for _, h := range holdings {
		how := "foreign: made by somebody else, and nothing in the policy explains it"
		if len(h.Reasons) > 0 {
			var reasons []string
			for _, r := range h.Reasons {
				reasons = append(reasons, r.String())
			}
			how = strings.Join(reasons, "; ")
			if !h.Owned {
				how += " (the membership itself was made by somebody else)"
			}
		} else if h.Owned {
			how = "made by Castellan; its reasons ended"
		}
		words = append(words, fmt.Sprintf("%s holds %s since %s: %s", p.Label(), h.Target, h.From.Format("2006-01-02 15:04:05Z07:00"), how))
	}
	return strings.Join(words, "\n")
}

// liveTarget takes a target as the policy writes it (default:…) to the group it means in the last outline.
func (a *Activities) liveTarget(ctx context.Context, org string, written access.Entitlement) (access.Entitlement, error) {
	e, err := access.ParseEntitlement(string(written))
	if err != nil {
		return "", stop(ErrUnknown, err)
	}
	version, err := a.ledger.Policy(ctx, org, "")
	if err != nil {
		return e, nil //nolint:nilerr // without a policy the written form is the only one
	}
	s, err := a.open(ctx, org, version.Hash)
	if err != nil {
		return e, nil
	}
	if b, _, err := s.watched(ctx); err == nil && b != nil {
		if i, ok := b.Target(e); ok {
			return b.Targets[i].Entitlement, nil
		}
	}
	return e, nil
}

func (a *Activities) runs(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	runs, err := a.ledger.Runs(ctx, in.Org, in.Limit, in.After)
	if err != nil {
		return err
	}
	for _, r := range runs {
		answer.Runs = append(answer.Runs, runMessage(r))
	}
	if len(runs) == in.Limit {
		answer.Next = runs[len(runs)-1].ID
	}
	answer.Message = fmt.Sprintf("%d runs", len(runs))
	return nil
}

func runMessage(r ledger.Run) messages.RunSummary {
	c := r.Counts
	sum := messages.RunSummary{
		Run: r.ID, Trigger: r.Trigger, Scope: r.Scope, By: r.By, State: r.State, Plan: r.Plan, DryRun: r.DryRun,
		Started: r.Started, Ended: r.Ended, Reported: len(r.Findings),
		Counts: messages.Counts{
			People: c.People, Calls: c.Calls, Adds: c.Adds, Removals: c.Removals, Adopts: c.Adopts, Held: c.Held,
			Suppressed: c.Suppressed, Foreign: c.Foreign, Done: c.Done, Already: c.Already, Shortage: c.Shortage,
			Refused: c.Refused, Superseded: c.Superseded, Failed: c.Failed, Verified: c.Verified, Unverified: c.Unverified,
		},
	}
	if r.Problem != "" {
		kind, message, _ := strings.Cut(r.Problem, ": ")
		sum.Problem = &messages.Problem{Kind: kind, Message: message}
	}
	return sum
}

func (a *Activities) planPage(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	if in.Run == "" {
		hold, err := a.ledger.CurrentHold(ctx, in.Org)
		if errors.Is(err, ledger.ErrNotFound) {
			answer.Message = "nothing is held; name a run to see its plan (starter runs lists them)"
			return nil
		}
		if err != nil {
			return err
		}
		in.Run, in.States = hold.Run, []string{string(access.Held)}
	}
	run, err := a.ledger.Run(ctx, in.Org, in.Run)
	if errors.Is(err, ledger.ErrNotFound) {
		return stop(ErrUnknown, fmt.Errorf("organization %s has no run %q; starter runs lists them", in.Org, in.Run))
	}
	if err != nil {
		return err
	}
	filter := ledger.Filter{Limit: in.Limit}
	for _, s := range in.States {
		filter.States = append(filter.States, access.ChangeState(s))
	}
	if filter.After, err = readKey(in.After); err != nil {
		return stop(ErrUnknown, err)
	}
	lines, err := a.ledger.Lines(ctx, in.Org, in.Run, filter)
	if err != nil {
		return err
	}
	answer.Plan = &messages.PlanPage{Run: runMessage(run), Lines: lines, Findings: run.Findings[:min(len(run.Findings), 100)]}
	if len(lines) == in.Limit {
		answer.Next = writeKey(lines[len(lines)-1])
	}
	answer.Message = fmt.Sprintf("run %s: %d lines shown", in.Run, len(lines))
	return nil
}

func (a *Activities) foreign(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	target := in.Target
	var err error
	if target != "" {
		if target, err = a.liveTarget(ctx, in.Org, target); err != nil {
			return err
		}
	}
	after, err := readKey(in.After)
	if err != nil {
		return stop(ErrUnknown, err)
	}
	if answer.Foreign, err = a.ledger.Foreign(ctx, in.Org, target, in.Limit, after); err != nil {
		return err
	}
	if n := len(answer.Foreign); n == in.Limit {
		last := answer.Foreign[n-1]
		answer.Next = writeKey(access.Change{Person: last.Person, Target: last.Target})
	}
	answer.Message = fmt.Sprintf("%d memberships that nothing in the policy explains and that Castellan did not make", len(answer.Foreign))
	return nil
}

func (a *Activities) checkLedger(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	result := &messages.LedgerCheck{Whole: true}
	answer.Ledger = result
	for from := int64(1); ; {
		check, err := a.ledger.VerifyChain(ctx, in.Org, from, chainAtOnce)
		if err != nil {
			return err
		}
		result.Entries, result.Head = check.To, check.Head
		if check.Broken != nil {
			result.Whole = false
			result.Broken = fmt.Sprintf("entry %d: %s", check.Broken.Seq, check.Broken.Why)
			answer.Message = "the ledger of organization " + in.Org + " is broken at " + result.Broken
			return nil
		}
		if !check.More {
			break
		}
		from = check.To + 1
		activity.RecordHeartbeat(ctx, from)
	}
	answer.Message = fmt.Sprintf("the ledger of organization %s is whole: %d entries, head %s", in.Org, result.Entries, result.Head)
	return nil
}
