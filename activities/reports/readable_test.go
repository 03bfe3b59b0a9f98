package reports_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// Who reads an answer with Temporal's CLI sees what others typed, and no more than that; the ledger has it as it was
// typed.
func TestReportsShowWhatCannotBeSeen(t *testing.T) {
	t.Parallel()
	const typed = "x\n## Approved\x1b[2J\u009b31m\u202e"
	const shown = "x ## Approved⟨U+001B⟩[2J⟨U+009B⟩31m⟨U+202E⟩"
	o := activitytest.WithGrants(t, activitytest.Judged)
	in := o.RequestOf("kim@example.com", activitytest.Other, time.Hour)
	in.Reason = typed
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
	require.Equal(t, typed, o.StoredGrant(g).Reason)
	answer := activitytest.Must[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportGrants})
	require.Equal(t, shown, answer.Grants[0].Reason)
	require.Equal(t, session.ErrUnknown,
		activitytest.ApplicationError(t, o.Failed(messages.ReportInput{Org: activitytest.Org, Kind: typed})).Type())
	require.NotContains(t, activitytest.ApplicationError(t,
		o.Failed(messages.ReportInput{Org: typed, Kind: messages.ReportWhy})).Message(), "\n")
}
