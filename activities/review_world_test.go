package activities_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	evidencepack "github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// reviewed is a review in a world, played by hand: the workflow's part is the test's.
type reviewed struct {
	*world
	activities.ReviewInput
	begun activities.ReviewBegun
}

// review opens a campaign and takes its items.
func (w *world) review(campaign string) *reviewed {
	w.t.Helper()
	w.asked++
	r := &reviewed{world: w, ReviewInput: activities.ReviewInput{Org: org, Review: fmt.Sprintf("%s:%03d", campaign, w.asked)}}
	r.begun = must[activities.ReviewBegun](w, w.acts.ReviewBegin, activities.ReviewBeginInput{ReviewInput: r.ReviewInput, Campaign: campaign, Run: r.Review})
	in := activities.ReviewSweepInput{ReviewInput: r.ReviewInput, Pages: 20}
	for {
		swept := must[activities.SweepResult](w, w.acts.ReviewSweep, in)
		if in.Cursor = swept.Next; in.Cursor == "" {
			break
		}
		in.Block++
	}
	must[activities.ReviewTaken](w, w.acts.ReviewRank, r.ReviewInput)
	return r
}

// stage begins a stage.
func (r *reviewed) stage(n int) activities.ReviewStageBegun {
	r.t.Helper()
	return must[activities.ReviewStageBegun](r.world, r.acts.ReviewStage, activities.ReviewStageInput{ReviewInput: r.ReviewInput, Stage: n, Due: r.clock().Add(14 * day)})
}

// items are all items of the review, by number.
func (r *reviewed) items() []access.Item {
	r.t.Helper()
	all, err := r.ledger.Items(r.t.Context(), org, r.Review, ledger.ItemFilter{})
	require.NoError(r.t, err)
	return all
}

// item is the item of somebody and a target.
func (r *reviewed) item(person string, target access.Entitlement) access.Item {
	r.t.Helper()
	for _, i := range r.items() {
		if strings.HasPrefix(i.Email, person) && i.Target == target {
			return i
		}
	}
	require.Fail(r.t, "no item", "%s, %s in %v", person, target, r.listed())
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

// asked are whom a stage asks, as "ana: bo group:builders, …".
func (r *reviewed) askedOf(stage int) map[string][]string {
	r.t.Helper()
	asked := map[string][]string{}
	for _, i := range r.items() {
		tasks, err := r.ledger.OpenTasks(r.t.Context(), org, r.Review, stage, "")
		require.NoError(r.t, err)
		for _, task := range tasks {
			if task.N == i.N {
				who, _, _ := strings.Cut(task.Reviewer, "@")
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
func (r *reviewed) say(by string, v access.Verdict, items ...int) activities.ReviewHeard {
	r.t.Helper()
	if !strings.Contains(by, "@") {
		by += "@acme.example"
	}
	heard := must[[]activities.ReviewHeard](r.world, r.acts.ReviewSay, activities.ReviewSayInput{ReviewInput: r.ReviewInput, Words: []activities.ReviewWord{{
		Decide: &messages.DecideInput{By: by, Verdict: v, Items: items, Comment: "looked at"}, Via: "temporal", At: r.clock(),
	}}})
	return heard[0]
}

// decides is say of one item, that has to be accepted.
func (r *reviewed) decides(by, person string, target access.Entitlement, v access.Verdict) {
	r.t.Helper()
	heard := r.say(by, v, r.item(person, target).N)
	require.Empty(r.t, heard.Refused)
	require.Equal(r.t, 1, heard.Answer.Applied, heard.Answer)
}

func (r *reviewed) close() activities.ReviewClosed {
	r.t.Helper()
	return must[activities.ReviewClosed](r.world, r.acts.ReviewClose, activities.ReviewCloseInput{ReviewInput: r.ReviewInput, Why: "time was over"})
}

func (r *reviewed) carry() activities.ReviewCarried {
	r.t.Helper()
	return must[activities.ReviewCarried](r.world, r.acts.ReviewCarry, activities.ReviewCarryInput{ReviewInput: r.ReviewInput})
}

// carried is what a look at removals comes to, a whole verification, and the look after it.
func (r *reviewed) carried() activities.ReviewCarried {
	r.t.Helper()
	r.carry()
	r.verify()
	return r.carry()
}

func (r *reviewed) end(state access.ReviewState) access.Review {
	r.t.Helper()
	return must[access.Review](r.world, r.acts.ReviewEnd, activities.ReviewEndInput{ReviewInput: r.ReviewInput, State: state})
}

// evidence is the pack, checked offline.
func (r *reviewed) evidence() ([]byte, evidencepack.Checked) {
	r.t.Helper()
	var pack bytes.Buffer
	for piece, more := 0, true; more; piece++ {
		body, another, err := r.ledger.Evidence(r.t.Context(), org, r.Review, piece)
		require.NoError(r.t, err)
		pack.WriteString(body)
		more = another
	}
	checked, err := evidencepack.Verify(bytes.NewReader(pack.Bytes()))
	require.NoError(r.t, err)
	return pack.Bytes(), checked
}

// outcomes are the outcomes of items as "ana group:builders" → outcome.
func (r *reviewed) outcomes() map[string]access.Outcome {
	r.t.Helper()
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
func reviewOf(t *testing.T, more string) *world {
	t.Helper()
	return companyWith(t, more)
}
