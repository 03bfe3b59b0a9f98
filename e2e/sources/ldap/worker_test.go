package ldap_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	client "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestMain(m *testing.M) { os.Exit(suite.Run(m, 2)) }

// company is a directory whose people, p0 to p4 at first, a worker provisions.
type company struct {
	source      map[string]any // what the policy says of it, but for its name and secret
	address     string         // HOST:PORT
	password    string         // of who reads it
	certificate string         // of its server, in a file
	hire        func(number int)
	disable     func(number int)
	remove      func(number int)
	kill, start func()
}

const (
	crewSize   = 5
	mailDomain = "acme.example"
)

func mailOf(number int) string { return fmt.Sprintf("p%d@%s", number, mailDomain) }

func hasRecord(p cloud.StatePerson) bool     { return p.SCIMUserID != "" && !p.Inactive }
func isDeactivated(p cloud.StatePerson) bool { return p.Inactive }

// requireFollowed has a worker follow the directory: who is hired gets a record, who is disabled or deleted is
// deactivated. While the server is away nobody is, its state says so, and what another source adds goes on; once it is
// back, all goes on.
func requireFollowed(t *testing.T, c company) {
	t.Helper()
	s, hr := startCompany(t, c)
	c.hire(6)
	suite.PersonAt(t, s, mailOf(6), hasRecord)
	c.disable(0)
	suite.PersonAt(t, s, mailOf(0), isDeactivated)
	c.remove(1)
	suite.PersonAt(t, s, mailOf(1), isDeactivated)
	require.Equal(t, []string{mailOf(0), mailOf(1)}, inactive(t, s))
	require.NoError(t, s.Simulator.ResetStats(t.Context()))

	c.kill()
	suite.Until(t, s, func(state messages.OrgSyncState) bool { return sourceState(state) == messages.SourceFailing })
	out, err := s.Starter(t.Context(), "status", suite.Org)
	require.NoError(t, err)
	require.Contains(t, out, "cannot be read since")
	hr.Staff["e-temp"] = suite.Employee{Email: "temp@" + mailDomain, Name: "Temp"}
	hr.Export()
	suite.PersonAt(t, s, "temp@"+mailDomain, hasRecord)
	require.Equal(t, []string{mailOf(0), mailOf(1)}, inactive(t, s))
	require.Equal(t, 1, suite.Stats(t, s).Writes, "the record that was made")

	c.start()
	c.hire(7)
	suite.PersonAt(t, s, mailOf(7), hasRecord)
	c.disable(2)
	suite.PersonAt(t, s, mailOf(2), isDeactivated)
	suite.Until(t, s, func(state messages.OrgSyncState) bool { return sourceState(state) == messages.SourceOK })
	require.Equal(t, []string{mailOf(0), mailOf(1), mailOf(2)}, inactive(t, s))
}

// startCompany starts an organization whose people are in the directory, and its boss in files, and waits until all of
// them are provisioned.
func startCompany(t *testing.T, c company) (*stack.Stack, *suite.Files) {
	t.Helper()
	file := cloud.OrgFile{Domains: []string{mailDomain}, People: []string{"boss"}, Admins: []string{"boss"}}
	for number := range crewSize {
		file.People = append(file.People, fmt.Sprintf("p%d", number))
	}
	s := suite.StartWith(t, append(stack.SourceSecret(c.address, c.password), "CASTELLAN_SOURCE_CA="+c.certificate),
		"--org", suite.OrgFile(t, file))
	hr := suite.NewFiles(t, "hr", stack.SourceFolder(s.Dir))
	hr.Staff["e-boss"] = suite.Employee{Email: "boss@" + mailDomain, Name: "The boss"}
	hr.Export()
	c.source["name"], c.source["kind"], c.source["every"] = "corp", "ldap", "5s"
	c.source["url"], c.source["secret"] = "ldaps://"+c.address, "env:"+stack.SourceVariable
	policy, err := json.Marshal(map[string]any{
		"version":      1,
		"organization": map[string]any{"name": suite.Org, "id": s.Simulator.OrgID, "key": "env:" + stack.KeyVariable},
		"sources":      []any{c.source, hr.Source()},
		"provision": []any{map[string]any{"name": "staff", "from": []string{"corp", "hr"},
			"directory": map[string]any{"id": s.Simulator.SCIMDirectoryID, "key": "env:" + stack.SCIMKeyVariable},
			"attributes": map[string]any{"userName": "first(mail, email)", "emails": "first(mail, email)",
				"displayName": "first(cn, name)"}}},
		"guard": map[string]any{"settle": "0s", "adopt": "auto"},
		"sync":  map[string]any{"feed": "5s", "every": "1h"},
	})
	require.NoError(t, err)
	_, err = s.Apply(t.Context(), suite.Org, string(policy))
	require.NoError(t, err)
	everybody := messages.StateCount{State: "linked", Count: crewSize + 1}
	suite.Until(t, s, func(state messages.OrgSyncState) bool {
		return stack.Idle(state) && len(state.Pending.Provisions) == 0 && len(state.Provisions) > 0 &&
			slices.Contains(state.Provisions[0].States, everybody)
	})
	require.Equal(t, "Person 4", suite.PersonAt(t, s, mailOf(4), hasRecord).Name)
	return s, hr
}

// sourceState is that of the directory.
func sourceState(s messages.OrgSyncState) string {
	i := slices.IndexFunc(s.Sources, func(one messages.SourceStatus) bool { return one.Name == "corp" })
	return s.Sources[i].State()
}

// inactive are the addresses of those whose accounts are deactivated.
func inactive(t *testing.T, s *stack.Stack) (all []string) {
	t.Helper()
	for _, p := range suite.State(t, s).People {
		if p.Inactive {
			all = append(all, p.Email)
		}
	}
	slices.Sort(all)
	return all
}

func TestProvisioningFollowsSlapd(t *testing.T) {
	t.Parallel()
	var ldif strings.Builder
	ldif.WriteString("dn: dc=acme\nobjectClass: dcObject\nobjectClass: organization\no: Acme\n\n" +
		"dn: ou=people,dc=acme\nobjectClass: organizationalUnit\n\n" +
		"dn: cn=reader,dc=acme\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\nuserPassword: secret\n\n")
	dn := func(number int) string { return fmt.Sprintf("uid=p%d,ou=people,dc=acme", number) }
	for n := range crewSize {
		fmt.Fprintf(&ldif, "dn: %s\nobjectClass: inetOrgPerson\ncn: Person %d\nsn: Person\nmail: %s\n\n", dn(n), n, mailOf(n))
	}
	s := startSlapd(t, ldif.String())
	requireFollowed(t, company{
		source: map[string]any{"base": "dc=acme", "bind": "cn=reader,dc=acme",
			"people":  map[string]any{"base": "ou=people,dc=acme"},
			"enabled": map[string]any{"attribute": "pwdAccountLockedTime", "no": []string{"000001010000Z"}}},
		address: s.secure, password: "secret", certificate: filepath.Join(s.dir, "cert"),
		hire: func(n int) {
			add(t, s.admin(t), dn(n), map[string][]string{"objectClass": {"inetOrgPerson"},
				"cn": {fmt.Sprintf("Person %d", n)}, "sn": {"Person"}, "mail": {mailOf(n)}})
		},
		disable: func(n int) {
			request := client.NewModifyRequest(dn(n), nil)
			request.Add("pwdAccountLockedTime", []string{"000001010000Z"})
			require.NoError(t, s.admin(t).Modify(request))
		},
		remove: func(n int) { require.NoError(t, s.admin(t).Del(client.NewDelRequest(dn(n), nil))) },
		kill:   s.kill, start: func() { s.start(t) },
	})
}
