package ldap_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	client "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/ldap"
)

const (
	sambaBase = "DC=acme,DC=example"
	sambaWord = "Passw0rd.1"
)

// samba is a running Samba, as the domain controller of Active Directory, in a network of its own.
type samba struct {
	roots                *x509.CertPool
	unshare, server, dir string
	command              *exec.Cmd    // nil while it does not run
	pid                  atomic.Int64 // of the command, whose network it is in
}

// dial connects to an address in the network of Samba.
func (s *samba) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialInNetworkOf(int(s.pid.Load()))(ctx, network, address)
}

// connect connects to Samba.
func (s *samba) connect(ctx context.Context) (net.Conn, error) {
	return s.dial(ctx, "tcp", "127.0.0.1:636")
}

func startSamba(t *testing.T) *samba {
	t.Helper()
	tool, server := program(t, "samba-tool", "samba-ad-dc samba-ad-provision"), program(t, "samba", "samba-ad-dc")
	unshare := program(t, "unshare", "util-linux")
	program(t, "ip", "iproute2")
	if err := exec.Command(unshare, "-n", "true").Run(); err != nil {
		missing(t, "Samba listens on fixed ports, and needs root for a network of its own: %v", err)
	}
	dir := t.TempDir()
	s := &samba{roots: certificate(t, filepath.Join(dir, "cert"), filepath.Join(dir, "key")), unshare: unshare,
		server: server, dir: dir}
	out, err := exec.Command(tool, "domain", "provision", "--realm=ACME.EXAMPLE", "--domain=ACME", "--server-role=dc",
		"--dns-backend=NONE", "--adminpass="+sambaWord, "--targetdir="+filepath.Join(dir, "d"), "--host-name=dc1",
		"--host-ip=127.0.0.1", "--option=vfs objects=acl_xattr").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(s.kill)
	s.start(t)
	return s
}

// kill ends Samba, all processes at once.
func (s *samba) kill() {
	if s.command != nil {
		_ = syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL)
		_ = s.command.Wait()
		s.command = nil
	}
}

// start starts Samba with what was provisioned, in another network of its own.
func (s *samba) start(t *testing.T) {
	t.Helper()
	arguments := []string{"-n", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", s.server, "-F",
		"--no-process-group", "-s", filepath.Join(s.dir, "d", "etc", "smb.conf")}
	for option, value := range map[string]string{
		"server services": "ldap", "log file": filepath.Join(s.dir, "log"), "pid directory": s.dir,
		"ncalrpc dir":               filepath.Join(s.dir, "ncalrpc"),
		"winbindd socket directory": filepath.Join(s.dir, "winbindd"),
		"tls certfile":              filepath.Join(s.dir, "cert"), "tls keyfile": filepath.Join(s.dir, "key"),
		"tls cafile": filepath.Join(s.dir, "cert"),
	} {
		arguments = append(arguments, "--option="+option+"="+value)
	}
	command := exec.Command(s.unshare, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, command.Start())
	s.command = command
	s.pid.Store(int64(command.Process.Pid))
	require.Eventually(t, func() bool {
		conn, err := s.connect(t.Context())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 3*time.Minute, 100*time.Millisecond, "Samba does not start")
}

// dialInNetworkOf returns a dialer in the network of a process: a socket belongs to that of the thread that made it.
func dialInNetworkOf(pid int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ours, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return nil, err
		}
		defer func() { _ = ours.Close() }()
		theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			return nil, err
		}
		defer func() { _ = theirs.Close() }()
		runtime.LockOSThread()
		if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			return nil, err
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if back := unix.Setns(int(ours.Fd()), unix.CLONE_NEWNET); back != nil {
			panic(back) // this thread must not be used for anything else
		}
		runtime.UnlockOSThread()
		return conn, err
	}
}

func (s *samba) options(account string) ldap.Options {
	return ldap.Options{
		URL: "ldaps://127.0.0.1", RootCAs: s.roots, Dial: s.dial, BindDN: account + "@acme.example",
		Password: password(sambaWord), ActiveDirectory: true, Base: sambaBase, PageSize: 20,
		People: ldap.People{Base: "OU=Staff," + sambaBase},
	}
}

func (s *samba) admin(t *testing.T) *client.Conn {
	t.Helper()
	raw, err := s.connect(t.Context())
	require.NoError(t, err)
	conn := client.NewConn(tls.Client(raw, &tls.Config{ServerName: "127.0.0.1", RootCAs: s.roots}), true)
	conn.Start()
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.Bind("administrator@acme.example", sambaWord))
	return conn
}

// quoted is a password as Active Directory takes it.
func quoted(word string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + word + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// addReader adds the account that reads.
func addReader(t *testing.T, admin *client.Conn) {
	t.Helper()
	add(t, admin, "CN=reader,CN=Users,"+sambaBase, map[string][]string{
		"objectClass": {"user"}, "sAMAccountName": {"reader"}, "userPrincipalName": {"reader@acme.example"},
		"userAccountControl": {"512"}, "unicodePwd": {quoted(sambaWord)},
	})
}

// addToSamba adds a person to a unit.
func addToSamba(t *testing.T, admin *client.Conn, number int, unit, control string) {
	t.Helper()
	add(t, admin, fmt.Sprintf("CN=Person %d,OU=%s,%s", number, unit, sambaBase), map[string][]string{
		"objectClass": {"user"}, "sAMAccountName": {fmt.Sprintf("p%d", number)}, "userAccountControl": {control},
		"mail": {fmt.Sprintf("p%d@acme.example", number)}, "sn": {"Smith, Ann"},
	})
}

// seedSamba adds fifty people, of whom two are disabled and one is elsewhere, a reader, and five nested groups that end
// in a cycle.
func seedSamba(t *testing.T, admin *client.Conn) {
	t.Helper()
	for _, unit := range []string{"Staff", "Leavers", "Groups"} {
		add(t, admin, "OU="+unit+","+sambaBase, map[string][]string{"objectClass": {"organizationalUnit"}})
	}
	addReader(t, admin)
	for number := range 50 {
		unit, control := "Staff", "544" // enabled, without a password
		if number == 3 || number == 4 {
			control = "546"
		}
		if number == 5 {
			unit = "Leavers"
		}
		addToSamba(t, admin, number, unit, control)
	}
	for level := range 5 {
		unit := "staff"
		if level == 4 {
			unit = "leavers"
		}
		add(t, admin, fmt.Sprintf("CN=level%d,OU=Groups,%s", level, sambaBase), map[string][]string{
			"objectClass": {"group"}, "sAMAccountName": {fmt.Sprintf("level%d", level)},
			"member": {fmt.Sprintf("cn=person %d,ou=%s,%s", level+1, unit, sambaBase)},
		})
	}
	for level := range 5 {
		request := client.NewModifyRequest(fmt.Sprintf("CN=level%d,OU=Groups,%s", level, sambaBase), nil)
		request.Add("member", []string{fmt.Sprintf("CN=level%d,OU=Groups,%s", (level+1)%5, sambaBase)})
		require.NoError(t, admin.Modify(request))
	}
}

func TestSamba(t *testing.T) {
	s := startSamba(t)
	admin := s.admin(t)
	seedSamba(t, admin)
	reader, err := ldap.New(s.options("reader"))
	require.NoError(t, err)
	byAdmin, err := ldap.New(s.options("administrator"))
	require.NoError(t, err)

	options := s.options("reader")
	direct := readAll(t, options)
	options.Groups.Nested = true
	nested := readAll(t, options)
	require.Len(t, direct.people, 49)
	require.Equal(t, direct.people, nested.people)
	require.Equal(t, "p7@acme.example", direct.named(t, "sAMAccountName", "p7").Attributes["mail"])
	require.True(t, *direct.named(t, "sAMAccountName", "p7").Enabled)
	require.False(t, *direct.named(t, "sAMAccountName", "p3").Enabled)
	for level := range 5 {
		name := fmt.Sprintf("level%d", level)
		require.Len(t, direct.groups[name].Members, 1, name)
		require.Len(t, nested.groups[name].Members, 5, name)
	}
	require.Greater(t, len(direct.groups["Domain Users"].Members), 50, "by their primary group, out of scope too")
	require.Subset(t, nested.groups["Users"].Members, direct.groups["Domain Users"].Members)

	t.Run("who reads", func(t *testing.T) {
		require.Equal(t, direct.proof.As, readAll(t, s.options("reader")).proof.As)
		request := client.NewModifyRequest("CN=Account Operators,CN=Builtin,"+sambaBase, nil)
		request.Add("member", []string{"CN=reader,CN=Users," + sambaBase})
		require.NoError(t, admin.Modify(request))
		require.NotEqual(t, direct.proof.As, readAll(t, s.options("reader")).proof.As, "it is in another group now")
	})
	t.Run("lookup", func(t *testing.T) {
		p7 := direct.named(t, "sAMAccountName", "p7")
		found, err := reader.Lookup(t.Context(), p7.Key)
		require.NoError(t, err)
		require.Equal(t, p7, found)

		p3 := direct.named(t, "sAMAccountName", "p3")
		require.NoError(t, admin.ModifyDN(client.NewModifyDNRequest("CN=Person 3,OU=Staff,"+sambaBase, "CN=Left", true,
			"OU=Leavers,"+sambaBase)))
		found, err = reader.Lookup(t.Context(), p3.Key)
		require.NoError(t, err)
		require.False(t, *found.Enabled)

		require.NoError(t, admin.Del(client.NewDelRequest("CN=Left,OU=Leavers,"+sambaBase, nil)))
		_, err = byAdmin.Lookup(t.Context(), p3.Key)
		require.ErrorIs(t, err, source.ErrGone)
		require.ErrorContains(t, err, "it was deleted")
		_, err = reader.Lookup(t.Context(), p3.Key)
		require.ErrorIs(t, err, source.ErrGone)
	})
	t.Run("changes", func(t *testing.T) {
		watcher := byAdmin.(source.Watcher)
		none, cursor, err := watcher.Changes(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, none)
		request := client.NewModifyRequest("CN=Person 8,OU=Staff,"+sambaBase, nil)
		request.Replace("title", []string{"Engineer"})
		require.NoError(t, admin.Modify(request))
		request = client.NewModifyRequest("CN=level2,OU=Groups,"+sambaBase, nil)
		request.Add("member", []string{"CN=Person 8,OU=Staff," + sambaBase})
		require.NoError(t, admin.Modify(request))
		require.NoError(t, admin.Del(client.NewDelRequest("CN=Person 9,OU=Staff,"+sambaBase, nil)))

		changes, cursor, err := watcher.Changes(t.Context(), cursor)
		require.NoError(t, err)
		require.False(t, changes.All)
		require.Contains(t, changes.People, direct.named(t, "sAMAccountName", "p8").Key)
		require.Contains(t, changes.People, direct.named(t, "sAMAccountName", "p9").Key, "deleted")
		require.Contains(t, changes.Groups, direct.groups["level2"].Key)
		none, _, err = watcher.Changes(t.Context(), cursor)
		require.NoError(t, err)
		require.Empty(t, none)
	})
	t.Run("a wrong password", func(t *testing.T) {
		options := s.options("reader")
		options.Password = password("hunter2")
		_, err := read(t, options)
		require.ErrorIs(t, err, source.ErrUnauthorized)
		require.NotContains(t, err.Error(), "hunter2")
	})
	t.Run("in the clear", func(t *testing.T) {
		options := s.options("reader")
		options.URL = "ldap://127.0.0.1"
		_, err := read(t, options)
		require.ErrorIs(t, err, source.ErrInvalid)
		require.ErrorContains(t, err, "StartTLS")
		options.StartTLS = true
		require.NotEmpty(t, readAll(t, options).people)
	})
}
