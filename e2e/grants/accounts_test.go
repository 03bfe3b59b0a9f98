package grants_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const accountGrants = `
grants:
  - {name: site, targets: ["group:vault", directory], duration: {max: 1h}, extend: {max: 2h, times: 3}, reason: false}
`

// A grant is an account's: it is found by every name of the account, whoever has the address of before.
func TestAGrantFollowsItsAccount(t *testing.T) {
	t.Parallel()
	w := start(t, accountGrants)
	answer, err := w.ask("dan", "group:vault", 30*time.Minute)
	require.NoError(t, err)
	require.Equal(t, messages.GrantID(org, "group:vault", w.person("dan").AccountID), answer.Workflow)
	w.until(answer.Workflow, is(messages.GrantActive))
	require.NoError(t, w.Simulator.Person(t.Context(), "dan", map[string]any{"email": "dan.lee@example.com"}))
	require.NoError(t, w.Simulator.Person(t.Context(), "eve", map[string]any{"email": "dan@example.com"}))
	out, err := w.Starter(t.Context(), "revoke", "dan@example.com", "group:vault", "--reason", "hers", "--by",
		"bo@example.com")
	require.Error(t, err, out)
	require.True(t, w.holds("dan", "group:vault"), "eve has no grant")
	_, err = w.Starter(t.Context(), "extend", "dan.lee@example.com", "group:vault", "--for", "10m", "--reason", "more",
		"--by", "dan.lee@example.com")
	require.NoError(t, err)
	_, err = w.Starter(t.Context(), "revoke", "dan.lee@example.com", "group:vault", "--reason", "done", "--by",
		"bo@example.com")
	require.NoError(t, err)
	w.over(answer.Workflow)
	require.False(t, w.holds("dan", "group:vault"))
}

// Somebody who is invited goes by the address until the account is known. Then the workflow hands the grant over, and
// ends.
func TestAnInvitedPersonsGrantGoesOverToTheAccount(t *testing.T) {
	t.Parallel()
	w := start(t, accountGrants)
	answer, err := w.ask("bo", access.Directory, 30*time.Minute,
		func(in *messages.GrantInput) { in.Person = "Pat@partner.example" })
	require.NoError(t, err)
	require.Equal(t, messages.GrantID(org, access.Directory, "pat@partner.example"), answer.Workflow)
	w.over(answer.Workflow)
	state, err := w.Simulator.State(t.Context())
	require.NoError(t, err)
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Email == "pat@partner.example" })
	require.GreaterOrEqual(t, i, 0)
	id := messages.GrantID(org, access.Directory, state.People[i].AccountID)
	w.until(id, is(messages.GrantActive))
	_, err = w.Starter(t.Context(), "revoke", "pat@partner.example", "directory", "--reason", "done", "--by",
		"bo@example.com")
	require.NoError(t, err)
	w.over(id)
}
