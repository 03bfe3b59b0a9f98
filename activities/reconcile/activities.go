// Package reconcile brings an organization in line with its policy: it reads, decides, judges, holds, confirms, reads
// back and watches. All writing is done by package apply.
package reconcile

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
)

// Activities are those of this room. Its exported methods are the activities.
type Activities struct {
	env       *session.Env
	schedules Schedules

	watching atomic.Int64 // how many organizations it watches now

	mu       sync.Mutex
	compared map[string]time.Time // by organization: when the watch last compared its groups
	polled   map[string]time.Time // by organization: when the watch last asked for events, if it was told all
	renewed  map[string]string    // by organization: the policy whose schedules this process has updated
}

// New builds the activities.
func New(env *session.Env, schedules Schedules) *Activities {
	return &Activities{env: env, schedules: schedules, compared: map[string]time.Time{},
		polled: map[string]time.Time{}, renewed: map[string]string{}}
}

// task is one activity at work on one organization.
type task struct {
	*Activities
	*apply.Session
	outOfBand []session.OutOfBandGrant // noticed on the way
	rejected  *ledger.Hold             // the decision on a first plan that would be proposed again
	doubts    []string                 // people with an absence in doubt
	unseen    []access.MissingHolding
}

// task takes the result of opening a session.
func (a *Activities) task(s *session.Session, err error) (*task, error) {
	if err != nil {
		return nil, err
	}
	return &task{Activities: a, Session: &apply.Session{Session: s}}, nil
}
