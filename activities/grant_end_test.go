package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

func TestAGrantEndsEarly(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]messages.RevokeInput{
		"by request":    {Request: "g001"},
		"by address":    {Person: "KIM@example.com", Target: other},
		"by account id": {Person: "id", Target: other},
		"by its key":    {Target: other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, judged)
			g := w.grant("kim", other, time.Hour)
			w.right(g)
			w.pass(10 * time.Minute)
			revoke := activities.RevokeGrantInput{Org: org, RevokeInput: in}
			revoke.RequestedBy, revoke.Reason = "bo@example.com", "done"
			if revoke.Person == "id" {
				revoke.Person = w.id("kim")
			}
			if name == "by its key" {
				revoke.Key = g.Key
			}
			ended := must[messages.GrantAnswer](w, w.acts.RevokeGrant, revoke).Grants[0]
			require.Equal(t, access.GrantEnded, ended.State)
			require.Equal(t, w.clock(), ended.Until)
			require.Equal(t, "bo@example.com", ended.ClosedBy)
			require.True(t, w.holds("kim", other), "the loop takes it back, not the request")
			w.pass(time.Minute)
			again := must[messages.GrantAnswer](w, w.acts.RevokeGrant, revoke).Grants[0]
			require.Equal(t, ended, again, "a repeat changes nothing")
			w.right(g)
			require.False(t, w.holds("kim", other))
		})
	}
}

func TestWhatCannotBeRevoked(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	w.grant("kim", other, time.Hour)
	for name, c := range map[string]struct {
		in    activities.RevokeGrantInput
		words string
	}{
		"no grant":         {activities.RevokeGrantInput{RevokeInput: messages.RevokeInput{Person: "jo@example.com", Target: other}}, "jo@example.com holds group:other by no grant"},
		"another target":   {activities.RevokeGrantInput{RevokeInput: messages.RevokeInput{Person: "kim@example.com", Target: helpers}}, "by no grant that is open"},
		"no target":        {activities.RevokeGrantInput{RevokeInput: messages.RevokeInput{Person: "kim@example.com", Target: "x"}}, "is not an entitlement"},
		"unknown request":  {activities.RevokeGrantInput{RevokeInput: messages.RevokeInput{Request: "g999"}}, "request g999 is not known"},
		"somebody else's":  {activities.RevokeGrantInput{Key: "jo@example.com", RevokeInput: messages.RevokeInput{Request: "g001"}}, "request g001 is not known here"},
		"empty everything": {activities.RevokeGrantInput{}, "is not an entitlement"},
	} {
		t.Log(name)
		c.in.Org, c.in.RequestedBy = org, "bo@example.com"
		w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.RevokeGrant, c.in); return err }, c.words)
	}
}

func TestARequestThatIsWithdrawnGivesNothing(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	g := must[messages.GrantAnswer](w, w.acts.RequestGrant, w.adminRequest()).Grants[0]
	must[messages.GrantAnswer](w, w.acts.RevokeGrant, activities.RevokeGrantInput{Org: org, RevokeInput: messages.RevokeInput{Request: g.ID, RequestedBy: "kim@example.com"}})
	require.True(t, w.stored(g).Settled())
	require.Empty(t, w.begin(g).plan)
}
