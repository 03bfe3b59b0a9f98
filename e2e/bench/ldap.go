package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/uuid"

	"github.com/castellan-io/castellan/e2e/stack"
	fake "github.com/castellan-io/castellan/simulator/idp/ldap"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/ldap"
)

const (
	ldapBase     = "dc=acme"
	ldapReader   = "cn=reader," + ldapBase
	ldapPassword = "sim-ldap-password"
	ldapLeft     = "left" // employeeType of who is disabled
)

// ldapDirectory is a directory whose people a benchmark hires and lets go.
type ldapDirectory interface {
	name() string
	address() string
	add(key, title string) error
	addGroup(name string, members []string) error // members by their DNs
	set(key, attribute, value string) error
	remove(key string) error
	stop()
}

func ldapDN(key string) string { return "uid=" + key + ",ou=people," + ldapBase }

// ldapEntry is what the directory says of somebody.
func ldapEntry(key, title string) map[string][]string {
	return map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {key}, "cn": {"Person " + key}, "sn": {key},
		"givenName": {"Person"}, "displayName": {"Person " + key}, "mail": {key + "@acme.example"}, "title": {title},
		"departmentNumber": {"7"}, "employeeType": {"staff"}}
}

func groupDN(name string) string { return "cn=" + name + "," + ldapBase }

func groupEntry(name string, members []string) map[string][]string {
	return map[string][]string{"objectClass": {"groupOfNames"}, "cn": {name}, "member": members}
}

func keyOf(number int) string { return fmt.Sprintf("p%06d", number) }

// startLDAP starts slapd with so many people where it is installed, and otherwise a directory in this process.
func startLDAP(ctx context.Context, dir string, people int) (ldapDirectory, error) {
	server, err := exec.LookPath("slapd")
	if err != nil {
		server = "/usr/sbin/slapd"
	}
	if _, err := os.Stat(server); err == nil {
		return startSlapd(ctx, server, dir, people)
	}
	in, err := fake.Listen(fake.Options{BindDN: ldapReader, Password: ldapPassword})
	if err != nil {
		return nil, err
	}
	d := &ldapInProcess{in}
	for n := range people {
		if err := d.add(keyOf(n), "Engineer"); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// readLDAP reads everybody as the worker does, without storing them, and returns how long that took.
func readLDAP(ctx context.Context, d ldapDirectory) (time.Duration, error) {
	reader, err := ldap.New(ldap.Options{URL: "ldap://" + d.address(), BindDN: ldapReader, Base: ldapBase,
		Password: func(context.Context) (string, error) { return ldapPassword, nil }})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = reader.Read(ctx, func(source.Page) error { return nil })
	return time.Since(began), err
}

// ldapInProcess is the simulator's own directory.
type ldapInProcess struct{ *fake.Server }

func (d *ldapInProcess) name() string    { return "in-process LDAP directory" }
func (d *ldapInProcess) address() string { return d.Address() }
func (d *ldapInProcess) stop()           { d.Close() }

func (d *ldapInProcess) add(key, title string) error {
	entry := ldapEntry(key, title)
	entry["entryUUID"] = []string{uuid.NewString()}
	return d.Add(ldapDN(key), entry)
}

func (d *ldapInProcess) addGroup(name string, members []string) error {
	entry := groupEntry(name, members)
	entry["entryUUID"] = []string{uuid.NewString()}
	return d.Add(groupDN(name), entry)
}

func (d *ldapInProcess) set(key, attribute, value string) error {
	return d.Set(ldapDN(key), attribute, value)
}
func (d *ldapInProcess) remove(key string) error { return d.Remove(ldapDN(key)) }

// slapd is OpenLDAP.
type slapd struct {
	process *stack.Process
	listens string
	admin   *client.Conn
}

const slapdConfig = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile DIR/pid
sizelimit 500
database mdb
suffix "dc=acme"
rootdn "cn=admin,dc=acme"
rootpw PASSWORD
directory DIR/db
maxsize 1073741824
dbnosync
index objectClass,entryUUID,uid eq
limits dn.exact="cn=reader,dc=acme" size.soft=500 size.hard=500 size.pr=unlimited size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by * read
`

func startSlapd(ctx context.Context, server, dir string, people int) (*slapd, error) {
	dir = filepath.Join(dir, "slapd")
	if err := os.MkdirAll(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, err
	}
	config, seed := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "seed.ldif")
	text := strings.NewReplacer("DIR", dir, "PASSWORD", ldapPassword).Replace(slapdConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(seed, []byte(ldif(people)), 0o600); err != nil {
		return nil, err
	}
	add := exec.CommandContext(ctx, filepath.Join(filepath.Dir(server), "slapadd"), "-q", "-f", config, "-l", seed)
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("slapadd: %w\n%s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &slapd{listens: listener.Addr().String()}
	_ = listener.Close()
	s.process, err = stack.Run(exec.Command(server, "-f", config, "-h", "ldap://"+s.listens, "-d", "0"),
		filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	return s, stack.Eventually(ctx, time.Minute, func() (err error) {
		if s.admin, err = client.DialURL("ldap://" + s.listens); err == nil {
			err = s.admin.Bind("cn=admin,"+ldapBase, ldapPassword)
		}
		return err
	})
}

// ldif is the directory in the beginning.
func ldif(people int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: Acme\n\n", ldapBase)
	fmt.Fprintf(&b, "dn: ou=people,%s\nobjectClass: organizationalUnit\n\n", ldapBase)
	fmt.Fprintf(&b, "dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\nuserPassword: %s\n\n",
		ldapReader, ldapPassword)
	for n := range people {
		key := keyOf(n)
		fmt.Fprintf(&b, "dn: %s\n", ldapDN(key))
		for name, values := range ldapEntry(key, "Engineer") {
			fmt.Fprintf(&b, "%s: %s\n", name, values[0])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (s *slapd) name() string    { return "slapd" }
func (s *slapd) address() string { return s.listens }
func (s *slapd) stop()           { s.process.Stop(5 * time.Second) }

func (s *slapd) add(key, title string) error {
	request := client.NewAddRequest(ldapDN(key), nil)
	for name, values := range ldapEntry(key, title) {
		request.Attribute(name, values)
	}
	return s.admin.Add(request)
}

func (s *slapd) addGroup(name string, members []string) error {
	request := client.NewAddRequest(groupDN(name), nil)
	for attribute, values := range groupEntry(name, members) {
		request.Attribute(attribute, values)
	}
	return s.admin.Add(request)
}

func (s *slapd) set(key, attribute, value string) error {
	request := client.NewModifyRequest(ldapDN(key), nil)
	request.Replace(attribute, []string{value})
	return s.admin.Modify(request)
}

func (s *slapd) remove(key string) error { return s.admin.Del(client.NewDelRequest(ldapDN(key), nil)) }
