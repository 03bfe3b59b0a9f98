package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// linesAtOnce is how many plan lines are in memory while a plan is judged.
const linesAtOnce = 1000

// JudgeInput asks for the verdict on a run's plan.
type JudgeInput struct {
	RunInput
	Trigger string    `json:"trigger"`
	By      string    `json:"by,omitempty"`
	Scope   string    `json:"scope"`
	DryRun  bool      `json:"dryRun,omitempty"`
	Started time.Time `json:"started"`
}

// JudgeResult is the verdict: what may be written now, and what waits.
type JudgeResult struct {
	Plan     string          `json:"plan"` // hash over all lines
	Open     int             `json:"open"` // lines released for writing
	Counts   messages.Counts `json:"counts"`
	Hold     *messages.Hold  `json:"hold,omitempty"` // the organization's open hold after this run
	Findings []string        `json:"findings,omitempty"`
	Reported int             `json:"reported,omitempty"`
	Suspects int             `json:"suspects,omitempty"`
	Adopted  bool            `json:"adopted,omitempty"`  // the first plan was empty: there was nothing to consent to
	Doubtful bool            `json:"doubtful,omitempty"` // the read itself was incomplete: look again soon
	TooMany  bool            `json:"tooMany,omitempty"`  // too many lose something for a partial run: everybody has to be looked at
	ToCreate bool            `json:"toCreate,omitempty"` // groups are to be created, which a full verification does
	Regiven  []Regiven       `json:"regiven,omitempty"`  // by hand, after a grant was over
	Settling []string        `json:"settling,omitempty"` // account ids of people whose removals need a second look
}

// Quiet says that the run has nothing to write and changed nothing that people wait for.
func (r JudgeResult) Quiet() bool { return r.Open == 0 && r.Counts.Held == 0 }

// Judge checks the evidence of a swept run, lets the guard decide each line, and opens, replaces or closes the
// organization's hold. A repeat judges again and comes to the same end.
func (a *Activities) Judge(ctx context.Context, in JudgeInput) (JudgeResult, error) {
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return JudgeResult{}, err
	}
	bound, err := s.boundOf(ctx, in.Run)
	if err != nil {
		return JudgeResult{}, err
	}
	outline, err := s.outlineOf(ctx, in.Run)
	if err != nil {
		return JudgeResult{}, err
	}
	result, err := s.judge(ctx, bound, outline, in, nil)
	result.Counts.Calls = s.made()
	return result, err
}

// partial is what is special about a run that did not look at everybody.
type partial struct {
	people []string                 // whom it looked at
	temper func(*JudgeResult) error // takes out removals that may not be written yet
}

// judge does the work of Judge.
func (s *session) judge(ctx context.Context, b *policy.Bound, outline runOutline, in JudgeInput, some *partial) (JudgeResult, error) {
	_, findings := policy.BindSince(s.policy, outline.Outline, outline.Last)
	for _, name := range b.Create {
		findings = append(findings, access.Finding{Rule: "group-to-create", Subject: name, Detail: "it will be created, and filled, once the first plan is approved"})
	}
	evidence, err := s.evidence(ctx, b, outline.Outline, in.RunInput, in.Scope == messages.ScopeFull)
	if err != nil {
		return JudgeResult{}, err
	}
	full := some == nil && in.Scope == messages.ScopeFull
	moved, more, err := s.movedDefaults(ctx, b, outline.Last.Defaults, in.Preview)
	if err != nil {
		return JudgeResult{}, err
	}
	findings = append(append(append(s.keyFinding(), findings...), more...), evidence.findings()...)
	dry := in.DryRun || in.Preview || s.policy.DryRun
	notes := map[string]int{}
	if full {
		if notes, err = s.ledger.Notes(ctx, s.org, in.Run); err != nil {
			return JudgeResult{}, err
		}
		findings = append(findings, noted(notes, b)...)
	}
	if full && !dry {
		lost, err := s.lost(ctx, b, in.RunInput)
		if err != nil {
			return JudgeResult{}, err
		}
		findings = append(findings, lost...)
	}
	stats, err := s.stats(ctx, b, in.Run)
	if err != nil {
		return JudgeResult{}, err
	}
	stats.Suspects, stats.Moved = evidence.suspects, moved
	if full {
		presence(&stats, notes)
		shown, err := s.judgeRules(ctx, b, in, outline.Acting, notes, &stats, dry)
		if err != nil {
			return JudgeResult{}, err
		}
		findings = append(findings, shown...)
	}
	flapping, err := s.flaps(ctx, in.RunInput, &stats)
	if err != nil {
		return JudgeResult{}, err
	}
	findings = append(findings, flapping...)
	if some != nil {
		if err := s.recountTargets(ctx, b, &stats); err != nil {
			return JudgeResult{}, err
		}
	}
	verdicts := plan.Judge(s.policy, b, stats)
	if err := s.stopLines(ctx, b, in.Run, verdicts, dry); err != nil {
		return JudgeResult{}, err
	}
	result := JudgeResult{Findings: access.Summarize(findings, 20), Suspects: len(evidence.suspects), Doubtful: evidence.doubtful}
	result.Reported = len(access.Summarize(findings, len(findings)))
	var touched []string
	if some != nil {
		touched = some.people
	}
	if result.Hold, err = s.settleHold(ctx, in, verdicts, full, touched); err != nil {
		return JudgeResult{}, err
	}
	if full && !dry && !stats.Adopted && result.Hold == nil {
		if result.Adopted, result.Hold, err = s.emptyFirstPlan(ctx, b, in.Run); err != nil {
			return JudgeResult{}, err
		}
	}
	if result.Plan, result.Counts, err = s.tally(ctx, in.Run); err != nil {
		return JudgeResult{}, err
	}
	result.Counts.People = max(result.Counts.People, len(touched))
	if !dry {
		result.Open = result.Counts.Adds + result.Counts.Removals + result.Counts.Adopts - result.Counts.Held
	}
	if some != nil {
		if err := some.temper(&result); err != nil {
			return JudgeResult{}, err
		}
		if result.Quiet() && !dry {
			return result, nil // a quiet look leaves no record
		}
		if err := s.keepOutline(ctx, in.RunInput, outline); err != nil {
			return JudgeResult{}, err
		}
	}
	record := ledger.Run{
		Org: in.Org, ID: in.Run, Trigger: in.Trigger, Scope: in.Scope, Policy: in.Policy, By: in.By, DryRun: in.DryRun,
		Preview: in.Preview, State: messages.RunReading, Plan: result.Plan, Started: in.Started,
		Counts: ledgerCounts(result.Counts), Findings: findings,
	}
	if err := s.ledger.BeginRun(ctx, record); err != nil { // a full run was begun with its outline
		return JudgeResult{}, err
	}
	return result, s.ledger.UpdateRun(ctx, record)
}

// recountTargets reads how many members the targets have from which a partial run would remove: its outline may be older
// than the run that filled them.
func (s *session) recountTargets(ctx context.Context, b *policy.Bound, stats *plan.Stats) error {
	targets := map[string]access.Entitlement{}
	for _, t := range b.Targets {
		if stats.Targets[t.Entitlement].Removals > 0 && t.GroupID != "" {
			targets[t.GroupID] = t.Entitlement
		}
	}
	for _, some := range chunks(sorted(targets), mostGroupIDs) {
		read, err := s.readGroups(ctx, organization.GroupQuery{GroupIDs: some, Limit: pageSize, Expand: []string{"counts.users"}})
		if err != nil {
			return err
		}
		for _, g := range read {
			t := stats.Targets[targets[g.ID]]
			t.Members = g.Users
			stats.Targets[targets[g.ID]] = t
		}
	}
	return nil
}

// keyFinding warns of a key that stops working soon.
func (s *session) keyFinding() []access.Finding {
	expires := s.policy.Organization.KeyExpires.Time
	if expires.IsZero() || expires.After(s.now().Add(keyWarning)) {
		return nil
	}
	return []access.Finding{{
		Rule: "key-expires", Subject: expires.Format(time.DateOnly),
		Detail: "the organization key stops working on that day: make a new one, put it where organization.key points, and set organization.keyExpires anew",
	}}
}

// keyWarning is how long before its end a key is warned of.
const keyWarning = 30 * 24 * time.Hour

// stats gathers what the guard needs to know, in aggregates.
func (s *session) stats(ctx context.Context, b *policy.Bound, run string) (plan.Stats, error) {
	stats := plan.NewStats(b)
	known, err := s.ledger.Organization(ctx, s.org)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return stats, err
	}
	stats.Adopted = !known.AdoptedAt.IsZero()
	lines, err := s.ledger.LineStats(ctx, s.org, run)
	if err != nil {
		return stats, err
	}
	for _, l := range lines {
		if !l.State.Open() && l.State != access.Recorded {
			continue
		}
		t := stats.Targets[l.Target]
		switch {
		case l.Lapse:
			t.Lapses += l.N
		case l.Action == access.Add:
			t.Adds += l.N
		case l.Action == access.Remove:
			t.Removals += l.N
		case l.Action == access.Adopt:
			t.Adopts += l.N
		}
		stats.Targets[l.Target] = t
	}
	if stats.LastAccess, err = s.ledger.LosesStats(ctx, s.org, run); err != nil {
		return stats, err
	}
	days := time.Duration(s.policy.Guard.Window.Days) * 24 * time.Hour
	removed, err := s.ledger.RemovalsSince(ctx, s.org, s.now().Add(-days))
	for target, n := range removed {
		stats.Past(target, n)
	}
	return stats, err
}

// stopLines writes the verdicts into the lines. In a dry run the lines are only recorded, with the rules that would stop
// them.
func (s *session) stopLines(ctx context.Context, b *policy.Bound, run string, verdicts []plan.Verdict, dry bool) error {
	filter := ledger.Filter{States: []access.ChangeState{access.Planned, access.Held}, Limit: linesAtOnce}
	for {
		lines, err := s.ledger.Lines(ctx, s.org, run, filter)
		if err != nil {
			return err
		}
		var changed []access.Change
		for _, c := range lines {
			by := plan.Stopped(verdicts, b, c)
			state := access.Planned
			if dry {
				state = access.Recorded
			} else if len(by) > 0 {
				state = access.Held
			}
			if state != c.State || len(by) > 0 {
				c.State, c.HeldBy = state, by
				changed = append(changed, c)
			}
		}
		if len(changed) > 0 {
			if err := s.ledger.UpdateLines(ctx, s.org, run, changed); err != nil {
				return err
			}
		}
		if len(lines) < linesAtOnce {
			return nil
		}
		filter.After = keyOf(lines[len(lines)-1])
		activity.RecordHeartbeat(ctx, run)
	}
}

// tally hashes the plan and counts its lines.
func (s *session) tally(ctx context.Context, run string) (string, messages.Counts, error) {
	_, seen, err := s.ledger.Seen(ctx, s.org, run)
	if err != nil {
		return "", messages.Counts{}, err
	}
	counts := messages.Counts{People: seen.People, Foreign: seen.Foreign, Suppressed: seen.Suppressed}
	hash := plan.NewHasher()
	err = s.eachLine(ctx, run, judged, func(c access.Change) error {
		switch c.Action {
		case access.Add:
			counts.Adds++
		case access.Remove:
			counts.Removals++
		case access.Adopt:
			counts.Adopts++
		}
		if len(c.HeldBy) > 0 {
			counts.Held++
		}
		return hash.Add(c)
	})
	return hash.Sum(), counts, err
}

// judged are the states of lines on which the guard has spoken and nothing has been done yet.
var judged = []access.ChangeState{access.Planned, access.Held, access.Sent, access.Recorded}

// eachLine walks a run's lines in hash order.
func (s *session) eachLine(ctx context.Context, run string, states []access.ChangeState, do func(access.Change) error) error {
	var after ledger.Key
	for {
		lines, err := s.ledger.LinesInHashOrder(ctx, s.org, run, states, after, linesAtOnce)
		if err != nil {
			return err
		}
		for _, c := range lines {
			if err := do(c); err != nil {
				return err
			}
		}
		if len(lines) < linesAtOnce {
			return nil
		}
		last := lines[len(lines)-1]
		after = ledger.Key{Person: last.Person, Target: last.Target}
	}
}

// movedDefaults compares the groups that are default now with those the policy was last accepted with.
func (s *session) movedDefaults(ctx context.Context, b *policy.Bound, known map[access.Entitlement][]string, preview bool) ([]plan.Moved, []access.Finding, error) {
	moved := plan.Moves(known, b)
	var findings []access.Finding
	for _, m := range moved {
		findings = append(findings, access.Finding{
			Rule: "default-moved", Subject: string(m.Entitlement),
			Detail: fmt.Sprintf("%s was given by %s and is given by %s now; changes to it wait. Approve the held plan to have Castellan move whom it put there, or apply the policy again to leave the former group as it is",
				m.Entitlement, listed(m.Old), listed(m.New)),
		})
	}
	fresh := map[access.Entitlement][]string{}
	for e, groups := range b.Defaults() {
		if _, seen := known[e]; !seen {
			fresh[e] = groups
		}
	}
	if len(fresh) > 0 && !preview {
		return moved, findings, s.ledger.SaveKnownDefaults(ctx, s.org, fresh)
	}
	return moved, findings, nil
}

func listed(groups []string) string {
	if len(groups) == 0 {
		return "no group"
	}
	return "group " + strings.Join(groups, ", ")
}
