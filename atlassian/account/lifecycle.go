package account

import (
	"context"
	"net/http"
)

// Disable deactivates an account: nobody can log in with it, to any site or app, and it takes no licence. It keeps its
// groups. The person may see the message, which may be "". ErrLocked if an identity provider owns the account.
func (w Writer) Disable(ctx context.Context, accountID, message string) error {
	body := map[string]string{}
	if message != "" {
		body["message"] = message
	}
	return w.lifecycle(ctx, "disable account", accountID, "disable", body)
}

// Enable activates an account, with the groups that it had. ErrLocked if an identity provider owns the account,
// ErrConflict if it is about to be deleted or blocked by export control.
func (w Writer) Enable(ctx context.Context, accountID string) error {
	return w.lifecycle(ctx, "enable account", accountID, "enable", nil)
}

func (w Writer) lifecycle(ctx context.Context, operation, accountID, verb string, body any) error {
	return w.do(ctx, call{operation: operation, method: http.MethodPost, account: accountID,
		parts: []string{"lifecycle", verb}, body: body, write: true})
}
