package session

import (
	"context"

	"github.com/castellan-io/castellan/messages"
)

// Question answers what is asked of the ledger, in one kind of report.
type Question func(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error
