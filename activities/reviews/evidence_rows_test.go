package reviews_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/session"
	evidencepack "github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

func TestReviewEndNamesWhatTheChainDoesNotExplain(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	r.decides("carol", "kim", "group:builders", access.VerdictKeep)
	kim := r.item("kim", "group:builders")
	o.Forge(`UPDATE review_items SET verdict = 'remove', said = REPLACE(said, '"keep"', '"remove"') WHERE n = ?`, kim.N)
	o.Forge(`UPDATE review_events SET verdict = 'remove' WHERE kind = 'decided' AND n = ?`, kim.N)
	r.close()
	r.carry()
	ended := r.end(access.ReviewDone)
	require.Len(t, ended.Unexplained, 2)
	require.Contains(t, ended.Unexplained[0], "review_events "+r.Review)
	require.Contains(t, ended.Unexplained[1],
		"review_items "+r.Review+" "+kim.Person+" group:builders: no entry explained how it was before entry")
	_, checked := r.evidence()
	require.Equal(t, ended.Unexplained, checked.Review.Unexplained, "and so does the pack")
}

// A verdict that was turned is not carried out, whether that was before deciding was over or after; the others are.
func TestReviewDecisionsThatWereForgedAreNotCarriedOut(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		o := reviewOf(t, campaign)
		r := review(o, "quarterly")
		r.stage(1)
		r.decides("carol", "kim", "group:builders", access.VerdictKeep)
		r.decides("carol", "dan", "group:builders", access.VerdictRemove)
		kim := r.item("kim", "group:builders")
		outcome := ""
		if late {
			r.close()
			outcome = "open"
		}
		o.Forge(`UPDATE review_items SET verdict = 'remove', outcome = ?, said = REPLACE(said, '"keep"', '"remove"') WHERE n = ?`, outcome, kim.N)
		if !late {
			r.close()
		}
		r.carry()
		is := r.item("kim", "group:builders")
		require.Equal(t, access.OutcomeRefused, is.Outcome)
		require.Contains(t, is.Why, "chain does not explain")
		rulings, err := o.Ledger.Rulings(t.Context(), activitytest.Org, r.Review)
		require.NoError(t, err)
		for _, ruling := range rulings {
			require.NotEqual(t, kim.Person, ruling.Person)
		}
		require.NotEqual(t, access.OutcomeRefused, r.item("dan", "group:builders").Outcome)
	}
}

func TestReviewEndOfAReviewWithoutForgery(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	r.decides("carol", "kim", "group:builders", access.VerdictKeep)
	r.close()
	r.carry()
	require.Empty(t, r.end(access.ReviewDone).Unexplained)
	_, checked := r.evidence()
	require.Empty(t, checked.Review.Unexplained)
}

func TestEvidenceOfAForgedReviewIsNotReturned(t *testing.T) {
	t.Parallel()
	o := reviewOf(t, campaign)
	r := review(o, "quarterly")
	r.stage(1)
	r.close()
	r.carry()
	ended := r.end(access.ReviewDone)
	o.Forge(`UPDATE reviews SET body = REPLACE(body, ?, ?)`, ended.Head, "sha256:"+strings.Repeat("0", 64))
	_, err := activitytest.Call[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportEvidence, ID: r.Review})
	require.Equal(t, session.ErrEvidence, activitytest.ApplicationError(t, err).Type())
	require.ErrorContains(t, err, "the ledger's chain does not explain review "+r.Review)
}

func TestEvidenceKnowsEveryKeyOfACampaign(t *testing.T) {
	t.Parallel()
	said, err := json.Marshal(keysOf(reflect.TypeFor[policy.Review]()))
	require.NoError(t, err)
	_, err = evidencepack.NewWriter(&bytes.Buffer{}, evidencepack.Head{
		Org: activitytest.Org, Campaign: said, Policy: "p", Made: time.Now(),
		Review: access.Review{ID: "r", State: access.ReviewDone, Policy: "p"},
	})
	require.NoError(t, err, "a key that a policy can say of a campaign is missing among campaignKeys in evidence/campaign.go")
}

// keysOf is an object with all keys that a struct has in JSON.
func keysOf(t reflect.Type) any {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return "x"
	}
	object := map[string]any{}
	for field := range t.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			object[name] = keysOf(field.Type)
		}
	}
	return object
}
