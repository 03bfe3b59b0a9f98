package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
)

// kinds maps the result codes of LDAP to the kinds of failure. A code that is not here means that the server could not
// answer.
var kinds = map[uint16]error{
	ldap.LDAPResultTimeLimitExceeded:            source.ErrIncomplete,
	ldap.LDAPResultSizeLimitExceeded:            source.ErrIncomplete,
	ldap.LDAPResultAdminLimitExceeded:           source.ErrIncomplete,
	ldap.LDAPResultReferral:                     source.ErrIncomplete,
	ldap.LDAPResultStrongAuthRequired:           source.ErrInvalid,
	ldap.LDAPResultConfidentialityRequired:      source.ErrInvalid,
	ldap.LDAPResultUnavailableCriticalExtension: source.ErrInvalid,
	ldap.LDAPResultNoSuchObject:                 source.ErrInvalid,
	ldap.LDAPResultInvalidDNSyntax:              source.ErrInvalid,
	ldap.LDAPResultInappropriateMatching:        source.ErrInvalid,
	ldap.ErrorFilterCompile:                     source.ErrInvalid,
	ldap.LDAPResultInappropriateAuthentication:  source.ErrUnauthorized,
	ldap.LDAPResultInvalidCredentials:           source.ErrUnauthorized,
	ldap.LDAPResultInsufficientAccessRights:     source.ErrForbidden,
	ldap.LDAPResultAuthorizationDenied:          source.ErrForbidden,
	ldap.ErrorUnexpectedMessage:                 source.ErrMalformed,
	ldap.ErrorMalformedPacket:                   source.ErrMalformed,
	ldap.ErrorUnexpectedResponse:                source.ErrMalformed,
}

// advice says what to do about a result code.
var advice = map[uint16]string{
	ldap.LDAPResultSizeLimitExceeded:            "allow the account more entries, or make pages smaller",
	ldap.LDAPResultTimeLimitExceeded:            "allow the account more time, or make pages smaller",
	ldap.LDAPResultAdminLimitExceeded:           "allow the account more entries, or index what the filter asks for",
	ldap.LDAPResultReferral:                     "another server has it; of Active Directory, ask the global catalog",
	ldap.LDAPResultStrongAuthRequired:           "use ldaps:// or StartTLS",
	ldap.LDAPResultConfidentialityRequired:      "use ldaps:// or StartTLS",
	ldap.LDAPResultUnavailableCriticalExtension: "the server cannot page, which is needed",
	ldap.LDAPResultNoSuchObject:                 "there is no such entry, or the account may not see it",
}

// reasons are Active Directory's words for a refused bind.
var reasons = map[string]string{
	"525": "no such account", "52e": "wrong password", "530": "not at this hour", "531": "not from this computer",
	"532": "the password has expired", "533": "the account is disabled", "701": "the account has expired",
	"773": "the password must be changed first", "775": "the account is locked",
}

var reasonOfBind = regexp.MustCompile(`AcceptSecurityContext error, data ([0-9a-f]+)`)

// explain makes an error of LDAP one of source. What the caller gave up is the caller's own error.
func (c *conn) explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ldap: %s at %s: %w", what, c.at, context.Cause(ctx))
	}
	switch {
	case c.flood.Load():
		return c.fail(source.ErrMalformed, "%s: one answer was larger than %d MB", what, maxAnswer>>20)
	case c.late.Load():
		return c.fail(source.ErrUnavailable, "%s: no answer within %s", what, c.timeout)
	}
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return c.fail(source.ErrUnavailable, "%s: %.300q", what, err.Error())
	}
	var inner *ldap.Error
	if errors.As(answer.Err, &inner) { // a malformed packet is called an error of the network
		answer = inner
	}
	code := answer.ResultCode
	text := ""
	if answer.Err != nil {
		text = answer.Err.Error()
	}
	said := fmt.Sprintf("%.300q", text)
	if name := ldap.LDAPResultCodeMap[code]; name != "" {
		said = name + " " + said
	}
	if found := reasonOfBind.FindStringSubmatch(text); found != nil && reasons[found[1]] != "" {
		said += " (" + reasons[found[1]] + ")"
	}
	if advice[code] != "" {
		said += ": " + advice[code]
	}
	kind := kinds[code]
	if kind == nil {
		kind = source.ErrUnavailable
	}
	return c.fail(kind, "%s: %s", what, said)
}

func (c *conn) fail(kind error, format string, args ...any) error {
	return fmt.Errorf("ldap %s: %s: %w", c.at, fmt.Sprintf(format, args...), kind)
}

// explainTLS tells a certificate that is not trusted from a server that cannot be reached.
func (c *conn) explainTLS(ctx context.Context, err error) error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return c.fail(source.ErrInvalid, "the server's certificate is not trusted: %v", err)
	}
	return c.explain(ctx, "TLS", err)
}

func hasCode(err error, codes ...uint16) bool {
	return ldap.IsErrorAnyOf(err, codes...)
}
