package grants_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// A grant is an account's, whatever the account is called.
func TestAGrantIsFoundByEveryNameOfItsAccount(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"kim.lee@example.com", "the account id", "kim@example.com"} {
		w := activitytest.WithGrants(t, activitytest.Judged)
		g := w.Grant("kim", activitytest.Other, time.Hour)
		w.Right(g)
		w.Rename("kim", "kim.lee@example.com")
		if name == "the account id" {
			name = w.Id("kim")
		}
		require.Equal(t, []string{g.ID}, w.Of(name), name)
		in := w.RequestOf(name, activitytest.Other, time.Hour)
		more := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.ExtendGrant,
			grants.ExtendGrantInput{Org: activitytest.Org, Target: activitytest.Other, Key: g.Key,
				ExtendInput: messages.ExtendInput{
					Duration: access.Duration(time.Hour), RequestedBy: "kim.lee@example.com", Reason: "more",
					RequestID: in.RequestID,
				}})
		require.Equal(t, "kim.lee@example.com", more.Grants[0].Email, "people see today's address")
		answer, err := w.Revoke(name, activitytest.Other)
		require.NoError(t, err, name)
		require.Len(t, answer.Grants, 2)
		require.Contains(t, w.Temporal.Woken, messages.GrantID(activitytest.Org, activitytest.Other, w.Id("kim")))
		w.Right(g)
		require.False(t, w.Holds("kim", activitytest.Other))
	}
}

// Whoever gets an address gets nothing that was its former owner's.
func TestAReusedAddressGivesNothingOfTheOtherAccount(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, `
grants:
  - {name: rest, targets: ["group:other"], duration: {max: 4h}, cooldown: 2h, reason: false, extend: {max: 8h, times: 2}}
`)
	first := w.Grant("kim", activitytest.Other, time.Hour)
	w.Right(first)
	w.Rename("kim", "kim.lee@example.com")
	w.Rename("lea", "kim@example.com")
	require.Empty(t, w.Of("kim@example.com"))
	second := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant,
		w.RequestOf("kim@example.com", activitytest.Other, time.Hour)).Grants[0]
	require.Equal(t, w.Id("lea"), second.Person, "the other's cool-down is none of hers")
	require.NotEqual(t, first.Key, second.Key)
	w.Right(second)

	answer, err := w.Revoke("kim@example.com", activitytest.Other)
	require.NoError(t, err)
	require.Len(t, answer.Grants, 1)
	require.Equal(t, second.ID, answer.Grants[0].ID)
	require.Equal(t, access.GrantGranted, w.Stored(first).State)
	w.Right(second)
	require.True(t, w.Holds("kim", activitytest.Other))
	require.False(t, w.Holds("lea", activitytest.Other))
}

func TestOnlySomebodyWhomTheDirectoryKnowsMayAsk(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	w.Set("finn", map[string]any{"suspended": true})
	for _, by := range []string{
		"helpdesk", "Carol <carol@example.com>", "carol+me@example.com", "c\u0430rol@example.com", "nobody@example.com",
		"finn@example.com", "",
		"carol@example.com,bo@example.com",
	} {
		in := w.AdminRequest()
		in.RequestedBy = by
		w.Refuses(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
			return err
		}, "requestedBy")
	}
	in := w.AdminRequest()
	in.RequestedBy = " carol@example.com "
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0]
	require.Equal(t, w.Id("carol"), g.By)
	require.NotContains(t, g.Approvers, w.Id("carol"))
	w.Rename("carol", "carol.lee@example.com")
	for _, by := range []string{"carol.lee@example.com", w.Id("carol")} {
		w.Refuses(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, approvalOf(g, by))
			return err
		}, "they asked for")
	}
}

func TestAnApproverIsAnAccountThatIsActiveNow(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, w.AdminRequest()).Grants[0]
	w.Rename("carol", "carol.lee@example.com")
	w.Rename("gil", "carol@example.com")
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant,
			approvalOf(g, "carol@example.com"))
		return err
	}, "only the approvers")
	w.Set("dan", map[string]any{"suspended": true})
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant,
			approvalOf(g, "dan@example.com"))
		return err
	}, "is not active")
	w.Set("ana", map[string]any{"inactive": true})
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant,
			approvalOf(g, "ana@example.com"))
		return err
	}, "is not active")
	answer := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant,
		approvalOf(g, "carol.lee@example.com"))
	require.Equal(t, w.Id("carol"), answer.Grants[0].Approvals[0].By)
	again := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, approvalOf(g, w.Id("carol")))
	require.Len(t, again.Grants[0].Approvals, 1, "one account, one word")

	w.Set("dan", map[string]any{"suspended": false})
	w.Set("gil", map[string]any{"email": "gil@example.com"})
	in := w.AdminRequest()
	in.Person, in.RequestedBy = w.Id("kim"), "eve@example.com"
	next := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0]
	require.ElementsMatch(t, []string{w.Id("carol"), w.Id("dan")}, next.Approvers,
		"ana is deactivated, carol was followed")
}

func TestNamesOfThePolicyAreFollowed(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	text := w.Text(activitytest.OpenGuard + activitytest.Guarded)
	require.Contains(t, activitytest.Joined(w.Admitted(text)), "name-unknown glas@example.com")
	rows, err := w.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Len(t, rows, 3)

	w.Rename("ana", "ana.lee@example.com")
	w.Rename("dan", "dan.lee@example.com")
	w.Rename("gil", "ana@example.com")
	found := activitytest.Joined(w.Admitted(text))
	require.Contains(t, found, "name-changed ana@example.com: this address is account "+w.Id("gil")+
		"'s now; the policy goes on meaning ana.lee@example.com")
	require.Contains(t, found, "name-changed dan@example.com: is now dan.lee@example.com",
		"the rule's owner is followed, not refused")
	known, err := w.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	w.Policy = known.Policy
	_, verdict := w.Planned()
	require.Contains(t, activitytest.Joined(verdict.Findings), "name-changed ana@example.com")

	require.NotContains(t, activitytest.Joined(w.Admitted(w.Text(activitytest.OpenGuard))), "name-changed",
		"a name that leaves the policy is forgotten")
	found = activitytest.Joined(w.Admitted(strings.ReplaceAll(text, "dan@", "dan.lee@")))
	require.NotContains(t, found, "name-changed ana@example.com",
		"and stands for whoever has the address when it comes back")
	rows, err = w.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, w.Id("gil"), rows[0].Account)
}

func TestNothingIsTakenWhileAProtectedNameLeadsToNobody(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit(activitytest.OpenGuard + activitytest.Guarded)
	w.Leave("eng", "eve")
	w.Full()
	require.Contains(t, w.Members("builders"), "eve", "glas may be eve")
	w.Rename("jo", "glas@example.com")
	w.Full()
	require.Contains(t, w.Members("builders"), "eve", "who has the address now may be somebody else")
	w.Admit(activitytest.OpenGuard + activitytest.Guarded)
	w.Full()
	require.NotContains(t, w.Members("builders"), "eve", "applying the policy says who glas is: somebody else than eve")
}

// TestAnAddressThatLedToNobodyIsBoundByAnApplyAlone: zed is misspelt, or gone, and later somebody else gets the
// address.
func TestAnAddressThatLedToNobodyIsBoundByAnApplyAlone(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	text := activitytest.OpenGuard + `
grants:
  - name: urgent
    targets: ["role:org-admin"]
    duration: {max: 1h}
    approval: {by: [bo@example.com, ana@example.com, zed@example.com]}
    breakGlass: {people: [zed@example.com], max: 10m}
`
	w.Admit(text)
	require.Contains(t, activitytest.Joined(w.Admitted(w.Text(text))), "approver-unknown zed@example.com")
	w.Rename("gil", "zed@example.com")
	for range 2 {
		_, verdict := w.Planned()
		found := activitytest.Joined(verdict.Findings)
		require.Contains(t, found, "name-unknown zed@example.com")
		require.Contains(t, found, "account "+w.Id("gil")+" has this address since "+
			w.Clock().UTC().Format(time.RFC3339))
		require.Contains(t, found, "apply the policy again if that is who you mean")
	}
	in := w.RequestOf("zed@example.com", "role:org-admin", 10*time.Minute)
	in.RequestedBy, in.BreakGlass = "zed@example.com", true
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "may take it without approval")
	other := w.RequestOf("kim@example.com", "role:org-admin", 10*time.Minute)
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, other).Grants[0]
	require.NotContains(t, g.Approvers, w.Id("gil"))

	preview := w.AdmitIn(w.Text(text))
	preview.Preview = true
	require.Contains(t, activitytest.Joined(activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit,
		preview).Findings), "name-found zed@example.com")
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "may take it without approval")

	found := activitytest.Joined(w.Admitted(w.Text(text)))
	require.Contains(t, found, "name-found zed@example.com: led to nobody in the policy in force; by this one it means account "+w.Id("gil"))
	require.NotContains(t, found, "name-unknown")
	require.Equal(t, access.GrantGranted,
		activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0].State)
	require.NotContains(t, activitytest.Joined(w.Admitted(w.Text(text))), "name-found", "said once")
}

// A ledger from before names were kept has them looked up once, and whoever was renamed before that is found by what
// the ledger saw.
func TestNamesOfAPolicyInForceAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit(activitytest.OpenGuard + activitytest.Guarded)
	inForce, err := w.Ledger.Policy(t.Context(), activitytest.Org, "")
	require.NoError(t, err)
	_, err = w.Ledger.SavePolicy(t.Context(), inForce) // as it was before
	require.NoError(t, err)
	w.Rename("ana", "ana.lee@example.com")
	made := w.Calls(func() { w.Outline(w.NewRun()) })
	require.Positive(t, made["users.search"])
	rows, err := w.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, w.Id("ana"), rows[0].Account)
	require.Equal(t, ledger.PolicyName{}.Account, rows[2].Account, "nobody is glas")
}

func TestPreviewsLeaveTheNamesInForceAlone(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit(activitytest.OpenGuard + activitytest.Guarded)
	before, err := w.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	w.Rename("ana", "ana.lee@example.com")
	w.Rename("gil", "ana@example.com")
	in := w.AdmitIn(w.Text(activitytest.OpenGuard + `
protected: [{target: role:org-admin, minimum: 1, always: [ana@example.com, bo@example.com]}]`))
	in.Preview = true
	activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, in)
	after, err := w.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, before[0], after[0])
	require.Len(t, after, len(before)+1)
	require.True(t, after[1].Trial)
}

func TestACodeGoesToTheAddressThatItsApproverHasNow(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	w.Notifier.Privately = true
	in := w.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0]
	w.Rename("carol", "carol.lee@example.com")
	w.Rename("gil", "carol@example.com")
	_, err := w.Direct(func(a *activities.Activities) any { return a.Grants.Tell }, grants.TellInput{
		Org: activitytest.Org, Workflow: messages.GrantID(activitytest.Org, g.Target, g.Key),
		Kind: grants.NoticeRequested, Grant: g.ID})
	require.NoError(t, err)
	var to []string
	for _, n := range w.Notifier.Notices {
		if n.Code != "" {
			to = append(to, n.To)
		}
	}
	require.ElementsMatch(t, []string{"carol.lee@example.com", "dan@example.com"}, to)
}

// A name whose row the chain does not explain leads to nobody, whomever the directory shows under it, until the policy
// is applied again.
func TestANameThatWasForgedLeadsToNobody(t *testing.T) {
	t.Parallel()
	for _, forgery := range []string{
		`UPDATE policy_names SET account = ? WHERE name = 'ana@example.com'`,
		`UPDATE policy_names SET account = ?, trial = 1 WHERE name = 'ana@example.com'`,
	} {
		w := activitytest.InStep(t)
		text := w.Text(activitytest.OpenGuard + activitytest.Guarded)
		w.Admitted(text)
		known, err := w.Ledger.Organization(t.Context(), activitytest.Org)
		require.NoError(t, err)
		w.Policy = known.Policy
		w.Forge(forgery, w.Id("eve"))
		require.NotContains(t, w.NamesLeadTo(), w.Id("eve"))
		if !strings.Contains(forgery, "trial") {
			_, verdict := w.Planned()
			require.Contains(t, activitytest.Joined(verdict.Findings), "name-unexplained ana@example.com")
			rows, err := w.Ledger.PolicyNames(t.Context(), activitytest.Org)
			require.NoError(t, err)
			require.Empty(t, rows[0].Account, "nor is it looked up in passing")
		}
		require.NotContains(t, activitytest.Joined(w.Admitted(text)), "name-unexplained")
		rows, err := w.Ledger.PolicyNames(t.Context(), activitytest.Org)
		require.NoError(t, err)
		require.Equal(t, w.Id("ana"), rows[0].Account)
		require.True(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
	}
}
