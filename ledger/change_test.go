package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func begin(t testing.TB, l *ledger.Ledger, c access.Change, at time.Time) access.Change {
	t.Helper()
	before, err := l.BeginChange(t.Context(), org, "r1", c.Person, c.Target, at)
	require.NoError(t, err)
	return before
}

func TestAnInterruptedWriteIsKnownAfterwards(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		dev := change(person(1), access.Add, "dev")
		plan(t, l, "r1", dev)
		require.Equal(t, dev, begin(t, l, dev, noon), "the first attempt sees a planned line")
		// The worker dies here: nobody knows whether the API took the write.
		again := begin(t, l, dev, noon.Add(time.Minute))
		require.Equal(t, access.Sent, again.State)
		require.NoError(t, l.EndChange(t.Context(), org, "r1",
			answer(dev, access.Already, "409", noon.Add(time.Minute))))
		require.True(t, holdings(t, l, dev.Person, noon.Add(time.Hour))[0].Owned,
			"the earlier attempt may have made it")
		require.Equal(t, access.Already, begin(t, l, dev, noon.Add(time.Hour)).State)
		line, err := l.Line(t.Context(), org, "r1", dev.Person, dev.Target)
		require.NoError(t, err)
		require.Equal(t, answer(dev, access.Already, "409", noon.Add(time.Minute)), line,
			"a line with an answer is not begun again")
		_, err = l.BeginChange(t.Context(), org, "r1", "nobody", dev.Target, noon)
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
}

// A change is answered and the next one begun in one transaction: of each, as if it were done alone.
func TestAnswerAndBeginningOfTheNextAreOne(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		dev, ops := change(person(1), access.Add, "dev"), change(person(2), access.Add, "dev")
		held := change(person(3), access.Add, "dev")
		held.State = access.Held
		plan(t, l, "r1", dev, ops, held)
		begin(t, l, dev, noon)
		may := func(is bool) func(access.Change) bool { return func(access.Change) bool { return is } }
		next := func(done, next access.Change, is bool) *access.Change {
			before, err := l.EndAndBegin(t.Context(), org, "r1", answer(done, access.Done, "accepted", noon), next.Person,
				next.Target, noon, may(is))
			require.NoError(t, err)
			return before
		}
		state := func(c access.Change) access.ChangeState {
			line, err := l.Line(t.Context(), org, "r1", c.Person, c.Target)
			require.NoError(t, err)
			return line.State
		}
		require.Equal(t, &held, next(dev, held, true))
		require.Equal(t, &ops, next(dev, ops, false), "an answer may be repeated")
		require.Equal(t, []access.ChangeState{access.Done, access.Planned, access.Held},
			[]access.ChangeState{state(dev), state(ops), state(held)})
		require.Equal(t, &ops, next(dev, ops, true))
		require.Equal(t, access.Sent, state(ops))
		require.Nil(t, next(dev, change(person(9), access.Add, "dev"), true), "there is no such line")
		require.NoError(t, l.CancelChange(t.Context(), org, "r1", ops.Person, ops.Target))
		require.Equal(t, access.Planned, state(ops))

		_, err := l.EndAndBegin(t.Context(), org, "r1", answer(dev, access.Refused, "no", noon), ops.Person, ops.Target, noon,
			may(true))
		require.ErrorIs(t, err, ledger.ErrAnswered)
		require.Equal(t, access.Planned, state(ops), "neither or both")
		require.Len(t, holdings(t, l, dev.Person, noon.Add(time.Hour)), 1)
	})
}

func TestHeldLinesAreNotBegun(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		dev := change(person(1), access.Add, "dev")
		dev.State = access.Held
		plan(t, l, "r1", dev)
		require.Equal(t, dev, begin(t, l, dev, noon.Add(time.Minute)))
		require.Equal(t, dev, begin(t, l, dev, noon.Add(time.Minute)))
	})
}

func TestAnswersMakeHoldingsAndEntries(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for i, c := range []struct {
			action access.Action
			state  access.ChangeState
			before string // what is held before
			after  string
			entry  bool
		}{
			{access.Add, access.Done, "", "owned", true},
			{access.Add, access.Done, "foreign", "owned", true},
			{access.Add, access.Already, "", "foreign", true},
			{access.Add, access.Already, "foreign", "foreign", true},
			{access.Add, access.Already, "owned", "owned", true},
			{access.Add, access.Shortage, "", "", true},
			{access.Add, access.Refused, "", "", true},
			{access.Add, access.Failed, "", "", true},
			{access.Add, access.Superseded, "", "", false},
			{access.Adopt, access.Done, "foreign", "owned", true},
			{access.Remove, access.Done, "owned", "", true},
			{access.Remove, access.Done, "foreign", "", true},
			{access.Remove, access.Already, "owned", "", true},
			{access.Remove, access.Already, "", "", true},
			{access.Remove, access.Refused, "owned", "owned", true},
			{access.Remove, access.Superseded, "owned", "owned", false},
		} {
			name := fmt.Sprintf("%s %s with %q before", c.action, c.state, c.before)
			p := person(i)
			page := ledger.Page{Key: name, People: []access.Person{p},
				Changes: []access.Change{change(p, c.action, "dev")}}
			if c.before != "" {
				page.Open = []access.Holding{held(p, "dev", c.before == "owned")}
			}
			require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon.Add(-time.Hour)))
			line := answer(change(p, c.action, "dev"), c.state, "said", noon)
			begin(t, l, line, noon)
			seq, _, err := l.Head(t.Context(), org)
			require.NoError(t, err)
			for range 2 {
				require.NoError(t, l.EndChange(t.Context(), org, "r1", line), name)
			}
			after := ""
			for _, h := range holdings(t, l, p.ID, noon) {
				require.Empty(t, after, name)
				after = map[bool]string{true: "owned", false: "foreign"}[h.Owned]
			}
			require.Equal(t, c.after, after, name)
			entries := entries(t, l, seq)
			if !c.entry {
				require.Empty(t, entries, name)
				continue
			}
			require.Len(t, entries, 1, name)
			require.Equal(t, ledger.EntryChange, entries[0].Kind)
			require.Equal(t, p.ID, entries[0].Person)
			require.NotContains(t, string(entries[0].Body), p.Email, "the chain names people by account id only")
			require.JSONEq(t, fmt.Sprintf(`{"action":%q,"state":%q,"groupId":"gid-dev","sources":["src-dev"],"answer":"said",
				"reasons":[{"kind":"mapping","name":"dev","source":"src-dev"}]}`, c.action, c.state), string(entries[0].Body))
		}
		sound(t, l)
	})
}

func TestAnswersThatFollowAnother(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for i, c := range []struct {
			first, second, stands access.ChangeState
			problem               bool
		}{
			{access.Done, access.Already, access.Done, false},
			{access.Already, access.Done, access.Already, false},
			{access.Done, access.Failed, access.Done, true},
			{access.Done, access.Refused, access.Done, true},
			{access.Refused, access.Done, access.Done, false},
			{access.Shortage, access.Done, access.Done, false},
			{access.Superseded, access.Done, access.Done, false},
			{access.Failed, access.Done, access.Done, false},
			{access.Failed, access.Refused, access.Refused, false},
			{access.Shortage, access.Refused, access.Shortage, true},
			{access.Done, access.Planned, access.Done, true},
			{access.Done, "", access.Done, true},
		} {
			name := fmt.Sprintf("%s then %s", c.first, c.second)
			dev := change(person(i), access.Add, "dev")
			plan(t, l, "r1", dev)
			require.NoError(t, l.EndChange(t.Context(), org, "r1", answer(dev, c.first, "1", noon)), name)
			err := l.EndChange(t.Context(), org, "r1", answer(dev, c.second, "2", noon.Add(time.Second)))
			require.Equal(t, c.problem, err != nil, name)
			line, err := l.Line(t.Context(), org, "r1", dev.Person, dev.Target)
			require.NoError(t, err)
			require.Equal(t, c.stands, line.State, name)
		}
		dev := change(person(0), access.Add, "dev")
		require.ErrorIs(t, l.EndChange(t.Context(), org, "r1", answer(dev, access.Failed, "", noon)),
			ledger.ErrAnswered)
		unknown := change(person(0), access.Add, "unknown")
		require.ErrorIs(t, l.EndChange(t.Context(), org, "r1", answer(unknown, access.Done, "", noon)),
			ledger.ErrNotFound)
	})
}

func TestManyAnswersAreRecordedTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var changes, answers []access.Change
		for n := range 1100 {
			c := change(person(n), access.Adopt, "dev")
			changes = append(changes, c)
			answers = append(answers, answer(c, access.Done, "", noon))
		}
		plan(t, l, "r1", changes...)
		unknown := answer(change(person(5000), access.Add, "dev"), access.Done, "", noon)
		require.ErrorIs(t, l.RecordLines(t.Context(), org, "r1", append(answers[:len(answers):len(answers)], unknown)),
			ledger.ErrNotFound)
		require.Empty(t, kinds(t, l))
		for range 2 {
			require.NoError(t, l.RecordLines(t.Context(), org, "r1", answers))
		}
		require.Len(t, entries(t, l, 0), 1100)
		holders, err := l.HoldingsAt(t.Context(), org, "", group("dev"), noon)
		require.NoError(t, err)
		require.Len(t, holders, 1100)
		sound(t, l)
	})
}

func TestWritersAtTheSameTimeKeepOneChain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var changes []access.Change
		for n := range 60 {
			changes = append(changes, change(person(n%20), access.Add, fmt.Sprint("g", n/20)))
		}
		plan(t, l, "r1", changes...)
		var wait sync.WaitGroup
		errs := make(chan error, 4*len(changes))
		for worker := range 4 { // each answer is recorded by two workers, and each worker begins elsewhere
			wait.Go(func() {
				for i := range changes {
					c := changes[(i+worker*15)%len(changes)]
					if (c.Person[len(c.Person)-1]+byte(worker))%2 == 0 {
						continue
					}
					_, err := l.BeginChange(t.Context(), org, "r1", c.Person, c.Target, noon)
					errs <- err
					errs <- l.EndChange(t.Context(), org, "r1", answer(c, access.Done, "200", noon))
				}
			})
		}
		wait.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		require.Len(t, entries(t, l, 0), 60)
		sound(t, l)
	})
}

func TestWhatWasWrittenCanBeAsked(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		add, early, late := change(person(1), access.Add, "dev"), change(person(2), access.Remove, "dev"),
			change(person(3), access.Remove, "dev")
		found, tried, role := change(person(4), access.Add, "dev"), change(person(5), access.Add, "dev"),
			change(person(6), access.Add, "x")
		adopted, kept := change(person(7), access.Adopt, "dev"), change(person(8), access.Add, "dev")
		role.Target, role.GroupID = access.OrgAdmin, ""
		record, also := change(person(9), access.Update, "x"), change(person(6), access.Update, "x")
		record.Target, record.GroupID = access.RecordTarget("staff"), ""
		also.Target, also.GroupID = record.Target, ""
		plan(t, l, "r1", add, early, late, found, tried, role, adopted, kept, record, also)
		for _, c := range []access.Change{
			answer(add, access.Done, "", noon), answer(early, access.Done, "", noon.Add(-time.Hour)),
			answer(late, access.Done, "", noon),
			answer(found, access.Already, "", noon), answer(role, access.Done, "", noon),
			answer(adopted, access.Done, "", noon), answer(record, access.Done, "", noon),
			answer(also, access.Done, "", noon.Add(time.Second)),
		} {
			begin(t, l, c, c.At)
			require.NoError(t, l.EndChange(t.Context(), org, "r1", c))
		}
		begin(t, l, tried, noon)
		begin(t, l, tried, noon)
		require.NoError(t, l.EndChange(t.Context(), org, "r1", answer(tried, access.Already, "", noon)))

		removals, err := l.RemovalsSince(t.Context(), org, noon)
		require.NoError(t, err)
		require.Equal(t, map[access.Entitlement]int{group("dev"): 1}, removals)
		gone, err := l.RemovedSince(t.Context(), org, group("dev"), noon)
		require.NoError(t, err)
		require.Equal(t, map[string]bool{late.Person: true}, gone)
		for c, want := range map[*access.Change]access.Action{&add: access.Add, &early: "", &late: access.Remove,
			&found: "", &tried: access.Add, &role: access.Add, &kept: "", &record: ""} {
			wrote, err := l.WroteSince(t.Context(), org, c.Person, c.GroupID, noon)
			require.NoError(t, err)
			require.Equal(t, want, wrote, c.Label())
		}
		people, err := l.ChangedPeople(t.Context(), org, "r1", person(1).ID, 2)
		require.NoError(t, err)
		require.Equal(t, []string{person(2).ID, person(3).ID}, people)
		people, err = l.ChangedPeople(t.Context(), org, "r1", person(3).ID, 0)
		require.NoError(t, err)
		require.Equal(t, []string{person(6).ID, person(9).ID}, people)

		unverified := func(since time.Time, limit int) (people []string) {
			changes, err := l.Unverified(t.Context(), org, record.Target, since, limit)
			require.NoError(t, err)
			for _, c := range changes {
				require.Equal(t, "r1", c.Run)
				people = append(people, c.Person)
			}
			return people
		}
		require.Equal(t, []string{also.Person, record.Person}, unverified(noon, 2))
		require.Equal(t, []string{also.Person}, unverified(noon, 1))
		require.Equal(t, []string{also.Person}, unverified(noon.Add(time.Second), 2))
		require.NoError(t, l.Verified(t.Context(), org, "r1", []access.Change{also}))
		require.Equal(t, []string{record.Person}, unverified(noon, 2))
	})
}

// TestChangesOfValuesAreInTheChain: by a hash, since values may be addresses.
func TestChangesOfValuesAreInTheChain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		update := access.Change{Person: person(1).ID, Target: "record", Action: access.Update, State: access.Planned,
			At: noon, Edits: []access.Edit{{Attribute: "emails", From: "ana@acme.example", To: "ann@acme.example"}}}
		add := change(person(1), access.Add, "dev")
		plan(t, l, "r1", add, update, change(person(2), access.Remove, "dev"))
		lines, err := l.Lines(ctx, org, "r1", ledger.Filter{})
		require.NoError(t, err)
		require.Equal(t, []access.Action{access.Add, access.Update, access.Remove},
			[]access.Action{lines[0].Action, lines[1].Action, lines[2].Action})
		require.Equal(t, update, lines[1])
		_, counts, err := l.Seen(ctx, org, "r1")
		require.NoError(t, err)
		require.Equal(t, []int{1, 1, 1}, []int{counts.Adds, counts.Updates, counts.Removals})
		require.NoError(t, l.RecordLines(ctx, org, "r1",
			[]access.Change{answer(update, access.Done, "200", noon), answer(add, access.Done, "200", noon)}))
		require.Len(t, holdings(t, l, person(1).ID, minutes(1)), 1, "nobody holds a value")
		said := map[access.Entitlement]string{}
		for _, e := range entries(t, l, 0) {
			said[e.Target] = string(e.Body)
		}
		require.Regexp(t, `"edits":"[\w-]{32}"`, said["record"])
		require.NotContains(t, said["record"], "@")
		require.NotContains(t, said[add.Target], "edits")
		proven := func() map[ledger.Key]bool {
			t.Helper()
			done, err := l.Lines(ctx, org, "r1", ledger.Filter{States: []access.ChangeState{access.Done}})
			require.NoError(t, err)
			proven, err := l.ProvenLines(ctx, org, "r1", done)
			require.NoError(t, err)
			return proven
		}
		require.Len(t, proven(), 2)
		sound(t, l)
		n, err := l.Exec(ctx, `UPDATE lines SET edits = REPLACE(edits, 'ann@', 'eve@') WHERE target = 'record'`)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Contains(t, unexplained(t, l)[0], "the chain speaks of other values")
		require.Equal(t, map[ledger.Key]bool{{Action: access.Add, Person: add.Person, Target: add.Target}: true},
			proven())
	})
}
