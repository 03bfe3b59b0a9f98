package sync_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// What a source group gave that is deleted while the feed runs is held at once, and as a whole; made anew with its
// members, it is the same group, and who leaves it then loses what it gave.
func TestGuardHoldsADeletedSourceUntilItRecovers(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	o.requireInStep(shop, nil)
	before := o.status().LastID

	require.NoError(t, o.idp.DeleteGroup(t.Context(), group(t, o.state(), "sales").SCIMGroupID))
	state := o.until(func(s messages.OrgSyncState) bool { return held(s) && s.LastFull.Run > before })
	require.Equal(t, len(confluenceOnly()), state.Hold.People, "a part of them is no plan to decide on")
	require.Contains(t, state.LastFull.Trigger, "sales")
	require.Zero(t, removals(o.stats()))

	again := scim.Group{DisplayName: "sales"}
	for _, key := range sellers() {
		again.MemberIDs = append(again.MemberIDs, person(t, o.state(), key).SCIMUserID)
	}
	_, err := o.idp.CreateGroup(t.Context(), again)
	require.NoError(t, err)
	o.until(notHeld)
	o.syncNow()
	o.requireInStep(shop, nil)

	leaver := confluenceOnly()[0]
	o.leave("sales", leaver)
	o.eventually(func() error {
		if o.in(confluence, leaver) {
			return fmt.Errorf("%s still holds what sales gave", leaver)
		}
		return nil
	})
	require.Nil(t, o.status().Hold)
	require.Equal(t, 1, removals(o.stats()))
}

// Who left the organization and is invited again holds what an administrator gave them then.
func TestReturnerKeepsWhatIsGivenByHand(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	fay := confluenceOnly()[0]
	require.True(t, o.in(confluence, fay))
	account := person(t, o.state(), fay).AccountID
	o.leave("sales", fay)
	require.NoError(t, o.Simulator.Person(t.Context(), fay, map[string]any{"remove": true}))
	o.syncNow()
	o.eventually(func() error {
		answer, err := o.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: account})
		if err == nil && len(answer.Why.Holdings) > 0 {
			err = fmt.Errorf("it is still on the books: %s", answer.Message)
		}
		return err
	})
	o.bringBack(fay)
	o.invite(confluence, fay)
	for range 2 {
		o.syncNow()
	}
	require.True(t, o.in(confluence, fay))
}

// bringBack invites somebody into the organization again, as an administrator would.
func (o *testOrg) bringBack(key string) {
	o.t.Helper()
	api, err := organization.New(organization.Options{
		BaseURL: o.Simulator.URL + "/admin", OrgID: o.Simulator.OrgID, UserAgent: "an administrator",
		Key: func(context.Context) (string, error) { return stack.OrgKey, nil },
	})
	require.NoError(o.t, err)
	_, err = organization.NewWriter(api).Invite(o.t.Context(),
		organization.Invitation{Email: person(o.t, o.state(), key).Email})
	require.NoError(o.t, err)
}

// Nobody looked while she was away: only the event feed tells that what she holds now is not what Castellan gave.
func TestReturnerBetweenTwoLooksKeepsWhatIsGivenByHand(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	o.eventually(func() error {
		if polls := o.stats().Operations["events.stream"]; polls < 3 {
			return fmt.Errorf("the feed was polled %d times", polls)
		}
		return nil
	})
	o.stop(o.Worker)
	fay := confluenceOnly()[0]
	o.leave("sales", fay)
	require.NoError(t, o.Simulator.Person(t.Context(), fay, map[string]any{"remove": true}))
	o.bringBack(fay)
	o.invite(confluence, fay)
	require.NoError(t, o.StartWorker())
	o.eventually(func() error {
		answer, err := o.Ask(t.Context(),
			messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: person(t, o.state(), fay).AccountID})
		switch {
		case err != nil:
			return err
		case len(answer.Why.Holdings) != 1 || answer.Why.Holdings[0].Owned:
			return fmt.Errorf("it is still Castellan's: %+v", answer.Why.Holdings)
		}
		return nil
	})
	o.syncNow()
	require.True(t, o.in(confluence, fay))
	require.Zero(t, removals(o.stats()))
}
