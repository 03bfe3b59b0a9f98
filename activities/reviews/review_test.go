package reviews_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestReviewItemsHaveWhatAReviewerNeeds(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	o.Used("jira-software", o.Clock().Add(-10*activitytest.Day), "ana")
	r := review(o, "quarterly")
	require.Equal(t, []string{
		"ana group:builders", "bo group:builders", "carol group:builders", "dan group:builders", "fay group:builders",
		"gus group:builders",
		"kim group:builders", "paul group:partner-wiki", "pia group:internal-wiki",
	}, r.listed())
	numbers := map[int]bool{}
	last := 101
	for _, i := range r.items() {
		numbers[i.N] = true
		require.LessOrEqual(t, i.Risk, last, "the riskiest first")
		last = i.Risk
	}
	require.Len(t, numbers, 9)

	paul := r.item("paul", "group:partner-wiki")
	require.False(t, paul.Owned, "somebody put him there by hand")
	require.Empty(t, paul.Reasons)
	require.True(t, *paul.External)
	require.Contains(t, paul.Risks, "nothing in the policy explains it")
	require.Equal(t, access.VerdictRemove, paul.Recommend)
	require.Nil(t, paul.Peers)
	kim := r.item("kim", "group:builders")
	require.True(t, kim.Owned)
	require.Equal(t, "mapping builders (source group staff)", kim.Reasons[0].String())
	require.False(t, kim.Since.IsZero())
	require.Equal(t, []string{"idp-contractors", "staff"}, kim.Sources)
	require.Equal(t, &access.Peers{Group: "staff", Of: 6, Hold: 6}, kim.Peers, "the other contractor alone says little")
	require.Nil(t, kim.Before)
}

func TestReviewItemsOfUnknownUse(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, `
reviews:
  - {name: apps, owner: bo@acme.example, codes: false, scope: {targets: ["default:confluence/acme/user"]}, stages: [{reviewers: [bo@acme.example]}]}
`)
	o.ByHand("POST", "confluence-users-acme", "fay")
	o.ByHand("POST", "confluence-users-acme", "gus")
	o.Used("confluence", o.Clock().Add(-200*activitytest.Day), "gus")
	o.Used("confluence", time.Time{}, "fay") // Atlassian says nothing then
	r := review(o, "apps")
	fay, gus := r.item("fay", "group:confluence-users-acme"), r.item("gus", "group:confluence-users-acme")
	require.Equal(t, []access.Use{{App: "confluence/acme"}}, fay.Uses, "not known, which is not never")
	require.NotContains(t, fay.Because, "used")
	require.NotContains(t, fay.Risks, "never used")
	require.Equal(t, access.VerdictRemove, gus.Recommend)
	require.Equal(t, "what it opens was last used 200 days ago", gus.Because)
}

func TestReviewDecisionsAreCarriedOutAndReadBack(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	require.Len(t, r.askedOf(1)["carol"], 8, "carol is asked about all but herself")
	require.Equal(t, []string{"carol group:builders"}, r.askedOf(1)["dan"], "nobody reviews themselves")
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictRemove)
	r.decides("carol", "pia", "group:internal-wiki", access.VerdictKeep)
	r.decides("carol", "kim", "group:builders", access.VerdictRemove)
	closed := r.close()
	require.Equal(t, reviews.ReviewCloseResult{Keep: 7, Remove: 2, Silent: 6}, closed)
	require.Contains(t, o.Members("partner-wiki"), "paul", "nothing is written but by the organization's loop")
	first := r.carry()
	require.Equal(t, 1, first.Open)
	require.Equal(t, 1, first.Done, "kim's is settled at once: the source must change")
	require.Equal(t, []string{"remove paul@partner.example from group:partner-wiki"}, o.Verify())
	require.Equal(t, reviews.ReviewCarryResult{Done: 1}, r.carry())
	require.NotContains(t, o.Members("partner-wiki"), "paul")

	require.Equal(t, access.OutcomeRemoved, r.outcomes()["paul group:partner-wiki"])
	require.Equal(t, access.OutcomeSource, r.outcomes()["kim group:builders"])
	require.Contains(t, r.item("kim", "group:builders").Why, "mapping builders gives it through source group staff")
	require.Contains(t, o.Members("builders"), "kim")
	rulings, err := o.Ledger.Rulings(t.Context(), activitytest.Org, r.Review)
	require.NoError(t, err)
	require.Len(t, rulings, 1, "the keep of what nothing else explains: %v", rulings)
	require.Equal(t, access.VerdictKeep, rulings[0].Verdict)

	ended := r.end(access.ReviewDone)
	require.Equal(t, access.ReviewDone, ended.State)
	_, checked := r.evidence()
	require.Equal(t, ended.Head, checked.Head)
	require.Equal(t, ended.Lines, checked.Lines)
	require.Empty(t, o.Verify(), "nothing is left to do")
	require.Equal(t, []string{"1 item went to someone else: none of the reviewers could be asked, or only the person themselves"}, ended.Findings, "carol's own")
}

// What a review decides for a while has an instant at which it ends, and whom it concerns is due just then.
func TestRuleTimeKnowsWhenRulingsEnd(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign+"    deny: 90s\n    keep: 1h\n")
	r := review(o, "quarterly")
	r.stage(1)
	r.decides("carol", "kim", "group:builders", access.VerdictRemove)
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictKeep)
	asked := o.Clock()
	require.Zero(t, o.RuleTime(asked).Next)
	r.close()
	kept := o.Clock().Add(time.Hour)
	require.Equal(t, []messages.LookAtSignal{{Review: r.Review, Clock: true}}, o.Temporal.Asked,
		"a keep has nobody looked at: the loop has to hear when it ends")
	require.WithinDuration(t, kept, o.RuleTime(asked).Next, time.Minute)
	r.carry()
	require.WithinDuration(t, o.Clock().Add(90*time.Second), o.RuleTime(asked).Next, time.Second)
	o.Verify()
	r.carry()
	require.NotContains(t, o.Members("builders"), "kim")

	asked = o.Clock()
	o.Advance(o.RuleTime(asked).Next.Sub(o.Clock()))
	due := o.RuleTime(asked)
	require.Equal(t, []string{o.AccountID("kim")}, due.People)
	require.Empty(t, o.RuleTime(due.At).People, "once")
	require.Equal(t, []string{"add kim@acme.example to group:builders"}, o.Verify())
	o.Advance(time.Hour)
	require.Contains(t, o.RuleTime(due.At).People, o.AccountID("paul@partner.example"))
	require.Zero(t, o.RuleTime(due.At).Next)
}

func TestReviewDecisionsEndGrants(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, "grants:\n  - {name: wiki, targets: [\"group:finance-space\"], duration: {max: 48h}, reason: false}\n"+`
reviews:
  - {name: finance, owner: bo@acme.example, codes: false, scope: {targets: ["group:finance-space"]}, stages: [{reviewers: [carol@acme.example]}]}
`)
	o.AttendAll(o.Grant("fay@acme.example", "group:finance-space", 24*time.Hour))
	r := review(o, "finance")
	r.stage(1)
	r.decides("carol", "fay", "group:finance-space", access.VerdictRemove)
	r.close()
	r.carry()
	grants, err := o.Ledger.GrantsOf(t.Context(), activitytest.Org, o.AccountID("fay"), "group:finance-space")
	require.NoError(t, err)
	require.Len(t, grants, 1)
	require.Equal(t, access.GrantEnded, grants[0].State)
	require.Equal(t, "review "+r.Review, grants[0].ClosedBy)
	rulings, err := o.Ledger.Rulings(t.Context(), activitytest.Org, r.Review)
	require.NoError(t, err)
	require.Empty(t, rulings, "the grant's own workflow takes it back; a new grant is a new decision")
	o.AttendAll(grants[0])
	require.NotContains(t, o.Members("finance-space"), "fay")
	require.Equal(t, 1, r.carry().Done)
}

func TestSilenceIsHeldByTheGuard(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, `
reviews:
  - {name: wiki, owner: bo@acme.example, codes: false, silence: remove, scope: {targets: ["group:finance-space"]}, stages: [{reviewers: [carol@acme.example]}]}
`)
	for _, name := range []string{"ana", "bo", "dan", "fay", "gus", "kim"} {
		o.ByHand("POST", "finance-space", name)
	}
	o.AdmitRules(`guard: {adopt: auto, target: {removals: 2}}
` + `
reviews:
  - {name: wiki, owner: bo@acme.example, codes: false, silence: remove, scope: {targets: ["group:finance-space"]}, stages: [{reviewers: [carol@acme.example]}]}
`)
	o.Verify()
	r := review(o, "wiki")
	r.stage(1)
	r.decides("carol", "ana", "group:finance-space", access.VerdictKeep)
	require.Equal(t, 5, r.close().Silent)
	c := r.carried()
	require.Equal(t, 5, c.Held, "%+v %v", c, r.outcomes())
	require.NotEmpty(t, c.Plan)
	require.Equal(t, "ana bo dan fay gus kim", o.Members("finance-space"), "nobody lost anything")
	hold, err := o.Ledger.CurrentHold(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Equal(t, c.Plan, hold.Plan)
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "reject",
			DecisionInput: messages.DecisionInput{Plan: c.Plan, By: "bo"}})
	require.Equal(t, 5, r.carry().Done)
	require.Equal(t, access.OutcomeRejected, r.outcomes()["dan group:finance-space"])
	require.Empty(t, o.Verify())
}

func TestSilenceCannotEmptyAGroup(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign+"    silence: remove\n")
	r := review(o, "quarterly")
	r.stage(1)
	closed := r.close()
	require.Equal(t, reviews.ReviewCloseResult{Spared: 9}, closed, "all holders of all three")
	require.Zero(t, r.carry().Open)
	require.Equal(t, access.OutcomeSpared, r.outcomes()["paul group:partner-wiki"])
	require.Contains(t, r.end(access.ReviewDone).Findings,
		"the rule for silence would have removed the last holders of a target: 9 items spared")
	_, checked := r.evidence()
	require.Equal(t, 9, checked.Counts.Exceptions)
}

func TestSilenceMeansWhatTheTargetSays(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign+`    silence: keep
    silenceOf: [{targets: ["group:partner-wiki"], do: hold}, {targets: ["group:internal-wiki"], do: recommendation}]
`)
	o.ByHand("POST", "internal-wiki", "dan")
	o.ByHand("POST", "internal-wiki", "fay")
	o.Verify()
	r := review(o, "quarterly")
	r.stage(1)
	r.decides("carol", "fay", "group:internal-wiki", access.VerdictKeep)
	r.close()
	require.Equal(t, access.OutcomeUndecided, r.outcomes()["paul group:partner-wiki"])
	require.Equal(t, access.OutcomeOpen, r.outcomes()["pia group:internal-wiki"],
		"external, and nothing explains it")
	require.Equal(t, access.OutcomeUndecided, r.outcomes()["dan group:internal-wiki"],
		"nothing is recommended: some of his peers hold it")
	require.Equal(t, access.OutcomeKept, r.outcomes()["kim group:builders"])
	require.True(t, r.item("kim", "group:builders").Silent)
}

func TestReviewAttendReplacesReviewersWhoLeft(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	o.Send("POST", "/_sim/people/carol", map[string]any{"inactive": true})
	in := reviews.ReviewAttendInput{ReviewInput: r.ReviewInput, Stage: 1}
	attended := activitytest.Must[reviews.ReviewAttendResult](o, o.Acts.Reviews.ReviewAttend, in)
	require.Equal(t, []string{o.AccountID("carol")}, attended.Gone)
	asked := r.askedOf(1)
	require.Empty(t, asked["carol"])
	require.Len(t, asked["dan"], 8)
	require.Equal(t, []string{"dan group:builders"}, asked["bo"], "the owner, since dan does not review himself")
	require.NotEmpty(t, r.say("carol", access.VerdictRemove, r.item("paul", "group:partner-wiki").N).Refused)

	in.Escalate = true
	activitytest.Must[reviews.ReviewAttendResult](o, o.Acts.Reviews.ReviewAttend, in)
	require.Len(t, r.askedOf(1)["bo"], 8, "the owner is asked about all but himself")
	before := r.askedOf(1)
	activitytest.Must[reviews.ReviewAttendResult](o, o.Acts.Reviews.ReviewAttend, in)
	require.Equal(t, before, r.askedOf(1), "a repeat asks nobody twice")
}

func TestReviewStagePassesItemsOn(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, `
reviews:
  - name: two
    owner: bo@acme.example
    codes: false
    scope: {targets: ["group:partner-wiki", "group:internal-wiki"]}
    stages:
      - {reviewers: [carol@acme.example], next: removed}
      - {reviewers: ["group:idp-admins"], assign: all}
`)
	r := review(o, "two")
	r.stage(1)
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictRemove)
	r.decides("carol", "pia", "group:internal-wiki", access.VerdictKeep)
	require.Equal(t, 1, r.stage(2).Items)
	require.Len(t, r.askedOf(2), 3, "ana, bo and carol each")
	n := r.item("paul", "group:partner-wiki").N
	require.Empty(t, r.say("ana", access.VerdictKeep, n).Refused)
	p := activitytest.Must[messages.ReviewProgress](o, o.Acts.Reviews.ReviewProgress, r.ReviewInput)
	require.False(t, p.Complete, "each of them is to speak")
	require.Empty(t, r.say("bo", access.VerdictKeep, n).Refused)
	require.Empty(t, r.say("carol", access.VerdictKeep, n).Refused)
	require.True(t, activitytest.Must[messages.ReviewProgress](o, o.Acts.Reviews.ReviewProgress,
		r.ReviewInput).Complete)
	r.close()
	require.Equal(t, access.OutcomeKept, r.outcomes()["paul group:partner-wiki"], "the last stage counts")
}

func TestReviewItemsThatAreUnchangedAreLeftOut(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, `
reviews:
  - {name: fresh, owner: bo@acme.example, codes: false, scope: {targets: ["group:partner-wiki", "group:internal-wiki"], only: changed}, stages: [{reviewers: [carol@acme.example]}]}
`)
	r := review(o, "fresh")
	r.stage(1)
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictKeep)
	r.close() // pia is kept by silence
	r.end(access.ReviewDone)
	o.Advance(30 * activitytest.Day)
	o.Verify()
	again := review(o, "fresh")
	require.Equal(t, []string{"pia group:internal-wiki"}, again.listed(), "nobody ever decided on pia")
	require.Equal(t, r.Review, again.item("pia", "group:internal-wiki").Before.Review)
	require.Empty(t, again.item("pia", "group:internal-wiki").Before.By)
	taken := activitytest.Must[reviews.ReviewRankResult](o, o.Acts.Reviews.ReviewRank, again.ReviewInput)
	require.Equal(t, 1, taken.Skipped)
}

func TestReviewOfNothingIsSkipped(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, `
reviews:
  - {name: none, owner: bo@acme.example, codes: false, scope: {targets: ["group:finance-space"]}, stages: [{reviewers: [carol@acme.example]}]}
`)
	r := review(o, "none")
	require.Empty(t, r.items())
	require.Equal(t, access.ReviewSkipped, r.end(access.ReviewSkipped).State)
	activitytest.Must[reviews.ReviewTellResult](o, o.Acts.Reviews.ReviewTell,
		reviews.ReviewTellInput{ReviewInput: r.ReviewInput, Kind: reviews.NoticeReviewSkipped})
	require.Equal(t, "bo@acme.example", o.Notifier.Notices[0].To)
	require.Contains(t, o.Notifier.Notices[0].Text, "nothing to review")
}

func TestReviewThatIsCancelledChangesNothing(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictRemove)
	activitytest.Must[reviews.ReviewCloseResult](o, o.Acts.Reviews.ReviewClose,
		reviews.ReviewCloseInput{ReviewInput: r.ReviewInput, By: "bo", Why: "wrong scope", Cancel: true})
	require.Empty(t, o.Verify())
	require.Equal(t, access.OutcomeDropped, r.outcomes()["paul group:partner-wiki"])
	require.Equal(t, access.ReviewCancelled, r.end(access.ReviewCancelled).State)
	r.evidence()
}

func TestReviewDecisionsNotDoneInTimeAreReported(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictRemove)
	r.close()
	r.carry()
	o.Inject(cloud.Fault{Operations: []string{"*"}, Kind: cloud.FaultStatus, Params: cloud.FaultParams{Status: 503}})
	c := activitytest.Must[reviews.ReviewCarryResult](o, o.Acts.Reviews.ReviewCarry,
		reviews.ReviewCarryInput{ReviewInput: r.ReviewInput, Final: true})
	require.Zero(t, c.Open)
	require.Equal(t, access.OutcomeLate, r.outcomes()["paul group:partner-wiki"])
	require.Contains(t, r.item("paul", "group:partner-wiki").Why, "it could not be read")
	o.Sim.ClearFaults("")
	require.Empty(t, o.Verify(), "what was given up is not taken later")
}

// A denial takes what a grant gives, also when the grant is in force at the moment of writing.
func TestReviewDenialOutweighsAGrant(t *testing.T) {
	t.Parallel()
	const lendIt = "grants:\n  - {name: wiki, targets: [\"group:finance-space\"], duration: {max: 48h}, reason: false}\n"
	o := activitytest.CompanyWith(t, lendIt)
	o.AttendAll(o.Grant("gus@acme.example", "group:finance-space", 24*time.Hour))
	o.AdmitRules(activitytest.Consenting + lendIt +
		activitytest.RulesOf(`{name: no contractors, owner: bo@acme.example, mode: enforce, when: 'in("idp-contractors")', deny: ["group:finance-space"]}`))
	require.Equal(t, []string{"remove gus@acme.example from group:finance-space"}, o.Verify())
	require.Empty(t, o.Members("finance-space"))
	require.Empty(t, o.Verify())
}
