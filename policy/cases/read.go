package cases

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/window"
)

// The bounds of a table of cases. They are far above what anybody writes by hand, and exist so that a broken file is
// refused quickly.
const (
	maxCases = 5000 // cases of one table
	maxList  = 500  // entries of one list or section of a case
	grantID  = "of the case"
	reminder = "write for example 2026-12-01T09:00:00Z, or 91d ago"
)

// Read reads a table of expected decisions in YAML or JSON, strictly; it reads no clock and knows no policy yet. The
// error is of type policy.Errors and holds every problem found, up to MaxProblems, each with its place; name is the
// file's name in it. A table has at most policy.MaxFile bytes and 5,000 cases.
func Read(name string, data []byte) (*Table, error) {
	if len(data) > policy.MaxFile {
		return nil, strictyaml.Errors{{File: name,
			Message: fmt.Sprintf("the file has %d bytes; a table of cases has at most %d; make two of it",
				len(data), policy.MaxFile)}}
	}
	file, root, err := strictyaml.Open(name, data, "table of cases")
	if err != nil {
		return nil, err
	}
	r := &reader{Reader: file}
	c := r.table(root)
	if r.Count() == 0 {
		r.settle(c) // spans of time mean something only once it is known what now is
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// reader reads a table.
type reader struct {
	*strictyaml.Reader
	later [][]func(now time.Time) // by case: instants that are told from the case's own
}

// table reads the top level.
func (r *reader) table(n *yaml.Node) *Table {
	c := &Table{}
	names := map[string]int{}
	r.Object(n, "", strictyaml.Fields{
		"version": r.Number(&c.Version, 1, 1),
		"now":     r.Instant(&c.Now),
		"domains": strictyaml.Set(r.Reader, &c.Domains, maxList, form.ParseDomain),
		"cases": r.List(maxCases, func(n *yaml.Node, path string) {
			r.later = append(r.later, nil)
			one := r.one(n, path)
			key := access.Fold(one.Name)
			if before, twice := names[key]; twice && one.Name != "" {
				r.FailAt(path+".name", "the name %q is taken by cases[%d]; give each case its own", one.Name, before)
			} else {
				names[key] = len(c.Cases)
			}
			c.Cases = append(c.Cases, one)
		}),
	}, "version", "now", "cases")
	return c
}

// one reads one case.
func (r *reader) one(n *yaml.Node, path string) *Case {
	c := &Case{Line: n.Line, As: ModeEnforced}
	r.Object(n, path, strictyaml.Fields{
		"name":   r.Checked(&c.Name, form.CheckEntry),
		"person": r.person(c),
		"at":     r.Instant(&c.At),
		"as":     strictyaml.OneOf(r.Reader, &c.As, ModeEnforced, ModeNow),
		"expect": r.expect(&c.Expect),
	}, "name", "person", "expect")
	return c
}

// person reads who the case is about. What is left out of it is not known, but that the account and the membership are
// active, as those of most people are.
func (r *reader) person(c *Case) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		p := &c.Person
		var managed *bool
		admin := false
		r.Object(n, path, strictyaml.Fields{
			"email":                r.Checked(&p.Email, caseEmail),
			"name":                 r.Text(&p.Name),
			"title":                r.Text(&p.JobTitle),
			"department":           r.Text(&p.Department),
			"organization":         r.Text(&p.Organization),
			"location":             r.Text(&p.Location),
			"accountType":          strictyaml.OneOf(r.Reader, &p.AccountType, accountTypes...),
			"accountStatus":        strictyaml.OneOf(r.Reader, &p.AccountStatus, accountStatuses...),
			"membershipStatus":     strictyaml.OneOf(r.Reader, &p.MembershipStatus, membershipStatuses...),
			"managementSource":     strictyaml.OneOf(r.Reader, &p.ManagementSource, managementSources...),
			"managed":              r.Tristate(&managed),
			"emailVerified":        r.Tristate(&p.EmailVerified),
			"mfa":                  r.Tristate(&p.MFA),
			"orgAdmin":             r.Flag(&admin),
			"added":                r.moment(&p.Added),
			"groups":               strictyaml.Set(r.Reader, &c.Groups, maxList, plainGroup),
			"local":                strictyaml.Set(r.Reader, &c.Local, maxList, plainGroup),
			"apps":                 r.apps(&c.Apps),
			"identities":           r.identities(&p.Identities),
			"grants":               r.grants(&c.Grants),
			"holding":              r.spans(&c.Holding),
			"told":                 r.spans(&c.Told),
			"suspendedByCastellan": r.Flag(&c.Suspended),
		})
		if managed != nil {
			p.ClaimStatus = map[bool]string{true: "managed", false: "unmanaged"}[*managed]
		}
		if admin {
			p.PlatformRoles = []string{access.RoleOrgAdmin}
		}
		if c.Suspended && p.MembershipStatus != "" && p.MembershipStatus != "suspended" {
			r.FailAt(path+".membershipStatus",
				"whom Castellan suspended is suspended; write suspended, or take suspendedByCastellan away")
		}
		for _, name := range c.Local {
			if slices.ContainsFunc(c.Groups, func(g string) bool { return access.SameName(g, name) }) {
				r.FailAt(path+".local", "%q stands in groups too; keep one", name)
			}
		}
		p.AccountType, p.AccountStatus = cmp.Or(p.AccountType, "atlassian"), cmp.Or(p.AccountStatus, "active")
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

func caseEmail(s string) error {
	if !form.IsEmail(s) {
		return fmt.Errorf("%q is not an e-mail address; write for example ana@acme.example, or leave it out if it is not known", strictyaml.Shown(s))
	}
	return nil
}

// plainGroup reads the name of a group.
func plainGroup(s string) (string, error) {
	if err := form.CheckGroup(s); err != nil {
		return "", err
	}
	if strings.ContainsAny(s, "*?") {
		return "", fmt.Errorf("%q: a person is in groups of whole names; list each", strictyaml.Shown(s))
	}
	return s, nil
}

// apps reads which apps the person has access to, and when each was last used. Without any, they are known to have
// none.
func (r *reader) apps(into *[]condition.AppUse) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		*into = []condition.AppUse{}
		r.Names(maxList, func(key string, n, value *yaml.Node, where string) {
			app, site, ok := appOnSite(key)
			s, read := r.timed(value, where)
			switch {
			case !ok:
				r.Fail(n, where, "%q is no app on a site; write for example jira/acme", strictyaml.Shown(key))
				return
			case slices.ContainsFunc(*into, func(u condition.AppUse) bool { return u.App == app && u.Site == site }):
				r.Fail(n, where, "%s/%s stands here already under another name; keep one", app, site)
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
					r.Fail(value, where, "%q does not say when the app was last used; %s, never or unknown", strictyaml.Shown(s),
						reminder)
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
func (r *reader) grants(into *[]access.Grant) strictyaml.Field {
	add := func(e access.Entitlement, by string) {
		*into = append(*into, access.Grant{ID: grantID, Target: e, State: access.GrantGranted, By: by})
	}
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.MappingNode {
			var targets []access.Entitlement
			strictyaml.Set(r.Reader, &targets, maxList, caseGrant)(n, path)
			for _, e := range targets {
				add(e, "")
			}
			return
		}
		r.Names(maxList, func(key string, n, value *yaml.Node, where string) {
			e, err := caseGrant(key)
			if err != nil {
				r.Fail(n, where, "%s", err)
				return
			}
			var by string
			if r.Checked(&by, form.CheckPerson)(value, where); by != "" {
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
		err = fmt.Errorf("%q cannot be granted; write group:<name>, default:<app>/<site>/<role>, role:org-admin, role:<app>/<site>/<role> or directory", strictyaml.Shown(s))
	}
	return e, err
}

// spans reads since when something has been so, by the rule's name: for how long, or an instant.
func (r *reader) spans(into *map[string]time.Time) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		*into = map[string]time.Time{}
		r.Names(maxList, func(rule string, n, value *yaml.Node, where string) {
			s, ok := r.timed(value, where)
			if !ok {
				return
			}
			var d policy.Duration
			m, err := readMoment(s)
			if d.UnmarshalText([]byte(s)) == nil {
				m, err = moment{ago: d.Std()}, nil
			}
			if err != nil {
				r.Fail(value, where, "%q does not say since when; write a duration such as 8d, or an instant such as 2026-12-01T09:00:00Z", strictyaml.Shown(s))
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
		var d policy.Duration
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
func (r *reader) moment(into *time.Time) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		s, ok := r.timed(n, path)
		if !ok {
			return
		}
		m, err := readMoment(s)
		if err != nil {
			r.Fail(n, path, "%q is not an instant; %s", strictyaml.Shown(s), reminder)
			return
		}
		r.when(n, path, m, func(at time.Time) { *into = at })
	}
}

// timed reads a text that may be an instant, which YAML has a type of its own for.
func (r *reader) timed(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" {
		return n.Value, true
	}
	return r.Scalar(n, path)
}

// when puts an instant in its place once the case's own is known. Nothing that a person did lies after it.
func (r *reader) when(n *yaml.Node, path string, m moment, put func(time.Time)) {
	i := len(r.later) - 1
	r.later[i] = append(r.later[i], func(now time.Time) {
		at := m.from(now)
		if at.After(now) {
			r.Fail(n, path, "%s lies after %s, when the case is; write an earlier instant, or a later at",
				window.Exactly(at), window.Exactly(now))
		}
		put(at)
	})
}

// settle gives every case its instant, and what is told from it.
func (r *reader) settle(c *Table) {
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
				r.FailAt(fmt.Sprintf("cases[%d].person.told", i),
					"%q was told before it held; write a shorter time than under holding", rule)
			}
		}
	}
}

// expect reads what should come of a case.
func (r *reader) expect(into *Expect) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
			r.Fail(n, path, "nothing is expected, so the case cannot fail; write holds, gives, denies, presence, rules or unknown")
			return
		}
		some := func(into *[]access.Entitlement) strictyaml.Field {
			return strictyaml.Set(r.Reader, into, maxList, caseTarget)
		}
		r.Object(n, path, strictyaml.Fields{
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
			"presence": strictyaml.OneOf(r.Reader, &into.Presence, PresenceSuspended, PresenceRemoved, PresenceRestored,
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
		return "", fmt.Errorf("%q: a case names its targets in full; list each target", strictyaml.Shown(s))
	case e.Kind() == access.KindGroup:
		return access.Entitlement(s), form.CheckGroup(e.Group())
	}
	return access.Entitlement(s), nil
}

// verdicts reads what rules should say.
func (r *reader) verdicts(into *[]RuleVerdict) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
			r.Fail(n, path, "no rule is named; add one or leave the key out")
			return
		}
		r.Names(maxList, func(rule string, n, value *yaml.Node, where string) {
			v := RuleVerdict{Rule: rule}
			strictyaml.OneOf(r.Reader, &v.Verdict, policy.VerdictNo, policy.VerdictClosed, policy.VerdictUnknown,
				policy.VerdictWaits, policy.VerdictGrace, policy.VerdictHolds)(value, where)
			*into = append(*into, v)
		})(n, path)
	}
}
