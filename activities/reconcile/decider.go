package reconcile

import (
	"context"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// DeciderInput is somebody who decides on something of an organization, as typed.
type DeciderInput struct {
	Org string `json:"org"`
	By  string `json:"by"`
}

// CheckDecider refuses whoever decides under an address that nobody active in the directory has. Anything but an
// address is accepted: programs have names, too.
//
// Calls: one.
func (a *Activities) CheckDecider(ctx context.Context, in DeciderInput) error {
	defer session.AutoHeartbeat(ctx)()
	if !access.IsAddress(in.By) {
		return nil
	}
	calls, cancel := context.WithTimeout(ctx, session.LookUpPatience)
	defer cancel()
	s, err := a.task(a.env.OpenInForce(calls, in.Org))
	if err != nil {
		return err
	}
	return s.checkDecider(calls, in.By)
}

func (s *task) checkDecider(ctx context.Context, by string) error {
	if !access.IsAddress(by) {
		return nil
	}
	found, err := s.Accounts(ctx, by)
	if err != nil {
		return err
	}
	switch one := found[0]; {
	case session.IsNotFound(one.Err) && by == messages.You:
		return session.NotFoundf("by is %s, which stands for you in printed commands: put your own e-mail address or account id there", by)
	case one.Err != nil:
		return one.Err
	case !one.Person.CanReceive():
		return session.NotFoundf("by is %s, who is not active in the directory (%s); only active people may decide", by,
			one.Person.MembershipStatus)
	}
	return s.KeepRenamed(ctx, found)
}
