// Package grants records requests for grants and decisions on them, and sends notices.
package grants

import (
	"context"

	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
)

// Activities are those of this room. Its exported methods are the activities.
type Activities struct {
	env         *session.Env
	reviewCodes func(context.Context, session.BurntCode) error // sends a reviewer another code
}

// New builds the activities.
func New(env *session.Env, reviewCodes func(context.Context, session.BurntCode) error) *Activities {
	return &Activities{env: env, reviewCodes: reviewCodes}
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
