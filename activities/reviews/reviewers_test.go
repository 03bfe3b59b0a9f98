package reviews_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
	"github.com/castellan-io/castellan/reviewpage/backend"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// inStages has a reviewer and an owner named by address in both of its stages.
const inStages = `
reviews:
  - name: quarterly
    owner: bo@acme.example
    codes: false
    scope: {targets: ["group:partner-wiki", "group:internal-wiki", "group:builders"]}
    stages:
      - {reviewers: [carol@acme.example], fallback: [dan@acme.example], next: all}
      - {reviewers: [carol@acme.example, owner]}
`

// An address that led to nobody when the policy was applied makes nobody a reviewer who is given it later, also when
// the policy names it no more.
func TestReviewersAreUnresolvedUntilAnApply(t *testing.T) {
	t.Parallel()
	for name, apply := range map[string]string{"the policy stays": "",
		"the policy drops the name": strings.ReplaceAll(inStages, "zed@", "dan@")} {
		text := strings.ReplaceAll(inStages, "fallback: [dan@acme.example]",
			"fallback: [dan@acme.example, zed@acme.example]")
		text = strings.ReplaceAll(text, "[carol@acme.example]", "[carol@acme.example, zed@acme.example]")
		o, _ := paged(t, text)
		r := review(o, "quarterly")
		if apply != "" {
			o.AdmitRules(activitytest.Consenting + apply)
			o.Verify()
		}
		o.Rename("gus", "zed@acme.example")
		r.stage(1)
		require.Empty(t, r.askedOf(1)["zed"], name)
		require.Empty(t, r.askedOf(1)["gus"], name)
		require.Contains(t, r.say("zed@acme.example", access.VerdictKeep, 1).Refused, "not asked about anything", name)
	}
}

// A reviewer whose address changes in the middle of a review goes on; whoever gets the old address is asked nothing,
// told nothing and decides nothing.
func TestReviewersAreAccounts(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, inStages)
	r := review(o, "quarterly")
	r.stage(1)
	r.tell(reviews.NoticeReviewAsked, "carol@acme.example")
	sent := r.link("carol")
	paul, pia := r.item("paul", "group:partner-wiki").N, r.item("pia", "group:internal-wiki").N
	require.Empty(t, r.say("carol", access.VerdictKeep, paul).Refused)

	o.Rename("carol", "carol.lee@acme.example")
	o.Rename("bo", "bo.lee@acme.example")
	o.Rename("gus", "carol@acme.example")
	o.Rename("fay", "bo@acme.example")
	require.Contains(t, r.say("carol@acme.example", access.VerdictRemove, paul).Refused,
		"carol@acme.example is not asked about anything", "that is gus now")
	require.Empty(t, r.say("carol.lee@acme.example", access.VerdictRemove, paul).Refused)
	require.Empty(t, r.say(o.AccountID("carol"), access.VerdictKeep, pia).Refused, "by account id")
	require.Equal(t, []access.ItemDecision{{Stage: 1, By: o.AccountID("carol"), Email: "carol.lee@acme.example",
		Verdict: access.VerdictRemove, Comment: "looked at", At: r.item("paul", "group:partner-wiki").Said[0].At}},
		r.item("paul", "group:partner-wiki").Said, "one person, one word")
	sheet, err := backend.New(o.Acts.Env, o.Acts.Reviews.Records()).Sheet(t.Context(), sent, reviewpage.Query{Limit: 5})
	require.NoError(t, err)
	require.Equal(t, []int{8, 2}, []int{sheet.Total, sheet.Decided}, "her link is hers")

	attended := activitytest.Must[reviews.ReviewAttendResult](o, o.Acts.Reviews.ReviewAttend,
		reviews.ReviewAttendInput{ReviewInput: r.ReviewInput, Stage: 1})
	require.Empty(t, attended.Gone)
	before := len(o.Notifier.Notices)
	r.tell(reviews.NoticeReviewReminder, "carol.lee@acme.example")
	r.tell(reviews.NoticeReviewTrouble, "bo.lee@acme.example")
	for _, n := range o.Notifier.Notices[before:] {
		require.NotContains(t, []string{"carol@acme.example", "bo@acme.example"}, n.To)
	}
	_, err = activitytest.Call[reviews.ReviewTellResult](o, o.Acts.Reviews.ReviewTell, reviews.ReviewTellInput{
		ReviewInput: r.ReviewInput, Kind: reviews.NoticeReviewReminder, Stage: 1, When: "now",
		Reviewer: "carol@acme.example",
	})
	require.ErrorContains(t, err, "carol@acme.example is not asked about anything", "nobody sends gus a link")

	require.Equal(t, 9, r.stage(2).Items)
	asked := r.askedOf(2)
	require.Empty(t, asked["gus"], "the campaign's name stays carol's: %v", asked)
	require.Empty(t, asked["fay"])
	require.Len(t, append(asked["carol"], asked["bo"]...), 9)
	require.NotContains(t, asked["carol"], "carol group:builders", "nobody reviews themselves, under no name")
	require.NotContains(t, asked["bo"], "bo group:builders")
	r.close()
	r.carried()
	r.end(access.ReviewDone)
	_, checked := r.evidence()
	require.Equal(t, 2, checked.Verdicts["remove"]+checked.Verdicts["keep"]-7)
}

// Who words name is looked up by what the directory shows now; filters and those whom items are handed to likewise.
func TestReviewMessagesNameAccounts(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, "")
	r := review(o, "quarterly")
	r.stage(1)
	o.Rename("kim", "kim.lee@acme.example")
	o.Rename("fay", "kim@acme.example")
	decide := func(person string) messages.ReviewAnswer {
		t.Helper()
		heard := r.words(reviews.ReviewMessage{Via: "temporal", Decide: &messages.DecideInput{
			By: "carol@acme.example", Verdict: access.VerdictKeep,
			All: &messages.ItemFilter{Person: person, Undecided: true},
		}})[0]
		require.Empty(t, heard.Refused, person)
		return heard.Answer
	}
	require.Equal(t, 1, decide("kim@acme.example").Applied)
	require.Equal(t, access.VerdictKeep, r.item("fay", "group:builders").Verdict, "she has the address now")
	require.Empty(t, r.item("kim", "group:builders").Verdict)
	require.Equal(t, 1, decide("kim.lee@acme.example").Applied)
	require.Equal(t, 0, decide(o.AccountID("kim")).Applied, "done")
	for typed, why := range map[string]string{
		"carol": "shows nobody named carol", "Carol <carol@acme.example>": "names nobody",
		"carol+me@acme.example": "shows nobody", "c\u0430rol@acme.example": "shows nobody", "": "nobody is named",
	} {
		heard := r.words(reviews.ReviewMessage{Via: "temporal",
			Decide: &messages.DecideInput{By: typed, Verdict: access.VerdictKeep, Items: []int{1}}})[0]
		require.Contains(t, heard.Refused, why, typed)
	}
	own := r.item("gus", "group:builders").N
	o.Rename("gus", "gus.lee@acme.example")
	heard := r.words(reviews.ReviewMessage{Via: "temporal",
		Delegate: &messages.DelegateInput{By: "carol@acme.example", To: "gus.lee@acme.example", Items: []int{own}}})[0]
	require.Equal(t, 1, heard.Answer.Declined, "not to the person it is about, under another name")
}

// Reviewers decide while the directory cannot be read; nothing is handed on then, since nobody can tell to whom.
func TestReviewMessagesOutliveAnOutage(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, "")
	r := review(o, "quarterly")
	r.stage(1)
	paul, pia := r.item("paul", "group:partner-wiki").N, r.item("pia", "group:internal-wiki").N
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus,
		Params: cloud.FaultParams{Status: 503}})
	require.Empty(t, r.say("carol", access.VerdictKeep, paul).Refused)
	require.Empty(t, r.say(o.AccountID("carol"), access.VerdictKeep, pia).Refused)
	heard := r.words(reviews.ReviewMessage{Via: "temporal",
		Delegate: &messages.DelegateInput{By: "carol@acme.example", To: "fay@acme.example", Items: []int{pia}}})[0]
	require.Contains(t, heard.Refused, "not known at the moment who fay@acme.example is")
	_, err := activitytest.Call[reviews.ReviewTellResult](o, o.Acts.Reviews.ReviewTell,
		reviews.ReviewTellInput{ReviewInput: r.ReviewInput, Kind: reviews.NoticeReviewAsked, Stage: 1})
	require.Error(t, err, "a link goes to nobody's old address")
	require.Empty(t, o.Notifier.Notices)
}

// A comment from before comments were bounded keeps no evidence from being made.
func TestReviewEndMakesTheEvidenceOfWhateverWasSaid(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	n := r.item("pia", "group:internal-wiki").N
	said, err := o.Ledger.RecordMessages(t.Context(), activitytest.Org, r.Review, []ledger.ReviewMessage{{
		Kind: access.EventDecided, By: o.AccountID("carol"), Via: "temporal", Pass: ledger.Pass{Trusted: true},
		Lines:   []ledger.ItemMessage{{N: n}},
		Verdict: access.VerdictKeep, Comment: strings.Repeat("\u0436", 90_000), At: o.Clock(),
	}})
	require.NoError(t, err)
	require.Equal(t, []int{n}, said[0].Applied)
	r.close()
	r.carried()
	ended := r.end(access.ReviewDone)
	pack, checked := r.evidence()
	require.Equal(t, ended.Head, checked.Head)
	require.Contains(t, string(pack), "(cut: 180000 bytes, sha256:")
	for _, found := range ended.Findings {
		require.NotContains(t, found, "evidence")
	}
}

// Whom items may be handed on to is the campaign's to say; by default only people of the organization.
func TestDelegatesMustBeAllowedByTheCampaign(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		delegates     string
		fay, kim, pia bool // fay is in staff alone, kim in idp-contractors too, pia is a guest
	}{
		"by default":   {"", true, true, false},
		"managed":      {"    delegates: [managed]\n", true, true, false},
		"anybody":      {"    delegates: [anybody]\n", true, true, true},
		"a group":      {"    delegates: [\"group:idp-contractors\"]\n", false, true, false},
		"either":       {"    delegates: [managed, \"group:partner-wiki\"]\n", true, true, false},
		"of outsiders": {"    delegates: [\"group:internal-wiki\"]\n", false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, _ := paged(t, campaign+c.delegates)
			r := review(o, "quarterly")
			r.stage(1)
			r.tell(reviews.NoticeReviewAsked, "carol@acme.example")
			page, link := backend.New(o.Acts.Env, o.Acts.Reviews.Records()), r.link("carol")
			items := map[string]int{
				"fay@acme.example":    r.item("paul", "group:partner-wiki").N,
				"kim@acme.example":    r.item("ana", "group:builders").N,
				"pia@partner.example": r.item("bo", "group:builders").N,
			}
			for to, may := range map[string]bool{"fay@acme.example": c.fay, "kim@acme.example": c.kim,
				"pia@partner.example": c.pia} {
				answer, err := page.Delegate(t.Context(), link, messages.DelegateInput{To: to, Items: []int{items[to]}})
				if may {
					require.NoError(t, err, to)
					require.Equal(t, 1, answer.Applied, to)
				} else {
					require.ErrorContains(t, err, to+
						" may not be handed anything: campaign quarterly lets items be handed on to")
				}
			}
		})
	}
}

// Whom a campaign names is whom the policy was taken to name, from before the review began to its end, whatever policy
// comes meanwhile.
func TestReviewersStayThoseOfTheReviewsPolicy(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, inStages)
	o.Rename("carol", "carol.lee@acme.example")
	o.Rename("gus", "carol@acme.example")
	r := review(o, "quarterly")
	require.Equal(t, "bo@acme.example", r.begun.Review.Owner, "as written")
	r.stage(1)
	require.Len(t, r.askedOf(1)["carol"], 8)
	require.Empty(t, r.askedOf(1)["gus"])
	o.AdmitRules(activitytest.Consenting)
	o.Verify()
	r.stage(2)
	asked := r.askedOf(2)
	require.NotEmpty(t, asked["carol"])
	require.NotEmpty(t, asked["bo"])
	require.Empty(t, asked["gus"])
	r.tell(reviews.NoticeReviewTrouble, "bo@acme.example")
	r.close()
	r.end(access.ReviewDone)
	pack, _ := r.evidence()
	require.Contains(t, string(pack), `"reviewers":["carol@acme.example"]`, "the campaign as the policy says it")
}

// Members of an identity source's group review, as the replica has them: whoever is disabled there does not.
func TestReviewersFromASource(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, `
sources: [{name: hr, kind: file, folder: /exports, key: number, groupsFile: groups.csv}]
reviews:
  - name: quarterly
    owner: bo@acme.example
    codes: false
    scope: {targets: ["group:partner-wiki"]}
    stages: [{reviewers: ["group:hr:leads"]}]
`)
	ctx, now, yes, no := t.Context(), o.Clock(), true, false
	number, err := o.Ledger.BeginSourceRead(ctx, activitytest.Org, "hr", now)
	require.NoError(t, err)
	_, err = o.Ledger.SaveIdentities(ctx, activitytest.Org, "hr", number, []ledger.Identity{
		{Key: "1", Enabled: &yes, Digest: "1"}, {Key: "2", Enabled: &no, Digest: "2"},
		{Key: "3", Enabled: &yes, Digest: "3"}}, now)
	require.NoError(t, err)
	_, err = o.Ledger.SaveSourceGroups(ctx, activitytest.Org, "hr", number, []ledger.SourceGroup{
		{Source: "hr", Key: "g1", Name: "hr:leads", Members: []string{"1", "2"}, Digest: "g1"}}, now)
	require.NoError(t, err)
	require.NoError(t, o.Ledger.EndSourceRead(ctx, activitytest.Org, "hr", number, ledger.End{As: "x", People: 3}, now))
	for key, name := range map[string]string{"1": "carol", "2": "dan", "3": "gus"} {
		require.NoError(t, o.Ledger.BindAccounts(ctx, activitytest.Org,
			[]ledger.Binding{{Source: "hr", Key: key, Account: o.AccountID(name)}}, now))
	}
	r := review(o, "quarterly")
	r.stage(1)
	asked := r.askedOf(1)
	require.NotEmpty(t, asked["carol"])
	require.Empty(t, asked["dan"], "disabled in the source")
	require.Empty(t, asked["gus"], "in no such group")
}
