package organization

import (
	"context"
	"net/http"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// AddMember puts an account into a group. The directory must be the account's own, never "-".
//
// ErrAlreadyMember means that it is done. The vendor documents one 409 for two things: where the answer does not tell
// which, the error is ErrConflict and only reading back does. ErrForbidden is the answer for a synced group.
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

// RemoveMember takes an account out of a group. ErrNotFound means that the organization, the directory, the group or
// the membership is not there: whoever only wants the person out may take it for done.
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
