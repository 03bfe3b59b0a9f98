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

	"github.com/castellan-io/castellan/messages"
)

// playSources follows files: a first plan of records is held and approved; then somebody joins and somebody is missing.
func playSources(r *recordedOrg) {
	export := func(people string) {
		r.t.Helper()
		text := "number,email,title\n" + people
		require.NoError(r.t, os.WriteFile(filepath.Join(r.exports, "people.csv"), []byte(text), 0o600))
		require.NoError(r.t, os.WriteFile(filepath.Join(r.exports, "groups.csv"), []byte("group,key\ncrew,1\n"), 0o600))
		manifest, err := json.Marshal(map[string]any{"written": time.Now().UTC(), "files": map[string]any{
			"people.csv": map[string]any{"rows": strings.Count(people, "\n"), "sha256": sum(text)},
			"groups.csv": map[string]any{"rows": 1, "sha256": sum("group,key\ncrew,1\n")},
		}})
		require.NoError(r.t, err)
		require.NoError(r.t, os.WriteFile(filepath.Join(r.exports, "manifest.json"), manifest, 0o600))
	}
	export("1,ana@example.com,\n2,new@example.com,\n")
	r.rules = fmt.Sprintf(`
sources: [{name: hr, kind: file, folder: %q, groupsFile: groups.csv, key: number, every: 5s}]
provision:
  - name: staff
    from: [hr]
    directory: {id: %q, key: "env:SCIM"}
    attributes: {userName: email, emails: email, title: title}
`, r.exports, r.sim.Info().SCIMDirectoryID)
	r.start("adopt: ask")
	first := r.until(func(s messages.OrgSyncState) bool { return s.IdentityHold != nil && s.Hold != nil && idle(s) })
	r.save("reconcile-records-held", messages.ReconcileID(org, first.IdentityHold.Run))
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.Hold.Plan, By: "carol"})
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.IdentityHold.Plan, By: "carol"})
	r.until(func(s messages.OrgSyncState) bool {
		return s.IdentityHold == nil && s.Adopted && idle(s) && linked(s, 2)
	})
	r.save("reconcile-records-approved", messages.ReconcileID(org, first.IdentityHold.Run)+":approved")
	export("1,ana@example.com,Lead\n3,another@example.com,\n")
	r.until(func(s messages.OrgSyncState) bool { return idle(s) && s.Sources[0].People == 2 && linked(s, 2) })
	r.end("sources")
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
