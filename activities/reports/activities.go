// Package reports answers questions, from the ledger and from a look at the organization that changes nothing.
package reports

import (
	"maps"

	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
)

// Activities are those of this room. Its exported methods are the activities.
type Activities struct {
	env       *session.Env
	questions map[string]session.Question // by the kind of report
}

// New builds the activities; more are questions that others answer.
func New(env *session.Env, more map[string]session.Question) *Activities {
	a := &Activities{env: env}
	a.questions = a.questionsOfLedger()
	maps.Copy(a.questions, more)
	return a
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
