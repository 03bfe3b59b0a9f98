package identities_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// push makes a SCIM request as an identity provider does, and requires the status of the answer.
func (o *fedOrg) push(status int, method, path string, body any) (got map[string]any) {
	o.t.Helper()
	var text bytes.Buffer
	if body != nil {
		require.NoError(o.t, json.NewEncoder(&text).Encode(body))
	}
	r, err := http.NewRequestWithContext(o.t.Context(), method, "https://"+o.address+"/scim/acme/okta/v2"+path, &text)
	require.NoError(o.t, err)
	r.Header.Set("Authorization", "Bearer "+feedSecret)
	r.Header.Set("Content-Type", "application/scim+json")
	answer, err := o.client.Do(r)
	require.NoError(o.t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(o.t, status, answer.StatusCode, "%s %s", method, path)
	if status != http.StatusNoContent {
		require.NoError(o.t, json.NewDecoder(answer.Body).Decode(&got))
	}
	return got
}

// pushUser pushes somebody of the organization, and returns the id that the inbox gives.
func (o *fedOrg) pushUser(name string) string {
	o.t.Helper()
	address := o.addressOf(name)
	id, _ := o.push(http.StatusCreated, http.MethodPost, "/Users", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": address, "externalId": "x-" + name,
		"active": true, "emails": []any{map[string]any{"primary": true, "type": "work", "value": address}},
	})["id"].(string)
	return id
}

// patch pushes operations on a resource.
func (o *fedOrg) patch(path string, operations ...map[string]any) {
	o.t.Helper()
	o.push(http.StatusOK, http.MethodPatch, path, map[string]any{
		"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": operations})
}

func member(id string) []any { return []any{map[string]any{"value": id}} }

// TestAnOrganizationFollowsWhatIsPushed: an identity provider pushes users and groups by SCIM. What it says counts in
// seconds, who is disabled or deleted loses what they had, and it is answered from the record, whatever restarts.
// Nothing is passed on to Atlassian's own SCIM.
func TestAnOrganizationFollowsWhatIsPushed(t *testing.T) {
	t.Parallel()
	o := startFed(t, shop())
	o.settled(o.policy([]map[string]any{{"name": "engineers", "from": []string{"okta:engineers"},
		"to": []string{"group:" + tools}}}, map[string]any{"sources": []any{map[string]any{"name": "okta",
		"kind": "scim-push", "secret": "file:" + o.secret("feed")}}}))
	ids := map[string]string{}
	for _, name := range []string{"p00", "p01", "p02"} {
		ids[name] = o.pushUser(name)
	}
	group, _ := o.push(http.StatusCreated, http.MethodPost, "/Groups", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "engineers",
		"members": member(ids["p00"])})["id"].(string)
	o.become(tools, "p00")
	o.patch("/Groups/"+group, map[string]any{"op": "Add", "path": "members", "value": member(ids["p01"])},
		map[string]any{"op": "Add", "path": "members", "value": member(ids["p02"])})
	o.become(tools, "p00", "p01", "p02")

	o.Worker.Kill()
	require.NoError(t, o.StartWorker())
	o.eventually(func() error {
		answer, err := o.client.Get("https://" + o.address + "/healthz")
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	})
	known := o.push(http.StatusOK, http.MethodGet,
		"/Users?filter="+url.QueryEscape(fmt.Sprintf("userName eq %q", o.addressOf("p01"))), nil)
	require.EqualValues(t, 1, known["totalResults"])
	o.patch("/Groups/"+group, map[string]any{"op": "Remove", "path": "members", "value": member(ids["p00"])})
	o.become(tools, "p01", "p02")
	o.patch("/Users/"+ids["p01"], map[string]any{"op": "Replace", "path": "active", "value": "False"})
	o.become(tools, "p02")
	o.push(http.StatusNoContent, http.MethodDelete, "/Users/"+ids["p02"], nil)
	o.become(tools)

	state := o.until(func(s messages.OrgSyncState) bool { return s.Running == nil && s.Sources[0].Posts })
	require.Equal(t, messages.SourceOK, state.Sources[0].State())
	directory, err := o.Simulator.Directory(t.Context())
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(directory), "x-p0", "nothing is passed on")
	report, err := o.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	require.NoError(t, err)
	require.True(t, report.Ledger.Whole, report.Message)
}

// TestAPushedGroupThatIsDeletedIsHeld: nobody loses what a deleted group gave before somebody has approved that, and a
// group of its name that is pushed again is compared with the one at Atlassian before that follows it.
func TestAPushedGroupThatIsDeletedIsHeld(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := startFed(t, shop())
	o.settled(o.policy(nil, map[string]any{"guard": generous,
		"groups":  []any{map[string]any{"name": "pushed", "from": []string{"okta:*"}, "to": "okta-*", "create": true}},
		"sources": []any{map[string]any{"name": "okta", "kind": "scim-push", "secret": "file:" + o.secret("feed")}}}))
	first, second := o.pushUser("p00"), o.pushUser("p01")
	crew := func(members ...any) string {
		id, _ := o.push(http.StatusCreated, http.MethodPost, "/Groups", map[string]any{
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "crew",
			"members": members})["id"].(string)
		return id
	}
	group := crew(append(member(first), member(second)...)...)
	o.become("okta-crew", "p00", "p01")
	o.opens("okta-crew")
	o.verified()

	o.push(http.StatusNoContent, http.MethodDelete, "/Groups/"+group, nil)
	hold := o.until(func(s messages.OrgSyncState) bool { return s.Hold != nil }).Hold
	require.Contains(t, strings.Join(hold.Rules, "\n"), "group-delete: okta:crew is no longer in its source")
	require.Contains(t, strings.Join(hold.Rules, "\n"), "the group opens jira-software/acme")
	require.Equal(t, 2, hold.Removals)
	require.Equal(t, []string{"p00", "p01"}, o.members("okta-crew"))

	crew(member(first)...)
	o.eventually(func() error {
		if !conflicted(o.verified()) {
			return fmt.Errorf("the new group is not compared")
		}
		return nil
	})
	c, people := o.conflictOf("okta-crew")
	require.Equal(t, []int{0, 1}, []int{c.Missing, c.Extra}, people)
	require.Equal(t, []string{"p00", "p01"}, o.members("okta-crew"))
}
