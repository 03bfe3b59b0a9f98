// Command worker runs Castellan's workflows and activities for one Temporal namespace and one ledger; any number of
// workers may run at once. Its settings come from the environment; docs/install.md lists them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

const unknownVersion = "unknown"

var version = unknownVersion // set when it is built

func main() {
	health := flag.Bool("health", false, "ask the worker that runs here whether it takes work, and exit with 0 or 1")
	retired := flag.String("retire", "",
		"give the id of this `organization` free, so that another name may serve it, and exit")
	move := flag.Bool("move-ledger", false,
		"make the ledger and the Temporal namespace belong together from now on, and exit")
	flag.Usage = usage
	flag.Parse()
	run := serve
	switch {
	case *health:
		run = askHealth
	case *retired != "":
		run = func(ctx context.Context) error { return retire(ctx, *retired) }
	case *move:
		run = moveLedger
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintf(flag.CommandLine.Output(),
		"castellan worker %s\n\nusage: worker [--health | --retire ORGANIZATION | --move-ledger]\n\nIt reads its settings from the environment:\n\n", version)
	for v := range config.Variables[config.Worker]() {
		fmt.Fprintf(flag.CommandLine.Output(), "  %-32s %s (default %q)\n", v.Name, v.Want, v.Default)
	}
	fmt.Fprintln(flag.CommandLine.Output(), "  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …  Temporal's own settings")
}

// gcPercent keeps peak memory low: a sweep discards a page of people every few milliseconds, and an organization of
// 100,000 people should fit a small machine. GOGC overrides it.
const gcPercent = 50

// process is the worker's process: what is made of its settings, and then its ledger and its Temporal client.
type process struct {
	settings config.Worker
	log      *zap.Logger
	notifier *notify.Many
	page     config.ReviewPage
	inbox    config.Inbox
	pages    *reviews.ReviewPages
	sources  config.Sources
	metrics  metrics
	health   *health

	store     *ledger.Ledger
	temporal  client.Client
	namespace string
}

// serve runs until it is told to stop.
func serve(ctx context.Context) error {
	settings, err := config.Load[config.Worker]()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := config.NewLogger(os.Stderr, settings.LogLevel, settings.LogFormat)
	defer func() { _ = log.Sync() }()
	p, err := newProcess(settings, log)
	if err != nil {
		return err
	}
	p.health.setNotReady("waiting for the ledger")
	served, err := serveHealth(ctx, settings.Listen, p.metrics.http, p.health)
	if err != nil {
		return err
	}
	defer served.stop()
	if p.store, err = openLedger(ctx, settings); err != nil {
		return err
	}
	defer func() { _ = p.store.Close() }()
	p.metrics.ledger.setLedger(p.store)
	p.health.setNotReady("waiting for Temporal")
	if p.temporal, p.namespace, err = dial(ctx, log, p.metrics.handler); err != nil {
		return err
	}
	defer p.temporal.Close()
	if err := p.prepareNamespace(ctx); err != nil {
		return err
	}
	acts := p.activities()
	workers, err := start(p.temporal, acts, settings)
	if err != nil {
		return err
	}
	defer workers.stop()
	go watchBinding(ctx, p.temporal, p.namespace, p.store, log, workers.failed)
	page, err := servePages(ctx, p.page, p.pages, acts, log)
	if err != nil {
		return err
	}
	defer page.stop()
	posts, err := serveInbox(ctx, p.inbox, acts, settings.Secrets(), log)
	if err != nil {
		return err
	}
	defer posts.stop()
	p.health.setReady(p.store, p.temporal)
	log.Info("working", zap.String("version", version), zap.String("namespace", p.namespace),
		zap.String("listen", served.address), zap.String("reviews", page.address),
		zap.String("inbox", posts.address))
	return p.untilStopped(ctx, workers, page, posts)
}

// newProcess sets up what depends only on the settings.
func newProcess(settings config.Worker, log *zap.Logger) (*process, error) {
	for _, name := range config.Unknown() {
		log.Warn("nothing reads this variable; check its spelling", zap.String("variable", name))
	}
	p := &process{settings: settings, log: log, health: &health{}}
	var err error
	if p.notifier, err = notifierOf(settings, log); err != nil {
		return nil, err
	}
	if p.page, err = settings.ReviewPage(); err != nil {
		return nil, err
	}
	if p.pages, err = pagesOf(p.page); err != nil {
		return nil, err
	}
	if p.inbox, err = settings.Inbox(); err != nil {
		return nil, err
	}
	if p.sources, err = settings.Sources(); err != nil {
		return nil, err
	}
	p.metrics, err = newMetrics(log)
	return p, err
}

// prepareNamespace returns once the namespace belongs to the ledger and knows the search attributes.
func (p *process) prepareNamespace(ctx context.Context) error {
	if err := bindAtStart(ctx, p.temporal, p.namespace, p.store); err != nil {
		return err
	}
	p.health.setNotReady("waiting for the search attributes to be registered; the log says what is in the way")
	return awaitAttributes(ctx, p.temporal, p.namespace, p.log)
}

func (p *process) activities() *activities.Activities {
	secrets := p.settings.Secrets()
	return activities.New(activities.Options{
		Options: session.Options{
			Ledger: p.store, AtlassianURL: p.settings.AtlassianURL + "/admin",
			HTTP:     httpClient(p.settings.CallsInFlight),
			Temporal: p.temporal, Notifier: p.notifier, Version: version,
			Secret: func(org, ref string) (string, error) {
				secret, err := secrets.Resolve(org, ref)
				return secret.Reveal(), err
			},
			SourceSecret: func(org, ref string, hosts ...string) (string, error) {
				secret, err := secrets.ResolveFor(org, ref, hosts...)
				return secret.Reveal(), err
			},
			SourceFolders: p.sources.Folders, SourceCAs: p.sources.CAs,
		},
		Schedules: p.temporal, Pages: p.pages,
	})
}

// untilStopped waits until the process is told to stop or its workers fail, and lets running work finish.
func (p *process) untilStopped(ctx context.Context, workers *workerSet, served ...endpoint) (err error) {
	select {
	case <-ctx.Done():
		p.log.Info("stopping; what is being written may finish", zap.Duration("within", p.settings.DrainTimeout))
	case err = <-workers.failed:
	}
	p.health.setNotReady("stopping")
	var stopping sync.WaitGroup
	for _, one := range served {
		stopping.Go(one.stop)
	}
	stopping.Go(workers.stop)
	stopping.Wait()
	return err
}

// dial connects to Temporal.
func dial(ctx context.Context, log *zap.Logger, metrics client.MetricsHandler) (temporal client.Client,
	namespace string, err error) {
	options, err := config.TemporalOptions(log)
	if err != nil {
		return nil, "", err
	}
	options.MetricsHandler = metrics
	temporal, err = client.DialContext(ctx, options)
	if err != nil {
		return nil, "", fmt.Errorf("reach Temporal at %s (TEMPORAL_ADDRESS); does the name resolve, and is its server running? %w", options.HostPort, err)
	}
	return temporal, options.Namespace, nil
}

// How soon, and how often, the log reports that search attributes are still missing. It reports at once if they may not
// be registered.
const (
	warnAfter = 5 * time.Second
	warnEvery = time.Minute
)

// awaitAttributes returns once the search attributes are registered: before that no workflow may run, since one that
// sets an unknown search attribute is stuck.
func awaitAttributes(ctx context.Context, temporal client.Client, namespace string, log *zap.Logger) error {
	begun, told := time.Now(), time.Time{}
	return config.AwaitSearchAttributes(ctx, temporal, namespace, messages.Attributes(), func(err error) bool {
		soon := time.Since(begun) < warnAfter && !errors.Is(err, config.ErrMayNotRegister)
		if !soon && time.Since(told) >= warnEvery && ctx.Err() == nil {
			log.Warn("no work is taken before the search attributes are registered; trying again",
				zap.String("namespace", namespace), zap.Error(err))
			told = time.Now()
		}
		return true
	})
}

// notifierOf returns the notifier for all channels of the settings.
func notifierOf(settings config.Worker, log *zap.Logger) (*notify.Many, error) {
	n, err := settings.Notices()
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Options{
		WebhookURL: n.WebhookURL.Reveal(), WebhookSecret: n.WebhookSecret.Reveal(), SlackURL: n.SlackURL.Reveal(),
		SMTP: notify.SMTPOptions{Server: n.SMTP, Password: n.SMTPPassword.Reveal(), From: n.SMTPFrom,
			Watchers: n.Watchers},
	}, log)
}

// httpClient returns a client that keeps as many connections as there are calls in flight.
func httpClient(inFlight int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = inFlight, inFlight
	return &http.Client{Transport: transport}
}

// askHealth is the container's health check.
func askHealth(ctx context.Context) error {
	settings, err := config.Load[config.Worker]()
	if err != nil {
		return err
	}
	if settings.Listen == config.ListenOff {
		return errors.New("CASTELLAN_LISTEN is off: there is nothing to ask")
	}
	host, port, err := net.SplitHostPort(settings.Listen)
	if err != nil {
		return err
	}
	if port == "0" {
		return errors.New("CASTELLAN_LISTEN has port 0: only the worker's log says which one it took; give each worker of a machine a port of its own")
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("the worker does not take work (%s): %s", answer.Status, strings.TrimSpace(string(why)))
	}
	return nil
}
