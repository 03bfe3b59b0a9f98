package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// JudgeInput asks for the verdict on a run's plan.
type JudgeInput struct {
	session.RunInput
	Trigger string    `json:"trigger"`
	By      string    `json:"by,omitempty"`
	Scope   string    `json:"scope"`
	DryRun  bool      `json:"dryRun,omitempty"`
	Started time.Time `json:"started"`
	// of a run that decides people again: when the first of the runs that caused it began
	Since time.Time `json:"since,omitzero"`
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
	// the first plan was empty: there was nothing to approve
	Adopted  bool `json:"adopted,omitempty"`
	Doubtful bool `json:"doubtful,omitempty"` // the read was incomplete: look again soon
	// too many people lose something for a partial run: everybody has to be looked at
	TooMany bool   `json:"tooMany,omitempty"`
	Full    string `json:"full,omitempty"` // why everybody has to be looked at
	// groups have to be created, or compared with those of a source, which a full verification does
	ToCreate bool                     `json:"toCreate,omitempty"`
	Regiven  []session.OutOfBandGrant `json:"regiven,omitempty"` // by hand, after a grant had ended
	// rules that reverse each other's changes, which are left as they are
	Circles []string `json:"circles,omitempty"`
	// in the ledger and not shown: other reads tell whether they are over
	Unseen int `json:"unseen,omitempty"`
	// account IDs of people whose removals need a second look
	Settling []string `json:"settling,omitempty"`
}

// Quiet reports whether the run has nothing to write and changed nothing that people wait for.
func (r JudgeResult) Quiet() bool { return r.Open == 0 && r.Counts.Held == 0 }

// Judge checks the evidence of a swept run, lets the guard decide each line, and opens, replaces or closes the
// organization's hold. A repeat judges again with the same result.
func (a *Activities) Judge(ctx context.Context, in JudgeInput) (JudgeResult, error) {
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return JudgeResult{}, err
	}
	bound, err := s.BoundOf(ctx, in.Run)
	if err != nil {
		return JudgeResult{}, err
	}
	outline, err := s.OutlineOf(ctx, in.Run)
	if err != nil {
		return JudgeResult{}, err
	}
	result, err := s.judge(ctx, bound, outline, in, nil)
	result.Counts.Calls = s.CallsMade()
	return result, err
}

// partial is what is special about a run that did not look at everybody.
type partial struct {
	people        []string                 // whom it looked at
	full          string                   // the full verification before it
	deferRemovals func(*JudgeResult) error // takes out removals that may not be written yet
}

// judgement is one run being judged.
type judgement struct {
	*task
	in      JudgeInput
	bound   *policy.Bound
	outline session.RunOutline
	some    *partial // nil when everybody was looked at
	full    bool     // a full verification
	dry     bool     // nothing of it will be written

	evidence evidence
	stats    plan.Stats
	notes    ledger.Notes // what a full sweep counted
	circles  []access.Finding
	findings []access.Finding
	result   JudgeResult
}

func (s *task) judge(ctx context.Context, b *policy.Bound, outline session.RunOutline, in JudgeInput,
	some *partial) (JudgeResult, error) {
	j := &judgement{
		task: s, in: in, bound: b, outline: outline, some: some, notes: ledger.Notes{},
		full: some == nil && in.Scope == messages.ScopeFull,
		dry:  in.DryRun || in.Preview || s.Policy.DryRun,
	}
	for _, step := range []func(context.Context) error{j.read, j.weigh, j.stop, j.hold, j.count} {
		if err := step(ctx); err != nil {
			return JudgeResult{}, err
		}
	}
	return j.record(ctx)
}

// read gathers the evidence, and the findings that need no verdict.
func (j *judgement) read(ctx context.Context) (err error) {
	_, bound := policy.BindSince(j.Policy, j.outline.Outline, j.outline.Last)
	for _, name := range j.bound.Create {
		bound = append(bound, access.Finding{Rule: "group-to-create", Subject: name,
			Detail: "it is created and filled as the plan shows; before the first plan is approved, nothing is"})
	}
	if j.evidence, err = j.task.evidence(ctx, j.bound, j.outline.Outline, j.in.RunInput,
		j.in.Scope == messages.ScopeFull); err != nil {
		return err
	}
	moved, defaults, err := j.movedDefaults(ctx, j.bound, j.outline.Last.Defaults, j.in.Preview)
	if err != nil {
		return err
	}
	j.stats.Moved = moved
	named, err := j.NameFindings(ctx)
	if err != nil {
		return err
	}
	j.findings = slices.Concat(j.keyFindings(), j.evidence.findings(), named, bound, defaults)
	if !j.in.Preview {
		recent, err := j.recent(ctx, j.Org, j.findings)
		if err != nil {
			return err
		}
		j.findings = append(recent, j.findings...)
	}
	if j.full {
		if j.notes, err = j.Ledger.Notes(ctx, j.Org, j.in.Run); err != nil {
			return err
		}
		j.findings = append(j.findings, ofAll(noted(j.notes, j.bound))...)
		if err := j.conflicts(ctx); err != nil {
			return err
		}
	}
	if j.full && !j.in.Preview {
		if err := j.recordGroups(ctx); err != nil {
			return err
		}
	}
	if j.full && !j.dry {
		lost, err := j.lost(ctx, j.bound, j.in.RunInput)
		if err != nil {
			return err
		}
		j.findings = append(j.findings, ofAll(lost)...)
	}
	return nil
}

// recordGroups ends what the run recorded of groups and their members, and finds the groups that are lost.
func (j *judgement) recordGroups(ctx context.Context) error {
	run, err := j.Ledger.Run(ctx, j.Org, j.in.Run)
	if err != nil {
		return err
	}
	if err := groups.Seal(ctx, j.Session.Session, j.outline.Outline, run.Started); err != nil {
		return err
	}
	lost, err := groups.Lost(ctx, j.Session.Session, j.outline.Sites)
	j.findings = append(j.findings, ofAll(lost)...)
	return err
}

// weigh sums up what the guard decides on. First it takes out what a partial run has to leave to a full one.
func (j *judgement) weigh(ctx context.Context) (err error) {
	if j.some != nil && !j.in.Preview {
		if j.result.Full, err = j.leaveToFull(ctx, j.bound, j.in.Run, j.evidence.unjudged); err != nil {
			return err
		}
	}
	if j.circles, err = j.task.circles(ctx, j.in.Run, j.in.Since); err != nil {
		return err
	}
	j.findings = append(j.findings, j.circles...)
	moved := j.stats.Moved
	if j.stats, err = j.task.stats(ctx, j.bound, j.in.Run); err != nil {
		return err
	}
	j.stats.Suspects, j.stats.Moved = j.evidence.suspects, moved
	if err := j.doubtSources(ctx); err != nil {
		return err
	}
	if j.full {
		presence(&j.stats, j.notes)
		shown, err := j.judgeRules(ctx, j.bound, j.in, j.outline.Acting, j.notes, &j.stats, j.dry)
		if err != nil {
			return err
		}
		j.findings = append(j.findings, ofAll(shown)...)
	}
	if j.some != nil && j.some.full != "" {
		before, err := j.toldByFull(ctx, j.some.full)
		if err != nil {
			return err
		}
		j.findings = append(j.findings, before...)
	}
	flapping, err := j.flaps(ctx, j.in.RunInput, &j.stats)
	j.findings = append(j.findings, flapping...)
	if err == nil {
		err = j.reportCycles(ctx)
	}
	if err == nil && j.some != nil {
		err = j.recountTargets(ctx, j.bound, &j.stats)
	}
	return err
}

// stop lets the guard decide each line, and updates the open hold.
func (j *judgement) stop(ctx context.Context) (err error) {
	verdicts := plan.Judge(j.Policy, j.bound, j.stats)
	if err := j.stopLines(ctx, j.bound, j.in.Run, verdicts, j.dry); err != nil {
		return err
	}
	if j.some != nil && !j.dry {
		if err := j.stayHeld(ctx, j.in.Run); err != nil {
			return err
		}
		if err := j.stayApproved(ctx, j.in.Run, j.some.people); err != nil {
			return err
		}
	}
	j.result.Hold, err = j.settleHold(ctx, j.in, verdicts, j.full, j.people())
	return err
}

// hold handles a first plan that is empty, or that was rejected before.
func (j *judgement) hold(ctx context.Context) (err error) {
	if j.full && !j.dry && !j.stats.Adopted && j.result.Hold == nil && j.rejected == nil {
		awaited, err := j.awaitSources(ctx)
		if err != nil || awaited {
			return err
		}
		if j.result.Adopted, j.result.Hold, err = j.emptyFirstPlan(ctx, j.bound, j.in.RunInput); err != nil {
			return err
		}
	}
	if r := j.rejected; r != nil {
		j.findings = append([]access.Finding{{Rule: "first-plan-rejected", Subject: r.Plan, Detail: fmt.Sprintf(
			"the first plan is still the one that %s rejected at %s, so nothing is written and it is not proposed again; apply a corrected policy, or correct the groups", r.By, session.Timestamp(r.Decided))}}, j.findings...)
	}
	return nil
}

// count fills in the result, without the removals that may not be written yet.
func (j *judgement) count(ctx context.Context) (err error) {
	r := &j.result
	r.Suspects, r.Doubtful = len(j.evidence.suspects), j.evidence.doubtful
	r.Findings, r.Reported = access.Summarize(j.findings, 20), len(access.Summarize(j.findings, len(j.findings)))
	r.Circles = access.Summarize(j.circles, 20)
	if j.full && !j.dry {
		found, err := j.notShown(ctx, j.in.Run)
		if err != nil {
			return err
		}
		r.Unseen = found.count()
	}
	if r.Plan, r.Counts, err = j.tally(ctx, j.in.Run); err != nil {
		return err
	}
	r.Counts.People = max(r.Counts.People, len(j.people()))
	if !j.dry {
		r.Open = r.Counts.Adds + r.Counts.Removals + r.Counts.Adopts - r.Counts.Held
	}
	if j.some != nil {
		return j.some.deferRemovals(r)
	}
	return nil
}

// record stores the run. A partial run without changes leaves only its findings, if any.
func (j *judgement) record(ctx context.Context) (JudgeResult, error) {
	partly := j.some != nil
	if partly {
		if j.result.Quiet() && !j.dry && len(j.circles) == 0 {
			return j.result, nil
		}
		if err := j.KeepOutline(ctx, j.in.RunInput, j.outline); err != nil {
			return JudgeResult{}, err
		}
	}
	run := ledger.Run{
		Org: j.in.Org, ID: j.in.Run, Trigger: j.in.Trigger, Scope: j.in.Scope, Policy: j.in.Policy, By: j.in.By,
		DryRun:  j.in.DryRun,
		Preview: j.in.Preview, State: messages.RunReading, Plan: j.result.Plan, Started: j.in.Started,
		Counts: ledgerCounts(j.result.Counts), Findings: j.findings,
	}
	if err := j.Ledger.BeginRun(ctx, run); err != nil { // a full run was begun with its outline
		return JudgeResult{}, err
	}
	if err := j.Ledger.UpdateRun(ctx, run); err != nil || !partly || j.dry || !j.result.Quiet() {
		return j.result, err
	}
	run.State, run.Ended = messages.RunDone, j.Now() // nothing follows: only its findings are kept
	return j.result, j.Ledger.EndRun(ctx, run)
}

// people returns those whom a partial run looked at.
func (j *judgement) people() []string {
	if j.some == nil {
		return nil
	}
	return j.some.people
}

// ofAll marks findings that only a full verification can tell.
func ofAll(findings []access.Finding) []access.Finding {
	for i := range findings {
		findings[i].Whole = true
	}
	return findings
}

// toldByFull returns the findings of a full verification that a partial run cannot tell.
func (s *task) toldByFull(ctx context.Context, run string) ([]access.Finding, error) {
	full, err := s.Ledger.Run(ctx, s.Org, run)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	return slices.DeleteFunc(full.Findings, func(f access.Finding) bool { return !f.Whole }), err
}

// leaveToFull takes out of a partial plan what depends on source groups that no full verification has judged since they
// became suspect or were recreated, and returns why everybody has to be looked at: what such a group gave is held, or
// removed, as a whole.
func (s *task) leaveToFull(ctx context.Context, b *policy.Bound, run string, sources []string) (why string, err error) {
	if len(sources) == 0 {
		return "", nil
	}
	fed := map[access.Entitlement]bool{}
	for _, name := range sources {
		for _, t := range b.TargetsFedBy(name) {
			fed[b.Targets[t].Entitlement] = true
		}
	}
	lines, err := s.Ledger.Lines(ctx, s.Org, run, ledger.Filter{
		States: []access.ChangeState{access.Planned}, Actions: []access.Action{access.Remove},
		Limit: 10 * session.LinesAtOnce,
	})
	if err != nil {
		return "", err
	}
	lines = slices.DeleteFunc(lines, func(c access.Change) bool { return !fed[c.Target] || c.Lapse() })
	return "source groups changed as a whole: " + strings.Join(sources, ", "), s.supersede(ctx, run, lines, tooMany)
}

// recountTargets reads the member counts of the targets from which a partial run would remove people: its outline may
// be older than the run that filled them.
func (s *task) recountTargets(ctx context.Context, b *policy.Bound, stats *plan.Stats) error {
	targets := map[string]access.Entitlement{}
	for _, t := range b.Targets {
		if stats.Targets[t.Entitlement].Removals > 0 && t.GroupID != "" {
			targets[t.GroupID] = t.Entitlement
		}
	}
	for _, some := range session.Chunks(session.SortedKeys(targets), session.MostGroupIDs) {
		read, err := s.ReadGroups(ctx,
			organization.GroupQuery{GroupIDs: some, Limit: session.PageSize, Expand: []string{"counts.users"}})
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

// keyFindings warn of keys that expire soon: the organization's, and those of SCIM directories.
func (s *task) keyFindings() (found []access.Finding) {
	warn := func(expires time.Time, what, at string) {
		if !expires.IsZero() && !expires.After(s.Now().Add(keyWarning)) {
			found = append(found, access.Finding{Rule: "key-expires", Subject: expires.Format(time.DateOnly),
				Detail: fmt.Sprintf("%s stops working on that day: make a new one, put it where %[2]s.key refers to, and update %[2]s.keyExpires",
					what, at)})
		}
	}
	warn(s.Policy.Organization.KeyExpires.Time, "the organization key", "organization")
	for _, p := range s.Policy.Provision {
		warn(p.Directory.KeyExpires.Time, "the key of SCIM directory "+p.Directory.ID, "provision "+p.Name+": directory")
	}
	return found
}

// keyWarning is how long before its expiry the warning about a key begins.
const keyWarning = 30 * 24 * time.Hour

// stats gathers what the guard needs to know, in aggregates.
func (s *task) stats(ctx context.Context, b *policy.Bound, run string) (plan.Stats, error) {
	stats := plan.NewStats(b)
	known, err := s.Ledger.Organization(ctx, s.Org)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return stats, err
	}
	stats.Adopted = !known.AdoptedAt.IsZero()
	lines, err := s.Ledger.LineStats(ctx, s.Org, run)
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
	if stats.LastAccess, err = s.Ledger.LosesStats(ctx, s.Org, run); err != nil {
		return stats, err
	}
	days := time.Duration(s.Policy.Guard.Window.Days) * 24 * time.Hour
	removed, err := s.Ledger.RemovalsSince(ctx, s.Org, s.Now().Add(-days))
	for target, n := range removed {
		stats.AddPast(target, n)
	}
	return stats, err
}

// stopLines records the verdicts in the lines. In a dry run the lines are only recorded, with the rules that would hold
// them.
func (s *task) stopLines(ctx context.Context, b *policy.Bound, run string, verdicts []plan.Verdict, dry bool) error {
	filter := ledger.Filter{States: []access.ChangeState{access.Planned, access.Held}, Limit: session.LinesAtOnce}
	for {
		lines, err := s.Ledger.Lines(ctx, s.Org, run, filter)
		if err != nil {
			return err
		}
		var changed []access.Change
		for _, c := range lines {
			by := plan.HeldBy(verdicts, b, c)
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
			if err := s.Ledger.UpdateLines(ctx, s.Org, run, changed); err != nil {
				return err
			}
		}
		if len(lines) < session.LinesAtOnce {
			return nil
		}
		filter.After = session.KeyOf(lines[len(lines)-1])
		activity.RecordHeartbeat(ctx, run)
	}
}

// tally hashes the plan and counts its lines.
func (s *task) tally(ctx context.Context, run string) (string, messages.Counts, error) {
	_, seen, err := s.Ledger.Seen(ctx, s.Org, run)
	if err != nil {
		return "", messages.Counts{}, err
	}
	counts := messages.Counts{People: seen.People, Foreign: seen.Foreign, Suppressed: seen.Suppressed}
	hash := plan.NewHasher()
	err = s.EachLine(ctx, run, session.Judged(), func(c access.Change) error {
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

// movedDefaults compares the groups that are default now with those at the policy's last approval.
func (s *task) movedDefaults(ctx context.Context, b *policy.Bound, known map[access.Entitlement][]string,
	preview bool) ([]plan.MovedDefault, []access.Finding, error) {
	moved := plan.MovedDefaults(known, b)
	var findings []access.Finding
	for _, m := range moved {
		findings = append(findings, access.Finding{
			Rule: "default-moved", Subject: string(m.Entitlement),
			Detail: fmt.Sprintf("the default of %s was %s and now is %s; changes to it wait. Approve the held plan to have Castellan move the people whom it added, or apply the policy again to leave the former group as it is",
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
		return moved, findings, s.Ledger.SaveKnownDefaults(ctx, s.Org, fresh)
	}
	return moved, findings, nil
}

func listed(groups []string) string {
	if len(groups) == 0 {
		return "no group"
	}
	return "group " + strings.Join(groups, ", ")
}
