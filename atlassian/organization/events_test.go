package organization_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

const eventPage = `{"data":[{"id":"e1","type":"events","attributes":{"time":"2025-02-27T18:50:12.281Z","processedAt":"2025-02-27T18:50:13.000Z","action":"user_granted_role",
	"actor":{"id":"557058:root","name":"Root","email":"root@acme.example","links":{"self":"https://x"},"auth":{"authType":"api-token"}},
	"context":[{"id":"ari:cloud:identity::user/557058:ana","type":"users","attributes":{"name":"Ana","email":"ana@acme.example","accountType":"atlassian","more":{"x":[1]}},"links":{"self":"s","alt":"a"}},
	           {"id":"g1","type":"groups","attributes":{"name":["odd"]}}],
	"container":[{"id":"c1","type":"sites","attributes":{"siteName":"acme"}}],"location":{"ip":"10.0.0.1"}},
	"links":{"self":"https://x"},"message":{"content":"…","format":"simple"}}],
	"links":{"next":"https://api.atlassian.com/admin/v1/orgs/org-1/events-stream?cursor=other"},"meta":{"next":"n1","page_size":1}}`

func TestEvents(t *testing.T) {
	x := &exchange{answer: eventPage}
	client := x.client(t)
	from := time.UnixMilli(1740682212281)
	page, err := client.Events(t.Context(), organization.EventQuery{From: from, Descending: true})
	require.NoError(t, err)
	require.Equal(t, "/admin/v1/orgs/org-1/events-stream", x.path)
	query, err := url.ParseQuery(x.query)
	require.NoError(t, err)
	require.Equal(t, url.Values{"from": {"1740682212281"}, "limit": {"200"}, "sortOrder": {"desc"}}, query)
	require.True(t, page.More)
	require.Equal(t, "n1", page.Next)
	require.Equal(t, []organization.Event{{
		ID: "e1", Action: "user_granted_role",
		Time:        time.Date(2025, 2, 27, 18, 50, 12, 281e6, time.UTC),
		ProcessedAt: time.Date(2025, 2, 27, 18, 50, 13, 0, time.UTC),
		Actor:       organization.EventObject{ID: "557058:root", Name: "Root", Email: "root@acme.example"},
		Context: []organization.EventObject{
			{ID: "557058:ana", Type: "users", Name: "Ana", Email: "ana@acme.example"}, {ID: "g1", Type: "groups"},
		},
		Container: []organization.EventObject{{ID: "c1", Type: "sites"}},
	}}, page.Events)
}

func TestTheLastPageOfEventsCanBeAskedAgain(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for name, test := range map[string]struct {
		answer, next string
		more         bool
	}{
		"no cursor":           {`{"data":[],"links":{}}`, "c1", false},
		"events, no cursor":   {`{"data":[{"id":"e1"}],"links":{}}`, "c1", false},
		"the same cursor":     {`{"data":[],"meta":{"next":"c1"}}`, "c1", false},
		"events, same cursor": {`{"data":[{"id":"e1"}],"meta":{"next":"c1"}}`, "c1", false},
		"a new cursor":        {`{"data":[],"meta":{"next":"c2"}}`, "c2", false},
		"only a link":         {`{"data":[{"id":"e1"}],"links":{"next":"https://x.example/y?cursor=c3"}}`, "c3", true},
	} {
		t.Run(name, func(t *testing.T) {
			x.answer = test.answer
			page, err := client.Events(t.Context(),
				organization.EventQuery{Cursor: "c1", From: time.Now(), Descending: true})
			require.NoError(t, err)
			require.Equal(t, "cursor=c1&limit=200", x.query)
			require.Equal(t, test.next, page.Next)
			require.Equal(t, test.more, page.More)
		})
	}
	_, err := client.Events(t.Context(), organization.EventQuery{Limit: 501})
	require.ErrorIs(t, err, organization.ErrInvalid)
}

func TestEventActions(t *testing.T) {
	x := &exchange{answer: `{"data":[{"id":"group_created","type":"event-actions","attributes":{"displayName":"Created group","groupDisplayName":"Groups"}}]}`}
	actions, err := x.client(t).EventActions(t.Context())
	require.NoError(t, err)
	require.Equal(t, []organization.EventAction{{ID: "group_created", Name: "Created group", Group: "Groups"}}, actions)
}

func TestBareID(t *testing.T) {
	for given, want := range map[string]string{
		"ari:cloud:identity::group/6b1d":       "6b1d",
		"ari:cloud:identity:site:group/6b1d":   "6b1d",
		"ari:cloud:identity::user/557058:6b1d": "557058:6b1d",
		"6b1d":                                 "6b1d",
		"":                                     "",
		"ari:cloud:identity::group/":           "ari:cloud:identity::group/",
		"ari:cloud:jira-core::site/1":          "ari:cloud:jira-core::site/1",
	} {
		require.Equal(t, want, organization.BareID(given))
	}
}
