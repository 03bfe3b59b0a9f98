package sources_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/sources"
)

// TestWatchSourceHidesMemberships: read with other credentials or from another place, a source that still has everybody
// and every group, and nobody in them, is not believed.
func TestWatchSourceHidesMemberships(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	f.groups["eng"] = nil
	f.follow(t.TempDir())
	require.Contains(t, f.read().Source.Suspect, "with other credentials")
	require.Contains(t, f.read().Source.Suspect, "with other credentials")
	f.VerifyEverybody()
	require.Len(t, f.builders(), 4)
}

// TestWatchSourceWithNewKeys: a read that shows as many people as before, all under other keys, is not believed, and
// read after read does not become so; once it is accepted, it is.
func TestWatchSourceWithNewKeys(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	staff := map[string]string{}
	for key, status := range f.staff {
		staff["new-"+key] = status
	}
	f.staff = staff
	f.groups["eng"] = []string{"new-p00", "new-p01"}
	f.export()
	require.Contains(t, f.read().Source.Suspect, "appeared under new keys")
	require.Contains(t, f.read().Source.Suspect, "appeared under new keys")
	f.VerifyEverybody()
	require.Len(t, f.builders(), 4)

	accept := sources.AcceptInput{Org: activitytest.Org}
	accept.Source, accept.By = "hr", "bo"
	require.True(t, activitytest.Must[bool](f.SimulatedOrg, f.Acts.Sources.AcceptSource, accept))
	require.Empty(t, f.read().Source.Suspect)
	require.Empty(t, f.read().Source.Suspect)
}

// TestWatchSourceTellsAgain: a result that was lost with its worker is told again; one that arrived is not.
func TestWatchSourceTellsAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	told := f.told
	f.VerifyEverybody()
	f.staff["p01"] = "left"
	f.export()
	after := func(change int64) sources.WatchResult {
		f.Advance(time.Minute)
		return activitytest.Must[sources.WatchResult](f.SimulatedOrg, f.Acts.Sources.WatchSource,
			sources.WatchInput{Org: activitytest.Org, Policy: f.Policy, Source: "hr", Once: true, After: change})
	}
	lost := after(told)
	require.Equal(t, []string{f.account("p01")}, lost.People)
	again := after(told)
	require.Equal(t, lost.People, again.People)
	require.Equal(t, lost.Identities, again.Identities)
	require.Empty(t, after(again.Source.Change).People)
}

// TestWatchSourceTellsOfAnEmptiedGroup: a group that two complete reads show without its members gives nothing any
// more, and what that would take from so many is held.
func TestWatchSourceTellsOfAnEmptiedGroup(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.groups["eng"] = nil
	for key := range f.staff {
		f.groups["eng"] = append(f.groups["eng"], key)
	}
	f.export()
	f.read()
	f.VerifyEverybody()
	require.Len(t, f.builders(), 20)
	f.groups["eng"] = []string{"p00"}
	f.export()
	f.read()
	f.read()
	f.VerifyEverybody()
	require.Len(t, f.builders(), 20)
}

// TestVerifyWithAForgedBinding: who became somebody's identity past Castellan is given nothing, and from whom it is not
// taken meanwhile; a finding says so.
func TestVerifyWithAForgedBinding(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(f *followed){
		"changed": func(f *followed) {
			f.Forge(`UPDATE bindings SET bound = ? WHERE key = 'p00'`, f.AccountID("boss"))
			f.staff["boss"] = "active" // another identity that has the account's address is not linked, and nothing stops
			f.export()
			f.read()
		},
		"deleted": func(f *followed) { f.Forge(`DELETE FROM bindings WHERE key = 'p00'`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			f.read()
			f.VerifyEverybody()
			require.Equal(t, []string{"p00", "p01", "p02", "p03"}, f.builders())
			forge(f)
			_, verdict := f.SweepAndJudge()
			require.Contains(t, activitytest.Joined(verdict.Findings), "identity-unexplained")
			f.VerifyEverybody()
			require.Equal(t, []string{"p00", "p01", "p02", "p03"}, f.builders())
		})
	}
}
