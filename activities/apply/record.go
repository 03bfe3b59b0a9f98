package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy/provision"
)

// recordChange is one change of one person's record in a SCIM directory.
type recordChange struct {
	*session.Provisioner
	lines *Session // ends the line
	in    ChangeInput
	line  access.Change
	ref   ledger.Ref // the identity by which the person was met
}

// applyRecord makes one change of a record: one write, after the record was read as it is now and everything was
// decided again. It writes only if the same is asked for then, values included. A repeat finds what an earlier attempt
// did.
func (s *Session) applyRecord(ctx context.Context, in ChangeInput) (ChangeResult, error) {
	if access.RecordOf(in.Target) == "" {
		return ChangeResult{}, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("%s is about a group of a SCIM directory, which ApplyGroup writes", in.Target))
	}
	line, err := s.Ledger.BeginChange(ctx, in.Org, in.Run, in.Person, in.Target, s.Now())
	switch {
	case err != nil:
		return ChangeResult{}, err
	case !line.State.Open():
		return ChangeResult{State: line.State, Answer: line.Answer}, nil
	case line.State == access.Held:
		return ChangeResult{}, session.NonRetryable(session.ErrPolicy,
			fmt.Errorf("%s is held; nothing held is ever written", line.Label()))
	case line.State == access.Planned && s.Current != "" && s.Current != in.Policy:
		return s.end(ctx, in.Run, line, access.Superseded,
			"another policy is in force by now, which the next verification follows")
	case len(line.Sources) == 0:
		return s.end(ctx, in.Run, line, access.Failed, "the line does not say whose record it is")
	}
	p, err := s.OpenProvision(ctx, access.RecordOf(in.Target))
	if err != nil {
		return ChangeResult{}, s.unsent(ctx, in.Run, line, err)
	}
	if s.Policy.DryRun || p.Decide.Observe {
		return s.end(ctx, in.Run, line, access.Superseded,
			"the policy says by now that nothing is written: dryRun, or directory.mode: observe")
	}
	c := &recordChange{Provisioner: p, lines: s, in: in, line: line, ref: ledger.ReadRef(line.Sources[0])}
	return c.apply(ctx)
}

func (c *recordChange) apply(ctx context.Context) (ChangeResult, error) {
	candidate, decision, err := c.decideNow(ctx)
	if err != nil {
		return ChangeResult{}, c.lines.unsent(ctx, c.in.Run, c.line, session.WrapSCIMError("read again before "+c.line.Label(), err))
	}
	asked, any := c.Line(candidate, decision)
	switch {
	case !any && c.line.State == access.Sent && decision.Record != "":
		return c.done(ctx, candidate, decision.Record, "done by an earlier attempt, found on reading back")
	case !any, asked.Action != c.line.Action, !slices.Equal(asked.Edits, c.line.Edits), !c.consented(asked):
		return c.lines.end(ctx, c.in.Run, c.line, access.Superseded,
			"what was read just before writing asks for something else; it is decided again")
	}
	user, err := c.write(ctx, string(decision.Record))
	if errors.Is(err, scim.ErrNameTaken) {
		return c.taken(ctx, err)
	}
	if err != nil {
		return c.settle(ctx, err)
	}
	if err := c.Keep(ctx, user); err != nil {
		return ChangeResult{}, err // the line stays Sent: the next attempt reads back
	}
	if lacks := session.Lacks(c.line.Edits, session.RecordOf(user)); lacks != "" {
		return c.lines.end(ctx, c.in.Run, c.line, access.Refused, "Atlassian answered that it is done, and the record has not "+lacks)
	}
	return c.done(ctx, candidate, identity.RecordID(user.ID), "accepted")
}

// consented reports whether nothing holds the change now that did not when it was planned.
func (c *recordChange) consented(asked access.Change) bool {
	return !slices.ContainsFunc(asked.HeldBy, func(rule string) bool { return !slices.Contains(c.line.HeldBy, rule) })
}

// readLasts is how long the whole directory's having been read spares a creation the search for its user name. A record
// that was made since refuses the creation, which is all that the search could show.
const readLasts = time.Hour

// decideNow reads the record, and those that the person might have instead, and decides again.
func (c *recordChange) decideNow(ctx context.Context) (session.Candidate, identity.Decision, error) {
	before, err := c.Candidate(ctx, c.ref)
	if err != nil {
		return before, identity.Decision{}, err
	}
	if c.line.Action == access.Add && c.line.State == access.Planned && len(before.Records) == 0 {
		read, err := c.Ledger.Directory(ctx, c.Org, c.Spec.Directory.ID)
		if err != nil || c.Now().Sub(read.ReadAt) < readLasts {
			return before, c.Decide.Resolve(before.Person, c.Now()), err
		}
	}
	for _, r := range before.Records {
		user, err := c.SCIM.User(ctx, string(r.ID))
		switch {
		case errors.Is(err, scim.ErrNotFound):
			err = c.Ledger.RecordGone(ctx, c.Org, c.Spec.Directory.ID, string(r.ID), c.Now())
		case err == nil:
			err = c.Keep(ctx, user)
		}
		if err != nil {
			return before, identity.Decision{}, err
		}
	}
	if c.line.Action == access.Add {
		if err := c.readByName(ctx); err != nil {
			return before, identity.Decision{}, err
		}
	}
	now, err := c.Candidate(ctx, c.ref)
	return now, c.Decide.Resolve(now.Person, c.Now()), err
}

// readByName reads the record that has the user name of one that is to be created: an earlier attempt whose answer was
// lost may have made it, or somebody else.
func (c *recordChange) readByName(ctx context.Context) error {
	for _, e := range c.line.Edits {
		if provision.Attribute(e.Attribute) != provision.UserName {
			continue
		}
		page, err := c.SCIM.Users(ctx, scim.UserQuery{UserName: e.To})
		if err != nil {
			return err
		}
		for _, user := range page.Items {
			if err := c.Keep(ctx, user); err != nil {
				return err
			}
		}
	}
	return nil
}

// write is the one place that changes records of SCIM directories.
func (c *recordChange) write(ctx context.Context, record string) (scim.User, error) {
	writer := scim.NewWriter(c.SCIM)
	if c.line.Action == access.Add {
		return writer.CreateUser(ctx, session.UserOf(c.line.Edits, c.ref.Key))
	}
	var edits []scim.Edit
	for _, e := range c.line.Edits {
		if e.Attribute != session.IdentityAttribute {
			edits = append(edits, scim.Edit{Attribute: scim.Attribute(e.Attribute), From: e.From, To: e.To})
		}
	}
	if len(edits) == 0 {
		return c.SCIM.User(ctx, record) // only whose it is changes
	}
	return writer.PatchUser(ctx, record, edits)
}

// taken finds out who has the user name that was refused, and leaves it to the next run to decide on that.
func (c *recordChange) taken(ctx context.Context, refusal error) (ChangeResult, error) {
	err := c.readByName(ctx)
	var now session.Candidate
	if err == nil {
		now, err = c.Candidate(ctx, c.ref)
	}
	switch {
	case err != nil:
		return ChangeResult{}, session.WrapSCIMError("find out who has the name after "+c.line.Label(), err)
	case len(now.Records) > 0:
		return c.lines.end(ctx, c.in.Run, c.line, access.Superseded,
			"a record of that name is there by now; it is decided again")
	}
	return c.lines.end(ctx, c.in.Run, c.line, access.Refused,
		"the directory says that the name is taken, and shows no record of that name: one that it does not show stands in the way: "+session.ErrorText(refusal))
}

// settle records the API's refusal, or leaves the line open for the next attempt.
func (c *recordChange) settle(ctx context.Context, err error) (ChangeResult, error) {
	switch {
	case errors.Is(err, scim.ErrNotFound):
		return c.lines.end(ctx, c.in.Run, c.line, access.Superseded,
			"the directory changed meanwhile; it is decided again: "+session.ErrorText(err))
	case errors.Is(err, scim.ErrConflict), errors.Is(err, scim.ErrInvalid):
		return c.lines.end(ctx, c.in.Run, c.line, access.Refused, session.ErrorText(err))
	case errors.Is(err, scim.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		return ChangeResult{}, session.WrapSCIMError(c.line.Label(), err) // the line stays Sent
	case errors.Is(err, context.Canceled):
		return ChangeResult{}, err
	}
	return ChangeResult{}, c.lines.unsent(ctx, c.in.Run, c.line, session.WrapSCIMError(c.line.Label(), err))
}

// done binds the person's identities to the record, and ends the line. Somebody approved that a record becomes theirs
// that was another's, or stands for one that was deleted.
func (c *recordChange) done(ctx context.Context, of session.Candidate, record identity.RecordID, answer string) (
	ChangeResult, error) {
	bind := c.Bind
	if slices.Contains(c.line.HeldBy, string(identity.HoldRebind)) {
		bind = c.Rebind
	}
	if err := bind(ctx, of, record); err != nil {
		return ChangeResult{}, err
	}
	return c.lines.end(ctx, c.in.Run, c.line, access.Done, answer)
}
