package campaign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// pushedOrganization has groups that follow those of an identity provider that pushes users and groups by SCIM.
var pushedOrganization = organizationOf{flags: teamFlags, model: newPushed, decides: true}

// pushedOrg is what the test knows of the groups that follow what is pushed.
type pushedOrg struct {
	*followedOrg
	inbox  *pushStore
	late   []func()
	silent bool                // nobody pushes in this schedule
	teamOf map[string][]string // by account: the keys of the teams in which somebody was who is disabled

	silences, delayed, disabled, returned, left int
}

func newPushed(ctx context.Context, s *stack.Stack) (orgModel, error) {
	provider, err := newTeamProvider(ctx, s)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &pushedOrg{followedOrg: followedOf(provider), teamOf: map[string][]string{}, inbox: &pushStore{ctx: ctx,
		base: "http://" + l.Addr().String() + "/scim/" + org + "/" + corp + "/v2", random: rand.New(rand.NewPCG(9, 9)),
		ids: map[string]string{}, names: map[string]string{}, members: map[string][]string{}, states: map[int]int{}}}
	w.store = w.inbox
	w.spoilt = "pushes"
	w.spec = fmt.Sprintf(`{name: %s, kind: scim-push, secret: "env:%s"}`, corp, feedSecret)
	w.env = []string{feedSecret + "=" + feedKey, "CASTELLAN_INBOX_ADDR=" + l.Addr().String(),
		"CASTELLAN_SECRETS=" + org + "=env:" + stack.KeyVariable + "," + org + "=env:" + feedSecret}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return w, w.restart()
}

// begun has everybody pushed, and the first teams.
func (w *pushedOrg) begun(context.Context) error {
	for _, account := range w.accounts {
		w.inbox.addUser(w.keys[account], w.emails[account])
	}
	w.createTeams()
	return w.inbox.err
}

func (w *pushedOrg) pick(random *rand.Rand) []cloud.Fault {
	w.random, w.inbox.random = random, random
	if w.silent = random.IntN(4) == 0; w.silent {
		w.silences++
	}
	return pick(random, followedTargets)
}

// day is some of what is pushed, some of it late and in another order.
func (w *pushedOrg) day(ctx context.Context, random *rand.Rand) error {
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	for range 2 + random.IntN(6) {
		if w.silent {
			break
		}
		if random.IntN(4) == 0 {
			w.delayed++
			w.late = append(w.late, func() { w.push(random) })
			continue
		}
		w.push(random)
		if len(w.late) > 0 && random.IntN(2) == 0 {
			i := random.IntN(len(w.late))
			push := w.late[i]
			w.late = slices.Delete(w.late, i, i+1)
			push()
		}
	}
	if w.inbox.err != nil {
		return w.inbox.err
	}
	if err := w.byHands(ctx, random); err != nil {
		return err
	}
	return w.endDay(ctx, random)
}

// byHands has an admin change groups at Atlassian at times.
func (w *pushedOrg) byHands(ctx context.Context, random *rand.Rand) error {
	switch random.IntN(6) {
	case 0:
		return w.addByHand(ctx, random)
	case 1:
		return w.takeByHand(ctx, random)
	}
	return nil
}

// push has something happen at the identity provider, which pushes it.
func (w *pushedOrg) push(random *rand.Rand) {
	switch n := random.IntN(teamEvents + 4); {
	case w.happen(w.someTeam(random), n, random):
	case n < teamEvents+3:
		w.disableOrEnable(random)
	default:
		w.leave(w.somebody(random))
	}
}

// disableOrEnable disables somebody, or enables who was disabled: they are in the same teams again.
func (w *pushedOrg) disableOrEnable(random *rand.Rand) {
	disabled := slices.Sorted(maps.Keys(w.teamOf))
	if n := len(disabled); n >= mostDisabled || n > 0 && random.IntN(2) == 0 {
		account := disabled[random.IntN(n)]
		w.inbox.enable(w.keys[account], true)
		for _, key := range w.teamOf[account] {
			if t := w.teams[key]; t.there() {
				t.people.set(time.Now(), true, account)
			}
		}
		delete(w.teamOf, account)
		delete(w.absent, account)
		w.returned++
		w.changed()
		return
	}
	account := w.somebody(random)
	w.teamOf[account] = w.takeOut(account)
	w.inbox.enable(w.keys[account], false)
	w.disabled++
}

// takeOut takes somebody who is no longer active out of all teams, and returns the keys of those.
func (w *pushedOrg) takeOut(account string) (keys []string) {
	w.absent[account] = true
	for _, t := range w.present() {
		if t.people.now()[account] {
			t.people.set(time.Now(), false, account)
			keys = append(keys, t.key)
		}
	}
	return keys
}

// leave deletes somebody at the identity provider, for good; not more than a few.
func (w *pushedOrg) leave(account string) {
	if w.left >= mostDisabled {
		return
	}
	w.takeOut(account)
	w.inbox.deleteUser(w.keys[account])
	w.left++
}

// right pushes what is late, first.
func (w *pushedOrg) right(ctx context.Context) error {
	for _, push := range w.late {
		push()
	}
	w.late = nil
	return errors.Join(w.inbox.err, w.followedOrg.right(ctx))
}

func (w *pushedOrg) tally() string {
	return fmt.Sprintf("silent: %v; %s", w.silent, w.followedOrg.tally())
}

func (w *pushedOrg) report(t *testing.T) {
	t.Helper()
	t.Logf("answers to pushes %v, of which replayed %d; late %d; silent schedules %d; people disabled %d, enabled %d, deleted %d",
		w.inbox.states, w.inbox.replayed, w.delayed, w.silences, w.disabled, w.returned, w.left)
	w.followedOrg.report(t)
}
