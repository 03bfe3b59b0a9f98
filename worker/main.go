// Command worker runs Castellan's workflows and activities: as many of them as are wanted, against one Temporal
// namespace and one ledger. Its settings come from the environment; docs/operations.md lists them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

var version = "unknown" // set when it is built

func main() {
	health := flag.Bool("health", false, "ask the worker that runs here whether it is well, and exit with 0 or 1")
	flag.Usage = usage
	flag.Parse()
	run := serve
	if *health {
		run = askHealth
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintf(flag.CommandLine.Output(), "castellan worker %s\n\nusage: worker [--health]\n\nIt reads its settings from the environment:\n\n", version)
	for v := range config.Variables[config.Worker]() {
		fmt.Fprintf(flag.CommandLine.Output(), "  %-32s %s (default %q)\n", v.Name, v.Want, v.Default)
	}
	fmt.Fprintln(flag.CommandLine.Output(), "  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …  Temporal's own settings")
}

// gcPercent keeps the peak of memory low: a sweep throws away a page of people every few milliseconds, and an organization
// of 100,000 people should fit a small machine. GOGC overrides it.
const gcPercent = 50

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
	for _, name := range config.Unknown() {
		log.Warn("a setting that nobody reads; is it misspelt?", zap.String("variable", name))
	}
	url, err := settings.LedgerURL()
	if err != nil {
		return err
	}
	store, err := ledger.Open(ctx, url)
	if err != nil {
		return fmt.Errorf("open the ledger (CASTELLAN_LEDGER): %w", err)
	}
	defer func() { _ = store.Close() }()
	metrics, err := newMetrics()
	if err != nil {
		return err
	}
	options, err := config.TemporalOptions(log)
	if err != nil {
		return err
	}
	options.MetricsHandler = metrics.handler
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return fmt.Errorf("reach Temporal at %s (TEMPORAL_ADDRESS); is its server running? %w", orDefault(options.HostPort), err)
	}
	defer temporal.Close()
	namespace := options.Namespace
	if namespace == "" {
		namespace = client.DefaultNamespace
	}
	if err := config.RegisterSearchAttributes(ctx, temporal, namespace, messages.Attributes()); err != nil {
		log.Warn("workflows may not be able to show their state", zap.Error(err))
	}
	notifier, err := notifierOf(settings, log)
	if err != nil {
		return err
	}
	page, err := settings.ReviewPage()
	if err != nil {
		return err
	}
	pages, err := pagesOf(page)
	if err != nil {
		return err
	}
	secrets := settings.Secrets()
	acts := activities.New(activities.Options{
		Ledger: store, AtlassianURL: settings.AtlassianURL + "/admin", HTTP: httpClient(settings.CallsInFlight),
		Temporal: temporal, Schedules: temporal, Notifier: notifier, Pages: pages, Version: version,
		Secret: func(ref string) (string, error) {
			secret, err := secrets.Resolve(ref)
			return secret.Reveal(), err
		},
	})
	workers, err := start(temporal, acts, settings)
	if err != nil {
		return err
	}
	defer workers.stop()
	served, err := listen(ctx, settings.Listen, metrics.http, store, temporal)
	if err != nil {
		return err
	}
	defer served.stop()
	reviews, err := servePages(ctx, page, pages, acts, log)
	if err != nil {
		return err
	}
	defer reviews.stop()
	log.Info("working", zap.String("version", version), zap.String("namespace", options.Namespace), zap.String("listen", served.address), zap.String("reviews", reviews.address))
	select {
	case <-ctx.Done():
		log.Info("stopping; running calls may finish", zap.Duration("within", settings.DrainTimeout))
		return nil
	case err := <-workers.failed:
		return err
	}
}

func orDefault(address string) string {
	if address == "" {
		return client.DefaultHostPort
	}
	return address
}

// notifierOf tells people in all the ways that are set up.
func notifierOf(settings config.Worker, log *zap.Logger) (*notify.Many, error) {
	n, err := settings.Notices()
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Options{
		WebhookURL: n.WebhookURL.Reveal(), WebhookSecret: n.WebhookSecret.Reveal(), SlackURL: n.SlackURL.Reveal(),
		SMTP: notify.SMTPOptions{Server: n.SMTP, Password: n.SMTPPassword.Reveal(), From: n.SMTPFrom, Watchers: n.Watchers},
	}, log)
}

// httpClient keeps as many connections as there are calls in flight.
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
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the worker is not well: %s", answer.Status)
	}
	return nil
}
