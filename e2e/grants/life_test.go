package grants_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
)

const openGrants = `
grants:
  - {name: admins, targets: ["role:org-admin"], duration: {max: 1h}}
  - {name: site, targets: ["group:site-admins", "group:builders"], duration: {max: 1h}}
`

// A grant begins, is seen to be given, ends by itself, and is read back before its workflow is over.
func TestAGrantBeginsAndEnds(t *testing.T) {
	t.Parallel()
	w := start(t, openGrants)
	for _, c := range []struct{ target, what string }{{"group:site-admins", "group:site-admins"}, {"role:org-admin", "role:org-admin"}} {
		require.NoError(t, w.Simulator.ResetStats(t.Context()))
		answer, err := w.ask("carol", "group:site-admins", 6*time.Second)
		require.NoError(t, err)
		w.until(answer.Workflow, is(messages.GrantOver))
		spans := w.held("carol", c.what)
		require.Len(t, spans, 1)
		until := answer.Grants[0].Until
		require.False(t, spans[0][1].IsZero(), "it was not taken back")
		require.False(t, spans[0][1].Before(until), "it was taken back early: %s before %s", spans[0][1], until)
		t.Logf("given %s after it began, taken back %s after its end", spans[0][0].Sub(answer.Grants[0].From), spans[0][1].Sub(until))
		stats, err := w.Simulator.Stats(t.Context())
		require.NoError(t, err)
		t.Logf("%+v", stats.ByOperation)
		break
	}
}
