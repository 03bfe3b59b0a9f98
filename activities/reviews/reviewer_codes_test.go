package reviews_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
)

func TestReviewCodesThatAreBurntAreReplaced(t *testing.T) {
	t.Parallel()
	o, _ := paged(t, strings.Replace(campaign, "codes: false", "codes: true", 1))
	r := review(o, "quarterly")
	r.stage(1)
	carol := r.tell(reviews.NoticeReviewAsked, "carol@acme.example")
	before := len(o.Notifier.Notices)
	burnt := o.Burn(carol.Code)
	require.Len(t, burnt, 1)
	require.Equal(t, r.Review, burnt[0].Review)
	require.Len(t, o.Notifier.Notices, before+1)
	again := o.Notifier.Notices[before]
	require.Equal(t, "carol@acme.example", again.To)
	require.NotEmpty(t, again.Code)
	require.NotEqual(t, carol.Code, again.Code)
	o.Burn(carol.Code)
	require.Len(t, o.Notifier.Notices, before+1, "whoever has a code is sent no other")
	said := r.words(reviews.ReviewMessage{
		Decide: &messages.DecideInput{By: "carol@acme.example", Verdict: access.VerdictKeep,
			All: &messages.ItemFilter{}},
		CodeHash: messages.CodeHash(carol.Code), Via: "temporal",
	})
	require.Contains(t, said[0].Refused, "the code is not the one")
}
