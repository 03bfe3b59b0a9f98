package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
)

// Worker is the worker's configuration.
type Worker struct {
	// Ledger is where the ledger lives. It is a Secret because a PostgreSQL URL may carry a password; see
	// [Worker.LedgerURL].
	Ledger Secret `env:"CASTELLAN_LEDGER" envDefault:"file:castellan.db" want:"file:PATH for an SQLite file, or postgres://USER@HOST/DATABASE"`

	// LedgerPasswordFile holds the PostgreSQL password if the URL has none.
	LedgerPasswordFile string `env:"CASTELLAN_LEDGER_PASSWORD_FILE" want:"the absolute path of a file with the PostgreSQL password, beside a postgres:// CASTELLAN_LEDGER without one"`

	// AtlassianURL is the root of Atlassian's APIs. Plain http is accepted for loopback addresses only (the simulator):
	// every call carries an organization's admin key.
	AtlassianURL string `env:"CASTELLAN_ATLASSIAN_URL" envDefault:"https://api.atlassian.com" want:"an https URL of a host alone, such as https://api.atlassian.com; plain http is accepted for loopback addresses only"`

	// Listen is the address that serves /metrics and health, or "off". An empty host means every interface.
	Listen string `env:"CASTELLAN_LISTEN" envDefault:"127.0.0.1:9090" want:"HOST:PORT, such as 127.0.0.1:9090, or off"`

	// CallsInFlight is how many calls to Atlassian this process makes at the same time, over all organizations.
	CallsInFlight int `env:"CASTELLAN_CALLS_IN_FLIGHT" envDefault:"16" want:"a whole number from 1 to 1000"`

	// Limits on concurrent work, each for this process alone; several processes share the work.
	Watches       int `env:"CASTELLAN_WATCHES" envDefault:"5000" want:"a whole number from 1 to 100000"`
	Activities    int `env:"CASTELLAN_ACTIVITIES" envDefault:"500" want:"a whole number from 10 to 10000"`
	WorkflowTasks int `env:"CASTELLAN_WORKFLOW_TASKS" envDefault:"200" want:"a whole number from 10 to 10000"`
	WorkflowsKept int `env:"CASTELLAN_WORKFLOWS_KEPT" envDefault:"5000" want:"a whole number from 100 to 100000"`
	Pollers       int `env:"CASTELLAN_POLLERS" envDefault:"4" want:"a whole number from 2 to 100"`

	// SecretsDir holds the organizations' keys, one file or folder for each, and nothing else.
	SecretsDir string `env:"CASTELLAN_SECRETS_DIR" envDefault:"/run/secrets/castellan" want:"the absolute path of a folder that holds organizations' keys and none of the worker's own secrets"`

	// SecretsOf says which organization may use which reference besides those of its own name; see [Secrets].
	SecretsOf []string `env:"CASTELLAN_SECRETS" want:"ORGANIZATION=env:NAME or ORGANIZATION=file:/PATH, separated by commas, such as acme=env:ATLASSIAN_KEY: references that policies of that organization may use besides those of its own name"`

	// SecretHosts says to which hosts identity sources may send which secret; see [Secrets.ResolveFor].
	SecretHosts []string `env:"CASTELLAN_SECRET_HOSTS" want:"ORGANIZATION=env:NAME@HOST:PORT or ORGANIZATION=file:/PATH@HOST:PORT, separated by commas, a + between several hosts, port 443 where none is given, such as acme=file:/run/secrets/castellan/acme/ldap@dc1.acme.example:636: the secrets that identity sources of that organization may use, and where each may be sent"`

	// What else policies' identity sources may use of this machine; see [Worker.Sources].
	SourceFolders []string `env:"CASTELLAN_SOURCE_FOLDERS" want:"ORGANIZATION=/PATH, separated by commas, such as acme=/srv/castellan/acme: the folders in which identity sources of that organization may read exported files"`
	SourceCA      string   `env:"CASTELLAN_SOURCE_CA" want:"the absolute path of a PEM file of certificates that identity sources' servers may have besides those that the system trusts"`

	// DrainTimeout is how long a stopping worker lets running calls finish.
	DrainTimeout time.Duration `env:"CASTELLAN_DRAIN_TIMEOUT" envDefault:"20s" want:"a duration from 0s to 10m, such as 20s"`

	// Where notices go besides the log. [Worker.Notices] reads those secrets that are in files.
	NotifyWebhookURL    Secret   `env:"CASTELLAN_NOTIFY_WEBHOOK_URL" want:"the https URL that notices are posted to, or file:/PATH of a file with it; plain http is accepted for loopback addresses only"`
	NotifyWebhookSecret Secret   `env:"CASTELLAN_NOTIFY_WEBHOOK_SECRET" want:"the shared secret of at least 16 characters that signs what is posted, or file:/PATH of a file with it, beside CASTELLAN_NOTIFY_WEBHOOK_URL"`
	NotifySlackURL      Secret   `env:"CASTELLAN_NOTIFY_SLACK_URL" want:"the https URL of a Slack-compatible incoming webhook, or file:/PATH of a file with it; plain http is accepted for loopback addresses only"`
	NotifySMTP          string   `env:"CASTELLAN_NOTIFY_SMTP" want:"smtp://USER@HOST:587 or smtps://USER@HOST:465, without a password"`
	NotifySMTPPassword  Secret   `env:"CASTELLAN_NOTIFY_SMTP_PASSWORD" want:"the mail user's password, or file:/PATH of a file with it; it and a USER in CASTELLAN_NOTIFY_SMTP go together"`
	NotifySMTPFrom      string   `env:"CASTELLAN_NOTIFY_SMTP_FROM" want:"the sender's e-mail address, such as Castellan <castellan@acme.example>; it and CASTELLAN_NOTIFY_SMTP go together"`
	NotifyWatchers      []string `env:"CASTELLAN_NOTIFY_WATCHERS" want:"e-mail addresses, separated by commas, beside CASTELLAN_NOTIFY_SMTP"`

	// The page where reviewers decide. [Worker.ReviewPage] reads the key if it is in a file.
	ReviewAddr        string `env:"CASTELLAN_REVIEW_ADDR" envDefault:"off" want:"HOST:PORT, such as 127.0.0.1:8090, or off"`
	ReviewURL         string `env:"CASTELLAN_REVIEW_URL" want:"the https URL of a host alone at which reviewers reach CASTELLAN_REVIEW_ADDR, such as https://reviews.acme.example; plain http is accepted for loopback addresses only; it may be left out where CASTELLAN_REVIEW_ADDR is a loopback address with a port"`
	ReviewConnections int    `env:"CASTELLAN_REVIEW_CONNECTIONS" envDefault:"512" want:"a whole number from 8 to 10000"`
	ReviewKey         Secret `env:"CASTELLAN_REVIEW_KEY" want:"the secret of at least 32 characters that signs reviewers' links, the same for all workers, or file:/PATH of a file with it; make one by openssl rand -base64 32"`

	// The inbox, where identity providers post. [Worker.Inbox] says whether it has TLS.
	InboxAddr        string `env:"CASTELLAN_INBOX_ADDR" envDefault:"off" want:"HOST:PORT, such as 0.0.0.0:8443, or off"`
	InboxCert        string `env:"CASTELLAN_INBOX_CERT" want:"the absolute path of a PEM file with the certificate that CASTELLAN_INBOX_ADDR shows and those between it and its authority, beside CASTELLAN_INBOX_KEY; or off, where a proxy on the way has TLS and nobody else can read what passes between; it may be left out for loopback addresses"`
	InboxKey         string `env:"CASTELLAN_INBOX_KEY" want:"the absolute path of a PEM file with the private key of CASTELLAN_INBOX_CERT"`
	InboxConnections int    `env:"CASTELLAN_INBOX_CONNECTIONS" envDefault:"256" want:"a whole number from 8 to 10000"`

	LogLevel  zapcore.Level `env:"CASTELLAN_LOG_LEVEL" envDefault:"info" want:"debug, info, warn or error"`
	LogFormat LogFormat     `env:"CASTELLAN_LOG_FORMAT" envDefault:"json" want:"json or console"`
}

// Starter is the ops command's configuration. It needs Temporal and nothing else: no Atlassian key, no ledger.
type Starter struct {
	By        string        `env:"CASTELLAN_BY" want:"who acts: your e-mail address or account id"`
	Code      Secret        `env:"CASTELLAN_CODE" want:"the code that you were sent as a reviewer of an access review"`
	LogLevel  zapcore.Level `env:"CASTELLAN_LOG_LEVEL" envDefault:"warn" want:"debug, info, warn or error"`
	LogFormat LogFormat     `env:"CASTELLAN_LOG_FORMAT" envDefault:"console" want:"json or console"`
}

// ListenOff is the value of CASTELLAN_LISTEN, CASTELLAN_REVIEW_ADDR and CASTELLAN_INBOX_ADDR that serves nothing, and
// that of CASTELLAN_INBOX_CERT for TLS that a proxy has.
const ListenOff = "off"

// LedgerURL returns the ledger's address with the password from [Worker.LedgerPasswordFile] in it. It is for opening
// the ledger and for nothing else, since it may contain the password.
func (w Worker) LedgerURL() (string, error) {
	if w.LedgerPasswordFile == "" {
		return w.Ledger.Reveal(), nil
	}
	password, err := readSecret(filepath.Dir(w.LedgerPasswordFile), filepath.Base(w.LedgerPasswordFile))
	if err != nil {
		return "", fmt.Errorf("CASTELLAN_LEDGER_PASSWORD_FILE: read %s: %w", w.LedgerPasswordFile, err)
	}
	u, err := url.Parse(w.Ledger.Reveal())
	if err != nil {
		return "", errors.New("CASTELLAN_LEDGER: not a URL") // the parser's own error would quote it
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// Secrets resolves the policy's secret references.
func (w Worker) Secrets() Secrets {
	of, _ := secretMap(w.SecretsOf) // rejects has parsed it before
	hosts, _ := hostMap(w.SecretHosts)
	for org, bound := range hosts {
		of[org] = slices.AppendSeq(of[org], maps.Keys(bound))
	}
	return Secrets{Dir: filepath.Clean(w.SecretsDir), Of: of, Hosts: hosts}
}

// keepsOwnSecrets reports whether one of the worker's own secrets is in the folder of the organizations' keys.
func (w Worker) keepsOwnSecrets() bool {
	for _, s := range []string{
		"file:" + w.LedgerPasswordFile, w.NotifyWebhookURL.Reveal(), w.NotifyWebhookSecret.Reveal(),
		w.NotifySlackURL.Reveal(),
		w.NotifySMTPPassword.Reveal(), w.ReviewKey.Reveal(), "file:" + w.InboxKey,
	} {
		path, isFile := strings.CutPrefix(s, "file:")
		if isFile && filepath.IsAbs(path) &&
			(isBelow(path, w.SecretsDir) || isBelow(resolveLinks(path), resolveLinks(w.SecretsDir))) {
			return true
		}
	}
	return false
}

func isBelow(path, folder string) bool {
	name, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(name)
}

// resolveLinks returns the path with symbolic links resolved, as far as it exists.
func resolveLinks(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if folder := filepath.Dir(path); folder != path {
		return filepath.Join(resolveLinks(folder), filepath.Base(path))
	}
	return path
}

// rejects reports whether the value of a variable, though of the right type, cannot be used.
func (w Worker) rejects(variable string) bool {
	switch variable {
	case "CASTELLAN_LEDGER":
		return !isLedger(w.Ledger.Reveal())
	case "CASTELLAN_LEDGER_PASSWORD_FILE":
		return w.LedgerPasswordFile != "" && !(filepath.IsAbs(w.LedgerPasswordFile) && lacksPassword(w.Ledger.Reveal()))
	case "CASTELLAN_ATLASSIAN_URL":
		return !isRootURL(w.AtlassianURL)
	case "CASTELLAN_LISTEN":
		return w.Listen != ListenOff && !isHostPort(w.Listen)
	case "CASTELLAN_CALLS_IN_FLIGHT":
		return w.CallsInFlight < 1 || w.CallsInFlight > 1000
	case "CASTELLAN_WATCHES":
		return w.Watches < 1 || w.Watches > 100_000
	case "CASTELLAN_ACTIVITIES":
		return w.Activities < 10 || w.Activities > 10_000
	case "CASTELLAN_WORKFLOW_TASKS":
		return w.WorkflowTasks < 10 || w.WorkflowTasks > 10_000
	case "CASTELLAN_WORKFLOWS_KEPT":
		return w.WorkflowsKept < 100 || w.WorkflowsKept > 100_000
	case "CASTELLAN_REVIEW_CONNECTIONS":
		return w.ReviewConnections < 8 || w.ReviewConnections > 10_000
	case "CASTELLAN_POLLERS":
		return w.Pollers < 2 || w.Pollers > 100
	case "CASTELLAN_SECRETS_DIR":
		return !filepath.IsAbs(w.SecretsDir) || w.keepsOwnSecrets()
	case "CASTELLAN_SECRETS":
		_, err := secretMap(w.SecretsOf)
		return err != nil
	case "CASTELLAN_DRAIN_TIMEOUT":
		return w.DrainTimeout < 0 || w.DrainTimeout > 10*time.Minute
	case "CASTELLAN_LOG_LEVEL":
		return !usableLevel(w.LogLevel)
	}
	return w.rejectsNotify(variable) || w.rejectsReview(variable) || w.rejectsSources(variable) ||
		w.rejectsInbox(variable)
}

func (s Starter) rejects(variable string) bool {
	return variable == "CASTELLAN_LOG_LEVEL" && !usableLevel(s.LogLevel)
}

func isLedger(s string) bool {
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		return path != ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return false
	}
	return len(u.Path) > 1 && (u.Host != "" || u.Query().Has("host")) // host=/run/postgresql names a socket
}

func lacksPassword(ledger string) bool {
	u, err := url.Parse(ledger)
	if err != nil {
		return false
	}
	_, has := u.User.Password()
	return u.User.Username() != "" && !has
}

// isRootURL accepts the URL of a host alone, by https or on this machine.
func isRootURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" ||
		u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

// isLoopback accepts literal addresses and the name localhost; any other name might resolve elsewhere tomorrow.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " /") {
		return false
	}
	_, err = netip.ParseAddrPort(net.JoinHostPort("127.0.0.1", port)) // a number from 0 to 65535
	return err == nil
}
