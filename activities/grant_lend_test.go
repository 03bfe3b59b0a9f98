package activities_test

import (
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
