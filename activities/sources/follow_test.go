package sources_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/sources"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// fed is a simulated organization that follows a feed.
type fed struct {
	*followed
}

func startFed(t *testing.T) *fed {
	t.Helper()
	file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"},
		Local: []cloud.OrgGroup{{Name: "builders"}, {Name: "lent"}}}
	for n := range 20 {
		file.People = append(file.People, fmt.Sprintf("p%02d", n))
	}
	f := &fed{&followed{}}
	f.SimulatedOrg = activitytest.NewOf(t, file)
	f.Acts = activities.New(activities.Options{Options: f.Options()})
	f.Policy = activitytest.Must[reconcile.AdmitResult](f.SimulatedOrg, f.Acts.Reconcile.Admit, f.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
sources: [{name: hr, kind: feed, secret: "env:FEED", valid: 90d, quiet: 1d}]
mappings: [{name: builders, from: ["hr:eng"], to: ["group:builders"], removals: all}]
guard: {adopt: auto}
`, f.Sim.Info().OrgID))).Policy
	return f
}

// post says of somebody in which groups they are.
func (f *fed) post(key string, enabled bool, groups ...string) ledger.PostOutcome {
	f.T.Helper()
	f.Advance(time.Minute)
	p := ledger.Post{At: f.Clock(), Identity: ledger.Identity{Key: key, Address: key + "@acme.example", Enabled: &enabled,
		Attributes: []byte(`{}`)}}
	for _, g := range groups {
		p.Groups = append(p.Groups, ledger.SourceGroupRef{Source: "hr", Key: g, Name: "hr:" + g})
	}
	outcomes, err := f.Options().Ledger.AcceptPosts(f.T.Context(), activitytest.Org, "hr",
		ledger.PostLimits{People: 1000, Groups: 100, Valid: 90 * 24 * time.Hour}, []ledger.Post{p}, f.Clock())
	require.NoError(f.T, err)
	return outcomes[0]
}

// TestASilentFeedTakesNothing: whoever was given something by a statement keeps it, however long nobody says anything;
// others of whom nothing was ever said keep what others gave them. What a new statement leaves out ends.
func TestASilentFeedTakesNothing(t *testing.T) {
	t.Parallel()
	f := startFed(t)
	f.ByHand(http.MethodPost, "builders", "p09")
	f.VerifyEverybody()
	for _, key := range []string{"p00", "p01", "p02"} {
		f.post(key, true, "eng")
	}
	result := f.read()
	require.True(t, result.Source.Posts)
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p01", "p02", "p09"}, f.builders())

	f.Advance(365 * 24 * time.Hour)
	require.True(t, f.read().Source.Quiet)
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p01", "p02", "p09"}, f.builders(), "a year of silence")
	require.Equal(t, ledger.PostApplied, f.post("p00", true, "eng"))
	require.Equal(t, ledger.PostApplied, f.post("p01", true))
	require.Equal(t, ledger.PostApplied, f.post("p02", false, "eng"))
	result = f.read()
	require.False(t, result.Source.Quiet)
	require.Len(t, result.Identities, 3, "p00 counts again, the others changed")
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p09"}, f.builders(), "what was stated now")
}

// TestAForgedPostTakesNothing: what somebody wrote past the ledger about who is in which group gives nothing and takes
// nothing, and is found.
func TestAForgedPostTakesNothing(t *testing.T) {
	t.Parallel()
	f := startFed(t)
	f.post("p00", true, "eng")
	f.post("p01", true)
	f.read()
	f.VerifyEverybody()
	require.Equal(t, []string{"p00"}, f.builders())
	f.Forge(`UPDATE source_members SET member = 'p01' WHERE member = 'p00'`)
	f.VerifyEverybody()
	require.Equal(t, []string{"p00"}, f.builders())
}

// TestWatchSourceAwaitsPosts: it returns soon after something was said of somebody, and says who that is.
func TestWatchSourceAwaitsPosts(t *testing.T) {
	t.Parallel()
	f := startFed(t)
	f.read()
	f.VerifyEverybody()
	f.post("p00", true, "eng")
	result := activitytest.Must[sources.WatchResult](f.SimulatedOrg, f.Acts.Sources.WatchSource,
		sources.WatchInput{Org: activitytest.Org, Policy: f.Policy, Source: "hr", After: f.told})
	require.Equal(t, []string{"hr:p00"}, result.Identities)
	require.Len(t, result.People, 1)
}

// TestAFeedDoesNotProveWhoIsInAGroup: who was never said to be in a group of a feed may be in it, so a group at
// Atlassian with such members follows only once a person says that the two are the same.
func TestAFeedDoesNotProveWhoIsInAGroup(t *testing.T) {
	t.Parallel()
	f := startFed(t)
	f.Policy = activitytest.Must[reconcile.AdmitResult](f.SimulatedOrg, f.Acts.Reconcile.Admit, f.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
sources: [{name: hr, kind: feed, secret: "env:FEED", valid: 90d, quiet: 1d}]
groups: [{name: teams, from: ["hr:builders", "hr:lent"]}]
guard: {adopt: auto}
`, f.Sim.Info().OrgID))).Policy
	for _, group := range []string{"builders", "lent"} {
		f.ByHand(http.MethodPost, group, "p00")
	}
	f.ByHand(http.MethodPost, "builders", "p09")
	f.post("p00", true, "builders", "lent")
	f.read()
	f.VerifyEverybody()
	links, err := f.Options().Ledger.GroupLinks(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Len(t, links, 1, "the one in which nobody else is")
	require.Equal(t, "hr:lent", links[0].Name)
	open := f.Ask(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportConflicts}).Conflicts
	require.Len(t, open, 1)
	require.Equal(t, []any{"builders", 0, 0}, []any{open[0].Group, open[0].Missing, open[0].Extra})
}
