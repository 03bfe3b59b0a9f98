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
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, &secret), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder),
			fmt.Sprintf(verb, []config.Secret{secret}), fmt.Sprintf(verb, map[string]any{"key": secret}))
	}
	asJSON, err := json.Marshal(holder)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(map[string]any{"key": secret})
	require.NoError(t, err)
	var log strings.Builder
	config.NewLogger(&log, zapcore.DebugLevel, config.LogJSON).Info("settings", zap.Any("a", secret), zap.Any("b", holder), zap.Stringer("c", secret), zap.Reflect("d", &holder))
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
	t.Setenv("CASTELLAN_KEY_EMPTY", " \n")
	t.Setenv("CASTELLAN_KEY_LINES", "hunter2\nhunter3")
	t.Setenv("CASTELLAN_KEY_", "hunter2")
	t.Setenv("OTHER_KEY", "hunter2")
	secrets := config.Secrets{Dir: t.TempDir()}

	secret, err := secrets.Resolve("env:CASTELLAN_KEY_ACME")
	require.NoError(t, err)
	require.Equal(t, "hunter2", secret.Reveal())

	for ref, problem := range map[string]string{
		"env:OTHER_KEY":             "begin with CASTELLAN_KEY_",
		"env:castellan_key_acme":    "begin with CASTELLAN_KEY_",
		"env:CASTELLAN_KEY_":        "begin with CASTELLAN_KEY_",
		"env:":                      "begin with CASTELLAN_KEY_",
		"env:CASTELLAN_LEDGER":      "begin with CASTELLAN_KEY_",
		"env:CASTELLAN_KEY_NOWHERE": "no such variable",
		"env:CASTELLAN_KEY_EMPTY":   "it is empty",
		"env:CASTELLAN_KEY_LINES":   "one line",
	} {
		_, err := secrets.Resolve(ref)
		require.ErrorContains(t, err, problem, ref)
		require.ErrorContains(t, err, ref)
		require.NotContains(t, err.Error(), "hunter")
	}
}

func TestResolveDoesNotQuoteWhatMayBeTheSecret(t *testing.T) {
	for _, ref := range []string{"hunter2", "", "vault:hunter2", "ENV:hunter2", "ATATT3xFfGF0:hunter2"} {
		_, err := config.Secrets{Dir: "/run/secrets"}.Resolve(ref)
		require.ErrorContains(t, err, "write env:CASTELLAN_KEY_NAME or file:/run/secrets/NAME")
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
	link("..data/v1/mounted", "mounted")
	link("../outside", "leads-out")
	link(filepath.Join(base, "outside"), "leads-out-absolute")
	link("..", "parent")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))

	for _, name := range []string{"acme", "deep/acme", "mounted", "deep/../acme"} {
		secret, err := config.Secrets{Dir: dir}.Resolve("file:" + dir + "/" + name)
		require.NoError(t, err)
		require.Equal(t, "hunter2", secret.Reveal(), name)
	}
	secret, err := config.Secrets{Dir: dir}.Resolve("file:" + dir + "/largest")
	require.NoError(t, err)
	require.Len(t, secret.Reveal(), 64<<10)

	for path, problem := range map[string]string{
		dir + "/nowhere":            "no such file",
		dir + "/too-large":          "larger than 64 KiB",
		dir + "/empty":              "it is empty",
		dir + "/lines":              "one line",
		dir + "/binary":             "one line",
		dir + "/deep":               "not a regular file",
		dir + "/pipe":               "not a regular file",
		dir + "/leads-out":          "may not lead out",
		dir + "/leads-out-absolute": "may not lead out",
		dir + "/parent/outside":     "may not lead out",
		dir:                         "must lie below",
		dir + "/../outside":         "must lie below",
		base + "/outside":           "must lie below",
		dir + "-of-others/acme":     "must lie below",
		"acme":                      "absolute path",
		"":                          "absolute path",
	} {
		_, err := config.Secrets{Dir: dir}.Resolve("file:" + path)
		require.ErrorContains(t, err, problem, path)
		require.NotContains(t, err.Error(), "hunter")
	}
}

func TestResolveReadsAnew(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "acme")
	for _, value := range []string{"first", "rotated"} {
		require.NoError(t, os.WriteFile(file, []byte(value), 0o600))
		secret, err := config.Secrets{Dir: dir}.Resolve("file:" + file)
		require.NoError(t, err)
		require.Equal(t, value, secret.Reveal())
	}
}

func FuzzResolve(f *testing.F) {
	base := f.TempDir()
	dir := filepath.Join(base, "secrets")
	require.NoError(f, os.Mkdir(dir, 0o700))
	require.NoError(f, os.WriteFile(filepath.Join(base, "outside"), []byte("hunter2"), 0o600))
	for _, ref := range []string{"file:/outside", "file:" + dir + "/../outside", "env:PATH", "file:" + dir + "//.//..//outside", "x"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		_, err := config.Secrets{Dir: dir}.Resolve(ref) // dir is empty, and no CASTELLAN_KEY_ variable is set
		require.Error(t, err)
	})
}
