package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// ChangeInput names one line of a run's plan.
type ChangeInput struct {
	session.RunInput
	Person string             `json:"person"`
	Target access.Entitlement `json:"target"`
	// Now: the line is decided again from one read just before it is written, since the changes of grants are planned
	// from the ledger.
	Now bool `json:"now,omitempty"`
	// Fresh is how the line was confirmed, as in ConfirmInput, and how it is confirmed again once its evidence is old.
	Fresh bool `json:"fresh,omitempty"`
}

// evidenceLasts is how long a confirmed removal may wait for its write: if the API failed for longer, the person is
// read again.
const evidenceLasts = 10 * time.Second

// ChangeResult is the result; the workflow's history has one for each change.
type ChangeResult struct {
	State  access.ChangeState `json:"state"`
	Answer string             `json:"answer,omitempty"`
	// Closed: the target accepts nothing more from anybody in this run, for lack of licences or because it cannot be
	// changed.
	Closed bool `json:"closed,omitempty"`
}

// Apply makes one change: one write to Atlassian, after reads only where they are needed (an earlier attempt of unknown
// outcome, a membership that should have been there, a protected target).
//
// A repeat is safe: the ledger line tells whether the change is done (nothing happens), was begun without a known
// outcome (the state is read back first), or never reached Atlassian (it is written). The calls themselves are
// idempotent too: adding a member twice gets "already", removing a non-member 404.
func (a *Activities) Apply(ctx context.Context, in ChangeInput) (ChangeResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return ChangeResult{}, err
	}
	return s.apply(ctx, in)
}

func (s *Session) apply(ctx context.Context, in ChangeInput) (ChangeResult, error) {
	if apply := s.ofOtherKind(in.Target); apply != nil {
		return apply(ctx, in)
	}
	line, begun := s.takeBegun(in)
	if !begun {
		lent, err := s.lent(ctx, in)
		if err != nil {
			return ChangeResult{}, err
		}
		if lent {
			return s.applyGrant(ctx, in)
		}
		if line, err = s.Ledger.BeginChange(ctx, in.Org, in.Run, in.Person, in.Target, s.Now()); err != nil {
			return ChangeResult{}, err
		}
	}
	if !line.State.Open() {
		return ChangeResult{State: line.State, Answer: line.Answer}, nil
	}
	if line.State == access.Held {
		return ChangeResult{}, session.NonRetryable(session.ErrPolicy,
			fmt.Errorf("%s is held; nothing held is ever written", line.Label()))
	}
	if line.State == access.Planned && s.Current != "" && s.Current != in.Policy {
		return s.end(ctx, in.Run, line, access.Superseded,
			"another policy is in force by now, which the next verification follows")
	}
	if line.State == access.Planned {
		other, err := s.Ledger.MadeElsewhere(ctx, in.Org, in.Run, line, line.At)
		if err != nil {
			return ChangeResult{}, s.unsent(ctx, in.Run, line, err)
		}
		if other != "" {
			return s.end(ctx, in.Run, line, access.Superseded, "made by run "+other+" meanwhile")
		}
	}
	if answer, err := s.check(ctx, in.Run, &line); err != nil {
		return ChangeResult{}, s.unsent(ctx, in.Run, line,
			session.WrapAPIError("check before writing: "+line.Label(), err))
	} else if answer != nil {
		return *answer, nil
	}
	if line.Action == access.Remove && s.Now().Sub(activity.GetInfo(ctx).ScheduledTime) > evidenceLasts {
		if gone, err := s.outdated(ctx, in, line); err != nil {
			return ChangeResult{}, s.unsent(ctx, in.Run, line,
				session.WrapAPIError("read again before writing: "+line.Label(), err))
		} else if gone != nil {
			return s.end(ctx, in.Run, line, gone.State, gone.Answer)
		}
	}
	_, err := s.write(ctx, in.Run, line)
	return s.settle(ctx, in.Run, line, err)
}

// ofOtherKind returns what makes changes that are not about one person's access alone; nil if the target is.
func (s *Session) ofOtherKind(target access.Entitlement) func(context.Context, ChangeInput) (ChangeResult, error) {
	switch {
	case access.RecordOf(target) != "":
		return s.applyRecord
	case target.Restores():
		return s.applyRestore
	}
	return nil
}

// outdated confirms a removal again. It returns the line in its final state if the person should keep the access after
// all.
func (s *Session) outdated(ctx context.Context, in ChangeInput, line access.Change) (*access.Change, error) {
	b, err := s.ConfirmedBy(ctx, ConfirmInput{RunInput: in.RunInput, Fresh: in.Fresh})
	if err != nil {
		return nil, err
	}
	gone, err := s.Unconfirmed(ctx, b, in.Run, []access.Change{line})
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	return &gone[0], nil
}

// check verifies what an earlier read may have got wrong. A result ends the line without a write.
func (s *Session) check(ctx context.Context, run string, line *access.Change) (*ChangeResult, error) {
	answer := func(state access.ChangeState, words string) (*ChangeResult, error) {
		result, err := s.end(ctx, run, *line, state, words)
		return &result, err
	}
	doubted := line.State == access.Sent
	if !doubted {
		if over, err := s.overtaken(ctx, run, *line); err != nil || over != "" {
			if err != nil {
				return nil, err
			}
			return answer(access.Superseded, over)
		}
	}
	if !doubted && line.Action == access.Add {
		if err := s.doubt(ctx, run, line); err != nil {
			return nil, err
		}
		ours, err := s.ours(ctx, *line)
		if err != nil {
			return nil, err
		}
		doubted = ours || line.State == access.Sent
	}
	if doubted {
		is, err := s.holds(ctx, *line)
		if err != nil {
			return nil, session.WrapAPIError("read back "+line.Label(), err)
		}
		if is == (line.Action == access.Add) && line.State == access.Sent {
			return answer(access.Done, "done by an earlier attempt, found on reading back")
		}
		if is && line.Action == access.Add {
			return answer(access.Already, "held already: the read before did not show it")
		}
	}
	if line.Action == access.Remove {
		refusal, err := s.floor(ctx, run, *line)
		if err != nil {
			return nil, session.WrapAPIError("check the floor for "+line.Label(), err)
		}
		if refusal != nil {
			return answer(access.Refused, refusal.Error())
		}
	}
	return nil, nil
}

// overtaken returns why a grant that began or ended after the line was planned makes it unnecessary; "" if none does.
func (s *Session) overtaken(ctx context.Context, run string, c access.Change) (string, error) {
	if !plan.DependsOnGrants(s.Policy, c) {
		return "", nil
	}
	states, err := s.Ledger.States(ctx, s.Org, []string{c.Person}, s.Now())
	if err != nil {
		return "", err
	}
	b, err := s.BoundOf(ctx, run)
	if err != nil {
		return "", err
	}
	return plan.WhyMoot(b, s.Policy, c, states[c.Person].Grants, states[c.Person].Rulings, s.Now()), nil
}

// write is the one place that changes a person's access at Atlassian; groups and records have files of their own. It
// returns the account ID of somebody whom it invited.
func (s *Session) write(ctx context.Context, run string, c access.Change) (id string, err error) {
	adding := c.Action == access.Add
	switch {
	case c.Target == access.OrgAdmin && adding:
		return "", s.writer().AssignOrgRole(ctx, c.Person, access.RoleOrgAdmin)
	case c.Target == access.OrgAdmin:
		return "", s.writer().RevokeOrgRole(ctx, c.Person, access.RoleOrgAdmin)
	case c.Target == access.Directory && adding:
		return s.present(ctx, c)
	case c.Target == access.Organization:
		return "", s.writer().RemoveUser(ctx, s.Directory, c.Person)
	case c.Target == access.Directory && !access.OnlyGrants(c.Reasons):
		return "", s.writer().SuspendUser(ctx, s.Directory, c.Person)
	case c.Target == access.Directory:
		return "", s.absent(ctx, c)
	case c.Target.Kind() == access.KindRole:
		return "", s.appRole(ctx, run, c)
	case c.GroupID == "":
		return "", fmt.Errorf("%w: the group is not there yet", organization.ErrInvalid)
	case adding:
		return "", s.writer().AddMember(ctx, s.Directory, c.GroupID, c.Person)
	default:
		return "", s.writer().RemoveMember(ctx, s.Directory, c.GroupID, c.Person)
	}
}

// settle records the API's answer to a write, or leaves the line open for the next attempt.
func (s *Session) settle(ctx context.Context, run string, line access.Change, err error) (ChangeResult, error) {
	adding := line.Action == access.Add
	switch {
	case err == nil:
		return s.end(ctx, run, line, access.Done, "accepted")
	case adding && errors.Is(err, organization.ErrAlreadyMember):
		if line.State == access.Sent {
			return s.end(ctx, run, line, access.Done, "done by an earlier attempt: already a member")
		}
		return s.end(ctx, run, line, access.Already, "already a member")
	case errors.Is(err, organization.ErrLicenceLimit):
		return closed(s.end(ctx, run, line, access.Shortage,
			"the app's licence limit is reached: "+session.ErrorText(err)))
	case adding && errors.Is(err, organization.ErrConflict):
		is, readErr := s.holds(ctx, line)
		if readErr != nil {
			return ChangeResult{}, s.unsent(ctx, run, line, session.WrapAPIError("read back "+line.Label(), readErr))
		}
		if is {
			return s.end(ctx, run, line, access.Already, "already a member")
		}
		return closed(s.end(ctx, run, line, access.Shortage,
			"refused by a conflict, most likely the app's licence limit: "+session.ErrorText(err)))
	case !adding && errors.Is(err, organization.ErrNotFound):
		if line.State == access.Sent {
			return s.end(ctx, run, line, access.Done, "done by an earlier attempt: no longer a member")
		}
		return s.end(ctx, run, line, access.Already, "was not a member any more")
	case errors.Is(err, organization.ErrForbidden):
		return closed(s.end(ctx, run, line, access.Refused, "the key may not change it: "+session.ErrorText(err)))
	case errors.Is(err, organization.ErrNotFound), errors.Is(err, organization.ErrInvalid):
		return s.end(ctx, run, line, access.Refused, session.ErrorText(err))
	case errors.Is(err, organization.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		// the line stays Sent: the next attempt reads back
		return ChangeResult{}, session.WrapAPIError(line.Label(), err)
	case errors.Is(err, context.Canceled):
		return ChangeResult{}, err
	}
	return ChangeResult{}, s.unsent(ctx, run, line, session.WrapAPIError(line.Label(), err))
}

func closed(r ChangeResult, err error) (ChangeResult, error) {
	r.Closed = err == nil
	return r, err
}

func (s *Session) end(ctx context.Context, run string, line access.Change, state access.ChangeState,
	answer string) (ChangeResult, error) {
	line.State, line.Answer, line.At = state, answer, s.Now()
	// An answer must be recorded even while the activity is being cancelled.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	record := s.Ledger.EndChange
	if s.several != nil && ctx.Err() == nil {
		record = s.endAndBegin
	}
	if err := record(keep, s.Org, run, line); err != nil {
		return ChangeResult{}, fmt.Errorf("record the answer to %s: %w", line.Label(), err)
	}
	return ChangeResult{State: state, Answer: answer}, nil
}

// unsent sets a line back to planned, since the write certainly did not happen, and returns the error. A line that an
// earlier attempt may have written stays Sent.
func (s *Session) unsent(ctx context.Context, run string, line access.Change, err error) error {
	if line.State == access.Sent {
		return err
	}
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if failed := s.Ledger.CancelChange(keep, s.Org, run, line.Person, line.Target); failed != nil {
		return fmt.Errorf("%w; and the ledger did not take it back: %w", err, failed)
	}
	return err
}

// holds reads whether the person holds the target now. It searches the group first; only if that does not show the
// person, the person's own list decides, which may be incomplete but never has too much.
func (s *Session) holds(ctx context.Context, c access.Change) (bool, error) {
	if c.GroupID != "" {
		found, err := s.Search(ctx, organization.UserQuery{AccountIDs: []string{c.Person},
			GroupIDs: []string{c.GroupID}, Limit: 1, Expand: session.ExpandPeople})
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	found, err := s.Search(ctx, organization.UserQuery{AccountIDs: []string{c.Person}, Limit: 1,
		Expand: session.ExpandPeople})
	if err != nil {
		return false, err
	}
	if len(found) == 0 && c.Target == access.Organization {
		return false, nil
	}
	if len(found) != 1 {
		return false, session.RetryAfter(session.ErrEvidence, session.OutcomePatience,
			fmt.Errorf("the directory does not show %s", c.Person))
	}
	return HoldsTarget(found[0], c), nil
}

// ours reports whether the membership is already Castellan's own in the ledger: a read did not show it, and may have
// been wrong.
func (s *Session) ours(ctx context.Context, c access.Change) (bool, error) {
	states, err := s.Ledger.States(ctx, s.Org, []string{c.Person}, s.Now())
	if err != nil {
		return false, err
	}
	for _, h := range states[c.Person].Holdings {
		if h.Target == c.Target && h.Owned && h.Until.IsZero() {
			return true, nil
		}
	}
	return false, nil
}

// doubt marks an add as begun if an earlier run began it and never got an answer: it may be done by now.
func (s *Session) doubt(ctx context.Context, run string, line *access.Change) error {
	doubts, err := s.Ledger.Doubtful(ctx, s.Org, run, line.Person)
	if doubts[line.Person][line.Target].Action == access.Add {
		line.State = access.Sent
	}
	return err
}

// ResolveDoubtful marks adds of these people as done that never got an answer and that a read now shows: they are
// Castellan's own, since a read before each of them did not show it.
func (s *Session) ResolveDoubtful(ctx context.Context, b *policy.Bound, people ...access.Person) error {
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	doubts, err := s.Ledger.Doubtful(ctx, s.Org, "", ids...)
	if err != nil {
		return err
	}
	for _, p := range people {
		for target, d := range doubts[p.ID] {
			i, managed := b.Target(target)
			if !managed || d.Action != access.Add {
				continue
			}
			if held, _ := b.Holds(p, i); held {
				if _, err := s.end(ctx, d.Run, d.Change, access.Done,
					"done, though it was never answered: found when the person was read"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// HoldsTarget reports whether a person, as read, holds the target of the change.
func HoldsTarget(p access.Person, c access.Change) bool {
	switch c.Target {
	case access.OrgAdmin:
		return p.HasRole(access.RoleOrgAdmin)
	case access.Directory:
		return p.MembershipStatus == "active"
	case access.Organization:
		return p.MembershipStatus != "no_membership"
	}
	return p.InGroup(c.GroupID)
}

// NextInput asks for the next lines to write.
type NextInput struct {
	session.RunInput
	Actions []access.Action `json:"actions"`
	// Approved selects the lines that a person's decision released, or those that were never held; nil: both. The run
	// that held lines may still be in progress, and its reads are in doubt: the run that the decision starts writes
	// them.
	Approved *bool  `json:"approved,omitempty"`
	After    string `json:"after,omitempty"`   // from the last result
	Through  string `json:"through,omitempty"` // of ConfirmResult: only lines up to it
	Limit    int    `json:"limit"`
	// Identities are those whose lines are asked for, as "source:key"; none: all lines.
	Identities []string `json:"identities,omitempty"`
	// Batch is that of links whose lines are asked for: only those of people whose wave was begun.
	Batch string `json:"batch,omitempty"`
	// Person is the one whose lines are asked for; "": everybody's.
	Person string `json:"person,omitempty"`
	// Target is that of the lines that are asked for; empty: any.
	Target access.Entitlement `json:"target,omitempty"`
}

// NextResult has the lines in their smallest form, since the history contains them.
type NextResult struct {
	Lines []Line `json:"lines"`
	After string `json:"after,omitempty"`
	More  bool   `json:"more"`
}

// Line is a plan line with what the workflow needs.
type Line struct {
	Person  string             `json:"p"`
	Target  access.Entitlement `json:"t"`
	Label   string             `json:"l"`           // for the Web UI
	Guarded bool               `json:"g,omitempty"` // a protected target: written one at a time
}

// Key is the value for NextInput.After to continue after the line.
func (l Line) Key(action access.Action) string {
	return session.WriteKey(access.Change{Action: action, Person: l.Person, Target: l.Target})
}

// Next lists the next released lines of a run, in order. It changes nothing.
func (a *Activities) Next(ctx context.Context, in NextInput) (NextResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return NextResult{}, err
	}
	filter := ledger.Filter{States: []access.ChangeState{access.Planned, access.Sent}, Actions: in.Actions,
		Waited: in.Approved, Limit: in.Limit, Person: in.Person, Target: in.Target}
	if filter.After, err = session.ReadKey(in.After); err != nil {
		return NextResult{}, session.NonRetryable(session.ErrUnknown, err)
	}
	if filter.Through, err = session.ReadKey(in.Through); err != nil {
		return NextResult{}, session.NonRetryable(session.ErrUnknown, err)
	}
	lines, err := s.Ledger.Lines(ctx, in.Org, in.Run, filter)
	if err != nil {
		return NextResult{}, err
	}
	if in.Batch != "" {
		if in.Identities, err = s.begunLinks(ctx, in); err != nil {
			return NextResult{}, err
		}
	}
	result := NextResult{After: in.After, More: len(lines) == in.Limit}
	for _, c := range lines {
		result.After = session.WriteKey(c)
		if (len(in.Identities) > 0 || in.Batch != "") && !slices.ContainsFunc(c.Sources,
			func(of string) bool { return slices.Contains(in.Identities, of) }) {
			continue
		}
		held, err := s.guarded(ctx, in.Run, c)
		if err != nil {
			return NextResult{}, err
		}
		result.Lines = append(result.Lines,
			Line{Person: c.Person, Target: c.Target, Label: c.Label(), Guarded: held})
	}
	return result, nil
}

// begunLinks returns those of a wave's people whose wave the batch has begun: whoever signals another wave has nothing
// written.
func (s *Session) begunLinks(ctx context.Context, in NextInput) (begun []string, err error) {
	var refs []ledger.Ref
	for _, one := range in.Identities {
		refs = append(refs, ledger.ReadRef(one))
	}
	links, err := s.Ledger.LinksOf(ctx, in.Org, in.Batch, refs)
	for _, k := range links {
		if k.Wave > 0 && k.Outcome == messages.LinkPending {
			begun = append(begun, k.Ref().String())
		}
	}
	return begun, err
}

// guarded is guarded for the policy that the run is bound to. A SCIM directory has no floors; members of a group with a
// maximum are restored one at a time.
func (s *Session) guarded(ctx context.Context, run string, c access.Change) (bool, error) {
	if access.ProvisionOf(c.Target) != "" {
		return false, nil
	}
	if name, restored := access.RestoreOf(c.Target); restored || c.Target.Restores() {
		return slices.ContainsFunc(s.Policy.Protected, func(p policy.Protected) bool {
			return p.Maximum > 0 && access.SameName(p.Target.Group(), name)
		}), nil
	}
	b, err := s.BoundOf(ctx, run)
	if err != nil {
		return false, err
	}
	return guarded(b, c), nil
}

// guarded reports whether a floor may forbid the line. Whoever is suspended or removed may hold any protected target.
func guarded(b *policy.Bound, c access.Change) bool {
	i, ok := b.Target(c.Target)
	return c.Action == access.Remove && (c.Target.Presence() || ok && b.Targets[i].Protected != nil)
}
