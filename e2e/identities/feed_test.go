package identities_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/simulator/idp"
)

const (
	feedSecret = "feed-secret-0123456789-0123456789"
	issuer     = "https://idp.acme.example"
	audience   = "https://auth.atlassian.com/saml/acme"
	recipient  = "https://auth.atlassian.com/login/callback?connection=saml-acme"
)

// fedOrg is an organization whose identity provider posts to the worker's inbox, over TLS.
type fedOrg struct {
	*testOrg
	secrets, address string
	client           *http.Client
	saml             *idp.SAML
}

// startFed starts an organization whose worker has an inbox.
func startFed(t *testing.T, of cloud.OrgFile) *fedOrg {
	t.Helper()
	o := &fedOrg{secrets: t.TempDir()}
	require.NoError(t, os.Mkdir(filepath.Join(o.secrets, org), 0o700))
	o.write("feed", feedSecret)
	var err error
	o.saml, err = idp.NewSAML(issuer, time.Now())
	require.NoError(t, err)
	o.write("idp.pem", o.saml.Certificate)
	tlsFiles := t.TempDir()
	o.client = serverCertificate(t, tlsFiles)
	o.address = freeAddress(t)
	o.testOrg = &testOrg{t: t, Stack: suite.StartWith(t, []string{"CASTELLAN_SECRETS_DIR=" + o.secrets,
		"CASTELLAN_INBOX_ADDR=" + o.address, "CASTELLAN_INBOX_CERT=" + filepath.Join(tlsFiles, "cert.pem"),
		"CASTELLAN_INBOX_KEY=" + filepath.Join(tlsFiles, "key.pem")}, "--org", suite.OrgFile(t, of))}
	o.Files = suite.NewFiles(t, "hr", stack.SourceFolder(o.Dir))
	return o
}

// write writes a secret of the organization.
func (o *fedOrg) write(name, content string) {
	_ = os.WriteFile(o.secret(name), []byte(content), 0o600) // whoever needs it tells
}

func (o *fedOrg) secret(name string) string { return filepath.Join(o.secrets, org, name) }

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// serverCertificate writes a certificate for this machine, and returns a client that trusts it and nothing else.
func serverCertificate(t *testing.T, dir string) *http.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert.pem"), certificate, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificate))
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}

// saml is the policy's feed.
func (o *fedOrg) feed() map[string]any {
	return map[string]any{"name": "saml", "kind": "feed", "secret": "file:" + o.secret("feed"), "valid": "90d",
		"certificate": "file:" + o.secret("idp.pem"), "issuer": issuer, "audience": audience, "recipient": recipient}
}

// fed is a policy whose mapping takes from the feed, and more.
func (o *fedOrg) fed(more map[string]any) string {
	all := map[string]any{"sources": []any{o.feed()}}
	for key, value := range more {
		all[key] = value
	}
	return o.policy([]map[string]any{{"name": "engineers", "from": []string{"saml:engineers"},
		"to": []string{"group:" + tools}, "removals": "all"}}, all)
}

// reply is the inbox's answer.
type reply struct {
	Status      int
	State, Code string
}

func (o *fedOrg) send(r *http.Request) reply {
	o.t.Helper()
	answer, err := o.client.Do(r)
	require.NoError(o.t, err)
	defer func() { _ = answer.Body.Close() }()
	got := reply{Status: answer.StatusCode}
	require.NoError(o.t, json.NewDecoder(answer.Body).Decode(&got))
	return got
}

// statement is what the identity provider says of the person with a key and the address of one of the organization's.
func (o *fedOrg) statement(name string, at time.Time, enabled bool, groups ...string) []byte {
	o.t.Helper()
	if groups == nil {
		groups = []string{}
	}
	body, err := json.Marshal(map[string]any{"person": map[string]any{"key": "k-" + name, "email": o.addressOf(name),
		"name": name, "department": "Works", "enabled": enabled}, "groups": groups, "at": at})
	require.NoError(o.t, err)
	return body
}

func (o *fedOrg) addressOf(name string) string { return suite.Person(o.t, o.state(), name).Email }

// signed is a post, signed now by a secret.
func (o *fedOrg) signed(path, by string, body []byte) *http.Request {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, "https://"+o.address+path, bytes.NewReader(body))
	require.NoError(o.t, err)
	at := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(notify.HeaderTimestamp, at)
	r.Header.Set(notify.HeaderSignature, notify.Sign(by, at, body))
	return r
}

// posts posts a statement, and requires that it is applied.
func (o *fedOrg) posts(body []byte) {
	o.t.Helper()
	require.Equal(o.t, reply{Status: http.StatusOK, State: "applied"}, o.send(o.signed("/feeds/acme/saml", feedSecret, body)))
}

// TestAnOrganizationFollowsAFeed: a post gives, and takes from its person alone; what is replayed, late, or not the
// feed's changes nothing; people of whom nothing was said keep what they have; a worker that is killed loses nothing.
func TestAnOrganizationFollowsAFeed(t *testing.T) {
	t.Parallel()
	file := shop()
	file.Foreign = map[string][]string{tools: {"p09"}}
	o := startFed(t, file)
	o.settled(o.fed(nil))
	o.become(tools, "p09")

	early := o.statement("p00", time.Now().Add(-time.Hour), true, "engineers")
	o.posts(early)
	o.posts(o.statement("p01", time.Now(), true, "engineers", "others"))
	o.become(tools, "p00", "p01", "p09")

	o.posts(o.statement("p00", time.Now(), true))
	o.become(tools, "p01", "p09")
	require.Equal(t, "stale", o.send(o.signed("/feeds/acme/saml", feedSecret, early)).State)
	for path, c := range map[string]struct {
		secret string
		code   string
	}{"/feeds/acme/saml": {feedSecret + "x", "unauthorized"}, "/feeds/globex/saml": {feedSecret, "unauthorized"},
		"/feeds/acme/corp": {feedSecret, "unauthorized"}} {
		got := o.send(o.signed(path, c.secret, o.statement("p02", time.Now(), true, "engineers")))
		require.Equal(t, reply{Status: http.StatusUnauthorized, Code: c.code}, got, path)
	}
	old := o.signed("/feeds/acme/saml", feedSecret, early)
	old.Header.Set(notify.HeaderTimestamp, "1700000000")
	old.Header.Set(notify.HeaderSignature, notify.Sign(feedSecret, "1700000000", early))
	require.Equal(t, reply{Status: http.StatusUnauthorized, Code: "timestamp"}, o.send(old))
	require.Equal(t, http.StatusRequestEntityTooLarge,
		o.send(o.signed("/feeds/acme/saml", feedSecret, bytes.Repeat([]byte(" "), 64<<10+1))).Status)

	o.Worker.Kill()
	require.NoError(t, o.StartWorker())
	o.eventually(func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+o.address+"/healthz", nil)
		require.NoError(t, err)
		answer, err := o.client.Do(r)
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	})
	require.Equal(t, "stale", o.send(o.signed("/feeds/acme/saml", feedSecret, early)).State)
	next := "next-secret-0123456789-0123456789"
	o.write("feed", feedSecret+"\n"+next)
	require.Equal(t, "applied",
		o.send(o.signed("/feeds/acme/saml", next, o.statement("p03", time.Now(), true, "engineers"))).State)
	o.become(tools, "p01", "p03", "p09")
	o.posts(o.statement("p01", time.Now(), false, "engineers"))
	o.become(tools, "p03", "p09")

	// A statement of a year ago says nothing of today: it gives nothing, and takes nothing.
	o.posts(o.statement("p04", time.Now().AddDate(-1, 0, 0), true, "engineers"))
	o.posts(o.statement("p09", time.Now().AddDate(-1, 0, 0), true))
	o.posts(o.statement("p05", time.Now(), true, "engineers"))
	o.become(tools, "p03", "p05", "p09")
	require.Equal(t, "unauthorized", o.send(o.signed("/feeds/acme/saml", "wrong", early)).Code)
	require.NoError(t, o.Update(t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &messages.Answer{}))
	state := o.until(func(s messages.OrgSyncState) bool {
		return s.Running == nil && s.Sources[0].Posts && s.Sources[0].People == 6 && s.Sources[0].Refused > 0
	})
	require.Equal(t, messages.SourceOK, state.Sources[0].State())
	require.Equal(t, []string{"p03", "p05", "p09"}, o.members(tools))
	out, err := o.Starter(t.Context(), "status", org)
	require.NoError(t, err)
	require.Contains(t, out, "source saml: 6 people, 2 groups, last posted at")
	out, err = o.Starter(t.Context(), "explain", org, "saml:k-p04")
	require.NoError(t, err)
	require.Contains(t, out, "longer ago than sources.valid")
	out, err = o.Starter(t.Context(), "identities", org)
	require.NoError(t, err)
	require.Contains(t, out, "stated at")
	report, err := o.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	require.NoError(t, err)
	require.True(t, report.Ledger.Whole, report.Message)
}

// login is the response of the identity provider to somebody's login, as it is forwarded.
func (o *fedOrg) login(l idp.Login, spoil func(xml string) string) *http.Request {
	o.t.Helper()
	xml, err := o.saml.Response(l)
	require.NoError(o.t, err)
	form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(spoil(string(xml))))}}
	r, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, "https://"+o.address+"/feeds/acme/saml",
		strings.NewReader(form.Encode()))
	require.NoError(o.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// TestAnOrganizationFollowsAssertions: what people's logins say counts, if the identity provider signed it, for the
// right application, and just now.
func TestAnOrganizationFollowsAssertions(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := startFed(t, shop())
	o.settled(o.fed(nil))
	as := func(name string, groups ...string) idp.Login {
		return idp.Login{Audience: audience, Recipient: recipient, NameID: "n-" + name, At: time.Now().UTC(),
			InResponseTo: "_of-the-application", Attributes: map[string][]string{"groups": groups, "email": {o.addressOf(name)}}}
	}
	whole := func(xml string) string { return xml }
	require.Equal(t, "applied", o.send(o.login(as("p00", "engineers"), whole)).State)
	o.become(tools, "p00")

	other := as("p01", "engineers")
	other.Audience = "https://other"
	expired := as("p01", "engineers")
	expired.At = expired.At.Add(-10 * time.Minute)
	for code, r := range map[string]*http.Request{
		"signature": o.login(as("p01", "visitors"), func(xml string) string { return strings.Replace(xml, ">visitors<", ">engineers<", 1) }),
		"audience":  o.login(other, whole),
		"expired":   o.login(expired, whole),
		"assertion": o.login(as("p01", "engineers"), func(xml string) string { // a second one around it
			begin, end := strings.Index(xml, "<saml:Assertion"), strings.Index(xml, "</saml:Assertion>")
			return xml[:begin] + `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="x" Version="2.0">` +
				xml[begin:end] + "</saml:Assertion></saml:Assertion>" + xml[end+len("</saml:Assertion>"):]
		}),
	} {
		require.Equal(t, code, o.send(r).Code)
	}
	require.Equal(t, "applied", o.send(o.login(as("p02", "engineers"), whole)).State)
	o.become(tools, "p00", "p02")
	require.Equal(t, "applied", o.send(o.login(as("p00", ""), whole)).State)
	o.become(tools, "p02")
}

// TestAccountsMadeAtLoginAreLinkedAndGrouped: accounts were made by logins, and only assertions say who is in which
// group. Two commands show the gap and close it, the feed puts people into groups, and who is disabled is deactivated;
// who is not heard of stays as they are.
func TestAccountsMadeAtLoginAreLinkedAndGrouped(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	file := shop()
	file.Invited = append(file.Invited, "p00", "p01", "p02", "p03")
	o := startFed(t, file)
	_, err := o.Apply(t.Context(), org, o.fed(map[string]any{"provision": o.provision("saml"),
		"guard": map[string]any{"settle": "0s", "adopt": "ask"}}))
	require.NoError(t, err)
	for _, name := range []string{"p00", "p01", "p02"} {
		o.posts(o.statement(name, time.Now(), true, "engineers"))
	}
	o.adoptAccess()
	o.become(tools, "p00", "p01", "p02")
	o.eventually(func() error {
		out, err := o.Starter(t.Context(), "identities", org, "--state", "jit-only")
		if err == nil && strings.Count(out, "saml:k-p0") != 3 {
			err = fmt.Errorf("not all are listed yet:\n%s", out)
		}
		return err
	})
	out, err := o.Starter(t.Context(), "--by", "boss@example.com", "--json", "link", "pilot", "--provision", "staff")
	require.NoError(t, err, out)
	before := o.state()
	o.approveBatch(decoded[messages.LinkState](t, out))
	o.batchEnds("pilot", messages.LinkDone)
	for _, name := range []string{"p00", "p01", "p02"} {
		was := suite.Person(t, before, name)
		is := o.personAt(was.Email, linked)
		require.Equal(t, was.AccountID, is.AccountID)
	}
	require.Empty(t, suite.Person(t, o.state(), "p03").SCIMUserID, "nothing was said of them")
	require.Equal(t, []string{"p00", "p01", "p02"}, o.members(tools))

	gone := o.addressOf("p00")
	o.posts(o.statement("p00", time.Now(), false))
	held := o.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil && s.IdentityHold.Removals > 0 })
	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, held.IdentityHold.Plan), "the provision's first plan")
	o.personAt(gone, deactivated)
	o.eventually(func() error {
		if slices.Contains(o.members(tools), "p00") {
			return fmt.Errorf("p00 is in the group still")
		}
		return nil
	})
	require.False(t, suite.Person(t, o.state(), "p01").Inactive)
	require.False(t, suite.Person(t, o.state(), "p03").Inactive)
}

// TestManyPosts measures how long after a post its person is in the group, while CASTELLAN_FEED_POSTS are posted evenly
// within a minute (20 unless that says another number), each of another person.
func TestManyPosts(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	n, err := strconv.Atoi(os.Getenv("CASTELLAN_FEED_POSTS"))
	if err != nil {
		n = 20
	}
	file := cloud.OrgFile{People: []string{"boss"}, Admins: []string{"boss"}, Local: []cloud.OrgGroup{{Name: tools}}}
	for i := range n {
		file.People = append(file.People, fmt.Sprintf("q%03d", i))
	}
	o := startFed(t, file)
	o.settled(o.fed(nil))
	emails := map[string]string{}
	for _, p := range o.state().People {
		emails[p.Name] = p.Email
	}
	posted := map[string]time.Time{}
	ticker := time.NewTicker(time.Minute / 500)
	defer ticker.Stop()
	var answers []time.Duration
	for _, name := range file.People[1:] {
		<-ticker.C
		body, err := json.Marshal(map[string]any{"person": map[string]any{"key": name, "email": emails[name]},
			"groups": []string{"engineers"}, "at": time.Now()})
		require.NoError(t, err)
		at := time.Now()
		o.posts(body)
		posted[emails[name]], answers = at, append(answers, time.Since(at))
	}
	took := o.joined(t, posted)
	slices.Sort(took)
	slices.Sort(answers)
	t.Logf("%d posts at 500 a minute: answered p50 %s p95 %s max %s; membership p50 %s p95 %s max %s", n, quantile(answers, 50),
		quantile(answers, 95), answers[len(answers)-1], quantile(took, 50), quantile(took, 95), took[len(took)-1])
}

func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)-1)*percent/100].Round(time.Millisecond)
}

// joined waits until all are in the group, and returns how long after their posts that was.
func (o *fedOrg) joined(t *testing.T, posted map[string]time.Time) (took []time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o.eventually(func() error {
		history, err := o.Simulator.History(ctx)
		if err != nil {
			return err
		}
		took = nil
		for _, c := range history {
			if at, is := posted[c.Email]; is && c.What == "group:"+tools && c.Holds {
				took = append(took, c.At.Sub(at))
			}
		}
		if len(took) < len(posted) {
			return fmt.Errorf("%d of %d are in the group", len(took), len(posted))
		}
		return nil
	})
	return took
}
