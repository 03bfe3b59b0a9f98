package workflows_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/messages"
)

// exportFiles writes the files of the source hr, as an HR system does.
func (r *recordedOrg) exportFiles(people string) {
	r.t.Helper()
	text := "number,email,title\n" + people
	require.NoError(r.t, os.WriteFile(filepath.Join(r.exports, "people.csv"), []byte(text), 0o600))
	groups := "group,key\ncrew,1\n"
	for _, key := range r.crew {
		groups += "crew," + key + "\n"
	}
	require.NoError(r.t, os.WriteFile(filepath.Join(r.exports, "groups.csv"), []byte(groups), 0o600))
	manifest, err := json.Marshal(map[string]any{"written": time.Now().UTC(), "files": map[string]any{
		"people.csv": map[string]any{"rows": strings.Count(people, "\n"), "sha256": sum(text)},
		"groups.csv": map[string]any{"rows": 1 + len(r.crew), "sha256": sum(groups)},
	}})
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(filepath.Join(r.exports, "manifest.json"), manifest, 0o600))
}

// provisioned is a policy's source hr, and the provision staff of its people.
func (r *recordedOrg) provisioned() string {
	return fmt.Sprintf(`
sources: [{name: hr, kind: file, folder: %q, groupsFile: groups.csv, key: number, every: 5s}]
provision:
  - name: staff
    from: [hr]
    directory: {id: %q, key: "env:SCIM"}
    attributes: {userName: email, emails: email, title: title}
`, r.exports, r.sim.Info().SCIMDirectoryID)
}

// playSources follows files: a first plan of records is held and approved; then somebody joins and somebody is missing.
func playSources(r *recordedOrg) {
	r.exportFiles("1,ana@example.com,\n2,new@example.com,\n")
	r.rules = r.provisioned()
	r.start("adopt: ask")
	first := r.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil && s.Hold != nil && idle(s) })
	r.save("reconcile-records-held", messages.ReconcileID(org, first.IdentityHold.Run))
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.Hold.Plan, By: "carol"})
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.IdentityHold.Plan, By: "carol"})
	r.until(func(s messages.OrgSyncState) bool {
		return s.IdentityHold == nil && s.Adopted && idle(s) && linked(s, 2)
	})
	r.save("reconcile-records-approved", messages.ReconcileID(org, first.IdentityHold.Run)+":approved")
	r.exportFiles("1,ana@example.com,Lead\n3,another@example.com,\n")
	r.until(func(s messages.OrgSyncState) bool { return idle(s) && s.Sources[0].People == 2 && linked(s, 2) })
	r.end("sources")
}

// playSyncedGroups has a group of the files as a group of the SCIM directory: its first plan is held and approved; then
// somebody joins it.
func playSyncedGroups(r *recordedOrg) {
	r.exportFiles("1,ana@example.com,\n2,new@example.com,\n")
	r.rules = r.provisioned() + `groups: [{name: crew, from: ["hr:*"], as: synced, create: true}]`
	r.start("adopt: ask")
	first := r.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil && s.Hold != nil && idle(s) })
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.Hold.Plan, By: "carol"})
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.IdentityHold.Plan, By: "carol"})
	members := func(n int) func(messages.OrgSyncState) bool {
		return func(s messages.OrgSyncState) bool {
			return s.IdentityHold == nil && idle(s) && linked(s, 2) && s.Provisions[0].Groups != nil &&
				s.Provisions[0].Groups.Memberships == n
		}
	}
	r.until(members(1))
	r.save("reconcile-groups-approved", messages.ReconcileID(org, first.IdentityHold.Run)+":approved")
	r.crew = []string{"2"}
	r.exportFiles("1,ana@example.com,\n2,new@example.com,\n")
	joined := r.until(members(2))
	r.save("reconcile-groups", messages.ReconcileID(org, joined.Provisions[0].Run))
}

// playLinks links somebody in a batch that is renewed while it waits, and rejects a batch.
func playLinks(r *recordedOrg) {
	r.exportFiles("1,kim@example.com,\n2,lea@example.com,\n")
	for _, name := range []string{"kim", "lea"} {
		r.post("/_sim/login", map[string]any{"email": name + "@example.com", "app": "jira", "site": "acme"})
	}
	r.rules = r.provisioned()
	r.start("adopt: ask")
	first := r.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil && s.Hold != nil && idle(s) })
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.Hold.Plan, By: "carol"})
	r.until(func(s messages.OrgSyncState) bool { return s.Adopted && idle(s) })
	batch := func(name, person string) messages.LinkState {
		r.t.Helper()
		_, err := r.client.ExecuteWorkflow(r.t.Context(), client.StartWorkflowOptions{ID: messages.LinkID(org, name),
			TaskQueue: messages.QueueWorkflows}, messages.Link, messages.LinkInput{Provision: "staff",
			People: []string{person}, By: "carol"})
		require.NoError(r.t, err)
		return statusOf(r, messages.LinkID(org, name), func(s messages.LinkState) bool { return s.Hold != nil })
	}
	decide := func(s messages.LinkState, decision, end string) {
		r.t.Helper()
		r.updateOf(s.Workflow, decision, messages.DecisionInput{Plan: s.Hold.Plan, By: "carol"})
		require.NoError(r.t, r.client.GetWorkflow(r.t.Context(), s.Workflow, "").Get(r.t.Context(), &s))
		require.Equal(r.t, end, s.State, "%+v", s)
	}
	rejected := batch("rejected", "hr:1")
	decide(rejected, messages.RejectPlan, messages.LinkRejected)
	r.save("link-rejected", rejected.Workflow)
	pilot := batch("pilot", "hr:1")
	r.renew("link-pilot-waiting", pilot.Workflow)
	decide(pilot, messages.ApprovePlan, messages.LinkDone)
	r.save("link-pilot-done", pilot.Workflow)
	r.update(messages.ProvisionNow, messages.ProvisionNowInput{People: []string{"hr:2"}, By: "carol"})
	r.end("links")
}

// linked reports whether so many people of the provision are.
func linked(s messages.OrgSyncState, n int) bool {
	if len(s.Provisions) == 0 {
		return false
	}
	for _, state := range s.Provisions[0].States {
		if state.State == "linked" {
			return state.Count >= n
		}
	}
	return false
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
