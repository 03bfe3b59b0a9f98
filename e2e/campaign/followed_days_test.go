package campaign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/simulator/idp"
)

// fewTeams and manyTeams are between how many teams there are.
const fewTeams, manyTeams = 4, 9

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
	there := w.present()
	t := there[random.IntN(len(there))]
	switch n := random.IntN(24); {
	case n < 5 && len(t.people.now()) > 0:
		members := slices.Sorted(maps.Keys(t.people.now()))
		w.change(t, false, members[random.IntN(len(members))])
	case n < 10:
		w.joinOrLeave(t, w.somebody(random))
	case n < 12:
		w.rename(t, random)
	case n < 14 && len(there) > fewTeams:
		w.deleteTeam(t)
	case n < 16: // the same people under another key
		w.deleteTeam(t)
		w.create(t.name, slices.Sorted(maps.Keys(t.people.now()))...)
	case n < 18: // other people
		w.deleteTeam(t)
		w.create(t.name, w.some(random)...)
	case n < 20:
		w.emptyOrFill(t)
	case n < 22 && len(there) < manyTeams:
		w.add(random)
	case n < 23:
		return w.addByHand(ctx, random)
	default:
		return w.takeByHand(ctx, random)
	}
	return nil
}

// present are the teams that are there, in the order of their keys.
func (w *followedOrg) present() (all []*team) {
	for _, key := range slices.Sorted(maps.Keys(w.teams)) {
		if w.teams[key].there() {
			all = append(all, w.teams[key])
		}
	}
	return all
}

func (w *followedOrg) somebody(random *rand.Rand) string {
	return w.accounts[random.IntN(len(w.accounts))]
}

// some is a handful of people.
func (w *followedOrg) some(random *rand.Rand) (accounts []string) {
	for _, i := range random.Perm(len(w.accounts))[:2+random.IntN(8)] {
		accounts = append(accounts, w.accounts[i])
	}
	return accounts
}

// create adds a team to the identity provider, under a new key.
func (w *followedOrg) create(name string, accounts ...string) {
	w.serial++
	t := &team{key: fmt.Sprintf("00g%05d", w.serial), name: name, names: []string{name}}
	t.people.set(time.Now(), true, accounts...)
	w.teams[t.key] = t
	w.idp.AddGroup(idp.Group{ID: t.key, Name: name, People: w.keysOf(accounts)})
	w.adopt()
}

// deleteTeam deletes one at the identity provider.
func (w *followedOrg) deleteTeam(t *team) {
	w.idp.DeleteGroup(t.key)
	t.gone = time.Now()
	w.deletions++
}

// joinOrLeave has somebody join a team, or leave it.
func (w *followedOrg) joinOrLeave(t *team, account string) {
	w.change(t, !t.people.now()[account], account)
}

// change has people join a team, or leave it. Leaving counts from just before, joining from just after.
func (w *followedOrg) change(t *team, join bool, accounts ...string) {
	before := time.Now()
	next := timeline{{in: maps.Clone(t.people.now())}}
	next.set(before, join, accounts...)
	if !join {
		t.people.set(before, false, accounts...)
	}
	w.idp.SetMembers(t.key, w.keysOf(slices.Sorted(maps.Keys(next.now())))...)
	if join {
		t.people.set(time.Now(), true, accounts...)
	}
	w.adopt()
}

// rename gives a team another name; one that the policy does not know only if it is followed for sure.
func (w *followedOrg) rename(t *team, random *rand.Rand) {
	w.serial++
	name := fmt.Sprintf("team-%02d", w.serial)
	if t.settled && random.IntN(3) == 0 {
		name = fmt.Sprintf("circle-%02d", w.serial)
	}
	t.names = append(t.names, name)
	t.name = name
	w.idp.RenameGroup(t.key, name)
	w.renames++
	w.adopt()
}

// emptyOrFill takes everybody out of a team, or fills one that is empty with those who were in it.
func (w *followedOrg) emptyOrFill(t *team) {
	if now := t.people.now(); len(now) > 0 {
		w.emptied++
		w.change(t, false, slices.Sorted(maps.Keys(now))...)
		return
	}
	for _, r := range slices.Backward(t.people) {
		if len(r.in) > 0 {
			w.change(t, true, slices.Sorted(maps.Keys(r.in))...)
			return
		}
	}
}

// add creates a team: one that was deleted, with the same people, or one of a new name.
func (w *followedOrg) add(random *rand.Rand) {
	var former []*team
	for _, key := range slices.Sorted(maps.Keys(w.teams)) {
		t := w.teams[key]
		if !t.there() && !slices.ContainsFunc(w.present(), func(p *team) bool { return p.name == t.name }) {
			former = append(former, t)
		}
	}
	if len(former) > 0 && random.IntN(2) == 0 {
		t := former[random.IntN(len(former))]
		w.create(t.name, slices.Sorted(maps.Keys(t.people.now()))...)
		return
	}
	w.serial++
	w.create(fmt.Sprintf("team-%02d", w.serial), w.some(random)...)
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

// breakSource spoils what the identity provider says, most of the time. Who is in a group is answered wrongly in one
// read only: what two reads say is believed, for no other question tells.
func (w *followedOrg) breakSource(random *rand.Rand) {
	w.idp.Mend()
	w.broken, w.spoilt = random.IntN(4) > 0, "whole"
	if !w.broken {
		return
	}
	const users, groups, members = "/api/v1/users", "/api/v1/groups", "/api/v1/groups/"
	after, once := random.IntN(8), 1+random.IntN(len(w.present())/2)
	faults := []struct {
		name string
		idp.Fault
	}{
		{"outage", idp.Fault{Path: "/", Status: 503}},
		{"some 503", idp.Fault{Path: groups, Status: 503, After: after, Times: once}},
		{"some 429", idp.Fault{Path: groups, Status: 429, Times: 3, Header: map[string]string{"Retry-After": "1"}}},
		{"no people", idp.Fault{Path: users, Body: "[]"}},
		{"fewer people", idp.Fault{Path: users, Whole: true, Lost: 1 + random.IntN(3)}},
		{"no groups", idp.Fault{Path: groups, Whole: true, Body: "[]"}},
		{"fewer groups", idp.Fault{Path: groups, Whole: true, Lost: 1 + random.IntN(3)}},
		{"once no groups", idp.Fault{Path: groups, Whole: true, Body: "[]", Times: once}},
		{"once no members", idp.Fault{Path: members, Body: "[]", After: after, Times: once}},
		{"once fewer members", idp.Fault{Path: members, Lost: 1 + random.IntN(4), After: after, Times: once}},
		{"once short pages", idp.Fault{Path: members, Short: true, After: after, Times: once}},
		{"members cut", idp.Fault{Path: members, Cut: true, After: after}},
		{"groups cut", idp.Fault{Path: groups, Whole: true, Cut: true}},
		{"no such group", idp.Fault{Path: members, Status: 404, Body: `{"errorCode":"E0000007"}`, After: after}},
		{"groups repeated", idp.Fault{Path: groups, Whole: true, Repeat: true}},
		{"members repeated", idp.Fault{Path: members, Repeat: true}},
		{"slow", idp.Fault{Path: members, Delay: 500 * time.Millisecond}},
	}
	one := faults[random.IntN(len(faults))]
	w.idp.Break(one.Fault)
	w.spoilt = one.name
}

// awaitRead waits until the identity provider has been asked for its groups twice more, if it leaves any out.
func (w *followedOrg) awaitRead(ctx context.Context) {
	if !w.broken || !strings.Contains(w.spoilt, "groups") && !strings.Contains(w.spoilt, "members") {
		return
	}
	before := w.reads()
	_ = stack.Eventually(ctx, 16*time.Second, func() error {
		if w.reads() < before+2 {
			return errors.New("it was not read")
		}
		return nil
	})
}

// reads counts how often reading the identity provider began.
func (w *followedOrg) reads() (n int) {
	for _, call := range w.idp.Calls() {
		if call == "GET /api/v1/users/me" { // the first call of a read
			n++
		}
	}
	return n
}
