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

func TestGrantGivesAndTakes(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{activitytest.Other, "default:jira-software/acme/admin", access.OrgAdmin,
		activitytest.Jira} {
		t.Run(strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, activitytest.Lendable)
			g := o.Grant("kim", target, time.Hour)
			require.Equal(t, access.GrantGranted, g.State)
			id := messages.GrantID(activitytest.Org, g.Target, o.AccountID("kim"))
			require.Equal(t, []string{id, id}, o.Temporal.Woken, "before the request is stored, and after")
			given := o.AttendAll(g)
			require.Equal(t, 1, given.Plan.Open)
			require.True(t, o.Holds("kim", target))
			require.False(t, o.StoredGrant(g).ProvisionedAt.IsZero())

			for label, c := range o.Lines(given.Run) { // a repeat finds the answer in the ledger
				made := o.Calls(func() {
					again := activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply,
						apply.ChangeInput{RunInput: given.RunInput, Person: c.Person, Target: c.Target, Now: true})
					require.Equal(t, access.Done, again.State, label)
				})
				require.Empty(t, made)
			}
			require.Zero(t, o.AttendAll(g).Plan.Open, "while it runs nothing more is to do")

			o.AdvanceToEnd(g)
			o.AttendAll(g)
			require.False(t, o.Holds("kim", target))
			over := o.StoredGrant(g)
			require.Equal(t, access.GrantEnded, over.State)
			require.False(t, over.RevokedAt.IsZero())
			require.True(t, over.Settled())
			require.Zero(t, o.AttendAll(over).Plan.Open)
		})
	}
}

func TestGrantOfPresence(t *testing.T) {
	t.Parallel()
	removing := strings.Replace(activitytest.Lendable, "reason: false", "reason: false\n    end: remove", 1)
	t.Run("whom nobody knows is invited, and suspended at the end", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, activitytest.Lendable)
		g := o.Grant("New@Partner.example", access.Directory, time.Hour)
		require.Equal(t, "new@partner.example", g.Person)
		o.AttendAll(g)
		require.True(t, o.Holds("new", access.Directory))
		require.Equal(t, o.AccountID("new"), o.StoredGrant(g).Person, "the account id is known now")
		require.True(t, o.Held("new", access.Directory).Owned)
		o.AdvanceToEnd(g)
		o.AttendAll(g)
		p := o.Person("new")
		require.True(t, p.Suspended && !p.Absent)
	})
	t.Run("whom nobody knows is invited, and removed at the end", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, removing)
		g := o.Grant("new@partner.example", access.Directory, time.Hour)
		o.AttendAll(g)
		o.AdvanceToEnd(g)
		o.AttendAll(g)
		require.True(t, o.Person("new").Absent)
	})
	t.Run("who is suspended is restored, and suspended again", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, activitytest.Lendable)
		o.ChangePerson("jo", map[string]any{"suspended": true})
		g := o.Grant("jo", access.Directory, time.Hour)
		o.AttendAll(g)
		require.True(t, o.Holds("jo", access.Directory))
		o.AdvanceToEnd(g)
		o.AttendAll(g)
		require.True(t, o.Person("jo").Suspended)
		require.Contains(t, o.Members("other"), "jo", "memberships are kept")
	})
	t.Run("who is here anyway stays", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, removing)
		g := o.Grant("jo", access.Directory, time.Hour)
		o.AttendAll(g)
		o.AdvanceToEnd(g)
		made := o.Calls(func() { o.AttendAll(g) })
		require.Zero(t, made["users.remove"]+made["users.suspend"])
		require.True(t, o.Holds("jo", access.Directory))
	})
	t.Run("an invitation whose answer was lost is not sent for ever", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, activitytest.Lendable)
		g := o.Grant("new@partner.example", access.Directory, time.Hour)
		o.Inject(cloud.Fault{Operations: []string{"users.invite"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
		o.AttendAll(g)
		require.Equal(t, 1, o.Sim.Stats().Operations["users.invite"])
		o.AdvanceToEnd(g)
		o.AttendAll(g)
		require.True(t, o.Person("new").Suspended)
	})
}

func TestGrantWithoutALicenceIsReportedAndTriedAgain(t *testing.T) {
	t.Parallel()
	const admin = access.Entitlement("default:jira-software/acme/admin")
	o := activitytest.WithGrants(t, activitytest.Lendable)
	o.Configure(func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 0} })
	g := o.Grant("kim", admin, time.Hour)
	r, answers := o.Attend(g)
	require.Equal(t, access.Shortage, r.Results["add kim@example.com to group:jira-admins-acme"].State)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "licence")
	require.True(t, o.StoredGrant(g).ProvisionedAt.IsZero())
	o.Configure(func(s *cloud.Settings) { s.Licences["jira/acme"] = -1 })
	o.AttendAll(g)
	require.True(t, o.Holds("kim", admin))
}

func TestGrantGivesNothingToSuspendedPeople(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	in := o.RequestOf("kim@example.com", activitytest.Other, time.Hour)
	in.Start = o.Clock().Add(3 * time.Hour)
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
	require.Equal(t, in.Start, g.From)
	require.Zero(t, o.AttendAll(g).Plan.Open, "it has not begun")
	o.ChangePerson("kim", map[string]any{"suspended": true})
	o.Advance(3 * time.Hour)
	before := o.Sim.Stats().Writes
	r, answers := o.Attend(g)
	require.Equal(t, access.Refused, r.Results["add kim@example.com to group:other"].State)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "not active")
	require.Equal(t, before, o.Sim.Stats().Writes)
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	require.Equal(t, before, o.Sim.Stats().Writes)
	require.False(t, o.StoredGrant(g).RevokedAt.IsZero())
}

func TestGrantGivesNothingToPeopleNoLongerEligible(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, "reason: false", "reason: false\n    eligible: in(\"eng\")", 1))
	in := o.RequestOf("carol@example.com", activitytest.Other, time.Hour)
	in.Start = o.Clock().Add(3 * time.Hour)
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
	o.Leave("eng", "carol")
	o.Advance(3 * time.Hour)
	r, answers := o.Attend(g)
	require.Equal(t, access.Refused, r.Results["add carol@example.com to group:other"].State)
	require.Contains(t, answers[0].Why, `in("eng")`)
	require.False(t, o.Holds("carol", activitytest.Other))
	o.Join("eng", "carol")
	o.AttendAll(g)
	require.True(t, o.Holds("carol", activitytest.Other))
}

func TestGrantThatEndsBeforeItsWriteGivesNothing(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	r := o.PlanRound(g)
	o.AdvanceToEnd(g)
	made := o.Calls(func() { o.WriteRound(r, 1) })
	require.Zero(t, made["memberships.add"])
	require.Equal(t, access.Superseded, r.Results["add kim@example.com to group:other"].State)
	o.AnswerRound(r)
	made = o.Calls(func() { o.AttendAll(g) })
	require.Empty(t, made)
	require.False(t, o.Holds("kim", activitytest.Other))
	require.False(t, o.StoredGrant(g).RevokedAt.IsZero())
}

func TestGrantCostsOneWriteAndFewReads(t *testing.T) {
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
			o := activitytest.WithGrants(t, protect+activitytest.Lendable)
			g := o.Grant("kim", c.target, time.Hour)
			var r *activitytest.Round
			require.Equal(t, c.give, o.Calls(func() { r = o.PlanRound(g); o.WriteRound(r, 1) }))
			require.Equal(t, map[string]int{"users.search": 1},
				o.Calls(func() { require.True(t, o.AnswerRound(r)[0].Right) }), "read back")
			o.AdvanceToEnd(g)
			require.Equal(t, c.take, o.Calls(func() { r = o.PlanRound(g); o.WriteRound(r, 1) }))
			require.Equal(t, map[string]int{"users.search": 1},
				o.Calls(func() { require.True(t, o.AnswerRound(r)[0].Right) }), "read back")
		})
	}
}

func TestGrantWhoseWorkflowIsGone(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	o.Temporal.Gone = true
	r := o.PlanRound(g)
	o.WriteRound(r, 1)
	require.Equal(t, 1, activitytest.Must[int](o, o.Acts.Reconcile.Attended, r.AttendInput))
}
