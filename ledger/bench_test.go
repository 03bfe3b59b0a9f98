package ledger_test

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

// onEach runs a benchmark on both databases.
func onEach(b *testing.B, bench func(b *testing.B, l *ledger.Ledger)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, open(b, filepath.Join(b.TempDir(), "castellan.db"))) })
	b.Run("postgres", func(b *testing.B) { bench(b, open(b, postgresURL(b))) })
}

// pageOf is the n-th page of 100 people: 300 lines, and as many holdings that begin.
func pageOf(n int) ledger.Page {
	page := ledger.Page{Key: strconv.Itoa(n), Seen: map[string]int{"src-a": 40, "src-b": 60}}
	for i := range 100 {
		p := person(n*100 + i)
		page.People = append(page.People, p)
		for g := range 3 {
			page.Changes = append(page.Changes, change(p, access.Add, fmt.Sprint("group-", g)))
			page.Open = append(page.Open, held(p, fmt.Sprint("held-", g), true))
		}
	}
	return page
}

func BenchmarkSavePageNew(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			require.NoError(b, l.SavePage(b.Context(), org, "r1", pageOf(n), noon))
		}
	})
}

func BenchmarkSavePageQuiet(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		for n := range 20 {
			require.NoError(b, l.SavePage(b.Context(), org, "r1", pageOf(n), noon))
		}
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			quiet := pageOf(n % 20)
			quiet.Changes, quiet.Open = nil, nil
			require.NoError(b, l.SavePage(b.Context(), org, "r"+strconv.Itoa(2+n/20), quiet, noon))
		}
	})
}

func BenchmarkStates(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		var people []string
		for n := range 20 {
			require.NoError(b, l.SavePage(b.Context(), org, "r1", pageOf(n), noon))
		}
		for i := range 100 {
			people = append(people, person(500+i).ID)
		}
		for b.Loop() {
			states, err := l.States(b.Context(), org, people, noon)
			require.NoError(b, err)
			require.Len(b, states, 100)
		}
	})
}

func BenchmarkChange(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		var lines []access.Change
		for n := 0; b.Loop(); n++ {
			if len(lines) == 0 {
				b.StopTimer()
				page := pageOf(n)
				require.NoError(b, l.SavePage(b.Context(), org, "r1", page, noon))
				lines = page.Changes
				b.StartTimer()
			}
			c := lines[0]
			lines = lines[1:]
			_, err := l.BeginChange(b.Context(), org, "r1", c.Person, c.Target, noon)
			require.NoError(b, err)
			require.NoError(b, l.EndChange(b.Context(), org, "r1", answer(c, access.Done, "200 OK", noon)))
		}
	})
}

// BenchmarkPlanOfAnOrganization measures what a plan of 100,000 lines takes as a whole.
func BenchmarkPlanOfAnOrganization(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		for n := range 333 {
			require.NoError(b, l.SavePage(b.Context(), org, "r1", pageOf(n), noon))
		}
		for _, c := range []struct {
			name string
			do   func() error
		}{
			{"LineStats", func() error { _, err := l.LineStats(b.Context(), org, "r1"); return err }},
			{"Seen", func() error { _, _, err := l.Seen(b.Context(), org, "r1"); return err }},
			{"HashOrder1000", func() error {
				_, err := l.LinesInHashOrder(b.Context(), org, "r1", nil, ledger.Key{Person: person(9000).ID}, 1000)
				return err
			}},
			{"UpdateLines1000", func() error {
				lines, err := l.Lines(b.Context(), org, "r1", ledger.Filter{Limit: 1000})
				if err != nil {
					return err
				}
				for i := range lines {
					lines[i].State, lines[i].At = access.Held, noon.Add(time.Minute)
				}
				return l.UpdateLines(b.Context(), org, "r1", lines)
			}},
		} {
			b.Run(c.name, func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, c.do())
				}
			})
		}
	})
}

// BenchmarkOpenGrants measures questions about 5,000 people who hold something for a while.
func BenchmarkOpenGrants(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		var people []string
		for n := range 5000 {
			g := lease(fmt.Sprint("g-", n))
			g.Person, g.Email = person(n).ID, person(n).Email
			_, _, err := l.RequestGrant(b.Context(), org, g)
			require.NoError(b, err)
			if n < 100 {
				people = append(people, g.Person)
			}
		}
		for _, c := range []struct {
			name string
			do   func() error
		}{
			{"GrantsOf", func() error {
				_, err := l.GrantsOf(b.Context(), org, "person.04000@acme.example", access.OrgAdmin)
				return err
			}},
			{"States100", func() error { _, err := l.States(b.Context(), org, people, noon); return err }},
			{"Grants100", func() error {
				_, err := l.Grants(b.Context(), org, ledger.GrantFilter{Unsettled: true, Limit: 100})
				return err
			}},
			{"Lapsed100", func() error {
				_,
					err := l.OverdueGrants(b.Context(), org, noon.Add(3*time.Hour), 100)
				return err
			}},
			{"RequestGrant", func() error {
				g := lease(rand.Text())
				g.Person, g.Email = g.ID, g.ID+"@acme.example"
				_, _, err := l.RequestGrant(b.Context(), org, g)
				return err
			}},
		} {
			b.Run(c.name, func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, c.do())
				}
			})
		}
	})
}
