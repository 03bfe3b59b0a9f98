package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/castellan-io/castellan/config"
)

// lines decodes a JSON log.
func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var decoded []map[string]any
	for line := range strings.Lines(text) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		decoded = append(decoded, fields)
	}
	return decoded
}

func TestNewLogger(t *testing.T) {
	var out strings.Builder
	logger := config.NewLogger(&out, zapcore.InfoLevel, config.LogJSON)
	logger.Debug("left out")
	logger.Info("run finished", zap.Duration("took", 90*time.Second))
	got := lines(t, out.String())
	require.Len(t, got, 1)
	require.Equal(t, "run finished", got[0]["msg"])
	require.Equal(t, "1m30s", got[0]["took"])
	at, err := time.Parse(time.RFC3339Nano, got[0]["time"].(string))
	require.NoError(t, err)
	require.Equal(t, time.UTC, at.Location())

	out.Reset()
	config.NewLogger(&out, zapcore.InfoLevel, config.LogConsole).Warn("paused")
	require.Contains(t, out.String(), "WARN")
	require.Contains(t, out.String(), "paused")
}

func TestTemporalLogger(t *testing.T) {
	var out strings.Builder
	logger := config.TemporalLogger(config.NewLogger(&out, zapcore.InfoLevel, config.LogJSON))
	log.With(logger, "WorkflowID", "org-sync:acme").Error("activity failed", "Error", errors.New("429"))
	logger.Debug("left out")
	got := lines(t, out.String())
	require.Len(t, got, 1)
	require.Equal(t, "org-sync:acme", got[0]["WorkflowID"])
	require.Equal(t, "429", got[0]["Error"])
	require.Equal(t, "error", got[0]["level"])
	require.Contains(t, got[0]["caller"], "log_test.go", "the line that logged, not the adapter's")
	require.NotContains(t, got[0], "stacktrace")
}

func TestTemporalOptions(t *testing.T) {
	isolate := func(t *testing.T) {
		for _, entry := range os.Environ() {
			if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "TEMPORAL_") {
				t.Setenv(name, "")
				require.NoError(t, os.Unsetenv(name))
			}
		}
		t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml"))
	}
	t.Run("defaults", func(t *testing.T) {
		isolate(t)
		options, err := config.TemporalOptions(zap.NewNop())
		require.NoError(t, err)
		require.Equal(t, "localhost:7233", options.HostPort)
		require.Equal(t, "default", options.Namespace)
		require.NotNil(t, options.Logger)
	})
	t.Run("variables", func(t *testing.T) {
		isolate(t)
		t.Setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
		t.Setenv("TEMPORAL_NAMESPACE", "access")
		t.Setenv("TEMPORAL_API_KEY", "key")
		options, err := config.TemporalOptions(zap.NewNop())
		require.NoError(t, err)
		require.Equal(t, "temporal.example:7233", options.HostPort)
		require.Equal(t, "access", options.Namespace)
		require.NotNil(t, options.Credentials)
	})
	t.Run("profile file", func(t *testing.T) {
		isolate(t)
		file := filepath.Join(t.TempDir(), "temporal.toml")
		require.NoError(t, os.WriteFile(file, []byte("[profile.default]\naddress = \"from-file:7233\"\n"), 0o600))
		t.Setenv("TEMPORAL_CONFIG_FILE", file)
		options, err := config.TemporalOptions(zap.NewNop())
		require.NoError(t, err)
		require.Equal(t, "from-file:7233", options.HostPort)
	})
	t.Run("unknown profile", func(t *testing.T) {
		isolate(t)
		t.Setenv("TEMPORAL_PROFILE", "nowhere")
		_, err := config.TemporalOptions(zap.NewNop())
		require.ErrorContains(t, err, "TEMPORAL_")
		require.ErrorContains(t, err, "nowhere")
	})
}
