package organization_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

func TestLastActive(t *testing.T) {
	x := &exchange{answer: `{"data":{"product_access":[
		{"id":"ari:cloud:confluence::site/1","key":"confluence","last_active":"2026-01-30","last_active_timestamp":"2026-01-31T10:00:00Z"},
		{"id":"ari:cloud:jira-software::site/1","key":"jira-software","last_active":"2026-02-01"},
		{"id":"ari:cloud:jira-core::site/1","key":"jira-core","last_active":"2026-02-02","last_active_timestamp":"yesterday"},
		{"id":"ari:cloud:trello::site/1","key":"trello"}],
		"added_to_org":"2024-01-01","added_to_org_timestamp":"2024-01-02T03:04:05Z"},"links":{"next":"c/1+="},"meta":{"more":[1]}}`}
	client := x.client(t)
	page, err := client.LastActive(t.Context(), "712020:a|b", "")
	require.NoError(t, err)
	require.Equal(t, organization.LastActive{
		Apps: []organization.ProductAccess{
			{ResourceID: "ari:cloud:confluence::site/1", Key: "confluence",
				LastActive: time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)},
			{ResourceID: "ari:cloud:jira-software::site/1", Key: "jira-software",
				LastActive: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)},
			{ResourceID: "ari:cloud:jira-core::site/1", Key: "jira-core",
				LastActive: time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)},
			{ResourceID: "ari:cloud:trello::site/1", Key: "trello"},
		},
		AddedToOrg: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Next: "c/1+=",
	}, page)
	require.Equal(t, http.MethodGet, x.method)
	require.Equal(t, "/admin/v1/orgs/org-1/directory/users/712020:a%7Cb/last-active-dates", x.path)
	require.Empty(t, x.query)
	require.Equal(t, 1, x.calls, "one method is one call: the next page is the caller's to ask for")

	x.answer = `{"data":{"product_access":[],"added_to_org":"2024-01-01","added_to_org_timestamp":null},"links":{"next":"https://api.atlassian.com/x?cursor=c%2F2%3D"}}`
	page, err = client.LastActive(t.Context(), "a", "c/1+=")
	require.NoError(t, err)
	require.Equal(t, organization.LastActive{Apps: []organization.ProductAccess{},
		AddedToOrg: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Next: "c/2="}, page)
	require.Equal(t, "cursor=c%2F1%2B%3D", x.query)
}

func TestLastActiveWithoutWhatMayBeAbsent(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for _, answer := range []string{
		`{"data":{"product_access":[]}}`, `{"data":{"product_access":[]},"links":{}}`,
		`{"data":{"product_access":[]},"links":null}`, `{"data":{"product_access":[]},"links":{"next":null}}`,
		`{"data":{"product_access":[],"added_to_org":null,"added_to_org_timestamp":null},"links":{"next":""}}`,
		`{"data":{"product_access":[],"added_to_org_timestamp":"long ago"}}`,
	} {
		x.answer = answer
		page, err := client.LastActive(t.Context(), "a", "c1")
		require.NoError(t, err, answer)
		require.Equal(t, organization.LastActive{Apps: []organization.ProductAccess{}}, page, answer)
	}
}

func TestNoBrokenAnswerSaysNever(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for _, answer := range []string{
		``, `{}`, `{"links":{}}`, `{"data":null}`, `{"data":[]}`, `{"data":{}}`, `{"data":{"product_access":null}}`,
		`{"data":{"product_access":{}}}`,
		`{"data":{"product_access":[{"key":"confluence","last_active":"2026-01-31"}]}}`,
		`{"data":{"product_access":[{"id":"r1","last_active_timestamp":"2026-01-31T10:00:00Z"},{"id":"r2","last_active_timestamp":"yesterday"}]}}`,
		`{"data":{"product_access":[{"id":"r","last_active":"31.01.2026"}]}}`,
		`{"data":{"product_access":[{"id":"r","last_active_timestamp":1769853600}]}}`,
		`{"data":{"product_access":[]},"links":{"next":"c1"}}`,
		`{"data":{"product_access":[]},"links":{"next":"https://api.atlassian.com/x"}}`,
		`{"data":{"product_access":[]}`,
	} {
		x.answer = answer
		page, err := client.LastActive(t.Context(), "a", "c1")
		require.ErrorIs(t, err, organization.ErrMalformed, answer)
		require.Equal(t, organization.LastActive{}, page, "never a part of a page")
	}
}

func TestRefusedLastActive(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for status, test := range map[int]struct {
		answer, code string
		want         error
	}{
		429: {`{"code":429,"message":"Rate limit exceeded."}`, "429", organization.ErrRateLimited},
		404: {`{"errors":[{"id":"e","status":"404","code":"ADMIN-404-8","title":"Not Found","detail":"no such user"}]}`,
			"ADMIN-404-8", organization.ErrNotFound},
		403: {`{"errors":[{"id":"e","status":"403","code":"ADMIN-403-3","title":"Forbidden","detail":"not yours"}]}`,
			"ADMIN-403-3", organization.ErrForbidden},
		400: {`{"errors":[{"id":"e","status":"400","code":"ADMIN-400-4","title":"Bad Request","detail":"old experience"}]}`, "ADMIN-400-4", organization.ErrInvalid},
		500: {``, "", organization.ErrUnavailable},
		// An error's status decides, whatever its body looks like.
		503: {`{"data":{"product_access":[]},"links":{}}`, "", organization.ErrUnavailable},
	} {
		x.status, x.answer = status, test.answer
		page, err := client.LastActive(t.Context(), "a", "")
		require.ErrorIs(t, err, test.want, status)
		require.Equal(t, organization.LastActive{}, page, status)
		var failure *organization.Error
		require.ErrorAs(t, err, &failure)
		require.Equal(t, status, failure.Status)
		require.Equal(t, test.code, failure.Code, status)
	}
	calls := x.calls
	for _, account := range []string{"", "..", "a/b"} {
		_, err := client.LastActive(t.Context(), account, "")
		require.ErrorIs(t, err, organization.ErrInvalid)
	}
	require.Equal(t, calls, x.calls, "what cannot be an account's id is not sent")
}

func TestSearchedUsersTellNothingFromNone(t *testing.T) {
	x := &exchange{answer: `{"data":[
		{"accountId":"a","organization":"Talent","location":"New York","emailVerified":true,"mfaEnabled":false,
		 "productAccess":[{"id":"ari:cloud:confluence::site/1","key":"confluence"}]},
		{"accountId":"b","organization":null,"location":null,"emailVerified":false,"mfaEnabled":true,"productAccess":[]},
		{"accountId":"c","emailVerified":null,"mfaEnabled":null,"productAccess":null},
		{"accountId":"d"}]}`}
	page, err := x.client(t).SearchUsers(t.Context(), "-",
		organization.UserQuery{Expand: []string{organization.ExpandProductAccess}})
	require.NoError(t, err)
	yes, no := true, false
	require.Equal(t, []organization.User{
		{AccountID: "a", Organization: "Talent", Location: "New York", EmailVerified: &yes, MFAEnabled: &no,
			ProductAccess: []organization.ProductAccess{{ResourceID: "ari:cloud:confluence::site/1",
				Key: "confluence"}}},
		{AccountID: "b", EmailVerified: &no, MFAEnabled: &yes, ProductAccess: []organization.ProductAccess{}},
		{AccountID: "c"},
		{AccountID: "d"},
	}, page.Items)
}
