package terms_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/terms"
)

// request is ana's for the organization-admin role, with a reason.
func request(edits ...func(*terms.Request)) terms.Request {
	r := terms.Request{Person: ana(), Target: access.OrgAdmin, Reason: "INC-1", By: "ana@acme.example", Now: noon}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

// judged judges a request by grants written in YAML.
func judged(t testing.TB, entries string, r terms.Request) (access.Grant, error) {
	return terms.Judge(named(parse(t, minimal+"\ngrants:\n"+entries)), known(r))
}

// idOf returns the account behind an address of these tests.
func idOf(email string) string {
	name, _, _ := strings.Cut(strings.ToLower(email), "@")
	if name == "ana" {
		return "557058:ana"
	}
	return "id-of-" + name
}

// named returns the policy with these accounts.
func named(p *policy.Policy) *policy.Policy {
	accounts := policy.Accounts{}
	for _, n := range p.Names() {
		if strings.Contains(n.Name, "@") {
			accounts[strings.ToLower(n.Name)] = policy.Account{Person: access.Person{ID: idOf(n.Name)}}
		}
	}
	return p.WithAccounts(accounts)
}

// known returns the request with who asks by account, and with everybody read who may be named as an approver.
func known(r terms.Request) terms.Request {
	if strings.Contains(r.By, "@") {
		r.By = idOf(r.By)
	}
	if r.People == nil {
		r.People = map[string]access.Person{}
		for _, p := range members("ana@acme.example", "bo@acme.example", "cy@acme.example", "dan@acme.example",
			"eve@acme.example") {
			r.People[p.ID] = p
		}
	}
	return r
}

func refusal(t testing.TB, err error) *terms.Refusal {
	var refused *terms.Refusal
	require.ErrorAs(t, err, &refused)
	return refused
}

func hours(n float64) access.Duration { return access.Duration(n * float64(time.Hour)) }

func members(emails ...string) (people []access.Person) {
	for _, e := range emails {
		people = append(people, access.Person{ID: idOf(e), Email: e, AccountStatus: "active",
			MembershipStatus: "active"})
	}
	return people
}

func TestJudgeGrantWithoutApprovalBeginsAtOnce(t *testing.T) {
	got, err := judged(t, "- {name: a, targets: [directory, 'role:org-admin'], duration: {default: 2h, max: 4h}, remind: 5m}\n",
		request(func(r *terms.Request) { r.Ticket = "T-1" }))
	require.NoError(t, err)
	require.Equal(t, access.Grant{
		Person: "557058:ana", Email: "Ana@Acme.example", Target: access.OrgAdmin, State: access.GrantGranted,
		Entries: []string{"a"},
		Reason:  "INC-1", Ticket: "T-1", By: "557058:ana", Requested: noon, Duration: hours(2), From: noon,
		Until:  noon.Add(2 * time.Hour),
		Remind: access.Duration(5 * time.Minute), MostInRow: hours(4),
	}, got)
}

func TestJudgeStrictestOfSeveralEntriesHolds(t *testing.T) {
	const entries = `
- {name: z, targets: ["group:Wiki Admins"], duration: {default: 3h, max: 6h}, approval: {by: [bo@acme.example, cy@acme.example], groups: [leads], wait: 2h}, ahead: 5d, remind: 5m}
- {name: a, targets: ["group:wiki admins"], duration: {default: 2h, max: 5h}, approval: {count: 2, groups: [LEADS, it], wait: 3h, codes: true}, ahead: 2d, remind: 9m, reason: false}
`
	r := request(func(r *terms.Request) {
		r.Target = "group:WIKI admins"
		r.Approvers = map[string][]access.Person{
			"leads": members("Bo@acme.example", "dan@acme.example", "ana@acme.example"),
			"it":    members("cy@acme.example", "eve@acme.example"),
		}
	})
	got, err := judged(t, entries, r)
	require.NoError(t, err)
	require.Equal(t, access.Grant{
		Person: "557058:ana", Email: "Ana@Acme.example", Target: "group:Wiki Admins", State: access.GrantWaiting,
		Entries: []string{"a", "z"},
		Reason:  "INC-1", By: "557058:ana", Requested: noon, Duration: hours(2), Limit: "2h by default, by entry a",
		Remind: access.Duration(9 * time.Minute), Needs: 2, Approvers: []string{"id-of-bo", "id-of-cy", "id-of-dan"},
		Codes:            true,
		ApprovalDeadline: noon.Add(2 * time.Hour), MostInRow: hours(5),
	}, got)

	r.Duration = 5*time.Hour + 1
	_, err = judged(t, entries, r)
	require.Equal(t, terms.RefusedTooLong, refusal(t, err).Rule)
	require.ErrorContains(t, err, "group:WIKI admins for Ana@Acme.example: 5h0m0.000000001s is too long (5h at most, by entry a); ask for at most 5h")
	r.Duration, r.Start = 5*time.Hour, noon.Add(48*time.Hour)
	got, err = judged(t, entries, r)
	require.NoError(t, err)
	require.Equal(t, r.Start, got.Start)
	require.Zero(t, got.From)
	require.Empty(t, got.Limit, "nothing but the request decided")
	r.Start = r.Start.Add(1)
	_, err = judged(t, entries, r)
	require.Equal(t, terms.RefusedStart, refusal(t, err).Rule)
	require.ErrorContains(t, err, "2d ahead, by entry a")
}

func TestJudgeGrantIsJudgedByTheEntriesOfEveryNameOfItsTarget(t *testing.T) {
	// j1 and j2 are the defaults of jira/acme/user.
	p := parse(t, minimal+`
grants:
- {name: strict, targets: ["default:jira/acme/user"], eligible: in("leads"), duration: {max: 1h}, approval: {by: [bo@acme.example]}, lost: hold}
- {name: loose, targets: ["group:jira-users-acme", "group:web-Members"], duration: {max: 4h}}
`)
	b, _ := policy.Bind(p, outline())
	lead := func(r *terms.Request) { r.Person.Groups = []string{"leads"} }
	one := func(target access.Entitlement, edits ...func(*terms.Request)) terms.Request {
		return request(append(edits, func(r *terms.Request) { r.Target = target })...)
	}
	oneKnown := func(target access.Entitlement, edits ...func(*terms.Request)) terms.Request {
		return known(one(target, edits...))
	}
	_, err := terms.Judge(named(p).BoundTo(b), oneKnown("group:jira-users-acme"))
	require.Equal(t, terms.RefusedNotEligible, refusal(t, err).Rule)
	for _, target := range []access.Entitlement{"group:JIRA-users-acme", "default:jira/acme/user"} {
		got, err := terms.Judge(named(p).BoundTo(b), oneKnown(target, lead))
		require.NoError(t, err, target)
		require.Equal(t, []string{"loose", "strict"}, got.Entries, target)
		require.Equal(t, access.GrantWaiting, got.State, target)
		require.Equal(t, policy.LostHold, p.BoundTo(b).LostMode(target), target)
	}
	got, err := terms.Judge(named(p).BoundTo(b), oneKnown("group:web-Members"))
	require.NoError(t, err)
	require.Equal(t, []string{"loose"}, got.Entries, "what is another group is none of its business")
	_, err = terms.Judge(named(p).BoundTo(b), oneKnown("group:jira-users-extra", lead))
	require.Equal(t, terms.RefusedNotGrantable, refusal(t, err).Rule, "a name is granted only where it is written")
	for name, same := range map[access.Entitlement]bool{
		"default:jira-software/acme/user": true, "group:JIRA-users-acme": true, "default:jira/acme/user": true,
		"group:web-members": false,
	} {
		require.Equal(t, same, p.BoundTo(b).SameTarget("default:jira/acme/user", name), name)
	}
}

func TestJudgeRefusals(t *testing.T) {
	const open = "- {name: a, targets: ['role:org-admin', directory], duration: {max: 4h}}\n"
	with := func(keys string) string { return strings.Replace(open, "4h}", "4h}, "+keys, 1) }
	person := func(edit func(*access.Person)) func(*terms.Request) {
		return func(r *terms.Request) { edit(&r.Person.Person) }
	}
	held := func(state access.GrantState, from, until time.Duration) func(*terms.Request) {
		return func(r *terms.Request) {
			r.Earlier = append(r.Earlier, access.Grant{ID: "g0", State: state, From: noon.Add(from),
				Until: noon.Add(until)})
		}
	}
	urgent := func(r *terms.Request) { r.Urgent = true }
	const glass = "approval: {by: [bo@acme.example]}, breakGlass: {people: [ana@acme.example], max: 1h}"
	tests := map[string]struct {
		entries string
		edit    func(*terms.Request)
		rule    string // "": it is not refused
		want    string
	}{
		"no entry": {open, func(r *terms.Request) { r.Target = "group:x" }, terms.RefusedNotGrantable,
			"group:x for Ana@Acme.example: no entry"},
		"an app": {open, person(func(p *access.Person) { p.AccountType = "app" }), terms.RefusedApp,
			"never changes"},
		"inactive": {open, person(func(p *access.Person) { p.AccountStatus = "inactive" }), terms.RefusedInactive,
			"the account is inactive"},
		"suspended": {open, person(func(p *access.Person) { p.MembershipStatus = "suspended" }), terms.RefusedInactive,
			"their membership of the organization is suspended: restore it, or first give them access with a grant of the target directory"},
		"suspended is the point": {open,
			func(r *terms.Request) { r.Target, r.Person.MembershipStatus = access.Directory, "suspended" }, "",
			""},
		"a closed account": {open,
			func(r *terms.Request) { r.Target, r.Person.AccountStatus = access.Directory, "closed" },
			terms.RefusedInactive, "closed"},
		"unknown": {open, func(r *terms.Request) { r.Unknown = true }, terms.RefusedUnknownPerson,
			"shows nobody of this name"},
		"unknown without address": {open, func(r *terms.Request) {
			r.Unknown, r.Target, r.Person = true, access.Directory, condition.Facts{}
		},
			terms.RefusedUnknownPerson, "give one"},

		"eligible": {with(`eligible: 'in("it-ops")'`), nil, "", ""},
		"not eligible": {with(`eligible: 'in("sales")'`), nil, terms.RefusedNotEligible,
			`entry a is only for people of whom this is true: in("sales")`},
		"who knows": {with(`eligible: 'addedWithin("20d")'`), person(func(p *access.Person) { p.Added = time.Time{} }),
			terms.RefusedNotEligible,
			"it is not known when the person was added"},
		"one of two conditions": {with("eligible: managed") +
			"- {name: b, targets: ['role:org-admin'], duration: {max: 4h}, eligible: '!managed'}\n", nil,
			terms.RefusedNotEligible, "entry b is only for"},
		"no reason": {open, func(r *terms.Request) { r.Reason = " " }, terms.RefusedReason,
			"entry a requires a reason"},
		"no reason needed": {with("reason: false"), func(r *terms.Request) { r.Reason = "" }, "", ""},
		"ticket": {with("ticket: 'A-[0-9]|B-[0-9]'"), func(r *terms.Request) { r.Ticket = "B-1" }, "",
			""},
		"no ticket": {with("ticket: 'A-[0-9]|B-[0-9]'"), nil, terms.RefusedTicket,
			`the ticket "" does not match; entry a requires one like A-[0-9]|B-[0-9]`},
		"half a ticket": {with("ticket: 'A-[0-9]|B-[0-9]'"), func(r *terms.Request) { r.Ticket = "A-12" },
			terms.RefusedTicket, ""},
		"line of a ticket": {with("ticket: '(?m)A-[0-9]$'"), func(r *terms.Request) { r.Ticket = "A-1\nx" },
			terms.RefusedTicket, ""},

		"the longest": {open, func(r *terms.Request) { r.Duration = 4 * time.Hour }, "", ""},
		"too long": {open, func(r *terms.Request) { r.Duration = 5 * time.Hour }, terms.RefusedTooLong,
			"5h is too long (4h at most, by entry a)"},
		"backwards": {open, func(r *terms.Request) { r.Duration = -time.Hour }, terms.RefusedDuration,
			"ask for at least 1s"},
		"no time": {open, func(r *terms.Request) { r.Duration = time.Millisecond },
			terms.RefusedDuration, ""},
		"in the past": {open, func(r *terms.Request) { r.Start = noon.Add(-2 * time.Minute) },
			terms.RefusedStart, "in the past"},
		"a little late": {open, func(r *terms.Request) { r.Start = noon.Add(-time.Minute) }, "", ""},
		"only at once": {open, func(r *terms.Request) { r.Start = noon.Add(time.Minute) }, terms.RefusedStart,
			"does not allow a later start"},

		"rested": {with("cooldown: 2h"), held(access.GrantEnded, -3*time.Hour, -2*time.Hour), "", ""},
		"not rested": {with("cooldown: 2h"), held(access.GrantEnded, -3*time.Hour, -time.Hour),
			terms.RefusedCooldown, "2h between two grants, by entry a, and grant g0 runs until 2026-05-04T11:00:00Z; ask for a start at or after 2026-05-04T13:00:00Z"},
		"still running": {with("cooldown: 2h"), held(access.GrantGranted, -time.Hour, time.Hour),
			terms.RefusedCooldown, "at or after 2026-05-04T15:00:00Z"},
		"another soon": {with("cooldown: 2h"), held(access.GrantGranted, 2*time.Hour, 3*time.Hour),
			terms.RefusedCooldown, ""},
		"another later": {with("cooldown: 2h"), held(access.GrantGranted, 3*time.Hour, 4*time.Hour), "", ""},
		"never held":    {with("cooldown: 2h"), held(access.GrantDenied, 0, 0), "", ""},
		"ended before":  {with("cooldown: 2h"), held(access.GrantEnded, time.Hour, time.Hour), "", ""},
		"no cooldown":   {open, held(access.GrantGranted, -time.Hour, time.Hour), "", ""},

		"glass": {with(glass), urgent, "", ""},
		"glass too long": {with(glass), func(r *terms.Request) { r.Urgent, r.Duration = true, 2*time.Hour },
			terms.RefusedTooLong, "1h at most as break-glass, by entry a"},
		"glass ahead": {with(glass + ", ahead: 1d"),
			func(r *terms.Request) { r.Urgent, r.Start = true, noon.Add(time.Hour) }, terms.RefusedStart,
			"at once"},
		"glass of another": {with(glass), func(r *terms.Request) { r.Urgent, r.By = true, "bo@acme.example" },
			terms.RefusedBreakGlass,
			"must be among them"},
		"glass for another": {with(glass), func(r *terms.Request) {
			r.Urgent, r.Person.Email, r.Person.ID = true, "bo@acme.example", "557058:bo"
		},
			terms.RefusedBreakGlass, ""},
		"glass by account": {with(glass), func(r *terms.Request) { r.Urgent, r.By = true, "557058:ana" }, "", ""},
		"no glass in one of two": {with(glass) +
			"- {name: b, targets: ['role:org-admin'], duration: {max: 4h}, approval: {by: [bo@acme.example]}}\n",
			urgent,
			terms.RefusedBreakGlass, "entry b lists"},

		"no approver": {with("approval: {groups: [leads]}"), nil, terms.RefusedApprovers,
			"1 are needed, and there are 0 beside"},
		"only oneself": {with("approval: {by: [Ana@acme.example, '557058:ana', bo@acme.example]}"),
			func(r *terms.Request) { r.By = "BO@acme.example" }, terms.RefusedApprovers, "there are 0 beside"},
		"only oneself by group": {with("approval: {groups: [leads]}"), func(r *terms.Request) {
			r.By = "id-of-bo"
			r.Approvers = map[string][]access.Person{"leads": append(members("bo@acme.example"),
				access.Person{ID: "557058:ana"})}
		}, terms.RefusedApprovers, "there are 0 beside"},
		"one person, two names": {with("approval: {count: 2, by: [bo@acme.example], groups: [leads, it]}"),
			func(r *terms.Request) {
				r.Approvers = map[string][]access.Person{"leads": members("bo@acme.example"), "it": {{ID: "id-of-bo"}}}
			}, terms.RefusedApprovers, "there are 1 beside"},
		"suspended approver": {with("approval: {groups: [leads]}"), func(r *terms.Request) {
			r.Approvers = map[string][]access.Person{"leads": {{ID: "557058:bo", MembershipStatus: "suspended"}}}
		}, terms.RefusedApprovers, ""},
		"count of one person's addresses": {
			with("approval: {count: 2, by: [bo@acme.example, bo@else.example, ana@acme.example]}"), nil,
			terms.RefusedApprovers, "2 are needed, and there are 1 beside"},
		"by a former address of the asker": {with("approval: {by: [ana@former.example]}"), nil, terms.RefusedApprovers,
			"there are 0 beside"},
		"an approver who is nobody": {with("approval: {by: [nobody@acme.example]}"), nil,
			terms.RefusedApprovers, "there are 0 beside"},
		"an approver who is suspended": {with("approval: {by: [bo@acme.example]}"), func(r *terms.Request) {
			r.People = map[string]access.Person{"id-of-bo": {ID: "id-of-bo", AccountStatus: "active",
				MembershipStatus: "suspended"}}
		}, terms.RefusedApprovers, "there are 0 beside"},
		"an approver who is deactivated": {with("approval: {by: [bo@acme.example]}"), func(r *terms.Request) {
			r.People = map[string]access.Person{"id-of-bo": {ID: "id-of-bo", AccountStatus: "inactive"}}
		}, terms.RefusedApprovers, "there are 0 beside"},
		"nobody for both": {with("approval: {by: [bo@acme.example]}") +
			"- {name: b, targets: ['role:org-admin'], duration: {max: 4h}, approval: {by: [cy@acme.example]}}\n", nil,
			terms.RefusedApprovers, "name more in each of the entries a, b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := request()
			if tt.edit != nil {
				tt.edit(&r)
			}
			got, err := judged(t, tt.entries, r)
			if tt.rule == "" {
				require.NoError(t, err)
				require.Equal(t, access.GrantGranted, got.State)
				require.Equal(t, r.Urgent, got.Urgent)
				return
			}
			refused := refusal(t, err)
			require.Equal(t, tt.rule, refused.Rule, err)
			require.Contains(t, refused.Message, tt.want)
			require.Zero(t, got)
		})
	}
}

func TestJudgeUnknownPersonIsInvitedByAddress(t *testing.T) {
	got, err := judged(t, "- {name: partners, targets: [directory], duration: {max: 30d}, eligible: domain == \"partner.example\"}\n",
		request(func(r *terms.Request) {
			r.Unknown, r.Target, r.Person = true, access.Directory,
				condition.Facts{Person: access.Person{Email: "Pat@Partner.example"}}
		}))
	require.NoError(t, err)
	require.Equal(t, "pat@partner.example", got.Person)
	require.Equal(t, "Pat@Partner.example", got.Email)
}

func TestJudgeBreakGlassIsShortAndMarked(t *testing.T) {
	const entries = "- {name: a, targets: ['role:org-admin'], duration: {max: 4h}, approval: {by: [bo@acme.example]}, breakGlass: {people: [ana@acme.example, bo@acme.example], max: 20m}}\n"
	got, err := judged(t, entries, request(func(r *terms.Request) { r.Urgent, r.By = true, "BO@acme.example" }))
	require.NoError(t, err)
	require.True(t, got.Urgent)
	require.Equal(t, noon.Add(20*time.Minute), got.Until)
	require.Equal(t, "20m at most as break-glass, by entry a", got.Limit)
	require.Zero(t, got.Needs)
	got, err = judged(t, "- {name: a, targets: ['role:org-admin'], duration: {max: 4h}}\n",
		request(func(r *terms.Request) { r.Urgent = true }))
	require.NoError(t, err)
	require.False(t, got.Urgent, "where nobody is asked, there is nothing to break")
}

func TestJudgeNothingIsGrantedThatNobodyCouldTakeBack(t *testing.T) {
	p := parse(t, minimal+`
protected: [{target: role:org-admin, minimum: 1, always: [glas@acme.example]}]
grants: [{name: a, targets: ['role:org-admin', directory], duration: {max: 4h}}]
`)
	settled := policy.Accounts{"glas@acme.example": {Person: access.Person{ID: "id-glass"}}}
	_, err := terms.Judge(p.WithAccounts(settled), request())
	require.NoError(t, err)
	_, err = terms.Judge(p, request(func(r *terms.Request) { r.Target = access.Directory }))
	require.NoError(t, err, "the name protects something else")
	_, err = terms.Judge(p, request())
	require.Equal(t, terms.RefusedNames, refusal(t, err).Rule)
	require.ErrorContains(t, err, "nobody named glas@acme.example")
}

func TestJudgeNoGrantOutlivesTheKey(t *testing.T) {
	text := strings.Replace(minimal, "key:", "keyExpires: 2026-05-05, key:", 1) +
		"\ngrants:\n- {name: a, targets: ['role:org-admin'], duration: {max: 1d}"
	granted, waiting := parse(t, text+"}\n"), parse(t, text+", approval: {by: [bo@acme.example], wait: 2h}}\n")
	for duration, refused := range map[time.Duration][2]bool{
		10 * time.Hour: {false, false}, 10*time.Hour + 1: {false, true}, 12 * time.Hour: {false, true},
		12*time.Hour + 1: {true, true},
	} {
		for i, p := range []*policy.Policy{granted, waiting} {
			_, err := terms.Judge(named(p), known(request(func(r *terms.Request) { r.Duration = duration })))
			require.Equal(t, refused[i], err != nil, "%s %d", duration, i)
			if err != nil {
				require.Equal(t, terms.RefusedKeyExpires, refusal(t, err).Rule)
				require.ErrorContains(t, err, "stops working on 2026-05-05")
			}
		}
	}
}

// TestJudgeLimitsCountWhatIsHeldInARow: a fresh request in place of an extension is no way round the extension's limit.
func TestJudgeLimitsCountWhatIsHeldInARow(t *testing.T) {
	const open = "- {name: a, targets: ['role:org-admin'], duration: {default: 2h, max: 4h}, extend: {max: 6h, times: 2}}\n"
	at := func(h float64) time.Time { return noon.Add(time.Duration(h * float64(time.Hour))) }
	held := func(from, until float64) access.Grant {
		return access.Grant{ID: "g", Person: "557058:ana", Target: "role:org-admin", State: access.GrantEnded,
			From: at(from), Until: at(until)}
	}
	for name, test := range map[string]struct {
		earlier []access.Grant
		asked   time.Duration
		want    time.Duration
		rule    string
	}{
		"nothing before":          {nil, 4 * time.Hour, 4 * time.Hour, ""},
		"what is left":            {[]access.Grant{held(-4, 0)}, 2 * time.Hour, 2 * time.Hour, ""},
		"more than is left":       {[]access.Grant{held(-4, 0)}, 4 * time.Hour, 0, terms.RefusedTooLong},
		"left by default":         {[]access.Grant{held(-5, 0)}, 0, time.Hour, ""},
		"all is used":             {[]access.Grant{held(-6, -3), held(-3, 0)}, time.Hour, 0, terms.RefusedTooLong},
		"a break too short":       {[]access.Grant{held(-6.5, -0.5)}, time.Hour, 0, terms.RefusedTooLong},
		"after a break":           {[]access.Grant{held(-7, -1)}, 4 * time.Hour, 4 * time.Hour, ""},
		"the day before, as much": {[]access.Grant{held(-24, -18)}, 4 * time.Hour, 4 * time.Hour, ""},
	} {
		got, err := judged(t, open, request(func(r *terms.Request) {
			r.Earlier, r.Duration = test.earlier,
				test.asked
		}))
		if test.rule != "" {
			require.Equal(t, test.rule, refusal(t, err).Rule, name)
			require.ErrorContains(t, err, "6h in all, by entry a", name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, test.want, got.Duration.Std(), name)
		require.Equal(t, 6*time.Hour, got.MostInRow.Std(), name)
	}
	without := strings.Replace(open, ", extend: {max: 6h, times: 2}", "", 1)
	for name, test := range map[string]struct {
		earlier []access.Grant
		asked   time.Duration
		words   string // of the refusal
	}{
		"all at once":  {nil, 4 * time.Hour, ""},
		"what is left": {[]access.Grant{held(-3, 0)}, time.Hour, ""},
		"more": {[]access.Grant{held(-3, 0)}, 2 * time.Hour,
			"2h is too long (1h left of 4h in a row, by entry a); ask for at most 1h"},
		"nothing is left": {[]access.Grant{held(-4, 0)}, time.Hour,
			"4h in a row, by entry a); ask for a start after a break of 1h"},
		"after a break": {[]access.Grant{held(-5, -1)}, 4 * time.Hour, ""},
	} {
		got, err := judged(t, without,
			request(func(r *terms.Request) { r.Earlier, r.Duration = test.earlier, test.asked }))
		if test.words != "" {
			require.Equal(t, terms.RefusedTooLong, refusal(t, err).Rule, name)
			require.ErrorContains(t, err, test.words, name)
			continue
		}
		require.NoError(t, err, name+": what cannot be extended is held no longer by fresh requests")
		require.Equal(t, 4*time.Hour, got.MostInRow.Std(), name)
	}
	mixed := without + strings.Replace(open, "name: a", "name: b", 1)
	got, err := judged(t, mixed, request())
	require.NoError(t, err)
	require.Equal(t, 4*time.Hour, got.MostInRow.Std(), "the strictest entry holds")
}

func TestJudgeLimitsSpeakInWholeUnits(t *testing.T) {
	const open = "- {name: a, targets: ['role:org-admin'], duration: {default: 20s, max: 20s}, cooldown: 0s, extend: {max: %s}}\n"
	for name, test := range map[string]struct {
		max   string
		held  time.Duration
		words string
	}{
		"seconds":   {"20s", 124847727, "20s is too long (19s left of 20s in all, by entry a); ask for at most 19s"},
		"minutes":   {"2h", time.Hour + 59*time.Minute + 40*time.Second + 1, "ask for at most 19s"},
		"a break":   {"21s", 21 * time.Second, "a break of 6s"},
		"long gaps": {"3h1m1s", 3*time.Hour + 2*time.Minute, "a break of 46m"},
	} {
		_, err := judged(t, fmt.Sprintf(open, test.max), request(func(r *terms.Request) {
			r.Earlier = []access.Grant{{ID: "g", State: access.GrantEnded, From: noon.Add(-test.held), Until: noon}}
			r.Duration = 20 * time.Second
		}))
		require.ErrorContains(t, err, test.words, name)
	}
	got, err := judged(t, fmt.Sprintf(open, "20s"), request(func(r *terms.Request) {
		r.Earlier = []access.Grant{{ID: "g", State: access.GrantEnded, From: noon.Add(-124847727), Until: noon}}
	}))
	require.NoError(t, err)
	require.Equal(t, 19*time.Second, got.Duration.Std())
	_, err = judged(t, "- {name: a, targets: ['role:org-admin'], duration: {max: 4h}, cooldown: 1h}\n",
		request(func(r *terms.Request) {
			r.Earlier = []access.Grant{{ID: "g", State: access.GrantEnded, From: noon.Add(-time.Minute),
				Until: noon.Add(-30*time.Second + 1)}}
		}))
	require.ErrorContains(t, err, "ask for a start at or after "+
		noon.Add(time.Hour-29*time.Second).UTC().Format(time.RFC3339), "a start then is not refused again")
}

func TestJudgeExtensions(t *testing.T) {
	const open = "- {name: a, targets: ['role:org-admin'], duration: {default: 2h, max: 4h}, approval: {by: [bo@acme.example]}, cooldown: 1d, extend: {max: 6h, times: 2}}\n"
	at := func(h float64) time.Time { return noon.Add(time.Duration(h * float64(time.Hour))) }
	granted := func(id, renews string, from, until float64) access.Grant {
		return access.Grant{ID: id, Person: "557058:ana", Target: "role:org-admin", State: access.GrantGranted,
			From: at(from), Until: at(until), Renews: renews}
	}
	extending := func(g access.Grant, earlier ...access.Grant) func(*terms.Request) {
		return func(r *terms.Request) { r.Renews, r.Earlier = &g, append(earlier, g) }
	}
	changed := func(g access.Grant, edit func(*access.Grant)) access.Grant { edit(&g); return g }
	g1, g2, g3 := granted("g1", "", -1, 1), granted("g2", "g1", 1, 2), granted("g3", "g2", 2, 3)
	ended := changed(g1, func(g *access.Grant) { g.State, g.Until = access.GrantEnded, at(0) })
	never := strings.Replace(open, ", extend: {max: 6h, times: 2}", "", 1)
	other := strings.NewReplacer("name: a", "name: b", "max: 6h, times: 2", "max: 3h, approval: true").Replace(open)
	tests := map[string]struct {
		entries string
		edit    func(*terms.Request)
		rule    string
		want    access.Grant // what matters of it
	}{
		"continues": {open, extending(g1), "",
			access.Grant{State: access.GrantGranted, From: at(1), Until: at(3), Start: at(1)}},
		"again": {open, extending(g2, g1), "",
			access.Grant{State: access.GrantGranted, From: at(2), Until: at(4), Start: at(2)}},
		"too often":           {open, extending(g3, g1, g2), terms.RefusedNotExtendable, access.Grant{}},
		"beginning forgotten": {open, extending(g2), terms.RefusedNotExtendable, access.Grant{}},
		"in a circle": {open, extending(changed(g1, func(g *access.Grant) { g.Renews = "g1" })),
			terms.RefusedNotExtendable, access.Grant{}},
		"extended already": {open, extending(g1, g2), terms.RefusedNotExtendable, access.Grant{}},
		"extension was denied": {open,
			extending(g1, changed(g2, func(g *access.Grant) { g.State = access.GrantDenied })), "",
			access.Grant{State: access.GrantGranted, From: at(1), Until: at(3), Start: at(1)}},
		"over":        {open, extending(granted("g1", "", -1, 0)), terms.RefusedNotExtendable, access.Grant{}},
		"ended early": {open, extending(ended), terms.RefusedNotExtendable, access.Grant{}},
		"another person's": {open, extending(changed(g1, func(g *access.Grant) { g.Person = "557058:bo" })),
			terms.RefusedNotExtendable, access.Grant{}},
		"another target": {open, extending(changed(g1, func(g *access.Grant) { g.Target = "directory" })),
			terms.RefusedNotExtendable, access.Grant{}},
		"not allowed": {never, extending(g1), terms.RefusedNotExtendable, access.Grant{}},
		"not by one": {strings.Replace(never, "name: a", "name: b", 1) + open, extending(g1),
			terms.RefusedNotExtendable, access.Grant{}},
		"what is left": {open, extending(granted("g1", "", -3.5, 1)), "",
			access.Grant{State: access.GrantGranted, From: at(1), Until: at(2.5), Start: at(1),
				Limit: "1h30m left of 6h in all, by entry a"}},
		"more than is left": {open, func(
			r *terms.Request) {
			extending(granted("g1", "", -3.5, 1))(r)
			r.Duration = 2 * time.Hour
		},
			terms.RefusedTooLong, access.Grant{}},
		"nothing left": {open, extending(granted("g1", "", -5, 1)), terms.RefusedNotExtendable, access.Grant{}},
		"another start": {open, func(r *terms.Request) { extending(g1)(r); r.Start = at(2) },
			terms.RefusedStart, access.Grant{}},
		"by break-glass": {open, func(r *terms.Request) { extending(g1)(r); r.Urgent = true },
			terms.RefusedBreakGlass, access.Grant{}},
		"with approval": {open + other, extending(g1), "", access.Grant{
			State: access.GrantWaiting, Start: at(1), Needs: 1, Approvers: []string{"id-of-bo"},
			ApprovalDeadline: at(1), Limit: "1h left of 3h in all, by entry b",
		}},
		"of break-glass": {open, extending(changed(g1, func(g *access.Grant) { g.Urgent = true })), "", access.Grant{
			State: access.GrantWaiting, Start: at(1), Needs: 1, Approvers: []string{"id-of-bo"},
			ApprovalDeadline: at(1),
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := judged(t, tt.entries, request(tt.edit))
			if tt.rule != "" {
				require.Equal(t, tt.rule, refusal(t, err).Rule, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, access.Grant{
				State: got.State, From: got.From, Until: got.Until, Start: got.Start, Needs: got.Needs,
				Approvers: got.Approvers, ApprovalDeadline: got.ApprovalDeadline, Limit: got.Limit,
			})
		})
	}
}
