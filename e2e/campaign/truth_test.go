package campaign

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// This is what the rules of ruledPolicy mean, written down a second time and by hand: the test's own answer to who
// should hold what. It shares no code with Castellan.

// constants is what never changes of somebody.
type constants struct {
	account, domain string
	email           string // of the beginning: their name in this test, whatever their address is now
	managed         bool
	added           time.Time
	shown           bool // the search says when they used Jira; of others only the scarce call does
}

// facts are what was true of somebody for a while.
type facts struct {
	present   bool // in the organization
	suspended bool
	byHand    bool            // the suspension: not Castellan's
	groups    map[string]bool // each with whether Castellan put them there
	title     string
	job       string    // department
	used      time.Time // Jira; zero: never
}

const (
	jiraUsers  = "jira-users-acme"
	wikiUsers  = "confluence-users-acme"
	jiraExtras = "jira-extras"
	jiraParked = "jira-parked"
	insideWiki = "internal-wiki"
	builders   = "builders"
	payroll    = "payroll"
	contract   = "contractors"
	agency     = "agency-staff"

	agencyDomain = "agency.example"
)

var targets = []string{jiraUsers, wikiUsers, jiraExtras, jiraParked, insideWiki, builders, payroll}

// How long the conditions of rules must have held before they take something.
const (
	leaverWait = 2 * time.Second
	parkedWait = 3 * time.Second // of them one after the notice
)

var (
	ourDomains   = []string{"acme.example", "labs.example"}
	knownDomains = []string{"partner.example", "freelance.example", agencyDomain}
)

func (h constants) external() bool { return !h.managed && !slices.Contains(ourDomains, h.domain) }

// sources returns the source groups among somebody's groups.
func (f facts) sources() (names []string) {
	for name := range f.groups {
		if !slices.Contains(targets, name) && !strings.HasSuffix(name, "-acme") && name != "org-admins" {
			names = append(names, name)
		}
	}
	return names
}

func (f facts) anyOf(prefixes ...string) bool {
	return slices.ContainsFunc(f.sources(), func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
}

func (f facts) in(group string) bool { _, is := f.groups[group]; return is }

// gives reports whether something gives the group.
func (h constants) gives(f facts, group string, at time.Time) bool {
	switch group {
	case jiraParked:
		return h.idle(f, at)
	case jiraUsers:
		return f.anyOf("eng-", "ops-")
	case wikiUsers:
		return f.anyOf("eng-", "sales-", contract)
	case insideWiki:
		return f.anyOf("eng-", contract, agency)
	case builders:
		return f.in("eng-core") && !f.in(contract)
	case payroll:
		return f.job == "Finance" && f.title != "Intern"
	}
	return false
}

// denies reports whether a rule denies the group.
func (h constants) denies(f facts, group string) bool {
	switch group {
	case insideWiki:
		return h.external()
	case wikiUsers:
		return f.title == "Restricted"
	case jiraExtras:
		return f.in(jiraParked)
	}
	return false
}

// stays reports whether the policy protects somebody's place in the group.
func (h constants) stays(group string) bool {
	return group == payroll && (h.email == boss || slices.Contains(stayers, h.email))
}

// spared reports whether nothing may suspend somebody: the owner of the key, and who holds a target that they always
// keep.
func (h constants) spared(f facts) bool { return h.email == boss || h.stays(payroll) && f.in(payroll) }

// idle reports whether somebody can use Jira and did not for ninety days. Whoever never did counts from the day on
// which they were given it, and Castellan gave it during this test.
func (h constants) idle(f facts, at time.Time) bool {
	long := at.Add(-90 * 24 * time.Hour)
	jira, given := false, false
	for _, group := range []string{jiraUsers, "jira-admins-acme", jiraExtras} {
		jira, given = jira || f.in(group), given || f.groups[group]
	}
	switch {
	case !jira:
		return false
	case f.used.IsZero():
		return !given && !h.added.After(long)
	}
	return !f.used.After(long)
}

// suspends reports whether a rule suspends somebody, leaves that one takes them out of the organization, returns that
// one restores whom Castellan suspended.
func (h constants) suspends(f facts) bool { return h.stranger() || h.left(f) }

func (h constants) stranger() bool { return h.external() && !slices.Contains(knownDomains, h.domain) }

func (h constants) left(f facts) bool { return h.managed && len(f.sources()) == 0 }

func (h constants) leaves(f facts) bool { return h.domain == agencyDomain && len(f.sources()) == 0 }

func (h constants) returns(f facts) bool { return h.managed && len(f.sources()) > 0 && !h.suspends(f) }

// snapshot is what was true of somebody from an instant on, until the next moment.
type snapshot struct {
	facts
	from time.Time
}

// lately reports whether something was true of somebody within reach of an instant.
func lately(past []snapshot, at time.Time, is func(facts) bool) bool {
	for i, m := range past {
		over := i+1 < len(past) && past[i+1].from.Before(at.Add(-reach))
		if !over && is(m.facts) {
			return true
		}
	}
	return false
}

// before reports whether something was true of somebody a while before an instant, or earlier.
func before(past []snapshot, at time.Time, wait time.Duration, is func(facts) bool) bool {
	return slices.ContainsFunc(past, func(m snapshot) bool { return !m.from.After(at.Add(-wait)) && is(m.facts) })
}

// testChange is a change that the simulator's history does not tell of.
type testChange struct {
	at      time.Time
	account string
	change  func(*facts)
}

// histories are the past and the present of people, as the simulator's history and the test's own notes tell of them.
type histories struct {
	past map[string][]snapshot
}

// now returns what is true of somebody.
func (l histories) now(account string) facts {
	past := l.past[account]
	return past[len(past)-1].facts
}

// live goes through all that happened, in order, and shows each change of the history before it takes effect.
func live(seeded map[string]facts, changes []cloud.Change, notes []testChange,
	show func(i int, past []snapshot)) histories {
	l := histories{past: map[string][]snapshot{}}
	for account, f := range seeded {
		l.past[account] = []snapshot{{facts: f}}
	}
	type step struct {
		testChange
		i int // in the history; negative: a note
	}
	steps := make([]step, 0, len(changes)+len(notes))
	for i, c := range changes {
		steps = append(steps, step{testChange{c.At, c.Account, func(f *facts) { take(f, c) }}, i})
	}
	for _, n := range notes {
		steps = append(steps, step{n, -1})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for _, s := range steps {
		past := l.past[s.account]
		if past == nil {
			continue
		}
		if s.i >= 0 && show != nil {
			show(s.i, past)
		}
		next := past[len(past)-1].facts
		s.change(&next)
		l.past[s.account] = append(past, snapshot{next, s.at})
	}
	return l
}

// take applies a change of the history.
func take(f *facts, c cloud.Change) {
	castellan := byCastellan(c)
	switch {
	case c.What == cloud.WhatPresence:
		f.present, f.suspended, f.byHand = c.Holds, false, false
	case c.What == cloud.WhatDirectory:
		f.suspended, f.byHand = !c.Holds, !c.Holds && !castellan
	case strings.HasPrefix(c.What, "group:"):
		f.groups = maps.Clone(f.groups)
		if group := strings.TrimPrefix(c.What, "group:"); c.Holds {
			f.groups[group] = castellan
		} else {
			delete(f.groups, group)
		}
	}
}

// byCastellan reports whether the change was made with the organization's key, which nobody else has.
func byCastellan(c cloud.Change) bool { return c.Key != "" }
