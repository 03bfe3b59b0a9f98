package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/yaml.v3"

	"github.com/castellan-io/castellan/config"
)

func TestSecretIsNeverShown(t *testing.T) {
	const value = "hunter2"
	secret := config.NewSecret(value)
	type settings struct {
		Shown  config.Secret
		hidden config.Secret // printers cannot call its methods
	}
	holder := settings{secret, secret}

	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, &secret), fmt.Sprintf(verb, holder),
			fmt.Sprintf(verb, &holder),
			fmt.Sprintf(verb, []config.Secret{secret}), fmt.Sprintf(verb, map[string]any{"key": secret}))
	}
	asJSON, err := json.Marshal(holder)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(map[string]any{"key": secret})
	require.NoError(t, err)
	var log strings.Builder
	config.NewLogger(&log, zapcore.DebugLevel, config.LogJSON).Info("settings", zap.Any("a", secret),
		zap.Any("b", holder), zap.Stringer("c", secret), zap.Reflect("d", &holder))
	shown = append(shown, string(asJSON), string(asYAML), log.String(), fmt.Errorf("wrapped: %v", holder).Error())

	for _, text := range shown {
		require.NotContains(t, text, value)
		require.NotContains(t, strings.ToLower(text), fmt.Sprintf("%x", value))
	}
	require.Equal(t, "[secret]", secret.String())
	require.JSONEq(t, `{"Shown":"[secret]"}`, string(asJSON))
	require.Equal(t, value, secret.Reveal())
	require.Empty(t, config.Secret{}.Reveal())
}

func TestResolveFromEnvironment(t *testing.T) {
	t.Setenv("CASTELLAN_KEY_ACME", "  hunter2\n")
	t.Setenv("CASTELLAN_KEY_ACME_EU", "hunter3")
	t.Setenv("CASTELLAN_KEY_EMPTY", " \n")
	t.Setenv("CASTELLAN_KEY_LINES", "hunter2\nhunter3")
	t.Setenv("CASTELLAN_KEY_", "hunter2")
	t.Setenv("OTHER_KEY", "hunter2")
	secrets := config.Secrets{Dir: t.TempDir()}

	for org, key := range map[string]string{"acme": "hunter2", "acme-eu": "hunter3"} {
		secret, err := secrets.Resolve(org, config.EnvReference(org))
		require.NoError(t, err)
		require.Equal(t, key, secret.Reveal())
	}

	for org, problem := range map[string]string{"nowhere": "no such variable", "empty": "it is empty",
		"lines": "one line"} {
		_, err := secrets.Resolve(org, config.EnvReference(org))
		require.ErrorContains(t, err, problem)
		require.ErrorContains(t, err, config.EnvReference(org))
		require.NotContains(t, err.Error(), "hunter")
	}
}

func TestResolveKeepsOrganizationsApart(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("hunter2"), 0o600))
	}
	write("acme")
	write("folder/scim")
	write("smtp-password.txt")
	for _, name := range []string{"CASTELLAN_KEY_ACME", "CASTELLAN_KEY_ACME_EU", "CASTELLAN_KEY_EVIL", "CASTELLAN_KEY_",
		"ATLASSIAN_KEY", "CASTELLAN_LEDGER"} {
		t.Setenv(name, "hunter2")
	}
	secrets := config.Secrets{Dir: dir}
	for org, refs := range map[string][]string{
		"evil": {
			"env:CASTELLAN_KEY_ACME", "env:CASTELLAN_KEY_", "env:castellan_key_evil", "env:CASTELLAN_KEY_evil",
			"env:CASTELLAN_KEY_EVIL_", "env:CASTELLAN_LEDGER",
			"env:ATLASSIAN_KEY", "env:", "env:CASTELLAN_KEY_ACME=CASTELLAN_KEY_EVIL",
			"file:" + dir + "/acme", "file:" + dir + "/evil/../acme", "file:" + dir + "/./acme", "file:" + dir,
			"file:" + dir + "/", "file:" + dir + "/smtp-password.txt",
			"file:acme", "file:", "file:" + dir + "/folder/scim", "file:" + dir + "/evil/../folder/scim",
			"file:" + dir + "-of-others/evil",
		},
		"acme": {"env:CASTELLAN_KEY_ACME_EU", "file:" + dir + "/ACME", "file:" + dir + "/acme/",
			"file:/" + dir + "/acme"},
		"acme-e": {"env:CASTELLAN_KEY_ACME_EU"},
		"":       {"env:CASTELLAN_KEY_", "file:" + dir, "file:" + dir + "/", "file:" + dir + "/acme"},
		"..":     {"file:" + filepath.Dir(dir), "file:" + dir + "/.."},
		"acme/x": {"file:" + dir + "/acme/x"},
	} {
		for _, ref := range refs {
			_, err := secrets.Resolve(org, ref)
			require.ErrorContains(t, err, "the organization may not use it", "%s of %s", ref, org)
			require.ErrorContains(t, err, "CASTELLAN_SECRETS="+org+"="+ref, "what to set")
		}
	}
	for org, ref := range map[string]string{"acme": "file:" + dir + "/acme", "folder": "file:" + dir + "/folder/scim"} {
		secret, err := secrets.Resolve(org, ref)
		require.NoError(t, err)
		require.Equal(t, "hunter2", secret.Reveal())
	}
}

func TestResolveWhatTheWorkerSays(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(outside, []byte("of a file"), 0o600))
	t.Setenv("ATLASSIAN_KEY", "of a variable")
	t.Setenv("CASTELLAN_KEY_SHARED", "of another name")
	t.Setenv("CASTELLAN_SECRETS", "acme=env:ATLASSIAN_KEY, acme=file:"+outside+",globex=env:CASTELLAN_KEY_SHARED")
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	secrets := worker.Secrets()
	for _, c := range []struct{ org, ref, value string }{
		{"acme", "env:ATLASSIAN_KEY", "of a variable"},
		{"acme", "file:" + outside, "of a file"},
		{"globex", "env:CASTELLAN_KEY_SHARED", "of another name"},
	} {
		secret, err := secrets.Resolve(c.org, c.ref)
		require.NoError(t, err)
		require.Equal(t, c.value, secret.Reveal())
		for _, other := range []string{"evil", "shared"} {
			_, err = secrets.Resolve(other, c.ref)
			require.ErrorContains(t, err, "may not use it",
				"what is given to somebody is nobody else's, not even by name")
		}
	}
	for _, wrong := range []string{"acme", "acme=", "=env:X", "acme=hunter2", "acme=env:", "ACME=env:X", "acme=file:x",
		"acme=file:/run/../etc/passwd", "acme=env:CASTELLAN_REVIEW_KEY", "a=env:X,b"} {
		t.Setenv("CASTELLAN_SECRETS", wrong)
		_, err := config.Load[config.Worker]()
		require.ErrorContains(t, err, "CASTELLAN_SECRETS cannot be used", wrong)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestSecretsDirHoldsNoneOfTheWorkersOwn(t *testing.T) {
	t.Setenv("CASTELLAN_LEDGER", "postgres://castellan@db/castellan")
	t.Setenv("CASTELLAN_LEDGER_PASSWORD_FILE", "/run/secrets/ledger-db-password")
	_, err := config.Load[config.Worker]()
	require.NoError(t, err, "the default folder is beside it")
	t.Setenv("CASTELLAN_SECRETS_DIR", "/run/secrets")
	_, err = config.Load[config.Worker]()
	require.ErrorContains(t, err, "CASTELLAN_SECRETS_DIR cannot be used: set it to the absolute path of a folder that holds organizations' keys and none of the worker's own secrets")
}

func TestSecretsDirHoldsNoneOfTheWorkersOwnBehindALink(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	require.NoError(t, os.Mkdir(keys, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(keys, "smtp"), []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(keys, filepath.Join(dir, "folder")))
	require.NoError(t, os.Symlink(filepath.Join(keys, "smtp"), filepath.Join(dir, "file")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "elsewhere"), []byte("secret"), 0o600))
	t.Setenv("CASTELLAN_LEDGER", "postgres://castellan@db/castellan")
	for _, names := range [][2]string{{"folder", "keys/smtp"}, {"keys", "folder/smtp"}, {"keys", "file"},
		{"folder", "keys/to-come"}} {
		t.Setenv("CASTELLAN_SECRETS_DIR", filepath.Join(dir, names[0]))
		t.Setenv("CASTELLAN_LEDGER_PASSWORD_FILE", filepath.Join(dir, names[1]))
		_, err := config.Load[config.Worker]()
		require.ErrorContains(t, err, "CASTELLAN_SECRETS_DIR cannot be used", "%v", names)
	}
	t.Setenv("CASTELLAN_LEDGER_PASSWORD_FILE", filepath.Join(dir, "elsewhere"))
	_, err := config.Load[config.Worker]()
	require.NoError(t, err)
}

func TestResolveDoesNotQuoteWhatMayBeTheSecret(t *testing.T) {
	for _, ref := range []string{"hunter2", "", "vault:hunter2", "ENV:hunter2", "ATATT3xFfGF0:hunter2"} {
		_, err := config.Secrets{Dir: "/run/secrets/castellan"}.Resolve("acme", ref)
		require.ErrorContains(t, err, "write env:CASTELLAN_KEY_ACME or file:/run/secrets/castellan/acme")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestResolveFromFile(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "secrets")
	write := func(path, content string) {
		path = filepath.Join(base, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	link := func(target, path string) {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, path)))
	}
	write("secrets/acme", "\thunter2\r\n")
	write("secrets/deep/acme", "hunter2")
	write("secrets/largest", strings.Repeat("x", 64<<10))
	write("secrets/too-large", strings.Repeat("x", 64<<10+1))
	write("secrets/empty", "\n")
	write("secrets/lines", "hunter2\nhunter3\n")
	write("secrets/binary", "hunter2\x00")
	write("secrets/..data/v1/mounted", "hunter2") // as Kubernetes mounts secrets
	write("outside", "hunter2")
	write("secrets-of-others/acme", "hunter2") // shares the folder's name as a prefix
	write("secrets/..data/v1/scim", "hunter2")
	write("secrets/folder/..data/scim", "hunter2") // likewise, as a folder for one organization
	link("..data/v1/mounted", "mounted")
	link("..data/scim", "folder/scim")
	link("../acme", "deep/sideways")
	link("../../outside", "deep/leads-out")
	link("../outside", "leads-out")
	link(filepath.Join(base, "outside"), "leads-out-absolute")
	link("..", "parent")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))

	for org, name := range map[string]string{"acme": "acme", "deep": "deep/acme", "mounted": "mounted",
		"folder": "folder/scim"} {
		secret, err := config.Secrets{Dir: dir}.Resolve(org, "file:"+dir+"/"+name)
		require.NoError(t, err)
		require.Equal(t, "hunter2", secret.Reveal(), name)
	}
	secret, err := config.Secrets{Dir: dir}.Resolve("largest", "file:"+dir+"/largest")
	require.NoError(t, err)
	require.Len(t, secret.Reveal(), 64<<10)

	for path, problem := range map[string]string{
		"nowhere":            "no such file",
		"too-large":          "larger than 64 KiB",
		"empty":              "it is empty",
		"lines":              "one line",
		"binary":             "one line",
		"deep":               "not a regular file",
		"pipe":               "not a regular file",
		"leads-out":          "may not lead out",
		"leads-out-absolute": "may not lead out",
		"parent/outside":     "may not lead out",
		"deep/leads-out":     "may not lead out",
		"deep/sideways":      "may not lead out",
	} {
		org, _, _ := strings.Cut(path, "/")
		_, err := config.Secrets{Dir: dir}.Resolve(org, "file:"+dir+"/"+path)
		require.ErrorContains(t, err, problem, path)
		require.NotContains(t, err.Error(), "hunter")
	}
}

func TestResolveReadsAnew(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "acme")
	for _, value := range []string{"first", "rotated"} {
		require.NoError(t, os.WriteFile(file, []byte(value), 0o600))
		secret, err := config.Secrets{Dir: dir}.Resolve("acme", "file:"+file)
		require.NoError(t, err)
		require.Equal(t, value, secret.Reveal())
	}
}

func FuzzResolve(f *testing.F) {
	base := f.TempDir()
	dir := filepath.Join(base, "secrets")
	require.NoError(f, os.Mkdir(dir, 0o700))
	require.NoError(f, os.WriteFile(filepath.Join(base, "outside"), []byte("hunter2"), 0o600))
	for _, ref := range []string{"file:/outside", "file:" + dir + "/../outside", "env:PATH",
		"file:" + dir + "//.//..//outside", "x"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		_, err := config.Secrets{Dir: dir}.Resolve("acme", ref) // dir is empty, and no CASTELLAN_KEY_ variable is set
		require.Error(t, err)
	})
}
