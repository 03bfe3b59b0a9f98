package ledger_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func entry(n int) ledger.Entry {
	return ledger.Entry{
		Org: org, At: noon.Add(time.Duration(n) * time.Second), Kind: "grant", Run: "r1", Person: fmt.Sprint("p", n%3),
		Target: group(fmt.Sprint("g", n%2)),
		Body:   json.RawMessage(fmt.Sprintf(`{ "n": %d, "why": "<ünïcode> & more" }`, n)),
	}
}

func appended(t testing.TB, l *ledger.Ledger, n int) []ledger.Entry {
	t.Helper()
	var all []ledger.Entry
	for i := range n {
		e, err := l.Append(t.Context(), entry(i))
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

// strangersSum is the hash as the package comment describes it, written without the package.
func strangersSum(e ledger.Entry) string {
	var text string
	for _, field := range []string{
		e.Prev, e.Org, fmt.Sprint(e.Seq), fmt.Sprint(e.At.UnixMicro()), e.Kind, e.Run, e.Person, string(e.Target),
		string(e.Body),
	} {
		text += fmt.Sprintf("%d:%s\n", len(field), field)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
}

func TestAStrangerCanCheckTheChain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		seq, hash, err := l.Head(t.Context(), org)
		require.NoError(t, err)
		require.Zero(t, seq)
		require.Empty(t, hash)
		want := appended(t, l, 5)
		got, err := l.Entries(t.Context(), org, 0, 0)
		require.NoError(t, err)
		require.Equal(t, want, got)
		prev := ""
		for i, e := range got {
			require.Equal(t, int64(i+1), e.Seq)
			require.Equal(t, prev, e.Prev)
			require.Equal(t, strangersSum(e), e.Hash)
			prev = e.Hash
		}
		require.Equal(t, "sha256:e1bed9af3201fa866bc341ba981141aa0b73ab5cf683de9d3d93c1f489ed3de3", fixedEntry().Sum(),
			"the encoding may never change: stored chains stand on it")
		some, err := l.Entries(t.Context(), org, 2, 2)
		require.NoError(t, err)
		require.Equal(t, want[2:4], some)
	})
}

func fixedEntry() ledger.Entry {
	return ledger.Entry{
		Org: org, Seq: 7, At: noon, Kind: ledger.EntryChange, Run: "r1", Person: "712020:f-1", Target: access.OrgAdmin,
		Body: json.RawMessage(`{"state":"done"}`), Prev: "sha256:00",
	}
}

func TestAppendingAgainReturnsTheSameEntry(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		all := appended(t, l, 3)
		again, err := l.Append(t.Context(), entry(1))
		require.NoError(t, err)
		require.Equal(t, all[1], again)
		bare, err := l.Append(t.Context(), ledger.Entry{Org: org, Kind: "note", At: noon})
		require.NoError(t, err)
		require.Equal(t, int64(4), bare.Seq)
		require.JSONEq(t, `{}`, string(bare.Body))
		_, err = l.Append(t.Context(), ledger.Entry{Org: org, Kind: "note", Body: json.RawMessage(`{`)})
		require.ErrorContains(t, err, "not JSON")
		dirty, err := l.Append(t.Context(), ledger.Entry{Org: org, Kind: "note", Person: "a\x00\xffb", At: noon})
		require.NoError(t, err)
		require.Equal(t, "a\uFFFDb", dirty.Person)
		sound(t, l)
	})
}

func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, statement string
		seq             int64
		why             string
	}{
		{"body", `UPDATE entries SET body = '{"n":40}' WHERE seq = 5`, 5, "was changed"},
		{"instant", `UPDATE entries SET at = at + 1 WHERE seq = 5`, 5, "was changed"},
		{"person", `UPDATE entries SET person = 'p9' WHERE seq = 1`, 1, "was changed"},
		{"field moved", `UPDATE entries SET run = '', person = 'r1' || person WHERE seq = 5`, 5, "was changed"},
		{"own hash", `UPDATE entries SET hash = 'sha256:00' WHERE seq = 5`, 5, "was changed"},
		{"link", `UPDATE entries SET prev = 'sha256:00' WHERE seq = 5`, 5, "came before it"},
		{"removed", `DELETE FROM entries WHERE seq = 5`, 5, "is missing"},
		{"first removed", `DELETE FROM entries WHERE seq = 1`, 1, "is missing"},
		{"end removed", `DELETE FROM entries WHERE seq > 8`, 9, "should go on to entry 10"},
		{"all removed", `DELETE FROM entries`, 1, "should go on to entry 10"},
		{"head moved back", `UPDATE heads SET seq = 9, hash = (SELECT hash FROM entries WHERE seq = 9)`, 10,
			"not the ledger's"},
		{"head's hash", `UPDATE heads SET hash = 'sha256:00'`, 10, "head says"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				appended(t, l, 10)
				sound(t, l)
				n, err := l.Exec(t.Context(), c.statement)
				require.NoError(t, err)
				require.NotZero(t, n)
				for _, block := range []int{1, 3, 4, 10, 100} {
					broken := verified(t, l, block)
					require.NotNil(t, broken, "blocks of %d", block)
					require.Contains(t, broken.Why, c.why)
					require.Equal(t, c.seq, broken.Seq)
				}
			})
		})
	}
}

// verified walks the chain in blocks, as a caller that must give signs of life does.
func verified(t testing.TB, l *ledger.Ledger, block int) *ledger.Broken {
	t.Helper()
	for from := int64(1); ; {
		check, err := l.VerifyChain(t.Context(), org, from, block)
		require.NoError(t, err)
		require.Equal(t, from, check.From)
		if check.Broken != nil || !check.More {
			return check.Broken
		}
		require.Equal(t, from+int64(block)-1, check.To)
		from = check.To + 1
	}
}

func TestChainIsVerifiedInBlocks(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		check, err := l.VerifyChain(t.Context(), org, 0, 10)
		require.NoError(t, err)
		require.Equal(t, ledger.Check{From: 1, To: 0}, check)
		all := appended(t, l, 7)
		for _, block := range []int{1, 2, 3, 7, 8} {
			require.Nil(t, verified(t, l, block))
		}
		check, err = l.VerifyChain(t.Context(), org, 3, 2)
		require.NoError(t, err)
		require.Equal(t, ledger.Check{From: 3, To: 4, Head: all[3].Hash, More: true}, check)
		check, err = l.VerifyChain(t.Context(), org, 8, 2)
		require.NoError(t, err)
		require.Equal(t, ledger.Check{From: 8, To: 7, Head: all[6].Hash}, check)
		check, err = l.VerifyChain(t.Context(), org, 20, 2)
		require.NoError(t, err)
		require.NotNil(t, check.Broken, "nobody wrote an entry 19")
	})
}

func TestChainHoldsWhileItGrows(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var wait sync.WaitGroup
		wait.Go(func() {
			for i := range 40 {
				_, err := l.Append(t.Context(), entry(i))
				if err != nil {
					t.Error(err)
				}
			}
		})
		for range 20 {
			require.Nil(t, verified(t, l, 7))
		}
		wait.Wait()
		require.Nil(t, verified(t, l, 7))
	})
}

func TestHistoryIsNewestFirst(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		all := appended(t, l, 12)
		for _, c := range []struct {
			person string
			target access.Entitlement
			limit  int
			want   []int
		}{
			{"p1", "", 0, []int{10, 7, 4, 1}},
			{"p1", "", 2, []int{10, 7}},
			{"p1", group("g0"), 0, []int{10, 4}},
			{"", group("g1"), 3, []int{11, 9, 7}},
			{"p7", "", 0, nil},
		} {
			got, err := l.History(t.Context(), org, c.person, c.target, c.limit)
			require.NoError(t, err)
			var want []ledger.Entry
			for _, i := range c.want {
				want = append(want, all[i])
			}
			require.Equal(t, want, got)
		}
		_, err := l.History(t.Context(), org, "", "", 1)
		require.ErrorContains(t, err, "name a person")
	})
}
