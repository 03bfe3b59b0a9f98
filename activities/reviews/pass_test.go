package reviews_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
	"github.com/castellan-io/castellan/reviewpage/backend"
)

// paged is the simulated organization with private notices and pages for reviewers.
func paged(t *testing.T, more string) (*activitytest.SimulatedOrg, *links.Signer) {
	t.Helper()
	o := reviewOf(t, campaign)
	o.Notifier.Privately = true
	signer, err := links.NewSigner([]byte(strings.Repeat("k3y", 12)))
	require.NoError(t, err)
	base, err := url.Parse("https://reviews.acme.example")
	require.NoError(t, err)
	o.Acts = activities.New(activities.Options{Options: o.Options(),
		Pages: &reviews.ReviewPages{Signer: signer, Base: base}})
	if more != "" {
		o.AdmitRules(activitytest.Consenting + more)
		o.Verify()
	}
	return o, signer
}

// tell sends a notice and returns what somebody was told last.
func (r *reviewed) tell(kind, to string, change ...func(*reviews.ReviewTellInput)) messages.Notice {
	r.T.Helper()
	in := reviews.ReviewTellInput{ReviewInput: r.ReviewInput, Kind: kind, Stage: 1,
		When: r.Clock().Format(time.RFC3339)}
	for _, c := range change {
		c(&in)
	}
	activitytest.Must[reviews.ReviewTellResult](r.SimulatedOrg, r.Acts.Reviews.ReviewTell, in)
	for i := len(r.Notifier.Notices) - 1; i >= 0; i-- {
		if n := r.Notifier.Notices[i]; n.To == to && n.Kind == kind {
			return n
		}
	}
	require.Fail(r.T, "not told", "%s of %s", to, kind)
	return messages.Notice{}
}

func (r *reviewed) words(words ...reviews.ReviewMessage) []reviews.ReviewMessageResult {
	r.T.Helper()
	r.Advance(time.Second)
	for i := range words {
		words[i].At = r.Clock()
	}
	return activitytest.Must[[]reviews.ReviewMessageResult](r.SimulatedOrg, r.Acts.Reviews.ReviewSay,
		reviews.ReviewSayInput{ReviewInput: r.ReviewInput, Words: words})
}

func TestReviewTellSendsEachReviewerTheirLinkAndCodeOnce(t *testing.T) {
	t.Parallel()
	o, signer := paged(t, strings.Replace(campaign, "codes: false", "codes: true", 1))
	r := review(o, "quarterly")
	r.stage(1)
	carol := r.tell(reviews.NoticeReviewAsked, "carol@acme.example")
	dan := r.tell(reviews.NoticeReviewAsked, "dan@acme.example")
	require.Len(t, o.Notifier.Notices, 2, "who was told is not told again")
	require.NotEqual(t, carol.Code, dan.Code)
	require.NotEmpty(t, carol.Code)
	require.Contains(t, carol.Text, "8 items")
	require.NotContains(t, carol.Text+carol.Subject+carol.Command, carol.Code)
	token := strings.TrimPrefix(carol.Link, "https://reviews.acme.example/r/")
	link, err := signer.Read(token, o.Clock())
	require.NoError(t, err)
	require.Equal(t, o.AccountID("carol"), link.Reviewer)
	require.Equal(t, r.Review, link.Review)

	r.say("carol", access.VerdictKeep)
	o.Advance(7 * activitytest.Day)
	r.decidesTrusted("dan")
	r.tell(reviews.NoticeReviewReminder, "carol@acme.example")
	require.Len(t, o.Notifier.Notices, 3, "dan has nothing left")
}

// decidesTrusted decides all that somebody is asked about, on their page.
func (r *reviewed) decidesTrusted(who string) {
	r.T.Helper()
	link := r.link(who)
	answer, err := backend.New(r.Acts.Env, r.Acts.Reviews.Records()).Decide(r.T.Context(), link,
		messages.DecideInput{Verdict: access.VerdictKeep, All: &messages.ItemFilter{Undecided: true}})
	require.NoError(r.T, err)
	require.Zero(r.T, answer.Left, answer)
}

// link is the last link that somebody was sent.
func (r *reviewed) link(who string) links.Link {
	r.T.Helper()
	signer, err := links.NewSigner([]byte(strings.Repeat("k3y", 12)))
	require.NoError(r.T, err)
	for i := len(r.Notifier.Notices) - 1; i >= 0; i-- {
		if n := r.Notifier.Notices[i]; n.To == who+"@acme.example" && n.Link != "" && n.Review == r.Review {
			link, err := signer.Read(n.Link[strings.LastIndex(n.Link, "/")+1:], r.Clock())
			require.NoError(r.T, err)
			return link
		}
	}
	require.Fail(r.T, "no link", who)
	return links.Link{}
}

func TestReviewCodesCountOnce(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, strings.Replace(campaign, "codes: false", "codes: true", 1))
	r := review(o, "quarterly")
	r.stage(1)
	code := messages.CodeHash(r.tell(reviews.NoticeReviewAsked, "carol@acme.example").Code)
	paul, pia := r.item("paul", "group:partner-wiki").N, r.item("pia", "group:internal-wiki").N
	decide := func(item int, v access.Verdict, nonce string) messages.DecideInput {
		return messages.DecideInput{By: "carol@acme.example", Items: []int{item}, Verdict: v,
			Credential: messages.Credential{Nonce: nonce}}
	}
	proven := func(in messages.DecideInput) reviews.ReviewMessage {
		in.Proof = messages.Proof(code, messages.ReviewID(activitytest.Org, r.Review), messages.DecideItems, in)
		return reviews.ReviewMessage{Decide: &in}
	}
	none := decide(paul, access.VerdictRemove, "")
	heard := r.words(reviews.ReviewMessage{Decide: &none})
	require.Contains(t, heard[0].Refused, "requires reviewers' codes")

	good := proven(decide(paul, access.VerdictRemove, "1"))
	bad := proven(decide(pia, access.VerdictKeep, "2"))
	changed := *bad.Decide
	changed.Verdict = access.VerdictRemove // somebody on the way
	heard = r.words(good, reviews.ReviewMessage{Decide: &changed})
	require.Equal(t, 1, heard[0].Answer.Applied)
	require.Contains(t, heard[1].Refused, "the code is not the one")
	sent := o.Notifier.Notices[len(o.Notifier.Notices)-1]
	require.Equal(t, "carol@acme.example", sent.To,
		"a wrong proof burns the code that it may have guessed at, and another is sent")
	require.NotEqual(t, code, messages.CodeHash(sent.Code))
	code = messages.CodeHash(sent.Code)

	require.Equal(t, 1, r.words(proven(decide(paul, access.VerdictKeep, "3")))[0].Answer.Applied,
		"she changes her mind")
	replayed := r.words(good)
	require.Contains(t, replayed[0].Refused, "the code is not the one", "its code was burnt meanwhile")
	require.Zero(t, replayed[0].Answer.Applied, "an old word that is played again changes nothing")
	require.Equal(t, access.VerdictKeep, r.item("paul", "group:partner-wiki").Verdict)

	plain := decide(pia, access.VerdictKeep, "")
	require.Equal(t, 1, r.words(reviews.ReviewMessage{Decide: &plain, CodeHash: code})[0].Answer.Applied)
	again := decide(paul, access.VerdictRemove, "")
	require.Contains(t, r.words(reviews.ReviewMessage{Decide: &again, CodeHash: code})[0].Refused, "used already",
		"it has been seen since")
	require.Contains(t, r.words(proven(decide(paul, access.VerdictRemove, "4")))[0].Refused, "used already",
		"and proves nothing any more")
	foreign := proven(decide(paul, access.VerdictRemove, "5"))
	foreign.Decide.By = "dan@acme.example"
	require.NotEmpty(t, r.words(foreign)[0].Refused)
}

func TestReviewPagesAdmitOnlyByAValidLink(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, "")
	r := review(o, "quarterly")
	r.stage(1)
	r.tell(reviews.NoticeReviewAsked, "carol@acme.example")
	link := r.link("carol")
	page := backend.New(o.Acts.Env, o.Acts.Reviews.Records())
	require.NoError(t, page.Admit(t.Context(), link))
	sheet, err := page.Sheet(t.Context(), link, reviewpage.Query{Limit: 5})
	require.NoError(t, err)
	require.Len(t, sheet.Items, 5)
	require.Equal(t, sheet.Items[4].N, sheet.Next)
	require.Equal(t, "Who still needs what?", sheet.About)
	require.Equal(t, []int{8, 0}, []int{sheet.Total, sheet.Decided})
	require.True(t, sheet.Open)

	n := r.item("paul", "group:partner-wiki").N
	answer, err := page.Decide(t.Context(), link,
		messages.DecideInput{By: "bo@acme.example", Verdict: access.VerdictRemove, Items: []int{n}})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Applied)
	require.Equal(t, o.AccountID("carol"), r.item("paul", "group:partner-wiki").Said[0].By,
		"whatever the form says, the link says who")
	own := r.item("carol", "group:builders").N
	answer, err = page.Decide(t.Context(), link, messages.DecideInput{Verdict: access.VerdictKeep, Items: []int{own}})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Declined, "nobody reviews themselves")

	for name, is := range map[string]func(*links.Link){
		"another person":       func(l *links.Link) { l.Reviewer = "dan@acme.example" },
		"another review":       func(l *links.Link) { l.Review = "quarterly:999" },
		"one not issued":       func(l *links.Link) { l.ID = links.NewID() },
		"another organization": func(l *links.Link) { l.Org = "other" },
	} {
		other := link
		is(&other)
		require.ErrorIs(t, page.Admit(t.Context(), other), reviewpage.ErrLinkInvalid, name)
		_, err := page.Sheet(t.Context(), other, reviewpage.Query{Limit: 5})
		require.ErrorIs(t, err, reviewpage.ErrLinkInvalid, name)
		_, err = page.Decide(t.Context(), other, messages.DecideInput{Verdict: access.VerdictKeep, Items: []int{n}})
		require.ErrorIs(t, err, reviewpage.ErrLinkInvalid, name)
	}
	require.Equal(t, 1, activitytest.Must[int](o, o.Acts.Reviews.ReviewRevoke,
		reviews.ReviewRevokeInput{ReviewInput: r.ReviewInput,
			RevokeLinksInput: messages.RevokeLinksInput{By: "bo", Reviewer: "carol@acme.example"}}))
	require.ErrorIs(t, page.Admit(t.Context(), link), reviewpage.ErrLinkInvalid)
	r.tell(reviews.NoticeReviewReminder, "carol@acme.example",
		func(in *reviews.ReviewTellInput) { in.Reviewer = "carol@acme.example" })
	fresh := r.link("carol")
	require.NoError(t, page.Admit(t.Context(), fresh))
	o.Advance(60 * activitytest.Day)
	require.ErrorIs(t, page.Admit(t.Context(), fresh), reviewpage.ErrLinkInvalid, "it has expired")
}

func TestReviewCodesNeedAPrivateNotifier(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, strings.Replace(campaign, "codes: false", "codes: true", 1))
	_, err := activitytest.Call[reviews.ReviewBeginResult](o, o.Acts.Reviews.ReviewBegin,
		reviews.ReviewBeginInput{ReviewInput: reviews.ReviewInput{Org: activitytest.Org, Review: "x"},
			Campaign: "quarterly", Run: "x"})
	require.ErrorContains(t, err, "no channel is configured that only the addressee reads")
	_, err = activitytest.Call[reviews.ReviewBeginResult](o, o.Acts.Reviews.ReviewBegin,
		reviews.ReviewBeginInput{ReviewInput: reviews.ReviewInput{Org: activitytest.Org, Review: "x"},
			Campaign: "monthly", Run: "x"})
	require.ErrorContains(t, err, `no review named "monthly"; its reviews are: quarterly`)
	_, err = activitytest.Call[reviews.ReviewBeginResult](o, o.Acts.Reviews.ReviewBegin,
		reviews.ReviewBeginInput{ReviewInput: reviews.ReviewInput{Org: "nobody", Review: "x"},
			Campaign: "quarterly", Run: "x"})
	require.ErrorContains(t, err, `no organization "nobody" is known`)
}

func TestDelegatesAreAskedInstead(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, "")
	r := review(o, "quarterly")
	r.stage(1)
	r.tell(reviews.NoticeReviewAsked, "carol@acme.example")
	n := r.item("paul", "group:partner-wiki").N
	answer, err := backend.New(o.Acts.Env, o.Acts.Reviews.Records()).Delegate(context.Background(), r.link("carol"),
		messages.DelegateInput{To: "Fay@acme.example", Items: []int{n}, Comment: "she knows him"})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Applied, answer)
	require.Equal(t, []string{"paul group:partner-wiki"}, r.askedOf(1)["fay"])
	fay := r.tell(reviews.NoticeReviewAsked, "fay@acme.example")
	require.Contains(t, fay.Text, "Another reviewer delegated this to you")
	answer, err = backend.New(o.Acts.Env, o.Acts.Reviews.Records()).Delegate(context.Background(), r.link("carol"),
		messages.DelegateInput{To: "kim@acme.example", Items: []int{r.item("kim", "group:builders").N}})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Declined, "not to the person it is about")
	require.Empty(t, r.say("fay", access.VerdictRemove, n).Refused)
}
