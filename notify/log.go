package notify

import (
	"context"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/messages"
)

// Log writes notices to the worker's log, never a code.
type Log struct{ logger *zap.Logger }

// NewLog returns the channel that writes to the logger, at level info.
func NewLog(logger *zap.Logger) *Log { return &Log{logger} }

// Private is false: many read a log.
func (l *Log) Private() bool { return false }

// Notify writes one line. It never fails.
func (l *Log) Notify(_ context.Context, n messages.Notice) error {
	n = tidy(withoutSecrets(n))
	l.logger.Info("notice: "+n.Subject,
		zap.String("notice", n.ID), zap.String("kind", n.Kind), zap.String("org", n.Org), zap.Time("at", n.At),
		zap.String("to", n.To),
		zap.String("text", n.Text), zap.String("command", n.Command), zap.String("workflow", n.Workflow),
		zap.String("grant", n.Grant), zap.String("person", n.Person), zap.String("target", string(n.Target)))
	return nil
}
