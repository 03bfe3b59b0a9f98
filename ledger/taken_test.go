package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

// What the feed says was taken is said of what Castellan made before, as long as it writes nothing after that.
func TestNoteRemovalIsSaidOfWhatWasHeldThen(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		owned := access.Holding{Person: "id-00001", Target: group("dev"), GroupID: "gid-dev", Owned: true, From: noon}
		foreign, admin, later, presence := owned, owned, owned, owned
		foreign.Target, foreign.GroupID, foreign.Owned = group("ops"), "gid-ops", false
		admin.Target, admin.GroupID = access.OrgAdmin, ""
		later.Target, later.GroupID, later.From = group("qa"), "gid-qa", noon.Add(time.Hour)
		presence.Target, presence.GroupID = access.Directory, ""
		require.NoError(t, l.SavePage(t.Context(), org, "r1",
			ledger.Page{Key: "1", Open: []access.Holding{owned, foreign, admin, later, presence}}, noon))
		at := noon.Add(time.Minute)
		note := func(what string, at time.Time) {
			require.NoError(t, l.NoteRemoval(t.Context(), org,
				ledger.Removal{Person: "id-00001", What: what, OutOfBandRemoval: access.OutOfBandRemoval{At: at, Action: "user_removed"}}))
		}
		said := func() map[access.Entitlement]access.OutOfBandRemoval {
			states, err := l.States(t.Context(), org, []string{"id-00001", "id-00002"}, noon)
			require.NoError(t, err)
			all := map[access.Entitlement]access.OutOfBandRemoval{}
			for _, h := range states["id-00001"].Holdings {
				if h.Taken != nil {
					all[h.Target] = *h.Taken
				}
			}
			return all
		}
		note("gid-dev", noon)
		note("gid-ops", at)
		note("gid-qa", at)
		require.Empty(t, said())
		note("gid-dev", at)
		note("gid-dev", noon.Add(time.Second))
		require.Equal(t, map[access.Entitlement]access.OutOfBandRemoval{group("dev"): {At: at, Action: "user_removed"}}, said(),
			"the last time stands")
		note(string(access.OrgAdmin), at)
		require.Len(t, said(), 2)
		note(ledger.LeftOrganization, at.Add(time.Second))
		require.Equal(t, at.Add(time.Second), said()[group("dev")].At)
		require.NotContains(t, said(), access.Directory)
		sound(t, l)

		written(t, l, "r2", access.Change{Person: "id-00001", Target: group("dev"), GroupID: "gid-dev",
			Action: access.Add}, at.Add(time.Minute), access.Done)
		require.NotContains(t, said(), group("dev"), "Castellan gave it again itself")
		require.Contains(t, said(), access.OrgAdmin)

		_, err := l.Exec(t.Context(), `UPDATE removal_events SET at = at + 1000000`)
		require.NoError(t, err)
		require.Empty(t, said(), "what the chain does not explain says nothing")
	})
}

func TestSavePageEndsWhatSomebodyElseTookAndGave(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		h := access.Holding{Person: "id-00001", Target: group("dev"), GroupID: "gid-dev", Owned: true, From: noon}
		require.NoError(t, l.SavePage(t.Context(), org, "r1", ledger.Page{Key: "1", Open: []access.Holding{h}}, noon))
		over, now := h, h
		over.Taken, over.Until = &access.OutOfBandRemoval{At: noon.Add(time.Minute), Action: "user_removed"}, noon.Add(time.Minute)
		now.Owned, now.From = false, noon.Add(time.Hour)
		require.NoError(t, l.SavePage(t.Context(), org, "r2",
			ledger.Page{Key: "1", Ended: []access.Holding{over}, Open: []access.Holding{now}}, noon.Add(time.Hour)))
		is, err := l.Holding(t.Context(), org, h.Person, h.Target)
		require.NoError(t, err)
		require.False(t, is.Owned)
		before, err := l.HoldingsAt(t.Context(), org, h.Person, h.Target, noon.Add(2*time.Minute))
		require.NoError(t, err)
		require.Empty(t, before, "it ended when it was taken")
		entries, err := l.History(t.Context(), org, h.Person, h.Target, 1)
		require.NoError(t, err)
		require.Equal(t, ledger.EntryHoldingEnded, entries[0].Kind)
		require.Contains(t, string(entries[0].Body), "somebody else took it (event user_removed)")
		sound(t, l)
	})
}
