package contract_test

import (
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/account"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// driveAccounts runs the user management client through every operation that it has, on managed accounts: one that was
// invited, one that an identity provider owns. It asks for the others by hand.
func driveAccounts(c *contractTest) {
	t, ctx, client := c.t, c.t.Context(), c.acct
	invited, err := c.org.Invite(ctx, organization.Invitation{Email: "eve@acme.example"})
	require.NoError(t, err)
	eve, ana := invited.AccountID, c.user("ana").AtlassianAccountID

	free, err := client.Permissions(ctx, eve)
	require.NoError(t, err)
	require.False(t, free.Locked())
	require.Equal(t, account.Allowed, free.Profile["name"])
	locked, err := client.Permissions(ctx, ana)
	require.NoError(t, err)
	require.True(t, locked.Locked())
	require.Equal(t, account.BySCIM, locked.Email)
	c.raw(ctx, 200, http.MethodGet, "/users/"+ana+"/manage?privileges=email.set&privileges=profile.read", nil)

	require.NoError(t, client.Disable(ctx, eve, "left"))
	profile, err := client.Profile(ctx, eve)
	require.NoError(t, err)
	require.Equal(t, account.StatusInactive, profile.Status)
	require.NoError(t, client.Disable(ctx, eve, ""), "twice is as good as once")
	require.NoError(t, client.Enable(ctx, eve))
	require.NoError(t, client.SetEmail(ctx, eve, "eva@acme.example"))
	profile, err = client.Profile(ctx, eve)
	require.NoError(t, err)
	require.Equal(t, "eva@acme.example", profile.Email)
	require.Equal(t, account.StatusActive, profile.Status)
	profile, err = client.Profile(ctx, ana)
	require.NoError(t, err)
	require.Equal(t, []string{"Engineer", "R&D", "Acme", "Europe/Vienna", "de-AT"},
		[]string{profile.JobTitle, profile.Department, profile.Organization, profile.Timezone, profile.Locale})

	c.control("/people/"+eve+"/tokens", object{"label": "CI"})
	tokens, err := client.Tokens(ctx, eve)
	require.NoError(t, err)
	require.Equal(t, "CI", tokens[0].Label)
	require.NoError(t, client.DeleteToken(ctx, eve, tokens[0].ID))
	require.ErrorIs(t, client.DeleteToken(ctx, eve, tokens[0].ID), account.ErrNotFound)

	path := "/users/" + eve + "/manage"
	c.raw(ctx, 200, http.MethodPatch, path+"/profile", object{"nickname": "eva",
		"extended_profile": object{"location": "Vienna"}})
	c.raw(ctx, 200, http.MethodPost, path+"/lifecycle/delete", nil)
	require.ErrorIs(t, client.Enable(ctx, eve), account.ErrConflict)
	c.raw(ctx, 200, http.MethodPost, path+"/lifecycle/cancel-delete", nil)
	driveAccountRefusals(c, eve, ana)
}

func driveAccountRefusals(c *contractTest, eve, ana string) {
	t, ctx, client := c.t, c.t.Context(), c.acct
	require.ErrorIs(t, client.Disable(ctx, ana, "left"), account.ErrLocked)
	require.ErrorIs(t, client.SetEmail(ctx, ana, "ana2@acme.example"), account.ErrLocked)
	require.ErrorIs(t, client.SetEmail(ctx, eve, "eve@elsewhere.example"), account.ErrUnclaimed)
	require.ErrorIs(t, client.SetEmail(ctx, eve, "ana@acme.example"), account.ErrInvalid)
	c.raw(ctx, 403, http.MethodPatch, "/users/"+ana+"/manage/profile", object{"nickname": "ana", "name": "Ana"})
	c.raw(ctx, 400, http.MethodPatch, "/users/"+eve+"/manage/profile",
		object{"nickname": "a nickname of more than thirty characters"})
	_, err := client.Permissions(ctx, "nobody")
	require.ErrorIs(t, err, account.ErrNotFound)
	guest, err := c.org.Invite(ctx, organization.Invitation{Email: "max@outside.example"})
	require.NoError(t, err)
	for _, call := range []func() error{
		func() error { _, err := client.Permissions(ctx, guest.AccountID); return err },
		func() error { _, err := client.Profile(ctx, guest.AccountID); return err },
		func() error { _, err := client.Tokens(ctx, guest.AccountID); return err },
		func() error { return client.Disable(ctx, guest.AccountID, "") },
		func() error { return client.Enable(ctx, guest.AccountID) },
		func() error { return client.SetEmail(ctx, guest.AccountID, "max@acme.example") },
		func() error { return client.DeleteToken(ctx, guest.AccountID, "t") },
	} {
		require.ErrorIs(t, call(), account.ErrNotManaged)
	}
	_, err = c.accountClient(unknownKey).Permissions(ctx, eve)
	require.ErrorIs(t, err, account.ErrUnauthorized)
	c.strike(cloud.Fault{Kind: cloud.FaultStatus, Params: cloud.FaultParams{Status: 429, RetryAfter: "7"}})
	_, err = client.Tokens(ctx, eve)
	require.ErrorIs(t, err, account.ErrRateLimited)
	c.sim.ClearFaults("")
}

// driveRecords meets what becomes of records and accounts, beyond what driveSCIM does.
func driveRecords(c *contractTest) {
	t, ctx := c.t, c.t.Context()
	guest, err := c.scim.CreateUser(ctx, scim.User{UserName: "max@outside.example", Email: "max@outside.example",
		DisplayName: "Max", Active: true})
	require.NoError(t, err)
	require.NotEmpty(t, guest.AtlassianAccountID)
	changed, err := c.scim.PatchUser(ctx, guest.ID, []scim.Edit{{Attribute: scim.Title, To: "Guest"}})
	require.NoError(t, err)
	require.Empty(t, changed.AtlassianAccountID, "an unmanaged account is unlinked")

	ana := c.user("ana")
	moved, err := c.scim.PatchUser(ctx, ana.ID, []scim.Edit{
		{Attribute: scim.Email, From: ana.Email, To: "ana@outside.example"}})
	require.NoError(t, err)
	require.Equal(t, "ana@outside.example", moved.Email)
	require.Empty(t, moved.AtlassianAccountID)
	c.raw(ctx, 200, http.MethodPut, c.inSCIM()+"/Users/"+ana.ID, object{"userName": "ana@acme.example",
		"emails": []object{{"value": "ana@acme.example", "type": "work", "primary": true}}})

	_, err = c.scim.PatchUser(ctx, ana.ID, []scim.Edit{{Attribute: scim.PhoneNumber, From: "+43 1", To: "+43 2"}})
	require.ErrorIs(t, err, scim.ErrInvalid, "there is no such number to replace")
	_, err = c.scim.PatchUser(ctx, ana.AtlassianAccountID, []scim.Edit{{Attribute: scim.Title, To: "x"}})
	require.ErrorIs(t, err, scim.ErrNotFound, "an account's id is no record's")
	c.strike(cloud.Fault{Kind: cloud.FaultKeptAttributes, Params: cloud.FaultParams{Attributes: []string{"title"}}})
	kept, err := c.scim.PatchUser(ctx, ana.ID, []scim.Edit{{Attribute: scim.Title, To: "x"}})
	require.NoError(t, err)
	require.Empty(t, kept.Title)
	c.sim.ClearFaults("")
	require.NoError(t, c.sim.Configure(func(s *cloud.Settings) error { s.GuardLapsed = true; return nil }))
	_, err = c.scim.User(ctx, ana.ID)
	require.ErrorIs(t, err, scim.ErrForbidden)
}
