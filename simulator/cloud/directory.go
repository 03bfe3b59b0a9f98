package cloud

import (
	"slices"
	"strings"
)

// user is an account and its membership in the directory.
type user struct {
	id, name, nickname, email string
	title, department         string
	organization, location    string
	locale, timezone          string
	app                       bool  // belongs to an installed app
	inactive                  bool  // account deactivated
	managed                   bool  // e-mail domain claimed by the organization
	deleting                  bool  // will be deleted, once its grace period is over
	stuck                     bool  // reactivated, and its groups give it no access
	unverified                bool  // e-mail address never confirmed
	twoStep                   *bool // two-step verification, if set explicitly
	added, deactivated        instant

	member    timeline // of the directory
	suspended timeline
	orgAdmin  timeline
	siteAdmin timeline
	direct    []roleGrant    // app roles given to the person, not to a group
	given     []directChange // their journal

	groups     []*group
	journal    []membershipChange
	seats      []*resource // apps in which the person occupies a seat
	lastActive map[*resource]instant
	records    []*scimUser // linked ones, of several SCIM directories
	tokens     []apiToken
	content    []string // marks of what the account has written
}

// group is a group of the directory. A deleted one is kept for reads of the past.
type group struct {
	id, name, key    string // key: the name in lower case, since names compare without case
	description      string
	synced           bool
	created, deleted instant
	members          []*user // ordered by id
	journal          []membershipChange
	grants           []roleGrant
	scim             *scimGroup
}

// roleGrant is one role on one resource.
type roleGrant struct {
	resource  *resource
	role      string
	byDefault bool // the group is a default group for the role; never set on a user's own grant
}

// resource is one app on one site.
type resource struct {
	ari, owner string // owner: the app's key in the ARI
	app, site  string // app: its key in the names of default groups
	cloudID    string
	activity   string // its key in activity data
	title      string
	taken      int // seats
}

// directory is the organization's people, groups and apps with the indexes that make the cost of every read
// proportional to its page.
type directory struct {
	born      instant
	domains   []domain
	keyOwner  *user
	users     []*user // ordered by id
	userByID  map[string]*user
	byEmail   map[string]*user // lower case
	nicks     []*user          // ordered by nickname; nil if outdated
	groups    []*group         // ordered by key, including those deleted recently
	groupByID map[string]*group
	byName    map[string]*group // live groups by key
	resources []*resource
}

// domain is an e-mail domain of the organization.
type domain struct {
	name   string
	status string // verified: the organization manages the domain's accounts; or another of the vendor's words
}

func newDirectory(domains []string) directory {
	claimed := make([]domain, 0, len(domains))
	for _, name := range domains {
		claimed = append(claimed, domain{name, "verified"})
	}
	return directory{domains: claimed, userByID: map[string]*user{}, byEmail: map[string]*user{},
		groupByID: map[string]*group{}, byName: map[string]*group{}}
}

// journalMemory is how long what is gone is remembered: an hour, longer than any lag.
const journalMemory = int64(3600e9)

func byUserID(u *user, id string) int { return strings.Compare(u.id, id) }

// insertUser adds the user to the indexes. Seeding appends many and calls sortUsers once.
func (d *directory) insertUser(u *user) {
	at, _ := slices.BinarySearchFunc(d.users, u.id, byUserID)
	d.users = slices.Insert(d.users, at, u)
	d.indexUser(u)
}

func (d *directory) appendUser(u *user) {
	d.users = append(d.users, u)
	d.indexUser(u)
}

func (d *directory) indexUser(u *user) {
	d.userByID[u.id] = u
	if u.email != "" {
		d.byEmail[strings.ToLower(u.email)] = u
	}
	d.nicks = nil
}

func (d *directory) sortUsers() {
	slices.SortFunc(d.users, func(a, b *user) int { return strings.Compare(a.id, b.id) })
}

// byNickname returns all users in the order of their nicknames, then IDs.
func (d *directory) byNickname() []*user {
	if d.nicks == nil {
		d.nicks = slices.Clone(d.users)
		slices.SortFunc(d.nicks, func(a, b *user) int { return strings.Compare(a.nickKey(), b.nickKey()) })
	}
	return d.nicks
}

func (u *user) nickKey() string { return strings.ToLower(u.nickname) + "\x00" + u.id }

func (g *group) sortKey() string { return g.key + "\x00" + g.id }

// insertGroup adds the group to the indexes and forgets groups that nobody can see any more.
func (d *directory) insertGroup(g *group) {
	d.groups = slices.DeleteFunc(d.groups, func(old *group) bool {
		gone := old.deleted != 0 && g.created-old.deleted > journalMemory
		if gone {
			delete(d.groupByID, old.id)
		}
		return gone
	})
	at, _ := slices.BinarySearchFunc(d.groups, g.sortKey(),
		func(old *group, key string) int { return strings.Compare(old.sortKey(), key) })
	d.groups = slices.Insert(d.groups, at, g)
	d.groupByID[g.id] = g
	d.byName[g.key] = g
}

// group returns a live group by ID, also in its ARI form.
func (d *directory) group(id string) *group {
	g := d.groupByID[strings.TrimPrefix(id, groupARI)]
	if g == nil || g.deleted != 0 {
		return nil
	}
	return g
}

const groupARI = "ari:cloud:identity::group/"

// person returns a user by account ID, e-mail address, or the part of the address before the @ sign.
func (d *directory) person(name string) *user {
	if u := d.userByID[name]; u != nil {
		return u
	}
	if u := d.byEmail[strings.ToLower(name)]; u != nil {
		return u
	}
	for _, domain := range d.domains {
		if u := d.byEmail[strings.ToLower(name)+"@"+domain.name]; u != nil {
			return u
		}
	}
	return nil
}

func (d *directory) resource(ari string) *resource {
	for _, r := range d.resources {
		if r.ari == ari {
			return r
		}
	}
	return nil
}

// claims reports whether the organization has claimed the address's domain.
func (d *directory) claims(email string) bool {
	_, name, _ := strings.Cut(strings.ToLower(email), "@")
	return slices.Contains(d.domains, domain{name, "verified"})
}

// The statuses in the words of the v2 API.

func (u *user) accountStatus() string {
	if u.inactive {
		return "inactive"
	}
	return "active"
}

// knows reports whether the view shows the account at all: a new one does not show yet, one that has left still does.
func (v view) knows(u *user) bool {
	past := u.member.past
	return len(past) == 0 || past[0].was || past[0].at <= v.until
}

func (v view) membershipStatus(u *user) string {
	switch {
	case !u.member.at(v.until):
		return "no_membership"
	case u.suspended.at(v.until):
		return "suspended"
	}
	return "active"
}

func (v view) status(u *user) string {
	if u.deleting {
		return "for_deletion"
	}
	if u.inactive {
		return "deactivated"
	}
	switch membership := v.membershipStatus(u); membership {
	case "no_membership":
		return "not_invited"
	default:
		return membership
	}
}
