package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

func ruling(verdict access.Verdict, target access.Entitlement, until time.Time) access.Ruling {
	return access.Ruling{Review: "q1", Person: "ana", Target: target, Verdict: verdict, At: noon.Add(-time.Hour),
		Until: until}
}

func TestResolveHearsReviews(t *testing.T) {
	b, _ := bind(t, `
- {name: m, from: [sales], to: ["group:jira-users-acme"], adopt: true}
- {name: n, from: [eng-web], to: ["default:jira/acme/user"]}
`)
	const acme, extra, byDefault = access.Entitlement("group:JIRA-users-acme"),
		access.Entitlement("group:jira-users-extra"), access.Entitlement("default:jira/ACME/user")
	keep := func(target access.Entitlement) access.Ruling { return ruling(access.VerdictKeep, target, noon.Add(1)) }
	remove := func(target access.Entitlement) access.Ruling {
		return ruling(access.VerdictRemove, target, time.Time{})
	}
	said := func(via access.Entitlement) access.Reason {
		return access.Reason{Kind: access.ReasonReview, Name: "q1", Via: via}
	}
	mapping := access.Reason{Kind: access.ReasonMapping, Name: "m", Source: "sales"}
	for name, tt := range map[string]struct {
		groups  []string
		rulings []access.Ruling
		wants   []policy.Want
	}{
		"keep": {nil, []access.Ruling{keep(acme)}, []policy.Want{{Target: 0, Reasons: []access.Reason{said("")}}}},
		"keep by another name": {nil, []access.Ruling{keep(byDefault)}, []policy.Want{
			{Target: 0, Reasons: []access.Reason{said(byDefault)}},
			{Target: 1, Reasons: []access.Reason{said(byDefault)}},
		}},
		"keep beside a mapping": {[]string{"s4"}, []access.Ruling{keep(acme)},
			[]policy.Want{{Target: 0, Reasons: []access.Reason{mapping, said("")}, Adopt: true}}},
		"remove": {nil, []access.Ruling{remove(extra)},
			[]policy.Want{{Target: 1, Denied: []access.Reason{said("")}}}},
		"remove against a mapping": {[]string{"s4"}, []access.Ruling{remove(acme)},
			[]policy.Want{{Target: 0, Reasons: []access.Reason{mapping}, Denied: []access.Reason{said("")},
				Adopt: true}}},
		"two that disagree": {nil, []access.Ruling{keep(acme), remove(acme)},
			[]policy.Want{{Target: 0, Reasons: []access.Reason{said("")}, Denied: []access.Reason{said("")}}}},
		"said twice": {nil, []access.Ruling{keep(acme), keep(acme)},
			[]policy.Want{{Target: 0, Reasons: []access.Reason{said("")}}}},
		"over": {nil,
			[]access.Ruling{ruling(access.VerdictRemove, acme, noon), ruling(access.VerdictKeep, acme, noon.Add(-1))},
			nil},
		"nobody has decided":     {nil, []access.Ruling{ruling("", acme, time.Time{})}, nil},
		"of what is not managed": {nil, []access.Ruling{keep("group:web-Members"), remove(access.OrgAdmin)}, nil},
	} {
		p := access.Person{ID: "ana", GroupIDs: tt.groups}
		require.Equal(t, tt.wants, b.Resolve(p, policy.Known{Rulings: tt.rulings, Now: noon}).Wants, name)
		p.AccountType = "app"
		require.Empty(t, b.Resolve(p, policy.Known{Rulings: tt.rulings, Now: noon}).Wants, name)
	}
}

// What stands and what gives: a keep stands and gives nothing, and against a denial nothing stands.
func TestResolveKeepStandsAndGivesNothing(t *testing.T) {
	keep, mapping := access.Reason{Kind: access.ReasonReview, Name: "q1"},
		access.Reason{Kind: access.ReasonMapping, Name: "m"}
	rule := access.Reason{Kind: access.ReasonRule, Name: "r"}
	last := []access.Reason{rule}
	kept := policy.Want{Reasons: []access.Reason{keep}, Unsure: []access.Reason{rule}}
	require.Equal(t, []access.Reason{keep}, kept.ReasonsToHold(nil))
	require.Empty(t, kept.ReasonsToAdd(nil))
	require.Equal(t, []access.Reason{keep, rule}, kept.ReasonsToHold(last))
	require.Equal(t, []access.Reason{rule}, kept.ReasonsToAdd(last))
	kept.Reasons = []access.Reason{mapping, keep}
	require.Equal(t, []access.Reason{mapping}, kept.ReasonsToAdd(nil))
	require.Equal(t, []access.Reason{mapping, keep}, kept.Reasons, "asking changes nothing")
	kept.Denied = []access.Reason{{Kind: access.ReasonReview, Name: "q2"}}
	require.Empty(t, kept.ReasonsToHold(last))
	require.Empty(t, kept.ReasonsToAdd(last))
}
