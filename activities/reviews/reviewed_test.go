package reviews_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	evidencepack "github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// reviewed is a review in a simulated organization, played by hand: the workflow's part is the test's.
type reviewed struct {
	*activitytest.SimulatedOrg
	reviews.ReviewInput
	begun reviews.ReviewBeginResult
}

// review opens a campaign and takes its items.
func review(o *activitytest.SimulatedOrg, campaign string) *reviewed {
	o.T.Helper()
	o.Asked++
	r := &reviewed{SimulatedOrg: o,
		ReviewInput: reviews.ReviewInput{Org: activitytest.Org, Review: fmt.Sprintf("%s:%03d", campaign, o.Asked)}}
	r.begun = activitytest.Must[reviews.ReviewBeginResult](o, o.Acts.Reviews.ReviewBegin,
		reviews.ReviewBeginInput{ReviewInput: r.ReviewInput, Campaign: campaign, Run: r.Review})
	in := reviews.ReviewSweepInput{ReviewInput: r.ReviewInput, Pages: 20}
	for {
		swept := activitytest.Must[session.SweepResult](o, o.Acts.Reviews.ReviewSweep, in)
		if in.Cursor = swept.Next; in.Cursor == "" {
			break
		}
		in.Block++
	}
	activitytest.Must[reviews.ReviewRankResult](o, o.Acts.Reviews.ReviewRank, r.ReviewInput)
	return r
}

// stage begins a stage.
func (r *reviewed) stage(n int) reviews.ReviewStageResult {
	r.T.Helper()
	return activitytest.Must[reviews.ReviewStageResult](r.SimulatedOrg, r.Acts.Reviews.ReviewStage,
		reviews.ReviewStageInput{ReviewInput: r.ReviewInput, Stage: n, Due: r.Clock().Add(14 * activitytest.Day)})
}

// items are all items of the review, by number.
func (r *reviewed) items() []access.Item {
	r.T.Helper()
	all, err := r.Ledger.Items(r.T.Context(), activitytest.Org, r.Review, ledger.ItemFilter{})
	require.NoError(r.T, err)
	return all
}

// item is the item of somebody and a target.
func (r *reviewed) item(person string, target access.Entitlement) access.Item {
	r.T.Helper()
	for _, i := range r.items() {
		if strings.HasPrefix(i.Email, person) && i.Target == target {
			return i
		}
	}
	require.Fail(r.T, "no item", "%s, %s in %v", person, target, r.listed())
	return access.Item{}
}

// listed are the items as "ana group:builders", sorted.
func (r *reviewed) listed() []string {
	var all []string
	for _, i := range r.items() {
		name, _, _ := strings.Cut(i.Email, "@")
		all = append(all, name+" "+string(i.Target))
	}
	slices.Sort(all)
	return all
}

// askedOf returns whom a stage asks, as "ana: bo group:builders, …".
func (r *reviewed) askedOf(stage int) map[string][]string {
	r.T.Helper()
	asked := map[string][]string{}
	for _, i := range r.items() {
		tasks, err := r.Ledger.OpenTasks(r.T.Context(), activitytest.Org, r.Review, stage, "")
		require.NoError(r.T, err)
		for _, task := range tasks {
			if task.N == i.N {
				who := r.NameOf(task.Reviewer)
				name, _, _ := strings.Cut(i.Email, "@")
				asked[who] = append(asked[who], name+" "+string(i.Target))
			}
		}
	}
	for _, all := range asked {
		slices.Sort(all)
	}
	return asked
}

// say records a verdict and returns the answer.
func (r *reviewed) say(by string, v access.Verdict, items ...int) reviews.ReviewMessageResult {
	r.T.Helper()
	if !strings.ContainsAny(by, "@:") {
		by += "@acme.example"
	}
	heard := activitytest.Must[[]reviews.ReviewMessageResult](r.SimulatedOrg, r.Acts.Reviews.ReviewSay,
		reviews.ReviewSayInput{ReviewInput: r.ReviewInput, Words: []reviews.ReviewMessage{{
			Decide: &messages.DecideInput{By: by, Verdict: v, Items: items, Comment: "looked at"}, Via: "temporal",
			At: r.Clock(),
		}}})
	return heard[0]
}

// decides is say of one item, that has to be accepted.
func (r *reviewed) decides(by, person string, target access.Entitlement, v access.Verdict) {
	r.T.Helper()
	heard := r.say(by, v, r.item(person, target).N)
	require.Empty(r.T, heard.Refused)
	require.Equal(r.T, 1, heard.Answer.Applied, heard.Answer)
}

func (r *reviewed) close() reviews.ReviewCloseResult {
	r.T.Helper()
	return activitytest.Must[reviews.ReviewCloseResult](r.SimulatedOrg, r.Acts.Reviews.ReviewClose,
		reviews.ReviewCloseInput{ReviewInput: r.ReviewInput, Why: "time was over"})
}

func (r *reviewed) carry() reviews.ReviewCarryResult {
	r.T.Helper()
	return activitytest.Must[reviews.ReviewCarryResult](r.SimulatedOrg, r.Acts.Reviews.ReviewCarry,
		reviews.ReviewCarryInput{ReviewInput: r.ReviewInput})
}

// carried is what a look at removals comes to, a whole verification, and the look after it.
func (r *reviewed) carried() reviews.ReviewCarryResult {
	r.T.Helper()
	r.carry()
	r.Verify()
	return r.carry()
}

func (r *reviewed) end(state access.ReviewState) access.Review {
	r.T.Helper()
	return activitytest.Must[access.Review](r.SimulatedOrg, r.Acts.Reviews.ReviewEnd,
		reviews.ReviewEndInput{ReviewInput: r.ReviewInput, State: state})
}

// evidence is the pack, checked offline.
func (r *reviewed) evidence() ([]byte, evidencepack.VerifiedPack) {
	r.T.Helper()
	var pack bytes.Buffer
	for piece, more := 0, true; more; piece++ {
		body, another, err := r.Ledger.Evidence(r.T.Context(), activitytest.Org, r.Review, piece)
		require.NoError(r.T, err)
		pack.WriteString(body)
		more = another
	}
	checked, err := evidencepack.Verify(bytes.NewReader(pack.Bytes()))
	require.NoError(r.T, err)
	return pack.Bytes(), checked
}

// outcomes are the outcomes of items as "ana group:builders" → outcome.
func (r *reviewed) outcomes() map[string]access.Outcome {
	r.T.Helper()
	all := map[string]access.Outcome{}
	for _, i := range r.items() {
		name, _, _ := strings.Cut(i.Email, "@")
		all[name+" "+string(i.Target)] = i.Outcome
	}
	return all
}

// campaign is a review of the company's wikis and admins, decided by carol.
const campaign = `
reviews:
  - name: quarterly
    description: Who still needs what?
    owner: bo@acme.example
    codes: false
    scope: {targets: ["group:partner-wiki", "group:internal-wiki", "group:builders"]}
    stages: [{reviewers: [carol@acme.example], fallback: [dan@acme.example]}]
`

// reviewOf is the company under a policy with a campaign, in step.
func reviewOf(t *testing.T, more string) *activitytest.SimulatedOrg {
	t.Helper()
	return activitytest.CompanyWith(t, more)
}
