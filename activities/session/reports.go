package session

import (
	"context"

	"github.com/castellan-io/castellan/messages"
)

// Question answers one kind of report from the ledger.
type Question func(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error
