package ldap

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// normalize returns a DN as text that is equal for most DNs that a server takes for equal: without regard to case,
// spaces and escaping. It is never equal for different entries, but of attributes that distinguish by case alone, and
// the resolver minds these.
func normalize(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return "\x00" + dn // equal to itself alone
	}
	for _, rdn := range parsed.RDNs {
		for _, part := range rdn.Attributes {
			part.Type = strings.ToLower(part.Type)
			part.Value = strings.ToLower(strings.Join(strings.Fields(part.Value), " "))
		}
	}
	return parsed.String()
}

// isUnder reports whether a DN is base, or in its subtree.
func isUnder(dn, base string) bool {
	inner, err := ldap.ParseDN(normalize(dn))
	if err != nil {
		return false
	}
	outer, err := ldap.ParseDN(normalize(base))
	return err == nil && (outer.EqualFold(inner) || outer.AncestorOfFold(inner))
}

// firstValue returns the value that names an entry within its parent, if it is one of attribute.
func firstValue(dn, attribute string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return ""
	}
	for _, part := range parsed.RDNs[0].Attributes {
		if strings.EqualFold(part.Type, attribute) {
			return part.Value
		}
	}
	return ""
}

// memberDN returns the DN in a member's value: uniqueMember may have a bit string after it, as in cn=Ana#'01'B.
func memberDN(value string) string {
	if at := strings.LastIndex(value, "#'"); at > 0 && strings.HasSuffix(value, "'B") {
		if strings.Trim(value[at+2:len(value)-2], "01") == "" {
			return value[:at]
		}
	}
	return value
}
