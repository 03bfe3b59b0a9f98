package cloud

import (
	"cmp"
	"slices"
	"strings"
)

// scimUser is an identity provider's record of a person: what it is now, and what it was while reads may lag.
type scimUser struct {
	id      string
	dir     *scimDirectory
	created instant
	deleted instant // 0: it is there
	writes  int     // changes of it by whomever, its creation not among them
	scimRecord
	past []scimRecord
}

// scimRecord is the contents of a record.
type scimRecord struct {
	userName string
	account  *user        // nil once its link is lost
	profile  *scimProfile // nil for seeded people: it follows from the account, but for the address
	inactive bool
	modified instant
	until    instant // of a past one: when it was changed
}

// keep remembers what the record is before it changes, or before its account does without it.
func (u *scimUser) keep(now instant) {
	if u.profile == nil {
		p := u.current()
		u.profile = &p
	}
	u.past = slices.DeleteFunc(u.past, func(old scimRecord) bool { return now-old.until > journalMemory })
	old := u.scimRecord
	old.until = now
	u.past = append(u.past, old)
}

// at returns the record as a read of that time shows it, nil if it does not.
func (u *scimUser) at(until instant) *scimRecord {
	if u.created > until || u.deleted != 0 && u.deleted <= until {
		return nil
	}
	for i := range u.past {
		if u.past[i].until > until {
			return &u.past[i]
		}
	}
	return &u.scimRecord
}

// recordIn returns the account's record in a SCIM directory, nil if it has none there.
func (u *user) recordIn(d *scimDirectory) *scimUser {
	for _, record := range u.records {
		if record.dir == d {
			return record
		}
	}
	return nil
}

// synced reports whether any SCIM directory has a record that is linked to the account. As long as one has, it alone
// changes what it provisions, and whether the account is active.
func (u *user) synced() bool { return len(u.records) > 0 }

func (u *scimUser) link(a *user) {
	u.account = a
	a.records = append(a.records, u)
}

// unlink separates record and account. Both stay; the account leaves the directory's groups.
func (c *Cloud) unlink(u *scimUser) {
	a := u.account
	if a == nil {
		return
	}
	for _, g := range slices.Clone(a.groups) {
		if g.scim != nil && g.scim.dir == u.dir {
			c.removeMember(g, a, scimActor)
		}
	}
	u.keep(c.now())
	a.records = slices.DeleteFunc(a.records, func(other *scimUser) bool { return other == u })
	u.account = nil
}

// forget deletes a record for ever.
func (c *Cloud) forget(u *scimUser) {
	d := u.dir
	c.unlink(u)
	u.deleted = c.now()
	delete(d.byID, u.id)
	delete(d.byUserName, strings.ToLower(u.userName))
	d.users = slices.DeleteFunc(d.users, func(other *scimUser) bool { return other == u })
	d.gone = slices.DeleteFunc(d.gone, func(old *scimUser) bool { return u.deleted-old.deleted > journalMemory })
	d.gone = append(d.gone, u)
}

// visible returns the directory's records that a read of that time shows, in the order of their creation.
func (d *scimDirectory) visible(until, now instant) []*scimUser {
	if until >= now {
		return d.users
	}
	all := slices.Concat(d.users, d.gone)
	all = slices.DeleteFunc(all, func(u *scimUser) bool { return u.at(until) == nil })
	slices.SortStableFunc(all, func(a, b *scimUser) int { return cmp.Compare(a.created, b.created) })
	return all
}
