package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

const namesPolicy = `
version: 1
organization: {name: acme, id: org-1, key: env:KEY, keyOwner: Key@acme.example}
mappings: [{name: eng, from: [eng], to: ["group:builders"]}]
protected: [{target: role:org-admin, minimum: 1, always: [glass@acme.example, "712020:root-0001"]}]
grants:
  - name: admins
    targets: [role:org-admin]
    duration: {max: 4h}
    approval: {count: 2, by: [cy.kim@acme.example, CY.LEE@acme.example, gus@acme.example]}
    breakGlass: {people: [dan@acme.example], max: 1h}
rules:
  - {name: leavers, owner: own@acme.example, when: 'external', deny: ["group:builders"], notify: [owner, team@acme.example], removals: owned}
reviews:
  - name: q
    owner: camp@acme.example
    owners: [{targets: ["group:builders"], by: [tom@acme.example]}]
    stages: [{reviewers: [person, owner, rev@acme.example, "group:leads"], fallback: [fall@acme.example], length: 7d}]
governance: {schedule: "0 9 * * 1", notify: [gov@acme.example]}
`

func account(id, email string) policy.Account {
	return policy.Account{Person: access.Person{ID: id, Email: email, AccountStatus: "active"}}
}

func TestNamesListsEverybodyWhomThePolicyNames(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(namesPolicy))
	require.NoError(t, err)
	var got []string
	for _, n := range p.Names() {
		got = append(got, n.Where+" "+string(n.Use)+" "+n.Name)
	}
	require.Equal(t, []string{
		"organization.keyOwner key-owner Key@acme.example",
		"protected[0].always[0] always glass@acme.example", "protected[0].always[1] always 712020:root-0001",
		"grants[0].approval.by[0] approver cy.kim@acme.example",
		"grants[0].approval.by[1] approver CY.LEE@acme.example", "grants[0].approval.by[2] approver gus@acme.example",
		"grants[0].breakGlass.people[0] break-glass dan@acme.example",
		"rules[0].owner rule-owner own@acme.example", "rules[0].notify[1] notified team@acme.example",
		"reviews[0].owner reviewer camp@acme.example", "reviews[0].owners[0].by[0] reviewer tom@acme.example",
		"reviews[0].stages[0].reviewers[2] reviewer rev@acme.example",
		"reviews[0].stages[0].fallback[0] reviewer fall@acme.example",
		"governance.notify[0] notified gov@acme.example",
	}, got)
}

func TestWithAccountsPutsAccountIdsInPlaceOfNames(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(namesPolicy))
	require.NoError(t, err)
	before := string(p.JSON())
	named := p.WithAccounts(policy.Accounts{
		"key@acme.example": account("id-key", ""), "cy.kim@acme.example": account("id-cy", ""),
		"cy.lee@acme.example": account("id-cy", ""),
		"dan@acme.example":    account("id-dan", ""), "own@acme.example": account("id-own", ""),
		"camp@acme.example": account("id-camp", ""),
		"tom@acme.example":  account("id-tom", ""), "rev@acme.example": account("id-rev", ""),
		"fall@acme.example": account("id-fall", ""),
		"gov@acme.example":  account("id-gov", ""),
	})
	require.Equal(t, "id-key", named.Organization.KeyOwner)
	require.Equal(t, []string{"glass@acme.example", "712020:root-0001"}, named.Protected[0].Always,
		"who leads to nobody stays as written")
	require.Equal(t, []string{"id-cy", "gus@acme.example"}, named.Grants[0].Approval.By, "one account, one approver")
	require.Equal(t, []string{"id-dan"}, named.Grants[0].BreakGlass.People)
	require.Equal(t, "id-own", named.Rules[0].Owner)
	require.Equal(t, []string{"owner", "team@acme.example"}, named.Rules[0].Notify)
	require.Equal(t, "id-camp", named.Reviews[0].Owner)
	require.Equal(t, []string{"id-tom"}, named.Reviews[0].Owners[0].By)
	require.Equal(t, []string{"person", "owner", "id-rev", "group:leads"}, named.Reviews[0].Stages[0].Reviewers)
	require.Equal(t, []string{"id-fall"}, named.Reviews[0].Stages[0].Fallback)
	require.Equal(t, []string{"id-gov"}, named.Governance.Notify)
	require.Equal(t, before, string(p.JSON()), "the policy as written stays")
	require.Equal(t, p.Hash(), named.Hash())
	require.Equal(t, p.Rules[0].Key(), named.Rules[0].Key(), "no consent is asked for anew")

	again := p.WithAccounts(policy.Accounts{})
	require.Equal(t, before, string(again.JSON()),
		"every place where the policy names somebody is visited, and nothing else")
}

func TestNameFindings(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(namesPolicy))
	require.NoError(t, err)
	renamed, taken, gone, suspended := account("id-key", "castle@acme.example"),
		account("id-glass", "glass.b@acme.example"), account("id-dan", "dan@acme.example"),
		account("id-cy", "cy.kim@acme.example")
	taken.Other, gone.Gone, suspended.MembershipStatus = "id-new", true, "suspended"
	had := policy.Account{Person: access.Person{Email: "gus@acme.example"}, Then: "gus@acme.example", Other: "id-new",
		Since: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	found := map[string]string{}
	for _, f := range p.NameFindings(policy.Accounts{
		"gus@acme.example": had,
		"key@acme.example": renamed, "glass@acme.example": taken, "dan@acme.example": gone,
		"cy.kim@acme.example": suspended,
		"camp@acme.example":   account("c", "camp@acme.example"), "tom@acme.example": account("t", "TOM@acme.example"),
		"712020:root-0001": account("712020:root-0001", "r@acme.example"),
	}) {
		require.False(t, f.Blocks)
		found[f.Rule+" "+f.Subject] = f.Detail
	}
	for want, detail := range map[string]string{
		"name-changed Key@acme.example":        "has the address castle@acme.example now: write that, or the account id id-key (organization.keyOwner)",
		"name-changed glass@acme.example":      "this address now belongs to account id-new; the policy still means glass.b@acme.example",
		"name-unknown dan@acme.example":        "account id-dan is no longer in the directory",
		"approver-unknown cy.kim@acme.example": "account id-cy is not active",
		"approver-unknown CY.LEE@acme.example": "matches no account in the directory",
		"approver-unknown gus@acme.example":    "account id-new has had this address since 2026-03-02T12:00:00Z or shortly before: apply the policy again if you mean that account",
		"rule-owner-unknown own@acme.example":  "matches no account in the directory",
		"name-unknown rev@acme.example":        "stages[0].reviewers[2]",
		"name-unknown fall@acme.example":       "stages[0].fallback[0]",
	} {
		require.Contains(t, found[want], detail, want)
		delete(found, want)
	}
	swapped := map[string]string{}
	for _, f := range p.NameFindings(policy.Accounts{"key@acme.example": account("id-key", "dan@acme.example"),
		"dan@acme.example": account("id-dan", "dan.r@acme.example")}) {
		swapped[f.Rule+" "+f.Subject] = f.Detail
	}
	require.Contains(t, swapped["name-changed Key@acme.example"],
		"has the address dan@acme.example now, by which the policy means another account: write the account id id-key (")
	require.Contains(t, swapped["name-changed dan@acme.example"], "write that, or")
	require.Empty(t, found, "and nothing else: lists may be told of things, and names in another case are the same")
}
