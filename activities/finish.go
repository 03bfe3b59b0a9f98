package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// SetInput moves all released lines of a run that match to a final state, without a call to Atlassian.
type SetInput struct {
	RunInput
	Action access.Action        `json:"action"`
	Target []access.Entitlement `json:"target,omitempty"` // only these; empty for all
	State  access.ChangeState   `json:"state"`
	Answer string               `json:"answer"`
}

// Set ends lines that need no write of their own: adoptions (a matter of the ledger alone), adds to a target that takes
// no more in this run, and what a stopped run did not reach. It returns how many. A repeat finds none left.
func (a *Activities) Set(ctx context.Context, in SetInput) (int, error) {
	defer beating(ctx)()
	n := 0
	filter := ledger.Filter{States: []access.ChangeState{access.Planned}, Actions: []access.Action{in.Action}, Limit: linesAtOnce}
	targets := map[access.Entitlement]bool{}
	for _, t := range in.Target {
		targets[t] = true
	}
	for {
		lines, err := a.ledger.Lines(ctx, in.Org, in.Run, filter)
		if err != nil {
			return n, err
		}
		var ended []access.Change
		for _, c := range lines {
			if len(targets) == 0 || targets[c.Target] {
				c.State, c.Answer, c.At = in.State, in.Answer, a.now()
				ended = append(ended, c)
			}
		}
		if len(ended) > 0 {
			if err := a.ledger.RecordLines(ctx, in.Org, in.Run, ended); err != nil {
				return n, err
			}
		}
		n += len(ended)
		activity.RecordHeartbeat(ctx, n)
		if len(lines) < linesAtOnce {
			return n, nil
		}
		filter.After = keyOf(lines[len(lines)-1])
	}
}

// VerifyResult counts the changes that a later read shows.
type VerifyResult struct {
	Verified   int      `json:"verified"`
	Unverified int      `json:"unverified"`
	Open       []string `json:"open,omitempty"` // the first ten that the read does not show
	Calls      int      `json:"calls"`
}

const verifiedMark = "; verified by reading back"

// Verify reads everybody whom the run changed and compares. A repeat reads again.
//
// Calls: changed people/100.
func (a *Activities) Verify(ctx context.Context, in RunInput) (VerifyResult, error) {
	var result VerifyResult
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return result, err
	}
	after := ""
	for {
		ids, err := s.ledger.ChangedPeople(ctx, in.Org, in.Run, after, mostEmails)
		if err != nil {
			return result, err
		}
		if len(ids) == 0 {
			return result, nil
		}
		read, err := s.readPeople(ctx, ids)
		if err != nil {
			return result, err
		}
		now := map[string]access.Person{}
		for _, p := range read {
			now[p.ID] = p
		}
		var marked []access.Change
		for _, id := range ids {
			lines, err := s.ledger.Lines(ctx, in.Org, in.Run, ledger.Filter{States: []access.ChangeState{access.Done}, Person: id, Limit: linesAtOnce})
			if err != nil {
				return result, err
			}
			for _, c := range lines {
				if c.Action == access.Adopt {
					continue
				}
				shows, err := s.shows(ctx, in.Run, now[id], c)
				if err != nil {
					return result, err
				}
				if !shows {
					inverse, _ := plan.Inverse(c, in.Run)
					later, err := s.ledger.MadeElsewhere(ctx, in.Org, in.Run, inverse, c.At)
					if err != nil {
						return result, err
					}
					if later != "" {
						continue // taken back by a later run: there is nothing left to see
					}
					result.Unverified++
					if len(result.Open) < 10 {
						result.Open = append(result.Open, c.Label())
					}
					continue
				}
				result.Verified++
				if !hasSuffix(c.Answer, verifiedMark) {
					c.Answer += verifiedMark
					marked = append(marked, c)
				}
			}
		}
		if len(marked) > 0 {
			if err := s.ledger.Annotate(ctx, in.Org, in.Run, marked); err != nil {
				return result, err
			}
		}
		after = ids[len(ids)-1]
		result.Calls = s.made()
		activity.RecordHeartbeat(ctx, result)
	}
}

// shows says that a person, as read after a change, is as the change has it. A person without an ID was not read.
func (s *session) shows(ctx context.Context, run string, p access.Person, c access.Change) (bool, error) {
	adding := c.Action == access.Add
	switch {
	case c.Target == access.Organization:
		return p.ID == "" || p.MembershipStatus == "no_membership", nil
	case c.Target == access.Directory:
		return p.ID != "" == adding && adding == (p.MembershipStatus == "active") || !adding && p.MembershipStatus == "suspended", nil
	case p.ID == "":
		return false, nil
	case c.Target != access.OrgAdmin && c.Target.Kind() == access.KindRole:
		b, err := s.boundOf(ctx, run)
		if err != nil {
			return false, err
		}
		i, known := b.Target(c.Target)
		if !known {
			return false, nil
		}
		p, err = s.appRoles(ctx, p, b.Targets[i])
		held, _ := b.Holds(p, i)
		return err == nil && held == adding, err
	}
	return holding(p, c) == adding, nil
}

func hasSuffix(s, suffix string) bool {
	return len(s) >= len(suffix) && s[len(s)-len(suffix):] == suffix
}

// Lines that were only shown, or that the world overtook, are kept so long; what was really written stays for good.
const (
	linesKept  = 30 * 24 * time.Hour
	mostPruned = 20_000 // at a time
)

// FinishInput closes a run.
type FinishInput struct {
	RunInput
	Scope   string              `json:"scope"`
	Summary messages.RunSummary `json:"summary"`
}

// Finish counts the run's lines by what came of them, closes its record, and, after a full verification without a
// problem, takes its counts of source groups as the last good ones. It returns the final summary. A repeat comes to the
// same.
func (a *Activities) Finish(ctx context.Context, in FinishInput) (messages.RunSummary, error) {
	defer beating(ctx)()
	sum := in.Summary
	run, err := a.ledger.Run(ctx, in.Org, in.Run)
	if errors.Is(err, ledger.ErrNotFound) { // it was stopped before its plan was judged
		run = ledger.Run{Org: in.Org, ID: in.Run, Trigger: sum.Trigger, Scope: in.Scope, Policy: in.Policy, By: sum.By, DryRun: sum.DryRun, Preview: in.Preview, Started: sum.Started}
		err = a.ledger.BeginRun(ctx, run)
	}
	if err != nil {
		return sum, err
	}
	stats, err := a.ledger.LineStats(ctx, in.Org, in.Run)
	if err != nil {
		return sum, err
	}
	c := &sum.Counts
	if in.Scope == messages.ScopeHold { // what was read and planned is what the held run read and planned
		was := runMessage(run).Counts
		c.People, c.Adds, c.Removals, c.Adopts, c.Foreign = was.People, was.Adds, was.Removals, was.Adopts, was.Foreign
	}
	c.Done, c.Already, c.Shortage, c.Refused, c.Superseded, c.Failed, c.Held = 0, 0, 0, 0, 0, 0, 0
	for _, l := range stats {
		switch l.State {
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
	if in.Scope == messages.ScopeFull && sum.State == messages.RunDone && !in.Preview {
		if err := a.keepEvidence(ctx, in); err != nil {
			return sum, err
		}
	}
	if in.Scope == messages.ScopeFull {
		if _, err := a.ledger.Prune(ctx, in.Org, a.now().Add(-linesKept), mostPruned); err != nil {
			return sum, err
		}
	}
	for _, f := range shortages(stats) {
		run.Findings = append(run.Findings, f)
		sum.Findings = append(sum.Findings, access.Summarize([]access.Finding{f}, 1)...)
		sum.Reported++
	}
	sum.Ended = a.now()
	run.State, run.Ended, run.Counts = sum.State, sum.Ended, ledgerCounts(sum.Counts)
	if sum.Problem != nil {
		run.Problem = sum.Problem.Kind + ": " + sum.Problem.Message
	}
	if err := a.ledger.EndRun(ctx, run); err != nil {
		return sum, err
	}
	if in.Scope == messages.ScopeFull && sum.State == messages.RunDone && !in.Preview && !sum.DryRun {
		return sum, a.alert(ctx, run)
	}
	return sum, nil
}

// shortages says which targets could not take everybody.
func shortages(stats []ledger.LineStat) []access.Finding {
	var found []access.Finding
	for _, l := range stats {
		switch l.State {
		case access.Shortage:
			found = append(found, access.Finding{Rule: "licence-shortage", Subject: string(l.Target), Detail: fmt.Sprintf("%d people wait for a licence of its app; they are tried again at every verification", l.N)})
		case access.Refused:
			found = append(found, access.Finding{Rule: "refused", Subject: string(l.Target), Detail: ofChanges(l.N) + " refused; `starter plan --run` shows each with the answer"})
		}
	}
	return found
}

// keepEvidence saves the run's source counts but for the groups that were suspect: their last good count stays the
// measure until a person decided or the group recovered.
func (a *Activities) keepEvidence(ctx context.Context, in FinishInput) error {
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return err
	}
	b, err := s.boundOf(ctx, in.Run)
	if err != nil {
		return err
	}
	o, err := s.outlineOf(ctx, in.Run)
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
	if s.policy.NeedsDomains() && len(o.Domains) > 0 {
		if err := s.ledger.SaveDomains(ctx, in.Org, union(o.Domains, o.Last.Domains)); err != nil {
			return err
		}
	}
	return s.saveSources(ctx, in.Run, suspect)
}

// union are the strings of both lists, sorted. A domain that is not shown any more stays the measure until a new policy.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
