package grants_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const accountGrants = `
grants:
  - {name: site, targets: ["group:vault", directory], duration: {max: 1h}, extend: {max: 2h, times: 3}, reason: false}
`

// A grant is an account's: it is found by every name of the account, whoever has the address of before.
func TestGrantFollowsItsAccount(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, accountGrants)
	answer, err := o.ask("dan", "group:vault", 30*time.Minute)
	require.NoError(t, err)
	require.Equal(t, messages.GrantID(org, "group:vault", o.person("dan").AccountID), answer.Workflow)
	o.until(answer.Workflow, is(messages.GrantActive))
	require.NoError(t, o.Simulator.Person(t.Context(), "dan", map[string]any{"email": "dan.lee@example.com"}))
	require.NoError(t, o.Simulator.Person(t.Context(), "eve", map[string]any{"email": "dan@example.com"}))
	out, err := o.Starter(t.Context(), "revoke", "dan@example.com", "group:vault", "--reason", "hers", "--by",
		"bo@example.com")
	require.Error(t, err, out)
	require.True(t, o.holds("dan", "group:vault"), "eve has no grant")
	_, err = o.Starter(t.Context(), "extend", "dan.lee@example.com", "group:vault", "--for", "10m", "--reason", "more",
		"--by", "dan.lee@example.com")
	require.NoError(t, err)
	_, err = o.Starter(t.Context(), "revoke", "dan.lee@example.com", "group:vault", "--reason", "done", "--by",
		"bo@example.com")
	require.NoError(t, err)
	o.over(answer.Workflow)
	require.False(t, o.holds("dan", "group:vault"))
}

// Somebody who is invited goes by the address until the account is known. Then the workflow hands the grant over, and
// ends.
func TestGrantOfAnInvitedPersonGoesOverToTheAccount(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, accountGrants)
	answer, err := o.ask("bo", access.Directory, 30*time.Minute,
		func(in *messages.GrantInput) { in.Person = "Pat@partner.example" })
	require.NoError(t, err)
	require.Equal(t, messages.GrantID(org, access.Directory, "pat@partner.example"), answer.Workflow)
	o.over(answer.Workflow)
	state, err := o.Simulator.State(t.Context())
	require.NoError(t, err)
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Email == "pat@partner.example" })
	require.GreaterOrEqual(t, i, 0)
	id := messages.GrantID(org, access.Directory, state.People[i].AccountID)
	o.until(id, is(messages.GrantActive))
	_, err = o.Starter(t.Context(), "revoke", "pat@partner.example", "directory", "--reason", "done", "--by",
		"bo@example.com")
	require.NoError(t, err)
	o.over(id)
}
