package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

// corp is the source of the tests.
const corp = "corp"

func key(n int) string { return fmt.Sprintf("k-%05d", n) }

// identity is somebody in corp with the address of person(n).
func identity(n int) ledger.Identity {
	enabled := true
	address := person(n).Email
	return ledger.Identity{Key: key(n), Address: address, Enabled: &enabled,
		Attributes: json.RawMessage(fmt.Sprintf(`{"mail":%q}`, address)), Digest: "d1"}
}

func keys(numbers ...int) (all []string) {
	for _, n := range numbers {
		all = append(all, key(n))
	}
	return all
}

func identities(numbers ...int) (all []ledger.Identity) {
	for _, n := range numbers {
		all = append(all, identity(n))
	}
	return all
}

// sourceGroup is a group in corp.
func sourceGroup(name string, members ...int) ledger.SourceGroup {
	g := ledger.SourceGroup{Key: "g-" + name, Name: name}
	for _, n := range members {
		g.Members = append(g.Members, key(n))
	}
	g.Digest = name + strings.Join(g.Members, ",")
	return g
}

// shown is what one read of corp shows.
type shown struct {
	people []ledger.Identity
	groups []ledger.SourceGroup
}

// tester is a test, or one run of a property.
type tester interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// read reads corp as an activity does: what has another digest is saved, what was not shown is missing.
func read(t tester, l *ledger.Ledger, org string, s shown, suspect string, at time.Time) (n int64,
	touched ledger.Touched) {
	t.Helper()
	ctx := t.Context()
	n, err := l.BeginSourceRead(ctx, org, corp, at)
	require.NoError(t, err)
	people, groups, err := l.SourceDigests(ctx, org, corp)
	require.NoError(t, err)
	var changedPeople []ledger.Identity
	for _, i := range s.people {
		if digest, known := people[i.Key]; !known || digest != i.Digest {
			changedPeople = append(changedPeople, i)
		}
		delete(people, i.Key)
	}
	var changedGroups []ledger.SourceGroup
	end := ledger.End{As: "reader", People: len(s.people), Groups: len(s.groups), Suspect: suspect}
	for _, g := range s.groups {
		if digest, known := groups[g.Key]; !known || digest != g.Digest {
			changedGroups = append(changedGroups, g)
		}
		delete(groups, g.Key)
		end.Memberships += len(g.Members)
	}
	touched, err = l.SaveIdentities(ctx, org, corp, n, changedPeople, at)
	require.NoError(t, err)
	more, err := l.SaveSourceGroups(ctx, org, corp, n, changedGroups, at)
	require.NoError(t, err)
	touched.Add(more)
	for k := range people {
		end.MissingPeople = append(end.MissingPeople, k)
	}
	for k := range groups {
		end.MissingGroups = append(end.MissingGroups, k)
	}
	require.NoError(t, l.EndSourceRead(ctx, org, corp, n, end, at))
	return n, touched
}

// source is what the ledger knows of corp.
func source(t testing.TB, l *ledger.Ledger) ledger.Source {
	t.Helper()
	s, err := l.Source(t.Context(), org, corp)
	require.NoError(t, err)
	return s
}

// membersOf are the keys of the people of 1 to 9 who are in a group of corp.
func membersOf(t testing.TB, l *ledger.Ledger, group string) (all []string) {
	t.Helper()
	var refs []ledger.Ref
	for n := range 10 {
		refs = append(refs, ledger.Ref{Source: corp, Key: key(n)})
	}
	found, err := l.Identities(t.Context(), org, refs)
	require.NoError(t, err)
	for _, i := range found {
		if slices.ContainsFunc(i.Groups, func(g ledger.SourceGroupRef) bool { return g.Name == group }) {
			all = append(all, i.Key)
		}
	}
	return all
}

func TestSourceRecordsItsReads(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		require.Equal(t, ledger.Source{Name: corp}, source(t, l))
		read(t, l, org, shown{identities(1, 2), []ledger.SourceGroup{sourceGroup("dev", 1, 2)}}, "", noon)
		first := ledger.Source{Name: corp, Begun: 1, BegunAt: noon, Read: 1, ReadAt: noon, As: "reader", People: 2,
			Groups: 1, Memberships: 2, Good: ledger.Baseline{Read: 1, As: "reader", People: 2}, Change: 2, Changed: noon}
		require.Equal(t, first, source(t, l))

		n, err := l.BeginSourceRead(t.Context(), org, corp, minutes(1))
		require.NoError(t, err)
		require.NoError(t, l.FailSourceRead(t.Context(), org, corp, n, "unavailable", "no answer", minutes(2)))
		n, err = l.BeginSourceRead(t.Context(), org, corp, minutes(3))
		require.NoError(t, err)
		require.NoError(t, l.FailSourceRead(t.Context(), org, corp, n, "forbidden", "may not", minutes(4)))
		failed := source(t, l)
		require.Equal(t, []any{int64(1), noon, "forbidden", "may not", minutes(2)},
			[]any{failed.Read, failed.ReadAt, failed.ProblemKind, failed.Problem, failed.Failing})

		n, _ = read(t, l, org, shown{identities(1, 2), []ledger.SourceGroup{sourceGroup("dev", 1, 2)}}, "", minutes(5))
		now := source(t, l)
		require.Equal(t, []any{n, minutes(5), "", "", time.Time{}, int64(2)},
			[]any{now.Read, now.ReadAt, now.ProblemKind, now.Problem, now.Failing, now.Change})
		all, err := l.Sources(t.Context(), org)
		require.NoError(t, err)
		require.Equal(t, []ledger.Source{now}, all)
		sound(t, l)
	})
}

// TestSourceReadInProgressIsTheNewest: whatever comes late, of a read in whose place another was begun, or that failed
// or ended, is refused.
func TestSourceReadInProgressIsTheNewest(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		refused := func(n int64) {
			t.Helper()
			_, err := l.SaveIdentities(ctx, org, corp, n, identities(1), noon)
			require.ErrorIs(t, err, ledger.ErrSuperseded)
			_, err = l.SaveSourceGroups(ctx, org, corp, n, []ledger.SourceGroup{sourceGroup("dev", 1)}, noon)
			require.ErrorIs(t, err, ledger.ErrSuperseded)
			require.ErrorIs(t, l.EndSourceRead(ctx, org, corp, n, ledger.End{People: 9}, noon), ledger.ErrSuperseded)
		}
		begin := func() int64 {
			n, err := l.BeginSourceRead(ctx, org, corp, noon)
			require.NoError(t, err)
			return n
		}
		refused(1)
		one := begin()
		two := begin()
		refused(one)
		require.NoError(t, l.FailSourceRead(ctx, org, corp, one, "late", "late", noon))
		require.Empty(t, source(t, l).Problem, "a read that is over does not fail")
		require.NoError(t, l.EndSourceRead(ctx, org, corp, two, ledger.End{People: 5}, noon))
		require.NoError(t, l.EndSourceRead(ctx, org, corp, two, ledger.End{People: 7}, minutes(1)), "a repeat")
		require.Equal(t, 5, source(t, l).People)
		three := begin()
		require.NoError(t, l.FailSourceRead(ctx, org, corp, three, "unavailable", "no answer", noon))
		refused(three)
		require.Equal(t, []any{two, 5}, []any{source(t, l).Read, source(t, l).People})
		_, err := l.SaveSourceGroups(ctx, org, corp, 0, nil, noon)
		require.ErrorIs(t, err, ledger.ErrSuperseded, "no group is looked up outside of a read")
	})
}

// TestSourceCyclesAreThoseOfTheLastCompleteRead: a read that fails says nothing of them.
func TestSourceCyclesAreThoseOfTheLastCompleteRead(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		begin := func() int64 {
			n, err := l.BeginSourceRead(ctx, org, corp, noon)
			require.NoError(t, err)
			return n
		}
		cycles := [][]string{{"a <b>", "ü"}, {"c"}}
		require.NoError(t, l.EndSourceRead(ctx, org, corp, begin(), ledger.End{Cycles: cycles}, noon))
		require.Equal(t, cycles, source(t, l).Cycles)
		require.NoError(t, l.FailSourceRead(ctx, org, corp, begin(), "unavailable", "no answer", noon))
		require.Equal(t, cycles, source(t, l).Cycles)
		require.NoError(t, l.EndSourceRead(ctx, org, corp, begin(), ledger.End{}, noon))
		require.Empty(t, source(t, l).Cycles)
	})
}

func TestAcceptSource(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		require.ErrorIs(t, l.AcceptSource(ctx, org, corp, 0, "carol", "", noon), ledger.ErrNotFound)
		read(t, l, org, shown{people: identities(1, 2, 3)}, "", noon)
		read(t, l, org, shown{people: identities(1)}, "people shrank", minutes(1))
		n, _ := read(t, l, org, shown{people: identities(1)}, "people shrank", minutes(2))
		missing := func() int {
			found, err := l.MissingIdentities(ctx, org, corp, minutes(60), "", 0)
			require.NoError(t, err)
			return len(found)
		}
		require.Zero(t, missing())
		require.Equal(t, ledger.Baseline{Read: 1, As: "reader", People: 3}, source(t, l).Good)
		require.ErrorIs(t, l.AcceptSource(ctx, org, corp, n-1, "carol", "", noon), ledger.ErrNotOpen)
		for range 2 {
			require.NoError(t, l.AcceptSource(ctx, org, corp, n, "carol", "a division was sold", minutes(3)))
		}
		require.Equal(t, 2, missing())
		accepted := source(t, l)
		require.Equal(t, []any{"", ledger.Baseline{Read: n, As: "reader", People: 1}},
			[]any{accepted.Suspect, accepted.Good})
		all := entries(t, l, 0)
		require.Len(t, all, 1)
		require.Equal(t, ledger.EntrySourceAccepted, all[0].Kind)
		require.JSONEq(t, `{"source":"corp","read":3,"people":1,"was":3,"by":"carol","note":"a division was sold"}`,
			string(all[0].Body))
		sound(t, l)
	})
}

func TestPruneSources(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		read(t, l, org, shown{identities(1, 2, 3), []ledger.SourceGroup{sourceGroup("dev", 1, 2)}}, "", noon)
		_, err := l.BeginDirectoryRead(ctx, org, "dir", noon)
		require.NoError(t, err)
		require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(1)}, noon))
		prune := func(keep ...string) (calls int) {
			for {
				removed, err := l.PruneSources(ctx, org, keep, 2)
				require.NoError(t, err)
				if removed == 0 {
					return calls
				}
				calls++
			}
		}
		require.Zero(t, prune(corp, "hr"))
		number, err := l.BeginSourceRead(ctx, org, corp, noon)
		require.NoError(t, err)
		removed, err := l.PruneSources(ctx, org, []string{"hr"}, 1)
		require.NoError(t, err)
		require.NotZero(t, removed)
		require.Zero(t, source(t, l).Read, "nothing is concluded from what is left")
		_, err = l.SaveIdentities(ctx, org, corp, number, identities(1), noon)
		require.ErrorIs(t, err, ledger.ErrSuperseded, "the read may have seen what is gone now")
		require.Equal(t, 2, prune("hr"))
		require.Equal(t, ledger.Source{Name: corp}, source(t, l))
		people, groups, err := l.SourceDigests(ctx, org, corp)
		require.NoError(t, err)
		require.Empty(t, people)
		require.Empty(t, groups)
		directory, err := l.Directory(ctx, org, "dir")
		require.NoError(t, err)
		require.EqualValues(t, 1, directory.Begun)
		read(t, l, org, shown{people: identities(1)}, "", minutes(9))
		of, err := l.IdentitiesOf(ctx, org, []string{person(1).ID})
		require.NoError(t, err)
		require.Len(t, of, 1, "the binding is a decision")
		sound(t, l)
	})
}

// TestLacking: reads that lack the same are told apart from others by nothing else.
func TestLacking(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		lacks := func(people []ledger.Identity, groups ...ledger.SourceGroup) string {
			t.Helper()
			read(t, l, org, shown{people, groups}, "it shrank", noon)
			text, err := l.Lacking(t.Context(), org, corp)
			require.NoError(t, err)
			return text
		}
		read(t, l, org, shown{identities(1, 2, 3), []ledger.SourceGroup{sourceGroup("dev", 1, 2), sourceGroup("ops", 1)}},
			"", noon)
		nothing := lacks(identities(1, 2, 3), sourceGroup("dev", 1, 2), sourceGroup("ops", 1))
		seen := []string{nothing}
		for _, each := range []func() string{
			func() string { return lacks(identities(1, 2), sourceGroup("dev", 1, 2), sourceGroup("ops", 1)) },
			func() string { return lacks(identities(1, 3), sourceGroup("dev", 1, 2), sourceGroup("ops", 1)) },
			func() string { return lacks(identities(1, 2, 3), sourceGroup("dev", 2), sourceGroup("ops", 1)) },
			func() string { return lacks(identities(1, 2, 3), sourceGroup("dev", 1, 2)) },
		} {
			text := each()
			require.Equal(t, text, each(), "another read that lacks the same")
			require.NotContains(t, seen, text)
			seen = append(seen, text)
		}
		require.Equal(t, nothing, lacks(identities(1, 2, 3), sourceGroup("dev", 1, 2), sourceGroup("ops", 1)))
	})
}
