package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// NoticeRestored tells watchers that somebody took a grant's access by hand, and that it is given back.
const NoticeRestored = "grant-restored"

// Restored says of each grant that gives a membership that somebody took it by hand, and that it is given back.
func Restored(org string, p access.Person, h access.Holding, grants []access.Grant) []session.OutOfBandGrant {
	var all []session.OutOfBandGrant
	for _, g := range grants {
		for _, r := range h.Reasons {
			if r.Kind == access.ReasonGrant && r.Name == g.ID {
				all = append(all, session.OutOfBandGrant{Grant: g.ID, Workflow: messages.GrantID(org, g.Target, g.Key),
					Kind: NoticeRestored, Text: fmt.Sprintf(
						"somebody took %s from %s by hand while grant %s gives it: it is given back, if they may still hold it", h.Target, p.Label(), g.ID)})
			}
		}
	}
	return all
}

// lent reports whether a line gives what grants alone give: then the person is held against the policy once more just
// before it is written, whichever run writes it.
func (s *Session) lent(ctx context.Context, in ChangeInput) (bool, error) {
	if in.Now || len(s.Policy.Grants) == 0 {
		return in.Now, nil
	}
	line, err := s.Ledger.Line(ctx, in.Org, in.Run, in.Person, in.Target)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	return onlyGrants(line), err
}

// onlyGrants reports whether an open line adds what grants alone give.
func onlyGrants(line access.Change) bool {
	return (line.State == access.Planned || line.State == access.Sent) && line.Action == access.Add &&
		access.OnlyGrants(line.Reasons)
}
