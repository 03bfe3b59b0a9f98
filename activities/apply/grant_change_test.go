package apply_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestAGrantGivesAndTakes(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{activitytest.Other, "default:jira-software/acme/admin", access.OrgAdmin,
		activitytest.Jira} {
		t.Run(strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, activitytest.Lendable)
			g := w.Grant("kim", target, time.Hour)
			require.Equal(t, access.GrantGranted, g.State)
			id := messages.GrantID(activitytest.Org, g.Target, w.Id("kim"))
			require.Equal(t, []string{id, id}, w.Temporal.Woken, "before the request is stored, and after")
			given := w.Right(g)
			require.Equal(t, 1, given.Plan.Open)
			require.True(t, w.Holds("kim", target))
			require.False(t, w.Stored(g).ProvisionedAt.IsZero())

			for label, c := range w.Lines(given.Run) { // a repeat finds the answer in the ledger
				made := w.Calls(func() {
					again := activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply,
						apply.ChangeInput{RunInput: given.RunInput, Person: c.Person, Target: c.Target, Now: true})
					require.Equal(t, access.Done, again.State, label)
				})
				require.Empty(t, made)
			}
			require.Zero(t, w.Right(g).Plan.Open, "while it runs nothing more is to do")

			w.Until(g)
			w.Right(g)
			require.False(t, w.Holds("kim", target))
			over := w.Stored(g)
			require.Equal(t, access.GrantEnded, over.State)
			require.False(t, over.RevokedAt.IsZero())
			require.True(t, over.Settled())
			require.Zero(t, w.Right(over).Plan.Open)
		})
	}
}

func TestPresenceIsLent(t *testing.T) {
	t.Parallel()
	removing := strings.Replace(activitytest.Lendable, "reason: false", "reason: false\n    end: remove", 1)
	t.Run("whom nobody knows is invited, and suspended at the end", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, activitytest.Lendable)
		g := w.Grant("New@Partner.example", access.Directory, time.Hour)
		require.Equal(t, "new@partner.example", g.Person)
		w.Right(g)
		require.True(t, w.Holds("new", access.Directory))
		require.Equal(t, w.Id("new"), w.Stored(g).Person, "the account id is known now")
		require.True(t, w.Held("new", access.Directory).Owned)
		w.Until(g)
		w.Right(g)
		p := w.Person("new")
		require.True(t, p.Suspended && !p.Absent)
	})
	t.Run("whom nobody knows is invited, and removed at the end", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, removing)
		g := w.Grant("new@partner.example", access.Directory, time.Hour)
		w.Right(g)
		w.Until(g)
		w.Right(g)
		require.True(t, w.Person("new").Absent)
	})
	t.Run("who is suspended is restored, and suspended again", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, activitytest.Lendable)
		w.Set("jo", map[string]any{"suspended": true})
		g := w.Grant("jo", access.Directory, time.Hour)
		w.Right(g)
		require.True(t, w.Holds("jo", access.Directory))
		w.Until(g)
		w.Right(g)
		require.True(t, w.Person("jo").Suspended)
		require.Contains(t, w.Members("other"), "jo", "memberships are kept")
	})
	t.Run("who is here anyway stays", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, removing)
		g := w.Grant("jo", access.Directory, time.Hour)
		w.Right(g)
		w.Until(g)
		made := w.Calls(func() { w.Right(g) })
		require.Zero(t, made["users.remove"]+made["users.suspend"])
		require.True(t, w.Holds("jo", access.Directory))
	})
	t.Run("an invitation whose answer was lost is not sent for ever", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, activitytest.Lendable)
		g := w.Grant("new@partner.example", access.Directory, time.Hour)
		w.Inject(cloud.Fault{Operations: []string{"users.invite"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
		w.Right(g)
		require.Equal(t, 1, w.Sim.Stats().Operations["users.invite"])
		w.Until(g)
		w.Right(g)
		require.True(t, w.Person("new").Suspended)
	})
}

func TestALicenceShortageIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	const admin = access.Entitlement("default:jira-software/acme/admin")
	w := activitytest.WithGrants(t, activitytest.Lendable)
	w.Configure(func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 0} })
	g := w.Grant("kim", admin, time.Hour)
	r, answers := w.Attend(g)
	require.Equal(t, access.Shortage, r.Results["add kim@example.com to group:jira-admins-acme"].State)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "licence")
	require.True(t, w.Stored(g).ProvisionedAt.IsZero())
	w.Configure(func(s *cloud.Settings) { s.Licences["jira/acme"] = -1 })
	w.Right(g)
	require.True(t, w.Holds("kim", admin))
}

func TestWhoWasSuspendedBeforeTheStartIsNotGivenAnything(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	in := w.RequestOf("kim@example.com", activitytest.Other, time.Hour)
	in.Start = w.Clock().Add(3 * time.Hour)
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0]
	require.Equal(t, in.Start, g.From)
	require.Zero(t, w.Right(g).Plan.Open, "it has not begun")
	w.Set("kim", map[string]any{"suspended": true})
	w.Pass(3 * time.Hour)
	before := w.Sim.Stats().Writes
	r, answers := w.Attend(g)
	require.Equal(t, access.Refused, r.Results["add kim@example.com to group:other"].State)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "not active")
	require.Equal(t, before, w.Sim.Stats().Writes)
	w.Until(g)
	w.Right(g)
	require.Equal(t, before, w.Sim.Stats().Writes)
	require.False(t, w.Stored(g).RevokedAt.IsZero())
}

func TestWhoIsNotEligibleAnyMoreIsNotGivenAnything(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, "reason: false", "reason: false\n    eligible: in(\"eng\")", 1))
	in := w.RequestOf("carol@example.com", activitytest.Other, time.Hour)
	in.Start = w.Clock().Add(3 * time.Hour)
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0]
	w.Leave("eng", "carol")
	w.Pass(3 * time.Hour)
	r, answers := w.Attend(g)
	require.Equal(t, access.Refused, r.Results["add carol@example.com to group:other"].State)
	require.Contains(t, answers[0].Why, `in("eng")`)
	require.False(t, w.Holds("carol", activitytest.Other))
	w.Join("eng", "carol")
	w.Right(g)
	require.True(t, w.Holds("carol", activitytest.Other))
}

func TestAGrantThatIsOverBeforeItsWriteGivesNothing(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	r := w.Begin(g)
	w.Until(g)
	made := w.Calls(func() { w.Lend(r, 1) })
	require.Zero(t, made["memberships.add"])
	require.Equal(t, access.Superseded, r.Results["add kim@example.com to group:other"].State)
	w.Answer(r)
	made = w.Calls(func() { w.Right(g) })
	require.Empty(t, made)
	require.False(t, w.Holds("kim", activitytest.Other))
	require.False(t, w.Stored(g).RevokedAt.IsZero())
}

func TestAGrantCostsOneWriteAndFewReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target  access.Entitlement
		protect string
		give    map[string]int
		take    map[string]int
	}{
		"group": {activitytest.Other, "", map[string]int{"users.search": 1, "memberships.add": 1},
			map[string]int{"users.search": 1, "memberships.remove": 1}},
		"protected group": {activitytest.Other, "group:other", map[string]int{"users.search": 1, "memberships.add": 1},
			map[string]int{"users.search": 1, "memberships.remove": 1}},
		"org-admin": {access.OrgAdmin, "role:org-admin", map[string]int{"users.search": 1, "org-roles.assign": 1},
			map[string]int{"users.search": 1, "org-roles.revoke": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			protect := ""
			if c.protect != "" {
				protect = "protected: [{target: \"" + c.protect + "\", minimum: 1}]\n"
			}
			w := activitytest.WithGrants(t, protect+activitytest.Lendable)
			g := w.Grant("kim", c.target, time.Hour)
			var r *activitytest.Round
			require.Equal(t, c.give, w.Calls(func() { r = w.Begin(g); w.Lend(r, 1) }))
			require.Equal(t, map[string]int{"users.search": 1},
				w.Calls(func() { require.True(t, w.Answer(r)[0].Right) }), "read back")
			w.Until(g)
			require.Equal(t, c.take, w.Calls(func() { r = w.Begin(g); w.Lend(r, 1) }))
			require.Equal(t, map[string]int{"users.search": 1},
				w.Calls(func() { require.True(t, w.Answer(r)[0].Right) }), "read back")
		})
	}
}

func TestAWorkflowThatIsGoneIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	w.Temporal.Gone = true
	r := w.Begin(g)
	w.Lend(r, 1)
	require.Equal(t, 1, activitytest.Must[int](w, w.Acts.Reconcile.Attended, r.AttendInput))
}
