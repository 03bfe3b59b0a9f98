package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/window"
)

const minimal = `
version: 1
organization: {name: acme, id: 0a1b2c3d, key: "env:CASTELLAN_KEY_ACME"}
mappings:
  - name: engineering
    from: [eng-all]
    to: ["group:jira-users-acme"]
`

// grants begins a section of grants with its shortest entry, to which keys can be added.
const grants = `
grants:
- name: org admin
  targets: [role:org-admin]
  duration: {max: 4h}
`

// sources is the least of the sections sources and provision.
const withoutMappings = `
version: 1
organization: {name: acme, id: 0a1b2c3d, key: "env:CASTELLAN_KEY_ACME"}
`

const sources = `
sources:
- {name: corp, kind: ldap, url: "ldaps://dc1.acme.example", base: "DC=acme,DC=example"}
provision:
- {name: staff, from: [corp], directory: {id: d1, key: "env:SCIM"}}
`

func full(t testing.TB) []byte {
	data, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	require.NoError(t, err)
	return data
}

func parse(t testing.TB, text string) *policy.Policy {
	p, err := policy.Parse("acme.yaml", []byte(text))
	require.NoError(t, err)
	return p
}

func TestParseAppliesDefaults(t *testing.T) {
	p := parse(t, minimal)
	require.Equal(t, policy.DefaultGuard(), p.Guard)
	require.Equal(t, policy.DefaultSync(), p.Sync)
	require.Equal(t, policy.RemoveOwned, p.Mappings[0].Removals)
	require.False(t, p.DryRun)
	require.True(t, p.Organization.KeyExpires.IsZero())
}

func TestParseReadsEveryKey(t *testing.T) {
	p := parse(t, string(full(t)))
	require.Equal(t, policy.Organization{
		Name: "acme", ID: "0a1b2c3d-0000-4000-8000-000000000001", Directory: "dir-1", Key: "env:CASTELLAN_KEY_ACME",
		KeyOwner: "ops@acme.example", KeyExpires: policy.Date{Time: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)},
		Domains: []string{"acme-labs.example"},
	}, p.Organization)
	require.Equal(t, []policy.Mapping{
		{
			Name: "engineering", Description: "Everybody who builds", Owner: "Ana",
			From:   []string{"eng-*", "platform-*"},
			Except: []string{"eng-contractors"}, Create: true, Removals: policy.RemoveAll, Adopt: true,
			To: []access.Entitlement{"default:jira-software/acme/user", "group:confluence-power-users",
				"group:*-members"},
		},
		{Name: "admins", From: []string{"it admins"}, To: []access.Entitlement{access.OrgAdmin},
			Removals: policy.RemoveNever},
	}, p.Mappings)
	require.Equal(t, policy.Guard{
		Adopt:         policy.AdoptAuto,
		Rules:         policy.AdoptAuto,
		Run:           policy.RunLimit{Removals: 1, Share: 2 * policy.Percent, AtLeast: 3},
		Target:        policy.TargetLimit{Removals: 4, Share: 525, Minimum: 6},
		LastAccess:    policy.LastAccessLimit{People: 7},
		Window:        policy.WindowLimit{Days: 8, Removals: 9, Share: 10 * policy.Percent},
		Source:        policy.SourceLimit{Share: 11 * policy.Percent, Minimum: 12},
		Deactivations: policy.DeactivationLimit{People: 15, Share: 16 * policy.Percent},
		Unlinked:      policy.UnlinkedLimit{People: 17},
		SecondWriter:  policy.SecondWriterLimit{People: 18},
		Flapping:      14,
		Settle:        policy.Duration(13 * time.Second),
	}, p.Guard)
	require.Equal(t, []policy.Protected{
		{Target: "group:org-admins", Minimum: 2, Always: []string{"ana@acme.example", "557058:aaaa-bbbb"}},
		{Target: access.OrgAdmin, Minimum: 1, Maximum: 5},
	}, p.Protected)
	hours := func(h time.Duration) policy.Duration { return policy.Duration(h * time.Hour) }
	require.Equal(t, []policy.Grantable{{
		Name: "org admin", Description: "For incidents",
		Targets: []access.Entitlement{
			access.OrgAdmin, "default:jira-software/acme/admin", "role:jira-servicedesk/acme/admin",
			"group:confluence-power-users", access.Directory,
		},
		Eligible: `in("it-ops") && managed`, Duration: policy.GrantDuration{Default: hours(1) / 2, Max: hours(4)},
		Approval: &policy.Approval{Count: 2, By: []string{"ana@acme.example"}, Groups: []string{"IT leads"},
			Wait: hours(2), Codes: true},
		Ticket: "INC-[0-9]+|CHG-[0-9]+", Ahead: hours(7 * 24),
		Extend: &policy.Extension{Max: hours(12), Times: 2, Approval: true},
		Remind: hours(1) / 6, Cooldown: hours(1),
		BreakGlass: &policy.BreakGlass{People: []string{"557058:aaaa-bbbb"}, Max: hours(1)},
		Lost:       policy.LostHold, End: policy.EndRemove, HandTaken: policy.HandTakenRestore,
	}}, p.Grants)
	require.Equal(t, []policy.Rule{
		{
			Name: "partners", Description: "Partners keep to their own", Owner: "ana@acme.example",
			Mode:     policy.RuleEnforce,
			Shown:    "sha256:" + strings.Repeat("0123456789abcdef", 4),
			When:     `external && inAny(["partner-a", 'partner-b'])`,
			Give:     []access.Entitlement{"group:Partner wiki", access.OrgAdmin},
			Deny:     []access.Entitlement{"default:jira-software/acme/admin", "group:confluence-power-users"},
			Suspend:  true,
			Notify:   []string{policy.NotifyOwner, policy.NotifyPerson, "sec@acme.example"},
			Removals: policy.RemoveNever,
			During: &window.Window{
				From:  time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC),
				Until: time.Date(2027, 12, 1, 0, 0, 0, 0, time.UTC),
				Zone:  "Europe/Berlin", Weekly: []string{"Mon-Fri 08:00-18:00"},
			},
			After: hours(7 * 24), Grace: hours(14 * 24),
		},
		{Name: "back", Mode: policy.RuleObserve, When: "managed", Restore: true, Removals: policy.RemoveOwned,
			During: &window.Window{Cron: "0 8 1 * *", For: hours(12)}},
		{Name: "leave", Owner: "557058:aaaa-bbbb", Mode: policy.RuleObserve, When: `domain == "gone.example"`,
			Remove: true, Removals: policy.RemoveOwned},
	}, p.Rules)
	require.Equal(t, []policy.Review{
		{
			Name: "q-admins", Description: "Administrators, each quarter", Owner: "cy@acme.example",
			Schedule: "0 9 1 1,4,7,10 *", Zone: "Europe/Berlin",
			Scope: policy.ReviewScope{
				Targets: []access.Entitlement{access.OrgAdmin, "default:jira-software/acme/admin",
					"role:jira-servicedesk/acme/admin", "group:confluence-*", access.Directory},
				People: `external || in("it-ops")`, Only: policy.ReviewChanged,
			},
			Owners: []policy.TargetOwner{{
				Targets: []access.Entitlement{"default:jira-software/acme/admin", "group:Confluence-?"},
				By:      []string{"ana@acme.example", "557058:aaaa-bbbb"},
			}},
			Stages: []policy.ReviewStage{
				{
					Reviewers: []string{policy.ReviewerOwner, policy.ReviewerSponsor, policy.ReviewerPerson},
					Assign:    policy.AssignAll,
					Fallback:  []string{"group:IT leads", "557058:aaaa-bbbb"}, FallbackAfter: hours(3 * 24),
					Escalate: hours(2 * 24), Length: hours(7 * 24), Next: policy.NextKept,
				},
				{Reviewers: []string{"sec@acme.example"}, Assign: policy.AssignOne, Escalate: hours(24),
					Length: hours(14 * 24), Next: policy.NextUndecided},
			},
			Reminders: []policy.Reminder{policy.RemindLast, policy.RemindStart}, Silence: policy.SilenceRecommend,
			SilenceOf: []policy.TargetSilence{
				{Targets: []access.Entitlement{access.OrgAdmin}, Do: policy.SilenceRemove},
				{Targets: []access.Entitlement{"group:*"}, Do: policy.SilenceHold},
			},
			Apply: policy.ApplyAtOnce, Most: 20, Deny: hours(30 * 24), Keep: hours(90 * 24), Codes: true,
			Patience: hours(2 * 24),
		},
		{
			Name: "all", Owner: "cy@acme.example", Scope: policy.ReviewScope{Only: policy.ReviewAll},
			Stages: []policy.ReviewStage{{
				Reviewers: []string{policy.ReviewerOwner}, Assign: policy.AssignOne,
				Length: policy.Duration(3 * time.Minute), Next: policy.NextUndecided,
			}},
			Reminders: []policy.Reminder{policy.RemindStart, policy.RemindMiddle, policy.RemindLast},
			Silence:   policy.SilenceKeep,
			Apply:     policy.ApplyClose, Most: 50, Keep: hours(400 * 24), Patience: hours(14 * 24),
		},
	}, p.Plain().Reviews)
	require.Equal(t, &policy.Governance{Schedule: "0 6 * * 1", Zone: "Europe/Berlin", Inactive: hours(60 * 24),
		Notify: []string{"sec@acme.example"}}, p.Governance)
	require.Equal(t, policy.Sync{Every: policy.Duration(36 * time.Hour), Feed: policy.Duration(10 * time.Second),
		InFlight: 4, Pages: 5}, p.Sync)
	require.True(t, p.DryRun)
	require.Equal(t, []string{"test-*", "Tmp ?"}, p.Ignore)
}

// edit returns the minimal policy with one piece of text replaced.
func edit(old, new string) string { return strings.Replace(minimal, old, new, 1) }

func TestParseRefuses(t *testing.T) {
	const to = `to: ["group:jira-users-acme"]`
	tests := map[string]struct {
		text string
		want string // the problem as it is printed, or its beginning
	}{
		"empty":         {"", "acme.yaml: the file is empty"},
		"comments only": {"# nothing\n", "acme.yaml: the file is empty"},
		"not utf-8":     {"a: \xff", "acme.yaml: the file is not UTF-8"},
		"broken yaml":   {"version: [1\n", "acme.yaml:"},
		"two documents": {minimal + "---\nversion: 1\n", "acme.yaml:8:1: a second document"},
		"a list":        {"- 1\n", "acme.yaml:1:1: a list does not belong here; write keys and values"},
		"unknown key": {minimal + "gaurd: {}\n",
			"acme.yaml:8:1: gaurd: unknown key; the keys here are dryRun, governance, grants, groups, guard"},
		"nested unknown key": {minimal + "guard:\n  run: {removal: 1}\n",
			"acme.yaml:9:9: guard.run.removal: unknown key"},
		"duplicate key": {minimal + "dryRun: true\ndryRun: true\n", "acme.yaml:9:1: dryRun: the key stands twice"},
		"version":       {edit("version: 1", "version: 2"), "acme.yaml:2:10: version: 2 is out of bounds"},
		"no version":    {edit("version: 1\n", ""), "acme.yaml:2:1: version is missing"},
		"no organization": {"version: 1\nmappings: [{name: a, from: [b], to: ['group:c']}]\n",
			"acme.yaml:1:1: organization is missing"},
		"organization name": {edit("name: acme", "name: Acme"),
			`acme.yaml:3:22: organization.name: "Acme" does not fit`},
		"number for text": {edit("name: acme", "name: 12"),
			"acme.yaml:3:22: organization.name: YAML reads this as int; write it in quotes"},
		"no value": {edit("name: acme", "name: "),
			"acme.yaml:3:22: organization.name: there is no value; write a text"},
		"bad id": {edit("0a1b2c3d", "../x"),
			`acme.yaml:3:32: organization.id: "../x" is not an Atlassian id`},
		"mappings missing": {"version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\n",
			"acme.yaml:1:1: mappings is missing"},
		"mappings empty": {"version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings: []\n",
			"acme.yaml:3:11: mappings: the list is empty"},
		"from missing": {edit("    from: [eng-all]\n", ""), "acme.yaml:5:5: mappings[0]: from is missing"},
		"from is a text": {edit("[eng-all]", "eng-all"),
			`acme.yaml:6:11: mappings[0].from: "eng-all" does not fit; write a list`},
		"from is empty": {edit("[eng-all]", "[]"), "acme.yaml:6:11: mappings[0].from: the list is empty"},
		"from twice": {edit("[eng-all]", "[eng-all, ENG-all]"),
			`acme.yaml:6:21: mappings[0].from[1]: "ENG-all" stands already in mappings[0].from[0]`},
		"glob of two stars": {edit("eng-all", "eng-**"),
			"acme.yaml:6:12: mappings[0].from[0]: ** means the same as *"},
		"glob with space": {edit("eng-all", `"eng "`),
			`acme.yaml:6:12: mappings[0].from[0]: "eng " begins or ends with a space`},
		"empty glob": {edit("eng-all", `""`), "acme.yaml:6:12: mappings[0].from[0]: the name is empty"},
		"long glob": {edit("eng-all", strings.Repeat("x", 256)),
			"acme.yaml:6:12: mappings[0].from[0]: the name is longer than 255"},
		"control character": {edit("eng-all", `"a\u0007"`),
			"acme.yaml:6:12: mappings[0].from[0]: the text holds the control character U+0007"},
		"unknown mode": {minimal + "    removals: some\n",
			`acme.yaml:8:15: mappings[0].removals: "some" is unknown; write one of owned, all, never`},
		"flag as text": {minimal + "    create: yes\n",
			`acme.yaml:8:13: mappings[0].create: "yes" does not fit; write true or false`},
		"no such target": {edit("group:jira-users-acme", "jira-users"),
			`acme.yaml:7:10: mappings[0].to[0]: "jira-users" is not an entitlement`},
		"app role": {edit("group:jira-users-acme", "role:jira/acme/admin"),
			"acme.yaml:7:10: mappings[0].to[0]: \"role:jira/acme/admin\" is not given by mappings"},
		"directory": {edit("group:jira-users-acme", "directory"),
			`acme.yaml:7:10: mappings[0].to[0]: "directory" is not given by mappings`},
		"star in a default": {edit("group:jira-users-acme", "default:jira/*/user"),
			`acme.yaml:7:10: mappings[0].to[0]: "default:jira/*/user": only a group target may hold a *`},
		"star without glob": {edit("jira-users-acme", "*-members"),
			`acme.yaml:7:10: mappings[0].to[0]: the * of "group:*-members" has nothing to stand for in "eng-all"`},
		"two stars": {edit("jira-users-acme", "*-*"),
			`acme.yaml:7:10: mappings[0].to[0]: "group:*-*" holds several *`},
		"same after alias": {edit(to, `to: ["default:jira/acme/user", "default:jira-software/ACME/user"]`),
			`acme.yaml:7:36: mappings[0].to[1]: "default:jira-software/acme/user" stands already`},
		"mapping name twice": {minimal + "  - {name: Engineering, from: [a], to: ['group:b']}\n",
			`acme.yaml:8:12: mappings[1].name: the name "Engineering" is taken by mappings[0]`},
		"modes differ": {minimal + "  - {name: b, from: [a], to: ['group:x', 'group:JIRA-users-acme'], removals: all}\n",
			`acme.yaml:8:42: mappings[1].to[1]: "group:JIRA-users-acme" has removals: all here and removals: owned in mappings[0]`},
		"share without sign": {minimal + "guard: {run: {share: 10}}\n",
			`acme.yaml:8:22: guard.run.share: "10" does not fit: write a percentage`},
		"share over 100": {minimal + "guard: {run: {share: 101%}}\n",
			"acme.yaml:8:22: guard.run.share: \"101%\" does not fit: a percentage lies between"},
		"share too exact": {minimal + "guard: {run: {share: 1.234%}}\n",
			"acme.yaml:8:22: guard.run.share: \"1.234%\" does not fit: a percentage has at most two decimals"},
		"share not a number": {minimal + "guard: {run: {share: NaN%}}\n",
			"acme.yaml:8:22: guard.run.share: \"NaN%\" does not fit"},
		"duration": {minimal + "sync: {every: soon}\n",
			`acme.yaml:8:15: sync.every: "soon" does not fit: write a duration`},
		"duration too short": {minimal + "sync: {every: 1m}\n",
			"acme.yaml:8:15: sync.every: 1m is out of bounds; write a duration from 5m to 7d"},
		"duration too long": {minimal + "sync: {every: 8d}\n", "acme.yaml:8:15: sync.every: 8d is out of bounds"},
		"negative duration": {minimal + "guard: {settle: -5s}\n",
			`acme.yaml:8:17: guard.settle: "-5s" does not fit`},
		"number out of bounds": {minimal + "sync: {inFlight: 33}\n",
			"acme.yaml:8:18: sync.inFlight: 33 is out of bounds; write a number from 1 to 32"},
		"number in quotes": {minimal + "sync: {pages: '3'}\n",
			`acme.yaml:8:15: sync.pages: "3" does not fit; write a whole number`},
		"hex number": {minimal + "sync: {pages: 0x3}\n",
			`acme.yaml:8:15: sync.pages: "0x3" does not fit; write a whole number`},
		"date": {edit(`key:`, "keyExpires: 2027-13-01, key:"),
			`acme.yaml:3:54: organization.keyExpires: "2027-13-01" does not fit: write a date`},
		"key owner": {edit(`key:`, "keyOwner: bo, key:"),
			`acme.yaml:3:52: organization.keyOwner: "bo" names nobody`},
		"protected twice": {minimal + "protected: [{target: 'group:a'}, {target: 'group:A'}]\n",
			`acme.yaml:8:43: protected[1].target: "group:A" is protected already by protected[0]`},
		"protected glob": {minimal + "protected: [{target: 'group:a*'}]\n",
			"acme.yaml:8:22: protected[0].target: a protected target is named in full"},
		"protected minimum": {minimal + "protected: [{target: 'group:a', minimum: 0}]\n",
			"acme.yaml:8:42: protected[0].minimum: 0 is out of bounds"},
		"alias": {edit("[eng-all]", "&a [eng-all]") + "    except: *a\n",
			"acme.yaml:6:11: mappings[0].from: anchors are not allowed"},
		"star without quotes": {edit("[eng-all]", "[ab, *-all]"),
			"acme.yaml:6:16: YAML reads *-all as an alias; write a name that begins with * in quotes"},
		"tag": {edit("[eng-all]", "[!!str 5]"),
			`acme.yaml:6:12: mappings[0].from[0]: tags are not allowed`},
		"merge key": {minimal + "guard: {<<: {adopt: ask}}\n", "acme.yaml:8:9: guard.<<: unknown key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse("acme.yaml", []byte(tt.text))
			require.Nil(t, p)
			var problems policy.Errors
			require.ErrorAs(t, err, &problems)
			require.True(t, strings.HasPrefix(problems[0].Error(), tt.want), "got %v", err)
		})
	}
}

func TestParseCollectsEveryProblemInOrder(t *testing.T) {
	_, err := policy.Parse("acme.yaml", []byte(`
version: 3
organization: {name: ACME, id: "", key: "env:A"}
mappings:
  - {name: a, from: [], to: ["group:x"]}
  - {name: a, from: [b], to: ["nonsense", "group:*"], removals: sometimes}
  - *x
sync: {pages: 1000}
colour: red
`))
	require.ErrorContains(t, err, "alias")
	_, err = policy.Parse("acme.yaml", []byte(`
version: 3
organization: {name: ACME, id: "", key: "env:A"}
mappings:
  - {name: a, from: [], to: ["group:x"]}
  - {name: a, from: [b], to: ["nonsense", "group:*"], removals: sometimes}
sync: {pages: 1000}
colour: red
`))
	var problems policy.Errors
	require.ErrorAs(t, err, &problems)
	var paths []string
	for _, p := range problems {
		require.Equal(t, "acme.yaml", p.File)
		require.Positive(t, p.Line)
		require.Positive(t, p.Column)
		paths = append(paths, p.Path)
	}
	require.Equal(t, []string{
		"version", "organization.name", "organization.id", "mappings[0].from", "mappings[1].name", "mappings[1].to[0]",
		"mappings[1].to[1]", "mappings[1].removals", "sync.pages", "colour",
	}, paths)
	require.Equal(t, len(problems), len(strings.Split(err.Error(), "\n")))
}

func TestParseNeverRepeatsAKey(t *testing.T) {
	const secret = "ATCTT3xFfGN0s3cr3tV4lu3"
	for _, written := range []string{secret, "env:" + secret + " x", "file:" + secret, "file:/a/../" + secret,
		"[" + secret + "]", "{a: " + secret + "}", "&a " + secret, "!!str " + secret, "env:", "file:/", "''"} {
		_, err := policy.Parse("acme.yaml", []byte(edit(`"env:CASTELLAN_KEY_ACME"`, written)))
		require.ErrorContains(t, err, "organization.key", written)
		require.NotContains(t, err.Error(), secret)
	}
	for _, written := range []string{"env:A", "env:_a1", "file:/run/secrets/key", "'file:/a b/c'"} {
		parse(t, edit(`"env:CASTELLAN_KEY_ACME"`, written))
	}
}

func TestParseRefusesHostileFiles(t *testing.T) {
	const size = policy.MaxFile - 200
	times := func(s string) string { return strings.Repeat(s, size/len(s)) }
	many := func(n int, entry string) string {
		return "version: 1\norganization: {name: a, id: a1, key: 'env:A'}\nmappings:\n" + strings.Repeat(entry, n)
	}
	files := map[string]string{
		"deep flow":         times("["),
		"deep block":        times("- "),
		"deep keys":         times("{a: "),
		"many keys":         times("a: 1\n"),
		"many entries":      "version: [" + times("a,") + "]",
		"many mappings":     many(policy.MaxMappings+1, "- {name: a, from: [b], to: ['group:c']}\n"),
		"many problems":     many(policy.MaxMappings, "- {name: a, from: [b], to: ['group:c'], x: 1}\n"),
		"many list entries": edit("[eng-all]", "["+strings.Repeat("a,", 501)+"]"),
		"laughing aliases":  "a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + minimal,
	}
	if !testing.Short() {
		files["many conditions"] = minimal + "\ngrants:\n" +
			strings.Repeat("- {name: a, targets: [directory], duration: {max: 1h}, eligible: '"+
				strings.Repeat("managed ||", 390)+"'}\n", 250)
	}
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Parse("acme.yaml", []byte(text))
			var problems policy.Errors
			require.ErrorAs(t, err, &problems)
			require.LessOrEqual(t, len(problems), strictyaml.MaxProblems+1)
			require.Less(t, len(err.Error()), 100_000)
		})
	}
}

func TestParseBoundsTheFile(t *testing.T) {
	padded := minimal + "#" + strings.Repeat(" ", policy.MaxFile-len(minimal)-1)
	parse(t, padded)
	_, err := policy.Parse("acme.yaml", []byte(padded+" "))
	require.EqualError(t, err, "acme.yaml: the file has 1048577 bytes; a policy file has at most 1048576")

	var text strings.Builder
	text.WriteString("version: 1\norganization: {name: a, id: a1, key: 'env:A'}\nmappings:\n")
	for i := range policy.MaxEntries/501 + 1 {
		fmt.Fprintf(&text, "- {name: m%d, to: ['group:t'], from: [", i)
		for j := range 500 {
			fmt.Fprintf(&text, "g%d,", j)
		}
		text.WriteString("]}\n")
	}
	_, err = policy.Parse("acme.yaml", []byte(text.String()))
	require.ErrorContains(t, err, "mappings[39].from: the lists of groups and targets of the file have more than 20000 entries together")
	require.Len(t, err, 1)
}

func FuzzParse(f *testing.F) {
	f.Add(full(f))
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + reviews))
	f.Add([]byte("a: &a [*a]\n<<: *a\n"))
	f.Add([]byte("? [a]\n: {b: !!binary x}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse("fuzz", data)
		if err != nil {
			var problems policy.Errors
			require.ErrorAs(t, err, &problems)
			require.NotEmpty(t, problems)
			return
		}
		again, err := policy.Parse("fuzz", p.JSON())
		require.NoError(t, err)
		require.Equal(t, p.Plain(), again.Plain())
	})
}

// TestFullHasEverySettingOfSources: each is in the file, and not at its default, with some kind.
func TestFullHasEverySettingOfSources(t *testing.T) {
	p, least := parse(t, string(full(t))), parse(t, minimal+sources)
	var missing func(path string, all []reflect.Value, least reflect.Value) []string
	missing = func(path string, all []reflect.Value, least reflect.Value) (found []string) {
		for i := range least.NumField() {
			field, usual := least.Type().Field(i), least.Field(i).Interface()
			var values []reflect.Value
			differs := false
			for _, one := range all {
				value := reflect.Indirect(one.Field(i))
				differs = differs || value.IsValid() && !reflect.DeepEqual(value.Interface(), usual)
				if value.IsValid() {
					values = append(values, value)
				}
			}
			if !differs {
				found = append(found, path+field.Name)
			}
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[policy.Date]() {
				found = append(found, missing(path+field.Name+".", values, reflect.Zero(inner))...)
			}
		}
		return found
	}
	values := func(list reflect.Value) (all []reflect.Value) {
		for i := range list.Len() {
			all = append(all, list.Index(i))
		}
		return all
	}
	require.Empty(t, missing("sources.", values(reflect.ValueOf(p.Sources)), reflect.ValueOf(least.Sources[0])))
	require.Empty(t, missing("provision.", values(reflect.ValueOf(p.Provision)), reflect.ValueOf(least.Provision[0])))
}
