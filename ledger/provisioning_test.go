package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

func refsOf(all []ledger.BoundIdentity) (refs []ledger.Ref) {
	for _, i := range all {
		refs = append(refs, i.Ref())
	}
	return refs
}

func TestIdentityPage(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		read(t, l, org, shown{identities(1, 2, 3, 4), []ledger.SourceGroup{sourceGroup("dev", 1, 3)}}, "", noon)
		hr := func(n int, key, address string) ledger.Ref {
			i := identity(n)
			i.Key, i.Address = key, address
			_, err := l.SaveIdentities(ctx, org, "hr", 0, []ledger.Identity{i}, noon)
			require.NoError(t, err)
			_, err = l.SaveIdentities(ctx, org, "unused", 0, []ledger.Identity{i}, noon)
			require.NoError(t, err)
			return ledger.Ref{Source: "hr", Key: key}
		}
		sameAddress := hr(1, "h-1", "PERSON.00001@acme.example")
		sameAccount := hr(2, "h-2", "other@acme.example")
		sameRecord := hr(3, "h-3", "third@acme.example")
		hr(9, "h-9", "nine@acme.example")
		require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(2),
			{Source: "hr", Key: "h-2", Account: person(2).ID, By: "carol"}}, noon))
		require.NoError(t, l.BindRecords(ctx, org, "staff", []ledger.Binding{
			{Source: corp, Key: key(3), Record: "r3"}, {Source: "hr", Key: "h-3", Record: "r3"},
			{Source: "hr", Key: "h-9", Record: "r9"}}, noon))
		var all []ledger.Record
		for _, r := range []ledger.Record{{ID: "r-account", Account: person(2).ID}, {ID: "r-external", External: key(1)},
			{ID: "r-address", Address: person(3).Email}, {ID: "r3"}, {ID: "r9", Address: person(1).Email},
			{ID: "r-nobody", Address: "nobody@acme.example"}, {ID: "r-later", Address: person(4).Email}} {
			r.Directory, r.Digest = directory, "d"
			all = append(all, r)
		}
		require.NoError(t, l.SaveRecords(ctx, org, directory, 0, all, noon))

		q := ledger.IdentityQuery{Provision: "staff", Directory: directory, Sources: []string{corp, "hr"}, Limit: 3}
		page, err := l.IdentityPage(ctx, org, q)
		require.NoError(t, err)
		require.Equal(t, refs(1, 2, 3), refsOf(page.Identities))
		require.Equal(t, []ledger.SourceGroupRef{{Source: corp, Key: "g-dev", Name: "dev"}}, page.Identities[0].Groups)
		require.Equal(t, person(2).ID, page.Identities[1].Account)
		require.Equal(t, []ledger.Ref{sameAddress, sameAccount, sameRecord}, refsOf(page.Related))
		require.Equal(t, []string{"r-account", "r-address", "r-external", "r3", "r9"}, recordIDs(page.Records))
		var bindings []string
		for _, b := range page.Bindings {
			require.Equal(t, "staff", b.Provision)
			require.False(t, b.Unexplained)
			bindings = append(bindings, b.Ref().String()+" "+b.Record)
		}
		require.ElementsMatch(t, []string{"corp:" + key(3) + " r3", "hr:h-3 r3", "hr:h-9 r9"}, bindings)

		var met []ledger.Ref
		for q.After = (ledger.Ref{}); ; {
			page, err := l.IdentityPage(ctx, org, q)
			require.NoError(t, err)
			if len(page.Identities) == 0 {
				break
			}
			met = append(met, refsOf(page.Identities)...)
			q.After = met[len(met)-1]
		}
		require.Equal(t, append(refs(1, 2, 3, 4), ledger.Ref{Source: "hr", Key: "h-1"}, ledger.Ref{Source: "hr", Key: "h-2"},
			ledger.Ref{Source: "hr", Key: "h-3"}, ledger.Ref{Source: "hr", Key: "h-9"}), met)
	})
}

func TestPersonStates(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		states := []ledger.ProvisionedState{
			{Key: "r9", State: "orphaned", Record: "r9"},
			{Source: corp, Key: key(1), State: "linked", Account: person(1).ID, Record: "r1"},
			{Source: corp, Key: key(2), State: "email-drift", Detail: "a@x and b@x", Account: person(2).ID, Record: "r2"},
			{Source: corp, Key: key(3), State: "linked", Account: person(3).ID, Record: "r3"},
		}
		require.NoError(t, l.SetPersonStates(ctx, org, "guests", "p1", states[:1]))
		require.NoError(t, l.SetPersonStates(ctx, org, "staff", "p1", states[:2]))
		require.NoError(t, l.SetPersonStates(ctx, org, "staff", "p1", append(states[1:], states[1])))
		list := func(state string) (all []ledger.ProvisionedState) {
			t.Helper()
			var after ledger.Ref
			for {
				some, err := l.PersonStates(ctx, org, "staff", state, after, 2)
				require.NoError(t, err)
				if len(some) == 0 {
					return all
				}
				all = append(all, some...)
				after = ledger.Ref{Source: some[len(some)-1].Source, Key: some[len(some)-1].Key}
			}
		}
		require.Equal(t, states, list(""))
		require.Equal(t, []ledger.ProvisionedState{states[1], states[3]}, list("linked"))
		counts, err := l.PersonStateCounts(ctx, org, "staff")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"orphaned": 1, "linked": 2, "email-drift": 1}, counts)
		states[2].State, states[2].Detail = "linked", ""
		require.NoError(t, l.SetPersonStates(ctx, org, "staff", "p2", states[2:3]))
		require.Len(t, list(""), 4)
		require.NoError(t, l.EndPersonStates(ctx, org, "staff", "p2"))
		require.Equal(t, states[2:3], list(""))
		counts, err = l.PersonStateCounts(ctx, org, "guests")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"orphaned": 1}, counts)
	})
}
