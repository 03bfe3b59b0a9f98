package activities_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
)

// paged is the world with private notices and pages for reviewers.
func paged(t *testing.T, more string) (*world, *links.Signer) {
	t.Helper()
	w := reviewOf(t, campaign)
	w.notifier.private = true
	signer, err := links.NewSigner([]byte(strings.Repeat("k3y", 12)))
	require.NoError(t, err)
	base, err := url.Parse("https://reviews.acme.example")
	require.NoError(t, err)
	w.acts = activities.New(activities.Options{
		Ledger: w.ledger, AtlassianURL: w.url + "/admin", Now: w.clock, Secret: func(string) (string, error) { return w.key, nil },
		Temporal: w.temporal, Notifier: w.notifier, Pages: &activities.ReviewPages{Signer: signer, Base: base},
	})
	if more != "" {
		w.take(consenting + more)
		w.verify()
	}
	return w, signer
}

// tell sends a notice and returns what somebody was told last.
func (r *reviewed) tell(kind, to string, change ...func(*activities.ReviewTellInput)) messages.Notice {
	r.t.Helper()
	in := activities.ReviewTellInput{ReviewInput: r.ReviewInput, Kind: kind, Stage: 1, When: r.clock().Format(time.RFC3339)}
	for _, c := range change {
		c(&in)
	}
	must[activities.ReviewTold](r.world, r.acts.ReviewTell, in)
	for i := len(r.notifier.notices) - 1; i >= 0; i-- {
		if n := r.notifier.notices[i]; n.To == to && n.Kind == kind {
			return n
		}
	}
	require.Fail(r.t, "not told", "%s of %s", to, kind)
	return messages.Notice{}
}

func (r *reviewed) words(words ...activities.ReviewWord) []activities.ReviewHeard {
	r.t.Helper()
	r.pass(time.Second)
	for i := range words {
		words[i].At = r.clock()
	}
	return must[[]activities.ReviewHeard](r.world, r.acts.ReviewSay, activities.ReviewSayInput{ReviewInput: r.ReviewInput, Words: words})
}

func TestReviewersAreToldOnceWithTheirOwnLinkAndCode(t *testing.T) {
	t.Parallel()
	w, signer := paged(t, strings.Replace(campaign, "codes: false", "codes: true", 1))
	r := w.review("quarterly")
	r.stage(1)
	carol := r.tell(activities.NoticeReviewAsked, "carol@acme.example")
	dan := r.tell(activities.NoticeReviewAsked, "dan@acme.example")
	require.Len(t, w.notifier.notices, 2, "who was told is not told again")
	require.NotEqual(t, carol.Code, dan.Code)
	require.NotEmpty(t, carol.Code)
	require.Contains(t, carol.Text, "8 items")
	require.NotContains(t, carol.Text+carol.Subject+carol.Command, carol.Code)
	token := strings.TrimPrefix(carol.Link, "https://reviews.acme.example/r/")
	link, err := signer.Read(token, w.clock())
	require.NoError(t, err)
	require.Equal(t, "carol@acme.example", link.Reviewer)
	require.Equal(t, r.Review, link.Review)

	r.say("carol", access.VerdictKeep)
	w.pass(7 * day)
	r.decidesTrusted("dan")
	r.tell(activities.NoticeReviewReminder, "carol@acme.example")
	require.Len(t, w.notifier.notices, 3, "dan has nothing left")
}

// decidesTrusted decides all that somebody is asked about, on their page.
func (r *reviewed) decidesTrusted(who string) {
	r.t.Helper()
	link := r.link(who)
	answer, err := r.acts.Desk().Decide(r.t.Context(), link, messages.DecideInput{Verdict: access.VerdictKeep, All: &messages.ItemFilter{Undecided: true}})
	require.NoError(r.t, err)
	require.Zero(r.t, answer.Left, answer)
}

// link is the last link that somebody was sent.
func (r *reviewed) link(who string) links.Link {
	r.t.Helper()
	signer, err := links.NewSigner([]byte(strings.Repeat("k3y", 12)))
	require.NoError(r.t, err)
	for i := len(r.notifier.notices) - 1; i >= 0; i-- {
		if n := r.notifier.notices[i]; n.To == who+"@acme.example" && n.Link != "" && n.Review == r.Review {
			link, err := signer.Read(n.Link[strings.LastIndex(n.Link, "/")+1:], r.clock())
			require.NoError(r.t, err)
			return link
		}
	}
	require.Fail(r.t, "no link", who)
	return links.Link{}
}

func TestACodeIsProvenOrGivenOnce(t *testing.T) {
	t.Parallel()
	w, _ := paged(t, strings.Replace(campaign, "codes: false", "codes: true", 1))
	r := w.review("quarterly")
	r.stage(1)
	code := messages.CodeHash(r.tell(activities.NoticeReviewAsked, "carol@acme.example").Code)
	paul, pia := r.item("paul", "group:partner-wiki").N, r.item("pia", "group:internal-wiki").N
	decide := func(item int, v access.Verdict, nonce string) messages.DecideInput {
		return messages.DecideInput{By: "carol@acme.example", Items: []int{item}, Verdict: v, Pass: messages.Pass{Nonce: nonce}}
	}
	proven := func(in messages.DecideInput) activities.ReviewWord {
		in.Proof = messages.Proof(code, messages.ReviewID(org, r.Review), messages.DecideItems, in)
		return activities.ReviewWord{Decide: &in}
	}
	none := decide(paul, access.VerdictRemove, "")
	heard := r.words(activities.ReviewWord{Decide: &none})
	require.Contains(t, heard[0].Refused, "asks reviewers for their code")

	good := proven(decide(paul, access.VerdictRemove, "1"))
	bad := proven(decide(pia, access.VerdictKeep, "2"))
	changed := *bad.Decide
	changed.Verdict = access.VerdictRemove // somebody on the way
	heard = r.words(good, activities.ReviewWord{Decide: &changed})
	require.Equal(t, 1, heard[0].Answer.Applied)
	require.Contains(t, heard[1].Refused, "the code is not the one")

	require.Equal(t, 1, r.words(proven(decide(paul, access.VerdictKeep, "3")))[0].Answer.Applied, "she changes her mind")
	replayed := r.words(good)
	require.Empty(t, replayed[0].Refused)
	require.Zero(t, replayed[0].Answer.Applied, "an old word that is played again changes nothing")
	require.Equal(t, access.VerdictKeep, r.item("paul", "group:partner-wiki").Verdict)

	plain := decide(pia, access.VerdictKeep, "")
	require.Equal(t, 1, r.words(activities.ReviewWord{Decide: &plain, CodeHash: code})[0].Answer.Applied)
	again := decide(paul, access.VerdictRemove, "")
	require.Contains(t, r.words(activities.ReviewWord{Decide: &again, CodeHash: code})[0].Refused, "used already", "it has been seen since")
	require.Contains(t, r.words(proven(decide(paul, access.VerdictRemove, "4")))[0].Refused, "used already", "and proves nothing any more")
	foreign := proven(decide(paul, access.VerdictRemove, "5"))
	foreign.Decide.By = "dan@acme.example"
	require.NotEmpty(t, r.words(foreign)[0].Refused)
}

func TestThePageAdmitsWhoHasAGoodLink(t *testing.T) {
	t.Parallel()
	w, _ := paged(t, "")
	r := w.review("quarterly")
	r.stage(1)
	r.tell(activities.NoticeReviewAsked, "carol@acme.example")
	link := r.link("carol")
	desk := w.acts.Desk()
	require.NoError(t, desk.Admit(t.Context(), link))
	sheet, err := desk.Sheet(t.Context(), link, reviewpage.Query{Limit: 5})
	require.NoError(t, err)
	require.Len(t, sheet.Items, 5)
	require.Equal(t, sheet.Items[4].N, sheet.Next)
	require.Equal(t, "Who still needs what?", sheet.About)
	require.Equal(t, []int{8, 0}, []int{sheet.Total, sheet.Decided})
	require.True(t, sheet.Open)

	n := r.item("paul", "group:partner-wiki").N
	answer, err := desk.Decide(t.Context(), link, messages.DecideInput{By: "bo@acme.example", Verdict: access.VerdictRemove, Items: []int{n}})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Applied)
	require.Equal(t, "carol@acme.example", r.item("paul", "group:partner-wiki").Said[0].By, "whatever the form says, the link says who")
	own := r.item("carol", "group:builders").N
	answer, err = desk.Decide(t.Context(), link, messages.DecideInput{Verdict: access.VerdictKeep, Items: []int{own}})
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
		require.ErrorIs(t, desk.Admit(t.Context(), other), reviewpage.ErrNoEntry, name)
		_, err := desk.Sheet(t.Context(), other, reviewpage.Query{Limit: 5})
		require.ErrorIs(t, err, reviewpage.ErrNoEntry, name)
		_, err = desk.Decide(t.Context(), other, messages.DecideInput{Verdict: access.VerdictKeep, Items: []int{n}})
		require.ErrorIs(t, err, reviewpage.ErrNoEntry, name)
	}
	require.Equal(t, 1, must[int](w, w.acts.ReviewRevoke, activities.ReviewRevokeInput{ReviewInput: r.ReviewInput, RevokeLinksInput: messages.RevokeLinksInput{By: "bo", Reviewer: "carol@acme.example"}}))
	require.ErrorIs(t, desk.Admit(t.Context(), link), reviewpage.ErrNoEntry)
	r.tell(activities.NoticeReviewReminder, "carol@acme.example", func(in *activities.ReviewTellInput) { in.Reviewer = "carol@acme.example" })
	fresh := r.link("carol")
	require.NoError(t, desk.Admit(t.Context(), fresh))
	w.pass(60 * day)
	require.ErrorIs(t, desk.Admit(t.Context(), fresh), reviewpage.ErrNoEntry, "it has expired")
}

func TestACampaignWithCodesNeedsAPrivateChannel(t *testing.T) {
	t.Parallel()
	w := reviewOf(t, strings.Replace(campaign, "codes: false", "codes: true", 1))
	_, err := call[activities.ReviewBegun](w, w.acts.ReviewBegin, activities.ReviewBeginInput{ReviewInput: activities.ReviewInput{Org: org, Review: "x"}, Campaign: "quarterly", Run: "x"})
	require.ErrorContains(t, err, "no channel is set up that only its addressee reads")
	_, err = call[activities.ReviewBegun](w, w.acts.ReviewBegin, activities.ReviewBeginInput{ReviewInput: activities.ReviewInput{Org: org, Review: "x"}, Campaign: "monthly", Run: "x"})
	require.ErrorContains(t, err, `no review named "monthly"; its reviews are: quarterly`)
	_, err = call[activities.ReviewBegun](w, w.acts.ReviewBegin, activities.ReviewBeginInput{ReviewInput: activities.ReviewInput{Org: "nobody", Review: "x"}, Campaign: "quarterly", Run: "x"})
	require.ErrorContains(t, err, `no organization "nobody" is known`)
}

func TestADelegateIsAskedInstead(t *testing.T) {
	t.Parallel()
	w, _ := paged(t, "")
	r := w.review("quarterly")
	r.stage(1)
	r.tell(activities.NoticeReviewAsked, "carol@acme.example")
	n := r.item("paul", "group:partner-wiki").N
	answer, err := w.acts.Desk().Delegate(context.Background(), r.link("carol"), messages.DelegateInput{To: "Fay@acme.example", Items: []int{n}, Comment: "she knows him"})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Applied, answer)
	require.Equal(t, []string{"paul group:partner-wiki"}, r.askedOf(1)["fay"])
	fay := r.tell(activities.NoticeReviewAsked, "fay@acme.example")
	require.Contains(t, fay.Text, "Another reviewer handed this on to you")
	answer, err = w.acts.Desk().Delegate(context.Background(), r.link("carol"), messages.DelegateInput{To: "kim@acme.example", Items: []int{r.item("kim", "group:builders").N}})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Declined, "not to the person it is about")
	require.Empty(t, r.say("fay", access.VerdictRemove, n).Refused)
}
