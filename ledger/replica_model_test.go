package ledger_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/ledger"
)

// TestReplicaOfGroups lets reads end, break and show less in any order, and conclusions come between them, and compares
// the ledger with a model. Whatever they do: a membership that the last complete read showed stays, and one goes only
// after two complete reads without it, settle apart.
func TestReplicaOfGroups(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, l *ledger.Ledger) {
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			m := replicaModel{t: r, l: l, org: fmt.Sprint("org-", n), now: noon, groups: map[string]*modelGroup{},
				absent: map[membership][]time.Time{}}
			for range 20 {
				m.now = m.now.Add(time.Duration(rapid.IntRange(0, 3).Draw(r, "minutes")) * time.Minute)
				switch rapid.SampledFrom([]string{"complete", "again", "broken", "suspect", "conclude"}).Draw(r, "step") {
				case "complete":
					m.complete("")
				case "again":
					for range 2 {
						m.again = true
						m.complete("")
					}
				case "suspect":
					m.complete("fewer people")
				case "broken":
					m.broken()
				case "conclude":
					m.conclude(time.Duration(rapid.IntRange(0, 5).Draw(r, "settle")) * time.Minute)
				}
				m.compare()
			}
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, filepath.Join(t.TempDir(), "castellan.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, postgresURL(t)))
	})
}

// replicaModel is what the replica should be.
type replicaModel struct {
	t   *rapid.T
	l   *ledger.Ledger
	org string
	now time.Time

	drawn   shown
	again   bool
	last    int64 // number of the last complete read
	lastAt  time.Time
	suspect bool
	groups  map[string]*modelGroup

	shown  map[membership]bool        // by the last complete read
	absent map[membership][]time.Time // of each that is stored: the complete reads without it since one showed it
}

type membership struct{ group, member string }

// mark is the first complete read that did not show something; read 0: all do.
type mark struct {
	read int64
	at   time.Time
}

type modelGroup struct {
	mark
	members map[string]mark
}

// draw draws what a read shows: now and then what the last one did, also if that broke.
func (m *replicaModel) draw() shown {
	if m.again && m.drawn.people != nil {
		m.again = false
		return m.drawn
	}
	s := shown{people: identities(1, 2)}
	for _, name := range []string{"dev", "ops"} {
		if rapid.IntRange(0, 4).Draw(m.t, "shows "+name) > 0 {
			s.groups = append(s.groups, sourceGroup(name,
				rapid.SliceOfNDistinct(rapid.IntRange(1, 2), 0, 2, rapid.ID[int]).Draw(m.t, name)...))
		}
	}
	m.drawn = s
	return s
}

func (m *replicaModel) complete(suspect string) {
	s := m.draw()
	number, _ := read(m.t, m.l, m.org, s, suspect, m.now)
	m.show(s)
	m.last, m.lastAt, m.suspect = number, m.now, suspect != ""
	m.shown = map[membership]bool{}
	first := mark{number, m.now}
	for key, g := range m.groups {
		at := slices.IndexFunc(s.groups, func(o ledger.SourceGroup) bool { return o.Key == key })
		if at < 0 && g.mark == (mark{}) {
			g.mark = first
		}
		for member, is := range g.members {
			in := at >= 0 && slices.Contains(s.groups[at].Members, member)
			if in {
				m.shown[membership{key, member}] = true
			} else {
				m.absent[membership{key, member}] = append(m.absent[membership{key, member}], m.now)
			}
			if at >= 0 && !in && is == (mark{}) {
				g.members[member] = first
			}
		}
	}
}

// show notes what a read shows, whether it ends or not.
func (m *replicaModel) show(s shown) {
	for _, g := range s.groups {
		if m.groups[g.Key] == nil {
			m.groups[g.Key] = &modelGroup{members: map[string]mark{}}
		}
		m.groups[g.Key].mark = mark{}
		for _, member := range g.Members {
			m.groups[g.Key].members[member] = mark{}
			delete(m.absent, membership{g.Key, member})
		}
	}
}

// broken shows all or a part, and does not end.
func (m *replicaModel) broken() {
	s := m.draw()
	if len(s.groups) > 0 && rapid.Bool().Draw(m.t, "shows a part") {
		s.groups = s.groups[1:]
	}
	number, err := m.l.BeginSourceRead(m.t.Context(), m.org, corp, m.now)
	require.NoError(m.t, err)
	_, err = m.l.SaveSourceGroups(m.t.Context(), m.org, corp, number, s.groups, m.now)
	require.NoError(m.t, err)
	m.show(s)
	if rapid.Bool().Draw(m.t, "says so") {
		require.NoError(m.t, m.l.FailSourceRead(m.t.Context(), m.org, corp, number, "unavailable", "", m.now))
	}
}

func (m *replicaModel) conclude(settle time.Duration) {
	before := m.lastAt.Add(-settle)
	stored := m.stored()
	_, err := m.l.ConcludeMissing(m.t.Context(), m.org, corp, before)
	require.NoError(m.t, err)
	now := m.stored()
	for one := range stored {
		if now[one] {
			continue
		}
		reads := m.absent[one]
		require.False(m.t, m.shown[one] || m.suspect, "%v", one)
		require.GreaterOrEqual(m.t, len(reads), 2, "%v", one)
		require.GreaterOrEqual(m.t, reads[len(reads)-1].Sub(reads[0]), settle, "%v", one)
	}
	if m.suspect {
		return
	}
	ripe := func(is mark) bool { return is.read > 0 && is.read < m.last && !is.at.After(before) }
	for key, g := range m.groups {
		if ripe(g.mark) {
			delete(m.groups, key)
			continue
		}
		maps.DeleteFunc(g.members, func(_ string, is mark) bool { return ripe(is) })
	}
}

// stored are the memberships in the ledger.
func (m *replicaModel) stored() map[membership]bool {
	var refs []ledger.Ref
	for n := range 3 {
		refs = append(refs, ledger.Ref{Source: corp, Key: key(n)})
	}
	found, err := m.l.Identities(m.t.Context(), m.org, refs)
	require.NoError(m.t, err)
	all := map[membership]bool{}
	for _, i := range found {
		for _, g := range i.Groups {
			all[membership{g.Key, i.Key}] = true
		}
	}
	return all
}

func (m *replicaModel) compare() {
	if m.last == 0 {
		return // nobody was shown yet
	}
	want, keys := map[membership]bool{}, []string(nil)
	for key, g := range m.groups {
		keys = append(keys, key)
		for member := range g.members {
			want[membership{key, member}] = true
		}
	}
	require.Equal(m.t, want, m.stored())
	groups, err := m.l.SourceGroupsOf(m.t.Context(), m.org)
	require.NoError(m.t, err)
	var are []string
	for _, g := range groups {
		are = append(are, g.Key)
		require.Len(m.t, m.groups[g.Key].members, g.Members)
	}
	require.ElementsMatch(m.t, keys, are)
}
