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
func TestGrantIsFoundByEveryNameOfItsAccount(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"kim.lee@example.com", "the account id", "kim@example.com"} {
		o := activitytest.WithGrants(t, activitytest.Judged)
		g := o.Grant("kim", activitytest.Other, time.Hour)
		o.AttendAll(g)
		o.Rename("kim", "kim.lee@example.com")
		if name == "the account id" {
			name = o.AccountID("kim")
		}
		require.Equal(t, []string{g.ID}, o.RequestsOf(name), name)
		in := o.RequestOf(name, activitytest.Other, time.Hour)
		more := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.ExtendGrant,
			grants.ExtendGrantInput{Org: activitytest.Org, Target: activitytest.Other, Key: g.Key,
				ExtendInput: messages.ExtendInput{
					Duration: access.Duration(time.Hour), RequestedBy: "kim.lee@example.com", Reason: "more",
					RequestID: in.RequestID,
				}})
		require.Equal(t, "kim.lee@example.com", more.Grants[0].Email, "people see today's address")
		answer, err := o.Revoke(name, activitytest.Other)
		require.NoError(t, err, name)
		require.Len(t, answer.Grants, 2)
		require.Contains(t, o.Temporal.Woken, messages.GrantID(activitytest.Org, activitytest.Other, o.AccountID("kim")))
		o.AttendAll(g)
		require.False(t, o.Holds("kim", activitytest.Other))
	}
}

// Whoever gets an address gets nothing that was its former owner's.
func TestGrantOfAReusedAddressStaysWithTheOtherAccount(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, `
grants:
  - {name: rest, targets: ["group:other"], duration: {max: 4h}, cooldown: 2h, reason: false, extend: {max: 8h, times: 2}}
`)
	first := o.Grant("kim", activitytest.Other, time.Hour)
	o.AttendAll(first)
	o.Rename("kim", "kim.lee@example.com")
	o.Rename("lea", "kim@example.com")
	require.Empty(t, o.RequestsOf("kim@example.com"))
	second := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Other, time.Hour)).Grants[0]
	require.Equal(t, o.AccountID("lea"), second.Person, "the other's cool-down is none of hers")
	require.NotEqual(t, first.Key, second.Key)
	o.AttendAll(second)

	answer, err := o.Revoke("kim@example.com", activitytest.Other)
	require.NoError(t, err)
	require.Len(t, answer.Grants, 1)
	require.Equal(t, second.ID, answer.Grants[0].ID)
	require.Equal(t, access.GrantGranted, o.StoredGrant(first).State)
	o.AttendAll(second)
	require.True(t, o.Holds("kim", activitytest.Other))
	require.False(t, o.Holds("lea", activitytest.Other))
}

func TestRequestGrantNeedsARequesterInTheDirectory(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	o.ChangePerson("finn", map[string]any{"suspended": true})
	for _, by := range []string{
		"helpdesk", "Carol <carol@example.com>", "carol+me@example.com", "c\u0430rol@example.com", "nobody@example.com",
		"finn@example.com", "",
		"carol@example.com,bo@example.com",
	} {
		in := o.AdminRequest()
		in.RequestedBy = by
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
			return err
		}, "requestedBy")
	}
	in := o.AdminRequest()
	in.RequestedBy = " carol@example.com "
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
	require.Equal(t, o.AccountID("carol"), g.By)
	require.NotContains(t, g.Approvers, o.AccountID("carol"))
	o.Rename("carol", "carol.lee@example.com")
	for _, by := range []string{"carol.lee@example.com", o.AccountID("carol")} {
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, approvalOf(g, by))
			return err
		}, "that they requested")
	}
}

func TestDecideGrantNeedsAnActiveApprover(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, o.AdminRequest()).Grants[0]
	o.Rename("carol", "carol.lee@example.com")
	o.Rename("gil", "carol@example.com")
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant,
			approvalOf(g, "carol@example.com"))
		return err
	}, "only the approvers")
	o.ChangePerson("dan", map[string]any{"suspended": true})
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant,
			approvalOf(g, "dan@example.com"))
		return err
	}, "is not active")
	o.ChangePerson("ana", map[string]any{"inactive": true})
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant,
			approvalOf(g, "ana@example.com"))
		return err
	}, "is not active")
	answer := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant,
		approvalOf(g, "carol.lee@example.com"))
	require.Equal(t, o.AccountID("carol"), answer.Grants[0].Approvals[0].By)
	again := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, approvalOf(g, o.AccountID("carol")))
	require.Len(t, again.Grants[0].Approvals, 1, "one account, one word")

	o.ChangePerson("dan", map[string]any{"suspended": false})
	o.ChangePerson("gil", map[string]any{"email": "gil@example.com"})
	in := o.AdminRequest()
	in.Person, in.RequestedBy = o.AccountID("kim"), "eve@example.com"
	next := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
	require.ElementsMatch(t, []string{o.AccountID("carol"), o.AccountID("dan")}, next.Approvers,
		"ana is deactivated, carol was followed")
}

func TestPolicyNamesFollowAccounts(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	text := o.PolicyText(activitytest.OpenGuard + activitytest.Guarded)
	require.Contains(t, activitytest.Joined(o.Admitted(text)), "name-unknown glas@example.com")
	rows, err := o.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Len(t, rows, 3)

	o.Rename("ana", "ana.lee@example.com")
	o.Rename("dan", "dan.lee@example.com")
	o.Rename("gil", "ana@example.com")
	found := activitytest.Joined(o.Admitted(text))
	require.Contains(t, found, "name-changed ana@example.com: this address now belongs to account "+
		o.AccountID("gil")+"; the policy still means ana.lee@example.com")
	require.Contains(t, found, "name-changed dan@example.com: has the address dan.lee@example.com now",
		"the rule's owner is followed, not refused")
	known, err := o.Ledger.Organization(t.Context(), activitytest.Org)
	require.NoError(t, err)
	o.Policy = known.Policy
	_, verdict := o.SweepAndJudge()
	require.Contains(t, activitytest.Joined(verdict.Findings), "name-changed ana@example.com")

	require.NotContains(t, activitytest.Joined(o.Admitted(o.PolicyText(activitytest.OpenGuard))), "name-changed",
		"a name that leaves the policy is forgotten")
	found = activitytest.Joined(o.Admitted(strings.ReplaceAll(text, "dan@", "dan.lee@")))
	require.NotContains(t, found, "name-changed ana@example.com",
		"and stands for whoever has the address when it comes back")
	rows, err = o.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, o.AccountID("gil"), rows[0].Account)
}

func TestPolicyNamesThatAreUnresolvedStopRemovals(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit(activitytest.OpenGuard + activitytest.Guarded)
	o.Leave("eng", "eve")
	o.VerifyEverybody()
	require.Contains(t, o.Members("builders"), "eve", "glas may be eve")
	o.Rename("jo", "glas@example.com")
	o.VerifyEverybody()
	require.Contains(t, o.Members("builders"), "eve", "who has the address now may be somebody else")
	o.Admit(activitytest.OpenGuard + activitytest.Guarded)
	o.VerifyEverybody()
	require.NotContains(t, o.Members("builders"), "eve", "applying the policy says who glas is: somebody else than eve")
}

// TestPolicyNamesAreBoundOnlyByAnApply: zed is misspelt, or gone, and later somebody else gets the
// address.
func TestPolicyNamesAreBoundOnlyByAnApply(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	text := activitytest.OpenGuard + `
grants:
  - name: urgent
    targets: ["role:org-admin"]
    duration: {max: 1h}
    approval: {by: [bo@example.com, ana@example.com, zed@example.com]}
    breakGlass: {people: [zed@example.com], max: 10m}
`
	o.Admit(text)
	require.Contains(t, activitytest.Joined(o.Admitted(o.PolicyText(text))), "approver-unknown zed@example.com")
	o.Rename("gil", "zed@example.com")
	for range 2 {
		_, verdict := o.SweepAndJudge()
		found := activitytest.Joined(verdict.Findings)
		require.Contains(t, found, "name-unknown zed@example.com")
		require.Contains(t, found, "account "+o.AccountID("gil")+" has had this address since "+
			o.Clock().UTC().Format(time.RFC3339))
		require.Contains(t, found, "apply the policy again if you mean that account")
	}
	in := o.RequestOf("zed@example.com", "role:org-admin", 10*time.Minute)
	in.RequestedBy, in.BreakGlass = "zed@example.com", true
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, "may use break-glass")
	other := o.RequestOf("kim@example.com", "role:org-admin", 10*time.Minute)
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, other).Grants[0]
	require.NotContains(t, g.Approvers, o.AccountID("gil"))

	preview := o.AdmitIn(o.PolicyText(text))
	preview.Preview = true
	require.Contains(t, activitytest.Joined(activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
		preview).Findings), "name-found zed@example.com")
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, "may use break-glass")

	found := activitytest.Joined(o.Admitted(o.PolicyText(text)))
	require.Contains(t, found, "name-found zed@example.com: matched no account in the policy in force; in this one it means account "+o.AccountID("gil"))
	require.NotContains(t, found, "name-unknown")
	require.Equal(t, access.GrantGranted,
		activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0].State)
	require.NotContains(t, activitytest.Joined(o.Admitted(o.PolicyText(text))), "name-found", "said once")
}

// A ledger from before names were kept has them looked up once, and whoever was renamed before that is found by what
// the ledger saw.
func TestPolicyNamesAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit(activitytest.OpenGuard + activitytest.Guarded)
	inForce, err := o.Ledger.Policy(t.Context(), activitytest.Org, "")
	require.NoError(t, err)
	_, err = o.Ledger.SavePolicy(t.Context(), inForce) // as it was before
	require.NoError(t, err)
	o.Rename("ana", "ana.lee@example.com")
	made := o.Calls(func() { o.Outline(o.NewRun()) })
	require.Positive(t, made["users.search"])
	rows, err := o.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, o.AccountID("ana"), rows[0].Account)
	require.Equal(t, ledger.PolicyName{}.Account, rows[2].Account, "nobody is glas")
}

func TestPolicyNamesAreLeftAloneByPreviews(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit(activitytest.OpenGuard + activitytest.Guarded)
	before, err := o.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	o.Rename("ana", "ana.lee@example.com")
	o.Rename("gil", "ana@example.com")
	in := o.AdmitIn(o.PolicyText(activitytest.OpenGuard + `
protected: [{target: role:org-admin, minimum: 1, always: [ana@example.com, bo@example.com]}]`))
	in.Preview = true
	activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, in)
	after, err := o.Ledger.PolicyNames(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, before[0], after[0])
	require.Len(t, after, len(before)+1)
	require.True(t, after[1].Trial)
}

func TestCodesGoToTheCurrentAddress(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	o.Notifier.Privately = true
	in := o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
	o.Rename("carol", "carol.lee@example.com")
	o.Rename("gil", "carol@example.com")
	_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.Tell }, grants.TellInput{
		Org: activitytest.Org, Workflow: messages.GrantID(activitytest.Org, g.Target, g.Key),
		Kind: grants.NoticeRequested, Grant: g.ID})
	require.NoError(t, err)
	var to []string
	for _, n := range o.Notifier.Notices {
		if n.Code != "" {
			to = append(to, n.To)
		}
	}
	require.ElementsMatch(t, []string{"carol.lee@example.com", "dan@example.com"}, to)
}

// A name whose row the chain does not explain leads to nobody, whomever the directory shows under it, until the policy
// is applied again.
func TestPolicyNamesThatWereForgedResolveToNobody(t *testing.T) {
	t.Parallel()
	for _, forgery := range []string{
		`UPDATE policy_names SET account = ? WHERE name = 'ana@example.com'`,
		`UPDATE policy_names SET account = ?, trial = 1 WHERE name = 'ana@example.com'`,
	} {
		o := activitytest.NewInStep(t)
		text := o.PolicyText(activitytest.OpenGuard + activitytest.Guarded)
		o.Admitted(text)
		known, err := o.Ledger.Organization(t.Context(), activitytest.Org)
		require.NoError(t, err)
		o.Policy = known.Policy
		o.Forge(forgery, o.AccountID("eve"))
		require.NotContains(t, o.AccountsOfNames(), o.AccountID("eve"))
		if !strings.Contains(forgery, "trial") {
			_, verdict := o.SweepAndJudge()
			require.Contains(t, activitytest.Joined(verdict.Findings), "name-unexplained ana@example.com")
			rows, err := o.Ledger.PolicyNames(t.Context(), activitytest.Org)
			require.NoError(t, err)
			require.Empty(t, rows[0].Account, "nor is it looked up in passing")
		}
		require.NotContains(t, activitytest.Joined(o.Admitted(text)), "name-unexplained")
		rows, err := o.Ledger.PolicyNames(t.Context(), activitytest.Org)
		require.NoError(t, err)
		require.Equal(t, o.AccountID("ana"), rows[0].Account)
		require.True(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
	}
}
