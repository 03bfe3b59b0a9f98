// Package sources reads identity providers into the ledger's replica of them, and returns the people concerned. It
// decides nothing about access, and takes a person for gone only after two complete reads and a look-up.
package sources

import (
	"context"
	"fmt"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// Activities read identity sources.
type Activities struct {
	env *session.Env
}

// New returns the activities.
func New(env *session.Env) *Activities { return &Activities{env} }

// AcceptInput accepts that what is missing from a suspect read of a source is gone.
type AcceptInput struct {
	Org string `json:"org"`
	messages.AcceptSourceInput
}

// AcceptSource records that a person accepts what is missing from a suspect read of a source: the next read is not
// suspect for it. A repeat changes nothing. It reports whether there was anything to accept. ErrNotOpen: something else
// is missing by now.
func (a *Activities) AcceptSource(ctx context.Context, in AcceptInput) (accepted bool, err error) {
	defer session.AutoHeartbeat(ctx)()
	known, err := a.env.Ledger.Source(ctx, in.Org, in.Source)
	if err != nil || known.Suspect == "" {
		return false, err
	}
	if in.Lacks != "" {
		lacks, err := a.env.Ledger.Lacking(ctx, in.Org, in.Source)
		if err != nil {
			return false, err
		}
		if lacks != in.Lacks {
			return false, session.NonRetryable(session.ErrNotOpen,
				fmt.Errorf("what is missing from source %s is no longer %s, but %s: look at the status again before you accept it",
					in.Source, in.Lacks, lacks))
		}
	}
	return true, a.env.Ledger.AcceptSource(ctx, in.Org, in.Source, known.Read, in.By, in.Note, a.env.Now())
}
