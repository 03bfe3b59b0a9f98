// Package provisioning makes the records of SCIM directories what the policy's provisions say: it reads directories and
// the ledger's replica of the sources, has package identity decide, judges the plan and reads back. What is decided is
// written by room apply.
package provisioning

import (
	"github.com/castellan-io/castellan/activities/session"
)

// Activities provision records.
type Activities struct {
	env *session.Env
}

// New returns the activities.
func New(env *session.Env) *Activities { return &Activities{env} }

// RunInput identifies a run over the records of a provision.
type RunInput struct {
	session.RunInput
	Provision string `json:"provision"`
}
