package ldap

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

const (
	attrObjectClass  = "objectClass"
	attrPrimaryGroup = "primaryGroupID"    // of a person: the group that does not list them as a member
	attrPrimaryToken = "primaryGroupToken" // of a group: by which people name it

	tokensAtOnce  = 50  // in one filter
	membersAtOnce = 500 // whose entries are held
)

// groupClasses are the object classes of groups, noPeople those of what may be a member and is no person. Lower case.
var (
	groupClasses = []string{"group", "groupofnames", "groupofuniquenames", "groupofmembers", "groupofentries",
		"groupofurls", "posixgroup", "ipausergroup"}
	noPeople = []string{"computer", "msds-managedserviceaccount", "msds-groupmanagedserviceaccount", "device",
		"foreignsecurityprincipal", "organizationalrole", "applicationprocess", "organizationalunit", "organization",
		"domain", "container", "ipahost", "ipaservice"}
)

// readGroups shows every group in scope with its members.
func (r *Reader) readGroups(ctx context.Context, c *conn, known *known, shown *reading.Reading) error {
	q := query{
		what: "reading groups under " + r.o.Groups.Base, base: r.o.Groups.Base, filter: r.groupFilter(),
		attributes: r.groupAttributes(), page: max(r.o.PageSize/5, 1), wanted: r.isMember,
	}
	err := r.pages(ctx, c, q, func(entries []*ldap.Entry) error {
		for _, entry := range entries {
			if err := r.addInScope(c, known, entry); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = r.resolve(ctx, c, known)
	}
	if err == nil {
		err = r.addPrimary(ctx, c, known)
	}
	if err != nil {
		return err
	}
	for index, g := range known.groups {
		if !g.inScope {
			continue
		}
		members, err := r.membersOf(c, known, int32(index))
		if err != nil {
			return err
		}
		if err := shown.Group(source.Group{Key: g.key, Name: g.name, Members: members}); err != nil {
			return err
		}
	}
	if r.o.Groups.Nested {
		shown.Nested(len(known.groups), func(g int32) string { return known.groups[g].name },
			func(g int32) []int32 { return known.groups[g].groups })
	}
	return nil
}

// groupFilter finds the groups that the names may match, and perhaps a few more.
func (r *Reader) groupFilter() string {
	if len(r.o.Groups.Names) == 0 {
		return r.o.Groups.Filter
	}
	var names strings.Builder
	for _, name := range r.o.Groups.Names {
		pattern := ldap.EscapeFilter(strings.Map(func(r rune) rune {
			if r == '?' || r == '*' || r > unicode.MaxASCII {
				return '*'
			}
			return r
		}, name))
		names.WriteString("(" + r.o.Groups.Name + "=" + stars.ReplaceAllString(pattern, "*") + ")")
	}
	return "(&" + r.o.Groups.Filter + "(|" + names.String() + "))"
}

var stars = regexp.MustCompile(`(\\2a)+`) // as they are escaped

func (r *Reader) groupAttributes() []string {
	asked := append([]string{attrObjectClass, r.o.Key, r.o.Groups.Name}, r.o.Groups.Member...)
	if r.o.ActiveDirectory {
		asked = append(asked, attrPrimaryToken, attrVersion)
	}
	return distinct(asked)
}

func (r *Reader) isMember(attribute string) bool {
	return slices.ContainsFunc(r.o.Groups.Member, func(name string) bool { return strings.EqualFold(name, attribute) })
}

// addInScope notes a group in scope, if its name is one of those wanted.
func (r *Reader) addInScope(c *conn, known *known, entry *ldap.Entry) error {
	key, missing, err := r.keyOf(entry)
	if missing {
		return c.fail(source.ErrForbidden, "the group %q has no %s that the account may read", entry.DN, r.o.Key)
	}
	if err != nil {
		return c.fail(source.ErrMalformed, "the group %q: %v", entry.DN, err)
	}
	name, named := r.nameOf(entry)
	if !named {
		return c.fail(source.ErrForbidden, "the group %q has no %s that the account may read", entry.DN,
			r.o.Groups.Name)
	}
	if !r.names.Match(name) {
		return nil
	}
	if len(known.groups) == source.MaxGroups {
		return c.fail(source.ErrMalformed, "more than %d groups: narrow the filter", source.MaxGroups)
	}
	r.addGroup(known, entry, &group{key: key, name: name, inScope: true})
	return nil
}

// nameOf returns what a group is called: of several names, the one in its DN.
func (r *Reader) nameOf(entry *ldap.Entry) (name string, named bool) {
	var names []string
	for _, value := range valuesOf(entry, r.o.Groups.Name) {
		names = append(names, string(value))
	}
	if len(names) == 0 {
		return "", false
	}
	if first := firstValue(entry.DN, r.o.Groups.Name); slices.Contains(names, first) {
		return first, true
	}
	return slices.Min(names), true
}

// addGroup notes a group and, if they count, its direct members.
func (r *Reader) addGroup(known *known, entry *ldap.Entry, g *group) reference {
	is := reference{kind: isGroup, index: int32(len(known.groups))}
	known.note(entry.DN, is)
	known.groups = append(known.groups, g)
	if !g.inScope && !r.o.Groups.Nested {
		return is
	}
	if token := valuesOf(entry, attrPrimaryToken); len(token) == 1 {
		g.token = string(token[0])
	}
	for _, attribute := range r.o.Groups.Member {
		for _, value := range valuesOf(entry, attribute) {
			if dn := memberDN(string(value)); dn != "" && !r.isElsewhere(dn) {
				known.addMember(g, dn)
			}
		}
	}
	return is
}

// resolve asks for the members who are not known, level by level, until all are.
func (r *Reader) resolve(ctx context.Context, c *conn, known *known) error {
	asked := map[string]reference{} // by DN as it was written
	for from, level := 0, 0; from < len(known.groups); level++ {
		groups := known.groups[from:]
		from = len(known.groups)
		if level > maxDepth {
			return c.fail(source.ErrInvalid, "groups are nested more than %d deep", maxDepth)
		}
		// What was not known when a group was read may be known now.
		var unknown []string
		for _, g := range groups {
			pending := g.pending
			g.pending = nil
			for _, dn := range pending {
				known.addMember(g, dn)
			}
			for _, dn := range g.pending {
				if _, ok := asked[dn]; !ok {
					asked[dn] = reference{}
					unknown = append(unknown, dn)
				}
			}
		}
		if err := r.ask(ctx, c, known, unknown, asked); err != nil {
			return err
		}
		for _, g := range groups {
			for _, dn := range g.pending {
				switch is := asked[dn]; is.kind {
				case isPerson:
					g.people = append(g.people, is.index)
				case isGroup:
					g.groups = append(g.groups, is.index)
				}
			}
			g.pending = nil
		}
	}
	return nil
}

// ask reads entries by DN, and notes what they are. The server says which entry a DN stands for.
func (r *Reader) ask(
	ctx context.Context, c *conn, known *known, dns []string, answers map[string]reference,
) error {
	for chunk := range slices.Chunk(dns, membersAtOnce) {
		entries := make([]*ldap.Entry, len(chunk))
		err := each(len(chunk), inFlight, func(i int) error {
			entry, err := c.entry(ctx, "reading the member "+chunk[i], chunk[i], r.groupAttributes())
			if err == nil && entry != nil {
				err = c.completeAll(ctx, []*ldap.Entry{entry}, r.isMember)
			}
			entries[i] = entry
			return err
		})
		if err != nil {
			return err
		}
		for i, entry := range entries {
			is, err := r.classify(c, known, entry)
			if err != nil {
				return err
			}
			answers[chunk[i]] = is
		}
	}
	return nil
}

// classify notes an entry that is a member of a group and not in scope.
func (r *Reader) classify(c *conn, known *known, entry *ldap.Entry) (reference, error) {
	if entry == nil {
		return reference{kind: isNobody}, nil
	}
	if is, ok := known.byDN[normalize(entry.DN)]; ok && is.kind != isAmbiguous {
		return is, nil
	}
	switch classOf(entry) {
	case isGroup:
		name, named := r.nameOf(entry)
		if !named {
			name = entry.DN // only people see it
		}
		return r.addGroup(known, entry, &group{name: name}), nil
	case isNobody:
		is := reference{kind: isNobody}
		known.note(entry.DN, is)
		return is, nil
	}
	key, missing, err := r.keyOf(entry)
	if missing {
		return reference{}, c.fail(source.ErrForbidden, "the member %q has no %s that the account may read", entry.DN,
			r.o.Key)
	}
	if err != nil {
		return reference{}, c.fail(source.ErrMalformed, "the member %q: %v", entry.DN, err)
	}
	return known.addPerson(entry.DN, key), nil
}

// classOf returns what an entry is. What is not known to be anything else is taken for a person.
func classOf(entry *ldap.Entry) referenceKind {
	kind := isPerson
	for _, value := range valuesOf(entry, attrObjectClass) {
		switch class := strings.ToLower(string(value)); {
		case slices.Contains(groupClasses, class):
			return isGroup
		case slices.Contains(noPeople, class):
			kind = isNobody
		}
	}
	return kind
}

// addPrimary adds to Active Directory's groups those whose primary group they are: it does not list them as members.
// Those in scope are known already.
func (r *Reader) addPrimary(ctx context.Context, c *conn, known *known) error {
	byToken := map[string]*group{}
	var tokens []string
	for _, g := range known.groups {
		if g.token != "" && byToken[g.token] == nil {
			byToken[g.token] = g
			tokens = append(tokens, g.token)
			g.people = append(g.people, known.primary[g.token]...)
		}
	}
	others := "(objectCategory=person)(objectClass=user)"
	if normalize(r.o.People.Base) == normalize(r.o.Base) {
		others += "(!" + r.o.People.Filter + ")"
	}
	for some := range slices.Chunk(tokens, tokensAtOnce) {
		var filter strings.Builder
		for _, token := range some {
			filter.WriteString("(" + attrPrimaryGroup + "=" + ldap.EscapeFilter(token) + ")")
		}
		q := query{
			what: "reading primary groups under " + r.o.Base, base: r.o.Base, page: r.o.PageSize,
			filter:     "(&" + others + "(|" + filter.String() + "))",
			attributes: distinct([]string{r.o.Key, attrPrimaryGroup}), wanted: r.isMember,
		}
		err := r.pages(ctx, c, q, func(entries []*ldap.Entry) error {
			for _, entry := range entries {
				if err := r.addToPrimary(c, known, entry, byToken); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) addToPrimary(c *conn, known *known, entry *ldap.Entry, byToken map[string]*group) error {
	key, missing, err := r.keyOf(entry)
	if missing || err != nil {
		return c.fail(source.ErrMalformed, "%q has no %s that can be used: %v", entry.DN, r.o.Key, err)
	}
	token := valuesOf(entry, attrPrimaryGroup)
	if len(token) != 1 || byToken[string(token[0])] == nil {
		return c.fail(source.ErrIncomplete, "the primary group of %q changed while it was read: read again", entry.DN)
	}
	g := byToken[string(token[0])]
	g.people = append(g.people, known.addPerson(entry.DN, key).index)
	return nil
}

// membersOf returns the keys of a group's members, some perhaps twice.
func (r *Reader) membersOf(c *conn, known *known, index int32) ([]string, error) {
	members := []string{}
	visited := map[int32]bool{index: true}
	for level, depth := []int32{index}, 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return nil, c.fail(source.ErrInvalid, "groups in %q are nested more than %d deep", known.groups[index].name,
				maxDepth)
		}
		var below []int32
		for _, at := range level {
			for _, person := range known.groups[at].people {
				members = append(members, known.keys[person])
			}
			for _, inner := range known.groups[at].groups {
				if r.o.Groups.Nested && !visited[inner] {
					visited[inner] = true
					below = append(below, inner)
				}
			}
		}
		level = below
	}
	return members, nil
}
