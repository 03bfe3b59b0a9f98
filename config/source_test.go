package config_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/config"
)

func TestResolveForSendsASecretToItsHostsOnly(t *testing.T) {
	clearVariables(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return "file:" + path
	}
	ldap, entra := write("acme/ldap", "hunter2\n"), write("acme/entra@home", "hunter3")
	key, others := write("acme/atlassian", "hunter4"), write("globex/ldap", "hunter5")
	t.Setenv("AD_PASSWORD", "hunter6")
	t.Setenv("CASTELLAN_KEY_ACME", "hunter7")
	t.Setenv("CASTELLAN_SECRETS_DIR", dir)
	t.Setenv("CASTELLAN_SECRET_HOSTS", "acme="+ldap+"@DC1.acme.example:636+dc2.acme.example:636, acme="+entra+
		"@graph.microsoft.com+login.microsoftonline.com,acme=env:AD_PASSWORD@[2001:DB8::1]:636,acme="+ldap+"@::1")
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	secrets := worker.Secrets()

	for _, c := range []struct {
		ref   string
		hosts []string
		value string
	}{
		{ldap, []string{"dc1.acme.example:636"}, "hunter2"},
		{ldap, []string{"dc1.ACME.example:0636", "dc2.acme.example:636"}, "hunter2"},
		{ldap, []string{"[::1]:443", "0:0::1"}, "hunter2"},
		{entra, []string{"graph.microsoft.com", "login.microsoftonline.com:443"}, "hunter3"},
		{"env:AD_PASSWORD", []string{"[2001:db8:0::1]:636"}, "hunter6"},
	} {
		secret, err := secrets.ResolveFor("acme", c.ref, c.hosts...)
		require.NoError(t, err)
		require.Equal(t, c.value, secret.Reveal())
	}
	for _, c := range []struct {
		org, ref string
		hosts    []string
		says     string
	}{
		{"acme", ldap, []string{"evil.example:636"}, "add to CASTELLAN_SECRET_HOSTS, after a comma if there is more: acme=" + ldap +
			"@evil.example:636"},
		{"acme", ldap, []string{"dc1.acme.example:636", "evil.example"}, "acme=" + ldap + "@evil.example:443"},
		{"acme", ldap, []string{"a.example", "b.example:1"}, "acme=" + ldap + "@a.example:443+b.example:1"},
		{"acme", ldap, []string{"dc1.acme.example"}, "it may be sent to dc1.acme.example:636 and"},
		{"acme", ldap, []string{"dc1.acme.example:6360"}, "CASTELLAN_SECRET_HOSTS"},
		{"acme", ldap, []string{"dc1.acme.example.:636"}, "no host"},
		{"acme", ldap, []string{"dc1.acme.example@evil.example:636"}, "no host"},
		{"acme", entra, []string{"login.microsoftonline.com", "graph.microso\u017ft.com"}, "no host"},
		{"acme", ldap, nil, "not said to which host"},
		{"acme", key, []string{"dc1.acme.example:636"}, "no source may have it"},
		{"acme", "env:CASTELLAN_KEY_ACME", []string{"dc1.acme.example:636"},
			"acme=env:CASTELLAN_KEY_ACME@dc1.acme.example:636"},
		{"acme", others, []string{"dc1.acme.example:636"}, "no source may have it"},
		{"globex", ldap, []string{"dc1.acme.example:636"}, "no source may have it"},
		{"acme", "hunter2", []string{"dc1.acme.example:636"}, "not a secret reference"},
	} {
		_, err := secrets.ResolveFor(c.org, c.ref, c.hosts...)
		require.ErrorContains(t, err, c.says, "%s to %v", c.ref, c.hosts)
		require.NotContains(t, err.Error(), "hunter")
	}

	_, err = secrets.Resolve("acme", ldap)
	require.ErrorContains(t, err, "an identity source's alone", "nor is it sent to Atlassian")
	_, err = secrets.Resolve("globex", "env:AD_PASSWORD")
	require.ErrorContains(t, err, "may not use it")
	secret, err := secrets.Resolve("acme", key)
	require.NoError(t, err)
	require.Equal(t, "hunter4", secret.Reveal())
}

// TestResolveForAddsWhatItAsksFor: the entry that an error names is what was missing.
func TestResolveForAddsWhatItAsksFor(t *testing.T) {
	t.Setenv("OKTA_TOKEN", "value")
	rapid.Check(t, func(r *rapid.T) {
		host := rapid.StringMatching(`[a-zA-Z0-9]([a-zA-Z0-9.-]{0,10}[a-z])?(:[1-9][0-9]{0,3})?`)
		hosts := rapid.SliceOfN(host, 1, 3).Draw(r, "hosts")
		_, err := config.Secrets{}.ResolveFor("acme", "env:OKTA_TOKEN", hosts...)
		require.Error(r, err)
		_, entry, _ := strings.Cut(err.Error(), "if there is more: ")
		secrets := config.Worker{SecretsDir: "/x", SecretHosts: []string{entry}}.Secrets()
		_, err = secrets.ResolveFor("acme", "env:OKTA_TOKEN", hosts...)
		require.NoError(r, err)
	})
}

func TestResolveForTakesKeysOfSeveralLines(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "acme"), 0o700))
	file := filepath.Join(dir, "acme", "okta.pem")
	secrets := config.Secrets{Dir: dir,
		Hosts: map[string]map[string][]string{"acme": {"file:" + file: {"acme.okta.com:443"}}}}
	for content, want := range map[string]string{"\ufeff-----BEGIN\r\nhunter2\n": "-----BEGIN\r\nhunter2",
		"{\t\"x\":\n1}": "{\t\"x\":\n1}", "hunter2\x00": "", " \n": ""} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		secret, err := secrets.ResolveFor("acme", "file:"+file, "acme.okta.com")
		if want == "" {
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, secret.Reveal())
	}
}

func TestSourcesReadsFoldersAndCertificates(t *testing.T) {
	clearVariables(t)
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw}), 0o600))
	t.Setenv("CASTELLAN_SOURCE_CA", file)
	t.Setenv("CASTELLAN_SOURCE_FOLDERS", "acme=/srv/a, acme=/srv/b,globex=/srv/a")
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	sources, err := worker.Sources()
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"acme": {"/srv/a", "/srv/b"}, "globex": {"/srv/a"}}, sources.Folders)
	_, err = server.Certificate().Verify(x509.VerifyOptions{Roots: sources.CAs, DNSName: "example.com"})
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(file, []byte("no certificate"), 0o600))
	_, err = worker.Sources()
	require.ErrorContains(t, err, "CASTELLAN_SOURCE_CA: "+file+" holds no certificate")
	require.NoError(t, os.Remove(file))
	_, err = worker.Sources()
	require.ErrorContains(t, err, "CASTELLAN_SOURCE_CA")

	clearVariables(t)
	worker, err = config.Load[config.Worker]()
	require.NoError(t, err)
	sources, err = worker.Sources()
	require.NoError(t, err)
	require.Equal(t, config.Sources{Folders: map[string][]string{}}, sources, "the system's authorities")
}
