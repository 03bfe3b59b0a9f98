package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// reviews begins a section of reviews with its shortest campaign, whose stage comes last, so that keys can be added to
// it.
const reviews = `
reviews:
- name: all
  owner: cy@acme.example
  stages:
  - reviewers: [owner]
`

func TestReviewsHaveDefaults(t *testing.T) {
	p := parse(t, minimal+reviews)
	r, found := p.Review("all")
	require.True(t, found)
	require.Same(t, &p.Reviews[0], r)
	_, found = p.Review("All")
	require.False(t, found)
	require.Equal(t, policy.Review{
		Name: "all", Owner: "cy@acme.example", Scope: policy.ReviewScope{Only: policy.ReviewAll},
		Stages: []policy.ReviewStage{{
			Reviewers: []string{"owner"}, Assign: policy.AssignOne, Escalate: lasting(1), Length: lasting(14),
			Next: policy.NextUndecided,
		}},
		Reminders: []policy.Reminder{policy.RemindStart, policy.RemindMiddle, policy.RemindLast},
		Silence:   policy.SilenceKeep, Apply: policy.ApplyClose, Most: 50, Keep: lasting(400), Patience: lasting(14),
	}, *r)
}

// lasting returns so many days.
func lasting(n int) policy.Duration { return policy.Duration(n) * policy.Duration(24*time.Hour) }

// What a stage leaves out follows from its length.
func TestStagesFillThemselvesIn(t *testing.T) {
	for keys, want := range map[string]policy.ReviewStage{
		"length: 2d":                 {Length: lasting(2), Escalate: lasting(1)},
		"length: 47h":                {Length: policy.Duration(47 * time.Hour)},
		"length: 1m":                 {Length: policy.Duration(time.Minute)},
		"length: 180d, escalate: 0s": {Length: lasting(180)},
		"escalate: 13d":              {Length: lasting(14), Escalate: lasting(13)},
		"fallback: [sponsor]": {Length: lasting(14), Escalate: lasting(1),
			Fallback: []string{"sponsor"}, FallbackAfter: lasting(7)},
		"fallback: [sponsor], length: 1m": {Length: policy.Duration(time.Minute), Fallback: []string{"sponsor"},
			FallbackAfter: policy.Duration(30 * time.Second)},
		"fallback: [sponsor], fallbackAfter: 1s": {Length: lasting(14), Escalate: lasting(1),
			Fallback: []string{"sponsor"}, FallbackAfter: policy.Duration(time.Second)},
	} {
		want.Reviewers, want.Assign, want.Next = []string{"owner"}, policy.AssignOne, policy.NextUndecided
		p := parse(t, minimal+"reviews:\n- {name: a, owner: c@acme.example, stages: [{reviewers: [owner], "+
			keys+"}]}\n")
		require.Equal(t, want, p.Reviews[0].Stages[0], keys)
		require.Equal(t, p.Plain(), parse(t, string(p.JSON())).Plain(), keys)
	}
}

func TestReviewsRefuse(t *testing.T) {
	const (
		head     = minimal + "reviews:\n- {name: a, owner: c@acme.example, "
		stages   = head + "stages: ["
		campaign = head + "stages: [{reviewers: [owner]}], "
	)
	stage := func(keys string) string { return stages + "{" + keys + "}]}\n" }
	asked := func(keys string) string { return stage("reviewers: [owner], " + keys) }
	scope := func(target string) string { return campaign + "scope: {targets: ['" + target + "']}}\n" }
	for name, tt := range map[string]struct{ text, want string }{
		"unknown key": {campaign + "stage: 1}\n",
			"reviews[0].stage: unknown key; the keys here are apply, codes, delegates, deny, description, keep, most, name, owner, owners, patience, reminders, schedule, scope, silence, silenceOf, stages, zone"},
		"nothing": {minimal + "reviews: [{}]\n", "reviews[0]: name is missing"},
		"delegates": {campaign + "delegates: [everybody]}\n",
			"\"everybody\" is nobody whom items can be handed to; write managed, anybody or group:<name>"},
		"nobody answers": {minimal + "reviews: [{name: a, stages: [{reviewers: [owner]}]}]\n",
			"reviews[0]: owner is missing"},
		"no stage":     {head + "}\n", "reviews[0]: stages is missing"},
		"empty stages": {stages + "]}\n", "reviews[0].stages: the list is empty"},
		"four stages": {stages + strings.Repeat("{reviewers: [owner]},", 4) + "]}\n",
			"reviews[0].stages: the list has 4 entries; at most 3 are allowed"},
		"many campaigns": {minimal + "reviews:\n" + strings.Repeat("- {name: a}\n", 101),
			"reviews: the list has 101 entries; at most 100 are allowed"},
		"name": {minimal +
			"reviews: [{name: Q1 Admins, owner: c@acme.example, stages: [{reviewers: [owner]}]}]\n",
			`reviews[0].name: "Q1 Admins" does not fit; use 1 to 40 of the characters a-z, 0-9 and -`},
		"long name": {minimal + "reviews: [{name: " + strings.Repeat("a", 41) + "}]\n",
			"does not fit; use 1 to 40"},
		"twice": {campaign +
			"}\n- {name: a, owner: c@acme.example, stages: [{reviewers: [owner]}]}\n",
			`reviews[1].name: the name "a" is taken by reviews[0]; give each campaign its own`},
		"owner by id": {minimal +
			"reviews: [{name: a, owner: '557058:aaaa-bbbb', stages: [{reviewers: [owner]}]}]\n",
			`reviews[0].owner: "557058:aaaa-bbbb" is not an e-mail address`},
		"schedule": {campaign + "schedule: monthly}\n", "reviews[0].schedule: cron"},
		"zone": {campaign + "schedule: 0 9 1 * *, zone: Mars/Olympus}\n",
			"reviews[0].schedule: zone"},
		"zone without schedule": {campaign + "zone: Europe/Berlin}\n",
			"reviews[0].zone: nothing is scheduled, so no zone is needed"},
		"only": {campaign + "scope: {only: new}}\n",
			`reviews[0].scope.only: "new" is unknown; write one of all, changed`},
		"condition": {campaign + "scope: {people: colour == 1}}\n",
			"reviews[0].scope.people: undeclared reference to 'colour'"},
		"no entitlement": {scope("admins"), `reviews[0].scope.targets[0]: "admins" is not an entitlement`},
		"organization": {scope("organization"),
			`reviews[0].scope.targets[0]: "organization": who is in the organization is reviewed by directory, of which a removal suspends people`},
		"leftover group": {scope("group:Org-admins"),
			`reviews[0].scope.targets[0]: membership of "group:Org-admins" no longer makes anybody an administrator; write role:org-admin`},
		"star in a default": {scope("default:jira/*/user"),
			`"default:jira/*/user": only the name of a group may hold a * or ?`},
		"question mark in a role": {scope("role:jira/acme/?"), `only the name of a group may hold a * or ?`},
		"two stars":               {scope("group:a**"), "reviews[0].scope.targets[0]: ** means the same as *"},
		"same target": {campaign +
			"scope: {targets: ['default:jira/acme/user', 'default:jira-software/ACME/user']}}\n",
			"stands already in reviews[0].scope.targets[0]"},
		"many targets": {campaign + "scope: {targets: [" + strings.Repeat("a,", 101) + "]}}\n",
			"reviews[0].scope.targets: the list has 101 entries; at most 100 are allowed"},
		"owners of nothing": {campaign + "owners: [{by: [c@acme.example]}]}\n",
			"reviews[0].owners[0]: targets is missing"},
		"owned by nobody": {campaign + "owners: [{targets: ['group:a']}]}\n",
			"reviews[0].owners[0]: by is missing"},
		"owned by a word": {campaign + "owners: [{targets: ['group:a'], by: [sponsor]}]}\n",
			`reviews[0].owners[0].by[0]: "sponsor" names nobody`},
		"owners of the directory": {campaign + "owners: [{targets: [organization], by: [c@acme.example]}]}\n",
			"reviews[0].owners[0].targets[0]: \"organization\": who is"},
		"nobody asked": {stage("length: 1d"), "reviews[0].stages[0]: reviewers is missing"},
		"a word that nobody knows": {stage("reviewers: [managers]"),
			`reviews[0].stages[0].reviewers[0]: "managers" can be asked nothing; write person, sponsor, owner, group:<name>, an e-mail address or an Atlassian account id`},
		"a group with a star":    {stage("reviewers: ['group:it-*']"), `"it-*": the group is named in full`},
		"a group without a name": {stage("reviewers: ['group:']"), "the name is empty"},
		"asked twice": {stage("reviewers: [a@acme.example, A@acme.example]"),
			"stands already in reviews[0].stages[0].reviewers[0]"},
		"person as fallback": {asked("fallback: [person]"),
			"reviews[0].stages[0].fallback[0]: who holds it is no fallback"},
		"unknown fallback": {asked("fallback: [boss]"),
			`reviews[0].stages[0].fallback[0]: "boss" can be asked nothing; write sponsor, owner`},
		"the same again": {stage("reviewers: [owner, c@acme.example], fallback: [C@acme.example, owner]"),
			"reviews[0].stages[0].fallback: these are the reviewers, who are asked already; name others"},
		"assign": {asked("assign: some"), "write one of one, all"},
		"length of nothing": {asked("length: 59s"),
			"reviews[0].stages[0].length: 59s is out of bounds; write a duration from 1m to 180d"},
		"length of a year": {asked("length: 365d"), "365d is out of bounds"},
		"no fallback": {asked("fallbackAfter: 1d"),
			"reviews[0].stages[0].fallbackAfter: there is nobody to fall back on; add fallback or take it away"},
		"fallback at once": {asked("fallback: [sponsor], fallbackAfter: 0s"),
			"fallbackAfter: 0s is out of bounds"},
		"fallback too late": {asked("fallback: [sponsor], length: 7d, fallbackAfter: 7d"),
			"reviews[0].stages[0].fallbackAfter: 7d is not shorter than length, 7d"},
		"escalated from the start": {asked("length: 7d, escalate: 7d"),
			"reviews[0].stages[0].escalate: 7d is not shorter than length, 7d"},
		"next": {asked("next: some"), "write one of undecided, kept, removed, all"},
		"nothing is next": {asked("next: kept"),
			"reviews[0].stages[0].next: there is no stage after this one"},
		"nothing after the second": {stages + "{reviewers: [owner], next: kept}, {reviewers: [sponsor], next: all}]}\n",
			"reviews[0].stages[1].next: there is no stage after this one"},
		"no reminder": {campaign + "reminders: []}\n", "reviews[0].reminders: the list is empty"},
		"reminder": {campaign + "reminders: [daily]}\n",
			`reviews[0].reminders[0]: "daily" is unknown; write one of start, middle, last`},
		"reminder twice": {campaign + "reminders: [last, last]}\n",
			"stands already in reviews[0].reminders[0]"},
		"silence": {campaign + "silence: deny}\n",
			"reviews[0].silence: \"deny\" is unknown; write one of keep, remove, recommendation, hold"},
		"silence of nothing": {campaign + "silenceOf: [{do: keep}]}\n",
			"reviews[0].silenceOf[0]: targets is missing"},
		"silence of what": {campaign + "silenceOf: [{targets: ['group:a']}]}\n",
			"reviews[0].silenceOf[0]: do is missing"},
		"two silences": {campaign +
			"silenceOf: [{targets: ['group:a'], do: keep}, {targets: ['group:b', directory, 'group:A'], do: hold}]}\n",
			`reviews[0].silenceOf[1].targets[2]: "group:A" stands already in silenceOf[0]`},
		"apply": {campaign + "apply: later}\n", "write one of close, at-once"},
		"most": {campaign + "most: 0}\n",
			"reviews[0].most: 0 is out of bounds; write a number from 1 to 1000"},
		"deny": {campaign + "deny: 366d}\n",
			"reviews[0].deny: 366d is out of bounds; write a duration from 0s to 365d"},
		"keep": {campaign + "keep: 1096d}\n",
			"reviews[0].keep: 1096d is out of bounds; write a duration from 0s to 1095d"},
		"codes": {campaign + "codes: maybe}\n", "write true or false"},
		"patience": {campaign + "patience: 59m}\n",
			"reviews[0].patience: 59m is out of bounds; write a duration from 1h to 90d"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Parse("acme.yaml", []byte(tt.text))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestReviewersMayBe(t *testing.T) {
	p := parse(t, minimal+"reviews: [{name: a, owner: c@acme.example, stages: [{reviewers: [person, sponsor, owner, 'group:IT leads', c@acme.example, '557058:aaaa-bbbb', 5b10ac8d82e05b22cc7d4ef5]}]}]\n")
	var groups []string
	for _, entry := range p.Reviews[0].Stages[0].Reviewers {
		if name, is := policy.ReviewerGroup(entry); is {
			groups = append(groups, name)
		}
	}
	require.Len(t, p.Reviews[0].Stages[0].Reviewers, 7)
	require.Equal(t, []string{"IT leads"}, groups)
}

// Every sweep asks for what rules ask; what a campaign asks, it reads by itself.
func TestReviewsDoNotMakeSweepsReadUse(t *testing.T) {
	const rule = "rules:\n- {name: idle, when: 'inactive(\"90d\")', notify: [sec@acme.example]}\n"
	idle := minimal + strings.Replace(reviews, "  stages:", "  scope: {people: 'inactive(\"90d\")'}\n  stages:", 1)
	require.False(t, parse(t, idle).NeedsActivity())
	require.True(t, parse(t, idle+rule).NeedsActivity(), "a rule asks the same")
	require.True(t, parse(t, minimal+
		"rules:\n- {name: idle, when: managed, release: 'lastActive(\"jira\") > added', give: ['group:x']}\n").NeedsActivity())
	require.False(t, parse(t, minimal+grants+"  eligible: neverUsed(\"jira\")\n").NeedsActivity())
	require.False(t, parse(t, idle).NeedsDomains())
	require.True(t, parse(t, strings.Replace(idle, "inactive(\"90d\")", "external", 1)).NeedsDomains())
}

func TestAsksIsTheConditionOfTheCampaign(t *testing.T) {
	p := parse(t, minimal+strings.Replace(reviews, "  stages:", "  scope: {people: external}\n  stages:", 1)+
		"- {name: everybody, owner: c@acme.example, stages: [{reviewers: [owner]}]}\n")
	yes, no := true, false
	who := func(external *bool) condition.Facts {
		return condition.Facts{Person: access.Person{Email: "p@partner.example"}, External: external}
	}
	outside, everybody := &p.Reviews[0], &p.Reviews[1]
	unread := policy.Review{Scope: policy.ReviewScope{People: "external"}}
	for _, r := range []*policy.Review{outside, &unread} {
		asks, err := r.Covers(who(&yes), noon)
		require.NoError(t, err)
		require.True(t, asks)
		asks, err = r.Covers(who(&no), noon)
		require.NoError(t, err)
		require.False(t, asks)
		asks, err = r.Covers(who(nil), noon)
		require.ErrorContains(t, err, "it is not known whether the person is external")
		require.False(t, asks)
	}
	cost := func(r *policy.Review) float64 {
		return testing.AllocsPerRun(5, func() { _, _ = r.Covers(who(&yes), noon) })
	}
	require.Less(t, 10*cost(outside), cost(&unread), "what was read is compiled once, not for each person")
	asks, err := everybody.Covers(who(nil), noon)
	require.NoError(t, err)
	require.True(t, asks)
	unread.Scope.People = "colour"
	_, err = unread.Covers(who(nil), noon)
	require.Error(t, err)
}

func TestReviewSaysWhoMayTake(t *testing.T) {
	t.Parallel()
	own, guest := access.Person{ID: "own", Email: "own@acme.example", ClaimStatus: "managed"},
		access.Person{ID: "guest", Email: "guest@x.example", ClaimStatus: "unmanaged"}
	members := map[string][]access.Person{"leads": {guest}}
	for delegates, c := range map[string]struct {
		own, guest bool
		says       string
	}{
		"":                         {true, false, "people whose accounts the organization manages (delegates"},
		"managed":                  {true, false, "people whose accounts the organization manages (delegates"},
		"anybody":                  {true, true, ""},
		"group:leads":              {false, true, "members of leads (delegates"},
		"managed, group:leads":     {true, true, ""},
		"group:others, group:none": {false, false, "members of others, or members of none"},
	} {
		text := minimal + reviews
		if delegates != "" {
			text = strings.Replace(text, "  stages:", `  delegates: ["`+strings.ReplaceAll(delegates, ", ", `", "`)+
				`"]`+"\n  stages:", 1)
		}
		p := parse(t, text)
		require.Equal(t, p.Hash(), parse(t, string(p.JSON())).Hash())
		for _, who := range []struct {
			access.Person
			may bool
		}{{own, c.own}, {guest, c.guest}, {access.Person{ID: "unknown"}, delegates == "anybody"}} {
			err := p.Reviews[0].MayDelegateTo(who.Person, members)
			require.Equal(t, who.may, err == nil, "%s: %v", delegates, err)
			if err != nil {
				require.ErrorContains(t, err, c.says)
			}
		}
	}
	plain := parse(t, minimal+reviews)
	require.NotContains(t, string(plain.JSON()), "delegates", "a policy from before keeps its hash")
}
