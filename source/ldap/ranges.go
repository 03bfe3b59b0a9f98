package ldap

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
)

// attrVersion is what Active Directory changes with each change of an entry.
const attrVersion = "uSNChanged"

// valueRange is a part of an attribute's values: Active Directory answers member;range=0-1499 beside an empty member.
type valueRange struct {
	name  string
	first int
	last  int // -1: up to the last value
}

// parseRange reads the name of an attribute. Ranged is whether it is one of a range.
func parseRange(name string) (part valueRange, ranged, ok bool) {
	const mark = ";range="
	at := strings.Index(strings.ToLower(name), mark)
	if at < 0 {
		return valueRange{}, false, true
	}
	first, last, cut := strings.Cut(name[at+len(mark):], "-")
	from, err := strconv.Atoi(first)
	if !cut || err != nil || from < 0 {
		return valueRange{}, true, false
	}
	part = valueRange{name: name[:at], first: from, last: -1}
	if last != "*" {
		if part.last, err = strconv.Atoi(last); err != nil || part.last < from {
			return valueRange{}, true, false
		}
	}
	return part, true, true
}

// inFlight is how many requests about single entries wait for their answers at once.
const inFlight = 8

// completeAll gets the values that the server left out of entries' wanted attributes.
func (c *conn) completeAll(ctx context.Context, entries []*ldap.Entry, wanted func(attribute string) bool) error {
	var ranged []*ldap.Entry
	for _, entry := range entries {
		if slices.ContainsFunc(entry.Attributes, func(attribute *ldap.EntryAttribute) bool {
			_, is, _ := parseRange(attribute.Name)
			return is
		}) {
			ranged = append(ranged, entry)
		}
	}
	return each(len(ranged), inFlight, func(i int) error { return c.complete(ctx, ranged[i], wanted) })
}

// complete replaces each range of an entry's wanted attributes with all values, and drops the others.
func (c *conn) complete(ctx context.Context, entry *ldap.Entry, wanted func(attribute string) bool) error {
	var whole []*ldap.EntryAttribute
	for _, attribute := range entry.Attributes {
		part, ranged, ok := parseRange(attribute.Name)
		switch {
		case !ok:
			return c.fail(source.ErrMalformed, "%q has an attribute %.100q", entry.DN, attribute.Name)
		case !ranged:
			whole = append(whole, attribute)
			continue
		case !wanted(part.name):
			continue
		}
		values, err := c.restOf(ctx, entry, part, attribute.ByteValues)
		if err != nil {
			return err
		}
		whole = append(whole, &ldap.EntryAttribute{Name: part.name, ByteValues: values})
	}
	entry.Attributes = whole
	return nil
}

// restOf returns all values of an attribute of which the first part is known. Between two parts, values may move from
// one to another: an entry that has changed meanwhile is no evidence.
func (c *conn) restOf(ctx context.Context, entry *ldap.Entry, part valueRange, values [][]byte) ([][]byte, error) {
	version := entry.GetEqualFoldAttributeValue(attrVersion)
	for next := 0; ; {
		switch {
		case part.first != next, part.last >= 0 && part.last-part.first+1 != len(values)-next:
			return nil, c.fail(source.ErrMalformed, "%q: %d values of %s from %d on, said to be %d to %d", entry.DN,
				len(values)-next, part.name, next, part.first, part.last)
		case part.last < 0:
			return values, nil
		}
		next = part.last + 1
		found, more, seen, err := c.partOf(ctx, entry.DN, part.name, next)
		if err != nil {
			return nil, err
		}
		if version = orElse(version, seen); seen != version {
			return nil, c.fail(source.ErrIncomplete, "%q changed while it was read: read again", entry.DN)
		}
		part, values = found, append(values, more...)
	}
}

// partOf asks for the values from first on.
func (c *conn) partOf(
	ctx context.Context, dn, name string, first int,
) (part valueRange, values [][]byte, version string, err error) {
	asked := name + ";range=" + strconv.Itoa(first) + "-*"
	what := "reading " + asked + " of " + dn
	entry, err := c.entry(ctx, what, dn, []string{asked, attrVersion})
	if err != nil {
		return valueRange{}, nil, "", err
	}
	if entry == nil {
		return valueRange{}, nil, "", c.fail(source.ErrIncomplete, "%s: it is gone: read again", what)
	}
	for _, attribute := range entry.Attributes {
		part, ranged, ok := parseRange(attribute.Name)
		if ok && ranged && strings.EqualFold(part.name, name) {
			return part, attribute.ByteValues, entry.GetEqualFoldAttributeValue(attrVersion), nil
		}
	}
	return valueRange{}, nil, "", c.fail(source.ErrIncomplete, "%s: the server has no more, though it said so", what)
}

// entry reads one entry by DN. Nil: the server says that there is none.
func (c *conn) entry(ctx context.Context, what, dn string, attributes []string) (*ldap.Entry, error) {
	request := ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, anyEntry,
		attributes, nil)
	result, err := c.searchOrCode(ctx, what, request)
	switch {
	case hasCode(err, ldap.LDAPResultNoSuchObject) && ctx.Err() == nil:
		return nil, nil
	case err != nil:
		return nil, c.explain(ctx, what, err)
	case len(result.Referrals) > 0:
		return nil, c.fail(source.ErrIncomplete, "%s: another server holds it, %.300q", what, result.Referrals[0])
	case len(result.Entries) == 0:
		return nil, c.fail(source.ErrForbidden, "%s: the account may not see it", what)
	case len(result.Entries) > 1:
		return nil, c.fail(source.ErrMalformed, "%s: several entries in place of one", what)
	}
	return result.Entries[0], nil
}

const anyEntry = "(objectClass=*)"

// each calls do for 0 to n-1, a limited number at once, until one fails.
func each(n, limit int, do func(i int) error) error {
	var (
		wait  sync.WaitGroup
		next  atomic.Int64
		once  sync.Once
		first error
	)
	for range min(n, limit) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wait.Wait()
	return first
}
