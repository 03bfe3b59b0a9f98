package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/castellan-io/castellan/config"
)

// clearVariables unsets Castellan's variables, so that the machine's own do not affect a test.
func clearVariables(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "CASTELLAN_") {
			t.Setenv(name, "") // restores it afterwards
			require.NoError(t, os.Unsetenv(name))
		}
	}
}

func TestLoadDefaults(t *testing.T) {
	clearVariables(t)
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	ledger, err := worker.LedgerURL()
	require.NoError(t, err)
	require.Equal(t, "file:castellan.db", ledger)
	require.Equal(t, "https://api.atlassian.com", worker.AtlassianURL)
	require.Equal(t, "127.0.0.1:9090", worker.Listen)
	require.Equal(t, 16, worker.CallsInFlight)
	require.Equal(t, []int{5000, 500, 200, 5000, 4},
		[]int{worker.Watches, worker.Activities, worker.WorkflowTasks, worker.WorkflowsKept, worker.Pollers})
	require.Equal(t, config.Secrets{Dir: "/run/secrets/castellan", Of: map[string][]string{},
		Hosts: map[string]map[string][]string{}}, worker.Secrets())
	require.Equal(t, 20*time.Second, worker.DrainTimeout)
	require.Equal(t, zapcore.InfoLevel, worker.LogLevel)
	require.Equal(t, config.LogJSON, worker.LogFormat)

	starter, err := config.Load[config.Starter]()
	require.NoError(t, err)
	require.Equal(t, config.Starter{LogLevel: zapcore.WarnLevel, LogFormat: config.LogConsole}, starter)
}

func TestLoadTakesEmptyAsUnset(t *testing.T) {
	clearVariables(t)
	for v := range config.Variables[config.Worker]() {
		t.Setenv(v.Name, "")
	}
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	require.Equal(t, 16, worker.CallsInFlight)
	require.Equal(t, "file:castellan.db", worker.Ledger.Reveal())
}

func TestLoadAcceptsAndRefuses(t *testing.T) {
	accepted := map[string][]string{
		"CASTELLAN_LEDGER": {"file:/var/lib/castellan.db", "postgres://castellan@db:5432/castellan",
			"postgresql://u:p@db/castellan?sslmode=require",
			"postgres:///castellan?host=/run/postgresql"},
		"CASTELLAN_ATLASSIAN_URL": {"https://api.atlassian.com/", "http://127.0.0.1:8085", "http://[::1]:8085",
			"http://localhost:8085"},
		"CASTELLAN_LISTEN":             {"off", "0.0.0.0:9090", ":0", "[::1]:9090", "localhost:80"},
		"CASTELLAN_CALLS_IN_FLIGHT":    {"1", "1000"},
		"CASTELLAN_WATCHES":            {"1", "100000"},
		"CASTELLAN_ACTIVITIES":         {"10", "10000"},
		"CASTELLAN_WORKFLOW_TASKS":     {"10", "10000"},
		"CASTELLAN_WORKFLOWS_KEPT":     {"100", "100000"},
		"CASTELLAN_POLLERS":            {"2", "100"},
		"CASTELLAN_REVIEW_CONNECTIONS": {"8", "10000"},
		"CASTELLAN_SECRETS_DIR":        {"/etc/castellan/keys"},
		"CASTELLAN_SECRET_HOSTS": {"acme=env:LDAP@dc1:636", "a=file:/x@y@h+h2:8443 , b=env:CASTELLAN_KEY_B_LDAP@[::1]:636",
			"acme=env:LDAP@10.0.0.1"},
		"CASTELLAN_SOURCE_FOLDERS": {"acme=/srv/acme", "acme=/srv/acme,acme=/srv/more, globex=/srv/globex"},
		"CASTELLAN_SOURCE_CA":      {"/etc/castellan/ca.pem"},
		"CASTELLAN_DRAIN_TIMEOUT":  {"0s", "90s", "10m"},
		"CASTELLAN_LOG_LEVEL":      {"debug", "WARN", "error"},
		"CASTELLAN_LOG_FORMAT":     {"console", "json"},
	}
	refused := map[string][]string{
		"CASTELLAN_LEDGER": {"castellan.db", "file:", "mysql://u:hunter2@db/castellan", "postgres://db",
			"postgres://u:hunter2@db/%zz"},
		// the default ledger takes no password
		"CASTELLAN_LEDGER_PASSWORD_FILE": {"relative/path", "/run/secrets/ledger"},
		"CASTELLAN_ATLASSIAN_URL": {"http://api.atlassian.com", "http://simulator:8085", "http://127.0.0.1.example:80",
			"https://u:hunter2@api.atlassian.com",
			"https://api.atlassian.com/admin", "https://api.atlassian.com?x=1", "api.atlassian.com", "ftp://127.0.0.1"},
		"CASTELLAN_LISTEN": {"9090", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:65536",
			"http://127.0.0.1:9090", "OFF"},
		"CASTELLAN_CALLS_IN_FLIGHT":    {"0", "1001", "-1", "many", "1.5"},
		"CASTELLAN_WATCHES":            {"0", "100001", "-1", "all"},
		"CASTELLAN_ACTIVITIES":         {"9", "10001", "-1"},
		"CASTELLAN_WORKFLOW_TASKS":     {"9", "10001", "-1"},
		"CASTELLAN_WORKFLOWS_KEPT":     {"99", "100001", "-1"},
		"CASTELLAN_POLLERS":            {"1", "101", "-1"},
		"CASTELLAN_REVIEW_CONNECTIONS": {"7", "10001", "-1"},
		"CASTELLAN_SECRETS_DIR":        {"keys", "./keys"},
		"CASTELLAN_SECRET_HOSTS": {"acme", "acme=env:LDAP", "acme=hunter2@dc1", "acme=env:LDAP@", "acme=env:LDAP@dc1:",
			"acme=env:LDAP@dc1:0", "acme=env:LDAP@dc1:65536", "acme=env:LDAP@dc1:ldaps", "acme=env:LDAP@dc1+", "=env:LDAP@dc1",
			"acme=env:LDAP@https://dc1", "acme=env:LDAP@*.acme.example", "acme=env:LDAP@dc1 dc2",
			"acme=env:CASTELLAN_REVIEW_KEY@dc1", "acme=file:x@dc1", "acme=env:LDAP@dc1,", "acme=env:LDAP@d\u017f1"},
		"CASTELLAN_SOURCE_FOLDERS": {"acme", "acme=srv", "acme=/", "acme=/srv/../etc", "/srv", "Acme=/srv", "a=/a,"},
		"CASTELLAN_SOURCE_CA":      {"ca.pem"},
		"CASTELLAN_DRAIN_TIMEOUT":  {"20", "-1s", "11m", "soon"},
		"CASTELLAN_LOG_LEVEL":      {"loud", "fatal", "panic"},
		"CASTELLAN_LOG_FORMAT":     {"JSON", "xml"},
	}
	for name, values := range accepted {
		for _, value := range values {
			t.Run(name+"="+value, func(t *testing.T) {
				clearVariables(t)
				t.Setenv(name, value)
				_, err := config.Load[config.Worker]()
				require.NoError(t, err)
			})
		}
	}
	for name, values := range refused {
		for _, value := range values {
			t.Run(name+"="+value, func(t *testing.T) {
				clearVariables(t)
				t.Setenv(name, value)
				_, err := config.Load[config.Worker]()
				require.ErrorContains(t, err, name+" cannot be used: set it to ")
				require.NotContains(t, err.Error(), "hunter2")
				require.NotContains(t, err.Error(), "\n", "one problem, one line")
			})
		}
	}
}

func TestLoadNamesEveryProblemAtOnce(t *testing.T) {
	clearVariables(t)
	t.Setenv("CASTELLAN_CALLS_IN_FLIGHT", "many") // of the wrong type
	t.Setenv("CASTELLAN_LISTEN", "nowhere")       // of the right type, but unusable
	t.Setenv("CASTELLAN_LOG_LEVEL", "loud")
	_, err := config.Load[config.Worker]()
	require.ErrorContains(t, err, "CASTELLAN_LISTEN")
	require.ErrorContains(t, err, "CASTELLAN_CALLS_IN_FLIGHT")
	require.ErrorContains(t, err, "CASTELLAN_LOG_LEVEL")
	_, err = config.Load[config.Starter]()
	require.ErrorContains(t, err, "CASTELLAN_LOG_LEVEL")
	require.NotContains(t, err.Error(), "CASTELLAN_LISTEN", "the ops command does not read it")
}

func TestLedgerURLPutsThePasswordIn(t *testing.T) {
	clearVariables(t)
	file := filepath.Join(t.TempDir(), "ledger-password")
	require.NoError(t, os.WriteFile(file, []byte("p@ss/word:1\n"), 0o600))
	t.Setenv("CASTELLAN_LEDGER", "postgres://castellan@db:5432/castellan?sslmode=disable")
	t.Setenv("CASTELLAN_LEDGER_PASSWORD_FILE", file)
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	ledger, err := worker.LedgerURL()
	require.NoError(t, err)
	require.Equal(t, "postgres://castellan:p%40ss%2Fword%3A1@db:5432/castellan?sslmode=disable", ledger)

	require.NoError(t, os.Remove(file))
	_, err = worker.LedgerURL()
	require.ErrorContains(t, err, "CASTELLAN_LEDGER_PASSWORD_FILE")
	require.ErrorContains(t, err, file)
}

func TestLedgerPasswordIsGivenOnce(t *testing.T) {
	clearVariables(t)
	t.Setenv("CASTELLAN_LEDGER", "postgres://castellan:hunter2@db/castellan")
	t.Setenv("CASTELLAN_LEDGER_PASSWORD_FILE", "/run/secrets/ledger-password")
	_, err := config.Load[config.Worker]()
	require.ErrorContains(t, err, "CASTELLAN_LEDGER_PASSWORD_FILE cannot be used")
}

func TestUnknown(t *testing.T) {
	clearVariables(t)
	t.Setenv("CASTELLAN_LEGDER", "postgres://castellan@db/castellan")
	t.Setenv("CASTELLAN_ATLASIAN_URL", "https://api.atlassian.com")
	t.Setenv("CASTELLAN_KEY_ACME", "k")
	t.Setenv("CASTELLAN_LISTEN", "off")
	require.Equal(t, []string{"CASTELLAN_ATLASIAN_URL", "CASTELLAN_LEGDER"}, config.Unknown())
}

func TestEveryFieldIsAVariableThatSaysWhatItWants(t *testing.T) {
	count := 0
	for v := range config.Variables[config.Worker]() {
		require.Regexp(t, `^CASTELLAN_[A-Z_]+$`, v.Name)
		require.NotEmpty(t, v.Want, v.Name)
		count++
	}
	require.Equal(t, reflect.TypeFor[config.Worker]().NumField(), count)
}
