package config

import (
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// TemporalOptions returns how to reach Temporal: Temporal's own profile file and variables (TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*, TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE), by default
// localhost:7233 and the namespace default. It does not connect.
// Source: https://docs.temporal.io/develop/environment-configuration.
func TemporalOptions(logger *zap.Logger) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return client.Options{}, fmt.Errorf("read Temporal's settings (TEMPORAL_* variables and the profile file): %w",
			err)
	}
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions,
		grpc.WithChainUnaryInterceptor(refuseHeaders),
		// Nobody puts gRPC's settings into DNS, and asking a name server that does not answer takes a minute.
		grpc.WithDisableServiceConfig())
	options.Logger = TemporalLogger(logger)
	return options, nil
}
