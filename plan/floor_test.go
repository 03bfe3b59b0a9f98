package plan_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

func admin(id string) access.Person {
	return access.Person{ID: id, Email: id + "@acme.example", AccountType: "atlassian", AccountStatus: "active",
		MembershipStatus: "active"}
}

func TestFloor(t *testing.T) {
	protected := policy.Target{Entitlement: access.OrgAdmin,
		Protected: &policy.Protected{Target: access.OrgAdmin, Minimum: 2, Always: []string{"ana"}}}
	misspelt := policy.Target{Entitlement: access.OrgAdmin,
		Protected: &policy.Protected{Target: access.OrgAdmin, Minimum: 2, Always: []string{"bo", "glas@acme.example"}}}
	three := []access.Person{admin("bo"), admin("cy"), admin("di")}
	asleep, robot, nameless := admin("zoe"), admin("bot"), admin("eve")
	asleep.MembershipStatus, robot.AccountType, nameless.Email = "suspended", "app", ""
	tests := map[string]struct {
		target  policy.Target
		holders []access.Person
		person  access.Person
		owner   string
		want    string
	}{
		"not protected": {policy.Target{Entitlement: "group:x"}, nil, admin("bo"), "bo", ""},
		"enough remain": {protected, three, admin("bo"), "", ""},
		"too few remain": {protected, three[:2], admin("bo"), "",
			"removing bo@acme.example from role:org-admin: refused, 1 active holders would remain and the policy requires at least 2"},
		"nobody was read":        {protected, nil, admin("bo"), "", "0 active holders"},
		"suspended do not count": {protected, append(three[:2:2], asleep), admin("bo"), "", "1 active holders"},
		"apps do not count":      {protected, append(three[:2:2], robot), admin("bo"), "", "1 active holders"},
		"nobody counts twice":    {protected, append(three[:2:2], admin("cy")), admin("bo"), "", "1 active holders"},
		"a suspended one may go": {protected, append(three[1:3:3], asleep), asleep, "", ""},
		"always stays": {protected, append(three, admin("ana")), admin("ana"), "",
			"always stays; remove them from protected first"},
		"owner":                   {protected, three, admin("bo"), "bo", "owns Castellan's key"},
		"owner without address":   {protected, three, nameless, "eve", "owns Castellan's key"},
		"another with an address": {protected, append(three, nameless), nameless, "cy", ""},
		"owner is nobody":         {protected, three, admin("bo"), "BO@acme.example", "nobody named BO@acme.example"},
		"a name is nobody's":      {misspelt, three, admin("cy"), "", "nobody named glas@acme.example"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := plan.Floor(tt.target, tt.holders, tt.person, tt.owner)
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.want)
			}
		})
	}
}

// Rules, expiries and reviews may ask for removals in any order: what the floor lets through never breaks it.
func TestFloorNoSequenceBreaksAFloor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var holders []access.Person
		for i := range rapid.IntRange(1, 8).Draw(t, "holders") {
			p := admin(fmt.Sprint("p", i))
			p.MembershipStatus = rapid.SampledFrom([]string{"active", "active", "suspended"}).Draw(t, "status")
			holders = append(holders, p)
		}
		active := func() (n int) {
			for _, h := range holders {
				if h.CanReceive() {
					n++
				}
			}
			return n
		}
		holds := func(id string) bool {
			for _, h := range holders {
				if h.ID == id {
					return true
				}
			}
			return false
		}
		target := policy.Target{Entitlement: access.OrgAdmin, Protected: &policy.Protected{
			Minimum: rapid.IntRange(1, 4).Draw(t, "minimum"), Always: []string{"P0@acme.example"},
		}}
		start := active()
		for range 20 {
			id := fmt.Sprint("p", rapid.IntRange(0, 8).Draw(t, "who"))
			if plan.Floor(target, holders, admin(id), "p1") == nil {
				for i, h := range holders {
					if h.ID == id {
						holders = append(holders[:i:i], holders[i+1:]...)
						break
					}
				}
			}
			require.GreaterOrEqual(t, active(), min(start, target.Protected.Minimum))
			require.True(t, holds("p0"))
			require.True(t, start == 0 || len(holders) > 0)
		}
	})
}
