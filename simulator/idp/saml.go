package idp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"slices"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// SAML is an identity provider that answers logins with signed assertions, the way the common ones do: the assertion is
// signed, the response around it is not.
type SAML struct {
	Issuer      string
	Certificate string // as PEM
	certificate []byte
	key         *rsa.PrivateKey
}

// NewSAML makes an identity provider with a key of its own, whose certificate is valid around now.
func NewSAML(issuer string, now time.Time) (*SAML, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return &SAML{Issuer: issuer, certificate: certificate, key: key, Certificate: string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))}, err
}

// Login is what an assertion says.
type Login struct {
	Audience, Recipient string
	NameID, Format      string // format "": persistent
	InResponseTo        string // "": the identity provider began
	Attributes          map[string][]string
	At                  time.Time
	ID                  string // of the assertion; "": a random one
}

// Response is the XML of the identity provider's response to a login.
func (s *SAML) Response(l Login) ([]byte, error) {
	assertion := s.assertion(l)
	signing, err := dsig.NewSigningContext(crypto.Signer(s.key), [][]byte{s.certificate})
	if err != nil {
		return nil, err
	}
	signing.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := signing.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return nil, err
	}
	signed, err := signing.SignEnveloped(assertion.Element())
	if err != nil {
		return nil, err
	}
	assertion.Signature = signed.Child[len(signed.Child)-1].(*etree.Element)
	response := &saml.Response{ID: "r" + randomID(), Version: "2.0", IssueInstant: l.At, Destination: l.Recipient,
		InResponseTo: l.InResponseTo, Issuer: &saml.Issuer{Value: s.Issuer},
		Status: saml.Status{StatusCode: saml.StatusCode{Value: saml.StatusSuccess}}, Assertion: assertion}
	document := etree.NewDocument()
	document.SetRoot(response.Element())
	return document.WriteToBytes()
}

func (s *SAML) assertion(l Login) *saml.Assertion {
	if l.Format == "" {
		l.Format = string(saml.PersistentNameIDFormat)
	}
	if l.ID == "" {
		l.ID = "a" + randomID()
	}
	var attributes []saml.Attribute
	for name, values := range l.Attributes {
		one := saml.Attribute{Name: name, NameFormat: "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"}
		for _, v := range values {
			one.Values = append(one.Values, saml.AttributeValue{Type: "xs:string", Value: v})
		}
		attributes = append(attributes, one)
	}
	slices.SortFunc(attributes, func(a, b saml.Attribute) int { return len(a.Name) - len(b.Name) })
	end := l.At.Add(5 * time.Minute)
	return &saml.Assertion{
		ID: l.ID, IssueInstant: l.At, Version: "2.0", Issuer: saml.Issuer{Value: s.Issuer},
		Subject: &saml.Subject{NameID: &saml.NameID{Format: l.Format, Value: l.NameID},
			SubjectConfirmations: []saml.SubjectConfirmation{{Method: "urn:oasis:names:tc:SAML:2.0:cm:bearer",
				SubjectConfirmationData: &saml.SubjectConfirmationData{NotOnOrAfter: end, Recipient: l.Recipient,
					InResponseTo: l.InResponseTo}}}},
		Conditions: &saml.Conditions{NotBefore: l.At.Add(-time.Minute), NotOnOrAfter: end,
			AudienceRestrictions: []saml.AudienceRestriction{{Audience: saml.Audience{Value: l.Audience}}}},
		AuthnStatements: []saml.AuthnStatement{{AuthnInstant: l.At, SessionIndex: "s1",
			AuthnContext: saml.AuthnContext{AuthnContextClassRef: &saml.AuthnContextClassRef{
				Value: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"}}}},
		AttributeStatements: []saml.AttributeStatement{{Attributes: attributes}},
	}
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
