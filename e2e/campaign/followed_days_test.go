package campaign

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// day is some of what goes on with groups at an identity provider, and with those at Atlassian that follow them.
func (w *followedOrg) day(ctx context.Context, random *rand.Rand) error {
	w.random = random
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	for range 2 + random.IntN(5) {
		if err := w.event(ctx, random); err != nil {
			return err
		}
	}
	w.awaitRead(ctx)
	return w.endDay(ctx, random)
}

// endDay has somebody decide, or the worker die.
func (w *followedOrg) endDay(ctx context.Context, random *rand.Rand) error {
	if random.IntN(2) == 0 {
		if err := w.look(ctx, 0); err != nil {
			return err
		}
		_ = w.operate(ctx) // Atlassian, or the worker, may fail just then
	}
	if random.IntN(4) == 0 {
		w.kills++
		return w.restart()
	}
	return nil
}

func (w *followedOrg) event(ctx context.Context, random *rand.Rand) error {
	t := w.someTeam(random)
	switch n := random.IntN(teamEvents + 2); {
	case w.happen(t, n, random):
		return nil
	case n <= teamEvents:
		return w.addByHand(ctx, random)
	}
	return w.takeByHand(ctx, random)
}

// addByHand has an admin put somebody into a group at Atlassian who has had nothing to do with it for a while.
func (w *followedOrg) addByHand(ctx context.Context, random *rand.Rand) error {
	if len(w.followers) == 0 {
		return nil
	}
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(w.followers))
	f, account, now := w.followers[names[random.IntN(len(names))]], w.somebody(random), time.Now()
	apart := !f.people.lately(account, true, now, time.Time{})
	for _, t := range w.teams {
		if _, of := f.teams[t.key]; of || slices.Contains(t.names, f.name) {
			apart = apart && !t.had(account, now)
		}
	}
	if !apart {
		return nil
	}
	w.byHand++
	w.hand[membership{f.name, account}] = true
	return w.Simulator.Invite(ctx, f.name, account)
}

// takeByHand has an admin take somebody out of a group at Atlassian who is in its team: they are given it again.
func (w *followedOrg) takeByHand(ctx context.Context, random *rand.Rand) error {
	for _, name := range slices.Sorted(maps.Keys(w.followers)) {
		f := w.followers[name]
		for _, account := range slices.Sorted(maps.Keys(f.people.now())) {
			if random.IntN(30) > 0 || w.hand[membership{name, account}] {
				continue
			}
			members, err := w.Simulator.MembersOf(ctx, name)
			if err != nil || !slices.Contains(members, account) {
				return err
			}
			w.handTaken++
			return w.Simulator.Expel(ctx, name, account)
		}
	}
	return nil
}

// adopt takes note of people whom somebody else put into a group and who are in a team that it may follow: they hold it
// by the team from then on, as soon as that is seen.
func (w *followedOrg) adopt() {
	for m := range w.hand {
		f := w.followers[m.group]
		for _, t := range w.teams {
			_, of := f.teams[t.key]
			if (of || slices.Contains(t.names, f.name)) && t.there() && t.people.now()[m.account] {
				delete(w.hand, m)
				w.adopted[m] = true
			}
		}
	}
}
