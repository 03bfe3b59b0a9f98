package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/globs"
	"github.com/castellan-io/castellan/source/internal/reading"
)

// Reader reads one directory. It opens a connection for each call.
type Reader struct {
	o     Options
	at    address
	names globs.Globs // of groups

	decided sync.Map // by the name of an attribute: whether it is wanted
}

var _ source.Source = (*Reader)(nil)

// New returns a *Reader; with Active Directory, also a source.Watcher. Nothing is asked of the server yet.
func New(options Options) (source.Source, error) {
	o, at, err := options.checked()
	if err != nil {
		return nil, err
	}
	names, err := globs.Compile(o.Groups.Names)
	if err != nil {
		return nil, fmt.Errorf("ldap: %w", err)
	}
	r := &Reader{o: o, at: at, names: names}
	if o.ActiveDirectory {
		return watching{r}, nil
	}
	return r, nil
}

// Read implements source.Source. People come before groups.
func (r *Reader) Read(ctx context.Context, page func(source.Page) error) (source.Proof, error) {
	c, err := r.connect(ctx)
	if err != nil {
		return source.Proof{}, err
	}
	defer c.close()
	shown := reading.New(func(p source.Page) error {
		if ctx.Err() != nil {
			return c.explain(ctx, "reading", ctx.Err())
		}
		return page(p)
	})
	known := newKnown()
	err = r.readPeople(ctx, c, known, shown)
	if err == nil && shown.People() == 0 {
		err = c.fail(source.ErrIncomplete, "there is nobody at all under %s: see whether the account may see them, and "+
			"whether the filter is right", r.o.People.Base)
	}
	if err == nil && !r.o.Groups.Skip {
		err = r.readGroups(ctx, c, known, shown)
	}
	if err != nil {
		return source.Proof{}, err
	}
	proof, err := shown.Finish(r.as(c), "", nil)
	if err == nil && ctx.Err() != nil {
		err = c.explain(ctx, "reading", ctx.Err())
	}
	if err != nil {
		return source.Proof{}, err
	}
	return proof, nil
}

// as returns the digest of where, as whom and what is read.
func (r *Reader) as(c *conn) string {
	parts := []string{"ldap 1", r.at.String(), r.o.BindDN, c.whoami}
	for _, part := range []any{r.o.Base, r.o.Elsewhere, r.o.Key, r.o.People, r.o.Groups, r.o.Enabled} {
		parts = append(parts, fmt.Sprintf("%#v", part))
	}
	return reading.As(parts...)
}

// Lookup implements source.Source. It finds people anywhere under Base. ErrGone means that a search of all of it was
// complete and found nobody; if Active Directory shows us what it deleted, the error says so.
func (r *Reader) Lookup(ctx context.Context, key string) (source.Identity, error) {
	filter, err := r.keyFilter(key)
	if err != nil {
		return source.Identity{}, err
	}
	c, err := r.connect(ctx)
	if err != nil {
		return source.Identity{}, err
	}
	defer c.close()
	what := "looking up " + key
	entries, err := r.find(ctx, c, what, filter, r.personAttributes())
	if err != nil {
		return source.Identity{}, err
	}
	switch len(entries) {
	case 0:
		return source.Identity{}, r.gone(ctx, c, what, filter)
	case 1:
	default:
		return source.Identity{}, c.fail(source.ErrMalformed, "%s: %q and %q share the key", what, entries[0].DN,
			entries[1].DN)
	}
	person, err := r.identity(c, entries[0])
	if err == nil && !strings.EqualFold(person.Key, key) {
		err = c.fail(source.ErrMalformed, "%s: the server shows somebody else, %q", what, person.Key)
	}
	if err != nil {
		return source.Identity{}, err
	}
	return person, nil
}

// Outside implements source.Limited: the server shows the person in a place where people are not read, or as somebody
// whom their filter does not match.
func (r *Reader) Outside(ctx context.Context, key string) (bool, error) {
	filter, err := r.keyFilter(key)
	if err != nil {
		return false, err
	}
	c, err := r.connect(ctx)
	if err != nil {
		return false, err
	}
	defer c.close()
	what := "asking whether " + key + " is outside of what is read"
	for _, one := range []struct {
		filter string
		tells  func(dn string) bool
	}{
		{filter, func(dn string) bool { return !isUnder(dn, r.o.People.Base) }},
		{"(&" + filter + "(!" + r.o.People.Filter + "))", func(string) bool { return true }},
	} {
		found, err := r.find(ctx, c, what, one.filter, []string{r.o.Key})
		if err != nil {
			return false, err
		}
		if len(found) != 1 {
			return false, nil
		}
		if _, err := ldap.ParseDN(normalize(found[0].DN)); err != nil {
			return false, c.fail(source.ErrMalformed, "%s: %q is not a DN", what, found[0].DN)
		}
		if one.tells(found[0].DN) {
			return true, nil
		}
	}
	return false, nil
}

// find returns the few entries under Base that match a filter.
func (r *Reader) find(
	ctx context.Context, c *conn, what, filter string, attributes []string, controls ...ldap.Control,
) ([]*ldap.Entry, error) {
	request := ldap.NewSearchRequest(r.o.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter,
		attributes, controls)
	result, err := c.search(ctx, what, request)
	if err != nil {
		return nil, err
	}
	if len(result.Entries) == 0 {
		err = r.checkReferences(c, what, result.Referrals)
	}
	if err == nil {
		err = c.completeAll(ctx, result.Entries, r.wanted)
	}
	return result.Entries, err
}

// gone returns the error for somebody whom a complete search did not find.
func (r *Reader) gone(ctx context.Context, c *conn, what, filter string) error {
	if !r.o.ActiveDirectory {
		return c.fail(source.ErrGone, "%s: nothing under %s has this key", what, r.o.Base)
	}
	attributes := []string{r.o.Key, "isDeleted"}
	entries, err := r.find(ctx, c, what, filter, attributes, ldap.NewControlMicrosoftShowDeleted())
	switch {
	case err != nil && ctx.Err() != nil, errors.Is(err, source.ErrUnavailable), errors.Is(err, source.ErrMalformed):
		return err
	case err != nil || len(entries) == 0:
		return c.fail(source.ErrGone, "%s: nothing under %s has this key, nor is it among the deleted that the "+
			"account may see", what, r.o.Base)
	}
	for _, entry := range entries {
		if values := valuesOf(entry, "isDeleted"); len(values) != 1 || !strings.EqualFold(string(values[0]), "TRUE") {
			return c.fail(source.ErrUnavailable, "%s: first there was nobody, then %q", what, entry.DN)
		}
	}
	return c.fail(source.ErrGone, "%s: it was deleted", what)
}
