package ldap

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

// secrets are attributes that prove who somebody is, or could be used to find that out. Lower case; a star stands for
// any ending.
var secrets = []string{
	"userpassword", "authpassword", "unicodepwd", "dbcspwd", "lmpwdhistory", "ntpwdhistory", "supplementalcredentials",
	"sambantpassword", "sambalmpassword", "sambapasswordhistory", "pwdhistory", "passwordhistory", "krb*",
	"ipanthash", "ipatoken*", "goauthsecret", "oathsecret*", "sshprivatekey", "userpkcs12", "pgpkeysecret*",
	"ms-mcs-admpwd", "mslaps-*", "msds-managedpassword*", "msds-keycredentiallink", "unixuserpassword",
	"msfve-*", "mspki-accountcredentials", "mspkiaccountcredentials", "mspkidpapimasterkeys",
	"clearpassword", "nspassword*", "currentvalue", "priorvalue", "initialauth*", "trustauth*", "pwdreset",
	"passwordresettoken", "radius*secret", "radiuspassword",
}

// omitted are attributes that are read by name only: links back to other entries, which may be very long; what changes
// with each login, so that people would look changed; and what is binary, though it may look like text by chance.
var omitted = []string{
	"memberof", "directreports", "managedobjects", "ismemberof", "nsrole*", "msds-*bl", "msexch*bl",
	"serverreferencebl",
	"usnchanged", "usncreated", "whenchanged", "modifytimestamp", "lastlogon", "lastlogontimestamp", "lastlogoff",
	"logoncount", "badpwdcount", "badpasswordtime", "lockouttime", "dscorepropagationdata", "authtimestamp",
	"objectguid", "objectsid", "sidhistory", "ms-ds-consistencyguid", "logonhours", "userparameters", "jpegphoto",
	"thumbnailphoto", "thumbnaillogo", "photo", "audio", "usercertificate*", "usersmimecertificate*", "cacertificate*",
	"ntsecuritydescriptor", "replpropertymetadata", "msexchmailboxguid", "msexcharchiveguid",
	"msexchmailboxsecuritydescriptor", "msexchsafe*hash", "msexchblockedsendershash", "tokengroups*",
}

func isSecret(name string) bool { return matches(secrets, name) }

func matches(patterns []string, name string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), ";")
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		before, after, star := strings.Cut(pattern, "*")
		if !star {
			return name == pattern
		}
		return len(name) >= len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
	})
}

// personAttributes is what is asked for of each person.
func (r *Reader) personAttributes() []string {
	asked := []string{"*"}
	if len(r.o.People.Attributes) > 0 {
		asked = slices.Clone(r.o.People.Attributes)
	}
	asked = append(asked, r.o.Key) // by name, since it may be operational
	if r.o.Enabled.Attribute != "" {
		asked = append(asked, r.o.Enabled.Attribute)
	}
	if r.o.ActiveDirectory {
		asked = append(asked, attrPrimaryGroup, attrVersion)
	}
	return distinct(asked)
}

// distinct returns names, each once in any case.
func distinct(names []string) []string {
	var once []string
	for _, name := range names {
		if !slices.ContainsFunc(once, func(known string) bool { return strings.EqualFold(known, name) }) {
			once = append(once, name)
		}
	}
	return once
}

// readPeople shows everybody in scope, and notes their DNs.
func (r *Reader) readPeople(ctx context.Context, c *conn, known *known, shown *reading.Reading) error {
	q := query{
		what: "reading people under " + r.o.People.Base, base: r.o.People.Base, filter: r.o.People.Filter,
		attributes: r.personAttributes(), page: r.o.PageSize, wanted: r.wanted,
	}
	return r.pages(ctx, c, q, func(entries []*ldap.Entry) error {
		for _, entry := range entries {
			person, err := r.identity(c, entry)
			if err != nil {
				return err
			}
			if shown.Seen(person.Key) {
				return c.fail(source.ErrMalformed, "%q has the key %q of somebody else; if it was moved, read again",
					entry.DN, person.Key)
			}
			if err := shown.Person(person); err != nil {
				return err
			}
			known.addPerson(entry.DN, person.Key)
			if token := valuesOf(entry, attrPrimaryGroup); r.o.ActiveDirectory && len(token) == 1 {
				in := string(token[0])
				known.primary[in] = append(known.primary[in], known.byKey[person.Key])
			}
		}
		return nil
	})
}

// identity returns an entry as a person.
func (r *Reader) identity(c *conn, entry *ldap.Entry) (source.Identity, error) {
	key, missing, err := r.keyOf(entry)
	if missing {
		return source.Identity{}, c.fail(source.ErrForbidden,
			"%q has no %s that the account may read: without a key nobody can be told apart", entry.DN, r.o.Key)
	}
	if err != nil {
		return source.Identity{}, c.fail(source.ErrMalformed, "%q: %v", entry.DN, err)
	}
	enabled, err := r.o.Enabled.of(entry)
	if err != nil {
		return source.Identity{}, c.fail(source.ErrMalformed, "%q: %v", entry.DN, err)
	}
	person := source.Identity{Key: key, Enabled: enabled}
	if person.Attributes, err = r.attributes(entry); err != nil {
		return source.Identity{}, c.fail(source.ErrMalformed, "%q: %v", entry.DN, err)
	}
	if err := reading.Person(person); err != nil {
		return source.Identity{}, fmt.Errorf("ldap %s: %q: %w", c.at, entry.DN, err)
	}
	return person, nil
}

// attributes returns what is said of a person: one value as text, several as a sorted list.
func (r *Reader) attributes(entry *ldap.Entry) (map[string]any, error) {
	attributes := map[string]any{}
	for _, attribute := range entry.Attributes {
		if !r.wanted(attribute.Name) {
			continue
		}
		values, text := textValues(attribute)
		if !text || len(values) == 0 {
			continue
		}
		if attributes[attribute.Name] != nil {
			return nil, fmt.Errorf("it has %s twice", attribute.Name)
		}
		var value any = values[0]
		if len(values) > 1 {
			list := make([]any, len(values))
			for i, each := range values {
				list[i] = each
			}
			value = list
		}
		attributes[attribute.Name] = value
	}
	if len(attributes) == 0 {
		return nil, nil
	}
	return attributes, nil
}

// wanted reports whether an attribute is one to be shown.
func (r *Reader) wanted(name string) bool {
	if known, ok := r.decided.Load(name); ok {
		return known.(bool)
	}
	wanted := !isSecret(name) && r.isAskedFor(name)
	r.decided.Store(name, wanted)
	return wanted
}

func (r *Reader) isAskedFor(name string) bool {
	if len(r.o.People.Attributes) == 0 {
		return !matches(omitted, name)
	}
	return slices.ContainsFunc(r.o.People.Attributes, func(asked string) bool {
		return strings.EqualFold(asked, name) || len(name) > len(asked) && name[len(asked)] == ';' &&
			strings.EqualFold(asked, name[:len(asked)])
	})
}

// textValues returns an attribute's values in order. Text is false if one of them is binary.
func textValues(attribute *ldap.EntryAttribute) (values []string, text bool) {
	if isGUID(attribute.Name) {
		for _, value := range attribute.ByteValues {
			guid, err := guidText(value)
			if err != nil {
				return nil, false
			}
			values = append(values, guid)
		}
		slices.Sort(values)
		return values, true
	}
	for _, value := range attribute.ByteValues {
		text := string(value)
		if !utf8.ValidString(text) || strings.ContainsFunc(text, isBinary) {
			return nil, false
		}
		values = append(values, text)
	}
	slices.Sort(values)
	return values, true
}

func isBinary(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
}

// of returns whether an entry's account is enabled. Nil: it is not said.
func (e Enabled) of(entry *ldap.Entry) (*bool, error) {
	if e.Attribute == "" {
		return nil, nil
	}
	values := valuesOf(entry, e.Attribute)
	enabled := true
	if e.Bits != 0 {
		if len(values) != 1 {
			return nil, fmt.Errorf("it has %d values of %s, which says whether it is enabled: may the account read it?",
				len(values), e.Attribute)
		}
		number, err := strconv.ParseInt(string(values[0]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("its %s is %.50q, not a number", e.Attribute, values[0])
		}
		enabled = number&e.Bits == 0
		return &enabled, nil
	}
	for _, value := range values {
		is := func(each string) bool { return strings.EqualFold(each, string(value)) }
		switch {
		case slices.ContainsFunc(e.Disabled, is):
			enabled = false
		case len(e.Enabled) > 0 && !slices.ContainsFunc(e.Enabled, is):
			return nil, fmt.Errorf("its %s is %.50q, which means neither enabled nor disabled", e.Attribute, value)
		}
	}
	return &enabled, nil
}
