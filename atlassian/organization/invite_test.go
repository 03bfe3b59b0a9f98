package organization_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

func TestInvite(t *testing.T) {
	x := &exchange{answer: `{"data":[{"email":"Eve@Acme.example","id":"712020:eve","results":[]}]}`}
	client := x.client(t)
	invited, err := client.Invite(t.Context(), organization.Invitation{Email: "eve@acme.example"})
	require.NoError(t, err)
	require.Equal(t, organization.Invited{AccountID: "712020:eve"}, invited)
	require.Equal(t, "/admin/v2/orgs/org-1/users/invite", x.path)
	require.Equal(t, map[string]any{"emails": []any{"eve@acme.example"}, "sendNotification": false}, x.body,
		"presence and nothing else")

	_, err = client.Invite(t.Context(), organization.Invitation{
		Email: "eve@acme.example", Groups: []string{"ari:cloud:identity::group/g1"},
		Rules: []organization.InviteRule{{Resource: jira, Role: "atlassian/user"}}, Notify: true, Text: "Welcome",
	})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"emails": []any{"eve@acme.example"}, "additionalGroups": []any{"g1"}, "sendNotification": true,
		"notificationText": "Welcome",
		"permissionRules":  []any{map[string]any{"resource": jira, "role": "atlassian/user"}},
	}, x.body)
}

func TestAnInvitationMaySucceedInPart(t *testing.T) {
	x := &exchange{status: 206}
	client := x.client(t)
	for answer, want := range map[string]organization.Invited{
		`{"data":[{"email":"eve@acme.example","id":"712020:eve","results":[
			{"roleAssignmentResult":[{"resource":"r1","role":"ari:cloud:jira::role/product/member","status":"INVITED","statusReason":null},
				{"resource":"r2","role":"ari:cloud:jira::role/product/admin","status":"ERROR","statusReason":"ADMIN-UAM-409-3"}]},
			{"groupAssignmentResult":[{"group":"g1","status":"ERROR","statusReason":null},{"group":"g2","status":"INVITED"}]}]}]}`: {
			AccountID: "712020:eve",
			Failed: []organization.InviteFailure{{Resource: "r2", Role: "ari:cloud:jira::role/product/admin",
				Reason: "ADMIN-UAM-409-3"}, {Group: "g1"}},
		},
		`{"data":[{"email":"eve@acme.example"}]}`: {
			Failed: []organization.InviteFailure{{Reason: "the answer names no account"}}},
	} {
		x.answer = answer
		invited, err := client.Invite(t.Context(), organization.Invitation{Email: "eve@acme.example"})
		require.NoError(t, err)
		require.Equal(t, want, invited)
	}
}

func TestRefusedAndBrokenInvitations(t *testing.T) {
	said := func(code string) string { return `{"errors":[{"code":"` + code + `","title":"No","detail":null}]}` }
	tests := map[string]struct {
		status int
		answer string
		kind   error
	}{
		"no subscription": {402, said("ADMIN-UAM-402-1"), organization.ErrLicenceLimit},
		"user limit":      {409, said("ADMIN-UAM-409-3"), organization.ErrLicenceLimit},
		"conflict":        {409, said("ADMIN-UAM-409-2"), organization.ErrConflict},
		"no such group":   {404, said("ADMIN-UAM-404-3"), organization.ErrNotFound},
		"bad request":     {400, said("ADMIN-UAM-400-1"), organization.ErrInvalid},
		"outage":          {500, said("ADMIN-UAM-500-1"), organization.ErrOutcomeUnknown},
		"cut off":         {200, `{"data":[{"email":"eve@acme.example","id":"71`, organization.ErrOutcomeUnknown},
		"nothing said":    {200, ``, organization.ErrOutcomeUnknown},
		"nobody":          {206, `{"data":[]}`, organization.ErrOutcomeUnknown},
		"somebody else": {200, `{"data":[{"email":"bo@acme.example","id":"712020:bo"}]}`,
			organization.ErrOutcomeUnknown},
		"another's answer": {200, `{"data":{"id":"712020:eve"}}`, organization.ErrOutcomeUnknown},
	}
	x := &exchange{}
	client := x.client(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x.status, x.answer = test.status, test.answer
			invited, err := client.Invite(t.Context(), organization.Invitation{Email: "eve@acme.example"})
			require.ErrorIs(t, err, test.kind)
			require.Empty(t, invited, "never somebody's account by mistake")
		})
	}
}
