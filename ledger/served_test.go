package ledger_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

func TestServedUnderOneName(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		save := func(name, id, hash string) error {
			_, err := l.SavePolicy(t.Context(), ledger.PolicyVersion{Org: name, Hash: hash, OrgID: id, At: noon})
			return err
		}
		require.NoError(t, save("acme", "Id-1", "a"))
		err := save("evil", "iD-1", "b")
		require.ErrorIs(t, err, ledger.ErrServed)
		require.ErrorContains(t, err, `"acme" has it`)
		require.NoError(t, save("acme", "id-2", "c"), "it moves")
		require.NoError(t, save("evil", "id-1", "b"), "and what it had is free")
		require.ErrorIs(t, save("evil", "id-2", "d"), ledger.ErrServed)
		for id, name := range map[string]string{"ID-1": "evil", "id-2": "acme"} {
			is, err := l.ServedAs(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, name, is)
		}
		_, err = l.Retire(t.Context(), "nobody", "ana", noon)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		sound(t, l)
	})
}

// A policy that is not accepted changes nothing of whom the names in the one in force stand for.
func TestSavePolicyKeepsNamesWithThePolicyOrNotAtAll(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.SavePolicy(t.Context(), ledger.PolicyVersion{Org: "other", Hash: "o", OrgID: "id-2", At: noon})
		require.NoError(t, err)
		v := ledger.PolicyVersion{Org: org, Hash: "a", OrgID: "id-1", At: noon,
			Names: []ledger.PolicyName{{Name: "boss@acme.example", Account: "id-00001"}}}
		_, err = l.SavePolicy(t.Context(), v)
		require.NoError(t, err)

		refused := v
		refused.Hash, refused.OrgID, refused.Names = "b", "id-2",
			[]ledger.PolicyName{{Name: "boss@acme.example", Account: "id-00002"}}
		_, err = l.SavePolicy(t.Context(), refused)
		require.ErrorIs(t, err, ledger.ErrServed)
		names, err := l.PolicyNames(t.Context(), org)
		require.NoError(t, err)
		require.Len(t, names, 1)
		require.Equal(t, "id-00001", names[0].Account)

		v.Names = []ledger.PolicyName{{Name: "boss@acme.example", Account: "id-00003"}}
		changed, err := l.SavePolicy(t.Context(), v)
		require.NoError(t, err)
		require.False(t, changed, "the same policy again")
		names, err = l.PolicyNames(t.Context(), org)
		require.NoError(t, err)
		require.Equal(t, "id-00003", names[0].Account)
		sound(t, l)
	})
}

func TestWhileGrantsAreNotOverTheNameGoesOnServing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		save := func(id, hash string) error {
			_, err := l.SavePolicy(t.Context(), ledger.PolicyVersion{Org: org, Hash: hash, OrgID: id, At: noon})
			return err
		}
		require.NoError(t, save("id-1", "a"))
		request(t, l, lease("g1"))
		refused := func(about ...string) {
			t.Helper()
			_, err := l.Retire(t.Context(), org, "ana", noon)
			for _, err := range []error{err, save("id-2", "b")} {
				require.ErrorIs(t, err, ledger.ErrGrantsOpen)
				for _, text := range about {
					require.ErrorContains(t, err, text)
				}
			}
		}
		refused("g1 (role:org-admin for "+person(1).Email+")", "starter revoke")
		for n := range 6 {
			g := lease(fmt.Sprintf("h%d", n))
			request(t, l, g)
		}
		refused("and more")
		served, err := l.ServedAs(t.Context(), "id-1")
		require.NoError(t, err)
		require.Equal(t, org, served)
		sound(t, l)
	})
}

func TestServedByOneOfManyAtOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var wait sync.WaitGroup
		refused := make(chan error, 8)
		for n := range 8 {
			wait.Go(func() {
				if _, err := l.SavePolicy(t.Context(),
					ledger.PolicyVersion{Org: fmt.Sprintf("org-%d", n), Hash: "a", OrgID: "id-1",
						At: noon}); err != nil {
					refused <- err
				}
			})
		}
		wait.Wait()
		close(refused)
		n := 0
		for err := range refused {
			require.ErrorIs(t, err, ledger.ErrServed)
			n++
		}
		require.Equal(t, 7, n)
	})
}
