package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// midday is on a Wednesday.
var midday = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// timely is somebody who was added ten days ago, used Jira 80 days ago and never Confluence.
func timely() condition.Facts {
	day := 24 * time.Hour
	return condition.Facts{
		Person: access.Person{ID: "ana", Email: "ana@acme.example", ClaimStatus: "managed",
			Added: midday.Add(-10 * day)},
		Groups: []string{"it-ops"},
		Apps: []condition.AppUse{
			{App: "jira-software", Site: "acme", Activity: access.Activity{Last: midday.Add(-80 * day)}},
			{App: "confluence", Site: "acme", Since: midday.Add(-70 * day), Activity: access.Activity{Never: true}},
		},
		Granted: []access.Grant{{
			ID: "g", State: access.GrantGranted, Target: access.Directory, By: "bo@acme.example",
			From: midday.Add(time.Hour), Until: midday.Add(3 * time.Hour),
		}},
	}
}

func TestConditionNextChange(t *testing.T) {
	const day, hour, ns = 24 * time.Hour, time.Hour, time.Nanosecond
	for text, want := range map[string]time.Duration{ // from midday; 0: never
		`managed`:                                                      0,
		`neverUsed("confluence")`:                                      0,
		`addedWithin("14d")`:                                           4*day + ns,
		`addedWithin("10d")`:                                           ns,
		`addedWithin("9d")`:                                            0,
		`!addedWithin("14d")`:                                          4*day + ns,
		`addedWithin("300d")`:                                          0, // later than in a month
		`in("it-ops") && addedWithin("14d")`:                           4*day + ns,
		`in("other") && addedWithin("14d")`:                            0,
		`addedWithin("14d") && in("other")`:                            0,
		`addedWithin("14d") || addedWithin("12d")`:                     4*day + ns,
		`addedWithin("14d") && addedWithin("12d")`:                     2*day + ns,
		`addedWithin("14d") ? managed : managed`:                       0,
		`inactive("90d", "jira")`:                                      10 * day,
		`inactive("80d", "jira")`:                                      0, // as long as nobody uses it
		`inactive("90d", "jira") && in("other")`:                       0,
		`inactive("90d")`:                                              20 * day, // when Confluence comes to it too
		`inactive("75d", "confluence")`:                                5 * day,
		`lastActive("jira") < now - duration("2160h")`:                 10*day + ns,
		`now - lastActive("jira") >= duration("2160h")`:                10 * day,
		`now > added + duration("336h")`:                               4*day + ns,
		`added + duration("336h") <= now`:                              4 * day,
		`now - added > duration("336h")`:                               4*day + ns,
		`duration("336h") - (now - added) < duration("0s")`:            4*day + ns,
		`now == timestamp("2026-07-02T00:00:00Z")`:                     12 * hour,
		`now != timestamp("2026-07-01T12:00:00Z")`:                     ns,
		`now < timestamp("2026-07-01T12:00:00Z")`:                      0,
		`(now - added).getHours() > 336`:                               14*day - 10*day + hour,
		`336 < (now - added).getHours()`:                               4*day + hour,
		`(now - added).getSeconds() >= 1209600`:                        4 * day,
		`(now - added).getMinutes() == 14401`:                          time.Minute,
		`(added - now).getHours() <= -241`:                             hour,
		`(now - added).getHours() % 24 == 1`:                           hour,
		`int(now) >= 1782950400`:                                       12 * hour,
		`now.getHours() >= 15`:                                         3 * hour,
		`now.getHours("Europe/Berlin") >= 15`:                          hour,
		`now.getHours("+02:00") >= 15`:                                 hour,
		`now.getHours("-08:30") == 4`:                                  30 * time.Minute,
		`now.getMinutes() >= 30 && now.getHours() == 12`:               30 * time.Minute,
		`now.getDayOfWeek() == 4`:                                      12 * hour,
		`now.getDayOfWeek("Europe/Berlin") == 4`:                       10 * hour,
		`now.getDayOfMonth() == 4`:                                     3*day + 12*hour,
		`now.getFullYear() > 2026`:                                     0,
		`string(now) == "x"`:                                           hour, // cannot be looked ahead
		`in("other") && string(now) == "x"`:                            0,
		`[now].exists(t, t > added)`:                                   hour,
		`groups.exists(g, g == "it-ops" && addedWithin("14d"))`:        4*day + ns,
		`groups.exists(g, now > added + duration("336h"))`:             4*day + ns,
		`[1, 15].exists(n, now - added > duration(string(n) + "00h"))`: hour,
		`granted("directory")`:                                         hour,
		`sponsor == "bo@acme.example"`:                                 hour,
		`granted("role:org-admin")`:                                    0,
		`granted("directory") && now.getHours() > 13`:                  2 * hour,
		`addedWithin("14d") || lastActive("trello") < now`:             4*day + ns, // it cannot be answered then
	} {
		t.Run(text, func(t *testing.T) {
			c, err := condition.Compile(text)
			require.NoError(t, err)
			next := c.NextChange(timely(), midday)
			if want == 0 {
				require.Zero(t, next)
				return
			}
			require.Equal(t, midday.Add(want), next, "%s after", next.Sub(midday))
		})
	}
}

// anyTime makes conditions about the time.
var anyTime = rapid.Custom(func(t *rapid.T) string {
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "part") }
	span := func() string {
		return fmt.Sprintf("%dm", rapid.SampledFrom([]int{0, 1, 59, 60, 1440, 14399, 14400, 14401, 20160, 43200, 115200,
			130000}).Draw(t, "minutes"))
	}
	var instant, length, truth func(depth int) string
	length = func(depth int) string {
		if depth > 0 && rapid.Bool().Draw(t, "difference") {
			return "(" + instant(depth-1) + " - " + instant(depth-1) + ")"
		}
		return `duration("` + span() + `")`
	}
	instant = func(depth int) string {
		if depth > 0 && rapid.Bool().Draw(t, "moved") {
			return "(" + instant(depth-1) + pick(" + ", " - ") + length(depth-1) + ")"
		}
		return pick("now", "now", "added", `lastActive("jira")`, `lastActive("trello")`,
			`timestamp("2026-07-02T00:00:00Z")`, `timestamp("2026-06-30T12:00:00.5Z")`)
	}
	order := func() string { return pick(" < ", " <= ", " > ", " >= ", " == ", " != ") }
	truth = func(depth int) string {
		if depth > 0 {
			switch rapid.IntRange(0, 4).Draw(t, "form") {
			case 0:
				return "(" + truth(depth-1) + pick(" && ", " || ", " == ") + truth(depth-1) + ")"
			case 1:
				return "!" + truth(depth-1)
			case 2:
				return "(" + truth(depth-1) + " ? " + truth(depth-1) + " : " + truth(depth-1) + ")"
			case 3:
				return `groups.exists(g, g == "it-ops"` + pick(" && ", " || ") + truth(depth-1) + ")"
			}
		}
		switch rapid.IntRange(0, 7).Draw(t, "leaf") {
		case 0:
			return "(" + instant(2) + order() + instant(2) + ")"
		case 1:
			return "(" + length(2) + order() + length(2) + ")"
		case 2:
			return `addedWithin("` + span() + `")`
		case 3:
			return `inactive("` + span() + `"` + pick("", `, "jira"`, `, "confluence"`, `, "trello"`) + ")"
		case 4:
			zone := pick("", `"Europe/Berlin"`, `"America/Santiago"`, `"+05:45"`, `"-08:30"`)
			return "(now." + pick("getHours", "getMinutes", "getDayOfWeek", "getDate", "getMonth", "getFullYear") +
				"(" + zone + ")" + order() + pick("0", "1", "4", "13", "30") + ")"
		case 5:
			return "(" + length(2) + "." + pick("getHours", "getMinutes", "getSeconds", "getMilliseconds") + "()" +
				order() + pick("-241", "-1", "0", "1", "240", "14401") + ")"
		case 6:
			return pick(`granted("directory")`, `sponsor == "bo@acme.example"`, `in("it-ops")`, `in("other")`, "mfa")
		default:
			return "(int(" + pick("now", `lastActive("jira")`) + ")" + order() + pick("1782907200", "1782907201",
				"1782950400") + ")"
		}
	}
	return truth(rapid.IntRange(0, 3).Draw(t, "depth"))
})

// Until the instant that is told, every answer is the one that was given.
func TestConditionNextChangeComesBeforeEveryOtherAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyTime.Draw(t, "condition")
		c, err := condition.Compile(text)
		if err != nil {
			t.Skip(err)
		}
		facts := timely()
		if rapid.Bool().Draw(t, "added long ago") {
			facts.Added = time.Time{}
		}
		at := midday.Add(time.Duration(rapid.SampledFrom([]int64{0, 0, 1, -1, 3600e9, 1800e9, 43200e9}).Draw(t, "at")))
		ask := func(at time.Time) string {
			f := facts
			f.Granted = nil
			for _, g := range facts.Granted {
				if g.InForce(at) {
					f.Granted = append(f.Granted, g)
				}
			}
			holds, err := c.Holds(f, at)
			return fmt.Sprint(holds, err != nil)
		}
		is, next := ask(at), c.NextChange(facts, at)
		until := at.Add(30 * 24 * time.Hour)
		if !next.IsZero() {
			if !next.After(at) {
				t.Fatalf("%s: %s is not after %s", text, next, at)
			}
			until = next.Add(-1)
		}
		tries := []time.Time{until}
		for _, step := range []time.Duration{1, time.Second, time.Minute, time.Hour, 24 * time.Hour} {
			for n := range time.Duration(12) {
				tries = append(tries, at.Add(n*step), at.Truncate(step).Add(n*step), at.Truncate(step).Add(n*step+1),
					until.Add(-n*step))
			}
		}
		for _, edge := range []time.Time{facts.Added, midday, midday.Add(-80 * 24 * time.Hour),
			midday.Add(-70 * 24 * time.Hour)} {
			for _, minutes := range []time.Duration{60, 1440, 14400, 14401, 20160, 43200, 115200, 130000} {
				tries = append(tries, edge.Add(minutes*time.Minute), edge.Add(minutes*time.Minute+1))
			}
		}
		span := until.Sub(at)
		for range 50 {
			tries = append(tries, at.Add(time.Duration(rapid.Int64Range(0, int64(span)).Draw(t, "try"))))
		}
		for _, try := range tries {
			if try.Before(at) || try.After(until) {
				continue
			}
			if was := ask(try); was != is {
				t.Fatalf("%s: %s at %s, and %s at %s already, before %s", text, is, at, was, try, next)
			}
		}
	})
}

func TestBoundNextChange(t *testing.T) {
	b, _ := ruled(t, strings.Join([]string{
		`- {name: new, mode: enforce, when: 'addedWithin("14d")', give: ['group:x']}`,
		`- {name: seen, when: 'addedWithin("11d")', give: ['group:x']}`,
		`- {name: later, mode: enforce, when: 'addedWithin("12d")', give: ['group:x'], during: {from: "2027-01-01T00:00:00Z"}}`,
		`- {name: idle, mode: enforce, owner: ana@acme.example, when: managed, release: 'addedWithin("13d")', deny: ['group:x']}`,
	}, "\n")+"\n")
	p := timely().Person
	p.GroupIDs = []string{}
	next := b.NextChange(p, policy.Known{Now: midday})
	require.Equal(t, midday.Add(3*24*time.Hour+1), next,
		"the release of a rule that is enforced, not what only observes or is not in force")
	p.AccountType = "app"
	require.Zero(t, b.NextChange(p, policy.Known{Now: midday}))
}
