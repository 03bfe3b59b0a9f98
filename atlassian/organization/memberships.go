package organization

import (
	"context"
	"net/http"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// AddMember adds an account to a group. The directory must be the account's own, never "-".
//
// ErrAlreadyMember means that nothing is left to do. The vendor documents one 409 for two things: if the response does
// not tell which, the error is ErrConflict and the caller has to read back. ErrForbidden is the error for a synced
// group.
func (w Writer) AddMember(ctx context.Context, directory, groupID, accountID string) error {
	const operation = "add member"
	if !wire.Segment(accountID) {
		return wire.Invalid(pkg, operation, "%q cannot be the account's id", accountID)
	}
	path, err := w.directoryPath(operation, directory, true, "groups", groupPart(groupID), "memberships")
	if err != nil {
		return err
	}
	body := struct {
		AccountID string `json:"accountId"`
	}{accountID}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body,
		Write: true})
}

// RemoveMember removes an account from a group. ErrNotFound means that the organization, the directory, the group or
// the membership does not exist: a caller who only wants the person out may take it for success.
func (w Writer) RemoveMember(ctx context.Context, directory, groupID, accountID string) error {
	const operation = "remove member"
	path, err := w.directoryPath(operation, directory, true, "groups", groupPart(groupID), "memberships",
		accountPart(accountID))
	if err != nil {
		return err
	}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodDelete, Path: path, Write: true})
}

func accountPart(accountID string) id { return id{"account's id", accountID} }
