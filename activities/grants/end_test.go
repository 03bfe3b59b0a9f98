package grants_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/messages"
)

func TestRevokeGrantEndsAGrantEarly(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]messages.RevokeInput{
		"by request":    {Request: "g001"},
		"by address":    {Person: "KIM@example.com", Target: activitytest.Other},
		"by account id": {Person: "id", Target: activitytest.Other},
		"by its key":    {Target: activitytest.Other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, activitytest.Judged)
			g := o.Grant("kim", activitytest.Other, time.Hour)
			o.AttendAll(g)
			o.Advance(10 * time.Minute)
			revoke := grants.RevokeGrantInput{Org: activitytest.Org, RevokeInput: in}
			revoke.RequestedBy, revoke.Reason = "bo@example.com", "done"
			if revoke.Person == "id" {
				revoke.Person = o.AccountID("kim")
			}
			if name == "by its key" {
				revoke.Key = g.Key
			}
			ended := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RevokeGrant, revoke).Grants[0]
			require.Equal(t, access.GrantEnded, ended.State)
			require.Equal(t, o.Clock(), ended.Until)
			require.Equal(t, o.AccountID("bo"), ended.ClosedBy)
			require.True(t, o.Holds("kim", activitytest.Other), "the loop takes it back, not the request")
			o.Advance(time.Minute)
			again := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RevokeGrant, revoke).Grants[0]
			require.Equal(t, ended, again, "a repeat changes nothing")
			o.AttendAll(g)
			require.False(t, o.Holds("kim", activitytest.Other))
		})
	}
}

func TestRevokeGrantRefuses(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	o.Grant("kim", activitytest.Other, time.Hour)
	for name, c := range map[string]struct {
		in    grants.RevokeGrantInput
		words string
	}{
		"no grant": {grants.RevokeGrantInput{RevokeInput: messages.RevokeInput{Person: "jo@example.com",
			Target: activitytest.Other}}, "jo@example.com has no open grant of group:other"},
		"another target": {grants.RevokeGrantInput{RevokeInput: messages.RevokeInput{Person: "kim@example.com",
			Target: activitytest.Helpers}}, "has no open grant of"},
		"no target": {grants.RevokeGrantInput{RevokeInput: messages.RevokeInput{Person: "kim@example.com",
			Target: "x"}}, "is not an entitlement"},
		"upper-case id": {grants.RevokeGrantInput{
			RevokeInput: messages.RevokeInput{Person: strings.ToUpper(o.AccountID("kim")), Target: activitytest.Other}},
			"nobody named"},
		"unknown request": {grants.RevokeGrantInput{RevokeInput: messages.RevokeInput{Request: "g999"}},
			"request g999 is not known"},
		"somebody else's": {grants.RevokeGrantInput{Key: "jo@example.com",
			RevokeInput: messages.RevokeInput{Request: "g001"}}, "request g001 is not known here"},
		"empty everything": {grants.RevokeGrantInput{}, "is not an entitlement"},
	} {
		t.Log(name)
		c.in.Org, c.in.RequestedBy = activitytest.Org, "bo@example.com"
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RevokeGrant, c.in)
			return err
		}, c.words)
	}
}

func TestRevokeGrantWithdrawsARequest(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, o.AdminRequest()).Grants[0]
	activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RevokeGrant,
		grants.RevokeGrantInput{Org: activitytest.Org,
			RevokeInput: messages.RevokeInput{Request: g.ID, RequestedBy: "kim@example.com"}})
	require.True(t, o.StoredGrant(g).Settled())
	require.Empty(t, o.PlanRound(g).Plan)
}
