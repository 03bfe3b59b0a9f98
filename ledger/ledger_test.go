package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

// noon is the instant at which the tests' stories begin.
var noon = time.Date(2026, 5, 4, 12, 0, 0, 123456000, time.UTC)

const org = "acme"

func open(t testing.TB, url string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func group(name string) access.Entitlement { return access.GroupEntitlement(name) }

func mapping(name string) []access.Reason {
	return []access.Reason{{Kind: access.ReasonMapping, Name: name, Source: "src-" + name}}
}

func person(n int) access.Person {
	return access.Person{
		ID: fmt.Sprintf("id-%05d", n), Email: fmt.Sprintf("Person.%05d@acme.example", n),
		Name:        fmt.Sprintf("Person %d", n),
		AccountType: "atlassian", AccountStatus: "active", MembershipStatus: "active", ClaimStatus: "managed",
		ManagementSource: "synced",
	}
}

func change(person access.Person, action access.Action, name string) access.Change {
	return access.Change{
		Person: person.ID, Email: person.Email, Target: group(name), GroupID: "gid-" + name, Action: action,
		Reasons: mapping(name), Sources: []string{"src-" + name}, State: access.Planned, At: noon,
	}
}

// plan saves a run's page with the changes and the people they are about.
func plan(t testing.TB, l *ledger.Ledger, run string, changes ...access.Change) {
	t.Helper()
	people := map[string]access.Person{}
	for _, c := range changes {
		people[c.Person] = access.Person{ID: c.Person, Email: c.Email}
	}
	page := ledger.Page{Key: "page-of-" + run, Changes: changes}
	for _, p := range people {
		page.People = append(page.People, p)
	}
	require.NoError(t, l.SavePage(t.Context(), org, run, page, noon))
}

// answer is the change with a final state.
func answer(c access.Change, state access.ChangeState, said string, at time.Time) access.Change {
	c.State, c.Answer, c.At = state, said, at
	return c
}

// kinds are the kinds of the chain's entries, in order, without those about rows.
func kinds(t testing.TB, l *ledger.Ledger) []string {
	t.Helper()
	var all []string
	for _, e := range entries(t, l, 0) {
		all = append(all, e.Kind)
	}
	return all
}

// entries are the chain's entries after one, in order, without those about rows.
func entries(t testing.TB, l *ledger.Ledger, after int64) []ledger.Entry {
	t.Helper()
	all, err := l.Entries(t.Context(), org, after, 100_000)
	require.NoError(t, err)
	return slices.DeleteFunc(all, func(e ledger.Entry) bool { return e.Kind == ledger.EntryRows })
}

// sound requires that the whole chain holds and explains every row. A row that is not explained was written by a
// statement that was not announced by touch (recorded.go).
func sound(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	check, err := l.VerifyChain(t.Context(), org, 0, 1_000_000)
	require.NoError(t, err)
	require.Nil(t, check.Broken)
	require.False(t, check.More)
	rows, err := l.VerifyRows(t.Context(), org, func(int64) {})
	require.NoError(t, err)
	require.Empty(t, rows.First)
}
