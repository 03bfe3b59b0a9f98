package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.temporal.io/sdk/client"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/ledger"
)

type metrics struct {
	handler client.MetricsHandler
	http    http.Handler
}

// newMetrics collects the Temporal SDK's metrics in Prometheus' form.
func newMetrics() (metrics, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return metrics{}, err
	}
	// The SDK measures in seconds; the default buckets are meant for milliseconds.
	seconds := metric.NewView(metric.Instrument{Kind: metric.InstrumentKindHistogram}, metric.Stream{
		Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}},
	})
	itself := resource.NewSchemaless(attribute.String("service.name", "castellan"))
	meter := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(seconds), metric.WithResource(itself)).Meter("castellan")
	return metrics{
		handler: temporalotel.NewMetricsHandler(temporalotel.MetricsHandlerOptions{Meter: meter, UseMonotonicCounters: true}),
		http:    promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}, nil
}

type served struct {
	address string
	stop    func()
}

// listen serves /metrics and /healthz: 200 when the ledger and Temporal answer, 503 with the reason when one does not.
func listen(ctx context.Context, address string, metrics http.Handler, store *ledger.Ledger, temporal client.Client) (served, error) {
	if address == config.ListenOff {
		return served{address, func() {}}, nil
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return served{}, fmt.Errorf("listen on %s (CASTELLAN_LISTEN; another address, or off): %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		if err := store.Ping(ctx); err != nil {
			http.Error(w, "the ledger does not answer", http.StatusServiceUnavailable)
			return
		}
		if _, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
			http.Error(w, "Temporal does not answer", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(socket) }()
	return served{socket.Addr().String(), func() { _ = server.Close() }}, nil
}
