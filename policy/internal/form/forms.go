package form

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

var (
	shortForm   = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	vendorForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	emailForm   = regexp.MustCompile(`^[^@\s]{1,64}@[^@\s]{1,190}$`)
	domainForm  = regexp.MustCompile(`^[\pL\pM\pN-]{1,63}(\.[\pL\pM\pN-]{1,63}){1,9}$`)
	accountForm = regexp.MustCompile(`^[A-Za-z0-9:-]{8,128}$`)
)

// IsEmail reports whether a text has the form of an e-mail address.
func IsEmail(s string) bool { return emailForm.MatchString(s) }

// IsAccount reports whether a text has the form of an Atlassian account id.
func IsAccount(s string) bool { return accountForm.MatchString(s) }

// CheckShort checks the name of an organization or a campaign.
func CheckShort(s string) error {
	if !shortForm.MatchString(s) {
		return fmt.Errorf("%q does not fit; use 1 to 40 of the characters a-z, 0-9 and -", strictyaml.Shown(s))
	}
	return nil
}

// CheckVendorID checks an id of Atlassian's.
func CheckVendorID(s string) error {
	if !vendorForm.MatchString(s) {
		return fmt.Errorf("%q is not an Atlassian id; copy it from admin.atlassian.com", strictyaml.Shown(s))
	}
	return nil
}

// CheckEntry checks the name of an entry.
func CheckEntry(s string) error {
	if strings.TrimSpace(s) != s || s == "" || len(s) > 100 || strings.ContainsAny(s, "\n\t") {
		return fmt.Errorf("%q does not fit; give the entry a name of 1 to 100 characters in one line", strictyaml.Shown(s))
	}
	return nil
}

// ParseDomain reads an e-mail domain.
func ParseDomain(s string) (string, error) {
	s = strings.TrimSuffix(s, ".") // as zone files write it
	if !domainForm.MatchString(s) {
		return "", fmt.Errorf("%q is not an e-mail domain; write the part after the @, for example acme.example",
			strictyaml.Shown(s))
	}
	return strings.ToLower(s), nil
}

// CheckPerson checks what names a person.
func CheckPerson(s string) error {
	if !IsEmail(s) && !IsAccount(s) {
		return fmt.Errorf("%q names nobody; write an e-mail address or an Atlassian account id", strictyaml.Shown(s))
	}
	return nil
}

// CheckEmail checks an e-mail address.
func CheckEmail(s string) error {
	if !IsEmail(s) {
		return fmt.Errorf("%q is not an e-mail address", strictyaml.Shown(s))
	}
	return nil
}
