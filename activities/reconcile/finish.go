package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// SetInput sets all released lines of a run that match to a final state, without a call to Atlassian.
type SetInput struct {
	session.RunInput
	Action access.Action        `json:"action"`
	Target []access.Entitlement `json:"target,omitempty"` // only these; empty for all
	// Approved is as in apply.NextInput.
	Approved *bool              `json:"approved,omitempty"`
	State    access.ChangeState `json:"state"`
	Answer   string             `json:"answer"`
}

// Set ends lines that need no write of their own: adoptions (only the ledger changes), adds to a target that accepts no
// more in this run, and what a stopped run did not reach. It returns how many. A repeat finds none left.
func (a *Activities) Set(ctx context.Context, in SetInput) (int, error) {
	defer session.AutoHeartbeat(ctx)()
	n := 0
	filter := ledger.Filter{States: []access.ChangeState{access.Planned}, Actions: []access.Action{in.Action},
		Waited: in.Approved, Limit: session.LinesAtOnce}
	targets := map[access.Entitlement]bool{}
	for _, t := range in.Target {
		targets[t] = true
	}
	for {
		lines, err := a.env.Ledger.Lines(ctx, in.Org, in.Run, filter)
		if err != nil {
			return n, err
		}
		var ended []access.Change
		for _, c := range lines {
			if len(targets) == 0 || targets[c.Target] {
				c.State, c.Answer, c.At = in.State, in.Answer, a.env.Now()
				ended = append(ended, c)
			}
		}
		if len(ended) > 0 {
			if err := a.env.Ledger.RecordLines(ctx, in.Org, in.Run, ended); err != nil {
				return n, err
			}
		}
		n += len(ended)
		activity.RecordHeartbeat(ctx, n)
		if len(lines) < session.LinesAtOnce {
			return n, nil
		}
		filter.After = session.KeyOf(lines[len(lines)-1])
	}
}

// VerifyResult counts the changes that a later read shows.
type VerifyResult struct {
	Verified   int      `json:"verified"`
	Unverified int      `json:"unverified"`
	Open       []string `json:"open,omitempty"` // the first ten that the read does not show
	Calls      int      `json:"calls"`
}

// Verify reads everybody whom the run changed and compares. A repeat reads again.
//
// Calls: changed people/100.
func (a *Activities) Verify(ctx context.Context, in session.RunInput) (VerifyResult, error) {
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return VerifyResult{}, err
	}
	v := &verification{task: s, run: in.Run}
	after := ""
	for {
		ids, err := s.Ledger.ChangedPeople(ctx, in.Org, in.Run, after, session.MostEmails)
		if err != nil || len(ids) == 0 {
			return v.result, err
		}
		if err := v.people(ctx, ids); err != nil {
			return v.result, err
		}
		after = ids[len(ids)-1]
		v.result.Calls = s.CallsMade()
		activity.RecordHeartbeat(ctx, v.result)
	}
}

// verification compares a run's changes with a later read.
type verification struct {
	*task
	run    string
	marked []access.Change // first shown by this read, and not recorded yet
	result VerifyResult
}

// people reads some people and compares their changes that were made.
func (v *verification) people(ctx context.Context, ids []string) error {
	read, err := v.ReadPeople(ctx, ids)
	if err != nil {
		return err
	}
	now := map[string]access.Person{}
	for _, p := range read {
		now[p.ID] = p
	}
	v.marked = nil
	for _, id := range ids {
		lines, err := v.Ledger.Lines(ctx, v.Org, v.run,
			ledger.Filter{States: []access.ChangeState{access.Done}, Person: id, Limit: session.LinesAtOnce})
		if err != nil {
			return err
		}
		for _, c := range lines {
			if c.Action == access.Adopt {
				continue
			}
			if err := v.compare(ctx, now[id], c); err != nil {
				return err
			}
		}
	}
	if len(v.marked) == 0 {
		return nil
	}
	return v.Ledger.Verified(ctx, v.Org, v.run, v.marked)
}

// compare checks whether the read shows a change. A person without an ID was not read.
func (v *verification) compare(ctx context.Context, p access.Person, c access.Change) error {
	shows, err := v.shows(ctx, v.run, p, c)
	if err != nil {
		return err
	}
	if !shows {
		return v.unverified(ctx, c)
	}
	v.result.Verified++
	if c.Action == access.Remove && c.Target.Presence() && (p.ID == "" || p.MembershipStatus == "no_membership") {
		if err := v.leftBy(ctx, v.run, c.Person); err != nil {
			return err
		}
	}
	if !c.Verified {
		v.marked = append(v.marked, c)
	}
	return nil
}

// unverified counts a change that the read does not show, unless a later run reversed it: then there is nothing left to
// see.
func (v *verification) unverified(ctx context.Context, c access.Change) error {
	inverse, _ := plan.Inverse(c, v.run)
	later, err := v.Ledger.MadeElsewhere(ctx, v.Org, v.run, inverse, c.At)
	if err != nil || later != "" {
		return err
	}
	v.result.Unverified++
	if len(v.result.Open) < 10 {
		v.result.Open = append(v.result.Open, c.Label())
	}
	return nil
}

// shows reports whether a person, as read after a change, matches the change. A person without an ID was not read.
func (s *task) shows(ctx context.Context, run string, p access.Person, c access.Change) (bool, error) {
	adding := c.Action == access.Add
	switch {
	case c.Target == access.Organization:
		return p.ID == "" || p.MembershipStatus == "no_membership", nil
	case c.Target == access.Directory:
		return p.ID != "" == adding && adding == (p.MembershipStatus == "active") ||
			!adding && p.MembershipStatus == "suspended", nil
	case p.ID == "":
		return false, nil
	case c.Target != access.OrgAdmin && c.Target.Kind() == access.KindRole:
		b, err := s.BoundOf(ctx, run)
		if err != nil {
			return false, err
		}
		i, known := b.Target(c.Target)
		if !known {
			return false, nil
		}
		p, err = s.AppRoles(ctx, p, b.Targets[i])
		held, _ := b.Holds(p, i)
		return err == nil && held == adding, err
	}
	return apply.HoldsTarget(p, c) == adding, nil
}

// How long lines are kept that were only shown or superseded; lines that were written are kept for good.
const (
	linesKept  = 30 * 24 * time.Hour
	mostPruned = 20_000 // at a time
)

// FinishInput closes a run.
type FinishInput struct {
	session.RunInput
	Scope   string              `json:"scope"`
	Summary messages.RunSummary `json:"summary"`
}

// Finish counts the run's lines by outcome, closes its record, and, after a full verification without a problem,
// records its counts of source groups as the last good ones. It returns the final summary. A repeat has the same
// result.
func (a *Activities) Finish(ctx context.Context, in FinishInput) (messages.RunSummary, error) {
	defer session.AutoHeartbeat(ctx)()
	sum := in.Summary
	run, err := a.begun(ctx, in)
	if err != nil {
		return sum, err
	}
	stats, err := a.env.Ledger.LineStats(ctx, in.Org, in.Run)
	if err != nil {
		return sum, err
	}
	if in.Scope == messages.ScopeHold { // its reads and plan are those of the held run
		c, was := &sum.Counts, session.RunMessage(run).Counts
		c.People, c.Adds, c.Removals, c.Adopts, c.Foreign = was.People, was.Adds, was.Removals, was.Adopts, was.Foreign
	}
	countOutcomes(&sum.Counts, stats)
	full := in.Scope == messages.ScopeFull
	verified := full && sum.State == messages.RunDone && !in.Preview
	if verified {
		if err := a.keepEvidence(ctx, in); err != nil {
			return sum, err
		}
	}
	if full {
		if _, err := a.env.Ledger.Prune(ctx, in.Org, a.env.Now().Add(-linesKept), mostPruned); err != nil {
			return sum, err
		}
	}
	for _, f := range shortages(stats) {
		f.Whole = true
		run.Findings = append(run.Findings, f)
		sum.Findings = append(sum.Findings, access.Summarize([]access.Finding{f}, 1)...)
		sum.Reported++
	}
	if sum.Due, err = a.followed(ctx, in, sum, stats); err != nil {
		return sum, err
	}
	if sum.Provision != "" {
		if err := a.countProvision(ctx, in, &sum); err != nil {
			return sum, err
		}
	}
	sum.Ended = a.env.Now()
	if err := a.endRun(ctx, &run, sum); err != nil {
		return sum, err
	}
	if verified {
		if err := a.keepMoments(ctx, run); err != nil {
			return sum, err
		}
	}
	if err := a.alertHold(ctx, in, sum); err != nil {
		return sum, err
	}
	if verified && !sum.DryRun {
		return sum, a.alert(ctx, run)
	}
	return sum, nil
}

// countProvision adds how the people and groups of a provision stand after its run.
func (a *Activities) countProvision(ctx context.Context, in FinishInput, sum *messages.RunSummary) (err error) {
	if sum.States, sum.Gap, err = a.env.ProvisionStates(ctx, in.Org, in.Policy, sum.Provision); err != nil {
		return err
	}
	sum.Groups, err = a.env.GroupCounts(ctx, in.Org, in.Policy, sum.Provision)
	return err
}

// begun returns the record of a run. One that was stopped before its plan was judged has none yet, and gets it.
func (a *Activities) begun(ctx context.Context, in FinishInput) (ledger.Run, error) {
	run, err := a.env.Ledger.Run(ctx, in.Org, in.Run)
	if !errors.Is(err, ledger.ErrNotFound) {
		return run, err
	}
	sum := in.Summary
	run = ledger.Run{
		Org: in.Org, ID: in.Run, Trigger: sum.Trigger, Scope: in.Scope, Policy: in.Policy, By: sum.By,
		DryRun:  sum.DryRun,
		Preview: in.Preview, Started: sum.Started,
	}
	return run, a.env.Ledger.BeginRun(ctx, run)
}

// countOutcomes counts lines by outcome.
func countOutcomes(c *messages.Counts, stats []ledger.LineStat) {
	wouldHold := c.Held
	c.Done, c.Already, c.Shortage, c.Refused, c.Superseded, c.Failed, c.Held = 0, 0, 0, 0, 0, 0, 0
	for _, l := range stats {
		switch l.State {
		// nothing of it is written, so nothing is held either: only the guard's verdict is shown
		case access.Recorded:
			c.Held = wouldHold
		case access.Done:
			c.Done += l.N
		case access.Already:
			c.Already += l.N
		case access.Shortage:
			c.Shortage += l.N
		case access.Refused:
			c.Refused += l.N
		case access.Superseded:
			c.Superseded += l.N
		case access.Failed, access.Sent, access.Planned:
			c.Failed += l.N
		case access.Held:
			c.Held += l.N
		}
	}
}

// endRun closes the record of a run according to its summary.
func (a *Activities) endRun(ctx context.Context, run *ledger.Run, sum messages.RunSummary) error {
	run.State, run.Ended, run.Counts = sum.State, sum.Ended, ledgerCounts(sum.Counts)
	if sum.Problem != nil {
		run.ProblemKind, run.Problem = sum.Problem.Kind, sum.Problem.Message
	}
	return a.env.Ledger.EndRun(ctx, *run)
}

// shortages reports the targets that could not accept everybody.
func shortages(stats []ledger.LineStat) []access.Finding {
	var found []access.Finding
	for _, l := range stats {
		switch l.State {
		case access.Shortage:
			found = append(found, access.Finding{Rule: "licence-shortage", Subject: string(l.Target),
				Detail: fmt.Sprintf("%d people wait for a licence of its app; every verification tries again", l.N)})
		case access.Refused:
			found = append(found, access.Finding{Rule: "refused", Subject: string(l.Target),
				Detail: ofChanges(l.N) + " refused; `starter plan --run` shows each with the answer"})
		}
	}
	return found
}

// keepEvidence stores the run's source counts except those of suspect groups: their last good count stays the reference
// until a person decides or the group recovers.
func (a *Activities) keepEvidence(ctx context.Context, in FinishInput) error {
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return err
	}
	b, err := s.BoundOf(ctx, in.Run)
	if err != nil {
		return err
	}
	o, err := s.OutlineOf(ctx, in.Run)
	if err != nil {
		return err
	}
	e, err := s.evidence(ctx, b, o.Outline, in.RunInput, true)
	if err != nil {
		return err
	}
	suspect := map[string]bool{}
	for _, one := range e.suspects {
		suspect[one.GroupID] = true
	}
	if s.Policy.NeedsDomains() && len(o.Domains) > 0 {
		if err := s.Ledger.SaveDomains(ctx, in.Org, union(o.Domains, o.Last.Domains)); err != nil {
			return err
		}
	}
	if len(s.Policy.Groups) > 0 {
		run, err := s.Ledger.Run(ctx, in.Org, in.Run)
		if err == nil {
			err = s.Ledger.EndAccepted(ctx, in.Org, run.Started)
		}
		if err != nil {
			return err
		}
	}
	if err := s.saveSources(ctx, in.Run, suspect); err != nil {
		return err
	}
	return s.Ledger.SuspectSources(ctx, in.Org, session.SortedKeys(suspect), a.env.Now())
}

// union returns the strings of both lists, sorted. A domain that is no longer shown stays the reference until a new
// policy.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
