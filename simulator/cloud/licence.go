package cloud

import "slices"

// unbilled are the roles that need no licence (the vendor's list).
var unbilled = []string{"atlassian/customer", "atlassian/contributor", "atlassian/basic", "atlassian/stakeholder",
	"atlassian/user-access-admin"}

// billable reports whether the user can occupy a seat at all: suspended and deactivated people and app accounts do not.
func (u *user) billable() bool {
	return !u.app && !u.inactive && !u.stuck && u.member.now && !u.suspended.now
}

// wantedSeats returns the apps in which the user's roles need a seat, as long as the user is billable.
func (u *user) wantedSeats() (seats []*resource) {
	take := func(grants []roleGrant) {
		for _, grant := range grants {
			if !slices.Contains(unbilled, grant.role) && !slices.Contains(seats, grant.resource) {
				seats = append(seats, grant.resource)
			}
		}
	}
	take(u.direct)
	for _, g := range u.groups {
		take(g.grants)
	}
	return seats
}

// reseat computes again in which apps the user occupies a seat.
func (c *Cloud) reseat(u *user) {
	var seats []*resource
	if u.billable() {
		seats = u.wantedSeats()
	}
	for _, r := range u.seats {
		r.taken--
	}
	for _, r := range seats {
		r.taken++
	}
	u.seats = seats
}

// shortage returns the first app without a free seat that the grants would need; nil if all fit.
func (c *Cloud) shortage(u *user, grants []roleGrant) *resource {
	if !u.billable() {
		return nil
	}
	for _, grant := range grants {
		r := grant.resource
		if !slices.Contains(unbilled, grant.role) && !slices.Contains(u.seats, r) && c.full(r) {
			return r
		}
	}
	return nil
}

// full reports whether the app has no free seat.
func (c *Cloud) full(r *resource) bool {
	limit, limited := c.licences(r)
	return limited && r.taken >= limit
}

func (c *Cloud) licences(r *resource) (limit int, limited bool) {
	for _, name := range []string{r.app + "/" + r.site, r.owner + "/" + r.site} {
		if limit, set := c.settings.Licences[name]; set && limit >= 0 {
			return limit, true
		}
	}
	return 0, false
}
