package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

const directory = "dir-1"

// recordOf is the record of person(n).
func recordOf(n int) ledger.Record {
	p := person(n)
	return ledger.Record{Directory: directory, ID: "r" + key(n), Account: p.ID, External: key(n), Active: true,
		Address: p.Email, Values: map[string]string{"userName": p.Email, "title": "Dev"}, Modified: noon, Digest: "d1",
		State: ledger.StatePresent, Since: noon}
}

func records(numbers ...int) (all []ledger.Record) {
	for _, n := range numbers {
		all = append(all, recordOf(n))
	}
	return all
}

func recordIDs(records []ledger.Record) (all []string) {
	for _, r := range records {
		all = append(all, r.ID)
	}
	return all
}

func TestSaveRecords(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		n, err := l.BeginDirectoryRead(ctx, org, directory, noon)
		require.NoError(t, err)
		require.NoError(t, l.SaveRecords(ctx, org, directory, n, records(1, 2, 3), noon))
		require.NoError(t, l.EndDirectoryRead(ctx, org, directory, n, ledger.End{As: "key", People: 3}, noon))
		for name, q := range map[string]ledger.RecordQuery{
			"id":         {IDs: []string{"r" + key(2), "unknown"}},
			"account":    {Accounts: []string{person(2).ID, ""}},
			"external":   {Externals: []string{key(2)}},
			"address":    {Addresses: []string{"PERSON.00002@acme.example"}},
			"all of it":  {[]string{"r" + key(2)}, []string{person(2).ID}, []string{key(2)}, []string{person(2).Email}},
			"only these": {Addresses: []string{person(2).Email, ""}, Accounts: []string{""}},
		} {
			found, err := l.FindRecords(ctx, org, directory, q)
			require.NoError(t, err)
			require.Equal(t, records(2), found, name)
			found, err = l.FindRecords(ctx, org, "another", q)
			require.NoError(t, err)
			require.Empty(t, found, name)
		}
		written := recordOf(2)
		written.Account, written.Active, written.Values, written.Digest = "", false, nil, "d2"
		require.NoError(t, l.SaveRecords(ctx, org, directory, 0, []ledger.Record{recordOf(2), written}, minutes(1)))
		digests, err := l.RecordDigests(ctx, org, directory)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"r" + key(1): "d1", "r" + key(2): "d2", "r" + key(3): "d1"}, digests)
		page, err := l.Records(ctx, org, directory, "r"+key(1), 1)
		require.NoError(t, err)
		require.Equal(t, []ledger.Record{written}, page)
		require.ErrorIs(t, l.SaveRecords(ctx, org, directory, n, records(4), minutes(1)), ledger.ErrSuperseded)
		require.Equal(t, ledger.Source{Name: corp}, source(t, l), "a directory is no source")
	})
}

func TestRecordsThatAreMissing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		sweep := func(minute int, missing ...string) {
			t.Helper()
			n, err := l.BeginDirectoryRead(ctx, org, directory, minutes(minute))
			require.NoError(t, err)
			end := ledger.End{MissingPeople: missing}
			require.NoError(t, l.EndDirectoryRead(ctx, org, directory, n, end, minutes(minute)))
		}
		missing := func(before time.Time) []string {
			t.Helper()
			found, err := l.MissingRecords(ctx, org, directory, before, "", 0)
			require.NoError(t, err)
			return recordIDs(found)
		}
		require.NoError(t, l.SaveRecords(ctx, org, directory, 0, records(1, 2, 3), noon))
		sweep(1, "r"+key(1), "r"+key(2))
		require.Empty(t, missing(minutes(60)))
		n, err := l.BeginDirectoryRead(ctx, org, directory, minutes(2))
		require.NoError(t, err)
		require.NoError(t, l.FailDirectoryRead(ctx, org, directory, n, "unavailable", "no answer", minutes(2)))
		require.Empty(t, missing(minutes(60)), "a read that failed concludes nothing")
		sweep(3)
		require.Equal(t, []string{"r" + key(1), "r" + key(2)}, missing(minutes(1)))
		require.Empty(t, missing(minutes(1).Add(-1)))
		require.NoError(t, l.RecordGone(ctx, org, directory, "r"+key(1), minutes(4)))
		require.NoError(t, l.RecordGone(ctx, org, directory, "r"+key(1), minutes(5)), "a repeat")
		require.Equal(t, []string{"r" + key(2)}, missing(minutes(1)))
		counts, err := l.RecordCounts(ctx, org, directory)
		require.NoError(t, err)
		require.Equal(t, map[string]int{"present": 1, "missing": 1, "gone": 1}, counts)
		all, err := l.Records(ctx, org, directory, "", 0)
		require.NoError(t, err)
		require.Equal(t, []string{"r" + key(2), "r" + key(3)}, recordIDs(all))
		require.NoError(t, l.SaveRecords(ctx, org, directory, 0, records(1), minutes(6)))
		found, err := l.FindRecords(ctx, org, directory, ledger.RecordQuery{IDs: []string{"r" + key(1)}})
		require.NoError(t, err)
		require.Equal(t, []any{ledger.StatePresent, minutes(6)}, []any{found[0].State, found[0].Since})
		is, err := l.Directory(ctx, org, directory)
		require.NoError(t, err)
		require.EqualValues(t, 4, is.Begun, "a number of a read that failed is not given again")
	})
}

// TestRecordAddresses: an account has the address of its record, unless that is gone.
func TestRecordAddresses(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		require.NoError(t, l.SaveRecords(t.Context(), org, directory, 0, records(1, 2, 3), noon))
		require.NoError(t, l.RecordGone(t.Context(), org, directory, "r"+key(3), noon))
		found, err := l.RecordAddresses(t.Context(), org, []string{person(2).ID, person(3).ID, person(4).ID})
		require.NoError(t, err)
		require.Equal(t, map[string]string{person(2).ID: person(2).Email}, found)
	})
}
