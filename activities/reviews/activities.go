// Package reviews runs access reviews: who is asked about what, what reviewers decide, how that is carried out, and the
// evidence.
package reviews

import (
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
)

// Activities are those of this room. Its exported methods are the activities.
type Activities struct {
	env   *session.Env
	pages *ReviewPages
}

// New builds the activities.
func New(env *session.Env, pages *ReviewPages) *Activities {
	return &Activities{env: env, pages: pages}
}

// task is one activity at work on one organization.
type task struct {
	*Activities
	*apply.Session
}

// task takes the result of opening a session.
func (a *Activities) task(s *session.Session, err error) (*task, error) {
	if err != nil {
		return nil, err
	}
	return &task{Activities: a, Session: &apply.Session{Session: s}}, nil
}
