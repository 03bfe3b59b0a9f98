package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// WriteKey returns a change's key as JSON text, from which the next page continues.
func WriteKey(c access.Change) string {
	text, _ := json.Marshal(KeyOf(c)) // three strings cannot fail
	return string(text)
}

// ReadKey parses a key of WriteKey; "" is no key.
func ReadKey(text string) (key ledger.Key, err error) {
	if text == "" {
		return key, nil
	}
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		return key, fmt.Errorf("after %q is not what an earlier answer said", text)
	}
	return key, nil
}

// KeyOf returns the key of a change in its run.
func KeyOf(c access.Change) ledger.Key {
	return ledger.Key{Action: c.Action, Person: c.Person, Target: c.Target}
}

// LinesAtOnce is how many plan lines are in memory while a plan is judged.
const LinesAtOnce = 1000

// Judged returns the states of lines that the guard has judged and that are not written yet.
func Judged() []access.ChangeState {
	return []access.ChangeState{access.Planned, access.Held, access.Sent, access.Recorded}
}

// EachLine visits the lines of a run that are in one of the states, in hash order.
func (s *Session) EachLine(ctx context.Context, run string, states []access.ChangeState,
	do func(access.Change) error) error {
	return s.EachPage(ctx, run, states, func(lines []access.Change) error {
		for _, c := range lines {
			if err := do(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// EachPage is EachLine for at most LinesAtOnce lines at a time.
func (s *Session) EachPage(ctx context.Context, run string, states []access.ChangeState,
	do func([]access.Change) error) error {
	var after ledger.Key
	for {
		lines, err := s.Ledger.LinesInHashOrder(ctx, s.Org, run, states, after, LinesAtOnce)
		if err != nil || len(lines) == 0 {
			return err
		}
		last := lines[len(lines)-1]
		after = ledger.Key{Person: last.Person, Target: last.Target}
		if err := do(lines); err != nil || len(lines) < LinesAtOnce {
			return err
		}
	}
}

// HoldMessage returns a hold as the status shows it, without its provision.
func HoldMessage(h ledger.Hold) *messages.Hold {
	m := &messages.Hold{
		Plan: h.Plan, Run: h.Run, Adds: h.Adds, Removals: h.Removals, Adopts: h.Adopts, Updates: h.Updates,
		People: h.People, Changed: h.Changed, Opened: h.Opened,
	}
	for i, r := range h.Rules {
		if i == 10 {
			m.Rules = append(m.Rules, fmt.Sprintf("and %d more", len(h.Rules)-i))
			break
		}
		m.Rules = append(m.Rules, r.Rule+": "+r.Detail)
	}
	return m
}

// EndLines ends the lines of a run that are held, or released and not begun, as superseded.
func (s *Session) EndLines(ctx context.Context, run, why string) error {
	left := ledger.Filter{States: []access.ChangeState{access.Held, access.Planned}, Limit: LinesAtOnce}
	for {
		lines, err := s.Ledger.Lines(ctx, s.Org, run, left)
		if err != nil {
			return err
		}
		for i := range lines {
			lines[i].State, lines[i].Answer = access.Superseded, why
			left.After = KeyOf(lines[i])
		}
		if err := s.Ledger.UpdateLines(ctx, s.Org, run, lines); err != nil {
			return err
		}
		if len(lines) < LinesAtOnce {
			return nil
		}
	}
}

// EndRunOnce ends a run that was done, or stopped, unless it has ended or was never begun.
func (s *Session) EndRunOnce(ctx context.Context, id string, done bool) error {
	run, err := s.Ledger.Run(ctx, s.Org, id)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && !run.Ended.IsZero() {
		return nil
	}
	if err != nil {
		return err
	}
	run.State, run.Ended = messages.RunDone, s.Now()
	if !done {
		run.State = messages.RunStopped
	}
	return s.Ledger.EndRun(ctx, run)
}

// StateCounts lists counts by their states.
func StateCounts(found map[string]int) (counts []messages.StateCount) {
	for _, state := range SortedKeys(found) {
		counts = append(counts, messages.StateCount{State: state, Count: found[state]})
	}
	return counts
}
