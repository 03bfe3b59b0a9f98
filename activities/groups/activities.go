// Package groups keeps a record of each group of the organization, so that one that is lost can be made again: an
// identity provider that deletes a synced group deletes it at Atlassian, with its memberships and app roles, for good.
// Records are kept by every full verification; here are also the preview of a restore and its proof. What is restored
// is written by room apply.
package groups

import (
	"github.com/castellan-io/castellan/activities/session"
)

// Activities restore groups.
type Activities struct {
	env *session.Env
}

// New returns the activities.
func New(env *session.Env) *Activities { return &Activities{env} }
