package ledger_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

// TestReplicaQuestionsFindTheirIndex asks the databases how they answer what is asked of replicas, before anything was
// counted: SQLite never does that by itself.
func TestReplicaQuestionsFindTheirIndex(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var everybody []ledger.Identity
		var all []ledger.Record
		for n := range 3000 {
			everybody = append(everybody, identity(n))
			r := recordOf(n)
			all = append(all, r)
		}
		var groups []ledger.SourceGroup
		for n := range 30 {
			g := sourceGroup(fmt.Sprint(n))
			for i := range 300 {
				g.Members = append(g.Members, key(n*100+i))
			}
			groups = append(groups, g)
		}
		read(t, l, org, shown{everybody, groups}, "", noon)
		require.NoError(t, l.SaveRecords(t.Context(), org, directory, 0, all, noon))
		var bindings, ofRecords []ledger.Binding
		for n := range 1000 {
			bindings, ofRecords = append(bindings, bound(n)), append(ofRecords, record(bound(n), "r"+key(n)))
		}
		require.NoError(t, l.BindAccounts(t.Context(), org, bindings, noon))
		require.NoError(t, l.BindRecords(t.Context(), org, "staff", ofRecords, noon))
		for name, ask := range map[string]func(ctx context.Context, l *ledger.Ledger) error{
			"accounts": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.IdentitiesOf(ctx, org, []string{person(1).ID, person(2).ID})
				return err
			},
			"addresses": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.UnboundAt(ctx, org, []string{person(1).Email, person(2000).Email})
				return err
			},
			"members": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.MembersOf(ctx, org, corp, "g-3")
				return err
			},
			"missing": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.MissingIdentities(ctx, org, corp, noon, key(7), 10)
				return err
			},
			"touched": func(ctx context.Context, l *ledger.Ledger) error {
				_, _, err := l.Touched(ctx, org, corp, 99)
				return err
			},
			"page": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.IdentityPage(ctx, org, ledger.IdentityQuery{Provision: "staff", Directory: directory,
					Sources: []string{corp, "hr"}, After: ledger.Ref{Source: corp, Key: key(5)}, Limit: 3})
				return err
			},
			"groups": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.SourceGroupsOf(ctx, org)
				return err
			},
			"counts": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.IdentityCounts(ctx, org)
				return err
			},
			"records": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.Records(ctx, org, directory, "rk-00007", 3)
				return err
			},
			"missing records": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.MissingRecords(ctx, org, directory, noon, "", 3)
				return err
			},
			"states": func(ctx context.Context, l *ledger.Ledger) error {
				_, err := l.PersonStates(ctx, org, "staff", "linked", ledger.Ref{}, 3)
				return err
			},
		} {
			plans, err := l.Plans(t.Context(), func(l *ledger.Ledger) error { return ask(t.Context(), l) })
			require.NoError(t, err, name)
			require.NotRegexp(t, `SCAN (identities|bindings|records|person_states|source_\w+|[ibmg])\b`, plans, name)
			for _, far := range []string{ // an index that was taken for its first columns
				`identities_by_change(.*\n){3}.*Filter: .*key`, `Join Filter`, `Seq Scan on (identities|source_members)`,
				`SEARCH i USING INDEX \w+ \(org=\? AND source=\?\)`,
				`SEARCH m USING (COVERING )?INDEX \w+ \(org=\? AND source=\?\)`,
			} {
				require.NotRegexp(t, far, plans, name)
			}
		}
	})
}
