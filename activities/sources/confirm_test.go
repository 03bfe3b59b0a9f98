package sources

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/source"
)

// asked is a source that answers look-ups.
type asked struct {
	source.Source
	keys   []string
	answer func() (source.Identity, error)
}

func (a *asked) Lookup(_ context.Context, key string) (source.Identity, error) {
	a.keys = append(a.keys, key)
	return a.answer()
}

// TestReadConfirmsWhoIsDisabled: who counted as enabled and is shown as disabled is asked for once more, and is
// disabled only if the source says so again, or knows nobody by the key.
func TestReadConfirmsWhoIsDisabled(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, c := range map[string]struct {
		answer   func() (source.Identity, error)
		disabled bool
	}{
		"disabled": {func() (source.Identity, error) { return source.Identity{Enabled: &no}, nil }, true},
		"gone":     {func() (source.Identity, error) { return source.Identity{}, source.ErrGone }, true},
		"enabled":  {func() (source.Identity, error) { return source.Identity{Enabled: &yes}, nil }, false},
		"unknown":  {func() (source.Identity, error) { return source.Identity{}, nil }, false},
		"an error": {func() (source.Identity, error) { return source.Identity{}, errors.New("down") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := ledger.Open(t.Context(), "file:"+t.TempDir()+"/ledger.db")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, l.Close()) })
			_, err = l.SaveIdentities(t.Context(), "acme", "hr", 0, []ledger.Identity{{Key: "was", Enabled: &no},
				{Key: "ana", Enabled: &yes}}, time.Time{})
			require.NoError(t, err)
			from := &asked{answer: c.answer}
			r := &read{watch: &watch{Session: &session.Session{Env: session.NewEnv(session.Options{Ledger: l}), Org: "acme"},
				spec: &provision.Source{Name: "hr"}, source: from}}

			rows, err := r.confirmDisabled(t.Context(), []ledger.Identity{{Source: "hr", Key: "ana", Enabled: &no},
				{Source: "hr", Key: "bo", Enabled: &yes}, {Source: "hr", Key: "new", Enabled: &no},
				{Source: "hr", Key: "was", Enabled: &no}})
			require.NoError(t, err)
			require.Equal(t, []string{"ana"}, from.keys, "new ones, and those who were disabled already, lose nothing")
			var kept []string
			for _, row := range rows {
				kept = append(kept, row.Key)
			}
			want := []string{"bo", "new", "was"}
			if c.disabled {
				want = append([]string{"ana"}, want...)
			}
			require.Equal(t, want, kept)
		})
	}
}
