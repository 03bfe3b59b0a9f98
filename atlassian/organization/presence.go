package organization

import (
	"context"
	"errors"
	"net/http"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// SuspendUser takes away an account's access to all apps and sites of the directory, and its licences; it keeps its
// groups and roles. The directory must be the account's own, never "-". Read MembershipStatus back: the vendor does not
// promise when it changes. ErrNotFound means that the account is not in the directory; ErrForbidden was seen for
// accounts that also have access elsewhere.
func (w Writer) SuspendUser(ctx context.Context, directory, accountID string) error {
	return w.presence(ctx, "suspend user", directory, accountID, http.MethodPost, "suspend")
}

// RestoreUser gives a suspended account its access back, with the groups and roles that it had. They need licences
// again: ErrLicenceLimit if there are none. (The vendor documents no response for that; the call's first version had
// ADMIN-409-3 and ADMIN-400-32.)
func (w Writer) RestoreUser(ctx context.Context, directory, accountID string) error {
	err := w.presence(ctx, "restore user", directory, accountID, http.MethodPost, "restore")
	var failure *Error
	if errors.As(err, &failure) && failure.Code == "ADMIN-400-32" { // too many licence breaches
		failure.Kind = ErrLicenceLimit
	}
	return err
}

// RemoveUser removes an account from the directory: its groups and roles are lost, and only an invitation brings it
// back. The removal is queued (according to the vendor, for the call's first version) and reads may show the account
// for a while. ErrNotFound means that it is not in the directory: a caller who only wants it out may take it for
// success. ErrForbidden may mean that an identity provider owns the account, which then has to be removed there.
func (w Writer) RemoveUser(ctx context.Context, directory, accountID string) error {
	return w.presence(ctx, "remove user", directory, accountID, http.MethodDelete)
}

func (w Writer) presence(ctx context.Context, operation, directory, accountID, method string, verb ...any) error {
	path, err := w.directoryPath(operation, directory, true, append([]any{"users", accountPart(accountID)}, verb...)...)
	if err != nil {
		return err
	}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: method, Path: path, Write: true})
}
