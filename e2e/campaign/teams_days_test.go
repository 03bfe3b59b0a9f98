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

// teamEvents is how many kinds of events there are of teams, by their frequency.
const teamEvents = 22

// happen has something happen to a team, by the number of its kind; or does nothing and returns false.
func (w *teamProvider) happen(t *team, n int, random *rand.Rand) bool {
	there := w.present()
	switch {
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
	case n < teamEvents && len(there) < manyTeams:
		w.add(random)
	default:
		return false
	}
	return true
}

// present are the teams that are there, in the order of their keys.
func (w *teamProvider) present() (all []*team) {
	for _, key := range slices.Sorted(maps.Keys(w.teams)) {
		if w.teams[key].there() {
			all = append(all, w.teams[key])
		}
	}
	return all
}

// named reports whether a team that is there has a name.
func (w *teamProvider) named(name string) bool {
	return slices.ContainsFunc(w.present(), func(t *team) bool { return t.name == name })
}

// someTeam returns one that is there.
func (w *teamProvider) someTeam(random *rand.Rand) *team {
	there := w.present()
	return there[random.IntN(len(there))]
}

// active are the people who may join teams.
func (w *teamProvider) active() []string {
	return slices.DeleteFunc(slices.Clone(w.accounts), func(account string) bool { return w.absent[account] })
}

func (w *teamProvider) somebody(random *rand.Rand) string {
	active := w.active()
	return active[random.IntN(len(active))]
}

// some is a handful of people.
func (w *teamProvider) some(random *rand.Rand) (accounts []string) {
	active := w.active()
	for _, i := range random.Perm(len(active))[:2+random.IntN(8)] {
		accounts = append(accounts, active[i])
	}
	return accounts
}

// create adds a team to the identity provider, under a new key.
func (w *teamProvider) create(name string, accounts ...string) {
	w.serial++
	t := &team{name: name, names: []string{name}}
	t.people.set(time.Now(), true, accounts...)
	t.key = w.store.addTeam(w.keyOf(w.serial), name, w.keysOf(accounts))
	w.teams[t.key] = t
	w.changed()
}

// deleteTeam deletes one at the identity provider.
func (w *teamProvider) deleteTeam(t *team) {
	w.store.deleteTeam(t.key)
	t.gone = time.Now()
	w.deletions++
}

// joinOrLeave has somebody join a team, or leave it.
func (w *teamProvider) joinOrLeave(t *team, account string) {
	w.change(t, !t.people.now()[account], account)
}

// change has people join a team, or leave it. Leaving counts from just before, joining from just after.
func (w *teamProvider) change(t *team, join bool, accounts ...string) {
	before := time.Now()
	next := timeline{{in: maps.Clone(t.people.now())}}
	next.set(before, join, accounts...)
	if !join {
		t.people.set(before, false, accounts...)
	}
	w.store.setTeam(t.key, w.keysOf(slices.Sorted(maps.Keys(next.now()))))
	if join {
		t.people.set(time.Now(), true, accounts...)
	}
	w.changed()
}

// rename gives a team another name; one that the policy does not know only if it is followed for sure.
func (w *teamProvider) rename(t *team, random *rand.Rand) {
	w.serial++
	name := fmt.Sprintf("team-%02d", w.serial)
	if t.settled && random.IntN(3) == 0 {
		name = fmt.Sprintf("circle-%02d", w.serial)
	}
	t.names = append(t.names, name)
	t.name = name
	w.store.renameTeam(t.key, name)
	w.renames++
	w.changed()
}

// emptyOrFill takes everybody out of a team, or fills one that is empty with those who were in it.
func (w *teamProvider) emptyOrFill(t *team) {
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
func (w *teamProvider) add(random *rand.Rand) {
	var former []*team
	for _, key := range slices.Sorted(maps.Keys(w.teams)) {
		t := w.teams[key]
		if !t.there() && !w.closed[t.name] && !w.named(t.name) {
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

// breakSource spoils what the identity provider says, most of the time. Who is in a group is answered wrongly in one
// read only: what two reads say is believed, for no other question tells.
func (w *teamProvider) breakSource(random *rand.Rand) {
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
func (w *teamProvider) awaitRead(ctx context.Context) {
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
func (w *teamProvider) reads() (n int) {
	for _, call := range w.idp.Calls() {
		if call == "GET /api/v1/users/me" { // the first call of a read
			n++
		}
	}
	return n
}
