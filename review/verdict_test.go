package review_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

func TestUnchanged(t *testing.T) {
	item := access.Item{Owned: true, Reasons: []access.Reason{{Kind: access.ReasonMapping, Name: "m", Source: "staff"}}}
	unchanged := func(i access.Item, last access.PastDecision) bool {
		return review.Unchanged(i, last, item.Owned, item.Reasons)
	}
	last := access.PastDecision{Verdict: keep, By: "id-carol"}
	require.True(t, unchanged(item, last))
	foreign := item
	foreign.Owned = false
	require.False(t, unchanged(foreign, last), "somebody else gives it now")
	require.False(t, unchanged(access.Item{Owned: true}, last), "nothing explains it now")
	require.False(t, unchanged(item, access.PastDecision{Verdict: keep}), "silence decided")
	require.False(t, unchanged(item, access.PastDecision{Verdict: remove, By: "id-carol"}))
	// one text of both would be the same
	two := []access.Reason{{Kind: "rule", Name: "a"}, {Kind: "rule", Name: "b"}}
	one := access.Item{Reasons: []access.Reason{{Kind: "rule", Name: "a", Source: "\n\nrule\nb\n"}}}
	require.False(t, review.Unchanged(one, last, false, two))
}

func TestStageFilters(t *testing.T) {
	undecided := func(v access.Verdict) bool { return v == "" }
	removed := func(v access.Verdict) bool { return v == remove }
	course := review.StageFilters{removed, undecided, undecided}
	for name, c := range map[string]struct {
		stage, last, spoke int
		verdict            access.Verdict
		want               bool
	}{
		"everything comes to the first":       {1, 0, 0, "", true},
		"what goes on":                        {2, 1, 1, remove, true},
		"what does not":                       {2, 1, 1, keep, false},
		"what nobody decided does not":        {2, 1, 0, "", false},
		"what did not come to the one before": {3, 1, 1, remove, false},
		"an older word is none of the stage":  {3, 2, 1, remove, true},
		"decided in the stage":                {3, 2, 2, remove, false},
	} {
		require.Equal(t, c.want, course.Enters(c.stage, c.last, c.spoke, c.verdict), name)
	}
	for name, c := range map[string]struct {
		item   access.Item
		atOnce bool
		want   bool
	}{
		"under way":                       {access.Item{Stage: 1, Outcome: access.OutcomeOpen}, false, true},
		"a further stage looks at it":     {access.Item{Stage: 1, Verdict: remove}, true, false},
		"no further stage does":           {access.Item{Stage: 2, Verdict: remove}, true, true},
		"in the last stage":               {access.Item{Stage: 3, Verdict: remove}, true, true},
		"carried out at the close":        {access.Item{Stage: 3, Verdict: remove}, false, false},
		"kept":                            {access.Item{Stage: 3, Verdict: keep}, true, false},
		"of which nobody has said a word": {access.Item{Stage: 3}, true, false},
	} {
		require.Equal(t, c.want, course.Due(c.item, c.atOnce), name)
	}
}

// closing closes a review of one target with three holders.
func closing(silence access.Verdict, items ...access.Item) []review.Resolution {
	c := review.Closer{Review: "spring", Holders: map[access.Entitlement]int{"group:wiki": 3},
		Silence: func(access.Item) access.Verdict { return silence }, Keep: time.Hour, Now: noon}
	for _, i := range items {
		c.Count(i)
	}
	var ends []review.Resolution
	for _, i := range items {
		ends = append(ends, c.Close(i))
	}
	return ends
}

func TestCloser(t *testing.T) {
	mapped := []access.Reason{{Kind: access.ReasonMapping, Name: "m"}}
	item := func(v access.Verdict) access.Item {
		return access.Item{Target: "group:wiki", Reasons: mapped, Verdict: v}
	}
	for name, c := range map[string]struct {
		item    access.Item
		silence access.Verdict
		verdict access.Verdict
		outcome access.Outcome
		silent  bool
		ruled   bool // a keep that is a reason for a while
	}{
		"kept":                    {item: item(keep), verdict: keep, outcome: access.OutcomeKept},
		"kept, and not explained": {item: access.Item{Target: "group:wiki", Verdict: keep}, verdict: keep, outcome: access.OutcomeKept, ruled: true},
		"presence needs no reason": {item: access.Item{Target: access.Directory, Verdict: keep}, verdict: keep,
			outcome: access.OutcomeKept},
		"removed":              {item: item(remove), verdict: remove, outcome: access.OutcomeOpen},
		"silence keeps":        {item: item(""), silence: keep, verdict: keep, outcome: access.OutcomeKept, silent: true},
		"silence removes":      {item: item(""), silence: remove, verdict: remove, outcome: access.OutcomeOpen, silent: true},
		"silence says nothing": {item: item(""), outcome: access.OutcomeUndecided},
		"what is settled stays": {item: access.Item{Target: "group:wiki", Verdict: remove, Outcome: access.OutcomeRemoved},
			silence: keep, verdict: remove, outcome: access.OutcomeRemoved},
	} {
		t.Run(name, func(t *testing.T) {
			got := closing(c.silence, c.item)[0]
			require.Equal(t, []any{c.verdict, c.outcome, c.silent}, []any{got.Item.Verdict, got.Item.Outcome,
				got.Item.Silent})
			require.False(t, got.EndRuling)
			if !c.ruled {
				require.Nil(t, got.NewRuling)
				return
			}
			require.Equal(t, &access.Ruling{Review: "spring", Target: "group:wiki", Verdict: keep, At: noon,
				Until: noon.Add(time.Hour)}, got.NewRuling)
			require.Equal(t, got.NewRuling.Until, got.Item.Until)
		})
	}
}

// TestCloserKeepsTheLastHoldersFromSilence: of whatever is decided and left open, somebody who was not decided about
// goes on holding the target, or was never there.
func TestCloserKeepsTheLastHoldersFromSilence(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var items []access.Item
		for n := range 3 {
			items = append(items, access.Item{N: n + 1, Person: fmt.Sprint("id-", n), Target: "group:wiki",
				Verdict: rapid.SampledFrom([]access.Verdict{"", keep, remove}).Draw(r, "verdict")})
		}
		taken, silent := 0, 0
		for _, s := range closing(remove, items...) {
			if s.Item.Verdict == remove && s.Item.Outcome == access.OutcomeOpen {
				taken++
				if s.Item.Silent {
					silent++
				}
			}
		}
		require.False(r, silent > 0 && taken == 3)
	})
}

// removed returns the facts of a removal that was decided of something that nothing gives.
func removed(change func(*review.Removal)) review.Removal {
	r := review.Removal{
		Item:   access.Item{N: 1, Person: "id-paul", Target: "group:wiki", GroupID: "g1", Verdict: remove},
		Review: "spring", Opened: noon.Add(-time.Hour), Now: noon, Managed: true, Shown: true, Known: true, Held: true,
	}
	if change != nil {
		change(&r)
	}
	return r
}

func TestRemoval(t *testing.T) {
	mapping := access.Reason{Kind: access.ReasonMapping, Name: "staff", Source: "src"}
	rule := access.Reason{Kind: access.ReasonRule, Name: "idle"}
	grant := access.Reason{Kind: access.ReasonGrant, Name: "g"}
	ruling := access.Ruling{Review: "spring", Verdict: remove, Target: "GROUP:wiki", At: noon.Add(-time.Minute)}
	line := func(state access.ChangeState) *access.Change {
		return &access.Change{State: state, Answer: "said so", HeldBy: []string{"target"}, At: noon}
	}
	for name, c := range map[string]struct {
		change    func(*review.Removal)
		outcome   access.Outcome
		why       string
		look      bool
		endGrants bool
		ruled     bool
		until     time.Time // of the ruling, or of the outcome
		waits     bool      // the ruling stays, and nothing is final
	}{
		"begins": {nil, access.OutcomeOpen, "", true, true, true, time.Time{}, true},
		"goes on": {func(r *review.Removal) { r.Rulings = []access.Ruling{ruling} }, access.OutcomeOpen, "", true, true,
			false, time.Time{}, true},
		"another review's ruling is not its own": {func(r *review.Removal) {
			r.Rulings = []access.Ruling{{Review: "autumn", Verdict: remove, Target: "group:wiki"}}
		}, access.OutcomeOpen, "", true, true, true, time.Time{}, true},
		"grants alone give it": {func(r *review.Removal) { r.Gives = []access.Reason{grant} }, access.OutcomeOpen, "",
			true, true, false, time.Time{}, true},
		"a mapping gives it": {func(r *review.Removal) { r.Gives = []access.Reason{mapping} }, access.OutcomeSource,
			"mapping staff gives it through source group src", false, false, false, time.Time{}, false},
		"a rule may give it": {func(r *review.Removal) { r.Unsure = []access.Reason{rule} }, access.OutcomeSource,
			"rule idle gives it", false, false, false, time.Time{}, false},
		"which is overruled": {func(r *review.Removal) { r.Gives, r.Deny = []access.Reason{mapping}, time.Hour },
			access.OutcomeOpen, "", true, true, true, noon.Add(time.Hour), true},
		"written past the ledger": {func(r *review.Removal) { r.Unexplained, r.Shown = true, false },
			access.OutcomeRefused, "not written by Castellan", false, false, false, time.Time{}, false},
		"dry run": {func(r *review.Removal) { r.DryRun = true }, access.OutcomeRefused, "dryRun", false, false, false,
			time.Time{}, false},
		"not managed": {func(r *review.Removal) { r.Managed = false }, access.OutcomeRefused, "no longer names the target",
			false, false, false, time.Time{}, false},
		"not shown": {func(r *review.Removal) { r.Shown = false }, access.OutcomeOpen, "does not show the person", false,
			false, false, time.Time{}, true},
		"not known": {func(r *review.Removal) { r.Known = false }, access.OutcomeOpen, "does not say whether", false,
			false, false, time.Time{}, true},
		"removed": {func(r *review.Removal) { r.Held, r.Line = false, line(access.Done) }, access.OutcomeRemoved,
			"said so", false, false, false, time.Time{}, false},
		"removed for a while": {func(r *review.Removal) {
			r.Held, r.Line = false, line(access.Already)
			r.Rulings = []access.Ruling{ruling}
			r.Rulings[0].Until = noon.Add(time.Hour)
		}, access.OutcomeDenied, "overruled until 2026-05-04", false, false, false, noon.Add(time.Hour), true},
		"gone": {func(r *review.Removal) { r.Held, r.Item.GroupID = false, "" }, access.OutcomeGone, "no longer held",
			false, false, false, time.Time{}, false},
		"rejected": {func(r *review.Removal) {
			r.Rejected = []access.Change{{Action: access.Remove, Target: "group:wiki", At: noon}}
		}, access.OutcomeRejected, "a person rejected", false, false, false, time.Time{}, false},
		"rejected before the review": {func(r *review.Removal) {
			r.Rejected = []access.Change{{Action: access.Remove, Target: "group:wiki", At: noon.Add(-2 * time.Hour)}}
		}, access.OutcomeOpen, "", true, true, true, time.Time{}, true},
		"refused": {func(r *review.Removal) { r.Rulings, r.Line = []access.Ruling{ruling}, line(access.Refused) },
			access.OutcomeRefused, "said so", false, false, false, time.Time{}, false},
		"refused before it was decided": {func(r *review.Removal) {
			r.Rulings, r.Line = []access.Ruling{ruling}, line(access.Refused)
			r.Line.At = noon.Add(-time.Hour)
		}, access.OutcomeOpen, "", true, true, false, time.Time{}, true},
		"held": {func(r *review.Removal) {
			r.Rulings, r.Line = []access.Ruling{ruling}, line(access.Held)
			r.Run, r.HoldRun, r.HoldPlan = "run", "run", "plan"
		}, access.OutcomeHeld, "the guard holds it: target", false, true, false, time.Time{}, true},
		"held by a run that is over": {func(r *review.Removal) {
			r.Rulings, r.Line = []access.Ruling{ruling}, line(access.Held)
			r.Run, r.HoldRun, r.HoldPlan = "run", "other", "plan"
		}, access.OutcomeOpen, "", true, true, false, time.Time{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := removed(c.change).Next()
			require.False(t, got.AskMembers)
			require.Equal(t, c.outcome, got.Item.Outcome)
			require.Contains(t, got.Item.Why, c.why)
			require.Equal(t, c.why == "", got.Item.Why == "")
			require.Equal(t, []bool{c.look, c.endGrants, !c.waits},
				[]bool{got.RecheckPerson, got.EndGrants, got.EndRuling})
			require.True(t, got.Changed)
			require.Equal(t, c.ruled, got.NewRuling != nil)
			if c.ruled {
				require.Equal(t, []any{"id-paul", remove, c.until},
					[]any{got.NewRuling.Person, got.NewRuling.Verdict, got.NewRuling.Until})
				return
			}
			require.Equal(t, c.until, got.Item.Until)
		})
	}
}

func TestRemovalNotShownByOneRead(t *testing.T) {
	r := removed(func(r *review.Removal) { r.Held = false })
	require.True(t, r.Next().AskMembers, "one read may lie")
	require.Equal(t, access.OutcomeGone, r.NotMember().Item.Outcome)
	require.True(t, r.NotMember().EndRuling)
	still := r.StillMember()
	require.Equal(t, []any{access.OutcomeOpen, false}, []any{still.Item.Outcome, still.EndRuling})
}

// TestRemovalNextIsStable: whatever is known of a removal, a second look at the same says nothing new, or it is over.
func TestRemovalNextIsStable(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		facts := removed(func(f *review.Removal) {
			f.DryRun, f.Managed = rapid.Bool().Draw(r, "dry run"), rapid.Bool().Draw(r, "managed")
			f.Shown, f.Known = rapid.Bool().Draw(r, "shown"), rapid.Bool().Draw(r, "known")
			f.Held = rapid.Bool().Draw(r, "held")
			if rapid.Bool().Draw(r, "given") {
				f.Gives = []access.Reason{{Kind: rapid.SampledFrom([]access.ReasonKind{access.ReasonMapping,
					access.ReasonGrant, access.ReasonRule}).Draw(r, "by"), Name: "x"}}
			}
			f.Deny = time.Duration(rapid.IntRange(0, 1).Draw(r, "deny")) * time.Hour
			if rapid.Bool().Draw(r, "written") {
				f.Line = &access.Change{At: noon, State: rapid.SampledFrom([]access.ChangeState{access.Done,
					access.Held,
					access.Refused, access.Sent}).Draw(r, "state")}
				f.Run, f.HoldRun, f.HoldPlan = "run", "run", "plan"
			}
		})
		first := facts.Next()
		if first.AskMembers || first.Item.Outcome.Final() {
			return
		}
		facts.Item = first.Item
		if first.NewRuling != nil {
			facts.Rulings = append(facts.Rulings, *first.NewRuling)
		}
		second := facts.Next()
		if !second.Item.Outcome.Final() {
			require.False(r, second.Changed, "%+v", second)
			require.Equal(r, first.Item, second.Item)
		}
	})
}

func TestLate(t *testing.T) {
	for want, c := range map[string]struct {
		item   access.Item
		failed string
	}{
		"nobody decided on the plan that held it, p1": {access.Item{Outcome: access.OutcomeHeld, Plan: "p1"}, "cut off"},
		"it could not be read: cut off":               {access.Item{Outcome: access.OutcomeOpen, Why: "waits"}, "cut off"},
		"waits":                                       {access.Item{Outcome: access.OutcomeOpen, Why: "waits"}, ""},
		"the organization's loop did not write it in time: was it paused, or not running?": {
			access.Item{Outcome: access.OutcomeOpen}, ""},
	} {
		got := review.Late(c.item, c.failed)
		require.Equal(t, []any{access.OutcomeLate, want, true}, []any{got.Item.Outcome, got.Item.Why, got.EndRuling})
	}
}
