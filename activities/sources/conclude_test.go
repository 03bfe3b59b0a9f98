package sources

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/policy/window"
	"github.com/castellan-io/castellan/source"
)

// limited is a source of which a part is read.
type limited struct {
	*asked
	outside func() (bool, error)
}

func (l *limited) Outside(context.Context, string) (bool, error) { return l.outside() }

// TestReadConcludesWhatALookUpSays: two complete reads that do not show somebody prove nothing by themselves. Whom a
// look-up shows is still there, as it shows them, unless the source itself says that they are outside of what is read.
func TestReadConcludesWhatALookUpSays(t *testing.T) {
	t.Parallel()
	no := false
	shows := func(i source.Identity) func() (source.Identity, error) {
		return func() (source.Identity, error) { i.Key = "ana"; return i, nil }
	}
	there := shows(source.Identity{Attributes: map[string]any{"mail": "ana@acme.example", "site": "here"}})
	says := func(err error) func() (source.Identity, error) {
		return func() (source.Identity, error) { return source.Identity{}, err }
	}
	for name, c := range map[string]struct {
		answer   func() (source.Identity, error)
		outside  func() (bool, error) // nil: the source is read whole
		state    string
		enabled  *bool
		touched  bool
		unproved int
	}{
		"gone":     {answer: says(source.ErrGone), state: ledger.StateGone, touched: true},
		"an error": {answer: says(errors.New("down")), state: ledger.StateMissing},
		"there":    {answer: there, state: ledger.StateMissing, unproved: 1},
		"there, and disabled": {answer: shows(source.Identity{Enabled: &no}), state: ledger.StateMissing, enabled: &no,
			touched: true, unproved: 1},
		"there, and others know more": {answer: shows(source.Identity{Attributes: map[string]any{"site": "away"}}),
			state: ledger.StateMissing, touched: true, unproved: 1},
		"outside": {answer: there, outside: func() (bool, error) { return true, nil }, state: ledger.StateOutOfScope,
			touched: true},
		"inside": {answer: there, outside: func() (bool, error) { return false, nil }, state: ledger.StateMissing,
			unproved: 1},
		"outside, perhaps": {answer: there, outside: func() (bool, error) { return true, errors.New("down") },
			state: ledger.StateMissing, unproved: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			l, err := ledger.Open(ctx, "file:"+t.TempDir()+"/ledger.db")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, l.Close()) })
			from := &asked{answer: c.answer}
			w := &watch{Session: &session.Session{Env: session.NewEnv(session.Options{Ledger: l}), Org: "acme",
				Policy: &policy.Policy{}}, spec: &provision.Source{Name: "hr", Every: window.Duration(time.Hour)},
				source: from}
			w.email, err = attribute.CompileValue("mail")
			require.NoError(t, err)
			if c.outside != nil {
				w.source = &limited{from, c.outside}
			}
			r := &read{watch: w}
			row, err := r.row(source.Identity{Key: "ana", Attributes: map[string]any{"mail": "ana@acme.example",
				"site": "here"}})
			require.NoError(t, err)
			for n := range 3 {
				at := time.Now().Add(time.Duration(n-3) * time.Minute)
				number, err := l.BeginSourceRead(ctx, "acme", "hr", at)
				require.NoError(t, err)
				end := ledger.End{MissingPeople: []string{"ana"}}
				if n == 0 {
					end.MissingPeople = nil
					_, err = l.SaveIdentities(ctx, "acme", "hr", number, []ledger.Identity{row}, at)
					require.NoError(t, err)
				}
				require.NoError(t, l.EndSourceRead(ctx, "acme", "hr", number, end, at))
			}
			w.state, err = l.Source(ctx, "acme", "hr")
			require.NoError(t, err)
			_, before, err := l.Touched(ctx, "acme", "hr", 0)
			require.NoError(t, err)

			require.NoError(t, r.conclude(ctx))
			found, err := l.Identities(ctx, "acme", []ledger.Ref{{Source: "hr", Key: "ana"}})
			require.NoError(t, err)
			require.Equal(t, c.state, found[0].State)
			require.Equal(t, c.enabled, found[0].Enabled)
			touched, _, err := l.Touched(ctx, "acme", "hr", before)
			require.NoError(t, err)
			require.Equal(t, c.touched, len(touched.Unbound) > 0)
			require.Len(t, w.unproved, c.unproved)
			at, err := w.due(ctx)
			require.NoError(t, err)
			soon := at.Before(w.state.ReadAt.Add(time.Minute))
			require.Equal(t, c.state == ledger.StateMissing && c.unproved == 0, soon,
				"only what a read may still prove is read for sooner")
		})
	}
}
