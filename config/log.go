package config

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// LogFormat is how log lines are written.
type LogFormat string

// The log formats: one JSON object a line for machines, columns for people.
const (
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

// UnmarshalText accepts the formats above.
func (f *LogFormat) UnmarshalText(text []byte) error {
	switch LogFormat(text) {
	case LogJSON, LogConsole:
		*f = LogFormat(text)
		return nil
	}
	return errors.New("unknown log format")
}

// NewLogger returns a logger that writes lines of the level and above to w, with times in RFC 3339 and UTC.
// It may be used by many goroutines, whatever w is.
func NewLogger(w io.Writer, level zapcore.Level, format LogFormat) *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey = "time"
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	if format == LogConsole {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(enc)
	} else {
		encoder = zapcore.NewJSONEncoder(enc)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)
	return zap.New(core, zap.AddCaller(), zap.WithClock(utcClock{zapcore.DefaultClock}))
}

// TemporalLogger returns the logger for the Temporal SDK, with the caller's file and line in place of the SDK's.
func TemporalLogger(logger *zap.Logger) log.Logger {
	// No stack traces: the SDK logs an error for every failed attempt of an activity.
	handler := zapslog.NewHandler(logger.Core(), zapslog.WithCaller(true), zapslog.AddStacktraceAt(slog.LevelError+1))
	return log.NewStructuredLogger(slog.New(handler))
}

// usableLevel reports whether it is none of zap's levels that end the process.
func usableLevel(level zapcore.Level) bool {
	return level >= zapcore.DebugLevel && level <= zapcore.ErrorLevel
}

// utcClock makes the log lines of machines in different time zones sort together.
type utcClock struct{ zapcore.Clock }

func (c utcClock) Now() time.Time { return c.Clock.Now().UTC() }
