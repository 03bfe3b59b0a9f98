package provisioning

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/ledger"
)

// VerifyResult counts the changes that a later read shows.
type VerifyResult struct {
	Verified   int `json:"verified"`
	Unverified int `json:"unverified"`
	Calls      int `json:"calls"`
	// Findings name whom the read-back shows otherwise than they should be, in a few lines; Reported counts them.
	Findings []string `json:"findings,omitempty"`
	Reported int      `json:"reported,omitempty"`
}

// VerifyRecords reads each record that the run wrote once more, compares it, and stores the state that its person has
// now. Of those that were deactivated, it reads the accounts too. A repeat reads again.
//
// Calls: one for each record, and one for up to a hundred accounts.
func (a *Activities) VerifyRecords(ctx context.Context, in RunInput) (VerifyResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return VerifyResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return VerifyResult{}, err
	}
	v := &verification{Provisioner: p, run: in.Run}
	filter := ledger.Filter{States: []access.ChangeState{access.Done}, Limit: session.LinesAtOnce}
	for {
		lines, err := s.Ledger.Lines(ctx, in.Org, in.Run, filter)
		if err != nil {
			return VerifyResult{}, err
		}
		for _, c := range lines {
			if err := v.line(ctx, c); err != nil {
				return VerifyResult{}, session.WrapSCIMError("read back "+c.Label(), err)
			}
			activity.RecordHeartbeat(ctx, v.result)
		}
		if len(lines) < session.LinesAtOnce {
			err := v.accounts(ctx)
			v.result.Calls = s.CallsMade()
			return v.result, err
		}
		filter.After = session.KeyOf(lines[len(lines)-1])
	}
}

type verification struct {
	*session.Provisioner
	run     string
	leavers []leaver // whose accounts are to be read
	result  VerifyResult
}

func (v *verification) line(ctx context.Context, c access.Change) error {
	if c.Verified {
		v.result.Verified++
		return nil
	}
	if len(c.Sources) == 0 {
		return nil
	}
	bound, err := v.Ledger.Bindings(ctx, v.Org, v.Spec.Name, []ledger.Ref{ledger.ReadRef(c.Sources[0])})
	if err != nil {
		return err
	}
	user, err := v.SCIM.User(ctx, bound[ledger.ReadRef(c.Sources[0])].Record)
	if errors.Is(err, scim.ErrNotFound) || errors.Is(err, scim.ErrInvalid) {
		v.result.Unverified++
		return nil
	}
	if err != nil {
		return err
	}
	if err := v.Keep(ctx, user); err != nil {
		return err
	}
	if err := v.restate(ctx, ledger.ReadRef(c.Sources[0])); err != nil {
		return err
	}
	if session.Lacks(c.Edits, session.RecordOf(user)) != "" {
		v.result.Unverified++
		return nil
	}
	if c.Action == access.Remove && user.AtlassianAccountID != "" {
		v.leavers = append(v.leavers, leaver{c, user.AtlassianAccountID})
		return nil
	}
	v.result.Verified++
	return v.Ledger.Verified(ctx, v.Org, v.run, []access.Change{c})
}

// restate stores the state of a person whose record was written: it was decided before that.
func (v *verification) restate(ctx context.Context, ref ledger.Ref) error {
	c, err := v.Candidate(ctx, ref)
	if err != nil {
		return err
	}
	return v.Ledger.SetPersonStates(ctx, v.Org, v.Spec.Name, v.run,
		[]ledger.ProvisionedState{stateOf(c, v.Decide.Resolve(c.Person, v.Now()))})
}
