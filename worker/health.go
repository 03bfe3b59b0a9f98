package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.temporal.io/sdk/client"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/ledger"
)

type metrics struct {
	handler client.MetricsHandler
	http    http.Handler
	ledger  *ledgerMetrics
}

// newMetrics collects the Temporal SDK's metrics for Prometheus, and numbers from the ledger.
func newMetrics(log *zap.Logger) (metrics, error) {
	registry := prometheus.NewRegistry()
	numbers := &ledgerMetrics{log: log, now: time.Now}
	if err := registry.Register(numbers); err != nil {
		return metrics{}, err
	}
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return metrics{}, err
	}
	// The SDK measures in seconds; the default buckets are meant for milliseconds.
	seconds := metric.NewView(metric.Instrument{Kind: metric.InstrumentKindHistogram}, metric.Stream{
		Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: []float64{.005, .01, .025, .05, .1, .25, .5,
			1, 2.5, 5, 10, 30, 60}},
	})
	itself := resource.NewSchemaless(attribute.String("service.name", "castellan"))
	meter := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(seconds),
		metric.WithResource(itself)).Meter("castellan")
	return metrics{
		handler: temporalotel.NewMetricsHandler(temporalotel.MetricsHandlerOptions{Meter: meter,
			UseMonotonicCounters: true}),
		http:   promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		ledger: numbers,
	}, nil
}

// The limits of metrics and health.
const (
	healthReadTimeout  = 5 * time.Second
	healthWriteTimeout = 30 * time.Second
	healthCheckTimeout = 3 * time.Second // by the ledger and Temporal
	healthConnections  = 64
	shutdownTimeout    = time.Second // when the worker stops
)

type endpoint struct {
	address string
	stop    func()
}

// health is the worker's state for its health checks.
type health struct {
	mu       sync.Mutex
	reason   string // why it takes no work; "": it takes work
	ledger   *ledger.Ledger
	temporal client.Client
}

// setNotReady records why the worker takes no work.
func (h *health) setNotReady(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reason = why
}

// setReady records that the worker takes work, and what it needs for that.
func (h *health) setReady(store *ledger.Ledger, temporal client.Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reason, h.ledger, h.temporal = "", store, temporal
}

// ready returns why the worker cannot take work now, or nil.
func (h *health) ready(ctx context.Context) error {
	h.mu.Lock()
	why, store, temporal := h.reason, h.ledger, h.temporal
	h.mu.Unlock()
	if why != "" {
		return errors.New(why)
	}
	ctx, cancel := context.WithTimeout(ctx, healthCheckTimeout)
	defer cancel()
	if err := store.Ping(ctx); err != nil {
		return errors.New("the ledger does not answer")
	}
	if _, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return errors.New("the Temporal server does not answer")
	}
	return nil
}

// serveHealth serves /livez: 200 as long as the process runs, so that nothing restarts it during an outage of what it
// depends on; /readyz, and /healthz as its older name: 200 when it takes work, 503 with the reason when it does not;
// and /metrics.
func serveHealth(ctx context.Context, address string, metrics http.Handler, h *health) (endpoint, error) {
	if address == config.ListenOff {
		return endpoint{address, func() {}}, nil
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return endpoint{}, fmt.Errorf("listen on %s (CASTELLAN_LISTEN; each worker of a machine needs an address of its own: another port, 0 for one that is free, or off): %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	ready := func(w http.ResponseWriter, r *http.Request) {
		if err := h.ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	}
	mux.HandleFunc("GET /readyz", ready)
	mux.HandleFunc("GET /healthz", ready)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: healthReadTimeout, ReadTimeout: healthReadTimeout,
		WriteTimeout:   healthWriteTimeout,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	return serveBounded(server, socket, healthConnections), nil
}

// serveBounded serves at most so many connections at once. When it is stopped, requests have a second to finish.
func serveBounded(server *http.Server, socket net.Listener, most int) endpoint {
	connections := limitConnections(socket, most)
	server.ConnState = connections.track
	go func() { _ = server.Serve(connections) }()
	return endpoint{socket.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}}
}
