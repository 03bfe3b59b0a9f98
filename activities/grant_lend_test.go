package activities_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// holds says whether somebody really holds a target.
func (w *world) holds(name string, target access.Entitlement) bool {
	w.t.Helper()
	p := w.person(name)
	switch {
	case target == access.OrgAdmin:
		return p.OrgAdmin
	case target == access.Directory:
		return !p.Absent && !p.Suspended
	case target.Kind() == access.KindDefault:
		return slices.Contains(w.group("jira-admins-acme").Members, p.AccountID)
	case target.Kind() == access.KindRole:
		return slices.ContainsFunc(p.Roles, func(r cloud.StateRole) bool { return r.App == "jira-software" && r.Role == "atlassian/admin" })
	}
	return slices.Contains(w.group(target.Group()).Members, p.AccountID)
}

func TestAGrantGivesAndTakes(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{other, "default:jira-software/acme/admin", access.OrgAdmin, jira} {
		t.Run(strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("kim", target, time.Hour)
			require.Equal(t, access.GrantGranted, g.State)
			require.Equal(t, []string{messages.GrantID(org, g.Target, "kim@example.com")}, w.temporal.woken)
			given := w.right(g)
			require.Equal(t, 1, given.plan.Open)
			require.True(t, w.holds("kim", target))
			require.False(t, w.stored(g).Given.IsZero())

			for label, c := range w.lines(given.Run) { // a repeat finds the answer in the ledger
				made := w.calls(func() {
					again := must[activities.ChangeResult](w, w.acts.Apply, activities.ChangeInput{RunInput: given.RunInput, Person: c.Person, Target: c.Target, Now: true})
					require.Equal(t, access.Done, again.State, label)
				})
				require.Empty(t, made)
			}
			require.Zero(t, w.right(g).plan.Open, "while it runs nothing more is to do")

			w.until(g)
			w.right(g)
			require.False(t, w.holds("kim", target))
			over := w.stored(g)
			require.Equal(t, access.GrantEnded, over.State)
			require.False(t, over.Taken.IsZero())
			require.True(t, over.Settled())
			require.Zero(t, w.right(over).plan.Open)
		})
	}
}

func TestPresenceIsLent(t *testing.T) {
	t.Parallel()
	removing := strings.Replace(lendable, "reason: false", "reason: false\n    end: remove", 1)
	t.Run("whom nobody knows is invited, and suspended at the end", func(t *testing.T) {
		t.Parallel()
		w := lending(t, lendable)
		g := w.grant("New@Partner.example", access.Directory, time.Hour)
		require.Equal(t, "new@partner.example", g.Person)
		w.right(g)
		require.True(t, w.holds("new", access.Directory))
		require.Equal(t, w.id("new"), w.stored(g).Person, "the account id is known now")
		require.True(t, w.held("new", access.Directory).Owned)
		w.until(g)
		w.right(g)
		p := w.person("new")
		require.True(t, p.Suspended && !p.Absent)
	})
	t.Run("whom nobody knows is invited, and removed at the end", func(t *testing.T) {
		t.Parallel()
		w := lending(t, removing)
		g := w.grant("new@partner.example", access.Directory, time.Hour)
		w.right(g)
		w.until(g)
		w.right(g)
		require.True(t, w.person("new").Absent)
	})
	t.Run("who is suspended is restored, and suspended again", func(t *testing.T) {
		t.Parallel()
		w := lending(t, lendable)
		w.set("jo", map[string]any{"suspended": true})
		g := w.grant("jo", access.Directory, time.Hour)
		w.right(g)
		require.True(t, w.holds("jo", access.Directory))
		w.until(g)
		w.right(g)
		require.True(t, w.person("jo").Suspended)
		require.Contains(t, w.members("other"), "jo", "memberships are kept")
	})
	t.Run("who is here anyway stays", func(t *testing.T) {
		t.Parallel()
		w := lending(t, removing)
		g := w.grant("jo", access.Directory, time.Hour)
		w.right(g)
		w.until(g)
		made := w.calls(func() { w.right(g) })
		require.Zero(t, made["users.remove"]+made["users.suspend"])
		require.True(t, w.holds("jo", access.Directory))
	})
	t.Run("an invitation whose answer was lost is not sent for ever", func(t *testing.T) {
		t.Parallel()
		w := lending(t, lendable)
		g := w.grant("new@partner.example", access.Directory, time.Hour)
		w.inject(cloud.Fault{Operations: []string{"users.invite"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
		w.right(g)
		require.Equal(t, 1, w.sim.Stats().Operations["users.invite"])
		w.until(g)
		w.right(g)
		require.True(t, w.person("new").Suspended)
	})
}

func TestOverlappingGrantsAreAUnion(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	short := w.grant("kim", other, time.Hour)
	w.right(short)
	w.pass(30 * time.Minute)
	long := w.grant("kim", other, 2*time.Hour)
	require.Equal(t, short.Key, long.Key)
	made := w.calls(func() { w.right(long) })
	require.Zero(t, made["memberships.add"], "it is held already")
	require.Len(t, w.held("kim", other).Reasons, 2)

	w.until(short)
	made = w.calls(func() { w.right(short) })
	require.Empty(t, made)
	require.True(t, w.holds("kim", other))
	require.Equal(t, []access.Reason{long.GrantReason()}, w.held("kim", other).Reasons)
	require.False(t, w.stored(short).Taken.IsZero())
	require.True(t, w.stored(long).Taken.IsZero())

	w.until(long)
	w.right(long)
	require.False(t, w.holds("kim", other))
	require.Nil(t, w.held("kim", other))
}

func TestGrantsOfOneGroupByTwoNamesAreAUnion(t *testing.T) {
	t.Parallel()
	const byRole, byName = access.Entitlement("default:jira-software/acme/admin"), access.Entitlement("group:jira-admins-acme")
	w := lending(t, strings.Replace(lendable, `"group:other"`, `"group:other", "group:jira-admins-acme"`, 1))
	first, second := w.grant("kim", byRole, time.Hour), w.grant("kim", byName, 2*time.Hour)
	w.right(first, second)
	w.until(first)
	w.right(first)
	require.True(t, w.holds("kim", byRole), "the other name still gives it")
	w.until(second)
	w.right(second)
	require.False(t, w.holds("kim", byRole))
}

func TestWhatAMappingGivesStaysWhenAGrantEnds(t *testing.T) {
	t.Parallel()
	t.Run("given before", func(t *testing.T) {
		t.Parallel()
		w := lending(t, lendable)
		g := w.grant("carol", builders, time.Hour)
		w.right(g)
		w.until(g)
		made := w.calls(func() { w.right(g) })
		require.Zero(t, made["memberships.remove"])
		require.Contains(t, w.members("builders"), "carol")
		h := w.held("carol", builders)
		require.True(t, h.Owned)
		require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)
		require.False(t, w.stored(g).Taken.IsZero())
	})
	for name, protect := range map[string]string{"begun meanwhile": "", "begun meanwhile, protected": "protected: [{target: group:builders, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, protect+lendable)
			g := w.grant("jo", builders, time.Hour)
			w.right(g)
			w.join("eng", "jo") // which nothing but a read at the moment of writing shows
			w.until(g)
			r := w.right(g)
			result := r.results["remove jo@example.com from group:builders"]
			require.Equal(t, access.Superseded, result.State)
			require.Contains(t, result.Answer, "mapping builders")
			require.Contains(t, w.members("builders"), "jo")
			h := w.held("jo", builders)
			require.True(t, h.Owned)
			require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)

			w.pass(5 * time.Minute)
			w.leave("eng", "jo")
			w.full()
			require.NotContains(t, w.members("builders"), "jo", "from now on it is the mapping's")
		})
	}
}

func TestWhatSomebodyElseGaveBeforeStays(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(w *world){
		"before the request": func(w *world) { w.byHand(http.MethodPost, "other", "kim") },
		"and the first attempt cannot read": func(w *world) {
			w.byHand(http.MethodPost, "other", "kim")
			w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTimeoutBefore, Count: 1})
		},
		"and the first attempt is not let write": func(w *world) {
			w.byHand(http.MethodPost, "other", "kim")
			w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1, Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
			w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 429}})
		},
		"and the read lags": func(w *world) {
			w.byHand(http.MethodPost, "other", "kim")
			w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1, Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("kim", other, time.Hour)
			arrange(w)
			r := w.right(g)
			require.Equal(t, access.Already, r.results["add kim@example.com to group:other"].State)
			require.False(t, w.held("kim", other).Owned)
			w.until(g)
			made := w.calls(func() { w.right(g) })
			require.Zero(t, made["memberships.remove"])
			require.True(t, w.holds("kim", other))
			w.pass(10 * time.Minute)
			w.full()
			require.True(t, w.holds("kim", other), "nor does a verification take it")
		})
	}
}

func TestAHandThatGaveBetweenTheAttemptsKeepsIt(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	r := w.begin(g)
	line := w.linesOf(r)[0]
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 429}})
	require.False(t, w.attempt(r, line), "the first attempt read that it is not held, and wrote nothing")
	w.byHand(http.MethodPost, "other", "kim")
	require.True(t, w.attempt(r, line))
	require.Equal(t, access.Already, r.results[line.Label].State)
	require.True(t, w.answer(r)[0].Right)
	w.until(g)
	w.right(g)
	require.True(t, w.holds("kim", other))
}

func TestAnUnknownOutcomeIsTakenBackAllTheSame(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		for _, target := range []access.Entitlement{other, access.OrgAdmin, jira} {
			t.Run(kind+" "+strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
				t.Parallel()
				w := lending(t, lendable)
				g := w.grant("kim", target, time.Hour)
				w.inject(cloud.Fault{Operations: []string{"memberships.add", "org-roles.assign", "roles.assign"}, Kind: kind, Count: 1})
				r := w.begin(g)
				w.lend(r, 1) // and whoever would have tried again died
				require.Equal(t, kind == cloud.FaultTimeoutAfter, w.holds("kim", target))
				answer := w.answer(r)[0]
				require.False(t, answer.Right)
				require.True(t, answer.Soon)
				w.until(g)
				w.right(g)
				require.False(t, w.holds("kim", target))
				require.False(t, w.stored(g).Taken.IsZero())
			})
		}
	}
}

func TestAnUnknownOutcomeIsFoundToBeDone(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{other, access.OrgAdmin, jira} {
		t.Run(strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("kim", target, time.Hour)
			w.inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
			w.right(g)
			require.True(t, w.held("kim", target).Owned)
			w.until(g)
			w.sim.ClearFaults("")
			w.inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
			w.right(g)
			require.False(t, w.holds("kim", target))
			require.Nil(t, w.held("kim", target))
		})
	}
}

// A removal that is begun and never answered is begun again by the next question.
func TestARemovalThatWasCutOffIsMade(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("kim", other, time.Hour)
			w.right(g)
			w.until(g)
			w.inject(cloud.Fault{Operations: []string{"memberships.remove"}, Kind: kind, Count: 1})
			r := w.begin(g)
			w.lend(r, 1)
			require.False(t, w.answer(r)[0].Right)
			require.True(t, w.stored(g).Taken.IsZero())
			w.right(g)
			require.False(t, w.holds("kim", other))
			require.Nil(t, w.held("kim", other))
			require.False(t, w.stored(g).Taken.IsZero())
		})
	}
}

func TestAFloorOutweighsTheEndOfAGrant(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{other, access.OrgAdmin} {
		t.Run(strings.ReplaceAll(string(target), ":", " "), func(t *testing.T) {
			t.Parallel()
			w := lending(t, "protected: [{target: \""+string(target)+"\", minimum: 1}]\n"+lendable)
			holds := func(name string, yes bool) {
				if target == access.OrgAdmin {
					w.set(name, map[string]any{"orgAdmin": yes})
				} else {
					w.byHand(map[bool]string{true: http.MethodPost, false: http.MethodDelete}[yes], "other", name)
				}
			}
			g := w.grant("kim", target, time.Hour)
			w.right(g)
			for _, name := range []string{"jo", "ana", "bo"} {
				holds(name, false)
			}
			w.until(g)
			_, answers := w.attend(g)
			require.False(t, answers[0].Right)
			require.False(t, answers[0].Soon, "only a person can help")
			require.Contains(t, answers[0].Why, "at least 1")
			require.Contains(t, answers[0].Why, "kim@example.com")
			require.True(t, w.holds("kim", target))
			require.True(t, w.stored(g).Taken.IsZero())

			holds("hana", true)
			w.right(g)
			require.False(t, w.holds("kim", target))
			require.True(t, w.holds("hana", target))
		})
	}
}

func TestWhoHasToStayIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ owner, protect, why string }{
		"the key's owner": {", keyOwner: carol@example.com", "minimum: 1", "owns the key"},
		"a named person":  {"", "minimum: 1, always: [carol@example.com]", "always stays"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := inStep(t)
			text := w.text(open + "\nprotected: [{target: group:other, " + c.protect + "}]\n" + lendable)
			text = strings.Replace(text, `key: "env:KEY"`, `key: "env:KEY"`+c.owner, 1)
			w.policy = must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(text)).Policy
			w.outline(w.newRun())
			g := w.grant("carol", other, time.Hour)
			w.right(g)
			w.until(g)
			_, answers := w.attend(g)
			require.False(t, answers[0].Right)
			require.Contains(t, answers[0].Why, c.why)
			require.True(t, w.holds("carol", other))
		})
	}
}

// Whom a lagging read still shows does not count, and the floors of two targets have nothing to do with each other.
func TestFloorsStandSideBySide(t *testing.T) {
	t.Parallel()
	w := lending(t, "protected: [{target: group:other, minimum: 2}, {target: role:org-admin, minimum: 2}]\n"+lendable)
	var grants []access.Grant
	for _, name := range []string{"kim", "lea", "eve"} {
		grants = append(grants, w.grant(name, other, time.Hour))
	}
	grants = append(grants, w.grant("kim", access.OrgAdmin, time.Hour), w.grant("lea", access.OrgAdmin, time.Hour))
	w.right(grants...)
	w.set("ana", map[string]any{"orgAdmin": false})
	w.until(grants[0])
	w.configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(30 * time.Second) })
	r := w.begin(grants...)
	w.lend(r, 1)
	by := map[access.Entitlement]map[access.ChangeState]int{other: {}, access.OrgAdmin: {}}
	for _, c := range w.lines(r.Run) {
		by[c.Target][c.State]++
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 2, access.Refused: 1}, by[other])
	require.Equal(t, map[access.ChangeState]int{access.Done: 1, access.Refused: 1}, by[access.OrgAdmin])
	require.Len(t, w.group("other").Members, 2)
	require.Len(t, w.sim.State().OrgAdmins, 2)
}

func TestALicenceShortageIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	const admin = access.Entitlement("default:jira-software/acme/admin")
	w := lending(t, lendable)
	w.configure(func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 0} })
	g := w.grant("kim", admin, time.Hour)
	r, answers := w.attend(g)
	require.Equal(t, access.Shortage, r.results["add kim@example.com to group:jira-admins-acme"].State)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "licence")
	require.True(t, w.stored(g).Given.IsZero())
	w.configure(func(s *cloud.Settings) { s.Licences["jira/acme"] = -1 })
	w.right(g)
	require.True(t, w.holds("kim", admin))
}

func TestWhoWasSuspendedBeforeTheStartIsNotGivenAnything(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	in := w.requestOf("kim@example.com", other, time.Hour)
	in.Start = w.clock().Add(3 * time.Hour)
	g := must[messages.GrantAnswer](w, w.acts.RequestGrant, in).Grants[0]
	require.Equal(t, in.Start, g.From)
	require.Zero(t, w.right(g).plan.Open, "it has not begun")
	w.set("kim", map[string]any{"suspended": true})
	w.pass(3 * time.Hour)
	before := w.sim.Stats().Writes
	r, answers := w.attend(g)
	require.Equal(t, access.Refused, r.results["add kim@example.com to group:other"].State)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "not active")
	require.Equal(t, before, w.sim.Stats().Writes)
	w.until(g)
	w.right(g)
	require.Equal(t, before, w.sim.Stats().Writes)
	require.False(t, w.stored(g).Taken.IsZero())
}

func TestWhoIsNotEligibleAnyMoreIsNotGivenAnything(t *testing.T) {
	t.Parallel()
	w := lending(t, strings.Replace(lendable, "reason: false", "reason: false\n    eligible: in(\"eng\")", 1))
	in := w.requestOf("carol@example.com", other, time.Hour)
	in.Start = w.clock().Add(3 * time.Hour)
	g := must[messages.GrantAnswer](w, w.acts.RequestGrant, in).Grants[0]
	w.leave("eng", "carol")
	w.pass(3 * time.Hour)
	r, answers := w.attend(g)
	require.Equal(t, access.Refused, r.results["add carol@example.com to group:other"].State)
	require.Contains(t, answers[0].Why, `in("eng")`)
	require.False(t, w.holds("carol", other))
	w.join("eng", "carol")
	w.right(g)
	require.True(t, w.holds("carol", other))
}

func TestAGrantThatIsOverBeforeItsWriteGivesNothing(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	r := w.begin(g)
	w.until(g)
	made := w.calls(func() { w.lend(r, 1) })
	require.Zero(t, made["memberships.add"])
	require.Equal(t, access.Superseded, r.results["add kim@example.com to group:other"].State)
	w.answer(r)
	made = w.calls(func() { w.right(g) })
	require.Empty(t, made)
	require.False(t, w.holds("kim", other))
	require.False(t, w.stored(g).Taken.IsZero())
}

// A removal that was planned for the end of a grant meets another grant that has begun since.
func TestAGrantThatBeganBeforeTheRemovalKeepsIt(t *testing.T) {
	t.Parallel()
	for name, protect := range map[string]string{"plain": "", "protected": "protected: [{target: group:other, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, protect+lendable)
			first := w.grant("kim", other, time.Hour)
			w.right(first)
			w.until(first)
			r := w.begin(first)
			second := w.grant("kim", other, time.Hour)
			w.lend(r, 1)
			require.Equal(t, access.Superseded, r.results["remove kim@example.com from group:other"].State)
			w.answer(r)
			w.right(second)
			require.True(t, w.holds("kim", other))
			w.until(second)
			w.right(second)
			require.False(t, w.holds("kim", other))
		})
	}
}

func TestAGrantCostsOneWriteAndFewReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target  access.Entitlement
		protect string
		give    map[string]int
		take    map[string]int
	}{
		"group":           {other, "", map[string]int{"users.search": 1, "memberships.add": 1}, map[string]int{"users.search": 1, "memberships.remove": 1}},
		"protected group": {other, "group:other", map[string]int{"users.search": 1, "memberships.add": 1}, map[string]int{"users.search": 1, "memberships.remove": 1}},
		"org-admin":       {access.OrgAdmin, "role:org-admin", map[string]int{"users.search": 1, "org-roles.assign": 1}, map[string]int{"users.search": 1, "org-roles.revoke": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			protect := ""
			if c.protect != "" {
				protect = "protected: [{target: \"" + c.protect + "\", minimum: 1}]\n"
			}
			w := lending(t, protect+lendable)
			g := w.grant("kim", c.target, time.Hour)
			var r *round
			require.Equal(t, c.give, w.calls(func() { r = w.begin(g); w.lend(r, 1) }))
			require.Equal(t, map[string]int{"users.search": 1}, w.calls(func() { require.True(t, w.answer(r)[0].Right) }), "read back")
			w.until(g)
			require.Equal(t, c.take, w.calls(func() { r = w.begin(g); w.lend(r, 1) }))
			require.Equal(t, map[string]int{"users.search": 1}, w.calls(func() { require.True(t, w.answer(r)[0].Right) }), "read back")
		})
	}
}

func TestAWorkflowThatIsGoneIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	w.temporal.gone = true
	r := w.begin(g)
	w.lend(r, 1)
	require.Equal(t, 1, must[int](w, w.acts.Attended, r.AttendInput))
}
