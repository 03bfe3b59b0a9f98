package ledger_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

func TestBurntCodesCountNoMoreWhoeverTypedThem(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		g := asked("g1")
		g.Codes = true
		request(t, l, g)
		require.NoError(t, l.SaveCode(t.Context(), org, "g1", idCarol, "hash-c", noon))
		require.NoError(t, l.SaveCode(t.Context(), org, "g1", idDan, "hash-d", noon))
		of := ledger.BurntCode{Org: org, Grant: "g1", Name: idCarol}
		for range 2 { // a repeat changes nothing
			burnt, err := l.BurnCodes(t.Context(), "elsewhere",
				ledger.Presented{ID: "p0", Hashes: []string{"hash-c", "a guess"}, Wrong: true}, noon)
			require.NoError(t, err)
			require.Equal(t, []ledger.BurntCode{of}, burnt)
		}
		may, err := l.MayResendCode(t.Context(), of, false)
		require.NoError(t, err)
		require.True(t, may)
		d := say(idCarol, true)
		d.CodeHash = "hash-c"
		_, _, err = l.DecideGrant(t.Context(), org, "g1", d)
		require.ErrorIs(t, err, ledger.ErrCode)
		d.CodeHash, d.Proof, d.Proves = "", "proof", func(hash string) bool { return hash == "hash-c" }
		_, _, err = l.DecideGrant(t.Context(), org, "g1", d)
		require.ErrorIs(t, err, ledger.ErrCode, "nor does a proof that was made with it")
		d.Proof, d.CodeHash, d.Shown = "", "hash-c", "another"
		_, _, err = l.DecideGrant(t.Context(), org, "g1", d)
		require.ErrorIs(t, err, ledger.ErrCode, "nor with another presentation")
		d.Proof, d.CodeHash, d.Shown = "proof", "", ""

		require.NoError(t, l.SaveCode(t.Context(), org, "g1", idCarol, "hash-e", noon))
		d.Proves = func(hash string) bool { return hash == "hash-e" }
		_, decided, err := l.DecideGrant(t.Context(), org, "g1", d)
		require.NoError(t, err)
		require.True(t, decided)
		none, err := l.BurnCodes(t.Context(), org, ledger.Presented{}, noon)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

// TestACodeCountsForThePresentationThatBurntIt: it is burnt before anybody else can read it, and still decides what it
// came with.
func TestACodeCountsForThePresentationThatBurntIt(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		g := asked("g1")
		g.Codes = true
		request(t, l, g)
		require.NoError(t, l.SaveCode(t.Context(), org, "g1", idCarol, "hash-c", noon))
		for _, id := range []string{"p1", "p2"} {
			_, err := l.BurnCodes(t.Context(), org, ledger.Presented{ID: id, Hashes: []string{"hash-c"}}, noon)
			require.NoError(t, err)
		}
		d := say(idCarol, true)
		d.CodeHash = "hash-c"
		for _, shown := range []string{"", "p2", "wrong p1"} {
			d.Shown = shown
			_, _, err := l.DecideGrant(t.Context(), org, "g1", d)
			require.ErrorIs(t, err, ledger.ErrCode, shown)
		}
		d.Shown = "p1"
		_, decided, err := l.DecideGrant(t.Context(), org, "g1", d)
		require.NoError(t, err)
		require.True(t, decided)
	})
}

// TestAWrongCodeBurnsWhatItMayBeASlipOf gives wrong codes and wrong proofs.
func TestAWrongCodeBurnsWhatItMayBeASlipOf(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		g := asked("g1")
		g.Codes = true
		request(t, l, g)
		of := ledger.BurntCode{Org: org, Grant: "g1", Name: idCarol}
		d := say(idCarol, true)
		d.Proof = "p"
		give := func(n string, p ledger.Presented) {
			t.Helper()
			require.NoError(t, l.SaveCode(t.Context(), org, "g1", idCarol, "hash-"+n, noon))
			p.ID, p.Wrong, p.Hashes = n, true, []string{"a slip"}
			for range 2 { // a repeat changes nothing
				burnt, err := l.BurnCodes(t.Context(), org, p, noon)
				require.NoError(t, err)
				require.Equal(t, []ledger.BurntCode{of}, burnt)
			}
			d.Proves = func(hash string) bool { return hash == "hash-"+n }
			_, _, err := l.DecideGrant(t.Context(), org, "g1", d)
			require.ErrorIs(t, err, ledger.ErrCode)
		}
		may := func() bool {
			may, err := l.MayResendCode(t.Context(), of, false)
			require.NoError(t, err)
			return may
		}
		give("1", ledger.Presented{By: idCarol, Grant: "g1"})
		give("2", ledger.Presented{By: idCarol, Grant: "another"})
		give("3", ledger.Presented{By: idCarol})
		give("4", ledger.Presented{By: "nobody", Grant: "g1"})
		require.NoError(t, l.SaveCode(t.Context(), org, "g1", idCarol, "hash-5", noon))
		require.False(t, may(), "there is one")
		d.Proves = func(string) bool { return false }
		_, _, err := l.DecideGrant(t.Context(), org, "g1", d)
		require.ErrorIs(t, err, ledger.ErrCode)
		require.True(t, may(), "a wrong proof burns too")
		give("6", ledger.Presented{By: idCarol, Grant: "g1"})
		require.False(t, may(), "so often, and no more")
	})
}

func hashOf(code string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(code))) }

func proof(hash, words string) string { return hashOf(hash + words) }

func TestADecisionNeedsItsCode(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 6, map[string][]int{carol: {1, 2, 3, 4, 5, 6}, dan: {1}})
		underReview(t, l, "autumn", 1, map[string][]int{carol: {1}})
		require.ErrorIs(t, l.SaveReviewCode(t.Context(), org, "none", carol, "h", noon), ledger.ErrNotFound)
		for _, code := range [][3]string{
			{spring, carol, "c0"}, {spring, dan, "d"}, {"autumn", carol, "autumn"},
		} {
			require.NoError(t, l.SaveReviewCode(t.Context(), org, code[0], code[1], hashOf(code[2]), noon))
		}
		with := func(p ledger.Pass, w ledger.ReviewMessage) ledger.ReviewMessage { w.Pass = p; return w }
		plain := func(code string) ledger.Pass { return ledger.Pass{CodeHash: hashOf(code)} }
		was := entriesOf(t, l, spring)
		for name, p := range map[string]ledger.Pass{
			"none": {}, "wrong": plain("guess"), "of another": plain("d"), "of another review": plain("autumn"),
			"proof of a wrong one": proves("guess", "w"), "proof of another's": proves("d", "w"),
		} {
			said := hear(t, l, spring, with(p, word(carol, keep, 1)))[0]
			require.ErrorIs(t, said.Err, ledger.ErrCode, name)
			require.NotContains(t, said.Err.Error(), hashOf("d"))
		}
		require.Equal(t, was, entriesOf(t, l, spring))
		require.Equal(t, "refused", heard(t, l, spring, with(proves("c0", "w"), word(carol, keep, 1))),
			"a wrong proof burns what it may have guessed at")

		for _, code := range []string{"c1", "c2", "c2"} {
			require.NoError(t, l.SaveReviewCode(t.Context(), org, spring, carol, hashOf(code), noon))
		}
		one := with(plain("c1"), word(carol, keep, 1))
		require.Equal(t, "[1] [] [] 5", heard(t, l, spring, one))
		require.Equal(t, "[] [1] [] 5", heard(t, l, spring, one), "a repeat needs no other code")
		require.Equal(t, "refused", heard(t, l, spring, after(20, with(plain("c1"), word(carol, remove, 1)))),
			"it may have been read on the way")
		require.Equal(t, "refused", heard(t, l, spring, after(20, with(proves("c1", "w"), word(carol, remove, 1)))),
			"and proves nothing any more")
		for _, code := range []string{"c2", "c3"} {
			require.NoError(t, l.SaveReviewCode(t.Context(), org, spring, carol, hashOf("new "+code), noon))
		}
		require.Equal(t, "[2] [] [] 4", heard(t, l, spring, after(21, with(plain("new c2"), word(carol, keep, 2)))),
			"another of hers is good")
		require.Equal(t, "[] [2] [] 4", heard(t, l, spring, after(22, with(plain("new c3"), word(carol, keep, 2)))),
			"what changes nothing")
		require.Equal(t, "refused", heard(t, l, spring, after(23, with(plain("new c3"), word(carol, keep, 3)))),
			"uses the code up all the same")

		require.NoError(t, l.SaveReviewCode(t.Context(), org, spring, carol, hashOf("c4"), noon))
		keep3 := after(30, with(proves("c4", "keep 3"), word(carol, keep, 3)))
		require.Equal(t, "[3] [] [] 3", heard(t, l, spring, keep3))
		require.Equal(t, "[3] [] [] 3",
			heard(t, l, spring, after(31, with(proves("c4", "remove 3"), word(carol, remove, 3)))),
			"a proof leaves the code good")
		was = entriesOf(t, l, spring)
		replayed := keep3
		replayed.At = minutes(32)
		require.Equal(t, "[] [3] [] 3", heard(t, l, spring, replayed), "who plays it again changes nothing")
		replayed.ByEmail = "carol.lee@acme.example"
		require.Equal(t, "[] [3] [] 3", heard(t, l, spring, replayed))
		require.Equal(t, "refused", heard(t, l, spring, after(33, with(keep3.Pass, word(dan, keep, 1)))),
			"it is not his")
		require.Equal(t, was, entriesOf(t, l, spring))
		require.Equal(t, "remove: 1 carol remove", verdicts(t, l, spring, 3))

		require.Equal(t, "refused", heard(t, l, spring, with(proves("c4", "w"), word(eve, keep, 4))))
		batch := hear(t, l, spring, after(40, with(proves("c4", "a"), word(carol, keep, 4))),
			after(40, with(plain("bad"), word(carol, remove, 4))),
			after(40, with(proves("c4", "b"), remark(carol, "so be it", 4))),
			after(40, with(plain("d"), word(dan, keep, 1))))
		require.Equal(t, []error{nil, ledger.ErrCode, nil, nil},
			[]error{batch[0].Err, batch[1].Err, batch[2].Err, batch[3].Err})
		require.Equal(t, "keep: 1 carol keep", verdicts(t, l, spring, 4))
		for _, kind := range []ledger.ReviewMessage{again(carol, 4), handOn(carol, eve, 5), remark(carol, "no", 5)} {
			require.Equal(t, "refused", heard(t, l, spring, after(50, with(plain("bad"), kind))),
				"whatever is said needs one")
		}

		n, err := l.RevokeReviewLinks(t.Context(), org, spring, carol, minutes(55))
		require.NoError(t, err)
		require.Zero(t, n, "she was sent no links")
		require.Equal(t, "refused", heard(t, l, spring, after(60, with(proves("c4", "c"), word(carol, remove, 4)))),
			"revoked")
		require.Equal(t, "[] [3] [] 2", heard(t, l, spring, keep3), "what counted is answered as before")
		entries := entries(t, l, 0)
		for _, e := range entries {
			for _, code := range []string{"c1", "c2", "c3", "c4", "d"} {
				require.NotContains(t, string(e.Body), hashOf(code))
			}
		}
		sound(t, l)
	})
}
