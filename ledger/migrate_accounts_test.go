package ledger_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
	"github.com/stretchr/testify/require"
)

// beforeAccounts is a ledger of the version before people in grants were accounts, as it made one itself.
func beforeAccounts(t *testing.T) *ledger.Ledger {
	t.Helper()
	dump, err := os.ReadFile("testdata/before-accounts.sql")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "castellan.db")
	pool, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	_, err = pool.ExecContext(t.Context(), string(dump))
	require.NoError(t, err)
	require.NoError(t, pool.Close())
	return open(t, file)
}

func TestOpenMakesAccountsOfTheAddressesInGrants(t *testing.T) {
	t.Parallel()
	l := beforeAccounts(t)
	for id, want := range map[string][]string{ // person, key, former key, who asked
		"open":     {"id-00001", "id-00001", "person.00001@acme.example", idBo},
		"waits":    {"id-00001", "id-00001", "person.00001@acme.example", idBo},
		"own":      {"id-00001", "id-00001", "person.00001@acme.example", "id-00001"},
		"helpdesk": {"id-00001", "id-00001", "person.00001@acme.example", "helpdesk"},
		"ended":    {"id-00001", "id-00001", "", idBo},
		"guest":    {"guest@else.example", "guest@else.example", "", idBo},
	} {
		g := stored(t, l, id)
		require.Equal(t, want, []string{g.Person, g.Key, g.FormerKey, g.By}, id)
	}
	require.Equal(t, []string{idCarol, idDan, "twin@acme.example", "gone@acme.example"},
		stored(t, l, "waits").Approvers, "who is one account")
	require.Equal(t, idCarol, stored(t, l, "waits").Approvals[0].By)
	require.Equal(t, []string{idDan, idBo},
		[]string{stored(t, l, "ended").Approvals[0].By, stored(t, l, "ended").ClosedBy})
	moving, err := l.GrantsFormerly(t.Context(), org, "person.00001@acme.example", access.OrgAdmin)
	require.NoError(t, err)
	require.Equal(t, []string{"open"}, ids(moving))
	sound(t, l)

	decide := func(id, by, code string, approve bool) (access.Grant, error) {
		d := say(by, approve)
		d.CodeHash = code
		g, _, err := l.DecideGrant(t.Context(), org, id, d)
		return g, err
	}
	_, err = decide("waits", "twin@acme.example", "", true)
	require.ErrorIs(t, err, review.ErrNotApprover, "an address is nobody's")
	g, err := decide("waits", idCarol, "", true)
	require.NoError(t, err)
	require.Len(t, g.Approvals, 1, "she approved before")
	g, err = decide("waits", idDan, "hash-dan", true)
	require.NoError(t, err, "codes that were sent before count")
	require.Equal(t, access.GrantGranted, g.State)
	_, err = decide("own", "id-00001", "", true)
	require.ErrorIs(t, err, review.ErrSelf)
	_, err = decide("helpdesk", idCarol, "", true)
	require.ErrorIs(t, err, review.ErrRequesterUnknown)
	_, err = l.EndGrant(t.Context(), org, "open", idBo, "done", noon.Add(time.Hour))
	require.NoError(t, err)
	sound(t, l)
}
