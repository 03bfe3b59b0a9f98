package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// Ledger does nothing, forever: it marks which ledger its namespace belongs to. The ledger's identity is in its memo,
// which can be read without a worker.
func Ledger(ctx workflow.Context, in messages.LedgerInput) error {
	var page display.Page
	page.Line("This namespace belongs to the ledger %s. Workers with another one do not start; `worker --move-ledger` moves it on purpose.", display.Code(in.Ledger))
	workflow.SetCurrentDetails(ctx, page.String())
	ctx.Done().Receive(ctx, nil)
	return ctx.Err()
}
