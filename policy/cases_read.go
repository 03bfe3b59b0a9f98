package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/window"
)

// The bounds of a table of cases. They are far above what anybody writes by hand, and exist so that a broken file is
// refused quickly.
const (
	maxCases     = 5000 // cases of one table
	maxCaseList  = 500  // entries of one list or section of a case
	caseGrantID  = "of the case"
	caseReminder = "write for example 2026-12-01T09:00:00Z, or 91d ago"
)

// ReadCases reads a table of expected decisions in YAML or JSON, strictly; it reads no clock and knows no policy yet.
// The error is of type Errors and holds every problem found, up to MaxProblems, each with its place; name is the file's
// name in it. A table has at most MaxFile bytes and 5,000 cases.
func ReadCases(name string, data []byte) (*Cases, error) {
	if len(data) > MaxFile {
		return nil, Errors{{File: name,
			Message: fmt.Sprintf("the file has %d bytes; a table of cases has at most %d; make two of it",
				len(data), MaxFile)}}
	}
	root, _, err := document(name, data, MaxFile)
	if err != nil {
		return nil, err
	}
	r := &caseReader{reader: &reader{file: name, at: map[string]*yaml.Node{}}}
	c := r.table(root)
	if len(r.problems) == 0 {
		r.settle(c) // spans of time mean something only once it is known what now is
	}
	if len(r.problems) == 0 {
		return c, nil
	}
	problems := r.problems.sorted()
	if r.dropped > 0 {
		problems = append(problems, Problem{File: name,
			Message: fmt.Sprintf("%d more problems are not shown; mend these first", r.dropped)})
	}
	return nil, problems
}

// caseReader reads a table with what policies are read with.
type caseReader struct {
	*reader
	later [][]func(now time.Time) // by case: instants that are told from the case's own
}

// table reads the top level.
func (r *caseReader) table(n *yaml.Node) *Cases {
	c := &Cases{}
	names := map[string]int{}
	r.object(n, "", map[string]field{
		"version": r.number(&c.Version, 1, 1),
		"now":     r.instant(&c.Now),
		"domains": set(r.reader, &c.Domains, maxCaseList, emailDomain),
		"cases": r.list(maxCases, func(n *yaml.Node, path string) {
			r.later = append(r.later, nil)
			one := r.one(n, path)
			key := access.Fold(one.Name)
			if before, twice := names[key]; twice && one.Name != "" {
				r.failAt(path+".name", "the name %q is taken by cases[%d]; give each case its own", one.Name, before)
			} else {
				names[key] = len(c.Cases)
			}
			c.Cases = append(c.Cases, one)
		}),
	}, "version", "now", "cases")
	return c
}

// one reads one case.
func (r *caseReader) one(n *yaml.Node, path string) *Case {
	c := &Case{Line: n.Line, As: CaseEnforced}
	r.object(n, path, map[string]field{
		"name":   r.checked(&c.Name, entryName),
		"person": r.person(c),
		"at":     r.instant(&c.At),
		"as":     oneOf(r.reader, &c.As, CaseEnforced, CaseNow),
		"expect": r.expect(&c.Expect),
	}, "name", "person", "expect")
	return c
}

// person reads who the case is about. What is left out of it is not known, but that the account and the membership are
// active, as those of most people are.
func (r *caseReader) person(c *Case) field {
	return func(n *yaml.Node, path string) {
		p := &c.Person
		var managed *bool
		admin := false
		r.object(n, path, map[string]field{
			"email":                r.checked(&p.Email, caseEmail),
			"name":                 r.text(&p.Name),
			"title":                r.text(&p.JobTitle),
			"department":           r.text(&p.Department),
			"organization":         r.text(&p.Organization),
			"location":             r.text(&p.Location),
			"accountType":          oneOf(r.reader, &p.AccountType, accountTypes...),
			"accountStatus":        oneOf(r.reader, &p.AccountStatus, accountStatuses...),
			"membershipStatus":     oneOf(r.reader, &p.MembershipStatus, membershipStatuses...),
			"managementSource":     oneOf(r.reader, &p.ManagementSource, managementSources...),
			"managed":              r.maybe(&managed),
			"emailVerified":        r.maybe(&p.EmailVerified),
			"mfa":                  r.maybe(&p.MFA),
			"orgAdmin":             r.flag(&admin),
			"added":                r.moment(&p.Added),
			"groups":               set(r.reader, &c.Groups, maxCaseList, plainGroup),
			"local":                set(r.reader, &c.Local, maxCaseList, plainGroup),
			"apps":                 r.apps(&c.Apps),
			"grants":               r.grants(&c.Grants),
			"holding":              r.spans(&c.Holding),
			"told":                 r.spans(&c.Told),
			"suspendedByCastellan": r.flag(&c.Suspended),
		})
		if managed != nil {
			p.ClaimStatus = map[bool]string{true: "managed", false: "unmanaged"}[*managed]
		}
		if admin {
			p.PlatformRoles = []string{access.RoleOrgAdmin}
		}
		if c.Suspended && p.MembershipStatus != "" && p.MembershipStatus != "suspended" {
			r.failAt(path+".membershipStatus",
				"whom Castellan suspended is suspended; write suspended, or take suspendedByCastellan away")
		}
		for _, name := range c.Local {
			if slices.ContainsFunc(c.Groups, func(g string) bool { return slices.Equal(lower(g), lower(name)) }) {
				r.failAt(path+".local", "%q stands in groups too; keep one", name)
			}
		}
		p.AccountType, p.AccountStatus = orElse(p.AccountType, "atlassian"), orElse(p.AccountStatus, "active")
		if p.MembershipStatus == "" {
			p.MembershipStatus = map[bool]string{true: "suspended", false: "active"}[c.Suspended]
		}
	}
}

// What Atlassian says of accounts.
var (
	accountTypes       = []string{"atlassian", "app", "customer"}
	accountStatuses    = []string{"active", "inactive", "closed"}
	membershipStatuses = []string{"active", "suspended", "no_membership"}
	managementSources  = []string{"invited", "synced"}
)

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func caseEmail(s string) error {
	if !emailForm.MatchString(s) {
		return fmt.Errorf("%q is not an e-mail address; write for example ana@acme.example, or leave it out if it is not known", shown(s))
	}
	return nil
}

// plainGroup reads the name of a group.
func plainGroup(s string) (string, error) {
	if err := groupName(s); err != nil {
		return "", err
	}
	if strings.ContainsAny(s, "*?") {
		return "", fmt.Errorf("%q: a person is in groups of whole names; list each", shown(s))
	}
	return s, nil
}

// maybe reads what is true, false, or, when it is left out, not known.
func (r *caseReader) maybe(into **bool) field {
	return func(n *yaml.Node, path string) {
		var is bool
		before := len(r.problems) + r.dropped
		if r.flag(&is)(n, path); len(r.problems)+r.dropped == before {
			*into = &is
		}
	}
}

// apps reads which apps the person has access to, and when each was last used. Without any, they are known to have
// none.
func (r *caseReader) apps(into *[]condition.AppUse) field {
	return func(n *yaml.Node, path string) {
		*into = []condition.AppUse{}
		r.pairs(func(key string, n, value *yaml.Node, where string) {
			app, site, ok := appOnSite(key)
			s, read := r.timed(value, where)
			switch {
			case !ok:
				r.fail(n, where, "%q is no app on a site; write for example jira/acme", shown(key))
				return
			case slices.ContainsFunc(*into, func(u condition.AppUse) bool { return u.App == app && u.Site == site }):
				r.fail(n, where, "%s/%s stands here already under another name; keep one", app, site)
				return
			case !read:
				return
			}
			*into = append(*into, condition.AppUse{App: app, Site: site})
			i := len(*into) - 1
			switch s {
			case "never":
				(*into)[i].Never = true
			case "unknown":
			default:
				m, err := readMoment(s)
				if err != nil {
					r.fail(value, where, "%q does not say when the app was last used; %s, never or unknown", shown(s),
						caseReminder)
					return
				}
				r.when(value, where, m, func(at time.Time) { (*into)[i].Last = at })
			}
		})(n, path)
	}
}

// appOnSite reads jira/acme.
func appOnSite(s string) (app, site string, ok bool) {
	app, site, _ = strings.Cut(strings.ToLower(s), "/")
	return access.AppKey(app), site, app != "" && site != "" && !strings.ContainsAny(s, " \t\n*?") &&
		!strings.Contains(site, "/")
}

// grants reads the targets of grants in force: a list of them, or each with who asked for it.
func (r *caseReader) grants(into *[]access.Grant) field {
	add := func(e access.Entitlement, by string) {
		*into = append(*into, access.Grant{ID: caseGrantID, Target: e, State: access.GrantGranted, By: by})
	}
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.MappingNode {
			var targets []access.Entitlement
			set(r.reader, &targets, maxCaseList, caseGrant)(n, path)
			for _, e := range targets {
				add(e, "")
			}
			return
		}
		r.pairs(func(key string, n, value *yaml.Node, where string) {
			e, err := caseGrant(key)
			if err != nil {
				r.fail(n, where, "%s", err)
				return
			}
			var by string
			if r.checked(&by, personName)(value, where); by != "" {
				add(e, by)
			}
		})(n, path)
	}
}

func caseGrant(s string) (access.Entitlement, error) {
	e, err := caseTarget(s)
	if err == nil {
		e, err = access.ParseEntitlement(s)
	}
	if err == nil && e == access.Organization {
		err = fmt.Errorf("%q cannot be granted; write group:<name>, default:<app>/<site>/<role>, role:org-admin, role:<app>/<site>/<role> or directory", shown(s))
	}
	return e, err
}

// spans reads since when something has been so, by the rule's name: for how long, or an instant.
func (r *caseReader) spans(into *map[string]time.Time) field {
	return func(n *yaml.Node, path string) {
		*into = map[string]time.Time{}
		r.pairs(func(rule string, n, value *yaml.Node, where string) {
			s, ok := r.timed(value, where)
			if !ok {
				return
			}
			var d Duration
			m, err := readMoment(s)
			if d.UnmarshalText([]byte(s)) == nil {
				m, err = moment{ago: d.Std()}, nil
			}
			if err != nil {
				r.fail(value, where, "%q does not say since when; write a duration such as 8d, or an instant such as 2026-12-01T09:00:00Z", shown(s))
				return
			}
			r.when(value, where, m, func(at time.Time) { (*into)[strings.ToLower(rule)] = at })
		})(n, path)
	}
}

// moment is an instant as a table or a supposition writes it.
type moment struct {
	at  time.Time
	ago time.Duration // before now; counts where at is zero
}

func (m moment) from(now time.Time) time.Time {
	if !m.at.IsZero() {
		return m.at
	}
	return now.Add(-m.ago).UTC()
}

var errMoment = errors.New("it is no instant")

// readMoment reads 2026-12-01T09:00:00Z or 91d ago.
func readMoment(s string) (moment, error) {
	if span, is := strings.CutSuffix(s, " ago"); is {
		var d Duration
		if d.UnmarshalText([]byte(strings.TrimSpace(span))) != nil {
			return moment{}, errMoment
		}
		return moment{ago: d.Std()}, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil || at.Year() < 2000 {
		return moment{}, errMoment
	}
	return moment{at: at.UTC()}, nil
}

// moment reads an instant that may be told from the case's own.
func (r *caseReader) moment(into *time.Time) field {
	return func(n *yaml.Node, path string) {
		s, ok := r.timed(n, path)
		if !ok {
			return
		}
		m, err := readMoment(s)
		if err != nil {
			r.fail(n, path, "%q is not an instant; %s", shown(s), caseReminder)
			return
		}
		r.when(n, path, m, func(at time.Time) { *into = at })
	}
}

// timed reads a text that may be an instant, which YAML has a type of its own for.
func (r *caseReader) timed(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" {
		return n.Value, true
	}
	return r.scalar(n, path)
}

// when puts an instant in its place once the case's own is known. Nothing that a person did lies after it.
func (r *caseReader) when(n *yaml.Node, path string, m moment, put func(time.Time)) {
	i := len(r.later) - 1
	r.later[i] = append(r.later[i], func(now time.Time) {
		at := m.from(now)
		if at.After(now) {
			r.fail(n, path, "%s lies after %s, when the case is; write an earlier instant, or a later at",
				window.Exactly(at), window.Exactly(now))
		}
		put(at)
	})
}

// settle gives every case its instant, and what is told from it.
func (r *caseReader) settle(c *Cases) {
	for i := range c.Cases {
		one := c.Cases[i]
		if one.At.IsZero() {
			one.At = c.Now
		}
		for _, f := range r.later[i] {
			f(one.At)
		}
		for rule, told := range one.Told {
			if since, known := one.Holding[rule]; !known {
				if one.Holding == nil {
					one.Holding = map[string]time.Time{}
				}
				one.Holding[rule] = told
			} else if told.Before(since) {
				r.failAt(fmt.Sprintf("cases[%d].person.told", i),
					"%q was told before it held; write a shorter time than under holding", rule)
			}
		}
	}
}

// expect reads what should come of a case.
func (r *caseReader) expect(into *Expect) field {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
			r.fail(n, path, "nothing is expected, so the case cannot fail; write holds, gives, denies, presence, rules or unknown")
			return
		}
		some := func(into *[]access.Entitlement) field { return set(r.reader, into, maxCaseList, caseTarget) }
		r.object(n, path, map[string]field{
			"holds": func(n *yaml.Node, path string) {
				into.Holds = []access.Entitlement{}
				// an empty list says something: that nothing is held
				if n.Kind != yaml.SequenceNode || len(n.Content) > 0 {
					some(&into.Holds)(n, path)
				}
			},
			"gives":   some(&into.Gives),
			"denies":  some(&into.Denies),
			"unknown": some(&into.Unknown),
			"presence": oneOf(r.reader, &into.Presence, PresenceSuspended, PresenceRemoved, PresenceRestored,
				PresenceUntouched),
			"rules": r.verdicts(&into.Rules),
		})
	}
}

// caseTarget reads a target as the policy may write it, and leaves it as it is written.
func caseTarget(s string) (access.Entitlement, error) {
	e, err := access.ParseEntitlement(s)
	switch {
	case err != nil:
		return "", err
	case strings.ContainsAny(s, "*?"):
		return "", fmt.Errorf("%q: a case names its targets in full; list each target", shown(s))
	case e.Kind() == access.KindGroup:
		return access.Entitlement(s), groupName(e.Group())
	}
	return access.Entitlement(s), nil
}

// verdicts reads what rules should say.
func (r *caseReader) verdicts(into *[]RuleVerdict) field {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
			r.fail(n, path, "no rule is named; add one or leave the key out")
			return
		}
		r.pairs(func(rule string, n, value *yaml.Node, where string) {
			v := RuleVerdict{Rule: rule}
			oneOf(r.reader, &v.Verdict, VerdictNo, VerdictClosed, VerdictUnknown, VerdictWaits, VerdictGrace,
				VerdictHolds)(value, where)
			*into = append(*into, v)
		})(n, path)
	}
}

// pairs reads a YAML mapping whose keys are names: each once, whatever its case.
func (r *caseReader) pairs(read func(key string, n, value *yaml.Node, path string)) field {
	return func(n *yaml.Node, path string) {
		switch {
		case n.Kind != yaml.MappingNode:
			r.fail(n, path, "%s; write names, each with its value", wrong(n))
			return
		case len(n.Content)/2 > maxCaseList:
			r.fail(n, path, "there are %d entries; at most %d are allowed", len(n.Content)/2, maxCaseList)
			return
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			where := path + "." + shown(key.Value)
			name, ok := r.scalar(key, where)
			if !ok || !r.plain(value, where) {
				continue
			}
			folded := access.Fold(name)
			if seen[folded] {
				r.fail(key, where, "the name stands twice; keep one")
				continue
			}
			seen[folded] = true
			read(name, key, value, where)
		}
	}
}
