package compose_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cluster is a PostgreSQL server of a test's own, on a socket in its folder alone. Its superuser comes in without a
// password, as in the image, and the two roles with theirs.
type cluster struct {
	folder string
	as     []string // runs a program as the user who PostgreSQL runs as
}

func startCluster(t *testing.T) cluster {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Sort(bins)
	slices.Reverse(bins)
	for _, bin := range bins {
		t.Setenv("PATH", os.Getenv("PATH")+":"+bin)
	}
	if _, err := exec.LookPath("initdb"); err != nil {
		t.Skip("there is no PostgreSQL here")
	}
	folder, err := os.MkdirTemp("", "castellan-") // below the test's own folder, another user could not reach it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	c := cluster{folder: folder}
	if os.Getuid() == 0 { // as which PostgreSQL does not run
		owner, err := user.Lookup("postgres")
		require.NoError(t, err)
		uid, err := strconv.Atoi(owner.Uid)
		require.NoError(t, err)
		require.NoError(t, os.Chown(folder, uid, -1))
		c.as = []string{"runuser", "-u", "postgres", "--", "env", "PATH=" + os.Getenv("PATH"), "PGHOST=" + folder}
	} else {
		c.as = []string{"env", "PGHOST=" + folder}
	}
	data := filepath.Join(folder, "data")
	c.must(t, "initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync")
	c.must(t, "sed", "-i", `1i local all temporal,castellan scram-sha-256`, filepath.Join(data, "pg_hba.conf"))
	c.must(t, "pg_ctl", "--pgdata", data, "--wait", "--log", filepath.Join(folder, "log"), "--options",
		"-c listen_addresses='' -c fsync=off -c unix_socket_directories="+folder, "start")
	t.Cleanup(func() { _, _ = c.run("pg_ctl", "--pgdata", data, "--mode", "immediate", "stop") })
	c.must(t, "mkdir", "-p", filepath.Join(folder, "passwords/temporal"), filepath.Join(folder, "passwords/castellan"))
	return c
}

func (c cluster) run(program string, arguments ...string) (string, error) {
	words := append(append(slices.Clone(c.as), program), arguments...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = c.folder
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c cluster) must(t *testing.T, program string, arguments ...string) string {
	t.Helper()
	out, err := c.run(program, arguments...)
	require.NoError(t, err, out)
	return out
}

func (c cluster) passwordFile(role string) string {
	return filepath.Join(c.folder, "passwords", role, "password")
}

// connects reports whether the role comes into the database with the password that its file has.
func (c cluster) connects(t *testing.T, role, database string) bool {
	t.Helper()
	password, err := os.ReadFile(c.passwordFile(role))
	require.NoError(t, err)
	_, err = c.run("env", "PGPASSWORD="+string(password), "psql", "--no-psqlrc", "--username", role, "--dbname",
		database, "--command", "CREATE TEMP TABLE mine ()")
	return err == nil
}

// TestDatabasesThatAreMissingAreCreated: after a first start that was broken off, after a password was lost, and again.
func TestDatabasesThatAreMissingAreCreated(t *testing.T) {
	c := startCluster(t)
	text := read(t, "deploy/postgres/databases.sh")
	script := filepath.Join(c.folder, "databases.sh")
	require.NoError(t, os.WriteFile(script, []byte(text), 0o755))
	passwords := filepath.Join(c.folder, "passwords")
	// and then somebody pulled the plug
	c.must(t, "psql", "--username", "postgres", "--command", "CREATE ROLE temporal")

	out := c.must(t, "sh", script, passwords)
	require.Contains(t, out, "there is no password of temporal yet, or it was lost")
	for role, databases := range map[string][]string{"temporal": {"temporal", "temporal_visibility"},
		"castellan": {"castellan"}} {
		for _, database := range databases {
			require.True(t, c.connects(t, role, database), "%s in %s", role, database)
		}
	}
	require.False(t, c.connects(t, "castellan", "temporal"), "one must not see the other's")
	require.False(t, c.connects(t, "temporal", "castellan"), "one must not see the other's")

	before, err := os.ReadFile(c.passwordFile("castellan"))
	require.NoError(t, err)
	require.NotContains(t, c.must(t, "sh", script, passwords), "making one")
	after, err := os.ReadFile(c.passwordFile("castellan"))
	require.NoError(t, err)
	require.Equal(t, before, after)

	require.NoError(t, os.Remove(c.passwordFile("castellan")))
	require.Contains(t, c.must(t, "sh", script, passwords), "there is no password of castellan yet, or it was lost")
	require.True(t, c.connects(t, "castellan", "castellan"))
	after, err = os.ReadFile(c.passwordFile("castellan"))
	require.NoError(t, err)
	require.NotEqual(t, before, after)
}

// TestDatabasesOfAnInterruptedFirstStartAreRecreated: what initdb leaves when it is killed passes for a cluster.
// Whatever has a database of anybody's stays as it is.
func TestDatabasesOfAnInterruptedFirstStartAreRecreated(t *testing.T) {
	script := absolute(t, "deploy/postgres/start.sh")
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "docker-entrypoint.sh"),
		[]byte("#!/bin/sh\necho \"starts $*\"\n"), 0o700))
	for name, test := range map[string]struct {
		files []string
		stay  bool
	}{
		"nothing yet":               {nil, true},
		"killed while it is made":   {[]string{"PG_VERSION", "base/1/PG_VERSION"}, false},
		"killed before its version": {[]string{"global/1262", "base/1/1259"}, false},
		"killed before pg_hba.conf": {[]string{"PG_VERSION", "base/1/1259", "base/4/1259", "base/5/1259"}, false},
		"a database of somebody's": {[]string{"PG_VERSION", "base/1/1259", "base/4/1259", "base/5/1259",
			"base/16384/1259"}, true},
		"something else": {[]string{"PG_VERSION", "global/1262"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			for _, file := range test.files {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(data, file)), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(data, file), []byte("17\n"), 0o600))
			}
			cmd := exec.CommandContext(t.Context(), "sh", script, "postgres", "-c", "x=y")
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "PGDATA="+data)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), "starts postgres -c x=y\n")
			for _, file := range test.files {
				if test.stay {
					require.FileExists(t, filepath.Join(data, file))
				}
			}
			left, err := os.ReadDir(data)
			require.NoError(t, err)
			require.Equal(t, test.stay && len(test.files) > 0, len(left) > 0)
			require.Equal(t, !test.stay, strings.Contains(string(out), "broken off"))
		})
	}
}
