package reviews_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	evidencepack "github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// guests are people from outside, whom whoever asked for them answers for.
const guests = `
grants:
  - {name: guests, targets: [directory], duration: {max: 180d}, reason: false}
reviews:
  - name: guests
    owner: bo@acme.example
    schedule: "0 9 1 * *"
    codes: false
    scope: {targets: [directory], people: external}
    stages: [{reviewers: [sponsor], fallback: [dan@acme.example]}]
    silence: keep
`

// E8: external collaborators are audited at regular intervals: their sponsors are asked, and whoever is not wanted is
// suspended.
func TestFieldE8ExternalPeopleAreReviewed(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, guests)
	in := o.RequestOf("paul@partner.example", access.Directory, 90*activitytest.Day)
	in.RequestedBy = "fay@acme.example"
	o.AttendAll(activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0])
	r := review(o, "guests")
	require.Equal(t, []string{"eve directory", "paul directory", "pia directory", "sam directory"}, r.listed())
	require.Equal(t, o.AccountID("fay"), r.item("paul", access.Directory).Sponsor)
	require.Equal(t, "fay@acme.example", r.item("paul", access.Directory).SponsorEmail)
	r.stage(1)
	require.Equal(t, []string{"paul directory"}, r.askedOf(1)["fay"])
	require.Len(t, r.askedOf(1)["dan"], 3, "who has no sponsor")
	r.decides("dan", "eve", access.Directory, access.VerdictRemove)
	r.decides("fay", "paul", access.Directory, access.VerdictKeep)
	r.close()
	r.carried()
	require.Equal(t, "eve@evil.example", o.Suspended())
	require.Equal(t, access.OutcomeRemoved, r.outcomes()["eve directory"])
	require.Empty(t, o.Verify(), "nothing restores her")
	o.Advance(30 * activitytest.Day)
	again := review(o, "guests")
	require.Equal(t, access.VerdictKeep, again.item("paul", access.Directory).Before.Verdict)
	require.Equal(t, o.AccountID("fay"), again.item("paul", access.Directory).Before.By)
	require.Equal(t, "fay@acme.example", again.item("paul", access.Directory).Before.ByEmail)
}

// E14: permission reviews and clean-ups run on a schedule: the policy's cadence is Temporal's, and what is decided is
// done.
func TestFieldE14ReviewsCleanUp(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, campaign)
	for range 2 {
		r := review(o, "quarterly")
		r.stage(1)
		for _, i := range r.items() {
			if len(i.Reasons) == 0 {
				r.say("carol", access.VerdictRemove, i.N)
			}
		}
		r.close()
		r.carried()
		r.end(access.ReviewDone)
		o.Advance(90 * activitytest.Day)
	}
	require.Empty(t, o.Members("partner-wiki")+o.Members("internal-wiki"))
	reviews, err := o.Ledger.Reviews(t.Context(), activitytest.Org, "quarterly", "", 0)
	require.NoError(t, err)
	require.Len(t, reviews, 2)
	require.Equal(t, []int{7, 9}, []int{reviews[0].Items, reviews[1].Items},
		"the newest first: what was cleaned up is not asked about again")
}

// E15, E16: compliance checks run and report, and keep a history: every review stays, with who decided what and what
// became of it.
func TestFieldE15E16ReviewsKeepAHistory(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictRemove)
	r.close()
	r.carried()
	r.end(access.ReviewDone)
	answer := activitytest.Must[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportReviews})
	require.Len(t, answer.Reviews, 1)
	require.Equal(t, 1, answer.Reviews[0].Outcomes[access.OutcomeRemoved])
	why := activitytest.Must[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportWhy, Person: "paul@partner.example"}).Why
	var kinds []string
	for _, e := range why.History {
		kinds = append(kinds, e.Kind)
	}
	require.Subset(t, kinds, []string{ledger.EntryReviewDecided, ledger.EntryReviewOutcome, ledger.EntryChange})
	check := activitytest.Must[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportLedger})
	require.True(t, check.Ledger.Whole)
}

// E26: everything needed for an audit of excessive privilege can be exported.
func TestFieldE26ReviewsAreExported(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, `
protected: [{target: "role:org-admin", minimum: 1}]
grants: [{name: admins, targets: ["role:org-admin"], duration: {max: 8h}, reason: false}]
reviews:
  - {name: admins, owner: bo@acme.example, codes: false, scope: {targets: ["role:org-admin"]}, stages: [{reviewers: [carol@acme.example]}]}
`)
	r := review(o, "admins")
	require.Equal(t, []string{"ana role:org-admin", "bo role:org-admin"}, r.listed())
	r.stage(1)
	r.decides("carol", "ana", access.OrgAdmin, access.VerdictKeep)
	r.close()
	r.end(access.ReviewDone)
	pack, _ := r.evidence()
	var sheet bytes.Buffer
	require.NoError(t, evidencepack.CSV(bytes.NewReader(pack), &sheet))
	rows, err := csv.NewReader(&sheet).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	all := strings.Join(slices.Concat(rows...), "|")
	for _, said := range []string{"ana@acme.example", "role:org-admin", "carol@acme.example", "keep", "looked at"} {
		require.Contains(t, all, said)
	}
	var page bytes.Buffer
	require.NoError(t, evidencepack.HTML(bytes.NewReader(pack), &page))
	require.Contains(t, page.String(), "<svg")
}

// Promise 8: reviews that close the loop and cannot be silent killers.
func TestPromise8(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, `
reviews:
  - name: promise
    owner: bo@acme.example
    codes: false
    scope: {targets: ["group:partner-wiki", "group:internal-wiki", "group:builders", "group:finance-space"]}
    stages: [{reviewers: [carol@acme.example], fallback: [dan@acme.example]}]
    apply: at-once
    silence: keep
    silenceOf: [{targets: ["group:finance-space"], do: remove}]
`)
	for _, name := range []string{"ana", "bo", "fay", "gus"} {
		o.ByHand("POST", "finance-space", name)
	}
	o.Verify()
	r := review(o, "promise")
	r.stage(1)

	t.Log("urgent denials at once")
	r.Advance(time.Minute)
	r.decides("carol", "paul", "group:partner-wiki", access.VerdictRemove)
	r.carried()
	require.Equal(t, access.OutcomeRemoved, r.outcomes()["paul group:partner-wiki"],
		"written and read back while others still decide")
	require.Equal(t, access.Outcome(""), r.outcomes()["pia group:internal-wiki"])

	t.Log("the reviewer leaves: fallback, then escalation")
	o.Send("POST", "/_sim/people/carol", map[string]any{"inactive": true})
	activitytest.Must[reviews.ReviewAttendResult](o, o.Acts.Reviews.ReviewAttend,
		reviews.ReviewAttendInput{ReviewInput: r.ReviewInput, Stage: 1})
	require.NotEmpty(t, r.askedOf(1)["dan"])
	activitytest.Must[reviews.ReviewAttendResult](o, o.Acts.Reviews.ReviewAttend,
		reviews.ReviewAttendInput{ReviewInput: r.ReviewInput, Stage: 1, Escalate: true})
	require.NotEmpty(t, r.askedOf(1)["bo"])

	t.Log("rubber-stamping is measured")
	n := 0
	for _, i := range r.items() {
		if i.Target == "group:builders" && !strings.HasPrefix(i.Email, "dan") {
			r.Advance(time.Second)
			r.say("dan", access.VerdictKeep, i.N)
			n++
		}
	}
	r.decides("dan", "ana", "group:finance-space", access.VerdictKeep)

	t.Log("silence is chosen by target, and goes through the guard")
	o.AdmitRules(strings.Replace(activitytest.Consenting, "target: {removals: 1000", "target: {removals: 1", 1) + `
reviews:
  - {name: promise, owner: bo@acme.example, codes: false, scope: {targets: ["group:partner-wiki", "group:internal-wiki", "group:builders", "group:finance-space"]}, stages: [{reviewers: [carol@acme.example]}]}
`)
	o.Verify()
	closed := r.close()
	require.Equal(t, 5, closed.Silent, "three of the finance space are removed, pia and dan himself are kept: %+v",
		closed)
	require.Equal(t, 3, r.carried().Held)
	require.Equal(t, "ana bo fay gus", o.Members("finance-space"))
	plan := r.carry().Plan
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: plan, By: "bo"}})
	holds, err := o.Ledger.Holds(t.Context(), activitytest.Org, 1)
	require.NoError(t, err)
	require.Len(t, o.Write(session.RunInput{Org: activitytest.Org, Run: holds[0].Run, Policy: o.Policy}), 3)
	o.Advance(time.Minute)
	require.Equal(t, 3, r.carry().Done)
	require.Equal(t, "ana", o.Members("finance-space"))

	t.Log("the evidence stands up to a stranger")
	r.end(access.ReviewDone)
	pack, checked := r.evidence()
	require.Equal(t, 13, checked.Counts.Items)
	paces := evidencepack.Paces(func(yield func(access.ReviewEvent) bool) {
		events, err := o.Ledger.ReviewEvents(t.Context(), activitytest.Org, r.Review, 0, 0)
		require.NoError(t, err)
		for _, e := range events {
			if !yield(e) {
				return
			}
		}
	})
	at := slices.IndexFunc(paces, func(p evidencepack.Pace) bool { return p.Reviewer == "dan@acme.example" })
	require.GreaterOrEqual(t, at, 0)
	require.Equal(t, n+1, paces[at].Decisions)
	require.Equal(t, n+1, paces[at].Run, "all keeps, one after the other")
	_, err = evidencepack.Verify(bytes.NewReader(bytes.Replace(pack, []byte("removed"), []byte("denied "), 1)))
	require.Error(t, err)
}
