package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

var eve = messages.GrantInput{Person: "eve@acme.example", Target: admin, Reason: "INC-1",
	RequestedBy: "bo@acme.example"}

func TestOrgSyncGrantIsAskedFor(t *testing.T) {
	d := newGrantsLoop(t)
	update := d.updateAt(time.Minute, messages.Grant, eve)
	named := eve
	named.RequestID = "INC-1"
	d.signalAt(2*time.Minute, messages.Grant, named)
	d.signalAt(3*time.Minute, messages.Grant, eve)
	d.signalAt(3*time.Minute, messages.Grant, eve)
	revoked := d.updateAt(4*time.Minute, messages.Revoke,
		messages.RevokeInput{Person: "eve@acme.example", Target: admin, RequestedBy: "bo@acme.example"})
	d.start(time.Hour)
	contains(t, update.message(t), "granted")
	contains(t, revoked.message(t), "ended")
	require.Len(t, d.requested, 4)
	require.Equal(t, "INC-1", d.requested[1].RequestID)
	ids := map[string]bool{}
	for _, in := range d.requested {
		require.NotEmpty(t, in.RequestID, "a retry of the activity would ask again")
		ids[in.RequestID] = true
	}
	require.Len(t, ids, 4, "two requests of one instant are two")
	require.Empty(t, d.status().Refused)
}

func TestOrgSyncRequestsThatAreRefused(t *testing.T) {
	changed := func(change func(*messages.GrantInput)) messages.GrantInput {
		in := eve
		change(&in)
		return in
	}
	for name, test := range map[string]struct {
		in  messages.GrantInput
		why string
	}{
		"nobody":  {changed(func(in *messages.GrantInput) { in.Person = "" }), "person is missing"},
		"nothing": {changed(func(in *messages.GrantInput) { in.Target = "" }), "target is missing"},
		"by whom": {changed(func(in *messages.GrantInput) { in.RequestedBy = "" }), "requestedBy is missing"},
		"long id": {changed(func(in *messages.GrantInput) { in.RequestID = strings.Repeat("x", 101) }),
			"1 to 100 letters"},
		"odd id":   {changed(func(in *messages.GrantInput) { in.RequestID = "x'$(touch pwned)'" }), "1 to 100 letters"},
		"backward": {changed(func(in *messages.GrantInput) { in.Duration = -1 }), "it ends before it starts"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newGrantsLoop(t)
			update := d.updateAt(time.Minute, messages.Grant, test.in)
			d.signalAt(2*time.Minute, messages.Grant, test.in)
			d.start(time.Hour)
			require.ErrorContains(t, update.rejected, test.why)
			require.Empty(t, d.requested)
			require.Len(t, d.status().Refused, 1)
			contains(t, d.status().Refused[0].Why, test.why)
		})
	}
}

// Nothing is granted where nothing may be written; what was granted before still ends.
func TestOrgSyncGrantsAreRefusedWhereNothingIsWritten(t *testing.T) {
	for name, test := range map[string]struct {
		admit func(reconcile.AdmitInput) (reconcile.AdmitResult, error)
		why   string
	}{
		"no policy": {func(reconcile.AdmitInput) (reconcile.AdmitResult, error) {
			return reconcile.AdmitResult{}, fatal(session.ErrPolicy, "line 3: no such key")
		}, "no policy is in force"},
		"not adopted": {func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, false), nil },
			"the first plan was not approved yet"},
		"dry run": {func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
			result := inForce(in, true)
			result.Settings.DryRun = true
			return result, nil
		}, "dryRun"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newGrantsLoop(t)
			d.admit = test.admit
			update := d.updateAt(time.Minute, messages.Grant, eve)
			d.signalAt(2*time.Minute, messages.Grant, eve)
			revoked := d.updateAt(3*time.Minute, messages.Revoke,
				messages.RevokeInput{Request: "g1", RequestedBy: "bo@acme.example"})
			d.start(time.Hour)
			require.ErrorContains(t, update.rejected, test.why)
			require.Empty(t, d.requested)
			contains(t, d.status().Refused[0].Why, test.why)
			require.NoError(t, revoked.rejected)
			require.Len(t, d.revoked, 1)
		})
	}
}

// Signals that come at once after a start or a fresh history are heard.
func TestOrgSyncReceivesSignalsAtTheStart(t *testing.T) {
	carried := messages.OrgSyncState{Org: org, Policy: "p", Adopted: true, Settings: settings,
		NextFull: begin.Add(6 * time.Hour)}
	for name, in := range map[string]messages.OrgSyncInput{
		"start": {Policy: json.RawMessage(`"first"`), By: "ana"}, "fresh history": {State: &carried},
	} {
		t.Run(name, func(t *testing.T) {
			d := newGrantsLoop(t)
			d.signalAt(0, messages.Revoke, messages.RevokeInput{Request: "g1", RequestedBy: "bo@acme.example"})
			d.askAt(0, "a", 1)
			d.signalAt(0, messages.Grant, eve)
			d.startWith(in, time.Hour)
			require.Len(t, d.revoked, 1)
			require.Equal(t, []string{"a 1"}, whom(d.grantRuns()[0].Asks))
			if in.State != nil {
				require.Len(t, d.requested, 1)
			}
			for _, r := range d.status().Refused {
				require.NotContains(t, r.Why, "there is no such signal")
			}
		})
	}
}
