package cases

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/window"
)

// WhatIf is one change to a person or to the time, as ReadWhatIf read it. The zero value changes nothing.
type WhatIf struct {
	text   string
	change func(*changed) error
}

// changed is a person and a time while changes are made to them.
type changed struct {
	bound  *policy.Bound
	person access.Person
	now    time.Time
}

// whatIfForms is what an error tells of.
const whatIfForms = "write groups+=NAME, groups-=NAME, roles+=org-admin, roles-=org-admin, email=, title=, department=, organization=, location=, " +
	"managed=true|false, mfa= or emailVerified=true|false|unknown, membershipStatus=active|suspended|no_membership, " +
	"accountStatus=active|inactive|closed, now=2026-12-01T09:00:00Z, now+=7d, or app:jira/acme=91d ago|never|unknown|none"

// ReadWhatIf reads one what-if change, such as groups+=contractors or now+=7d. The error, in one line, says what
// is wrong and which forms there are. Whether a group or an app is there shows only when it is applied.
func ReadWhatIf(text string) (WhatIf, error) {
	key, value, found := strings.Cut(text, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	change, err := readChange(key, value)
	if !found {
		err = errors.New("there is no =")
	}
	if err != nil {
		return WhatIf{}, fmt.Errorf("%q: %w; %s", strictyaml.Shown(strings.ToValidUTF8(text, "?")), err, whatIfForms)
	}
	return WhatIf{text, change}, nil
}

// String returns the text.
func (w WhatIf) String() string { return w.text }

// Apply returns the person and the time as they would be. It changes nothing of what it is given. Times that are told
// from now are told from the time given. Where it was not read when the person used their apps, and something is
// supposed of one, all other apps count as there and their use as not known. The error, in one line, says which group
// or app is not there.
func (w WhatIf) Apply(b *policy.Bound, p access.Person, now time.Time) (access.Person, time.Time, error) {
	if w.change == nil {
		return p, now, nil
	}
	c := changed{b, p, now}
	if err := w.change(&c); err != nil {
		return p, now, fmt.Errorf("%s: %w", w.text, err)
	}
	return c.person, c.now, nil
}

// readChange finds the change behind a key and a value.
func readChange(key, value string) (func(*changed) error, error) {
	if app, is := strings.CutPrefix(key, "app:"); is {
		return readUse(app, value)
	}
	switch key {
	case "groups+", "groups-":
		if err := form.CheckGroup(value); err != nil {
			return nil, err
		}
		return func(c *changed) error { return c.group(value, key == "groups+") }, nil
	case "roles+", "roles-":
		if value != "org-admin" {
			return nil, fmt.Errorf("%q is no role that can be supposed", strictyaml.Shown(value))
		}
		return func(c *changed) error { c.role(key == "roles+"); return nil }, nil
	case "now", "now+":
		return readNow(key, value)
	case "managed", "mfa", "emailVerified":
		return readTruth(key, value)
	}
	return readText(key, value)
}

func readNow(key, value string) (func(*changed) error, error) {
	if key == "now" {
		at, err := time.Parse(time.RFC3339, value)
		if err != nil || at.Year() < 2000 {
			return nil, fmt.Errorf("%q is not an instant", strictyaml.Shown(value))
		}
		return func(c *changed) error { c.now = at.UTC(); return nil }, nil
	}
	var d policy.Duration
	if d.UnmarshalText([]byte(value)) != nil {
		return nil, fmt.Errorf("%q is not a duration", strictyaml.Shown(value))
	}
	return func(c *changed) error { c.now = c.now.Add(d.Std()); return nil }, nil
}

func readTruth(key, value string) (func(*changed) error, error) {
	is := value == "true"
	if value != "true" && value != "false" && (value != "unknown" || key == "managed") {
		return nil, fmt.Errorf("%s cannot be %q", key, strictyaml.Shown(value))
	}
	truth := &is
	if value == "unknown" {
		truth = nil
	}
	return func(c *changed) error {
		switch key {
		case "managed":
			c.person.ClaimStatus = map[bool]string{true: "managed", false: "unmanaged"}[is]
		case "mfa":
			c.person.MFA = truth
		case "emailVerified":
			c.person.EmailVerified = truth
		}
		return nil
	}, nil
}

func readText(key, value string) (func(*changed) error, error) {
	among := func(words []string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("%s cannot be %q", key, strictyaml.Shown(value))
		}
		return nil
	}
	var into func(*access.Person) *string
	var err error
	switch key {
	case "email":
		into = func(p *access.Person) *string { return &p.Email }
		if !form.IsEmail(value) {
			err = fmt.Errorf("%q is not an e-mail address", strictyaml.Shown(value))
		}
	case "title":
		into = func(p *access.Person) *string { return &p.JobTitle }
	case "department":
		into = func(p *access.Person) *string { return &p.Department }
	case "organization":
		into = func(p *access.Person) *string { return &p.Organization }
	case "location":
		into = func(p *access.Person) *string { return &p.Location }
	case "membershipStatus":
		into, err = func(p *access.Person) *string { return &p.MembershipStatus }, among(membershipStatuses)
	case "accountStatus":
		into, err = func(p *access.Person) *string { return &p.AccountStatus }, among(accountStatuses)
	default:
		return nil, fmt.Errorf("nothing can be supposed of %q", strictyaml.Shown(key))
	}
	if err == nil && utf8.RuneCountInString(value) > strictyaml.MaxText {
		err = fmt.Errorf("the text is longer than %d characters", strictyaml.MaxText)
	}
	return func(c *changed) error { *into(&c.person) = value; return nil }, err
}

// readUse reads when an app was last used; none: the person has no access to it.
func readUse(name, value string) (func(*changed) error, error) {
	app, site, ok := appOnSite(name)
	if !ok {
		return nil, fmt.Errorf("%q is no app on a site", strictyaml.Shown(name))
	}
	var m moment
	switch value {
	case "never", "unknown", "none":
	default:
		var err error
		if m, err = readMoment(value); err != nil {
			return nil, fmt.Errorf("%q does not say when the app was last used", strictyaml.Shown(value))
		}
	}
	return func(c *changed) error {
		resource, err := c.resource(app, site)
		if err != nil {
			return err
		}
		c.otherUses(resource)
		use := access.Activity{Resource: resource, Never: value == "never"}
		switch value {
		case "none":
			return nil
		case "never", "unknown":
		default:
			if use.Last = m.from(c.now); use.Last.After(c.now) {
				return fmt.Errorf("%s lies after %s, which is now", window.Exactly(use.Last), window.Exactly(c.now))
			}
		}
		c.person.Activity = append(c.person.Activity, use)
		return nil
	}, nil
}

// resource finds an app on a site.
func (c *changed) resource(app, site string) (string, error) {
	var found, names []string
	for _, s := range c.bound.Sites() {
		if names = append(names, s.App+"/"+s.Site); access.AppKey(s.App) == app && strings.EqualFold(s.Site, site) {
			found = append(found, s.Resource)
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("the organization has no app %s/%s%s", app, site, suggestion(similarNames(app+"/"+site, names)))
	}
	return found[0], nil // as a role on the app is bound
}

// otherUses copies what is known of all apps but one. That an app was not asked for does not mean that it is not there.
func (c *changed) otherUses(resource string) {
	all := []access.Activity{}
	if c.person.Activity == nil {
		for _, s := range c.bound.Sites() {
			all = append(all, access.Activity{Resource: s.Resource})
		}
	}
	all = append(all, c.person.Activity...)
	c.person.Activity = slices.DeleteFunc(all, func(a access.Activity) bool { return a.Resource == resource })
}

// group puts the person into the groups of a name, or takes them out.
func (c *changed) group(name string, in bool) error {
	ids := c.bound.GroupsNamed([]string{name})
	if len(ids) == 0 {
		var names []string
		for _, id := range c.bound.Groups() {
			names = append(names, c.bound.GroupName(id))
		}
		return fmt.Errorf("there is no group %q%s", name, suggestion(similarNames(name, names)))
	}
	left := slices.DeleteFunc(slices.Clone(c.person.GroupIDs), func(id string) bool { return slices.Contains(ids, id) })
	if c.person.GroupIDs = left; in {
		c.person.GroupIDs = append(left, ids...)
	}
	return nil
}

// role gives the person the organization-admin role, or takes it.
func (c *changed) role(has bool) {
	left := slices.DeleteFunc(slices.Clone(c.person.PlatformRoles),
		func(r string) bool { return r == access.RoleOrgAdmin })
	if c.person.PlatformRoles = left; has {
		c.person.PlatformRoles = append(left, access.RoleOrgAdmin)
	}
}

// similarNames are up to five of the names that are most like one, best first: those that share many pairs of letters
// with it.
func similarNames(name string, names []string) []string {
	const most, least = 5, 0.5
	wanted := pairsOf(name)
	likeness := map[string]float64{}
	for _, other := range names {
		there := pairsOf(other)
		shared := 0
		for pair := range wanted {
			if there[pair] {
				shared++
			}
		}
		if like := 2 * float64(shared) / float64(max(len(wanted)+len(there), 1)); like >= least {
			likeness[other] = like
		}
	}
	found := slices.SortedFunc(maps.Keys(likeness), func(a, b string) int {
		return cmp.Or(cmp.Compare(likeness[b], likeness[a]), strings.Compare(a, b))
	})
	return found[:min(len(found), most)]
}

// pairsOf returns the pairs of letters that follow each other.
func pairsOf(name string) map[[2]rune]bool {
	pairs := map[[2]rune]bool{}
	before := ' '
	for _, r := range form.Fold(name) {
		pairs[[2]rune{before, r}] = true
		before = r
	}
	return pairs
}

// suggestion returns what may have been meant.
func suggestion(names []string) string {
	if len(names) == 0 {
		return ""
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return "; there is " + strings.Join(quoted, ", ")
}
