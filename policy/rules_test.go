package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/window"
)

func TestRulesRefuse(t *testing.T) {
	const rule = minimal + "rules:\n  - {name: r, owner: ana@acme.example, when: managed, "
	for name, tt := range map[string]struct{ text, want string }{
		"condition on the second line": {
			minimal + "rules:\n  - name: r\n    give: ['group:x']\n    when: |\n      managed &&\n        colour == 1\n", "acme.yaml:13:9: rules[0].when: undeclared reference to 'colour'"},
		"condition of another type": {minimal + "rules:\n  - {name: r, give: ['group:x'], when: in(3)}\n",
			"acme.yaml:9:42: rules[0].when: found no matching overload for 'in'"},
		"no action": {rule + "}\n", "acme.yaml:9:5: rules[0]: the rule does nothing"},
		"star": {rule + "give: ['group:a-*']}\n",
			`rules[0].give[0]: "group:a-*": a rule names its targets in full`},
		"presence": {rule + "deny: [directory]}\n",
			"rules[0].deny[0]: presence is not given and denied like access; write suspend"},
		"leftover group": {rule + "give: ['group:Org-admins']}\n",
			`rules[0].give[0]: membership of "group:Org-admins" no longer makes`},
		"both ways": {rule + "give: ['group:a'], deny: ['group:A']}\n",
			`rules[0].deny[0]: "group:A" is given and denied by one rule`},
		"restore and suspend": {rule + "restore: true, suspend: true}\n",
			"rules[0]: the rule restores people and takes them away"},
		"suspend and remove": {rule + "suspend: true, remove: true}\n",
			"rules[0]: whom the rule removes need not be suspended"},
		"grace for nothing": {rule + "give: ['group:a'], grace: 1d}\n",
			"rules[0].grace: the rule takes nothing"},
		"shown and observed": {rule + "suspend: true, shown: 'sha256:" + strings.Repeat("a", 64) + "'}\n",
			"rules[0].shown: only what is enforced"},
		"no hash": {rule + "suspend: true, mode: enforce, shown: yes-please}\n",
			`rules[0].shown: "yes-please" is not the hash`},
		"nobody answers": {minimal + "rules:\n  - {name: r, when: managed, suspend: true}\n",
			"rules[0]: owner is missing"},
		"told nobody": {rule + "notify: [everybody]}\n",
			`rules[0].notify[0]: "everybody" can be told nothing`},
		"never in force": {rule + "suspend: true, during: {zone: Mars/Olympus, weekly: [Mon]}}\n",
			`rules[0].during:`},
		"no instant": {rule + "suspend: true, during: {from: tomorrow}}\n",
			`rules[0].during.from: "tomorrow" is not an instant`},
		"twice": {rule + "suspend: true}\n  - {name: R, when: managed, give: ['group:x']}\n",
			`rules[1].name: the name "R" is taken by rules[0]`},
		"mode of a mapping": {rule + "give: ['group:jira-users-acme'], removals: all}\n",
			`rules[0].give[0]: "group:jira-users-acme" has removals: all here and removals: owned in mappings[0]`},
		"mode of a rule": {
			rule + "give: ['group:x']}\n  - {name: s, when: managed, give: ['group:X'], removals: all}\n",
			"rules[1].give[0]"},
		"additive mapping": {strings.Replace(rule, "rules:", "    removals: never\nrules:", 1) +
			"deny: ['group:jira-users-acme']}\n", "mappings[0] says removals: never"},
		"domain": {strings.Replace(minimal, "name: acme,", "domains: ['@x'], name: acme,", 1),
			`organization.domains[0]: "@x" is not an e-mail domain`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Parse("acme.yaml", []byte(tt.text))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// ruled returns a policy of rules over the outline of the tests of Bind, with one mapping.
func ruled(t testing.TB, rules string) (*policy.Bound, []access.Finding) {
	p, err := policy.Parse("acme.yaml",
		[]byte("version: 1\norganization: {name: acme, id: a1, key: 'env:A', domains: [own.example]}\n"+
			"mappings:\n- {name: sales, from: [Sales], to: ['group:jira-users-acme']}\nignore: ['*']\nrules:\n"+rules))
	require.NoError(t, err)
	o := outline()
	o.Domains = []string{"acme.example"}
	return policy.Bind(p, o)
}

func verdicts(r policy.Resolution) map[string]policy.Verdict {
	all := map[string]policy.Verdict{}
	for _, a := range r.Rules {
		all[a.Name] = a.Verdict
	}
	return all
}

func person(email string, groups ...string) access.Person {
	return access.Person{ID: email, Email: email, ClaimStatus: "unmanaged", MembershipStatus: "active",
		GroupIDs: append([]string{}, groups...)}
}

func TestRulesGiveAndDeny(t *testing.T) {
	b, findings := ruled(t, `
- {name: power, mode: enforce, when: in("eng-web") && !external, give: ["group:confluence-users-acme"]}
- {name: outside, mode: enforce, owner: o@acme.example, when: external, deny: ["group:jira-users-acme"]}
- {name: unknown domains, mode: enforce, owner: o@acme.example, when: domain == "evil.example", suspend: true}
- {name: leave, mode: enforce, owner: o@acme.example, when: domain == "gone.example", remove: true}
- {name: back, mode: enforce, when: domain == "own.example", restore: true}
- {name: watch, owner: o@acme.example, when: external, suspend: true}
`)
	require.Empty(t, findings)
	require.Equal(t, []string{"directory", "group:Confluence-Users-acme", "group:jira-users-acme", "organization"},
		entitlements(b))
	require.Equal(t, []policy.Mode{policy.RemoveNever, policy.RemoveOwned, policy.RemoveOwned, policy.RemoveNever},
		[]policy.Mode{b.Targets[0].Removals, b.Targets[1].Removals, b.Targets[2].Removals, b.Targets[3].Removals},
		"only whom a rule denies loses presence")
	require.Equal(t, []string{"s1"}, b.Targets[1].Evidence)
	require.True(t, b.Source("s1"), "what a rule asks for is evidence")
	require.Equal(t, []int{1}, b.TargetsFedBy("ENG-web"))

	rule := func(name string) []access.Reason { return []access.Reason{{Kind: access.ReasonRule, Name: name}} }
	mapping := []access.Reason{{Kind: access.ReasonMapping, Name: "sales", Source: "sales"}}
	for who, want := range map[string]struct {
		person access.Person
		wants  []policy.Want
	}{
		"a colleague": {person("a@acme.example", "s1", "s4"),
			[]policy.Want{{Target: 1, Reasons: rule("power")}, {Target: 2, Reasons: mapping}}},
		"a partner": {person("p@partner.example", "s1", "s4"),
			[]policy.Want{{Target: 2, Reasons: mapping, Denied: rule("outside")}}},
		"own by list": {person("b@OWN.example", "s1"),
			[]policy.Want{{Target: 0, Reasons: rule("back")}, {Target: 1, Reasons: rule("power")}}},
		"unknown domain": {person("e@evil.example"),
			[]policy.Want{{Target: 0, Denied: rule("unknown domains")}, {Target: 2, Denied: rule("outside")}}},
		"to leave": {person("g@gone.example"),
			[]policy.Want{{Target: 2, Denied: rule("outside")}, {Target: 3, Denied: rule("leave")}}},
		"an app": {access.Person{ID: "x", Email: "x@connect.atlassian.com", GroupIDs: []string{"s4"}}, nil},
		"no address": {person("", "s4"),
			[]policy.Want{{Target: 0, Unsure: rule("back"), Barred: rule("unknown domains")},
				{Target: 2, Reasons: mapping, Barred: rule("outside")}, {Target: 3, Barred: rule("leave")}}},
	} {
		got := b.Resolve(want.person, policy.Known{Now: noon}).Wants
		require.Equal(t, want.wants, got, who)
	}
	would := b.Resolve(person("p@partner.example"), policy.Known{Now: noon, Would: true}).Wants
	require.Equal(t, []policy.Want{{Target: 0, Denied: rule("watch")}, {Target: 2, Denied: rule("outside")}}, would,
		"what only observes is told apart")
	require.True(t, b.HasObservingRules())

	none := b.WithActing(nil)
	require.Empty(t, none.Resolve(person("p@partner.example"), policy.Known{Now: noon}).Wants,
		"nobody consented to any of them")
	require.Len(t, b.EnforcedRuleKeys(), 5)
	require.Len(t, b.Resolve(person("p@partner.example"), policy.Known{Now: noon}).Wants, 1, "the other is as it was")
}

func TestRulesAndMappingsByTwoNamesTakeTheMoreCarefulMode(t *testing.T) {
	// group:Confluence-Users-acme is the default of confluence/acme/user.
	text := func(mapping, rule, mode string) string {
		return "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n" +
			"- {name: m, from: [sales], to: ['group:confluence-users-acme'], removals: " + mapping +
			"}\nignore: ['*']\nrules:\n" +
			"- {name: r, mode: " + mode + ", owner: o@acme.example, when: managed, give: ['default:confluence/acme/user'], removals: " + rule + "}\n"
	}
	for mapping, rules := range map[string]map[string][2]policy.Mode{
		"all": {"owned enforce": {"owned", "owned"}, "never enforce": {"never", "never"},
			"owned observe": {"all", "owned"}},
		"owned": {"all enforce": {"owned", "owned"}, "never observe": {"owned", "never"}},
		"never": {"all enforce": {"never", "never"}},
	} {
		for rule, want := range rules {
			removals, mode, _ := strings.Cut(rule, " ")
			b, findings := policy.Bind(parse(t, text(mapping, removals, mode)), outline())
			require.Equal(t, want, [2]policy.Mode{b.Targets[0].Mode(false), b.Targets[0].Mode(true)},
				"mapping %s, rule %s", mapping, rule)
			require.Equal(t, []string{"removals-differ group:Confluence-Users-acme"}, keys(findings))
		}
	}
	_, findings := policy.Bind(parse(t, text("all", "all", "enforce")), outline())
	require.Empty(t, findings)
}

func TestRulesDenyNothingThatAMappingOnlyAdds(t *testing.T) {
	b, findings := policy.Bind(parse(t, `
version: 1
organization: {name: acme, id: a1, key: 'env:A'}
mappings: [{name: m, from: [sales], to: ['group:confluence-users-acme'], removals: never}]
ignore: ['*']
rules: [{name: r, mode: enforce, owner: o@acme.example, when: managed, deny: ['default:confluence/acme/user']}]
`), outline())
	require.Equal(t, []string{"rule-additive r !"}, keys(findings))
	require.True(t, b.Targets[0].Additive)
}

func TestRulesThatGiveAndDenyOneTargetDoNeither(t *testing.T) {
	b, findings := ruled(t, `- {name: torn, mode: enforce, owner: o@acme.example, when: external, give: ["group:confluence-users-acme"], deny: ["default:confluence/acme/user"]}`+"\n")
	require.Equal(t, []string{"rule-contradicts-itself torn !"}, keys(findings))
	torn := []access.Reason{{Kind: access.ReasonRule, Name: "torn"}}
	require.Equal(t, []policy.Want{{Target: 0, Unsure: torn, Barred: torn}},
		b.Resolve(person("p@partner.example"), policy.Known{Now: noon}).Wants)
}

func TestGrantedKnowsATargetByAllItsNames(t *testing.T) {
	b, _ := ruled(t, `- {name: idle, mode: enforce, owner: o@acme.example, when: '!granted("default:jira/acme/user")', deny: ["group:jira-users-acme"]}`+"\n")
	denied := func(target access.Entitlement) bool {
		grants := []access.Grant{{ID: "g", Target: target, State: access.GrantGranted, From: noon.Add(-time.Hour),
			Until: noon.Add(time.Hour)}}
		for _, w := range b.Resolve(person("p@partner.example"), policy.Known{Now: noon, Grants: grants}).Wants {
			if len(w.Denied) > 0 {
				return true
			}
		}
		return false
	}
	require.False(t, denied("default:jira-software/acme/user"))
	require.False(t, denied("group:jira-users-acme"), "the group is the default role")
	require.True(t, denied("group:web-Members"))
}

func TestRulesTakeTime(t *testing.T) {
	b, _ := ruled(t, `
- {name: slow, mode: enforce, owner: o@acme.example, when: external, suspend: true, give: ["group:jira-users-acme"], after: 2d, grace: 3d}
`)
	who := person("p@partner.example")
	resolve := func(at time.Time, marks ...access.RuleMatch) (policy.RuleAnswer, []policy.Want) {
		r := b.Resolve(who, policy.Known{Now: at, Marks: marks})
		require.Len(t, r.Rules, 1)
		return r.Rules[0], r.Wants
	}
	day := 24 * time.Hour
	a, wants := resolve(noon)
	require.Equal(t, policy.VerdictWaits, a.Verdict)
	require.Equal(t, noon.Add(2*day), a.Due)
	require.True(t, b.RecordsMatch(a))
	require.Empty(t, wants)
	mark := access.RuleMatch{Person: who.ID, Rule: a.Key, Since: noon}

	a, wants = resolve(noon.Add(2*day), mark)
	require.Equal(t, policy.VerdictGrace, a.Verdict)
	require.True(t, a.Tell, "nobody was told yet, so the grace period has not begun")
	require.Zero(t, a.Due)
	require.Len(t, wants, 1, "what it gives it gives at once")
	require.Empty(t, wants[0].Denied)

	mark.Told = noon.Add(3 * day)
	a, _ = resolve(noon.Add(6*day-time.Second), mark)
	require.Equal(t, policy.VerdictGrace, a.Verdict)
	require.False(t, a.Tell)
	require.Equal(t, noon.Add(6*day), a.Due)
	a, wants = resolve(noon.Add(6*day), mark)
	require.Equal(t, policy.VerdictHolds, a.Verdict)
	require.Len(t, wants, 2)
	require.NotEmpty(t, wants[0].Denied)

	who.Email = ""
	a, wants = resolve(noon.Add(9*day), mark)
	require.Equal(t, policy.VerdictUnknown, a.Verdict)
	require.Contains(t, a.Why, "not known whether the person is external")
	require.Equal(t, noon, a.Since, "what cannot be told keeps its time")
	require.NotEmpty(t, wants[0].Barred)
}

func TestRulesKeepTheirTimes(t *testing.T) {
	b, _ := ruled(t, `
- {name: working hours, mode: enforce, when: managed, give: ["group:jira-users-acme"], during: {zone: UTC, weekly: ["Mon 08:00-18:00"]}}
`)
	who := person("a@acme.example")
	who.ClaimStatus = "managed"
	require.Equal(t, map[string]policy.Verdict{"working hours": policy.VerdictHolds},
		verdicts(b.Resolve(who, policy.Known{Now: noon})))
	evening := policy.Known{Now: noon.Add(6 * time.Hour), All: true}
	require.Equal(t, map[string]policy.Verdict{"working hours": policy.VerdictClosed},
		verdicts(b.Resolve(who, evening)))
}

// Times of force do not make a rule forget since when it holds.
func TestRulesRememberWhileOutOfForce(t *testing.T) {
	b, _ := ruled(t, `
- {name: slow, mode: enforce, owner: o@acme.example, when: external, suspend: true, after: 2d, during: {weekly: ["* 08:00-18:00"]}}
`)
	who := person("p@partner.example")
	a := b.Resolve(who, policy.Known{Now: noon}).Rules[0]
	marks := []access.RuleMatch{{Person: who.ID, Rule: a.Key, Since: a.Since}}
	night := b.Resolve(who, policy.Known{Now: noon.Add(10 * time.Hour), Marks: marks})
	require.Equal(t, policy.VerdictClosed, night.Rules[0].Verdict)
	require.Equal(t, noon, night.Rules[0].Since)
	require.Empty(t, night.Wants)
	require.Len(t, b.Resolve(who, policy.Known{Now: noon.Add(48 * time.Hour), Marks: marks}).Wants, 1)
}

// A rule that cannot be answered bars nobody from what it could not take yet if it held.
func TestRulesBarOnlyWhatTheyCouldTake(t *testing.T) {
	b, _ := ruled(t, `
- {name: two steps, mode: enforce, owner: o@acme.example, when: '!mfa', deny: ["group:jira-users-acme"], after: 30d, grace: 30d}
`)
	fresh := person("a@acme.example", "s4")
	wants := b.Resolve(fresh, policy.Known{Now: noon}).Wants
	require.Empty(t, wants[0].Barred)
	key := b.Resolve(fresh, policy.Known{Now: noon}).Rules[0].Key
	marks := []access.RuleMatch{{Person: fresh.ID, Rule: key, Since: noon.AddDate(0, 0, -70),
		Told: noon.AddDate(0, 0, -35)}}
	require.NotEmpty(t, b.Resolve(fresh, policy.Known{Now: noon, Marks: marks}).Wants[0].Barred)
}

func TestRulesHoldOnUntilTheirRelease(t *testing.T) {
	b, _ := ruled(t, `
- {name: parked, mode: enforce, owner: o@acme.example, when: title == "Idle", deny: ["group:jira-users-acme"], after: 2d, release: department == "IT"}
`)
	who := person("a@acme.example", "s4")
	who.JobTitle = "Idle"
	verdict := func(at time.Time, marks ...access.RuleMatch) policy.Verdict {
		return b.Resolve(who, policy.Known{Now: at, Marks: marks, All: true}).Rules[0].Verdict
	}
	require.Equal(t, policy.VerdictWaits, verdict(noon))
	mark := access.RuleMatch{Person: who.ID, Rule: b.Resolve(who, policy.Known{Now: noon}).Rules[0].Key, Since: noon}
	require.Equal(t, policy.VerdictHolds, verdict(noon.Add(48*time.Hour), mark))
	who.JobTitle = "Busy"
	require.Equal(t, policy.VerdictNo, verdict(noon.Add(24*time.Hour), mark), "it never held")
	require.Equal(t, policy.VerdictHolds, verdict(noon.Add(72*time.Hour), mark), "it held, and holds on")
	who.Department = "IT"
	require.Equal(t, policy.VerdictNo, verdict(noon.Add(72*time.Hour), mark))
	who.JobTitle = "Idle"
	require.Equal(t, policy.VerdictNo, verdict(noon.Add(72*time.Hour), mark), "while it is released it does not begin")
}

func TestRulesThatCannotBeRightAreFound(t *testing.T) {
	_, findings := ruled(t, `
- {name: both, owner: o@acme.example, when: managed, give: ["default:jira/acme/user"], deny: ["group:jira-users-extra"]}
- {name: itself, when: '!in("web-members")', give: ["group:web-Members"]}
- {name: typo, when: '!inactive("1d", "jirra")', give: ["group:web-Members"]}
`)
	var all []string
	for _, f := range findings {
		require.True(t, f.Blocks)
		all = append(all, f.Rule+" "+f.Subject)
	}
	require.Equal(t, []string{"rule-app-unknown jirra", "rule-asks-itself itself", "rule-contradicts-itself both"}, all)
}

// What is not known is no answer: no group that is missing, no group whose name is not known, no domain that has
// vanished.
func TestRulesNeverGuess(t *testing.T) {
	text := `
- {name: not sales, mode: enforce, owner: o@acme.example, when: '!in("sales")', suspend: true}
- {name: outside, mode: enforce, owner: o@acme.example, when: external, suspend: true}
- {name: idle, mode: enforce, owner: o@acme.example, when: 'inactive("90d", "jira")', deny: ["group:jira-users-acme"], after: 1d}
- {name: few, mode: enforce, owner: o@acme.example, when: size(sources) == 0, suspend: true}
`
	b, _ := ruled(t, text)
	who := person("a@acme.example", "a group made since")
	unknown, no := policy.VerdictUnknown, policy.VerdictNo
	ask := func(b *policy.Bound, p access.Person) map[string]policy.Verdict {
		return verdicts(b.Resolve(p, policy.Known{Now: noon, All: true}))
	}
	require.Equal(t, map[string]policy.Verdict{"not sales": unknown, "outside": no, "idle": unknown, "few": unknown},
		ask(b, who))
	require.Equal(t, no, ask(b, person("a@acme.example", "a group made since", "s4"))["not sales"], "one is enough")

	p, err := policy.Parse("acme.yaml",
		[]byte("version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n- {name: m, from: [x], to: ['group:jira-users-acme']}\nrules:"+text))
	require.NoError(t, err)
	o := outline()
	o.Groups = o.Groups[:0]
	empty, findings := policy.Bind(p, o)
	require.Equal(t, unknown, ask(empty, person("a@acme.example"))["not sales"],
		"a group that is not there says nothing of anybody")
	require.Equal(t, unknown, ask(empty, person("a@acme.example"))["outside"], "no domain was read")
	require.Contains(t, findings, access.Finding{Rule: "rule-group-unknown", Subject: "sales", Blocks: true,
		Detail: "rule not sales asks about a group that does not exist; correct the name, or create the group. Until then the rule cannot be evaluated"})

	o = outline()
	o.Domains = []string{"other.example"}
	since, findings := policy.BindSince(p, o, policy.Last{Domains: []string{"acme.example", "other.example"}})
	require.Equal(t, unknown, ask(since, person("a@acme.example"))["outside"], "its domain was there a moment ago")
	require.Equal(t, policy.VerdictHolds, ask(since, person("p@partner.example"))["outside"])
	require.Contains(t, findings[0].String(), "domain-gone acme.example")
}

func TestActivityIsNeverGuessed(t *testing.T) {
	jira := access.Activity{Resource: "ari:cloud:jira-software::site/1"}
	used := func(days int) access.Activity {
		return access.Activity{Resource: jira.Resource, Last: noon.Add(-time.Duration(days) * 24 * time.Hour)}
	}
	never := access.Activity{Resource: jira.Resource, Never: true}
	f := func(added int, all ...access.Activity) condition.Facts {
		f := condition.Facts{Person: access.Person{Email: "a@b.c"}, Apps: []condition.AppUse{}}
		if added > 0 {
			f.Added = noon.Add(-time.Duration(added) * 24 * time.Hour)
		}
		for i, a := range all {
			f.Apps = append(f.Apps, condition.AppUse{App: []string{"jira-software", "confluence"}[i], Site: "acme",
				Activity: a})
		}
		return f
	}
	const unknown = "it is not known"
	for name, tt := range map[string]struct {
		text  string
		facts condition.Facts
		want  any
	}{
		"not asked":                   {`inactive("90d")`, condition.Facts{}, unknown},
		"used lately":                 {`inactive("90d", "jira")`, f(500, used(89)), false},
		"used long ago":               {`inactive("90d", "jira")`, f(500, used(90)), true},
		"on that site":                {`inactive("90d", "jira/ACME")`, f(500, used(90)), true},
		"on another site":             {`inactive("90d", "jira/beta")`, f(500, used(90)), false},
		"no access":                   {`inactive("90d", "confluence")`, f(500, used(900)), false},
		"not known":                   {`inactive("90d", "jira")`, f(500, jira), unknown},
		"not known there":             {`inactive("90d")`, f(500, used(900), jira), unknown},
		"used somewhere":              {`inactive("90d")`, f(500, used(3), jira), false},
		"never, added long ago":       {`inactive("90d", "jira")`, f(91, never), true},
		"never, just added":           {`inactive("90d", "jira")`, f(89, never), false},
		"never, unknown when added":   {`inactive("90d", "jira")`, f(0, never), unknown},
		"never, just given":           {`inactive("90d", "jira")`, given(f(500, never), 3), false},
		"never, given long ago":       {`inactive("90d", "jira")`, given(f(500, never), 95), true},
		"nothing to use":              {`inactive("90d")`, f(91), true},
		"used long ago, just added":   {`inactive("300d", "jira")`, f(5, used(400)), true},
		"anything long ago, likewise": {`inactive("300d")`, f(5, used(400)), true},
		"another never, just added":   {`inactive("300d")`, f(5, used(400), never), false},
		"given before they came back": {`inactive("90d")`, given(f(5, never), 95), true},
		"given, unknown when added":   {`inactive("90d", "jira")`, given(f(0, never), 95), true},
		"never used":                  {`neverUsed("jira") && !neverUsed("confluence")`, f(1, never), true},
		"was it used":                 {`neverUsed("jira")`, f(1, jira), unknown},
		"last":                        {`lastActive("jira") < now - duration("24h")`, f(1, used(2)), true},
		"no last":                     {`lastActive("jira") < now`, f(1, never), "never used jira"},
		"last not known":              {`lastActive("jira") < now`, f(1, jira), unknown},
		"apps":                        {`"jira-software" in apps && size(apps) == 1`, f(1, jira), true},
		"unless known to be outside":  {`external || domain == "b.c"`, f(1), true},
		"a verified address":          {`emailVerified`, f(1), unknown},
		"two steps":                   {`!mfa`, f(1), unknown},
		"sponsor and presence": {
			`sponsor == "bo@acme.example" && granted("directory") && !granted("role:org-admin")`, sponsored(), true},
		"profile": {`organization == "Acme" && location == "Berlin"`,
			condition.Facts{Person: access.Person{Organization: "Acme", Location: "Berlin"}}, true},
		"whether managed":             {`managed`, f(1), unknown},
		"a list that names any group": {`inAny(["x", "y"])`, f(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := condition.Compile(tt.text)
			require.NoError(t, err)
			got, err := c.Holds(tt.facts, noon)
			if words, is := tt.want.(string); is {
				require.ErrorContains(t, err, words)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

// given has access only for some days.
func given(f condition.Facts, days int) condition.Facts {
	f.Apps[0].Since = noon.Add(-time.Duration(days) * 24 * time.Hour)
	return f
}

func sponsored() condition.Facts {
	return condition.Facts{Granted: []access.Grant{{Target: access.Directory, By: "Bo@acme.example"}}}
}

func TestRulesRuleIsKnownByWhatItSays(t *testing.T) {
	r := policy.Rule{Name: "A", When: "managed", Suspend: true}
	same := r
	same.Name, same.Owner, same.Description, same.Mode, same.Shown, same.Notify = "a", "x", "y", policy.RuleEnforce,
		"z", []string{"owner"}
	require.Equal(t, r.Key(), same.Key())
	for _, change := range []func(*policy.Rule){
		func(r *policy.Rule) { r.Name = "b" }, func(r *policy.Rule) { r.When = "!managed" },
		func(r *policy.Rule) { r.Remove = true },
		func(r *policy.Rule) { r.After = 1 }, func(r *policy.Rule) { r.Grace = 1 },
		func(r *policy.Rule) { r.During = &window.Window{Zone: "x"} },
		func(r *policy.Rule) { r.Deny = []access.Entitlement{"group:x"} },
	} {
		other := r
		change(&other)
		require.NotEqual(t, r.Key(), other.Key())
	}
}

func TestFollowsIsWhatThePolicyLooksAt(t *testing.T) {
	type change struct {
		action  access.Action
		target  access.Entitlement
		groupID string
	}
	in, other := change{access.Add, "group:web-Members", "w1"}, change{access.Add, "group:jira-users-extra", "j2"}
	out := change{access.Remove, "group:web-Members", "w1"}
	admin, restored, suspended := change{access.Add, access.OrgAdmin, ""}, change{access.Add, access.Directory, ""},
		change{access.Remove, access.Directory, ""}
	gone, adopted := change{access.Remove, access.Organization, ""}, change{access.Adopt, "group:web-Members", "w1"}
	for condition, want := range map[string][]change{
		`in("web-members")`:              {in, out, restored, suspended},
		`groups.exists(g, g == "x")`:     {in, out, other, restored, suspended},
		`"atlassian/org-admin" in roles`: {admin, restored, suspended},
		`inactive("90d", "jira")`:        {other, restored, suspended},
		`managed`:                        {restored, suspended},
	} {
		b, _ := ruled(t, "- {name: r, mode: enforce, owner: o@acme.example, when: '"+condition+
			"', after: 1d, deny: ['group:jira-users-acme']}\n")
		var got []change
		for _, c := range []change{in, out, other, admin, restored, suspended, gone, adopted} {
			if b.NeedsFollowUp(c.action, c.target, c.groupID) {
				got = append(got, c)
			}
		}
		require.ElementsMatch(t, want, got, condition)
	}
	none, _ := bind(t, "- {name: m, from: [sales], to: ['group:jira-users-acme']}\n")
	require.True(t, none.NeedsFollowUp(access.Add, access.Directory, ""), "who is back is given what mappings give")
	require.False(t, none.NeedsFollowUp(access.Remove, access.Directory, ""))
	require.False(t, none.NeedsFollowUp(access.Add, "group:jira-users-acme", "j1"),
		"mappings look at groups that Castellan never writes")
}

func TestRuleAnswerAsksUse(t *testing.T) {
	who := person("a@acme.example")
	who.Added = noon.AddDate(-1, 0, 0)
	for when, asks := range map[string]bool{
		`inactive("90d")`: true,
		`"jira" in apps`:  true,
		`managed || inactive("90d", "jira-software")`:          true,
		`in("it is not known when the person used which app")`: false, // a group of this name, that is not there
	} {
		b, _ := ruled(t, "- {name: r, owner: o@acme.example, after: 1d, suspend: true, when: '"+when+"'}\n")
		answers := b.Resolve(who, policy.Known{Now: noon, Would: true}).Rules
		require.Len(t, answers, 1, when)
		require.Equal(t, policy.VerdictUnknown, answers[0].Verdict, when)
		require.Equal(t, asks, answers[0].AsksUse, "%s: %s", when, answers[0].Why)
	}
}
