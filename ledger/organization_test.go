package ledger_test

import (
	"testing"
	"time"

	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func version(hash string, at time.Time) ledger.PolicyVersion {
	return ledger.PolicyVersion{
		Org: org, Hash: hash, Body: []byte(`{"policy":"` + hash + `"}`),
		Source: []byte("policy: " + hash + " # ümlaut\n"),
		OrgID:  "org-1", Directory: "dir-1", By: "ana@acme.example", At: at,
	}
}

func TestPolicyBecomesCurrentAndIsRecordedOnceForEachChange(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.Organization(t.Context(), org)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		_, err = l.Policy(t.Context(), org, "")
		require.ErrorIs(t, err, ledger.ErrNotFound)

		for i, step := range []struct {
			hash    string
			changed bool
		}{{"a", true}, {"a", false}, {"b", true}, {"a", true}, {"a", false}} {
			at := noon.Add(time.Duration(i) * time.Minute)
			changed, err := l.SavePolicy(t.Context(), version(step.hash, at))
			require.NoError(t, err)
			require.Equal(t, step.changed, changed, "step %d", i)
			current, err := l.Policy(t.Context(), org, "")
			require.NoError(t, err)
			require.Equal(t, step.hash, current.Hash)
			if changed {
				require.Equal(t, version(step.hash, at), current)
			}
		}

		old, err := l.Policy(t.Context(), org, "b")
		require.NoError(t, err)
		require.Equal(t, version("b", noon.Add(2*time.Minute)), old)
		_, err = l.Policy(t.Context(), org, "c")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		o, err := l.Organization(t.Context(), org)
		require.NoError(t, err)
		require.Equal(t, ledger.Organization{Org: org, OrgID: "org-1", Directory: "dir-1", Policy: "a",
			PolicyAt: noon.Add(3 * time.Minute)}, o)
		require.Equal(t, []string{"policy", "policy", "policy"}, kinds(t, l))
		entries := entries(t, l, 1)
		require.JSONEq(t, `{"policy":"b","was":"a","by":"ana@acme.example","orgId":"org-1","directory":"dir-1"}`,
			string(entries[0].Body))
		sound(t, l)
	})
}

func TestAKeptPolicyIsNotInForce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for range 2 {
			require.NoError(t, l.KeepPolicy(t.Context(), version("draft", noon)))
		}
		_, err := l.Policy(t.Context(), org, "")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		draft, err := l.Policy(t.Context(), org, "draft")
		require.NoError(t, err)
		require.Equal(t, version("draft", noon), draft)
		require.Empty(t, kinds(t, l))

		applied := version("draft", noon.Add(time.Hour))
		applied.By = "bo@acme.example"
		changed, err := l.SavePolicy(t.Context(), applied)
		require.NoError(t, err)
		require.True(t, changed)
		require.NoError(t, l.KeepPolicy(t.Context(), version("draft", noon)))
		current, err := l.Policy(t.Context(), org, "")
		require.NoError(t, err)
		require.Equal(t, applied, current)
	})
}

func TestAdoptionIsRecordedOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		require.ErrorIs(t, l.Adopt(t.Context(), org, "run-1", "ana", noon), ledger.ErrNotFound)
		_, err := l.SavePolicy(t.Context(), version("a", noon))
		require.NoError(t, err)
		require.NoError(t, l.Adopt(t.Context(), org, "run-1", "ana", noon))
		require.NoError(t, l.Adopt(t.Context(), org, "run-2", "bo", noon.Add(time.Hour)))
		_, err = l.SavePolicy(t.Context(), version("b", noon.Add(2*time.Hour)))
		require.NoError(t, err)

		all, err := l.Organizations(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, noon, all[0].AdoptedAt, "a new policy does not ask for consent again")
		require.Equal(t, []string{"policy", "adopted", "policy"}, kinds(t, l))
	})
}

func TestOrganizationsDoNotMix(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		other := version("z", noon)
		other.Org, other.OrgID = "Zeta", "org-2"
		for _, v := range []ledger.PolicyVersion{version("a", noon), other} {
			_, err := l.SavePolicy(t.Context(), v)
			require.NoError(t, err)
		}
		all, err := l.Organizations(t.Context())
		require.NoError(t, err)
		require.Equal(t, "Zeta", all[0].Org, "names are in byte order on every database")
		require.Equal(t, org, all[1].Org)
		for _, o := range all {
			seq, hash, err := l.Head(t.Context(), o.Org)
			require.NoError(t, err)
			require.Equal(t, int64(2), seq, "the policy, and the row of the organization")
			require.NotEmpty(t, hash)
		}
	})
}
