// Package activities is where Castellan touches the world: every call to Atlassian and to the ledger is made in one of
// its rooms, each a package of its own. Activities run at least once, so each says in its comment what a repeat does.
//
// Reads walk a block of pages and repeat at most that block. A write is one activity per API call; the ledger line it
// stands on makes it idempotent (see apply).
package activities

import (
	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/reports"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
)

// Options are what the activities work with.
type Options struct {
	session.Options
	Schedules reconcile.Schedules  // for reports on a schedule
	Pages     *reviews.ReviewPages // where reviewers' pages are served; nil: nowhere
}

// Activities are those of all rooms.
type Activities struct {
	Env       *session.Env
	Apply     *apply.Activities
	Reconcile *reconcile.Activities
	Grants    *grants.Activities
	Reviews   *reviews.Activities
	Reports   *reports.Activities
}

// New builds the activities.
func New(o Options) *Activities {
	env := session.NewEnv(o.Options)
	a := &Activities{
		Env:       env,
		Apply:     apply.New(env),
		Reconcile: reconcile.New(env, o.Schedules),
		Reviews:   reviews.New(env, o.Pages),
	}
	a.Grants = grants.New(env, a.Reviews.SendsCodes())
	a.Reports = reports.New(env, a.Reviews.Questions())
	return a
}

// Registry takes activities. It is a worker, or a test's environment.
type Registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers the activities of all rooms, each by the name of its method. Names stand in recorded histories.
func (a *Activities) Register(with Registry) {
	for _, room := range []any{a.Apply, a.Reconcile, a.Grants, a.Reviews, a.Reports} {
		with.RegisterActivityWithOptions(room, activity.RegisterOptions{SkipInvalidStructFunctions: true})
	}
}
