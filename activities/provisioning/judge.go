package provisioning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy/provision"
)

// JudgeInput asks for the guard's verdict on a run over records.
type JudgeInput struct {
	RunInput
	DryRun  bool `json:"dryRun,omitempty"`
	Partial bool `json:"partial,omitempty"` // it looked at a few identities only
}

// JudgeResult is the verdict: how many lines may be written, and what is held.
type JudgeResult struct {
	Plan     string          `json:"plan"`
	Open     int             `json:"open"`             // lines to write
	Groups   int             `json:"groups,omitempty"` // those among them that are about groups
	Counts   messages.Counts `json:"counts"`
	Hold     *messages.Hold  `json:"hold,omitempty"` // of the lane of identities
	Findings []string        `json:"findings,omitempty"`
	Reported int             `json:"reported,omitempty"`
}

// JudgeRecords has the guard judge the lines of a run, and opens, replaces or closes the hold of the identities' lane.
// A repeat judges again with the same result. Accounts that were not as they should be when they were read back are
// asked about again, until they are; that nobody answers keeps nothing from being judged.
//
// Calls: for such accounts alone, as in VerifyRecords.
func (a *Activities) JudgeRecords(ctx context.Context, in JudgeInput) (JudgeResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return JudgeResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return JudgeResult{}, err
	}
	j := &judgement{Provisioner: p, in: in, dry: in.DryRun || in.Preview || s.Policy.DryRun}
	for _, step := range []func(context.Context) error{j.sum, j.stop, j.adopt, j.hold, j.note} {
		if err := step(ctx); err != nil {
			return JudgeResult{}, err
		}
	}
	return j.result, nil
}

// judgement is one run being judged.
type judgement struct {
	*session.Provisioner
	in       JudgeInput
	dry      bool
	stats    plan.RecordStats
	notes    ledger.Notes
	groups   *session.Groups // nil: the provision has none
	verdicts []plan.Verdict
	findings []access.Finding
	result   JudgeResult
}

// sum adds up what the guard decides on.
func (j *judgement) sum(ctx context.Context) (err error) {
	j.stats.Provision = j.Spec.Name
	if j.stats.Adopted, err = j.Adopted(ctx); err != nil {
		return err
	}
	if j.notes, err = j.Ledger.Notes(ctx, j.Org, j.in.Run); err != nil {
		return err
	}
	j.stats.Unlinked, j.stats.Overwritten = j.notes.Of(noteUnlinked), j.notes.Of(noteOverwritten)
	counts, err := j.Ledger.PersonStateCounts(ctx, j.Org, j.Spec.Name)
	if err != nil {
		return err
	}
	j.stats.Active = counts[string(identity.Linked)] + counts[string(identity.Orphaned)] +
		counts[string(identity.EmailDrift)] + counts[string(identity.Unlinked)]
	days := time.Duration(j.Policy.Guard.Window.Days) * 24 * time.Hour
	removed, err := j.Ledger.RemovalsSince(ctx, j.Org, j.Now().Add(-days))
	if err != nil {
		return err
	}
	j.stats.Window = removed[access.RecordTarget(j.Spec.Name)]
	if err := j.sumGroups(ctx, removed); err != nil {
		return err
	}
	return j.EachLine(ctx, j.in.Run, session.Judged(), func(c access.Change) error {
		j.stats.Add(c)
		return nil
	})
}

// sumGroups adds what groups of the directory have, and how many left them lately.
func (j *judgement) sumGroups(ctx context.Context, removed map[access.Entitlement]int) (err error) {
	if j.groups, err = j.Groups(ctx); err != nil || j.groups == nil {
		return err
	}
	j.stats.Memberships.Targets = map[access.Entitlement]plan.Tally{}
	for _, g := range j.groups.All {
		if g.Group != "" {
			target := access.SCIMGroupTarget(j.Spec.Name, g.Name)
			j.stats.Memberships.Targets[target] = plan.Tally{Members: j.groups.Counts[g.Group]}
		}
	}
	for target, n := range removed {
		if target.Kind() == access.KindSCIMGroup && access.ProvisionOf(target) == j.Spec.Name {
			j.stats.Memberships.AddPast(target, n)
		}
	}
	return nil
}

// stop records the verdicts in the lines.
func (j *judgement) stop(ctx context.Context) error {
	j.verdicts = plan.JudgeRecords(j.Policy, j.stats)
	hash := plan.NewHasher()
	err := j.EachPage(ctx, j.in.Run, session.Judged(), func(lines []access.Change) error {
		for n := range lines {
			j.stopLine(&lines[n])
			if err := hash.Add(lines[n]); err != nil {
				return err
			}
		}
		activity.RecordHeartbeat(ctx, j.result.Open)
		return j.Ledger.UpdateLines(ctx, j.Org, j.in.Run, lines)
	})
	j.result.Plan = hash.Sum()
	return err
}

// stopLine records the verdicts in a line.
func (j *judgement) stopLine(line *access.Change) {
	c := &j.result.Counts
	for _, v := range j.verdicts {
		if v.Holds(*line) && !slices.Contains(line.HeldBy, v.Rule) {
			line.HeldBy = append(line.HeldBy, v.Rule)
		}
	}
	slices.Sort(line.HeldBy)
	switch {
	case line.State == access.Sent:
	case j.dry:
		line.State = access.Recorded
	case len(line.HeldBy) > 0:
		line.State = access.Held
	default:
		line.State = access.Planned
		j.result.Open++
		if access.RecordOf(line.Target) == "" {
			j.result.Groups++
		}
	}
	if len(line.HeldBy) > 0 {
		c.Held++
	}
	count(c, line.Action)
}

// adopt records that a provision needs no consent to its first plan: it asks for nothing, or the policy does not ask.
func (j *judgement) adopt(ctx context.Context) error {
	asks := slices.ContainsFunc(j.verdicts, func(v plan.Verdict) bool { return v.Rule == plan.RuleAdopt })
	if j.stats.Adopted || asks || j.dry || j.in.Partial || j.Decide.Observe {
		return nil
	}
	by := "nobody: the first plan was empty"
	if j.result.Open > 0 || j.result.Counts.Held > 0 {
		by = "nobody: guard.adopt is auto"
	}
	return j.Ledger.AdoptProvision(ctx, j.Org, j.Spec.Name, j.in.Run, by, j.Now())
}

func count(c *messages.Counts, action access.Action) {
	switch action {
	case access.Add:
		c.Adds++
	case access.Update:
		c.Updates++
	case access.Remove:
		c.Removals++
	case access.Adopt:
		c.Adopts++
	}
}

// hold keeps the one open hold of the lane. A run about a few identities leaves an open hold of everybody as it is:
// what it would hold beside that waits for the next run over everybody.
func (j *judgement) hold(ctx context.Context) error {
	if j.dry {
		return nil
	}
	open, err := j.Ledger.CurrentHoldIn(ctx, j.Org, ledger.LaneIdentity)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	isOpen := err == nil
	if isOpen {
		if other, err := j.ofOther(ctx, open); err != nil || other {
			return err
		}
	}
	if isOpen && j.in.Partial {
		j.result.Hold = holdOf(open, j.Spec.Name)
		return nil
	}
	hold := ledger.Hold{Org: j.Org, Lane: ledger.LaneIdentity, Run: j.in.Run, Opened: j.Now()}
	hash := plan.NewHasher()
	rules := map[string]int{}
	err = j.EachLine(ctx, j.in.Run, []access.ChangeState{access.Held}, func(c access.Change) error {
		switch c.Action {
		case access.Add:
			hold.Adds++
		case access.Update:
			hold.Updates++
		case access.Remove:
			hold.Removals++
		case access.Adopt:
			hold.Adopts++
		}
		hold.People++
		for _, rule := range c.HeldBy {
			rules[rule]++
		}
		return hash.Add(c)
	})
	if err != nil {
		return err
	}
	if hold.People == 0 {
		if isOpen {
			return j.Ledger.CloseHoldIn(ctx, j.Org, ledger.LaneIdentity, "nothing is held any more")
		}
		return nil
	}
	hold.Plan = hash.Sum()
	hold.Rules = j.rules(rules)
	if isOpen && open.Plan == hold.Plan {
		hold.Opened, hold.Changed = open.Opened, open.Changed
	} else if isOpen {
		hold.Changed = "replaces " + open.Plan
	}
	j.result.Hold = holdOf(hold, j.Spec.Name)
	return j.Ledger.OpenHold(ctx, hold)
}

// rules explains a hold: by the guard's verdicts, then by the reasons to hold one person's change, with how many there
// are of each.
func (j *judgement) rules(counts map[string]int) (all []ledger.HoldRule) {
	for _, v := range j.verdicts {
		all = append(all, ledger.HoldRule{Rule: v.Rule, Scope: "provision " + j.Spec.Name, Detail: v.Detail})
		delete(counts, v.Rule)
	}
	for _, r := range groupRules(j.groups) {
		if _, holds := counts[r.Rule]; holds {
			all = append(all, r)
		}
	}
	for _, r := range all {
		delete(counts, r.Rule)
	}
	for _, rule := range session.SortedKeys(counts) {
		all = append(all, ledger.HoldRule{Rule: rule, Scope: "provision " + j.Spec.Name,
			Detail: fmt.Sprintf("%d changes: %s", counts[rule], identity.Hold(rule).Explain())})
	}
	return all
}

// ofOther reports whether an open hold is another provision's, which has to be decided first: there is one for all.
func (j *judgement) ofOther(ctx context.Context, open ledger.Hold) (bool, error) {
	lines, err := j.Ledger.Lines(ctx, j.Org, open.Run, ledger.Filter{Limit: 1})
	if err != nil || len(lines) == 0 {
		return false, err
	}
	name := access.ProvisionOf(lines[0].Target)
	other := name != j.Spec.Name && slices.ContainsFunc(j.Policy.Provision,
		func(p provision.Provision) bool { return p.Name == name })
	if n := j.result.Counts.Held; other && n > 0 {
		j.findings = append(j.findings, access.Finding{Rule: "hold-waits", Subject: "provision " + j.Spec.Name,
			Detail: fmt.Sprintf("%d changes have to be held, but wait until plan %s of provision %s is decided", n,
				open.Plan, name)})
	}
	return other, nil
}

// holdOf returns a hold of a provision's records as the status shows it.
func holdOf(h ledger.Hold, provision string) *messages.Hold {
	m := session.HoldMessage(h)
	m.Provision = provision
	return m
}

// note makes the findings of what the pages counted, and ends the pass over everybody's states.
func (j *judgement) note(ctx context.Context) error {
	findings := j.findings
	for _, d := range j.Doubted {
		findings = append(findings, access.Finding{Rule: plan.RuleIdentitySuspect, Subject: "source " + d.Name,
			Detail: d.Why + ". Leavers known from this source alone wait"})
	}
	findings = append(findings, groupFindings(j.groups)...)
	for _, n := range j.notes.Sorted() {
		if n.Kind == noteDoubted {
			findings = append(findings, access.Finding{Rule: plan.RuleIdentitySuspect, Subject: "source " + n.About[0],
				Detail: fmt.Sprintf("%d memberships in groups of provision %s would end, and stay as long as the source proves nothing",
					j.notes[n], j.Spec.Name)})
		}
		if n.Kind == noteFinding {
			findings = append(findings, access.Finding{Rule: n.About[0], Subject: "provision " + j.Spec.Name,
				Detail: fmt.Sprintf("%d people: %s", j.notes[n], identity.Finding(n.About[0]).Explain())})
		}
	}
	if !j.in.Preview {
		unverified, err := j.stillUnverified(ctx)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			activity.GetLogger(ctx).Warn("accounts that were not as they should be could not be read again",
				"provision", j.Spec.Name, "error", err)
		}
		findings = append(findings, unverified...)
		j.result.Counts.Calls = j.CallsMade()
	}
	j.result.Findings, j.result.Reported = access.Summarize(findings, 20), len(findings)
	if j.in.Partial || j.in.Preview {
		return nil
	}
	return j.Ledger.EndPersonStates(ctx, j.Org, j.Spec.Name, j.in.Run)
}
