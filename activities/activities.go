// Package activities makes every call to Atlassian and to the ledger, in rooms that are packages of their own.
// Activities run at least once, so the comment of each says what a repeat does.
//
// Reads fetch a block of pages, and a retry repeats at most that block. A write is one activity per API call; its line
// in the ledger makes it idempotent (see apply).
package activities

import (
	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/reports"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/activities/sources"
)

// Options configure the activities.
type Options struct {
	session.Options
	Schedules reconcile.Schedules  // for reports on a schedule
	Pages     *reviews.ReviewPages // where reviewers' pages are; nil: nowhere
}

// Activities are the activities of all rooms.
type Activities struct {
	Env       *session.Env
	Apply     *apply.Activities
	Reconcile *reconcile.Activities
	Grants    *grants.Activities
	Reviews   *reviews.Activities
	Reports   *reports.Activities
	Sources   *sources.Activities
	Groups    *groups.Activities

	Provisioning *provisioning.Activities
}

// New returns the activities.
func New(o Options) *Activities {
	env := session.NewEnv(o.Options)
	a := &Activities{
		Env:       env,
		Apply:     apply.New(env),
		Reconcile: reconcile.New(env, o.Schedules),
		Reviews:   reviews.New(env, o.Pages),
		Sources:   sources.New(env),
		Groups:    groups.New(env),

		Provisioning: provisioning.New(env),
	}
	a.Grants = grants.New(env, a.Reviews.SendsCodes())
	a.Reports = reports.New(env, a.Reviews.Questions())
	return a
}

// Registry registers activities: a worker, or a test's environment.
type Registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers the activities of all rooms, each under its method's name. Recorded histories contain these names.
func (a *Activities) Register(with Registry) {
	for _, room := range []any{a.Apply, a.Reconcile, a.Grants, a.Reviews, a.Reports, a.Sources, a.Groups,
		a.Provisioning} {
		with.RegisterActivityWithOptions(room, activity.RegisterOptions{SkipInvalidStructFunctions: true})
	}
}
