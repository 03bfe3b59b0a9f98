package provisioning_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestVerifyRecordsReadsTheAccountsOfLeavers: a leaver is verified once the account is deactivated, wherever that
// shows; the record alone proves nothing.
func TestVerifyRecordsReadsTheAccountsOfLeavers(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, c := range map[string]struct {
		inactive *bool // by hand, after the record was deactivated
		remove   bool  // out of the directory
		verified bool
	}{
		"deactivated":                    {verified: true},
		"active again":                   {inactive: &no},
		"not in the directory":           {remove: true, verified: true},
		"not in the directory, active":   {remove: true, inactive: &no},
		"in the directory, and inactive": {inactive: &yes, verified: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, "")
			o.staff["e1"] = identity{address: "ana@acme.example"}
			o.inStep()
			o.staff["e1"] = identity{address: "ana@acme.example", disabled: true}
			o.read()
			in, _ := o.run()
			o.write(in, false)
			by := map[string]any{"remove": c.remove}
			if c.inactive != nil {
				by["inactive"] = *c.inactive
			}
			o.Send(http.MethodPost, "/_sim/people/ana@acme.example", by)
			seen := o.verify(in)
			if c.verified {
				require.Equal(t, []int{1, 0}, []int{seen.Verified, seen.Unverified})
				require.Empty(t, seen.Findings)
				return
			}
			require.Equal(t, []int{0, 1, 1}, []int{seen.Verified, seen.Unverified, seen.Reported})
			require.Contains(t, seen.Findings[0], "account-active ana@acme.example: ")
			_, verdict := o.run("hr:e1")
			require.Equal(t, seen.Findings, verdict.Findings, "until it is mended")
			o.Send(http.MethodPost, "/_sim/people/ana@acme.example", map[string]any{"inactive": true})
			seen = o.verify(in)
			require.Equal(t, []int{1, 0}, []int{seen.Verified, seen.Unverified}, "once it is")
		})
	}
}

// TestVerifyRecordsSeesWhetherReturnersHaveAccess: somebody who is active again and in all groups may be able to use
// nothing.
func TestVerifyRecordsSeesWhetherReturnersHaveAccess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stuck bool
		group string // they stay in it while they are away
		says  string
	}{
		"stuck":                              {stuck: true, group: "jira-users-acme", says: "in jira-users-acme"},
		"with access":                        {group: "jira-users-acme"},
		"stuck, in groups that open nothing": {stuck: true, group: "builders"},
		"in no group":                        {stuck: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, "")
			o.Configure(func(s *cloud.Settings) { s.StuckReactivations = c.stuck })
			ana := o.AccountID("ana") // the record renames them
			members := func(method string) {
				o.Send(method, "/_sim/groups/"+c.group+"/members", map[string]any{"people": []string{ana}})
			}
			o.staff["e1"] = identity{address: "ana@acme.example"}
			o.inStep()
			if c.group != "" {
				members(http.MethodPost)
			}
			for _, disabled := range []bool{true, false} {
				o.staff["e1"] = identity{address: "ana@acme.example", disabled: disabled}
				o.read()
				in, _ := o.run()
				o.write(in, false)
				seen := o.verify(in)
				if disabled || c.says == "" {
					require.Equal(t, []int{1, 0}, []int{seen.Verified, seen.Unverified})
					require.Empty(t, seen.Findings)
					continue
				}
				require.Equal(t, []int{0, 1, 1}, []int{seen.Verified, seen.Unverified, seen.Reported})
				require.Contains(t, seen.Findings[0], "no-access ana@acme.example: ")
				require.Contains(t, seen.Findings[0], c.says)
				later, verdict := o.run("hr:e1")
				require.Equal(t, seen.Findings, verdict.Findings, "until it is mended")
				require.Equal(t, 2, verdict.Counts.Calls)
				o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 1,
					Params: cloud.FaultParams{Status: http.StatusServiceUnavailable}})
				verdict = activitytest.Must[provisioning.JudgeResult](o.SimulatedOrg, o.Acts.Provisioning.JudgeRecords,
					provisioning.JudgeInput{RunInput: later, Partial: true})
				require.Empty(t, verdict.Findings, "nobody answers, and the guard judges all the same")
				members(http.MethodDelete)
				members(http.MethodPost)
				_, verdict = o.run()
				require.Empty(t, verdict.Findings)
				seen = o.verify(in)
				require.Equal(t, []int{1, 0}, []int{seen.Verified, seen.Unverified}, "once they can")
			}
		})
	}
}
