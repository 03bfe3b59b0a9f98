package identities_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// followers are entries of groups.
func followers(entries ...map[string]any) map[string]any { return map[string]any{"groups": entries} }

// conflictOf returns what starter says of a group that differs from the source's.
func (o *testOrg) conflictOf(group string) (c messages.GroupConflict, people []messages.ConflictPerson) {
	o.t.Helper()
	o.eventually(func() error {
		out, err := o.Starter(o.t.Context(), "--json", "conflicts", org, group)
		if err != nil {
			return err
		}
		var answer messages.ReportAnswer
		if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Conflicts) != 1 {
			return fmt.Errorf("%w: %s", err, out)
		}
		c, people = answer.Conflicts[0], answer.Conflicted
		return nil
	})
	return c, people
}

// verified has everybody verified, and waits for it.
func (o *testOrg) verified() messages.OrgSyncState {
	o.t.Helper()
	before := o.until(func(s messages.OrgSyncState) bool { return s.LastFull != nil && s.Running == nil }).LastFull.Run
	var answer messages.Answer
	require.NoError(o.t, o.Update(o.t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &answer))
	return o.until(func(s messages.OrgSyncState) bool { return s.LastFull.Run != before && s.Running == nil })
}

func conflicted(s messages.OrgSyncState) bool {
	return strings.Contains(strings.Join(s.Findings, "\n"), "group-conflict")
}

// TestGroupsOfAFileFollow: a group that is missing is made and filled, one with the same members follows without a
// write, and one with others waits for a decision that is remembered.
func TestGroupsOfAFileFollow(t *testing.T) {
	t.Parallel()
	file := shop()
	file.Local = append(file.Local, cloud.OrgGroup{Name: "same", Members: []string{"p00", "p01"}},
		cloud.OrgGroup{Name: "other", Members: []string{"p00", "p02"}})
	o := start(t, file)
	o.Groups["new"], o.Groups["same"] = []string{"e-p00", "e-p03"}, []string{"e-p00", "e-p01"}
	o.Groups["Other"] = []string{"e-p00", "e-p01"}
	o.Export()
	state := o.settled(o.policy(nil, followers(map[string]any{"name": "teams", "from": []string{"hr:*"}, "create": true})))
	o.become("new", "p00", "p03")
	require.Equal(t, []string{"p00", "p01"}, o.members("same"))
	require.Equal(t, []string{"p00", "p02"}, o.members("other"))
	require.True(t, conflicted(state), "%v", state.Findings)

	c, people := o.conflictOf("other")
	require.Equal(t, []int{1, 1}, []int{c.Missing, c.Extra})
	require.Len(t, people, 2)
	out, err := o.Starter(t.Context(), "conflicts", org, "other")
	require.NoError(t, err)
	require.Contains(t, out, "accept-conflict")
	require.Contains(t, out, c.Conflict)
	out, err = o.Starter(t.Context(), "explain", org, o.Staff["e-p01"].Email)
	require.NoError(t, err)
	require.Contains(t, out, "waits: group other differs from it, see starter conflicts")

	reject := messages.ConflictInput{Conflict: c.Conflict, By: "boss@example.com", Note: "CHG-7"}
	var answer messages.Answer
	require.NoError(t, o.Update(t.Context(), org, messages.RejectConflict, reject, &answer))
	require.False(t, conflicted(o.verified()))
	o.Worker.Kill()
	require.NoError(t, o.StartWorker())
	require.False(t, conflicted(o.verified()), "it is remembered")
	c, _ = o.conflictOf("other")
	require.Equal(t, []string{"rejected", "CHG-7"}, []string{c.Decision, c.Note})

	o.Groups["Other"] = []string{"e-p00", "e-p04"}
	o.Export()
	o.eventually(func() error {
		if !conflicted(o.verified()) {
			return fmt.Errorf("the difference has changed")
		}
		return nil
	})
	require.Error(t, o.Update(t.Context(), org, messages.AcceptConflict, reject, &answer), "it is another one now")
	c, _ = o.conflictOf("other")
	require.NoError(t, o.Update(t.Context(), org, messages.AcceptConflict,
		messages.ConflictInput{Conflict: c.Conflict, By: "boss@example.com"}, &answer))
	o.become("other", "p00", "p04")

	// From then on all three follow, and a change in the files is a change there.
	o.Groups["new"], o.Groups["same"], o.Groups["Other"] = []string{"e-p00"}, []string{"e-p00", "e-p05"}, []string{"e-p04"}
	o.Export()
	o.become("new", "p00")
	o.become("same", "p00", "p05")
	o.become("other", "p04")

	why, err := o.Starter(t.Context(), "explain", org, o.Staff["e-p05"].Email)
	require.NoError(t, err)
	require.Contains(t, why, "source hr → group same → teams → group:same")
	require.NotContains(t, why, "not known: the person is in groups", "after full verifications")

	// A group that disappears from the files empties nothing without a decision.
	delete(o.Groups, "Other")
	o.Export()
	state = o.until(func(s messages.OrgSyncState) bool { return s.Hold != nil })
	require.Contains(t, state.Hold.Rules[0], "group-delete")
	require.Contains(t, state.Hold.Rules[0], "hr:Other")
	require.Equal(t, []string{"p04"}, o.members("other"))
	require.NoError(t, o.Update(t.Context(), org, messages.ApprovePlan,
		messages.DecisionInput{Plan: state.Hold.Plan, By: "boss@example.com"}, &answer))
	o.become("other")
}
