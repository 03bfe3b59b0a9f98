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
func TestADeletedSourceIsHeldAsAWholeAndRecovers(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	w.requireInStep(shop, nil)
	before := w.status().LastID

	require.NoError(t, w.idp.DeleteGroup(t.Context(), group(t, w.state(), "sales").SCIMGroupID))
	state := w.until(func(s messages.OrgSyncState) bool { return held(s) && s.LastFull.Run > before })
	require.Equal(t, len(confluenceOnly()), state.Hold.People, "a part of them is no plan to decide on")
	require.Contains(t, state.LastFull.Trigger, "sales")
	require.Zero(t, removals(w.stats()))

	again := scim.Group{DisplayName: "sales"}
	for _, key := range sellers() {
		again.MemberIDs = append(again.MemberIDs, person(t, w.state(), key).SCIMUserID)
	}
	_, err := w.idp.CreateGroup(t.Context(), again)
	require.NoError(t, err)
	w.until(notHeld)
	w.syncNow()
	w.requireInStep(shop, nil)

	leaver := confluenceOnly()[0]
	w.leave("sales", leaver)
	w.eventually(func() error {
		if w.in(confluence, leaver) {
			return fmt.Errorf("%s still holds what sales gave", leaver)
		}
		return nil
	})
	require.Nil(t, w.status().Hold)
	require.Equal(t, 1, removals(w.stats()))
}

// Who left the organization and is invited again holds what an administrator gave them then.
func TestWhoComesBackKeepsWhatIsGivenByHand(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	fay := confluenceOnly()[0]
	require.True(t, w.in(confluence, fay))
	account := person(t, w.state(), fay).AccountID
	w.leave("sales", fay)
	require.NoError(t, w.Simulator.Person(t.Context(), fay, map[string]any{"remove": true}))
	w.syncNow()
	w.eventually(func() error {
		answer, err := w.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: account})
		if err == nil && len(answer.Why.Holdings) > 0 {
			err = fmt.Errorf("it is still on the books: %s", answer.Message)
		}
		return err
	})
	w.bringBack(fay)
	w.invite(confluence, fay)
	for range 2 {
		w.syncNow()
	}
	require.True(t, w.in(confluence, fay))
}

// bringBack invites somebody into the organization again, as an administrator would.
func (w *world) bringBack(key string) {
	w.t.Helper()
	api, err := organization.New(organization.Options{
		BaseURL: w.Simulator.URL + "/admin", OrgID: w.Simulator.OrgID, UserAgent: "an administrator",
		Key: func(context.Context) (string, error) { return stack.OrgKey, nil },
	})
	require.NoError(w.t, err)
	_, err = organization.NewWriter(api).Invite(w.t.Context(),
		organization.Invitation{Email: person(w.t, w.state(), key).Email})
	require.NoError(w.t, err)
}

// Nobody looked while she was away: only the event feed tells that what she holds now is not what Castellan gave.
func TestWhoWasAwayBetweenTwoLooksKeepsWhatIsGivenByHand(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", suite.OrgFile(t, shopFile()))
	w.settled(shopPolicy())
	w.eventually(func() error {
		if polls := w.stats().Operations["events.stream"]; polls < 3 {
			return fmt.Errorf("the feed was polled %d times", polls)
		}
		return nil
	})
	w.stop(w.Worker)
	fay := confluenceOnly()[0]
	w.leave("sales", fay)
	require.NoError(t, w.Simulator.Person(t.Context(), fay, map[string]any{"remove": true}))
	w.bringBack(fay)
	w.invite(confluence, fay)
	require.NoError(t, w.StartWorker())
	w.eventually(func() error {
		answer, err := w.Ask(t.Context(),
			messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: person(t, w.state(), fay).AccountID})
		switch {
		case err != nil:
			return err
		case len(answer.Why.Holdings) != 1 || answer.Why.Holdings[0].Owned:
			return fmt.Errorf("it is still Castellan's: %+v", answer.Why.Holdings)
		}
		return nil
	})
	w.syncNow()
	require.True(t, w.in(confluence, fay))
	require.Zero(t, removals(w.stats()))
}
