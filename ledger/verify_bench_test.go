package ledger_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

// longChain makes a chain of some 100,000 entries: answers to changes with their holdings, and grants that come and go.
func longChain(b *testing.B, l *ledger.Ledger) {
	b.Helper()
	_, err := l.SavePolicy(b.Context(),
		ledger.PolicyVersion{Org: org, Hash: "p1", Body: []byte("{}"), OrgID: "org-1", At: noon})
	require.NoError(b, err)
	for n := range 92 {
		run := fmt.Sprintf("r%d", n)
		var changes, answers []access.Change
		for i := range 1000 {
			c := change(person(n*1000+i), access.Add, "dev")
			changes, answers = append(changes, c), append(answers, answer(c, access.Done, "", noon))
		}
		require.NoError(b, l.SavePage(b.Context(), org, run, ledger.Page{Key: "1", Changes: changes}, noon))
		for i := range 1000 { // in step: each answer by itself, as runs record them, for one in a hundred
			if i%100 == 0 {
				require.NoError(b, l.EndChange(b.Context(), org, run, answers[i]))
			}
		}
		require.NoError(b, l.RecordLines(b.Context(), org, run, answers))
	}
	for n := range 1500 {
		g := lease(fmt.Sprintf("g%d", n))
		g.State = access.GrantGranted
		request(b, l, g)
		_, err := l.EndGrant(b.Context(), org, g.ID, "ana", "", noon.Add(time.Minute))
		require.NoError(b, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		longChain(b, l)
		seq, _, err := l.Head(b.Context(), org)
		require.NoError(b, err)
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			for from := int64(1); ; {
				check, err := l.VerifyChain(b.Context(), org, from, 5000)
				require.NoError(b, err)
				require.Nil(b, check.Broken)
				if from = check.To + 1; !check.More {
					break
				}
			}
			chain := time.Since(start)
			peak := uint64(0)
			check, err := l.VerifyRows(b.Context(), org, func(int64) {
				runtime.ReadMemStats(&after)
				peak = max(peak, after.HeapInuse)
			})
			require.NoError(b, err)
			require.Empty(b, check.First)
			b.ReportMetric(float64(seq), "entries")
			b.ReportMetric(float64(check.Rows), "rows")
			b.ReportMetric(chain.Seconds(), "s/chain")
			b.ReportMetric((time.Since(start) - chain).Seconds(), "s/rows")
			b.ReportMetric(float64(peak)/1e6, "MB-heap")
		}
	})
}
