// Package reconcile brings an organization in line with its policy: it reads, decides, judges, holds, confirms, reads
// back and watches. What is written, apply writes.
package reconcile

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// Activities are those of this room. Its exported methods are the activities.
type Activities struct {
	env       *session.Env
	schedules Schedules

	watching atomic.Int64 // organizations, now

	mu       sync.Mutex
	compared map[string]time.Time // by organization: when the watch last compared its groups
	renewed  map[string]string    // by organization: the policy whose schedules this process has kept
}

// New builds the activities.
func New(env *session.Env, schedules Schedules) *Activities {
	return &Activities{env: env, schedules: schedules, compared: map[string]time.Time{}, renewed: map[string]string{}}
}

// task is one activity at work on one organization.
type task struct {
	*Activities
	*apply.Session
	outOfBand []session.OutOfBandGrant // noticed on the way
	rejected  *ledger.Hold             // the decision on a first plan that would be proposed again
	doubts    []string                 // people of whom an absence was doubted
	unseen    []access.Unseen
}

func (a *Activities) open(ctx context.Context, org, hash string) (*task, error) {
	s, err := a.env.Open(ctx, org, hash)
	if err != nil {
		return nil, err
	}
	return a.task(s), nil
}

func (a *Activities) openInForce(ctx context.Context, org string) (*task, error) {
	s, err := a.env.OpenInForce(ctx, org)
	if err != nil {
		return nil, err
	}
	return a.task(s), nil
}

func (a *Activities) connect(org string, p *policy.Policy) (*task, error) {
	s, err := a.env.Connect(org, p)
	if err != nil {
		return nil, err
	}
	return a.task(s), nil
}

func (a *Activities) task(s *session.Session) *task {
	return &task{Activities: a, Session: &apply.Session{Session: s}}
}
