package feed

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/castellan-io/castellan/source"
)

// MaxDelay is how long after it was issued an assertion is taken. It is that of signed posts.
const MaxDelay = 5 * time.Minute

func init() { saml.MaxIssueDelay = MaxDelay }

// Assertions are the assertions of an identity provider that count: whose they are, for whom, and what in them is what.
type Assertions struct {
	Issuer       string // entity id of the identity provider
	Audience     string // entity id of the application
	Recipient    string // the application's Assertion Consumer Service
	Certificates []*x509.Certificate
	Key          string // attribute that identifies people for ever; "": the NameID, which must be persistent
	Groups       string // attribute with the names of groups; "": groups
}

// ReadCertificates reads the certificates of an identity provider as PEM: several while it changes from one to the
// next. The error is a *Refusal.
func ReadCertificates(text string) (all []*x509.Certificate, err error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			return nil, refuse(BadCertificate, "the reference certificate leads to something else than the identity provider's certificates as PEM")
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, refuse(BadCertificate, "the reference certificate leads to no certificate: it is expected as PEM, which begins with -----BEGIN CERTIFICATE-----")
	}
	return all, nil
}

// Read reads the response of the identity provider to a login: XML as it was signed. It must have exactly one
// assertion, which is signed, itself or with the response, by one of the certificates, and valid now. What answers to a
// request is taken too, since the request was somebody else's: a replay is for the caller to notice, by the statement's
// ID and time. The error is a *Refusal.
func (a Assertions) Read(response []byte, now time.Time) (Statement, error) {
	if err := onlyOne(response); err != nil {
		return Statement{}, err
	}
	provider, err := a.provider(now)
	if err != nil {
		return Statement{}, err
	}
	assertion, err := provider.ParseXMLResponse(response, nil, provider.AcsURL)
	if err != nil {
		return Statement{}, refusalOf(err)
	}
	return a.statement(assertion)
}

// onlyOne refuses what has another number of assertions, wherever in it they are: only one can be what was signed.
func onlyOne(response []byte) error {
	document := etree.NewDocument()
	if err := document.ReadFromBytes(response); err != nil || document.Root() == nil {
		return refuse(NoAssertion, "this is not the response of an identity provider: post SAMLResponse as a browser does, or its XML")
	}
	if len(document.FindElements("//EncryptedAssertion")) > 0 {
		return refuse(Encrypted, "the assertion is encrypted: have the identity provider only sign it")
	}
	if n := len(document.FindElements("//Assertion")); n != 1 {
		return refuse(NoAssertion, "the response has %d assertions, and exactly one is taken", n)
	}
	return nil
}

// provider is the application that the assertions are for.
func (a Assertions) provider(now time.Time) (*saml.ServiceProvider, error) {
	recipient, err := url.Parse(a.Recipient)
	if err != nil {
		return nil, refuse(BadRecipient, "the policy's recipient is no address")
	}
	role := saml.IDPSSODescriptor{}
	for _, certificate := range a.Certificates {
		role.KeyDescriptors = append(role.KeyDescriptors, saml.KeyDescriptor{Use: "signing", KeyInfo: saml.KeyInfo{
			X509Data: saml.X509Data{X509Certificates: []saml.X509Certificate{
				{Data: base64.StdEncoding.EncodeToString(certificate.Raw)}}}}})
	}
	issuer := &saml.EntityDescriptor{EntityID: a.Issuer, IDPSSODescriptors: []saml.IDPSSODescriptor{role}}
	return &saml.ServiceProvider{
		EntityID: a.Audience, AcsURL: *recipient, IDPMetadata: issuer,
		AllowIDPInitiated:    true,
		ValidateRequestID:    func(saml.Response, []string) error { return nil },
		RejectSHA1Signatures: true, RejectUnknownConditions: true,
		Clock: dsig.NewFakeClockAt(now),
	}, nil
}

// refusals are what the checks of an assertion say, and what to do.
var refusals = []struct {
	err  error
	code Code
	why  string
}{
	{saml.ErrCertificateNotValidNow, BadCertificate, "the certificate that signed it has expired: have its successor in the file of the policy's certificate"},
	{saml.ErrInvalidSignature, BadSignature, "it is not signed by the identity provider, as the policy's certificate has it, by SHA-256 or better; or it was changed on the way"},
	{saml.ErrIssuerMismatch, BadIssuer, "it was issued by somebody else than the policy's issuer"},
	{saml.ErrAudienceMismatch, BadAudience, "it is for another audience than the policy's"},
	{saml.ErrDestinationMismatch, BadRecipient, "it is addressed to another recipient than the policy's"},
	{saml.ErrExpired, Expired, "it is no longer valid, or was issued more than 5 minutes ago: forward assertions at once"},
	{saml.ErrNotYetValid, Expired, "it is not valid yet: is a clock wrong?"},
}

func refusalOf(err error) error {
	var invalid *saml.InvalidResponseError
	if errors.As(err, &invalid) {
		err = invalid.PrivateErr
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return refuse(r.code, "%s", r.why)
		}
	}
	return refuse(NoAssertion, "it is not the response of an identity provider to a successful login, with one signed assertion")
}

// statement is what a valid assertion states. Who can sign in is enabled.
func (a Assertions) statement(assertion *saml.Assertion) (Statement, error) {
	enabled := true
	s := Statement{ID: assertion.ID, At: assertion.IssueInstant,
		Person: source.Identity{Enabled: &enabled, Attributes: map[string]any{}}}
	named := "groups"
	if a.Groups != "" {
		named = a.Groups
	}
	said := false
	for _, statement := range assertion.AttributeStatements {
		for _, attribute := range statement.Attributes {
			values := valuesOf(attribute)
			if attribute.Name == named || attribute.FriendlyName == named {
				s.Groups, said = append(s.Groups, values...), true
				continue
			}
			for _, name := range []string{attribute.Name, attribute.FriendlyName} {
				if name != "" {
					s.Person.Attributes[name] = oneOrAll(values)
				}
			}
		}
	}
	if !said {
		return Statement{}, refuse(BadGroups, "the assertion has no attribute with the person's groups, and nobody loses a group by that: have the identity provider send it, or correct groups.attribute")
	}
	if err := a.identify(&s.Person, assertion.Subject.NameID); err != nil {
		return Statement{}, err
	}
	if len(s.ID) > MaxID {
		return Statement{}, refuse(NoAssertion, "the assertion's ID has more than %d bytes", MaxID)
	}
	return s.checked()
}

// identify sets by what the person is known for ever.
func (a Assertions) identify(p *source.Identity, name *saml.NameID) error {
	if name != nil {
		if _, is := p.Attributes["nameID"]; !is {
			p.Attributes["nameID"] = name.Value
		}
	}
	if a.Key != "" {
		key, is := p.Attributes[a.Key].(string)
		if !is {
			return refuse(NoKey, "the assertion does not have the attribute that the policy's key names, or several values of it")
		}
		p.Key = key
		return nil
	}
	if name == nil || name.Format != string(saml.PersistentNameIDFormat) {
		return refuse(NoKey, "the NameID is not persistent, so that another person may have it one day: name in the policy, as key, the attribute that identifies people for ever")
	}
	p.Key = strings.TrimSpace(name.Value)
	return nil
}

func valuesOf(attribute saml.Attribute) (values []string) {
	for _, v := range attribute.Values {
		if text := strings.TrimSpace(v.Value); text != "" {
			values = append(values, text)
		}
	}
	return values
}

// oneOrAll is an attribute as other sources have it: a text, or a list if there are several.
func oneOrAll(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	all := []any{}
	for _, v := range values {
		all = append(all, v)
	}
	return all
}
