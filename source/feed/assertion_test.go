package feed_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source/feed"
)

const (
	issuer    = "https://idp.acme.example"
	audience  = "https://auth.atlassian.com/saml/1"
	recipient = "https://auth.atlassian.com/login/callback?connection=saml-1"
)

func newSAML(t testing.TB) *idp.SAML {
	t.Helper()
	s, err := idp.NewSAML(issuer, noon)
	require.NoError(t, err)
	return s
}

// takes are the assertions of an identity provider that count.
func takes(t testing.TB, s *idp.SAML) feed.Assertions {
	t.Helper()
	certificates, err := feed.ReadCertificates(s.Certificate)
	require.NoError(t, err)
	return feed.Assertions{Issuer: issuer, Audience: audience, Recipient: recipient, Certificates: certificates}
}

func login() idp.Login {
	return idp.Login{Audience: audience, Recipient: recipient, NameID: "00u1", At: noon, ID: "a1",
		Attributes: map[string][]string{"email": {"ana@acme.example"}, "groups": {"ops", "dev"}, "sites": {"x", "y"}}}
}

func response(t testing.TB, s *idp.SAML, l idp.Login) []byte {
	t.Helper()
	xml, err := s.Response(l)
	require.NoError(t, err)
	return xml
}

func TestReadAssertion(t *testing.T) {
	s := newSAML(t)
	got, err := takes(t, s).Read(response(t, s, login()), noon.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, "00u1", got.Person.Key)
	require.Equal(t, []string{"dev", "ops"}, got.Groups)
	require.Equal(t, noon, got.At)
	require.Equal(t, "a1", got.ID)
	require.True(t, *got.Person.Enabled)
	require.Equal(t, map[string]any{"email": "ana@acme.example", "sites": []any{"x", "y"}, "nameID": "00u1"}, got.Person.Attributes)

	answering := login()
	answering.InResponseTo = "request-of-the-application"
	_, err = takes(t, s).Read(response(t, s, answering), noon)
	require.NoError(t, err, "what answers the application's request was forwarded")

	keyed, l := takes(t, s), login()
	keyed.Key, keyed.Groups, l.Format = "employee", "memberOf", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	l.Attributes["employee"], l.Attributes["memberOf"] = []string{"4711"}, []string{""}
	got, err = keyed.Read(response(t, s, l), noon)
	require.NoError(t, err)
	require.Equal(t, "4711", got.Person.Key)
	require.Empty(t, got.Groups, "the attribute is there, and empty")
}

func TestReadAssertionWhileTheCertificateIsChanged(t *testing.T) {
	old, next := newSAML(t), newSAML(t)
	both, err := feed.ReadCertificates(old.Certificate + next.Certificate)
	require.NoError(t, err)
	taken := takes(t, old)
	taken.Certificates = both
	for _, s := range []*idp.SAML{old, next} {
		_, err := taken.Read(response(t, s, login()), noon)
		require.NoError(t, err)
	}
	_, err = takes(t, next).Read(response(t, old, login()), noon)
	refused(t, err, feed.BadSignature, "the former certificate")
}

func TestReadAssertionRefuses(t *testing.T) {
	s, other := newSAML(t), newSAML(t)
	valid := response(t, s, login())
	with := func(change func(l *idp.Login)) []byte {
		l := login()
		change(&l)
		return response(t, s, l)
	}
	for name, c := range map[string]struct {
		xml  []byte
		at   time.Time
		code feed.Code
	}{
		"nothing":                {nil, noon, feed.NoAssertion},
		"no XML":                 {[]byte("<a"), noon, feed.NoAssertion},
		"something else":         {[]byte("<a/>"), noon, feed.NoAssertion},
		"another's signature":    {response(t, other, login()), noon, feed.BadSignature},
		"another group":          {bytes.Replace(valid, []byte(">dev<"), []byte(">root<"), 1), noon, feed.BadSignature},
		"another person":         {bytes.Replace(valid, []byte(">00u1<"), []byte(">00u2<"), 1), noon, feed.BadSignature},
		"not signed":             {unsigned(t, valid), noon, feed.NoAssertion},
		"another audience":       {with(func(l *idp.Login) { l.Audience = "https://other" }), noon, feed.BadAudience},
		"another recipient":      {with(func(l *idp.Login) { l.Recipient = "https://other/acs" }), noon, feed.BadRecipient},
		"expired":                {valid, noon.Add(6 * time.Minute), feed.Expired},
		"from the future":        {valid, noon.Add(-5 * time.Minute), feed.Expired},
		"a NameID for a while":   {with(func(l *idp.Login) { l.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" }), noon, feed.NoKey},
		"an address as NameID":   {with(func(l *idp.Login) { l.Format = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" }), noon, feed.NoKey},
		"no groups":              {with(func(l *idp.Login) { delete(l.Attributes, "groups") }), noon, feed.BadGroups},
		"wrapped in another":     {wrapped(t, valid, false), noon, feed.NoAssertion},
		"wrapped beside another": {wrapped(t, valid, true), noon, feed.NoAssertion},
		"wrapped elsewhere":      {wrappedElsewhere(t, valid), noon, feed.NoAssertion},
	} {
		_, err := takes(t, s).Read(c.xml, c.at)
		refused(t, err, c.code, name)
	}
	elsewhere := takes(t, s)
	elsewhere.Issuer = "https://other"
	_, err := elsewhere.Read(valid, noon)
	refused(t, err, feed.BadIssuer, "another issuer")
}

func document(t testing.TB, xml []byte) *etree.Document {
	t.Helper()
	d := etree.NewDocument()
	require.NoError(t, d.ReadFromBytes(xml))
	return d
}

func written(t testing.TB, d *etree.Document) []byte {
	t.Helper()
	xml, err := d.WriteToBytes()
	require.NoError(t, err)
	return xml
}

func unsigned(t testing.TB, xml []byte) []byte {
	d := document(t, xml)
	signature := d.FindElement("//Signature")
	signature.Parent().RemoveChild(signature)
	return written(t, d)
}

// evil is the signed assertion's copy with another person, and no signature.
func evil(t testing.TB, xml []byte) *etree.Element {
	d := document(t, []byte(strings.ReplaceAll(string(unsigned(t, xml)), "00u1", "00u2")))
	assertion := d.FindElement("//Assertion").Copy()
	assertion.CreateAttr("ID", "a2")
	return assertion
}

// wrapped puts a forged assertion around the signed one, or beside it.
func wrapped(t testing.TB, xml []byte, beside bool) []byte {
	d, forged := document(t, xml), evil(t, xml)
	signed := d.FindElement("//Assertion")
	d.Root().RemoveChild(signed)
	d.Root().AddChild(forged)
	if beside {
		d.Root().AddChild(signed)
	} else {
		forged.AddChild(signed)
	}
	return written(t, d)
}

// wrappedElsewhere moves the signed assertion into the signature of a forged one.
func wrappedElsewhere(t testing.TB, xml []byte) []byte {
	d, forged := document(t, xml), evil(t, xml)
	signed := d.FindElement("//Assertion")
	signature := signed.FindElement("./Signature").Copy()
	d.Root().RemoveChild(signed)
	signature.CreateElement("ds:Object").AddChild(signed)
	forged.InsertChildAt(1, signature)
	d.Root().AddChild(forged)
	return written(t, d)
}

// TestReadAssertionOfAnotherElement: a forged assertion with the ID of the signed one, whose signature is then about
// it, and nothing else in the document is an assertion.
func TestReadAssertionOfAnotherElement(t *testing.T) {
	s := newSAML(t)
	d := document(t, response(t, s, login()))
	signed := d.FindElement("//Assertion")
	forged := evil(t, response(t, s, login()))
	forged.CreateAttr("ID", "a1")
	forged.InsertChildAt(1, signed.FindElement("./Signature").Copy())
	d.Root().RemoveChild(signed)
	signed.Tag = "Other"
	d.Root().AddChild(forged)
	d.Root().AddChild(signed)
	_, err := takes(t, s).Read(written(t, d), noon)
	refused(t, err, feed.BadSignature, "the signature of another element")
}

func TestReadCertificatesRefuses(t *testing.T) {
	for _, text := range []string{"", "hunter2", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		_, err := feed.ReadCertificates(text)
		refused(t, err, feed.BadCertificate, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func FuzzReadAssertion(f *testing.F) {
	s := newSAML(f)
	taken, xml := takes(f, s), response(f, s, login())
	f.Add(xml)
	f.Fuzz(func(t *testing.T, xml []byte) {
		if got, err := taken.Read(xml, noon); err == nil && got.Person.Key != "00u1" {
			t.Fatalf("%+v", got)
		}
	})
}
