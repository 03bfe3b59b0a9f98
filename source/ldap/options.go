package ldap

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
)

// Options describes a directory, and what is read of it. Only URL, Base and, outside of Active Directory, perhaps
// filters have to be given.
type Options struct {
	// URL is the server: ldaps://host, or ldap://host with StartTLS. Default ports: 636 and 389. The server's
	// certificate must be for this host. A global catalog is ldaps://host:3269; of another domain's groups, it knows
	// the members of universal ones alone.
	URL string
	// StartTLS turns a connection by ldap:// into one with TLS before anything else is sent.
	StartTLS bool
	// Plaintext allows ldap:// without TLS to other hosts than this machine. The password can then be read on the way.
	Plaintext bool
	// RootCAs are the authorities for the server's certificate. Nil: those of the system.
	RootCAs *x509.CertPool
	// Dial replaces how a connection is made. Nil: by a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// BindDN is the account to read as: a DN or, with Active Directory, also user@domain. Empty: anonymous.
	BindDN string
	// Password returns the account's password. It is asked for each connection, and sent to URL's host only.
	Password func(context.Context) (string, error)

	// Timeout bounds the wait for one answer, such as a page. Default 60 s, at most 10 min.
	Timeout time.Duration
	// PageSize is how many entries are asked for at once. Default 500, at most 10,000; Active Directory gives no more
	// than 1,000. Of groups a fifth as many are asked for, since they come with their members.
	PageSize int

	// ActiveDirectory sets the defaults for Active Directory and Samba, reads primary groups, and has Lookup say
	// whether somebody was deleted.
	ActiveDirectory bool
	// Base is the DN under which everything is: people are looked up by their keys in all of it. Wider than the base
	// of people, since somebody who was moved elsewhere is not gone.
	Base string
	// Elsewhere lists DNs under Base that other servers hold, such as those of child domains, and that are not wanted.
	// Other references to other servers are errors, since people may be there. None is followed.
	Elsewhere []string
	// Key is the attribute that identifies people and groups for ever. Default entryUUID; with Active Directory
	// objectGUID. objectGUID and mS-DS-ConsistencyGuid are written as GUIDs, any other is taken as it is.
	Key string

	People  People
	Groups  Groups
	Enabled Enabled
}

// People says who is in scope.
type People struct {
	// Base is the DN under which people are. Default: that of the directory.
	Base string
	// Filter selects people. Default (objectClass=inetOrgPerson); with Active Directory
	// (&(objectCategory=person)(objectClass=user)).
	Filter string
	// Attributes names what is read of each. Default: all that is not operational, without what links back
	// (memberOf, directReports), which may be very long, or changes with each login. Passwords are never read, nor
	// what is not text.
	Attributes []string
}

// Groups says which groups are in scope.
type Groups struct {
	// Skip leaves out groups.
	Skip bool
	// Base is the DN under which groups are. Default: that of the directory.
	Base string
	// Filter selects groups. Default (|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)); with Active
	// Directory (objectCategory=group).
	Filter string
	// Names are globs, of which one must match a group's name. Default: any name.
	Names []string
	// Name is the attribute by which people call a group. Default cn.
	Name string
	// Member are the attributes that hold members' DNs. Default member and uniqueMember; with Active Directory member.
	Member []string
	// Nested counts the members of groups in a group, at any depth up to 64, among its members. Groups in between need
	// not be in scope. Otherwise groups in a group are left out.
	Nested bool
}

// Enabled says how it is known whether an account is enabled. Default: it is not said; with Active Directory, the bit 2
// of userAccountControl.
//
//   - 389 Directory Server, FreeIPA: nsAccountLock, disabled by TRUE.
//   - OpenLDAP with ppolicy: pwdAccountLockedTime, disabled by 000001010000Z alone. Any other value is a lock after
//     wrong passwords, which passes.
//   - Accounts of Unix: loginShell, disabled by /usr/sbin/nologin and /bin/false. Dates such as shadowExpire cannot be
//     used.
type Enabled struct {
	// Attribute holds the state. Somebody without it is enabled, or with Bits an error.
	Attribute string
	// Bits: the attribute is a number, and any of these bits in it means disabled.
	Bits int64
	// Disabled are the values that mean disabled, in any case.
	Disabled []string
	// Enabled are the values that mean enabled, in any case; one that is in neither list is an error. Empty: all
	// others.
	Enabled []string
}

const (
	defaultTimeout = time.Minute
	maxTimeout     = 10 * time.Minute
	defaultPage    = 500
	maxPage        = 10000
	maxDepth       = 64 // of groups in groups

	accountDisabled = 2 // in userAccountControl
)

// checked returns the options with their defaults, and the address of the server.
func (o Options) checked() (Options, address, error) {
	at, err := o.address()
	if err != nil {
		return Options{}, address{}, err
	}
	o.setDefaults()
	switch {
	case o.Base == "":
		return Options{}, address{}, invalid("Base is missing: give the DN under which everything is")
	case o.Timeout < 0 || o.Timeout > maxTimeout:
		return Options{}, address{}, invalid("Timeout is %s: it must be at most %s", o.Timeout, maxTimeout)
	case o.PageSize < 1 || o.PageSize > maxPage:
		return Options{}, address{}, invalid("PageSize is %d: it must be from 1 to %d", o.PageSize, maxPage)
	case (o.BindDN == "") != (o.Password == nil):
		return Options{}, address{}, invalid("BindDN and Password must be given together")
	case o.Enabled.Attribute == "" && (o.Enabled.Bits != 0 || o.Enabled.Disabled != nil || o.Enabled.Enabled != nil):
		return Options{}, address{}, invalid("Enabled needs an Attribute")
	case o.Enabled.Attribute != "" && (o.Enabled.Bits != 0) == (len(o.Enabled.Disabled) > 0):
		return Options{}, address{}, invalid("Enabled needs either Bits or the values that mean Disabled")
	}
	return o, at, o.checkNames()
}

func (o *Options) setDefaults() {
	o.Timeout = orElse(o.Timeout, defaultTimeout)
	o.PageSize = orElse(o.PageSize, defaultPage)
	o.People.Base = orElse(o.People.Base, o.Base)
	o.Groups.Base = orElse(o.Groups.Base, o.Base)
	o.Groups.Name = orElse(o.Groups.Name, "cn")
	if o.ActiveDirectory {
		o.Key = orElse(o.Key, attrObjectGUID)
		o.People.Filter = orElse(o.People.Filter, "(&(objectCategory=person)(objectClass=user))")
		o.Groups.Filter = orElse(o.Groups.Filter, "(objectCategory=group)")
		if o.Groups.Member == nil {
			o.Groups.Member = []string{"member"}
		}
		if o.Enabled.Attribute == "" && o.Enabled.Bits == 0 && o.Enabled.Disabled == nil && o.Enabled.Enabled == nil {
			o.Enabled = Enabled{Attribute: "userAccountControl", Bits: accountDisabled}
		}
	}
	o.Key = orElse(o.Key, "entryUUID")
	o.People.Filter = orElse(o.People.Filter, "(objectClass=inetOrgPerson)")
	o.Groups.Filter = orElse(o.Groups.Filter, "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))")
	if o.Groups.Member == nil {
		o.Groups.Member = []string{"member", "uniqueMember"}
	}
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func (o Options) checkNames() error {
	for _, dn := range slices.Concat([]string{o.Base, o.People.Base, o.Groups.Base}, o.Elsewhere) {
		if _, err := ldap.ParseDN(dn); err != nil {
			return invalid("%q is not a DN: %v", dn, err)
		}
	}
	if !isUnder(o.People.Base, o.Base) {
		return invalid("the base of people %q is not under the base %q", o.People.Base, o.Base)
	}
	for _, filter := range []string{o.People.Filter, o.Groups.Filter} {
		if _, err := ldap.CompileFilter(filter); err != nil {
			return invalid("%q is not a filter: %v", filter, err)
		}
	}
	names := slices.Concat([]string{o.Key, o.Groups.Name}, o.Groups.Member, o.People.Attributes)
	if o.Enabled.Attribute != "" {
		names = append(names, o.Enabled.Attribute)
	}
	for _, name := range names {
		if !isAttribute(name) {
			return invalid("%q is not the name of an attribute", name)
		}
		if isSecret(name) {
			return invalid("the attribute %s is a secret: it is never read", name)
		}
	}
	if len(o.Groups.Member) == 0 {
		return invalid("Groups.Member names no attribute")
	}
	return nil
}

// isAttribute reports whether name is one of an attribute, perhaps with options such as a language; not one for all of
// them (*, +), nor for a range.
func isAttribute(name string) bool {
	if name == "" || strings.Contains(strings.ToLower(name), ";range=") {
		return false
	}
	for _, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("-;._", r) {
			return false
		}
	}
	return true
}

// address is where the server is.
type address struct {
	host string // without port, as the certificate names it
	port string
	tls  bool
}

func (a address) String() string { return net.JoinHostPort(a.host, a.port) }

func (o Options) address() (address, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return address{}, invalid("URL cannot be read: give ldaps://host or ldap://host")
	}
	if u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return address{}, invalid("URL must be ldaps://host or ldap://host, perhaps with a port, and nothing else")
	}
	at := address{host: u.Hostname(), port: u.Port()}
	switch {
	case u.Scheme == "ldaps" && o.StartTLS:
		return address{}, invalid("StartTLS is for ldap://, not for ldaps://")
	case u.Scheme == "ldaps":
		at.tls, at.port = true, orElse(at.port, ldap.DefaultLdapsPort)
	case u.Scheme == "ldap":
		at.port = orElse(at.port, ldap.DefaultLdapPort)
	default:
		return address{}, invalid("URL must begin with ldaps:// or ldap://")
	}
	if !at.tls && !o.StartTLS && !o.Plaintext && !isLoopback(at.host) {
		return address{}, invalid("ldap://%s would send the password in the clear: use ldaps:// or StartTLS", at.host)
	}
	return at, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("ldap: %s: %w", fmt.Sprintf(format, args...), source.ErrInvalid)
}
