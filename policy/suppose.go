package policy

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
	"github.com/castellan-io/castellan/policy/window"
)

// Supposition is one what-if change to a person or to the time, as ReadSupposition read it. The zero value changes
// nothing.
type Supposition struct {
	text   string
	change func(*supposed) error
}

// supposed is what suppositions change.
type supposed struct {
	*Bound
	person access.Person
	now    time.Time
}

// supposeForms is what an error tells of.
const supposeForms = "write groups+=NAME, groups-=NAME, roles+=org-admin, roles-=org-admin, email=, title=, department=, organization=, location=, " +
	"managed=true|false, mfa= or emailVerified=true|false|unknown, membershipStatus=active|suspended|no_membership, " +
	"accountStatus=active|inactive|closed, now=2026-12-01T09:00:00Z, now+=7d, or app:jira/acme=91d ago|never|unknown|none"

// ReadSupposition reads one what-if change, such as groups+=contractors or now+=7d. The error, in one line, says what
// is wrong and which forms there are. Whether a group or an app is there shows only when it is applied.
func ReadSupposition(text string) (Supposition, error) {
	key, value, found := strings.Cut(text, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	change, err := suppose(key, value)
	if !found {
		err = errors.New("there is no =")
	}
	if err != nil {
		return Supposition{}, fmt.Errorf("%q: %w; %s", shown(strings.ToValidUTF8(text, "?")), err, supposeForms)
	}
	return Supposition{text, change}, nil
}

// String is the text.
func (s Supposition) String() string { return s.text }

// Apply is the person and the time as they would be. It changes nothing of what it is given. Times that are told from
// now are told from the time given. Where it was not read when the person used their apps, and something is supposed of
// one, all other apps count as there and their use as not known. The error, in one line, says which group or app is not
// there.
func (s Supposition) Apply(b *Bound, p access.Person, now time.Time) (access.Person, time.Time, error) {
	if s.change == nil {
		return p, now, nil
	}
	w := supposed{b, p, now}
	if err := s.change(&w); err != nil {
		return p, now, fmt.Errorf("%s: %w", s.text, err)
	}
	return w.person, w.now, nil
}

// suppose finds the change behind a key and a value.
func suppose(key, value string) (func(*supposed) error, error) {
	if app, is := strings.CutPrefix(key, "app:"); is {
		return supposeUse(app, value)
	}
	switch key {
	case "groups+", "groups-":
		if err := groupName(value); err != nil {
			return nil, err
		}
		return func(w *supposed) error { return w.group(value, key == "groups+") }, nil
	case "roles+", "roles-":
		if value != "org-admin" {
			return nil, fmt.Errorf("%q is no role that can be supposed", shown(value))
		}
		return func(w *supposed) error { w.role(key == "roles+"); return nil }, nil
	case "now", "now+":
		return supposeNow(key, value)
	case "managed", "mfa", "emailVerified":
		return supposeTruth(key, value)
	}
	return supposeText(key, value)
}

func supposeNow(key, value string) (func(*supposed) error, error) {
	if key == "now" {
		at, err := time.Parse(time.RFC3339, value)
		if err != nil || at.Year() < 2000 {
			return nil, fmt.Errorf("%q is not an instant", shown(value))
		}
		return func(w *supposed) error { w.now = at.UTC(); return nil }, nil
	}
	var d Duration
	if d.UnmarshalText([]byte(value)) != nil {
		return nil, fmt.Errorf("%q is not a duration", shown(value))
	}
	return func(w *supposed) error { w.now = w.now.Add(d.Std()); return nil }, nil
}

func supposeTruth(key, value string) (func(*supposed) error, error) {
	is := value == "true"
	if value != "true" && value != "false" && (value != "unknown" || key == "managed") {
		return nil, fmt.Errorf("%s cannot be %q", key, shown(value))
	}
	truth := &is
	if value == "unknown" {
		truth = nil
	}
	return func(w *supposed) error {
		switch key {
		case "managed":
			w.person.ClaimStatus = map[bool]string{true: "managed", false: "unmanaged"}[is]
		case "mfa":
			w.person.MFA = truth
		case "emailVerified":
			w.person.EmailVerified = truth
		}
		return nil
	}, nil
}

func supposeText(key, value string) (func(*supposed) error, error) {
	among := func(words []string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("%s cannot be %q", key, shown(value))
		}
		return nil
	}
	var into func(*access.Person) *string
	var err error
	switch key {
	case "email":
		into = func(p *access.Person) *string { return &p.Email }
		if !emailForm.MatchString(value) {
			err = fmt.Errorf("%q is not an e-mail address", shown(value))
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
		return nil, fmt.Errorf("nothing can be supposed of %q", shown(key))
	}
	if err == nil && utf8.RuneCountInString(value) > maxText {
		err = fmt.Errorf("the text is longer than %d characters", maxText)
	}
	return func(w *supposed) error { *into(&w.person) = value; return nil }, err
}

// supposeUse reads when an app was last used; none: the person has no access to it.
func supposeUse(name, value string) (func(*supposed) error, error) {
	app, site, ok := appOnSite(name)
	if !ok {
		return nil, fmt.Errorf("%q is no app on a site", shown(name))
	}
	var m moment
	switch value {
	case "never", "unknown", "none":
	default:
		var err error
		if m, err = readMoment(value); err != nil {
			return nil, fmt.Errorf("%q does not say when the app was last used", shown(value))
		}
	}
	return func(w *supposed) error {
		resource, err := w.resource(app, site)
		if err != nil {
			return err
		}
		w.otherUses(resource)
		use := access.Activity{Resource: resource, Never: value == "never"}
		switch value {
		case "none":
			return nil
		case "never", "unknown":
		default:
			if use.Last = m.from(w.now); use.Last.After(w.now) {
				return fmt.Errorf("%s lies after %s, which is now", window.Exactly(use.Last), window.Exactly(w.now))
			}
		}
		w.person.Activity = append(w.person.Activity, use)
		return nil
	}, nil
}

// resource finds an app on a site.
func (w *supposed) resource(app, site string) (string, error) {
	var found, names []string
	for resource, s := range w.sites {
		if names = append(names, s.App+"/"+s.Site); access.AppKey(s.App) == app && strings.EqualFold(s.Site, site) {
			found = append(found, resource)
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("the organization has no app %s/%s%s", app, site, meant(similar(app+"/"+site, names)))
	}
	return slices.Min(found), nil // as a role on the app is bound
}

// otherUses copies what is known of all apps but one. That an app was not asked for does not mean that it is not there.
func (w *supposed) otherUses(resource string) {
	all := []access.Activity{}
	if w.person.Activity == nil {
		for _, other := range slices.Sorted(maps.Keys(w.sites)) {
			all = append(all, access.Activity{Resource: other})
		}
	}
	all = append(all, w.person.Activity...)
	w.person.Activity = slices.DeleteFunc(all, func(a access.Activity) bool { return a.Resource == resource })
}

// group puts the person into the groups of a name, or takes them out.
func (w *supposed) group(name string, in bool) error {
	folded := string(lower(name))
	var ids, names []string
	for id, other := range w.names {
		if names = append(names, other); string(lower(other)) == folded {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("there is no group %q%s", name, meant(similar(name, names)))
	}
	slices.Sort(ids)
	left := slices.DeleteFunc(slices.Clone(w.person.GroupIDs), func(id string) bool { return slices.Contains(ids, id) })
	if w.person.GroupIDs = left; in {
		w.person.GroupIDs = append(left, ids...)
	}
	return nil
}

// role gives the person the organization-admin role, or takes it.
func (w *supposed) role(has bool) {
	left := slices.DeleteFunc(slices.Clone(w.person.PlatformRoles),
		func(r string) bool { return r == access.RoleOrgAdmin })
	if w.person.PlatformRoles = left; has {
		w.person.PlatformRoles = append(left, access.RoleOrgAdmin)
	}
}

// similar are up to five of the names that are most like one, best first: those that share many pairs of letters with
// it.
func similar(name string, names []string) []string {
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

// pairsOf are the pairs of letters that follow each other.
func pairsOf(name string) map[[2]rune]bool {
	pairs := map[[2]rune]bool{}
	before := ' '
	for _, r := range lower(name) {
		pairs[[2]rune{before, r}] = true
		before = r
	}
	return pairs
}

// meant names what may have been meant.
func meant(names []string) string {
	if len(names) == 0 {
		return ""
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return "; there is " + strings.Join(quoted, ", ")
}
