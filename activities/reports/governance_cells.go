package reports

import (
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/policy/condition"
)

// appsOf returns the apps somebody has access to, with each one's last use.
func appsOf(f condition.Facts) string {
	var all []string
	for _, u := range f.Apps {
		word := u.App + "/" + u.Site
		switch {
		case u.Never:
			word += " (never used)"
		case !u.Last.IsZero():
			word += " (" + session.Date(u.Last) + ")"
		}
		all = append(all, word)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func domainOf(p access.Person) string {
	return access.DomainOf(p.Email)
}
