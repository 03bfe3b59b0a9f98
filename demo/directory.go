package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/simulator/idp/ldap"
)

const (
	base   = "dc=acme,dc=example"
	reads  = "cn=castellan," + base // who reads the directory
	desk   = "cn=desk,ou=groups," + base
	member = "member"

	guest     = "noor.haddad@acme.example" // has logged in already
	resident  = "milo.reyes@acme.example"
	recruit   = "tove.lind@acme.example"
	promotion = "Lead Agent"

	deskTarget = "jira-servicemanagement-users-" + org // where the mapping leads

	ldapSecret = "CASTELLAN_KEY_ACME_LDAP" // variables of the worker
	scimSecret = "CASTELLAN_KEY_ACME_SCIM"
)

// What the policy gains. The mapping stands with the others.
const (
	following = `
sources: # read whole, every few seconds
  - name: corp
    kind: ldap
    url: ldap://%s
    base: ` + base + `
    bind: ` + reads + `
    secret: env:` + ldapSecret + `
    enabled: {attribute: pwdAccountLockedTime, no: ["000001010000Z"]}
    every: 5s

provision: # its people get records in the SCIM directory, and so accounts
  - name: staff
    from: [corp]
    directory: {id: %s, key: "env:` + scimSecret + `"}
`
	followingMap = `
mappings:
  - name: service desk
    from: ["corp:desk"]
    to: [default:jsm/acme/user]
    removals: all # as the policy has it of these seats
`
)

// openDirectory starts an LDAP directory in this process, and returns the worker's environment for it.
func (d *demo) openDirectory() (env []string, err error) {
	password := rand.Text()
	if d.corp, err = ldap.Listen(ldap.Options{BindDN: reads, Password: password}); err != nil {
		return nil, err
	}
	if err := d.corp.Add(desk, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"desk"},
		"entryUUID": {uuid.NewString()}}); err != nil {
		return nil, err
	}
	return []string{
		ldapSecret + "=" + password, "CASTELLAN_SECRET_HOSTS=" + org + "=env:" + ldapSecret + "@" + d.corp.Address(),
		scimSecret + "=" + stack.SCIMKey, "CASTELLAN_SECRETS=" + org + "=env:" + scimSecret,
	}, nil
}

// dn is where somebody is in the directory.
func dn(address string) string {
	name, _, _ := strings.Cut(address, "@")
	return "uid=" + name + ",ou=people," + base
}

// employ adds somebody to the directory and to the service desk.
func (d *demo) employ(address, given, family, title string) error {
	name, _, _ := strings.Cut(address, "@")
	err := d.corp.Add(dn(address), map[string][]string{"objectClass": {"inetOrgPerson"}, "entryUUID": {uuid.NewString()},
		"uid": {name}, "mail": {address}, "givenName": {given}, "sn": {family}, "cn": {given + " " + family},
		"displayName": {given + " " + family}, "title": {title}})
	if err != nil {
		return err
	}
	return d.corp.Set(desk, member, append(d.corp.Values(desk, member), dn(address))...)
}

// follow has Castellan read the directory and keep its people's records: a life there, from the first day to the last.
func (d *demo) follow(ctx context.Context) error {
	d.out.act("The service desk has an LDAP directory of its own. Castellan reads it, and makes the records itself.")
	account, err := d.logIn(ctx)
	if err != nil {
		return err
	}
	if err := d.beginProvision(ctx, account); err != nil {
		return err
	}
	if err := d.hire(ctx); err != nil {
		return err
	}
	if err := d.promote(ctx); err != nil {
		return err
	}
	return d.letGo(ctx)
}

// logIn fills the directory, and has one of its people log in to Atlassian before they have a record. It returns the
// account that this made.
func (d *demo) logIn(ctx context.Context) (string, error) {
	if err := d.employ(guest, "Noor", "Haddad", "Agent"); err != nil {
		return "", err
	}
	if err := d.employ(resident, "Milo", "Reyes", "Agent"); err != nil {
		return "", err
	}
	if err := d.Simulator.Login(ctx, guest, "Noor Haddad", "confluence", org); err != nil {
		return "", err
	}
	now, err := d.standing(ctx, guest)
	if err == nil && (now.AccountID == "" || now.record.ID != "") {
		err = fmt.Errorf("%s was to have an account and no record: %+v", guest, now)
	}
	return now.AccountID, err
}

// beginProvision applies a policy with the directory, and consents to what would be written.
func (d *demo) beginProvision(ctx context.Context, account string) error {
	d.out.say("  It knows Noor Haddad and Milo Reyes. Noor has logged in to Confluence by herself: that account has no record.")
	added := fmt.Sprintf(following, d.corp.Address(), d.Simulator.SCIMDirectoryID)
	d.out.say("\n  The policy gains a source, a mapping and a provision:\n")
	d.out.output(strings.TrimLeft(followingMap+added, "\n"), 2*mostLines)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	whole := strings.Replace(string(text), "\nmappings:\n", followingMap+"\n", 1) + added
	applied := filepath.Join(d.folder, "with-ldap.yaml")
	if err := os.WriteFile(applied, []byte(whole), 0o600); err != nil {
		return err
	}
	if err := d.ops(ctx, "apply", applied); err != nil {
		return err
	}
	var held messages.OrgSyncState
	if err := d.out.step("reading the directory and everybody in Atlassian, until the plan for the records is held",
		func() (string, error) {
			held, err = d.until(ctx, func(s messages.OrgSyncState) bool {
				return s.IdentityHold != nil && s.Running == nil
			})
			return "", err
		}); err != nil {
		return err
	}
	if err := d.ops(ctx, "plan", "--held", org); err != nil {
		return err
	}
	if err := d.decide(ctx, messages.ApprovePlan, held.IdentityHold.Plan, "the people of the service desk"); err != nil {
		return err
	}
	if err := d.out.step("from then until both have a record, an account and an agent's seat", func() (string, error) {
		if err := d.untilStanding(ctx, resident, employed); err != nil {
			return "", err
		}
		return "", d.untilStanding(ctx, guest, employed)
	}); err != nil {
		return err
	}
	if now, err := d.standing(ctx, guest); err != nil {
		return err
	} else if now.AccountID != account {
		return fmt.Errorf("%s had the account %s, and has %s", guest, account, now.AccountID)
	}
	d.out.say("  Checked in Atlassian: Noor's record is linked to the account that she had.")
	return nil
}

// hire adds somebody to the directory.
func (d *demo) hire(ctx context.Context) error {
	d.out.say("\n  The service desk hires Tove Lind: an entry in the directory, a member of the group desk.\n")
	if err := d.employ(recruit, "Tove", "Lind", "Agent"); err != nil {
		return err
	}
	if err := d.out.step("from then until Tove has a record, an account and an agent's seat", func() (string, error) {
		return "", d.untilStanding(ctx, recruit, employed)
	}); err != nil {
		return err
	}
	if _, err := d.until(ctx, stack.Idle); err != nil {
		return err
	}
	return d.ops(ctx, "why", org, recruit)
}

// promote changes one attribute of somebody.
func (d *demo) promote(ctx context.Context) error {
	before, err := d.standing(ctx, recruit)
	if err != nil {
		return err
	}
	d.out.say("  Tove is promoted: the directory has another title.\n")
	if err := d.corp.Set(dn(recruit), "title", promotion); err != nil {
		return err
	}
	if err := d.out.step("from then until her record says "+promotion, func() (string, error) {
		return "", stack.Eventually(ctx, patience, func() error { return d.titled(ctx) })
	}); err != nil {
		return err
	}
	after, err := d.standing(ctx, recruit)
	if err != nil {
		return err
	}
	if writes := after.record.Writes - before.record.Writes; writes != 1 {
		return fmt.Errorf("one write was to change the title, and it took %d", writes)
	}
	d.out.say("  Checked in Atlassian: it took one PATCH, of the title alone.")
	return nil
}

// letGo disables somebody in the directory.
func (d *demo) letGo(ctx context.Context) error {
	d.out.say("\n  Tove leaves: her entry is locked. That is asked for once more, and then written at once.\n")
	if err := d.corp.Set(dn(recruit), "pwdAccountLockedTime", "000001010000Z"); err != nil {
		return err
	}
	if err := d.out.step("from then until her account is deactivated and the seat is free", func() (string, error) {
		return "", d.untilStanding(ctx, recruit, gone)
	}); err != nil {
		return err
	}
	if _, err := d.until(ctx, stack.Idle); err != nil {
		return err
	}
	for _, address := range []string{guest, resident} {
		if now, err := d.standing(ctx, address); err != nil {
			return err
		} else if err := employed(now); err != nil {
			return fmt.Errorf("somebody else left, and %s: %w", address, err)
		}
	}
	return d.ops(ctx, "status", org)
}

// standing is how somebody of the service desk stands in Atlassian.
type standing struct {
	cloud.StatePerson
	record cloud.SCIMRecord
	seat   bool
}

func (d *demo) standing(ctx context.Context, address string) (s standing, err error) {
	truth, err := d.Simulator.State(ctx)
	if err != nil {
		return s, err
	}
	directory, err := d.Simulator.Directory(ctx)
	if err != nil {
		return s, err
	}
	if i := slices.IndexFunc(truth.People, func(p cloud.StatePerson) bool { return p.Email == address }); i >= 0 {
		s.StatePerson = truth.People[i]
		s.seat = slices.Contains(stack.Members(truth, deskTarget), s.AccountID)
	}
	if i := slices.IndexFunc(directory.Records,
		func(r cloud.SCIMRecord) bool { return r.Email == address }); i >= 0 {
		s.record = directory.Records[i]
	}
	return s, nil
}

// employed returns an error unless somebody has a record, its account, and an agent's seat.
func employed(s standing) error {
	if s.AccountID == "" || s.record.AccountID != s.AccountID || !s.record.Active || s.Inactive || !s.seat {
		return fmt.Errorf("not everything is there yet: %+v", s)
	}
	return nil
}

// gone returns an error unless somebody's record is inactive, and with it the account, which has no access.
func gone(s standing) error {
	if s.record.ID == "" || s.record.Active || !s.Inactive || s.seat {
		return fmt.Errorf("something is left: %+v", s)
	}
	return nil
}

func (d *demo) untilStanding(ctx context.Context, address string, want func(standing) error) error {
	return stack.Eventually(ctx, patience, func() error {
		if err := d.alive(); err != nil {
			return err
		}
		now, err := d.standing(ctx, address)
		if err == nil {
			err = want(now)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
		return nil
	})
}

// titled returns an error unless the recruit's record has the title of the promotion.
func (d *demo) titled(ctx context.Context) error {
	now, err := d.standing(ctx, recruit)
	if err != nil {
		return err
	}
	idp, err := d.Simulator.SCIM()
	if err != nil {
		return err
	}
	record, err := idp.User(ctx, now.record.ID)
	if err == nil && record.Title != promotion {
		err = fmt.Errorf("the title of %s is %q", recruit, record.Title)
	}
	return err
}
