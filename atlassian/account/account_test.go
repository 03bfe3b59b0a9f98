package account_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/account"
)

// exchange is what the client sent, and the response to it.
type exchange struct {
	status int
	answer string

	asked, body string
	calls       int
}

func (x *exchange) client(t *testing.T) account.Writer {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		x.calls++
		x.asked, x.body = r.Method+" "+r.URL.RequestURI(), string(sent)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(max(x.status, 200))
		_, _ = io.WriteString(w, x.answer)
	}))
	t.Cleanup(server.Close)
	client, err := account.New(account.Options{BaseURL: server.URL,
		Key: func(context.Context) (string, error) { return "k", nil }})
	require.NoError(t, err)
	return account.NewWriter(client)
}

const ana = "557058:ana"

func TestPermissions(t *testing.T) {
	x := &exchange{answer: `{"email.set":{"allowed":false,"reason":{"key":"externalDirectory.scim"}},
		"lifecycle.enablement":{"allowed":false,"reason":{"key":"externalDirectory.scim"}},"lifecycle.delete":{"allowed":true},
		"apiToken.read":{"allowed":true},"apiToken.delete":{"allowed":false},"profile.read":{"allowed":true},
		"profile":{"name":{"allowed":true}},
		"profile.write":{"nickname":{"allowed":true},"extended_profile.job_title":{"allowed":false,"reason":{"key":"new.reason"}}}}`}
	client := x.client(t)
	got, err := client.Permissions(t.Context(), ana)
	require.NoError(t, err)
	require.Equal(t, "GET /users/557058:ana/manage", x.asked)
	require.Equal(t, account.Permissions{
		Email: account.BySCIM, Enablement: account.BySCIM, Deletion: account.Allowed, ReadTokens: account.Allowed,
		DeleteTokens: account.Refused, ReadProfile: account.Allowed,
		Profile: map[string]account.Rule{"nickname": account.Allowed, "extended_profile.job_title": "new.reason"},
	}, got)
	require.True(t, got.Locked())
	require.False(t, account.Permissions{Enablement: account.ExportControl}.Locked(), "nobody's directory")

	for name, answer := range map[string]string{
		"empty": `{}`, "no answer": `{"lifecycle.enablement":{}}`, "broken": `{"lifecycle.enablement":{"allowed"`,
		"list": `[]`,
	} {
		x.answer = answer
		_, err = client.Permissions(t.Context(), ana)
		require.ErrorIs(t, err, account.ErrMalformed, name)
	}
}

func TestProfile(t *testing.T) {
	x := &exchange{answer: `{"account":{"account_id":"557058:ana","account_type":"atlassian","account_status":"inactive",
		"name":"Ana A","nickname":"annie","email":"ana@acme.example","picture":"https://x","locale":"de-AT","zoneinfo":"Europe/Vienna",
		"extended_profile":{"job_title":"Engineer","department":"R&D","organization":"Acme","location":"Vienna"}}}`}
	client := x.client(t)
	got, err := client.Profile(t.Context(), ana)
	require.NoError(t, err)
	require.Equal(t, "GET /users/557058:ana/manage/profile", x.asked)
	require.Equal(t, account.Profile{AccountID: ana, Type: "atlassian", Status: account.StatusInactive, Name: "Ana A",
		Nickname: "annie", Email: "ana@acme.example", Locale: "de-AT", Timezone: "Europe/Vienna", JobTitle: "Engineer",
		Department: "R&D", Organization: "Acme", Location: "Vienna"}, got)

	x.answer = `{"account":{"account_id":"557058:ana"}}`
	_, err = client.Profile(t.Context(), ana)
	require.ErrorIs(t, err, account.ErrMalformed)
}

func TestTokens(t *testing.T) {
	x := &exchange{answer: `[{"id":"t1","label":"CI","createdAt":"2026-01-01T10:00:00.000Z","expiry":"2027-01-01T00:00:00.000Z"},
		{"id":"t2","label":"old","createdAt":"2025-01-01T10:00:00.000Z","lastAccess":"2026-02-01T10:00:00.000Z"}]`}
	client := x.client(t)
	got, err := client.Tokens(t.Context(), ana)
	require.NoError(t, err)
	require.Equal(t, "GET /users/557058:ana/manage/api-tokens", x.asked)
	at := func(year, month, hour int) time.Time {
		return time.Date(year, time.Month(month), 1, hour, 0, 0, 0, time.UTC)
	}
	require.Equal(t, []account.Token{{ID: "t1", Label: "CI", Created: at(2026, 1, 10), Expiry: at(2027, 1, 0)},
		{ID: "t2", Label: "old", Created: at(2025, 1, 10), LastAccess: at(2026, 2, 10)}}, got)

	for name, answer := range map[string]string{"null": `null`, "object": `{}`, "cut": `[{"id":"t1"}`, "no id": `[{}]`} {
		x.answer = answer
		got, err = client.Tokens(t.Context(), ana)
		require.ErrorIs(t, err, account.ErrMalformed, name)
		require.Nil(t, got, name)
	}
}

func TestWrites(t *testing.T) {
	x := &exchange{status: 204}
	client, ctx := x.client(t), t.Context()
	require.NoError(t, client.Disable(ctx, ana, "left"))
	require.Equal(t, "POST /users/557058:ana/manage/lifecycle/disable", x.asked)
	require.JSONEq(t, `{"message":"left"}`, x.body)
	require.NoError(t, client.Disable(ctx, ana, ""))
	require.JSONEq(t, `{}`, x.body)
	require.NoError(t, client.Enable(ctx, ana))
	require.Equal(t, "POST /users/557058:ana/manage/lifecycle/enable", x.asked)
	require.Empty(t, x.body)
	require.NoError(t, client.SetEmail(ctx, ana, "ana@acme.example"))
	require.Equal(t, "PUT /users/557058:ana/manage/email", x.asked)
	require.JSONEq(t, `{"email":"ana@acme.example"}`, x.body)
	require.NoError(t, client.DeleteToken(ctx, ana, "t1"))
	require.Equal(t, "DELETE /users/557058:ana/manage/api-tokens/t1", x.asked)
}

func TestErrors(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		answer string
		kind   error
		says   string
	}{
		"key":         {401, `{"key":"unauthorized"}`, account.ErrUnauthorized, "unauthorized"},
		"not managed": {403, `{"key":"forbidden"}`, account.ErrNotManaged, "claimed"},
		"unverified":  {403, `{"key":"forbidden.targetUnverified"}`, account.ErrNotManaged, "targetUnverified"},
		"locked": {403, `{"key":"forbidden.action","context":{"allowed":false,"reason":{"key":"externalDirectory.scim"}}}`,
			account.ErrLocked, "externalDirectory.scim"},
		"locked field": {403, `{"key":"forbidden.fieldMutation","context":{"name":{"allowed":false,"reason":{"key":"externalDirectory.google"}}}}`,
			account.ErrLocked, "externalDirectory.google"},
		"oneself": {403, `{"key":"forbidden.action","context":{"allowed":false,"reason":{"key":"administrative.notMyself"}}}`,
			account.ErrForbidden, "administrative.notMyself"},
		"unclaimed": {403, `{"key":"forbidden.unclaimedDomain","context":{"domain":"other.example"}}`,
			account.ErrUnclaimed, "other.example"},
		"scoped key": {403, `{"code":403,"message":"the token lacks manage:org"}`, account.ErrForbidden, "manage:org"},
		"nobody":     {404, `{"key":"accountNotFound"}`, account.ErrNotFound, "accountNotFound"},
		"ineligible": {409, `{"key":"conflict.lifecycleErrors","context":{"accountId":"a","message":"to be deleted","errorCodes":[{"code":"x"}]}}`,
			account.ErrConflict, "to be deleted"},
		"limit":        {429, ``, account.ErrRateLimited, ""},
		"server":       {503, ``, account.ErrOutcomeUnknown, ""},
		"odd context":  {403, `{"key":"forbidden.action","context":["x"]}`, account.ErrForbidden, "forbidden.action"},
		"odd contexts": {403, `{"key":"forbidden.action","context":{"reason":7}}`, account.ErrForbidden, "forbidden.action"},
	} {
		t.Run(name, func(t *testing.T) {
			x := &exchange{status: test.status, answer: test.answer}
			err := x.client(t).Disable(t.Context(), ana, "")
			require.ErrorIs(t, err, test.kind)
			require.ErrorContains(t, err, test.says)
			if test.status == 403 {
				require.ErrorIs(t, err, account.ErrForbidden)
			}
			for _, other := range []error{account.ErrNotManaged, account.ErrLocked, account.ErrUnclaimed} {
				if other != test.kind {
					require.NotErrorIs(t, err, other)
				}
			}
			var failure *account.Error
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.status, failure.Status)
		})
	}
}

func TestProgrammingErrorsAreNotSent(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for name, err := range map[string]error{
		"no id":      client.Disable(t.Context(), "", ""),
		"path":       client.Enable(t.Context(), "../admin"),
		"no token":   client.DeleteToken(t.Context(), ana, ""),
		"no address": client.SetEmail(t.Context(), ana, "ana"),
	} {
		require.ErrorIs(t, err, account.ErrInvalid, name)
	}
	require.Zero(t, x.calls)
	_, err := account.New(account.Options{})
	require.ErrorContains(t, err, "no API key")
}
