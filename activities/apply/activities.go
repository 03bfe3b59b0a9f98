// Package apply is the only one that writes to Atlassian: one change of a plan or of a grant, a record or a group of a
// SCIM directory, a group that is to be there, a lost group that is restored. It is also where the evidence for a write
// stands: what is read again, asked elsewhere, and held against floors, at the moment of writing.
package apply

import (
	"context"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
)

// Activities are those that write. Its exported methods are the activities.
type Activities struct {
	env *session.Env
}

// New builds the activities.
func New(env *session.Env) *Activities { return &Activities{env: env} }

// Session is a session that can ask what has to be asked before a write.
type Session struct {
	*session.Session
	several *several // nil: one change is made alone
}

// writer is the only one of the organization in the product; record.go has that of SCIM directories.
func (s *Session) writer() organization.Writer { return organization.NewWriter(s.API) }

func (a *Activities) open(ctx context.Context, org, hash string) (*Session, error) {
	s, err := a.env.Open(ctx, org, hash)
	if err != nil {
		return nil, err
	}
	return &Session{Session: s}, nil
}
